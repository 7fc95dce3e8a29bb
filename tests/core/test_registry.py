"""What is registered wrongly is said in one line, also of another package's entries."""

import dataclasses

import pytest

from pipeline.core.errors import LayermapError, UnknownName
from pipeline.core.registry import Registry


@dataclasses.dataclass(frozen=True)
class Dish:
    kind: str


SOUP = Dish("soup")
HERE = "tests.core.test_registry"


def menu(**entries):
    return Registry("dish", (Dish,), "kind", entries, "layermap.no_such_group")


def test_an_entry_is_had_by_its_name():
    assert menu(soup=f"{HERE}:SOUP").get("soup") is SOUP
    with pytest.raises(UnknownName, match="unknown dish 'soap'"):
        menu(soup=f"{HERE}:SOUP").get("soap")


@pytest.mark.parametrize(
    ("address", "message"),
    [
        (":STEW", "cannot be imported .* expected package.module:attribute"),
        (":Dish", r"^dish 'stew': .*:Dish is the class Dish, expected Dish; give the address of its entry$"),
        (":HERE", r"^dish 'stew': .*:HERE is a str, expected Dish; give the address of its entry$"),
        (":SOUP", r"^dish 'stew': .*:SOUP has kind 'soup'; register it under the name that it has$"),
    ],
)
def test_a_wrong_entry_is_one_line(address, message):
    with pytest.raises(LayermapError, match=message) as refused:
        menu(stew=HERE + address).get("stew")
    assert "\n" not in str(refused.value)
