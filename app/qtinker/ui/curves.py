"""What a run's events amount to, for drawing: curves, phases and messages, read on from where the last look ended.

A cache only: everything can be read again from events.jsonl, and a new server process does.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

from .. import runs

Points = list[tuple[float, float]]
POINTS_KEPT = 8_000
RUNS_KEPT = 24


@dataclass
class PhaseCurves:
    """One phase's curves by name, over its own steps."""

    title: str = ""
    total_steps: int | None = None
    losses: dict[str, Points] = field(default_factory=dict)
    metrics: dict[str, Points] = field(default_factory=dict)
    metric: str | None = None
    """The one that chooses the best checkpoint."""
    rate: Points = field(default_factory=list)
    last: dict[str, Any] = field(default_factory=dict)


@dataclass
class Curves:
    """All of a run's events so far. `version` changes with every new event."""

    phases: dict[str, PhaseCurves] = field(default_factory=dict)
    order: list[dict[str, Any]] = field(default_factory=list)
    messages: list[dict[str, Any]] = field(default_factory=list)
    offset: int = 0
    version: int = 0

    def add(self, event: dict[str, Any]) -> None:
        """Take in one event; what is not as it should be is passed over."""
        self.version += 1
        kind, name = event.get("kind"), str(event.get("phase") or "")
        if kind == "message":
            self.messages = [*self.messages[-99:], event]
            return
        if kind not in ("phase", "step", "eval"):
            return
        phase = self.phases.setdefault(name, PhaseCurves(title=name))
        if kind == "phase":
            phase.title, phase.total_steps = str(event.get("title") or name), _whole(event.get("total_steps"))
            if not any(known.get("phase") == name for known in self.order):
                self.order.append(event)
            return
        step = _number(event.get("step"))
        if step is None:
            return
        if kind == "step":
            phase.last = event
            for part, value in {"loss": event.get("loss"), **_mapping(event.get("parts"))}.items():
                _append(phase.losses.setdefault(part, []), step, value)
            _append(phase.rate, step, event.get("examples_per_second"))
        else:
            phase.metric = str(event["metric"]) if event.get("metric") else phase.metric
            for metric, value in _mapping(event.get("metrics")).items():
                _append(phase.metrics.setdefault(metric, []), step, value)

    @property
    def main_phase(self) -> str | None:
        """The phase whose curves are compared between runs."""
        return next((name for name in ("distill", "finetune", "finetune-teacher") if name in self.phases), None)


_cache: OrderedDict[str, Curves] = OrderedDict()
_lock = threading.Lock()


def curves(run: runs.Run) -> Curves:
    """The run's curves up to now."""
    key = str(run.folder)
    with _lock:
        known = _cache.pop(key, None) or Curves()
        try:
            if run.files.events.stat().st_size < known.offset:  # another run took the name, or the file was cut
                known = Curves()
        except OSError:
            known = Curves()
        events, known.offset = run.events(known.offset)
        for event in events:
            known.add(event)
        _cache[key] = known
        while len(_cache) > RUNS_KEPT:
            _cache.popitem(last=False)
        return known


def _append(points: Points, step: float, value: Any) -> None:
    """Add a point; a resumed run goes back to its saved step, and what lies after it is dropped."""
    number = _number(value)
    if number is None:
        return
    while points and points[-1][0] >= step:
        points.pop()
    points.append((step, number))
    if len(points) > POINTS_KEPT:
        del points[1:-1:2]


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
