"""How far encoding is: a bar on a terminal; elsewhere a line now and then, as logs of several jobs are mixed."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TextIO

LINE_EVERY_S = 10.0


class FoldProgress:
    """Counts layers × folds, with time left.

    Parameters
    ----------
    what : shown in front
    n_layers, n_folds : to come; `step` is called for each fold of each layer
    stream : stderr unless a test looks on
    """

    def __init__(self, what: str, n_layers: int, n_folds: int, stream: TextIO | None = None) -> None:
        from tqdm import tqdm

        self._what, self._n_folds, self._total = what, n_folds, n_layers * n_folds
        self._stream = sys.stderr if stream is None else stream
        self._done, self._layer = 0, ""
        self._began = self._last_line = time.monotonic()
        self._text_of = tqdm.format_interval
        self._bar = tqdm(total=self._total, unit="fold", desc=what, file=stream) if self._stream.isatty() else None

    def __enter__(self) -> FoldProgress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()
        elif kind is None:
            taken = self._text_of(time.monotonic() - self._began)
            self._print(f"{self._total // self._n_folds} layers × {self._n_folds} folds in {taken}")

    def layer(self, name: str) -> None:
        """The next folds are of this layer."""
        self._layer = name
        if self._bar is not None:
            self._bar.set_postfix_str(name)

    def step(self) -> None:
        """A fold is done."""
        self._done += 1
        if self._bar is not None:
            self._bar.update()
            return
        now = time.monotonic()
        if now - self._last_line >= LINE_EVERY_S and self._done < self._total:
            self._last_line = now
            left = self._text_of((now - self._began) / self._done * (self._total - self._done))
            self._print(f"{self._done} of {self._total} folds ({self._layer}), {left} left")

    def _print(self, text: str) -> None:
        print(f"{self._what}: {text}", file=self._stream, flush=True)
