"""One tiny training on patches in memory, in this process or in one that is killed at a named moment.

``python -m tests.training.tiny_training FOLDER MOMENT STEP``; moments: ``after checkpoint``, ``during checkpoint``.
"""

import os
import signal
import sys
from pathlib import Path

import torch

from pipeline.core.progress import Progress
from pipeline.training.checkpoints import Checkpoints
from pipeline.training.networks import make_encoder, seeded
from pipeline.training.objectives.objective import OBJECTIVES
from pipeline.training.ranks import Ranks
from pipeline.training.trainer import Learner, Trainer
from tests.training.conftest import FORM, LABELS, recipe_of, samples_of

CONTRASTIVE = {"objective": {"kind": "contrastive"}, "course": {"steps": 12, "batch": 24, "checkpoint_steps": 4}}


def trainer_of(folder: Path, recipe=None, seed: int = 0, ranks: Ranks | None = None) -> Trainer:
    """A trainer of 12 steps on 96 patches; checkpoints after 4, 8 and 12."""
    from pipeline.training.objectives.objective import Setting

    recipe = recipe or recipe_of(**CONTRASTIVE)
    samples = samples_of(96, 1)
    encoder = make_encoder(recipe.network, FORM, seed)
    shades = ((0.5, 0.5, 0.5), (0.2, 0.2, 0.2))
    setting = Setting(encoder.module, encoder.n_features, FORM, LABELS, samples.labels, *shades, seed)
    entry = OBJECTIVES.get(recipe.objective.kind)
    objective = seeded(lambda: entry.make(recipe.objective, setting), "objective", seed, "objective")
    return Trainer(
        learner=Learner(encoder.module, objective).to(memory_format=torch.channels_last),
        samples=samples,
        course=recipe.course,
        optimiser=recipe.optimiser,
        seed=seed,
        device=torch.device("cpu"),
        checkpoints=Checkpoints(folder, "key"),
        progress=Progress("train tiny", recipe.course.steps, unit="step"),
        ranks=ranks or Ranks(),
    )


def weights(trainer: Trainer) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in trainer.learner.state_dict().items()}


def _kill_at(moment: str, step: int) -> None:
    """Make the process kill itself; nothing is flushed, closed or cleaned up."""
    import safetensors.torch

    write, save = Checkpoints.write, safetensors.torch.save_file

    def kill() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def written(self, checkpoint):
        place = write(self, checkpoint)
        if checkpoint.step == step:
            kill()
        return place

    def half_saved(tensors, path, metadata=None):
        save(tensors, path, metadata)
        if f'"step": {step},' in metadata["training"]:
            os.truncate(path, os.path.getsize(path) // 2)
            kill()

    if moment == "after checkpoint":
        Checkpoints.write = written
    else:
        safetensors.torch.save_file = half_saved


if __name__ == "__main__":
    torch.set_num_threads(1)
    _kill_at(sys.argv[2], int(sys.argv[3]))
    trainer_of(Path(sys.argv[1])).run()
