"""The Quantize & export page: a model, a scheme and engine or a format; the result beside its source, measured."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import Any

import gradio as gr

from ..errors import InputError
from ..export.formats import FORMATS, find_format
from ..quantize.schemes import SCHEMES, choose_engine, offered
from ..quantize.schemes import find as find_scheme
from ..registry import RegistryEntry, models_dir
from ..runtime import extras
from . import choices, extras_card, guard, page, tasks
from .app import Shell
from .format import DASH, esc, percent, size
from .handlers import safe
from .report_views import models_table, parts_table
from .tasks_view import Starter
from .texts import Texts

CALIBRATED = ("int8-static", "mixed")  # the schemes that need examples


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
                offered = schemes_here()
                scheme = gr.Radio(
                    [(scheme_words(name, t), name) for name in offered], value=offered[0],
                    label=t("quantize.scheme"), show_label=False, elem_classes="qt-choices", elem_id="qt-scheme",
                )  # fmt: skip
                no_schemes = gr.HTML(lacking_html(lacking_schemes(t), t), elem_id="qt-scheme-lacking")
                engine = gr.Radio(
                    engine_choices(offered[0], t), value="auto", label=t("quantize.engine"),
                    info=t("quantize.engine_help"), elem_id="qt-engine",
                )  # fmt: skip
                lacking = gr.HTML(lacking_html(lacking_engines(offered[0]), t), elem_id="qt-engine-lacking")
                examples = gr.Textbox(
                    "sample", label=t("quantize.examples"), info=t("quantize.examples_help"), max_lines=1,
                    visible=offered[0] in CALIBRATED, elem_id="qt-examples",
                )  # fmt: skip
                name = gr.Textbox(label=t("quantize.name"), info=t("quantize.name_help"), max_lines=1)
                make = Starter(shell, "quantize", verb="quantize", label=t("quantize.start"), begin=begin_here,
                               variant="primary", done=lambda task: done_words(task, t))  # fmt: skip
            exporter, form, export_name, no_formats = _export_card(shell)
        with gr.Column(scale=5, min_width=320), gr.Column(elem_classes="qt-card"):
            gr.HTML(page.step(4, t("quantize.result"), t("quantize.result_lead")))
            beside = gr.HTML(f'<p class="qt-muted">{esc(t("quantize.none"))}</p>', elem_id="qt-quantized")
            data = gr.Textbox("sample", label=t("compare.data"), info=t("compare.data_help"), max_lines=1)
            measure = Starter(shell, "measure", verb="evaluate", label=t("quantize.measure"),
                              begin=lambda chosen, source: begin_measure(chosen, source))  # fmt: skip
            measured = gr.HTML(elem_id="qt-quantize-measured")

    def lists(current: str | None) -> list[Any]:
        found = choices.options(lambda each: each.trained and each.kind not in ("quantized", "exported"))
        kept = current if any(current == value for _, value in found) else (found[0][1] if found else None)
        return [gr.Dropdown(choices=found, value=kept), about_html(kept, t), beside_html(kept, t)]

    def chosen_model(name: str | None) -> list[Any]:
        own = guard.data_of(name)
        return [about_html(name, t), beside_html(name, t), own, own]

    refresh = safe(t, quiet=True)(lists)

    @safe(t, quiet=True)
    def opened(current: str | None, request: gr.Request) -> list[Any]:
        return lists(current or request.query_params.get("model"))

    for when in (shell.loaded, functools.partial(shell.opened, "quantize")):
        when(opened, [model], [model, about, beside])
    known = gr.Textbox(extras_card.installed(), visible=False)
    chosen = [known, scheme, engine, form]
    drawn = [known, scheme, no_schemes, engine, lacking, examples, form, no_formats]

    def offer(*values: str | None) -> list[Any]:
        return offered_now(values, t)

    installs = extras_card.build(shell, offer, chosen, drawn)
    for when in (shell.loaded, functools.partial(shell.opened, "quantize")):
        when(safe(t, quiet=True)(offer), chosen, drawn)
        when(safe(t, quiet=True)(extras_card.installable), [], installs)
    model.change(safe(t)(chosen_model), [model], [about, beside, data, examples], **shell.quiet)
    scheme.change(
        safe(t)(lambda chosen: scheme_chosen(chosen, t)), [scheme], [engine, lacking, examples], **shell.quiet
    )
    make.bind([model, scheme, name, engine, examples], refresh, [model], [model, about, beside])
    exporter.bind([model, form, export_name], refresh, [model], [model, about, beside])
    measure.bind([model, data], safe(t)(lambda task: measured_html(task, t)), [measure.task], [measured])


def _export_card(shell: Shell) -> tuple[Starter, Any, Any, Any]:
    """The part on exporting: its button, format and name, and what is said of formats that are not here."""
    t = shell.t
    with gr.Column(elem_classes="qt-card", elem_id="qt-export"):
        gr.HTML(page.step(3, t("quantize.export_title"), t("quantize.export_lead")))
        here = formats_here()
        form = gr.Radio(
            [(format_words(name, t), name) for name in here], value=here[0], label=t("quantize.format"),
            show_label=False, elem_classes="qt-choices", elem_id="qt-format",
        )  # fmt: skip
        name = gr.Textbox(label=t("quantize.name"), info=t("quantize.export_name_help"), max_lines=1)
        starter = Starter(shell, "export", verb="export", label=t("quantize.export"), begin=begin_export,
                          variant="primary", done=lambda task: done_words(task, t))  # fmt: skip
        lacking = gr.HTML(lacking_html(lacking_formats(t), t), elem_id="qt-export-lacking")
    return starter, form, name, lacking


def offered_now(shown: Sequence[str | None], t: Texts) -> list[Any]:
    """The extras that are here now; schemes, engines and formats as they are offered now, with what was chosen where
    it still is, and what is not offered.

    Args:
        shown: the extras that were known, and the chosen scheme, engine and format; while the extras are the same,
            nothing is drawn anew.
    """
    known, scheme, engine, form = shown
    if (now := extras_card.installed()) == known:
        return [gr.skip()] * 8
    names, forms = schemes_here(), formats_here()
    scheme = scheme if scheme in names else names[0]
    engines = engine_choices(scheme, t)
    return [
        now,
        gr.Radio(choices=[(scheme_words(name, t), name) for name in names], value=scheme),
        lacking_html(lacking_schemes(t), t),
        gr.Radio(choices=engines, value=engine if engine in [value for _, value in engines] else "auto"),
        lacking_html(lacking_engines(scheme), t),
        gr.Textbox(visible=scheme in CALIBRATED),
        gr.Radio(choices=[(format_words(name, t), name) for name in forms], value=form if form in forms else forms[0]),
        lacking_html(lacking_formats(t), t),
    ]


def formats_here() -> list[str]:
    """The formats whose libraries are installed."""
    return [form.name for form in FORMATS.values() if extras.is_here(form.extra)]


def schemes_here() -> list[str]:
    """The schemes that some installed engine can make."""
    return [name for name, scheme in SCHEMES.items() if any(map(extras.runs, offered(scheme)))]


def engine_choices(name: str, t: Texts) -> list[tuple[str, str]]:
    """The engines that can make a scheme here, and before them the choice that leaves it to the program."""
    scheme = find_scheme(name)
    auto = t("quantize.engine_auto", name=automatic(name))
    return [(auto, "auto"), *((each, each) for each in offered(scheme) if extras.runs(each))]


def automatic(name: str) -> str:
    """The engine that suits this computer, among those that are whole here."""
    scheme = find_scheme(name)
    best = choose_engine(scheme).engine
    return best if extras.runs(best) else next(filter(extras.runs, offered(scheme)), best)


def scheme_chosen(name: str, t: Texts) -> list[Any]:
    """What follows from the choice of a scheme: its engines, those that are not installed, the field for examples."""
    return [
        gr.Radio(choices=engine_choices(name, t), value="auto"),
        lacking_html(lacking_engines(name), t),
        gr.Textbox(visible=name in CALIBRATED),
    ]


def lacking_schemes(t: Texts) -> list[tuple[str, str]]:
    """(extra, title) of every scheme that no installed engine can make."""
    offered = schemes_here()
    return [
        (extras.ENGINES[scheme.engines[0]], t.get(f"scheme.{name}.title", scheme.title))
        for name, scheme in SCHEMES.items() if name not in offered
    ]  # fmt: skip


def lacking_engines(scheme: str) -> list[tuple[str, str]]:
    """(extra, engine) of a scheme's engines that are not installed."""
    return [(extras.ENGINES[each], each) for each in offered(find_scheme(scheme)) if not extras.runs(each)]


def lacking_formats(t: Texts) -> list[tuple[str, str]]:
    """(extra, title) of the formats that are not installed."""
    return [
        (form.extra, t.get(f"format.{form.name}.title", form.title))
        for form in FORMATS.values() if not extras.is_here(form.extra)
    ]  # fmt: skip


def lacking_html(lacking: Iterable[tuple[str, str]], t: Texts) -> str:
    """What is not offered, and the button that installs it; a note for each extra."""
    by_extra: dict[str, list[str]] = {}
    for extra, words in lacking:
        by_extra.setdefault(extra, []).append(words)
    return "".join(
        page.note(t("quantize.install", names="; ".join(names), extra=extra)) for extra, names in by_extra.items()
    )


def format_words(name: str, t: Texts) -> str:
    """A format as a card: its title and where it runs."""
    form = FORMATS[name]
    runs_on = t.get(f"format.{name}.runs_on", form.runs_on)
    return f"{t.get(f'format.{name}.title', form.title)}\n{t('quantize.runs_on', words=runs_on)}"


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
    """The quantized and exported versions of a model that are here."""
    found = choices.find(name)
    if found is None or found.entry is None:
        return []
    return [
        each for each in choices.models()
        if each.entry and each.kind in ("quantized", "exported") and _made_from(each.entry.meta, found.entry)
    ]  # fmt: skip


def _made_from(meta: dict[str, Any], entry: RegistryEntry) -> bool:
    """Whether a version was made from a model: by the folder that it recorded, else by the name, which models of other
    groups may have too. The home may have moved since."""
    records = [meta.get("quantization"), meta.get("export")]
    for record in records:
        if isinstance(record, dict) and isinstance(path := record.get("source_path"), str):
            return f"/{path}".replace("\\", "/").endswith(f"/{models_dir().name}/{entry.full_name}")
    source = meta.get("source")
    of = {str(value) for value in source.values()} if isinstance(source, dict) else {str(source)}
    return bool(of & {entry.full_name, entry.name, str(entry.path)})


def beside_html(name: str | None, t: Texts) -> str:
    """A model's quantized and exported versions beside it: how each is held, and its size."""
    found = choices.find(name)
    made = variants(name)
    if found is None or not made:
        return f'<p class="qt-muted">{esc(t("quantize.none"))}</p>'
    rows = [[f"<b>{esc(found.name)}</b>", esc("fp32"), size(found.bytes), DASH, _zip(found, t)]]
    for each in made:
        share = (each.bytes or 0) / (found.bytes or 1)
        rows.append(
            [
                f"<b>{esc(each.name)}</b>",
                esc(" · ".join(held_as(each))),
                size(each.bytes),
                percent(share, 0),
                _zip(each, t),
            ]
        )
    columns = [(t("compare.model"), False), (t("quantize.version"), False), (t("models.size"), True),
               (t("quantize.of_source"), True), (t("models.zip_short"), False)]  # fmt: skip
    return f'<div class="qt-dense">{page.table(columns, rows, label=t("quantize.result"))}</div>'


def held_as(model: choices.Model) -> list[str]:
    """A version in words: its scheme and engine, or its format."""
    meta = model.entry.meta if model.entry else {}
    records = [meta.get("quantization"), meta.get("export")]
    return [
        str(record[key])
        for record in records if isinstance(record, dict)
        for key in ("scheme", "format", "engine") if record.get(key)
    ]  # fmt: skip


def _runs_here(model: choices.Model) -> bool:
    """Whether what a version needs to answer is installed."""
    return all(extras.runs({"onnx": "onnxruntime"}.get(words, words)) for words in held_as(model))


def _zip(model: choices.Model, t: Texts) -> str:
    if model.entry is None:
        return ""
    return f'<a href="/download/model/{esc(model.entry.full_name)}.zip" download>{esc(t("models.zip_short"))}</a>'


def begin_here(model: str, scheme: str, name: str, engine: str, examples: str) -> str:
    """Start quantizing with the page's fields: the one for examples is shown only where they calibrate."""
    return begin(model, scheme, name, engine, (examples or " ") if scheme in CALIBRATED else "")


def begin(model: str, scheme: str, name: str = "", engine: str = "auto", data: str = "") -> str:
    """Start quantizing; `data` are examples to calibrate on and to compare with."""
    entry = guard.local_model(model)
    if scheme not in SCHEMES:
        raise InputError(f"There is no scheme {str(scheme)[:40]!r}.", f"Schemes: {', '.join(SCHEMES)}.")
    engine = engine or "auto"
    chosen = automatic(scheme) if engine == "auto" else choose_engine(find_scheme(scheme), engine).engine
    if not extras.runs(chosen):
        raise InputError(f"The engine {chosen} is not installed.", extras.install_command(extras.ENGINES[chosen]))
    arguments = [entry.full_name, "--scheme", scheme, "--engine", engine, *_named(name)]
    if data or scheme in CALIBRATED:
        arguments += ["--data", guard.hub_or_file(data)]
    return tasks.start("quantize", arguments, label=f"{entry.name} · {scheme}", button="quantize")


def begin_export(model: str, format: str, name: str = "", data: str = "") -> str:
    """Start exporting; `data` are examples to compare with the source on."""
    entry = guard.local_model(model)
    form = find_format(format)
    if not extras.is_here(form.extra):
        raise InputError(f"{form.title} needs what is not installed.", extras.install_command(form.extra))
    arguments = [entry.full_name, "--format", form.name, *_named(name)]
    if data:
        arguments += ["--data", guard.hub_or_file(data)]
    return tasks.start("export", arguments, label=f"{entry.name} · {form.name}", button="export")


def _named(name: str | None) -> list[str]:
    """The option for a name that was typed."""
    wanted = (name or "").strip()
    if wanted and not guard.is_plain_name(wanted):
        raise InputError(f"{wanted[:60]!r} can't be a model's name.", "Use letters, digits, dot, dash and underscore.")
    return ["--name", wanted] if wanted else []


def done_words(task: tasks.Task, t: Texts) -> str:
    """What was made, as checked."""
    made = task.result or {}
    return t("quantize.done", name=made.get("name", ""), size=size(made.get("bytes")))


def begin_measure(model: str, data: str) -> str:
    """Start measuring a model beside its quantized versions."""
    entry = guard.local_model(model)
    others = [each.entry.full_name for each in variants(model) if each.entry and _runs_here(each)]
    if not others:
        raise InputError("This model has no quantized or exported version that runs here yet.", "Make one first.")
    source = guard.hub_or_file(data)
    return tasks.start("evaluate", [entry.full_name, *others, "--data", source], label=entry.name, button="measure")


def measured_html(task_id: str, t: Texts) -> str:
    """The table of a finished measurement."""
    result = tasks.read(task_id).result or {}
    findings = "".join(page.note(t.said(words), "warn") for words in result.get("warnings") or [])
    models = result.get("models") or []
    return models_table(models, t) + parts_table(models, t) + findings
