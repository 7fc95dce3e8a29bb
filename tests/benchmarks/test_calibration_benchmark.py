"""The calibration benchmark: what it counts of maps whose figures are known, and runs that go on where they stopped."""

import json
import sys
import types

import numpy as np
import pandas as pd
import pytest

from benchmarks import calibration
from benchmarks.calibration_counts import (
    COLUMNS,
    any_of_family,
    coverage,
    coverage_rows,
    figures_of,
    layer_rows,
    rejection_rows,
    rejections,
    uniformity,
    verdict,
)
from benchmarks.calibration_files import kept_in_memory
from benchmarks.calibration_studies import DESIGNS, SIZES, run_study, simulate, sizes_of


def record(number=0, variant=0, **columns):
    """A study's summary: two models with as many regions as the columns have values for each."""
    n = len(next(iter(columns.values()))) // 2
    where = {"model": ["net"] * n + ["other"] * n, "subject": ["s00"] * 2 * n, "region": ["A", "B", "C"][:n] * 2}
    return {
        **{"study": "noise-items", "number": number, "variant": variant, "permutations": 99, "seed": 1},
        **{"planted": {}, "planted_layer": {}, "tables": {"summary": {**where, **columns}}},
    }


def test_shares_are_means_over_studies_and_so_are_their_errors():
    records = [record(p=[0.01, 0.2, 0.3, 0.4]), record(p=[0.04, 0.03, None, None]), record(p=[None] * 4)]
    found = rejections(records, "summary", "p", 0.05)
    assert (found.mean, found.of) == (pytest.approx((0.25 + 1) / 2), 6)
    assert found.error == pytest.approx(np.std([0.25, 1], ddof=1) / np.sqrt(2))
    any_in_model = any_of_family(records, "summary", "p", lambda p: p < 0.05)
    assert any_in_model.mean == pytest.approx((0.5 + 0.5 + 0) / 3)
    assert rejections(records, "summary", "q", 0.05).of == 0


def test_coverage_of_a_stated_truth_and_of_the_mean_over_studies_of_one_size():
    same = {"ci_low": [-1.0, -1.0], "ci_high": [1.0, 1.0]}
    records = [
        record(0, 0, r2=[0.0, 10.0], **same),
        record(1, 0, r2=[1.0, 11.0], ci_low=[0.6, 10], ci_high=[2, 12]),
        record(2, 1, r2=[-5.0, 5.0], **same),
    ]
    of_zero = coverage(records, "summary", "r2", "ci_low", "ci_high", 0.0)
    assert (of_zero.share.mean, of_zero.truth) == (pytest.approx(2 / 3), 0)
    assert of_zero.width == pytest.approx((4 * 2 + 1.4 + 2) / 6)
    # by size: (0.5, 10.5) held by neither and by the second of the second study; −5 and 5 by none
    of_mean = coverage(records, "summary", "r2", "ci_low", "ci_high", None)
    assert of_mean.share.mean == pytest.approx((0.5 + 0.5 + 0) / 3)
    assert of_mean.estimate == of_mean.truth == pytest.approx((0 + 10 + 1 + 11 - 5 + 5) / 6)


def test_ps_that_are_not_uniform_are_told_from_those_that_are():
    uniform = (1 + np.arange(40)) / 41
    assert uniformity([record(p=[p, 1.0]) for p in uniform], "summary", "p") > 0.9
    assert uniformity([record(p=[p**2, 1.0]) for p in uniform], "summary", "p") < 0.05
    assert np.isnan(uniformity([record(p=[0.5, 1.0])] * 19, "summary", "p"))


def test_a_share_is_judged_within_two_standard_errors():
    records = [record(p=[0.01 if number < 5 else 0.9, 0.9]) for number in range(20)]
    many = rejections(records, "summary", "p", 0.05)
    assert many.mean == 0.125 and verdict(many, 0.05) == "≤ .05: met"
    assert verdict(rejections(records * 4, "summary", "p", 0.05), 0.05) == "≤ .05: missed"
    assert verdict(many, 0.95, at_least=True) == "≥ .95: missed"


def test_a_map_without_a_column_is_refused_unless_that_is_allowed():
    tables = {name: pd.DataFrame(columns=list(columns)) for name, columns in COLUMNS.items()}
    assert figures_of(tables) == {}
    labels = {"model": "net", "subject": ["s0", "all"], "region": "A", "best_layer": "x", "best_layer_set": "x | y"}
    tables["summary"] = pd.DataFrame({**{name: [0.123456789, np.nan] for name in COLUMNS["summary"]}, **labels})
    kept = figures_of(tables)["summary"]
    assert kept["subject"] == ["all"] and kept["p"] == [None]
    tables["summary"] = tables["summary"][lambda table: table["subject"] == "s0"].drop(columns=["q", "p_family"])
    with pytest.raises(ValueError, match="'summary' of the map lacks: p_family, q"):
        figures_of(tables)
    kept = figures_of(tables, allow_missing=True)["summary"]
    assert "q" not in kept and kept["p"] == [0.12346]


def test_tables_say_what_was_found_of_planted_layers_and_of_noise():
    sets = ["a | layer0", "layer1", "layer1", "layer0"]
    columns = {"best_layer": ["layer0", "layer1", "layer0", "layer0"], "best_layer_set": sets}
    numbers = {"ci_low": [0.1, -0.1, 0.1, 0.1], "depth_ci_low": [0.1, 0.2, None, None], "depth_ci_high": [0.3] * 4}
    found = {**record(**columns, **numbers), "planted": {"A": 0.0, "B": 0.25}, "planted_layer": {"A": 0, "B": 2}}
    told = {row[2]: row[3:5] for row in layer_rows("planted-items", [found])}
    assert told["set holds the planted layer"] == ["2", "0.500 ± nan"]
    assert told["interval of depth holds the planted depth"] == ["2", "0.500 ± nan"]
    assert told["score interval above 0 where a layer is planted"] == ["2", "0.500 ± nan"]
    told = {row[2]: row[4] for row in rejection_rows("noise-items", [found], ["summary"])}
    assert told["summary: score interval above 0"] == "0.750 ± nan"
    assert told["summary: any region's score interval above 0 in a model"] == "1.000 ± nan"
    assert coverage_rows("noise-items", [found], ["summary"]) == []  # no score is there to be held


def test_read_outs_that_are_planted_have_the_share_of_variance_that_they_are_to_have():
    for name in ("planted-time", "planted-items"):
        design, generator = DESIGNS[name], np.random.default_rng(0)
        sizes = sizes_of(design, 0)
        shares = []
        for _ in range(30):
            study = simulate(design, sizes, generator)
            features = study.features["net"][f"layer{study.planted['R5']}"]
            last = study.responses[:, -1]
            if sizes.delays_s:  # in each run by itself, as far as features reach
                features, last = (part.reshape(2, -1, *part.shape[1:]) for part in (features, last))
                features, last = features[:, :-6].reshape(-1, sizes.n_features), last[:, 6:].ravel()
            fitted = features @ np.linalg.lstsq(features, last, rcond=None)[0]
            residual = ((last - fitted) ** 2).sum() / (last.size - sizes.n_features)
            shares.append(1 - residual / last.var())
        assert np.mean(shares) == pytest.approx(0.3, abs=0.03)


def test_amplitudes_of_models_are_equal_on_the_mean_and_differ_between_subjects():
    design, generator = DESIGNS["contrast-items-30-.05"], np.random.default_rng(0)
    study = simulate(design, SIZES["contrast", False][0], generator)
    assert len(set(study.subjects)) == 30 and study.responses.shape == (118, 180)
    assert study.responses.var() == pytest.approx(1 + 2 * 0.3**2, abs=0.03)


def test_scores_kept_in_memory_give_the_map_that_files_give(tmp_path):
    (tmp_path / "files").mkdir()
    (tmp_path / "memory").mkdir()
    by_files = run_study("noise-items", 0, 1, 20, tmp_path / "files")["tables"]
    with kept_in_memory():
        in_memory = run_study("noise-items", 0, 1, 20, tmp_path / "memory")["tables"]
    assert len(by_files["summary"]) == 12 and len(by_files["unit"]) == 36 and len(by_files["contrast"]) == 6
    for name, table in by_files.items():
        pd.testing.assert_frame_equal(table, in_memory[name])
    assert list((tmp_path / "files" / "scores").iterdir())
    assert not list((tmp_path / "memory" / "scores").iterdir())


@pytest.fixture
def other_studies(monkeypatch):
    """A module of studies that count what they are called with."""
    module = types.ModuleType("calibration_of_a_test")
    module.calls = []

    def run_study(number, seed, permutations, folder):
        module.calls.append((number, seed, permutations, folder.is_dir()))
        return {"figure": number * 2}

    module.run_study = run_study
    module.tables_of = lambda records: [("Figures", ("study", "sum"), [["x", str(sum(r["figure"] for r in records))]])]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(calibration, "OTHERS", {"doubles": module.__name__})
    return module


def test_a_run_goes_on_where_it_stopped(tmp_path, monkeypatch, capsys, other_studies):
    path = tmp_path / "done.jsonl"
    arguments = ["--studies", "doubles", "--workers", "1", "--resume", str(path), "--permutations", "19", "--seed", "3"]
    monkeypatch.setattr(sys, "argv", ["calibration", *arguments, "--n", "2"])
    calibration.main()
    assert other_studies.calls == [(0, 3, 19, True), (1, 3, 19, True)]
    assert "| x | 2 |" in capsys.readouterr().out
    with open(path, "a", encoding="utf-8") as file:
        file.write('{"study": "doubles", "numb')  # killed as it was written
    monkeypatch.setattr(sys, "argv", ["calibration", *arguments, "--n", "4"])
    calibration.main()
    assert [call[0] for call in other_studies.calls] == [0, 1, 2, 3]
    assert "| x | 12 |" in capsys.readouterr().out
    assert [json.loads(line)["number"] for line in path.read_text(encoding="utf-8").splitlines()] == [0, 1, 2, 3]
    monkeypatch.setattr(sys, "argv", ["calibration", *arguments[:-1], "4"])
    with pytest.raises(SystemExit, match="holds studies of seed 3"):
        calibration.main()
    path.write_text(path.read_text(encoding="utf-8").replace('"code": "', '"code": "0'), encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["calibration", *arguments])
    with pytest.raises(SystemExit, match="that other code made"):
        calibration.main()


def test_studies_are_named_by_the_beginnings_of_their_names():
    assert calibration.chosen_studies(["noise-time", "noise-time-0"]) == [
        "noise-time-0",
        "noise-time-.5",
        "noise-time-.9",
    ]
    assert len(calibration.chosen_studies(["contrast-items"])) == 10
    with pytest.raises(SystemExit, match="no study is called 'noises'"):
        calibration.chosen_studies(["noises"])
