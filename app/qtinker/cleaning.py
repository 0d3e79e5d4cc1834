"""Frees space: what of the saved states of runs and of the cache nothing needs any more."""

from __future__ import annotations

import contextlib
import shutil
import time
from pathlib import Path
from typing import Any

from . import jobs, runs
from .compare import store
from .home import cache_dir

SPARED_SECONDS = 86_400
"""For so long what others may have in hand is spared."""


def clean() -> dict[str, Any]:
    """See `api.clean`. Returns `bytes`, freed, and `removed`, the paths."""
    given_up = store.given_up()
    ended = [
        each for each in runs.list_runs()
        if (status := each.state()["status"]) == "done" or (status in runs.RESUMABLE and each.id in given_up)
    ]  # fmt: skip
    doomed = [each.files.checkpoint for each in ended]
    if not jobs.active() and not store.going_on() and not _page_works():
        doomed += _unwanted()
    size = 0
    for path in doomed:
        if path.is_dir():
            size += sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
            shutil.rmtree(path, ignore_errors=True)
        elif path.is_file():
            size += path.stat().st_size
            with contextlib.suppress(OSError):
                path.unlink()
    return {"bytes": size, "removed": [str(path) for path in doomed]}


def _page_works() -> bool:
    """Whether a task of the page is going on: a download, an import, a measurement."""
    for file in cache_dir().glob("tasks/*/process.json"):
        with contextlib.suppress(OSError, ValueError):
            process = runs.read_json(file)
            if runs.is_alive(process.get("pid"), process.get("created")):
                return True
    return False


def _unwanted() -> list[Path]:
    """What of the cache may go. Downloads of other processes, uploads that wait for their import and what tasks of the
    page came to are spared for a day."""
    spared = [cache_dir() / name for name in ("downloads", "uploads", "tasks")]
    found = [path for path in cache_dir().glob("*") if path not in spared]
    for path in (path for folder in spared for path in folder.glob("*") if path.suffix != ".lock"):
        with contextlib.suppress(OSError):
            newest = max(each.stat().st_mtime for each in (path, *path.rglob("*")))
            if time.time() - newest > SPARED_SECONDS:
                found.append(path)
    return found
