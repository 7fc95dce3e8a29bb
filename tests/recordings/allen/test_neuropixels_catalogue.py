"""The list of Neuropixels sessions, asked through allensdk: the real ones, made-up ones, and servers that fail."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
from pydantic import ValidationError

from pipeline.artifacts.catalogue import Catalogue
from pipeline.core.errors import BadConfiguration, FetchError, UnknownName
from pipeline.fetch.http import lists
from pipeline.recordings.allen import queries
from pipeline.recordings.allen.cortical_layers import ADDRESSES, ANNOTATION, STRUCTURES
from pipeline.recordings.allen.neuropixels.catalogue import catalogue
from pipeline.recordings.allen.neuropixels.options import AllenNeuropixelsOptions
from pipeline.recordings.allen.sdk import ecephys_cache_class
from tests.http_server import Served, running
from tests.observatory.example_neuropixels import example_session
from tests.observatory.rows_neuropixels import Row, link, nwb_link, real_rows, rows_of_designs
from tests.observatory.server import ObservatoryServer

pytestmark = pytest.mark.slow

Serve = Callable[..., ObservatoryServer]
FIRST, SECOND, THIRD = 715093703, 719161530, 721123822


@pytest.fixture(autouse=True)
def only_the_mirror(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test asks the public server, or waits before it asks again."""
    monkeypatch.setattr(queries, "server_addresses", lambda mirror: [f"{mirror}/api.brain-map.org"])
    monkeypatch.setattr(lists, "BACK_OFF_S", 0.0)


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start a server of rows; every file of them has a size."""
    with contextlib.ExitStack() as stack:

        def start(rows: dict[str, list[Row]], **behaviour: object) -> ObservatoryServer:
            files = {str(row["download_link"]): b"x" * (int(row["id"]) % 100) for row in rows["WellKnownFile"]}
            server: ObservatoryServer = stack.enter_context(running(ObservatoryServer(rows, files, **behaviour)))
            return server

        yield start


@pytest.fixture
def rows() -> dict[str, list[Row]]:
    """Three sessions: the first blind and without LGd, the last with another genotype."""
    designs = [
        example_session(FIRST, pupil=None),
        example_session(SECOND),
        example_session(THIRD, genotype="Pvalb-IRES-Cre/wt;Ai32(RCL-ChR2(H134R)_EYFP)/wt"),
    ]
    made = rows_of_designs(designs, movies=(1, 3), n_scenes=4)
    for channel in made["EcephysChannel"]:
        if channel["ecephys_structure_acronym"] == "LGd-sh" and channel["ecephys_probe_id"] == 10 * FIRST:
            channel["ecephys_structure_acronym"] = "CA1"
    return made


def options(**chosen: object) -> AllenNeuropixelsOptions:
    return AllenNeuropixelsOptions(**{"areas": ("VISp", "VISl", "LGd"), **chosen})


def listed(server: ObservatoryServer, **chosen: object) -> Catalogue:
    return catalogue(options(**chosen), "key", server.prefix)


def numbers(found: Catalogue) -> list[int]:
    return [int(name.removeprefix("session-")) for name in found.recordings]


@pytest.mark.mirror
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore:retrying fetch")
def test_the_real_sessions_and_probes_through_allensdk(serve: Serve, mirror: Path, tmp_path: Path) -> None:
    real = real_rows(mirror)
    server = serve(real)
    cache = ecephys_cache_class().from_warehouse(
        scheme="http",
        host=f"{server.prefix.partition('://')[2]}/api.brain-map.org",
        asynchronous=False,
        manifest=str(tmp_path / "manifest.json"),
    )
    sessions, probes = cache.get_session_table(), cache.get_probes()
    assert sessions["session_type"].value_counts().to_dict() == {
        "brain_observatory_1.1": 32,
        "functional_connectivity": 26,
    }
    assert len(probes) == 332 and (sessions["probe_count"].sum(), sessions["channel_count"].sum()) == (332, 16 * 332)
    assert len(real["EcephysChannel"]) > 5000
    assert {"VISp", "LGd"} <= set(sessions["ecephys_structure_acronyms"].iloc[0])

    found = catalogue(AllenNeuropixelsOptions(), "key", server.prefix)
    assert len(found.recordings) == len(found.groups[0].subjects) == 32
    shown = sessions[sessions["session_type"] == "brain_observatory_1.1"]
    n_areas = [
        sum(area in AllenNeuropixelsOptions().areas for area in shown.loc[one, "ecephys_structure_acronyms"])
        for one in numbers(found)
    ]
    assert n_areas == sorted(n_areas, reverse=True) and n_areas[0] == 5 > n_areas[-1]
    pages = [query for query in server.queries if "model::EcephysChannel" in query]
    assert sum("start_row$eq5000" in query for query in pages) == 2  # allensdk's own and layermap's


def test_what_is_listed(serve: Serve, rows: dict[str, list[Row]]) -> None:
    found = listed(serve(rows), stimuli=("natural_movie_one", "natural_movie_three"))
    # the first session has fewer of the areas
    assert numbers(found) == [SECOND, THIRD, FIRST]
    assert [(run.stimulus, run.recording) for run in found.groups[0].runs][:2] == [
        ("natural_movie_one", f"session-{SECOND}"),
        ("natural_movie_three", f"session-{SECOND}"),
    ]
    assert found.groups[0].name == "animals" and found.groups[0].subjects[0] == f"mouse-{SECOND % 1_000_000}"
    by_path = {file.path: file for file in found.files}
    nwb = by_path[f"session_{FIRST}/session_{FIRST}.nwb"]
    assert (nwb.url, nwb.bytes, nwb.part) == (f"https://api.brain-map.org{nwb_link(FIRST)}", (FIRST + 1) % 100, 3)
    assert "units/spike_times" in nwb.holds
    movie = by_path["natural_movie_templates/natural_movie_3.h5"]
    assert movie.part is None and movie.url == f"https://api.brain-map.org{link(900_000_003)}"
    channels = pd.read_csv(io.StringIO(by_path[f"session_{SECOND}/session_{SECOND}_channels.csv"].contents or ""))
    assert channels["left_right_ccf_coordinate"].dropna().eq(8607).all() and len(channels) == 6
    assert len(found.files) == 3 * 2 + 2


def test_scenes_are_files_of_their_own_and_gratings_none(serve: Serve, rows: dict[str, list[Row]]) -> None:
    server = serve(rows)
    paths = [file.path for file in listed(server, stimuli=("natural_scenes", "static_gratings")).files]
    assert [path for path in paths if "scene" in path] == [
        f"natural_scene_templates/natural_scene_{number}.tiff" for number in range(4)
    ]
    assert not any("template" in file.path for file in listed(server, stimuli=("drifting_gratings",)).files)


def test_the_annotation_comes_with_the_layers(serve: Serve, rows: dict[str, list[Row]]) -> None:
    server = serve(rows)
    server.files["download.alleninstitute.org" + ADDRESSES[ANNOTATION].partition("org")[2]] = Served(b"1234")
    server.files["api.brain-map.org" + ADDRESSES[STRUCTURES].partition("org")[2]] = Served(b"{}")
    files = {file.path: file for file in listed(server, areas=("VISp",), cortical_layers=True).files}
    assert files["annotation/ccf_2017/annotation_25.nrrd"].bytes == 4
    assert files["structure_graph_1.json"].url == "https://api.brain-map.org/api/v2/structure_graph_download/1.json"


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ({"limit": 2}, [SECOND, THIRD]),
        ({"genotypes": ("Pvalb", "Vip")}, [THIRD]),
        ({"sessions": (FIRST, THIRD)}, [THIRD, FIRST]),
        ({"require_eye_tracking": True}, [SECOND, THIRD]),
        ({"areas": ("LGd",)}, [SECOND, THIRD]),
        ({"areas": ("VISp", "LGd"), "min_units": 4}, [FIRST, SECOND, THIRD]),
    ],
)
def test_sessions_that_fit(
    serve: Serve, rows: dict[str, list[Row]], chosen: dict[str, object], expected: list[int]
) -> None:
    assert numbers(listed(serve(rows), **chosen)) == expected


def test_thresholds_decide_which_areas_a_session_has(serve: Serve, rows: dict[str, list[Row]]) -> None:
    for unit in rows["EcephysUnit"]:
        if unit["id"] // 100 == SECOND:
            unit["isi_violations"] = 0.8
    server = serve(rows)
    assert numbers(listed(server)) == [THIRD, FIRST]
    assert numbers(listed(server, isi_violations_max=0.8)) == [SECOND, THIRD, FIRST]


def test_no_session_and_an_unknown_one(serve: Serve, rows: dict[str, list[Row]]) -> None:
    server = serve(rows)
    with pytest.raises(BadConfiguration, match="of 3 sessions 0 are of type functional_connectivity"):
        listed(server, session_types=("functional_connectivity",))
    with pytest.raises(BadConfiguration, match="none of them has 9 units in any of VISp, VISl, LGd"):
        listed(server, min_units=9)
    with pytest.raises(UnknownName, match=f"unknown session of allen_neuropixels '{FIRST + 1}' .closest: '{FIRST}'"):
        listed(server, sessions=(FIRST + 1,))


@pytest.mark.parametrize("fault", ["503", "truncated", "html"])
def test_a_server_that_fails_for_a_while_is_asked_again(serve: Serve, rows: dict[str, list[Row]], fault: str) -> None:
    server = serve(rows, faults=["", "", fault, fault])
    assert numbers(listed(server)) == [SECOND, THIRD, FIRST]
    # pages that came are not asked for again
    models = [query.partition("model::")[2].partition(",")[0] for query in server.queries]
    assert [models.count(model) for model in ("EcephysSession", "EcephysUnit", "EcephysProbe")] == [1, 1, 1]
    assert models.count("EcephysChannel") == 3


@pytest.mark.parametrize(
    ("faults", "reason"),
    [
        (["404"], "it answers 404"),
        (["html"] * 4, "it answers with an HTML page, not JSON"),
        (["refused"], "it refuses the query: bad query"),
    ],
)
def test_a_server_that_goes_on_failing_is_one_line(
    serve: Serve, rows: dict[str, list[Row]], faults: list[str], reason: str
) -> None:
    with pytest.raises(FetchError) as caught:
        listed(serve(rows, faults=faults))
    assert "gave no list of Neuropixels sessions (http://127.0.0.1" in str(caught.value)
    assert reason in str(caught.value) and "\n" not in str(caught.value)


def test_a_list_that_is_shorter_than_announced_is_one_line(
    serve: Serve, rows: dict[str, list[Row]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """allensdk's own engine would ask for the rest for ever."""
    server = serve(rows)
    honest = server.answer
    monkeypatch.setattr(server, "answer", lambda query: {**honest(query), "total_rows": 1000})
    with pytest.raises(FetchError, match="its list ends after 3 of 1000 rows"):
        listed(server)


def test_tables_and_files_that_are_not_as_they_should_be_are_one_line(serve: Serve, rows: dict[str, list[Row]]) -> None:
    without = [row for row in rows["WellKnownFile"] if row["attachable_id"] != SECOND]
    with pytest.raises(FetchError, match=f"session {SECOND} has no file of type EcephysNwb"):
        listed(serve({**rows, "WellKnownFile": without}))
    no_templates = [row for row in rows["WellKnownFile"] if row["attachable_type"] != "Product"]
    with pytest.raises(FetchError, match="not as expected"):
        listed(serve({**rows, "WellKnownFile": no_templates}))
    for row in rows["EcephysUnit"]:
        del row["quality"], row["presence_ratio"]
    with pytest.raises(FetchError, match=r"its rows are not as expected .KeyError: 'presence_ratio'"):
        listed(serve(rows))


@pytest.mark.parametrize(
    ("chosen", "reason"),
    [
        ({"stimuli": ("natural_scenes", "natural_movie_one")}, "are partly in time"),
        (
            {"stimuli": ("natural_scenes",), "session_types": ("functional_connectivity",)},
            "functional_connectivity did not show natural_scenes",
        ),
        ({"cortical_layers": True}, "LGd lies in the thalamus"),
        ({"response_window_s": (0.2, 0.1)}, "must be in order"),
        ({"areas": ("V1",)}, "areas"),
        ({"amplitude_cutoff": 0.1}, "Extra inputs"),
    ],
)
def test_options_that_do_not_go_together(chosen: dict[str, object], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        options(**chosen)
