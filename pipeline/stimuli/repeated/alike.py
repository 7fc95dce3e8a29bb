"""What is said of a stimulus while it is prepared: items that are equal or nearly so, stretches that come again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.stimuli.repeated.contents import KINDS, equal_in_words, frame_digests, presented, with_contents
from pipeline.stimuli.repeated.near_alike import COMPARED, near_alike, near_alike_in_words
from pipeline.stimuli.repeated.recurring import SEARCHED, recurring, recurring_in_words

if TYPE_CHECKING:
    import xarray as xr

EQUAL, DOUBTS = "equal_contents", "alike"


def describe_contents(stimulus: xr.Dataset) -> xr.Dataset:
    """The same with digests of its contents, and in words what of it is equal.

    Attribute ``equal_contents`` says which items are equal, ``alike`` warns of nearly equal ones, or of a movie or
    sound that repeats itself; neither is there where there is nothing to say.
    """
    import numpy as np

    modality = str(stimulus.attrs["modality"])
    frames = frame_digests(stimulus) if modality == "movie" else []  # once for both, as a movie may be long
    stimulus = with_contents(stimulus, frames)
    said = {}
    if "content" in stimulus.variables:
        names = np.array([str(name) for name in stimulus["item"].values])
        same = presented(names, stimulus["content"].values.astype(str))
        said[EQUAL] = equal_in_words(names, same, KINDS[modality].items)
        if modality in COMPARED:
            kept = np.sort(np.unique(same, return_index=True)[1])
            said[DOUBTS] = near_alike_in_words(near_alike(stimulus, kept), modality)
    elif modality in SEARCHED:
        said[DOUBTS] = recurring_in_words(recurring(stimulus, frames), str(stimulus.attrs["name"]))
    return stimulus.assign_attrs({name: text for name, text in said.items() if text})
