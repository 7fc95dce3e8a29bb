"""Samples of every form: decoded, labelled, and refused where network or objective takes another one."""

import numpy as np
import pytest

from pipeline.core.errors import BadConfiguration, BrokenArtifact
from pipeline.core.section import validated
from pipeline.training.diets import decoded
from pipeline.training.diets.decoded import brought_to, open_diet
from pipeline.training.diets.entry import (
    DIETS,
    UNKNOWN,
    ClipOptions,
    DietEntry,
    LabelSet,
    Sample,
    SampleForm,
    SoundOptions,
)
from pipeline.training.objectives.augment import as_floats
from pipeline.training.recipe import Recipe
from tests.training.conftest import recipe_of

torch = pytest.importorskip("torch")

LABELS = {"word": LabelSet(classes=("ja", "nein")), "character": LabelSet(classes=("a", "e", "j"), longest=3)}


class Planted:
    """Six samples of known values, the last two for tests."""

    digest = "0" * 64
    label_sets = LABELS

    def __init__(self, make):
        self.make = make
        splits = ["train"] * 4 + ["test"] * 2
        known = [{"word": 0, "character": (2, 0)}, {"word": 1}]
        self.samples = [Sample(f"{number}", split, known[number % 2]) for number, split in enumerate(splits)]

    def read(self, sample):
        return self.make(int(sample.name))


@pytest.fixture
def planted(tmp_path, monkeypatch):
    """Opens a diet of planted samples."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(decoded, "code_version", lambda *modules: "0")

    def words(options):
        return "planted"

    def opened(options, make):
        entry = DietEntry("planted", type(options), lambda o, mirror: Planted(make), words, words, words)
        monkeypatch.setattr(type(DIETS), "get", lambda self, kind: entry)
        monkeypatch.setattr(type(DIETS), "address", lambda self, kind: "planted:PLANTED")
        return open_diet(options)

    return opened


def test_sounds_are_of_one_length_and_keep_their_numbers(planted):
    """Longer ones are cut, shorter ones end in silence; mean and SD are of values from −1 to 1."""
    sounds = [np.full(60 + 20 * number, 1000 * (number + 1), np.int16) for number in range(6)]
    diet = planted(SoundOptions(kind="planted", rate_hz=1000, duration_s=0.1), lambda number: sounds[number])
    assert diet.train.values.shape == (4, 100) and diet.train.values.dtype == np.int16
    assert (diet.train.values[0, :60] == 1000).all() and not diet.train.values[0, 60:].any()
    assert (diet.test.values[1] == 6000).all()
    floats = as_floats(torch.from_numpy(np.array(diet.train.values))).numpy()
    assert floats.shape == (4, 100) and diet.facts.mean == pytest.approx([floats.mean()])
    assert diet.facts.sd == pytest.approx([floats.std()], rel=1e-5)


def test_clips_keep_their_first_frames_and_order(planted):
    def clip(number):
        return np.broadcast_to(np.arange(9, dtype=np.uint8)[:, None, None, None] + 20 * number, (9, 12, 16, 1))

    diet = planted(ClipOptions(kind="planted", size_px=8, n_frames=5, rate_hz=10), clip)
    assert diet.train.values.shape == (4, 5, 8, 8, 3)
    assert diet.train.values[2, :, 3, 3, 1].tolist() == [40, 41, 42, 43, 44]
    floats = as_floats(torch.from_numpy(np.array(diet.train.values)))
    assert floats.shape == (4, 3, 5, 8, 8) and diet.facts.mean == pytest.approx(floats.mean((0, 2, 3, 4)).tolist())


def test_sequences_end_in_no_label_and_missing_labels_are_none(planted):
    diet = planted(
        SoundOptions(kind="planted", rate_hz=1000, duration_s=0.1), lambda number: np.full(9, number, np.int16)
    )
    assert diet.train.labels["word"].tolist() == [0, 1, 0, 1]
    none = [UNKNOWN] * 3
    assert diet.test.labels["character"].tolist() == [[2, 0, UNKNOWN], none]


def test_a_clip_that_is_too_short_is_named():
    form = SampleForm(modality="clips", shape=(5, 8, 8, 3), rate_hz=10)
    with pytest.raises(BrokenArtifact, match=r"clip a\.mp4 has 3 frames at 10 Hz, fewer than n_frames \(5\)"):
        brought_to(np.zeros((3, 8, 8, 3), np.uint8), form, "a.mp4")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"probes": {"labels": ["motion"]}}, "probes: diet toy has no labels 'motion'; it has: object"),
        ({"course": {"steps": 0, "batch": 8}}, "objective supervised with 0 steps"),
    ],
)
def test_what_does_not_fit_the_samples_is_one_line(more, said):
    raw = recipe_of().model_dump(mode="json") | more
    with pytest.raises(BadConfiguration) as caught:
        validated(Recipe, raw, "mine.yaml")
    assert said in str(caught.value) and "\n" not in str(caught.value)
