"""Batches of encoding scores: groups whose held-out blocks agree share their draws of blocks."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.artifacts.scores import CHOSEN, open_header, open_scores
from pipeline.core.errors import SampleMismatch
from pipeline.inference.requests import InferenceSettings
from pipeline.inference.scores.bootstrap import draw_counts, generator, widening_of
from pipeline.inference.scores.fold_scores import BlockSums, FoldScores, block_sums, fold_scores, join_targets
from pipeline.inference.scores.null_scores import null_of
from pipeline.inference.scores.shared_draws import (
    Batch,
    ModelScores,
    check_layers_agree,
    layer_axis,
    reliability_errors,
    target_table,
)
from pipeline.inference.scores.variance_scores import division_of

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

BYTES_AT_ONCE = 16 << 20  # of one array over draws; a handful of them exist at a time
SAME_START_S = 1.0  # recordings of one stimulus on their own frame clocks start blocks up to a sample apart


@dataclasses.dataclass(frozen=True)
class Blocks:
    """How a scores file divides its samples.

    Parameters
    ----------
    fold, start, item, category : (block,)
    stimulus : (block,); None in scores that do not say, which are taken to be of any stimulus
    """

    fold: NDArray[np.int_]
    start: NDArray[np.float64]
    item: list[str]
    category: list[str]
    stimulus: list[str] | None

    @classmethod
    def of(cls, scores: xr.Dataset) -> Blocks:
        return cls(
            scores["fold"].values.astype(int),
            scores["block_start"].values.astype(np.float64),
            [str(item) for item in scores["block_item"].values],
            [str(item) for item in scores["block_category"].values],
            [str(name) for name in scores["block_stimulus"].values] if "block_stimulus" in scores.variables else None,
        )

    def agree(self, other: Blocks) -> bool:
        """Whether block i of both is the same stretch of the stimulus, held out by the same fold."""
        return (
            np.array_equal(self.fold, other.fold)
            and np.allclose(self.start, other.start, rtol=0, atol=SAME_START_S)
            and (self.item, self.category) == (other.item, other.category)
            and (None in (self.stimulus, other.stimulus) or self.stimulus == other.stimulus)
        )


def encoding_batches(
    paths: dict[str, dict[str, Path]],
    metric: str,
    within_category: bool,
    settings: InferenceSettings,
    *,
    apart: bool = False,
) -> list[Batch]:
    """Combine groups with the same blocks.

    Parameters
    ----------
    paths : group → model → scores file
    metric : of the analysis, as in the map
    within_category : score within categories of items; ceilings, which hold for all items, are then left out
    apart : each group makes a batch of its own all the same
    """
    combined: list[tuple[Blocks, list[xr.Dataset], list[dict[str, Path]]]] = []
    for by_model in paths.values():
        first = open_header(next(iter(by_model.values())))
        blocks = Blocks.of(first)
        for others, parts, files in combined:
            if blocks.agree(others) and not apart:
                parts.append(first)
                files.append(by_model)
                break
        else:
            combined.append((blocks, [first], [by_model]))
    return [_batch(*one, metric, within_category, settings) for one in combined]


def _batch(
    blocks: Blocks,
    parts: list[xr.Dataset],
    files: list[dict[str, Path]],
    metric: str,
    within_category: bool,
    settings: InferenceSettings,
) -> Batch:
    targets = target_table(parts)
    if within_category:
        targets = targets.assign(reliability=np.nan, ceiling=np.nan, ceiling_kind="", signal_power=np.nan)
    deviation, degrees = reliability_errors(parts)
    counts = draw_counts(blocks.fold.size, settings.n_bootstrap, generator(settings.seed, "unit"))
    return Batch(
        metric=f"{metric}-within-category" if within_category else metric,
        targets=targets,
        ci_unit=str(parts[0].attrs["ci_unit"]),
        n_units=int(blocks.fold.size),
        models=list(files[0]),
        load=_loader(blocks, files, counts, within_category),
        reliability_deviation=deviation,
        reliability_df=degrees,
        ceiling=math.sqrt,
        untested="scores within categories are not held against other orders" if within_category else "",
        on_surface=frozenset(str(part.attrs["group"]) for part in parts if "surface_unit" in part.variables),
        widening=widening_of(np.unique(blocks.fold).size),
    )


def _loader(
    blocks: Blocks, files: list[dict[str, Path]], counts: NDArray[np.float32], within_category: bool
) -> Callable[[str], ModelScores]:
    def load(model: str) -> ModelScores:
        paths = [by_model[model] for by_model in files]
        parts = [open_scores(path) for path in paths]
        for part, path, by_model in zip(parts, paths, files, strict=True):
            if not blocks.agree(Blocks.of(part)):
                first = next(iter(by_model.values()))
                raise SampleMismatch(
                    f"{path} ({part.sizes['block']} blocks) and {first} ({blocks.fold.size} blocks) are divided "
                    "differently, so their scores cannot be compared; run: snakemake map --forcerun encode_group"
                )
        check_layers_agree(parts, paths)
        sums = [block_sums(part, within_category=within_category) for part in parts]
        chosen = all(part.attrs.get("penalties", CHOSEN) == CHOSEN for part in parts)
        return ModelScores(
            layers=layer_axis(parts[0]),
            point=join_targets([fold_scores(one) for one in sums]),
            draws=_Draws([one.as_floats(counts.dtype) for one in sums], counts),
            edge=np.concatenate([part["penalty_edge"].values for part in parts], axis=2) if chosen else None,
            division=None if within_category else division_of(parts, counts),
            null=None if within_category else null_of(parts),
        )

    return load


@dataclasses.dataclass(frozen=True)
class _Draws:
    """Chunks of draws, made when iterated over, so that memory stays bounded."""

    sums: list[BlockSums]
    counts: NDArray[np.float32]

    def __iter__(self) -> Iterator[FoldScores]:
        per_draw = 4 * sum(one.size_per_draw for one in self.sums)
        at_once = max(1, BYTES_AT_ONCE // per_draw)
        for start in range(0, self.counts.shape[0], at_once):
            yield join_targets([fold_scores(one, self.counts[start : start + at_once]) for one in self.sums])
