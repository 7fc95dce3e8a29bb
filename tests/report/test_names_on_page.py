"""What the page says of a dataset or a metric stands in its entry: what writes pages names none of them."""

import dataclasses
import re
from pathlib import Path

import pytest

from pipeline.core.code_version import modules_behind
from pipeline.core.prose import DatasetWords
from pipeline.recordings.registry import DATASETS
from pipeline.study.load import load_study
from pipeline.study.metrics import METRICS, metric_words
from pipeline.study.page_facts import words_of
from pipeline.study.plan import plan_study

PIPELINE = Path(__file__).parents[2] / "pipeline"
PLACES = [PIPELINE / "report", PIPELINE / "inference", PIPELINE / "study" / "estimate_stage.py"]
TEXTS = {".py", ".j2", ".yaml", ".js", ".css"}
ORDINARY = {
    "files": "scores files, files of a dataset: a word of every second docstring",
    "mapping": "what a dict is",
    "cka": "the key of its reference",
    "ridge": "the family of fits whose penalties the page shows, and a word of the references' titles",
}
"""Kinds that are words of everyday English, or of the field, too: they count where they are compared or looked up, that
is as a whole literal."""


def files_of(places):
    return [path for place in places for path in ([place] if place.is_file() else sorted(place.rglob("*")))]


def names_in(text, kinds):
    """Kinds that stand in a text as a word; those that are ordinary words only in quotation marks of their own."""
    found = []
    for kind in kinds:
        pattern = rf"([\"']){kind}\1" if kind in ORDINARY else rf"(?<![A-Za-z0-9_]){kind}(?![A-Za-z0-9_])"
        if re.search(pattern, text):
            found.append(kind)
    return found


def own(registry):
    """The kinds of layermap itself: a package may use any word."""
    return [kind for kind in registry if registry.address(kind).startswith("pipeline.")]


def kinds():
    return own(DATASETS) + own(METRICS)


def test_no_dataset_and_no_metric_is_named_by_what_writes_the_page():
    found = {
        str(path.relative_to(PIPELINE)): names
        for path in files_of(PLACES)
        if path.suffix in TEXTS and (names := names_in(path.read_text(encoding="utf-8"), kinds()))
    }
    assert found == {}


def test_only_kinds_are_excused():
    assert set(ORDINARY) <= set(kinds())


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('if analysis.metric == "ridge":', "ridge"),
        ("{%- elif a.metric == 'banded_ridge' -%}", "banded_ridge"),
        ("words = {'rsa': 1}", "rsa"),
        ("# as in narratives, but", "narratives"),
        ('kind in ("files", "bids")', "bids"),
        ('kind in ("files",)', "files"),
        ("rsa: {cite: Kriegeskorte et al. 2008}", "rsa"),
    ],
)
def test_a_planted_name_is_found(text, name):
    assert name in names_in(text, kinds())


def test_what_is_no_name_is_left_alone():
    assert (
        names_in("files of a ridge fit; Mapping[str, str]; allen_2p_movies; rsa_bootstrap; PLS-regression", kinds())
        == []
    )


@pytest.mark.parametrize("kind", own(DATASETS))
def test_words_of_every_dataset_can_be_read(kind):
    assert isinstance(words_of(DATASETS.get(kind)), DatasetWords)


@pytest.mark.parametrize("kind", own(METRICS))
def test_every_metric_says_what_it_is(kind):
    words = metric_words(METRICS.get(kind))
    assert words.title
    assert words.methods


def test_the_page_knows_no_studies_and_nothing_that_computes_before_scores():
    behind = modules_behind(["pipeline.report.stage"])
    rooms = ("study", "fetch", "models", "activations", "recordings", "simulated")
    assert [name for name in behind if name.startswith(tuple(f"pipeline.{room}." for room in rooms))] == []


def test_a_changed_sentence_makes_the_page_anew():
    plan = plan_study(load_study("allen_scenes"))
    changed = dataclasses.replace(plan.analyses[0].metric, words="pipeline.encoding.mappings.words:PLS")
    analyses = (dataclasses.replace(plan.analyses[0], metric=changed), *plan.analyses[1:])
    assert dataclasses.replace(plan, analyses=analyses).report_key() != plan.report_key()
