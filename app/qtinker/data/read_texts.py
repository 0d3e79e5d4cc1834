"""Reads tables of texts with one label, several, or a number."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import InputError
from ..spec import DataSpec
from . import labels as label_names
from . import scores, several
from .columns import Columns
from .conll import TAG
from .detect import is_plain, texts_columns, word_columns
from .examples import Examples
from .parts import Part, Read, Wanted, no_label_column, same_columns, usable_rows
from .split import text_keys
from .table import RawTable


def read_texts(first: RawTable, held: RawTable | None, spec: DataSpec, wanted: Wanted) -> Read:
    """Texts, or pairs of texts, with the labels that the task asks for.

    Raises:
        InputError: the table has no such labels; the message names the task that would suit.
    """
    _refuse_words(first, spec, wanted)
    columns = texts_columns(
        first, spec, task="auto" if wanted.auto and wanted.kind == "classification" else wanted.kind,
        labels=wanted.labels or (),
    )  # fmt: skip
    columns.available = tuple(first.columns)
    if wanted.texts_only:
        columns.label, columns.flags = None, []
    train = usable_rows(first, columns, every=wanted.texts_only and not is_plain(first))
    other = (
        None if held is None else usable_rows(held, same_columns(held, first, columns, unlabelled=wanted.unlabelled))
    )
    if columns.label is None and wanted.labels is None and (wanted.preview or not wanted.unlabelled):
        words = _words_for_numbers(first, spec) if wanted.kind == "regression" else None
        other_labels = words or several.marked_spans(first)
        if not wanted.unlabelled:
            raise other_labels or no_label_column(first.source)
        if other_labels is not None:
            columns.warnings.append(other_labels.message)
    read = {"classification": _classes, "multi-label": _several, "regression": _scores}[wanted.kind](
        train, other, columns, wanted
    )
    read.keys = text_keys(train.texts, train.pairs)
    read.dropped, read.held_dropped = train.dropped, other.dropped if other else 0
    return read


def _words_for_numbers(table: RawTable, spec: DataSpec) -> InputError | None:
    """What looks like the label holds words, and the task is regression."""
    column = texts_columns(table, spec, task="classification").label
    if column is None:
        return None
    example = next((cell for cell in table.head(column, 100) if cell), "")
    return InputError(
        f"--task regression learns numbers, and {column!r} of {table.source} holds words, such as {example!r}.",
        "Leave --task out, or name a column of numbers with --label-column.",
    )


def _refuse_words(table: RawTable, spec: DataSpec, wanted: Wanted) -> None:
    found = word_columns(table, spec, asked=False)
    if found is None or wanted.kind == "multi-label":
        return
    raise InputError(
        f"{table.source} holds sentences word by word ({found[0]!r}), and the task {wanted.kind} takes whole texts.",
        "Use --task token-classification, or other data.",
    )


def _classes(train: Part, held: Part | None, columns: Columns, wanted: Wanted) -> Read:
    for part in filter(None, (train, held)):
        if any(several.is_list(cell) for cell in part.labels if cell):
            if (lone := several.lone_labels(part.labels, part.source)) is None:
                raise InputError(
                    f"The labels of {part.source} are lists: several an example.",
                    "Use --task multi-label, or other labels.",
                )
            part.labels = lone
    both = [*train.labels, *(held.labels if held else ())]
    values = label_names.canonical(train.labels, held.labels if held else (), known=wanted.labels or ())
    in_training = values[: len(train.labels)]
    warnings: list[str] = []
    if wanted.labels is not None:
        names = tuple(wanted.labels)
    elif wanted.unlabelled and not any(value is not None for value in values):
        names = tuple(wanted.outputs)
    else:
        label_names.label_set(in_training, train.source, lone=wanted.preview)  # training alone must hold two classes
        found = label_names.label_set(values, train.source, lone=wanted.preview)
        warnings, names = found.warnings, found.names
    if names and all(TAG.fullmatch(name) for name in names) and "O" in names:
        warnings.append("The labels look like tags of words: for a tag a word use CoNLL columns.")
    labels, findings = label_names.aligned(in_training, names, train.source)
    findings += [*label_names.missing_words(both), *label_names.perhaps_missing(() if wanted.labels else names)]
    examples = Examples(train.texts, train.pairs, labels)
    other = None
    if held is not None:
        other_labels, _ = label_names.aligned(values[len(train.labels) :], names, held.source)
        other = Examples(held.texts, held.pairs, other_labels)
    if names:
        findings.append(f"{len(names)} classes: {', '.join(names[:12])}{', ...' if len(names) > 12 else ''}")
    return Read(examples, other, names, labels, _none, columns, train.rows, findings=findings, warnings=warnings)


def _several(train: Part, held: Part | None, columns: Columns, wanted: Wanted) -> Read:
    delimiter = None if columns.flags else several.find_delimiter(train.labels)
    if delimiter is None and not columns.flags and wanted.labels:
        delimiter = several.known_delimiter(train.labels, wanted.labels)
    cells = [several.label_cells(part.labels, part.source, delimiter) for part in (train, held) if part]
    places = several.hot_places([row for part in cells for row in part])
    lists, *rest = (several.label_lists(part, places, wanted.labels or ()) for part in cells)
    other_lists = rest[0] if rest else []
    warnings: list[str] = []
    known: Sequence[str]
    if wanted.labels is not None:
        known = wanted.labels
    elif columns.flags:
        known = columns.flags
    elif wanted.unlabelled and not any(each is not None for each in [*lists, *other_lists]):
        known = tuple(wanted.outputs)
    else:
        several.label_names(lists, train.source)
        known = several.label_names([*lists, *other_lists], train.source)
    given = [each for each in lists if each is not None]
    if known and given and all(len(each) == 1 for each in given) and not columns.flags:
        warnings.append(
            f"Each example of {train.source} has exactly one label: for one of several classes use --task "
            "classification."
        )
    labels = several.matrix(lists, known, train.source)
    listed = several.holds_lists(train.labels)  # their own commas are no delimiter
    findings = [f"labels separated by {several.delimiter_words(delimiter)}"] if delimiter and not listed else []
    findings.append(f"{len(known)} labels: {', '.join(list(known)[:12])}{', ...' if len(known) > 12 else ''}")
    counts = [len(each) for each in lists if each is not None]
    if counts:
        findings.append(f"{np.mean(counts):.2f} labels an example")
    other = None if held is None else Examples(
        held.texts, held.pairs, several.matrix(other_lists, known, held.source)
    )  # fmt: skip
    strata = several.rarest(labels) if len(known) else np.full(len(labels), label_names.NO_LABEL, np.int64)
    return Read(
        Examples(train.texts, train.pairs, labels), other, tuple(known), strata, _none, columns, train.rows,
        findings=findings, warnings=warnings,
    )  # fmt: skip


def _scores(train: Part, held: Part | None, columns: Columns, wanted: Wanted) -> Read:
    labels = scores.scores(train.labels, train.source)
    if not wanted.unlabelled:
        scores.check_scores(labels, train.source)
    other = None if held is None else Examples(held.texts, held.pairs, scores.scores(held.labels, held.source))
    known = labels[~np.isnan(labels)]
    findings = [f"numbers from {known.min():g} to {known.max():g}, mean {known.mean():.3g}"] if len(known) else []
    return Read(
        Examples(train.texts, train.pairs, labels), other, (), scores.bins(labels), _none, columns, train.rows,
        findings=findings,
    )  # fmt: skip


_none = np.zeros(0, np.int64)
