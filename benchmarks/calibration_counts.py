"""What is counted of the maps of many simulated studies, and the tables of it.

Places of one study share its features and its samples, so the unit of every standard error is the study: a share is the
mean over studies of each study's own share.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

COLUMNS = {
    "row": ("score", "ci_low", "ci_high", "r2", "r2_ci_low", "r2_ci_high", "p", "p_family", "q"),
    "summary": (
        *("best_layer_score", "ci_low", "ci_high", "r2", "r2_ci_low", "r2_ci_high", "p", "p_family", "q"),
        *("depth_index", "depth_ci_low", "depth_ci_high"),
    ),
    "unit": ("score", "ci_low", "ci_high", "p", "p_family", "q"),
    "contrast": ("difference", "ci_low", "ci_high", "p", "p_family"),
}
"""Of the map's tables; a table that has rows lacks none of them."""
LABELS = {
    "row": ("model", "subject"),
    "summary": ("model", "subject", "region", "best_layer", "best_layer_set"),
    "unit": ("model",),
    "contrast": ("subject", "region"),
}
DIGITS = 5
CONFIDENCE = 0.95

Record = dict[str, Any]


def figures_of(tables: dict[str, pd.DataFrame], *, allow_missing: bool = False) -> dict[str, dict[str, list[Any]]]:
    """What is kept of a map: table → column → values, numbers to five digits and None where undefined.

    Of several subjects, only the mean over them is kept.

    Parameters
    ----------
    allow_missing : leave out columns that the map does not have, to count what an earlier version gives

    Raises
    ------
    ValueError
        A table has rows, but lacks a column.
    """
    kept: dict[str, dict[str, list[Any]]] = {}
    for name, columns in COLUMNS.items():
        table = tables[name]
        if not len(table):
            continue
        if "subject" in table and (table["subject"] == "all").any():
            table = table[table["subject"] == "all"]
        missing = [column for column in columns if column not in table]
        if missing and not allow_missing:
            raise ValueError(f"table '{name}' of the map lacks: {', '.join(missing)}")
        kept[name] = {column: [str(value) for value in table[column]] for column in LABELS[name]}
        for column in columns:
            if column in table:
                kept[name][column] = [_rounded(value) for value in table[column]]
    return kept


def _rounded(value: float) -> float | None:
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None


@dataclasses.dataclass(frozen=True)
class Share:
    """A share over studies with its standard error; ``of`` is how many values were looked at."""

    mean: float
    error: float
    of: int

    def __str__(self) -> str:
        return f"{self.mean:.3f} ± {self.error:.3f}" if self.of else "—"


def share(values: Sequence[NDArray[Any]]) -> Share:
    """Mean over studies of each one's mean; studies without values are left out."""
    each = np.array([value.mean() for value in values if value.size])
    if not each.size:
        return Share(math.nan, math.nan, 0)
    error = each.std(ddof=1) / np.sqrt(each.size) if each.size > 1 else math.nan
    return Share(float(each.mean()), float(error), sum(value.size for value in values))


def numbers(record: Record, table: str, column: str) -> NDArray[np.float64] | None:
    """A column with NaN where it is undefined; None where the study has no such table or column."""
    values = record["tables"].get(table, {}).get(column)
    return None if values is None else np.array([np.nan if value is None else value for value in values])


def each(records: Sequence[Record], table: str, columns: Sequence[str]) -> list[NDArray[np.float64]]:
    """(columns, places) of every study that has them, places with an undefined value left out."""
    found = []
    for record in records:
        values = [numbers(record, table, column) for column in columns]
        if all(value is not None for value in values):
            stacked = np.stack([value for value in values if value is not None])
            found.append(stacked[:, np.isfinite(stacked).all(axis=0)])
    return found


def rejections(records: Sequence[Record], table: str, column: str, below: float) -> Share:
    """Share of places whose p is below a level."""
    return share([values[0] < below for values in each(records, table, [column])])


def above_zero(records: Sequence[Record], table: str, low: str) -> Share:
    """Share of intervals that lie above 0."""
    return share([values[0] > 0 for values in each(records, table, [low])])


def any_of_family(records: Sequence[Record], table: str, column: str, holds: Callable[[Any], Any]) -> Share:
    """Share of families (places of one model) in any of which something holds."""
    families = []
    for record in records:
        values = numbers(record, table, column)
        if values is not None:
            model = np.array(record["tables"][table]["model"])
            families.append(
                np.array([bool(holds(values[model == one]).any()) for one in dict.fromkeys(model.tolist())])
            )
    return share(families)


@dataclasses.dataclass(frozen=True)
class Coverage:
    """Share of intervals that hold the truth, and means of what was looked at."""

    share: Share
    width: float = math.nan
    truth: float = math.nan
    estimate: float = math.nan


def coverage(
    records: Sequence[Record], table: str, estimate: str, low: str, high: str, truth: float | None
) -> Coverage:
    """How often intervals hold the truth.

    Parameters
    ----------
    truth : None for the mean of each place's estimates over all studies of one size: what the procedure gives on
        average
    """
    inside, looked_at = [], []
    for variant in sorted({int(record["variant"]) for record in records}):
        own = [record for record in records if record["variant"] == variant]
        columns = [[numbers(record, table, name) for record in own] for name in (estimate, low, high)]
        if any(values is None for column in columns for values in column):
            continue
        estimates, lows, highs = (np.stack([v for v in column if v is not None]) for column in columns)
        means = _mean_over_studies(estimates) if truth is None else np.full(estimates.shape[1], truth)
        truths = np.broadcast_to(means, estimates.shape)
        defined = np.isfinite(estimates) & np.isfinite(lows) & np.isfinite(highs)
        held = (lows <= truths) & (truths <= highs)
        inside += [one[here] for one, here in zip(held, defined, strict=True)]
        looked_at.append(np.stack([(highs - lows)[defined], truths[defined], estimates[defined]]))
    found = share(inside)
    if not found.of:
        return Coverage(found)
    width, mean_truth, mean_estimate = np.concatenate(looked_at, axis=1).mean(axis=1)
    return Coverage(found, float(width), float(mean_truth), float(mean_estimate))


def _mean_over_studies(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """(study, place) → (place,); NaN where a place is never defined."""
    defined = np.isfinite(values)
    total = np.where(defined, values, 0).sum(axis=0)
    return np.where(defined.any(axis=0), total / np.maximum(defined.sum(axis=0), 1), np.nan)


def uniformity(records: Sequence[Record], table: str, column: str) -> float:
    """p of a Kolmogorov–Smirnov test of the first place's p against uniform, one of each study; NaN below 20.

    Permutations give p in steps, of which the middle is taken.
    """
    from scipy.stats import kstest

    pairs = [
        (values[0, 0], record["permutations"])
        for record in records
        for values in each([record], table, [column])
        if values.size
    ]
    if len(pairs) < 20:
        return math.nan
    return float(kstest([p - 0.5 / (1 + n) for p, n in pairs], "uniform").pvalue)


def verdict(found: Share, wanted: float, *, at_least: bool = False) -> str:
    """Whether a share is as wanted within two standard errors; those of the share wanted where none was counted."""
    bound = f"{'≥' if at_least else '≤'} {wanted:g}".replace("0.", ".")
    if not found.of:
        return f"{bound}: none"
    error = found.error if found.error > 0 else 0.0
    good = found.mean + 2 * error >= wanted if at_least else found.mean - 2 * error <= wanted
    return f"{bound}: {'met' if good else 'missed'}"


REJECTION_HEADER = ("study", "n", "what", "values", "share ± SE", "wanted", "uniform (KS p)")
COVERAGE_HEADER = (
    "study",
    "n",
    "interval",
    "truth",
    "mean estimate",
    "values",
    "coverage ± SE",
    "wanted",
    "mean width",
)
LAYER_HEADER = ("study", "n", "what", "values", "share ± SE", "wanted")


def rejection_rows(name: str, records: Sequence[Record], null: Sequence[str]) -> list[list[str]]:
    """How often nothing is found to be something.

    Parameters
    ----------
    null : tables in which nothing is to be found
    """
    rows: list[list[str]] = []

    def add(what: str, found: Share, wanted: float, ks: float = math.nan) -> None:
        if found.of:
            uniform = "" if math.isnan(ks) else f"{ks:.2g}"
            rows.append([name, str(len(records)), what, str(found.of), str(found), verdict(found, wanted), uniform])

    for table in null:
        for level in (0.05, 0.01):
            ks = uniformity(records, table, "p") if level == 0.05 else math.nan
            add(f"{table}: p < {level:g}", rejections(records, table, "p", level), level, ks)
        if table == "contrast":
            add("contrast: interval above 0", above_zero(records, table, "ci_low"), 0.025)
            continue
        for column in ("p_family", "q"):
            found = any_of_family(records, table, column, lambda values: values < 0.05)
            add(f"{table}: any {column} < .05 in a model", found, 0.05)
        add(f"{table}: score interval above 0", above_zero(records, table, "ci_low"), 0.025)
        add(f"{table}: R² interval above 0", above_zero(records, table, "r2_ci_low"), 0.025)
        if table == "summary":
            found = any_of_family(records, table, "ci_low", lambda low: low > 0)
            add("summary: any region's score interval above 0 in a model", found, 0.05)
    return rows


def coverage_rows(name: str, records: Sequence[Record], zero: Sequence[str]) -> list[list[str]]:
    """How often intervals hold what they are intervals of.

    Parameters
    ----------
    zero : tables whose score or difference is 0 in truth; of others it is the mean over studies, as R² always is
    """
    rows: list[list[str]] = []
    for table, estimate in (("summary", "best_layer_score"), ("row", "score"), ("unit", "score")):
        _add_coverage(rows, name, records, table, estimate, "ci", 0.0 if table in zero else None)
        _add_coverage(rows, name, records, table, "r2", "r2_ci", None)
    _add_coverage(rows, name, records, "contrast", "difference", "ci", 0.0 if "contrast" in zero else None)
    _add_coverage(rows, name, records, "summary", "depth_index", "depth_ci", None)
    return rows


def _add_coverage(
    rows: list[list[str]],
    name: str,
    records: Sequence[Record],
    table: str,
    estimate: str,
    bounds: str,
    truth: float | None,
) -> None:
    found = coverage(records, table, estimate, f"{bounds}_low", f"{bounds}_high", truth)
    if found.share.of:
        wanted = verdict(found.share, CONFIDENCE, at_least=True)
        what = f"{found.truth:.3f}" if truth is not None else "mean over studies"
        texts = [what, f"{found.estimate:.3f}", str(found.share.of), str(found.share), wanted, f"{found.width:.3f}"]
        rows.append([name, str(len(records)), f"{table}: {estimate}", *texts])


def layer_rows(name: str, records: Sequence[Record]) -> list[list[str]]:
    """Planted layers: how often they are found, named, held by the set and by the interval of depth."""
    found: dict[str, list[NDArray[Any]]] = {}
    for record in records:
        table = record["tables"]["summary"]
        own = np.array([model == "net" for model in table["model"]])
        layer = [f"layer{record['planted_layer'][region]}" for region in table["region"]]
        depth = np.array([record["planted"][region] for region in table["region"]])
        members = [planted in held.split(" | ") for planted, held in zip(layer, table["best_layer_set"], strict=True)]
        sizes = np.array([held.count(" | ") + 1 for held in table["best_layer_set"]])
        named = np.array(layer) == np.array(table["best_layer"])
        shares = {"set holds the planted layer": np.array(members), "planted layer is named": named}
        low, high = (numbers(record, "summary", f"depth_ci_{end}") for end in ("low", "high"))
        for what, values in (*shares.items(), ("layers in the set", sizes)):
            found.setdefault(what, []).append(values[own])
        if low is not None and high is not None:
            defined = own & np.isfinite(low) & np.isfinite(high)
            inside = (low <= depth + 1e-9) & (depth - 1e-9 <= high)
            found.setdefault("interval of depth holds the planted depth", []).append(inside[defined])
        for column in ("p", "p_family"):
            p = numbers(record, "summary", column)
            if p is not None:
                found.setdefault(f"{column} < .05 where a layer is planted", []).append((p < 0.05)[own])
        if low_score := _own_low(record, own):
            found.setdefault("score interval above 0 where a layer is planted", []).append(low_score[0] > 0)
    rows = []
    for what, values in found.items():
        counted = share(values)
        wanted = verdict(counted, CONFIDENCE, at_least=True) if "holds" in what else ""
        rows.append([name, str(len(records)), what, str(counted.of), str(counted), wanted])
    return rows


def _own_low(record: Record, own: NDArray[Any]) -> list[NDArray[np.float64]]:
    low = numbers(record, "summary", "ci_low")
    return [] if low is None else [low[own]]
