"""Maps of the cortex hold the map's numbers, on the meshes that nilearn brings."""

import base64
import dataclasses
import json
import zlib

import numpy as np
import pandas as pd
import pytest
from nilearn.datasets import load_fsaverage

from pipeline.report.figures.cortex import CORTEX, FADED, NOTHING, PICTURES, Q_CLASSES, UNKNOWN, cortex_maps
from pipeline.report.figures.cortex_pictures import HEMISPHERES, NO_VERTEX, VIEWS, cortex_pictures, encoded, from_right
from pipeline.report.figures.languages import LANGUAGE_CELLS, LANGUAGE_EFFECTS
from pipeline.report.figures.order import GRADIENT
from pipeline.report.sections.cautions import RESYNTHESISED
from tests.report.synthetic_cortex import LISTENERS, MODELS, trilingual
from tests.report.test_page import read

pytestmark = pytest.mark.slow

N_VERTICES = 10_242


def decoded(text, kind):
    planes = np.frombuffer(zlib.decompress(base64.b64decode(text)), "u1").reshape(np.dtype(kind).itemsize, -1)
    return np.ascontiguousarray(planes.T).view(kind).ravel()


@pytest.fixture(scope="module")
def pictures():
    found = json.loads(cortex_pictures())
    for view in found["views"]:
        view["seen"] = np.repeat(decoded(view["vertex"], "<u2"), decoded(view["length"], "u1"))
    return found


@pytest.fixture(scope="module")
def english(cortex):
    """The view of one group, its figure, and the numbers of one of its networks by unit."""
    view = next(one for one in cortex.views if one.group == "EN")
    figure = cortex_maps(view)
    values = json.loads(figure.shared[f"{view.id}-cortex-net-fr-values"])
    painting = json.loads(figure.shared[f"{view.id}-cortex-painting"])
    table = view.units[view.units["model"] == "net-fr"].set_index("unit").loc[painting["names"]]
    return view, figure, values, painting, table


@pytest.mark.parametrize("number", range(4))
def test_pictures_show_each_hemisphere_from_its_side(pictures, number):
    hemisphere, side = VIEWS[number]
    view, width, height = pictures["views"][number], pictures["width"], pictures["height"]
    seen = view["seen"].reshape(height, width)
    inside = seen != NO_VERTEX
    assert 0.6 < inside.mean() < 0.75
    vertex = seen[inside].astype(int) - pictures["first"][hemisphere]
    assert vertex.min() >= 0
    assert vertex.max() < N_VERTICES
    coordinates = load_fsaverage("fsaverage5")["inflated"].parts[hemisphere].coordinates
    row, column = np.nonzero(inside)
    assert np.corrcoef(row, coordinates[vertex, 2])[0, 1] < -0.99  # up is up
    toward_front = np.corrcoef(column, coordinates[vertex, 1])[0, 1]
    assert toward_front > 0.99 if from_right(hemisphere, side) else toward_front < -0.99
    across = coordinates[vertex, 0].mean()
    assert across > 10 if from_right(hemisphere, side) else across < -10


def test_what_is_seen_is_what_lies_in_front(pictures):
    """No vertex seen at a pixel lies behind another face there: checked on rays through the mesh."""
    view, width, height = pictures["views"][0], pictures["width"], pictures["height"]
    mesh = load_fsaverage("fsaverage5")["inflated"].parts["left"]
    corners = mesh.coordinates[mesh.faces].astype(float)
    seen = view["seen"].reshape(height, width)
    rows, columns = np.nonzero(seen != NO_VERTEX)
    for place in np.random.default_rng(0).choice(rows.size, 40, replace=False):
        y = -(columns[place] + 0.5 - width / 2) / 2.0
        z = (height / 2 - rows[place] - 0.5) / 2.0
        a, b, c = (corners[:, k, 1:] for k in range(3))
        area = (b[:, 1] - c[:, 1]) * (a[:, 0] - c[:, 0]) + (c[:, 0] - b[:, 0]) * (a[:, 1] - c[:, 1])
        first = ((b[:, 1] - c[:, 1]) * (y - c[:, 0]) + (c[:, 0] - b[:, 0]) * (z - c[:, 1])) / area
        second = ((c[:, 1] - a[:, 1]) * (y - c[:, 0]) + (a[:, 0] - c[:, 0]) * (z - c[:, 1])) / area
        weight = np.stack([first, second, 1 - first - second], axis=-1)
        hit = np.flatnonzero((weight > -1e-6).all(axis=1))
        x = (weight[hit] * corners[hit, :, 0]).sum(axis=1)
        assert seen[rows[place], columns[place]] in mesh.faces[hit[x.argmin()]]


def test_numbers_survive_packing():
    for values in (np.array([UNKNOWN, -1, 0, 7, 32_767], "<i2"), np.arange(300, dtype="<u2")):
        assert decoded(encoded(values), values.dtype).tolist() == values.tolist()


def test_every_network_and_baseline_has_its_maps_and_twins_none(cortex):
    view = cortex.views[0]
    titles = [panel.title for panel in cortex_maps(view).panels]
    assert titles == [
        *(f"EN, {model}: {what}" for model in MODELS for what in ("best layer", "held-out r", "significance")),
        "EN, word-rate: held-out r",
        "EN, word-rate: significance",
    ]
    assert [one.group for one in cortex.views] == list(LISTENERS)


def test_values_are_those_of_the_table(english):
    _, _, values, _, table = english
    score = decoded(values["score"], "<i2")
    assert score / 1e3 == pytest.approx(table["score"].to_numpy(), abs=5.01e-4)
    for name in ("ci_low", "ci_high"):
        assert (score + decoded(values[name], "<i2")) / 1e3 == pytest.approx(table[name].to_numpy(), abs=5.01e-4)
    assert decoded(values["q"], "<i2") / 1e4 == pytest.approx(table["q"].to_numpy(), abs=5.01e-5)
    layer = decoded(values["layer"], "u1")
    significant = (table["significant"] == 1).to_numpy()
    assert significant.any()
    assert (~significant).any()
    assert (layer[~significant] == NOTHING).all()
    named = [values["layers"][one] for one in layer[significant]]
    assert named == list(table["best_layer"][significant])
    depths = np.array(values["depths"])[layer[significant]]
    assert depths == pytest.approx(table["best_layer_depth"][significant].to_numpy(), abs=1e-6)
    faded = decoded(values["class"], "u1") == len(Q_CLASSES)
    assert (faded == (table["significant"] == 0).to_numpy()).all()


def test_a_unit_that_correction_takes_names_no_layer(english):
    """Both maps follow q: an interval above 0 alone does not paint a best layer."""
    view, *_ = english
    units = view.units.copy()
    first = units.index[(units["model"] == "net-fr") & (units["significant"] == 1) & (units["ci_low"] > 0)][0]
    units.loc[first, ["q", "significant"]] = [0.2, 0]
    figure = cortex_maps(dataclasses.replace(view, units=units))
    values = json.loads(figure.shared[f"{view.id}-cortex-net-fr-values"])
    at = list(dict.fromkeys(view.surface["unit"])).index(units.loc[first, "unit"])
    assert decoded(values["layer"], "u1")[at] == NOTHING
    assert decoded(values["class"], "u1")[at] == len(Q_CLASSES)


def test_vertices_show_the_units_of_the_table(english):
    view, _, _, painting, _ = english
    unit = decoded(painting["unit"], "<u2").reshape(2, N_VERTICES)
    names = np.array([*painting["names"], ""], dtype=object)
    found = names[np.where(unit == NO_VERTEX, len(names) - 1, unit)]
    table = view.surface
    expected = np.full((2, N_VERTICES), "", dtype=object)
    expected[table["hemisphere"].map(HEMISPHERES.index), table["vertex"]] = table["unit"]
    assert (found == expected).all()
    assert (found == "").any()


def test_values_that_are_not_known_are_no_numbers(english):
    view, *_ = english
    units = view.units.copy()
    first = units.index[units["model"] == "net-fr"][0]
    units.loc[first, ["score", "ci_low", "ci_high", "q"]] = np.nan
    units.loc[first, "significant"] = 0
    figure = cortex_maps(dataclasses.replace(view, units=units))
    values = json.loads(figure.shared[f"{view.id}-cortex-net-fr-values"])
    at = list(dict.fromkeys(view.surface["unit"])).index(units.loc[first, "unit"])
    assert [decoded(values[name], "<i2")[at] for name in ("score", "ci_low", "ci_high", "q")] == [UNKNOWN] * 4
    assert [decoded(values[name], "u1")[at] for name in ("layer", "class")] == [NOTHING] * 2


def test_colour_bars_name_layers_scores_and_levels(english):
    _, figure, *_ = english
    layer, score, significance = (panel.bar for panel in figure.panels[:3])
    assert [label for _, label in layer.classes] == [f"block{k} ({k / 11:.2f})" for k in range(11, -1, -1)]
    assert len({colour for colour, _ in layer.classes}) == 12
    assert score.title == "held-out r"
    assert [label for _, label in score.ticks][:2] == ["0.00", "0.10"]
    assert [height for height, _ in score.ticks] == sorted(height for height, _ in score.ticks)
    assert significance.classes == [(colour, label) for _, colour, label in Q_CLASSES] + [FADED]


def test_long_networks_name_as_many_layers_as_there_is_room_for(cortex):
    view = cortex.views[0]
    row = view.rows[view.rows["model"] == "net-en"].iloc[0].to_dict()
    many = [{**row, "layer": f"layer{k}", "layer_index": k, "relative_depth": k / 47} for k in range(48)]
    others = view.rows[view.rows["model"] != "net-en"]
    view = dataclasses.replace(view, rows=pd.concat([others, pd.DataFrame(many)]))
    bar = cortex_maps(view).panels[0].bar
    named = [label for _, label in bar.classes if label]
    assert len(bar.classes) == 48
    assert named[0] == "layer47 (1.00)"
    assert len(named) * 13 <= 48 * bar.row_px + 13


def test_groups_of_listeners_share_one_scale(cortex):
    scales = {panel.high for view in cortex.views for panel in cortex_maps(view).panels if panel.field == "score"}
    assert scales == {cortex.tables["unit"]["score"].max()}


def test_recordings_off_the_surface_have_no_maps(listeners, cortex):
    assert cortex_maps(listeners.views[0]) is None
    view = cortex.views[0]
    assert cortex_maps(dataclasses.replace(view, surface=view.surface.iloc[:0])) is None


@pytest.mark.parametrize("n_per_hemisphere", [75, None])
def test_a_page_of_three_groups_and_three_networks_stays_under_eight_megabytes(listeners, n_per_hemisphere):
    page = trilingual(listeners, n_per_hemisphere).page()
    assert page.count('class="cortex"') == 3 * (3 * 3 + 2)
    assert page.count(f'id="{PICTURES}"') == 1
    assert len(page.encode()) < 8_000_000


def test_what_panels_share_is_on_the_page(cortex):
    page = cortex.page()
    ids = set(read(page).ids)
    for view in cortex.views:
        for panel in cortex_maps(view).panels:
            told = json.loads(panel.to_json())
            assert {told["pictures"], told["painting"], told["values"]} <= ids


def test_figures_of_resynthesised_stimuli_all_say_so(cortex, listeners):
    page = cortex.page()
    figures = [part.partition("</figure>")[0] for part in page.split("<figure ")[1:]]
    assert len(figures) == page.count("<figcaption") > 20
    for figure in figures:
        over, _, caption = figure.partition("<figcaption")
        assert RESYNTHESISED in over
        assert RESYNTHESISED in caption
    assert RESYNTHESISED not in listeners.page()


def test_every_kind_of_figure_stands_with_its_caption(cortex):
    page = cortex.page()
    for caption in (CORTEX, GRADIENT, LANGUAGE_EFFECTS, LANGUAGE_CELLS):
        assert f". {caption.title}.</strong>" in page
