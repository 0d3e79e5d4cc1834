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
NAMED = (560, 300)  # the smallest drawing area, in pixels, in which points are named beside their dots
NARROW = (236, 250)  # that of a telephone
LINE = 16  # the height of a line of words
STEPS = (0.0, 17.0, -17.0)  # words further off would not be seen as their dot's
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
    for index, item in reversed([*enumerate(shown)]):  # what is named first, as the student, lies on top
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
    """Named points (name, x, y in percent, weight 0 to 1 for the dot's size); `front` are those no other point beats.

    Points are named beside their dots where all names find room; else, and on a narrow screen, they are numbered, and
    a list below says which is which.
    """
    if not points:
        return _empty(title, summary)
    x = axis([px for _, px, _, _ in points], count=6, log=log and min(px for _, px, _, _ in points) > 0, zero=not log)
    y = axis([py for _, _, py, _ in points], most=100)
    grid, labels = _frame(x, y)
    places = [(x.at(px), y.at(py)) for _, px, py, _ in points]
    radii = [4 + 7 * math.sqrt(max(weight, 0)) for *_, weight in points]
    named = _beside(places, radii, [7 * len(name) for name, *_ in points], NAMED)
    numbered = _beside(places, radii, [8 * len(str(index + 1)) for index in range(len(points))], NARROW)
    dots, key = "", ""
    for index, (name, *_) in enumerate(points):
        left, bottom = places[index]
        words = f'<b class="qt-number" style="{_at(numbered, index)}">{index + 1}</b>'
        if named:
            words += f'<b class="qt-named" style="{_at(named, index)}">{esc(name)}</b>'
        kind = f"qt-c{index % COLOURS}{' qt-front' if name in front else ''}"
        dots += (
            f'<span class="qt-point {kind}" title="{esc(name)}" '
            f'style="left:{100 * left:.2f}%;bottom:{100 * bottom:.2f}%;--r:{2 * radii[index]:.0f}px">'
            f"<i></i>{words}</span>"
        )
        key += f'<li class="qt-c{index % COLOURS}"><i></i><b>{index + 1}</b><span>{esc(name)}</span></li>'
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
        f'<figure class="qt-chart{" qt-has-names" if named else ""}"><figcaption><b>{esc(title)}</b>'
        f'<span class="qt-muted">{esc(y_title)}</span>'
        f'</figcaption><div class="qt-plot qt-tall" role="img" aria-label="{esc(title)}. {esc(summary)}">'
        f'<svg viewBox="0 0 1000 1000" preserveAspectRatio="none" aria-hidden="true">{grid}{line}</svg>{dots}{labels}'
        f'</div><p class="qt-x-title">{esc(x_title)}</p><ol class="qt-key">{key}</ol>{_summary(summary)}</figure>'
    )


def _beside(
    places: Sequence[tuple[float, float]], radii: Sequence[float], widths: Sequence[float], area: tuple[int, int]
) -> list[tuple[float, float]]:
    """Where the words of each dot begin, in pixels right of and below its middle, so that no words lie on others or on
    a dot, in an area of that width and height and in a larger one; empty where one of them finds no room."""
    sizes = (area, (2 * area[0], area[1]))
    found: list[tuple[float, float]] = []
    for index, width in enumerate(widths):
        gap = radii[index] + 8  # past the ring of the front
        beside: list[tuple[float, float]] = [(gap, step) for step in STEPS] + [(-gap - width, step) for step in STEPS]
        beside += [(-width / 2, step) for step in (gap + 5, -gap - 5)]
        free = next((each for each in beside if all(
            _free(index, each, places, radii, widths, found, size) for size in sizes)), None)  # fmt: skip
        if free is None:
            return []
        found.append(free)
    return found


def _free(
    index: int, offset: tuple[float, float], places: Sequence[tuple[float, float]], radii: Sequence[float],
    widths: Sequence[float], found: Sequence[tuple[float, float]], size: tuple[int, int],
) -> bool:  # fmt: skip
    """Whether words at this offset from their dot lie inside the area (a little above or below is inside) and free."""

    def middle(each: int) -> tuple[float, float]:
        return places[each][0] * size[0], (1 - places[each][1]) * size[1]

    left, line = middle(index)[0] + offset[0], middle(index)[1] + offset[1]
    right = left + widths[index]
    if left < 0 or right > size[0] or not -14 <= line <= size[1] - 8:
        return False
    for each, radius in enumerate(radii):
        x, y = middle(each)
        if each != index and left < x + radius and right > x - radius and abs(line - y) < LINE / 2 + radius:
            return False
    for each, (dx, dy) in enumerate(found):
        x, y = middle(each)
        if left < x + dx + widths[each] + 4 and right + 4 > x + dx and abs(line - y - dy) < LINE:
            return False
    return True


def _at(offsets: Sequence[tuple[float, float]], index: int) -> str:
    """The offset of a dot's words as style; where there is no room for all, beside it."""
    if not offsets:
        return "--dx:calc(var(--r) / 2 + 8px);--dy:0px"
    return f"--dx:{offsets[index][0]:.0f}px;--dy:{offsets[index][1]:.0f}px"


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
