"""Principal components of layers, fitted on stimuli that no study uses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.activations.reduce import LARGEST_FITTED, Components, Projector, narrow
from pipeline.core.errors import LayermapError

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

    from pipeline.activations.options import PrincipalComponents
    from pipeline.models.torch.hooked_network import HookedNetwork


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
