"""A user's own stimuli: a folder of pictures or sounds, one sound, a movie, or a table of words."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import BrokenArtifact
from pipeline.recordings.files_tables import TABLES, first_repeated, read_categories, read_table
from pipeline.recordings.folder_listing import check_within

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import xarray as xr

PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
SOUNDS = (".wav", ".flac", ".ogg", ".oga", ".mp3", ".aif", ".aiff", ".au")


@dataclasses.dataclass(frozen=True)
class StimulusForm:
    """What a path holds.

    Parameters
    ----------
    modality : as in `pipeline.artifacts.stimulus`
    what : in words, for messages
    on_a_clock : whether its samples have a time rather than a name
    """

    modality: str
    what: str
    on_a_clock: bool


IMAGES = StimulusForm("images", "a folder of pictures", False)
CLIPS = StimulusForm("audio", "a folder of sounds", False)
SOUND = StimulusForm("audio", "one sound", True)
MOVIE = StimulusForm("movie", "a movie", True)
WORDS = StimulusForm("words", "a table of words", True)


def stimulus_form(path: Path) -> StimulusForm:
    """What kind of stimulus a folder or file is, judged by names alone.

    Raises
    ------
    BrokenArtifact
        Neither pictures nor sounds nor a known file, both in one folder, two of one name, or one sound in a folder.
    """
    suffix = path.suffix.lower()
    if not path.is_dir():
        for suffixes, form in ((SOUNDS, SOUND), ((".npy",), MOVIE), (TABLES, WORDS)):
            if suffix in suffixes:
                return form
        raise BrokenArtifact(
            f"{path} is no stimulus that can be read; give a folder of pictures or sounds, one sound "
            f"({' '.join(SOUNDS)}), a movie (.npy) or words (.csv .tsv)"
        )
    files = stimulus_files(path)
    check_within(files, path)
    pictures = [file for file in files if file.suffix.lower() in PICTURES]
    if not files:
        raise BrokenArtifact(f"{path} holds neither pictures ({' '.join(PICTURES)}) nor sounds ({' '.join(SOUNDS)})")
    if pictures and len(pictures) < len(files):
        raise BrokenArtifact(f"{path} holds both pictures and sounds; put them into folders of their own")
    twice = first_repeated(file.stem for file in files)
    if twice is not None:
        raise BrokenArtifact(f"{path} holds two files called '{twice}'; rename one, as items are named by their files")
    if not pictures and len(files) == 1:
        raise BrokenArtifact(f"{path} holds one sound only; give that file itself (on a clock), or several sounds")
    return IMAGES if pictures else CLIPS


def stimulus_files(path: Path) -> list[Path]:
    """The files of a stimulus in order of their names as Python sorts them; hidden and unknown ones are left out."""
    if not path.is_dir():
        return [path]
    with os.scandir(path) as entries:
        names = [entry.name for entry in entries if not entry.name.startswith(".") and entry.is_file()]
    return [path / name for name in sorted(names) if Path(name).suffix.lower() in (*PICTURES, *SOUNDS)]


def item_names(path: Path) -> list[str]:
    """Names of the pictures or sounds of a folder: their files without the ending."""
    return [file.stem for file in stimulus_files(path)]


def read_stimulus(name: str, path: Path, *, frame_rate_hz: float | None, categories: Path | None) -> xr.Dataset:
    """The stimulus artifact of a path.

    Parameters
    ----------
    frame_rate_hz : of a movie
    categories : table of the items' categories

    Raises
    ------
    BrokenArtifact
        A file that cannot be read or does not fit the others; the message names it.
    """
    form = stimulus_form(path)
    labels = read_categories(categories, item_names(path)) if categories is not None else None
    if form is IMAGES:
        return _images(name, stimulus_files(path), labels)
    if form is WORDS:
        return _words(name, path)
    if form is MOVIE:
        from pipeline.stimuli.movies import movie_stimulus

        return movie_stimulus(name, read_movie(path), frame_rate_hz or 0.0)
    return _sounds(name, stimulus_files(path), labels)


def _images(name: str, files: Sequence[Path], categories: list[str] | None) -> xr.Dataset:
    import numpy as np
    import xarray as xr

    pictures = [read_picture(file) for file in files]
    for file, picture in zip(files, pictures, strict=True):
        if picture.shape[:2] != pictures[0].shape[:2]:
            found, expected = (f"{p.shape[1]}×{p.shape[0]}" for p in (picture, pictures[0]))
            raise BrokenArtifact(
                f"{file} has {found} pixels and {files[0].name} {expected}; bring all pictures to one size"
            )
    n_colours = max(picture.shape[2] for picture in pictures)
    stacked = np.stack([np.broadcast_to(picture, (*picture.shape[:2], n_colours)) for picture in pictures])
    coords: dict[str, Any] = {"item": ("image", np.array([file.stem for file in files]))}
    if categories is not None:
        coords["category"] = ("image", np.asarray(categories))
    return xr.Dataset(
        {"images": (("image", "y", "x", "colour"), stacked, {"units": "grey level"})},
        coords=coords,
        attrs={"modality": "images", "name": name},
    )


def read_picture(path: Path) -> np.ndarray:
    """A picture as it is displayed: uint8 ``(y, x, colour)`` with one colour (grey) or three.

    Raises
    ------
    BrokenArtifact
        Not a picture, several in one file, transparent parts, or more than 8 bits per colour.
    """
    import numpy as np
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as opened:
            n_frames, mode = getattr(opened, "n_frames", 1), opened.mode
            clear = mode in ("RGBA", "LA", "PA") or "transparency" in opened.info
            picture = ImageOps.exif_transpose(opened).convert("RGBA" if clear else "L" if mode in ("1", "L") else "RGB")
    except Exception as error:  # Pillow answers broken bytes with OSError, ValueError, SyntaxError, struct.error …
        raise BrokenArtifact(f"{path} cannot be read as a picture ({error}); save it anew as PNG") from error
    if n_frames > 1:
        raise BrokenArtifact(f"{path} holds {n_frames} pictures; give a file of its own to each")
    if mode == "F" or mode.startswith("I"):
        raise BrokenArtifact(f"{path} has more than 8 bits per colour (mode {mode}); save it with 8 bits")
    pixels = np.asarray(picture, dtype=np.uint8)
    if clear:
        if pixels[..., 3].min() < 255:
            raise BrokenArtifact(f"{path} has transparent parts; save it on the background that was shown")
        pixels = pixels[..., :3]
    return pixels if pixels.ndim == 3 else pixels[..., None]


def _sounds(name: str, files: Sequence[Path], categories: list[str] | None) -> xr.Dataset:
    from pipeline.stimuli.audio_files import audio_stimulus

    read = [read_sound(file) for file in files]
    for file, (_, rate) in zip(files, read, strict=True):
        if rate != read[0][1]:
            raise BrokenArtifact(
                f"{file} has {rate} samples per second and {files[0].name} {read[0][1]}; resample all to one rate"
            )
    return audio_stimulus(name, [sound for sound, _ in read], [file.stem for file in files], read[0][1], categories)


def read_sound(path: Path) -> tuple[np.ndarray, int]:
    """A sound as ((n_samples,) float32 in ±1, sampling rate in Hz), channels averaged."""
    import numpy as np
    import soundfile

    try:
        samples, sampling_rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    except (RuntimeError, TypeError, ValueError) as error:  # soundfile's own error is a RuntimeError
        raise BrokenArtifact(f"{path} cannot be read as a sound ({error}); save it anew as WAV") from error
    if samples.shape[0] == 0:
        raise BrokenArtifact(f"{path} holds no sound (0 samples)")
    if not np.isfinite(samples).all():
        raise BrokenArtifact(f"{path} holds samples that are NaN or infinite; correct them")
    return samples.mean(axis=1, dtype=np.float32), int(sampling_rate_hz)


def read_array(path: Path) -> np.ndarray:
    """An array of a ``.npy`` file, left on disk until it is used.

    Raises
    ------
    BrokenArtifact
        Cut short, no ``.npy`` file, or an array of Python objects.
    """
    import numpy as np

    try:
        return np.asanyarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except Exception as error:  # numpy answers broken bytes with ValueError, EOFError, OSError, SyntaxError …
        raise BrokenArtifact(f"{path} cannot be read as .npy ({error}); save it anew with numpy.save") from error


def read_movie(path: Path) -> np.ndarray:
    """Frames ``(frame, y, x[, colour])`` uint8, with one or three colours."""
    frames = read_array(path)
    coloured = frames.ndim == 4 and frames.shape[3] in (1, 3)
    if str(frames.dtype) != "uint8" or not (frames.ndim == 3 or coloured):
        raise BrokenArtifact(
            f"{path} has shape {frames.shape} and type {frames.dtype}, expected uint8 (frame, y, x) or "
            "(frame, y, x, colour) with 1 or 3 colours"
        )
    if 0 in frames.shape:
        raise BrokenArtifact(f"{path} has shape {frames.shape}: it holds no frame")
    return frames


def _words(name: str, path: Path) -> xr.Dataset:
    """``text`` (or ``word``), ``onset_s``, ``offset_s`` and, where given, ``log_frequency``, in order of onset."""
    import numpy as np

    from pipeline.stimuli.words import WordTable, words_stimulus

    table = read_table(path)
    text = table.text("word" if table.has("word") and not table.has("text") else "text")
    onset_s, offset_s = np.array(table.numbers("onset_s")), np.array(table.numbers("offset_s"))
    for wrong, what in (
        (np.flatnonzero(np.diff(onset_s) < 0) + 1, "the onset lies before that of the word above"),
        (np.flatnonzero(offset_s <= onset_s), "the word ends at or before its onset"),
    ):
        if wrong.size:
            raise BrokenArtifact(f"{path} line {table.lines[int(wrong[0])]}: {what}; correct it")
    frequency = np.array(table.numbers("log_frequency")) if table.has("log_frequency") else None
    return words_stimulus(name, WordTable(np.asarray(text), onset_s, offset_s, frequency))
