"""Single cells of mouse visual cortex, imaged while mice saw movies, scenes and gratings (Allen Brain Observatory).

Queries go through allensdk's ``BrainObservatoryCache``, files come by layermap's own fetcher into that cache's layout
(``BrainObservatoryCache(manifest_file="data/raw/allen_2p/manifest.json")`` finds them), and are read through allensdk.
One experiment (a session of one imaged field of one mouse) is one recording; an imaged field (an experiment container)
is a member of the group of all animals, its cells matched over sessions by ``cell_specimen_id``.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.core.errors import BrokenArtifact, LayermapError
from pipeline.fetch.checks.digests import read_digest
from pipeline.formats.array_files import check_npz
from pipeline.formats.documents import read_object
from pipeline.recordings.allen import stimuli
from pipeline.recordings.allen.presentations import BLANK
from pipeline.recordings.allen.responses import behaviour_during, join_stimuli, mean_responses, window_weights
from pipeline.recordings.allen.stimuli import DRIFTING, FRAME_RATE_HZ, SCENES, STATIC
from pipeline.recordings.allen.two_photon.catalogue import catalogue, chosen_cells_path, events_path, nwb_path
from pipeline.recordings.allen.two_photon.nwb import Session, TwoPhotonFile
from pipeline.recordings.allen.two_photon.options import KIND, SHOWN_IN, Allen2pOptions
from pipeline.recordings.entry import DatasetEntry
from pipeline.recordings.verified import FETCH_AGAIN, sha_of_files, verified

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

UNITS = {"events": "inferred events", "dff": "dF/F"}


def prepare_stimulus(name: str, raw_folder: Path, options: Allen2pOptions) -> xr.Dataset:
    """A movie or scenes from the template in the first experiment that showed them; gratings are drawn."""
    if name == DRIFTING:
        return stimuli.drifting_gratings()
    problems: list[LayermapError] = []
    for path in sorted((raw_folder / nwb_path("0")).parent.glob("*.nwb")):
        if read_digest(path) is None:
            continue  # being fetched, or put there by hand and not checked yet
        try:
            file = TwoPhotonFile(path, FETCH_AGAIN)
            if file.session_type() in SHOWN_IN[name]:
                return _stimulus_in(file, name, options)
        except LayermapError as error:  # perhaps a file of another selection: any that showed the stimulus will do
            problems.append(error)
    if problems:
        raise problems[0]
    raise BrokenArtifact(f"{raw_folder} holds no experiment that showed {name}; {FETCH_AGAIN}")


def _stimulus_in(file: TwoPhotonFile, name: str, options: Allen2pOptions) -> xr.Dataset:
    with verified(file.path):
        if name == STATIC:
            shown = file.presentations(STATIC, options.frames_per_bin, file.times_s())
            return stimuli.static_gratings([item for item in shown.labels.tolist() if item != BLANK])
        pictures = file.template(name)
        return stimuli.scenes(name, pictures) if name == SCENES else stimuli.movie(name, pictures)


def prepare_recording(name: str, raw_folder: Path, options: Allen2pOptions) -> xr.Dataset:
    """Responses ``(repeat, sample, target)`` of the cells of one experiment to all stimuli of the options.

    Raises
    ------
    BrokenArtifact, SampleMismatch
        The file is missing, altered or truncated, or its tables do not fit its traces; the message names it.
    """
    path = raw_folder / nwb_path(name)
    with verified(path):
        file = TwoPhotonFile(path, FETCH_AGAIN)
        session = file.session()
        times_s, traces = file.dff() if options.signal == "dff" else _events(name, raw_folder, file)
        behaviour = {"running_speed_cm_s": file.running_speed(), "pupil_area": file.pupil_area()}
        shown = [file.presentations(stimulus, options.frames_per_bin, times_s) for stimulus in options.stimuli]
        responses = [mean_responses(traces, window_weights(one, options.window_s, times_s, path), one) for one in shown]
    parts = [
        (one, values, behaviour_during(one, options.window_s, behaviour))
        for one, values in zip(shown, responses, strict=True)
    ]
    recording = join_stimuli(
        parts,
        _targets(session),
        session=name,
        units=UNITS[options.signal],
        sample_interval_s=options.frames_per_bin / FRAME_RATE_HZ if options.in_time else None,
        attrs={
            "member": f"container-{session.container_id}",
            "experiment": session.experiment_id,
            "session_type": session.session_type,
            "cre_line": session.cre_line,
            "indicator": session.indicator,
            "pupil_area_units": "px",
            "inputs_sha": sha_of_files(raw_folder, _files(name, options)),
        },
    )
    return _usable(recording, session, raw_folder, options)


def _events(name: str, raw_folder: Path, file: TwoPhotonFile) -> tuple[np.ndarray, np.ndarray]:
    """Times of the 2-photon samples (n_times,) in s and inferred events (n_cells, n_times), through allensdk.

    Raises
    ------
    BrokenArtifact
        The file of events cannot be read, or does not fit the experiment.
    """
    import zipfile

    from pipeline.recordings.allen.sdk import observatory_cache_class

    path = raw_folder / events_path(name)
    session, times_s = file.session(), file.times_s()
    with verified(path), tempfile.TemporaryDirectory() as folder:  # allensdk insists on writing a manifest somewhere
        cache = observatory_cache_class()(manifest_file=str(Path(folder) / "manifest.json"))
        try:
            check_npz(path, FETCH_AGAIN)
            events: np.ndarray = cache.get_ophys_experiment_events(session.experiment_id, file_name=str(path))
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise BrokenArtifact(
                f"{path} cannot be read as events ({type(error).__name__}: {error}); {FETCH_AGAIN}"
            ) from error
    if events.shape != (session.cell_ids.size, times_s.size):
        raise BrokenArtifact(
            f"{path} has shape {events.shape}, but {file.path} has {session.cell_ids.size} cells and {times_s.size} "
            f"samples; {FETCH_AGAIN}"
        )
    return times_s, events


def _files(name: str, options: Allen2pOptions) -> list[str]:
    """What a recording is made from, within the raw folder."""
    return [
        nwb_path(name),
        *([events_path(name)] if options.signal == "events" else []),
        *([chosen_cells_path(options)] if options.cell_filters else []),
    ]


def _targets(session: Session) -> dict[str, np.ndarray]:
    import numpy as np

    n_cells = session.cell_ids.size
    return {
        "target": session.cell_ids.astype(str),
        "cell_id": session.cell_ids,
        "region": np.full(n_cells, session.region),
        "subject": np.full(n_cells, session.mouse),
        "depth_um": np.full(n_cells, session.depth_um),
    }


def _usable(recording: xr.Dataset, session: Session, raw_folder: Path, options: Allen2pOptions) -> xr.Dataset:
    """Without cells that have gaps in their traces, do not pass the filters, or are not reliable enough."""
    import numpy as np

    shown = np.isfinite(recording["responses"].values).any(axis=(0, 1))
    expected = np.isfinite(recording["responses"].values).any(axis=2)[..., None]
    whole = shown & (np.isfinite(recording["responses"].values) == expected).all(axis=(0, 1))
    chosen = np.ones(whole.size, bool)
    if options.cell_filters:
        passed = _chosen_cells(raw_folder / chosen_cells_path(options)).get(str(session.container_id), [])
        chosen = np.isin(session.cell_ids, passed)
    reliable = np.ones(whole.size, bool)
    if options.min_reliability > 0:
        reliable = np.nan_to_num(recording["reliability"].values) >= options.min_reliability
    keep = whole & chosen & reliable
    reasons = {
        "with gaps in their traces": int((~whole).sum()),
        "that do not pass cell_filters": int((whole & ~chosen).sum()),
        f"less reliable than {options.min_reliability:g}": int((whole & chosen & ~reliable).sum()),
    }
    left_out = ", ".join(f"{number} cells {reason}" for reason, number in reasons.items() if number)
    if not keep.any():
        raise BrokenArtifact(
            f"experiment {session.experiment_id} (container {session.container_id}) has no cell left of {whole.size}: "
            f"{left_out}; lower min_reliability, drop cell_filters, or add the container to leave_out"
        )
    return recording.isel(target=np.flatnonzero(keep)).assign_attrs(left_out=left_out)


def _chosen_cells(path: Path) -> dict[str, list[int]]:
    with verified(path):
        found: dict[str, list[int]] = read_object(path, FETCH_AGAIN)
    return found


DATASET = DatasetEntry(
    kind=KIND,
    options=Allen2pOptions,
    catalogue=catalogue,
    prepare_stimulus=prepare_stimulus,
    prepare_recording=prepare_recording,
    title="Allen Brain Observatory – Visual Coding, 2-photon calcium imaging of mouse visual cortex",
    citation="de Vries et al. 2020, Nature Neuroscience 23:138–151; Allen Institute for Brain Science, Allen Brain "
    "Observatory, observatory.brain-map.org/visualcoding",
    licence="Allen Institute terms of use, alleninstitute.org/terms-of-use",
    words="pipeline.recordings.allen.words:OBSERVATORY",
    selection=(
        "kind",
        "limit",
        "areas",
        "stimuli",
        "session_types",
        "cre_lines",
        "depth_um",
        "containers",
        "include_failed",
        "leave_out",
        "require_eye_tracking",
        "cell_filters",
        "signal",
    ),
    shown=("kind",),
    recorded=(
        "kind",
        "stimuli",
        "signal",
        "response_window_s",
        "frames_per_bin",
        "cell_filters",
        "min_reliability",
    ),
)
