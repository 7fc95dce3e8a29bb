"""An objective of the user's own: a function that makes an `Objective`, or its class, in a file beside the recipe."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from pipeline.core.errors import LayermapError, in_one_line
from pipeline.core.registry import import_function
from pipeline.core.section import OwnFunction, file_of
from pipeline.training.objectives.objective import Objective, ObjectiveEntry, ObjectiveOptions, Setting


def _in_a_file(function: str) -> str:
    if file_of(function) is None:
        raise ValueError(f"'{function}' is of a package, which adds objectives as entry points; take FILE.py:function")
    return function


class OwnOptions(ObjectiveOptions):
    """What makes the objective."""

    kind: Literal["own"] = "own"
    factory: Annotated[OwnFunction, AfterValidator(_in_a_file)] = Field(
        description="FILE.py:function (or class) beside the recipe; called with the setting of the training "
        "(pipeline.training.objectives.objective.Setting) and the arguments"
    )
    arguments: dict[str, Any] = Field(default_factory=dict, description="given to the function by name")


def make(options: OwnOptions, setting: Setting) -> Objective:
    """Import and call what the recipe names.

    Raises
    ------
    LayermapError
        It cannot be imported, fails, or makes no `Objective`.
    """
    function = import_function(options.factory, "objective")
    with in_one_line(f"objective {options.factory} failed"):
        made = function(setting, **options.arguments)
    if not isinstance(made, Objective):
        raise LayermapError(
            f"objective {options.factory} gave a {type(made).__name__}, expected a "
            "pipeline.training.objectives.objective.Objective"
        )
    return made


OWN = ObjectiveEntry(
    kind="own",
    options=OwnOptions,
    make=make,
    title="an objective of one's own",
    citation="",
    trained="own objective",
    modalities=("pictures", "clips", "sounds"),
)
