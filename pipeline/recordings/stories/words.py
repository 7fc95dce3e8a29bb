"""The words of a story, from whichever table a dataset has."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.core.errors import BrokenArtifact
from pipeline.recordings.stories.selection import StoryFiles

if TYPE_CHECKING:
    from pipeline.stimuli.words import WordTable

GENTLE = "align.csv"


def read_words(story: StoryFiles, raw_folder: Path, remedy: str) -> WordTable:
    """Words with their times on the clock of the story's sound.

    A TextGrid and gentle's ``align.csv`` are known by their names; any other .tsv or .csv is a table with a header.

    Raises
    ------
    BrokenArtifact
        The file is missing, of an unknown kind, or broken.
    """
    from pipeline.stimuli.textgrids import read_textgrid
    from pipeline.stimuli.words import read_gentle, read_word_csv, read_word_table

    path = raw_folder / story.words
    kind = path.suffix.lower()
    if path.name == GENTLE:
        return read_gentle(path, remedy=remedy)
    if kind == ".textgrid":
        return read_textgrid(path, story.tier or None, remedy=remedy)
    columns = story.word_columns
    if kind == ".csv":
        return read_word_csv(path, section=story.section, remedy=remedy, **columns)
    if kind == ".tsv":
        return read_word_table(path, **columns)
    raise BrokenArtifact(f"{path} ends in '{path.suffix}', expected .tsv, .csv, .TextGrid or gentle's {GENTLE}")
