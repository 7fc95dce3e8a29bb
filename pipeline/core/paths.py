"""Where every artifact lies, relative to the folder that layermap runs in."""

from __future__ import annotations

from pathlib import Path

from pipeline.core.keys import slug

DATA = Path("data")
REPORTS = Path("reports")
WEIGHTS = DATA / "raw" / "weights"
LOGS = Path("logs")  # timings and messages stay outside data/, whose bytes are promised


def catalogue(dataset: str, key: str) -> Path:
    return DATA / "catalogue" / f"{dataset}-{key}.json"


def raw_folder(dataset: str, key: str, simulated: bool) -> Path:
    """Fetched files are shared by all selections; simulated ones belong to the options they were made with."""
    return DATA / "raw" / dataset / key if simulated else DATA / "raw" / dataset


def receipt(dataset: str, key: str) -> Path:
    return DATA / "raw" / dataset / f"receipt-{key}.json"


def weights_folder(model: str) -> Path:
    return WEIGHTS / slug(model)


def weights_receipt(model: str) -> Path:
    return weights_folder(model) / "receipt.json"


def stimulus(dataset: str, prep_key: str, name: str) -> Path:
    return DATA / "prepared" / dataset / prep_key / "stimuli" / f"{name}.zarr"


def recording(dataset: str, prep_key: str, name: str) -> Path:
    return DATA / "prepared" / dataset / prep_key / "recordings" / f"{name}.nc"


def activations(dataset: str, stimulus_name: str, model: str, act_key: str) -> Path:
    return DATA / "activations" / f"{dataset}-{stimulus_name}" / f"{slug(model)}-{act_key}.zarr"


def scores(study: str, analysis: str, group: str, model: str) -> Path:
    return DATA / "scores" / study / analysis / group / f"{slug(model)}.nc"


def identifiability(study: str, analysis: str, group: str) -> Path:
    return DATA / "identifiability" / study / analysis / f"{group}.nc"


def map_of(study: str) -> Path:
    return DATA / "maps" / f"{study}.nc"


def report(study: str) -> Path:
    return REPORTS / study / "index.html"


def diet(kind: str, key: str) -> Path:
    """Decoded pictures that networks are trained on."""
    return DATA / "diets" / f"{kind}-{key}"


def training(recipe: str, seed: int) -> Path:
    """What a training leaves."""
    return DATA / "training" / recipe / f"seed-{seed}"


def training_page(recipe: str) -> Path:
    return REPORTS / "training" / recipe / "index.html"


def training_cost(recipe: str, seed: int) -> Path:
    """Times of a training; they differ from run to run."""
    return LOGS / "train" / f"{recipe}.seed-{seed}.cost.json"


def power(study: str) -> Path:
    """The table of how much to record; its page is beside it."""
    return REPORTS / study / "power.csv"


def log(stage: str, *names: str) -> Path:
    """Messages of one job; its traceback, if any, is beside it as ``.traceback``."""
    return LOGS / stage / f"{'.'.join(slug(name) for name in names)}.log"


def benchmark(stage: str, *names: str) -> Path:
    """Wall time and memory of one job, as Snakemake measured them."""
    return log(stage, *names).with_suffix(".benchmark.tsv")
