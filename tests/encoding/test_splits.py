"""Folds: nothing leaks, everything is held out once, and what the data do not allow is refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.errors import BadConfiguration
from pipeline.encoding.options import Splits
from pipeline.encoding.splits import Fold, Samples, make_splits


def in_time(lengths: list[int], interval_s: float = 2.0, stimuli: list[str] | None = None) -> Samples:
    stimuli = stimuli or [f"story-{i}" for i in range(len(lengths))]
    return Samples(
        kind="time",
        run=np.concatenate([np.full(n, f"run-{i}") for i, n in enumerate(lengths)]),
        stimulus=np.concatenate([np.full(n, name) for n, name in zip(lengths, stimuli, strict=True)]),
        interval_s=interval_s,
        time_s=np.concatenate([interval_s * np.arange(1, n + 1) for n in lengths]),
    )


def of_items(items: list[str], categories: list[str] | None = None) -> Samples:
    n = len(items)
    return Samples(
        kind="item",
        run=np.full(n, "run"),
        stimulus=np.full(n, "sounds"),
        item=np.array(items),
        category=None if categories is None else np.array(categories),
    )


def all_folds(folds: list[Fold]) -> list[Fold]:
    return folds + [inner for fold in folds for inner in fold.inner]


@settings(max_examples=40, deadline=None)
@given(
    lengths=st.lists(st.integers(60, 120), min_size=1, max_size=8),
    n_folds=st.integers(2, 6),
    gap_s=st.floats(0, 14),
    interval_s=st.sampled_from([0.5, 1.0, 2.0]),
)
def test_no_training_row_is_within_the_gap(lengths: list[int], n_folds: int, gap_s: float, interval_s: float) -> None:
    samples = in_time(lengths, interval_s)
    options = Splits(kind="contiguous", n_folds=n_folds, n_inner_folds=2, gap_s=gap_s)
    try:
        folds = make_splits(options, samples, seed=0)
    except BadConfiguration as error:
        if "training samples" not in str(error):
            raise
        return
    assert samples.time_s is not None
    for fold in all_folds(folds):
        distance = np.abs(samples.time_s[fold.train][:, None] - samples.time_s[fold.test][None, :])
        same = samples.run[fold.train][:, None] == samples.run[fold.test][None, :]
        assert not np.any(same & (distance <= gap_s))
        assert np.intersect1d(fold.train, fold.test).size == 0
    assert sorted(np.concatenate([fold.test for fold in folds]).tolist()) == list(range(samples.n))
    for fold in folds:
        held_out = np.concatenate([inner.test for inner in fold.inner])
        assert sorted(held_out.tolist()) == sorted(fold.train.tolist())
        for inner in fold.inner:
            assert np.isin(inner.train, fold.train).all()


def test_gap_drops_no_more_than_it_must() -> None:
    (first, *_) = make_splits(Splits(n_folds=6, gap_s=10), in_time([362]), seed=0)
    assert first.test.tolist() == list(range(first.test.size))
    # 2 s samples: those at 2, 4, …, 10 s behind the last held-out sample go, the one at 12 s stays.
    assert first.train[0] == first.test[-1] + 6


def test_whole_runs_are_held_out_where_there_are_enough() -> None:
    samples = in_time([90, 60, 120, 70, 80])
    folds = make_splits(Splits(n_folds=3, n_inner_folds=2), samples, seed=0)
    for fold in folds:
        held_out = set(samples.run[fold.test].tolist())
        assert not held_out & set(samples.run[fold.train].tolist())
        assert fold.train.size == samples.n - fold.test.size


def test_one_stimulus_shown_in_two_runs_is_never_on_both_sides() -> None:
    samples = in_time([120, 120], stimuli=["movie", "movie"])
    assert samples.time_s is not None
    for fold in all_folds(make_splits(Splits(n_folds=3, n_inner_folds=3, gap_s=4), samples, seed=0)):
        distance = np.abs(samples.time_s[fold.train][:, None] - samples.time_s[fold.test][None, :])
        assert distance.min() > 4


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 1000), n_items=st.integers(60, 90), n_shown_twice=st.integers(0, 30))
def test_an_item_is_never_on_both_sides(seed: int, n_items: int, n_shown_twice: int) -> None:
    names = [f"sound-{i}" for i in range(n_items)]
    items = names + names[:n_shown_twice]
    folds = make_splits(Splits(kind="random_items"), of_items(items), seed=seed)
    for fold in all_folds(folds):
        assert not set(np.array(items)[fold.train]) & set(np.array(items)[fold.test])
    for fold in folds:
        held_out = np.array(items)[fold.test]
        assert np.unique(fold.block).size == np.unique(held_out).size


def test_random_items_balance_categories() -> None:
    categories = ["speech"] * 23 + ["music"] * 50 + ["nature"] * 7
    folds = make_splits(Splits(kind="random_items"), of_items([str(i) for i in range(80)], categories), seed=3)
    for fold in folds:
        counts = {name: int((np.array(categories)[fold.test] == name).sum()) for name in set(categories)}
        assert fold.test.size == 16
        assert counts["speech"] in (4, 5) and counts["music"] == 10 and counts["nature"] in (1, 2)


def test_random_items_depend_on_the_seed_alone() -> None:
    samples = of_items([str(i) for i in range(50)])
    one, same, other = (make_splits(Splits(kind="random_items"), samples, seed=seed) for seed in (1, 1, 2))
    assert all(np.array_equal(a.test, b.test) for a, b in zip(one, same, strict=True))
    assert not all(np.array_equal(a.test, b.test) for a, b in zip(one, other, strict=True))


def test_leave_one_category_out_holds_out_whole_categories() -> None:
    categories = np.repeat(["a", "b", "c", "d"], 12)
    samples = of_items([str(i) for i in range(48)], categories.tolist())
    folds = make_splits(Splits(kind="leave_one_category_out", n_inner_folds=4), samples, seed=0)
    assert [set(categories[fold.test]) for fold in folds] == [{"a"}, {"b"}, {"c"}, {"d"}]
    for fold in folds:
        assert not set(categories[fold.test]) & set(categories[fold.train])
        for inner in fold.inner:  # the penalty is chosen on items of every other category
            assert set(categories[inner.test]) == set(categories[fold.train])


def test_blocks_are_long_enough_and_stay_within_fold_and_run() -> None:
    samples = in_time([131, 97])
    folds = make_splits(Splits(n_folds=4, n_inner_folds=2, block_s=20), samples, seed=0)
    blocks = np.full(samples.n, -1)
    for fold in folds:
        blocks[fold.test] = fold.block
    fold_of = np.zeros(samples.n, int)
    for number, fold in enumerate(folds):
        fold_of[fold.test] = number
    assert set(blocks.tolist()) == set(range(blocks.max() + 1))
    for block in range(blocks.max() + 1):
        rows = np.flatnonzero(blocks == block)
        assert np.array_equal(rows, np.arange(rows[0], rows[-1] + 1))
        assert len(set(samples.run[rows])) == 1 and len(set(fold_of[rows])) == 1
        stretch = (samples.run == samples.run[rows[0]]) & (fold_of == fold_of[rows[0]])
        assert rows.size * 2.0 >= 20 or rows.size == stretch.sum()


@pytest.mark.parametrize(
    ("options", "samples", "message"),
    [
        (Splits(n_folds=50), in_time([40]), "50 folds cannot be made of 40 samples"),
        (Splits(n_folds=20), in_time([40]), "would hold out 2 samples"),
        (Splits(n_folds=2, gap_s=60), in_time([40]), "training samples"),
        (Splits(kind="random_items", n_folds=30), of_items(list("abcdefgh")), "30 folds cannot be made of 8 items"),
        (Splits(kind="leave_one_category_out"), of_items(list("abcdefgh")), "8 of 8 samples have none"),
        (Splits(kind="contiguous"), of_items(list("abcdefgh")), "do not suit"),
        (Splits(kind="random_items"), in_time([100]), "neighbours would leak"),
    ],
)
def test_what_the_data_do_not_allow_is_refused(options: Splits, samples: Samples, message: str) -> None:
    with pytest.raises(BadConfiguration, match=message) as caught:
        make_splits(options, samples, seed=0)
    assert "\n" not in str(caught.value)
