"""The loss curve while it is made: events for TensorBoard, where that is installed.

The curve itself is a CSV file among the results. `tensorboard --logdir logs/train` shows these.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from pipeline.artifacts.storage.store import remove

if TYPE_CHECKING:
    from pipeline.training.ranks import Ranks


class CurveLog:
    """Rows of a curve as they come; closes itself.

    Parameters
    ----------
    folder : of this training's events; older ones are replaced, since a training that goes on tells all its rows again
    ranks : only the first process writes
    """

    def __init__(self, folder: Path, ranks: Ranks) -> None:
        self._writer: Any = None
        if ranks.is_first and importlib.util.find_spec("tensorboard") is not None:
            from torch.utils.tensorboard import SummaryWriter

            remove(folder)
            self._writer = SummaryWriter(str(folder))

    def add(self, row: dict[str, float]) -> None:
        """One point of every column at the row's step."""
        if self._writer is not None:
            for name, value in row.items():
                if name != "step":
                    self._writer.add_scalar(name, value, int(row["step"]))

    def __enter__(self) -> CurveLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.close()
