"""What the names of contrasts say, beyond those of pairs of regions and of streams."""

from __future__ import annotations

import dataclasses

from pipeline.inference.questions.languages import DOMAIN, LANGUAGE


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
