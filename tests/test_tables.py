"""One reader for all tables: rows are lines, whatever quotation marks, line ends and encodings do."""

from __future__ import annotations

import dataclasses
import random
import re
from pathlib import Path

import pytest

from pipeline.core.errors import BrokenArtifact
from pipeline.core.limits import TABLE_BYTES
from pipeline.formats import tables
from pipeline.formats.tables import COMMAS, TABS, Table, numbered_lines, parse_table, read_table, read_text


def written(folder: Path, content: str | bytes, name: str = "t.tsv") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def refusal(path: Path, **options: object) -> str:
    with pytest.raises(BrokenArtifact) as caught:
        read_table(path, **options)  # type: ignore[arg-type]
    said = str(caught.value)
    assert str(path) in said and said.isprintable()
    return said


@pytest.mark.parametrize(
    "words",
    [
        ['"Oh', "dear", 'me"', "now"],
        ['"', "a", '"', "b"],
        ['""', '"', "a", "b"],
        ["«", "Oh", "»", "„so“"],
        ["'tis", 'l\'"été"', '5"', "“ok”"],
        ['a"b', '"a"b"', '""a', "`"],
    ],
)
def test_quotation_marks_in_tab_separated_tables_are_characters(tmp_path: Path, words: list[str]) -> None:
    rows = "".join(f"{number}\t{word}\n" for number, word in enumerate(words))
    table = read_table(written(tmp_path, "n\tword\n" + rows))
    assert table.text("word") == words and table.numbers("n") == [0, 1, 2, 3] and table.lines == (2, 3, 4, 5)


def test_no_row_is_lost_to_marks_wherever_they_stand(tmp_path: Path) -> None:
    drawn = random.Random(1)
    for _ in range(50):
        words = ["".join(drawn.choice('ab"') for _ in range(drawn.randrange(1, 5))) for _ in range(40)]
        path = written(tmp_path, "word\tnote\n" + "".join(f"{word}\t{word[::-1]}\n" for word in words))
        assert read_table(path).text("word") == words


def test_a_quoted_header_means_quoted_cells(tmp_path: Path) -> None:
    """As R writes tables."""
    table = read_table(written(tmp_path, '"region"\t"x"\n"V1, left"\t1\n"a ""b"""\t2\n'))
    assert table.columns == ("region", "x") and table.text("region") == ["V1, left", 'a "b"']
    assert "line 3: a quotation mark opens" in refusal(written(tmp_path, '"a"\t"b"\n"1"\t"2"\n"3\t"4"\n'))


def test_commas_and_marks_may_stand_in_quoted_cells_of_csv(tmp_path: Path) -> None:
    content = 'word,n\n"Well, so",1\n"say ""hi""",2\n5" wide,3\n"",4\n  x ,5\n'
    table = read_table(written(tmp_path, content, "t.csv"))
    assert table.text("word", empty=True) == ["Well, so", 'say "hi"', '5" wide', "", "x"]
    assert table.lines == (2, 3, 4, 5, 6)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ('word,n\na,1\n"b\nc",2\n', 3),
        ('word,n\n"Oh,1\ndear,2\nme",3\n', 2),
        ('word,n\na,1\nb,"2\n', 3),
        ('word,n\n"a"b,1\n', 2),
        ('"word,n\na,1\n', 1),
        ('word,n\n\n",",1\n","\n', 4),
    ],
)
def test_marks_that_are_not_closed_on_their_line_are_refused_with_it(tmp_path: Path, content: str, line: int) -> None:
    assert f"line {line}" in refusal(written(tmp_path, content, "t.csv"))


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_line_ends_and_encodings(tmp_path: Path, end: str, encoding: str) -> None:
    content = end.join(["région\tx", "V1 é\t1", "", "V2\u2028\x0b\x85b\t2", ""]).encode(encoding)
    table = read_table(written(tmp_path, content))
    assert table.columns == ("région", "x") and table.lines == (2, 4)
    assert table.numbers("x") == [1, 2] and table.text("région") == ["V1 é", "V2\u2028\x0b\x85b"]


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ("a\tb\n1\t2\n3\n", ["line 3 has 1 cells where the header has 2"]),
        ("a\tb\n1\t2\t\n", ["line 2 has 3 cells where the header has 2"]),
        ("a\tb\n1\tx\ty\n", ["line 2 has 3 cells"]),
        ("a\tb\ta\n1\t2\t3\n", ["column 'a' more than once"]),
        ("a\ta\u200b\n1\t2\n", ["column 'a' more than once"]),
        ("café\tcafe\u0301\n1\t2\n", ["column 'café' more than once"]),
        ("a\tb\n", ["needs a header and at least one row"]),
        ("", ["needs a header and at least one row"]),
        ("a\n\n1\nx\0y\n", ["line 4 holds NUL"]),
        (b"a\r\n\xe9t\xe9\r\n", ["is no table or text (line 2:", "save it as UTF-8 text"]),
        ("a\nb\n".encode("utf-16-le"), ["holds NUL"]),
        (b"\xff\xfea\0\n\0\0", ["is no table or text"]),
    ],
)
def test_what_is_no_table_is_one_line(tmp_path: Path, content: str | bytes, parts: list[str]) -> None:
    said = refusal(written(tmp_path, content))
    for part in parts:
        assert part in said


def test_absurd_sizes_are_refused_before_they_are_read(tmp_path: Path) -> None:
    path = written(tmp_path, "a\n1\n")
    with open(path, "r+b") as stream:
        stream.truncate(TABLE_BYTES * 4)  # sparse: takes no space
    assert "has 2,048 MiB, and a table at most 512 MiB" in refusal(path)


def test_a_missing_or_closed_table_is_one_line(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none.tsv", remedy="fetch it again").endswith("is missing; fetch it again")
    assert "is missing" in refusal(tmp_path)


def test_empty_rows_stay_but_at_the_end(tmp_path: Path) -> None:
    table = read_table(written(tmp_path, "region,x\nV1,1\n,\n\nV2,2\n,\n ,\n", "t.csv"))
    assert table.text("region", empty=True) == ["V1", "", "V2"]
    with pytest.raises(BrokenArtifact, match="line 3: region is empty; fill it in"):
        table.text("region")


def test_missing_cells_of_bids(tmp_path: Path) -> None:
    table = read_table(written(tmp_path, "onset\tname\nn/a\tn/a\n1\tNA\n\tnan\nNaN\tNone\n"))
    assert table.text("name", empty=True) == ["", "NA", "nan", "None"]
    assert [value if value == value else None for value in table.numbers("onset", empty=True)] == [None, 1, None, None]
    with pytest.raises(BrokenArtifact, match="line 2: onset is 'n/a', expected a number"):
        table.numbers("onset")
    with pytest.raises(BrokenArtifact, match="line 2: name is empty"):
        table.text("name")


@pytest.mark.parametrize("cell", ["1_000", "1,5", "0x10", "inf", "nan", "1e999", "", "1 2", "--1"])
def test_numbers_are_numbers(tmp_path: Path, cell: str) -> None:
    table = read_table(
        written(tmp_path, f"a;b\nx;1.5e-3\n{cell};2\n"), dialect=dataclasses.replace(COMMAS, delimiter=";")
    )
    assert table.numbers("b") == [0.0015, 2.0]
    with pytest.raises(BrokenArtifact, match="line 3: a is"):
        table.only([False, True]).numbers("a")


def test_whole_numbers(tmp_path: Path) -> None:
    table = read_table(written(tmp_path, "a\tb\n1\t1\n2.0\t2.5\n"))
    assert table.whole_numbers("a") == [1, 2]
    with pytest.raises(BrokenArtifact, match=r"line 3: b is '2\.5', expected a whole number"):
        table.whole_numbers("b")


def test_names_are_cleaned_and_look_alikes_refused_with_both_lines(tmp_path: Path) -> None:
    content = "region\nV1\nV1 \nV1\u200b\ncafe\u0301\ncafé\n"
    table = read_table(written(tmp_path, content))
    assert table.names("region") == ["V1", "V1", "V1", "café", "café"]
    for other in ("EARLY", "Ｅarly", "ear ly"):
        table = read_table(written(tmp_path, f"region\nearly\nearly\nlate\n{other}\n"))
        with pytest.raises(BrokenArtifact, match=f"lines 2 and 5: region 'early' and '{other}' differ only in case"):
            table.names("region")
        assert table.names("region", alike=True)[3] == other
    with pytest.raises(BrokenArtifact, match="line 2: region '\\\\x1b1' holds the control character U\\+001B"):
        read_table(written(tmp_path, "region\n\x1b1\n")).names("region")


def test_missing_columns_are_named(tmp_path: Path) -> None:
    table = read_table(written(tmp_path, "a\tb\n1\t2\n"))
    with pytest.raises(BrokenArtifact, match=r"lacks column 'c' \(it has: a, b\); add it"):
        table.cells("c")


def test_tables_without_header_and_text_that_is_no_file(tmp_path: Path) -> None:
    table = read_table(written(tmp_path, "1\ta\n2\tb\n"), columns=("n", "name"))
    assert table.text("name") == ["a", "b"] and table.lines == (1, 2)
    table = parse_table('a\tb\r\n1\t"2\r\n', Path("server"), dialect=TABS)
    assert table == Table(Path("server"), ("a", "b"), (2,), (("1", '"2'),), TABS)


def test_lines_of_a_list(tmp_path: Path) -> None:
    text = read_text(written(tmp_path, "\ufeffa\r\n\r\nb\u2028c\rd"))
    assert numbered_lines(text) == [(1, "a"), (3, "b\u2028c"), (4, "d")]


def test_nothing_else_reads_tables() -> None:
    """A reader of its own is where a quotation mark swallows rows again."""
    pipeline = Path(tables.__file__).parent
    own = re.compile(r"csv\.(reader|DictReader)|\bimport csv\b|\.read_(csv|table)\(|genfromtxt|loadtxt")
    readers = {
        path.relative_to(pipeline).as_posix()
        for path in pipeline.rglob("*.py")
        if own.search(path.read_text(encoding="utf-8").replace("tables.read_table(", ""))
    }
    assert readers == {"tables.py"}
