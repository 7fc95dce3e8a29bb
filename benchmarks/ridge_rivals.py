"""Each case's task as functions without arguments: solved by us, and by every peer that can."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from benchmarks.ridge_cases import Problem, nested_splits
from benchmarks.ridge_peers import (
    Answer,
    Setting,
    fastest_settings,
    fit_himalaya,
    fit_scikit_learn,
    himalaya_backends,
    join,
    near_settings,
)
from pipeline.encoding.design import Design
from pipeline.encoding.layer_fit import LayerFit
from pipeline.encoding.ridge.fit import fit_ridge
from pipeline.encoding.splits import Fold

TUNING_TARGETS = 2000  # settings are compared with so many, then the best at full size
SCIKIT_LEARN_SOLVERS = ("cholesky", "svd")


@dataclasses.dataclass(frozen=True)
class Rival:
    """A way to solve the task.

    Parameters
    ----------
    peer : what ours is compared with; of several rivals of one peer the fastest counts
    setting : in words
    target_ratio : how many times faster ours has to be
    """

    peer: str
    setting: str
    run: Callable[[], Answer]
    target_ratio: float | None = None


def solve_ours(problem: Problem, fold: Fold, device: str) -> Answer:
    """Search, refit and scores of every layer, all listeners' targets together."""
    case = problem.case
    answers = []
    for features in problem.layers:
        fit = fit_ridge(
            features,
            problem.responses,
            case.penalties,
            Design([fold], case.delays, problem.runs, problem.rows),
            choose_by="r",
            scale=False,
            penalty_unit="absolute",
            device=device,
        )
        answers.append(_answer(fit, 0, case.penalties))
    return join(answers)


def _answer(fit: LayerFit, fold: int, penalties: np.ndarray) -> Answer:
    choice = np.abs(np.log(fit.penalty[fold])[:, None] - np.log(penalties)[None, :]).argmin(axis=1)
    return Answer(choice, np.asarray(fit.inner_score[fold], np.float64), np.asarray(fit.score[fold], np.float64))


def rivals(problem: Problem, fold: Fold, device: str) -> list[Rival]:
    """Peers that solve a case's task, at their fastest settings, which are looked for."""
    case = problem.case
    if case.name == "one":
        return _scikit_learn(problem, fold)
    designs = [problem.design(layer) for layer in range(case.n_layers)]

    def tune(setting: Setting) -> Answer:
        return fit_himalaya(setting, designs[0], problem.responses[:, :TUNING_TARGETS], case.penalties, fold)

    def stacked(setting: Setting) -> Answer:
        return join([fit_himalaya(setting, design, problem.responses, case.penalties, fold) for design in designs])

    def first_layer(setting: Setting) -> Answer:
        return fit_himalaya(setting, designs[0], problem.responses, case.penalties, fold)

    backends = himalaya_backends(device)
    settings = fastest_settings(tune, backends, min(case.all_targets, TUNING_TARGETS), case.n_penalties)
    settings = near_settings(first_layer, settings)
    if case.n_listeners == 1:
        return [Rival("himalaya", str(s), _bound(stacked, s), case.target_ratio) for s in settings]
    found = [Rival("himalaya, listeners stacked", str(s), _bound(stacked, s), case.target_ratio) for s in settings]
    return [*found, _loop(problem, fold, designs, backends)]


def _loop(problem: Problem, fold: Fold, designs: list[np.ndarray], backends: list[str]) -> Rival:
    """himalaya for one layer and listener after another."""
    case = problem.case
    parts = [np.ascontiguousarray(problem.responses[:, problem.listener(n)]) for n in range(case.n_listeners)]

    def one(setting: Setting) -> Answer:
        return fit_himalaya(setting, designs[0], parts[0], case.penalties, fold)

    def loop(setting: Setting) -> Answer:
        return join([fit_himalaya(setting, design, part, case.penalties, fold) for design in designs for part in parts])

    best = fastest_settings(one, backends, case.n_targets, case.n_penalties)[0]
    return Rival("himalaya, loop over layers and listeners", str(best), _bound(loop, best), case.loop_ratio)


def _bound(run: Callable[[Setting], Answer], setting: Setting) -> Callable[[], Answer]:
    return lambda: run(setting)


def _scikit_learn(problem: Problem, fold: Fold) -> list[Rival]:
    """One penalty, no search: all that scikit-learn can do with folds."""
    design = problem.design(0)
    penalty = float(problem.case.penalties[0])

    def run(solver: str) -> Callable[[], Answer]:
        return lambda: fit_scikit_learn(solver, design, problem.responses, penalty, fold)

    return [Rival("scikit-learn Ridge", solver, run(solver)) for solver in SCIKIT_LEARN_SOLVERS]


def study_penalties() -> np.ndarray:
    """The grid of a study that names none, relative to the mean eigenvalue."""
    from pipeline.encoding.options import PenaltyGrid

    return np.array(PenaltyGrid().values())


def solve_study(problem: Problem, penalties: np.ndarray, device: str) -> Answer:
    """What a study does unless told otherwise, but by r: nested folds, features scaled in each, relative penalties."""
    case = problem.case
    fit = fit_ridge(
        problem.layers[0],
        problem.responses[: case.n_train],
        penalties,
        Design(nested_splits(case), case.delays, problem.runs, problem.rows[: case.n_train]),
        choose_by="r",
        device=device,
    )
    return join([_answer(fit, number, penalties) for number in range(len(fit.score))])


def study_rivals(problem: Problem, penalties: np.ndarray, device: str) -> list[Rival]:
    """himalaya once per outer fold, with features scaled over its training rows.

    Its inner folds then see a scale that their own held-out rows have had a part in, so it is not quite the same task.
    """
    case = problem.case
    design = problem.design(0)
    splits = nested_splits(case)
    scaled = []
    for fold in splits:
        train = design[fold.train]
        scaled.append((design - train.mean(axis=0)) / train.std(axis=0))
    absolute = penalties * design.shape[1]  # the mean eigenvalue of scaled features is their number

    def nested(setting: Setting) -> Answer:
        parts = zip(scaled, splits, strict=True)
        return join([fit_himalaya(setting, values, problem.responses, absolute, fold) for values, fold in parts])

    def first(setting: Setting) -> Answer:
        return fit_himalaya(setting, scaled[0], problem.responses, absolute, splits[0])

    settings = fastest_settings(first, himalaya_backends(device), case.n_targets, case.n_penalties)[:1]
    return [Rival("himalaya, once per outer fold", str(s), _bound(nested, s)) for s in settings]
