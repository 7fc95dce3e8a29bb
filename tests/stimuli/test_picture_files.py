"""Pictures: bits, colours and completeness from the file itself; what is refused, said, and left as it was."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import skimage
import tifffile
from PIL import Image, ImageCms, ImageFile

from pipeline.core.errors import BrokenArtifact
from pipeline.stimuli.file_remarks import Notes
from pipeline.stimuli.pictures.picture_files import read_picture, read_pictures

EXAMPLES = Path(skimage.__file__).parent / "data"
COLOURS = np.random.default_rng(0).integers(0, 256, (40, 48, 3), dtype=np.uint8)
SMOOTH = np.asarray(Image.fromarray(COLOURS[:8, :8]).resize((48, 40), Image.Resampling.BICUBIC))
SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY, RGB, PALETTE, GREY_ALPHA = 0, 2, 3, 4


def png_chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(rows: np.ndarray, *, depth: int = 8, kind: int = RGB, width: int = 48, chunks: bytes = b"") -> bytes:
    """Rows of packed bytes as a PNG; ``chunks`` come before the data."""
    header = struct.pack(">IIBBBBB", width, len(rows), depth, kind, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    return SIGNATURE + png_chunk(b"IHDR", header) + chunks + png_chunk(b"IDAT", data) + png_chunk(b"IEND", b"")


def encoded(picture: np.ndarray, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, kind, **options)
    return stream.getvalue()


def tiff(values: np.ndarray, **options: object) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(stream, values, **options)
    return stream.getvalue()


def read(path: Path, content: bytes) -> np.ndarray:
    path.write_bytes(content)
    return read_picture(path, Notes())


def refusal(path: Path, content: bytes) -> str:
    with pytest.raises(BrokenArtifact) as caught:
        read(path, content)
    assert str(caught.value).startswith(f"{path} ") and "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (png(COLOURS), COLOURS),
        (png(COLOURS[..., 0], kind=GREY), COLOURS[..., :1]),
        (png(np.packbits(COLOURS[..., 0] > 99, axis=1), depth=1, kind=GREY), 255 * (COLOURS[..., :1] > 99)),
        (png(COLOURS[:, :12, 0], depth=2, kind=GREY), None),
        (png(COLOURS[:, :24, 0], depth=4, kind=GREY), None),
        (png(np.dstack([COLOURS, np.full((40, 48), 255, np.uint8)]), kind=6), COLOURS),
        (tiff(COLOURS, photometric="rgb"), COLOURS),
        (tiff(255 - COLOURS[..., 0], photometric="miniswhite"), COLOURS[..., :1]),
        (encoded(COLOURS, "TIFF", compression="tiff_lzw"), COLOURS),
        (encoded(COLOURS, "BMP"), COLOURS),
        (encoded(COLOURS, "WEBP", lossless=True), COLOURS),
    ],
)
def test_eight_bits_or_fewer_are_read_as_they_are_whatever_the_name(
    content: bytes, expected: np.ndarray | None, tmp_path: Path
) -> None:
    picture = read(tmp_path / "picture.jpg", content)
    if expected is None:  # 2 and 4 bits are spread over 0 to 255
        bits = content[len(SIGNATURE) + 16]
        packed = COLOURS[:, : 48 * bits // 8, 0]
        values = np.stack([packed >> shift & (2**bits - 1) for shift in range(8 - bits, -1, -bits)], axis=-1)
        expected = values.reshape(40, 48, 1) * (255 // (2**bits - 1))
    assert picture.dtype == np.uint8
    np.testing.assert_array_equal(picture, expected)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}, {"restart_marker_blocks": 2}])
@pytest.mark.parametrize("grey", [False, True])
def test_a_jpeg_is_read_whole_or_refused(options: dict[str, object], grey: bool, tmp_path: Path) -> None:
    """Also where an end was put behind what is left of it, which libjpeg fills with grey."""
    path = tmp_path / "picture.jpg"
    content = encoded(SMOOTH[..., 0] if grey else SMOOTH, "JPEG", **options)
    np.testing.assert_array_equal(read(path, content), np.asarray(Image.open(path)).reshape(40, 48, 1 if grey else 3))
    assert "is cut short: its end (EOI) is not there" in refusal(path, content[:-2])
    for share in (0.7, 0.9, 0.99):
        cut = content[: int(share * len(content))].rstrip(b"\xff")
        assert "cannot be read" in (line := refusal(path, cut)) or "is cut short" in line
        assert any(said in refusal(path, cut + b"\xff\xd9") for said in ("lacks data of its last rows", "is cut short"))


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP", "GIF", "WEBP"])
def test_what_is_cut_short_is_refused_even_where_pillow_was_told_to_be_lenient(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    content = encoded(COLOURS, kind)
    read(tmp_path / "picture.png", content)
    for share in (0.5, 0.9, 0.995):
        line = refusal(tmp_path / "picture.png", content[: int(share * len(content))])
        assert "cannot be read as a picture" in line or "is cut short" in line
    assert ImageFile.LOAD_TRUNCATED_IMAGES


def altered_png() -> bytes:
    content = bytearray(png(COLOURS))
    content[len(content) // 2] ^= 0x10
    return bytes(content)


def profiled(name: str) -> bytes:
    """A picture in sRGB numbers with the profile of another."""
    profile = Image.open(EXAMPLES / name).info["icc_profile"]
    return encoded(COLOURS[..., 0] if name == "page.png" else COLOURS, "PNG", icc_profile=profile)


def adobe_by_exif() -> bytes:
    exif = Image.Exif()
    exif[0x8769] = {0xA001: 0xFFFF, 0xA005: {1: "R03"}}
    return encoded(SMOOTH, "JPEG", exif=exif)


def gamma(value: float) -> bytes:
    return png_chunk(b"gAMA", struct.pack(">I", round(1e5 * value)))


PRIMARIES_P3 = (0.3127, 0.3290, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06)
CHRM = png_chunk(b"cHRM", b"".join(struct.pack(">I", round(1e5 * value)) for value in PRIMARIES_P3))


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (png(COLOURS.astype(">u2") * 257, depth=16), ["more than 8 bits per colour (16, mode RGB)"]),
        (png(COLOURS[..., 0].astype(">u2"), depth=16, kind=GREY), ["more than 8 bits per colour (16"]),
        (png(COLOURS[..., :2].astype(">u2"), depth=16, kind=GREY_ALPHA), ["more than 8 bits per colour (16"]),
        (tiff(COLOURS.astype(np.uint16) * 257, photometric="rgb"), ["more than 8 bits per colour (16, mode RGB)"]),
        (tiff(COLOURS[..., 0].astype(np.uint16)), ["more than 8 bits per colour (16"]),
        (tiff(COLOURS[..., 0].astype(np.float32)), ["signed or floating numbers"]),
        (tiff(COLOURS[..., 0].astype(np.int8)), ["signed or floating numbers"]),
        (tiff(COLOURS, photometric="cielab"), ["is in CIE Lab"]),
        (encoded(np.zeros((8, 8, 4), np.uint8), "PNG"), ["transparent parts"]),
        (png(COLOURS, chunks=png_chunk(b"tRNS", struct.pack(">HHH", *COLOURS[3, 4]))), ["transparent parts"]),
        (altered_png(), ["is damaged: its part b'IDAT'"]),
        (profiled("rocket.jpg"), ["in the colours of 'Adobe RGB (1998)', not sRGB", "convert it", "save it without"]),
        (profiled("color.png"), ["in the colours of 'Color LCD'"]),
        (profiled("page.png"), ["in the colours of 'Dot Gain 20%'"]),
        (encoded(COLOURS, "PNG", icc_profile=b"no profile at all"), ["a colour profile that cannot be read"]),
        (adobe_by_exif(), ["in the colours of 'Adobe RGB (Exif)'"]),
        (png(COLOURS, chunks=gamma(1.0)), ["in the colours of 'gamma 1'"]),
        (png(COLOURS, chunks=gamma(1 / 1.8)), ["in the colours of 'gamma 1.8'"]),
        (png(COLOURS, chunks=gamma(1 / 2.2) + CHRM), ["cHRM primaries", "0.68 0.32"]),
        (png(COLOURS, chunks=png_chunk(b"cICP", bytes([9, 16, 0, 1]))), ["cICP primaries 9, transfer 16"]),
        (png(COLOURS[:1], width=200_000_000), ["is too large for a picture (Image size (200000000 pixels)"]),
        (png(COLOURS[:1], width=100_000_000), ["is too large for a picture (Image size (100000000 pixels)"]),
        (encoded(COLOURS, "JPEG2000"), ["cannot be read as a picture (no PNG, JPEG, TIFF, BMP, GIF, WEBP)"]),
        (b"<!DOCTYPE html><html>", ["is a web page, no picture"]),
        (b"/annex/objects/MD5E-s1--d9.png\n", ["is the pointer that git keeps"]),
        (b"", ["is empty (0 bytes), no picture"]),
        (b"no picture", ["cannot be read as a picture"]),
    ],
)
def test_what_is_no_picture_of_eight_bits_in_srgb_is_one_line(content: bytes, parts: list[str], tmp_path: Path) -> None:
    line = refusal(tmp_path / "picture.png", content)
    for part in parts:
        assert part in line, line


@pytest.mark.parametrize(("mode", "kind"), [("CMYK", "JPEG"), ("CMYK", "TIFF"), ("LAB", "TIFF")])
def test_colours_of_print_and_measurement_are_refused(mode: str, kind: str, tmp_path: Path) -> None:
    lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
    picture = Image.fromarray(COLOURS)
    picture = ImageCms.applyTransform(picture, lab) if mode == "LAB" else picture.convert(mode)
    picture.save(tmp_path / "made", kind)
    assert "save it in the RGB that the screen showed" in refusal(tmp_path / "x.jpg", (tmp_path / "made").read_bytes())


SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.mark.parametrize(
    "content",
    [
        encoded(COLOURS, "PNG", icc_profile=SRGB),
        png(COLOURS, chunks=png_chunk(b"sRGB", b"\0") + gamma(1.0)),
        png(COLOURS, chunks=gamma(0.45455)),
        png(COLOURS, chunks=png_chunk(b"cICP", bytes([1, 13, 0, 1])) + gamma(1.0)),
    ],
)
def test_pictures_that_say_they_are_srgb_keep_their_numbers(content: bytes, tmp_path: Path) -> None:
    np.testing.assert_array_equal(read(tmp_path / "picture.png", content), COLOURS)


def test_a_grey_picture_may_have_the_srgb_profile(tmp_path: Path) -> None:
    content = encoded(COLOURS[..., 0], "PNG", icc_profile=SRGB)
    np.testing.assert_array_equal(read(tmp_path / "picture.png", content), COLOURS[..., :1])


@pytest.mark.mirror
def test_real_pictures_are_read_as_pillow_shows_them(mirror: Path) -> None:
    paths = sorted(mirror.rglob("*.png"))[::40] + [EXAMPLES / name for name in ("astronaut.png", "coins.png")]
    for path in paths:
        with Image.open(path) as opened:
            shown = np.asarray(opened.convert("L" if opened.mode == "L" else "RGB"))
        np.testing.assert_array_equal(read_picture(path, Notes()).squeeze(), shown)


def test_the_real_16_bit_picture_that_pillow_takes_for_8_is_refused() -> None:
    path = EXAMPLES / "chessboard_RGB.png"
    with Image.open(path) as opened:
        assert opened.mode == "RGB"
    with pytest.raises(BrokenArtifact, match=r"chessboard_RGB\.png has more than 8 bits per colour \(16"):
        read_picture(path, Notes())


def _constant(folder: Path) -> None:
    for number in (1, 3):
        Image.fromarray(np.full((40, 48, 3), 128, np.uint8)).save(folder / f"{number}.png")


def _grey(folder: Path) -> None:
    Image.fromarray(COLOURS[..., 1]).save(folder / "2.png")


def _tail(folder: Path) -> None:
    (folder / "0.png").write_bytes(png(COLOURS) + b"x" * 1234)


def _dark(folder: Path) -> None:
    for number in range(4):
        Image.fromarray(COLOURS & 1).save(folder / f"{number}.png")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda folder: None, None),
        (_constant, "1.png (and 1 more like it): all pixels are equal (128, 128, 128)"),
        (_grey, "2.png: 1 of 4 pictures are grey; they are taken as colours of equal parts"),
        (_tail, "0.png: 1,234 bytes follow the picture; they are left out"),
        (_dark, ": no picture has a value above 1 of 255"),
    ],
)
def test_what_is_odd_about_a_folder_is_said_once(
    change: Callable[[Path], None], said: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(4):
        Image.fromarray(np.roll(COLOURS, number)).save(tmp_path / f"{number}.png")
    change(tmp_path)
    pictures = read_pictures(sorted(tmp_path.iterdir()))
    assert pictures.shape == (4, 40, 48, 3) and pictures.dtype == np.uint8
    err = capsys.readouterr().err
    assert err == "" if said is None else said in err and err.startswith("warning: ") and err.count("\n") == 1


@pytest.mark.parametrize("kind", ["PNG", "GIF", "TIFF", "WEBP", "MPO"])
def test_several_pictures_in_one_file_are_refused(kind: str, tmp_path: Path) -> None:
    others = [Image.fromarray(np.roll(COLOURS, shift, axis=0)) for shift in (1, 2)]
    content = encoded(COLOURS, kind, save_all=True, append_images=others)
    assert "holds 3 pictures; give a file of its own to each" in refusal(tmp_path / "picture.jpg", content)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_a_picture_is_turned_as_exif_says(kind: str, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter to the right
    picture = read(tmp_path / "picture.png", encoded(SMOOTH, kind, exif=exif))
    np.testing.assert_allclose(picture.astype(float), np.rot90(SMOOTH, -1), atol=0 if kind != "JPEG" else 60)


def test_pictures_of_other_sizes_are_refused(tmp_path: Path) -> None:
    for number, width in enumerate((48, 47)):
        Image.fromarray(COLOURS[:, :width]).save(tmp_path / f"{number}.png")
    with pytest.raises(BrokenArtifact, match=r"1\.png has 47×40 pixels and 0\.png 48×40"):
        read_pictures(sorted(tmp_path.iterdir()))
