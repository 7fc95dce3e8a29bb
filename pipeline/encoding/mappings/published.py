"""The mappings that others publish with, on the same folds and with the same outputs as ridge.

Partial least squares, ridge with one fixed penalty, and the one best unit. None chooses a penalty, so inner folds only
give the scores by which the layer is chosen that an outer fold is scored with.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.artifacts.scores import FIXED, NO_PENALTY
from pipeline.encoding.compute import Compute
from pipeline.encoding.mappings.best_unit import fit_best_unit
from pipeline.encoding.mappings.pls import Pls
from pipeline.encoding.options import BestUnitOptions, FixedRidgeOptions, PlsOptions
from pipeline.encoding.ridge.fit import RidgeFit, fit_ridge
from pipeline.encoding.stage import FitOfTargets, score_group

if TYPE_CHECKING:
    import xarray as xr


def encode_pls(
    *,
    runs: list[tuple[Path, Path]],
    options: PlsOptions,
    layers: tuple[str, ...] | None,
    attrs: dict[str, Any],
    shuffle_seed: int | None,
    compute: Compute | None = None,
) -> xr.Dataset:
    """Score every layer of a model on one group by partial least squares; see `score_group`.

    Attributes ``n_components`` and ``n_components_fewest`` say how many components were asked for, and the fewest that
    any layer was fitted with in an outer fold.
    """
    fit = Pls(options.n_components)
    scores = score_group(
        runs=runs,
        options=options,
        layers=layers,
        attrs=attrs,
        shuffle_seed=shuffle_seed,
        fit=FitOfTargets(lambda targets: fit.among(fitted_together(targets, options.together))),
        compute=compute,
    )
    n_components = {"n_components": options.n_components, "n_components_fewest": fit.fewest}
    return scores.assign_attrs(penalties=NO_PENALTY, together=options.together, **n_components)


def fitted_together(targets: dict[str, np.ndarray], what: str) -> np.ndarray:
    """Number of the set that each target is fitted with, ``(n_targets,)``.

    Parameters
    ----------
    targets : coordinates of the targets, with ``subject`` and ``region``
    what : ``region`` (one subject's targets in one region), ``subject`` (all of one subject's) or ``group`` (all)
    """
    n_targets = targets["subject"].size
    by = {"region": ("subject", "region"), "subject": ("subject",), "group": ()}[what]
    names = list(zip(*(targets[name].tolist() for name in by), strict=True)) or [()] * n_targets
    number = {name: place for place, name in enumerate(dict.fromkeys(names))}
    return np.array([number[name] for name in names], dtype=np.intp)


def encode_fixed_ridge(
    *,
    runs: list[tuple[Path, Path]],
    options: FixedRidgeOptions,
    layers: tuple[str, ...] | None,
    attrs: dict[str, Any],
    shuffle_seed: int | None,
    compute: Compute | None = None,
) -> xr.Dataset:
    """Score every layer of a model on one group by ridge with one penalty for all targets; see `score_group`."""
    scores = score_group(
        runs=runs,
        options=options,
        layers=layers,
        attrs=attrs,
        shuffle_seed=shuffle_seed,
        fit=functools.partial(_fit_at_one_penalty, penalty=options.penalty, unit=options.penalty_unit),
        compute=compute,
    )
    return scores.assign_attrs(penalties=FIXED)


def _fit_at_one_penalty(
    features: np.ndarray, responses: np.ndarray, *, penalty: float, unit: Any, compute: Compute, **how: Any
) -> RidgeFit:
    return fit_ridge(
        features,
        responses,
        [penalty],
        penalty_unit=unit,
        device=compute.device,
        memory_budget_mb=compute.memory_budget_mb,
        **how,
    )


def encode_best_unit(
    *,
    runs: list[tuple[Path, Path]],
    options: BestUnitOptions,
    layers: tuple[str, ...] | None,
    attrs: dict[str, Any],
    shuffle_seed: int | None,
    compute: Compute | None = None,
) -> xr.Dataset:
    """Score every layer of a model on one group by the one unit that each target follows best; see `score_group`."""
    scores = score_group(
        runs=runs,
        options=options,
        layers=layers,
        attrs=attrs,
        shuffle_seed=shuffle_seed,
        fit=fit_best_unit,
        compute=compute,
    )
    return scores.assign_attrs(penalties=NO_PENALTY)
