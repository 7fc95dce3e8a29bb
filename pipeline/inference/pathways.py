"""Networks of several pathways: layers that lie beside each other, behind a stem that all of them share.

Relative depth runs from 0 to 1 within each pathway, so that depths of different pathways cannot be compared. The
stem is the first layer of every one. A best layer is therefore chosen over the whole network and within each pathway;
depth index and order of regions are taken within pathways alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHARED = "stem"
WHOLE = "all"
"""In summaries: over all pathways of a network that has several."""


def pathways_of(pathway: Sequence[str]) -> dict[str, NDArray[np.intp]]:
    """Pathway → numbers of its layers, the stem's included; empty for a network of a single pathway.

    Parameters
    ----------
    pathway : (layer,), name of each layer's pathway
    """
    names = [name for name in dict.fromkeys(pathway) if name != SHARED]
    if len(names) < 2:
        return {}
    return {name: np.array([i for i, own in enumerate(pathway) if own in (SHARED, name)]) for name in names}


def in_one_pathway(members: NDArray[np.bool_], pathway: Sequence[str]) -> bool:
    """Whether layers all lie in one pathway, which the stem does with each; True if the network has only one."""
    found = pathways_of(pathway)
    chosen = set(np.flatnonzero(members).tolist())
    return not found or any(chosen <= set(layers.tolist()) for layers in found.values())


def in_order(pathway: Sequence[str], relative_depth: Sequence[float] | NDArray[Any]) -> list[int]:
    """Numbers of the layers from shallow to deep; of several pathways one after the other, behind the stem."""
    names = [SHARED, *pathways_of(pathway)]
    rank = {name: number for number, name in enumerate(names)} if len(names) > 1 else {}
    return sorted(range(len(pathway)), key=lambda one: (rank.get(pathway[one], 0), relative_depth[one]))
