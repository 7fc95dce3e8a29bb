"""The encode stage of a joint fit: every layer with named feature spaces, and these spaces without it.

Beside the joint fit's scores stand, per block, the sums from which the map divides explained variance among the spaces
and takes what is the layer's alone; see `pipeline.artifacts.scores`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.core.errors import UnknownName
from pipeline.encoding.compute import Compute
from pipeline.encoding.group.group_data import open_group
from pipeline.encoding.high_pass import HighPass
from pipeline.encoding.mappings.banded import BandedFit, FeatureSpace, fit_banded, weightings
from pipeline.encoding.mappings.feature_spaces import LAYER, SpaceFiles
from pipeline.encoding.options import BandedRidgeOptions
from pipeline.encoding.ridge.fit import RidgeFit
from pipeline.encoding.scratch import Scratch
from pipeline.encoding.splits import Fold
from pipeline.encoding.stage import score_group

if TYPE_CHECKING:
    import xarray as xr


def encode_banded(
    *,
    runs: list[tuple[Path, Path]],
    options: BandedRidgeOptions,
    layers: tuple[str, ...] | None,
    attrs: dict[str, Any],
    shuffle_seed: int | None,
    spaces: Sequence[SpaceFiles] = (),
    compute: Compute | None = None,
) -> xr.Dataset:
    """Score every layer of a model on one group in a joint fit with named feature spaces.

    Parameters
    ----------
    runs, options, layers, attrs, shuffle_seed, compute : as of `pipeline.encoding.stage.score_group`
    spaces : fitted jointly with each layer; none for a model that is one of them, whose layers are scored by themselves

    Returns
    -------
    encoding scores, see `pipeline.artifacts.scores`; with a division of variance unless ``spaces`` is empty

    Raises
    ------
    SampleMismatch
        Recordings and activations that do not belong together; the message names both files.
    UnknownName
        A layer of a space that the activations do not hold.
    """
    given: dict[str, Any] = {"runs": runs, "options": options, "layers": layers, "attrs": attrs}
    given |= {"shuffle_seed": shuffle_seed, "compute": compute}
    scratch = Scratch(compute or Compute())
    others = [open_space(space, [recording for recording, _ in runs], options, scratch) for space in spaces]
    joint = JointFit(others, options, scratch)
    scores = score_group(**given, fit=joint, scratch=scratch)
    if not spaces:
        return scores
    return with_variance(scores, joint, [LAYER, *(space.name for space in spaces)], scratch)


def open_space(
    space: SpaceFiles, recordings: Sequence[Path], options: BandedRidgeOptions, scratch: Scratch
) -> FeatureSpace:
    """The features of a named space on the bins of a group's recordings, its layers side by side."""
    group = open_group(list(zip(recordings, space.activations, strict=True)), options, scratch)
    known = list(group.model_attrs["layer_order"])
    for layer in space.layers or ():
        if layer not in known:
            raise UnknownName(f"layer of space '{space.name}'", layer, known)
    parts = [group.features(layer) for layer in space.layers or known]
    features = parts[0]
    if len(parts) > 1:
        features = scratch.array((len(parts[0]), sum(part.shape[1] for part in parts)), np.float32)
        np.concatenate(parts, axis=1, out=features)
    return FeatureSpace(features, group.delays, group.bin_runs(), group.rows())


class JointFit:
    """Fits one layer after another jointly with the same other spaces, and keeps what divides the variance.

    Parameters
    ----------
    others : the named spaces; none: each layer is fitted by itself, by the same criterion

    Attributes
    ----------
    layers : sums of each layer's fit, in the order fitted
    weights : (n_folds, n_spaces, n_targets) chosen weights of each
    without : sums of the fit of the named spaces alone, which is made before the first layer's
    """

    def __init__(self, others: list[FeatureSpace], options: BandedRidgeOptions, scratch: Scratch) -> None:
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
        *,
        delays: Sequence[int],
        runs: np.ndarray,
        rows: np.ndarray,
        after_fold: Callable[[], object],
        **how: Any,
    ) -> RidgeFit:
        if self.others and self.without is None:
            _, self.without = self._fit(self.others, responses, after_fold=None, **how)
        layer = FeatureSpace(features, delays, runs, rows)
        fit, sums = self._fit([layer, *self.others], responses, after_fold=after_fold, **how)
        self.layers.append(sums)
        self.weights.append(fit.weight.astype(np.float32))
        return fit

    def _fit(
        self,
        spaces: list[FeatureSpace],
        responses: np.ndarray,
        *,
        splits: Sequence[Fold],
        high_pass: HighPass | None,
        compute: Compute,
        predictions: np.ndarray,
        after_fold: Callable[[], object] | None,
    ) -> tuple[BandedFit, PartSums]:
        options = self.options
        sums = PartSums(splits, responses, len(spaces), self.scratch)
        fit = fit_banded(
            spaces,
            responses,
            options.penalties.values(),
            weightings(len(spaces), options.n_weightings, largest_ratio=options.largest_ratio, seed=options.seed),
            choose_by=options.choose_by,
            splits=splits,
            high_pass=high_pass,
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


def with_variance(scores: xr.Dataset, joint: JointFit, names: list[str], scratch: Scratch) -> xr.Dataset:
    """Scores with the sums that divide the variance among the spaces."""
    without = joint.without
    if without is None:
        raise ValueError("nothing was fitted")

    def over_layers(of_layer: Callable[[int], np.ndarray]) -> np.ndarray:
        first = of_layer(0)
        stacked = scratch.array((*first.shape[:2], len(joint.layers), first.shape[2]), np.float32)
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
    ).assign_coords(space=np.array(names, dtype=object))
