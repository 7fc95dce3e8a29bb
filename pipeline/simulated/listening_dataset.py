"""Simulated listeners with planted layers, as a BIDS dataset of task-fMRI.

Everything here is simulated: responses are linear readouts of layers of CREPE tiny, chosen so that the layers can be
told apart (`pipeline.simulated.readouts`), with stated reliabilities. The files are a BIDS dataset, so that the
reader of real ones runs (`pipeline.simulated.bids_reader`).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from pipeline.artifacts.catalogue import Catalogue, Group, Run, StimulusEntry
from pipeline.core.errors import SampleMismatch
from pipeline.recordings.entry import DatasetEntry, DatasetOptions

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

    from pipeline.simulated.bids_reader import BoldRun
    from pipeline.simulated.listening import ListeningDesign

KIND = "simulated_listening"
STIMULUS = "sounds"
RECORDING = "listeners"
MODEL = "crepe-tiny"
MEAN = "mean"
TRIAL_TYPE = "sound"

Region = Literal["Heschl", "PT", "STG", "STS", "IFG", "WM"]
Planted = Literal["conv1", "conv2", "conv3", "conv4", "conv5", "conv6", "pitch", "noise"]


class SimulatedListeningOptions(DatasetOptions):
    """What is planted where, and how well it can be seen. ``limit`` takes the first listeners."""

    kind: Literal["simulated_listening"] = Field(
        "simulated_listening", description="simulated listeners with planted layers"
    )
    planted: dict[Region, Planted] = Field(
        {"Heschl": "conv1", "PT": "conv2", "STG": "conv4", "STS": "conv6", "IFG": "pitch", "WM": "noise"},
        min_length=1,
        description="region → layer of CREPE tiny that its voxels read out, or noise",
    )
    reliability: dict[Region, float] = Field(
        {"Heschl": 0.4, "PT": 0.3, "STG": 0.5, "STS": 0.5, "IFG": 0.6},
        description="region → share of the signal in a voxel's variance after cleaning; none for noise",
    )
    n_listeners: int = Field(3, ge=1, description="simulated listeners")
    n_voxels: int = Field(30, ge=1, le=120, description="voxels per region")
    repetition_time_s: float = Field(2.0, gt=0, description="TR in s, a multiple of 0.1 s")
    sound_s: float = Field(360.0, ge=60, description="length of the sound, in s")
    onset_s: float = Field(6.0, ge=0, description="start of the sound after the first volume's, in s (events.tsv)")
    high_pass_s: float = Field(128.0, ge=0, description="period of the high-pass filter in s, 0 for none")
    identifiable_folds: int = Field(
        6, ge=2, description="outer folds of the encoding model for which readouts are identifiable, as in the study"
    )
    identifiable_gap_s: float = Field(10.0, ge=0, description="its gap between training and held-out samples, in s")
    identifiable_delays_s: tuple[float, float] = Field((2.0, 8.0), description="its first and last delay, in s")
    seed: int = Field(0, ge=0, description="seed of sound, readouts and noise")

    @model_validator(mode="after")
    def _reliability_where_planted(self) -> SimulatedListeningOptions:
        planted = {region for region, layer in self.planted.items() if layer != "noise"}
        if set(self.reliability) != planted:
            wrong = sorted(planted ^ set(self.reliability))[0]
            raise ValueError(f"reliability: '{wrong}' must have a value exactly if a layer is planted there")
        for region, value in self.reliability.items():
            if not 0 < value < 1:
                raise ValueError(f"reliability of {region} is {value:g}, it must lie between 0 and 1")
        return self

    @model_validator(mode="after")
    def _volumes_fall_on_frames(self) -> SimulatedListeningOptions:
        for name in ("repetition_time_s", "onset_s"):
            tenths = getattr(self, name) * 10
            if abs(tenths - round(tenths)) > 1e-6:
                raise ValueError(f"{name} is {getattr(self, name):g} s, it must be a multiple of 0.1 s")
        return self

    @property
    def n_written(self) -> int:
        return self.n_listeners if self.limit is None else min(self.limit, self.n_listeners)

    def design(self) -> ListeningDesign:
        """The same in the terms of the simulation."""
        from pipeline.simulated.listening import ListeningDesign

        return ListeningDesign(
            n_written=self.n_written,
            n_voxels=self.n_voxels,
            planted={str(region): str(layer) for region, layer in self.planted.items()},
            reliability={str(region): value for region, value in self.reliability.items()},
            repetition_time_s=self.repetition_time_s,
            sound_s=self.sound_s,
            onset_s=self.onset_s,
            high_pass_s=self.high_pass_s,
            n_folds=self.identifiable_folds,
            gap_s=self.identifiable_gap_s,
            delays_s=self.identifiable_delays_s,
            seed=self.seed,
        )


def catalogue(options: SimulatedListeningOptions, key: str, mirror: str | None = None) -> Catalogue:
    """One group: all listeners heard the same sounds and are targets of one recording; nothing is fetched."""
    from pipeline.simulated.listening import listener_name

    subjects = tuple(listener_name(number) for number in range(options.n_written))
    return Catalogue(
        dataset=KIND,
        key=key,
        simulated=True,
        groups=(Group(name=RECORDING, runs=(Run(stimulus=STIMULUS, recording=RECORDING),), subjects=subjects),),
        recordings=(RECORDING,),
        stimuli=(StimulusEntry(name=STIMULUS, modality="audio"),),
        files=(),
    )


def simulate(raw_folder: Path, options: SimulatedListeningOptions, weights_folders: dict[str, Path]) -> None:
    """Write the BIDS dataset; equal options and weights give equal bytes."""
    from pipeline.simulated.listening import simulate_listeners

    simulate_listeners(raw_folder, options.design(), weights_folders[MODEL])


def prepare_stimulus(name: str, raw_folder: Path, options: SimulatedListeningOptions) -> xr.Dataset:
    """The sounds as one long clip at 16 kHz."""
    from pipeline.simulated.listening import SOUND_FILE
    from pipeline.stimuli.sounds.audio_files import audio_stimulus, read_sounds

    sounds, sampling_rate_hz = read_sounds([raw_folder / "stimuli" / SOUND_FILE])
    stimulus = audio_stimulus(name, sounds, [name], sampling_rate_hz)
    stimulus.attrs["simulated"] = 1
    return stimulus


def prepare_recording(name: str, raw_folder: Path, options: SimulatedListeningOptions) -> xr.Dataset:
    """Cleaned BOLD ``(repeat=1, sample = volume, target = listener × voxel)``, and the mean over listeners.

    Raises
    ------
    BrokenArtifact, SampleMismatch
        As in `pipeline.simulated.bids_reader.read_bold_run`, or listeners differ in their volumes.
    """
    import numpy as np

    from pipeline.recordings.bold.clean import clean_responses
    from pipeline.simulated.listening import listener_name

    responses, subjects = [], [listener_name(number) for number in range(options.n_written)]
    runs = [_read_listener(raw_folder, subject) for subject in subjects]
    for subject, run in zip(subjects, runs, strict=True):
        if not np.array_equal(run.time_s, runs[0].time_s):
            raise SampleMismatch(
                f"{raw_folder}: {subject} has {run.time_s.size} volumes within the sound and {subjects[0]} "
                f"{runs[0].time_s.size}, or at other times; "
                "run: snakemake fetch --forcerun fetch_simulated"
            )
        responses.append(
            clean_responses(
                run.values,
                sample_interval_s=run.repetition_time_s,
                high_pass_s=options.high_pass_s,
                confounds=run.confounds,
            )
        )
    if len(responses) > 1:
        subjects.append(MEAN)
        average = np.stack(responses).mean(axis=0)
        responses.append(clean_responses(average, sample_interval_s=runs[0].repetition_time_s, high_pass_s=0.0))
    return _dataset(name, responses, subjects, runs[0], options)


def _read_listener(raw_folder: Path, subject: str) -> BoldRun:
    from pipeline.simulated.bids_reader import read_bold_run
    from pipeline.simulated.listening import LABELS_FILE, REGIONS_FILE, bold_path

    labels, regions = raw_folder / LABELS_FILE, raw_folder / REGIONS_FILE
    return read_bold_run(bold_path(raw_folder, subject), labels, regions, trial_type=TRIAL_TYPE)


def _dataset(
    name: str, responses: list[np.ndarray], subjects: list[str], run: BoldRun, options: SimulatedListeningOptions
) -> xr.Dataset:
    """All subjects' targets side by side; every subject has the voxels of ``run``."""
    import numpy as np
    import xarray as xr

    unit = np.array([f"{r}-v{n}" for r, n in zip(run.region, run.number_in_region, strict=True)])
    stacked = np.concatenate(responses, axis=1)[None]
    _, n_samples, n_targets = stacked.shape
    n_subjects = len(subjects)
    places = np.tile(run.xyz_mm, (n_subjects, 1))
    return xr.Dataset(
        {
            "responses": (("repeat", "sample", "target"), stacked, {"units": "z-scored BOLD"}),
            "n_repeats": (("sample", "target"), np.ones((n_samples, n_targets), dtype=np.int64)),
        },
        coords={
            "time_s": ("sample", run.time_s, {"units": "s"}),
            "run": ("sample", np.full(n_samples, name)),
            "stimulus": ("sample", np.full(n_samples, STIMULUS)),
            "target": ("target", np.array([f"{subject}-{voxel}" for subject in subjects for voxel in unit])),
            "region": ("target", np.tile(run.region, n_subjects)),
            "subject": ("target", np.repeat(subjects, unit.size)),
            "unit": ("target", np.tile(unit, n_subjects)),
            **{f"{axis}_mm": ("target", places[:, i], {"units": "mm"}) for i, axis in enumerate("xyz")},
        },
        attrs={
            "units": "z-scored BOLD",
            "sample_kind": "time",
            "sample_interval_s": run.repetition_time_s,
            "high_pass_s": options.high_pass_s,
            "z_scored": 1,
            "n_subjects": options.n_written,
            "slice_reference": "end of the volume's acquisition",
            "simulated": 1,
        },
    )


DATASET = DatasetEntry(
    kind=KIND,
    options=SimulatedListeningOptions,
    catalogue=catalogue,
    prepare_stimulus=prepare_stimulus,
    prepare_recording=prepare_recording,
    title="Simulated listeners: planted layers, identifiable by construction, in a BIDS dataset",
    citation="simulated by layermap; speech by eSpeak NG; layout: BIDS (Gorgolewski et al. 2016, Sci. Data 3:160044)",
    licence="BSD-3-Clause (this simulation)",
    selection=("kind", "limit"),
    simulate=simulate,
    simulation_models=lambda options: (MODEL,),
)
