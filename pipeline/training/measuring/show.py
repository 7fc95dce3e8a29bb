"""Showing a network the samples of a diet: its layers, its own objective, and its normalisation statistics."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch

from pipeline.models.entry import Twin
from pipeline.models.torch.execution import reproducible_inference
from pipeline.models.torch.hooks import Tap, tapped
from pipeline.models.torch.twins import has_batch_statistics, recompute_normalisation, replace_weights
from pipeline.training.streams import generator_for
from pipeline.training.trainer import on_device

if TYPE_CHECKING:
    from pipeline.training.diets.decoded import Samples
    from pipeline.training.trainer import Learner

BATCH = 256
N_CALIBRATION = 2048
"""Training pictures that normalisation statistics are computed on."""
FEWER = 16
"""Of clips and sounds, which are larger: by how much fewer are shown at once, and for normalisation statistics."""


def _batch_of(samples: Samples) -> int:
    is_pictures = samples.values.ndim == 4
    return BATCH if is_pictures else BATCH // FEWER


def chosen_samples(n: int, most: int, *place: int | str) -> np.ndarray:
    """Up to ``most`` of ``n`` samples, in order, the same for all networks: (n_chosen,)."""
    if n <= most:
        return np.arange(n)
    order = torch.randperm(n, generator=generator_for(*place)).numpy()
    return np.sort(order[:most])


def _batches(
    samples: Samples, numbers: np.ndarray, device: torch.device, size: int
) -> Iterator[tuple[np.ndarray, torch.Tensor]]:
    for start in range(0, len(numbers), size):
        own = numbers[start : start + size]
        yield own, torch.from_numpy(samples.values[own]).to(device)


def layer_values(
    learner: Learner, taps: Mapping[str, Tap], samples: Samples, numbers: np.ndarray, *, largest_whole: int
) -> dict[str, np.ndarray]:
    """Each layer's values, averaged over space and time, and those of the last maps of pictures also as they are.

    Parameters
    ----------
    taps : layer → where it is taken
    numbers : of the samples that are shown
    largest_whole : units up to which the last layer of maps is also taken whole, as ``NAME (whole)``

    Returns
    -------
    layer → (n_samples, n_features) float32, in order of depth
    """
    device = next(learner.parameters()).device
    kept: dict[str, list[torch.Tensor]] = {}
    last = list(taps)[-1]
    n_shown = 0

    def keep(layer: str, values: torch.Tensor) -> None:
        # a network that goes through samples in parts has several rows of each
        whole = values.float() if len(values) == n_shown else values.float().unflatten(0, (n_shown, -1)).mean(1)
        flat = whole.flatten(1)
        space = tuple(range(1, whole.ndim - 1)) if taps[layer].tokens else tuple(range(2, whole.ndim))
        kept.setdefault(layer, []).append((whole.mean(space) if space else flat).cpu())
        if layer == last and whole.ndim == 4 and not taps[layer].tokens and flat.shape[1] <= largest_whole:
            kept.setdefault(f"{layer} (whole)", []).append(flat.cpu())

    learner.eval()
    with reproducible_inference(), tapped(learner.encoder, taps, keep, "the network"):
        for own, batch in _batches(samples, numbers, device, _batch_of(samples)):
            n_shown = len(own)
            learner.encoder(learner.objective.plain(batch))
    return {layer: torch.cat(parts).numpy() for layer, parts in kept.items()}


def objective_losses(
    learner: Learner, samples: Samples, numbers: np.ndarray, seed: int, batch: int
) -> tuple[np.ndarray, dict[str, float], torch.Tensor]:
    """The objective's loss of each sample, its measures, and the encoder's features.

    Chance (views, masks) is the same for all networks of one seed. Batches are of the size of training, as a
    contrastive loss depends on it: samples that make up no whole one are left out, if there is another.

    Parameters
    ----------
    numbers : of the samples that are shown
    batch : samples that are shown together

    Returns
    -------
    losses (n_samples,) float64, measures, features (n_samples, n_features)
    """
    device = next(learner.parameters()).device
    numbers = numbers[: len(numbers) // batch * batch] if len(numbers) >= batch else numbers
    losses, features, sums = [], [], dict[str, float]()
    learner.eval()
    with reproducible_inference():
        for own, shown in _batches(samples, numbers, device, batch):
            labels = on_device(samples.labels_of(own), device)
            generator = generator_for(seed, "held out", int(own[0]))
            prepared = learner.objective.prepare(shown, labels, generator, training=False)
            outcome = learner.objective.loss(learner.encoder, *prepared)
            losses.append(outcome.loss.double().cpu().numpy())
            features.append(outcome.features.float().cpu())
            for name, value in outcome.measures.items():
                sums[name] = sums.get(name, 0.0) + float(value) * len(own)
    return np.concatenate(losses), {name: value / len(numbers) for name, value in sums.items()}, torch.cat(features)


def calibrate(learner: Learner, samples: Samples, seed: int) -> None:
    """Give batch normalisation the statistics of training samples as the objective shows them, if there is any."""
    if not has_batch_statistics(learner):
        return
    device, size = next(learner.parameters()).device, _batch_of(samples)
    numbers = chosen_samples(len(samples), N_CALIBRATION * size // BATCH, seed, "calibration")
    numbers = numbers[: max(size, len(numbers) // size * size)]  # a last batch of one sample has no variance

    def show() -> None:
        for own, batch in _batches(samples, numbers, device, size):
            labels = on_device(learner.objective.labels_of(own, samples.labels_of(own)), device)
            generator = generator_for(seed, "calibration", int(own[0]))
            prepared = learner.objective.prepare(batch, labels, generator, training=True)
            learner.objective.loss(learner.encoder, *prepared)

    recompute_normalisation(learner, show)


def random_twin(learner: Learner, samples: Samples, seed: int) -> Learner:
    """A copy whose weights are redrawn from each tensor's own mean and SD, normalisation recomputed on the diet."""
    twin = copy.deepcopy(learner)
    replace_weights(twin, Twin("random", seed))
    calibrate(twin, samples, seed)
    return twin
