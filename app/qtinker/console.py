"""Drawing for the terminal: the events of a run and of downloads on standard error, tables on standard output.

Everything is plain text where the stream is no terminal: no colour, no redrawing, a line now and then.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from .registry_page import size

SECONDS_BETWEEN_LINES = 10.0
Row = dict[str, Any]


def waiting(text: str) -> AbstractContextManager[Any]:
    """What the program is busy with, on standard error while it lasts; nothing where that is no terminal."""
    errors = Console(stderr=True, highlight=False)
    return errors.status(text) if errors.is_terminal else nullcontext()


class Drawing:
    """Draws the events that a run yields: call it with each. A bar on a terminal, else a line now and then."""

    def __init__(self, stream: Any = None) -> None:
        self.console = Console(file=stream or sys.stderr, highlight=False)
        self.progress: Progress | None = None
        self.task: TaskID | None = None
        self.last_line = 0.0
        if self.console.is_terminal:
            self.progress = Progress(
                TextColumn("{task.description}"), BarColumn(bar_width=24), TextColumn("{task.fields[detail]}"),
                TimeRemainingColumn(compact=True), console=self.console,
            )  # fmt: skip

    def __enter__(self) -> Self:
        if self.progress:
            self.progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.progress:
            self.progress.stop()

    def __call__(self, event: dict[str, Any]) -> None:
        """Draw one event; kinds that it doesn't know are passed over."""
        draw = getattr(self, f"_{event.get('kind')}", None)
        if draw:
            draw(event)

    def say(self, text: str) -> None:
        """A line that stays."""
        self.console.print(text, markup=False, soft_wrap=True)

    def _phase(self, event: dict[str, Any]) -> None:
        title = event.get("title") or event.get("phase") or ""
        if event.get("count"):
            title = f"[{event.get('index')}/{event['count']}] {title}"
        self.last_line = time.monotonic()
        if self.progress:
            if self.task is not None:
                self.progress.remove_task(self.task)
            self.task = self.progress.add_task(escape(title), total=event.get("total_steps"), detail="")
        else:
            self.say(title)

    def _step(self, event: dict[str, Any]) -> None:
        if self.progress and self.task is not None:
            self.progress.update(
                self.task, completed=event["step"], total=event.get("total_steps"), detail=step_text(event)
            )
        elif time.monotonic() - self.last_line >= SECONDS_BETWEEN_LINES:
            self.last_line = time.monotonic()
            eta = event.get("eta_s")
            self.say(f"  {step_text(event)}" + (f", {duration(eta)} left" if eta is not None else ""))

    def _eval(self, event: dict[str, Any]) -> None:
        shown = ", ".join(f"{name} {number(value)}" for name, value in event.get("metrics", {}).items())
        self.say(f"  step {event.get('step')}: {shown}{' (best so far)' if event.get('best') else ''}")

    def _heading(self, event: dict[str, Any]) -> None:
        self.say(f"\n{event['text']}")

    def _message(self, event: dict[str, Any]) -> None:
        prefix = "warning: " if event.get("level") == "warning" else ""
        self.say(f"  {prefix}{event.get('text', '')}")


class Downloads:
    """Draws the progress of downloads: a bar each on a terminal, else a line a phase; as JSON for other programs."""

    def __init__(self, *, as_json: bool = False, stream: Any = None) -> None:
        self.stream = stream or sys.stderr
        self.console = Console(file=self.stream, highlight=False)
        self.as_json = as_json
        self.tasks: dict[str, TaskID] = {}
        self.phases: dict[str, tuple[str, float]] = {}
        self.progress: Progress | None = None
        if self.console.is_terminal and not as_json:
            self.progress = Progress(
                TextColumn("{task.description}"), BarColumn(bar_width=24), DownloadColumn(), TransferSpeedColumn(),
                TimeRemainingColumn(compact=True), console=self.console,
            )  # fmt: skip

    def __enter__(self) -> Self:
        if self.progress:
            self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.progress:
            self.progress.stop()

    def __call__(self, event: dict[str, Any]) -> None:
        """Draw one event of `download`: {name, file, phase, done, total, speed, eta}; sizes in bytes."""
        if self.as_json:
            print(json.dumps(event), file=self.stream, flush=True)
        elif self.progress:
            self._bar(self.progress, event)
        else:
            self._line(event)

    def _bar(self, progress: Progress, event: dict[str, Any]) -> None:
        name = event["name"]
        if event["phase"] == "done":  # a line that stays: nothing of it moves any more
            if name in self.tasks:
                progress.remove_task(self.tasks.pop(name))
            self._line(event)
            return
        if name not in self.tasks:
            self.tasks[name] = progress.add_task(name, total=None)
        description = escape(f"{name}: {event['phase']}")
        progress.update(self.tasks[name], description=description, completed=event["done"], total=event["total"])

    def _line(self, event: dict[str, Any]) -> None:
        name, now = event["name"], time.monotonic()
        phase, since = self.phases.get(name, ("", 0.0))
        if event["phase"] == phase and now - since < SECONDS_BETWEEN_LINES:
            return
        self.phases[name] = (event["phase"], now)
        words = f"{name}: {event['phase']}" + (" (was here already)" if event.get("already") else "")
        if event["phase"] == "download" and event["total"]:
            words += f" {size(event['done'])} of {size(event['total'])}"
            words += f", {size(event['speed'])}/s" if event.get("speed") else ""
            words += f", {duration(event['eta'])} left" if event.get("eta") is not None else ""
        self.console.print(words, markup=False, soft_wrap=True)


class Steps:
    """Says which step of a short job goes on: call it with a line at the beginning of each.

    As JSON for other programs: {"progress": share done, 0 to 1, "step": the line}. `starts` are the shares of the
    time at which the steps begin, as far as that can be known beforehand.
    """

    def __init__(self, starts: Sequence[float], *, as_json: bool = False, stream: Any = None) -> None:
        self.starts, self.as_json, self.stream = list(starts), as_json, stream or sys.stderr
        self.begun, self.last = 0, ("", -1.0)

    def __call__(self, line: str) -> None:
        """The next step begins."""
        share = self.starts[min(self.begun, len(self.starts) - 1)]
        self.begun += 1
        self._tell(line, share)

    def within(self, line: str, start: float, end: float, done: int, total: int) -> None:
        """How far a step from `start` to `end` is; told when it begins, and then at every hundredth of the whole."""
        share = start + (end - start) * min(1.0, done / max(total, 1))
        if line != self.last[0] or (self.as_json and share - self.last[1] >= 0.01):
            self._tell(line, share)

    def _tell(self, line: str, share: float) -> None:
        self.last = (line, share)
        text = json.dumps({"progress": round(share, 3), "step": line}) if self.as_json else line
        print(text, file=self.stream, flush=True)


def escape(text: str) -> str:
    """Text whose brackets rich must not take for markup."""
    return text.replace("[", r"\[")


def step_text(event: dict[str, Any]) -> str:
    """A step in a few words: where, loss, speed."""
    words = [f"step {event['step']}" + (f"/{event['total_steps']}" if event.get("total_steps") else "")]
    if event.get("loss") is not None:
        words.append(f"loss {event['loss']:.4f}")
    if event.get("examples_per_second"):
        words.append(f"{event['examples_per_second']:.0f} examples/s")
    return ", ".join(words)


# --- words for figures -----------------------------------------------------------------------------------------------


def number(value: Any, digits: int = 4) -> str:
    """A figure for a table; a dash where there is none."""
    if value is None:
        return "-"
    return f"{value:.{digits}f}" if isinstance(value, float) else str(value)


def duration(seconds: float) -> str:
    """Seconds as 1:02 or 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def table(columns: list[str], rows: list[list[str]], *, left: int = 1) -> str:
    """An aligned table as text; the first `left` columns flush left, the others flush right."""
    widths = [max(len(row[i]) for row in [columns, *rows]) for i in range(len(columns))]

    def line(cells: list[str]) -> str:
        return "  ".join(
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ).rstrip()

    return "\n".join([line(columns), "  ".join("-" * width for width in widths), *map(line, rows)])
