"""The language design: effects and cells are the map's, and every statement stands under its effect."""

import dataclasses
import json
import math

import plotly.graph_objects as go
import pytest

from pipeline.inference.questions.languages import LanguageName
from pipeline.inference.questions.region_order import RankName, ShareOfOrders
from pipeline.report.figures.languages import MEAN_OF_REGIONS, language_cells, language_effects
from pipeline.report.figures.models import contrast_plot
from pipeline.report.figures.order import gradient_plot
from pipeline.report.sections.comparisons import rank_findings
from pipeline.report.sections.languages import language_section, language_views
from pipeline.report.wording import NBSP
from tests.report.synthetic_cortex import CAUTION, EFFECTS, LISTENERS, MODELS
from tests.report.test_page import words


@pytest.fixture(scope="module")
def design(cortex):
    found = language_views(cortex.facts.analyses[0], cortex.views, cortex.tables)
    assert len(found) == 1
    return found[0]


def test_effects_are_the_maps_rows(cortex, design):
    table = cortex.tables["contrast"]
    figure = language_effects(design, "95 %")
    assert [panel.title for panel in figure.panels] == [EFFECTS[0], EFFECTS[2], f"{EFFECTS[0]}, group by group"]
    for panel, name in zip(figure.panels, (EFFECTS[0], EFFECTS[2], EFFECTS[1]), strict=True):
        own = table[table["contrast"] == name]
        trace = panel.traces[0]
        assert trace["y"] == list(own["difference"])
        assert [one[:2] for one in trace["customdata"]] == own[["ci_low", "ci_high"]].to_numpy().tolist()
        above = [high - value for high, value in zip(own["ci_high"], own["difference"], strict=True)]
        assert trace["error_y"]["array"] == pytest.approx(above)
    assert figure.panels[0].traces[0]["marker"]["symbol"] == ["circle"] * 3
    assert figure.panels[1].traces[0]["marker"]["symbol"] == ["circle-open"] * 3
    assert figure.panels[0].layout["xaxis"]["ticktext"] == ["LATL", "LIFG", "all regions"]


def test_cells_are_models_by_groups_with_native_ones_framed(cortex, design):
    summary = cortex.tables["summary"].set_index(["model", "group", "region"])["best_layer_score"]
    panels = language_cells(design, "95 %").panels
    assert [panel.title for panel in panels] == [MEAN_OF_REGIONS, "LATL", "LIFG"]
    rows, columns = list(MODELS)[::-1], list(LISTENERS)
    for panel in panels[1:]:
        for i, model in enumerate(rows):
            for j, group in enumerate(columns):
                assert panel.traces[0]["z"][i][j] == summary[model, group, panel.title]
    mean = panels[0].traces[0]["z"][0][0]
    assert mean == pytest.approx((summary["net-zh", "EN", "LATL"] + summary["net-zh", "EN", "LIFG"]) / 2)
    framed = {(round(s["x0"] + 0.48), round(s["y0"] + 0.48)) for s in panels[0].layout["shapes"]}
    assert framed == {(0, 2), (1, 1), (2, 0)}


def test_plotly_accepts_the_panels(cortex, design):
    for figure in [language_effects(design, "95 %"), language_cells(design, "95 %"), gradient_plot(cortex.views[0])]:
        for panel in figure.panels:
            assert len(go.Figure(json.loads(panel.to_json())).data) == len(panel.traces)
            assert all("hovertemplate" in trace for trace in panel.traces)


def test_every_statement_stands_under_its_effect(design):
    section = language_section(design)
    assert section.header == [EFFECTS[0], EFFECTS[2], EFFECTS[1]]
    assert [place for place, _ in section.rows] == ["LATL", "LIFG", "all regions"]
    told = f"+0.08 [0.05,{NBSP}0.11], p{NBSP}={NBSP}0.002"
    assert section.rows[0][1][0] == told
    assert [one.lead for one in section.statements] == [f"{name}:" for name in section.header]
    for one in section.statements:
        assert CAUTION in one.text
    together = f"{told} averaged over regions; "
    assert section.findings[0].text.startswith(f"{together}above zero in 2 of 2 regions")
    assert "; above zero in no region (of 2)" in section.findings[1].text
    assert section.design.startswith("Listeners: EN heard en, FR heard fr and CN heard zh. Models: net-en learned en")


def test_statements_that_differ_name_their_regions(design):
    effects = design.effects.copy()
    here = (effects["contrast"] == EFFECTS[0]) & (effects["place"] == "LIFG")
    effects.loc[here, "statement"] = "not separable from a match of the acoustic domain"
    text = language_section(dataclasses.replace(design, effects=effects)).statements[0].text
    assert text.startswith("LATL and all regions: design of 3 models")
    assert text.endswith("LIFG: not separable from a match of the acoustic domain.")


def test_the_section_stands_with_the_findings_and_not_among_plain_contrasts(cortex, listeners):
    found = words(cortex.page()).partition("Numbers appear on hovering")[0]
    assert "Language of listeners and models: encoding model (ridge)" in found
    assert "Language of listeners and models" not in words(listeners.page())
    for view in cortex.views:
        names = [panel.title for panel in contrast_plot(view).panels]
        assert not any(LanguageName.read(name) or RankName.read(name) for name in names)


def test_methods_say_how_units_and_languages_were_tested(cortex, listeners):
    methods = words(cortex.page()).partition("Methods, ready to paste")[2]
    for said in (
        "false discovery rate (Benjamini & Hochberg 1995)",
        "Fischl B, Sereno MI",
        "match of the acoustic domain",
        "q is not corrected over models, groups or maps",
        "or responses were averaged, from the other orders of the responses",
        "over subjects with these stories; what another story would change is not in them",
    ):
        assert said in methods
        assert said not in words(listeners.page())


def test_a_study_without_languages_or_without_their_rows_has_no_section(cortex):
    analysis = cortex.facts.analyses[0]
    assert language_views(dataclasses.replace(analysis, languages=None), cortex.views, cortex.tables) == []
    contrasts = cortex.tables["contrast"]
    none = contrasts[~contrasts["contrast"].isin(EFFECTS)]
    assert language_views(analysis, cortex.views, {**cortex.tables, "contrast": none}) == []


def test_groups_are_named_where_there_are_several(cortex, listeners):
    assert [one.subject_in_words for one in cortex.views] == [
        f"group {group}: scores of 10 subjects averaged" for group in LISTENERS
    ]
    assert listeners.views[0].subject_in_words == "scores of 10 subjects averaged"


def test_the_gradient_has_the_rank_correlation_beside_best_layers(cortex):
    view = cortex.views[0]
    figure = gradient_plot(view)
    assert figure.panels[0].title.replace(NBSP, " ") == "net-en: ρ = 0.93 [0.73, 1.00]; as strong in 2.5 % of orders"
    told, untold = figure.panels[0].traces
    own = view.summary_of("net-en")
    assert told["x"] == ["LATL", "LIFG"]
    assert told["y"] == list(own["best_layer_depth"])
    assert untold["x"] == []


@pytest.mark.parametrize(
    ("low", "high", "as_strong", "said"),
    [
        (0.73, 1.0, 4, "best layers of these regions follow the order: they get reliably deeper"),
        (0.73, 1.0, 6, "best layers of these regions get deeper, but too many other orders"),
        (-0.2, 1.0, 4, "it cannot be told whether best layers of these regions get deeper"),
        (-1.0, -0.3, 4, "best layers of these regions run against the order: they get reliably shallower"),
        (-1.0, -0.3, 6, "best layers of these regions get shallower, but too many other orders"),
    ],
)
def test_the_gradient_in_words(cortex, low, high, as_strong, said):
    view = cortex.views[0]
    share = ShareOfOrders(as_strong, 120)
    view = dataclasses.replace(view, ranks=view.ranks.assign(ci_low=low, ci_high=high, statement=f"read so; {share}"))
    finding = rank_findings(view)[0]
    assert finding.lead == "Depth along the order of regions, net-en:"
    assert f"from LATL to LIFG, {said}" in finding.text
    assert f"; {as_strong} of the 120 orders of these regions ({share.in_percent}) would" in finding.text
    assert finding.text.endswith("Read as: read so.")
    assert ("follow the order" in finding.text) == (low > 0 and as_strong == 4)


def test_no_rank_correlation_has_no_share_of_orders(cortex):
    view = cortex.views[0]
    ranks = view.ranks.assign(difference=math.nan, ci_low=math.nan, ci_high=math.nan, statement="read so")
    view = dataclasses.replace(view, ranks=ranks)
    assert rank_findings(view)[0].text == "no rank correlation is defined. Read as: read so."
    assert "orders" not in gradient_plot(view).panels[0].title


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("depth order: rank correlation of 8 regions", RankName(8)),
        ("depth order in path1: rank correlation of 3 regions", RankName(3, "path1")),
        ("depth order: A before B", None),
    ],
)
def test_names_of_rank_correlations(name, expected):
    assert RankName.read(name) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("native over non-native language", LanguageName("native over non-native language")),
        ("native over non-native language: EN", LanguageName("native over non-native language", "EN")),
        ("acoustic domain match", LanguageName("acoustic domain match")),
        ("native over baseline", None),
    ],
)
def test_names_of_language_contrasts(name, expected):
    assert LanguageName.read(name) == expected
