"""The check of alignment through real fits: noise and right orders stay quiet, planted mistakes are found."""

import functools
import json
import re

import numpy as np
import pytest

from pipeline.artifacts.scores import open_scores, write_scores
from pipeline.encoding.alignment.candidate_orders import candidate_orders
from pipeline.encoding.alignment.check import AlignmentCheck, check_alignment, surrogate_of
from pipeline.encoding.alignment.reduced_problem import delayed_components, feature_components, response_components
from pipeline.encoding.design import Design
from pipeline.encoding.mappings.pls import PLS, PlsOptions
from pipeline.encoding.mappings.ridge import RIDGE
from pipeline.encoding.options import Splits
from pipeline.encoding.splits import Samples, make_splits
from pipeline.encoding.stage import encode_group
from tests.encoding.test_encode_stage import ATTRS, IN_TIME, OF_ITEMS, write_activations, write_responses

pytestmark = pytest.mark.slow

TR_S = 2.0
DELAYS_S = (2.0, 8.0)


def autoregressive(rng, n, k, rho):
    noise = rng.standard_normal((n + 50, k))
    for t in range(1, n + 50):
        noise[t] = rho * noise[t - 1] + np.sqrt(1 - rho**2) * noise[t]
    return noise[50:]


def in_time(n, n_runs=1):
    size = n // n_runs
    names = [f"run-{number}" for number in range(n_runs)]
    clock = np.tile(TR_S * np.arange(1, size + 1), n_runs)
    return Samples("time", np.repeat(names, size), np.repeat(names, size), TR_S, time_s=clock)


def pictures(n, order=lambda names: names):
    names = order([f"picture_{number}" for number in range(1, n + 1)])
    return Samples("item", np.full(n, "r"), np.full(n, "s"), item=np.array(names))


def check(features, responses, samples) -> AlignmentCheck:
    time = samples.kind == "time"
    splits = Splits(kind="contiguous" if time else "random_items", gap_s=4.0)
    delays = [1, 2, 3, 4] if time else [0]
    runs = np.unique(samples.run, return_inverse=True)[1]
    design = Design.of_bins(samples.n, make_splits(splits, samples, seed=0), delays=delays, runs=runs)
    return check_alignment(
        delayed_components(feature_components(features, 0), design),
        response_components(responses, np.full(responses.shape[1], np.nan)),
        samples,
        candidate_orders(samples, delay_span_s=DELAYS_S[1] - DELAYS_S[0] if time else 0.0),
        design,
        seed=0,
    )


def heard(rng, features, n_targets, snr, rho=0.5):
    """Responses 2 to 8 s behind the features, in noise."""
    weights = rng.standard_normal((features.shape[1], n_targets))
    signal = np.zeros((len(features), n_targets))
    for delay, share in ((1, 0.2), (2, 0.5), (3, 0.4), (4, 0.1)):
        signal[delay:] += share * (features @ weights)[:-delay]
    return np.sqrt(snr) * signal / signal.std() + autoregressive(rng, len(features), n_targets, rho)


def seen(rng, features, n_targets, snr):
    signal = features @ rng.standard_normal((features.shape[1], n_targets))
    return np.sqrt(snr) * signal / signal.std() + rng.standard_normal(signal.shape)


def noise_in_time(rng, rho):
    n = int(rng.choice([60, 120, 200]))
    return check(autoregressive(rng, n, 5, rng.choice([0.0, 0.9])), autoregressive(rng, n, 4, rho), in_time(n))


def noise_of_items(rng):
    n = int(rng.choice([60, 120]))
    return check(rng.standard_normal((n, 10)), rng.standard_normal((n, 6)), pictures(n))


def right_and_smooth(rng):
    """A stimulus so slow that orders a few seconds off are nearly as good."""
    features = autoregressive(rng, 200, 3, 0.97)
    return check(features, heard(rng, features, 5, rng.choice([0.1, 1.0])), in_time(200))


def right_items_in_categories(rng):
    """Items that stand category by category, so that those of the next row are mostly alike."""
    features = np.eye(5)[np.sort(rng.integers(0, 5, 120))]
    return check(features, seen(rng, features, 8, rng.choice([0.1, 1.0])), pictures(120))


def test_hardly_ever_warns_without_a_mistake():
    """Of 400 studies two or three warn at one in two hundred, and twenty would at one in twenty."""
    slow, fast = (functools.partial(noise_in_time, rho=rho) for rho in (0.9, 0.5))
    kinds = (fast, slow, noise_of_items, right_and_smooth, right_items_in_categories)
    warned = [
        kind(np.random.default_rng([seed, number])).warns for number, kind in enumerate(kinds) for seed in range(80)
    ]
    assert sum(warned) <= 7


def mistaken_items(rng, mistake):
    features = rng.standard_normal((150, 8))
    responses = seen(rng, features, 10, 0.15)
    natural = pictures(150).items().tolist()
    as_text = [natural.index(name) for name in sorted(natural)]
    if mistake == "named as text":
        return check(features[as_text], responses, pictures(150, sorted))
    if mistake == "measured as text":
        return check(features, responses[as_text], pictures(150))
    return check(features, responses[::-1] if mistake == "reversed" else np.roll(responses, 1, axis=0), pictures(150))


def mistaken_time(rng, mistake):
    features = autoregressive(rng, 240, 8, 0.5)
    responses = heard(rng, features, 10, 0.3)
    if mistake == "swapped":
        order = np.r_[160:240, 80:160, 0:80]
        return check(features, responses[order], in_time(240, 3))
    return check(
        features, responses[::-1] if mistake == "reversed" else np.roll(responses, mistake, axis=0), in_time(240)
    )


@pytest.mark.parametrize(
    ("make", "mistake", "said"),
    [
        (mistaken_items, "named as text", "they are in the order of the numbers in their names"),
        (mistaken_items, "measured as text", "they are in the order of their names as text"),
        (mistaken_items, "reversed", "they stand in reverse"),
        (mistaken_items, "off by one", "they stand one row too far down"),
        (mistaken_time, 4, r"each run's stimulus began \d+ s later"),
        (mistaken_time, -4, r"each run's stimulus began \d+ s earlier"),
        (mistaken_time, "reversed", "they stand in reverse"),
        (mistaken_time, "swapped", "the stimuli of runs 1 and 3 are swapped"),
    ],
)
def test_planted_mistakes_are_found_and_named(make, mistake, said):
    found = [make(np.random.default_rng([seed, 2]), mistake) for seed in range(10)]
    assert sum(one.warns for one in found) >= 9
    assert sum(re.match(said, one.best) is not None for one in found) >= 9
    assert all(one.best_r - one.given_r > one.margin > 0 for one in found if one.warns)


def test_an_order_as_text_undoes_itself():
    """Row by row: the response that stands where its name stands among the numbers."""
    samples = pictures(12, sorted)
    responses = np.array([f"picture_{number}" for number in range(1, 13)])  # as measured, in order of number
    found = {one.what: one.rows for one in candidate_orders(samples)}
    rows = found["they are in the order of the numbers in their names, not in the order of the rows"]
    assert responses[rows].tolist() == samples.items().tolist()
    down = found["they stand one row too far down in each run"]
    assert np.roll(samples.items(), 1)[down].tolist() == samples.items().tolist()


def test_orders_are_permutations_none_twice_and_none_the_given_one():
    for samples in (pictures(30), pictures(9), in_time(120, 3), in_time(60)):
        orders = [order.rows for order in candidate_orders(samples)]
        assert all(np.array_equal(np.sort(rows), np.arange(samples.n)) for rows in orders)
        assert len({rows.tobytes() for rows in [np.arange(samples.n), *orders]}) == len(orders) + 1
    assert not any("names" in order.what for order in candidate_orders(pictures(9)))  # text and numbers agree


def test_shifts_start_where_delays_and_slow_responses_end():
    def shifts(samples, span_s):
        what = [
            one.what.split(" began ")[1]
            for one in candidate_orders(samples, delay_span_s=span_s)
            if "began" in one.what
        ]
        return sorted({float(text.split()[0]) for text in what})

    assert shifts(in_time(200), 0.0)[0] == 4.0
    assert shifts(in_time(200), 6.0)[0] == 6.0
    assert shifts(in_time(200), 6.0)[-1] == 10.0
    fast = Samples("time", np.full(2000, "r"), np.full(2000, "s"), 0.05, time_s=0.05 * np.arange(1, 2001))
    assert shifts(fast, 0.0)[0] == 1.0
    assert len(candidate_orders(fast)) <= 21


def test_runs_of_one_stimulus_or_of_other_lengths_are_not_swapped():
    same = Samples("time", np.repeat(["a", "b"], 50), np.full(100, "s"), 2.0, time_s=np.tile(2.0 * np.arange(1, 51), 2))
    longer = Samples(
        "time", np.repeat(["a", "b"], [60, 40]), np.repeat(["a", "b"], [60, 40]), 2.0, time_s=np.r_[1:61, 1:41] * 2.0
    )
    for samples in (same, longer):
        assert not any("swapped" in order.what for order in candidate_orders(samples))
    assert sum("swapped" in order.what for order in candidate_orders(in_time(150, 3))) == 3


def test_surrogates_keep_what_is_not_the_stimulus():
    rng = np.random.default_rng(0)
    course = autoregressive(rng, 100, 3, 0.9)
    drawn = surrogate_of(in_time(100), rng)(course)
    spectra = [np.abs(np.fft.rfft(values, axis=0)) for values in (course, drawn)]
    np.testing.assert_allclose(*spectra, atol=1e-8)
    np.testing.assert_allclose(np.cov(course.T), np.cov(drawn.T), atol=1e-8)
    assert abs(np.corrcoef(course[:, 0], drawn[:, 0])[0, 1]) < 0.9
    shown_twice = Samples(
        "item", np.repeat(["a", "b"], 5), np.full(10, "s"), item=np.tile([f"i{n}" for n in range(5)], 2)
    )
    drawn = surrogate_of(shown_twice, rng)(np.tile(np.arange(5.0), 2)[:, None])
    assert np.array_equal(drawn[:5], drawn[5:])
    assert sorted(drawn[:5, 0]) == [0, 1, 2, 3, 4]


def encoded(folder, order, mapping=RIDGE, options=OF_ITEMS, seed=None):
    """Scores of 90 pictures, whose rows of responses are given in some order."""
    rng = np.random.default_rng(3)
    names = np.array([f"picture_{number}" for number in range(1, 91)])
    layers = {name: rng.standard_normal((90, 8)) for name in ("shallow", "middle", "deep")}
    responses = (layers["middle"] @ rng.standard_normal((8, 4)))[None] + 2 * rng.standard_normal((2, 90, 4))
    folder.mkdir()
    runs = [
        (
            write_responses(folder / "r.nc", responses[:, order], names),
            write_activations(folder / "a.zarr", layers, names),
        )
    ]
    return encode_group(mapping, runs=runs, options=options, layers=None, attrs=ATTRS, shuffle_seed=seed)


PLS_OF_ITEMS = PlsOptions.model_validate(
    {"splits": {"kind": "random_items", "n_folds": 4, "n_inner_folds": 3}, "n_components": 3}
)


@pytest.mark.parametrize(("mapping", "options"), [(RIDGE, OF_ITEMS), (PLS, PLS_OF_ITEMS)])
def test_encode_says_that_rows_are_in_another_order_and_scores_keep_it(tmp_path, capsys, mapping, options):
    scores = encoded(tmp_path / "off", np.roll(np.arange(90), 1), mapping, options)
    warnings = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    assert len(warnings) == 1
    found = json.loads(scores.attrs["alignment"])
    said = f"fit at r = {found['given_r']:.2f} in the order given and at {found['best_r']:.2f} if they stand one row"
    assert warnings[0].startswith("layermap encode: warning: s, a/g, net: responses fit at r = ")
    assert said in warnings[0]
    assert f"(margin {found['margin']:.2f}); check the order of the rows of responses, and of `items:`" in warnings[0]
    assert str(tmp_path / "off" / "r.nc") in warnings[0]
    assert found["warns"] and found["remedy"] in warnings[0]
    write_scores(scores, tmp_path / "scores.nc")
    assert json.loads(open_scores(tmp_path / "scores.nc").attrs["alignment"]) == found


def test_encode_is_quiet_in_the_right_order_and_of_shuffled_responses(tmp_path, capsys):
    found = json.loads(encoded(tmp_path / "right", np.arange(90)).attrs["alignment"])
    assert not found["warns"] and found["margin"] is None
    assert found["given_r"] > 0.3 > found["best_r"]
    assert "alignment" not in encoded(tmp_path / "shuffled", np.arange(90), seed=1).attrs
    assert "warning" not in capsys.readouterr().err


def test_responses_that_do_not_vary_and_short_runs_are_no_trouble(tmp_path, capsys):
    clock = TR_S * np.arange(1, 51)
    layers = {"only": np.random.default_rng(0).standard_normal((50, 2))}
    runs = [
        (
            write_responses(tmp_path / "r.nc", np.full((1, 50, 2), 3.0), clock),
            write_activations(tmp_path / "a.zarr", layers, clock),
        )
    ]
    scores = encode_group(RIDGE, runs=runs, options=IN_TIME, layers=None, attrs=ATTRS, shuffle_seed=None)
    assert json.loads(scores.attrs["alignment"])["given_r"] == 0
    assert "warning" not in capsys.readouterr().err
