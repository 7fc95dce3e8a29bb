"""Tables of spoken words with their times, and the words stimulus made from them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import BrokenArtifact

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr


@dataclasses.dataclass(frozen=True)
class WordTable:
    """Words in the order spoken.

    Parameters
    ----------
    text : (n_words,) str
    onset_s, offset_s : (n_words,) float64, in s on the clock of the audio file
    log_frequency : (n_words,) float64, natural log of a count in a corpus; None where unknown
    """

    text: np.ndarray
    onset_s: np.ndarray
    offset_s: np.ndarray
    log_frequency: np.ndarray | None = None


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
    import csv

    import numpy as np

    if not path.is_file():
        raise BrokenArtifact(f"{path} is missing; fetch it with: snakemake fetch")
    needed = [name for name in (text, onset_s, offset_s, log_frequency) if name is not None]
    try:
        with open(path, encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, delimiter="\t")
            columns, rows = list(reader.fieldnames or []), list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise BrokenArtifact(f"{path} is no table ({error}); delete it and run: snakemake fetch") from error
    for name in needed:
        if name not in columns:
            raise BrokenArtifact(f"{path} lacks column '{name}' (it has: {', '.join(columns)}); fetch it again")
    numbered = [(number, row) for number, row in enumerate(rows, start=2) if (row[onset_s] or "").strip()]

    def numbers(column: str) -> np.ndarray:
        return np.array([_number(path, number, column, row[column]) for number, row in numbered])

    onsets = numbers(onset_s)
    if np.any(np.diff(onsets) < 0):
        number = numbered[int(np.flatnonzero(np.diff(onsets) < 0)[0]) + 1][0]
        raise BrokenArtifact(f"{path} line {number}: the onset lies before that of the word above; fetch it again")
    return WordTable(
        text=np.array([row[text].strip() for _, row in numbered]),
        onset_s=onsets,
        offset_s=_mend_offsets(onsets, numbers(offset_s)),
        log_frequency=None if log_frequency is None else numbers(log_frequency),
    )


def _number(path: Path, line: int, column: str, value: str | None) -> float:
    try:
        return float(value or "")
    except ValueError as error:
        raise BrokenArtifact(f"{path} line {line}: {column} is '{value}', expected a number; fetch it again") from error


def _mend_offsets(onset_s: np.ndarray, offset_s: np.ndarray) -> np.ndarray:
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
