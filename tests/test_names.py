"""Names that look alike are one, names that mislead are refused, and numbers in names are in order."""

from __future__ import annotations

import random
import subprocess
import sys
import unicodedata

import pytest

from pipeline.core.errors import BrokenArtifact
from pipeline.core.names import (
    clean_name,
    first_alike,
    first_repeated,
    likeness,
    natural_key,
    natural_order,
    refuse_alike,
)

PERSIAN = "می\u200cخواهم"  # "I want": the non-joiner is part of the spelling
DEVANAGARI = "क्\u200dष"  # a half form, by a joiner after the virama
BENGALI = "র\u200d্যাম"  # a joiner before the virama


@pytest.mark.parametrize(
    "written",
    [
        "V1",
        " V1 ",
        "V1\u200b",
        "\ufeffV1",
        "V\u00ad1",
        "\u200eV1\u200f",
        "V1\u2060",
        "V1 \u200b ",
        "V1\ufe0f",
        "\u3164V1",
    ],
)
def test_what_cannot_be_seen_makes_no_other_name(written: str) -> None:
    assert clean_name(written, "regions.csv line 2") == "V1"


def test_accents_are_composed() -> None:
    decomposed = unicodedata.normalize("NFD", "aire préfrontale gauche à côté")
    assert clean_name(decomposed, "here") == unicodedata.normalize("NFC", decomposed) != decomposed


@pytest.mark.parametrize("name", [PERSIAN, DEVANAGARI, BENGALI, "\u0600\u0661", "日本語", "A–B's “x”", "a  b", "ﬁ"])
def test_what_carries_meaning_stays(name: str) -> None:
    assert clean_name(name, "here") == unicodedata.normalize("NFC", name)


@pytest.mark.parametrize("written", ["V\u200d1", "V1\u200c", "\u200cبا", "با\u200c", "با\u200c V1", f"{PERSIAN}\u200c"])
def test_joiners_elsewhere_are_not_seen(written: str) -> None:
    inner = written.strip("\u200c")
    expected = inner if inner == PERSIAN else inner.replace("\u200c", "").replace("\u200d", "")
    assert clean_name(written, "here") == expected


@pytest.mark.parametrize(
    ("written", "called"),
    [
        ("V1\0", "NUL"),
        ("V\t1", "TAB"),
        ("V\n1", "LINE FEED"),
        ("V\r1", "CARRIAGE RETURN"),
        ("V\x1b[31m1", "U+001B"),
        ("V1\x85a", "U+0085"),
        ("V1\u2028a", "U+2028"),
        (b"V\xff1".decode("utf-8", "surrogateescape"), "0xFF"),
    ],
)
def test_control_characters_are_refused_by_name(written: str, called: str) -> None:
    with pytest.raises(BrokenArtifact) as caught:
        clean_name(written, "regions.csv line 4", "region")
    said = str(caught.value)
    assert said.startswith("regions.csv line 4: region ") and called in said and said.isprintable()


@pytest.mark.parametrize("written", ["", "  ", "\u200b", " \ufeff\u00a0"])
def test_a_name_of_nothing_is_refused(written: str) -> None:
    with pytest.raises(BrokenArtifact, match="can be seen"):
        clean_name(written, "here")


def test_numbers_are_in_order_of_value() -> None:
    names = [f"im{i}.png" for i in range(1, 121)]
    shuffled = random.Random(3).sample(names, len(names))
    assert natural_order(shuffled) == names != sorted(names)
    assert natural_order(["s2r10", "s2r9", "s10r1", "s1r1"]) == ["s1r1", "s2r9", "s2r10", "s10r1"]
    assert natural_order(["تصویر۱۰", "تصویر۲"]) == ["تصویر۲", "تصویر۱۰"]
    assert natural_order(["im1", "im01", "im0", "im001"]) == ["im0", "im001", "im01", "im1"]


def test_numbers_of_any_length_are_compared() -> None:
    long = "9" * 6000  # more digits than int() converts
    assert natural_order([f"a{long}0", f"a{long}", "a1"]) == ["a1", f"a{long}", f"a{long}0"]


def test_names_with_equally_long_numbers_stay_in_order_of_text() -> None:
    drawn = random.Random(5)
    letters = "aZb-_. é"
    for _ in range(300):
        names = {
            "".join(
                drawn.choice(letters) if drawn.random() < 0.6 else f"{drawn.randrange(1000):03d}x" for _ in range(4)
            )
            for _ in range(8)
        }
        assert natural_order(names) == sorted(names)


def test_keys_of_different_names_can_be_compared() -> None:
    assert natural_key("a1") < natural_key("a1b") < natural_key("a2") < natural_key("a10") < natural_key("ab")


@pytest.mark.parametrize(
    "other", ["EARLY", "Early", "early\u200b", "ea rly", "\uff45\uff41\uff52\uff4c\uff59", "early\u00a0", "e\u2009arly"]
)
def test_names_that_a_reader_takes_for_one_are_alike(other: str) -> None:
    assert likeness(other) == likeness("early")
    assert first_alike(["late", "early", "late", other]) == (1, 3)


def test_joiners_do_not_tell_names_apart() -> None:
    assert first_alike([PERSIAN, PERSIAN.replace("\u200c", "")]) == (0, 1)


def test_names_that_differ_are_not_alike() -> None:
    names = ["V1", "V2", "V1-left", "V1_left", "éa", "ea", "Straße 1", "V1", "A1", "Α1"]  # the last with a Greek letter
    assert first_alike(names) is None
    refuse_alike(names, "here", "region")


def test_alike_names_are_refused_with_lines_and_spellings() -> None:
    with pytest.raises(BrokenArtifact) as caught:
        refuse_alike(["EARLY", "late", "early"], "regions.csv", "region", [2, 3, 5])
    said = str(caught.value)
    assert said.startswith("regions.csv lines 2 and 5: region 'EARLY' and 'early'") and "\n" not in said


def test_spellings_are_shown_so_that_the_difference_can_be_seen() -> None:
    with pytest.raises(BrokenArtifact, match=r"'V\\xa01' and 'V 1'"):
        refuse_alike(["V\u00a01", "V 1"], "regions.csv", "region")


def test_the_first_name_that_stands_twice() -> None:
    assert first_repeated(["a", "b", "c", "b", "a"]) == "a"
    assert first_repeated(["a", "b"]) is None


def test_names_need_no_heavy_imports() -> None:
    heavy = ("numpy", "pandas", "torch", "pydantic")
    said = f"import sys, pipeline.core.names; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
