"""How a folder enters or leaves the registry in one step: staging folders, renames, flushing, sweeping.

Each staging folder's name says which process owns it, so that what a killed process left can be told from what a
living one is writing.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

FOLDER = ".staging"


@contextlib.contextmanager
def box(root: Path) -> Iterator[Path]:
    """A folder of this process alone below `root`, gone after the block. Sweeps away those of dead processes."""
    folder = root / FOLDER / f"{_owner()}.{secrets.token_hex(4)}"
    folder.mkdir(parents=True)
    try:
        _sweep(root / FOLDER)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def place(box: Path, final: Path) -> None:
    """Rename box/<name> to its place; what stood there goes aside first and comes back if the rename fails."""
    final.parent.mkdir(parents=True, exist_ok=True)
    aside = box / ".replaced"
    if final.exists() or final.is_symlink():
        final.rename(aside)
    try:
        (box / final.name).rename(final)
    except OSError:
        if aside.exists() or aside.is_symlink():
            aside.rename(final)
        raise
    _flush_folder(final.parent)


def flush(folder: Path) -> None:
    """Everything on the disk before the rename, or a power cut could leave a complete-looking folder of empty files."""
    for parent, _, files in os.walk(folder):
        for name in files:
            # Windows flushes only what is open for writing, which a read-only file refuses; others need no such right.
            with (
                contextlib.suppress(PermissionError),
                Path(parent, name).open("r+b" if os.name == "nt" else "rb") as file,
            ):
                os.fsync(file.fileno())
        _flush_folder(Path(parent))


def _flush_folder(folder: Path) -> None:
    if os.name != "posix":
        return
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _owner() -> str:
    """Host, process and its start: enough to tell later whether whoever made a staging folder still lives."""
    import psutil

    return f"{_host()}.{os.getpid()}.{int(psutil.Process().create_time())}"


def _host() -> str:
    return hashlib.sha256(platform.node().encode()).hexdigest()[:8]


def _sweep(staging: Path) -> None:
    """Remove what dead processes left. On another host's leavings only age can tell: a week."""
    import psutil

    for box in list(staging.iterdir()):
        parts = box.name.split(".")
        with contextlib.suppress(OSError, ValueError):
            host, pid, started = parts[0], int(parts[1]), int(parts[2])
            if host != _host():
                alive = time.time() - box.stat().st_mtime < 7 * 86400
            else:
                try:
                    alive = abs(psutil.Process(pid).create_time() - started) < 3
                except psutil.NoSuchProcess:
                    alive = False
                except psutil.AccessDenied:
                    alive = True
            if not alive:
                shutil.rmtree(box, ignore_errors=True)
