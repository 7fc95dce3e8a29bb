"""Real data: what category labels alone predict of the six components of human auditory cortex."""

from pathlib import Path

import numpy as np

from pipeline.encoding.arithmetic.correlation import fisher_z
from pipeline.encoding.design import Design
from pipeline.encoding.options import PenaltyGrid, Splits
from pipeline.encoding.ridge.fit import fit_ridge
from pipeline.encoding.splits import Samples, make_splits

FOLDER = "raw.githubusercontent.com/snormanhaignere/natsound165-neuron2015"
# Fold-mean r, 5 random folds, computed from the same file by another implementation.
EXPECTED = {"lowfreq": 0.70, "highfreq": 0.48, "envsounds": 0.46, "pitch": 0.76, "speech": 0.94, "music": 0.81}


def test_category_one_hot_scores_as_stated(mirror: Path) -> None:
    from scipy.io import loadmat

    (path,) = (mirror / FOLDER).glob("*/data/components.mat")
    file = loadmat(path, squeeze_me=True)
    category = file["category_labels"].astype(str)
    labels = np.full(category.size, "sounds")
    samples = Samples("item", labels, labels, item=file["stim_names"].astype(str), category=category)
    one_hot = (category[:, None] == np.unique(category)[None, :]).astype(np.float32)
    scores = []
    for seed in range(3):
        folds = make_splits(Splits(kind="random_items"), samples, seed=seed)
        fit = fit_ridge(one_hot, file["R"], PenaltyGrid().values(), Design.of_bins(len(one_hot), folds))
        scores.append(np.tanh(fisher_z(fit.score).mean(axis=0)))
    names = [str(name) for name in file["component_names"]]
    np.testing.assert_allclose(np.mean(scores, axis=0), [EXPECTED[name] for name in names], atol=0.03)
