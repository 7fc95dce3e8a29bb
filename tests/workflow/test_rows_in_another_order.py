"""A user's own pictures, whose rows of responses are in order of number but named in order of text: the whole way."""

import numpy as np
import pytest
from PIL import Image

from pipeline.study.cli import main

STUDY = """
study: pictures
title: Pictures
analyses:
  seen:
    recording: {kind: files, responses: my.npy, stimulus: images/, items: items.txt, regions: regions.csv}
    models: [pixels]
    metric: {kind: ridge, splits: {kind: random_items, n_folds: 4, n_inner_folds: 3}}
"""
N = 80


@pytest.mark.study
def test_encode_warns_and_the_page_says_so(tmp_path, monkeypatch, capsys):
    rng = np.random.default_rng(0)
    brightness = rng.uniform(0.1, 0.9, (N, 2, 2))
    names = [f"picture_{number}" for number in range(1, N + 1)]
    (tmp_path / "images").mkdir()
    for name, quadrants in zip(names, brightness, strict=True):
        texture = rng.uniform(-0.1, 0.1, (8, 8))  # without it, some of so few quadrants are nearly alike
        pixels = (255 * np.kron(np.kron(quadrants, np.ones((4, 4))) + texture, np.ones((4, 4)))).astype(np.uint8)
        Image.fromarray(np.stack([pixels] * 3, axis=-1)).save(tmp_path / "images" / f"{name}.png")
    signal = brightness.reshape(N, 4) @ rng.standard_normal((4, 3))
    np.save(tmp_path / "my.npy", signal / signal.std(axis=0) + rng.standard_normal((2, N, 3)))
    (tmp_path / "regions.csv").write_text("region\nA\nA\nB\n")
    (tmp_path / "study.yaml").write_text(STUDY)

    monkeypatch.chdir(tmp_path)

    def run(stage):
        capsys.readouterr()
        assert main([stage, "--study", "study.yaml"]) == 0
        return [line for line in capsys.readouterr().err.splitlines() if "warning" in line]

    for order, expected in ((sorted(names), 1), (names, 0)):
        (tmp_path / "items.txt").write_text("\n".join(order) + "\n")
        warned = [line for stage in ("catalogue", "fetch", "prepare", "activate", "encode") for line in run(stage)]
        assert len(warned) == expected
        if warned:
            assert warned[0].startswith("layermap encode: warning: pictures, seen/")
            assert "if they are in the order of the numbers in their names" in warned[0]
        for stage in ("identify", "map", "report"):
            run(stage)
        page = (tmp_path / "reports" / "pictures" / "index.html").read_text()
        assert ("may not be in the order of what was presented" in page) == bool(expected)
