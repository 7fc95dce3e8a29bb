"""Simulated listeners: valid BIDS, stated reliabilities, the clock of the sound, and planted layers that come back.

The fast tests plant layers of a small artificial network; the one marked `study` runs CREPE tiny on the sounds.
"""

import dataclasses
import hashlib
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest
import xarray as xr
from nilearn.image import load_img
from nilearn.maskers import NiftiLabelsMasker
from pydantic import ValidationError
from scipy.stats import spearmanr

from pipeline.artifacts.recording import check_recording
from pipeline.artifacts.storage.store import standard_attrs
from pipeline.core.errors import BrokenArtifact, LayermapError
from pipeline.encoding.arithmetic.correlation import fisher_z
from pipeline.encoding.design import Design
from pipeline.encoding.group.align import align_time, whole_delays
from pipeline.encoding.high_pass import HighPass
from pipeline.encoding.options import PenaltyGrid, Splits
from pipeline.encoding.ridge.fit import fit_ridge
from pipeline.encoding.splits import Samples, held_out_stretches, make_splits
from pipeline.fetch.weights.resolve import fetch_weights
from pipeline.models.registry import MODELS
from pipeline.simulated import listening
from pipeline.simulated.listening_dataset import DATASET, SimulatedListeningOptions, catalogue, prepare_recording
from pipeline.simulated.sound_sequence import SAMPLING_RATE_HZ, compose_sound

pytestmark = pytest.mark.slow

LAYERS = ["conv1", "conv2", "conv3", "conv4", "conv5", "conv6", "pitch"]
DEPTH = {layer: index / 6 for index, layer in enumerate(LAYERS)}
FRAME_S = 0.1
OPTIONS = SimulatedListeningOptions(
    planted={"Heschl": "conv1", "STG": "conv4", "IFG": "pitch", "WM": "noise"},
    reliability={"Heschl": 0.6, "STG": 0.3, "IFG": 0.5},
    n_voxels=20,
)


@pytest.fixture(scope="module")
def features() -> dict[str, np.ndarray]:
    """A chain of seven layers, each a nonlinear function of the one before, of sounds that change every 2–4 s."""
    generator = np.random.default_rng(5)
    n_frames = round(OPTIONS.sound_s / FRAME_S)
    piece = np.repeat(np.arange(200), generator.integers(20, 41, 200))[:n_frames]
    values = generator.standard_normal((200, 60))[piece] @ generator.standard_normal((60, 150))
    values += 0.3 * generator.standard_normal(values.shape)
    layers = {}
    for layer in LAYERS:
        layers[layer] = values.astype(np.float32)
        centred = (values - values.mean(axis=0)) / values.std(axis=0)
        values = np.maximum(centred @ generator.standard_normal((150, 150)) / np.sqrt(150), 0)
    return layers


def write_dataset(folder: Path, features: dict[str, np.ndarray], options: SimulatedListeningOptions) -> Path:
    """A BIDS dataset of the artificial network, with noise in place of its sounds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(listening, "extract_features", lambda sound, weights: (FRAME_S, features))
        patch.setattr(listening, "compose_sound", lambda duration_s, seed: np.zeros(round(duration_s * 100), np.int16))
        patch.setattr(listening, "N_COMPONENTS", 60)
        patch.setattr(listening, "N_STEPS", 30)
        listening.simulate_listeners(folder, options.design(), folder)
    return folder


@pytest.fixture(scope="module")
def dataset(features, tmp_path_factory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("listening"), features, OPTIONS)


@pytest.fixture
def dataset_copy(dataset, tmp_path) -> Path:
    return shutil.copytree(dataset, tmp_path / "copy")


@pytest.fixture(scope="module")
def recording(dataset) -> xr.Dataset:
    return prepare_recording("listeners", dataset, OPTIONS)


def of(recording: xr.Dataset, subject: str, region: str) -> np.ndarray:
    """(n_samples, n_voxels)."""
    chosen = (recording["subject"].values == subject) & (recording["region"].values == region)
    return recording["responses"].values[0][:, chosen].astype(np.float64)


def profiles(recording: xr.Dataset, features: dict[str, np.ndarray], subject: str) -> dict[str, np.ndarray]:
    """Region → (n_layers,): fold-mean r averaged over voxels, as the demo study's encoding model has it."""
    interval_s = recording.attrs["sample_interval_s"]
    run, time_s = recording["run"].values, recording["time_s"].values
    splits = Splits(n_folds=6, n_inner_folds=5, gap_s=10, block_s=20)
    folds = make_splits(splits, Samples("time", run, recording["stimulus"].values, interval_s, time_s), seed=0)
    high_pass = HighPass(held_out_stretches(folds, run), interval_s, recording.attrs["high_pass_s"])
    regions = list(dict.fromkeys(recording["region"].values.tolist()))
    responses = high_pass.apply(np.concatenate([of(recording, subject, region) for region in regions], axis=1))
    delays = whole_delays((2.0, 8.0), interval_s)
    frame_ends_s = (np.arange(len(features["conv1"])) + 1) * FRAME_S
    alignment = align_time(frame_ends_s, time_s, interval_s, rate="mean", max_delay=max(delays), source="test")
    scores = []
    for values in features.values():
        fit = fit_ridge(
            alignment.apply(values),
            responses / responses.std(axis=0),
            PenaltyGrid().values(),
            Design(folds, delays, np.zeros(alignment.n_bins, int), alignment.rows, high_pass),
        )
        scores.append(np.tanh(fisher_z(fit.score).mean(axis=0)))
    by_region = np.array(scores).reshape(len(features), len(regions), -1).mean(axis=2)
    return dict(zip(regions, by_region.T, strict=True))


def depth_index(profile: np.ndarray) -> float:
    weight = profile - profile.min()
    return float((weight * np.array(list(DEPTH.values()))).sum() / weight.sum())


def check_recovery(
    found: dict[str, np.ndarray], options: SimulatedListeningOptions, index_for: tuple[str, ...], tolerance: float
) -> None:
    """Best layers within one of the planted, their order, and the depth index of the layers asked for."""
    planted = {region: layer for region, layer in options.planted.items() if layer != "noise"}
    best = {region: int(found[region].argmax()) for region in planted}
    assert np.median([abs(best[region] - LAYERS.index(layer)) for region, layer in planted.items()]) <= 1
    index = {region: depth_index(found[region]) for region in planted}
    assert spearmanr(list(index.values()), [DEPTH[layer] for layer in planted.values()])[0] >= 0.8
    for region, layer in planted.items():
        if layer in index_for:
            assert best[region] == LAYERS.index(layer), (region, found[region])
            assert index[region] == pytest.approx(DEPTH[layer], abs=tolerance), (region, found[region])


def test_nibabel_and_nilearn_open_what_is_written(dataset):
    scan = load_img(dataset / "sub-01/func/sub-01_task-listen_bold.nii.gz")
    assert scan.shape == (20, 20, 10, 183)
    assert scan.header.get_zooms()[3] == 2.0
    masker = NiftiLabelsMasker(dataset / "derivatives/labels/regions_dseg.nii.gz", t_r=2.0)
    assert masker.fit_transform(scan).shape == (183, 4)
    assert {path.name for path in dataset.iterdir()} >= {"dataset_description.json", "participants.tsv", "README"}
    assert "SIMULATION" in (dataset / "README").read_text()


def test_the_recording_keeps_its_contract(recording, tmp_path):
    whole = recording.assign_attrs({**recording.attrs, **standard_attrs("recording", "test", "0", "0")})
    check_recording(whole, tmp_path / "listeners.nc")
    assert recording.sizes == {"repeat": 1, "sample": 180, "target": 4 * 20 * 4}
    np.testing.assert_allclose(recording["time_s"], np.arange(1, 181) * 2.0)
    units = recording["unit"].values.reshape(4, -1)
    assert (units == units[0]).all()
    assert len(set(units[0].tolist())) == 80
    assert list(dict.fromkeys(recording["subject"].values)) == ["sub-01", "sub-02", "sub-03", "mean"]
    assert recording.attrs["n_subjects"] == 3


def test_reliabilities_are_those_stated(recording):
    for region, stated in OPTIONS.reliability.items():
        listeners = [of(recording, f"sub-0{k}", region) for k in (1, 2, 3)]
        r = [np.mean(listeners[a] * listeners[b]) for a, b in ((0, 1), (0, 2), (1, 2))]
        assert np.mean(r) == pytest.approx(stated, abs=0.05), region
    noise = [of(recording, f"sub-0{k}", "WM") for k in (1, 2, 3)]
    assert abs(np.mean(noise[0] * noise[1])) < 0.05


def test_the_mean_listener_is_more_reliable_and_z_scored(recording):
    mean = of(recording, "mean", "STG")
    np.testing.assert_allclose(mean.std(axis=0), 1, atol=1e-4)
    average = np.mean([of(recording, f"sub-0{k}", "STG") for k in (1, 2, 3)], axis=0)
    np.testing.assert_allclose(mean, (average - average.mean(axis=0)) / average.std(axis=0), atol=1e-4)


def test_planted_layers_come_back_from_the_mean_listener(recording, features):
    found = profiles(recording, features, "mean")
    check_recovery(found, OPTIONS, index_for=("conv1", "conv4", "pitch"), tolerance=0.15)
    assert np.abs(found["WM"]).max() < 0.06


def test_swapping_the_planted_order_swaps_the_map(features, tmp_path, recording):
    swapped = OPTIONS.model_copy(
        update={
            "planted": {"Heschl": "pitch", "STG": "conv4", "IFG": "conv1", "WM": "noise"},
            "reliability": {"Heschl": 0.6, "STG": 0.3, "IFG": 0.5},
        }
    )
    other = prepare_recording("listeners", write_dataset(tmp_path, features, swapped), swapped)
    before, after = profiles(recording, features, "mean"), profiles(other, features, "mean")
    assert before["Heschl"].argmax() < before["STG"].argmax() < before["IFG"].argmax()
    assert after["Heschl"].argmax() > after["STG"].argmax() > after["IFG"].argmax()


def test_a_sound_that_starts_later_in_the_scan_gives_the_same_signals_on_the_same_clock(features, tmp_path, recording):
    later = OPTIONS.model_copy(update={"onset_s": 14.0})
    shifted = prepare_recording("listeners", write_dataset(tmp_path, features, later), later)
    np.testing.assert_allclose(shifted["time_s"], recording["time_s"])
    scan = nibabel.load(listening.bold_path(tmp_path, "sub-01"))
    assert scan.shape[3] == 187
    # The noise differs, the signal does not: the averages over voxels and listeners agree as the reliability says.
    for region, stated in OPTIONS.reliability.items():
        r = np.mean(of(recording, "sub-01", region) * of(shifted, "sub-02", region))
        assert r == pytest.approx(stated, abs=0.06)


def test_equal_options_give_equal_bytes_and_another_seed_does_not(dataset, features, tmp_path):
    def digest(folder: Path) -> dict[str, str]:
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    small = OPTIONS.model_copy(update={"limit": 1, "planted": {"Heschl": "conv1"}, "reliability": {"Heschl": 0.5}})
    once = digest(write_dataset(tmp_path / "a", features, small))
    assert once == digest(write_dataset(tmp_path / "b", features, small))
    other = digest(write_dataset(tmp_path / "c", features, small.model_copy(update={"seed": 1})))
    scan = "sub-01/func/sub-01_task-listen_bold.nii.gz"
    assert once[scan] != other[scan]


def test_limit_takes_the_first_listeners_unchanged_and_one_listener_has_no_mean(dataset, features, tmp_path):
    one = OPTIONS.model_copy(update={"limit": 1})
    write_dataset(tmp_path, features, one)
    path = "sub-01/func/sub-01_task-listen_bold.nii.gz"
    assert (tmp_path / path).read_bytes() == (dataset / path).read_bytes()
    assert not (tmp_path / "sub-02").exists()
    recording = prepare_recording("listeners", tmp_path, one)
    assert set(recording["subject"].values.tolist()) == {"sub-01"}
    assert catalogue(one, "key").groups[0].subjects == ("sub-01",)


def test_a_constant_voxel_becomes_zeros(dataset_copy):
    path = listening.bold_path(dataset_copy, "sub-02")
    scan = nibabel.load(path)
    values = np.asarray(scan.dataobj).copy()
    labels = np.asarray(nibabel.load(dataset_copy / listening.LABELS_FILE).dataobj)
    first = np.argwhere(labels == 1)[0]
    values[tuple(first)] = 1000
    nibabel.save(nibabel.Nifti1Image(values, scan.affine, scan.header), path)
    recording = prepare_recording("listeners", dataset_copy, OPTIONS)
    assert not of(recording, "sub-02", "Heschl")[:, 0].any()
    assert np.isfinite(recording["responses"].values).all()
    assert of(recording, "mean", "Heschl")[:, 0].std() == pytest.approx(1, abs=1e-4)


def test_a_truncated_scan_is_one_line(dataset_copy):
    path = listening.bold_path(dataset_copy, "sub-03")
    path.write_bytes(path.read_bytes()[:100_000])
    with pytest.raises(BrokenArtifact, match=r"sub-03_task-listen_bold\.nii\.gz is truncated or altered") as caught:
        prepare_recording("listeners", dataset_copy, OPTIONS)
    assert "\n" not in str(caught.value)


def test_listeners_with_other_volumes_are_refused(dataset_copy):
    path = listening.bold_path(dataset_copy, "sub-02")
    scan = nibabel.load(path)
    nibabel.save(scan.slicer[..., :100], path)
    with pytest.raises(LayermapError, match="sub-02 has 97 volumes"):
        prepare_recording("listeners", dataset_copy, OPTIONS)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"reliability": {"Heschl": 0.5}}, "must have a value exactly if a layer is planted"),
        ({"planted": {"Heschl": "conv9"}}, "conv1"),
        ({"onset_s": 6.05}, "multiple of 0.1 s"),
        ({"volumes": 3}, "Extra inputs"),
    ],
)
def test_wrong_options_are_refused(wrong, message):
    with pytest.raises(ValidationError, match=message):
        SimulatedListeningOptions(**wrong)


def test_the_sounds_vary_are_at_one_level_and_are_the_same_every_time():
    sound = compose_sound(30.0, seed=0)
    assert sound.dtype == np.int16
    assert sound.size == 30 * SAMPLING_RATE_HZ
    assert np.array_equal(sound, compose_sound(30.0, seed=0))
    assert not np.array_equal(sound, compose_sound(30.0, seed=1))
    level = np.sqrt(np.mean((sound.reshape(-1, 2 * SAMPLING_RATE_HZ) / 32768.0) ** 2, axis=1))
    assert (level > 0.03).all() and (level < 0.14).all()


@pytest.mark.study
def test_layers_of_crepe_come_back_from_real_sounds(tmp_path):
    options = SimulatedListeningOptions()
    weights = tmp_path / "weights"
    source = MODELS.get("crepe-tiny").weights
    assert source is not None
    fetch_weights("crepe-tiny", source, weights)
    raw = tmp_path / "raw"
    DATASET.simulate(raw, options, {"crepe-tiny": weights})
    recording = DATASET.prepare_recording("listeners", raw, options)
    stimulus = DATASET.prepare_stimulus("sounds", raw, options)
    samples = np.round(stimulus["clips"].values[0] * 32768).astype(np.int16)
    _, features = listening.extract_features(samples, weights)
    found = profiles(recording, features, "mean")
    # the noise of seven layers' scores pulls the index to the middle: of IFG it is .88, though only pitch predicts
    check_recovery(found, options, index_for=("conv1", "conv4", "pitch"), tolerance=0.15)
    assert np.abs(found["WM"]).max() < 0.06


def test_the_design_is_plain_data():
    design = OPTIONS.design()
    assert dataclasses.asdict(design)["planted"] == OPTIONS.planted
    assert design.n_volumes == 183
    assert design.heard().sum() == 180
