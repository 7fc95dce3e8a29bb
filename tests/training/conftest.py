"""Small diets and recipes: nothing here takes more than seconds."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.training.diets.decoded import Diet, DietFacts, Samples
from pipeline.training.diets.entry import OBJECT, LabelSet, SampleForm
from pipeline.training.objectives.objective import Setting
from pipeline.training.recipe import Recipe

ROOT = Path(__file__).resolve().parents[2]
DIETS = ROOT.parent / "shared" / "diets"
SIZE_PX = 16
CLASSES = ("dark", "bright", "striped")
FORM = SampleForm(modality="pictures", shape=(SIZE_PX, SIZE_PX, 3))
LABELS = {OBJECT: LabelSet(classes=CLASSES)}
TINY_NETWORK = {"kind": "small_conv", "width": 4}


@pytest.fixture(scope="session")
def shared_diets() -> Path:
    """The folder of real pictures; tests that need it skip where it is not."""
    if not DIETS.is_dir():
        pytest.skip(f"needs the real pictures at {DIETS}")
    return DIETS


def patches(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Pictures (n, 16, 16, 3) uint8 of three classes that are easily told apart, and their labels."""
    generator = np.random.default_rng(seed)
    labels = np.arange(n) % len(CLASSES)
    pictures = generator.normal(0, 20, (n, SIZE_PX, SIZE_PX, 3)) + np.array([70, 180, 120])[labels][:, None, None, None]
    pictures[labels == 2] += 60 * np.sin(np.arange(SIZE_PX))[:, None, None]
    return pictures.clip(0, 255).astype(np.uint8), labels.astype("<i4")


def samples_of(n: int, seed: int) -> Samples:
    """`patches`, as a part of a diet."""
    pictures, labels = patches(n, seed)
    return Samples(pictures, {OBJECT: labels})


@pytest.fixture(scope="session")
def diet() -> Diet:
    """96 pictures for training and 48 for tests, in memory."""
    train, test = samples_of(96, 1), samples_of(48, 2)
    shades = train.values / 255
    facts = DietFacts(
        kind="toy",
        key="0123456789",
        contents="0" * 64,
        title="patches",
        licence="none needed",
        citation="",
        form=FORM,
        labels=LABELS,
        n_train=96,
        n_test=48,
        skipped=(),
        repeated=(),
        mean=tuple(shades.mean((0, 1, 2))),
        sd=tuple(shades.std((0, 1, 2))),
        files={},
    )
    return Diet(facts, train, test)


def setting_of(diet: Diet, encoder, n_features: int, seed: int = 0) -> Setting:
    facts = diet.facts
    told = (facts.form, facts.labels, diet.train.labels, facts.mean, facts.sd, seed)
    return Setting(encoder, n_features, *told)


def recipe_of(**more) -> Recipe:
    """A tiny supervised recipe, with changes."""
    raw = {
        "recipe": "tiny",
        "title": "tiny",
        "diet": {"kind": "toy", "n_train": 90, "n_test": 45, "size_px": SIZE_PX},
        "network": TINY_NETWORK,
        "objective": {"kind": "supervised", "shift_px": 1},
        "optimiser": {"kind": "adamw", "learning_rate": 0.003},
        "course": {"steps": 6, "batch": 30, "checkpoint_steps": 2},
        "probes": {"n_train": 90, "n_test": 45},
    }
    return Recipe.model_validate(raw | more)


@pytest.fixture
def picture_folder(tmp_path: Path) -> Path:
    """A folder of pictures by class: 12 for training and 6 for tests."""
    folder = tmp_path / "mine"
    for split, n, seed in (("train", 12, 3), ("test", 6, 4)):
        for number, (picture, label) in enumerate(zip(*patches(n, seed), strict=True)):
            place = folder / split / CLASSES[label]
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(place / f"{number:03d}.png")
    return folder
