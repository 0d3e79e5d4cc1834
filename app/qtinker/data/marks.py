"""Labels as tools write them: Label Studio's annotations, flags by name (spaCy's cats), Stack Overflow's tags."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from .names import LABEL_NAMES
from .table import RawTable

_SAMPLE = 20


def with_marks(table: RawTable, label: str | None) -> RawTable:
    """The table with the labels as cells, or as lists where some hold several or none.

    Args:
        label: the column that the user named.
    """
    for name in table.columns:
        if name.lower() in {*LABEL_NAMES, (label or "").lower()} and name not in table.listed:
            table = _with_lists(table, name)
    for name in sorted(table.listed):
        marks = _is_annotated if name == "annotations" else _is_flags
        if not _all(marks, table.head(name, _SAMPLE)) or not _all(marks, table.values(name)):
            continue
        cells = [None if cell is None else json.loads(cell) for cell in table.values(name)]
        if marks is _is_annotated:
            return _annotated(table, [_results(cell or []) for cell in cells])
        rows = [None if cell is None else [key for key, flag in cell.items() if flag] for cell in cells]
        table = _with_column(table, name, rows, f"labels: by their flags in the objects of {name!r}")
    return table


def _with_lists(table: RawTable, name: str) -> RawTable:
    """The table with lists in the place of `<c#><java>`, as Stack Overflow writes tags, and of Python's sets."""
    for cells in (table.spread(name, _SAMPLE), table.values(name)):
        rows = [_several(cell) if cell and cell.strip() else [] for cell in cells]
        if None in rows or not any(rows):
            return table
    rows = [row if cell and cell.strip() else None for row, cell in zip(rows, cells, strict=True)]
    return _with_column(table, name, rows, f"labels: several in a cell of {name!r}")


def _several(cell: str) -> list[str] | None:
    """The labels of such a cell; None of any other."""
    if re.fullmatch(r"(<[^<>]+>)+", cell.strip()):
        return re.findall(r"<([^<>]+)>", cell)
    if cell.strip() in ("set()", "frozenset()"):
        return []
    try:
        found = ast.literal_eval(cell.strip()) if cell.lstrip()[0] in "{(" else None
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None
    if isinstance(found, dict) and _is_flags(found):
        return [str(name) for name, flag in found.items() if flag]
    return sorted(map(str, found)) if isinstance(found, set | tuple) else None


def _all(test: Callable[[Any], bool], cells: Sequence[str | None]) -> bool:
    """Whether all cells that hold something pass, and there are some."""
    try:
        filled = [content for cell in cells if cell and (content := json.loads(cell))]
    except ValueError:  # texts among objects
        return False
    return bool(filled) and all(map(test, filled))


def _is_flags(cell: Any) -> bool:
    """Whether a value is an object of 0 and 1 (or true and false) by names."""
    return isinstance(cell, dict) and len(cell) > 1 and all(
        isinstance(flag, int | float) and flag in (0, 1) for flag in cell.values()
    )  # fmt: skip


def _is_annotated(cell: Any) -> bool:
    return isinstance(cell, list) and all(
        isinstance(each, dict) and isinstance(each.get("result"), list) for each in cell
    )


def _results(cell: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the first annotator who did not skip a text has marked."""
    given = (each["result"] for each in cell if not each.get("was_cancelled"))
    return [mark for mark in next(given, []) if isinstance(mark, dict) and isinstance(mark.get("value"), dict)]


def _annotated(table: RawTable, rows: Sequence[list[dict[str, Any]]]) -> RawTable:
    """The data of Label Studio's tasks, with a column for each question of one or several choices; other marks stay."""
    texts = {name: column for name, column in table.columns.items() if name.startswith("data.")}
    found = replace(table, columns=texts, listed=table.listed & texts.keys())
    chosen = dict.fromkeys(str(mark.get("from_name")) for row in rows for mark in row if "choices" in mark["value"])
    for name in chosen:
        cells = [[mark["value"]["choices"] for mark in row if mark.get("from_name") == name] for row in rows]
        found = _with_column(
            found, name, [each[0] if each else None for each in cells], f"labels: Label Studio's choices {name!r}"
        )
    if chosen:
        return found
    return _with_column(found, "annotations", [[mark["value"] for mark in row] for row in rows])


def _with_column(table: RawTable, name: str, rows: Sequence[list[Any] | None], finding: str = "") -> RawTable:
    """A column of lists, or of their items where each has one."""
    import pyarrow as pa

    single = all(row is None or (len(row) == 1 and isinstance(row[0], str)) for row in rows)
    cells = [None if row is None else row[0] if single else json.dumps(row, ensure_ascii=False) for row in rows]
    column = pa.chunked_array([pa.array(cells, pa.large_string())])
    listed = table.listed - {name} if single else {*table.listed, name}
    findings = [*table.findings, *[finding] * bool(finding)]
    return replace(table, columns={**table.columns, name: column}, listed=listed, findings=findings)
