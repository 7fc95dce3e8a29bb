"""nibabel's reader of GIfTI, with each block of values checked before it is unpacked."""

from __future__ import annotations

import base64
import math
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.core.errors import BrokenArtifact
from pipeline.core.limits import check_room, size_in_words

if TYPE_CHECKING:
    import nibabel


def load_gifti(path: Path, remedy: str) -> nibabel.GiftiImage:
    """Read a GIfTI file whose values lie in it and have the size that it states.

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
