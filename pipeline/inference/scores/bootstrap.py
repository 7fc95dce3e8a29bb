"""Bootstrap draws, the intervals that they give, and the p of a difference.

What is drawn is named in every table (``ci_unit``): subjects or animals when there are enough of them,
else held-out blocks or items; never cells, voxels or folds. One set of draws serves every subject, target, layer
and model that share the same blocks, so that all differences between them are paired.

Draws over blocks or items take the fitted models as given. But outer folds share their training data, so the errors of
their models are alike, and a mean over folds varies more than such draws do: on noise, 10 % of their 95 % intervals lay
above 0, and the true SD was 1.47 times theirs. Their variance is therefore multiplied by ``widening``, which is
1 + K/(K − 1) for K outer folds and 1 where nothing was trained (similarity structures) or subjects are drawn.

References
----------
Efron & Tibshirani 1993, An Introduction to the Bootstrap, ch. 13 (percentile intervals);
Hesterberg 2015, The American Statistician 69:371–386 (expanded for few units);
Nadeau & Bengio 2003, Machine Learning 52:239–281 (variance of scores whose folds share training data);
Phipson & Smyth 2010, Stat Appl Genet Mol Biol 9:39 (p of random sign flips);
Schuirmann 1987, J Pharmacokinet Biopharm 15:657–680 (two one-sided tests of equivalence).
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_STREAMS = {"unit": 0, "subject": 1, "halves": 2, "group": 3, "signs": 4, "order": 5}
SUBJECT = "subject"
FEWEST_DRAWN_SUBJECTS = 12
"""With fewer, percentiles are too narrow even when expanded: the interval is Student's t over subjects."""
FEWEST_FLIPPED = 6
"""Of five subjects no pattern of signs has a two-sided p below 1/16."""
ALL_SIGNS_UP_TO = 12
RANDOM_SIGNS = 9_999
UNBOUNDED = (-np.inf, np.inf)
CORRELATION = (-1.0, 1.0)
DIFFERENCE = (-2.0, 2.0)
"""Of two correlations."""
_NO_SPREAD = 1e-12
PARTS = ("own", "alone", "by_fold")
"""What a `Sampled` may hold of single subjects, or of one factor of two."""


def generator(seed: int, stream: str) -> np.random.Generator:
    """A generator for one purpose: `unit` (blocks, items), `subject`, `halves`, `group`, `signs` or `order`."""
    return np.random.default_rng([seed, _STREAMS[stream]])


def draw_counts(n_units: int, n_draws: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """How often each unit is taken in each draw with replacement: (n_draws, n_units), rows sum to n_units."""
    return rng.multinomial(n_units, np.full(n_units, 1 / n_units), size=n_draws).astype(np.float32)


def widening_of(n_folds: int) -> float:
    """Variance of a score over that of draws of its blocks or items: 1 + K/(K − 1) for K outer folds, 2 to 3.

    Nadeau & Bengio's corrected variance is (1/K + n_test/n_train) times that of one fold's score, over 1/K if folds
    were independent; in K folds n_test/n_train is 1/(K − 1). A single split has 1 + n_test/n_train, which is taken
    to be 2, as where no more is held out than trained on.

    References
    ----------
    Nadeau & Bengio 2003, Machine Learning 52:239–281, section 4.
    """
    return 1 + n_folds / (n_folds - 1) if n_folds > 1 else 2.0


def expanded_confidence(confidence: float, n_units: int) -> float:
    """The level at which a percentile interval of few units covers as often as it says.

    A bootstrap distribution is too narrow by √((n − 1)/n) and has normal instead of t tails; its quantiles are
    therefore taken at Φ(±t·√(n/(n − 1))). With 15 units a 95 % interval takes the 1.3 % and 98.7 % quantiles; with 165
    it is the plain one.

    References
    ----------
    Hesterberg 2015, The American Statistician 69:371–386, section 3.3 (expanded percentile intervals).
    """
    from scipy.stats import norm, t

    if n_units < 2:
        return 1.0
    wider = t.ppf((1 + confidence) / 2, n_units - 1) * np.sqrt(n_units / (n_units - 1))
    return float(2 * norm.cdf(wider) - 1)


def interval(
    value: NDArray[Any] | float, draws: NDArray[Any], confidence: float, n_units: int, widening: float = 1.0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Expanded percentiles of draws about their median, stretched by √widening and put about the estimate.

    So no interval excludes its own estimate, as plain percentiles do where draws are biased. Draws in which a value is
    undefined (NaN) are left out.

    Parameters
    ----------
    value : (…), the estimate
    draws : (n_draws, …)
    n_units : how many subjects, blocks or items were drawn from
    widening : of the draws' variance

    Returns
    -------
    lower and upper bounds, (…)
        NaN where the estimate is, where fewer than half of the draws are defined, and of a single unit.
    """
    draws, value = np.asarray(draws, dtype=np.float64), np.asarray(value, dtype=np.float64)
    if n_units < 2 or not draws.size:
        return np.full(value.shape, np.nan), np.full(value.shape, np.nan)
    level = expanded_confidence(confidence, n_units)
    levels = [(1 - level) / 2, 0.5, (1 + level) / 2]
    if np.isfinite(draws).all():
        low, middle, high = np.quantile(draws, levels, axis=0)
    else:
        defined = np.isfinite(draws).mean(axis=0) >= 0.5
        low, middle, high = np.nanquantile(np.where(defined, draws, 0.0), levels, axis=0)
        value = np.where(defined, value, np.nan)
    stretch = np.sqrt(widening)
    return np.asarray(value - stretch * (middle - low)), np.asarray(value + stretch * (high - middle))


@dataclasses.dataclass(frozen=True)
class Sampled:
    """An estimate with all that its interval and its p are made of.

    Parameters
    ----------
    value : (…), the estimate
    draws : (draw, …)
    unit : what was drawn: ``subject``, ``block``, ``item``, or several joined by ``and``
    n_units : how many there are
    widening : of the draws' variance, for what folds share
    own : (subject, …), the value of each of the batch's subjects by itself, its layers chosen on its own scores; NaN
        for those without one. None where blocks or items were drawn
    alone : where subjects and stimuli were both drawn: the draws (draw, …) of subjects alone, and of stimuli alone
    by_fold : (subject, fold, …), ``own`` in each outer fold, of scores in Fisher z; None where that is not known
    is_of_own : whether the value is the mean of ``own``, as `of_subjects` makes it

    Notes
    -----
    A layer choice common to all subjects moves their scores together, which a test over them cannot see; hence ``own``.
    """

    value: NDArray[Any]
    draws: NDArray[Any]
    unit: str
    n_units: int
    widening: float = 1.0
    own: NDArray[Any] | None = None
    alone: tuple[NDArray[Any], NDArray[Any]] | None = None
    by_fold: NDArray[Any] | None = None
    is_of_own: bool = False

    def __sub__(self, other: Sampled) -> Sampled:
        """The difference, paired where the same units were drawn, and subject by subject where both have these."""
        n_draws = min(len(self.draws), len(other.draws))
        draws = np.asarray(self.draws[:n_draws] - other.draws[:n_draws])
        of_each = (_combined([self, other], name, lambda one: one[0] - one[1]) for name in PARTS)
        return Sampled(np.asarray(self.value - other.value), draws, *_units([self, other]), *of_each)

    def of(self, linear: Callable[[NDArray[Any]], NDArray[Any]]) -> Sampled:
        """A linear function of the values, which takes any leading axes."""
        own, by_fold = (None if one is None else linear(one) for one in (self.own, self.by_fold))
        alone = None if self.alone is None else (linear(self.alone[0]), linear(self.alone[1]))
        value, draws = linear(self.value), linear(self.draws)
        return dataclasses.replace(self, value=value, draws=draws, own=own, alone=alone, by_fold=by_fold)

    def of_subjects(self) -> Sampled:
        """The mean of the subjects' own values, where all that count have one; else the estimate as it is.

        Then estimate, interval and p are of one quantity: with layers that are chosen for all subjects in common,
        a difference was .06 [.01, .10] whose subjects' own had a mean of .02 and p = .43.
        """
        if self.own is None or self.unit != SUBJECT:
            return self
        there = np.isfinite(self.own).sum(axis=0)
        if not (there >= max(self.n_units, 1)).all():
            return self
        return dataclasses.replace(self, value=np.nanmean(self.own, axis=0), is_of_own=True)

    def corrected(self) -> NDArray[Any]:
        """The draws; of subjects and stimuli both, about their mean with the corrected spread, each value by itself.

        It is corrected last, once differences and means are taken: that of a difference is not the difference of two.
        """
        return self.draws if self.alone is None else rescaled(*self.alone, self.draws)

    def standard_error(self) -> NDArray[np.float64]:
        """Of the estimate, (…): from the subjects' own values where all that count have one, else from the draws."""
        draws = np.asarray(self.corrected(), dtype=np.float64)
        defined = np.isfinite(draws).mean(axis=0) >= 0.5
        bias = self.n_units / (self.n_units - 1) if self.n_units > 1 else np.nan
        error = np.sqrt(self.widening * bias) * np.nanstd(np.where(defined, draws, 0.0), axis=0, ddof=1)
        error = np.where(defined, error, np.nan)
        if self.own is None:
            return error
        there = np.isfinite(self.own)
        n = np.maximum(there.sum(axis=0), 2)
        mean = np.where(there, self.own, 0).sum(axis=0) / n
        squares = np.where(there, (self.own - mean) ** 2, 0).sum(axis=0)
        return np.where(there.sum(axis=0) >= self.n_units, np.sqrt(squares / (n - 1) / n), error)

    def interval(
        self, confidence: float, bounds: tuple[float, float] = UNBOUNDED
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Lower and upper ends, (…), about the estimate: from the draws, or Student's t over subjects' own values.

        The latter of few subjects, and where the estimate is the mean of these.

        Parameters
        ----------
        bounds : what the quantity cannot exceed; ends are cut there
        """
        from scipy.stats import t

        if self.n_units > 1 and (self.is_of_own or (self.unit == SUBJECT and self.n_units < FEWEST_DRAWN_SUBJECTS)):
            reach = t.ppf((1 + confidence) / 2, self.n_units - 1) * self.standard_error()
            low, high = self.value - reach, self.value + reach
        else:
            low, high = interval(self.value, self.corrected(), confidence, self.n_units, self.widening)
        return np.clip(low, *bounds), np.clip(high, *bounds)

    def p(self, seed: int) -> float:
        """Two-sided p of a single difference from 0; NaN where there is none.

        Of subjects: by flipping the signs of their own differences, of six or more; else, and of blocks and items, by
        Student's t of the difference over its standard error, on as many degrees of freedom as units less one; that is
        never below one in as many as there are draws, as of depths, which come in steps, these may all agree.

        Parameters
        ----------
        seed : of random signs, which more than twelve subjects have
        """
        from scipy.stats import t

        own = self._flipped()
        if own is not None:
            return sign_flip_p(own, seed)
        value, error = float(self.value), float(self.standard_error())
        if not np.isfinite([value, error]).all() or self.n_units < 2:
            return float("nan")
        if abs(value) < _NO_SPREAD:
            return 1.0
        p = float(2 * t.sf(abs(value) / error, self.n_units - 1)) if error > 0 else 0.0
        return max(p, 1 / (1 + len(self.draws)))

    def p_equivalent(self, margin: float, seed: int) -> float:
        """p of a true difference that is not smaller than a margin, with the errors that `p` has; NaN where it is.

        The larger p of two one-sided tests, that the difference lies below ``margin`` and above ``-margin``.

        Parameters
        ----------
        margin : > 0, in units of the value
        seed : as of `p`

        References
        ----------
        Schuirmann 1987, J Pharmacokinet Biopharm 15:657–680.
        """
        own = self._flipped()
        if own is not None:
            return max(sign_flip_p(one, seed, two_sided=False) for one in (margin - own, margin + own))
        if self.n_units < 2:
            return float("nan")
        p = p_within(float(self.value), float(self.standard_error()), self.n_units - 1, margin)
        return max(p, 1 / (1 + len(self.draws))) if np.isfinite(p) else p

    def _flipped(self) -> NDArray[np.float64] | None:
        """The subjects' own values where there are enough for their signs to be flipped; else None."""
        if self.own is None:
            return None
        own = self.own[np.isfinite(self.own)].astype(np.float64)
        return own if own.size >= max(self.n_units, FEWEST_FLIPPED) else None


def p_within(value: float, error: float, freedom: float, margin: float) -> float:
    """The larger p of two one-sided t tests, that an estimate's truth lies below a margin and above its negative.

    Parameters
    ----------
    error, freedom : standard error of the estimate, and its degrees of freedom

    Returns
    -------
    float
        NaN where value or error is.
    """
    from scipy.stats import t

    if not np.isfinite([value, error]).all():
        return float("nan")
    to_nearest = margin - abs(value)
    if error > 0:
        return float(t.sf(to_nearest / error, freedom))
    return 0.0 if to_nearest > 0 else 1.0


def mean_of(several: Sequence[Sampled]) -> Sampled:
    """The mean of several estimates, draw by draw and subject by subject."""
    n_draws = min(len(one.draws) for one in several)
    of_each = (_combined(several, name, lambda values: np.mean(values, axis=0)) for name in PARTS)
    return Sampled(
        np.mean([one.value for one in several], axis=0),
        np.mean([one.draws[:n_draws] for one in several], axis=0),
        *_units(several),
        *of_each,
    )


def _combined(several: Sequence[Sampled], name: str, linear: Callable[[Sequence[Any]], Any]) -> Any:
    """What is made of one of the `PARTS` of several; None where one has none.

    Nor where they are of other subjects, as of regions that not all animals have: those that all share say nothing of
    an estimate that averages the others too.
    """
    values = [getattr(one, name) for one in several]
    if any(one is None for one in values):
        return None
    if name != "alone":
        alike = all(np.array_equal(np.isfinite(one), np.isfinite(values[0])) for one in values)
        return linear(values) if alike else None
    n = [min(len(one[part]) for one in values) for part in (0, 1)]
    return tuple(linear([one[part][: n[part]] for one in values]) for part in (0, 1))


def _units(several: Sequence[Sampled]) -> tuple[str, int, float]:
    """Unit, number and widening of what is made of several: the fewest units and the largest widening count."""
    units = dict.fromkeys(unit for one in several for unit in one.unit.split(" and "))
    return " and ".join(units), min(one.n_units for one in several), max(one.widening for one in several)


def sign_flip_p(difference: NDArray[np.float64], seed: int, *, two_sided: bool = True) -> float:
    """p of a mean over subjects, if each one's difference might as well have the other sign.

    Of up to twelve subjects all 2^S patterns of signs, else 9,999 random ones.

    Parameters
    ----------
    difference : (subject,)
    two_sided : else p of a mean above 0
    """
    signs = _signs(difference.size, seed)
    flipped, given = signs @ difference, difference.sum()
    if two_sided:
        flipped, given = np.abs(flipped), abs(given)
    reached = int((flipped >= given - _NO_SPREAD).sum())
    if difference.size <= ALL_SIGNS_UP_TO:
        return reached / len(signs)
    return (1 + reached) / (1 + len(signs))


@functools.lru_cache(maxsize=8)
def _signs(n_subjects: int, seed: int) -> NDArray[np.float64]:
    if n_subjects <= ALL_SIGNS_UP_TO:
        return np.array(list(itertools.product((1.0, -1.0), repeat=n_subjects)))
    return generator(seed, "signs").choice((1.0, -1.0), size=(RANDOM_SIGNS, n_subjects))


def rescaled(subjects: NDArray[Any], stimuli: NDArray[Any], both: NDArray[Any]) -> NDArray[Any]:
    """Draws of subjects and stimuli both, (draw, …), with the spread corrected by that of either alone.

    Undefined draws (NaN) stay so; see `pipeline.inference.estimates`.

    References
    ----------
    Schütt, Kipnis, Diedrichsen & Kriegeskorte 2023, eLife 12:e82566.
    """
    defined = np.isfinite(both)
    mean = np.where(defined, both, 0).sum(axis=0) / np.maximum(defined.sum(axis=0), 1)
    by_subjects, by_stimuli, naive = (_variance(one) for one in (subjects, stimuli, both))
    wanted = np.maximum(2 * (by_subjects + by_stimuli) - naive, np.maximum(by_subjects, by_stimuli))
    scale = np.sqrt(np.minimum(wanted, naive) / np.where(naive > 0, naive, 1))
    return np.asarray(mean + (both - mean) * scale, dtype=both.dtype)


def _variance(draws: NDArray[Any]) -> NDArray[np.float64]:
    """Over the draws that are defined; 0 where none is."""
    defined = np.isfinite(draws)
    n = np.maximum(defined.sum(axis=0), 1)
    values = np.where(defined, draws, 0).astype(np.float64)
    mean = values.sum(axis=0) / n
    return np.asarray((defined * (values - mean) ** 2).sum(axis=0) / n)
