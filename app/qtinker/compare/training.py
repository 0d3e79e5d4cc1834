"""The trainings of a sweep: side by side up to each rung, then those that are far behind stop.

A candidate is paused by the stop flag of its run, right after the evaluation at a rung, and goes on from its saved
state: what it learns in the end is what it would have learned without a pause.
"""

from __future__ import annotations

import math
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from .. import api, check, runs, worker
from ..errors import DiskFull, InputError, QTinkerError, RunStopped, SpecError
from . import halving, pairs, planning
from .quantities import in_words
from .sweep import OPEN

Event = dict[str, Any]
FOR_TRAINING = 0.9
"""Share of the budget in which trainings may go on; the rest is for quantizing and measuring."""


def train(work: Any) -> None:
    """All trainings of a `sweep.SweepWork`; what is done already is not repeated."""
    if work.state["phase"] != "train":
        return
    shares = rungs(work)
    for share in shares:
        if share in [decision["share"] for decision in work.state["decisions"]]:
            continue
        names = [name for name in work.still_open() if share == 1 or tells(work, name, share)]
        names.sort(key=lambda name: _itself(work, name))  # last: then it is the teacher that its students learned from
        for number, name in enumerate(names):
            if work.entries[name]["share"] >= share or work.entries[name]["status"] not in OPEN:
                continue
            work.check_stop()
            if share < 1 and (first := crowded_out(work, name, share)):
                work.close(name, "out of time", f"The budget does not hold it beside finishing {first}.")
                continue
            title = f"{work.candidate(name).pair}, {work.entries[name]['method']} ({number + 1} of {len(names)}"
            title += f", up to {share:.0%})" if share < 1 else ")"
            work.say(title)
            weight = shares.index(share) + number / max(len(names), 1)
            work.save(current=name, message=title, progress=round(0.9 * weight / len(shares), 3))
            train_to(work, name, share)
        if share < 1:
            halve(work, share)
    work.save(phase="measure", current=None)


def rungs(work: Any) -> tuple[float, ...]:
    """At which shares of the training candidates are compared; the last is the end."""
    begun = sum(entry["status"] not in ("refused", "skipped") for entry in work.entries.values())
    worth = work.spec.halving and begun >= halving.FEWEST and work.total_steps >= 4
    return (*halving.SHARES, 1.0) if worth else (1.0,)


def tells(work: Any, name: str, share: float) -> bool:
    """Whether a candidate's answers say something at a rung: they were trained for as long as up to the first one.

    Methods with a stage on the teacher's inside begin with the answers late: such a candidate is not compared before,
    and not begun either.
    """
    if _itself(work, name):
        return False
    return bool(share - work.run_spec(name).method.answers_begin >= halving.SHARES[0])


def crowded_out(work: Any, name: str, share: float) -> str | None:
    """The best candidate so far, where the budget does not hold training this one up to a rung and finishing that."""
    scored = [each for each in work.still_open() if each != name and work.entries[each]["score"] is not None]
    if work.spec.budget is None or not scored:
        return None
    best = max(scored, key=lambda each: work.entries[each]["score"])
    own = work.entries[name]
    needed = pace(work) * own["operations"] * (share - own["share"]) + seconds_left(work, best)
    return best if work.spent + needed > FOR_TRAINING * work.spec.budget else None


def pace(work: Any) -> float:
    """Seconds of a whole training for each operation of a student: of the slowest candidate so far."""
    entries = work.entries.values()
    return max((e["seconds"] / e["share"] / e["operations"] for e in entries if e["share"] and e["operations"]),
               default=0.0)  # fmt: skip


def seconds_left(work: Any, name: str) -> float:
    """What finishing a candidate takes, from its own pace or, not begun, from the others'."""
    entry = work.entries[name]
    whole = entry["seconds"] / entry["share"] if entry["share"] else pace(work) * entry["operations"]
    return float(whole * (1 - entry["share"]) + 10)


def train_to(work: Any, name: str, share: float) -> None:
    """Train a candidate to a share of its steps, or to the end; its state says how far it came.

    Raises:
        RunStopped: the user stopped it.
    """
    entry = work.entries[name]
    if work.out_of_time(FOR_TRAINING) and not (_itself(work, name) and known_teacher(work, entry["teacher"])):
        work.close(name, "out of time", "The budget was over before it was its turn.")
        return
    entry["status"] = "training"
    watch = None
    try:
        if _itself(work, name) and (path := known_teacher(work, entry["teacher"])):
            entry |= {"share": share, "status": "trained", "checkpoint": str(path), "teacher_path": str(path)}
            return
        run = run_of(work, name)
        watch = Watch(work, run, share=share)
        done = run.state()["status"] == "done"
        report = run.report() if done else None if watch.reached() else _execute(run, watch)
    except RunStopped:
        entry["seconds"] += watch.seconds if watch else 0.0
        if watch is None or watch.asked is None or work.stopping():
            raise
        if watch.asked == "time":
            work.close(name, "out of time", "The budget was over during its training.", score=watch.score())
            return
        report = None
    except DiskFull:  # of no candidate's making: whoever frees space goes on with this one
        entry["seconds"] += watch.seconds if watch else 0.0
        raise
    except QTinkerError as error:
        failed(work, name, error)
        return
    entry["seconds"] += watch.seconds
    if report is not None:  # perhaps before the rung: stopped early, or not evaluated on the way
        watch.share = share = 1.0
    entry |= {"share": share, "score": watch.score(), "status": "paused" if report is None else "trained"}
    if watch.total is not None:
        entry["total_steps"] = watch.total
    if report is not None:
        entry |= _trained(work, report)
    work.save()
    work.check_stop()


def _execute(run: runs.Run, watch: Watch) -> dict[str, Any]:
    run.clear_stop()
    return worker.execute(run, emit=watch)


def run_of(work: Any, name: str) -> runs.Run:
    """The candidate's run folder; made once."""
    entry = work.entries[name]
    if entry["run"]:
        with suppress(InputError):
            found = runs.open(entry["run"])
            if found.state()["status"] != "broken":
                return found
    spec = work.run_spec(name)
    try:
        run = _unwritten(work, spec.name) or api.create_run(spec)
    except SpecError as error:
        check.refuse_full(error.problems)
        raise
    entry["run"] = run.id
    work.save()
    return run


def _unwritten(work: Any, name: str | None) -> runs.Run | None:
    """A run that a killed attempt made just before it could write that down."""
    taken = {entry["run"] for entry in work.entries.values()}
    for run in runs.list_runs():
        state = run.state()
        fresh = state["attempt"] == 0 and (state["created"] or 0) >= work.state["created"]
        if fresh and state["name"] == name and run.id not in taken:
            return run
    return None


def known_teacher(work: Any, teacher: str) -> Path | None:
    """A teacher that is trained for these labels: by another candidate's run, or by the user."""
    for entry in work.entries.values():
        if entry["teacher"] == teacher and entry.get("teacher_path"):
            return Path(entry["teacher_path"])
    return planning.trained(work, teacher)


def _trained(work: Any, report: dict[str, Any]) -> dict[str, Any]:
    training = report["training"].get("distill") or report["training"]["finetune"]
    steps, speed = training["steps"], training["examples_per_second"]
    return {
        "checkpoint": report["checkpoint"], "teacher_path": report.get("teacher") or report["checkpoint"],
        "control": (report["metrics"].get("control") or {}).get(report["metric"]),
        "training_seconds": round(steps * work.spec.training.batch_size / speed, 1) if speed else None,
        "best_step": training["best_step"],
    }  # fmt: skip


def failed(work: Any, name: str, error: QTinkerError) -> None:
    """The sweep goes on; where a teacher could not be trained, its other pairs need not be tried."""
    words = " ".join(map(str, error.problems)) if isinstance(error, SpecError) else str(error)
    entry = work.entries[name]
    run = runs.Run(runs.runs_dir() / entry["run"]) if entry["run"] else None
    work.close(name, "failed", words)
    if run is not None and run.state()["phase"] == "finetune-teacher":
        for other in work.still_open():
            if work.entries[other]["teacher"] == entry["teacher"]:
                work.close(other, "failed", f"Its teacher could not be trained: {words}")


def halve(work: Any, share: float) -> None:
    """Stop who is far behind, and who can't be finished in the budget; write the decision down."""
    names = at_rung(work)
    standings = [
        halving.Standing(name, entry["score"], entry["parameters"], entry["operations"])
        for name in names
        for entry in [work.entries[name]]
    ]
    alone = work.spec.target.max_size is not None or work.spec.target.max_latency is not None
    stops = halving.decide(standings, examples=int(work.dataset.eval.labelled.sum()), by_score_alone=alone)
    for stop in stops:
        mine, its = (work.entries[each]["score"] for each in (stop.id, stop.behind))
        why = f"After {share:.0%} of its training it had {mine:.4f}, {stop.by:.4f} behind {stop.behind} ({its:.4f})"
        work.close(stop.id, "stopped", why + ("." if alone else ", which costs no more."))
    if work.spec.budget is not None:
        within_budget(work, share)
    work.state["decisions"].append({"share": share, "stopped": [stop.id for stop in stops], "of": len(names)})
    work.save()


def at_rung(work: Any) -> list[str]:
    """Ids of the candidates that are compared at a rung: those whose training goes on."""
    return [name for name in work.still_open() if work.entries[name]["share"] < 1 and not _itself(work, name)]


def within_budget(work: Any, share: float) -> None:
    """Go on only with what can be finished, the best first."""
    names = at_rung(work)
    names.sort(key=lambda name: -(work.entries[name]["score"] or 0.0))
    left = [(name, seconds_left(work, name)) for name in names]
    kept = halving.affordable(left, FOR_TRAINING * work.spec.budget - work.spent)
    for name, seconds in left:
        if name not in kept:
            begun = work.entries[name]["share"] > 0
            when = f"After {share:.0%} it would have needed about" if begun else "It would need about"
            much = f"{in_words(seconds)} more" if begun else in_words(seconds)
            work.close(name, "out of time", f"{when} {much}, which the budget does not hold.")


def _itself(work: Any, name: str) -> bool:
    """Whether a candidate is the teacher itself, to be quantized only."""
    return bool(work.entries[name]["student"] == pairs.ITSELF)


class Watch:
    """Listens to a run's events: pauses it at a boundary or when the time is over, and passes on what others see."""

    def __init__(self, work: Any, run: runs.Run, *, share: float) -> None:
        self.work, self.run, self.share = work, run, share
        self.total: int | None = next((event["total_steps"] for event in reversed(self._told("step"))), None)
        """Steps of the whole training, as the run says; None before it does."""
        self.asked: str | None = None
        self.seconds = 0.0
        self._phase, self._since = "", time.monotonic()

    @property
    def boundary(self) -> float:
        """From which step on the run is paused."""
        return math.inf if self.share >= 1 else math.ceil(self.share * (self.total or self.work.total_steps))

    def __call__(self, event: Event) -> None:
        now = time.monotonic()
        if event["kind"] == "step" and event["phase"] == "distill":
            self.total = event["total_steps"]
        if self._phase in ("distill", "finetune"):
            self.seconds += now - self._since
        self._phase, self._since = event.get("phase") or self._phase, now
        reached = event["kind"] == "eval" and self._phase == "distill" and event["step"] >= self.boundary
        if reached and event["step"] < (self.total or self.work.total_steps):
            self._ask("boundary")
        if event["kind"] == "step":
            if self.work.out_of_time(FOR_TRAINING):
                self._ask("time")
            if self.work.sweep.stop_file.exists():
                self.run.request_stop()
            self.work.save_now_and_then()
        if event["kind"] != "result":
            self.work.emit(event)

    def _ask(self, why: str) -> None:
        if self.asked is None:
            self.asked = why
            self.run.request_stop()

    def _told(self, kind: str) -> list[Event]:
        events, _ = self.run.events()
        return [event for event in events if event["kind"] == kind and event["phase"] == "distill"]

    def reached(self) -> bool:
        """Whether the run was evaluated at the boundary before (a killed sweep may not have written that down)."""
        return any(event["step"] >= self.boundary for event in self._told("eval"))

    def score(self) -> float | None:
        """The best metric up to the boundary: the same whether the run went on beyond it or not."""
        found = self._told("eval")
        last = min((event["step"] for event in found if event["step"] >= self.boundary), default=math.inf)
        return max((event["metrics"][self.work.metric] for event in found if event["step"] <= last), default=None)
