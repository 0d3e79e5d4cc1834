"""What Python callers give where names or paths are wanted, and words about a value of the wrong kind."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .errors import InputError


def kind_of(value: Any) -> str:
    """What a value is called that should have been another."""
    return "nothing (None)" if value is None else type(value).__name__


def in_a_file(value: Any) -> str:
    """What to do with data in memory where a file's path is wanted; empty for anything else."""
    if hasattr(value, "to_csv"):  # a DataFrame of pandas, a Dataset
        return 'Write it to a file first, to_csv("data.csv", index=False), and give its path.'
    if isinstance(value, list | tuple | dict):
        return 'Write them to a file and give its path, or give rows: [{"text": ..., "label": ...}, ...].'
    return ""


def several(names: Any) -> list[Any]:
    """Names or paths as a list; a single one is one, not its letters.

    Raises:
        InputError: they are neither.
    """
    if isinstance(names, str | Path):
        return [names]
    if hasattr(names, "columns") or not isinstance(names, Iterable):
        raise InputError(f"Expected a name or several, found {kind_of(names)}.")
    return list(names)
