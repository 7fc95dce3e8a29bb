"""Running and pupil: how much of the cells' single-trial variance is theirs, region by region."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from pipeline.core.prose import counted, listed
from pipeline.report.read_scores import Shares
from pipeline.report.study_facts import AnalysisFacts
from pipeline.report.wording import percent, regressors

JOINT = "all"


@dataclasses.dataclass(frozen=True)
class BehaviourTable:
    """Mean shares of single-trial variance.

    Parameters
    ----------
    columns : of ``rows``, behind the region
    rows : (region, cells)
    """

    sentence: str
    columns: list[str]
    rows: list[tuple[str, list[str]]]
    note: str


def behaviour_table(analysis: AnalysisFacts, shares: Sequence[Shares]) -> BehaviourTable | None:
    """Means over cells of each region; None where nothing was taken out of the responses."""
    if not shares:
        return None
    names = shares[0].regressors
    shown = names if len(names) > 2 else [JOINT]  # the share of a single regressor is its unique one
    region, subject = (np.concatenate([getattr(one, part) for one in shares]) for part in ("region", "subject"))
    values = np.concatenate([one.values for one in shares], axis=1)
    known = np.isfinite(values[0])
    order = [name for name in analysis.region_order if name in region]
    order += [name for name in dict.fromkeys(region.tolist()) if name not in order]
    rows, joint = [], {}
    for name in order:
        here = known & (region == name)
        cells = [f"{int(here.sum()):,}", f"{np.unique(subject[here]).size}"]
        cells += [_mean(values[names.index(one)], here) for one in shown]
        rows.append((name, cells))
        if here.any():
            joint[name] = float(values[0][here].mean())
    left_out = int((~known).sum())
    note = f"{counted(left_out, 'cell')} left out, as nothing of the kind was measured or varied." if left_out else ""
    unique = [f"{regressors([one]).capitalize()}, uniquely" for one in shown if one != JOINT]
    columns = ["Cells", "Subjects", "All jointly" if unique else regressors(names[1:]).capitalize(), *unique]
    return BehaviourTable(_sentence(names[1:], joint), columns, rows, note)


def _mean(values: np.ndarray, here: np.ndarray) -> str:
    """Mean over the cells that have a value, with their number where some of them have none."""
    found = values[here & np.isfinite(values)]
    if not found.size:
        return "not measured"
    return percent(float(found.mean())) + (f" ({counted(found.size, 'cell')})" if found.size < here.sum() else "")


def _sentence(names: list[str], joint: dict[str, float]) -> str:
    text = f"Taken out of single trials before scoring: {regressors(names)}."
    if not joint:
        return f"{text} Nothing of the kind was measured, or varied from repeat to repeat."
    lowest, highest = (pick(joint, key=lambda name: joint[name]) for pick in (min, max))
    ends = listed(list(dict.fromkeys(f"{percent(joint[name])} ({name})" for name in (lowest, highest))), last="to")
    each = " A unique share is what a regressor adds to the others." if len(names) > 1 else ""
    return (
        f"{text} Explained by that in held-out samples, beyond all that repeats with the stimulus: {ends} of the "
        f"variance of single trials (means over cells, without intervals).{each} Shares are not cut at 0: without any "
        "effect they are slightly negative."
    )
