"""Which output of a model means which label: one rule for teachers, students and comparisons. Free of torch."""

from __future__ import annotations

import re
from collections.abc import Sequence

_NAMELESS = re.compile(r"LABEL_\d+")


def nameless(labels: Sequence[str]) -> bool:
    """Whether labels name nothing but their places, as transformers does where nobody named them: LABEL_0, LABEL_1."""
    return bool(labels) and all(_NAMELESS.fullmatch(label) for label in labels)


def order_of(own: Sequence[str], wanted: Sequence[str]) -> list[int] | None:
    """For each wanted label the number of the output that means it; None where these are other labels.

    Names meet exactly, else without regard to case. Where either side has only numbers (LABEL_0, ...), both are taken
    to be in the same order.
    """
    if len(own) != len(wanted):
        return None
    for same in (str, str.casefold):
        numbers = {same(label): number for number, label in enumerate(own)}
        if len(numbers) == len(own) and numbers.keys() == {same(label) for label in wanted}:
            return [numbers[same(label)] for label in wanted]
    return list(range(len(own))) if nameless(own) or nameless(wanted) else None
