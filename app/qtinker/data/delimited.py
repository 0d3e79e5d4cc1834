"""CSV and its relatives: finds delimiter, quoting and header by evidence, and names the line where a file is broken.

GLUE's TSV files carry bare quotes that mean nothing; read as CSV quotes they swallow rows in silence. So quoting is
decided by looking at the whole file: quotes count only where they make every row come out right.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from typing import IO, Any

from ..errors import InputError
from .names import KNOWN_NAMES
from .table import RawTable, TableBuilder, unique_names

_NAMES = {"\t": "tab", ",": "comma", ";": "semicolon", "|": "bar"}
_SAMPLE_ROWS = 300
_MOST_CHARACTERS = 1 << 26  # of one cell
_NAME = re.compile(r"(?!.*[.!?]$)(\S+ ?){0,4}")
_LONGEST_NAME = 80
_REPEATS = 8
"""How often each value of a column must come on average, for a first cell that never comes again to be its name."""
_SEP = re.compile(r'"?sep=([^\w\s"]|\t)"?(\r\n?|\n)(?=\s*\S)', re.IGNORECASE)
"""The line that tells Excel the delimiter, before the header, where rows follow."""
_NUMBER = re.compile(r"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*")

Open = Callable[[], AbstractContextManager[IO[str]]]


@dataclass
class _Look:
    """How a whole file parses under one way of quoting."""

    quoting: int
    strict: bool
    rows: int = 0
    fields: int = 0
    bad_line: int = 0
    bad_fields: int = 0
    bad_rows: int = 0
    error_line: int = 0
    error: str = ""

    @property
    def clean(self) -> bool:
        return not self.error and not self.bad_rows


def is_table(start: str, delimiter: str) -> bool:
    """Whether the beginning of a file is a table with this delimiter: several rows, all with as many fields."""
    if match := _SEP.match(start):
        start = start[match.end() :]
    counts = _field_counts(start, delimiter, csv.QUOTE_MINIMAL) or _field_counts(start, delimiter, csv.QUOTE_NONE)
    plain = _field_counts(start, delimiter, csv.QUOTE_NONE)
    return any(len(some) > 1 and some[0] > 1 and len(set(some)) == 1 for some in (counts, plain))


def is_labelled(start: str, delimiter: str) -> bool:
    """Whether the beginning of a plain text is a table with this delimiter, a column of which holds few values."""
    if not is_table(start, delimiter):
        return False
    whole = start[: start.rfind("\n") + 1] or start
    rows = islice(csv.reader(io.StringIO(whole, newline=""), delimiter=delimiter), _SAMPLE_ROWS)
    columns = zip(*filter(None, rows), strict=False)
    return any(len(set(column)) > 1 and len(column) >= _REPEATS * len(set(column)) for column in columns)


def read_delimited(source: str, reopen: Open, start: str, *, prefer: str) -> RawTable:
    """Read a delimited file.

    Args:
        reopen: gives the text anew from its beginning, line ends untouched.
        start: the beginning of the text, to look at.
        prefer: the delimiter that the file's name promises.

    Raises:
        InputError: rows of unequal length, an unclosed quote, or a header without rows; with the line.
    """
    csv.field_size_limit(_MOST_CHARACTERS)
    told = _SEP.match(start)
    delimiter = told[1] if told else _find_delimiter(start, prefer)
    if told:
        start, reopen = start[told.end() :], _below_first_line(reopen)
    escaped = re.search(rf'(?:^|[{re.escape(delimiter)}\n])"(?:[^"\\]|\\.)*\\"', start) is not None
    how, warnings = _find_quoting(source, reopen, delimiter, above=1 if told else 0, escaped=escaped)
    with reopen() as file:
        rows = (row for row in csv.reader(file, delimiter=delimiter, **how) if row)
        beginning = list(islice(rows, _SAMPLE_ROWS))
        header, reason = has_header(beginning)
        names = unique_names(beginning[0] if header else [""] * len(beginning[0]))
        builder, repeated = TableBuilder(names), 0
        for row in chain(beginning[1:] if header else beginning, rows):
            if header and row == beginning[0]:
                repeated += 1
            else:
                builder.add(row)
    if not len(builder):
        raise InputError(f"{source} has a header and no rows.", "Add examples below the header.")
    width = len(names)
    findings = [
        f"format: {width} columns separated by {_name(delimiter)}" if width > 1 else "format: one column",
        f"header: {'yes' if header else 'none'} ({reason})",
    ]
    warnings += [
        f"Several columns are called {name.strip()!r}: the first is meant by it, this one by {own!r}."
        for name, own in zip(beginning[0], names, strict=True) if header and name.strip() not in ("", own)
    ]  # fmt: skip
    if repeated:
        warnings.append(f"Rows that repeat the header, left out: {repeated:,}.")
    if how["quoting"] == csv.QUOTE_NONE and '"' in start:
        findings.append("quotes: plain characters, as in GLUE's files")
    if "escapechar" in how:
        findings.append("quotes: those in texts are marked by a backslash, as in Spark's files")
    return RawTable(source, builder.finish(), header, findings, warnings)


def _name(delimiter: str) -> str:
    return _NAMES.get(delimiter, repr(delimiter))


def _below_first_line(reopen: Open) -> Open:
    """`reopen` without the first line of the text."""

    @contextmanager
    def below() -> Iterator[IO[str]]:
        with reopen() as file:
            file.readline()
            yield file

    return below


def has_header(rows: Sequence[Sequence[str]]) -> tuple[bool, str]:
    """Whether the first row names the columns, and why it seems so."""
    first = [cell.strip() for cell in rows[0]]
    rest = rows[1:]
    below = [
        [row[number].strip() for row in rest if number < len(row) and row[number].strip()]
        for number in range(len(first))
    ]
    again = [cell in column for cell, column in zip(first, below, strict=True)]
    unlike = [[cell.strip() for cell in row] for row in rest if row != rows[0]]  # files put together repeat a header
    known = [
        cell for number, cell in enumerate(first)
        if cell.lower() in KNOWN_NAMES and all(cell != row[number] for row in unlike if number < len(row))
    ]  # fmt: skip
    named = [cell for cell in first if cell]  # Excel leaves empty columns behind
    once = len(set(named)) == len(named)
    name_like = all(_NAME.fullmatch(cell) and not _NUMBER.fullmatch(cell) for cell in first)
    if known and name_like:
        return True, f"known name {known[0]!r}"
    if not rest:
        return False, "a single row"
    for number, (cell, column) in enumerate(zip(first, below, strict=True)):
        if column and all(_NUMBER.fullmatch(other) for other in column):
            if _NUMBER.fullmatch(cell):
                return False, f"column {number + 1} is a number in every row"
            if cell or name_like:
                return True, f"column {number + 1} is a number in every row but the first"
    if all(len(cell) <= _LONGEST_NAME for cell in first) and once and not any(again):
        for number, (cell, column) in enumerate(zip(first, below, strict=True)):
            if cell and not _NUMBER.fullmatch(cell) and len(column) >= _REPEATS * max(2, len(set(column))):
                return True, f"the values of column {number + 1} are few, and its first is none of them"
    if not name_like or not once:
        return False, "the first row looks like the others"
    for cell, repeated in zip(first, again, strict=True):
        if cell and repeated:
            return False, f"{cell!r} comes again below"
    for number, cell in enumerate(first):
        lengths = sorted(len(row[number]) for row in rest if number < len(row))
        if lengths and lengths[len(lengths) // 10] > 1.5 * len(cell) + 3:
            return True, "the first row is shorter than the texts below"
    return False, "the first row looks like the others"


def _field_counts(start: str, delimiter: str, quoting: int) -> list[int]:
    """Fields in each row of a file's beginning; a last row that is cut is left out. [] if it does not parse."""
    whole = start if len(start) < 100_000 else start[: max(start.rfind("\n"), start.rfind("\r")) + 1] or start
    try:
        reader = csv.reader(io.StringIO(whole, newline=""), delimiter=delimiter, quoting=quoting)  # type: ignore[arg-type]
        counts = [len(row) for row in islice(reader, _SAMPLE_ROWS) if row]
    except csv.Error:
        return []
    return counts


def _find_delimiter(start: str, prefer: str) -> str:
    """The delimiter under which most rows have as many fields as the first; `prefer` on a tie or if none divides."""
    scores: dict[str, tuple[float, bool, int]] = {}
    for delimiter in ("\t", ",", ";", "|"):
        for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_NONE):
            counts = _field_counts(start, delimiter, quoting)
            if counts and counts[0] > 1:
                share = sum(count == counts[0] for count in counts) / len(counts)
                score = (round(share, 2), delimiter == prefer, counts[0])
                scores[delimiter] = max(score, scores.get(delimiter, (0.0, False, 0)))
    return max(scores, key=lambda delimiter: scores[delimiter]) if scores else prefer


def _find_quoting(
    source: str, reopen: Open, delimiter: str, *, above: int, escaped: bool
) -> tuple[dict[str, Any], list[str]]:  # fmt: skip
    """How quotes are meant, by parsing the whole file each way: arguments of csv.reader, warnings.

    Args:
        above: lines of the file that `reopen` leaves out, before the others.
        escaped: its beginning has a quoted cell with a quote behind a backslash.
    """
    plain = _look(reopen, delimiter, csv.QUOTE_NONE, strict=False, above=above)
    quoted = _look(reopen, delimiter, csv.QUOTE_MINIMAL, strict=True, above=above)
    if quoted.clean:
        either = plain.clean and plain.fields == quoted.fields and plain.rows != quoted.rows
        if not either or (plain.fields == 1 and _hold_lines(reopen, delimiter)):
            return {"quoting": csv.QUOTE_MINIMAL, "strict": True}, []
    if escaped and _look(reopen, delimiter, csv.QUOTE_MINIMAL, strict=True, above=above, escapechar="\\").clean:
        return {"quoting": csv.QUOTE_MINIMAL, "strict": True, "escapechar": "\\"}, []
    if plain.clean:
        return {"quoting": csv.QUOTE_NONE}, []
    loose = _look(reopen, delimiter, csv.QUOTE_MINIMAL, strict=False, above=above)
    if loose.clean and quoted.error and "end of data" not in quoted.error:
        return {"quoting": csv.QUOTE_MINIMAL}, [
            f"Line {quoted.error_line}: a quote inside a quoted cell is not doubled; read as well as it can be."
        ]  # fmt: skip
    if quoted.error and "end of data" in quoted.error:
        raise InputError(
            f"{source}, line {quoted.error_line}: a quote is opened and never closed.",
            'Close it, or write a quote that is part of the text as "" inside a quoted cell.',
        )
    worst = min((look for look in (quoted, plain) if not look.error), key=lambda look: look.bad_rows)
    more = f" ({worst.bad_rows} such rows)" if worst.bad_rows > 1 else ""
    if worst.fields == 1 and worst.bad_rows > worst.rows / 2:
        raise InputError(
            f"{source}, line {worst.bad_line}: {worst.bad_fields} fields where the first row has 1{more}.",
            "Remove what stands above the table: its first row names the columns, or is an example.",
        )
    raise InputError(
        f"{source}, line {worst.bad_line}: {worst.bad_fields} fields where the first row has {worst.fields}{more}.",
        f"Quote cells that hold a {_name(delimiter)}, "
        + (
            "or remove the row."
            if quoted.rows == plain.rows
            else "and close each quote that is opened, in this line or before."
        ),
    )


def _hold_lines(reopen: Open, delimiter: str) -> bool:
    """Whether the quotes of a single column hold line breaks: other cells are quoted as well, or all of them are."""
    whole = opened = unquoted = 0
    inside = False
    with reopen() as file:
        for row in csv.reader(file, delimiter=delimiter, quoting=csv.QUOTE_NONE):
            text = "".join(row).replace('""', "")
            quotes = text.count('"')
            if inside and quotes == 1 and text.endswith('"'):
                inside = False
            elif not inside and quotes == 2 and text.startswith('"') and text.endswith('"'):
                whole += 1
            elif not inside and quotes == 1 and text.startswith('"'):
                opened, inside = opened + 1, True
            elif quotes:
                return False
            elif not inside and text:
                unquoted += 1
    return whole >= opened or unquoted <= 1  # a header may go without


def _look(
    reopen: Open, delimiter: str, quoting: int, *, strict: bool, above: int, escapechar: str | None = None
) -> _Look:  # fmt: skip
    look = _Look(quoting, strict)
    with reopen() as file:
        reader = csv.reader(file, delimiter=delimiter, quoting=quoting, strict=strict, escapechar=escapechar)  # type: ignore[arg-type]
        done = above
        try:
            for row in reader:
                if row:
                    look.fields = look.fields or len(row)
                    look.rows += 1
                    if len(row) != look.fields:
                        look.bad_rows += 1
                        if not look.bad_line:
                            look.bad_line, look.bad_fields = done + 1, len(row)
                done = above + reader.line_num
        except csv.Error as error:
            look.error, look.error_line = str(error), done + 1
    return look
