"""Joint fits of every layer with named feature spaces, and of these spaces without it: what divides their variance.

Beside the joint fit's scores stand, per block, the sums from which the map divides explained variance among the spaces
and takes what is the layer's alone; see `pipeline.artifacts.scores`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from pipeline.encoding.arithmetic.columns import Columns
from pipeline.encoding.arithmetic.compute import Compute
from pipeline.encoding.arithmetic.scratch import Scratch
from pipeline.encoding.design import Design
from pipeline.encoding.group.feature_space import FeatureSpace
from pipeline.encoding.layer_fit import LayerFit
from pipeline.encoding.mapping import LAYER, OtherOrders
from pipeline.encoding.mappings.banded_fit import BandedFit, Collect, fit_banded, weightings
from pipeline.encoding.mappings.banded_null import FoldR2, UniqueNull
from pipeline.encoding.splits import Fold

if TYPE_CHECKING:
    import xarray as xr

    from pipeline.encoding.mappings.banded_ridge import BandedRidgeOptions


class JointFit:
    """Fits one layer after another jointly with the same other spaces, and keeps what divides the variance.

    Parameters
    ----------
    others : the named spaces, by name; none: each layer is fitted by itself, by the same criterion
    targets : coordinates, name → (n_targets,)

    Attributes
    ----------
    layers : sums of each layer's fit, in the order fitted
    weights : (n_folds, n_spaces, n_targets) chosen weights of each
    without : sums of the fit of the named spaces alone, which is made before the first layer's
    null : unique contributions in other orders, see `test_in`; None where there are none
    """

    def __init__(
        self,
        others: dict[str, FeatureSpace],
        options: BandedRidgeOptions,
        scratch: Scratch,
        targets: dict[str, np.ndarray],
    ) -> None:
        self.others = others
        self.options = options
        self.scratch = scratch
        self._targets = targets
        self._orders: OtherOrders | None = None
        self.null: UniqueNull | None = None
        self.layers: list[PartSums] = []
        self.weights: list[np.ndarray] = []
        self.without: PartSums | None = None

    def test_in(self, others: OtherOrders) -> None:
        """Also fit each layer to what the named spaces predict and the remainder in other orders."""
        self._orders = others

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
            if self._orders is not None:
                self.null = UniqueNull(
                    self._orders,
                    responses,
                    predictions,
                    design,
                    self._targets,
                    n_weightings=self.options.n_weightings,
                    scratch=self.scratch,
                )
                again = functools.partial(self._fit_spaces, others, design, compute)
                self.null.take_without(self.without.r2.values, again)
        layer = FeatureSpace(features, design.delays, design.runs, design.rows)
        fit, sums = self._fit([layer, *others], responses, design, compute, predictions, after_fold)
        if self.null is not None:
            again = functools.partial(self._fit_spaces, [layer, *others], design, compute)
            self.null.add(sums.r2.values, fit.inner_score, again)
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
        sums = PartSums(design.splits, responses.shape[1], len(spaces), self.scratch)
        fit = self._fit_spaces(
            spaces, design, compute, responses, predictions=predictions, collect=sums.add, after_fold=after_fold
        )
        return fit, sums

    def _fit_spaces(
        self,
        spaces: list[FeatureSpace],
        design: Design,
        compute: Compute,
        responses: Columns,
        *,
        predictions: np.ndarray,
        collect: Collect,
        after_fold: Callable[[], object] | None = None,
    ) -> BandedFit:
        options = self.options
        return fit_banded(
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
            collect=collect,
            after_fold=after_fold,
        )


class PartSums:
    """Sums over each block of held-out predictions p and of every space's part p_s in them.

    Attributes
    ----------
    sp, spp, spy : (n_spaces, n_blocks, n_targets) float32, Σp_s, Σp_s·p and Σp_s·y
    p, p2, py : (n_blocks, n_targets), Σp, Σp² and Σpy
    r2 : of each fold
    """

    def __init__(self, folds: Sequence[Fold], n_targets: int, n_spaces: int, scratch: Scratch) -> None:
        self._folds = folds
        self.r2 = FoldR2(len(folds), n_targets)
        shape = (1 + max(int(fold.block.max()) for fold in folds), n_targets)
        self.sp, self.spp, self.spy = (scratch.array((n_spaces, *shape), np.float32) for _ in range(3))
        self.p, self.p2, self.py = (scratch.array(shape, np.float64) for _ in range(3))

    def add(
        self, number: int, targets: np.ndarray, parts: np.ndarray, predicted: np.ndarray, measured: np.ndarray
    ) -> None:
        """Take in predictions and responses ``(n_test, n_batch)`` of a fold and some targets, and the spaces' parts."""
        fold = self._folds[number]
        self.r2.add(number, targets, parts, predicted, measured)
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

    if joint.null is not None:
        scores = scores.assign(joint.null.variables())
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
