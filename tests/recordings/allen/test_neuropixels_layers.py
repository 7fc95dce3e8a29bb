"""Cortical layers from a small annotation volume and structure graph in the published formats."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.core.errors import BrokenArtifact
from pipeline.core.keys import sha256_of_file
from pipeline.fetch.checks.digests import record_digest
from pipeline.recordings.allen.cortical_layers import ANNOTATION, STRUCTURES, layer_of, layers_at
from pipeline.recordings.allen.neuropixels.catalogue import channels_path, nwb_path
from pipeline.recordings.allen.neuropixels.dataset import prepare_recording
from pipeline.recordings.allen.neuropixels.options import AllenNeuropixelsOptions
from tests.observatory.example_neuropixels import example_session
from tests.observatory.files_neuropixels import write_session
from tests.observatory.rows_neuropixels import rows_of_designs

SESSION = 715093703
IDS = {"root": 997, "VISp": 385, "VISp1": 593, "VISp2/3": 821, "VISp4": 721, "VISp6a": 33, "VISl1": 421, "CA1": 382}
HEADER = """NRRD0004
# Complete NRRD file format specification at:
# http://teem.sourceforge.net/nrrd/format.html
type: unsigned int
dimension: 3
space: left-posterior-superior
sizes: {sizes}
space directions: ({step},0,0) (0,{step},0) (0,0,{step})
kinds: domain domain domain
endian: little
encoding: gzip
space origin: (0,0,0)

"""


def recorded(path: Path, contents: bytes) -> None:
    """As fetch leaves a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(contents)
    record_digest(path, sha256_of_file(path))


def nrrd(annotation: np.ndarray, step_um: int = 25) -> bytes:
    """Axes anterior–posterior, dorsal–ventral, left–right; the first runs fastest in the file."""
    header = HEADER.format(sizes=" ".join(map(str, annotation.shape)), step=step_um)
    return header.encode() + gzip.compress(annotation.astype("<u4").tobytes(order="F"), 1)


def graph(ids: dict[str, int]) -> bytes:
    nested = {"id": 997, "acronym": "root", "children": []}
    inner = [{"id": number, "acronym": name, "children": []} for name, number in ids.items() if len(name) > 4]
    own = {"id": 385, "acronym": "VISp", "children": inner}
    nested["children"] = [own, {"id": 382, "acronym": "CA1", "children": []}]
    return json.dumps({"success": True, "id": 0, "num_rows": 1, "total_rows": 1, "msg": [nested]}).encode()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A volume of 6 × 5 × 4 voxels, each of which can be told from its neighbours in all directions."""
    annotation = np.zeros((6, 5, 4), np.uint32)
    annotation[1, 2, 3] = IDS["VISp2/3"]
    annotation[2, 1, 3] = IDS["VISp4"]
    annotation[3, 2, 1] = IDS["VISp6a"]
    annotation[5, 4, 0] = IDS["VISl1"]
    annotation[0, 0, 0] = IDS["CA1"]
    annotation[4, 4, 3] = IDS["VISp"]
    recorded(tmp_path / ANNOTATION, nrrd(annotation))
    recorded(tmp_path / STRUCTURES, graph(IDS))
    return tmp_path


def test_planted_layers_are_found_at_the_edges_of_their_voxels(folder: Path) -> None:
    places_um = {
        (25.0, 50.0, 75.0): "L2/3",
        (49.9, 74.9, 99.9): "L2/3",
        (50.0, 74.9, 99.9): "",
        (24.9, 50.0, 75.0): "",
        (62.0, 30.0, 80.0): "L4",
        (75.0, 50.0, 25.0): "L6",
        (149.0, 124.0, 0.0): "L1",
        (0.0, 0.0, 0.0): "",  # CA1 is no layer 1
        (110.0, 110.0, 80.0): "",  # VISp without a layer
        (150.0, 124.0, 0.0): "",  # outside
        (-1.0, 50.0, 75.0): "",
        (25.0, 50.0, 1e9): "",
        (np.nan, 50.0, 75.0): "",
    }
    assert layers_at(np.array(list(places_um)), folder).tolist() == list(places_um.values())
    assert layers_at(np.empty((0, 3)), folder).size == 0


@pytest.mark.parametrize(
    ("acronym", "layer"),
    [
        ("VISp2/3", "L2/3"),
        ("VISal5", "L5"),
        ("VISrl6b", "L6"),
        ("VIS6a", "L6"),
        ("VISp", ""),
        ("CA1", ""),
        ("RSPagl2/3", ""),
        ("LGd-sh", ""),
    ],
)
def test_layers_of_acronyms(acronym: str, layer: str) -> None:
    assert layer_of(acronym) == layer


def test_files_that_are_something_else_are_one_line(folder: Path) -> None:
    place_um = np.array([[25.0, 50.0, 75.0]])
    whole, path = (folder / ANNOTATION).read_bytes(), folder / ANNOTATION
    recorded(path, whole[: len(whole) // 2])
    with pytest.raises(BrokenArtifact, match=f"{path} cannot be read as NRRD") as caught:
        layers_at(place_um, folder)
    assert "\n" not in str(caught.value)
    recorded(path, nrrd(np.zeros((6, 5, 4)), step_um=50))
    with pytest.raises(BrokenArtifact, match=r"has voxels of \(50.0, 50.0, 50.0\), expected 25 µm"):
        layers_at(place_um, folder)
    recorded(path, nrrd(np.full((6, 5, 4), 12345)))
    with pytest.raises(BrokenArtifact, match=r"has structure 12345, which .* does not list"):
        layers_at(place_um, folder)
    recorded(folder / STRUCTURES, b'{"success": true, "msg": [{"id": 997}]}')
    with pytest.raises(BrokenArtifact, match=r"cannot be read as a structure graph .KeyError"):
        layers_at(place_um, folder)
    path.unlink()
    with pytest.raises(BrokenArtifact, match=f"{path} is missing; run with the same --config: snakemake fetch"):
        layers_at(place_um, folder)


def test_units_carry_their_layers_and_those_in_none_are_left_out(tmp_path: Path) -> None:
    design = example_session(SESSION)
    annotation = np.zeros((335, 64, 350), np.uint32)
    annotation[328, 51, 344], annotation[328, 52, 344] = IDS["VISp2/3"], IDS["VISp4"]
    annotation[329, 44, 344] = IDS["VISl1"]
    recorded(tmp_path / ANNOTATION, nrrd(annotation))
    recorded(tmp_path / STRUCTURES, graph(IDS))
    write_session(tmp_path / nwb_path(SESSION), design)
    recorded(tmp_path / nwb_path(SESSION), (tmp_path / nwb_path(SESSION)).read_bytes())
    channels = pd.DataFrame(rows_of_designs([design])["EcephysChannel"]).set_index("id")
    recorded(tmp_path / channels_path(SESSION), channels.to_csv().encode())
    options = AllenNeuropixelsOptions(areas=("VISp", "VISl"), cortical_layers=True)
    recording = prepare_recording(f"session-{SESSION}", tmp_path, options).sortby("target")
    assert recording["compartment"].values.tolist() == ["L4", "L4", "L2/3", "L2/3", "L1"]
    assert recording["region"].values.tolist() == ["VISp"] * 4 + ["VISl"]
    assert "1 units outside the layers of visual cortex" in recording.attrs["left_out"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("sizes: 90000 90000 90000", "states an array of"),
        ("data file: ../secret.raw", "has its values in another file"),
        ("DataFile: LIST", "has its values in another file"),
    ],
)
def test_an_annotation_that_overstates_or_leads_elsewhere(folder: Path, line: str, words: str) -> None:
    header = HEADER.format(sizes="2 2 2", step=25)
    header = header.replace("sizes: 2 2 2", line) if "sizes" in line else header.replace("endian", f"{line}\nendian")
    recorded(folder / ANNOTATION, header.encode() + gzip.compress(bytes(32)))
    with pytest.raises(BrokenArtifact, match=rf"{Path(ANNOTATION).name} {words}") as caught:
        layers_at(np.zeros((1, 3)), folder)
    assert "\n" not in str(caught.value)
