"""Images whose headers state more than their bytes hold, or whose values lie elsewhere, are refused without reading."""

import base64
import gzip
import os
import re
import resource
import struct
import zlib

import nibabel
import numpy as np
import pytest

from pipeline.core.errors import BrokenArtifact
from pipeline.recordings.bold.images import count_volumes, open_nifti, read_gifti, volume_chunks, voxels
from tests.recordings.bold.conftest import N_VERTICES, REMEDY, write_gifti

BLOCK_BYTES = 10_000_000


def peak_kb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def header(shape, kind=nibabel.Nifti1Header):
    made = kind()
    made.set_data_dtype(np.float32)
    made.set_data_shape(shape)
    made["magic"] = b"n+1" if kind is nibabel.Nifti1Header else b"n+2"
    made["vox_offset"] = made.single_vox_offset
    return made.binaryblock + b"\0" * 4


@pytest.mark.parametrize("kind", [nibabel.Nifti1Header, nibabel.Nifti2Header])
@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_dimensions_that_the_file_cannot_hold(tmp_path, kind, ending):
    path = tmp_path / f"scan{ending}"
    contents = header((30_000, 30_000, 30_000, 1000), kind) + b"\0" * 1000
    path.write_bytes(gzip.compress(contents) if ending.endswith("gz") else contents)
    before = peak_kb()
    with pytest.raises(BrokenArtifact, match=rf"scan{ending} .*108\.0 PB.*; {REMEDY}"):
        open_nifti(path, 4, REMEDY)
    assert peak_kb() - before < 50_000


def test_a_volume_that_may_not_be_read_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.core.limits.ARRAY_BYTES", 1 << 20)
    path = tmp_path / "scan.nii.gz"
    path.write_bytes(gzip.compress(header((60, 60, 60, 2)) + bytes(60**3 * 8)))
    with pytest.raises(BrokenArtifact, match=r"states an array of 1\.7 MB, at most 1\.0 MB are read at once"):
        open_nifti(path, 4, REMEDY)


def test_long_scans_of_small_volumes_are_not_limited(tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.core.limits.ARRAY_BYTES", 1 << 10)
    path = tmp_path / "scan.nii.gz"
    nibabel.save(nibabel.Nifti1Image(np.ones((4, 4, 4, 200), np.float32), np.eye(4)), path)
    image = open_nifti(path, 4, REMEDY)
    assert sum(chunk.shape[1] for chunk in volume_chunks(path, image, REMEDY)) == 200


def deflated_zeros(before, n_bytes):
    """A raw deflate stream of some bytes and many zeros, of which one block is packed and then repeated."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    head = packer.compress(before) + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(bytes(BLOCK_BYTES)) + packer.flush(zlib.Z_FULL_FLUSH)
    return head + block * (n_bytes // BLOCK_BYTES) + packer.flush()


def checksum_with_zeros(checksum, before, n_bytes):
    """CRC-32 or Adler-32 of some bytes and many zeros."""
    zeros, found = bytes(BLOCK_BYTES), checksum(before)
    for _ in range(n_bytes // BLOCK_BYTES):
        found = checksum(zeros, found)
    return found


def test_what_follows_the_voxels_is_not_unpacked(tmp_path):
    """A gzip of 2 GB of zeros behind a small volume."""
    path = tmp_path / "scan.nii.gz"
    volume, n_bytes = header((3, 3, 3)) + bytes(27 * 4), 2_000_000_000
    crc = checksum_with_zeros(zlib.crc32, volume, n_bytes)
    end = struct.pack("<II", crc, len(volume) + n_bytes)
    path.write_bytes(b"\x1f\x8b\x08" + bytes(6) + b"\xff" + deflated_zeros(volume, n_bytes) + end)
    before = peak_kb()
    assert voxels(path, open_nifti(path, 3, REMEDY), REMEDY).shape == (3, 3, 3)
    assert peak_kb() - before < 200_000


@pytest.mark.parametrize("offset", [1e12, -5.0, float("nan")])
def test_voxels_that_begin_far_behind(tmp_path, offset):
    path = tmp_path / "scan.nii.gz"
    contents = bytearray(header((3, 3, 3)) + bytes(108))
    contents[108:112] = np.float32(offset).tobytes()
    path.write_bytes(gzip.compress(bytes(contents)))
    with pytest.raises(BrokenArtifact, match=r"scan\.nii\.gz: its header puts the voxels at byte") as caught:
        open_nifti(path, 3, REMEDY)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("shape", [(0, 3, 3), (3, 3, 0)])
def test_no_voxel(tmp_path, shape):
    path = tmp_path / "scan.nii"
    contents = bytearray(header((3, 3, 3)) + bytes(108))
    contents[40:48] = np.array([3, *shape], np.int16).tobytes()
    path.write_bytes(bytes(contents))
    with pytest.raises(BrokenArtifact, match=r"scan\.nii"):
        open_nifti(path, 3, REMEDY)


def test_pipes_are_not_opened(tmp_path):
    for name, read in (("scan.nii.gz", lambda path: open_nifti(path, 4, REMEDY)), ("a.func.gii", surface)):
        os.mkfifo(tmp_path / name)
        with pytest.raises(BrokenArtifact, match=rf"{name} is a pipe, expected a file"):
            read(tmp_path / name)
    with pytest.raises(BrokenArtifact, match="is a pipe"):
        count_volumes(tmp_path / "a.func.gii", REMEDY)


def surface(path):
    return read_gifti(path, "fsaverage5", REMEDY)


@pytest.fixture
def gifti(tmp_path):
    """A file of one volume, and what replaces the text of its values."""
    path = write_gifti(tmp_path / "a.func.gii", np.arange(N_VERTICES, dtype=np.float32)[None])
    text = path.read_text()
    np.testing.assert_array_equal(surface(path)[0], np.arange(N_VERTICES))

    def replaced(pattern, by):
        changed, n = re.subn(pattern, lambda _: by, text, count=1, flags=re.DOTALL)
        assert n == 1
        path.write_text(changed)
        return path

    return replaced


def test_a_block_that_unpacks_to_more_than_it_states(gifti):
    n_bytes = 1_000_000_000
    adler = checksum_with_zeros(zlib.adler32, b"", n_bytes)
    packed = b"\x78\xda" + deflated_zeros(b"", n_bytes) + struct.pack(">I", adler)
    path = gifti(r"<Data>.*</Data>", f"<Data>{base64.b64encode(packed).decode()}</Data>")
    before = peak_kb()
    with pytest.raises(BrokenArtifact, match=r"a\.func\.gii: values unpack to more than the 41\.0 kB stated"):
        surface(path)
    assert peak_kb() - before < 100_000


def test_values_in_another_file(gifti, tmp_path):
    np.zeros(N_VERTICES, np.float32).tofile(tmp_path / "secret.bin")
    path = gifti(r'Encoding="GZipBase64Binary"', 'Encoding="ExternalFileBinary"')
    text = path.read_text().replace('ExternalFileName=""', 'ExternalFileName="../secret.bin"')
    path.write_text(re.sub(r"<Data>.*</Data>", "<Data></Data>", text, flags=re.DOTALL))
    with pytest.raises(BrokenArtifact, match=r"a\.func\.gii has its values in another file \('\.\./secret\.bin'\)"):
        surface(path)


def test_dimensions_of_terabytes(gifti):
    path = gifti(r'Dim0="\d+"', 'Dim0="9000000000000"')
    with pytest.raises(BrokenArtifact, match=r"states an array of 36\.0 TB"):
        surface(path)


def test_entities_that_multiply(gifti):
    levels = ['<!ENTITY e0 "lol">', *(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 12))]
    path = gifti(r"<!DOCTYPE[^>]*>", f"<!DOCTYPE GIFTI [{''.join(levels)}]>")
    named = "<MetaData><MD><Name>&e11;</Name></MD></MetaData>"
    path.write_text(re.sub(r"<MetaData\s*/>", named, path.read_text(), count=1))
    assert named in path.read_text()
    before = peak_kb()
    with pytest.raises(BrokenArtifact, match=r"a\.func\.gii is no whole GIfTI file"):
        surface(path)
    assert peak_kb() - before < 200_000
