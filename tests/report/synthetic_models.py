"""What a synthetic study consists of: models with layers, and how well each predicts each region."""

import dataclasses

import numpy as np

from pipeline.artifacts.activations import LayerInfo
from pipeline.report.study_facts import ModelFacts, StreamFacts

STREAMS = (
    StreamFacts("published", ("VISl", "VISpm"), ("VISal", "VISam")),
    StreamFacts("anatomical", ("VISl",), ("VISal", "VISpm", "VISam")),
    StreamFacts("VISpm omitted", ("VISl",), ("VISal", "VISam")),
)


@dataclasses.dataclass(frozen=True)
class Analysis:
    """What a synthetic analysis consists of.

    ``peaks``: region → relative depth at which the network predicts best, None for noise; in a network of two
    ``pathways``, (pathway, depth). ``animals``: subjects have similarity matrices of their own, over blocks of a movie,
    of the regions that ``lacking`` (subject → regions) leaves them. ``spaces``: baselines that all other models were
    fitted jointly with.
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
    streams: tuple = ()
    nuisance: tuple = ()
    animals: bool = False
    lacking: dict = dataclasses.field(default_factory=dict)
    dataset_options: dict = dataclasses.field(default_factory=dict)
    spaces: tuple = ()


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
                objective=kind,
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
    return [
        (s, r, c) for s in subjects for r in spec.peaks for c in spec.compartments if r not in spec.lacking.get(s, ())
    ]
