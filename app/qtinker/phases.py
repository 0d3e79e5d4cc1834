"""The phases of a run: each takes the Work so far, does one thing, and returns what it made as plain data.

Models enter the registry whole, under names that a resumed run finds again. Here a spec meets torch.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from . import chance, checkpoint, model_folder, pipeline, registry, seen, together
from .asking import ask
from .check import finetuning
from .checkpoint import Loaded
from .data import encode
from .distill.processes import Processes
from .distill.students import build_student
from .distill.train import train
from .errors import InputError, QTinkerError, RunStopped, SchemeUnfit
from .judging import answers_where_it_is, judged
from .keeping import content_key, data_name, keep, made_before, student_name, summary, weights_key
from .kinds import KINDS
from .label_order import order_of
from .quantize.qat import rounding
from .reading import load_data, longest, refuse_other_data, tell_losses, the_task
from .report import ModelReport
from .runtime.base import load_tokenizer
from .spec import RunSpec, StudentSpec, TrainingSpec
from .vocabulary.make import trim_alike
from .work import Work

Event = dict[str, Any]
FEW_ROWS = 100
"""Evaluation examples below which a score says little."""

# --- prepare -----------------------------------------------------------------------------------------------------


def prepare(work: Work) -> dict[str, Any]:
    """Find the models and read the data; done again by each attempt, since it fills the memory."""
    spec, done = work.spec, {}
    own = None
    if spec.training.threads:
        torch.set_num_threads(spec.training.threads)
    if spec.teacher is not None:
        path = registry.resolve(spec.teacher.model)
        own = checkpoint.task_in(path)
        pretrained = own is not None and own["type"] == "masked-lm"
        if not spec.teacher.finetune and (own is None or (pretrained and spec.task.type not in ("auto", "masked-lm"))):
            raise untrained(spec)
        if not spec.teacher.finetune:
            done["teacher"] = str(path)
    if spec.student.model:
        registry.resolve(spec.student.model)
    work.dataset = load_data(work.spec, own)
    done["content"] = refuse_other_data(work)
    work.task = the_task(work, own if "teacher" in done else None)
    if spec.teacher is not None and not spec.teacher.finetune and own is not None and own["type"] != work.task.type:
        raise untrained(spec)
    work.max_length = longest(work)
    if "teacher" in done and not work.dataset.eval.labelled.any():
        judge_by_teacher(work, Path(done["teacher"]))
    given = work.given = len(work.dataset.train)
    made = work.add_variants() if spec.data.augment_model else 0
    combined = work.add_new_pairs(given) if spec.data.new_pairs and spec.teacher else 0
    if "prepare" not in work.record.done:
        for text in work.dataset.findings:
            work.say(text)
        for text in work.dataset.warnings:
            work.say(text, level="warning")
        if "teacher" in done:
            path = Path(done["teacher"])
            if flattered := seen.warning(path.name, registry.read_meta(path), work.dataset.eval):
                work.say(flattered, level="warning")
        group = "distilled" if spec.teacher else "finetuned"
        if spec.name and (name := registry.unique_name(group, spec.name)) != registry.plain_name(spec.name):
            work.say(f"There is a model {spec.name} already: this one will be {name}.", level="warning")
    return {**done, "metric": work.task.metric, "task": work.task.to_meta(), "max_length": work.max_length,
            "train": len(work.dataset.train), "unlabelled": work.dataset.unlabelled, "variants": made,
            "new_pairs": combined, "eval": len(work.dataset.eval), "judge": work.judge}  # fmt: skip


def judge_by_teacher(work: Work, path: Path) -> None:
    """Give evaluation examples without any label the teacher's answers."""
    device = Processes(work.spec.training.device).device
    work.dataset.eval, work.task = judged(
        work.dataset.eval, path, work.task, max_length=work.max_length, device=device
    )  # fmt: skip
    work.judge = path.name


def untrained(spec: RunSpec) -> InputError:
    """The teacher has no trained head: the two commands that help."""
    assert spec.teacher is not None
    return InputError(
        f"The teacher {spec.teacher.model} has no trained head: it would teach noise.",
        f"{finetuning(spec, spec.teacher.model)} (or add --finetune-teacher).",
    )


# --- training ----------------------------------------------------------------------------------------------------


def finetune_teacher(work: Work) -> dict[str, Any]:
    """Train the teacher's head on the data, unless it is trained for these labels, or was so before."""
    spec, teacher = work.spec, work.spec.teacher
    assert teacher is not None
    source = registry.resolve(teacher.model)
    own = checkpoint.task_in(source)
    own = own if own is not None and own["type"] == work.task.type and KINDS[work.task.type].named else None
    if own is not None and order_of(own["labels"], work.task.labels) is not None:
        work.say(f"{teacher.model} is trained for these labels already.")
        return {"path": str(source), "reused": True}
    training = TrainingSpec(**{
        **spec.training.model_dump(), "epochs": teacher.epochs, "learning_rate": teacher.learning_rate,
        "max_steps": None, "eval_every": None,
    })  # fmt: skip
    loaded = checkpoint.load(source, task=work.task, seed=training.seed)
    encoded = work.encode_labelled(loaded)
    held = work.encode(loaded, work.dataset.eval)  # chooses the best epoch
    key = content_key(
        weights_key(source), encoded.key, encoded.labels, held.key, held.labels, work.dataset.eval.answers,
        work.task.to_meta(), work.task.weights,
        training.model_dump(exclude={"threads", "device", "save_every"}),
    )  # fmt: skip
    for entry in registry.list_models():
        if entry.meta.get("finetune_key") == key and not entry.broken:
            work.say(f"Taking {entry.full_name}, which was finetuned in the same way before.")
            return {"path": str(entry.path), "reused": True}
    result = work.drive(
        train(
            loaded, encoded, task=work.task, training=training, folder=work.states("finetune-teacher"),
            evaluate=scorer(work, loaded), should_stop=work.should_stop, phase="finetune-teacher",
        )
    )  # fmt: skip
    path = keep(
        work, loaded, "finetuned", f"{source.name}-{data_name(spec)}", kind="finetuned", result=result,
        source=source, finetune_key=key,
    )  # fmt: skip
    return {"path": str(path), "reused": False, **summary(result)}


def teacher_outputs(work: Work) -> dict[str, Any]:
    """What the method asks of the teacher for every example, computed once and kept in the cache by content."""
    if work.task.rewrites:
        work.say("Other words are hidden in each epoch: the teacher is asked as the training goes.")
        return {"kept": []}
    student = build_student(work.spec.student, work.teacher(), task=work.task, seed=work.spec.training.seed)
    teaching = work.teaching(student)
    return {"kept": work.drive(ask(work, teaching, student))}


def distill(work: Work) -> dict[str, Any]:
    """Train the student to answer as the teacher does."""
    spec, teacher = work.spec, work.teacher()
    student = build_student(spec.student, teacher, task=work.task, seed=spec.training.seed)
    encoded = work.encode(student)
    tell_losses(work, work.dataset.train, encoded)
    teaching = work.teaching(student)
    if work.record.done.get("teacher-outputs", {}).get("kept"):
        work.drive(ask(work, teaching, student), quiet=True)
    with rounding(student.model, spec.training.quantization_aware):
        result = work.drive(
            train(
                student, encoded, task=work.task, training=spec.training, folder=work.states("distill"),
                method=spec.method, teacher=teaching, evaluate=scorer(work, student), should_stop=work.should_stop,
                phase="distill",
            )
        )  # fmt: skip
    base = spec.name or student_name(work)
    path = keep(work, student, "distilled", base, kind="distilled", result=result, source=student.path)
    return {"path": str(path), **summary(result)}


def finetune(work: Work) -> dict[str, Any]:
    """Train a model on the labels alone."""
    spec = work.spec
    model = build_student(spec.student, None, task=work.task, seed=spec.training.seed)
    encoded = work.encode_labelled(model)
    tell_losses(work, work.labelled(), encoded)
    with rounding(model.model, spec.training.quantization_aware):
        result = work.drive(
            train(
                model, encoded, task=work.task, training=spec.training, folder=work.states("finetune"),
                evaluate=scorer(work, model), should_stop=work.should_stop,
            )
        )  # fmt: skip
    base = spec.name or f"{model.name}-{data_name(spec)}"
    path = keep(work, model, "finetuned", base, kind="finetuned", result=result, source=model.path)
    return {"path": str(path), **summary(result)}


def control(work: Work) -> dict[str, Any]:
    """The same student, as many steps, on the labels alone: what distilling must beat.

    Where examples have no label, each step still gets a whole batch of labelled ones, and evaluations come after as
    many steps as the student's.

    A student cut from the teacher starts from the same layers of what the teacher was finetuned from, if that is
    here: the finetuned layers would already be the teacher's gift.
    """
    spec = work.spec
    if not work.dataset.train.labelled.any():
        work.say("No control is trained: it learns from labels, and no training example has one.", level="warning")
        return {}
    student = build_student(control_start(work), work.teacher(), task=work.task, seed=spec.training.seed)
    encoded, training = work.encode_labelled(student), spec.training
    if len(encoded) < (whole := len(work.encode(student))):
        training = training.model_copy(update={
            "epochs": (steps := work.record.done["distill"]["total_steps"]) / -(-len(encoded) // training.batch_size),
            "eval_every": training.eval_every or -(-whole // training.batch_size),
            "max_steps": steps,
        })  # fmt: skip
    with rounding(student.model, spec.training.quantization_aware):
        result = work.drive(
            train(
                student, encoded, task=work.task, training=training, folder=work.states("control"),
                evaluate=scorer(work, student), should_stop=work.should_stop, phase="control",
            )
        )  # fmt: skip
    base = f"{Path(work.record.done['distill']['path']).name}-control"
    path = keep(work, student, "distilled", base, kind="control", result=result, source=student.path)
    return {"path": str(path), **summary(result)}


def control_start(work: Work) -> StudentSpec:
    """Where the control's weights come from."""
    spec = work.spec
    if spec.student.layers is None or spec.student.model:
        return spec.student
    name, trimmed = finetuned_from(work.teacher_path)
    if name is None:
        work.say(
            "The control starts from the finetuned teacher's layers, as the student does: what the teacher was "
            "finetuned from is not here.",
            level="warning",
        )
        return spec.student
    start = together.from_main(lambda: with_vocabulary_of_teacher(work, name)) if trimmed else name
    if start is None:
        work.say(
            f"The control starts from the finetuned teacher's layers, as the student does: {name}, which the teacher "
            "was finetuned from, can't be trimmed to its vocabulary.",
            level="warning",
        )
        return spec.student
    work.say(f"The control begins as the same layers of {name}, which the teacher was finetuned from.")
    return spec.student.model_copy(update={"model": start})


def finetuned_from(path: Path) -> tuple[str | None, bool]:
    """The name of the model that another one was finetuned from (None: it is not here), and whether it was trimmed
    after that: the source of a trimmed model is the finetuned one with its whole vocabulary."""
    trimmed, seen_before = False, set()
    while True:
        seen_before.add(path)
        meta = model_folder.read_meta(path)
        name = (meta.get("source") or {}).get("model")
        if not isinstance(name, str):
            return None, trimmed
        try:
            path = registry.resolve(name)
        except QTinkerError:
            return None, trimmed
        if not meta.get("trimmed"):
            return name, trimmed
        trimmed = True
        if path in seen_before:  # a bare name of what is gone, which the trimmed one has now
            return None, trimmed


def with_vocabulary_of_teacher(work: Work, name: str) -> str | None:
    """A folder with a model whose vocabulary is cut to the trimmed teacher's; None where it can't be."""
    folder = work.states("control-start")
    try:
        trim_alike(registry.resolve(name), work.teacher_path, folder)
    except QTinkerError:
        return None
    return str(folder)


# --- after training ----------------------------------------------------------------------------------------------


def quantize(work: Work) -> dict[str, Any]:
    """Quantized versions of the result; one that came out too different is left out and told, and the run goes on."""
    path = (work.record.done.get("distill") or work.record.done["finetune"])["path"]
    made: list[dict[str, Any]] = []
    for number, each in enumerate(work.spec.quantize, 1):
        if work.should_stop():
            raise RunStopped("Stopped while quantizing.")
        name = f"{Path(path).name}-{each.scheme}"
        known = made_before(work, "quantized", "quantized", name, scheme=each.scheme, engine=each.engine)
        if known is None:
            name = registry.unique_name("quantized", name)
            try:
                made.append(
                    pipeline.quantize_model(
                        Path(path),
                        scheme=each.scheme,
                        engine=each.engine,
                        name=name,
                        check_rows=work.dataset.eval,
                        calibration=work.dataset.train,
                        max_loss=each.max_loss,
                        progress=work.say,
                    )
                )
            except SchemeUnfit as error:
                work.say(
                    f"There is no {each.scheme} version. {error.message} Try it with other settings: "
                    f"python3 app quantize {Path(path).name} --scheme {each.scheme}",
                    level="warning",
                )
        else:
            made.append(pipeline.quantized(known, each.scheme))
        work.tell_step(number, len(work.spec.quantize))
    return {"models": made}


def evaluate(work: Work) -> dict[str, Any]:
    """Teacher, student, control and quantized versions, measured side by side."""
    from . import evaluate as measuring

    done = work.record.done
    paths = [str(work.teacher_path), *map(str, work.further_teachers)] if work.spec.teacher else []
    paths += [done[phase]["path"] for phase in ("distill", "finetune", "control") if "path" in done.get(phase, {})]
    paths += [each["path"] for each in done.get("quantize", {}).get("models", [])]
    report = measuring.evaluate(
        [Path(path) for path in dict.fromkeys(paths)], work.dataset.eval, labels=list(work.task.labels),
        threads=work.spec.training.threads, max_length=work.max_length, isolate=False, progress=work.say,
    )  # fmt: skip
    for text in report.warnings:
        if text not in work.warnings():  # what the teacher has seen is said before the training too
            work.say(text, level="warning")
    warn_of_chance(work, report.models)
    rows = int(work.dataset.eval.labelled.sum())
    if work.task.type == "masked-lm":  # each block hides many words
        rows = int(report.models[0].metrics.get("examples", rows))
    if rows < FEW_ROWS:
        counted = work.task.type in ("classification", "question-answering")
        worth = f"one of them is {100 / max(rows, 1):.1f} points" if counted else "too few to tell models apart by"
        work.say(f"Only {rows} examples were measured on: {worth}.", level="warning")
    return {"models": report.to_dict()["models"]}


def warn_of_chance(work: Work, measured: list[ModelReport]) -> None:
    """Say which of teacher and trained model have learned nothing that shows: nobody should go on with them."""
    task, held, spec, done = work.task, work.dataset.eval, work.spec, work.record.done
    base, count = chance.baseline(task, held, task.metric), int(held.labelled.sum())
    if task.metric == "masked_accuracy":
        tokenizer = load_tokenizer(Path(measured[-1].path))
        tokens = encode(held, tokenizer, work.max_length).input_ids
        base, count = chance.commonest_token(tokens, tokenizer.all_special_ids), int(measured[-1].metrics["examples"])
    if base is None:
        return
    trained = "The student" if spec.teacher else "The model"
    path = Path((done.get("distill") or done["finetune"])["path"]).resolve()
    roles = {path: trained, **({work.teacher_path.resolve(): "The teacher"} if spec.teacher else {})}
    for each in measured:
        score, who = each.metrics.get(task.metric), roles.get(Path(each.path).resolve())
        if who is None or score is None or not chance.at_chance(score, base, count, kind=task.type):
            continue
        text = chance.warning(who, score, base, task.metric)
        if who == "The teacher":
            fix = "Retention over it says nothing. Finetune it with more epochs or a higher learning rate."
        else:
            fix = "More epochs or a higher learning rate (--epochs, --lr) may help."
        work.say(f"{text} {fix}", level="warning")


PHASES: dict[str, Callable[[Work], dict[str, Any]]] = {
    "prepare": prepare,
    "finetune-teacher": finetune_teacher,
    "teacher-outputs": teacher_outputs,
    "distill": distill,
    "finetune": finetune,
    "control": control,
    "quantize": quantize,
    "evaluate": evaluate,
}


# --- small things ------------------------------------------------------------------------------------------------


def scorer(work: Work, loaded: Loaded) -> Callable[[torch.nn.Module], dict[str, float]]:
    """A function that measures the model in training on the evaluation data."""
    examples, task = work.dataset.eval, work.task
    encoded = work.encode(loaded, examples)

    def score(model: torch.nn.Module) -> dict[str, float]:
        found = answers_where_it_is(loaded, model, encoded, task)
        return {key: value for key, value in task.score(found.settled(task, examples), examples).items()
                if key != "examples"}  # fmt: skip

    return score
