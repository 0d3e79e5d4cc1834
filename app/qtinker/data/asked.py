"""How a run's data is to be read: as the task and in the label order of a trained teacher, where there is one."""

from __future__ import annotations

from typing import Any

from ..errors import InputError
from ..kinds import KINDS
from ..label_order import nameless
from ..spec import RunSpec


def asked(spec: RunSpec, own: dict[str, Any] | None) -> dict[str, Any]:
    """Arguments of `data.load`: task, labels, outputs, unlabelled.

    Args:
        own: the task that the teacher is trained for (`checkpoint.task_in`); None without a teacher or a trained head.
            That a pretrained encoder guesses hidden words counts only where that is the task.

    Raises:
        InputError: the teacher is trained for another task than the one asked for, and is not to be finetuned.
    """
    wanted = spec.task.type
    if own is None or spec.teacher is None or (own["type"] == "masked-lm" and wanted != "masked-lm"):
        return {"task": wanted}
    outputs = [str(label) for label in own.get("labels") or []]
    labels = [] if nameless(outputs) else outputs
    if spec.teacher.finetune:
        return {"task": wanted, "labels": labels or None}
    if wanted not in ("auto", own["type"]):
        fix = f"Use --task {own['type']}, finetune the teacher on this data (--finetune-teacher), or take another one."
        if wanted == "masked-lm":  # such as the preset General
            fix = f"Take a pretrained teacher, or set the task to {own['type']} (another preset leaves it as it is)."
        raise InputError(
            f"The teacher {spec.teacher.model} was trained for {KINDS[own['type']].words}, and the task is "
            f"{KINDS[wanted].words}.", fix,
        )  # fmt: skip
    return {"task": own["type"], "labels": labels or None, "outputs": outputs, "unlabelled": True}
