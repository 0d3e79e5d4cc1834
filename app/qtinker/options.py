"""From the settings of spec.py to command-line options, and back to the data of a RunSpec.

Nothing is declared here: flags, help, ranges, defaults and choices all come from the spec's fields.
"""

from __future__ import annotations

import difflib
import re
import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from .errors import InputError, Problem, SpecError
from .presets import apply as apply_preset
from .presets import preset, presets
from .spec import (
    METHODS,
    DataSpec,
    Part,
    RunSpec,
    StudentSpec,
    TaskSpec,
    TeacherSpec,
    TrainingSpec,
)

PARTS: dict[str, type[Part]] = {
    "teacher": TeacherSpec,
    "student": StudentSpec,
    "data": DataSpec,
    "task": TaskSpec,
    "training": TrainingSpec,
}
_ENTRY = re.compile(r"\.\d+(\.scheme)?$")
"""Where in a list a problem lies, which an option does not tell."""
LIMITS = {"gt": "more than {}", "ge": "at least {}", "lt": "less than {}", "le": "at most {}"}


@dataclass(frozen=True)
class SettingOption:
    """One setting as an option. `path` is where it goes in the spec; `methods` who has it, for a method's settings."""

    path: tuple[str, ...]
    flags: tuple[str, ...]
    type: Any
    title: str
    description: str
    limits: str
    default: Any
    required: bool = False
    repeatable: bool = False
    panel: str = ""
    methods: tuple[str, ...] = ()

    @property
    def parameter(self) -> str:
        """A Python name for it, unique among the options."""
        return "__".join(self.path)

    @property
    def field(self) -> str:
        """The dotted path that problems of a spec name."""
        return ".".join(self.path)

    @property
    def help(self) -> str:
        """Description, range, methods and default, as the help shows them."""
        words = [self.description, f"({self.limits})" if self.limits else ""]
        if self.methods and len(self.methods) < len(METHODS):
            words.append(f"Methods: {', '.join(self.methods)}.")
        shown = self.shown_default()
        words.append(f"[default: {shown}]" if shown else "")
        return " ".join(filter(None, words))

    def shown_default(self) -> str:
        """The default in words, per method where they differ; empty where there is none."""
        if not self.methods:
            return show(self.default)
        each = {name: show(METHODS[name].model_fields[self.path[-1]].default) for name in self.methods}
        if len(set(each.values())) == 1:
            return next(iter(each.values()))
        return ", ".join(f"{name} {value}" for name, value in each.items())


def show(value: Any) -> str:
    """A default as a user would type it."""
    if value is None or isinstance(value, bool):
        return ""
    if isinstance(value, float):
        return f"{value:g}".replace("e-0", "e-")
    return str(value)


def option(path: tuple[str, ...], field: FieldInfo, *, methods: tuple[str, ...] = ()) -> SettingOption:
    """The option of one field."""
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    kind, repeatable = cli_type(field.annotation)
    flag = extra.get("option") or "--" + path[-1].replace("_", "-")
    if kind is bool:
        flag = f"{flag}/--no-{str(flag).removeprefix('--')}"
    return SettingOption(
        path=path,
        flags=tuple(str(flag).split(",")),
        type=kind,
        title=field.title or path[-1],
        description=field.description or "",
        limits=limits(field),
        default=None if field.is_required() else field.get_default(call_default_factory=False),
        required=field.is_required(),
        repeatable=repeatable,
        panel=path[0] if len(path) > 1 else "run",
        methods=methods,
    )


def cli_type(annotation: Any) -> tuple[Any, bool]:
    """What a field's annotation is on a command line: bool, int, float, a choice, or text that the spec parses."""
    if get_origin(annotation) in (Union, types.UnionType):
        inner = [part for part in get_args(annotation) if part is not type(None)]
        return cli_type(inner[0]) if len(inner) == 1 else (str, False)
    if get_origin(annotation) is Literal or annotation in (bool, int, float):
        return annotation, False
    return str, False


def limits(field: FieldInfo) -> str:
    """A field's range in words."""
    found = [
        words.format(show(float(value)) if float(value) < 1e6 else int(value))
        for limit in field.metadata
        for name, words in LIMITS.items()
        if (value := getattr(limit, name, None)) is not None
    ]
    return ", ".join(found)


def part_options(name: str) -> Iterator[SettingOption]:
    """The options of one part of the spec."""
    for field_name, field in PARTS[name].model_fields.items():
        yield option((name, field_name), field)


def method_options() -> Iterator[SettingOption]:
    """--method, then every method's settings, each once; which methods have it stands with it."""
    choices = Literal[tuple(METHODS)]  # type: ignore[valid-type]
    described = "; ".join(f"{name}: {first_sentence(method.__doc__ or '')}" for name, method in METHODS.items())
    yield SettingOption(
        ("method", "name"), ("--method",), choices, "Method", described, "", "logit", panel="method", methods=()
    )
    fields: dict[str, list[str]] = {}
    for name, method in METHODS.items():
        for field_name in method.model_fields:
            if field_name != "name":
                fields.setdefault(field_name, []).append(name)
    for field_name, methods in fields.items():
        yield option(("method", field_name), METHODS[methods[0]].model_fields[field_name], methods=tuple(methods))


def first_sentence(text: str) -> str:
    """A docstring's first sentence, on one line, without its full stop."""
    return " ".join(text.split()).split(". ")[0].split(" (")[0].rstrip(".")


def run_options(*names: str) -> Iterator[SettingOption]:
    """Options of the spec itself, by name: name, control, quantize."""
    for name in names:
        field = RunSpec.model_fields[name]
        if name == "quantize":
            from .spec import QuantizeSpec

            scheme = option((name,), QuantizeSpec.model_fields["scheme"])
            yield SettingOption(
                (name,), ("--quantize",), scheme.type, "Quantize", "Also make quantized versions, comma separated.",
                "", None, repeatable=True, panel="run",
            )  # fmt: skip
        else:
            yield option((name,), field)


def preset_option() -> SettingOption:
    """--preset; it stands for settings, and is none itself."""
    described = "; ".join(f"{each.name}: {first_sentence(each.about)}" for each in presets().values())
    beside = ", ".join(name for name, each in presets().items() if each.settings.get("control"))
    return SettingOption(
        ("preset",), ("--preset",), Literal[tuple(presets())], "Preset",
        f"Settings that go well together; what is given beside it counts. {described}. With a control "
        f"beside the student: {beside}.", "", None, panel="method",
    )  # fmt: skip


def distill_options() -> list[SettingOption]:
    """Every option of `distill`."""
    return [
        preset_option(),
        *part_options("teacher"), *part_options("student"), *part_options("data"), *part_options("task"),
        *method_options(), *part_options("training"), *run_options("name", "control", "quantize"),
    ]  # fmt: skip


def finetune_options() -> list[SettingOption]:
    """Every option of `finetune` beside the model: a run without a teacher (whose vocabulary a shape would need)."""
    layers = [each for each in part_options("student") if each.path[-1] == "layers"]
    return [
        *layers, *part_options("data"), *part_options("task"), *part_options("training"),
        *run_options("name", "quantize"),
    ]  # fmt: skip


def option_of(name: str, options: list[SettingOption], *others: str) -> SettingOption:
    """The option that a setting of the Python functions is named after; a switch has one name, off is False.

    Args:
        others: further names to suggest.

    Raises:
        InputError: there is none; the fix names what may have been meant.
    """
    names = {flag.split("/")[0].lstrip("-").replace("-", "_"): each for each in options for flag in each.flags}
    if name in names:
        return names[name]
    on, close = name.removeprefix("no_"), difflib.get_close_matches(name, [*names, *others], n=3)
    if on != name and on in names and names[on].type is bool:
        raise InputError(f"There is no setting {name!r}.", f"Write {on}=False.")
    raise InputError(
        f"There is no setting {name!r}.", f"Did you mean {' or '.join(close)}?" if close else "See --help."
    )


def to_data(options: list[SettingOption], values: dict[str, Any]) -> dict[str, Any]:
    """The nested data of a RunSpec from what was given; what was left out stays out.

    Raises:
        InputError: an option of one method was given with another; the message says which take it.
    """
    data: dict[str, Any] = {}
    given = {each: values.get(each.parameter) for each in options}
    wanted = values.get("preset")
    usual = preset(wanted).settings["method"]["name"] if wanted else "logit"
    method = next((value for each, value in given.items() if each.path == ("method", "name")), None) or usual
    for each, value in given.items():
        if value is None or (each.repeatable and not value) or each.path == ("preset",):
            continue
        if each.methods and method not in each.methods:
            raise InputError(
                f"{each.flags[0]} is no setting of the method {method}; it belongs to {' and '.join(each.methods)}.",
                f"Leave it out, or add --method {each.methods[0]}.",
            )
        if each.path == ("quantize",):
            value = [each if isinstance(each, dict) else {"scheme": each} for each in _parted(value)]
        place = data
        for key in each.path[:-1]:
            place = place.setdefault(key, {})
        place[each.path[-1]] = value
    if any(each.path[0] == "method" for each in options):
        data.setdefault("method", {})["name"] = method
    return apply_preset(wanted, data) if wanted else data


def _parted(values: list[Any]) -> list[Any]:
    """A list's entries; those that one text holds are parted by commas."""
    found: list[Any] = []
    for value in values:
        found += [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else [value]
    return found


def in_options(error: SpecError, options: list[SettingOption]) -> SpecError:
    """The same problems, each named by its option instead of its path in the spec."""
    flags = {each.field: each.flags[0].split("/")[0] for each in options}
    return SpecError(
        [
            Problem(flags.get(_ENTRY.sub("", problem.field), problem.field), problem.message, problem.fix)
            for problem in error.problems
        ]
    )
