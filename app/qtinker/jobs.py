"""Start, stop, resume and queue the worker processes that execute runs.

One training at a time: `start` puts a run into the queue and `advance` starts the next one whenever none is
going on, and no sweep. A worker calls `advance` at its end, and so does every poll of a server; a file lock in runs/
keeps two of them from starting two. All state is on disk, so a server that died is no loss.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock
import psutil

from . import runs
from .compare.store import going_on as sweeps_going_on
from .errors import InputError, RunFailed
from .home import home, runs_dir
from .runs import Run

GRACE_S = 30.0
COMMAND = (sys.executable, "-P", "-m", "qtinker.worker")
_children: list[subprocess.Popen[bytes]] = []


def start(run_id: str) -> dict[str, Any]:
    """Start a new run in a process of its own, or queue it behind the one that is going on.

    Returns its state. Starting what is already queued or going on changes nothing.

    Raises:
        InputError: no such run, or it is done or damaged.
    """
    run = runs.open(run_id)
    with _queue() as queue:
        status = run.state()["status"]
        if status in ("done", "broken"):
            raise InputError(f"Run {run.id} is {status}.", "Make a new run from its settings.")
        if status not in runs.ACTIVE:
            run.clear_stop()
            if run.id not in queue.order:
                queue.order.append(run.id)
        queue.paused = False
        _advance(queue)
    return run.state()


def resume(run_id: str) -> dict[str, Any]:
    """Go on with a run that was stopped, interrupted or failed, from its last saved state.

    Raises:
        InputError: it is not such a run.
    """
    run = runs.open(run_id)
    check_resumable(run)
    return start(run.id)


def check_resumable(run: Run) -> None:
    """Raise InputError where a run can't go on: because it goes on already, is done, or is damaged."""
    status = run.state()["status"]
    if status in runs.ACTIVE:
        raise InputError(f"Run {run.id} is going on already.", f"See it with: python3 app runs show {run.id}")
    if status in ("done", "broken"):
        again = "Make a new run from its settings."
        if status == "done":
            again = f"Make a new run from its settings: python3 app run {shlex.quote(str(run.folder / 'spec.yaml'))}"
        raise InputError(f"Run {run.id} is {status}: there is nothing to resume.", again)
    run.spec()


def advance() -> str | None:
    """Start the next queued run if none is going on; kill what overran its time to stop. Returns the id started."""
    with _queue() as queue:
        return _advance(queue)


def queued() -> list[str]:
    """Ids of the waiting runs, in the order in which they will start."""
    return [run_id for run_id in runs.queue()[0] if _waits(run_id)]


def reorder(run_ids: list[str]) -> list[str]:
    """Put the queue into this order; waiting runs that are not named keep theirs, at the end. Returns the queue."""
    with _queue() as queue:
        known = [run_id for run_id in dict.fromkeys(run_ids) if run_id in queue.order]
        queue.order = known + [run_id for run_id in queue.order if run_id not in known]
        return list(queue.order)


def withdraw(run_id: str) -> None:
    """Take a run out of the queue, as when it is started otherwise or deleted."""
    if run_id in runs.queue()[0]:
        with _queue() as queue:
            queue.order = [other for other in queue.order if other != run_id]


def active() -> list[Run]:
    """The runs that a process works on now."""
    return [run for run in runs.list_runs() if run.state()["status"] in runs.ACTIVE]


def stop(run_id: str, *, grace_s: float = GRACE_S, wait: bool = False) -> dict[str, Any]:
    """Withdraw a queued run, or ask a running one to finish its step and save; after `grace_s` it is killed.

    Answers at once unless `wait`. A killed run can be resumed from its last saved state.

    Raises:
        InputError: it neither waits nor runs.
    """
    run = runs.open(run_id)
    with _queue() as queue:
        status = run.state()["status"]
        if status == "queued":
            queue.order = [other for other in queue.order if other != run.id]
            run.request_stop()
        elif status in runs.ACTIVE:
            deadline = time.time() + grace_s
            earlier = run.stop_deadline()
            run.request_stop(deadline=min(deadline, earlier) if earlier else deadline)
        else:
            raise InputError(f"Run {run.id} is not going on: it is {status}.")
    if status == "queued":
        return run.state()
    if wait:
        _end(run, grace_s)
    else:
        threading.Thread(target=_end, args=(run, grace_s), name=f"stop-{run.id}", daemon=True).start()
    return run.state()


def stop_all(*, grace_s: float = GRACE_S) -> list[str]:
    """Stop every worker and hold the queue, as when the app ends. Returns the runs' ids; all can be resumed.

    Runs inside other programs (a terminal's, a notebook's) are left alone.
    """
    with _queue() as queue:
        queue.paused = True
        going_on = [run for run in active() if _has_worker(run)]
        for run in going_on:
            run.request_stop(deadline=time.time() + grace_s)
    end = time.monotonic() + grace_s
    for run in going_on:
        _end(run, max(0.0, end - time.monotonic()))
    return [run.id for run in going_on]


def unpause() -> str | None:
    """Let the queue go on after `stop_all`, as when the app starts again. Returns the id started."""
    with _queue() as queue:
        queue.paused = False
        return _advance(queue)


def wait(run_id: str, *, timeout_s: float | None = None) -> dict[str, Any]:
    """Wait until the run's process has ended (or the time is over). Returns the state."""
    run = runs.open(run_id)
    for process in _processes(run):
        _gone_within(process, timeout_s)
    return run.state()


@dataclass
class _Queue:
    """runs/queue.json: the order of the waiting runs, and whether the queue is held."""

    order: list[str]
    paused: bool


@contextmanager
def _queue() -> Iterator[_Queue]:
    """The queue, locked against other processes; written back on the way out."""
    try:
        runs_dir().mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(runs_dir() / ".lock", timeout=60):
            queue = _Queue(*runs.queue())
            before = (list(queue.order), queue.paused)
            try:
                yield queue
            finally:
                if (queue.order, queue.paused) != before:
                    runs.write_json(runs.queue_file(), {"order": queue.order, "paused": queue.paused})
    except filelock.Timeout:
        raise RunFailed(f"The queue in {runs_dir()} has been locked for a minute.", "Try again.") from None
    except OSError as error:
        raise RunFailed(f"Can't write the queue in {runs_dir()}: {error}.", "Free space there.") from None


def _waits(run_id: str) -> bool:
    run = Run(runs_dir() / run_id)
    return not run.stop_requested() and run.state()["status"] in ("queued", *runs.RESUMABLE)


def _advance(queue: _Queue) -> str | None:
    _children[:] = [child for child in _children if child.poll() is None]  # reap, or they stay as zombies
    going_on = active()
    for run in going_on:
        deadline = run.stop_deadline()
        if deadline is not None and time.time() > deadline + 1:
            _kill(run)
    if queue.paused or any(run.state()["status"] in runs.ACTIVE for run in going_on):
        return None
    if queue.order and sweeps_going_on():  # also between two of its runs: it measures times
        return None
    while queue.order:
        run_id = queue.order.pop(0)
        if _waits(run_id):
            _spawn(Run(runs_dir() / run_id))
            return run_id
    return None


def _spawn(run: Run) -> None:
    """A worker in a session of its own: it outlives this process and gets none of its Ctrl-C."""
    app = Path(__file__).resolve().parents[1]
    path = os.pathsep.join(part for part in (str(app), os.environ.get("PYTHONPATH", "")) if part)
    env = os.environ | {
        "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8", "QTINKER_HOME": str(home())
    }  # fmt: skip
    apart: dict[str, Any] = {"start_new_session": True}
    if sys.platform == "win32":
        apart = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
    run.clear_stop()
    attempt = run.state()["attempt"] + 1
    try:
        with run.files.log.open("ab") as log:
            child = subprocess.Popen(
                [*COMMAND, run.id],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=run.folder, env=env, **apart,
            )  # fmt: skip
        _children.append(child)
        try:
            created = psutil.Process(child.pid).create_time()
        except psutil.Error:
            created = 0.0
        runs.write_json(run.files.launch, {"pid": child.pid, "process_created": created, "attempt": attempt})
    except OSError as error:
        raise RunFailed(f"Can't start the worker of run {run.id}: {error}.", "Free memory or disk space.") from None


def _processes(run: Run) -> list[psutil.Process]:
    """The run's processes: the one that was started and the worker (in a virtual environment on Windows, its child)."""
    found = []
    for record in (run.launch(), run.state()):
        if runs.is_alive(record.get("pid"), record.get("process_created")):
            try:
                found.append(psutil.Process(record["pid"]))
            except psutil.Error:
                continue
    return list(dict.fromkeys(found))


def _has_worker(run: Run) -> bool:
    """Whether the run's current attempt was started here, as a process of its own."""
    launch = run.launch()
    return bool(launch) and launch["attempt"] >= run.state()["attempt"]


def _end(run: Run, grace_s: float) -> None:
    """Wait for a run that was asked to stop; kill it when its time is over."""
    end = time.monotonic() + grace_s
    gone = [
        _gone_within(process, max(0.0, end - time.monotonic()))
        for process in _processes(run) if process.pid != os.getpid()  # asked by the run's own on_event
    ]  # fmt: skip
    if not all(gone):
        _kill(run)
        advance()  # a killed worker can't start the next one


def _gone_within(process: psutil.Process, timeout_s: float | None) -> bool:
    """Wait for a process; True if it is gone."""
    try:
        process.wait(timeout_s)
    except psutil.TimeoutExpired:
        return False
    except psutil.Error:
        pass
    return True


def _kill(run: Run) -> None:
    """Kill the run's process tree; never a process that does more than this run (a notebook, this one)."""
    if not run.state()["own_process"] and not _has_worker(run):
        return
    doomed: list[psutil.Process] = []
    for process in _processes(run):
        if process.pid != os.getpid():
            with suppress(psutil.Error):
                doomed += process.children(recursive=True)
            doomed.append(process)
    for process in doomed:
        with suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(doomed, timeout=10)
