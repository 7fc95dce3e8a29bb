"""Scores artifacts: what every score, interval and paired test downstream is computed from.

**Encoding scores** hold sufficient statistics of the held-out predictions per block: a block is a
stretch of at least 20 s, or one item, and belongs to one outer fold.

=========================  ===========================  =====================================
variable                   dims                         meaning
=========================  ===========================  =====================================
``n``                      (block,)                     samples in the block
``sum_p, sum_p2, sum_py``  (block, layer, target)       over the block's samples: Σp, Σp², Σpy
``sum_y, sum_y2``          (block, target)              Σy, Σy² (equal for all layers)
``fold``                   (block,)                     the outer fold that held the block out
``penalty``                (fold_id, layer, target)     chosen in inner folds, relative to the mean Gram eigenvalue
``penalty_edge``           (fold_id, layer, target)     −1/+1 where it is the smallest/largest of the grid
``reliability, ceiling``   (target,)                    of the scored responses; NaN where unknown, see below
``ceiling_kind``           (target,)                    how the ceiling was estimated
``constant``               (target,)                    1 where the responses do not vary: score 0, flagged
``predicted, measured``    (example, sample)            held-out predictions of the best targets
``nuisance_share``         (regressor, target)          optional: share of single-trial variance, see below
=========================  ===========================  =====================================

Coordinates: ``layer, layer_index, relative_depth, pathway (layer)``; ``target, region, compartment,
subject (target)``; ``block_start (block)`` in s or item number; ``block_item (block)`` and ``block_category
(block)`` (empty strings where they do not apply); ``sample_time (sample)`` (s, or item number);
``example_target, example_layer (example)``; ``member (target)`` where recordings name theirs.

``reliability`` is not clipped; ``ceiling`` is its square root where it is positive. ``reliability_deviation (part,
target)``, if it is there, says how sure it is: the squares of a weighted mean of it over targets, summed over parts,
are the sampling variance of the mean reliability, with the degrees of freedom in attr ``reliability_df`` (a jackknife
that leaves out each part of the samples). Without it no interval is known, and scores are not divided by ceilings.
``signal_power (target)``: share of the variance of single repeats that repeats, NaN without repeats.

Where recordings have them, there are also ``unit, hemisphere, vertex (target)``, what each target is called in every
listener and where it lies, and ``surface_unit (surface_vertex)``, the unit painted on each vertex of the mesh in attr
``surface_mesh``: the left hemisphere's, then the right's, empty where there is none. ``block_stimulus (block)`` names
the stimulus of each block; scores made before it was kept lack it.

Joint fits of each layer with named feature spaces also hold what divides their explained variance. Coordinate
``space`` is ``layer``, the layer itself, then the named spaces; p_s is a space's part of the held-out prediction, which
is the sum of all parts and the mean of the training responses:

=======================================  ===============================  =============================================
``sum_sp, sum_spp, sum_spy``             (space, block, layer, target)    Σp_s, Σp_s·p, Σp_s·y
``weight``                               (fold_id, space, layer, target)  chosen in inner folds; sums to 1 over spaces
``without_sum_p, _p2, _py``              (block, target)                  Σp, Σp², Σpy of the fit without the layer
=======================================  ===============================  =============================================

Where each target is fitted by itself, and the model is no twin, scores also hold what they would be if nothing
predicted, from the same fits to the responses in other orders; the first of ``order`` is the data as they are. A leaf
is what one subject has in one region and compartment; ``leaf_of (target)`` is −1 for constant targets, ``order_code
(order)`` is one number for one order in all files, ``fold_weight (fold_id)`` each fold's degrees of freedom:

=========================  ===================================  ======================================================
``null_z``                 (order, fold_id, layer, leaf)        Fisher z of r in the outer fold, mean over its targets
``null_inner``             (order, fold_id, layer, leaf)        r in inner folds, mean over its targets
``null_unit``              (order, null_unit_name)              nested score of each parcel or vertex
``null_unit_subject``      (null_unit_name)                     ``mean`` of responses, or ``all``: mean over listeners
=========================  ===================================  ======================================================

Joint fits hold ``null_unique`` in place of ``null_z``: R² of the joint fit less that of the fit without the layer, of
the data and of what the named spaces predict plus the remainder in other orders; ``null_inner`` is the joint fit's.

``nuisance_share`` is there where nuisance regressors were taken out of the responses, which ``nuisance`` in attr
``split`` lists. Coordinate ``regressor`` is ``all`` (jointly), then each (its unique share). Not bounded by 0; NaN
where a regressor was not measured or does not vary from repeat to repeat.

Attr ``alignment`` (JSON) says whether responses, or similarities, fit better in another order than the one given:
``given_r, best_r`` (of a few components; null where there is no other order), ``best`` (that order, in words),
``warns``, ``margin`` (null unless it warns) and ``remedy``. Scores of shuffled responses lack it, and those that were
made before it was kept.

**Geometry scores** hold what a bootstrap over items needs: ``model_similarity (layer, item, item2)``,
the measured ``similarity (item, item2, target)``, ``reliability, ceiling (target)``, and beside them
``reference_similarity (target, target2)``, how alike two targets' matrices are, and ``reliability_deviation`` as above.
Those of recordings, whose targets are one animal's region each, also hold ``stretch (item)``: items, or blocks of time,
with one number are drawn together (without it, each by itself), ``stimulus (item)`` that a block of time is of (without
it, all are of one), and ``leave_one_out (target)``: agreement of an animal's matrix with the mean of the others', NaN
for an animal alone; a target alone in its region has ``repeat_reliability (target)``, that of its matrix over repeats.

Items of equal content under several names are one block, or one item of a matrix, named by the first of them.

Both carry attrs ``study, analysis, group, model, objective, metric, n_subjects, split`` (JSON: how the
samples were divided), ``seed``, ``ci_unit`` (``block`` or ``item``), ``weights_sha256``, and may carry
``equal_contents`` (which items or stimuli hold the same, in words), ``n_samples`` and ``n_without_features`` (samples
of the recordings with nothing of the stimulus in their bins). Encoding scores of a
metric that chooses no penalty from a grid say so in attr ``penalties``: ``fixed`` or ``none``; without it, they were
``chosen``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.artifacts.storage.contract import Contract, read_netcdf, write_netcdf
from pipeline.core.errors import BrokenArtifact

if TYPE_CHECKING:
    import xarray as xr

CHOSEN = "chosen"
FIXED = "fixed"
NO_PENALTY = "none"
_ATTRS = (
    "study",
    "analysis",
    "group",
    "model",
    "objective",
    "metric",
    "n_subjects",
    "split",
    "seed",
    "ci_unit",
    "weights_sha256",
)
_LAYER = dict.fromkeys(("layer", "layer_index", "relative_depth", "pathway"), ("layer",))
_TARGET = dict.fromkeys(
    ("target", "region", "compartment", "subject", "reliability", "ceiling", "ceiling_kind"), ("target",)
)

ENCODING_SCORES = Contract(
    "encoding_scores",
    "encode",
    {
        **_LAYER,
        **_TARGET,
        "n": ("block",),
        "fold": ("block",),
        "block_start": ("block",),
        "block_item": ("block",),
        "block_category": ("block",),
        "sum_p": ("block", "layer", "target"),
        "sum_p2": ("block", "layer", "target"),
        "sum_py": ("block", "layer", "target"),
        "sum_y": ("block", "target"),
        "sum_y2": ("block", "target"),
        "penalty": ("fold_id", "layer", "target"),
        "penalty_edge": ("fold_id", "layer", "target"),
        "constant": ("target",),
        "predicted": ("example", "sample"),
        "measured": ("example", "sample"),
        "sample_time": ("sample",),
        "example_target": ("example",),
        "example_layer": ("example",),
    },
    _ATTRS,
)

GEOMETRY_SCORES = Contract(
    "geometry_scores",
    "compare",
    {
        **_LAYER,
        **_TARGET,
        "item": ("item",),
        "model_similarity": ("layer", "item", "item2"),
        "similarity": ("item", "item2", "target"),
    },
    _ATTRS,
)
_LARGE = (
    *("sum_p", "sum_p2", "sum_py", "penalty", "penalty_edge", "inner_score", "predicted", "measured"),
    *("sum_sp", "sum_spp", "sum_spy", "weight", "without_sum_p", "without_sum_p2", "without_sum_py"),
    *("null_z", "null_unique", "null_inner", "null_unit"),
    *("model_similarity", "similarity", "reference_similarity"),
)
CONTRACTS = {contract.kind: contract for contract in (ENCODING_SCORES, GEOMETRY_SCORES)}


def write_scores(dataset: xr.Dataset, path: Path) -> None:
    """Write ``data/scores/<study>/<analysis>/<group>/<model_id>.nc``."""
    write_netcdf(dataset, path, CONTRACTS[dataset.attrs["kind"]])


def open_scores(path: Path) -> xr.Dataset:
    """Read scores of either kind; raises `BrokenArtifact` naming the file and what was expected."""
    return read_netcdf(path, _AnyScores)


def open_header(path: Path) -> xr.Dataset:
    """The same without what grows with layers × targets or pairs of items: attributes, coordinates and blocks."""
    return read_netcdf(path, _AnyScores, without=_LARGE)


class _Any(Contract):
    """Leaves the check to the contract that the file itself names."""

    def check(self, dataset: xr.Dataset, source: Path | str) -> xr.Dataset:
        if "kind" not in dataset.attrs:
            raise BrokenArtifact(f"{source} is not a layermap artifact: it lacks attribute 'kind'")
        kind = dataset.attrs["kind"]
        if kind not in CONTRACTS:
            raise BrokenArtifact(f"{source} is of kind '{kind}', expected one of: {', '.join(CONTRACTS)}")
        return CONTRACTS[kind].check(dataset, source)


_AnyScores = _Any("scores", "encode", {})
