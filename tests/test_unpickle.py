"""Pickles are read without running what they say."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from pipeline.core.errors import BrokenArtifact
from pipeline.formats.unpickle import NUMPY_SCALARS, SIMILARITY_MATRICES, load_restricted, load_torch_state

MIRROR = Path(__file__).resolve().parents[2] / "shared" / "mirror" / "raw.githubusercontent.com"


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


def part(value: object, protocol: int) -> bytes:
    """What puts a value on the stack of a pickle."""
    return pickle.dumps(value, protocol)[2:-1]


PLAIN = (3, "<", None, None, None, -1, -1, 0)
ARRAY = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n"


def array_pickle(
    *,
    kind: str = "f8",
    state: object = PLAIN,
    shape: object = (2, 2),
    raw: object = bytes(range(32)),
    version: object = 1,
    by_columns: object = False,
    begin: object = (0,),
    code: object = b"b",
) -> bytes:
    """``{"VISp": array}`` as numpy pickles it, with what may be forged."""
    text = b"\x80\x03}X\x04\x00\x00\x00VISp" + ARRAY
    text += part(begin, 3) + part(code, 3) + b"\x87R(" + part(version, 3) + part(shape, 3)
    text += b"cnumpy\ndtype\n" + part((kind, False, True), 3) + b"R" + part(state, 3) + b"b"
    return text + part(by_columns, 3) + part(raw, 3) + b"tbs."


FORGED = {
    "pointers": {"kind": "O8", "state": (3, "|", None, None, None, -1, -1, 0), "raw": b"\x41" * 32},
    "pointers with sizes": {"kind": "O8", "state": (3, "|", None, None, None, 8, 8, 0), "raw": b"\x41" * 32},
    "pointers in a record": {"kind": "V8", "state": (3, "|", None, ("a",), {"a": ("O", 0)}, 8, 1, 0)},
    "flags that count references": {"state": (3, "<", None, None, None, -1, -1, 1)},
    "all flags": {"state": (3, "<", None, None, None, -1, -1, 63)},
    "flags of lists": {"state": (3, "|", None, None, None, -1, -1, 27)},
    "items of a megabyte": {"state": (3, "<", None, None, None, 1 << 20, 8, 0)},
    "negative items": {"state": (3, "<", None, None, None, -(1 << 40), -1, 0)},
    "another version": {"state": (9, "<", None, None, None, -1, -1, 0)},
    "a subarray": {"state": (3, "|", ("f8", (1 << 40,)), None, None, -1, -1, 0)},
    "no state": {"state": None},
    "a short state": {"state": (3, "<")},
    "texts": {"kind": "U8", "raw": b"\xff" * 32},
    "a shape beyond its bytes": {"shape": (1 << 20, 2)},
    "a shape that wraps around": {"shape": (1 << 32, 1 << 32, 4)},
    "a negative shape": {"shape": (-2, -2)},
    "a shape of truths": {"shape": (True, 4)},
    "a shape of fractions": {"shape": (2.0, 2.0)},
    "forty axes": {"shape": (1,) * 39 + (4,)},
    "too few bytes": {"raw": bytes(31)},
    "no bytes": {"raw": b""},
    "a list for bytes": {"raw": [1.0, 2.0, 3.0, 4.0]},
    "another beginning": {"begin": (4,)},
    "another code": {"code": b"O"},
}


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED)
def test_a_forged_array_is_refused_in_one_line(tmp_path: Path, forged: dict[str, object]) -> None:
    path = tmp_path / "rdms.pkl"
    path.write_bytes(array_pickle(**forged))
    with pytest.raises(BrokenArtifact, match=r"rdms\.pkl is no whole pickle") as error:
        load_restricted(path, SIMILARITY_MATRICES)
    assert "\n" not in str(error.value)


READ = """
import gc, sys
from pathlib import Path
from pipeline.core.errors import BrokenArtifact
from pipeline.formats.unpickle import SIMILARITY_MATRICES, load_restricted
for path in sorted(Path(sys.argv[1]).iterdir()):
    try:
        value = load_restricted(path, SIMILARITY_MATRICES)
        print(path, repr(value)[:100], flush=True)
        del value
    except BrokenArtifact as error:
        print(error, flush=True)
    gc.collect()
"""


def test_no_pickle_takes_the_process_down(tmp_path: Path) -> None:
    """numpy's own reader dies of the pointers (SIGSEGV), Python's of deep keys and of a memo of 64 GiB."""
    files = {name: array_pickle(**forged) for name, forged in FORGED.items()}
    deep = b")" + b"\x85" * 300_000
    files |= {
        "a deep key": b"\x80\x03}" + deep + b"Ns.",
        "deep keys": b"\x80\x03}(" + deep + b"Nu.",
        "a deep key of old": b"(" + deep + b"Nd.",
        "a deep set": b"\x80\x04\x8f(" + deep + b"\x90.",
        "deep lists": b"\x80\x03" + b"]" * 100_000 + b"a" * 99_999 + b".",
        "deep tuples": b"\x80\x03" + deep + b".",
        "huge bytes": b"\x80\x04\x8e" + (1 << 45).to_bytes(8, "little") + b".",
        "a list in itself": b"\x80\x03]q\x00h\x00a.",
        "an array that is not told": b"\x80\x03" + ARRAY + b"K\x00\x85C\x01b\x87R.",
        "a class": b"\x80\x03cnumpy\nndarray\n.",
        "a call of a text": b"\x80\x03X\x01\x00\x00\x00a)R.",
        "a new object": b"\x80\x03cnumpy\nndarray\n)\x81.",
        "filling in a dict": b"\x80\x03}}b.",
    }
    shared = b"\x80\x03cnumpy\ndtype\n" + part(("f8", False, True), 3) + b"R" + part(PLAIN, 3) + b"bq\xf0"
    shared += part(bytes(800_000), 3) + b"q\xf1]("
    one = ARRAY + part((0,), 3) + part(b"b", 3) + b"\x87R(" + part(1, 3) + part((100_000,), 3) + b"h\xf0\x89h\xf1tb"
    files["a thousand arrays of the same bytes"] = shared + one * 1000 + b"e."
    harmless = {
        "a huge frame": b"\x80\x04\x95" + (1 << 45).to_bytes(8, "little") + b"N.",
        "a huge memo": b"\x80\x03Nr\xff\xff\xff\xff.",
    }
    folder = tmp_path / "pickles"
    folder.mkdir()
    for name, content in (files | harmless).items():
        (folder / name).write_bytes(content)
    done = subprocess.run(
        [sys.executable, "-c", READ, str(folder)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout[-200:] + done.stderr[-500:]
    lines = done.stdout.splitlines()
    assert sum("is no whole pickle" in line for line in lines) == len(files)
    assert [line for line in lines if "is no whole pickle" not in line] == [
        f"{folder / name} None" for name in harmless
    ]


@pytest.mark.parametrize("kind", ["f8", "f4", "i8", "i4", "u1", "b1"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3, 4)])
def test_arrays_of_all_plain_kinds_come_back_as_numpy_wrote_them(tmp_path: Path, kind, order, shape) -> None:
    rng = np.random.default_rng(0)
    array = np.asarray(rng.integers(0, 2, shape).astype(kind), order=order)
    for one in (array, array.astype(array.dtype.newbyteorder(">"))):
        path = tmp_path / "a.pkl"
        text = pickle.dumps({"a": one, "b": [one, (1, 2.5, "x", None, True)]}, 3)
        path.write_bytes(text.replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
        got = load_restricted(path, SIMILARITY_MATRICES)
        np.testing.assert_array_equal(got["a"], one, strict=True)
        assert got["a"].dtype == one.dtype
        assert got["a"].flags.f_contiguous == one.flags.f_contiguous
        assert got["a"].flags.writeable
        assert got["b"][1] == (1, 2.5, "x", None, True)


def test_a_pickle_that_is_too_long_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.formats.unpickle.MOST_PICKLE_BYTES", 100)
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps("x" * 200))
    with pytest.raises(BrokenArtifact, match="more than the 100 bytes"):
        load_restricted(path, SIMILARITY_MATRICES)


@pytest.mark.mirror
def test_the_real_matrices_are_those_that_numpy_itself_reads() -> None:
    path = real_file("ColinConwell/DeepMouseTrap/*/neural_data/rdms_reliable.pkl")
    with open(path, "rb") as stream:
        expected = pickle.load(stream)
    got = load_restricted(path, SIMILARITY_MATRICES)
    assert {area: list(layers) for area, layers in got.items()} == {area: list(one) for area, one in expected.items()}
    for area, layers in expected.items():
        for layer, matrix in layers.items():
            np.testing.assert_array_equal(got[area][layer], matrix, strict=True)


def checkpoint(number: bytes) -> bytes:
    """What torch saves, with a pickled value under ``epoch``."""
    import torch

    saved, forged = io.BytesIO(), io.BytesIO()
    torch.save({"epoch": 1}, saved)
    with zipfile.ZipFile(saved) as source, zipfile.ZipFile(forged, "w") as target:
        for name in source.namelist():
            whole = b"\x80\x02}X\x05\x00\x00\x00epoch" + number + b"s."
            target.writestr(name, whole if name.endswith("data.pkl") else source.read(name))
    return forged.getvalue()


def scalar_pickle(kind: str = "f8", state: object = PLAIN, raw: bytes = b"\0\0\0\0\0\0\x04@") -> bytes:
    text = b"cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\n" + part((kind, False, True), 2) + b"R" + part(state, 2)
    return text + b"bc_codecs\nencode\n" + part((raw.decode("latin-1"), "latin-1"), 2) + b"R\x86R"


class TestTorch:
    def test_numbers_of_numpy_come_as_pythons_own(self, tmp_path: Path) -> None:
        pytest.importorskip("torch")
        path = tmp_path / "net.pt"
        path.write_bytes(checkpoint(scalar_pickle()))
        epoch = load_torch_state(path, NUMPY_SCALARS)["epoch"]
        assert (type(epoch), epoch) == (float, 2.5)

    @pytest.mark.parametrize(
        "forged",
        [
            {"kind": "O8"},
            {"state": (3, "<", None, None, None, -1, -1, 1)},
            {"state": (3, "<", None, None, None, -1, -1, 63)},
            {"state": (3, "<", None, None, None, 1 << 20, 8, 0)},
            {"raw": b"short"},
            {"kind": "V8"},
        ],
    )
    def test_forged_numbers_are_refused(self, tmp_path: Path, forged: dict[str, object]) -> None:
        pytest.importorskip("torch")
        path = tmp_path / "net.pt"
        path.write_bytes(checkpoint(scalar_pickle(**forged)))
        with pytest.raises(BrokenArtifact, match=r"no checkpoint of plain tensors \((its|a) number") as error:
            load_torch_state(path, NUMPY_SCALARS)
        assert "\n" not in str(error.value)

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

    def test_tensors_that_state_more_than_the_file_holds_are_refused(self, tmp_path: Path) -> None:
        torch = pytest.importorskip("torch")
        path = tmp_path / "net.pth"
        whole = torch.arange(100_000.0)
        sparse = torch.sparse_coo_tensor(torch.tensor([[0]]), torch.ones(1), (10**9,))
        refused = {
            r"tensor 'a' of \[1000000000\] has more bytes than are stored": {"a": torch.zeros(1).expand(10**9)},
            r"tensor 'b' of \[3, 100000\] has more": {"net": [{"b": whole.expand(3, -1)}]},
            r"tensor 'm' is sparse or has no values": {"m": torch.empty(10**9, device="meta")},
            r"tensor 's' is sparse": {"s": sparse},
            r"more than 8 times the bytes of the file": {f"w{i}": whole for i in range(100)},
        }
        for words, state in refused.items():
            torch.save(state, path)
            with pytest.raises(BrokenArtifact, match=rf"net\.pth is no checkpoint of plain tensors .*{words}") as error:
                load_torch_state(path)
            assert "\n" not in str(error.value)
        tied = {"a": whole, "b": whole, "turned": whole.reshape(1000, 100).T, "part": whole[5:10], "none": whole[:0]}
        for zipped in (True, False):
            torch.save(tied, path, _use_new_zipfile_serialization=zipped)
            assert load_torch_state(path)["turned"][1, 0] == 1

    def test_compressed_records_are_refused_before_they_are_unpacked(self, tmp_path: Path) -> None:
        torch = pytest.importorskip("torch")
        path, packed = tmp_path / "net.pth", tmp_path / "packed.pth"
        torch.save({"a": torch.zeros(100_000)}, path)
        with zipfile.ZipFile(path) as source, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target:
            for record in source.infolist():
                target.writestr(record.filename, source.read(record))
        with pytest.raises(BrokenArtifact, match=r"packed\.pth .*its record 'net/.*' is compressed"):
            load_torch_state(packed)

    @pytest.mark.mirror
    def test_the_real_checkpoint_needs_numbers_and_no_more(self) -> None:
        pytest.importorskip("torch")
        path = real_file("ShahabBakht/ventral-dorsal-model/*/Checkpoints/cpc_p2.pth.tar")
        with pytest.raises(BrokenArtifact, match=r"it asks for numpy\.core\.multiarray\.scalar"):
            load_torch_state(path)
        assert load_torch_state(path, NUMPY_SCALARS)["epoch"] == 100
