"""YAML files that are asked for by name or path: studies and recipes."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from pipeline.core.errors import BadConfiguration, UnknownName
from pipeline.formats.documents import read_yaml


@dataclasses.dataclass(frozen=True)
class NamedFiles:
    """The files of one kind that come with layermap, and any other by its path.

    Parameters
    ----------
    what, plural : what one is called in messages, and several are
    folder : of those that come with layermap, ``NAME.yaml``
    keys : that every file has, in words
    """

    what: str
    plural: str
    folder: Path
    keys: str

    def known(self) -> list[str]:
        """Names, in alphabetical order."""
        return sorted(path.stem for path in self.folder.glob("*.yaml"))

    def file(self, name: str) -> Path:
        """A path that ends in .yaml as it is, or the file of a name.

        Raises
        ------
        UnknownName, BadConfiguration
            There is none; the message names the closest.
        """
        if name.endswith((".yaml", ".yml")):
            path = Path(name)
            if not path.is_file():
                raise BadConfiguration(
                    f"{self.what} file {name} does not exist; give a path or one of: {', '.join(self.known())}"
                )
            return path
        if name not in self.known():
            remedy = f"{self.plural} lie in {self.folder}; a path ending in .yaml works too"
            raise UnknownName(self.what, name, self.known(), remedy)
        return self.folder / f"{name}.yaml"

    def read(self, name: str) -> tuple[Path, dict[Any, Any]]:
        """A file and the mapping that it holds; raises as `file` and `read_yaml`."""
        path = self.file(name)
        raw = read_yaml(path)
        if not isinstance(raw, dict):
            raise BadConfiguration(f"{path} must hold a mapping with the keys {self.keys}")
        return path, raw
