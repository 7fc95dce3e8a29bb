"""Tables of words: real ones, the forms they come in, and what is wrong with broken ones in one line."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.core.errors import BrokenArtifact
from pipeline.stimuli.words import read_gentle, read_word_csv, read_word_table

PETIT_PRINCE = (
    "raw.githubusercontent.com/chrplr/lpp_average_subject_en/36f44bea5fb14c0cdb194d3babfe0a3260f5959e/annotation/"
    "lppEN_word_information.csv"
)


def written(folder: Path, content: str, encoding: str = "utf-8") -> Path:
    path = folder / "words.csv"
    path.write_text(content, encoding=encoding)
    return path


@pytest.mark.mirror
def test_sections_of_the_real_english_table(mirror: Path) -> None:
    tables = [read_word_csv(mirror / PETIT_PRINCE, section=s, log_frequency="logfreq") for s in range(1, 10)]
    assert [table.text.size + table.n_left_out for table in tables] == [
        1517, 1690, 1852, 1624, 1534, 1815, 1786, 1583, 1975
    ]  # fmt: skip
    first, last = tables[0], tables[-1]
    assert first.text[:6].tolist() == ["once", "when", "i", "was", "six", "years"] and first.n_left_out == 1
    np.testing.assert_allclose(first.onset_s[:3], [0.113, 0.728, 0.919])
    np.testing.assert_allclose([last.onset_s[0], last.offset_s[-1]], [0.39, 727.034])
    assert first.log_frequency is not None
    np.testing.assert_allclose(first.log_frequency[0], 5.82440591697994)
    assert all((table.offset_s > table.onset_s).all() for table in tables)


def test_columns_in_any_case_and_order(tmp_path: Path) -> None:
    """As a Chinese table may have them, with a byte-order mark."""
    content = (
        "Section,OFFSET,Onset,Word,LogFreq\n1,0.5,0.1,当,3\n2,0.4,0.2,我,2.5\n2,0.9,0.4,还,1\n2,1.2,0.9, ,1\n2,,,x,1\n"
    )
    table = read_word_csv(written(tmp_path, content, "utf-8-sig"), section=2, log_frequency="logfreq")
    assert table.text.tolist() == ["我", "还"] and table.n_left_out == 2
    assert table.log_frequency is not None
    numbers = [table.onset_s, table.offset_s, table.log_frequency]
    np.testing.assert_array_equal(numbers, [[0.2, 0.4], [0.4, 0.9], [2.5, 1]])
    with pytest.raises(BrokenArtifact, match="line 3: the onset lies before that of the word above") as error:
        read_word_csv(written(tmp_path, "word,onset,offset\na,1,2\nb,0.5,2\n"))
    assert "words.csv" in str(error.value)


HEADER = "word,onset,offset,section\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "mot,onset,offset,section\na,1,2,3\n",
            r"lacks column 'word' \(it has: mot, onset, offset, section\); fetch it anew",
        ),
        ("word,onset,offset\na,1,2\n", r"lacks column 'section' \(it has: word, onset, offset\)"),
        (HEADER + "a,1,2,1\nb,1,2,2\n", r"has no section 3 \(it has: 1, 2\)"),
        (HEADER + "a,1,2,one\n", "line 2: section is 'one', expected a number"),
        (HEADER + "a,1,2,3\nb,2,,3\n", "line 3: offset is '', expected a number"),
        (HEADER + "a,nan,2,3\n", "line 2: onset is 'nan', expected a number"),
        (HEADER + ",1,2,3\n", "has no word with a time"),
        ("", r"lacks column 'section' \(it has: \)"),
    ],
)
def test_a_broken_table_is_one_line(content: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(BrokenArtifact, match=rf"words\.csv {message}") as error:
        read_word_csv(written(tmp_path, content), section=3, remedy="fetch it anew")
    assert "\n" not in str(error.value)


def test_a_table_in_another_encoding_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(BrokenArtifact, match=r"words\.csv is no table"):
        read_word_csv(written(tmp_path, "word,onset,offset\n当,1,2\n", "gb18030"))
    with pytest.raises(BrokenArtifact, match=r"none\.csv is missing"):
        read_word_csv(tmp_path / "none.csv")


def test_words_that_gentle_did_not_find_are_left_out_and_counted(tmp_path: Path) -> None:
    content = "So,so,0.12,0.31\nI've,i've,0.31,0.55\nMnemosyne,,,\n\"Well,\",well,0.6,0.6\num,<unk>,0.9,1.1\n"
    table = read_gentle(written(tmp_path, content))
    assert table.text.tolist() == ["So", "I've", "Well,", "um"] and table.n_left_out == 1
    np.testing.assert_array_equal(table.onset_s, [0.12, 0.31, 0.6, 0.9])
    np.testing.assert_array_equal(table.offset_s, [0.31, 0.55, 0.9, 1.1])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("<html>\n", r"line 1 has 1 cells where word, aligned word, onset, offset are expected"),
        ("word,alignedWord,onset,offset\na,a,1,2\n", "line 1: onset is 'onset', expected a number"),
        ("a,a,1,2\nb,b,0,2\n", "line 2: the onset lies before that of the word above"),
        ("a,,,\n", "has no word with a time"),
        ("a,a,1,\n", "line 1: offset is '', expected a number"),
    ],
)
def test_a_broken_alignment_is_one_line(content: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(BrokenArtifact, match=rf"words\.csv {message}"):
        read_gentle(written(tmp_path, content))


def test_quotation_marks_lose_no_word(tmp_path: Path) -> None:
    """Speech marks around three words; gentle writes a mark that belongs to a word twice, as RFC 4180 says."""
    path = written(tmp_path, 'w\ton\toff\r\n"Oh\t0\t.3\r\ndear\t.4\t.7\r\nme"\t.8\t1\r\n«\t1.1\t1.3\r\n')
    table = read_word_table(path, text="w", onset_s="on", offset_s="off")
    assert table.text.tolist() == ['"Oh', "dear", 'me"', "«"] and table.offset_s.tolist() == [0.3, 0.7, 1, 1.3]
    content = '"""",<unk>,0.1,0.2\n"""Oh",oh,0.3,0.4\nme",me,0.5,0.6\n"“so, well”",so,0.7,0.8\n'
    found = read_gentle(written(tmp_path, content))
    assert found.text.tolist() == ['"', '"Oh', 'me"', "“so, well”"] and found.n_left_out == 0


@pytest.mark.parametrize("content", ['a,a,0,.1\n",",0.3,0.4\nb,b,.5,.6\n', 'a,a,0,.1\n"Oh,oh,.3,.4\nme",me,.5,.6\n'])
def test_a_mark_that_would_swallow_rows_of_an_alignment_is_refused_with_its_line(content: str, tmp_path: Path) -> None:
    with pytest.raises(BrokenArtifact, match=r"words\.csv line 2") as error:
        read_gentle(written(tmp_path, content))
    assert "\n" not in str(error.value)


def test_a_column_of_that_very_name_comes_before_one_in_another_case(tmp_path: Path) -> None:
    table = read_word_csv(written(tmp_path, "Word,word,onset,offset\nA,b,0,1\n"))
    assert table.text.tolist() == ["b"]


def test_tab_separated_words_without_times_are_counted(tmp_path: Path) -> None:
    path = written(tmp_path, "w\ton\toff\nit\t0.1\t0.2\n's\t\t\nso\t0.3\t0.4\n")
    table = read_word_table(path, text="w", onset_s="on", offset_s="off")
    assert table.text.tolist() == ["it", "so"] and table.n_left_out == 1
