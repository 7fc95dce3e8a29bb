"""A user's own responses, brought to the contract of recordings."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.core.errors import BrokenArtifact, SampleMismatch
from pipeline.core.names import clean_name
from pipeline.formats.tables import TABLES, read_table
from pipeline.recordings.files.lengths import Heard, check_length, odd_lengths, stimulus_spans
from pipeline.recordings.files.options import FilesOptions, RunFiles
from pipeline.recordings.files.stimulus import item_names, read_array, read_categories, read_item_names, stimulus_files
from pipeline.recordings.files.targets import MEAN, NUMBERS, Targets, read_responses, read_targets

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

GRID_TOLERANCE = 0.01
"""Of a sample interval: how far times may lie off their grid, as `pipeline.encoding.group.align` allows."""


def read_samples(options: FilesOptions, run: RunFiles, n_samples: int) -> tuple[dict[str, np.ndarray], float]:
    """What the samples of a run are: names and categories of items, or times.

    Returns
    -------
    coords : name → (n_samples,)
    sample_interval_s : 0 for items

    Raises
    ------
    BrokenArtifact, SampleMismatch
        Items or times that do not fit the responses or the stimulus; the message names both files.
    """
    import numpy as np

    if not options.form.on_a_clock:
        items = _items(run, n_samples)
        coords = {"item": np.array(items)}
        if options.categories is not None:
            coords["category"] = np.array(read_categories(options.categories, items))
        return coords, 0.0
    if run.times is not None:
        time_s, interval_s = _times(run, n_samples, options.sample_interval_s, options.high_pass_s)
    else:
        interval_s = float(options.sample_interval_s or math.nan)
        first = interval_s if run.first_sample_end_s is None else run.first_sample_end_s
        time_s = first + interval_s * np.arange(n_samples)
    return {"time_s": time_s}, interval_s


def _items(run: RunFiles, n_samples: int) -> list[str]:
    known = item_names(run.stimulus)
    if run.items is None:
        if n_samples != len(known):
            raise SampleMismatch(
                f"{run.responses} has {n_samples} samples and {run.stimulus} {len(known)} files; "
                "give one sample per file in order of name, or name each sample's file in 'items'"
            )
        return known
    files = [clean_name(file.name, str(run.stimulus), "file") for file in stimulus_files(run.stimulus)]
    stem_of = {**dict(zip(files, known, strict=True)), **{name: name for name in known}}
    items = read_item_names(run.items)
    if len(items) != n_samples:
        raise SampleMismatch(f"{run.items} names {len(items)} items and {run.responses} has {n_samples} samples")
    for number, item in enumerate(items, start=1):
        if item not in stem_of:
            raise SampleMismatch(f"{run.items}: item {number}, '{item}', is no file of {run.stimulus}; correct it")
    return [stem_of[item] for item in items]


def _times(
    run: RunFiles, n_samples: int, sample_interval_s: float | None, high_pass_s: float
) -> tuple[np.ndarray, float]:
    """Ends of the bins and the interval of their grid, both in s."""
    import numpy as np

    path = run.times
    assert path is not None
    if path.suffix.lower() in TABLES:
        time_s = np.array(read_table(path).numbers("time_s"))
    else:
        time_s = read_array(path)
        if time_s.dtype.kind not in "iuf" or time_s.ndim != 1 or not np.isfinite(time_s).all():
            raise BrokenArtifact(
                f"{path} has shape {time_s.shape} and type {time_s.dtype}, expected (sample,) finite times in s"
            )
        time_s = np.array(time_s, np.float64)
    if time_s.size != n_samples:
        raise SampleMismatch(f"{path} has {time_s.size} times and {run.responses} {n_samples} samples")
    steps = np.diff(time_s)
    if steps.size == 0 or (steps <= 0).any():
        raise BrokenArtifact(f"{path}: at least two times are needed, each later than the one before")
    bins = np.append(0.0, np.cumsum(np.maximum(np.round(steps / (sample_interval_s or np.median(steps))), 1.0)))
    # nine digits, so that runs of one scanner agree in spite of rounding
    interval_s = sample_interval_s or float(f"{(time_s[-1] - time_s[0]) / bins[-1]:.9g}")
    if np.abs((time_s - time_s[0]) / interval_s - bins).max() > GRID_TOLERANCE:
        raise BrokenArtifact(
            f"{path}: the times do not lie whole intervals of {interval_s:g} s apart; resample the responses, "
            "or correct sample_interval_s"
        )
    if high_pass_s > 0 and bins[-1] >= bins.size:
        raise BrokenArtifact(
            f"{path}: samples are missing between the times, so high_pass_s cannot be applied; set it to 0"
        )
    return time_s, interval_s


def check_recordings(options: FilesOptions) -> tuple[str, ...]:
    """Read all but the values, so that what does not fit is said before anything runs.

    Returns
    -------
    the subjects, in order
    """
    found: Targets | None = None
    spans = stimulus_spans(options)
    heard: dict[Path, list[Heard]] = {}
    for run in options.parts:
        responses = read_responses(run.responses)
        targets = read_targets(options, responses)
        coords, interval_s = read_samples(options, run, responses.values.shape[1])
        if run.stimulus in spans:
            time_s = coords["time_s"]
            check_length(options, run, time_s, interval_s, spans[run.stimulus])
            covers = Heard(run.responses, float(time_s[0] - interval_s), float(time_s[-1]), interval_s)
            heard.setdefault(run.stimulus, []).append(covers)
        if found is not None and found.coords["target"].tolist() != targets.coords["target"].tolist():
            raise SampleMismatch(
                f"{run.responses} and {options.parts[0].responses} have different targets in their headers; "
                "runs share their targets, in one order"
            )
        found = found or targets
    for said in odd_lengths(spans, heard):
        print(f"layermap catalogue: warning: {said}", file=sys.stderr, flush=True)
    return found.subjects if found is not None else ()


def read_recording(options: FilesOptions, run: RunFiles, stimulus: str) -> xr.Dataset:
    """The recording artifact of one run.

    Parameters
    ----------
    stimulus : name of the stimulus artifact

    Raises
    ------
    BrokenArtifact, SampleMismatch
        As the readers above; or a response that is infinite, or that no repeat has.
    """
    import numpy as np
    import xarray as xr

    responses = read_responses(run.responses)
    targets = read_targets(options, responses)
    n_samples = responses.values.shape[1]
    samples, interval_s = read_samples(options, run, n_samples)
    values = np.asarray(responses.values[..., targets.columns], np.float32)
    _check_values(values, responses.path, targets)
    values = _cleaned(values, options, interval_s, responses.path, targets)
    attrs: dict[str, Any] = {
        "units": options.units,
        "sample_kind": "time" if options.form.on_a_clock else "item",
        "high_pass_s": options.high_pass_s,
        "z_scored": int(options.z_score),
        "n_subjects": sum(subject != MEAN for subject in targets.subjects),
    }
    if options.form.on_a_clock:
        attrs["sample_interval_s"] = interval_s
    return xr.Dataset(
        {
            "responses": (("repeat", "sample", "target"), values),
            "n_repeats": (("sample", "target"), np.isfinite(values).sum(axis=0)),
        },
        coords={
            **{name: ("sample", labels) for name, labels in samples.items()},
            "run": ("sample", np.full(n_samples, str(run.name))),
            "stimulus": ("sample", np.full(n_samples, stimulus)),
            **{
                name: ("target", labels, {"units": NUMBERS[name]} if name in NUMBERS else {})
                for name, labels in targets.coords.items()
            },
        },
        attrs=attrs,
    )


def _check_values(values: np.ndarray, path: Path, targets: Targets) -> None:
    import numpy as np

    for wrong, what in (
        (np.isinf(values).any(axis=0), "is infinite; correct it"),
        (np.isnan(values).all(axis=0), "is missing in every repeat; leave that sample or target out"),
    ):
        if wrong.any():
            sample, target = np.argwhere(wrong)[0]
            raise BrokenArtifact(
                f"{path}: the response of target '{targets.coords['target'][target]}' to sample {sample + 1} {what} "
                f"({int(wrong.sum())} in all)"
            )


def _cleaned(values: np.ndarray, options: FilesOptions, interval_s: float, path: Path, targets: Targets) -> np.ndarray:
    """High-pass filtered and z-scored, each repeat by itself, as far as the options ask for it."""
    import numpy as np

    from pipeline.stimuli.temporal_filter import cosine_high_pass

    cleaned = values.astype(np.float64)
    if options.high_pass_s > 0:
        missing = np.isnan(cleaned)
        broken = np.argwhere(missing.any(axis=1) & ~missing.all(axis=1))
        if broken.size:
            repeat, target = broken[0]
            raise BrokenArtifact(
                f"{path}: repeat {repeat + 1} of target '{targets.coords['target'][target]}' lacks samples within, so "
                "high_pass_s cannot be applied; leave such repeats out whole"
            )
        for number, repeat in enumerate(cleaned):
            whole = ~missing[number].any(axis=0)
            repeat[:, whole] = cosine_high_pass(repeat[:, whole], interval_s, options.high_pass_s)
    if options.z_score:
        present = np.isfinite(cleaned)
        n = np.maximum(present.sum(axis=1, keepdims=True), 1)
        centred = cleaned - np.where(present, cleaned, 0.0).sum(axis=1, keepdims=True) / n
        sd = np.sqrt(np.where(present, centred**2, 0.0).sum(axis=1, keepdims=True) / n)
        # What rounding leaves of a constant column is no signal.
        largest = np.abs(np.where(present, values, 0.0)).max(axis=1, keepdims=True)
        cleaned = centred * np.divide(1.0, sd, out=np.zeros_like(sd), where=sd > 1e-6 * largest)
    return cleaned.astype(np.float32)
