"""Rows on what could have been found: posterior over layers, layers that are taken for each other, networks that are.

See `pipeline.identifiability.stage` for what was simulated, and `pipeline.inference.questions.confusion` for what is
made of it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.artifacts.identifiability import open_identifiability
from pipeline.inference.layer_choice import DISTINGUISHABLE_SPAN
from pipeline.inference.questions.calibration import calibration_rows
from pipeline.inference.questions.confusion import count_named, credible_set, identified, posterior

if TYPE_CHECKING:
    import xarray as xr

Row = dict[str, Any]


def identifiability_rows(where: Row, path: Path) -> dict[str, list[Row]]:
    """Rows of tables ``identifiability``, ``confusion``, ``recovery`` and ``calibration`` of one group.

    Parameters
    ----------
    where : study and analysis
    path : of the group's identifiability
    """
    found = open_identifiability(path)
    where = {**where, **{name: str(found.attrs[name]) for name in ("metric", "group", "subject")}}
    rows: dict[str, list[Row]] = {"identifiability": [], "confusion": [], "recovery": []}
    if not found.sizes["repeat"]:
        return {**rows, "calibration": calibration_rows(where, found, [])}
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
                rows["identifiability"].append(place | _identified(one))
                rows["confusion"] += [place | cell for cell in _cells(one)]
    rows["recovery"] = _recovered(where, found)
    rows["calibration"] = calibration_rows(where, found, rows["identifiability"])
    return rows


def _identified(one: xr.Dataset) -> Row:
    """Of one network, region and kind of read-out."""
    depths, layers = one["relative_depth"].values, one["planted_layer"].values.astype(str)
    order = np.argsort(depths, kind="stable")
    place = np.argsort(order, kind="stable")
    named = one["named"].values.astype(int)[:, order]
    named = np.where(named >= 0, place[named], -1)
    depths, layers = depths[order], layers[order]
    result = identified(named, depths)
    measured = int(one["measured_layer"].item())
    measured = int(place[measured]) if measured >= 0 else -1
    probability = posterior(count_named(named), measured, result.width)
    members = credible_set(probability)
    low, high = float(depths[members].min()), float(depths[members].max())
    return {
        "n_layers": int(depths.size),
        "n_repeats": result.n_repeats,
        "n_targets": int(one["n_targets"].item()),
        "measured_score": float(one["measured_score"].item()),
        "simulated_score": float(np.nanmean(one["own_score"].values)),
        "n_reached": int(one["reached"].values.sum()),
        "exact": result.exact,
        "exact_se": result.exact_se,
        "within_one": result.within_one,
        "chance": 1 / depths.size,
        "bits": result.bits,
        "depth_error": result.depth_error,
        "coverage": result.coverage,
        "named_layer": layers[measured] if measured >= 0 else "",
        "depth": float(probability @ depths),
        "depth_low": low,
        "depth_high": high,
        "credible_set": " | ".join(layers[members]),
        "distinguishable": int(high - low <= DISTINGUISHABLE_SPAN + 1e-9),
    }


def _cells(one: xr.Dataset) -> list[Row]:
    """Layers named for each planted layer, in the order of the network; those never named are left out."""
    layers, named = one["planted_layer"].values.astype(str), one["named"].values.astype(int)
    counts = count_named(named)
    return [
        {"planted_layer": layers[row], "named_layer": layers[column], "n": int(counts[row, column])}
        for row, column in zip(*np.nonzero(counts), strict=True)
    ]


def _recovered(where: Row, found: xr.Dataset) -> list[Row]:
    """Networks with the highest score for responses from the best layer of each."""
    names = found["network"].values.astype(str)
    rows = []
    for region in range(found.sizes["region"]):
        for readout in range(found.sizes["readout"]):
            one = found.isel(region=region, readout=readout)
            scores = np.nan_to_num(one["network_score"].values, nan=-np.inf)
            best = scores.argmax(axis=-1)  # (repeat, planted network)
            for row, model in enumerate(names):
                counts = np.bincount(best[:, row], minlength=names.size)
                rows += [
                    {
                        **where,
                        "region": str(one["region"].item()),
                        "readout": str(one["readout"].item()),
                        "planted_model": model,
                        "named_model": names[column],
                        "n": int(counts[column]),
                        "n_repeats": int(best.shape[0]),
                    }
                    for column in np.flatnonzero(counts)
                ]
    return rows
