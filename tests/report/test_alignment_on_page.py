"""What checks of alignment warned of, on the page: once for all models that say the same, and first of all."""

import dataclasses
import json

import numpy as np
import pytest

from pipeline.artifacts.scores import write_scores
from pipeline.report.read_scores import Misaligned, read_contents
from pipeline.report.sections.cautions import alignment_warnings
from tests.report.synthetic_models import Analysis, models_of
from tests.report.synthetic_scores import encoding_scores
from tests.report.test_page import words

pytestmark = pytest.mark.slow

REVERSED = "they stand in reverse in each run"
REMEDY = "check the order of the rows"


def warned(study, *found):
    name = study.facts.analyses[0].name
    contents = {**study.contents, name: dataclasses.replace(study.contents[name], misaligned=list(found))}
    return dataclasses.replace(study, contents=contents)


def test_models_that_say_the_same_say_it_once():
    found = [
        Misaligned("net", "g1", 0.02, 0.31, REVERSED, REMEDY),
        Misaligned("category", "g1", 0.01, 0.25, REVERSED, REMEDY),
        Misaligned("net", "g2", 0.0, 0.4, "they stand one row too far up in each run", REMEDY),
    ]
    first, second = alignment_warnings(found, 2)
    assert first.startswith(
        f"The responses of g1 may not be in the order of what was presented. They fit better if {REVERSED}"
    )
    assert "net (r 0.31 instead of 0.02) and category (r 0.25 instead of 0.01)" in first
    assert first.endswith("Check the order of the rows.")
    assert "of g2" in second and "one row too far up" in second
    assert alignment_warnings(found[:1], 1)[0].startswith("The responses may not be")


def test_the_page_says_so_at_its_head_and_where_the_results_are(sounds):
    name = sounds.facts.analyses[0].name
    text = words(warned(sounds, Misaligned("net", "g", 0.02, 0.31, REVERSED, REMEDY)).page())
    head, _, found = text.partition("What was found")
    assert f"The responses of {name} may not be in the order of what was presented: see the warnings" in head
    assert found.count(f"They fit better if {REVERSED}: net (r 0.31 instead of 0.02).") == 1
    assert "in the order of what was presented" not in words(sounds.page())


def test_scores_files_are_asked_for_their_warnings(tmp_path):
    spec = Analysis("sounds", {"A": 0.5}, 3, ("group",), items=True, ceiling=np.nan)
    model = models_of(spec)[0]
    kept = {"given_r": 0.02, "best_r": 0.31, "best": REVERSED, "margin": 0.1, "remedy": REMEDY}
    for alignment, expected in (
        ({**kept, "warns": True}, [Misaligned(model.name, "g", 0.02, 0.31, REVERSED, REMEDY)]),
        ({**kept, "warns": False, "margin": None}, []),
        (None, []),
    ):
        scores = encoding_scores(spec, model, np.random.default_rng(0))
        if alignment is not None:
            scores.attrs["alignment"] = json.dumps(alignment)
        write_scores(scores, tmp_path / "scores.nc")
        assert read_contents([tmp_path / "scores.nc"], [model.name]).misaligned == expected
