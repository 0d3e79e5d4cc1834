"""The list of examples in parsed JSON, in whichever of the usual forms it stands."""

from __future__ import annotations

from typing import Any

from .own_split import is_part

_TEXTS, _LABELS = ("patterns", "utterances", "examples"), ("tag", "intent", "label")


def json_rows(content: Any) -> Any:
    """The examples of a JSON file; content of other forms as it is."""
    if isinstance(content, dict):
        content = _of_object(content)
    return _by_label(content) if isinstance(content, list) else content


def _of_object(content: dict[str, Any]) -> Any:
    if holds_columns(content):
        return _zipped(content, *map(dict.values, content.values()))
    if holds_rows(content):
        return list(content.values())
    if {"columns", "data"} <= content.keys() <= {"columns", "data", "index"} and _are_lists(content["data"]):
        return [dict(zip(content["columns"], row, strict=False)) for row in content["data"]]
    lists = {key: value for key, value in content.items() if isinstance(value, list)}
    if len(lists) == 1:
        return next(iter(lists.values()))
    if lists and len(lists) == len(content) and all(map(is_part, lists)):
        return [{"split": part, **row} if isinstance(row, dict) else row for part in lists for row in lists[part]]
    if len(lists) > 1 and len(lists) == len(content) and len(set(map(len, lists.values()))) == 1:
        return _zipped(lists, *lists.values())
    return content


def _are_lists(rows: Any) -> bool:
    return isinstance(rows, list) and all(isinstance(row, list) for row in rows)


def _zipped(names: Any, *columns: Any) -> list[dict[str, Any]]:
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def holds_columns(content: Any) -> bool:
    """Whether parsed JSON has the cells of each column by the number of their row, as pandas writes tables."""
    columns = list(content.values()) if isinstance(content, dict) else []
    return len(columns) > 1 and all(
        isinstance(column, dict) and column and list(column) == list(columns[0]) and all(map(str.isdecimal, column))
        for column in columns
    )


def holds_rows(content: Any) -> bool:
    """Whether parsed JSON has each example by its number or name."""
    rows = list(content.values()) if isinstance(content, dict) else []
    return len(rows) > 1 and all(
        isinstance(row, dict) and len(row) > 1 and row.keys() == rows[0].keys() for row in rows
    )


def _by_label(rows: list[Any]) -> list[Any]:
    """An example for each text of rows that are labels with lists of texts, as chatbots' intents are written."""
    first = rows[0] if rows and isinstance(rows[0], dict) else {}
    texts, label = (next((key for key in keys if key in first), "") for keys in (_TEXTS, _LABELS))
    if not all(
        isinstance(row, dict) and isinstance(row.get(texts), list) and isinstance(row.get(label), str) for row in rows
    ):
        return rows
    return [{"text": text, "label": row[label]} for row in rows for text in row[texts]]
