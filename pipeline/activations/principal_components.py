"""Principal components of layers, fitted on stimuli that no study uses."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from pipeline.core.errors import LayermapError

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

    from pipeline.activations.options import PrincipalComponents
    from pipeline.activations.reduce import Projector
    from pipeline.models.torch.hooked_network import HookedNetwork

LARGEST_FITTED = 4096
"""Wider layers are projected to so many features first: an exact fit would need all units of all samples at once."""


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
    from pipeline.activations.reduce import keep_units, n_units_of

    return project(layer, values) if n_units_of(values) > LARGEST_FITTED else keep_units(layer, values)


def fit_components(
    network: HookedNetwork,
    stimulus: xr.Dataset,
    layers: tuple[str, ...],
    reduction: PrincipalComponents,
    batch_size: int,
) -> dict[str, Components]:
    """Show calibration stimuli to a network and take each layer's leading components.

    Raises
    ------
    LayermapError
        There are fewer calibration samples than components asked for.
    """
    import numpy as np

    from pipeline.activations.reduce import Projector

    project = Projector(LARGEST_FITTED, reduction.seed)
    collected: dict[str, list[np.ndarray]] = {layer: [] for layer in layers}

    def narrowed(layer: str, values: Any, n_prefix: int = 0) -> np.ndarray:
        return narrow(project, layer, values)

    for _, batch in network.extract(stimulus, batch_size, layers, narrowed):
        for layer, values in batch.items():
            collected[layer].append(values)
    fitted = {}
    for layer in layers:
        samples = np.concatenate(collected.pop(layer)).astype(np.float64)
        n_features = min(reduction.n_features, samples.shape[1])
        if len(samples) <= n_features:
            raise LayermapError(
                f"{network.name}: {len(samples)} calibration samples are too few for {n_features} components; "
                "take fewer features, or reduction sparse_projection"
            )
        mean = samples.mean(axis=0)
        _, singular, axes = np.linalg.svd(samples - mean, full_matrices=False)
        # the sign of a component is arbitrary: its largest entry is made positive
        axes = (
            axes[:n_features] * np.sign(axes[np.arange(n_features), np.abs(axes[:n_features]).argmax(axis=1)])[:, None]
        )
        total = float((singular**2).sum())
        explained = float((singular[:n_features] ** 2).sum()) / total if total else 0.0
        fitted[layer] = Components(mean.astype(np.float32), axes.astype(np.float32), explained)
    return fitted
