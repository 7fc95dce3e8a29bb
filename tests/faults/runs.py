"""Stages in processes of their own, as a user runs them, without starting Python each time."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

HUNG = 124


@dataclasses.dataclass(frozen=True)
class Ran:
    """How a process ended.

    Parameters
    ----------
    status : exit status; −N where signal N ended it, `HUNG` where it did not end in time
    said : what it wrote on stderr
    """

    status: int
    said: str

    @property
    def last_line(self) -> str:
        lines = [line for line in self.said.replace("\r", "\n").splitlines() if line.strip()]
        return lines[-1] if lines else ""


Job = Callable[[], int]
Key = TypeVar("Key")


def in_child(job: Job, limit_s: float = 200.0) -> Ran:
    """Run a function in a forked process of its own; this process must have no threads."""
    ((_, ran),) = in_children([("", job)], 1, limit_s)
    return ran


def in_children(jobs: Iterable[tuple[Key, Job]], workers: int, limit_s: float) -> Iterator[tuple[Key, Ran]]:
    """Run functions in forked processes, so many at a time; (key, how it ended) as they end."""
    waiting, running = iter(jobs), {}
    more = True
    try:
        while more or running:
            while more and len(running) < workers:
                following = next(waiting, None)
                more = following is not None
                if following is not None:
                    errors = tempfile.TemporaryFile()  # noqa: SIM115 (closed when the child has ended)
                    running[_fork(following[1], errors.fileno())] = (following[0], errors, time.monotonic() + limit_s)
            for child, (key, errors, deadline) in list(running.items()):
                status = _ended(child, deadline)
                if status is not None:
                    del running[child]
                    with errors:
                        errors.seek(0)
                        yield key, Ran(status, errors.read().decode("utf-8", "replace"))
            time.sleep(0.003)
    finally:
        for child in running:  # there are some only where this process is being stopped
            _ended(child, deadline=0)


def _fork(job: Job, errors: int) -> int:
    """The child's process id; the child itself never returns."""
    child = os.fork()
    if child:
        return child
    status = 99
    try:
        os.setpgid(0, 0)
        os.dup2(errors, 2)
        with open(os.devnull, "w") as nothing:
            os.dup2(nothing.fileno(), 1)
        sys.stdout, sys.stderr = (open(one, "w", buffering=1, closefd=False) for one in (1, 2))  # noqa: SIM115
        status = job()
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stderr.flush()
        os._exit(status)


def _ended(child: int, deadline: float) -> int | None:
    """How a child ended; None while it runs. What runs too long is killed."""
    done, status = os.waitpid(child, os.WNOHANG)
    if done:
        return os.waitstatus_to_exitcode(status)
    if time.monotonic() < deadline:
        return None
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return HUNG


def prepare_environment(scratch: Path) -> None:
    """One thread, no network, no programs beside Python: before anything of layermap is imported."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"):
        os.environ[name] = "1"
    nowhere = "http://127.0.0.1:9"
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        os.environ[name] = nowhere
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1"
    os.environ["PATH"] = str(scratch / "no-programs")
    os.environ.pop("LAYERMAP_MIRROR", None)
    os.environ.pop("LAYERMAP_TRACEBACK", None)
    plug_in = scratch / "plug-in" / "likeness-1.dist-info"
    plug_in.mkdir(parents=True)
    (plug_in / "METADATA").write_text("Metadata-Version: 2.1\nName: likeness\nVersion: 1\n", encoding="utf-8")
    points = "[layermap.datasets]\nlikeness = tests.faults.likeness_dataset:DATASET\n"
    (plug_in / "entry_points.txt").write_text(points, encoding="utf-8")
    sys.path.insert(0, str(plug_in.parent))


def import_everything() -> None:
    """What stages import, once and for all children; nothing here may start a thread."""
    import h5netcdf
    import nibabel
    import pandas
    import requests
    import safetensors.torch
    import scipy.stats
    import torch
    import xarray
    import zarr

    from pipeline.activations import stage as activations_stage
    from pipeline.comparison import stage as comparison_stage
    from pipeline.encoding import stage as encoding_stage
    from pipeline.identifiability import stage as identifiability_stage
    from pipeline.inference import stage as inference_stage
    from pipeline.models.baselines import image_baselines
    from pipeline.models.hub import own_network
    from pipeline.recordings.bids import openneuro as openneuro_bids
    from pipeline.recordings.files import responses as files_recording
    from pipeline.report import stage as report_stage
    from pipeline.study.stages import estimate_stage, run_stage

    del h5netcdf, nibabel, pandas, requests, safetensors, scipy, xarray, zarr
    del estimate_stage, run_stage, activations_stage, comparison_stage, encoding_stage, inference_stage
    del identifiability_stage, image_baselines, own_network, files_recording, openneuro_bids, report_stage
    torch.set_num_threads(1)
