"""`power` from the command line: a table and a page from stimuli and networks alone."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
import yaml

from pipeline.study.cli import main
from tests.activations.own_study import OWN, Lab

pytestmark = pytest.mark.slow

FAST = ["--n", "2", "--targets", "3"]


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> tuple[Lab, str]:
    """A network, its twin and a baseline that saw 40 pictures; recordings are not there."""
    lab = Lab(tmp_path_factory.mktemp("power"), n_pictures=40)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(lab.work)
        study = lab.write({"own": OWN}, {"name": "own", "random_twins": 1}, "pixels")
        lab.run("catalogue", "fetch", "prepare", "activate")
    for recording in lab.work.glob("data/prepared/*/*/recordings"):
        shutil.rmtree(recording)
    return lab, study


def power(shown: tuple[Lab, str], patch: pytest.MonkeyPatch, *more: str) -> int:
    patch.chdir(shown[0].work)
    return main(["power", "--study", shown[1], *FAST, *more])


def test_table_and_page(shown, monkeypatch, capsys) -> None:
    """A row per network of several layers, size and design; the same on screen, in the CSV and on the page."""
    output = ["--items", "20", "40", "--repeats", "1", "5", "--subjects", "8", "--share", ".2"]
    assert power(shown, monkeypatch, *output) == 0
    told = capsys.readouterr()
    assert re.search(r"2 sizes × 2 designs: 32 fits of a layer to up to 24 simulated responses of up to 40", told.err)
    table = pd.read_csv(next(Path("reports").glob("*/power.csv")))
    assert table["model"].unique().tolist() == ["own"]  # pixels are one layer
    assert table[["items", "repeats", "subjects"]].drop_duplicates().shape == (4, 3)
    assert table["share"].max() == pytest.approx(0.2 / (0.2 + 0.8 / 40))
    assert table[["exact", "within_one", "twin"]].apply(lambda values: values.between(0, 1)).all(axis=None)
    lines = told.out.splitlines()
    assert " ".join(lines[0].split()) == "analysis model items repeats subjects score exact ± 1 bits depth error twin"
    assert len({len(line) for line in lines[: 1 + len(table)]}) == 1
    page = next(Path("reports").glob("*/power.html")).read_text(encoding="utf-8")
    panels = re.findall(r'<script type="application/json" data-for="[^"]+">(.*?)</script>', page)
    drawn = [go.Figure(json.loads(panel)) for panel in panels]  # layers, and the twin
    assert [list(figure.data[0].y) for figure in drawn] == [
        pytest.approx(table.loc[table["repeats"] == 1, name].tolist(), abs=1e-5) for name in ("exact", "twin")
    ]
    assert f"{table['exact'].iloc[-1]:.0%} ± " in page


def test_a_row_depends_on_nothing_else_that_is_asked_for(shown, monkeypatch, tmp_path) -> None:
    both, one = tmp_path / "both.csv", tmp_path / "one.csv"
    assert power(shown, monkeypatch, "--items", "20", "40", "--subjects", "1", "8", "--output", str(both)) == 0
    assert power(shown, monkeypatch, "--items", "40", "--subjects", "8", "--output", str(one)) == 0
    rows = pd.read_csv(both)
    rows = rows[(rows["items"] == 40) & (rows["subjects"] == 8)].reset_index(drop=True)
    pd.testing.assert_frame_equal(rows, pd.read_csv(one))
    assert (tmp_path / "one.html").is_file()


def test_default_sizes_that_no_folds_can_be_made_of_are_left_out(shown, monkeypatch, tmp_path, capsys) -> None:
    """Ten pictures leave too few for inner folds."""
    output = tmp_path / "power.csv"
    assert power(shown, monkeypatch, "--subjects", "1", "--output", str(output)) == 0
    assert "left out: analysis 'cells', 10 items: splits:" in capsys.readouterr().err
    assert pd.read_csv(output)["items"].tolist() == [20, 40]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["--items", "41"], "the stimuli of analysis 'cells' are 40 items, and 41 are asked for"),
        (["--items", "10"], "analysis 'cells', 10 items: splits: "),
        (["--minutes", "5"], "the stimuli of analysis 'cells' are 40 items: give sizes with --items"),
        (["--autocorrelation", ".5"], "--autocorrelation is of samples in time"),
        (["--output", "power.html"], "--output power.html: give the table a name that ends in .csv"),
        (["--group", "nobody"], "nobody"),
    ],
)
def test_what_cannot_be_planned_is_refused_in_one_line(shown, monkeypatch, capsys, asked, said) -> None:
    assert power(shown, monkeypatch, *asked) == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("layermap power: ") and said in lines[0]


@pytest.mark.parametrize("asked", ["--share=0", "--share=1.1", "--autocorrelation=1", "--n=1", "--repeats=0"])
def test_numbers_out_of_range_are_wrong_usage(shown, monkeypatch, asked) -> None:
    with pytest.raises(SystemExit, match="2"):
        power(shown, monkeypatch, asked)


def test_a_missing_activation_is_named_with_what_makes_it(shown, monkeypatch, tmp_path, capsys) -> None:
    shutil.copytree(shown[0].work, tmp_path / "work")
    gone = next((tmp_path / "work").glob("data/activations/*/own@random-0-*.zarr"), None)
    gone = gone or next((tmp_path / "work").glob("data/activations/*/own*random*.zarr"))
    shutil.rmtree(gone)
    monkeypatch.chdir(tmp_path / "work")
    assert main(["power", "--study", shown[1], *FAST]) == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and gone.name in lines[0] and "make it with: snakemake activate" in lines[0]


def test_minutes_of_a_movie(tmp_path, monkeypatch, capsys) -> None:
    """Four minutes, in samples of two seconds."""
    lab = Lab(tmp_path)
    frames = np.random.default_rng(0).integers(0, 256, (480, 16, 16), dtype=np.uint8)
    np.save(lab.folder / "movie.npy", frames)
    np.save(lab.folder / "movie_responses.npy", np.random.default_rng(1).standard_normal((120, 2)))
    monkeypatch.chdir(lab.work)
    movie = {"stimulus": "movie.npy", "frame_rate_hz": 2.0, "sample_interval_s": 2.0}
    recording = {"kind": "files", "responses": "movie_responses.npy", "regions": "regions.csv", **movie}
    study = lab.write({"own": OWN}, "own", recording=recording)
    content = yaml.safe_load(Path(study).read_text())
    splits = {"n_folds": 3, "n_inner_folds": 3, "gap_s": 0}
    content["analyses"]["cells"]["metric"] = {"kind": "ridge", "splits": splits, "delays_s": [2, 6]}
    Path(study).write_text(yaml.safe_dump(content))
    lab.run("catalogue", "fetch", "prepare", "activate")
    assert main(["power", "--study", study, *FAST, "--subjects", "1", "--autocorrelation", ".5"]) == 0
    table = pd.read_csv("reports/mine/power.csv")
    assert table["minutes"].tolist() == [1, 2, 4] and table["twin"].isna().all()
    assert "—" in capsys.readouterr().out
    assert main(["power", "--study", study, *FAST, "--minutes", "4.1"]) == 1
    assert "are 4 minutes, and 4.1 are asked for" in capsys.readouterr().err
    assert main(["power", "--study", study, *FAST, "--interval-s", "7"]) == 1
    assert "delays_s [2, 6] hold no multiple of the sample interval, 7 s" in capsys.readouterr().err
