"""Checkpoints appear whole, the last two are kept, and a damaged one is refused by name."""

import subprocess

import pytest
import torch

from pipeline.training.checkpoints import Checkpoint, Checkpoints, flattened, part_of


@pytest.fixture
def checkpoints(tmp_path):
    return Checkpoints(tmp_path / "checkpoints", "key")


def written(checkpoints, *steps):
    return [checkpoints.write(Checkpoint(step, {"a.w": torch.full((3,), float(step))}, {"n": step})) for step in steps]


def test_the_newest_comes_back(checkpoints):
    assert checkpoints.newest() == (None, [])
    written(checkpoints, 10, 20)
    found, refused = checkpoints.newest()
    assert found.step == 20 and found.notes == {"n": 20} and refused == []
    assert torch.equal(found.tensors["a.w"], torch.full((3,), 20.0))


def test_the_last_two_are_kept(checkpoints):
    places = written(checkpoints, 10, 20, 30)
    assert sorted(checkpoints.folder.glob("step-*")) == places[1:]


def test_the_digest_is_one_that_others_can_check(checkpoints):
    place = written(checkpoints, 10)[0]
    assert subprocess.run(["sha256sum", "-c", "state.sha256"], cwd=place, capture_output=True).returncode == 0


@pytest.mark.parametrize("place", [20, -3])
def test_a_flipped_bit_is_refused_by_name_and_the_one_before_is_used(checkpoints, place):
    path = written(checkpoints, 10, 20)[1] / "state.safetensors"
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    found, refused = checkpoints.newest()
    assert found.step == 10
    assert len(refused) == 1 and str(path) in refused[0] and "was altered since it was written" in refused[0]


@pytest.mark.parametrize("name", ["state.safetensors", "state.sha256"])
def test_one_without_its_file_is_refused(checkpoints, name):
    (written(checkpoints, 10, 20)[1] / name).unlink()
    found, refused = checkpoints.newest()
    assert found.step == 10 and "cannot be read" in refused[0]


def test_one_of_another_training_is_passed_over(checkpoints):
    written(checkpoints, 10)
    assert Checkpoints(checkpoints.folder, "other key").newest() == (None, [])


def test_what_a_killed_run_left_is_no_checkpoint(checkpoints):
    written(checkpoints, 10)
    (checkpoints.folder / ".step-00000020.part").mkdir()
    assert checkpoints.newest()[0].step == 10
    assert written(checkpoints, 20)[0].is_dir()


def test_parts_keep_their_names():
    states = {"learner": {"encoder.w": torch.ones(2)}, "optimiser": {"0.step": torch.tensor(3.0)}}
    flat = dict(flattened(states))
    assert set(flat) == {"learner.encoder.w", "optimiser.0.step"}
    assert torch.equal(part_of(flat, "learner")["encoder.w"], torch.ones(2))
