"""Numbers, sizes, times and names as people read them, and the escaping of everything that is not ours."""

from __future__ import annotations

import html
import math
import time
from datetime import datetime
from typing import Any

DASH = "–"


def esc(value: Any) -> str:
    """Text as HTML text or attribute value: what comes from data, logs or file names is never markup."""
    return html.escape(str(value), quote=True)


def number(value: float | int | None, digits: int = 3) -> str:
    """12345 -> 12,345; 0.0312 -> 0.0312; None and NaN -> a dash."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return DASH
    if isinstance(value, int) or float(value).is_integer():
        return f"{int(value):,}"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    return f"{value:.{digits}g}" if abs(value) < 0.1 else f"{value:.{digits}f}".rstrip("0").rstrip(".")


def short_number(value: float | int | None) -> str:
    """109482240 -> 109 M."""
    if value is None:
        return DASH
    for limit, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= limit:
            scaled = value / limit
            return f"{scaled:.0f}{unit}" if scaled >= 100 else f"{scaled:.1f}{unit}"
    return str(int(value))


def size(count: float | int | None) -> str:
    """Bytes in decimal units, as file managers and Google's list give them: 438000000 -> 438 MB."""
    if count is None:
        return DASH
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if abs(value) < 1000 or unit == "GB":
            return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"
        value /= 1000
    return DASH


def percent(value: float | None, digits: int = 1) -> str:
    """0.8934 -> 89.3 %."""
    return DASH if value is None or not math.isfinite(value) else f"{100 * value:.{digits}f} %"


def duration(seconds: float | None) -> str:
    """75 -> 1 min 15 s."""
    if seconds is None or not math.isfinite(seconds):
        return DASH
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if minutes < 10 and rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min"
    return f"{hours // 24} d {hours % 24} h"


def moment(when: Any) -> str:
    """Unix seconds or an ISO time as local date and minute."""
    if not when:
        return DASH
    try:
        stamp = datetime.fromtimestamp(when) if isinstance(when, int | float) else datetime.fromisoformat(str(when))
    except (ValueError, OSError, OverflowError):
        return DASH
    return stamp.astimezone().strftime("%Y-%m-%d %H:%M")


def seconds_since(when: Any) -> float | None:
    """Seconds from a Unix or ISO time until now."""
    if not when:
        return None
    try:
        stamp = float(when) if isinstance(when, int | float) else datetime.fromisoformat(str(when)).timestamp()
    except ValueError:
        return None
    return time.time() - stamp


def answer_words(answer: dict[str, Any]) -> str:
    """What a model answers, in a few words, whatever its task: a class, several, a number, entities, a span, words."""
    if "labels" in answer:
        return ", ".join(map(str, answer["labels"])) or DASH
    for key in ("label", "answer", "filled"):
        if key in answer:
            return str(answer[key]) or DASH
    if "entities" in answer:
        return ", ".join(f"{each['text']}={each['label']}" for each in answer["entities"]) or DASH
    return number(answer.get("value"))


def escaped_words(text: Any, limit: int = 400) -> str:
    """A message cut to a readable length, escaped."""
    words = " ".join(str(text).split())
    return esc(words if len(words) <= limit else words[: limit - 1] + "…")
