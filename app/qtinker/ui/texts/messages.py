"""What the core says (errors, findings, steps) in the page's words: whole sentences matched by templates.

The core speaks English, of commands and options, and knows nothing of pages and languages. `messages.<language>.json`
maps its sentences, with {1}, {2} ... where a value stands, to the page's; a sentence that no template matches stays as
it is. English has a few: those that name a command where the page has a button. A test holds the templates against the
core's source, so that a changed sentence does not go untranslated unnoticed.
"""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path

_BLANK = re.compile(r"\{(\d+)\}")
_MORE = re.compile(r" and \d+ more$")  # after the first of a list, which is a value as a whole
_END = re.compile(r"(?<=[.!?:]) (?=\S)")
Template = tuple[re.Pattern[str], str, str]


@functools.cache
def templates(language: str) -> list[Template]:
    """(pattern, longest literal part, translation), the most particular first."""
    path = Path(__file__).with_name(f"messages.{language}.json")
    if not path.is_file():
        return []
    found = []
    for english, translated in json.loads(path.read_text(encoding="utf-8")).items():
        parts = _BLANK.split(english)
        literals, blanks = parts[::2], parts[1::2]
        pattern = re.escape(literals[0])
        for number, literal in zip(blanks, literals[1:], strict=True):
            pattern += f"(?P<b{number}>.+?)" + re.escape(literal)
        found.append((re.compile(pattern, re.DOTALL), max(literals, key=len), translated))
    return sorted(found, key=lambda each: -len(_BLANK.sub("", each[0].pattern)))


@functools.lru_cache(maxsize=512)
def translate(text: str, language: str) -> str:
    """The text piece by piece, each the fewest sentences that a template matches."""
    known = templates(language)
    if not known or not text:
        return text
    words, said = text, ""
    while words:
        ends = [*(match.start() for match in _END.finditer(words)), len(words)]
        for end in ends:
            if (piece := _one(words[:end], known)) is not None:
                break
        else:
            end = ends[0]
            piece = words[:end]
        if said and said[-1].isascii():
            said += " "
        said, words = said + piece, words[end:].lstrip(" ")
    return said


def _one(sentence: str, known: list[Template]) -> str | None:
    for pattern, literal, translated in known:
        if literal in sentence and (match := pattern.fullmatch(sentence)):
            return _BLANK.sub(lambda blank: _value(match[f"b{blank[1]}"], known), translated)
    return None


def _value(words: str, known: list[Template]) -> str:
    return _MORE.sub(lambda more: _one(more[0], known) or more[0], words)
