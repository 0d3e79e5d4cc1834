"""What the phases of a run share: the spec, the data, the teacher, and how they speak and stop."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from . import checkpoint, data, pipeline, registry, together
from .checkpoint import Loaded
from .data import Encoded, Examples
from .data.new_pairs import new_pairs
from .distill import augment
from .distill.processes import Processes
from .distill.teacher import Teacher
from .distill.teachers import Teachers
from .errors import InputError, RunStopped
from .keeping import weights_key
from .runs import Run
from .spec import RunSpec

Event = dict[str, Any]
T = TypeVar("T")


class Work:
    """What the phases share: the spec, the data, and what was made so far. Models are loaded when first needed."""

    def __init__(
        self, *, run: Run, spec: RunSpec, record: pipeline.Record, emit: Callable[[Event], None],
        should_stop: Callable[[], bool],
    ) -> None:  # fmt: skip
        self.run, self.spec, self.record, self.emit, self.should_stop = run, spec, record, emit, should_stop
        self.phase = "prepare"
        self.dataset: data.Dataset
        self.task: Any
        self.max_length = spec.data.max_length
        self.judge: str | None = None
        """The teacher whose answers stand for labels of the evaluation examples, where these have none."""
        self.given = 0
        """How many training examples there are without those that were made of others; they come first."""
        self._teacher: Loaded | None = None

    def say(self, text: str, *, level: str = "info") -> None:
        """A message event."""
        self.emit({"kind": "message", "phase": self.phase, "level": level, "text": text})

    def tell_step(self, step: int, total: int) -> None:
        """How far the phase is, where that is all there is to tell."""
        self.emit({"kind": "step", "phase": self.phase, "step": step, "total_steps": total, "epoch": None, "loss": None,
                   "parts": {}, "learning_rate": None, "examples_per_second": None, "eta_s": None})  # fmt: skip

    def warnings(self) -> list[str]:
        """Every warning of the run so far, earlier attempts included."""
        events, _ = self.run.events()
        texts = [e["text"] for e in events if e["kind"] == "message" and e.get("level") == "warning"]
        return list(dict.fromkeys(texts))

    @property
    def teacher_path(self) -> Path:
        """The teacher that is learned from: the given one, or the one that this run finetuned."""
        made = self.record.done.get("finetune-teacher", {}).get("path") or self.record.done["prepare"]["teacher"]
        return Path(made)

    def teacher(self) -> Loaded:
        """The teacher, loaded once; its head is trained."""
        if self._teacher is None:
            self._teacher = checkpoint.load(self.teacher_path, kind=self.task.type)
        return self._teacher

    @property
    def further_teachers(self) -> list[Path]:
        """The teachers beside the first."""
        return [registry.resolve(name) for name in (self.spec.teacher.also or [])] if self.spec.teacher else []

    def teaching(self, student: Loaded) -> Teacher | Teachers:
        """The teachers as the loop asks them, with texts of their own tokens where the vocabularies differ."""
        if not self.further_teachers:
            return self._asked(self.teacher(), student)
        assert self.spec.teacher is not None
        others = [checkpoint.load(path, kind=self.task.type) for path in self.further_teachers]
        members = [self._asked(loaded, student) for loaded in (self.teacher(), *others)]
        return Teachers(members, self.spec.teacher.weights)

    def _asked(self, loaded: Loaded, student: Loaded) -> Teacher:
        same = data.tokenizer_key(loaded.tokenizer) == data.tokenizer_key(student.tokenizer)
        if same:
            return Teacher(loaded, student=student, task=self.task)
        mine = self.encode(student) if self.task.per_token else None
        return Teacher(
            loaded, student=student, task=self.task, encoded=self.encode(loaded), read_by_student=mine
        )  # fmt: skip

    def encode(self, loaded: Loaded, examples: Examples | None = None) -> Encoded:
        """Training (or other) examples in a model's tokens."""
        return data.encode(self.dataset.train if examples is None else examples, loaded.tokenizer, self.max_length)

    def encode_labelled(self, loaded: Loaded) -> Encoded:
        """The training examples that have a label: without a teacher the others would cost time and teach nothing."""
        return self.encode(loaded, self.labelled())

    def labelled(self) -> Examples:
        """The training examples that have a label."""
        train = self.dataset.train
        return train if train.labelled.all() else train.select(np.flatnonzero(train.labelled))

    def learned_from(self, *, labelled: bool) -> Examples:
        """The training examples as they were given, all or those with a label."""
        train = self.dataset.train.select(np.arange(self.given))
        return train.select(np.flatnonzero(train.labelled)) if labelled else train

    def add_variants(self) -> int:
        """Give the training data variants of its labelled file's rows, without labels; returns how many there are.

        Raises:
            InputError: the model that is to make them has no head for hidden words.
        """
        spec, dataset = self.spec, self.dataset
        path = registry.resolve(str(spec.data.augment_model))
        own = checkpoint.task_in(path)
        if own is None or own["type"] != "masked-lm":
            raise InputError(
                f"{spec.data.augment_model} has no head that guesses hidden words, so it can make no variants.",
                "Name a masked language model, such as a BERT that was not finetuned.",
            )
        rows = dataset.train.select(np.arange(len(dataset.train) - dataset.unlabelled))
        how = augment.Variation(
            spec.data.augment_variants, spec.data.augment_share, spec.data.augment_candidates, spec.training.seed
        )  # fmt: skip

        def make() -> list[str]:
            model = checkpoint.load(path, kind="masked-lm")
            steps = augment.variants(
                rows, model, how, weights=weights_key(path), max_length=self.max_length,
                device=Processes(spec.training.device).device, should_stop=self.should_stop,
            )  # fmt: skip
            return [str(file) for file in self.drive(steps)]

        files = [Path(file) for file in together.from_main(make)]
        found = augment.read(files, dataset.train, but=(dataset.train, dataset.eval))
        dataset.findings.append(f"{len(found):,} variants of {len(rows):,} training examples by {path.name}")
        dataset.train = data.joined([dataset.train, found])
        return len(found)

    def add_new_pairs(self, given: int) -> int:
        """Give training data of pairs new pairs of its first `given` pairs' texts; returns how many there are."""
        dataset = self.dataset
        if dataset.train.pairs is None or dataset.train.form != "texts":
            dataset.findings.append("the examples are no pairs of texts: no new pairs are made")
            return 0

        def so_far(done: int) -> None:
            self.tell_step(done, given)
            if together.from_main(self.should_stop):
                raise RunStopped(f"Stopped after making new pairs of {done:,} of {given:,} examples.")

        found = new_pairs(
            dataset.train.select(np.arange(given)), self.spec.data.new_pairs, seed=self.spec.training.seed,
            but=(dataset.train, dataset.eval), told=so_far,
        )  # fmt: skip
        dataset.findings.append(f"{len(found):,} new pairs of the texts of {given:,} pairs")
        dataset.train = data.joined([dataset.train, found])
        return len(found)

    def drive(self, steps: Generator[Event, None, T], *, quiet: bool = False) -> T:
        """Run a training (or another generator of events) to its end, passing on its events, or just the warnings."""
        while True:
            try:
                event = next(steps)
            except StopIteration as end:
                return end.value
            if not quiet or event.get("level") == "warning":
                self.emit(event)

    def states(self, phase: str) -> Path:
        """Where a training keeps what resuming needs."""
        return self.run.files.checkpoint / phase

    def forget_states(self) -> None:
        """A run that is done is not resumed: free the space."""
        shutil.rmtree(self.run.files.checkpoint, ignore_errors=True)
