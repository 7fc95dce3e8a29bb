"""The 2-photon studies that come with layermap, from queries to the page, against a server with planted layers.

Twins, most networks and most of the movies' length are left out to save time.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from pipeline.recordings.allen.two_photon.options import Allen2pOptions
from tests.conftest import MIRROR
from tests.http_server import running
from tests.observatory.planted_two_photon import PLANTED, Design
from tests.observatory.server import ObservatoryServer
from tests.observatory.study_two_photon import Observatory, simulate_observatory
from tests.workflow.conftest import Folder
from tests.workflow.observatory_runs import (
    best_layers,
    planted_weights,
    run_snakemake,
    run_stages,
    shipped,
    smaller,
    table,
)

pytestmark = pytest.mark.study

AREAS = list(PLANTED)
REDUCED = {"name": "efficientnet-lite0", "reduction": {"kind": "sparse_projection", "n_features": 1000}}
PIXELS = {"name": "pixels", "reduction": {"kind": "sparse_projection", "n_features": 1000}}
WINDOW_S = (0.1, 0.133)
"""One frame's response: latency of the simulation, and the length of a frame."""
LIMIT = 6
FRAMES = {"natural_movie_one": 60, "natural_movie_three": 240}


@pytest.fixture(scope="module", autouse=True)
def _local_addresses_need_no_proxy():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_PROXY", "127.0.0.1")
        yield


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return planted_weights(tmp_path_factory.mktemp("weights"))


def observatory(options: dict, design: Design, weights: Path) -> Observatory:
    """With the real metadata where the mirror is."""
    chosen = Allen2pOptions(**{**options, "limit": LIMIT})
    return simulate_observatory(chosen, design, weights, MIRROR if MIRROR.is_dir() else None)


@pytest.fixture(scope="module")
def movies_and_server(
    weights: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Folder, ObservatoryServer]]:
    study = shipped("allen_movies")
    for name, analysis in study["analyses"].items():
        analysis["recording"] |= {
            "stimuli": list(FRAMES),
            "frames_per_bin": 1,
            "response_window_s": list(WINDOW_S),
        }
        if name == "movies":
            splits = {"kind": "contiguous", "n_folds": 5, "n_inner_folds": 4, "gap_s": 0.1, "block_s": 0.5}
            smaller(analysis, [REDUCED, PIXELS], splits=splits)
        else:
            smaller(analysis, [REDUCED, PIXELS], block_s=0.1, stretch_s=0.3, comparison="spearman")
    study["inference"] = {"n_bootstrap": 200, "permutations": 0, "simulations": 0}
    design = Design(FRAMES, n_repeats=10, n_cells=10, frames_per_bin=1, window_s=WINDOW_S)
    folder = Folder(tmp_path_factory.mktemp("movies"))
    with running(observatory(study["analyses"]["movies"]["recording"], design, weights).server()) as server:
        run_snakemake(folder, study, server, LIMIT)
        yield folder, server


@pytest.fixture(scope="module")
def movies(movies_and_server: tuple[Folder, ObservatoryServer]) -> Folder:
    return movies_and_server[0]


def test_every_area_gets_its_planted_layer_back(movies):
    assert best_layers(movies, "allen_movies", "movies") == PLANTED
    summary = table(movies, "allen_movies", "-summary")
    rows = summary[
        (summary.analysis == "movies") & (summary.subject == "all") & (summary.model == "efficientnet-lite0")
    ]
    assert rows.region.tolist() == AREAS and (rows.ci_low > 0).all() and rows.distinguishable.all()
    index = rows.set_index("region").hierarchy_index
    assert index["VISp"] == pytest.approx(1 / 9) and index["VISam"] == 1.0 and index.is_monotonic_increasing
    depth = table(movies, "allen_movies", "-contrasts")
    order = depth[(depth.analysis == "movies") & (depth.contrast == "depth order: VISp before VISam")]
    assert (order.p < 0.01).all()


def test_the_map_has_a_row_for_every_mouse(movies):
    rows = table(movies, "allen_movies")
    recorded = set()
    for path in (movies.path / "data" / "prepared").rglob("recordings/*.nc"):
        with xr.open_dataset(path, engine="h5netcdf") as recording:
            recorded.add(str(recording["subject"].values[0]))
    assert len(recorded) >= 4  # some mice were imaged twice
    assert set(rows[rows.analysis == "movies"].subject) == {"all", *recorded}
    assert set(rows[(rows.analysis == "movies") & (rows.subject == "all")].ci_unit) == {"block"}  # fewer than 8 mice


def test_running_has_a_share_of_its_own_and_the_pupil_none(movies):
    path = movies.path / "data/scores/allen_movies/movies/animals/efficientnet-lite0.nc"
    with xr.open_dataset(path, engine="h5netcdf") as scores:
        share = scores["nuisance_share"].to_pandas().mean(axis=1)
    assert 0.005 < share["running_speed"] < 0.3 and abs(share["pupil_area"]) < 0.005
    assert share["all"] == pytest.approx(share["running_speed"], abs=0.005)


def test_similarity_structures_find_the_planted_layers_too(movies):
    rows = table(movies, "allen_movies")
    rows = rows[(rows.analysis == "similarity") & (rows.subject == "all") & (rows.model == "efficientnet-lite0")]
    best = rows.loc[rows.groupby("region").score.idxmax()].set_index("region").layer.to_dict()
    assert sum(best[area] == PLANTED[area] for area in AREAS) >= 4, best


def test_streams_are_compared_under_every_assignment(movies):
    contrasts = table(movies, "allen_movies", "-contrasts")
    found = contrasts[contrasts.contrast.str.startswith("streams (")].contrast
    for assignment in ("published", "anatomical", "VISpm omitted"):
        assert found.str.startswith(f"streams ({assignment})").any()


def test_the_page_names_the_corrections_and_the_two_streams(movies):
    page = (movies.path / "reports" / "allen_movies" / "index.html").read_text()
    for said in ("across animals", "VISpm", "hierarchy index", "Running", "de Vries"):
        assert said in page, said


def test_another_limit_shows_no_stimulus_to_a_network_again(movies_and_server):
    folder, server = movies_and_server
    before = {path: path.stat().st_mtime_ns for path in (folder.path / "data" / "activations").rglob("zarr.json")}
    result = folder.run(
        "activate", "--config", "study=allen_movies.yaml", f"limit={LIMIT - 1}", f"mirror={server.prefix}"
    )
    assert result.returncode == 0, result.stderr[-2000:]
    assert {"catalogue_dataset", "prepare_stimulus"} <= folder.rules_run(result)
    assert "activate_model" not in folder.rules_run(result)
    assert before == {path: path.stat().st_mtime_ns for path in before} and before


@pytest.fixture(scope="module")
def scenes(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    study = shipped("allen_scenes_2p")
    for name, analysis in study["analyses"].items():
        analysis["recording"]["response_window_s"] = [0.1, 0.35]
        smaller(analysis, [REDUCED, PIXELS])
        if name == "scenes":
            analysis["metric"]["splits"] = {"kind": "random_items", "n_folds": 5, "n_inner_folds": 4}
    study["inference"] = {"n_bootstrap": 200, "permutations": 0, "simulations": 0}
    design = Design({"natural_scenes": 118}, n_repeats=15, n_cells=10, window_s=(0.1, 0.35), reliability=0.5)
    folder = Folder(tmp_path_factory.mktemp("scenes"))
    with running(observatory(study["analyses"]["scenes"]["recording"], design, weights).server()) as server:
        run_stages(folder, study, server, LIMIT)
    return folder


def test_scenes_give_the_planted_layers_back(scenes):
    assert best_layers(scenes, "allen_scenes_2p", "scenes") == PLANTED


def test_the_grey_screen_is_recorded_and_not_modelled(scenes):
    (recording, *_) = sorted((scenes.path / "data" / "prepared" / "allen_2p").rglob("*.nc"))
    with xr.open_dataset(recording, engine="h5netcdf") as opened:
        assert opened.sizes["sample"] == 119 and opened["blank"].values.sum() == 1
    with xr.open_dataset(
        scenes.path / "data/scores/allen_scenes_2p/scenes/animals/pixels.nc", engine="h5netcdf"
    ) as scores:
        assert scores.sizes["sample"] == 118 and np.isfinite(scores["measured"]).all()
