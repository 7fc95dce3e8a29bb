"""What a mapping from features to responses is: options → what fits a layer, and one entry in the registry.

A mapping is one module (see `pipeline.encoding.mappings`, of which `best_unit` is a short one): its options, a
function that makes a `Mapping` of them, and a `MappingEntry`. Folds, delays, filters, blocks, ceilings and the report
are those of `pipeline.encoding.stage`. The module is imported whenever a study is read, so it imports NumPy and the
like where they are used.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from pipeline.encoding.options import EncodingOptions

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

    from pipeline.encoding.arithmetic.compute import Compute
    from pipeline.encoding.arithmetic.scratch import Scratch
    from pipeline.encoding.design import Design
    from pipeline.encoding.group.feature_space import FeatureSpace
    from pipeline.encoding.layer_fit import LayerFit


LAYER = "layer"
"""The feature space that is the layer itself."""


@dataclasses.dataclass(frozen=True)
class SpaceFiles:
    """A named feature space on disk.

    Parameters
    ----------
    name : as the study names it
    layers : that make it up, side by side; None for all that the activations hold
    activations : of each run of the group, in order
    """

    name: str
    layers: tuple[str, ...] | None
    activations: tuple[Path, ...]


class FitLayer(Protocol):
    """Fits one layer in every fold; called for each layer, in order of depth.

    ``features`` (n_bins, n_features), undelayed, and ``responses`` (n_samples, n_targets) may be mapped from files, so
    they are read by columns where they are large, and ``compute.memory_budget_mb`` is what is left for the fit. NaN in
    all features marks a bin without. Held-out predictions go into ``predictions``, float32 of the shape of
    ``responses``, which the fit gives back: it is used again for the next layer. ``after_fold`` is called after each
    outer fold.
    """

    def __call__(
        self,
        features: np.ndarray,
        responses: np.ndarray,
        design: Design,
        *,
        compute: Compute,
        predictions: np.ndarray,
        after_fold: Callable[[], object],
    ) -> LayerFit: ...


def _as_they_are(scores: xr.Dataset) -> xr.Dataset:
    return scores


@dataclasses.dataclass(frozen=True)
class OtherOrders:
    """Orders of a group's samples in which nothing of the stimulus is where it belongs.

    Parameters
    ----------
    orders : of the samples, (n_samples,) each, see `pipeline.encoding.group.shuffle.null_orders`; any first few of them
        are the orders that fewer would be
    constant : (n_targets,) bool, targets that are in no test
    after : what responses go through once they are in order, columns by columns; None: nothing
    """

    orders: Sequence[np.ndarray]
    constant: np.ndarray
    after: Callable[[np.ndarray], np.ndarray] | None = None


@dataclasses.dataclass(frozen=True)
class Mapping:
    """A mapping at work on one group and model.

    Parameters
    ----------
    fit : fits each layer
    finish : given the scores of all layers, returns them with what the mapping adds
    test_in : given other orders before the first layer, makes ``fit`` test in them what the mapping adds; None for a
        mapping that adds nothing that is tested
    """

    fit: FitLayer
    finish: Callable[[xr.Dataset], xr.Dataset] = _as_they_are
    test_in: Callable[[OtherOrders], object] | None = None


@dataclasses.dataclass(frozen=True)
class MappingInputs:
    """What a mapping may know of a group before its first layer.

    Parameters
    ----------
    targets : their coordinates, name → (n_targets,)
    spaces : what each layer is fitted jointly with, by name; empty unless the options are `JointOptions`, and for a
        model that is one of the spaces
    scratch : makes arrays within the memory budget
    """

    targets: dict[str, np.ndarray]
    spaces: dict[str, FeatureSpace]
    scratch: Scratch


@dataclasses.dataclass(frozen=True)
class MappingEntry:
    """A metric of stage ``encode``.

    Parameters
    ----------
    kind : its name in a study file
    options : its pydantic options, with ``kind: Literal[kind]``; those of a joint fit are
        `pipeline.encoding.options.JointOptions`
    make : the mapping at work, from options of this class and what is known of the group
    words : ``package.module:name`` of what the page says of it, a `pipeline.core.prose.MetricWords`; by its address, so
        that no key depends on a sentence
    n_penalties : (options) → penalties that each of its ridge fits tries, by which ``encode --estimate`` counts what
        they cost; None where they are not counted
    side_by_side : whether each target is fitted by itself and cheaply, so that responses in other orders can be fitted
        beside them (see `pipeline.encoding.null_tables`); scores of other mappings get no p
    tested_in_orders : whether what its mapping adds is tested in other orders (`Mapping.test_in`)
    """

    kind: str
    options: type[EncodingOptions]
    make: Callable[[Any, MappingInputs], Mapping]
    words: str = ""
    n_penalties: Callable[[Any], int] | None = None
    side_by_side: bool = False
    tested_in_orders: bool = False

    stage: ClassVar[str] = "encode"
    run: ClassVar[str] = "pipeline.encoding.stage:encode_group"
