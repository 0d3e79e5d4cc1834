"""Results as HTML: the table that `evaluate` makes, size against quality against speed, and whole reports to keep."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .. import runs
from . import metrics, page, theme
from .charts import scatter
from .curves import curves
from .format import DASH, duration, esc, moment, number, percent, short_number, size
from .texts import Texts


def models_table(
    models: list[dict[str, Any]], t: Texts, *, roles: dict[str, str] | None = None, metric: str | None = None
) -> str:
    """One row a model; the best value of each column stands out.

    Args:
        metric: the one that a run was judged by comes first.
    """
    roles = roles or {}
    shown = metrics.of_models(models, metric)[: metrics.MOST]
    columns = [(t("compare.model"), False)]
    columns += [(metrics.label(name, t), True) for name in shown]
    columns += [
        (t(f"compare.{name}"), True) for name in ("agreement", "size", "parameters", "p50", "p95", "speed", "memory")
    ]
    best = _best(models, shown)
    rows = []
    for index, model in enumerate(models):
        scores, latency = model.get("metrics") or {}, model.get("latency_ms") or {}
        role = roles.get(str(model.get("path")))
        label = f"<b>{esc(model.get('name'))}</b>"
        about = " · ".join(filter(None, [role, (model.get("quantization") or {}).get("scheme"), _slower(model, t)]))
        cells = [label + (f'<span class="about">{esc(about)}</span>' if about else "")]
        values = [
            *[(name, metrics.words(name, scores.get(name))) for name in shown],
            ("agreement", percent(model.get("agreement"))),
            ("bytes", size(model.get("bytes"))), ("parameters", short_number(model.get("parameters"))),
            ("p50", _ms(latency.get("p50"))), ("p95", _ms(latency.get("p95"))),
            ("speed", number(model.get("examples_per_second"))), ("memory", size(model.get("model_memory_bytes"))),
        ]  # fmt: skip
        cells += [f'<span class="best">{words}</span>' if best.get(key) == index else words for key, words in values]
        rows.append(cells)
    return page.table(columns, rows, label=t("compare.table"))


def parts_table(models: list[dict[str, Any]], t: Texts) -> str:
    """Folded away: what the parts of each model weigh, and how long a batch takes."""
    parts = ("embeddings", "encoder", "head")
    columns = [(t("compare.model"), False), (t("compare.engine"), False)]
    columns += [(t(f"compare.{name}"), True) for name in (*parts, "batch_p50", "batch_p95")]
    rows = []
    for model in models:
        weighs, batch = model.get("bytes_by_part") or {}, model.get("batch_latency_ms") or {}
        rows.append(
            [f"<b>{esc(model.get('name'))}</b>", esc(model.get("engine")), *(size(weighs.get(part)) for part in parts),
             _ms(batch.get("p50")), _ms(batch.get("p95"))]
        )  # fmt: skip
    table = page.table(columns, rows, label=t("compare.parts"))
    return f"<details><summary>{esc(t('compare.parts'))}</summary>{table}</details>"


def _best(models: list[dict[str, Any]], shown: list[str]) -> dict[str, int]:
    if len(models) < 2:
        return {}
    found: dict[str, int] = {}
    readers: dict[str, tuple[Any, bool]] = {
        **{
            name: (lambda model, name=name: (model.get("metrics") or {}).get(name), name not in metrics.LOWER_IS_BETTER)
            for name in shown
        },
        "bytes": (lambda model: model.get("bytes"), False),
        "p50": (lambda model: (model.get("latency_ms") or {}).get("p50"), False),
        "p95": (lambda model: (model.get("latency_ms") or {}).get("p95"), False),
        "speed": (lambda model: model.get("examples_per_second"), True),
    }
    for key, (read, high) in readers.items():
        values = [(value, index) for index, model in enumerate(models) if isinstance(value := read(model), int | float)]
        if len(values) > 1:
            found[key] = (max if high else min)(values, key=lambda pair: pair[0])[1]
    return found


def _slower(model: dict[str, Any], t: Texts) -> str:
    gain = model.get("speedup")
    if not isinstance(gain, int | float):
        return ""
    return t("compare.times_faster", n=f"{gain:.2f}") if gain >= 1 else t("compare.times_slower", n=f"{1 / gain:.2f}")


def _ms(value: Any) -> str:
    return f"{value:.1f} ms" if isinstance(value, int | float) else DASH


def models_chart(models: list[dict[str, Any]], t: Texts, *, metric: str | None = None) -> str:
    """Quality against size; the dot's area is the throughput, the dashed line joins what nothing else beats."""
    metric = next(iter(metrics.of_models(models, metric)), None)
    if metric is None:
        return ""
    usable = [model for model in models if (model.get("metrics") or {}).get(metric) is not None and model.get("bytes")]
    if not usable:
        return ""
    top = max((model.get("examples_per_second") or 0) for model in usable) or 1
    points = [
        (str(model["name"]), model["bytes"] / 1e6, 100 * model["metrics"][metric],
         (model.get("examples_per_second") or 0) / top)
        for model in usable
    ]  # fmt: skip
    front = [
        name for name, x, y, _ in points
        if not any((ox <= x and oy >= y) and (ox < x or oy > y) for _, ox, oy, _ in points)
    ]  # fmt: skip
    label = metrics.label(metric, t)
    spread = max(x for _, x, _, _ in points) / max(min(x for _, x, _, _ in points), 1e-9)
    return scatter(
        points, title=t("compare.chart"), summary=t("compare.chart_summary", names=", ".join(front)),
        x_title=t("compare.chart_x"), y_title=f"{label} (%)", front=front, log=spread > 20,
    )  # fmt: skip


def report_html(report: dict[str, Any], t: Texts) -> str:
    """What came of a run."""
    metric = str(report.get("metric") or "accuracy")
    scores = {role: (values or {}).get(metric) for role, values in (report.get("metrics") or {}).items()}
    parts = [page.title(t("result.title"))]
    label = metrics.label(metric, t)
    facts = [
        (t(f"result.{role}"), metrics.words(metric, value))
        for role, value in scores.items()
        if role in ("teacher", "student", "control")
    ]
    if report.get("retention") is not None:
        facts.append((t("result.retention"), percent(report["retention"])))
    facts.append((t("result.took"), duration(report.get("seconds"))))
    parts.append(page.facts(facts))
    parts += [page.note(words, kind) for words, kind in verdict(scores, label, t)]
    models = report.get("models") or []
    if models:
        parts.append(models_table(models, t, roles=roles_of(report, t), metric=metric) + parts_table(models, t))
        parts.append(models_chart(models, t, metric=metric))
    parts += [page.note(t.said(words), "warn") for words in report.get("warnings") or []]
    return '<div class="qt-stack">' + "".join(f"<div>{part}</div>" for part in parts if part) + "</div>"


def verdict(scores: dict[str, Any], label: str, t: Texts) -> list[tuple[str, str]]:
    """One sentence on what distilling gave, as measured: against the same student without a teacher."""
    student, control = scores.get("student"), scores.get("control")
    if student is None or control is None:
        return []
    gain = 100 * (student - control)
    if abs(gain) < 0.05:
        return [(t("result.same", metric=label), "")]
    key = "result.better" if gain > 0 else "result.worse"
    return [(t(key, points=f"{abs(gain):.1f}", metric=label), "good" if gain > 0 else "warn")]


def roles_of(report: dict[str, Any], t: Texts) -> dict[str, str]:
    """Which path is the teacher, the student, the control."""
    named = {
        "teacher": report.get("teacher"),
        "student": report.get("checkpoint"),
        "control": report.get("control_checkpoint"),
    }
    return {str(path): t(f"result.{role}") for role, path in named.items() if path}


def made_models(report: dict[str, Any]) -> list[str]:
    """Registry names of what a run made: the student first."""
    from . import choices

    names = []
    paths = [report.get("checkpoint"), report.get("control_checkpoint"), report.get("teacher")]
    paths += [model.get("path") for model in report.get("models") or []]
    by_path = {each.path.resolve(): each.full_name for each in choices.entries()}
    for path in paths:
        name = by_path.get(Path(path).resolve()) if path else None
        if name and name not in names:
            names.append(name)
    return names


def report_page(run: runs.Run, report: dict[str, Any], t: Texts) -> str:
    """A run's report as one HTML file."""
    from .run_views import charts_html

    state, environment = run.state(), report.get("environment") or {}
    spec = run.files.spec.read_text(encoding="utf-8") if run.files.spec.is_file() else ""
    name = str(report.get("name") or run.id)
    cards = [
        report_html(report, t),
        charts_html(name, curves(run), [], t),
        f'{page.title(t("runs.spec"))}<pre class="qt-log" style="max-height:none">{esc(spec)}</pre>',
        page.title(t("result.environment")) + page.facts(_made_with(environment)),
    ]
    return whole_page(name, f"{run.id} · {moment(state.get('ended'))}", cards, t)


def comparison_page(result: dict[str, Any], t: Texts) -> str:
    """A comparison of models as one HTML file."""
    models, data = result.get("models") or [], result.get("data") or {}
    said = measured_on(data, t)
    notes = "".join(page.note(t.said(words), "warn") for words in result.get("warnings") or [])
    cards = [
        f'<div class="qt-stack"><p class="qt-small qt-muted" style="margin:0">{esc(said)}</p>'
        f"{models_table(models, t)}{parts_table(models, t)}{notes}{models_chart(models, t)}</div>",
        page.title(t("result.environment")) + page.facts(_made_with(result.get("environment") or {})),
    ]
    return whole_page(t("compare.title"), Path(str(data.get("source") or "")).name, cards, t)


def measured_on(data: dict[str, Any], t: Texts) -> str:
    """How many examples of which data a comparison was made with."""
    return t("compare.measured_on", n=number(data.get("examples")), data=Path(str(data.get("source") or DASH)).name)


def _made_with(environment: dict[str, Any]) -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for key, value in environment.items():
        if key == "versions" and isinstance(value, dict):
            rows += [(str(package), str(version)) for package, version in value.items()]
        elif key != "executable" and value is not None:
            rows.append((key, ", ".join(map(str, value)) if isinstance(value, list) else str(value)))
    return rows


def whole_page(title: str, lead: str, cards: list[str], t: Texts) -> str:
    """One HTML file: style, plots and numbers inside, nothing fetched, no script."""
    body = "".join(f'<div class="qt-card">{card}</div>' for card in cards)
    return (
        f'<!doctype html><html lang="{t.language}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>QTinker: {esc(title)}</title><style>{theme.css()}\n"
        "body{margin:0 auto;max-width:1080px;padding:24px 18px;background:#f6f7f9;color:#17202a;line-height:1.5}"
        ".qt-card{margin-bottom:18px}</style></head><body>"
        f'<h1 style="margin:0">{esc(title)}</h1><p class="qt-muted">{esc(lead)}</p>{body}</body></html>'
    )
