"""Executes a sweep: fetch, plan, train with successive halving, quantize, measure, report.

Every candidate is a run of its own (`runs/<id>/`), paused and resumed through the same worker as any other, so that
nothing is done twice: what a stopped or killed sweep had reached is in its state.json and in the runs.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psutil

from .. import jobs, worker
from ..errors import DiskFull, DownloadError, InputError, QTinkerError, RunFailed, RunStopped, is_full
from ..estimate import examples_read
from ..kinds import KINDS
from . import pairs, planning
from .pairs import Candidate
from .store import Sweep
from .telling import Once

Event = dict[str, Any]
MOST_REASONS = 3
OPEN = ("waiting", "training", "paused", "trained")
"""States of a candidate that may still come to something; all others carry a reason."""


def execute(sweep: Sweep, *, emit: Callable[[Event], None] | None = None) -> dict[str, Any]:
    """Do all of a sweep that is not done yet, in this process, and return its report.

    Runs that wait in the queue wait until it has ended, also between two of its own runs (`jobs.advance`): they would
    take half of the processor from what is being measured.

    Raises:
        RunStopped: Ctrl-C, a signal or the stop file; calling again goes on.
        QTinkerError: there was nothing to compare, in words.
    """
    for name in worker.UNWANTED:
        os.environ.pop(name, None)
    with sweep.held():
        try:
            with worker.Signals() as signals:
                return SweepWork(sweep, emit or (lambda event: None), signals).whole()
        finally:
            with suppress(QTinkerError):
                jobs.advance()


class SweepWork:
    """One attempt at a sweep: its spec, its state, and how it speaks and stops."""

    def __init__(self, sweep: Sweep, emit: Callable[[Event], None], signals: worker.Signals) -> None:
        self.sweep, self.emit, self.signals = sweep, Once(emit), signals
        self.spec, self.state = sweep.spec(), sweep.state()
        if self.state["status"] == "broken":
            raise InputError(f"Sweep {sweep.id} can't be read.", "Start a new one.")
        self.prefix = self.spec.name or f"s{sweep.id.rpartition('-')[2]}"
        self._since = time.monotonic()
        self._dataset: Any = None
        self._written = 0.0

    # --- from beginning to end --------------------------------------------------------------------------------------

    def whole(self) -> dict[str, Any]:
        """All phases; the state says how it ended."""
        self.sweep.stop_file.unlink(missing_ok=True)
        process = psutil.Process()
        self.save(status="running", pid=process.pid, process_created=process.create_time(), error=None, ended=None)
        try:
            from ..distill import precision
            from . import measuring, results, training

            planning.plan(self)
            self.refuse_other_data()
            with precision.agreed(self.state.setdefault("precision", {})):
                training.train(self)
            measuring.measure(self)
            for text in self.emit.repeated():
                self.say(text, kind="message")
            report = results.make(self)
            results.write(self.sweep, report)
            self.save(status="done", phase="done", message="Done", progress=1.0, current=None, ended=time.time())
            return report
        except BaseException as error:
            raise self.failed(error) from error

    def failed(self, error: BaseException) -> QTinkerError:
        """Write down how the attempt ended; returns the error in words."""
        resume = f"Go on with: python3 app sweeps resume {self.sweep.id}"
        if isinstance(error, RunStopped | KeyboardInterrupt):
            self.save(status="stopped", message="Stopped", current=None, ended=time.time())
            self.sweep.stop_file.unlink(missing_ok=True)
            return RunStopped(f"The sweep {self.sweep.id} was stopped.", resume)
        explained = error if isinstance(error, QTinkerError) else RunFailed(
            f"{type(error).__name__}: {' '.join(str(error).split()) or 'no message'}", resume
        )  # fmt: skip
        if isinstance(error, DiskFull) or is_full(error):
            words = error.message if isinstance(error, DiskFull) else f"The disk is full ({error})."
            explained = DiskFull(words, f"Free some space, then go on with: python3 app sweeps resume {self.sweep.id}")
        with suppress(OSError):  # where there is no room even for that, it is told as interrupted
            self.save(status="failed", message=explained.message, current=None, ended=time.time(),
                      error={"message": explained.message, "fix": explained.fix})  # fmt: skip
        return explained

    def save(self, **changes: Any) -> None:
        """Write the state, with the seconds that all attempts took together."""
        now = time.monotonic()
        self.state["seconds"] += now - self._since
        self._since = now
        self.state |= changes
        self.sweep.write(self.state)
        if {"message", "progress"} & set(changes):
            told = {key: self.state[key] for key in ("message", "progress", "status")}
            self.emit({"kind": "sweep", "sweep": self.sweep.id, **told})
        self._written = now

    def save_now_and_then(self) -> None:
        """Write the state if that was some seconds ago."""
        if time.monotonic() - self._written > 5:
            self.save()

    def say(self, text: str, *, kind: str = "heading") -> None:
        """Tell whoever watches."""
        self.emit({"kind": kind, "text": text, "level": "info"} if kind == "message" else {"kind": kind, "text": text})

    def note(self, text: str) -> None:
        """Something that the report says too."""
        if text not in self.state["notes"]:
            self.state["notes"].append(text)
            self.say(text)

    def stopping(self) -> bool:
        """Whether the user asked to stop."""
        return bool(self.signals.received) or self.sweep.stop_file.exists()

    def check_stop(self) -> None:
        """
        Raises:
            RunStopped: the user asked to stop.
        """
        if self.stopping():
            raise RunStopped("Stopped.")

    @property
    def spent(self) -> float:
        """Seconds that all attempts took so far."""
        return self.state["seconds"] + time.monotonic() - self._since

    def out_of_time(self, share: float = 1.0) -> bool:
        """Whether so much of the budget is used up."""
        return self.spec.budget is not None and self.spent >= share * self.spec.budget

    @property
    def entries(self) -> dict[str, dict[str, Any]]:
        """What each candidate has come to, by id, in order."""
        return self.state["candidates"]

    def candidate(self, name: str) -> Candidate:
        """The candidate of an id."""
        entry = self.entries[name]
        return Candidate(entry["teacher"], entry["student"], entry["method"])

    def still_open(self) -> list[str]:
        """Ids of the candidates that may still come to something."""
        return [name for name, entry in self.entries.items() if entry["status"] in OPEN]

    @property
    def dataset(self) -> Any:
        """The data, read once."""
        if self._dataset is None:
            from .. import data

            try:
                self._dataset = data.load(self.spec.data, seed=self.spec.training.seed, task=self.spec.task.type)
            except InputError:
                found = planning.without_labels(self.spec)
                if found is None:
                    raise
                self._dataset, teacher = found
                self.note(f"The data have no labels: scores tell how well answers agree with those of {teacher}.")
        return self._dataset

    def tell_data(self) -> None:
        """Read the data before any model is fetched: what is wrong with it is wrong for every candidate."""
        told = self.dataset
        words = f"{len(told.train):,} examples to learn from, {len(told.eval):,} to measure on"
        self.say(f"{words}: {KINDS[told.task.type].words}", kind="message")

    def refuse_other_data(self) -> None:
        """
        Raises:
            InputError: candidates were trained on other data than there are now.
        """
        from ..reading import content

        found = content(self.dataset, labels=bool(self.dataset.train.labelled.any()))
        if self.state.setdefault("content", found) != found:
            raise InputError(
                f"The data are no longer those that sweep {self.sweep.id} began with.",
                "Put the files back as they were and resume it, or start a new one.",
            )

    @property
    def metric(self) -> str:
        """What scores are in."""
        chosen = self.spec.task.metric
        return self.dataset.task.metric if chosen == "auto" else chosen

    @property
    def total_steps(self) -> int:
        """Steps of each candidate's training: as the first that began told, until then from the examples; roughly
        where others are read than are given (blocks of running text, variants)."""
        if told := [entry["total_steps"] for entry in self.entries.values() if entry.get("total_steps")]:
            return min(told)
        training = self.spec.training
        _, read = examples_read(self.spec.data, self.dataset.train, variants=bool(self.spec.data.augment_model))
        a_pass = -(-read // training.batch_size)
        steps = max(1, math.ceil(training.epochs * a_pass - 1e-9))
        return min(steps, training.max_steps or steps)

    def run_spec(self, name: str) -> Any:
        """The run of a candidate. It is evaluated at each quarter, so that candidates can be compared there."""
        every = -(-self.total_steps // 4) if self.spec.halving else None
        finetune = self.entries[name].get("finetune", True)
        return pairs.run_spec(
            self.candidate(name), self.spec, prefix=self.prefix, eval_every=every, finetune=finetune
        )  # fmt: skip

    def close(self, name: str, status: str, reason: str | None, *, quiet: bool = False, **more: Any) -> None:
        """A candidate comes to nothing more, and why; `quiet` where that was told before."""
        self.entries[name] |= {"status": status, "reason": reason, **more}
        self.save()
        if reason and not quiet:
            self.say(f"{name}: {status}: {reason}", kind="message")

    def nothing(self) -> QTinkerError:
        """No candidate is left, in words."""
        reasons = list(dict.fromkeys(entry["reason"] for entry in self.entries.values() if entry["reason"]))
        states = {entry["status"] for entry in self.entries.values()}
        if "out of time" in states and "failed" not in states:
            return RunFailed(
                "The budget was over before a first candidate was trained.",
                f"Give more: python3 app sweeps resume {self.sweep.id} --budget TIME",
            )
        shown = " ".join(reasons[:MOST_REASONS]) + (
            f" And {len(reasons) - MOST_REASONS} more reasons." if len(reasons) > MOST_REASONS else ""
        )
        if states == {"skipped"}:
            missing = self.state["models"]
            shown = planning.reason_of([name for name, reason in missing.items() if reason], missing)
        words = f"None of the {len(self.entries)} pairs could be trained. {shown}".rstrip()
        if "failed" in states:
            return RunFailed(words, f"See what happened: python3 app sweeps show {self.sweep.id}")
        unfetched = set(self.state["unfetched"])
        if any(unfetched & set(self.candidate(name).models) for name in self.entries):
            return DownloadError(words, self.state["fetch_fix"])
        return InputError(words)
