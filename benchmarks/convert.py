"""How fast 2-photon experiments become recordings: ``python -m benchmarks.convert``.

Each file is read twice in turn: bare, the datasets that a conversion reads, through h5py and nothing else; and then
converted, from the checked file to the finished NetCDF. Prints Markdown; ``--write`` also puts it into RESULTS.md.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.machine import machine_lines, markdown_table, publish
from benchmarks.memory import status_mb

if TYPE_CHECKING:
    from pipeline.recordings.allen.two_photon.options import Allen2pOptions

RESULTS = Path(__file__).parent / "RESULTS.md"
HEADING = "conversion of 2-photon experiments"
LAYOUTS = ("contiguous", "compressed")
TARGET_PART = 0.5
TARGET_MB = 1500
RATE_HZ = 30.0
MOVIES = {"natural_movie_one": 900, "natural_movie_three": 3600}
N_REPEATS = 10
FIRST_ID = 9_800_000_000
P = "processing/brain_observatory_pipeline"
READ = (
    f"{P}/DfOverF/imaging_plane_1/data",
    f"{P}/DfOverF/imaging_plane_1/timestamps",
    f"{P}/ImageSegmentation/cell_specimen_ids",
    f"{P}/BehavioralTimeSeries/running_speed/data",
    f"{P}/BehavioralTimeSeries/running_speed/timestamps",
    f"{P}/PupilTracking/pupil_size/data",
    f"{P}/PupilTracking/pupil_size/timestamps",
    *(f"stimulus/presentation/{name}_stimulus/{part}" for name in MOVIES for part in ("data", "frame_duration")),
)
"""The datasets that a conversion reads (beside a few words about the session)."""


def write_template(path: Path, n_cells: int, n_samples: int, layout: str, seed: int) -> None:
    """One experiment of realistic size: two movies, ten passes each, running and pupil; noise for responses."""
    import numpy as np

    from pipeline.simulated.nwb_writer import Experiment, Shown, write_experiment

    generator = np.random.default_rng(seed)
    stimuli, at = {}, 1000
    for name, n_frames in MOVIES.items():
        first = at + np.arange(n_frames * N_REPEATS)
        stimuli[name] = Shown(np.tile(np.arange(n_frames), N_REPEATS), np.stack([first, first + 1], axis=1))
        at = int(first[-1]) + 1000
    times_s = np.arange(n_samples) / RATE_HZ + 8
    experiment = Experiment(
        experiment_id=FIRST_ID,
        container_id=FIRST_ID,
        session_type="three_session_A",
        specimen="simulated-1",
        area="VISp",
        depth_um=175,
        genotype="none (simulated)",
        note="SIMULATION by layermap: noise, not a recording of an animal.",
        cell_ids=FIRST_ID + np.arange(n_cells),
        timestamps_s=times_s,
        dff=generator.standard_normal((n_cells, n_samples), np.float32),
        stimuli=stimuli,
        spontaneous=[(0, 1000)],
        running_cm_s=generator.exponential(5, n_samples),
        pupil=(times_s, generator.uniform(500, 1500, n_samples)),
    )
    write_experiment(path, experiment, compressed=layout == "compressed")


def write_experiments(folder: Path, template: Path, n_experiments: int) -> list[str]:
    """Copies of the template under numbers of their own, each with its digest beside it; the recordings' names."""
    import h5py
    import numpy as np

    from pipeline.core.keys import sha256_of_file
    from pipeline.fetch.checks.digests import record_digest
    from pipeline.recordings.allen.two_photon.catalogue import nwb_path

    names = [str(FIRST_ID + number) for number in range(n_experiments)]
    for number, name in enumerate(names):
        path = folder / nwb_path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(template, path)
        with h5py.File(path, "r+") as file:
            file["general/session_id"][()] = np.bytes_(name)
            file["general/experiment_container_id"][()] = np.bytes_(name)
            file[f"{P}/ImageSegmentation/cell_specimen_ids"][...] += 1000 * number
            file[f"{P}/DfOverF/imaging_plane_1/data"][0] += number
        record_digest(path, sha256_of_file(path))
    return names


def forget(path: Path) -> None:
    """Have the next reader of a file find it on the disk, as it is after a download of many: not in memory."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


def read_bare(path: Path) -> tuple[float, int]:
    """Seconds and bytes of reading the datasets and nothing else."""
    import h5py

    n_bytes, began = 0, time.perf_counter()
    with h5py.File(path, "r") as file:
        for name in READ:
            values = file[name][()]
            n_bytes += values.nbytes
    return time.perf_counter() - began, n_bytes


def convert(name: str, folder: Path, output: Path, options: Allen2pOptions) -> float:
    """Seconds from the fetched file to the finished recording."""
    from pipeline.artifacts.recording import write_recording
    from pipeline.artifacts.storage.store import standard_attrs
    from pipeline.recordings.allen.two_photon.dataset import prepare_recording

    began = time.perf_counter()
    recording = prepare_recording(name, folder, options)
    write_recording(recording.assign_attrs(standard_attrs("recording", "benchmark", "0", "0")), output)
    return time.perf_counter() - began


def section(arguments: argparse.Namespace, layout: str, folder: Path) -> list[list[str]]:
    """Two rows of the table: files in memory, and files on the disk."""
    template = folder / "template.nwb"
    write_template(template, arguments.cells, arguments.samples, layout, arguments.seed)
    names = write_experiments(folder, template, arguments.experiments)
    os.sync()
    title = f"{layout}, {template.stat().st_size / 1e6:.0f} MB a file"
    return [_row(names, folder, title, cold) for cold in (False, True)]


def _row(names: list[str], folder: Path, title: str, cold: bool) -> list[str]:
    from pipeline.recordings.allen.two_photon.catalogue import nwb_path
    from pipeline.recordings.allen.two_photon.options import Allen2pOptions

    options = Allen2pOptions(stimuli=tuple(MOVIES), signal="dff")
    convert(names[0], folder, folder / "warm-up.nc", options)  # imports
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    bare_s, ours_s, n_bytes = [], [], 0
    for number, name in enumerate(names):
        path = folder / nwb_path(name)
        if not cold:
            read_bare(path)
        for which in (("bare", "ours"), ("ours", "bare"))[number % 2]:
            if cold:
                forget(path)
            if which == "bare":
                seconds, n_bytes = read_bare(path)
                bare_s.append(seconds)
            else:
                ours_s.append(convert(name, folder, folder / f"{name}.nc", options))
    parts = sorted(bare / ours for bare, ours in zip(bare_s, ours_s, strict=True))
    total, peak_mb = sum(bare_s) / sum(ours_s), status_mb("VmHWM")
    low, high = parts[len(parts) // 20], parts[-1 - len(parts) // 20]
    verdict = "met" if total >= TARGET_PART and peak_mb < TARGET_MB else "missed"
    return [
        title,
        "disk" if cold else "memory",
        str(len(names)),
        f"{n_bytes / 1e6:.0f}",
        f"{n_bytes * len(names) / 1e6 / sum(bare_s):.0f}",
        f"{n_bytes * len(names) / 1e6 / sum(ours_s):.0f}",
        f"**{total:.2f}** ({median(parts):.2f}; {low:.2f}–{high:.2f})",
        f"{peak_mb:.0f}",
        f"≥ {TARGET_PART}, < {TARGET_MB} MB: {verdict}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--experiments", type=int, default=100)
    parser.add_argument("--cells", type=int, default=200)
    parser.add_argument("--samples", type=int, default=115_000)
    parser.add_argument("--layouts", nargs="+", choices=LAYOUTS, default=list(LAYOUTS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="where the files are written (they take 10 GB); removed afterwards")
    parser.add_argument("--write", action="store_true", help="put the table into benchmarks/RESULTS.md")
    arguments = parser.parse_args()
    header = [
        "layout of dF/F",
        "files in",
        "experiments",
        "MB read of each",
        "bare MB/s",
        "ours MB/s",
        "**ours / bare speed**, all (median; 5–95 % of files)",
        "peak MB",
        "target",
    ]
    rows = []
    for layout in arguments.layouts:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            rows += section(arguments, layout, Path(folder))
    size = f"{arguments.cells} cells × {arguments.samples:,} samples of dF/F, natural movies one and three"
    lines = [
        *machine_lines(arguments.seed),
        f"* each experiment: {size}, bins of 15 frames",
        "",
        *markdown_table(header, rows),
    ]
    publish(RESULTS, HEADING, lines, write=arguments.write)


if __name__ == "__main__":
    sys.exit(main())
