"""Texts without labels beside the labelled ones: files of their own, from which a student learns by the teacher alone.

They never reach the evaluation data: a text that stands there too is left out, as is one that the training data has.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import InputError
from ..kinds import KINDS
from ..spec import DataSpec
from .columns import Columns, find_columns
from .detect import has_spans, is_plain, word_columns
from .examples import NO_LABEL, Examples, TextColumn, join_words, joined
from .parts import usable_rows
from .read_forms import list_of, paragraphs
from .split import text_hashes
from .table import RawTable


def unlabelled_examples(
    tables: Sequence[RawTable], spec: DataSpec, *, kind: str, columns: Columns, train: Examples, held: Examples
) -> tuple[Examples, list[str]]:
    """The examples of files without labels, in the form of the training data; and words about what was found.

    Labels that the files hold all the same are not read.

    Args:
        columns: of the training data; columns of the same names are taken.
        train, held: whose texts are left out.

    Raises:
        InputError: a file has no such texts: pairs where the training data has single texts, or the other way round.
    """
    read = {"texts": _texts, "words": _words, "spans": _spans, "blocks": _blocks}[KINDS[kind].form]
    found: list[str] = []
    parts = []
    known = np.concatenate([_hashes(train), _hashes(held)])
    for table in tables:
        part = read(table, spec, columns, train)
        hashes = _hashes(part)
        _, first = np.unique(hashes, return_index=True)
        fresh = np.zeros(len(part), bool)
        fresh[first] = True
        fresh &= ~np.isin(hashes, known)
        words = f"unlabelled: {int(fresh.sum()):,} texts of {table.source}"
        if not fresh.all():
            words += f" ({int((~fresh).sum()):,} stand elsewhere in the data and were left out)"
            part = part.select(np.flatnonzero(fresh))
        found.append(words)
        parts.append(part)
        known = np.concatenate([known, hashes])
    return joined(parts), found


def without_labels(
    texts: Sequence[str] | TextColumn, pairs: Sequence[str] | TextColumn | None, like: Examples
) -> Examples:
    """Examples of the same kind as others, none of them labelled."""
    count = len(texts)
    if like.form == "words":
        return Examples(texts, None, None, "words")
    if like.form == "spans":
        return Examples(texts, pairs, None, "spans", [[""] for _ in range(count)], like.stride)
    if like.form == "blocks":
        return Examples(texts, form="blocks")
    if like.labels.dtype.kind == "f":
        return Examples(texts, pairs, np.full((count, *like.labels.shape[1:]), np.nan, np.float32))
    return Examples(texts, pairs, np.full(count, NO_LABEL, np.int64))


def _hashes(examples: Examples) -> np.ndarray:
    return text_hashes(examples.texts, examples.pairs)


def _texts(table: RawTable, spec: DataSpec, columns: Columns, train: Examples) -> Examples:
    """A text or a pair a row; of plain text, a text a line."""
    pair = train.pairs is not None
    named = table.header or is_plain(table)  # "column 1" of two tables without a header need not mean the same
    if named and columns.text in table.columns and (not pair or columns.pair in table.columns):
        chosen = Columns(columns.text, columns.pair if pair else None, None)
    else:
        chosen = find_columns(table, label_needed=False)
        chosen.label = None
        if not pair and chosen.pair is not None:
            raise InputError(
                f"{table.source} has pairs of texts, and the training data has one text an example.",
                f"Call the column with the texts {columns.text!r}, as in the training data.",
            )
    if pair and chosen.pair is None:
        raise InputError(
            f"{table.source} has one text a row, and the training data has pairs.",
            f"Give unlabelled pairs, in the columns {columns.text!r} and {columns.pair!r}.",
        )
    part = usable_rows(table, chosen)
    return without_labels(part.texts, part.pairs, train)


def _words(table: RawTable, spec: DataSpec, columns: Columns, train: Examples) -> Examples:
    """Sentences word by word; of plain text, a sentence a line, whose words are parted by spaces."""
    found = word_columns(table, spec)
    if found is not None:
        cells = [
            list_of(cell, f"{table.source}, sentence {number}") for number, cell in enumerate(table.values(found[0]), 1)
        ]
        texts = [join_words([str(word) for word in cell]) for cell in cells if cell]
    else:
        lines = [line.strip() for line in _plain(table, spec)]
        texts = [join_words(line.split()) for line in lines if line]
    if not texts:
        raise InputError(f"{table.source} holds no sentences.", "Give sentences with at least one word.")
    return without_labels(texts, None, train)


def _plain(table: RawTable, spec: DataSpec) -> list[str]:
    name = "text" if is_plain(table) else find_columns(table, text=None, label_needed=False).text
    return [cell or "" for cell in table.values(name)]


def _spans(table: RawTable, spec: DataSpec, columns: Columns, train: Examples) -> Examples:
    """Questions about contexts; where their answers stand is not read."""
    if not has_spans(table):
        raise InputError(
            f"{table.source} has no questions with contexts.",
            "Give a file in SQuAD's form, or a table with the columns question and context.",
        )
    lower = {name.lower(): name for name in table.columns}
    rows = zip(table.values(lower["question"]), table.values(lower["context"]), strict=True)
    kept = [(ask.strip(), context) for ask, context in rows if ask and context and ask.strip() and context.strip()]
    return without_labels([ask for ask, _ in kept], [context for _, context in kept], train)


def _blocks(table: RawTable, spec: DataSpec, columns: Columns, train: Examples) -> Examples:
    """More running text."""
    return without_labels(paragraphs(table, spec)[0], None, train)
