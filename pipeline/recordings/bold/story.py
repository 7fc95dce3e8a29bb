"""One story, many listeners: their scans become one recording, with one scan in memory at a time."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.artifacts.recording import RecordingParts
from pipeline.core.errors import BrokenArtifact, SampleMismatch
from pipeline.core.names import first_repeated
from pipeline.recordings.bold.clock import Grid, ScanClock, bring_to_grid, common_grid, state_clocks
from pipeline.recordings.bold.confounds import read_strategy
from pipeline.recordings.bold.images import Described, describe
from pipeline.recordings.bold.options import BoldOptions, is_volumetric
from pipeline.recordings.bold.parcellation.parcels import Units, surface_units, volume_units
from pipeline.recordings.bold.readout import Readout
from pipeline.recordings.bold.tables import read_repetition_time

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

MEAN = "mean"
UNITS = "z-scored BOLD"
MAX_NAMED = 100
"""Constant targets that are named; more would not fit into an attribute."""


@dataclasses.dataclass(frozen=True)
class Scan:
    """One listener's scan of a story.

    Parameters
    ----------
    subject : who
    images : one NIfTI, or the left and the right hemisphere's GIfTI
    audio_start_s : start of the audio file after the first volume **of the file** began, on the scanner's clock, in s;
        negative where the audio was already playing
    repetition_time_s : TR in s; None takes it from the JSON sidecar or the header
    confounds : table of confounds, a row for each volume of the file
    """

    subject: str
    images: tuple[Path, ...]
    audio_start_s: float
    repetition_time_s: float | None = None
    confounds: Path | None = None


@dataclasses.dataclass(frozen=True)
class Heard:
    """A stimulus and the stretch of it, on the audio file's clock in s, whose volumes are kept (before ``trim_s``)."""

    stimulus: str
    start_s: float
    end_s: float


def prepare_story(
    name: str, scans: Sequence[Scan], heard: Heard, raw_folder: Path, options: BoldOptions, *, remedy: str
) -> RecordingParts:
    """Responses ``(repeat=1, sample, target = listener × unit)``, cleaned and z-scored, then their mean.

    Only headers and atlases are read here; scans are read while the blocks are.

    Parameters
    ----------
    name : of the recording
    scans : one of each listener, in the order that targets shall have
    raw_folder : where ``atlases/`` lies
    remedy : what to do where a file is missing or damaged, for messages

    Raises
    ------
    BrokenArtifact
        A file is missing, damaged, or not of the kind that the parcellation needs.
    SampleMismatch
        A scan covers less than 90 % of the story, or confounds, hemispheres or meshes do not fit.
    """
    if not scans:
        raise SampleMismatch(f"{name}: no scan is left; raise the limit or exclude fewer listeners")
    twice = first_repeated(scan.subject for scan in scans)
    if twice is not None:
        raise SampleMismatch(f"{name}: {twice} has more than one scan of {heard.stimulus}; leave all but one out")
    described = [describe(scan.images, remedy) for scan in scans]
    clocks = [_clock(scan, image, options, remedy) for scan, image in zip(scans, described, strict=True)]
    grid = common_grid(clocks, heard.start_s + options.trim_s[0], heard.end_s - options.trim_s[1])
    if is_volumetric(options.parcellation):
        units = volume_units(options.parcellation, raw_folder, remedy)
    else:
        units = surface_units(options.parcellation, raw_folder, options.mesh, remedy)
    if not units.name.size:
        raise SampleMismatch(f"{name}: the parcellation leaves no target; name parcels that exist in its regions")
    readout = Readout(units, raw_folder, options, remedy)
    for scan, image in zip(scans, described, strict=True):
        readout.check(scan.images[0], image.is_surface)
    story = _Story(tuple(scans), tuple(clocks), grid, units, readout, options, remedy)
    return RecordingParts(_header(name, heard, story), story.blocks(), story.closing_attrs)


def _clock(scan: Scan, header: Described, options: BoldOptions, remedy: str) -> ScanClock:
    interval_s = scan.repetition_time_s
    if interval_s is None:
        interval_s = read_repetition_time(scan.images[0], header.repetition_time_s, remedy)
    return ScanClock(
        str(scan.images[0]), scan.subject, header.n_volumes, interval_s, scan.audio_start_s, options.slice_reference
    )


@dataclasses.dataclass
class _Story:
    """What the blocks are made of, and what is known once they were."""

    scans: tuple[Scan, ...]
    clocks: tuple[ScanClock, ...]
    grid: Grid
    units: Units
    readout: Readout
    options: BoldOptions
    remedy: str
    constant: list[str] = dataclasses.field(default_factory=list)
    n_subjects: int = 0

    @property
    def averages(self) -> bool:
        return self.options.average and len(self.scans) > 1

    @property
    def subjects(self) -> list[str]:
        return [scan.subject for scan in self.scans] + [MEAN] * self.averages

    def blocks(self) -> Iterator[np.ndarray]:
        """(1, n_samples, n_units) of each listener, then of their mean."""
        import numpy as np

        from pipeline.recordings.bold.clean import clean_responses

        shape = (self.grid.ends_s.size, self.units.name.size)
        total = np.zeros(shape, np.float32) if self.averages else None
        for scan, clock in zip(self.scans, self.clocks, strict=True):
            cleaned = self._listener(scan, clock)
            varies = np.any(cleaned, axis=0)
            self.n_subjects += bool(varies.any())
            self._note_constant(scan.subject, varies)
            if total is not None:
                total += cleaned
            yield cleaned[None]
            del cleaned
        if total is not None:
            # Of a sum, as of a mean, only the shape is left by z-scoring; constant courses are zeros and add nothing.
            mean = clean_responses(total, sample_interval_s=self.grid.interval_s, high_pass_s=0.0, out=total)
            self._note_constant(MEAN, np.any(mean, axis=0))
            yield mean[None]

    def closing_attrs(self) -> dict[str, Any]:
        named = ", ".join(self.constant[:MAX_NAMED])
        more = len(self.constant) - MAX_NAMED
        return {
            "constant_targets": f"{named} and {more} more" if more > 0 else named,
            "n_subjects": self.n_subjects,
        }

    def _listener(self, scan: Scan, clock: ScanClock) -> np.ndarray:
        """(n_samples, n_units) float32, mean 0 and SD 1; zeros where nothing varies or is measured."""
        import numpy as np

        from pipeline.recordings.bold.clean import clean_responses

        confounds = read_strategy(scan.confounds, self.options.confounds, self.remedy, image=scan.images[0])
        if confounds is not None:
            if confounds.shape[0] != clock.n_volumes:
                raise SampleMismatch(
                    f"{scan.confounds} has {confounds.shape[0]} rows and {scan.images[0]} {clock.n_volumes} volumes; "
                    f"{self.remedy}"
                )
            confounds = bring_to_grid(confounds, clock, self.grid)
        values = self.readout.read(scan.images)
        if values.shape[0] != clock.n_volumes:
            raise BrokenArtifact(
                f"{scan.images[0]} holds {values.shape[0]} volumes and its header states {clock.n_volumes}; "
                f"{self.remedy}"
            )
        # A sum is a number only where all volumes are.
        values[:, ~np.isfinite(values.sum(axis=0, dtype=np.float64))] = 0
        values = bring_to_grid(values, clock, self.grid)
        try:
            return clean_responses(
                values,
                sample_interval_s=self.grid.interval_s,
                high_pass_s=self.options.high_pass_s,
                confounds=confounds,
                out=values if values.dtype == np.float32 else None,
            )
        except SampleMismatch as error:
            raise SampleMismatch(f"{scan.images[0]}: {error}") from error

    def _note_constant(self, subject: str, varies: Any) -> None:
        self.constant += [f"{subject}-{unit}" for unit in self.units.name[~varies].tolist()]


def _header(name: str, heard: Heard, story: _Story) -> xr.Dataset:
    """The recording without its responses: all subjects have the same units."""
    import numpy as np
    import xarray as xr

    units, options, grid = story.units, story.options, story.grid
    n_subjects, n_samples = len(story.subjects), grid.ends_s.size
    subject = np.repeat(story.subjects, units.name.size)
    unit = np.tile(units.name, n_subjects)
    coords: dict[str, Any] = {
        "time_s": ("sample", grid.ends_s, {"units": "s"}),
        "run": ("sample", np.full(n_samples, name)),
        "stimulus": ("sample", np.full(n_samples, heard.stimulus)),
        "target": ("target", np.char.add(np.char.add(subject, "-"), unit)),
        "region": ("target", np.tile(units.region, n_subjects)),
        "compartment": ("target", np.tile(units.hemisphere, n_subjects)),
        "subject": ("target", subject),
        "unit": ("target", unit),
        "hemisphere": ("target", np.tile(units.hemisphere, n_subjects)),
        "parcel": ("target", np.tile(units.parcel, n_subjects)),
        "vertex": ("target", np.tile(units.vertex, n_subjects)),
    }
    for axis, letter in enumerate("xyz"):
        coords[f"{letter}_mm"] = ("target", np.tile(units.xyz_mm[:, axis], n_subjects), {"units": "mm"})
    painted = units.painted()
    attrs: dict[str, Any] = {
        "units": UNITS,
        "sample_kind": "time",
        "sample_interval_s": grid.interval_s,
        "high_pass_s": options.high_pass_s,
        "z_scored": 1,
        "n_subjects": len(story.scans),
        "constant_targets": "",
        "slice_reference": f"a volume stands for the instant {options.slice_reference:g} TR after its start",
        "clocks": state_clocks(story.clocks, grid),
        "confounds": options.confounds if isinstance(options.confounds, str) else ", ".join(options.confounds),
        "parcellation": options.parcellation.kind,
    }
    if painted is not None:
        coords["surface_unit"] = ("surface_vertex", painted)
        attrs["surface_mesh"] = "fsaverage5"
    return xr.Dataset(coords=coords, attrs=attrs)
