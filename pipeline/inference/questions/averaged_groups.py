"""Simulated responses of several groups whose scores the map averages: which layer and network are named on average?

Each group was simulated by itself, from every layer. Data set for data set, scores of all groups are averaged as the
map averages measured ones: target by target within a subject's region, then over subjects. What was measured is the
map's own average.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.artifacts.identifiability import GIVEN, READOUTS
from pipeline.inference.places import ALL, MEAN
from pipeline.inference.profile import Profile, profile_of_data_sets

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

Measured = Mapping[tuple[str, str], tuple[float, str]]
"""(network, region) → score of the nested best layer, and the layer that is named; of averaged scores."""


def can_be_averaged(groups: Sequence[xr.Dataset]) -> bool:
    """Whether all were simulated from the same layers, of single subjects, and their scores were kept."""
    first = groups[0]
    same = ("network", "planted_model", "planted_layer", "n_network_layers")
    return all(
        one.sizes["repeat"] > 0
        and one.sizes["kept"] > 0
        and str(one.attrs["subject"]) != MEAN
        and one.sizes["fold"] == first.sizes["fold"]
        and all(np.array_equal(one[name].values.astype(str), first[name].values.astype(str)) for name in same)
        for one in groups
    )


def averaged_groups(groups: Sequence[xr.Dataset], measured: Measured) -> xr.Dataset:
    """Identifiability of averaged scores, as `pipeline.artifacts.identifiability` has it of a group.

    Parameters
    ----------
    groups : of one analysis, for which `can_be_averaged`; of as many repeats as the group with the fewest

    Returns
    -------
    without the study's calibration, which each group has of its own, and without ``kept_*``
    """
    import xarray as xr

    first = groups[0]
    n_repeats = min(one.sizes["repeat"] for one in groups)
    regions = list(dict.fromkeys(str(name) for one in groups for name in one["region"].values))
    networks = first["network"].values.astype(str)
    own_layers = [first["planted_model"].values.astype(str) == name for name in networks]
    planted: dict[str, list[NDArray[Any]]] = {"named": [], "depth_index": [], "own_score": []}
    recovered = []
    for number, is_own in enumerate(own_layers):
        depths = first["relative_depth"].values[is_own]
        profiles = [_profile(groups, number, region, n_repeats, depths) for region in regions]
        within = (len(READOUTS), n_repeats, depths.size)
        n_within = int(np.prod(within))
        nested = np.stack([one.nested for one in profiles], axis=-1)
        across = (len(READOUTS), n_repeats, networks.size, len(regions))
        recovered.append(nested[n_within:].reshape(across))
        best, depth = (np.stack([getattr(one, name) for one in profiles], axis=-1) for name in ("best", "depth"))
        planted["named"].append(best[:n_within].reshape(*within, len(regions)))
        planted["depth_index"].append(depth[:n_within].reshape(*within, len(regions)))
        if depths.size:
            score = np.stack([one.score for one in profiles], axis=-1)[:n_within]
            score = score.reshape(*within, depths.size, len(regions))
            planted["own_score"].append(np.einsum("krllg->krlg", score))
    dims = ("readout", "repeat", "planted", "region")
    per_layer, by_network = ("readout", "planted", "region"), ("network", "region")
    shared = [one.reindex(region=regions, fill_value=np.nan)[["amplitude", "reached"]] for one in groups]
    values: dict[str, Any] = {name: (dims, np.concatenate(parts, axis=2)) for name, parts in planted.items()}
    values |= {
        "amplitude": (per_layer, np.nanmean([one["amplitude"].values for one in shared], axis=0)),
        "reached": (per_layer, np.nanmin([one["reached"].values for one in shared], axis=0).astype(np.int8)),
        "measured_score": (by_network, _measured_scores(measured, networks, regions)),
        "measured_layer": (by_network, _measured_layers(measured, networks, regions, first, own_layers)),
        "network_score": (
            ("readout", "repeat", "planted_network", "network", "region"),
            np.stack(recovered, axis=3),
        ),
        "test_p": (("given", "data_set", "region"), np.zeros((len(GIVEN), 0, len(regions)))),
    }
    coords: dict[Any, Any] = {name: first[name] for name in first.coords if "region" not in first[name].dims}
    n_targets = [sum(int((one["kept_region"].values.astype(str) == name).sum()) for one in groups) for name in regions]
    coords |= {"region": ("region", np.array(regions, object)), "n_targets": ("region", np.array(n_targets))}
    attrs = {**first.attrs, "group": ALL, "subject": ALL, "no_calibration": ""}
    return xr.Dataset(values, coords, attrs)


def _profile(groups: Sequence[xr.Dataset], network: int, region: str, n_repeats: int, depths: NDArray[Any]) -> Profile:
    """Of one network in one region: data sets from each of its layers, then from the best layer of each network."""
    parts: dict[str, list[NDArray[Any]]] = {"z": [], "inner": [], "weight": [], "subject": []}
    for one in groups:
        here = np.flatnonzero(one["kept_region"].values.astype(str) == region)
        n_layers = one["n_network_layers"].values.astype(int)
        n_networks, own_repeats = n_layers.size, one.sizes["repeat"]
        n_own = [int((one["planted_model"].values.astype(str) == str(name)).sum()) for name in one["network"].values]
        n_sets = [len(READOUTS) * own_repeats * (own + n_networks) for own in n_own]
        start = int(sum(sets * layers for sets, layers in zip(n_sets[:network], n_layers[:network], strict=True)))
        stop = start + n_sets[network] * int(n_layers[network])
        kept = _first_repeats(own_repeats, n_repeats, (n_own[network], n_networks))
        for name in ("z", "inner"):
            values = one[f"kept_{name}"].values[start:stop][..., here]
            values = values.reshape(n_sets[network], int(n_layers[network]), *values.shape[1:])
            parts[name].append(np.moveaxis(values[kept], 1, 2))
        parts["weight"].append(one["kept_weight"].values[:, here])
        parts["subject"].append(one["kept_subject"].values[here].astype(str))  # one subject may be in several groups
    subject_of = np.unique(np.concatenate(parts["subject"]), return_inverse=True)[1]
    z, inner, weight = (np.concatenate(parts[name], axis=-1) for name in ("z", "inner", "weight"))
    layers = depths if depths.size else np.linspace(0, 1, z.shape[2])  # of a twin no depth is asked
    return profile_of_data_sets(z, inner, weight, subject_of, layers)


def _first_repeats(n: int, wanted: int, n_planted: Sequence[int]) -> NDArray[np.intp]:
    """Numbers of the data sets that belong to the first repeats, in order.

    Parameters
    ----------
    n : repeats that there are
    n_planted : data sets of one repeat in the first part, and in the second
    """
    found, start = [], 0
    for each in n_planted:
        numbers = start + np.arange(len(READOUTS) * n * each).reshape(len(READOUTS), n, each)
        found.append(numbers[:, :wanted].reshape(-1))
        start += numbers.size
    return np.concatenate(found)


def _measured_scores(measured: Measured, networks: NDArray[Any], regions: Sequence[str]) -> NDArray[np.float64]:
    unknown = (float("nan"), "")
    return np.array([[measured.get((str(name), region), unknown)[0] for region in regions] for name in networks])


def _measured_layers(
    measured: Measured,
    networks: NDArray[Any],
    regions: Sequence[str],
    first: xr.Dataset,
    own_layers: Sequence[NDArray[np.bool_]],
) -> NDArray[np.intp]:
    """Number within the network; −1 for none, and for twins."""
    found = np.full((len(networks), len(regions)), -1, np.intp)
    for row, (name, is_own) in enumerate(zip(networks, own_layers, strict=True)):
        layers = first["planted_layer"].values[is_own].astype(str).tolist()
        for column, region in enumerate(regions):
            layer = measured.get((str(name), region), (0.0, ""))[1]
            found[row, column] = layers.index(layer) if layer in layers else -1
    return found
