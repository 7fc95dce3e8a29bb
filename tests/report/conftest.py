"""Small studies with known answers: scores made from random numbers, mapped by the real `map` stage."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from pipeline.artifacts.activations import LayerInfo
from pipeline.artifacts.scores import write_scores
from pipeline.artifacts.store import standard_attrs
from pipeline.comparison.options import RsaOptions
from pipeline.encoding.options import RidgeOptions
from pipeline.inference.stage import AnalysisScores, build_map
from pipeline.report.facts import AnalysisFacts, DatasetFacts, ModelFacts, StudyFacts
from pipeline.report.scores_read import read_contents
from pipeline.report.stage import build_page
from pipeline.report.views import make_views

GRID = np.geomspace(1e-4, 1e6, 21)


@dataclasses.dataclass(frozen=True)
class Contrast:
    name: str
    model: str
    reference: str
    layer: str | None = None
    pathway: str | None = None


@dataclasses.dataclass(frozen=True)
class Inference:
    n_bootstrap: int = 200
    confidence: float = 0.95
    reliability_floor: float = 0.05
    min_subjects: int = 8
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class Analysis:
    """What a synthetic analysis consists of.

    ``peaks``: region → relative depth at which the network predicts best, None for noise; in a network of two
    ``pathways``, (pathway, depth).
    """

    name: str
    peaks: dict
    n_layers: int
    subjects: tuple
    simulated: bool = False
    planted: bool = False
    items: bool = False
    mean: bool = False
    n_twins: int = 2
    baselines: tuple = ("baseline-a",)
    ceiling: float = 0.8
    within: bool = False
    compartments: tuple = ("",)
    seed: int = 0
    pathways: tuple = ()
    n_shuffled: int = 0
    untrained: bool = False


def layers_of(n):
    return tuple(LayerInfo(f"block{k}", k, k / max(1, n - 1)) for k in range(n))


def layers_of_net(spec):
    """A chain, or a stem with pathways of ``n_layers`` layers each."""
    if not spec.pathways:
        return layers_of(spec.n_layers)
    own = [
        LayerInfo(f"{path}.{layer.name}", layer.index + 1, layer.relative_depth, path)
        for path in spec.pathways
        for layer in layers_of(spec.n_layers)
    ]
    return (LayerInfo("stem", 0, 0.0, "stem"), *own)


def models_of(spec):
    common = {"citation": "Maker & Other 2020, A Conference", "licence": "MIT", "reduction": "", "convolved": False}
    net = {"base": "net", "parameters": 1_234_567, "layers": layers_of_net(spec), "weights_sha256": "ab" * 32}
    preprocessing = {"size_px": 224, "resize": "bilinear"}
    found = [
        ModelFacts(
            "net",
            role="network",
            objective="supervised",
            title="Net, a network",
            seed=None,
            preprocessing=preprocessing,
            **net,
            **common,
        )
    ]
    twins = [("random", seed) for seed in range(spec.n_twins)]
    for kind, seed in [*twins, *(("shuffled", seed) for seed in range(spec.n_shuffled))]:
        found.append(
            ModelFacts(
                f"net@{kind}-{seed}",
                role="twin",
                objective="random",
                title="Net, a network",
                seed=seed,
                preprocessing=preprocessing,
                twin=kind,
                **net,
                **common,
            )
        )
    if spec.untrained:  # its layers are known only once it is built
        more = {**common, "preprocessing": preprocessing, "seed": None, "weights_sha256": "", "layers": ()}
        own = {"base": "own-net", "role": "network", "objective": "random", "title": "Own, a network", "parameters": 0}
        found.append(ModelFacts("own-net", **own, **more))
    for name in spec.baselines:
        found.append(
            ModelFacts(
                name,
                base=name,
                role="baseline",
                objective="baseline",
                title=f"{name} <b>features</b>",
                seed=None,
                parameters=0,
                layers=layers_of(1),
                weights_sha256="",
                preprocessing={},
                **common,
            )
        )
    return tuple(found)


def strength(spec, model, region):
    """Correlation aimed for in each layer."""
    layers = built(spec, model).layers
    depth = np.array([layer.relative_depth for layer in layers])
    peak = spec.peaks[region]
    if peak is None:
        return np.zeros(depth.size)
    if spec.pathways:
        peak, inside = peak[1], np.array([layer.pathway in ("stem", "main", peak[0]) for layer in layers])
        depth = np.where(inside, depth, 99.0)
    if model.role == "baseline":
        return np.full(depth.size, 0.25)
    top = 0.65 if model.role == "network" and model.objective != "random" else 0.15
    return top * np.exp(-((depth - peak) ** 2) / 0.06)


def built(spec, model):
    """A model with its layers known, as its scores have them."""
    return model if model.layers else dataclasses.replace(model, layers=layers_of(spec.n_layers))


def targets_of(spec):
    subjects = [*spec.subjects, *(["mean"] if spec.mean else [])]
    return [(s, r, c) for s in subjects for r in spec.peaks for c in spec.compartments]


def attrs_of(spec, model, kind, split):
    return {
        **standard_attrs(kind, "layermap encode", "c", "i"),
        "study": "synthetic",
        "analysis": spec.name,
        "group": "g",
        "model": model.name,
        "objective": model.objective,
        "n_subjects": len(spec.subjects),
        "split": json.dumps(split),
        "seed": 0,
        "weights_sha256": model.weights_sha256,
    }


def coordinates(spec, model, targets):
    def text(values):
        return np.array(list(values), dtype=object)

    return {
        "layer": ("layer", text(layer.name for layer in model.layers)),
        "layer_index": ("layer", np.array([layer.index for layer in model.layers])),
        "relative_depth": ("layer", np.array([layer.relative_depth for layer in model.layers])),
        "pathway": ("layer", text(layer.pathway for layer in model.layers)),
        "target": ("target", text(f"{s}-{r}-{c}" for s, r, c in targets)),
        "subject": ("target", text(s for s, _, _ in targets)),
        "region": ("target", text(r for _, r, _ in targets)),
        "compartment": ("target", text(c for _, _, c in targets)),
        "reliability": ("target", np.full(len(targets), spec.ceiling**2)),
        "ceiling": ("target", np.full(len(targets), spec.ceiling)),
        "ceiling_kind": ("target", text(["split_half_spearman_brown" if spec.ceiling > 0 else "none"] * len(targets))),
    }


def encoding_scores(spec, model, rng):
    """Sums of predictions that correlate with responses as `strength` says."""
    targets = targets_of(spec)
    n_samples, n_folds = (80, 5) if spec.items else (240, 5)
    fold = np.arange(n_samples) % n_folds if spec.items else np.arange(n_samples) * n_folds // n_samples
    block = np.arange(n_samples) if spec.items else np.arange(n_samples) // 8
    measured = np.random.default_rng(spec.seed).standard_normal((n_samples, len(targets)))
    r = np.stack([strength(spec, model, region) for _, region, _ in targets], axis=-1)
    noise = rng.standard_normal((n_samples, *r.shape))
    predicted = r * measured[:, None] + np.sqrt(1 - r**2) * noise

    def sums(values):
        return np.stack([values[block == one].sum(axis=0) for one in range(block.max() + 1)])

    best = np.argsort(-r.max(axis=0), kind="stable")[:4]
    chosen = r[:, best].argmax(axis=0)
    first = [int(np.flatnonzero(block == one)[0]) for one in range(block.max() + 1)]
    shape = (n_folds, *r.shape)
    picks = rng.integers(3, 21, shape)
    empty = [""] * len(first)
    coords = coordinates(spec, model, targets)
    kind = "random_items" if spec.items else "contiguous"
    split = {
        "kind": kind,
        "n_folds": n_folds,
        "n_inner_folds": 4,
        "gap_s": 10.0,
        "block_s": 20.0,
        "n_train": [n_samples - n_samples // n_folds] * n_folds,
        "n_test": [n_samples // n_folds] * n_folds,
        "n_blocks": len(first),
    }
    return xr.Dataset(
        {
            "n": ("block", np.bincount(block)),
            "fold": ("block", fold[first]),
            "sum_p": (("block", "layer", "target"), sums(predicted)),
            "sum_p2": (("block", "layer", "target"), sums(predicted**2)),
            "sum_py": (("block", "layer", "target"), sums(predicted * measured[:, None])),
            "sum_y": (("block", "target"), sums(measured)),
            "sum_y2": (("block", "target"), sums(measured**2)),
            "penalty": (("fold_id", "layer", "target"), GRID[picks]),
            "penalty_edge": (("fold_id", "layer", "target"), np.where(picks == 20, 1, 0)),
            "constant": ("target", np.zeros(len(targets), int)),
            "predicted": (("example", "sample"), predicted[:, chosen, best].T.astype("f4")),
            "measured": (("example", "sample"), measured[:, best].T.astype("f4")),
        },
        {
            **coords,
            "block_start": ("block", np.array(first, float)),
            "block_item": ("block", np.array(empty, object)),
            "block_category": ("block", np.array([f"c{i % 4}" for i in first] if spec.items else empty, object)),
            "sample_time": ("sample", 2.0 * np.arange(1, n_samples + 1)),
            "example_target": ("example", coords["target"][1][best]),
            "example_layer": ("example", coords["layer"][1][chosen]),
        },
        {
            **attrs_of(spec, model, "encoding_scores", split),
            "metric": "ridge",
            "ci_unit": "item" if spec.items else "block",
        },
    )


def geometry_scores(spec, model, rng):
    """Similarity matrices of 24 items; layers share more with a region's the nearer they lie to its peak."""
    targets = targets_of(spec)
    n_items = 24
    truth = np.random.default_rng(spec.seed).standard_normal((len(targets), n_items, 12))
    measured = np.stack([np.corrcoef(one) for one in truth], axis=-1)
    r = np.stack([strength(spec, model, region) for _, region, _ in targets], axis=-1)
    features = np.concatenate(
        [np.sqrt(r)[:, :, None, None] * truth, 0.4 * rng.standard_normal((r.shape[0], 1, n_items, 12))], axis=1
    )
    modelled = np.stack([np.corrcoef(one.transpose(1, 0, 2).reshape(n_items, -1)) for one in features])
    pairs = [measured[..., t][np.triu_indices(n_items, 1)] for t in range(len(targets))]
    items = np.array([f"scene-{i:03d}" for i in range(n_items)], dtype=object)
    return xr.Dataset(
        {
            "model_similarity": (("layer", "item", "item2"), modelled),
            "similarity": (("item", "item2", "target"), measured),
            "reference_similarity": (("target", "target2"), np.corrcoef(pairs)),
        },
        {**coordinates(spec, model, targets), "item": ("item", items)},
        {
            **attrs_of(spec, model, "geometry_scores", {"kind": "random_halves", "n_splits": 6, "seed": 0}),
            "metric": "rsa",
            "comparison": "spearman",
            "similarity": "pearson",
            "ci_unit": "item",
        },
    )


@dataclasses.dataclass(frozen=True)
class Synthetic:
    """A synthetic study, with what `build_page` takes."""

    facts: StudyFacts
    tables: dict
    contents: dict

    @property
    def views(self):
        return make_views(self.facts, self.tables)

    def page(self, times=(), files=()):
        return build_page(self.facts, self.tables, self.contents, list(times), list(files))


def analysis_facts(spec, rsa):
    options = (
        RsaOptions(n_splits=6)
        if rsa
        else RidgeOptions(
            delays_s=None if spec.items else (0, 0.5),
            within_category=spec.within,
            splits={"kind": "random_items" if spec.items else "contiguous"},
        )
    )
    dataset = DatasetFacts(
        kind="synthetic",
        title=f"Synthetic {spec.name}",
        citation="Recorder 2019, A Journal",
        licence="CC BY 4.0",
        simulated=spec.simulated,
        options={},
        n_files=3,
        n_bytes=12_345_678,
        receipt_sha="cd" * 32,
        receipt_path=f"data/raw/synthetic/receipt-{spec.name}.json",
        excluded="",
        constant_targets="",
        units="dF/F",
    )
    layers = layers_of(spec.n_layers)
    peaks = {r: p for r, p in spec.peaks.items() if p is not None and spec.planted}
    planted = {r: layers[round(p * (spec.n_layers - 1))].name for r, p in peaks.items()}
    return AnalysisFacts(
        name=spec.name,
        metric="rsa" if rsa else "ridge",
        symbol="ρ" if rsa else "r",
        dataset=dataset,
        models=models_of(spec),
        options=options.model_dump(mode="json"),
        region_order=tuple(spec.peaks),
        planted=planted,
        planted_model="net" if spec.planted else "",
        planted_layers=layers if spec.planted else (),
    )


def contrasts_of(spec):
    found = (
        [Contrast(name="trained over best random twin", model="net", reference="net@random")] if spec.n_twins else []
    )
    if spec.n_shuffled:
        found.append(Contrast(name="trained over best shuffled twin", model="net", reference="net@shuffled"))
    found += [
        Contrast(name=f"{path} over best random twin", model="net", reference="net@random", pathway=path)
        for path in spec.pathways
    ]
    if spec.untrained:
        found.append(Contrast(name="net over own-net", model="net", reference="own-net"))
    return tuple(found + [Contrast(name=f"net over {name}", model="net", reference=name) for name in spec.baselines])


def synthesise(folder: Path, name, specs, shuffle_seed=None, rsa=False):
    """Write scores, map them, and gather what the page needs."""
    paths, mapped = {}, []
    for spec in specs:
        paths[spec.name] = []
        for number, model in enumerate(models_of(spec)):
            rng = np.random.default_rng([spec.seed, number + 1])
            model = built(spec, model)
            path = folder / spec.name / f"{model.name}.nc"
            write_scores((geometry_scores if rsa else encoding_scores)(spec, model, rng), path)
            paths[spec.name].append(path)
        mapped.append(
            AnalysisScores(
                spec.name,
                "rsa" if rsa else "ridge",
                spec.within,
                contrasts_of(spec),
                tuple(spec.peaks),
                tuple(m.name for m in models_of(spec)),
                tuple(paths[spec.name]),
            )
        )
    inference = Inference()
    tables = build_map(study=name, analyses=mapped, inference=inference)
    facts = StudyFacts(
        name=name,
        title=f"A {name} study",
        question="Which layer predicts which region?",
        simulated=any(s.simulated for s in specs),
        shuffle_seed=shuffle_seed,
        n_bootstrap=200,
        confidence=0.95,
        reliability_floor=0.05,
        min_subjects=8,
        seed=0,
        analyses=tuple(analysis_facts(spec, rsa) for spec in specs),
        command=f"snakemake all --config study={name}",
        map_path=f"data/maps/{name}.nc",
    )
    contents = {spec.name: read_contents(paths[spec.name], ["net"]) for spec in specs}
    return Synthetic(facts, tables, contents)


@pytest.fixture(scope="session")
def write_synthetic_scores():
    """(path, subjects, region → peak depth, model) → a scores file of that model, in items."""

    def write(path, subjects, peaks, model, **more):
        spec = Analysis("sounds", peaks, len(model.layers), subjects, items=True, ceiling=np.nan, **more)
        scores = encoding_scores(spec, model, np.random.default_rng(len(model.name)))
        write_scores(scores.assign_attrs(analysis=path.parents[1].name, group=path.parent.name), path)

    return write


AREAS = {"VISp": 0.1, "VISl": 0.4, "VISam": 0.9, "noise": None}


@pytest.fixture(scope="session")
def simulated(tmp_path_factory):
    """Three simulated mice in time, planted layers, one region of noise, one twin."""
    spec = Analysis("mouse", AREAS, 9, ("m1", "m2", "m3"), simulated=True, planted=True, n_twins=1, seed=1)
    return synthesise(tmp_path_factory.mktemp("simulated"), "simulated", [spec])


@pytest.fixture(scope="session")
def listeners(tmp_path_factory):
    """Ten listeners and their mean: intervals over subjects, two averages, two baselines."""
    names = tuple(f"s{i:02d}" for i in range(10))
    spec = Analysis(
        "story", {"LATL": 0.3, "LIFG": 0.7}, 12, names, mean=True, baselines=("word-rate", "sound-power"), seed=2
    )
    return synthesise(tmp_path_factory.mktemp("listeners"), "listeners", [spec])


@pytest.fixture(scope="session")
def sounds(tmp_path_factory):
    """Items with scores within categories as well, no ceiling."""
    spec = Analysis(
        "sounds", {"lowfreq": 0.2, "speech": 0.8}, 6, ("group",), items=True, within=True, ceiling=np.nan, seed=3
    )
    return synthesise(tmp_path_factory.mktemp("sounds"), "sounds", [spec])


@pytest.fixture(scope="session")
def scenes(tmp_path_factory):
    """Similarity matrices of regions with two compartments each."""
    peaks = {"VISp": 0.2, "VISam": 0.8}
    spec = Analysis("scenes", peaks, 6, ("pooled",), compartments=("L2/3", "L4"), seed=4)
    return synthesise(tmp_path_factory.mktemp("scenes"), "scenes", [spec], rsa=True)


@pytest.fixture(scope="session")
def pathways(tmp_path_factory):
    """A network of two pathways with twins of both kinds, beside an untrained network of the user's own."""
    peaks = {"VISp": ("path1", 0.2), "VISl": ("path1", 0.8), "VISpm": ("path2", 0.4), "noise": None}
    spec = Analysis(
        "mouse", peaks, 6, ("m1", "m2", "m3"), pathways=("path1", "path2"), n_shuffled=2, untrained=True, seed=6
    )
    return synthesise(tmp_path_factory.mktemp("pathways"), "pathways", [spec])


@pytest.fixture(scope="session")
def shuffled(tmp_path_factory):
    """A study whose responses were shuffled: nothing to be found."""
    spec = Analysis("mouse", dict.fromkeys(AREAS), 9, ("m1", "m2", "m3"), n_twins=1, seed=5)
    return synthesise(tmp_path_factory.mktemp("shuffled"), "simulated-shuffled-3", [spec], shuffle_seed=3)
