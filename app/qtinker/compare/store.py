"""The sweep store: one folder a sweep under sweeps/, readable at any time, written by the process that executes it.

    sweeps/<id>/  sweep.yaml  state.json (replaced atomically)  measured/  report.json .csv .md .html  stop  .lock

state.json holds what each candidate has come to and every decision taken, so that a resumed sweep repeats none.
"""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import filelock

from .. import runs
from ..errors import InputError, RunFailed
from ..home import home
from .spec import SweepSpec

REPORTS = ("json", "csv", "md", "html")
FIRST: dict[str, Any] = {
    "id": "", "kind": "", "name": None, "status": "new", "phase": "models", "message": "", "created": None,
    "updated": None, "ended": None, "seconds": 0.0, "pid": None, "process_created": None, "error": None,
    "candidates": {}, "models": {}, "decisions": [], "notes": [], "current": None, "progress": 0.0,
    "unfetched": [], "fetch_fix": "",
}  # fmt: skip


def sweeps_dir() -> Path:
    """One folder a sweep."""
    return home() / "sweeps"


class Sweep:
    """One sweep folder. All methods read anew; `write` is for the process that executes the sweep."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.id = folder, folder.name

    @property
    def lock(self) -> Path:
        """Held by the process that executes the sweep."""
        return self.folder / ".lock"

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock in the block.

        Raises:
            InputError: another process holds it.
        """
        lock = filelock.FileLock(self.lock, timeout=0)
        try:
            lock.acquire()
        except filelock.Timeout:
            raise InputError(f"Sweep {self.id} is going on already, in another process.") from None
        try:
            yield
        finally:
            lock.release()

    @property
    def stop_file(self) -> Path:
        """Whoever wants the sweep to stop creates it."""
        return self.folder / "stop"

    @property
    def measured(self) -> Path:
        """What was measured of each model."""
        return self.folder / "measured"

    def spec(self) -> SweepSpec:
        """What the sweep does.

        Raises:
            InputError: sweep.yaml is missing or damaged.
        """
        return SweepSpec.load(self.folder / "sweep.yaml")

    def state(self) -> dict[str, Any]:
        """The state; `interrupted` where it says running and the process is gone, `broken` where it can't be read."""
        try:
            saved = runs.read_json(self.folder / "state.json")
            state = FIRST | saved | {"id": self.id}
        except (OSError, ValueError, TypeError) as error:
            return FIRST | {"id": self.id, "status": "broken", "message": f"state.json can't be read: {error}."}
        if state["status"] == "running" and not runs.is_alive(state["pid"], state["process_created"]):
            state |= {"status": "interrupted", "message": "The process is gone."}
        return state

    def write(self, state: dict[str, Any]) -> None:
        """Replace the state in one step."""
        runs.write_json(self.folder / "state.json", state | {"updated": time.time()})

    def report(self) -> dict[str, Any] | None:
        """The result; None while there is none."""
        try:
            found = runs.read_json(self.folder / "report.json")
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def report_file(self, ending: str) -> Path:
        """One of the written reports."""
        return self.folder / f"report.{ending}"

    def request_stop(self) -> None:
        """Ask the sweep to finish its step, save and end."""
        self.stop_file.touch()

    def delete(self) -> None:
        """Remove the folder; runs and models stay.

        Raises:
            InputError: the sweep is going on.
        """
        if self.state()["status"] == "running":
            raise InputError(f"Sweep {self.id} is going on.", "Stop it first.")
        shutil.rmtree(self.folder, ignore_errors=True)


def create(spec: SweepSpec) -> Sweep:
    """Make a sweep folder, complete from its first moment; nothing is started.

    Raises:
        RunFailed: the folder can't be written.
    """
    now = time.time()
    stamp = time.strftime("%Y%m%d-%H%M%S", time.localtime(now))
    sweep = Sweep(sweeps_dir() / f"{stamp}-{spec.kind}-{secrets.token_hex(2)}")
    made = sweep.folder.with_name(f".new-{sweep.id}")
    try:
        made.mkdir(parents=True)
        (made / "measured").mkdir()
        (made / "sweep.yaml").write_text(spec.to_yaml(full=True), encoding="utf-8")
        runs.write_json(
            made / "state.json", FIRST | {"id": sweep.id, "kind": spec.kind, "name": spec.name, "created": now}
        )
        made.rename(sweep.folder)
    except OSError as error:
        shutil.rmtree(made, ignore_errors=True)
        raise RunFailed(
            f"Can't make a sweep folder in {sweeps_dir()}: {error}.", "Free space there or set QTINKER_HOME."
        ) from None
    return sweep


def open(sweep_id: str) -> Sweep:
    """The sweep with this id, or the only one whose id ends in it; `last` is the newest.

    Raises:
        InputError: no such sweep, several, or an id that is no plain name.
    """
    if not isinstance(sweep_id, str) or not runs.PLAIN_NAME.match(sweep_id) or ".." in sweep_id:
        raise InputError(f"{sweep_id!r} is no sweep's id.", "python3 app sweeps lists them.")
    found = list_sweeps()
    if sweep_id == "last" and found:
        return found[0]
    matches = [each for each in found if each.id == sweep_id or each.id.endswith(f"-{sweep_id}")]
    if len(matches) != 1:
        what = f"There is no sweep {sweep_id!r}." if not matches else f"{sweep_id!r} could be any of several sweeps."
        raise InputError(what, "python3 app sweeps lists them.")
    return matches[0]


def going_on() -> bool:
    """Whether a process works on a sweep now."""
    return any(each.state()["status"] == "running" for each in list_sweeps())


def given_up() -> set[str]:
    """Ids of the runs whose candidates were stopped or failed in sweeps that are done: no sweep goes on with them."""
    states = [state for each in list_sweeps() if (state := each.state())["status"] == "done"]
    entries = [entry for state in states for entry in state["candidates"].values()]
    return {entry["run"] for entry in entries if entry["run"] and entry["status"] in ("stopped", "failed")}


def list_sweeps() -> list[Sweep]:
    """All sweeps, newest first."""
    try:
        names = [entry.name for entry in os.scandir(sweeps_dir()) if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []
    return [Sweep(sweeps_dir() / name) for name in sorted(names, reverse=True) if runs.PLAIN_NAME.match(name)]
