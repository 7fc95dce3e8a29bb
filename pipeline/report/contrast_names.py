"""What the names of contrasts say, beyond those of pairs of regions and of streams."""

from __future__ import annotations

import dataclasses
import re

from pipeline.inference.languages import DOMAIN, LANGUAGE

_RANK = re.compile(r"^depth order(?: in (?P<pathway>.+?))?: rank correlation of (?P<n>\d+) regions$")


@dataclasses.dataclass(frozen=True)
class RankName:
    """``depth order: rank correlation of N regions``, or ``depth order in PATHWAY: …``.

    Parameters
    ----------
    pathway : empty for a network of a single one
    """

    n_regions: int
    pathway: str = ""

    @classmethod
    def read(cls, name: str) -> RankName | None:
        """None for the name of any other contrast."""
        found = _RANK.match(name)
        return cls(int(found["n"]), found["pathway"] or "") if found else None


@dataclasses.dataclass(frozen=True)
class LanguageName:
    """``native over non-native language`` or ``acoustic domain match``, of all listeners or ``…: GROUP``.

    Parameters
    ----------
    effect : one of the two
    group : the listeners; empty for the effect over the whole design
    """

    effect: str
    group: str = ""

    @classmethod
    def read(cls, name: str) -> LanguageName | None:
        """None for the name of any other contrast."""
        effect, _, group = name.partition(": ")
        return cls(effect, group) if effect in (LANGUAGE, DOMAIN) else None
