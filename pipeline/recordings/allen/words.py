"""What the page says of recordings of mouse visual areas.

Datasets name these words by their address, so that no key of files or recordings depends on a sentence.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.core.prose import DatasetWords, Recorded, counted, listed, window_in_words

SIGNALS = {"events": "inferred events", "dff": "dF/F"}
MOVIE = "natural_movie"
CUTOFFS = (
    ("amplitude_cutoff_max", "an amplitude cutoff above {:g}"),
    ("presence_ratio_min", "a presence ratio below {:g}"),
    ("isi_violations_max", "refractory violations above {:g}"),
    ("min_reliability", "a reliability below {:g}"),
)

DEPARTURES = """
{%- set published = {"block_s": 0.5, "stimulus": "natural movie one"} -%}
{%- if "block_s" in s and "min_cells" in s and " VIS" in " " ~ (c.regions | join(" ")) -%}
Departures from the published analysis, {{ a.name }}: The comparison follows a published analysis of two-pathway
networks ({{ cite("two_pathways") }}): blocks of {{ published.block_s | fmt }} s of {{ published.stimulus }}, compared
by Kendall's τ.
{%- set other = [] -%}
{%- if s.block_s != published.block_s %}{{ other.append("blocks of " ~ (s.block_s | fmt) ~ " s") or "" }}{% endif -%}
{%- if o.comparison != "kendall" %}
  {{- other.append(a.measure.words) or "" }}
{%- endif -%}
{%- if other %} Here it is {{ other | join(" and ") }}.{% endif %} It is corrected as follows.
{%- if "across_animals" in c.ceiling_kinds %} The ceiling is the agreement across animals; there it was that of split
halves of trials, without the Spearman–Brown correction.
{%- else %} There the ceiling was that of split halves of trials, without the Spearman–Brown correction; here
{% if "split_half_repeats" in c.ceiling_kinds %}repeats are halved too, with the correction, as there is but one animal
{%- else %}none is given, as
{{ "no region has two animals that agree well enough" if a.measure.zero_is_chance else "distances agree by chance" }}
{%- endif %}.
{%- endif %}
{%- if s.centred %} The compared matrices and those of the ceiling are treated alike, both centred; there the ceiling's
were not.
{%- else %} The compared matrices and those of the ceiling are treated alike, neither being centred; there only the
compared ones were.
{%- endif %} The layer is chosen on other stretches of the stimulus than those that it is scored on; there on the same
data. Intervals are {{ percent }} intervals over {{ c.units }}; there bars were half a standard deviation over
resamplings of trials.
{%- if a.dataset.window_s %} Responses are taken from {{ a.dataset.window_s | window }} after each frame's onset; there
no response latency was allowed for.
{%- endif %} VISrl is {{ "included, which was left out there" if "VISrl" in c.regions else "left out, as there" }}.
{%- if a.streams | length > 1 %} Which stream {{ a.streams | differing or "a region" }} belongs to is an assumption; all
{{ a.streams | length }} assignments of the study are reported.
{%- elif a.streams %} The assignment of regions to streams ({{ a.streams[0].name }}) is an assumption, and the only one
reported.
{%- endif %}
{%- if s.nuisance %} {{ s.nuisance | regressors | capitalize }} {{ "was" if s.nuisance | length == 1 else "were" }}
taken out, which was not done there.
{%- endif %}
{%- endif -%}
"""


def recorded(dataset: Recorded) -> list[str]:
    """What was recorded where, what a response is, and what was left out."""
    told = (_where(dataset.options), _response(dataset), _left_out(dataset.options))
    return [sentence for sentence in told if sentence]


def _where(options: Mapping[str, Any]) -> str:
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


def _response(dataset: Recorded) -> str:
    if dataset.window_s is None:
        return ""
    signal = SIGNALS.get(str(dataset.options.get("signal", "")), dataset.units or "the signal")
    movie = any(str(name).startswith(MOVIE) for name in dataset.options.get("stimuli", ()))
    onset = "each frame's onset" if movie else "each onset"
    text = f"A response is the mean of {signal} from {window_in_words(dataset.window_s)} after {onset}"
    per_bin = dataset.options.get("frames_per_bin")
    return f"{text}, averaged over bins of {counted(per_bin, 'frame')}" if movie and per_bin else text


def _left_out(options: Mapping[str, Any]) -> str:
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


OBSERVATORY = DatasetWords(recorded, DEPARTURES)
OTHER_MICE = DatasetWords(departures=DEPARTURES)
"""Of datasets that may hold the same areas but have other options."""
