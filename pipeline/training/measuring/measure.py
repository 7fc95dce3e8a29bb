"""What is measured of a trained network on test samples: its own objective, collapse, and probes of every layer.

Beside each number stands what it has to exceed: the untrained network on the objective, and the random twin and the
samples themselves on the probes.
"""

from __future__ import annotations

import copy
import dataclasses
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from scipy import stats

from pipeline.core.progress import Progress
from pipeline.training.collapse import effective_rank, feature_sd
from pipeline.training.measuring.pathways import MAIN
from pipeline.training.measuring.probe_sets import ProbeSet, probe_sets
from pipeline.training.measuring.show import calibrate, chosen_samples, layer_values, objective_losses, random_twin
from pipeline.training.probes import CONFIDENCE, probe
from pipeline.training.results import RAW, TRAINED, TWIN, UNTRAINED
from pipeline.training.streams import generator_for
from pipeline.training.trainer import half_precision, on_device

if TYPE_CHECKING:
    from pipeline.training.diets.decoded import Diet, Samples
    from pipeline.training.networks import Encoder
    from pipeline.training.recipe import Recipe
    from pipeline.training.trainer import Learner

COLUMNS = ("network", "loss", "low", "high", "n_samples")


@dataclasses.dataclass(frozen=True)
class Measured:
    """Measures of one training.

    Parameters
    ----------
    held_out : columns ``network, loss, low, high, n_samples``; no rows where nothing was learned
    probes : columns ``network, label, pathway, layer, depth, n_classes``
        and those of `pipeline.training.probes.Probe`
    measures : network → name → value on test samples
    """

    held_out: pd.DataFrame
    probes: pd.DataFrame
    measures: dict[str, dict[str, float]]


def measure(learner: Learner, untrained: Learner, encoder: Encoder, diet: Diet, recipe: Recipe, seed: int) -> Measured:
    """Measure a trained network.

    Parameters
    ----------
    learner : trained
    untrained : the same as it was initialised; it is given normalisation statistics of training samples
    encoder : for its layers
    """
    calibrate(untrained, diet.train, seed)
    twin = random_twin(learner, diet.train, seed)
    shown = chosen_samples(len(diet.test), recipe.probes.n_test, "test pictures")
    batch = recipe.course.batch // recipe.course.accumulation
    rows, measures = [], {}
    for name, network in ((TRAINED, learner), (UNTRAINED, untrained)):
        losses, found, features = objective_losses(network, diet.test, shown, seed, batch)
        measures[name] = {**found, "feature_sd": feature_sd(features), "effective_rank": effective_rank(features)}
        rows.append({"network": name, **_mean_with_interval(losses)})
    if not learner.objective.has_loss:
        rows = []
    networks = {TRAINED: learner, TWIN: twin}
    probes = pd.DataFrame(list(_probes(networks, encoder, diet, recipe, shown)))
    return Measured(pd.DataFrame(rows, columns=list(COLUMNS)), probes, measures)


def _mean_with_interval(losses: np.ndarray) -> dict[str, float]:
    """Mean over samples, and its 95 % interval by Student's t."""
    mean, half = float(losses.mean()), 0.0
    if len(losses) > 1:
        half = float(stats.t.ppf(0.5 + CONFIDENCE / 2, len(losses) - 1) * losses.std(ddof=1) / np.sqrt(len(losses)))
    return {"loss": mean, "low": mean - half, "high": mean + half, "n_samples": len(losses)}


def _probes(
    networks: Mapping[str, Learner], encoder: Encoder, diet: Diet, recipe: Recipe, test_numbers: np.ndarray
) -> Iterator[dict[str, object]]:
    """Probes of the samples themselves, then of the layers of every network, in order of depth."""
    progress = Progress(f"probe {recipe.recipe}", unit="layer")
    depths = relative_depths(encoder)
    form, most = diet.facts.form, recipe.probes.largest_layer

    def rows(
        asked: ProbeSet, network: str, layer: str, depth: float, train: np.ndarray, test: np.ndarray
    ) -> Iterator[dict[str, object]]:
        for label, n_classes in asked.n_classes.items():
            progress.at(f"{network}: {layer}, {label}")
            fitted, labels, scored, test_labels = asked.labelled(label)
            found = probe(
                train[fitted],
                labels,
                test[scored],
                test_labels,
                n_classes=n_classes,
                validation=recipe.probes.validation,
                seed=0,  # the same part for all networks
            )
            progress.advance()
            pathway = encoder.pathways.get(layer, MAIN)
            told = {"network": network, "label": label, "pathway": pathway, "layer": layer, "depth": depth}
            yield {**told, "n_classes": n_classes, **dataclasses.asdict(found)}

    try:
        for asked in probe_sets(diet, recipe, test_numbers):
            progress.expect(len(asked.n_classes) * (1 + len(networks) * len(encoder.taps)))
            size = asked.train.raw_shape()
            yield from rows(asked, RAW[form.modality], size, 0.0, asked.train.raw(), asked.test.raw())
            for name, network in networks.items():
                train, test = (
                    layer_values(network, encoder.taps, shown.samples, shown.numbers, largest_whole=most)
                    for shown in (asked.train, asked.test)
                )
                for layer, values in train.items():
                    yield from rows(asked, name, layer, depths.get(layer, 1.0), values, test[layer])
    finally:
        progress.close()


def relative_depths(encoder: Encoder) -> dict[str, float]:
    """Layer → 0 to 1, from the first to the last of its pathway; layers before pathways are at 0."""
    found: dict[str, float] = {}
    pathways = {encoder.pathways.get(layer, MAIN) for layer in encoder.taps}
    shared = [layer for layer in encoder.taps if encoder.pathways.get(layer, MAIN) == MAIN]
    for pathway in pathways - {MAIN} or {MAIN}:
        own = [layer for layer in encoder.taps if encoder.pathways.get(layer, MAIN) == pathway]
        chain = own if pathway == MAIN else [*shared, *own]
        found |= {layer: index / max(1, len(chain) - 1) for index, layer in enumerate(chain)}
    return found


WARM_UP = 2
MOST_PASSES = 20
MOST_S = 2.0


def clock(device: torch.device) -> float:
    """Seconds of this process's processors, which others do not lengthen; on a GPU, seconds that pass."""
    if device.type == "cuda":
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()


def bare_rate(learner: Learner, samples: Samples, batch: int, device: torch.device) -> float:
    """Samples per second of passes forward and backward alone: no reading, no views, no optimiser.

    Parameters
    ----------
    batch : samples of one pass, as in training
    """
    copied = copy.deepcopy(learner).train()
    numbers = np.arange(batch) % len(samples)
    shown = torch.from_numpy(samples.values[numbers]).to(device)
    labels = on_device(samples.labels_of(numbers), device)
    prepared = copied.objective.prepare(shown, labels, generator_for("throughput"), training=True)
    began, n_passes = 0.0, 0
    for number in range(WARM_UP + MOST_PASSES):
        if number == WARM_UP:
            began = clock(device)
        with half_precision(device):
            loss, _, _ = copied(*prepared)
        loss.float().mean().backward()
        copied.zero_grad(set_to_none=True)
        n_passes += number >= WARM_UP
        if n_passes and clock(device) - began > MOST_S:
            break
    return batch * n_passes / (clock(device) - began)
