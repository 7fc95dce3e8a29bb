"""Every kind of artifact that a stage reads: where the campaign's studies have it, and which stages read it."""

from __future__ import annotations

import dataclasses

SCORED = ("encode", "compare")


@dataclasses.dataclass(frozen=True)
class Door:
    """A kind of artifact.

    Parameters
    ----------
    where : study → pattern of its paths; stores are folders
    readers : stages that open it, one of which is drawn; ``scored`` stands for encode or compare
    """

    name: str
    where: dict[str, str]
    readers: tuple[str, ...]

    @property
    def is_store(self) -> bool:
        return any(pattern.endswith(".zarr") for pattern in self.where.values())

    @property
    def is_json(self) -> bool:
        return all(pattern.endswith(".json") for pattern in self.where.values())


DOORS = (
    Door("raw file", {"pictures": "data/raw/files/*/**/*.*", "movie": "data/raw/files/*/**/*.*"}, ("fetch", "prepare")),
    Door(
        "raw file of a server",
        {"likeness": "data/raw/likeness/*.npy", "listeners": "data/raw/openneuro/ds999999/**/*.*"},
        ("fetch", "prepare"),
    ),
    Door("digest beside a raw file", {"likeness": "data/raw/likeness/*.npy.sha256"}, ("fetch", "prepare")),
    Door("weights", {"pictures": "data/raw/weights/net-*/model.safetensors"}, ("fetch", "activate")),
    Door("receipt of weights", {"pictures": "data/raw/weights/net-*/receipt.json"}, ("fetch", "activate")),
    Door("receipt", dict.fromkeys(("pictures", "likeness"), "data/raw/*/receipt-*.json"), ("prepare", "report")),
    Door(
        "catalogue",
        dict.fromkeys(("pictures", "movie", "likeness", "listeners"), "data/catalogue/*-*.json"),
        ("fetch", "prepare", "activate", "scored", "map", "report"),
    ),
    Door("memo of digests", {"pictures": "data/catalogue/digests.json"}, ("catalogue", "prepare", "scored")),
    Door(
        "stimulus",
        dict.fromkeys(("pictures", "movie", "listeners"), "data/prepared/*/*/stimuli/*.zarr"),
        ("activate",),
    ),
    Door("recording", dict.fromkeys(("pictures", "movie"), "data/prepared/*/*/recordings/*.nc"), ("scored",)),
    Door("recording written in parts", {"listeners": "data/prepared/*/*/recordings/*.nc"}, ("scored",)),
    Door("geometry", {"likeness": "data/prepared/*/*/recordings/*.nc"}, ("scored",)),
    Door(
        "activations",
        dict.fromkeys(("pictures", "movie", "likeness"), "data/activations/*/*.zarr"),
        ("scored",),
    ),
    Door("encoding scores", dict.fromkeys(("pictures", "movie"), "data/scores/*/*/*/*.nc"), ("map", "report")),
    Door("geometry scores", {"likeness": "data/scores/*/*/*/*.nc"}, ("map", "report")),
    Door("identifiability", {"pictures": "data/identifiability/*/*/*.nc"}, ("map",)),
    Door("map", dict.fromkeys(("pictures", "likeness"), "data/maps/*.nc"), ("report",)),
    Door("table of the map", dict.fromkeys(("pictures", "likeness"), "data/maps/*.csv"), ("report",)),
    Door("digests of the map", dict.fromkeys(("pictures", "likeness"), "data/maps/*.sha256"), ("report",)),
)
STORES = tuple(door for door in DOORS if door.is_store)
DOCUMENTS = tuple(door for door in DOORS if door.is_json)
