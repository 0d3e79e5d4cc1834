"""Reads what is no table of texts: words with tags, questions about contexts, running text."""

from __future__ import annotations

import json
import math
import re
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import numpy as np

from ..errors import InputError
from ..spec import DataSpec
from . import labels as label_names
from .columns import Columns, find_columns
from .conll import TAG
from .detect import has_spans, is_plain, word_columns
from .examples import NO_LABEL, Examples, Ragged, TextColumn, join_words, word_count
from .parts import Read, Wanted
from .spill import Spill
from .split import text_keys
from .squad import answer_of
from .table import RawTable

_PART = 8192
_UNDERSCORED = re.compile(r"[BIESLUM]_\S+")

# --- words -----------------------------------------------------------------------------------------------------------


def read_words(first: RawTable, held: RawTable | None, spec: DataSpec, wanted: Wanted) -> Read:
    """Sentences with a tag a word.

    Raises:
        InputError: the table holds no lists of words, or no tags, or tags that the model does not know.
    """
    train = _sentences(first, spec, tagged=not wanted.texts_only)
    other = None if held is None else _sentences(held, spec, tagged=not wanted.texts_only)
    if wanted.labels is not None:
        names = tuple(wanted.labels)
    else:
        present = label_names.order([*train.tags, *(other.tags if other else ())])
        if not present and not wanted.unlabelled:
            raise InputError(f"{first.source} has no tags.", "Name the column with --label-column.")
        names = _tag_order(present) if present else tuple(wanted.outputs)
    examples = _tagged(train, names, first.source)
    other_examples = None if other is None else _tagged(other, names, held.source if held else "")
    words = int(examples.labels.offsets[-1])
    kinds = sorted({_kind(name) for name in names if name != "O"})
    findings = [
        f"{words:,} words, {words / max(len(examples), 1):.1f} a sentence",
        f"{len(names)} tags of {len(kinds)} types: {', '.join(kinds[:12])}{', ...' if len(kinds) > 12 else ''}",
    ]
    warnings = [] if wanted.labels is not None else _odd_tags(names, first.source, alone=wanted)
    return Read(
        examples, other_examples, names, _rarest_tag(examples, names), text_keys(examples.texts, None), train.columns,
        first.rows, train.dropped, 0 if other is None else other.dropped,
        findings=[*train.columns.findings, *findings], warnings=warnings,
    )  # fmt: skip


def _odd_tags(names: tuple[str, ...], source: str, *, alone: Wanted) -> list[str]:
    """What is odd about tags, in words.

    Raises:
        InputError: there is one alone, and no teacher or preview that could do with it.
    """
    if len(names) == 1 and not alone.unlabelled and not alone.preview:
        raise InputError(
            f"All tags of {source} are {names[0]!r}: there is nothing to tell apart.", "Give at least two tags."
        )
    if names and all(name.isdecimal() for name in names):
        return [
            f"The tags of {source} are numbers, and nothing says which of them means none: each counts as an entity. "
            "Write names, O for none."
        ]
    if "B" in {name[0] for name in names} and all(name == "O" or _UNDERSCORED.fullmatch(name) for name in names):
        return [
            f"The tags of {source} have an underscore after B and I, such as {names[-1]!r}, so each counts as an "
            "entity of its own kind. Write B-X and I-X."
        ]
    return []


@dataclass
class _Sentences:
    """Words joined; `codes` are places among `tags` (NO_LABEL where a word has none); `dropped` rows were empty."""

    texts: TextColumn
    codes: Ragged
    tags: list[str]
    columns: Columns
    dropped: int


def _sentences(table: RawTable, spec: DataSpec, *, tagged: bool) -> _Sentences:
    found = word_columns(table, spec)
    if found is None:
        raise InputError(
            f"{table.source} has no sentences with a tag for each word.",
            "Give CoNLL columns (a word and its tag a line), or JSONL with lists of tokens and tags; for a label a "
            "text use --task classification.",
        )
    import pyarrow as pa

    word_column, tag_column = found if tagged else (found[0], None)
    if spec.label_column and tag_column is None:
        there = spec.label_column in table.columns
        raise InputError(
            f"The column {spec.label_column!r} of {table.source} holds no lists of tags." if there else
            f"There is no column {spec.label_column!r} in {table.source}.",
            'Write a list of tags such as ["O", "B-person"].' if there else
            f"Its columns are: {', '.join(map(repr, table.columns))}.",
        )  # fmt: skip
    texts, part = Spill(), list[str]()
    codes, ends, known = array("i"), array("q", [0]), dict[str, int]()
    tag_cells = _cells(table, tag_column) if tag_column else repeat(None, table.rows)
    for number, (cell, tag_cell) in enumerate(zip(_cells(table, word_column), tag_cells, strict=True), 1):
        where = f"{table.source}, sentence {number}"
        words = list_of(cell, where)
        if not words and tagged:
            continue
        if not all(isinstance(word, str | int | float) for word in words):
            raise InputError(f"{where} holds a word that is none (null or a list).", "Give each word as text.")
        words = [str(word) for word in words]
        row = [_tag(tag, where) for tag in list_of(tag_cell, where)]
        if tag_cell is not None and len(row) != len(words):
            raise InputError(
                f"{where} has {len(words)} words and {len(row)} tags.", "Give each word one tag, O where there is none."
            )
        part.append(join_words(words))
        codes.extend(
            NO_LABEL if tag is None else known.setdefault(tag, len(known)) for tag in row or [None] * len(words)
        )
        ends.append(len(codes))
        if len(part) == _PART:
            texts.add(pa.array(part, pa.large_string()))
            part = []
    texts.add(pa.array(part, pa.large_string()))
    if len(ends) == 1:
        raise InputError(f"{table.source} holds no sentences.", "Give sentences with at least one word.")
    columns = Columns(
        word_column, None, tag_column, available=tuple(table.columns),
        findings=[f"words: column {word_column!r}"] + [f"tags: column {tag_column!r}"] * bool(tag_column),
    )  # fmt: skip
    return _Sentences(
        TextColumn(texts.finish()), Ragged(np.asarray(codes, np.int32), np.asarray(ends, np.int64)), list(known),
        columns, table.rows - len(ends) + 1,
    )  # fmt: skip


def _cells(table: RawTable, column: str) -> Iterator[str | None]:
    """A column's cells, part by part."""
    for chunk in table.columns[column].chunks:
        for start in range(0, len(chunk), _PART):
            yield from chunk[start : start + _PART].to_pylist()


def _tag(tag: Any, where: str) -> str | None:
    """A tag as text, 1.0 as 1; None where it is missing.

    Raises:
        InputError: it is empty.
    """
    if tag is None or (isinstance(tag, float) and math.isnan(tag)):
        return None
    text = label_names.number_name(str(tag)) if isinstance(tag, float) else str(tag).strip()
    if not text:
        raise InputError(f"{where} has an empty tag.", "Give each word one tag, O where there is none.")
    return None if text == str(NO_LABEL) else text


def list_of(cell: str | None, where: str) -> list[Any]:
    if cell is None or not cell.strip():
        return []
    try:
        content = json.loads(cell)
    except ValueError:
        content = None
    if not isinstance(content, list):
        raise InputError(f"{where}: expected a list, found {cell[:40]!r}.", 'Write ["a", "b"].')
    return content


def _tagged(sentences: _Sentences, names: tuple[str, ...], source: str) -> Examples:
    index = {name: number for number, name in enumerate(names)}
    if unknown := sorted(tag for tag in sentences.tags if tag not in index):
        raise InputError(
            f"{source} has tags that the model does not know: {', '.join(map(repr, unknown[:8]))}.",
            f"The model's tags are: {', '.join(map(repr, names[:12]))}{', ...' if len(names) > 12 else ''}; rename "
            "them in the data, or train a teacher on this data.",
        )
    numbers = np.asarray([*(index[tag] for tag in sentences.tags), NO_LABEL], np.int32)
    codes = sentences.codes
    return Examples(sentences.texts, None, Ragged(numbers[np.maximum(codes.values, -1)], codes.offsets), "words")


def _tag_order(names: Sequence[str]) -> tuple[str, ...]:
    """O first, then by type, B- before I-."""
    return tuple(sorted(names, key=lambda name: (name != "O", _kind(name), name)))


def _kind(tag: str) -> str:
    """The type of a tag: PER of B-PER, creative-work of a tag without a prefix."""
    return tag[2:] if TAG.fullmatch(tag) and tag != "O" else tag


def _rarest_tag(examples: Examples, names: tuple[str, ...]) -> np.ndarray:
    """The class to split sentences by: the rarest tag in each."""
    values, offsets = examples.labels.values, examples.labels.offsets
    counts = np.bincount(values[values != NO_LABEL], minlength=max(len(names), 1))
    out = np.full(len(examples), NO_LABEL, np.int64)
    for number in range(len(examples)):
        row = values[offsets[number] : offsets[number + 1]]
        row = row[row != NO_LABEL]
        if len(row):
            out[number] = row[counts[row].argmin()]
    return out


# --- questions -------------------------------------------------------------------------------------------------------


def read_spans(first: RawTable, held: RawTable | None, spec: DataSpec, wanted: Wanted) -> Read:
    """Questions about contexts, with answers that stand in them. All questions about a context stay on one side.

    Raises:
        InputError: the table holds none, or an answer is not where it says.
    """
    train, columns, dropped = _questions(first, spec, answered=not wanted.texts_only)
    other = None if held is None else _questions(held, spec, answered=not wanted.texts_only)
    if not wanted.unlabelled and not train.labelled.any():
        raise InputError(f"{first.source} has no answers.", "Give answers, or use a trained teacher.")
    assert train.pairs is not None
    keys = text_keys(train.pairs, None)
    empty = int((train.labels[train.labelled] == 0).all(axis=1).sum()) if train.labelled.any() else 0
    findings = [f"{len(set(keys.tolist())):,} contexts"]
    if empty:
        findings.append(f"{empty:,} of {len(train):,} questions have no answer in their context")
    strata = np.where(train.labelled, 0, NO_LABEL).astype(np.int64)
    return Read(
        train, None if other is None else other[0], (), strata, keys, columns, first.rows, dropped,
        0 if other is None else other[2], findings=[*columns.findings, *findings],
    )  # fmt: skip


def _questions(table: RawTable, spec: DataSpec, *, answered: bool) -> tuple[Examples, Columns, int]:
    if not has_spans(table):
        raise InputError(
            f"{table.source} has no questions with contexts and answers.",
            "Give a file in SQuAD's form, or a table with the columns question, context and answers; for a label a "
            "text use --task classification.",
        )
    lower = {name.lower(): name for name in table.columns}
    columns = Columns(
        lower["question"], lower["context"], lower.get("answers"), available=tuple(table.columns),
        findings=["question, context and answers by name"],
    )  # fmt: skip
    cells = [table.values(lower[name]) if name in lower and (answered or name != "answers") else [None] * table.rows
             for name in ("question", "context", "answers")]  # fmt: skip
    questions, contexts, spans, answers, beside = [], [], [], [], 0
    for number, (question, context, cell) in enumerate(zip(*cells, strict=True), 1):
        question, context = question or "", context or ""
        if answered and not (question.strip() and context.strip()):
            continue
        span, rights, moved = answer_of(cell, context, f"{table.source}, question {number}")
        beside += moved
        questions.append(question.strip())
        contexts.append(context)
        spans.append((NO_LABEL, NO_LABEL) if span is None else span)
        answers.append(rights)
    if not questions:
        raise InputError(f"{table.source} holds no questions.", "Give a file in SQuAD's form.")
    if beside:
        columns.warnings.append(
            f"{beside:,} answers of {table.source} do not stand where answer_start says: the nearest place was taken."
        )
    examples = Examples(
        questions, contexts, np.asarray(spans, np.int64), "spans", answers, spec.stride or 0
    )  # fmt: skip
    return examples, columns, table.rows - len(questions)


# --- running text ----------------------------------------------------------------------------------------------------


def read_blocks(first: RawTable, held: RawTable | None, spec: DataSpec, wanted: Wanted) -> Read:
    """Running text: a paragraph of plain text, or a row of a table, is an example; a pair gives two."""
    texts, columns, dropped = paragraphs(first, spec)
    other = None if held is None else paragraphs(held, spec)
    train = Examples(texts, form="blocks")
    unit = "paragraphs" if is_plain(first) else "texts"
    findings = [f"{len(texts):,} {unit}, {sum(map(word_count, texts)):,} words"]
    return Read(
        train, None if other is None else Examples(other[0], form="blocks"), (), np.zeros(len(train), np.int64),
        text_keys(train.texts, None), columns, first.rows, dropped, 0 if other is None else other[2],
        findings=[*columns.findings, *findings],
    )  # fmt: skip


def paragraphs(table: RawTable, spec: DataSpec) -> tuple[list[str], Columns, int]:
    """The texts of a table as running text, its columns, and how many rows were empty."""
    if is_plain(table):
        lines = [(line or "").strip() for line in table.values("text")]
        texts = []
        if all(lines[:1000]):  # no blank lines: a text a line
            texts = [line for line in lines if line]
        else:
            paragraph: list[str] = []
            for line in [*lines, ""]:
                if line:
                    paragraph.append(line)
                elif paragraph:
                    texts.append(" ".join(paragraph))
                    paragraph = []
        return _some_text(texts, table.source), Columns("text", None, None, available=("text",)), 0
    columns = find_columns(
        table, text=spec.text_column, pair=spec.text_pair_column, label=spec.label_column, label_needed=False
    )
    columns.available, columns.label = tuple(table.columns), None
    columns.findings = [line for line in columns.findings if not line.startswith("label:")]
    found = [table.values(name) for name in (columns.text, columns.pair) if name]
    texts = [(cell or "").strip() for row in zip(*found, strict=True) for cell in row]
    kept = [text for text in texts if text]
    return _some_text(kept, table.source), columns, (len(texts) - len(kept)) // len(found)


def _some_text(texts: list[str], source: str) -> list[str]:
    if not texts:
        raise InputError(f"{source} holds no text.", "Give a file with text.")
    return texts
