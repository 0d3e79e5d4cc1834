"""What the readers of all forms share: the usable rows of tables, and what came of reading them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ..errors import InputError
from .columns import Columns, find_columns
from .examples import Examples, TextColumn
from .spill import cells, trimmed
from .table import RawTable


@dataclass
class Wanted:
    """What the reading is for.

    Attributes:
        kind: the task type.
        labels: the label order of an existing model; None: the data's own.
        unlabelled: labels need not be there.
        auto: nobody asked for this type by name.
        preview: it is only looked at: a single class is told, as a trained teacher may know others, not refused.
        outputs: the names that nobody gave (LABEL_0, ...) to a trained teacher's outputs, for data without any label.
        texts_only: labels are not looked at, whatever stands there, and every row of a table counts: they are to be
            answered.
    """

    kind: str
    labels: Sequence[str] | None = None
    unlabelled: bool = False
    auto: bool = False
    preview: bool = False
    outputs: Sequence[str] = ()
    texts_only: bool = False


@dataclass
class Read:
    """Examples before they are split.

    Attributes:
        train, held: the examples, and those to evaluate on where there are any apart.
        names: the labels in their order; () where they have none.
        strata: int64 [N], the class by which training examples are split; -100 for those without a label.
        keys: int64 [N], equal for examples that must stay on one side.
    """

    train: Examples
    held: Examples | None
    names: tuple[str, ...]
    strata: np.ndarray
    keys: np.ndarray
    columns: Columns
    rows: int
    dropped: int = 0
    held_dropped: int = 0
    findings: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


@dataclass
class Part:
    """The usable rows of one table; `labels` are cells."""

    source: str
    texts: TextColumn
    pairs: TextColumn | None
    labels: list[str | None]
    rows: int
    dropped: int


def usable_rows(table: RawTable, columns: Columns, *, every: bool = False) -> Part:
    """Texts without surrounding space; rows without text are left out, unless every row is to be answered.

    Raises:
        InputError: no row has text.
    """
    import pyarrow.compute as pc

    from .several import flags_as_lists

    texts = trimmed(table.columns[columns.text])
    pairs = None if columns.pair is None else trimmed(table.columns[columns.pair])
    full = pc.not_equal(texts, "")
    if pairs is not None:
        full = pc.and_(full, pc.not_equal(pairs, ""))
    keep = np.asarray(full.to_numpy(), bool)
    if not keep.any():
        raise InputError(f"Every cell of {columns.text!r} in {table.source} is empty.", "Name the right --text-column.")
    labels: list[str | None] = [None] * table.rows
    if columns.flags:
        labels = flags_as_lists(table, columns.flags)
    elif columns.label is not None:
        labels = cells(table.columns[columns.label])
    places = None
    if not every and not keep.all():
        places = np.flatnonzero(keep)
        labels = [labels[place] for place in places]
    return Part(
        table.source,
        TextColumn(texts, places),
        None if pairs is None else TextColumn(pairs, places),
        labels,
        table.rows,
        table.rows - len(labels),
    )


def same_columns(table: RawTable, like: RawTable, columns: Columns, *, unlabelled: bool = False) -> Columns:
    """The columns of evaluation data that mean what `columns` means in training data: by name, else by place.

    Args:
        unlabelled: labels need not be there.

    Raises:
        InputError: a column is missing.
    """
    mine, theirs = list(table.columns), list(like.columns)
    folded = {name.lower(): name for name in mine}
    by_place = len(mine) == len(theirs) and not (table.header and like.header)

    def same(name: str | None) -> str | None:
        if name is None or name in table.columns:
            return name
        if by_place:
            return mine[theirs.index(name)]
        if name.lower() in folded:
            return folded[name.lower()]
        raise InputError(
            f"{table.source} has no column {name!r}, which the training data has.",
            f"Its columns are: {', '.join(map(repr, mine))}; call them as the training data does.",
        )

    text, pair = same(columns.text) or "", same(columns.pair)
    if columns.flags:
        return Columns(text, pair, columns.label, flags=[same(name) or "" for name in columns.flags])
    missing = columns.label is not None and columns.label.lower() not in folded and not by_place
    if missing and unlabelled and find_columns(table, text=text, pair=pair).label is None:
        return Columns(text, pair, None)
    label = same(columns.label)
    if label is None:  # unlabelled training text, labelled evaluation data
        label = find_columns(table, text=text, pair=pair).label
    return Columns(text, pair, label)


def no_label_column(source: str) -> InputError:
    """Nothing looks like a label: the three ways out."""
    return InputError(
        f"No column of {source} looks like a label.",
        "Name it with --label-column; unlabelled text needs a teacher that is trained already; --task masked-lm "
        "learns from the text alone.",
    )
