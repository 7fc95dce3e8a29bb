"""What a study file may name as the maker of a network, and what of it is called, and when.

A study file by itself must not run code of its sender's choice: the functions of installed packages do anything from
deleting files to unpickling them. What lies in Python files beside the study is code of its author's, and is run, by
activate only.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any

from pipeline.core.errors import BadConfiguration, LayermapError
from pipeline.core.registry import import_function, import_object

GROUP = "layermap.networks"
"""Entry points by which a package announces functions that make networks; their values are what studies name."""
TIMM = "timm:create_model"
TORCHVISION = "torchvision.models"
LOADING = ("pretrained", "weights", "weights_backbone", "checkpoint_path", "pretrained_cfg", "pretrained_cfg_overlay")
"""Arguments by which timm and torchvision download or unpickle weights."""


def check_arguments(factory: str, arguments: dict[str, Any]) -> None:
    """Refuse arguments that let a package load weights: unchecked, unpinned, and unknown to the report.

    Raises
    ------
    BadConfiguration
        Names the argument.
    """
    if not _is_of_the_zoo(factory):
        return
    for name in LOADING:
        if arguments.get(name) not in (None, False, ""):
            raise BadConfiguration(f"arguments: {name} would load weights unseen; leave it out and give weights: FILE")
    if factory == TIMM and ":" in str(arguments.get("model_name", "")):
        raise BadConfiguration(
            f"arguments: model_name '{arguments['model_name']}' is a place, not a network of timm; give its plain name"
        )


def import_factory(address: str) -> Any:
    """Import what makes a network: from a file of the study's folder, or from an installed package.

    Of a package it is a class of torch modules, a function of torchvision.models, timm's create_model, or what the
    package announces as an entry point of `GROUP`.

    Raises
    ------
    LayermapError
        It cannot be imported, or is none of these; the message says what to do.
    """
    if address.rpartition(":")[0].endswith(".py"):
        return import_function(address, "network")
    if any(point.value.replace(" ", "") == address for point in entry_points(group=GROUP)) or _is_of_the_zoo(address):
        return import_object(address)
    import torch

    found = import_object(address)
    if isinstance(found, type) and issubclass(found, torch.nn.Module):
        return found
    raise LayermapError(
        f"factory '{address}' is no torch.nn.Module, and no function that its package announces for making networks "
        f"(entry points {GROUP}); call it in a function of a file beside the study, and name that: FILE.py:function"
    )


def _is_of_the_zoo(address: str) -> bool:
    module = address.partition(":")[0]
    return address == TIMM or module == TORCHVISION or module.startswith(f"{TORCHVISION}.")
