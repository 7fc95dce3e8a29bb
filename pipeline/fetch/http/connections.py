"""What the downloads of a batch share: sessions, a limit per host, and the sign to stop."""

from __future__ import annotations

import contextlib
import threading
from collections import defaultdict
from collections.abc import Iterator
from urllib.parse import urlsplit

import requests

from pipeline.fetch.failures import Stopped
from pipeline.fetch.http.sessions import AnonymousSession
from pipeline.fetch.http.settings import FetchSettings


class Connections:
    """One session per thread, at most ``connections_per_host`` transfers from one host."""

    def __init__(self, settings: FetchSettings) -> None:
        self._threads = threading.local()
        self._sessions: list[requests.Session] = []
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._hosts: defaultdict[str, threading.Semaphore] = defaultdict(
            lambda: threading.Semaphore(settings.connections_per_host)
        )

    @contextlib.contextmanager
    def to(self, url: str) -> Iterator[requests.Session]:
        """A session for an address, once its host has room for another transfer."""
        with self._lock:
            room = self._hosts[urlsplit(url).netloc]
        while not room.acquire(timeout=0.2):
            self.check()
        try:
            yield self._session()
        finally:
            room.release()

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._threads, "session", None)
        if session is None:
            session = AnonymousSession()
            self._threads.session = session
            with self._lock:
                self._sessions.append(session)
        return session

    def pause(self, seconds: float) -> None:
        """Sleep, but wake up when the batch stops.

        Raises
        ------
        Stopped
            Another file of the batch has failed.
        """
        self._stop.wait(seconds)
        self.check()

    def check(self) -> None:
        if self._stop.is_set():
            raise Stopped("stopped because another file of the batch could not be fetched")

    def stop(self) -> None:
        self._stop.set()

    def close(self) -> None:
        for session in self._sessions:
            session.close()
