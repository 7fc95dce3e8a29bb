"""Selections from the real metadata, asked through allensdk, against direct counts; and servers that misbehave."""

from __future__ import annotations

import json
from collections import Counter

import pandas as pd
import pytest

from pipeline.core.errors import BadConfiguration, FetchError, UnknownName
from pipeline.recordings.allen.two_photon.catalogue import catalogue, find_experiments, take_in_turn
from pipeline.recordings.allen.two_photon.dataset import DATASET
from pipeline.recordings.allen.two_photon.options import Allen2pOptions
from tests.http_server import Served, running
from tests.observatory.rows_two_photon import link_of
from tests.observatory.server import API, ObservatoryServer

pytestmark = pytest.mark.slow

ALL_AREAS = ("VISp", "VISl", "VISal", "VISpm", "VISam", "VISrl")
EVERYTHING = {"VISp": 66, "VISl": 38, "VISpm": 36, "VISal": 35, "VISam": 25, "VISrl": 16}
USABLE = {"VISp": 46, "VISl": 34, "VISpm": 33, "VISal": 30, "VISam": 23, "VISrl": 15}


def by_area(found: list[dict]) -> dict[str, int]:
    return dict(Counter(str(container["targeted_structure"]) for container in found))


def table(rows: dict) -> pd.DataFrame:
    """The containers, flattened by hand."""
    return pd.DataFrame(
        {
            "id": one["id"],
            "failed": one["failed"],
            "depth": one["imaging_depth"],
            "area": one["targeted_structure"]["acronym"],
            "lines": [line["name"] for line in one["specimen"]["donor"]["transgenic_lines"]],
            "sessions": [session["stimulus_name"] for session in one["ophys_experiments"]],
        }
        for one in rows["ExperimentContainer"]
    )


def test_all_containers_and_those_that_did_not_fail(warehouse):
    found = find_experiments(Allen2pOptions(areas=ALL_AREAS, include_failed=True), warehouse.prefix)
    assert len(found) == 216 and sum(len(one["sessions"]) for one in found) == 648
    assert by_area(found) == EVERYTHING
    usable = find_experiments(Allen2pOptions(areas=ALL_AREAS), warehouse.prefix)
    assert len(usable) == 181 and by_area(usable) == USABLE
    assert not any(one["failed"] for one in usable) and sum(one["failed"] for one in found) == 35


@pytest.mark.parametrize(
    ("cre_lines", "depth_um"),
    [(("Cux2-CreERT2",), (0, 1000)), (("Rbp4-Cre_KL100", "Nr5a1-Cre"), (250, 375)), ((), (175, 250))],
)
def test_selections_agree_with_a_direct_count(warehouse, real_rows, cre_lines, depth_um):
    options = Allen2pOptions(areas=ALL_AREAS, cre_lines=cre_lines, depth_um=depth_um, stimuli=("natural_movie_three",))
    found = find_experiments(options, warehouse.prefix)
    frame = table(real_rows)
    keep = ~frame["failed"] & frame["depth"].between(*depth_um)
    if cre_lines:
        keep &= frame["lines"].map(lambda lines: bool(set(lines) & set(cre_lines)))
    keep &= frame["sessions"].map(lambda sessions: "three_session_A" in sessions)
    assert sorted(one["id"] for one in found) == sorted(frame.loc[keep, "id"]) and keep.sum() > 3
    assert {session["session_type"] for one in found for session in one["sessions"]} == {"three_session_A"}


def test_sessions_are_those_that_showed_all_stimuli():
    assert Allen2pOptions(stimuli=("natural_movie_one", "natural_movie_three")).sessions == ("three_session_A",)
    assert len(Allen2pOptions(stimuli=("natural_movie_one",)).sessions) == 4
    one = Allen2pOptions(stimuli=("natural_movie_one",), session_types=("three_session_B",))
    assert one.sessions == ("three_session_B",)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"stimuli": ("natural_movie_two", "natural_movie_three")}, "no session showed all of"),
        ({"stimuli": ("natural_movie_one", "natural_scenes")}, "partly in time"),
        ({"stimuli": ("natural_scenes",), "session_types": ("three_session_A",)}, "three_session_A did not show"),
        ({"response_window_s": (0.5, 0.2)}, "must be in order"),
        ({"depth_um": (300, 200)}, "exceeds highest"),
        ({"cell_filters": ({"field": "osi; import os", "op": ">", "value": 1},)}, "pattern"),
        ({"cell_filters": ({"field": "osi_sg", "op": "between", "value": 1},)}, "does not go with"),
    ],
)
def test_options_that_make_no_sense_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        Allen2pOptions(**wrong)


def test_a_first_taste_goes_round_the_areas(warehouse):
    options = Allen2pOptions(limit=6)
    taken = take_in_turn(find_experiments(options, warehouse.prefix), options)
    assert [one["targeted_structure"] for one in taken] == ["VISp", "VISl", "VISal", "VISpm", "VISam", "VISp"]
    with pytest.raises(BadConfiguration, match="no experiment container fits areas VISp"):
        take_in_turn([], options)


def test_names_that_do_not_exist_are_said(warehouse):
    with pytest.raises(UnknownName, match=r"driver line .* 'Cux2-Cre' \(closest: 'Cux2-CreERT2'\)"):
        find_experiments(Allen2pOptions(cre_lines=("Cux2-Cre",)), warehouse.prefix)
    with pytest.raises(UnknownName, match=r"experiment container .* '1'"):
        find_experiments(Allen2pOptions(containers=(1,)), warehouse.prefix)


def with_files(server: ObservatoryServer, options: Allen2pOptions, size: int = 1000) -> list[int]:
    """Give every experiment of a selection files of some size; their numbers."""
    taken = take_in_turn(find_experiments(options, server.prefix), options)
    experiments = [session["id"] for one in taken for session in one["sessions"]]
    for place, experiment in enumerate(experiments):
        for kind in ("NWBOphys", "ObservatoryEventsFile"):
            server.files[f"{API}{link_of(experiment, kind)}"] = Served(b"x" * (size + place))
    return experiments


def test_the_catalogue_lists_files_with_links_sizes_and_parts(warehouse):
    options = Allen2pOptions(limit=2, stimuli=("natural_movie_one", "natural_movie_three"))
    experiments = with_files(warehouse, options)
    link = link_of(experiments[0], "NWBOphys")
    warehouse.redirect(link, "/visual-coding-2p/ophys/0.nwb")
    found = catalogue(options, "key", warehouse.prefix)
    assert found.recordings == tuple(str(one) for one in experiments)
    assert [(run.stimulus, run.recording) for run in found.groups[0].runs] == [
        (stimulus, recording) for recording in found.recordings for stimulus in options.stimuli
    ]
    assert [(file.path, file.bytes, file.part) for file in found.files[:3]] == [
        (f"ophys_experiment_data/{experiments[0]}.nwb", 1000, 1),
        (f"ophys_experiment_events/{experiments[0]}_events.npz", 1000, 1),
        (f"ophys_experiment_data/{experiments[1]}.nwb", 1001, 2),
    ]
    assert found.files[0].url == f"https://api.brain-map.org{link}" and found.files[0].holds
    assert {stimulus.modality for stimulus in found.stimuli} == {"movie"}


def test_sessions_of_a_container_are_runs_of_one_member(warehouse):
    options = Allen2pOptions(limit=1, areas=("VISl",), signal="dff")
    with_files(warehouse, options)
    found = catalogue(options, "key", warehouse.prefix)
    assert len(found.recordings) == 3 and len(found.groups[0].subjects) == 1
    assert all(file.path.endswith(".nwb") for file in found.files)


def test_cells_are_chosen_by_the_published_metrics_page_by_page(warehouse):
    """5,400 cells come in pages of 2,000."""
    options = Allen2pOptions(limit=1, cell_filters=({"field": "osi_sg", "op": ">", "value": 0.5},))
    with_files(warehouse, options)
    warehouse.queries.clear()
    document = catalogue(options, "key", warehouse.prefix).files[-1]
    chosen = json.loads(document.contents)
    assert len(chosen) == 181 and {len(cells) for cells in chosen.values()} == {12}
    pages = [query for query in warehouse.queries if "ApiCamCellMetric" in query]
    assert [f"start_row$eq{row}" in page for row, page in zip((0, 2000, 4000), pages, strict=True)] == [True] * 3
    with pytest.raises(UnknownName, match="column of the cell metrics 'osi_ns'"):
        catalogue(
            Allen2pOptions(limit=1, cell_filters=({"field": "osi_ns", "op": ">", "value": 0},)), "k", warehouse.prefix
        )


@pytest.mark.parametrize("fault", ["500", "503", "html", "truncated", "slow"])
def test_what_may_pass_is_asked_again(real_rows, fault):
    with running(ObservatoryServer(real_rows, {}, faults=[fault])) as server:
        assert len(find_experiments(Allen2pOptions(), server.prefix)) == 166


@pytest.mark.parametrize(
    ("faults", "reason"),
    [
        (["404"] * 20, "it answers 404"),
        (["500"] * 20, "it answers 500"),
        (["html"] * 20, "HTML page"),
        (["truncated"] * 20, "cut short"),
        (["refused"] * 20, "refuses the query: bad query"),
    ],
)
def test_a_server_that_does_not_answer_is_one_line(real_rows, nowhere, faults, reason):
    with (
        running(ObservatoryServer(real_rows, {}, faults=faults)) as server,
        pytest.raises(FetchError, match=r"gave no list of experiments for allen_2p .*--config mirror=http") as error,
    ):
        find_experiments(Allen2pOptions(), server.prefix)
    assert "\n" not in str(error.value)
    assert reason in str(error.value) and "http://api.brain-map.invalid: it cannot be reached" in str(error.value)


def test_a_silent_server_is_given_up(real_rows, nowhere, monkeypatch):
    monkeypatch.setattr("pipeline.fetch.http.lists.SILENCE_S", 0.2)
    monkeypatch.setattr("pipeline.fetch.http.lists.TRIES", 1)
    with (
        running(ObservatoryServer(real_rows, {}, faults=["silent"])) as server,
        pytest.raises(FetchError, match="silent"),
    ):
        find_experiments(Allen2pOptions(), server.prefix)


def test_an_experiment_without_a_file_is_named(warehouse, nowhere):
    options = Allen2pOptions(limit=1, stimuli=("natural_scenes",))
    (experiment,) = with_files(warehouse, options)
    del warehouse.files[f"{API}{link_of(experiment, 'NWBOphys')}"]
    with pytest.raises(FetchError, match=r"it answers 404 .*leave it out of the study"):
        catalogue(options, "key", warehouse.prefix)
    gone = [row for row in warehouse.rows["WellKnownFile"] if row["well_known_file_type"]["name"] == "NWBOphys"]
    warehouse.rows = warehouse.rows | {"WellKnownFile": gone}
    with pytest.raises(FetchError, match=f"experiment {experiment} has no file of type ObservatoryEventsFile"):
        catalogue(options, "key", warehouse.prefix)


def test_a_named_container_that_another_option_leaves_out_is_said(warehouse, real_rows):
    failed = next(one["id"] for one in real_rows["ExperimentContainer"] if one["failed"])
    with pytest.raises(BadConfiguration, match=f"container {failed} is named .*include_failed"):
        find_experiments(Allen2pOptions(areas=ALL_AREAS, containers=(failed,)), warehouse.prefix)
    (named,) = find_experiments(
        Allen2pOptions(areas=ALL_AREAS, containers=(failed,), include_failed=True), warehouse.prefix
    )
    assert named["id"] == failed


def test_a_container_can_be_left_out(warehouse):
    every = find_experiments(Allen2pOptions(), warehouse.prefix)
    gone = every[3]["id"]
    fewer = find_experiments(Allen2pOptions(leave_out=(gone,)), warehouse.prefix)
    assert [one["id"] for one in every if one["id"] != gone] == [one["id"] for one in fewer]


def test_links_that_came_are_not_asked_for_again(warehouse):
    """One passing error among many questions repeats one question, not all of them."""
    options = Allen2pOptions(limit=8, stimuli=("natural_scenes",))
    with_files(warehouse, options)
    warehouse.queries.clear()
    catalogue(options, "key", warehouse.prefix)
    n_questions = len(warehouse.queries)
    warehouse.queries.clear()
    warehouse.faults = [""] * (n_questions - 3) + ["502", "", "502"]
    catalogue(options, "key", warehouse.prefix)
    assert len(warehouse.queries) == n_questions + 2


def test_rows_without_what_allensdk_needs_are_one_line(real_rows, nowhere):
    rows = [{k: v for k, v in one.items() if k != "targeted_structure"} for one in real_rows["ExperimentContainer"]]
    with (
        running(ObservatoryServer({**real_rows, "ExperimentContainer": rows}, {})) as server,
        pytest.raises(FetchError, match=r"its rows are not as expected .KeyError: 'targeted_structure'"),
    ):
        find_experiments(Allen2pOptions(), server.prefix)


def test_a_server_that_does_not_say_sizes_is_fetched_from_all_the_same(warehouse):
    options = Allen2pOptions(limit=1, stimuli=("natural_scenes",))
    (experiment,) = with_files(warehouse, options)
    warehouse.files[f"{API}{link_of(experiment, 'NWBOphys')}"].body = b""
    assert [file.bytes for file in catalogue(options, "key", warehouse.prefix).files] == [None, 1000]


def test_keys_follow_what_is_selected_and_what_is_recorded():
    assert set(DATASET.selection) | set(DATASET.recorded or ()) == set(Allen2pOptions.model_fields)
