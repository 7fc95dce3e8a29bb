"""Bringing activations to the recording's clock, and delaying and filtering them there."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal

import numpy as np

from pipeline.core.errors import BadConfiguration, SampleMismatch
from pipeline.stimuli.overlap import check_overlap

TOLERANCE = 1e-6  # of a sample interval: an activation at 4.0000001 s still belongs to the bin that ends at 4 s


@dataclasses.dataclass(frozen=True)
class Alignment:
    """Which activation samples make up which bin of one run; the same for all layers.

    Parameters
    ----------
    source : array of activation sample numbers
    bin : array of the same shape, the bin that each goes to, ascending
    n_bins : length of the bin grid
    rows : array of shape (n_samples,), the bin of each sample of the recording
    rate : ``mean`` (bins without activations are NaN) or ``sum`` (they are zero)
    """

    source: np.ndarray
    bin: np.ndarray
    n_bins: int
    rows: np.ndarray
    rate: Literal["mean", "sum"] = "mean"

    def apply(self, activations: np.ndarray) -> np.ndarray:
        """Bin one layer's ``(n_activation_samples, n_features)``: ``(n_bins, n_features)`` float32."""
        binned = np.empty((self.n_bins, activations.shape[1]), np.float32)
        Binning(self, [binned]).add(0, activations)
        return binned


class Binning:
    """Bins one layer whose activations come block by block: the numbers are the same for blocks of any size.

    Parameters
    ----------
    alignment : where activations go
    binned : arrays of shape (n_bins, n_features), float32, that are filled alike
    """

    def __init__(self, alignment: Alignment, binned: Sequence[np.ndarray]) -> None:
        self._alignment = alignment
        self._binned = binned
        self._by_source = np.argsort(alignment.source, kind="stable")
        self._sources = alignment.source[self._by_source]
        used, start = np.unique(alignment.bin, return_index=True)
        last = np.maximum.reduceat(alignment.source, start)
        self._last = np.repeat(last, np.diff(start, append=alignment.bin.size))
        """Of each entry of ``source``, the last activation that its bin waits for."""
        self._waiting: tuple[np.ndarray, np.ndarray] | None = None
        empty = np.setdiff1d(np.arange(alignment.n_bins), used)
        for out in binned:
            out[empty] = 0.0 if alignment.rate == "sum" else np.nan

    def add(self, first: int, activations: np.ndarray) -> None:
        """Take in activations ``(n, n_features)`` from number ``first`` on, where the last block ended."""
        stop = first + len(activations)
        entries = self._by_source[slice(*np.searchsorted(self._sources, (first, stop)))]
        values = activations[self._alignment.source[entries] - first]
        if self._waiting is not None:
            entries = np.concatenate([self._waiting[0], entries])
            values = np.concatenate([self._waiting[1], values])
        # a bin is summed in one go, once all of it is there: sums in parts would round differently
        whole = self._last[entries] < stop
        self._waiting = None if whole.all() else (entries[~whole], values[~whole])
        ready = np.flatnonzero(whole)
        ready = ready[np.argsort(entries[ready], kind="stable")]
        if not ready.size:
            return
        used, start, count = np.unique(self._alignment.bin[entries[ready]], return_index=True, return_counts=True)
        totals = np.add.reduceat(values[ready], start, axis=0, dtype=np.float64)
        for out in self._binned:
            out[used] = totals / count[:, None] if self._alignment.rate == "mean" else totals


def align_time(
    activation_time_s: np.ndarray,
    sample_time_s: np.ndarray,
    sample_interval_s: float,
    *,
    rate: Literal["mean", "sum"],
    max_delay: int,
    source: str,
) -> Alignment:
    """Collect activations into the recording's bins ``(t − interval, t]``.

    The grid of bins reaches back to the first activation, and at least ``max_delay`` bins before the first
    sample, so that delayed rows see what was already playing when recording began.

    Parameters
    ----------
    activation_time_s : array, end of the input that each activation has seen, on the stimulus clock, in s
    sample_time_s : array of shape (n_samples,), end of each bin of the recording, on the same clock, in s
    source : the two files, for messages

    Raises
    ------
    SampleMismatch
        The recording's samples are not on a grid, no activation falls into any of them, or fewer than two thirds of
        them lie within the stimulus.
    """
    bins = _grid(sample_time_s, sample_interval_s, source)
    _check_lengths(activation_time_s, sample_time_s, sample_interval_s, source, tail_s=max_delay * sample_interval_s)
    bin_of = np.ceil((activation_time_s - sample_time_s[0]) / sample_interval_s - TOLERANCE).astype(np.int64)
    if not np.isin(bin_of, bins).any():
        raise SampleMismatch(
            f"{source}: no activation (between {activation_time_s.min():g} and {activation_time_s.max():g} s) falls "
            f"into a sample of the recording ({sample_time_s[0]:g} to {sample_time_s[-1]:g} s); "
            "prepare both from one stimulus"
        )
    first = min(int(bin_of.min()), -max_delay, 0)
    source_index = np.flatnonzero(bin_of <= bins[-1])
    order = source_index[np.argsort(bin_of[source_index], kind="stable")]
    return Alignment(order, bin_of[order] - first, int(bins[-1]) - first + 1, bins - first, rate)


def align_convolved(
    activation_time_s: np.ndarray, sample_time_s: np.ndarray, sample_interval_s: float, *, source: str
) -> Alignment:
    """Sample features that already carry a haemodynamic response at the activation nearest to each bin's end.

    Such features are smooth, so the nearest within one interval stands for the bin; farther ones leave it empty.

    Raises
    ------
    SampleMismatch
        No sample of the recording has a feature within one interval, or fewer than two thirds lie within the stimulus.
    """
    _grid(sample_time_s, sample_interval_s, source)
    _check_lengths(activation_time_s, sample_time_s, sample_interval_s, source)
    order = np.argsort(activation_time_s, kind="stable")
    times = activation_time_s[order]
    after = np.clip(np.searchsorted(times, sample_time_s), 0, times.size - 1)
    before = np.clip(after - 1, 0, None)
    nearest = np.where(np.abs(times[before] - sample_time_s) <= np.abs(times[after] - sample_time_s), before, after)
    near = np.flatnonzero(np.abs(times[nearest] - sample_time_s) <= sample_interval_s * (1 + TOLERANCE))
    if near.size == 0:
        raise SampleMismatch(
            f"{source}: no regressor (between {times[0]:g} and {times[-1]:g} s) lies within {sample_interval_s:g} s "
            f"of a sample of the recording ({sample_time_s[0]:g} to {sample_time_s[-1]:g} s); "
            "prepare both from one stimulus"
        )
    return Alignment(order[nearest[near]], near, sample_time_s.size, np.arange(sample_time_s.size))


def _check_lengths(
    activation_time_s: np.ndarray, sample_time_s: np.ndarray, interval_s: float, source: str, tail_s: float = 0.0
) -> None:
    """Refuse a recording that lies beside its stimulus, from the clock's zero to the last activation."""
    check_overlap(
        sample_time_s,
        interval_s,
        (min(0.0, float(activation_time_s.min())), float(activation_time_s.max())),
        recording=f"{source}: the recording",
        stimulus="the activations",
        remedy="correct the recording's sample interval (TR) or the stimulus' frame rate or onsets",
        tail_s=tail_s,
    )


def without_features(alignment: Alignment, delays: Sequence[int]) -> np.ndarray:
    """Which samples have no activation in any bin that their delays reach: (n_samples,) bool.

    Where activations are summed, a pause is zero and no gap: only samples before the first and after the last count.
    """
    present = np.zeros(alignment.n_bins, bool)
    present[alignment.bin] = True
    if alignment.rate == "sum":
        present[alignment.bin.min() : alignment.bin.max() + 1] = True
    reached = alignment.rows[:, None] - np.asarray(delays)
    there = (reached >= 0) & present[np.clip(reached, 0, alignment.n_bins - 1)]
    return np.asarray(~there.any(axis=1))


def align_items(activation_items: np.ndarray, sample_items: np.ndarray, *, source: str) -> Alignment:
    """Put activations into the order of the recording's items.

    Raises
    ------
    SampleMismatch
        An item of the recording has no activations; the message names it.
    """
    where = {name: index for index, name in enumerate(activation_items.tolist())}
    missing = [name for name in sample_items.tolist() if name not in where]
    if missing:
        raise SampleMismatch(
            f"{source}: item '{missing[0]}' of the recording has no activations ({len(set(missing))} of "
            f"{len(set(sample_items.tolist()))} items are missing); remake them with: snakemake activate"
        )
    index = np.array([where[name] for name in sample_items.tolist()])
    rows = np.arange(sample_items.size)
    return Alignment(index, rows, rows.size, rows)


def _grid(sample_time_s: np.ndarray, sample_interval_s: float, source: str) -> np.ndarray:
    """Whole number of intervals of each sample after the first."""
    place = (sample_time_s - sample_time_s[0]) / sample_interval_s
    bins = np.round(place).astype(np.int64)
    if np.abs(place - bins).max() > 0.01 or (np.diff(bins) < 1).any():
        raise SampleMismatch(
            f"{source}: time_s of the recording is not ascending in whole intervals of {sample_interval_s:g} s; "
            "resample the responses in prepare"
        )
    return np.asarray(bins)


def whole_delays(delays_s: tuple[float, float] | None, sample_interval_s: float) -> list[int]:
    """Delays in samples, from ceil(first / interval) to floor(last / interval); None gives [0].

    Raises
    ------
    BadConfiguration
        No whole sample lies between the two.
    """
    if delays_s is None:
        return [0]
    first = int(np.ceil(delays_s[0] / sample_interval_s - TOLERANCE))
    last = int(np.floor(delays_s[1] / sample_interval_s + TOLERANCE))
    if last < first:
        raise BadConfiguration(
            f"delays_s [{delays_s[0]:g}, {delays_s[1]:g}] hold no multiple of the sample interval, "
            f"{sample_interval_s:g} s; widen them"
        )
    return list(range(first, last + 1))
