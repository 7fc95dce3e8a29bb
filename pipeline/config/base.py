"""The base of every configuration section: unknown keys are refused, nothing changes after validation."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A section of a study file."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class MetricSection(Section):
    """Options of a metric; its own class adds its fields and narrows ``kind``."""

    kind: str
