"""Tables for people: CSV files that a spreadsheet opens without running what stands in their cells.

A cell that begins with ``=``, ``+``, ``-``, ``@`` or a control character is taken for a formula, which may fetch
addresses or start programs. Names come from other people's files, so that such a name is refused: where a study is
read, where recordings are written, and again here. An apostrophe before it, the usual way out, would make it another
name to every other reader. Numbers are no formulas.

References
----------
OWASP, CSV Injection, https://owasp.org/www-community/attacks/CSV_Injection
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import IO, TYPE_CHECKING

from pipeline.core.errors import BrokenArtifact, LayermapError

if TYPE_CHECKING:
    import pandas as pd

# a semicolon separates cells where commas separate decimals, and quotes around a cell with commas only do not help
_FORMULA = re.compile(r"(?:^|[;\t\r\n])[=+\-@]|^[\t\r\n]")
_NUMBER = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")


def is_formula(text: str) -> bool:
    """Whether a spreadsheet would take a cell of this text for a formula."""
    return _FORMULA.search(unicodedata.normalize("NFKC", text)) is not None and _NUMBER.fullmatch(text) is None


def check_cells(texts: Iterable[object], what: str, where: str, error: type[LayermapError] = BrokenArtifact) -> None:
    """Refuse texts that a spreadsheet would run.

    Parameters
    ----------
    what : what they name, for the message: ``region``
    where : file that holds them or is written

    Raises
    ------
    BrokenArtifact
        Or ``error``.
    """
    for text in texts:
        if isinstance(text, str) and is_formula(text):
            raise error(
                f"{where}: {what} {text!r:.60} begins as a formula does in a spreadsheet (= + - @ or a tab); rename it"
            )


def write_csv(table: pd.DataFrame, target: Path | IO[str], where: str) -> None:
    """Write a table as CSV, without its index.

    Parameters
    ----------
    where : what the file is called in messages

    Raises
    ------
    BrokenArtifact
        A text that a spreadsheet would run.
    """
    from pandas.api.types import is_numeric_dtype

    check_cells(table.columns, "column", where)
    for column in table.columns:
        if not is_numeric_dtype(table[column]):
            check_cells(table[column].unique(), str(column), where)
    table.to_csv(target, index=False)
