"""A study's own calibration, through real fits on real files."""

from __future__ import annotations

import dataclasses
import types
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import xarray as xr

import benchmarks.calibration_studies
from benchmarks.calibration_studies import ATTRS, DESIGNS, Design, Sizes, ridge_options, simulate, write_files
from pipeline.artifacts.identifiability import NOTHING, PLANTED, open_identifiability, write_identifiability
from pipeline.encoding.group.shuffle import Reordered, shuffled_rows
from pipeline.encoding.mappings.ridge import RIDGE
from pipeline.encoding.splits import Samples
from pipeline.identifiability.calibration import N_ORDERS, CalibrationOptions, _Table, data_set_orders
from pipeline.identifiability.stage import Network, identify_group
from pipeline.inference.questions.calibration import AT_LEAST, AT_MOST, count
from pipeline.inference.questions.confusion import binomial_se
from pipeline.inference.questions.identifiability import identifiability_rows
from pipeline.study.study import Inference

pytestmark = pytest.mark.slow

ITEMS = Sizes(118, 3, 12, 6, 2)
TIME = Sizes(240, 4, 8, 6, 2, (4, 6))
N_SETS = 12
SETTINGS = Inference(n_bootstrap=200)


def calibrated(
    name: str,
    sizes: Sizes,
    folder: Path,
    n: int = N_SETS,
    inference: Inference = SETTINGS,
    *,
    layers: dict[str, tuple[str, ...] | None] | None = None,
    still: slice | None = None,
    **changes: Any,
) -> xr.Dataset:
    """One network's, or those whose ``layers`` are given, written to a file; responses of ``still`` targets are 0."""
    design: Design = DESIGNS[name]
    simulated = simulate(design, sizes, np.random.default_rng(3))
    if still is not None:
        simulated.responses[:, still] = 0
    runs = write_files(design, sizes, simulated, folder)
    options = ridge_options(design, sizes, 0)
    if design.in_time and sizes.n_samples < 100:
        options = options.model_copy(update={"splits": options.splits.model_copy(update={"gap_s": 0.0})})
    arguments: dict[str, Any] = {"shuffle_seed": None, "n_repeats": 20, "seed": 1} | changes
    dataset = identify_group(
        RIDGE,
        networks=[Network(model, runs[model], own) for model, own in (layers or {"net": None}).items()],
        options=options,
        attrs=ATTRS,
        calibrate=CalibrationOptions(n, inference),
        **arguments,
    )
    write_identifiability(dataset, folder / "g.nc")
    return dataset


def rows_of(folder: Path) -> dict[tuple[str, str], dict[str, Any]]:
    rows = identifiability_rows({"study": "s", "analysis": "a"}, open_identifiability(folder / "g.nc"))["calibration"]
    return {(row["kind"], row["statistic"]): row for row in rows}


@pytest.fixture(scope="module")
def items(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("items")
    calibrated("planted-items", ITEMS, folder)
    return folder


def test_sound_tests_keep_their_promises(items: Path) -> None:
    """Planted regions, whose responses in other orders are nothing: every promise is kept."""
    rows = rows_of(items)
    assert {key for key, row in rows.items() if not row["kept"]} == set()
    assert rows[NOTHING, "p"]["of"] == N_SETS * 6 and rows[NOTHING, "any"]["of"] == N_SETS
    assert 0 < rows[NOTHING, "p"]["share"] < 0.12
    assert rows[NOTHING, "zero"]["share"] > 0.9


def test_what_is_planted_is_found_where_it_is_strong(items: Path) -> None:
    """Regions of 20 and 30 % signal; those of 2 and 4 % are hardly ever."""
    dataset = open_identifiability(items / "g.nc")
    found = dataset["test_found"].sel(given=PLANTED).mean("data_set").values
    assert found[-2:].min() > 0.8 and found[0] < 0.5
    assert (dataset["test_score"].sel(given=PLANTED).mean("data_set").values[-2:] > 0.2).all()


def test_intervals_too_narrow_are_marked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a tenth of their variance."""
    monkeypatch.setattr("pipeline.inference.scores.encoding_batches.widening_of", lambda _: 0.2)
    calibrated("planted-items", ITEMS, tmp_path)
    rows = rows_of(tmp_path)
    assert not rows[NOTHING, "zero"]["kept"] and not rows[NOTHING, "above"]["kept"]
    assert rows[NOTHING, "p"]["kept"]  # of other orders, which have nothing to do with draws


def test_other_orders_that_score_too_low_are_marked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A third of their scatter: p is too small."""
    from pipeline.encoding.null_tables import NullTables

    whole = NullTables.variables

    def shrunk(tables: NullTables) -> dict[str, Any]:
        mean = tables.z[1:].mean(axis=0)
        tables.z[1:] = mean + (tables.z[1:] - mean) / 3
        return whole(tables)

    monkeypatch.setattr(NullTables, "variables", shrunk)
    calibrated("planted-items", ITEMS, tmp_path)
    rows = rows_of(tmp_path)
    assert not rows[NOTHING, "p"]["kept"] and not rows[NOTHING, "any"]["kept"]
    assert rows[NOTHING, "zero"]["kept"]


@pytest.mark.parametrize("high_pass_s", [0.0, 60.0])
def test_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, high_pass_s: float) -> None:
    """Delays and rolls, with and without a filter in the stretches of the folds."""
    write = benchmarks.calibration_studies.write_recording

    def filtered(dataset: xr.Dataset, path: Path) -> Path:
        return write(dataset.assign_attrs(high_pass_s=high_pass_s), path)

    monkeypatch.setattr(benchmarks.calibration_studies, "write_recording", filtered)
    dataset = calibrated("planted-time", TIME, tmp_path, n=6)
    rows = rows_of(tmp_path)
    assert dataset.sizes["data_set"] == 6 and dataset.attrs["test_orders"] == N_ORDERS
    assert np.isfinite(dataset["test_low"].values).all()
    assert rows[NOTHING, "p"]["kept"] and rows[NOTHING, "any"]["kept"] and rows[NOTHING, "above"]["kept"]
    assert dataset["test_found"].sel(given=PLANTED).values[:, -1].mean() > 0.6


def test_subjects_are_averaged_as_in_the_map(tmp_path: Path) -> None:
    """Scores of eight subjects, whose intervals are over them."""
    dataset = calibrated("contrast-items-8-0", Sizes(118, 2, 12, 2, 2), tmp_path, n=5)
    assert dataset.attrs["subject"] == "all" and dataset["test_found"].sel(given=PLANTED).values.all()
    assert rows_of(tmp_path)[NOTHING, "any"]["of"] == 5


@pytest.mark.parametrize(("n_runs", "shuffle_seed"), [(1, None), (1, 3), (3, None), (3, 3)])
def test_no_order_puts_responses_back(n_runs: int, shuffle_seed: int | None) -> None:
    """Runs of 900 s in all, samples of 2 s: by 20 s at least, whatever was done before."""
    run = np.repeat([f"run-{number}" for number in range(n_runs)], 450 // n_runs)
    samples = Samples("time", run, run, 2.0, np.tile(np.arange(450 // n_runs) * 2.0 + 2, n_runs))
    orders = data_set_orders(samples, 8, 30, 1, alike=2, shuffle_seed=shuffle_seed)
    given = np.arange(450) if shuffle_seed is None else shuffled_rows(samples, shuffle_seed)
    assert len(orders.noise) == 8 and len(orders.others) == 30
    for order in orders.others:
        for noise, other in zip(orders.noise * 2, order, strict=True):
            rolled = given[noise][other]
            for rows in samples.runs:
                offset = (rolled[rows[0]] - rows[0]) % rows.size
                assert min(offset, rows.size - offset) * 2.0 >= 20
                np.testing.assert_array_equal(np.sort(rolled[rows]), rows)


def test_no_permutations_leave_the_intervals(tmp_path: Path) -> None:
    calibrated("planted-items", ITEMS, tmp_path, n=5, inference=Inference(n_bootstrap=200, permutations=0))
    rows = rows_of(tmp_path)
    assert not {(NOTHING, "p"), (NOTHING, "any"), (PLANTED, "found")} & set(rows)
    assert rows[NOTHING, "zero"]["of"] == 5 * 6
    assert rows[PLANTED, "above"]["promise"] == "" and rows[PLANTED, "above"]["share"] > 0.3


def test_the_network_that_is_calibrated_is_named_whatever_layers_it_has(tmp_path: Path) -> None:
    """The first has a single layer, which is always the best: rows on layers are of the second alone."""
    dataset = calibrated("planted-items", ITEMS, tmp_path, n=5, layers={"other": ("layer1",), "net": None})
    assert dataset.attrs["calibrated"] == "other"
    tables = identifiability_rows({"study": "s", "analysis": "a"}, open_identifiability(tmp_path / "g.nc"))
    assert {row["model"] for row in tables["identifiability"]} == {"net"}
    assert {row["model"] for row in tables["calibration"]} == {"other"}
    assert not {"set", "credible", "difference"} & {row["statistic"] for row in tables["calibration"]}


def test_no_target_varies(tmp_path: Path) -> None:
    """Said where the map shows the subject."""
    calibrated("planted-items", ITEMS, tmp_path, n=5, still=slice(None))
    (row,) = rows_of(tmp_path).values()
    assert (row["subject"], row["model"], row["untested"]) == ("s00", "net", "no target varies")


def test_one_subject_of_several_varies(tmp_path: Path) -> None:
    """The map shows the mean over subjects, which is this one's."""
    only = calibrated("contrast-items-5-0", Sizes(118, 2, 12, 2, 2), tmp_path, n=5, still=slice(4, None))
    assert only.attrs["subject"] == "all" and only.attrs["n_targets"] == 4
    assert rows_of(tmp_path)[NOTHING, "any"]["of"] == 5


def test_a_data_set_without_a_score_counts_nowhere(items: Path, tmp_path: Path) -> None:
    dataset = open_identifiability(items / "g.nc").load()
    table = _Table.empty(N_SETS, 1)
    undefined = types.SimpleNamespace(sampled=lambda _: types.SimpleNamespace(value=np.nan))
    table.fill((0, 2, 0), cast("Any", undefined), cast("Any", None), 0, SETTINGS)
    assert all(np.isnan(getattr(table, field.name)).all() for field in dataclasses.fields(table))
    lost = {name: dataset[name].where(dataset["data_set"] != 2) for name in dataset if str(name).startswith("test_")}
    lost["test_amplitude"] = dataset["test_amplitude"]
    write_identifiability(dataset.assign(lost), tmp_path / "g.nc")
    rows = rows_of(tmp_path)
    assert rows[NOTHING, "any"]["of"] == N_SETS - 1 and rows[NOTHING, "p"]["of"] == (N_SETS - 1) * 6
    assert rows[PLANTED, "found"]["n_data_sets"] == N_SETS - 1


def test_credible_sets_are_counted_by_repeats(items: Path) -> None:
    """Layers and regions of a repeat share its noise."""
    row = rows_of(items)[PLANTED, "credible"]
    planted = int((open_identifiability(items / "g.nc")["measured_score"].values > 0).sum())
    assert row["n_data_sets"] == 20 and row["of"] == 20 * 3 * planted
    assert row["se"] >= binomial_se(0.95, row["of"]) - 1e-12 and row["kept"]


def test_too_short_a_recording_says_so(tmp_path: Path) -> None:
    """Two runs of 38 s allow one roll each."""
    dataset = calibrated("planted-time", dataclasses.replace(TIME, n_samples=76), tmp_path)
    assert dataset.sizes["data_set"] == 0
    (row,) = rows_of(tmp_path).values()
    assert row["of"] == 0 and "fewer than" in row["untested"]


def test_none_are_wanted(tmp_path: Path) -> None:
    calibrated("planted-items", ITEMS, tmp_path, n=0)
    assert not rows_of(tmp_path)


def test_parts_of_the_targets_have_orders_of_their_own() -> None:
    """Whatever columns are read."""
    values = np.random.default_rng(0).standard_normal((7, 6)).astype(np.float32)
    orders = [np.stack([np.random.default_rng(k).permutation(7) for k in (j, j + 9, j + 99)]) for j in range(2)]
    both = Reordered(values, orders)
    part = np.repeat(range(3), 2)
    expected = np.stack([values[order[part[one]], one] for order in orders for one in range(6)], axis=1)
    np.testing.assert_array_equal(both[:, 0:12], expected)
    np.testing.assert_array_equal(both[:, 3:9], expected[:, 3:9])


@pytest.mark.parametrize(
    ("n", "promise", "wanted", "kept"),
    [
        (9, AT_MOST, 0.05, True),
        (11, AT_MOST, 0.05, False),
        (20, AT_MOST, 0.05, False),
        (0, AT_MOST, 0.05, True),
        (80, AT_LEAST, 0.95, False),
    ],
)
def test_a_promise_is_kept_within_two_errors(n: int, promise: str, wanted: float, kept: bool) -> None:
    hit = np.zeros(100)
    hit[:n] = 1
    row = count(np.random.default_rng(0).permutation(hit).reshape(20, 5), wanted, promise)
    assert bool(row["kept"]) is kept
    assert row["n"] == n and row["of"] == 100 and row["n_data_sets"] == 20
    assert row["se"] >= binomial_se(wanted, 100) - 1e-12


def test_regions_that_go_together_count_as_one() -> None:
    """Two of twenty data sets with all of their regions: not the precision of 100."""
    hit = np.zeros((20, 5))
    hit[:2] = 1
    row = count(hit, 0.05, AT_MOST)
    scatter = np.std(hit[:, 0], ddof=1) / np.sqrt(20) / np.sqrt(0.1 * 0.9 / 100)
    assert row["se"] == pytest.approx(binomial_se(0.05, 100) * scatter) and row["kept"]
