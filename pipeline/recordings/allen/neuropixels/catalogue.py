"""Which Neuropixels sessions a study needs, and where their files are: asked through ``EcephysProjectCache``."""

from __future__ import annotations

import functools
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from pipeline.artifacts.catalogue import Catalogue, Group, RawFile, Run, StimulusEntry
from pipeline.core.errors import BadConfiguration, FetchError, UnknownName
from pipeline.fetch.http.lists import NoAnswer, json_at, sizes_of
from pipeline.recordings.allen.cortical_layers import annotation_files
from pipeline.recordings.allen.neuropixels.nwb import CHANNEL_COLUMNS, HOLDS, structures_of
from pipeline.recordings.allen.neuropixels.options import KIND, AllenNeuropixelsOptions
from pipeline.recordings.allen.options import mouse_of
from pipeline.recordings.allen.queries import API_URL, address_of, ask, rows_of
from pipeline.recordings.allen.stimuli import SCENES

if TYPE_CHECKING:
    import pandas as pd

GROUP = "animals"
MOVIE_NUMBER = {"natural_movie_one": 1, "natural_movie_three": 3}
SCENES_FOLDER = "natural_scene_templates"
NWB_LINKS = (
    "criteria=model::WellKnownFile,rma::criteria,well_known_file_type[name$eq'EcephysNwb']"
    "[attachable_type$eq'EcephysSession']"
)
SESSION_ROWS = "criteria=model::EcephysSession,rma::include,specimen(donor(age)),well_known_files(well_known_file_type)"

Row = dict[str, Any]
Answer = TypeVar("Answer")


def recording_name(session: int) -> str:
    return f"session-{session}"


def nwb_path(session: int | str) -> str:
    """Within the raw folder, as allensdk's cache has it."""
    return f"session_{session}/session_{session}.nwb"


def channels_path(session: int | str) -> str:
    """The warehouse's channels of a session; allensdk's cache has one table for all sessions."""
    return f"session_{session}/session_{session}_channels.csv"


def movie_path(stimulus: str) -> str:
    """Within the raw folder, as allensdk's cache has it: npy, whatever the ending says."""
    return f"natural_movie_templates/natural_movie_{MOVIE_NUMBER[stimulus]}.h5"


def scene_path(number: int) -> str:
    """Within the raw folder, as allensdk's cache has it."""
    return f"{SCENES_FOLDER}/natural_scene_{number}.tiff"


def catalogue(options: AllenNeuropixelsOptions, key: str, mirror: str | None = None) -> Catalogue:
    """Ask for sessions, their units and channels, download links and sizes.

    Raises
    ------
    FetchError
        The server does not answer, or lacks a file of a session.
    BadConfiguration, UnknownName
        No session fits the options, or one is named that does not exist.
    """
    with tempfile.TemporaryDirectory() as folder:
        # tables and pages that came stay for the next try
        pages: dict[str, Row] = {}
        tables = functools.partial(_with_cache, Path(folder), pages)
        sessions, units, channels = ask(
            "Neuropixels sessions", lambda base: tables(base, functools.partial(_session_tables, options)), mirror
        )
        taken = take_in_turn(sessions, units, options)
        links = ask("download links", lambda base: tables(base, functools.partial(_links, taken, options)), mirror)
    addresses = {path: address_of(link) for path, link in links.items()}
    sizes = sizes_of(list(addresses.values()), mirror)
    files = [
        RawFile(
            path=path,
            url=address,
            bytes=sizes[address],
            holds=HOLDS if path.endswith(".nwb") else (),
            part=next((number for number, one in enumerate(taken, start=1) if path == nwb_path(one)), None),
        )
        for path, address in addresses.items()
    ]
    files += [_channels_of(one, channels, number) for number, one in enumerate(taken, start=1)]
    if options.cortical_layers:
        files += annotation_files(mirror)
    runs = [Run(stimulus=name, recording=recording_name(one)) for one in taken for name in options.stimuli]
    subjects = dict.fromkeys(sessions.loc[taken, "mouse"].tolist())
    return Catalogue(
        dataset=KIND,
        key=key,
        groups=(Group(name=GROUP, runs=tuple(runs), subjects=tuple(subjects)),),
        recordings=tuple(recording_name(one) for one in taken),
        stimuli=tuple(
            StimulusEntry(name=name, modality="movie" if options.in_time else "images") for name in options.stimuli
        ),
        files=tuple(files),
    )


def take_in_turn(sessions: pd.DataFrame, units: pd.DataFrame, options: AllenNeuropixelsOptions) -> list[int]:
    """Sessions that fit, those with most of the wanted areas first, then by number; the first ``limit`` of them.

    A session has an area if ``min_units`` of its units there pass the quality filters.

    Parameters
    ----------
    sessions : allensdk's table, by session, and whether it has eye_tracking
    units : those that pass the quality filters, with ecephys_session_id and ecephys_structure_acronym

    Raises
    ------
    BadConfiguration, UnknownName
        None fits; a session is named that does not exist.
    """
    for number in options.sessions:
        if number not in sessions.index:
            raise UnknownName(f"session of {KIND}", str(number), map(str, sessions.index))
    fits = sessions["session_type"].isin(options.session_types) & sessions["has_nwb"].astype(bool)
    fits &= ~sessions.index.isin(options.leave_out)
    if options.sessions:
        fits &= sessions.index.isin(options.sessions)
    if options.genotypes:
        genotype = sessions["full_genotype"].astype(str)
        fits &= genotype.map(lambda name: any(part in name for part in options.genotypes))
    if options.require_eye_tracking:
        fits &= sessions["eye_tracking"]
    structure = structures_of(units["ecephys_structure_acronym"])
    wanted = structure.isin(options.areas)
    n_units = units[wanted].groupby(["ecephys_session_id", structure[wanted]]).size()
    n_areas = (n_units >= options.min_units).groupby(level="ecephys_session_id").sum().to_dict()
    with_units = [int(number) for number in sessions.index[fits] if n_areas.get(number, 0)]
    taken = sorted(with_units, key=lambda number: (-n_areas[number], number))
    if not taken:
        raise BadConfiguration(
            f"{KIND}: of {len(sessions)} sessions {int(fits.sum())} are of type {', '.join(options.session_types)}, "
            f"genotype {', '.join(options.genotypes) or 'any'} and number "
            f"{', '.join(map(str, options.sessions)) or 'any'}"
            f"{' with eye tracking' if options.require_eye_tracking else ''}, and none of them has {options.min_units} "
            f"units in any of {', '.join(options.areas)}; widen one of these"
        )
    return taken[: options.limit]


def _session_tables(options: AllenNeuropixelsOptions, cache: Any) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """allensdk's sessions, units that pass the filters and channels; what allensdk leaves out of sessions is added."""
    rows = {int(row["id"]): row for row in cache.fetch_api.rma_engine.get_rma_list(SESSION_ROWS)}
    sessions = cache.get_session_table(suppress=[])
    sessions = sessions.assign(
        mouse=[mouse_of(rows[number]["specimen"]["name"]) for number in sessions.index],
        eye_tracking=[str(rows[number]["fail_eye_tracking"]).lower() == "false" for number in sessions.index],
    )
    units = cache.get_units(
        amplitude_cutoff_maximum=options.amplitude_cutoff_max,
        presence_ratio_minimum=options.presence_ratio_min,
        isi_violations_maximum=options.isi_violations_max,
    )
    return sessions, units, cache.get_channels()


def _links(taken: list[int], options: AllenNeuropixelsOptions, cache: Any) -> dict[str, str]:
    """Path within the raw folder → download link.

    Raises
    ------
    FetchError
        A session or a template has no file.
    """
    rows = cache.fetch_api.rma_engine.get_rma_list(NWB_LINKS)
    of_session = {
        int(row["attachable_id"]): str(row["download_link"])
        for row in rows
        if row["attachable_type"] == "EcephysSession"
    }
    links = {}
    for session in taken:
        if session not in of_session:
            raise FetchError(f"session {session} has no file of type EcephysNwb; add it to leave_out")
        links[nwb_path(session)] = of_session[session]
    if set(options.stimuli) & {SCENES, *MOVIE_NUMBER}:
        links |= _template_links(options, cache.fetch_api.stimulus_templates)
    return links


def _template_links(options: AllenNeuropixelsOptions, templates: pd.DataFrame) -> dict[str, str]:
    links: dict[str, str] = {}
    for name in options.stimuli:
        if name in MOVIE_NUMBER:
            found = templates[templates["movie_number"] == MOVIE_NUMBER[name]]
            links |= {movie_path(name): str(link) for link in found["download_link"]}
        elif name == SCENES:
            found = templates[templates["scene_number"].notna()].sort_values("scene_number")
            numbers = found["scene_number"].astype(int)
            links |= {scene_path(number): str(one) for number, one in zip(numbers, found["download_link"], strict=True)}
        else:
            continue
        if found.empty:
            raise FetchError(f"the Allen Institute's server lists no template of {name}; leave it out of stimuli")
    return links


def _channels_of(session: int, channels: pd.DataFrame, number: int) -> RawFile:
    """Structures and positions of a session's channels, as a table that fetch writes."""
    own = channels.loc[channels["ecephys_session_id"] == session, list(CHANNEL_COLUMNS)].sort_index()
    url = f"{API_URL}/api/v2/data/query.json?criteria=model::EcephysChannel"
    return RawFile(path=channels_path(session), url=url, contents=own.to_csv(), part=number)


def _with_cache(folder: Path, pages: dict[str, Row], base: str, question: Callable[[Any], Answer]) -> Answer:
    """Put a question to an ``EcephysProjectCache`` that asks this base address and keeps its tables in a folder."""
    from pipeline.recordings.allen.sdk import ecephys_cache_class, ecephys_warehouse_class

    address = urlsplit(base)
    engine = _patient_engine_class()(scheme=address.scheme, host=f"{address.netloc}{address.path}", pages=pages)
    with warnings.catch_warnings():
        # pandas warns of what it will change, in code of allensdk's
        warnings.simplefilter("ignore")
        cache = ecephys_cache_class()(
            fetch_api=ecephys_warehouse_class()(engine), fetch_tries=1, manifest=str(folder / "manifest.json")
        )
        return question(cache)


@functools.cache
def _patient_engine_class() -> Any:
    """allensdk's engine, with time-outs and checks, and with pages that came once not asked for again."""
    from pipeline.recordings.allen.sdk import rma_engine_class

    base: Any = rma_engine_class()

    class PatientEngine(base):
        def __init__(self, *, pages: dict[str, Row], **address: str) -> None:
            super().__init__(**address)
            self.pages = pages

        def get_rma(self, query: str) -> Iterator[list[Row]]:
            url = f"{self.scheme}://{self.host}/{self.rma_prefix}/{self.format_query_string}?{query}"
            start, total = 0, None
            while total is None or start < total:
                page = self._page(self.add_page_params(url, start))
                rows = rows_of(page["msg"])
                total = int(page["total_rows"])
                start += len(rows)
                if not rows and start < total:
                    raise NoAnswer(f"its list ends after {start} of {total} rows", passing=True)
                yield rows

        def _page(self, url: str) -> Row:
            if url not in self.pages:
                page = json_at(url)
                if not isinstance(page, dict) or not {"success", "msg"} <= set(page):
                    raise NoAnswer("its answer is no page of rows", passing=False)
                if not page["success"]:
                    raise NoAnswer(f"it refuses the query: {str(page['msg'])[:120]}", passing=False)
                self.pages[url] = page
            return self.pages[url]

    return PatientEngine
