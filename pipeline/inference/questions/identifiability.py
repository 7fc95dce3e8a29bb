"""Rows on what could have been found: posterior over layers, layers that are taken for each other, networks that are.

See `pipeline.identifiability.stage` for what was simulated, and `pipeline.inference.questions.confusion` for what is
made of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.artifacts.identifiability import FITTED
from pipeline.inference.layer_choice import distinguishable
from pipeline.inference.networks import in_one_pathway, in_order, pathways_of
from pipeline.inference.questions.calibration import calibration_rows
from pipeline.inference.questions.confusion import (
    count_named,
    credible_set,
    identified,
    layers_apart,
    posterior,
)

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

Row = dict[str, Any]


def identifiability_rows(where: Row, found: xr.Dataset) -> dict[str, list[Row]]:
    """Rows of tables ``identifiability``, ``confusion``, ``recovery`` and ``calibration``.

    Parameters
    ----------
    where : study and analysis
    found : identifiability of a group, or of several whose scores are averaged
    """
    where = {**where, **{name: str(found.attrs[name]) for name in ("metric", "group", "subject")}}
    rows: dict[str, list[Row]] = {"identifiability": [], "confusion": [], "recovery": []}
    if not found.sizes["repeat"]:
        return {**rows, "calibration": calibration_rows(where, found, [])}
    covered = []
    for number, model in enumerate(found["network"].values.astype(str)):
        here = np.flatnonzero(found["planted_model"].values.astype(str) == model)
        if here.size < 2:
            continue
        own = found.isel(planted=here, network=number)
        for region in range(found.sizes["region"]):
            for readout in range(found.sizes["readout"]):
                one = own.isel(region=region, readout=readout)
                place = {**where, "region": str(one["region"].item()), "readout": str(one["readout"].item())}
                place["model"] = model
                row, sets = _identified(one)
                rows["identifiability"].append(place | row)
                if not _is_planted(one["measured_score"].values):
                    continue
                rows["confusion"] += [place | cell for cell in _cells(one)]
                if (model, place["readout"]) == (str(found.attrs["calibrated"]), FITTED):
                    covered.append(sets)
    rows["recovery"] = _recovered(where, found)
    rows["calibration"] = calibration_rows(where, found, covered)
    return rows


def _is_planted(measured_score: NDArray[Any]) -> bool:
    """Whether anything was planted: where a network predicts nothing, there is nothing to be as strong as."""
    return bool((measured_score > 0).all())


def _identified(one: xr.Dataset) -> tuple[Row, NDArray[np.float64]]:
    """Of one network, region and kind of read-out; and (repeat, layer) which credible sets hold the planted layer.

    Depths of several pathways cannot be compared: where the credible set spans some, there is none.
    """
    depths, layers = one["relative_depth"].values, one["planted_layer"].values.astype(str)
    pathway = one["planted_pathway"].values.astype(str).tolist()
    named, measured = one["named"].values.astype(int), int(one["measured_layer"].item())
    result = identified(named, depths, pathway)
    probability = posterior(count_named(named), measured, result.width, layers_apart(depths, pathway))
    members = credible_set(probability)
    is_one = in_one_pathway(members, pathway)
    depth = low = high = float("nan")
    if is_one:
        depth = _mean_depth(probability, members, depths, pathway)
        low, high = float(depths[members].min()), float(depths[members].max())
    own_score = one["own_score"].values
    known = np.isfinite(own_score)
    row = {
        "n_layers": int(depths.size),
        "n_repeats": result.n_repeats,
        "n_targets": int(one["n_targets"].item()),
        "measured_score": float(one["measured_score"].item()),
        "simulated_score": float(own_score[known].mean()) if known.any() else float("nan"),
        "n_reached": int(one["reached"].values.sum()),
        "exact": result.exact,
        "exact_se": result.exact_se,
        "within_one": result.within_one,
        "chance": 1 / depths.size,
        "bits": result.bits,
        "depth_error": result.depth_error,
        "coverage": result.coverage,
        "named_layer": layers[measured] if measured >= 0 else "",
        "depth": depth,
        "depth_low": low,
        "depth_high": high,
        "credible_set": " | ".join(layers[number] for number in in_order(pathway, depths) if members[number]),
        "distinguishable": int(is_one and distinguishable(members, depths)),
    }
    return row, result.covered


def _mean_depth(
    probability: NDArray[np.float64], members: NDArray[np.bool_], depths: NDArray[Any], pathway: list[str]
) -> float:
    """Mean of the posterior, within the pathway that the credible set lies in; of a stem alone, the more probable."""
    parts = [own for own in pathways_of(pathway).values() if np.isin(np.flatnonzero(members), own).all()]
    own = max(parts, key=lambda one: float(probability[one].sum())) if parts else np.arange(depths.size)
    return float(probability[own] @ depths[own] / probability[own].sum())


def _cells(one: xr.Dataset) -> list[Row]:
    """Layers named for each planted layer, in the order of the network; those never named are left out."""
    layers, named = one["planted_layer"].values.astype(str), one["named"].values.astype(int)
    counts = count_named(named)
    return [
        {"planted_layer": layers[row], "named_layer": layers[column], "n": int(counts[row, column])}
        for row, column in zip(*np.nonzero(counts), strict=True)
    ]


def _recovered(where: Row, found: xr.Dataset) -> list[Row]:
    """Networks with the highest score for responses from the best layer of each, of data sets that have a score."""
    names = found["network"].values.astype(str)
    rows = []
    for region in range(found.sizes["region"]):
        for readout in range(found.sizes["readout"]):
            one = found.isel(region=region, readout=readout)
            scores = one["network_score"].values  # (repeat, planted network, network)
            for row, model in enumerate(names):
                scored = scores[np.isfinite(scores[:, row]).any(axis=1), row]
                if not _is_planted(one["measured_score"].values[row]) or not scored.size:
                    continue
                counts = np.bincount(np.nanargmax(scored, axis=1), minlength=names.size)
                rows += [
                    {
                        **where,
                        "region": str(one["region"].item()),
                        "readout": str(one["readout"].item()),
                        "planted_model": model,
                        "named_model": names[column],
                        "n": int(counts[column]),
                        "n_repeats": int(scored.shape[0]),
                    }
                    for column in np.flatnonzero(counts)
                ]
    return rows
