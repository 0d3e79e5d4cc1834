"""Recommendations, each computed from the figures of the table, with the figures that speak for it. Torch-free."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..registry_page import size
from .front import front

Point = dict[str, Any]
ENOUGH = 0.9
"""Least retention for the fastest and the smallest, where any point has it: what answers at random is no use."""
PHONE_BYTES = 30_000_000
"""A model that an app brings along: no more than this on disk."""


def advise(points: Sequence[Point], metric: str, *, baseline: float | None = None) -> list[dict[str, Any]]:
    """A recommendation a purpose: `for`, `point` (its id), `reason`.

    Args:
        points: rows with `id`, `score`, `retention`, `bytes`, `latency_ms`; students only.
        baseline: what answering the commonest label always would score; a point that is no better is not recommended.
    """
    points = [p for p in points if baseline is None or p["score"] > baseline]
    if not points:
        return []
    good = [p for p in points if (p.get("retention") or 0) >= ENOUGH]
    usable = good or [max(points, key=lambda p: (p["score"], -p["bytes"]))]
    if good:
        among = f"among the {len(good)} of {len(points)} that keep at least {ENOUGH:.0%} of the teacher's {metric}"
    elif all(p.get("retention") is None for p in points):
        among = f"no retention can be told, so it is the one with the highest {metric}"
    else:
        among = f"none keeps {ENOUGH:.0%} of the teacher's {metric}, so it is the one that keeps most"
    found = []

    def add(purpose: str, point: Point, reason: str) -> None:
        found.append({"for": purpose, "point": point["id"], "reason": reason})

    balanced = balance(usable)
    add("best balance", balanced, f"{figures(balanced)}: of the points that nothing beats, nearest to the best "
        f"figures of all three (bytes and time on a logarithmic scale), {among}.")  # fmt: skip
    timed = [p for p in usable if p.get("latency_ms") is not None]
    if timed:
        fastest = min(timed, key=lambda p: (p["latency_ms"], -p["score"]))
        add("fastest", fastest, f"{fastest['latency_ms']:.2f} ms for one example{times(fastest, 'latency_ms')}"
            f"{slower(timed)}, {among}.")  # fmt: skip
    kept = max(points, key=lambda p: (p["score"], -p["bytes"], -(p.get("latency_ms") or 0)))
    add("best retention", kept, f"{metric} {kept['score']:.4f}{retained(kept)}: the highest of {len(points)} points, "
        f"at {size(kept['bytes'])}.")  # fmt: skip
    smallest = min(usable, key=lambda p: (p["bytes"], -p["score"]))
    add("smallest", smallest, f"{size(smallest['bytes'])}{times(smallest, 'bytes')}, {among}.")
    small = [p for p in points if p["bytes"] <= PHONE_BYTES]
    if small:
        phone = max(small, key=lambda p: (p["score"], -(p.get("latency_ms") or 0), -p["bytes"]))
        add("for phones", phone, f"{figures(phone)}: the highest {metric} of the {len(small)} points of at most "
            f"{size(PHONE_BYTES)}.")  # fmt: skip
    return found


def balance(points: Sequence[Point]) -> Point:
    """The point of the front nearest to the best of all figures, each scaled from 0 (best) to 1 (worst of the front).

    With bytes and milliseconds on a logarithmic scale, twice as small counts the same anywhere.
    """
    best = front(points)
    readings = [
        (1.0 - p["score"], math.log(p["bytes"]), math.log(p["latency_ms"]) if p.get("latency_ms") else 0.0)
        for p in best
    ]
    low, high = (tuple(map(kind, zip(*readings, strict=True))) for kind in (min, max))

    def distance(reading: tuple[float, ...]) -> float:
        scaled = [(r - lo) / (hi - lo) if hi > lo else 0.0 for r, lo, hi in zip(reading, low, high, strict=True)]
        return sum(value * value for value in scaled)

    return min(zip(best, readings, strict=True), key=lambda pair: (distance(pair[1]), pair[0]["bytes"]))[0]


def figures(point: Point) -> str:
    """Score, size and time of a point in words."""
    words = [f"{point['score']:.4f}{retained(point)}", size(point["bytes"])]
    if point.get("latency_ms") is not None:
        words.append(f"{point['latency_ms']:.2f} ms")
    return ", ".join(words)


def retained(point: Point) -> str:
    """Its retention, where it is known."""
    return f" ({point['retention']:.1%} of its teacher's)" if point.get("retention") is not None else ""


def slower(points: list[Point]) -> str:
    """What to add to the time of the fastest point, where no point is faster than its teacher."""
    whole = [(point.get("teacher_figures") or {}).get("latency_ms") for point in points]
    none = all(time and time < point["latency_ms"] for time, point in zip(whole, points, strict=True))
    return " (none is faster than its teacher on this processor)" if none else ""


def times(point: Point, name: str) -> str:
    """How many times less than its teacher."""
    whole = (point.get("teacher_figures") or {}).get(name)
    if not whole or not point.get(name):
        return ""
    ratio = whole / point[name]
    words = {"bytes": ("smaller", "bigger"), "latency_ms": ("faster", "slower")}[name]
    return f", {ratio:.1f} times {words[0]}" if ratio >= 1 else f", {1 / ratio:.1f} times {words[1]}"
