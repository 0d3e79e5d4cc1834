"""The Runs page: the queue and the history on one side, the chosen run on the other, both read from runs/."""

from __future__ import annotations

from typing import Any

import gradio as gr

from .. import jobs, runs
from ..errors import InputError, QTinkerError
from . import page, run_views
from .app import Shell
from .curves import curves
from .format import esc
from .handlers import safe
from .texts import Texts

POLL_SECONDS = 1.5
LISTED = 200
Seen = dict[str, Any]


def build(shell: Shell) -> None:
    """Draw the page and bind its buttons."""
    t = shell.t
    seen = gr.State({})  # what this browser tab shows already, so that only changes are sent
    with gr.Row(equal_height=False):
        with gr.Column(scale=3, min_width=280):
            gr.HTML(page.title(t("runs.list")))
            listing = gr.HTML(js_on_load=page.PICK, elem_id="qt-run-list")
        with gr.Column(scale=8, min_width=320):
            with gr.Column(elem_classes="qt-card"):
                head = gr.HTML(f'<p class="qt-muted">{esc(t("runs.choose"))}</p>', elem_id="qt-run-head")
                with gr.Row(elem_classes="qt-actions"):
                    stop = gr.Button(t("runs.stop"), visible=False, variant="stop", size="sm", elem_id="qt-stop")
                    resume = gr.Button(
                        t("runs.resume"), visible=False, variant="primary", size="sm", elem_id="qt-resume"
                    )
                    earlier = gr.Button(t("runs.earlier"), visible=False, size="sm", elem_id="qt-earlier")
                    later = gr.Button(t("runs.later"), visible=False, size="sm")
                    again = gr.Button(t("runs.again"), visible=False, size="sm", elem_id="qt-again")
                    delete = gr.Button(t("runs.delete"), visible=False, size="sm", elem_id="qt-delete")
                with gr.Row(visible=False) as sure:
                    gr.HTML(page.note(t("runs.delete_sure"), "warn"))
                    really = gr.Button(t("runs.delete_yes"), variant="stop", size="sm", elem_id="qt-delete-yes")
                    keep = gr.Button(t("runs.delete_no"), size="sm")
            result = gr.HTML(elem_id="qt-run-result")
            with gr.Column(elem_classes="qt-card"):
                charts = gr.HTML(elem_id="qt-run-charts")
                others = gr.Dropdown(
                    label=t("runs.over"),
                    info=t("runs.over_help"),
                    multiselect=True,
                    choices=[],
                    max_choices=6,
                    elem_id="qt-run-over",
                )
            with gr.Accordion(t("runs.log"), open=False):
                log = gr.HTML(elem_id="qt-run-log")
            with gr.Accordion(t("runs.spec"), open=False):
                spec = gr.Code(language="yaml", interactive=False, show_label=False, wrap_lines=True, lines=1,
                               show_line_numbers=False, elem_classes="qt-code")  # fmt: skip
    timer = gr.Timer(POLL_SECONDS, active=False)
    shell.timers["runs"] = timer
    buttons = [stop, resume, earlier, later, again, delete]
    outputs = [seen, listing, head, result, charts, log, spec, others, *buttons]

    @safe(t, quiet=True)
    def draw(chosen: str, over: list[str], before: Seen) -> Any:
        return _draw(chosen, over or [], before, t)

    def from_address(chosen: str, over: list[str], request: gr.Request) -> Any:
        """On loading: the run that the address names, else the newest."""
        found = chosen or request.query_params.get("run", "")
        try:
            found = runs.open(found).id if found else next((run.id for run in runs.list_runs()), "")
        except QTinkerError:
            found = ""
        return [found, *_draw(found, over or [], {}, t)]

    @safe(t)
    def pick(event: gr.EventData, over: list[str]) -> Any:
        chosen = runs.open(str(getattr(event, "key", "") or "")).id
        return [chosen, *_draw(chosen, over or [], {}, t)]

    def act(function: Any) -> Any:
        @safe(t)
        def clicked(chosen: str, over: list[str]) -> Any:
            run = runs.open(chosen)
            function(run.id)
            return _draw(run.id, over or [], {}, t)

        return clicked

    inputs = [shell.run, others, seen]
    begin = safe(t, quiet=True)(from_address)
    shell.opened("runs", begin, [shell.run, others], [shell.run, *outputs])
    shell.loaded(begin, [shell.run, others], [shell.run, *outputs])
    timer.tick(draw, inputs, outputs, queue=False, **shell.quiet)
    others.input(lambda chosen, over: _draw(chosen, over or [], {}, t), [shell.run, others], outputs, **shell.quiet)
    picked = listing.select(pick, [others], [shell.run, *outputs], **shell.quiet)
    picked.then(None, [shell.run], js="(run) => qt.set({run})", api_visibility="private")
    stop.click(act(jobs.stop), [shell.run, others], outputs, queue=False, **shell.quiet)
    resume.click(act(jobs.resume), [shell.run, others], outputs, **shell.quiet)
    earlier.click(act(lambda run_id: _move(run_id, -1)), [shell.run, others], outputs, **shell.quiet)
    later.click(act(lambda run_id: _move(run_id, 1)), [shell.run, others], outputs, **shell.quiet)
    again.click(None, [shell.run], js="(run) => qt.go(`tab=distil&from=${encodeURIComponent(run)}`)",
                api_visibility="private")  # fmt: skip
    delete.click(lambda: gr.Row(visible=True), outputs=sure, **shell.quiet)
    keep.click(lambda: gr.Row(visible=False), outputs=sure, **shell.quiet)

    @safe(t)
    def remove(chosen: str) -> Any:
        runs.open(chosen).delete()
        following = next((run.id for run in runs.list_runs()), "")
        return [following, gr.Row(visible=False), *_draw(following, [], {}, t)]

    removed = really.click(remove, [shell.run], [shell.run, sure, *outputs], **shell.quiet)
    removed.success(None, [shell.run], js="(run) => qt.set({run})", api_visibility="private")


def _move(run_id: str, by: int) -> None:
    order = jobs.queued()
    if run_id not in order:
        raise InputError(f"Run {run_id} does not wait.")
    place = max(0, min(len(order) - 1, order.index(run_id) + by))
    order.remove(run_id)
    order.insert(place, run_id)
    jobs.reorder(order)


def _draw(chosen: str, over: list[str], before: Seen, t: Texts) -> list[Any]:
    """Every output of the page; what is on this tab already is skipped."""
    states = [run_views.state_of(run) for run in runs.list_runs()[:LISTED]]
    now: Seen = {"run": chosen}
    parts: list[Any] = []

    def send(name: str, signature: Any, make: Any) -> None:
        now[name] = signature
        parts.append(make() if before.get("run") != chosen or before.get(name) != signature else gr.skip())

    listing = run_views.list_html(states, chosen, t)
    send("list", hash(listing), lambda: listing)
    try:
        run = runs.open(chosen) if chosen else None
    except QTinkerError:
        run = None
    if run is None:
        nothing = "" if states else page.empty(t("runs.none"), t("runs.none_help"))
        words = nothing or f'<p class="qt-muted">{esc(t("runs.choose"))}</p>'
        send("head", words, lambda: words)
        for name in ("result", "charts", "log"):
            send(name, "", lambda: "")
        send("spec", "", lambda: gr.Code(value=""))
        send("over", "", lambda: gr.Dropdown(choices=[], value=[]))
        send("buttons", "none", lambda: None)
        parts.pop()
        return [now, *parts, *[gr.Button(visible=False)] * 6]
    state, known = run_views.state_of(run), curves(run)
    head = run_views.head_html(state, known, t)
    send("head", hash(head), lambda: head)
    report = run.report() if state["status"] == "done" else None
    send("result", bool(report), lambda: _result(run, report, t))
    send("charts", (known.version, tuple(over)), lambda: run_views.charts_html(
        run_views.name_of(state), known, _others(over, run.id), t))  # fmt: skip
    tail = run.log_tail(60)
    send("log", hash(tail), lambda: f'<pre class="qt-log" tabindex="0">{esc(tail) or esc(t("runs.no_log"))}</pre>')
    send("spec", "spec", lambda: gr.Code(value=_spec_text(run)))
    choices = [(f"{run_views.name_of(each)} · {each['id']}", each["id"]) for each in states if each["id"] != run.id]
    valid = [each for each in over if any(each == value for _, value in choices)]
    send(
        "over", (tuple(value for _, value in choices), tuple(valid)), lambda: gr.Dropdown(choices=choices, value=valid)
    )
    status = state["status"]
    many = len(jobs.queued()) > 1 if status == "queued" else False
    shown = (
        status in ("queued", "running"), status in runs.RESUMABLE, many, many,
        status != "broken" and state["kind"] != "finetune",  # the form is one of a teacher and a student
        status not in runs.ACTIVE,
    )  # fmt: skip
    words = t("runs.withdraw") if status == "queued" else t("runs.stop")
    fresh = before.get("run") != chosen or before.get("buttons") != (shown, words)
    now["buttons"] = (shown, words)
    if not fresh:
        return [now, *parts, *[gr.skip()] * 6]
    first = gr.Button(value=words, visible=shown[0])
    return [now, *parts, first, *[gr.Button(visible=value) for value in shown[1:]]]


def _others(over: list[str], chosen: str) -> list[Any]:
    found = []
    for run_id in over[:6]:
        try:
            run = runs.open(run_id)
        except QTinkerError:
            continue
        if run.id != chosen:
            found.append((run_views.name_of(run_views.state_of(run)), curves(run)))
    return found


def _spec_text(run: runs.Run) -> str:
    try:
        return run.files.spec.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def _result(run: runs.Run, report: dict[str, Any] | None, t: Texts) -> str:
    if report is None:
        return ""
    from .report_views import made_models, report_html

    made = [
        (f"/download/model/{name}.zip", t("runs.model_zip", name=name.split("/")[-1])) for name in made_models(report)
    ]
    items = [
        (f"/download/run/{run.id}/report.{ending}?lang={t.language}", t(f"runs.report_{ending}"))
        for ending in ("html", "json", "csv")
    ]
    return (
        f'<div class="qt-card">{report_html(report, t)}<div style="height:14px"></div>'
        f"{page.links([*made, *items], primary=0 if made else None)}</div>"
    )
