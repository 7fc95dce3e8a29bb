"""A user's own tables: comma- or tab-separated text with a header, and the columns that layermap knows."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from pipeline.errors import BrokenArtifact

TABLES = (".csv", ".tsv")


@dataclasses.dataclass(frozen=True)
class Table:
    """Text cells of a table.

    Parameters
    ----------
    path : for messages
    columns : names in the header
    lines : (n_rows,) number of each row's line in the file
    rows : (n_rows,) cells of each row, as many as there are columns
    """

    path: Path
    columns: tuple[str, ...]
    lines: tuple[int, ...]
    rows: tuple[tuple[str, ...], ...]

    def has(self, column: str) -> bool:
        return column in self.columns

    def text(self, column: str, *, empty: bool = False) -> list[str]:
        """One column; an empty cell is refused unless ``empty``."""
        if column not in self.columns:
            raise BrokenArtifact(f"{self.path} lacks column '{column}' (it has: {', '.join(self.columns)}); add it")
        place = self.columns.index(column)
        cells = [row[place] for row in self.rows]
        if not empty and "" in cells:
            raise BrokenArtifact(f"{self.path} line {self.lines[cells.index('')]}: {column} is empty; fill it in")
        return cells

    def numbers(self, column: str, *, empty: bool = False) -> list[float]:
        """One column of finite numbers; NaN for an empty cell where ``empty`` allows it."""
        return [
            math.nan if cell == "" else self.number(line, column, cell)
            for line, cell in zip(self.lines, self.text(column, empty=empty), strict=True)
        ]

    def number(self, line: int, column: str, cell: str) -> float:
        try:
            value = float(cell)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise BrokenArtifact(f"{self.path} line {line}: {column} is '{cell}', expected a number; correct it")
        return value


def first_repeated(names: Iterable[str]) -> str | None:
    """The first name that stands twice; None if all differ."""
    return next((name for name, count in Counter(names).items() if count > 1), None)


def read_table(path: Path) -> Table:
    """Read a ``.csv`` (commas) or ``.tsv`` (tabs) file with a header, UTF-8 with or without byte order mark.

    Raises
    ------
    BrokenArtifact
        Not text, no header, a repeated column, or a row of another length; the message names the line.
    """
    import csv

    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    numbered: list[tuple[int, tuple[str, ...]]] = []
    try:
        with open(path, encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream, delimiter=delimiter)
            for row in reader:
                if any(cell.strip() for cell in row):
                    numbered.append((reader.line_num, tuple(cell.strip() for cell in row)))
    except (UnicodeDecodeError, csv.Error) as error:
        raise BrokenArtifact(f"{path} is no table ({error}); save it as UTF-8 text") from error
    if len(numbered) < 2:
        raise BrokenArtifact(f"{path} needs a header and at least one row; it has {len(numbered)} lines with text")
    (_, columns), *rows = numbered
    twice = first_repeated(columns)
    if twice is not None:
        raise BrokenArtifact(f"{path} has column '{twice}' more than once; rename one")
    for line, cells in rows:
        if len(cells) != len(columns):
            raise BrokenArtifact(
                f"{path} line {line} has {len(cells)} cells where the header has {len(columns)}; correct it"
            )
    return Table(path, columns, tuple(line for line, _ in rows), tuple(cells for _, cells in rows))


def read_item_names(path: Path) -> list[str]:
    """The stimulus of each sample: a ``.csv``/``.tsv`` with a column ``item``, or text with one name a line."""
    if path.suffix.lower() in TABLES:
        return read_table(path).text("item")
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise BrokenArtifact(f"{path} is no text ({error}); save it as UTF-8") from error
    return [line.strip() for line in lines if line.strip()]


def read_categories(path: Path, items: Sequence[str]) -> list[str]:
    """The category of each item, from a table with the columns ``item`` and ``category``.

    Raises
    ------
    BrokenArtifact
        An item has none, or two; the message names it.
    """
    table = read_table(path)
    category: dict[str, str] = {}
    for line, item, name in zip(table.lines, table.text("item"), table.text("category"), strict=True):
        if category.setdefault(item, name) != name:
            raise BrokenArtifact(
                f"{path} line {line}: item '{item}' is both '{category[item]}' and '{name}'; give it one category"
            )
    for item in items:
        if item not in category:
            raise BrokenArtifact(f"{path} has no category of item '{item}'; add a row")
    return [category[item] for item in items]
