"""Spikes of mouse visual cortex and thalamus while mice saw movies, scenes and gratings (Allen Neuropixels).

Queries go through allensdk's ``EcephysProjectCache``, files come by layermap's own fetcher into that cache's layout
(``EcephysProjectCache.from_warehouse(manifest="data/raw/allen_neuropixels/manifest.json")`` finds them), and are read
through allensdk. One session of one mouse, with up to six probes, is one recording and one member of the group of all
animals.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.core.errors import BrokenArtifact
from pipeline.fetch.checks.digests import read_digest
from pipeline.formats.tables import read_table
from pipeline.recordings.allen import stimuli
from pipeline.recordings.allen.cortical_layers import ANNOTATION, STRUCTURES, layers_at
from pipeline.recordings.allen.neuropixels.catalogue import (
    SCENES_FOLDER,
    catalogue,
    channels_path,
    movie_path,
    nwb_path,
    scene_path,
)
from pipeline.recordings.allen.neuropixels.nwb import CCF_COLUMNS, CHANNEL_COLUMNS, NeuropixelsFile
from pipeline.recordings.allen.neuropixels.options import KIND, SHOWN_IN, AllenNeuropixelsOptions
from pipeline.recordings.allen.presentations import BLANK, Presentations
from pipeline.recordings.allen.responses import behaviour_during, join_stimuli, spike_rates
from pipeline.recordings.allen.stimuli import DRIFTING, FRAME_RATE_HZ, SCENES, STATIC
from pipeline.recordings.entry import DatasetEntry
from pipeline.recordings.verified import FETCH_AGAIN, sha_of_files, verified

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import xarray as xr

UM_PER_MM = 1000


def prepare_stimulus(name: str, raw_folder: Path, options: AllenNeuropixelsOptions) -> xr.Dataset:
    """A movie or scenes from the published templates; gratings are drawn."""
    if name == DRIFTING:
        return stimuli.drifting_gratings()
    if name == STATIC:
        return stimuli.static_gratings(_static_gratings_shown(raw_folder, options))
    if name == SCENES:
        return stimuli.scenes(name, _scenes(raw_folder))
    return stimuli.movie(name, _movie(raw_folder / movie_path(name)))


def prepare_recording(name: str, raw_folder: Path, options: AllenNeuropixelsOptions) -> xr.Dataset:
    """Spikes per second ``(repeat, sample, target)`` of the units of one session to all stimuli of the options.

    Raises
    ------
    BrokenArtifact, SampleMismatch
        The file is missing, altered or truncated, lacks a stimulus, or has no unit that the options ask for.
    """
    session = name.removeprefix("session-")
    path = raw_folder / nwb_path(session)
    channels = _channels(raw_folder / channels_path(session))
    n_scenes = _n_scenes(raw_folder) if SCENES in options.stimuli else 0
    with verified(path), NeuropixelsFile(path, channels, FETCH_AGAIN) as file:
        units, left_out = _chosen_units(file, session, raw_folder, options)
        spike_times_s = file.spike_times(units.index.tolist())
        invalid_s = file.invalid_spikes()
        behaviour = {"running_speed_cm_s": file.running_speed(), "pupil_area": file.pupil_area()}
        parts = []
        for stimulus in options.stimuli:
            shown = file.presentations(stimulus, options.frames_per_bin, n_scenes)
            rates = spike_rates(spike_times_s, options.window_s, shown)
            drop_invalid(rates, shown, options.window_s, units["probe_description"].to_numpy(str), invalid_s)
            parts.append((shown, rates, behaviour_during(shown, options.window_s, behaviour)))
        recording = join_stimuli(
            parts,
            _targets(units, file.mouse()),
            session=name,
            units="spikes/s",
            sample_interval_s=options.frames_per_bin / FRAME_RATE_HZ if options.in_time else None,
            attrs={
                "member": name,
                "session": int(session),
                "session_type": file.session_type(),
                "genotype": file.genotype(),
                "pupil_area_units": "px^2",
                "inputs_sha": sha_of_files(raw_folder, _files(session, options)),
            },
        )
    return _usable(recording, path, left_out, options)


def _files(session: str, options: AllenNeuropixelsOptions) -> list[str]:
    """What a recording is made from, within the raw folder."""
    atlas = [ANNOTATION, STRUCTURES] if options.cortical_layers else []
    return [nwb_path(session), channels_path(session), *atlas]


def drop_invalid(
    rates: np.ndarray,
    shown: Presentations,
    window_s: tuple[float, float],
    probe: np.ndarray,
    invalid_s: dict[str, np.ndarray],
) -> None:
    """Make responses missing (NaN) while their probe gave no or wrong spikes.

    Parameters
    ----------
    rates : (n_repeats, n_samples, n_units), changed in place
    probe : (n_units,) name of each unit's probe
    invalid_s : probe → (n, 2) stretches in s
    """
    import numpy as np

    for name, stretches_s in invalid_s.items():
        columns = np.flatnonzero(probe == name)
        for start_s, stop_s in stretches_s:
            hit = (shown.onset_s + window_s[0] < stop_s) & (shown.onset_s + window_s[1] > start_s)
            rates[shown.repeat[hit][:, None], shown.sample[hit][:, None], columns] = np.nan


def _chosen_units(
    file: NeuropixelsFile, session: str, raw_folder: Path, options: AllenNeuropixelsOptions
) -> tuple[pd.DataFrame, str]:
    """Units of the wanted areas that pass the quality filters, and what was left out, in words.

    Raises
    ------
    BrokenArtifact
        No unit is left.
    """
    import numpy as np

    units = file.units()
    here = units[units["ecephys_structure_acronym"].isin(options.areas)]
    good = (
        (here["quality"] == "good")
        & (here["amplitude_cutoff"] <= options.amplitude_cutoff_max)
        & (here["presence_ratio"] >= options.presence_ratio_min)
        & (here["isi_violations"] <= options.isi_violations_max)
    )
    thresholds = (
        f"amplitude_cutoff_max {options.amplitude_cutoff_max:g}, presence_ratio_min {options.presence_ratio_min:g}, "
        f"isi_violations_max {options.isi_violations_max:g}"
    )
    reasons = {f"outside quality good, {thresholds}": int((~good).sum())}
    chosen = here[good]
    if options.cortical_layers:
        layer = layers_at(chosen[list(CCF_COLUMNS)].to_numpy(np.float64), raw_folder)
        reasons["outside the layers of visual cortex"] = int((layer == "").sum())
        chosen = chosen.assign(layer=layer)[layer != ""]
    n_in_area = chosen["ecephys_structure_acronym"].map(chosen["ecephys_structure_acronym"].value_counts())
    few = n_in_area < options.min_units
    reasons[f"of areas with fewer than {options.min_units}"] = int(few.sum())
    chosen = chosen[~few]
    left_out = ", ".join(f"{number} units {reason}" for reason, number in reasons.items() if number)
    if chosen.empty:
        raise BrokenArtifact(
            f"{file.path}: session {session} has no unit left of {len(here)} in {', '.join(options.areas)} (left out: "
            f"{left_out or 'none'}; {thresholds}); widen areas or thresholds, or add the session to leave_out"
        )
    return chosen, left_out


def _targets(units: pd.DataFrame, mouse: str) -> dict[str, np.ndarray]:
    import numpy as np

    position_um = [units[column].to_numpy(np.float64) for column in CCF_COLUMNS]
    targets = {
        "target": units.index.to_numpy().astype(str),
        "cell_id": units.index.to_numpy(np.int64),
        "region": units["ecephys_structure_acronym"].to_numpy(str),
        "subject": np.full(len(units), mouse),
        "probe": units["probe_description"].to_numpy(str),
        "depth_um": units["depth_um"].to_numpy(np.float64),
        **{f"{axis}_mm": value / UM_PER_MM for axis, value in zip("xyz", position_um, strict=True)},
    }
    if "layer" in units:
        targets["compartment"] = units["layer"].to_numpy(str)
    return targets


def _usable(recording: xr.Dataset, path: Path, left_out: str, options: AllenNeuropixelsOptions) -> xr.Dataset:
    """Without units that have no response to some sample, or are not reliable enough."""
    import numpy as np

    whole = (recording["n_repeats"].values > 0).all(axis=0)
    reliable = np.ones(whole.size, bool)
    if options.min_reliability > 0:
        reliable = np.nan_to_num(recording["reliability"].values) >= options.min_reliability
    reasons = {
        "without valid spikes during every repeat of a sample": int((~whole).sum()),
        f"less reliable than {options.min_reliability:g}": int((whole & ~reliable).sum()),
    }
    left_out = ", ".join([*filter(None, [left_out]), *(f"{n} units {why}" for why, n in reasons.items() if n)])
    keep = whole & reliable
    if not keep.any():
        raise BrokenArtifact(
            f"{path} has no unit left of {keep.size} that pass the quality filters: {left_out}; lower min_reliability, "
            "or add the session to leave_out"
        )
    return recording.isel(target=np.flatnonzero(keep)).assign_attrs(left_out=left_out)


def _channels(path: Path) -> pd.DataFrame:
    """The warehouse's channels of a session, by channel id.

    Raises
    ------
    BrokenArtifact
        The table cannot be read, or lacks a column.
    """
    import pandas as pd

    with verified(path):
        table = read_table(path, remedy=FETCH_AGAIN)
    structure, *places = CHANNEL_COLUMNS
    return pd.DataFrame(
        {
            # a channel outside of the brain has no structure, one in a structure called NA has
            structure: [name or None for name in table.names(structure, empty=True, alike=True)],
            **{name: table.numbers(name, empty=True) for name in places},
        },
        index=pd.Index(table.whole_numbers("id"), name="id"),
    )


def _static_gratings_shown(raw_folder: Path, options: AllenNeuropixelsOptions) -> list[str]:
    """Names of the static gratings in the first session that showed them.

    Raises
    ------
    BrokenArtifact
        There is no such session.
    """
    for path in sorted(raw_folder.glob(nwb_path("*"))):
        table = raw_folder / channels_path(path.stem.removeprefix("session_"))
        if read_digest(path) is None or read_digest(table) is None:
            continue  # being fetched, or put there by hand and not checked yet
        channels = _channels(table)
        with verified(path), NeuropixelsFile(path, channels, FETCH_AGAIN) as file:
            if file.session_type() in SHOWN_IN[STATIC]:
                shown = file.presentations(STATIC, options.frames_per_bin, 0)
                return [str(item) for item in ([] if shown.item is None else shown.item) if item != BLANK]
    raise BrokenArtifact(f"{raw_folder} holds no session that showed {STATIC}; {FETCH_AGAIN}")


def _movie(path: Path) -> np.ndarray:
    """Frames (n, y, x) uint8, read as allensdk reads them."""
    import numpy as np

    from pipeline.recordings.allen.sdk import movie_template_reader

    with verified(path):
        try:
            frames = np.asarray(movie_template_reader()(path))
        except (OSError, ValueError, EOFError) as error:
            raise BrokenArtifact(f"{path} cannot be read as npy ({error}); {FETCH_AGAIN}") from error
    if frames.ndim != 3 or frames.dtype != np.uint8:
        raise BrokenArtifact(
            f"{path} has shape {frames.shape} and type {frames.dtype}, expected (frame, y, x) uint8; {FETCH_AGAIN}"
        )
    return frames


def _n_scenes(raw_folder: Path) -> int:
    """How many scenes there are: their files are numbered from 0.

    Raises
    ------
    BrokenArtifact
        One is missing.
    """
    n_scenes = len(list((raw_folder / SCENES_FOLDER).glob("natural_scene_*.tiff")))
    for number in range(max(n_scenes, 1)):
        if not (raw_folder / scene_path(number)).is_file():
            raise BrokenArtifact(f"{raw_folder / scene_path(number)} is missing; {FETCH_AGAIN}")
    return n_scenes


def _scenes(raw_folder: Path) -> np.ndarray:
    """Pictures (n, y, x) uint8, read as allensdk reads them."""
    import numpy as np

    from pipeline.recordings.allen.sdk import scene_template_reader

    pictures: list[np.ndarray] = []
    for number in range(_n_scenes(raw_folder)):
        path = raw_folder / scene_path(number)
        with verified(path):
            try:
                picture = np.asarray(scene_template_reader()(path))
            except RuntimeError as error:
                reason = str(error).strip().rpartition("\n")[2]
                raise BrokenArtifact(f"{path} cannot be read as TIFF ({reason}); {FETCH_AGAIN}") from error
        expected = pictures[0].shape if pictures else picture.shape
        if picture.ndim != 2 or picture.dtype != np.uint8 or picture.shape != expected:
            raise BrokenArtifact(
                f"{path} has shape {picture.shape} and type {picture.dtype}, expected (y, x) uint8 as the first scene; "
                f"{FETCH_AGAIN}"
            )
        pictures.append(picture)
    return np.stack(pictures)


DATASET = DatasetEntry(
    kind=KIND,
    options=AllenNeuropixelsOptions,
    catalogue=catalogue,
    prepare_stimulus=prepare_stimulus,
    prepare_recording=prepare_recording,
    title="Allen Brain Observatory – Visual Coding, Neuropixels probes in mouse visual cortex and thalamus",
    citation="Siegle et al. 2021, Nature 592:86–92; Allen Institute for Brain Science, Allen Brain Observatory, "
    "observatory.brain-map.org/visualcoding",
    licence="Allen Institute terms of use, alleninstitute.org/terms-of-use",
    words="pipeline.recordings.allen.words:OBSERVATORY",
    selection=(
        "kind",
        "limit",
        "areas",
        "stimuli",
        "session_types",
        "genotypes",
        "sessions",
        "leave_out",
        "require_eye_tracking",
        "amplitude_cutoff_max",
        "presence_ratio_min",
        "isi_violations_max",
        "min_units",
        "cortical_layers",
    ),
    shown=("kind",),
    recorded=(
        "kind",
        "areas",
        "stimuli",
        "amplitude_cutoff_max",
        "presence_ratio_min",
        "isi_violations_max",
        "min_units",
        "min_reliability",
        "cortical_layers",
        "frames_per_bin",
        "response_window_s",
    ),
)
