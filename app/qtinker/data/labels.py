"""Labels as words or numbers in a file, to class indices in a fixed order."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..errors import InputError
from ..label_order import nameless
from .examples import NO_LABEL

_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
_DECIMALS = re.compile(r"[-+]?\d*\.(\d*[1-9]\d*)")
_MISSING = frozenset({"", "nan", "null", "<na>"})
_PERHAPS_MISSING = frozenset({"na", "n/a", "none", "-", "?"})
_MOST_SCORES = 20
_COMMA = re.compile(r"[-+]?\d+,\d+")


@dataclass
class LabelSet:
    """Class names in their order; index of a name is the class index."""

    names: tuple[str, ...]
    warnings: list[str] = field(default_factory=list)


def clean_label(cell: str | None) -> str | None:
    """A label without surrounding space; None where it is missing (empty, null, NaN)."""
    cell = (cell or "").strip()
    return None if cell.lower() in _MISSING else cell


def missing_words(values: Iterable[str | None]) -> list[str]:
    """What is to be told of cells whose words stand for no label ("null", "nan"): each word and how often it comes."""
    words = Counter(word for cell in values if (word := (cell or "").strip()) and word.lower() in _MISSING)
    return [f"{word!r} is read as no label ({count:,} row{'s' * (count > 1)})" for word, count in sorted(words.items())]


def perhaps_missing(names: Sequence[str]) -> list[str]:
    """What is to be told of classes whose names might stand for no label: "NA", "none", -1 before 0, 1, 2 (-1, 0 and 1
    are often opinions)."""
    hidden = len(names) > 3 and set(names) == {str(number) for number in range(-1, len(names) - 1)}
    return [
        f"{name!r} is read as a class: where it means that there is no label, leave the cell empty"
        for name in names if name.lower() in _PERHAPS_MISSING or (hidden and name == "-1")
    ]  # fmt: skip


def canonical(*files: Iterable[str | None], known: Iterable[str] = ()) -> list[str | None]:
    """Cells to label names: missing ones None; if all are numbers, 1.0 and 01 become 1; True becomes true.

    Codes keep the zeros of their decimals (1.10). -100 is what training code writes for "no label", so it is missing
    among numbers.

    Args:
        files: the cells of each; their names come one file after the other.
        known: the labels of an existing model, which may be codes where a file's look like numbers.
    """
    parts = [[clean_label(value) for value in values] for values in files]
    cleaned = [value for part in parts for value in part]
    distinct = {value for value in cleaned if value is not None}
    if distinct and all(_NUMBER.fullmatch(value) for value in distinct):
        codes = are_codes(known) or any(are_codes(value for value in {*part} if value) for part in parts)
        names: dict[str, str | None] = {value: number_name(value) for value in distinct}
        if codes:
            names |= {value: value for value in distinct if _DECIMALS.fullmatch(value)}
        return [None if value is None or names[value] == str(NO_LABEL) else names[value] for value in cleaned]
    if distinct and {value.lower() for value in distinct} <= {"true", "false"}:
        return [None if value is None else value.lower() for value in cleaned]
    return cleaned


def are_codes(names: Iterable[str]) -> bool:
    """Whether numbers are codes, as of a list of contents: a zero ends the decimals of one (1.10), not of all (1.9)."""
    decimals = [match[1] for name in names if (match := _DECIMALS.fullmatch(name))]
    return any(each.endswith("0") for each in decimals) and len({len(each) for each in decimals}) > 1


def number_name(text: str) -> str:
    """The one way to write a number: 1 for 1.0, 0.5 for .50."""
    if text.isascii() and text.isdecimal():
        return str(int(text))  # of any length
    value = float(text)
    return str(int(value)) if math.isfinite(value) and value == int(value) else repr(value)


def order(names: Iterable[str]) -> tuple[str, ...]:
    """Numbers by size, words by code point, false before true."""
    names = set(names)
    if names and all(_NUMBER.fullmatch(name) for name in names):
        return tuple(sorted(names, key=lambda name: (float(name), len(name), name)))  # long ones are equal as floats
    return tuple(sorted(names))


def looks_like_scores(cells: Iterable[str | None]) -> bool:
    """Whether labels are numbers on a scale, not classes: many different ones, with decimals."""
    names = {value for value in canonical(cells) if value is not None}
    return many_numbers(names) and any("." in name for name in names)


def many_numbers(names: Collection[str]) -> bool:
    """Whether labels are all numbers, and more than classes of a scale."""
    return len(names) > _MOST_SCORES and all(_NUMBER.fullmatch(name) for name in names)


def with_points(cells: Iterable[str | None]) -> list[str | None] | None:
    """Numbers with a decimal comma, with a point instead, missing ones None; None where the cells are others."""
    cleaned = [clean_label(cell) for cell in cells]
    pointed = [None if cell is None else with_point(cell) for cell in cleaned]
    numbers = all(_NUMBER.fullmatch(cell) for cell in pointed if cell is not None)
    return pointed if numbers and pointed != cleaned else None


def with_point(cell: str) -> str:
    """A number with a decimal comma, with a point instead; anything else as it is."""
    return cell.replace(",", ".") if _COMMA.fullmatch(cell) else cell


def label_set(values: Sequence[str | None], source: str, *, lone: bool = False) -> LabelSet:
    """The classes that occur in canonical labels.

    Args:
        lone: a single class gets a warning.

    Raises:
        InputError: there is none, only one, or they look like scores or free text rather than classes.
    """
    present = [value for value in values if value is not None]
    names = order(present)
    if not names:
        raise InputError(
            f"{source} has no labels.", "Name the label column with --label-column, or use a trained teacher's labels."
        )
    if len(names) == 1 and not lone:
        raise InputError(
            f"All labels of {source} are {names[0]!r}: there is nothing to tell apart.", "Give at least two classes."
        )
    if many_numbers(names) and any("." in name for name in names):
        raise InputError(
            f"The labels of {source} look like scores ({names[0]} to {names[-1]}, {len(names)} different values), not "
            "like classes.",
            "Use --task regression, or name another column with --label-column.",
        )
    if len(names) > max(50, 0.5 * len(present)):
        raise InputError(
            f"The label column of {source} has {len(names):,} different values in {len(present):,} rows: these are no "
            "classes.",
            "Name another column with --label-column; for numbers on a scale use --task regression.",
        )
    found = LabelSet(names)
    if len(names) == 1:
        found.warnings.append(
            f"All labels of {source} are {names[0]!r}: only a trained teacher can tell it from others."
        )
    folded: dict[str, list[str]] = {}
    for name in names:
        folded.setdefault(" ".join(name.casefold().split()), []).append(name)
    for alike in folded.values():
        if len(alike) > 1:
            found.warnings.append(
                f"The labels {', '.join(map(repr, alike))} differ in case or spaces only, and count as "
                "different ones. Write them in one way where they mean the same."
            )
    if all(_NUMBER.fullmatch(name) for name in names) and (
        equal := [alike for alike in _by_number(names).values() if len(alike) > 1]
    ):
        found.warnings.append(
            f"The labels {', '.join(map(repr, equal[0]))} are equal as numbers, and count as different ones. Write "
            "them in one way where they mean the same."
        )
    return found


def _by_number(names: Iterable[str]) -> dict[str, list[str]]:
    """Numbers by the one way to write them; words left out."""
    found: dict[str, list[str]] = {}
    for name in names:
        if _NUMBER.fullmatch(name):
            found.setdefault(number_name(name), []).append(name)
    return found


def aligned(values: Sequence[str | None], known: Sequence[str], source: str) -> tuple[np.ndarray, list[str]]:
    """Class indices int64 [N] under the label order of an existing model, -100 where missing; and findings.

    Labels meet by name; case is disregarded where that is unambiguous, and so is the way to write a number (1.0 is 1,
    but the code 1.10 is not 1.1). Names such as LABEL_3, which stand for nothing but their number, meet the label 3.

    Raises:
        InputError: with the labels that the model does not know.
    """
    findings: list[str] = []
    index = {name: number for number, name in enumerate(known)}
    present = order(value for value in values if value is not None)
    lookup: dict[str | None, int] = {None: NO_LABEL}
    generic = nameless(known)
    codes = are_codes(known) or are_codes(present)
    numbers = _by_number(name for name in known if not codes or not _DECIMALS.fullmatch(name))
    folded: dict[str, list[int]] = {}
    for name, number in index.items():
        folded.setdefault(name.casefold(), []).append(number)
    unknown = []
    for name in present:
        alike = folded.get(name.casefold(), [])
        if name in index:
            lookup[name] = index[name]
        elif _NUMBER.fullmatch(name) and len(same := numbers.get(number_name(name), [])) == 1:
            lookup[name] = index[same[0]]
        elif generic and f"LABEL_{name}" in index:
            lookup[name] = index[f"LABEL_{name}"]
        elif len(alike) == 1:
            lookup[name] = alike[0]
        else:
            unknown.append(name)
    if unknown:
        shown = ", ".join(map(repr, unknown[:8])) + (f" and {len(unknown) - 8} more" if len(unknown) > 8 else "")
        none = [repr(name) for name in unknown if name.lower() in _PERHAPS_MISSING or name == "-1"]
        raise InputError(
            f"{source} has labels that the model does not know: {shown}.",
            f"The model's labels are: {', '.join(map(repr, known[:12]))}{', ...' if len(known) > 12 else ''}; rename "
            "them in the data, or train a teacher on this data."
            + (f" Where {' or '.join(none)} means that there is no label, leave the cell empty." if none else ""),
        )
    if generic and present:
        findings.append("labels matched by number: the model names them LABEL_0, LABEL_1, ...")
    absent = len(known) - len({lookup[name] for name in present})
    if present and absent:
        findings.append(f"{absent} of {len(known)} labels occur nowhere in {source}")
    return np.fromiter((lookup[value] for value in values), np.int64, len(values)), findings
