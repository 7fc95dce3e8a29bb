"""The estimate before a run: operations as torch counts them, memory that grows with every size, and the command."""

import dataclasses
import io

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from pipeline.core import progress
from pipeline.core.progress import progress_of_folds
from pipeline.encoding.design import Design
from pipeline.encoding.estimate import calibrate
from pipeline.encoding.estimate.memory import fit_memory, stage_memory
from pipeline.encoding.estimate.run_cost import Job, Run, describe, estimate_job
from pipeline.encoding.ridge import cost, penalty_search, target_batch
from pipeline.encoding.ridge.cost import FitShape, FoldShape, Rates, fit_cost, fold_shapes, forms_of
from pipeline.encoding.ridge.fit import fit_ridge
from pipeline.encoding.ridge.gram import symmetric_product
from pipeline.encoding.splits import Fold
from pipeline.study.cli import main
from tests.activations.own_study import OWN, Lab

pytestmark = pytest.mark.slow

RATES = Rates(1e11, 5e10, 2e10, 1e10, 1e9)


def folds(n: int, n_folds: int = 3) -> list[Fold]:
    """Contiguous ones, with as many inner ones."""

    def divide(rows: np.ndarray, depth: int) -> tuple[Fold, ...]:
        if not depth:
            return ()
        parts = [(np.setdiff1d(rows, test), test) for test in np.array_split(rows, n_folds)]
        return tuple(Fold(train, test, np.zeros(test.size, int), divide(train, depth - 1)) for train, test in parts)

    return list(divide(np.arange(n), 2))


def shape(n: int = 600, n_features: int = 900, **changes) -> FitShape:
    sizes = {"n_delays": 1, "n_targets": 500, "n_penalties": 15, "parts": fold_shapes(folds(n)), **changes}
    return FitShape(n_bins=n, n_samples=n, n_features=n_features, **sizes)


@pytest.mark.parametrize(
    ("n", "n_features", "n_delays", "n_targets", "form"),
    [(120, 300, 2, 100, "dual"), (120, 300, 1, 400, "dual"), (240, 50, 1, 300, "primal"), (300, 40, 2, 100, "primal")],
)
def test_operations_are_those_that_torch_counts(monkeypatch, n, n_features, n_delays, n_targets, form):
    monkeypatch.setattr(cost, "SMALL_FLOPS", 0.0)  # as many targets would be fitted
    for module in (penalty_search, target_batch):  # what NumPy multiplies, torch does not see
        monkeypatch.setattr(module, "product", torch.matmul, raising=False)
    generator = np.random.default_rng(0)
    features = (generator.standard_normal((n, n_features)) / np.arange(1, n_features + 1)).astype(np.float32)
    responses = generator.standard_normal((n, n_targets)).astype(np.float32)
    with FlopCounterMode(display=False) as counted:
        # without tolerance there are as many filters as penalties
        fit_ridge(
            features,
            responses,
            np.geomspace(1e-3, 1e3, 15),
            Design.of_bins(len(features), folds(n), delays=range(n_delays)),
            tolerance=0,
        )
    expected = fit_cost(shape(n, n_features, n_delays=n_delays, n_targets=n_targets), n_filters=15)
    assert set(expected.forms) == {form}
    products = expected.total_flops - expected.flops["gram"] - expected.flops["decomposition"]
    assert products == pytest.approx(counted.get_total_flops(), rel=0.12)  # Gram matrices are added to, not counted


def test_gram_matrices_cost_about_half_of_the_products():
    counting = {torch.ops.aten.addmm_: lambda _, left, right, **__: 2 * left[0] * left[1] * right[1]}
    with FlopCounterMode(display=False, custom_mapping=counting) as counted:
        symmetric_product(torch.ones(1600, 3))
    assert 1 <= counted.get_total_flops() / (1600**2 * 3) < 1.2


@pytest.mark.parametrize("n_features", [40, 900])
@pytest.mark.parametrize("what", ["n_bins", "n_samples", "n_features", "n_delays", "n_targets", "n_penalties", "parts"])
def test_more_of_anything_costs_no_less(what, n_features):
    small = shape(n_features=n_features)
    parts = tuple(tuple(FoldShape(2 * p.n_train, 2 * p.n_test) for p in fold) for fold in small.parts)
    large = dataclasses.replace(small, **{what: parts if what == "parts" else 2 * getattr(small, what)})
    sizes = {"n_layers": 3, "n_repeats": 2, "n_blocks": 9, "memory_budget_mb": 1e6, "most": 10**6}

    def costs(one: FitShape) -> np.ndarray:
        found = fit_cost(one, form=forms_of(small)[0])
        return np.array([found.total_flops, found.bytes_moved, found.seconds(RATES), stage_memory(one, **sizes)])

    assert (costs(large) >= costs(small)).all()
    assert (costs(large)[:3] > costs(small)[:3]).any()


def test_memory_keeps_to_the_budget_whatever_the_targets():
    needed = {n: fit_memory(shape(n_targets=n), 200, most=10**6) for n in (10**4, 10**6)}
    assert needed[10**4] == needed[10**6]
    assert 150 * 2**20 < needed[10**4].peak <= 200 * 2**20 and needed[10**4].batch < 10**4


def test_weightings_of_feature_spaces_are_fits_of_their_own_but_for_gram_matrices():
    once, often = shape(), shape(n_weightings=13)
    one, many = fit_cost(once), fit_cost(often)
    assert many.flops["gram"] == one.flops["gram"] and many.flops["search"] == 13 * one.flops["search"]


def test_a_job_is_the_sum_of_its_fits_and_all_jobs_that_of_theirs():
    run = Run("this processor", RATES, 2048, 2048, 1.0)
    layers = (shape(n_features=700), shape(n_features=900), shape(n_features=900))
    whole, single = Job("a", "g", "m", layers, n_layers=3), [Job("a", "g", "m", (one,), n_layers=1) for one in layers]
    parts = [estimate_job(one, run) for one in single]
    assert estimate_job(whole, run).flops == pytest.approx(sum(one.flops for one in parts))
    table = describe([whole, dataclasses.replace(single[0], group="h")], run).splitlines()
    assert [line.split()[:3] for line in table if line.startswith("a ")] == [["a", "g", "m"], ["a", "h", "m"]]
    together = next(line for line in table if line.startswith("together (all)"))
    flops = sum(estimate_job(one, run).flops for one in (whole, single[0]))
    assert f"{flops / 1e9:.3g} GFLOP" in together


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """Forty pictures and two networks; the calibration is a matter of milliseconds."""
    monkeypatch.setattr(calibrate, "SHARE_S", 0.002)
    monkeypatch.setattr(calibrate, "PRODUCT_SIZE", 64)
    monkeypatch.setattr(calibrate, "N_BYTES", 1 << 16)
    made = Lab(tmp_path, n_pictures=40)
    made.write({"own": OWN}, "pixels", "own")
    monkeypatch.chdir(made.work)
    return made


def estimate(lab, capsys, *flags: str) -> list[str]:
    capsys.readouterr()
    lab.run("encode", flags=("--estimate", "--device", "cpu", *flags))
    return capsys.readouterr().out.splitlines()


def test_the_command_says_what_each_model_costs_and_what_is_missing(lab, capsys):
    lines = estimate(lab, capsys)
    assert sum(line.startswith("cells") for line in lines) == 2 and any("snakemake catalogue" in line for line in lines)
    lab.run("catalogue", "fetch")
    assert "missing: recordings of 'cells'; make them with: snakemake prepare" in "\n".join(estimate(lab, capsys))
    lab.run("prepare")
    lab.run("activate", flags=("--model", "pixels", "--device", "cpu"))
    lines = estimate(lab, capsys)
    rows = {line.split()[2]: line.split()[3:] for line in lines if line.startswith("cells")}
    assert rows["pixels"][:3] == ["40", "2", "1"] and rows["pixels"][4] == "dual" and "—" not in rows["pixels"]
    assert rows["own"][:2] == ["40", "2"] and rows["own"][3:] == ["—"] * 7
    assert any(line.startswith("missing: activations of own; make them with: snakemake activate") for line in lines)
    assert not (lab.work / "data" / "scores").exists()
    only = estimate(lab, capsys, "--model", "pixels")
    assert sum(line.startswith("cells") for line in only) == 1 and not any("missing" in line for line in only)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--model", "pixel"), "unknown model of analysis 'cells' 'pixel'"),
        (("--group", "nobody"), "unknown group of analysis 'cells' 'nobody'"),
        (("--analysis", "cell"), "unknown analysis of study 'mine' 'cell'"),
    ],
)
def test_names_that_there_are_none_of_are_refused(lab, capsys, flags, said):
    lab.run("catalogue")
    assert main(["encode", "--estimate", "--study", str(lab.folder / "mine.yaml"), *flags]) == 1
    assert said in capsys.readouterr().err


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_gpu_that_is_not_there_is_refused_in_one_line(lab, capsys):
    lab.run("catalogue", "fetch", "prepare")
    lab.run("activate", flags=("--model", "pixels", "--device", "cpu"))
    for flags in (("--estimate",), ("--model", "pixels")):
        command = ["encode", "--study", str(lab.folder / "mine.yaml"), "--device", "cuda", *flags]
        capsys.readouterr()
        assert main(command) == 1
        assert "device 'cuda' was asked for" in capsys.readouterr().err.strip().splitlines()[-1]


def test_device_and_memory_budget_are_in_no_key_and_change_no_byte(lab):
    lab.run("catalogue", "fetch", "prepare")
    lab.run("activate", flags=("--model", "pixels", "--device", "cpu"))
    found = []
    for flags in ((), ("--device", "cpu", "--memory-budget-mb", "64")):
        lab.run("encode", flags=("--model", "pixels", *flags))
        (path,) = (lab.work / "data" / "scores").rglob("*.nc")
        found.append(path.read_bytes())
        path.unlink()
    assert found[0] == found[1]


def test_a_budget_below_the_least_is_refused(lab, capsys):
    with pytest.raises(SystemExit):
        main(["encode", "--memory-budget-mb", "63"])
    assert "63 is below 64" in capsys.readouterr().err


def test_a_log_gets_a_line_now_and_then_with_the_time_left(monkeypatch):
    monkeypatch.setattr(progress, "LINE_EVERY_S", 0.0)
    log = io.StringIO()
    with progress_of_folds("encode net (2 of 3)", 2, 2, log) as bar:
        for layer in ("stem", "head"):
            bar.at(layer)
            bar.advance()
            bar.advance()
    lines = log.getvalue().splitlines()
    assert [line.partition(",")[0] for line in lines[:3]] == [
        "encode net (2 of 3): 1 of 4 folds (stem)",
        "encode net (2 of 3): 2 of 4 folds (stem)",
        "encode net (2 of 3): 3 of 4 folds (head)",
    ]
    assert all(line.endswith("left") for line in lines[:3]) and lines[3].startswith("encode net (2 of 3): 2 layers × 2")


def test_a_terminal_gets_a_bar():
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    with progress_of_folds("encode net", 1, 2, terminal) as bar:
        bar.at("stem")
        bar.advance()
        bar.advance()
    assert "encode net: 100%" in terminal.getvalue() and "2/2" in terminal.getvalue() and "stem" in terminal.getvalue()
