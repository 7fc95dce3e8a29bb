"""Matrices of data that exist only as similarities, beside those of a network's layers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.artifacts.activations import Activations, open_activations
from pipeline.artifacts.geometry import open_geometry
from pipeline.comparison.ceilings import NO_KIND, pairwise_agreement
from pipeline.comparison.measures import MEASURES
from pipeline.comparison.options import SimilarityOptions
from pipeline.comparison.similarity import SIMILARITIES, Compared, upper_triangle
from pipeline.core.errors import BadConfiguration, SampleMismatch
from pipeline.stimuli.repeated.contents import equal_in_words, presented

if TYPE_CHECKING:
    from numpy.typing import NDArray


def compare_geometry(
    geometry_path: Path,
    activations_path: Path,
    options: SimilarityOptions,
    layers: Sequence[str] | None,
    shuffle_seed: int | None,
) -> Compared:
    """Measured matrices as they are, and every layer's over the same items.

    Raises
    ------
    SampleMismatch
        An item of the geometry has no activations; the message names it and both files.
    BadConfiguration
        An option that needs recorded responses.
    """
    geometry = open_geometry(geometry_path)
    _check_options(options, geometry_path)
    activations = open_activations(activations_path)
    rows = _rows_of_items(geometry["item"].values, activations, geometry_path)
    names = geometry["item"].values.astype(str)
    same = presented(names, activations.contents()[rows])
    similarity, first = _of_contents(geometry["similarity"].values.astype(np.float64), same)
    rows = rows[first]
    layers = layers or activations.attrs["layer_order"]
    order = np.arange(rows.size) if shuffle_seed is None else np.random.default_rng(shuffle_seed).permutation(rows.size)
    measured = similarity[np.ix_(order, order)]
    model = np.stack([SIMILARITIES[options.similarity](activations.read(layer)[rows]) for layer in layers])
    info = {layer.name: layer for layer in activations.layers}
    reliability = _reliability(geometry["ceiling"].values.astype(np.float64), options)
    known = np.isfinite(reliability)
    pairs = upper_triangle(np.moveaxis(measured, 2, 0))
    return Compared(
        similarity=measured,
        model_similarity=model,
        reference=pairwise_agreement(pairs, options.comparison),
        layers=[info[name] for name in layers],
        item=geometry["item"].values[first],
        targets={name: geometry[name].values for name in ("target", "region", "compartment", "subject")},
        reliability=reliability,
        ceiling=np.sqrt(np.where(reliability > 0, reliability, np.nan)),
        ceiling_kind=np.where(known, f"√({geometry.attrs['ceiling_kind']})", NO_KIND).astype(object),
        reliability_deviation=_deviation(reliability, rows.size),
        reliability_df=rows.size - 1,
        n_subjects=int(geometry.attrs["n_subjects"]),
        ci_unit="item",
        model_attrs=activations.attrs,
        split={"kind": "random_halves", "n_splits": options.n_splits, "seed": options.seed},
        equal=equal_in_words(names, same, "items"),
    )


def _reliability(published: NDArray[np.float64], options: SimilarityOptions) -> NDArray[np.float64]:
    """Correlations, as published: of cosines and whitened measures they say nothing, so that these have no ceiling."""
    measure = MEASURES[options.comparison]
    plain = measure.centred and measure.item_effects is None
    return published if plain else np.full(published.shape, np.nan)


def _deviation(reliability: NDArray[np.float64], n_items: int) -> NDArray[np.float64]:
    """The largest error that a published correlation of two matrices can have: (1, target), all targets erring alike.

    Over n items, the variance of a mean over pairs of them is at most 2 / n times that of one pair (Hoeffding 1948,
    Annals of Mathematical Statistics 19:293–325), which is (1 − r²)² for a correlation.
    """
    return np.asarray((1 - reliability[None] ** 2) * np.sqrt(2 / n_items))


def _of_contents(
    similarity: NDArray[np.float64], same: NDArray[np.str_]
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Matrices (item, item2, target) with items of equal content as one, whose similarities are the mean over them.

    Parameters
    ----------
    same : (item,) one name for all items of equal content

    Returns
    -------
    the matrices, and the first item of each content, (content,) in the order of the items
    """
    found, first, content = np.unique(same, return_index=True, return_inverse=True)
    if found.size == same.size:
        return similarity, np.arange(same.size)
    order = np.argsort(first)
    share = (content == order[:, None]) / np.bincount(content)[order][:, None]
    mean = np.einsum("ai,ijt,bj->abt", share, similarity, share, optimize=True)
    mean[np.arange(found.size), np.arange(found.size)] = similarity[first[order], first[order]]
    return mean, first[order]


def _check_options(options: SimilarityOptions, source: Path) -> None:
    """Refuse what cannot be done to similarities."""
    if options.similarity != "pearson":
        raise BadConfiguration(
            f"{options.kind} needs a recording of responses, whose inner products it compares, but {source} holds "
            "correlations; take rsa with comparison whitened_cosine, which is CKA of correlations, not debiased"
        )
    asked = {"block_s": options.block_s is not None, "centred": options.centred, "nuisance": bool(options.nuisance)}
    for name, given in asked.items():
        if given:
            raise BadConfiguration(
                f"{name} needs a recording of responses, but {source} holds similarities; leave {name} out"
            )


def _rows_of_items(items: NDArray[np.str_], activations: Activations, source: Path) -> NDArray[np.intp]:
    """The row of each item in the activations, matched by name."""
    if activations.sample_kind != "item":
        raise SampleMismatch(
            f"{activations.path} is sampled in time, but {source} lists items; use a stimulus of images or clips"
        )
    row_of = {str(item): row for row, item in enumerate(activations.clock())}
    missing = [str(item) for item in items if str(item) not in row_of]
    if missing:
        raise SampleMismatch(
            f"item '{missing[0]}' of {source} ({len(missing)} of {len(items)} items) is not in {activations.path}; "
            "prepare and activate the same stimulus again"
        )
    return np.array([row_of[str(item)] for item in items])
