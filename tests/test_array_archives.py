"""Archives of arrays that state more than they hold, or too much, are refused before they are unpacked."""

import io
import os
import threading
import zipfile

import numpy as np
import pytest

from pipeline.core.errors import BrokenArtifact
from pipeline.fetch.checks.inner_checks import check_inside
from pipeline.fetch.failures import WrongContents
from pipeline.formats.array_files import check_npz

REMEDY = "fetch it again"


def npy_header(shape, dtype="<f8"):
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": dtype, "fortran_order": False, "shape": shape})
    return stream.getvalue()


def write(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, contents in members.items():
            archive.writestr(name, contents)
    return path


def refused(path):
    with pytest.raises(BrokenArtifact) as caught:
        check_npz(path, REMEDY)
    with pytest.raises(WrongContents, match=r"^https://host/e\.npz"):
        check_inside(path, "e.npz", ("ev",), "https://host/e.npz")
    assert "\n" not in str(caught.value) and "fetch it again" in str(caught.value)
    return str(caught.value)


def test_arrays_as_numpy_writes_them_are_taken(tmp_path):
    sparse = np.zeros((50, 20_000))
    sparse[::7, ::991] = 1.5
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "e.npz", ev=sparse, name=np.array("x"), none=np.zeros((0, 3), np.int8))
        check_npz(tmp_path / "e.npz", REMEDY)
        check_inside(tmp_path / "e.npz", "e.npz", ("ev", "none"), "here")


def test_a_header_that_states_terabytes(tmp_path):
    path = write(tmp_path / "e.npz", {"ev.npy": npy_header((1 << 20, 1 << 20)) + b"\0" * 800})
    assert "e.npz: ev.npy has 928 B, its header states 8.8 TB" in refused(path)


def test_a_header_that_states_more_than_a_float_holds(tmp_path):
    path = write(tmp_path / "e.npz", {"ev.npy": npy_header((10**400,))})
    assert "e.npz: ev.npy has 512 B, its header states over 1,000 PB" in refused(path)


def test_broken_bytes_in_a_whole_archive(tmp_path):
    """They make the unpacker, or numpy's reader of old headers, raise errors of their own."""
    packed = tmp_path / "packed.npz"
    np.savez_compressed(packed, ev=np.arange(1000.0))
    contents = bytearray(packed.read_bytes())
    at = 30 + int.from_bytes(contents[26:28], "little") + int.from_bytes(contents[28:30], "little")
    contents[at : at + 4] = b"\xff\xff\xff\xff"
    packed.write_bytes(contents)
    header = write(tmp_path / "header.npz", {"ev.npy": npy_header((3,)).replace(b"(3,)", b"(((,")})
    for path in (packed, header):
        with pytest.raises(WrongContents, match=r"^here does not open as \.npz .*cut short or altered there$"):
            check_inside(path, path.name, ("ev",), "here")


def test_an_archive_that_unpacks_to_more_than_may_be_read(tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.core.limits.ARRAY_BYTES", 1 << 20)
    np.savez_compressed(tmp_path / "e.npz", a=np.zeros(100_000), b=np.zeros(100_000))
    assert (tmp_path / "e.npz").stat().st_size < 4000
    assert "e.npz states an array of 1.6 MB, at most 1.0 MB are read at once" in refused(tmp_path / "e.npz")


def test_a_directory_that_overstates(tmp_path):
    """The size in the archive's directory raised to 4 GB, which the member's bytes cannot come to."""
    path = write(tmp_path / "e.npz", {"ev.npy": npy_header((10,)) + bytes(80)})
    contents = bytearray(path.read_bytes())
    entry = contents.index(b"PK\x01\x02")
    contents[entry + 24 : entry + 28] = (0xFFFFFFF0).to_bytes(4, "little")
    path.write_bytes(contents)
    assert "states an array of 4.3 GB, but has" in refused(path)


def test_objects_and_too_many_members(tmp_path, monkeypatch):
    np.savez(tmp_path / "e.npz", ev=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="Python objects"):
        check_npz(tmp_path / "e.npz", REMEDY)
    monkeypatch.setattr("pipeline.formats.array_files.ARCHIVE_MEMBERS", 5)
    assert "has 6 members, 5 are read at most" in refused(write(tmp_path / "m.npz", {f"{n}.txt": "" for n in range(6)}))


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "e.npz")
    done = threading.Event()

    def look():
        with pytest.raises(BrokenArtifact, match="is a pipe, expected a file"):
            check_npz(tmp_path / "e.npz", REMEDY)
        done.set()

    threading.Thread(target=look, daemon=True).start()
    assert done.wait(5)
