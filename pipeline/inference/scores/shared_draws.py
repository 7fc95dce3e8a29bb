"""A batch: groups of one analysis that share their blocks or items, and hence their bootstrap draws."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pipeline.core.errors import BrokenArtifact
from pipeline.inference.scores.fold_scores import FoldScores
from pipeline.inference.scores.null_scores import NullScores

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

    from pipeline.inference.scores.null_scores import NullScores
    from pipeline.inference.scores.variance_scores import Division

_TARGET_COLUMNS = ("region", "compartment", "subject", "reliability", "ceiling", "ceiling_kind")


@dataclasses.dataclass(frozen=True)
class LayerAxis:
    """A model and its layers, from its scores files."""

    model: str
    objective: str
    name: list[str]
    index: NDArray[np.int_]
    relative_depth: NDArray[np.float64]
    pathway: list[str]

    def within(self, members: NDArray[np.intp]) -> LayerAxis:
        """The same for some layers."""
        return dataclasses.replace(
            self,
            name=[self.name[one] for one in members],
            index=self.index[members],
            relative_depth=self.relative_depth[members],
            pathway=[self.pathway[one] for one in members],
        )


@dataclasses.dataclass(frozen=True)
class ModelScores:
    """One model's scores of a batch.

    Parameters
    ----------
    point : scores of the data as they are (one draw)
    draws : chunks of bootstrap draws over blocks or items
    edge : (fold, layer, target), −1/+1 where the penalty is the smallest/largest of the grid; None for metrics that
        choose no penalty
    division : how the explained variance divides among the spaces of a joint fit; None for other fits
    null : scores of other orders of the responses, None where there are none
    """

    layers: LayerAxis
    point: FoldScores
    draws: Iterable[FoldScores]
    edge: NDArray[np.int8] | None = None
    division: Division | None = None
    null: NullScores | None = None


@dataclasses.dataclass(frozen=True)
class Batch:
    """Groups with equal blocks or items.

    Parameters
    ----------
    metric : as in the map's column
    targets : one row per target: group, n_in_group, region, compartment, subject, reliability, ceiling, ceiling_kind,
        constant; n_in_group counts the subjects behind the group's recordings; unit, hemisphere and vertex are ``""``
        and −1 where they are not known
    ci_unit : ``block`` or ``item``
    n_units : how many of them
    widening : of the variance of draws over them, as folds share training data; 1 where nothing was trained
    models : in the order shown
    load : scores of one model
    reliability_deviation : (part, target) of the targets' reliabilities, see `pipeline.artifacts.scores`; no part where
        they have no interval
    reliability_df : degrees of freedom of their errors
    ceiling : the square root of a reliability in the unit of the scores
    on_surface : the groups whose targets are painted on a cortical mesh
    stimuli_drawn : intervals over subjects are over items as well, as both are samples
    untested : why there are no other orders of the responses to test scores against, in words; empty if there are
    zero_is_chance : whether scores are 0 on average where nothing is shared; if not, only other orders say what is
    """

    metric: str
    targets: pd.DataFrame
    ci_unit: str
    n_units: int
    models: list[str]
    load: Callable[[str], ModelScores]
    reliability_deviation: NDArray[np.float64]
    reliability_df: int
    ceiling: Callable[[float], float]
    on_surface: frozenset[str] = frozenset()
    stimuli_drawn: bool = False
    untested: str = ""
    widening: float = 1.0
    zero_is_chance: bool = True


def layer_axis(scores: xr.Dataset) -> LayerAxis:
    """The model and layers of a scores file of either kind."""
    return LayerAxis(
        model=str(scores.attrs["model"]),
        objective=str(scores.attrs["objective"]),
        name=[str(name) for name in scores["layer"].values],
        index=scores["layer_index"].values.astype(int),
        relative_depth=scores["relative_depth"].values.astype(np.float64),
        pathway=[str(name) for name in scores["pathway"].values],
    )


def target_table(parts: Sequence[xr.Dataset]) -> pd.DataFrame:
    """The targets of several groups' scores, one after the other."""
    frames = []
    for scores in parts:
        n_targets = scores.sizes["target"]
        frame = pd.DataFrame({name: scores[name].values for name in _TARGET_COLUMNS})
        frame["group"] = str(scores.attrs["group"])
        frame["n_in_group"] = int(scores.attrs["n_subjects"])
        frame["constant"] = scores["constant"].values.astype(bool) if "constant" in scores.variables else False
        power = scores["signal_power"].values if "signal_power" in scores.variables else np.full(n_targets, np.nan)
        frame["signal_power"] = power.astype(np.float64)
        for name, unknown in (("unit", ""), ("hemisphere", ""), ("vertex", -1)):
            frame[name] = scores[name].values if name in scores.variables else unknown
        for name in ("region", "compartment", "subject", "ceiling_kind", "unit", "hemisphere"):
            frame[name] = frame[name].astype(str)
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def reliability_errors(parts: Sequence[xr.Dataset]) -> tuple[NDArray[np.float64], int]:
    """Deviations of several groups' reliabilities, one group after the other, and the df of their errors.

    Groups that share their blocks have the same parts of them. Scores without deviations leave all intervals unknown.

    Returns
    -------
    (part, target) and df; no part and 0 where unknown
    """
    if any("reliability_deviation" not in scores.variables for scores in parts):
        return np.empty((0, sum(scores.sizes["target"] for scores in parts))), 0
    deviation = np.concatenate([scores["reliability_deviation"].values for scores in parts], axis=1)
    return deviation.astype(np.float64), min(int(scores.attrs["reliability_df"]) for scores in parts)


def check_layers_agree(parts: Sequence[xr.Dataset], paths: Sequence[Path]) -> None:
    """Refuse to average groups whose scores of one model have different layers."""
    for scores, path in zip(parts, paths, strict=True):
        if scores["layer"].values.tolist() != parts[0]["layer"].values.tolist():
            raise BrokenArtifact(
                f"{path} has other layers of {scores.attrs['model']} than {paths[0]}; "
                "make both again with: snakemake map --forcerun encode_group compare_group"
            )


def paths_by_group(opened: Iterable[tuple[Path, dict[str, Any]]], models: Sequence[str]) -> dict[str, dict[str, Path]]:
    """Group → model → path, complete and in the models' order.

    Raises
    ------
    BrokenArtifact
        A model of the analysis has no scores of a group.
    """
    found: dict[str, dict[str, Path]] = {}
    for path, attrs in opened:
        found.setdefault(str(attrs["group"]), {})[str(attrs["model"])] = path
    for group, paths in found.items():
        missing = [model for model in models if model not in paths]
        if missing:
            raise BrokenArtifact(
                f"model '{missing[0]}' has no scores of group '{group}' (others lie in "
                f"{next(iter(paths.values())).parent}); make them with: snakemake encode compare"
            )
    return {group: {model: paths[model] for model in models} for group, paths in found.items()}
