"""Digests of contents: equal for what is the same under another name, different for anything else."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.artifacts.stimulus import MODALITIES, open_stimulus, write_stimulus
from pipeline.artifacts.storage.store import standard_attrs
from pipeline.stimuli.pictures.picture_files import movie_stimulus
from pipeline.stimuli.repeated.alike import COMPARED, DOUBTS, EQUAL, describe_contents
from pipeline.stimuli.repeated.contents import KINDS, contents_of, equal_in_words, kept_contents, presented
from pipeline.stimuli.repeated.recurring import SEARCHED
from pipeline.stimuli.words import WordTable, words_stimulus
from tests.stimuli.conftest import pictures_stimulus, sounds_stimulus


def test_contents_of_every_modality_are_told_apart() -> None:
    assert set(KINDS) == set(MODALITIES)
    items = {name for name, kind in KINDS.items() if kind.item_dim}
    assert items == {name for name, modality in MODALITIES.items() if "item" in modality.variables}
    for name in items:
        assert MODALITIES[name].variables["item"] == (KINDS[name].item_dim,) and KINDS[name].items
    assert set(COMPARED) <= items and set(SEARCHED) <= set(MODALITIES)


def test_pictures_are_equal_by_pixels_also_grey_in_three_colours(rng: np.random.Generator) -> None:
    grey = rng.integers(0, 256, (9, 7, 1), dtype=np.uint8)
    changed = grey.copy()
    changed[0, 0] ^= 1
    flat = [np.zeros((9, 7, 1), np.uint8)] * 2
    one = contents_of(pictures_stimulus([grey, changed, grey, *flat]))
    assert one[0] == one[2] != one[1] and one[3] == one[4]
    other = contents_of(pictures_stimulus([grey.repeat(3, axis=2), rng.integers(0, 256, (9, 7, 3), dtype=np.uint8)]))
    assert other[0] == one[0] and other[1] not in one
    turned = contents_of(pictures_stimulus([np.zeros((7, 9, 1), np.uint8)]))
    assert turned[0] != one[3]


def test_sounds_are_equal_by_samples_and_rate_not_by_what_fills_them_up(rng: np.random.Generator) -> None:
    short, long = rng.standard_normal(100) / 9, rng.standard_normal(150) / 9
    one = contents_of(sounds_stimulus([short, long, short, np.append(short, 0)]))
    assert one[0] == one[2] and len(set(one)) == 3
    assert contents_of(sounds_stimulus([short, short]))[0] == one[0]
    assert contents_of(sounds_stimulus([short, short], rate=8000))[0] != one[0]
    assert contents_of(sounds_stimulus([short])) == one[0]


def test_movies_and_words_have_one_digest(rng: np.random.Generator) -> None:
    frames = rng.integers(0, 256, (70, 4, 4), dtype=np.uint8)
    movie = contents_of(movie_stimulus("a", frames, 30.0))
    assert movie == contents_of(movie_stimulus("b", frames[..., None].repeat(3, axis=3), 30.0))
    assert movie != contents_of(movie_stimulus("a", frames, 15.0))
    assert movie != contents_of(movie_stimulus("a", frames[::-1], 30.0))
    text, times = np.array(["a", "b"]), np.array([0.0, 1.0])
    words = [
        contents_of(words_stimulus("n", WordTable(np.array(t), times + shift, times + shift + 0.5, None)))
        for t, shift in ((text, 0), (text, 0), (text, 1), (["ab", ""], 0))
    ]
    assert words[0] == words[1] and len(set(words)) == 3


@pytest.mark.parametrize("described", [True, False])
def test_digests_are_read_from_the_artifact_or_made_again(
    tmp_path: Path, rng: np.random.Generator, described: bool
) -> None:
    picture = rng.integers(0, 256, (9, 7, 1), dtype=np.uint8)
    for number, stimulus in enumerate(
        (pictures_stimulus([picture, picture]), sounds_stimulus([rng.standard_normal(40_000) / 9]))
    ):
        expected = contents_of(stimulus)
        made = describe_contents(stimulus) if described else stimulus
        path = tmp_path / f"{number}.zarr"
        write_stimulus(made.assign_attrs(standard_attrs("stimulus", "t", "0", "0")), path)
        opened = open_stimulus(path)
        assert ("content" in opened.variables or "content" in opened.attrs) == described
        assert np.array_equal(kept_contents(opened), expected)


def test_what_is_equal_is_said_with_the_first_names(rng: np.random.Generator) -> None:
    pictures = list(rng.integers(0, 256, (20, 8, 8, 3), dtype=np.uint8))
    said = describe_contents(pictures_stimulus([pictures[k % 20] for k in range(60)])).attrs
    assert said[EQUAL].startswith("60 pictures hold 20 different ones (p0 = p20 = p40; p1 = p21 = p41; p2 = ")
    assert said[EQUAL].endswith("; 17 more): equal ones are held out together") and DOUBTS not in said
    different = describe_contents(pictures_stimulus(pictures)).attrs
    assert EQUAL not in different and DOUBTS not in different


def test_names_that_share_nothing_are_given_back_as_they_are() -> None:
    names = np.array(["b", "a", "b", "c"])
    assert presented(names, ["1", "2", "1", ""]).tolist() == names.tolist()
    assert equal_in_words(names, presented(names, ["1", "2", "1", ""]), "items") == ""
    many = [f"n{k}" for k in range(20_000)]
    assert set(presented(many, ["one"] * 20_000).tolist()) == {"n0"}
