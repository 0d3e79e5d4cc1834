"""A column that says of each row whether it is for training or for evaluation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from .names import LABEL_NAMES
from .table import RawTable

_TRAIN = ("train", "training")
_EVAL = ("validation", "valid", "val", "dev", "development", "eval", "evaluation", "test", "testing")
"""The first that is there is evaluated on."""
_NAMES = {*_TRAIN, *_EVAL, "unsup", "unsupervised", "unlabelled", "unlabeled", "holdout", ""}
_SAMPLE = 2000


def own_split(table: RawTable, given: Sequence[str | None]) -> tuple[RawTable, RawTable | None, str | None]:
    """Training rows, evaluation rows and the latter's name, where a column parts them; else the table as it is.

    Args:
        given: columns that the user named, which are left alone.
    """
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
