"""What a map knows of networks: which are twins, by their names, and which have pathways, by those of their layers.

Twins are called ``NAME@random-SEED`` and ``NAME@shuffled-SEED``. The objective does not say so: an untrained network of
a user's own is called ``random`` as well.

Networks trained from several seeds are called ``NAME@seed-N``, and all of them ``NAME@seed``.

Pathways lie beside each other, behind a stem that all of them share. Relative depth runs from 0 to 1 within each, so
that depths of different pathways cannot be compared. The stem is the first layer of every one. A best layer is
therefore chosen over the whole network and within each pathway; depth index and order of regions are taken within
pathways alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_TWIN = re.compile(r"^(?P<base>.+)@(?P<kind>random|shuffled)(?:-\d+)?$")
_TRAINED = re.compile(r"^(?P<network>.+)@seed-(?P<seed>\d+)$")
OF_SEEDS = "@seed"
GROUPS = ("@random", "@shuffled", OF_SEEDS)
"""What the name of several networks ends with: twins of a kind, or trainings of a recipe."""
SHARED = "stem"
WHOLE = "all"
"""In summaries: over all pathways of a network that has several."""


def twin_of(name: str) -> tuple[str, str] | None:
    """(network, ``random`` or ``shuffled``) of a twin's name, or of ``NAME@KIND``; None for anything else."""
    found = _TWIN.match(name)
    return (found["base"], found["kind"]) if found else None


def members_of(name: str, models: Sequence[str]) -> list[str]:
    """The models that a name stands for: all seeds of ``NAME@random``, ``NAME@shuffled`` or ``NAME@seed``, else itself.

    Twins of one seed are no member of all seeds.
    """
    if not is_group(name):
        return [one for one in models if one == name]
    seeds = re.compile(rf"{re.escape(name)}(-\d+)?")
    return [one for one in models if seeds.fullmatch(one)]


def seed_of(name: str) -> tuple[str, int] | None:
    """(network, seed) of one that was trained from several, ``NAME@seed-N``; None for anything else, also its twins."""
    found = _TRAINED.match(name)
    return (found["network"], int(found["seed"])) if found else None


def is_trained_group(name: str) -> bool:
    """Whether a name stands for all networks of a recipe."""
    return name.endswith(OF_SEEDS)


def is_group(name: str) -> bool:
    """Whether a name stands for several seeds: all networks of a recipe, or all twins of a kind."""
    return name.endswith(GROUPS)


def pathways_of(pathway: Sequence[str]) -> dict[str, NDArray[np.intp]]:
    """Pathway → numbers of its layers, the stem's included; empty for a network of a single pathway.

    Parameters
    ----------
    pathway : (layer,), name of each layer's pathway
    """
    import numpy as np

    names = [name for name in dict.fromkeys(pathway) if name != SHARED]
    if len(names) < 2:
        return {}
    return {name: np.array([i for i, own in enumerate(pathway) if own in (SHARED, name)]) for name in names}


def in_one_pathway(members: NDArray[np.bool_], pathway: Sequence[str]) -> bool:
    """Whether layers all lie in one pathway, which the stem does with each; True if the network has only one."""
    found = pathways_of(pathway)
    chosen = set(members.nonzero()[0].tolist())
    return not found or any(chosen <= set(layers.tolist()) for layers in found.values())


def in_order(pathway: Sequence[str], relative_depth: Sequence[float] | NDArray[Any]) -> list[int]:
    """Numbers of the layers from shallow to deep; of several pathways one after the other, behind the stem."""
    names = [SHARED, *pathways_of(pathway)]
    rank = {name: number for number, name in enumerate(names)} if len(names) > 1 else {}
    return sorted(range(len(pathway)), key=lambda one: (rank.get(pathway[one], 0), relative_depth[one]))
