# The plan of the studies asked for, and what rules look up in it.

import os
from pathlib import Path

from pipeline.artifacts.storage.one_run import claim_folders
from pipeline.core import paths
from pipeline.study.load import load_study, load_workflow_config
from pipeline.core.keys import slug
from pipeline.study.plan import plan_study, weights_key_of
from pipeline.core.errors import BadConfiguration, LayermapError

# Rules call plain `python`: it must be the one that runs Snakemake, whether or not its environment is activated, and
# import nothing that lies in the folder of a study.
os.environ.update(PATH=os.pathsep.join([str(Path(sys.executable).parent), *os.get_exec_path()]), PYTHONSAFEPATH="1")


def plan_studies():
    """The plans of all studies asked for, and the arguments that repeat `--config` for each stage's command."""
    settings = load_workflow_config(config)
    plans, flags = [], {}
    for name in settings.names:
        plan = plan_study(load_study(name, limit=settings.limit, shuffle=settings.shuffle))
        plan.check_code()  # an error while Snakemake asks for keys would be taken for nothing to do
        given = {
            "study": name,
            "limit": settings.limit,
            "shuffle": settings.shuffle,
            "mirror": settings.mirror,
            "device": settings.device,
        }
        if plan.name in flags:
            raise BadConfiguration(f"two of the studies are called '{plan.name}'; rename one in its file")
        plans.append(plan)
        flags[plan.name] = [f"--{key}={value}" for key, value in given.items() if value is not None]
    return plans, flags


def one_run_at_a_time():
    """The locks of data/ and of what is linked elsewhere: two runs would delete each other's outputs."""
    if workflow.exec_mode.name != "DEFAULT" or workflow.output_settings.dryrun:
        return []
    return claim_folders(paths.DATA, [paths.REPORTS, paths.LOGS])


try:
    PLANS, FLAGS = plan_studies()
    LOCKS = one_run_at_a_time()  # held until this process ends
except LayermapError as error:
    sys.exit(f"layermap: {error}")
except OSError as error:
    sys.exit(f"layermap: cannot write in {Path.cwd()} ({error.strerror}); change its owner or give --directory FOLDER")

ANALYSES = {(plan.name, analysis.name): analysis for plan in PLANS for analysis in plan.analyses}
# a dataset that several analyses or studies share is made once, for the first of them
BY_KEY, BY_MODEL = {}, {}
for plan in PLANS:
    for analysis in plan.analyses:
        BY_KEY.setdefault(analysis.dataset.key, analysis)
        for name in analysis.weights:
            BY_MODEL.setdefault(name, analysis)
STAGE_OF = {}
for (study, name), analysis in ANALYSES.items():
    if STAGE_OF.setdefault(name, analysis.stage) != analysis.stage:
        sys.exit(f"layermap: two studies call an analysis '{name}', one encodes and one compares; rename it in {study} or run them apart")
MODELS_BY_SLUG = {slug(name): name for name in BY_MODEL}
# Every target asks for the catalogues too: Snakemake would take a missing one, whose key has changed, for an
# intermediate file that nobody needs as long as an older map is there.
CATALOGUES = sorted({analysis.dataset.catalogue_path for analysis in ANALYSES.values()})
SIMULATED = sorted({analysis.dataset.kind for analysis in ANALYSES.values() if analysis.dataset.entry.simulated})
FETCHED = sorted({analysis.dataset.kind for analysis in ANALYSES.values()} - set(SIMULATED))


def one_of(names):
    """A wildcard constraint; a list that is empty matches nothing."""
    return "|".join(sorted(names)) or "(?!)"


wildcard_constraints:
    dataset=one_of(SIMULATED + FETCHED),
    key="[0-9a-f]{10}",
    prep_key="[0-9a-f]{10}",
    stimulus_key="[0-9a-f]{10}",
    study=one_of(plan.name for plan in PLANS),
    analysis=one_of(name for _, name in ANALYSES),
    weights=one_of(MODELS_BY_SLUG),


# Flags are lists of arguments, which shell lines quote one by one (`:q`).
# They hold where files come from and where networks run, which must not rerun anything. Snakemake leaves parameters
# out of its comparison that are functions of `output`; what must rerun a rule is in its path or its parameter `key`.
def flags_of(analysis):
    return [*FLAGS[analysis.study], f"--analysis={analysis.name}"]


def catalogue_is_forced():
    settings = workflow.dag_settings
    return settings.forceall or bool({"catalogue", "catalogue_dataset"} & {str(name) for name in settings.forcerun})


def catalogue_of(analysis):
    """The catalogue, once its checkpoint has run.

    A catalogue that is there already is read without asking the checkpoint: a job that waits for several finished
    checkpoints is never compared with what it was made from, and changed penalties would go unnoticed (Snakemake 9.27).
    """
    dataset = analysis.dataset
    if catalogue_is_forced() or not dataset.catalogue_path.is_file():
        checkpoints.catalogue_dataset.get(dataset=dataset.kind, key=dataset.key)
    try:
        return dataset.open_catalogue()
    except LayermapError as error:
        sys.exit(f"layermap: {error}")


# path of a stimulus or recording → the first analysis whose catalogue has it, filled once the catalogues are known
BY_PREPARED = {}


def prepares(path):
    if path not in BY_PREPARED:
        for analysis in ANALYSES.values():
            for prepared in prepared_of(analysis):
                BY_PREPARED.setdefault(str(prepared), analysis)
    return BY_PREPARED[path]


def prepares_stimulus(wildcards):
    return prepares(f"data/prepared/{wildcards.dataset}/{wildcards.stimulus_key}/stimuli/{wildcards.stimulus}.zarr")


def prepares_recording(wildcards):
    return prepares(f"data/prepared/{wildcards.dataset}/{wildcards.prep_key}/recordings/{wildcards.recording}.nc")


def prepared_of(analysis):
    """Every stimulus and recording of an analysis."""
    catalogue = catalogue_of(analysis)
    stimuli = [analysis.dataset.stimulus_path(stimulus.name) for stimulus in catalogue.stimuli]
    return stimuli + [analysis.dataset.recording_path(name) for name in catalogue.recordings]


def activations_of(analysis):
    stimuli = catalogue_of(analysis).stimuli
    return [analysis.activations_path(model, stimulus.name) for stimulus in stimuli for model in analysis.models]


def scores_of(analysis):
    groups = catalogue_of(analysis).groups
    return [analysis.scores_path(group.name, model) for group in groups for model in analysis.models]


def all_scores(plan):
    return [path for analysis in plan.analyses for path in scores_of(analysis)]


SHUFFLE_SEEDS = {plan.name: plan.study.shuffle_seed for plan in PLANS}


def score_inputs(wildcards):
    """The recordings and activations that one (group, model) is scored from, those of its feature spaces included."""
    analysis = ANALYSES[wildcards.study, wildcards.analysis]
    catalogue_of(analysis)
    return analysis.score_files(analysis.group(wildcards.group), analysis.model(wildcards.model))


# (stimulus folder, model, key) → the analysis that asks for it, filled once the catalogue is known
BY_ACTIVATIONS = {}


def activations_asked_for(analysis):
    catalogue = catalogue_of(analysis)
    for stimulus in catalogue.stimuli:
        for model in analysis.models:
            BY_ACTIVATIONS.setdefault(str(analysis.activations_path(model, stimulus.name)), (analysis, model, stimulus.name))
    return activations_of(analysis)


def asked(wildcards):
    path = f"data/activations/{wildcards.stimulus_folder}/{wildcards.model}-{wildcards.key}.zarr"
    if path not in BY_ACTIVATIONS:
        for analysis in ANALYSES.values():
            activations_asked_for(analysis)
    return BY_ACTIVATIONS[path]


def activation_inputs(wildcards):
    analysis, model, stimulus = asked(wildcards)
    weights = [paths.weights_receipt(model.base)] if model.needs_weights else []
    shown = analysis.dataset.stimulus_path(stimulus)
    # where selections share stimuli, one more experiment writes the same stimulus anew: no reason to show it again
    return [ancient(shown) if analysis.dataset.shares_stimuli else shown, *weights]


def activation_flags(wildcards):
    analysis, model, stimulus = asked(wildcards)
    return [*flags_of(analysis), f"--stimulus={stimulus}", f"--model={model.name}"]
