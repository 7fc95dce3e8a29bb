"""What a layer adds to other spaces, and shares of the explained variance: against himalaya and planted truths."""

import numpy as np
import pytest
import xarray as xr
from himalaya.backend import set_backend
from himalaya.scoring import r2_score, r2_score_split

from pipeline.encoding.arithmetic.compute import Compute
from pipeline.encoding.arithmetic.scratch import Scratch
from pipeline.encoding.blocks import BlockSums
from pipeline.encoding.design import Design
from pipeline.encoding.group.feature_space import FeatureSpace
from pipeline.encoding.mappings.banded_ridge import BandedRidgeOptions
from pipeline.encoding.mappings.banded_variance import JointFit, with_variance
from pipeline.encoding.options import Splits
from pipeline.encoding.splits import Samples, make_splits
from pipeline.inference.questions.contrasts import jointly
from pipeline.inference.scores.bootstrap import draw_counts, generator
from pipeline.inference.scores.fold_scores import block_sums, fold_scores
from pipeline.inference.scores.variance_scores import (
    FIRST_SHARE,
    JOINT,
    OFFSET,
    UNIQUE,
    WITHOUT,
    variance_scores,
    variance_sums,
)
from tests.inference_settings import Contrast

N_SAMPLES, N_TARGETS = 300, 12
OPTIONS = BandedRidgeOptions(spaces=("base",), n_weightings=7, splits=Splits(n_folds=3, n_inner_folds=3, gap_s=4))


class Fitted:
    """Layers fitted jointly with a baseline; targets go from the layer's alone to the baseline's alone."""

    def __init__(self) -> None:
        rng = np.random.default_rng(7)
        layer, base, noise = (rng.standard_normal((N_SAMPLES, n)) for n in (30, 6, N_TARGETS))
        self.share = np.linspace(0, 1, N_TARGETS)
        signals = [x @ rng.standard_normal((x.shape[1], N_TARGETS)) for x in (layer, base)]
        signals = [signal / signal.std(axis=0) for signal in signals]
        self.responses = np.sqrt(1 - self.share) * signals[0] + np.sqrt(self.share) * signals[1] + 0.7 * noise
        self.responses = (self.responses + 0.3).astype(np.float32)
        copy = base @ rng.standard_normal((6, 20))  # a layer that holds nothing but the baseline
        labels = np.full(N_SAMPLES, "run")
        samples = Samples("time", labels, labels, interval_s=1.0, time_s=np.arange(1.0, N_SAMPLES + 1))
        self.folds = make_splits(OPTIONS.splits, samples, seed=0)
        design = Design.of_bins(N_SAMPLES, self.folds)
        space = FeatureSpace(base, design.delays, design.runs, design.rows)
        joint = JointFit({"base": space}, OPTIONS, Scratch(Compute()), {})
        self.predictions = []
        for features in (layer, copy):
            fit = joint(
                features,
                self.responses,
                design,
                compute=Compute(),
                predictions=np.zeros_like(self.responses),
                after_fold=lambda: None,
            )
            self.predictions.append(fit.predictions)
        self.scores = with_variance(self._scores(), joint)

    def _scores(self) -> xr.Dataset:
        sums, predicted = BlockSums(self.folds), np.stack(self.predictions, axis=1)
        by_layer = {
            "sum_p": predicted,
            "sum_p2": predicted**2,
            "sum_py": predicted * self.responses[:, None],
        }
        return xr.Dataset(
            {name: (("block", "layer", "target"), sums.sum(values)) for name, values in by_layer.items()}
            | {
                "n": ("block", sums.n),
                "fold": ("block", sums.fold),
                "sum_y": (("block", "target"), sums.sum(self.responses)),
                "sum_y2": (("block", "target"), sums.sum(self.responses**2)),
            }
        )


@pytest.fixture(scope="module")
def fitted() -> Fitted:
    set_backend("numpy")
    return Fitted()


def test_shares_and_offset_sum_to_the_r2_of_the_joint_fit(fitted: Fitted) -> None:
    sums = variance_sums(fitted.scores)
    assert sums is not None
    found = variance_scores(sums)
    for number, fold in enumerate(fitted.folds):
        measured = fitted.responses[fold.test].astype(np.float64)
        predicted = fitted.predictions[0][fold.test].astype(np.float64)
        held = found.held[0, number, :, 0]
        np.testing.assert_allclose(held[JOINT], r2_score(measured, predicted), atol=1e-5)
        np.testing.assert_allclose(held[FIRST_SHARE:].sum(axis=0) + held[OFFSET], held[JOINT], atol=1e-9)
        np.testing.assert_allclose(held[JOINT] - held[WITHOUT], held[UNIQUE], atol=1e-9)


def test_shares_are_the_product_measure_of_himalaya() -> None:
    set_backend("numpy")
    rng = np.random.default_rng(0)
    measured = rng.standard_normal((40, 3))
    measured -= measured.mean(axis=0)
    parts = rng.standard_normal((2, 40, 3)) * 0.3 + 0.5 * measured
    predicted = parts.sum(axis=0)
    one = ("block", "target")
    scores = xr.Dataset(
        {
            "n": ("block", [40]),
            "fold": ("block", [0]),
            "sum_y": (one, measured.sum(axis=0)[None]),
            "sum_y2": (one, (measured**2).sum(axis=0)[None]),
            "without_sum_p2": (one, (parts[1] ** 2).sum(axis=0)[None]),
            "without_sum_py": (one, (parts[1] * measured).sum(axis=0)[None]),
            "sum_p2": (("block", "layer", "target"), (predicted**2).sum(axis=0)[None, None]),
            "sum_py": (("block", "layer", "target"), (predicted * measured).sum(axis=0)[None, None]),
        }
        | {
            name: (("space", "block", "layer", "target"), values.sum(axis=1)[:, None, None])
            for name, values in (("sum_sp", parts), ("sum_spp", parts * predicted), ("sum_spy", parts * measured))
        },
        {"space": ["layer", "base"]},
    )
    sums = variance_sums(scores)
    assert sums is not None
    held = variance_scores(sums).held[0, 0, :, 0]
    np.testing.assert_allclose(held[FIRST_SHARE:], r2_score_split(measured, parts), atol=1e-9)
    np.testing.assert_allclose(held[UNIQUE], r2_score(measured, predicted) - r2_score(measured, parts[1]), atol=1e-9)


def test_draws_are_those_of_the_scores(fitted: Fitted) -> None:
    counts = draw_counts(fitted.scores.sizes["block"], 50, generator(0, "unit"))
    sums = variance_sums(fitted.scores)
    assert sums is not None
    drawn = variance_scores(sums.as_floats(counts.dtype), counts).over_folds(np.arange(N_TARGETS))
    expected = fold_scores(block_sums(fitted.scores), counts)
    np.testing.assert_allclose(drawn[:, JOINT], expected.r2, atol=2e-4)
    np.testing.assert_allclose(drawn[:, UNIQUE], drawn[:, JOINT] - drawn[:, WITHOUT], atol=2e-4)
    np.testing.assert_allclose(drawn[:, FIRST_SHARE:].sum(axis=1) + drawn[:, OFFSET], drawn[:, JOINT], atol=2e-4)


def test_planted_shares_are_recovered_and_a_copy_adds_nothing(fitted: Fitted) -> None:
    sums = variance_sums(fitted.scores)
    assert sums is not None
    layer, copy = np.moveaxis(variance_scores(sums).over_folds(np.arange(N_TARGETS))[0], 1, 0)
    explained = 1 / (1 + 0.7**2)
    # spaces are independent, so shares and unique contributions are what was planted, less what 200 samples do not show
    np.testing.assert_allclose(layer[FIRST_SHARE + 1], explained * fitted.share, atol=0.15)
    np.testing.assert_allclose(layer[FIRST_SHARE], explained * (1 - fitted.share), atol=0.15)
    assert np.corrcoef(layer[UNIQUE], 1 - fitted.share)[0, 1] > 0.95
    assert layer[UNIQUE][0] > 0.5 and abs(layer[UNIQUE][-1]) < 0.02
    assert abs(copy[UNIQUE].mean()) < 0.02 and copy[JOINT][-1] > 0.6
    assert copy[FIRST_SHARE][-1] > 0.2  # a share says nothing of what is the layer's alone


@pytest.mark.parametrize(
    ("model", "reference", "spaces", "said"),
    [
        ("net", "base", ("base",), "what net adds to base: a joint fit of net and base against base alone"),
        (
            "base",
            "net",
            ("base",),
            "what net adds to base: a joint fit of net and base against base alone, sign turned",
        ),
        ("net", "base", ("base", "loud"), "a joint fit of net and base and loud against base alone"),
        ("net", "other", ("base",), "separate; both fitted jointly with base"),
        ("base", "loud", ("base", "loud"), "separate"),
        ("net", "base", (), "separate"),
    ],
)
def test_contrasts_say_what_was_fitted_jointly(model: str, reference: str, spaces: tuple[str, ...], said: str) -> None:
    contrast = Contrast(name="c", model=model, reference=reference)
    assert jointly("separate", contrast, spaces) == said.replace("sign turned", "with the sign turned")
