"""Reductions of a layer's units, applied to a batch as soon as the layer's values exist, on the device they are on."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import TYPE_CHECKING, Any

from pipeline.activations.options import (
    LARGEST_UNASKED,
    ClassToken,
    NoReduction,
    PrincipalComponents,
    Reduction,
    SparseProjection,
    SpatialMean,
)
from pipeline.core.errors import LayermapError

if TYPE_CHECKING:
    import numpy as np
    import torch
    from scipy.sparse import csr_array

    from pipeline.models.torch.hooked_network import Reduce

LARGEST_FITTED = 4096
"""Wider layers are projected to so many features first: an exact fit would need all units of all samples at once."""


def make_reducer(reduction: Reduction, components: dict[str, Components] | None = None) -> Reduce:
    """The reducer of a study's option; projections are drawn once per layer and kept.

    Parameters
    ----------
    components : layer → fitted components, for ``pca``
    """
    if isinstance(reduction, NoReduction):
        return keep_units
    if isinstance(reduction, SpatialMean):
        return mean_over_positions
    if isinstance(reduction, ClassToken):
        return class_token
    if isinstance(reduction, SparseProjection):
        return Projector(n_features_of(reduction), reduction.seed)
    if isinstance(reduction, PrincipalComponents):
        return OntoComponents(components or {}, Projector(LARGEST_FITTED, reduction.seed))
    raise LayermapError(f"reduction '{reduction}' is unknown")


def n_features_of(reduction: SparseProjection) -> int:
    """Features of a projection: as given, or by the Johnson–Lindenstrauss bound (Dasgupta & Gupta 2003).

    4 ln(n) / (ε²/2 − ε³/3) features keep all squared distances among n samples within a factor 1 ± ε; without its
    fraction, as in scikit-learn.
    """
    from math import log

    epsilon = reduction.distortion
    if epsilon is None:
        return reduction.n_features
    return max(1, int(4 * log(reduction.n_samples) / (epsilon**2 / 2 - epsilon**3 / 3)))


def keep_units(layer: str, values: Any, n_prefix: int = 0) -> np.ndarray:
    """Every unit as a feature: (n, …) → (n, product of …), a copy."""
    import numpy as np

    return np.array(_on_cpu(values.reshape(values.shape[0], -1)), dtype=np.float32)


def n_units_of(values: Any) -> int:
    """Units of a layer's values (n, …)."""
    from math import prod

    return prod(int(size) for size in values.shape[1:])


def narrow_only(layer: str, values: Any, n_prefix: int = 0) -> np.ndarray:
    """Every unit, where a study says nothing of reductions; wide layers have to be asked for.

    Raises
    ------
    LayermapError
        The layer has more than `LARGEST_UNASKED` units.
    """
    n_units = n_units_of(values)
    if n_units > LARGEST_UNASKED:
        raise LayermapError(
            f"layer '{layer}' has {n_units:,} units, too many to keep unasked; say how to reduce it, e.g. reduction: "
            "{kind: spatial_mean} or {kind: sparse_projection, n_features: 1000}, or {kind: none} to keep them all"
        )
    return keep_units(layer, values)


def mean_over_positions(layer: str, values: Any, n_prefix: int = 0) -> np.ndarray:
    """Values (n, feature, …) averaged over all but the feature axis, without the first ``n_prefix`` positions."""
    import numpy as np

    if len(values.shape) == 2:
        return keep_units(layer, values)
    flat = values.reshape(values.shape[0], values.shape[1], -1)[:, :, n_prefix:]
    mean = flat.mean(axis=2, dtype=np.float64) if isinstance(flat, np.ndarray) else _double_mean(flat)
    return np.array(_on_cpu(mean), dtype=np.float32)


def _double_mean(flat: torch.Tensor) -> torch.Tensor:
    """Mean over the last of three axes in double precision: (n, feature)."""
    import torch

    if flat.device.type != "cpu" or not len(flat):
        return flat.double().mean(dim=2)
    # one sample's worth of memory, used again: a copy of the whole batch would be mapped and cleared every time
    buffer = torch.empty_like(flat[0], dtype=torch.float64)
    means = flat.new_empty(flat.shape[:2], dtype=torch.float64)
    for sample, mean in zip(flat, means, strict=True):
        buffer.copy_(sample)
        torch.mean(buffer, dim=1, out=mean)
    return means


def class_token(layer: str, values: Any, n_prefix: int = 0) -> np.ndarray:
    """The first of the ``n_prefix`` positions that stand before the patches: (n, feature).

    Raises
    ------
    LayermapError
        The layer has no class token.
    """
    import numpy as np

    if not n_prefix or len(values.shape) != 3:
        raise LayermapError(
            f"layer '{layer}' has no class token (shape {tuple(values.shape[1:])}); take reduction spatial_mean"
        )
    return np.array(_on_cpu(values[:, :, 0]), dtype=np.float32)


class Projector:
    """Sparse random projection of every layer to the same number of features."""

    def __init__(self, n_features: int, seed: int) -> None:
        self._n_features = n_features
        self._seed = seed
        self._bags: dict[str, tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = {}

    def __call__(self, layer: str, values: Any, n_prefix: int = 0) -> np.ndarray:
        import numpy as np
        import torch
        from torch.nn.functional import embedding_bag

        units = values if isinstance(values, torch.Tensor) else torch.from_numpy(np.asarray(values, dtype=np.float32))
        units = units.reshape(units.shape[0], -1)
        if layer not in self._bags:
            matrix = projection_matrix(layer, units.shape[1], self._n_features, self._seed)
            parts = (matrix.indices, matrix.indptr[:-1], matrix.data)
            columns, starts, weights = (torch.from_numpy(part).to(units.device) for part in parts)
            self._bags[layer] = columns.int(), starts.int(), weights
        columns, starts, weights = self._bags[layer]
        # a feature is a weighted bag of units; the batch lies innermost, so that each unit is read as one line
        table = units.T.contiguous()
        features = embedding_bag(columns, table, starts, mode="sum", per_sample_weights=weights)
        return np.array(features.T.contiguous().cpu().numpy(), dtype=np.float32)


@dataclasses.dataclass(frozen=True)
class Components:
    """What a layer is reduced with.

    Parameters
    ----------
    mean : (n_units,) float32, of the calibration stimuli
    axes : (n_features, n_units) float32, orthonormal rows
    explained : share of the calibration stimuli's variance, 0–1
    """

    mean: np.ndarray
    axes: np.ndarray
    explained: float


class OntoComponents:
    """Centres a layer and projects it onto its components; wide layers go through a random projection first."""

    def __init__(self, components: dict[str, Components], project: Projector) -> None:
        self._components = components
        self._project = project

    def __call__(self, layer: str, values: Any, n_prefix: int = 0) -> np.ndarray:
        import numpy as np

        fitted = self._components[layer]
        units = narrow(self._project, layer, values)
        return np.asarray((units - fitted.mean) @ fitted.axes.T, dtype=np.float32)


def narrow(project: Projector, layer: str, values: Any) -> np.ndarray:
    """Units (n, n_units) as they are, or projected where there are more than `LARGEST_FITTED`."""
    return project(layer, values) if n_units_of(values) > LARGEST_FITTED else keep_units(layer, values)


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


def _on_cpu(values: Any) -> np.ndarray:
    import numpy as np

    return np.asarray(values if isinstance(values, np.ndarray) else values.cpu().numpy())
