"""What the samples of a sound must be like for their mean over channels to be the sound that was heard."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.core.errors import BrokenArtifact
from pipeline.stimuli.file_remarks import Notes

if TYPE_CHECKING:
    import numpy as np

LARGEST_FLOAT = 1.05
"""Floats may exceed ±1 by as much as filters do; integers cannot, and decoders of lossy formats overshoot more."""
LARGEST_LOSSY = 4.0
_CANCEL_R = -0.9
_CANCEL_POWER = 0.01
_SILENT_POWER = 1e-6
_QUIET_PEAK = 1e-3
_HELD_S = 1.0
_FULL_SCALES = {16: 2**15, 24: 2**23, 32: 2**31}


class SoundLevels:
    """Peak, powers and the last change of a sound that comes in blocks."""

    def __init__(self, n_channels: int) -> None:
        import numpy as np

        self.n_samples = 0
        self.peak = 0.0
        self._sums = np.zeros(n_channels)
        self._products = np.zeros((n_channels, n_channels))
        self._last_frame: np.ndarray | None = None
        self._held_from = 0

    def add(self, block: np.ndarray) -> None:
        """Take the next samples, (n, n_channels) float32 without NaN."""
        import numpy as np

        channels = np.ascontiguousarray(block.T)  # numpy is slow along an axis of two
        before = channels[:, :1] if self._last_frame is None else self._last_frame
        changes = np.flatnonzero((np.diff(channels, axis=1, prepend=before) != 0).any(axis=0))
        if changes.size:
            self._held_from = self.n_samples + int(changes[-1])
        wide = channels.astype(np.float64)
        self._sums += wide.sum(axis=1)
        self._products += np.einsum("ij,kj->ik", wide, wide)  # small: no threads of a matrix library for it
        self.peak = max(self.peak, float(np.abs(channels).max()))
        self.n_samples += len(block)
        self._last_frame = channels[:, -1:]

    @property
    def is_silent(self) -> bool:
        """Whether no sample differs from the first."""
        return self._held_from == 0

    def judge(self, path: Path, sampling_rate_hz: int, *, lossy: bool, low_bits_peak: float, notes: Notes) -> None:
        """Refuse a sound that is not what its numbers seem to be, and note what is odd.

        Parameters
        ----------
        lossy : whether a lossy format was decoded
        low_bits_peak : from `pipeline.stimuli.sounds.headers.check_header`

        Raises
        ------
        BrokenArtifact
            Beyond ±1, channels that cancel, or samples in the wrong bits of their numbers.
        """
        self._judge_peak(path, LARGEST_LOSSY if lossy else LARGEST_FLOAT)
        if self.is_silent:
            notes.add("silent", path, "all samples are equal: it is silent")
            return
        if self.peak <= low_bits_peak:
            raise BrokenArtifact(
                f"{path} says that it uses the upper bits of its numbers, but its samples lie in the lower ones and "
                f"would be read {1 / low_bits_peak:,.0f} times too quiet; save it anew with all bits used"
            )
        self._judge_channels(path, notes)
        if self.peak < _QUIET_PEAK:
            notes.add("quiet", path, f"it reaches only {self.peak:.1g} of full scale; was it scaled down twice?")
        held_s = (self.n_samples - 1 - self._held_from) / sampling_rate_hz
        if held_s >= _HELD_S or self.n_samples - 1 - self._held_from > self.n_samples / 2:
            notes.add("held", path, f"its last {held_s:.3g} s are one value, as where a sound was padded or broke off")

    def _judge_peak(self, path: Path, largest: float) -> None:
        if self.peak <= largest:
            return
        fitting = [(bits, scale) for bits, scale in _FULL_SCALES.items() if 2 < self.peak <= scale]
        remedy = "scale it down so that it fits"
        if fitting:
            bits, scale = fitting[0]
            remedy = f"if its numbers are those of {bits}-bit integers, divide them by {scale:,}"
        raise BrokenArtifact(f"{path} reaches {self.peak:,.5g}, but samples of a sound lie within ±1; {remedy}")

    def _judge_channels(self, path: Path, notes: Notes) -> None:
        import numpy as np

        n_channels = self._sums.size
        if n_channels == 1:
            return
        covariance = self._products / self.n_samples - np.outer(self._sums, self._sums) / self.n_samples**2
        power = np.diag(covariance)
        heard = power > _SILENT_POWER * power.max()
        r = covariance / np.sqrt(np.outer(np.where(heard, power, np.inf), np.where(heard, power, np.inf)))
        first, second = np.unravel_index(int(r.argmin()), r.shape)
        if r[first, second] < _CANCEL_R or covariance.mean() < _CANCEL_POWER * power.mean():
            raise BrokenArtifact(
                f"{path}: channels {min(first, second) + 1} and {max(first, second) + 1} cancel each other "
                f"(r = {r[first, second]:.2f}), so that their mean is not what was heard; save one of them as mono"
            )
        if not heard.all():
            silent = ", ".join(str(number + 1) for number in np.flatnonzero(~heard))
            share = heard.sum() / n_channels
            notes.add(
                "channel", path, f"channel {silent} of {n_channels} is silent, so the mean has {share:.0%} of the level"
            )
        elif n_channels > 2:
            notes.add(
                "channels", path, f"its {n_channels} channels are averaged; give a mono file if some are not sound"
            )
