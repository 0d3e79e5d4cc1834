"""How a setting is declared: the words beside the default, the base of the parts of a spec, and of a whole one."""

from __future__ import annotations

import codecs
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any, ClassVar, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from .errors import InputError, Problem, SpecError
from .given import in_a_file, kind_of
from .home import expanded


def setting(default: Any = ..., title: str = "", help: str = "", **more: Any) -> Any:
    """A field with its words; keyword arguments beyond pydantic's own go to `json_schema_extra`."""
    extra: dict[str, Any] = {key: more.pop(key) for key in ("option", "level", "short", "suggestions") if key in more}
    return Field(default, title=title, description=help, json_schema_extra=extra or None, **more)


def _text(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_text(each) for each in value]
    return str(value) if isinstance(value, Path) else value


class _Loader(yaml.SafeLoader):
    """YAML in which a key stands once: of two the first would be lost without a word."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        if twice := [key for key, _ in node.value if keys.count(key.value) > 1]:
            mark = twice[-1].start_mark
            raise yaml.MarkedYAMLError(problem=f"{twice[-1].value!r} stands there twice", problem_mark=mark)
        return super().construct_mapping(node, deep)


class Part(BaseModel):
    """A part of the spec: unknown keys are refused, assignments are checked."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _paths_are_text(cls, value: Any) -> Any:
        """Paths count as the text that they are, alone or in a list."""
        return {key: _text(each) for key, each in value.items()} if isinstance(value, dict) else value


class Whole(Part):
    """A whole spec: read from plain data or from a YAML file, with every problem told at once.

    Attributes:
        unions: fields that are one of several classes, and the names of those classes, which pydantic puts into the
            path of a problem and users never wrote.
    """

    unions: ClassVar[dict[str, Collection[str]]] = {}

    @classmethod
    def parse(cls, data: Any) -> Self:
        """Build a spec from plain data.

        Raises:
            SpecError: with every problem at once, each with its field, what is wrong and the fix.
        """
        if not isinstance(data, dict):
            raise SpecError([Problem("spec", f"expected a mapping of settings, found {type(data).__name__}.",
                                     "Give what --print-spec prints.")])  # fmt: skip
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            raise SpecError([cls._problem(detail) for detail in error.errors()]) from None

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a spec from YAML, in UTF-8 or, as PowerShell on Windows writes `> FILE`, in UTF-16 with its mark.

        Raises:
            InputError: the file can't be read or is no YAML.
            SpecError: the content has problems.
        """
        path = expanded(path)
        try:
            content = path.read_bytes()
            utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
            data = yaml.load(content.decode("utf-16" if utf16 else "utf-8-sig"), _Loader)  # noqa: S506 - safe
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"Can't read {path}: {getattr(error, 'strerror', None) or error}.") from None
        except yaml.YAMLError as error:
            raise InputError(f"{path} is not valid YAML: {' '.join(str(error).split())}.") from None
        if isinstance(data, dict) and data.get("kind") in ("compare", "compress") and "kind" not in cls.model_fields:
            raise InputError(f"{path} is a spec for {data['kind']}.", f"Run: python3 app {data['kind']} --spec {path}")
        if isinstance(data, dict) and "student" in data and "student" not in cls.model_fields:
            raise InputError(f"{path} is a spec for one run.", f"Run: python3 app run {path}")
        return cls.parse(data)

    @classmethod
    def _problem(cls, detail: Any) -> Problem:
        """One pydantic error in our words."""
        path = [str(part) for part in detail["loc"]]
        if len(path) > 1 and path[1] in cls.unions.get(path[0], ()):
            del path[1]
        field, kind, given, fix = ".".join(path) or "spec", detail["type"], detail.get("input"), ""
        if kind == "extra_forbidden":
            return Problem(field, "there is no such setting.", "Remove it, or see docs/settings.md for the right name.")
        if kind == "missing":
            return Problem(field, "is missing.", f"Give {field}.")
        if field in cls.unions and kind.startswith(("union_tag", "model_attributes")):
            names = ", ".join(cls.unions[field])
            return Problem(
                field, f"it needs a name, one of: {names}.", f"Write it as {field}: {{name: {names.split(',')[0]}}}."
            )
        if kind == "model_type":
            return Problem(
                field, f"expected settings with their values, found {kind_of(given)}.", "See what --print-spec prints."
            )
        if kind == "string_pattern_mismatch" and path[-1] == "name":
            return Problem(
                field, f"{given!r} is no name for a model.",
                "A name has letters, digits, dots, hyphens and underscores, and begins with a letter or a digit.",
            )  # fmt: skip
        if kind == "string_type":
            return Problem(
                field, f"expected text, found {kind_of(given)}.", in_a_file(given) if path[0] == "data" else ""
            )  # fmt: skip
        if kind == "string_pattern_mismatch":
            return Problem(field, f"{given!r} is none of its values.", "docs/settings.md lists them.")
        if kind in ("int_parsing", "float_parsing") and "," in str(given):
            fix = "Write it as 0.5 or 1000."
        shown = "" if isinstance(given, (dict, list, BaseModel)) or given is None else f" (given: {given!r})"
        return Problem(field, f"{_in_our_words(detail['msg'])}{shown}.", fix)


def _in_our_words(message: str) -> str:
    """What pydantic says of a value, without speaking of inputs and of how it parses them."""
    message = re.sub(r"^\w+ should", "must", re.sub("^Value error, |, (unable|got) .*", "", message))
    return message.replace("a valid integer", "a whole number").replace("a valid ", "a ")
