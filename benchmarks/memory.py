"""Peak resident memory of one extraction, in a process of its own: ``python -m benchmarks.memory STIMULUS LAYERS``.

Prints MB above what the process holds once everything is imported. LAYERS is ``all`` or one layer's name.
"""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

SIZE_PX = 64
REDUCTION = {"n_features": 1000}


def peak_mb(stimulus: Path, layers: str, n_runs: int, batch_size: int) -> float:
    """Median peak over ``n_runs`` processes, in MB (10⁶ bytes)."""
    return median(_one_peak(stimulus, layers, batch_size) for _ in range(n_runs))


def _one_peak(stimulus: Path, layers: str, batch_size: int) -> float:
    command = [sys.executable, "-m", "benchmarks.memory", str(stimulus), layers, str(batch_size)]
    # freed memory goes back at once: what counts is what extraction needs, not what the allocator keeps
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: {done.stderr.strip().splitlines()[-1]}")
    return float(done.stdout.split()[-1])


def status_mb(field: str) -> float:
    """``VmRSS`` (now) or ``VmHWM`` (peak) of this process."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError(f"/proc/self/status has no {field}")


def main(stimulus: Path, layers: str, batch_size: int) -> None:
    from benchmarks.loops import extraction
    from benchmarks.workloads import picture_stimulus, workload
    from pipeline.activations.options import SparseProjection
    from pipeline.models.networks.efficientnet import EFFICIENTNET_LITE0

    shown = {**EFFICIENTNET_LITE0.preprocessing, "size_px": SIZE_PX}
    entry = dataclasses.replace(EFFICIENTNET_LITE0, preprocessing=shown)
    with tempfile.TemporaryDirectory() as folder:
        # one small extraction imports all there is to import
        few = workload("import", entry, picture_stimulus(Path(folder), 2, SIZE_PX, 0), "cpu")
        extraction(few, Path(folder) / "few.zarr", SparseProjection(**REDUCTION), 1, _named(layers))
        measured = workload("measured", entry, stimulus, "cpu")
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak starts anew
        before = status_mb("VmRSS")
        extraction(measured, Path(folder) / "out.zarr", SparseProjection(**REDUCTION), batch_size, _named(layers))
    print(status_mb("VmHWM") - before)


def _named(layers: str) -> tuple[str, ...] | None:
    return None if layers == "all" else (layers,)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
