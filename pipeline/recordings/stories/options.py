"""Options that all datasets of listeners in the scanner share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, Self

from pydantic import Field, model_validator

from pipeline.core.errors import UnknownName
from pipeline.core.section import Names
from pipeline.recordings.bold.options import BoldOptions

NO_FILES = frozenset({"high_pass_s", "trim_s", "slice_reference", "mesh", "average", "check_onset", "volume_tolerance"})
"""Options that no list of files depends on."""


class StoryOptions(BoldOptions):
    """Who listens, what of the stories networks are shown, and how BOLD is prepared. ``limit`` takes listeners."""

    subjects: Names = Field((), description="only these listeners, e.g. sub-001; empty takes all")
    exclude: Names = Field((), description="listeners (sub-001) or scans (sub-001_task-pieman_run-1) to leave out")
    heard_as: Literal["audio", "words"] = Field(
        "audio", description="what networks are shown: the sound, or the words with the times at which they were spoken"
    )
    resynthesise: bool = Field(
        False,
        description="render the word timings with eSpeak NG instead of fetching the sound, each word at its onset and "
        "stretched to its length; every figure made from it says so",
    )

    @model_validator(mode="after")
    def _only_sound_is_rendered(self) -> Self:
        if self.resynthesise and self.heard_as == "words":
            raise ValueError("resynthesise makes sound, but heard_as is words; remove one of the two")
        return self

    @property
    def needs_words(self) -> bool:
        """Whether words are fetched rather than the sound: to be shown, or to be spoken anew."""
        return self.heard_as == "words" or self.resynthesise

    def wanted(self, subject: str, scan: str = "") -> bool:
        """Whether a listener, and a scan (the start of its files' names), is taken."""
        return (not self.subjects or subject in self.subjects) and not {subject, scan} & set(self.exclude)

    def check_names(self, scans: Mapping[str, Iterable[str]]) -> None:
        """Refuse listeners and scans that a dataset does not have: leaving them out would leave nothing out.

        Parameters
        ----------
        scans : listener → starts of the names of their scans

        Raises
        ------
        UnknownName
            Names the closest listener or scan.
        """
        for subject in self.subjects:
            if subject not in scans:
                raise UnknownName("listener in subjects", subject, scans)
        known = {*scans, *(scan for found in scans.values() for scan in found)}
        for name in self.exclude:
            if name not in known:
                raise UnknownName("listener or scan in exclude", name, known)

    @property
    def left_out_by_study(self) -> str:
        """In words, for the recording and the page; empty for nobody."""
        return f"by the study: {', '.join(self.exclude)}" if self.exclude else ""
