"""Questions about contexts in SQuAD's JSON, and in tables with the columns question, context and answers."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

from ..errors import InputError
from .table import RawTable, TableBuilder

ANSWER_PARTS = (
    ("answers.text", "answers.answer_start"), ("answer_text", "answer_start"), ("answer", "answer_start"),
    ("text", "answer_start"),
)  # fmt: skip
"""Columns of texts and of places that stand for `answers`, where a table has its parts."""

_CLASSES = 20
"""Different answers up to which they are taken for classes, such as yes and no."""


def is_squad(content: Any) -> bool:
    """Whether parsed JSON is a SQuAD file."""
    articles = content.get("data") if isinstance(content, dict) else None
    return (
        isinstance(articles, list) and bool(articles) and isinstance(articles[0], dict) and "paragraphs" in articles[0]
    )


def read_squad(source: str, content: dict[str, Any]) -> RawTable:
    """One row a question: question, context, answers (`{"text": [...], "answer_start": [...]}` as JSON), id.

    Raises:
        InputError: the structure is not SQuAD's; names the place.
    """
    builder = TableBuilder(["question", "context", "answers", "id"])
    for number, article in enumerate(content["data"], 1):
        try:
            for paragraph in article["paragraphs"]:
                for question in paragraph["qas"]:
                    given = _given(question, paragraph["context"])
                    answers = None if given is None else json.dumps({
                        "text": [str(answer["text"]) for answer in given],
                        "answer_start": [int(answer["answer_start"]) for answer in given],
                    }, ensure_ascii=False)  # fmt: skip
                    builder.add([str(question["question"]), str(paragraph["context"]), answers,
                                 str(question.get("id", ""))])  # fmt: skip
        except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
            raise InputError(
                f"{source}, article {number}: not as in SQuAD's files ({type(error).__name__}: {error}).",
                "Each paragraph needs a context and qas, each of these a question and answers with text and "
                "answer_start.",
            ) from None
    if not len(builder):
        raise InputError(f"{source} holds no questions.", "Give a file in SQuAD's form.")
    columns = builder.finish()
    return RawTable(source, columns, findings=["format: SQuAD JSON"], warnings=builder.warnings, listed={"answers"})


def with_questions(table: RawTable) -> RawTable:
    """A row a question of a table whose rows are contexts with lists of questions (`qas`), as SimpleTransformers and
    MRQA write them.

    Raises:
        InputError: as `read_squad`.
    """
    lower = {name.lower(): name for name in table.columns}
    if not {"context", "qas"} <= lower.keys() or lower["qas"] not in table.listed:
        return table
    rows = zip(table.values(lower["context"]), table.values(lower["qas"]), strict=True)
    paragraphs = [{"context": context, "qas": _content(cell)} for context, cell in rows if cell]
    found = read_squad(table.source, {"data": [{"paragraphs": [each]} for each in paragraphs]})
    return replace(found, findings=[*table.findings, "questions: lists of them in 'qas'"], warnings=table.warnings)


def _content(cell: str) -> Any:
    try:
        return json.loads(cell)
    except ValueError:  # a text among lists, which is refused as the question that it is not
        return cell


def _given(question: dict[str, Any], context: str) -> list[dict[str, Any]] | None:
    """The answers of a question; those of MRQA are from which character of the context to which."""
    if question.get("is_impossible"):
        return []
    if "detected_answers" not in question:
        return question.get("answers")
    spans = [span for each in question["detected_answers"] for span in each["char_spans"]]
    return [{"text": context[begin : end + 1], "answer_start": begin} for begin, end in spans]


def with_answers(table: RawTable, label: str | None = None) -> RawTable:
    """A table of questions and contexts with one column of answers, where it has their texts and places in two."""
    import pyarrow as pa

    lower = {name.lower(): name for name in table.columns}
    parts = next((pair for pair in ANSWER_PARTS if lower.keys() >= {"question", "context", *pair}), None)
    if "answers" not in lower and parts is None:
        return _found_answers(table, lower, label)
    if parts is None or "answers" in lower:
        return table
    names = [lower[part] for part in parts]
    listed = table.listed >= {*names}
    rows = zip(*map(table.values, names), strict=True)
    cells = [_answers(text, start, listed) for text, start in rows]
    columns = {name: column for name, column in table.columns.items() if name not in names}
    columns["answers"] = pa.chunked_array([pa.array(cells, pa.large_string())])
    findings = [*table.findings, f"answers: columns {names[0]!r} and {names[1]!r}"]
    return replace(table, columns=columns, findings=findings, listed={*table.listed, "answers"} - {*names})


def _found_answers(table: RawTable, lower: dict[str, str], label: str | None) -> RawTable:
    """A table of questions, contexts and texts of answers, with the first place of each in its context."""
    import pyarrow as pa

    name = next((lower[each] for each in ("answer", "answer_text") if each in lower), None)
    if name is None or not lower.keys() >= {"question", "context"} or name in {*table.listed, label}:
        return table
    rows = [*zip(table.values(lower["context"]), table.values(name), strict=True)]
    places = [context.find(text.strip()) if context and text and text.strip() else None for context, text in rows]
    given = [place for place in places if place is not None]
    if len({text for _, text in rows}) <= min(_CLASSES, table.rows / 2) or sum(
        place >= 0 for place in given
    ) < 0.95 * len(given):
        return table
    cells = [
        json.dumps({"text": [text.strip()], "answer_start": [place]})
        if text and place is not None and place >= 0
        else None
        for place, (_, text) in zip(places, rows, strict=True)
    ]
    columns = {each: column for each, column in table.columns.items() if each != name}
    columns["answers"] = pa.chunked_array([pa.array(cells, pa.large_string())])
    findings = [*table.findings, f"answers: column {name!r}, each at its first place in the context"]
    return replace(table, columns=columns, findings=findings, listed={*table.listed, "answers"})


def _answers(text: str | None, start: str | None, listed: bool) -> str | None:
    """The two cells as one; None where both are empty."""
    if not (text or "").strip() and not (start or "").strip():
        return None
    parts = [json.loads(text or "[]"), json.loads(start or "[]")] if listed else [text or "", start or ""]
    if not listed:
        parts[1] = parts[1].removesuffix(".0")  # as pandas writes numbers beside gaps
    return json.dumps(dict(zip(("text", "answer_start"), parts, strict=True)), ensure_ascii=False)


def answer_of(cell: str | None, context: str, where: str) -> tuple[tuple[int, int] | None, list[str], bool]:
    """Where the first answer stands in the context, in characters, all right answers, and whether
    it was found beside the place that is given (the nearest one counts); None without a label.

    No answer at all (SQuAD 2.0) is (0, 0) and [""].

    Raises:
        InputError: the cell is no list of answers, or an answer does not stand where it says.
    """
    if cell is None or not cell.strip():
        return None, [], False
    try:
        content = json.loads(cell)
        if isinstance(content, dict):
            found = [content[name] for name in ("text", "answer_start")]
            given, places = [each if isinstance(each, list) else [each] for each in found]  # one may stand alone
        else:
            given = [answer["text"] for answer in content]
            places = [answer["answer_start"] for answer in content]
        texts = [str(text) for text in given]
        starts = [int(start) for start, _ in zip(places, texts, strict=True)]
    except (ValueError, KeyError, TypeError, OverflowError):
        raise InputError(
            f"{where}: {cell[:60]!r} is no list of answers.",
            'Write {"text": ["..."], "answer_start": [12]}, as SQuAD does.',
        ) from None
    if not any(text.strip() for text in texts):
        return (0, 0), [""], False
    begin, text = next((start, text) for start, text in zip(starts, texts, strict=True) if text.strip())
    moved, texts = False, [text for text in texts if text.strip()]
    if begin < 0 or context[begin : begin + len(text)] != text:
        where_it_is = [match.start() for match in re.finditer(f"(?={re.escape(text)})", context)]
        if not where_it_is:
            raise InputError(
                f"{where}: the answer {text[:60]!r} is not in its context at character {begin}.",
                "Correct answer_start: it counts characters from 0.",
            )
        begin, moved = min(where_it_is, key=lambda place: abs(place - begin)), True
    return (begin, begin + len(text)), list(dict.fromkeys(texts)), moved
