"""What a study says of a user's own files: paths, relative to the study file, and how to read them."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PlainSerializer, ValidationInfo, model_validator

from pipeline.core.errors import LayermapError
from pipeline.core.names import first_repeated
from pipeline.core.section import Section
from pipeline.formats.tables import TABLES
from pipeline.recordings.entry import DatasetOptions
from pipeline.recordings.files.stimulus import MOVIE, StimulusForm, stimulus_form

SINGLE = "responses"
NAME = re.compile(r"^[a-z0-9][a-z0-9_-]*$")


def _resolved(value: Path, info: ValidationInfo) -> Path:
    """An absolute path of something that exists; relative ones start at the study file's folder."""
    folder = Path((info.context or {}).get("folder", "."))
    try:
        path = Path(os.path.abspath(folder / value.expanduser()))
        there = path.exists()
    except (OSError, RuntimeError, ValueError) as error:
        raise ValueError(f"'{value}' is no path ({error}); correct it") from error
    if not there:
        raise ValueError(f"{path} does not exist; paths are relative to the study file")
    return path


def _file_of(*suffixes: str) -> Any:
    def check(path: Path) -> Path:
        if not path.is_file():
            what = "a folder" if path.is_dir() else "no ordinary file"
            raise ValueError(f"{path} is {what}, expected a file ({' '.join(suffixes)})")
        if path.suffix.lower() not in suffixes:
            raise ValueError(f"{path.name} ends in '{path.suffix}', expected one of: {' '.join(suffixes)}")
        return path

    return AfterValidator(check)


def _is_stimulus(path: Path) -> Path:
    try:
        stimulus_form(path)
    except LayermapError as error:
        raise ValueError(str(error)) from error
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror}); change its permissions") from error
    return path


# Only the name is shown and hashed: no key and no page depends on where a file lies.
_Local = Annotated[Path, AfterValidator(_resolved), PlainSerializer(lambda path: path.name, str, when_used="json")]
ArrayFile = Annotated[_Local, _file_of(".npy", *TABLES)]
TableFile = Annotated[_Local, _file_of(*TABLES)]
NamesFile = Annotated[_Local, _file_of(*TABLES, ".txt")]
StimulusPath = Annotated[_Local, AfterValidator(_is_stimulus)]


class RunFiles(Section):
    """One run: what was measured while one stimulus was shown, played or read."""

    responses: ArrayFile = Field(
        description=".npy (sample, target) or (repeat, sample, target), NaN for a missing repeat; or .csv/.tsv with a "
        "column per target, named in the header"
    )
    stimulus: StimulusPath = Field(
        description="a folder of pictures or of sounds (one sample each, in order of file name), one sound, "
        "a movie .npy uint8 (frame, y, x[, colour]), or words .csv/.tsv (text, onset_s, offset_s)"
    )
    items: NamesFile | None = Field(
        None,
        description="picture or sound (file name without ending) of each sample: a column 'item', or .txt with one a "
        "line; None if there is one sample for each in order of name",
    )
    times: ArrayFile | None = Field(
        None, description="end of each sample's bin on the stimulus clock, in s: .npy, or a column 'time_s'"
    )
    first_sample_end_s: float | None = Field(
        None,
        allow_inf_nan=False,
        description="end of the first sample's bin on the stimulus clock, in s; None for one sample interval",
    )
    name: str | None = Field(None, pattern=NAME.pattern, description="name of the run; None for run-1, run-2, …")


class FilesOptions(DatasetOptions):
    """A user's own responses and stimuli: one run, given directly, or several under ``runs``."""

    kind: Literal["files"] = Field("files", description="plain files of your own")
    limit: int | None = Field(
        None, ge=1, description="keep the first so many subjects, in the order of the table of regions; None keeps all"
    )
    responses: ArrayFile | None = Field(None, description="of the only run; see runs")
    stimulus: StimulusPath | None = Field(None, description="of the only run; see runs")
    items: NamesFile | None = Field(None, description="of the only run; see runs")
    times: ArrayFile | None = Field(None, description="of the only run; see runs")
    first_sample_end_s: float | None = Field(None, allow_inf_nan=False, description="of the only run; see runs")
    runs: tuple[RunFiles, ...] | None = Field(
        None, min_length=1, description="several runs of the same targets: a list of responses, stimulus, …"
    )
    regions: TableFile = Field(
        description=".csv/.tsv with a row per target: region and, where known, target, subject, compartment, depth_um, "
        "cell_id, unit, x_mm, y_mm, z_mm; other columns are not read"
    )
    categories: TableFile | None = Field(
        None, description=".csv/.tsv with the columns item and category, for splits by category"
    )
    sample_interval_s: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="from one sample to the next, in s (stimuli on a clock)"
    )
    frame_rate_hz: float | None = Field(None, gt=0, allow_inf_nan=False, description="frames of a movie per second")
    units: str = Field("arbitrary units", min_length=1, description="unit of the responses")
    z_score: bool = Field(False, description="z-score each repeat of each target within its run before averaging")
    high_pass_s: float = Field(
        0.0, ge=0, allow_inf_nan=False, description="period of the high-pass filter to apply, in s; 0 for none"
    )

    @property
    def parts(self) -> tuple[RunFiles, ...]:
        """The runs with their names, whichever way they were given."""
        if self.runs is not None:
            return tuple(
                run.model_copy(update={"name": run.name or f"run-{number}"})
                for number, run in enumerate(self.runs, start=1)
            )
        given = {name: getattr(self, name) for name in RunFiles.model_fields if name != "name"}
        return (RunFiles.model_construct(**given, name=SINGLE),)

    @property
    def form(self) -> StimulusForm:
        """What the stimuli are; all runs have the same."""
        return stimulus_form(self.parts[0].stimulus)

    @model_validator(mode="after")
    def _one_form(self) -> FilesOptions:
        for name in RunFiles.model_fields:
            given = getattr(self, name, None) is not None
            if self.runs is not None and given:
                raise ValueError(f"'{name}' stands beside 'runs'; move it into the runs, or remove 'runs'")
            if self.runs is None and not given and name in ("responses", "stimulus"):
                raise ValueError(f"key '{name}' is missing; give responses and stimulus, or runs")
        first, *others = self.parts
        twice = first_repeated(str(run.name) for run in self.parts)
        if twice is not None:
            raise ValueError(f"two runs are called '{twice}'; rename one")
        for run in others:
            form = stimulus_form(run.stimulus)
            if form != self.form:
                raise ValueError(
                    f"{run.stimulus.name} is {form.what} and {first.stimulus.name} {self.form.what}; "
                    "runs need stimuli of one kind"
                )
        return self

    @model_validator(mode="after")
    def _suits_the_stimulus(self) -> FilesOptions:
        """What a clock needs and what items need; nothing that would go unread."""
        form = self.form
        what = f"{self.parts[0].stimulus.name} is {form.what}"
        if form == MOVIE and self.frame_rate_hz is None:
            raise ValueError(f"{what}: add 'frame_rate_hz', the frames shown per second")
        if form != MOVIE and self.frame_rate_hz is not None:
            raise ValueError(f"{what}, which has no frame rate; remove 'frame_rate_hz'")
        for run in self.parts:
            of_clocks = {
                "sample_interval_s": self.sample_interval_s,
                "first_sample_end_s": run.first_sample_end_s,
                "times": run.times,
                "high_pass_s": self.high_pass_s or None,
            }
            of_items = {"items": run.items, "categories": self.categories}
            unread = of_items if form.on_a_clock else of_clocks
            for name, value in unread.items():
                if value is not None:
                    raise ValueError(f"{what}, so '{name}' has no meaning; remove it")
            if form.on_a_clock and run.times is None and self.sample_interval_s is None:
                raise ValueError(f"{what}: add 'sample_interval_s' in s, or 'times' with the end of each sample's bin")
            if run.times is not None and run.first_sample_end_s is not None:
                raise ValueError("'times' and 'first_sample_end_s' say the same; remove one")
        return self
