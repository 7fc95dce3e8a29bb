"""HDF5 files that lead to other files, or state more than they hold, are refused before anything of them is read."""

import h5py
import numpy as np
import pytest

from pipeline.core.errors import BrokenArtifact
from pipeline.fetch.checks.inner_checks import check_inside
from pipeline.fetch.failures import WrongContents
from pipeline.formats.array_files import check_hdf5
from pipeline.recordings.allen.neuropixels.nwb import NeuropixelsFile
from pipeline.recordings.allen.two_photon.nwb import TwoPhotonFile

REMEDY = "fetch it again"


@pytest.fixture
def secret(tmp_path):
    path = tmp_path / "secret.h5"
    with h5py.File(path, "w") as file:
        file["values"] = np.arange(4.0)
    return path


def external_link(file, secret):
    file["group/deep/link"] = h5py.ExternalLink(str(secret), "/values")


def external_link_elsewhere(file, secret):
    file["group/gone"] = h5py.ExternalLink("../nowhere.h5", "/")


def external_storage(file, secret):
    file.create_group("group").create_dataset("raw", (16,), "u1", external=[(str(secret), 0, 16)])


def virtual(file, secret):
    layout = h5py.VirtualLayout((4,), "f8")
    layout[:] = h5py.VirtualSource(str(secret), "values", (4,))
    file.create_group("group").create_virtual_dataset("virtual", layout)


def huge(file, secret):
    file.create_group("group").create_dataset("huge", (1 << 40, 8), "f8", chunks=(1024, 8), compression="gzip")


LEADING_OUT = {
    external_link: r"/group/deep/link is a link to another file \('.*secret\.h5'\)",
    external_link_elsewhere: r"/group/gone is a link to another file \('\.\./nowhere\.h5'\)",
    external_storage: r"/group/raw has its values in another file \('.*secret\.h5'\)",
    virtual: r"/group/virtual is put together from other files \('.*secret\.h5'\)",
    huge: r"/group/huge states an array of 70\.4 TB \(shape \(1099511627776, 8\)\), but has 0 B for it",
}


@pytest.fixture(params=LEADING_OUT, ids=lambda make: make.__name__)
def wrong(request, tmp_path, secret):
    path = tmp_path / "file.nwb"
    with h5py.File(path, "w") as file:
        file["here"] = np.zeros(3)
        request.param(file, secret)
    return path, LEADING_OUT[request.param]


def test_each_kind_is_named(wrong):
    path, message = wrong
    with pytest.raises(BrokenArtifact, match=rf"file\.nwb: {message}; fetch it again") as caught:
        check_hdf5(path, REMEDY)
    assert "\n" not in str(caught.value)


def test_readers_of_experiments_refuse_them(wrong):
    path, message = wrong
    with pytest.raises(BrokenArtifact, match=rf"file\.nwb: {message}; fetch it again"):
        TwoPhotonFile(path, REMEDY)
    with (
        pytest.raises(BrokenArtifact, match=rf"file\.nwb: {message}; fetch it again"),
        NeuropixelsFile(path, None, REMEDY),
    ):
        pass


def test_fetch_refuses_them(wrong):
    path, message = wrong
    with pytest.raises(WrongContents, match=rf"https://host/file\.nwb: {message}"):
        check_inside(path, "file.nwb", ("here",), "https://host/file.nwb")


def test_what_stays_in_the_file_is_taken(tmp_path):
    path = tmp_path / "file.nwb"
    with h5py.File(path, "w") as file:
        file["values"] = np.arange(4.0)
        file["again"] = file["values"]
        file["soft"] = h5py.SoftLink("/values")
        file["nowhere"] = h5py.SoftLink("/nothing")
        file.create_group("loop")["back"] = file["/"]
        file.create_dataset("zeros", (1 << 24,), "f8", chunks=(1 << 20,), compression="gzip", fillvalue=0)[:] = 0
        file.create_dataset("declared", (1000, 1000), "f8")
        file["refs"] = np.array([file["values"].ref], dtype=h5py.ref_dtype)
        file["empty"] = h5py.Empty("f4")
        file["text"] = "words"
    check_hdf5(path, REMEDY)
    check_inside(path, "file.nwb", ("values", "loop"), "here")


def test_a_large_array_of_zeros_that_is_there_is_taken(tmp_path, monkeypatch):
    """Over the size that needs no bytes, compressed as far as gzip can."""
    monkeypatch.setattr("pipeline.formats.array_files.UNBACKED_BYTES", 1 << 20)
    path = tmp_path / "zeros.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("zeros", data=np.zeros(1 << 22), chunks=(1 << 19,), compression="gzip", compression_opts=9)
        assert file["zeros"].id.get_storage_size() * 500 < 8 << 22
    check_hdf5(path, REMEDY)


def test_too_many_objects(tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.formats.array_files.HDF5_OBJECTS", 50)
    path = tmp_path / "many.h5"
    with h5py.File(path, "w") as file:
        for number in range(60):
            file.create_group(f"g{number}")
    with pytest.raises(BrokenArtifact, match=r"many\.h5 has over 50 objects"):
        check_hdf5(path, REMEDY)
