"""A sweep as HTML: how far it is, its table and chart as they fill, what is recommended from the user's own figures."""

from __future__ import annotations

from typing import Any

from ..compare import store
from ..compare.front import front
from ..compare.report import left_out, out_of_time, scheme
from ..errors import QTinkerError
from ..registry import find
from . import page
from .charts import scatter
from .format import DASH, duration, esc, moment, percent, short_number, size
from .texts import Texts

Data = dict[str, Any]
GOALS = {"quality": "best retention", "balanced": "best balance", "phone": "for phones", "micro": "smallest"}
"""What the Guide asks for, and the recommendation that answers it."""
PURPOSES = ("best balance", "fastest", "best retention", "smallest", "for phones")


def options(t: Texts) -> list[tuple[str, str]]:
    """All sweeps for a list, newest first."""
    found = []
    for sweep in store.list_sweeps():
        state = sweep.state()
        status = t.get(f"status.{state['status']}", str(state["status"]))
        kind = t.get(f"sweep.kind_{state['kind']}", str(state["kind"]))
        found.append((f"{state['name'] or moment(state['created'])} · {kind} · {status}", sweep.id))
    return found


def html(sweep_id: str, t: Texts) -> str:
    """One sweep: its report where it is done, else what its candidates have come to."""
    if not sweep_id:
        return page.empty(t("sweep.none"), t("sweep.none_help"))
    sweep = store.open(sweep_id)
    state, report = sweep.state(), sweep.report()
    if state["status"] == "done" and report:
        return report_html(report, t)
    parts = [page.progress(state["progress"], words(state, t), duration(state["seconds"]), label=t("sweep.title"))]
    if state["status"] in ("stopped", "interrupted", "failed"):
        message = (state.get("error") or {}).get("message") or t("sweep.resumable")
        parts.append(page.note(t.said(message), "bad" if state["status"] == "failed" else "warn"))
    parts += [candidates_table(state, t), candidates_chart(state, t)]
    return stacked(parts)


def words(state: Data, t: Texts) -> str:
    """What goes on, in a line."""
    status = t.get(f"status.{state['status']}", str(state["status"]))
    return f"{status}: {t.said(state['message'])}" if state["message"] else status


def stacked(parts: list[str]) -> str:
    """Parts below one another."""
    return '<div class="qt-stack">' + "".join(f"<div>{part}</div>" for part in parts if part) + "</div>"


def candidates_table(state: Data, t: Texts) -> str:
    """A row a candidate, while the sweep goes on."""
    columns = [(t("sweep.student"), False), (t("distil.teacher"), False), (t("distil.method"), False),
               (t("sweep.status"), False), (t("sweep.trained"), True), (t("sweep.score"), True)]  # fmt: skip
    rows = []
    for name, entry in state["candidates"].items():
        reason = f'<span class="about">{esc(t.said(entry["reason"]))}</span>' if entry["reason"] else ""
        mark = "running" if state["current"] == name and state["status"] == "running" else entry["status"]
        kind = {"running": "running", "done": "good", "trained": "good", "failed": "bad"}.get(mark, "")
        rows.append([
            f"<b>{esc(entry['student'])}</b>{reason}", esc(entry["teacher"]), esc(entry["method"]),
            page.pill(t.get(f"sweep.is_{mark.replace(' ', '_')}", mark), kind), percent(entry["share"], 0),
            DASH if entry["score"] is None else percent(entry["score"]),
        ])  # fmt: skip
    return page.table(columns, rows, label=t("sweep.candidates")) if rows else ""


def candidates_chart(state: Data, t: Texts) -> str:
    """Scores so far against parameters."""
    points = [
        (name, entry["parameters"] / 1e6, 100 * entry["score"], entry["share"])
        for name, entry in state["candidates"].items()
        if entry["score"] is not None and entry.get("parameters")
    ]
    if not points:
        return ""
    return scatter(points, title=t("sweep.so_far"), summary=t("sweep.so_far_summary"), x_title=t("sweep.parameters_x"),
                   y_title="%", log=_wide([p[1] for p in points]))  # fmt: skip


def report_html(report: Data, t: Texts) -> str:
    """A finished sweep: verdict, recommendations, charts, table, what came to nothing, downloads."""
    parts = [verdict(report, t), advice_html(report, t)]
    if report["points"]:
        parts.append(chart(report, "bytes", 1e6, t("sweep.size_x"), t))
        parts.append(chart(report, "latency_ms", 1, t("sweep.time_x"), t))
        parts.append(points_table(report, t))
    left = [f"{', '.join(names)} ({t.get('sweep.is_' + what.replace(' ', '_'), what)}): {t.said(why)}"
            for names, what, why in left_out(report)]  # fmt: skip
    left += [t.said(line) for line in report["findings"]]
    if left:
        items = "".join(f"<li>{esc(line)}</li>" for line in left)
        parts.append(f'{page.title(t("sweep.noted"))}<ul class="qt-small" style="padding-left:18px">{items}</ul>')
    links = [(f"/download/sweep/{report['sweep']}/report.{ending}", t(f"sweep.report_{ending}"))
             for ending in ("html", "md", "csv", "json")]  # fmt: skip
    return stacked([*parts, page.links(links, primary=0)])


def verdict(report: Data, t: Texts) -> str:
    """Whether the target was met; nothing for a comparison."""
    if report["kind"] != "compress":
        return ""
    rows = {row["id"]: row for row in report["points"]}
    if report["met"]:
        return page.note(t("sweep.met", name=report["best"], figures=figures(rows[report["best"]], t)), "good")
    late = out_of_time(report)
    more = t("sweep.missed_time", n=late, budget=duration(report["budget"])) if late else ""
    if report["nearest"] in rows:
        near = rows[report["nearest"]]
        words = t("sweep.missed", name=near["id"], figures=figures(near, t))
        return page.note(words, "warn", fix=f"{t.said(report['misses'])} {more}".strip())
    return page.note(t.said(report["misses"]) or t("sweep.missed_all"), "warn", fix=more)


def figures(row: Data, t: Texts) -> str:
    """Score, retention, size and time of a point."""
    found = [percent(row["score"])]
    if row.get("retention") is not None:
        found.append(t("sweep.of_teacher", share=percent(row["retention"])))
    found.append(size(row["bytes"]))
    if row.get("latency_ms") is not None:
        found.append(f"{row['latency_ms']:.2f} ms")
    return ", ".join(found)


def advice_html(report: Data, t: Texts) -> str:
    """The recommendations, each with the figures that speak for it."""
    rows = {row["id"]: row for row in report["points"]}
    found = []
    for each in report["advice"]:
        row = rows.get(each["point"])
        if row and each["for"] in PURPOSES:
            purpose = t(f"sweep.{each['for'].replace(' ', '_')}")
            found.append(
                f"<div><dt>{esc(purpose)}</dt><dd>{esc(row['id'])}<span>{esc(figures(row, t))}</span></dd></div>"
            )
    if not found:
        return ""
    head = page.title(t("sweep.advice"), t("sweep.advice_lead"))
    return f'{head}<dl class="qt-facts qt-wider">{"".join(found)}</dl>'


def chart(report: Data, cost: str, scale: float, x_title: str, t: Texts) -> str:
    """Quality against one cost; the dashed line joins what no other point beats in these two."""
    rows = sorted((row for row in report["points"] if row.get(cost)), key=_best_first)
    if not rows:
        return ""
    top = max((row["examples_per_second"] or 0) for row in rows) or 1
    points = [
        (row["id"], row[cost] / scale, 100 * row["score"], (row["examples_per_second"] or 0) / top) for row in rows
    ]
    best = [row["id"] for row in front(rows, [cost])]
    metric = str(t.get(f"metric.{report['metric']}", report["metric"]))
    return scatter(
        points, title=t("sweep.against", metric=metric, what=x_title), x_title=x_title, y_title="%", front=best,
        summary=t("sweep.front_summary", names=", ".join(best)), log=_wide([p[1] for p in points]),
    )  # fmt: skip


def points_table(report: Data, t: Texts) -> str:
    """A row a point, the best first; each can be opened and downloaded."""
    metric = str(t.get(f"metric.{report['metric']}", report["metric"]))
    columns = [(t("sweep.student"), False), (t("distil.teacher"), False), (t("distil.method"), False),
               (t("sweep.scheme"), False), (metric, True), (t("result.retention"), True),
               (t("compare.agreement"), True),
               (t("compare.parameters"), True), (t("compare.size"), True), (t("compare.p50"), True),
               (t("compare.speed"), True), (t("sweep.took"), True)]  # fmt: skip
    ordered = [*report["teachers"], *sorted(report["points"], key=_best_first)]
    rows = []
    for row in ordered:
        name = row.get("student") or f"{row['name']} ({t('result.teacher')})"
        star = f'<span class="about">{esc(t("sweep.on_front"))}</span>' if row.get("front") else ""
        latency, links = row.get("latency_ms"), opened(row, t)
        links = f'<span class="about">{links}</span>' if links else ""
        rows.append([
            f"<b>{esc(name)}</b>{star}{links}", esc(row.get("teacher") or DASH), esc(row.get("method") or DASH),
            esc(scheme(row)), percent(row["score"]), percent(row.get("retention")),
            percent(row.get("agreement")), short_number(row["parameters"]), size(row["bytes"]),
            DASH if latency is None else f"{latency:.2f} ms", short_number(row["examples_per_second"]),
            duration(row.get("training_seconds")),
        ])  # fmt: skip
    return f'<div class="qt-dense">{page.table(columns, rows, label=t("sweep.points"))}</div>'


def opened(row: Data, t: Texts) -> str:
    """Links to a point's model and run, where they are here."""
    folder = str(row["checkpoint"]).replace("\\", "/").rstrip("/").split("/")
    name = "/".join(folder[-2:])
    found = []
    try:
        known = find(name)
    except (QTinkerError, OSError):  # a damaged registry must not hide the table
        known = None
    if known:
        found.append(f'<a href="/download/model/{esc(known.full_name)}.zip" download>{esc(t("sweep.download"))}</a>')
        found.append(f'<a href="?tab=compare&amp;models={esc(known.name)}">{esc(t("sweep.try"))}</a>')
    if row.get("run"):
        found.append(f'<a href="?tab=runs&amp;run={esc(row["run"])}">{esc(t("sweep.run"))}</a>')
    return " · ".join(found)


def own_advice(t: Texts, goal: str = "balanced") -> str:
    """For the Guide: what the user's own newest measurements recommend for a goal; empty while there are none."""
    for sweep in store.list_sweeps():
        report = sweep.report()
        if report and report.get("advice"):
            source = str(report["data"]["source"]).replace("\\", "/").rpartition("/")[2]
            lead = t("sweep.own_lead", data=source, n=len(report["points"]))
            address = f"?tab=sweep&amp;sweep={esc(sweep.id)}"
            return (
                page.title(t("sweep.own"), lead) + chosen_html(report, goal, t) + advice_html(report, t)
                + f'<div class="qt-links"><a href="{address}">{esc(t("sweep.open"))}</a></div>'
            )  # fmt: skip
    return ""


def chosen_html(report: Data, goal: str, t: Texts) -> str:
    """The measured point that suits one of the Guide's goals: what it is made of, its figures, its model and run."""
    purpose = GOALS.get(goal)
    point = next((each["point"] for each in report["advice"] if each["for"] == purpose), None)
    row = next((each for each in report["points"] if each["id"] == point), None)
    if row is None:
        return ""
    facts = [(t("distil.teacher"), row["teacher"]), (t("distil.student"), row["student"]),
             (t("distil.method"), row["method"]), (t("sweep.scheme"), row["scheme"]),
             (t("sweep.measured"), figures(row, t))]  # fmt: skip
    links = opened(row, t)
    return (f'<div id="qt-own-choice" style="margin:12px 0">{page.facts(facts)}'
            + (f'<p class="qt-small">{links}</p>' if links else "") + "</div>")  # fmt: skip


def _best_first(row: Data) -> tuple[float, int]:
    """The order of table and charts."""
    return -row["score"], row["bytes"]


def _wide(values: list[float]) -> bool:
    return max(values) / max(min(values), 1e-9) > 20
