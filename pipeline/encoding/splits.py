"""How samples are divided into outer and inner folds, and into the blocks of the bootstrap.

Folds are made over what was **presented**, not over rows: every sample of one item, and every sample of
one stretch of a stimulus (also when it was shown in several runs), lies in one fold. Items, or whole stimuli, of equal
content under different names are one.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Literal

import numpy as np

from pipeline.core.errors import BadConfiguration
from pipeline.encoding.blocks import number_blocks
from pipeline.encoding.options import Splits
from pipeline.stimuli.repeated.contents import equal_in_words, presented

MIN_TRAIN = 10  # fewer training rows than this fit nothing
MIN_TEST = 3  # a correlation over two samples is always ±1


@dataclasses.dataclass(frozen=True)
class Samples:
    """What splits need to know of the samples of a group of runs, one after another.

    Parameters
    ----------
    kind : ``time`` or ``item``
    run : array of shape (n_samples,), str
    stimulus : array of shape (n_samples,), str; what ``time_s`` is the clock of
    interval_s : sample interval, in s (time only)
    time_s : array of shape (n_samples,), end of each sample's bin on the stimulus clock, in s (time only)
    item : array of shape (n_samples,), str (items only)
    category : array of shape (n_samples,), str; None or empty strings where not known
    content : array of shape (n_samples,), str, digest of what the item, or the whole stimulus, holds; None or empty
        strings where not known
    """

    kind: Literal["time", "item"]
    run: np.ndarray
    stimulus: np.ndarray
    interval_s: float = 0.0
    time_s: np.ndarray | None = None
    item: np.ndarray | None = None
    category: np.ndarray | None = None
    content: np.ndarray | None = None

    @property
    def n(self) -> int:
        return int(self.run.shape[0])

    def clock(self) -> np.ndarray:
        """``time_s``, which samples in time always have."""
        if self.time_s is None:
            raise ValueError("samples of kind 'time' need time_s")
        return self.time_s

    def items(self) -> np.ndarray:
        """Item names, which samples of kind item always have."""
        if self.item is None:
            raise ValueError("samples of kind 'item' need item")
        return self.item

    @functools.cached_property
    def runs(self) -> list[np.ndarray]:
        """Rows of each run, in order."""
        return [np.flatnonzero(self.run == run) for run in dict.fromkeys(self.run.tolist())]

    @property
    def names(self) -> np.ndarray:
        """What each sample shows is called: its item, or in time its stimulus."""
        return self.items() if self.kind == "item" else self.stimulus

    @functools.cached_property
    def presented(self) -> np.ndarray:
        """The same, with one name for all of equal content, the first of theirs."""
        return self.names if self.content is None else presented(self.names, self.content)

    @property
    def equal(self) -> str:
        """Which names stand for one content, in words; empty if none do."""
        return equal_in_words(self.names, self.presented, "items" if self.kind == "item" else "stimuli")


@dataclasses.dataclass(frozen=True)
class Fold:
    """One way to hold samples out.

    Parameters
    ----------
    train, test : arrays of row numbers, ascending, disjoint
    block : array of shape (n_test,), the bootstrap block of each test row, numbered over all outer folds
    inner : folds of the training rows, in which the penalty is chosen; row numbers as in ``train``
    """

    train: np.ndarray
    test: np.ndarray
    block: np.ndarray
    inner: tuple[Fold, ...] = ()


def make_splits(options: Splits, samples: Samples, *, seed: int) -> list[Fold]:
    """Outer folds with their inner folds.

    Parameters
    ----------
    options : kind and number of folds, gap and block length
    samples : all samples of the group
    seed : of the folds of ``random_items``

    Returns
    -------
    list of Fold
        Every sample is in ``test`` of one fold. A training row is never within ``gap_s`` of a test row of the
        same stimulus.

    Raises
    ------
    BadConfiguration
        The kind of split does not suit the samples, categories are not known, or a fold would hold too few
        rows; the message says how many there are.
    """
    _check_kind(options, samples)
    rows = np.arange(samples.n)
    folds = []
    first_block = 0
    for number, test in enumerate(_test_sets(options, samples, rows, options.n_folds, np.random.default_rng(seed))):
        train = _without_gap(options, samples, np.setdiff1d(rows, test), test)
        _check_size(f"outer fold {number}", train, test, options.n_folds)
        # One generator per outer fold: adding a fold leaves the inner folds of the others alone.
        inner = _inner_folds(options, samples, train, number, np.random.default_rng([seed, number + 1]))
        block = first_block + number_blocks(samples, test, options.block_s)
        first_block = int(block.max()) + 1
        folds.append(Fold(train, test, block, inner))
    return folds


def _inner_folds(
    options: Splits, samples: Samples, rows: np.ndarray, outer: int, generator: np.random.Generator
) -> tuple[Fold, ...]:
    folds = []
    kind = "random_items" if options.kind == "leave_one_category_out" else options.kind
    options = options.model_copy(update={"kind": kind})
    for number, test in enumerate(_test_sets(options, samples, rows, options.n_inner_folds, generator)):
        train = _without_gap(options, samples, np.setdiff1d(rows, test), test)
        _check_size(f"inner fold {number} of outer fold {outer}", train, test, options.n_inner_folds)
        folds.append(Fold(train, test, np.zeros(test.size, int)))
    return tuple(folds)


def _check_kind(options: Splits, samples: Samples) -> None:
    if (options.kind == "contiguous") != (samples.kind == "time"):
        remedy = "contiguous" if samples.kind == "time" else "random_items or leave_one_category_out"
        raise BadConfiguration(
            f"splits of kind '{options.kind}' do not suit recordings with samples of kind '{samples.kind}': "
            f"neighbours would leak into training; set splits.kind to {remedy}"
        )
    if options.kind == "leave_one_category_out" and (samples.category is None or "" in samples.category):
        missing = samples.n if samples.category is None else int((samples.category == "").sum())
        raise BadConfiguration(
            f"splits of kind 'leave_one_category_out' need a category of every item, and {missing} of {samples.n} "
            "samples have none; set splits.kind to random_items"
        )


def _check_size(what: str, train: np.ndarray, test: np.ndarray, n_folds: int) -> None:
    if test.size < MIN_TEST:
        raise BadConfiguration(
            f"splits: {what} would hold out {test.size} samples, and a correlation needs {MIN_TEST}; "
            f"ask for fewer folds than {n_folds} or take more data"
        )
    if train.size < MIN_TRAIN:
        raise BadConfiguration(
            f"splits: {what} leaves {train.size} training samples, at least {MIN_TRAIN} are needed; "
            "lower gap_s, change the number of folds or take more data"
        )


def _test_sets(
    options: Splits, samples: Samples, rows: np.ndarray, n_folds: int, generator: np.random.Generator
) -> list[np.ndarray]:
    """Divide ``rows`` into the test rows of each fold."""
    if options.kind == "leave_one_category_out" and samples.category is not None:
        categories = list(dict.fromkeys(samples.category[rows].tolist()))
        if len(categories) < 2:
            raise BadConfiguration(
                f"splits of kind 'leave_one_category_out' need two categories, there is only '{categories[0]}'"
            )
        return [rows[samples.category[rows] == category] for category in categories]
    if options.kind == "contiguous":
        fold = _contiguous(samples, rows, n_folds)
    else:
        fold = _random_items(samples, rows, n_folds, generator)
    return [rows[fold == number] for number in range(n_folds)]


def _refuse_too_many(n_folds: int, there_are: int, what: str) -> None:
    if there_are < n_folds:
        raise BadConfiguration(f"splits: {n_folds} folds cannot be made of {what}; ask for fewer folds")


def _contiguous(samples: Samples, rows: np.ndarray, n_folds: int) -> np.ndarray:
    """Fold of each row: whole stimuli where there are enough of them, else stretches of stimulus time."""
    stimuli = list(dict.fromkeys(samples.presented[rows].tolist()))
    place = np.array([stimuli.index(name) for name in samples.presented[rows].tolist()])
    if len(stimuli) >= n_folds:
        return _share_out(np.bincount(place), n_folds)[place]
    tick = np.round(samples.clock()[rows] / samples.interval_s).astype(np.int64)
    positions, position = np.unique(np.stack([place, tick], axis=1), axis=0, return_inverse=True)
    _refuse_too_many(n_folds, len(positions), f"{len(positions)} samples")
    return np.asarray(position.ravel() * n_folds // len(positions))


def _share_out(sizes: np.ndarray, n_folds: int) -> np.ndarray:
    """Fold of each whole stimulus: the longest first, each to the fold that has least so far."""
    fold = np.zeros(sizes.size, int)
    load = np.zeros(n_folds)
    for index in np.argsort(-sizes, kind="stable"):
        fold[index] = int(np.argmin(load))
        load[fold[index]] += sizes[index]
    return fold


def _random_items(samples: Samples, rows: np.ndarray, n_folds: int, generator: np.random.Generator) -> np.ndarray:
    """Fold of each row: items shuffled within their category and dealt round, so that folds and categories balance."""
    names, first, item = np.unique(samples.presented[rows], return_index=True, return_inverse=True)
    called, places = np.unique(samples.items()[rows], return_index=True)
    more = "" if called.size == names.size else f" that hold {names.size} different ones"
    _refuse_too_many(n_folds, names.size, f"{called.size} items{more}")
    category = np.full(names.size, "") if samples.category is None else samples.category[rows][first]
    deck = np.concatenate([generator.permutation(np.flatnonzero(category == name)) for name in np.unique(category)])
    fold = np.zeros(names.size, int)
    # those of more names first; where each has one, the deck is dealt round
    fold[deck] = _share_out(np.bincount(item[places])[deck], n_folds)
    return np.asarray(fold[item])


def _without_gap(options: Splits, samples: Samples, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Drop training rows within ``gap_s`` of a test row on the clock of the same stimulus, and rows of its item.

    Only folds of categories hold an item out that is also trained on: where one has two names, in two categories.
    """
    if samples.kind == "item":
        return train[~np.isin(samples.presented[train], samples.presented[test])]
    time_s = samples.clock()
    keep = np.ones(train.size, bool)
    for name in np.unique(samples.presented[test]):
        held_out = np.sort(time_s[test[samples.presented[test] == name]])
        here = samples.presented[train] == name
        times = time_s[train[here]]
        after = np.clip(np.searchsorted(held_out, times), 0, held_out.size - 1)
        before = np.clip(after - 1, 0, None)
        distance = np.minimum(np.abs(held_out[after] - times), np.abs(held_out[before] - times))
        keep[here] = distance > options.gap_s + 1e-6
    return train[keep]


def describe(options: Splits, folds: Sequence[Fold]) -> dict[str, object]:
    """What a reader needs to know of the split, for the scores' attributes."""
    return {
        **options.model_dump(mode="json"),
        "n_folds": len(folds),
        "n_train": [int(fold.train.size) for fold in folds],
        "n_test": [int(fold.test.size) for fold in folds],
        "n_blocks": int(sum(np.unique(fold.block).size for fold in folds)),
    }


def held_out_stretches(folds: list[Fold], run: np.ndarray) -> np.ndarray:
    """Number of the stretch that each sample belongs to: what one outer fold holds out of one run.

    Parameters
    ----------
    run : array of shape (n_samples,), the run of each sample

    Returns
    -------
    array of shape (n_samples,), int; samples that are never held out form one stretch per run
    """
    fold_of = np.full(run.size, -1)
    for number, fold in enumerate(folds):
        fold_of[fold.test] = number
    labels = {pair: index for index, pair in enumerate(dict.fromkeys(zip(run.tolist(), fold_of.tolist(), strict=True)))}
    return np.array([labels[pair] for pair in zip(run.tolist(), fold_of.tolist(), strict=True)])
