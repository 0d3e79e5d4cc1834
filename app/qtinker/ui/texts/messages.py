"""What the core says (errors, findings, steps), in other languages: whole sentences matched by templates.

The core speaks English and knows nothing of languages. `messages.<language>.json` maps its sentences, with {1}, {2} ...
where a value stands, to their translation; a sentence that no template matches stays as it is. A test holds every
template against the core's source, so that a changed sentence does not go untranslated unnoticed.
"""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path

_BLANK = re.compile(r"\{(\d+)\}")
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
    """The text sentence by sentence, each as long a piece as a template matches."""
    known = templates(language)
    if not known or not text:
        return text
    words, said = text, ""
    while words:
        ends = [len(words), *reversed([match.start() for match in _END.finditer(words)])]
        for end in ends:
            if (piece := _one(words[:end], known)) is not None:
                break
        else:
            end = ends[-1]
            piece = words[:end] + (" " if end < len(words) else "")
        said, words = said + piece, words[end:].lstrip(" ")
    return said


def _one(sentence: str, known: list[Template]) -> str | None:
    for pattern, literal, translated in known:
        if literal in sentence and (match := pattern.fullmatch(sentence)):
            return _BLANK.sub(lambda blank: match[f"b{blank[1]}"], translated)
    return None
