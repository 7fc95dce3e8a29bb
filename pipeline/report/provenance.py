"""What was run: package versions, wall time per stage, and the map's tables as downloads."""

from __future__ import annotations

import base64
import dataclasses
import gzip
import io
import platform
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import __version__
from pipeline.artifacts.map import csv_path
from pipeline.core import paths
from pipeline.core.errors import BrokenArtifact, LayermapError
from pipeline.core.keys import slug
from pipeline.core.spreadsheet import write_csv
from pipeline.formats.tables import read_table
from pipeline.report.views import ALL, MEAN
from pipeline.study.plan import AnalysisPlan, StudyPlan

if TYPE_CHECKING:
    import pandas as pd

PACKAGES = (
    "snakemake",
    "numpy",
    "scipy",
    "scikit-learn",
    "pandas",
    "xarray",
    "zarr",
    "torch",
    "transformers",
    "plotly",
)
PLAIN_UP_TO_BYTES = 200_000
COMPRESSED_UP_TO_BYTES = 1_000_000
CORTEX_UP_TO_BYTES = 400_000  # the page holds these numbers already, to be hovered
TITLES = {
    "row": "Every layer and region",
    "summary": "One line per region and model",
    "contrast": "Contrasts and depth order",
}
WHERE_THERE_IS_ANY = {"variance": "Unique contributions and shares of explained variance"}
OF_THE_CORTEX = {"unit": "Every parcel or vertex", "surface": "Which unit each vertex of the cortex shows"}


@dataclasses.dataclass(frozen=True)
class Download:
    """A table inside the page.

    Parameters
    ----------
    uri : ``data:`` address with the file's bytes; empty for a file that is too large for the page
    note : what was left out, or that it is compressed
    """

    title: str
    file_name: str
    uri: str
    n_bytes: int
    note: str


@dataclasses.dataclass(frozen=True)
class StageTime:
    """Wall time of one stage.

    Parameters
    ----------
    seconds : sum over the jobs that were measured; None if none was
    """

    stage: str
    seconds: float | None
    n_measured: int
    n_jobs: int


def versions() -> list[tuple[str, str]]:
    """Versions of what computes, of the environment that writes the page."""
    found = [("layermap", __version__), ("Python", platform.python_version())]
    for name in PACKAGES:
        try:
            found.append((name, metadata.version(name)))
        except metadata.PackageNotFoundError:
            continue
    return found


def stage_times(plan: StudyPlan) -> list[StageTime]:
    """Sums of the wall times that Snakemake measured for this study's jobs, stage by stage."""
    files: dict[str, dict[Path, None]] = {
        name: {} for name in ("catalogue", "fetch", "prepare", "activate", "encode", "compare")
    }
    for analysis in plan.analyses:
        for stage, found in _benchmarks(analysis).items():
            files[stage] |= dict.fromkeys(found)
    files["map"] = {paths.benchmark("map", plan.name): None}
    return [_stage_time(stage, list(found)) for stage, found in files.items() if found]


def _benchmarks(plan: AnalysisPlan) -> dict[str, list[Path]]:
    """Benchmark files of an analysis' jobs, as the rules name them."""
    dataset, catalogue = plan.dataset, plan.dataset.open_catalogue()
    named = f"{dataset.kind}-{dataset.key}"
    prepared = [(dataset.stimulus_key, stimulus.name) for stimulus in catalogue.stimuli]
    prepared += [(dataset.prep_key, name) for name in catalogue.recordings]
    return {
        "catalogue": [paths.benchmark("catalogue", named)],
        "fetch": [
            paths.benchmark("fetch", named),
            *(paths.benchmark("fetch", f"weights-{slug(name)}") for name in plan.weights),
        ],
        "prepare": [paths.benchmark("prepare", f"{dataset.kind}-{key}", name) for key, name in prepared],
        "activate": [
            paths.benchmark(
                "activate", f"{dataset.kind}-{stimulus.name}", f"{model.slug}-{model.act_key(dataset, stimulus.name)}"
            )
            for stimulus in catalogue.stimuli
            for model in plan.models
        ],
        plan.stage: [
            paths.benchmark(plan.stage, plan.study, plan.name, group.name, model.name)
            for group in catalogue.groups
            for model in plan.models
        ],
    }


def _stage_time(stage: str, files: list[Path]) -> StageTime:
    seconds = [found for path in files if (found := _wall_s(path)) is not None]
    return StageTime(stage, sum(seconds) if seconds else None, len(seconds), len(files))


def _wall_s(path: Path) -> float | None:
    """Column ``s`` of a Snakemake benchmark; None where it is absent or unreadable, which spoils no page."""
    try:
        return read_table(path).numbers("s")[0]
    except LayermapError:
        return None


def downloads(map_path: Path, tables: dict[str, pd.DataFrame]) -> list[Download]:
    """The map's tables inside the page, those of variance and the cortex only if they hold anything.

    Large ones are compressed; very large ones are without single subjects, or left out if that does not help.

    Raises
    ------
    BrokenArtifact
        A CSV file beside the map is missing.
    """
    titles = TITLES | {
        table: title for table, title in (WHERE_THERE_IS_ANY | OF_THE_CORTEX).items() if len(tables[table])
    }
    return [_download(csv_path(map_path, table), title, tables[table]) for table, title in titles.items()]


def _download(path: Path, title: str, table: pd.DataFrame) -> Download:
    if not path.is_file():
        raise BrokenArtifact(f"{path} is missing; make it with: snakemake map --forcerun map_study")
    contents = path.read_bytes()
    if len(contents) <= PLAIN_UP_TO_BYTES:
        return Download(title, path.name, _uri("text/csv", contents), len(contents), "")
    packed, note = gzip.compress(contents, mtime=0), "compressed with gzip"
    if len(packed) > COMPRESSED_UP_TO_BYTES and "subject" in table:
        text = io.StringIO()
        write_csv(table[table["subject"].isin([ALL, MEAN])], text, str(path))
        packed = gzip.compress(text.getvalue().encode(), mtime=0)
        note = f"compressed with gzip; averages only, single subjects are in {path}"
    if title in OF_THE_CORTEX.values() and len(packed) > CORTEX_UP_TO_BYTES:
        return Download(title, path.name, "", len(contents), f"too large for this page, see {path}")
    return Download(title, f"{path.name}.gz", _uri("application/gzip", packed), len(packed), note)


def _uri(kind: str, contents: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(contents).decode()}"
