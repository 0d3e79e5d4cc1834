"""What a file should hash to, from the catalog and from the server's headers, and whether it does."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import DownloadError

PIECE = 1 << 20


@dataclass(frozen=True)
class Promise:
    """What was said about a file's content; None where nothing was. Digests are lower-case hexadecimal.

    `git_blob` is Git's SHA-1 of the content behind a header, which the Hub gives for files outside LFS.
    """

    bytes: int | None = None
    sha256: str | None = None
    md5: str | None = None
    crc32c: str | None = None
    git_blob: str | None = None

    def with_headers(self, headers: Mapping[str, str]) -> Promise:
        """This promise and what the server adds: `x-goog-hash` of Google's storage, `X-Linked-ETag` of the Hub."""
        google = google_hashes(headers.get("x-goog-hash", ""))
        linked = headers.get("x-linked-etag", "").strip().removeprefix("W/").strip('"').lower()
        return Promise(
            bytes=self.bytes,
            sha256=self.sha256 or (linked if re.fullmatch(r"[0-9a-f]{64}", linked) else None),
            md5=google.get("md5", self.md5),
            crc32c=google.get("crc32c", self.crc32c),
            git_blob=self.git_blob,
        )

    def broken_by(self, path: Path, *, advance: Callable[[int], None] | None = None) -> list[str]:
        """In what the file is not what was promised, each with both values; empty when it is whole.

        `advance` is called with the number of bytes after each piece; an exception of its own ends the reading.
        """
        size = path.stat().st_size
        if self.bytes is not None and size != self.bytes:
            return [f"{size:,} bytes instead of {self.bytes:,}"]
        running: dict[str, Any] = {}
        if self.sha256:
            running["sha256"] = hashlib.sha256()
        if self.md5:
            running["md5"] = hashlib.md5(usedforsecurity=False)
        if self.crc32c:
            running["crc32c"] = _crc32c()
        if self.git_blob:
            running["git_blob"] = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
        if running:
            for piece in _pieces(path):
                for digest in running.values():
                    digest.update(piece)
                if advance:
                    advance(len(piece))
        wrong = []
        for name, digest in running.items():
            found, promised = digest.digest().hex(), getattr(self, name)
            if found != promised:
                wrong.append(f"{name.replace('_', ' ')} {found} instead of {promised}")
        return wrong


def google_hashes(header: str) -> dict[str, str]:
    """`crc32c=n03x6A==,md5=Ojk9c3dhfxgoKVVHYwFbHQ==` as hexadecimal.

    Raises:
        DownloadError: a value is not base64.
    """
    found = {}
    for part in header.split(","):
        name, _, value = part.strip().partition("=")
        if name in ("md5", "crc32c"):
            try:
                found[name] = base64.b64decode(value, validate=True).hex()
            except (binascii.Error, ValueError):
                raise DownloadError(
                    f"The server sends an x-goog-hash that can't be read: {header!r}.",
                    "Try another mirror, or leave it out.",
                ) from None
    return found


def _crc32c() -> Any:
    import google_crc32c

    return google_crc32c.Checksum()


def _pieces(path: Path) -> Iterable[bytes]:
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            yield piece
