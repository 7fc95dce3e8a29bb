"""How responses were recorded, in a sentence or two, from those of a dataset's options that say so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline.report.study_facts import DatasetFacts
from pipeline.report.wording import counted, listed
from pipeline.stimuli.repeated.alike import DOUBTS

SIGNALS = {"events": "inferred events", "dff": "dF/F"}
MOVIE = "natural_movie"
ONSET_ADVICE = "check the start of the audio"  # what a recording's sentence ends with if its check warns
MOST_VALUES = 3  # of an attribute that differs from recording to recording
CUTOFFS = (
    ("amplitude_cutoff_max", "an amplitude cutoff above {:g}"),
    ("presence_ratio_min", "a presence ratio below {:g}"),
    ("isi_violations_max", "refractory violations above {:g}"),
    ("min_reliability", "a reliability below {:g}"),
)


def recorded_in_words(dataset: DatasetFacts) -> str:
    """What was recorded where, what a response is, and what was left out; empty for options that say none of it."""
    sentences = (_where(dataset.options), _response(dataset), _left_out(dataset.options), *_prepared(dataset))
    return " ".join(f"{one}." for one in sentences if one)


def window_in_words(window_s: tuple[float, float]) -> str:
    """``0.03 to 0.15 s``."""
    return f"{window_s[0]:g} to {window_s[1]:g} s"


def prepared_in_words(dataset: DatasetFacts) -> str:
    """How volumes were placed in time and what was regressed out; empty where the recordings say neither."""
    return " ".join(f"{one}." for one in _prepared(dataset))


def warnings_of(dataset: DatasetFacts) -> list[str]:
    """What was warned of while data were prepared, each once."""
    return [*clock_warnings_of(dataset), *(sentence(text) for text in dataset.prepared.get(DOUBTS, ()))]


def clock_warnings_of(dataset: DatasetFacts) -> list[str]:
    """What the checks of the sound's start warned of, each once."""
    return [sentence(text) for text in dataset.prepared.get("onset_check", ()) if ONSET_ADVICE in text]


def left_out_in_words(dataset: DatasetFacts) -> str:
    """Scans, listeners, cells or units that are not in the recordings, as these say; empty if none are."""
    return _values([text for text in dataset.prepared.get("left_out", ()) if text != dataset.excluded])


def sentence(text: str) -> str:
    """With a capital at its start and a full stop at its end."""
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


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


def _where(options: dict[str, Any]) -> str:
    if not options.get("areas"):
        return ""
    text = f"Cells in {listed(options['areas'])} were recorded"
    depth_um = options.get("depth_um")
    if isinstance(depth_um, list | tuple):
        text += f" {depth_um[0]} to {depth_um[1]} µm deep"
    if options.get("stimuli"):
        text += f" during {listed([_plain(name) for name in options['stimuli']])}"
    details = [
        f"{what}: {listed([_plain(str(name)) for name in options[key]])}"
        for key, what in (("session_types", "sessions"), ("cre_lines", "driver lines"), ("genotypes", "genotypes"))
        if options.get(key)
    ]
    if options.get("limit"):
        details.append(f"limited to {options['limit']} of what could be taken")
    return f"{text} ({'; '.join(details)})" if details else text


def _response(dataset: DatasetFacts) -> str:
    if dataset.window_s is None:
        return ""
    signal = SIGNALS.get(str(dataset.options.get("signal", "")), dataset.units or "the signal")
    movie = any(str(name).startswith(MOVIE) for name in dataset.options.get("stimuli", ()))
    onset = "each frame's onset" if movie else "each onset"
    text = f"A response is the mean of {signal} from {window_in_words(dataset.window_s)} after {onset}"
    per_bin = dataset.options.get("frames_per_bin")
    return f"{text}, averaged over bins of {counted(per_bin, 'frame')}" if movie and per_bin else text


def _left_out(options: dict[str, Any]) -> str:
    """Thresholds that leave something out; reliabilities from 0 on are no threshold."""
    found = [words.format(options[key]) for key, words in CUTOFFS if options.get(key) is not None]
    found = [text for text in found if text != "a reliability below 0"]
    left_out = [f"cells with {listed(found, last='or')}"] if found else []
    if options.get("cell_filters"):
        left_out.append(f"cells outside {counted(len(options['cell_filters']), 'filter')} on published metrics")
    if options.get("require_eye_tracking"):
        left_out.append("sessions without eye tracking")
    if options.get("min_units", 1) > 1:
        left_out.append(f"areas with fewer than {options['min_units']} units in a session")
    return f"Left out were {listed(left_out)}" if left_out else ""


def _plain(name: str) -> str:
    """``natural_movie_one`` → ``natural movie one``; other names as they are."""
    return name.replace("_", " ") if name.islower() else name
