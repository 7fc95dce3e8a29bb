"""Running and pupil taken out of single trials: planted effects, nulls, and what is missing."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from pydantic import ValidationError

from pipeline.artifacts.scores import open_scores, write_scores
from pipeline.core.errors import BadConfiguration
from pipeline.encoding.arithmetic.correlation import correlate, fisher_z
from pipeline.encoding.group.group_data import open_group
from pipeline.encoding.group.nuisance import Nuisance, nuisance_shares, take_out
from pipeline.encoding.mappings.ridge import RIDGE, RidgeOptions
from pipeline.encoding.splits import Samples, make_splits
from pipeline.encoding.stage import encode_group
from tests.encoding.imaged_groups import ATTRS, IN_TIME, OF_ITEMS, Session, driven, features, items, write_activations

pytestmark = pytest.mark.slow

N, REPEATS = 60, 10
BOTH = ("running_speed", "pupil_area")
ONE = np.zeros(N, int)  # all samples share their slopes
RUNS = np.full(N, "r")
SPLITS = [(f.train, f.test) for f in make_splits(OF_ITEMS.splits, Samples("item", RUNS, RUNS, item=items(N)), seed=0)]


def asking(*names: str, options: RidgeOptions = OF_ITEMS) -> RidgeOptions:
    return RidgeOptions.model_validate({**options.model_dump(), "nuisance": names})


def behaviour(seed: int, n_samples: int = N, locked: float = 0.7) -> np.ndarray:
    """Running and pupil, which correlate, (2, repeat, sample); ``locked`` to the stimulus in part."""
    generator = np.random.default_rng([seed, 2])
    shown = features(n_samples)[:, :2].T[:, None]
    own = generator.standard_normal((2, REPEATS, n_samples))
    own[1] = 0.5 * own[0] + np.sqrt(0.75) * own[1]
    return np.asarray(locked * shown + own)


def z_scored(values: np.ndarray) -> np.ndarray:
    return np.asarray((values - values.mean()) / values.std())


def imaged(number: int, responses: np.ndarray, moved: np.ndarray) -> Session:
    measured = {
        "running_speed_cm_s": (("repeat", "sample"), 4.0 + 9.0 * moved[0]),
        "pupil_area": (("repeat", "sample"), 300.0 + 50.0 * moved[1]),
    }
    cells = [f"m{number}-c{i}" for i in range(responses.shape[2])]
    stated = {"member": f"mouse-{number}"}
    return Session(responses, items(N), cells, f"mouse-{number}", variables=measured, attrs=stated)


def moved_by(responses: np.ndarray, moved: np.ndarray, slopes: np.ndarray) -> np.ndarray:
    """Responses with what regressors of SD 1, z-scored over all trials, add to them; ``slopes`` (2, n_targets)."""
    scored = np.stack([z_scored(one) for one in moved])
    return np.asarray(responses + np.tensordot(scored, slopes, axes=(0, 0)))


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    return write_activations(tmp_path / "a.zarr", features(N), items(N))


def encode(runs: list[tuple[Path, Path]], options: RidgeOptions, shuffle: int | None = None) -> xr.Dataset:
    return encode_group(RIDGE, runs=runs, options=options, layers=None, attrs=ATTRS, shuffle_seed=shuffle)


def scores_of(scores: xr.Dataset) -> np.ndarray:
    """Fisher z of r over all blocks of each fold, averaged; (n_targets,)."""
    names = ("n", "sum_p", "sum_p2", "sum_py", "sum_y", "sum_y2")
    z = []
    for fold in np.unique(scores["fold"]):
        part = scores.isel(layer=0, block=np.flatnonzero(scores["fold"] == fold))
        n, p, p2, py, y, y2 = (part[name].sum("block").values for name in names)
        z.append(fisher_z((py - p * y / n) / np.sqrt((p2 - p**2 / n) * (y2 - y**2 / n))))
    return np.asarray(np.mean(z, axis=0))


def test_planted_effects_are_recovered_and_taken_out(tmp_path: Path, scenes: Path) -> None:
    """Behaviour follows the stimulus in part, so that it is in the mean responses as well."""
    clean, moved = driven(24, REPEATS, seed=5), behaviour(5)
    slopes = np.random.default_rng(0).uniform(0.5, 1.5, (2, 24))
    responses = moved_by(clean, moved, slopes)
    session = imaged(0, responses, moved)
    session = dataclasses.replace(session, attrs={**session.attrs, "z_scored": 1})
    run = (session.write(tmp_path / "r.nc"), scenes)
    group = open_group([run], asking(*BOTH))
    assert group.nuisance is not None
    assert open_group([run], OF_ITEMS).z_scored and not group.z_scored  # z-scores do not outlive the cleaning
    np.testing.assert_array_equal(group.responses, responses.astype(np.float32))
    with pytest.raises(ValueError, match="read-only"):
        take_out(group.responses, group.nuisance, ONE)
    cleaned = group.responses.copy()
    error = take_out(cleaned, group.nuisance, ONE)[0] - slopes
    assert np.abs(error).max() < 0.2 and np.abs(error.mean()) < 0.02
    r_cleaned = correlate(cleaned.mean(axis=0), clean.mean(axis=0))
    assert r_cleaned.min() > 0.985 > 0.9 > correlate(responses.mean(axis=0), clean.mean(axis=0)).mean()

    share = encode([run], asking(*BOTH))["nuisance_share"]
    assert share["regressor"].values.tolist() == ["all", *BOTH]
    apart = np.stack([z_scored(one) - z_scored(one).mean(axis=0) for one in moved])
    added = np.tensordot(apart, slopes, axes=(0, 0))
    total = (responses - responses.mean(axis=(0, 1))).var(axis=(0, 1))
    np.testing.assert_allclose(share[0], added.var(axis=(0, 1)) / total, atol=0.06)
    beyond = 1 - np.corrcoef(apart[0].ravel(), apart[1].ravel())[0, 1] ** 2
    for regressor in (0, 1):
        unique = slopes[regressor] ** 2 * apart[regressor].var() * beyond / total
        np.testing.assert_allclose(share[1 + regressor], unique, atol=0.06)
        assert abs((share[1 + regressor].values - unique).mean()) < 0.01
    assert np.all(share[0] > share[1:].sum("regressor"))  # they correlate: part is explained by either


def test_slopes_and_shares_are_those_of_scikit_learn(tmp_path: Path) -> None:
    """Slopes equal those of each stretch's regression on the regressors beside one dummy per item; repeats are missing
    here and there."""
    from sklearn.linear_model import LinearRegression

    moved = np.stack([z_scored(one) for one in behaviour(1)])
    responses = moved_by(driven(3, REPEATS, seed=1), moved, np.full((2, 3), 0.6)) + 20
    responses[7:, :20] = np.nan
    responses[2, 5, 1] = np.nan
    regressors = moved.copy()
    regressors[1, 0, 30:40] = np.nan
    before = responses.copy()
    nuisance = Nuisance(BOTH, [regressors], np.zeros(3, int))
    shares = nuisance_shares(responses, nuisance, RUNS, SPLITS)
    stretches = np.random.default_rng(2).integers(3, size=N)
    fitted = take_out(responses, nuisance, stretches)
    assert fitted.shape == (3, 2, 3)
    sample = np.broadcast_to(np.arange(N), (REPEATS, N))
    for target in range(3):
        used = np.isfinite(before[:, :, target]) & np.isfinite(regressors).all(axis=0)
        x, y, of = regressors[:, used].T, before[:, :, target][used], sample[used]
        for stretch in range(3):
            own = stretches[of] == stretch
            slopes = LinearRegression().fit(np.column_stack([x, np.eye(N)[of]])[own], y[own]).coef_[:2]
            np.testing.assert_allclose(fitted[stretch, :, target], slopes, atol=1e-10)
            here = stretches == stretch
            expected = before[:, here, target] - np.tensordot(np.nan_to_num(regressors[:, :, here]), slopes, (0, 0))
            np.testing.assert_allclose(responses[:, here, target], expected, atol=1e-10)
        centre = np.eye(N)[of] / np.bincount(of, minlength=N)
        x_apart, y_apart = (v - np.eye(N)[of] @ (centre.T @ v) for v in (x, y))
        explained = {}
        for columns in ((0, 1), (1,), (0,)):
            for train, test in SPLITS:
                fit = LinearRegression(fit_intercept=False).fit(
                    x_apart[np.isin(of, train)][:, columns], y_apart[np.isin(of, train)]
                )
                held_out = np.isin(of, test)
                error = y_apart[held_out] - fit.predict(x_apart[held_out][:, columns])
                gain = (y_apart[held_out] ** 2).sum() - (error**2).sum()
                explained[columns] = explained.get(columns, 0.0) + gain / ((y - y.mean()) ** 2).sum()
        joint = explained[0, 1]
        expected = [joint, joint - explained[1,], joint - explained[0,]]
        np.testing.assert_allclose(shares[:, target], expected, atol=1e-10)


def test_unrelated_regressors_have_no_share_and_leave_scores_alone(tmp_path: Path, scenes: Path) -> None:
    """A cross-validated share has a mean below zero: −k F / (F − 1) / n of the deviations' share with F folds."""
    n_seeds, shares, changes = 12, [], []
    for seed in range(n_seeds):
        moved = np.random.default_rng(seed).standard_normal((2, REPEATS, N))
        run = (imaged(seed, driven(8, REPEATS, seed=seed), moved).write(tmp_path / f"{seed}.nc"), scenes)
        plain, cleaned = encode([run], OF_ITEMS), encode([run], asking(*BOTH))
        shares.append(cleaned["nuisance_share"].values.mean(axis=1))
        changes.append(scores_of(cleaned) - scores_of(plain))
    mean, se = np.mean(shares, axis=0), np.std(shares, axis=0, ddof=1) / np.sqrt(n_seeds)
    assert np.all(np.abs(mean) < 0.004)
    expected = -np.array([2, 1, 1]) * 4 / 3 / (N * REPEATS) * 0.45  # about half of the variance is between items
    assert np.all(np.abs(mean - expected) < 2 * se)
    # slopes are not exactly zero: what is taken out adds 2 / 600 of the noise
    assert abs(np.mean(changes)) < 0.01 and np.abs(changes).max() < 0.15


@pytest.mark.parametrize("between_repeats", [0.9, 0.2])
def test_noise_has_no_score_once_behaviour_is_taken_out(tmp_path: Path, scenes: Path, between_repeats: float) -> None:
    """The rest of the variance of running and pupil repeats with the stimulus, in directions that the features have."""
    n_animals, locked = 16, np.sqrt(1 / between_repeats - 1)
    runs = []
    for seed in range(n_animals):
        noise = np.random.default_rng([seed, 3]).standard_normal((REPEATS, N, 10))
        runs.append((imaged(seed, noise, behaviour(seed, locked=locked)).write(tmp_path / f"{seed}.nc"), scenes))
    gain = scores_of(encode(runs, asking(*BOTH))) - scores_of(encode(runs, OF_ITEMS))
    by_animal = gain.reshape(n_animals, 10).mean(axis=1)
    assert abs(by_animal.mean()) < 2 * by_animal.std(ddof=1) / np.sqrt(n_animals)


def test_pupil_that_was_not_measured_is_dropped_for_that_member_only(tmp_path: Path, scenes: Path) -> None:
    slopes = np.ones((2, 4))
    sessions = []
    for number in range(2):
        moved = behaviour(number)
        sessions.append(imaged(number, moved_by(driven(4, REPEATS, seed=number), moved, slopes), moved))
    dark = {**sessions[1].variables, "pupil_area": (("repeat", "sample"), np.full((REPEATS, N), np.nan))}
    sessions[1] = dataclasses.replace(sessions[1], variables=dark)
    runs = [(session.write(tmp_path / f"{i}.nc"), scenes) for i, session in enumerate(sessions)]
    scores = encode(runs, asking(*BOTH))
    share = scores["nuisance_share"].values
    assert np.isfinite(share[:, :4]).all() and np.isnan(share[2, 4:]).all()
    running = encode(runs[1:], asking("running_speed"))
    np.testing.assert_allclose(share[:2, 4:], running["nuisance_share"], atol=1e-10)
    np.testing.assert_allclose(share[0, 4:], share[1, 4:], atol=1e-12)
    np.testing.assert_allclose(scores["sum_y2"][:, 4:], running["sum_y2"], atol=1e-10)
    first = encode(runs[:1], asking(*BOTH))
    np.testing.assert_allclose(share[:, :4], first["nuisance_share"], atol=1e-10)
    write_scores(scores, tmp_path / "scores.nc")
    assert open_scores(tmp_path / "scores.nc")["nuisance_share"].dims == ("regressor", "target")


def test_a_regressor_equal_in_all_repeats_is_dropped(tmp_path: Path) -> None:
    """It varies with the stimulus only, so nothing tells its effect from the stimulus'."""
    responses = driven(2, REPEATS).astype(np.float32)
    moved = np.stack([z_scored(behaviour(0)[0]), np.broadcast_to(z_scored(features(N)[:, 0]), (REPEATS, N))])
    nuisance = Nuisance(BOTH, [moved], np.zeros(2, int))
    slopes = take_out(responses.copy(), nuisance, ONE)
    alone = take_out(responses.copy(), Nuisance(BOTH[:1], [moved[:1]], np.zeros(2, int)), ONE)
    np.testing.assert_allclose(slopes, [[alone[0, 0], np.zeros(2)]])
    assert np.isnan(nuisance_shares(responses, nuisance, RUNS, SPLITS)[2]).all()


def test_a_regressor_may_be_there_in_some_stretches_only(tmp_path: Path) -> None:
    """In the second stretch pupil was not measured, in the third it is equal in all repeats, in the fourth both are."""
    responses = driven(2, REPEATS)
    moved = np.stack([z_scored(one) for one in behaviour(0)])
    stretches = np.arange(N) // 15
    moved[1, :, 15:30] = np.nan
    moved[1, :, 30:] = moved[1, 0, 30:]
    moved[0, :, 45:] = moved[0, 0, 45:]
    cleaned = responses.copy()
    slopes = take_out(cleaned, Nuisance(BOTH, [moved], np.zeros(2, int)), stretches)
    running = responses.copy()
    alone = take_out(running, Nuisance(BOTH[:1], [moved[:1]], np.zeros(2, int)), stretches)
    assert np.all(slopes[0] != 0) and np.all(slopes[1:, 1] == 0) and np.all(slopes[3] == 0)
    np.testing.assert_allclose(slopes[1:, 0], alone[1:, 0], atol=1e-12)
    np.testing.assert_allclose(cleaned[:, 15:], running[:, 15:], atol=1e-12)
    np.testing.assert_array_equal(cleaned[:, 45:], responses[:, 45:])
    first = take_out(responses[:, :15].copy(), Nuisance(BOTH, [moved[:, :, :15]], np.zeros(2, int)), stretches[:15])
    np.testing.assert_allclose(slopes[:1], first, atol=1e-12)


def test_responses_where_behaviour_was_not_measured_stay(tmp_path: Path) -> None:
    responses = driven(2, REPEATS).astype(np.float32)
    moved = np.stack([z_scored(one) for one in behaviour(0)])
    moved[:, 4] = np.nan
    cleaned = responses.copy()
    slopes = take_out(cleaned, Nuisance(BOTH, [moved], np.zeros(2, int)), ONE)
    np.testing.assert_array_equal(cleaned[4], responses[4])
    others = np.delete(responses, 4, axis=0).copy()
    without = take_out(others, Nuisance(BOTH, [np.delete(moved, 4, axis=1)], np.zeros(2, int)), ONE)
    np.testing.assert_allclose(slopes, without, atol=1e-12)


def test_constant_targets_have_no_share(tmp_path: Path) -> None:
    responses = driven(2, REPEATS).astype(np.float32)
    responses[:, :, 1] = 0.1
    nuisance = Nuisance(BOTH, [behaviour(0)], np.zeros(2, int))
    cleaned = responses.copy()
    take_out(cleaned, nuisance, ONE)
    assert np.all(cleaned[:, :, 1] == np.float32(0.1))
    assert np.isnan(nuisance_shares(responses, nuisance, RUNS, SPLITS)).all(axis=0).tolist() == [False, True]


def test_batches_of_targets_change_nothing() -> None:
    moved = [np.stack([z_scored(one) for one in behaviour(seed)]) for seed in (0, 1)]
    member = np.repeat([0, 1], [7, 6])
    responses = np.concatenate(
        [moved_by(driven(n, REPEATS), m, np.ones((2, n))) for n, m in ((7, moved[0]), (6, moved[1]))], 2
    )
    responses[8:, :, 7:] = np.nan
    responses[3, 3, 2] = np.nan

    nuisance = Nuisance(BOTH, moved, member)

    def cleaned(budget_mb: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        own = responses.copy()
        slopes = take_out(own, nuisance, np.arange(N) % 2, memory_budget_mb=budget_mb)
        return own, slopes, nuisance_shares(responses, nuisance, RUNS, SPLITS, memory_budget_mb=budget_mb)

    for small, whole in zip(cleaned(0.05), cleaned(256), strict=True):
        np.testing.assert_allclose(small, whole, atol=1e-12)


def test_regressors_are_filtered_as_the_responses_were(tmp_path: Path) -> None:
    """Slow running beneath a high-pass filter: its unfiltered form would explain less than is there."""
    from pipeline.stimuli.temporal_filter import cosine_high_pass

    n = 160
    clock = 0.5 * np.arange(1, n + 1)
    generator = np.random.default_rng(0)
    drift = np.cumsum(generator.standard_normal((REPEATS, n)), axis=1) + generator.standard_normal((REPEATS, n))
    responses = driven(3, REPEATS, n) + drift[:, :, None]
    filtered = np.stack([cosine_high_pass(repeat, 0.5, 20.0) for repeat in responses])
    session = Session(
        filtered,
        clock,
        ["c0", "c1", "c2"],
        stimulus="movie",
        attrs={"high_pass_s": 20.0},
        variables={"running_speed_cm_s": (("repeat", "sample"), drift)},
    )
    movie = write_activations(tmp_path / "a.zarr", features(n), clock, "movie")
    group = open_group([(session.write(tmp_path / "r.nc"), movie)], asking("running_speed", options=IN_TIME))
    assert group.nuisance is not None
    cleaned = group.responses.copy()
    take_out(cleaned, group.nuisance, np.zeros(n, int))
    expected = np.stack([cosine_high_pass(repeat, 0.5, 20.0) for repeat in driven(3, REPEATS, n)])
    r = [correlate(one, other) for one, other in zip(cleaned, expected, strict=True)]
    assert np.min(r) > 0.99


def test_scores_say_what_was_taken_out(tmp_path: Path, scenes: Path) -> None:
    """The share is that of the responses as measured, in shuffled runs too."""
    moved = behaviour(0)
    run = (imaged(0, moved_by(driven(3, REPEATS), moved, np.ones((2, 3))), moved).write(tmp_path / "r.nc"), scenes)
    scores, shuffled, plain = encode([run], asking(*BOTH)), encode([run], asking(*BOTH), 1), encode([run], OF_ITEMS)
    assert json.loads(scores.attrs["split"])["nuisance"] == list(BOTH)
    assert json.loads(plain.attrs["split"])["nuisance"] == [] and "nuisance_share" not in plain
    np.testing.assert_array_equal(shuffled["nuisance_share"], scores["nuisance_share"])
    assert np.all(scores_of(scores) > scores_of(shuffled) + 0.3)


def test_nuisance_without_repeats_or_behaviour_is_refused(tmp_path: Path, scenes: Path) -> None:
    whole = imaged(0, driven(2, REPEATS), behaviour(0))
    once = imaged(1, driven(2, 1), behaviour(1)[:, :1])
    still = dataclasses.replace(whole, variables={"pupil_area": whole.variables["pupil_area"]})
    runs = {
        name: (s.write(tmp_path / f"{name}.nc"), scenes)
        for name, s in (("whole", whole), ("once", once), ("still", still))
    }
    for case, expected in (
        ([runs["whole"], runs["once"]], ("once.nc has 1 of them", "leave nuisance out")),
        ([runs["still"]], ("still.nc has no 'running_speed_cm_s'", "leave it out of nuisance")),
    ):
        with pytest.raises(BadConfiguration) as caught:
            open_group(case, asking(*BOTH))
        assert "\n" not in str(caught.value) and all(part in str(caught.value) for part in expected), caught.value
    assert open_group([runs["still"]], asking("pupil_area")).nuisance is not None
    with pytest.raises(ValidationError, match="names a regressor twice"):
        asking("pupil_area", "pupil_area")
