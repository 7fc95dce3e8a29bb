"""A user's own stimuli: a folder of pictures or sounds, one sound, a movie, or a table of words."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.core.errors import BrokenArtifact
from pipeline.core.names import clean_name, first_repeated, natural_order, printable, refuse_alike
from pipeline.formats.tables import TABLES, numbered_lines, read_table, read_text
from pipeline.recordings.folder_listing import check_within, while_unchanged
from pipeline.stimuli.file_remarks import Notes

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
        Neither pictures nor sounds nor a known file, both in one folder, two of one name or of names that look alike, a
        name that misleads, or one sound in a folder.
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
    return _folder_form(path)


@while_unchanged
def _folder_form(path: Path) -> StimulusForm:
    files = stimulus_files(path)
    check_within(files, path)
    pictures = [file for file in files if file.suffix.lower() in PICTURES]
    if not files:
        raise BrokenArtifact(f"{path} holds neither pictures ({' '.join(PICTURES)}) nor sounds ({' '.join(SOUNDS)})")
    if pictures and len(pictures) < len(files):
        raise BrokenArtifact(f"{path} holds both pictures and sounds; put them into folders of their own")
    items = [item_name(file) for file in files]
    twice = first_repeated(items)
    if twice is not None:
        raise BrokenArtifact(f"{path} holds two files called '{twice}'; rename one, as items are named by their files")
    refuse_alike(items, str(path), "item")
    if not pictures and len(files) == 1:
        raise BrokenArtifact(f"{path} holds one sound only; give that file itself (on a clock), or several sounds")
    return IMAGES if pictures else CLIPS


def stimulus_files(path: Path) -> list[Path]:
    """The files of a stimulus in order of their names, numbers by value; hidden and unknown ones are left out."""
    return list(_folder_files(path)) if path.is_dir() else [path]


@while_unchanged
def _folder_files(folder: Path) -> tuple[Path, ...]:
    return tuple(folder / name for name in _listed(folder)[0])


@while_unchanged
def _listed(folder: Path) -> tuple[list[str], list[str]]:
    """Names of the pictures and sounds of a folder, and of what else is not hidden, each in natural order."""
    with os.scandir(folder) as entries:
        found = [(entry.name, entry.is_file()) for entry in entries if not entry.name.startswith(".")]
    taken = [name for name, is_file in found if is_file and Path(name).suffix.lower() in (*PICTURES, *SOUNDS)]
    return natural_order(taken), natural_order({name for name, _ in found} - set(taken))


def item_names(path: Path) -> list[str]:
    """Names of the pictures or sounds of a folder."""
    return list(_folder_items(path))


@while_unchanged
def _folder_items(folder: Path) -> tuple[str, ...]:
    return tuple(item_name(file) for file in stimulus_files(folder))


def item_name(file: Path) -> str:
    """Name of a picture or sound: its file's without the ending, cleaned.

    Raises
    ------
    BrokenArtifact
        It holds a control character, or nothing that can be seen.
    """
    return clean_name(file.stem, str(file.parent), "file")


def left_out_line(path: Path) -> str | None:
    """Which files and folders of a folder of stimuli are no stimuli, in words; None if all are."""
    others = _listed(path)[1] if path.is_dir() else []
    if not others:
        return None
    shown = ", ".join(printable(name) for name in others[:3])
    what = "entry is" if len(others) == 1 else "entries are"
    return f"{path}: {len(others)} {what} neither picture nor sound and left out: {shown}{' …' if others[3:] else ''}"


def order_line(path: Path) -> str | None:
    """How samples are matched with the files of a folder, in words; None where text, numbers and case agree."""
    names = [file.name for file in stimulus_files(path)]
    if names != sorted(names):
        why = "numbers in the names have no leading zeros, so files are taken in order of number, not of text"
    elif [name.casefold() for name in names] != sorted(name.casefold() for name in names):
        why = "names differ in case, and files with capitals are taken before those with small letters"
    else:
        return None
    rows = ", ".join(f"sample {number} is {printable(name)}" for number, name in enumerate(names[:3], start=1))
    return f"{path}: {why}: {rows}; if responses are in another order, name each sample's file in 'items'"


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
        return _movie(name, path, frame_rate_hz or 0.0)
    return _sounds(name, stimulus_files(path), labels)


def _images(name: str, files: Sequence[Path], categories: list[str] | None) -> xr.Dataset:
    from pipeline.stimuli.pictures.picture_files import images_stimulus, read_pictures

    return images_stimulus(name, read_pictures(files), [item_name(file) for file in files], categories)


def _sounds(name: str, files: Sequence[Path], categories: list[str] | None) -> xr.Dataset:
    from pipeline.stimuli.sounds.audio_files import audio_stimulus, read_sounds

    sounds, sampling_rate_hz = read_sounds(files, remedy="save it anew as WAV")
    return audio_stimulus(name, sounds, [item_name(file) for file in files], sampling_rate_hz, categories)


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
    """Frames ``(frame, y, x[, colour])`` uint8, with one or three colours, left on disk until they are used."""
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


def _movie(name: str, path: Path, frame_rate_hz: float) -> xr.Dataset:
    from pipeline.stimuli.pictures.picture_files import movie_stimulus

    frames = read_movie(path)
    largest = max(int(frame.max()) for frame in frames)
    if largest <= 1:
        notes = Notes()
        notes.add("dark", path, f"no frame has a value above {largest} of 255; multiply by 255 if 1 stands for white")
        notes.say()
    return movie_stimulus(name, frames, frame_rate_hz)


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


def read_item_names(path: Path) -> list[str]:
    """The stimulus of each sample: a ``.csv``/``.tsv`` with a column ``item``, or text with one name a line."""
    if path.suffix.lower() in TABLES:
        return read_table(path).names("item", alike=True)
    lines = numbered_lines(read_text(path))
    return [clean_name(line, f"{path} line {number}", "item") for number, line in lines if line.strip()]


def read_categories(path: Path, items: Sequence[str]) -> list[str]:
    """The category of each item, from a table with the columns ``item`` and ``category``.

    Raises
    ------
    BrokenArtifact
        An item has none, or two, or two categories look alike; the message names it.
    """
    table = read_table(path)
    category: dict[str, str] = {}
    for line, item, name in zip(table.lines, table.names("item"), table.names("category"), strict=True):
        if category.setdefault(item, name) != name:
            raise BrokenArtifact(
                f"{path} line {line}: item '{item}' is both '{category[item]}' and '{name}'; give it one category"
            )
    for item in items:
        if item not in category:
            raise BrokenArtifact(f"{path} has no category of item '{item}'; add a row")
    return [category[item] for item in items]
