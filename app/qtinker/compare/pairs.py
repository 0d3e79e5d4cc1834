"""The published lists of pairs, and candidates: one teacher, one student, one method. Torch-free."""

from __future__ import annotations

import hashlib
import math
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError
from ..spec import SHAPE, RunSpec, StudentSpec
from .spec import SweepSpec

TEACHERS = ("bert-base-uncased", "distilbert-base-uncased", "albert-base-v2", "gpt2")
STUDENTS = ("bert-tiny", "tinybert-4l", "minilm-l6", "mobilebert")
QUICK = (
    ("bert-base-uncased", "bert-tiny"),
    ("bert-base-uncased", "tinybert-4l"),
    ("distilbert-base-uncased", "minilm-l6"),
)
BALANCED = (
    *QUICK,
    ("albert-base-v2", "bert-tiny"),
    ("bert-base-uncased", "minilm-l6"),
    ("distilbert-base-uncased", "bert-tiny"),
    ("distilbert-base-uncased", "mobilebert"),
    ("albert-base-v2", "mobilebert"),
)
_FIRST = (*BALANCED, ("gpt2", "tinybert-4l"))
ALL = (*_FIRST, *((t, s) for t in TEACHERS for s in STUDENTS if (t, s) not in _FIRST))
ITSELF = "@all"
"""The student of a candidate that is the finetuned teacher itself: it is quantized and nothing else."""
CUT_MAPPED = ("patient", "feature")
"""Methods that compare layer by layer: a student cut from its teacher imitates the layers that it begins as."""
WAYS = 20
"""How many ways to cut `@any-3` stands for at most: three of six layers have as many."""
Depth = Callable[[str], int | None]
"""How many layers a model has; None where it is not known."""
_ANY = re.compile(r"(?P<model>.*)@any-(?P<keep>\d+)")
MODES = {"quick": QUICK, "balanced": BALANCED, "all": ALL}


@dataclass(frozen=True)
class Candidate:
    """One training of a sweep. `teacher` and the student's model are names or folders, as the user wrote them."""

    teacher: str
    student: str
    method: str

    @property
    def pair(self) -> str:
        """Teacher and student in short."""
        return f"{short(self.teacher)} > {short(self.student)}"

    @property
    def id(self) -> str:
        """A name that is the same each time: for files, models and tables."""
        name = f"{short(self.student)}-from-{short(self.teacher)}-{self.method}"
        if any(sign in self.teacher + self.student for sign in "/\\"):  # two folders may end in the same name
            name += f"-{hashlib.sha256(f'{self.teacher},{self.student}'.encode()).hexdigest()[:4]}"
        return name_of(name, 64)

    @property
    def models(self) -> list[str]:
        """The models that must be here."""
        student = student_spec(self.student).model
        return [self.teacher, *([student] if student else [])]


def candidates(spec: SweepSpec, *, depth: Depth) -> list[Candidate]:
    """The candidates of `compare`, in the order of the list; each once."""
    pairs = [*MODES[spec.modes]] if spec.modes else []
    for text in spec.custom_pairs:
        teacher, _, student = text.partition(",")
        pairs += [(teacher.strip(), each) for each in cuts(student.strip(), teacher.strip(), depth=depth)]
    return [
        Candidate(teacher, student, method)
        for teacher, student in dict.fromkeys(pairs)
        for method in (spec.wanted_methods if student != ITSELF else ["none"])
    ]


def cuts(student: str, teacher: str, *, depth: Depth) -> list[str]:
    """The students that `@any-3` or `MODEL@any-3` stands for; any other text, or of an unknown model, for itself.

    Raises:
        InputError: the model has no more layers than are to be kept.
    """
    match = _ANY.fullmatch(student)
    if match is None:
        return [student]
    source, keep = match["model"] or teacher, int(match["keep"])
    count = depth(source)
    if count is None:
        return [student]
    if not 0 < keep < count:
        fix = f"Keep between 1 and {count - 1} of them." if count > 1 else "Take it whole."
        raise InputError(f"{student}: {source} has {count} layer{'s' if count > 1 else ''}.", fix)
    return [f"{match['model']}@{'-'.join(map(str, way))}" for way in ways(count, keep)]


def ways(count: int, keep: int) -> list[tuple[int, ...]]:
    """Which of `count` layers to keep: the evenly spread, the lower, the upper ones, then others in an order by lot."""
    even = [tuple(index * count // keep + shift for index in range(keep)) for shift in range(count // keep)]
    found = dict.fromkeys([*even, tuple(range(keep)), tuple(range(count - keep, count))])
    lot = random.Random(f"{keep} of {count}")
    while len(found) < min(WAYS, math.comb(count, keep)):
        found[tuple(sorted(lot.sample(range(count), keep)))] = None
    return list(found)[:WAYS]


def student_spec(text: str) -> StudentSpec:
    """The student that a text names: MODEL, MODEL@0-2-4, @0-2-4 or L-2_H-128_A-2."""
    if text == ITSELF:
        return StudentSpec()
    if match := _ANY.fullmatch(text):  # of a model that is not here
        return StudentSpec(model=match["model"] or None)
    if SHAPE.match(text):
        return StudentSpec(shape=text)
    model, at, layers = text.partition("@")
    return StudentSpec(model=model or None, layers=[int(part) for part in layers.split("-")] if at else None)


def run_spec(
    candidate: Candidate, spec: SweepSpec, *, prefix: str, eval_every: int | None, finetune: bool = True
) -> RunSpec:
    """The run that trains a candidate.

    Args:
        finetune: finetune the teacher where that was not done before with equal settings.
    """
    data = spec.model_dump(mode="json", include={"data", "task", "training"}, exclude_none=True)
    data["name"] = name_of(f"{prefix}-{candidate.id}", 80)
    if candidate.student == ITSELF:
        data["training"] |= {"epochs": spec.teacher_epochs, "learning_rate": spec.teacher_learning_rate}
        return RunSpec.parse({**data, "student": {"model": candidate.teacher}})
    if eval_every and "eval_every" not in data["training"]:
        data["training"]["eval_every"] = eval_every
    student, method = student_spec(candidate.student), {"name": candidate.method}
    if candidate.method in CUT_MAPPED and not student.model and len(student.layers or []) > 1:
        method["layer_mapping"] = "cut"
    return RunSpec.parse({
        **data,
        "teacher": {"model": candidate.teacher, "finetune": finetune, "epochs": spec.teacher_epochs,
                    "learning_rate": spec.teacher_learning_rate},
        "student": student.model_dump(exclude_none=True),
        "method": method,
        "control": spec.control,
    })  # fmt: skip


def student_name(text: str) -> str:
    """A student's name for tables."""
    return "teacher itself" if text == ITSELF else short(text)


def short(name: str) -> str:
    """A model's name without folders; layers stay with it."""
    if name == ITSELF:
        return "teacher"
    model, at, layers = name.partition("@")
    return (Path(model).name if model else "teacher") + (f"-L{layers}" if at else "")


def name_of(text: str, limit: int) -> str:
    """A name for the registry: plain characters, not too long, never two the same for two texts."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._") or "model"
    if plain == text and len(plain) <= limit:
        return plain
    digest = hashlib.sha256(text.encode()).hexdigest()[:6]
    return f"{plain[: limit - 7].rstrip('-._')}-{digest}"
