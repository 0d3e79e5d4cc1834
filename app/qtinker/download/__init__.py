"""Fetching models of the catalog into the registry: several side by side, resumable, verified, whole or not at all.

Threads fetch and verify; the calling thread unpacks and converts, one model at a time, so that Ctrl-C ends it there
and memory holds one model. A lock a model lets two processes that ask for the same one download it once.
"""

from __future__ import annotations

import contextlib
import os
import queue
import shutil
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from .. import catalog, model_folder, registry
from ..catalog import CatalogEntry
from ..errors import CheckpointError, DownloadError, InputError, QTinkerError
from ..given import several
from ..home import cache_dir, models_dir
from ..registry_page import size
from . import google, hub
from .http import Cancel, Patience, session
from .progress import Progress

__all__ = ["Patience", "download", "folder"]

_SIDE_BY_SIDE = 4


@dataclass
class _Job:
    """One model on its way from the server to the registry."""

    entry: CatalogEntry
    replace: bool
    lock: FileLock
    fetched: Any = None
    done: Path | None = None
    error: BaseException | None = None
    work: Path = field(init=False)

    def __post_init__(self) -> None:
        self.work = folder() / self.entry.name


def folder() -> Path:
    """Where downloads wait until they are whole."""
    return cache_dir() / "downloads"


def download(
    names: str | Iterable[str],
    *,
    mirror: str | None = None,
    progress: Callable[[dict[str, Any]], None] | None = None,
    cancel: Callable[[], bool] | threading.Event | None = None,
    force: bool = False,
    patience: Patience | None = None,
) -> list[Path]:
    """Fetch models of the catalog into the registry; returns their folders in the order of the names.

    What is there already is not fetched again, unless `force`. A stopped or killed download goes on where it ended.
    `progress` gets events `{name, file, phase, done, total, speed, eta}` (bytes, bytes a second, seconds; null where
    not known), phase being wait, download, verify, unpack, convert or done, from several threads, one at a time; a
    model that was there has `already: True` in its done. `cancel` is asked often. `mirror` (or QTINKER_GCS) stands
    for https://storage.googleapis.com.

    Raises:
        InputError: a name is not in the catalog, or the mirror is no address.
        DownloadError: a model can't be had, or the disk is too small; the others are there.
        RunStopped: `cancel` said so.
    """
    names = several(names)
    entries = list(dict.fromkeys(_entry(name) for name in names))
    mirror = mirror or os.environ.get("QTINKER_GCS") or None
    for entry in entries:
        if entry.source == "google":
            google.address(entry, mirror)
    asked = cancel.is_set if isinstance(cancel, threading.Event) else cancel
    stop, tell = Cancel(asked), Progress(progress)
    with _blame(folder()):
        folder().mkdir(parents=True, exist_ok=True)
    jobs = []
    for entry in entries:
        lock = FileLock(folder() / f"{entry.name}.lock", thread_local=False)
        jobs.append(_Job(entry, force, lock))
    missing = [job for job in jobs if not _take_if_here(job, tell)]
    if missing:
        _check_space([job.entry for job in missing])
        _run(missing, mirror=mirror, stop=stop, tell=tell, patience=patience or Patience())
    return [job.done for job in jobs if job.done]


def _entry(name: str) -> CatalogEntry:
    if entry := catalog.find(name):
        return entry
    raise InputError(f"The catalog has no model {name!r}.", catalog.nearest(name, catalog.catalog()))


def _take_if_here(job: _Job, tell: Progress) -> bool:
    """Whether the model is in the registry, whole, and need not be fetched."""
    final = models_dir() / job.entry.group / job.entry.name
    if not final.is_dir():
        return False
    if job.replace or model_folder.damage(final):
        # A damaged model is replaced: that is what asking for it again can only mean.
        job.replace = True
        return False
    job.done = final
    tell(job.entry.name, "", "done", 0, None, already=True)
    return True


def _run(jobs: list[_Job], *, mirror: str | None, stop: Cancel, tell: Progress, patience: Patience) -> None:
    """Fetch in threads, install here. Every job ends with `done` or an error; the errors are raised together."""
    waiting: queue.SimpleQueue[_Job] = queue.SimpleQueue()
    fetched: queue.SimpleQueue[_Job] = queue.SimpleQueue()
    for job in jobs:
        waiting.put(job)

    def work() -> None:
        http = session()
        while True:
            try:
                job = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                _fetch(job, mirror=mirror, http=http, stop=stop, tell=tell, patience=patience)
            except BaseException as error:
                job.error = error
            fetched.put(job)

    # Daemons, because a thread that hangs in connect must not keep a stopped program alive.
    threads = [threading.Thread(target=work, name="download", daemon=True) for _ in jobs[:_SIDE_BY_SIDE]]
    try:
        for thread in threads:
            thread.start()
        left = len(jobs)
        while left:
            with contextlib.suppress(queue.Empty):
                job = fetched.get(timeout=0.1)
                left -= 1
                if job.error is None and job.done is None:
                    try:
                        _install(job, stop=stop, tell=tell)
                    except QTinkerError as error:
                        job.error = error
                job.lock.release()
            stop.check()
    except BaseException:
        stop.set()
        end = time.monotonic() + 2
        for thread in threads:
            thread.join(max(0.0, end - time.monotonic()))
        for job in jobs:
            job.lock.release()
        raise
    _raise_together(jobs)


def _raise_together(jobs: list[_Job]) -> None:
    failed: dict[str, QTinkerError] = {}
    for job in jobs:
        if isinstance(job.error, QTinkerError):
            failed[job.entry.name] = job.error
        elif job.error is not None:
            raise job.error
    if len(failed) == 1:
        raise next(iter(failed.values()))
    if failed:
        # The same cause (no network, say) is said once.
        reasons: dict[str, list[str]] = {}
        for name, error in failed.items():
            reasons.setdefault(error.message, []).append(name)
        text = " ".join(f"{', '.join(names)}: {message}" for message, names in reasons.items())
        fixes = dict.fromkeys(error.fix for error in failed.values() if error.fix)
        raise DownloadError(f"{len(failed)} of {len(jobs)} models failed. {text}", " ".join(fixes), models=failed)


def _fetch(job: _Job, *, mirror: str | None, http: Any, stop: Cancel, tell: Progress, patience: Patience) -> None:
    """In a thread: take the model's lock, then fetch and verify. Another process may have been faster, while this one
    waited for the lock or fetched others."""
    stop.check()
    name = job.entry.name
    waited = False
    while True:
        try:
            with _blame(folder(), but=Timeout):
                job.lock.acquire(timeout=0)
            break
        except Timeout:
            if not waited:
                tell(name, "", "wait", 0, None)
            waited = True
            stop.wait(0.2)
    if not job.replace and _take_if_here(job, tell):
        return

    def report(phase: str, file: str, done: int, total: int | None) -> None:
        tell(name, file, phase, done, total)

    with _blame(job.work):
        job.work.mkdir(parents=True, exist_ok=True)
    if job.entry.source == "google":
        job.fetched = google.fetch_zip(
            job.entry, job.work, mirror=mirror, http=http, cancel=stop, patience=patience, report=report
        )
    else:
        job.fetched = hub.fetch_files(
            job.entry, job.work, http=http, cancel=stop, patience=patience, report=report
        )  # fmt: skip


def _install(job: _Job, *, stop: Cancel, tell: Progress) -> None:
    """From the verified files to the registry. Files that turn out to be wrong are deleted, not tried again."""
    entry = job.entry

    def report(phase: str, file: str, done: int, total: int | None) -> None:
        tell(entry.name, file, phase, done, total)

    try:
        with registry.staged(entry.group, entry.name, replace=job.replace) as out:
            if entry.source == "google":
                meta = google.install_zip(entry, job.work, out, received=job.fetched, cancel=stop, report=report)
            else:
                meta = hub.install_files(entry, job.work, out, files=job.fetched, cancel=stop, report=report)
            known = {"name": entry.name, "licence": entry.licence, "run": None, "teacher": None, "task": None}
            registry.write_meta(out, {**known, "max_length": 512, **meta})
            stop.check()
    except (CheckpointError, DownloadError) as error:
        shutil.rmtree(job.work, ignore_errors=True)
        raise DownloadError(f"{entry.name}: {error.message}", error.fix) from error
    shutil.rmtree(job.work, ignore_errors=True)
    job.done = models_dir() / entry.group / entry.name
    tell(entry.name, "", "done", 0, None)


def _check_space(entries: list[CatalogEntry]) -> None:
    """All that stays, and at once what at most so many downloads need while they are under way."""
    stays = sum(4 * entry.parameters + 8_000_000 for entry in entries)
    passing = sorted((_passing(entry) for entry in entries), reverse=True)[:_SIDE_BY_SIDE]
    cache, models = _existing(folder()), _existing(models_dir())
    if cache.stat().st_dev == models.stat().st_dev:
        needs = [(models, stays + sum(passing))]
    else:
        needs = [(cache, sum(passing)), (models, stays)]
    for where, need in needs:
        free = shutil.disk_usage(where).free
        if free < need:
            raise DownloadError(
                f"The disk that holds {where} has {size(free)} free; this needs {size(need)} "
                "(download, unpacked and converted).",
                "Free some space, set QTINKER_HOME to another disk, or fetch fewer models at once.",
            )


def _passing(entry: CatalogEntry) -> int:
    """Bytes needed beside the model itself until it is in the registry; what is there of it already needs none."""
    have = sum(path.stat().st_size for path in (folder() / entry.name).glob("*") if path.is_file())
    return max(0, entry.download_bytes - have) + (entry.data_file_bytes or 0)


def _existing(path: Path) -> Path:
    return next(parent for parent in (path, *path.parents) if parent.exists())


@contextlib.contextmanager
def _blame(path: Path, *, but: type[OSError] | tuple[()] = ()) -> Any:
    try:
        yield
    except but:
        raise
    except OSError as error:
        raise DownloadError(
            f"Can't write in {path}: {error.strerror or error}.", "Give yourself the right, or set QTINKER_HOME."
        ) from None
