"""Similarities between items and their comparison, against numpy, scipy and published values."""

import numpy as np
import pytest
from scipy import stats

from pipeline.comparison import similarity
from pipeline.comparison.similarity import compare, item_similarity, upper_triangle

SCENES = (
    "raw.githubusercontent.com/psailamul/Allen_Brain_Observatory/44c5e0bb3342ef20611a320ef9d023c9620d8acb/"
    "Allen_data_170513/all_input_scenes_118_961.npy"
)
MATRICES = (
    "raw.githubusercontent.com/ColinConwell/DeepMouseTrap/706ab15a823db0067af9eae31efba872e0c0825c/"
    "neural_data/rdms_reliable.pkl"
)


def test_matches_numpy_also_in_parts(monkeypatch):
    features = (np.random.default_rng(0).standard_normal((7, 1000)) + 1e4).astype(np.float32)
    expected = np.corrcoef(features.astype(np.float64))
    assert np.allclose(item_similarity(features), expected, atol=1e-12)
    monkeypatch.setattr(similarity, "BYTES_AT_ONCE", 300 * 7 * 8)
    assert np.allclose(item_similarity(features), expected, atol=1e-12)


def test_item_without_variance_is_like_no_other():
    features = np.random.default_rng(1).standard_normal((4, 50)).astype(np.float32)
    features[2] = 0.1
    matrix = item_similarity(features)
    assert matrix[2].tolist() == [0, 0, 1, 0] and np.isfinite(matrix).all()


def test_upper_triangle_and_comparisons():
    rng = np.random.default_rng(2)
    a, b = rng.standard_normal((2, 6, 6))
    rows, columns = np.triu_indices(6, 1)
    assert upper_triangle(a).tolist() == a[rows, columns].tolist()
    x, y = upper_triangle(a), upper_triangle(b)
    assert compare(x, y, "spearman") == pytest.approx(stats.spearmanr(x, y).statistic)
    assert compare(x, y, "kendall") == pytest.approx(stats.kendalltau(x, y).statistic)
    assert compare(x, y, "pearson") == pytest.approx(np.corrcoef(x, y)[0, 1])
    assert compare(x, np.ones_like(y), "spearman") == 0


def test_pixels_against_mouse_visual_cortex(mirror):
    from pipeline.formats.unpickle import SIMILARITY_MATRICES, load_restricted

    pixels = upper_triangle(item_similarity(np.load(mirror / SCENES).astype(np.float32)))
    measured = load_restricted(mirror / MATRICES, SIMILARITY_MATRICES)
    published = {"VISp": 0.103, "VISl": 0.107, "VISal": 0.110, "VISpm": 0.110, "VISam": 0.055}
    for area, value in published.items():
        neural = upper_triangle(np.asarray(measured[area]["layer23"])[:118, :118])
        assert compare(pixels, neural, "spearman") == pytest.approx(value, abs=0.005), area
