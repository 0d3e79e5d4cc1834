"""From bytes to progress events: throttled, with a speed that is steady and an ETA."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

_WINDOW = 5.0
_PAUSE = 0.1


class Progress:
    """Calls the user's function with events, one at a time, about ten a second for each file; the first and last of
    every phase always come."""

    def __init__(self, tell: Callable[[dict[str, Any]], None] | None, *, clock: Callable[[], float] = time.monotonic):
        self._tell, self._clock, self._lock = tell, clock, threading.Lock()
        self._last: dict[tuple[str, str], tuple[str, float]] = {}
        self._history: dict[tuple[str, str], deque[tuple[float, int]]] = {}

    def __call__(self, name: str, file: str, phase: str, done: int, total: int | None, **more: Any) -> None:
        if self._tell is None:
            return
        with self._lock:
            key, now = (name, file), self._clock()
            last_phase, last_time = self._last.get(key, ("", 0.0))
            if phase == last_phase and done != total and now - last_time < _PAUSE:
                return
            if phase != last_phase:
                self._history[key] = deque()
            self._last[key] = (phase, now)
            speed = self._speed(self._history[key], now, done)
            eta = (total - done) / speed if speed and total is not None else None
            self._tell(
                {"name": name, "file": file, "phase": phase, "done": done, "total": total, "speed": speed, "eta": eta}
                | more
            )

    @staticmethod
    def _speed(history: deque[tuple[float, int]], now: float, done: int) -> float | None:
        """Bytes a second over the last seconds; a file that starts anew starts its speed anew."""
        if history and done < history[-1][1]:
            history.clear()
        history.append((now, done))
        while len(history) > 2 and now - history[0][0] > _WINDOW:
            history.popleft()
        seconds, moved = now - history[0][0], done - history[0][1]
        return moved / seconds if seconds > 0 and moved > 0 else None
