"""Does a point keep to the target, which that does is best, and which comes nearest where none does. Torch-free."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..registry_page import size
from .spec import TargetSpec

Point = dict[str, Any]
LIMITS = (("max_size", "bytes"), ("max_latency", "latency_ms"), ("min_retention", "retention"))


def excess(point: Point, target: TargetSpec) -> dict[str, float]:
    """By what share of it each limit is missed: 0.1 is ten per cent too much (or, of the retention, too little).
    Limits that are kept are left out; a figure that was not measured misses by infinity."""
    missed = {}
    for limit, figure in LIMITS:
        wanted, value = getattr(target, limit), point.get(figure)
        if wanted is None:
            continue
        if value is None:
            missed[limit] = float("inf")
            continue
        over = (wanted - value) / wanted if limit == "min_retention" else value / wanted - 1
        if over > 1e-9:
            missed[limit] = over
    return missed


def best(points: Sequence[Point], target: TargetSpec) -> Point | None:
    """The best point that keeps to the target, or None.

    Where size or latency is limited, the one that answers best (the smaller of equals); where only the retention is,
    the smallest (the better of equals).
    """
    fitting = [p for p in points if not excess(p, target)]
    if not fitting:
        return None
    if target.max_size is None and target.max_latency is None:
        return min(fitting, key=lambda p: (p["bytes"], -p["score"], p["id"]))
    return max(fitting, key=lambda p: (p["score"], -p["bytes"], p["id"]))


def nearest(points: Sequence[Point], target: TargetSpec) -> Point | None:
    """The point whose worst miss is smallest; of equals the one that answers better, then the smaller."""
    if not points:
        return None
    return min(points, key=lambda p: (max(excess(p, target).values(), default=0.0), -p["score"], p["bytes"], p["id"]))


def misses(point: Point, target: TargetSpec) -> str:
    """What a point misses, in words."""
    words = []
    for limit in excess(point, target):
        wanted = getattr(target, limit)
        if limit == "max_size":
            words.append(f"{size(point['bytes'])} where at most {size(wanted)} are allowed")
        elif limit == "max_latency":
            shown = "no measured time" if point.get("latency_ms") is None else f"{point['latency_ms']:.2f} ms"
            words.append(f"{shown} where at most {wanted:g} ms are allowed")
        else:
            shown = "no known retention" if point.get("retention") is None else f"{point['retention']:.1%} retention"
            words.append(f"{shown} where at least {wanted:.1%} is wanted")
    return "; ".join(words)
