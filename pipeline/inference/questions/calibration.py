"""Whether a study's own tests and intervals keep what they promise: shares, counted over data sets of known truth.

Standard errors are binomial, at the promised share; where shares of whole data sets scatter more than that (regions of
one data set share their noise), they are those of a mean over data sets. A promise is broken where the share lies
beyond it by more than two of them: above "at most", or below "at least". Tests and intervals that promise too little
are no mistake.

What an interval should cover is known for nothing (0), else it is the mean over all *other* data sets of the same
region, n − 1 of them. That mean has an error too, of which the promise takes account: an exact interval at the level
2Φ(z) − 1 covers it in 2Φ(z/√(1 + 1/(n − 1))) − 1. All data sets have the same stimuli, so intervals over items or
blocks, which stand for other stimuli too, may cover more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.artifacts.identifiability import FITTED, NOTHING, PLANTED
from pipeline.inference.scores.null_scores import SIGNIFICANT_BELOW

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

AT_MOST, AT_LEAST = "at most", "at least"
TOO_FAR = 2.0
"""Standard errors beyond a promise."""
CREDIBLE = 0.95
Row = dict[str, Any]


def calibration_rows(where: Row, found: xr.Dataset, identified: list[Row]) -> list[Row]:
    """Rows of table ``calibration`` of one group; a single one that says why, where its samples allow no data sets.

    Parameters
    ----------
    where : study, analysis, metric, group and subject
    found : identifiability
    identified : rows on layers made from it, whose credible sets are counted too
    """
    model = next((str(row["model"]) for row in identified), "")
    where = {**where, "model": model}
    n_sets, why = found.sizes["data_set"], str(found.attrs["no_calibration"])
    if not n_sets:
        return [{**where, **_nothing_counted(), "untested": why}] if why else []
    confidence = float(found.attrs["confidence"])
    nothing, planted = (found.sel(given=given) for given in (NOTHING, PLANTED))
    there = found["test_amplitude"].values > 0
    counted = [
        (NOTHING, "p", _below(nothing["test_p"].values), SIGNIFICANT_BELOW, AT_MOST),
        (NOTHING, "any", _any(nothing["test_found"].values), SIGNIFICANT_BELOW, AT_MOST),
        (NOTHING, "above", _above(nothing), (1 - confidence) / 2, AT_MOST),
        (NOTHING, "zero", _covers(nothing, "test_", 0.0), confidence, AT_LEAST),
        (NOTHING, "difference", *_of_others(nothing, "test_difference", confidence), AT_LEAST),
    ]
    if there.any():
        planted = planted.isel(region=np.flatnonzero(there))
        counted += [
            (PLANTED, "found", planted["test_found"].values, float("nan"), ""),
            (PLANTED, "score", *_of_others(planted, "test_score", confidence), AT_LEAST),
            (PLANTED, "difference", *_of_others(planted, "test_difference", confidence), AT_LEAST),
            (PLANTED, "set", planted["test_in_set"].values, confidence, AT_LEAST),
        ]
    rows = [
        {**where, "kind": kind, "statistic": statistic, **count(hit, wanted, promise), "untested": ""}
        for kind, statistic, hit, wanted, promise in counted
    ]
    rows += [
        {**where, **one, "untested": ""} for one in _credible([row for row in identified if row["model"] == model])
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
    by_set = [one[np.isfinite(one)].mean() for one in hit.reshape(hit.shape[0], -1) if np.isfinite(one).any()]
    se = binomial_se(wanted if promise else share, of)
    if len(by_set) > 1:
        se = max(se, float(np.std(by_set, ddof=1) / np.sqrt(len(by_set))))
    return {
        "n": n,
        "of": of,
        "n_data_sets": len(by_set),
        "share": share,
        "se": se,
        "wanted": wanted,
        "promise": promise,
        "kept": int(is_kept(share, se, wanted, promise)),
    }


def binomial_se(share: float, of: int) -> float:
    """Of a share of so many; of 0 and 1 as if one were otherwise."""
    return float(np.sqrt(max(share * (1 - share), 1 / of) / of)) if of else float("nan")


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
    """(data set, region) → (data set, 1)."""
    return np.asarray((np.nan_to_num(found) > 0).any(axis=1, keepdims=True), np.float64)


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


def _credible(identified: list[Row]) -> list[Row]:
    """Credible sets of simulated responses that hold the planted layer."""
    own = [row for row in identified if row["readout"] == FITTED]
    sizes = [int(row["n_repeats"]) * int(row["n_layers"]) for row in own]
    of = sum(sizes)
    if not of:
        return []
    n = round(sum(row["coverage"] * size for row, size in zip(own, sizes, strict=True)))
    se, share = binomial_se(CREDIBLE, of), n / of
    kept = int(is_kept(share, se, CREDIBLE, AT_LEAST))
    counts = {"n": n, "of": of, "n_data_sets": max(int(row["n_repeats"]) for row in own), "share": share, "se": se}
    return [{"kind": PLANTED, "statistic": "credible", **counts, "wanted": CREDIBLE, "promise": AT_LEAST, "kept": kept}]
