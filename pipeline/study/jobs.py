"""What Snakemake's rules look up: the jobs of all studies asked for, what each reads, its flags and its resources.

The rules say what needs what; which files, flags and numbers that means stands here, without Snakemake.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pipeline.artifacts.catalogue import Catalogue
from pipeline.core import paths
from pipeline.core.errors import BadConfiguration
from pipeline.core.keys import slug
from pipeline.study.flags import command_flags
from pipeline.study.load import WorkflowConfig, load_study, load_workflow_config
from pipeline.study.plan import AnalysisPlan, StudyPlan, plan_study
from pipeline.study.planned_inputs import DatasetPlan, ModelPlan, weights_key_of

RESOURCES = {
    "catalogue_dataset": (1000, 10),
    "fetch_weights": (4000, 60),
    "fetch_recordings": (2000, 600),
    "fetch_simulated": (4000, 30),
    "prepare_stimulus": (4000, 60),
    "prepare_recording": (4000, 60),
    "activate_model": (6000, 240),
    "encode_group": (2000, 240),  # the program with torch (and CUDA); its budget comes on top
    "compare_group": (4000, 240),
    "identify_group": (2000, 240),  # as encode_group
    "map_study": (4000, 60),
    "report_study": (2000, 15),
    "train_network": (4000, 1440),
    "train_page": (2000, 15),
}
"""Rule → memory in MB, time in minutes."""
ON_GPU = ("activate_model", "encode_group", "identify_group", "train_network")
KEY = "[0-9a-f]{10}"
Found = TypeVar("Found")


def one_of(names: Iterable[str]) -> str:
    """A wildcard constraint; a list that is empty matches nothing."""
    return "|".join(sorted(names)) or "(?!)"


@dataclasses.dataclass(frozen=True)
class Activation:
    """One network shown one stimulus, for the first analysis that asks for it."""

    analysis: AnalysisPlan
    model: ModelPlan
    stimulus: str

    @property
    def stimulus_path(self) -> Path:
        return self.analysis.dataset.stimulus_path(self.stimulus)

    @property
    def weights(self) -> list[Path]:
        """Receipt of the network's weights; empty if it has none."""
        return [paths.weights_receipt(self.model.base)] if self.model.needs_weights else []


@dataclasses.dataclass(frozen=True)
class Jobs:
    """The jobs of all studies asked for; what several analyses or studies share is made once, for the first of them.

    Parameters
    ----------
    settings : what the run was told
    plans : name of a study → its plan, in the order in which they were asked for
    asked_as : name of a study → the name or path of a file by which it was asked for
    open_catalogue : opens the catalogue of a dataset. In a workflow it waits for the job that writes it, by an
        exception of Snakemake's, which passes through all methods that ask for groups, recordings or stimuli
    """

    settings: WorkflowConfig
    plans: dict[str, StudyPlan]
    asked_as: dict[str, str]
    open_catalogue: Callable[[DatasetPlan], Catalogue]

    @functools.cached_property
    def analyses(self) -> dict[tuple[str, str], AnalysisPlan]:
        """(study, analysis) → its plan."""
        return {(plan.name, analysis.name): analysis for plan in self.plans.values() for analysis in plan.analyses}

    @functools.cached_property
    def with_dataset(self) -> dict[str, AnalysisPlan]:
        """Key of a dataset → the first analysis of it."""
        found: dict[str, AnalysisPlan] = {}
        for analysis in self.analyses.values():
            found.setdefault(analysis.dataset.key, analysis)
        return found

    @functools.cached_property
    def with_weights(self) -> dict[str, tuple[str, AnalysisPlan]]:
        """Name of weights in paths → their name, and the first analysis that needs them."""
        found: dict[str, tuple[str, AnalysisPlan]] = {}
        for analysis in self.analyses.values():
            for name in analysis.weights:
                found.setdefault(slug(name), (name, analysis))
        return found

    # which names wildcards may have

    @property
    def simulated(self) -> list[str]:
        """Kinds of datasets that are made where others are fetched."""
        return sorted({one.dataset.kind for one in self.analyses.values() if one.dataset.entry.simulated})

    @property
    def fetched(self) -> list[str]:
        """Kinds of all other datasets."""
        return sorted({one.dataset.kind for one in self.analyses.values()} - set(self.simulated))

    def scored_by(self, stage: str) -> list[AnalysisPlan]:
        """The analyses that ``encode`` scores, or ``compare``."""
        return [analysis for analysis in self.analyses.values() if analysis.stage == stage]

    def names_scored_by(self, stage: str) -> str:
        """Their names, as a wildcard constraint."""
        return one_of(analysis.name for analysis in self.scored_by(stage))

    @property
    def wildcards(self) -> dict[str, str]:
        """Wildcard → its constraint, where a rule has none of its own."""
        return {
            "dataset": one_of(self.simulated + self.fetched),
            "key": KEY,
            "prep_key": KEY,
            "stimulus_key": KEY,
            "study": one_of(self.plans),
            "analysis": one_of(name for _, name in self.analyses),
            "weights": one_of(self.with_weights),
        }

    # what there is to be made

    @property
    def catalogues(self) -> list[Path]:
        return sorted({analysis.dataset.catalogue_path for analysis in self.analyses.values()})

    @property
    def receipts(self) -> list[Path]:
        """Of all recordings and weights."""
        recordings = [analysis.dataset.receipt_path for analysis in self.analyses.values()]
        return recordings + [paths.weights_receipt(name) for name, _ in self.with_weights.values()]

    def prepared(self) -> list[Path]:
        return [path for analysis in self.analyses.values() for path in self._prepared_of(analysis)]

    def activations(self) -> list[Path]:
        return [path for analysis in self.analyses.values() for path in self._activations_of(analysis)]

    def scores(self, stage: str) -> list[Path]:
        """All that ``encode`` makes, or ``compare``."""
        return [path for analysis in self.scored_by(stage) for path in self._scores_of(analysis)]

    def identifiability(self) -> list[Path]:
        """All that ``identify`` makes."""
        return [path for analysis in self.analyses.values() for path in self._identifiability_of(analysis)]

    @property
    def maps(self) -> list[Path]:
        return [plan.map_path for plan in self.plans.values()]

    @property
    def reports(self) -> list[Path]:
        return [plan.report_path for plan in self.plans.values()]

    # what one job reads

    def simulation_weights(self, key: str) -> list[Path]:
        """The receipts of the networks whose layers a simulated dataset plants."""
        return [paths.weights_receipt(name) for name in self.with_dataset[key].dataset.simulation_models]

    def with_stimulus(self, dataset: str, key: str, name: str) -> AnalysisPlan:
        """The first analysis with a stimulus."""
        return self._first(paths.stimulus(dataset, key, name), self._preparing, self._prepared_of)

    def with_recording(self, dataset: str, key: str, name: str) -> AnalysisPlan:
        """The first analysis with a recording."""
        return self._first(paths.recording(dataset, key, name), self._preparing, self._prepared_of)

    def activation(self, folder: str, model: str, key: str) -> Activation:
        """The first analysis, with model and stimulus, that asks for ``FOLDER/MODEL-KEY.zarr``."""
        path = paths.DATA / "activations" / folder / f"{model}-{key}.zarr"
        return self._first(path, self._activating, self._activations_of)

    def score_files(self, study: str, analysis: str, group: str, model: str) -> list[Path]:
        """The recordings and activations that a (group, model) is scored from, those of its feature spaces included."""
        plan = self.analyses[study, analysis]
        self.open_catalogue(plan.dataset)
        return plan.score_files(plan.group(group), plan.model(model))

    def identifiability_files(self, study: str, analysis: str, group: str) -> list[Path]:
        """The recordings and activations that a group's responses are simulated from."""
        plan = self.analyses[study, analysis]
        self.open_catalogue(plan.dataset)
        return plan.identifiability_files(plan.group(group))

    def study_scores(self, study: str) -> list[Path]:
        """All scores of a study, which its map and its page are made from."""
        return [path for analysis in self.plans[study].analyses for path in self._scores_of(analysis)]

    def study_identifiability(self, study: str) -> list[Path]:
        """What its map is made from beside the scores."""
        return [path for analysis in self.plans[study].analyses for path in self._identifiability_of(analysis)]

    def study_receipts(self, study: str) -> list[Path]:
        return [analysis.dataset.receipt_path for analysis in self.plans[study].analyses]

    # what makes a job run again besides the files that it reads

    def weights_key(self, weights: str) -> str:
        name, analysis = self.with_weights[weights]
        return weights_key_of(analysis.weights[name])

    def score_key(self, study: str, analysis: str, model: str) -> str:
        plan = self.analyses[study, analysis]
        return plan.score_key(plan.model(model), self.plans[study].study.shuffle_seed)

    def identifiability_key(self, study: str, analysis: str) -> str:
        return self.analyses[study, analysis].identifiability_key(self.plans[study].study.shuffle_seed)

    # how a job's command is called, and what it may take

    def study_flags(self, stage: str, study: str) -> list[str]:
        """The flags of a stage on a whole study, as arguments that are quoted one by one."""
        return command_flags(stage, self.settings.model_copy(update={"study": self.asked_as[study]}))

    def flags(self, stage: str, analysis: AnalysisPlan) -> list[str]:
        """The flags of a stage on one analysis."""
        return [*self.study_flags(stage, analysis.study), f"--analysis={analysis.name}"]

    def activation_flags(self, folder: str, model: str, key: str) -> list[str]:
        """The flags of ``activate`` for ``FOLDER/MODEL-KEY.zarr``."""
        activation = self.activation(folder, model, key)
        flags = self.flags("activate", activation.analysis)
        return [*flags, f"--stimulus={activation.stimulus}", f"--model={activation.model.name}"]

    def resources(self, rule: str) -> dict[str, int]:
        """``mem_mb``, ``runtime`` in minutes, and ``gpu`` where a rule can use one."""
        mem_mb, runtime = RESOURCES[rule]
        if rule in ("encode_group", "identify_group"):
            mem_mb += int(1.1 * self.settings.memory_budget_mb)  # the budget with its tolerance
        gpu = {"gpu": int(self.settings.device == "cuda")} if rule in ON_GPU else {}
        return {"mem_mb": mem_mb, "runtime": runtime, **gpu}

    # filled as catalogues become known: path → for whom it is made

    @functools.cached_property
    def _preparing(self) -> dict[Path, AnalysisPlan]:
        return {}

    @functools.cached_property
    def _activating(self) -> dict[Path, Activation]:
        return {}

    def _first(self, path: Path, known: dict[Path, Found], ask: Callable[[AnalysisPlan], object]) -> Found:
        """Ask analyses one by one for what is made for them, until a path is known."""
        for analysis in self.analyses.values():
            if path in known:
                break
            ask(analysis)
        return known[path]

    def _prepared_of(self, analysis: AnalysisPlan) -> list[Path]:
        """Every stimulus and recording of an analysis."""
        catalogue = self.open_catalogue(analysis.dataset)
        stimuli = [analysis.dataset.stimulus_path(stimulus.name) for stimulus in catalogue.stimuli]
        made = stimuli + [analysis.dataset.recording_path(name) for name in catalogue.recordings]
        for path in made:
            self._preparing.setdefault(path, analysis)
        return made

    def _activations_of(self, analysis: AnalysisPlan) -> list[Path]:
        made = {}
        for stimulus in self.open_catalogue(analysis.dataset).stimuli:
            for model in analysis.models:
                made[analysis.activations_path(model, stimulus.name)] = Activation(analysis, model, stimulus.name)
        for path, activation in made.items():
            self._activating.setdefault(path, activation)
        return list(made)

    def _scores_of(self, analysis: AnalysisPlan) -> list[Path]:
        groups = self.open_catalogue(analysis.dataset).groups
        return [analysis.scores_path(group.name, model) for group in groups for model in analysis.models]

    def _identifiability_of(self, analysis: AnalysisPlan) -> list[Path]:
        groups = self.open_catalogue(analysis.dataset).groups if analysis.is_identified else ()
        return [analysis.identifiability_path(group.name) for group in groups]


def plan_jobs(
    given: Mapping[str, Any], open_catalogue: Callable[[DatasetPlan], Catalogue] = DatasetPlan.open_catalogue
) -> Jobs:
    """The jobs of the studies that ``workflows/config.yaml`` or ``--config`` ask for.

    Parameters
    ----------
    given : what ``--config`` gives
    open_catalogue : as in `Jobs`

    Raises
    ------
    LayermapError
        Any mistake in the settings or a study, in one line; two studies of one name; or two that give one name to
        analyses of which one encodes and one compares, as both would write the same pattern of files.
    """
    settings = load_workflow_config(given)
    plans: dict[str, StudyPlan] = {}
    asked_as = {}
    for name in settings.names:
        told = {one: getattr(settings, one) for one in ("limit", "shuffle", "permutations", "simulations")}
        plan = plan_study(load_study(name, **told))
        plan.check_code()  # an error while Snakemake asks for keys would be taken for nothing to do
        if plan.name in plans:
            raise BadConfiguration(f"two of the studies are called '{plan.name}'; rename one in its file")
        plans[plan.name], asked_as[plan.name] = plan, name
    jobs = Jobs(settings, plans, asked_as, open_catalogue)
    stages: dict[str, str] = {}
    for (study, name), analysis in jobs.analyses.items():
        if stages.setdefault(name, analysis.stage) != analysis.stage:
            raise BadConfiguration(
                f"two studies call an analysis '{name}', one encodes and one compares; "
                f"rename it in {study} or run them apart"
            )
    return jobs
