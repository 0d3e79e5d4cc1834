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
from pathlib import Path
from typing import Any

import filelock
import psutil

from .. import api, runs, worker
from ..errors import InputError, QTinkerError, RunFailed, RunStopped, SpecError
from . import availability, halving, pairs
from .pairs import Candidate
from .quantities import in_words
from .store import Sweep

Event = dict[str, Any]
OPEN = ("waiting", "training", "paused", "trained")
"""States of a candidate that may still come to something; all others carry a reason."""
FOR_TRAINING = 0.9
"""Share of the budget in which trainings may go on; the rest is for quantizing and measuring."""


def execute(sweep: Sweep, *, emit: Callable[[Event], None] | None = None) -> dict[str, Any]:
    """Do all of a sweep that is not done yet, in this process, and return its report.

    Raises:
        RunStopped: Ctrl-C, a signal or the stop file; calling again goes on.
        QTinkerError: there was nothing to compare, in words.
    """
    for name in worker.UNWANTED:
        os.environ.pop(name, None)
    lock = filelock.FileLock(sweep.lock, timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise InputError(f"Sweep {sweep.id} is going on already, in another process.") from None
    try:
        with worker.Signals() as signals:
            return SweepWork(sweep, emit or (lambda event: None), signals).whole()
    finally:
        lock.release()


class SweepWork:
    """One attempt at a sweep: its spec, its state, and how it speaks and stops."""

    def __init__(self, sweep: Sweep, emit: Callable[[Event], None], signals: worker.Signals) -> None:
        self.sweep, self.emit, self.signals = sweep, emit, signals
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
            from . import results

            self.plan()
            self.train()
            self.measure()
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
        self._written = now

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

            self._dataset = data.load(self.spec.data, seed=self.spec.training.seed, task=self.spec.task.type)
        return self._dataset

    @property
    def metric(self) -> str:
        """What scores are in."""
        chosen = self.spec.task.metric
        return self.dataset.task.metric if chosen == "auto" else chosen

    @property
    def total_steps(self) -> int:
        """Steps of each candidate's training."""
        training = self.spec.training
        a_pass = -(-len(self.dataset.train) // training.batch_size)
        steps = max(1, math.ceil(training.epochs * a_pass - 1e-9))
        return min(steps, training.max_steps or steps)

    # --- planning ---------------------------------------------------------------------------------------------------

    def plan(self) -> None:
        """Decide on the candidates, once; fetch their models; refuse what can't work before any time goes into it."""
        if self.state["phase"] not in ("models", "plan"):
            return
        self.save(phase="models", message="Looking for the models")
        if not self.entries:
            for each in self._listed():
                self.entries[each.id] = {
                    "teacher": each.teacher, "student": each.student, "method": each.method, "status": "waiting",
                    "run": None, "share": 0.0, "score": None, "reason": None, "seconds": 0.0,
                }  # fmt: skip
            self.save()
        self._fetch()
        self.save(phase="plan", message="Checking the pairs")
        for name in self.still_open():
            self.check_stop()
            self._check(name)
        self.save(phase="train")
        if not self.still_open():
            raise self._nothing()

    def _listed(self) -> list[Candidate]:
        if self.spec.kind == "compare":
            return pairs.candidates(self.spec)
        from . import search

        return search.candidates(self)

    def _fetch(self) -> None:
        needed = dict.fromkeys(model for name in self.still_open() for model in self.candidate(name).models)
        wanted = [model for model in needed if model not in self.state["models"]]
        found = availability.at_hand(
            wanted, fetch=self.spec.download, progress=lambda text: self.say(text, kind="message"),
            cancel=self.stopping,
        )  # fmt: skip
        self.state["models"] |= found
        for name in self.still_open():
            missing = [model for model in self.candidate(name).models if self.state["models"].get(model)]
            if missing:
                self.close(name, "skipped", self.state["models"][missing[0]])
        for model in [model for model in needed if self.state["models"].get(model)]:
            self.note(f"{model} is not here: {self.state['models'][model]} Its pairs are skipped.")

    def _check(self, name: str) -> None:
        """Refuse a candidate that would fail; keep what the decisions need to know of its cost."""
        from .. import check
        from . import bounds

        spec = check.anchored(self.run_spec(name))
        problems = [problem for problem in check.check(spec) if problem.level == "error"]
        if problems:
            fix = f" {problems[0].fix}" if problems[0].fix else ""
            self.close(name, "refused", f"{problems[0].message}{fix}".strip())
            return
        self.entries[name] |= bounds.cost(spec, self.dataset.train)

    def run_spec(self, name: str) -> Any:
        """The run of a candidate. It is evaluated at each quarter, so that candidates can be compared there."""
        every = -(-self.total_steps // 4) if self.spec.halving else None
        return pairs.run_spec(self.candidate(name), self.spec, prefix=self.prefix, eval_every=every)

    def close(self, name: str, status: str, reason: str | None, **more: Any) -> None:
        """A candidate comes to nothing more, and why."""
        self.entries[name] |= {"status": status, "reason": reason, **more}
        self.save()
        if reason:
            self.say(f"{name}: {status}: {reason}", kind="message")

    def _nothing(self) -> QTinkerError:
        reasons = list(dict.fromkeys(entry["reason"] for entry in self.entries.values() if entry["reason"]))
        first = f" {reasons[0]}" if reasons else ""
        return InputError(f"No pair is left to train ({len(self.entries)} were asked for).{first}")

    # --- training ---------------------------------------------------------------------------------------------------

    def train(self) -> None:
        """All trainings, up to each rung side by side; after a rung those far behind are stopped."""
        if self.state["phase"] != "train":
            return
        shares = self.rungs()
        for share in shares:
            done = [decision["share"] for decision in self.state["decisions"]]
            if share in done:
                continue
            names = self.still_open()
            for number, name in enumerate(names):
                if self.entries[name]["share"] >= share:
                    continue
                self.check_stop()
                place = f"{number + 1} of {len(names)}"
                title = f"{self.candidate(name).pair}, {self.entries[name]['method']} ({place}"
                self.say(f"{title}{', up to ' + format(share, '.0%') if share < 1 else ''})")
                weight = shares.index(share) + number / max(len(names), 1)
                self.save(current=name, message=title + ")", progress=round(0.9 * weight / len(shares), 3))
                self.train_to(name, share)
            if share < 1:
                self.halve(share)
        self.save(phase="measure", current=None)

    def rungs(self) -> tuple[float, ...]:
        """At which shares of the training candidates are compared; the last is the end."""
        begun = sum(entry["status"] not in ("refused", "skipped") for entry in self.entries.values())
        worth = self.spec.halving and begun >= halving.FEWEST and self.total_steps >= 4
        return (*halving.SHARES, 1.0) if worth else (1.0,)

    def train_to(self, name: str, share: float) -> None:
        """Train a candidate to a share of its steps, or to the end; its state says how far it came."""
        entry = self.entries[name]
        if self.out_of_time(FOR_TRAINING):
            self.close(name, "out of time", "The budget was over before it was its turn.")
            return
        entry["status"] = "training"
        try:
            run = self.run_of(name)
            watch = Watch(self, run, boundary=math.ceil(share * self.total_steps) if share < 1 else None)
            if share < 1 and watch.reached():
                report = None
            elif run.state()["status"] == "done":
                report = run.report()
            else:
                run.clear_stop()
                report = worker.execute(run, emit=watch)
        except RunStopped:
            entry["seconds"] += watch.seconds
            if self.stopping() or watch.asked is None:
                raise
            if watch.asked == "time":
                self.close(name, "out of time", "The budget was over during its training.", score=watch.score())
                return
            report = None
        except QTinkerError as error:
            self._failed(name, error)
            return
        entry["seconds"] += watch.seconds
        entry |= {"share": share, "score": watch.score(), "status": "paused" if report is None else "trained"}
        if report is not None:
            entry |= self._trained(report)
        self.save()
        self.check_stop()

    def run_of(self, name: str) -> runs.Run:
        """The candidate's run folder; made once."""
        entry = self.entries[name]
        if entry["run"]:
            with suppress(InputError):
                found = runs.open(entry["run"])
                if found.state()["status"] != "broken":
                    return found
        run = api.create_run(self.run_spec(name))
        entry["run"] = run.id
        self.save()
        return run

    def _trained(self, report: dict[str, Any]) -> dict[str, Any]:
        training = report["training"]["distill"]
        steps, speed = training["steps"], training["examples_per_second"]
        return {
            "checkpoint": report["checkpoint"], "teacher_path": report["teacher"],
            "control": (report["metrics"].get("control") or {}).get(report["metric"]),
            "training_seconds": round(steps * self.spec.training.batch_size / speed, 1) if speed else None,
            "best_step": training["best_step"],
        }  # fmt: skip

    def _failed(self, name: str, error: QTinkerError) -> None:
        """The sweep goes on; where a teacher could not be trained, its other pairs need not be tried."""
        words = " ".join(map(str, error.problems)) if isinstance(error, SpecError) else str(error)
        entry = self.entries[name]
        run = runs.Run(runs.runs_dir() / entry["run"]) if entry["run"] else None
        self.close(name, "failed", words)
        if run is not None and run.state()["phase"] == "finetune-teacher":
            for other in self.still_open():
                if self.entries[other]["teacher"] == entry["teacher"]:
                    self.close(other, "failed", f"Its teacher could not be trained: {words}")

    def halve(self, share: float) -> None:
        """Stop who is far behind, and who can't be finished in the budget; write the decision down."""
        names = self.still_open()
        standings = [
            halving.Standing(name, self.entries[name]["score"], self.entries[name]["parameters"],
                             self.entries[name]["operations"])
            for name in names
        ]  # fmt: skip
        alone = self.spec.target.max_size is not None or self.spec.target.max_latency is not None
        examples = int(self.dataset.eval.labelled.sum())
        stops = halving.decide(standings, examples=examples, by_score_alone=alone)
        for stop in stops:
            mine, its = (self.entries[each]["score"] for each in (stop.id, stop.behind))
            self.close(stop.id, "stopped", f"After {share:.0%} of its training it had {mine:.4f}, {stop.by:.4f} behind "
                       f"{stop.behind} ({its:.4f})" + ("." if alone else ", which costs no more."))  # fmt: skip
        if self.spec.budget is not None:
            self._within_budget(share)
        self.state["decisions"].append({"share": share, "stopped": [stop.id for stop in stops], "of": len(names)})
        self.save()

    def _within_budget(self, share: float) -> None:
        assert self.spec.budget is not None
        names = sorted(self.still_open(), key=lambda name: -(self.entries[name]["score"] or 0.0))
        left = [(name, self.entries[name]["seconds"] * (1 - share) / share + 10) for name in names]
        kept = halving.affordable(left, FOR_TRAINING * self.spec.budget - self.spent)
        for name, seconds in left:
            if name not in kept:
                self.close(name, "out of time", f"After {share:.0%} it would have needed about {in_words(seconds)} "
                           "more, which the budget does not hold.")  # fmt: skip

    # --- measuring --------------------------------------------------------------------------------------------------

    def measure(self) -> None:
        """Quantize and measure what was trained, teachers first."""
        from . import points

        names = [name for name, entry in self.entries.items() if entry["status"] in ("trained", "done")]
        if not names:
            raise self._nothing()
        examples, task, threads = self.dataset.eval, self.dataset.task, self.spec.training.threads
        folder = self.sweep.measured
        points.surroundings(folder, threads)
        self.say("Measuring")
        for number, name in enumerate(names):
            entry = self.entries[name]
            self.save(current=name, message=f"Measuring {name}", progress=round(0.9 + 0.1 * number / len(names), 3))
            key = f"teacher-{pairs.short(entry['teacher'])}"
            entry["teacher_key"] = key
            student = Path(entry["checkpoint"])
            for each, path in ((key, Path(entry["teacher_path"])), (name, student)):
                self.check_stop()
                points.measured(folder, each, path, examples=examples, task=task, threads=threads)
            for scheme in self.spec.wanted_schemes:
                self.check_stop()
                self._quantized(name, scheme, student)
            entry["status"] = "done"
            self.save()

    def _quantized(self, name: str, scheme: str, student: Path) -> None:
        """One scheme of one student; a scheme that does not suit it is reported, and the sweep goes on."""
        from . import points

        entry, key = self.entries[name], f"{name}-{scheme}"
        tried: dict[str, str | None] = entry.setdefault("schemes", {})
        if tried.get(scheme) or (self.sweep.measured / f"{key}.json").is_file():
            return
        if self.out_of_time():
            tried[scheme] = "out of time"
            return
        try:
            path = points.quantized(
                student, scheme, examples=self.dataset.eval, progress=lambda text: self.say(text, kind="message")
            )
            points.measured(
                self.sweep.measured, key, path, examples=self.dataset.eval, task=self.dataset.task,
                threads=self.spec.training.threads,
            )  # fmt: skip
            tried[scheme] = None
        except QTinkerError as error:
            tried[scheme] = str(error)
            self.say(f"{name}: {scheme}: {error}", kind="message")


class Watch:
    """Listens to a run's events: pauses it at a boundary or when the time is over, and passes on what others see."""

    def __init__(self, work: SweepWork, run: runs.Run, *, boundary: int | None) -> None:
        self.work, self.run, self.boundary = work, run, boundary
        self.asked: str | None = None
        self.seconds = 0.0
        self._phase, self._since = "", time.monotonic()

    def __call__(self, event: Event) -> None:
        now = time.monotonic()
        if self._phase == "distill":
            self.seconds += now - self._since
        self._phase, self._since = event.get("phase") or self._phase, now
        boundary = math.inf if self.boundary is None else self.boundary
        if event["kind"] == "eval" and self._phase == "distill" and boundary <= event["step"] < self.work.total_steps:
            self._ask("boundary")
        if event["kind"] == "step":
            if self.work.out_of_time(FOR_TRAINING):
                self._ask("time")
            if self.work.sweep.stop_file.exists():
                self.run.request_stop()
            if now - self.work._written > 5:
                self.work.save()
        if event["kind"] not in ("result",):
            self.work.emit(event)

    def _ask(self, why: str) -> None:
        if self.asked is None:
            self.asked = why
            self.run.request_stop()

    def _evaluations(self) -> list[Event]:
        events, _ = self.run.events()
        return [event for event in events if event["kind"] == "eval" and event["phase"] == "distill"]

    def reached(self) -> bool:
        """Whether the run was evaluated at the boundary before (a killed sweep may not have written that down)."""
        return self.boundary is not None and any(event["step"] >= self.boundary for event in self._evaluations())

    def score(self) -> float | None:
        """The best metric up to the boundary: the same whether the run went on beyond it or not."""
        found = self._evaluations()
        steps = [event["step"] for event in found if self.boundary is None or event["step"] >= self.boundary]
        last = min(steps, default=0) if self.boundary is not None else max(steps, default=0)
        scores = [event["metrics"][self.work.metric] for event in found if event["step"] <= last]
        return max(scores, default=None)
