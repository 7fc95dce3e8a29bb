"""The same ridge task solved by himalaya and by scikit-learn, at their fastest settings."""

from __future__ import annotations

import dataclasses
import gc
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import numpy as np

from pipeline.encoding.splits import Fold

MAX_R = 1 - 1e-7  # keeps Fisher z finite
HOPELESS = 3.0  # an estimator whose first setting is this much slower than another's best is not tuned further
NEAR = 1.5  # estimators whose best is within this of the fastest are all timed
Estimator = Literal["KernelRidgeCV", "RidgeCV"]


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a solver finds, of each target.

    Parameters
    ----------
    choice : index of the penalty in the grid
    inner : Pearson r of that penalty, Fisher-averaged over the folds of the search
    test : Pearson r on the rows held out
    """

    choice: np.ndarray
    inner: np.ndarray
    test: np.ndarray


def join(answers: Sequence[Answer]) -> Answer:
    """Answers of one set of targets after another."""
    fields = (field.name for field in dataclasses.fields(Answer))
    return Answer(**{name: np.concatenate([getattr(answer, name) for answer in answers]) for name in fields})


@dataclasses.dataclass(frozen=True)
class Setting:
    """How himalaya is run; batches of None are everything at once."""

    estimator: Estimator
    backend: str
    targets_batch: int | None = 1000
    penalties_batch: int | None = None
    refit_batch: int | None = 1000

    def __str__(self) -> str:
        sizes = (self.targets_batch, self.penalties_batch, self.refit_batch)
        batches = ", ".join("all" if size is None else str(size) for size in sizes)
        return f"{self.estimator}, {self.backend}, batches {batches}"


def fisher_correlation(y_true: Any, y_pred: Any) -> Any:
    """himalaya's correlation score as Fisher z, so that its mean over folds is that of the study."""
    import torch
    from himalaya.scoring import correlation_score

    r = correlation_score(y_true, y_pred).clip(-MAX_R, MAX_R)
    return torch.atanh(r) if isinstance(r, torch.Tensor) else np.arctanh(r)


def fit_himalaya(
    setting: Setting, design: np.ndarray, responses: np.ndarray, penalties: np.ndarray, fold: Fold
) -> Answer:
    """Fit, predict and score with himalaya.

    Parameters
    ----------
    design : array of shape (n_samples, n_columns), float32, delayed. Its columns had better be centred: himalaya's
        float32 kernel of columns with large means loses digits (test scores up to 6e-3 off, measured)
    responses : array of shape (n_samples, n_targets), float32
    penalties : ascending
    fold : rows of the search with their folds, and the rows held out
    """
    from himalaya.backend import set_backend
    from himalaya.scoring import correlation_score

    backend: Any = set_backend(setting.backend)
    model = _estimator(setting, penalties, fold)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # which of the two estimators suits the sizes: both are tried
        model.fit(backend.asarray(take(design, fold.train)), backend.asarray(take(responses, fold.train)))
        predicted = _predict(setting, model, backend, take(design, fold.test), take(design, fold.train))
        test = correlation_score(backend.asarray(take(responses, fold.test)), backend.asarray(predicted))
    found = [_to_numpy(values) for values in (model.best_alphas_, model.cv_scores_, test)]
    choice = np.abs(np.log(found[0])[:, None] - np.log(penalties)[None, :]).argmin(axis=1)
    return Answer(choice, np.tanh(found[1]), found[2])


def take(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Some rows; not copied where they are neighbours."""
    if rows.size == rows[-1] - rows[0] + 1:
        return values[rows[0] : rows[-1] + 1]
    return values[rows]


def _estimator(setting: Setting, penalties: np.ndarray, fold: Fold) -> Any:
    from himalaya.kernel_ridge import KernelRidgeCV
    from himalaya.ridge import RidgeCV

    place = {row: index for index, row in enumerate(fold.train.tolist())}
    folds = [
        (np.array([place[row] for row in part.train.tolist()]), np.array([place[row] for row in part.test.tolist()]))
        for part in fold.inner
    ]
    solver = {
        "score_func": fisher_correlation,
        "local_alpha": True,
        "n_targets_batch": setting.targets_batch,
        "n_alphas_batch": setting.penalties_batch,
        "n_targets_batch_refit": setting.refit_batch,
    }
    common = {"alphas": penalties.astype(np.float32), "fit_intercept": True, "cv": folds, "solver_params": solver}
    if setting.estimator == "RidgeCV":
        return RidgeCV(**common)
    return KernelRidgeCV(kernel="linear", **common)


def _predict(setting: Setting, model: Any, backend: Any, test: np.ndarray, train: np.ndarray) -> Any:
    """Predictions of the rows held out; on a GPU batch by batch there, where himalaya's own would use the CPU."""
    if setting.backend != "torch_cuda":
        return model.predict(backend.asarray(test))
    rows = backend.asarray(test)
    if setting.estimator == "KernelRidgeCV":
        rows = rows @ backend.asarray(train).T
    weights = model.coef_ if setting.estimator == "RidgeCV" else model.dual_coef_
    step = setting.refit_batch or weights.shape[1]
    batches = [slice(start, start + step) for start in range(0, weights.shape[1], step)]
    intercept = backend.asarray(model.intercept_)
    parts = [rows @ backend.asarray(weights[:, batch]) + intercept[batch] for batch in batches]
    return backend.concatenate(parts, 1)


def _to_numpy(values: Any) -> np.ndarray:
    return np.asarray(values.cpu() if hasattr(values, "cpu") else values, np.float64)


def fit_scikit_learn(solver: str, design: np.ndarray, responses: np.ndarray, penalty: float, fold: Fold) -> Answer:
    """Fit, predict and score one penalty with scikit-learn's Ridge, which has no folds for a penalty per target."""
    from sklearn.linear_model import Ridge

    model = Ridge(alpha=penalty, solver=solver).fit(take(design, fold.train), take(responses, fold.train))
    test = columnwise_correlation(model.predict(take(design, fold.test)), take(responses, fold.test))
    return Answer(np.zeros(test.size, int), np.zeros(test.size), test)


def columnwise_correlation(predicted: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """Pearson r of each column, in float64."""
    p, y = (np.asarray(values, np.float64) for values in (predicted, measured))
    p, y = p - p.mean(axis=0), y - y.mean(axis=0)
    length = np.sqrt(np.einsum("it,it->t", p, p) * np.einsum("it,it->t", y, y))
    return np.asarray(np.einsum("it,it->t", p, y) / np.where(length > 0, length, 1.0))


def fastest_settings(
    run: Callable[[Setting], object], backends: Sequence[str], n_targets: int, n_penalties: int
) -> list[Setting]:
    """The fastest settings of each estimator, the fastest estimator first; hopeless ones are left out.

    One choice after another is varied, and what was fastest kept: backend, targets per batch, penalties per batch,
    targets per batch of the refit.

    Parameters
    ----------
    run : solves a task like the one at hand, with fewer targets
    """
    found: dict[Setting, float] = {}
    names: tuple[Estimator, ...] = ("KernelRidgeCV", "RidgeCV")
    for name in names:
        best = Setting(name, backends[0])
        taken = _seconds(run, best)
        if not found or taken < HOPELESS * min(found.values()):
            for changes in _choices(backends, n_targets, n_penalties):
                for change in changes:
                    setting = dataclasses.replace(best, **change)
                    seconds = _seconds(run, setting)
                    if seconds < taken:
                        best, taken = setting, seconds
        found[best] = taken
    return sorted(found, key=lambda setting: found[setting])


def _choices(backends: Sequence[str], n_targets: int, n_penalties: int) -> Iterator[list[dict[str, Any]]]:
    sizes = [size for size in (250, 500, 2000, 8000) if size < n_targets]
    yield [{"backend": backend} for backend in backends[1:]]
    yield [{"targets_batch": size} for size in (*sizes, None)]
    yield [{"penalties_batch": size} for size in (1, 5) if size < n_penalties]
    yield [{"refit_batch": size} for size in sizes]


def _seconds(run: Callable[[Setting], object], setting: Setting) -> float:
    """How long one run takes; infinitely long where memory does not suffice."""
    import torch

    free_memory()
    began = time.perf_counter()
    try:
        run(setting)
    except (MemoryError, torch.cuda.OutOfMemoryError):
        return float("inf")
    return time.perf_counter() - began


def near_settings(run: Callable[[Setting], object], settings: Sequence[Setting]) -> list[Setting]:
    """Those of the settings that come near the fastest at full size."""
    taken = {setting: _seconds(run, setting) for setting in settings}
    return [setting for setting in settings if taken[setting] <= NEAR * min(taken.values())]


def free_memory() -> None:
    """Give back what the last run left, on the GPU as well."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def himalaya_backends(device: str) -> list[str]:
    """himalaya's backends for a device, torch's first."""
    return ["torch_cuda"] if device == "cuda" else ["torch", "numpy"]
