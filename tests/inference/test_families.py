"""p of contrasts, corrected for what is looked at together."""

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from pipeline.inference.questions.families import holm, with_families

pytestmark = pytest.mark.slow


def row(contrast, region, p, subject="all", model="net", compartment="all"):
    where = {
        "analysis": "a",
        "metric": "ridge",
        "group": "g",
        "reference": "base",
        "p_equivalent": p / 2,
        "compartment": compartment,
    }
    return {**where, "contrast": contrast, "region": region, "subject": subject, "model": model, "p": p}


@pytest.mark.parametrize("seed", range(20))
def test_holm_is_that_of_statsmodels(seed):
    p = np.random.default_rng(seed).uniform(0, 0.2, 9) ** 2
    np.testing.assert_allclose(holm(p), multipletests(p, method="holm")[1])


def test_undefined_ps_are_no_members():
    assert holm(np.array([0.01, np.nan, 0.03])).tolist() == pytest.approx([0.02, np.nan, 0.03], nan_ok=True)
    assert np.isnan(holm(np.array([np.nan]))).all()


def test_regions_of_one_subject_are_a_family_and_other_subjects_and_contrasts_are_none_of_it():
    rows = [row("over base", region, p) for region, p in (("A", 0.01), ("B", 0.02), ("C", 0.5))]
    rows += [row("over base", "A", 0.04, subject="s1"), row("over rate", "A", 0.04)]
    found = with_families(rows)
    assert [one["p_family"] for one in found] == pytest.approx([0.03, 0.04, 0.5, 0.04, 0.04])
    assert [one["q"] for one in found] == pytest.approx([0.03, 0.03, 0.5, 0.04, 0.04])
    assert [one["p_equivalent_family"] for one in found] == pytest.approx([0.015, 0.02, 0.25, 0.02, 0.02])
    added = {"p_family": 0, "q": 0, "p_equivalent_family": 0}
    assert [{**one, **added} for one in found] == [{**one, **added} for one in rows]


def test_compartments_are_no_members_of_the_family_of_whole_regions():
    parts = [(where, region) for where in ("all", "L2/3", "L4", "L5") for region in ("A", "B")]
    found = with_families([row("over base", region, 0.01, compartment=where) for where, region in parts])
    assert [one["p_family"] for one in found] == pytest.approx([0.02] * 2 + [0.06] * 6)


def test_pairs_of_an_order_are_a_family():
    rows = [row(f"depth order: {pair}", "x", p) for pair, p in (("A before B", 0.01), ("B before C", 0.04))]
    rows.append(row("depth order in path1: A before B", "x", 0.04))
    assert [one["p_family"] for one in with_families(rows)] == pytest.approx([0.02, 0.04, 0.04])
