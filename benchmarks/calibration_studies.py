"""Small simulated studies whose truth is known, through the real `encode`, `compare` and `map`.

A study writes recordings and activations as the stages before would, scores every model's layers, writes the scores and
builds the map. Nothing of the statistics is done here.

* noise: responses that owe nothing to any layer. In time, features are as slow as the responses.
* planted: each region is a read-out of one layer of the first model, and noise; the second model has nothing to do
  with them. Layers share ρ = .7 with the next, as layers of networks do.
* contrast: every subject's regions are read out of both models, equally well on the mean over subjects; a subject's
  difference in amplitude has a standard deviation of its own.
* twins: a network and five twins, whose amplitudes all come from one distribution, so the network is no better.
* rsa-shared-N: N animals share a geometry that no layer has.
"""

from __future__ import annotations

import dataclasses
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.signal import lfilter

from pipeline.artifacts.activations import ActivationWriter, LayerInfo
from pipeline.artifacts.recording import write_recording
from pipeline.artifacts.scores import write_scores
from pipeline.artifacts.storage.store import standard_attrs
from pipeline.inference.stage import AnalysisScores, build_map
from pipeline.study.study import Contrast, Inference

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from pipeline.encoding.mappings.ridge import RidgeOptions

ATTRS = {"study": "s", "analysis": "a", "group": "g", "created_by": "calibration", "config_sha": "", "inputs_sha": ""}
WARM_UP = 200  # samples before the first, so that slow courses are stationary
BETWEEN_LAYERS = 0.7
SHARES = (0.02, 0.04, 0.08, 0.12, 0.2, 0.3)
"""Of a planted region's variance: held-out r from about .05 to .5."""
AMPLITUDE = 0.3
TWIN_SD = 0.05


@dataclasses.dataclass(frozen=True)
class Design:
    """A kind of small study.

    Parameters
    ----------
    truth : ``noise``, ``planted``, ``contrast``, ``twins`` or ``shared``
    in_time : samples of 1 s in two runs, else items
    autocorrelation : of neighbouring samples
    n_subjects, subject_sd : of contrasts; the SD of the subjects' differences in amplitude
    """

    truth: str
    in_time: bool = False
    autocorrelation: float = 0.0
    n_subjects: int = 1
    subject_sd: float = 0.0


@dataclasses.dataclass(frozen=True)
class Sizes:
    """How large one study is; delays in s, of items None."""

    n_samples: int
    n_layers: int
    n_features: int
    n_regions: int
    n_targets: int
    delays_s: tuple[int, int] | None = None


SIZES = {
    ("noise", True): (
        Sizes(240, 3, 10, 6, 3),
        Sizes(240, 4, 6, 6, 3, (4, 8)),
        Sizes(320, 4, 20, 6, 4),
    ),
    ("noise", False): (Sizes(118, 3, 10, 6, 3), Sizes(118, 4, 20, 6, 4), Sizes(118, 5, 30, 6, 5)),
    ("planted", True): (Sizes(320, 5, 12, 6, 4, (5, 7)),),
    ("planted", False): (Sizes(118, 5, 16, 6, 4),),
    ("contrast", False): (Sizes(118, 4, 16, 2, 3),),
    ("twins", False): (Sizes(118, 4, 16, 2, 3),),
    ("shared", False): (Sizes(40, 3, 20, 1, 12),),
}
"""By truth, and whether in time."""


@dataclasses.dataclass(frozen=True)
class Simulated:
    """A study before it is written.

    Parameters
    ----------
    features : model → layer → (n_samples, n_features)
    responses : (n_samples, n_targets)
    regions, subjects : (n_targets,)
    planted : region → number of the layer of the first model that it reads
    """

    features: dict[str, dict[str, NDArray[Any]]]
    responses: NDArray[Any]
    regions: list[str]
    subjects: list[str]
    planted: dict[str, int] = dataclasses.field(default_factory=dict)


CONTRAST_SUBJECTS = (5, 8, 12, 20, 30)
DESIGNS = {
    **{f"noise-time-{ar}": Design("noise", True, float(ar)) for ar in ("0", ".5", ".9")},
    "noise-items": Design("noise"),
    "planted-time": Design("planted", True, 0.5),
    "planted-items": Design("planted"),
    **{
        f"contrast-items-{n}-{sd}": Design("contrast", n_subjects=n, subject_sd=float(sd))
        for n in CONTRAST_SUBJECTS
        for sd in ("0", ".05")
    },
    "twins-items": Design("twins"),
    **{f"rsa-shared-{n}": Design("shared", n_subjects=n) for n in (8, 12, 20)},
}


def run_study(name: str, number: int, seed: int, permutations: int, folder: Path) -> dict[str, Any]:
    """One study's map.

    Parameters
    ----------
    number : which of the studies of this name
    folder : empty; artifacts are written there

    Returns
    -------
    ``tables`` of the map; ``variant``: number of the size; ``planted`` and ``planted_layer``: region → relative depth
    and number of the layer that it reads
    """
    design = DESIGNS[name]
    generator = np.random.default_rng([seed, zlib.crc32(name.encode()), number])
    sizes = sizes_of(design, number)
    simulated = simulate(design, sizes, generator)
    if design.truth in ("contrast", "twins"):
        permutations = 0  # contrasts have p of their own; scores in other orders would take most of the time
    tables = _map_of(design, sizes, simulated, folder, number, _settings(design, permutations, number))
    deepest = max(1, sizes.n_layers - 1)
    depths = {region: layer / deepest for region, layer in simulated.planted.items()}
    variant = number % len(SIZES[design.truth, design.in_time])
    return {"tables": tables, "variant": variant, "planted": depths, "planted_layer": simulated.planted}


def nothing_in(name: str) -> list[str]:
    """Tables of a study in which there is nothing to find."""
    every = ["summary", "row", "unit", "contrast"]
    return {"planted": [], "contrast": ["contrast"], "twins": ["contrast"]}.get(DESIGNS[name].truth, every)


def _settings(design: Design, permutations: int, seed: int) -> Inference:
    """Draws of similarity matrices take long, so there are fewer."""
    return Inference(permutations=permutations, seed=seed, n_bootstrap=400 if design.truth == "shared" else 1000)


def sizes_of(design: Design, number: int) -> Sizes:
    """Of noise, one of several sizes in turn; else always the same."""
    variants = SIZES[design.truth, design.in_time]
    return variants[number % len(variants)]


def simulate(design: Design, sizes: Sizes, generator: np.random.Generator) -> Simulated:
    """Features and responses of one study."""
    names = [f"net@random-{seed}" for seed in range(5)] if design.truth == "twins" else ["other"]
    features = {name: _layers(design, sizes, generator) for name in ("net", *names)}
    regions = [f"R{number}" for number in range(sizes.n_regions) for _ in range(sizes.n_targets)]
    n_targets = design.n_subjects * len(regions)
    subjects = [f"s{number:02d}" for number in range(design.n_subjects) for _ in regions]
    noise = _courses(design, sizes.n_samples, n_targets, generator)
    planted: dict[str, int] = {}
    if design.truth == "planted":
        planted = {f"R{number}": number % sizes.n_layers for number in range(sizes.n_regions)}
        share = np.repeat(SHARES, sizes.n_targets)
        # the same read-outs in every study: what is averaged over studies is a score of these
        weights = np.random.default_rng(0).standard_normal((sizes.n_features, n_targets))
        layers = list(features["net"].values())
        signal = np.concatenate(
            [layers[planted[f"R{number}"]] @ part for number, part in enumerate(np.split(weights, sizes.n_regions, 1))],
            axis=1,
        )
        noise = np.sqrt(share) * _later(_unit(signal, weights), sizes) + np.sqrt(1 - share) * noise
    elif design.truth in ("contrast", "twins"):
        noise = noise + _read_outs(design, sizes, features, len(subjects) // design.n_subjects, generator)
    elif design.truth == "shared":
        noise = noise + generator.standard_normal((sizes.n_samples, 20)) @ (
            generator.standard_normal((20, n_targets)) / np.sqrt(20)
        )
    in_file = {
        model: {name: _in_file(values, sizes) for name, values in own.items()} for model, own in features.items()
    }
    return Simulated(in_file, _in_file(noise, sizes), regions * design.n_subjects, subjects, planted)


def _courses(design: Design, n_samples: int, n: int, generator: np.random.Generator) -> NDArray[Any]:
    """(n_samples, n) of variance 1; in time two runs, each with a lead of `WARM_UP` samples that no file holds."""
    if not design.in_time:
        return generator.standard_normal((n_samples, n))
    rho, n_run = design.autocorrelation, n_samples // 2 + WARM_UP
    white = generator.standard_normal((2, n_run, n))
    courses: NDArray[Any] = lfilter([np.sqrt(1 - rho**2)], [1.0, -rho], white, axis=1).reshape(2 * n_run, n)
    return courses


def _in_file(values: NDArray[Any], sizes: Sizes) -> NDArray[Any]:
    """Without the leads of the runs."""
    if values.shape[0] == sizes.n_samples:
        return values
    return values.reshape(2, -1, values.shape[1])[:, WARM_UP:].reshape(sizes.n_samples, -1)


def _layers(design: Design, sizes: Sizes, generator: np.random.Generator) -> dict[str, NDArray[Any]]:
    layers: dict[str, NDArray[Any]] = {}
    values = _courses(design, sizes.n_samples, sizes.n_features, generator)
    for number in range(sizes.n_layers):
        layers[f"layer{number}"] = values
        own = _courses(design, sizes.n_samples, sizes.n_features, generator)
        values = BETWEEN_LAYERS * values + np.sqrt(1 - BETWEEN_LAYERS**2) * own
    return layers


def _unit(signal: NDArray[Any], weights: NDArray[Any]) -> NDArray[Any]:
    return signal / np.linalg.norm(weights, axis=0)


def _later(signal: NDArray[Any], sizes: Sizes) -> NDArray[Any]:
    """Behind the features by the mean of the delays; what is rolled in comes from the lead of a run."""
    return signal if sizes.delays_s is None else np.roll(signal, sum(sizes.delays_s) // 2, axis=0)


def _read_outs(
    design: Design,
    sizes: Sizes,
    features: dict[str, dict[str, NDArray[Any]]],
    n_targets: int,
    generator: np.random.Generator,
) -> NDArray[Any]:
    """Signals of all subjects, of amplitudes whose expectation is the same for every model; noise has amplitude 1."""
    signals = []
    for _ in range(design.n_subjects):
        if design.truth == "twins":
            amplitudes = AMPLITUDE + TWIN_SD * generator.standard_normal(len(features))
        else:
            half = design.subject_sd / 2 * generator.standard_normal()
            amplitudes = AMPLITUDE + np.array([half, -half])
        total = np.zeros((sizes.n_samples, n_targets))
        for amplitude, layers in zip(amplitudes, features.values(), strict=True):
            weights = generator.standard_normal((sizes.n_features, n_targets))
            total += amplitude * _unit(layers[f"layer{sizes.n_layers // 2}"] @ weights, weights)
        signals.append(total)
    return np.concatenate(signals, axis=1)


def write_files(design: Design, sizes: Sizes, simulated: Simulated, folder: Path) -> dict[str, list[tuple[Path, Path]]]:
    """A recording and every model's activations: model → (recording, activations) of each run."""
    recording = _write_recording(design, sizes, simulated, folder / "responses.nc")
    return {
        model: [(recording, store) for store in _write_activations(design, sizes, model, layers, folder)]
        for model, layers in simulated.features.items()
    }


def ridge_options(design: Design, sizes: Sizes, seed: int) -> RidgeOptions:
    """Of all studies' encoding models."""
    from pipeline.encoding.mappings.ridge import RidgeOptions

    splits: dict[str, Any] = {"n_folds": 5, "n_inner_folds": 3}
    splits |= {"gap_s": 10.0} if design.in_time else {"kind": "random_items"}
    chosen = {"splits": splits, "delays_s": sizes.delays_s, "penalties": {"n": 15}, "n_examples": 0, "seed": seed}
    return RidgeOptions.model_validate(chosen)


def _map_of(
    design: Design, sizes: Sizes, simulated: Simulated, folder: Path, number: int, settings: Inference
) -> dict[str, pd.DataFrame]:
    paths = []
    for model, runs in write_files(design, sizes, simulated, folder).items():
        scores = _scores(design, sizes, runs, tuple(simulated.features[model]), number, settings.permutations)
        paths.append(folder / "scores" / f"{model}.nc")
        paths[-1].parent.mkdir(exist_ok=True)
        write_scores(scores, paths[-1])
    reference = "net@random" if design.truth == "twins" else "other"
    analysis = AnalysisScores(
        name="a",
        metric="rsa" if design.truth == "shared" else "ridge",
        within_category=False,
        contrasts=[Contrast(name="difference", model="net", reference=reference)],
        region_order=(),
        models=list(simulated.features),
        paths=paths,
    )
    return build_map(study="s", analyses=[analysis], inference=settings)


def _scores(
    design: Design,
    sizes: Sizes,
    runs: list[tuple[Path, Path]],
    layers: tuple[str, ...],
    number: int,
    permutations: int,
) -> Any:
    if design.truth == "shared":
        from pipeline.comparison.options import RsaOptions
        from pipeline.comparison.stage import compare_group

        options = RsaOptions(seed=number)
        return compare_group(runs=runs, options=options, layers=layers, attrs=ATTRS, shuffle_seed=None)
    from pipeline.encoding.mappings.ridge import RIDGE
    from pipeline.encoding.options import NullOptions
    from pipeline.encoding.stage import encode_group

    options = ridge_options(design, sizes, number)
    null = NullOptions(permutations, number)
    return encode_group(RIDGE, runs=runs, options=options, layers=layers, attrs=ATTRS, shuffle_seed=None, null=null)


def _stimuli(design: Design) -> tuple[str, ...]:
    return ("story-0", "story-1") if design.in_time else ("items",)


def _clock(design: Design, sizes: Sizes) -> NDArray[Any]:
    """Of one stimulus."""
    if design.in_time:
        return np.arange(1.0, sizes.n_samples // 2 + 1)
    return np.array([f"item-{number:03d}" for number in range(sizes.n_samples)])


def _write_activations(
    design: Design, sizes: Sizes, model: str, layers: dict[str, NDArray[Any]], folder: Path
) -> list[Path]:
    """One store per stimulus."""
    clock, paths = _clock(design, sizes), []
    infos = [LayerInfo(name, place, place / max(1, len(layers) - 1)) for place, name in enumerate(layers)]
    objective = "random" if "@random" in model else "supervised"
    for place, stimulus in enumerate(_stimuli(design)):
        attrs = {
            **standard_attrs("activations", "calibration", "", ""),
            **{"model": model, "modality": "audio", "objective": objective, "weights_sha256": "", "stimulus": stimulus},
            **{"sample_kind": "time" if design.in_time else "item", "preprocessing": "{}", "reduction": "{}"},
            **{"rate": "mean", "convolved": 0},
        }
        path = folder / f"{model}-{stimulus}.zarr"
        writer = ActivationWriter(path, infos, clock.size, clock, attrs)
        rows = slice(place * clock.size, (place + 1) * clock.size)
        writer.write(0, {name: values[rows].astype(np.float32) for name, values in layers.items()})
        writer.close()
        paths.append(path)
    return paths


def _write_recording(design: Design, sizes: Sizes, simulated: Simulated, path: Path) -> Path:
    """All subjects in one recording."""
    import xarray as xr

    clock, stimuli = _clock(design, sizes), _stimuli(design)
    run = np.repeat(stimuli, clock.size).astype(object)
    responses = simulated.responses.astype(np.float32)
    of_targets = {
        "target": [f"t{number:04d}" for number in range(responses.shape[1])],
        "region": simulated.regions,
        "subject": simulated.subjects,
    }
    attrs = {"units": "a.u.", "sample_kind": "time" if design.in_time else "item", "high_pass_s": 0.0, "z_scored": 0}
    if design.in_time:
        attrs["sample_interval_s"] = 1.0
    coords: dict[str, Any] = {
        "run": ("sample", run),
        "stimulus": ("sample", run),
        **{name: ("target", np.array(values, object)) for name, values in of_targets.items()},
        "n_repeats": (("sample", "target"), np.ones(responses.shape, np.int16)),
        "time_s" if design.in_time else "item": (
            "sample",
            np.tile(clock, len(stimuli)) if design.in_time else clock.astype(object),
        ),
    }
    if design.truth == "noise":
        units, attrs["surface_mesh"] = [f"unit-{name}" for name in of_targets["target"]], "calibration"
        coords |= {
            "unit": ("target", np.array(units, object)),
            "hemisphere": ("target", np.array(["left"] * len(units), object)),
            "vertex": ("target", np.full(len(units), -1)),
            "surface_unit": ("surface_vertex", np.array([*units, *[""] * len(units)], object)),
        }
    whole = {**standard_attrs("recording", "calibration", "", ""), **attrs, "n_subjects": design.n_subjects}
    write_recording(xr.Dataset({"responses": (("repeat", "sample", "target"), responses[None])}, coords, whole), path)
    return path
