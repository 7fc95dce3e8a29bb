"""How fast and in how much memory activations are extracted: ``python -m benchmarks.activations``.

Prints Markdown; ``--write`` also puts it into benchmarks/RESULTS.md. What the figures mean: benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import loops
from benchmarks.machine import machine_lines, markdown_table, replace_section
from benchmarks.peers import thingsvision_section
from benchmarks.sizes import QUICK, TINY, Sizes
from benchmarks.workloads import Workload, picture_stimulus, reductions, sound_stimulus, workload

if TYPE_CHECKING:
    from pipeline.models.entry import ModelEntry

RESULTS = Path(__file__).parent / "RESULTS.md"
HEADING = "activations"
SECTIONS = ("ratio", "windows", "memory", "thingsvision")
TARGETS = {"cpu": 1.10, "cuda": 1.25}
CLIP_S = 30.0
STRIDES_S = (1.0, 0.1)
MEMORY_BATCH = 16


def ratio_section(options: argparse.Namespace, sizes: Sizes, folder: Path) -> list[str]:
    """Extraction against bare loops, for each network, device and number of threads."""
    import torch

    from pipeline.models.hub.packaged import WHISPER_BASE
    from pipeline.models.networks.efficientnet import EFFICIENTNET_LITE0

    shown = {
        f"EfficientNet-Lite0, {sizes.pictures} pictures of 256 × 256": (
            EFFICIENTNET_LITE0,
            picture_stimulus(folder, sizes.pictures, 256, options.seed),
        ),
        f"Whisper-base, {sizes.clips} clips of {CLIP_S:g} s": (
            WHISPER_BASE,
            sound_stimulus(folder, sizes.clips, CLIP_S),
        ),
    }
    rows = []
    for device in options.devices:
        if device == "cuda" and not torch.cuda.is_available():
            rows.append(["all", "cuda: no GPU here", *["—"] * 9])
            continue
        for title, (entry, stimulus) in shown.items():
            work = workload(title, entry, stimulus, device)
            for threads in options.threads:
                torch.set_num_threads(threads)
                rows += _ratio_rows(work, f"{device}, {threads}", options.batch_size, sizes.rounds, folder)
    header = [
        "network and stimulus",
        "device, threads",
        "batch",
        "reduction",
        "bare s",
        "bare with preparation s",
        "ours s",
        "**ours / bare** (range)",
        "ours / bare with preparation",
        "CPU time, ours / bare",
        "target",
    ]
    return markdown_table(header, rows)


def _ratio_rows(work: Workload, where: str, batch_size: int | None, n_rounds: int, folder: Path) -> list[list[str]]:
    from pipeline.activations.batch_size import choose_batch_size
    from pipeline.artifacts.stimulus import open_stimulus

    batch = batch_size or choose_batch_size(work.network, open_stimulus(work.stimulus))
    passes = loops.prepared_passes(work, batch)
    compared = {
        "bare": functools.partial(loops.bare_forward, work.network, passes),
        "with preparation": functools.partial(loops.bare_with_preparation, work, batch),
    }
    for name, reduction in reductions().items():
        output = folder / f"{work.entry.name}.zarr"
        compared[name] = functools.partial(loops.extraction, work, output, reduction, batch_size)
    for loop in compared.values():
        loop()  # what is imported, allocated and read for the first time is in none of the times
    times = loops.alternate(compared, n_rounds)
    target = TARGETS[work.network.device.type]
    rows = []
    for name in reductions():
        ratio = loops.wall_ratio(times[name], times["bare"])
        # a range that holds the target on both sides says nothing, whatever its median
        met = "met" if ratio.highest <= target else "not met" if ratio.lowest > target else "undecided"
        seconds = [f"{loops.median_s(times[key]):.2f}" for key in ("bare", "with preparation", name)]
        further = str(loops.wall_ratio(times[name], times["with preparation"]))
        cpu = str(loops.cpu_ratio(times[name], times["bare"]))
        rows.append(
            [work.title, where, str(batch), name, *seconds, f"**{ratio}**", further, cpu, f"≤ {target:.2f}: {met}"]
        )
    return rows


def windows_section(options: argparse.Namespace, sizes: Sizes, folder: Path) -> list[str]:
    """Hours of one recording per hour of computing, by the stride between causal windows."""
    import torch

    from pipeline.activations.batch_size import choose_batch_size
    from pipeline.activations.options import SpatialMean
    from pipeline.artifacts.stimulus import open_stimulus
    from pipeline.models.hub.packaged import WHISPER_BASE

    rows = []
    for device in options.devices:
        if device == "cuda" and not torch.cuda.is_available():
            rows.append(["all", "cuda: no GPU here", *["—"] * 5])
            continue
        for title, entry in (("Whisper-base", WHISPER_BASE), ("wav2vec2-base's size, random weights", _wav2vec2())):
            for stride_s in STRIDES_S:
                # windows grow from the start of a recording: only full ones are measured
                window_s = float(entry.preprocessing["window_s"])
                shown = {**entry.preprocessing, "stride_s": stride_s}
                if "shortest_s" in shown:
                    shown["shortest_s"] = window_s
                excerpt_s = sizes.windows * stride_s + (window_s - stride_s if "shortest_s" in shown else 0)
                stimulus = sound_stimulus(folder, 1, round(excerpt_s, 3))
                work = workload(title, dataclasses.replace(entry, preprocessing=shown), stimulus, device)
                # chosen outside: its trial pass is one per recording, and would count once per few windows here
                batch = options.batch_size or choose_batch_size(work.network, open_stimulus(stimulus))
                for threads in options.threads:
                    torch.set_num_threads(threads)
                    run = functools.partial(loops.extraction, work, folder / "windows.zarr", SpatialMean(), batch)
                    run()
                    per_window_s = loops.median_s(loops.alternate({"ours": run}, sizes.rounds)["ours"]) / work.n_samples
                    per_hour = f"{stride_s / per_window_s:.3g}"
                    measured = f"{work.n_samples} windows of {window_s:g} s"
                    cells = [f"{stride_s:g}", measured, f"{per_window_s:.3f}", per_hour, f"{1 / float(per_hour):.3g}"]
                    rows.append([title, f"{device}, {threads}", *cells])
    header = [
        "network",
        "device, threads",
        "stride s",
        "measured",
        "s per window",
        "hours of recording per hour",
        "hours for one hour",
    ]
    note = "Seconds per window are measured on full windows; hours are those seconds times the number of windows."
    return [*markdown_table(header, rows), "", note]


def _wav2vec2() -> ModelEntry:
    from pipeline.models.hub.known import BASE, hub_entry

    return hub_entry(
        "wav2vec2-random",
        "wav2vec2",
        BASE,
        objective="random",
        title="A network of wav2vec2-base's size with random weights",
        citation="Baevski et al. 2020, NeurIPS",
        licence="",
    )


def memory_section(options: argparse.Namespace, sizes: Sizes, folder: Path) -> list[str]:
    """Peak memory by number of pictures and by number of layers."""
    from benchmarks.memory import SIZE_PX, peak_mb

    few, many = (picture_stimulus(folder, n, SIZE_PX, options.seed) for n in (sizes.few, sizes.many))
    base = peak_mb(few, "all", sizes.rounds, MEMORY_BATCH)
    others = {
        f"all layers, {sizes.many} pictures": peak_mb(many, "all", sizes.rounds, MEMORY_BATCH),
        f"1 layer (head), {sizes.few} pictures": peak_mb(few, "head", sizes.rounds, MEMORY_BATCH),
    }
    rows = [[f"all layers, {sizes.few} pictures", f"{base:.1f}", "—"]]
    rows += [[name, f"{peak:.1f}", f"{peak / base - 1:+.1%}"] for name, peak in others.items()]
    return markdown_table(["EfficientNet-Lite0 at 64 px, batches of 16, CPU", "peak MB", "against the first row"], rows)


def report(options: argparse.Namespace, sizes: Sizes) -> list[str]:
    """The whole output, as lines of Markdown."""
    lines = [*machine_lines(options.seed), f"* rounds: {sizes.rounds}, of which medians are given", ""]
    sections = {
        "ratio": ("Extraction against the bare network", ratio_section),
        "windows": ("Causal windows of a recording", windows_section),
        "memory": ("Peak memory", memory_section),
        "thingsvision": ("thingsvision", thingsvision_section),
    }
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        for name in options.sections:
            title, section = sections[name]
            lines += [f"### {title}", "", *section(options, sizes, Path(folder)), ""]
    return lines


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.activations", description=__doc__)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", dest="sizes", action="store_const", const=QUICK, default=Sizes(), help="less of all")
    size.add_argument("--tiny", dest="sizes", action="store_const", const=TINY, help="whether it runs, not how fast")
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--devices", nargs="+", choices=tuple(TARGETS), default=list(TARGETS))
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--batch-size", type=int, help="of all loops; by default as extraction itself chooses it")
    parser.add_argument("--thingsvision", type=Path, metavar="PYTHON", help="an interpreter that has thingsvision")
    parser.add_argument("--folder", type=Path, help="for stores while it runs (default: the system's temporary folder)")
    parser.add_argument("--rounds", type=int, help="of each comparison (default: 5)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true", help=f"also into {RESULTS.name}")
    return parser.parse_args(arguments)


def main() -> None:
    options = parse()
    sizes = options.sizes if options.rounds is None else dataclasses.replace(options.sizes, rounds=options.rounds)
    lines = report(options, sizes)
    sys.stdout.write("\n".join(lines) + "\n")
    if options.write:
        text = RESULTS.read_text(encoding="utf-8") if RESULTS.is_file() else "# Results\n"
        RESULTS.write_text(replace_section(text, HEADING, lines), encoding="utf-8")


if __name__ == "__main__":
    main()
