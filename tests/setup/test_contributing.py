"""CONTRIBUTING.md names files and rooms that are there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
SECTIONS = dict(part.split("\n", 1) for part in TEXT.split("\n## ")[1:])
CHANGES = SECTIONS["Which files a change takes"]
HOUSE = SECTIONS["The house"]
FILE = re.compile(r"`([\w./-]+(?:/|\.(?:py|md|toml|yaml)))`")


def rooms():
    """Each room of the house, and each folder that its row names within it."""
    for room, what in re.findall(r"^\| `(\w+)/` \| (.*) \|$", HOUSE.partition("beside it")[0], re.MULTILINE):
        yield room
        yield from (f"{room}/{folder}" for folder in re.findall(r"`(\w+)/`", what))


@pytest.mark.parametrize("named", sorted(set(FILE.findall(CHANGES))))
def test_files_that_a_change_takes_are_there(named):
    if "NAME" in named:
        named = named.partition("NAME")[0]
    places = [ROOT / named, ROOT / "pipeline" / named, ROOT / "pipeline" / "encoding" / "mappings" / named]
    assert any(place.exists() for place in places)


@pytest.mark.parametrize("room", list(rooms()))
def test_rooms_of_the_house_are_there(room):
    assert (ROOT / "pipeline" / room).is_dir()


def test_every_room_is_in_the_house():
    found = {path.name for path in (ROOT / "pipeline").iterdir() if (path / "__init__.py").is_file()}
    assert found == {room for room in rooms() if "/" not in room}
