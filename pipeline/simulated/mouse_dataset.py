"""Simulated mice with planted layers, in the files of the Allen Brain Observatory's 2-photon experiments.

Everything here is simulated: responses are linear readouts of layers of EfficientNet-Lite0, chosen so that the
layers can be told apart (`pipeline.simulated.readouts`), with stated reliabilities. The files are written in the
Allen layout and read through allensdk, so that the reader of the real experiments runs.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from pipeline.artifacts.catalogue import Catalogue, Group, Run, StimulusEntry
from pipeline.core.errors import BrokenArtifact, SampleMismatch
from pipeline.recordings.entry import DatasetEntry, DatasetOptions

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

    from pipeline.recordings.allen.two_photon.nwb import Session
    from pipeline.simulated.mouse import MouseDesign

KIND = "simulated_mouse"
STIMULUS = "movie"
MOVIE = "natural_movie_one"  # the Allen name under which the simulated movie is stored
MODEL = "efficientnet-lite0"
REMEDY = "delete its folder and run: snakemake fetch --forcerun fetch_simulated"

Area = Literal["VISp", "VISl", "VISal", "VISpm", "VISam"]
Planted = Literal["stem", "stage1", "stage2", "stage3", "stage4", "stage5", "stage6", "stage7", "head", "noise"]


class SimulatedMouseOptions(DatasetOptions):
    """What is planted where, and how well it can be seen. ``limit`` takes the first mice."""

    kind: Literal["simulated_mouse"] = Field("simulated_mouse", description="simulated mice with planted layers")
    planted: dict[Area, Planted] = Field(
        {"VISp": "stem", "VISl": "stage2", "VISal": "stage4", "VISpm": "noise", "VISam": "head"},
        min_length=1,
        description="area → layer of EfficientNet-Lite0 that its cells read out, or noise",
    )
    reliability: dict[Area, float] = Field(
        {"VISp": 0.6, "VISl": 0.45, "VISal": 0.3, "VISam": 0.5},
        description="area → expected correlation of two single trials, per frame of the movie; none for noise",
    )
    n_mice: int = Field(3, ge=1, description="simulated mice")
    n_cells: int = Field(10, ge=1, description="cells per mouse and area")
    n_frames: int = Field(300, ge=60, description="frames of the movie")
    n_repeats: int = Field(10, ge=2, description="how often the movie is shown")
    frame_rate_hz: float = Field(1.0, gt=0, le=10, description="frames of the movie shown per second")
    depth_um: int = Field(275, gt=0, description="imaging depth given to every area, in µm")
    identifiable_folds: int = Field(
        5, ge=2, description="outer folds of the encoding model for which readouts are identifiable, as in the study"
    )
    identifiable_gap_s: float = Field(2.0, ge=0, description="its gap between training and held-out samples, in s")
    identifiable_delays_s: tuple[float, float] = Field((0.0, 1.0), description="its first and last delay, in s")
    seed: int = Field(0, ge=0, description="seed of movie, readouts, clocks and noise")

    @model_validator(mode="after")
    def _reliability_where_planted(self) -> SimulatedMouseOptions:
        planted = {area for area, layer in self.planted.items() if layer != "noise"}
        if set(self.reliability) != planted:
            wrong = sorted(planted ^ set(self.reliability))[0]
            raise ValueError(f"reliability: '{wrong}' must have a value exactly if a layer is planted there")
        for area, value in self.reliability.items():
            if not 0 < value < 1:
                raise ValueError(f"reliability of {area} is {value:g}, it must lie between 0 and 1")
        return self

    @property
    def n_written(self) -> int:
        return self.n_mice if self.limit is None else min(self.limit, self.n_mice)

    def design(self) -> MouseDesign:
        """The same in the terms of the simulation."""
        from pipeline.simulated.mouse import MouseDesign

        return MouseDesign(
            n_mice=self.n_mice,
            n_written=self.n_written,
            n_cells=self.n_cells,
            planted={str(area): str(layer) for area, layer in self.planted.items()},
            reliability={str(area): value for area, value in self.reliability.items()},
            depth_um={str(area): self.depth_um for area in self.planted},
            n_frames=self.n_frames,
            n_repeats=self.n_repeats,
            frame_rate_hz=self.frame_rate_hz,
            n_folds=self.identifiable_folds,
            gap_s=self.identifiable_gap_s,
            delays_s=self.identifiable_delays_s,
            seed=self.seed,
        )


def catalogue(options: SimulatedMouseOptions, key: str, mirror: str | None = None) -> Catalogue:
    """One group and one recording per mouse; nothing to fetch."""
    from pipeline.simulated.mouse import mouse_name

    mice = [mouse_name(number) for number in range(options.n_written)]
    return Catalogue(
        dataset=KIND,
        key=key,
        simulated=True,
        groups=tuple(Group(name=m, runs=(Run(stimulus=STIMULUS, recording=m),), subjects=(m,)) for m in mice),
        recordings=tuple(mice),
        stimuli=(StimulusEntry(name=STIMULUS, modality="movie"),),
        files=(),
    )


def simulate(raw_folder: Path, options: SimulatedMouseOptions, weights_folders: dict[str, Path]) -> None:
    """Write the NWB files of all mice; equal options and weights give equal bytes."""
    from pipeline.simulated.mouse import simulate_mice

    simulate_mice(raw_folder, options.design(), weights_folders[MODEL])


def prepare_stimulus(name: str, raw_folder: Path, options: SimulatedMouseOptions) -> xr.Dataset:
    """The movie, from the template stored in the first experiment."""
    from pipeline.recordings.allen.two_photon.nwb import TwoPhotonFile
    from pipeline.simulated.mouse import experiment_path, mouse_name
    from pipeline.stimuli.pictures.picture_files import movie_stimulus

    path = experiment_path(raw_folder, mouse_name(0), next(iter(options.planted)))
    stimulus = movie_stimulus(name, TwoPhotonFile(path, REMEDY).template(MOVIE), options.frame_rate_hz)
    stimulus.attrs["simulated"] = 1
    return stimulus


def prepare_recording(name: str, raw_folder: Path, options: SimulatedMouseOptions) -> xr.Dataset:
    """dF/F ``(repeat, sample = frame of the movie, target = cell)`` of all areas of one mouse.

    Raises
    ------
    BrokenArtifact, SampleMismatch
        As in `pipeline.recordings.allen.two_photon.nwb`, or areas differ in repeats or frames.
    """
    import numpy as np
    import xarray as xr

    from pipeline.simulated.mouse import experiment_path

    read = [read_movie_responses(experiment_path(raw_folder, name, area), options) for area in options.planted]
    responses = np.concatenate([dff for _, dff in read], axis=2)
    sessions = [session for session, _ in read]
    counts = [session.cell_ids.size for session in sessions]
    cell_id = np.concatenate([session.cell_ids for session in sessions])
    region = np.repeat([session.region for session in sessions], counts)
    n_samples, n_cells = responses.shape[1:]
    return xr.Dataset(
        {
            "responses": (("repeat", "sample", "target"), responses, {"units": "dF/F"}),
            "n_repeats": (("sample", "target"), np.full((n_samples, n_cells), responses.shape[0], dtype=np.int64)),
        },
        coords={
            "time_s": ("sample", (np.arange(n_samples) + 1) / options.frame_rate_hz, {"units": "s"}),
            "run": ("sample", np.full(n_samples, name)),
            "stimulus": ("sample", np.full(n_samples, STIMULUS)),
            "target": ("target", np.array([f"{name}-{r}-{c}" for r, c in zip(region, cell_id, strict=True)])),
            "region": ("target", region),
            "subject": ("target", np.full(n_cells, name)),
            "cell_id": ("target", cell_id),
            "depth_um": ("target", np.repeat([session.depth_um for session in sessions], counts), {"units": "um"}),
        },
        attrs={
            "units": "dF/F",
            "sample_kind": "time",
            "sample_interval_s": 1 / options.frame_rate_hz,
            "high_pass_s": 0.0,
            "z_scored": 0,
            "n_subjects": 1,
            "simulated": 1,
        },
    )


def read_movie_responses(path: Path, options: SimulatedMouseOptions) -> tuple[Session, np.ndarray]:
    """dF/F of one experiment per frame of the movie, mean over the 2-photon samples of each presentation.

    Returns
    -------
    the experiment, and responses (n_repeats, n_frames, n_cells) float32

    Raises
    ------
    BrokenArtifact, SampleMismatch
        The file is broken, or does not hold the movie as often and as long as it was simulated.
    """
    import numpy as np

    from pipeline.recordings.allen.responses import mean_responses, window_weights
    from pipeline.recordings.allen.two_photon.nwb import TwoPhotonFile

    file = TwoPhotonFile(path, REMEDY)
    times_s, traces = file.dff()
    shown = file.presentations(MOVIE, 1, times_s)
    if (shown.n_repeats, shown.n_samples) != (options.n_repeats, options.n_frames):
        raise SampleMismatch(
            f"{path} has {shown.n_repeats} repeats of {shown.n_samples} frames, expected {options.n_repeats} of "
            f"{options.n_frames}; {REMEDY}"
        )
    weights = window_weights(shown, (0.0, 1 / options.frame_rate_hz), times_s, path)
    dff = mean_responses(traces, weights, shown)
    if not np.isfinite(dff).all():
        cell = file.session().cell_ids[~np.isfinite(dff).all(axis=(0, 1))][0]
        raise BrokenArtifact(f"{path}: dF/F of cell {cell} is not finite during {MOVIE}; {REMEDY}")
    return file.session(), dff


DATASET = DatasetEntry(
    kind=KIND,
    options=SimulatedMouseOptions,
    catalogue=catalogue,
    prepare_stimulus=prepare_stimulus,
    prepare_recording=prepare_recording,
    title="Simulated mice: planted layers, identifiable by construction, in Allen 2-photon files",
    citation="simulated by layermap; file layout of the Allen Brain Observatory (de Vries et al. 2020, Nat. Neurosci. "
    "23:138); photographs bundled with scikit-image",
    licence="BSD-3-Clause (this simulation); the photographs as stated by scikit-image",
    words="pipeline.recordings.allen.words:OTHER_MICE",
    selection=("kind", "limit"),
    simulate=simulate,
    simulation_models=lambda options: (MODEL,),
)
