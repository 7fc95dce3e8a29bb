"""Reductions of a layer's units, applied batch by batch while the layer is extracted."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Protocol

from pipeline.activations.options import NoReduction, Reduction, SparseProjection

if TYPE_CHECKING:
    import numpy as np
    from scipy.sparse import csr_array


class Reducer(Protocol):
    """Brings one layer's batch (n, …) to (n, n_features) float32."""

    def __call__(self, layer: str, values: np.ndarray) -> np.ndarray: ...


def make_reducer(reduction: Reduction) -> Reducer:
    """The reducer of a study's option; projections are drawn once per layer and kept."""
    if isinstance(reduction, NoReduction):
        return keep_units
    if isinstance(reduction, SparseProjection):
        return Projector(reduction.n_features, reduction.seed)
    return mean_over_space


def keep_units(layer: str, values: np.ndarray) -> np.ndarray:
    """Every unit as a feature: (n, …) → (n, product of …)."""
    import numpy as np

    return np.ascontiguousarray(values.reshape(values.shape[0], -1), dtype=np.float32)


def mean_over_space(layer: str, values: np.ndarray) -> np.ndarray:
    """Maps (n, channel, …) averaged over all but the channel axis; vectors (n, feature) stay as they are."""
    import numpy as np

    if values.ndim == 2:
        return keep_units(layer, values)
    return np.asarray(values.reshape(*values.shape[:2], -1).mean(axis=2, dtype=np.float64), dtype=np.float32)


class Projector:
    """Sparse random projection of every layer to the same number of features."""

    def __init__(self, n_features: int, seed: int) -> None:
        self._n_features = n_features
        self._seed = seed
        self._matrices: dict[str, csr_array] = {}

    def __call__(self, layer: str, values: np.ndarray) -> np.ndarray:
        import numpy as np

        units = keep_units(layer, values)
        if layer not in self._matrices:
            self._matrices[layer] = projection_matrix(layer, units.shape[1], self._n_features, self._seed)
        return np.ascontiguousarray((self._matrices[layer] @ units.T).T, dtype=np.float32)


def projection_matrix(layer: str, n_units: int, n_features: int, seed: int) -> csr_array:
    """A seeded, very sparse random matrix that keeps squared lengths in expectation.

    Each entry is ±√(1 / (density · n_features)) with probability density / 2 each, and 0 otherwise, with
    density 1 / √n_units. It depends on nothing but the four arguments.

    Returns
    -------
    csr_array of shape (n_features, n_units), float32

    References
    ----------
    Li, Hastie & Church 2006, KDD: Very sparse random projections.
    """
    import numpy as np
    from scipy.sparse import csr_array

    digest = hashlib.sha256(f"{seed}:{layer}:{n_units}:{n_features}".encode()).digest()
    generator = np.random.default_rng(int.from_bytes(digest[:16], "big"))
    density = 1 / np.sqrt(n_units)
    counts = generator.binomial(n_units, density, size=n_features)
    columns = [np.sort(generator.choice(n_units, count, replace=False, shuffle=False)) for count in counts]
    weight = np.float32(np.sqrt(1 / (density * n_features)))
    signs = generator.integers(0, 2, size=counts.sum()).astype(np.float32) * 2 - 1
    starts = np.concatenate([[0], np.cumsum(counts)])
    return csr_array((weight * signs, np.concatenate(columns), starts), shape=(n_features, n_units))
