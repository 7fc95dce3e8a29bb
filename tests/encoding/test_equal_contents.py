"""Items and stimuli of equal content are one for folds, blocks and scores; where none are equal, nothing changes."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from pipeline.core.errors import BadConfiguration
from pipeline.encoding.mappings.ridge import RidgeOptions
from pipeline.encoding.options import Splits
from pipeline.encoding.splits import Fold, Samples, make_splits
from tests.encoding import test_splits
from tests.encoding.test_encode_stage import encode, fold_mean_r, write_activations, write_responses
from tests.encoding.test_splits import all_folds

pytestmark = pytest.mark.slow

ITEMS = Splits.model_validate({"kind": "random_items", "n_folds": 4, "n_inner_folds": 3})
RIDGE = RidgeOptions.model_validate({"splits": ITEMS.model_dump(), "penalties": {"n": 15}})
N_CONTENTS, N_NAMES = 24, 3


def of_items(names: list[str], contents: list[str] | None, categories: list[str] | None = None) -> Samples:
    content = None if contents is None else np.array(contents)
    return dataclasses.replace(test_splits.of_items(names, categories), content=content)


def in_time(stimuli: list[str], contents: list[str] | None, n: int = 60) -> Samples:
    content = None if contents is None else np.repeat(contents, n)
    return dataclasses.replace(test_splits.in_time([n] * len(stimuli), stimuli=stimuli), content=content)


def numbers(folds: list[Fold]) -> list[list[int]]:
    return [part.tolist() for fold in all_folds(folds) for part in (fold.train, fold.test, fold.block)]


def dealt_round(samples: Samples, n_folds: int, seed: int) -> np.ndarray:
    """Fold of each row as it was made before contents were looked at."""
    generator = np.random.default_rng(seed)
    names, first, item = np.unique(samples.items(), return_index=True, return_inverse=True)
    category = np.full(names.size, "") if samples.category is None else samples.category[first]
    deck = np.concatenate([generator.permutation(np.flatnonzero(category == name)) for name in np.unique(category)])
    fold = np.zeros(names.size, int)
    fold[deck] = np.arange(names.size) % n_folds
    return np.asarray(fold[item])


@pytest.mark.parametrize("categories", [None, ["speech", "music", "noise"]])
@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("seed", [0, 7])
def test_folds_of_different_items_are_those_made_before(categories: list[str] | None, known: bool, seed: int) -> None:
    names = [f"im{i:03d}" for i in np.random.default_rng(seed).permutation(110)] + ["im003", "im050"]
    own = None if categories is None else [categories[int(name[2:]) % 3] for name in names]
    samples = of_items(names, [f"content of {name}" for name in names] if known else None, own)
    folds = make_splits(ITEMS, samples, seed=seed)
    expected = dealt_round(samples, 4, seed)
    for number, fold in enumerate(folds):
        assert fold.test.tolist() == np.flatnonzero(expected == number).tolist()
    assert numbers(folds) == numbers(make_splits(ITEMS, of_items(names, None, own), seed=seed))


@pytest.mark.parametrize("n_stimuli", [1, 2, 7])
def test_folds_of_different_stories_are_those_made_before(n_stimuli: int) -> None:
    options = Splits(kind="contiguous", n_folds=4, n_inner_folds=2, gap_s=4)
    stimuli = [f"story-{i}" for i in range(n_stimuli)]
    known = make_splits(options, in_time(stimuli, [f"content {i}" for i in range(n_stimuli)], n=100), seed=0)
    assert numbers(known) == numbers(make_splits(options, in_time(stimuli, None, n=100), seed=0))


def test_equal_items_lie_in_one_fold_and_one_block_and_folds_stay_balanced() -> None:
    names = [f"im{i:02d}" for i in range(60)]
    contents = [f"c{i % 20}" for i in range(60)]
    folds = make_splits(ITEMS, of_items(names, contents), seed=3)
    of = np.array(contents)
    assert [fold.test.size for fold in folds] == [15] * 4
    for fold in all_folds(folds):
        assert np.intersect1d(of[fold.train], of[fold.test]).size == 0
    for fold in folds:
        assert [np.unique(of[fold.test[fold.block == one]]).size for one in np.unique(fold.block)] == [1] * 5


def test_one_picture_under_many_names_does_not_crowd_its_fold() -> None:
    names = [f"im{i:02d}" for i in range(48)]
    contents = ["often"] * 12 + [f"c{i}" for i in range(36)]
    sizes = sorted(fold.test.size for fold in make_splits(ITEMS, of_items(names, contents), seed=0))
    assert sizes == [12, 12, 12, 12]


def test_names_and_contents_are_joined_through_each_other() -> None:
    samples = of_items(["a", "b", "b", "c", "d", "e", ""], ["1", "1", "2", "2", "", "", ""])
    assert samples.presented.tolist() == ["a", "a", "a", "a", "d", "e", ""]
    assert samples.equal == "6 items hold 4 different ones (a = b = c): equal ones are held out together"


def test_a_picture_in_two_categories_is_not_trained_on_while_its_like_is_held_out() -> None:
    names = [f"im{i:02d}" for i in range(60)]
    contents = ["both" if i in (0, 30) else f"c{i}" for i in range(60)]
    options = Splits(kind="leave_one_category_out", n_folds=2, n_inner_folds=2)
    first, second = make_splits(options, of_items(names, contents, ["x"] * 30 + ["y"] * 30), seed=0)
    assert first.test.tolist() == list(range(30)) and first.train.tolist() == list(range(31, 60))
    assert second.train.tolist() == list(range(1, 30))


def test_too_few_different_items_are_counted_as_such() -> None:
    samples = of_items([f"im{i:02d}" for i in range(60)], [f"c{i % 20}" for i in range(60)])
    options = Splits.model_validate({"kind": "random_items", "n_folds": 30, "n_inner_folds": 2})
    with pytest.raises(BadConfiguration, match="30 folds cannot be made of 60 items that hold 20 different ones"):
        make_splits(options, samples, seed=0)


def test_one_story_under_two_names_is_divided_as_one_story_heard_twice() -> None:
    options = Splits(kind="contiguous", n_folds=3, n_inner_folds=2, gap_s=4)
    folds = make_splits(options, in_time(["first", "second"], ["same", "same"]), seed=0)
    assert numbers(folds) == numbers(make_splits(options, in_time(["story", "story"], None), seed=0))
    leaking = make_splits(options, in_time(["first", "second"], ["one", "other"]), seed=0)
    assert numbers(folds) != numbers(leaking)


def noise_of_pictures(folder: Path, seed: int, *, known: bool) -> np.ndarray:
    """Held-out r (target,) of responses that are random for each picture, each of which has three names."""
    generator = np.random.default_rng(seed)
    folder.mkdir()
    names = np.array([f"im{i:02d}" for i in range(N_CONTENTS * N_NAMES)])
    features = np.tile(generator.standard_normal((N_CONTENTS, 40)), (N_NAMES, 1))
    latent = np.tile(generator.standard_normal((N_CONTENTS, 6)), (N_NAMES, 1))
    responses = latent + 0.5 * generator.standard_normal((2, names.size, 6))
    kept = {"content": [f"{i % N_CONTENTS:x}" for i in range(names.size)]} if known else {}
    run = (
        write_responses(folder / "r.nc", responses, names),
        write_activations(folder / "a.zarr", {"layer": features}, names, **kept),
    )
    scores = encode(run, options=RIDGE, layers=("layer",))
    assert scores.sizes["block"] == (N_CONTENTS if known else names.size)
    assert ("hold 24 different ones" in scores.attrs["equal_contents"]) == known
    return fold_mean_r(scores)[0]


def test_noise_on_pictures_of_three_names_is_not_predicted(tmp_path: Path) -> None:
    """Each study gives one mean over targets, whose spread over studies is the error of the mean over all."""
    # over 150 seeds, these among them: .011 ± .010
    r = np.array([noise_of_pictures(tmp_path / f"known-{k}", k, known=True).mean() for k in range(1000, 1016)])
    assert abs(r.mean()) < 2 * r.std(ddof=1) / np.sqrt(r.size)
    leaking = np.array([noise_of_pictures(tmp_path / f"unknown-{k}", k, known=False).mean() for k in range(3)])
    assert leaking.min() > 0.6
