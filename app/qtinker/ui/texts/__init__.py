"""The page's words, one JSON file a language; a translation is a file beside en.json."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

from .messages import translate

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
        """What the core says, in this language as far as its sentences are known there."""
        return translate(str(words or ""), self.language)

    @staticmethod
    def keys(language: str) -> set[str]:
        """Every key that a language's file has; a test compares them."""
        return set(_read(language))
