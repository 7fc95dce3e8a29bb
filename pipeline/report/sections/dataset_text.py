"""How responses were recorded and prepared, as a dataset's entry and its recordings say."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.report.sections.cautions import ONSET_ADVICE, sentence
from pipeline.report.study_facts import DatasetFacts

MOST_VALUES = 3  # of an attribute that differs from recording to recording


def recorded_in_words(dataset: DatasetFacts) -> str:
    """What was recorded where, what a response is, and what was left out; empty where nothing is said of it."""
    return " ".join(f"{one}." for one in (*dataset.words.recorded(dataset), *_prepared(dataset)))


def prepared_in_words(dataset: DatasetFacts) -> str:
    """How volumes were placed in time and what was regressed out; empty where the recordings say neither."""
    return " ".join(f"{one}." for one in _prepared(dataset))


def left_out_in_words(dataset: DatasetFacts) -> str:
    """Scans, listeners, cells or units that are not in the recordings, as these say; empty if none are."""
    return _values([text for text in dataset.prepared.get("left_out", ()) if text != dataset.excluded])


def _prepared(dataset: DatasetFacts) -> list[str]:
    """How volumes were placed in time and what was regressed out, as the recordings say; without full stops."""
    found = dataset.prepared
    unwarned = [text for text in found.get("onset_check", ()) if ONSET_ADVICE not in text]
    told = [
        _values([sentence(text) for text in found.get("slice_reference", ())]),
        _labelled("Clocks", found.get("clocks", ())),
        _labelled("Start of the sound", unwarned),
        _labelled("Confounds regressed out", found.get("confounds", ())),
    ]
    return [text for text in told if text]


def _labelled(label: str, values: Sequence[str]) -> str:
    return f"{label}: {_values(values)}" if values else ""


def _values(values: Sequence[str]) -> str:
    """The different values of an attribute; of many, the first few and how many more there are."""
    shown = [text.strip().rstrip(".") for text in values[:MOST_VALUES]]
    more = len(values) - len(shown)
    return "; ".join(shown) + (f"; and {more} more, as the recordings say" if more else "")
