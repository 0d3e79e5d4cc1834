"""Settings that change nothing beside the others: whoever gave them expects something of them. Free of torch."""

from __future__ import annotations

from collections.abc import Iterator

from .errors import Problem
from .spec import RunSpec

Idle = tuple[str, tuple[str, ...], str, str]
"""Part of the spec, its settings, why they have no effect, what to do."""


def idle(spec: RunSpec, kind: str) -> list[Problem]:
    """A warning for each setting that is not at its default and has no effect.

    Args:
        kind: of the task.
    """
    found = []
    for part, names, why, fix in _beside_others(spec, kind):
        given = getattr(spec, part)
        for name in names:
            field = type(given).model_fields.get(name)
            if field is not None and getattr(given, name) != field.default:
                found.append(Problem(f"{part}.{name}", why, fix, "warning"))
    return found


def _beside_others(spec: RunSpec, kind: str) -> Iterator[Idle]:
    if spec.data.augment_model is None:
        names = ("augment_variants", "augment_share", "augment_candidates")
        yield "data", names, "it has no effect: no model makes variants.", "Name one as augment_model."
    if kind != "question-answering":
        yield "data", ("stride",), "it has no effect: only question answering has windows.", "Leave it out."
    if kind != "masked-lm":
        yield "task", ("mask_share",), "it has no effect: only masked language modelling hides words.", "Leave it out."
    if spec.teacher is not None:
        yield from _of_teaching(spec, kind)


def _of_teaching(spec: RunSpec, kind: str) -> Iterator[Idle]:
    method, temperatures = spec.method, ("temperature", "temperature_end")
    assert spec.teacher is not None
    if not spec.teacher.finetune:
        yield ("teacher", ("epochs", "learning_rate"), "it has no effect: the teacher is not finetuned.",
               "Set teacher.finetune (--finetune-teacher), or leave it out.")  # fmt: skip
    if not method.asks_along:
        yield ("teacher", ("cache_gb",), f"it has no effect: the method {method.name!r} reads no states of every "
               "token.", "Leave it out.")  # fmt: skip
    if not method.ce_weight:
        yield ("task", ("class_weights",), "the student does not learn by them: the true labels weigh nothing beside "
               "the teacher's answers.", "Raise ce_weight.")  # fmt: skip
    if not method.kd_weight:
        yield ("method", (*temperatures, "soft_loss", "standardize_logits"), "it has no effect: the teacher's answers "
               "weigh nothing.", "Raise kd_weight.")  # fmt: skip
    elif method.soft_loss == "mse":
        yield ("method", temperatures, "it has no effect: mse compares the logits as they are.",
               "Use soft_loss kl, or leave it out.")  # fmt: skip
    elif kind == "regression":
        yield "method", temperatures, "it has no effect: a number has no temperature.", "Leave it out."
    if method.name in ("feature", "relations") and not method.asks_along:
        names = ("embedding_weight", "hidden_weight", "attention_weight", "relation_heads", "teacher_layer",
                 "relation_weight", "answers_throughout")  # fmt: skip
        yield "method", names, "it has no effect: there is no first stage.", "Raise intermediate_share."
