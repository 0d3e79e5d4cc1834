"""Asks the child processes (answerer.py) that read data and run models, so that the page itself does neither.

A file too big for the memory, or a model too big, ends a child and not the page. There is one child a kind of work:
a check of the settings does not wait until a preview has counted tokens.
"""

from __future__ import annotations

import contextlib
import json
import queue
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from ..errors import InputError, Problem, RunFailed, SpecError
from ..home import cache_dir
from ..spec import RunSpec
from . import tasks

PREVIEW_SECONDS = 90.0
CHECK_SECONDS = 60.0
CREATE_SECONDS = 600.0


class Child:
    """One child process, started when it is first asked, and again after it ended; it answers one request at a time."""

    def __init__(self, name: str) -> None:
        self.name, self.lock = name, threading.Lock()
        self.process: subprocess.Popen[str] | None = None
        self.lines: queue.Queue[str] = queue.Queue()

    def ask(self, request: dict[str, Any], timeout: float) -> dict[str, Any]:
        """Its answer.

        Raises:
            InputError, SpecError: what the child raised, in its words.
            RunFailed: it died or took too long.
        """
        with self.lock:
            process = self._alive()
            try:
                assert process.stdin is not None
                process.stdin.write(json.dumps(request, ensure_ascii=False) + "\n")
                process.stdin.flush()
                line = self.lines.get(timeout=timeout)
            except (OSError, queue.Empty):
                self.stop()
                raise RunFailed(f"There was no answer within {timeout:.0f} seconds.", "Try again.") from None
            if not line:
                self.stop()
                raise RunFailed("The process that works on it ended.", "Is there enough memory? Try something smaller.")
            answer: dict[str, Any] = json.loads(line)
        if "problems" in answer and "error" in answer:
            raise SpecError([Problem(**each) for each in answer["problems"]])
        if "error" in answer:
            raise InputError(str(answer["error"]), str(answer.get("fix") or ""))
        return answer

    def stop(self) -> None:
        """End the process, if there is one."""
        process, self.process = self.process, None
        if process and process.poll() is None:
            with contextlib.suppress(OSError):
                process.kill()
            process.wait()

    def _alive(self) -> subprocess.Popen[str]:
        if self.process is not None and self.process.poll() is None:
            return self.process
        cache_dir().mkdir(parents=True, exist_ok=True)
        with (cache_dir() / "answerer.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "qtinker.ui.answerer"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=log, text=True, encoding="utf-8", env=tasks.environment(), **tasks.apart(),
            )  # fmt: skip
        lines: queue.Queue[str] = queue.Queue()

        def read() -> None:
            assert process.stdout is not None
            for line in process.stdout:
                lines.put(line)
            lines.put("")

        threading.Thread(target=read, name=f"answers-{self.name}", daemon=True).start()
        self.process, self.lines = process, lines
        return process


_models, _previews, _checks = Child("models"), Child("previews"), Child("checks")


def predict(
    models: list[tuple[str, Path]], text: str, pair: str | None = None, *, timeout: float = 120
) -> list[dict[str, Any]]:
    """One answer a model: {name, ms, label, score, probabilities} (or `value`). Raises as `Child.ask`."""
    request = {"op": "predict", "models": [[name, str(path)] for name, path in models], "text": text, "pair": pair}
    return list(_models.ask(request, timeout)["answers"])


def disagreements(
    models: list[tuple[str, Path]], data: str, *, limit: int = 1000, timeout: float = 600
) -> dict[str, Any]:
    """Where two models answer differently: {examples, different, rows}. Raises as `Child.ask`."""
    request = {"op": "disagree", "models": [[name, str(path)] for name, path in models], "data": data, "limit": limit}
    return _models.ask(request, timeout)


def preview(data: str, settings: dict[str, Any], *, tokenizer: str | None = None) -> dict[str, Any]:
    """What training would see of the data, as the verb `data` says it. Raises as `Child.ask`."""
    request = {"op": "preview", "data": data, "settings": settings, "tokenizer": tokenizer}
    return _previews.ask(request, PREVIEW_SECONDS)


def check(spec: RunSpec) -> dict[str, Any]:
    """Problems of a spec and an estimate, as `check.Findings.to_dict`. Raises as `Child.ask`."""
    return _checks.ask({"op": "check", "spec": spec.model_dump(mode="json")}, CHECK_SECONDS)


def create_run(spec: RunSpec) -> str:
    """Check a spec and make its run folder; the id. Raises as `Child.ask`."""
    return str(_checks.ask({"op": "create", "spec": spec.model_dump(mode="json")}, CREATE_SECONDS)["id"])


def stop() -> None:
    """End the processes."""
    for child in (_models, _previews, _checks):
        child.stop()
