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

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

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
    """

    layers: LayerAxis
    point: FoldScores
    draws: Iterable[FoldScores]
    edge: NDArray[np.int8] | None = None
    division: Division | None = None


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
    on_surface : the groups whose targets are painted on a cortical mesh
    """

    metric: str
    targets: pd.DataFrame
    ci_unit: str
    n_units: int
    models: list[str]
    load: Callable[[str], ModelScores]
    on_surface: frozenset[str] = frozenset()
    widening: float = 1.0


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
        frame = pd.DataFrame({name: scores[name].values for name in _TARGET_COLUMNS})
        frame["group"] = str(scores.attrs["group"])
        frame["n_in_group"] = int(scores.attrs["n_subjects"])
        frame["constant"] = scores["constant"].values.astype(bool) if "constant" in scores.variables else False
        for name, unknown in (("unit", ""), ("hemisphere", ""), ("vertex", -1)):
            frame[name] = scores[name].values if name in scores.variables else unknown
        for name in ("region", "compartment", "subject", "ceiling_kind", "unit", "hemisphere"):
            frame[name] = frame[name].astype(str)
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


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
