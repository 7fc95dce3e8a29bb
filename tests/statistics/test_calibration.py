"""Whole fits of simulated responses: nothing is found where there is nothing, and what is planted is found.

A small part of `python -m benchmarks.calibration`, whose studies these are. Each takes about two seconds, so there are
few, and bounds are those that sound statistics exceed once in two hundred times: what finds too much by half passes
here, and is seen there.
"""

from __future__ import annotations

import pytest
from scipy.stats import binom

from benchmarks.calibration import run_one
from benchmarks.calibration_counts import above_zero, any_of_family, coverage, layer_rows, rejections
from benchmarks.calibration_studies import DESIGNS, SIZES

pytestmark = pytest.mark.slow

SEED, PERMUTATIONS = 15, 99
AS_RARE_AS = 0.005


def studies(name: str, n: int) -> list[dict]:
    """Of the first of its sizes, the smallest."""
    step = len(SIZES[DESIGNS[name].truth, DESIGNS[name].in_time])
    return [run_one((name, number * step, SEED, PERMUTATIONS, False)) for number in range(n)]


@pytest.fixture(scope="module")
def of_noise() -> list[dict]:
    """Of slow responses in time and of items, which old intervals found too much in."""
    return studies("noise-time-.9", 6) + studies("noise-items", 6)


@pytest.fixture(scope="module")
def planted() -> list[dict]:
    return studies("planted-items", 4)


def most(n: int, p: float) -> float:
    """Share of ``n`` independent cases that so many of a chance ``p`` exceed only once in two hundred times."""
    return float(binom.ppf(1 - AS_RARE_AS, n, p)) / n


def test_no_region_of_noise_is_reliably_above_zero(of_noise: list[dict]) -> None:
    """Each of the two models is a family, with features of its own."""
    n = 2 * len(of_noise)
    for table in ("summary", "row", "unit"):
        for column in ("p_family", "q"):
            found = any_of_family(of_noise, table, column, lambda values: values < 0.05)
            assert found.of == n and found.mean <= most(n, 0.05), (table, column)


def test_ps_of_noise_are_no_smaller_than_they_say(of_noise: list[dict]) -> None:
    """Regions are noise of their own; layers and units of one are alike, so there are no more cases than regions."""
    n = 12 * len(of_noise)
    for table, n_cases in (("summary", n), ("row", n), ("unit", n), ("contrast", n // 2)):
        for level in (0.05, 0.01):
            found = rejections(of_noise, table, "p", level)
            assert found.of >= n_cases and found.mean <= most(n_cases, level), (table, level)


def test_intervals_of_noise_hold_zero(of_noise: list[dict]) -> None:
    n = 12 * len(of_noise)
    for table, estimate, n_cases in (("summary", "best_layer_score", n), ("contrast", "difference", n // 2)):
        found = coverage(of_noise, table, estimate, "ci_low", "ci_high", 0.0)
        assert found.share.of == n_cases and 1 - found.share.mean <= most(n_cases, 0.05), table
    assert above_zero(of_noise, "summary", "ci_low").mean <= most(n, 0.025)


def test_planted_layers_are_found_and_held(planted: list[dict]) -> None:
    told = {row[2]: float(row[4].partition(" ")[0]) for row in layer_rows("planted-items", planted)}
    n = 6 * len(planted)
    assert 1 - told["set holds the planted layer"] <= most(n, 0.05)
    for record in planted:
        summary = record["tables"]["summary"]
        found = {
            (model, region): p < 0.05
            for model, region, p in zip(summary["model"], summary["region"], summary["p_family"], strict=True)
        }
        assert found["net", "R5"] and found["net", "R4"]  # of 30 and 20 % signal; r is about .4 and .3
    chance = rejections([_of_model(record, "other") for record in planted], "summary", "p_family", 0.05)
    assert chance.of == n and chance.mean <= most(n, 0.05)


def test_intervals_hold_what_is_found_on_average(planted: list[dict]) -> None:
    n = 6 * len(planted)
    for table, estimate in (("summary", "best_layer_score"), ("contrast", "difference")):
        found = coverage(planted, table, estimate, "ci_low", "ci_high", None)
        assert found.share.of >= n and 1 - found.share.mean <= most(n, 0.05), table


def _of_model(record: dict, model: str) -> dict:
    """A study's summary of one model alone."""
    summary = record["tables"]["summary"]
    kept = [number for number, name in enumerate(summary["model"]) if name == model]
    only = {column: [values[number] for number in kept] for column, values in summary.items()}
    return {**record, "tables": {"summary": only}}
