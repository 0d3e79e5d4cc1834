"""The kinds of task: what each needs of transformers and of the data. Free of torch; the losses are in tasks/."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from .errors import CheckpointError


@dataclass(frozen=True)
class Kind:
    """One kind of task.

    Attributes:
        type: its name in a spec and in `qtinker.json`.
        words: its name in a sentence.
        auto_class: the class of transformers that has the head.
        form: how an example looks: texts (one or two texts), words (a sentence word by word), spans (a question and a
            context), blocks (running text cut into blocks).
        tag: the Hub's pipeline tag.
        problem_type: what transformers calls it in `config.json`, where it has a name for it.
        named: whether the outputs have names: classes, which weights can balance.
        exclusive: whether the outputs are classes of which one is right.
        metrics: names of the metrics that can choose the best checkpoint; the first is the usual one.
    """

    type: str
    words: str
    auto_class: str
    form: str
    tag: str
    metrics: tuple[str, ...]
    problem_type: str | None = None
    named: bool = False
    exclusive: bool = False

    @property
    def per_token(self) -> bool:
        """Whether the head answers token by token."""
        return self.form != "texts"


MOST_OUTPUTS = 100_000
"""A foreign config may claim anything."""
_SEQUENCE = "AutoModelForSequenceClassification"
KINDS: dict[str, Kind] = {
    kind.type: kind
    for kind in (
        Kind("classification", "classification", _SEQUENCE, "texts", "text-classification",
             ("accuracy", "macro_f1"), "single_label_classification", True, True),
        Kind("multi-label", "multi-label classification", _SEQUENCE, "texts", "text-classification",
             ("micro_f1", "macro_f1", "subset_accuracy"), "multi_label_classification", True),
        Kind("regression", "regression", _SEQUENCE, "texts", "text-classification", ("pearson", "spearman"),
             "regression"),
        Kind("token-classification", "token classification", "AutoModelForTokenClassification", "words",
             "token-classification", ("f1", "precision", "recall", "macro_f1", "accuracy"), None, True, True),
        Kind("question-answering", "question answering", "AutoModelForQuestionAnswering", "spans",
             "question-answering", ("f1", "exact_match")),
        Kind("masked-lm", "masked language modelling", "AutoModelForMaskedLM", "blocks", "fill-mask",
             ("masked_accuracy", "log_likelihood"), exclusive=True),
    )
}  # fmt: skip
_FIX = 'Write it as {"0": "no", "1": "yes"}, with a name of its own for each output.'
_ENDINGS = {
    "ForTokenClassification": "token-classification",
    "ForQuestionAnswering": "question-answering",
    "ForMaskedLM": "masked-lm",
    "ForPreTraining": "masked-lm",
}


def task_of(config: dict[str, Any], meta: dict[str, Any]) -> dict[str, Any] | None:
    """The task of a model folder: as `qtinker.json` says, else what `config.json` tells; None for a bare encoder.

    Whether the head's weights are there is another question (`checkpoint.has_trained_head`).

    Raises:
        CheckpointError: `names_of` can't tell the outputs' names.
    """
    task = meta.get("task")
    if isinstance(task, dict) and task.get("type") in KINDS:
        return task
    kind = _kind(config)
    if kind is None:
        return None
    return {"type": kind, "labels": names_of(config) if KINDS[kind].named else [], "pair": None}


def names_of(config: dict[str, Any]) -> list[str]:
    """The names of a config's outputs in their order.

    Raises:
        CheckpointError: `id2label` is no object, does not number the outputs from 0, or has one name twice.
    """
    id2label = config.get("id2label")
    if id2label and not isinstance(id2label, dict):
        raise CheckpointError("id2label in config.json is no object with a name for each number.", _FIX)
    if isinstance(id2label, dict) and id2label:
        named = {str(key): str(name) for key, name in id2label.items()}
        if named.keys() != set(map(str, range(len(named)))):
            keys = ", ".join(list(named)[:5])
            raise CheckpointError(f"id2label in config.json does not number the outputs from 0: it has {keys}.", _FIX)
        names = [named[str(number)] for number in range(len(named))]
        if len(set(names)) < len(names):
            twice = Counter(names).most_common(1)[0][0]
            raise CheckpointError(f"id2label in config.json gives more than one output the name {twice!r}.", _FIX)
        return names
    return [f"LABEL_{number}" for number in range(min(int(config.get("num_labels") or 2), MOST_OUTPUTS))]


def _kind(config: dict[str, Any]) -> str | None:
    architectures = config.get("architectures")
    for name in architectures if isinstance(architectures, list) else []:
        for ending, kind in _ENDINGS.items():
            if str(name).endswith(ending):
                return kind
        if str(name).endswith("ForSequenceClassification"):
            named = {kind.problem_type: kind.type for kind in KINDS.values() if kind.problem_type}
            known = named.get(str(config.get("problem_type")))
            return known or ("regression" if len(names_of(config)) == 1 else "classification")
    return None
