"""What stands in for numpy while a pickle is read: plain records that are checked, never numpy's own functions.

numpy's ``dtype.__setstate__`` and ``ndarray.__setstate__`` believe what a pickle says; one forged flag makes numbers
pass for pointers, and the process reads memory that is not its own.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

ITEM_BYTES = {"f8": 8, "f4": 4, "i8": 8, "i4": 4, "u1": 1, "b1": 1}
"""Types of numbers that are read."""
MOST_DIMENSIONS = 32
# version, byte order, subarray, names, fields, item size, alignment, flags: those of a plain number
_PLAIN = ((3, "<"), (3, ">"), (3, "|"), (3, "="))
_PLAIN_REST = (None, None, None, -1, -1, 0)


class NotPlain(ValueError):
    """A pickle says of an array what cannot be said of an array of plain numbers."""


class PickledDtype:
    """``numpy.dtype``: the type of a number and its byte order."""

    def __init__(self, text: object, align: object = False, copy: object = False) -> None:
        if not isinstance(text, str) or text not in ITEM_BYTES:
            raise NotPlain(f"its numbers are of another type than {', '.join(ITEM_BYTES)}")
        self.text: str = text
        self.order = "="

    def __setstate__(self, state: object) -> None:
        if not isinstance(state, tuple) or state[:2] not in _PLAIN or state[2:] != _PLAIN_REST:
            raise NotPlain("its numbers are described as none of numpy's plain ones are")
        self.order = state[1]

    def numbers(self, raw: bytes) -> np.ndarray:
        """The numbers in bytes, as an array of their own ``(n,)``."""
        import numpy as np

        order = "=" if self.order == "|" else self.order
        return np.frombuffer(raw, dtype=f"{order}{self.text}").copy()


class PickledArray:
    """``numpy.ndarray``: shape, type, order of axes and bytes, as soon as the pickle has told them."""

    def __init__(self) -> None:
        self.told = False
        self.shape: tuple[int, ...] = (0,)
        self.raw = b""

    def __setstate__(self, state: object) -> None:
        if not isinstance(state, tuple) or len(state) != 5:
            raise NotPlain("an array in it is not described as numpy does")
        version, shape, dtype, by_columns, raw = state
        if version != 1 or not isinstance(dtype, PickledDtype) or not isinstance(by_columns, bool):
            raise NotPlain("an array in it is not described as numpy does")
        if not isinstance(shape, tuple) or len(shape) > MOST_DIMENSIONS or not all(map(_is_size, shape)):
            raise NotPlain("an array in it has no shape")
        n_bytes = math.prod(shape) * ITEM_BYTES[dtype.text]
        if not isinstance(raw, bytes) or len(raw) != n_bytes:
            raise NotPlain(f"an array of shape {shape} in it has not the {n_bytes} bytes that it needs")
        self.told, self.shape, self.dtype, self.raw = True, shape, dtype, raw
        self.order: Any = "F" if by_columns else "C"

    def array(self) -> np.ndarray:
        """The array itself; it shares no memory.

        Raises
        ------
        NotPlain
            The pickle ended before it told what is in it.
        """
        if not self.told:
            raise NotPlain("an array in it is empty")
        return self.dtype.numbers(self.raw).reshape(self.shape, order=self.order)


def _is_size(value: object) -> bool:
    return type(value) is int and value >= 0


def reconstruct(kind: object, shape: object, code: object) -> PickledArray:
    """``numpy.core.multiarray._reconstruct``: an array whose contents follow."""
    if kind is not PickledArray or shape != (0,) or code != b"b":
        raise NotPlain("an array in it does not begin as numpy's do")
    return PickledArray()


def scalar(dtype: object, raw: object) -> float | int | bool:
    """``numpy.core.multiarray.scalar``: one number."""
    if not isinstance(dtype, PickledDtype) or not isinstance(raw, bytes) or len(raw) != ITEM_BYTES[dtype.text]:
        raise NotPlain("a number in it is not described as numpy does")
    number: float | int | bool = dtype.numbers(raw)[0].item()
    return number
