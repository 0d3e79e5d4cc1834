"""What the worker writes while it executes a run: its state and its events, a full disk survived.

The worker is the only writer; readers use runs.py.
"""

from __future__ import annotations

import errno
import json
import os
import time
from collections import deque
from typing import Any

from .errors import is_full
from .runs import FIRST_STATE, Run, write_json

RESERVE_BYTES = 64 * 1024


class StateWriter:
    """Writes state.json for the worker; a full disk is survived and written down as soon as it can be."""

    def __init__(self, run: Run) -> None:
        self.run, self.unwritten = run, False
        state = run.state()
        self.fields = {key: state.get(key, first) for key, first in FIRST_STATE.items()}
        try:
            run.files.reserve.write_bytes(b"\0" * RESERVE_BYTES)
        except OSError:
            run.files.reserve.unlink(missing_ok=True)

    def update(self, **fields: Any) -> bool:
        """Change these fields and write; False if it could not be written (it is tried again next time)."""
        self.fields |= fields | {"updated": time.time()}
        for _ in range(2):
            try:
                write_json(self.run.files.state, self.fields)
                self.unwritten = False
                return True
            except OSError as error:
                self.unwritten = True
                if not is_full(error):
                    break
                self.run.files.reserve.unlink(missing_ok=True)
        return False

    def close(self) -> None:
        self.run.files.reserve.unlink(missing_ok=True)


class EventWriter:
    """Appends to events.jsonl for the worker, line by line, each readable at once.

    A half-written last line (of a process that was killed) is cut off first. What a full disk refuses is kept
    and written as soon as there is room.
    """

    KEPT = 10_000

    def __init__(self, run: Run) -> None:
        self.path, self.pending = run.files.events, deque[bytes](maxlen=self.KEPT)
        self.path.touch()
        with self.path.open("r+b") as file:
            data_end = file.seek(0, os.SEEK_END)
            start = max(0, data_end - 1024 * 1024)
            file.seek(start)
            tail = file.read()
            if not tail.endswith(b"\n"):
                file.truncate(start + tail.rfind(b"\n") + 1)
        self._file = self.path.open("ab", buffering=0)

    def emit(self, event: dict[str, Any]) -> dict[str, Any]:
        """Write one event, with its time; returns it as written."""
        event = {"time": round(time.time(), 3), **event}
        self.pending.append(json.dumps(event, ensure_ascii=False, default=_plain).encode() + b"\n")
        while self.pending:
            end = self._file.seek(0, os.SEEK_END)
            try:
                if self._file.write(self.pending[0]) != len(self.pending[0]):
                    raise OSError(errno.ENOSPC, "disk full")
            except OSError:
                self._file.truncate(end)  # no half line stays behind
                break
            self.pending.popleft()
        return event

    def close(self) -> None:
        self._file.close()


def _plain(value: Any) -> Any:
    """Numbers of numpy and torch, and paths, as JSON knows them."""
    return value.item() if hasattr(value, "item") else str(value)
