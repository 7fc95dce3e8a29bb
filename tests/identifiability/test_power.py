"""What the planner promises, against recordings of that size through the real `encode` and `map`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from scipy.signal import lfilter

import benchmarks.calibration_studies
from benchmarks.calibration_studies import (
    ATTRS,
    DESIGNS,
    Design,
    Simulated,
    Sizes,
    ridge_options,
    simulate,
    write_files,
)
from pipeline.artifacts.activations import LayerInfo, open_activations
from pipeline.artifacts.recording import write_recording
from pipeline.artifacts.scores import write_scores
from pipeline.artifacts.stimulus import write_stimulus
from pipeline.artifacts.storage.store import standard_attrs
from pipeline.core.errors import BadConfiguration
from pipeline.encoding.arithmetic.compute import Compute
from pipeline.encoding.arithmetic.scratch import Scratch
from pipeline.encoding.group.group_data import open_group
from pipeline.encoding.group.planned import planned_group, planned_samples, some_samples
from pipeline.encoding.mappings.ridge import RIDGE
from pipeline.encoding.options import EncodingOptions
from pipeline.encoding.splits import Samples
from pipeline.encoding.stage import encode_group
from pipeline.identifiability.power import (
    Averaged,
    Candidate,
    Planned,
    Row,
    Signal,
    _higher,
    recovery,
    simulated_noise,
)
from pipeline.identifiability.signals import SimulatedResponses
from pipeline.inference.stage import AnalysisScores, build_map
from pipeline.study.study import Inference

pytestmark = pytest.mark.slow

N = 60
"""Data sets of each of four layers: the standard error of a share is 3.2 points at most, that of a difference 4.6."""
POINTS = 0.10
ITEMS = Sizes(118, 4, 12, 6, 6)
TIME = Sizes(240, 4, 8, 6, 4, (4, 6))
AUTOCORRELATION = 0.5


def write_pictures(n: int, path: Path, **of_items: list[str]) -> None:
    """Pictures of one pixel, the last first."""
    names = [f"item-{number:03d}" for number in range(n)][::-1]
    coords = {name: ("image", values) for name, values in {"item": names, **of_items}.items()}
    attrs = {**standard_attrs("stimulus", "test", "", ""), "modality": "images", "name": "items"}
    pictures = np.zeros((n, 1, 1, 1), np.uint8)
    write_stimulus(xr.Dataset({"images": (("image", "y", "x", "colour"), pictures)}, coords, attrs), path)


@dataclasses.dataclass(frozen=True)
class Shown:
    """Layers of a network that saw all items, or heard two stories; nobody has been recorded."""

    design: Design
    sizes: Sizes
    simulated: Simulated
    stores: dict[str, Path]
    options: EncodingOptions

    @classmethod
    def of(
        cls, name: str, sizes: Sizes, folder: Path, change: Callable[[list[np.ndarray]], list[np.ndarray]] = list
    ) -> Shown:
        design = DESIGNS[name]
        simulated = simulate(design, sizes, np.random.default_rng(0))
        own = simulated.features["net"]
        changed = dict(zip(own, change(list(own.values())), strict=True))
        simulated = dataclasses.replace(simulated, features={**simulated.features, "net": changed})
        runs = write_files(design, sizes, simulated, folder)["net"]
        stores = {str(open_activations(store).attrs["stimulus"]): store for _, store in runs}
        if not design.in_time:
            write_pictures(sizes.n_samples, folder / "items-shown.zarr")
        return cls(design, sizes, simulated, stores, ridge_options(design, sizes, 0))

    @property
    def network(self) -> Candidate:
        return Candidate("net", self.stores, tuple(self.simulated.features["net"]))

    def samples(self) -> Samples:
        """Of all stimuli, which lie beside the activations."""
        shown = {name: (store.parent / f"{name}-shown.zarr", store) for name, store in self.stores.items()}
        return planned_samples(shown, 1.0)

    def predicted(self, planned: Samples, averaged: list[Averaged], signal: Signal, n: int = N) -> list[Row]:
        return recovery(
            RIDGE,
            self.network,
            Planned.of(planned, self.options),
            averaged,
            options=self.options,
            signal=signal,
            n=n,
            seed=1,
        )


@pytest.fixture(scope="module")
def items(tmp_path_factory: pytest.TempPathFactory) -> Shown:
    return Shown.of("planted-items", ITEMS, tmp_path_factory.mktemp("items"))


@pytest.fixture(scope="module")
def time(tmp_path_factory: pytest.TempPathFactory) -> Shown:
    return Shown.of("planted-time", TIME, tmp_path_factory.mktemp("time"))


def measured(shown: Shown, responses: np.ndarray, folder: Path) -> tuple[float, float]:
    """How often the planted layer is named, and its mean score, by the study's own stages.

    Parameters
    ----------
    responses : (layer, n_repeats, region, n_samples, n_targets)
    """
    n_layers, n_repeats, n_regions, n_samples, n_targets = responses.shape
    columns = np.moveaxis(responses, (1, 3), (0, 1)).reshape(n_repeats, n_samples, -1)
    regions = [f"L{layer}-{region}" for layer in range(n_layers) for region in range(n_regions)]
    of_targets = list(np.repeat(regions, n_targets))
    simulated = dataclasses.replace(
        shown.simulated,
        features={"net": shown.simulated.features["net"]},
        responses=columns[0],
        regions=of_targets,
        subjects=["s"] * len(of_targets),
    )
    folder.mkdir()
    runs = write_files(shown.design, shown.sizes, simulated, folder)["net"]
    with xr.open_dataset(runs[0][0]) as file:
        recording = file.load()
    n_of_each = np.full(columns.shape[1:], n_repeats, np.int16)
    repeats = (("repeat", "sample", "target"), columns.astype(np.float32))
    recording = recording.drop_vars(["responses"]).assign(responses=repeats)
    write_recording(recording.assign_coords(n_repeats=(("sample", "target"), n_of_each)), runs[0][0])
    scores = folder / "scores.nc"
    layers = shown.network.layers
    write_scores(
        encode_group(RIDGE, runs=runs, options=shown.options, layers=layers, attrs=ATTRS, shuffle_seed=None), scores
    )
    analysis = AnalysisScores("a", "ridge", False, [], (), ["net"], [scores])
    tables = build_map(study="s", analyses=[analysis], inference=Inference(n_bootstrap=100, permutations=0))
    summary = tables["summary"].set_index("region")
    planted = [f"layer{region[1]}" for region in summary.index]
    rows = tables["row"]
    own = rows[rows["layer"] == [f"layer{region[1]}" for region in rows["region"]]]
    assert len(summary) == n_layers * n_regions
    return float((summary["best_layer"] == planted).mean()), float(own["score"].mean())


def recorded(
    shown: Shown, share: float, averaged: Averaged, noise: Callable[[tuple[int, ...]], np.ndarray]
) -> np.ndarray:
    """Responses as `measured` takes them: read-outs of delayed layers, and noise of each subject and repeat."""
    generator = np.random.default_rng(7)
    n_targets, out = shown.sizes.n_targets, []
    for features in shown.simulated.features["net"].values():
        runs = np.split(features, len(shown.stores))
        delays = shown.sizes.delays_s and range(shown.sizes.delays_s[0], shown.sizes.delays_s[1] + 1)
        delayed = [
            np.concatenate([np.concatenate([np.zeros_like(run[:d]), run[: len(run) - d]]) for run in runs])
            for d in delays or (0,)
        ]
        X = np.concatenate(delayed, axis=1)
        signal = X @ generator.standard_normal((N, X.shape[1], n_targets))
        signal = (signal - signal.mean(axis=1, keepdims=True)) / signal.std(axis=1, keepdims=True)
        shape = (averaged.subjects, averaged.repeats, *signal.shape)
        out.append((np.sqrt(share) * signal + np.sqrt(1 - share) * noise(shape)).mean(axis=0))
    return np.stack(out)


def white(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(8).standard_normal(shape)


def slow(shape: tuple[int, ...]) -> np.ndarray:
    """Two runs, each with a lead that is cut off."""
    lead, half = 100, shape[-2] // 2
    parts = np.random.default_rng(9).standard_normal((2, *shape[:-2], lead + half, shape[-1]))
    rho = AUTOCORRELATION
    courses = lfilter([np.sqrt(1 - rho**2)], [1.0, -rho], parts, axis=-2)[..., lead:, :]
    return np.concatenate(list(courses), axis=-2)


@pytest.mark.parametrize(("averaged", "share"), [(Averaged(1, 1), 0.04), (Averaged(2, 2), 0.012)])
def test_items_are_recovered_as_often_as_promised(
    items: Shown, averaged: Averaged, share: float, tmp_path: Path
) -> None:
    """118 items, alone and with two repeats of two subjects, which count as four."""
    signal = Signal(share, items.sizes.n_targets)
    promised = items.predicted(items.samples(), [averaged], signal)[0]
    exact, score = measured(items, recorded(items, signal.share, averaged, white), tmp_path / "recorded")
    assert 0.4 < promised["exact"] < 0.95  # where there is something to be wrong about
    assert promised["exact"] == pytest.approx(exact, abs=POINTS)
    assert promised["score"] == pytest.approx(score, abs=0.02)


def test_time_is_recovered_as_often_as_promised(time: Shown, tmp_path: Path) -> None:
    """Two stories of two minutes, delays, noise that is slow."""
    signal = Signal(0.06, time.sizes.n_targets, AUTOCORRELATION)
    promised = time.predicted(time.samples(), [Averaged(1, 1)], signal)[0]
    exact, score = measured(time, recorded(time, signal.share, Averaged(1, 1), slow), tmp_path / "recorded")
    assert 0.4 < promised["exact"] < 0.95
    assert promised["exact"] == pytest.approx(exact, abs=POINTS)
    assert promised["score"] == pytest.approx(score, abs=0.02)


def test_more_of_anything_is_recovered_more_often(items: Shown) -> None:
    """From 40 to 118 items, and from one to 20 responses, in steps far larger than their errors."""
    samples, signal = items.samples(), Signal(0.03, 6)
    averaged = [Averaged(1, 1), Averaged(4, 5)]
    few, many = (items.predicted(some_samples(samples, n, 0), averaged, signal, n=20) for n in (40, 118))
    assert few[1]["exact"] > few[0]["exact"] + 0.15
    assert many[0]["exact"] > few[0]["exact"] + 0.1
    assert many[1]["bits"] > many[0]["bits"] + 0.3 and many[1]["score"] > many[0]["score"] + 0.2


def test_a_network_is_told_from_its_twin_where_there_is_signal(items: Shown, tmp_path: Path) -> None:
    """The twin has nothing to do with the network; without signal it is as high as often."""
    runs = write_files(items.design, items.sizes, items.simulated, tmp_path)["other"]
    twin = Candidate("net@random-0", {"items": runs[0][1]}, tuple(items.simulated.features["other"]))
    shown = dataclasses.replace(items.network, twin=twin)
    for share, lowest, highest in ((1e-9, 0.3, 0.7), (0.1, 0.9, 1.0)):
        planned = Planned.of(items.samples(), items.options)
        signal = Signal(share, 6)
        row = recovery(RIDGE, shown, planned, [Averaged(1, 1)], options=items.options, signal=signal, n=20, seed=1)[0]
        assert lowest <= row["twin"] <= highest
        assert share > 0.01 or row["exact"] < 0.45  # four layers


def test_features_are_aligned_as_in_a_recording(time: Shown, tmp_path: Path) -> None:
    runs = write_files(time.design, time.sizes, time.simulated, tmp_path)["net"]
    group = open_group(runs, time.options)
    planned = planned_group(time.stores, time.samples(), time.options, Scratch())
    assert planned.delays == group.delays
    np.testing.assert_array_equal(planned.samples.clock(), group.samples.clock())
    np.testing.assert_array_equal(planned.rows(), group.rows())
    np.testing.assert_array_equal(planned.features("layer2"), group.features("layer2"))


def test_samples_of_a_size(items: Shown, time: Shown) -> None:
    """Items of a smaller size are among those of a larger one; each story gives as large a part, from its start."""
    every = items.samples()
    few, many = (set(some_samples(every, n, 3).items().tolist()) for n in (30, 60))
    assert len(few) == 30 and few < many
    half = some_samples(time.samples(), 100, 3)
    assert [half.clock()[rows].tolist() for rows in half.runs] == [list(range(1, 51))] * 2
    with pytest.raises(BadConfiguration, match="splits: "):
        Planned.of(some_samples(every, 12, 0), items.options)


def test_categories_of_items_balance_the_folds(items: Shown, tmp_path: Path) -> None:
    """Where the stimulus knows them, in whatever order."""
    categories = ["late"] * 59 + ["early"] * 59
    write_pictures(118, tmp_path / "shown.zarr", category=categories)
    samples = planned_samples({"items": (tmp_path / "shown.zarr", items.stores["items"])}, 1.0)
    assert samples.category is not None and samples.category.tolist() == categories[::-1]
    some = some_samples(samples, 80, 0)
    assert some.category is not None
    early = [int((some.category[fold.test] == "early").sum()) for fold in Planned.of(some, items.options).folds]
    assert len(early) == 5 and max(early) - min(early) <= 1


def test_slow_noise_starts_anew_in_each_run(time: Shown) -> None:
    """Of variance 1 from the first sample on; neighbours across runs have nothing to do with each other."""
    samples = time.samples()
    noise = simulated_noise(samples, Signal(0.1, 4000, 0.8), np.random.default_rng(0))
    assert np.abs(noise.var(axis=1) - 1).max() < 0.15
    neighbours = np.array([np.corrcoef(noise[row], noise[row + 1])[0, 1] for row in range(samples.n - 1)])
    assert abs(neighbours[119]) < 0.06
    assert np.abs(np.delete(neighbours, 119) - 0.8).max() < 0.06


def test_read_outs_of_many_data_sets_are_made_lot_by_lot(items: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seven data sets of 6 targets, two at a time: none is left without a signal."""
    monkeypatch.setattr("pipeline.identifiability.power.SIGNALS_AT_ONCE", 12)
    row = items.predicted(items.samples(), [Averaged(1, 1)], Signal(0.9, 6), n=7)[0]
    assert row["exact"] == 1 and row["n"] == 7


def test_results_do_not_depend_on_memory(items: Shown, tmp_path: Path) -> None:
    """With a quarter of a MiB signals and noise lie in files."""
    planned = Planned.of(items.samples(), items.options)
    rows = [
        recovery(
            RIDGE,
            items.network,
            planned,
            [Averaged(1, 1)],
            options=items.options,
            signal=Signal(0.05, 6),
            n=20,
            seed=1,
            compute=Compute(memory_budget_mb=budget, folder=tmp_path),
        )[0]
        for budget in (2048.0, 0.25)
    ]
    assert rows[0]["exact"] == rows[1]["exact"]
    assert rows[0]["score"] == pytest.approx(rows[1]["score"], abs=1e-5)


def test_a_layer_of_another_pathway_is_no_neighbour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two pathways of equal layers at equal depths: every second data set is given to the other one."""

    def in_pathways(name: str, index: int, _: float) -> LayerInfo:
        return LayerInfo(name, index, index % 2, "ab"[index // 2])

    monkeypatch.setattr(benchmarks.calibration_studies, "LayerInfo", in_pathways)
    shown = Shown.of("planted-items", ITEMS, tmp_path, lambda own: [own[0], own[3], own[0], own[3]])
    row = shown.predicted(shown.samples(), [Averaged(1, 1)], Signal(0.9, 6), n=20)[0]
    assert row["exact"] == row["within_one"] == 0.5
    assert row["depth_error"] == 0


def test_what_differs_from_run_to_run_is_no_signal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in recordings, which are z-scored within runs; and so is noise, however slow."""

    def shifted(own: list[np.ndarray]) -> list[np.ndarray]:
        second = np.arange(TIME.n_samples)[:, None] >= TIME.n_samples // 2
        return [values * np.where(second, 3, 1) + 5 * second for values in own]

    shown = Shown.of("planted-time", TIME, tmp_path, shifted)
    seen: list[np.ndarray] = []
    init = SimulatedResponses.__init__

    def kept(self: SimulatedResponses, parts: list, noise: np.ndarray) -> None:
        seen.extend([*(part.signal for part in parts), *noise])
        init(self, parts, noise)

    monkeypatch.setattr(SimulatedResponses, "__init__", kept)
    samples = shown.samples()
    shown.predicted(samples, [Averaged(1, 1)], Signal(0.1, 4, AUTOCORRELATION), n=2)
    assert len(seen) >= 2 * 4 * 2
    for columns in seen:
        for rows in samples.runs:
            assert np.abs(columns[rows].mean(axis=0)).max() < 1e-4
            np.testing.assert_allclose(columns[rows].std(axis=0), 1, atol=1e-3)


def test_data_sets_without_a_score_tell_no_network_from_its_twin() -> None:
    unknown = np.nan
    assert _higher(np.array([unknown, 0.2, 0.1, unknown]), np.array([unknown, 0.1, unknown, 0.1])) == 2 / 3
    assert np.isnan(_higher(np.full(2, unknown), np.full(2, unknown)))
