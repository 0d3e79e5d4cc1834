"""Everything that would go wrong with a run, at once and before it starts, with an estimate of time and memory.

Reads the data, config.json files and safetensors headers; no torch, no weights.
"""

from __future__ import annotations

import math
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from . import checkpoint, model_folder, registry, shapes
from .data import Examples
from .distill.mapping import feature_pairs, patient_pairs
from .errors import DiskFull, InputError, MissingExtra, Problem, QTinkerError
from .estimate import Estimate, estimate
from .home import home
from .hugging_face import SUPPORTED
from .idle import idle
from .kinds import KINDS
from .label_order import nameless, order_of
from .quantize.schemes import SCHEMES, candidates, offered, refuse_missing
from .registry_page import size
from .runtime import extras
from .shapes import Shape
from .spec import RunSpec
from .spec_methods import FeatureMethod, PatientMethod, RelationsMethod

ROOM = "spec"
"""The field of the problem that the disk is too small."""
MANY = 8
"""Names shown in a message before it is cut."""
LOW_RATE, FEW_STEPS = 2e-4, 10_000
"""A learning rate below it, for fewer steps than these, leaves random weights about as they were."""


@dataclass
class Findings:
    """What was found out about a spec: problems (errors stop the run, warnings do not), and what it will cost."""

    problems: list[Problem] = field(default_factory=list)
    estimate: Estimate | None = None

    @property
    def errors(self) -> list[Problem]:
        return [problem for problem in self.problems if problem.level == "error"]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"ok": not self.errors, "problems": [asdict(problem) for problem in self.problems],
                "estimate": self.estimate.to_dict() if self.estimate else None}  # fmt: skip


def check(spec: RunSpec) -> list[Problem]:
    """Everything that would go wrong with the spec. Empty: nothing was found."""
    return preflight(spec).problems


def beforehand(problems: Sequence[Problem]) -> list[str]:
    """Warnings in words, but for those that a run gives of its data and its name itself."""
    return [str(each) for each in problems if each.level == "warning" and each.field not in ("data.train", "name")]


def refuse_full(problems: Sequence[Problem]) -> None:
    """
    Raises:
        DiskFull: the disk has no room for the run, which is no fault of the spec.
    """
    for each in problems:
        if each.field == ROOM and each.level == "error":
            raise DiskFull(each.message, each.fix)


def preflight(spec: RunSpec) -> Findings:
    """Problems of the spec, and an estimate where the models and the data could be read."""
    found = Findings()
    teacher = _model(spec.teacher.model, "teacher.model", found) if spec.teacher else None
    student = _student(spec, teacher, found)
    data, kind, outputs = _data(spec, teacher, found)
    if spec.teacher and teacher:
        _teacher_head(spec, teacher, kind, found)
        _further_teachers(spec, teacher, kind, found)
    if teacher and student:
        _pair(spec, teacher, student, kind, found)
    if shortest := [shape for shape in (teacher, student) if shape and shape.positions]:
        _positions(spec, min(shortest, key=lambda shape: shape.positions or 0), found)
    for shape in filter(None, (teacher, student)):
        if kind == "masked-lm" and shape.model_type == "gpt2":
            _add(found, "task.type", f"{shape.name} is a GPT-2, which guesses the next word: it has no head for hidden "
                 "ones.", "Take a BERT for masked language modelling.")  # fmt: skip
    _device(spec, found)
    _engines(spec, found)
    if data is not None:
        _amounts(spec, data, found)
        _task(spec, kind, outputs, found)
        found.problems += idle(spec, kind) if kind is not None else []
    variants = _variants(spec, kind, found) if spec.data.augment_model else None
    if student is not None and data is not None and (teacher is not None or spec.teacher is None):
        found.estimate = estimate(spec, student=student, teacher=teacher, examples=data, variants=variants)
        _room(found)
    group = "distilled" if spec.teacher else "finetuned"
    if spec.name and registry.unique_name(group, spec.name) != registry.plain_name(spec.name):
        _add(found, "name", f"there is a model {spec.name!r} already.", "This one will get a number.", level="warning")
    return found


# --- the models --------------------------------------------------------------------------------------------------


def _model(name: str, where: str, found: Findings) -> Shape | None:
    try:
        path = registry.resolve(name)
        shape, meta = shapes.read(path), model_folder.read_meta(path)
    except QTinkerError as error:
        _add(found, where, error.message, error.fix)
        return None
    if shape.model_type not in SUPPORTED:
        _add(found, where, f"{shape.name} is a model of type {shape.model_type!r}, which is not supported.",
             f"Supported are {', '.join(SUPPORTED)}.")  # fmt: skip
        return None
    if shape.quantized:
        source = (meta.get("quantization") or {}).get("source")
        _add(found, where, f"{shape.name} is quantized and can't be trained or learned from.",
             f"Use the model that it was made from, {source}." if source else "Use its source.")  # fmt: skip
        return None
    export = meta.get("export")
    if export and not model_folder.safetensors_files(path):
        _add(found, where, f"{shape.name} is an export and can't be trained or learned from.",
             f"Use the model that it was made from, {export.get('source', 'its source')}.")  # fmt: skip
        return None
    return shape


def _student(spec: RunSpec, teacher: Shape | None, found: Findings) -> Shape | None:
    student = spec.student
    if student.shape:
        if spec.teacher is None:
            _add(found, "student.shape", "a shape takes its vocabulary from a teacher, and there is none.",
                 "Name a model instead.")  # fmt: skip
        return shapes.named(student.shape, teacher) if teacher else None
    source = _model(student.model, "student.model", found) if student.model else teacher
    if source is None or student.layers is None:
        return source
    if source.model_type == "albert":
        _add(found, "student.layers", f"{source.name} is an ALBERT: all its layers share their weights.",
             "Take it whole, or another model.")  # fmt: skip
        return None
    if wrong := [layer for layer in student.layers if layer >= source.layers]:
        _add(found, "student.layers", f"{source.name} has no layer {wrong[0]}: its {source.layers} layers are "
             f"numbered 0 to {source.layers - 1}.", "Correct the layers to keep.")  # fmt: skip
        return None
    return shapes.cut(source, len(student.layers))


def _teacher_head(spec: RunSpec, teacher: Shape, kind: str | None, found: Findings) -> None:
    assert spec.teacher is not None
    if not teacher.trained and not _guesses(spec, teacher, kind) and not spec.teacher.finetune:
        if unnamed := checkpoint.unnamed_head(registry.resolve(spec.teacher.model)):
            _add(found, "teacher.model", unnamed.message, unnamed.fix)
            return
        _add(found, "teacher.model", f"{teacher.name} has no trained head: it would teach noise.",
             f"{finetuning(spec, spec.teacher.model)} (or add --finetune-teacher).")  # fmt: skip


def _guesses(spec: RunSpec, teacher: Shape, kind: str | None) -> bool:
    """Whether the task is to guess hidden words, and a pretrained teacher has the head for it."""
    head = teacher.task["type"] if teacher.task is not None else None
    return (kind or spec.task.type) == "masked-lm" and head == "masked-lm"


def finetuning(spec: RunSpec, model: str) -> str:
    """The command that gives a teacher its head, as a fix."""
    task = "" if spec.task.type == "auto" else f" --task {spec.task.type}"
    return f"Train it first: python3 app finetune {model} --data {spec.data.train}{task}"


def _further_teachers(spec: RunSpec, teacher: Shape, kind: str | None, found: Findings) -> None:
    """Each must be trained, for the labels of the first where that one is; to guess words, with its vocabulary."""
    assert spec.teacher is not None
    for name in spec.teacher.also or []:
        shape = _model(name, "teacher.also", found)
        if shape is None:
            continue
        if not shape.trained and not _guesses(spec, shape, kind):
            if unnamed := checkpoint.unnamed_head(registry.resolve(name)):
                _add(found, "teacher.also", unnamed.message, unnamed.fix)
            else:
                _add(found, "teacher.also", f"{name} has no trained head: it would teach noise.",
                     finetuning(spec, name))  # fmt: skip
        _positions(spec, shape, found)
        if shape.trained and teacher.trained and order_of(shape.labels, teacher.labels) is None:
            _add(found, "teacher.also", f"{name} was trained for other labels than {spec.teacher.model}.",
                 "Take teachers of one task.")  # fmt: skip
        keys = teacher.vocabulary_key, shape.vocabulary_key
        if (kind or spec.task.type) == "masked-lm" and None not in keys and keys[0] != keys[1]:
            _add(found, "teacher.also", f"{KINDS['masked-lm'].words} is answered with tokens of the vocabulary, and "
                 f"{teacher.name} and {shape.name} have different ones.",
                 "Take teachers of one vocabulary.")  # fmt: skip


def _pair(spec: RunSpec, teacher: Shape, student: Shape, kind: str | None, found: Findings) -> None:
    """What the method needs of the two."""
    if student.parameters > teacher.parameters:
        _add(found, "student.model", f"the student ({student.parameters / 1e6:.1f}M parameters) is bigger than the "
             f"teacher ({teacher.parameters / 1e6:.1f}M).", "Swap them, or take a smaller student.",
             level="warning")  # fmt: skip
    method = spec.method
    if isinstance(method, PatientMethod | FeatureMethod):
        pairs = patient_pairs if isinstance(method, PatientMethod) else feature_pairs
        try:
            matched = pairs(method.layer_mapping, student=student.layers, teacher=teacher.layers)
        except QTinkerError as error:
            _add(found, "method.layer_mapping", error.message, error.fix)
        else:
            if isinstance(method, FeatureMethod) and method.intermediate_share and spec.student.model is None:
                _cut(spec, [layer - 1 for _, layer in matched], found)
    keys = teacher.vocabulary_key, student.vocabulary_key
    different = bool(spec.student.model) and None not in keys and keys[0] != keys[1]
    if different and kind == "masked-lm":
        _add(found, "student.model", f"{KINDS[kind].words} is answered with tokens of the vocabulary, and "
             f"{teacher.name} and {student.name} have different ones.",
             "Take a student with the teacher's vocabulary.")  # fmt: skip
    elif different and kind == "question-answering" and method.name == "patient":
        _add(found, "method.name", "the method 'patient' compares [CLS] states, which stand for a window of a "
             f"context, and {teacher.name} and {student.name} cut contexts into different windows.",
             "Use the method 'logit', or a student with the teacher's vocabulary.")  # fmt: skip
    elif method.token_by_token and different:
        others = "'logit'" if kind == "question-answering" else "'logit' or 'patient'"
        _add(found, "method.name", f"the method {method.name!r} compares token by token, and {teacher.name} and "
             f"{student.name} have different vocabularies.",
             f"Use the method {others}, or a student with the teacher's vocabulary.")  # fmt: skip
    if isinstance(method, FeatureMethod) and method.intermediate_share:
        _feature(method, teacher, student, found)
    if isinstance(method, RelationsMethod):
        _relations(method, teacher, student, found)


def _cut(spec: RunSpec, matched: list[int], found: Findings) -> None:
    """A student cut from its teacher begins far from what it is to imitate if it was cut from other layers."""
    if spec.student.layers and len(matched) == len(spec.student.layers) and spec.student.layers != matched:
        layers = ",".join(map(str, matched))
        _add(found, "student.layers", f"the student begins as layers {','.join(map(str, spec.student.layers))} of the "
             f"teacher and imitates layers {layers}: a short training ends before it is there.",
             f"Set it to {layers}, the layer mapping to cut, or train for more epochs.", level="warning")  # fmt: skip


def _feature(method: FeatureMethod, teacher: Shape, student: Shape, found: Findings) -> None:
    if method.attention_weight and student.heads != teacher.heads:
        _add(found, "method.attention_weight", f"the student has {student.heads} attention heads and the teacher "
             f"{teacher.heads}: their attention scores can't be compared head by head.", "Set it to 0, use a student "
             "with as many heads, or the method 'relations'.")  # fmt: skip
    if not (method.embedding_weight or method.hidden_weight or method.attention_weight):
        _add(found, "method.embedding_weight", "all weights of the intermediate stage are 0: nothing would be "
             "learned in it.", "Raise one, or set intermediate_share to 0.")  # fmt: skip


def _relations(method: RelationsMethod, teacher: Shape, student: Shape, found: Findings) -> None:
    if method.teacher_layer and method.teacher_layer > teacher.layers:
        _add(found, "method.teacher_layer", f"{teacher.name} has no layer {method.teacher_layer}: its layers are "
             f"numbered 1 to {teacher.layers}.", "Correct it, or leave it out.")  # fmt: skip
    widths = student.hidden, teacher.hidden
    bottleneck = "mobilebert" in (teacher.model_type, student.model_type)  # its attention is narrower than its states
    if method.relation_heads and not bottleneck and any(width % method.relation_heads for width in widths):
        _add(found, "method.relation_heads", f"{method.relation_heads} relation heads don't divide the widths of "
             f"student ({widths[0]}) and teacher ({widths[1]}).",
             f"Use a divisor of {math.gcd(*widths)}, or leave it out.")  # fmt: skip


def _positions(spec: RunSpec, shape: Shape, found: Findings) -> None:
    if shape.positions and spec.data.max_length > shape.positions:
        _add(found, "data.max_length", f"{shape.name} has {shape.positions} positions: texts are cut to that.",
             f"Set it to {shape.positions}.", level="warning")  # fmt: skip


# --- the data ----------------------------------------------------------------------------------------------------


def _data(spec: RunSpec, teacher: Shape | None, found: Findings) -> tuple[Examples | None, str | None, int]:
    """The training examples, the task they are for and its classes; problems with columns, labels and files."""
    from .data.asked import asked
    from .data.loading import load_examples

    try:
        options = asked(spec, teacher.task if teacher else None)
    except QTinkerError as error:
        _add(found, "task.type", error.message, error.fix)
        return None, None, 0
    plain: dict[str, Any] = {"task": spec.task.type if spec.teacher and spec.teacher.finetune else options["task"]}
    try:
        loaded = load_examples(spec.data, seed=spec.training.seed, **options)
    except QTinkerError as error:
        try:
            if not options.get("labels"):
                raise
            loaded = load_examples(spec.data, seed=spec.training.seed, **plain)
        except QTinkerError:
            _add(found, _where(spec, error.message), error.message, error.fix)
            return None, None, 0
        if spec.teacher and not spec.teacher.finetune:  # the data is right for another teacher
            _add(found, "teacher.model", error.message, error.fix)
    for text in loaded.warnings:
        _add(found, "data.train", text, level="warning")
    if teacher and teacher.trained and spec.teacher and not spec.teacher.finetune and nameless(teacher.labels):
        wanted = loaded.labels
        if KINDS[loaded.task_type].named and wanted and len(teacher.labels) != len(wanted):
            _add(found, "teacher.model", f"{teacher.name} answers with {len(teacher.labels)} labels, and the data has "
                 f"{len(wanted)}: {_some(wanted)}.", "Finetune one on this data (--finetune-teacher).")  # fmt: skip
    return loaded.train, loaded.task_type, len(loaded.labels)


def _task(spec: RunSpec, kind: str | None, outputs: int, found: Findings) -> None:
    """What the spec says about a task that does not suit it."""
    if kind is None:
        return
    if spec.task.metric != "auto" and spec.task.metric not in KINDS[kind].metrics:
        _add(found, "task.metric", f"{spec.task.metric} does not suit {KINDS[kind].words}.",
             f"Choose one of: {', '.join(KINDS[kind].metrics)}.")  # fmt: skip
    if spec.task.class_weights != "none" and not KINDS[kind].named:
        _add(found, "task.class_weights", f"{KINDS[kind].words} has no classes to balance.", "Leave it at none.")
    if spec.teacher is not None and (unfit := spec.method.unfit(kind, outputs)):
        _add(found, "method.standardize_logits" if spec.method.standardize_logits else "method.soft_loss", *unfit)


def _variants(spec: RunSpec, kind: str | None, found: Findings) -> Shape | None:
    """The model that makes variants of the training texts."""
    shape = _model(str(spec.data.augment_model), "data.augment_model", found)
    if spec.teacher is None or kind == "masked-lm":
        why = (
            "are learned from a teacher, and there is none" if spec.teacher is None else "of running text teach nothing"
        )
        _add(found, "data.augment_model", f"variants {why}.", "Leave it out.")
    elif shape is not None and (shape.task is None or shape.task["type"] != "masked-lm"):
        _add(found, "data.augment_model", f"{shape.name} has no head that guesses hidden words.",
             "Name a masked language model, such as a BERT that was not finetuned.")  # fmt: skip
    else:
        return shape
    return None


def _where(spec: RunSpec, message: str) -> str:
    """Which field a complaint about the data is about."""
    for name in ("text_column", "text_pair_column", "label_column"):
        given = getattr(spec.data, name)
        if given is not None and f"column {given!r}" in message:
            return f"data.{name}"
    if any(source in message for source in spec.data.unlabelled or ()) and spec.data.train not in message:
        return "data.unlabelled"
    if spec.data.eval is not None and spec.data.eval in message and spec.data.train not in message:
        return "data.eval"
    return "data.train"


def _amounts(spec: RunSpec, examples: Examples, found: Findings) -> None:
    if spec.training.batch_size > len(examples):
        _add(found, "training.batch_size", f"{spec.training.batch_size} is more than the {len(examples)} training "
             "examples: each epoch is one step.", "Lower it.", level="warning")  # fmt: skip
    steps = len(examples) * spec.training.epochs / spec.training.batch_size
    if spec.student.shape and spec.training.learning_rate < LOW_RATE and steps < FEW_STEPS:
        _add(found, "training.learning_rate", f"{spec.training.learning_rate:.2g} teaches little to a student that "
             "begins with random weights.", "Try 1e-3, and more epochs.", level="warning")  # fmt: skip
    if spec.training.gradient_accumulation > spec.training.batch_size:
        _add(found, "training.gradient_accumulation", f"{spec.training.gradient_accumulation} micro-batches can't be "
             f"made of {spec.training.batch_size} examples.", f"At most {spec.training.batch_size}.")  # fmt: skip
    if not examples.labelled.any() and (spec.teacher is None or spec.teacher.finetune):
        _add(found, "data.label_column", "no training example has a label.", "Name the column with the labels.")
    if spec.data.new_pairs and spec.teacher is None:
        _add(found, "data.new_pairs", "new pairs are learned from a teacher, and there is none.",
             "Leave it out, or distil.")  # fmt: skip
    if spec.data.unlabelled and spec.teacher is None and examples.form != "blocks":
        _add(found, "data.unlabelled", "texts without labels are learned from a teacher, and there is none.",
             "Leave it out, or distil.")  # fmt: skip
    elif (
        (spec.data.unlabelled or spec.data.augment_model or spec.data.new_pairs)
        and spec.method.name == "logit"
        and not spec.method.kd_weight
    ):
        _add(found, "method.kd_weight", "with 0 the texts without labels teach nothing.",
             "Raise it, or leave them out.", level="warning")  # fmt: skip
    if spec.teacher is not None and not examples.labelled.any() and spec.control:
        _add(found, "control", "the control learns from labels, and no training example has one.",
             "It will be left out.", level="warning")  # fmt: skip


# --- the machine -------------------------------------------------------------------------------------------------


def _engines(spec: RunSpec, found: Findings) -> None:
    """What quantizes the result must be installed before hours are spent on it."""
    for each in spec.quantize:
        scheme = SCHEMES[each.scheme]
        engines = offered(scheme)
        try:
            if each.engine != "auto":
                candidates(scheme, each.engine)
            elif not any(extras.runs(engine) for engine in engines):
                refuse_missing(scheme, engines[0])
        except (InputError, MissingExtra) as error:
            _add(found, "quantize", error.message, error.fix)


def _device(spec: RunSpec, found: Findings) -> None:
    device, precision = spec.training.device, spec.training.precision
    if device == "mps" and sys.platform != "darwin":
        _add(found, "training.device", "there is no device mps on this system.", "Use auto.")
    if device.startswith("cuda") and not _nvidia():
        _add(found, "training.device", f"there is no device {device}: no NVIDIA driver was found.", "Use auto.")
    if precision == "fp16" and (device == "cpu" or (device == "auto" and not _nvidia() and sys.platform != "darwin")):
        _add(found, "training.precision", "processors are slow at fp16.", "Use auto, bf16 or fp32.", level="warning")


def _nvidia() -> bool:
    if sys.platform == "darwin":
        return False
    return Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None


def _room(found: Findings) -> None:
    """Disk and memory."""
    import psutil

    assert found.estimate is not None
    place = home()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if found.estimate.disk_bytes > free:
        _add(found, ROOM, f"the run needs about {size(found.estimate.disk_bytes)} on the disk, and "
             f"{size(free)} are free in {place}.", "Free some, or set QTINKER_HOME.")  # fmt: skip
    memory = psutil.virtual_memory().available
    if found.estimate.memory_bytes > memory and not _nvidia():
        _add(found, "training.batch_size", f"the run needs about {found.estimate.memory_bytes / 1e9:.1f} GB of memory, "
             f"and {memory / 1e9:.1f} GB are free.", "Lower the batch size, or raise gradient_accumulation.",
             level="warning")  # fmt: skip


# --- small things ------------------------------------------------------------------------------------------------


def _add(found: Findings, where: str, message: str, fix: str = "", *, level: str = "error") -> None:
    problem = Problem(where, message, fix, level)
    if problem not in found.problems:
        found.problems.append(problem)


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(names[:MANY]) + (", ..." if len(names) > MANY else "")
