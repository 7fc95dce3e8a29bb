"""Which 2-photon experiments a study needs, and where their files are: asked through ``BrainObservatoryCache``."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from pipeline.artifacts.catalogue import Catalogue, Group, RawFile, Run, StimulusEntry
from pipeline.core.errors import BadConfiguration, FetchError, UnknownName
from pipeline.core.keys import key_of
from pipeline.fetch.http.lists import sizes_of
from pipeline.recordings.allen.queries import API_URL, address_of, ask, rows_of
from pipeline.recordings.allen.two_photon.nwb import HOLDS
from pipeline.recordings.allen.two_photon.options import KIND, Allen2pOptions

GROUP = "animals"
QUERIES_AND_TYPES = {
    "nwb": ("ophys_experiment_data", "NWBOphys"),
    "events": ("ophys_events_file", "ObservatoryEventsFile"),
}
"""Kind of file → allensdk's query for it, and what the warehouse calls it."""

Row = dict[str, Any]


def nwb_path(experiment: int | str) -> str:
    """Within the raw folder, as allensdk's cache has it."""
    return f"ophys_experiment_data/{experiment}.nwb"


def events_path(experiment: int | str) -> str:
    """Within the raw folder, as allensdk's cache has it."""
    return f"ophys_experiment_events/{experiment}_events.npz"


def chosen_cells_path(options: Allen2pOptions) -> str:
    """Where fetch writes which cells pass the filters."""
    return f"chosen_cells/{key_of([one.model_dump(mode='json') for one in options.cell_filters])}.json"


def catalogue(options: Allen2pOptions, key: str, mirror: str | None = None) -> Catalogue:
    """Ask for containers, experiments, download links and sizes.

    Raises
    ------
    FetchError
        The server does not answer, or lacks a file of an experiment.
    BadConfiguration, UnknownName
        No container fits the options, or one names a driver line or container that does not exist.
    """
    taken = take_in_turn(find_experiments(options, mirror), options)
    sessions = [session for container in taken for session in container["sessions"]]
    kinds = ("nwb", "events") if options.signal == "events" else ("nwb",)
    known: dict[tuple[int, str], str] = {}  # what came stays for the next try
    links = ask("download links", lambda base: _links(sessions, kinds, base, known), mirror)
    addresses = {which: address_of(link) for which, link in links.items()}
    sizes = sizes_of(list(addresses.values()), mirror)
    files = [
        RawFile(
            path=nwb_path(session["id"]) if kind == "nwb" else events_path(session["id"]),
            url=addresses[session["id"], kind],
            bytes=sizes[addresses[session["id"], kind]],
            holds=HOLDS if kind == "nwb" else ("ev",),
            part=number,
        )
        for number, container in enumerate(taken, start=1)
        for session in container["sessions"]
        for kind in kinds
    ]
    if options.cell_filters:
        files.append(_chosen_cells(options, mirror))
    runs = [Run(stimulus=name, recording=str(one["id"])) for one in sessions for name in options.stimuli]
    return Catalogue(
        dataset=KIND,
        key=key,
        groups=(
            Group(
                name=GROUP,
                runs=tuple(runs),
                subjects=tuple(dict.fromkeys(f"mouse-{container['donor_name']}" for container in taken)),
            ),
        ),
        recordings=tuple(str(one["id"]) for one in sessions),
        stimuli=tuple(
            StimulusEntry(name=name, modality="movie" if options.in_time else "images") for name in options.stimuli
        ),
        files=tuple(files),
    )


def find_experiments(options: Allen2pOptions, mirror: str | None) -> list[Row]:
    """Experiment containers that fit, each with the ``sessions`` that are taken of it, by number.

    A container counts only if it has an experiment of each of the wanted sessions (C and C2 are one of them).

    Raises
    ------
    BadConfiguration
        A container that the options name does not fit them; the message says which.
    """
    containers, experiments = ask(f"experiments for {KIND}", lambda base: _query(options, base), mirror)
    low, high = options.depth_um
    wanted = {_session(name) for name in options.sessions}
    found = []
    for container in sorted(containers, key=lambda one: int(one["id"])):
        sessions = [one for one in experiments if one["experiment_container_id"] == container["id"]]
        whole = {_session(str(one["session_type"])) for one in sessions} == wanted
        if low <= container["imaging_depth"] <= high and whole and container["id"] not in options.leave_out:
            found.append({**container, "sessions": sorted(sessions, key=lambda one: str(one["session_type"]))})
    fitting = {container["id"] for container in found}
    for number in options.containers:
        if number not in fitting:
            raise BadConfiguration(
                f"{KIND}: container {number} is named under containers, but another option leaves it out: areas, "
                "cre_lines, depth_um, leave_out, require_eye_tracking, include_failed, or sessions that it lacks"
            )
    return found


def _session(session_type: str) -> str:
    """``three_session_C2`` is what later mice saw in place of ``three_session_C``."""
    return session_type.removesuffix("2")


def take_in_turn(containers: list[Row], options: Allen2pOptions) -> list[Row]:
    """The first ``limit`` containers, going round the areas, so that a first taste has all of them.

    Raises
    ------
    BadConfiguration
        There is none.
    """
    by_area = [[one for one in containers if one["targeted_structure"] == area] for area in options.areas]
    rounds = max((len(area) for area in by_area), default=0)
    taken = [area[turn] for turn in range(rounds) for area in by_area if turn < len(area)]
    if not taken:
        raise BadConfiguration(
            f"{KIND}: no experiment container fits areas {', '.join(options.areas)}, depth {options.depth_um[0]} to "
            f"{options.depth_um[1]} µm, driver lines {', '.join(options.cre_lines) or 'all'} and sessions "
            f"{', '.join(options.sessions)} together; widen one of them"
        )
    return taken[: options.limit]


def _query(options: Allen2pOptions, base: str) -> tuple[list[Row], list[Row]]:
    """Containers and experiments that fit, in allensdk's short form."""
    with tempfile.TemporaryDirectory() as folder:
        cache = _cache(Path(folder), base)
        _check_table(cache.api.get_experiment_containers, cache, cache.EXPERIMENT_CONTAINERS_KEY, "failed")
        _check_table(cache.api.get_ophys_experiments, cache, cache.EXPERIMENTS_KEY, "experiment_container_id")
        every = cache.get_experiment_containers(include_failed=True)
        _check_names("driver line", options.cre_lines, {str(one["cre_line"]) for one in every if one["cre_line"]})
        _check_names("experiment container", options.containers, {str(one["id"]) for one in every})
        containers = cache.get_experiment_containers(
            ids=list(options.containers) or None,
            targeted_structures=list(options.areas),
            cre_lines=list(options.cre_lines) or None,
            include_failed=options.include_failed,
        )
        experiments = cache.get_ophys_experiments(
            experiment_container_ids=[one["id"] for one in containers],
            session_types=list(options.sessions),
            include_failed=options.include_failed,
            require_eye_tracking=options.require_eye_tracking,
        )
    return containers, experiments


def _cache(folder: Path, base: str) -> Any:
    """A ``BrainObservatoryCache`` that asks this base address and keeps its tables in a folder."""
    from pipeline.recordings.allen.sdk import observatory_api_class, observatory_cache_class

    api = observatory_api_class()(base_uri=base)
    return observatory_cache_class()(manifest_file=str(folder / "manifest.json"), api=api)


def _check_table(query: Any, cache: Any, key: str, column: str) -> None:
    """Fill allensdk's cached table and refuse what is no table before allensdk takes it for one."""
    from allensdk.api.warehouse_cache.cache import Cache

    rows_of(query(path=cache.get_cache_path(None, key), strategy="lazy", **Cache.cache_json()), "id", column)


def _check_names(what: str, wanted: tuple[Any, ...], known: set[str]) -> None:
    for name in wanted:
        if str(name) not in known:
            raise UnknownName(f"{what} of {KIND}", str(name), known)


def _links(
    sessions: list[Row], kinds: tuple[str, ...], base: str, known: dict[tuple[int, str], str]
) -> dict[tuple[int, str], str]:
    """(experiment, kind of file) → download link, asked as allensdk asks before it downloads.

    Parameters
    ----------
    known : links that an earlier try got, to which this one adds

    Raises
    ------
    FetchError
        An experiment has no such file.
    """
    from pipeline.recordings.allen.sdk import observatory_api_class

    api = observatory_api_class()(base_uri=base)
    for session in sessions:
        for kind in kinds:
            if (session["id"], kind) in known:
                continue
            query, kind_of_file = QUERIES_AND_TYPES[kind]
            answer = api.template_query("brain_observatory_queries", query, ophys_experiment_id=session["id"])
            rows = rows_of(answer, "download_link")
            if not rows:
                raise FetchError(
                    f"experiment {session['id']} has no file of type {kind_of_file}; add its container "
                    f"{session['experiment_container_id']} to leave_out"
                    + (", or take signal: dff" if kind == "events" else "")
                )
            known[session["id"], kind] = str(rows[0]["download_link"])
    return known


def _chosen_cells(options: Allen2pOptions, mirror: str | None) -> RawFile:
    """Which cells of all containers pass the filters, as a document that fetch writes."""

    def query(base: str) -> list[Row]:
        with tempfile.TemporaryDirectory() as folder:
            cache = _cache(Path(folder), base)
            cells = cache.get_cell_specimens(include_failed=True)
            rows_of(cells, "cell_specimen_id", "experiment_container_id")
            for one in options.cell_filters:
                if cells and one.field not in cells[0]:
                    raise UnknownName("column of the cell metrics", one.field, cells[0])
            return list(cache.get_cell_specimens(filters=[one.as_allensdk_has_it() for one in options.cell_filters]))

    chosen: dict[str, list[int]] = {}
    for cell in ask("cell metrics", query, mirror):
        chosen.setdefault(str(cell["experiment_container_id"]), []).append(int(cell["cell_specimen_id"]))
    path = chosen_cells_path(options)
    text = json.dumps({container: sorted(cells) for container, cells in sorted(chosen.items())}, indent=0)
    return RawFile(path=path, url=f"{API_URL}/api/v2/data/query.json?q=model::ApiCamCellMetric", contents=text)
