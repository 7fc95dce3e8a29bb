"""The last door: recordings of any dataset that lie beside their stimulus are refused by encode and compare."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.comparison.options import RsaOptions
from pipeline.comparison.stage import compare_group
from pipeline.core.errors import SampleMismatch
from pipeline.encoding.group.align import align_convolved, align_time, without_features
from pipeline.encoding.mappings.ridge import RidgeOptions
from tests.encoding.test_encode_stage import ATTRS, encode, write_activations, write_responses

OPTIONS = RidgeOptions.model_validate(
    {"splits": {"n_folds": 3, "n_inner_folds": 2, "gap_s": 2}, "delays_s": [2, 4], "penalties": {"n": 15}}
)
CLOCK_S = np.arange(1, 401) / 2  # activations twice a second, over 200 s


def pair(folder: Path, sample_time: np.ndarray, activation_time: np.ndarray, **attrs: object) -> tuple[Path, Path]:
    rng = np.random.default_rng(0)
    responses = rng.standard_normal((2, sample_time.size, 4))
    features = {"layer": rng.standard_normal((activation_time.size, 5))}
    return (
        write_responses(folder / "r.nc", responses, sample_time, **attrs),
        write_activations(folder / "a.zarr", features, activation_time, rate=str(attrs.get("rate", "mean"))),
    )


@pytest.mark.parametrize(
    ("scale", "said"),
    [(1000.0, "look like ms"), (2.0, "look twice too long"), (4.0, "25 of 100 samples lie within")],
)
def test_encode_and_compare_refuse_a_recording_much_longer_than_its_stimulus(
    tmp_path: Path, scale: float, said: str
) -> None:
    clock = scale * 2.0 * np.arange(1, 101)
    run = pair(tmp_path, clock, CLOCK_S, sample_interval_s=2.0 * scale)
    options = RidgeOptions.model_validate({**OPTIONS.model_dump(), "delays_s": None})
    with pytest.raises(SampleMismatch, match=said) as refused:
        encode(run, options=options, layers=("layer",))
    assert f"{run[0]} and {run[1]}: the recording covers 0 to" in str(refused.value)
    with pytest.raises(SampleMismatch, match=said):
        compare_group(
            runs=[run],
            options=RsaOptions.model_validate({"block_s": 2.0 * scale}),
            layers=None,
            attrs=ATTRS,
            shuffle_seed=None,
        )


def test_a_stimulus_a_thousand_times_as_long_is_refused(tmp_path: Path) -> None:
    run = pair(tmp_path, 0.002 * np.arange(1, 101), CLOCK_S, sample_interval_s=0.002)
    options = RidgeOptions.model_validate({**OPTIONS.model_dump(), "delays_s": None})
    with pytest.raises(SampleMismatch, match="1000 times as long"):
        encode(run, options=options, layers=("layer",))


def test_regressors_much_shorter_than_the_recording_are_refused() -> None:
    times = 2.0 * np.arange(1, 101)
    align_convolved(times, times, 2.0, source="x")
    with pytest.raises(SampleMismatch, match="50 of 100 samples lie within"):
        align_convolved(times[:50], times, 2.0, source="x")


def test_delays_reach_beyond_the_end_and_pauses_are_no_gap() -> None:
    times, sample_time = np.arange(1.0, 61), np.arange(1.0, 97)
    with pytest.raises(SampleMismatch, match="60 of 96"):
        align_time(times, sample_time, 1.0, rate="mean", max_delay=0, source="x")
    aligned = align_time(times, sample_time, 1.0, rate="mean", max_delay=10, source="x")
    assert without_features(aligned, [4, 10]).tolist() == [True] * 4 + [False] * 66 + [True] * 26
    assert without_features(aligned, [4]).tolist() == [True] * 4 + [False] * 60 + [True] * 32
    words = np.r_[np.arange(1.0, 20), np.arange(50.0, 91)]
    for rate, n_missing in (("sum", 6), ("mean", 36)):
        aligned = align_time(words, sample_time, 1.0, rate=rate, max_delay=0, source="x")
        assert without_features(aligned, [0]).sum() == n_missing


def test_scores_count_samples_without_features(tmp_path: Path) -> None:
    clock = 2.0 * np.arange(1, 121) - 20  # begins 20 s before and ends 20 s after the sound
    scores = encode(pair(tmp_path, clock, CLOCK_S), options=OPTIONS, layers=("layer",))
    assert (scores.attrs["n_samples"], scores.attrs["n_without_features"]) == (120, 11 + 8)
    assert scores.attrs["equal_contents"] == ""
