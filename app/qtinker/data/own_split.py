"""A column that says of each row whether it is for training or for evaluation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from .names import LABEL_NAMES
from .table import RawTable

_TRAIN = ("train", "training")
_EVAL = ("validation", "valid", "val", "dev", "development", "eval", "evaluation",
         "publictest", "test", "testing", "privatetest")  # fmt: skip
"""The first that is there is evaluated on."""
_NAMES = {*_TRAIN, *_EVAL, "unsup", "unsupervised", "unlabelled", "unlabeled", "holdout", ""}
_FLAGS = {"is_valid": "validation", "is_val": "validation", "is_test": "test", "is_train": "train"}
_YES, _NO = {"1", "1.0", "true"}, {"0", "0.0", "false"}
_SAMPLE = 2000


def own_split(table: RawTable, given: Sequence[str | None]) -> tuple[RawTable, RawTable | None, str | None]:
    """Training rows, evaluation rows and the latter's name, where a column parts them; else the table as it is.

    Args:
        given: columns that the user named, texts (two) and labels, which are left alone.
    """
    table = _named(table, given)
    column = next((name for name in table.columns if _parts(table, name, given)), None)
    if column is None:
        return table, None, None
    cells = [_plain(cell) for cell in table.values(column)]
    counts = Counter(cells)
    held = next(name for name in _EVAL if name in counts)
    rest = [f"{count:,} {name or 'of none'}" for name, count in counts.items() if name not in (*_TRAIN, held)]
    words = f"rows are parted by column {column!r}" + f" ({', '.join(rest)} left out)" * bool(rest)
    train, other = (_rows(table, column, cells, names) for names in (_TRAIN, (held,)))
    return replace(train, findings=[*table.findings, words]), other, held


def _named(table: RawTable, given: Sequence[str | None]) -> RawTable:
    """The table with names of parts in a column such as `is_valid`, as fastai writes it beside a label; without one
    it may be the label itself."""
    import pyarrow as pa

    named = {each.lower() for each in given if each}
    column = next((name for name in table.columns if name.lower() in _FLAGS.keys() - named), None)
    label_names = {*LABEL_NAMES, *(each.lower() for each in given[2:] if each)}
    labelled = any(name.lower() in label_names for name in table.columns if name != column)
    if column is None or not labelled or {*map(_plain, table.columns[column].unique().to_pylist())} - _YES - _NO:
        return table
    part = _FLAGS[column.lower()]
    other = "test" if part == "train" else "train"
    cells = [part if _plain(cell) in _YES else other for cell in table.values(column)]
    return replace(table, columns={**table.columns, column: pa.chunked_array([pa.array(cells, pa.large_string())])})


def is_part(name: str) -> bool:
    """Whether a name is that of a part of a data set."""
    return _plain(name) in _NAMES - {""}


def _parts(table: RawTable, name: str, given: Sequence[str | None]) -> bool:
    """Whether a column holds such names alone, of training and of evaluation."""
    if name in table.listed or name.lower() in {*LABEL_NAMES[:8], *(each.lower() for each in given if each)}:
        return False
    if not {*map(_plain, table.spread(name, _SAMPLE))} <= _NAMES:
        return False
    present = {*map(_plain, table.columns[name].unique().to_pylist())}
    return present <= _NAMES and bool(present & {*_TRAIN}) and bool(present & {*_EVAL})


def _rows(table: RawTable, column: str, cells: Sequence[str], names: Sequence[str]) -> RawTable:
    import pyarrow as pa

    mask = pa.array([cell in names for cell in cells])
    columns = {name: each.filter(mask) for name, each in table.columns.items() if name != column}
    return replace(table, source=f"{table.source} ({names[0]})", columns=columns)


def _plain(cell: str | None) -> str:
    return (cell or "").strip().lower()
