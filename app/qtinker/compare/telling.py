"""What a sweep tells of its runs: each message once, and a phase only where it takes steps. Torch-free.

Every run of a sweep says the same of the data; told each time, what differs would be lost in it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

Event = dict[str, Any]
PAUSES = ("Stopping after this step.", "Going on after a break.", "Going on after step ")
"""What a run says where the sweep pauses it and goes on: the sweep tells that itself."""


class Once:
    """Passes events on, but for what was told before and for phases without steps."""

    def __init__(self, emit: Callable[[Event], None]) -> None:
        self.emit = emit
        self._told: Counter[str] = Counter()
        self._warnings: dict[str, int] = {}
        self._phase: Event | None = None

    def __call__(self, event: Event) -> None:
        """Pass an event on, or not."""
        kind = event["kind"]
        if kind == "phase":
            self._phase = {name: value for name, value in event.items() if name not in ("index", "count")}
            return
        if kind in ("step", "eval") and self._phase is not None:
            self.emit(self._phase)
            self._phase = None
        if kind == "message":
            text = event["text"]
            if text.startswith(PAUSES):
                return
            self._told[text] += 1
            if event.get("level") == "warning":
                self._warnings[text] = self._told[text]
            if self._told[text] > 1:
                return
        self.emit(event)

    def repeated(self) -> list[str]:
        """The warnings that came more than once, with how often."""
        return [f"({count} times) {text}" for text, count in self._warnings.items() if count > 1]
