"""Models of the Hugging Face Hub, by plain requests without a token: an allow-list of files, pinned to one commit.

Every file is verified: LFS files by their SHA-256, the others by Git's hash. Pickled weights are read with
weights_only and rewritten as safetensors.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import requests

from .. import hugging_face, model_folder, pickled_weights
from ..catalog import CatalogEntry
from ..errors import CheckpointError, DownloadError
from .checksums import Promise
from .google import Report
from .http import Again, Cancel, NotThere, Patience, Refused, patiently, public, request
from .transfer import Received, fetch

_NEEDED = ("config.json",)
_WANTED = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.txt",
    "vocab.json", "merges.txt", "spiece.model", "generation_config.json", "README.md", "LICENSE",
)  # fmt: skip
_PICKLE = "pytorch_model.bin"
_SHARD = re.compile(r"^model-\d{5}-of-\d{5}\.safetensors$")
_COMMIT = re.compile(r"^[0-9a-f]{40}$")


@dataclass
class HubFiles:
    """What was fetched: the commit that all files are of (None: the server did not say) and each file's answer."""

    endpoint: str
    commit: str | None
    received: dict[str, Received] = field(default_factory=dict)


def endpoint() -> str:
    """The Hub's address: HF_ENDPOINT, or huggingface.co."""
    return (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")


def _absent() -> tuple[type[DownloadError], ...]:
    """How a server says that it has no such file; a mirror in a bucket that may not be listed refuses it."""
    return (NotThere, Refused) if os.environ.get("HF_ENDPOINT") else (NotThere,)


def fetch_files(entry: CatalogEntry, work: Path, *, http: requests.Session, cancel: Cancel, patience: Patience,
                report: Report) -> HubFiles:  # fmt: skip
    """The allowed files of the model in `work`, verified.

    Raises:
        DownloadError: the model or a file that it needs can't be had.
    """
    listing = _listing(
        entry, http=http, cancel=cancel, patience=patience, waiting=lambda: report("wait", "", 0, None)
    )  # fmt: skip
    files = HubFiles(endpoint(), listing.commit)
    revision = listing.commit or str(entry.revision)
    weights: list[str] = []
    for name in (*_NEEDED, *_WANTED, *listing.weights()):
        if not listing.may_have(name):
            continue
        # With no listing, the weights are tried in the order of preference and the first that is there is it.
        if listing.promises is None and weights and name in (model_folder.WEIGHTS, _PICKLE):
            continue

        def advance(phase: str, done: int, total: int | None, file: str = name) -> None:
            report(phase, file, done, total)

        url = f"{files.endpoint}/{entry.repo}/resolve/{quote(revision, safe='')}/{quote(name)}"
        try:
            received = fetch(
                http, url, work / name, promise=listing.promise(name), cancel=cancel, patience=patience,
                advance=advance,
            )  # fmt: skip
        except _absent():
            if name in _NEEDED or (listing.promises is not None and name in listing.weights()):
                raise
            continue
        files.received[name] = received
        if name.endswith((".safetensors", ".bin")):
            weights.append(name)
        commit = received.headers.get("x-repo-commit", "")
        if files.commit is None and _COMMIT.match(commit):
            # From here on all files come from this commit, even if the branch moves meanwhile.
            files.commit = revision = commit
    if not weights:
        raise DownloadError(f"{entry.repo} has no weights in a form that can be used (safetensors or {_PICKLE}).")
    return files


@dataclass
class _Listing:
    commit: str | None
    promises: dict[str, Promise] | None

    def may_have(self, name: str) -> bool:
        return self.promises is None or name in self.promises

    def promise(self, name: str) -> Promise:
        return (self.promises or {}).get(name, Promise())

    def weights(self) -> list[str]:
        """The weight files to fetch: safetensors if there are any, else the pickle."""
        if self.promises is None:
            return [model_folder.WEIGHTS, _PICKLE]
        if model_folder.WEIGHTS in self.promises:
            return [model_folder.WEIGHTS]
        if model_folder.WEIGHTS_INDEX in self.promises:
            return [model_folder.WEIGHTS_INDEX, *sorted(name for name in self.promises if _SHARD.match(name))]
        return [_PICKLE]


def _listing(entry: CatalogEntry, *, http: requests.Session, cancel: Cancel, patience: Patience,
             waiting: Callable[[], None]) -> _Listing:  # fmt: skip
    """The files of the revision with their hashes; unknown where a mirror has files but no such interface."""
    url = f"{endpoint()}/api/models/{entry.repo}/revision/{quote(str(entry.revision), safe='')}?blobs=true"

    def attempt() -> Any:
        response = request(http, url, patience=patience, cancel=cancel)
        with cancel.watching(response):
            try:
                return response.json()
            except requests.exceptions.JSONDecodeError:
                return None
            except requests.exceptions.RequestException:
                raise Again("the line broke") from None

    try:
        content = patiently(attempt, cancel=cancel, patience=patience, url=url, waiting=waiting)
    except _absent():
        content = None
    siblings = content.get("siblings") if isinstance(content, dict) else None
    if not isinstance(siblings, list):
        return _Listing(None, None)
    promises = {}
    for sibling in siblings:
        if not isinstance(sibling, dict) or not isinstance(sibling.get("rfilename"), str):
            continue
        lfs = sibling.get("lfs") if isinstance(sibling.get("lfs"), dict) else {}
        size = sibling.get("size")
        blob = sibling.get("blobId")
        promises[sibling["rfilename"]] = Promise(
            bytes=size if isinstance(size, int) else None,
            sha256=(lfs or {}).get("sha256"),
            git_blob=blob if not lfs and isinstance(blob, str) and _COMMIT.match(blob) else None,
        )
    commit = content.get("sha")
    return _Listing(commit if isinstance(commit, str) and _COMMIT.match(commit) else None, promises)


def install_files(entry: CatalogEntry, work: Path, out: Path, *, files: HubFiles, cancel: Cancel,
                  report: Report) -> dict[str, Any]:  # fmt: skip
    """Assemble the model in `out` from the files in `work`; returns what goes into the provenance.

    Raises:
        CheckpointError: the weights are damaged or not of the architecture that the catalog says.
    """
    for name in files.received:
        if name != _PICKLE:
            _keep(work / name, out / name)
    if _PICKLE in files.received:
        report("convert", _PICKLE, 0, None)
        pickled_weights.to_safetensors([work / _PICKLE], out / model_folder.WEIGHTS)
    cancel.check()
    _complete(entry, out)
    if reason := model_folder.damage(out):
        raise CheckpointError(f"What came is not {entry.name}: {reason}", "Try again later, or another HF_ENDPOINT.")
    source = {
        "kind": "hub",
        "repo": entry.repo,
        "url": f"https://huggingface.co/{entry.repo}",
        "revision": entry.revision,
        "commit": files.commit,
    }
    if files.endpoint != "https://huggingface.co":
        source["mirror"] = public(files.endpoint)
    return {"kind": "pretrained", "source": source}


def _keep(file: Path, place: Path) -> None:
    """The same file at a second place, as a copy only where that is another disk: if installing is stopped, what was
    fetched is still there."""
    try:
        os.link(file, place)
    except OSError:
        shutil.copyfile(file, place)


def _complete(entry: CatalogEntry, out: Path) -> None:
    """Old repositories lack what today's loaders ask for: the kind of model, and whether the tokenizer lowercases."""
    config = hugging_face.read_config(out)
    if config.get("model_type", entry.model_type) != entry.model_type:
        raise CheckpointError(
            f"What came is not {entry.name}: it is a {config['model_type']} model, not {entry.model_type}.",
            "Try another HF_ENDPOINT.",
        )
    if "model_type" not in config:
        config["model_type"] = entry.model_type
        model_folder.write_text(out / "config.json", json.dumps(config, indent=2) + "\n")
    # From a vocabulary alone, loaders guess whether to lowercase; the catalog knows.
    lower_case = None if (out / "tokenizer.json").is_file() else entry.lower_case
    hugging_face.bring_tokenizer(out, out, config, lower_case, entry.name)
