"""What the page says of each mapping from layers to responses; see `pipeline.core.prose`."""

from __future__ import annotations

from pipeline.core.prose import MetricWords

PREDICTED = 'models ({{ cite("encoding") }}) predicted each target\'s response from each layer by'

RIDGE = MetricWords(
    "encoding model (ridge)", f'Linear encoding {PREDICTED} ridge regression ({{{{ cite("hoerl") }}}}).'
)
BANDED_RIDGE = MetricWords(
    "joint encoding model (banded ridge)",
    f'Linear encoding {PREDICTED} banded ridge regression ({{{{ cite("banded") }}}}), jointly with '
    '{{ o.spaces | join(" and ") }}.',
    """
With it, each target took one of {{ o.n_weightings }} weightings of the layer and {{ o.spaces | join(" and ") }}
(kernels scaled to a mean eigenvalue of 1; {% if o.spaces | length == 1 %}each alone, and ratios from
1:{{ o.largest_ratio | fmt }} to {{ o.largest_ratio | fmt }}:1{% else %}each alone, all equal, and draws from Dirichlet
distributions, seed {{ o.seed }}
{%- endif %}; {{ cite("product_measure") }}). {{ o.spaces | join(" and ") }}
{{ "was" if o.spaces | length == 1 else "were" }} also fitted without any layer: a layer's unique contribution is the R²
of the joint fit minus that of this fit, on the same held-out samples ({{ cite("partitioning") }}). Where it has a p, it
was held against those of data that keep what {{ o.spaces | join(" and ") }} alone {{ "predicts" if o.spaces | length ==
1 else "predict" }}, with the remainder in other orders ({{ cite("freedman_lane") }}). Shares of the joint
R² are those of the product measure ({{ cite("product_measure") }}).
""",
)
FIXED_RIDGE = MetricWords(
    "encoding model (ridge with one fixed penalty)",
    f"""
Linear encoding {PREDICTED} ridge regression ({{{{ cite("hoerl") }}}}) with one fixed penalty for all targets,
{{{{ o.penalty | fmt }}}} {{%- if o.penalty_unit == "mean_eigenvalue" %}} times the mean eigenvalue of the training Gram
matrix {{%- else %}}, added to the eigenvalues of the training Gram matrix as it is{{% endif %}}.
""",
)
PLS = MetricWords(
    "encoding model (partial least squares)",
    f"Linear encoding {PREDICTED} "
    """partial least squares regression ({{ cite("wold") }}) with {{ o.n_components }} components
{%- if c.fewest_components is not none and c.fewest_components < o.n_components %} (down to
{{ c.fewest_components }} where training samples and features span fewer dimensions){% endif %}, which
{{ {"region": "the targets of one subject in one region", "subject": "all targets of one subject",
    "group": "all targets of a group"}[o.together] }} share.
""",
)
BEST_UNIT = MetricWords(
    "encoding model (the one best unit)",
    f'Linear encoding {PREDICTED} the one unit{{{{ ", at one delay," if o.delays_s }}}} that correlates best with it '
    "over the training samples, with a slope and an intercept by least squares.",
)
MAPPING = MetricWords(
    "encoding model (a mapping of the study's own)",
    f"Encoding {PREDICTED} a mapping of the study's own ({{{{ o.predict }}}}).",
)
