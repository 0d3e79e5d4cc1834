"""One file over HTTP: streamed to `.part`, resumed by Range, held against what was promised.

A `.part` and the state beside it survive a killed process: the next call goes on where it ended, as long as the
server still has the same file (If-Range on its ETag).
"""

from __future__ import annotations

import errno
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3

from ..errors import DownloadError
from ..model_folder import write_text
from .checksums import Promise
from .http import Again, Cancel, Patience, patiently, public, request, short

_PIECE = 1 << 16


@dataclass(frozen=True)
class Received:
    """What came with a file: the headers of all answers on the way (lower case), and what was verified."""

    url: str
    headers: dict[str, str]
    promise: Promise


Advance = Callable[[str, int, int | None], None]
"""Called with the phase (wait, download or verify), the bytes done and the bytes in all (None: not known)."""


def fetch(http: requests.Session, url: str, target: Path, *, promise: Promise, cancel: Cancel, patience: Patience,
          advance: Advance = lambda phase, done, total: None) -> Received:  # fmt: skip
    """The file at `url` as `target`, whole and verified. What is already in `target.part` is not fetched again.
    The state stays beside the file until the caller removes both.

    Raises:
        DownloadError: it can't be had, or twice was not what was promised.
        RunStopped: `cancel` was set; the `.part` stays for the next time.
    """
    transfer = _Transfer(http, url, target, promise, cancel, patience, advance)
    if target.exists():
        # Fetched by a process that ended before it could use it: verified again, not fetched again.
        target.replace(transfer.part)
    for last in (False, True):
        received = patiently(
            transfer.attempt, cancel=cancel, patience=patience, url=url, high_water=lambda: transfer.furthest,
            waiting=lambda: advance("wait", transfer.furthest, None),
        )  # fmt: skip
        total = transfer.part.stat().st_size
        verified = 0

        def count(read: int, total: int = total) -> None:
            nonlocal verified
            verified += read
            cancel.check()
            advance("verify", verified, total)

        wrong = received.promise.broken_by(transfer.part, advance=count)
        if not wrong:
            transfer.part.replace(target)
            return received
        transfer.forget()
        if last:
            raise DownloadError(
                f"{public(url)} is not what was promised, twice: {'; '.join(wrong)}.",
                "The file was deleted. Try again later, or another mirror.",
            )
    raise AssertionError("unreachable")


class _Transfer:
    """The `.part`, its state on disk and the attempts that make it grow."""

    def __init__(self, http: requests.Session, url: str, target: Path, promise: Promise, cancel: Cancel,
                 patience: Patience, advance: Advance) -> None:  # fmt: skip
        self.http, self.url, self.promise, self.cancel = http, url, promise, cancel
        self.patience, self.advance, self.furthest = patience, advance, 0
        self.part = target.with_name(target.name + ".part")
        self.state = target.with_name(target.name + ".part.json")

    def forget(self) -> None:
        """Start from nothing next time."""
        self.part.unlink(missing_ok=True)
        self.state.unlink(missing_ok=True)
        self.furthest = 0

    def _remembered(self) -> dict[str, Any]:
        """The state of a part that can be gone on with; empty when it has to start anew."""
        try:
            state = json.loads(self.state.read_text(encoding="utf-8"))
            size = self.part.stat().st_size
        except (OSError, ValueError):
            return {}
        if not isinstance(state, dict) or not isinstance(state.get("validator"), str) or not size:
            return {}
        total, headers = state.get("total"), state.get("headers")
        if not isinstance(headers, dict) or (isinstance(total, int) and size > total):
            return {}
        # From another address only if a hash will tell in the end whether both had the same file.
        known = self.promise.sha256 or "x-goog-hash" in headers or "x-linked-etag" in headers
        return state if known or state.get("url") == public(self.url) else {}

    def attempt(self) -> Received:
        """Bring the part to its end, or raise Again. What came so far stays."""
        state = self._remembered()
        have = self.part.stat().st_size if state else 0
        if state and have == state.get("total"):
            return Received(self.url, state.get("headers", {}), self._promise(state.get("headers", {}), have))
        headers = {"Range": f"bytes={have}-", "If-Range": state["validator"]} if state else {}
        response = request(self.http, self.url, patience=self.patience, headers=headers, cancel=self.cancel)
        with self.cancel.watching(response):
            if response.status_code == 416:
                self.forget()
                raise Again("it does not have the rest of the file")
            if response.status_code == 200 and response.headers.get("Content-Type", "").startswith("text/html"):
                raise DownloadError(  # what came so far stays
                    f"{urlsplit(self.url).hostname} sends a web page instead of {public(self.url)}: perhaps a login "
                    "page of the network or the proxy.",
                    "Open the address in a browser, or try another network or mirror.",
                )
            every = _all_headers(response)
            start, total = _extent(response, have)
            encoded = _is_encoded(response)
            if total is None and not encoded and response.status_code == 200:
                total = self.promise.bytes  # a server that does not say where the body ends
            validator = None if encoded else _validator(response.headers)  # a range would be one of other bytes
            ranged = response.status_code == 206
            if ranged and (start != have or (state and validator not in (None, state["validator"]))):
                self.forget()
                raise Again("it sent another part than the one asked for")
            if ranged and state:
                every = state.get("headers", {}) | every
                total = total if total is not None else state.get("total")
                validator = state["validator"]
            else:
                have = 0
            if self.promise.bytes is not None and total is not None and total != self.promise.bytes:
                raise DownloadError(
                    f"{public(self.url)} has {total:,} bytes where {self.promise.bytes:,} were promised.",
                    "Try another mirror, or leave it out.",
                )
            promise = self._promise(every, total)
            kept = {"url": public(self.url), "validator": validator, "total": total, "headers": every}
            # The state first: a part without its state is started anew, never gone on with blindly.
            try:
                if not have:
                    self.part.unlink(missing_ok=True)
                write_text(self.state, json.dumps(kept))
            except OSError as error:
                raise _unwritable(self.state, error) from None
            have = self._stream(response, have, total)
        if total is not None and have != total:
            raise Again(f"the line broke after {have:,} of {total:,} bytes")
        return Received(self.url, every, promise)

    def _promise(self, headers: dict[str, str], total: int | None) -> Promise:
        promise = self.promise.with_headers(headers)
        return replace(promise, bytes=promise.bytes if promise.bytes is not None else total)

    def _stream(self, response: requests.Response, have: int, total: int | None) -> int:
        self.advance("download", have, total)
        try:
            with self.part.open("ab") as file:
                for piece in _pieces(response):
                    file.write(piece)
                    have += len(piece)
                    self.cancel.check()
                    self.furthest = max(self.furthest, have)
                    if total is not None and have > total:
                        raise DownloadError(f"{public(self.url)} sends more bytes than it announced.", "Try a mirror.")
                    self.advance("download", have, total)
        except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError) as error:
            self.cancel.check()
            raise Again(f"the line broke after {have:,} bytes ({short(error)})") from None
        except OSError as error:
            if not isinstance(error, ConnectionError | TimeoutError):
                raise _unwritable(self.part, error) from None
            raise Again(f"the line broke after {have:,} bytes") from None
        # A read that was cut by `set` may look like an orderly end.
        self.cancel.check()
        return have


def _unwritable(path: Path, error: OSError) -> DownloadError:
    denied = error.errno in (errno.EACCES, errno.EPERM, errno.EROFS)
    fix = "Give yourself the right, or set QTINKER_HOME." if denied else "Free some space."
    return DownloadError(f"Can't write {path}: {error.strerror or error}.", fix)


def _is_encoded(response: requests.Response) -> bool:
    return response.headers.get("Content-Encoding", "identity") not in ("", "identity")


def _pieces(response: requests.Response) -> Iterator[bytes]:
    """The body as it comes: each piece is what one read of the socket gave, so that nothing that came is lost when
    the line breaks. A body that a proxy compressed against our wish is decompressed by requests."""
    if _is_encoded(response):
        yield from response.iter_content(_PIECE)
        return
    while piece := response.raw.read1(_PIECE):
        yield piece


def _all_headers(response: requests.Response) -> dict[str, str]:
    """Of every answer on the way: the Hub says what it promises in the redirect, the storage behind it in the end."""
    every: dict[str, str] = {}
    for answer in (*response.history, response):
        every |= {key.lower(): value for key, value in answer.headers.items()}
    wanted = ("etag", "x-goog-hash", "x-linked-etag", "x-repo-commit", "last-modified", "content-type")
    return {key: value for key, value in every.items() if key in wanted}


def _validator(headers: Any) -> str | None:
    """What If-Range may carry: a strong ETag, else the time of the last change; None: this file can't be resumed."""
    etag = headers.get("ETag", "")
    if etag and not etag.startswith("W/"):
        return str(etag)
    modified = headers.get("Last-Modified")
    return str(modified) if modified else None


def _extent(response: requests.Response, have: int) -> tuple[int, int | None]:
    """(first byte, bytes in all) of what the response holds."""
    if response.status_code == 206:
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", "").strip())
        if not match:
            return -1, None
        return int(match[1]), None if match[2] == "*" else int(match[2])
    length = response.headers.get("Content-Length", "")
    return 0, int(length) if length.isdigit() and not _is_encoded(response) else None
