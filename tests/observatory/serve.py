"""Serve simulated Allen experiments with planted layers at their true size, for whole studies by hand.

``python -m tests.observatory.serve allen_movies --limit 6 --port 8123`` simulates what that study selects and answers
until it is stopped; then, elsewhere,
``snakemake all --config study=allen_movies limit=6 mirror=http://127.0.0.1:8123``.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

from pipeline.fetch.weights.resolve import fetch_weights
from pipeline.models.networks.efficientnet import EFFICIENTNET_LITE0
from pipeline.models.networks.two_pathway import TWO_PATHWAY_CPC
from pipeline.study.load import load_study
from tests.conftest import MIRROR
from tests.http_server import Served, running
from tests.observatory.planted_neuropixels import TRUE_TO_SIZE, SpikingDesign
from tests.observatory.planted_two_photon import Design
from tests.observatory.server import ObservatoryServer
from tests.observatory.study_neuropixels import simulate_sessions
from tests.observatory.study_two_photon import simulate_observatory

DESIGNS: dict[str, Design | SpikingDesign] = {
    "allen_movies": Design({"natural_movie_one": 900, "natural_movie_three": 3600}, n_repeats=10, n_cells=40),
    "allen_scenes_2p": Design({"natural_scenes": 118}, n_repeats=50, n_cells=40),
    "allen_neuropixels": TRUE_TO_SIZE,
}
"""Study → what its sessions show, as long and as often as in the real ones."""


def simulate(study: str, limit: int, mirror: Path | None) -> tuple[dict[str, list[dict[str, Any]]], dict[str, bytes]]:
    """Rows and files of what a study selects."""
    design = DESIGNS[study]
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "weights"
        fetch_weights(EFFICIENTNET_LITE0.name, EFFICIENTNET_LITE0.weights, weights)
        if isinstance(design, SpikingDesign):
            return simulate_sessions(design, weights, limit)
        options = next(iter(load_study(study, limit=limit).analyses.values())).recording
        observatory = simulate_observatory(options, design, weights, mirror)
        return observatory.rows, observatory.files


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study", choices=list(DESIGNS))
    parser.add_argument("--limit", type=int, default=6)
    parser.add_argument("--port", type=int, default=8123)
    arguments = parser.parse_args()
    mirror = MIRROR if MIRROR.is_dir() else None
    rows, files = simulate(arguments.study, arguments.limit, mirror)
    with running(ObservatoryServer(rows, files, port=arguments.port)) as server:
        two_pathway = TWO_PATHWAY_CPC.weights.url.partition("://")[2]
        if mirror is not None:
            server.files[two_pathway] = Served((mirror / two_pathway).read_bytes())
        print(f"serving {len(files)} files at {server.prefix}; stop with Ctrl-C", flush=True)
        try:
            server.closing.wait()
        except KeyboardInterrupt:
            print("stopped")


if __name__ == "__main__":
    main()
