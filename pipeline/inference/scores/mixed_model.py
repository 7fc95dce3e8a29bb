"""p of a difference over subjects and stimuli at once: a linear mixed model with random intercepts for both.

y = μ + subject + block + rest, for one value of each subject in each outer fold of blocks or items. A test over
subjects asks what other subjects of these stimuli would give; here blocks are a sample, too, so that a difference which
a few of them make for all subjects does not count as often as there are subjects.

The design is balanced, so the REML fit has a closed form: variances follow from mean squares, and where one would be
negative, its mean square is pooled with that of the rest until none is. It is what ``statsmodels``' MixedLM finds where
that converges (tests hold it to that), which at the edge of the parameters it does in about half of cases. MixedLM's
Wald test takes the variances as known, and rejects too often with five folds; here p is Student's t on Satterthwaite's
degrees of freedom.

References
----------
Baayen, Davidson & Bates 2008, J Mem Lang 59:390–412 (subjects and items crossed);
Thompson 1962, Ann Math Stat 33:273–289 (REML of balanced designs, pooling);
Satterthwaite 1946, Biometrics Bulletin 2:110–114.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

FEWEST_SUBJECTS = 6
FEWEST_BLOCKS = 3


def mean_and_error(values: NDArray[np.float64]) -> tuple[float, float, float]:
    """Mean of (subject, block), its standard error over other subjects and other blocks, and degrees of freedom.

    Parameters
    ----------
    values : (n_subjects, n_blocks), finite, at least two of each
    """
    n_subjects, n_blocks = values.shape
    mean = values.mean()
    of_subject, of_block = (values.mean(axis=axis, keepdims=True) for axis in (1, 0))
    squares = [
        n_blocks * ((of_subject - mean) ** 2).sum(),
        n_subjects * ((of_block - mean) ** 2).sum(),
        ((values - of_subject - of_block + mean) ** 2).sum(),
    ]
    freedom = [n_subjects - 1, n_blocks - 1, (n_subjects - 1) * (n_blocks - 1)]
    subjects, blocks, rest = _mean_squares(squares, freedom)
    variance = subjects + blocks - rest
    known = sum(one**2 / n for one, n in zip((subjects, blocks, rest), freedom, strict=True))
    degrees = variance**2 / known if known > 0 else float("nan")
    return float(mean), float(np.sqrt(variance / values.size)), float(degrees)


def _mean_squares(squares: list[float], freedom: list[int]) -> list[float]:
    """Of subjects, blocks and the rest; what is smaller than the rest's is pooled with it, the smaller first."""
    pooled = [2]
    others = sorted((0, 1), key=lambda one: squares[one] / freedom[one])

    def rest() -> float:
        return float(sum(squares[one] for one in pooled) / sum(freedom[one] for one in pooled))

    for one in others:
        if squares[one] / freedom[one] < rest():
            pooled.append(one)
    return [rest() if one in pooled else float(squares[one] / freedom[one]) for one in range(3)]


def mixed_p(values: NDArray[Any] | None, n_subjects: int) -> float:
    """Two-sided p of a mean of 0 over other subjects and other blocks.

    Parameters
    ----------
    values : (subject, block), one difference each; subjects that lack any are left out; None: unknown
    n_subjects : how many there are to be

    Returns
    -------
    float
        NaN of fewer subjects than these or six, of fewer than three blocks, and where nothing varies.
    """
    from scipy.stats import t

    if values is None:
        return float("nan")
    there = np.asarray(values[np.isfinite(values).all(axis=1)], dtype=np.float64)
    if there.shape[0] < max(n_subjects, FEWEST_SUBJECTS) or there.shape[1] < FEWEST_BLOCKS:
        return float("nan")
    mean, error, degrees = mean_and_error(there)
    return float(2 * t.sf(abs(mean) / error, degrees)) if error > 0 else float("nan")
