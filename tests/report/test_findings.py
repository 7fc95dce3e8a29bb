"""Sentences say what the tables hold, and no more."""

import dataclasses

import numpy as np
import pytest

from pipeline.report.sections.comparisons import contrast_findings, order_findings
from pipeline.report.sections.depth_tables import depth_groups, hierarchy_index, planted_table
from pipeline.report.sections.findings import (
    model_findings,
    parts_of,
    region_sentence,
    shuffled_sentence,
    unit_sentence,
)
from pipeline.report.views import left_out
from pipeline.report.wording import NBSP

pytestmark = pytest.mark.slow

LAYERS = [f"block{k}" for k in range(9)]


@pytest.fixture
def row():
    return {
        "place": "VISp",
        "best_layer": "block2",
        "best_layer_choices": "block2 | block2 | block3 | block2 | block2",
        "best_layer_index": 2.0,
        "best_layer_depth": 0.25,
        "best_layer_score": 0.41,
        "ci_low": 0.35,
        "ci_high": 0.47,
        "p_family": 0.001,
        "n_permutations": 1000,
        "best_layer_set": "block2 | block3",
        "distinguishable": 1,
        "ceiling": 0.5,
        "ceiling_kind": "split_half_spearman_brown",
        "score_normalised": 0.82,
        "score_normalised_ci_low": 0.68,
        "score_normalised_ci_high": 0.96,
        "reliability": 0.25,
        "reliability_ci_low": 0.2,
        "reliability_ci_high": 0.29,
        "n_constant": 0,
        "identified": 1,
        "model": "net",
        "pathway": "main",
    }


def sentence(simulated, row):
    return region_sentence(simulated.views[0], row, {"": LAYERS}).replace(NBSP, " ")


def test_a_region_with_a_best_layer(simulated, row):
    text = sentence(simulated, row)
    assert text.startswith("best layer block2 (depth 0.25, chosen in 4 of 5 folds; block2–block3 (2 of 9)")
    assert "r = 0.41 [0.35, 0.47]" in text
    assert "0.82 [0.68, 0.96] of what its reliability allows (ceiling 0.50)" in text


def test_a_ceiling_across_animals_is_called_what_they_agree_on(simulated, row):
    text = sentence(simulated, {**row, "ceiling_kind": "across_animals | none"})
    assert "That is 0.82 [0.68, 0.96] of what animals agree on (ceiling 0.50)." in text


def test_a_region_that_is_not_surely_reliable_is_said_to_be_so(simulated, row):
    unsure = {"ceiling": float("nan"), "reliability": 0.06, "reliability_ci_low": -0.02, "reliability_ci_high": 0.13}
    text = sentence(simulated, {**row, **unsure})
    assert text.endswith("No ceiling: a reliability of 0.06 [−0.02, 0.13] is not surely above the floor.")
    assert "ceiling" not in sentence(simulated, {**row, **unsure, "reliability_ci_low": float("nan")}).lower()


def test_layers_that_cannot_be_told_apart_are_not_named_best(simulated, row):
    text = sentence(simulated, {**row, "distinguishable": 0, "best_layer_set": " | ".join(LAYERS[1:8])})
    assert text.startswith("layers not distinguishable: block1–block7 (7 of 9)")
    assert "best layer block2" not in text


@pytest.mark.parametrize("changed", [{"p_family": 0.06}, {"p_family": float("nan"), "ci_low": -0.01}])
def test_a_score_that_others_reach_by_chance_names_no_layer_and_no_share_of_the_ceiling(simulated, row, changed):
    text = sentence(simulated, {**row, **changed})
    assert text.startswith("not reliably above zero")
    assert "block2" not in text
    assert "reliability allows" not in text


def test_a_score_below_zero_is_called_so(simulated, row):
    below = {"best_layer_score": -0.2, "ci_low": -0.3, "ci_high": -0.1, "p_family": 1.0}
    assert sentence(simulated, {**row, **below}).startswith("below zero")


def test_a_score_that_is_undefined_and_its_constant_targets(simulated, row):
    text = sentence(simulated, {**row, "best_layer_score": float("nan"), "n_constant": 3})
    assert text == "no score could be computed. 3 constant targets left out."


def test_a_layer_that_simulations_do_not_tell_is_not_named(simulated, row):
    text = sentence(simulated, {**row, "identified": 0, "credible_low": 0.1, "credible_high": 0.9})
    assert text.startswith("highest at block2, which simulations do not tell from layers at depths of 0.10 to 0.90; r")


def test_the_first_sentence_says_where_layers_cannot_be_told(listeners):
    text = model_findings(listeners.views[-1], "net").in_short
    assert text.startswith("Which layer responses come from cannot be told in any region: of responses simulated")
    assert "A best layer can be named" not in text


def test_planted_regions_are_found_and_noise_is_not(simulated):
    found = model_findings(simulated.views[0], "net")
    tested = f"p{NBSP}<{NBSP}.05 against the largest of the 4 in 99 other orders of the responses"
    assert found.in_short.startswith(f"The score is reliably above zero in 3 of 4 regions ({tested}), highest in ")
    by_region = {one.lead: one.text for one in found.regions}
    assert by_region["VISp:"].startswith("best layer block1")
    assert by_region["noise:"].startswith("not reliably above zero")


def test_pathways_are_told_one_by_one_after_the_whole(pathways):
    view = pathways.views[0]
    whole, first, second = (model_findings(view, "net", name) for name in ("", "path1", "path2"))
    assert whole.title == "Net, a network, all pathways"
    assert second.title == "Net, a network, within path2"
    by_region = {one.lead: one.text for one in whole.regions}
    assert by_region["VISpm:"].startswith("best layer path2.block2")
    assert {one.lead: one.text for one in first.regions}["VISl:"].startswith("best layer path1.block4 (depth 0.80")
    assert {one.lead: one.text for one in second.regions}["VISpm:"].startswith("best layer path2.block2 (depth 0.40")
    for found in (whole, first, second):
        assert {one.lead: one.text for one in found.regions}["noise:"].startswith("not reliably above zero")


def test_layers_of_two_pathways_are_no_neighbours(pathways, row):
    view = pathways.views[0]
    both = {**row, "distinguishable": 0, "best_layer_set": "stem | path1.block5 | path2.block0 | path2.block1"}
    text = region_sentence(view, both, parts_of(view, "net"))
    expected = "stem, path1.block5 (1 of 6) and path2.block0–path2.block1 (2 of 6) are not reliably below the best"
    assert f"layers not distinguishable: {expected}" in text


def test_order_within_pathways_is_named_after_them(pathways):
    found = {one.lead: one.text for one in order_findings(pathways.views[0])}
    assert set(found) == {"Depth order, net path1:", "Depth order, net path2:", "Depth order, own-net:"}
    assert "VISp before VISl" in found["Depth order, net path1:"]


def test_contrasts_say_what_they_are_read_as(pathways):
    found = {one.lead: one.text for one in contrast_findings(pathways.views[0])}
    read = {lead: text.partition("Read as: ")[2] for lead, text in found.items()}
    assert read["trained over shuffled twins:"].startswith(
        "trained against the mean of 2 shuffled twins of the same architecture; 2 seeds: too few for an interval"
    )
    assert read["path2 over random twins:"].endswith(
        "; layers of both chosen within path2; 2 seeds: too few for an interval."
    )
    assert read["net over own-net:"] == "not a test of the learning objective."


def test_planted_table_compares_layer_by_layer(simulated):
    table = planted_table(simulated.views[0])
    assert [row.region for row in table.rows] == ["VISp", "VISl", "VISam", "noise"]
    assert [row.planted.split()[0] for row in table.rows] == ["block1", "block3", "block7", "nothing"]
    assert table.rows[3].recovered == "score not reliably above zero"
    assert table.rows[3].depth_index == "undefined: flat profile"
    assert "0 layers in 3 regions" in table.sentence
    assert "1.00" in table.sentence


def test_hierarchy_index_is_told_where_a_best_layer_is(simulated, row):
    rows = planted_table(simulated.views[0]).rows
    found = [one.hierarchy_index for one in rows]
    # block1, block3 and block7 of nine layers are the 2nd, 4th and 8th from shallow
    assert [one.partition(NBSP)[0] for one in found] == ["0.22", "0.44", "0.89", "–"]
    undefined = {**row, "hierarchy_index": float("nan"), "hierarchy_ci_low": 0.1, "hierarchy_ci_high": 0.2}
    assert hierarchy_index(undefined) == "–"


def test_depths_are_told_pathway_by_pathway(pathways, movies):
    groups = depth_groups(pathways.views[0])
    assert [one.network for one in groups] == ["net, path1", "net, path2", "own-net"]
    assert [len(one.rows) for one in groups] == [4, 4, 4]
    table = {group.network: {row.region: row for row in group.rows} for group in depth_groups(movies.views[0])}
    assert table["net, path1"]["VISl"].hierarchy_index.startswith("1.00")
    # stem, block0 and block1 of path2, of four layers
    assert table["net, path2"]["VISal"].hierarchy_index.startswith("0.75")
    assert table["net, path1"]["VISpm"].hierarchy_index == "–"


def test_planted_table_is_only_for_simulations(listeners):
    assert planted_table(listeners.views[0]) is None


def test_contrasts_sort_regions_by_their_intervals_and_p(simulated):
    view = simulated.views[0]
    table = view.contrasts[view.contrasts["contrast"] == "trained over random twins"].assign(
        model_score=0.31, reference_score=0.22, best_reference_score=0.25, n_references=5, difference=0.09
    )
    table["ci_low"], table["ci_high"] = [0.02, 0.01, -0.1, np.nan], [0.16, 0.17, 0.2, np.nan]
    table["p"] = table["p_family"] = [0.01, 0.06, 0.4, np.nan]
    text = contrast_findings(dataclasses.replace(view, contrasts=table))[0].text
    sides = "(0.31 against a mean of 0.22 of 5 twins, best 0.25)"
    assert text.startswith(f"above zero in 1 of 3 regions: VISp +0.09 [0.02,{NBSP}0.16], p{NBSP}={NBSP}0.01 {sides}; ")
    _, _, rest = text.partition("not distinguishable from zero in ")
    assert rest.startswith("VISl") and "VISam" in rest.partition("; ")[0]  # an interval without a p does not suffice
    assert f"; no verdict in noise +0.09 {sides}. p is corrected for the 3 regions (Holm). Read as: " in rest
    assert " values " not in text  # they are those of one region


def test_no_difference_is_a_finding_only_within_a_stated_margin(simulated):
    """Of four regions: different and yet small, equivalent, undecided, and untested."""
    view = simulated.views[0]
    table = view.contrasts[view.contrasts["contrast"] == "trained over random twins"].assign(
        n_references=5, difference=[0.012, 0.001, 0.012, 0.3], margin=0.02
    )
    table["ci_low"], table["ci_high"] = [0.008, -0.01, -0.05, np.nan], [0.016, 0.01, 0.07, np.nan]
    table["p"] = table["p_family"] = [0.001, 0.7, 0.4, np.nan]
    table["p_equivalent_family"] = [0.03, 0.002, 0.3, np.nan]
    text = contrast_findings(dataclasses.replace(view, contrasts=table))[0].text
    within, p = f"within ±{NBSP}0.02", f"p{NBSP}={NBSP}"
    assert f"VISp +0.01 [0.01,{NBSP}0.02], {p}0.001, yet equivalent {within}, {p}0.03 (" in text
    assert f"; equivalent {within} (two one-sided tests) in VISl +0.00 [−0.01,{NBSP}0.01], {p}0.002 (" in text
    assert f"; neither different nor equivalent {within} in VISam +0.01 [−0.05,{NBSP}0.07], {p}0.40 (" in text
    assert "; no verdict in noise +0.30 (" in text and "not distinguishable" not in text


def test_few_seeds_have_no_verdict(simulated):
    view = simulated.views[0]
    text = contrast_findings(view)[0].text
    assert text.startswith("no verdict in VISp +") and "1 seed: too few for an interval" in text
    assert "above zero" not in text and "not distinguishable" not in text


def test_contrast_below_zero_is_not_hidden(simulated):
    view = simulated.views[0]
    turned = view.contrasts.assign(difference=-0.3, ci_low=-0.4, ci_high=-0.2, p=0.001)
    text = contrast_findings(dataclasses.replace(view, contrasts=turned))[0].text
    assert text.startswith("above zero in no region (of 4); below zero in VISp −0.30")


def test_order_counts_its_pairs(simulated):
    text = order_findings(simulated.views[0])[0].text
    assert text.startswith(
        "of 3 pairs of regions in the study's order, the later region's best layer lies reliably deeper"
    )
    assert "deeper in 3 (VISp before VISl, VISp before VISam, VISl before VISam)" in text
    assert "First to last, VISp before VISam: difference in depth" in text and text.endswith(f", p{NBSP}={NBSP}0.03.")


def test_order_leaves_out_regions_that_are_not_predicted(simulated, shuffled):
    text = order_findings(simulated.views[0])[0].text
    assert "Left out: 3 pairs with a region whose score is not reliably above zero" in text
    assert "noise" not in text
    assert order_findings(shuffled.views[0])[0].text.startswith("nothing can be said")


def test_intervals_are_named_after_what_was_drawn(simulated, listeners, sounds):
    assert "over held-out blocks" in unit_sentence(simulated.facts, simulated.views[0])
    by_subject = {view.subject: unit_sentence(listeners.facts, view) for view in listeners.views}
    assert "over subjects" in by_subject["all"]
    assert "over held-out blocks" in by_subject["mean"]
    assert unit_sentence(sounds.facts, sounds.views[0]).endswith("No ceiling is known.")


def test_blocks_of_similarity_structures_are_drawn_in_stretches(movies):
    text = unit_sentence(movies.facts, movies.views[0])
    assert "over subjects and stretches of neighbouring blocks" in text  # VISam has seven mice
    assert "held-out blocks" not in text
    assert "Ceilings: √ mean agreement of two animals' matrices of a region; estimates, which" in text
    assert movies.views[0].subject_in_words == "scores of 7 to 9 subjects averaged, region by region"
    assert "over held-out blocks" in unit_sentence(movies.facts, movies.views[1])


def test_comparisons_of_streams_are_no_contrasts(movies):
    view = movies.views[0]
    assert len(view.streams) > 0
    assert not view.contrasts["contrast"].str.startswith("streams").any()
    assert not view.subject_contrasts["contrast"].str.startswith("streams").any()
    assert not any("streams" in one.lead for one in contrast_findings(view))


def test_subjects_left_out_are_counted(movies, simulated):
    assert left_out(movies.tables, "similarity", "data/maps/movies.nc").startswith(
        "Not told one by one: the 9 subjects behind the averages; see data/maps/movies.csv (layers)"
    )
    summary = movies.tables["summary"]
    single = {"summary": summary[summary["subject"] != "all"]}
    assert left_out(single, "similarity", "data/maps/movies.nc").startswith("Left out here: 5 of 9 subjects; see")
    one = {"summary": summary[summary["subject"] == "mouse-0"]}
    assert left_out(one, "similarity", "data/maps/movies.nc") == ""


def test_within_category_scores_are_a_view_of_their_own(sounds):
    assert [view.metric for view in sounds.views] == ["ridge", "ridge-within-category"]
    assert sounds.views[1].score_name == "held-out within-category r"


def test_compartments_do_not_count_as_regions(scenes):
    view = scenes.views[0]
    assert view.places == ["VISp", "VISam"]
    assert set(view.compartments["place"]) == {"VISp L2/3", "VISp L4", "VISam L2/3", "VISam L4"}


def test_shuffled_study_finds_nothing_and_says_how_near(shuffled):
    text = shuffled_sentence(shuffled.facts, shuffled.views)
    assert "0 reliably above zero" in text
    assert model_findings(shuffled.views[0], "net").in_short.startswith("In none of 4 regions")
