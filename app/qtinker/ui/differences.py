"""Where two models answer differently, and which of them is right, whatever the task."""

from __future__ import annotations

from typing import Any

from ..data import Examples, Ragged
from ..errors import InputError
from .format import answer_words

Answer = dict[str, Any]
SHOWN = 50
SURE = 0.05
"""Numbers nearer than this share of the labels' range are the same answer."""


def between(first: list[Answer], second: list[Answer], examples: Examples, names: tuple[str, ...]) -> list[Answer]:
    """A row for each example with two answers, those on which both models are surest (or furthest apart) first.

    Args:
        first, second: the models' answers to `examples`, in their order.
        names: the labels' names.

    Returns:
        {text, pair, true, first, first_score, first_right, second, second_score, second_right}; `true` and the rights
        are None where there is no label, the rights also where an answer is a number.
    """
    scale = _range(examples)
    rows = []
    for number, (one, other) in enumerate(zip(first, second, strict=True)):
        if _same(one, other, scale):
            continue
        true = _true(examples, number, names)
        row = {"text": one["text"], "pair": one.get("pair"), "true": None if true is None else answer_words(true)}
        for side, answer in (("first", one), ("second", other)):
            row |= {side: answer_words(answer), f"{side}_score": answer.get("score"),
                    f"{side}_right": _right(answer, true, examples, number)}  # fmt: skip
        rows.append((_weight(one, other), row))
    rows.sort(key=lambda each: -each[0])
    return [row for _, row in rows]


def _same(one: Answer, other: Answer, scale: float) -> bool:
    if "value" in one:
        return bool(abs(one["value"] - other["value"]) <= SURE * scale)
    return _meaning(one) == _meaning(other)


def _meaning(answer: Answer) -> Any:
    """What is answered, in whatever order several labels are named."""
    return frozenset(answer["labels"]) if "labels" in answer else answer_words(answer)


def _weight(one: Answer, other: Answer) -> float:
    if "value" in one:
        return float(abs(one["value"] - other["value"]))
    return float(min(one.get("score") or 0, other.get("score") or 0))


def _range(examples: Examples) -> float:
    """The labels' greatest minus their least, where they are numbers on a scale."""
    labels = examples.labels
    if isinstance(labels, Ragged) or labels.dtype.kind != "f" or labels.ndim != 1 or not examples.labelled.any():
        return 1.0
    known = labels[examples.labelled]
    return float(known.max() - known.min()) or 1.0


def _true(examples: Examples, number: int, names: tuple[str, ...]) -> Answer | None:
    """An example's label as a model would answer it; None where it has none."""
    from ..tasks.tokens import entities

    if not examples.labelled[number]:
        return None
    labels = examples.labels
    if examples.form == "spans":
        return {"answer": next(iter(_given(examples, number)), "")}
    if isinstance(labels, Ragged):
        words = examples.texts[number].split(" ")
        found = entities([names[tag] if tag >= 0 else "O" for tag in labels[number]])
        return {"entities": [{"text": " ".join(words[a : b + 1]), "label": kind} for kind, a, b in found]}
    if labels.ndim == 2:
        return {"labels": [name for name, on in zip(names, labels[number], strict=True) if on]}
    return {"value": float(labels[number])} if labels.dtype.kind == "f" else {"label": names[labels[number]]}


def _given(examples: Examples, number: int) -> list[str]:
    """All right answers to a question."""
    return list(examples.answers[number]) if examples.answers else []


def _right(answer: Answer, true: Answer | None, examples: Examples, number: int) -> bool | None:
    if true is None or "value" in answer:
        return None
    if "answer" in answer:  # any of the given ones, or none where there is none
        return answer["answer"] in (_given(examples, number) or [""])
    return _meaning(answer) == _meaning(true)


def refuse(kind: str) -> None:
    """Raises InputError: for a task whose models answer nothing about whole texts."""
    if kind == "masked-lm":
        raise InputError(
            "These models guess hidden words, and answer nothing about a whole text.",
            "Compare them on data above: masked accuracy and perplexity tell them apart.",
        )
