"""The study's own calibration on the page: shares are the map's, and what is not kept is marked."""

import numpy as np
import pandas as pd
import pytest

from pipeline.artifacts.identifiability import NOTHING, PLANTED
from pipeline.artifacts.map import CALIBRATION_COLUMNS
from pipeline.inference.questions.calibration import AT_LEAST, AT_MOST, count
from pipeline.report.sections.calibration import STATEMENTS, calibration_section
from pipeline.report.wording import NBSP
from tests.report.test_page import words

UNTESTED = "the samples allow fewer than 5 other orders to make noise of"


def table(view, rows):
    where = {"study": "s", "analysis": view.analysis.name, "metric": view.metric, "group": view.group}
    where |= {"subject": view.subject, "model": "net", "untested": ""}
    return pd.DataFrame([where | row for row in rows], columns=list(CALIBRATION_COLUMNS))


def with_rows(study, rows):
    tables = {**study.tables, "calibration": table(study.views[0], rows)}
    return type(study)(study.facts, tables, study.contents)


def hits(n, of=100):
    return np.random.default_rng(0).permutation(np.repeat([1.0, 0.0], [n, of - n])).reshape(20, -1)


def rows(n_p=4, n_zero=96):
    return [
        {"kind": NOTHING, "statistic": "p", **count(hits(n_p), 0.05, AT_MOST)},
        {"kind": NOTHING, "statistic": "zero", **count(hits(n_zero), 0.95, AT_LEAST)},
        {"kind": PLANTED, "statistic": "found", **count(hits(50), float("nan"), "")},
    ]


def test_what_is_kept_is_said_in_one_sentence(sounds):
    study = with_rows(sounds, rows())
    page = study.page()
    text = words(page)
    assert "Do this study's own tests keep what they promise?" in text
    assert "20 data sets of nothing" in text and "best layer of net" in text
    assert f"4.0 % ± {100 * rows()[0]['se']:.1f} % (4 of 100)" in text.replace(NBSP, " ")
    assert "None of the 2 shares is beyond its promise by more than two errors." in text
    assert "<strong>4.0" not in page


@pytest.mark.parametrize(
    ("changed", "statistic", "mark"), [({"n_p": 30}, "p", "no: too often"), ({"n_zero": 60}, "zero", "no: too seldom")]
)
def test_what_is_not_kept_is_marked(sounds, changed, statistic, mark):
    study = with_rows(sounds, rows(**changed))
    page = study.page()
    assert f"<strong>{mark}</strong>" in page
    assert page.count("<strong>no: ") == 1
    text = words(page).replace(NBSP, " ")
    assert f"Beyond its promise by more than two errors: {STATEMENTS[NOTHING, statistic]}." in text
    assert "By chance that happens to one share in 40, so to one of 2 in up to 5.0 % of studies." in text


def test_too_few_orders_say_why(sounds):
    row = {**rows()[0], "kind": "", "statistic": "", "n": 0, "of": 0, "untested": UNTESTED}
    text = words(with_rows(sounds, [row]).page())
    assert f"Not tried: {UNTESTED}." in text
    assert "Promised" not in text


def test_nothing_where_it_was_not_wanted(sounds):
    study = with_rows(sounds, [])
    assert calibration_section(study.views[0]) is None
    assert "own tests keep" not in words(study.page())


def test_the_map_counts_what_identify_left(sounds):
    rows = sounds.tables["calibration"].set_index(["kind", "statistic"])
    assert set(rows.index) == set(STATEMENTS) - {(PLANTED, "above")}  # of studies without other orders
    assert (rows["kept"] == 1).all() and (rows["untested"] == "").all()
    assert rows.loc[(NOTHING, "p"), ["of", "n_data_sets"]].tolist() == [20 * 2, 20]
    assert rows.loc[(PLANTED, "found"), "share"] == 1
