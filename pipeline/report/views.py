"""Views: the parts of a map that the page shows, one per (analysis, metric, averaged subject).

Where a study has averages over subjects (``all``: scores averaged; ``mean``: responses averaged), they are
shown and the single subjects appear as dots; otherwise each subject is a view of its own, up to a few.
"""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING

from pipeline.artifacts.identifiability import FITTED
from pipeline.core.prose import counted, listed
from pipeline.inference.networks import WHOLE, in_order, pathways_of, twin_of
from pipeline.inference.questions.languages import LanguageName
from pipeline.inference.questions.region_order import OrderName, RankName
from pipeline.inference.questions.streams import StreamName
from pipeline.report.study_facts import BASELINE, NETWORK, TWIN, AnalysisFacts, StudyFacts
from pipeline.report.wording import WITHIN_CATEGORY

if TYPE_CHECKING:
    import pandas as pd

ALL, MEAN = "all", "mean"
MOST_SINGLE_SUBJECTS = 4
OF_REGIONS = ("row", "summary", "contrast", "variance")
DEPTHS = (
    *("best_layer_index", "best_layer_depth", "depth_index", "depth_ci_low", "depth_ci_high"),
    *("hierarchy_index", "hierarchy_ci_low", "hierarchy_ci_high"),
)
"""Columns of the summary that say where in a network, or one of its pathways, a region belongs."""
SIMULATED = ("identifiability", "confusion", "recovery", "calibration")


@dataclasses.dataclass(frozen=True)
class View:
    """One average (or single) subject's part of the tables, whole regions first.

    Parameters
    ----------
    rows, summary, contrasts, order : the map's tables for this view; ``place`` is the region as labelled
        and ``role`` the model's role; ``summary`` is over whole networks; ``order`` holds the depth-order contrasts,
        with the ``pair`` of regions and the ``pathway`` that it is in (empty for a network of a single one)
    streams : the comparisons of streams, with ``assignment``, and ``first`` and ``second`` pathway (empty for a network
        as a whole)
    pathways : summary within each pathway of the networks that have several
    compartments : rows of the single compartments, empty where regions have no more than one
    subjects, subject_contrasts : summary and contrasts of the single subjects behind an average, whole regions
    ranks : how well the depths of best layers follow the order of the regions, with ``pathway``
    units : scores of parcels or vertices; empty where the recordings do not lie on a surface
    surface : which unit each vertex of the cortex shows
    variance : how explained variance divides between layers and the spaces they were fitted with; empty for other fits
    identifiability, confusion, recovery, calibration : of simulated responses; empty where there are none
    several_groups : whether other groups of subjects have the same kind of average
    highest_unit : the highest of the units' scores in any group of listeners, so that all share a scale
    """

    analysis: AnalysisFacts
    metric: str
    group: str
    subject: str
    rows: pd.DataFrame
    summary: pd.DataFrame
    pathways: pd.DataFrame
    contrasts: pd.DataFrame
    order: pd.DataFrame
    streams: pd.DataFrame
    compartments: pd.DataFrame
    subjects: pd.DataFrame
    subject_contrasts: pd.DataFrame
    ranks: pd.DataFrame
    units: pd.DataFrame
    surface: pd.DataFrame
    variance: pd.DataFrame
    identifiability: pd.DataFrame
    confusion: pd.DataFrame
    recovery: pd.DataFrame
    calibration: pd.DataFrame
    several_groups: bool = False
    highest_unit: float = 0.0

    @property
    def id(self) -> str:
        """Safe as an element's id and the same in every run."""
        return re.sub(r"[^a-z0-9]+", "-", f"{self.analysis.name}-{self.metric}-{self.group}-{self.subject}".lower())

    @property
    def places(self) -> list[str]:
        return list(dict.fromkeys(self.rows["place"]))

    @property
    def n_subjects(self) -> int:
        return int(self.summary["n_subjects"].max())

    @property
    def subject_in_words(self) -> str:
        """Whose scores or responses; with the group's name where there are several."""
        return f"group {self.group}: {self._who}" if self.several_groups else self._who

    @property
    def _who(self) -> str:
        if self.subject == ALL:
            fewest = int(self.summary["n_subjects"].min())
            if fewest < self.n_subjects:
                return f"scores of {fewest} to {self.n_subjects} subjects averaged, region by region"
            return f"scores of {counted(self.n_subjects, 'subject')} averaged"
        if self.subject == MEAN:
            return f"responses of {counted(self.n_subjects, 'subject')} averaged, then scored"
        return "group data" if self.subject in ("group", "pooled") else f"subject {self.subject}"

    @property
    def metric_in_words(self) -> str:
        """Of the entry's title: ``encoding model (ridge), within categories``."""
        return self.analysis.metric_in_words(self.metric)

    @property
    def score_name(self) -> str:
        """Of a nested best layer, which is always chosen on other data than it is scored on."""
        within = "within-category " if self.metric.endswith(WITHIN_CATEGORY) else ""
        joint = f" (jointly with {listed(self.analysis.spaces)})" if self.analysis.spaces else ""
        return f"held-out {within}{self.analysis.symbol}{joint}"

    @property
    def axis_name(self) -> str:
        """Short enough for an axis; the caption says the rest."""
        return f"held-out {self.analysis.symbol}"

    @property
    def layer_score_name(self) -> str:
        """Of a single layer: held out only where something was fitted."""
        return self.analysis.symbol if self.analysis.compares else self.score_name

    def models(self, role: str) -> list[str]:
        """Names of the models of a role, in the study's order."""
        return [model.name for model in self.analysis.of_role(role) if (self.rows["model"] == model.name).any()]

    @property
    def networks(self) -> list[str]:
        """Networks that are no twins; the baselines if there is none, so that a page always shows something."""
        return self.models(NETWORK) or self.models(BASELINE)

    def pathways_of(self, model: str) -> list[str]:
        """Names of a network's pathways; empty if it has only one."""
        own = self.rows[self.rows["model"] == model].drop_duplicates("layer")
        return list(pathways_of(list(own["pathway"])))

    def parts(self, model: str) -> list[str]:
        """What depth is taken within: each pathway, or ``""`` for the whole of a network that has only one."""
        return self.pathways_of(model) or [""]

    def orders(self) -> list[tuple[str, str, pd.DataFrame]]:
        """(network, pathway or ``""``, its depth-order contrasts)."""
        parts = self.order[["model", "pathway"]].drop_duplicates().itertuples(index=False, name=None)
        same = [(str(model), str(pathway)) for model, pathway in parts]
        return [
            (model, pathway, self.order[(self.order["model"] == model) & (self.order["pathway"] == pathway)])
            for model, pathway in same
        ]

    def layers(self, model: str, pathway: str = "") -> list[str]:
        """Layers from shallow to deep, pathway by pathway behind the stem; or those of one pathway with its stem."""
        own = self.rows[self.rows["model"] == model].drop_duplicates("layer").sort_values("layer_index", kind="stable")
        of = list(own["pathway"])
        if pathway:
            own = own.iloc[pathways_of(of)[pathway]]
            of = [pathway] * len(own)
        return [str(own["layer"].iloc[one]) for one in in_order(of, list(own["relative_depth"]))]

    def summary_of(self, model: str, pathway: str = "") -> pd.DataFrame:
        """One row per place, in the order of the places; indexed by place. Over all layers, or within a pathway."""
        table = self.pathways[self.pathways["pathway"] == pathway] if pathway else self.summary
        own = table[table["model"] == model].set_index("place")
        return own.loc[[place for place in self.places if place in own.index]]

    def identified(self, model: str, readout: str) -> pd.DataFrame:
        """Rows on a network's layers, one per region, by one kind of read-out; empty where nothing was simulated."""
        own = self.identifiability
        return own[(own["model"] == model) & (own["readout"] == readout)]

    @property
    def has_layers(self) -> bool:
        """Whether any of its networks has layers to be told apart."""
        return any(len(self.layers(model)) > 1 for model in self.networks)

    @property
    def is_simulated(self) -> bool:
        """Whether responses were simulated from its layers."""
        return len(self.identifiability) > 0

    @property
    def goes_by_mean(self) -> bool:
        """Whether its layers are told apart as far as those of averaged responses are, which were simulated instead."""
        told = self.summary["credible_low"].notna() | (self.summary["identified"] == 0)
        return not self.is_simulated and bool(told.any())


def make_views(facts: StudyFacts, tables: dict[str, pd.DataFrame]) -> list[View]:
    """All views of a study, in the order of its analyses: ``all`` before ``mean`` before single subjects."""
    labelled = {name: labelled_by_place(tables[name]) for name in OF_REGIONS}
    labelled |= {name: tables[name] for name in ("unit", *SIMULATED)}
    labelled["summary"] = _with_credible_sets(labelled["summary"], tables["identifiability"])
    chance = {analysis.name: analysis.zero_is_chance for analysis in facts.analyses}
    for name in ("row", "summary"):
        labelled[name] = labelled[name].assign(zero_is_chance=labelled[name]["analysis"].map(chance))
    views = []
    for analysis in facts.analyses:
        own = {name: table[table["analysis"] == analysis.name] for name, table in labelled.items()}
        surface = tables["surface"][tables["surface"]["analysis"] == analysis.name]
        for metric_name in dict.fromkeys(own["summary"]["metric"]):
            parts = {name: table[table["metric"] == metric_name] for name, table in own.items()}
            views += [_view(analysis, metric_name, *where, parts, surface) for where in _shown(parts["summary"])]
    return views


def _with_credible_sets(summary: pd.DataFrame, identifiability: pd.DataFrame) -> pd.DataFrame:
    """The 95 % credible set of depth beside the layer that is named, by read-outs as fitted.

    ``identified`` is 0 where it spans more than a third of the network, or several pathways; 1 where nothing was
    simulated. Where pathways cannot be told, no layer is named and no depth is known. Averaged scores go by averaged
    responses of their group, where only these were simulated. What is said of a network holds for its pathways as well.
    """
    same = ["analysis", "metric", "group", "subject", "model", "region"]
    fitted = with_averaged_scores(identifiability[identifiability["readout"] == FITTED])
    sets = fitted[[*same, "depth_low", "depth_high", "distinguishable"]].rename(
        columns={"depth_low": "credible_low", "depth_high": "credible_high", "distinguishable": "identified"}
    )
    found = summary.merge(sets, how="left", on=same)
    found = found.assign(identified=found["identified"].astype(float).where(_is_whole(found)).fillna(1).astype(int))
    told = (found["identified"] == 1) | found["credible_low"].notna()
    found = found.assign(best_layer=found["best_layer"].where(told, ""))
    return found.assign(**{name: found[name].where(told) for name in DEPTHS})


def with_averaged_scores(identifiability: pd.DataFrame) -> pd.DataFrame:
    """With rows of subject ``all`` where only the ``mean`` of a group was simulated: they are the mean's."""
    import pandas as pd

    groups = ["analysis", "metric", "group"]
    own = set(identifiability.loc[identifiability["subject"] == ALL, groups].itertuples(index=False, name=None))
    mean = identifiability[identifiability["subject"] == MEAN]
    lacking = [where not in own for where in mean[groups].itertuples(index=False, name=None)]
    if not any(lacking):
        return identifiability
    return pd.concat([identifiability, mean[lacking].assign(subject=ALL)], ignore_index=True)


def _is_whole(summary: pd.DataFrame) -> pd.Series:
    """Rows of whole regions: over all compartments, or of the only one that regions of a subject have."""
    over_all = summary["compartment"] == ALL
    where = [summary[name] for name in ("analysis", "metric", "group", "subject")]
    return over_all | ~over_all.groupby(where).transform("any").astype(bool)


def labelled_by_place(table: pd.DataFrame) -> pd.DataFrame:
    """A table of regions with ``place``, the role of models, and what the names of contrasts say."""
    compartment = table["compartment"].astype(str)
    whole = compartment.isin(["", ALL])
    region = table["region"].astype(str)
    labelled = table.assign(place=region.where(whole, region + " " + compartment))
    if "objective" in table:
        labelled["role"] = [
            role_of(str(name), str(objective))
            for name, objective in zip(table["model"], table["objective"], strict=True)
        ]
    if "contrast" in table:
        names = [OrderName.read(str(name)) for name in table["contrast"]]
        labelled["is_order"] = [name is not None for name in names]
        labelled["pair"] = [name.pair if name else "" for name in names]
        ranks = [RankName.read(str(name)) for name in table["contrast"]]
        labelled["is_rank"] = [name is not None for name in ranks]
        both = [name or rank for name, rank in zip(names, ranks, strict=True)]
        labelled["pathway"] = [name.pathway if name else "" for name in both]
        labelled["is_language"] = [LanguageName.read(str(name)) is not None for name in table["contrast"]]
        streams = [StreamName.read(str(name)) for name in table["contrast"]]
        labelled["is_stream"] = [name is not None for name in streams]
        for part in ("assignment", "first", "second"):
            labelled[part] = [getattr(name, part) if name else "" for name in streams]
    return labelled


def role_of(name: str, objective: str) -> str:
    """What a model is in the report. Twins are known by their names: an untrained network of a user's own is none."""
    return TWIN if twin_of(name) else BASELINE if objective == "baseline" else NETWORK


def _shown(summary: pd.DataFrame) -> list[tuple[str, str]]:
    """(group, subject) of the views."""
    found = list(dict.fromkeys(zip(summary["group"], summary["subject"], strict=True)))
    averages = [pair for name in (ALL, MEAN) for pair in found if pair[1] == name]
    return averages or found[:MOST_SINGLE_SUBJECTS]


def left_out(tables: dict[str, pd.DataFrame], analysis: str, map_path: str) -> str:
    """How many subjects the text leaves out, and where they are; empty if there are none.

    Parameters
    ----------
    tables : of the map
    """
    summary = tables["summary"][tables["summary"]["analysis"] == analysis]
    subjects = list(dict.fromkeys(zip(summary["group"], summary["subject"], strict=True)))
    single = [name for _, name in subjects if name not in (ALL, MEAN)]
    stem = map_path.removesuffix(".nc")
    where = f"{stem}.csv (layers), {stem}-summary.csv and {stem}-contrasts.csv"
    if len(single) == len(subjects):
        n_more = len(subjects) - MOST_SINGLE_SUBJECTS
        return f"Left out here: {n_more} of {len(subjects)} subjects; see {where}." if n_more > 0 else ""
    n = len(dict.fromkeys(single))
    if not n:
        return ""
    simulated = tables["identifiability"][tables["identifiability"]["analysis"] == analysis]
    apart = f" Which layers can be told apart in them: {stem}-identifiability.csv."
    return (
        f"Not told one by one: the {counted(n, 'subject')} behind the averages; see {where}."
        f"{apart if simulated['subject'].isin(single).any() else ''}"
    )


def _view(
    analysis: AnalysisFacts,
    metric_name: str,
    group: str,
    subject: str,
    parts: dict[str, pd.DataFrame],
    surface: pd.DataFrame,
) -> View:
    here = {name: t[(t["group"] == group) & (t["subject"] == subject)] for name, t in parts.items()}
    several = bool((here["summary"]["compartment"] == ALL).any())
    whole = {name: here[name][here[name]["compartment"] == ALL] if several else here[name] for name in OF_REGIONS}
    is_order, is_stream, is_rank = (whole["contrast"][f"is_{one}"].astype(bool) for one in ("order", "stream", "rank"))
    in_pathway = _in_pathway(whole["summary"])
    return View(
        analysis=analysis,
        metric=metric_name,
        group=group,
        subject=subject,
        rows=whole["row"],
        summary=whole["summary"][~in_pathway],
        pathways=whole["summary"][in_pathway],
        contrasts=whole["contrast"][_is_plain(whole["contrast"])],
        order=whole["contrast"][is_order],
        streams=whole["contrast"][is_stream],
        compartments=here["row"][here["row"]["compartment"] != ALL] if several else here["row"].iloc[:0],
        subjects=_single_subjects(parts["summary"], subject, several),
        subject_contrasts=_single_subjects(parts["contrast"], subject, several),
        ranks=whole["contrast"][is_rank],
        units=here["unit"],
        surface=surface,
        variance=whole["variance"],
        **{name: here[name] for name in SIMULATED},
        several_groups=parts["summary"].loc[parts["summary"]["subject"] == subject, "group"].nunique() > 1,
        highest_unit=_highest(parts["unit"], subject),
    )


def _single_subjects(table: pd.DataFrame, subject: str, several: bool) -> pd.DataFrame:
    if subject != ALL:
        return table.iloc[:0]
    single = table[~table["subject"].isin([ALL, MEAN])]
    single = single[single["compartment"] == ALL] if several else single
    if "contrast" in single:
        return single[_is_plain(single)]
    return single[~_in_pathway(single)]


def _highest(units: pd.DataFrame, subject: str) -> float:
    scores = units.loc[units["subject"] == subject, "score"].dropna()
    return float(scores.max()) if len(scores) else 0.0


def _is_plain(contrasts: pd.DataFrame) -> pd.Series:
    """Which contrasts are the study's own: model minus reference in a region."""
    kinds = ("order", "stream", "rank", "language")
    return ~contrasts[[f"is_{kind}" for kind in kinds]].astype(bool).any(axis=1)


def _in_pathway(summary: pd.DataFrame) -> pd.Series:
    """Which summaries are within one of several pathways: the model has others over all of them."""
    of_all = summary["pathway"] == WHOLE
    return summary["model"].isin(summary.loc[of_all, "model"]) & ~of_all
