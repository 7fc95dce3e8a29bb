"""What is refused of a user's own files: one line each, before or as the files are read."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from pipeline.core.errors import LayermapError
from tests.recordings.conftest import N, plan_of, refusal, run_stages, write_study


@pytest.mark.parametrize(
    ("recording", "parts"),
    [
        ({"responses": "none.npy"}, ["responses", "none.npy does not exist"]),
        ({"stimulus": "none"}, ["stimulus", "none does not exist"]),
        ({"regions": None}, ["regions' is missing"]),
        ({"responses": None}, ["key 'responses' is missing"]),
        ({"responses": "regions.csv/x"}, ["responses", "does not exist"]),
        ({"responses": "images"}, ["responses", "is a folder, expected a file"]),
        ({"responses": "mine.yaml"}, ["ends in '.yaml', expected one of: .npy .csv .tsv"]),
        ({"stimulus": "mine.yaml"}, ["is no stimulus that can be read"]),
        ({"stimulus": "empty"}, ["holds neither pictures"]),
        ({"stimulus": "mixed"}, ["both pictures and sounds"]),
        ({"stimulus": "one"}, ["one sound only"]),
        ({"stimulus": "twins"}, ["two files called 'a'"]),
        ({"sample_interval_s": 1}, ["folder of pictures", "'sample_interval_s' has no meaning"]),
        ({"high_pass_s": 100}, ["'high_pass_s' has no meaning"]),
        ({"frame_rate_hz": 5}, ["remove 'frame_rate_hz'"]),
        ({"stimulus": "movie.npy", "sample_interval_s": 1}, ["add 'frame_rate_hz'"]),
        ({"stimulus": "movie.npy", "frame_rate_hz": 5}, ["add 'sample_interval_s'"]),
        ({"stimulus": "words.csv", "sample_interval_s": 1, "items": "words.csv"}, ["'items' has no meaning"]),
        ({"stimulus": "words.csv", "sample_interval_s": 0}, ["sample_interval_s", "greater than 0"]),
        ({"stimulus": "words.csv", "times": "words.csv", "first_sample_end_s": 1}, ["say the same"]),
        ({"runs": [{"responses": "my.npy", "stimulus": "images"}]}, ["'responses' stands beside 'runs'"]),
        ({"responses": None, "stimulus": None, "runs": []}, ["runs", "at least 1 item"]),
        (
            {"responses": None, "stimulus": None, "runs": [{"responses": "my.npy", "stimulus": "images"}, {}]},
            ["runs.1.responses' is missing"],
        ),
        (
            {
                "responses": None,
                "stimulus": None,
                "runs": [{"responses": "my.npy", "stimulus": "images", "name": "a"}] * 2,
            },
            ["two runs are called 'a'"],
        ),
        (
            {
                "responses": None,
                "stimulus": None,
                "runs": [{"responses": "my.npy", "stimulus": "images", "name": "A/"}],
            },
            ["runs.0.name"],
        ),
        (
            {
                "responses": None,
                "stimulus": None,
                "runs": [{"responses": "my.npy", "stimulus": name} for name in ("images", "words.csv")],
            },
            ["stimuli of one kind"],
        ),
    ],
)
def test_what_a_study_gets_wrong_is_one_line_at_planning(lab: Path, recording: dict, parts: list[str]) -> None:
    for folder, names in (
        ("empty", []),
        ("mixed", ["a.png", "b.wav"]),
        ("one", ["a.wav"]),
        ("twins", ["a.png", "a.jpg"]),
    ):
        (lab / folder).mkdir()
        for name in names:
            (lab / folder / name).touch()
    np.save(lab / "movie.npy", np.zeros((4, 5, 5), np.uint8))
    (lab / "words.csv").write_text("text,onset_s,offset_s\na,0,1\n")
    with pytest.raises(LayermapError) as caught:
        plan_of(write_study(lab, **recording))
    assert "\n" not in str(caught.value) and "mine.yaml: analyses.cells.recording" in str(caught.value).replace(
        "key '", ""
    )
    for part in parts:
        assert part in str(caught.value), str(caught.value)


def text(content: str):
    return lambda path: path.write_text(content)


def array(values: object):
    return lambda path: np.save(path, values)


def picture(size: tuple[int, int], mode: str = "RGB", **options: object):
    return lambda path: Image.new(mode, size).save(path, **options)


@pytest.mark.parametrize(
    ("name", "write", "recording", "parts"),
    [
        ("my.npy", array(np.zeros((2, 3), complex)), {}, ["type complex128, expected real numbers"]),
        ("my.npy", array(np.zeros(12)), {}, ["shape (12,)"]),
        ("my.npy", array(np.array([[None]], object)), {}, ["cannot be read as .npy"]),
        ("my.npy", lambda path: path.write_bytes(path.read_bytes()[:100]), {}, ["cannot be read as .npy"]),
        ("my.npy", array(np.zeros((11, 3))), {}, ["11 samples", "12 files"]),
        ("my.npy", array(np.zeros((12, 4))), {}, ["3 rows", "4 targets"]),
        ("my.csv", text("1,2,3\n4,5,6\n"), {"responses": "my.csv"}, ["numbers in its first line"]),
        ("my.csv", text("a,b,c\n1,2,x\n"), {"responses": "my.csv"}, ["line 2: c is 'x', expected a number"]),
        ("my.csv", text("a,b,c\n1,2,\n"), {"responses": "my.csv"}, ["line 2: c is '', expected a number"]),
        ("my.csv", text("a,b,c\n1,2\n"), {"responses": "my.csv"}, ["line 2 has 2 cells where the header has 3"]),
        ("my.csv", text("a,b,b\n1,2,3\n"), {"responses": "my.csv"}, ["column 'b' more than once"]),
        ("my.csv", text("a,b,c\n"), {"responses": "my.csv"}, ["at least one row"]),
        ("regions.csv", text("area\nV1\nV1\nV1\n"), {}, ["lacks column 'region' (it has: area)"]),
        ("regions.csv", text("region,x\nV1,1\n,2\nV1,3\n"), {}, ["line 3: region is empty"]),
        ("regions.csv", text("region,depth_um\nV1,1\nV1,deep\nV1,3\n"), {}, ["line 3: depth_um is 'deep'"]),
        ("regions.csv", text("region,target\nV1,a\nV1,b\nV1,a\n"), {}, ["target 'a' more than once"]),
        ("regions.csv", lambda path: path.write_bytes("region\nVé\nV1\nV1\n".encode("latin-1")), {}, ["is no table"]),
        ("items.csv", text("item\n" + "picture-99\n" * 12), {"items": "items.csv"}, ["'picture-99', is no file"]),
        ("items.txt", text("picture-00\n"), {"items": "items.txt"}, ["names 1 items", "12 samples"]),
        ("c.csv", text("item,category\npicture-00,x\n"), {"categories": "c.csv"}, ["no category of item 'picture-01'"]),
    ],
)
def test_files_that_do_not_fit_are_one_line_at_the_catalogue(
    lab: Path, capsys: pytest.CaptureFixture[str], name: str, write, recording: dict, parts: list[str]
) -> None:
    write(lab / name)
    line = refusal(write_study(lab, **recording), "catalogue", capsys)
    assert str(lab / name) in line
    for part in parts:
        assert part in line, line
    assert not list(Path("data").rglob("files-*.json"))


def test_targets_by_name_must_have_responses(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (lab / "my.csv").write_text("a,b,c\n" + "1,2,3\n" * N)
    (lab / "regions.csv").write_text("target,region\na,V1\nb,V1\nd,V1\n")
    line = refusal(write_study(lab, responses="my.csv"), "catalogue", capsys)
    assert "line 4: target 'd' is no column" in line


@pytest.mark.parametrize(
    ("times", "parts"),
    [
        ([1.0, 2.0], ["2 times", "12 samples"]),
        ([float(n) for n in range(11)] + [5.0], ["each later than the one before"]),
        ([float(n) for n in range(11)] + [10.4], ["whole intervals of"]),
        ([float(n) for n in range(11)] + [float("nan")], ["finite times"]),
    ],
)
def test_times_that_are_no_clock_are_one_line(
    lab: Path, capsys: pytest.CaptureFixture[str], times: list[float], parts: list[str]
) -> None:
    np.save(lab / "times.npy", times)
    np.save(lab / "movie.npy", np.zeros((4, 5, 5), np.uint8))
    study = write_study(lab, stimulus="movie.npy", frame_rate_hz=1, times="times.npy")
    line = refusal(study, "catalogue", capsys)
    assert "times.npy" in line
    for part in parts:
        assert part in line, line


@pytest.mark.parametrize(
    ("name", "write", "recording", "parts"),
    [
        ("images/picture-05.png", picture((14, 11)), {}, ["14×11 pixels", "14×10", "one size"]),
        ("images/picture-05.png", picture((14, 10), "RGBA"), {}, ["transparent parts"]),
        ("images/picture-05.png", picture((14, 10), "I;16"), {}, ["more than 8 bits"]),
        ("images/picture-05.png", text("hello"), {}, ["cannot be read as a picture"]),
        (
            "images/picture-05.png",
            lambda path: path.write_bytes(path.read_bytes()[:200]),
            {},
            ["is cut short"],
        ),
        ("words.csv", text("text,onset_s\na,0\n"), {}, ["lacks column 'offset_s'"]),
        ("words.csv", text("text,onset_s,offset_s\na,1,2\nb,0,13\n"), {}, ["line 3: the onset lies before"]),
        ("words.csv", text("text,onset_s,offset_s\na,1,1\nb,2,13\n"), {}, ["line 2: the word ends at or before"]),
        ("movie.npy", array(np.zeros((4, 5, 5))), {}, ["type float64, expected uint8"]),
        ("movie.npy", array(np.zeros((4, 5, 5, 2), np.uint8)), {}, ["with 1 or 3 colours"]),
        ("story.wav", text("hello"), {}, ["cannot be read as sound"]),
        ("story.wav", lambda path: soundfile.write(path, np.zeros(0), 8000), {}, ["holds no sound"]),
        ("sounds", None, {}, ["8000", "16000", "one rate"]),
        ("my.npy", array(np.full((N, 3), np.nan)), {}, ["missing in every repeat", "(36 in all)"]),
        ("my.npy", array(np.full((N, 3), np.inf)), {}, ["is infinite"]),
    ],
)
def test_contents_that_are_not_what_they_should_be_are_one_line_at_prepare(
    lab: Path, capsys: pytest.CaptureFixture[str], name: str, write, recording: dict, parts: list[str]
) -> None:
    model = {"words.csv": "word-rate", "story.wav": "log-mel", "sounds": "log-mel"}.get(name, "pixels")
    if name in ("words.csv", "movie.npy", "story.wav"):
        recording = {"stimulus": name, "sample_interval_s": 1.0}
    if name == "movie.npy":
        recording["frame_rate_hz"] = 1.0
    if name == "sounds":
        recording = {"stimulus": name}
        (lab / name).mkdir()
        for number in range(N):
            soundfile.write(lab / name / f"{number:02d}.wav", np.zeros(100), 16000 if number else 8000)
    else:
        write(lab / name)
    study = write_study(lab, model, **recording)
    run_stages(study, "catalogue", "fetch")
    line = refusal(study, "prepare", capsys)
    for part in parts:
        assert part in line, line


def test_a_high_pass_of_broken_repeats_or_times_is_one_line(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = np.load(lab / "my.npy")
    values[1, 4, 2] = np.nan
    np.save(lab / "my.npy", values)
    np.save(lab / "movie.npy", np.full((12, 5, 5), 128, np.uint8))
    study = write_study(lab, stimulus="movie.npy", frame_rate_hz=1, sample_interval_s=1, high_pass_s=6)
    run_stages(study, "catalogue", "fetch")
    assert "repeat 2 of target 'V4-3' lacks samples within" in refusal(study, "prepare", capsys)
    np.save(lab / "times.npy", np.r_[np.arange(6), np.arange(7, N + 1)])
    study = write_study(lab, stimulus="movie.npy", frame_rate_hz=1, times="times.npy", high_pass_s=6)
    assert "samples are missing between the times" in refusal(study, "catalogue", capsys)
