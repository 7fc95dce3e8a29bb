"""Reading study files and ``--config`` values: every mistake is one line naming file, key and remedy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from pipeline.core.code_version import ROOT
from pipeline.core.errors import BadConfiguration
from pipeline.core.section import Section, validated
from pipeline.formats.documents import read_yaml
from pipeline.formats.named_files import NamedFiles
from pipeline.study.flags import FLAGS, Device
from pipeline.study.study import Study

STUDIES = NamedFiles("study", "studies", ROOT / "workflows" / "studies", "study, title and analyses")


def _told(name: str) -> Any:
    flag = FLAGS[name]
    return Field(flag.default, ge=flag.at_least, description=flag.help)


class WorkflowConfig(Section):
    """``workflows/config.yaml`` and what ``--config key=value`` may change."""

    studies: tuple[str, ...] = Field(
        ("demo",), description="studies that `snakemake all` runs: names or paths of study files"
    )
    study: str | None = Field(None, description="run this study only")
    recipe: str | None = Field(None, description="what `snakemake train` trains: a name or a path of a recipe file")
    diet_path: str | None = Field(None, description="folder or zip of pictures, in place of the recipe's own")
    limit: int | None = _told("limit")
    shuffle: int | None = _told("shuffle")
    permutations: int | None = _told("permutations")
    simulations: int | None = _told("simulations")
    mirror: str | None = _told("mirror")
    device: Device = _told("device")
    memory_budget_mb: int = _told("memory_budget_mb")

    @property
    def names(self) -> tuple[str, ...]:
        return (self.study,) if self.study else self.studies


def load_workflow_config(given: Mapping[str, Any]) -> WorkflowConfig:
    """``workflows/config.yaml`` with what ``--config`` gives; unknown keys are refused.

    Raises
    ------
    BadConfiguration
        Names the file or key and the value.
    """
    path = ROOT / "workflows" / "config.yaml"
    defaults = read_yaml(path) or {}
    if not isinstance(defaults, dict):
        raise BadConfiguration(f"{path} must hold a mapping such as: studies: [demo]")
    return validated(WorkflowConfig, {**defaults, **given}, "--config or workflows/config.yaml")


def load_study(
    name: str,
    *,
    limit: int | None = None,
    shuffle: int | None = None,
    permutations: int | None = None,
    simulations: int | None = None,
) -> Study:
    """Read and validate a study.

    Parameters
    ----------
    name : a name in workflows/studies, or a path ending in .yaml
    limit : overrides every dataset's ``limit``
    shuffle : seed; the study is renamed NAME-shuffled-SEED and its responses are shuffled
    permutations, simulations : override the study's

    Raises
    ------
    BadConfiguration, UnknownName
        One line naming the file, the key and the value.
    """
    path, raw = STUDIES.read(name)
    if limit is not None:
        analyses = raw.get("analyses")
        for analysis in analyses.values() if isinstance(analyses, dict) else ():
            if isinstance(analysis, dict) and isinstance(analysis.get("recording"), dict):
                analysis["recording"]["limit"] = limit
    for name, value in (("permutations", permutations), ("simulations", simulations)):
        if value is not None and isinstance(raw.setdefault("inference", {}), dict):
            raw["inference"][name] = value
    if shuffle is not None:
        raw["shuffle_seed"] = shuffle
        raw["study"] = f"{raw.get('study', path.stem)}-shuffled-{shuffle}"
    return validated(Study, raw, str(path), folder=path.parent)
