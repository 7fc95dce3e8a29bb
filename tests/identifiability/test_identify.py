"""Responses simulated from planted layers, through real fits on real files."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

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
from pipeline.artifacts.activations import LayerInfo
from pipeline.artifacts.identifiability import FITTED, open_identifiability, write_identifiability
from pipeline.artifacts.scores import write_scores
from pipeline.encoding.mappings.ridge import RIDGE
from pipeline.encoding.stage import encode_group
from pipeline.identifiability.calibration import CalibrationOptions
from pipeline.identifiability.signals import SimulatedResponses
from pipeline.identifiability.stage import Network, identify_group
from pipeline.inference.questions.identifiability import identifiability_rows
from pipeline.inference.stage import AnalysisScores, build_map
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
    **more: int,
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
        **more,
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
    rows = identifiability_rows({"study": "s", "analysis": "a"}, open_identifiability(path))["identifiability"]
    return [row for row in rows if row["readout"] == FITTED]


def _tables(dataset: xr.Dataset, folder: Path) -> dict[str, list[dict]]:
    write_identifiability(dataset, folder / "g.nc")
    return identifiability_rows({"study": "s", "analysis": "a"}, open_identifiability(folder / "g.nc"))


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
    assert not any(identifiability_rows({}, open_identifiability(tmp_path / "g.nc")).values())


def test_responses_that_never_vary_have_no_regions(tmp_path: Path) -> None:
    design = DESIGNS["planted-items"]
    simulated = made(design, ITEMS)
    still = dataclasses.replace(simulated, responses=np.zeros_like(simulated.responses))
    dataset = identify(design, ITEMS, still, tmp_path)
    assert (dataset.sizes["region"], dataset.sizes["repeat"]) == (0, 0)
    assert dataset.attrs["subject"] == "s00"  # whose view says that no target varies
    write_identifiability(dataset, tmp_path / "g.nc")
    assert not any(identifiability_rows({}, open_identifiability(tmp_path / "g.nc")).values())


def test_no_more_targets_than_allowed(tmp_path: Path) -> None:
    """One of each region at least."""
    design = DESIGNS["planted-items"]
    dataset = identify(design, ITEMS, made(design, ITEMS), tmp_path, most_columns=1)
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


def test_a_pathway_that_cannot_be_told_has_no_depth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two pathways of equal layers at equal depths, behind a stem: the layer is sure but for its pathway."""
    design, simulated = DESIGNS["planted-items"], made(DESIGNS["planted-items"], ITEMS)
    stem, first, _, last = simulated.features["net"].values()
    features = {"stem": stem, "a1": first, "a2": last, "b1": first, "b2": last}
    depth_of = {"stem": 0.0, "a1": 0.5, "a2": 1.0, "b1": 0.5, "b2": 1.0}

    def in_pathways(name: str, index: int, _: float) -> LayerInfo:
        return LayerInfo(name, index, depth_of[name], name.rstrip("12"))

    monkeypatch.setattr(benchmarks.calibration_studies, "LayerInfo", in_pathways)
    responses = _with_strong_signal(dataclasses.replace(simulated, planted={**simulated.planted, "R0": 3}))
    simulated = dataclasses.replace(simulated, features={"net": features}, responses=responses)
    dataset = identify(design, ITEMS, simulated, tmp_path)
    assert dataset["planted_pathway"].values.tolist() == ["stem", "a", "a", "b", "b"]
    row = next(row for row in _fitted_rows(dataset, tmp_path) if row["region"] == "R0")
    assert row["credible_set"] == "a2 | b2" and not row["distinguishable"]
    assert np.isnan([row["depth"], row["depth_low"], row["depth_high"]]).all()
    apart = dataset.assign_coords(planted_pathway=("planted", np.array(["main"] * 5, object)))
    row = next(row for row in _fitted_rows(apart, tmp_path) if row["region"] == "R0")
    assert row["distinguishable"] and row["depth"] == pytest.approx(1, abs=0.1)  # were there one


def test_the_layer_is_the_one_that_the_map_names(tmp_path: Path) -> None:
    """Of regions whose targets are unequal: one layer predicts one of them nearly, another one all of them half."""
    design = DESIGNS["planted-items"]
    simulated = made(design, ITEMS)
    generator, layers = np.random.default_rng(2), list(simulated.features["net"].values())
    responses = np.empty_like(simulated.responses)
    for target in range(responses.shape[1]):
        first = target % ITEMS.n_targets == 0
        layer = layers[0 if first else 2 + target // ITEMS.n_targets % 2]
        signal = layer @ generator.standard_normal(layer.shape[1])
        noise = (0.02 if first else 1.2) * signal.std() * generator.standard_normal(signal.size)
        responses[:, target] = signal + noise
    simulated = dataclasses.replace(simulated, responses=responses)
    runs = write_files(design, ITEMS, simulated, tmp_path)["net"]
    options = ridge_options(design, ITEMS, 0)
    scores = encode_group(
        RIDGE, runs=runs, options=options, layers=tuple(simulated.features["net"]), attrs=ATTRS, shuffle_seed=None
    )
    write_scores(scores, tmp_path / "scores.nc")
    dataset = identify(
        design, ITEMS, dataclasses.replace(simulated, features={"net": simulated.features["net"]}), tmp_path
    )
    write_identifiability(dataset, tmp_path / "g.nc")
    analysis = AnalysisScores(
        "a", "ridge", False, [], (), ["net"], [tmp_path / "scores.nc"], identifiability=(tmp_path / "g.nc",)
    )
    tables = build_map(study="s", analyses=[analysis], inference=Inference(n_bootstrap=100, permutations=0))
    told = tables["identifiability"].query("readout == @FITTED").set_index("region")
    summary = tables["summary"].set_index("region").loc[told.index]
    assert told["named_layer"].tolist() == summary["best_layer"].tolist()
    assert len(set(told["named_layer"])) > 1
    np.testing.assert_allclose(told["measured_score"], summary["best_layer_score"], atol=1e-5)


def test_where_nothing_was_planted_no_name_counts(planted: xr.Dataset, tmp_path: Path) -> None:
    """Of a network that does not predict a region there is nothing to recover, and nobody to be taken for another."""
    lost = planted["measured_score"].values.copy()
    lost[0, 1], lost[:, 2] = -0.01, np.nan
    tables = _tables(planted.assign(measured_score=(("network", "region"), lost)), tmp_path)
    there = {(row["planted_model"], row["region"]) for row in tables["recovery"]}
    names = planted["network"].values
    expected = {(names[m], f"R{region}") for m in range(2) for region in range(6) if lost[m, region] > 0}
    assert there == expected and ("net", "R5") in there and ("net", "R1") not in there
    assert {(row["model"], row["region"]) for row in tables["confusion"]} == expected
    assert len(tables["identifiability"]) == 2 * 6 * 2


def test_a_data_set_without_a_score_has_no_winner(planted: xr.Dataset, tmp_path: Path) -> None:
    scores = planted["network_score"].values.copy()
    scores[:, :5, :, :, 5], scores[..., 4] = np.nan, np.nan
    tables = _tables(planted.assign(network_score=(planted["network_score"].dims, scores)), tmp_path)
    assert {row["n_repeats"] for row in tables["recovery"] if row["region"] == "R5"} == {N_REPEATS - 5}
    assert not [row for row in tables["recovery"] if row["region"] == "R4"]


def test_what_differs_from_run_to_run_is_in_no_simulated_response(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Measured responses are z-scored within runs, while features lie elsewhere in the second run, and vary more."""
    design = DESIGNS["planted-time"]
    simulated = made(design, TIME)
    second = np.arange(TIME.n_samples) >= TIME.n_samples // 2
    features = {
        model: {name: values * np.where(second, 3, 1)[:, None] + 5 * second[:, None] for name, values in own.items()}
        for model, own in simulated.features.items()
    }
    seen: list[np.ndarray] = []
    init = SimulatedResponses.__init__

    def kept(self: SimulatedResponses, parts: Any, noise: np.ndarray) -> None:
        seen.extend(part.signal for part in parts)
        init(self, parts, noise)

    monkeypatch.setattr(SimulatedResponses, "__init__", kept)
    identify(design, TIME, dataclasses.replace(simulated, features=features), tmp_path)
    for signal in seen:
        for rows in (~second, second):
            assert np.abs(signal[rows].mean(axis=0)).max() < 1e-4
            np.testing.assert_allclose(signal[rows].std(axis=0), 1, atol=1e-3)
    assert len(seen) > 100
