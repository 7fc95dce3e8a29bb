"""Small clips: nothing here takes more than seconds."""

import pytest

from pipeline.training.diets.decoded import Diet, DietFacts, Samples
from pipeline.training.diets.moving_objects import MovingObjects, MovingObjectsOptions
from pipeline.training.recipe import Recipe

SIZE_PX = 16
OPTIONS = {"kind": "moving_objects", "size_px": SIZE_PX, "n_train": 64, "n_test": 64}
NETWORK = {"kind": "two_pathway", "width": 2}


def recipe_of(**more) -> Recipe:
    """A tiny recipe of video, with changes."""
    raw = {
        "recipe": "tiny_video",
        "title": "tiny",
        "diet": OPTIONS,
        "network": NETWORK,
        "objective": {"kind": "predictive_coding"},
        "optimiser": {"kind": "adam", "learning_rate": 0.003},
        "course": {"steps": 6, "batch": 4, "checkpoint_steps": 2},
        "probes": {"n_train": 64, "n_test": 64},
    }
    return Recipe.model_validate(raw | more)


@pytest.fixture(scope="session")
def clips() -> Samples:
    """The first 64 training clips of `recipe_of`, in memory."""
    import numpy as np

    source = MovingObjects(MovingObjectsOptions.model_validate(OPTIONS))
    own = source.samples[:64]
    labels = {name: np.array([one.number(name) for one in own], np.int32) for name in source.label_sets}
    return Samples(np.stack([source.read(one) for one in own]), labels)


@pytest.fixture(scope="session")
def diet(clips) -> Diet:
    """These clips, for training and for tests."""
    options = MovingObjectsOptions.model_validate(OPTIONS)
    shades = clips.values / 255
    facts = DietFacts(
        kind="moving_objects",
        key="0123456789",
        contents="0" * 64,
        title="moving objects",
        licence="none needed",
        citation="",
        form=options.form(),
        labels=MovingObjects(options).label_sets,
        n_train=64,
        n_test=64,
        skipped=(),
        repeated=(),
        mean=tuple(shades.mean((0, 1, 2, 3))),
        sd=tuple(shades.std((0, 1, 2, 3))),
        files={},
    )
    return Diet(facts, clips, clips)
