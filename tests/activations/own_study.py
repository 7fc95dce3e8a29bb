"""A user's folder with pictures, cells and a network of their own, and the stages run on a study of it."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import yaml
from PIL import Image

from pipeline.artifacts.stimulus import write_stimulus
from pipeline.artifacts.storage.store import standard_attrs
from pipeline.core.registry import import_object
from pipeline.models.torch.hooked_network import HookedNetwork
from pipeline.study.cli import main
from pipeline.study.load import load_study
from pipeline.study.plan import AnalysisPlan, plan_study

ROOT = Path(__file__).resolve().parents[2]
N = 12
SIDE = 16
NETWORK = '''
import torch
from torch import nn


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, values):
        return values + torch.relu(self.conv(values))


class Net(nn.Module):
    """Halves the picture once."""

    def __init__(self, width, depth):
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, stride=2, padding=1)
        self.blocks = nn.ModuleList(Block(width) for _ in range(depth))
        self.head = nn.Linear(width, 5)

    def forward(self, pictures):
        values = self.stem(pictures)
        for block in self.blocks:
            values = block(values)
        return self.head(values.mean(dim=(2, 3)))


def build(width=4, depth=2):
    """A small network."""
    torch.manual_seed(0)
    return Net(width, depth)
'''
OWN = {"factory": "my_net.py:build", "modality": "images", "layers": ["stem", "blocks.*", "head"], "size_px": SIDE}
RIDGE = {"kind": "ridge", "splits": {"kind": "random_items", "n_folds": 4, "n_inner_folds": 4}}


class Lab:
    """``lab`` holds what the user wrote; the stages run in ``work``."""

    def __init__(self, path: Path, n_pictures: int = N, network: str = NETWORK) -> None:
        self.folder, self.work = path / "lab", path / "work"
        rng = np.random.default_rng(0)
        (self.folder / "images").mkdir(parents=True)
        self.work.mkdir()
        for number in range(n_pictures):
            picture = rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
            Image.fromarray(picture).save(self.folder / "images" / f"picture-{number:04d}.png")
        np.save(self.folder / "my.npy", rng.standard_normal((n_pictures, 2)))
        (self.folder / "regions.csv").write_text("region\nV1\nV4\n")
        (self.folder / "my_net.py").write_text(network)

    def write(self, networks: dict[str, Any], *models: Any, recording: dict[str, Any] | None = None) -> str:
        """A study with these networks; by default it takes all of them."""
        files = {"kind": "files", "responses": "my.npy", "stimulus": "images/", "regions": "regions.csv"}
        cells = {"recording": recording or files, "models": list(models or networks), "metric": RIDGE}
        content = {"study": "mine", "title": "Mine", "networks": networks, "analyses": {"cells": cells}}
        path = self.folder / "mine.yaml"
        path.write_text(yaml.safe_dump(content))
        return str(path)

    def plan(self) -> AnalysisPlan:
        return plan_study(load_study(str(self.folder / "mine.yaml"))).analyses[0]

    def run(self, *stages: str, flags: tuple[str, ...] = ()) -> None:
        """Stages that must succeed, in this process."""
        for stage in stages:
            assert main([stage, "--study", str(self.folder / "mine.yaml"), *flags]) == 0, stage

    def refusal(self, stage: str, capsys: Any, status: int = 1) -> str:
        """The one line that a stage ends with."""
        capsys.readouterr()
        assert main([stage, "--study", str(self.folder / "mine.yaml")]) == status
        lines = [line for line in capsys.readouterr().err.strip().splitlines() if line.startswith("layermap")]
        assert len(lines) == 1, lines
        return lines[0]

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """A stage as a process of its own, leader of its group."""
        return subprocess.Popen(
            [sys.executable, "-m", "pipeline", *arguments, "--study", str(self.folder / "mine.yaml")],
            cwd=self.work,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def stores(self) -> list[Path]:
        return sorted((self.work / "data" / "activations").rglob("*.zarr"))


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def picture_set(pictures: np.ndarray, path: Path | None = None) -> xr.Dataset:
    """Pictures (n, y, x, colour) uint8 as a stimulus, written to ``path`` if there is one."""
    items = [f"picture{number}" for number in range(len(pictures))]
    attrs = {**standard_attrs("stimulus", "test", "config", "inputs"), "modality": "images", "name": "pictures"}
    stimulus = xr.Dataset({"images": (("image", "y", "x", "colour"), pictures)}, {"item": ("image", items)}, attrs)
    if path is not None:
        write_stimulus(stimulus, path)
    return stimulus


def random_pictures(n: int, side: int = SIDE, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, side, side, 3), dtype=np.uint8)


def own_network(lab: Lab, name: str = "own") -> HookedNetwork:
    """The network of a study as the activate stage has it."""
    entry = next(model.model.entry for model in lab.plan().models if model.name == name)
    network: HookedNetwork = import_object(entry.factory)(entry, None, None, "cpu")
    return network
