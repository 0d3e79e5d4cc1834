"""What a student costs, known before it is trained: parameters and operations from its shape."""

from __future__ import annotations

from typing import Any

from .. import registry, shapes
from ..data import Examples
from ..estimate import token_count
from ..shapes import Shape
from ..spec import RunSpec


def shape_of(spec: RunSpec) -> Shape:
    """The student's shape, from config files and headers."""
    assert spec.teacher is not None
    teacher = shapes.read(registry.resolve(spec.teacher.model))
    student = spec.student
    if student.shape:
        return shapes.named(student.shape, teacher)
    source = shapes.read(registry.resolve(student.model)) if student.model else teacher
    return shapes.cut(source, len(student.layers)) if student.layers else source


def cost(spec: RunSpec, examples: Examples) -> dict[str, Any]:
    """`parameters`, and `operations`: multiply-adds of one typical example of the data."""
    shape = shape_of(spec)
    tokens = token_count(examples, spec.data.max_length)
    return {
        "parameters": shape.parameters,
        "operations": float(tokens * (shape.encoder + 2.0 * shape.layers * tokens * shape.hidden)),
    }
