"""Charts as SVG with HTML axis labels: no library, no request, no flicker, readable at any width.

The drawing area is stretched to its box, the words around it are ordinary text. Each chart carries its numbers
(for the hover line in page.js) and a sentence that says what it shows, for those who don't see it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from .format import esc, number

# Distinguishable for colour-blind readers on white and on near-black; the CSS variables are set in style.css.
COLOURS = 8
POINTS = 400
NOISY = 120  # from so many points on a curve is drawn faint, with its running mean over it


@dataclass
class Series:
    """One curve: a name and its points; `dots` marks the points themselves (few, such as evaluations)."""

    name: str
    points: Sequence[tuple[float, float]]
    dots: bool = False
    colour: int | None = None
    style: str = ""


@dataclass
class Axis:
    """Range and round tick values of one axis."""

    low: float
    high: float
    ticks: list[float] = field(default_factory=list)
    log: bool = False

    def at(self, value: float) -> float:
        """Where `value` lies, 0 to 1."""
        if self.log:
            low, high, value = math.log10(self.low), math.log10(self.high), math.log10(max(value, 1e-12))
            return (value - low) / ((high - low) or 1)
        return (value - self.low) / ((self.high - self.low) or 1)


def downsample(points: Sequence[tuple[float, float]], limit: int = POINTS) -> list[tuple[float, float]]:
    """At most `limit` points with each bucket's lowest and highest kept, so that spikes stay visible."""
    clean = [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]
    if len(clean) <= limit:
        return clean
    buckets = max(1, limit // 2 - 1)
    kept = [clean[0]]
    inner = clean[1:-1]
    for index in range(buckets):
        part = inner[index * len(inner) // buckets : (index + 1) * len(inner) // buckets]
        if part:
            ends = {min(part, key=lambda point: point[1]), max(part, key=lambda point: point[1])}
            kept.extend(sorted(ends))
    kept.append(clean[-1])
    return kept


def smoothed(points: Sequence[tuple[float, float]], *, share: float = 0.03) -> list[tuple[float, float]]:
    """A running mean over `share` of the points, so that a noisy curve can be read."""
    width = max(1, round(len(points) * share))
    result, total, window = [], 0.0, []
    for x, y in points:
        window.append(y)
        total += y
        if len(window) > width:
            total -= window.pop(0)
        result.append((x, total / len(window)))
    return result


def axis(
    values: Sequence[float], *, count: int = 5, log: bool = False, zero: bool = False, most: float | None = None
) -> Axis:
    """Round limits and ticks around `values`; none lies above `most`, which no value of this kind can pass."""
    finite = [value for value in values if math.isfinite(value)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
    if log and low > 0:
        low_power, high_power = math.floor(math.log10(low)), math.ceil(math.log10(high))
        high_power = max(high_power, low_power + 1)
        ticks = [10.0**power for power in range(low_power, high_power + 1)]
        return Axis(ticks[0], ticks[-1], ticks, log=True)
    if zero:
        low = min(low, 0.0)
    if high - low < 1e-12:
        pad = abs(high) * 0.1 or 0.5
        low, high = low - (0 if zero else pad), high + pad
    raw = (high - low) / max(1, count - 1)
    power = 10 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw - 1e-15)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = [round(index * step, 12) for index in range(first, last + 1)]
    if most is not None and ticks[-1] > most >= max(finite, default=high):
        ticks = [*[tick for tick in ticks if tick < most], most]
    return Axis(ticks[0], ticks[-1], ticks)


def _legend(series: Sequence[Series]) -> str:
    if len(series) < 2:
        return ""
    items = "".join(
        f'<li class="qt-c{(item.colour if item.colour is not None else i) % COLOURS} {item.style}">'
        f"<i></i>{esc(item.name)}</li>"
        for i, item in enumerate(series)
    )
    return f'<ul class="qt-legend">{items}</ul>'


def _frame(x: Axis, y: Axis) -> tuple[str, str]:
    lines = "".join(f'<path d="M0 {1000 - 1000 * y.at(tick):.1f}H1000"/>' for tick in y.ticks)
    labels = "".join(
        f'<span class="qt-y" style="bottom:{100 * y.at(tick):.2f}%">{number(tick)}</span>' for tick in y.ticks
    )
    labels += "".join(
        f'<span class="qt-x" style="left:{100 * x.at(tick):.2f}%">{_tick(tick)}</span>'
        for tick in x.ticks
        if -0.001 <= x.at(tick) <= 1.001
    )
    return f'<g class="qt-grid">{lines}</g>', labels


def _tick(value: float) -> str:
    if abs(value) >= 10_000:
        return f"{value / 1000:g}k"
    return number(value)


def line_chart(
    series: Sequence[Series],
    *,
    title: str,
    summary: str,
    x_title: str = "",
    y_title: str = "",
    log: bool = False,
    most: float | None = None,
) -> str:
    """Curves over one another. `summary` is shown below and read aloud; `most` is what no value can pass."""
    shown = [
        Series(item.name, downsample(item.points), item.dots, item.colour, item.style) for item in series if item.points
    ]
    means = [
        downsample(smoothed(item.points)) if len(item.points) > NOISY and not item.dots else None
        for item in series if item.points
    ]  # fmt: skip
    if not shown:
        return _empty(title, summary)
    xs = [x for item in shown for x, _ in item.points]
    ys = [y for item in shown for _, y in item.points]
    y = axis(ys, log=log and min(ys) > 0, most=most)
    if max(xs) > min(xs):
        x = Axis(min(xs), max(xs), [tick for tick in axis(xs, count=6).ticks if min(xs) <= tick <= max(xs)])
    else:
        x = Axis(xs[0] - 1, xs[0] + 1, [xs[0]])  # one point, in the middle
    grid, labels = _frame(x, y)
    body, dots = "", ""
    for index, item in enumerate(shown):
        colour = (item.colour if item.colour is not None else index) % COLOURS
        places = [(1000 * x.at(px), 1000 - 1000 * y.at(py)) for px, py in item.points]
        mean = means[index]
        if mean:
            body += f'<path class="qt-line qt-faint qt-c{colour}" d="{_path(places)}"/>'
            item.points = mean
            places = [(1000 * x.at(px), 1000 - 1000 * y.at(py)) for px, py in mean]
        body += f'<path class="qt-line qt-c{colour} {item.style}" d="{_path(places)}"/>'
        if item.dots or len(places) == 1:
            dots += "".join(
                f'<i class="qt-dot qt-c{colour}" style="left:{px / 10:.2f}%;top:{py / 10:.2f}%"></i>'
                for px, py in places
            )
    data = json.dumps(
        {
            "x": [x.low, x.high],
            "y": [y.low, y.high],
            "log": y.log,
            "x_title": x_title,
            "series": [
                {
                    "name": item.name,
                    "colour": (item.colour if item.colour is not None else i) % COLOURS,
                    "points": [[round(px, 4), float(f"{py:.5g}")] for px, py in item.points],
                }
                for i, item in enumerate(shown)
            ],
        }
    )
    return (
        f'<figure class="qt-chart"><figcaption><b>{esc(title)}</b>{_legend(shown)}</figcaption>'
        f'<div class="qt-plot" data-chart="{esc(data)}" role="img" aria-label="{esc(title)}. {esc(summary)}">'
        f'<svg viewBox="0 0 1000 1000" preserveAspectRatio="none" aria-hidden="true">{grid}{body}</svg>'
        f"{dots}{labels}</div>"
        f'<p class="qt-x-title">{esc(x_title)}</p>{_summary(summary)}</figure>'
    )


def _path(places: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{px:.1f} {py:.1f}" for px, py in places)


def scatter(
    points: Sequence[tuple[str, float, float, float]],
    *,
    title: str,
    summary: str,
    x_title: str,
    y_title: str,
    front: Sequence[str] = (),
    log: bool = False,
) -> str:
    """Named points (name, x, y in percent, weight 0 to 1 for the dot's size); `front` are those no other point beats."""
    if not points:
        return _empty(title, summary)
    x = axis([px for _, px, _, _ in points], count=6, log=log and min(px for _, px, _, _ in points) > 0, zero=not log)
    y = axis([py for _, _, py, _ in points], most=100)
    grid, labels = _frame(x, y)
    dots = ""
    placed: list[tuple[float, float]] = []
    for index, (name, px, py, weight) in enumerate(points):
        left, bottom = 100 * x.at(px), 100 * y.at(py)
        side = "qt-left" if left > 60 else ""
        shift = next(s for s in (0, 17, -17, 34, -34, 51) if s == 51 or not any(
            abs(left - ox) < 40 and abs(bottom - s / 3.3 - oy) < 5 for ox, oy in placed))  # fmt: skip
        placed.append((left, bottom - shift / 3.3))
        dots += (
            f'<span class="qt-point qt-c{index % COLOURS} {side} {"qt-front" if name in front else ""}" '
            f'style="left:{left:.2f}%;bottom:{bottom:.2f}%;--dy:{shift}px;'
            f'--r:{8 + 14 * math.sqrt(max(weight, 0)):.0f}px">'
            f'<i></i><b title="{esc(name)}">{esc(name)}</b></span>'
        )
    ordered = sorted((px, py) for name, px, py, _ in points if name in front)
    line = ""
    if len(ordered) > 1:
        steps = "".join(
            f"L{1000 * x.at(right[0]):.1f} {1000 - 1000 * y.at(right[1]):.1f}" for _, right in pairwise(ordered)
        )
        line = (
            f'<path class="qt-front-line" d="M{1000 * x.at(ordered[0][0]):.1f} '
            f'{1000 - 1000 * y.at(ordered[0][1]):.1f}{steps}"/>'
        )
    return (
        f'<figure class="qt-chart"><figcaption><b>{esc(title)}</b><span class="qt-muted">{esc(y_title)}</span>'
        f'</figcaption><div class="qt-plot qt-tall" role="img" aria-label="{esc(title)}. {esc(summary)}">'
        f'<svg viewBox="0 0 1000 1000" preserveAspectRatio="none" aria-hidden="true">{grid}{line}</svg>{dots}{labels}'
        f'</div><p class="qt-x-title">{esc(x_title)}</p>{_summary(summary)}</figure>'
    )


def bars(rows: Sequence[tuple[str, float, str]], *, title: str, summary: str = "", limit: int = 12) -> str:
    """Horizontal bars: (name, value, words at the end); past `limit` the rest is one line."""
    top = max((value for _, value, _ in rows), default=1) or 1
    body = "".join(
        f'<li><span title="{esc(name)}">{esc(name)}</span><i style="--w:{100 * value / top:.1f}%"></i>'
        f"<em>{esc(words)}</em></li>"
        for name, value, words in rows[:limit]
    )
    more = f'<li class="qt-muted"><span>+ {len(rows) - limit}</span></li>' if len(rows) > limit else ""
    return (
        f'<figure class="qt-chart"><figcaption><b>{esc(title)}</b></figcaption>'
        f'<ul class="qt-bars">{body}{more}</ul>{_summary(summary)}</figure>'
    )


def histogram(counts: Sequence[tuple[str, int]], *, title: str, summary: str) -> str:
    """Columns side by side: (label of the bin, count)."""
    top = max((count for _, count in counts), default=1) or 1
    columns = "".join(
        f'<span style="--h:{100 * count / top:.1f}%" title="{esc(label)}: {number(count)}"></span>'
        for label, count in counts
    )
    ends = f"<span>{esc(counts[0][0])}</span><span>{esc(counts[-1][0])}</span>" if counts else ""
    return (
        f'<figure class="qt-chart"><figcaption><b>{esc(title)}</b></figcaption>'
        f'<div class="qt-columns" role="img" aria-label="{esc(title)}. {esc(summary)}">{columns}</div>'
        f'<div class="qt-column-ends">{ends}</div>{_summary(summary)}</figure>'
    )


def _summary(words: str) -> str:
    return f'<p class="qt-summary">{esc(words)}</p>' if words else ""


def _empty(title: str, summary: str) -> str:
    return (
        f'<figure class="qt-chart qt-nothing"><figcaption><b>{esc(title)}</b></figcaption>{_summary(summary)}</figure>'
    )
