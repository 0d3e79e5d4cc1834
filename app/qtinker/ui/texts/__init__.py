"""The page's words, one JSON file a language; a translation is a file beside en.json."""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path
from typing import Any

from .messages import translate

_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*[a-z]")
LANGUAGES = {"en": "English", "zh": "中文"}


@functools.cache
def _read(language: str) -> dict[str, str]:
    tree = json.loads(Path(__file__).with_name(f"{language}.json").read_text(encoding="utf-8"))
    flat: dict[str, str] = {}

    def walk(node: dict[str, Any], prefix: str) -> None:
        for key, value in node.items():
            if isinstance(value, dict):
                walk(value, f"{prefix}{key}.")
            else:
                flat[f"{prefix}{key}"] = value

    walk(tree, "")
    return flat


@functools.cache
def _fields() -> dict[str, tuple[str, str]]:
    """The settings behind the options that are fields of the page: path and title."""
    from ...options import distill_options

    return {
        flag: (each.field, each.title)
        for each in distill_options() if not each.methods
        for flag in each.flags[0].split("/") if flag.startswith("--") and not flag.startswith("--no-")
    }  # fmt: skip


class Texts:
    """`t("runs.empty")` gives the words of one language; English stands in where a translation lacks a key."""

    def __init__(self, language: str = "en") -> None:
        if language not in LANGUAGES:
            raise KeyError(f"no texts in {language!r}: there are {', '.join(LANGUAGES)}")
        self.language = language

    def __call__(self, key: str, **values: Any) -> str:
        text = _read(self.language).get(key) or _read("en")[key]
        return text.format(**values) if values else text

    def get(self, key: str, default: str = "") -> str:
        """The words for `key`, or `default` where no language has it (field texts come from the spec)."""
        return _read(self.language).get(key) or _read("en").get(key) or default

    def said(self, words: object) -> str:
        """What the core says, in this language as far as its sentences are known there; options are named by their
        fields, but in commands."""
        text = translate(str(words or ""), self.language)
        plain, command, rest = text.partition("python3 app")
        return _OPTION.sub(self._field, plain) + command + rest

    def _field(self, option: re.Match[str]) -> str:
        known = _fields().get(option.group())
        return f"“{self.get(f'field.{known[0]}.title', known[1])}”" if known else option.group()

    @staticmethod
    def keys(language: str) -> set[str]:
        """Every key that a language's file has; a test compares them."""
        return set(_read(language))
