"""BOLD images: NIfTI volumes and GIfTI surfaces, read in parts and refused in one line where they are not whole."""

from __future__ import annotations

import base64
import dataclasses
import math
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.parsers.expat import ExpatError

from pipeline.core.errors import BrokenArtifact, SampleMismatch
from pipeline.core.limits import NIFTI_EXTENSION_BYTES, check_backed, check_plain_file, check_room, size_in_words

if TYPE_CHECKING:
    import nibabel
    import numpy as np

SECONDS_PER = {"sec": 1.0, "msec": 1e-3, "usec": 1e-6, "unknown": 1.0}
N_VERTICES = {"fsaverage5": 10_242, "fsaverage6": 40_962, "fsaverage": 163_842}
"""Per hemisphere; the vertices of a coarser mesh are the first ones of each finer mesh."""
CHUNK_BYTES = 64 << 20
HEAD_BYTES = 1 << 20
_DAMAGE = (EOFError, zlib.error, OSError, ValueError, ExpatError)


@dataclasses.dataclass(frozen=True)
class Described:
    """What the header of a scan's image says.

    Parameters
    ----------
    is_surface : GIfTI of two hemispheres, or one NIfTI
    n_volumes : of the file
    repetition_time_s : in s, 0 where it states none, as GIfTI files do
    """

    is_surface: bool
    n_volumes: int
    repetition_time_s: float


def describe(images: tuple[Path, ...], remedy: str) -> Described:
    """Read headers only.

    Parameters
    ----------
    images : one NIfTI, or the left and the right hemisphere's GIfTI
    remedy : what to do where a file is missing or damaged, for messages

    Raises
    ------
    BrokenArtifact
        A file is missing, or of another kind.
    SampleMismatch
        Hemispheres differ in their volumes.
    """
    surfaces = [path.name.endswith(".gii") for path in images]
    if len(images) == 2 and all(surfaces):
        left, right = (_gifti_volumes(path, remedy) for path in images)
        if left != right:
            raise SampleMismatch(f"{images[0]} has {left} volumes and {images[1].name} {right}; {remedy}")
        return Described(True, left, 0.0)
    if len(images) != 1 or surfaces[0]:
        names = ", ".join(str(path) for path in images)
        raise BrokenArtifact(f"{names}: expected one NIfTI, or a GIfTI of the left and one of the right hemisphere")
    image = open_nifti(images[0], 4, remedy)
    return Described(False, int(image.shape[3]), header_repetition_time(image))


def count_volumes(path: Path, remedy: str) -> int:
    """Volumes of one NIfTI or GIfTI by its header; errors as in `describe`."""
    return _gifti_volumes(path, remedy) if path.name.endswith(".gii") else int(open_nifti(path, 4, remedy).shape[3])


def header_repetition_time(image: nibabel.Nifti1Image) -> float:
    """TR in s by the header of a 4-D image; 0 where its unit is no time."""
    return float(image.header.get_zooms()[3]) * SECONDS_PER.get(image.header.get_xyzt_units()[1], 0.0)


def open_nifti(path: Path, n_dimensions: int, remedy: str) -> nibabel.Nifti1Image:
    """Open an image; its voxels are read later by `voxels` or `volume_chunks`.

    Raises
    ------
    BrokenArtifact
        It is missing, no NIfTI, or has another number of dimensions.
    """
    import nibabel
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError

    _check_there(path, remedy)
    try:
        _check_extensions(path, remedy)
        # Kept open, so that chunks in their order need not decompress the file from its start.
        image = nibabel.load(path, keep_file_open=True)
    except (ImageFileError, HeaderDataError, TypeError, *_DAMAGE) as error:
        raise BrokenArtifact(f"{path} is no NIfTI image ({_reason(error)}); {remedy}") from error
    if not isinstance(image, nibabel.Nifti1Image):
        raise BrokenArtifact(f"{path} is a {type(image).__name__}, expected NIfTI; {remedy}")
    _check_header(path, image, remedy)
    if len(image.shape) != n_dimensions:
        raise BrokenArtifact(f"{path} has shape {image.shape}, expected {n_dimensions} dimensions; {remedy}")
    return image


def _check_header(path: Path, image: nibabel.Nifti1Image, remedy: str) -> None:
    """Compare what a header states with the file's bytes, and the part that is read at once with what may be read."""
    if not image.shape or min(image.shape) < 1:
        raise BrokenArtifact(f"{path} has shape {image.shape}: it holds no voxel; {remedy}")
    stated, size = math.prod(image.shape) * image.get_data_dtype().itemsize, path.stat().st_size
    if path.suffix == ".nii" and stated > size:
        raise BrokenArtifact(
            f"{path} is truncated: its header states voxels of {size_in_words(stated)}, it has {size_in_words(size)}; "
            f"{remedy}"
        )
    if path.suffix == ".gz":
        check_backed(path, stated, size, remedy)
    check_room(path, math.prod(image.shape[:3]) * 8, remedy)


def _check_extensions(path: Path, remedy: str) -> None:
    """nibabel reads all that stands before the voxels; refuse a header that says they begin far behind."""
    import struct

    from nibabel.openers import ImageOpener

    with ImageOpener(str(path)) as stream:
        head = stream.read(176)
    for order in "<>":
        for size, place, kind in ((348, 108, "f"), (540, 168, "q")):
            if head[:4] == struct.pack(f"{order}i", size) and len(head) == 176:
                (offset,) = struct.unpack_from(f"{order}{kind}", head, place)
                if not 0 <= offset <= NIFTI_EXTENSION_BYTES:
                    raise BrokenArtifact(f"{path}: its header puts the voxels at byte {offset:g}; {remedy}")


def voxels(path: Path, image: nibabel.Nifti1Image, remedy: str) -> np.ndarray:
    """All voxels, scaled as the header says; raises `BrokenArtifact` if the file ends early or its checksum fails."""
    import numpy as np

    try:
        return np.asanyarray(image.dataobj)
    except _DAMAGE as error:
        raise BrokenArtifact(f"{path} is truncated or altered ({_reason(error)}); {remedy}") from error


def volume_chunks(path: Path, image: nibabel.Nifti1Image, remedy: str) -> Iterator[np.ndarray]:
    """Some volumes after the other, each (n_voxels, n) float32, voxels in Fortran order.

    Raises
    ------
    BrokenArtifact
        The file ends early or its checksum fails.
    """
    import numpy as np

    n_voxels, n_volumes = int(np.prod(image.shape[:3])), image.shape[3]
    step = max(1, CHUNK_BYTES // (8 * n_voxels))
    for first in range(0, n_volumes, step):
        try:
            chunk = np.asanyarray(image.dataobj[..., first : first + step])
        except _DAMAGE as error:
            raise BrokenArtifact(f"{path} is truncated or altered ({_reason(error)}); {remedy}") from error
        yield chunk.reshape(n_voxels, -1, order="F").astype(np.float32, copy=False)


def read_gifti(
    path: Path,
    mesh: str,
    remedy: str,
    vertices: np.ndarray | None = None,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """One hemisphere's time series on the vertices of a mesh.

    Parameters
    ----------
    mesh : ``fsaverage5`` or ``fsaverage6``; the file may have a finer one, whose first vertices are taken
    vertices : numbers of those to keep; None keeps all of the mesh
    out : (n_volumes, n_vertices) float32 that takes the values

    Returns
    -------
    (n_volumes, n_vertices) float32

    Raises
    ------
    BrokenArtifact
        It is missing, damaged, no GIfTI of data, its vertices are not those of a mesh that is fine enough, or it has
        another number of volumes than ``out``.
    """
    import numpy as np
    from nibabel.filebasedimages import ImageFileError

    _check_there(path, remedy)
    try:
        image = _load_gifti(path, remedy)
    except (ImageFileError, KeyError, IndexError, TypeError, AttributeError, *_DAMAGE) as error:
        raise BrokenArtifact(f"{path} is no whole GIfTI file ({_reason(error)}); {remedy}") from error
    arrays = image.darrays
    sizes = {array.data.shape[0] for array in arrays if array.data is not None and array.data.ndim}
    if len(sizes) != 1 or any(array.intent in (1008, 1009) for array in arrays):
        raise BrokenArtifact(f"{path} holds no time series (shapes {sorted(sizes)}); it may be a mesh: check the file")
    n_vertices, n_kept = sizes.pop(), N_VERTICES[mesh]
    if n_vertices not in N_VERTICES.values() or n_vertices < n_kept:
        raise BrokenArtifact(
            f"{path} has {n_vertices} vertices, expected {n_kept} of {mesh} or those of a finer fsaverage; "
            "choose another mesh or other files"
        )
    n_volumes = sum(array.data.size for array in arrays) // n_vertices
    kept = slice(n_kept) if vertices is None else vertices
    values = np.empty((n_volumes, n_kept if vertices is None else vertices.size), np.float32) if out is None else out
    if values.shape[0] != n_volumes:
        raise BrokenArtifact(f"{path} holds {n_volumes} volumes, expected {values.shape[0]}; {remedy}")
    row = 0
    arrays.reverse()
    while arrays:
        # Each is let go once it is copied.
        columns = arrays.pop().data.reshape(n_vertices, -1)
        values[row : row + columns.shape[1]] = columns[kept].T
        row += columns.shape[1]
    return values


def _gifti_volumes(path: Path, remedy: str) -> int:
    """Number of data arrays by the head of the file, or the second dimension of the only one."""
    _check_there(path, remedy)
    with open(path, "rb") as stream:
        head = stream.read(HEAD_BYTES).decode("ascii", errors="replace")
    found = re.search(r"<GIFTI[^>]*NumberOfDataArrays\s*=\s*[\"'](\d+)[\"']", head)
    if found is None:
        raise BrokenArtifact(f"{path} is no GIfTI file (it begins with {head[:40]!r}); {remedy}")
    n_arrays = int(found[1])
    second = re.search(r"<DataArray[^>]*Dim1\s*=\s*[\"'](\d+)[\"']", head)
    return int(second[1]) if n_arrays == 1 and second is not None else n_arrays


def _check_there(path: Path, remedy: str) -> None:
    if not path.exists():
        raise BrokenArtifact(f"{path} is missing; {remedy}")
    check_plain_file(path, remedy)


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__


def _load_gifti(path: Path, remedy: str) -> nibabel.GiftiImage:
    """nibabel's reader, with each block of values checked before it is unpacked: in the file, and of its stated size.

    Raises
    ------
    BrokenArtifact
        Values lie in another file, or come to more than is stated or may be read.
    """
    image: nibabel.GiftiImage = _bounded_image(path, remedy).from_filename(path)
    return image


def _bounded_image(path: Path, remedy: str) -> Any:
    from nibabel.gifti import GiftiImage
    from nibabel.gifti.parse_gifti_fast import GiftiImageParser

    class Parser(GiftiImageParser):
        def flush_chardata(self) -> None:
            if self.write_to == "Data":
                _check_block(path, self.da, "".join(self._char_blocks or ()), remedy)
            super().flush_chardata()

    class Image(GiftiImage):
        parser = Parser

    return Image


def _check_block(path: Path, array: Any, text: str, remedy: str) -> None:
    """Compare a block with what its attributes state; a gzipped one is unpacked up to that size to see."""
    from nibabel.gifti.util import gifti_encoding_codes
    from nibabel.nifti1 import data_type_codes

    encoding = gifti_encoding_codes.label[array.encoding]
    if encoding == "External":
        raise BrokenArtifact(f"{path} has its values in another file ({array.ext_fname!r:.80}); {remedy}")
    dtype: Any = data_type_codes.dtype[array.datatype]
    stated = math.prod(array.dims) * int(dtype.itemsize)
    check_room(path, stated, remedy)
    if encoding == "B64GZ":
        unpacked = zlib.decompressobj().decompress(base64.b64decode(text.encode("ascii")), stated + 1)
        if len(unpacked) > stated:
            raise BrokenArtifact(f"{path}: values unpack to more than the {size_in_words(stated)} stated; {remedy}")
