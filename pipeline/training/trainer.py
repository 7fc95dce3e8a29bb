"""The training loop: one for all networks, diets and objectives.

On a processor, a training that was stopped and goes on gives the same weights to the last bit, on the same number of
threads: all chance is drawn from the seed and the step (`pipeline.training.streams`), and a checkpoint holds the rest.
On a GPU, passes are in bfloat16 where it has that.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import math
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from pipeline.artifacts.storage.store import remove
from pipeline.core.errors import LayermapError
from pipeline.training.checkpoints import Checkpoint, Checkpoints, flattened, part_of
from pipeline.training.collapse import effective_rank, feature_sd
from pipeline.training.objectives.objective import Objective, Outcome
from pipeline.training.optimiser import (
    SGD,
    Adam,
    AdamW,
    Course,
    make_optimiser,
    optimiser_tensors,
    restore_optimiser,
    set_rate,
)
from pipeline.training.ranks import Ranks
from pipeline.training.streams import batch_of_step, generator_for, stream

if TYPE_CHECKING:
    from pipeline.core.progress import Progress
    from pipeline.training.diets.decoded import Samples

Row = dict[str, float]
"""One point of the loss curve."""


class Learner(nn.Module):
    """Encoder and objective, so that both are trained, kept and given to other processes as one."""

    def __init__(self, encoder: nn.Module, objective: Objective) -> None:
        super().__init__()
        self.encoder = encoder
        self.objective = objective

    def forward(self, *prepared: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]:
        outcome = self.objective.loss(self.encoder, *prepared)
        return outcome.loss, outcome.features, outcome.measures


@dataclasses.dataclass
class Trained:
    """A training that is done.

    Parameters
    ----------
    curve : a row every `Course.log_steps` steps: step, epoch, loss (mean since the last row), learning rate, measures
    cpu_s : processor time of this process in all its steps, those before an interruption included
    wall_s : time that passed, likewise
    """

    curve: list[Row]
    cpu_s: float
    wall_s: float


@dataclasses.dataclass(frozen=True)
class Trainer:
    """A training, from its beginning or from a checkpoint to its end.

    Parameters
    ----------
    learner : as initialised, on the device
    samples : that it is trained on
    on_row : called with every row of the curve as it is made
    """

    learner: Learner
    samples: Samples
    course: Course
    optimiser: Adam | AdamW | SGD
    seed: int
    device: torch.device
    checkpoints: Checkpoints
    progress: Progress
    ranks: Ranks = dataclasses.field(default_factory=Ranks)
    on_row: Callable[[Row], object] = lambda row: None

    def run(self) -> Trained:
        """Train to the end of the course.

        Raises
        ------
        LayermapError
            The loss is no number any more; the message names the step.
        """
        optimiser = make_optimiser(self.optimiser, self.learner)
        trained, first = self._resumed(optimiser)
        for row in trained.curve:
            self.on_row(row)
        self.progress.expect(-first)
        module = self.ranks.wrapped(self.learner)
        sums: dict[str, float] = {}
        every = self._checkpoint_steps()
        with _deterministic():
            for step in range(first, self.course.steps):
                cpu, wall = time.process_time(), time.monotonic()
                self.learner.train()
                set_rate(optimiser, self.optimiser.learning_rate * self.course.share_of_rate(step))
                last = self._step(module, optimiser, step, sums)
                done = step + 1
                if done % self.course.log_steps == 0 or done == self.course.steps:
                    row = self._row(done, sums, last, optimiser)
                    trained.curve.append(row)
                    self.on_row(row)
                    self.progress.at(f"loss {row['loss']:.4g}")
                trained.cpu_s += time.process_time() - cpu
                trained.wall_s += time.monotonic() - wall
                self.progress.advance()
                if self.ranks.is_first and (done % every == 0 or done == self.course.steps):
                    self._keep(optimiser, done, trained)
        return trained

    def _checkpoint_steps(self) -> int:
        """Steps between checkpoints: whole points of the curve, so that no mean is cut in two."""
        return math.ceil(self.course.checkpoint_steps / self.course.log_steps) * self.course.log_steps

    def _step(
        self, module: nn.Module, optimiser: torch.optim.Optimizer, step: int, sums: dict[str, float]
    ) -> torch.Tensor:
        """One step; the features of its last part."""
        numbers = self.ranks.part(batch_of_step(len(self.samples), self.course.batch, self.seed, step))
        optimiser.zero_grad(set_to_none=True)
        n_parts = self.course.accumulation
        for part, own in enumerate(np.array_split(numbers, n_parts)):
            prepared = self._prepared(own, step, part)
            # gradients of all parts but the last wait for it before they are averaged over processes
            waits = self.ranks.world > 1 and part + 1 < n_parts
            with module.no_sync() if waits else contextlib.nullcontext():  # type: ignore[operator]
                with half_precision(self.device):
                    loss, features, measures = module(*prepared)
                mean = loss.float().mean()
                (mean / n_parts).backward()
            for name, value in {"loss": mean, **measures}.items():
                sums[name] = sums.get(name, 0.0) + float(value.detach()) / n_parts
        if not math.isfinite(sums["loss"]):
            raise LayermapError(
                f"the loss is no number after step {step}; lower learning_rate ({self.optimiser.learning_rate:g}) in "
                "the recipe, or give it a longer warm-up"
            )
        if self.course.largest_gradient is not None:
            nn.utils.clip_grad_norm_(self.learner.parameters(), self.course.largest_gradient)
        optimiser.step()
        return features.detach()

    def _prepared(self, numbers: np.ndarray, step: int, part: int) -> tuple[torch.Tensor, ...]:
        place = (self.seed, "step", step, part, self.ranks.rank)
        torch.manual_seed(stream(*place, "layers"))  # dropout and the like, of networks that have it
        labels = self.learner.objective.labels_of(numbers, self.samples.labels_of(numbers))
        batch = torch.from_numpy(self.samples.values[numbers]).to(self.device)
        targets = on_device(labels, self.device)
        return self.learner.objective.prepare(batch, targets, generator_for(*place), training=True)

    def _row(self, done: int, sums: dict[str, float], features: torch.Tensor, optimiser: torch.optim.Optimizer) -> Row:
        n = (done - 1) % self.course.log_steps + 1
        means = self.ranks.mean(torch.tensor([value / n for value in sums.values()], device=self.device)).tolist()
        named = dict(zip(sums, means, strict=True))
        sums.clear()
        return {
            "step": done,
            "epoch": done * self.course.batch / len(self.samples),
            "loss": named.pop("loss"),
            "learning_rate": optimiser.param_groups[0]["lr"],
            "feature_sd": feature_sd(features),
            "effective_rank": effective_rank(features),
            **named,
        }

    def _keep(self, optimiser: torch.optim.Optimizer, done: int, trained: Trained) -> None:
        states = {"learner": self.learner.state_dict(), "optimiser": optimiser_tensors(optimiser)}
        notes: dict[str, Any] = dataclasses.asdict(trained)
        self.checkpoints.write(Checkpoint(done, dict(flattened(states)), notes))

    def _resumed(self, optimiser: torch.optim.Optimizer) -> tuple[Trained, int]:
        """What was done before, put back; and the step to go on from."""
        checkpoint, refused = self.checkpoints.newest()
        for sentence in refused:
            self.progress.say(f"warning: {sentence}")
        if checkpoint is None:
            return Trained([], 0.0, 0.0), 0
        self.learner.load_state_dict(part_of(checkpoint.tensors, "learner"))
        restore_optimiser(optimiser, part_of(checkpoint.tensors, "optimiser"))
        self.progress.say(f"{self.progress.what}: goes on after step {checkpoint.step}")
        return Trained(**checkpoint.notes), checkpoint.step


@contextlib.contextmanager
def _deterministic() -> Iterator[None]:
    """Kernels that give the same sums in every run, where there are any; the setting found is put back."""
    found = torch.get_deterministic_debug_mode()
    torch.set_deterministic_debug_mode("warn")
    try:
        yield
    finally:
        torch.set_deterministic_debug_mode(found)


def half_precision(device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """bfloat16 on GPUs that have it; float32 elsewhere."""
    enabled = device.type == "cuda" and torch.cuda.is_bf16_supported()
    return torch.autocast(device.type, torch.bfloat16) if enabled else contextlib.nullcontext()


def on_device(labels: Mapping[str, np.ndarray], device: torch.device) -> dict[str, torch.Tensor]:
    """Labels of a batch, int64, as objectives are given them."""
    return {name: torch.from_numpy(numbers.astype(np.int64)).to(device) for name, numbers in labels.items()}


def outcome_of(learner: Learner, prepared: tuple[torch.Tensor, ...]) -> Outcome:
    """What the objective makes of prepared pictures, without gradients."""
    with torch.no_grad():
        return learner.objective.loss(learner.encoder, *prepared)


class CurveLog:
    """Rows of a curve as they come; closes itself.

    Parameters
    ----------
    folder : of this training's events; older ones are replaced, since a training that goes on tells all its rows again
    ranks : only the first process writes
    """

    def __init__(self, folder: Path, ranks: Ranks) -> None:
        self._writer: Any = None
        if ranks.is_first and importlib.util.find_spec("tensorboard") is not None:
            from torch.utils.tensorboard import SummaryWriter

            remove(folder)
            self._writer = SummaryWriter(str(folder))

    def add(self, row: dict[str, float]) -> None:
        """One point of every column at the row's step."""
        if self._writer is not None:
            for name, value in row.items():
                if name != "step":
                    self._writer.add_scalar(name, value, int(row["step"]))

    def __enter__(self) -> CurveLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.close()
