"""Which task a table is for: by its form, then by its labels. What is found out is said in words."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import InputError
from ..kinds import KINDS
from ..spec import DataSpec
from . import several
from .columns import Columns, find_columns
from .labels import clean_label, looks_like_scores, many_numbers, with_points
from .names import TEXT_NAMES
from .table import RawTable

WORD_COLUMNS = (
    ("tokens", "ner_tags"), ("tokens", "tags"), ("tokens", "labels"), ("tokens", "ner"), ("tokens", "pos_tags"),
    ("words", "tags"), ("words", "labels"), ("words", "ner_tags"), ("words", "ner"),
)  # fmt: skip
"""Names of the lists of words and of tags, the surest first."""
_SAMPLE = 2000


def word_columns(table: RawTable, spec: DataSpec, *, asked: bool = True) -> tuple[str, str | None] | None:
    """The columns with lists of words and of tags; None where the table has no such lists, or another text is named.

    Args:
        asked: words are what is to be read; else words without tags beside whole texts are no more than an extra.
    """
    lower = {name.lower(): name for name in table.columns if name in table.listed}
    whole = {name.lower() for name in table.columns if name not in table.listed}
    words = (spec.text_column or "").lower()
    if words in whole:
        return None
    if words in lower:
        usual = [second for first, second in WORD_COLUMNS if first == words and second in lower]
        return lower[words], lower.get((spec.label_column or next(iter(usual), "")).lower())
    for first, second in WORD_COLUMNS:
        if first in lower and (second in lower or (spec.label_column or "").lower() in lower):
            return lower[first], lower.get((spec.label_column or second).lower())
    for name in ("tokens", "words"):
        if name in lower and (asked or not whole & set(TEXT_NAMES)):
            return lower[name], None
    return None


def has_spans(table: RawTable) -> bool:
    """Whether the table holds questions, contexts and answers."""
    lower = {name.lower(): name for name in table.columns}
    return "question" in lower and "context" in lower and (
        "answers" not in lower or lower["answers"] in table.listed or _hold_answers(table.head(lower["answers"], 20))
    )  # fmt: skip


def _hold_answers(cells: Sequence[str | None]) -> bool:
    """Whether cells of a table without lists (CSV) hold answers as JSON, or Python, writes them."""
    filled = [cell.strip() for cell in cells if cell and cell.strip()]
    return bool(filled) and all(cell[0] in "[{" for cell in filled)


def _labelled_pairs(table: RawTable, spec: DataSpec) -> bool:
    """Whether questions and contexts without answers have a label: one is named, or known by name."""
    if any(name.lower() == "answers" for name in table.columns):
        return False
    return spec.label_column is not None or texts_columns(table, spec, task="auto", needed=False).label is not None


def _are_shares(cells: Sequence[str | None]) -> bool:
    """Whether numbers are from 0 to 1, as those that tell how sure somebody was of a class."""
    return all(0 <= float(cell) <= 1 for cell in map(clean_label, cells) if cell is not None)


def is_plain(table: RawTable) -> bool:
    """Whether the table is plain text, a text a line, and nothing else."""
    return not table.header and list(table.columns) == ["text"]


def find_kind(table: RawTable, spec: DataSpec, *, task: str, unlabelled: bool) -> tuple[str, list[str]]:
    """The task type, and words about how it was found.

    Args:
        task: auto, or the type that the user or a trained model asks for.
        unlabelled: a trained teacher answers, so labels need not be there.

    Raises:
        InputError: the task is unknown.
    """
    if task != "auto":
        if task not in KINDS:
            raise InputError(f"The task {task!r} is unknown.", f"Tasks are: {', '.join(KINDS)}.")
        return task, []
    if word_columns(table, spec, asked=False) is not None:
        return "token-classification", ["task: token-classification (a tag for each word)"]
    if has_spans(table) and not _labelled_pairs(table, spec):
        return "question-answering", ["task: question-answering (questions, contexts, answers)"]
    if (flags := several.looks_flagged(table)) and spec.label_column is None:
        return "multi-label", [f"task: multi-label ({len(flags)} columns of 0 and 1)"]
    if spec.label_column is not None and spec.label_column not in table.columns and "," in spec.label_column:
        return "multi-label", ["task: multi-label (several label columns)"]
    if is_plain(table) and not unlabelled:
        return "masked-lm", ["task: masked-lm (plain text without labels; for another task name the column with the "
                             "labels in a table)"]  # fmt: skip
    columns = texts_columns(table, spec, task="auto")
    nameless_pair = not table.header and columns.pair is not None and spec.label_column is None
    if nameless_pair or (columns.label is None and table.header):  # STS-B's file has the genre before the score
        scored = texts_columns(table, spec, task="regression")
        cells = table.spread(scored.label, _SAMPLE) if scored.label is not None else []
        cells = with_points(cells) or cells
        if looks_like_scores(cells) and not (columns.label is not None and _are_shares(cells)):
            columns = scored
    if columns.label is None:
        return "classification", []
    if columns.label in table.listed:
        return "multi-label", [f"task: multi-label (lists of labels in {columns.label!r})"]
    cells = table.spread(columns.label, _SAMPLE)
    points = with_points(cells)
    if looks_like_scores(points or cells) and not (points and several.are_numbered(cells)):
        found = f"{columns.label!r} holds numbers that are no classes"
        if points and several.find_delimiter(cells):
            found += ", with a decimal comma; if these are several labels each: --task multi-label"
        return "regression", [f"task: regression ({found})"]
    whole = points is not None and all(float(cell).is_integer() for cell in points if cell is not None)
    if not whole and (delimiter := several.find_delimiter(cells)):
        if several.holds_lists(cells):
            return "multi-label", [f"task: multi-label (lists of labels in {columns.label!r})"]
        return "multi-label", [
            f"task: multi-label ({columns.label!r} holds several labels, separated by "
            f"{several.delimiter_words(delimiter)}; if these are one each: --task classification)"
        ]  # fmt: skip
    names = {cell for cell in points or map(clean_label, cells) if cell}
    scale = "; for numbers on a scale: --task regression" if many_numbers(names) else ""
    return "classification", [f"task: classification (by the labels in {columns.label!r}{scale})"]


def texts_columns(
    table: RawTable, spec: DataSpec, *, task: str, needed: bool = True, labels: Sequence[str] = ()
) -> Columns:
    """The columns of a table of texts, for a task.

    Args:
        labels: those of a model, which columns of 0 and 1 may be called by.

    Raises:
        InputError: a named column is not there, or no column looks like text.
    """
    label = spec.label_column
    flags: list[str] = []
    if task == "multi-label" and label and label not in table.columns and "," in label:
        flags = [name.strip() for name in label.split(",") if name.strip()]
    elif task == "multi-label" and label is None:
        flags = several.looks_flagged(table, labels)
    if flags:
        columns = find_columns(
            table, text=spec.text_column, pair=spec.text_pair_column, label=None, label_needed=False, ignore=flags
        )
        if columns.label and not labels and label is None:
            columns.warnings.append(
                f"{', '.join(map(repr, flags[:8]))} are taken for the labels; {columns.label!r} could be it too. "
                "Overrule it with --label-column."
            )
        columns.label = ", ".join(flags)
        columns.flags = flags
        columns.findings = [line for line in columns.findings if not line.startswith("label:")]
        columns.findings.append(f"labels: {len(flags)} columns of 0 and 1: {', '.join(map(repr, flags[:8]))}")
        return columns
    columns = find_columns(
        table, text=spec.text_column, pair=spec.text_pair_column, label=label,
        label_needed=needed and task != "regression", kind=task,
    )  # fmt: skip
    return columns
