"""Reads 2-photon experiments of the Allen Brain Observatory (NWB 1.0) through allensdk.

One file is one session of one imaging plane of one mouse. Its stimulus tables give each presentation in 2-photon
samples; the 2-photon clock of the file turns their first ones into times.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.core.errors import BrokenArtifact, SampleMismatch
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


PIPELINE = "processing/brain_observatory_pipeline"
HOLDS = (
    f"{PIPELINE}/DfOverF/imaging_plane_1/data",
    f"{PIPELINE}/DfOverF/imaging_plane_1/timestamps",
    f"{PIPELINE}/Fluorescence/imaging_plane_1/timestamps",
    f"{PIPELINE}/ImageSegmentation/cell_specimen_ids",
    f"{PIPELINE}/BehavioralTimeSeries/running_speed/data",
    "stimulus/presentation",
    "general/session_id",
)
"""What every file has."""


@dataclasses.dataclass(frozen=True)
class Session:
    """What a file says of itself.

    Parameters
    ----------
    experiment_id, container_id : numbers of the Allen Institute
    session_type : e.g. ``three_session_A``
    region : targeted structure
    depth_um : imaging depth
    cre_line, indicator, mouse : as in the file
    cell_ids : (n_cells,) cell specimen ids, the same in all sessions of a container
    """

    path: Path
    experiment_id: int
    container_id: int
    session_type: str
    region: str
    depth_um: int
    cre_line: str
    indicator: str
    mouse: str
    cell_ids: np.ndarray


class TwoPhotonFile:
    """One NWB file, read part by part; every error is one line that names it.

    Parameters
    ----------
    remedy : what to do about a broken file, ends each message

    Raises
    ------
    BrokenArtifact
        From every method: the file is missing, truncated or altered, or lacks what is asked for.
    """

    def __init__(self, path: Path, remedy: str) -> None:
        from pipeline.recordings.allen.sdk import nwb_data_set_class

        self.path = path
        self.remedy = remedy
        with self._explained():
            check_hdf5(path, remedy)
            self._data_set: Any = nwb_data_set_class()(str(path))

    def session(self) -> Session:
        """What the file says of itself."""
        import numpy as np

        with self._explained():
            metadata = self._data_set.get_metadata()
            cell_ids = np.asarray(self._data_set.get_cell_specimen_ids())
            return Session(
                path=self.path,
                experiment_id=int(metadata["ophys_experiment_id"]),
                container_id=int(metadata["experiment_container_id"]),
                session_type=str(metadata["session_type"]),
                region=str(metadata["targeted_structure"]),
                depth_um=int(metadata["imaging_depth_um"]),
                cre_line=str(metadata.get("cre_line") or ""),
                indicator=str(metadata.get("indicator") or ""),
                mouse=mouse_of(str(metadata["specimen_name"])),
                cell_ids=cell_ids,
            )

    def session_type(self) -> str:
        """E.g. ``three_session_A``."""
        with self._explained():
            return str(self._data_set.get_session_type())

    def dff(self) -> tuple[np.ndarray, np.ndarray]:
        """Times of the 2-photon samples (n_times,) in s and dF/F (n_cells, n_times).

        Raises
        ------
        SampleMismatch
            Cells, times and traces differ in number.
        """
        import numpy as np

        with self._explained():
            times_s, traces = self._data_set.get_dff_traces()
            n_cells = np.asarray(self._data_set.get_cell_specimen_ids()).size
        if traces.shape != (n_cells, times_s.size):
            raise SampleMismatch(
                f"{self.path}: dF/F has shape {traces.shape}, but there are {n_cells} cells and {times_s.size} "
                f"timestamps; {self.remedy}"
            )
        return times_s, traces

    def times_s(self) -> np.ndarray:
        """Times of the 2-photon samples (n_times,), in s."""
        with self._explained():
            times_s: np.ndarray = self._data_set.get_fluorescence_timestamps()
            return times_s

    def stimulus_table(self, stimulus: str) -> pd.DataFrame:
        """allensdk's table of presentations, in the order shown."""
        with self._explained():
            table: pd.DataFrame = self._data_set.get_stimulus_table(stimulus)
            return table

    def template(self, stimulus: str) -> np.ndarray:
        """Pictures of a movie or of scenes as stored beside the traces: (n, y, x) uint8."""
        import numpy as np

        with self._explained():
            frames = np.asarray(self._data_set.get_stimulus_template(stimulus))
        if frames.ndim != 3 or frames.dtype != np.uint8:
            raise BrokenArtifact(
                f"{self.path}: template of {stimulus} has shape {frames.shape} and type {frames.dtype}, expected "
                f"(frame, y, x) uint8; {self.remedy}"
            )
        return frames

    def running_speed(self) -> tuple[np.ndarray, np.ndarray]:
        """Times in s and running speed in cm/s, NaN where it was not measured."""
        import h5py

        with self._explained():
            try:
                speed_cm_s, times_s = self._data_set.get_running_speed()
            except IndexError:
                # allensdk fits speed to the 2-photon clock, and cannot where the two do not share their first time
                with h5py.File(self.path) as file:
                    running = file[f"{PIPELINE}/BehavioralTimeSeries/running_speed"]
                    times_s, speed_cm_s = running["timestamps"][()], running["data"][()].ravel()
        return times_s, speed_cm_s

    def pupil_area(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Times in s and pupil area in px; None for sessions without eye tracking."""
        with self._explained():
            try:
                times_s, area_px = self._data_set.get_pupil_size()
            except Exception as error:
                if type(error).__name__ == "NoEyeTrackingException":
                    return None
                raise
        return times_s.ravel(), area_px.ravel()

    def presentations(self, stimulus: str, frames_per_bin: int, times_s: np.ndarray) -> Presentations:
        """When a stimulus was shown, mapped through the 2-photon clock.

        Parameters
        ----------
        times_s : (n_times,), the clock
        """
        import numpy as np

        table = self.stimulus_table(stimulus)
        start = table["start"].to_numpy(np.int64)
        if start.min() < 0 or start.max() >= times_s.size:
            raise SampleMismatch(
                f"{self.path}: {stimulus} was shown at 2-photon samples {start.min()} to {start.max()}, but there are "
                f"{times_s.size}; {self.remedy}"
            )
        onset_s = times_s[start]
        with self._explained():
            if stimulus in MOVIES:
                frame, repeat = table["frame"].to_numpy(), table["repeat"].to_numpy()
                return of_movie(stimulus, frame, repeat, onset_s, frames_per_bin=frames_per_bin, source=self.path)
            if stimulus == SCENES:
                n_scenes = int(self.template_shape(stimulus)[0])
                return of_scenes(table["frame"].to_numpy(), onset_s, n_scenes, source=self.path)
            orientation = table["orientation"].to_numpy(np.float64)
            if stimulus == STATIC:
                frequency, phase = table["spatial_frequency"].to_numpy(np.float64), table["phase"].to_numpy(np.float64)
                return of_static_gratings(orientation, frequency, phase, onset_s)
            frequency = table["temporal_frequency"].to_numpy(np.float64)
        return of_drifting_gratings(orientation, frequency, onset_s, frames_per_bin=frames_per_bin, source=self.path)

    def template_shape(self, stimulus: str) -> tuple[int, ...]:
        """Shape of a template, without reading it."""
        import h5py

        with self._explained(), h5py.File(self.path) as file:
            return tuple(file[f"stimulus/templates/{stimulus}_image_stack/data"].shape)

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what h5py and allensdk raise over a broken file into one line that names it."""
        if not self.path.is_file():
            raise BrokenArtifact(f"{self.path} is missing; {self.remedy}")
        try:
            yield
        except (OSError, KeyError, ValueError, TypeError, AttributeError, IndexError, RuntimeError) as error:
            raise BrokenArtifact(
                f"{self.path} cannot be read as a 2-photon NWB file ({type(error).__name__}: {error}); {self.remedy}"
            ) from error
        except Exception as error:
            # allensdk asserts on its tables and raises classes of its own, derived from Exception alone
            if not isinstance(error, AssertionError) and not type(error).__module__.startswith("allensdk"):
                raise
            raise BrokenArtifact(f"{self.path}: its stimulus table is not valid ({error}); {self.remedy}") from error
