"""Reads a file of examples into a RawTable: compression, encoding and format are found by looking."""

from __future__ import annotations

import difflib
import gzip
import io
import json
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from ..errors import InputError
from ..home import expanded
from .conll import looks_like_conll, read_conll
from .delimited import is_labelled, is_table, read_delimited
from .encodings import NAMES, find_encoding
from .json_rows import holds_columns, holds_rows, json_rows
from .names import LABEL_NAMES
from .squad import is_squad, read_squad
from .table import RawTable, TableBuilder, cell_text, unique_names

_START = 1 << 18
_FORMATS = {
    ".csv": "csv", ".tsv": "tsv", ".tab": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "json",
    ".txt": "text", ".text": "text", ".parquet": "parquet", ".pq": "parquet",
    ".conll": "conll", ".iob": "conll", ".iob2": "conll", ".bio": "conll", ".conll2003": "conll",
    ".conllu": "conll",
}  # fmt: skip
DATA_SUFFIXES = tuple(_FORMATS)
_FOREIGN = {
    b"PK\x03\x04": ("is a zip archive (or an Excel workbook)", "Unpack it, or save the sheet as CSV."),
    b"\xd0\xcf\x11\xe0": ("is an old Excel or Word file", "Save it as CSV."),
    b"%PDF": ("is a PDF", "Give CSV, TSV, JSONL, Parquet or plain text."),
    b"BZh": ("is compressed with bzip2", "Unpack it, or compress it with gzip."),
    b"\xfd7zXZ": ("is compressed with xz", "Unpack it, or compress it with gzip."),
    b"\x28\xb5\x2f\xfd": ("is compressed with zstd", "Unpack it, or compress it with gzip."),
    b"ARROW1": ("is an Arrow file", "Save it as Parquet."),
    b"SQLite": ("is an SQLite database", "Save the table as CSV."),
}


def read_file(path: str | Path) -> RawTable:
    """Read CSV, TSV, JSONL, JSON (SQuAD's too), Parquet, CoNLL columns or plain text, gzip-compressed or not.

    Raises:
        InputError: the file is missing, empty, binary or broken; the message names the line where there is one.
    """
    path = expanded(path)
    _refuse_unreadable(path)
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        with _binary(path, packed) as file:
            start = file.read(8)
            if start[:4] == b"PAR1":
                return _read_parquet(path, file)
        for magic, (what, fix) in _FOREIGN.items():
            if start.startswith(magic):
                raise InputError(f"{path} {what}.", fix)
        with _binary(path, packed) as file:
            encoding, warnings = find_encoding(path, file)
        table = _read_text(path, packed, encoding)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(f"{path} is a damaged gzip file: {error}.", "Compress or fetch it anew.") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path} can't be read as {error.encoding}: {error.reason}.", "Save it as UTF-8.") from None
    except OSError as error:
        raise InputError(f"Can't read {path}: {error.strerror or error}.") from None
    table.warnings = warnings + table.warnings
    table.findings.append(f"encoding: {NAMES[encoding]}" + (", gzip" if packed else ""))
    return table


def _neighbour(path: Path) -> Path | None:
    """A file beside a missing one with nearly its name."""
    try:
        names = [each.name for each in path.parent.iterdir() if each.is_file()]
    except OSError:
        return None
    near = difflib.get_close_matches(path.name, names, n=1, cutoff=0.8)
    return path.with_name(near[0]) if near else None


def _refuse_unreadable(path: Path) -> None:
    if path.is_dir():
        inside = sorted(p.name for p in path.iterdir() if p.name.removesuffix(".gz").endswith(DATA_SUFFIXES))
        fix = f"Name a file in it, such as {path / inside[0]}." if inside else "Name a file of examples."
        if not inside and any(path.glob("*/*.txt")):
            fix = "Write the texts of its folders into a table, each with the name of its folder as the label."
        raise InputError(f"{path} is a folder.", fix)
    if re.match(r"https?:/", str(path)):  # a Path has one slash of the two
        raise InputError(
            f"{str(path).replace(':/', '://')} is an address, and data is read from files.",
            "Fetch it and give the file; of a data set of the Hugging Face Hub give the id, such as owner/name.",
        )
    if str(path) == "-" or path.is_fifo() or path.is_char_device():
        raise InputError(f"{path} is no file, and data is read more than once.", "Save it into a file and name that.")
    if not path.exists():
        near = _neighbour(path)
        fix = f"Is it {near}?" if near else "Check the path; 'sample' is the bundled data set."
        raise InputError(f"There is no file {path}.", fix)
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty.", "Give a file with one example a line.")


@contextmanager
def _binary(path: Path, packed: bool) -> Iterator[IO[bytes]]:
    with gzip.open(path, "rb") if packed else path.open("rb") as file:
        yield file  # type: ignore[misc]


@contextmanager
def _text(path: Path, packed: bool, encoding: str) -> Iterator[io.TextIOWrapper]:
    """Text whose line ends are left alone (a quoted cell may hold some)."""
    with _binary(path, packed) as file:
        errors = "replace" if encoding.startswith("utf-8") else "strict"
        with io.TextIOWrapper(file, encoding, errors, newline="") as text:
            yield text


def _read_text(path: Path, packed: bool, encoding: str) -> RawTable:
    """Choose the format by suffix, or by looking, and read."""
    suffix = Path(path.name.lower().removesuffix(".gz")).suffix
    with _text(path, packed, encoding) as file:
        start = file.read(_START)
    if not start.strip():
        raise InputError(f"{path} is empty.", "Give a file with one example a line.")
    kind = _FORMATS.get(suffix) or _guess(start)
    if kind == "parquet":
        raise InputError(f"{path} is no Parquet file, in spite of its name.", "Rename it, or fetch it anew.")
    if kind == "json" and _guess(start) == "jsonl":
        kind = "jsonl"
    if kind in ("text", "tsv", "csv") and looks_like_conll(start):
        kind = "conll"
    if kind == "text" and is_table(start, "\t"):
        kind = "tsv"
    if kind == "text" and any(is_labelled(start, delimiter) for delimiter in ",;|"):
        kind = "csv"
    with _text(path, packed, encoding) as file:
        if kind == "json":
            return _read_json(path, file)
        if kind == "jsonl":
            return _read_jsonl(path, file)
        if kind == "text":
            return _read_lines(path, file)
        if kind == "conll":
            file.reconfigure(newline=None)
            return read_conll(path, file)

    @contextmanager
    def reopen() -> Iterator[io.TextIOWrapper]:
        with _text(path, packed, encoding) as file:
            yield file

    return read_delimited(str(path), reopen, start, prefer="\t" if kind == "tsv" else ",")


def _guess(start: str) -> str:
    """The format of text whose name tells nothing."""
    first = start.lstrip()[:1]
    if first == "{":
        if '"paragraphs"' in start and '"context"' in start:
            return "json"  # SQuAD's, often in a single line
        line, _, rest = start.lstrip().partition("\n")
        try:
            row = json.loads(line)
        except ValueError:
            return "json"
        lists = any(isinstance(value, list) for value in row.values())
        alone = not rest.strip() and (lists or holds_columns(row) or holds_rows(row))
        return "json" if alone else "jsonl"  # one object with lists holds all examples
    if first == "[":
        return "json"
    return "csv" if any(is_table(start, delimiter) for delimiter in "\t,;|") else "text"


def _read_lines(path: Path, file: io.TextIOWrapper) -> RawTable:
    builder = TableBuilder(["text"])
    file.reconfigure(newline=None)
    for line in file:
        if line.startswith("__label__"):
            raise InputError(
                f"{path} has its labels in the texts, as fastText writes them: {line[:40].strip()!r}.",
                "Write a label, a tab and the text in each line, and save it as .tsv.",
            )
        builder.add([line.rstrip("\n")])
    return RawTable(str(path), builder.finish(), header=False, findings=["format: plain text"])


def _read_jsonl(path: Path, file: io.TextIOWrapper) -> RawTable:
    builder, listed = TableBuilder(), set[str]()
    file.reconfigure(newline=None)
    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            detail = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
            raise InputError(
                f"{path}, line {number}: not valid JSON ({detail}).", "Each line must be one JSON object."
            ) from None
        _add_json(builder, listed, row, f"{path}, line {number}")
    columns = builder.finish()
    return RawTable(str(path), columns, findings=["format: JSONL"], warnings=builder.warnings, listed=listed)


def _read_json(path: Path, file: io.TextIOWrapper) -> RawTable:
    try:
        content = json.load(file)
    except (ValueError, RecursionError) as error:
        fix = "Give a list of objects, or JSONL."
        if isinstance(error, json.JSONDecodeError) and (
            "Unterminated" in error.msg or error.pos + 1 >= len(error.doc.rstrip())
        ):
            fix = "It ends in the middle: fetch or save it again, whole."
        raise InputError(f"{path} is not valid JSON: {error}.", fix) from None
    if is_squad(content):
        return read_squad(str(path), content)
    content = json_rows(content)
    if not isinstance(content, list) or not content:
        raise InputError(f"{path} holds no list of examples.", 'Give a list such as [{"text": ..., "label": ...}].')
    builder, listed = TableBuilder(), set[str]()
    for number, row in enumerate(content, 1):
        _add_json(builder, listed, row, f"{path}, example {number}")
    columns = builder.finish()
    return RawTable(str(path), columns, findings=["format: JSON list"], warnings=builder.warnings, listed=listed)


def _add_json(builder: TableBuilder, listed: set[str], row: Any, where: str) -> None:
    if isinstance(row, str):
        row = {"text": row}
    if not isinstance(row, dict):
        raise InputError(
            f"{where}: expected an object with named values, found {type(row).__name__}.",
            'Write each example as {"text": ..., "label": ...}.',
        )
    row = dict(_fields(row))
    listed.update(key for key, value in row.items() if isinstance(value, list | dict))
    builder.add_named({key: cell_text(value) for key, value in row.items()})


def _fields(row: dict[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """The named values of an object; of an object in it each as `outer.inner`, but for answers and tables of flags."""
    for key, value in row.items():
        name = f"{before}{key}"
        if _holds_texts(value) and key.lower() not in ("answer", "answers") and "answer_start" not in value:
            yield from _fields(value, f"{name}.")
        else:
            yield name, value


def _holds_texts(value: Any) -> bool:
    """Whether a JSON value is an object with a text in it, or in an object of it."""
    return isinstance(value, dict) and any(isinstance(each, str) or _holds_texts(each) for each in value.values())


def _read_parquet(path: Path, file: IO[bytes]) -> RawTable:
    import pyarrow as pa
    import pyarrow.parquet as parquet

    file.seek(0)
    try:
        source = parquet.ParquetFile(file)
        table = source.read(columns=[f.name for f in source.schema_arrow if _readable(f.type, f.name)])
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path} is a damaged Parquet file: {error}.", "Fetch or write it anew.") from None
    return arrow_table(table, str(path), "format: Parquet")


def _readable(kind: Any, name: str) -> bool:
    """Whether a column can hold text or labels; vectors, blobs and pictures are left where they are."""
    import pyarrow.types as types

    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        value = kind.value_type
        if types.is_struct(value):
            return _are_answers(value)
        flags = types.is_boolean(value) or (types.is_floating(value) and name.lower() in LABEL_NAMES)
        return flags or types.is_string(value) or types.is_large_string(value) or types.is_integer(value)
    if types.is_struct(kind):
        return _are_answers(kind)
    return not (types.is_nested(kind) or types.is_binary(kind) or types.is_large_binary(kind))


def _are_answers(kind: Any) -> bool:
    """Whether a struct is SQuAD's answers, or one of them."""
    return {"text", "answer_start"} <= {kind.field(number).name for number in range(kind.num_fields)}


def _class_names(table: Any) -> dict[str, list[str]]:
    """Names of the classes by column, where `datasets` left them in the metadata of an Arrow schema."""
    info = json.loads((table.schema.metadata or {}).get(b"huggingface", b"{}"))
    features = info.get("info", {}).get("features", {})
    found = {}
    for name, feature in features.items():
        inner = feature.get("feature", feature) if isinstance(feature, dict) else None
        if isinstance(inner, dict) and inner.get("_type") == "ClassLabel" and inner.get("names"):
            found[name] = inner["names"]
    return found


def arrow_table(table: Any, source: str, finding: str, classes: dict[str, list[str]] | None = None) -> RawTable:
    """An Arrow table as text; class names (given, or in its metadata) replace their numbers, -1 meaning none."""
    import pyarrow as pa
    import pyarrow.types as types

    classes = _class_names(table) if classes is None else classes
    columns, listed, findings = {}, set(), [finding]
    for name, column in zip(unique_names(table.column_names), table.columns, strict=True):
        if not _readable(column.type, name):
            continue
        names = classes.get(name)
        if names and types.is_integer(column.type):
            cells = [names[i] if i is not None and 0 <= i < len(names) else None for i in column.to_pylist()]
            columns[name] = pa.chunked_array([pa.array(cells, pa.large_string())])
            findings.append(f"class names of {name!r} taken from the data's own description")
        elif types.is_string(column.type) or types.is_large_string(column.type):
            columns[name] = column.cast(pa.large_string())
        else:
            if types.is_nested(column.type):
                listed.add(name)
            if names and types.is_integer(getattr(column.type, "value_type", None) or pa.null()):
                findings.append(f"class names of {name!r} taken from the data's own description")

            def cell(value: Any, names: Any = names) -> str | None:
                if names and isinstance(value, list):
                    value = [names[i] if i is not None and 0 <= i < len(names) else None for i in value]
                return cell_text(value)

            chunks = [pa.array(map(cell, chunk.to_pylist()), pa.large_string()) for chunk in column.chunks]
            columns[name] = pa.chunked_array(chunks, pa.large_string())
    if not columns or not table.num_rows:
        raise InputError(f"{source} holds no rows with text.", "Give a table with a text column and a label column.")
    return RawTable(source, columns, findings=findings, listed=listed)
