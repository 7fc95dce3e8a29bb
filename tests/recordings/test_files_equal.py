"""Pictures of a user's own under several names: said by prepare, carried by activations, one item of the scores."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.artifacts.activations import open_activations
from pipeline.artifacts.scores import open_scores
from pipeline.artifacts.stimulus import open_stimulus
from pipeline.study.load import load_study
from pipeline.study.plan import plan_study
from tests.recordings.conftest import run_stages, write_study


def test_pictures_under_three_names_are_held_out_together(
    lab: Path, rng: np.random.Generator, capsys: pytest.CaptureFixture[str]
) -> None:
    for file in (lab / "images").iterdir():
        file.unlink()
    pictures = rng.integers(0, 256, (16, 10, 14, 3), dtype=np.uint8)
    for number in range(48):
        Image.fromarray(pictures[number % 16]).save(lab / "images" / f"im{number:02d}.png")
    latent = np.tile(rng.standard_normal((16, 3)), (3, 1))
    np.save(lab / "my.npy", latent + 0.5 * rng.standard_normal((2, 48, 3)))
    study = write_study(lab)
    dataset = run_stages(study)
    said = "48 pictures hold 16 different ones (im00 = im16 = im32; im01 = im17 = im33; im02 = im18 = im34; 13 more)"
    assert f"layermap prepare: {said}: equal ones are held out together\n" in capsys.readouterr().err
    stimulus = open_stimulus(dataset.stimulus_path("stimulus"))
    assert stimulus.attrs["equal_contents"].startswith(said) and "alike" not in stimulus.attrs
    run_stages(study, "activate", "encode")
    contents = open_activations(next(Path("data/activations").rglob("*.zarr"))).contents()
    assert contents.tolist() == [str(content) for content in stimulus["content"].values]
    analysis = plan_study(load_study(study)).analyses[0]
    scores = open_scores(analysis.scores_path("targets", analysis.models[0]))
    assert scores.sizes["block"] == 16 and scores["n"].values.tolist() == [3] * 16
    assert scores.attrs["equal_contents"].startswith("48 items hold 16 different ones (im00 = im16 = im32; ")
