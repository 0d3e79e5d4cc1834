"""Labels that are numbers: cells to scores."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from ..errors import InputError
from .labels import clean_label, with_point

BINS = 10
_THOUSANDS = re.compile(r"[-+]?[1-9]\d{0,2},\d{3}")


def scores(cells: Sequence[str | None], source: str) -> np.ndarray:
    """float32 [N], NaN where a cell is empty; a decimal comma is taken for a point.

    Raises:
        InputError: a cell is no number.
    """
    out = np.full(len(cells), np.nan, np.float32)
    comma = next((cell for cell in cells if cell and with_point(cell.strip()) != cell.strip()), None)
    point = next((cell for cell in cells if cell and "." in cell), None) if comma else None
    if comma and point:
        raise InputError(
            f"{source} has numbers with a comma and with a point, such as {comma!r} and {point!r}.",
            "Write all decimals with one of them, and no comma between thousands.",
        )
    if comma and (whole := _beside_thousands(cells)):
        raise InputError(
            f"{source} has a comma before three digits in numbers such as {comma!r}, and none in others, such as "
            f"{whole!r}: these look like thousands.",
            "Write no comma between thousands; write decimals with a point.",
        )
    for number, cell in enumerate(map(clean_label, cells)):
        if cell is None:
            continue
        try:
            value = float(with_point(cell))
        except ValueError:
            value = float("inf")
        if not abs(value) <= np.finfo(np.float32).max:
            raise InputError(
                f"{source} has labels that are no numbers, such as {cell[:40]!r}, and regression learns numbers.",
                "Use --task classification, or name the column with the numbers with --label-column.",
            )
        out[number] = value
    return out


def _beside_thousands(cells: Sequence[str | None]) -> str | None:
    """A number without a comma, where all commas may part thousands; None where one can't, or each number has one."""
    present = [cell for cell in map(clean_label, cells) if cell is not None]
    if not all(_THOUSANDS.fullmatch(cell) for cell in present if "," in cell):
        return None
    return next((cell for cell in present if "," not in cell), None)


def check_scores(values: np.ndarray, source: str) -> None:
    """
    Raises:
        InputError: there is no number, or always the same.
    """
    known = values[~np.isnan(values)]
    if not len(known):
        raise InputError(
            f"{source} has no labels.", "Name the label column with --label-column, or use a trained teacher."
        )
    if (known == known[0]).all():
        raise InputError(f"All labels of {source} are {known[0]:g}: there is nothing to learn.", "Give other data.")


def bins(values: np.ndarray) -> np.ndarray:
    """int64 [N]: a tenth of the numbers each, by size, so that a split holds small and great ones; -100 without."""
    out = np.full(len(values), -100, np.int64)
    known = np.flatnonzero(~np.isnan(values))
    if len(known):
        edges = np.quantile(values[known], np.linspace(0, 1, BINS + 1)[1:-1])
        out[known] = np.searchsorted(edges, values[known], side="right")
    return out
