"""Names and order of a user's own files: who is the same, who is refused, and which sample is which picture."""

from __future__ import annotations

import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from pipeline.artifacts.recording import open_recording
from pipeline.artifacts.stimulus import open_stimulus
from tests.recordings.conftest import N, refusal, run_stages, write_study


def grey(level: int) -> Image.Image:
    return Image.new("L", (14, 10), level)


def pictures(folder: Path, names: list[str]) -> None:
    """Pictures of these names; the i-th has grey level i."""
    shutil.rmtree(folder)
    folder.mkdir()
    for level, name in enumerate(names):
        grey(level).save(folder / name)


def said(study: str, stage: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The lines of a stage that succeeds."""
    capsys.readouterr()
    run_stages(study, stage)
    return [line for line in capsys.readouterr().err.splitlines() if line.startswith("layermap")]


def test_pictures_are_in_order_of_their_numbers_and_a_line_says_so(
    lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures(lab / "images", [f"im{number}.png" for number in range(1, N + 1)])
    study = write_study(lab)
    for stage in ("catalogue", "fetch", "prepare"):
        lines = said(study, stage, capsys)
        if stage == "fetch":
            continue
        (line,) = [line for line in lines if "images" in line or "stimulus" in line]
        assert line.startswith(f"layermap {stage}: ")
        assert "sample 1 is im1.png, sample 2 is im2.png, sample 3 is im3.png" in line and "'items'" in line
    dataset = run_stages(study, "catalogue")
    stimulus = open_stimulus(dataset.stimulus_path("stimulus"))
    assert stimulus["item"].values.tolist() == [f"im{number}" for number in range(1, N + 1)]
    assert stimulus["images"].values[:, 0, 0, 0].tolist() == list(range(N))
    recording = open_recording(dataset.recording_path("responses"))
    assert recording["item"].values.tolist() == stimulus["item"].values.tolist()


def test_padded_names_and_stated_items_need_no_line(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(write_study(lab), "catalogue", capsys) == []
    pictures(lab / "images", [f"im{number}.png" for number in range(1, N + 1)])
    (lab / "items.txt").write_text("\n".join(f"im{number}.png" for number in range(N, 0, -1)))
    study = write_study(lab, items="items.txt")
    for stage in ("catalogue", "fetch", "prepare"):
        assert not [line for line in said(study, stage, capsys) if "sample 1" in line]
    recording = open_recording(run_stages(study, "catalogue").recording_path("responses"))
    assert recording["item"].values.tolist() == [f"im{number}" for number in range(N, 0, -1)]


def test_a_line_says_that_capitals_come_first(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pictures(lab / "images", [f"{'Im' if number % 2 else 'im'}{number:03d}.png" for number in range(1, N + 1)])
    (line,) = said(write_study(lab), "catalogue", capsys)
    assert "capitals are taken before" in line and "sample 2 is Im003.png" in line and "'items'" in line
    pictures(lab / "images", [f"im{number:03d}.{'PNG' if number % 2 else 'png'}" for number in range(1, N + 1)])
    assert said(write_study(lab), "catalogue", capsys) == []


def test_sounds_are_in_order_of_their_numbers(lab: Path) -> None:
    (lab / "sounds").mkdir()
    for number in range(1, N + 1):
        soundfile.write(lab / "sounds" / f"{number}-s.wav", 0.1 * np.sin(number * np.arange(100 + number)), 16_000)
    dataset = run_stages(write_study(lab, "log-mel", stimulus="sounds"))
    stimulus = open_stimulus(dataset.stimulus_path("stimulus"))
    assert stimulus["item"].values.tolist() == [f"{number}-s" for number in range(1, N + 1)]


def test_what_is_left_out_of_a_folder_is_named(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("Thumbs.db", "notes.txt", "a.gif", ".DS_Store", "._picture-00.png", "b\nc.svg"):
        (lab / "images" / name).write_bytes(b"x")
    (lab / "images" / "more").mkdir()
    (line,) = said(write_study(lab), "catalogue", capsys)
    assert line.startswith(f"layermap catalogue: {lab / 'images'}: 5 entries are neither picture nor sound")
    assert line.endswith(r"left out: Thumbs.db, a.gif, b\nc.svg …")


def test_accents_of_file_names_lists_and_categories_are_one_spelling(lab: Path) -> None:
    """A Mac writes é as e and an accent, an editor as one character."""
    names = [f"épée-{number:02d}" for number in range(N)]
    pictures(lab / "images", [unicodedata.normalize("NFD", f"{name}.png") for name in names])
    (lab / "items.csv").write_text("item\n" + "\n".join(f"{name}.png" for name in names) + "\n", encoding="utf-8")
    rows = [f"{name}\u200b,{'gauche' if number % 2 else 'droite '}" for number, name in enumerate(names)]
    (lab / "c.csv").write_text("item,category\n" + "\n".join(rows) + "\n", encoding="utf-8")
    dataset = run_stages(write_study(lab, items="items.csv", categories="c.csv"))
    recording = open_recording(dataset.recording_path("responses"))
    assert recording["item"].values.tolist() == names
    assert set(recording["category"].values.tolist()) == {"gauche", "droite"}
    assert open_stimulus(dataset.stimulus_path("stimulus"))["item"].values.tolist() == names


def test_what_cannot_be_seen_makes_no_other_region(lab: Path) -> None:
    (lab / "regions.csv").write_text("region,subject\nV1,a\nV1\u200b,\ufeffa\n V1\u00ad ,a \n", encoding="utf-8")
    recording = open_recording(run_stages(write_study(lab)).recording_path("responses"))
    assert recording["region"].values.tolist() == ["V1"] * 3 and recording["subject"].values.tolist() == ["a"] * 3


@pytest.mark.parametrize("names", [["NA", "nan", "None"], ["می\u200cخواهم", "V1", "क्\u200dष"]])
def test_regions_may_be_called_as_pandas_calls_what_is_missing(lab: Path, names: list[str]) -> None:
    (lab / "regions.csv").write_text("region\n" + "\n".join(names) + "\n", encoding="utf-8")
    recording = open_recording(run_stages(write_study(lab)).recording_path("responses"))
    assert recording["region"].values.tolist() == names


@pytest.mark.parametrize(
    ("name", "content", "recording", "parts"),
    [
        ("regions.csv", "region\nEARLY\nlate\nearly\n", {}, ["lines 2 and 4", "region 'EARLY' and 'early'"]),
        ("regions.csv", "region\nV 1\nV1\nV2\n", {}, ["lines 2 and 3", "region 'V 1' and 'V1'"]),
        ("regions.csv", "region\nV1\n\uff36\uff11\nV2\n", {}, ["lines 2 and 3", "\uff36\uff11"]),
        ("regions.csv", "region,subject\nV1,a\nV1,A\nV2,b\n", {}, ["lines 2 and 3", "subject 'a' and 'A'"]),
        ("regions.csv", "region\nV1\nV1\0\nV2\n", {}, ["line 3 holds NUL"]),
        ("regions.csv", "region\nV1\nV\x071\nV2\n", {}, ["line 3", "U+0007"]),
        ("regions.csv", "region,target\nV1,a\nV1,a\u200b\nV2,b\n", {}, ["target 'a' more than once"]),
        ("items.txt", "picture-00\n\u200b\n", {"items": "items.txt"}, ["line 2", "no character that can be seen"]),
        (
            "c.csv",
            "item,category\n" + "".join(f"picture-{i:02d},{'Face' if i else 'face'}\n" for i in range(N)),
            {"categories": "c.csv"},
            ["lines 2 and 3", "category 'face' and 'Face'"],
        ),
    ],
)
def test_names_that_mislead_are_one_line(
    lab: Path, capsys: pytest.CaptureFixture[str], name: str, content: str, recording: dict, parts: list[str]
) -> None:
    (lab / name).write_text(content, encoding="utf-8")
    line = refusal(write_study(lab, **recording), "catalogue", capsys)
    assert str(lab / name) in line and line.isprintable()
    for part in parts:
        assert part in line, line


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("Picture-00.png", "item 'Picture-00' and 'picture-00' differ only in case, width or spaces"),
        ("picture -00.png", "differ only in case, width or spaces"),
        ("picture-00\u200b.png", "two files called 'picture-00'"),
        ("pict\nure.png", "holds the control character LINE FEED"),
        ("\u200b.png", "no character that can be seen"),
    ],
)
def test_files_whose_names_mislead_are_one_line(
    lab: Path, capsys: pytest.CaptureFixture[str], name: str, part: str
) -> None:
    grey(1).save(lab / "images" / name, format="png")
    line = refusal(write_study(lab), "catalogue", capsys)
    assert str(lab / "images") in line and part in line and line.isprintable()


def test_marks_in_words_lose_no_word(lab: Path) -> None:
    words = ['"Oh', "dear", 'me"', "«", "now", "»", '"']
    rows = [f"{word}\t{number}\t{number + 0.5}" for number, word in enumerate(words)]
    (lab / "words.tsv").write_text("text\tonset_s\toffset_s\r" + "\r".join(rows) + "\r", encoding="utf-8")
    dataset = run_stages(write_study(lab, "word-rate", stimulus="words.tsv", sample_interval_s=0.6))
    stimulus = open_stimulus(dataset.stimulus_path("stimulus"))
    assert stimulus["text"].values.tolist() == words and stimulus["onset_s"].values.tolist() == list(range(7))


def test_a_word_that_opens_a_mark_in_csv_is_refused_with_its_line(
    lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (lab / "words.csv").write_text('text,onset_s,offset_s\na,0,1\n"Oh,1,2\ndear,2,3\nme",3,4\n')
    study = write_study(lab, "word-rate", stimulus="words.csv", sample_interval_s=1)
    run_stages(study, "catalogue", "fetch")
    assert "words.csv line 3: a quotation mark opens a cell" in refusal(study, "prepare", capsys).replace(
        "stimulus.csv", "words.csv"
    )


def csv_responses(lab: Path, header: str = "c1,c2,c3") -> None:
    rows = np.random.default_rng(0).standard_normal((N, 3)).round(3)
    (lab / "my.csv").write_text(f"{header}\n" + "\n".join(",".join(map(str, row)) for row in rows) + "\n")


@pytest.mark.parametrize("column", ["cell_id", "unit", "neuron", "Target"])
def test_names_of_columns_in_another_order_and_another_column_are_refused(
    lab: Path, capsys: pytest.CaptureFixture[str], column: str
) -> None:
    csv_responses(lab)
    study = write_study(lab, responses="my.csv")
    (lab / "regions.csv").write_text(f"{column},region\nc3,V1\nc2,V1\nc1,V4\n")
    line = refusal(study, "catalogue", capsys)
    assert f"{lab}/regions.csv: column '{column}' has the names" in line and "call it 'target'" in line
    (lab / "regions.csv").write_text(f"{column},region\nc1,V1\nc2,V1\nc3,V4\n")
    run_stages(study, "catalogue")


@pytest.mark.parametrize(
    ("subjects", "line"), [("s1,all,s2", 3), ("all,all,all", 2), ("s1,s1,mean", 4), ("All,s,s", 2)]
)
def test_subjects_called_as_maps_call_several_are_refused(
    lab: Path, capsys: pytest.CaptureFixture[str], subjects: str, line: int
) -> None:
    rows = [f"V1,{subject}" for subject in subjects.split(",")]
    (lab / "regions.csv").write_text("region,subject\n" + "\n".join(rows) + "\n")
    said = refusal(write_study(lab), "catalogue", capsys)
    assert f"{lab}/regions.csv line {line}: subject '{subjects.split(',')[line - 2]}' is what a map calls" in said


def test_a_mean_alone_is_a_subject(lab: Path) -> None:
    (lab / "regions.csv").write_text("region,subject\n" + "V1,mean\n" * 3)
    assert run_stages(write_study(lab), "catalogue").open_catalogue().groups[0].subjects == ("mean",)
