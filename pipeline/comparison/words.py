"""What the page says of representational similarity analysis and of CKA; see `pipeline.core.prose`."""

from __future__ import annotations

from pipeline.core.prose import MetricWords

COMPARED_BY = """
{{ a.measure.words }}
{%- if a.measure.distances and a.measure.item_effects %} ({{ cite("whitened") }}; taking every item's pattern to have
noise of its own, of one variance){% elif o.kind == "cka" %} ({{ cite("cka") }}: unbiased HSIC, {{ cite("hsic") }},
divided by the root of the product of the kernels' own){% endif %}
"""

CHANCE = """
{%- if not a.measure.zero_is_chance %} Distances are all positive, so that matrices that have nothing to do with each
other score well above 0: only other orders of the items say what chance is, and there is no ceiling. Chance
differs from layer to layer as well, being higher where a layer's distances vary less.
{%- endif %}
"""

OF_GEOMETRIES = """
Representational similarity analysis ({{ cite("kriegeskorte") }}) compared each layer's item × item similarities
(Pearson's r over features) with the measured ones by COMPARED_BY over the pairs of different items.CHANCE Layers were
chosen on one half of the items and scored on the other, over {{ o.n_splits }} random halvings (seed {{ o.seed }}).
Bootstrap draws of items leave out pairs of the same item ({{ cite("pairs_bootstrap") }}).
{%- if c.ceiling_kinds %} Ceilings: {{ c.ceilings }}.{% endif %}
"""

OF_RECORDINGS = """
{%- set entry = "block" if "block_s" in s else "item" -%}
{%- if o.kind == "cka" -%} Linear kernels of recordings and layers were compared
{%- else -%} Representational similarity analysis ({{ cite("kriegeskorte") }}) of recordings{% endif %}: responses were
averaged over repeats, z-scored within runs cell by cell, and averaged within
{%- if entry == "block" %} blocks of {{ s.block_s | fmt }} s of a stimulus' time{% else %} items{% endif %},
over all runs of a stimulus; features of each layer were averaged in the same way. The similarity of two {{ entry }}s is
{%- if o.kind == "cka" %} the inner product of their responses, less the mean over {{ entry }}s, in the cells of one
animal's region, where at least {{ s.min_cells }} cells respond, or that of a layer's features.
{%- else %} Pearson's r over the cells of one animal's region, where at least {{ s.min_cells }} cells respond, or over a
layer's features. {% if s.centred %}The mean over {{ entry }}s was first removed from every cell and every feature.
{%- else %}Neither cells nor features were centred over {{ entry }}s.{% endif %}
{%- endif %} Upper triangles of the two matrices were compared by COMPARED_BY,
animal by animal{% if c.animals %} (animals: {{ c.animals }}){% endif %}
{%- if c.n_animals > 1 %}, and scores averaged over animals{% endif %}.
{%- if s.nuisance %} {{ nuisance(s.nuisance, told) }}{% endif %}CHANCE
{%- if entry == "block" %} Neighbouring blocks are alike, so that they were halved and drawn in {{ s.n_stretches }}
stretches of at least {{ s.stretch_s | fmt }} s: layers were chosen on one half of the stretches and scored on the
other, over {{ s.n_splits }} random halvings (seed {{ s.seed }}), and bootstrap draws of stretches leave out pairs of
two copies of one ({{ cite("pairs_bootstrap") }}).
{%- else %} Layers were chosen on one half of the items and scored on the other, over {{ s.n_splits }} random halvings
(seed {{ s.seed }}). Bootstrap draws of items leave out pairs of the same item ({{ cite("pairs_bootstrap") }}).
{%- endif %}
{%- if "across_animals" in c.ceiling_kinds %} The ceiling is what animals agree on: with r̄ the mean agreement of two
animals' matrices of a region
{%- if o.comparison == "kendall" %}, Kendall's τ taken to a correlation by sin(πτ/2) ({{ cite("greiner") }}) and back
{%- endif %}, √r̄ is what a matrix without noise would agree with one of them on average, an estimate and not a bound.
{%- if c.without_ceiling %} There is none for {{ c.without_ceiling }}, where no two animals agree well
enough.{% endif %}
{%- elif a.measure.zero_is_chance and "split_half_repeats" not in c.ceiling_kinds %} No region was recorded in two
animals that agree well enough for a ceiling.
{%- endif %}
{%- if "split_half_repeats" in c.ceiling_kinds %} Of a region of a single animal, the ceiling is the square root of the
reliability of its matrix over repeats (random halves of the repeats, stepped up by Spearman–Brown); it holds for these
cells and says nothing about other animals.
{%- endif %}
"""


def _written(text: str) -> str:
    return text.replace("COMPARED_BY", COMPARED_BY.strip()).replace("CHANCE", CHANCE.strip())


RSA = MetricWords(
    "similarity structure (RSA)",
    _written(f'{{% if "min_cells" in s %}}{OF_RECORDINGS}{{% else %}}{OF_GEOMETRIES}{{% endif %}}'),
)
CKA = MetricWords("similarity structure (debiased CKA)", _written(OF_RECORDINGS))
