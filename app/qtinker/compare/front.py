"""The Pareto front: the points that no other beats. Torch-free.

A point is a row of the table. It is better where its metric is higher and its bytes and latency are lower; a figure
that was not measured takes no part.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Point = dict[str, Any]
COSTS = ("bytes", "latency_ms")


def dominates(one: Point, other: Point, costs: Sequence[str] = COSTS) -> bool:
    """Whether `one` is nowhere worse than `other` and somewhere better."""
    used = [name for name in costs if one.get(name) is not None and other.get(name) is not None]
    if one["score"] < other["score"] or any(one[name] > other[name] for name in used):
        return False
    return one["score"] > other["score"] or any(one[name] < other[name] for name in used)


def front(points: Sequence[Point], costs: Sequence[str] = COSTS) -> list[Point]:
    """The points that no other dominates, the smallest first."""
    found = [p for p in points if not any(dominates(other, p, costs) for other in points)]
    return sorted(found, key=lambda p: tuple(p.get(name) or 0 for name in (*costs, "score")))
