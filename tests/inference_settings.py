"""Settings of inference and contrasts, without the study file that they come from."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Settings:
    n_bootstrap: int = 200
    confidence: float = 0.95
    reliability_floor: float = 0.05
    min_subjects: int = 8
    permutations: int = 199
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class Contrast:
    name: str
    model: str
    reference: str
    layer: str | None = None
    pathway: str | None = None
    margin: float | None = None
    controlled: bool = False
