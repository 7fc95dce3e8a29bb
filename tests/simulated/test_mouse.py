"""Simulated mice from a small artificial network: the stated reliability, the planted layer, the same bytes."""

import dataclasses
import hashlib

import numpy as np
import pytest

from pipeline.encoding.arithmetic.correlation import fisher_z
from pipeline.encoding.design import Design
from pipeline.encoding.options import PenaltyGrid, Splits
from pipeline.encoding.ridge.fit import fit_ridge
from pipeline.encoding.splits import Samples, make_splits
from pipeline.simulated.mouse import MOVIE as MOVIE_NAME
from pipeline.simulated.mouse import MouseDesign, make_experiment, planted_drives
from pipeline.simulated.nwb_writer import write_experiment

LAYERS = ["l0", "l1", "l2", "l3", "l4"]
RELIABILITY = {"A": 0.6, "B": 0.3, "C": 0.15}
DESIGN = MouseDesign(
    n_mice=2,
    n_written=2,
    n_cells=8,
    planted={"A": "l0", "B": "l2", "C": "l4", "D": "noise"},
    reliability=RELIABILITY,
    depth_um=dict.fromkeys("ABCD", 275),
    n_frames=240,
    n_repeats=10,
    frame_rate_hz=2.0,
    n_folds=4,
    gap_s=2.0,
    delays_s=(0.0, 0.5),
    seed=0,
)
MOVIE = np.zeros((DESIGN.n_frames, 8, 16), np.uint8)


@pytest.fixture(scope="module")
def features() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(5)
    values = generator.standard_normal((DESIGN.n_frames, 60)) @ generator.standard_normal((60, 150))
    layers = {}
    for name in LAYERS:
        layers[name] = values.astype(np.float32)
        centred = (values - values.mean(axis=0)) / values.std(axis=0)
        values = np.maximum(centred @ generator.standard_normal((150, 150)) / np.sqrt(150), 0)
    return layers


def responses(drives: dict[str, np.ndarray], area: str, mouse: int) -> np.ndarray:
    """(repeat, frame, cell)."""
    cells = slice(mouse * DESIGN.n_cells, (mouse + 1) * DESIGN.n_cells)
    experiment = make_experiment(mouse, area, drives[area][:, cells], MOVIE, DESIGN)
    means = [experiment.dff[:, start:end].mean(axis=1) for start, end in experiment.stimuli[MOVIE_NAME].samples]
    return np.stack(means).reshape(DESIGN.n_repeats, DESIGN.n_frames, -1)


def split_half_reliability(trials: np.ndarray) -> np.ndarray:
    """Single-trial reliability of each cell, from odd and even repeats by Spearman–Brown."""
    odd, even = trials[::2].mean(axis=0), trials[1::2].mean(axis=0)
    r = np.array([np.corrcoef(odd[:, cell], even[:, cell])[0, 1] for cell in range(odd.shape[1])])
    n = trials.shape[0] // 2
    return r / (n - (n - 1) * r)


@pytest.fixture(scope="module")
def drives(features):
    return planted_drives(features, DESIGN)


@pytest.mark.parametrize("area", list(DESIGN.planted))
def test_stated_reliabilities_are_met(drives, area):
    measured = [split_half_reliability(responses(drives, area, mouse)).mean() for mouse in range(2)]
    assert abs(np.mean(measured) - RELIABILITY.get(area, 0.0)) < 0.05


def profile(features: dict[str, np.ndarray], trials: np.ndarray) -> np.ndarray:
    """Fold-mean r of each layer, as encode scores it."""
    n = DESIGN.n_frames
    time_s = (np.arange(n) + 1) * DESIGN.frame_s
    samples = Samples("time", np.full(n, "run"), np.full(n, "movie"), DESIGN.frame_s, time_s)
    splits = make_splits(Splits(n_folds=4, n_inner_folds=4, gap_s=2), samples, seed=0)
    penalties = PenaltyGrid(n=15).values()
    fits = [
        fit_ridge(f, trials.mean(axis=0), penalties, Design.of_bins(len(f), splits, delays=(0, 1)))
        for f in features.values()
    ]
    return np.array([np.tanh(fisher_z(fit.score).mean()) for fit in fits])


def depth_index(scores: np.ndarray) -> float:
    weight = scores - scores.min()
    return float((weight * np.linspace(0, 1, scores.size)).sum() / weight.sum())


@pytest.mark.parametrize("planted", [("l0", "l2", "l4"), ("l4", "l2", "l0")], ids=["planted", "swapped"])
def test_planted_layers_come_back_and_swap_with_the_plan(features, planted):
    plan = {**dict(zip("ABC", planted, strict=True)), "D": "noise"}
    design = dataclasses.replace(DESIGN, planted=plan, reliability=dict.fromkeys("ABC", 0.5))
    drives = planted_drives(features, design)
    for area, layer in zip("ABC", planted, strict=True):
        both = np.concatenate([responses(drives, area, mouse) for mouse in range(2)], axis=2)
        scores = profile(features, both)
        assert LAYERS[int(scores.argmax())] == layer
        assert abs(depth_index(scores) - LAYERS.index(layer) / 4) < 0.1


def test_a_noise_area_is_predicted_by_no_layer(features, drives):
    both = np.concatenate([responses(drives, "D", mouse) for mouse in range(2)], axis=2)
    assert np.abs(profile(features, both)).max() < 0.1


def test_equal_seeds_write_equal_bytes(drives, tmp_path):
    digests = {}
    for name, seed in (("first", 0), ("again", 0), ("other", 1)):
        design = dataclasses.replace(DESIGN, n_repeats=2, seed=seed)
        write_experiment(tmp_path / name, make_experiment(0, "A", drives["A"][:, :8], MOVIE, design))
        digests[name] = hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
    assert digests["first"] == digests["again"] != digests["other"]
