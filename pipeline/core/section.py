"""The base of every configuration section: unknown keys are refused, nothing changes after validation."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    ValidationInfo,
)
from pydantic_core import ErrorDetails

from pipeline.core.errors import BadConfiguration, BrokenArtifact
from pipeline.core.names import clean_name, first_repeated, refuse_alike
from pipeline.core.spreadsheet import is_formula


class Section(BaseModel):
    """A section of a study file."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class MetricSection(Section):
    """Options of a metric; its own class adds its fields and narrows ``kind``."""

    kind: str


def _no_formula(text: str) -> str:
    if is_formula(text):
        raise ValueError(f"'{text}' begins as a formula does in a spreadsheet (= + - @ or a tab); call it otherwise")
    return text


CellText = Annotated[str, AfterValidator(_no_formula)]
"""A name that stands in the map's tables."""


def _cleaned(name: str) -> str:
    try:
        return clean_name(name, "")
    except BrokenArtifact as error:
        raise ValueError(str(error)) from error


def told_apart(names: Any) -> Any:
    """A list of names, or a mapping by name, of which none may stand twice or look like another (`ValueError`)."""
    if isinstance(names, list | tuple | dict):
        cleaned = [_cleaned(name) for name in names if isinstance(name, str)]
        twice = first_repeated(cleaned)
        if twice is not None:
            raise ValueError(f"name '{twice}' stands twice; remove one")
        try:
            refuse_alike(cleaned, "", "names")
        except BrokenArtifact as error:
            raise ValueError(str(error)) from error
    return names


Name = Annotated[str, AfterValidator(_cleaned)]
"""A name of a region, subject or the like, cleaned as those of data are."""
ToldApart = BeforeValidator(told_apart)
"""Of a list of names, or a mapping by name: before cleaned names are merged, those that are alike are refused."""
Names = Annotated[tuple[Name, ...], ToldApart]


def beside_the_study(path: str, info: ValidationInfo) -> Path:
    """A file that a study names, absolute: relative paths start where the study file lies.

    Raises
    ------
    ValueError
        There is no such file; the message has its whole path.
    """
    file = (Path((info.context or {}).get("folder", ".")) / Path(path).expanduser()).absolute()
    if not file.is_file():
        raise ValueError(f"{file} does not exist")
    return file


def _own_function(value: str, info: ValidationInfo) -> str:
    module, colon, function = value.rpartition(":")
    if not colon or not module or not function.isidentifier():
        raise ValueError(f"'{value}' is neither FILE.py:function nor package.module:function")
    if module.endswith(".py"):
        return f"{_in_the_folder(module, info)}:{function}"
    parts = module.split(".")
    if parts[0] in sys.stdlib_module_names or parts[0] == "pipeline":
        whose = "layermap" if parts[0] == "pipeline" else "Python itself"
        raise ValueError(f"'{value}' is a part of {whose}, which a study cannot call; take FILE.py:function")
    if any(not part.isidentifier() or part.startswith("_") for part in (*parts, function)):
        raise ValueError(f"'{value}' names what is not public; take FILE.py:function")
    return value


def _in_the_folder(path: str, info: ValidationInfo) -> Path:
    """A file in the folder of the study: no other file's code is run because a study names it."""
    file = beside_the_study(path, info)
    folder = (info.context or {}).get("folder")
    if folder is not None and not Path(os.path.normpath(file)).is_relative_to(os.path.abspath(folder)):
        raise ValueError(
            f"{file} does not lie in the folder of the study; copy or link it to {os.path.abspath(folder)}"
        )
    return file


def _without_its_place(function: str) -> str:
    """Keys and pages do not depend on where a file lies."""
    file = file_of(function)
    return f"{file.name}:{function.rpartition(':')[2]}" if file else function


OwnFunction = Annotated[
    str, AfterValidator(_own_function), PlainSerializer(_without_its_place, return_type=str, when_used="json")
]
"""A function of the user's own, which is neither imported nor called before it is needed.

``FILE.py:function``, the file in the study's folder and made absolute, or ``package.module:function`` of an installed
package other than Python's library and layermap.
"""


def file_of(function: str) -> Path | None:
    """The file of an `OwnFunction`; None for a function of an installed package."""
    file = function.rpartition(":")[0]
    return Path(file) if file.endswith(".py") else None


PLAIN_NAME = re.compile(r"^[a-z0-9][a-z0-9_-]*$")


def plain_name(value: str, what: str = "") -> str:
    """The name, if it is plain; ``what`` begins the message, such as ``analysis name``.

    Raises
    ------
    ValueError
        It is not.
    """
    if not PLAIN_NAME.fullmatch(value):
        raise ValueError(f"{what} '{value}' must be lower case letters, digits, - and _".lstrip())
    return value


def union_of(classes: Sequence[type]) -> Any:
    """The type of a field that holds any of these sections, told apart by their ``kind``."""
    return Annotated[reduce(or_, classes), Field(discriminator="kind")] if len(classes) > 1 else classes[0]


Model = TypeVar("Model", bound=BaseModel)


def validated(model: type[Model], raw: Any, source: str, *, folder: Path | None = None) -> Model:
    """What a user wrote, as a section.

    Parameters
    ----------
    source : for messages
    folder : that the user's own files are named from, see `OwnFunction`

    Raises
    ------
    BadConfiguration
        One line naming the source, the key and the value.
    """
    try:
        return model.model_validate(raw, context={"folder": folder} if folder is not None else None)
    except ValidationError as error:
        raise one_line(error, source) from error


MAX_PROBLEMS = 3
"""How many problems of a file one line tells; the others are counted."""
_TELLING = {"extra_forbidden": 0, "missing": 2}


def one_line(error: ValidationError, source: str) -> BadConfiguration:
    """A pydantic error as one line: file, key, value, what was expected.

    What is there and wrong comes before what is missing: a key that lacks is often one that was misspelt.
    """
    problems = sorted(error.errors(include_url=False), key=lambda one: _TELLING.get(one["type"], 1))
    told = list(dict.fromkeys(_problem(one) for one in problems))
    more = len(told) - MAX_PROBLEMS
    return BadConfiguration(f"{source}: {'; '.join(told[:MAX_PROBLEMS])}{f' (and {more} more)' if more > 0 else ''}")


def _problem(error: ErrorDetails) -> str:
    where = ".".join(str(part) for part in error["loc"]) or "(top level)"
    if error["type"] == "extra_forbidden":
        return f"unknown key '{where}'; remove it or correct its spelling"
    if error["type"] == "missing":
        return f"key '{where}' is missing; add it"
    value = error.get("input")
    shown = f" (got {value!r:.60})" if not isinstance(value, dict | list) else ""
    return f"{where}: {error['msg'].removeprefix('Value error, ')}{shown}"
