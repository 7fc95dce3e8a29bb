"""Pickles are read without running what they say."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import BrokenArtifact
from pipeline.fetch.unpickle import NUMPY_SCALARS, SIMILARITY_MATRICES, load_restricted, load_torch_state

MIRROR = Path(__file__).resolve().parents[3] / "shared" / "mirror" / "raw.githubusercontent.com"


def real_file(pattern: str) -> Path:
    found = sorted(MIRROR.glob(pattern))
    if not found:
        pytest.skip(f"{pattern} is not under {MIRROR}")
    return found[0]


class Attack:
    def __init__(self, function, *arguments) -> None:
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("function", [os.system, eval, getattr, pickle.loads])
def test_what_a_pickle_may_not_call_is_named(tmp_path: Path, function, protocol: int) -> None:
    path, trace = tmp_path / "evil.pkl", tmp_path / "trace"
    path.write_bytes(pickle.dumps({"VISp": Attack(function, f"touch {trace}")}, protocol))
    with pytest.raises(BrokenArtifact) as error:
        load_restricted(path, SIMILARITY_MATRICES)
    assert f".{function.__name__}" in str(error.value)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    assert not trace.exists()


def test_dotted_names_do_not_slip_through(tmp_path: Path) -> None:
    path = tmp_path / "evil.pkl"
    path.write_bytes(b"\x80\x04\x8c\x05numpy\x8c\x0endarray.tofile\x93.")
    with pytest.raises(BrokenArtifact, match=r"numpy.ndarray.tofile"):
        load_restricted(path, SIMILARITY_MATRICES)


def test_matrices_come_back_as_written(tmp_path: Path) -> None:
    matrices = {"VISp": {"layer4": np.arange(12.0).reshape(3, 4)}}
    text = pickle.dumps(matrices, protocol=3).replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    path = tmp_path / "rdms.pkl"
    path.write_bytes(text)
    np.testing.assert_array_equal(
        load_restricted(path, SIMILARITY_MATRICES)["VISp"]["layer4"], matrices["VISp"]["layer4"]
    )
    for broken in (text[: len(text) // 2], b"", b"<!DOCTYPE html>", text[:-40] + bytes(40)):
        path.write_bytes(broken)
        with pytest.raises(BrokenArtifact, match=r"rdms\.pkl is no whole pickle"):
            load_restricted(path, SIMILARITY_MATRICES)
    with pytest.raises(BrokenArtifact, match="is missing"):
        load_restricted(tmp_path / "gone.pkl", SIMILARITY_MATRICES)


@pytest.mark.mirror
def test_the_real_similarity_matrices_load() -> None:
    matrices = load_restricted(
        real_file("ColinConwell/DeepMouseTrap/*/neural_data/rdms_reliable.pkl"), SIMILARITY_MATRICES
    )
    assert set(matrices) == {"VISp", "VISl", "VISal", "VISpm", "VISam", "VISrl"}
    for layers in matrices.values():
        assert set(layers) <= {"layer23", "layer4", "layer5", "layer6"}
        for matrix in layers.values():
            assert matrix.shape == (119, 119)
            assert matrix.dtype == np.float64


class TestTorch:
    def test_tensors_load_and_calls_are_refused(self, tmp_path: Path) -> None:
        torch = pytest.importorskip("torch")
        path, trace = tmp_path / "net.pt", tmp_path / "trace"
        torch.save({"weight": torch.arange(6.0)}, path)
        assert load_torch_state(path)["weight"].tolist() == list(range(6))
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(BrokenArtifact, match="cut short or altered"):
            load_torch_state(path)
        torch.save({"weight": Attack(os.system, f"touch {trace}")}, path)
        with pytest.raises(BrokenArtifact, match=r"it asks for \w+\.system") as error:
            load_torch_state(path)
        assert "\n" not in str(error.value)
        assert not trace.exists()
        with pytest.raises(BrokenArtifact, match="is missing"):
            load_torch_state(tmp_path / "gone.pt")

    @pytest.mark.mirror
    def test_the_real_checkpoint_needs_numbers_and_no_more(self) -> None:
        pytest.importorskip("torch")
        path = real_file("ShahabBakht/ventral-dorsal-model/*/Checkpoints/cpc_p2.pth.tar")
        with pytest.raises(BrokenArtifact, match=r"it asks for numpy\.core\.multiarray\.scalar"):
            load_torch_state(path)
        assert load_torch_state(path, NUMPY_SCALARS)["epoch"] == 100
