"""Reader of one BIDS task-fMRI run: BOLD NIfTI, events.tsv, a label image of regions, confounds.

Timing: volume i is acquired from i·TR to (i + 1)·TR after the first one's start. It stands for that whole bin, and
its ``time_s`` is the bin's **end** on the clock of the stimulus, whose onset is a row of events.tsv. No slice-time
correction is undone or assumed.
"""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.core.errors import BrokenArtifact, SampleMismatch
from pipeline.recordings.bold.confounds import read_confounds
from pipeline.recordings.bold.images import header_repetition_time, open_nifti, voxels
from pipeline.recordings.bold.tables import beside, read_labels, read_repetition_time, read_table

if TYPE_CHECKING:
    import nibabel
    import numpy as np

REMEDY = "run: snakemake fetch --forcerun fetch_simulated"
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

    image = open_nifti(bold_path, 4, REMEDY)
    labels_image = open_nifti(labels_path, 3, REMEDY)
    _check_same_grid(bold_path, image, labels_path, labels_image)
    interval_s = read_repetition_time(bold_path, header_repetition_time(image), REMEDY)
    onset_s, duration_s = read_onset(beside(bold_path, "_events.tsv"), trial_type)
    ends_s = (np.arange(image.shape[3]) + 1) * interval_s - onset_s
    slack = CLOCK_TOLERANCE * interval_s
    kept = (ends_s - interval_s >= -slack) & (ends_s <= duration_s + slack)
    if not kept.any():
        raise SampleMismatch(
            f"{bold_path} has {image.shape[3]} volumes of {interval_s:g} s, none of which lies within the event "
            f"'{trial_type}' ({onset_s:g} s, {duration_s:g} s long); check its events.tsv"
        )
    labels = np.asarray(voxels(labels_path, labels_image, REMEDY)).astype(np.int64)
    names = _region_names(regions_path, labels)
    places = np.argwhere(np.isin(labels, list(names)))
    order = np.argsort(labels[tuple(places.T)], kind="stable")
    places = places[order]
    values = voxels(bold_path, image, REMEDY)[tuple(places.T)][:, kept].T
    region = np.array([names[label] for label in labels[tuple(places.T)].tolist()])
    confounds = None
    if confounds_path is not None and confound_columns:
        confounds = read_confounds(confounds_path, confound_columns, REMEDY)
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
        xyz_mm=np.asarray(places @ image.affine[:3, :3].T + image.affine[:3, 3]),
        confounds=confounds,
    )


def read_onset(events_path: Path, trial_type: str) -> tuple[float, float]:
    """Onset and duration of the first event of a kind, in s; the duration is infinite where it is n/a.

    Raises
    ------
    BrokenArtifact
        The file, a column or the event is missing, or a time is no number.
    """
    table = read_table(events_path, ("onset", "duration", "trial_type"), REMEDY)
    kinds, durations_s = table.text("trial_type", empty=True), table.numbers("duration", empty=True)
    for kind, line, onset, duration_s in zip(kinds, table.lines, table.cells("onset"), durations_s, strict=True):
        if kind == trial_type:
            return table.number(line, "onset", onset), math.inf if math.isnan(duration_s) else duration_s
    known = ", ".join(sorted(set(kinds))) or "none"
    raise BrokenArtifact(f"{events_path} has no event of trial_type '{trial_type}' (there are: {known}); {REMEDY}")


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
    names = read_labels(path, REMEDY)
    for label, name in names.items():
        if not (labels == label).any():
            raise SampleMismatch(f"{path}: region '{name}' has label {label}, which no voxel of its image has")
    return names


def _count_up(region: np.ndarray) -> np.ndarray:
    """0, 1, … within each region, in order."""
    import numpy as np

    count: dict[str, int] = {}
    numbers = []
    for name in region.tolist():
        numbers.append(count.get(name, 0))
        count[name] = numbers[-1] + 1
    return np.array(numbers, dtype=np.int64)
