"""Which column is the text, the second text, the label: by what the user said, by name, then by content."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from ..errors import InputError
from .labels import clean_label
from .names import LABEL_NAMES, OTHER_NAMES, PAIR_NAMES, TEXT_NAMES
from .table import RawTable, unique_names

_SAMPLE = 2000
_FEW = 20
"""Rows too few to tell identifiers from texts that happen to be short."""
_ID = re.compile(r"(.*[a-z0-9])(?:[ _-](?:id|Id|ID)|Id|ID)")
_JUDGEMENTS = {"accept", "reject", "ignore"}
_NUMBER = re.compile(r"\s*[-+]?(\d+[.,]?\d*|\.\d+)([eE][-+]?\d+)?\s*")


@dataclass
class Columns:
    """The chosen columns and why."""

    text: str
    pair: str | None
    label: str | None
    findings: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    available: tuple[str, ...] = ()
    """Every column of the table."""
    flags: list[str] = field(default_factory=list)
    """Columns of 0 and 1 that are the labels together; `label` is then just a name for them."""


@dataclass
class _Shape:
    """What a column looks like, from its first rows."""

    filled: int
    words: float
    distinct: int
    numeric: float
    patterns: int = 0
    """Different cells, digits aside."""
    digits: float = 0
    """Their share of the characters."""

    @property
    def like_dates(self) -> bool:
        """Whether cells are largely digits and differ by them, as dates do."""
        return self.digits > 0.25 and self.distinct > 8 * self.patterns

    @property
    def like_text(self) -> bool:
        return self.filled > 0 and self.numeric < 0.5 and (self.words >= 2.5 or self.distinct > 0.8 * self.filled)

    @property
    def like_label(self) -> bool:
        few = self.distinct <= max(2, 0.5 * self.filled) and self.distinct <= 1000
        return self.filled > 0 and few and self.words <= 5


def find_columns(
    table: RawTable,
    *,
    text: str | None = None,
    pair: str | None = None,
    label: str | None = None,
    label_needed: bool = True,
    kind: str = "auto",
    ignore: Sequence[str] = (),
) -> Columns:
    """Choose the columns of a table; what the user names wins.

    Args:
        label_needed: with False a table without labels is fine, and a column is taken for the label by its name only.
        kind: the task: regression takes any column of numbers for the label, multi-label any column of lists.
        ignore: columns that are left out of account.

    Raises:
        InputError: a named column is not there (the message lists those that are), or no text column can be found.
    """
    given_text, given_pair, given_label = (_given(table, name) for name in (text, pair, label))
    given = {"text": given_text, "second text": given_pair, "label": given_label}
    _each_once(table, given)
    shapes = {name: _shape(table, name) for name in table.columns}
    found = Columns("", given_pair, given_label)
    reasons = {}
    taken = {name for name in (given_text, given_pair, given_label, *ignore) if name}
    lower = _by_name(name for name in table.columns if name not in taken)

    if given_text is None and given_pair is None:
        for first, second in PAIR_NAMES:
            if first in lower and second in lower and all(shapes[lower[n]].like_text for n in (first, second)):
                if {second} & set(LABEL_NAMES) and given_label is None and not set(lower) & set(LABEL_NAMES) - {second}:
                    continue  # question and answer alone: the answer is the label
                given_text, found.pair = lower[first], lower[second]
                reasons["text"] = reasons["second text"] = "by name"
                break
    if given_text is None:
        given_text, reasons["text"] = _find_text(table, shapes, taken | {found.pair or ""}, given)
    found.text = given_text
    taken |= {found.text, found.pair or ""}
    if found.pair is None and not table.header and given_pair is None:
        others = [
            name for name, shape in shapes.items() if name not in taken and _second_text(shape, shapes[found.text])
        ]
        if len(others) == 1:
            found.text, found.pair = sorted((found.text, others[0]), key=list(table.columns).index)
            taken.add(found.pair)
            reasons["second text"] = "by content: two columns hold texts"
            found.warnings.append(
                f"{found.text!r} and {found.pair!r} are taken for pairs of texts, because both hold texts. Overrule it "
                "with --text-column and --text-pair-column."
            )
    if (example := _identifier(table, found.text, shapes[found.text])) and found.pair is None:
        found.warnings.append(f"{found.text!r} holds identifiers rather than texts, such as {example!r}.")
    if found.label is None:
        found.label, reasons["label"] = _find_label(
            table, {name: shape for name, shape in shapes.items() if name not in ignore}, taken, found,
            by_content=label_needed, kind=kind,
        )  # fmt: skip
    for role, name in (("text", found.text), ("second text", found.pair), ("label", found.label)):
        if name is not None:
            found.findings.append(f"{role}: column {name!r} ({reasons.get(role, 'as given')})")
    unused = [
        name for name, shape in shapes.items()
        if name not in (found.text, found.pair, found.label, *ignore)
        and shape.like_text and name.lower() not in OTHER_NAMES
    ]  # fmt: skip
    if unused and table.header:
        found.findings.append(f"not used: {', '.join(map(repr, unused))}")
    return found


def _identifies(name: str) -> bool:
    """Whether a column is called as identifiers are, such as query_id; class_id is none."""
    match = _ID.fullmatch(name)
    return match is not None and match[1].lower() not in LABEL_NAMES


def _judges(table: RawTable, name: str) -> bool:
    """Whether a column tells what somebody thought of a label that was proposed, as Prodigy writes it."""
    return name.lower() == "answer" and {*table.spread(name, _SAMPLE)} <= _JUDGEMENTS


def _by_name(names: Iterable[str]) -> dict[str, str]:
    """Columns by their names in small letters, `_` or nothing for what parts their words; and by the inner name where
    an object in an object has it alone."""
    lower = {name.lower(): name for name in names}
    inner = {each.rpartition(".")[2]: name for each, name in lower.items()}
    spelt = {re.sub("[ _-]", fill, each): name for fill in ("", "_") for each, name in (inner | lower).items()}
    return spelt | inner | lower


def _given(table: RawTable, name: str | None) -> str | None:
    """The column the user named: exactly, without regard to case, or by its number where names are missing."""
    if name is None:
        return None
    if name in table.columns:
        return name
    alike = [column for column in table.columns if column.lower() == name.strip().lower()]
    if len(alike) == 1:
        return alike[0]
    if name.isdigit() and not table.header and 1 <= int(name) <= len(table.columns):
        return list(table.columns)[int(name) - 1]
    raise InputError(
        f"There is no column {name!r} in {table.source}.", f"Its columns are: {', '.join(map(repr, table.columns))}."
    )


def named_by_first_row(table: RawTable, names: Sequence[str | None]) -> RawTable:
    """The table with its first row as header, where it seemed to have none but the user's names stand there."""
    if table.header or not table.rows:
        return table
    first = [(table.head(column, 1)[0] or "").strip() for column in table.columns]
    wanted = [name.strip().lower() for name in names if name and name not in table.columns and not name.isdigit()]
    if not wanted or not {*wanted} <= {cell.lower() for cell in first}:
        return table
    columns = dict(zip(unique_names(first), (column[1:] for column in table.columns.values()), strict=True))
    findings = [each for each in table.findings if not each.startswith("header: ")]
    return replace(table, columns=columns, header=True, findings=[*findings, "header: yes (its names are given)"])


def _each_once(table: RawTable, given: dict[str, str | None]) -> None:
    roles: dict[str, str] = {}
    for role, name in given.items():
        if name is not None and roles.setdefault(name, role) != role:
            raise InputError(
                f"Column {name!r} of {table.source} is given as the {roles[name]} and as the {role}.",
                f"Give each a column of its own; the columns are: {', '.join(map(repr, table.columns))}.",
            )


def _shape(table: RawTable, name: str) -> _Shape:
    if name in table.listed:
        return _Shape(0, 0, 0, 0)
    cells = [cell for cell in map(clean_label, table.spread(name, _SAMPLE)) if cell is not None]
    count = len(cells) or 1
    return _Shape(
        filled=len(cells),
        words=sum(_words(cell) for cell in cells) / count,
        distinct=len(set(cells)),
        numeric=sum(bool(_NUMBER.fullmatch(cell)) for cell in cells) / count,
        patterns=len({re.sub(r"\d+", "0", cell) for cell in cells}),
        digits=sum(map(str.isdigit, "".join(cells))) / max(1, sum(map(len, cells))),
    )


def _few_names(table: RawTable, name: str) -> bool:
    """Whether a column's lists hold names, each of them again and again."""
    names: list[str] = []
    for cell in filter(None, table.spread(name, _SAMPLE)):
        content = json.loads(cell)
        if not isinstance(content, list) or not all(isinstance(each, str) for each in content):
            return False
        names += content
    return 1 < len(set(names)) <= min(1000, len(names) / 3)


def _words(cell: str) -> float:
    """Words, counting every three letters as one where a script has no spaces."""
    spaced = len(cell.split())
    return max(spaced, len(cell) / 3) if not cell.isascii() and _CJK.search(cell) else spaced


_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\u0e00-\u0e7f]")


def _identifier(table: RawTable, name: str, shape: _Shape) -> str | None:
    """One of the column's cells, if they are all different single words with digits in them."""
    if shape.words > 1.05 or shape.distinct < 0.95 * shape.filled or shape.filled < _FEW:
        return None
    cells = [cell.strip() for cell in table.head(name, _SAMPLE) if cell and cell.strip()]
    return cells[0] if sum(any(map(str.isdigit, cell)) for cell in cells) > 0.95 * len(cells) else None


def _second_text(shape: _Shape, first: _Shape) -> bool:
    """Whether a nameless column is a second text: words in sentences, hardly repeated, of like length."""
    return (
        shape.like_text
        and shape.like_dates == first.like_dates
        and shape.words >= 3
        and first.words >= 3
        and shape.distinct > 0.3 * shape.filled
        and 0.2 < shape.words / first.words < 5
    )


def _find_text(
    table: RawTable, shapes: dict[str, _Shape], taken: set[str], given: dict[str, str | None]
) -> tuple[str, str]:
    free = {name: shape for name, shape in shapes.items() if name not in taken}
    by_name = _by_name(free)
    for known in TEXT_NAMES:
        if known in by_name and (free[by_name[known]].like_text or known in TEXT_NAMES[:4]):
            name = by_name[known]
            if free[name].numeric < 0.9:
                return name, "by name"
    candidates = [
        name for name, shape in free.items()
        if shape.like_text and name.lower() not in OTHER_NAMES and name.lower() not in LABEL_NAMES[:8]
    ]  # fmt: skip
    if not candidates:
        used = [f"{name!r} is given as the {role}" for role, name in given.items() if name and shapes[name].like_text]
        raise InputError(
            f"No {'other ' if used else ''}column of {table.source} looks like text{': ' if used else ''}"
            f"{' and '.join(used)}.",
            f"Name it with --text-column; the columns are: {', '.join(map(repr, table.columns))}.",
        )
    best = max(candidates, key=lambda name: (not free[name].like_dates, free[name].words))
    return best, "by content: the longest texts"


def _unlikely(table: RawTable, name: str, kind: str) -> bool:
    """Whether a nameless column is a label less than others: CoLA's has 0 and 1, and a score has decimals."""
    cells = {cell for cell in table.spread(name, _SAMPLE) if cell}
    return all(map(str.isdecimal, cells)) if kind == "regression" else cells != {"0", "1"}


def _find_label(
    table: RawTable, shapes: dict[str, _Shape], taken: set[str], found: Columns, *, by_content: bool,
    kind: str,
) -> tuple[str | None, str]:  # fmt: skip
    free = {name: shape for name, shape in shapes.items() if name not in taken and not _judges(table, name)}
    by_name = _by_name(free)
    if kind in ("auto", "multi-label"):
        lists = [name for name in free if name in table.listed and name.lower() not in OTHER_NAMES]
        named = [by_name[known] for known in LABEL_NAMES if by_name.get(known) in lists]
        if named or (len(lists) == 1 and kind == "multi-label"):
            return (named or lists)[0], "by name" if named else "the only column of lists"
        if not set(by_name) & set(LABEL_NAMES):
            few = [name for name in lists if _few_names(table, name)]
            if len(few) == 1:
                return few[0], "by content: lists of few different names"
    if kind == "regression":
        free = {  # of a column with such a name, what is no number is told later
            name: shape for name, shape in free.items() if shape.numeric > (0.5 if name.lower() in LABEL_NAMES else 0.9)
        }
        by_name = _by_name(free)
    # A name is enough where the column is unlike text; "answer" or "title" full of sentences is no label.
    acceptable: list[Callable[[str], bool]] = [
        lambda name: free[name].like_label or free[name].numeric > 0.9 or kind == "regression",
        lambda name: name.lower() in LABEL_NAMES[:8],
    ]
    for test in acceptable:
        for known in LABEL_NAMES:
            if known in by_name and test(by_name[known]):
                return by_name[known], "by name"
    candidates = [
        name for name, shape in free.items()
        if (shape.like_label if by_content else kind == "regression") and name.lower() not in OTHER_NAMES
    ] if by_content or kind == "regression" else []  # fmt: skip
    if not candidates:
        return None, ""
    candidates.sort(key=lambda name: (
        not table.header and _unlikely(table, name, kind),
        shapes[name].distinct < 2, shapes[name].numeric > 0.9 and shapes[name].distinct > 50, _identifies(name),
        not {*re.split("[ _-]", name.lower())} & {*LABEL_NAMES},  # toxicity_label before country
    ))  # fmt: skip
    best = candidates[0]
    if len(candidates) > 1:
        found.warnings.append(
            f"{best!r} is taken for the label; {', '.join(map(repr, candidates[1:]))} could be it too. "
            "Overrule it with --label-column."
        )
    return best, "by content: few different values"
