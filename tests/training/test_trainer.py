"""The loop: it learns, goes on to the last bit after it was killed, and says what went wrong."""

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.core.errors import LayermapError
from pipeline.training.streams import batch_of_step, generator_for, stream
from tests.training.conftest import recipe_of
from tests.training.tiny_training import CONTRASTIVE, trainer_of, weights

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A training that was never stopped: its weights, and its curve."""
    trainer = trainer_of(tmp_path_factory.mktemp("whole"))
    trained = trainer.run()
    return weights(trainer), trained.curve


def same(one, other):
    assert one.keys() == other.keys()
    return all(torch.equal(one[name], other[name]) for name in one)


def test_a_training_comes_again_and_another_seed_is_another(whole, tmp_path):
    again = trainer_of(tmp_path / "again")
    assert again.run().curve == whole[1] and same(weights(again), whole[0])
    other = trainer_of(tmp_path / "other", seed=1)
    other.run()
    assert not same(weights(other), whole[0])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("moment", "step", "goes_on_after"),
    [("after checkpoint", 8, 8), ("during checkpoint", 8, 4), ("during checkpoint", 12, 8)],
)
def test_a_killed_training_goes_on_to_the_same_bits(whole, tmp_path, capsys, moment, step, goes_on_after):
    command = [sys.executable, "-m", "tests.training.tiny_training", str(tmp_path / "killed"), moment, str(step)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    trainer = trainer_of(tmp_path / "killed")
    curve = trainer.run().curve
    assert f"goes on after step {goes_on_after}" in capsys.readouterr().err
    assert curve == whole[1] and same(weights(trainer), whole[0])


def test_a_flipped_bit_in_the_newest_checkpoint_is_said_and_the_one_before_used(whole, tmp_path, capsys):
    trainer_of(tmp_path / "ck").run()
    path = tmp_path / "ck" / "step-00000012" / "state.safetensors"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)
    trainer = trainer_of(tmp_path / "ck")
    trainer.run()
    said = capsys.readouterr().err
    assert f"warning: {path} was altered since it was written" in said and "goes on after step 8" in said
    assert same(weights(trainer), whole[0])


@pytest.mark.parametrize("optimiser", [{"kind": "adam"}, {"kind": "adamw"}, {"kind": "sgd", "learning_rate": 0.05}])
def test_every_optimiser_goes_on(tmp_path, optimiser):
    recipe = recipe_of(optimiser=optimiser, course={"steps": 8, "batch": 24, "checkpoint_steps": 4})
    whole = trainer_of(tmp_path / "ck", recipe)
    whole.run()
    kept = weights(whole)
    (tmp_path / "ck" / "step-00000008" / "state.safetensors").unlink()
    again = trainer_of(tmp_path / "ck", recipe)
    again.run()
    assert same(weights(again), kept)


def test_the_loss_falls(tmp_path):
    recipe = recipe_of(course={"steps": 40, "batch": 24})
    curve = trainer_of(tmp_path / "ck", recipe).run().curve
    first, last = (np.mean([row["loss"] for row in rows]) for rows in (curve[:4], curve[-4:]))
    assert last < 0.5 * first
    assert curve[-1]["step"] == 40 and curve[-1]["epoch"] == pytest.approx(10)
    assert {"loss", "learning_rate", "feature_sd", "effective_rank", "accuracy"} <= set(curve[0])


def test_a_batch_in_parts_gives_the_gradient_of_the_whole(tmp_path):
    """One step of plain descent, of a network without batch statistics and views without chance."""
    weights_of = []
    for accumulation in (1, 4):
        recipe = recipe_of(
            network={"kind": "small_vit", "n_features": 12, "n_blocks": 1},
            objective={"kind": "supervised", "shift_px": 0, "flip": 0},
            optimiser={"kind": "sgd", "learning_rate": 0.1, "momentum": 0},
            course={"steps": 1, "batch": 24, "accumulation": accumulation},
        )
        trainer = trainer_of(tmp_path / str(accumulation), recipe)
        trainer.run()
        weights_of.append(weights(trainer))
    whole, parts = weights_of
    assert all(torch.allclose(whole[name], parts[name], atol=1e-6) for name in whole)


def test_a_training_that_diverges_says_so_in_one_line(tmp_path):
    recipe = recipe_of(**CONTRASTIVE | {"optimiser": {"kind": "sgd", "learning_rate": 1e30}})
    with pytest.raises(LayermapError, match=r"the loss is no number after step \d+; lower learning_rate \(1e\+30\)"):
        trainer_of(tmp_path / "ck", recipe).run()


def test_rates_warm_up_and_fall_along_a_cosine():
    course = recipe_of(course={"steps": 100, "batch": 24, "warmup_steps": 10, "final_rate": 0.1}).course
    shares = [course.share_of_rate(step) for step in range(100)]
    assert shares[:10] == pytest.approx(np.arange(1, 11) / 10)
    assert shares[10] == 1 and shares[55] == pytest.approx(0.55) and shares[99] == pytest.approx(0.1, abs=1e-3)
    assert shares[10:] == sorted(shares[10:], reverse=True)


def test_every_epoch_shows_every_picture_once():
    for epoch in range(2):
        shown = np.concatenate([batch_of_step(96, 24, 0, 4 * epoch + step) for step in range(4)])
        assert sorted(shown) == list(range(96))
    assert not np.array_equal(batch_of_step(96, 24, 0, 0), batch_of_step(96, 24, 0, 4))
    assert not np.array_equal(batch_of_step(96, 24, 0, 0), batch_of_step(96, 24, 1, 0))


def test_streams_of_different_places_differ():
    assert stream(1, 23) != stream(12, 3) and stream(0, "a", 1) == stream(0, "a", 1)
    draws = [torch.rand(1000, generator=generator_for(0, step)) for step in (1, 2)]
    assert abs(np.corrcoef(draws[0], draws[1])[0, 1]) < 0.12
