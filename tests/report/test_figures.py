"""Figures show the tables' numbers, in forms that Plotly accepts."""

import dataclasses
import importlib
import json
import math
import pkgutil

import numpy as np
import plotly.graph_objects as go
import pytest
from scipy.stats import kendalltau

from pipeline.report import figures as folder
from pipeline.report.all_figures import figures_of
from pipeline.report.figures.depth import depth_plot
from pipeline.report.figures.figure import Caption, score_range
from pipeline.report.figures.models import models_side_by_side, subject_spread
from pipeline.report.figures.order import order_plot
from pipeline.report.figures.pathways import pathway_profiles
from pipeline.report.figures.profile import heat_maps, profiles
from pipeline.report.figures.scores import REFERENCE_REGIONS, examples, reference, similarities
from pipeline.report.figures.streams import stream_plot

pytestmark = pytest.mark.slow

STUDIES = ["simulated", "listeners", "sounds", "scenes", "pathways", "shuffled", "movies"]
OF_LISTENERS = {"CORTEX", "LANGUAGE_EFFECTS", "LANGUAGE_CELLS"}  # of `test_cortex` and `test_languages`
OF_JOINT_FITS = {"VARIANCE", "VARIANCE_REGIONS"}  # of `test_variance`


def all_figures(study):
    views = {
        analysis.name: [one for one in study.views if one.analysis == analysis] for analysis in study.facts.analyses
    }
    return [
        figure
        for analysis in study.facts.analyses
        for figure, _ in figures_of(analysis, study.contents[analysis.name], views[analysis.name])
    ]


def all_captions():
    """Name → caption of every kind of figure, from the modules that draw them."""
    modules = [
        importlib.import_module(f"{folder.__name__}.{one.name}") for one in pkgutil.iter_modules(folder.__path__)
    ]
    return {name: value for one in modules for name, value in vars(one).items() if isinstance(value, Caption)}


def test_plotly_accepts_each_kind_of_panel(request):
    kinds = {f.caption: f.panels[-1] for name in STUDIES for f in all_figures(request.getfixturevalue(name))}
    captions = all_captions()
    assert len(captions) >= 22
    elsewhere = {captions.pop(name) for name in OF_LISTENERS | OF_JOINT_FITS}
    assert set(kinds) == set(captions.values()) - elsewhere
    for panel in kinds.values():
        drawn = go.Figure(json.loads(panel.to_json()))
        assert len(drawn.data) == len(panel.traces)


@pytest.mark.parametrize("name", STUDIES)
def test_panels_have_ids_of_their_own(name, request):
    ids = [panel.id for figure in all_figures(request.getfixturevalue(name)) for panel in figure.panels]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("name", STUDIES)
def test_every_number_can_be_hovered(name, request):
    for figure in all_figures(request.getfixturevalue(name)):
        for panel in figure.panels:
            assert any("hovertemplate" in trace for trace in panel.traces)


def test_heat_map_holds_the_table(simulated):
    view = simulated.views[0]
    trace = heat_maps(view).panels[0].traces[0]
    table = view.rows[view.rows["model"] == "net"].set_index(["layer", "place"])["score"]
    for line, layer in zip(trace["z"], trace["y"], strict=True):
        for value, place in zip(line, trace["x"], strict=True):
            assert value == table[layer, place]


def test_heat_maps_share_a_scale_that_starts_at_zero_and_does_not_stretch_noise(simulated, shuffled):
    for study, highest in ((simulated, 0.5), (shuffled, 0.1)):
        scales = {(p.traces[0]["zmin"], p.traces[0]["zmax"]) for p in heat_maps(study.views[0]).panels}
        assert len(scales) == 1
        low, high = scales.pop()
        assert low == 0
        assert high >= highest


def test_no_layer_is_marked_where_none_can_be_named(simulated, shuffled):
    assert heat_maps(simulated.views[0]).panels[0].traces[1]["x"] == ["VISp", "VISl", "VISam"]
    assert heat_maps(shuffled.views[0]).panels[0].traces[1]["x"] == []


def test_profiles_show_bands_ceilings_twins_and_baselines(simulated, sounds):
    dashes = [trace["line"].get("dash") for trace in profiles(simulated.views[0]).panels[0].traces]
    assert dashes == ["dash", "dot", None, "solid", "longdash"]
    assert "longdash" not in [trace["line"].get("dash") for trace in profiles(sounds.views[0]).panels[0].traces]


def test_pathways_have_lines_of_their_own_from_the_shared_stem_on(pathways):
    view = pathways.views[0]
    panel = pathway_profiles(view).panels[view.places.index("VISpm")]
    table = view.rows[view.rows["place"] == "VISpm"].set_index(["model", "layer"])["score"]
    lines = {
        trace["customdata"][1][0].partition(".")[0]: trace
        for trace in panel.traces
        if trace.get("name") == "net" and trace["line"]["dash"] == "solid"
    }
    assert list(lines) == ["path1", "path2"]
    for path, trace in lines.items():
        names = ["stem", *(f"{path}.block{k}" for k in range(6))]
        assert [one[0] for one in trace["customdata"]] == names
        assert trace["y"] == [table["net", name] for name in names]
        assert trace["x"] == sorted(trace["x"])
    twins = [trace["name"] for trace in panel.traces if "@" in trace.get("name", "")]
    assert sorted(twins) == sorted(2 * [f"net@{kind}-{seed}" for kind in ("random", "shuffled") for seed in (0, 1)])
    assert lines["path1"]["line"]["color"] != lines["path2"]["line"]["color"]


def test_networks_of_one_pathway_stay_in_a_figure_of_their_own(pathways, simulated):
    names = {trace.get("name") for panel in profiles(pathways.views[0]).panels for trace in panel.traces}
    assert "own-net" in names
    assert "net" not in names
    assert pathway_profiles(simulated.views[0]) is None


def test_heat_map_stands_in_the_order_of_pathway_and_depth_with_a_line_between(pathways):
    panel = heat_maps(pathways.views[0]).panels[0]
    order = ["stem", *(f"{path}.block{k}" for path in ("path1", "path2") for k in range(6))]
    assert panel.traces[0]["y"] == panel.layout["yaxis"]["categoryarray"] == order
    assert [shape["y0"] for shape in panel.layout["shapes"]] == [0.5, 6.5]
    dots = set(zip(panel.traces[1]["x"], panel.traces[1]["y"], strict=True))
    assert {("VISp", "path1.block1"), ("VISl", "path1.block4"), ("VISpm", "path2.block2")} <= dots
    assert "shapes" not in heat_maps(pathways.views[0]).panels[-1].layout


def test_twins_of_both_kinds_are_told_apart(pathways):
    view = pathways.views[0]
    titles = [panel.title for panel in heat_maps(view).panels]
    assert titles[:3] == ["net", "net, random twins, mean of 2 seeds", "net, shuffled twins, mean of 2 seeds"]
    rows = models_side_by_side(view).panels[0].layout["yaxis"]["categoryarray"][::-1]
    assert rows == ["net", "net random twins", "net shuffled twins", "own-net", "baseline-a"]


def test_depth_and_order_are_taken_within_each_pathway(pathways):
    view = pathways.views[0]
    assert [panel.title for panel in depth_plot(view).panels] == ["net, path1", "net, path2", "own-net"]
    assert [panel.title for panel in order_plot(view).panels] == ["net, path1", "net, path2", "own-net"]
    layers = {one[0] for one in depth_plot(view).panels[1].traces[1]["customdata"]}
    assert "path2.block2" in layers
    assert not any(name.startswith("path1") for name in layers)


def test_undefined_depth_index_is_text_not_a_dot(simulated):
    panel = depth_plot(simulated.views[0]).panels[0]
    assert "noise" not in panel.traces[2]["y"]
    notes = {note["y"]: note["text"] for note in panel.layout["annotations"]}
    assert notes["noise"].startswith("score not reliably above zero")


def test_planted_layers_stand_beside_recovered_ones(simulated, listeners):
    assert depth_plot(simulated.views[0]).panels[0].traces[3]["x"] == [0.125, 0.375, 0.875]
    assert len(depth_plot(listeners.views[0]).panels[0].traces) == 4


def test_twins_share_a_line_whose_interval_is_the_best_seeds(listeners):
    view = listeners.views[0]
    traces = models_side_by_side(view).panels[0].traces
    here = view.summary[(view.summary["place"] == view.places[0]) & (view.summary["role"] == "twin")]
    assert traces[1]["x"] == [here["best_layer_score"].min()]
    assert traces[2]["x"] == [here["best_layer_score"].max()]
    assert "error_x" not in traces[1]


def test_one_dot_per_subject(listeners, scenes):
    figure = subject_spread(listeners.views[0])
    assert len(figure.panels[0].traces[0]["x"]) == 10 * 2
    assert subject_spread(listeners.views[1]) is None
    assert subject_spread(scenes.views[0]) is None


def test_examples_are_best_first_and_of_different_regions(simulated):
    titles = [panel.title for panel in examples(simulated.facts.analyses[0], simulated.contents["mouse"]).panels]
    scores = [float(title.partition("r = ")[2].partition(" ")[0]) for title in titles]
    assert scores == sorted(scores, reverse=True)
    assert len({title.partition(",")[0] for title in titles}) == 3


def test_example_score_is_the_mean_over_folds(simulated):
    example = simulated.contents["mouse"].examples[0]
    fold = np.arange(240) * 5 // 240
    z = [np.arctanh(np.corrcoef(example.measured[fold == k], example.predicted[fold == k])[0, 1]) for k in range(5)]
    assert example.r == pytest.approx(np.tanh(np.mean(z)), abs=1e-5)


def test_penalty_shares_sum_to_all_choices(simulated):
    penalties = simulated.contents["mouse"].penalties[0]
    assert sum(penalties.counts.values()) == 5 * 9 * 12
    assert penalties.at_lowest == 0
    largest = max(penalties.counts)
    assert penalties.at_highest == pytest.approx(penalties.counts[largest] / sum(penalties.counts.values()))


def test_reference_matrix_and_its_range(scenes):
    own = scenes.facts.analyses[0], scenes.contents["scenes"]
    values = scenes.contents["scenes"].reference.values[:2, 2:]
    ends = reference(*own).values["range"].replace("−", "-").split(" to ")
    assert [float(end) for end in ends] == [round(values.min(), 2), round(values.max(), 2)]
    assert similarities(*own).panels[0].traces[0]["z"].shape == (24, 24)


def test_many_animals_are_shown_region_by_region(movies):
    figure = reference(movies.facts.analyses[0], movies.contents["similarity"])
    assert figure.caption is REFERENCE_REGIONS
    found = movies.contents["similarity"].reference
    trace = figure.panels[0].traces[0]
    assert trace["x"] == ["VISp", "VISl", "VISal", "VISpm", "VISam"]
    pairs = [
        found.values[i, j]
        for i, j in zip(*np.triu_indices(len(found.targets), 1), strict=True)
        if found.regions[i] == found.regions[j] == "VISl"
    ]
    assert len(pairs) == 36
    assert trace["z"][1][1] == pytest.approx(np.mean(pairs))
    apart = [
        found.values[i, j]
        for i, j in np.ndindex(found.values.shape)
        if (found.regions[i], found.regions[j]) == ("VISp", "VISam") and found.subjects[i] != found.subjects[j]
    ]
    assert trace["z"][0][4] == pytest.approx(np.mean(apart))
    assert "not used as a ceiling" in figure.values["alone"]


def test_the_best_match_is_the_highest_kendall_of_all(movies):
    best = movies.contents["similarity"].similarities[0]
    pairs = np.triu_indices(36, 1)
    assert best.score == pytest.approx(kendalltau(best.measured[pairs], best.modelled[pairs]).statistic)
    assert best.score >= movies.tables["row"].query("model == 'net' and analysis == 'similarity'")["score"].max() - 1e-6
    assert best.blocks


def test_streams_stand_assignment_by_assignment_with_twins_on_a_line(movies, pathways):
    view = movies.views[0]
    figure = stream_plot(view)
    assert [panel.title for panel in figure.panels] == ["published", "anatomical", "VISpm omitted"]
    table = view.streams[(view.streams["assignment"] == "anatomical") & (view.streams["first"] == "path1")]
    by_model = table.set_index("model")["difference"]
    network, twins, whole = figure.panels[1].traces
    assert network["x"] == [by_model["net"]]
    assert twins["x"] == [by_model["net@random-0"], by_model["net@random-1"]]
    assert whole["y"] == ["net − twins"]
    assert network["marker"]["symbol"] == "circle"
    assert len({tuple(panel.layout["xaxis"]["range"]) for panel in figure.panels}) == 1
    assert "For a pair of pathways: (held-out τ of the first" in figure.values["what"]
    whole_only = dataclasses.replace(view, streams=view.streams[view.streams["first"] == ""])
    assert (
        stream_plot(whole_only).values["what"].startswith("For a network: held-out τ in ventral minus that in dorsal")
    )
    assert stream_plot(pathways.views[0]) is None


def test_score_range_ignores_what_is_undefined():
    low, high = score_range([math.nan, 0.4], [math.nan])
    assert low < 0.01
    assert 0.4 < high < 0.5
