"""Experiments as 2-photon NWB 1.0 files in the layout of the Allen Brain Observatory.

Only what allensdk's ``BrainObservatoryNwbDataSet`` reads is written, with dF/F as the only trace in full: there is
no raw fluorescence behind a simulation. Equal contents give equal bytes.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import h5py
    import numpy as np

PIPELINE = "processing/brain_observatory_pipeline"
PIPELINE_VERSION = "3.0"  # the newest layout that allensdk's reader knows
MASK_PX = 64
RESOLUTION = 2.0**-12
"""dF/F is stored in steps of 1/4096, far below its noise: the zero bits compress."""


@dataclasses.dataclass(frozen=True)
class Shown:
    """One stimulus of an experiment.

    Parameters
    ----------
    data : (n_shown,) the frame or picture of each presentation, in order, −1 for grey; of gratings
        (n_shown, n_features)
    samples : (n_shown, 2), first 2-photon sample of a presentation and first sample after it
    template : (n, y, x) uint8, the pictures; None for gratings
    features : what the columns of ``data`` are, for gratings
    """

    data: np.ndarray
    samples: np.ndarray
    template: np.ndarray | None = None
    features: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Experiment:
    """One session of one imaging plane of one simulated mouse.

    Parameters
    ----------
    experiment_id, container_id : numbers
    session_type : e.g. ``three_session_A``
    specimen, area, depth_um : where it was "recorded"
    genotype, note : say that it is a simulation
    cell_ids : (n_cells,)
    timestamps_s : (n_samples,), the 2-photon clock
    dff : (n_cells, n_samples)
    stimuli : allensdk's name → when it was shown
    spontaneous : first sample and first sample after each stretch without stimulus
    running_cm_s : (n_samples,) running speed; None for a mouse that sits still
    pupil : times in s and area in px; None without eye tracking
    """

    experiment_id: int
    container_id: int
    session_type: str
    specimen: str
    area: str
    depth_um: int
    genotype: str
    note: str
    cell_ids: np.ndarray
    timestamps_s: np.ndarray
    dff: np.ndarray
    stimuli: dict[str, Shown]
    spontaneous: list[tuple[int, int]]
    running_cm_s: np.ndarray | None = None
    pupil: tuple[np.ndarray, np.ndarray] | None = None


def write_experiment(path: Path, experiment: Experiment, *, compressed: bool = True) -> None:
    """Write one experiment as NWB 1.0.

    Parameters
    ----------
    compressed : traces in compressed chunks with checksums, or as one plain block of numbers
    """
    import h5py

    with h5py.File(path, "w", track_order=False) as file:
        _write_metadata(file, experiment)
        _write_traces(file, experiment, compressed)
        _write_segmentation(file, experiment)
        _write_stimulus(file, experiment)


def _write_metadata(file: h5py.File, experiment: Experiment) -> None:
    import numpy as np

    plane = "general/optophysiology/imaging_plane_1"
    texts = {
        "nwb_version": "NWB-1.0.6",
        "identifier": f"layermap simulation {experiment.experiment_id}",
        "session_description": experiment.note,
        "session_start_time": "2000-01-01T00:00:00",
        "general/session_id": str(experiment.experiment_id),
        "general/experiment_container_id": str(experiment.container_id),
        "general/session_type": experiment.session_type,
        "general/specimen_name": experiment.specimen,
        "general/fov": "400x400 microns (400 x 400 pixels)",
        "general/devices/2-photon microscope": "Simulated. layermap Please note: nothing was imaged.",
        "general/subject/age": "100 days",
        "general/subject/sex": "U",
        "general/subject/genotype": experiment.genotype,
        f"{plane}/imaging depth": f"{experiment.depth_um} microns",
        f"{plane}/location": experiment.area,
        f"{plane}/indicator": "GCaMP6f (simulated kernel)",
        f"{plane}/excitation_lambda": "910 nanometers",
    }
    for name, text in texts.items():
        file.create_dataset(name, data=np.bytes_(text))
    generated_by = [b"program", b"layermap", b"version", PIPELINE_VERSION.encode()]
    file.create_dataset("general/generated_by", data=np.array(generated_by))


def _compressed(group: h5py.Group, name: str, data: Any) -> h5py.Dataset:
    """A gzip-compressed dataset whose checksum shows altered bytes when it is read."""
    return group.create_dataset(name, data=data, compression="gzip", compression_opts=4, shuffle=True, fletcher32=True)


def _write_traces(file: h5py.File, experiment: Experiment, compressed: bool) -> None:
    import numpy as np

    dff = file.create_group(f"{PIPELINE}/DfOverF/imaging_plane_1")
    traces = (np.round(experiment.dff / RESOLUTION) * RESOLUTION).astype(np.float32)
    _compressed(dff, "data", traces) if compressed else dff.create_dataset("data", data=traces)
    _compressed(dff, "timestamps", experiment.timestamps_s.astype(np.float64))
    # allensdk takes the clock of running speed and epochs from here; the very same dataset under a second name
    file.create_group(f"{PIPELINE}/Fluorescence/imaging_plane_1")["timestamps"] = dff["timestamps"]
    running = file.create_group(f"{PIPELINE}/BehavioralTimeSeries/running_speed")
    speed = np.zeros(experiment.timestamps_s.size) if experiment.running_cm_s is None else experiment.running_cm_s
    _compressed(running, "data", speed.astype(np.float32))
    running["timestamps"] = dff["timestamps"]
    if experiment.pupil is not None:
        pupil = file.create_group(f"{PIPELINE}/PupilTracking/pupil_size")
        _compressed(pupil, "timestamps", experiment.pupil[0].astype(np.float64))
        _compressed(pupil, "data", experiment.pupil[1].astype(np.float32))


def _write_segmentation(file: h5py.File, experiment: Experiment) -> None:
    """Identities and masks: one disc per cell, in a row-wise grid."""
    import numpy as np

    n_cells = experiment.cell_ids.size
    segmentation = file.create_group(f"{PIPELINE}/ImageSegmentation")
    segmentation.create_dataset("cell_specimen_ids", data=experiment.cell_ids.astype(np.int64))
    names = [f"roi_{cell}".encode() for cell in range(n_cells)]
    segmentation.create_dataset("roi_ids", data=np.array(names))
    plane = segmentation.create_group("imaging_plane_1")
    plane.create_dataset("roi_list", data=np.array(names))
    side = int(np.ceil(np.sqrt(n_cells)))
    spacing = MASK_PX / side
    y, x = np.mgrid[:MASK_PX, :MASK_PX]
    every = np.zeros((MASK_PX, MASK_PX), np.uint8)
    for cell, name in enumerate(names):
        row, column = divmod(cell, side)
        distance = np.hypot(y - (row + 0.5) * spacing, x - (column + 0.5) * spacing)
        mask = (distance < spacing / 3).astype(np.uint8)
        every |= mask
        plane.create_group(name.decode()).create_dataset("img_mask", data=mask, compression="gzip")
    projection = plane.create_group("reference_images/maximum_intensity_projection_image")
    projection.create_dataset("data", data=every * np.uint8(255), compression="gzip")


def _write_stimulus(file: h5py.File, experiment: Experiment) -> None:
    import numpy as np

    for name, shown in experiment.stimuli.items():
        group = file.create_group(f"stimulus/presentation/{name}_stimulus")
        if shown.features:
            _compressed(group, "data", shown.data.astype(np.float64))
            group.create_dataset("features", data=np.array([feature.encode() for feature in shown.features]))
        else:
            _compressed(group, "data", shown.data.astype(np.int32))
        _compressed(group, "frame_duration", shown.samples.astype(np.int64))
        if shown.template is not None:
            template = file.create_group(f"stimulus/templates/{name}_image_stack")
            _compressed(template, "data", shown.template.astype(np.uint8))
    spontaneous = file.create_group("stimulus/presentation/spontaneous_stimulus")
    edges = np.array([sample for stretch in experiment.spontaneous for sample in stretch])
    spontaneous.create_dataset("data", data=np.tile([1, -1], len(experiment.spontaneous)).astype(np.int8))
    spontaneous.create_dataset("frame_duration", data=np.stack([edges, edges], axis=1).astype(np.int64))
