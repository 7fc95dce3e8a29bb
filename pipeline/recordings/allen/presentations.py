"""When the parts of a stimulus were shown, and to which samples of a recording they belong.

The same for 2-photon and Neuropixels recordings: frames of movies are gathered into bins, pictures and gratings
are items, and drifting gratings are played one after the other as a movie of their own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.core.errors import SampleMismatch
from pipeline.recordings.allen.stimuli import (
    DRIFTING,
    DRIFTING_CYCLE_FRAMES,
    DRIFTING_FRAMES,
    FRAME_RATE_HZ,
    GREY_FRAMES,
    SCENES,
    STATIC,
    drifting_number,
    scene_names,
    static_name,
)

if TYPE_CHECKING:
    import numpy as np

BLANK = "blank"
BLANK_CONDITION = -1
"""How the Allen tables number the grey screen among the scenes."""


@dataclasses.dataclass(frozen=True)
class Presentations:
    """One stimulus of one session.

    Parameters
    ----------
    stimulus : its name
    onset_s : (n_shown,) onset of each presented frame or picture on the recording's clock, in s
    repeat : (n_shown,) how often its sample had been shown before
    sample : (n_shown,) the sample of the recording that it belongs to
    time_s : (n_samples,) end of each bin on the stimulus clock, in s; None for items
    item : (n_samples,) names; None in time
    condition : (n_samples,) the number that the Allen tables give an item, −1 for the grey screen; None in time
    """

    stimulus: str
    onset_s: np.ndarray
    repeat: np.ndarray
    sample: np.ndarray
    time_s: np.ndarray | None = None
    item: np.ndarray | None = None
    condition: np.ndarray | None = None

    @property
    def n_repeats(self) -> int:
        return int(self.repeat.max()) + 1

    @property
    def labels(self) -> np.ndarray:
        """Times in s, or names of items: (n_samples,)."""
        labels = self.time_s if self.time_s is not None else self.item
        if labels is None:
            raise ValueError(f"presentations of {self.stimulus} have neither times nor items")
        return labels

    @property
    def n_samples(self) -> int:
        return int(self.labels.size)


def of_movie(
    stimulus: str, frame: np.ndarray, repeat: np.ndarray, onset_s: np.ndarray, *, frames_per_bin: int, source: Path
) -> Presentations:
    """Frames of a movie that was shown from beginning to end again and again, gathered into bins.

    Parameters
    ----------
    frame, repeat, onset_s : (n_shown,) in the order shown
    frames_per_bin : a last bin that is not full is left out
    source : for messages

    Raises
    ------
    SampleMismatch
        The movie was not shown in whole passes, or is shorter than a bin.
    """
    import numpy as np

    n_frames, n_repeats = int(frame.max()) + 1, int(repeat.max()) + 1
    if not np.array_equal(frame, np.tile(np.arange(n_frames), n_repeats)):
        raise SampleMismatch(
            f"{source}: the stimulus table of {stimulus} has {frame.size} presentations that are not {n_repeats} "
            f"passes through {n_frames} frames; add it to leave_out"
        )
    n_bins = n_frames // frames_per_bin
    if n_bins == 0:
        raise SampleMismatch(
            f"{source}: {stimulus} has {n_frames} frames, fewer than frames_per_bin ({frames_per_bin}); lower that"
        )
    kept = frame < n_bins * frames_per_bin
    return Presentations(
        stimulus,
        onset_s[kept],
        repeat[kept],
        frame[kept] // frames_per_bin,
        time_s=(np.arange(n_bins) + 1) * frames_per_bin / FRAME_RATE_HZ,
    )


def of_scenes(condition: np.ndarray, onset_s: np.ndarray, n_scenes: int, *, source: Path) -> Presentations:
    """Natural scenes: conditions 0 … n − 1 are the images, −1 the grey screen, which becomes the last sample.

    118 images are thus 119 conditions.

    Parameters
    ----------
    n_scenes : images in the template

    Raises
    ------
    SampleMismatch
        A condition has no image in the template.
    """
    import numpy as np

    condition = condition.astype(np.int64)
    wrong = condition[(condition < BLANK_CONDITION) | (condition >= n_scenes)]
    if wrong.size:
        raise SampleMismatch(
            f"{source}: scene {wrong[0]} was shown, but the template has {n_scenes} images; add it to leave_out"
        )
    sample = np.where(condition == BLANK_CONDITION, n_scenes, condition)
    numbers = np.append(np.arange(n_scenes), BLANK_CONDITION)
    return _items(SCENES, sample, onset_s, [*scene_names(n_scenes), BLANK], numbers)


def of_static_gratings(
    orientation_deg: np.ndarray,
    spatial_frequency_cpd: np.ndarray,
    phase: np.ndarray,
    onset_s: np.ndarray,
) -> Presentations:
    """Static gratings: one item per combination that was shown, in their order; NaN parameters are the grey screen."""
    import numpy as np

    parameters = np.stack([orientation_deg, spatial_frequency_cpd, phase], axis=1).astype(np.float64)
    shown = np.isfinite(parameters).all(axis=1)
    unique, number = np.unique(parameters[shown], axis=0, return_inverse=True)
    sample = np.full(onset_s.size, len(unique))
    sample[shown] = number.ravel()
    names = [static_name(*row) for row in unique.tolist()]
    return _items(STATIC, sample, onset_s, [*names, BLANK], np.append(np.arange(len(unique)), BLANK_CONDITION))


def of_drifting_gratings(
    orientation_deg: np.ndarray,
    temporal_frequency_hz: np.ndarray,
    onset_s: np.ndarray,
    *,
    frames_per_bin: int,
    source: Path,
) -> Presentations:
    """Drifting gratings, bin by bin, where they lie in the movie of all of them (`pipeline.recordings.allen.stimuli`).

    The grey screen between and instead of gratings has no samples. Every frame of a presentation begins 1/30 s
    after the one before it.

    Raises
    ------
    SampleMismatch
        A grating is none of the 40 that belong to the stimulus, or bins do not fit into presentations and pauses.
    """
    import numpy as np

    shown = np.isfinite(orientation_deg) & np.isfinite(temporal_frequency_hz)
    number = drifting_number(orientation_deg[shown], temporal_frequency_hz[shown], source)
    if GREY_FRAMES % frames_per_bin:
        raise SampleMismatch(
            f"{source}: drifting gratings need bins that divide {GREY_FRAMES} frames, and frames_per_bin is "
            f"{frames_per_bin}; take 1, 2, 3, 5, 6, 10, 15 or 30"
        )
    n_bins = DRIFTING_FRAMES // frames_per_bin
    repeat = _occurrence(number)
    frames = np.arange(n_bins * frames_per_bin)
    conditions = np.unique(number)
    place = np.searchsorted(conditions, number)
    begins_s = (conditions * DRIFTING_CYCLE_FRAMES + GREY_FRAMES) / FRAME_RATE_HZ
    ends_s = (np.arange(n_bins) + 1) * frames_per_bin / FRAME_RATE_HZ
    return Presentations(
        DRIFTING,
        (onset_s[shown][:, None] + frames / FRAME_RATE_HZ).ravel(),
        np.repeat(repeat, frames.size),
        (place[:, None] * n_bins + frames // frames_per_bin).ravel(),
        time_s=(begins_s[:, None] + ends_s).ravel(),
    )


def _items(
    stimulus: str, sample: np.ndarray, onset_s: np.ndarray, names: Sequence[str], condition: np.ndarray
) -> Presentations:
    """Items that were shown at all, each with as many repeats as it was shown; the others are left out."""
    import numpy as np

    order = np.argsort(onset_s, kind="stable")
    present, place = np.unique(sample[order], return_inverse=True)
    return Presentations(
        stimulus,
        onset_s[order],
        _occurrence(place),
        place,
        item=np.asarray(names)[present],
        condition=condition[present],
    )


def _occurrence(numbers: np.ndarray) -> np.ndarray:
    """How often each number stood before: [3, 5, 3, 3] → [0, 0, 1, 2]."""
    import numpy as np

    order = np.argsort(numbers, kind="stable")
    ordered = numbers[order]
    first = np.searchsorted(ordered, ordered, side="left")
    occurrence = np.empty(numbers.size, np.int64)
    occurrence[order] = np.arange(numbers.size) - first
    return occurrence
