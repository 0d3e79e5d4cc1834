"""What a run asks of its teachers once, before the training, and keeps; how much of it there is room for."""

from __future__ import annotations

import shutil
from collections.abc import Generator
from typing import Any

from . import together
from .checkpoint import Loaded
from .distill import methods, precision, teacher_cache
from .distill.processes import Processes
from .distill.teacher import Teacher
from .distill.teachers import Teachers
from .home import home
from .keeping import weights_key
from .work import Work

Event = dict[str, Any]
CACHE_SHARE = 0.2
"""Of the free disk space, how much the teacher's outputs may take."""


def ask(work: Work, teaching: Teacher | Teachers, student: Loaded) -> Generator[Event, None, list[str]]:
    """Fill each teacher's cache with what the method reads, where all of it can be kept; returns what is kept."""
    spec = work.spec
    method = methods.build(
        spec.method, task=work.task, student=student, teacher=teaching.loaded, same_tokens=teaching.same_tokens,
        seed=spec.training.seed,
    )  # fmt: skip
    processes = Processes(spec.training.device)
    chosen = processes.from_main(
        precision.choose(spec.training.precision, teaching.loaded.model, processes.device, size=precision.ASKING)
    )
    teaching.prepare(processes.device, chosen)
    texts = [member.encoded or work.encode(student) for member in teaching.members]

    def wanted(states: bool) -> tuple[list[list[str]], int]:
        found = [
            teacher_cache.names_for(needs, per_token=work.task.per_token, states=states)
            for needs in method.teacher_needs.values() if needs is not None
        ]  # fmt: skip
        names = list(dict.fromkeys(name for each in found if each for name in each))
        answers = [teacher_cache.LOGITS[work.task.per_token]]
        arrays = [names if number == 0 else answers for number in range(len(texts))]
        each = zip(teaching.members, texts, arrays, strict=True)
        return arrays, sum(teacher_cache.size(member, encoded, own) for member, encoded, own in each)

    assert spec.teacher is not None
    arrays, _ = wanted(states=False)
    if spec.teacher.cache_gb:
        more, bytes_more = wanted(states=True)
        if bytes_more <= 1e9 * spec.teacher.cache_gb:
            arrays = more
        elif more != arrays:
            work.say(
                f"The teacher's states of every token would take {teacher_cache.in_words(bytes_more)}, more than the "
                f"{spec.teacher.cache_gb:g} GB allowed: they are computed in each step."
            )
    names = arrays[0]
    if not names:
        return []
    weights = [weights_key(member.loaded.path) for member in teaching.members if member.loaded.path is not None]
    asked = list(zip(teaching.members, texts, arrays, weights, strict=True))

    def room() -> tuple[int, int]:
        """Bytes that are not in the cache yet, and bytes that are free."""
        new = sum(teacher_cache.lacking(member, encoded, each, weights=own) for member, encoded, each, own in asked)
        return new, shutil.disk_usage(home()).free

    new, free = together.from_main(room)
    if new > CACHE_SHARE * free:
        work.say(
            f"The teacher's answers would take {teacher_cache.in_words(new)}, more than {CACHE_SHARE:.0%} of the "
            f"{teacher_cache.in_words(free)} free in {home()}: it is asked anew in each epoch.",
            level="warning",
        )
        return []
    with together.main_first():
        for member, encoded, each, own in asked:
            member.cache = yield from teacher_cache.fill(
                member, encoded, each, weights=own, should_stop=work.should_stop
            )
    return sorted(names) if all(member.cache for member in teaching.members) else []
