"""The run store: one folder a run under runs/, readable at any time without a process or a lock.

Whoever wants a run calls `create`; only the worker then writes its state and events (run_writer.py); everybody
else reads, and writes nothing but the stop flag. docs/architecture.md lists the files. Times are Unix seconds.
"""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
import shutil
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from .errors import DiskFull, InputError, RunFailed
from .home import runs_dir
from .spec import RunSpec

PLAIN_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")
ACTIVE = ("running", "stopping")
RESUMABLE = ("stopped", "interrupted", "failed")
FIRST_STATE: dict[str, Any] = {
    "id": "", "kind": "", "name": None, "status": "queued", "phase": None, "step": 0, "total_steps": None,
    "progress": 0.0, "eta_s": None, "pid": None, "process_created": None, "created": None, "started": None,
    "updated": None, "ended": None, "message": "", "error": None, "attempt": 0, "own_process": False,
}  # fmt: skip


@dataclass(frozen=True)
class Files:
    """Every path inside a run folder, named once."""

    folder: Path

    @property
    def spec(self) -> Path:
        return self.folder / "spec.yaml"

    @property
    def state(self) -> Path:
        return self.folder / "state.json"

    @property
    def launch(self) -> Path:
        """Process and attempt that `jobs` started last; bridges the seconds until the worker writes its state."""
        return self.folder / "launch.json"

    @property
    def events(self) -> Path:
        return self.folder / "events.jsonl"

    @property
    def log(self) -> Path:
        return self.folder / "log.txt"

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoint"

    @property
    def phases(self) -> Path:
        """Which phases are done and what they made, for a resumed run."""
        return self.folder / "phases.json"

    @property
    def report(self) -> Path:
        return self.folder / "report.json"

    @property
    def stop(self) -> Path:
        return self.folder / "stop"

    @property
    def lock(self) -> Path:
        """Held by the worker for as long as it lives."""
        return self.folder / ".lock"

    @property
    def reserve(self) -> Path:
        """Space given back when the disk is full, so that this can still be written down."""
        return self.folder / ".reserve"


class Run:
    """One run folder, for reading. All methods read anew; none needs the run's process."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.id, self.files = folder, folder.name, Files(folder)

    def __repr__(self) -> str:
        return f"Run({self.id!r})"

    def spec(self) -> RunSpec:
        """What the run does.

        Raises:
            InputError: spec.yaml is missing or damaged.
        """
        return RunSpec.load(self.files.spec)

    def state(self) -> dict[str, Any]:
        """The state with its status derived: see the list of statuses in docs/architecture.md, and `broken`.

        Never raises for what lies in the folder: a damaged run has status `broken` and says why in `error`.
        """
        try:
            saved = read_json(self.files.state)
            if not isinstance(saved, dict) or not isinstance(saved.get("status"), str):
                raise ValueError("it holds no state")
        except (OSError, ValueError) as error:
            why = "state.json is missing." if isinstance(error, FileNotFoundError) else f"state.json: {error}."
            return FIRST_STATE | {
                "id": self.id, "kind": "unknown", "status": "broken", "message": "Damaged run folder.",
                "error": {"message": f"Run {self.id} can't be read: {why}", "fix": "Delete the run."},
            }  # fmt: skip
        return self._derive(FIRST_STATE | saved | {"id": self.id})

    def _derive(self, state: dict[str, Any]) -> dict[str, Any]:
        stop, launch = self.files.stop.exists(), self.launch()
        if launch.get("attempt", 0) > state["attempt"]:  # started, but the worker has not written yet
            if is_alive(launch.get("pid"), launch.get("process_created")):
                state |= {"status": "running", "message": "Starting", "error": None, "ended": None}
            else:
                state |= {"status": "interrupted", "message": "The process ended before it began; see the log."}
        elif state["status"] in ACTIVE and not is_alive(state["pid"], state["process_created"]):
            state |= {"status": "interrupted", "message": "The process is gone.", "eta_s": None}
        if stop and state["status"] == "running":
            state |= {"status": "stopping", "message": "Stopping after this step"}
        elif stop and state["status"] == "queued":
            state |= {"status": "stopped", "message": "Withdrawn from the queue"}
        elif state["status"] in RESUMABLE and self.id in queue()[0]:
            state |= {"status": "queued", "message": "Waiting to go on", "error": None}
        return state

    def launch(self) -> dict[str, Any]:
        """What `jobs` wrote when it last started this run: pid, process_created, attempt; empty if it never did."""
        try:
            launch = read_json(self.files.launch)
        except (OSError, ValueError):
            return {}
        return launch if isinstance(launch, dict) and isinstance(launch.get("attempt"), int) else {}

    def events(self, offset: int = 0) -> tuple[list[dict[str, Any]], int]:
        """Events from byte `offset` on, and the offset to go on from.

        A last line that is still being written is left for the next call; a damaged line is skipped.
        """
        try:
            with self.files.events.open("rb") as file:
                file.seek(offset)
                data = file.read()
        except OSError:
            return [], offset
        whole = data.rfind(b"\n") + 1
        events = []
        for line in data[:whole].split(b"\n"):
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if isinstance(event, dict) and "kind" in event:
                events.append(event)
        return events, offset + whole

    def report(self) -> dict[str, Any] | None:
        """The result; None while there is none (or it is damaged)."""
        try:
            report = read_json(self.files.report)
        except (OSError, ValueError):
            return None
        return report if isinstance(report, dict) else None

    def log_tail(self, lines: int = 50) -> str:
        """The last lines of log.txt."""
        try:
            with self.files.log.open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - 400 * lines))
                text = file.read().decode("utf-8", errors="replace")
        except OSError:
            return ""
        return "\n".join(deque(text.split("\n"), maxlen=lines + text.endswith("\n")))

    def request_stop(self, *, deadline: float | None = None) -> None:
        """Ask the worker to finish its step, save and end; past `deadline` others may kill it."""
        self.files.stop.write_text(json.dumps({"deadline": deadline}), encoding="utf-8")

    def stop_deadline(self) -> float | None:
        """When a run asked to stop may be killed; None without a request or a deadline."""
        try:
            return float(read_json(self.files.stop)["deadline"])
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def stop_requested(self) -> bool:
        return self.files.stop.exists()

    def clear_stop(self) -> None:
        """Forget a request to stop: for whoever starts the run again."""
        self.files.stop.unlink(missing_ok=True)

    def delete(self) -> None:
        """Remove the run's folder. Models that it made stay in the registry.

        Raises:
            InputError: the run is going on.
        """
        if self.state()["status"] in ACTIVE:
            raise InputError(f"Run {self.id} is going on.", f"Stop it first: python3 app runs stop {self.id}")
        doomed = self.folder.with_name(f".deleted-{self.id}-{secrets.token_hex(2)}")
        self.folder.rename(doomed)  # out of every listing at once, even if removing takes a while or fails
        shutil.rmtree(doomed, ignore_errors=True)


def create(spec: RunSpec, *, kind: str | None = None, warnings: Sequence[str] = ()) -> Run:
    """Make a run folder, complete from its first moment; nothing is started.

    `kind` is the verb (distill, finetune, run); left out: what the spec amounts to. `warnings` are its first events.

    Raises:
        RunFailed: the folder can't be written.
    """
    kind = kind or ("distill" if spec.teacher else "finetune")
    if not PLAIN_NAME.match(kind):
        raise ValueError(f"kind {kind!r} is no plain word")
    for _ in range(20):
        now = time.time()
        stamp = time.strftime("%Y%m%d-%H%M%S", time.localtime(now))
        run = Run(runs_dir() / f"{stamp}-{kind}-{secrets.token_hex(2)}")
        made = run.folder.with_name(f".new-{run.id}")
        state = FIRST_STATE | {"id": run.id, "kind": kind, "name": spec.name, "created": now, "updated": now}
        try:
            made.mkdir(parents=True)
            files = Files(made)
            files.spec.write_text(spec.to_yaml(full=True), encoding="utf-8")
            files.state.write_text(json.dumps(state), encoding="utf-8")
            said = {"time": round(now, 3), "kind": "message", "phase": "prepare", "level": "warning"}
            files.events.write_text("".join(json.dumps(said | {"text": text}) + "\n" for text in warnings))
            files.log.touch()
            if not run.folder.exists():
                made.rename(run.folder)
                return run
        except FileExistsError:
            continue
        except OSError as error:
            shutil.rmtree(made, ignore_errors=True)
            raise (DiskFull if error.errno == errno.ENOSPC else RunFailed)(
                f"Can't make a run folder in {runs_dir()}: {error}.", "Free space there or set QTINKER_HOME."
            ) from None
        shutil.rmtree(made, ignore_errors=True)
    raise RunFailed(f"Can't find a free name for a run in {runs_dir()}.")


def open(run_id: str) -> Run:
    """The run with this id, or the only one whose id ends in it (`ab12`); `last` is the newest.

    Raises:
        InputError: no such run, several, or an id that is no plain name.
    """
    if not isinstance(run_id, str) or not PLAIN_NAME.match(run_id) or ".." in run_id:
        raise InputError(f"{run_id!r} is no run id.", "python3 app runs lists them.")
    if run_id == "last" and (found := list_runs()):
        return found[0]
    run = Run(runs_dir() / run_id)
    if not run.folder.is_dir():
        matches = [run for run in list_runs() if run.id.endswith(f"-{run_id}")]
        if len(matches) > 1:
            raise InputError(
                f"{run_id!r} could be any of {', '.join(run.id for run in matches)}.", "Give the whole id."
            )
        if not matches:
            raise InputError(f"There is no run {run_id!r}.", "python3 app runs lists them.")
        run = matches[0]
    if run.folder.is_symlink():
        raise InputError(f"Run {run_id!r} is a link, not a folder.", "python3 app runs lists them.")
    return run


def list_runs() -> list[Run]:
    """All runs, newest first (ids begin with the time)."""
    try:
        names = [entry.name for entry in os.scandir(runs_dir()) if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []
    return [Run(runs_dir() / name) for name in sorted(names, reverse=True) if PLAIN_NAME.match(name)]


def queue_file() -> Path:
    """Where `jobs` keeps the order of the waiting runs."""
    return runs_dir() / "queue.json"


def queue() -> tuple[list[str], bool]:
    """The waiting runs in order, and whether the queue is held. A damaged file is an empty queue: no run is lost."""
    try:
        saved = read_json(queue_file())
        return [str(item) for item in saved["order"] if PLAIN_NAME.match(str(item))], bool(saved["paused"])
    except (OSError, ValueError, TypeError, KeyError):
        return [], False


def is_alive(pid: Any, created: Any) -> bool:
    """Is the process there that had this pid and creation time? Another one with a reused pid is not it."""
    if not isinstance(pid, int) or not isinstance(created, int | float):
        return False
    try:
        process = psutil.Process(pid)
        # Two seconds: Linux derives the creation time from a boot time that moves when the clock is set right.
        return abs(process.create_time() - created) < 2 and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, ValueError, OverflowError):
        return False


def read_json(path: Path) -> Any:
    """Read JSON; on Windows a file that is being replaced may refuse to open for a moment."""
    for attempt in range(10):
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except PermissionError:
            if attempt == 9:
                raise
            time.sleep(0.02)


def write_json(path: Path, data: Any) -> None:
    """Replace a file in one step: a reader sees the old content or the new, never half of one."""
    made = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        made.write_text(json.dumps(data, ensure_ascii=False), encoding="utf-8")
        for attempt in range(50):
            try:
                made.replace(path)
                return
            except PermissionError:  # Windows: somebody is reading it
                if attempt == 49:
                    raise
                time.sleep(0.02)
    except OSError:
        made.unlink(missing_ok=True)
        raise
