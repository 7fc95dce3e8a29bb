"""Small recordings of several animals, with running and pupil, shared by the tests of members and of nuisance."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from pipeline.artifacts.activations import ActivationWriter, LayerInfo
from pipeline.artifacts.recording import write_recording
from pipeline.artifacts.storage.store import standard_attrs
from pipeline.encoding.mappings.ridge import RidgeOptions

ATTRS = {**dict.fromkeys(("study", "analysis", "group", "created_by"), "t"), "config_sha": "0", "inputs_sha": "0"}
OF_ITEMS = RidgeOptions.model_validate(
    {"splits": {"kind": "random_items", "n_folds": 4, "n_inner_folds": 3}, "penalties": {"n": 15}}
)
IN_TIME = RidgeOptions.model_validate(
    {"splits": {"n_folds": 4, "n_inner_folds": 3, "gap_s": 2}, "delays_s": [0, 1], "penalties": {"n": 15}}
)


def items(n: int) -> np.ndarray:
    return np.array([f"scene-{i}" for i in range(n)])


def features(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, 99]).standard_normal((n, 6))


def write_activations(path: Path, values: np.ndarray, clock: np.ndarray, stimulus: str = "scenes") -> Path:
    """A network with one layer, ``(n_samples, n_features)``."""
    kind = "item" if clock.dtype.kind == "U" else "time"
    fixed = {"model": "net", "modality": "images", "objective": "sorting", "weights_sha256": "f00", "rate": "mean"}
    attrs = {**standard_attrs("activations", "t", "0", "0"), **fixed, "preprocessing": "{}", "reduction": "{}"}
    writer = ActivationWriter(
        path,
        [LayerInfo("layer", 0, 0.0)],
        clock.size,
        clock,
        {**attrs, "sample_kind": kind, "stimulus": stimulus, "convolved": 0},
    )
    writer.write(0, {"layer": values.astype(np.float32)})
    writer.close()
    return path


@dataclasses.dataclass(frozen=True)
class Session:
    """One recording; ``responses`` (repeat, sample, target), ``stimulus`` of all samples or of each."""

    responses: np.ndarray
    clock: np.ndarray
    cells: list[str]
    subject: str = "mouse-1"
    stimulus: str | np.ndarray = "scenes"
    run: str = "r"
    region: str = "VISp"
    variables: dict[str, Any] = dataclasses.field(default_factory=dict)
    attrs: dict[str, Any] = dataclasses.field(default_factory=dict)

    def write(self, path: Path) -> Path:
        n_samples, n_targets = self.responses.shape[1:]
        in_time = self.clock.dtype.kind != "U"
        text = {
            "run": ("sample", [self.run] * n_samples),
            "stimulus": ("sample", np.broadcast_to(self.stimulus, n_samples)),
            "target": ("target", self.cells),
            "subject": ("target", [self.subject] * n_targets),
            "region": ("target", [self.region] * n_targets),
        }
        dataset = xr.Dataset(
            {
                "responses": (("repeat", "sample", "target"), self.responses.astype(np.float32)),
                "n_repeats": (("sample", "target"), np.isfinite(self.responses).sum(axis=0)),
                **{name: (dim, np.array(values, dtype=object)) for name, (dim, values) in text.items()},
                "time_s" if in_time else "item": ("sample", self.clock if in_time else self.clock.astype(object)),
                **self.variables,
            },
            attrs={
                **standard_attrs("recording", "t", "0", "0"),
                **{"units": "dF/F", "sample_kind": "time" if in_time else "item", "high_pass_s": 0.0},
                **{"z_scored": 0, "n_subjects": 1},
                **({"sample_interval_s": 0.5} if in_time else {}),
                **self.attrs,
            },
        )
        write_recording(dataset, path)
        return path


def driven(
    n_targets: int, n_repeats: int = 4, n_samples: int = 60, seed: int = 0, noise: float = 1.0, stimulus_seed: int = 0
) -> np.ndarray:
    """Responses (repeat, sample, target) that `features` drive, beside noise of the stated SD."""
    generator = np.random.default_rng([seed, 1])
    signal = features(n_samples, stimulus_seed) @ generator.standard_normal((6, n_targets)) / np.sqrt(6)
    return np.asarray(signal + noise * generator.standard_normal((n_repeats, n_samples, n_targets)))
