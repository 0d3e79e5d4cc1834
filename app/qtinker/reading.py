"""How a run reads its data: as the task and in the label order of its teacher, and how long its texts may be."""

from __future__ import annotations

import dataclasses
import shlex
from typing import Any

from . import data, model_folder, registry
from .data import Encoded, Examples
from .data.asked import asked
from .data.examples import Ragged
from .data.split import text_hashes
from .data.windows import lost_answers
from .errors import InputError
from .keeping import content_key
from .spec import RunSpec
from .work import Work

TOO_LONG = 0.01
"""Share of the texts that may be cut before it is told."""


def load_data(spec: RunSpec, own: dict[str, Any] | None) -> data.Dataset:
    """The data as the task and in the label order of a trained teacher, whose name for each label counts.

    Raises:
        InputError: the data can't be used, or has labels that the teacher does not know (unless it is to be finetuned).
    """
    options = asked(spec, own)
    try:
        return data.load(spec.data, seed=spec.training.seed, **options)
    except InputError:
        if spec.teacher is not None and spec.teacher.finetune and options.get("labels"):
            return data.load(spec.data, seed=spec.training.seed, task=spec.task.type)
        raise


def content(found: data.Dataset, *, labels: bool = True) -> str:
    """A hash of all examples in their order: texts, and labels unless a teacher gave them."""
    parts: list[Any] = []
    for each in (found.train, found.eval):
        parts.append(text_hashes(each.texts, each.pairs))
        if labels:
            parts += [each.labels.values if isinstance(each.labels, Ragged) else each.labels, each.answers]
    return content_key(*parts)


def refuse_other_data(work: Work) -> str:
    """The hash of the data, which are those that the run began with, or nothing has come of those yet.

    Raises:
        InputError: models of this run learned from other data.
    """
    found, done = content(work.dataset), work.record.done
    begun = len(done) > 1 or work.run.files.checkpoint.exists()
    if begun and done.get("prepare", {}).get("content", found) != found:
        raise InputError(
            f"The data are no longer those that run {work.run.id} began with.",
            "Put the files back as they were and resume it, or make a new run from its settings: "
            f"python3 app run {shlex.quote(str(work.run.files.spec))}",
        )
    return found


def the_task(work: Work, own: dict[str, Any] | None) -> Any:
    """The data's task with what the spec says about it.

    Args:
        own: the task of a trained teacher. What it knows of the task counts where the training data has no labels to
            tell it: that questions may have no answer.

    Raises:
        InputError: a metric or class weights that don't suit it.
    """
    task, spec = work.dataset.task, work.spec.task
    changes: dict[str, Any] = {}
    if own is not None and own["type"] == task.type and not work.dataset.train.labelled.all():
        changes = {name: getattr(task, name) or own[name] for name in task.options if name in own}
    if spec.metric != "auto":
        changes["metric"] = spec.metric
    if spec.class_weights == "balanced":
        changes["weights"] = task.balanced(work.dataset.train)
    if task.type == "masked-lm":
        changes["mask_share"] = spec.mask_share
    return dataclasses.replace(task, **changes)


def longest(work: Work) -> int:
    """Tokens a text is cut to: the spec's, or fewer where a model has fewer positions."""
    teacher = work.spec.teacher
    named = [work.spec.student.model, *([teacher.model, *(teacher.also or [])] if teacher else [])]
    limits = {}
    for name in filter(None, named):
        config = model_folder.read_json(registry.resolve(name) / model_folder.CONFIG)
        positions = config.get("max_position_embeddings") or config.get("n_positions")
        if isinstance(positions, int) and positions > 0:
            limits[name] = positions
    asked = work.spec.data.max_length
    if limits and min(limits.values()) < asked:
        name = min(limits, key=lambda each: limits[each])
        work.say(f"Texts are cut to {limits[name]} tokens, as many as {name} has positions for.")
        return limits[name]
    return asked


def tell_losses(work: Work, examples: Examples, encoded: Encoded) -> None:
    """Say what of the training examples is not read, because texts are longer than a model may take."""
    if encoded.form in ("texts", "words") and encoded.truncated > TOO_LONG * len(encoded):
        capped = work.max_length < work.spec.data.max_length
        work.say(
            f"{encoded.truncated:,} of {len(encoded):,} training texts are longer than {work.max_length} tokens, and "
            "what is beyond is not read. "
            + ("Models of more positions read more." if capped else
               "A greater longest length (--max-length) reads more, if the models have the positions."),
            level="warning",
        )  # fmt: skip
    if encoded.form == "spans" and (lost := lost_answers(examples, encoded)):
        work.say(
            f"{lost:,} answers are whole in no part of {work.max_length} tokens of their contexts: these questions "
            "count as without a label. More overlap (--stride) keeps them, or a greater longest length (--max-length), "
            "if the models have the positions.",
            level="warning",
        )
