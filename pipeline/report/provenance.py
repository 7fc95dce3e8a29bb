"""What was run: package versions, wall time per stage, and the map's tables as downloads."""

from __future__ import annotations

import base64
import dataclasses
import gzip
import io
import platform
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import __version__
from pipeline.artifacts.map import csv_path
from pipeline.core.errors import BrokenArtifact, LayermapError
from pipeline.core.spreadsheet import write_csv
from pipeline.formats.tables import read_table
from pipeline.report.views import ALL, MEAN

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


def stage_times(benchmarks: Mapping[str, Iterable[Path]]) -> list[StageTime]:
    """Sums of the wall times that Snakemake measured, stage by stage.

    Parameters
    ----------
    benchmarks : stage → the benchmark files of its jobs; a stage without jobs is left out
    """
    found = {stage: list(files) for stage, files in benchmarks.items()}
    return [_stage_time(stage, files) for stage, files in found.items() if files]


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
