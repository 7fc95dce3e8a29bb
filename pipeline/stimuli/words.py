"""Tables of spoken words with their times, and the words stimulus made from them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import BrokenArtifact

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr


REMEDY = "delete it and run: snakemake fetch"


@dataclasses.dataclass(frozen=True)
class WordTable:
    """Words in the order spoken.

    Parameters
    ----------
    text : (n_words,) str
    onset_s, offset_s : (n_words,) float64, in s on the clock of the audio file
    log_frequency : (n_words,) float64, natural log of a count in a corpus; None where unknown
    n_left_out : words of the source that have no time or no text
    """

    text: np.ndarray
    onset_s: np.ndarray
    offset_s: np.ndarray
    log_frequency: np.ndarray | None = None
    n_left_out: int = 0


def read_word_table(
    path: Path, *, text: str, onset_s: str, offset_s: str, log_frequency: str | None = None
) -> WordTable:
    """Read a tab-separated word table; rows without onset (clitics that share a word's sound) are left out.

    Parameters
    ----------
    text, onset_s, offset_s, log_frequency : names of the columns

    Raises
    ------
    BrokenArtifact
        Missing file or column, a time or frequency that is no number, or onsets that go back.
    """
    columns, rows = _read_rows(path, "\t", REMEDY)
    for name in (text, onset_s, offset_s, log_frequency):
        if name is not None and name not in columns:
            raise BrokenArtifact(f"{path} lacks column '{name}' (it has: {', '.join(columns)}); fetch it again")
    timed = [(number, row) for number, row in rows if (row[onset_s] or "").strip()]
    return _table_of(path, timed, (text, onset_s, offset_s, log_frequency), len(rows) - len(timed), "fetch it again")


def read_word_csv(
    path: Path,
    *,
    section: int | None = None,
    text: str = "word",
    onset_s: str = "onset",
    offset_s: str = "offset",
    log_frequency: str | None = None,
    section_column: str = "section",
    remedy: str = REMEDY,
) -> WordTable:
    """Read a comma-separated word table such as Le Petit Prince's ``lppEN_word_information.csv``.

    Parameters
    ----------
    section : whose rows are read, where times start anew in each section; None reads all
    text, onset_s, offset_s, log_frequency, section_column : names of the columns, in any case and order
    remedy : what the user can do about a broken file, for the message

    Returns
    -------
    WordTable
        Rows without onset or text are left out and counted.

    Raises
    ------
    BrokenArtifact
        Missing file, column or section, a time or frequency that is no number, or onsets that go back.
    """
    columns, rows = _read_rows(path, ",", remedy)
    by_name = {name.strip().lower(): name for name in columns}

    def column(name: str) -> str:
        if name.lower() not in by_name:
            raise BrokenArtifact(f"{path} lacks column '{name}' (it has: {', '.join(filter(None, columns))}); {remedy}")
        return by_name[name.lower()]

    if section is not None:
        key = column(section_column)
        found = [_number(path, number, key, row[key], remedy) for number, row in rows]
        if section not in found:
            known = ", ".join(f"{one:g}" for one in sorted(set(found)))
            raise BrokenArtifact(f"{path} has no {section_column} {section} (it has: {known}); {remedy}")
        rows = [row for row, of in zip(rows, found, strict=True) if of == section]
    word, onset = column(text), column(onset_s)
    kept = [(number, row) for number, row in rows if (row[word] or "").strip() and (row[onset] or "").strip()]
    names = (word, onset, column(offset_s), None if log_frequency is None else column(log_frequency))
    return _table_of(path, kept, names, len(rows) - len(kept), remedy)


def read_gentle(path: Path, *, remedy: str = REMEDY) -> WordTable:
    """Read an alignment by Gentle: rows of word, aligned word, onset and offset (s), without a header.

    Words that the aligner did not find have no times: they are left out and counted.

    Raises
    ------
    BrokenArtifact
        Missing, other columns, without a word that has times, a time that is no number, or onsets that go back.

    References
    ----------
    Nastase et al. 2021, Scientific Data 8:250 (``stimuli/gentle/<story>/align.csv``); github.com/strob/gentle.
    """
    names = ("word", "aligned word", "onset", "offset")
    _, rows = _read_rows(path, ",", remedy, names)
    for number, row in rows:
        if row["onset"] is None:
            raise BrokenArtifact(f"{path} line {number} has fewer columns than {', '.join(names)}; {remedy}")
    timed = [(number, row) for number, row in rows if (row["onset"] or "").strip()]
    return _table_of(path, timed, ("word", "onset", "offset", None), len(rows) - len(timed), remedy)


Row = Mapping[str, str | None]


def _read_rows(
    path: Path, delimiter: str, remedy: str, names: Sequence[str] | None = None
) -> tuple[list[str], list[tuple[int, Row]]]:
    """Columns, and (line number, row) of a table; ``names`` are its columns where it has no header."""
    import csv

    if not path.is_file():
        raise BrokenArtifact(f"{path} is missing; fetch it with: snakemake fetch")
    try:
        with open(path, encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, names, delimiter=delimiter)
            columns = list(reader.fieldnames or [])
            rows: list[tuple[int, Row]] = [(reader.line_num, row) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise BrokenArtifact(f"{path} is no table ({error}); {remedy}") from error
    return columns, rows


def _table_of(
    path: Path,
    rows: Sequence[tuple[int, Row]],
    names: tuple[str, str, str, str | None],
    n_left_out: int,
    remedy: str,
) -> WordTable:
    """Rows of columns (text, onset, offset, log frequency) as a table of words."""
    import numpy as np

    text, onset_s, offset_s, log_frequency = names
    if not rows:
        raise BrokenArtifact(f"{path} has no word with a time; {remedy}")

    def numbers(column: str) -> np.ndarray:
        return np.array([_number(path, number, column, row[column], remedy) for number, row in rows])

    onsets = numbers(onset_s)
    if np.any(np.diff(onsets) < 0):
        number = rows[int(np.flatnonzero(np.diff(onsets) < 0)[0]) + 1][0]
        raise BrokenArtifact(f"{path} line {number}: the onset lies before that of the word above; {remedy}")
    return WordTable(
        text=np.array([(row[text] or "").strip() for _, row in rows]),
        onset_s=onsets,
        offset_s=mend_offsets(onsets, numbers(offset_s)),
        log_frequency=None if log_frequency is None else numbers(log_frequency),
        n_left_out=n_left_out,
    )


def _number(path: Path, line: int, column: str, value: str | None, remedy: str) -> float:
    try:
        number = float(value or "")
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise BrokenArtifact(f"{path} line {line}: {column} is '{value or ''}', expected a number; {remedy}")
    return number


def mend_offsets(onset_s: np.ndarray, offset_s: np.ndarray) -> np.ndarray:
    """Let a word that ends at or before its own onset end where the next one begins (the last: at its onset)."""
    import numpy as np

    following = np.append(onset_s[1:], onset_s[-1:])
    return np.where(offset_s > onset_s, offset_s, following)


def words_stimulus(name: str, words: WordTable) -> xr.Dataset:
    """``text``, ``onset_s``, ``offset_s`` and, where known, ``log_frequency``, each ``(word)``."""
    import xarray as xr

    stimulus = xr.Dataset(
        {
            "text": ("word", words.text),
            "onset_s": ("word", words.onset_s, {"units": "s"}),
            "offset_s": ("word", words.offset_s, {"units": "s"}),
        },
        attrs={"modality": "words", "name": name},
    )
    if words.log_frequency is not None:
        stimulus["log_frequency"] = ("word", words.log_frequency, {"units": "ln count"})
    return stimulus
