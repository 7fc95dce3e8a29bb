"""Clips of video files: the frames that were on screen, and what is broken by its name."""

import shutil
import zipfile

import av
import numpy as np
import pytest

from pipeline.core.errors import BrokenArtifact, LayermapError
from pipeline.training.diets.decoded import open_diet
from pipeline.training.diets.entry import OBJECT, UNKNOWN
from pipeline.training.diets.moving_objects import MOTION
from pipeline.training.diets.objects_and_clips import BothOptions
from pipeline.training.diets.video_files import CATEGORY, VideoFiles, VideoFilesOptions


def write_video(path, n_frames=50, rate=20, first=20):
    """Frames of one grey level each, brighter by 4 from one to the next."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = 48, 32, "yuv420p", 4_000_000
        for number in range(n_frames):
            grey = np.full((32, 48, 3), first + 4 * number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(grey, "rgb24")))
        container.mux(stream.encode())


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(("train/walk/a", "train/run/b", "train/run/c", "test/walk/d", "test/run/e")):
        write_video(tmp_path / "mine" / f"{name}.mp4", first=20 + number)
    return tmp_path / "mine"


def options_of(path, **more):
    return VideoFilesOptions(path=path, size_px=16, n_frames=10, rate_hz=10, **more)


def test_frames_are_those_on_screen(folder):
    """At half the rate every second frame; a file of 2.5 s gives two clips of 1 s."""
    source = VideoFiles(options_of(folder))
    names = [one.name for one in source.samples if one.name.startswith("train/walk")]
    assert names == ["train/walk/a.mp4:0", "train/walk/a.mp4:1"]
    for number, name in enumerate(names):
        clip = source.read(next(one for one in source.samples if one.name == name))
        expected = 20 + 4 * (20 * number + 2 * np.arange(10))
        assert clip.shape == (10, 32, 48, 3) and clip.mean((1, 2, 3)) == pytest.approx(expected, abs=3)


def test_a_folder_and_a_zip_of_it_give_the_same_clips(folder, tmp_path):
    with zipfile.ZipFile(tmp_path / "mine.zip", "w") as archive:
        for file in sorted(folder.rglob("*.mp4")):
            archive.write(file, file.relative_to(folder).as_posix())
    one, other = open_diet(options_of(folder)), open_diet(options_of(tmp_path / "mine.zip"))
    assert one.facts.labels[CATEGORY].classes == ("run", "walk") and (one.facts.n_train, one.facts.n_test) == (6, 4)
    assert np.array_equal(one.train.values, other.train.values)
    assert one.train.labels[CATEGORY].tolist() == other.train.labels[CATEGORY].tolist() == [0, 0, 0, 0, 1, 1]


def cut_short(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_a_broken_clip_stops_and_is_named(folder):
    cut_short(folder / "train/run/b.mp4")
    with pytest.raises(BrokenArtifact, match=r"train/run/b\.mp4 is no video that can be read.*broken: skip"):
        open_diet(options_of(folder))


def test_a_broken_clip_is_left_out_counted_and_named(folder, capsys):
    (folder / "train/run/b.mp4").write_bytes(b"no video")
    diet = open_diet(options_of(folder, broken="skip", most_broken=0.2))
    assert diet.facts.skipped == ("train/run/b.mp4",) and diet.facts.n_train == 4
    assert "warning: left out:" in (said := capsys.readouterr().err) and "b.mp4" in said
    with pytest.raises(LayermapError, match=r"1 of 9 clips are broken, more than the 1\.00%"):
        open_diet(options_of(folder, broken="skip"))


def test_files_that_are_too_short_are_left_out_and_said(folder, capsys):
    write_video(folder / "train/run/short.mp4", n_frames=10)
    assert not any("short" in one.name for one in VideoFiles(options_of(folder)).samples)
    assert (
        "1 video file left out, shorter than 1 s (10 frames at 10 Hz): train/run/short.mp4" in capsys.readouterr().err
    )
    with pytest.raises(LayermapError, match=r"has no train clips: of 6 video files 6 are shorter than 10 s"):
        VideoFiles(VideoFilesOptions(path=folder, n_frames=100))


def test_without_folders_of_tests_names_decide(folder, tmp_path):
    """Always the same way, whatever else lies beside a file."""
    for number in range(12):
        (tmp_path / "plain/scenes").mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / "train/walk/a.mp4", tmp_path / "plain/scenes" / f"{number}.mp4")
    source = VideoFiles(options_of(tmp_path / "plain", test_share=0.4))
    splits = {one.name.partition(":")[0]: one.split for one in source.samples}
    assert set(splits.values()) == {"train", "test"}
    (tmp_path / "plain/scenes/0.mp4").unlink()
    again = VideoFiles(options_of(tmp_path / "plain", test_share=0.4))
    assert all(splits[one.name.partition(":")[0]] == one.split for one in again.samples)


def test_what_is_no_folder_and_no_archive(tmp_path):
    with pytest.raises(LayermapError, match="neither a folder nor a whole zip archive"):
        VideoFiles(options_of(tmp_path / "nothing.zip"))


def test_both_have_the_labels_of_their_own(folder):
    options = BothOptions(path=folder, size_px=16, n_frames=10, rate_hz=10, n_train=64, n_test=64)
    diet = open_diet(options)
    assert (diet.facts.n_train, diet.facts.n_test) == (70, 68)
    rendered = diet.train.labels[OBJECT] != UNKNOWN
    assert rendered.sum() == 64 and np.array_equal(rendered, diet.train.labels[MOTION] != UNKNOWN)
    assert np.array_equal(rendered, diet.train.labels[CATEGORY] == UNKNOWN)


@pytest.mark.slow
def test_real_clips(shared_diets):
    source = VideoFiles(VideoFilesOptions(path=shared_diets / "video" / "clips-112px.zip", n_frames=20))
    assert len(source.files) == 371 and source.label_sets[CATEGORY].classes == (
        "davis",
        "fight",
        "intel",
        "noFight",
        "ped2",
    )
    clip = source.read(source.samples[0])
    assert clip.shape[0] == 20 and min(clip.shape[1:3]) == 112 and np.diff(clip.astype(int), axis=0).any()
