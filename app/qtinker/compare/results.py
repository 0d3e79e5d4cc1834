"""From a sweep's state and measurements to its report: plain data, then files. Torch-free but for reading logits."""

from __future__ import annotations

from typing import Any

from .. import chance, model_folder, runs
from . import advice, findings, html, report, target
from .front import front
from .pairs import Candidate, short, student_name
from .store import REPORTS, Sweep

Data = dict[str, Any]


def make(work: Any) -> Data:
    """The report of a sweep (`sweep.SweepWork`) whose models are all measured."""
    from . import points as measuring

    spec, metric = work.spec, work.metric
    task, held = work.dataset.task, work.dataset.eval
    base = chance.baseline(task, held, metric)
    count = int(held.labelled.sum())
    teachers: dict[str, Data] = {}
    rows: list[Data] = []
    called = _called([entry["teacher"] for entry in work.entries.values()])
    for name, entry in work.entries.items():
        if entry["status"] != "done":
            continue
        key = entry["teacher_key"]
        group = runs.read_json(work.sweep.measured / f"{key}.json")
        whole = _figures(group[key], metric)
        low = chance.at_chance(whole["score"], base, count, kind=task.type)
        teachers.setdefault(key, {"id": key, "name": called[entry["teacher"]], "front": False, "chance": low, **whole})
        for scheme in (None, *spec.wanted_schemes):
            point = name if scheme is None else f"{name}-{scheme}"
            if point not in group:
                continue
            found = _figures(group[point], metric)
            rows.append({
                "id": point, "candidate": name, "teacher": called[entry["teacher"]],
                "student": student_name(entry["student"]), "method": entry["method"], "scheme": scheme or "float",
                **found,
                "retention": None if low or whole["score"] <= 0 else found["score"] / whole["score"],
                "control": entry.get("control"), "training_seconds": entry.get("training_seconds"),
                "run": entry["run"], "teacher_figures": {each: whole[each] for each in ("bytes", "latency_ms")},
            })  # fmt: skip
    on_front = {point["id"] for point in front(rows)}
    for row in rows:
        row["front"] = row["id"] in on_front
    result: Data = {
        "sweep": work.sweep.id, "kind": spec.kind, "status": "done", "name": spec.name,
        "folder": str(work.sweep.folder),
        "metric": metric, "data": {
            "source": spec.data.train, "train": len(work.dataset.train), "eval": len(work.dataset.eval),
            "task": work.dataset.task.type, "labels": len(work.dataset.task.labels)},
        "teachers": list(teachers.values()), "points": rows, "front": [p["id"] for p in front(rows)],
        "baseline": base, "advice": advice.advise(rows, metric, baseline=base),
        "others": [_other(name, entry) for name, entry in work.entries.items() if entry["status"] != "done"],
        "schemes_left_out": [
            {"candidate": name, "scheme": scheme, "reason": reason}
            for name, entry in work.entries.items() for scheme, reason in (entry.get("schemes") or {}).items() if reason
        ],
        "decisions": work.state["decisions"], "notes": work.state["notes"], "seconds": round(work.spent, 1),
        "budget": spec.budget, "environment": measuring.surroundings(work.sweep.measured, spec.training.threads),
        "spec": spec.model_dump(mode="json", exclude_none=True),
        "reports": {ending: str(work.sweep.report_file(ending)) for ending in REPORTS},
    }  # fmt: skip
    if spec.kind == "compress":
        result |= _against_target(rows, result["others"], spec.target, work.state.get("ruled_out") or [])
    result["findings"] = findings.findings(result)
    return result


def _called(teachers: list[str]) -> dict[str, str]:
    """What each teacher is called: in short, or in full where two would be called the same."""
    alike = {name: {other for other in teachers if short(other) == short(name)} for name in teachers}
    return {name: short(name) if len(alike[name]) == 1 else name for name in teachers}


def _figures(found: Data, metric: str) -> Data:
    rest = {name: value for name, value in found.items() if name != "path"}
    return {"score": found["metrics"][metric], **rest, "checkpoint": found["path"]}


def _other(name: str, entry: Data) -> Data:
    pair = Candidate(entry["teacher"], entry["student"], entry["method"])
    return {
        "candidate": name, "teacher": short(pair.teacher), "student": student_name(pair.student), "method": pair.method,
        "status": entry["status"], "reason": entry["reason"], "share": entry["share"], "score": entry["score"],
        "run": entry["run"],
    }  # fmt: skip


def _against_target(rows: list[Data], others: list[Data], wanted: Any, ruled_out: list[Data]) -> Data:
    chosen = target.best(rows, wanted)
    near = chosen or target.nearest(rows, wanted)
    return {
        "target": wanted.model_dump(exclude_none=True), "met": chosen is not None,
        "best": chosen["id"] if chosen else None, "nearest": near["id"] if near else None,
        "misses": target.misses(near, wanted) if near and not chosen else nothing_left([*rows, *others], ruled_out),
        "ruled_out": ruled_out,
    }  # fmt: skip


def nothing_left(tried: list[Data], ruled_out: list[Data]) -> str:
    """What comes nearest of the students that were ruled out before any training, where that were all."""
    if tried or not ruled_out:
        return ""
    near = min(ruled_out, key=lambda each: (each["excess"], each["student"]))
    return (
        "No student that was considered can keep to the target, so none was trained. Nearest is "
        f"{student_name(near['student'])} as {near['scheme']}: {near['reason']}."
    )


def write(sweep: Sweep, result: Data) -> None:
    """All forms of the report into the sweep's folder; the JSON last, since it says that all is there."""
    model_folder.write_text(sweep.report_file("csv"), report.to_csv(result))
    model_folder.write_text(sweep.report_file("md"), report.to_markdown(result))
    model_folder.write_text(sweep.report_file("html"), html.page(result))
    runs.write_json(sweep.report_file("json"), result)
