"""Alice in Wonderland: 27 listeners, six language regions, one story (Brennan et al. 2016).

Region time courses (6 mm spheres) of 362 volumes at TR 2 s; the authors had dropped the first ten of
372 volumes, and the six motion parameters still hold all 372. Here each listener's courses are
high-passed, rid of motion and z-scored; the listeners stand side by side as targets, because all heard
the same story, and their mean follows as subject ``mean``.

Clock: volume i was acquired from audio time 20 + 2·i s to 22 + 2·i s, so its ``time_s``, the end of its
bin, is 22 + 2·i s. (The word-rate regressor that comes with the data, sampled at the volumes' starts as
SPM does, fits the annotated word onsets at 19.8 + 2·i s. The audio began 0.003–0.84 s into a scan; that is
ignored, since it is not known for every listener.)

Listener s33 is left out by default: all six courses are constant, and the file that should hold sound
power holds word rate. A constant course that is asked for stays in as zeros, named in ``constant_targets``;
encode flags it, and it never enters the mean.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field, field_validator

from pipeline.artifacts.catalogue import Catalogue, Group, RawFile, Run, StimulusEntry
from pipeline.core.errors import BadConfiguration, BrokenArtifact
from pipeline.recordings.entry import DatasetEntry, DatasetOptions
from pipeline.recordings.published.pinned_files import FILES, pinned_files

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

KIND = "alice"
STIMULUS = "story"
RECORDING = "timecourses"
REGIONS = ("LATL", "RATL", "LPTL", "LIPL", "LPreM", "LIFG")
N_VOLUMES = 362
N_DROPPED = 10
N_MOTION = 6
N_WORDS = 2101
TR_S = 2.0
FIRST_VOLUME_STARTS_S = 20.0
HIGH_PASS_S = 128.0
MEAN = "mean"
WORDS_FILE = "ds002322/code/annotations.tsv"
EXCLUSION_REASONS = {"s33": "time courses constant in all six regions"}
NO_SOUND_POWER = ("s33",)  # its sndpwr file repeats its rate file


def _listener_of(file: RawFile) -> str | None:
    """``s18`` of ``alice_data_shared/6mm/s18-timecourses.txt``; None for files of no listener."""
    name = Path(file.path).name
    return name.partition("-")[0] if file.path.startswith("alice_data_shared/") else None


def _listeners() -> list[str]:
    return sorted({listener for file in pinned_files(KIND) if (listener := _listener_of(file))})


class AliceOptions(DatasetOptions):
    """Which listeners to take; ``limit`` takes the first so many of those not excluded."""

    kind: Literal["alice"] = Field("alice", description="Alice in Wonderland, 27 listeners, six language regions")
    exclude: tuple[str, ...] = Field(
        ("s33",), description="listeners left out; s33 because its time courses are constant in all six regions"
    )

    @field_validator("exclude")
    @classmethod
    def _are_listeners(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for listener in value:
            if listener not in _listeners():
                raise ValueError(f"listener '{listener}' is not in the dataset (it has {', '.join(_listeners())})")
        return value


def _chosen(options: AliceOptions) -> list[str]:
    """The listeners of a selection, in order of their numbers.

    Raises
    ------
    BadConfiguration
        The limit or the exclusions leave nobody.
    """
    present = [listener for listener in _listeners() if listener not in options.exclude]
    chosen = present if options.limit is None else present[: max(0, options.limit)]
    if not chosen:
        raise BadConfiguration(
            f"dataset alice: limit {options.limit} and exclude {list(options.exclude)} leave no listener; "
            "raise the limit or exclude fewer"
        )
    return chosen


def catalogue(options: AliceOptions, key: str, mirror: str | None = None) -> Catalogue:
    """All listeners in one group, as they share the story; only the chosen listeners' files."""
    chosen = _chosen(options)
    files = tuple(file for file in pinned_files(KIND) if _listener_of(file) in (None, *chosen))
    run = Run(stimulus=STIMULUS, recording=RECORDING)
    return Catalogue(
        dataset=KIND,
        key=key,
        groups=(Group(name="listeners", runs=(run,), subjects=tuple(chosen)),),
        recordings=(RECORDING,),
        stimuli=(StimulusEntry(name=STIMULUS, modality="words"),),
        files=files,
    )


def _path_of(listener: str, what: str, raw_folder: Path) -> Path:
    """A listener's file: ``timecourses``, ``rp`` (its name goes on differently for each) or ``sndpwr``."""
    for file in pinned_files(KIND):
        if _listener_of(file) == listener and Path(file.path).name.startswith(f"{listener}-{what}"):
            return raw_folder / file.path
    raise BadConfiguration(f"listener '{listener}' has no {what} file in the pinned list of alice")


def _read_numbers(path: Path, n_rows: int, n_columns: int) -> np.ndarray:
    """A table of numbers without header, of exactly the given shape, float64."""
    import numpy as np

    remedy = "delete it and run: snakemake fetch --forcerun fetch_recordings"
    if not path.is_file():
        raise BrokenArtifact(f"{path} is missing; fetch it with: snakemake fetch --forcerun fetch_recordings")
    try:
        lines = [line.split() for line in path.read_text(encoding="ascii").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise BrokenArtifact(f"{path} is no table of numbers ({error}); {remedy}") from error
    for number, line in enumerate(lines, start=1):
        if len(line) != n_columns:
            raise BrokenArtifact(f"{path} line {number} has {len(line)} columns, expected {n_columns}; {remedy}")
    if len(lines) != n_rows:
        raise BrokenArtifact(f"{path} has {len(lines)} rows, expected {n_rows}; {remedy}")
    try:
        values = np.array(lines, dtype=np.float64)
    except ValueError as error:
        raise BrokenArtifact(f"{path} is no table of numbers ({error}); {remedy}") from error
    if not np.isfinite(values).all():
        bad = int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0]) + 1
        raise BrokenArtifact(f"{path} line {bad} holds NaN or infinity; {remedy}")
    return values


def _read_listener(listener: str, raw_folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Cleaned, z-scored courses (362, 6) and which of them were constant (6,)."""
    import numpy as np

    from pipeline.recordings.bold.clean import clean_responses

    courses = _read_numbers(_path_of(listener, "timecourses", raw_folder), N_VOLUMES, len(REGIONS))
    motion = _read_numbers(_path_of(listener, "rp", raw_folder), N_VOLUMES + N_DROPPED, N_MOTION)[N_DROPPED:]
    constant = np.ptp(courses, axis=0) == 0
    cleaned = np.zeros_like(courses)
    if not constant.all():
        cleaned[:, ~constant] = clean_responses(
            courses[:, ~constant], sample_interval_s=TR_S, high_pass_s=HIGH_PASS_S, confounds=motion
        )
    return cleaned, constant


def _mean_over_listeners(courses: np.ndarray, constant: np.ndarray) -> np.ndarray:
    """Average the listeners whose course varies, (n_listeners, 362, 6) → (362, 6), and z-score again."""
    import numpy as np

    weights = (~constant).astype(np.float64)
    mean = np.einsum("ltr,lr->tr", courses, weights) / np.maximum(1, weights.sum(axis=0))
    centred = mean - mean.mean(axis=0)
    spread = centred.std(axis=0)
    return np.divide(centred, spread, out=np.zeros_like(centred), where=spread > 0)


def volume_end_s() -> np.ndarray:
    """``time_s`` of the 362 volumes: the end of each one's acquisition on the audio clock, in s."""
    import numpy as np

    return FIRST_VOLUME_STARTS_S + TR_S * np.arange(1, N_VOLUMES + 1)


def prepare_stimulus(name: str, raw_folder: Path, options: AliceOptions) -> xr.Dataset:
    """2,101 words on the audio clock with log frequencies, and the sound power that comes with the data.

    Of the source's 2,132 rows, 31 clitics without times ("'ll", "nt") are left out: their sound belongs to the
    word before. Two words that end at or before their onset ("suddenly", "you") end where the next one begins.
    The text is as published, with "TRUE" for the word "true" and log frequency 0 for two words not in the corpus.
    Sound power is the median over the listeners' files, which agree to r > .999, and already convolved with a
    haemodynamic response.
    """
    import numpy as np

    from pipeline.stimuli.words import read_word_table, words_stimulus

    words = read_word_table(
        raw_folder / WORDS_FILE, text="Words", onset_s="Word Onset", offset_s="Word Offset", log_frequency="LogFreq"
    )
    if words.text.size != N_WORDS:
        raise BrokenArtifact(
            f"{raw_folder / WORDS_FILE} has {words.text.size} words with times, expected {N_WORDS}; "
            "delete it and run: snakemake fetch --forcerun fetch_recordings"
        )
    powers = [
        _read_numbers(_path_of(listener, "sndpwr", raw_folder), N_VOLUMES, 1)[:, 0]
        for listener in _chosen(options)
        if listener not in NO_SOUND_POWER
    ]
    return words_stimulus(name, words).assign_coords(
        regressor=(("regressor", "volume"), np.median(powers, axis=0)[None], {"units": "a.u."}),
        regressor_name=("regressor", ["sound_power"]),
        regressor_time_s=("volume", volume_end_s(), {"units": "s"}),
    )


def prepare_recording(name: str, raw_folder: Path, options: AliceOptions) -> xr.Dataset:
    """Responses ``(repeat=1, sample=362, target)``: six regions of each listener, then of their mean."""
    import numpy as np
    import xarray as xr

    listeners = _chosen(options)
    read = [_read_listener(listener, raw_folder) for listener in listeners]
    courses, constant = np.stack([pair[0] for pair in read]), np.stack([pair[1] for pair in read])
    everyone = np.concatenate([*courses, _mean_over_listeners(courses, constant)], axis=1).astype(np.float32)
    subjects = np.repeat([*listeners, MEAN], len(REGIONS))
    regions = np.tile(REGIONS, len(listeners) + 1)
    targets = np.char.add(np.char.add(subjects, "-"), regions)
    flat = np.concatenate([constant.ravel(), constant.all(axis=0)])
    return xr.Dataset(
        {
            "responses": (("repeat", "sample", "target"), everyone[None]),
            "n_repeats": (("sample", "target"), np.ones(everyone.shape, dtype=np.int64)),
        },
        coords={
            "time_s": ("sample", volume_end_s(), {"units": "s"}),
            "run": ("sample", np.full(N_VOLUMES, STIMULUS)),
            "stimulus": ("sample", np.full(N_VOLUMES, STIMULUS)),
            "target": ("target", targets),
            "region": ("target", regions),
            "compartment": ("target", np.full(regions.size, "")),
            "subject": ("target", subjects),
            "unit": ("target", regions),
        },
        attrs={
            "units": "z-scored BOLD",
            "sample_kind": "time",
            "sample_interval_s": TR_S,
            "high_pass_s": HIGH_PASS_S,
            "z_scored": 1,
            "n_subjects": int((~constant.all(axis=1)).sum()),
            "constant_targets": ", ".join(targets[np.flatnonzero(flat)].tolist()),
            "excluded": "; ".join(f"{one}: {EXCLUSION_REASONS.get(one, 'by the study')}" for one in options.exclude),
        },
    )


DATASET = DatasetEntry(
    kind=KIND,
    options=AliceOptions,
    catalogue=catalogue,
    prepare_stimulus=prepare_stimulus,
    prepare_recording=prepare_recording,
    title="Alice in Wonderland, 27 listeners, six language regions",
    citation="Brennan, Stabler, Van Wagenen, Luh & Hale 2016, Brain and Language 157–158:81–94, "
    "doi:10.1016/j.bandl.2016.04.008; words: OpenNeuro ds002322",
    licence="CC BY 4.0",
    selection=("kind", "limit", "exclude"),
    lists=(FILES / f"{KIND}.tsv",),
)
