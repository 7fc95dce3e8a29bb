"""Whether a study's own tests and intervals keep what they promise: shares, counted over data sets of known truth.

Standard errors are binomial, at the promised share, times what whole data sets scatter more than independent regions
would (regions of one data set share their noise, and so do layers and regions of one repeat; see `clustered_se`). A
promise is broken where the share lies beyond it by more than two of them: above "at most", or below "at least". Tests
and intervals that promise too little are no mistake.

What an interval should cover is known for nothing (0), else it is the mean over all *other* data sets of the same
region, n − 1 of them. That mean has an error too, of which the promise takes account: an exact interval at the level
2Φ(z) − 1 covers it in 2Φ(z/√(1 + 1/(n − 1))) − 1. All data sets have the same stimuli, so intervals over items or
blocks, which stand for other stimuli too, may cover more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.artifacts.identifiability import NOTHING, PLANTED
from pipeline.inference.questions.confusion import CREDIBLE, clustered_se
from pipeline.inference.scores.null_scores import SIGNIFICANT_BELOW

if TYPE_CHECKING:
    from collections.abc import Sequence

    import xarray as xr
    from numpy.typing import NDArray

AT_MOST, AT_LEAST = "at most", "at least"
TOO_FAR = 2.0
"""Standard errors beyond a promise."""
Row = dict[str, Any]


def calibration_rows(where: Row, found: xr.Dataset, covered: Sequence[NDArray[np.float64]]) -> list[Row]:
    """Rows of table ``calibration`` of one group; a single one that says why, where its samples allow no data sets.

    Parameters
    ----------
    where : study, analysis, metric, group and subject
    found : identifiability
    covered : of each region (repeat, layer), 1 where a credible set holds the layer of the calibrated network that
        responses were simulated from, by read-outs as fitted
    """
    model = str(found.attrs["calibrated"])
    where = {**where, "model": model}
    n_sets, why = found.sizes["data_set"], str(found.attrs["no_calibration"])
    if not n_sets:
        return [{**where, **_nothing_counted(), "untested": why}] if why else []
    confidence, orders = float(found.attrs["confidence"]), int(found.attrs["test_orders"])
    n_layers = int((found["planted_model"].values.astype(str) == model).sum())
    nothing, planted = (found.sel(given=given) for given in (NOTHING, PLANTED))
    there = found["test_amplitude"].values > 0
    counted = [
        (NOTHING, "p", _below(nothing["test_p"].values), SIGNIFICANT_BELOW, AT_MOST),
        (NOTHING, "above", _above(nothing), (1 - confidence) / 2, AT_MOST),
        (NOTHING, "zero", _covers(nothing, "test_", 0.0), confidence, AT_LEAST),
        (NOTHING, "difference", *_of_others(nothing, "test_difference", confidence), AT_LEAST),
    ]
    if orders:  # without, regions are found by their intervals, which promise nothing of any of several
        counted.insert(1, (NOTHING, "any", _any(nothing["test_found"].values), SIGNIFICANT_BELOW, AT_MOST))
    if there.any():
        planted = planted.isel(region=np.flatnonzero(there))
        counted += [
            (PLANTED, "found" if orders else "above", planted["test_found"].values, float("nan"), ""),
            (PLANTED, "score", *_of_others(planted, "test_score", confidence), AT_LEAST),
            (PLANTED, "difference", *_of_others(planted, "test_difference", confidence), AT_LEAST),
        ]
        if n_layers > 1:  # a single one is always in the set
            counted.append((PLANTED, "set", planted["test_in_set"].values, confidence, AT_LEAST))
    if covered:
        counted.append((PLANTED, "credible", np.concatenate(covered, axis=1), CREDIBLE, AT_LEAST))
    rows = [
        {**where, "kind": kind, "statistic": statistic, **count(hit, wanted, promise), "untested": ""}
        for kind, statistic, hit, wanted, promise in counted
    ]
    return [row for row in rows if row["of"]]


def count(hit: NDArray[Any], wanted: float, promise: str) -> Row:
    """Share of what was hit, with its error, beside what is promised.

    Parameters
    ----------
    hit : (data set, …), 1 or 0; NaN does not count
    wanted : the promised share, NaN for none
    promise : ``at most``, ``at least`` or empty
    """
    known = np.isfinite(hit)
    n, of = int(hit[known].sum()), int(known.sum())
    share = n / of if of else float("nan")
    se = clustered_se(hit, wanted if promise else share)
    return {
        "n": n,
        "of": of,
        "n_data_sets": int(known.reshape(hit.shape[0], -1).any(axis=1).sum()),
        "share": share,
        "se": se,
        "wanted": wanted,
        "promise": promise,
        "kept": int(is_kept(share, se, wanted, promise)),
    }


def is_kept(share: float, se: float, wanted: float, promise: str) -> bool:
    """Whether a share is not beyond its promise by more than two standard errors."""
    beyond = {AT_MOST: share - wanted, AT_LEAST: wanted - share}.get(promise, 0.0)
    return not beyond > TOO_FAR * se


def _nothing_counted() -> Row:
    unknown = float("nan")
    counts = {"n": 0, "of": 0, "n_data_sets": 0, "share": unknown, "se": unknown, "wanted": unknown}
    return {"kind": "", "statistic": "", **counts, "promise": "", "kept": 1}


def _below(p: NDArray[Any]) -> NDArray[Any]:
    return np.where(np.isfinite(p), p < SIGNIFICANT_BELOW, np.nan)


def _any(found: NDArray[Any]) -> NDArray[Any]:
    """(data set, region) → (data set, 1); NaN of a data set without a score."""
    known = np.isfinite(found).any(axis=1, keepdims=True)
    return np.where(known, (np.nan_to_num(found) > 0).any(axis=1, keepdims=True), np.nan)


def _above(one: xr.Dataset) -> NDArray[Any]:
    low = one["test_low"].values
    return np.where(np.isfinite(low), low > 0, np.nan)


def _covers(one: xr.Dataset, name: str, truth: NDArray[Any] | float) -> NDArray[Any]:
    low, high = one[f"{name}low"].values, one[f"{name}high"].values
    known = np.isfinite(low) & np.isfinite(high) & np.isfinite(truth)
    return np.where(known, (low <= truth) & (truth <= high), np.nan)


def _of_others(one: xr.Dataset, name: str, confidence: float) -> tuple[NDArray[Any], float]:
    """Whether intervals cover the mean over all other data sets, and how often exact ones would."""
    from scipy.stats import norm

    value = one[name].values
    known = np.isfinite(value)
    n = known.sum(axis=0)
    total = np.where(known, value, 0.0).sum(axis=0)
    others = np.where(known & (n > 1), (total - np.where(known, value, 0.0)) / np.maximum(n - 1, 1), np.nan)
    level = norm.ppf((1 + confidence) / 2) / np.sqrt(1 + 1 / max(1, value.shape[0] - 1))
    prefix = "test_" if name == "test_score" else f"{name}_"
    return _covers(one, prefix, others), float(2 * norm.cdf(level) - 1)
