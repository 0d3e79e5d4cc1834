"""Asks the child process that holds models open (answerer.py), so that the page itself never imports torch."""

from __future__ import annotations

import contextlib
import json
import queue
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from ..errors import InputError, RunFailed
from ..home import cache_dir
from . import tasks

_lock = threading.Lock()
_child: subprocess.Popen[str] | None = None
_lines: queue.Queue[str] = queue.Queue()


def predict(
    models: list[tuple[str, Path]], text: str, pair: str | None = None, *, timeout: float = 120
) -> list[dict[str, Any]]:
    """One answer a model: {name, ms, label, score, probabilities} (or `value`).

    Raises:
        InputError: a model can't answer, in words.
        RunFailed: the process died or took too long.
    """
    request = {"op": "predict", "models": [[name, str(path)] for name, path in models], "text": text, "pair": pair}
    return list(_ask(request, timeout)["answers"])


def disagreements(
    models: list[tuple[str, Path]], data: str, *, limit: int = 1000, timeout: float = 600
) -> dict[str, Any]:
    """Where two models answer differently: {examples, different, rows}. Raises as `predict`."""
    request = {"op": "disagree", "models": [[name, str(path)] for name, path in models], "data": data, "limit": limit}
    return _ask(request, timeout)


def stop() -> None:
    """End the process, if there is one."""
    global _child
    child, _child = _child, None
    if child and child.poll() is None:
        with contextlib.suppress(OSError):
            child.kill()
        child.wait()


def _ask(request: dict[str, Any], timeout: float) -> dict[str, Any]:
    with _lock:
        child = _alive()
        try:
            assert child.stdin is not None
            child.stdin.write(json.dumps(request, ensure_ascii=False) + "\n")
            child.stdin.flush()
            line = _lines.get(timeout=timeout)
        except (OSError, queue.Empty):
            stop()
            raise RunFailed("The process that holds the models did not answer.", "Try again.") from None
        if not line:
            stop()
            raise RunFailed("The process that holds the models ended.", "Is there enough memory? Try fewer models.")
        answer: dict[str, Any] = json.loads(line)
    if "error" in answer:
        raise InputError(str(answer["error"]), str(answer.get("fix") or ""))
    return answer


def _alive() -> subprocess.Popen[str]:
    global _child, _lines
    if _child is not None and _child.poll() is None:
        return _child
    cache_dir().mkdir(parents=True, exist_ok=True)
    with (cache_dir() / "answerer.log").open("ab") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "qtinker.ui.answerer"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
            text=True, encoding="utf-8", env=tasks.environment(), **tasks.apart(),
        )  # fmt: skip
    lines: queue.Queue[str] = queue.Queue()

    def read() -> None:
        assert child.stdout is not None
        for line in child.stdout:
            lines.put(line)
        lines.put("")

    threading.Thread(target=read, name="answers", daemon=True).start()
    _child, _lines = child, lines
    return child
