"""The encode stage of joint fits: spaces on clocks of their own, what the scores hold, and each space by itself."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from pipeline.artifacts.recording import write_recording
from pipeline.artifacts.scores import open_header, open_scores, write_scores
from pipeline.core.errors import UnknownName
from pipeline.encoding.mapping import SpaceFiles
from pipeline.encoding.mappings.banded_ridge import BANDED_RIDGE, BandedRidgeOptions
from pipeline.encoding.stage import encode_group
from pipeline.inference.scores.variance_scores import JOINT, UNIQUE, variance_scores, variance_sums
from tests.encoding.test_encode_stage import ATTRS, story, write_activations

OPTIONS = BandedRidgeOptions.model_validate(
    {
        "spaces": ["sound:loudness"],
        "splits": {"n_folds": 3, "n_inner_folds": 3, "gap_s": 6},
        "delays_s": [2, 4],
        "penalties": {"n": 15},
        "n_weightings": 4,
    }
)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """A recording that follows a planted layer, in its first two targets loudness as well; activations of both."""
    folder = tmp_path_factory.mktemp("joint")
    recording, net = story(folder)
    generator = np.random.default_rng(11)
    clock = 7 + 2.0 * np.arange(1, 180)  # regressors that already hold a haemodynamic response, from 7 s on
    layers = {
        "loudness": generator.standard_normal((clock.size, 2)),
        "noise": generator.standard_normal((clock.size, 3)),
    }
    sound = write_activations(folder / "sound.zarr", layers, clock, model="sound", convolved=1)
    dataset = xr.open_dataset(recording, engine="h5netcdf").load()
    nearest = np.abs(clock[:, None] - dataset["time_s"].values).argmin(axis=0)
    dataset["responses"][:, :, :2] += 3 * layers["loudness"][nearest]
    write_recording(dataset, recording)
    return recording, net, sound


def encode(recording: Path, activations: Path, spaces: list[SpaceFiles], layers: tuple[str, ...]) -> xr.Dataset:
    runs = [(recording, activations)]
    return encode_group(
        BANDED_RIDGE, runs=runs, options=OPTIONS, layers=layers, attrs=ATTRS, shuffle_seed=None, spaces=spaces
    )


def test_scores_hold_what_divides_their_variance(files: tuple[Path, Path, Path], tmp_path: Path) -> None:
    recording, net, sound = files
    scores = encode(recording, net, [SpaceFiles("sound:loudness", ("loudness",), (sound,))], ("shallow", "planted"))
    write_scores(scores, tmp_path / "scores.nc")
    read = open_scores(tmp_path / "scores.nc")
    assert read["space"].values.tolist() == ["layer", "sound:loudness"]
    assert read["sum_sp"].dims == ("space", "block", "layer", "target")
    assert not {"sum_spp", "weight"} & set(open_header(tmp_path / "scores.nc").variables)
    np.testing.assert_allclose(read["weight"].sum("space"), 1, atol=1e-6)
    sums = variance_sums(read)
    assert sums is not None
    held = variance_scores(sums).over_folds(np.arange(5))[0]
    assert (held[JOINT, 1] > 0.7).all()
    assert (held[UNIQUE, 1, 2:] > 0.7).all() and (held[UNIQUE, 1, :2] > 0.02).all()
    assert (np.abs(held[UNIQUE, 0]) < 0.05).all()  # a layer that the responses do not follow

    # the space by itself: a job without spaces, which holds no division, and predicts as the fit without the layer does
    alone = encode(recording, sound, [], ("loudness",))
    assert "space" not in alone.dims and alone.attrs["metric"] == "banded_ridge"
    for name in ("sum_p", "sum_p2", "sum_py"):
        np.testing.assert_allclose(alone[name].values[:, 0], read[f"without_{name}"], atol=1e-4)


def test_layers_of_a_space_lie_side_by_side_and_must_be_there(files: tuple[Path, Path, Path]) -> None:
    recording, net, sound = files
    whole = encode(recording, net, [SpaceFiles("sound", None, (sound,))], ("planted",))
    assert whole["space"].values.tolist() == ["layer", "sound"]
    assert not np.array_equal(whole["without_sum_p"], whole["sum_p"].isel(layer=0))
    with pytest.raises(UnknownName, match="layer of space 'sound:pitch' 'pitch'"):
        encode(recording, net, [SpaceFiles("sound:pitch", ("pitch",), (sound,))], ("planted",))
