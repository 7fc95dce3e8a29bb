"""Where along a network's depth a region lies: depth index and hierarchy index.

Layers weigh by how far they exceed the lowest layer, ``w = max(0, score − lowest)``, and the index is
``Σ w·relative_depth / Σ w``. A flat profile would give about .5 whatever the region does, so the index is
undefined where the profile is flat within its error.

The hierarchy index is the place of the best layer among all layers, divided by their number. The best layer is the one
chosen most often on data other than those it is scored on.

References
----------
Bakhtiari et al. 2021, NeurIPS 34:25164–25178 (hierarchy index, there of the layer that is best on all data).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.inference.layer_choice import by_depth
from pipeline.inference.scores.bootstrap import interval

if TYPE_CHECKING:
    from numpy.typing import NDArray


def depth_index(score: NDArray[Any], relative_depth: NDArray[Any]) -> NDArray[Any]:
    """Depth index of each profile: (draw, layer) → (draw,), NaN where all layers score alike."""
    weight = score - score.min(axis=1, keepdims=True)
    total = weight.sum(axis=1)
    varies = np.isfinite(total) & (total > 0)
    index: NDArray[Any] = (weight * relative_depth).sum(axis=1) / np.where(varies, total, 1)
    return np.where(varies, index, np.nan)


def hierarchy_index(best: NDArray[np.intp], relative_depth: NDArray[Any]) -> NDArray[np.float64]:
    """Place of the best layer from shallow (1) to deep, divided by the number of layers; NaN where there is none.

    Parameters
    ----------
    best : (draw,) number of the layer, −1 for none
    relative_depth : (layer,) within one pathway
    """
    place = np.empty(relative_depth.size)
    place[by_depth(relative_depth)] = np.arange(1, relative_depth.size + 1)
    return np.asarray(np.append(place / relative_depth.size, np.nan)[best])  # index −1 takes the NaN


def is_flat(nested_draws: NDArray[Any], spread_draws: NDArray[Any], confidence: float, n_units: int) -> bool:
    """Whether a profile is flat within its error.

    It is if the interval of the nested best layer's score includes 0, or that of best − lowest layer does.
    Best and lowest are both chosen on other folds: the highest and the lowest of many equal layers, chosen
    and compared on the same data, always differ.

    Parameters
    ----------
    nested_draws, spread_draws : (draw,), bootstrap draws of the nested best layer's score and of best − lowest
    """
    lower_bounds = [float(interval(draws, confidence, n_units)[0]) for draws in (nested_draws, spread_draws)]
    return not all(low > 0 for low in lower_bounds)
