"""The networks that recipes train by name: which module each is, and what it is made with.

A recipe of the user's own names a function instead, see `pipeline.training.networks.OwnSection`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MODULES = {
    "small_conv": "pipeline.models.networks.small_conv_module:SmallConv",
    "small_vit": "pipeline.models.networks.small_vit_module:SmallViT",
    "two_pathway": "pipeline.models.networks.two_pathway_module:VideoEncoder",
    "one_pathway": "pipeline.models.networks.two_pathway_module:VideoEncoder",
    "recurrent_conv": "pipeline.models.networks.recurrent_conv_module:RecurrentConv",
}
"""Kind → the class of its module, which has ``taps()``."""
N_PATHS = {"two_pathway": 2, "one_pathway": 1}
OF_ONE_SIZE = ("small_vit",)
"""Kinds whose weights fit pictures of one size only, and which are made with it."""
OWN = "own"
"""The kind of a network that a function of the user's, or of an installed package, makes."""


def address_of(network: Mapping[str, Any]) -> str:
    """What makes a network, as ``package.module:attribute``; of the user's own also ``FILE.py:function``.

    Parameters
    ----------
    network : the section ``network`` of a recipe
    """
    return str(network["factory"]) if network["kind"] == OWN else MODULES[network["kind"]]


def arguments_of(network: Mapping[str, Any], size_px: int) -> dict[str, Any]:
    """The keyword arguments that a network is made with.

    Parameters
    ----------
    network : as of `address_of`
    size_px : side of the pictures that it is trained on
    """
    if network["kind"] == OWN:
        return dict(network["arguments"])
    options = {name: value for name, value in network.items() if name != "kind"}
    if network["kind"] in N_PATHS:
        options["n_paths"] = N_PATHS[network["kind"]]
    return options | ({"size_px": size_px} if network["kind"] in OF_ONE_SIZE else {})
