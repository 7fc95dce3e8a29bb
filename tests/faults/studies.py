"""Tiny studies, one for each way in which numbers reach a map; the real stages run on them in well under a second.

``USER/STUDY`` holds what a user wrote (and what a server has), and stays as it is. The stages run in other folders, so
that paths and keys are the same in every copy.
"""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from tests.faults.likeness_dataset import HOST, LARGE, MATRICES, PICTURES

STAGES = ("catalogue", "fetch", "prepare", "activate", "encode", "compare", "identify", "map", "report")
SNAPSHOT = ("ds999999", "1.0.0")
S3 = f"s3.amazonaws.com/openneuro.org/{SNAPSHOT[0]}"
N_PICTURES, SIDE_PX = 20, 12
WRITTEN_AT_S = 1_600_000_000
"""Long ago: of files that changed just now no note is kept."""
NETWORK = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.head = nn.Conv2d(4, 4, 3, stride=2, padding=1)

    def forward(self, pictures):
        return self.head(torch.relu(self.stem(pictures)))


def build():
    torch.manual_seed(0)
    return Net()
"""


@dataclasses.dataclass(frozen=True)
class Study:
    """A study of the campaign.

    Parameters
    ----------
    scored_by : ``encode`` or ``compare``; empty where nothing beyond the raw files is of interest
    served : address without scheme → contents, where the files come from a server
    listed : rows of the list that the server gives
    identified : whether responses are simulated from its layers
    """

    name: str
    scored_by: str
    served: dict[str, bytes] = dataclasses.field(default_factory=dict)
    listed: tuple[dict[str, Any], ...] = ()
    identified: bool = False

    @property
    def stages(self) -> tuple[str, ...]:
        """All that it needs, in order."""
        if not self.scored_by:
            return STAGES[: STAGES.index("prepare")]
        own = (self.scored_by, "identify") if self.identified else (self.scored_by,)
        return tuple(stage for stage in STAGES if stage not in ("encode", "compare", "identify") or stage in own)

    def stages_from(self, first: str) -> tuple[str, ...]:
        return self.stages[self.stages.index(first) :]


def write_studies(user: Path, quick: bool) -> dict[str, Study]:
    """Write every study's files, the same bytes each time; ``quick`` leaves out the simulated mice: a network runs."""
    makers = (_pictures, _movie, _likeness, _listeners, _mice)
    made = [make(user / make.__name__.strip("_")) for make in (makers[:-1] if quick else makers)]
    for path in user.rglob("*"):
        os.utime(path, (WRITTEN_AT_S, WRITTEN_AT_S))
    return {study.name: study for study in made}


def study_file(user: Path, study: str) -> Path:
    return user / study / f"{study}.yaml"


def _write(folder: Path, content: dict[str, Any], simulations: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "study": folder.name,
        "title": f"Faults: {folder.name}",
        **content,
        "inference": {"n_bootstrap": 100, "permutations": 20, "simulations": simulations},
    }
    (folder / f"{folder.name}.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")


def _pictures(folder: Path) -> Study:
    """Plain files, pictures, a network with weights of its own."""
    import torch
    from PIL import Image

    rng = np.random.default_rng(1)
    (folder / "pictures").mkdir(parents=True)
    for number in range(N_PICTURES):
        picture = rng.integers(0, 256, (SIDE_PX, SIDE_PX, 3), dtype=np.uint8)
        Image.fromarray(picture).save(folder / "pictures" / f"picture-{number:02d}.png")
    np.save(folder / "responses.npy", rng.standard_normal((2, N_PICTURES, 4)))
    (folder / "regions.csv").write_text("target,region,subject\na,V1,m1\nb,V1,m1\nc,V4,m1\nd,V4,m1\n", encoding="utf-8")
    rows = [f"picture-{number:02d},{'odd' if number % 2 else 'even'}" for number in range(N_PICTURES)]
    (folder / "categories.csv").write_text("\n".join(["item,category", *rows]) + "\n", encoding="utf-8")
    (folder / "net.py").write_text(NETWORK, encoding="utf-8")
    shapes = {"stem.weight": (4, 3, 3, 3), "stem.bias": (4,), "head.weight": (4, 4, 3, 3), "head.bias": (4,)}
    tensors = {name: torch.from_numpy(rng.standard_normal(shape).astype("f4")) for name, shape in shapes.items()}
    torch.save(tensors, folder / "net.pth")
    network = {
        "factory": "net.py:build",
        "modality": "images",
        "layers": ["stem", "head"],
        "size_px": SIDE_PX,
        "objective": "supervised",
    }
    files = {"responses": "responses.npy", "stimulus": "pictures/", "regions": "regions.csv"}
    recording = {"kind": "files", **files, "categories": "categories.csv"}
    splits = {"kind": "random_items", "n_folds": 4, "n_inner_folds": 4}
    cells = {"recording": recording, "models": ["net", "pixels"], "metric": {"kind": "ridge", "splits": splits}}
    cells["contrasts"] = [{"name": "net over pixels", "model": "net", "reference": "pixels"}]
    _write(folder, {"networks": {"net": {**network, "weights": "net.pth"}}, "analyses": {"cells": cells}}, 20)
    return Study("pictures", "encode", identified=True)


def _movie(folder: Path) -> Study:
    """Plain files on a clock: two runs of one movie each."""
    rng = np.random.default_rng(2)
    folder.mkdir(parents=True)
    runs = []
    for number in (1, 2):
        np.save(folder / f"movie-{number}.npy", rng.integers(0, 256, (160, 8, 8), dtype=np.uint8))
        np.save(folder / f"responses-{number}.npy", rng.standard_normal((2, 80, 3)))
        runs.append({"responses": f"responses-{number}.npy", "stimulus": f"movie-{number}.npy"})
    (folder / "regions.csv").write_text("region\nV1\nV1\nV4\n", encoding="utf-8")
    recording = {"kind": "files", "runs": runs, "regions": "regions.csv", "frame_rate_hz": 4, "sample_interval_s": 0.5}
    splits = {"n_folds": 3, "n_inner_folds": 2, "gap_s": 1, "block_s": 4}
    metric = {"kind": "ridge", "splits": splits, "delays_s": [0, 0.5]}
    models = ["pixels", {"name": "elapsed-time", "layers": ["bumps-0.25s"]}]
    _write(folder, {"analyses": {"cells": {"recording": recording, "models": models, "metric": metric}}})
    return Study("movie", "encode")


def _likeness(folder: Path) -> Study:
    """Similarity matrices over http, without published digests."""
    rng = np.random.default_rng(3)
    pictures = rng.integers(0, 256, (N_PICTURES, SIDE_PX, SIDE_PX, 1), dtype=np.uint8)
    matrices = np.stack([np.corrcoef(rng.standard_normal((N_PICTURES, 30))) for _ in range(2)], axis=-1)
    served = {}
    for name, values in ((PICTURES, pictures), (MATRICES, matrices)):
        with io.BytesIO() as stream:
            np.save(stream, values)
            served[f"{HOST}/{name}"] = stream.getvalue()
    served[f"{HOST}/{LARGE}"] = rng.bytes(600_000)
    metric = {"kind": "rsa", "n_splits": 4}
    areas = {"recording": {"kind": "likeness"}, "models": ["pixels", "gabor-energy"], "metric": metric}
    areas["contrasts"] = [{"name": "pixels over edges", "model": "pixels", "reference": "gabor-energy"}]
    _write(folder, {"analyses": {"areas": areas}})
    return Study("likeness", "compare", served)


def _listeners(folder: Path) -> Study:
    """Listeners of OpenNeuro: a list by GraphQL, files from S3, recordings written block by block."""
    from tests.recordings.stories.raw_folders import write_volumes

    rng = np.random.default_rng(4)
    folder.mkdir(parents=True)
    n_volumes = 48
    files = {"task-t_bold.json": json.dumps({"RepetitionTime": 2.0}).encode()}
    files["task-t_events.tsv"] = b"onset\tduration\tstim_file\n0.0\tn/a\tstory.wav\n"
    onsets = np.cumsum(rng.uniform(0.2, 0.6, 200))
    rows = [f"word{number % 7}\t{onset:.3f}\t{onset + 0.15:.3f}" for number, onset in enumerate(onsets)]
    files["words.tsv"] = ("text\tonset_s\toffset_s\n" + "\n".join(rows) + "\n").encode()
    for subject in ("sub-01", "sub-02"):
        path = f"{subject}/func/{subject}_task-t_bold.nii.gz"
        voxels = [(int(x), int(y), int(z)) for x, y, z in np.ndindex(4, 4, 4)]
        courses = {voxel: 100 + rng.standard_normal(n_volumes) for voxel in voxels}
        write_volumes(folder / "scan.nii", courses, 2.0)
        files[path] = gzip.compress((folder / "scan.nii").read_bytes(), mtime=0)
    (folder / "scan.nii").unlink()
    spheres = {"kind": "spheres", "coordinates": {"A": [10, 10, 10], "B": [20, 20, 20]}, "radius_mm": 6}
    story = {"name": "story", "task": "t", "words": "words.tsv", "stim_file": "story.wav"}
    recording = {"kind": "openneuro", "dataset": SNAPSHOT[0], "snapshot": SNAPSHOT[1], "stories": [story]}
    recording |= {"heard_as": "words", "parcellation": spheres, "high_pass_s": 0}
    splits = {"n_folds": 3, "n_inner_folds": 2, "gap_s": 2, "block_s": 8}
    metric = {"kind": "ridge", "splits": splits}
    cortex = {"recording": recording, "models": ["word-rate"], "metric": metric}
    _write(folder, {"analyses": {"cortex": cortex}})
    listed = tuple(
        {
            "filename": path,
            "urls": [f"https://{S3}/{path}?versionId=v1"],
            "size": len(contents),
            "id": f"MD5E-s{len(contents)}--{hashlib.md5(contents).hexdigest()}.nii.gz",
            "directory": False,
        }
        for path, contents in files.items()
    )
    return Study("listeners", "encode", {f"{S3}/{path}": contents for path, contents in files.items()}, listed)


def _mice(folder: Path) -> Study:
    """Two simulated mice."""
    planted = {"planted": {"VISp": "stem", "VISam": "noise"}, "reliability": {"VISp": 0.6}}
    size = {"n_mice": 2, "n_cells": 2, "n_frames": 60, "n_repeats": 2, "identifiable_folds": 3}
    splits = {"n_folds": 3, "n_inner_folds": 2, "gap_s": 1, "block_s": 4}
    recording = {"kind": "simulated_mouse", **size, **planted}
    metric = {"kind": "ridge", "splits": splits}
    _write(folder, {"analyses": {"mice": {"recording": recording, "models": ["pixels"], "metric": metric}}})
    return Study("mice", "")
