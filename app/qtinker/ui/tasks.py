"""Short jobs of the page (download, data, quantize, evaluate, import) as child processes with a record on disk.

Each is one verb of the command line with `--json`: progress comes as JSON lines on its standard error, the result
as the last line of its standard output. A task lives in cache/tasks/<id>/ and is read from there, so any server
process, also a restarted one, sees it.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from ..errors import InputError
from ..home import cache_dir
from ..runs import is_alive

_ID = re.compile(r"^[a-z]+-\d{8}-\d{6}-[0-9a-f]{6}$")
_LINE_END = re.compile(r"[\r\n]")  # str.splitlines would also cut inside JSON, at U+2028 for one
_SEEN = "seen"
KEPT_SECONDS = 14 * 86_400
_APP = Path(__file__).resolve().parents[2]
_started: list[subprocess.Popen[bytes]] = []


@dataclass
class Task:
    """What is known of a task. `status` is running, done, failed or stopped; `progress` the last progress line;
    `button` the one on the page that began it."""

    id: str
    verb: str
    label: str
    status: str
    started: float
    progress: dict[str, Any] = field(default_factory=dict)
    result: dict[str, Any] | None = None
    error: str = ""
    fix: str = ""
    button: str = ""

    @property
    def going_on(self) -> bool:
        return self.status == "running"


def tasks_dir() -> Path:
    """One folder a task."""
    return cache_dir() / "tasks"


def start(
    verb: str, arguments: Sequence[str] = (), *, label: str = "", module: str | None = None, button: str = ""
) -> str:
    """Start `qtinker VERB ARGUMENTS --json` (or another module of ours, alone); returns the task's id at once.

    A button pressed again while the same goes on gives the id of that.
    """
    _forget_old()
    request: dict[str, Any] = {
        "verb": verb,
        "module": module or "qtinker",
        "arguments": list(arguments) if module else [verb, *arguments, "--json"],
        "label": label,
        "button": button,
    }
    for task in going_on(verb) if button else []:
        if request.items() <= (_json(tasks_dir() / task.id / "request.json") or {}).items():
            return task.id
    task_id = f"{verb}-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
    folder = tasks_dir() / task_id
    folder.mkdir(parents=True)
    request["started"] = time.time()
    (folder / "request.json").write_text(json.dumps(request), encoding="utf-8")
    child = subprocess.Popen(
        [sys.executable, "-P", "-m", "qtinker.ui.child", str(folder)],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment(), **apart(),
    )  # fmt: skip
    _started.append(child)
    with contextlib.suppress(psutil.Error):
        created = psutil.Process(child.pid).create_time()
        (folder / "process.json").write_text(json.dumps({"pid": child.pid, "created": created}), encoding="utf-8")
    return task_id


def environment() -> dict[str, str]:
    """The environment of a child: this program importable, text unbuffered and in UTF-8."""
    path = os.pathsep.join(part for part in (str(_APP), os.environ.get("PYTHONPATH", "")) if part)
    return os.environ | {"PYTHONPATH": path, "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"}


def apart() -> dict[str, Any]:
    """Popen's arguments for a process that gets none of this one's Ctrl-C."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
    return {"start_new_session": True}


def read(task_id: str) -> Task:
    """The task as it is now.

    Raises:
        InputError: there is no such task.
    """
    folder = _folder(task_id)
    try:
        request = json.loads((folder / "request.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise InputError("There is no such task.", "Start it again.") from None
    errors = _tail(folder / "stderr")
    task = Task(
        id=task_id, verb=request["verb"], label=request.get("label", ""), status="running",
        started=request["started"], progress=_last_json(errors) or {}, button=request.get("button", ""),
    )  # fmt: skip
    ended = _json(folder / "exit.json")
    if ended is None:
        process = _json(folder / "process.json") or {}
        fresh = time.time() - task.started < 3
        if not (fresh and not process) and not is_alive(process.get("pid"), process.get("created")):
            ended = _json(folder / "exit.json") or {"status": -1}  # it may have ended between the two looks
    if ended is None:
        return task
    status = ended.get("status")
    task.result = _last_json(_tail(folder / "stdout", 4_000_000))
    if status == 0:
        task.status = "done"
    elif status in (130, -2, -15) or (folder / "stopped").exists():
        task.status = "stopped"
    else:
        task.status = "failed"
        said = (task.result or {}).get("error")
        if isinstance(said, dict) and said.get("message"):
            task.error, task.fix = str(said["message"]), str(said.get("fix") or "")
        else:
            task.error = _words(errors) or "The process ended without saying why."
    return task


def stop(task_id: str) -> None:
    """End a task's process tree; what it downloaded so far stays for the next try."""
    folder = _folder(task_id)
    process = _json(folder / "process.json") or {}
    if not is_alive(process.get("pid"), process.get("created")):
        return
    (folder / "stopped").touch()
    with contextlib.suppress(psutil.Error):
        parent = psutil.Process(process["pid"])
        family = parent.children(recursive=True)
        for member in family:
            with contextlib.suppress(psutil.Error):
                member.terminate()
        _, alive = psutil.wait_procs(family, timeout=5)
        for member in alive:
            with contextlib.suppress(psutil.Error):
                member.kill()


def going_on(verb: str | None = None) -> list[Task]:
    """Tasks that run now, newest first."""
    found = []
    for name in _names(verb):
        with contextlib.suppress(InputError):
            if not (tasks_dir() / name / "exit.json").exists() and (task := read(name)).going_on:
                found.append(task)
    return found


def to_show(verb: str, button: str, *, keep: bool = False) -> Task | None:
    """The task that a button of the page began last, if it goes on or failed while no page showed it.

    Args:
        keep: one that ended well is shown too.
    """
    for name in _names(verb):
        with contextlib.suppress(InputError):
            if (task := read(name)).button == button:
                unseen = task.status == "failed" and not (tasks_dir() / name / _SEEN).exists()
                return task if task.going_on or unseen or (keep and task.status == "done") else None
    return None


def seen(task: Task) -> None:
    """Remember that a page has shown what a task came to."""
    with contextlib.suppress(OSError):
        (tasks_dir() / task.id / _SEEN).touch()


def stop_all() -> None:
    """End every task that runs: for the end of the app."""
    for task in going_on():
        stop(task.id)


def wait(task_id: str, timeout: float = 600) -> Task:
    """Block until the task has ended: for the endpoints of programs, never for the page."""
    end = time.monotonic() + timeout
    while (task := read(task_id)).going_on and time.monotonic() < end:
        time.sleep(0.1)
    return task


def scratch(parent: Path) -> Path:
    """A new empty folder."""
    folder = parent / f"import-{secrets.token_hex(6)}"
    folder.mkdir(parents=True)
    return folder


def _folder(task_id: Any) -> Path:
    if not isinstance(task_id, str) or not _ID.match(task_id):
        raise InputError("That is no task's id.")
    return tasks_dir() / task_id


def _names(verb: str | None = None) -> list[str]:
    try:
        return sorted(
            (entry.name for entry in os.scandir(tasks_dir())
             if _ID.match(entry.name) and (verb is None or entry.name.startswith(f"{verb}-"))), reverse=True,
        )  # fmt: skip
    except OSError:
        return []


def _forget_old() -> None:
    _started[:] = [child for child in _started if child.poll() is None]  # reap, or they stay as zombies
    for name in _names():
        folder = tasks_dir() / name
        with contextlib.suppress(OSError):
            if (folder / "exit.json").exists() and time.time() - folder.stat().st_mtime > KEPT_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)


def _json(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def _tail(path: Path, limit: int = 64_000) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - limit))
            return file.read().decode("utf-8", errors="replace")
    except OSError:
        return ""


def _last_json(text: str) -> dict[str, Any] | None:
    for line in reversed(_LINE_END.split(text)):
        if line.startswith("{"):
            with contextlib.suppress(ValueError):
                content = json.loads(line)
                if isinstance(content, dict):
                    return content
    return None


def _words(errors: str) -> str:
    """The line that says what was wrong: the last that is neither JSON nor part of a traceback."""
    for line in reversed(_LINE_END.split(errors)):
        line = line.strip()
        if line and not line.startswith(("{", "Traceback", "File ")):
            return re.sub(r"^(error|qtinker): *", "", line, flags=re.IGNORECASE)
    return ""
