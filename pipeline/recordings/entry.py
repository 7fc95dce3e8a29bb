"""What a dataset has to provide. New dataset = one module and a registry entry."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from pipeline.artifacts.catalogue import Catalogue
from pipeline.core.section import Section

if TYPE_CHECKING:
    import xarray as xr

    from pipeline.artifacts.recording import RecordingParts


class DatasetOptions(Section):
    """Options that every dataset has; a dataset's own class adds its fields and narrows ``kind``."""

    kind: str
    limit: int | None = Field(
        None, ge=1, description="how many groups or subjects to take for a first taste; None takes all"
    )


@dataclasses.dataclass(frozen=True)
class DatasetEntry:
    """A dataset: how to list it, make its stimuli and make its recordings.

    Parameters
    ----------
    kind : the name by which a study asks for it; also the folder under ``data/raw/``
    options : its pydantic options, with ``kind: Literal[kind]``
    catalogue : (options, key, mirror) → Catalogue; may query the network, fetches nothing. ``mirror`` is an http(s)
        prefix that stands before HOST/PATH of public addresses, or None
    prepare_stimulus : (name, raw_folder, options) → stimulus Dataset
    prepare_recording : (name, raw_folder, options) → recording or geometry Dataset, or the parts of a recording that is
        too large for memory
    title, citation, licence : for the report
    words : ``package.module:name`` of what else the report says of it, a `pipeline.core.prose.DatasetWords`; named by
        its address, so that no key depends on a sentence
    selection : names of the options that decide which files are needed (they make the catalogue's key)
    shown : names of the options that decide what stimuli look like; None where all options and files do. A stimulus
        that depends on few options is stored, and shown to networks, once for all studies that share them
    recorded : names of the options that decide what a recording holds, likewise
    lists : files of the package that the catalogue is made from; a changed list changes every key
    simulate : (raw_folder, options, weights_folders) writes raw files; only simulated datasets have it
    simulation_models : (options) → names of the networks whose weights ``simulate`` reads
    contents : (options) → what keys hold of the options of these names, e.g. digests in place of paths; only datasets
        of local files have it, and each of their keys has a raw folder of its own. Names that are no options may be
        among them, for ``shown`` and ``recorded`` to take
    """

    kind: str
    options: type[DatasetOptions]
    catalogue: Callable[[Any, str, str | None], Catalogue]
    prepare_stimulus: Callable[[str, Path, Any], xr.Dataset]
    prepare_recording: Callable[[str, Path, Any], xr.Dataset | RecordingParts]
    title: str
    citation: str
    licence: str
    words: str = ""
    selection: tuple[str, ...] = ("kind", "limit")
    shown: tuple[str, ...] | None = None
    recorded: tuple[str, ...] | None = None
    lists: tuple[Path, ...] = ()
    simulate: Callable[[Path, Any, dict[str, Path]], None] | None = None
    simulation_models: Callable[[Any], tuple[str, ...]] | None = None
    contents: Callable[[Any], dict[str, Any]] | None = None

    @property
    def simulated(self) -> bool:
        return self.simulate is not None
