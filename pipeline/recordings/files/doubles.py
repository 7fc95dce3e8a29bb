"""Files of a user's own that stand for two things: responses given for two runs, and names that two stimuli share."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pipeline.core.errors import SampleMismatch
from pipeline.recordings.files.options import FilesOptions
from pipeline.recordings.files.stimulus import IMAGES, item_names, stimulus_files


def refuse_doubles(options: FilesOptions, digests: Mapping[Path, str]) -> None:
    """Refuse runs with the same responses, and items of one name that hold different bytes.

    The same responses would count as another recording of the same, and items of one name as further showings.

    Parameters
    ----------
    digests : SHA-256 of each file

    Raises
    ------
    SampleMismatch
        Names both runs, or both files.
    """
    first: dict[str, tuple[str, Path]] = {}
    for run in options.parts:
        name, responses = first.setdefault(digests[run.responses], (str(run.name), run.responses))
        if name != run.name:
            same = "the same file" if responses == run.responses else f"the same bytes as {responses}"
            raise SampleMismatch(
                f"runs '{name}' and '{run.name}' have the same responses: {run.responses} is {same}; "
                "give each run its own"
            )
    if options.form.on_a_clock:
        return
    what = "picture" if options.form is IMAGES else "sound"
    shown: dict[str, Path] = {}
    for folder in dict.fromkeys(run.stimulus for run in options.parts):
        for item, file in zip(item_names(folder), stimulus_files(folder), strict=True):
            other = shown.setdefault(item, file)
            if digests[file] != digests[other]:
                raise SampleMismatch(
                    f"'{item}' is another {what} in {folder} than in {other.parent} ({file.name} and {other.name} "
                    "hold different bytes): give them different names, or give both runs one file if it is the same"
                )
