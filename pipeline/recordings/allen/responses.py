"""Responses to presentations: what a signal does within a window after each onset, per repeat and sample.

A frame, picture or grating is answered within ``first ≤ t < last`` seconds after its onset; a bin of a movie takes the
mean over its frames. Behaviour (running, pupil) is averaged over the same windows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.core.errors import SampleMismatch
from pipeline.recordings.allen.presentations import BLANK, Presentations

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr
    from scipy.sparse import csr_array

WINDOWS_S = {"events": (0.0, 0.25), "dff": (0.0, 0.5), "spikes": (0.03, 0.15)}
"""Signal → window after the onset, in s."""


def window_weights(shown: Presentations, window_s: tuple[float, float], times_s: np.ndarray, source: Path) -> csr_array:
    """What each time of a signal counts for each (repeat, sample): rows sum to 1, or to 0 where nothing was shown.

    Parameters
    ----------
    times_s : (n_times,) ascending, of the signal, on the clock of the onsets
    source : for messages

    Returns
    -------
    (n_repeats · n_samples, n_times)
        A window that falls between two times takes the nearest one.

    Raises
    ------
    SampleMismatch
        A presentation lies outside the signal.
    """
    import numpy as np
    from scipy.sparse import csr_array

    starts_s, ends_s = shown.onset_s + window_s[0], shown.onset_s + window_s[1]
    outside = (shown.onset_s < times_s[0]) | (starts_s > times_s[-1])
    if outside.any():
        raise SampleMismatch(
            f"{source}: {shown.stimulus} was shown at {shown.onset_s[outside][0]:.3f} s, the signal runs from "
            f"{times_s[0]:.3f} to {times_s[-1]:.3f} s; add it to leave_out"
        )
    low, high = np.searchsorted(times_s, starts_s), np.searchsorted(times_s, ends_s)
    between = high <= low
    if between.any():
        centre_s = (starts_s + ends_s)[between] / 2
        after = np.clip(np.searchsorted(times_s, centre_s), 1, times_s.size - 1)
        nearest = np.where(times_s[after] - centre_s < centre_s - times_s[after - 1], after, after - 1)
        low[between], high[between] = nearest, nearest + 1
    n = high - low
    row = shown.repeat * shown.n_samples + shown.sample
    n_rows = shown.n_repeats * shown.n_samples
    n_windows = np.bincount(row, minlength=n_rows)
    column = np.repeat(low - np.cumsum(n) + n, n) + np.arange(n.sum())
    value = np.repeat(1.0 / (n * n_windows[row]), n)
    return csr_array((value, (np.repeat(row, n), column)), shape=(n_rows, times_s.size))


def mean_responses(traces: np.ndarray, weights: csr_array, shown: Presentations) -> np.ndarray:
    """Mean of each trace within the windows.

    Parameters
    ----------
    traces : (n_cells, n_times)

    Returns
    -------
    (n_repeats, n_samples, n_cells) float32, NaN where a repeat was not shown
    """
    import numpy as np

    responses = np.empty((weights.shape[0], traces.shape[0]), np.float32)
    for cell, trace in enumerate(traces):
        responses[:, cell] = weights @ trace
    return _by_repeat(responses, shown)


def spike_rates(spike_times_s: Sequence[np.ndarray], window_s: tuple[float, float], shown: Presentations) -> np.ndarray:
    """Spikes per second of each unit within the windows: (n_repeats, n_samples, n_units) float32.

    Parameters
    ----------
    spike_times_s : ascending times of each unit, on the clock of the onsets
    """
    import numpy as np

    row = shown.repeat * shown.n_samples + shown.sample
    n_rows = shown.n_repeats * shown.n_samples
    seconds = np.maximum(np.bincount(row, minlength=n_rows), 1) * (window_s[1] - window_s[0])
    rates = np.empty((n_rows, len(spike_times_s)), np.float32)
    order = np.argsort(shown.onset_s, kind="stable")
    onset_s, row = shown.onset_s[order], row[order]
    for unit, times_s in enumerate(spike_times_s):
        counts = np.searchsorted(times_s, onset_s + window_s[1]) - np.searchsorted(times_s, onset_s + window_s[0])
        rates[:, unit] = np.bincount(row, weights=counts, minlength=n_rows) / seconds
    return _by_repeat(rates, shown)


def mean_behaviour(
    times_s: np.ndarray, values: np.ndarray, window_s: tuple[float, float], shown: Presentations
) -> np.ndarray:
    """Mean of a behavioural signal within the windows: (n_repeats, n_samples) float32, NaN where not measured.

    Parameters
    ----------
    times_s : (n_times,) ascending, on the clock of the onsets; NaN times are left out
    values : (n_times,), NaN where it was not measured
    """
    import numpy as np

    measured = np.isfinite(times_s) & np.isfinite(values)
    times_s, values = times_s[measured], values[measured]
    total = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
    low, high = (np.searchsorted(times_s, shown.onset_s + edge_s) for edge_s in window_s)
    n = np.maximum(high - low, 1)
    row = shown.repeat * shown.n_samples + shown.sample
    n_rows = shown.n_repeats * shown.n_samples
    found = np.bincount(row, weights=high > low, minlength=n_rows)
    means = np.bincount(row, weights=(total[high] - total[low]) / n, minlength=n_rows)
    mean = np.where(found > 0, means / np.maximum(found, 1), np.nan)
    return mean.astype(np.float32).reshape(shown.n_repeats, shown.n_samples)


def behaviour_during(
    shown: Presentations,
    window_s: tuple[float, float],
    measured: dict[str, tuple[np.ndarray, np.ndarray] | None],
) -> dict[str, np.ndarray]:
    """Name → means within the windows, (n_repeats, n_samples) float32; all NaN for a signal (times, values) of None."""
    import numpy as np

    return {
        name: np.full((shown.n_repeats, shown.n_samples), np.nan, np.float32)
        if signal is None
        else mean_behaviour(*signal, window_s, shown)
        for name, signal in measured.items()
    }


def _by_repeat(values: np.ndarray, shown: Presentations) -> np.ndarray:
    """(n_repeats · n_samples, n) → (n_repeats, n_samples, n), NaN where a repeat was not shown."""
    import numpy as np

    missing = np.ones(shown.n_repeats * shown.n_samples, bool)
    missing[shown.repeat * shown.n_samples + shown.sample] = False
    values[missing] = np.nan
    return values.reshape(shown.n_repeats, shown.n_samples, -1)


def repeat_reliability(responses: np.ndarray, stimulus: np.ndarray) -> np.ndarray:
    """Reliability of each target's mean over repeats: mean correlation of pairs of repeats, stepped up.

    Repeats are correlated over the samples of each stimulus, all pairs of repeats averaged, r̄ stepped up to the number
    of repeats by Spearman–Brown, R r̄ / (1 + (R − 1) r̄), and stimuli averaged by their samples; negative r̄ counts as 0.

    Parameters
    ----------
    responses : (n_repeats, n_samples, n_targets), NaN where a repeat is missing
    stimulus : (n_samples,)

    Returns
    -------
    (n_targets,), NaN where no stimulus has two full repeats

    References
    ----------
    Spearman 1910 and Brown 1910, British Journal of Psychology 3:271 and 3:296.
    """
    import numpy as np

    present = np.isfinite(responses)
    patterns = np.packbits(present.reshape(-1, responses.shape[2]), axis=0).T
    reliability = np.full(responses.shape[2], np.nan)
    # targets that miss the same repeats go together: one with gaps says nothing of the others
    for pattern in np.unique(patterns, axis=0):
        targets = np.flatnonzero((patterns == pattern).all(axis=1))
        found = [
            _of_one_stimulus(responses[:, stimulus == name][:, :, targets], present[:, stimulus == name, targets[0]])
            for name in dict.fromkeys(stimulus.tolist())
        ]
        known = [(value, n) for value, n in found if n]
        if known:
            reliability[targets] = sum(value * n for value, n in known) / sum(n for _, n in known)
    return reliability


def _of_one_stimulus(responses: np.ndarray, present: np.ndarray) -> tuple[np.ndarray, int]:
    """Reliability of targets with the same repeats, and over how many samples; 0 samples where there is none.

    Items that were shown far less often than others are left out, so that they do not cost the others their repeats.
    """
    import numpy as np

    counts = present.sum(axis=0)
    often = counts >= max(2, counts.max(initial=0) / 2)
    full = present[:, often].all(axis=1)
    part = responses[full][:, often].astype(np.float64)
    n_repeats, n_samples = part.shape[:2]
    if n_repeats < 2 or n_samples < 3:
        return np.zeros(responses.shape[2]), 0
    part -= part.mean(axis=1, keepdims=True)
    length = np.sqrt((part**2).sum(axis=1, keepdims=True))
    part /= np.where(length > 0, length, 1.0)
    # Σ over pairs of products = (|Σ repeats|² − Σ |repeat|²) / 2
    of_all = (part.sum(axis=0) ** 2).sum(axis=0)
    own = (part**2).sum(axis=(0, 1))
    r = np.maximum((of_all - own) / (n_repeats * (n_repeats - 1)), 0.0)
    return n_repeats * r / (1 + (n_repeats - 1) * r), n_samples


def join_stimuli(
    parts: Sequence[tuple[Presentations, np.ndarray, Mapping[str, np.ndarray]]],
    targets: Mapping[str, np.ndarray],
    *,
    session: str,
    units: str,
    sample_interval_s: float | None,
    attrs: Mapping[str, object],
) -> xr.Dataset:
    """A recording of one session: stimuli one after another along ``sample``.

    Parameters
    ----------
    parts : (presentations, responses (repeat, sample, target), behaviour name → (repeat, sample)) of each stimulus
    targets : coordinates of the targets, ``target``, ``region`` and ``subject`` among them
    session : names the runs
    sample_interval_s : of the bins; None for items
    """
    import numpy as np
    import xarray as xr

    n_repeats = max(shown.n_repeats for shown, _, _ in parts)
    responses = np.concatenate([_filled(values, n_repeats) for _, values, _ in parts], axis=1)
    stimulus = np.concatenate([np.full(shown.n_samples, shown.stimulus) for shown, _, _ in parts])
    in_time = sample_interval_s is not None
    labels = np.concatenate([shown.labels for shown, _, _ in parts])
    coords: dict[str, object] = {
        "time_s" if in_time else "item": ("sample", labels, {"units": "s"} if in_time else {}),
        "run": ("sample", np.array([f"{session} {name}" for name in stimulus])),
        "stimulus": ("sample", stimulus),
        **{name: ("target", values) for name, values in targets.items()},
        "reliability": ("target", repeat_reliability(responses, stimulus)),
    }
    if not in_time:
        coords["blank"] = ("sample", (labels == BLANK).astype(np.int8))
        coords["condition"] = ("sample", np.concatenate([shown.condition for shown, _, _ in parts]))
    for name in parts[0][2]:
        behaviour = np.concatenate([_filled(one[name], n_repeats) for _, _, one in parts], axis=1)
        coords[name] = (("repeat", "sample"), behaviour)
    return xr.Dataset(
        {
            "responses": (("repeat", "sample", "target"), responses, {"units": units}),
            "n_repeats": (("sample", "target"), np.isfinite(responses).sum(axis=0)),
        },
        coords=coords,
        attrs={
            "units": units,
            "sample_kind": "time" if in_time else "item",
            **({"sample_interval_s": sample_interval_s} if in_time else {}),
            "high_pass_s": 0.0,
            "z_scored": 0,
            "n_subjects": 1,
            **attrs,
        },
    )


def _filled(values: np.ndarray, n_repeats: int) -> np.ndarray:
    """Repeats filled up with NaN."""
    import numpy as np

    missing = np.full((n_repeats - values.shape[0], *values.shape[1:]), np.nan, np.float32)
    return np.concatenate([values.astype(np.float32, copy=False), missing])
