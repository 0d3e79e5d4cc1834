"""The methods: what each reads of teacher and student, its losses and its stages.

A method is built from its settings (`spec.py`) and the two models, checks once that it suits them, and then turns
outputs into parts of the loss. Adding one is adding a class here and its settings in `spec.METHODS`.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..spec_methods import FeatureMethod, LogitMethod, PatientMethod, RelationsMethod, TripleMethod
from . import layers, losses
from .layers import Needs, Outputs


@dataclass(frozen=True)
class Part:
    """One term of the loss: a mean over `unit`, and its weight.

    Units are counted before the step (`count_units`), so that the gradient of a batch does not depend on how it is
    cut into micro-batches or dealt out to processes.
    """

    value: Tensor
    weight: float
    unit: str


@dataclass(frozen=True)
class Stage:
    """A stretch of the training with its own learning-rate schedule and optimizer state."""

    name: str
    share: float
    """Share of all steps."""
    judged: bool = True
    """Whether the student's answers are trained, so that evaluating them means something."""


def count_units(batch: dict[str, Tensor]) -> dict[str, float]:
    """How much a batch holds of each unit that a part may be a mean over."""
    labels, tokens = batch["labels"], batch["attention_mask"].sum(1)
    known = ~labels.isnan() if labels.is_floating_point() else labels != -100
    if labels.is_floating_point() and labels.ndim > 1:
        known = known.all(-1)
    return {
        "examples": float(len(tokens)),
        "labelled": float(known.sum()),
        "tokens": float(tokens.sum()),
        "token_pairs": float(tokens.square().sum()),
        "answers": float(batch["answer_mask"].sum()) if "answer_mask" in batch else 0.0,
    }


class Finetune:
    """No teacher: the loss against the true labels alone. Also the control of every method."""

    student_needs: dict[str, Needs]
    teacher_needs: dict[str, Needs | None]
    """By stage; None: the teacher isn't asked at all."""

    def __init__(self, *, task: Any) -> None:
        self.task = task
        self.stages: tuple[Stage, ...] = (Stage("train", 1.0),)
        self.projections = nn.ModuleDict()
        self.student_needs, self.teacher_needs = {"train": Needs()}, {"train": None}
        self.answers_throughout = False
        """Whether both of two stages learn the answers."""
        self.progress = 0.0
        """How much of the stage is done (with answers throughout: of the training), 0 to 1; set before each step."""

    def parts(self, stage: str, student: Outputs, teacher: Outputs | None, batch: dict[str, Tensor]) -> dict[str, Part]:
        """The terms of the loss; outputs and batch are of one micro-batch."""
        return {"hard": Part(self.task.hard_loss(student.logits, batch["labels"]), 1.0, "labelled")}


class Logit(Finetune):
    """Soft targets and hard labels: `kd_weight * T^2 * KL + ce_weight * CE` (Hinton et al. 2015)."""

    def __init__(self, spec: Any, *, task: Any, student: Any, teacher: Any, same_tokens: bool) -> None:
        super().__init__(task=task)
        if task.type == "masked-lm" and not same_tokens:
            raise InputError(
                f"The task {task.type} is answered with tokens of the vocabulary, and {teacher.name} and "
                f"{student.name} have different ones.",
                "Take a student with the teacher's vocabulary.",
            )
        self.spec = spec
        self.teacher_needs = {"train": Needs() if spec.kd_weight else None}
        if spec.soft_loss != "kl" or spec.standardize_logits:
            self._check_classes()

    def parts(self, stage: str, student: Outputs, teacher: Outputs | None, batch: dict[str, Tensor]) -> dict[str, Part]:
        """Soft targets, and hard labels where they weigh something."""
        parts = {}
        if self.spec.kd_weight:
            assert teacher is not None
            mask = counted = batch.get("answer_mask", student.attention_mask)
            if teacher.answer_mask is not None:  # some words, cut off in the teacher's tokens, have no answer
                mask = counted * teacher.answer_mask
            value = self._soft(student.logits, teacher.logits, mask)
            if mask is not counted:
                value = value * (mask.sum() / counted.sum().clamp(min=1))
            parts["soft"] = Part(value, self.spec.kd_weight, self.task.soft_unit)
        if self.spec.ce_weight:
            value = self.task.hard_loss(student.logits, batch["labels"])
            parts["hard"] = Part(value, self.spec.ce_weight, "labelled")
        return parts

    @property
    def temperature(self) -> float:
        """The temperature of the next step."""
        first, last = self.spec.temperature, self.spec.temperature_end
        return first if last is None else first + (last - first) * self.progress

    def _soft(self, student: Any, teacher: Any, mask: Tensor) -> Tensor:
        if self.task.rewrites:  # the output layer of either model may be padded beyond the vocabulary
            size = min(student.shape[-1], teacher.shape[-1])
            student, teacher = student[..., :size], teacher[..., :size]
        if self.spec.soft_loss == "kl" and not self.spec.standardize_logits:
            return self.task.soft_loss(student, teacher, self.temperature, attention_mask=mask)
        if student.ndim == 3:  # a class for each token
            if not bool(mask.any()):
                return student.float().sum() * 0
            student, teacher = student[mask.bool()], teacher[mask.bool()]
        if self.spec.soft_loss == "mse":
            return losses.logit_mse(student, teacher)
        if self.spec.soft_loss == "dist":
            return losses.dist_relations(student, teacher, temperature=self.temperature)
        student, teacher = losses.standardized(student), losses.standardized(teacher)
        return losses.soft_target_kl(student, teacher, temperature=self.temperature)

    def _check_classes(self) -> None:
        """These forms of the soft-target loss are about classes that exclude each other, most of them three or more."""
        name = "standardize_logits" if self.spec.standardize_logits else f"soft_loss {self.spec.soft_loss}"
        if not self.task.exclusive:
            raise InputError(
                f"{name} suits tasks with one class for each text or word, not {self.task.type}.",
                "Use soft_loss kl, without standardize_logits.",
            )
        if 0 < self.task.num_outputs < 3 and self.spec.soft_loss != "mse":  # a vocabulary has no number of outputs
            raise InputError(
                f"{name} needs three classes or more: with {self.task.num_outputs} it would erase how sure the "
                "teacher is.",
                "Use soft_loss kl or mse, without standardize_logits.",
            )


class Patient(Logit):
    """Adds the normalised squared distance of [CLS] states of matched layers (Sun et al. 2019).

    Where widths differ, each matched layer has a learned projection, which is thrown away after training (an addition
    to the paper, whose models have one width). Different vocabularies are fine where [CLS] stands for the whole text,
    not where it stands for a window of one.
    """

    def __init__(self, spec: PatientMethod, *, task: Any, student: Any, teacher: Any, same_tokens: bool) -> None:
        super().__init__(spec, task=task, student=student, teacher=teacher, same_tokens=same_tokens)
        if task.form == "spans" and not same_tokens:
            raise InputError(
                "The method 'patient' compares [CLS] states, which stand for a window of a context, and "
                f"{teacher.name} and {student.name} cut contexts into different windows.",
                "Use the method 'logit', or a student with the teacher's vocabulary.",
            )
        for loaded in (student, teacher):
            if loaded.tokenizer.cls_token_id is None:
                raise InputError(
                    f"The method 'patient' compares [CLS] states, and {loaded.name} has no [CLS] token.",
                    "Use the method 'logit'.",
                )
        self.pairs = layers.patient_pairs(
            spec.layer_mapping,
            student=layers.layer_count(student.model),
            teacher=layers.layer_count(teacher.model),
        )
        widths = layers.hidden_size(student.model), layers.hidden_size(teacher.model)
        if widths[0] != widths[1]:
            self.projections = nn.ModuleDict({str(layer): nn.Linear(*widths, bias=False) for layer, _ in self.pairs})
        self.student_needs = {"train": Needs(cls_layers=tuple(layer for layer, _ in self.pairs))}
        self.teacher_needs = {"train": Needs(cls_layers=tuple(layer for _, layer in self.pairs))}

    def parts(self, stage: str, student: Outputs, teacher: Outputs | None, batch: dict[str, Tensor]) -> dict[str, Part]:
        """The logit method's parts and the patient part."""
        assert teacher is not None
        parts = super().parts(stage, student, teacher, batch)
        pulled = [self._projected(layer, student.cls_states[layer]) for layer, _ in self.pairs]
        target = [teacher.cls_states[layer] for _, layer in self.pairs]
        value = losses.patient_mse(torch.stack(pulled, 1), torch.stack(target, 1), form=self.spec.beta_form)
        parts["patient"] = Part(value, self.spec.beta, "examples")
        return parts

    def _projected(self, layer: int, states: Tensor) -> Tensor:
        return self.projections[str(layer)](states.float()) if len(self.projections) else states


class _TwoStages(Logit):
    """A stage on the teacher's inside, with or without its answers beside, and then the answers alone."""

    def two_stages(self, reads: Needs, targets: Needs) -> None:
        """Set the stages and what each reads of student and teacher; no share of the first leaves it out."""
        share, throughout = self.spec.intermediate_share, self.spec.answers_throughout
        self.answers_throughout = throughout and share > 0
        inside = (Stage("intermediate", share, judged=throughout),) if share else ()
        self.stages = (*inside, Stage("prediction", 1.0 - share))
        self.student_needs = {"intermediate": reads, "prediction": Needs()}
        targets = dataclasses.replace(targets, answers=throughout)
        self.teacher_needs = {"intermediate": targets, "prediction": self.teacher_needs["train"]}

    def parts(self, stage: str, student: Outputs, teacher: Outputs | None, batch: dict[str, Tensor]) -> dict[str, Part]:
        """The parts of the stage."""
        answers = stage == "prediction" or self.spec.answers_throughout
        parts = super().parts(stage, student, teacher, batch) if answers else {}
        if stage == "prediction":
            return parts
        assert teacher is not None
        return parts | self.inside(student, teacher)

    def inside(self, student: Outputs, teacher: Outputs) -> dict[str, Part]:
        """The intermediate stage's own parts."""
        raise NotImplementedError


class Feature(_TwoStages):
    """Embeddings, hidden states and attention scores first, then the answer (TinyBERT, Jiao et al. 2020).

    The intermediate stage sums the losses of the matched layers, as the paper does; the prediction stage is the logit
    method. Each stage has its own learning-rate schedule and optimizer state, as the paper trains them one after the
    other. Where widths differ, one learned projection serves the embeddings and one all layers (the paper's W_e, W_h).
    """

    def __init__(self, spec: FeatureMethod, *, task: Any, student: Any, teacher: Any, same_tokens: bool) -> None:
        super().__init__(spec, task=task, student=student, teacher=teacher, same_tokens=same_tokens)
        _same_tokens(spec.name, same_tokens, student=student, teacher=teacher)
        self.pairs = layers.feature_pairs(
            spec.layer_mapping,
            student=layers.layer_count(student.model),
            teacher=layers.layer_count(teacher.model),
        )
        compared = (0, *(layer for _, layer in self.pairs))
        reads = Needs(hidden_states=True)
        targets = Needs(hidden_states=True, hidden_layers=compared)
        if spec.attention_weight and spec.intermediate_share:
            heads = layers.head_count(student.model), layers.head_count(teacher.model)
            if heads[0] != heads[1]:
                raise InputError(
                    f"The student has {heads[0]} attention heads and the teacher {heads[1]}: their attention scores "
                    "can't be compared head by head.",
                    "Use the method 'relations', set attention_weight to 0, or use a student with as many heads.",
                )
            reads = Needs(hidden_states=True, attention_layers=tuple(layer for layer, _ in self.pairs))
            targets = dataclasses.replace(targets, attention_layers=tuple(layer for _, layer in self.pairs))
            for loaded, needs in ((student, reads), (teacher, targets)):
                layers.AttentionReader(loaded.model, needs.attention_layers)  # raises where it can't be read
        widths = layers.hidden_size(student.model), layers.hidden_size(teacher.model)
        if spec.intermediate_share:
            if not (spec.embedding_weight or spec.hidden_weight or spec.attention_weight):
                raise InputError(
                    "All weights of the intermediate stage are 0: nothing would be learned in it.",
                    "Raise embedding_weight, hidden_weight or attention_weight, or set intermediate_share to 0.",
                )
            if widths[0] != widths[1]:
                self.projections = nn.ModuleDict(
                    {name: nn.Linear(*widths, bias=False) for name in ("embedding", "hidden")}
                )
        self.two_stages(reads, targets)

    def inside(self, student: Outputs, teacher: Outputs) -> dict[str, Part]:
        """Embeddings, hidden states and attention scores of the matched layers."""
        parts, mask = {}, student.attention_mask
        if self.spec.embedding_weight:
            value = losses.hidden_mse(
                self._projected("embedding", student.hidden_states[0]), teacher.hidden_states[0], mask
            )
            parts["embedding"] = Part(value, self.spec.embedding_weight, "tokens")
        if self.spec.hidden_weight:
            values = [
                losses.hidden_mse(self._projected("hidden", student.hidden_states[s]), teacher.hidden_states[t], mask)
                for s, t in self.pairs
            ]
            parts["hidden"] = Part(torch.stack(values).sum(), self.spec.hidden_weight, "tokens")
        if self.spec.attention_weight:
            assert student.attention is not None and teacher.attention is not None
            values = [
                losses.attention_score_mse(student.attention.scores(s), teacher.attention.scores(t), mask)
                for s, t in self.pairs
            ]
            parts["attention"] = Part(torch.stack(values).sum(), self.spec.attention_weight, "token_pairs")
        return parts

    def _projected(self, name: str, states: Tensor) -> Tensor:
        return self.projections[name](states.float()) if len(self.projections) else states


class Triple(Logit):
    """Soft targets, the task's own loss and the direction of the last hidden states (DistilBERT, Sanh et al. 2019).

    Where widths differ, the student's states go through a learned projection (an addition to the paper, whose models
    have one width).
    """

    def __init__(self, spec: TripleMethod, *, task: Any, student: Any, teacher: Any, same_tokens: bool) -> None:
        super().__init__(spec, task=task, student=student, teacher=teacher, same_tokens=same_tokens)
        _same_tokens(spec.name, same_tokens, student=student, teacher=teacher)
        widths = layers.hidden_size(student.model), layers.hidden_size(teacher.model)
        if widths[0] != widths[1]:
            self.projections = nn.ModuleDict({"hidden": nn.Linear(*widths, bias=False)})
        self.student_needs = {"train": Needs(hidden_states=True)}
        self.teacher_depth = layers.layer_count(teacher.model)
        self.teacher_needs = {"train": Needs(hidden_states=True, hidden_layers=(self.teacher_depth,))}

    def parts(self, stage: str, student: Outputs, teacher: Outputs | None, batch: dict[str, Tensor]) -> dict[str, Part]:
        """The logit method's parts and the cosine part."""
        assert teacher is not None
        parts = super().parts(stage, student, teacher, batch)
        states = student.hidden_states[-1]
        if len(self.projections):
            states = self.projections["hidden"](states.float())
        value = losses.hidden_cosine(states, teacher.hidden_states[self.teacher_depth], student.attention_mask)
        parts["cosine"] = Part(value, self.spec.cosine_weight, "tokens")
        return parts


class Relations(_TwoStages):
    """Query, key and value relations of one teacher layer first, then the answer (MiniLMv2, Wang et al. 2021).

    The student's last layer learns from the teacher's last (21 of 24, as the paper finds best for Large). The paper's
    is a stage of its own, on unlabelled text; here it is on the texts of the task, and the logit method follows, with
    a learning-rate schedule and optimizer state of its own. Nothing is projected: widths and heads may differ.
    """

    def __init__(self, spec: RelationsMethod, *, task: Any, student: Any, teacher: Any, same_tokens: bool) -> None:
        super().__init__(spec, task=task, student=student, teacher=teacher, same_tokens=same_tokens)
        _same_tokens(spec.name, same_tokens, student=student, teacher=teacher)
        depth = layers.layer_count(teacher.model)
        self.layer = layers.layer_count(student.model)
        self.teacher_layer = spec.teacher_layer or (21 if depth == 24 else depth)
        if self.teacher_layer > depth:
            raise InputError(
                f"The teacher has no layer {self.teacher_layer}: its layers are numbered 1 to {depth}.",
                "Correct teacher_layer, or leave it out.",
            )
        widths = [layers.attention_width(loaded.model) for loaded in (student, teacher)]
        self.heads = spec.relation_heads or relation_heads(*widths)
        if any(width % self.heads for width in widths):
            raise InputError(
                f"{self.heads} relation heads don't divide the widths of student ({widths[0]}) and teacher "
                f"({widths[1]}).",
                f"Use a divisor of {math.gcd(*widths)}, or leave relation_heads out.",
            )
        reads, targets = (
            Needs(attention_layers=(layer,), attention_parts="qkv") for layer in (self.layer, self.teacher_layer)
        )
        self.two_stages(reads, targets)

    def inside(self, student: Outputs, teacher: Outputs) -> dict[str, Part]:
        """Relations among queries, keys and values."""
        assert student.attention is not None and teacher.attention is not None
        mine, its = student.attention.taken, teacher.attention.taken
        values = {
            part: losses.relation_kl(
                mine[part][self.layer], its[part][self.teacher_layer], student.attention_mask,
                relation_heads=self.heads,
            )
            for part in "qkv"
        }  # fmt: skip
        return {f"{part}-{part}": Part(value, self.spec.relation_weight, "tokens") for part, value in values.items()}


def relation_heads(student_width: int, teacher_width: int) -> int:
    """The most relation heads that divide both widths, up to the paper's 48 (64 for teachers wider than 768)."""
    most, common = (64 if teacher_width > 768 else 48), math.gcd(student_width, teacher_width)
    return max(heads for heads in range(1, most + 1) if common % heads == 0)


def _same_tokens(method: str, same: bool, *, student: Any, teacher: Any) -> None:
    if not same:
        raise InputError(
            f"The method '{method}' compares teacher and student token by token, and their vocabularies differ: "
            f"{teacher.name} and {student.name} cut the same text into different tokens.",
            "Use the method 'logit' or 'patient', or a student with the teacher's vocabulary.",
        )


_METHODS: dict[type, type[Logit]] = {
    LogitMethod: Logit, PatientMethod: Patient, FeatureMethod: Feature, RelationsMethod: Relations, TripleMethod: Triple
}  # fmt: skip


def build(spec: Any, *, task: Any, student: Any, teacher: Any = None, same_tokens: bool = True, seed: int) -> Finetune:
    """The method that the settings name, for these two models (`checkpoint.Loaded`); Finetune without settings.

    Args:
        same_tokens: whether teacher and student cut texts into the same tokens (`data.tokenizer_key`).
        seed: of the learned projections' first weights.

    Raises:
        InputError: the method does not suit the two; the message says why and what would.
    """
    if spec is None:
        return Finetune(task=task)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _METHODS[type(spec)](spec, task=task, student=student, teacher=teacher, same_tokens=same_tokens)
