"""Which students a search tries: starts for one teacher, less those that can't keep to the target.

Size follows from the shape and the scheme's formula, time from random weights (`probe`), so that no training is spent
on what can't win. What is left is ordered by what is most likely to answer well: trained weights before random ones,
and the larger before the smaller.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import catalog, registry, shapes
from ..errors import DownloadError, InputError, QTinkerError
from ..estimate import token_count
from ..registry_page import size
from ..shapes import Shape
from . import bounds, planning, probe
from .pairs import ITSELF, Candidate, cuts, student_spec
from .spec import TargetSpec

SIZE_ROOM, TIME_ROOM = 1.03, 1.25
"""How far beyond the limit a prediction may be and still be tried: the formula rounds, a clock is noisy."""
FOR_TIMING = 0.2
"""Share of the budget in which students are timed; who was not is tried."""
FEW_STARTS = 4
"""With fewer trained starts, shapes with random weights are tried too."""
FETCHED = ("bert-tiny", "bert-mini", "bert-small", "bert-medium", "tinybert-4l", "minilm-l6", "tinybert-6l",
           "distilbert-base-uncased")  # fmt: skip
"""Students of the catalog that are worth fetching for a teacher with the English uncased vocabulary."""
UNCASED_VOCABULARY = 30522
ENCODERS = ("bert", "distilbert", "albert", "mobilebert")


@dataclass
class Start:
    """A student that may be tried, with what is known of it beforehand."""

    name: str
    shape: Shape
    random: bool
    bytes: dict[str, int]
    latency_ms: dict[str, float]

    def fitting(self, target: TargetSpec) -> list[str]:
        """The schemes under which it can keep to size and time, `float` among them."""
        return [scheme for scheme in self.bytes if not self.over(scheme, target)]

    def over(self, scheme: str, target: TargetSpec) -> dict[str, float]:
        """By what share each limit is missed for certain."""
        missed = {}
        if target.max_size is not None and self.bytes[scheme] > target.max_size * SIZE_ROOM:
            missed["max_size"] = self.bytes[scheme] / target.max_size - 1
        time = self.latency_ms.get(scheme)
        if target.max_latency is not None and time is not None and time > target.max_latency * TIME_ROOM:
            missed["max_latency"] = time / target.max_latency - 1
        return missed


def candidates(work: Any) -> list[Candidate]:
    """The candidates of a search (`sweep.SweepWork`), the most promising first; notes what was ruled out and why.

    Raises:
        InputError: the teacher is not here and can't be had.
    """
    spec = work.spec
    planning.at_hand(work, [spec.teacher], lacking="Nothing can be searched.")
    if reason := work.state["models"][spec.teacher]:
        if spec.teacher in work.state["unfetched"]:
            raise DownloadError(f"{spec.teacher}: {reason}", work.state["fetch_fix"])
        raise InputError(f"{spec.teacher}: {reason}", "Name a teacher that is here.")
    teacher = registry.resolve(spec.teacher)
    whole = shapes.read(teacher)
    names = (
        [name for text in spec.students if text != ITSELF for name in cuts(text, spec.teacher, depth=planning.depth)]
        if spec.students
        else trained_starts(work, teacher, whole)
    )
    models = [model for name in names if (model := student_spec(name).model)]
    planning.at_hand(work, models, lacking="They are not tried.")
    names = [name for name in names if not work.state["models"].get(student_spec(name).model or "")]
    itself = [] if spec.students and ITSELF not in spec.students else known_costs(work, [ITSELF], teacher)
    limit = min((start.bytes[bounds.FLOAT] for start in itself), default=None)  # by the formula; later it is measured
    work.say(f"Working out the sizes of {len(names)} students under each scheme")
    considered = known_costs(work, names, teacher)
    considered = [*(considered if spec.students else smaller(considered, limit)), *itself]
    able = can_fit(work, considered, teacher)
    few = sum(start.name != ITSELF for start in able) < FEW_STARTS
    if not spec.students and few and whole.model_type in ENCODERS:
        random = smaller(known_costs(work, smaller_shapes(whole), teacher), limit)
        considered, able = [*considered, *random], [*able, *can_fit(work, random, teacher)]
    itself = [start for start in able if start.name == ITSELF]
    fitting = [start for start in able if start.name != ITSELF]
    tokens = token_count(work.dataset.train, spec.data.max_length)
    fitting.sort(key=lambda start: (start.random, -bounds.operations(start.shape, tokens)))
    work.state["allowed"] = {start.name: start.fitting(spec.target) for start in able}
    ruled_out = [start for start in considered if start not in able]
    work.state["ruled_out"] = [_ruled_out(start, spec.target) for start in ruled_out]
    if spec.target.limits:
        counts = {0: f"All {len(considered)}", len(considered): f"None of the {len(considered)}"}
        tried = counts.get(len(ruled_out), f"{len(considered) - len(ruled_out)} of {len(considered)}")
        rest = "; the others were not trained." if 0 < len(ruled_out) < len(considered) else "."
        work.note(f"{tried} students can keep to {spec.target.limits}, as far as shapes and random weights tell{rest}")
    both = [(start, method) for start in fitting for method in spec.wanted_methods]
    if spec.students:  # every start that was asked for, before any is tried in a second way
        both = [(start, method) for method in spec.wanted_methods for start in fitting]
    chosen = [
        Candidate(spec.teacher, start.name, method)
        for start, method in both
        if spec.methods or _suits(method, start, whole)
    ]
    begun = tried_of(chosen, spec.candidates, spread=not spec.target.limits)
    if len(begun) < len(chosen):
        how = "the largest first" if spec.target.limits else "spread over all sizes"
        work.note(f"{len(begun)} of {len(chosen)} candidates are tried, {how} (--candidates).")
    return [*begun, *[Candidate(spec.teacher, start.name, "none") for start in itself]]


def tried_of(chosen: list[Candidate], most: int, *, spread: bool) -> list[Candidate]:
    """So many of the candidates, which come the largest first. Where the smallest good one is looked for (`spread`),
    they are taken at even distances: the largest alone would hold no small one."""
    if len(chosen) <= most or not spread or most == 1:
        return chosen[:most]
    return [chosen[round(number * (len(chosen) - 1) / (most - 1))] for number in range(most)]


def trained_starts(work: Any, teacher: Path, whole: Shape) -> list[str]:
    """Layers of the teacher, and smaller pretrained models, here or worth fetching."""
    found: list[str] = []
    if whole.model_type in (*ENCODERS, "gpt2") and whole.model_type != "albert":
        depth = whole.layers
        kept = {round(depth * share) for share in (3 / 4, 2 / 3, 1 / 2, 1 / 3, 1 / 4, 1 / 6)} - {0, depth}
        for count in sorted(kept, reverse=True):
            found.append("@" + "-".join(str(index * depth // count) for index in range(count)))
    for entry in registry.list_models():
        plain = not (entry.broken or entry.quantization or entry.task) and entry.kind in ("pretrained", "imported")
        smaller = entry.parameters is not None and entry.parameters < whole.parameters
        if plain and smaller and entry.model_type in ENCODERS and entry.path != teacher and _language(entry.name):
            found.append(entry.full_name)
    here = {name.rpartition("/")[2] for name in found}
    if work.spec.download and whole.vocabulary == UNCASED_VOCABULARY:
        limit = work.spec.target.max_size
        for name in FETCHED:
            listed = catalog.catalog()[name]
            least = listed.parameters * 0.5 * 0.9  # four bits a weight, the pretraining heads left out
            if name not in here and listed.parameters < whole.parameters and (limit is None or least <= limit):
                found.append(name)
    return found


def _language(name: str) -> bool:
    """Whether a model is none of the catalog's for other languages: those would have to be asked for."""
    entry = catalog.find(name)
    return entry is None or entry.language == "en"


def smaller_shapes(whole: Shape) -> list[str]:
    """A few BERTs with random weights, narrower and shallower than the teacher."""
    depths = sorted({max(1, round(whole.layers * share)) for share in (1 / 2, 1 / 3, 1 / 6)}, reverse=True)
    widths = [width for width in (512, 384, 256, 128, 64) if width <= whole.hidden][:3] or [whole.hidden]
    return [f"L-{depth}_H-{width}_A-{max(1, width // 64)}" for width in widths for depth in depths]


def known_costs(work: Any, names: list[str], teacher: Path) -> list[Start]:
    """Each start with its bytes under each scheme that suits it; one that can't be built is noted and left out."""
    found = []
    for name in names:
        student = student_spec(name)
        try:
            model = bounds.skeleton(student, teacher, task=work.dataset.task)
            weights = {bounds.FLOAT: bounds.weight_bytes(model)}
            shape = bounds.shape_of(student, teacher)
        except (QTinkerError, ValueError, OSError) as error:
            work.note(f"{name} can't be a student: {' '.join(str(error).split())}")
            continue
        for scheme in work.spec.wanted_schemes:
            try:
                weights[scheme] = bounds.weight_bytes(model, scheme)
            except QTinkerError:
                continue
        found.append(Start(name, shape, bool(student.shape), weights, {}))
    return found


def smaller(starts: list[Start], limit: int | None) -> list[Start]:
    """Those smaller than a teacher of so many bytes, all with the task's head, which files as fetched lack."""
    return [start for start in starts if limit is None or start.bytes[bounds.FLOAT] < limit]


def can_fit(work: Any, starts: list[Start], teacher: Path) -> list[Start]:
    """Those that can keep to the target: by their bytes, then by their times."""
    found = [start for start in starts if start.fitting(work.spec.target)]
    measure_times(work, found, teacher)
    return [start for start in found if start.fitting(work.spec.target)]


def measure_times(work: Any, starts: list[Start], teacher: Path) -> None:
    """Put measured times (and sizes) into the starts, where a time is asked for."""
    spec = work.spec
    if spec.target.max_latency is None or not starts:
        return
    work.say(f"Timing {len(starts)} students with random weights, float and quantized")
    left = None if spec.budget is None else max(0.0, FOR_TIMING * (spec.budget - work.spent))
    times = probe.latencies(
        {each.name: (student_spec(each.name), [s for s in each.fitting(spec.target) if s != bounds.FLOAT])
         for each in starts},
        teacher=teacher, examples=work.dataset.eval, task=work.dataset.task, max_length=spec.data.max_length,
        threads=spec.training.threads, engine=spec.engine, seconds=left, stopping=work.stopping,
    )  # fmt: skip
    for start in starts:
        measured = times.get(start.name, {})
        start.latency_ms = {scheme: figures["latency_ms"] for scheme, figures in measured.items()}
        start.bytes |= {scheme: int(figures["bytes"]) for scheme, figures in measured.items()}


def _ruled_out(start: Start, target: TargetSpec) -> dict[str, Any]:
    """The scheme under which a start comes nearest, and by how much it misses."""
    scheme = min(start.bytes, key=lambda each: (max(start.over(each, target).values(), default=0.0), each))
    over, time = start.over(scheme, target), start.latency_ms.get(scheme)
    words = [f"{size(start.bytes[scheme])} at least"] if "max_size" in over else []
    words += [f"{time:.2f} ms at least"] if "max_latency" in over and time is not None else []
    return {
        "student": start.name, "scheme": scheme, "bytes": start.bytes[scheme], "latency_ms": time,
        "excess": max(over.values(), default=0.0), "reason": ", ".join(words),
    }  # fmt: skip


def _suits(method: str, start: Start, whole: Shape) -> bool:
    """Whether a method of the default is worth trying: relations compare token by token."""
    if method != "relations":
        return True
    same = start.random or start.name.startswith("@") or (
        start.shape.vocabulary_key is not None and start.shape.vocabulary_key == whole.vocabulary_key
    )  # fmt: skip
    return same and whole.model_type in ENCODERS
