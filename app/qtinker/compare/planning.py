"""A sweep's plan: which candidates there are, whether their models are here, and which can't work at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .. import anchor, catalog, check, registry, shapes
from ..errors import QTinkerError
from ..kinds import KINDS
from ..quantize import schemes
from . import availability, bounds, pairs
from .pairs import Candidate

NOT_HERE = "Not here:"


def plan(work: Any) -> None:
    """Decide on the candidates (of a `sweep.SweepWork`), once; fetch their models; refuse what can't work before any
    time goes into it.

    Raises:
        InputError: the data can't be read, or no pair is left.
        DiskFull: the disk has no room for a pair's run; whoever frees some goes on.
    """
    if work.state["unfetched"] and not any(entry["run"] for entry in work.entries.values()):
        look_again(work)
    if work.state["phase"] not in ("models", "plan"):
        return
    if work.spec.engine != "auto":  # is it installed?
        for scheme in work.spec.wanted_schemes:
            schemes.candidates(schemes.find(scheme), work.spec.engine)
    work.save(phase="models", message="Reading the data")
    work.tell_data()
    work.save(message="Looking for the models")
    if not work.entries:
        for each in listed(work):
            work.entries[each.id] = {
                "teacher": each.teacher, "student": each.student, "method": each.method, "status": "waiting",
                "run": None, "share": 0.0, "score": None, "reason": None, "seconds": 0.0,
            }  # fmt: skip
        work.save()
    fetch(work)
    work.save(phase="plan", message="Checking the pairs")
    for name in work.still_open():
        work.check_stop()
        check_candidate(work, name)
    work.save(phase="train")
    if not work.still_open() and work.spec.kind == "compare":
        raise work.nothing()


def look_again(work: Any) -> None:
    """Models could not be fetched and nothing was trained yet: a resumed sweep tries to fetch them once more."""
    missing = set(work.state["unfetched"])
    for name, entry in work.entries.items():
        if entry["status"] == "skipped" and missing & set(work.candidate(name).models):
            entry |= {"status": "waiting", "reason": None}
    work.state["models"] = {name: why for name, why in work.state["models"].items() if name not in missing}
    work.state["notes"] = [note for note in work.state["notes"] if not note.startswith(NOT_HERE)]
    work.state |= {"unfetched": [], "phase": "models"}


def listed(work: Any) -> list[Candidate]:
    """The candidates: of the lists, or found by a search."""
    if work.spec.kind == "compare":
        return pairs.candidates(work.spec, depth=depth)
    from . import search

    return search.candidates(work)


def trained(work: Any, teacher: str) -> Path | None:
    """The teacher's folder, where its head is trained for this kind of task and these labels."""
    from .. import checkpoint
    from ..runtime import base

    path, task = registry.resolve(teacher), work.dataset.task
    own = checkpoint.task_in(path)
    if own is None or own["type"] != task.type or not checkpoint.has_trained_head(path):
        return None
    return path if sorted(base.labels_of(path)) == sorted(task.labels) else None


def without_labels(spec: Any) -> tuple[Any, str] | None:
    """Data without any label, with the trained teacher's answers to measure against, and its name.

    None where the data have labels, or not all candidates have the same teacher, which is here and trained.
    """
    import dataclasses

    from .. import checkpoint, data
    from ..data.asked import asked
    from ..distill.processes import Processes
    from ..judging import judged
    from ..spec import RunSpec

    names = {spec.teacher} if spec.kind == "compress" else {c.teacher for c in pairs.candidates(spec, depth=depth)}
    if len(names) != 1 or registry.find(name := names.pop()) is None:
        return None
    path = registry.resolve(name)
    own = checkpoint.task_in(path)
    if own is None or own["type"] == "masked-lm" or not checkpoint.has_trained_head(path):
        return None
    wanted = RunSpec.parse({
        "teacher": {"model": name}, "student": {"model": name}, "data": spec.data.model_dump(),
        "task": {"type": spec.task.type},
    })  # fmt: skip
    found = data.load(spec.data, seed=spec.training.seed, **asked(wanted, own))
    if found.train.labelled.any() or found.eval.labelled.any():
        return None
    positions = shapes.read(path).positions
    held, task = judged(
        found.eval, path, found.task, max_length=min(spec.data.max_length, positions or spec.data.max_length),
        device=Processes(spec.training.device).device,
    )  # fmt: skip
    return dataclasses.replace(found, eval=held, task=task), name


def depth(model: str) -> int | None:
    """How many layers a model has; None where it is neither here nor in the catalog."""
    entry = catalog.find(model)
    if entry is not None:
        return entry.layers
    try:
        return shapes.read(registry.resolve(model)).layers
    except QTinkerError:
        return None


def fetch(work: Any) -> None:
    """See to it that the models are here; skip the pairs of those that can't be had."""
    needed = dict.fromkeys(model for name in work.still_open() for model in work.candidate(name).models)
    at_hand(work, list(needed), lacking="Their pairs are skipped.")
    known = work.state["models"]
    for name in work.still_open():
        if missing := [model for model in work.candidate(name).models if known.get(model)]:
            work.close(name, "skipped", reason_of(missing, known), quiet=True)


def at_hand(work: Any, models: list[str], *, lacking: str) -> None:
    """Find out which models are here, fetching what can be; say once why which are not, and what that means."""
    wanted = [model for model in models if model not in work.state["models"]]
    found = availability.at_hand(
        wanted, fetch=work.spec.download, progress=lambda text: work.say(text, kind="message"), cancel=work.stopping
    )
    work.state["models"] |= found.reasons
    work.state["unfetched"] += found.unfetched
    work.state["fetch_fix"] = found.fix or work.state["fetch_fix"]
    if missing := [model for model in wanted if found.reasons[model]]:
        work.note(f"{NOT_HERE} {reason_of(missing, found.reasons)} {lacking} {found.fix}".rstrip())


def reason_of(models: list[str], reasons: dict[str, str | None]) -> str:
    """Why which of them are not here, the same cause said once."""
    causes: dict[str, list[str]] = {}
    for model in models:
        causes.setdefault(str(reasons[model]), []).append(model)
    return " ".join(f"{', '.join(names)}: {cause}" for cause, names in causes.items())


def check_candidate(work: Any, name: str) -> None:
    """Refuse a candidate that would fail; write down what the decisions need to know of its cost."""
    candidate = work.candidate(name)
    teacher = registry.resolve(candidate.teacher)
    if candidate.student == pairs.ITSELF:
        shape = bounds.shape_of(pairs.student_spec(candidate.student), teacher)
        work.entries[name] |= {"parameters": shape.parameters, "operations": bounds.operations(shape, 128)}
        return
    kind = KINDS[work.dataset.task.type]
    # Labels with names are compared by the run itself; a masked language model reads the data's texts first.
    if not kind.named and kind.form != "blocks" and trained(work, candidate.teacher):
        work.entries[name]["finetune"] = False
        work.note(f"{candidate.teacher} is trained for {kind.words} already: it teaches as it is.")
    elif not work.dataset.train.labelled.any():
        work.entries[name]["finetune"] = False
    spec = anchor.run_spec(work.run_spec(name))
    if problems := [problem for problem in check.check(spec) if problem.level == "error"]:
        check.refuse_full(problems)
        work.close(name, "refused", f"{problems[0].message} {problems[0].fix}".strip())
        return
    work.entries[name] |= bounds.cost(spec, work.dataset.train)
