"""Rendered clips: they come again, and show what their labels say."""

import numpy as np
import pytest

from pipeline.training.diets.decoded import open_diet
from pipeline.training.diets.entry import OBJECT
from pipeline.training.diets.moving_objects import DIRECTIONS, MOTION, SHAPES, MovingObjects, MovingObjectsOptions
from pipeline.training.diets.picture_classes import open_pictures
from tests.training.video.conftest import OPTIONS


def source_of(**more):
    return MovingObjects(MovingObjectsOptions.model_validate(OPTIONS | more))


def test_clips_follow_from_seed_and_name():
    first, again, other = source_of(), source_of(), source_of(seed=1)
    last = first.samples[-1]
    assert np.array_equal(first.read(last), again.read(last)) and not np.array_equal(first.read(last), other.read(last))
    assert first.digest == again.digest != other.digest
    assert not np.array_equal(first.read(first.samples[0]), first.read(first.samples[64]))  # of train and of test


def test_classes_and_directions_are_balanced_and_crossed():
    counts = np.zeros((8, 8), int)
    for one in source_of(n_train=128).samples:
        counts[one.number(OBJECT), one.number(MOTION)] += 1
    assert (counts == 3).all() and len(SHAPES) == len(DIRECTIONS) == 8


def test_objects_move_where_the_label_says(monkeypatch):
    """White on black, the object's middle on the torus goes in the direction, at one speed."""
    shades = iter([0.0, 1.0] * 100)
    monkeypatch.setattr(MovingObjects, "_texture", lambda *_: np.full((128, 128, 3), next(shades), np.float32))
    source = source_of(size_px=32)
    for one in source.samples[:64:5]:
        clip = source.read(one)[..., 0].astype(float)
        turn = np.exp(2j * np.pi * np.arange(32) / 32)
        phases = np.stack([np.angle(clip.sum(2) @ turn), np.angle(clip.sum(1) @ turn)], 1)  # rows, columns
        steps = np.angle(np.exp(1j * np.diff(phases, axis=0))) * 32 / (2 * np.pi)
        down, right = steps.mean(0)
        assert np.abs(steps - steps.mean(0)).max() < 0.6
        assert 0.9 < np.hypot(down, right) < 2.0  # 0.3 to 0.6 sides a second, at 10 Hz
        angle = np.angle(right - 1j * down) % (2 * np.pi)
        assert abs((angle - one.number(MOTION) * np.pi / 4 + np.pi) % (2 * np.pi) - np.pi) < 0.1


def test_shapes_differ_and_lie_in_the_middle():
    x, y = np.meshgrid(np.linspace(-1.2, 1.2, 80), np.linspace(-1.2, 1.2, 80))
    areas = [inside(x, y) for inside in SHAPES.values()]
    shared = [(a & b).sum() / (a | b).sum() for i, a in enumerate(areas) for b in areas[:i]]
    assert max(shared) < 0.85 and all(0.15 < area.mean() < 0.6 for area in areas)
    assert not any(area[0].any() or area[:, 0].any() for area in areas)


def test_textures_are_those_of_ones_own_pictures(picture_folder):
    """Training textures of training pictures, test textures of test pictures."""
    source, shown = source_of(path=picture_folder), set()
    read = type(open_pictures(picture_folder)).read
    assert source.digest != source_of().digest
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(source._photographs), "read", lambda own, one: shown.add(one.name) or read(own, one))
        for one in source.samples[60:64]:
            source.read(one)
        assert shown and all(name.startswith("train/") for name in shown)
        shown.clear()
        source.read(source.samples[64])
        assert shown and all(name.startswith("test/") for name in shown)


def test_a_diet_of_clips_is_decoded_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = MovingObjectsOptions.model_validate(OPTIONS)
    first = open_diet(options)
    monkeypatch.setattr(MovingObjects, "read", None)
    again = open_diet(options)
    assert again.facts == first.facts and again.train.values.shape == (64, 40, 16, 16, 3)
    assert np.bincount(again.test.labels[MOTION]).tolist() == [8] * 8
    assert (tmp_path / "data/diets").joinpath(f"moving_objects-{first.facts.key}", "train.clips.u8").is_file()
