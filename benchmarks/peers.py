"""The same network and layers extracted by another tool."""

from __future__ import annotations

import functools
import json
import subprocess
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks import loops
from benchmarks.machine import markdown_table
from benchmarks.workloads import WEIGHTS, picture_stimulus, reductions, workload

if TYPE_CHECKING:
    import argparse

    from benchmarks.sizes import Sizes


def thingsvision_section(options: argparse.Namespace, sizes: Sizes, folder: Path) -> list[str]:
    """The same network and layers, each tool against a bare loop in its own interpreter."""
    import torch

    from pipeline.activations.options import NoReduction
    from pipeline.models.networks.efficientnet import EFFICIENTNET_LITE0, STAGE_ENDS

    if options.thingsvision is None:
        return ["thingsvision: not measured; name an interpreter that has it with --thingsvision PYTHON"]
    threads, batch = options.threads[0], options.batch_size or 4
    torch.set_num_threads(threads)
    work = workload("", EFFICIENTNET_LITE0, picture_stimulus(folder, sizes.peers, 256, options.seed), "cpu")
    passes = loops.prepared_passes(work, batch)
    modules = [*(f"_blocks.{end}" for end in STAGE_ENDS), "_avg_pooling"]
    theirs = _run_thingsvision(options.thingsvision, passes, batch, sizes.rounds, threads, modules, folder)
    if isinstance(theirs, str):
        return [f"thingsvision: {options.thingsvision} cannot run it ({theirs})"]
    layers = tuple(layer for layer in work.network.taps if layer != "stem")  # an input, which thingsvision cannot take
    compared: dict[str, Any] = {"bare": functools.partial(loops.bare_forward, work.network, passes)}
    for name, reduction in {**reductions(), "none": NoReduction()}.items():
        run = functools.partial(loops.extraction, work, folder / "peer.zarr", reduction, batch, layers)
        compared[f"ours, {name}, from the stimulus store to Zarr"] = run
        run()
    times = loops.alternate(compared, sizes.rounds)
    bare, taken = theirs["bare"], theirs["thingsvision"]
    ratios = [one / other for one, other in zip(taken, bare, strict=True)]
    versions = " with ".join(f"{name} {version}" for name, version in theirs["versions"].items())
    rows = [
        [
            f"{versions}, every unit, from prepared tensors to .npy",
            f"{median(bare):.2f}",
            f"{median(taken):.2f}",
            f"{median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})",
        ]
    ]
    for name in list(compared)[1:]:
        seconds = [f"{loops.median_s(times[key]):.2f}" for key in ("bare", name)]
        rows.append([name, *seconds, str(loops.wall_ratio(times[name], times["bare"]))])
    what = f"EfficientNet-Lite0, stages 1–7 and head, {sizes.peers} pictures, batches of {batch}, {threads} threads"
    return markdown_table([what, "bare s", "extraction s", "ratio (range)"], rows)


def _run_thingsvision(
    python: Path, passes: list[Any], batch: int, n_rounds: int, threads: int, modules: list[str], folder: Path
) -> dict[str, Any] | str:
    """Seconds per round, or why it did not run."""
    import efficientnet_lite_pytorch
    import numpy as np

    np.save(folder / "prepared.npy", np.concatenate([one.inputs.numpy() for one in passes]))
    architecture = folder / "architecture"  # that package alone, not the rest of this environment
    architecture.mkdir(exist_ok=True)
    package = Path(efficientnet_lite_pytorch.__file__).parent
    link = architecture / package.name
    if not link.exists():
        link.symlink_to(package)
    weights = WEIGHTS / "efficientnet-lite0" / "model.safetensors"
    script = Path(__file__).parent / "thingsvision_side.py"
    numbers = [str(value) for value in (batch, n_rounds, threads)]
    command = [str(python), str(script), str(folder / "prepared.npy"), str(weights), str(architecture), *numbers]
    try:
        done = subprocess.run([*command, *modules], capture_output=True, text=True, check=False)
    except OSError as error:
        return str(error)
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["no message"])[-1]
    return dict(json.loads(done.stdout.splitlines()[-1]))
