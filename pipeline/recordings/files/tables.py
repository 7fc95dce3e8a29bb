"""A user's own lists of items and categories: names as they are compared everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipeline.core.errors import BrokenArtifact
from pipeline.core.names import clean_name
from pipeline.formats.tables import TABLES, numbered_lines, read_table, read_text


def read_item_names(path: Path) -> list[str]:
    """The stimulus of each sample: a ``.csv``/``.tsv`` with a column ``item``, or text with one name a line."""
    if path.suffix.lower() in TABLES:
        return read_table(path).names("item", alike=True)
    lines = numbered_lines(read_text(path))
    return [clean_name(line, f"{path} line {number}", "item") for number, line in lines if line.strip()]


def read_categories(path: Path, items: Sequence[str]) -> list[str]:
    """The category of each item, from a table with the columns ``item`` and ``category``.

    Raises
    ------
    BrokenArtifact
        An item has none, or two, or two categories look alike; the message names it.
    """
    table = read_table(path)
    category: dict[str, str] = {}
    for line, item, name in zip(table.lines, table.names("item"), table.names("category"), strict=True):
        if category.setdefault(item, name) != name:
            raise BrokenArtifact(
                f"{path} line {line}: item '{item}' is both '{category[item]}' and '{name}'; give it one category"
            )
    for item in items:
        if item not in category:
            raise BrokenArtifact(f"{path} has no category of item '{item}'; add a row")
    return [category[item] for item in items]
