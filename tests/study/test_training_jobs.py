"""What the rules of training look up, and a training through Snakemake."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.core.errors import BadConfiguration, LayermapError
from pipeline.study.load import load_workflow_config
from pipeline.study.training_jobs import plan_training
from pipeline.training.results import run_files

ROOT = Path(__file__).resolve().parents[2]


def jobs_of(**given):
    return plan_training(load_workflow_config(given))


def test_nothing_is_trained_where_nothing_is_asked_for():
    jobs = jobs_of()
    assert jobs.names == []
    with pytest.raises(
        BadConfiguration, match="no recipe is asked for; give one: snakemake train --config recipe=NAME"
    ):
        _ = jobs.page


def test_nothing_heavy_is_imported_where_nothing_is_asked_for():
    code = "import sys; from pipeline.study.load import load_workflow_config as load; "
    code += "from pipeline.study.training_jobs import plan_training as plan; plan(load({})); "
    code += "sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_every_seed_of_a_recipe_has_its_receipt_and_one_page():
    jobs = jobs_of(recipe="images_random")
    assert [path.as_posix() for path in jobs.receipts] == [
        f"data/training/images_random/seed-{seed}/receipt.json" for seed in range(5)
    ]
    assert jobs.page.as_posix() == "reports/training/images_random/index.html"
    assert jobs.outputs == [path.as_posix() for path in run_files("{recipe}", "{seed}")]


def test_flags_hand_on_what_the_run_was_told():
    jobs = jobs_of(recipe="images_random", device="cpu", diet_path="/a b.zip", mirror="/m")
    told = ["--recipe=images_random", "--device=cpu", "--diet-path=/a b.zip", "--mirror=/m"]
    assert jobs.flags("--seed=3") == [*told, "--seed=3"]
    assert jobs_of(recipe="images_random").flags() == ["--recipe=images_random", "--device=auto"]


def test_keys_change_with_the_recipe_and_with_pictures_of_ones_own(tmp_path):
    assert jobs_of(recipe="images_random").key() == jobs_of(recipe="images_random").key()
    assert jobs_of(recipe="images_random").key() != jobs_of(recipe="images_supervised").key()
    pictures = tmp_path / "mine.zip"
    pictures.write_bytes(b"one")
    first = jobs_of(recipe="images_random", diet_path=str(pictures)).key()
    os.utime(pictures, ns=(1, 1))
    assert jobs_of(recipe="images_random", diet_path=str(pictures)).key() != first


def test_a_recipe_that_does_not_exist():
    with pytest.raises(LayermapError, match="unknown recipe 'images_randm'"):
        jobs_of(recipe="images_randm")


@pytest.mark.slow
def test_snakemake_trains_a_recipe(tmp_path):
    """Every file that the rule lists is written, and the page; a second run has nothing to do."""
    snakemake = [
        Path(sys.executable).with_name("snakemake"),
        "--snakefile",
        ROOT / "Snakefile",
        "--directory",
        tmp_path,
    ]
    command = [*snakemake, "train", "--cores", "1", "--config", "recipe=images_random_toy", "device=cpu"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert {path.name for path in (tmp_path / "data/training/images_random_toy/seed-0").iterdir()} == {
        path.name for path in run_files("images_random_toy", 0)
    }
    assert (tmp_path / "reports/training/images_random_toy/index.html").is_file()
    again = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert again.returncode == 0 and "Nothing to be done" in again.stdout + again.stderr
