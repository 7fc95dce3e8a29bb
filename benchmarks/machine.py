"""Where and with what a benchmark ran, and its tables."""

from __future__ import annotations

import datetime
import os
import platform
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

PACKAGES = ("torch", "transformers", "numpy", "zarr", "xarray", "himalaya", "scikit-learn")


def machine_lines(seed: int) -> list[str]:
    """Machine, cores, load, versions, date and seed, one a line."""
    import torch

    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in PACKAGES)
    return [
        f"* machine: {_processor()}, {len(os.sched_getaffinity(0))} cores, {platform.system()} {platform.release()}",
        f"* load over 1, 5, 15 minutes when it started: {load}",
        f"* GPU: {torch.cuda.get_device_name() if torch.cuda.is_available() else 'no GPU here'}",
        f"* versions: Python {platform.python_version()}, {versions}",
        f"* date: {datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC; seed {seed}",
    ]


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table.

    Raises
    ------
    ValueError
        A row has another number of cells than the header.
    """
    for row in rows:
        if len(row) != len(header):
            raise ValueError(f"row {row} has {len(row)} cells, the header {len(header)}")
    return ["| " + " | ".join(cells) + " |" for cells in (header, ["---"] * len(header), *rows)]


def publish(results: Path, heading: str, lines: Sequence[str], *, write: bool) -> None:
    """Print a section, and put it into a page of results if asked to."""
    print("\n".join([f"## {heading}", "", *lines]))
    if write:
        results.write_text(replace_section(results.read_text(encoding="utf-8"), heading, lines), encoding="utf-8")


def replace_section(text: str, heading: str, lines: Sequence[str]) -> str:
    """A Markdown text with the section ``## heading`` replaced, or added at the end."""
    kept, inside, placed = [], False, False
    for line in text.splitlines():
        if line.startswith("## "):
            inside = line == f"## {heading}"
            if inside:
                kept += [f"## {heading}", "", *lines, ""]
                placed = True
        if not inside:
            kept.append(line)
    if not placed:
        kept += ["", f"## {heading}", "", *lines]
    return "\n".join(kept).strip() + "\n"
