"""Praat's TextGrids: two real ones, every encoding and format, and broken ones in one line."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.core.errors import BrokenArtifact
from pipeline.stimuli.textgrids import read_textgrid

FRENCH = (
    "raw.githubusercontent.com/chrplr/lpp-paradigms/e9b02f791e52f4188defca272de54e1a56aa2c87/fmri-listen/stimuli/"
    "text_grid_run1.TextGrid"
)
ENGLISH = (
    "raw.githubusercontent.com/chrplr/lpp_average_subject_en/36f44bea5fb14c0cdb194d3babfe0a3260f5959e/annotation/"
    "lppEN_section1.TextGrid"
)
TIERS = {
    "phones": [(0, 0.5, "l"), (0.5, 2, "e")],
    "Words": [
        (0, 4.4e-16, ""),
        (4.4e-16, 0.25, "l'été"),
        (0.25, 0.5, "#"),
        (0.5, 0.75, 'dit "3"'),
        (0.75, 1, "SP"),
        (1, 1.5, "1984"),
        (1.5, 1.75, " sil "),
        (1.75, 2, "fin!"),
    ],
}


def long_format() -> str:
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0 ", "xmax = 2 ", "tiers? <exists> "]
    lines += ["size = 3 ", "item []: ", "    item [1]:", '        class = "TextTier" ', '        name = "clicks" ']
    lines += ["        xmin = 0 ", "        xmax = 2 ", "        points: size = 1 ", "        points [1]:"]
    lines += ["            number = 0.3 ", '            mark = "click" ']
    for number, (name, intervals) in enumerate(TIERS.items(), 2):
        lines += [f"    item [{number}]:", '        class = "IntervalTier" ', f'        name = "{name}" ']
        lines += ["        xmin = 0 ", "        xmax = 2 ", f"        intervals: size = {len(intervals)} "]
        for index, (start, end, text) in enumerate(intervals, 1):
            quoted = text.replace('"', '""')
            lines += [f"        intervals [{index}]:", f"            xmin = {start} ", f"            xmax = {end} "]
            lines += [f'            text = "{quoted}" ']
    return "\n".join(lines) + "\n"


def short_format() -> str:
    lines = ['File type = "ooTextFile"', '"TextGrid"', "", "0", "2", "<exists>", "3"]
    lines += ['"TextTier"', '"clicks"', "0", "2", "1", "0.3", '"click"']
    for name, intervals in TIERS.items():
        lines += ['"IntervalTier"', f'"{name}"', "0", "2", str(len(intervals))]
        for start, end, text in intervals:
            lines += [str(start), str(end), '"' + text.replace('"', '""') + '"']
    return "\n".join(lines) + "\n"


@pytest.mark.mirror
def test_a_real_french_one_in_utf_16(mirror: Path) -> None:
    """1,969 intervals, 355 of them pauses."""
    words = read_textgrid(mirror / FRENCH)
    assert words.text.size == 1614
    assert words.text[:4].tolist() == ["lorsque", "j'", "avais", "six"] and "première" in words.text
    np.testing.assert_array_equal(words.onset_s[:3], [3.05, 3.42, 3.53])
    np.testing.assert_array_equal(words.offset_s[:3], [3.42, 3.44, 3.76])


@pytest.mark.mirror
def test_a_real_english_one_agrees_with_the_table_of_its_words(mirror: Path) -> None:
    """Of 1,712 intervals 1,521 are words: those of the table, but that some clitics are cut otherwise."""
    from pipeline.stimuli.words import read_word_csv

    words = read_textgrid(mirror / ENGLISH, "tokensalign")
    assert words.text.size == 1521
    table = read_word_csv((mirror / ENGLISH).with_name("lppEN_word_information.csv"), section=1)
    apart_s = np.abs(table.onset_s[:, None] - words.onset_s[None]).min(axis=1)
    assert (apart_s < 0.002).mean() > 0.98


@pytest.mark.parametrize("content", [long_format, short_format])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-16-le", "be", "iso-8859-1"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_encodings_and_formats(content, encoding: str, line_end: str, tmp_path: Path) -> None:
    path = tmp_path / "story.TextGrid"
    text = content().replace("\n", line_end)
    path.write_bytes(b"\xfe\xff" + text.encode("utf-16-be") if encoding == "be" else text.encode(encoding))
    words = read_textgrid(path, "words")
    assert words.text.tolist() == ["l'été", 'dit "3"', "1984", "fin!"]
    np.testing.assert_array_equal(words.onset_s, [4.4e-16, 0.5, 1, 1.75])
    np.testing.assert_array_equal(words.offset_s, [0.25, 0.75, 1.5, 2])


def test_the_tier_has_to_be_named_where_there_are_several(tmp_path: Path) -> None:
    path = tmp_path / "story.TextGrid"
    path.write_text(long_format().replace('"Words"', '"Tokens"'), encoding="utf-8")
    with pytest.raises(BrokenArtifact, match=r"has 2 interval tiers \('phones', 'Tokens'\); name one of them"):
        read_textgrid(path)
    path.write_text(long_format(), encoding="utf-8")
    assert read_textgrid(path).text.tolist() == read_textgrid(path, "words").text.tolist()
    with pytest.raises(BrokenArtifact, match=r"has no interval tier 'mots' \(it has: 'phones', 'Words'\)"):
        read_textgrid(path, "mots")
    assert read_textgrid(path, "phones").text.tolist() == ["l", "e"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (long_format()[:-60], "is a broken TextGrid, or cut short"),
        (short_format()[:-4], "is a broken TextGrid, or cut short"),
        (long_format().replace("size = 3", "size = 4"), "is a broken TextGrid, or cut short"),
        ("<html>", "is no TextGrid"),
        ("", "is no TextGrid"),
        (long_format().replace("xmin = 1.75", "xmin = 0.1"), "'fin!' at 0.1 s begins before the word above it"),
        (short_format().replace('"phones"', '"words"').replace('"l"', '""').replace('"e"', '"#"'), "has no words"),
    ],
)
def test_a_broken_one_is_one_line(content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "story.TextGrid"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(BrokenArtifact, match=rf"story\.TextGrid:? {message}.*; fetch it anew") as error:
        read_textgrid(path, "words", remedy="fetch it anew")
    assert "\n" not in str(error.value)
    with pytest.raises(BrokenArtifact, match=r"none\.TextGrid is missing"):
        read_textgrid(tmp_path / "none.TextGrid")
