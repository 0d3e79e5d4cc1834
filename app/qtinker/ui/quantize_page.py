"""The Quantize & export page: a model, a scheme, what each suits; the result beside its source, measured."""

from __future__ import annotations

from typing import Any

import gradio as gr

from ..errors import InputError
from ..quantize.schemes import SCHEMES
from . import choices, guard, page, tasks
from .app import Shell
from .format import DASH, esc, percent, size
from .handlers import safe
from .report_views import models_table
from .tasks_view import Starter
from .texts import Texts

QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}


def build(shell: Shell) -> None:
    """Draw the page and bind it."""
    t = shell.t
    with gr.Row(equal_height=False):
        with gr.Column(scale=7, min_width=320):
            with gr.Column(elem_classes="qt-card"):
                gr.HTML(page.step(1, t("quantize.model"), t("quantize.model_lead")))
                model = gr.Dropdown([], value=None, label=t("compare.model"), elem_id="qt-quantize-model")
                about = gr.HTML(elem_id="qt-quantize-about")
            with gr.Column(elem_classes="qt-card"):
                gr.HTML(page.step(2, t("quantize.scheme"), t("quantize.scheme_lead")))
                scheme = gr.Radio(
                    [(scheme_words(name, t), name) for name in SCHEMES], value=next(iter(SCHEMES)),
                    label=t("quantize.scheme"), show_label=False, elem_classes="qt-choices", elem_id="qt-scheme",
                )  # fmt: skip
                name = gr.Textbox(label=t("quantize.name"), info=t("quantize.name_help"), max_lines=1)
                make = Starter(shell, "quantize", verb="quantize", label=t("quantize.start"), begin=begin,
                               variant="primary", done=lambda task: done_words(task, t))  # fmt: skip
        with gr.Column(scale=5, min_width=320), gr.Column(elem_classes="qt-card"):
            gr.HTML(page.step(3, t("quantize.result"), t("quantize.result_lead")))
            beside = gr.HTML(f'<p class="qt-muted">{esc(t("quantize.none"))}</p>', elem_id="qt-quantized")
            data = gr.Textbox("sample", label=t("compare.data"), info=t("compare.data_help"), max_lines=1)
            measure = Starter(shell, "measure", verb="evaluate", label=t("quantize.measure"),
                              begin=lambda chosen, source: begin_measure(chosen, source))  # fmt: skip
            measured = gr.HTML(elem_id="qt-quantize-measured")

    def lists(current: str | None) -> list[Any]:
        found = choices.options(lambda each: each.trained and each.kind not in ("quantized", "exported"))
        kept = current if any(current == value for _, value in found) else (found[0][1] if found else None)
        return [gr.Dropdown(choices=found, value=kept), about_html(kept, t), beside_html(kept, t)]

    refresh = safe(t, quiet=True)(lists)

    def first(request: gr.Request) -> list[Any]:
        return lists(request.query_params.get("model"))

    shell.loaded(safe(t, quiet=True)(first), [], [model, about, beside])
    shell.opened("quantize", refresh, [model], [model, about, beside])
    model.change(
        safe(t)(lambda chosen: [about_html(chosen, t), beside_html(chosen, t)]), [model], [about, beside], **QUIET
    )
    make.bind([model, scheme, name], refresh, [model], [model, about, beside])
    measure.bind([model, data], safe(t)(lambda task: measured_html(task, t)), [measure.task], [measured])


def scheme_words(name: str, t: Texts) -> str:
    """A scheme as a card: its title, what it touches and what it suits."""
    scheme = SCHEMES[name]
    title = t.get(f"scheme.{name}.title", scheme.title)
    suits = t.get(f"scheme.{name}.suits", scheme.suits)
    touches = t.get(f"scheme.{name}.touches", scheme.touches)
    return f"{title}\n{t('quantize.suits', words=suits)}\n{t('quantize.touches', words=touches)}"


def about_html(name: str | None, t: Texts) -> str:
    """The chosen model, or what to do where there is none."""
    found = choices.find(name)
    if found is None or found.entry is None:
        return page.note(t("quantize.no_model"), "warn")
    return page.facts(
        [
            (t("models.size"), size(found.bytes)),
            (t("models.kind"), t.get(f"models.kind_{found.kind}", found.kind)),
            (t("models.labels"), str(len(found.entry.labels))),
        ]
    )


def variants(name: str | None) -> list[choices.Model]:
    """The quantized versions of a model that are here."""
    found = choices.find(name)
    if found is None or found.entry is None:
        return []
    names = {found.name, found.entry.full_name, found.entry.name, str(found.entry.path)}
    result = []
    for each in choices.models():
        source = each.entry.meta.get("source") if each.entry else None
        of = {str(value) for value in source.values()} if isinstance(source, dict) else {str(source)}
        if each.kind == "quantized" and of & names:
            result.append(each)
    return result


def beside_html(name: str | None, t: Texts) -> str:
    """The quantized versions beside their source: size and what was checked when they were made."""
    found = choices.find(name)
    made = variants(name)
    if found is None or not made:
        return f'<p class="qt-muted">{esc(t("quantize.none"))}</p>'
    rows = [[f"<b>{esc(found.name)}</b>", esc("fp32"), size(found.bytes), DASH, _zip(found, t)]]
    for each in made:
        quantization = (each.entry.quantization if each.entry else None) or {}
        share = (each.bytes or 0) / (found.bytes or 1)
        rows.append(
            [
                f"<b>{esc(each.name)}</b>",
                esc(quantization.get("scheme", "")),
                size(each.bytes),
                percent(share, 0),
                _zip(each, t),
            ]
        )
    columns = [(t("compare.model"), False), (t("quantize.scheme"), False), (t("models.size"), True),
               (t("quantize.of_source"), True), (t("models.zip_short"), False)]  # fmt: skip
    return page.table(columns, rows, label=t("quantize.result"))


def _zip(model: choices.Model, t: Texts) -> str:
    if model.entry is None:
        return ""
    return f'<a href="/download/model/{esc(model.entry.full_name)}.zip" download>{esc(t("models.zip_short"))}</a>'


def begin(model: str, scheme: str, name: str) -> str:
    """Start quantizing."""
    entry = guard.local_model(model)
    if scheme not in SCHEMES:
        raise InputError(f"There is no scheme {str(scheme)[:40]!r}.", f"Schemes: {', '.join(SCHEMES)}.")
    wanted = (name or "").strip()
    if wanted and not guard.is_plain_name(wanted):
        raise InputError(f"{wanted[:60]!r} can't be a model's name.", "Use letters, digits, dot, dash and underscore.")
    arguments = [entry.full_name, "--scheme", scheme, *(["--name", wanted] if wanted else [])]
    return tasks.start("quantize", arguments, label=f"{entry.name} · {scheme}")


def done_words(task: tasks.Task, t: Texts) -> str:
    """What was made, as checked."""
    made = task.result or {}
    return t("quantize.done", name=made.get("name", ""), size=size(made.get("bytes")))


def begin_measure(model: str, data: str) -> str:
    """Start measuring a model beside its quantized versions."""
    entry = guard.local_model(model)
    others = [each.entry.full_name for each in variants(model) if each.entry]
    if not others:
        raise InputError("This model has no quantized version yet.", "Make one first.")
    source = guard.hub_or_file(data)
    return tasks.start("evaluate", [entry.full_name, *others, "--data", source], label=entry.name)


def measured_html(task_id: str, t: Texts) -> str:
    """The table of a finished measurement."""
    result = tasks.read(task_id).result or {}
    findings = "".join(page.note(str(words), "warn") for words in result.get("warnings") or [])
    return models_table(result.get("models") or [], t) + findings
