"""The sentence that a page begins with: all verdicts, one and many regions, with and without seeds."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from pipeline.inference.questions.seeds import MEAN_REGION
from pipeline.report.sections.comparisons import answer, contrast_findings
from pipeline.report.wording import NBSP

NAME = "predicting over labelling"
FEW = "the mean of 2 seeds; no p; values .31 | .29 against .25 | .24"


def rows(*numbers, n=5, model="a-pre@seed", reference="a-lab@seed", mean=True, margin=np.nan, p_equivalent=np.nan):
    """(difference, low, high, p) of regions R1, R2, …, the last for their mean; few seeds have no interval and p."""
    names = [f"R{number + 1}" for number in range(len(numbers) - mean)] + ([MEAN_REGION] if mean else [])
    few = n < 5
    return pd.DataFrame(
        [
            {
                "contrast": NAME,
                "region": name,
                "place": name,
                "model": model,
                "reference": reference,
                "model_score": 0.3 + difference,
                "n_models": n if model.endswith("@seed") else 1,
                "reference_score": 0.3,
                "best_reference_score": 0.31,
                "n_references": n if reference.endswith("@seed") else 1,
                "difference": difference,
                "ci_low": np.nan if few else low,
                "ci_high": np.nan if few else high,
                "units_ci_low": low,
                "units_ci_high": high,
                "ci_unit": "item",
                "p": np.nan if few else p,
                "p_family": np.nan if few else p,
                "margin": margin,
                "p_equivalent": p_equivalent,
                "p_equivalent_family": p_equivalent,
                "statement": FEW if few else "the mean of 5 seeds",
            }
            for name, (difference, low, high, p) in zip(names, numbers, strict=True)
        ]
    )


@pytest.fixture
def view(sounds):
    def of(table):
        return dataclasses.replace(sounds.views[0], contrasts=table)

    return of


def told(view, table):
    return answer(view(table), NAME).replace(NBSP, " ")


SURE, LOWER, UNSURE = (0.042, 0.012, 0.072, 0.004), (-0.042, -0.072, -0.012, 0.004), (0.004, -0.02, 0.028, 0.6)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (
            rows(SURE, UNSURE, SURE),
            "a-pre (5 seeds) exceeds a-lab (5 seeds): a difference of +0.042 [0.012, 0.072], p = 0.004; interval over "
            "seeds and items; mean r over 2 regions.",
        ),
        (
            rows(LOWER, UNSURE, LOWER),
            "a-pre (5 seeds) falls below a-lab (5 seeds): a difference of −0.042 [−0.072, −0.012], p = 0.004; interval "
            "over seeds and items; mean r over 2 regions.",
        ),
        (
            rows(SURE, UNSURE, UNSURE),
            "These data do not tell a-pre (5 seeds) from a-lab (5 seeds): a difference of +0.004 [−0.020, 0.028], "
            "p = 0.60; interval over seeds and items; mean r over 2 regions.",
        ),
        (
            rows(UNSURE, UNSURE, UNSURE, margin=0.05, p_equivalent=0.01),
            "These data do not tell a-pre (5 seeds) from a-lab (5 seeds): a difference of +0.004 [−0.020, 0.028], "
            "p = 0.60; interval over seeds and items; mean r over 2 regions; equivalent within ± 0.05.",
        ),
        (
            rows(SURE, mean=False),
            "a-pre (5 seeds) exceeds a-lab (5 seeds): a difference of +0.042 [0.012, 0.072], p = 0.004; interval over "
            "seeds and items; R1.",
        ),
        (
            rows(SURE, UNSURE, SURE, n=2),
            "Whether a-pre (2 seeds) exceeds a-lab (2 seeds) cannot be told yet, as it takes 5 seeds of each for a p: "
            "these networks have a difference of +0.042 in mean r over 2 regions ([0.012, 0.072] over items alone; "
            "seed by seed .31 | .29 against .25 | .24).",
        ),
        (
            rows(SURE, mean=False, n=1),
            "Whether a-pre (1 seed) exceeds a-lab (1 seed) cannot be told yet, as it takes 5 seeds of each for a p: "
            "these networks have a difference of +0.042 in R1 ([0.012, 0.072] over items alone; seed by seed .31 | .29 "
            "against .25 | .24).",
        ),
        (
            rows(SURE, LOWER, UNSURE, model="net", reference="pixels", mean=False),
            "net exceeds pixels in 1 of 3 regions (R1), falls below it in R2 and cannot be told from it in 1.",
        ),
        (
            rows(UNSURE, UNSURE, model="net", reference="pixels", mean=False),
            "net exceeds pixels in 0 of 2 regions and cannot be told from it in 2.",
        ),
    ],
)
def test_every_verdict_is_a_sentence(view, table, said):
    assert told(view, table) == said


def test_a_contrast_that_is_not_there_has_no_answer(view):
    assert answer(view(rows(SURE)), "another") == ""


def test_the_mean_over_regions_comes_before_them_and_is_none_of_them(view):
    text = contrast_findings(view(rows(SURE, UNSURE, SURE)))[0].text.replace(NBSP, " ")
    assert text.startswith(
        "mean over regions +0.04 [0.01, 0.07], p = 0.004 (0.34 against 0.30); above zero in 1 of 2 regions: R1 "
    )
    assert "p is corrected for the 2 regions (Holm)" in text
    few = contrast_findings(view(rows(SURE, UNSURE, SURE, n=2)))[0].text.replace(NBSP, " ")
    assert few.startswith(
        "mean over regions +0.04 (0.34 against 0.30; [0.01, 0.07] for these networks alone); no verdict in R1 +0.04 "
    )
    assert "above zero" not in few  # an interval over items alone is no verdict
    assert ".31 | .29" not in few  # the values are those of one region


def test_the_page_begins_with_it(sounds):
    (analysis,) = sounds.facts.analyses
    asked = dataclasses.replace(analysis, question_contrast=NAME)
    table = sounds.tables["contrast"].iloc[:0]
    where = {
        name: sounds.tables["summary"][name].iloc[0] for name in ("study", "analysis", "metric", "group", "subject")
    }
    added = rows(SURE, UNSURE, SURE).drop(columns="place").assign(**where, compartment="", n_units=30, q=np.nan)
    table = added.assign(p_mixed=np.nan)[list(table.columns)]
    study = dataclasses.replace(
        sounds, facts=dataclasses.replace(sounds.facts, analyses=(asked,)), tables={**sounds.tables, "contrast": table}
    )
    page = study.page()
    assert page.index('<p class="answer">') < page.index('class="question"') < page.index('id="found"')
    assert page.count('<p class="answer">') == 1
    assert '<p class="answer">' not in sounds.page()
