"""SweepSpec: what a comparison or a search is to do, as plain data, like RunSpec for one run. Torch-free."""

from __future__ import annotations

import re
from typing import Any, Literal, get_args

import yaml
from pydantic import Field, field_validator, model_validator

from ..quantize.schemes import SCHEMES
from ..spec import METHODS, SHAPE, DataSpec, Engine, Scheme, TaskSpec, TrainingSpec
from ..spec_base import Part, Whole, setting
from . import quantities

Mode = Literal["quick", "balanced", "all"]
METHOD_NAMES = tuple(METHODS)

# fmt: off


class TargetSpec(Part):
    """What the result of a search must keep to; what is left out is no limit."""

    max_size: int | None = setting(
        None, "Largest size", "Bytes of the weight files, quantized or not: 20MB, 500kB.", option="--max-size", gt=0
    )
    max_latency: float | None = setting(
        None, "Longest latency", "Median milliseconds for one example of the data on this machine: 5ms.",
        option="--max-latency", gt=0,
    )
    min_retention: float | None = setting(
        None, "Least retention", "Share of the teacher's metric that must be kept: 0.97 or 97%.",
        option="--min-retention", gt=0, le=1,
    )
    _size = field_validator("max_size", mode="before")(quantities.byte_count)
    _latency = field_validator("max_latency", mode="before")(quantities.milliseconds)
    _retention = field_validator("min_retention", mode="before")(quantities.share)

    @property
    def limits(self) -> str:
        """Which of size and time are limited, in words."""
        asked = {"size": self.max_size, "time": self.max_latency}
        return " and ".join(name for name, value in asked.items() if value is not None)

    @property
    def given(self) -> bool:
        """Whether anything is asked at all."""
        return any(value is not None for value in (self.max_size, self.max_latency, self.min_retention))


class SweepSpec(Whole):
    """Everything that one sweep does. `compare` takes pairs from a list, `compress` searches students for one teacher.
    """

    version: Literal[1] = 1
    kind: Literal["compare", "compress"] = "compare"
    name: str | None = setting(None, "Name", "Name of the sweep, part of its models' names.",
                               max_length=24, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    mode: Mode | None = setting(None, "Mode", "How many pairs of the published lists: quick 3, balanced 8, all 16.")
    custom_pairs: list[str] = setting(
        [], "Pairs", "Own pairs as teacher,student; a student is a model, MODEL@0-2-4 (some of its layers), @0-2-4 "
        "(layers of the finetuned teacher), @any-3 (any three of them: each way is a pair), @all (the teacher itself, "
        "to be quantized) or a shape such as L-2_H-128_A-2.",
    )
    teacher: str | None = setting(None, "Teacher", "compress: the model to make smaller.")
    students: list[str] = setting(
        [], "Students", "compress: search only these starts, written as in custom_pairs; left out: layers of the "
        "teacher, smaller pretrained models, and shapes.",
    )
    candidates: int = setting(12, "Candidates", "compress: at most so many trainings are begun.", ge=1, le=200)
    methods: list[str] = setting(
        [], "Methods", f"Distillation methods to try: {', '.join(METHOD_NAMES)}. Left out: logit for compare; logit "
        "and relations (where the vocabularies are alike) for compress."
    )
    schemes: list[Scheme] | None = setting(
        None, "Schemes", f"Quantization schemes to try: {', '.join(get_args(Scheme))}; none for float alone. Left "
        "out: int8-dynamic for compare; int8-dynamic, int8-weight-only and int4-weight-only for compress."
    )
    engine: Engine = setting(
        "auto", "Engine", "What makes the quantized models: auto takes what is fastest here; onnxruntime keeps to what "
        "an ONNX file holds."
    )
    target: TargetSpec = Field(default_factory=TargetSpec)
    teacher_epochs: float = setting(3.0, "Teacher epochs", "Passes over the data where a teacher is finetuned.",
                                    gt=0, le=1000)
    teacher_learning_rate: float = setting(5e-5, "Teacher learning rate", "Of a teacher's finetuning.", gt=0, le=1)
    budget: float | None = setting(
        None, "Budget", "Time for all trainings and measurements together: 2h, 90m, 1h30. What can't be done in it is "
        "left out, and the report says so.", gt=0,
    )
    halving: bool = setting(True, "Stop early", "Stop candidates that are far behind at a quarter and at half of "
                            "their training (successive halving).")
    control: bool = setting(False, "Control", "Also train each student without its teacher.")
    download: bool = setting(True, "Fetch models", "Fetch models of the catalog that are not here.")
    data: DataSpec
    task: TaskSpec = Field(default_factory=TaskSpec)
    training: TrainingSpec = Field(default_factory=TrainingSpec)

    _budget = field_validator("budget", mode="before")(quantities.seconds)

    @field_validator("methods", "schemes", "students", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if isinstance(value, str):
            value = [value]
        if isinstance(value, list | tuple) and all(isinstance(part, str) for part in value):
            return [part.strip() for text in value for part in text.split(",") if part.strip()]
        return value

    @field_validator("custom_pairs", mode="before")
    @classmethod
    def _one_pair(cls, value: Any) -> Any:
        if isinstance(value, str):
            return [value]
        if isinstance(value, list):  # a pair may come as two names
            return [",".join(map(str, each)) if isinstance(each, list | tuple) else each for each in value]
        return value

    @field_validator("schemes", mode="before")
    @classmethod
    def _none_at_all(cls, value: Any) -> Any:
        return [] if value in ("none", ["none"]) else value

    @field_validator("methods")
    @classmethod
    def _known(cls, value: list[str]) -> list[str]:
        if unknown := [name for name in value if name not in METHODS]:
            raise ValueError(f"there is no method {unknown[0]!r}: there are {', '.join(METHODS)}")
        return list(dict.fromkeys(value))

    @model_validator(mode="after")
    def _whole(self) -> SweepSpec:
        for text in self.custom_pairs:
            teacher, comma, student = text.partition(",")
            if not comma or not teacher.strip() or not student.strip():
                raise ValueError(f"{text!r} is no pair: write it as teacher,student")
            check_student(student.strip())
        for text in self.students:
            check_student(text)
        for scheme in self.schemes or []:
            if not self._makes(scheme):
                raise ValueError(f"the engine {self.engine} makes no {scheme}: leave out --engine, or that scheme")
        if self.kind == "compress":
            if not self.teacher:
                raise ValueError("name the teacher to make smaller (--teacher)")
            if not self.target.given:
                raise ValueError("give a target: --max-size, --max-latency or --min-retention")
        return self

    @property
    def modes(self) -> Mode | None:
        """The list of pairs that is asked for: quick unless own pairs are given."""
        return self.mode or (None if self.custom_pairs else "quick")

    @property
    def wanted_methods(self) -> list[str]:
        """The methods to try, with the default of the verb."""
        return self.methods or (["logit"] if self.kind == "compare" else ["logit", "relations"])

    @property
    def wanted_schemes(self) -> list[str]:
        """The schemes to try, with the default of the verb."""
        if self.schemes is not None:
            return list(dict.fromkeys(self.schemes))
        usual = ["int8-dynamic", *(["int8-weight-only", "int4-weight-only"] if self.kind == "compress" else [])]
        return [scheme for scheme in usual if self._makes(scheme)]

    def _makes(self, scheme: str) -> bool:
        return self.engine == "auto" or self.engine in SCHEMES[scheme].engines

    def to_yaml(self, *, full: bool = False, in_ascii: bool = False) -> str:
        """YAML that `load` reads back to an equal spec: defaults too if `full`, in escaped characters if `in_ascii`."""
        data = self.model_dump(mode="json", exclude_none=True, exclude_defaults=not full)
        return yaml.safe_dump({"version": 1, "kind": self.kind, **data}, sort_keys=False, allow_unicode=not in_ascii)


def check_student(text: str) -> None:
    """
    Raises:
        ValueError: the text names no student.
    """
    if text == "@all":  # the teacher itself
        return
    _, at, layers = text.partition("@")
    if at and not re.fullmatch(r"any-[1-9]\d*|\d+(-\d+)*", layers, re.ASCII):
        raise ValueError(f"{text!r} is no student: layers are written as @0-2-4, any three of them as @any-3")
    if text.startswith("L-") and not SHAPE.match(text):
        raise ValueError(f"{text!r} is no shape: write it as L-2_H-128_A-2")
