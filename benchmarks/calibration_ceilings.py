"""Whether ceilings are calibrated: regions of noise get none, reliabilities are unbiased, and intervals cover.

Responses are simulated, and everything after them is what studies run: parts of the held-out blocks, reliabilities of
targets, and the ceiling of a region. Run: ``python -m benchmarks.calibration_ceilings --sets 200``.
"""

from __future__ import annotations

import argparse
import dataclasses
import math

import numpy as np
import pandas as pd

from pipeline.encoding.group.jackknife import parts_of
from pipeline.encoding.group.reliability import estimate_reliability
from pipeline.encoding.splits import Fold
from pipeline.inference.places import list_places
from pipeline.inference.rows import Ceiling, ceiling_of
from pipeline.inference.scores.shared_draws import Batch
from pipeline.study.study import Inference

BURN_IN = 200  # samples before a series with autocorrelation is recorded
RELIABILITIES = (0.1, 0.3, 0.6, 0.9)


@dataclasses.dataclass(frozen=True)
class Design:
    """What is recorded.

    Parameters
    ----------
    n_samples : items, or samples in time of which 20 make a block
    autocorrelation : of neighbouring samples, of signal and noise alike; above 0, samples are in time
    heavy_tails : Student's t of three degrees of freedom instead of normal, before any autocorrelation
    shared : share of the noise's variance that all targets have in common
    """

    name: str
    n_samples: int
    n_repeats: int
    autocorrelation: float = 0.0
    heavy_tails: bool = False
    shared: float = 0.0
    n_targets: int = 40

    def series(self, generator: np.random.Generator, *shape: int) -> np.ndarray:
        """Series of variance 1: (n_samples, *shape)."""
        from scipy.signal import lfilter

        size = (self.n_samples + (BURN_IN if self.autocorrelation else 0), *shape)
        values = generator.standard_t(3, size) / math.sqrt(3) if self.heavy_tails else generator.standard_normal(size)
        if self.autocorrelation:
            gain = math.sqrt(1 - self.autocorrelation**2)
            values = lfilter([gain], [1, -self.autocorrelation], values, axis=0)[BURN_IN:]
        return np.asarray(values)

    def responses(self, generator: np.random.Generator, reliability: float) -> np.ndarray:
        """Responses whose mean over repeats has this reliability, every target: (repeat, sample, target) float32."""
        signal = self.series(generator, 1, self.n_targets)
        own = self.series(generator, self.n_repeats, self.n_targets)
        common = self.series(generator, self.n_repeats, 1)
        noise = math.sqrt(1 - self.shared) * own + math.sqrt(self.shared) * common
        values = math.sqrt(reliability) * signal + math.sqrt((1 - reliability) * self.n_repeats) * noise
        return np.moveaxis(values, 1, 0).astype(np.float32)

    def parts(self) -> np.ndarray:
        """What the jackknife leaves out, from blocks as `encode` makes them."""
        rows = np.arange(self.n_samples)
        in_time = self.autocorrelation > 0
        return parts_of([Fold(rows, rows, rows // 20 if in_time else rows)], rows.size, "time" if in_time else "item")


DESIGNS = (
    Design("118 items × 2 repeats", 118, 2),
    Design("118 items × 2 repeats, half of the noise shared", 118, 2, shared=0.5),
    Design("118 items × 5 repeats", 118, 5),
    Design("118 items × 10 repeats", 118, 10),
    Design("118 items × 5 repeats, heavy tails", 118, 5, heavy_tails=True),
    Design("1200 samples, AR .9, × 2 repeats", 1200, 2, autocorrelation=0.9),
)


def region_ceiling(
    design: Design, generator: np.random.Generator, reliability: float, settings: Inference | None = None
) -> Ceiling:
    """The ceiling of one simulated region."""
    responses = design.responses(generator, reliability)
    runs = np.full(design.n_samples, "r")
    found = estimate_reliability(
        responses, runs, design.parts(), subjects=np.full(design.n_targets, "s"), units=None, seed=0
    )
    names = {"group": "g", "n_in_group": 1, "region": "R", "compartment": "", "subject": "s", "constant": False}
    targets = pd.DataFrame({"reliability": found.reliability, "ceiling_kind": found.kind}).assign(
        **names, signal_power=found.signal_power
    )
    degrees = found.deviation.shape[0] - 1
    batch = Batch("ridge", targets, "item", degrees + 1, [], _nothing, found.deviation, degrees, math.sqrt)
    [place] = list_places(targets, ["R"])
    return ceiling_of(batch, place, settings or Inference())


def _nothing(model: str) -> None:
    raise KeyError(model)


@dataclasses.dataclass(frozen=True)
class Calibration:
    """Of many regions with one planted reliability.

    Parameters
    ----------
    bias, bias_se : of the mean reliability
    coverage : share of intervals that hold the planted reliability
    passed : share of regions that get a ceiling
    signal_power_bias : of the share of single repeats' variance
    """

    bias: float
    bias_se: float
    coverage: float
    passed: float
    signal_power_bias: float


def calibrate(design: Design, reliability: float, n_sets: int, seed: int = 0) -> Calibration:
    """Simulate regions of one planted reliability, and see how their ceilings come out."""
    generator = np.random.default_rng([seed, int(1000 * reliability)])
    found = [region_ceiling(design, generator, reliability) for _ in range(n_sets)]
    estimates = np.array([one.reliability for one in found])
    single = reliability / (design.n_repeats - (design.n_repeats - 1) * reliability)
    return Calibration(
        bias=float(estimates.mean() - reliability),
        bias_se=float(estimates.std(ddof=1) / math.sqrt(n_sets)),
        coverage=float(np.mean([one.low <= reliability <= one.high for one in found])),
        passed=float(np.mean([math.isfinite(one.value) for one in found])),
        signal_power_bias=float(np.mean([one.signal_power for one in found]) - single),
    )


def main() -> None:
    """Print a table of all designs and reliabilities."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", type=int, default=200, help="simulated regions of each kind")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    print("| design | reliability | bias (SE) | 95 % interval covers | gets a ceiling | bias of signal power |")
    print("| --- | --- | --- | --- | --- | --- |")
    for design in DESIGNS:
        for reliability in (0.0, *RELIABILITIES):
            one = calibrate(design, reliability, arguments.sets, arguments.seed)
            print(
                f"| {design.name} | {reliability:g} | {one.bias:+.4f} ({one.bias_se:.4f}) | {one.coverage:.3f} | "
                f"{one.passed:.3f} | {one.signal_power_bias:+.4f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
