"""Checksums inside artifacts: what is read is what was written, or an error that names the file.

They are CRC32C (Castagnoli), which a processor computes at about 10 GB/s, ten times as fast as SHA-256. Flipped
bits, lost blocks and files that took each other's place are found; somebody who forges an artifact can forge its
checksums too.

A NetCDF artifact has one checksum for the values of each variable, and one for all that describes them: names, dims,
types and attributes. They are of the contents, not of the file's bytes, so that HDF5 may lay them out as it likes.
They lie in attr ``checksums``, as JSON: name → 8 hex digits. Where samples are read in blocks, that name holds
``{"rows": n, "crc32c": "…"}``: 8 digits for each ``n`` samples.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

ATTR = "checksums"
DESCRIPTION = ""
"""The name under which the checksum of all that describes the values lies: no variable can have it."""
BLOCK_BYTES = 1 << 20
MOST_BLOCKS = 4096
"""HDF5 keeps no attribute of more than 64 KiB beside its dataset."""


def crc32c(data: Any, before: int = 0) -> int:
    """CRC32C of bytes, or of the memory of a C-contiguous array.

    Parameters
    ----------
    before : CRC32C of what comes before them

    References
    ----------
    RFC 3720, appendix B.4
    """
    import google_crc32c

    return int(google_crc32c.extend(before, data))


def of_description(dataset: xr.Dataset) -> str:
    """Checksum of names, dims, shapes, types and attributes, those of the dataset included; no value is read."""
    described = {
        "attrs": {name: _plain(value) for name, value in dataset.attrs.items() if name != ATTR},
        "coords": sorted(map(str, dataset.coords)),
        "variables": {
            str(name): [
                list(variable.dims),
                list(variable.shape),
                _type_of(variable.dtype, variable.size),
                {key: _plain(value) for key, value in variable.attrs.items()},
            ]
            for name, variable in dataset.variables.items()
        },
    }
    return _hex(crc32c(json.dumps(described, sort_keys=True).encode()))


def _type_of(dtype: np.dtype, size: int) -> str:
    """Kind and bytes of a type. Nothing has none: text of which there is nothing comes back as numbers."""
    if not size:
        return "nothing"
    return "text" if dtype.kind in "OUT" else dtype.newbyteorder("=").str[1:]


def _plain(value: Any) -> Any:
    """An attribute as JSON, from Python or from HDF5 alike: no list of one, numbers of a list of one type."""
    import numpy as np

    if isinstance(value, list | tuple):
        value = np.asarray(value)
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list):
        return _plain(value[0]) if len(value) == 1 else [_plain(one) for one in value]
    return int(value) if isinstance(value, bool) else value


def of_values(values: np.ndarray) -> str:
    """Checksum of an array of numbers or text, as it lies in memory: little-endian, row after row."""
    import numpy as np

    if not values.size:
        return _hex(0)
    if values.dtype.kind in "OUT":
        return _hex(crc32c("\0".join(map(str, np.ravel(values).tolist())).encode("utf-8", "surrogatepass")))
    return _hex(crc32c(_contiguous(values)))


def of_blocks(values: np.ndarray | xr.Variable, rows: int) -> str:
    """Checksums of every ``rows`` samples of ``([repeat,] sample, target)``, 8 hex digits each.

    Parameters
    ----------
    values : two or three dims of which the last but one is ``sample``; may lie in a file, from which blocks are read
    """
    starts = range(0, values.shape[-2], rows)
    return "".join(_of_block(values[..., start : start + rows, :]) for start in starts)


def _of_block(part: np.ndarray | xr.Variable) -> str:
    import numpy as np

    block: np.ndarray = part if isinstance(part, np.ndarray) else part.values
    checksum = 0
    for repeat in block if block.ndim == 3 else [block]:
        checksum = crc32c(_contiguous(repeat), checksum)
    return _hex(checksum)


def rows_of_blocks(values: xr.DataArray) -> int:
    """Samples in each block of ``([repeat,] sample, target)``: about `BLOCK_BYTES` of one repeat."""
    n_samples, n_targets = values.shape[-2:]
    rows = max(1, BLOCK_BYTES // max(1, n_targets * values.dtype.itemsize))
    return max(rows, -(-n_samples // MOST_BLOCKS))


def _contiguous(values: np.ndarray) -> np.ndarray:
    import numpy as np

    little = values.astype(values.dtype.newbyteorder("<"), copy=False)
    flat = np.ascontiguousarray(little).reshape(-1)
    return flat.view(np.uint8) if flat.size else np.empty(0, np.uint8)


def _hex(checksum: int) -> str:
    return f"{checksum:08x}"


def checksums_of(dataset: xr.Dataset, in_blocks: Collection[str] = ()) -> str:
    """What attr ``checksums`` of a dataset has to hold.

    Parameters
    ----------
    in_blocks : variables ``([repeat,] sample, target)`` that are read in blocks of samples, the same for all of them
    """
    found: dict[str, Any] = {DESCRIPTION: of_description(dataset)}
    rows = min((rows_of_blocks(dataset[name]) for name in in_blocks), default=0)
    for name, variable in dataset.variables.items():
        if name in in_blocks:
            found[str(name)] = {"rows": rows, "crc32c": of_blocks(variable, rows)}
        else:
            found[str(name)] = of_values(variable.values)
    return json.dumps(found, sort_keys=True, separators=(",", ":"))


class Checksums:
    """The checksums that an artifact states.

    Parameters
    ----------
    stated : attr ``checksums`` of the artifact

    Raises
    ------
    ValueError
        It is not what `checksums_of` writes.
    """

    def __init__(self, stated: object) -> None:
        found = json.loads(stated) if isinstance(stated, str) else None
        if not isinstance(found, dict):
            raise ValueError(f"attr {ATTR} is no JSON mapping")
        self._stated: dict[str, Any] = found

    def describes(self, dataset: xr.Dataset) -> bool:
        """Whether names, dims, types and attributes are as stated."""
        return bool(self._stated.get(DESCRIPTION) == of_description(dataset))

    def holds(self, name: str, values: np.ndarray) -> bool:
        """Whether all values of a variable are as stated."""
        stated = self._stated.get(name)
        if isinstance(stated, dict):
            return bool(of_blocks(values, self.rows(name)) == stated.get("crc32c"))
        return bool(stated == of_values(values))

    def rows(self, name: str) -> int:
        """Samples in each block of a variable that is read in blocks; raises `ValueError` for any other."""
        stated = self._stated.get(name)
        rows = stated.get("rows") if isinstance(stated, dict) else None
        if not isinstance(rows, int) or rows < 1:
            raise ValueError(f"attr {ATTR} does not say how many samples of {name} belong together")
        return rows

    def holds_blocks(self, name: str, first: int, values: np.ndarray) -> bool:
        """Whether whole blocks of a variable are as stated.

        Parameters
        ----------
        first : number of the first block
        values : ``([repeat,] sample, target)``, from the first sample of that block on
        """
        found = of_blocks(values, self.rows(name))
        return bool(self._stated[name]["crc32c"][8 * first : 8 * first + len(found)] == found)


def whole_blocks(samples: slice, rows: int, n_samples: int) -> slice:
    """The whole blocks of ``rows`` samples that some samples lie in."""
    return slice(samples.start // rows * rows, min(-(-samples.stop // rows) * rows, n_samples))
