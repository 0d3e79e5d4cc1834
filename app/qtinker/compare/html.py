"""A sweep's report as one HTML file: table, two plots as inline SVG, no script, nothing fetched. Torch-free."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape as esc
from typing import Any

from ..registry_page import size
from . import report
from .front import front

Data = dict[str, Any]
WIDTH, HEIGHT = 540, 330
"""Not much wider than a telephone, so that the words are still to be read there."""
LEFT, RIGHT, TOP, BOTTOM = 52, 20, 14, 46
# Distinguishable for colour-blind readers (Okabe & Ito), in light and dark.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a6d3b", "#7f7f7f")

STYLE = """
:root{--bg:#fff;--fg:#1c1e21;--soft:#5d6570;--line:#d9dde3;--mark:#f2f6fb;color-scheme:light dark}
@media(prefers-color-scheme:dark){:root{--bg:#15181c;--fg:#e6e9ed;--soft:#9aa4b1;--line:#343b44;--mark:#1d232b}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:1320px;padding:28px 20px 60px;background:var(--bg);color:var(--fg);
font:15px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
h1{font-size:26px;margin:0 0 6px}h2{font-size:18px;margin:34px 0 10px}p{margin:8px 0;max-width:80ch}
.soft{color:var(--soft)}.scroll{overflow-x:auto;border:1px solid var(--line);border-radius:8px}
table{border-collapse:collapse;width:100%;font-size:13.5px}
th,td{padding:6px 9px;text-align:right;white-space:nowrap;border-top:1px solid var(--line)}
thead th{border-top:0;color:var(--soft);font-weight:600}
th:nth-child(-n+5),td:nth-child(-n+5){text-align:left}
tr.front td{background:var(--mark)}tr.front td:nth-child(-n+2){font-weight:600}
tr.teacher td{color:var(--soft);font-style:italic}
dl{display:grid;grid-template-columns:max-content 1fr;gap:6px 18px;margin:0}dt{font-weight:600}dd{margin:0}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(340px,100%),1fr));gap:22px}
figure{margin:0}figcaption{font-weight:600;margin-bottom:4px}svg{width:100%;height:auto;display:block}
svg text{fill:var(--soft);font:12px system-ui,sans-serif}svg .axis{stroke:var(--line);fill:none}
svg .front-line{fill:none;stroke:var(--soft);stroke-dasharray:5 4;stroke-width:1.5}
svg .name{fill:var(--fg);font-size:11.5px}
ul.legend{list-style:none;display:flex;flex-wrap:wrap;gap:4px 16px;padding:0;
margin:6px 0 0;font-size:13px}
ul.legend i{display:inline-block;width:10px;height:10px;border-radius:50%;margin-right:6px}
.verdict{padding:12px 16px;border:1px solid var(--line);
border-left:4px solid #0072b2;border-radius:6px;background:var(--mark)}
code{font-size:.92em;overflow-wrap:anywhere}
@media(max-width:560px){dl{grid-template-columns:1fr;gap:2px}dd{margin-bottom:10px}}
"""
ALONE = 'xmlns="http://www.w3.org/2000/svg" width="720"'
ALONE_STYLE = (
    "svg{color:#1c1e21}text{fill:#5d6570;font:12px system-ui,sans-serif}.axis{stroke:#d9dde3;fill:none}"
    ".front-line{fill:none;stroke:#5d6570;stroke-dasharray:5 4;stroke-width:1.5}"
)


def page(result: Data) -> str:
    """The whole file. All text from outside is escaped."""
    parts = [f"<h1>{esc(report.title(result))}</h1>", f'<p class="soft">{esc(report.about(result))}</p>']
    if lines := report.verdict(result):
        parts.append('<div class="verdict">' + "".join(f"<p>{esc(line)}</p>" for line in lines) + "</div>")
    if result["points"]:
        parts += ['<h2>What was possible</h2><div class="plots">', *_plots(result), "</div>", _legend(result)]
        parts += ["<h2>Figures</h2>", _table(result), '<p class="soft">Marked rows are on the front: no other point is '
                  "better in quality, size and speed together.</p>"]  # fmt: skip
    if result["advice"]:
        rows = "".join(
            f"<dt>{esc(each['for'])}</dt><dd><code>{esc(each['point'])}</code><br>"
            f'<span class="soft">{esc(each["reason"])}</span></dd>'
            for each in result["advice"]
        )
        parts.append(f"<h2>Recommendations, from these figures</h2><dl>{rows}</dl>")
    others = [
        f"<b>{esc(', '.join(names))}</b>, {esc(what)}: {esc(why)}" for names, what, why in report.left_out(result)
    ]
    for heading, lines in (("Not in the table", others), ("Noted", [esc(line) for line in result["findings"]])):
        if lines:
            parts.append(f"<h2>{heading}</h2><ul>" + "".join(f"<li>{line}</li>" for line in lines) + "</ul>")
    parts.append(f'<h2>Where</h2><p class="soft">{esc(report.where(result))}</p>')
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{esc(report.title(result))}</title><style>{STYLE}</style></head><body>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def _table(result: Data) -> str:
    heads = "".join(f'<th scope="col">{esc(each)}</th>' for each in report.headings(result))
    body = ""
    for row in report.ordered(result):
        kind = "front" if row.get("front") else "" if row.get("student") else "teacher"
        cells = "".join(f"<td>{esc(cell)}</td>" for cell in report.cells(row, result))
        body += f'<tr class="{kind}">{cells}</tr>'
    return f'<div class="scroll"><table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>'


def colours(result: Data) -> dict[str, str]:
    """A colour a student."""
    names = list(dict.fromkeys(row["student"] for row in result["points"]))
    return {name: COLOURS[index % len(COLOURS)] for index, name in enumerate(names)}


def _legend(result: Data) -> str:
    items = "".join(
        f'<li><i style="background:{colour}"></i>{esc(name)}</li>' for name, colour in colours(result).items()
    )
    shapes = "<li>&#9679; float</li><li>&#9670; quantized</li><li>&#9633; teacher</li><li>- - front of the plot</li>"
    return f'<ul class="legend">{items}{shapes}</ul>'


def _plots(result: Data) -> list[str]:
    metric = result["metric"].replace("_", "-")
    return [
        plot(result, "bytes", f"{metric} against size", "MB, logarithmic", 1e6),
        plot(result, "latency_ms", f"{metric} against time for one example", "ms, logarithmic", 1.0),
    ]


def plot(result: Data, cost: str, title: str, unit: str, scale: float) -> str:
    """Quality against one cost as SVG; the dashed line joins the points that no other beats in these two."""
    rows = [row for row in [*result["teachers"], *result["points"]] if row.get(cost)]
    if not rows:
        return ""
    xs, ys = [math.log10(row[cost] / scale) for row in rows], [row["score"] for row in rows]
    x_low, x_high = min(xs) - 0.08, max(xs) + 0.08
    pad = max((max(ys) - min(ys)) * 0.08, 0.005)
    y_low, y_high = min(ys) - pad, max(ys) + pad
    if max(ys) <= 1:  # a share: an axis past 1 would show what can't be
        y_high = min(y_high, 1.0)

    def x_at(value: float) -> float:
        return LEFT + (math.log10(value / scale) - x_low) / (x_high - x_low) * (WIDTH - LEFT - RIGHT)

    def y_at(value: float) -> float:
        return TOP + (y_high - value) / (y_high - y_low) * (HEIGHT - TOP - BOTTOM)

    parts = []
    for tick in linear_ticks(y_low, y_high):
        parts.append(f'<path class="axis" d="M{LEFT} {y_at(tick):.1f}H{WIDTH - RIGHT}"/>'
                     f'<text x="{LEFT - 8}" y="{y_at(tick) + 4:.1f}" text-anchor="end">{tick:g}</text>')  # fmt: skip
    for tick in log_ticks(x_low, x_high):
        parts.append(
            f'<text x="{x_at(tick * scale):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{tick:g}</text>'
        )
    parts.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 8}" text-anchor="middle">{esc(unit)}</text>')
    best = front([row for row in result["points"] if row.get(cost)], [cost])
    if len(best) > 1:
        path = "L".join(f"{x_at(row[cost]):.1f} {y_at(row['score']):.1f}" for row in best)
        parts.append(f'<path class="front-line" d="M{path}"/>')
    parts += [_mark(row, x_at(row[cost]), y_at(row["score"]), colours(result)) for row in rows]
    words = f"{title}. On the front: {', '.join(row['id'] for row in best)}."
    return (
        f'<figure><figcaption>{esc(title)}</figcaption><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{esc(words)}">{"".join(parts)}</svg></figure>'
    )


def picture(result: Data) -> str:
    """The plot of quality against size as an SVG file of its own, on white, with the students' names."""
    figure = _plots(result)[0]
    drawing = figure[figure.index("<svg") : figure.index("</svg>")].replace("<svg", f"<svg {ALONE}", 1)
    names = list(colours(result).items())
    legend = "".join(
        f'<circle cx="{LEFT + 8 + 160 * (n % 3)}" cy="{HEIGHT + 12 + 18 * (n // 3)}" r="5" fill="{colour}"/>'
        f'<text x="{LEFT + 18 + 160 * (n % 3)}" y="{HEIGHT + 16 + 18 * (n // 3)}">{esc(name)}</text>'
        for n, (name, colour) in enumerate(names)
    )
    height = HEIGHT + 18 * (-(-len(names) // 3)) + 8
    drawing = drawing.replace(f'viewBox="0 0 {WIDTH} {HEIGHT}"', f'viewBox="0 0 {WIDTH} {height}"', 1)
    head, _, body = drawing.partition(">")
    paper = f'<style>{ALONE_STYLE}</style><rect width="{WIDTH}" height="{height}" fill="#fff"/>'
    return f"{head}>{paper}{body}{legend}</svg>\n"


def _mark(row: Data, x: float, y: float, known: dict[str, str]) -> str:
    told = f"<title>{esc(_told(row))}</title>"
    if "student" not in row:
        return (f'<rect x="{x - 6:.1f}" y="{y - 6:.1f}" width="12" height="12" fill="none" stroke="currentColor" '
                f'stroke-width="2">{told}</rect>')  # fmt: skip
    colour = known[row["student"]]
    ring = ' stroke="currentColor" stroke-width="1.5"' if row.get("front") else ""
    if row["scheme"] == "float":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="6.5" fill="{colour}"{ring}>{told}</circle>'
    d = f"M{x:.1f} {y - 7:.1f}l7 7l-7 7l-7-7z"
    return f'<path d="{d}" fill="{colour}" fill-opacity=".8"{ring}>{told}</path>'


def _told(row: Data) -> str:
    shown = "" if row["latency_ms"] is None else f", {row['latency_ms']:.2f} ms"
    return f"{row['id']}: {row['score']:.4f}, {size(row['bytes'])}{shown}"


def linear_ticks(low: float, high: float) -> list[float]:
    """Four to nine round values between the two."""
    raw = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw - 1e-15)
    return [round(index * step, 10) for index in range(math.ceil(low / step), math.floor(high / step) + 1)]


def log_ticks(low: float, high: float) -> Sequence[float]:
    """Round values from 10**low to 10**high: 1, 2, 5 in each power of ten, or the powers alone where there are many."""
    factors = (1, 2, 5) if high - low < 2.5 else (1,)
    values = [f * 10.0**p for p in range(math.floor(low), math.ceil(high) + 1) for f in factors]
    return [float(f"{value:.6g}") for value in values if 10**low <= value <= 10**high]
