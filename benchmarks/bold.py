"""How fast listeners' scans become a recording: ``python -m benchmarks.bold``.

Simulated GIfTI files of two hemispheres (fsaverage6, noise, as fmriprep writes them: gzip and base64) are read twice:
bare, through nibabel and nothing else; and prepared, from files to the finished recording with every vertex of an atlas
as a target, and their mean. Prints Markdown; ``--write`` also puts it into RESULTS.md.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.convert import forget
from benchmarks.machine import machine_lines, markdown_table, publish
from benchmarks.memory import status_mb

if TYPE_CHECKING:
    from pipeline.recordings.bold.options import BoldOptions
    from pipeline.recordings.bold.story import Scan

RESULTS = Path(__file__).parent / "RESULTS.md"
HEADING = "many listeners' BOLD to one recording"
TARGET_PART = 0.4
TARGET_MB = 2000
TR_S = 1.5
SIDES = ("left", "right")
MESH_VERTICES = 40_962
N_PARCELS = 20


def write_hemisphere(path: Path, n_volumes: int, n_vertices: int, seed: int) -> None:
    """Noise around a mean, a data array for each volume."""
    import nibabel
    import numpy as np
    from nibabel.gifti import GiftiDataArray, GiftiImage

    generator = np.random.default_rng(seed)
    mean = generator.uniform(500, 1500, n_vertices).astype(np.float32)
    arrays = [
        GiftiDataArray(
            mean + 10 * generator.standard_normal(n_vertices, np.float32),
            intent="NIFTI_INTENT_TIME_SERIES",
            datatype="NIFTI_TYPE_FLOAT32",
            encoding="GIFTI_ENCODING_B64GZ",
        )
        for _ in range(n_volumes)
    ]
    nibabel.save(GiftiImage(darrays=arrays), path)


def write_atlas(folder: Path, n_vertices: int) -> None:
    """Two annotations of the whole mesh, whose first vertices lie in parcels and the others nowhere."""
    import numpy as np
    from nibabel.freesurfer import write_annot

    names = ["Unknown", *(f"parcel-{number:02d}" for number in range(N_PARCELS))]
    colours = np.array([[number, 10 * number, 0, 0] for number in range(len(names))])
    labels = np.zeros(MESH_VERTICES, np.int64)
    labels[:n_vertices] = 1 + np.arange(n_vertices) * N_PARCELS // n_vertices
    for side in SIDES:
        write_annot(str(folder / f"{side}.annot"), labels, colours, names, fill_ctab=True)


def write_scans(folder: Path, n_listeners: int, n_volumes: int, seed: int) -> list[Scan]:
    """Files of each listener, of their own on the disk; contents come from one template per hemisphere."""
    from pipeline.recordings.bold.story import Scan

    scans = []
    for number in range(n_listeners):
        images = []
        for half, side in enumerate(SIDES):
            path = folder / f"sub-{number:02d}_hemi-{side[0].upper()}_bold.func.gii"
            if number:
                shutil.copyfile(scans[0].images[half], path)
            else:
                write_hemisphere(path, n_volumes, MESH_VERTICES, seed + half)
            images.append(path)
        scans.append(Scan(f"sub-{number:02d}", (images[0], images[1]), 0.0, TR_S))
    return scans


def options_for(folder: Path) -> BoldOptions:
    """Every vertex of the atlas is a target."""
    from pipeline.recordings.bold.options import BoldOptions, Labels, Vertices

    atlas = Labels.model_construct(
        kind="labels", left=str(folder / "left.annot"), right=str(folder / "right.annot"), regions="parcels"
    )
    parcellation = Vertices.model_construct(kind="vertices", atlas=atlas)
    return BoldOptions.model_construct(kind="benchmark", parcellation=parcellation, mesh="fsaverage6")


def read_bare(scan: Scan) -> tuple[float, int]:
    """Seconds and bytes of nibabel's reading of all data arrays."""
    import nibabel

    n_bytes, began = 0, time.perf_counter()
    for path in scan.images:
        image: Any = nibabel.load(path)
        n_bytes += sum(array.data.nbytes for array in image.darrays)
        del image
    return time.perf_counter() - began, n_bytes


def prepare(scans: list[Scan], folder: Path, output: Path, n_volumes: int) -> float:
    """Seconds from the files to the finished recording."""
    from pipeline.artifacts.recording import write_recording
    from pipeline.artifacts.storage.store import standard_attrs
    from pipeline.recordings.bold.story import Heard, prepare_story

    began = time.perf_counter()
    heard = Heard("noise", 0.0, n_volumes * TR_S)
    parts = prepare_story("story", scans, heard, folder, options_for(folder), remedy="run it again")
    write_recording(parts.with_attrs(standard_attrs("recording", "benchmark", "0", "0")), output)
    return time.perf_counter() - began


def measure(arguments: argparse.Namespace, folder: Path) -> tuple[float, float]:
    """Seconds and peak MB of a preparation in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.bold", "--prepare-in", str(folder)]
    for name in ("listeners", "volumes"):
        command += [f"--{name}", str(getattr(arguments, name))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: {done.stderr.strip().splitlines()[-1]}")
    seconds, peak_mb = done.stdout.split()[-2:]
    return float(seconds), float(peak_mb)


def scans_in(folder: Path) -> list[Scan]:
    from pipeline.recordings.bold.story import Scan

    lefts = sorted(folder.glob("*_hemi-L_bold.func.gii"))
    return [
        Scan(left.name.partition("_")[0], (left, left.with_name(left.name.replace("hemi-L", "hemi-R"))), 0.0, TR_S)
        for left in lefts
    ]


def row(arguments: argparse.Namespace, folder: Path, n_vertices: int, cold: bool) -> list[str]:
    """One line of the table."""
    write_atlas(folder, n_vertices)
    scans = scans_in(folder)
    for scan in scans:
        for path in scan.images if cold else ():
            forget(path)
    bare_s, n_bytes = 0.0, 0
    for scan in scans:
        seconds, n = read_bare(scan)
        bare_s, n_bytes = bare_s + seconds, n_bytes + n
        for path in scan.images if cold else ():
            forget(path)
    ours_s, peak_mb = measure(arguments, folder)
    part = bare_s / ours_s
    verdict = "met" if part >= TARGET_PART and peak_mb < TARGET_MB else "missed"
    return [
        f"{len(scans)} × {2 * n_vertices:,} × {arguments.volumes:,}",
        "disk" if cold else "memory if it fits",
        f"{n_bytes / 1e6:.0f}",
        f"{(folder / 'story.nc').stat().st_size / 1e6:.0f}",
        f"{bare_s:.1f}",
        f"{ours_s:.1f}",
        f"**{part:.2f}**",
        f"{peak_mb:.0f}",
        f"≥ {TARGET_PART}, < {TARGET_MB} MB: {verdict}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--listeners", type=int, default=30)
    parser.add_argument("--vertices", type=int, nargs="+", default=[20_000], help="targets per hemisphere")
    parser.add_argument("--volumes", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="where the files are written (they take 16 GB); removed afterwards")
    parser.add_argument("--prepare-in", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--write", action="store_true", help="put the table into benchmarks/RESULTS.md")
    arguments = parser.parse_args()
    if arguments.prepare_in:
        folder = arguments.prepare_in
        print(prepare(scans_in(folder), folder, folder / "story.nc", arguments.volumes), status_mb("VmHWM"))
        return
    header = [
        "listeners × vertices × volumes",
        "files in",
        "MB read",
        "MB written",
        "bare s",
        "ours s",
        "**ours / bare speed**",
        "peak MB",
        "target",
    ]
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        write_scans(Path(name), arguments.listeners, arguments.volumes, arguments.seed)
        os.sync()
        rows = [
            row(arguments, Path(name), n_vertices, cold) for n_vertices in arguments.vertices for cold in (False, True)
        ]
    size = f"two GIfTI files of {MESH_VERTICES:,} vertices each, gzip and base64"
    lines = [
        *machine_lines(arguments.seed),
        f"* each listener: {size}; 128 s high-pass, no confounds; the mean listener is one more",
        "",
        *markdown_table(header, rows),
    ]
    publish(RESULTS, HEADING, lines, write=arguments.write)


if __name__ == "__main__":
    sys.exit(main())
