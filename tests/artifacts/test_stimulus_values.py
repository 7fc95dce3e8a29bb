"""A stimulus that is not what its contract says is refused where it is written, whichever dataset it comes from."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from pipeline.artifacts.stimulus import open_stimulus, write_stimulus
from pipeline.artifacts.storage.store import standard_attrs
from pipeline.core.errors import BrokenArtifact
from pipeline.stimuli.pictures.picture_files import images_stimulus, movie_stimulus
from pipeline.stimuli.sounds.audio_files import audio_stimulus
from pipeline.stimuli.words import WordTable, words_stimulus

RNG = np.random.default_rng(0)


def good(modality: str) -> xr.Dataset:
    pictures = RNG.integers(0, 256, (3, 4, 5, 3), dtype=np.uint8)
    clips = [RNG.uniform(-1, 1, n).astype(np.float32) for n in (30, 20, 25)]
    words = WordTable(np.array(["a", "b", "c"]), np.array([0.0, 1.0, 1.0]), np.array([0.5, 1.0, 1.2]))
    stimulus = {
        "movie": lambda: movie_stimulus("m", pictures, 30.0),
        "images": lambda: images_stimulus("i", pictures, ["a", "b", "c"]),
        "audio": lambda: audio_stimulus("s", clips, ["a", "b", "c"], 16_000),
        "words": lambda: words_stimulus("w", words),
    }[modality]()
    return stimulus.assign_attrs(standard_attrs("stimulus", "test", "k", "s"))


@pytest.mark.parametrize("modality", ["movie", "images", "audio", "words"])
def test_good_stimuli_are_written(modality: str, tmp_path: Path) -> None:
    stimulus = good(modality)
    write_stimulus(stimulus, tmp_path / "s.zarr")
    read = open_stimulus(tmp_path / "s.zarr")
    for name in stimulus.variables:
        np.testing.assert_array_equal(read[name].values, stimulus[name].values)


def scaled(name: str, factor: float, kind: str) -> Callable[[xr.Dataset], xr.Dataset]:
    return lambda stimulus: stimulus.assign({name: (stimulus[name] * factor).astype(kind)})


def changed(name: str, index: tuple[int, ...], value: float) -> Callable[[xr.Dataset], xr.Dataset]:
    def change(stimulus: xr.Dataset) -> xr.Dataset:
        stimulus[name].values[index] = value
        return stimulus

    return change


@pytest.mark.parametrize(
    ("modality", "change", "message"),
    [
        ("movie", scaled("frames", 1 / 255, "float32"), "'frames' has type float32, expected uint8"),
        ("images", scaled("images", 1, "int64"), "'images' has type int64, expected uint8"),
        ("images", lambda stimulus: stimulus.isel(colour=[0, 1]), r"shape \(3, 4, 5, 2\)"),
        ("images", lambda stimulus: stimulus.isel(image=[]), r"shape \(0, 4, 5, 3\)"),
        ("movie", lambda stimulus: stimulus.assign_attrs(frame_rate_hz=0.0), "'frame_rate_hz' is 0"),
        ("audio", scaled("clips", 32768, "float32"), "clip 'a' reaches 3.*expected samples within ±1"),
        ("audio", scaled("clips", 1, "float64"), "'clips' has type float64"),
        ("audio", changed("clips", (1, 3), np.nan), "clip 'b' reaches nan"),
        ("audio", changed("clips", (2, 4), -np.inf), "clip 'c' reaches inf"),
        ("audio", changed("clips", (1, 25), 0.1), "clip 'b' goes on after its 20 samples"),
        ("audio", changed("n_samples", (0,), 31), "'n_samples' is 20 to 31, expected 1 to 30"),
        ("audio", changed("n_samples", (2,), 0), "'n_samples' is 0 to 30"),
        ("audio", lambda stimulus: stimulus.assign_attrs(sampling_rate_hz=float("nan")), "'sampling_rate_hz' is nan"),
        ("words", changed("offset_s", (1,), 0.5), r"word 2 \('b', 1 to 0\.5 s\) ends before its onset"),
        ("words", changed("onset_s", (2,), 0.9), r"word 3 \('c', 0\.9 to 1\.2 s\) begins before the word above"),
        ("words", changed("offset_s", (0,), np.nan), r"word 1 \('a', 0 to nan s\) has times that are no numbers"),
        ("words", lambda stimulus: stimulus.isel(word=[]), "there is no word"),
    ],
)
def test_values_that_break_the_contract_are_one_line(
    modality: str, change: Callable[[xr.Dataset], xr.Dataset], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "s.zarr"
    with pytest.raises(BrokenArtifact, match=message) as caught:
        write_stimulus(change(good(modality)), path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value) and not path.exists()
