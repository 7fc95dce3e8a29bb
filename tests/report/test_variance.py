"""What layers add to feature spaces, on the page: numbers are the map's, and nothing is claimed where it holds 0."""

import json

import plotly.graph_objects as go
import pytest

from pipeline.report.figures.variance import variance_bars, variance_profiles
from pipeline.report.sections.variance import variance_section
from pipeline.report.wording import NBSP
from tests.report.test_page import words


@pytest.fixture(scope="module")
def view(joint):
    return next(view for view in joint.views if view.subject == "all")


def test_only_what_exceeds_the_largest_of_other_orders_is_claimed(joint, view):
    table = joint.tables["variance"]
    rows = table[(table["subject"] == "all") & (table["model"] == "net") & (table["nested"] == 1)]
    rows = rows[rows["space"] == "layer"].set_index("region")
    (finding,) = variance_section(view).findings
    adds, _, rest = finding.text.partition("; ")
    assert (rows["p_family"] < 0.05).sum() == 2 and (rows.loc["noise", "unique_r2_ci_high"] < 0)
    assert (rows["n_permutations"] == 99).all() and (rows["untested"] == "").all()
    against = ".05 against the largest of the 3 in 99 other orders of what word-rate leaves"
    assert adds.startswith(
        f"its nested best layer adds to word-rate in 2 of 3 regions (p{NBSP}<{NBSP}{against}): "
        f"LATL {rows['unique_r2']['LATL']:.3f}"
    )
    assert f"], p{NBSP}={NBSP}0.01" in adds
    assert "noise" not in adds and "predicts reliably less than word-rate alone in noise" in rest

    def said(**changed):
        tables = {**joint.tables, "variance": table.assign(**changed)}
        (finding,) = variance_section(type(joint)(joint.facts, tables, joint.contents).views[0]).findings
        return finding.text

    alike = said(p_family=0.06, unique_r2_ci_low=0.1, unique_r2_ci_high=0.3)  # an interval alone does not suffice
    assert alike.startswith(f"its nested best layer adds to word-rate in no region (of 3; p{NBSP}≥{NBSP}{against}); ")
    assert "what it adds cannot be told from zero in LATL" in alike
    untested = said(p_family=float("nan"), unique_r2_ci_low=0.1, unique_r2_ci_high=0.3, untested="too few")
    assert untested.startswith(
        "its nested best layer adds, by its interval, to word-rate in 3 of 3 regions (no p: too few)"
    )


def test_twins_are_not_tested(joint):
    table = joint.tables["variance"]
    twins = table[table["model"].str.contains("@")]
    assert len(twins) and twins[["p", "p_family", "q"]].isna().all(axis=None) and (twins["n_permutations"] == 0).all()
    assert (twins["untested"] == "twins are compared, not tested").all()


def test_shares_and_offset_sum_to_the_joint_r2_in_every_row(joint):
    table = joint.tables["variance"]
    where = ["subject", "model", "layer", "nested", "region"]
    fits = table.groupby(where).agg({"share_r2": "sum", "offset_r2": "first", "joint_r2": "first"})
    assert (fits["share_r2"] + fits["offset_r2"]).tolist() == pytest.approx(fits["joint_r2"].tolist())
    assert table["unique_r2"].tolist() == pytest.approx((table["joint_r2"] - table["without_r2"]).tolist())
    rows = joint.tables["row"].merge(table[table["nested"] == 0], on=["subject", "model", "layer", "region"])
    assert len(rows) and rows["r2"].tolist() == pytest.approx(rows["joint_r2"].tolist())
    best = joint.tables["summary"].merge(table[table["nested"] == 1], on=["subject", "model", "region"])
    assert best["r2"].tolist() == pytest.approx(best["joint_r2"].tolist())


def test_figures_show_the_tables_numbers(view):
    profile = variance_profiles(view).panels[0]
    lines = {trace["name"]: trace for trace in profile.traces if "name" in trace}
    own = view.variance[(view.variance["place"] == profile.title) & (view.variance["model"] == "net")]
    own = own[(own["nested"] == 0) & (own["space"] == "layer")].sort_values("relative_depth")
    assert lines["unique"]["y"] == own["unique_r2"].tolist() and lines["unique"]["x"] == own["relative_depth"].tolist()
    assert lines["share of the layer"]["y"] == own["share_r2"].tolist()
    assert {"share of word-rate", "R² without the layer", "net@random-0: unique"} <= set(lines)
    (bars,) = variance_bars(view).panels
    assert [trace["type"] for trace in bars.traces] == ["bar", "bar", "scatter"]
    assert bars.traces[2]["marker"]["symbol"] == ["diamond"] * 3
    for panel in (profile, bars):
        assert len(go.Figure(json.loads(panel.to_json())).data) == len(panel.traces)


def test_the_page_says_what_was_fitted_jointly(joint, listeners):
    text = words(joint.page())
    assert "Net, a network, fitted jointly with word-rate." in text
    assert "Joint encoding model (banded ridge)" in text and "What layers add to word-rate" in text
    assert "Read as: what net adds to word-rate: a joint fit of net and word-rate against word-rate alone." in text
    assert "of the same architecture; both fitted jointly with word-rate; 1 seed: too few for an interval" in text
    assert "one of 13 weightings of the layer and word-rate" in text and "Nunez-Elizalde et al. 2019" in text
    assert "What layers add" not in words(listeners.page())
