"""Map artifact: the layer-by-region table, its summaries per region, its contrasts, and maps of the cortex.

``data/maps/<study>.nc`` holds ten tables as variables over the dims ``row``, ``summary``, ``contrast``, ``unit``,
``surface``, ``variance``, ``identifiability``, ``confusion``, ``recovery`` and ``calibration``; ``<study>.csv``,
``<study>-summary.csv``, ``<study>-contrasts.csv``, ``<study>-units.csv`` and so on are the same tables. Units and
surface are empty, header apart, where no recording lies on a surface, variance where no layer was fitted jointly with
feature spaces, and the last four where no responses were simulated. ``<study>.sha256`` lists the digests of all of
them, as ``sha256sum`` does; it is written last, so files of two runs are never taken for one map.

``subject`` is a subject's name; ``mean`` where the **responses** were averaged over subjects before they
were scored; ``all`` where the **scores** of several subjects were averaged.
``ci_unit`` is what an interval was drawn over: ``subject``, ``block``, ``item``, or ``subject and item`` where both
were; a contrast over several regions, some of which have few animals, joins them: ``subject and block``.

* rows — one per (analysis, metric, group, subject, model, layer, region, compartment): `ROW_COLUMNS`
* summaries — one per (analysis, metric, group, subject, model, region, compartment): `SUMMARY_COLUMNS`
* contrasts — one per (contrast, group, subject, region, compartment): `CONTRAST_COLUMNS`
* units — one per (analysis, metric, group, subject, model, unit); a unit is what is recorded in every listener under
  one name, a parcel or a vertex: `UNIT_COLUMNS`
* surface — one per painted vertex of an analysis' mesh, with the unit that it shows: `SURFACE_COLUMNS`
* variance — one per (analysis, metric, group, subject, model, layer or nested best layer, region, compartment, space):
  `VARIANCE_COLUMNS`; scores within categories have none
* identifiability — one per (analysis, group, region, readout, model): `IDENTIFIABILITY_COLUMNS`
* confusion — one per pair of a planted and a named layer of these: `CONFUSION_COLUMNS`
* recovery — one per (analysis, group, region, readout, planted model, named model): `RECOVERY_COLUMNS`
* calibration — one per (analysis, group, kind, statistic): `CALIBRATION_COLUMNS`; a single one without a statistic
  where the samples allow no data sets, and none where none were wanted
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.artifacts.storage.contract import Contract, read_netcdf, write_netcdf
from pipeline.artifacts.storage.store import write_whole
from pipeline.core.errors import BrokenArtifact
from pipeline.core.spreadsheet import write_csv

if TYPE_CHECKING:
    import pandas as pd

# column → kind of value: s text, f number (NaN where undefined), i count
_WHERE = {
    "study": "s",
    "analysis": "s",
    "metric": "s",
    "group": "s",
    "subject": "s",
    "model": "s",
    "objective": "s",
    "pathway": "s",
}
_RELIABILITY = {
    "reliability": "f",  # mean over the targets, small and negative ones as they are; NaN where unknown
    "reliability_ci_low": "f",  # jackknife over held-out blocks, stretches or items, also where ci_unit is subject
    "reliability_ci_high": "f",
    "n_below_floor": "i",  # targets whose own reliability is below the floor; they count like the others
    "signal_power": "f",  # share of the variance of single repeats that repeats; NaN without repeats
    "ceiling": "f",  # what the score is divided by; NaN unless the reliability is surely above the floor
    "ceiling_kind": "s",
    "score_normalised": "f",
    "score_normalised_ci_low": "f",  # of the score's error and the ceiling's, as if they were independent
    "score_normalised_ci_high": "f",
}
ROW_COLUMNS = {
    **_WHERE,
    "layer": "s",
    "layer_index": "i",
    "relative_depth": "f",
    "region": "s",
    "compartment": "s",
    "score": "f",
    "ci_low": "f",
    "ci_high": "f",
    "ci_unit": "s",
    "p": "f",  # one-sided: a score this high where nothing predicts; NaN where that was not tried
    "p_family": "f",  # of the largest of all layers and regions (or compartments) of one model and subject
    "q": "f",  # Benjamini–Hochberg over the same
    "n_permutations": "i",  # orders of the responses behind them: the smallest p is 1/(1 + n); 0 where not tested
    **_RELIABILITY,
    "r2": "f",  # 1 − Σ(y − p)² / Σ(y − ȳ)² within each outer fold, averaged as the score is; NaN for similarities
    "r2_ci_low": "f",
    "r2_ci_high": "f",
    "r2_normalised": "f",  # divided by the reliability
    "n_targets": "i",
    "n_subjects": "i",
    "penalty_edge_low": "f",  # share of targets × folds whose penalty is the smallest of the grid; NaN without a grid
    "penalty_edge_high": "f",
    "best_layer": "s",  # nested choice of this row's (subject, model, region), repeated on each of its rows
    "best_layer_score": "f",
    "best_layer_set": "s",  # names joined by ' | '
}
SUMMARY_COLUMNS = {
    **_WHERE,
    "region": "s",
    "compartment": "s",
    "best_layer": "s",  # the most frequent nested choice
    "best_layer_choices": "s",  # one per fold or split, joined by ' | '
    "best_layer_index": "f",
    "best_layer_depth": "f",
    "best_layer_score": "f",  # held-out score of the nested choice
    "ci_low": "f",
    "ci_high": "f",
    "ci_unit": "s",
    "p": "f",  # one-sided: a score this high where nothing predicts; NaN where that was not tried
    "p_family": "f",  # of the largest of all regions (or compartments) of one model, or pathway, and subject
    "q": "f",  # Benjamini–Hochberg over the same
    "n_permutations": "i",  # orders of the responses behind them: the smallest p is 1/(1 + n); 0 where not tested
    "untested": "s",  # why there is no p, in words
    "best_layer_set": "s",
    "distinguishable": "i",  # 0: the set spans more than a third of the depth
    "depth_index": "f",
    "depth_ci_low": "f",
    "depth_ci_high": "f",
    "hierarchy_index": "f",  # (place of the best layer from shallow, 1 for the first) / number of layers
    "hierarchy_ci_low": "f",
    "hierarchy_ci_high": "f",
    **_RELIABILITY,
    "r2": "f",  # of the nested choice, as its score
    "r2_ci_low": "f",
    "r2_ci_high": "f",
    "r2_normalised": "f",
    "penalty_edge_low": "f",  # share of targets × folds, each fold at the layer that is scored on it
    "penalty_edge_high": "f",
    "n_targets": "i",
    "n_constant": "i",
    "n_subjects": "i",
}
CONTRAST_COLUMNS = {
    "study": "s",
    "analysis": "s",
    "metric": "s",
    "contrast": "s",
    "group": "s",
    "subject": "s",
    "region": "s",
    "compartment": "s",
    "model": "s",
    "reference": "s",
    "model_score": "f",  # of several seeds their mean
    "n_models": "i",
    "reference_score": "f",  # of several seeds their mean
    "best_reference_score": "f",  # of the highest seed; the reference's own where there is one
    "n_references": "i",
    "difference": "f",
    "ci_low": "f",
    "ci_high": "f",
    "units_ci_low": "f",  # of trained seeds: over units alone, of these networks as they are; NaN for all others
    "units_ci_high": "f",
    "ci_unit": "s",
    "n_units": "i",
    "p": "f",  # two-sided, of no difference; against seeds, of one more of them; NaN where there is none
    "p_family": "f",  # corrected by Holm for a contrast's regions, or an order's pairs of regions, of one subject
    "q": "f",  # Benjamini–Hochberg over the same
    "p_mixed": "f",  # the same with blocks or items as a sample beside subjects (mixed model); NaN unless over subjects
    "margin": "f",  # differences smaller than this count as none, as the study states; NaN where it states no margin
    "p_equivalent": "f",  # of a true difference of the margin or more, either way (two one-sided tests)
    "p_equivalent_family": "f",  # corrected as p_family is
    "statement": "s",  # what the contrast is and is not a test of
}
UNIT_COLUMNS = {
    "study": "s",
    "analysis": "s",
    "metric": "s",
    "group": "s",
    "subject": "s",
    "model": "s",  # twins are left out
    "objective": "s",
    "unit": "s",  # as `surface` names it
    "hemisphere": "s",
    "region": "s",
    "vertex": "i",  # within the hemisphere; −1 for a unit of several vertices
    "score": "f",  # held-out score of the nested best layer, mean over listeners
    "ci_low": "f",
    "ci_high": "f",
    "ci_unit": "s",
    "p": "f",  # one-sided, pooled over units: a score this high where nothing predicts; over listeners, Student's t
    "p_family": "f",  # of the largest of all units of one group, subject and model; NaN over listeners
    "q": "f",  # Benjamini–Hochberg over the same
    "n_permutations": "i",  # orders of the responses behind them; 0 over listeners
    "significant": "i",  # q < .05
    "best_layer": "s",  # the most frequent nested choice
    "best_layer_depth": "f",
    "n_subjects": "i",
}
SURFACE_COLUMNS = {
    "study": "s",
    "analysis": "s",
    "mesh": "s",
    "hemisphere": "s",  # left or right
    "vertex": "i",  # within the hemisphere, from 0
    "unit": "s",
}
VARIANCE_COLUMNS = {
    **_WHERE,
    "nested": "i",  # 1: each fold at its nested best layer, `layer` names the most frequent; 0: one layer
    "layer": "s",
    "layer_index": "i",
    "relative_depth": "f",
    "region": "s",
    "compartment": "s",
    "space": "s",  # `layer` for the layer itself, else as the study names it
    "share_r2": "f",  # the space's share of the joint R² (product measure); shares and offset sum to it
    "share_r2_ci_low": "f",
    "share_r2_ci_high": "f",
    "weight": "f",  # chosen weight of the space, mean over targets and folds; NaN for the nested best layer
    "offset_r2": "f",  # share of the difference between training and held-out means
    "joint_r2": "f",  # of the layer and all spaces, repeated on each of the fit's rows, as is what follows
    "joint_r2_ci_low": "f",
    "joint_r2_ci_high": "f",
    "without_r2": "f",  # of the spaces without the layer
    "without_r2_ci_low": "f",
    "without_r2_ci_high": "f",
    "unique_r2": "f",  # joint − without
    "unique_r2_ci_low": "f",
    "unique_r2_ci_high": "f",
    "p": "f",  # of the unique contribution, one-sided: where the layer adds nothing; NaN where that was not tried
    "p_family": "f",  # of the largest of all layers and regions, or all nested ones, of one model and subject
    "q": "f",  # Benjamini–Hochberg over the same
    "n_permutations": "i",  # orders of what the spaces leave; 0 where not tested
    "untested": "s",  # why there is no p, in words
    "ci_unit": "s",
    "n_targets": "i",
    "n_subjects": "i",
}
_SIMULATED = {
    "study": "s",
    "analysis": "s",
    "metric": "s",
    "group": "s",
    "subject": "s",
    "region": "s",
    "readout": "s",  # fitted: as the layer's own model of the measured responses; generic: random weights
}
IDENTIFIABILITY_COLUMNS = {
    **_SIMULATED,
    "model": "s",
    "n_layers": "i",
    "n_repeats": "i",  # data sets simulated from each layer
    "n_targets": "i",  # simulated; the region may have more
    "measured_score": "f",  # nested score of the measured responses, which simulated ones are made as strong as
    "simulated_score": "f",  # of the planted layers, mean
    "n_reached": "i",  # layers that can score as high as was measured; the others are planted without noise
    "exact": "f",  # share of data sets whose own layer is named
    "exact_se": "f",  # binomial, times what repeats scatter more than that
    "within_one": "f",  # or one of its neighbours in its pathway
    "chance": "f",  # of exact
    "bits": "f",  # mutual information of planted and named layer, bias taken off
    "depth_error": "f",  # mean distance of planted and named layer in relative depth, of pairs in one pathway
    "coverage": "f",  # share of data sets whose planted layer is in the credible set, by all other repeats
    "named_layer": "s",  # for the measured responses
    "depth": "f",  # mean of the posterior over layers, given the one that was named; NaN over several pathways
    "depth_low": "f",  # shallowest and deepest layer of the 95 % credible set
    "depth_high": "f",
    "credible_set": "s",  # names joined by ' | '
    "distinguishable": "i",  # 0: the set spans more than a third of the depth, or several pathways
}
CONFUSION_COLUMNS = {
    **_SIMULATED,
    "model": "s",
    "planted_layer": "s",
    "named_layer": "s",
    "n": "i",  # data sets; pairs that never occurred are left out
}
RECOVERY_COLUMNS = {
    **_SIMULATED,
    "planted_model": "s",  # responses are from its best layer; regions where it scores above 0
    "named_model": "s",  # with the highest nested score
    "n": "i",
    "n_repeats": "i",  # data sets that have a score
}
CALIBRATION_COLUMNS = {
    "study": "s",
    "analysis": "s",
    "metric": "s",
    "group": "s",
    "subject": "s",
    "model": "s",
    "kind": "s",  # of data sets: nothing, the responses in other orders; planted, with the best layer's read-outs
    # nothing: p (< .05), any (region reliably above zero), above (intervals wholly above 0), zero (in the interval);
    # planted: found (reliably above zero; without other orders: above), set (of best layers holds the planted one, of
    # two layers or more), credible (set does);
    # score and difference (best layer − first one): the interval covers the mean over all other data sets
    "statistic": "s",
    "n": "i",  # how often it was so, of how many data sets × regions
    "of": "i",
    "n_data_sets": "i",
    "share": "f",
    "se": "f",  # binomial at the promised share, times what whole data sets scatter more than that
    "wanted": "f",  # share; NaN for what promises none
    "promise": "s",  # at most, at least or empty
    "kept": "i",  # 0: the share is beyond what is wanted by more than two standard errors
    "untested": "s",  # why there are no data sets, in words
}
TABLES = {
    "row": ROW_COLUMNS,
    "summary": SUMMARY_COLUMNS,
    "contrast": CONTRAST_COLUMNS,
    "unit": UNIT_COLUMNS,
    "surface": SURFACE_COLUMNS,
    "variance": VARIANCE_COLUMNS,
    "identifiability": IDENTIFIABILITY_COLUMNS,
    "confusion": CONFUSION_COLUMNS,
    "recovery": RECOVERY_COLUMNS,
    "calibration": CALIBRATION_COLUMNS,
}
FILES = {
    "row": "",
    "summary": "-summary",
    "contrast": "-contrasts",
    "unit": "-units",
    "surface": "-surface",
    "variance": "-variance",
    "identifiability": "-identifiability",
    "confusion": "-confusion",
    "recovery": "-recovery",
    "calibration": "-calibration",
}

MAP = Contract(
    "map",
    "map",
    {f"{table}_{column}": (table,) for table, columns in TABLES.items() for column in columns},
    ("study", "tables"),
)
_KINDS: dict[str, Any] = {"s": object, "f": "float64", "i": "int64"}


def csv_path(path: Path, table: str) -> Path:
    """Where the CSV of one table of ``<study>.nc`` lies."""
    return path.with_name(f"{path.stem}{FILES[table]}.csv")


def write_map(tables: dict[str, pd.DataFrame], attrs: dict[str, Any], path: Path) -> None:
    """Write the map as NetCDF and its tables as CSV beside it.

    Parameters
    ----------
    tables : all of `TABLES`; columns as in this module, tables may be empty
    attrs : standard attributes and ``study``
    """
    import numpy as np
    import xarray as xr

    variables = {}
    for table, columns in TABLES.items():
        frame = tables[table]
        for column, kind in columns.items():
            values = frame[column].to_numpy(_KINDS[kind]) if len(frame) else np.array([], _KINDS[kind])
            if kind == "s":
                values = np.array([str(value) for value in values], dtype=object)
            variables[f"{table}_{column}"] = (table, values)
    dataset = xr.Dataset(
        variables, attrs={**attrs, "kind": "map", "tables": json.dumps({t: list(c) for t, c in TABLES.items()})}
    )
    for table, columns in TABLES.items():
        with write_whole(csv_path(path, table)) as temporary:
            write_csv(tables[table].reindex(columns=list(columns)), temporary, str(csv_path(path, table)))
    write_netcdf(dataset, path, MAP)
    with write_whole(digests_path(path)) as temporary:
        temporary.write_text(_digests(path), encoding="utf-8")


def digests_path(path: Path) -> Path:
    """Where the digests of ``<study>.nc`` and of its tables lie."""
    return path.with_name(f"{path.stem}.sha256")


def _digested(path: Path) -> list[Path]:
    return [path, *(csv_path(path, table) for table in TABLES)]


def map_files(path: Path) -> list[Path]:
    """Everything that `write_map` leaves: ``<study>.nc`` at ``path``, its tables, and the digests of both."""
    return [*_digested(path), digests_path(path)]


def _digests(path: Path) -> str:
    """What ``sha256sum`` prints of the map's files, and what ``sha256sum -c`` takes."""
    lines = []
    for file in _digested(path):
        with open(file, "rb") as stream:
            lines.append(f"{hashlib.file_digest(stream, 'sha256').hexdigest()}  {file.name}\n")
    return "".join(lines)


def _check_digests(path: Path) -> None:
    again = f"delete {digests_path(path)} and run: snakemake map"
    try:
        stated = digests_path(path).read_text(encoding="utf-8")
        found = _digests(path)
    except (OSError, UnicodeDecodeError) as error:
        file = error.filename if isinstance(error, OSError) else digests_path(path)
        raise BrokenArtifact(f"{file} is missing or cannot be read, so the map is incomplete; {again}") from error
    if found != stated:
        odd = [line[66:] for line in found.splitlines() if line not in stated.splitlines()]
        what = path.with_name(odd[0] if odd else digests_path(path).name)
        raise BrokenArtifact(f"{what} was altered since the map was written: digests differ; {again}")


def open_map(path: Path) -> tuple[dict[str, pd.DataFrame], dict[str, Any]]:
    """Read the map's tables and attributes; raises `BrokenArtifact` naming file and variable.

    The CSV files are checked too: they are what people take away, and what the page offers.
    """
    import pandas as pd

    dataset = read_netcdf(path, MAP)
    _check_digests(path)
    tables = {
        table: pd.DataFrame({column: dataset[f"{table}_{column}"].values for column in columns})
        for table, columns in TABLES.items()
    }
    return tables, dict(dataset.attrs)
