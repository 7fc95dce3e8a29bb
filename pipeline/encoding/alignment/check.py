"""Are responses in the order of what was presented? Whether a layer predicts them better in another order.

The layer and the responses are reduced to a few components, and a ridge with one penalty predicts them in the study's
outer folds: in the order given, and in each other order that a usual mistake would have left (see
`pipeline.encoding.alignment.candidate_orders`). The best of several orders predicts better by chance as well, so its
lead must exceed that in every one of many surrogates, in which either no order is right or the given one is.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.encoding.alignment.candidate_orders import CandidateOrder, rows_of_items
from pipeline.encoding.alignment.reduced_problem import MOST_ROWS, ReducedFit
from pipeline.encoding.design import Design
from pipeline.encoding.splits import Samples

N_SURROGATES = 200
"""Of either kind. Exceeding them all happens once in two hundred times where the given order is right."""
FEWEST_SURROGATES = 40
"""Of either kind, where what was found is more than twice as large as in any of them."""
SHARE_LOST = {"time": 0.2, "item": 0.05}
"""Of what the better order predicts, the least that the given one must lose: in time, less is a matter of delays."""
AT_ONCE = 2
Draw = Callable[[np.ndarray], np.ndarray]
Scores = Callable[[Sequence[np.ndarray]], np.ndarray]


@dataclasses.dataclass(frozen=True)
class AlignmentCheck:
    """How well responses are predicted in the order given, and in the other order that fits best.

    Parameters
    ----------
    given_r : held-out r of the reduced problem in the order given
    best_r : in the other order that fits best; NaN where there is none
    best : that order, in words
    margin : the largest lead of any other order in a surrogate; NaN unless all surrogates were needed
    warns : whether the best order predicts reliably, and better by more than the margin
    """

    given_r: float
    best_r: float
    best: str
    margin: float
    warns: bool

    def sentence(self) -> str:
        """The finding in words, as of responses; empty where no other order could be compared."""
        if not self.best:
            return ""
        told = f"fit at r = {self.given_r:.2f} in the order given and at {self.best_r:.2f} if {self.best}"
        return f"{told} (margin {self.margin:.2f})" if self.warns else told

    def kept(self) -> dict[str, Any]:
        """What scores keep: numbers to three digits, None where there is none."""
        numbers = {name: getattr(self, name) for name in ("given_r", "best_r", "margin")}
        rounded = {name: round(value, 3) if math.isfinite(value) else None for name, value in numbers.items()}
        return {**rounded, "best": self.best, "warns": self.warns}


def check_alignment(
    columns: np.ndarray,
    responses: np.ndarray,
    samples: Samples,
    orders: Sequence[CandidateOrder],
    design: Design,
    *,
    seed: int,
) -> AlignmentCheck:
    """Compare the given order of the responses with others.

    Parameters
    ----------
    columns : (n_samples, n_columns), see `pipeline.encoding.alignment.reduced_problem.delayed_components`
    responses : (n_samples, n_components), in the order given
    samples : what was presented in each row
    orders : that the rows might really have
    design : the study's; its filter goes over reordered responses again
    seed : of the surrogates

    References
    ----------
    Surrogates of time courses with their own spectra: Prichard and Theiler 1994, Phys. Rev. Lett. 73:951.
    """
    fit = ReducedFit(columns, design.splits)

    def scores(of: Sequence[np.ndarray]) -> np.ndarray:
        """(n_responses, 1 + n_orders) of responses in the order given and in the others."""
        every = [one[rows] for one in of for rows in (np.arange(samples.n), *(order.rows for order in orders))]
        flat = np.stack(every, axis=1).reshape(samples.n, -1)
        if design.high_pass is not None:
            flat = design.high_pass.apply(flat)
        return fit.score(flat.reshape(samples.n, len(every), -1)).reshape(len(of), -1)

    return judge(
        orders,
        responses,
        scores,
        predict=lambda: fit.predict(responses),
        surrogate=functools.partial(surrogate_of, samples),
        seed=seed,
        share_lost=SHARE_LOST[samples.kind],
        at_once=max(1, AT_ONCE * MOST_ROWS // max(samples.n, MOST_ROWS)),
    )


def judge(
    orders: Sequence[CandidateOrder],
    responses: np.ndarray,
    scores: Scores,
    *,
    predict: Callable[[], np.ndarray],
    surrogate: Callable[[np.random.Generator], Draw],
    seed: int,
    share_lost: float = SHARE_LOST["item"],
    at_once: int = AT_ONCE,
) -> AlignmentCheck:
    """Whether one of several orders of the responses, or of their similarities, fits better than the one given.

    Parameters
    ----------
    responses : in the order given
    scores : responses → (n_responses, 1 + n_orders) r in the order given and in the others
    predict : gives what is predicted of the responses in the order given
    surrogate : gives a way to draw the same from any responses: such as owe nothing to what was presented
    seed : of the surrogates
    share_lost : of the best order's r, the least that the given one must lose
    at_once : so many are scored together
    """
    found = scores([responses])[0]
    if not orders:
        return AlignmentCheck(float(found[0]), float("nan"), "", float("nan"), False)
    best = 1 + int(found[1:].argmax())
    given_r, best_r, what = float(found[0]), float(found[best]), orders[best - 1].what
    margin = float("nan")
    if best_r > 0 and given_r < (1 - share_lost) * best_r:
        surrogates = _surrogates(responses, predict(), scores, surrogate, seed, at_once)
        margin = _margin(surrogates, best_r, best_r - given_r)
    return AlignmentCheck(given_r, best_r, what, margin, bool(np.isfinite(margin)))


def _surrogates(
    responses: np.ndarray,
    predicted: np.ndarray,
    scores: Scores,
    surrogate: Callable[[np.random.Generator], Draw],
    seed: int,
    at_once: int,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Scores of surrogates in which no order is right, and of such in which the given one is, some at once."""
    generator = np.random.default_rng(seed)
    for first in range(0, N_SURROGATES, at_once):
        draws = [surrogate(generator) for _ in range(min(at_once, N_SURROGATES - first))]
        unrelated = scores([draw(responses) for draw in draws])
        yield unrelated, scores([predicted + draw(responses - predicted) for draw in draws])


def _margin(surrogates: Iterator[tuple[np.ndarray, np.ndarray]], best_r: float, lead: float) -> float:
    """The largest lead of another order over the one given in surrogates; NaN where one of them is as good as found.

    Parameters
    ----------
    best_r, lead : of the best order, as found
    """
    margin, chance, n_drawn = 0.0, 0.0, 0
    for unrelated, right in surrogates:
        leads = np.concatenate([of[:, 1:].max(axis=1) - of[:, 0] for of in (unrelated, right)])
        margin, chance = max(margin, float(leads.max())), max(chance, float(unrelated[:, 1:].max()))
        n_drawn += len(unrelated)
        if margin >= lead or chance >= best_r:
            return float("nan")
        if n_drawn >= FEWEST_SURROGATES and lead > 2 * margin and best_r > 2 * chance:
            break  # so far out that no more are needed
    return margin


def told(found: AlignmentCheck, stage: str, attrs: dict[str, Any], *, model: str, remedy: str, source: Path) -> str:
    """Print a warning where there is one; returns what the scores keep as JSON.

    Parameters
    ----------
    attrs : ``study, analysis, group``
    remedy : what to look at
    source : the recording
    """
    if found.warns:
        where = f"{attrs['study']}, {attrs['analysis']}/{attrs['group']}, {model}"
        text = f"layermap {stage}: warning: {where}: responses {found.sentence()}; {remedy} ({source})"
        print(text, file=sys.stderr, flush=True)
    return json.dumps({**found.kept(), "remedy": remedy}, sort_keys=True, ensure_ascii=False)


def surrogate_of(samples: Samples, generator: np.random.Generator) -> Draw:
    """Draws what makes responses that owe nothing to what was presented, and are otherwise as measured.

    Items get one another's responses, so that repeats of an item stay alike. Courses in time get random phases, the
    same in all columns and in runs of equal length, so that spectra and what columns and runs share are kept.
    """
    if samples.kind == "item":
        items = samples.items()
        names = list(dict.fromkeys(items.tolist()))
        rows = rows_of_items(items, dict(zip(names, generator.permutation(names).tolist(), strict=True)))
        rows = generator.permutation(samples.n) if rows is None else rows
        return lambda responses: responses[rows]
    phases = {size: _phases(size, generator) for size in dict.fromkeys(run.size for run in samples.runs)}

    def drawn(responses: np.ndarray) -> np.ndarray:
        courses = np.empty_like(responses)
        for run in samples.runs:
            spectrum = np.fft.rfft(responses[run], axis=0) * phases[run.size][:, None]
            courses[run] = np.fft.irfft(spectrum, run.size, axis=0)
        return courses

    return drawn


def _phases(size: int, generator: np.random.Generator) -> np.ndarray:
    """(size // 2 + 1,) complex of length 1; the mean, and the fastest of an even number, turn by nothing or a half."""
    phases = np.exp(2j * np.pi * generator.random(size // 2 + 1))
    phases[0] = 1.0
    if size % 2 == 0:
        phases[-1] = generator.choice([-1.0, 1.0])
    return phases
