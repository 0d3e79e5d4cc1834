"""Sentences with a tag a word: CoNLL columns, and lists of words and of tags in a table."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import IO

from ..errors import InputError
from .table import RawTable, TableBuilder

TAG = re.compile(r"O|[BIESLUM]-\S+")
_CUT = 20_000
_SPACE = " \t\r\n"
"""What parts words; a no-break space can be one."""
_REPEATS = 8
"""How often each tag comes on average, where its name does not tell that it is one."""
_UNIVERSAL_COLUMNS = 10
_UNIVERSAL_ID = re.compile(r"\d+([-.]\d+)?")
"""The number of a word, of several that are written as one (1-2), or of one that is not written (1.1)."""


def looks_like_conll(start: str) -> bool:
    """Whether the beginning of a file is words with tags such as B-person, a word a line, sentences apart."""
    lines = start[:_CUT].splitlines()[: -1 if len(start) > _CUT else None]
    rows = [fields for line in lines if (fields := _fields(line)) and not _is_remark(fields)]
    if len(rows) < 3 or len(rows) == len(lines):
        return False
    tagged = sum(len(row) > 1 and bool(TAG.fullmatch(row[-1])) for row in rows)
    few = _few_tags(rows, blank=len(start[:_CUT].strip().splitlines()) - len(rows)) or all(map(_is_universal, rows))
    return (tagged >= 0.98 * len(rows) or few) and all(len(row) == len(rows[0]) for row in rows[:50])


def _few_tags(rows: list[list[str]], *, blank: int) -> bool:
    """Whether rows are single words with tags of any names: few, each again and again.

    Args:
        blank: lines between them; where each word has its own, the rows are those of a table.
    """
    width, tags = len(rows[0]), {row[-1] for row in rows}
    words = width > 1 and all(len(row) == width and not any(" " in field for field in row) for row in rows)
    return words and 0 < blank <= len(rows) / 2 and 1 < len(tags) <= len(rows) / _REPEATS


def _is_universal(row: list[str]) -> bool:
    """Whether a line has the columns of CoNLL-U."""
    return len(row) == _UNIVERSAL_COLUMNS and _UNIVERSAL_ID.fullmatch(row[0]) is not None


def read_conll(path: Path, file: IO[str]) -> RawTable:
    """Columns of words (the first, or the second where the first numbers them) and tags (the last), a blank line
    between sentences. In CoNLL-U the tag is the universal part of speech (UPOS).

    Raises:
        InputError: a line without a tag; with its number.
    """
    builder, sentences = TableBuilder(["tokens", "tags"]), _sentences(path, file)
    first = list(_until_longer(sentences))
    universal = bool(first) and all(_is_universal(row) for rows in first for row in rows)
    numbered = universal or (bool(first) and len(first[-1]) > 1 and all(map(_is_numbered, first)))
    for rows in chain(first, sentences):
        kept = [row for row in rows if row[0].isdecimal()] if universal else rows
        words, tags = [row[numbered] for row in kept], [row[3 if universal else -1] for row in kept]
        builder.add([json.dumps(words, ensure_ascii=False), json.dumps(tags, ensure_ascii=False)])
    if not len(builder):
        raise InputError(f"{path} holds no sentences.", "Give a word and its tag a line, sentences apart.")
    where = "the word after its number" if numbered else "the word first"
    form = "CoNLL-U, the tag is the part of speech (UPOS)" if universal else f"CoNLL columns, {where}, the tag last"
    return RawTable(
        str(path), builder.finish(), findings=[f"format: {form}"],
        listed={"tokens", "tags"},
    )  # fmt: skip


def _until_longer(sentences: Iterator[list[list[str]]]) -> Iterator[list[list[str]]]:
    """The first sentences, to the first of several words."""
    for rows in sentences:
        yield rows
        if len(rows) > 1:
            return


def _is_numbered(rows: list[list[str]]) -> bool:
    """Whether a sentence's first column counts its words from 1, before words and tags."""
    return all(len(row) > 2 and row[0] == str(number) for number, row in enumerate(rows, 1))


def _sentences(path: Path, file: IO[str]) -> Iterator[list[list[str]]]:
    """The columns of each word, sentence by sentence."""
    rows: list[list[str]] = []
    columns, ends_empty = 0, False
    for number, line in enumerate(file, 1):
        fields = _fields(line)
        if fields and _is_remark(fields, begins=not rows, columns=columns):
            continue
        last_empty = "\t" in line and not line.rpartition("\t")[2].strip()
        ends_empty = ends_empty or (columns == 0 and last_empty)  # a tab after the last column, in every line
        if fields and (len(fields) < 2 or (last_empty and not ends_empty)):
            raise InputError(
                f"{path}, line {number}: {fields[0]!r} has no tag.",
                "Each line needs a word and its tag (O where there is none), apart by a tab or a space.",
            )
        width = line.count("\t") + 1 if "\t" in line else len(fields)  # a column between may be empty
        columns = columns or width
        if fields and (width < columns or (width > columns and "\t" not in line)):
            raise InputError(
                f"{path}, line {number}: {fields[0]!r} has {width} columns where the first line has {columns}.",
                "Give each word as many columns as the first; the last one is its tag (O where there is none).",
            )
        if fields:
            rows.append(fields)
        elif rows:
            yield rows
            rows = []
    if rows:
        yield rows


def _fields(line: str) -> list[str]:
    """The columns of a line; [] of a blank one."""
    line = line.strip(_SPACE)
    parts = line.split("\t") if "\t" in line else line.split(" ")
    return [field for part in parts if (field := part.strip(_SPACE))]


def _is_remark(fields: list[str], *, begins: bool = True, columns: int = 0) -> bool:
    """Whether a line is about the text: a number sign among the words of a sentence (`begins` not) is one of them.

    Args:
        columns: how many the lines before had; 0 at the beginning of a file.
    """
    if fields[0] in ("-DOCSTART-", "#id"):
        return True
    tagged = TAG.fullmatch(fields[-1]) is not None and columns in (0, len(fields))
    return fields[0].split(" ")[0] == "#" and len(fields) > 1 and begins and not tagged
