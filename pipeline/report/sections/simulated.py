"""Of which analyses and views it was simulated which layers can be told apart, and of which it was not."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.core.prose import counted, listed
from pipeline.report.views import ALL, MEAN, View

if TYPE_CHECKING:
    import pandas as pd


@dataclasses.dataclass(frozen=True)
class Simulated:
    """For the methods.

    Parameters
    ----------
    where : analyses and views that responses were simulated for; empty for none
    n : data sets from each layer by each kind of read-out
    by_mean : analyses whose averaged scores go by what was simulated for averaged responses
    lacking : views whose layers were not simulated; empty if none
    """

    where: str
    n: str
    by_mean: str
    lacking: str


def simulated_in_words(views: Sequence[View], identifiability: pd.DataFrame) -> Simulated:
    """Of a whole study.

    Parameters
    ----------
    identifiability : the map's table, also of groups that no view shows by themselves
    """
    where, lacking, by_mean = [], [], []
    for analysis in dict.fromkeys(view.analysis.name for view in views):
        own = [view for view in views if view.analysis.name == analysis and view.has_layers]
        done = [_who(view, own) for view in own if view.is_simulated]
        done += _not_shown(own, identifiability[identifiability["analysis"] == analysis])
        where += [f"{analysis} ({listed(done)})"] if done else []
        by_mean += [analysis] if any(view.goes_by_mean for view in own) else []
        missing = [_who(view, own) for view in own if not view.is_simulated and not view.goes_by_mean]
        one_by_one = set(identifiability.loc[identifiability["analysis"] == analysis, "subject"])
        singles = any(view.subject in (ALL, MEAN) and not set(view.subjects["subject"]) <= one_by_one for view in own)
        missing += ["single subjects"] if done and singles else []
        lacking += [f"{analysis} ({listed(missing)})" if done else analysis] if missing else []
    counts = sorted({int(n) for n in identifiability["n_repeats"]})
    n = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}" if counts else ""
    return Simulated(listed(where), n, listed(by_mean), listed(lacking, last="or"))


def not_simulated(views: Sequence[View]) -> str:
    """Of one analysis; empty where all views were simulated, or no network has layers to be told apart."""
    own = [view for view in views if view.has_layers]
    lacking = [view for view in own if not view.is_simulated and not view.goes_by_mean]
    text = "Which layers can be told apart was not simulated"
    told = [f"{text}{'' if len(lacking) == len(own) else f' for {listed([_who(one, own) for one in lacking])}'}."]
    by_mean = "Of averaged scores, layers are told apart as far as simulations of averaged responses tell them."
    return " ".join([*(told if lacking else []), *([by_mean] if any(one.goes_by_mean for one in own) else [])])


def _who(view: View, views: Sequence[View]) -> str:
    """The view among all of its analysis."""
    several = len({one.metric for one in views}) > 1
    return f"{view.metric_in_words}, {view.subject_in_words}" if several else view.subject_in_words


def _not_shown(views: Sequence[View], identifiability: pd.DataFrame) -> list[str]:
    """Groups that were simulated by themselves, of which only a mean over all is shown."""
    shown = {(view.metric, view.group, view.subject) for view in views}
    found = identifiability[["metric", "group", "subject"]].drop_duplicates().itertuples(index=False, name=None)
    n = len({one[1] for one in found if one not in shown})
    return [f"{counted(n, 'group')} by {'itself' if n == 1 else 'themselves'}"] if n else []
