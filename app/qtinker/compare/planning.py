"""A sweep's plan: which candidates there are, whether their models are here, and which can't work at all."""

from __future__ import annotations

from typing import Any

from .. import check, registry
from . import availability, bounds, pairs
from .pairs import Candidate


def plan(work: Any) -> None:
    """Decide on the candidates (of a `sweep.SweepWork`), once; fetch their models; refuse what can't work before any
    time goes into it.

    Raises:
        InputError: no pair is left.
    """
    if work.state["phase"] not in ("models", "plan"):
        return
    work.save(phase="models", message="Looking for the models")
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


def listed(work: Any) -> list[Candidate]:
    """The candidates: of the lists, or found by a search."""
    if work.spec.kind == "compare":
        return pairs.candidates(work.spec)
    from . import search

    return search.candidates(work)


def fetch(work: Any) -> None:
    """See to it that the models are here; skip the pairs of those that can't be had."""
    needed = dict.fromkeys(model for name in work.still_open() for model in work.candidate(name).models)
    wanted = [model for model in needed if model not in work.state["models"]]
    work.state["models"] |= availability.at_hand(
        wanted, fetch=work.spec.download, progress=lambda text: work.say(text, kind="message"), cancel=work.stopping
    )
    known = work.state["models"]
    for name in work.still_open():
        if missing := [model for model in work.candidate(name).models if known.get(model)]:
            work.close(name, "skipped", known[missing[0]])
    for model in [model for model in needed if known.get(model)]:
        work.note(f"{model} is not here: {known[model]} Its pairs are skipped.")


def check_candidate(work: Any, name: str) -> None:
    """Refuse a candidate that would fail; write down what the decisions need to know of its cost."""
    candidate = work.candidate(name)
    teacher = registry.resolve(candidate.teacher)
    if candidate.student == pairs.ITSELF:
        shape = bounds.shape_of(pairs.student_spec(candidate.student), teacher)
        work.entries[name] |= {"parameters": shape.parameters, "operations": bounds.operations(shape, 128)}
        return
    spec = check.anchored(work.run_spec(name))
    if problems := [problem for problem in check.check(spec) if problem.level == "error"]:
        work.close(name, "refused", f"{problems[0].message} {problems[0].fix}".strip())
        return
    work.entries[name] |= bounds.cost(spec, work.dataset.train)
