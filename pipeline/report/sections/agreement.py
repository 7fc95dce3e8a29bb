"""Do the metrics agree? Best layers and networks of analyses that differ in their metric alone, side by side.

Two analyses are compared where they have the same recording and share a network, reduced alike, with the same layers.
Metrics agree in a region and network where they all find it above chance and their sets of layers that are not reliably
below the best have a layer in common. Sets that are wide have one easily: how many cells name a layer is said as well.
Nothing here is a test: the same responses are behind all of them.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pipeline.core.prose import counted, listed
from pipeline.report.sections.findings import Row, is_distinguished, is_predicted, records
from pipeline.report.views import View
from pipeline.report.wording import WITHIN_CATEGORY, layer_set, number

if TYPE_CHECKING:
    from numpy.typing import NDArray

FEWEST_LAYERS = 3  # of a profile whose ranks are correlated


@dataclasses.dataclass(frozen=True)
class AgreementRow:
    """One region and network.

    Parameters
    ----------
    cells : one per metric: its best layer and those not reliably below it, or that nothing was found
    shared : the layers that all metrics' sets have in common, or why there are none to look for
    profiles : Spearman's ρ of the layers' scores between two metrics, lowest to highest
    """

    region: str
    network: str
    cells: list[str]
    shared: str
    profiles: str


@dataclasses.dataclass(frozen=True)
class AgreementSection:
    """Some analyses of one recording.

    Parameters
    ----------
    heading : the analyses
    sentences : in how many cells they agree, where they do not, and which network is best
    header : one column per metric
    """

    heading: str
    sentences: list[str]
    header: list[str]
    rows: list[AgreementRow]


@dataclasses.dataclass(frozen=True)
class _Cell:
    """What one metric says of one region and network.

    Parameters
    ----------
    best, depth : of the nested best layer; empty and NaN where simulations do not tell pathways apart
    members : the layers that are not reliably below the best; empty where the score does not exceed chance
    profile : layer → score
    """

    best: str
    depth: float
    score: float
    predicted: bool
    distinguished: bool
    members: list[str]
    profile: dict[str, float]


def agreement_sections(views: Sequence[View]) -> list[AgreementSection]:
    """One section per set of analyses that can be compared, and average (or single) subject; none for most studies."""
    found: list[list[View]] = []
    for view in views:
        if view.metric.endswith(WITHIN_CATEGORY) or view.analysis.spaces:
            continue  # scores of another question, and of joint fits
        fitting = next((own for own in found if all(_comparable(view, other) for other in own)), None)
        found.append([view]) if fitting is None else fitting.append(view)
    return [_section(own) for own in found if len(own) > 1]


def _comparable(one: View, other: View) -> bool:
    a, b = one.analysis, other.analysis
    same_data = (a.dataset.kind, a.dataset.options) == (b.dataset.kind, b.dataset.options)
    other_metric = (a.metric, a.options) != (b.metric, b.options)
    same_subjects = (one.group, one.subject) == (other.group, other.subject)
    return same_data and other_metric and same_subjects and bool(_shared_networks([one, other]))


def _shared_networks(views: Sequence[View]) -> list[str]:
    """Networks of all views that are the same in them, layers included; in the order of the first."""
    first = views[0]
    return [
        name
        for name in first.networks
        if all(
            name in view.networks
            and view.analysis.model(name) == first.analysis.model(name)
            and view.layers(name) == first.layers(name)
            for view in views[1:]
        )
    ]


def _section(views: list[View]) -> AgreementSection:
    names = [view.analysis.name for view in views]
    networks = _shared_networks(views)
    places = [place for place in views[0].places if all(place in view.places for view in views[1:])]
    known: dict[tuple[str, str], list[_Cell]] = {}
    for place, network in itertools.product(places, networks):
        own = [cell for view in views if (cell := _cell(view, place, network)) is not None]
        if len(own) == len(views):
            known[place, network] = own
    layers = {network: views[0].layers(network) for network in networks}
    rows = [
        AgreementRow(
            region=place,
            network=network,
            cells=[_told(one, layers[network]) for one in own],
            shared=_shared(own, layers[network]),
            profiles=_profiles(own, layers[network]),
        )
        for (place, network), own in known.items()
    ]
    who = f", {views[0].subject_in_words}" if views[0].subject not in ("group", "pooled") else ""
    return AgreementSection(
        heading=f"{listed(names)}{who}",
        sentences=[*_in_short(names, known), *_networks_in_short(names, known, networks), *_chance_in_words(views)],
        header=[f"{view.analysis.name}: {view.metric_in_words}, {view.analysis.symbol}" for view in views],
        rows=rows,
    )


def _chance_in_words(views: list[View]) -> list[str]:
    """What to know of measures by which chance is not 0, and another for every layer."""
    names = [view.analysis.name for view in views if not view.analysis.zero_is_chance]
    if not names:
        return []
    return [
        f"By {listed(names)}, layers differ in what they score by chance: the best one may be that whose own distances "
        "vary least, not that which is most alike."
    ]


def _cell(view: View, place: str, network: str) -> _Cell | None:
    """None where no score could be computed."""
    table = view.summary_of(network)
    if place not in table.index:
        return None
    row: Row = records(table.loc[[place]].reset_index())[0]
    if not math.isfinite(row["best_layer_score"]):
        return None
    own = view.rows[(view.rows["model"] == network) & (view.rows["place"] == place)]
    predicted = is_predicted(row)
    return _Cell(
        best=str(row["best_layer"]),
        depth=float(row["best_layer_depth"]),
        score=float(row["best_layer_score"]),
        predicted=predicted,
        distinguished=is_distinguished(row, len(view.layers(network))),
        members=str(row["best_layer_set"]).split(" | ") if predicted else [],
        profile={str(layer): float(score) for layer, score in zip(own["layer"], own["score"], strict=True)},
    )


def _common(cells: list[_Cell]) -> set[str]:
    return set.intersection(*(set(cell.members) for cell in cells))


def _told(cell: _Cell, layers: list[str]) -> str:
    if not cell.predicted:
        return "not above chance"
    if len(layers) == 1:
        return "above chance"
    if not cell.best:
        return f"above chance, of {layer_set(cell.members, layers)}"
    if cell.members == [cell.best]:
        return f"{cell.best} (depth {number(cell.depth)})"
    return f"{cell.best} (depth {number(cell.depth)}), of {layer_set(cell.members, layers)}"


def _shared(cells: list[_Cell], layers: list[str]) -> str:
    missing = sum(not cell.predicted for cell in cells)
    if missing:
        return "found by none" if missing == len(cells) else f"found by {len(cells) - missing} of {len(cells)}"
    common = _common(cells)
    return layer_set(list(common), layers) if common else "no layer"


def _profiles(cells: list[_Cell], layers: list[str]) -> str:
    """Of all two metrics, over the layers."""
    from scipy.stats import spearmanr

    profiles = [np.array([cell.profile.get(layer, np.nan) for layer in layers]) for cell in cells]
    found = sorted(
        float(spearmanr(one, other).statistic)
        for one, other in itertools.combinations(profiles, 2)
        if _varies(one) and _varies(other)
    )
    if len(layers) < FEWEST_LAYERS or not found:
        return "–"
    ends = [number(found[0]), number(found[-1])]
    return ends[0] if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}"


def _varies(profile: NDArray[np.float64]) -> bool:
    return bool(np.isfinite(profile).all() and np.ptp(profile) > 0)


def _in_short(names: list[str], cells: dict[tuple[str, str], list[_Cell]]) -> list[str]:
    """In how many cells metrics agree, and where they do not."""
    judged = {where: own for where, own in cells.items() if any(cell.predicted for cell in own)}
    n_none = len(cells) - len(judged)
    none = f" In {counted(n_none, 'further cell')} none of them finds anything above chance." if n_none else ""
    if not judged:
        return [f"Nothing to agree on: none of the metrics finds a score reliably above chance in any region.{none}"]
    agreeing = [own for own in judged.values() if all(cell.predicted for cell in own) and _common(own)]
    text = f"Metrics agree in {len(agreeing)} of {counted(len(judged), '(region, network) cell')}"
    if agreeing:
        named = sum(all(cell.distinguished for cell in own) for own in agreeing)
        text += f", in {named} of which each of them can name a best layer"
    differing = [
        f"{place}, {network} ({_difference(names, own)})"
        for (place, network), own in judged.items()
        if own not in agreeing
    ]
    disagree = f" They disagree in {'; '.join(differing)}." if differing else ""
    return [f"{text}.{disagree}{none}"]


def _difference(names: list[str], cells: list[_Cell]) -> str:
    found = [name for name, cell in zip(names, cells, strict=True) if cell.predicted]
    if len(found) < len(names):
        return f"above chance by {listed(found)} only"
    return _by_metric(names, [cell.best for cell in cells])


def _by_metric(names: list[str], chosen: list[str]) -> str:
    """``block2 by encoding model and partial least squares, block5 by similarity``."""
    by: dict[str, list[str]] = {}
    for name, one in zip(names, chosen, strict=True):
        by.setdefault(one or "none", []).append(name)
    return ", ".join(f"{one} by {listed(metrics)}" for one, metrics in by.items())


def _networks_in_short(names: list[str], cells: dict[tuple[str, str], list[_Cell]], networks: list[str]) -> list[str]:
    """Which network has the highest score in each region, by each metric."""
    if len(networks) < 2:
        return []
    best: dict[str, list[str]] = {}
    for place in dict.fromkeys(place for place, _ in cells):
        of = {network: cells[place, network] for network in networks if (place, network) in cells}
        by_metric = [
            max((network for network in of if of[network][one].predicted), key=lambda n: of[n][one].score, default="")
            for one in range(len(names))
        ]
        if any(by_metric):
            best[place] = by_metric
    if not best:
        return []
    same = [place for place, found in best.items() if len(set(found)) == 1]
    text = f"The same network has the highest score by every metric in {len(same)} of {counted(len(best), 'region')}"
    differing = [f"{place} ({_by_metric(names, found)})" for place, found in best.items() if place not in same]
    elsewhere = f"; another in {'; '.join(differing)}" if differing else ""
    return [f"{text}{elsewhere}. Differences between networks are not tested here."]
