"""The tasks of the ridge benchmark: sizes, and simulated layers and responses.

Layers have a power-law spectrum (the i-th eigenvalue of their covariance falls as 1/i) and means that are not zero.
Responses read a random few of the first components, with noise of a strength that differs from target to target;
every tenth target is noise alone.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy.fft import dct

from pipeline.encoding.splits import Fold

N_FOLDS = 5
READABLE_COMPONENTS = 64  # responses read the first of them
READ_COMPONENTS = 16  # as many as one response reads


@dataclasses.dataclass(frozen=True)
class Case:
    """One task: choose a penalty per target in five contiguous folds, refit, score on rows held out.

    Parameters
    ----------
    n_train : rows for the search and the refit; a fifth as many more are held out
    n_features : of one layer, undelayed
    n_targets : of one listener
    delays : of the responses behind the features, in rows
    target_ratio : how many times faster than himalaya it has to be
    loop_ratio : the same against himalaya in a loop over layers and listeners
    """

    name: str
    title: str
    n_train: int
    n_features: int
    n_targets: int
    delays: tuple[int, ...] = (0,)
    n_layers: int = 1
    n_listeners: int = 1
    n_penalties: int = 20
    target_ratio: float | None = None
    loop_ratio: float | None = None

    @property
    def n_test(self) -> int:
        return self.n_train // 5

    @property
    def all_targets(self) -> int:
        """Columns of the responses: those of all listeners side by side."""
        return self.n_targets * self.n_listeners

    @property
    def penalties(self) -> np.ndarray:
        """Ascending, from 10⁰ to 10⁶, of the features as they are; or 10³ alone."""
        return np.geomspace(1.0, 1e6, self.n_penalties) if self.n_penalties > 1 else np.array([1e3])

    @property
    def size(self) -> str:
        """Rows × features × targets."""
        delayed = f" × {len(self.delays)} delays" if len(self.delays) > 1 else ""
        size = f"{self.n_train:,} × {self.n_features:,}{delayed} × {self.n_targets:,}"
        if self.n_layers * self.n_listeners > 1:
            size += f", {self.n_layers} layers, {self.n_listeners} listeners"
        return size


CASES = {
    "many": Case("many", "many targets", 1500, 3072, 10_000, target_ratio=6),
    "tall": Case("tall", "tall", 6000, 512, 10_000, target_ratio=4),
    "story": Case("story", "one story", 300, 768, 1000, (1, 2, 3, 4), 13, 30, target_ratio=4, loop_ratio=10),
    "gpu": Case("gpu", "H100", 6000, 3072, 80_000, target_ratio=5),
    "study": Case("study", "a study's default", 1500, 768, 2000, (1, 2, 3, 4), n_penalties=21),
    "one": Case("one", "one penalty", 1500, 3072, 10_000, n_penalties=1),
}
QUICK = {
    "many": Case("many", "many targets", 200, 300, 120, target_ratio=6),
    "tall": Case("tall", "tall", 400, 40, 120, target_ratio=4),
    "story": Case("story", "one story", 80, 30, 25, (1, 2, 3, 4), 2, 3, target_ratio=4, loop_ratio=10),
    "gpu": Case("gpu", "H100", 400, 200, 200, target_ratio=5),
    "study": Case("study", "a study's default", 200, 40, 50, (1, 2, 3, 4), n_penalties=21),
    "one": Case("one", "one penalty", 200, 300, 120, n_penalties=1),
}


@dataclasses.dataclass(frozen=True)
class Problem:
    """Data of a case.

    Parameters
    ----------
    layers : of each layer, ``(n_bins, n_features)`` float32; bins before the first row feed its delays
    responses : array of shape (n_train + n_test, all_targets), float32
    runs : array of shape (n_bins,); the rows held out are a run of their own
    rows : array of shape (n_train + n_test,), the bin of each row
    """

    case: Case
    layers: list[np.ndarray]
    responses: np.ndarray
    runs: np.ndarray
    rows: np.ndarray

    def design(self, layer: int) -> np.ndarray:
        """The explicit delayed matrix of one layer, ``(n_train + n_test, n_delays · n_features)``, delay by delay.

        Centred over the rows of the search, which changes no answer, and spares a float32 kernel its rounding.
        """
        design = np.concatenate([self.layers[layer][self.rows - delay] for delay in self.case.delays], axis=1)
        return np.asarray(design - design[: self.case.n_train].mean(axis=0))

    def listener(self, number: int) -> slice:
        """The columns of one listener."""
        return slice(number * self.case.n_targets, (number + 1) * self.case.n_targets)


def simulate(case: Case, seed: int) -> Problem:
    """Layers and responses of a case."""
    generator = np.random.default_rng(seed)
    margin = max(case.delays)
    rows = np.concatenate([margin + np.arange(case.n_train), case.n_train + 2 * margin + np.arange(case.n_test)])
    runs = np.repeat([0, 1], [margin + case.n_train, margin + case.n_test])
    components = generator.standard_normal((runs.size, case.n_features), np.float32)
    layers = [_layer(components, generator)]
    for _ in range(1, case.n_layers):  # the same components and as many of its own: layers of a network are alike
        own = generator.standard_normal(components.shape, np.float32)
        layers.append(_layer(np.float32(np.sqrt(0.5)) * (components + own), generator))
    read = components[:, :READABLE_COMPONENTS]
    responses = _responses(np.concatenate([read[rows - delay] for delay in case.delays], axis=1), case, generator)
    return Problem(case, layers, responses, runs, rows)


def _layer(components: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Features of variance about 1, whose covariance has eigenvalues that fall as 1/i."""
    n_features = components.shape[1]
    spectrum = 1.0 / np.arange(1, n_features + 1)
    scale = np.sqrt(spectrum * (n_features / spectrum.sum())) * generator.choice([-1.0, 1.0], n_features)
    # A cosine transform of randomly signed columns is a rotation that needs no n_features² numbers.
    rotated = dct(components * scale.astype(np.float32), axis=1, norm="ortho", overwrite_x=True)
    rotated += np.float32(0.3) * generator.standard_normal(n_features, np.float32)
    return np.ascontiguousarray(rotated, np.float32)


def _responses(read: np.ndarray, case: Case, generator: np.random.Generator) -> np.ndarray:
    """Linear readouts of a few components plus noise; between 2 and 60 % of the variance is signal, or none."""
    n_targets = case.all_targets
    n_read = min(READ_COMPONENTS, read.shape[1])
    weights = np.zeros((read.shape[1], n_targets), np.float32)
    chosen = generator.integers(0, read.shape[1], (n_read, n_targets))
    weights[chosen, np.arange(n_targets)] = generator.standard_normal((n_read, n_targets), np.float32)
    weights /= np.linalg.norm(weights, axis=0)
    share = np.float32(0.02) + np.float32(0.58) * generator.random(n_targets, np.float32)
    share[::10] = 0.0
    responses = generator.standard_normal((read.shape[0], n_targets), np.float32)
    responses *= np.sqrt(1 - share)
    responses += read @ (weights * np.sqrt(share))
    return responses


def contiguous_folds(rows: np.ndarray, n_folds: int = N_FOLDS) -> tuple[Fold, ...]:
    """Folds of neighbouring rows, as scikit-learn's `KFold` makes them."""
    tests = np.array_split(rows, n_folds)
    return tuple(Fold(np.setdiff1d(rows, test), test, np.zeros(test.size, int)) for test in tests)


def single_split(case: Case) -> Fold:
    """The rows of the search and the rows held out, with the folds of the search."""
    rows = np.arange(case.n_train + case.n_test)
    train, test = rows[: case.n_train], rows[case.n_train :]
    inner = contiguous_folds(train) if case.n_penalties > 1 else ()
    return Fold(train, test, np.zeros(test.size, int), inner)


def nested_splits(case: Case) -> list[Fold]:
    """Five outer folds of five inner folds each, over the rows of the search."""
    return [
        dataclasses.replace(fold, inner=contiguous_folds(fold.train))
        for fold in contiguous_folds(np.arange(case.n_train))
    ]
