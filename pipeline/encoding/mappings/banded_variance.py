"""Joint fits of every layer with named feature spaces, and of these spaces without it: what divides their variance.

Beside the joint fit's scores stand, per block, the sums from which the map divides explained variance among the spaces
and takes what is the layer's alone; see `pipeline.artifacts.scores`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from pipeline.encoding.arithmetic.compute import Compute
from pipeline.encoding.arithmetic.scratch import Scratch
from pipeline.encoding.design import Design
from pipeline.encoding.group.feature_space import FeatureSpace
from pipeline.encoding.layer_fit import LayerFit
from pipeline.encoding.mapping import LAYER
from pipeline.encoding.mappings.banded_fit import BandedFit, fit_banded, weightings
from pipeline.encoding.splits import Fold

if TYPE_CHECKING:
    import xarray as xr

    from pipeline.encoding.mappings.banded_ridge import BandedRidgeOptions


class JointFit:
    """Fits one layer after another jointly with the same other spaces, and keeps what divides the variance.

    Parameters
    ----------
    others : the named spaces, by name; none: each layer is fitted by itself, by the same criterion

    Attributes
    ----------
    layers : sums of each layer's fit, in the order fitted
    weights : (n_folds, n_spaces, n_targets) chosen weights of each
    without : sums of the fit of the named spaces alone, which is made before the first layer's
    """

    def __init__(self, others: dict[str, FeatureSpace], options: BandedRidgeOptions, scratch: Scratch) -> None:
        self.others = others
        self.options = options
        self.scratch = scratch
        self.layers: list[PartSums] = []
        self.weights: list[np.ndarray] = []
        self.without: PartSums | None = None

    def __call__(
        self,
        features: np.ndarray,
        responses: np.ndarray,
        design: Design,
        *,
        compute: Compute,
        predictions: np.ndarray,
        after_fold: Callable[[], object],
    ) -> LayerFit:
        others = list(self.others.values())
        if others and self.without is None:
            _, self.without = self._fit(others, responses, design, compute, predictions, None)
        layer = FeatureSpace(features, design.delays, design.runs, design.rows)
        fit, sums = self._fit([layer, *others], responses, design, compute, predictions, after_fold)
        self.layers.append(sums)
        self.weights.append(fit.weight.astype(np.float32))
        return fit

    def _fit(
        self,
        spaces: list[FeatureSpace],
        responses: np.ndarray,
        design: Design,
        compute: Compute,
        predictions: np.ndarray,
        after_fold: Callable[[], object] | None,
    ) -> tuple[BandedFit, PartSums]:
        options = self.options
        sums = PartSums(design.splits, responses, len(spaces), self.scratch)
        fit = fit_banded(
            spaces,
            responses,
            options.penalties.values(),
            weightings(len(spaces), options.n_weightings, largest_ratio=options.largest_ratio, seed=options.seed),
            choose_by=options.choose_by,
            splits=design.splits,
            high_pass=design.high_pass,
            device=compute.device,
            memory_budget_mb=compute.memory_budget_mb,
            predictions=predictions,
            collect=sums.add,
            after_fold=after_fold,
        )
        return fit, sums


class PartSums:
    """Sums over each block of held-out predictions p and of every space's part p_s in them.

    Attributes
    ----------
    sp, spp, spy : (n_spaces, n_blocks, n_targets) float32, Σp_s, Σp_s·p and Σp_s·y
    p, p2, py : (n_blocks, n_targets), Σp, Σp² and Σpy
    """

    def __init__(self, folds: Sequence[Fold], responses: np.ndarray, n_spaces: int, scratch: Scratch) -> None:
        self._folds = folds
        self._responses = responses
        shape = (1 + max(int(fold.block.max()) for fold in folds), responses.shape[1])
        self.sp, self.spp, self.spy = (scratch.array((n_spaces, *shape), np.float32) for _ in range(3))
        self.p, self.p2, self.py = (scratch.array(shape, np.float64) for _ in range(3))

    def add(self, number: int, targets: np.ndarray, parts: np.ndarray, predicted: np.ndarray) -> None:
        """Take in the predictions ``(n_test, n_batch)`` of one fold and some targets, and the spaces' parts."""
        fold = self._folds[number]
        measured = self._responses[:, targets][fold.test]
        for block in np.unique(fold.block):
            here = fold.block == block
            p, y, own = predicted[here], measured[here], parts[:, here]
            self.p[block, targets] = p.sum(axis=0)
            self.p2[block, targets] = np.einsum("it,it->t", p, p)
            self.py[block, targets] = np.einsum("it,it->t", p, y)
            self.sp[:, block, targets] = own.sum(axis=1)
            self.spp[:, block, targets] = np.einsum("sit,it->st", own, p)
            self.spy[:, block, targets] = np.einsum("sit,it->st", own, y)


def with_variance(scores: xr.Dataset, joint: JointFit) -> xr.Dataset:
    """Scores with the sums that divide the variance among the spaces."""
    without = joint.without
    if without is None:
        raise ValueError("nothing was fitted")

    def over_layers(of_layer: Callable[[int], np.ndarray]) -> np.ndarray:
        first = of_layer(0)
        stacked = joint.scratch.array((*first.shape[:2], len(joint.layers), first.shape[2]), np.float32)
        for number in range(len(joint.layers)):
            stacked[:, :, number] = of_layer(number)
        return stacked

    by_block = ("space", "block", "layer", "target")
    return scores.assign(
        sum_sp=(by_block, over_layers(lambda layer: joint.layers[layer].sp)),
        sum_spp=(by_block, over_layers(lambda layer: joint.layers[layer].spp)),
        sum_spy=(by_block, over_layers(lambda layer: joint.layers[layer].spy)),
        weight=(
            ("fold_id", "space", "layer", "target"),
            over_layers(lambda layer: joint.weights[layer]),
        ),
        without_sum_p=(("block", "target"), without.p),
        without_sum_p2=(("block", "target"), without.p2),
        without_sum_py=(("block", "target"), without.py),
    ).assign_coords(space=np.array([LAYER, *joint.others], dtype=object))
