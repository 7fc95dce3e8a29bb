"""Two streams: what every assignment of regions gives, side by side, and whether the answer hangs on one region."""

import dataclasses

import pytest

from pipeline.report.sections.streams import differing_regions, stream_lines, stream_section
from pipeline.report.study_facts import StreamFacts
from pipeline.report.wording import NBSP
from tests.report.synthetic_models import STREAMS

NAMES = ["published", "anatomical", "VISpm omitted"]


def with_differences(view, of_network):
    """The view with other numbers for its network's pathways: assignment → (difference, low, high)."""
    table = view.streams.copy()
    for name, values in of_network.items():
        here = (table["assignment"] == name) & (table["model"] == "net") & (table["first"] == "path1")
        table.loc[here, ["difference", "ci_low", "ci_high", "p", "p_family"]] = (*values, *[float("nan")] * 2)
    return dataclasses.replace(view, streams=table)


def sentence(view, label="net, path1 − path2:"):
    return next(one.text for one in stream_section(view).findings if one.lead == label).replace(NBSP, " ")


def test_planted_streams_are_told_from_zero_under_every_assignment(movies):
    text = sentence(movies.views[0])
    assert text.startswith(
        "what path1 scores above path2, ventral minus dorsal, is distinguishable from 0, and above it"
    )
    assert all(f"({name})" in text for name in NAMES)
    assert "The answer is the same under every assignment." in text
    assert "Read as: layers chosen within each pathway; the areas' reliability scales both differences;" in text
    assert text.endswith("the interval leaves out how animals of VISam differ, of whom there are too few.")


def test_an_answer_that_hangs_on_a_region_names_it(movies):
    values = {"published": (0.01, -0.1, 0.12), "anatomical": (0.3, 0.1, 0.5), "VISpm omitted": (0.3, 0.1, 0.5)}
    text = sentence(with_differences(movies.views[0], values))
    assert "not distinguishable from 0: +0.01 [−0.10, 0.12] (published)" in text
    assert "distinguishable from 0, and above it: +0.30 [0.10, 0.50] (anatomical) and +0.30" in text
    assert "The answer depends on the assignment of VISpm." in text


def test_differences_below_zero_are_called_so(movies):
    text = sentence(with_differences(movies.views[0], {"published": (-0.2, -0.3, -0.1)}))
    assert "distinguishable from 0, and below it: −0.20 [−0.30, −0.10] (published)" in text
    assert "depends on the assignment" in text


def test_twins_are_told_together_and_what_they_share_is_not_training(movies):
    view = movies.views[0]
    twins = view.streams[view.streams["model"].str.contains("@") & (view.streams["first"] == "path1")]
    told = int((((twins["ci_low"] > 0) | (twins["ci_high"] < 0)) & (twins["p_family"] < 0.05)).sum())
    text = sentence(view)
    assert f"In its 2 random twins the same goes from +{twins['difference'].min():.2f} to" in text
    assert f"{told} of 6 {'is' if told == 1 else 'are'} distinguishable from 0" in text
    assert ("does not come from training" in text) == (told > 0)
    rows = stream_section(view).rows
    assert [row.label for row in rows] == [
        "net, path1 − path2",
        "its random twins: mean (range) of 2 seeds",
        "net less its random twins",
    ]
    mean = twins[twins["assignment"] == "published"]["difference"].mean()
    assert rows[1].cells[0].startswith(f"+{mean:.2f} (")


def test_a_network_is_told_less_its_twins_or_with_a_warning(movies):
    view = movies.views[0]
    text = sentence(view, "net less its random twins:")
    assert "less the mean of 2 random twins" in text and "; 2 seeds: too few for an interval; the" in text
    assert text.startswith("ventral minus dorsal is without a verdict: −0.01 (published)") and " values " not in text
    assert "The answer" not in text
    alone = view.streams.assign(reference=view.streams["model"])
    assert stream_lines(dataclasses.replace(view, streams=alone))[-1].label == "net"


def test_the_regions_of_each_side_stand_over_their_column(movies):
    section = stream_section(movies.views[0])
    assert section.header == [
        ("published", "ventral VISl, VISpm; dorsal VISal, VISam"),
        ("anatomical", "ventral VISl; dorsal VISal, VISpm, VISam"),
        ("VISpm omitted", "ventral VISl; dorsal VISal, VISam"),
    ]
    assert "they differ in VISpm" in section.intro
    assert section.note == "Brackets: intervals over subjects and stretches of neighbouring blocks."


def test_an_assignment_without_rows_is_not_passed_over(movies):
    view = movies.views[0]
    more = (*STREAMS, StreamFacts("lateral", ("VISli",), ("VISal",)))
    analysis = dataclasses.replace(view.analysis, streams=more)
    assert (
        "No comparison under lateral: a side has no region"
        in stream_section(dataclasses.replace(view, analysis=analysis)).note
    )
    nothing = dataclasses.replace(view, streams=view.streams.iloc[:0])
    assert stream_section(nothing).rows == stream_section(nothing).findings == []


def test_studies_without_assignments_have_no_section(pathways):
    assert stream_section(pathways.views[0]) is None


@pytest.mark.parametrize(
    ("streams", "regions"),
    [(STREAMS, ["VISpm"]), (STREAMS[:1], []), ((*STREAMS, StreamFacts("all", ("VISp",), ("VISal",)))[2:], None)],
)
def test_regions_that_change_sides_are_found(streams, regions):
    found = differing_regions(streams)
    assert found == regions if regions is not None else set(found) == {"VISp", "VISl", "VISam"}
