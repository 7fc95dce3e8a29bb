"""examples/movie_raster: ten showings of a movie whose frames are not at hand, from the raster to the map.

The published odd/even medians (.25, .40 and .49 at an SD of 1, 3 and 6 frames) are the correlation, frame by frame, of
the mean of the five odd with that of the five even repeats, not stepped up by Spearman–Brown.
"""

import csv
import importlib.util
import itertools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from pipeline.artifacts.scores import open_scores
from pipeline.models.baselines.blind_baselines import WIDTHS_S, time_bumps
from pipeline.study.cli import main

pytestmark = pytest.mark.slow

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "movie_raster"
RASTER = (
    "raw.githubusercontent.com/AllenBrainAtlas/SWDB-2016/4c5ffd7f0b3ab1efa7a76cfc3bf21076aec977ed/"
    "Projects/Cobra/Pop_Coupling/observatory_raster.mat"
)
N_BLOCKS, PER_BLOCK = 60, 15
ROWS, COLUMNS = np.triu_indices(N_BLOCKS, 1)
LAG = COLUMNS - ROWS
STAGES = ("catalogue", "fetch", "prepare", "activate", "encode", "compare", "map")


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("cut_repeats", EXAMPLE / "cut_repeats.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def cut_into(mirror, tmp_path_factory):
    """SD in frames → folder that the script wrote to."""
    raster = mirror / RASTER
    if not raster.is_file():
        pytest.skip(f"needs {raster}")

    def cut(sd_frames):
        folder = tmp_path_factory.mktemp(f"sd-{sd_frames}")
        command = [sys.executable, str(EXAMPLE / "cut_repeats.py"), str(raster), "--sd-frames", str(sd_frames)]
        subprocess.run(command, cwd=folder, check=True)
        return folder

    return cut


@pytest.fixture(scope="module")
def study(cut_into):
    """A folder in which the study of the example was run up to the map, with few draws."""
    folder = cut_into(3)
    text = (EXAMPLE / "raster_study.yaml").read_text(encoding="utf-8")
    (folder / "raster_study.yaml").write_text(
        f"{text}inference: {{n_bootstrap: 100, permutations: 20, simulations: 0}}\n", encoding="utf-8"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for stage in STAGES:
            assert main([stage, "--study", "raster_study.yaml"]) == 0
    return folder


@pytest.fixture(scope="module")
def responses(study):
    return np.load(study / "responses.npy").astype(np.float64)


def scores_of(study, analysis):
    return open_scores(study / "data" / "scores" / "movie_raster" / analysis / "targets" / "elapsed-time.nc")


def correlation(first, second):
    """Of the columns; 0 for cells that are silent in one of the halves."""
    centred = [one - one.mean(axis=0) for one in (first, second)]
    power = np.sqrt((centred[0] ** 2).sum(axis=0) * (centred[1] ** 2).sum(axis=0))
    return (centred[0] * centred[1]).sum(axis=0) / np.where(power > 0, power, np.inf)


def halves(responses, n, seed=0):
    """Means of two random halves of the repeats, n times."""
    rng = np.random.default_rng(seed)
    for _ in range(n):
        order = rng.permutation(len(responses))
        yield responses[order[::2]].mean(axis=0), responses[order[1::2]].mean(axis=0)


def stepped_up(r):
    return 2 * r / (1 + r)


def matrix(mean):
    """Similarity of blocks over cells that were z-scored over the movie, each cell's mean over blocks taken off."""
    sd = mean.std(axis=0)
    z = (mean - mean.mean(axis=0))[:, sd > 1e-6 * mean.mean(axis=0)] / sd[sd > 1e-6 * mean.mean(axis=0)]
    return np.corrcoef(z.reshape(N_BLOCKS, PER_BLOCK, -1).mean(axis=1))


def without_lag(table):
    """What is left of a matrix when pairs of blocks equally far apart have a mean of 0."""
    pairs = table[ROWS, COLUMNS]
    mean = np.bincount(LAG, weights=pairs) / np.maximum(np.bincount(LAG), 1)
    return pairs - mean[LAG]


def greiner(first, second):
    return np.sin(np.pi / 2 * stats.kendalltau(first, second).statistic)


def test_repeats_are_cut_where_the_movie_begins(script):
    """A cell that fires once at a fixed frame of the movie; another only outside it."""
    raster = np.zeros((2, 50_000))
    for repeat in range(10):
        onset = script.FIRST_FRAME + repeat * script.PERIOD_FRAMES
        raster[0, round(onset + 450 * script.PERIOD_FRAMES / 900)] = 1
    raster[1, :38_000] = 1
    plain, smooth = script.cut(raster), script.cut(raster, sd_frames=2)
    assert plain.shape == smooth.shape == (10, 900, 2)
    assert plain[:, 450, 0].tolist() == [1] * 10 and plain.sum() == 10
    assert smooth.argmax(axis=1)[:, 0].tolist() == [450] * 10 and smooth[..., 1].max() == 0
    assert smooth[:, :, 0].sum(axis=1) == pytest.approx(np.ones(10))
    assert script.cut(raster, frames_per_bin=15).shape == (10, 60, 2)
    with pytest.raises(SystemExit, match=r"\(2, 40000\), expected cells × more than 47802 frames"):
        script.cut(raster[:, :40_000])


def test_smoothing_at_the_ends_is_over_what_is_there(script):
    ones = script.smooth(np.ones((50, 1)), 6.0)
    assert ones == pytest.approx(np.ones((50, 1)))


@pytest.mark.mirror
@pytest.mark.parametrize(("sd_frames", "median"), [(1, 0.25), (3, 0.40), (6, 0.49)])
def test_odd_and_even_repeats_agree_as_is_known(cut_into, sd_frames, median):
    folder = cut_into(sd_frames)
    responses = np.load(folder / "responses.npy").astype(np.float64)
    movie = np.load(folder / "movie.npy")
    assert responses.shape == (10, 900, 242) and movie.shape[0] == 900 and np.ptp(movie) == 0
    r = correlation(responses[::2].mean(axis=0), responses[1::2].mean(axis=0))
    assert np.median(r) == pytest.approx(median, abs=0.03)
    assert np.median(stepped_up(r)) > median + 0.1  # so it was not stepped up


@pytest.mark.mirror
def test_reliability_of_every_cell_is_that_of_all_halvings(study, responses):
    scores = scores_of(study, "cells")
    chosen = [list(half) for half in itertools.combinations(range(10), 5) if 0 in half]
    rest = [[repeat for repeat in range(10) if repeat not in half] for half in chosen]
    pairs = [(responses[a].mean(axis=0), responses[b].mean(axis=0)) for a, b in zip(chosen, rest, strict=True)]
    r = np.mean([correlation(*pair) for pair in pairs], axis=0)
    found = scores["reliability"].values
    expected = stepped_up(r)
    assert set(scores["ceiling_kind"].values) == {"split_half_spearman_brown"}
    # 50 random halvings stand for all 126, and the bias of stepping up is taken off; cells of a few spikes vary most
    assert np.abs(found - expected).max() < 0.15 and np.abs(found - expected).mean() < 0.03
    assert found.max() < 1
    assert np.corrcoef(found, expected)[0, 1] > 0.99
    assert np.median(found) == pytest.approx(0.56, abs=0.03)


@pytest.mark.mirror
def test_the_matrix_of_the_movie_is_reliable_beyond_slowness(study, responses):
    scores = scores_of(study, "similarity")
    np.testing.assert_allclose(scores["similarity"].values[..., 0], matrix(responses.mean(axis=0)), atol=1e-5)
    assert scores["ceiling_kind"].values.tolist() == ["split_half_repeats"]
    whole, rolled, beyond, rolled_beyond = [], [], [], []
    rng = np.random.default_rng(2)
    for pair in halves(responses, 20, seed=3):
        first, second = (matrix(half) for half in pair)
        shift = rng.integers(10, N_BLOCKS - 9)
        moved = np.roll(second, (shift, shift), axis=(0, 1))
        whole.append(greiner(first[ROWS, COLUMNS], second[ROWS, COLUMNS]))
        rolled.append(greiner(first[ROWS, COLUMNS], moved[ROWS, COLUMNS]))
        beyond.append(greiner(without_lag(first), without_lag(second)))
        rolled_beyond.append(greiner(without_lag(first), without_lag(moved)))
    reliability = scores["repeat_reliability"].item()
    assert reliability == pytest.approx(stepped_up(np.mean(whole)), abs=0.015)
    assert reliability == pytest.approx(0.71, abs=0.03) and scores["reliability"].item() == reliability
    assert stepped_up(np.mean(rolled)) == pytest.approx(0.49, abs=0.04)  # near blocks are alike, whenever they are
    assert stepped_up(np.mean(beyond)) == pytest.approx(0.53, abs=0.04) and abs(np.mean(rolled_beyond)) < 0.05


@pytest.mark.mirror
def test_elapsed_time_explains_part_of_the_matrix_and_none_of_a_stretch_held_out(study, responses):
    pairs = matrix(responses.mean(axis=0))[ROWS, COLUMNS]
    with open(next((study / "data" / "maps").glob("movie_raster.csv")), encoding="utf-8") as stream:
        rows = {(row["analysis"], row["layer"]): row for row in csv.DictReader(stream)}
    time_s = (1 + np.arange(900)) / 30
    for width_s in WIDTHS_S:
        bumps = time_bumps(time_s, 30.0, width_s).reshape(N_BLOCKS, PER_BLOCK, -1).mean(axis=1).astype(np.float64)
        tau = stats.kendalltau(pairs, np.corrcoef(bumps - bumps.mean(axis=0))[ROWS, COLUMNS]).statistic
        row = rows["similarity", f"bumps-{width_s:g}s"]
        assert float(row["score"]) == pytest.approx(tau, abs=0.01)
        assert float(row["ceiling"]) == pytest.approx(0.64, abs=0.02)
        assert abs(float(rows["cells", f"bumps-{width_s:g}s"]["score"])) < 0.08
    best = float(rows["similarity", "bumps-1s"]["score_normalised"])
    assert best == pytest.approx(0.57, abs=0.04)
