"""Names of regions, subjects, items, categories, targets and files: when two are the same, and their order.

Names come from spreadsheets, web pages, file systems and servers. Two that look alike must be one, and two that a
reader takes for one must not become two rows of a map. So every name is cleaned where it comes in, and compared so.

Cleaning composes accents (Unicode NFC), strips white space at both ends, and removes characters that are not seen:
those of category Cf (zero-width space, byte order mark, soft hyphen, marks of direction), fillers and variation
selectors. Some of category Cf carry meaning and stay: the zero-width joiner and non-joiner between letters of Arabic
script (Persian) and at viramas of Indic scripts (Unicode Standard Annex 31, section 2.3), and signs that are drawn,
such as the Arabic number sign. Control characters, line separators and bytes that are no UTF-8 are refused: they have
no place in a name, and dropping them would hide damage.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence

from pipeline.core.errors import BrokenArtifact

JOINERS = "\u200c\u200d"
VIRAMA = 9
"""Canonical combining class of viramas."""
SEEN = frozenset("\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd")
"""Of category Cf, but drawn (Unicode property Prepended_Concatenation_Mark)."""
FILLERS = frozenset(
    [*"\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0", *map(chr, [*range(0x180B, 0x1810), *range(0xFE00, 0xFE10)])]
)
"""Not drawn though not of category Cf (Unicode property Default_Ignorable_Code_Point)."""
REFUSED = {
    "Cc": "the control character",
    "Cs": "the undecodable byte",
    "Zl": "the line separator",
    "Zp": "the paragraph separator",
}
KNOWN = {"\0": "NUL", "\t": "TAB", "\n": "LINE FEED", "\r": "CARRIAGE RETURN"}


def clean_name(text: str, where: str, what: str = "name") -> str:
    """A name as it is shown, stored and compared.

    Parameters
    ----------
    where : file and line, for the message; empty where the message is put beside a key
    what : of what it is the name, for the message

    Raises
    ------
    BrokenArtifact
        It holds a control character, a line separator or bytes that are no UTF-8, or nothing that can be seen.
    """
    place = f"{where}: " if where else ""
    if text.isascii() and text.isprintable():
        name = text.strip()
    else:
        name = unicodedata.normalize("NFC", text).strip()
        for character in name:
            kind = REFUSED.get(unicodedata.category(character))
            if kind is not None:
                raise BrokenArtifact(f"{place}{what} {text!r} holds {kind} {_called(character)}; remove it")
        # white space and invisible characters may alternate at the ends
        name = "".join(name[i] for i in range(len(name)) if not _is_unseen(name, i)).strip()
    if not name:
        raise BrokenArtifact(f"{place}{what} {text!r} has no character that can be seen; give it a name")
    return name


def _called(character: str) -> str:
    if unicodedata.category(character) == "Cs":
        return f"0x{ord(character) & 0xFF:02X}"
    return KNOWN.get(character, f"U+{ord(character):04X}")


def _is_unseen(name: str, place: int) -> bool:
    character = name[place]
    if character in JOINERS:
        return not _joins(name, place)
    if character in FILLERS or "\U000e0100" <= character <= "\U000e01ef":
        return True
    return unicodedata.category(character) == "Cf" and character not in SEEN


def _joins(name: str, place: int) -> bool:
    """Whether a joiner or non-joiner stands within a word of a script in which it changes what is read."""
    before = place - 1
    while before >= 0 and unicodedata.category(name[before]) == "Mn" and unicodedata.combining(name[before]) != VIRAMA:
        before -= 1
    if before < 0 or place + 1 == len(name):
        return False
    following = name[place + 1]
    at_virama = VIRAMA in (unicodedata.combining(name[before]), unicodedata.combining(following))
    within_arabic = unicodedata.bidirectional(name[before]) == unicodedata.bidirectional(following) == "AL"
    return at_virama or within_arabic


def natural_key(name: str) -> str:
    """A key that sorts names by code points, but numbers in them by value: ``im2`` before ``im10``.

    Names whose numbers have equally many digits are in the order of `sorted`. Signs, decimal points and exponents are
    no part of a number, as in file managers: ``f0.5`` comes before ``f0.25``.
    """
    return re.sub(r"\d+", _by_value, name)


def _by_value(number: re.Match[str]) -> str:
    """Where the digits of its script stand among code points, then how long a number is, then its digits."""
    text, zero = number[0], "0"
    if not text.isascii():
        zero = chr(ord(text[0]) - unicodedata.decimal(text[0]))
        text = "".join(str(unicodedata.decimal(digit)) for digit in text)
    value = text.lstrip("0")
    return f"{zero}{chr(len(value))}{value}"


def natural_order(names: Iterable[str]) -> list[str]:
    """Names with their numbers in order of value; those of equal value (``im1``, ``im01``) in order of text."""
    return sorted(names, key=lambda name: (natural_key(name), name))


def likeness(name: str) -> str:
    """What is left of a name without case, width (Unicode NFKC), white space and characters that are not seen."""
    if name.isascii() and name.isprintable():
        return "".join(name.split()).lower()
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return "".join(
        folded[i]
        for i in range(len(folded))
        if not (folded[i].isspace() or folded[i] in JOINERS or _is_unseen(folded, i))
    )


def first_alike(names: Sequence[str]) -> tuple[int, int] | None:
    """Places of the first two names that differ, but only in case, width or spaces; None if there are none."""
    seen: dict[str, int] = {}
    known: set[str] = set()
    for place, name in enumerate(names):
        if name in known:
            continue
        known.add(name)
        first = seen.setdefault(likeness(name), place)
        if first != place:
            return first, place
    return None


def refuse_alike(names: Sequence[str], where: str, what: str, lines: Sequence[int] | None = None) -> None:
    """Refuse names that a reader takes for one, such as ``EARLY`` and ``early``.

    Parameters
    ----------
    where : file, for the message; empty where the message is put beside a key
    what : of what they are the names, for the message
    lines : (n_names,) their lines in the file, for the message

    Raises
    ------
    BrokenArtifact
        Names both spellings and, where known, both lines.
    """
    found = first_alike(names)
    if found is not None:
        one, other = found
        place = where if lines is None else f"{where} lines {lines[one]} and {lines[other]}"
        raise BrokenArtifact(
            f"{f'{place}: ' if place else ''}{what} {names[one]!r} and {names[other]!r} differ only in case, width or "
            "spaces; spell them alike, or give one another name"
        )


def printable(name: str) -> str:
    """A name for a message, with escapes for what would break its line or cannot be shown."""
    return name if name.isprintable() else ascii(name)[1:-1]


def first_repeated(names: Iterable[str]) -> str | None:
    """The first name that stands twice; None if all differ."""
    return next((name for name, count in Counter(names).items() if count > 1), None)


def unwritable(text: str) -> str | None:
    """What keeps a text from being written to a file or used as a name: a NUL, half a surrogate pair; None for none."""
    if "\0" in text:
        return "a NUL character"
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return "a lone surrogate (bytes that are not UTF-8)"
    return None
