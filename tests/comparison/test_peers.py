"""Measures against those of rsatoolbox, published debiased CKA and statsmodels, on the same inputs."""

import numpy as np
import pytest
from rsatoolbox.rdm import compare as rsatoolbox_compare
from statsmodels.regression.linear_model import WLS
from statsmodels.stats.weightstats import DescrStatsW

from pipeline.comparison.ceilings import pairwise_agreement
from pipeline.comparison.measures import MEASURES
from pipeline.comparison.similarity import compare, item_products, item_similarity, upper_triangle
from pipeline.inference.scores.bootstrap import draw_counts
from pipeline.inference.scores.pair_scores import PairVectors, agreement, pair_weights

pytestmark = pytest.mark.slow

METHODS = {
    "spearman": "spearman",
    "kendall": "kendall",
    "pearson": "corr",
    "cosine": "cosine",
    "whitened_cosine": "cosine_cov",
    "whitened_pearson": "corr_cov",
}
"""Of rsatoolbox, which takes dissimilarities."""
N_ITEMS = 20


@pytest.fixture
def patterns():
    """Of four matrices, (item, feature) each, which share some of what they have."""
    rng = np.random.default_rng(0)
    shared = rng.standard_normal((N_ITEMS, 6))
    return [np.hstack([shared, weight * rng.standard_normal((N_ITEMS, 9))]) + 2 for weight in (0.5, 1, 2, 5)]


def copies(stretch, drawn):
    """(item, copy of its stretch) of every place of a resample."""
    return [
        (item, (one, copy))
        for one, times in enumerate(drawn.astype(int))
        for copy in range(times)
        for item in np.flatnonzero(stretch == one)
    ]


def written_out(matrix, stretch, drawn):
    """Dissimilarities of all pairs of places; NaN, as rsatoolbox has it, for those of two copies of one stretch."""
    places = copies(stretch, drawn)
    pairs = [(a, b) for number, a in enumerate(places) for b in places[number + 1 :]]
    kept = [a[1] == b[1] or a[1][0] != b[1][0] for a, b in pairs]
    values = [1 - matrix[a[0], b[0]] for a, b in pairs]
    return np.where(kept, values, np.nan)[None]


@pytest.mark.parametrize("comparison", METHODS)
def test_matrices_compare_as_in_rsatoolbox(patterns, comparison):
    pairs = np.stack([upper_triangle(item_similarity(one)) for one in patterns])
    expected = rsatoolbox_compare(1 - pairs, 1 - pairs, METHODS[comparison])
    np.testing.assert_allclose(pairwise_agreement(pairs, comparison), expected, atol=1e-6)
    assert compare(pairs[0], pairs[1], comparison) == pytest.approx(expected[0, 1], abs=1e-6)


@pytest.mark.parametrize("comparison", METHODS)
@pytest.mark.parametrize("length", [1, 2])  # items by themselves, and stretches of two blocks
def test_draws_compare_as_written_out_in_rsatoolbox(patterns, comparison, length):
    matrices = np.stack([item_similarity(one) for one in patterns])
    vectors, stretch = PairVectors.of(matrices), np.arange(N_ITEMS) // length
    for drawn in draw_counts(N_ITEMS // length, 3, np.random.default_rng(1)):
        out = [written_out(matrix, stretch, drawn) for matrix in matrices]
        expected = [[rsatoolbox_compare(a, b, METHODS[comparison])[0, 0] for b in out] for a in out]
        found = agreement(vectors, vectors, drawn, stretch, comparison)
        np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("comparison", ["whitened_cosine", "whitened_pearson"])
def test_whitening_is_by_the_covariance_of_distances(patterns, comparison):
    """Diedrichsen et al. 2021, equations 5 and 12: V = (C·Cᵀ)∘(C·Cᵀ) of the contrasts C, here inverted as it is."""
    first, second = np.triu_indices(N_ITEMS, 1)
    contrasts = np.eye(N_ITEMS)[first] - np.eye(N_ITEMS)[second]
    inverse = np.linalg.inv((contrasts @ contrasts.T) ** 2)
    a, b = (1 - upper_triangle(item_similarity(one)) for one in patterns[:2])
    found = compare(1 - a, 1 - b, comparison)
    if comparison == "whitened_pearson":
        a, b = a - a.mean(), b - b.mean()
    assert found == pytest.approx(a @ inverse @ b / np.sqrt((a @ inverse @ a) * (b @ inverse @ b)), abs=1e-6)


def unbiased_hsic(k, kernel):
    """Song et al. 2012, equation 5 (HSIC₁), as it is printed."""
    n, one = len(k), np.ones(len(k))
    k, kernel = k - np.diag(np.diag(k)), kernel - np.diag(np.diag(kernel))
    product = k @ kernel
    middle = (one @ k @ one) * (one @ kernel @ one) / ((n - 1) * (n - 2))
    return (np.trace(product) + middle - 2 / (n - 2) * (one @ product @ one)) / (n * (n - 3))


def published_cka(x, y):
    """Kornblith et al. 2019, equation 2, with HSIC₁ in place of HSIC, of linear kernels of raw features."""
    k, kernel = x @ x.T, y @ y.T
    return unbiased_hsic(k, kernel) / np.sqrt(unbiased_hsic(k, k) * unbiased_hsic(kernel, kernel))


def test_cka_is_the_published_one(patterns):
    """Also of features in parts, and at any scale of theirs."""
    pairs = np.stack([upper_triangle(item_products(one * 1e3)) for one in patterns])
    expected = [[published_cka(a, b) for b in patterns] for a in patterns]
    np.testing.assert_allclose(pairwise_agreement(pairs, "debiased_cka"), expected, atol=1e-6)
    vectors = PairVectors.of(np.stack([item_products(one) for one in patterns]))
    half = np.arange(N_ITEMS) % 2
    expected = [[published_cka(a[half > 0], b[half > 0]) for b in patterns] for a in patterns]
    np.testing.assert_allclose(
        agreement(vectors, vectors, half, np.arange(N_ITEMS), "debiased_cka"), expected, atol=1e-6
    )


def test_cka_of_unrelated_features_is_zero_on_average():
    """That is what debiasing is for: the cosine of the centred kernels is .5 here."""
    rng = np.random.default_rng(2)
    found = [published_cka(*rng.standard_normal((2, 20, 30))) for _ in range(3)]
    ours = []
    for _ in range(200):
        kernels = [upper_triangle(item_products(one)) for one in rng.standard_normal((2, 20, 30))]
        ours.append(compare(*kernels, "debiased_cka"))
    assert abs(np.mean(ours)) < 3 * np.std(ours) / np.sqrt(200) and np.abs(found).max() < 0.3


@pytest.mark.parametrize("length", [1, 2])
def test_draws_are_weighted_as_in_statsmodels(patterns, length):
    """Pearson's r of weighted pairs, and CKA as that of what their items leave of them: residuals of a regression."""
    matrices = np.stack([item_products(one) for one in patterns])
    vectors, stretch = PairVectors.of(matrices), np.arange(N_ITEMS) // length
    for drawn in draw_counts(N_ITEMS // length, 3, np.random.default_rng(3)):
        weight = pair_weights(vectors, drawn, stretch).astype(float)
        values = vectors.values[:, weight > 0]
        expected = DescrStatsW(values.T, weights=weight[weight > 0]).corrcoef
        np.testing.assert_allclose(agreement(vectors, vectors, drawn, stretch, "pearson"), expected, atol=1e-6)
        items = (np.eye(N_ITEMS)[vectors.first] + np.eye(N_ITEMS)[vectors.second])[weight > 0]
        left = np.stack([WLS(one, items, weights=weight[weight > 0]).fit().resid for one in values])
        expected = DescrStatsW(left.T, weights=weight[weight > 0]).corrcoef
        np.testing.assert_allclose(agreement(vectors, vectors, drawn, stretch, "debiased_cka"), expected, atol=1e-6)


def test_every_measure_but_cka_has_its_peer():
    assert METHODS.keys() | {"debiased_cka"} == MEASURES.keys()


def test_copies_of_few_items_leave_cka_nothing(patterns):
    """Three items fit their effects exactly; copies of two items alone determine only the sums of theirs."""
    vectors = PairVectors.of(np.stack([item_products(one) for one in patterns]))
    for few in ((0, 1, 2), (0, 1)):
        drawn = np.zeros(N_ITEMS)
        drawn[list(few)] = 2
        found = agreement(vectors, vectors, drawn, np.arange(N_ITEMS), "debiased_cka")
        assert (found == 0).all() if len(few) == 3 else np.isnan(found).all()
    drawn = np.repeat([1, 2] + [0] * 8, 1)
    found = agreement(vectors, vectors, drawn, np.arange(N_ITEMS) // 2, "debiased_cka")
    assert np.isfinite(found).all() and np.abs(found).max() <= 1
