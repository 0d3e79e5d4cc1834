"""Words about a value of the wrong kind, as Python callers may give one."""

from __future__ import annotations

from typing import Any


def kind_of(value: Any) -> str:
    """What a value is called that should have been another."""
    return "nothing (None)" if value is None else type(value).__name__


def in_a_file(value: Any) -> str:
    """What to do with data in memory where a file's path is wanted; empty for anything else."""
    if hasattr(value, "to_csv"):  # a DataFrame of pandas, a Dataset
        return 'Write it to a file first, to_csv("data.csv", index=False), and give its path.'
    if isinstance(value, list | tuple | dict):
        return "Write them to a file first, as CSV or JSON Lines, and give its path."
    return ""
