"""Progress of a batch on stderr: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from typing import TextIO

from pipeline.core.limits import size_in_words

LINE_EVERY_S = 10.0
LINE_EVERY_PERCENT = 10.0


def human_time(seconds: float) -> str:
    """``3725`` → ``1:02:05``."""
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


class Progress:
    """Bytes so far and time left of a batch, safe to call from several threads.

    Parameters
    ----------
    what : shown in front, e.g. ``fetch alice``
    total_bytes : what the batch consists of; grows with ``expect`` where sizes were not known
    stream : stderr unless a test looks on
    """

    def __init__(self, what: str, total_bytes: int = 0, stream: TextIO | None = None) -> None:
        self.what = what
        self.total_bytes = total_bytes
        self.done_bytes = 0
        self._stream = stream if stream is not None else sys.stderr
        self._lock = threading.RLock()
        self._began = self._last_line = time.monotonic()
        self._last_percent = 0.0
        self._bar = None
        if self._stream.isatty() and total_bytes:
            from tqdm import tqdm  # type: ignore[import-untyped, unused-ignore]

            self._bar = tqdm(total=total_bytes, unit="B", unit_scale=True, desc=what, file=self._stream)

    def expect(self, n_bytes: int) -> None:
        """A file of formerly unknown size turned out to have so many bytes."""
        with self._lock:
            self.total_bytes += n_bytes
            if self._bar is not None:
                self._bar.total = self.total_bytes

    def advance(self, n_bytes: int) -> None:
        """So many bytes more are there; negative when a file starts over."""
        with self._lock:
            self.done_bytes += n_bytes
            if self._bar is not None:
                self._bar.update(n_bytes)
            elif self.total_bytes:
                self._line_now_and_then()

    def _line_now_and_then(self) -> None:
        now = time.monotonic()
        percent = 100 * self.done_bytes / self.total_bytes
        waited_s = now - self._last_line
        if waited_s < 1 or (waited_s < LINE_EVERY_S and percent - self._last_percent < LINE_EVERY_PERCENT):
            return
        self._last_line, self._last_percent = now, percent
        rate = self.done_bytes / max(now - self._began, 1e-9)
        left = f", {human_time((self.total_bytes - self.done_bytes) / rate)} left" if rate > 0 else ""
        done = f"{size_in_words(self.done_bytes)} of {size_in_words(self.total_bytes)}"
        self._print(f"{self.what}: {done} ({percent:.0f} %){left}")

    def say(self, line: str) -> None:
        """Print a line that the bar does not overwrite."""
        with self._lock:
            if self._bar is not None:
                self._bar.write(line, file=self._stream)
            else:
                self._print(line)

    def _print(self, line: str) -> None:
        print(line, file=self._stream, flush=True)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
