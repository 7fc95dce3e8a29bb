"""What simulations say of layers, on the page: where none is named, where nothing was simulated, what was left out."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from pipeline.artifacts.identifiability import FITTED
from pipeline.report.figures.depth import depth_plot
from pipeline.report.figures.identifiability import confusions, posterior_depths, recovered_networks
from pipeline.report.figures.profile import heat_maps
from pipeline.report.sections.agreement import _cell, _told
from pipeline.report.sections.depth_tables import depth_groups
from pipeline.report.sections.findings import model_findings
from pipeline.report.sections.identifiability import identifiability_section
from pipeline.report.sections.simulated import not_simulated, simulated_in_words
from pipeline.report.views import _with_credible_sets, left_out
from pipeline.report.wording import NBSP
from tests.report.test_page import words

NAN = float("nan")


def changed(study, **tables):
    """With other tables, each made from the study's own."""
    own = {name: change(study.tables[name].copy()) for name, change in tables.items()}
    return dataclasses.replace(study, tables={**study.tables, **own})


@pytest.fixture(scope="module")
def untold(pathways):
    """The layer of every region is sure, but for its pathway."""
    unknown = dict.fromkeys(("depth", "depth_low", "depth_high", "depth_error"), NAN)
    both = "path1.block2 | path2.block2"
    return changed(
        pathways, identifiability=lambda table: table.assign(**unknown, credible_set=both, distinguishable=0)
    )


def test_where_pathways_cannot_be_told_no_layer_is_named_and_no_depth_given(untold):
    view = untold.views[0]
    for pathway in ("", "path1", "path2"):
        found = model_findings(view, "net", pathway)
        texts = [one.text for one in found.regions if not one.text.startswith("not reliably above zero")]
        assert len(texts) >= 1 if pathway else len(texts) == 3
        for text in texts:
            assert text.startswith("layers not distinguishable: simulations do not tell pathways apart; r")
            assert "block" not in text and "depth" not in text
    assert "more than a third of the network or several pathways" in model_findings(view, "net").in_short
    cells = {cell for _, rows in identifiability_section(view).groups for _, (cell, *_) in rows}
    assert "pathway not distinguishable" in cells
    assert depth_groups(view) == []
    assert all(not trace["x"] for panel in heat_maps(view).panels for trace in panel.traces[1:])
    for panel in depth_plot(view).panels:
        if panel.title.startswith("net, "):
            notes = {note["text"] for note in panel.layout["annotations"]}
            assert notes == {"simulations do not tell pathways apart", "score not reliably above zero"}
            assert not any(trace["x"] for trace in panel.traces if trace.get("hoverinfo") != "skip")


def test_a_region_whose_pathway_cannot_be_told_has_a_row_without_depths(pathways, untold):
    """Beside others whose layers are named."""

    def some(table):
        return untold.tables["identifiability"].where(table["region"] == "VISpm", table)

    rows = {
        row.region: row
        for group in depth_groups(changed(pathways, identifiability=some).views[0])
        for row in group.rows
    }
    assert (rows["VISpm"].best, rows["VISpm"].depth_index) == ("pathway not distinguishable", "–")
    assert rows["VISpm"].hierarchy_index == "–"
    of_path1 = depth_groups(changed(pathways, identifiability=some).views[0])[0]
    visl = next(row for row in of_path1.rows if row.region == "VISl")
    assert visl.best.startswith("path1.block4 (depth 0.80") and visl.depth_index != "–"


def test_where_pathways_cannot_be_told_the_figure_has_no_point(untold):
    figure = posterior_depths(untold.views[0])
    panel = next(panel for panel in figure.panels if panel.title == "net")
    assert all(np.isnan(trace["x"]).all() for trace in panel.traces)
    assert "NaN" not in panel.to_json()


def test_metrics_that_cannot_tell_pathways_have_no_layer_to_agree_on(untold):
    view = untold.views[0]
    layers = view.layers("net")
    assert not _cell(view, "VISp", "net").best
    assert _told(_cell(view, "VISp", "net"), layers).startswith("above chance, of ")


def test_a_pathway_that_is_told_leaves_its_layers_named(pathways):
    found = model_findings(pathways.views[0], "net", "path2")
    assert "best layer path2.block2 (depth 0.40" in {one.lead: one.text for one in found.regions}["VISpm:"]


def test_what_is_said_of_a_network_holds_for_its_pathways(pathways):
    """Layers that span a third of one pathway are not named within it."""
    wide = changed(
        pathways, identifiability=lambda table: table.assign(depth_low=0.0, depth_high=1.0, distinguishable=0)
    )
    found = model_findings(wide.views[0], "net", "path2")
    text = {one.lead: one.text for one in found.regions}["VISpm:"]
    assert text.startswith("highest at path2.block2, which simulations do not tell from others of the whole network; ")


WHERE = {"analysis": "a", "metric": "ridge", "group": "g", "model": "net", "region": "R"}
DEPTHS = ("best_layer_index", "best_layer_depth", "depth_index", "depth_ci_low", "depth_ci_high")
HIERARCHY = ("hierarchy_index", "hierarchy_ci_low", "hierarchy_ci_high")


def summary(*places):
    known = {"best_layer": "b", **dict.fromkeys([*DEPTHS, *HIERARCHY], 0.5)}
    rows = [{**WHERE, **known, "subject": subject, "compartment": compartment} for subject, compartment in places]
    return pd.DataFrame(rows)


def sets(*subjects):
    told = {"readout": FITTED, "depth_low": 0.0, "depth_high": 0.9, "distinguishable": 0}
    return pd.DataFrame([{**WHERE, **told, "subject": subject} for subject in subjects])


@pytest.mark.parametrize(
    ("compartments", "identified"),
    [(["L4"], [0]), ([""], [0]), (["all", "L4", "L2/3"], [0, 1, 1])],
)
def test_a_single_compartment_is_the_whole_region(compartments, identified):
    """Layers of one compartment among several were not simulated by themselves."""
    found = _with_credible_sets(summary(*(("s1", one) for one in compartments)), sets("s1"))
    assert found["identified"].tolist() == identified


def test_one_subject_with_several_compartments_does_not_decide_for_another():
    found = _with_credible_sets(summary(("s1", "all"), ("s1", "L4"), ("s2", "L4")), sets("s1", "s2"))
    assert found["identified"].tolist() == [0, 1, 0]


def test_where_a_region_has_one_compartment_the_first_sentence_says_so_too(simulated):
    study = changed(
        simulated,
        **{name: (lambda table: table.assign(compartment="L4")) for name in ("row", "summary", "contrast")},
        identifiability=lambda table: table.assign(distinguishable=0),
    )
    found = model_findings(study.views[0], "net")
    assert found.in_short.startswith("Which layer responses come from cannot be told in any region")
    assert not any(one.text.startswith("best layer") for one in found.regions)


def test_averaged_scores_go_by_averaged_responses(listeners):
    """One page never names a layer in one view that it says cannot be told in the other."""
    scores, responses = listeners.views
    assert (scores.subject, responses.subject) == ("all", "mean")
    for view in (scores, responses):
        assert (view.summary[view.summary["model"] == "net"]["identified"] == 0).all()
        assert not any("best layer" in one.text for one in model_findings(view, "net").regions)
    assert not scores.is_simulated and scores.goes_by_mean
    found = _with_credible_sets(summary(("all", ""), ("mean", "")), sets("all", "mean").assign(distinguishable=[1, 0]))
    assert found["identified"].tolist() == [1, 0] and len(found) == 2


def test_what_was_not_simulated_is_said_once(scenes, joint, simulated, listeners):
    for study in (scenes, joint):
        assert words(study.page()).count("Which layers can be told apart was not simulated.") == 1
    assert "not simulated" not in words(simulated.page())
    text = "Of averaged scores, layers are told apart as far as simulations of averaged responses tell them."
    assert words(listeners.page()).count(text) == 1


def test_scores_within_categories_were_not_simulated(sounds):
    text = not_simulated(sounds.views)
    assert text == (
        "Which layers can be told apart was not simulated for encoding model (ridge), within categories, group data."
    )


def test_methods_name_what_was_simulated_and_what_was_not(movies, listeners, scenes):
    text = words(movies.page())
    assert "could be told apart in cells (scores of 3 subjects averaged), 20 data sets were simulated" in text
    assert "Nothing was simulated for similarity or cells (single subjects): layers are named there by" in text
    text = words(listeners.page())
    assert "Averaged scores of story go by what was simulated for the averaged responses." in text
    assert "(layers that never do were planted without noise, and nothing was planted in regions" in text
    assert "To see which layers could be told apart" not in words(scenes.page())


def test_tables_are_named_that_tell_layers_apart_in_subjects_behind_an_average(simulated):
    told = " Which layers can be told apart in them: data/maps/demo-identifiability.csv."
    summary, own = simulated.tables["summary"], simulated.tables["identifiability"]
    tables = {"summary": pd.concat([summary, summary.assign(subject="m", group="g1")])}
    assert left_out({**tables, "identifiability": own.assign(subject="m")}, "mouse", "data/maps/demo.nc").endswith(told)
    assert told not in left_out({**tables, "identifiability": own.assign(subject="all")}, "mouse", "data/maps/demo.nc")


def test_groups_whose_mean_alone_is_shown_were_simulated_by_themselves(simulated):
    """Groups that share their blocks: the map's view is their mean, the files are of single groups."""
    both = changed(
        simulated,
        identifiability=lambda table: pd.concat([table.assign(group=one, subject="m") for one in ("g1", "g2")]),
    )
    assert not_simulated(both.views) == "Which layers can be told apart was not simulated."
    found = simulated_in_words(both.views, both.tables["identifiability"])
    assert found.where == "mouse (2 groups by themselves)"
    assert found.lacking == "mouse (scores of 3 subjects averaged and single subjects)"
    assert identifiability_section(both.views[0]) is None


def test_regions_in_which_nothing_was_planted_are_left_out_and_counted(simulated):
    def without(table):
        return table[(table["region"] != "noise") | (table["planted_model"] != "net")]

    def no_noise(table):
        return table[(table["region"] != "noise") | (table["model"] != "net")]

    study = changed(simulated, recovery=without, confusion=no_noise)
    section = identifiability_section(study.views[0])
    text = " ".join(section.networks).replace(NBSP, " ")
    assert "responses from net are best predicted by it in" in text
    assert "data sets (3 of 4 regions; nothing was planted in the others)" in text
    assert text.count("of 4 regions") == 1
    for figure in (confusions(study.views[0]), recovered_networks(study.views[0])):
        assert figure.values["left"] == " In others nothing was planted; regions left: net 3 of 4."
    assert confusions(simulated.views[0]).values["left"] == ""
    assert "regions left: net 3 of 4." in words(study.page())


def test_a_network_of_which_nothing_was_planted_anywhere(simulated):
    study = changed(simulated, recovery=lambda table: table[table["planted_model"] != "net"])
    text = " ".join(identifiability_section(study.views[0]).networks)
    assert "responses from net " not in text and "responses from baseline-a" in text


def test_exceptions_to_as_strong_as_measured_are_stated(simulated):
    intro = identifiability_section(simulated.views[0]).intro
    assert "(none for layers that never do; where that score is not above 0, nothing was planted)" in intro
