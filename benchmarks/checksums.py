"""What checksums cost in writing and reading each kind of artifact: ``python -m benchmarks.checksums``.

Each artifact is written and read by its own functions, in turn with checksums and with all of them taken out.
Prints Markdown; ``--write`` also puts it into RESULTS.md.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any
from unittest import mock

from benchmarks.artifact_examples import Kind, kinds
from benchmarks.machine import machine_lines, markdown_table, publish

RESULTS = Path(__file__).parent / "RESULTS.md"
HEADING = "checksums of artifacts"
TARGET = 1.03


@contextlib.contextmanager
def without_checksums() -> Iterator[None]:
    """The same functions, which neither compute nor compare any checksum; Zarr groups are plain ones."""
    import zarr
    from zarr.codecs import ZstdCodec

    from pipeline.artifacts import catalogue, map, recording
    from pipeline.artifacts.storage import checksums, contract, sealed_zarr

    class Unchecked(checksums.Blocks):
        def hold(self, first: int, values: object) -> bool:
            return True

    def unchecked(path: Path) -> dict[str, Unchecked]:
        blocks = {"responses": Unchecked(0, 0, 1, "")} if path.name.endswith("r.nc") else {}
        return blocks

    def nothing(*arguments: object, **named: object) -> str:
        return ""

    replaced: list[tuple[Any, str, Any]] = [
        (contract, "compare_with_checksums", unchecked),
        (contract, "append_checksums", nothing),
        (recording, "append_checksums", nothing),
        (sealed_zarr, "compressors", lambda: (ZstdCodec(level=0),)),
        (sealed_zarr, "seal", nothing),
        (sealed_zarr, "open_sealed", lambda path, stage: zarr.open_group(path, mode="r", use_consolidated=False)),
        (catalogue, "digest_of", nothing),
        (map, "_digests", nothing),
        (map, "_check_digests", nothing),
    ]
    with contextlib.ExitStack() as stack:
        for module, name, instead in replaced:
            stack.enter_context(mock.patch.object(module, name, instead))
        yield


def times(kind: Kind, folder: Path, rounds: int) -> dict[str, list[tuple[float, float]]]:
    """``write`` and ``read`` → (seconds with checksums, without) of each round; who begins changes every round."""
    found: dict[str, list[tuple[float, float]]] = {"write": [], "read": []}
    paths = {True: folder / f"with-{kind.file}", False: folder / f"without-{kind.file}"}
    for number in range(rounds + 1):
        seconds: dict[str, dict[bool, float]] = {"write": {}, "read": {}}
        for checked in (True, False) if number % 2 else (False, True):
            with contextlib.nullcontext() if checked else without_checksums():
                seconds["write"][checked] = _timed(kind.write, paths[checked])
                seconds["read"][checked] = _timed(kind.read, paths[checked])
        if number:  # the first imports and fills caches
            for what, pair in seconds.items():
                found[what].append((pair[True], pair[False]))
    return found


def _timed(function: Callable[[Path], Any], path: Path) -> float:
    start = time.perf_counter()
    function(path)
    return time.perf_counter() - start


def _row(kind: Kind, what: str, pairs: list[tuple[float, float]], n_bytes: int) -> list[str]:
    ratios = sorted(checked / bare for checked, bare in pairs)
    ratio = median(ratios)
    met = "met" if ratio <= TARGET else "missed"
    return [
        kind.name,
        what,
        f"{n_bytes / 1e6:.1f}",
        f"{1e3 * median(checked for checked, _ in pairs):.1f}",
        f"{1e3 * median(bare for _, bare in pairs):.1f}",
        f"**{ratio:.3f} ({ratios[0]:.3f}–{ratios[-1]:.3f})**",
        met,
    ]


def _bytes_of(path: Path) -> int:
    return sum(file.stat().st_size for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--scale", type=float, default=1.0, help="of all sizes; tests take little")
    parser.add_argument("--folder", type=Path, help="where temporary files go")
    parser.add_argument("--write", action="store_true", help="put the table into RESULTS.md")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    lines = [
        *machine_lines(given.seed),
        f"* rounds: {given.rounds}, in turn; medians of times, and of ratios with their range",
    ]
    rows = []
    for kind in kinds(given.scale, given.seed):
        folder = Path(tempfile.mkdtemp(dir=given.folder))
        try:
            for what, pairs in times(kind, folder, given.rounds).items():
                rows.append(_row(kind, what, pairs, _bytes_of(folder / f"with-{kind.file}")))
        finally:
            shutil.rmtree(folder)
    header = ["artifact", "", "MB", "with checksums, ms", "without, ms", "**ratio** (range)", f"target ≤ {TARGET}"]
    lines += ["", *markdown_table(header, rows)]
    publish(RESULTS, HEADING, lines, write=given.write)


if __name__ == "__main__":
    main()
