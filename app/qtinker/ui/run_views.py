"""One run and the list of runs as HTML, drawn from the run folder alone."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

from .. import jobs, runs
from . import metrics, page
from .charts import Series, line_chart
from .curves import Curves, PhaseCurves
from .format import DASH, duration, esc, moment, number, percent, seconds_since
from .texts import Texts

_states: dict[str, tuple[tuple[int, bool, int], dict[str, Any]]] = {}
_lock = threading.Lock()


def state_of(run: runs.Run) -> dict[str, Any]:
    """The run's state; one that has ended for good is read again only when its files change."""
    try:
        key = (run.files.state.stat().st_mtime_ns, run.files.stop.exists(), _changed(run))
    except OSError:
        return run.state()
    with _lock:
        known = _states.get(str(run.folder))
    if known and known[0] == key and known[1]["status"] in ("done", "failed", "broken"):
        return known[1]
    state = run.state()
    with _lock:
        _states[str(run.folder)] = (key, state)
    return state


def _changed(run: runs.Run) -> int:
    try:
        return run.files.launch.stat().st_mtime_ns
    except OSError:
        return 0


def name_of(state: dict[str, Any]) -> str:
    """What a run is called: its given name, else its id."""
    return str(state.get("name") or state["id"])


def pill(state: dict[str, Any], t: Texts) -> str:
    """The status as a small label."""
    status = str(state["status"])
    kind = status if status.isalpha() else ""
    return page.pill(t.get(f"status.{status}", status), kind)


def list_html(states: list[dict[str, Any]], selected: str, t: Texts) -> str:
    """The history: one button a run, newest first, waiting ones with their place in the queue."""
    if not states:
        return page.empty(t("runs.none"), t("runs.none_help"))
    order, _ = runs.queue()
    names = Counter(name_of(state) for state in states)
    items = ""
    for state in states:
        share = min(1.0, max(0.0, float(state.get("progress") or 0)))
        going_on = state["status"] in runs.ACTIVE
        bar = f'<div class="qt-progress"><i style="--w:{100 * share:.0f}%"></i></div>' if going_on else ""
        place = f" · {order.index(state['id']) + 1}." if state["status"] == "queued" and state["id"] in order else ""
        run_id = esc(state["id"])
        twin = f' <i class="qt-muted">{run_id.rpartition("-")[2]}</i>' if names[name_of(state)] > 1 else ""
        items += (
            f'<button class="qt-run" data-pick="{run_id}" data-key="run-{run_id}" '
            f'aria-current="{"true" if state["id"] == selected else "false"}">'
            f'<span class="top"><span class="name" title="{run_id}">{esc(name_of(state))}{twin}</span>'
            f'{pill(state, t)}</span><span class="sub"><span>'
            f"{esc(t.get('kind.' + str(state['kind']), str(state['kind'])))}{place}</span>"
            f"<span>{moment(state.get('created'))}</span></span>{bar}</button>"
        )
    return f'<div class="qt-runs" role="group" aria-label="{esc(t("runs.list"))}">{items}</div>'


def head_html(state: dict[str, Any], known: Curves, t: Texts) -> str:
    """Name, status, phases, progress and the numbers of the moment."""
    going_on = state["status"] in runs.ACTIVE
    message = str(state.get("message") or "")
    error = state.get("error") if isinstance(state.get("error"), dict) else None
    run_id = f"{esc(state['id'])} · " if state.get("name") else ""  # what has no name is called by it above
    parts = [
        f'<div class="top" style="display:flex;gap:10px;align-items:center;flex-wrap:wrap">'
        f'<h2 class="qt-title" style="margin:0;overflow-wrap:anywhere">{esc(name_of(state))}</h2>{pill(state, t)}</div>'
        f'<p class="qt-muted qt-small" style="margin:2px 0 12px">{run_id}{moment(state.get("created"))}</p>'
    ]
    if error:
        parts.append(page.note(t.said(error.get("message")), "bad", fix=t.said(error.get("fix"))))
    elif state["status"] in ("interrupted", "stopped"):
        parts.append(page.note(t(f"runs.note_{state['status']}"), "warn"))
    elif state["status"] == "stopping":
        parts.append(page.note(t("runs.note_stopping"), "warn"))
    elif state["status"] == "queued":
        parts.append(page.note(waits_for(t)))
    if known.order:
        parts.append(_phases(state, known, t))
    if going_on or state["status"] in runs.RESUMABLE:
        words = t.get(f"phase.{state.get('phase')}", t.said(message) or str(state.get("phase") or ""))
        right = (
            t("runs.eta_phase", time=duration(state["eta_s"])) if going_on and state.get("eta_s") is not None else ""
        )
        share = float(state.get("progress") or 0)
        parts.append(page.progress(share, f"{words} · {percent(share, 0)}", right, label=t("runs.progress")))
    parts.append(page.facts(_facts(state, known, t)))
    if state["status"] == "done":  # the result says them again, beside what they are about
        return '<div class="qt-stack">' + "".join(f"<div>{part}</div>" for part in parts) + "</div>"
    warnings = [event for event in known.messages if event.get("level") == "warning"][-4:]
    parts += [page.note(t.said(event.get("text")), "warn") for event in warnings]
    return '<div class="qt-stack">' + "".join(f"<div>{part}</div>" for part in parts) + "</div>"


def waits_for(t: Texts) -> str:
    """What a waiting run waits for: also for what was begun on the command line."""
    states = [run.state() for run in jobs.active()]
    before = [f"{state['name']} ({state['id']})" if state.get("name") else str(state["id"]) for state in states]
    if jobs.sweeps_going_on():
        before.append(t("runs.a_sweep"))
    return t("runs.note_queued_for", what=", ".join(before)) if before else t("runs.note_queued")


def _phases(state: dict[str, Any], known: Curves, t: Texts) -> str:
    current, items = state.get("phase"), ""
    names = [str(event.get("phase")) for event in known.order]
    for name in names:
        past = state["status"] == "done" or (current in names and names.index(name) < names.index(str(current)))
        kind = "past" if past else "now" if name == current else ""
        title = t.get(f"phase.{name}", known.phases[name].title if name in known.phases else name)
        items += f'<li class="{kind}" {"aria-current=step" if kind == "now" else ""}>{esc(title)}</li>'
    return f'<ol class="qt-phases" aria-label="{esc(t("runs.phases"))}">{items}</ol>'


def _facts(state: dict[str, Any], known: Curves, t: Texts) -> list[tuple[str, str]]:
    phase = known.phases.get(str(state.get("phase") or "")) or PhaseCurves()
    main = known.phases.get(known.main_phase or "") or phase
    last = phase.last if state["status"] in runs.ACTIVE else (main.last or phase.last)
    steps = number(last["step"]) if last.get("step") is not None else DASH
    if last.get("total_steps"):
        steps += f" / {number(last['total_steps'])}"
    elapsed = None
    if state.get("started"):
        ended = seconds_since(state.get("ended")) if state["status"] not in runs.ACTIVE else 0.0
        elapsed = (seconds_since(state["started"]) or 0.0) - (ended or 0.0)
    facts = [(t("runs.step"), steps), (t("runs.loss"), number(last.get("loss")))]
    facts += [(metrics.label(name, t), metrics.words(name, value)) for name, value in _at_best(main)[:2]]
    if last.get("examples_per_second") is not None:
        facts.append((t("runs.throughput"), t("runs.per_second", n=number(last["examples_per_second"]))))
    if last.get("learning_rate") is not None:
        facts.append((t("runs.learning_rate"), f"{last['learning_rate']:.2g}"))
    if elapsed is not None and (state["status"] in runs.ACTIVE or state.get("ended")):
        facts.append((t("runs.elapsed"), duration(elapsed)))
    return facts


def _at_best(phase: PhaseCurves) -> list[tuple[str, float]]:
    """The metrics of the evaluation whose weights are kept, that which the run is judged by first."""
    names = [name for name in metrics.in_order(phase.metrics, phase.metric) if phase.metrics[name]]
    if not names:
        return []
    choose = min if names[0] in metrics.LOWER_IS_BETTER else max
    kept = choose(phase.metrics[names[0]], key=lambda point: point[1])[0]
    return [(name, min(phase.metrics[name], key=lambda point: abs(point[0] - kept))[1]) for name in names]


def charts_html(run_id: str, known: Curves, others: list[tuple[str, Curves]], t: Texts) -> str:
    """Loss parts of each phase, the evaluation of all phases together, and other runs over this one."""
    figures: list[str] = []
    if others:
        figures += compared([(run_id, known), *others], t)
    shown = [name for name in ("distill", "finetune", "control", "finetune-teacher") if name in known.phases]
    evaluations: list[Series] = []
    metric = next((name for phase in shown if (name := _judged_by(known.phases[phase]))), None)
    for index, name in enumerate(shown):
        points = known.phases[name].metrics.get(metric or "")
        if points:
            evaluations.append(Series(_phase_title(name, t), points, dots=True, colour=index))
    loss_figures = [_loss_chart(name, known.phases[name], t) for name in shown if known.phases[name].losses]
    figures += loss_figures[:1]
    if evaluations:
        label = metrics.label(str(metric), t)
        best = "; ".join(
            f"{item.name} {metrics.words(str(metric), max(y for _, y in item.points))}" for item in evaluations
        )
        words = t("runs.at_best", what=best)  # whose weights are kept
        figures.append(
            line_chart(
                evaluations, title=f"{t('runs.evaluation')}: {label}", summary=words, x_title=t("runs.step"), most=1
            )
        )
    figures += loss_figures[1:]
    if not figures:
        return f'<p class="qt-muted">{esc(t("runs.no_curves"))}</p>'
    return f'<div class="qt-charts">{"".join(figures)}</div>'


def _judged_by(phase: PhaseCurves) -> str | None:
    """The metric whose curve is drawn."""
    return next(iter(metrics.in_order(phase.metrics, phase.metric)), None)


def _phase_title(name: str, t: Texts) -> str:
    return str(t.get(f"phase.{name}", name))


def _loss_chart(name: str, phase: PhaseCurves, t: Texts) -> str:
    parts = [part for part in phase.losses if part != "loss" and phase.losses[part]]
    total = phase.losses.get("loss", [])
    series = [Series(t("runs.total"), total, colour=0)]
    if len(parts) > 1 or (parts and phase.losses[parts[0]] != total):
        series += [
            Series(t.get(f"part.{part}", part), phase.losses[part], colour=1 + i) for i, part in enumerate(parts)
        ]
    summary = ""
    if total:
        summary = t(
            "runs.loss_summary", first=number(total[0][1]), last=number(total[-1][1]), steps=number(int(total[-1][0]))
        )
    return line_chart(
        series, title=f"{t('runs.loss')}: {_phase_title(name, t)}", summary=summary, x_title=t("runs.step")
    )


def compared(items: list[tuple[str, Curves]], t: Texts) -> list[str]:
    """Several runs' total loss and metric over one another."""
    losses, scores, metric = [], [], None
    for index, (name, known) in enumerate(items):
        phase = known.phases.get(known.main_phase or "")
        if phase is None:
            continue
        losses.append(Series(name, phase.losses.get("loss", []), colour=index))
        metric = metric or _judged_by(phase)
        if metric and phase.metrics.get(metric):
            scores.append(Series(name, phase.metrics[metric], dots=True, colour=index))
    figures = []
    if losses:
        words = "; ".join(f"{item.name} {number(item.points[-1][1])}" for item in losses if item.points)
        figures.append(line_chart(losses, title=t("runs.compared_loss"), summary=words, x_title=t("runs.step")))
    if scores:
        name = str(metric)
        words = "; ".join(f"{item.name} {metrics.words(name, max(y for _, y in item.points))}" for item in scores)
        label = metrics.label(name, t)
        figures.append(
            line_chart(
                scores, title=f"{t('runs.compared_metric')}: {label}", summary=words, x_title=t("runs.step"), most=1
            )
        )
    return figures
