"""Reader of one BIDS task-fMRI run: BOLD NIfTI, events.tsv, a label image of regions, confounds.

Timing: volume i is acquired from i·TR to (i + 1)·TR after the first one's start. It stands for that whole bin, and
its ``time_s`` is the bin's **end** on the clock of the stimulus, whose onset is a row of events.tsv. No slice-time
correction is undone or assumed.
"""

from __future__ import annotations

import csv
import dataclasses
import json
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import BrokenArtifact, LayermapError, SampleMismatch

if TYPE_CHECKING:
    import nibabel
    import numpy as np

REMEDY = "delete it and run: snakemake fetch --forcerun fetch_simulated"
SECONDS_PER = {"sec": 1.0, "msec": 1e-3, "usec": 1e-6, "unknown": 1.0}
TR_TOLERANCE = 1e-3  # relative; headers hold TR in single precision
CLOCK_TOLERANCE = 1e-6  # of a TR


@dataclasses.dataclass(frozen=True)
class BoldRun:
    """The voxels of labelled regions over the volumes that lie within the stimulus.

    Parameters
    ----------
    values : (n_volumes, n_voxels) float32, scanner units, not cleaned
    time_s : (n_volumes,) ends of the volumes on the stimulus clock, in s
    repetition_time_s : in s
    region : (n_voxels,) names
    number_in_region : (n_voxels,) 0, 1, … in the label image's order: the same voxel has the same number in every scan
    xyz_mm : (n_voxels, 3) in the image's space
    confounds : (n_volumes, n_confounds), or None
    """

    values: np.ndarray
    time_s: np.ndarray
    repetition_time_s: float
    region: np.ndarray
    number_in_region: np.ndarray
    xyz_mm: np.ndarray
    confounds: np.ndarray | None = None


def read_bold_run(
    bold_path: Path,
    labels_path: Path,
    regions_path: Path,
    *,
    trial_type: str,
    confounds_path: Path | None = None,
    confound_columns: tuple[str, ...] = (),
) -> BoldRun:
    """Read one run; events.tsv and the JSON sidecar are those beside the image.

    Parameters
    ----------
    bold_path : ``…_bold.nii.gz``
    labels_path : label image on the same grid; 0 is outside
    regions_path : its BIDS table with ``index`` and ``name``
    trial_type : of the row of events.tsv that starts (and by its duration ends) the stimulus
    confounds_path, confound_columns : table of confounds and the columns to take; n/a becomes the column's mean

    Raises
    ------
    BrokenArtifact
        A file is missing, truncated, or lacks a column, the TR or the event; the message names it.
    SampleMismatch
        Label image or confounds do not fit the BOLD image.
    """
    import numpy as np

    image = _load_image(bold_path, n_dimensions=4)
    labels_image = _load_image(labels_path, n_dimensions=3)
    _check_same_grid(bold_path, image, labels_path, labels_image)
    interval_s = read_repetition_time(bold_path, image)
    onset_s, duration_s = read_onset(_beside(bold_path, "_events.tsv"), trial_type)
    ends_s = (np.arange(image.shape[3]) + 1) * interval_s - onset_s
    slack = CLOCK_TOLERANCE * interval_s
    kept = (ends_s - interval_s >= -slack) & (ends_s <= duration_s + slack)
    if not kept.any():
        raise SampleMismatch(
            f"{bold_path} has {image.shape[3]} volumes of {interval_s:g} s, none of which lies within the event "
            f"'{trial_type}' ({onset_s:g} s, {duration_s:g} s long); check its events.tsv"
        )
    labels = np.asarray(_data(labels_path, labels_image)).astype(np.int64)
    names = _region_names(regions_path, labels)
    voxels = np.argwhere(np.isin(labels, list(names)))
    order = np.argsort(labels[tuple(voxels.T)], kind="stable")
    voxels = voxels[order]
    values = _data(bold_path, image)[tuple(voxels.T)][:, kept].T
    region = np.array([names[label] for label in labels[tuple(voxels.T)].tolist()])
    confounds = None
    if confounds_path is not None and confound_columns:
        confounds = read_confounds(confounds_path, confound_columns)
        if confounds.shape[0] != image.shape[3]:
            raise SampleMismatch(
                f"{confounds_path} has {confounds.shape[0]} rows and {bold_path} {image.shape[3]} volumes; "
                "fetch both again"
            )
        confounds = confounds[kept]
    return BoldRun(
        values=np.asarray(values, dtype=np.float32),
        time_s=ends_s[kept],
        repetition_time_s=interval_s,
        region=region,
        number_in_region=_count_up(region),
        xyz_mm=np.asarray(voxels @ image.affine[:3, :3].T + image.affine[:3, 3]),
        confounds=confounds,
    )


def read_repetition_time(bold_path: Path, image: nibabel.Nifti1Image) -> float:
    """TR in s from the JSON sidecar, else from the header.

    Raises
    ------
    BrokenArtifact
        Neither says it, or they disagree.
    """
    sidecar = _beside(bold_path, "_bold.json")
    header = float(image.header.get_zooms()[3]) * SECONDS_PER.get(image.header.get_xyzt_units()[1], 0.0)
    stated: Any = None
    if sidecar.is_file():
        try:
            stated = json.loads(sidecar.read_text(encoding="utf-8-sig")).get("RepetitionTime")
        except (json.JSONDecodeError, UnicodeDecodeError, AttributeError) as error:
            raise BrokenArtifact(f"{sidecar} is not a JSON sidecar ({error}); {REMEDY}") from error
    if stated is None:
        if header <= 0:
            raise BrokenArtifact(
                f"{bold_path} states no TR (header: {header:g} s) and {sidecar.name} no RepetitionTime; "
                "add it to the JSON"
            )
        return header
    if not isinstance(stated, int | float) or stated <= 0:
        raise BrokenArtifact(f"{sidecar}: RepetitionTime is {stated!r}, expected seconds above 0; correct it")
    if header > 0 and abs(header - stated) > TR_TOLERANCE * stated:
        raise BrokenArtifact(
            f"{sidecar} states a TR of {stated:g} s, the header of {bold_path.name} {header:g} s; correct the wrong one"
        )
    return float(stated)


def read_onset(events_path: Path, trial_type: str) -> tuple[float, float]:
    """Onset and duration of the first event of a kind, in s; the duration is infinite where it is n/a.

    Raises
    ------
    BrokenArtifact
        The file, a column or the event is missing, or a time is no number.
    """
    rows = _read_table(events_path, ("onset", "duration", "trial_type"))
    for row in rows:
        if row["trial_type"] == trial_type:
            return (
                _number(row["onset"], events_path, "onset"),
                float("inf") if row["duration"] == "n/a" else _number(row["duration"], events_path, "duration"),
            )
    known = ", ".join(sorted({row["trial_type"] for row in rows})) or "none"
    raise BrokenArtifact(f"{events_path} has no event of trial_type '{trial_type}' (there are: {known}); {REMEDY}")


def read_confounds(path: Path, columns: tuple[str, ...]) -> np.ndarray:
    """(n_volumes, n_columns) float64; n/a, as in the first row of derivatives, becomes the column's mean."""
    import numpy as np

    rows = _read_table(path, columns)
    values = np.array(
        [[np.nan if row[name] == "n/a" else _number(row[name], path, name) for name in columns] for row in rows]
    )
    missing = np.isnan(values)
    if missing.all(axis=0).any():
        raise BrokenArtifact(
            f"{path}: column '{columns[int(missing.all(axis=0).argmax())]}' holds no number; leave it out"
        )
    return np.where(missing, np.nanmean(values, axis=0), values)


def _load_image(path: Path, n_dimensions: int) -> nibabel.Nifti1Image:
    """Open an image; its voxels are read later by `_data`."""
    import nibabel
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError

    if not path.is_file():
        raise BrokenArtifact(f"{path} is missing; fetch it with: snakemake fetch --forcerun fetch_simulated")
    try:
        image = nibabel.load(path)
    except (ImageFileError, HeaderDataError, EOFError, zlib.error, OSError, ValueError) as error:
        raise BrokenArtifact(f"{path} is no NIfTI image ({_reason(error)}); {REMEDY}") from error
    if not isinstance(image, nibabel.Nifti1Image):
        raise BrokenArtifact(f"{path} is a {type(image).__name__}, expected NIfTI; {REMEDY}")
    if len(image.shape) != n_dimensions:
        raise BrokenArtifact(f"{path} has shape {image.shape}, expected {n_dimensions} dimensions; {REMEDY}")
    return image


def _data(path: Path, image: nibabel.Nifti1Image) -> np.ndarray:
    """The voxels, scaled as the header says; raises `BrokenArtifact` if the file ends early or its checksum fails."""
    import numpy as np

    try:
        return np.asanyarray(image.dataobj)
    except (EOFError, zlib.error, OSError, ValueError) as error:
        raise BrokenArtifact(f"{path} is truncated or altered ({_reason(error)}); {REMEDY}") from error


def _check_same_grid(
    bold_path: Path, image: nibabel.Nifti1Image, labels_path: Path, labels: nibabel.Nifti1Image
) -> None:
    import numpy as np

    if labels.shape != image.shape[:3]:
        raise SampleMismatch(
            f"{labels_path} has shape {labels.shape} and {bold_path} {image.shape[:3]}; "
            "resample the labels to the BOLD grid"
        )
    if not np.allclose(labels.affine, image.affine, atol=1e-3):
        raise SampleMismatch(f"{labels_path} and {bold_path} have other affines; resample the labels to the BOLD grid")


def _region_names(path: Path, labels: np.ndarray) -> dict[int, str]:
    """Label → region, for the labels of the table; each must occur in the image."""
    names = {}
    for row in _read_table(path, ("index", "name")):
        index = int(_number(row["index"], path, "index"))
        if not (labels == index).any():
            raise SampleMismatch(f"{path}: region '{row['name']}' has label {index}, which no voxel of its image has")
        names[index] = row["name"]
    return names


def _read_table(path: Path, columns: tuple[str, ...]) -> list[dict[str, str]]:
    """Rows of a BIDS table; a byte-order mark is skipped."""
    if not path.is_file():
        raise BrokenArtifact(f"{path} is missing; fetch it with: snakemake fetch --forcerun fetch_simulated")
    try:
        with open(path, encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, delimiter="\t")
            rows = list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise BrokenArtifact(f"{path} is not a tab-separated table ({error}); {REMEDY}") from error
    for name in columns:
        if name not in (reader.fieldnames or ()):
            raise BrokenArtifact(
                f"{path} lacks column '{name}' (it has: {', '.join(reader.fieldnames or ())}); {REMEDY}"
            )
        if any(row[name] is None for row in rows):
            raise BrokenArtifact(f"{path}: a row ends before column '{name}'; {REMEDY}")
    return rows


def _number(text: str, path: Path, column: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise LayermapError(f"{path}: column '{column}' holds '{text}', expected a number; correct it") from error


def _beside(bold_path: Path, ending: str) -> Path:
    """Another file of the same run: ``…_bold.nii.gz`` → ``…_events.tsv``."""
    return bold_path.with_name(bold_path.name.removesuffix(".gz").removesuffix(".nii").removesuffix("_bold") + ending)


def _count_up(region: np.ndarray) -> np.ndarray:
    """0, 1, … within each region, in order."""
    import numpy as np

    count: dict[str, int] = {}
    numbers = []
    for name in region.tolist():
        numbers.append(count.get(name, 0))
        count[name] = numbers[-1] + 1
    return np.array(numbers, dtype=np.int64)


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__
