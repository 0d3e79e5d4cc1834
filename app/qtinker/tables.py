"""Data in memory, kept as a file: a run that is resumed tomorrow, or in another process, reads it again."""

from __future__ import annotations

import contextlib
import hashlib
import math
import secrets
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from .errors import InputError
from .home import data_dir


class ArrowTable(Protocol):
    """A DataFrame of pandas or polars, an Arrow table, a relation of DuckDB."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """The rows, as Arrow's standard for tables of all libraries has it."""


class ParquetTable(Protocol):
    """A Dataset of `datasets`."""

    def to_parquet(self, path: Any, /) -> Any:
        """Write the rows to a file."""


Source = str | Path | ArrowTable | ParquetTable | Sequence[Mapping[str, Any]]
"""Examples: a path, `sample`, the id of a data set on the Hub, or a table in memory."""


def as_file(value: Any) -> Any:
    """The path of a Parquet file in the data folder that holds a table's rows; anything else as it is.

    The file is named by its content, so the same table is written once.

    Raises:
        InputError: a column holds what no example has, or two columns have one name.
    """
    if isinstance(value, Mapping) and value and all(map(_is_table, value.values())):
        raise InputError(f"These are {len(value)} data sets: {', '.join(map(str, value))}.", "Give one: data['train'].")
    if not (_is_rows(value) or _is_table(value)):
        return value
    part = data_dir() / f".{secrets.token_hex(8)}.part"
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        _write(value, part)
        with part.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()[:12]
        return str(part.replace(data_dir() / f"table-{digest}.parquet"))
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def in_spec(spec: dict[str, Any]) -> dict[str, Any]:
    """A spec in plain data with the tables that it names as files."""
    data = spec.get("data")
    if not isinstance(data, dict):
        return spec
    files = {name: as_file(data[name]) for name in ("train", "eval") if name in data}
    if (texts := data.get("unlabelled")) is not None and not isinstance(texts, str):
        listed = isinstance(texts, list | tuple) and not _is_rows(texts)
        files["unlabelled"] = list(map(as_file, texts if listed else [texts]))
    return spec | {"data": data | files}


def _is_rows(value: Any) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(row, Mapping) for row in value)


def _is_table(value: Any) -> bool:
    return any(hasattr(value, name) for name in ("to_parquet", "__arrow_c_stream__", "to_arrow", "to_frame"))


def _write(value: Any, path: Path) -> None:
    if hasattr(value, "features") and hasattr(value, "to_parquet"):
        value.to_parquet(str(path))  # a Dataset, which writes piece by piece and keeps the names of its classes
        return
    import pyarrow.parquet as parquet

    parquet.write_table(_arrow(value), path)


def _arrow(value: Any) -> Any:
    """An Arrow table of rows or of another table."""
    import pyarrow as pa

    if _is_rows(value):
        keys = dict.fromkeys(key for row in value for key in row)
        return pa.table({str(key): _column(str(key), [row.get(key) for row in value]) for key in keys})
    if not hasattr(value, "columns") and hasattr(value, "to_frame"):  # a Series
        value = value.to_frame() if getattr(value, "name", None) else value.to_frame("text")
    if hasattr(value, "iloc"):  # a DataFrame of pandas
        names = list(map(str, value.columns))
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise InputError(f"Two columns of the table are called {twice[0]!r}.", "Rename one of them.")
        return pa.table({name: _column(name, value.iloc[:, at]) for at, name in enumerate(names)})
    return value.to_arrow() if hasattr(value, "to_arrow") else pa.table(value)


def _column(name: str, values: Iterable[Any]) -> Any:
    """Values of one kind as they are; texts and numbers mixed, as text."""
    import pyarrow as pa

    try:
        return pa.array(values, from_pandas=True)
    except (pa.ArrowException, TypeError, ValueError):
        values = list(values)
    for value in values:
        if not (value is None or isinstance(value, str | int | float)):
            raise InputError(
                f"The column {name!r} of the table holds {type(value).__name__}, which no example has.",
                "Give texts, numbers, or lists of them.",
            )
    return pa.array([None if value is None or _is_nan(value) else str(value) for value in values])


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)
