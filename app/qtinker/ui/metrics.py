"""Which metrics are shown, in which order and in which words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .format import number, percent
from .texts import Texts

LOWER_IS_BETTER = ("rmse", "perplexity")
NO_SHARES = (*LOWER_IS_BETTER, "log_likelihood")
"""Numbers on a scale of their own; all others are shares of 1."""
MOST = 3


def in_order(names: Iterable[str], chosen: str | None = None) -> list[str]:
    """The metrics that are shown: the one that a run is judged by, then as the task gives them, its usual one first."""
    found = list(dict.fromkeys(name for name in names if name != "examples"))
    return ([chosen] if chosen in found else []) + [name for name in found if name != chosen]


def of_models(models: list[dict[str, Any]], chosen: str | None = None) -> list[str]:
    """`in_order` of all that the models were measured by."""
    return in_order((name for model in models for name in model.get("metrics") or {}), chosen)


def label(name: str, t: Texts) -> str:
    """A metric's name."""
    return str(t.get(f"metric.{name}", name))


def words(name: str, value: float | None) -> str:
    """0.8934 -> 89.3 %; an error of 0.42 stays one."""
    return number(value) if name in NO_SHARES else percent(value)
