"""Which models are twins, by their names: ``NAME@random-SEED`` and ``NAME@shuffled-SEED``.

The objective does not say so: an untrained network of a user's own is called ``random`` as well.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_TWIN = re.compile(r"^(?P<base>.+)@(?P<kind>random|shuffled)(?:-\d+)?$")


def twin_of(name: str) -> tuple[str, str] | None:
    """(network, ``random`` or ``shuffled``) of a twin's name, or of ``NAME@KIND``; None for anything else."""
    found = _TWIN.match(name)
    return (found["base"], found["kind"]) if found else None


def twins_of(reference: str, models: Sequence[str]) -> list[str]:
    """The models that a reference stands for: all seeds for ``NAME@random`` and ``NAME@shuffled``, else itself."""
    if reference.endswith(("@random", "@shuffled")):
        return [name for name in models if name == reference or name.startswith(f"{reference}-")]
    return [name for name in models if name == reference]
