"""Times, sizes and shares as people write them ("2h", "20MB", "5ms", "97%"), both ways. Torch-free."""

from __future__ import annotations

import re
from typing import Any

_SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}
_BYTES = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}
_MILLISECONDS = {"": 1.0, "ms": 1.0, "s": 1000.0, "us": 0.001}


def seconds(value: Any) -> Any:
    """Seconds from "2h", "90m", "1h30m", "1h30" or a number; what is no text is passed on.

    Raises:
        ValueError: it is no time.
    """
    if not isinstance(value, str):
        return value
    text = value.strip().lower()
    text = re.sub(r"(h\s*\d+)$", r"\1m", text)  # behind hours a bare number is minutes, as clocks are read
    parts = re.findall(r"(\d+(?:\.\d+)?)\s*([a-z]*)", text)
    bare = len(parts) > 1 and any(not unit for _, unit in parts)
    left = re.sub(r"\d+(?:\.\d+)?\s*[a-z]*\s*", "", text)
    if not parts or left or bare or any(unit not in _SECONDS for _, unit in parts):
        raise ValueError(f"{value!r} is no time: write it as 2h, 90m or 1h30m")
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def byte_count(value: Any) -> Any:
    """Bytes from "20MB" (20,000,000), "20MiB" or a number; what is neither is passed on.

    Raises:
        ValueError: it is no size, or one of less than 1000 bytes, which no model has: its unit was forgotten.
    """
    found = round(_scaled(value, _BYTES, "20MB or 500kB")) if isinstance(value, str) else value
    if isinstance(found, int | float) and 0 < found < 1000:
        raise ValueError(f"{value} bytes are less than any model has: write the unit too, as 20MB or 500kB")
    return found


def milliseconds(value: Any) -> Any:
    """Milliseconds from "5ms", "0.01s" or a number; what is no text is passed on.

    Raises:
        ValueError: it is no time.
    """
    return _scaled(value, _MILLISECONDS, "5ms") if isinstance(value, str) else value


def share(value: Any) -> Any:
    """A share from "97%" or "0.97"; what is neither text nor number is passed on.

    Raises:
        ValueError: it is no share, or more than the whole.
    """
    found = value
    if isinstance(value, str):
        text = value.strip()
        try:
            found = float(text[:-1]) / 100 if text.endswith("%") else float(text)
        except ValueError:
            raise ValueError(f"{value!r} is no share: write it as 0.97 or 97%") from None
    if isinstance(found, int | float) and found > 1:
        raise ValueError(f"{value} is more than the whole: write it as 0.97 or 97%")
    return found


def _scaled(value: str, units: dict[str, Any], example: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", value.strip().lower())
    if not match or match[2] not in units:
        raise ValueError(f"{value!r} is not understood: write it as {example}")
    return float(match[1]) * units[match[2]]


def in_words(value: float) -> str:
    """Seconds for people: 45 s, 12 min, 2 h 5 min."""
    if value < 90:
        return f"{value:.0f} s" if value >= 10 else f"{value:.1f} s"
    minutes = round(value / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    return f"{hours} h {rest} min" if rest else f"{hours} h"
