"""What a stimulus holds, whatever it is called: digests by which equal contents under different names are found."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

DIGEST_BYTES = 8
"""A chance of 1 in 10⁹ that any two of 100,000 contents share a digest."""
SHOWN = 3
"""Groups of equal names that a sentence lists."""
PICTURES_AT_ONCE = 64


def contents_of(stimulus: xr.Dataset, frames: Sequence[str] = ()) -> str | np.ndarray:
    """Digests of decoded contents: pixels with their shape, samples with their rate, words with their times.

    Grey pictures are the same whether they are held in one colour or in three.

    Parameters
    ----------
    frames : digests of a movie's frames, where they are known already

    Returns
    -------
    (n_items,) str for pictures, and for sounds where there are several; else one for the whole stimulus
    """
    return KINDS[stimulus.attrs["modality"]].digests(stimulus, frames)


def _of_movie(movie: xr.Dataset, frames: Sequence[str]) -> str:
    return _digest(float(movie.attrs["frame_rate_hz"]), *(frames or frame_digests(movie)))


def _of_images(images: xr.Dataset, frames: Sequence[str]) -> np.ndarray:
    import numpy as np

    return np.array(_digests(images["images"]))


def _of_audio(audio: xr.Dataset, frames: Sequence[str]) -> str | np.ndarray:
    import numpy as np

    rate = float(audio.attrs["sampling_rate_hz"])
    digests = [_digest(rate, clip) for clip in clips_of(audio)]
    return digests[0] if len(digests) == 1 else np.array(digests)


def _of_words(words: xr.Dataset, frames: Sequence[str]) -> str:
    import numpy as np

    text = [str(word) for word in words["text"].values]
    times = [np.asarray(words[name].values, np.float64) for name in ("onset_s", "offset_s")]
    return _digest(repr(text), *times)


@dataclasses.dataclass(frozen=True)
class Kind:
    """How contents of one modality are told apart.

    Parameters
    ----------
    digests : (stimulus, digests of a movie's frames) → as of `contents_of`
    item_dim : dim of its items; empty where a stimulus is always one whole
    items : what several are called
    """

    digests: Callable[[xr.Dataset, Sequence[str]], str | np.ndarray]
    item_dim: str = ""
    items: str = ""


KINDS = {
    "movie": Kind(_of_movie),
    "images": Kind(_of_images, "image", "pictures"),
    "audio": Kind(_of_audio, "clip", "sounds"),
    "words": Kind(_of_words),
}
"""Modality → how its contents are told apart."""


def frame_digests(movie: xr.Dataset) -> list[str]:
    """Digest of each frame."""
    return _digests(movie["frames"])


def _digests(pictures: xr.DataArray) -> list[str]:
    return [_digest(_one_colour(picture)) for block in blocks_of(pictures) for picture in block]


def clips_of(stimulus: xr.Dataset) -> list[np.ndarray]:
    """Each sound of a stimulus without what fills it up to the longest: (n_samples,) float32."""
    import numpy as np

    lengths = stimulus["n_samples"].values
    return [np.asarray(stimulus["clips"][k, : int(n)].values, np.float32) for k, n in enumerate(lengths)]


def blocks_of(pictures: xr.DataArray) -> Iterator[np.ndarray]:
    """Pictures or frames in blocks, (n, y, x, colour); a file's chunks are not read again for each."""
    for start in range(0, len(pictures), PICTURES_AT_ONCE):
        yield pictures[start : start + PICTURES_AT_ONCE].values


def with_contents(stimulus: xr.Dataset, frames: Sequence[str] = ()) -> xr.Dataset:
    """The same with the digest of each item as coordinate ``content``, or of the whole as attribute ``content``."""
    contents = contents_of(stimulus, frames)
    if isinstance(contents, str):
        return stimulus.assign_attrs(content=contents)
    return stimulus.assign_coords(content=(KINDS[stimulus.attrs["modality"]].item_dim, contents))


def kept_contents(stimulus: xr.Dataset) -> str | np.ndarray:
    """The digests that a stimulus holds, or those of one that was made without."""
    import numpy as np

    if "content" in stimulus.attrs:
        return str(stimulus.attrs["content"])
    if "content" in stimulus.variables:
        return np.array([str(content) for content in stimulus["content"].values])
    return contents_of(stimulus)


def _one_colour(picture: np.ndarray) -> np.ndarray:
    """A picture (y, x, colour) of equal colours with one of them."""
    # colour by colour, as numpy is slow along an axis of three
    grey = all((picture[..., 0] == picture[..., colour]).all() for colour in range(1, picture.shape[2]))
    return picture[..., :1] if grey else picture


def _digest(*parts: Any) -> str:
    import numpy as np

    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for part in parts:
        if isinstance(part, np.ndarray):
            digest.update(f"{part.dtype.str}{part.shape}".encode())
            digest.update(np.ascontiguousarray(part).data)
        else:
            digest.update(f"{part}\0".encode())
    return digest.hexdigest()


def presented(names: Sequence[str] | np.ndarray, contents: Sequence[str] | np.ndarray) -> np.ndarray:
    """One name for all that is the same: of equal name or of equal content, directly or through others.

    Parameters
    ----------
    names : (n,) of items or stimuli
    contents : (n,) their digests; empty where they are not known

    Returns
    -------
    (n,) str, the name that comes first among those that are the same; where no contents are equal, ``names``
    """
    import numpy as np

    names, contents = np.asarray(names, str), np.asarray(contents, str)
    first: dict[str, str] = {}
    """The name that each name goes by; chains end at a name that goes by itself."""

    def found(name: str) -> str:
        while first[name] != name:
            name = first[name]
        return name

    place = {name: number for number, name in enumerate(dict.fromkeys(names.tolist()))}
    of_content: dict[str, str] = {}
    for name, content in dict.fromkeys(zip(names.tolist(), contents.tolist(), strict=True)):
        first.setdefault(name, name)
        if not content:
            continue
        earlier, own = found(of_content.setdefault(content, name)), found(name)
        if earlier != own:
            kept, other = sorted((earlier, own), key=place.__getitem__)
            first[other] = kept
    return np.array([found(name) for name in names.tolist()], dtype=names.dtype)


def equal_in_words(names: Sequence[str] | np.ndarray, same: Sequence[str] | np.ndarray, what: str) -> str:
    """Which names stand for one content; empty if none do.

    Parameters
    ----------
    names : (n,) of items or stimuli
    same : (n,) from `presented`
    what : ``pictures``, ``sounds`` or ``stimuli``
    """
    groups: dict[str, dict[str, None]] = {}
    for name, one in zip(names, same, strict=True):
        groups.setdefault(str(one), {})[str(name)] = None
    alike = [list(group) for group in groups.values() if len(group) > 1]
    if not alike:
        return ""
    n_names = sum(len(group) for group in groups.values())
    shown = "; ".join(
        " = ".join(group[: SHOWN + 1]) + (" …" if len(group) > SHOWN + 1 else "") for group in alike[:SHOWN]
    )
    more = f"; {len(alike) - SHOWN} more" if len(alike) > SHOWN else ""
    return f"{n_names} {what} hold {len(groups)} different ones ({shown}{more}): equal ones are held out together"
