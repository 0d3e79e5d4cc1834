"""A sweep's report as CSV, Markdown and text for the terminal. Torch-free."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from ..console import number, table
from ..registry_page import count, escape, size
from .pairs import student_name
from .quantities import in_words

Data = dict[str, Any]
COLUMNS = (
    "id", "teacher", "student", "method", "scheme", "front", "metric", "score", "retention", "agreement", "control",
    "parameters", "bytes", "latency_ms", "latency_p95_ms", "examples_per_second", "training_seconds", "engine", "run",
    "checkpoint",
)  # fmt: skip


def to_csv(result: Data) -> str:
    """A line a point, teachers first, then the candidates that came to nothing, with the reason."""
    text = io.StringIO()
    writer = csv.DictWriter(
        text, [*COLUMNS, "status", "reason"], lineterminator="\n", restval="", extrasaction="ignore"
    )
    writer.writeheader()
    for row in result["teachers"]:
        writer.writerow(row | {"teacher": row["name"], "metric": result["metric"], "scheme": "float",
                               "status": "teacher"})  # fmt: skip
    for row in result["points"]:
        writer.writerow(row | {"metric": result["metric"], "status": "done"})
    for row in result["others"]:
        writer.writerow({**row, "id": row["candidate"], "metric": result["metric"]})
    return text.getvalue()


def headings(result: Data) -> list[str]:
    """The columns of the table for people."""
    heads = ["", "student", "teacher", "method", "scheme", result["metric"].replace("_", "-"), "retention", "agreement"]
    if any(row.get("control") is not None for row in result["points"]):
        heads.append("control")
    return [*heads, "parameters", "size", "p50 ms", "p95 ms", "examples/s", "trained in"]


def cells(row: Data, result: Data) -> list[str]:
    """One row of the table for people; a star marks the front."""
    values = [
        "*" if row.get("front") else "", row.get("student") or "(teacher)", row.get("teacher") or row["name"],
        row.get("method") or "-", scheme(row), number(row["score"]), _percent(row.get("retention")),
        _percent(row.get("agreement")),
    ]  # fmt: skip
    if any(each.get("control") is not None for each in result["points"]):
        values.append(number(row.get("control")))
    seconds = row.get("training_seconds")
    return [
        *values, count(row["parameters"]) or "-", size(row["bytes"]), number(row["latency_ms"], 2),
        number(row["latency_p95_ms"], 2), number(row["examples_per_second"], 0),
        "-" if seconds is None else in_words(seconds),
    ]  # fmt: skip


def scheme(row: Data) -> str:
    """A row's scheme, with the engine where it is no PyTorch folder."""
    name, engine = row.get("scheme") or "float", row.get("engine")
    return f"{name} ({engine})" if name != "float" and engine in ("onnxruntime", "openvino") else name


def ordered(result: Data) -> list[Data]:
    """Teachers, then the points, the best first."""
    return [*result["teachers"], *sorted(result["points"], key=lambda p: (-p["score"], p["bytes"], p["id"]))]


def verdict(result: Data) -> list[str]:
    """What came of a search's target, in sentences; nothing for a comparison."""
    if result["kind"] != "compress":
        return []
    points = {row["id"]: row for row in result["points"]}
    if result["met"]:
        best = points[result["best"]]
        return [f"The best that fits is {best['id']}: {_described(best, result)}. It is in {best['checkpoint']}."]
    lines = [f"Nothing fits the target ({wanted(result)})."]
    if late := out_of_time(result):
        lines = [
            f"Nothing that was tried fits the target ({wanted(result)}), and the budget of "
            f"{in_words(result['budget'])} was over before {late} more could be trained. Give more: "
            f"python3 app sweeps resume {result['sweep']} --budget TIME"
        ]
    if result["nearest"] in points:
        near = points[result["nearest"]]
        lines.append(
            f"Nearest is {near['id']} ({_described(near, result)}): {result['misses']}. It is in {near['checkpoint']}."
        )
    elif result.get("misses"):
        lines.append(result["misses"])
    return lines


def out_of_time(result: Data) -> int:
    """How many candidates the budget did not hold."""
    return sum(each["status"] == "out of time" for each in result["others"])


def left_out(result: Data) -> list[tuple[list[str], str, str]]:
    """What came to nothing: (names, status or scheme, reason); a reason that several share is given once."""
    found: dict[tuple[str, str], list[str]] = {}
    for each in result["others"]:
        found.setdefault((each["status"], each["reason"] or ""), []).append(each["candidate"])
    for each in result["schemes_left_out"]:
        found.setdefault((each["scheme"], each["reason"]), []).append(each["candidate"])
    for each in result.get("ruled_out") or []:
        found.setdefault(("ruled out", f"nearest as {each['scheme']}, {each['reason']}."), []).append(
            student_name(each["student"])
        )
    return [(names, what, why) for (what, why), names in found.items()]


def to_text(result: Data) -> str:
    """For the terminal."""
    parts = (
        [table(headings(result), [cells(row, result) for row in ordered(result)], left=5)] if result["points"] else []
    )
    parts += ["* no other point is better in quality, size and speed together."] if result["points"] else []
    if lines := verdict(result):
        parts += ["", *lines]
    if result["advice"]:
        parts += ["", "Recommended, from these figures:"]
        parts += [
            f"  {each['for']}: {each['point']}\n      {each['reason']}\n      As a model: {_model(each, result)}"
            for each in result["advice"]
        ]
    if left := left_out(result):
        parts += ["", "Not in the table:", *[f"  {', '.join(names)} ({what}): {why}" for names, what, why in left]]
    parts += ["", *[f"- {line}" for line in result["findings"]]] if result["findings"] else []
    parts += [
        "",
        f"Report: {result['reports']['html']} (also .md, .csv, .json). It took {in_words(result['seconds'])}.",
    ]
    return "\n".join(parts)


def to_markdown(result: Data) -> str:
    """A page of its own: table, recommendations, what was left out and why, what the figures depend on."""
    lines = [f"# {title(result)}", "", escape(about(result)), ""]
    for line in verdict(result):
        lines += [escape(line), ""]
    if result["points"]:
        lines += _rows(headings(result), [_starred(cells(row, result)) for row in ordered(result)])
        lines += ["", "\\* on the front: no other point is better in quality, size and speed together.", ""]
    if result["advice"]:
        lines += ["## Recommendations", ""]
        lines += [
            f"- **{each['for']}**: {escape(each['point'])}. {escape(each['reason'])} As a model: "
            f"{escape(_model(each, result))}."
            for each in result["advice"]
        ]
        lines.append("")
    if left := left_out(result):
        lines += ["## Not in the table", ""]
        lines += [f"- {escape(', '.join(names))}, {what}: {escape(why)}" for names, what, why in left]
        lines.append("")
    if result["findings"]:
        lines += ["## Noted", "", *[f"- {escape(line)}" for line in result["findings"]], ""]
    lines += ["## Where", "", escape(where(result)), ""]
    return "\n".join(lines)


def title(result: Data) -> str:
    """The report's title."""
    what = "Comparison" if result["kind"] == "compare" else "Search"
    return f"{what} {result['name'] or result['sweep']}"


def about(result: Data) -> str:
    """What was compared on what."""
    data = result["data"]
    done = len({row["candidate"] for row in result["points"]})
    asked = done + len(result["others"])
    target = f" Wanted: {wanted(result)}." if result["kind"] == "compress" else ""
    classes = f" ({data['labels']} classes)" if data["labels"] else ""
    if not asked:
        return f"No training was begun.{target}"
    return (
        f"{done} of {asked} candidates trained to the end on {data['train']:,} examples of {data['source']}"
        f"{classes}, measured on {data['eval']:,}, in {in_words(result['seconds'])}. Retention is the "
        f"{result['metric'].replace('_', '-')} over the teacher's, agreement the share of answers equal to the "
        f"teacher's.{target}"
    )


def wanted(result: Data) -> str:
    """A search's target in words."""
    limits, words = result["target"], []
    if "max_size" in limits:
        words.append(f"at most {size(limits['max_size'])}")
    if "max_latency" in limits:
        words.append(f"at most {limits['max_latency']:g} ms")
    if "min_retention" in limits:
        words.append(f"at least {limits['min_retention']:.1%} of the teacher's {result['metric'].replace('_', '-')}")
    return ", ".join(words)


def where(result: Data) -> str:
    """What the timings depend on."""
    env = result["environment"]
    versions = ", ".join(f"{name} {version}" for name, version in (env.get("versions") or {}).items())
    return (
        f"Measured on {env.get('cpu')}, {env.get('threads')} of {env.get('cores')} threads, {env.get('system')}; "
        f"Python {env.get('python')}, {versions}. Times are of the model alone, one example at a time (p50, p95) and "
        "in batches of 32 (examples/s)."
    )


def _model(advised: Data, result: Data) -> str:
    """The name by which other verbs know what is recommended."""
    return Path(next(row["checkpoint"] for row in result["points"] if row["id"] == advised["point"])).name


def _described(row: Data, result: Data) -> str:
    shown = "" if row["latency_ms"] is None else f", {row['latency_ms']:.2f} ms"
    kept = "" if row.get("retention") is None else f", {_percent(row['retention'])} of the teacher's"
    return f"{result['metric'].replace('_', '-')} {row['score']:.4f}{kept}, {size(row['bytes'])}{shown}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _starred(row: list[str]) -> list[str]:
    return ["\\*" if cell == "*" else cell for cell in row]


def _rows(heads: list[str], rows: list[list[str]]) -> list[str]:
    lines = [[cell if cell == "\\*" else escape(cell) for cell in row] for row in rows]
    return [f"| {' | '.join(row)} |" for row in (heads, ["---"] * len(heads), *lines)]
