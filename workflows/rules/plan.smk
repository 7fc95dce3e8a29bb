# The jobs of the studies asked for (`JOBS`), and the little about them that only Snakemake knows.

import os
from pathlib import Path

from pipeline.artifacts.map import map_files
from pipeline.artifacts.storage.one_run import claim_folders
from pipeline.core import paths
from pipeline.core.errors import LayermapError

try:
    from pipeline.study.jobs import one_of, plan_jobs  # reads the registries, with what other packages add to them
    from pipeline.study.training_jobs import plan_training
except LayermapError as error:
    sys.exit(f"layermap: {error}")

# Rules call plain `python`: it must be the one that runs Snakemake, whether or not its environment is activated, and
# import nothing that lies in the folder of a study.
os.environ.update(PATH=os.pathsep.join([str(Path(sys.executable).parent), *os.get_exec_path()]), PYTHONSAFEPATH="1")


def one_run_at_a_time():
    """The locks of data/ and of what is linked elsewhere: two runs would delete each other's outputs."""
    if workflow.exec_mode.name != "DEFAULT" or workflow.output_settings.dryrun:
        return []
    return claim_folders(paths.DATA, [paths.REPORTS, paths.LOGS])


def catalogue_is_forced():
    settings = workflow.dag_settings
    return settings.forceall or bool({"catalogue", "catalogue_dataset"} & {str(name) for name in settings.forcerun})


def catalogue_of(dataset):
    """The catalogue, once its checkpoint has run.

    A catalogue that is there already is read without asking the checkpoint: a job that waits for several finished
    checkpoints is never compared with what it was made from, and changed penalties would go unnoticed (Snakemake 9.27).
    """
    if catalogue_is_forced() or not dataset.catalogue_path.is_file():
        checkpoints.catalogue_dataset.get(dataset=dataset.kind, key=dataset.key)
    try:
        return dataset.open_catalogue()
    except LayermapError as error:
        sys.exit(f"layermap: {error}")


try:
    JOBS = plan_jobs(config, catalogue_of)
    TRAINING = plan_training(JOBS.settings)
    LOCKS = one_run_at_a_time()  # held until this process ends
except LayermapError as error:
    sys.exit(f"layermap: {error}")
except OSError as error:
    sys.exit(f"layermap: cannot write in {Path.cwd()} ({error.strerror}); change its owner or give --directory FOLDER")

# Every target asks for the catalogues too: Snakemake would take a missing one, whose key has changed, for an
# intermediate file that nobody needs as long as an older map is there.
CATALOGUES = JOBS.catalogues

# Flags are lists of arguments, which shell lines quote one by one (`:q`).
# They hold where files come from and where networks run, which must not rerun anything. Snakemake leaves parameters
# out of its comparison that are functions of `output`; what must rerun a rule is in its path or its parameter `key`.


wildcard_constraints:
    recipe=one_of(TRAINING.names),
    seed="[0-9]+",
    **JOBS.wildcards,


def stimulus_shown(wildcards):
    activation = JOBS.activation(wildcards.stimulus_folder, wildcards.model, wildcards.key)
    # where selections share stimuli, one more experiment writes the same stimulus anew: no reason to show it again
    shared = activation.analysis.dataset.shares_stimuli
    return ancient(activation.stimulus_path) if shared else activation.stimulus_path


def training_page():
    """The page of the recipe asked for; where none is, that is said in one line."""
    try:
        return TRAINING.page
    except LayermapError as error:
        sys.exit(f"layermap: {error}")
