"""Whole small studies, run as a user runs them: snakemake in a folder of its own."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
SMALL_MOUSE = {
    "study": "small",
    "title": "One simulated mouse",
    "analyses": {
        "mouse": {
            "recording": {
                "kind": "simulated_mouse",
                "n_mice": 1,
                "n_cells": 2,
                "n_frames": 80,
                "n_repeats": 3,
                "identifiable_folds": 4,
                "planted": {"VISp": "stem", "VISam": "head", "VISpm": "noise"},
                "reliability": {"VISp": 0.6, "VISam": 0.6},
            },
            "models": [
                {
                    "name": "efficientnet-lite0",
                    "layers": ["stem", "stage4", "head"],
                    "reduction": {"kind": "sparse_projection", "n_features": 100},
                },
                "gabor-energy",
            ],
            "metric": {
                "kind": "ridge",
                "splits": {"n_folds": 4, "n_inner_folds": 3, "gap_s": 2, "block_s": 5},
                "delays_s": [0, 0.5],
            },
            "contrasts": [
                {"name": "trained over Gabor energy", "model": "efficientnet-lite0", "reference": "gabor-energy"}
            ],
        }
    },
    "inference": {"n_bootstrap": 100, "permutations": 20, "simulations": 0},
}


STAGES = ("catalogue", "fetch", "prepare", "activate", "compare", "encode", "map", "report")


class Folder:
    """A folder in which snakemake is run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)

    def write_study(self, content: dict, name: str = "small.yaml") -> str:
        (self.path / name).write_text(yaml.safe_dump(content))
        return name

    def command(self, *arguments: str) -> list[str]:
        profile = ROOT / "profiles" / "default"
        snakemake = [sys.executable, "-m", "snakemake", "-s", str(ROOT / "Snakefile"), "--profile", str(profile)]
        return [*snakemake, "--directory", str(self.path), *arguments]

    def start(self, *arguments: str) -> subprocess.Popen:
        """Start a run as the leader of its own process group, so that all of it can be killed at once."""
        return subprocess.Popen(
            self.command(*arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            cwd=self.path,
        )

    def run(self, *arguments: str, **kwargs) -> subprocess.CompletedProcess:
        return subprocess.run(
            self.command(*arguments), capture_output=True, text=True, cwd=self.path, timeout=600, **kwargs
        )

    def stage(self, *arguments: str, **kwargs) -> subprocess.CompletedProcess:
        """One stage as a plain command."""
        environment = {**os.environ, **kwargs.pop("env", {})}
        command = [sys.executable, "-m", "pipeline", *arguments]
        return subprocess.run(command, capture_output=True, text=True, cwd=self.path, env=environment, **kwargs)

    def run_stages(self, last: str, study: str, first: str = "catalogue", **settings: object) -> None:
        """All stages as plain commands, each with all its jobs: one process for each stage rather than for each job."""
        flags = [f"--{name}={value}" for name, value in settings.items()]
        for stage in STAGES[STAGES.index(first) : STAGES.index(last) + 1]:
            result = self.stage(stage, "--study", study, *flags)
            assert result.returncode == 0, result.stdout[-1500:] + result.stderr[-3000:]

    def digest(self) -> dict[str, str]:
        """SHA-256 of every file under data/, without what Snakemake and locks leave there."""
        return {
            str(path.relative_to(self.path)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted((self.path / "data").rglob("*"))
            if path.is_file() and path.name != ".snakemake_timestamp" and not path.name.endswith(".lock")
        }

    def rules_run(self, result: subprocess.CompletedProcess) -> set[str]:
        """Names of the rules that a run executed."""
        lines = (result.stdout + result.stderr).splitlines()
        starts = ("rule ", "localrule ", "checkpoint ", "localcheckpoint ")
        return {line.split()[1].rstrip(":") for line in lines if line.startswith(starts)}


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Folder:
    """The small study, run once without interruption."""
    folder = Folder(tmp_path_factory.mktemp("finished"))
    result = folder.run("all", "--config", f"study={folder.write_study(SMALL_MOUSE)}")
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    return folder


@pytest.fixture
def copy_of_finished(finished, tmp_path) -> Folder:
    """A copy of the finished run that a test may change."""
    subprocess.run(["cp", "-a", f"{finished.path}/.", tmp_path], check=True)
    return Folder(tmp_path)
