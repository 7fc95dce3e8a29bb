"""165 natural sounds and six response components of human auditory cortex (Norman-Haignere et al. 2015).

The targets are **components**: response profiles over sounds, inferred from the fMRI responses of all
listeners together. They are neither voxels nor regions; the published weights give only a rank-6
reconstruction of voxels, which is never made here. There are no repeats in the published file, so
reliability and ceiling are unknown.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from pipeline.artifacts.catalogue import Catalogue, Group, Run, StimulusEntry
from pipeline.core.errors import BrokenArtifact
from pipeline.recordings.entry import DatasetEntry, DatasetOptions
from pipeline.recordings.published.pinned_files import FILES, pinned_files

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

KIND = "natsound165"
STIMULUS = "sounds"
RECORDING = "components"
COMPONENTS_FILE = "data/components.mat"
N_SOUNDS = 165
N_COMPONENTS = 6
N_LISTENERS = 10  # scanned in the paper's first experiment; the published file does not repeat it
SAMPLING_RATE_HZ = 44100
CLIP_SAMPLES = 2 * SAMPLING_RATE_HZ


class NatSoundOptions(DatasetOptions):
    """The whole dataset is one group, so ``limit`` changes nothing."""

    kind: Literal["natsound165"] = Field("natsound165", description="165 natural sounds, six fMRI components")


def catalogue(options: NatSoundOptions, key: str, mirror: str | None = None) -> Catalogue:
    """One group, one recording, one stimulus; files from the pinned list."""
    return Catalogue(
        dataset=KIND,
        key=key,
        groups=(Group(name="components", runs=(Run(stimulus=STIMULUS, recording=RECORDING),), subjects=("group",)),),
        recordings=(RECORDING,),
        stimuli=(StimulusEntry(name=STIMULUS, modality="audio"),),
        files=pinned_files(KIND),
    )


def _strings(cells: np.ndarray) -> list[str]:
    """A MATLAB cell array of strings, as loadmat nests it."""
    return [str(cell.item()) for cell in cells.ravel()]


def _read_components(raw_folder: Path) -> dict[str, Any]:
    """``responses`` (165, 6) float64, ``component``, ``item`` and ``category`` as lists of str."""
    import numpy as np
    from scipy.io import loadmat

    path = raw_folder / COMPONENTS_FILE
    remedy = "delete it and run: snakemake fetch --forcerun fetch_recordings"
    names = ["R", "component_names", "stim_names", "category_labels"]
    if not path.is_file():
        raise BrokenArtifact(f"{path} is missing; fetch it with: snakemake fetch --forcerun fetch_recordings")
    try:
        contents = loadmat(path, variable_names=names)
    except Exception as error:  # scipy answers broken bytes with ValueError, TypeError, zlib.error, MatReadError …
        raise BrokenArtifact(f"{path} cannot be read as a MATLAB file ({error}); {remedy}") from error
    for name in names:
        if name not in contents:
            raise BrokenArtifact(f"{path} lacks variable '{name}'; {remedy}")
    responses = np.asarray(contents["R"])
    if responses.shape != (N_SOUNDS, N_COMPONENTS) or not np.isfinite(responses).all():
        raise BrokenArtifact(
            f"{path}: R has shape {responses.shape}, expected ({N_SOUNDS}, {N_COMPONENTS}) without NaN; {remedy}"
        )
    found = {
        "component": _strings(contents["component_names"]),
        "item": _strings(contents["stim_names"]),
        "category": _strings(contents["category_labels"]),
    }
    for name, expected in (("component", N_COMPONENTS), ("item", N_SOUNDS), ("category", N_SOUNDS)):
        if len(found[name]) != expected:
            raise BrokenArtifact(f"{path} names {len(found[name])} {name}s, expected {expected}; {remedy}")
    return {"responses": responses, **found}


def prepare_stimulus(name: str, raw_folder: Path, options: NatSoundOptions) -> xr.Dataset:
    """165 clips of 2 s at 44.1 kHz, unscaled, in the order of the responses; RMS is set by the models."""
    from pipeline.stimuli.file_remarks import Notes
    from pipeline.stimuli.sounds.audio_files import audio_stimulus, read_sound

    table = _read_components(raw_folder)
    clips, notes = [], Notes()
    for item in table["item"]:
        path = raw_folder / "sounds" / "wav" / f"{item}.wav"
        clip, sampling_rate_hz = read_sound(path, notes)
        if (sampling_rate_hz, clip.size) != (SAMPLING_RATE_HZ, CLIP_SAMPLES):
            raise BrokenArtifact(
                f"{path} has {clip.size} samples at {sampling_rate_hz} Hz, expected {CLIP_SAMPLES} at "
                f"{SAMPLING_RATE_HZ} Hz (2 s); delete it and run: snakemake fetch --forcerun fetch_recordings"
            )
        clips.append(clip)
    notes.say()
    return audio_stimulus(name, clips, table["item"], SAMPLING_RATE_HZ, table["category"])


def prepare_recording(name: str, raw_folder: Path, options: NatSoundOptions) -> xr.Dataset:
    """Component responses ``(repeat=1, sample=165, target=6)`` in arbitrary units, not z-scored."""
    import numpy as np
    import xarray as xr

    table = _read_components(raw_folder)
    components = np.asarray(table["component"])
    return xr.Dataset(
        {
            "responses": (("repeat", "sample", "target"), table["responses"].astype(np.float32)[None]),
            "n_repeats": (("sample", "target"), np.ones((N_SOUNDS, N_COMPONENTS), dtype=np.int64)),
        },
        coords={
            "item": ("sample", np.asarray(table["item"])),
            "category": ("sample", np.asarray(table["category"])),
            "run": ("sample", np.full(N_SOUNDS, RECORDING)),
            "stimulus": ("sample", np.full(N_SOUNDS, STIMULUS)),
            "target": ("target", components),
            "region": ("target", components),
            "compartment": ("target", np.full(N_COMPONENTS, "")),
            "subject": ("target", np.full(N_COMPONENTS, "group")),
        },
        attrs={
            "units": "component response (a.u.)",
            "sample_kind": "item",
            "high_pass_s": 0.0,
            "z_scored": 0,
            "n_subjects": N_LISTENERS,
        },
    )


DATASET = DatasetEntry(
    kind=KIND,
    options=NatSoundOptions,
    catalogue=catalogue,
    prepare_stimulus=prepare_stimulus,
    prepare_recording=prepare_recording,
    title="165 natural sounds, six response components of human auditory cortex",
    citation="Norman-Haignere, Kanwisher & McDermott 2015, Neuron 88:1281–1296, doi:10.1016/j.neuron.2015.11.035",
    licence="none stated (the authors' public release)",
    selection=("kind",),
    lists=(FILES / f"{KIND}.tsv",),
)
