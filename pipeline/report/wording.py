"""Numbers, intervals and lists of names, as they stand in sentences."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence

from pipeline.core.prose import listed
from pipeline.inference.scores.null_scores import SIGNIFICANT_BELOW

MINUS = "−"
NBSP = "\u00a0"
FEW_ORDERS = 0.05  # of all orders of the regions: with fewer that do as well, best layers follow the study's
CI_UNITS = {
    "block": "held-out blocks",
    "item": "items",
    "subject": "subjects",
    "subject and item": "subjects and items",
}
SIMILARITY_CI_UNITS = {**CI_UNITS, "block": "stretches of neighbouring blocks"}
REGRESSORS = {"running_speed": "running speed", "pupil_area": "pupil area", "all": "all jointly"}


@dataclasses.dataclass(frozen=True)
class CeilingWords:
    """What the page says of a kind of ceiling.

    Parameters
    ----------
    named : how it was estimated
    methods : of an encoding model's, a template of what the methods say of it (see `pipeline.core.prose`); a metric
        that compares similarities says so in its own words
    limit : what scores are a share of
    """

    named: str
    methods: str = ""
    limit: str = "what its reliability allows"


_OVER_SUBJECTS = (
    "Reliability follows from the mean pairwise correlation between subjects, r̄ for one of them and "
    'S·r̄/(1 + (S − 1)·r̄) for the mean of S ({{ cite("intersubject") }}); the ceiling of r is its square root.'
)
CEILINGS = {
    "split_half_spearman_brown": CeilingWords(
        "√ split-half reliability, stepped up by Spearman–Brown",
        "Reliability is the split-half correlation over repeats, stepped up by the Spearman–Brown formula "
        '({{ cite("spearman") }}; {{ cite("brown") }}); the ceiling of r is its square root.',
    ),
    "intersubject_single": CeilingWords("√ mean correlation between subjects", _OVER_SUBJECTS),
    "intersubject_mean": CeilingWords("√ reliability of the subjects' mean response", _OVER_SUBJECTS),
    "√(split_half_trials)": CeilingWords("√ split-half reliability over trials, as published"),
    "across_animals": CeilingWords(
        "√ mean agreement of two animals' matrices of a region", limit="what animals agree on"
    ),
    "split_half_repeats": CeilingWords("√ reliability of one animal's matrix over its repeats (of these cells only)"),
}
"""Kind of ceiling → what the page says of it."""
WITHIN_CATEGORY = "-within-category"


def number(value: float, decimals: int = 2) -> str:
    """``−0.04``; ``n/a`` where undefined; never ``−0.00``."""
    if not math.isfinite(value):
        return "n/a"
    text = f"{value:.{decimals}f}"
    if float(text) == 0:
        text = text.removeprefix("-")
    return text.replace("-", MINUS)


def interval(low: float, high: float) -> str:
    """``[0.35, 0.47]``, not broken over lines."""
    return f"[{number(low)},{NBSP}{number(high)}]"


def with_interval(value: float, low: float, high: float) -> str:
    """``0.41 [0.35, 0.47]``; without brackets where there is no interval."""
    return f"{number(value)}{NBSP}{interval(low, high)}" if math.isfinite(low) or math.isfinite(high) else number(value)


def p_value(p: float) -> str:
    """``p = 0.03``, ``p = 0.004``, ``p < 0.001``; empty where undefined."""
    if not math.isfinite(p):
        return ""
    if p < 0.001:
        return f"p{NBSP}<{NBSP}0.001"
    return f"p{NBSP}={NBSP}{number(p, 3 if p < 0.01 else 2)}"


def verdict(low: float, high: float, p: float) -> str:
    """``above``, ``below`` or ``open``: whether a difference is told from 0; ``none`` where it has no interval.

    Parameters
    ----------
    low, high : its interval, which must leave 0 out
    p : which must be below .05 where there is one
    """
    if not (math.isfinite(low) and math.isfinite(high)):
        return "none"
    if p >= SIGNIFICANT_BELOW:
        return "open"
    return "above" if low > 0 else "below" if high < 0 else "open"


def signed(value: float) -> str:
    """``+0.12`` or ``−0.04``."""
    text = number(value)
    return text if text.startswith(MINUS) or not math.isfinite(value) else f"+{text}"


def regressors(names: Iterable[str]) -> str:
    """``running speed and pupil area``."""
    return listed([REGRESSORS.get(name, name.replace("_", " ")) for name in names])


def percent(share: float) -> str:
    """``3.4 %`` of a share; ``n/a`` where undefined."""
    return f"{number(100 * share, 1)}{NBSP}%" if math.isfinite(share) else "n/a"


def follows_order(low: float, high: float, share: float) -> str:
    """What a rank correlation says of the regions' order.

    Parameters
    ----------
    low, high : ends of its interval, with the regions fixed
    share : of all orders of these regions, those that correlate as strongly
    """
    if not (low > 0 or high < 0):
        return "it cannot be told whether best layers of these regions get deeper"
    way = "deeper" if low > 0 else "shallower"
    if share < FEW_ORDERS:
        follow = "follow the order" if low > 0 else "run against the order"
        return f"best layers of these regions {follow}: they get reliably {way}"
    return (
        f"best layers of these regions get {way}, but too many other orders of them would do as well to say that they "
        f"{'follow' if low > 0 else 'run against'} this one"
    )


def ceilings(kinds: Iterable[str]) -> str:
    """How ceilings were estimated, in words; empty if none is known."""
    return listed([_ceiling_words(kind).named for kind in ceiling_kinds(kinds) if kind not in ("", "none")])


def ceiling_kinds(kinds: Iterable[str]) -> list[str]:
    """Each kind once, of values that may join several by `` | ``."""
    return list(dict.fromkeys(kind for kinds_of_one in kinds for kind in str(kinds_of_one).split(" | ")))


def ceiling_methods(kinds: Iterable[str]) -> list[str]:
    """Templates of what the methods say of ceilings, each once, in the order of `CEILINGS`."""
    found = ceiling_kinds(kinds)
    return list(dict.fromkeys(words.methods for kind, words in CEILINGS.items() if kind in found and words.methods))


def ceiling_limit(kind: str) -> str:
    """What normalised scores are a share of; of several kinds joined, what is said of the first that says another."""
    limits = [_ceiling_words(one).limit for one in ceiling_kinds([kind])]
    return next((limit for limit in limits if limit != CeilingWords.limit), CeilingWords.limit)


def _ceiling_words(kind: str) -> CeilingWords:
    return CEILINGS.get(kind, CeilingWords(kind.replace("_", " ")))


def layer_set(names: Sequence[str], all_layers: Sequence[str]) -> str:
    """``stage2–stage5 (4 of 9)`` for neighbours, else the names, or the outermost two and how many.

    Parameters
    ----------
    names : the set; all_layers : in order of depth
    """
    members = [name for name in all_layers if name in set(names)]
    if not members:
        return "none"
    share = f"({len(members)} of {len(all_layers)})"
    first, last = all_layers.index(members[0]), all_layers.index(members[-1])
    if len(members) == 1:
        return f"{members[0]} {share}"
    if last - first + 1 == len(members):
        return f"{members[0]}–{members[-1]} {share}"
    if len(members) <= 4:
        return f"{listed(members)} {share}"
    return f"{len(members)} of {len(all_layers)} layers between {members[0]} and {members[-1]}"


def quantity(value: float) -> str:
    """``0.5``, ``21``, ``10⁶``: an option's value as a paper prints it."""
    exponent = math.log10(value) if value > 0 else 0.0
    if abs(exponent) >= 3 and exponent == round(exponent):
        return "10" + str(round(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"{value:g}"


def file_size(n_bytes: int) -> str:
    """``3.4 MB`` in powers of ten."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n_bytes >= size:
            return f"{n_bytes / size:.1f} {unit}"
    return f"{n_bytes} bytes"


def duration(seconds: float) -> str:
    """``4.2 s``, ``3 min 20 s``, ``2 h 5 min``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
