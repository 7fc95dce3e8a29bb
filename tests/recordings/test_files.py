"""A user's own files of every kind through catalogue, fetch and prepare, and one study up to the map."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from pipeline.artifacts.map import open_map
from pipeline.artifacts.recording import open_recording
from pipeline.artifacts.stimulus import open_stimulus
from pipeline.study.load import load_study
from pipeline.study.plan import plan_study
from tests.recordings.conftest import N, run_stages, write_study

pytestmark = pytest.mark.slow


def test_pictures_are_items_in_order_of_name(lab: Path) -> None:
    dataset = run_stages(write_study(lab, units="spikes/s"))
    catalogue = dataset.open_catalogue()
    assert [(entry.name, entry.modality) for entry in catalogue.stimuli] == [("stimulus", "images")]
    assert catalogue.groups[0].subjects == ("a", "b")
    assert all(file.bytes and file.sha256 for file in catalogue.files) and len(catalogue.files) == N + 2

    stimulus = open_stimulus(dataset.stimulus_path("stimulus"))
    assert stimulus["item"].values.tolist() == [f"picture-{number:02d}" for number in range(N)]
    np.testing.assert_array_equal(stimulus["images"][3], np.asarray(Image.open(lab / "images" / "picture-03.png")))

    recording = open_recording(dataset.recording_path("responses"))
    np.testing.assert_array_equal(recording["responses"], np.load(lab / "my.npy").astype(np.float32))
    assert recording["item"].values.tolist() == stimulus["item"].values.tolist()
    assert recording["region"].values.tolist() == ["V1", "V1", "V4"]
    assert recording["subject"].values.tolist() == ["a", "b", "b"]
    np.testing.assert_array_equal(recording["depth_um"], [100, np.nan, 300])
    assert "note" not in recording.variables
    assert (recording.attrs["units"], recording.attrs["sample_kind"], recording.attrs["n_subjects"]) == (
        "spikes/s",
        "item",
        2,
    )


def test_every_picture_format_and_colour_is_read_as_pillow_shows_it(lab: Path, rng: np.random.Generator) -> None:
    shutil.rmtree(lab / "images")
    (lab / "images").mkdir()
    colours = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    for number, ending in enumerate(("png", "PNG", "bmp", "tif", "tiff", "jpg", "jpeg")):
        Image.fromarray(colours).save(lab / "images" / f"{number}.{ending}")
    Image.fromarray(colours[..., 0]).save(lab / "images" / "7-grey.png")
    Image.fromarray(colours).convert("P").save(lab / "images" / "8-palette.png")
    Image.fromarray(np.dstack([colours, np.full((8, 8), 255, np.uint8)])).save(lab / "images" / "9-opaque.png")
    turned = Image.fromarray(colours)
    exif = turned.getexif()
    exif[0x0112] = 3  # upside down
    turned.save(lab / "images" / "99-turned.png", exif=exif)
    (lab / "images" / ".DS_Store").write_bytes(b"x")
    (lab / "images" / "notes.txt").write_text("not a picture")
    np.save(lab / "my.npy", rng.standard_normal((11, 3)))
    images = open_stimulus(run_stages(write_study(lab)).stimulus_path("stimulus"))["images"].values
    assert images.shape == (11, 8, 8, 3)
    for index in (0, 1, 2, 3, 4, 9):
        np.testing.assert_array_equal(images[index], colours)
    np.testing.assert_array_equal(images[5], np.asarray(Image.open(lab / "images" / "5.jpg")))
    np.testing.assert_array_equal(images[7], np.repeat(colours[..., :1], 3, axis=2))
    np.testing.assert_array_equal(images[8], np.asarray(Image.open(lab / "images" / "8-palette.png").convert("RGB")))
    np.testing.assert_array_equal(images[10], colours[::-1, ::-1])


def test_grey_pictures_keep_one_colour(lab: Path) -> None:
    for path in (lab / "images").iterdir():
        Image.open(path).convert("L").save(path)
    assert open_stimulus(run_stages(write_study(lab)).stimulus_path("stimulus"))["images"].shape == (N, 10, 14, 1)


def test_a_folder_of_sounds_is_clips_of_their_own_lengths(lab: Path, rng: np.random.Generator) -> None:
    (lab / "sounds").mkdir()
    written = {}
    for number in range(4):
        sound = rng.uniform(-0.9, 0.9, (800 + 10 * number, 2))
        path = lab / "sounds" / f"s{number}.{'flac' if number % 2 else 'wav'}"
        soundfile.write(path, sound, 8000, subtype="PCM_16")
        written[path.stem] = sound.mean(axis=1)
    np.save(lab / "my.npy", rng.standard_normal((4, 3)))
    (lab / "categories.tsv").write_text("item\tcategory\n" + "".join(f"s{n}\t{'ab'[n % 2]}\n" for n in range(4)))
    study = write_study(lab, "log-mel", stimulus="sounds", categories="categories.tsv")
    dataset = run_stages(study)
    stimulus = open_stimulus(dataset.stimulus_path("stimulus"))
    assert stimulus.attrs["sampling_rate_hz"] == 8000
    assert stimulus["n_samples"].values.tolist() == [800, 810, 820, 830]
    for clip, n_samples, item in zip(stimulus["clips"], stimulus["n_samples"], stimulus["item"], strict=True):
        np.testing.assert_allclose(clip[: int(n_samples)], written[str(item.values)], atol=2e-4)
    recording = open_recording(dataset.recording_path("responses"))
    assert recording["category"].values.tolist() == ["a", "b", "a", "b"] == stimulus["category"].values.tolist()


def test_one_sound_is_a_clock(lab: Path, rng: np.random.Generator) -> None:
    soundfile.write(lab / "story.flac", rng.uniform(-0.5, 0.5, 8000 * 6), 8000)
    study = write_study(lab, "log-mel", stimulus="story.flac", sample_interval_s=0.5)
    recording = open_recording(run_stages(study).recording_path("responses"))
    np.testing.assert_allclose(recording["time_s"], 0.5 * np.arange(1, N + 1))
    assert (recording.attrs["sample_kind"], recording.attrs["sample_interval_s"]) == ("time", 0.5)
    study = write_study(lab, "log-mel", stimulus="story.flac", sample_interval_s=0.5, first_sample_end_s=-1)
    recording = open_recording(run_stages(study).recording_path("responses"))
    np.testing.assert_allclose(recording["time_s"], -1 + 0.5 * np.arange(N))


@pytest.mark.parametrize("shape", [(90, 6, 8), (90, 6, 8, 3)])
def test_a_movie_with_times(lab: Path, rng: np.random.Generator, shape: tuple[int, ...]) -> None:
    frames = rng.integers(0, 256, shape, dtype=np.uint8)
    np.save(lab / "movie.npy", frames)
    times = 0.1 + 0.7 * np.r_[np.arange(6), np.arange(7, N + 1)]  # one sample was dropped
    np.save(lab / "times.npy", times)
    study = write_study(lab, stimulus="movie.npy", frame_rate_hz=10, times="times.npy")
    dataset = run_stages(study)
    stimulus = open_stimulus(dataset.stimulus_path("stimulus"))
    np.testing.assert_array_equal(stimulus["frames"], frames.reshape(90, 6, 8, -1))
    assert stimulus.attrs["frame_rate_hz"] == 10
    recording = open_recording(dataset.recording_path("responses"))
    np.testing.assert_allclose(recording["time_s"], times)
    assert recording.attrs["sample_interval_s"] == pytest.approx(0.7, rel=1e-8)


def test_words_responses_and_regions_as_tables_with_a_byte_order_mark(lab: Path, rng: np.random.Generator) -> None:
    (lab / "words.csv").write_text('word,onset_s,offset_s\n"Alice,",0.2,0.5\nwas,20.5,28.5\n', encoding="utf-8-sig")
    values = rng.standard_normal((N, 3))
    lines = ["c1\tc2\tc3", *("\t".join(f"{v:.17g}" for v in row) for row in values)]
    (lab / "my.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8-sig")
    (lab / "regions.csv").write_text("target,region\r\nc3,IFG\r\nc1,STG\r\nc2,STG\r\n", encoding="utf-8-sig")
    (lab / "times.csv").write_text("time_s\n" + "".join(f"{2.5 * n + 1}\n" for n in range(N)))
    study = write_study(lab, "word-rate", stimulus="words.csv", responses="my.tsv", times="times.csv")
    dataset = run_stages(study)
    stimulus = open_stimulus(dataset.stimulus_path("stimulus"))
    assert stimulus["text"].values.tolist() == ["Alice,", "was"] and stimulus["offset_s"].values.tolist() == [0.5, 28.5]
    recording = open_recording(dataset.recording_path("responses"))
    assert recording["target"].values.tolist() == ["c3", "c1", "c2"]
    np.testing.assert_array_equal(recording["responses"][0], values[:, [2, 0, 1]].astype(np.float32))
    assert set(recording["subject"].values.tolist()) == {"subject"}
    assert recording.attrs["sample_interval_s"] == 2.5


@pytest.mark.parametrize("name", ["items.txt", "items.csv"])
def test_items_name_the_picture_of_each_sample(lab: Path, rng: np.random.Generator, name: str) -> None:
    items = [f"picture-{number:02d}" for number in rng.integers(0, N, 20)]
    given = [f"{item}.png" if number == 0 else item for number, item in enumerate(items)]
    header = "item\n" if name.endswith("csv") else ""
    (lab / name).write_text(header + "\n".join(given))
    np.save(lab / "my.npy", rng.standard_normal((20, 3)))
    recording = open_recording(run_stages(write_study(lab, items=name)).recording_path("responses"))
    assert recording["item"].values.tolist() == items


def test_runs_share_targets_and_know_equal_stimuli_by_their_bytes(lab: Path, rng: np.random.Generator) -> None:
    """The second movie is a copy of the first under another name: folds must know that it is the same."""
    for name in ("movie", "other"):
        np.save(lab / f"{name}.npy", rng.integers(0, 256, (20, 6, 8), dtype=np.uint8))
    shutil.copy(lab / "movie.npy", lab / "copy.npy")
    for number in range(4):
        np.save(lab / f"r{number}.npy", rng.standard_normal((5, 3)))
    runs = [
        {"responses": f"r{number}.npy", "stimulus": f"{stimulus}.npy"}
        for number, stimulus in enumerate(["movie", "copy", "other", "movie"])
    ]
    runs[3]["name"] = "again"
    study = write_study(lab, responses=None, stimulus=None, runs=runs, frame_rate_hz=10, sample_interval_s=0.4)
    dataset = run_stages(study)
    (group,) = dataset.open_catalogue().groups
    assert [(run.recording, run.stimulus) for run in group.runs] == [
        ("run-1", "stimulus-1"),
        ("run-2", "stimulus-1"),
        ("run-3", "stimulus-2"),
        ("again", "stimulus-1"),
    ]
    for run in group.runs:
        recording = open_recording(dataset.recording_path(run.recording))
        assert set(recording["stimulus"].values.tolist()) == {run.stimulus}
        assert set(recording["run"].values.tolist()) == {run.recording}
    np.testing.assert_array_equal(
        open_stimulus(dataset.stimulus_path("stimulus-2"))["frames"][..., 0], np.load(lab / "other.npy")
    )
    # the file that two runs name is held once
    assert not (dataset.raw_folder / "run-4" / "stimulus.npy").exists()


def test_limit_keeps_the_first_subjects(lab: Path) -> None:
    study = write_study(lab, limit=1)
    dataset = run_stages(study)
    assert dataset.open_catalogue().groups[0].subjects == ("a",)
    recording = open_recording(dataset.recording_path("responses"))
    assert recording["target"].values.tolist() == ["V1-1"]
    np.testing.assert_array_equal(recording["responses"], np.load(lab / "my.npy")[..., :1].astype(np.float32))


def test_missing_repeats_are_counted(lab: Path) -> None:
    values = np.load(lab / "my.npy")
    values[1, 4, 2] = np.nan
    np.save(lab / "my.npy", values)
    recording = open_recording(run_stages(write_study(lab)).recording_path("responses"))
    counts = recording["n_repeats"].values
    assert counts[4, 2] == 1 and counts.sum() == 2 * N * 3 - 1


def test_z_score_and_high_pass_agree_with_numpy_and_nilearn(lab: Path, rng: np.random.Generator) -> None:
    from nilearn.glm.first_level.design_matrix import create_cosine_drift

    values = rng.standard_normal((2, 60, 3)) + np.linspace(0, 20, 60)[:, None]
    values[1, :, 0] = np.nan
    np.save(lab / "my.npy", values)
    np.save(lab / "movie.npy", rng.integers(0, 256, (120, 6, 8), dtype=np.uint8))
    clock = {"stimulus": "movie.npy", "frame_rate_hz": 1, "sample_interval_s": 2.0}
    study = write_study(lab, **clock, high_pass_s=40, z_score=True)
    recording = open_recording(run_stages(study).recording_path("responses"))
    drift = create_cosine_drift(1 / 40, 2.0 * np.arange(60))
    for repeat, target in ((0, 0), (0, 1), (1, 2)):
        column = values[repeat, :, target]
        expected = column - drift @ np.linalg.lstsq(drift, column, rcond=None)[0]
        np.testing.assert_allclose(
            recording["responses"][repeat, :, target], expected / expected.std(), rtol=1e-4, atol=1e-4
        )
    assert np.isnan(recording["responses"][1, :, 0]).all()
    assert (recording.attrs["high_pass_s"], recording.attrs["z_scored"]) == (40, 1)


def test_planted_pixels_are_found_and_noise_is_not(lab: Path, rng: np.random.Generator) -> None:
    """Each target of V1 follows the brightness of one of three colours; those of PM are noise."""
    shutil.rmtree(lab / "images")
    (lab / "images").mkdir()
    brightness = rng.uniform(0, 1, (24, 3))
    for number, colour in enumerate(brightness):
        picture = np.broadcast_to(np.uint8(255 * colour), (6, 6, 3))
        Image.fromarray(np.ascontiguousarray(picture)).save(lab / "images" / f"{number:02d}.png")
    planted = brightness[None] + 0.05 * rng.standard_normal((4, 24, 3))
    np.save(lab / "my.npy", np.concatenate([planted, rng.standard_normal((4, 24, 3))], axis=2))
    (lab / "regions.csv").write_text("region\n" + "V1\n" * 3 + "PM\n" * 3)
    study = write_study(lab)
    run_stages(study, "catalogue", "fetch", "prepare", "activate", "encode", "map")
    tables, _ = open_map(plan_study(load_study(study)).map_path)
    everyone = tables["summary"][lambda table: table["subject"] == "subject"].set_index("region")
    assert everyone.loc["V1", "n_targets"] == 3
    assert everyone.loc["V1", "best_layer_score"] > 0.9
    assert abs(everyone.loc["PM", "best_layer_score"]) < 0.5
    assert everyone.loc["V1", "ceiling"] > 0.97
