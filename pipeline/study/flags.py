"""What a run is told besides its study file: as ``--config NAME=VALUE`` by snakemake, as ``--NAME VALUE`` by a stage.

The list stands here once: bounds, help, and how a value is handed on. Nothing heavy is imported, for the command line
reads it before it says how many threads numerical libraries may take.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal, get_args

from pipeline.encoding.arithmetic.compute import MEMORY_BUDGET_MB

Device = Literal["auto", "cpu", "cuda"]


@dataclasses.dataclass(frozen=True)
class Flag:
    """One value that can be told.

    Parameters
    ----------
    name : as in ``--config NAME=VALUE``
    help : one line
    default : of a stage's command; None where nothing is told
    at_least : lowest whole number that is taken; None where the value is text
    choices : all that is taken; empty for anything
    metavar : what stands for the value in the help
    stages : those that take it; empty for all
    of_machine : says how something is computed here, not what or from where: no part of the command that redoes a study
    """

    name: str
    help: str
    default: Any = None
    at_least: int | None = None
    choices: tuple[str, ...] = ()
    metavar: str | None = None
    stages: tuple[str, ...] = ()
    of_machine: bool = False

    @property
    def option(self) -> str:
        """As on the command line of a stage."""
        return f"--{self.name.replace('_', '-')}"


FLAGS = {
    flag.name: flag
    for flag in (
        Flag("study", "a name in workflows/studies or a path ending in .yaml (default: demo)", default="demo"),
        Flag("limit", "take only this many groups or subjects", at_least=1),
        Flag("shuffle", "shuffle the responses: the study must find nothing", at_least=0, metavar="SEED"),
        Flag(
            "permutations", "other orders of the responses behind each p, in place of the study's (0: no p)", at_least=0
        ),
        Flag(
            "simulations",
            "responses simulated from each layer, to see which one is named, in place of the study's (0: none)",
            at_least=0,
        ),
        Flag("mirror", "folder or http(s) prefix holding files as HOST/PATH of their public address"),
        Flag(
            "device",
            "where networks run and encoding models are fitted; changes no key and no result beyond rounding "
            "(default: auto)",
            default="auto",
            choices=get_args(Device),
            of_machine=True,
        ),
        Flag(
            "memory_budget_mb",
            "memory for what grows with samples, features and targets, not the program itself "
            f"(default: {MEMORY_BUDGET_MB:.0f})",
            default=int(MEMORY_BUDGET_MB),
            at_least=64,
            metavar="MB",
            stages=("encode", "identify", "power"),
            of_machine=True,
        ),
    )
}


def flags_of(stage: str) -> list[Flag]:
    """Those that a stage's command takes."""
    return [flag for flag in FLAGS.values() if not flag.stages or stage in flag.stages]


def command_flags(stage: str, told: object) -> list[str]:
    """``--name=value`` of all that a stage takes and was told; ``told`` has an attribute of each name."""
    values = [(flag.option, getattr(told, flag.name)) for flag in flags_of(stage)]
    return [f"{option}={value}" for option, value in values if value is not None]


def config_words(told: object) -> str:
    """``--config name=value …`` as snakemake takes it, of all that decides what is made, and from where."""
    values = [(flag.name, getattr(told, flag.name)) for flag in FLAGS.values() if not flag.of_machine]
    return "--config " + " ".join(f"{name}={value}" for name, value in values if value is not None)
