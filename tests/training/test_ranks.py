"""Two processes learn what one does."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.training.objectives.contrastive import nt_xent
from pipeline.training.ranks import Ranks, gathered_views
from tests.training.conftest import recipe_of
from tests.training.tiny_training import trainer_of, weights

ROOT = Path(__file__).resolve().parents[2]
RECIPE = {
    # no batch statistics and no chance in what is shown, so that parts of a batch add up to the whole
    "network": {"kind": "small_vit", "n_features": 12, "n_blocks": 1},
    "objective": {"kind": "supervised", "shift_px": 0, "flip": 0},
    "optimiser": {"kind": "sgd", "learning_rate": 0.05},
    "course": {"steps": 3, "batch": 24, "accumulation": 2},
}


def run(folder: Path) -> None:
    """What each process does; the first leaves its weights."""
    from pipeline.training.ranks import joined

    torch.set_num_threads(1)
    with joined(torch.device("cpu")) as ranks:
        trainer = trainer_of(folder / "ck", recipe_of(**RECIPE), ranks=ranks)
        trainer.run()
        views = [view.reshape(2, -1, 5)[ranks.rank].clone().requires_grad_() for view in two_views()]
        first, second, own = gathered_views(*views)
        nt_xent(first, second, 0.5)[0][own].mean().backward()
        torch.save([view.grad for view in views], folder / f"gradients-{ranks.rank}.pt")
        if ranks.is_first:
            torch.save(weights(trainer), folder / "weights.pt")


def two_views() -> list[torch.Tensor]:
    """Of eight pictures."""
    return list(torch.randn(2, 8, 5, generator=torch.Generator().manual_seed(0)))


def test_parts_of_a_batch_are_apart_and_make_it_up():
    numbers = np.arange(13)
    parts = [Ranks(rank, 3).part(numbers) for rank in range(3)]
    assert [len(part) for part in parts] == [4, 4, 4] and sorted(np.concatenate(parts)) == list(range(12))


@pytest.mark.slow
def test_two_processes_give_the_weights_of_one(tmp_path):
    alone = trainer_of(tmp_path / "alone", recipe_of(**RECIPE))
    alone.run()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    code = "import sys; from pathlib import Path; from tests.training.test_ranks import run; run(Path(sys.argv[1]))"
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", code, str(tmp_path)]
    started = [
        subprocess.Popen(command, cwd=ROOT, env={**os.environ, **shared, "RANK": str(rank)}) for rank in range(2)
    ]
    assert [process.wait(timeout=120) for process in started] == [0, 0]
    together = torch.load(tmp_path / "weights.pt", weights_only=True)
    expected = weights(alone)
    assert all(torch.allclose(expected[name], together[name], atol=1e-5) for name in expected)
    assert sorted(path.name for path in (tmp_path / "ck").iterdir()) == ["step-00000003"]  # of the first only
    views = [view.requires_grad_() for view in two_views()]
    nt_xent(*views, 0.5)[0].mean().backward()
    parts = [torch.load(tmp_path / f"gradients-{rank}.pt", weights_only=True) for rank in range(2)]
    for number, view in enumerate(views):
        found = torch.cat([part[number] for part in parts])
        assert torch.allclose(found / 2, view.grad, atol=1e-6)  # means of halves; processes are averaged
