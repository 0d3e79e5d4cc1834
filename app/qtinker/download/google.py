"""Google's checkpoints: the zip from Google Cloud Storage (or a mirror), unpacked, checked, converted."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests

from .. import model_folder
from ..catalog import CatalogEntry
from ..errors import CheckpointError, DownloadError, InputError
from .checksums import Promise
from .http import Cancel, Patience, public
from .transfer import Received, fetch

STORAGE = "https://storage.googleapis.com"
Report = Callable[[str, str, int, int | None], None]
"""Called with the phase, the file, the bytes done and the bytes in all (None: not known)."""


def address(entry: CatalogEntry, mirror: str | None) -> str:
    """Where the zip is: Google's address, its beginning replaced by the mirror's.

    Raises:
        InputError: the mirror is no http address.
    """
    url = str(entry.url)
    if not mirror:
        return url
    try:
        parts = urlsplit(mirror)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        usable = False
    if not usable:
        raise InputError(
            f"{public(mirror)!r} is no mirror.",
            f"Give the address that stands for {STORAGE}, for example https://mirror.example/google.",
        )
    return mirror.rstrip("/") + url.removeprefix(STORAGE)


def fetch_zip(entry: CatalogEntry, work: Path, *, mirror: str | None, http: requests.Session, cancel: Cancel,
              patience: Patience, report: Report) -> Received:  # fmt: skip
    """The zip in `work`, verified. Its length binds only together with its recorded hash: a mirror may have packed
    the same files anew."""
    url = address(entry, mirror)
    file = Path(urlsplit(url).path).name
    promise = Promise(bytes=entry.zip_bytes if entry.zip_sha256 else None, sha256=entry.zip_sha256)
    return fetch(
        http, url, work / "checkpoint.zip", promise=promise, cancel=cancel, patience=patience,
        advance=lambda phase, done, total: report(phase, file, done, total),
    )  # fmt: skip


def install_zip(entry: CatalogEntry, work: Path, out: Path, *, received: Received, cancel: Cancel,
                report: Report) -> dict[str, Any]:  # fmt: skip
    """Unpack and convert the zip in `work` into `out`; returns what goes into the provenance.

    Raises:
        DownloadError: the checkpoint is not the one that the catalog describes.
        CheckpointError: the zip or the checkpoint is damaged or unsafe.
    """
    from .. import convert, unpack

    archive, unpacked = work / "checkpoint.zip", work / "unpacked"
    shutil.rmtree(unpacked, ignore_errors=True)
    file = Path(urlsplit(received.url).path).name

    def during(phase: str) -> Callable[[int, int], None]:
        def count(done: int, total: int) -> None:
            cancel.check()
            report(phase, file, done, total)

        return count

    try:
        unpack.unpack(archive, unpacked, data_bytes=entry.data_file_bytes, progress=during("unpack"))
        hashes = _check(entry, unpacked)
        cancel.check()
        meta = convert.convert(unpacked, out, do_lower_case=entry.lower_case, progress=during("convert"))
        cancel.check()
    finally:
        shutil.rmtree(unpacked, ignore_errors=True)
    source = {"kind": "google", "url": entry.url, "zip_sha256": model_folder.sha256(archive), **hashes}
    if not received.url.startswith(STORAGE):
        source["mirror"] = public(received.url)
    return {**meta, "kind": "pretrained", "source": source}


def _check(entry: CatalogEntry, folder: Path) -> dict[str, str]:
    """The unpacked checkpoint against the catalog: sizes, hashes, shape. Returns the hashes found."""
    data = sorted(folder.glob("*.data-?????-of-?????"))
    index = sorted(folder.glob("*.index"))
    if not data or len(index) != 1:
        raise CheckpointError(f"The zip of {entry.name} holds no checkpoint (*.index with *.data-00000-of-00001).")
    size = sum(path.stat().st_size for path in data)
    if entry.data_file_bytes is not None and size != entry.data_file_bytes:
        raise _not_it(entry, f"its data file has {size:,} bytes instead of {entry.data_file_bytes:,}")
    found = {"index_sha256": model_folder.sha256(index[0])}
    if len(data) == 1:
        found["data_sha256"] = model_folder.sha256(data[0])
    for key, digest in found.items():
        if (known := getattr(entry, key)) and known != digest:
            raise _not_it(entry, f"the SHA-256 of its {key.split('_')[0]} file is {digest} instead of {known}")
    config = model_folder.read_json(folder / "bert_config.json")
    wanted = {
        "num_hidden_layers": entry.layers,
        "hidden_size": entry.hidden,
        "num_attention_heads": entry.heads,
        "vocab_size": entry.vocab_size,
    }
    for key, value in wanted.items():
        if config.get(key) != value:
            raise _not_it(entry, f"its {key} is {config.get(key)} instead of {value}")
    return found


def _not_it(entry: CatalogEntry, why: str) -> DownloadError:
    return DownloadError(
        f"What came is not {entry.name}: {why}.", "Try another mirror, or leave the mirror out."
    )  # fmt: skip
