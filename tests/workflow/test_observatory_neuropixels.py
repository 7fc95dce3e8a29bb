"""The Neuropixels study that comes with layermap, from queries to the page, against sessions with planted layers.

Twins, most networks and most of the movies' length are left out to save time.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import xarray as xr

from tests.http_server import running
from tests.observatory.example_neuropixels import FAILING
from tests.observatory.planted_neuropixels import SMALL
from tests.observatory.planted_two_photon import PLANTED
from tests.observatory.server import ObservatoryServer
from tests.observatory.study_neuropixels import simulate_sessions
from tests.workflow.conftest import Folder
from tests.workflow.observatory_runs import (
    PLANTED_MODEL,
    best_layers,
    planted_weights,
    run_stages,
    shipped,
    smaller,
    table,
)

pytestmark = pytest.mark.study

STUDY = "allen_neuropixels"
AREAS = list(PLANTED)
LIMIT = 2
REDUCTION = {"kind": "sparse_projection", "n_features": 1000}
NETWORK, PIXELS = ({"name": name, "reduction": REDUCTION} for name in (PLANTED_MODEL, "pixels"))
SHORT = {"frames_per_bin": SMALL.frames_per_bin, "response_window_s": list(SMALL.movie_window_s)}
"""Bins of one frame."""


def short_study() -> dict[str, Any]:
    """The shipped study, with as many bins of movies as it has, of one frame each."""
    study = shipped(STUDY)
    analyses = study["analyses"]
    splits = {**analyses["movies"]["metric"]["splits"], "gap_s": 0.1, "block_s": 0.5}
    smaller(analyses["movies"], [NETWORK, PIXELS], splits=splits)
    smaller(analyses["similarity"], [NETWORK], block_s=0.1, stretch_s=0.3)
    smaller(analyses["scenes"], [NETWORK])
    for name in ("movies", "similarity"):
        analyses[name]["recording"] |= SHORT
    study["inference"] = {"n_bootstrap": 200, "permutations": 0, "simulations": 0}
    return study


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, list[dict[str, Any]]], dict[str, bytes]]:
    return simulate_sessions(SMALL, planted_weights(tmp_path_factory.mktemp("weights")), LIMIT)


@pytest.fixture(scope="module")
def finished(warehouse, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    folder = Folder(tmp_path_factory.mktemp("neuropixels"))
    with pytest.MonkeyPatch.context() as patch, running(ObservatoryServer(*warehouse)) as server:
        patch.setenv("NO_PROXY", "127.0.0.1")
        run_stages(folder, short_study(), server, LIMIT)
    return folder


def summary(folder: Folder, analysis: str) -> pd.DataFrame:
    """Region → what is said of the planted network, over animals."""
    rows = table(folder, STUDY, "-summary")
    rows = rows[(rows.analysis == analysis) & (rows.model == PLANTED_MODEL) & (rows.subject == "all")]
    return rows.set_index("region")


# Noise-free, the readouts of every area score .8 or more in their own layer and at most .21 in the next, of movies and
# of scenes: all five areas can be told apart in both.
@pytest.mark.parametrize("analysis", ["movies", "scenes"])
def test_every_area_gets_its_planted_layer_back(finished, analysis):
    assert best_layers(finished, STUDY, analysis) == PLANTED
    rows = summary(finished, analysis)
    assert rows.index.tolist() == AREAS and (rows.ci_low > 0).all() and rows.distinguishable.all()
    assert (rows.n_subjects == LIMIT).all()


def test_similarity_structures_find_the_planted_layers_too(finished):
    rows = table(finished, STUDY)
    rows = rows[(rows.analysis == "similarity") & (rows.subject == "all") & (rows.model == PLANTED_MODEL)]
    best = rows.loc[rows.groupby("region").score.idxmax()].set_index("region").layer.to_dict()
    assert sum(best[area] == PLANTED[area] for area in AREAS) >= 4, best


def test_units_of_poor_quality_are_in_no_recording(finished, warehouse):
    units = {str(row["id"]): row for row in warehouse[0]["EcephysUnit"]}
    poor = {name for name, row in units.items() if any(fault.items() <= row.items() for fault in FAILING.values())}
    assert len(poor) == LIMIT * len(AREAS) * len(FAILING)
    recordings = sorted((finished.path / "data" / "prepared" / STUDY).rglob("session-*.nc"))
    found: dict[Path, set[str]] = {}
    for path in recordings:
        with xr.open_dataset(path, engine="h5netcdf") as recording:
            found.setdefault(path.parent, set()).update(recording["target"].values.tolist())
            assert recording.attrs["left_out"].startswith(f"{len(AREAS) * len(FAILING)} units outside quality good")
    assert len(recordings) == 2 * LIMIT and all(names == set(units) - poor for names in found.values())


@pytest.mark.parametrize("analysis", ["movies", "scenes"])
def test_running_has_a_share_of_its_own_and_the_pupil_none(finished, analysis):
    path = finished.path / "data" / "scores" / STUDY / analysis / "animals" / f"{PLANTED_MODEL}.nc"
    with xr.open_dataset(path, engine="h5netcdf") as scores:
        share = scores["nuisance_share"].to_pandas().mean(axis=1)
    assert 0.005 < share["running_speed"] < 0.3 and abs(share["pupil_area"]) < 0.005
    assert share["all"] == pytest.approx(share["running_speed"], abs=0.005)


def test_the_page_names_the_layer_of_every_area(finished):
    page = (finished.path / "reports" / STUDY / "index.html").read_text()
    assert all(said in page for said in ("Siegle", "hierarchy index", "Running"))
    assert not any(wrong in page for wrong in ("Traceback", "LayermapError", "{{ ", "{% "))
    for analysis in ("movies", "scenes"):
        assert f'id="figures-{analysis}"' in page
        found = page.partition(f'id="found-{analysis}"')[2].partition("<h3>")[2].partition("<h3>")[0]
        text = re.sub(r"<[^>]+>", "", found)
        assert all(f"{area}: best layer {layer} " in text for area, layer in PLANTED.items()), text
