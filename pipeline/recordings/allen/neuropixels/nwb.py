"""Reads sessions of Allen Visual Coding – Neuropixels (NWB 2) through allensdk's ``EcephysSession``.

A released file holds up to 3,000 units with gigabytes of spikes and waveforms. allensdk reads all of them once per
probe and question; here a file is opened once and only the spikes of the units that are asked for are read. What
allensdk's tables say is unchanged.

Two more things are mended on the way. pynwb 4 dropped the method with which allensdk reads the pupil. And the released
files give the electrodes' dorsal–ventral position twice, in place of their left–right position
(https://github.com/AllenInstitute/AllenSDK/issues/1796): structures and positions of channels are those of the
warehouse, as in allensdk's cache.
"""

from __future__ import annotations

import contextlib
import functools
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.core.errors import BrokenArtifact, LayermapError, SampleMismatch
from pipeline.formats.array_files import check_hdf5
from pipeline.recordings.allen.options import mouse_of
from pipeline.recordings.allen.presentations import (
    Presentations,
    of_drifting_gratings,
    of_movie,
    of_scenes,
    of_static_gratings,
)
from pipeline.recordings.allen.stimuli import MOVIES, SCENES, STATIC

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

HOLDS = ("units/spike_times", "units/spike_times_index", "general/extracellular_ephys/electrodes/id", "intervals")
"""What every file must hold, checked when it is fetched."""
CCF_COLUMNS = (
    "anterior_posterior_ccf_coordinate",
    "dorsal_ventral_ccf_coordinate",
    "left_right_ccf_coordinate",
)
CHANNEL_COLUMNS = ("ecephys_structure_acronym", *CCF_COLUMNS)
"""Columns of the warehouse's channels that stand in for those of the file."""
UNIT_COLUMNS = (
    "quality",
    "amplitude_cutoff",
    "presence_ratio",
    "isi_violations",
    "firing_rate",
    "peak_channel_id",
    "probe_description",
    "probe_vertical_position",
    *CHANNEL_COLUMNS,
)
ALSO_CALLED = {"natural_movie_one": ("natural_movie_one_more_repeats",)}
"""Stimulus → its other names in the files: the first in sessions of type functional_connectivity."""
RAGGED = {"spike_times", "spike_amplitudes", "waveform_mean"}
EVERY_PROBE = "all_probes"


class NeuropixelsFile:
    """One session, opened once; use it as a context. Every error is one line that names the file.

    Parameters
    ----------
    channels : the warehouse's channels of this session, `CHANNEL_COLUMNS` by channel id
    remedy : what to do about a broken file, ends each message

    Raises
    ------
    BrokenArtifact
        From every method: the file is missing, truncated or altered, or lacks what is asked for.
    """

    def __init__(self, path: Path, channels: pd.DataFrame, remedy: str) -> None:
        self.path = path
        self.remedy = remedy
        self._channels = channels
        self._open = contextlib.ExitStack()
        self._session: Any = None

    def __enter__(self) -> NeuropixelsFile:
        from pipeline.recordings.allen.sdk import ecephys_session_class

        session_class, api_class = ecephys_session_class(), _lean_api_class()
        with self._explained():
            import pynwb

            check_hdf5(self.path, self.remedy)
            with contextlib.ExitStack() as opened:
                reader = opened.enter_context(pynwb.NWBHDF5IO(str(self.path), "r", load_namespaces=True))
                api = api_class.from_nwbfile(
                    reader.read(), external_channel_columns=lambda: self._channels, filter_by_validity=True
                )
                self._session = session_class(api=api, test=True)
                self._open = opened.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()

    def mouse(self) -> str:
        """``Sst-IRES-Cre;Ai32-387858`` → ``mouse-387858``; other names stay as they are."""
        with self._explained():
            return mouse_of(str(self._session.specimen_name))

    def session_type(self) -> str:
        with self._explained():
            return str(self._session.session_type)

    def genotype(self) -> str:
        with self._explained():
            return str(self._session.full_genotype)

    def units(self) -> pd.DataFrame:
        """Units on valid channels, of any quality, by unit id: `UNIT_COLUMNS` of allensdk's table, and depth_um.

        depth_um is how far along the probe the unit lies from the topmost channel in the brain; NaN where the probe
        does not leave the brain. Positions are in µm, firing rates in spikes/s.
        """
        with self._explained():
            units: pd.DataFrame = self._session.units
            depth_um = self._surface_um().reindex(units["probe_id"]).to_numpy() - units["probe_vertical_position"]
            return units[list(UNIT_COLUMNS)].assign(
                depth_um=depth_um.to_numpy(float),
                ecephys_structure_acronym=structures_of(units["ecephys_structure_acronym"]),
            )

    def spike_times(self, units: Sequence[int]) -> list[np.ndarray]:
        """Times of each unit's spikes in s, ascending."""
        import numpy as np

        with self._explained():
            table = self._session.api.nwbfile.units
            row = {int(unit): number for number, unit in enumerate(table.id[:])}
            return [np.sort(table["spike_times"][row[int(unit)]]) for unit in units]

    def presentations(self, stimulus: str, frames_per_bin: int, n_scenes: int) -> Presentations:
        """When a stimulus was shown; presentations that the Allen Institute marks as invalid are left out.

        Of a movie only whole passes count, in whichever blocks they lie: a pass with an invalid frame has gaps.

        Parameters
        ----------
        n_scenes : how many natural scenes there are
        """
        import numpy as np

        table = self._stimulus_table(stimulus)
        onset_s = table["start_time"].to_numpy(np.float64)
        if stimulus in MOVIES:
            frame = self._whole_numbers(stimulus, table)
            kept, repeat = whole_passes(frame, self._numbers(table, "stimulus_block"))
            if not kept.any():
                raise SampleMismatch(
                    f"{self.path}: no pass through {stimulus} ({frame.max() + 1} frames) is whole; "
                    "leave the session out"
                )
            return of_movie(
                stimulus, frame[kept], repeat[kept], onset_s[kept], frames_per_bin=frames_per_bin, source=self.path
            )
        if stimulus == SCENES:
            return of_scenes(self._whole_numbers(stimulus, table), onset_s, n_scenes, source=self.path)
        orientation = self._numbers(table, "orientation")
        if stimulus == STATIC:
            frequency, phase = self._numbers(table, "spatial_frequency"), self._numbers(table, "phase")
            return of_static_gratings(orientation, frequency, phase, onset_s)
        frequency = self._numbers(table, "temporal_frequency")
        return of_drifting_gratings(orientation, frequency, onset_s, frames_per_bin=frames_per_bin, source=self.path)

    def running_speed(self) -> tuple[np.ndarray, np.ndarray]:
        """Middle of each interval in s and running speed within it in cm/s."""
        with self._explained():
            speed = self._session.running_speed
            return speed[["start_time", "end_time"]].mean(axis=1).to_numpy(), speed["velocity"].to_numpy()

    def pupil_area(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Times in s and area of the ellipse fitted to the pupil in px², NaN at blinks; None without eye tracking."""
        import numpy as np

        with self._explained():
            pupil = self._session.get_pupil_data()
            if pupil is None:
                return None
            area_px2 = np.pi / 4 * pupil["pupil_width"].to_numpy() * pupil["pupil_height"].to_numpy()
            return pupil.index.to_numpy(), area_px2

    def invalid_spikes(self) -> dict[str, np.ndarray]:
        """Probe → (n, 2) stretches in s in which its spikes are missing or wrong, as marked by the Allen Institute."""
        import numpy as np

        with self._explained():
            marked = self._session.invalid_times
            found = {}
            for probe in self._session.probes["description"].tolist():
                bad = [
                    (row.start_time, row.stop_time)
                    for row in marked.itertuples()
                    if {probe, EVERY_PROBE} & set(map(str, row.tags))
                ]
                found[str(probe)] = np.array(bad, dtype=np.float64).reshape(-1, 2)
            return found

    def _surface_um(self) -> pd.Series:
        """Probe id → height along it of its topmost channel in the brain; NaN where that is its topmost channel."""
        channels = self._session.channels
        height_um = channels["probe_vertical_position"].astype(float)
        inside = channels["ecephys_structure_acronym"].notna()
        top_um = height_um.groupby(channels["probe_id"]).max()
        surface_um = height_um[inside].groupby(channels["probe_id"][inside]).max().reindex(top_um.index)
        return surface_um.where(surface_um < top_um)

    def _stimulus_table(self, stimulus: str) -> pd.DataFrame:
        with self._explained():
            table: pd.DataFrame = self._session.stimulus_presentations
            rows = table[table["stimulus_name"].isin((stimulus, *ALSO_CALLED.get(stimulus, ())))]
            if not rows.empty:
                return rows.sort_values("start_time", kind="stable")
            shown = ", ".join(sorted(map(str, table["stimulus_name"].unique())))
        raise SampleMismatch(f"{self.path}: {stimulus} was not shown (these were: {shown}); leave the session out")

    def _numbers(self, table: pd.DataFrame, column: str) -> np.ndarray:
        """A column as numbers, NaN where it does not apply."""
        import numpy as np
        import pandas as pd

        if column not in table:
            raise BrokenArtifact(f"{self.path}: its stimulus table lacks column '{column}'; {self.remedy}")
        values: np.ndarray = pd.to_numeric(table[column], errors="coerce").to_numpy(np.float64)
        return values

    def _whole_numbers(self, stimulus: str, table: pd.DataFrame) -> np.ndarray:
        import numpy as np

        frame = self._numbers(table, "frame")
        if not np.isfinite(frame).all():
            wrong = table["frame"][~np.isfinite(frame)].iloc[0]
            raise SampleMismatch(f"{self.path}: frame '{wrong}' of {stimulus} is no number; leave the session out")
        return frame.astype(np.int64)

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what h5py, pynwb and allensdk raise over a broken file into one line that names it."""
        if not self.path.is_file():
            raise BrokenArtifact(f"{self.path} is missing; {self.remedy}")
        try:
            with warnings.catch_warnings(), contextlib.redirect_stdout(None):
                # pandas and pynwb warn of calls in allensdk that they will drop; allensdk prints what is missing
                warnings.simplefilter("ignore")
                yield
        except (MemoryError, LayermapError):
            raise
        except Exception as error:
            reason = f"{type(error).__name__}: {str(error).strip()[:200]}"
            raise BrokenArtifact(
                f"{self.path} cannot be read as a Neuropixels NWB file ({reason}); {self.remedy}"
            ) from error


def structures_of(acronyms: pd.Series) -> pd.Series:
    """Structures without their parts: LGd-sh → LGd."""
    return acronyms.str.partition("-")[0]


def whole_passes(frame: np.ndarray, block: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which presentations of a movie belong to whole passes, and the number of their pass among those.

    A pass ends where the frame number does not rise, or with its block.

    Parameters
    ----------
    frame : (n_shown,) in the order shown
    block : (n_shown,) stimulus block; NaN where it is not known

    Returns
    -------
    (n_shown,) bool and (n_shown,) int
    """
    import numpy as np

    block = np.nan_to_num(block, nan=-1.0)
    begins = np.ones(frame.size, bool)
    begins[1:] = (np.diff(frame) <= 0) | (np.diff(block) != 0)
    number = np.cumsum(begins) - 1
    whole = np.bincount(number) == frame.max() + 1
    return whole[number], (np.cumsum(whole) - 1)[number]


@functools.cache
def _lean_api_class() -> Any:
    """allensdk's NWB reader, with units read without their spikes and the pupil in the way of pynwb 4."""
    from pipeline.recordings.allen.sdk import ecephys_nwb_class

    base: Any = ecephys_nwb_class()

    class LeanSessionApi(base):
        def get_units(self) -> pd.DataFrame:
            return self.nwbfile.units.to_dataframe(exclude=RAGGED)

        def get_pupil_data(self) -> pd.DataFrame | None:
            import pandas as pd

            modules = self.nwbfile.processing
            if not {"eye_tracking", "raw_gaze_mapping"} <= set(modules):
                return None
            fit = modules["eye_tracking"]["pupil_ellipse_fits"]
            times_s = modules["raw_gaze_mapping"]["eye_area"].timestamps[:]
            # the file has half axes
            sides = {f"pupil_{side}": 2 * fit[side].data[:] for side in ("width", "height")}
            return pd.DataFrame(sides, index=pd.Index(times_s, name="Time (s)"))

    return LeanSessionApi
