"""Reads 2-photon experiments of the Allen Brain Observatory (NWB 1.0) through allensdk.

One file is one imaging plane of one mouse. ``frame_duration`` gives each presentation as 2-photon samples,
``start`` inclusive and ``end`` exclusive (as in the movies, where a frame of 1/30 s has ``end = start + 1``): the
2-photon clock of each experiment maps its samples to the frames of the movie.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import BrokenArtifact, SampleMismatch

if TYPE_CHECKING:
    import numpy as np

PIPELINE = "brain_observatory_pipeline"


@dataclasses.dataclass(frozen=True)
class MovieResponses:
    """dF/F of one experiment per frame of a movie.

    Parameters
    ----------
    dff : (n_repeats, n_frames, n_cells) float32, mean over the 2-photon samples of each presentation
    cell_ids : (n_cells,) cell specimen ids
    region : targeted structure
    depth_um : imaging depth
    cre_line, indicator, experiment_id : as in the file
    frame_s : median duration of a presentation on the 2-photon clock, in s
    """

    dff: np.ndarray
    cell_ids: np.ndarray
    region: str
    depth_um: int
    cre_line: str
    indicator: str
    experiment_id: int
    frame_s: float


def read_movie_responses(path: Path, stimulus: str) -> MovieResponses:
    """Bin an experiment's dF/F per presented frame of a movie that was repeated.

    Parameters
    ----------
    path : the NWB file
    stimulus : allensdk's name, e.g. ``natural_movie_one``

    Raises
    ------
    BrokenArtifact
        The file is missing, truncated or altered, or lacks what is needed; the message names it.
    SampleMismatch
        Repeats have different numbers of frames, or presentations lie outside the recording.
    """
    import numpy as np

    with explained(path):
        data_set = _open(path)
        metadata = data_set.get_metadata()
        cell_ids = np.asarray(data_set.get_cell_specimen_ids())
        timestamps_s, traces = data_set.get_dff_traces()
        table = data_set.get_stimulus_table(stimulus)
        region, depth_um = str(metadata["targeted_structure"]), int(metadata["imaging_depth_um"])
        experiment_id = int(metadata["ophys_experiment_id"])
    if traces.shape != (cell_ids.size, timestamps_s.size):
        raise SampleMismatch(
            f"{path}: dF/F has shape {traces.shape}, but there are {cell_ids.size} cells and {timestamps_s.size} "
            f"timestamps; {_REMEDY}"
        )
    starts, ends = _presentations(table, timestamps_s.size, path)
    dff = bin_traces(traces, starts, ends)
    if not np.isfinite(dff).all():
        cell = cell_ids[~np.isfinite(dff).all(axis=(0, 1))][0]
        raise BrokenArtifact(f"{path}: dF/F of cell {cell} is not finite during {stimulus}; {_REMEDY}")
    shown_s = np.diff(timestamps_s[starts.ravel()])
    return MovieResponses(
        dff=dff.astype(np.float32),
        cell_ids=cell_ids,
        region=region,
        depth_um=depth_um,
        cre_line=str(metadata.get("cre_line") or ""),
        indicator=str(metadata.get("indicator") or ""),
        experiment_id=experiment_id,
        frame_s=float(np.median(shown_s)),
    )


def read_movie_frames(path: Path, stimulus: str) -> np.ndarray:
    """The frames of a movie, (n_frames, y, x) uint8, as stored beside the traces of an experiment.

    Raises
    ------
    BrokenArtifact
        As in `read_movie_responses`.
    """
    import numpy as np

    with explained(path):
        frames = np.asarray(_open(path).get_stimulus_template(stimulus))
    if frames.ndim != 3 or frames.dtype != np.uint8:
        raise BrokenArtifact(
            f"{path}: template of {stimulus} has shape {frames.shape} and type {frames.dtype}, expected "
            f"(frame, y, x) uint8; {_REMEDY}"
        )
    return frames


def bin_traces(traces: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Mean of each trace over the samples ``start ≤ sample < end`` of each presentation.

    Parameters
    ----------
    traces : (n_cells, n_samples)
    starts, ends : (n_repeats, n_frames), ends > starts

    Returns
    -------
    array of shape (n_repeats, n_frames, n_cells), float64
    """
    import numpy as np

    summed = np.zeros((traces.shape[1] + 1, traces.shape[0]))
    np.cumsum(traces.T, axis=0, dtype=np.float64, out=summed[1:])
    return np.asarray((summed[ends] - summed[starts]) / (ends - starts)[..., None])


_REMEDY = "delete it and run: snakemake fetch --forcerun fetch_simulated"


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn what h5py and allensdk raise over a broken file into one line that names it."""
    if not path.is_file():
        raise BrokenArtifact(f"{path} is missing; fetch it with: snakemake fetch --forcerun fetch_simulated")
    try:
        yield
    except (OSError, KeyError, ValueError, TypeError, AttributeError, IndexError, RuntimeError) as error:
        raise BrokenArtifact(
            f"{path} cannot be read as a 2-photon NWB file ({type(error).__name__}: {error}); {_REMEDY}"
        ) from error
    except Exception as error:
        # allensdk asserts on its tables and raises classes of its own, derived from Exception alone
        if not isinstance(error, AssertionError) and not type(error).__module__.startswith("allensdk"):
            raise
        raise BrokenArtifact(f"{path}: its stimulus table is not valid ({error}); {_REMEDY}") from error


def _open(path: Path) -> Any:
    from pipeline.recordings.allensdk_compat import nwb_data_set_class

    return nwb_data_set_class()(str(path))


def _presentations(table: Any, n_samples: int, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """First sample of each presentation and first sample after it, each (n_repeats, n_frames)."""
    import numpy as np

    frame, repeat = table["frame"].to_numpy(), table["repeat"].to_numpy()
    n_frames, n_repeats = int(frame.max()) + 1, int(repeat.max()) + 1
    expected = np.tile(np.arange(n_frames), n_repeats)
    if not np.array_equal(frame, expected):
        raise SampleMismatch(
            f"{path}: the stimulus table has {frame.size} presentations that are not {n_repeats} passes through "
            f"{n_frames} frames; {_REMEDY}"
        )
    starts, ends = table["start"].to_numpy(), table["end"].to_numpy()
    if starts.min() < 0 or ends.max() > n_samples or (ends <= starts).any():
        raise SampleMismatch(
            f"{path}: presentations cover samples {starts.min()} to {ends.max()}, the traces have {n_samples}, and "
            f"every presentation needs at least one sample; {_REMEDY}"
        )
    return starts.reshape(n_repeats, n_frames), ends.reshape(n_repeats, n_frames)
