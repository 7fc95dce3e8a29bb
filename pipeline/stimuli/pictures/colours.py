"""Which colours the numbers of a picture mean: sRGB, as screens and networks take them, or others.

A picture in other colours is refused rather than converted. Software for experiments mostly shows a picture's numbers
as they are, browsers convert them: only its owner knows which colours were seen.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.core.errors import BrokenArtifact

if TYPE_CHECKING:
    from PIL import Image

    from pipeline.stimuli.pictures.headers import PictureHeader

LARGEST_DEVIATION = 10
"""In grey levels. A gamma of 2.2 deviates from sRGB by 9, Adobe RGB and Display P3 by 30 and more."""
_GAMMA, _GAMMA_SLACK = 0.45455, 0.05
_SRGB_PRIMARIES = (0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
_PRIMARIES_SLACK = 0.01
_CICP_PRIMARIES, _CICP_TRANSFERS = (1,), (1, 6, 13)  # BT.709; BT.709, BT.601, sRGB
_PRINT_OR_LAB = {
    "CMYK": "CMYK, colours of a printer",
    "LAB": "CIE Lab",
    "HSV": "HSV",
}
_EXIF_INTEROPERABILITY = 0xA005


def refuse_other_colours(path: Path, opened: Image.Image, header: PictureHeader) -> None:
    """Refuse a picture whose numbers are not sRGB (or grey of about that gamma).

    Raises
    ------
    BrokenArtifact
        CMYK, Lab, an embedded profile that moves colours by more than `LARGEST_DEVIATION`, or PNG chunks or an Exif
        entry that name other colours; the message names the file and what its colours are.
    """
    if opened.mode in _PRINT_OR_LAB:
        raise BrokenArtifact(f"{path} is in {_PRINT_OR_LAB[opened.mode]}; save it in the RGB that the screen showed")
    found = _named_by_chunks(header) or _named_by_profile(path, opened)
    if found is None and opened.getexif().get_ifd(_EXIF_INTEROPERABILITY).get(1) == "R03":
        found = "Adobe RGB (Exif)"
    if found is not None:
        raise BrokenArtifact(
            f"{path} is in the colours of '{found}', not sRGB; convert it to sRGB if it was shown with colour "
            "management (browsers), save it without that profile if its numbers were shown as they are (most software "
            "for experiments)"
        )


def _named_by_chunks(header: PictureHeader) -> str | None:
    """Colours other than sRGB that the chunks of a PNG name: cICP before sRGB before gAMA and cHRM."""
    chunks = header.chunks
    if "cICP" in chunks:
        primaries, transfer = chunks["cICP"][:2]
        known = primaries in _CICP_PRIMARIES and transfer in _CICP_TRANSFERS
        return None if known else f"cICP primaries {primaries}, transfer {transfer}"
    if "sRGB" in chunks:
        return None
    if "gAMA" in chunks:
        gamma = int.from_bytes(chunks["gAMA"], "big") / 1e5
        if abs(gamma - _GAMMA) > _GAMMA_SLACK:
            return f"gamma {1 / gamma:.3g}" if gamma else "gamma 0"
    if "cHRM" in chunks:
        stated = [int.from_bytes(chunks["cHRM"][at : at + 4], "big") / 1e5 for at in range(0, 32, 4)]
        if any(abs(a - b) > _PRIMARIES_SLACK for a, b in zip(stated, _SRGB_PRIMARIES, strict=True)):
            return "cHRM primaries " + " ".join(f"{value:.3g}" for value in stated)
    return None


def _named_by_profile(path: Path, opened: Image.Image) -> str | None:
    """The name of an embedded profile whose colours are not sRGB's."""
    profile = opened.info.get("icc_profile")
    if not profile:
        return None
    from PIL import ImageCms

    try:
        name, deviation = _deviation(bytes(profile))
    except (ImageCms.PyCMSError, OSError, ValueError) as error:
        raise BrokenArtifact(
            f"{path} has a colour profile that cannot be read ({error}); save it without the profile"
        ) from error
    return name if deviation > LARGEST_DEVIATION else None


@functools.lru_cache(maxsize=64)
def _deviation(profile: bytes) -> tuple[str, int]:
    """Name of an ICC profile, and how far it moves a grid of colours (or greys) in sRGB, in grey levels."""
    import io

    import numpy as np
    from PIL import Image, ImageCms

    embedded = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    name = str(ImageCms.getProfileDescription(embedded)).strip() or "unnamed profile"
    space = embedded.profile.xcolor_space.strip()
    steps = np.arange(0, 256, 15, dtype=np.uint8)
    if space == "GRAY":
        mode, shown = "L", np.repeat(steps[None, :, None], 3, axis=2)
        picture = Image.fromarray(steps[None])
    elif space == "RGB":
        mode, shown = "RGB", np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(1, -1, 3)
        picture = Image.fromarray(shown)
    else:
        return name, 255
    transform = ImageCms.buildTransform(
        embedded, ImageCms.createProfile("sRGB"), mode, "RGB", ImageCms.Intent.RELATIVE_COLORIMETRIC
    )
    moved = np.asarray(ImageCms.applyTransform(picture, transform), dtype=int)
    return name, int(np.abs(moved - shown).max())
