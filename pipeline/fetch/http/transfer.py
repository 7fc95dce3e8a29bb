"""One address into one ``.part`` file: ranges, retries, stalls, and answers that are not the file."""

from __future__ import annotations

import errno
import os
import re
import shutil
from dataclasses import replace

import requests
import urllib3.exceptions
from requests import Response

from pipeline.artifacts.catalogue import RawFile
from pipeline.core.progress import Progress
from pipeline.fetch.annex import is_pointer, pointer_refused
from pipeline.fetch.checks.digests import is_html, is_pinned, may_be_html
from pipeline.fetch.failures import OtherVersion, Transient, Unavailable
from pipeline.fetch.http.answers import (
    BadAnswer,
    Promise,
    check_encoding,
    md5_in_etag,
    part_of,
    refused_total,
    tells_its_end,
    validator_of,
    whole_of,
)
from pipeline.fetch.http.connections import Connections
from pipeline.fetch.http.part_file import GrowingPart, PartFile, PartNote
from pipeline.fetch.http.questions import check_status, open_address, read_on
from pipeline.fetch.http.settings import FetchSettings

_UNSTATED = "a file of no published size may have here"


class HttpTransfer:
    """Bring ``part`` to the full length that the server has, over as many attempts as it takes.

    Parameters
    ----------
    url : address of the file, public or within an http mirror
    expected : size and digests, as far as known
    """

    def __init__(
        self,
        url: str,
        part: PartFile,
        expected: RawFile,
        *,
        settings: FetchSettings,
        connections: Connections,
        progress: Progress,
    ) -> None:
        self.url = url
        self.part = part
        self.expected = expected
        self.settings = settings
        self.connections = connections
        self.progress = progress
        self._counted = 0
        self._announced: int | None = expected.bytes
        self._known = expected.bytes is not None or is_pinned(expected)

    def run(self) -> None:
        """Transfer the file; the bytes are not checked against digests here.

        Raises
        ------
        Unavailable
            The server refuses, answers with something else, or gave no new byte in ``retries + 1`` attempts.
        OSError
            The bytes could not be written.
        """
        if not is_pinned(self.expected):
            self.part.keep_known()
        patience, furthest, started_again = self.settings.patience, self.part.size(), False
        if furthest and furthest == self.expected.bytes and is_pinned(self.expected):
            return self._count_to(furthest)  # killed between the last byte and the rename; the digest decides
        while True:
            try:
                with self.connections.to(self.url) as session:
                    self._attempt(session)
                return
            except Unavailable:
                self._count_to(0)
                raise
            except OtherVersion as error:
                self.part.discard()
                self._count_to(0)
                furthest = 0
                if started_again:  # a server that never goes on where it stopped does not keep anybody for ever
                    raise Unavailable(f"{self.url}: {error}") from error
                started_again = True
            except Transient as error:
                reached = self.part.size()
                if reached > furthest:
                    patience, furthest = self.settings.patience, reached
                left = patience.after(error)
                failures = len(patience.history) + 1
                # a name that does not resolve will hardly do so a minute later
                if left is None or (error.unreachable and failures > 1):
                    tries = "attempt" if failures == 1 else "attempts"
                    self._count_to(0)
                    raise Unavailable(
                        f"{self.url}: {error.reason} ({failures} {tries})", status=error.status
                    ) from error
                patience = left
                self.connections.pause(patience.pause_s(error.wait_s))

    def _attempt(self, session: requests.Session) -> None:
        headers = self._range_headers()
        with open_address(session, self.url, headers, self.settings) as response:
            if response.status_code == 416 and headers:
                return self._range_refused(response)
            check_status(response, self.url)
            if response.status_code == 206 and headers:
                promised, stream, first = self._go_on(response)
            else:
                promised, stream, first = self._begin(response)
            self._count_to(promised.first)
            with stream:
                self._copy(response, stream, first, self._most_bytes(promised))
        end = promised.total if promised.total is not None else promised.end
        if end is not None and self.part.size() != end:
            raise Transient(f"the connection ended after {self.part.size()} of {end} bytes")

    def _range_headers(self) -> dict[str, str]:
        """The question for the bytes that are missing; empty where the file is asked for from its first byte."""
        note = self._note()
        size = self.part.size()
        validator, total = (note.validator, note.total) if note is not None else (None, None)
        longest = self.expected.bytes if self.expected.bytes is not None else total
        if longest is not None and size > longest:
            self.part.discard()
            return {}
        if size == 0 or (validator is None and not is_pinned(self.expected)):
            return {}
        headers = {"Range": f"bytes={size}-"}
        if validator is not None:
            headers["If-Range"] = validator
        return headers

    def _note(self) -> PartNote | None:
        """What the bytes that are there are part of; None if they came from another address."""
        note = self.part.noted()
        return note if note is not None and note.url == self.url else None

    def _begin(self, response: Response) -> tuple[Promise, GrowingPart, bytes]:
        """An answer from the first byte on: what it promises, where it goes, and its first bytes."""
        if response.status_code == 206:
            raise Unavailable(f"{self.url}: the server sends a part (206) of what was asked for whole")
        try:
            promised = whole_of(response.headers)
            first = self._read(response)
            self._check_kind(response, first, promised.total)
            check_encoding(response.headers, self.expected.path, first)
        except BadAnswer as error:
            raise Unavailable(f"{self.url}: {error}") from error
        if not self._known and not tells_its_end(response.headers):
            raise Unavailable(
                f"{self.url}: the server does not tell how long the file is, so that a cut one would pass for whole"
            )
        self._check_length(promised.total)
        stream = self.part.start(
            PartNote(
                url=self.url,
                validator=validator_of(response.headers),
                total=promised.total,
                md5=md5_in_etag(self.expected.url, response.headers),
            )
        )
        return promised, stream, first

    def _go_on(self, response: Response) -> tuple[Promise, GrowingPart, bytes]:
        """An answer that goes on where the part ends; of another version of the file, it is not taken."""
        note = self._note()
        try:
            promised = part_of(response.headers, self.part.size())
            check_encoding(response.headers, self.expected.path)
            if note is not None:
                self._check_version(response, note, promised)
                promised = replace(promised, total=note.total if promised.total is None else promised.total)
            if promised.total is None and not self._known:
                raise BadAnswer("the server does not tell how long the file is")
        except BadAnswer as error:
            raise OtherVersion(str(error)) from error
        self._check_length(promised.total)
        return promised, self.part.resume(), b""

    def _check_version(self, response: Response, note: PartNote, promised: Promise) -> None:
        if None not in (note.total, promised.total) and note.total != promised.total:
            raise BadAnswer(f"the file had {note.total} bytes and now has {promised.total}")
        told = response.headers.get("ETag") or response.headers.get("Last-Modified")
        # an answer without either is trusted only where a digest decides in the end
        decided_later = told is None and is_pinned(self.expected)
        if note.validator not in (None, validator_of(response.headers)) and not decided_later:
            raise BadAnswer("the file is another version than its first bytes")

    def _range_refused(self, response: Response) -> None:
        """416: either everything is there already, or what is there is no part of this file."""
        size, note = self.part.size(), self._note()
        known = is_pinned(self.expected) or (note is not None and note.total == size)
        if known and refused_total(response.headers) == size and self.expected.bytes in (None, size):
            return self._count_to(size)
        raise OtherVersion("the server refuses to go on where the last attempt ended")

    def _check_kind(self, response: Response, first: bytes, total: int | None) -> None:
        if is_pointer(first, total):
            raise Unavailable(pointer_refused(self.url, self.expected.path))
        kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if may_be_html(self.expected.path):
            return
        if kind in ("text/html", "application/xhtml+xml") or is_html(first):
            passing = re.search(rb"<title>\s*(50[0234]\b[^<]{0,40})", first)
            if passing is not None:
                said = passing[1].decode("ascii", "replace").strip()
                raise Transient(f"the server answers with an HTML page that says '{said}'")
            raise Unavailable(
                f"{self.url} answers with an HTML page, not {self.expected.path} (an error or log-in page)"
            )

    def _check_length(self, total: int | None) -> None:
        if total is None:
            return
        if self.expected.bytes is not None and total != self.expected.bytes:
            self.part.discard()
            raise Unavailable(f"{self.url} has {total} bytes where {self.expected.bytes} were expected")
        if self.expected.bytes is None and total > self.settings.most_bytes:
            raise Unavailable(
                f"{self.url} has {total} bytes, more than the {self.settings.most_bytes} that {_UNSTATED}"
            )
        if self._announced is None:
            self._announced = total
            self.progress.expect(total)

    def _most_bytes(self, promised: Promise) -> int:
        """How long the file may become; a file of a stated length must fit on the disk.

        Of a body without a stated length at most half of what is free is taken, so that one without an end fills
        no disk.
        """
        end = promised.end if promised.end is not None else self.expected.bytes
        free = shutil.disk_usage(self.part.path.parent).free
        if end is None:
            return min(self.settings.most_bytes, free // 2)
        if end - promised.first > free:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return end

    def _copy(self, response: Response, stream: GrowingPart, first: bytes, most_bytes: int) -> None:
        chunk = first or self._read(response)
        while chunk:
            if self._counted + len(chunk) > most_bytes:
                self.part.discard()
                raise Unavailable(f"{self.url} sends more than the {most_bytes} bytes {self._bound()}")
            stream.write(chunk)
            self._count_to(self._counted + len(chunk))
            self.connections.check()
            chunk = self._read(response)

    def _bound(self) -> str:
        return "expected" if self._announced is not None else f"that {_UNSTATED}"

    def _read(self, response: Response) -> bytes:
        """The next bytes as sent, never unpacked; empty at the end."""
        try:
            return read_on(response)
        except (urllib3.exceptions.ReadTimeoutError, TimeoutError) as error:
            raise Transient(f"no byte for {self.settings.stall_timeout_s:g} s") from error
        except (urllib3.exceptions.HTTPError, ConnectionError) as error:
            of = f" of {self._announced}" if self._announced is not None else ""
            raise Transient(f"the connection broke off after {self._counted}{of} bytes") from error

    def _count_to(self, n_bytes: int) -> None:
        self.progress.advance(n_bytes - self._counted)
        self._counted = n_bytes
