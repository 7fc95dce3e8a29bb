"""Simulated responses of several mice, averaged as the map averages measured ones, through real fits on real files."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from benchmarks.calibration_studies import ATTRS, DESIGNS, Simulated, Sizes, ridge_options, simulate, write_files
from pipeline.artifacts.identifiability import open_identifiability, write_identifiability
from pipeline.artifacts.scores import write_scores
from pipeline.encoding.mappings.ridge import RIDGE
from pipeline.encoding.stage import encode_group
from pipeline.identifiability.calibration import CalibrationOptions
from pipeline.identifiability.stage import Network, identify_group
from pipeline.inference.questions.averaged_groups import averaged_groups, can_be_averaged
from pipeline.inference.stage import AnalysisScores, build_map
from pipeline.study.study import Inference

pytestmark = pytest.mark.slow

DESIGN = DESIGNS["noise-items"]
PLANTED = {"R0": 0, "R1": 1, "R2": 3}
SIZES = Sizes(118, 4, 12, 3, 3)
SHARE = 0.07
N_MICE = 3
N_REPEATS = 20
INFERENCE = Inference(n_bootstrap=100, permutations=0)


def mice() -> list[Simulated]:
    """Of equal stimuli, so of equal activations; read-outs and noise are each mouse's own."""
    first = simulate(DESIGN, SIZES, np.random.default_rng(0))
    layers = list(first.features["net"].values())
    found = []
    for number in range(N_MICE):
        generator = np.random.default_rng([1, number])
        weights = generator.standard_normal((SIZES.n_features, len(first.regions)))
        signal = np.stack([layers[PLANTED[name]] @ weights[:, i] for i, name in enumerate(first.regions)], axis=1)
        signal /= signal.std(axis=0)
        noise = generator.standard_normal(signal.shape)
        responses = np.sqrt(SHARE) * signal + np.sqrt(1 - SHARE) * noise
        found.append(dataclasses.replace(first, responses=responses, subjects=[f"m{number}"] * len(noise.T)))
    return found


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[xr.Dataset], dict]:
    """Identifiability of every mouse, and the map of all."""
    folder = tmp_path_factory.mktemp("mice")
    options = ridge_options(DESIGN, SIZES, 0)
    scores, simulated = [], []
    for number, mouse in enumerate(mice()):
        own = folder / str(number)
        own.mkdir()
        runs = write_files(DESIGN, SIZES, mouse, own)
        attrs = {**ATTRS, "group": f"g{number}"}
        for model, files in runs.items():
            layers = tuple(mouse.features[model])
            found = encode_group(RIDGE, runs=files, options=options, layers=layers, attrs=attrs, shuffle_seed=None)
            scores.append(own / f"{model}.nc")
            write_scores(found, scores[-1])
        identified = identify_group(
            RIDGE,
            networks=[Network("net", runs["net"], None), Network("other", runs["other"], None, only_best=True)],
            options=options,
            attrs=attrs,
            shuffle_seed=None,
            n_repeats=N_REPEATS,
            seed=number,
            calibrate=CalibrationOptions(0, Inference()),
        )
        simulated.append(own / "identified.nc")
        write_identifiability(identified, simulated[-1])
    analysis = AnalysisScores("a", "ridge", False, [], (), ["net", "other"], scores, identifiability=tuple(simulated))
    tables = build_map(study="s", analyses=[analysis], inference=INFERENCE)
    return [open_identifiability(path) for path in simulated], tables


def measured_of(found: xr.Dataset) -> dict[tuple[str, str], tuple[float, str]]:
    layers = found["planted_layer"].values.astype(str)
    told = {}
    for m, model in enumerate(found["network"].values.astype(str)):
        for g, region in enumerate(found["region"].values.astype(str)):
            layer = int(found["measured_layer"].values[m, g])
            name = layers[layer] if model == "net" and layer >= 0 else ""
            told[model, region] = float(found["measured_score"].values[m, g]), name
    return told


@pytest.mark.parametrize("n", [1, 2])
def test_the_average_of_a_mouse_with_itself_is_the_mouse(study: tuple[list[xr.Dataset], dict], n: int) -> None:
    found = study[0][0]
    average = averaged_groups([found] * n, measured_of(found))
    for name in ("named", "depth_index", "own_score", "network_score", "amplitude", "reached", "measured_score"):
        np.testing.assert_allclose(average[name].values, found[name].values, rtol=1e-4, atol=1e-5, err_msg=name)
    np.testing.assert_array_equal(average["measured_layer"].values[0], found["measured_layer"].values[0])


def test_an_average_over_mice_tells_layers_better_apart_than_a_mouse(study: tuple[list[xr.Dataset], dict]) -> None:
    table = study[1]["identifiability"].query("readout == 'fitted' and model == 'net'")
    exact = table.groupby("subject")["exact"].mean()
    assert set(exact.index) == {"all", "m0", "m1", "m2"}
    assert exact["all"] > exact.drop("all").mean() + 0.08


def test_what_was_measured_is_what_the_map_says_of_the_average(study: tuple[list[xr.Dataset], dict]) -> None:
    tables = study[1]
    told = tables["identifiability"].query("subject == 'all' and group == 'all' and readout == 'fitted'")
    summary = tables["summary"].query("subject == 'all' and group == 'all' and model == 'net'").set_index("region")
    summary = summary.loc[told["region"]]
    assert told["named_layer"].tolist() == summary["best_layer"].tolist()
    np.testing.assert_allclose(told["measured_score"], summary["best_layer_score"], atol=1e-6)
    simulated = told["simulated_score"].to_numpy()
    assert np.abs(simulated - told["measured_score"]).max() < 0.12  # amplitudes are each mouse's own


def test_simulated_averages_are_the_average_of_the_mice(study: tuple[list[xr.Dataset], dict]) -> None:
    """Region scores of single subjects are averaged as they are."""
    groups = study[0]
    average = averaged_groups(groups, measured_of(groups[0]))
    expected = np.mean([one["own_score"].values for one in groups], axis=0)
    np.testing.assert_allclose(average["own_score"].values, expected, atol=1e-5)


def test_groups_of_fewer_repeats_give_their_first_ones(study: tuple[list[xr.Dataset], dict]) -> None:
    """A group whose samples allow fewer orders has fewer data sets; the others give as many of theirs."""
    found = study[0][0]
    n_layers, n_networks, kept = 4, 2, N_REPEATS // 2
    numbers, start = [], 0
    for n_own in (n_layers, 0):
        for each in (n_own, n_networks):
            part = start + np.arange(2 * N_REPEATS * each * n_layers).reshape(2, N_REPEATS, -1)
            numbers.append(part[:, :kept].reshape(-1))
            start += part.size
    fewer = found.isel(repeat=slice(kept), scored=np.concatenate(numbers))
    assert found.sizes["scored"] == start
    average = averaged_groups([fewer, found], measured_of(found))
    for name in ("named", "own_score", "network_score"):
        np.testing.assert_allclose(average[name].values, fewer[name].values, rtol=1e-4, atol=1e-5, err_msg=name)


def test_a_region_that_only_some_mice_have_is_theirs(study: tuple[list[xr.Dataset], dict]) -> None:
    first, second = study[0][:2]
    kept = second["kept_region"].values.astype(str) != "R1"
    without = second.isel(kept=np.flatnonzero(kept), region=[0, 2])
    average = averaged_groups([first, without], measured_of(first))
    own = average.sel(region="R1")
    np.testing.assert_allclose(own["own_score"].values, first.sel(region="R1")["own_score"].values, atol=1e-5)


def test_only_single_subjects_of_equal_layers_are_averaged(study: tuple[list[xr.Dataset], dict]) -> None:
    first, second = study[0][:2]
    assert can_be_averaged([first, second])
    assert not can_be_averaged([first, second.assign_attrs(subject="mean")])
    assert not can_be_averaged([first, second.isel(repeat=slice(0))])
    renamed = second.assign_coords(planted_layer=("planted", np.array([f"x{i}" for i in range(4)], object)))
    assert not can_be_averaged([first, renamed])


def test_few_targets_are_kept_where_there_is_little_room(tmp_path: Path) -> None:
    mouse = mice()[0]
    runs = write_files(DESIGN, SIZES, mouse, tmp_path)
    found = identify_group(
        RIDGE,
        networks=[Network("net", runs["net"], None)],
        options=ridge_options(DESIGN, SIZES, 0),
        attrs=ATTRS,
        shuffle_seed=None,
        n_repeats=N_REPEATS,
        seed=0,
        calibrate=CalibrationOptions(0, Inference()),
        kept_mb=1e-6,
    )
    assert found["kept_region"].values.tolist() == ["R0", "R1", "R2"]  # one of each region all the same
