"""The one door for picture files: grey levels or colours of 8 bits, as they were displayed, as images or a movie."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.core.errors import BrokenArtifact
from pipeline.stimuli.file_remarks import Notes, refuse_placeholder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    import xarray as xr
    from PIL import Image

REMEDY = "save it anew as PNG"
FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP")
"""By content, whatever a name ends in. Others that Pillow reads may hold more bits than it lets one see."""
_FILLERS = (b"\x55" * 64, b"\xa7" * 64)


def read_pictures(paths: Sequence[Path], *, remedy: str = REMEDY) -> np.ndarray:
    """Read pictures of one size; what is odd about them is said on stderr, one line per kind.

    Returns
    -------
    (n_pictures, y, x, colour) uint8; three colours where any picture has them

    Raises
    ------
    BrokenArtifact
        As `read_picture`, or sizes that differ.
    """
    import numpy as np

    notes, pictures = Notes(), []
    for path in paths:
        pictures.append(read_picture(path, notes, remedy=remedy))
        if pictures[-1].shape[:2] != pictures[0].shape[:2]:
            found, expected = (f"{p.shape[1]}×{p.shape[0]}" for p in (pictures[-1], pictures[0]))
            raise BrokenArtifact(
                f"{path} has {found} pixels and {paths[0].name} {expected}; bring all pictures to one size"
            )
    n_colours = max(picture.shape[2] for picture in pictures)
    grey = [path for path, picture in zip(paths, pictures, strict=True) if picture.shape[2] < n_colours]
    for path in grey:
        notes.add(
            "grey", path, f"{len(grey)} of {len(pictures)} pictures are grey; they are taken as colours of equal parts"
        )
    if max(int(picture.max()) for picture in pictures) <= 1:
        notes.add(
            "dark", paths[0].parent, "no picture has a value above 1 of 255; multiply by 255 if 1 stands for white"
        )
    notes.say()
    return np.stack([np.broadcast_to(picture, (*picture.shape[:2], n_colours)) for picture in pictures])


def read_picture(path: Path, notes: Notes, *, remedy: str = REMEDY) -> np.ndarray:
    """A picture as it is displayed, turned as Exif says: uint8 ``(y, x, colour)`` with one colour (grey) or three.

    Parameters
    ----------
    notes : takes what is odd and no fault: one value everywhere, bytes that follow the picture
    remedy : what the user can do about a broken file, for the message

    Raises
    ------
    BrokenArtifact
        Not a picture, cut short, several in one file, more than 8 bits per colour, colours other than sRGB, transparent
        parts, or more pixels than Pillow takes for safe.
    """
    refuse_placeholder(path, "picture", remedy)
    return decode_picture(path.read_bytes(), path, notes, remedy=remedy)


def decode_picture(content: bytes, path: Path, notes: Notes, *, remedy: str = REMEDY) -> np.ndarray:
    """As `read_picture`, of the bytes of a file that lies in an archive.

    Parameters
    ----------
    path : what the file is called in messages
    """
    import numpy as np
    from PIL import ImageOps

    from pipeline.stimuli.pictures.colours import refuse_other_colours
    from pipeline.stimuli.pictures.headers import picture_header

    with _one_line(path, remedy):
        opened = _open(content)
        n_frames, mode = getattr(opened, "n_frames", 1), opened.mode
        if n_frames > 1:
            raise BrokenArtifact(f"{path} holds {n_frames} pictures; give a file of its own to each")
        header = picture_header(path, content, opened, remedy)
        if header.bits > 8 or mode == "F" or mode.startswith("I"):
            raise BrokenArtifact(
                f"{path} has more than 8 bits per colour ({header.bits}, mode {mode}); save it with 8 bits"
            )
        refuse_other_colours(path, opened, header)
        clear = mode in ("RGBA", "LA", "PA") or "transparency" in opened.info
        shown = ImageOps.exif_transpose(opened).convert("RGBA" if clear else "L" if mode in ("1", "L") else "RGB")
        pixels = np.asarray(shown, dtype=np.uint8)
        if opened.format in ("JPEG", "MPO") and header.end is not None:
            _refuse_missing_data(path, content[: header.end], np.asarray(opened), remedy)
    if clear:
        if pixels[..., 3].min() < 255:
            raise BrokenArtifact(f"{path} has transparent parts; save it on the background that was shown")
        pixels = pixels[..., :3]
    pixels = pixels if pixels.ndim == 3 else pixels[..., None]
    if header.end is not None and header.end < len(content):
        notes.add("tail", path, f"{len(content) - header.end:,} bytes follow the picture; they are left out")
    # colour by colour, as numpy is slow along an axis of three
    if all((pixels[..., colour] == pixels[0, 0, colour]).all() for colour in range(pixels.shape[2])):
        notes.add("constant", path, f"all pixels are equal ({', '.join(str(value) for value in pixels[0, 0])})")
    return pixels


def _open(content: bytes) -> Image.Image:
    from PIL import Image

    return Image.open(io.BytesIO(content), formats=FORMATS)


def _refuse_missing_data(path: Path, jpeg: bytes, as_it_is: np.ndarray, remedy: str) -> None:
    """Refuse a JPEG that has its end but lacks data before it, which libjpeg fills with grey without a word.

    A whole picture leaves bytes between its data and its end unread; one that lacks data takes them for its own.
    """
    import numpy as np

    # two, as what is lacking may happen to begin like one of them
    if any(not np.array_equal(as_it_is, np.asarray(_open(jpeg[:-2] + filler + jpeg[-2:]))) for filler in _FILLERS):
        raise BrokenArtifact(f"{path} lacks data of its last rows, which would be filled with grey; {remedy}")


@contextlib.contextmanager
def _one_line(path: Path, remedy: str) -> Iterator[None]:
    """What Pillow says of broken files as `BrokenArtifact`, and no picture of which a part is missing."""
    import warnings

    from PIL import Image, ImageFile

    lenient, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield
    except BrokenArtifact:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        said = str(error).partition(",")[0]
        raise BrokenArtifact(f"{path} is too large for a picture ({said}); save it with fewer pixels") from error
    except Exception as error:  # Pillow answers broken bytes with OSError, ValueError, SyntaxError, struct.error …
        said = "no " + ", ".join(FORMATS) if isinstance(error, Image.UnidentifiedImageError) else str(error)
        raise BrokenArtifact(f"{path} cannot be read as a picture ({said}); {remedy}") from error
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = lenient


def images_stimulus(
    name: str, pictures: np.ndarray, items: Sequence[str], categories: Sequence[str] | None = None
) -> xr.Dataset:
    """The contract of modality ``images``.

    Parameters
    ----------
    pictures : (n_pictures, y, x, colour) uint8
    items : the names by which a recording refers to the pictures
    categories : one per picture, where known
    """
    import numpy as np
    import xarray as xr

    coords: dict[str, tuple[str, np.ndarray]] = {"item": ("image", np.asarray(items))}
    if categories is not None:
        coords["category"] = ("image", np.asarray(categories))
    return xr.Dataset(
        {"images": (("image", "y", "x", "colour"), pictures, {"units": "grey level"})},
        coords=coords,
        attrs={"modality": "images", "name": name},
    )


def movie_stimulus(name: str, frames: np.ndarray, frame_rate_hz: float) -> xr.Dataset:
    """The contract of modality ``movie``.

    Parameters
    ----------
    frames : (n_frames, y, x) grey or (n_frames, y, x, colour), uint8; `write_stimulus` refuses other numbers
    frame_rate_hz : frames shown per second
    """
    import numpy as np
    import xarray as xr

    pictures = frames[..., None] if frames.ndim == 3 else frames
    return xr.Dataset(
        {"frames": (("frame", "y", "x", "colour"), np.ascontiguousarray(pictures), {"units": "grey level"})},
        attrs={"modality": "movie", "name": name, "frame_rate_hz": float(frame_rate_hz)},
    )
