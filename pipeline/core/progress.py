"""How far something is, on stderr: a bar on a terminal, a line now and then elsewhere, where logs are mixed."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator
from typing import TextIO

from pipeline.core.limits import size_in_words

BYTES = "B"
LINE_EVERY_S = 10.0
LINE_EVERY_PERCENT = 10.0
"""Lines of bytes come after so many percent, too, at most one in a second."""


def human_time(seconds: float) -> str:
    """``3725`` → ``1:02:05``."""
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


class Progress:
    """What is done so far and the time left, safe to call from several threads.

    Parameters
    ----------
    what : shown in front, e.g. ``fetch alice``
    total : bytes, or of another unit, that there are to do; grows with ``expect`` where they were not known
    stream : stderr unless a test looks on
    unit : ``BYTES``, or what is counted one by one, e.g. ``fold``
    """

    def __init__(self, what: str, total: int = 0, stream: TextIO | None = None, *, unit: str = BYTES) -> None:
        self.what = what
        self.total = total
        self.done = 0
        self._unit = unit
        self._at = ""
        self._stream = stream if stream is not None else sys.stderr
        self._lock = threading.RLock()
        self._began = self._last_line = time.monotonic()
        self._last_percent = 0.0
        self._bar = None
        if self._stream.isatty() and total:
            from tqdm import tqdm  # type: ignore[import-untyped, unused-ignore]

            self._bar = tqdm(total=total, unit=unit, unit_scale=unit == BYTES, desc=what, file=self._stream)

    def expect(self, n: int) -> None:
        """So many more turned out to come, e.g. the bytes of a file of formerly unknown size."""
        with self._lock:
            self.total += n
            if self._bar is not None:
                self._bar.total = self.total

    def advance(self, n: int = 1) -> None:
        """So many more are done; negative when a file starts over."""
        with self._lock:
            self.done += n
            if self._bar is not None:
                self._bar.update(n)
            elif self.total:
                self._line_now_and_then()

    def at(self, name: str) -> None:
        """Those that follow belong to this, e.g. a layer."""
        with self._lock:
            self._at = name
            if self._bar is not None:
                self._bar.set_postfix_str(name)

    def _line_now_and_then(self) -> None:
        now = time.monotonic()
        percent = 100 * self.done / self.total
        waited_s = now - self._last_line
        if self._unit == BYTES:
            due = waited_s >= LINE_EVERY_S or (waited_s >= 1 and percent - self._last_percent >= LINE_EVERY_PERCENT)
        else:
            due = waited_s >= LINE_EVERY_S and self.done < self.total  # the last is said by who began
        if due:
            self._last_line, self._last_percent = now, percent
            self._print(f"{self.what}: {self._done_in_words(percent)}{self._left(now)}")

    def _done_in_words(self, percent: float) -> str:
        if self._unit == BYTES:
            return f"{size_in_words(self.done)} of {size_in_words(self.total)} ({percent:.0f} %)"
        return f"{self.done} of {self.total} {self._unit}s ({self._at})"

    def _left(self, now: float) -> str:
        rate = self.done / max(now - self._began, 1e-9)
        return f", {self._time((self.total - self.done) / rate)} left" if rate > 0 else ""

    def _time(self, seconds: float) -> str:
        """``1:05`` beside bytes; ``01:05`` elsewhere, as on the bar."""
        return human_time(seconds) if self._unit == BYTES else human_time(seconds).zfill(len("00:00"))

    def say(self, line: str) -> None:
        """Print a line that the bar does not overwrite."""
        with self._lock:
            if self._bar is not None:
                self._bar.write(line, file=self._stream)
            else:
                self._print(line)

    def finish(self, what: str) -> None:
        """Say in a log what is done and how long it took; a bar shows it."""
        if self._bar is None:
            self._print(f"{self.what}: {what} in {self._time(time.monotonic() - self._began)}")

    def _print(self, line: str) -> None:
        print(line, file=self._stream, flush=True)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


@contextlib.contextmanager
def progress_of_folds(what: str, n_layers: int, n_folds: int, stream: TextIO | None = None) -> Iterator[Progress]:
    """Progress of the fits of layers × folds, which says at the end how long they took."""
    progress = Progress(what, n_layers * n_folds, stream, unit="fold")
    try:
        yield progress
        progress.finish(f"{n_layers} layers × {n_folds} folds")
    finally:
        progress.close()
