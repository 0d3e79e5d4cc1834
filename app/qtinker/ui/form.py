"""Form fields made from the spec's own declarations, and back from their values to the data of a RunSpec.

Nothing about a setting is said here: label, help, range, default and choices are the spec's (a translation may
stand in for the words, by the key `field.<path>.title` and `.help`).
"""

from __future__ import annotations

import os
import shlex
import subprocess
import types
from decimal import Decimal
from typing import Any, Literal, Union, get_args, get_origin

import gradio as gr
from pydantic.fields import FieldInfo

from ..options import SettingOption, distill_options, finetune_options
from ..spec import METHODS, DataSpec, Part, RunSpec, StudentSpec, TaskSpec, TeacherSpec, TrainingSpec
from .texts import Texts

PARTS: dict[str, type[Part]] = {
    "teacher": TeacherSpec, "student": StudentSpec, "data": DataSpec, "task": TaskSpec, "training": TrainingSpec,
}  # fmt: skip
Values = dict[str, Any]


class Cards(gr.Radio):
    """A radio whose choices follow another field. One that is offered no longer, and still on its way here when the
    choices change, counts as none instead of as an error of the page."""

    is_template = True  # drawn as gr.Radio

    def preprocess(self, payload: str | int | float | None) -> str | int | float | None:
        """The chosen value; None if it is not among the choices."""
        return payload if any(payload == value for _, value in self.choices) else None


def declared(path: str) -> FieldInfo:
    """The declaration behind `training.epochs`, `method.patient.beta` or `control`."""
    parts = path.split(".")
    if parts[0] == "method":
        return METHODS[parts[1]].model_fields[parts[2]]
    owner: type[Part] = PARTS[parts[0]] if len(parts) > 1 else RunSpec
    return owner.model_fields[parts[-1]]


def words(path: str, t: Texts) -> tuple[str, str]:
    """Label and help of a field."""
    info = declared(path)
    plain = ".".join(path.split(".")[:1] + path.split(".")[-1:]) if path.startswith("method.") else path
    label = t.get(f"field.{path}.title") or t.get(f"field.{plain}.title", info.title or path)
    return label, t.get(f"field.{path}.help") or t.get(f"field.{plain}.help", info.description or "")


def level(path: str) -> str:
    """Where a field is shown: basic or advanced."""
    extra = declared(path).json_schema_extra
    return str(extra.get("level", "basic")) if isinstance(extra, dict) else "basic"


def field(path: str, t: Texts, **more: Any) -> Any:
    """The component of one field, with the spec's label, help, range and default."""
    info = declared(path)
    label, help_words = words(path, t)
    kind = _kind(info.annotation)
    default = None if info.is_required() else info.get_default(call_default_factory=True)
    common: dict[str, Any] = {"label": label, "info": help_words, "elem_id": "f-" + path.replace(".", "-"), **more}
    if kind is bool:
        return gr.Checkbox(value=bool(default), **common)
    if get_origin(kind) is Literal:
        return gr.Dropdown(choices=[str(value) for value in get_args(kind)], value=default, **common)
    if kind in (int, float):  # no gr.Number: the browser would drop what it can't read, and 0,5 become 5
        common["placeholder"] = t("app.left_out") if default is None else shown(path, default)
    return gr.Textbox(value="" if default is None else shown(path, default), max_lines=1, **common)


def default(path: str) -> Any:
    """A field's default as its component shows it."""
    if path == "method.name":
        return "logit"
    info = declared(path)
    value = None if info.is_required() else info.get_default(call_default_factory=True)
    return "" if value is None and _kind(info.annotation) is not bool else shown(path, value)


def is_whole(path: str) -> bool:
    """Whether a field of the page takes whole numbers."""
    try:
        return _kind(declared(path).annotation) is int
    except (KeyError, IndexError):  # it only steers the page
        return False


def _kind(annotation: Any) -> Any:
    if get_origin(annotation) in (Union, types.UnionType):
        inner = [part for part in get_args(annotation) if part is not type(None)]
        return _kind(inner[0]) if len(inner) == 1 else str
    return annotation if annotation in (bool, int, float) or get_origin(annotation) is Literal else str


def to_spec(values: Values) -> dict[str, Any]:
    """The nested data of a RunSpec from values by path; empty ones are left out, so that defaults are the spec's.

    `method.name` chooses which of `method.<name>.<field>` count.
    """
    data: dict[str, Any] = {}
    method = values.get("method.name")
    for path, value in values.items():
        parts = path.split(".")
        if value is None or value == "" or value == []:
            continue
        if parts[0] == "method" and len(parts) == 3:
            if parts[1] != method:
                continue
            parts = [parts[0], parts[2]]
        if isinstance(value, str):
            value = value.strip()
        place = data
        for key in parts[:-1]:
            place = place.setdefault(key, {})
        place[parts[-1]] = value
    return data


def from_spec(spec: RunSpec, paths: list[str]) -> Values:
    """Values by path for a form that shows `paths`."""
    data = spec.model_dump(mode="json")
    values: Values = {}
    for path in paths:
        parts = path.split(".")
        if parts[0] == "method" and len(parts) == 3:
            if parts[1] != spec.method.name:
                continue
            parts = [parts[0], parts[2]]
        place: Any = data
        for key in parts:
            place = place.get(key) if isinstance(place, dict) else None
        values[path] = shown(path, place)
    return values


def shown(path: str, value: Any) -> Any:
    """A spec's value as its component shows it."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return format(Decimal(str(value)).normalize(), "f")
    if path.endswith("layer_mapping") and isinstance(value, list):
        return ",".join(f"{student}:{teacher}" for student, teacher in value)
    if path == "quantize":
        return [each["scheme"] for each in value or []]
    if isinstance(value, list):
        return ",".join(map(str, value))
    return value


def command_line(spec: RunSpec) -> str:
    """The command that does the same as the form, for the user's shell."""
    options: list[SettingOption] = distill_options() if spec.teacher else finetune_options()
    data = spec.model_dump(mode="json", exclude_defaults=True, exclude_none=True)
    data.setdefault("method", {})["name"] = spec.method.name
    parts = ["python3", "app", "distill" if spec.teacher else "finetune"]
    for option in options:
        place: Any = data
        for key in option.path:
            place = place.get(key) if isinstance(place, dict) else None
        if place is None or (option.methods and spec.method.name not in option.methods):
            continue
        flags = option.flags[0].split("/")
        if isinstance(place, bool):
            parts.append(flags[0] if place else flags[-1])
        elif option.repeatable:
            for item in place:
                parts += [flags[0], str(item.get("scheme", item) if isinstance(item, dict) else item)]
        else:
            parts += [flags[0], str(shown(option.field, place))]
    if spec.teacher is None and spec.student.model:
        parts.insert(3, spec.student.model)
    return subprocess.list2cmdline(parts) if os.name == "nt" else shlex.join(parts)
