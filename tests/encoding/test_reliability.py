"""Reliability and ceilings recover what was simulated."""

import numpy as np
import pytest

from pipeline.encoding.group.reliability import (
    estimate_reliability,
    match_units,
    scored_responses,
    spearman_brown,
    split_half,
    z_score_runs,
)

pytestmark = pytest.mark.slow

RUNS = np.repeat(["a", "b"], 1500)
PARTS = np.arange(RUNS.size) // 150


def repeats(n_repeats: int, reliability: np.ndarray, seed: int = 0) -> np.ndarray:
    """Responses whose mean over repeats has the stated reliability; (n_repeats, 3000, n_targets) float32."""
    generator = np.random.default_rng(seed)
    signal = generator.standard_normal((RUNS.size, reliability.size)) * np.sqrt(reliability)
    noise_sd = np.sqrt((1 - reliability) * n_repeats)
    noise = generator.standard_normal((n_repeats, RUNS.size, reliability.size)) * noise_sd
    return (signal + noise).astype(np.float32)


def estimate(responses: np.ndarray, subjects: list[str], units: list[tuple[str, ...]] | None = None):  # type: ignore[no-untyped-def]
    return estimate_reliability(responses, RUNS, PARTS, subjects=np.array(subjects), units=units, seed=0)


@pytest.mark.parametrize("n_repeats", [2, 3, 10])
def test_split_half_recovers_the_reliability_of_the_mean(n_repeats: int) -> None:
    stated = np.array([0.1, 0.3, 0.6, 0.9])
    result = estimate(repeats(n_repeats, stated), ["mouse"] * 4)
    np.testing.assert_allclose(result.reliability, stated, atol=0.05)
    np.testing.assert_allclose(result.ceiling, np.sqrt(result.reliability))
    assert set(result.kind) == {"split_half_spearman_brown"}


def test_ceiling_is_the_r_of_the_true_signal() -> None:
    stated = np.array([0.4])
    responses = repeats(10, stated)
    signal = np.random.default_rng(0).standard_normal((RUNS.size, 1))[:, 0]  # what `repeats` drew first
    r = np.corrcoef(signal, responses.mean(axis=0)[:, 0])[0, 1]
    assert abs(estimate(responses, ["mouse"]).ceiling[0] - r) < 0.03


def test_ragged_repeats_keep_their_reliability() -> None:
    stated = np.array([0.6, 0.6])
    responses = repeats(6, stated)
    responses[4:, ::2, 1] = np.nan  # half of the samples have 4 of 6 repeats
    result = split_half(responses, RUNS, PARTS, seed=0).estimate
    assert abs(result[0] - 0.6) < 0.04
    assert 0.5 < result[1] < result[0]


def test_noise_has_reliability_zero_on_average() -> None:
    result = estimate(repeats(4, np.zeros(40)), ["mouse"] * 40)
    below = result.reliability < 0
    assert 10 < below.sum() < 30 and abs(result.reliability.mean()) < 0.015  # 2 SE
    np.testing.assert_array_equal(np.isnan(result.ceiling), below)


def test_several_subjects_give_single_and_mean_ceilings() -> None:
    generator = np.random.default_rng(1)
    n_subjects, r = 9, 0.25
    shared = generator.standard_normal((RUNS.size, 1))
    each = np.sqrt(r) * shared + np.sqrt(1 - r) * generator.standard_normal((RUNS.size, n_subjects))
    responses = np.column_stack([each.mean(axis=1), each])[None].astype(np.float32)
    subjects = ["mean"] + [f"s{i}" for i in range(n_subjects)]
    result = estimate(responses, subjects, [("STG",)] * (n_subjects + 1))
    assert list(result.kind) == ["intersubject_mean"] + ["intersubject_single"] * n_subjects
    np.testing.assert_allclose(result.ceiling[1:], np.sqrt(r), atol=0.03)
    expected = n_subjects * r / (1 + (n_subjects - 1) * r)
    assert abs(result.reliability[0] - expected) < 0.03
    truth = np.corrcoef(each.mean(axis=1), shared[:, 0])[0, 1]
    assert abs(result.ceiling[0] - truth) < 0.02


def mean_r(scored):  # type: ignore[no-untyped-def]
    """Mean correlation of all pairs of columns, about 0."""
    products = scored.T @ scored
    length = np.sqrt(np.diag(products))
    return float((products / np.outer(length, length))[np.triu_indices(len(length), k=1)].mean())


def unit_by_unit(responses, subjects, units):  # type: ignore[no-untyped-def]
    """What matching targets means, written out: (reliability, kind) of targets without repeats."""
    scored = z_score_runs(responses[0], RUNS)
    n_parts = np.unique(PARTS).size
    reliability, kind = np.full(len(units), np.nan), ["none"] * len(units)
    for unit in dict.fromkeys(units):
        targets = [index for index, name in enumerate(units) if name == unit]
        recorded = [t for t in targets if subjects[t] != "mean" and np.ptp(responses[0, :, t]) > 0]
        if len(recorded) < 2:
            continue
        r = np.array([mean_r(scored[part != PARTS][:, recorded]) for part in (-1, *range(n_parts))])
        for target in targets:
            mean = subjects[target] == "mean"
            kind[target] = "intersubject_mean" if mean else "intersubject_single"
            factor = len(recorded) if mean else 1
            variance = min((n_parts - 1) * r[1:].var(), (1 - r[0] ** 2) ** 2 / n_parts)
            bent = factor * (factor - 1) / (1 + (factor - 1) * max(r[0], 0)) ** 3
            reliability[target] = spearman_brown(r[0], factor) + bent * variance
            if np.ptp(responses[0, :, target]) == 0:
                reliability[target] = 0
    return reliability, kind


def test_units_are_matched_as_one_by_one() -> None:
    """Some are recorded in some subjects only, some are constant in one, some anticorrelate."""
    generator = np.random.default_rng(5)
    names = [(f"u{i}",) for i in range(12)]
    shared = generator.standard_normal((RUNS.size, 12))
    columns, subjects, units = [], [], []
    for number, subject in enumerate(["s0", "s1", "s2", "s3", "mean"]):
        for i in generator.permutation(12)[: 12 - 2 * (number % 3)]:
            sign = -1 if (i, number) == (3, 0) else 1
            columns.append(sign * shared[:, i] * (i % 5) / 5 + generator.standard_normal(RUNS.size))
            subjects.append(subject)
            units.append(names[i])
    responses = np.stack(columns, axis=1)[None].astype(np.float32)
    responses[:, :, 7] = 3.0
    reliability, kind = unit_by_unit(responses, subjects, units)
    result = estimate(responses, subjects, units)
    np.testing.assert_allclose(result.reliability, reliability, atol=1e-10)
    assert list(result.kind) == kind and set(kind) == {"intersubject_mean", "intersubject_single"}


def test_one_subject_without_repeats_has_no_ceiling() -> None:
    result = estimate(repeats(1, np.array([0.5, 0.5])), ["s1", "s1"], [("A",), ("B",)])
    assert list(result.kind) == ["none", "none"]
    assert np.isnan(result.reliability).all() and np.isnan(result.ceiling).all()


def test_constant_subject_is_left_out() -> None:
    responses = repeats(1, np.ones(1))[:, :, [0, 0, 0]]
    responses[:, :, 2] = 4.0
    result = estimate(responses, ["s1", "s2", "s33"], [("A",)] * 3)
    np.testing.assert_allclose(result.reliability, [1, 1, 0], atol=1e-6)
    assert np.isnan(result.ceiling[2])


def test_units_match_by_name_or_by_unique_region() -> None:
    subjects, regions = np.array(["s1", "s1", "s2", "s2"]), np.array(["A", "B", "A", "B"])
    none = np.full(4, "")
    assert match_units(subjects, regions, none, None) == [("A", ""), ("B", ""), ("A", ""), ("B", "")]
    same = np.full(4, "A")
    assert match_units(subjects, same, none, None) is None
    assert match_units(subjects, same, none, np.array(["v1", "v2", "v1", "v2"])) is not None


def test_spearman_brown_doubles_a_half() -> None:
    np.testing.assert_allclose(spearman_brown(np.array([0.5, -0.2]), 2), [2 / 3, -0.5])


def test_z_scores_are_within_runs() -> None:
    values = np.random.default_rng(0).standard_normal((RUNS.size, 2)) + np.where(RUNS == "a", 5, -3)[:, None]
    scored = z_score_runs(values, RUNS)
    for run in ("a", "b"):
        np.testing.assert_allclose(scored[run == RUNS].mean(axis=0), 0, atol=1e-12)
        np.testing.assert_allclose(scored[run == RUNS].std(axis=0), 1)


def test_batches_of_targets_change_nothing() -> None:
    """Three of eleven targets lack repeats; a filter is applied batch by batch."""
    responses = repeats(5, np.full(11, 0.5))
    responses[3:, ::2, 4] = np.nan
    responses[4, 7] = np.nan
    responses[2, 9, 8:10] = np.nan

    def filtered(part: np.ndarray) -> np.ndarray:
        return np.asarray(part - np.nanmean(part, axis=1, keepdims=True, dtype=np.float64))

    for kept in (None, filtered):
        small, whole = (
            split_half(responses, RUNS, PARTS, seed=0, filtered=kept, memory_budget_mb=budget_mb)
            for budget_mb in (1.5, 256)
        )
        np.testing.assert_allclose(small.estimate, whole.estimate, atol=1e-11)
        np.testing.assert_allclose(small.deviation, whole.deviation, atol=1e-11)
        small, whole = (
            scored_responses(responses, RUNS, z_scored=False, filtered=kept, memory_budget_mb=budget_mb)
            for budget_mb in (1.5, 256)
        )
        np.testing.assert_allclose(small, whole, atol=1e-12)


def test_members_keep_their_reliability_beside_others_with_more_repeats() -> None:
    few, many = repeats(3, np.array([0.5, 0.7])), repeats(7, np.array([0.6]), seed=1)
    joined = np.full((7, RUNS.size, 3), np.nan, np.float32)
    joined[:3, :, :2], joined[:, :, 2:] = few, many
    members = np.array(["a", "a", "b"])
    result = estimate_reliability(joined, RUNS, PARTS, subjects=members, units=None, seed=0, members=members)
    expected = [*split_half(few, RUNS, PARTS, seed=0).estimate, *split_half(many, RUNS, PARTS, seed=0).estimate]
    np.testing.assert_array_equal(result.reliability, expected)


def test_repeats_of_a_member_recorded_once_have_no_reliability() -> None:
    joined = np.concatenate([repeats(2, np.array([0.5])), repeats(2, np.array([0.5]), seed=1)], axis=2)
    joined[1:, :, 1] = np.nan
    members = np.array(["a", "b"])
    result = estimate_reliability(joined, RUNS, PARTS, subjects=members, units=None, seed=0, members=members)
    assert list(result.kind) == ["split_half_spearman_brown", "none"] and np.isnan(result.reliability[1])


def test_a_cell_with_a_single_event_takes_no_ceiling_from_its_region():
    rng = np.random.default_rng(6)
    signal = rng.standard_normal((1, 118, 20))
    responses = signal + rng.standard_normal((10, 118, 20))
    sparse = np.zeros((10, 118, 1))
    sparse[3, 50] = 1.0
    parts = np.arange(118) % 20
    runs = np.full(118, "r")
    with_it = np.concatenate([responses, sparse], axis=2)
    names = {"subjects": np.full(21, "a"), "units": None, "seed": 0}
    found = estimate_reliability(with_it, runs, parts, **names)
    assert np.isfinite(found.deviation).all()
    assert np.abs(found.reliability[:20] - 10 / 11).max() < 0.05
