"""The table of held-out scores: r and R² as the map has them, and what is said of the ends of the penalty grid."""

import dataclasses

import numpy as np

from pipeline.report.sections.held_out import held_out_section
from pipeline.report.views import make_views
from pipeline.report.wording import number, with_interval


def section(study, **changes):
    view = make_views(study.facts, study.tables)[0]
    return held_out_section(study.facts, dataclasses.replace(view, **changes)), view


def test_numbers_are_those_of_the_map(listeners):
    found, view = section(listeners)
    assert [model for model, _ in found.groups] == ["net", "word-rate", "sound-power"]
    assert found.header[1:6] == ["r", "r / ceiling", "R²", "R² / reliability", "Reliability"]
    assert found.header[-1] == "Smallest / largest penalty"
    row = view.summary_of("net").loc["LIFG"]
    cells = dict(found.groups[0][1])["LIFG"]
    assert cells[1] == with_interval(row["best_layer_score"], row["ci_low"], row["ci_high"])
    assert cells[3] == with_interval(row["r2"], row["r2_ci_low"], row["r2_ci_high"])
    assert cells[4] == number(row["r2_normalised"])
    for cell, name in ((2, "score_normalised"), (5, "reliability")):
        assert cells[cell] == with_interval(row[name], row[f"{name}_ci_low"], row[f"{name}_ci_high"])
    assert row["score_normalised_ci_low"] < row["score_normalised"] < row["score_normalised_ci_high"]
    assert cells[-1].endswith(f"/\u00a0{number(100 * row['penalty_edge_high'], 0)}\u00a0%")
    assert row["r2_normalised"] > row["r2"] > 0
    assert "net 0.0\u00a0% and" in found.penalties.text and found.warning == ""


def test_what_penalties_are_chosen_by_is_said(listeners):
    found, view = section(listeners)
    assert found.note.endswith("They are chosen by squared error, which the size of predictions is part of.")
    assert found.penalties.text.endswith("The largest is taken where nothing is predicted.")
    by_r = dataclasses.replace(view.analysis, options={**view.analysis.options, "choose_by": "r"})
    found, _ = section(listeners, analysis=by_r)
    assert found.note.endswith("so that the size of predictions may be wrong, and R² low.")
    assert found.penalties.text.endswith("is predicted, or where r hardly depends on it.")
    other = {name: value for name, value in view.analysis.options.items() if name != "choose_by"}
    found, _ = section(listeners, analysis=dataclasses.replace(view.analysis, options=other))
    assert found.note.endswith("each fold at the layer scored.")  # a metric of one's own need not say


def test_many_targets_at_the_smallest_penalty_are_warned_of(listeners):
    _, view = section(listeners)
    summary = view.summary.copy()
    low = (summary["model"] == "net") & (summary["place"] == "LATL")
    summary.loc[low, "penalty_edge_low"] = 0.3
    summary.loc[summary["model"] == "word-rate", "penalty_edge_low"] = 0.9  # of few features, which need no penalty
    found, _ = section(listeners, summary=summary)
    assert found.warning.startswith(
        "Many targets sit at the smallest penalty of the grid (10⁻⁴): LATL 30.0\u00a0%. They"
    )
    summary.loc[low, "p_family"] = 0.4  # not predicted: nothing to be fitted wrongly
    assert section(listeners, summary=summary)[0].warning == ""


def test_metrics_without_a_grid_or_predictions(listeners, scenes):
    _, view = section(listeners)
    ends = {"penalty_edge_low": np.nan, "penalty_edge_high": np.nan}
    found, _ = section(listeners, summary=view.summary.assign(**ends, r2_normalised=np.nan))
    assert found.header == ["Layer", "r", "R²", "Targets"] and found.penalties is None and found.warning == ""
    assert section(scenes)[0] is None
