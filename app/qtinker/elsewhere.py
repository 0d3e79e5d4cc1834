"""What other programs do to a measurement: how many processors they keep busy meanwhile, and whether too many.

Times that were taken while a model had to share its processors are longer than its own, by no constant factor.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping

import psutil

_BUSY = ("user", "nice", "system", "irq", "softirq", "steal")  # what a system does not count, it does not name
_SHORTEST_S = 0.5
"""The system's clock ticks in hundredths of a second: over less than this its shares say little."""
_ROOM = 0.5
"""Processors that a model may lack of as many as it has threads: what an idle desktop does stays below."""


class Elsewhere:
    """Watches the processors from its making on."""

    def __init__(self) -> None:
        self._began = _counted()

    def processors(self) -> float | None:
        """How many processors other programs kept busy on average; None after too short a time to tell."""
        now = _counted()
        if now is None or self._began is None:
            return None
        seconds, busy, own = (after - before for after, before in zip(now, self._began, strict=True))
        return max(0.0, (busy - own) / seconds) if seconds >= _SHORTEST_S else None


def _counted() -> tuple[float, float, float] | None:
    """The time, and the processors' seconds in all and of this process; None where the system does not tell."""
    try:
        system, own = psutil.cpu_times(), psutil.Process().cpu_times()
    except (OSError, psutil.Error):
        return None
    return time.monotonic(), sum(getattr(system, name, 0.0) for name in _BUSY), own.user + own.system


def crowded(busy: float | None, threads: int | None, cores: int | None = None) -> bool:
    """Whether other programs left a model fewer processors than it has threads."""
    cores = cores or os.cpu_count() or 1
    return busy is not None and cores - busy < min(threads or cores, cores) - _ROOM


def warning(busy: Mapping[str, float | None], threads: int | None) -> str | None:
    """What to say of the times of models, where some were measured in a crowd; None: nothing."""
    found = {name: share for name, share in busy.items() if share is not None and crowded(share, threads)}
    if not found:
        return None
    names = ", ".join(list(found)[:4]) + (f" and {len(found) - 4} more" if len(found) > 4 else "")
    return (
        f"Other programs kept up to {max(found.values()):.1f} of {os.cpu_count()} processors busy during the "
        f"measurement of {names}: the times are longer than they would be alone, and not all by the same factor. "
        "Close the other programs and measure again."
    )
