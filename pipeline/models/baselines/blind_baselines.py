"""What is known of a stimulus without looking or listening: what an item is called, and what a movie's clock gives.

Moments are alike because they are near in time, items because they are of one category.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.core.errors import LayermapError
from pipeline.models.entry import ModelEntry, Twin, evenly_deep

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

WIDTHS_S = (0.25, 1.0, 4.0)
REACH_SD = 4
"""How far bumps reach, and stand beyond both ends of the movie, so that its ends are like its middle. Without an end
their tails would be all that training rows hold of a held-out stretch, and be scaled up to match."""


class Category:
    """One feature per category that the stimulus names, in alphabetical order."""

    def clock(self, stimulus: xr.Dataset) -> tuple[str, np.ndarray]:
        from pipeline.artifacts.stimulus import item_names

        if "category" not in stimulus.variables:
            raise LayermapError(
                f"model 'category' needs categories of items, but stimulus '{stimulus.attrs['name']}' has none; "
                "leave the model out of this analysis"
            )
        return "item", item_names(stimulus)

    def batches(self, stimulus: xr.Dataset, batch_size: int) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
        import numpy as np

        from pipeline.artifacts.stimulus import labels

        categories = labels(stimulus["category"])
        one_hot = (categories[:, None] == np.unique(categories)[None, :]).astype(np.float32)
        yield 0, {"category": one_hot}


def load_category(entry: ModelEntry, weights_folder: Path | None, twin: Twin | None, device: str) -> Category:
    """The category baseline; it has no weights."""
    return Category()


class ElapsedTime:
    """Gaussian bumps over the time since the movie began, one layer per width; no picture is looked at."""

    def clock(self, stimulus: xr.Dataset) -> tuple[str, np.ndarray]:
        from pipeline.models.shown.image_stimuli import picture_clock

        return picture_clock(stimulus)

    def batches(self, stimulus: xr.Dataset, batch_size: int) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
        _, time_s = self.clock(stimulus)
        for start in range(0, len(time_s), batch_size):
            part_s = time_s[start : start + batch_size]
            yield start, {_layer(width_s): time_bumps(part_s, float(time_s[-1]), width_s) for width_s in WIDTHS_S}


def time_bumps(time_s: np.ndarray, duration_s: float, width_s: float) -> np.ndarray:
    """Gaussian bumps of SD ``width_s``, one SD apart, over a movie of ``duration_s``: (n, n_bumps) float32.

    A bump is 0 further than 4 SD from its centre. The correlation over bumps of two moments then depends on the time
    between them and on nothing else.

    Parameters
    ----------
    time_s : (n,) since the movie began
    """
    import numpy as np

    n_within = int(np.ceil(duration_s / width_s))
    distance_sd = time_s[:, None] / width_s - np.arange(-REACH_SD, n_within + REACH_SD + 1)
    return np.where(np.abs(distance_sd) <= REACH_SD, np.exp(-(distance_sd**2) / 2), 0.0).astype(np.float32)


def _layer(width_s: float) -> str:
    return f"bumps-{width_s:g}s"


def load_elapsed_time(entry: ModelEntry, weights_folder: Path | None, twin: Twin | None, device: str) -> ElapsedTime:
    """The elapsed-time baseline; it has no weights and runs on the CPU."""
    return ElapsedTime()


CATEGORY = ModelEntry(
    name="category",
    modalities=("audio", "images"),
    objective="baseline",
    factory="pipeline.models.baselines.blind_baselines:load_category",
    layers=evenly_deep(["category"]),
    title="Category labels",
    citation="labels as published with the stimuli",
    licence="BSD-3-Clause (this repository)",
    preprocessing={"code": "one-hot, categories in alphabetical order"},
)
ELAPSED_TIME = ModelEntry(
    name="elapsed-time",
    modalities=("movie",),
    objective="baseline",
    factory="pipeline.models.baselines.blind_baselines:load_elapsed_time",
    layers=evenly_deep([_layer(width_s) for width_s in WIDTHS_S]),
    title="Elapsed time",
    citation="—",
    licence="BSD-3-Clause (this repository)",
    preprocessing={"widths_s": list(WIDTHS_S), "spacing_sd": 1, "reach_sd": REACH_SD, "look_ahead_s": 0.0},
)
