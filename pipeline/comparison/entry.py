"""The metrics of stage ``compare``: what a study names, and the function that computes its scores."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from pipeline.comparison.options import RsaOptions
from pipeline.core.section import MetricSection


@dataclasses.dataclass(frozen=True)
class ComparisonEntry:
    """A metric of stage ``compare``.

    Parameters
    ----------
    kind : its name in a study file
    options : its pydantic options, with ``kind: Literal[kind]``
    run : ``package.module:function`` that computes the scores of one (group, model), with the arguments and the result
        of `pipeline.comparison.stage.compare_group`
    """

    kind: str
    options: type[MetricSection]
    run: str

    stage: ClassVar[str] = "compare"


RSA = ComparisonEntry("rsa", RsaOptions, "pipeline.comparison.stage:compare_group")
