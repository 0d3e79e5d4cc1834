"""The base of all tasks: what the loop, evaluation and the other verbs ask of one."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from .. import checkpoint
from ..data import NO_LABEL, Encoded, Examples
from ..errors import InputError
from ..kinds import KINDS

__all__ = ["NO_LABEL", "Task", "array", "no_examples"]


@dataclass(frozen=True)
class Task:
    """Base of all tasks.

    Attributes:
        labels: names of the outputs in their order; () where outputs have no names.
        pair: whether an example is two texts.
        metric: name of the metric that chooses the best checkpoint and gives the retention; higher is better.
        weights: of the classes in the loss against the true labels; () weighs all the same.
        type: the name of the task in a spec and in `qtinker.json`.
        soft_unit: what the soft loss is a mean over: `examples`, or `answers`, the tokens that count.
        batch_size: examples at a time that an evaluation can take.
        options: fields beside these that `qtinker.json` keeps.
        rewrites: whether `prepare` puts other words into the texts.
    """

    labels: tuple[str, ...] = ()
    pair: bool = False
    metric: str = ""
    weights: tuple[float, ...] = ()

    type: ClassVar[str]
    soft_unit: ClassVar[str] = "examples"
    batch_size: ClassVar[int] = 64
    options: ClassVar[tuple[str, ...]] = ()
    rewrites: ClassVar[bool] = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", tuple(self.labels))
        if self.metric in ("", "auto"):
            object.__setattr__(self, "metric", self.metrics_known[0])
        if self.metric not in self.metrics_known:
            raise InputError(
                f"The metric {self.metric!r} does not suit the task {self.type}.",
                f"Choose one of: {', '.join(self.metrics_known)}.",
            )

    @property
    def metrics_known(self) -> tuple[str, ...]:
        """Names of the metrics that `metric` may be; the first is the usual one."""
        return KINDS[self.type].metrics

    @property
    def head_class(self) -> str:
        """The class of transformers whose head this task needs."""
        return KINDS[self.type].auto_class

    @property
    def problem_type(self) -> str | None:
        """What transformers calls it in `config.json`."""
        return KINDS[self.type].problem_type

    @property
    def exclusive(self) -> bool:
        """Whether the outputs are classes of which one is right."""
        return KINDS[self.type].exclusive

    @property
    def form(self) -> str:
        """How an example looks: texts, words, spans or blocks."""
        return KINDS[self.type].form

    @property
    def per_token(self) -> bool:
        """Whether the head answers token by token."""
        return KINDS[self.type].per_token

    @property
    def num_outputs(self) -> int:
        """How many numbers the head gives per example (or token)."""
        return len(self.labels)

    def logits(self, outputs: Any, attention_mask: torch.Tensor | None = None) -> torch.Tensor:
        """The head's answer among a model's outputs."""
        return checkpoint.head_logits(outputs, attention_mask)

    def prepare(self, batch: dict[str, torch.Tensor], *, seed: int, epoch: int) -> dict[str, torch.Tensor]:
        """Last change to a collated batch (masked language modelling masks here); by default none."""
        return batch

    def hard_loss(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Loss against the true labels: scalar, mean over what has a label, 0 (with gradient) if nothing has."""
        raise NotImplementedError

    def soft_loss(
        self,
        student_logits: torch.Tensor,
        teacher_logits: torch.Tensor,
        temperature: float,
        *,
        attention_mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Loss against the teacher's answer, times temperature^2: scalar, mean over `soft_unit`.

        `attention_mask` [B, L] tells tasks on tokens at which of them answers count; others ignore it.
        """
        raise NotImplementedError

    def average(self, answers: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
        """One answer of several teachers' [N, ...]; `shares` has the same number of dimensions and the sum 1.

        Logits again: of the averaged probabilities where one class is right (Hinton et al. 2015, section 3), as large
        on average as the teachers' are, which counts where logits themselves are compared; else the averaged outputs,
        unless a task says otherwise.
        """
        if self.exclusive:
            level = (answers.logsumexp(-1, keepdim=True) * shares).sum(0)
            return (answers.log_softmax(-1) + shares.log()).logsumexp(0) + level
        return (answers * shares).sum(0)

    # --- what the model answers --------------------------------------------------------------------------------------

    def rows(self, logits: torch.Tensor, batch: dict[str, torch.Tensor]) -> tuple[np.ndarray, np.ndarray]:
        """A batch's answers as rows, float32 [R, ...], the examples' one after the other; int64 [B]: how many each has.

        One row an example, the logits, unless a task says otherwise.
        """
        return array(logits).astype(np.float32), np.ones(len(logits), np.int64)

    def settle(self, rows: np.ndarray, counts: np.ndarray, encoded: Encoded, examples: Examples) -> np.ndarray:
        """All rows as answers to the examples: the same shape whatever tokenizer cut them. By default the rows."""
        return rows

    def score(self, answers: np.ndarray, examples: Examples) -> dict[str, float]:
        """Metrics of settled answers; "examples" is how many had a label."""
        return self.metrics(answers, examples.labels)

    def metrics(self, answers: Any, labels: Any) -> dict[str, float]:
        """Metrics of answers against labels; "examples" is how many had a label.

        Raises:
            InputError: no example has a label.
        """
        raise NotImplementedError

    def labels_from(self, answers: np.ndarray, examples: Examples) -> Examples:
        """The same examples with settled answers as their labels: scores against them tell agreement with who answered.

        The class with the highest logit, unless a task says otherwise.
        """
        return dataclasses.replace(examples, labels=array(answers).argmax(axis=-1).astype(np.int64))

    # --- what is written down ----------------------------------------------------------------------------------------

    def balanced(self, examples: Examples) -> tuple[float, ...]:
        """Weights that make up for rare classes, from the labels of the training data.

        Raises:
            InputError: this task has no classes.
        """
        raise InputError(
            f"The task {self.type} has no classes that weights could balance.", "Leave class_weights at none."
        )

    def head_config(self) -> dict[str, Any]:
        """What goes into the model's config: num_labels, id2label, label2id, problem_type."""
        config: dict[str, Any] = {
            "num_labels": self.num_outputs,
            "id2label": dict(enumerate(self.labels)),
            "label2id": {name: number for number, name in enumerate(self.labels)},
        }
        if self.problem_type:
            config["problem_type"] = self.problem_type
        return config

    def to_meta(self) -> dict[str, Any]:
        """Plain data for `qtinker.json`."""
        more = {name: getattr(self, name) for name in self.options}
        return {"type": self.type, "labels": list(self.labels), "pair": self.pair, "metric": self.metric, **more}

    @staticmethod
    def from_meta(meta: dict[str, Any]) -> Task:
        """The task that `to_meta` described.

        Raises:
            InputError: the type is unknown, or the metric does not suit it.
        """
        from . import TASKS

        kind = TASKS.get(meta.get("type", ""))
        if kind is None:
            raise InputError(
                f"The task {meta.get('type')!r} is unknown here.", f"Tasks are: {', '.join(TASKS)}; is QTinker too old?"
            )
        more = {name: meta[name] for name in kind.options if name in meta}
        return kind(tuple(meta.get("labels") or ()), bool(meta.get("pair")), meta.get("metric") or "", **more)


def no_examples() -> InputError:
    """What a metric says to data without labels."""
    return InputError("There is no labelled example to measure on.", "Give evaluation data with labels.")


def array(values: Any) -> np.ndarray:
    """A tensor or array as numpy, floats as float32 or more."""
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu()
        return (values.float() if values.is_floating_point() else values).numpy()
    return np.asarray(values)
