"""Praat's TextGrid files: the words of an interval tier with their times.

Read here rather than by praatio 6.2, which takes neither ISO-8859-1 nor numbers with an exponent, though Praat writes
both (the latter for ends such as 4.4e-16 s).

References
----------
Praat manual, "TextGrid file formats": a reader takes free-standing numbers, quoted texts and flags in angle brackets in
their order and ignores all else, so one rule reads the long and the short format.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from pathlib import Path

from pipeline.core.errors import BrokenArtifact
from pipeline.core.limits import TEXT_BYTES, read_bounded
from pipeline.stimuli.words import REMEDY, WordTable, mend_offsets

USUAL_TIERS = ("words", "word")
"""What aligners call the tier of words, in lower case; another one of theirs has phones."""
PAUSES = ("", "#", "sp", "sil", "<sil>", "<p:>")
"""What aligners write into intervals without a word, in lower case."""
_TOKEN = re.compile(r'"((?:[^"]|"")*)"|(?<!\S)([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)%?(?!\S)|<(exists|absent)>')


class _Tokens:
    """What counts in a TextGrid, in order; ``_Ended`` where another kind stands or none is left."""

    def __init__(self, content: str) -> None:
        self._matches: Iterator[re.Match[str]] = _TOKEN.finditer(content)

    def _next(self, group: int) -> str:
        match = next(self._matches, None)
        found = None if match is None else match[group]
        if found is None:
            raise _Ended
        return found

    def text(self) -> str:
        return self._next(1).replace('""', '"')

    def number(self) -> float:
        return float(self._next(2))

    def flag(self) -> str:
        return self._next(3)


class _Ended(Exception):
    """Another token was due."""


def read_textgrid(path: Path, tier: str | None = None, *, remedy: str = REMEDY) -> WordTable:
    """Read the words of an interval tier from a TextGrid in the long or short format.

    Encodings are UTF-8 and UTF-16 (with or without a byte-order mark), else ISO-8859-1.

    Parameters
    ----------
    tier : name of the tier, in any case; None takes the only interval tier, else the one called words or word
    remedy : what the user can do about a broken file, for the message

    Returns
    -------
    WordTable
        Without pauses (empty, ``#``, ``sp``, ``sil`` …), which ``n_left_out`` does not count.

    Raises
    ------
    BrokenArtifact
        Missing, no TextGrid, cut short, without the tier or a word, or onsets that go back.
    """
    import numpy as np

    if not path.exists():
        raise BrokenArtifact(f"{path} is missing; {remedy}")
    content = _decoded(read_bounded(path, TEXT_BYTES, "a TextGrid", remedy))
    if '"TextGrid"' not in content[:200]:
        raise BrokenArtifact(f"{path} is no TextGrid; {remedy}")
    try:
        tiers = _interval_tiers(_Tokens(content))
    except _Ended:
        raise BrokenArtifact(f"{path} is a broken TextGrid, or cut short; {remedy}") from None
    words = [one for one in _chosen(path, tiers, tier, remedy) if one[2].strip().lower() not in PAUSES]
    if not words:
        raise BrokenArtifact(f"{path} has no words in its tier; {remedy}")
    onsets, offsets = (np.array([one[side] for one in words]) for side in (0, 1))
    if np.any(np.diff(onsets) < 0):
        after = words[int(np.flatnonzero(np.diff(onsets) < 0)[0]) + 1]
        raise BrokenArtifact(f"{path}: '{after[2]}' at {after[0]:g} s begins before the word above it; {remedy}")
    return WordTable(np.array([one[2].strip() for one in words]), onsets, mend_offsets(onsets, offsets))


Intervals = list[tuple[float, float, str]]


def _interval_tiers(tokens: _Tokens) -> list[tuple[str, Intervals]]:
    """(name, its intervals) of each interval tier, in order; tiers of points are passed over."""
    tokens.text(), tokens.text()  # file type, class
    tokens.number(), tokens.number()  # the whole from, to
    if tokens.flag() == "absent":
        return []
    tiers = []
    for _ in range(int(tokens.number())):
        kind, name = tokens.text(), tokens.text()
        tokens.number(), tokens.number()  # the tier from, to
        entries = range(int(tokens.number()))
        if kind == "IntervalTier":
            tiers.append((name, [(tokens.number(), tokens.number(), tokens.text()) for _ in entries]))
        else:
            for _ in entries:
                tokens.number(), tokens.text()
    return tiers


def _chosen(path: Path, tiers: list[tuple[str, Intervals]], tier: str | None, remedy: str) -> Intervals:
    names = ", ".join(f"'{name}'" for name, _ in tiers) or "none"
    if tier is None:
        usual = tiers if len(tiers) == 1 else [one for one in tiers if one[0].strip().lower() in USUAL_TIERS]
        if len(usual) != 1:
            raise BrokenArtifact(
                f"{path} has {len(tiers)} interval tiers ({names}); name one of them as tier of the story"
            )
        return usual[0][1]
    for name, intervals in tiers:
        if name.strip().lower() == tier.strip().lower():
            return intervals
    raise BrokenArtifact(f"{path} has no interval tier '{tier}' (it has: {names}); {remedy}")


def _decoded(content: bytes) -> str:
    """Text by its byte-order mark, by the zero bytes of ASCII letters in UTF-16, as UTF-8, else as ISO-8859-1."""
    if content.startswith(codecs.BOM_UTF16_BE) or content[:1] == b"\0":
        encoding = "utf-16-be"
    elif content.startswith(codecs.BOM_UTF16_LE) or content[1:2] == b"\0":
        encoding = "utf-16-le"
    else:
        try:
            return content.decode("utf-8-sig")
        except UnicodeDecodeError:
            return content.decode("iso-8859-1")
    return content.decode(encoding, errors="replace").removeprefix("\ufeff")
