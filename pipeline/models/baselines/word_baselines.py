"""What a story is before any language model: how many words, how frequent, and how loud."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.core.errors import LayermapError
from pipeline.models.entry import ModelEntry, Twin, evenly_deep

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

SOUND_POWER_NAME = "sound_power"


class WordRate:
    """Per word 1 and, where known, its log frequency; with ``length`` also its letters. Summed per sample by encode.

    A word stands at its middle: the baseline counts what is being spoken, it does not wait until a word is known.
    A word of unknown frequency counts as an average one.
    """

    def __init__(self, layer: str, *, length: bool) -> None:
        self._layer = layer
        self._length = length

    def clock(self, stimulus: xr.Dataset) -> tuple[str, np.ndarray]:
        import numpy as np

        return "time", (stimulus["onset_s"].values.astype(np.float64) + stimulus["offset_s"].values) / 2

    def batches(self, stimulus: xr.Dataset, batch_size: int) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
        import numpy as np

        columns = [np.ones(stimulus.sizes["word"])]
        if "log_frequency" in stimulus.variables:
            frequency = np.asarray(stimulus["log_frequency"].values, dtype=np.float64)
            known = np.isfinite(frequency)
            columns.append(np.where(known, frequency, frequency[known].mean() if known.any() else 0.0))
        if self._length:
            letters = [sum(map(str.isalpha, str(word))) for word in stimulus["text"].values]
            columns.append(np.array(letters, dtype=np.float64))
        yield 0, {self._layer: np.stack(columns, axis=1).astype(np.float32)}


class SoundPower:
    """The dataset's own sound-power regressor, already convolved with a haemodynamic response."""

    def clock(self, stimulus: xr.Dataset) -> tuple[str, np.ndarray]:
        import numpy as np

        names = _regressors(stimulus)
        if SOUND_POWER_NAME not in names:
            raise LayermapError(
                f"model 'sound-power' needs a regressor '{SOUND_POWER_NAME}', but stimulus '{stimulus.attrs['name']}' "
                f"has {', '.join(names) or 'none'}; leave the model out of this analysis"
            )
        return "time", np.asarray(stimulus["regressor_time_s"].values, dtype=np.float64)

    def batches(self, stimulus: xr.Dataset, batch_size: int) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
        import numpy as np

        course = stimulus["regressor"].values[_regressors(stimulus).index(SOUND_POWER_NAME)]
        yield 0, {"power": np.asarray(course, dtype=np.float32)[:, None]}


def _regressors(stimulus: xr.Dataset) -> list[str]:
    """Names of the time courses that come with a stimulus."""
    return [str(name) for name in stimulus["regressor_name"].values] if "regressor_name" in stimulus.variables else []


def load_word_rate(entry: ModelEntry, weights_folder: Path | None, twin: Twin | None, device: str) -> WordRate:
    """The word-rate baseline; it has no weights."""
    return WordRate("rate", length=False)


def load_word_properties(entry: ModelEntry, weights_folder: Path | None, twin: Twin | None, device: str) -> WordRate:
    """Word rate, frequency and length; no weights."""
    return WordRate("properties", length=True)


def load_sound_power(entry: ModelEntry, weights_folder: Path | None, twin: Twin | None, device: str) -> SoundPower:
    """The sound-power baseline; it has no weights."""
    return SoundPower()


WORD_RATE = ModelEntry(
    name="word-rate",
    modalities=("words",),
    objective="baseline",
    factory="pipeline.models.baselines.word_baselines:load_word_rate",
    layers=evenly_deep(["rate"]),
    title="Word rate + log frequency",
    citation="word onsets and frequencies as published with the stimulus",
    licence="BSD-3-Clause (this repository)",
    preprocessing={"frequency": "log", "sample": "at the word's middle"},
    rate="sum",
)
WORD_PROPERTIES = ModelEntry(
    name="word-properties",
    modalities=("words",),
    objective="baseline",
    factory="pipeline.models.baselines.word_baselines:load_word_properties",
    layers=evenly_deep(["properties"]),
    title="Word rate + log frequency + length",
    citation="word onsets and frequencies as published with the stimulus; length in letters",
    licence="BSD-3-Clause (this repository)",
    preprocessing={"frequency": "log", "length": "letters", "sample": "at the word's middle"},
    rate="sum",
)
SOUND_POWER = ModelEntry(
    name="sound-power",
    modalities=("words", "audio"),
    objective="baseline",
    factory="pipeline.models.baselines.word_baselines:load_sound_power",
    layers=evenly_deep(["power"]),
    title="Sound power",
    citation="regressor as published with the recordings",
    licence="BSD-3-Clause (this repository)",
    preprocessing={"regressor": SOUND_POWER_NAME, "haemodynamics": "convolved by the dataset's authors"},
    convolved=True,
)
