"""The encode stage on small artifacts: a planted layer, the contract of its scores, and inputs that do not match."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from pipeline.artifacts.activations import ActivationWriter, LayerInfo
from pipeline.artifacts.recording import write_recording
from pipeline.artifacts.scores import open_scores, write_scores
from pipeline.artifacts.storage.store import standard_attrs
from pipeline.core.errors import BadConfiguration, BrokenArtifact, LayermapError, SampleMismatch, UnknownName
from pipeline.encoding.arithmetic.correlation import fisher_z
from pipeline.encoding.mappings.ridge import RIDGE, RidgeOptions
from pipeline.encoding.stage import encode_group

pytestmark = pytest.mark.slow

LAYERS = ("shallow", "planted", "deep")
ATTRS = {
    "study": "s",
    "analysis": "a",
    "group": "g",
    "created_by": "test",
    "config_sha": "0",
    "inputs_sha": "0",
}
IN_TIME = RidgeOptions.model_validate(
    {"splits": {"n_folds": 4, "n_inner_folds": 3, "gap_s": 6}, "delays_s": [2, 4], "penalties": {"n": 15}}
)
OF_ITEMS = RidgeOptions.model_validate(
    {"splits": {"kind": "random_items", "n_folds": 4, "n_inner_folds": 3}, "penalties": {"n": 15}}
)


def write_activations(path: Path, layers: dict[str, np.ndarray], clock: np.ndarray, **attrs: Any) -> Path:
    kind = "item" if clock.dtype.kind == "U" else "time"
    writer = ActivationWriter(
        path,
        [LayerInfo(name, index, index / 2) for index, name in enumerate(layers)],
        clock.size,
        clock,
        {
            **standard_attrs("activations", "test", "0", "0"),
            **{"model": "net", "modality": "audio", "objective": "sorting", "sample_kind": kind},
            **{"weights_sha256": "f00", "preprocessing": "{}", "reduction": "{}", "stimulus": "story"},
            **{"rate": "mean", "convolved": 0, **attrs},
        },
    )
    writer.write(0, {name: values.astype(np.float32) for name, values in layers.items()})
    writer.close()
    return path


def write_responses(path: Path, responses: np.ndarray, clock: np.ndarray, **attrs: Any) -> Path:
    """``responses`` (repeat, sample, target); attrs may also hold variables of the dataset."""
    _, n_samples, n_targets = responses.shape
    kind = "item" if clock.dtype.kind == "U" else "time"
    variables = {name: attrs.pop(name) for name in list(attrs) if isinstance(attrs[name], tuple)}
    text = {"run": ["r"] * n_samples, "stimulus": ["story"] * n_samples}
    names = {"target": [f"t{i}" for i in range(n_targets)], "subject": ["s1"] * n_targets}
    dataset = xr.Dataset(
        {
            "responses": (("repeat", "sample", "target"), responses.astype(np.float32)),
            "n_repeats": (("sample", "target"), np.isfinite(responses).sum(axis=0)),
            **{name: ("sample", np.array(values, dtype=object)) for name, values in text.items()},
            **{name: ("target", np.array(values, dtype=object)) for name, values in names.items()},
            "region": ("target", np.array(["A", "A", "B", "B", "C", "C"][:n_targets], dtype=object)),
            "item" if kind == "item" else "time_s": ("sample", clock.astype(object) if kind == "item" else clock),
            **variables,
        },
        attrs={
            **standard_attrs("recording", "test", "0", "0"),
            **{"units": "a.u.", "sample_kind": kind, "high_pass_s": 0.0, "z_scored": 0, "n_subjects": 1},
            **({"sample_interval_s": 2.0} if kind == "time" else {}),
            **attrs,
        },
    )
    write_recording(dataset, path)
    return path


def story(folder: Path, n_samples: int = 160, seed: int = 0, **attrs: Any) -> tuple[Path, Path]:
    """A recording from 10 s of a story on, 2 s behind the planted layer; the last of six targets is constant."""
    generator = np.random.default_rng(seed)
    clock = np.arange(1, 2 * (2 * n_samples + 10) + 1) / 2  # activations at 2 Hz
    layers = {name: generator.standard_normal((clock.size, 8)) for name in LAYERS}
    sample_time = 10 + 2.0 * np.arange(1, n_samples + 1)
    binned = np.stack([layers["planted"][(clock > t - 4) & (clock <= t - 2)].mean(axis=0) for t in sample_time])
    weights = np.random.default_rng(7).standard_normal((8, 6))
    signal = binned @ weights
    responses = signal / signal.std(axis=0) + 0.5 * generator.standard_normal((4, n_samples, 6))
    responses[:, :, 5] = 2.0
    folder.mkdir(parents=True, exist_ok=True)
    return (
        write_responses(folder / "r.nc", responses, sample_time, **attrs),
        write_activations(folder / "a.zarr", layers, clock),
    )


def sounds(folder: Path, n_items: int = 90) -> tuple[Path, Path]:
    generator = np.random.default_rng(1)
    names = np.array([f"sound-{i}" for i in range(n_items)])
    layers = {name: generator.standard_normal((n_items, 8)) for name in LAYERS}
    responses = (layers["planted"] @ generator.standard_normal((8, 4)))[None] + generator.standard_normal(
        (1, n_items, 4)
    )
    order = generator.permutation(n_items)
    category = np.array(["speech", "music", "nature"])[np.arange(n_items) % 3].astype(object)
    return (
        write_responses(folder / "r.nc", responses[:, order], names[order], category=("sample", category[order])),
        write_activations(folder / "a.zarr", layers, names),
    )


def encode(
    *runs: tuple[Path, Path],
    options: RidgeOptions = IN_TIME,
    layers: tuple[str, ...] = LAYERS,
    shuffle: int | None = None,
) -> xr.Dataset:
    return encode_group(RIDGE, runs=list(runs), options=options, layers=layers, attrs=ATTRS, shuffle_seed=shuffle)


def fold_mean_r(scores: xr.Dataset) -> np.ndarray:
    """Fisher mean over folds of r, (layer, target), from the sufficient statistics alone."""
    z = []
    for fold in np.unique(scores["fold"]):
        part = scores.isel(block=np.flatnonzero(scores["fold"] == fold))
        n, p, p2, py, y, y2 = (
            part[name].sum("block").values for name in ("n", "sum_p", "sum_p2", "sum_py", "sum_y", "sum_y2")
        )
        covariance, var_p, var_y = py - p * y / n, p2 - p**2 / n, y2 - y**2 / n
        flat = (var_p < 1e-12) | (var_y < 1e-12)
        z.append(fisher_z(np.where(flat, 0, covariance / np.sqrt(np.where(flat, 1, var_p * var_y)))))
    return np.asarray(np.tanh(np.mean(z, axis=0)))


def test_planted_layer_wins_and_scores_fulfil_their_contract(tmp_path: Path) -> None:
    scores = encode(story(tmp_path))
    r = fold_mean_r(scores)
    noise = r[[0, 2], :5]  # of one target, r of noise has an SD of .11 in so few samples
    assert np.all(r[1, :5] > 0.8) and np.all(np.abs(noise) < 0.4) and np.all(np.abs(noise.mean(axis=1)) < 0.15)
    assert scores["constant"].values.tolist() == [0, 0, 0, 0, 0, 1] and np.all(r[:, 5] == 0)
    write_scores(scores, tmp_path / "scores.nc")
    read = open_scores(tmp_path / "scores.nc")
    assert read.attrs["objective"] == "sorting" and read.attrs["weights_sha256"] == "f00"
    assert read.attrs["ci_unit"] == "block" and read["n"].sum() == 160
    assert read["layer_index"].values.tolist() == [0, 1, 2]
    assert not any(np.isnan(read[name]).any() for name in ("sum_p", "sum_py", "sum_y2", "penalty", "predicted"))


def test_reliability_and_ceiling_are_those_of_the_mean(tmp_path: Path) -> None:
    scores = encode(story(tmp_path))
    expected = 1 / (1 + 0.5**2 / 4)
    np.testing.assert_allclose(scores["reliability"][:5], expected, atol=0.03)
    assert np.all(fold_mean_r(scores)[1, :5] < scores["ceiling"][:5] + 0.02)
    assert scores["reliability"][5] == 0 and np.isnan(scores["ceiling"][5])


def test_examples_are_the_best_targets_of_distinct_regions(tmp_path: Path) -> None:
    scores = encode(story(tmp_path))
    shown = scores["example_target"].values.tolist()
    regions = dict(zip(scores["target"].values.tolist(), scores["region"].values.tolist(), strict=True))
    assert len(shown) == 4 and {regions[name] for name in shown[:3]} == {"A", "B", "C"} and "t5" not in shown
    assert set(scores["example_layer"].values.tolist()) == {"planted"}
    assert np.corrcoef(scores["predicted"][0], scores["measured"][0])[0, 1] > 0.8


def test_runs_are_joined_and_equal_bytes_come_from_equal_inputs(tmp_path: Path) -> None:
    runs = [story(tmp_path / f"{i}", n_samples=80 + 10 * i, seed=i) for i in range(3)]
    first, second = encode(*runs), encode(*runs)
    assert first.identical(second)
    assert first.sizes["sample"] == 270 and np.all(np.diff(first["sample_time"]) > 0)
    assert np.all(fold_mean_r(first)[1, :5] > 0.8)
    for name, scores in (("a.nc", first), ("b.nc", second)):
        write_scores(scores, tmp_path / name)
    assert (tmp_path / "a.nc").read_bytes() == (tmp_path / "b.nc").read_bytes()


def test_high_pass_filter_is_applied_to_features_too(tmp_path: Path) -> None:
    from pipeline.stimuli.temporal_filter import cosine_high_pass

    recording, activations = story(tmp_path)
    dataset = xr.open_dataset(recording, engine="h5netcdf").load()
    dataset["responses"][:, :, 0] += 20 * np.sin(np.arange(160) / 160 * 4)  # a drift the filter takes away
    for repeat in range(4):
        dataset["responses"][repeat] = cosine_high_pass(dataset["responses"][repeat].values, 2.0, 60.0)
    write_recording(dataset.assign_attrs(high_pass_s=60.0), tmp_path / "filtered.nc")
    assert np.all(fold_mean_r(encode((tmp_path / "filtered.nc", activations)))[1, :5] > 0.8)


def test_filtered_noise_is_not_predicted(tmp_path: Path) -> None:
    """More features than samples and slow noise on both sides: a filter over the whole run gave r of about .1 here."""
    from scipy.signal import lfilter

    from pipeline.stimuli.temporal_filter import cosine_high_pass

    z = []
    for seed in range(8):
        generator = np.random.default_rng(seed)
        slow = lfilter([1], [1, -0.9], generator.standard_normal((180, 206)), axis=0)
        clock = 2.0 * np.arange(1, 181)
        noise = cosine_high_pass(slow[:, :6], 2.0, 128.0)
        folder = tmp_path / str(seed)
        folder.mkdir()
        recording = write_responses(folder / "r.nc", noise[None], clock, high_pass_s=128.0)
        activations = write_activations(folder / "a.zarr", dict.fromkeys(LAYERS, slow[:, 6:]), clock)
        z.append(fisher_z(fold_mean_r(encode((recording, activations)))).mean())
    assert abs(np.mean(z)) < 2 * np.std(z, ddof=1) / np.sqrt(len(z))


def test_shuffled_responses_find_nothing(tmp_path: Path) -> None:
    run = story(tmp_path)
    z = np.concatenate([fisher_z(fold_mean_r(encode(run, shuffle=seed))[:, :5]).ravel() for seed in range(6)])
    assert abs(z.mean()) < 2 * z.std(ddof=1) / np.sqrt(z.size)
    assert fold_mean_r(encode(run))[1, 0] > 0.8


def test_items_in_any_order_with_categories(tmp_path: Path) -> None:
    scores = encode(sounds(tmp_path), options=OF_ITEMS)
    assert scores.sizes["block"] == 90 and np.all(scores["n"] == 1) and scores.attrs["ci_unit"] == "item"
    category = {"0": "speech", "1": "music", "2": "nature"}
    number = [int(name.split("-")[1]) % 3 for name in scores["block_item"].values]
    assert scores["block_category"].values.tolist() == [category[str(i)] for i in number]
    assert fold_mean_r(scores)[1].min() > 0.8 and np.abs(fold_mean_r(scores)[[0, 2]]).max() < 0.35


def test_convolved_features_take_no_delays(tmp_path: Path) -> None:
    generator = np.random.default_rng(3)
    clock = 2.0 * np.arange(1, 101)
    power = np.convolve(generator.standard_normal(110), np.hanning(10), "valid")[:100, None]
    recording = write_responses(tmp_path / "r.nc", (power + generator.standard_normal((1, 100, 2))), clock)
    activations = write_activations(tmp_path / "a.zarr", {"power": power}, clock + 0.3, convolved=1)
    scores = encode((recording, activations), layers=("power",))
    assert '"delays": [0]' in scores.attrs["split"]
    assert fold_mean_r(scores).min() > 0.5


def one_line(error: LayermapError) -> str:
    assert "\n" not in str(error)
    return str(error)


def test_targets_that_differ_between_runs_are_refused(tmp_path: Path) -> None:
    first, second = story(tmp_path / "0"), story(tmp_path / "1", seed=1)
    dataset = xr.open_dataset(second[0], engine="h5netcdf").load().isel(target=slice(0, 4))
    write_recording(dataset, tmp_path / "fewer.nc")
    with pytest.raises(SampleMismatch) as caught:
        encode(first, (tmp_path / "fewer.nc", second[1]))
    assert all(part in one_line(caught.value) for part in ("fewer.nc has 4 targets", "r.nc 6", "'t4'"))


def test_missing_item_is_refused(tmp_path: Path) -> None:
    recording, _ = sounds(tmp_path)
    layers = {name: np.zeros((3, 8)) for name in LAYERS}
    activations = write_activations(tmp_path / "short.zarr", layers, np.array(["sound-0", "sound-1", "sound-2"]))
    with pytest.raises(SampleMismatch) as caught:
        encode((recording, activations), options=OF_ITEMS)
    assert all(part in one_line(caught.value) for part in ("r.nc", "short.zarr", "87 of 90 items"))


def test_other_stimulus_is_refused(tmp_path: Path) -> None:
    recording, _ = story(tmp_path)
    other = write_activations(tmp_path / "o.zarr", {"planted": np.zeros((9, 2))}, np.arange(9.0), stimulus="film")
    with pytest.raises(SampleMismatch, match=r"stimulus 'story', but .*o\.zarr is of 'film'"):
        encode((recording, other), layers=("planted",))


def test_response_without_any_repeat_is_refused(tmp_path: Path) -> None:
    recording, activations = story(tmp_path)
    dataset = xr.open_dataset(recording, engine="h5netcdf").load()
    dataset["responses"][:, 3, 2] = np.nan
    dataset["n_repeats"][3, 2] = 0
    write_recording(dataset, tmp_path / "hole.nc")
    with pytest.raises(SampleMismatch, match="target 't2' has no repeat of sample 3"):
        encode((tmp_path / "hole.nc", activations))


def test_infinite_activations_are_refused(tmp_path: Path) -> None:
    recording, _ = sounds(tmp_path)
    names = np.array([f"sound-{i}" for i in range(90)])
    values = np.zeros((90, 2))
    values[4, 1] = np.nan
    activations = write_activations(tmp_path / "nan.zarr", {"planted": values}, names)
    with pytest.raises(BrokenArtifact, match=r"nan\.zarr: layer 'planted' holds NaN"):
        encode((recording, activations), options=OF_ITEMS, layers=("planted",))


def test_unknown_layer_and_delayed_items_are_refused(tmp_path: Path) -> None:
    run = sounds(tmp_path)
    with pytest.raises(UnknownName, match=r"'plantd' .*closest: 'planted'"):
        encode(run, options=OF_ITEMS, layers=("plantd",))
    with pytest.raises(BadConfiguration, match="need a recording in time"):
        encode(run, options=OF_ITEMS.model_copy(update={"delays_s": (2.0, 8.0)}))


def test_missing_repeats_stay_missing_behind_a_filter(tmp_path: Path) -> None:
    recording, activations = story(tmp_path)
    dataset = xr.open_dataset(recording, engine="h5netcdf").load()
    dataset["responses"][1:, 80:] = np.nan
    dataset["n_repeats"][80:] = 1
    write_recording(dataset.assign_attrs(high_pass_s=128.0), tmp_path / "ragged.nc")
    ragged = encode((tmp_path / "ragged.nc", activations))
    # with the missing repeats counted as zeros, the responses of the second half would shrink to a quarter
    spread = ragged["sum_y2"].values[:, 0] / ragged["n"].values
    half = spread.size // 2
    assert 0.5 < spread[half:].mean() / spread[:half].mean() < 2


def test_the_surface_and_the_stimuli_of_blocks_are_kept(tmp_path: Path) -> None:
    painted = ("surface_vertex", np.array(["", "lh-A", "rh-B", ""], dtype=object))
    unit = ("target", np.array([f"lh-{i}" for i in range(6)], dtype=object))
    one, other = (
        story(tmp_path / name, seed=seed, surface_unit=painted, surface_mesh="fsaverage5", unit=unit)
        for seed, name in enumerate(("one", "other"))
    )
    scores = encode_group(
        RIDGE, runs=[one, other], options=IN_TIME, layers=("planted",), attrs=ATTRS, shuffle_seed=None
    )
    write_scores(scores, tmp_path / "scores.nc")
    opened = open_scores(tmp_path / "scores.nc")
    assert opened["surface_unit"].values.tolist() == ["", "lh-A", "rh-B", ""]
    assert opened.attrs["surface_mesh"] == "fsaverage5" and opened["unit"].values.tolist() == unit[1].tolist()
    assert set(opened["block_stimulus"].values.tolist()) == {"story"}
    assert opened["block_stimulus"].dims == ("block",)
    swapped = ("surface_vertex", painted[1][::-1].copy())
    for number, changes in enumerate(({}, {"surface_unit": swapped, "surface_mesh": "fsaverage5"})):
        third = story(tmp_path / f"third-{number}", seed=3, unit=unit, **changes)
        with pytest.raises(SampleMismatch, match="runs of a group must share their surface"):
            encode_group(RIDGE, runs=[one, third], options=IN_TIME, layers=("planted",), attrs=ATTRS, shuffle_seed=None)
