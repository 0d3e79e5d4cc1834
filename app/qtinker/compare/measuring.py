"""The last part of a sweep: what was trained is quantized, and all models of a teacher are measured side by side."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from ..errors import DiskFull, QTinkerError
from . import bounds, pairs, points


def measure(work: Any) -> None:
    """Quantize and measure what a `sweep.SweepWork` trained.

    Raises:
        QTinkerError: nothing was trained.
    """
    names = [name for name, entry in work.entries.items() if entry["status"] in ("trained", "done")]
    if not names and (work.spec.kind == "compare" or work.entries):
        raise work.nothing()
    points.surroundings(work.sweep.measured, work.spec.training.threads)
    for number, name in enumerate(names):
        work.save(current=name, message=f"Quantizing {name}", progress=round(0.9 + 0.05 * number / len(names), 3))
        for scheme in work.spec.wanted_schemes:
            work.check_stop()
            if allowed(work, name, scheme):
                quantized(work, name, scheme)
    for number, (teacher, models) in enumerate(by_teacher(work, names).items()):
        work.save(current=None, message="Measuring", progress=round(0.95 + 0.05 * number / len(names), 3))
        work.say("Measuring")
        first = next(entry for entry in work.entries.values() if entry.get("teacher_key") == teacher)
        points.measured(
            work.sweep.measured, teacher, Path(first["teacher_path"]), models, examples=work.dataset.eval,
            labels=list(work.dataset.task.labels), threads=work.spec.training.threads, progress=_teller(work),
        )  # fmt: skip
    for name in names:
        work.entries[name]["status"] = "done"
    work.save()


def by_teacher(work: Any, names: list[str]) -> dict[str, dict[str, Path]]:
    """For each teacher's key the models to measure with it, by the names of their points."""
    found: dict[str, dict[str, Path]] = {}
    keys = teacher_keys({name: work.entries[name] for name in names})
    for name in names:
        entry = work.entries[name]
        entry["teacher_key"] = keys[name]
        models = found.setdefault(entry["teacher_key"], {})
        if entry["student"] != pairs.ITSELF or allowed(work, name, bounds.FLOAT, explicitly=True):
            models[name] = Path(entry["checkpoint"])
        models |= {f"{name}-{scheme}": Path(path) for scheme, path in entry.get("quantized", {}).items()}
    return found


def teacher_keys(entries: dict[str, dict[str, Any]]) -> dict[str, str]:
    """A name for the teacher of each candidate: its own, with a hash of its folder where two go by that name."""
    plain = {name: f"teacher-{pairs.name_of(pairs.short(entry['teacher']), 60)}" for name, entry in entries.items()}
    places = {name: str(Path(entry["teacher_path"]).resolve()) for name, entry in entries.items()}
    several = {key for key in plain.values() if len({places[name] for name in entries if plain[name] == key}) > 1}
    return {
        name: f"{key}-{hashlib.sha256(places[name].encode()).hexdigest()[:6]}" if key in several else key
        for name, key in plain.items()
    }


def allowed(work: Any, name: str, scheme: str, *, explicitly: bool = False) -> bool:
    """Whether a scheme of a student may keep to the target, as far as that was worked out beforehand."""
    known = (work.state.get("allowed") or {}).get(work.entries[name]["student"])
    return scheme in known if known is not None else not explicitly


def quantized(work: Any, name: str, scheme: str) -> None:
    """One scheme of one student; a scheme that does not suit it is reported, and the sweep goes on."""
    entry = work.entries[name]
    reasons: dict[str, str] = entry.setdefault("schemes", {})
    made: dict[str, str] = entry.setdefault("quantized", {})
    if scheme in reasons or scheme in made:
        return
    if work.out_of_time():
        reasons[scheme] = "out of time"
        return
    try:
        work.say(f"Quantizing {name} by {scheme}", kind="message")
        path = points.quantized(
            Path(entry["checkpoint"]),
            scheme,
            engine=work.spec.engine,
            examples=work.dataset.eval,
            progress=lambda text: work.check_stop(),
        )
        made[scheme] = str(path)
    except DiskFull:
        raise
    except QTinkerError as error:
        reasons[scheme] = str(error)
        work.say(f"{name}: {error}", kind="message")
    work.save()


def _teller(work: Any) -> Any:
    def tell(text: str) -> None:
        work.check_stop()
        work.say(text, kind="message")

    return tell
