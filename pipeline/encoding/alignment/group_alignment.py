"""The alignment check of one group and model: what it is run on, and what to look at where it warns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.encoding.alignment.candidate_orders import candidate_orders
from pipeline.encoding.alignment.check import AlignmentCheck, check_alignment
from pipeline.encoding.alignment.reduced_problem import delayed_components, response_components
from pipeline.encoding.design import Design
from pipeline.encoding.group.group_data import GroupData

CONVOLVED_SPAN_S = 6.0
"""By how much haemodynamic responses differ: features that hold one are taken to have delays over so much."""
REMEDIES = {
    "item": "check the order of the rows of responses, and of `items:` in the study file",
    "time": "check which stimulus each run presented and when it began (`times:` or `first_sample_end_s:` in the study "
    "file), and `delays_s:`",
}


def checked_layer(layers: Sequence[str]) -> str:
    """The layer whose features are compared with the responses: the middle one, as most predict best there."""
    return layers[len(layers) // 2]


def check_group(
    group: GroupData,
    components: np.ndarray,
    responses: np.ndarray,
    reliability: np.ndarray,
    design: Design,
    seed: int,
) -> AlignmentCheck:
    """Whether another order of the group's responses is predicted better.

    Parameters
    ----------
    components : (n_bins, n_components) of the layer; `pipeline.encoding.alignment.reduced_problem.feature_components`
    responses : (n_samples, n_targets), as scored
    reliability : (n_targets,), NaN where unknown
    design : of the study's fit
    """
    samples = group.samples
    span = group.delays[-1] - group.delays[0]
    orders = candidate_orders(
        samples,
        stimulus_items=_stimulus_items(group),
        delay_span_s=CONVOLVED_SPAN_S if group.model_attrs["convolved"] else span * samples.interval_s,
    )
    return check_alignment(
        delayed_components(components, design),
        response_components(responses, reliability),
        samples,
        orders,
        design,
        seed=seed,
    )


def _stimulus_items(group: GroupData) -> list[str]:
    """Items in the order in which the stimuli have them; none in time."""
    if group.samples.kind == "time":
        return []
    stores = {run.activations.path: run.activations for run in group.runs}
    return [str(item) for store in stores.values() for item in store.clock().tolist()]
