"""Asking a server: the session, how long to be patient, how to stop, and what each failure means to the user."""

from __future__ import annotations

import contextlib
import os
import random
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import requests

from ..errors import DownloadError, InputError, RunStopped

_RETRIED = {408, 425, 429, 500, 502, 503, 504}
_LONGEST_WAIT = 600.0
_TOLD_WAIT = 3.0


class Cancel:
    """Told from outside that all should end: threads look at it between pieces, and reads that hang are cut."""

    def __init__(self, asked: Callable[[], bool] | None = None) -> None:
        self._asked, self._event, self._lock = asked, threading.Event(), threading.Lock()
        self._open: set[requests.Response] = set()

    def set(self) -> None:
        """End all: also wakes threads that wait for the network."""
        self._event.set()
        with self._lock:
            for response in self._open:
                # Shutting the socket down is the one way to end a read in another thread (urllib3 2.3 and newer).
                with contextlib.suppress(Exception):
                    response.raw.shutdown()

    def check(self) -> None:
        """Raises RunStopped when it is time to end."""
        if not self._event.is_set() and self._asked is not None and self._asked():
            self._event.set()
        if self._event.is_set():
            raise RunStopped("The download was stopped.", "The same command goes on where it ended.")

    def wait(self, seconds: float) -> None:
        """Sleep, but end at once when told to."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.check()
            self._event.wait(min(left, 0.2))
        self.check()

    @contextlib.contextmanager
    def watching(self, response: requests.Response) -> Iterator[None]:
        """While this response is read, `set` can cut it."""
        with self._lock:
            self._open.add(response)
        try:
            self.check()
            yield
        finally:
            with self._lock:
                self._open.discard(response)
            response.close()


@dataclass(frozen=True)
class Patience:
    """How long and how often to try. Waits double from `base` seconds; `attempts` count without any new byte."""

    base: float = field(default_factory=lambda: float(os.environ.get("QTINKER_RETRY_BASE", "1")))
    attempts: int = 5
    # A host that was never reached is most likely offline: the user should hear so soon.
    unreached: int = 3
    connect: float = 10.0
    read: float = field(default_factory=lambda: float(os.environ.get("QTINKER_READ_TIMEOUT", "30")))
    wait: Callable[[float], None] | None = None

    def before(self, attempt: int) -> float:
        """Seconds before the next attempt, the first being number 1."""
        return min(self.base * 2 ** (attempt - 1), 60.0) * random.uniform(0.75, 1.25)


class _Session(requests.Session):
    """Proxies and certificates come from the environment; logins never do, neither .netrc's nor a token."""

    def __init__(self) -> None:
        super().__init__()
        self.auth = _only_from_url
        self.headers["Accept-Encoding"] = "identity"
        self.headers["User-Agent"] = "qtinker"

    def rebuild_auth(self, prepared_request: Any, response: Any) -> None:
        headers = prepared_request.headers
        if "Authorization" in headers and self.should_strip_auth(response.request.url, prepared_request.url):
            del headers["Authorization"]


def _only_from_url(request: Any) -> Any:
    return request


def session() -> requests.Session:
    """A session for one thread."""
    return _Session()


def public(url: str) -> str:
    """The address without a login, for messages and provenance."""
    try:
        parts = urlsplit(url)
    except ValueError:  # no address at all
        return url.rpartition("@")[2]
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def parse_retry_after(value: str | None, *, now: float | None = None) -> float | None:
    """Seconds that a Retry-After header asks to wait, in either form (a number, an HTTP date); None if it has none."""
    if not value:
        return None
    if re.fullmatch(r"\d+", value.strip()):
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - (time.time() if now is None else now))
    except (ValueError, TypeError):
        return None


class Again(Exception):
    """This attempt failed in a way that another may not; `after` is the wait that the server asked for, `host` the one
    that it was redirected to."""

    def __init__(
        self, reason: str, *, after: float | None = None, reached: bool = True, host: str | None = None
    ) -> None:
        super().__init__(reason)
        self.reason, self.after, self.reached, self.host = reason, after, reached, host


def patiently(attempt: Callable[[], Any], *, cancel: Cancel, patience: Patience, url: str,
              high_water: Callable[[], int] = lambda: 0,
              waiting: Callable[[], None] = lambda: None) -> Any:  # fmt: skip
    """Call until it succeeds; attempts that brought the transfer further than any before do not count. `waiting` is
    called before a wait that somebody would notice.

    Raises:
        DownloadError: every attempt failed; names the host and what to do.
    """
    failed, best, reached = 0, high_water(), False
    while True:
        cancel.check()
        try:
            return attempt()
        except Again as again:
            cancel.check()
            reached = reached or again.reached
            further = high_water()
            failed = 1 if further > best else failed + 1
            best = max(best, further)
            host = again.host or urlsplit(url).hostname or url
            if failed >= (patience.attempts if reached else patience.unreached):
                raise _gave_up(host, again.reason, reached=reached) from None
            seconds = patience.before(failed) if again.after is None else again.after
            if seconds > _LONGEST_WAIT:
                raise DownloadError(
                    f"{host} asks to wait {seconds / 60:.0f} minutes before the next request.",
                    "Run the same command again later; it goes on where it ended.",
                ) from None
            if seconds > _TOLD_WAIT:
                waiting()
            (patience.wait or cancel.wait)(seconds)


def _gave_up(host: str, reason: str, *, reached: bool) -> DownloadError:
    if reached:
        return DownloadError(f"{host} failed again and again: {reason}.", "Run the same command again to go on.")
    return DownloadError(
        f"Can't reach {host}: {reason}.",
        "Check the network or the proxy (HTTPS_PROXY), name a mirror (QTINKER_GCS for Google's checkpoints, "
        "HF_ENDPOINT for the Hub), or bring a copy in: python3 app import FOLDER-OR-ZIP",
    )


def request(http: requests.Session, url: str, *, patience: Patience, headers: dict[str, str] | None = None,
            cancel: Cancel) -> requests.Response:  # fmt: skip
    """One GET, its body not read yet.

    Raises:
        Again: it may work next time.
        DownloadError: it will not.
    """
    try:
        host = urlsplit(url).hostname or url
        response = http.get(url, headers=headers, stream=True, timeout=(patience.connect, patience.read))
    except requests.exceptions.SSLError as error:
        raise _about_tls(_host(error, url), str(error)) from None
    except requests.exceptions.ProxyError as error:
        refused = re.search(r"Tunnel connection failed: (\d+)", str(error))
        if refused and int(refused[1]) not in _RETRIED:
            raise _refused_by_proxy(_host(error, url), int(refused[1])) from None
        raise Again(f"the proxy does not answer ({short(error)})", reached=False, host=_host(error, url)) from None
    except requests.exceptions.Timeout as error:
        raise Again("no answer in time", reached=False, host=_host(error, url)) from None
    except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema, requests.exceptions.MissingSchema) as e:
        if isinstance(e, requests.exceptions.InvalidProxyURL) or "SOCKS" in str(e):
            raise DownloadError(
                f"The proxy that the environment names can't be used ({short(e)}).",
                "Give HTTPS_PROXY the address of an http:// proxy, or unset it and ALL_PROXY.",
            ) from None
        raise _no_address(url) from None
    except ValueError:  # a bracket that is not closed, in the address or in what it redirects to
        raise _no_address(url) from None
    except requests.exceptions.TooManyRedirects:
        raise DownloadError(f"{host} redirects in circles.", "Try a mirror.") from None
    except (requests.exceptions.ConnectionError, requests.exceptions.ChunkedEncodingError) as error:
        raise Again(short(error), reached=False, host=_host(error, url)) from None
    except OSError as error:
        if "CA certificate bundle" not in str(error):
            raise
        raise DownloadError(f"{short(error)}.", "Correct or unset REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE.") from None
    if url.startswith("https:") and not response.url.startswith("https:"):
        response.close()
        raise DownloadError(f"{host} redirects to an address without encryption.", "Try another mirror.")
    status = response.status_code
    if status in (200, 206, 416):
        return response
    after = parse_retry_after(response.headers.get("Retry-After"))
    response.close()
    host = urlsplit(response.url).hostname or host
    if status == 407:
        raise _refused_by_proxy(host, status)
    if status in _RETRIED:
        raise Again(f"it answers {status} {response.reason}", after=after, host=host)
    if status in (401, 403):
        raise Refused(f"{host} refuses {public(url)} ({status}).", "No login is ever sent: try another mirror.")
    if status in (404, 410):
        raise NotThere(
            f"{host} does not have {public(url)} ({status}).", "Check the mirror's address, or leave it out."
        )
    raise DownloadError(
        f"{host} answers {status} {response.reason} for {public(url)}.", "Try again later, or a mirror."
    )


class NotThere(DownloadError):
    """The server says that there is no such file."""


class Refused(DownloadError):
    """The server says that this is not for everybody."""


def _host(error: requests.exceptions.RequestException, url: str) -> str:
    """Which host failed: the address may have been redirected to another."""
    return urlsplit(getattr(error.request, "url", None) or url).hostname or url


def _refused_by_proxy(host: str, status: int) -> DownloadError:
    if status == 407:
        fix = "Give HTTPS_PROXY your login: http://NAME:PASSWORD@PROXY:PORT."
    else:
        fix = "Have it allowed, or name a mirror (QTINKER_GCS for Google's checkpoints, HF_ENDPOINT for the Hub)."
    return DownloadError(f"The proxy does not let requests to {host} through ({status}).", fix)


def _about_tls(host: str, text: str) -> Exception:
    """What a failure of the encryption means: only some are about the certificate."""
    if "WRONG_VERSION_NUMBER" in text:
        return DownloadError(f"{host} does not speak https there.", "Correct the port, or begin it with http://.")
    if "CERTIFICATE_VERIFY_FAILED" in text or "certificate verify failed" in text or "doesn't match" in text:
        reason = re.search(r"(certificate verify failed[^(\n]*|hostname .* doesn't match [^\n]*)", text)
        return DownloadError(
            f"The certificate of {host} can't be trusted: {' '.join((reason[1] if reason else text[-160:]).split())}.",
            "Behind a company's proxy, point REQUESTS_CA_BUNDLE at its certificate.",
        )
    return Again("the encrypted connection was cut", reached=False, host=host)


def _no_address(url: str) -> InputError:
    return InputError(f"{public(url)} is no address to download from.", "It begins with https:// or http://.")


def short(error: Exception) -> str:
    """The cause at the bottom of requests' nested messages, on one line."""
    text = " ".join(str(error).split())
    for known, words in (
        ("Name or service not known", "its name is not known"), ("getaddrinfo failed", "its name is not known"),
        ("nodename nor servname", "its name is not known"), ("Temporary failure in name", "its name is not known"),
        ("Connection refused", "it refuses connections"), ("actively refused", "it refuses connections"),
        ("Network is unreachable", "the network is unreachable"), ("timed out", "no answer in time"),
        ("Connection reset", "it cut the connection"), ("Connection aborted", "it cut the connection"),
        ("Tunnel connection failed", "it can't reach it"),
        ("RemoteDisconnected", "it cut the connection"), ("IncompleteRead", "the body ended early"),
    ):  # fmt: skip
        if known in text:
            return words
    return text[-160:]
