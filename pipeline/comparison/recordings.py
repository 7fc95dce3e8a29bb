"""Similarity matrices of recorded cells, one per animal and region, beside those of a network's layers."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.comparison.blocks import Entries, entries_of
from pipeline.comparison.ceilings import (
    NO_KIND,
    above_chance,
    ceilings_across_animals,
    or_over_repeats,
    pairwise_agreement,
    parts_of_entries,
    reliability_over_repeats,
)
from pipeline.comparison.options import SimilarityOptions
from pipeline.comparison.similarity import SIMILARITIES, Compared, upper_triangle
from pipeline.core.errors import BadConfiguration
from pipeline.encoding.group.group_data import GroupData, open_group
from pipeline.encoding.group.nuisance import Nuisance, take_out
from pipeline.encoding.group.reliability import scored_responses, z_score_runs
from pipeline.encoding.high_pass import high_pass_within
from pipeline.encoding.splits import Samples

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclasses.dataclass(frozen=True)
class _Opened:
    """What `open_group` is asked for: no delays, as blocks are compared with blocks."""

    nuisance: tuple[str, ...]
    delays_s: tuple[float, float] | None = None


def compare_recordings(
    runs: Sequence[tuple[Path, Path]],
    options: SimilarityOptions,
    layers: Sequence[str] | None,
    shuffle_seed: int | None,
) -> Compared:
    """Measured matrices of every animal's regions, and those of every layer over the same blocks or items.

    Responses are averaged over repeats, z-scored within runs cell by cell, and averaged within blocks, over all runs
    of a stimulus; features are averaged in the same way.

    Parameters
    ----------
    runs : (recording, activations) of each run of the group
    layers : in order of depth; None compares all that the activations hold

    Raises
    ------
    SampleMismatch
        Recordings and activations that do not belong together, or blocks without activations.
    BadConfiguration
        Blocks that the recordings do not have, or no region with enough cells.
    """
    group = open_group(runs, _Opened(options.nuisance), clean=_clean)
    source = str(runs[0][0])
    entries = entries_of(group.samples, options.block_s, options.stretch_s, source)
    responses = scored_responses(group.responses, group.samples.run, z_scored=group.z_scored)
    measured = _centred(entries.average(responses, source), options)
    if shuffle_seed is not None:
        measured = measured[entries.shuffled(shuffle_seed)]
    places = _cells_of_places(group, measured, options.min_cells, source)
    matrices = np.stack([SIMILARITIES[options.similarity](measured[:, cells]) for cells in places.values()])
    subjects, regions = (np.array(names) for names in zip(*places, strict=True))
    pairs = upper_triangle(matrices)
    agreement = pairwise_agreement(pairs, options.comparison)
    parts = parts_of_entries(entries.stretch, in_time=entries.block_s is not None)
    across = ceilings_across_animals(pairs, agreement, subjects, regions, parts, options.comparison)
    over_repeats, deviation = _repeat_reliability(group, entries, places, across.kind == NO_KIND, parts, options)
    ceilings = above_chance(or_over_repeats(across, over_repeats, deviation, options.comparison), options.comparison)
    layers = layers or group.model_attrs["layer_order"]
    n_subjects = np.unique(subjects).size
    return Compared(
        similarity=np.moveaxis(matrices, 0, 2),
        model_similarity=np.stack([_layer_similarity(group, entries, layer, options) for layer in layers]),
        reference=agreement,
        layers=[group.layer(name) for name in layers],
        item=entries.name,
        targets={
            "target": np.array([f"{subject} {region}" for subject, region in places]),
            "region": regions,
            "compartment": np.array([_only(group.targets["compartment"][cells]) for cells in places.values()]),
            "subject": subjects,
            "repeat_reliability": over_repeats,
        },
        reliability=ceilings.reliability,
        ceiling=ceilings.ceiling,
        ceiling_kind=ceilings.kind,
        reliability_deviation=ceilings.deviation,
        reliability_df=ceilings.deviation.shape[0] - 1,
        n_subjects=n_subjects if n_subjects > 1 else group.n_subjects,
        ci_unit="item" if entries.block_s is None else "block",
        model_attrs=group.model_attrs,
        split=_split(options, entries),
        leave_one_out=ceilings.leave_one_out,
        stretch=entries.stretch,
        stimulus=entries.stimulus,
        equal=group.samples.equal,
        n_samples=group.samples.n,
        n_without_features=group.n_without_features,
    )


def _clean(responses: NDArray[np.float32], nuisance: Nuisance, samples: Samples, memory_budget_mb: float) -> None:
    """With one β for all samples: nothing is predicted from some of them for others."""
    take_out(responses, nuisance, np.zeros(samples.n, int), memory_budget_mb=memory_budget_mb)


def _cells_of_places(
    group: GroupData, measured: NDArray[np.float64], min_cells: int, source: str
) -> dict[tuple[str, str], NDArray[np.intp]]:
    """(subject, region) → its cells that respond at all, where there are enough; in the order of the targets."""
    names = list(zip(group.targets["subject"].tolist(), group.targets["region"].tolist(), strict=True))
    varies = np.ptp(measured, axis=0) > 0
    cells: dict[tuple[str, str], list[int]] = {name: [] for name in names}
    for number, name in enumerate(names):
        if varies[number]:
            cells[name].append(number)
    kept = {name: np.array(own) for name, own in cells.items() if len(own) >= min_cells}
    if not kept:
        (subject, region), most = max(cells.items(), key=lambda item: len(item[1]))
        raise BadConfiguration(
            f"{source} and the other recordings of its group have no region with {min_cells} responding cells of one "
            f"animal (most: {len(most)} in {region} of {subject}); lower min_cells, or leave the group out"
        )
    return kept


def _repeat_reliability(
    group: GroupData,
    entries: Entries,
    places: dict[tuple[str, str], NDArray[np.intp]],
    wanted: NDArray[np.bool_],
    parts: NDArray[np.intp],
    options: SimilarityOptions,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of each wanted place's matrix, see `reliability_over_repeats`; NaN where nothing was repeated.

    Returns
    -------
    (place,) and (part, place)
    """

    def pairs_of(mean: NDArray[np.float64]) -> NDArray[np.float64] | None:
        """As the compared matrix is made of the mean over all repeats."""
        if np.unique(entries.entry_of[np.isfinite(mean[:, 0]) & (entries.entry_of >= 0)]).size < entries.n:
            return None
        scored = mean if group.z_scored else z_score_runs(mean, group.samples.run)
        return upper_triangle(
            SIMILARITIES[options.similarity](_centred(entries.average(scored, "half of the repeats"), options))
        )

    reliability, deviation = np.full(wanted.size, np.nan), np.full((np.unique(parts).size, wanted.size), np.nan)
    for place, cells in enumerate(places.values()):
        if wanted[place]:
            reliability[place], deviation[:, place] = reliability_over_repeats(
                group.responses[:, :, cells], pairs_of, parts, options.comparison, seed=options.seed
            )
    return reliability, deviation


def _layer_similarity(
    group: GroupData, entries: Entries, layer: str, options: SimilarityOptions
) -> NDArray[np.float64]:
    """Similarities of one layer's features, filtered as the responses were and averaged within the same entries."""
    features: NDArray[Any] = group.features(layer)[group.rows()]
    if group.high_pass is not None:
        filtered = high_pass_within(features, group.samples.run, *group.high_pass)
        features = np.where(np.isnan(features), np.nan, filtered)
    source = f"layer '{layer}' in {group.runs[0].activations.path}"
    return SIMILARITIES[options.similarity](_centred(entries.average(features, source), options))


def _centred(values: NDArray[np.float64], options: SimilarityOptions) -> NDArray[np.float64]:
    return values - values.mean(axis=0) if options.centred else values


def _only(names: NDArray[np.str_]) -> str:
    """The compartment that all cells lie in; empty if there are several."""
    found = np.unique(names)
    return str(found[0]) if found.size == 1 else ""


def _split(options: SimilarityOptions, entries: Entries) -> dict[str, Any]:
    """What the page says of the halvings, and of what was compared."""
    split: dict[str, Any] = {"kind": "random_halves", "n_splits": options.n_splits, "seed": options.seed}
    split |= {"centred": options.centred, "min_cells": options.min_cells, "nuisance": list(options.nuisance)}
    if entries.block_s is not None:
        n = int(np.unique(entries.stretch).size)
        split |= {"block_s": options.block_s, "stretch_s": options.stretch_s, "n_stretches": n}
    return split
