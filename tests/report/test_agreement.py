"""Whether metrics agree, on the page: what tables say of each, side by side, and no agreement that they do not show."""

import dataclasses
import re

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from pipeline.report.sections.agreement import agreement_sections
from pipeline.report.sections.findings import in_short, is_predicted, parts_of, region_sentence
from tests.report.test_page import read, words

pytestmark = pytest.mark.slow


def beside(study, **changes):
    """The study with its analysis once more, by cosine; ``changes`` of the copy's summary and of its facts."""
    own = study.facts.analyses[0]
    options = {**own.options, "comparison": "cosine"}
    facts = {"name": "by-cosine", "symbol": "cosine", "options": options} | changes.pop("facts", {})
    copy = dataclasses.replace(own, **facts)
    tables = {}
    for name, table in study.tables.items():
        again = table[table["analysis"] == own.name].assign(analysis=copy.name)
        for column, value in changes.items() if name == "summary" else ():
            again[column] = value(again) if callable(value) else value
        tables[name] = pd.concat([table, again], ignore_index=True)
    both = dataclasses.replace(study.facts, analyses=(own, copy))
    return type(study)(both, tables, {**study.contents, copy.name: study.contents[own.name]})


def where(table, region, value, column):
    """A column with another value in one region's rows of the network."""
    here = (table["region"] == region) & (table["model"] == "net")
    return table[column].where(~here, value)


def test_one_metric_has_nothing_to_agree_with(scenes, listeners, simulated):
    for study in (scenes, listeners, simulated):
        assert agreement_sections(study.views) == []
        assert "Do the metrics agree?" not in study.page()


def test_equal_tables_agree_everywhere(scenes):
    [section] = agreement_sections(beside(scenes).views)
    assert section.heading == "scenes and by-cosine"
    assert section.header == [
        "scenes: similarity structure (RSA), ρ",
        "by-cosine: similarity structure (RSA), cosine",
    ]
    summary = scenes.tables["summary"]
    net = summary[(summary["model"] == "net") & (summary["compartment"] == "all")].set_index("region")
    named = int(net["distinguishable"].sum())
    assert section.sentences == [
        f"Metrics agree in 2 of 2 (region, network) cells, in {named} of which each of them can name a best layer.",
        "By by-cosine, layers differ in what they score by chance: the best one may be that whose own distances vary "
        "least, not that which is most alike.",
    ]
    for row in section.rows:
        assert row.cells[0] == row.cells[1] and row.cells[0].startswith(net.loc[row.region, "best_layer"])
        assert row.profiles == "1.00"
        alone = f"{net.loc[row.region, 'best_layer']} (1 of 6)"
        assert row.cells[0].endswith(f", of {row.shared}") or row.shared == alone


def test_sets_without_a_common_layer_disagree(scenes):
    changed = {
        "best_layer": lambda table: where(table, "VISp", "block5", "best_layer"),
        "best_layer_set": lambda table: where(table, "VISp", "block5", "best_layer_set"),
    }
    study = beside(scenes, **changed)
    [section] = agreement_sections(study.views)
    best = {row.region: row.cells[0].split(" ")[0] for row in section.rows}
    assert section.sentences[0].startswith("Metrics agree in 1 of 2 (region, network) cells")
    assert f"They disagree in VISp, net ({best['VISp']} by scenes, block5 by by-cosine)." in section.sentences[0]
    assert [row.shared for row in section.rows if row.region == "VISp"] == ["no layer"]
    text = words(study.page())
    assert "Do the metrics agree?" in text and "They disagree in VISp, net" in text
    reader = read(study.page())
    assert "agreement" in reader.ids and "#agreement" in reader.addresses


def test_what_one_metric_alone_finds_is_no_agreement(scenes):
    study = beside(scenes, p_family=lambda table: where(table, "VISam", 0.4, "p_family"))
    [section] = agreement_sections(study.views)
    assert "VISam, net (above chance by scenes only)" in section.sentences[0]
    assert [row.shared for row in section.rows] == [section.rows[0].shared, "found by 1 of 2"]
    study = beside(scenes, p_family=lambda table: where(table, "VISam", 0.4, "p_family"))
    study.tables["summary"].loc[study.tables["summary"]["region"] == "VISam", "p_family"] = 0.4
    [section] = agreement_sections(study.views)
    assert "Metrics agree in 1 of 1 (region, network) cell" in section.sentences[0]
    assert section.sentences[0].endswith("In 1 further cell none of them finds anything above chance.")


def test_profiles_are_correlated_over_layers(scenes):
    study = beside(scenes)
    rows = study.tables["row"]
    theirs = (rows["analysis"] == "by-cosine") & (rows["model"] == "net")
    study.tables["row"].loc[theirs, "score"] = np.random.default_rng(0).standard_normal(int(theirs.sum()))
    [section] = agreement_sections(study.views)
    for row in section.rows:
        here = rows[(rows["model"] == "net") & (rows["region"] == row.region) & (rows["compartment"] == "all")]
        profiles = [part.sort_values("layer_index")["score"] for _, part in here.groupby("analysis")]
        assert row.profiles == f"{spearmanr(*profiles).statistic:.2f}".replace("-", "−")


@pytest.mark.parametrize(
    "facts", [{"options": None}, {"dataset": {"options": {"other": 1}}}, {"models": {"reduction": "mean over space"}}]
)
def test_only_what_differs_in_its_metric_alone_is_compared(scenes, facts):
    """Not the same metric twice, nor other data, nor networks that were reduced otherwise."""
    own = scenes.facts.analyses[0]
    changed = {
        "options": own.options,
        "dataset": dataclasses.replace(own.dataset, **(facts.get("dataset") or {})),
        "models": tuple(dataclasses.replace(one, **(facts.get("models") or {})) for one in own.models),
    }
    study = beside(scenes, facts={name: changed[name] for name in facts})
    assert agreement_sections(study.views) == []


def test_which_network_is_best_is_said_by_every_metric(scenes):
    """A second network that is best in VISam by the second metric alone."""
    other = dataclasses.replace(scenes.facts.analyses[0].model("net"), name="other")
    analysis = dataclasses.replace(scenes.facts.analyses[0], models=(*scenes.facts.analyses[0].models, other))
    tables = {
        name: pd.concat([table, table[table["model"] == "net"].assign(model="other")], ignore_index=True)
        if "model" in table
        else table
        for name, table in scenes.tables.items()
    }
    worse = tables["summary"]["model"] == "other"
    tables["summary"].loc[worse, "best_layer_score"] -= 0.01
    two = type(scenes)(dataclasses.replace(scenes.facts, analyses=(analysis,)), tables, scenes.contents)
    study = beside(two, best_layer_score=lambda table: table["best_layer_score"])
    rows = study.tables["summary"]
    better = (rows["analysis"] == "by-cosine") & (rows["model"] == "other") & (rows["region"] == "VISam")
    study.tables["summary"].loc[better, "best_layer_score"] += 0.1
    [section] = agreement_sections(study.views)
    assert section.sentences[1] == (
        "The same network has the highest score by every metric in 1 of 2 regions; another in VISam (net by scenes, "
        "other by by-cosine). Differences between networks are not tested here."
    )
    assert len(section.rows) == 4


def test_scores_whose_chance_is_not_zero_are_judged_by_other_orders_alone(scenes):
    """An interval above 0 says nothing of a cosine of distances; p does."""
    study = beside(scenes)
    assert "The score is reliably above chance in 2 of 2 regions" in words(study.page())
    untested = beside(scenes, p=np.nan, p_family=np.nan, n_permutations=0, untested="too short")
    view = next(view for view in untested.views if view.analysis.name == "by-cosine")
    rows = view.summary_of("net").reset_index().to_dict("records")
    assert all(row["ci_low"] > 0 for row in rows) and not any(map(is_predicted, rows))
    text = in_short(view, rows, parts_of(view, "net"))
    assert text.startswith("In none of 2 regions can the score be told from chance, which is not 0 (no p: too short)")
    assert region_sentence(view, rows[0], parts_of(view, "net")).startswith("not reliably above chance: cosine")
    methods = words(study.page()).partition("Methods, ready to paste")[2]
    assert re.search(r"by the cosine of the distances 1 − r over the pairs of different items\. Distances are", methods)
