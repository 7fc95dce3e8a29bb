"""Tables in text, one reader for all: a quotation mark, a carriage return or a short row never moves a value unseen.

A row is a line, always. In BIDS tables (``.tsv``) quotation marks are ordinary characters, as the specification knows
no quoting; only where the header itself is quoted, as R writes it, marks enclose cells. In ``.csv`` a cell may be
enclosed in marks (RFC 4180), but it ends on its line.
"""

from __future__ import annotations

import codecs
import contextlib
import csv
import dataclasses
import itertools
import math
import re
from collections.abc import Sequence
from pathlib import Path

from pipeline.core.errors import BrokenArtifact
from pipeline.core.limits import TABLE_BYTES
from pipeline.core.names import clean_name, first_repeated, refuse_alike

TABLES = (".csv", ".tsv")
LINE_END = re.compile(r"\r\n|\r|\n")


@dataclasses.dataclass(frozen=True)
class Dialect:
    """How a table is written.

    Parameters
    ----------
    delimiter : between cells
    quoted : whether cells may be enclosed in quotation marks
    missing : what stands for a missing number, in lower case; the first of them also for a missing text
    """

    delimiter: str
    quoted: bool
    missing: tuple[str, ...]


COMMAS = Dialect(",", True, ("",))
TABS = Dialect("\t", False, ("n/a", "", "nan"))
"""BIDS specification 1.10, "Tabular files"."""


@dataclasses.dataclass(frozen=True)
class Table:
    """Text cells of a table, without white space around them.

    Parameters
    ----------
    path : for messages
    columns : names in the header
    lines : (n_rows,) number of each row's line in the file
    rows : (n_rows,) cells of each row, as many as there are columns
    dialect : how it was written
    remedy : what to do about a broken table, for messages; empty for the user's own, which can be corrected
    """

    path: Path
    columns: tuple[str, ...]
    lines: tuple[int, ...]
    rows: tuple[tuple[str, ...], ...]
    dialect: Dialect = COMMAS
    remedy: str = ""

    def __len__(self) -> int:
        return len(self.rows)

    def has(self, column: str) -> bool:
        return column in self.columns

    def only(self, kept: Sequence[bool]) -> Table:
        """The table with some of its rows."""
        lines, rows = itertools.compress(self.lines, kept), itertools.compress(self.rows, kept)
        return dataclasses.replace(self, lines=tuple(lines), rows=tuple(rows))

    def cells(self, column: str) -> list[str]:
        """One column as it is written.

        Raises
        ------
        BrokenArtifact
            There is no such column; the message lists those that there are.
        """
        if column not in self.columns:
            raise BrokenArtifact(
                f"{self.path} lacks column '{column}' (it has: {', '.join(self.columns)}); {self.remedy or 'add it'}"
            )
        place = self.columns.index(column)
        return [row[place] for row in self.rows]

    def text(self, column: str, *, empty: bool = False) -> list[str]:
        """One column, ``""`` where it is missing; a missing cell is refused unless ``empty``."""
        cells = ["" if cell == self.dialect.missing[0] else cell for cell in self.cells(column)]
        if not empty and "" in cells:
            line = self.lines[cells.index("")]
            raise BrokenArtifact(f"{self.path} line {line}: {column} is empty; {self.remedy or 'fill it in'}")
        return cells

    def names(self, column: str, *, empty: bool = False, alike: bool = False) -> list[str]:
        """One column of names, cleaned by `pipeline.core.names.clean_name`.

        Parameters
        ----------
        empty : whether cells may be missing
        alike : whether names may differ only in case, width or spaces

        Raises
        ------
        BrokenArtifact
            A name is empty or misleading, or two look alike; the message names the lines.
        """
        cells = zip(self.lines, self.text(column, empty=empty), strict=True)
        found = [clean_name(cell, f"{self.path} line {line}", column) if cell else "" for line, cell in cells]
        if not alike:
            refuse_alike(found, str(self.path), column, self.lines)
        return found

    def numbers(self, column: str, *, empty: bool = False) -> list[float]:
        """One column of finite numbers; NaN for a missing one where ``empty`` allows it."""
        cells = self.cells(column)
        with contextlib.suppress(ValueError):
            values = list(map(float, cells))
            if all(map(math.isfinite, values)) and "_" not in "".join(cells):
                return values
        return [
            math.nan if empty and cell.lower() in self.dialect.missing else self.number(line, column, cell)
            for line, cell in zip(self.lines, cells, strict=True)
        ]

    def number(self, line: int, column: str, cell: str) -> float:
        """A cell as a finite number; digits are not grouped by ``_`` as in Python."""
        try:
            value = math.nan if "_" in cell else float(cell)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise BrokenArtifact(
                f"{self.path} line {line}: {column} is '{cell}', expected a number; {self.remedy or 'correct it'}"
            )
        return value

    def whole_numbers(self, column: str) -> list[int]:
        """One column of whole numbers."""
        numbers = self.numbers(column)
        for line, number, cell in zip(self.lines, numbers, self.cells(column), strict=True):
            if number != int(number):
                raise BrokenArtifact(
                    f"{self.path} line {line}: {column} is '{cell}', expected a whole number; "
                    f"{self.remedy or 'correct it'}"
                )
        return [int(number) for number in numbers]


def read_table(
    path: Path,
    *,
    dialect: Dialect | None = None,
    columns: Sequence[str] | None = None,
    remedy: str = "",
    may_be_empty: bool = False,
) -> Table:
    """Read a table with a header.

    Parameters
    ----------
    dialect : None takes `TABS` for ``.tsv``, else `COMMAS`
    columns : names of the columns of a table without a header
    remedy : what to do about a broken table, for messages; empty where the user can correct it
    may_be_empty : whether a table without a row, or even without a header, is one

    Raises
    ------
    BrokenArtifact
        As `read_text` and `parse_table`.
    """
    return parse_table(
        read_text(path, remedy),
        path,
        dialect=dialect or (TABS if path.suffix.lower() == ".tsv" else COMMAS),
        columns=columns,
        remedy=remedy,
        may_be_empty=may_be_empty,
    )


def read_text(path: Path, remedy: str = "") -> str:
    """The text of a file in UTF-8, with or without byte order mark, or in UTF-16 with one.

    Raises
    ------
    BrokenArtifact
        Missing, not readable, too large, or no text; the message names the line.
    """
    if not path.is_file():
        raise BrokenArtifact(f"{path} is missing; {remedy or 'correct its path'}")
    try:
        n_bytes = path.stat().st_size
        if n_bytes > TABLE_BYTES:
            raise BrokenArtifact(
                f"{path} has {n_bytes / 1024**2:,.0f} MiB, and a table at most {TABLE_BYTES // 1024**2} MiB; "
                f"{remedy or 'check what it is, and save arrays as .npy'}"
            )
        content = path.read_bytes()
    except OSError as error:
        raise BrokenArtifact(f"{path} cannot be read ({error.strerror}); change its permissions") from error
    utf_16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = content.decode("utf-16" if utf_16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = len(LINE_END.split(content[: error.start].decode("utf-8", "replace")))
        where = "" if utf_16 else f"line {line}: "
        raise BrokenArtifact(
            f"{path} is no table or text ({where}{error}); {remedy or 'save it as UTF-8 text'}"
        ) from error
    if "\0" in text:
        line = len(LINE_END.split(text[: text.index("\0")]))
        raise BrokenArtifact(f"{path} line {line} holds NUL, as no text does; {remedy or 'save it as UTF-8 text'}")
    return text


def numbered_lines(text: str) -> list[tuple[int, str]]:
    """(number, line) of the lines that are not blank; ``\\n``, ``\\r\\n`` and ``\\r`` end them, nothing else does."""
    return [(number, line) for number, line in enumerate(LINE_END.split(text), start=1) if line.strip(" \ufeff")]


def parse_table(
    text: str,
    path: Path,
    *,
    dialect: Dialect,
    columns: Sequence[str] | None = None,
    remedy: str = "",
    may_be_empty: bool = False,
) -> Table:
    """A table from its text; parameters as of `read_table`. Blank lines, and empty rows at the end, are left out.

    Raises
    ------
    BrokenArtifact
        No header, a repeated column, a row of another length, or a quoted cell that its line does not end; the message
        names the line.
    """
    lines = numbered_lines(text)
    if columns is None and lines and not dialect.quoted:
        header = lines[0][1].split(dialect.delimiter)
        dialect = dataclasses.replace(dialect, quoted=all(re.fullmatch('".*"', cell.strip()) for cell in header))
    numbered = [(number, _cells(line, dialect, f"{path} line {number}", remedy)) for number, line in lines]
    while numbered and not any(numbered[-1][1]):
        numbered.pop()
    if not may_be_empty and len(numbered) < 2:
        raise BrokenArtifact(f"{path} needs a header and at least one row; it has {len(numbered)} lines with text")
    if columns is not None:
        names, rows = tuple(columns), numbered
    else:
        (line, titles), *rows = numbered or [(1, ())]
        names = tuple(clean_name(title, f"{path} line {line}", "column") if title else "" for title in titles)
    twice = first_repeated(names)
    if twice is not None:
        raise BrokenArtifact(f"{path} has column '{twice}' more than once; {remedy or 'rename one'}")
    for line, cells in rows:
        if len(cells) != len(names):
            expected = f"the header has {len(names)}" if columns is None else f"{', '.join(names)} are expected"
            raise BrokenArtifact(
                f"{path} line {line} has {len(cells)} cells where {expected}; {remedy or 'correct it'}"
            )
    return Table(path, names, tuple(line for line, _ in rows), tuple(cells for _, cells in rows), dialect, remedy)


def _cells(line: str, dialect: Dialect, where: str, remedy: str) -> tuple[str, ...]:
    cells = line.split(dialect.delimiter)
    if dialect.quoted and '"' in line:
        try:
            cells = next(csv.reader([line], delimiter=dialect.delimiter, strict=True))
        except csv.Error as error:
            raise BrokenArtifact(
                f"{where}: a quotation mark opens a cell that is not closed before the next cell or the line's end; "
                f"{remedy or 'keep a row on one line, and write a mark that belongs to the text twice within marks'}"
            ) from error
    return tuple(cell.strip() for cell in cells)
