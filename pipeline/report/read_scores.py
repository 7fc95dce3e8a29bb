"""What the page takes from the scores files beyond the map: examples, penalties, splits, matrices, shares of behaviour.

Files are opened one after another; only what is drawn is kept.
"""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.artifacts.scores import open_scores
from pipeline.inference.scores.fold_scores import block_sums, fold_scores
from pipeline.inference.scores.geometry_batches import stretches_of
from pipeline.inference.scores.pair_scores import PairVectors, agreement

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

MOST_SAMPLES = 1200
MOST_ENTRIES_DRAWN = 150  # rows of a similarity matrix


@dataclasses.dataclass(frozen=True)
class Example:
    """Held-out predictions of one target from its best layer.

    Parameters
    ----------
    r : mean over folds by Fisher z, as in the map
    time : (n_samples,) in s, or the number of the item
    n_samples : how many there are; the arrays hold at most `MOST_SAMPLES` of them
    """

    model: str
    group: str
    subject: str
    place: str
    target: str
    layer: str
    r: float
    time: NDArray[np.float64]
    measured: NDArray[np.float64]
    predicted: NDArray[np.float64]
    in_time: bool
    n_samples: int


@dataclasses.dataclass(frozen=True)
class Penalties:
    """Penalties chosen for one model, over groups, folds, layers and targets.

    Parameters
    ----------
    counts : penalty → how often
    at_lowest, at_highest : share of choices at either end of the grid
    """

    model: str
    counts: dict[float, int]
    at_lowest: float
    at_highest: float


@dataclasses.dataclass(frozen=True)
class Similarities:
    """Measured and model similarity matrices of the target that a network matches best.

    Parameters
    ----------
    items : of the rows, at most `MOST_ENTRIES_DRAWN` of the ``n_items`` that were compared
    blocks : whether they are blocks of time
    """

    model: str
    layer: str
    target: str
    score: float
    items: list[str]
    measured: NDArray[np.float64]
    modelled: NDArray[np.float64]
    n_items: int
    blocks: bool


@dataclasses.dataclass(frozen=True)
class Reference:
    """How alike two targets' matrices are.

    Parameters
    ----------
    targets, regions, subjects : of each target
    values : (target, target2)
    leave_one_out : (target,) agreement of an animal's matrix with the mean of the others'; None where not known
    """

    targets: list[str]
    regions: list[str]
    subjects: list[str]
    values: NDArray[np.float64]
    leave_one_out: NDArray[np.float64] | None = None


@dataclasses.dataclass(frozen=True)
class Shares:
    """Shares of single-trial variance that belong to nuisance regressors.

    Parameters
    ----------
    regressors : ``all`` (jointly), then each one's unique share
    region, subject : (target,)
    values : (regressor, target), NaN where a regressor was not measured
    """

    regressors: list[str]
    region: NDArray[Any]
    subject: NDArray[Any]
    values: NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Misaligned:
    """A model that predicts a group's responses better in another order than in the one given.

    Parameters
    ----------
    given_r, best_r : in the order given, and in the other
    best : that order, in words
    remedy : what to look at
    """

    model: str
    group: str
    given_r: float
    best_r: float
    best: str
    remedy: str


@dataclasses.dataclass
class ScoresContents:
    """All that is taken from an analysis' scores files.

    Parameters
    ----------
    shares : of the first model's files, group by group; the same for all models
    subjects : region → names of the subjects that have targets there
    stretches : group → (item,) stretch of each item of its similarity matrices
    without_inner : whether some predictions have no scores of inner folds, so that layers are chosen on outer ones
    fewest_components : of partial least squares in any file; None for other metrics
    equal : which items or stimuli hold the same, as each group's scores say
    without_features : group → (samples that have nothing of the stimulus in their bins, all samples), the most of any
        model
    misaligned : what the checks of alignment warned of
    """

    examples: list[Example] = dataclasses.field(default_factory=list)
    penalties: list[Penalties] = dataclasses.field(default_factory=list)
    similarities: list[Similarities] = dataclasses.field(default_factory=list)
    reference: Reference | None = None
    shares: list[Shares] = dataclasses.field(default_factory=list)
    subjects: dict[str, set[str]] = dataclasses.field(default_factory=dict)
    stretches: dict[str, NDArray[np.intp]] = dataclasses.field(default_factory=dict)
    split: dict[str, Any] = dataclasses.field(default_factory=dict)
    attrs: dict[str, Any] = dataclasses.field(default_factory=dict)
    n_groups: int = 0
    without_inner: bool = False
    fewest_components: int | None = None
    equal: list[str] = dataclasses.field(default_factory=list)
    without_features: dict[str, tuple[int, int]] = dataclasses.field(default_factory=dict)
    misaligned: list[Misaligned] = dataclasses.field(default_factory=list)


def read_contents(paths: Iterable[Path], networks: Iterable[str]) -> ScoresContents:
    """Read an analysis' scores files.

    Parameters
    ----------
    networks : models whose examples and penalties are shown

    Raises
    ------
    BrokenArtifact
        A file is missing, broken or not what it should be.
    """
    shown = list(networks)
    contents = ScoresContents()
    chosen: dict[str, Counter[float]] = {name: Counter() for name in shown}
    edges: dict[str, list[int]] = {name: [0, 0] for name in shown}
    groups = set()
    for path in paths:
        scores = open_scores(path)
        model, group = str(scores.attrs["model"]), str(scores.attrs["group"])
        if group not in groups:
            _add_group(contents, group, scores)
        groups.add(group)
        _add_doubts(contents, group, scores.attrs)
        if not contents.split:
            contents.split, contents.attrs = json.loads(scores.attrs["split"]), dict(scores.attrs)
        if "reference_similarity" in scores and contents.reference is None:
            contents.reference = _reference(scores)
        contents.misaligned += _misaligned(scores, model, group)
        if "n_components_fewest" in scores.attrs:
            found = (contents.fewest_components, int(scores.attrs["n_components_fewest"]))
            contents.fewest_components = min(one for one in found if one is not None)
        if model not in shown:
            continue
        if scores.attrs["kind"] == "geometry_scores":
            contents.similarities.append(_best_similarity(scores))
            continue
        contents.without_inner |= not ("inner_score" in scores.variables and bool(scores["inner_score"].any()))
        contents.examples += _examples(scores)
        usable = scores["constant"].values == 0
        values, counts = np.unique(scores["penalty"].values[:, :, usable], return_counts=True)
        chosen[model].update({float(f"{v:.6g}"): int(c) for v, c in zip(values, counts, strict=True)})
        edge = scores["penalty_edge"].values[:, :, usable]
        edges[model][0] += int((edge == -1).sum())
        edges[model][1] += int((edge == 1).sum())
    contents.penalties = [_penalties(name, chosen[name], edges[name]) for name in shown if chosen[name]]
    contents.n_groups = len(groups)
    return contents


def _add_group(contents: ScoresContents, group: str, scores: xr.Dataset) -> None:
    """What is the same in the files of all of a group's models."""
    regions, subjects = (scores[name].values.astype(str) for name in ("region", "subject"))
    for region, subject in zip(regions, subjects, strict=True):
        contents.subjects.setdefault(str(region), set()).add(str(subject))
    if scores.attrs["kind"] == "geometry_scores":
        contents.stretches[group] = stretches_of(scores)
    if "nuisance_share" in scores.variables:
        names = [str(name) for name in scores["regressor"].values]
        contents.shares.append(Shares(names, regions, subjects, scores["nuisance_share"].values.astype(np.float64)))


def _add_doubts(contents: ScoresContents, group: str, attrs: dict[str, Any]) -> None:
    """What a file says of equal contents and of samples without features; those made before it was kept say nothing."""
    equal = str(attrs.get("equal_contents", ""))
    if equal and equal not in contents.equal:
        contents.equal.append(equal)
    found = int(attrs.get("n_without_features", 0)), int(attrs.get("n_samples", 0))
    contents.without_features[group] = max(contents.without_features.get(group, (0, 0)), found)


def _misaligned(scores: xr.Dataset, model: str, group: str) -> list[Misaligned]:
    """The warning of a file's check of alignment; shuffled and older scores have no check."""
    found = json.loads(scores.attrs.get("alignment", "{}"))
    if not found.get("warns"):
        return []
    told = {name: found[name] for name in ("given_r", "best_r", "best", "remedy")}
    return [Misaligned(model, group, **told)]


def _penalties(model: str, counts: Counter[float], edges: list[int]) -> Penalties:
    total = sum(counts.values())
    return Penalties(model, dict(sorted(counts.items())), edges[0] / total, edges[1] / total)


def _examples(scores: xr.Dataset) -> list[Example]:
    targets, layers = scores["target"].values.tolist(), scores["layer"].values.tolist()
    found = []
    for number in range(scores.sizes["example"]):
        name, layer = str(scores["example_target"].values[number]), str(scores["example_layer"].values[number])
        target = targets.index(name)
        one = scores.isel(layer=[layers.index(layer)], target=[target])
        compartment = str(scores["compartment"].values[target])
        here = np.isfinite(scores["predicted"].values[number])
        arrays = [scores["sample_time"].values, scores["measured"].values[number], scores["predicted"].values[number]]
        time, measured, predicted = (array[here][:MOST_SAMPLES].astype(np.float64) for array in arrays)
        found.append(
            Example(
                model=str(scores.attrs["model"]),
                group=str(scores.attrs["group"]),
                subject=str(scores["subject"].values[target]),
                place=f"{scores['region'].values[target]} {compartment}".strip(),
                target=name,
                layer=layer,
                r=float(fold_scores(block_sums(one)).score[0, 0, 0]),
                time=time,
                measured=measured,
                predicted=predicted,
                in_time=str(scores.attrs["ci_unit"]) == "block",
                n_samples=int(here.sum()),
            )
        )
    return found


def _best_similarity(scores: xr.Dataset) -> Similarities:
    """The pair (layer, target) with the highest score on all items or blocks."""
    measured = np.moveaxis(scores["similarity"].values, 2, 0).astype(np.float64)
    modelled = scores["model_similarity"].values.astype(np.float64)
    n_items = scores.sizes["item"]
    each_once, by_itself = np.ones(n_items), np.arange(n_items)
    comparison = str(scores.attrs["comparison"])
    table = agreement(PairVectors.of(modelled), PairVectors.of(measured), each_once, by_itself, comparison)
    layer, target = (int(i) for i in np.unravel_index(int(np.nanargmax(table)), table.shape))
    drawn = slice(0, MOST_ENTRIES_DRAWN)
    return Similarities(
        model=str(scores.attrs["model"]),
        layer=str(scores["layer"].values[layer]),
        target=str(scores["target"].values[target]),
        score=float(table[layer, target]),
        items=[str(item) for item in scores["item"].values[drawn]],
        measured=measured[target, drawn, drawn],
        modelled=modelled[layer, drawn, drawn],
        n_items=n_items,
        blocks=str(scores.attrs["ci_unit"]) == "block",
    )


def _reference(scores: xr.Dataset) -> Reference:
    targets, regions, subjects = ([str(n) for n in scores[one].values] for one in ("target", "region", "subject"))
    alone = scores["leave_one_out"].values.astype(np.float64) if "leave_one_out" in scores.variables else None
    return Reference(targets, regions, subjects, scores["reference_similarity"].values.astype(np.float64), alone)
