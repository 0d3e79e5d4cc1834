"""What a sweep's report says in sentences, each once: decisions, who learned nothing, what is slower. Torch-free."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import elsewhere

Data = dict[str, Any]
SLOWER = 1.05
"""Nearer to its float model's time is the clock's noise."""


def findings(result: Data) -> list[str]:
    """All sentences of a report: what was noted on the way, then what the table says beyond its figures."""
    lines = list(result["notes"])
    for decision in result["decisions"]:
        stopped = decision["stopped"]
        lines.append(
            f"After {decision['share']:.0%} of the training {len(stopped)} of {decision['of']} were stopped"
            + (f" as too far behind: {', '.join(stopped)}." if stopped else ": none was far behind.")
        )
    return [*lines, *about_teachers(result), *learned_nothing(result), *slower(result), *crowded(result)]


_LONGER = (
    "Train it longer or at a higher learning rate: by --teacher-epochs and --teacher-learning-rate if the sweep "
    "finetuned it, else anew by finetune."
)


def about_teachers(result: Data) -> list[str]:
    """Teachers over which retention says nothing, or little."""
    lines = []
    metric, base = result["metric"].replace("_", "-"), result["baseline"]
    for teacher in result["teachers"]:
        name, score = teacher["name"], teacher["score"]
        own = [row for row in result["points"] if row["teacher"] == name and row["scheme"] == "float"]
        if teacher.get("chance"):
            lines.append(
                f"The teacher {name} ({metric} {score:.4f}) is not clearly better than giving the same answer always "
                f"({base:.4f}): it has learned too little to teach, and retention over it means nothing, so none is "
                f"given. {_LONGER}"
            )
        elif score <= 0:
            lines.append(f"The {metric} of the teacher {name} is {score:.4f}: no share of that can be told.")
        elif better := [row for row in own if row["score"] > score and row["score"] - score > 0.1 * score]:
            best = max(better, key=lambda row: (row["score"], row["id"]))
            lines.append(
                f"{best['id']} ({best['score']:.4f}) answers much better than its teacher {name} ({score:.4f}): the "
                f"teacher was trained too little, and retention over it says little. {_LONGER}"
            )
    return lines


def learned_nothing(result: Data) -> list[str]:
    """The points that are no better than answering the commonest label always."""
    base = result["baseline"]
    low = [] if base is None else [row for row in result["points"] if row["score"] <= base]
    if not low:
        return []
    return [
        f"No better than giving the same answer always ({base:.4f}), so nothing was learned: {listed(low, 'score')}. "
        "More epochs or a higher learning rate may help."
    ]


def slower(result: Data) -> list[str]:
    """For each scheme the points that are slower than their float model."""
    found: dict[str, list[str]] = {}
    compared: dict[str, int] = {}
    for row in result["points"]:
        whole = next(
            (p for p in result["points"] if p["candidate"] == row["candidate"] and p["scheme"] == "float"), None
        )
        if row["scheme"] != "float" and whole and row["latency_ms"] and whole["latency_ms"]:
            ratio = row["latency_ms"] / whole["latency_ms"]
            compared[row["scheme"]] = compared.get(row["scheme"], 0) + 1
            if ratio > SLOWER:
                found.setdefault(row["scheme"], []).append(f"{row['candidate']} ({ratio:.1f} times)")
    return [
        f"{scheme} makes {len(names)} of {compared[scheme]} slower than float for one example on this processor: "
        f"{', '.join(names)}."
        for scheme, names in found.items()
    ]


def crowded(result: Data) -> list[str]:
    """What other programs did to the times of the points."""
    busy = {row["id"]: row.get("busy_elsewhere") for row in result["points"]}
    text = elsewhere.warning(busy, result["environment"]["threads"])
    return [text] if text else []


def listed(rows: Sequence[Data], figure: str) -> str:
    """Points with a figure of theirs."""
    return ", ".join(f"{row['id']} ({row[figure]:.4f})" for row in rows)
