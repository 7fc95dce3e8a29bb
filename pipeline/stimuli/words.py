"""Tables of spoken words with their times, and the words stimulus made from them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.core.errors import BrokenArtifact
from pipeline.formats.tables import COMMAS, TABS, Dialect, Table, read_table

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
    table = _read(path, "fetch it again", dialect=TABS)
    timed = [bool(cell) for cell in table.text(onset_s, empty=True)]
    return _words_of(table, timed, (text, onset_s, offset_s, log_frequency))


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
    table = _read(path, remedy)
    by_name = {name.lower(): name for name in table.columns}

    def column(name: str) -> str:
        return name if table.has(name) else by_name.get(name.lower(), name)

    if section is not None:
        found = table.numbers(column(section_column))
        if section not in found:
            known = ", ".join(f"{one:g}" for one in sorted(set(found)))
            raise BrokenArtifact(f"{path} has no {section_column} {section} (it has: {known}); {remedy}")
        table = table.only([of == section for of in found])
    word, onset = column(text), column(onset_s)
    timed = [bool(a and b) for a, b in zip(*(table.text(name, empty=True) for name in (word, onset)), strict=True)]
    names = (word, onset, column(offset_s), None if log_frequency is None else column(log_frequency))
    return _words_of(table, timed, names)


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
    table = _read(path, remedy, columns=("word", "aligned word", "onset", "offset"))
    timed = [bool(cell) for cell in table.text("onset", empty=True)]
    return _words_of(table, timed, ("word", "onset", "offset", None))


def _read(path: Path, remedy: str, *, dialect: Dialect = COMMAS, columns: Sequence[str] | None = None) -> Table:
    if not path.is_file():
        raise BrokenArtifact(f"{path} is missing; fetch it with: snakemake fetch")
    return read_table(path, dialect=dialect, columns=columns, remedy=remedy, may_be_empty=True)


def _words_of(table: Table, timed: Sequence[bool], names: tuple[str, str, str, str | None]) -> WordTable:
    """The rows that have times, as words; names of the columns text, onset, offset, log frequency."""
    import numpy as np

    text, onset_s, offset_s, log_frequency = names
    kept = table.only(timed)
    onsets, offsets = (np.array(kept.numbers(name)) for name in (onset_s, offset_s))
    frequencies = None if log_frequency is None else np.array(kept.numbers(log_frequency))
    words = np.array(kept.text(text, empty=True))
    if not len(kept):
        raise BrokenArtifact(f"{table.path} has no word with a time; {table.remedy}")
    if np.any(np.diff(onsets) < 0):
        line = kept.lines[int(np.flatnonzero(np.diff(onsets) < 0)[0]) + 1]
        raise BrokenArtifact(f"{table.path} line {line}: the onset lies before that of the word above; {table.remedy}")
    return WordTable(words, onsets, mend_offsets(onsets, offsets), frequencies, len(table) - len(kept))


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
