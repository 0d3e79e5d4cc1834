"""Words with tags in tables without lists: a row a word, or a cell a sentence, as Kaggle has them and pandas writes."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from ..errors import InputError
from .conll import TAG
from .table import RawTable

_SENTENCES = {"sentence", "sentenceid", "sentenceidx", "sentenceno", "sentencenumber", "sentencenum", "sentid", "sent"}
_WORDS = ("word", "words", "token", "tokens")
_TEXTS = ("tokens", "words", "text", "sentence", "sentences")
_TAGS = ("ner", "nertag", "nertags", "tag", "tags", "label", "labels", "wordlabels", "postags", "pos")
_ITEM = r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[^\s,'"\[\]]+"""
_LIST = re.compile(rf"\s*\[(?:[\s,]*(?:{_ITEM})(?=[\s,\]]))*[\s,]*\]\s*", re.DOTALL)
_SAMPLE = 200


@dataclass
class _Found:
    """The columns of words and of tags, and what their lists are to be called: as the user named the columns, if so."""

    words: str
    tags: str
    called: tuple[str, str]


def with_words(table: RawTable, text: str | None, label: str | None) -> RawTable:
    """The table with lists of words and of tags, where it has these in another form; else as it is.

    Args:
        text, label: columns that the user named.
    """
    names = {re.sub("[ _#-]", "", name.lower()): name for name in table.columns if name not in table.listed}
    tags = _first(names, label, _TAGS)
    for read, known in ((_word_rows, _WORDS), (_sentence_cells, _TEXTS)):
        words = _first(names, text, known)
        if words and tags and words != tags:
            read_table = read(table, _Found(words, tags, (text or "tokens", label or "tags")), names)
            if read_table is not None:
                return read_table
    return table


def _first(names: dict[str, str], given: str | None, known: Iterable[str]) -> str | None:
    """The column that the user named, or else the first of known names."""
    if given is not None:
        return next((name for name in names.values() if name.lower() == given.lower()), None)
    return next((names[each] for each in known if each in names), None)


def _word_rows(table: RawTable, found: _Found, names: dict[str, str]) -> RawTable | None:
    """A row a word, with the number of its sentence in each row or in the first alone.

    Raises:
        InputError: no column has the number.
    """
    import pyarrow as pa

    chosen = (found.words, found.tags)
    number = next((name for each, name in names.items() if each in _SENTENCES and name not in chosen), None)
    if not _short(table, found.words, 1) or (number is not None and not _short(table, number, 3)):
        return None
    if number is None:
        tags = [cell.strip() for cell in table.spread(found.tags, _SAMPLE) if cell and cell.strip()]
        if not {"O"} < {*tags} or not all(map(TAG.fullmatch, tags)):
            return None
        raise InputError(
            f"{table.source} has a word and its tag a row, and nothing says where sentences begin.",
            "Add a column called sentence_id with the number of each word's sentence.",
        )
    starts, last = [0], (table.head(number, 1)[0] or "").strip()
    for row, cell in enumerate(table.values(number)):
        if cell and cell.strip() not in ("", last):
            starts.append(row)
            last = cell.strip()
    if table.rows < 2 * len(starts):
        return None
    ends = [*starts[1:], table.rows]
    lists = [_cut(table.values(name), zip(starts, ends, strict=True)) for name in chosen]
    rest = {name: column.take(pa.array(starts)) for name, column in table.columns.items() if name != number}
    return _listed(table, rest, found, lists, f"a word a row, the sentences by column {number!r}")


def _short(table: RawTable, name: str, most: int) -> bool:
    """Whether the cells of a column have at most so many words."""
    return all(len((cell or "").split()) <= most for cell in table.spread(name, _SAMPLE))


def _cut(cells: list[str | None], places: Iterable[tuple[int, int]]) -> Iterator[list[Any]]:
    for begin, end in places:
        yield [cell or "" for cell in cells[begin:end]]


def _sentence_cells(table: RawTable, found: _Found, names: dict[str, str]) -> RawTable | None:
    """A sentence a row: lists written as text, or tags for the words of a text."""
    chosen = (found.words, found.tags)
    rows = zip(*(table.spread(name, _SAMPLE) for name in chosen), strict=True)
    pairs = [(words, tags) for words, tags in rows if words and tags]
    lists = all(_LIST.fullmatch(cell) for pair in pairs for cell in pair)
    tagged = all(TAG.fullmatch(str(each)) for _, tags in pairs for each in _parts(tags))
    alike = sum(len(_parts(words)) == len(_parts(tags)) for words, tags in pairs)
    several = any(len(_parts(tags)) > 1 for _, tags in pairs)
    if not several or not (lists or tagged) or alike < 0.9 * len(pairs):
        return None
    cells = [(_parts(cell or "") for cell in table.values(name)) for name in chosen]
    return _listed(
        table, table.columns, found, cells, "a sentence a row, words and tags in {!r} and {!r}".format(*chosen)
    )


def _parts(cell: str) -> list[Any]:
    """The items of a list as Python or NumPy writes it, or the words of a text."""
    if not _LIST.fullmatch(cell):
        return cell.split()
    return [_item(each) for each in re.findall(_ITEM, cell.strip()[1:-1], re.DOTALL)]


def _item(text: str) -> Any:
    return ast.literal_eval(text) if text[0] in "'\"" else text


def _listed(
    table: RawTable, rest: dict[str, Any], found: _Found, lists: Iterable[Iterable[list[Any]]], finding: str
) -> RawTable:
    """The table with the lists beside its other columns."""
    import pyarrow as pa

    columns = {name: column for name, column in rest.items() if name not in (found.words, found.tags)}
    for name, rows in zip(found.called, lists, strict=True):
        cells = (json.dumps(row, ensure_ascii=False) for row in rows)
        columns[name] = pa.chunked_array([pa.array(cells, pa.large_string())])
    listed = {*table.listed, *found.called}
    return replace(table, columns=columns, findings=[*table.findings, f"words: {finding}"], listed=listed)
