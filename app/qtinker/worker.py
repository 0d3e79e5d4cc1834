"""Executes one run, all its phases: `python -m qtinker.worker RUN_ID`, or `execute` inside another program.

The only writer of a run's state and events. A signal or the stop flag ends the run after the current step, saved;
whatever else goes wrong ends as a status with words, its traceback in log.txt. The exit status is the run's:
0 done, 1 failed, 2 bad input, 130 stopped.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any

import filelock
import psutil

from . import jobs, runs, together
from .errors import (
    EXIT_BAD_INPUT,
    EXIT_DONE,
    EXIT_FAILED,
    DiskFull,
    InputError,
    QTinkerError,
    RunFailed,
    RunStopped,
    is_full,
)
from .run_writer import EventWriter, StateWriter
from .runs import Run

Event = dict[str, Any]
STATE_EVERY_S = 0.5
# What other programs set for themselves and would turn against us: with it torch would execute pickles.
UNWANTED = ("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD",)


def execute(run: Run, *, emit: Callable[[Event], None] | None = None, own_process: bool = False) -> dict[str, Any]:
    """Run all phases in this process and return the report.

    Args:
        emit: called with each event, after it is written.
        own_process: this process is there for the run alone and may be killed with it.

    Raises:
        RunStopped: the user stopped it; it can be resumed.
        QTinkerError: it failed, in words; the traceback is in log.txt.
    """
    from . import pipeline

    for name in UNWANTED:
        os.environ.pop(name, None)
    if not together.is_main():
        with Signals():  # the main process hears the same signal, and all end after the same step
            return _beside(run)
    lock = filelock.FileLock(run.files.lock, timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise InputError(f"Run {run.id} is going on already, in another process.") from None
    try:
        with Recorder(run, emit, own_process=own_process) as recorder, Signals() as signals:
            recorder.begin()
            try:
                spec = run.spec()
                recorder.plan = pipeline.plan(spec)
                recorder.tell_beforehand()
                report = pipeline.execute(run, spec, emit=recorder.emit, should_stop=recorder.watch(signals))
                recorder.end("done", "Done", name=spec.name or report["name"])  # unnamed, it is called as its model
                return report
            except BaseException as error:
                raise recorder.failed(error) from error
    finally:
        lock.release()


def _beside(run: Run) -> dict[str, Any]:
    """Run all phases beside the main process, which writes everything down; only an error of one's own is kept."""
    from . import pipeline

    log = run.folder / f"log-process-{together.rank()}.txt"
    log.unlink(missing_ok=True)
    try:
        return pipeline.execute(run, run.spec(), emit=lambda event: None, should_stop=lambda: False)
    except QTinkerError:
        raise
    except Exception as error:
        if together.is_lost(error):
            raise explain(error, run=run) from error
        log.write_text(traceback.format_exc(), encoding="utf-8")
        raise


class Recorder:
    """Writes down what a run says of itself: each event, the state that follows from it, a line in the log."""

    def __init__(self, run: Run, emit: Callable[[Event], None] | None, *, own_process: bool) -> None:
        self.run, self.listener, self.own_process = run, emit, own_process
        self.plan: list[Any] = []
        self._done, self._whole = 0.0, 1.0  # weight of the phases before this one, and of all
        self._weight, self._written, self._stopping = 0.0, 0.0, False

    def __enter__(self) -> Recorder:
        self.state, self.events = StateWriter(self.run), EventWriter(self.run)
        return self

    def __exit__(self, *_: object) -> None:
        self.state.close()
        self.events.close()

    def begin(self) -> None:
        """The run is going on, in this process, from now."""
        now, process = time.time(), psutil.Process()
        resumed = self.state.fields["attempt"] > 0
        self.state.update(
            status="running", pid=process.pid, process_created=process.create_time(), own_process=self.own_process,
            started=self.state.fields["started"] or now, ended=None, error=None, eta_s=None, phase="prepare",
            message="Going on" if resumed else "Starting", attempt=self.state.fields["attempt"] + 1,
        )  # fmt: skip
        if resumed:
            self.emit({"kind": "message", "phase": "prepare", "level": "info", "text": "Going on after a break."})

    def tell_beforehand(self) -> None:
        """Pass on, in the first attempt, what the check wrote down when the run was made."""
        if self.state.fields["attempt"] > 1:
            return
        for event in self.run.events()[0]:
            self.log(f"{event['phase']}: {event['level']}: {event['text']}")
            if self.listener:
                self._tell(self.listener, event)

    def emit(self, event: Event) -> None:
        """Write an event; update the state if it changes what a reader should see, or half a second has passed."""
        event = self.events.emit(event)
        changes: dict[str, Any] = {"phase": event.get("phase")}
        urgent = True
        match event["kind"]:
            case "phase":
                names = [phase.name for phase in self.plan]
                place = names.index(event["phase"]) if event["phase"] in names else 0
                weights = [phase.weight for phase in self.plan] or [1.0]
                self._done, self._weight, self._whole = sum(weights[:place]), weights[place], sum(weights)
                changes |= {
                    "step": 0, "total_steps": event.get("total_steps"), "eta_s": None, "message": event["title"],
                    "progress": round(self._done / self._whole, 4),
                }  # fmt: skip
                self.log(f"{event['phase']}: {event['title']}")
            case "step":
                changes |= {"step": event["step"], "total_steps": event["total_steps"], "eta_s": event.get("eta_s")}
                share = event["step"] / max(event["total_steps"] or 1, 1)
                changes["progress"] = round((self._done + self._weight * min(share, 1.0)) / self._whole, 4)
                urgent = time.monotonic() - self._written > STATE_EVERY_S
            case "eval":
                self.log(f"{event['phase']}: step {event['step']}: {event['metrics']}")
            case "message":
                self.log(f"{event.get('phase')}: {event['level']}: {event['text']}")
        if self._stopping:
            changes["message"] = "Stopping after this step"
        self.state.fields |= changes
        if urgent or self.state.unwritten:
            self.state.update()
            self._written = time.monotonic()
        if self.listener:
            self._tell(self.listener, event)

    def _tell(self, listener: Callable[[Event], None], event: Event) -> None:
        try:
            listener(event)
        except (QTinkerError, OSError):
            raise
        except Exception as error:
            raise RunFailed(
                f"The function given as on_event raised {type(error).__name__}: {error}.",
                f"Mend it, then go on with: python3 app runs resume {self.run.id}",
            ) from error

    def watch(self, signals: Signals) -> Callable[[], bool]:
        """Whether to end after this step: by a signal, or by the stop flag."""

        def should_stop() -> bool:
            stop = bool(signals.received) or self.run.stop_requested()
            if stop and not self._stopping:
                self._stopping = True
                self.state.update(status="stopping", message="Stopping after this step", eta_s=None)
                self.emit({
                    "kind": "message", "phase": self.state.fields["phase"], "level": "info",
                    "text": "Stopping after this step.",
                })  # fmt: skip
            return stop

        return should_stop

    def failed(self, error: BaseException) -> QTinkerError:
        """Write down how the run ended; returns the error in words."""
        if not isinstance(error, RunStopped):
            self.log(traceback.format_exc().rstrip())
        resume = f"Go on with: python3 app runs resume {self.run.id}"
        if isinstance(error, RunStopped | KeyboardInterrupt):
            text = error.message if isinstance(error, RunStopped) else f"Run {self.run.id} was aborted."
            self.end("stopped", "Stopped")
            self.run.clear_stop()
            return RunStopped(text, resume)
        explained = explain(error, run=self.run)
        self.end("failed", "Failed", error={"message": explained.message, "fix": explained.fix})
        return explained

    def end(self, status: str, message: str, **more: Any) -> None:
        """The last state of this attempt; a disk that is full for the moment is given some seconds."""
        self.log(message)
        more |= {"progress": 1.0} if status == "done" else {}
        fields = {"status": status, "message": message, "ended": time.time(), "eta_s": None, **more}
        for _ in range(20):
            if self.state.update(**fields):
                return
            time.sleep(0.25)
        print(f"Can't write {self.run.files.state}: {message}.", file=sys.stderr)

    def log(self, text: str) -> None:
        """A line in log.txt."""
        with suppress(OSError), self.run.files.log.open("a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")


def explain(error: BaseException, *, run: Run) -> QTinkerError:
    """Any error in words for the user."""
    if isinstance(error, QTinkerError):
        return error
    resume = f"then go on with: python3 app runs resume {run.id}"
    if is_full(error):
        return DiskFull(f"The disk is full ({error}).", f"Free some space, {resume}")
    if together.is_lost(error):
        told = [f"its words are in {file}" for file in sorted(run.folder.glob("log-process-*.txt"))]
        return RunFailed(
            f"Another process of this run has ended{': ' + told[-1] if told else ''}.", f"Mend what it met, {resume}"
        )
    if isinstance(error, MemoryError):
        return RunFailed("There is not enough memory.", f"Close other programs or lower batch_size, {resume}")
    return RunFailed(
        f"{type(error).__name__}: {' '.join(str(error).split()) or 'no message'}",
        f"This was not foreseen: the traceback is in {run.files.log}",
    )


class Signals:
    """Ctrl-C and polite kills ask the run to stop; a second Ctrl-C aborts it. Outside the main thread: nothing."""

    NAMES = ("SIGINT", "SIGTERM", "SIGBREAK")

    def __init__(self) -> None:
        self.received = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():
            for name in self.NAMES:
                if number := getattr(signal, name, None):
                    self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.received += 1
        around = getattr(self._before.get(number), "__self__", None)
        if isinstance(around, Signals):  # a sweep around this run is to end too
            around.received += 1
        if self.received > 1 and number == signal.SIGINT:
            raise KeyboardInterrupt


def main(arguments: list[str] | None = None) -> int:
    """Execute the run with the given id, then start the next one of the queue."""
    given = sys.argv[1:] if arguments is None else arguments
    if len(given) != 1:
        print("usage: python -m qtinker.worker RUN_ID", file=sys.stderr)
        return EXIT_BAD_INPUT
    status = EXIT_FAILED
    try:
        run = runs.open(given[0])
        _step_back()
        execute(run, own_process=True)
        status = EXIT_DONE
    except QTinkerError as error:
        print(error, file=sys.stderr)
        status = error.exit_status
    try:
        jobs.advance()
    except QTinkerError as error:
        print(error, file=sys.stderr)
    return status


def _step_back() -> None:
    """The page, and whatever else the user does, go first."""
    with suppress(psutil.Error, OSError):
        if sys.platform == "win32":
            psutil.Process().nice(psutil.BELOW_NORMAL_PRIORITY_CLASS)
        else:
            psutil.Process().nice(5)


if __name__ == "__main__":
    sys.exit(main())
