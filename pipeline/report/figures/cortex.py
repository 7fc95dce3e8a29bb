"""Maps of the cortex: best layer, score and significance of every parcel or vertex, on fsaverage5.

What each vertex shows stands once per view on the page, and so do a network's numbers; panels name both.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.core.prose import counted
from pipeline.report.figures.cortex_pictures import HEMISPHERES, cortex_pictures, encoded, n_vertices
from pipeline.report.figures.figure import SEQUENTIAL, SMALLEST_SCALE, Caption, Figure, LegendEntry, script_json, slug
from pipeline.report.study_facts import BASELINE
from pipeline.report.views import View
from pipeline.report.wording import number

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

PICTURES = "cortex-pictures"
NO_UNIT = 65_535
NOTHING = 255  # no layer named, as the unit is not significant; no q
UNKNOWN = -32_768
SCORE_STEPS, Q_STEPS = 1_000, 10_000  # numbers are sent as they are told, in whole steps of two bytes
DEPTHS = "Viridis"
N_COLOURS = 48
OUTSIDE_COLOUR, UNPREDICTED_COLOUR = "#e8e8e8", "#8a8a8a"
Q_CLASSES = ((0.001, "#7f2704", "q < .001"), (0.01, "#d94801", "q < .01"), (0.05, "#fd8d3c", "q < .05"))
FADED = ("#fbe3cb", "not significant")
OUTLINED_FROM = 8  # vertices per unit on average; smaller ones would be all outline
COLUMN_PX = 720  # a map to a line, its four pictures side by side
BAR_PX, LOWEST_LABEL_PX = 180, 13

CORTEX = Caption(
    "Maps of the cortex",
    "{analysis}, {subject}. {units} on the inflated fsaverage5 surface, left and right hemisphere from outside and "
    "from the middle; darker bands are sulci. For each model: the nested best layer by its relative depth, grey where "
    "not significant after correction; the {score} of that layer, on a scale from zero that all groups of listeners "
    "and all models share (scores below zero take its darkest colour); and q, the p of a score above zero corrected by "
    "the false discovery rate over the units, faded where it is not significant. Best layers here are the most "
    "frequent choice, unit by unit, without the test of whether layers can be told apart. Tests and intervals over "
    "listeners are over listeners of these stories; what another story would change is not in them. Hover for a "
    "vertex' unit and its values with {interval}.",
    "{units_file}: unit, hemisphere, region, score, ci_low, ci_high, best_layer, best_layer_depth, q, significant; "
    "{surface_file}: vertex, unit",
)


@dataclasses.dataclass(frozen=True)
class ColourBar:
    """What the colours of a panel mean.

    Parameters
    ----------
    classes : (colour, label or ``""``) from the top down; or, if empty, a gradient
    colours : of the gradient, from its low end up
    ticks : (height in percent, label) beside the gradient
    row_px : height of a class
    """

    title: str
    classes: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    colours: list[str] = dataclasses.field(default_factory=list)
    ticks: list[tuple[float, str]] = dataclasses.field(default_factory=list)
    row_px: float = 0


@dataclasses.dataclass(frozen=True)
class CortexPanel:
    """One map, seen from four sides.

    Parameters
    ----------
    painting, values : ids of what the page holds for several panels
    field : which of the values is shown: ``layer``, ``class`` or ``score``
    colours : of the layers or classes by number, or from the low to the high end of the scores
    high : score of the last colour; the first is that of 0
    """

    id: str
    title: str
    painting: str
    values: str
    field: str
    colours: list[str]
    bar: ColourBar
    high: float = 0.0
    height_px: int = 0
    min_width_px: int = 0

    def to_json(self) -> str:
        """What the page's script needs to paint it."""
        own: dict[str, Any] = {
            "pictures": PICTURES,
            "painting": self.painting,
            "values": self.values,
            "field": self.field,
        }
        own |= {"colours": self.colours, "high": self.high, "outside": OUTSIDE_COLOUR, "nothing": UNPREDICTED_COLOUR}
        return script_json(own)


def cortex_maps(view: View) -> Figure | None:
    """Three maps per network, two per baseline without layers; None where recordings do not lie on a surface."""
    models = [
        name for name in dict.fromkeys([*view.networks, *view.models(BASELINE)]) if (view.units["model"] == name).any()
    ]
    if not models or not len(view.surface):
        return None
    names, painting = _painting(view)
    shared = {PICTURES: cortex_pictures(), f"{view.id}-cortex-painting": painting}
    panels: list[CortexPanel] = []
    for model in models:
        found = view.units[view.units["model"] == model].set_index("unit").reindex(names)
        values = f"{view.id}-cortex-{slug(model)}-values"
        shared[values] = _values(view, model, found)
        panels += _panels(view, model, values)
    legend = [
        LegendEntry("best layer: not significant after correction; others: not known", UNPREDICTED_COLOUR, "swatch"),
        LegendEntry(f"{FADED[1]} (faded)", FADED[0], "swatch"),
        LegendEntry("cortex outside of what was scored", OUTSIDE_COLOUR, "swatch"),
    ]
    told = counted(len(names), "vertex", "vertices") if (found["vertex"] >= 0).all() else counted(len(names), "unit")
    values_of_caption = {"score": view.score_name, "units": told}
    return Figure(f"{view.id}-cortex", CORTEX, panels, values_of_caption, legend, COLUMN_PX, shared)


def _painting(view: View) -> tuple[list[str], str]:
    """Names of the units, and what the page needs of them: the unit of each vertex, their names and regions."""
    surface = view.surface
    names = list(dict.fromkeys(surface["unit"]))
    number_of = {name: place for place, name in enumerate(names)}
    unit = np.full(2 * n_vertices(), NO_UNIT)
    first = surface["hemisphere"].map({name: place * n_vertices() for place, name in enumerate(HEMISPHERES)})
    unit[first.to_numpy(int) + surface["vertex"].to_numpy(int)] = surface["unit"].map(number_of).to_numpy(int)
    known = view.units.drop_duplicates("unit").set_index("unit").reindex(names)
    regions = list(dict.fromkeys(str(name) for name in known["region"] if isinstance(name, str)))
    region_of = {name: place for place, name in enumerate(regions)}
    region = known["region"].map(region_of).fillna(NO_UNIT).to_numpy()
    contents = {
        "unit": encoded(unit.astype("<u2")),
        # a unit of one vertex is told by the vertex
        "names": [] if (known["vertex"] >= 0).all() else names,
        "regions": regions,
        "region": encoded(region.astype("<u2")),
        "outlined": len(surface) >= OUTLINED_FROM * len(names),
    }
    return names, script_json(contents)


def _values(view: View, model: str, found: pd.DataFrame) -> str:
    """A model's numbers unit by unit."""
    layers = view.layers(model)
    place = {name: number_ for number_, name in enumerate(layers)}
    depth = view.rows[view.rows["model"] == model].drop_duplicates("layer").set_index("layer")["relative_depth"]
    layer = found["best_layer"].map(place).where(found["significant"] == 1).fillna(NOTHING)
    contents = {name: encoded(values) for name, values in _fixed_numbers(found).items()}
    contents |= {"layer": encoded(layer.to_numpy().astype("u1")), "class": encoded(_classes(found))}
    return script_json(
        {**contents, "layers": layers, "depths": [round(float(depth[name]), 6) for name in layers]}
        | {"symbol": view.analysis.symbol}
    )


def _fixed_numbers(found: pd.DataFrame) -> dict[str, NDArray[np.int16]]:
    """Scores and q, and by how much the ends of the interval differ from the score, all as `_fixed`."""
    fixed = {name: _fixed(found[name], SCORE_STEPS) for name in ("score", "ci_low", "ci_high")}
    fixed["q"] = _fixed(found["q"], Q_STEPS)
    for name in ("ci_low", "ci_high"):
        known = (fixed[name] != UNKNOWN) & (fixed["score"] != UNKNOWN)
        fixed[name] = np.where(known, fixed[name] - fixed["score"], UNKNOWN).astype("<i2")
    return fixed


def _fixed(values: pd.Series, steps: int) -> NDArray[np.int16]:
    """Numbers in steps, `UNKNOWN` where they are."""
    numbers = values.to_numpy(float)
    known = np.isfinite(numbers)
    fixed = np.round(steps * np.where(known, numbers, 0)).clip(UNKNOWN + 1, 32_767)
    return np.where(known, fixed, UNKNOWN).astype("<i2")


def _classes(found: pd.DataFrame) -> NDArray[np.uint8]:
    """Number of each unit's class of q; one past the last where it is not significant."""
    q = found["q"].to_numpy(float)
    bounds = [bound for bound, _, _ in Q_CLASSES]
    classes = np.minimum(np.searchsorted(bounds, q, side="right"), len(bounds) - 1)
    classes = np.where(found["significant"].to_numpy() == 1, classes, len(bounds))
    return np.where(np.isfinite(q), classes, NOTHING).astype("u1")


def _panels(view: View, model: str, values: str) -> list[CortexPanel]:
    layers = view.layers(model)
    label, painting = f"{view.id}-cortex-{slug(model)}", f"{view.id}-cortex-painting"
    lead = f"{view.group}, {model}" if view.group else model
    colours = _sampled(SEQUENTIAL, N_COLOURS)
    panels = []
    if len(layers) > 1:
        own = view.rows[view.rows["model"] == model].drop_duplicates("layer").set_index("layer")["relative_depth"]
        of_layers = _sampled(DEPTHS, 0, [float(own[name]) for name in layers])
        bar = _layer_bar(layers, of_layers, [float(own[name]) for name in layers])
        panels.append(CortexPanel(f"{label}-layer", f"{lead}: best layer", painting, values, "layer", of_layers, bar))
    high = max(SMALLEST_SCALE, view.highest_unit)
    title = f"{lead}: {view.score_name}"
    bar = ColourBar(view.axis_name, colours=colours, ticks=_ticks(high))
    panels.append(CortexPanel(f"{label}-score", title, painting, values, "score", colours, bar, high))
    classes = [(colour, told) for _, colour, told in Q_CLASSES] + [FADED]
    bar = ColourBar("q (false discovery rate)", classes=classes, row_px=20)
    of_classes = [colour for colour, _ in classes]
    panels.append(
        CortexPanel(f"{label}-significance", f"{lead}: significance", painting, values, "class", of_classes, bar)
    )
    return panels


def _layer_bar(layers: list[str], colours: list[str], depths: list[float]) -> ColourBar:
    """The last layer on top; as many names as there is room for, the last among them."""
    row_px = max(4.0, min(18.0, BAR_PX / len(layers)))
    every = math.ceil(LOWEST_LABEL_PX / row_px)
    classes = [
        (colour, f"{name} ({number(depth)})" if (len(layers) - 1 - place) % every == 0 else "")
        for place, (name, colour, depth) in enumerate(zip(layers, colours, depths, strict=True))
    ]
    return ColourBar("best layer (relative depth)", classes=classes[::-1], row_px=row_px)


def _ticks(high: float) -> list[tuple[float, str]]:
    """(height in percent, label) at round scores from 0 to the highest."""
    step = next(step for step in (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2) if high / step <= 5)
    return [(round(100 * i * step / high, 2), number(i * step)) for i in range(int(high / step + 1e-9) + 1)]


def _sampled(scale: str, count: int, at: list[float] | None = None) -> list[str]:
    """``#rrggbb`` of a colour scale, at even steps or at given places from 0 to 1."""
    from plotly.colors import sample_colorscale, unlabel_rgb

    found = sample_colorscale(scale, at or [i / (count - 1) for i in range(count)])
    return ["#" + "".join(f"{round(part):02x}" for part in unlabel_rgb(one)) for one in found]
