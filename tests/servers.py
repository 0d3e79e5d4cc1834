"""A real local HTTP server that answers like Google's storage and the Hugging Face Hub, and misbehaves on request.

with Storage() as server:
    resource = server.put("/bert_models/x.zip", content)
    resource.mishaps = [cut(1000), status(503)]      # one for each of the next requests, then it behaves
    ... QTINKER_GCS=server.url ...
    assert server.requests[0].headers["Range"] == ...
"""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

import google_crc32c


@dataclass
class Mishap:
    """What goes wrong with one request."""

    kind: str
    number: int = 0
    headers: dict[str, str] = field(default_factory=dict)


def cut(after: int) -> Mishap:
    """The line breaks after so many bytes of the body."""
    return Mishap("cut", after)


def stall(after: int) -> Mishap:
    """Nothing more comes after so many bytes of the body, until the server is closed or the client goes."""
    return Mishap("stall", after)


def status(code: int, **headers: str) -> Mishap:
    """This status instead of the file; header names with _ for -."""
    return Mishap("status", code, {key.replace("_", "-"): value for key, value in headers.items()})


def fine() -> Mishap:
    """This request is answered properly."""
    return Mishap("fine")


@dataclass
class Resource:
    """One file that the server has, and its manners."""

    content: bytes
    headers: dict[str, str] = field(default_factory=dict)
    etag: str | None = None
    ranges: bool = True
    """False: Range is ignored, as many proxies do."""
    careless_ranges: bool = False
    """True: Range is obeyed though If-Range no longer matches, as broken caches do."""
    lengths: bool = True
    mishaps: list[Mishap] = field(default_factory=list)
    redirect: str | None = None
    """Answer 302 with this Location (which may be relative) instead of the content."""


@dataclass
class Request:
    """One request as it came."""

    path: str
    headers: dict[str, str]
    sent: int = 0


def google_hash(content: bytes) -> str:
    """`x-goog-hash` as Google's storage sends it."""
    crc = base64.b64encode(google_crc32c.Checksum(content).digest()).decode()
    md5 = base64.b64encode(hashlib.md5(content).digest()).decode()
    return f"crc32c={crc},md5={md5}"


def git_blob(content: bytes) -> str:
    """Git's hash of a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class Storage:
    """The server; a context manager. `url` is its address, `requests` what it was asked."""

    def __init__(self) -> None:
        self.resources: dict[str, Resource] = {}
        self.requests: list[Request] = []
        self.closing = threading.Event()
        self.stalled = threading.Event()
        self.lock = threading.Lock()
        storage = self

        class Handler(_Handler):
            server_storage = storage

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request, client_address):
                """Broken lines are the point here."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def __enter__(self) -> Storage:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()

    def asked(self, path: str) -> list[Request]:
        """The requests for one path."""
        return [request for request in self.requests if request.path == path]

    def put(self, path: str, content: bytes, *, google: bool = False, **more: object) -> Resource:
        """Serve a file; `google` adds the headers of Google's storage."""
        resource = Resource(content, **more)  # type: ignore[arg-type]
        if resource.etag is None:
            resource.etag = f'"{hashlib.md5(content).hexdigest()}"'
        if google:
            resource.headers["x-goog-hash"] = google_hash(content)
            resource.headers["x-goog-stored-content-length"] = str(len(content))
        self.resources[path] = resource
        return resource

    def put_repo(self, repo: str, files: dict[str, bytes], *, commit: str, lfs: tuple[str, ...] = (),
                 revision: str = "main", listing: bool = True) -> None:  # fmt: skip
        """Serve a repository as the Hub does: the listing, small files at once, LFS files by way of a redirect."""
        siblings = []
        for name, content in files.items():
            sibling: dict[str, object] = {"rfilename": name, "size": len(content), "blobId": git_blob(content)}
            sha256 = hashlib.sha256(content).hexdigest()
            headers = {"X-Repo-Commit": commit}
            if name in lfs:
                sibling["lfs"] = {"sha256": sha256, "size": len(content), "pointerSize": 134}
                sibling["blobId"] = git_blob(b"pointer")
                self.put(f"/cdn/{sha256}", content)
                headers |= {"X-Linked-ETag": f'"{sha256}"', "X-Linked-Size": str(len(content))}
                for ref in (revision, commit):
                    self.put(f"/{repo}/resolve/{ref}/{name}", b"", headers=headers, redirect=f"/cdn/{sha256}")
            else:
                for ref in (revision, commit):
                    self.put(f"/{repo}/resolve/{ref}/{name}", content, headers=headers, etag=f'"{git_blob(content)}"')
            siblings.append(sibling)
        if listing:
            body = json.dumps({"id": repo, "sha": commit, "siblings": siblings}).encode()
            self.put(f"/api/models/{repo}/revision/{revision}", body)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_storage: Storage

    def log_message(self, *_: object) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        storage, path = self.server_storage, unquote(urlsplit(self.path).path)
        request = Request(path, dict(self.headers.items()))
        with storage.lock:
            storage.requests.append(request)
            resource = storage.resources.get(path)
            mishap = resource.mishaps.pop(0) if resource and resource.mishaps else fine()
        if resource is None:
            return self._plain(404, {})
        if mishap.kind == "status":
            return self._plain(mishap.number, mishap.headers)
        if resource.redirect is not None:
            return self._plain(302, {**resource.headers, "Location": resource.redirect})
        start, code = self._start(resource)
        total = len(resource.content)
        if start > total or (start == total and code == 206):
            return self._plain(416, {"Content-Range": f"bytes */{total}"})
        body = resource.content[start:]
        self.send_response(code)
        for name, value in resource.headers.items():
            self.send_header(name, value)
        if resource.etag:
            self.send_header("ETag", resource.etag)
        if code == 206:
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        if resource.lengths:
            self.send_header("Content-Length", str(len(body)))
        else:
            self.send_header("Connection", "close")
        self.end_headers()
        end = mishap.number if mishap.kind in ("cut", "stall") else len(body)
        request.sent = len(body[:end])  # before the client can have it all and look
        self.wfile.write(body[:end])
        self.wfile.flush()
        if mishap.kind == "stall":
            storage.stalled.set()
            storage.closing.wait(60)
        if mishap.kind != "fine":
            self.connection.shutdown(socket.SHUT_RDWR)
        if mishap.kind != "fine" or not resource.lengths:
            self.close_connection = True
        return None

    def _start(self, resource: Resource) -> tuple[int, int]:
        asked = self.headers.get("Range", "")
        if not asked.startswith("bytes=") or not resource.ranges:
            return 0, 200
        if_range = self.headers.get("If-Range")
        if if_range is not None and if_range != resource.etag and not resource.careless_ranges:
            return 0, 200
        return int(asked.removeprefix("bytes=").split("-")[0]), 206

    def _plain(self, code: int, headers: dict[str, str]) -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()
