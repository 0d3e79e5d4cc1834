"""Several labels an example: in a cell with a delimiter, in a list, or in columns of 0 and 1."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from ..errors import InputError
from .examples import NO_LABEL
from .labels import clean_label, number_name, order
from .names import LABEL_NAMES, OTHER_NAMES, TEXT_NAMES
from .table import RawTable

DELIMITERS = ("|", ";", ",")
_NAMES = {"|": "bar", ";": "semicolon", ",": "comma"}
_YES, _NO = frozenset({"1", "1.0", "true"}), frozenset({"0", "0.0", "false"})
_MOST = 1000


def find_delimiter(cells: Sequence[str | None]) -> str | None:
    """The character that separates several labels in a cell; None where each cell holds one.

    It must part cells into labels that come back in other company: `Home, Garden` alone is one name with a comma.
    """
    present = [cell for cell in map(clean_label, cells) if cell]
    distinct = set(present)
    for delimiter in DELIMITERS:
        split = [_parts(cell, delimiter) for cell in distinct]
        several = [parts for parts in split if len(parts) > 1]
        if not several or any(len(part.split()) > 5 for parts in split for part in parts):
            continue
        times = Counter(part for parts in split for part in set(parts))
        again = sum(times[part] > 1 for parts in several for part in parts)
        if len(times) <= min(_MOST, max(2, len(present) // 2)) and again > 0.5 * sum(map(len, several)):
            return delimiter
    return None


def are_numbered(cells: Sequence[str | None]) -> bool:
    """Whether cells such as `3,11` and `7` are labels by their numbers, and not numbers with a decimal comma.

    Labels stand in order in a cell, and most come alone or first in others; decimals don't keep to that.
    """
    distinct = {cell for cell in map(clean_label, cells) if cell}
    split = [parts for cell in distinct if len(parts := _parts(cell, ",")) > 1]
    if not split or not all(part.isdecimal() and part == str(int(part)) for parts in split for part in parts):
        return False
    ordered = all(int(one) < int(next_one) for parts in split for one, next_one in pairwise(parts))
    later = {part for parts in split for part in parts[1:]}
    elsewhere = distinct | {parts[0] for parts in split}
    return ordered and len(later & elsewhere) > 0.5 * len(later) and find_delimiter(cells) == ","


def delimiter_words(delimiter: str) -> str:
    """The delimiter's name."""
    return _NAMES[delimiter]


def label_cells(cells: Sequence[str | None], source: str, delimiter: str | None) -> list[list[Any] | None]:
    """What stands in each cell, taken apart; None where it is empty.

    Raises:
        InputError: a cell begins as a list and is none.
    """
    found: list[Any] = []
    for cell in map(clean_label, cells):
        if cell is None:
            found.append(None)
        elif cell.startswith("["):
            try:
                content = json.loads(cell if '"' in cell or "'" not in cell else cell.replace("'", '"'))
            except ValueError:
                raise InputError(
                    f"{source} has a label cell that is no list: {cell[:60]!r}.",
                    'Write ["one", "two"], or separate labels by |.',
                ) from None
            if any(isinstance(label, list | dict) for label in content):
                raise _spans(source, cell)
            found.append(content)
        elif cell.startswith("{") and _is_object(cell):
            raise _spans(source, cell)
        else:
            found.append(_parts(cell, delimiter) if delimiter else [cell])
    return found


def lone_labels(cells: Sequence[str | None], source: str) -> list[str | None] | None:
    """The labels of lists of at most one (none of `[]`), as tools for marking texts write them; None of longer lists.

    Raises:
        InputError: as `label_cells`.
    """
    rows = label_cells(cells, source, None)
    if any(row is not None and len(row) > 1 for row in rows):
        return None
    return [_name_of(row[0]) if row and row[0] is not None else None for row in rows]


def marked_spans(table: RawTable) -> InputError | None:
    """A refusal of a table that has spans of characters with labels; None where it has none."""
    for name in table.listed:
        for cell in filter(None, table.head(name, 20)):
            content = json.loads(cell)
            marks = [each for each in content if isinstance(each, dict)] if isinstance(content, list) else []
            if any(each.keys() & {"start", "start_offset"} and each.keys() & {"label", "labels"} for each in marks):
                return _spans(table.source, cell)
    return None


def _spans(source: str, cell: str) -> InputError:
    """As tools for marking texts write them: from which character to which, and what is there."""
    return InputError(
        f"{source} has spans of characters for labels, such as {cell[:60]!r}.",
        "For names in texts give a list of words and a list of tags, or CoNLL columns.",
    )


def _is_object(cell: str) -> bool:
    try:
        return isinstance(json.loads(cell), dict)
    except ValueError:
        return False


def label_lists(found: Sequence[list[Any] | None], places: int, known: Sequence[str] = ()) -> list[list[str] | None]:
    """The labels of each cell that was taken apart; None where it was empty, [] where it said that none applies (`[]`).

    Args:
        places: of lists of 0 and 1 (`hot_places`), which name the places that hold a 1: by the label that is known
            there, else by its number, from 0.
    """
    if places:
        names = known if len(known) == places else [str(place) for place in range(places)]
        return [None if row is None else [name for name, cell in zip(names, row, strict=True) if cell] for row in found]
    texts = [None if row is None else [_name_of(label) for label in row if label is not None] for row in found]
    return [None if row is None else [label for label in row if label] for row in texts]


def hot_places(lists: Sequence[list[Any] | None]) -> int:
    """How many labels lists of 0 and 1 are about, a place each; 0 where they are lists of names.

    Names do not repeat in a list, and nobody writes the same two in both orders.
    """
    rows = [row for row in lists if row is not None]
    length = len(rows[0]) if rows else 0
    if length < 2 or any(len(row) != length for row in rows):
        return 0
    numbers = all(isinstance(cell, int | float) and cell in (0, 1) for row in rows for cell in row)
    if not numbers:
        return 0
    orders = {tuple(row) for row in rows}
    return length if orders >= {(0, 1), (1, 0)} or any(len({*row}) < length for row in orders) else 0


def holds_lists(cells: Sequence[str | None]) -> bool:
    """Whether the first cell that is filled is a list."""
    return is_list(next(filter(None, cells), ""))


def is_list(cell: str) -> bool:
    """Whether a cell is a list, and not a name in brackets."""
    if not cell.lstrip().startswith("["):
        return False
    try:
        return isinstance(json.loads(cell.replace("'", '"')), list)
    except ValueError:
        return False


def known_delimiter(cells: Sequence[str | None], known: Sequence[str]) -> str | None:
    """The character under which every cell falls into labels that are known; None where there is none."""
    names = {name.casefold() for name in known}
    present = {cell for cell in map(clean_label, cells) if cell} - set(known)
    for delimiter in DELIMITERS:
        parts = [part for cell in present for part in _parts(cell, delimiter)]
        if len(parts) > len(present) and all(part.casefold() in names for part in parts):
            return delimiter
    return None


def label_names(lists: Sequence[list[str] | None], source: str) -> tuple[str, ...]:
    """The labels that occur, in order.

    Raises:
        InputError: there is none.
    """
    names = order(label for labels in lists for label in labels or ())
    if not names:
        raise InputError(
            f"{source} has no labels.", "Name the label column with --label-column, or use a trained teacher's labels."
        )
    return names


def matrix(lists: Sequence[list[str] | None], known: Sequence[str], source: str) -> np.ndarray:
    """float32 [N, C] of 0 and 1 in the order of `known`; rows of NaN where missing.

    Raises:
        InputError: with the labels that are not known.
    """
    index = {name: number for number, name in enumerate(known)}
    folded = {name.casefold(): number for number, name in enumerate(known)}
    out = np.zeros((len(lists), len(known)), np.float32)
    unknown: set[str] = set()
    for row, labels in enumerate(lists):
        if labels is None:
            out[row] = np.nan
        for label in labels or ():
            place = index.get(label, folded.get(label.casefold()))
            if place is None:
                unknown.add(label)
            else:
                out[row, place] = 1
    if unknown:
        shown = ", ".join(map(repr, sorted(unknown)[:8])) + (f" and {len(unknown) - 8} more" * (len(unknown) > 8))
        raise InputError(
            f"{source} has labels that the model does not know: {shown}.",
            f"The model's labels are: {', '.join(map(repr, known[:12]))}{', ...' if len(known) > 12 else ''}; rename "
            "them in the data, or train a teacher on this data.",
        )
    return out


def flag_columns(table: RawTable) -> list[str]:
    """The columns that hold nothing but 0 and 1 (or true and false), ids and texts aside.

    A label that never applies, or always, leaves a column of one value: that counts beside columns that hold both.
    """
    kinds = [_flagged(table, name) for name in table.columns]
    flags = [kind == "both" for kind in kinds]
    for numbers in (range(1, len(kinds)), range(len(kinds) - 2, -1, -1)):
        step = numbers.step
        for number in numbers:
            flags[number] |= kinds[number] == "one" and flags[number - step]
    return [name for name, flag in zip(table.columns, flags, strict=True) if flag]


def _flagged(table: RawTable, name: str) -> str:
    """Whether a column holds `both` flags, `one` of them throughout, or `none`."""
    if name in table.listed or name.lower() in OTHER_NAMES or name.lower() in TEXT_NAMES[:4]:
        return "none"
    cells = _flags_in(table.head(name, 2000))
    if cells - _YES - _NO - {"-1"}:
        return "none"
    cells = _flags_in(table.columns[name].unique().to_pylist())
    if cells - _YES - _NO - {"-1"} or not cells & (_YES | _NO):
        return "none"
    return "both" if cells & _YES and cells & _NO else "one"


def _flags_in(cells: Iterable[str | None]) -> set[str]:
    return {cell.strip().lower() for cell in cells if cell and cell.strip()}


def looks_flagged(table: RawTable, known: Sequence[str] = ()) -> list[str]:
    """Columns of 0 and 1 that are labels beyond doubt: three or more, and no column called label.

    Args:
        known: a model's labels; columns that are called as they are count whatever they hold of the two.
    """
    names = {name.lower() for name in table.columns}
    flags = flag_columns(table)
    both = sum(_flagged(table, name) == "both" for name in flags)
    if both < 3 or names & set(LABEL_NAMES[:8]):
        flags = []
    if known and all(name in table.columns and _flagged(table, name) != "none" for name in known):
        return [*known, *(name for name in flags if name not in known)]
    return flags


def flags_as_lists(table: RawTable, names: Sequence[str], kept: Sequence[str] | None = None) -> list[str | None]:
    """Columns of 0 and 1 as one column of JSON lists of their names; None where a cell is empty or -1.

    Raises:
        InputError: a column is not there, or holds something else.
    """
    columns = []
    for name in names:
        if name not in table.columns:
            raise InputError(
                f"There is no column {name!r} in {table.source}.",
                f"Its columns are: {', '.join(map(repr, table.columns))}.",
            )
        columns.append([(cell or "").strip().lower() for cell in table.values(name)])
    cells: list[str | None] = []
    for row in zip(*columns, strict=True):
        strange = [cell for cell in row if cell not in _YES and cell not in _NO and cell not in ("", "-1")]
        if strange:
            raise InputError(
                f"{table.source}: {strange[0]!r} in a column of labels that should hold 0 or 1.",
                "Name the right --label-column, or --task classification.",
            )
        if all(cell in _YES or cell in _NO for cell in row):
            cells.append(json.dumps([name for name, cell in zip(names, row, strict=True) if cell in _YES]))
        else:
            cells.append(None)
    return cells


def rarest(labels: np.ndarray) -> np.ndarray:
    """int64 [N]: the rarest label of each example, C where it has none, -100 where missing: the class to split by."""
    counts = np.nansum(labels, axis=0)
    rank = np.argsort(np.argsort(counts, kind="stable"), kind="stable")  # 0: the rarest
    weighted = np.where(labels > 0.5, len(counts) - rank, 0)
    out = np.where(weighted.any(axis=1), weighted.argmax(axis=1), len(counts)).astype(np.int64)
    out[np.isnan(labels).any(axis=1)] = NO_LABEL
    return out


def _name_of(label: Any) -> str:
    """A label of a list as text; 1.0 is 1."""
    return number_name(str(label)) if isinstance(label, float) else str(label).strip()


def _parts(cell: str, delimiter: str) -> list[str]:
    return [part.strip() for part in cell.split(delimiter) if part.strip()]
