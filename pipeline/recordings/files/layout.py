"""Where a user's own files lie below ``data/raw/files/<key>/``, and what of them enters keys.

Files are stored by the part they play, not by their own names (``run-1/responses.npy``); only pictures and sounds
of a folder keep theirs, which name the items. Runs with one stimulus share its files.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline.artifacts.catalogue import open_receipt
from pipeline.core.errors import BrokenArtifact
from pipeline.core.keys import sha256_of_file
from pipeline.recordings.file_digests import digests_of_files
from pipeline.recordings.files.options import FilesOptions, RunFiles
from pipeline.recordings.files.stimulus import stimulus_files

SHARED = ("regions", "categories")
OF_A_RUN = ("responses", "items", "times")


def _place(folder: Path, role: str, path: Path) -> Path:
    return folder / (role if path.is_dir() else f"{role}{path.suffix.lower()}")


def _stimulus_run(runs: tuple[RunFiles, ...], number: int) -> int:
    """The first run with the stimulus of a run."""
    return next(index for index, run in enumerate(runs) if run.stimulus == runs[number].stimulus)


def in_raw_folder(options: FilesOptions, folder: Path) -> FilesOptions:
    """The same options with every path within the raw folder, given as ``runs``."""
    runs = []
    for number, run in enumerate(options.parts):
        paths = {role: getattr(run, role) for role in OF_A_RUN if getattr(run, role) is not None}
        moved = {role: _place(folder / f"run-{number + 1}", role, path) for role, path in paths.items()}
        shared = folder / f"run-{_stimulus_run(options.parts, number) + 1}"
        runs.append(run.model_copy(update={**moved, "stimulus": _place(shared, "stimulus", run.stimulus)}))
    tables = {role: getattr(options, role) for role in SHARED if getattr(options, role) is not None}
    return options.model_copy(
        update={"runs": tuple(runs), **{role: _place(folder, role, path) for role, path in tables.items()}}
    )


def raw_files(options: FilesOptions) -> dict[str, Path]:
    """Path within the raw folder → the user's file, of every file there is."""
    moved = in_raw_folder(options, Path())
    pairs: dict[str, Path] = {}
    for role in SHARED:
        if getattr(options, role) is not None:
            pairs[str(getattr(moved, role))] = getattr(options, role)
    stimuli: dict[Path, Path] = {}
    for run, there in zip(options.parts, moved.parts, strict=True):
        stimuli[run.stimulus] = there.stimulus
        for role in OF_A_RUN:
            if getattr(run, role) is not None:
                pairs[str(getattr(there, role))] = getattr(run, role)
    for stimulus, place in stimuli.items():
        folder = stimulus.is_dir()
        pairs.update({str(place / file.name if folder else place): file for file in stimulus_files(stimulus)})
    return pairs


def contents(options: FilesOptions) -> dict[str, Any]:
    """What keys hold in place of paths: digests, endings and the names of items."""
    digests = digests_of_files(raw_files(options).values())

    @functools.cache  # runs may share a folder
    def content(path: Path | None) -> Any:
        if path is None:
            return None
        if path.is_dir():
            return {file.name: digests[file] for file in stimulus_files(path)}
        return [path.suffix.lower(), digests[path]]

    runs = [
        {
            **run.model_dump(mode="json"),
            **{role: content(getattr(run, role)) for role in (*OF_A_RUN, "stimulus")},
            "stimulus_run": _stimulus_run(options.parts, number),
        }
        for number, run in enumerate(options.parts)
    ]
    unused = {name: None for name in RunFiles.model_fields if name in FilesOptions.model_fields}
    return {**unused, **{role: content(getattr(options, role)) for role in SHARED}, "runs": runs}


def stimulus_names(options: FilesOptions, digests: Mapping[Path, str]) -> list[str]:
    """Name of the stimulus of each run; runs whose stimuli hold the same bytes share one, as folds must know.

    Parameters
    ----------
    digests : SHA-256 of the stimuli's files
    """
    seen: dict[Any, int] = {}
    numbers: dict[Path, int] = {}
    for stimulus in dict.fromkeys(run.stimulus for run in options.parts):
        folder = stimulus.is_dir()
        held = tuple((file.name if folder else "", digests[file]) for file in stimulus_files(stimulus))
        numbers[stimulus] = seen.setdefault(held, len(seen) + 1)
    return ["stimulus" if len(seen) == 1 else f"stimulus-{numbers[run.stimulus]}" for run in options.parts]


@dataclasses.dataclass(frozen=True)
class RawFolder:
    """What was fetched: options with paths in the raw folder, and the digests of the receipt."""

    options: FilesOptions
    digests: dict[Path, str]

    def stimuli(self) -> Iterator[tuple[str, RunFiles]]:
        """(name of its stimulus, run) of each run."""
        yield from zip(stimulus_names(self.options, self.digests), self.options.parts, strict=True)

    def check(self, *paths: Path | None) -> None:
        """Refuse files that are not those of the receipt: a hard link follows the user's edits.

        Raises
        ------
        BrokenArtifact
            Names the file and the remedy.
        """
        remedy = "run: snakemake fetch --forcerun fetch_recordings"
        for path in paths:
            for file in stimulus_files(path) if path is not None else ():
                if not file.is_file():
                    raise BrokenArtifact(f"{file} is missing; {remedy}")
                if sha256_of_file(file) != self.digests.get(file):
                    raise BrokenArtifact(f"{file} is not what was fetched: it was changed since; {remedy}")


def open_raw_folder(options: FilesOptions, folder: Path) -> RawFolder:
    """The raw folder of a dataset with its receipt, which lies beside it.

    Raises
    ------
    BrokenArtifact
        No receipt, or files of it are gone.
    """
    receipt = open_receipt(folder.parent / f"receipt-{folder.name}.json")
    digests = {folder / file.path: file.sha256 for file in receipt.files}
    for path in digests:
        if not path.is_file():
            raise BrokenArtifact(f"{path} is missing; run: snakemake fetch --forcerun fetch_recordings")
    return RawFolder(in_raw_folder(options, folder), digests)
