"""The benchmark of the ridge engine, at small sizes: it solves one task, and says where answers differ."""

import dataclasses
import sys

import numpy as np
import pytest

from benchmarks import ridge
from benchmarks.ridge_agreement import MEDIAN, TIE, compare
from benchmarks.ridge_cases import QUICK, simulate, single_split
from benchmarks.ridge_peers import Answer, Setting, fit_himalaya, join
from benchmarks.ridge_rivals import solve_ours

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=["many", "tall", "story"])
def solved(request):
    """A case with our answer and himalaya's."""
    problem = simulate(QUICK[request.param], seed=0)
    fold, case = single_split(problem.case), problem.case
    setting = Setting("RidgeCV" if request.param == "tall" else "KernelRidgeCV", "torch", penalties_batch=5)
    designs = [problem.design(layer) for layer in range(case.n_layers)]
    theirs = [fit_himalaya(setting, design, problem.responses, case.penalties, fold) for design in designs]
    return problem, fold, solve_ours(problem, fold, "cpu"), join(theirs)


def test_ours_agrees_with_himalaya(solved):
    found = compare(*solved, seed=0)
    assert found.n_beyond == 0 and found.same > 0.97 and found.tie <= TIE
    assert found.test_median <= MEDIAN and found.inner_median <= 2 * MEDIAN  # with so few rows the filters err by more
    assert found.ours_off < 1e-4 and found.peer_off < 1e-4
    assert np.unique(solved[2].choice).size > 5  # were all penalties equal, agreement would prove nothing


def test_what_differs_is_said(solved):
    problem, fold, _, peer = solved
    assert compare(problem, fold, peer, peer, seed=0).verdict == "yes"
    one_score = dataclasses.replace(peer, test=peer.test + np.where(np.arange(peer.test.size) == 3, 2e-3, 0))
    assert compare(problem, fold, one_score, peer, seed=0).failures == ["1 targets differ by more than 0.001"]
    shifted = dataclasses.replace(peer, inner=peer.inner + 2e-5)
    assert compare(problem, fold, shifted, peer, seed=0).failures == ["median beyond 1e-05"]
    opposite = compare(problem, fold, Answer(19 - peer.choice, peer.inner, peer.test), peer, seed=0)
    assert opposite.failures[-2:] == ["the same penalty in less than 98%", "penalties that are not ties within 0.0001"]


def test_tables_of_a_quick_run(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["ridge", "--quick", "--rounds", "2", "--threads", "1", "--cases", "one", "gpu"])
    ridge.main()
    lines = capsys.readouterr().out.splitlines()
    one = [line.split(" | ") for line in lines if line.startswith("| one penalty")]
    assert [len(row) for row in one] == [len(ridge.SPEED), len(ridge.AGREEMENT)]
    assert one[0][3].startswith("scikit-learn Ridge: ") and one[1][2] == "yes"
    gpu = next(line for line in lines if line.startswith("| H100"))
    assert "not measured" in gpu


def test_a_target_is_met_only_where_every_round_reaches_it():
    assert ridge.verdict(6, 6.1, 7) == "≥ 6: met"
    assert ridge.verdict(6, 5.9, 7) == "≥ 6: undecided"
    assert ridge.verdict(6, 5.0, 5.9) == "≥ 6: missed"
    assert ridge.verdict(None, 5.0, 5.9) == "—"


def test_quick_sizes_are_never_written():
    with pytest.raises(SystemExit):
        ridge.parse(["--quick", "--write"])
