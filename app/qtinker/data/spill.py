"""Columns of text too big for memory: written to Arrow files in the cache and mapped."""

from __future__ import annotations

import contextlib
import uuid
from typing import TYPE_CHECKING, Any

from ..home import cache_dir

if TYPE_CHECKING:
    import pyarrow as pa

MOST_BYTES = 1 << 26
"""So much of a table is kept in memory; what is more goes to a file."""


class Spill:
    """One column's chunks, in a file once they are more than `MOST_BYTES`; the mapped file goes with its last use.

    (On Windows a mapped file can't be deleted: there it stays in the cache, which may be deleted at any time.)
    """

    def __init__(self, limit: int | None = None) -> None:
        self.limit = MOST_BYTES if limit is None else limit
        self.parts: list[pa.Array] = []
        self.bytes = 0
        self._writer: Any = None

    def add(self, chunk: pa.Array) -> None:
        """One more chunk of large strings."""
        self.parts.append(chunk)
        self.bytes += chunk.nbytes
        if self.bytes > self.limit:
            self._write()

    def finish(self) -> pa.ChunkedArray:
        """The column; nothing is added any more."""
        import pyarrow as pa

        if self._writer is None:
            return pa.chunked_array(self.parts, pa.large_string())
        self._write()
        self._writer.close()
        self._sink.close()
        mapped = pa.memory_map(str(self._path))
        reader = pa.ipc.open_file(mapped)
        chunks = [reader.get_batch(number).column(0) for number in range(reader.num_record_batches)]
        with contextlib.suppress(OSError):  # what is mapped stays readable
            self._path.unlink()
        return pa.chunked_array(chunks, pa.large_string())

    def _write(self) -> None:
        import pyarrow as pa

        schema = pa.schema([("text", pa.large_string())])
        if self._writer is None:
            self._path = cache_dir() / "tables" / f"{uuid.uuid4().hex}.arrow"
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._sink = pa.OSFile(str(self._path), "wb")
            self._writer = pa.ipc.new_file(self._sink, schema)
        for part in self.parts:
            self._writer.write_batch(pa.record_batch([part], schema=schema))
        self.parts, self.bytes = [], 0


def cells(column: pa.ChunkedArray) -> list[str | None]:
    """A column of labels as Python text: equal cells are one object."""
    pool: dict[str | None, str | None] = {}
    return [pool.setdefault(cell, cell) for chunk in column.chunks for cell in chunk.to_pylist()]


def trimmed(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Texts without surrounding space, "" for missing ones; chunks that are so already are taken as they are."""
    import pyarrow.compute as pc

    spill = Spill()
    clean: list[Any] = []
    changed = False
    for chunk in column.chunks:
        better = pc.utf8_trim_whitespace(pc.fill_null(chunk, ""))
        same = chunk.null_count == 0 and better.equals(chunk)
        changed = changed or not same
        if not changed:
            clean.append(chunk)
        elif clean:
            for earlier in clean:
                spill.add(earlier)
            clean = []
            spill.add(better)
        else:
            spill.add(better)
    return spill.finish() if changed else column
