"""Intervals and p of what was fitted: they hold where draws that take the fits as given do not."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from pipeline.inference.estimates import estimate_places
from pipeline.inference.places import list_places
from pipeline.inference.questions.contrasts import compared, seeds_in_words, without_values
from pipeline.inference.scores.bootstrap import (
    CORRELATION,
    Sampled,
    draw_counts,
    expanded_confidence,
    generator,
    mean_of,
    sign_flip_p,
    widening_of,
)
from pipeline.inference.scores.encoding_batches import encoding_batches
from pipeline.inference.scores.fold_scores import block_sums, fold_scores
from tests.inference.fitted_noise import N_FOLDS, coloured, items, scores_of, time
from tests.inference_settings import Settings

pytestmark = pytest.mark.slow

WIDENING = widening_of(N_FOLDS)


def test_widening_is_nadeau_and_bengios():
    assert [widening_of(k) for k in (2, 5, 10)] == pytest.approx([3, 2.25, 1 + 10 / 9])
    assert widening_of(1) == 2


def test_batches_know_their_folds_and_estimates_what_their_draws_leave_out(make_planted, make_blocks, save, settings):
    """Five outer folds widen draws over blocks; those over subjects are as they are, and hold each subject's own."""
    subjects = [f"s{i}" for i in range(9)]
    scores = make_planted(
        np.random.default_rng(0), np.full((3, 9), 0.3), make_blocks(), subjects=subjects, n_subjects=9
    )
    [batch] = encoding_batches({"g": {"net": save(scores)}}, "ridge", False, settings())
    assert batch.widening == WIDENING
    together, alone, *_ = estimate_places(
        batch, batch.load("net"), list_places(batch.targets, ["R"]), settings(n_bootstrap=50)
    )[""]
    assert (together.ci_unit, together.widening) == ("subject", 1) and (alone.ci_unit, alone.widening) == (
        "block",
        2.25,
    )
    own, everyone = together.sampled(lambda profile: profile.score).own, batch.load("net").point.score[0]
    np.testing.assert_allclose(own, everyone.T)
    assert alone.own is None and together.sampled(lambda profile: profile.depth, is_mean=False).own is None


@given(
    value=st.floats(-1, 1),
    draws=arrays(np.float64, 30, elements=st.floats(-1, 1) | st.just(float("nan"))),
    unit=st.sampled_from(["block", "item", "subject"]),
    n_units=st.integers(2, 40),
    widening=st.sampled_from([1.0, 2.25, 3.0]),
)
@hypothesis_settings(max_examples=150, deadline=None)
def test_no_interval_excludes_its_own_estimate(value, draws, unit, n_units, widening):
    low, high = Sampled(np.asarray(value), draws, unit, n_units, widening).interval(0.95, CORRELATION)
    if np.isfinite(draws).mean() < 0.5:
        assert np.isnan([low, high]).all()
    else:
        assert -1 <= low <= value + 1e-9 and value - 1e-9 <= high <= 1


@dataclasses.dataclass(frozen=True)
class Noise:
    """Two layers of noise and responses of noise, each target a data set: score, draws, (draw, layer, data set)."""

    score: np.ndarray
    draws: np.ndarray
    n_blocks: int

    def sampled(self, layer, widening):
        return Sampled(self.score[layer], self.draws[:, layer], "block", self.n_blocks, widening)

    def differences(self, widening):
        """p of the difference of the two layers in each data set."""
        both = self.sampled(0, widening) - self.sampled(1, widening)
        return np.array([both.of(lambda values, i=i: values[..., i]).p(0) for i in range(self.score.shape[1])])


@pytest.fixture(scope="module", params=["items", "time, AR .5", "time, AR .9"])
def noise(request):
    ar = {"items": 0.0, "time, AR .5": 0.5, "time, AR .9": 0.9}[request.param]
    parts = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        folds, block = time(400, 20) if ar else items(120)
        layers = [coloured(rng, (block.size, 10), ar) for _ in range(2)]
        parts.append(scores_of(layers, coloured(rng, (block.size, 100), ar).astype(np.float32), folds, block))
    score, draws = (np.concatenate([part[i].score for part in parts], axis=-1) for i in (0, 1))
    return Noise(score[0], draws, parts[0][2])


def at_most(level, n):
    return level + 3 * np.sqrt(level * (1 - level) / n)


def test_noise_lies_above_zero_no_more_often_than_stated(noise):
    """Expanded percentiles alone, which take fitted models as given, lie above 0 three times as often as stated."""
    n = noise.score.shape[1]
    level = expanded_confidence(0.95, noise.n_blocks)
    plain = np.quantile(noise.draws[:, 0], (1 - level) / 2, axis=0) > 0
    assert plain.mean() > at_most(0.025, n)
    assert (noise.sampled(0, WIDENING).interval(0.95)[0] > 0).mean() <= at_most(0.025, n)


def test_two_models_that_predict_nothing_are_not_told_apart(noise):
    n = noise.score.shape[1]
    assert (noise.differences(1.0) < 0.05).mean() > 0.12
    assert (noise.differences(WIDENING) < 0.05).mean() <= at_most(0.05, n)


def test_intervals_of_a_planted_score_cover_it():
    """The same signal in every data set, so that the mean over all of them is what each estimates."""
    old, new, spread = [], [], []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        folds, block = items(120)
        features = rng.standard_normal((120, 10))
        signal = features @ rng.standard_normal((10, 1)) / np.sqrt(10)
        responses = signal + 2 * rng.standard_normal((120, 100))
        point, draws, n = scores_of([features], responses.astype(np.float32), folds, block)
        truth, sampled = point.score[0, 0].mean(), Sampled(point.score[0, 0], draws.score[:, 0], "item", n)
        for found, one in ((old, sampled), (new, dataclasses.replace(sampled, widening=WIDENING))):
            low, high = one.interval(0.95)
            found.append((low <= truth) & (truth <= high))
        spread.append(point.score[0, 0].std() / sampled.standard_error().mean())
    assert np.mean(old) < 0.92 and 0.94 <= np.mean(new) <= 0.995
    assert np.mean(spread) > 1.1


def test_r2_of_small_folds_lies_within_its_interval(make_scores):
    """Draws that take a fold's mean anew from its few items leave the estimate of a region of 40 targets out."""
    rng = np.random.default_rng(0)
    fold, y = np.arange(50) % 5, rng.standard_normal((50, 40))
    p = 2 * rng.standard_normal((50, 1, 40))
    sums = block_sums(make_scores(p, y, fold, np.arange(50), ci_unit="item"))
    counts = draw_counts(50, 400, generator(0, "unit"))
    value, draws = fold_scores(sums).r2[0, 0], fold_scores(sums, counts).r2[:, 0]
    assert value.max() < -2
    for one in (Sampled(value, draws, "item", 50), Sampled(value.mean(), draws.mean(axis=1), "item", 50)):
        low, high = one.interval(0.95)
        assert (low <= one.value).all() and (one.value <= high).all()
    anew = []
    for drawn in counts:
        folds = [np.repeat(np.arange(50), drawn.astype(int) * (fold == k)) for k in range(5)]
        folds = [rows for rows in folds if np.unique(rows).size > 3]
        of_fold = [
            1 - ((y[rows] - p[rows, 0]) ** 2).sum(axis=0) / ((y[rows] - y[rows].mean(axis=0)) ** 2).sum(axis=0)
            for rows in folds
        ]
        anew.append(np.average(of_fold, axis=0, weights=[rows.size - 3 for rows in folds]))
    assert np.quantile(np.mean(anew, axis=1), 0.975) < value.mean()
    bias, of_anew = (np.median(one, axis=0).mean() - value.mean() for one in (draws, anew))
    assert abs(bias) < 0.5 * abs(of_anew)


def subjects(own, draws=None):
    own = np.asarray(own, float)
    if draws is None:
        draws = draw_counts(own.size, 400, generator(0, "subject")) @ own / own.size
    return Sampled(np.asarray(own.mean()), draws, "subject", own.size, own=own)


def test_few_subjects_have_students_t():
    own = np.random.default_rng(0).normal(0.1, 0.05, 9)
    expected = stats.ttest_1samp(own, 0).confidence_interval(0.95)
    assert subjects(own).interval(0.95) == pytest.approx((expected.low, expected.high))
    many = np.random.default_rng(1).normal(0.1, 0.05, 15)
    low, high = subjects(many).interval(0.95)
    plain = np.quantile(subjects(many).draws, [0.025, 0.975])
    assert high - low > 1.05 * np.ptp(plain)  # expanded percentiles, about the estimate


@pytest.mark.parametrize("n_subjects", [8, 10])
def test_intervals_of_few_subjects_cover(n_subjects):
    rng = np.random.default_rng(2)
    covered, plain = [], []
    for _ in range(400):
        one = subjects(rng.normal(0, 1, n_subjects))
        low, high = one.interval(0.95)
        covered.append(low <= 0 <= high)
        low, high = np.quantile(one.draws, [0.025, 0.975])
        plain.append(low <= 0 <= high)
    assert 0.95 - 3 * 0.011 <= np.mean(covered) <= 0.98 and np.mean(plain) < 0.93


def test_signs_of_few_subjects_are_flipped_in_every_pattern():
    own = np.array([0.3, 0.1, 0.2, -0.05, 0.4, 0.15, 0.25])
    exact = stats.permutation_test((own,), np.mean, permutation_type="samples", n_resamples=np.inf).pvalue
    assert subjects(own).p(0) == sign_flip_p(own, 0) == pytest.approx(exact)
    many = np.random.default_rng(3).normal(0.1, 0.3, 40)
    assert sign_flip_p(many, 0) == sign_flip_p(many, 0) == pytest.approx(stats.ttest_1samp(many, 0).pvalue, abs=0.01)
    assert sign_flip_p(np.full(20, 0.5), 0) == 1 / 10_000  # never 0
    few = np.array([0.3, 0.1, 0.2, 0.25])  # of which no pattern of signs is rare
    assert subjects(few).p(0) == pytest.approx(stats.ttest_1samp(few, 0).pvalue)


def test_subjects_own_values_count_and_not_a_choice_that_moves_them_together():
    """Draws that scatter little, as a choice of layer common to all lets them, change neither p nor interval."""
    own = np.random.default_rng(4).normal(0.02, 0.1, 9)
    still = subjects(own, draws=np.full(400, own.mean()))
    assert still.p(0) == subjects(own).p(0) and still.interval(0.95) == subjects(own).interval(0.95)
    # a region that lacks a subject: those who have both say nothing of a difference in which the others count too
    lacking = dataclasses.replace(still, own=np.append(own[:8], np.nan), n_units=8)
    assert (subjects(own) - lacking).n_units == 8
    assert (subjects(own) - lacking).own is None


def test_p_of_equal_and_of_always_different_draws():
    same = Sampled(np.asarray(0.3), np.full(99, 0.3), "block", 30)
    assert (same - same).p(0) == 1
    other = Sampled(np.asarray(0.1), np.full(99, 0.1), "block", 30)
    assert (same - other).p(0) == pytest.approx(0.01)
    assert np.isnan(dataclasses.replace(same, n_units=1).p(0))


def against(trained, seeds, n_blocks=30, unit_sd=0.0, rng=None):
    rng = rng or np.random.default_rng(0)
    shared = rng.normal(0, 1, 500)
    model, *twins = (
        Sampled(np.asarray(one), one + unit_sd * shared * number, "block", n_blocks)
        for number, one in ((1, trained), *((0, seed) for seed in seeds))
    )
    return compared(model, twins, Settings(), seeds=True)


def test_a_difference_from_twins_is_a_prediction_for_one_more_seed():
    seeds = [0.22, 0.25, 0.19, 0.2, 0.24]
    found = against(0.31, seeds)
    assert found["reference_score"] == pytest.approx(0.22) and found["best_reference_score"] == 0.25
    assert found["difference"] == pytest.approx(0.09) and found["n_references"] == 5
    error = np.std(seeds, ddof=1) * np.sqrt(1 + 1 / 5)
    assert found["p"] == pytest.approx(2 * stats.t.sf(0.09 / error, 4))
    reach = stats.t.ppf(0.975, 4) * error
    assert (found["ci_low"], found["ci_high"]) == pytest.approx((0.09 - reach, 0.09 + reach))
    wider = against(0.31, seeds, unit_sd=0.05)
    assert wider["p"] > 2 * found["p"] and wider["ci_low"] < 0 < wider["ci_high"]


def test_one_more_seed_is_rejected_as_often_as_stated_and_the_best_of_seeds_is_not_asked():
    """The 'trained' network is a seed more: t holds. To exceed the best of ten in truth has no power."""
    rng = np.random.default_rng(5)
    for sd in (0.0, 0.05):  # with and without noise of blocks of a size like the seeds'
        p = np.array(
            [
                against(rng.normal(0, 0.05) + sd * rng.normal(), rng.normal(0, 0.05, 5), unit_sd=sd, rng=rng)["p"]
                for _ in range(600)
            ]
        )
        assert (p < 0.05).mean() <= at_most(0.05, 600)


def test_few_seeds_have_values_only():
    found = against(0.31, [0.12, 0.15, 0.11])
    assert np.isnan([found["ci_low"], found["ci_high"], found["p"]]).all()
    assert found["difference"] == pytest.approx(0.31 - 0.38 / 3)
    seeds = [Sampled(np.asarray(one), np.zeros(3), "block", 30) for one in (0.12, 0.15, -0.11)]
    said = seeds_in_words("net@random", seeds)
    assert said == "; 3 seeds: too few for an interval; values .12 | .15 | −.11"
    assert without_values(f"trained{said}; ventral A") == "trained; 3 seeds: too few for an interval; ventral A"
    assert seeds_in_words("net@random", seeds * 2) == seeds_in_words("pixels", seeds[:1]) == ""


def test_a_difference_of_regions_that_not_all_animals_have_rests_on_the_draws() -> None:
    rng = np.random.default_rng(3)
    own, draws = rng.normal(0.2, 0.1, 20), rng.normal(0, 0.03, (500, 2))
    few = np.where(np.arange(20) < 8, own + 0.001 * rng.standard_normal(20), np.nan)
    first = Sampled(np.asarray(own.mean()), draws[:, 0], "subject", 20, own=own)
    second = Sampled(np.asarray(np.nanmean(few)), draws[:, 1], "subject", 8, own=few)
    for found in (first - second, mean_of([first, second])):
        assert found.own is None
        spread = found.draws.std()
        assert found.standard_error() == pytest.approx(spread * np.sqrt(8 / 7), rel=0.01)
        low, high = found.interval(0.95)
        assert (high - low) / 2 == pytest.approx(2.36 * spread, rel=0.15)


def test_two_factors_are_corrected_once_differences_are_taken() -> None:
    """Two models share the noise of measurement; one has an effect of items, which alone is in the difference."""
    n_subjects, n_items, rng = 12, 24, np.random.default_rng(4)
    error, true = [], []
    for _ in range(60):
        noise, items = 3 * rng.standard_normal((n_subjects, n_items)), 0.5 * rng.standard_normal(n_items)
        tables = np.stack([noise + items, noise])
        by_subject, by_item = draw_counts(n_subjects, 300, rng), draw_counts(n_items, 300, rng)
        subjects = np.einsum("ds,msi->dm", by_subject, tables) / n_subjects / n_items
        stimuli = np.einsum("di,msi->dm", by_item, tables) / n_subjects / n_items
        both = np.einsum("ds,di,msi->dm", by_subject, by_item, tables) / n_subjects / n_items
        value = tables.mean(axis=(1, 2))
        one, other = (
            Sampled(value[m], both[:, m], "subject and item", 12, alone=(subjects[:, m], stimuli[:, m])) for m in (0, 1)
        )
        error.append(float((one - other).standard_error()) ** 2)
        true.append(float(value[0] - value[1]))
    assert 0.8 < np.mean(error) / np.var(true) < 1.6
