"""RawTable: what a file holds, every cell as text, before anything is decided about its meaning."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .spill import Spill

if TYPE_CHECKING:
    import pyarrow as pa

_FLUSH_ROWS = 20_000


@dataclass
class RawTable:
    """Columns of text, nulls where a cell is missing.

    Attributes:
        source: the name for messages.
        columns: name to Arrow strings, all equally long.
        header: whether the names came with the data.
        findings: what was found out about the file, in words.
        warnings: what looks wrong but can be read.
        listed: columns whose cells were lists or objects; kept as JSON text.
    """

    source: str
    columns: dict[str, pa.ChunkedArray]
    header: bool = True
    findings: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    listed: set[str] = field(default_factory=set)

    @property
    def rows(self) -> int:
        return len(next(iter(self.columns.values()))) if self.columns else 0

    def values(self, name: str) -> list[str | None]:
        """One column as Python text."""
        return self.columns[name].to_pylist()

    def head(self, name: str, count: int) -> list[str | None]:
        """The first `count` cells of a column."""
        return self.columns[name][:count].to_pylist()

    def spread(self, name: str, count: int) -> list[str | None]:
        """Up to `count` cells of a column, the same rows each time, from all over the table: it may be sorted."""
        column = self.columns[name]
        rows = sorted(random.Random(0).sample(range(self.rows), min(count, self.rows)))
        return [column[row].as_py() for row in rows]


class TableBuilder:
    """Collects rows into Arrow columns part by part, so that few Python objects live at once."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self.names: list[str] = []
        self._parts: dict[str, Spill] = {}
        self._cells: dict[str, list[str | None]] = {}
        self._rows = self._flushed = self._halves = 0
        for name in names:
            self._add_column(name)

    def add(self, cells: Sequence[str | None]) -> None:
        """One row, a cell for each of the names given at the start."""
        for name, cell in zip(self.names, cells, strict=True):
            self._cells[name].append(cell)
        self._count()

    def add_named(self, cells: dict[str, str | None]) -> None:
        """One row by names; a new name starts a column whose earlier cells are missing."""
        for name in cells:
            if name not in self._cells:
                self._add_column(name)
        for name in self.names:
            self._cells[name].append(cells.get(name))
        self._count()

    def finish(self) -> dict[str, pa.ChunkedArray]:
        """The columns."""
        self._flush()
        return {name: self._parts[name].finish() for name in self.names}

    @property
    def warnings(self) -> list[str]:
        """What was mended, in words; whole once the table is finished."""
        if not self._halves:
            return []
        return [f"{self._halves} cells hold half a character (a lone surrogate), which was replaced by U+FFFD."]

    def __len__(self) -> int:
        return self._rows

    def _add_column(self, name: str) -> None:
        import pyarrow as pa

        self.names.append(name)
        self._parts[name] = Spill()
        if self._flushed:
            self._parts[name].add(pa.nulls(self._flushed, pa.large_string()))
        self._cells[name] = [None] * (self._rows - self._flushed)

    def _count(self) -> None:
        self._rows += 1
        if self._rows - self._flushed >= _FLUSH_ROWS:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa

        for name in self.names:
            try:
                part = pa.array(self._cells[name], pa.large_string())
            except UnicodeEncodeError:
                whole = [None if cell is None else _whole(cell) for cell in self._cells[name]]
                self._halves += sum(a != b for a, b in zip(whole, self._cells[name], strict=True))
                part = pa.array(whole, pa.large_string())
            self._parts[name].add(part)
            self._cells[name] = []
        self._flushed = self._rows


def _whole(text: str) -> str:
    """A text without halves of surrogate pairs, which JSON can hold and no encoding can write."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def cell_text(value: Any) -> str | None:
    """A JSON or Arrow value as the text of a cell; None for null and NaN."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return None if math.isnan(value) else repr(value)
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


def unique_names(names: Sequence[str]) -> list[str]:
    """Column names stripped, none empty, none twice."""
    out: list[str] = []
    for number, name in enumerate(names, 1):
        base = name.strip() or f"column {number}"
        candidate, extra = base, 2
        while candidate in out:
            candidate, extra = f"{base} ({extra})", extra + 1
        out.append(candidate)
    return out
