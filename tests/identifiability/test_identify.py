"""Responses simulated from planted layers, through real fits on real files."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

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
from pipeline.artifacts.identifiability import FITTED, write_identifiability
from pipeline.encoding.mappings.ridge import RIDGE
from pipeline.identifiability.calibration import CalibrationOptions
from pipeline.identifiability.stage import Network, identify_group
from pipeline.inference.questions.identifiability import identifiability_rows
from pipeline.study.study import Inference

pytestmark = pytest.mark.slow

ITEMS = Sizes(118, 4, 12, 6, 3)
TIME = Sizes(240, 4, 8, 6, 2, (4, 6))
N_REPEATS = 20
NO_CALIBRATION = CalibrationOptions(0, Inference())


def made(design: Design, sizes: Sizes, seed: int = 0) -> Simulated:
    return simulate(design, sizes, np.random.default_rng(seed))


def identify(
    design: Design,
    sizes: Sizes,
    simulated: Simulated,
    folder: Path,
    n_repeats: int = N_REPEATS,
    shuffle: int | None = None,
    gap_s: float = 10.0,
) -> xr.Dataset:
    runs = write_files(design, sizes, simulated, folder)
    options = ridge_options(design, sizes, 0)
    options = options.model_copy(update={"splits": options.splits.model_copy(update={"gap_s": gap_s})})
    return identify_group(
        RIDGE,
        networks=[Network(model, runs[model], None) for model in runs],
        options=options,
        attrs=ATTRS,
        shuffle_seed=shuffle,
        n_repeats=n_repeats,
        seed=1,
        calibrate=NO_CALIBRATION,
    )


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> xr.Dataset:
    design = DESIGNS["planted-items"]
    return identify(design, ITEMS, made(design, ITEMS), tmp_path_factory.mktemp("planted"))


def test_simulated_scores_are_as_high_as_the_measured_one(planted: xr.Dataset) -> None:
    """Within the error of a mean over repeats of which four chose the amplitude; the network's best layer is meant."""
    for number, model in enumerate(planted["network"].values):
        here = planted["planted_model"].values == model
        simulated = planted["own_score"].values[:, :, here].mean(axis=(1, 2))
        measured = np.maximum(planted["measured_score"].values[number], 0)
        assert np.abs(simulated - measured).max() < 0.08


def test_layers_are_told_apart_where_much_is_predicted_and_not_where_little_is(tmp_path: Path) -> None:
    """Three regions of a layer each, whose shares of signal rise from 2 % to 8 %, against regions of nothing."""
    design = DESIGNS["planted-items"]
    found = made(design, ITEMS)
    strong = dataclasses.replace(found, responses=_with_strong_signal(found))
    rows = _fitted_rows(identify(design, ITEMS, strong, tmp_path), tmp_path)
    exact = {row["region"]: row["exact"] for row in rows if row["model"] == "net"}
    assert exact["R0"] > 0.7 and exact["R2"] < 0.6
    wide = {row["region"]: row["depth_high"] - row["depth_low"] for row in rows if row["model"] == "net"}
    assert wide["R0"] < 0.5 and wide["R2"] > 0.6


def _with_strong_signal(simulated: Simulated) -> np.ndarray:
    """R0 a noiseless read-out of its layer, R2 noise."""
    generator = np.random.default_rng(5)
    responses = simulated.responses.copy()
    layer = list(simulated.features["net"].values())[simulated.planted["R0"]]
    regions = np.array(simulated.regions)
    responses[:, regions == "R0"] = layer @ generator.standard_normal((layer.shape[1], (regions == "R0").sum()))
    responses[:, regions == "R2"] = generator.standard_normal((len(responses), (regions == "R2").sum()))
    return responses


def _fitted_rows(dataset: xr.Dataset, folder: Path) -> list[dict]:
    path = folder / "g.nc"
    write_identifiability(dataset, path)
    rows = identifiability_rows({"study": "s", "analysis": "a"}, path)["identifiability"]
    return [row for row in rows if row["readout"] == FITTED]


def test_the_network_that_responses_are_from_is_found(planted: xr.Dataset) -> None:
    """Responses of the second network owe nothing to the first."""
    scores = planted["network_score"].values[..., 5]  # the region with most signal
    assert (scores[:, :, 0].argmax(axis=-1) == 0).mean() > 0.7


def test_layers_that_are_equal_are_named_as_often_as_each_other(tmp_path: Path) -> None:
    """Two copies of each of two layers: the deeper copy is never named, and the posterior says so."""
    design = DESIGNS["planted-items"]
    simulated = made(design, ITEMS)
    first, _, third, _ = simulated.features["net"].values()
    features = {"net": {"layer0": first, "layer1": first, "layer2": third, "layer3": third}}
    simulated = dataclasses.replace(simulated, features=features, responses=_with_strong_signal(simulated))
    row = next(
        row for row in _fitted_rows(identify(design, ITEMS, simulated, tmp_path), tmp_path) if row["region"] == "R0"
    )
    assert row["credible_set"] == "layer0 | layer1"
    assert row["exact"] <= 0.6


def test_time_and_a_shuffled_study(tmp_path: Path) -> None:
    """Delays and rolls; of a shuffled study nothing is predicted, and no layer can be told."""
    design = DESIGNS["planted-time"]
    rows = _fitted_rows(identify(design, TIME, made(design, TIME), tmp_path, shuffle=3), tmp_path)
    assert len(rows) == 2 * 6
    assert all(not row["distinguishable"] for row in rows)
    assert all(row["exact"] < 0.6 for row in rows)


def test_too_short_a_recording_has_no_repeats(tmp_path: Path) -> None:
    """Two runs of 38 s allow one roll each."""
    design, sizes = DESIGNS["planted-time"], dataclasses.replace(TIME, n_samples=76)
    dataset = identify(design, sizes, made(design, sizes), tmp_path, gap_s=0)
    assert dataset.sizes["repeat"] == 0
    write_identifiability(dataset, tmp_path / "g.nc")
    assert not any(identifiability_rows({}, tmp_path / "g.nc").values())


def test_responses_that_never_vary_have_no_regions(tmp_path: Path) -> None:
    design = DESIGNS["planted-items"]
    simulated = made(design, ITEMS)
    still = dataclasses.replace(simulated, responses=np.zeros_like(simulated.responses))
    dataset = identify(design, ITEMS, still, tmp_path)
    assert (dataset.sizes["region"], dataset.sizes["repeat"]) == (0, 0)
    write_identifiability(dataset, tmp_path / "g.nc")
    assert not any(identifiability_rows({}, tmp_path / "g.nc").values())


def test_no_more_targets_than_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of each region at least."""
    design = DESIGNS["planted-items"]
    monkeypatch.setattr("pipeline.identifiability.stage.MOST_COLUMNS", 1)
    dataset = identify(design, ITEMS, made(design, ITEMS), tmp_path, n_repeats=20)
    assert dataset.attrs["n_simulated"] == 6 and dataset.attrs["n_targets"] == 18
    assert dataset["n_targets"].values.tolist() == [1] * 6


def test_of_a_twin_only_its_best_layer_is_planted(tmp_path: Path) -> None:
    """It is told apart from the network, its layers are not from each other."""
    design = DESIGNS["planted-items"]
    runs = write_files(design, ITEMS, made(design, ITEMS), tmp_path)
    networks = [Network("net", runs["net"], None), Network("net@random-0", runs["other"], None, only_best=True)]
    dataset = identify_group(
        RIDGE,
        networks=networks,
        options=ridge_options(design, ITEMS, 0),
        attrs=ATTRS,
        shuffle_seed=None,
        n_repeats=N_REPEATS,
        seed=1,
        calibrate=NO_CALIBRATION,
    )
    assert dataset["planted_model"].values.tolist() == ["net"] * 4
    assert dataset["network_score"].shape == (2, N_REPEATS, 2, 2, 6)
    assert np.isfinite(dataset["network_score"].values).all()
