"""Pictures and clips of frames as a network takes them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pipeline.models.torch.hooked_network import Pass

if TYPE_CHECKING:
    import numpy as np
    import torch
    import xarray as xr

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_SD = (0.229, 0.224, 0.225)
HALF = (0.5, 0.5, 0.5)


@dataclasses.dataclass(frozen=True)
class Optics:
    """How a picture becomes a network's input: ``(value / scale − mean) / sd``, whole field, resized to a square.

    A picture that is not square changes its aspect; none of the field is cropped. Grey is repeated to three colours.

    Parameters
    ----------
    size_px : side of the square
    mean, sd : per colour, of values divided by ``scale``
    scale : 255 for networks trained on values from 0 to 1
    """

    size_px: int
    mean: tuple[float, ...]
    sd: tuple[float, ...]
    scale: float = 255.0

    def __call__(self, pictures: np.ndarray) -> torch.Tensor:
        """(n, y, x, 1 or 3) uint8 → (n, 3, size_px, size_px) float32."""
        import torch

        from pipeline.models.shown.image_stimuli import resized

        values = resized(pictures, self.size_px, self.size_px)
        mean, sd = (torch.tensor(row).reshape(1, -1, 1, 1) * self.scale for row in (self.mean, self.sd))
        return ((values - mean) / sd).contiguous()

    @classmethod
    def of(cls, preprocessing: Mapping[str, Any]) -> Optics:
        """From the keys size_px, mean, sd and scale of an entry."""
        return cls(
            int(preprocessing["size_px"]),
            tuple(preprocessing["mean"]),
            tuple(preprocessing["sd"]),
            float(preprocessing.get("scale", 255.0)),
        )

    def describe(self) -> dict[str, Any]:
        """For an entry's ``preprocessing``."""
        return {
            "size_px": self.size_px,
            "mean": list(self.mean),
            "sd": list(self.sd),
            "scale": self.scale,
            "resize": "whole picture to a square, bilinear, antialiased",
            "colour": "grey repeated to three",
        }


class Pictures:
    """One sample per picture or movie frame.

    Parameters
    ----------
    argument : name of the network's argument; empty for its first positional one
    further : size of a batch → other arguments of the network
    """

    def __init__(self, optics: Optics, argument: str = "", further: Any = None) -> None:
        self._optics = optics
        self._argument = argument
        self._further = further

    def clock(self, stimulus: xr.Dataset) -> tuple[str, np.ndarray]:
        from pipeline.models.shown.image_stimuli import picture_clock

        return picture_clock(stimulus)

    def passes(self, stimulus: xr.Dataset, batch_size: int, first: int = 0) -> Iterator[Pass]:
        from pipeline.models.shown.image_stimuli import picture_batches

        for start, pictures in picture_batches(stimulus, batch_size, first):
            values = self._optics(pictures)
            if not self._argument:
                yield Pass(start, len(values), values)
                continue
            further = self._further(len(values)) if self._further else {}
            yield Pass(start, len(values), {self._argument: values, **further})


class Clips:
    """One sample per picture or movie frame: the clip of frames that ends with it.

    For a sample that ends at t its frames are those nearest to t, t − interval, t − 2 · interval …, so a clip keeps its
    duration whatever the movie's frame rate. Before the movie starts its
    first frame is taken to stand still. A still picture is a clip of equal frames.

    Parameters
    ----------
    n_frames : frames per clip
    frame_interval_s : between them
    time_axis : axis of time in the network's input, 1 (n, time, colour, y, x) or 2 (n, colour, time, y, x)
    average_time : layers come as (n, feature, time, y, x) and are averaged over time
    """

    def __init__(
        self,
        optics: Optics,
        n_frames: int,
        frame_interval_s: float,
        *,
        time_axis: int,
        argument: str = "",
        average_time: bool = False,
    ) -> None:
        self._optics = optics
        self._n_frames = n_frames
        self._interval_s = frame_interval_s
        self._time_axis = time_axis
        self._argument = argument
        self._select = _mean_over_time if average_time else None

    def clock(self, stimulus: xr.Dataset) -> tuple[str, np.ndarray]:
        from pipeline.models.shown.image_stimuli import picture_clock

        return picture_clock(stimulus)

    def passes(self, stimulus: xr.Dataset, batch_size: int, first: int = 0) -> Iterator[Pass]:
        for start, clips in self._clips(stimulus, batch_size, first):
            values = clips if self._time_axis == 1 else clips.transpose(1, 2).contiguous()
            inputs = {self._argument: values} if self._argument else values
            yield Pass(start, len(values), inputs, self._select)

    def _clips(self, stimulus: xr.Dataset, batch_size: int, first: int) -> Iterator[tuple[int, torch.Tensor]]:
        """(first sample, (n, time, colour, y, x)); each frame is prepared once per batch."""
        import numpy as np

        from pipeline.models.shown.image_stimuli import picture_batches, pictures_of

        if stimulus.attrs["modality"] == "images":
            for start, pictures in picture_batches(stimulus, batch_size, first):
                yield start, self._optics(pictures)[:, None].expand(-1, self._n_frames, -1, -1, -1).contiguous()
            return
        frames = pictures_of(stimulus)
        back = clip_offsets(self._n_frames, self._interval_s * float(stimulus.attrs["frame_rate_hz"]))
        for start in range(first, len(frames), batch_size):
            ends = np.arange(start, min(start + batch_size, len(frames)))
            wanted = np.maximum(ends[:, None] - back, 0)
            shown, place = np.unique(wanted, return_inverse=True)
            read = np.asarray(frames[int(shown[0]) : int(shown[-1]) + 1].values)[shown - shown[0]]
            yield start, self._optics(read)[place.reshape(wanted.shape)]


def clip_offsets(n_frames: int, frames_per_interval: float) -> np.ndarray:
    """How many movie frames before the sample's own each frame of its clip lies, oldest first: (n_frames,) int."""
    import numpy as np

    return np.floor(np.arange(n_frames)[::-1] * frames_per_interval + 0.5).astype(int)


def _mean_over_time(values: torch.Tensor) -> torch.Tensor:
    return values.mean(dim=2)
