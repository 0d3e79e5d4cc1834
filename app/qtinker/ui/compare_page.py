"""The Compare page: models side by side on the same data, on a sentence, and where two of them disagree."""

from __future__ import annotations

from typing import Any

import gradio as gr

from ..errors import InputError
from . import answers, choices, guard, page, tasks, uploads
from .app import Shell
from .format import answer_words, esc, number, percent
from .handlers import safe
from .report_views import measured_on, models_chart, models_table, parts_table
from .tasks_view import Starter
from .texts import Texts

MOST = 8


def build(shell: Shell) -> None:
    """Draw the page and bind it."""
    t = shell.t
    with gr.Column(elem_classes="qt-card"):
        gr.HTML(page.title(t("compare.title"), t("compare.lead")))
        with gr.Row():
            models = gr.Dropdown(
                [],
                value=[],
                multiselect=True,
                max_choices=MOST,
                label=t("compare.models"),
                info=t("compare.models_help"),
                min_width=300,
                scale=3,
                elem_id="qt-compare-models",
            )
            data = gr.Textbox(
                "sample",
                label=t("compare.data"),
                info=t("compare.data_help"),
                max_lines=1,
                min_width=200,
                scale=2,
                elem_id="qt-compare-data",
            )
            most = gr.Textbox("", label=t("compare.most"), info=t("compare.most_help"), max_lines=1,
                              placeholder=t("compare.all"), min_width=140, scale=1,
                              elem_id="qt-compare-most")  # fmt: skip
        upload = uploads.drop(t("distil.upload"), "qt-compare-upload")
        measure = Starter(shell, "compare", verb="evaluate", label=t("compare.measure"), begin=begin, variant="primary",
                          keep=True)  # fmt: skip
        table = gr.HTML(elem_id="qt-compare-table")
    with gr.Column(elem_classes="qt-card"):
        gr.HTML(page.title(t("compare.sentence"), t("compare.sentence_lead")))
        with gr.Row():
            text = gr.Textbox(
                label=t("compare.text"),
                lines=2,
                max_lines=6,
                scale=3,
                min_width=260,
                elem_id="qt-sentence",
                placeholder=t("compare.text_hint"),
            )
            pair = gr.Textbox(label=t("compare.pair"), lines=2, max_lines=6, scale=2, min_width=200)
        with gr.Row(elem_classes="qt-actions"):
            ask = gr.Button(t("compare.ask"), variant="primary", size="md", elem_id="qt-ask")
        said = gr.HTML(elem_id="qt-said")
    with gr.Column(elem_classes="qt-card"):
        gr.HTML(page.title(t("compare.differ"), t("compare.differ_lead")))
        with gr.Row(elem_classes="qt-actions"):
            differ = gr.Button(t("compare.differ_button"), size="md", elem_id="qt-differ")
        where = gr.HTML(elem_id="qt-differences")

    @safe(t)
    def answer(chosen: list[str], one: str, two: str) -> str:
        return said_html(chosen, one, two, t)

    def lists(current: list[str] | None) -> list[Any]:
        found = choices.options(lambda each: each.trained)
        known = [value for _, value in found]
        kept = [name for name in current or [] if name in known] or usual(known)
        return [gr.Dropdown(choices=found, value=kept), kept]

    def first(request: gr.Request) -> list[Any]:
        shown, kept = lists(asked(request))
        return [shown, guard.data_of(kept[0] if kept else None)]

    def opened(current: list[str] | None, request: gr.Request) -> Any:
        return lists(current or asked(request))[0]

    shell.loaded(safe(t, quiet=True)(first), [], [models, data])
    shell.opened("compare", safe(t, quiet=True)(opened), [models], [models])
    uploads.fills(upload, data, shell)
    measure.bind([models, data, most], safe(t)(lambda task: result_html(task, t)), [measure.task], [table])
    gr.on([ask.click, text.submit], answer, [models, text, pair], [said],
          show_progress="minimal", concurrency_limit=4, api_visibility="private")  # fmt: skip
    differ.click(safe(t)(lambda chosen, source: differ_html(chosen, source, t)), [models, data], [where],
                 show_progress="minimal", concurrency_limit=2, api_visibility="private")  # fmt: skip


def asked(request: gr.Request) -> list[str]:
    """The models that the address names."""
    return [name for name in request.query_params.get("models", "").split(",") if name]


def usual(names: list[str]) -> list[str]:
    """What is most likely compared: the biggest model (the teacher), then two others that answer the same."""
    known = {name: model for name in names if (model := choices.find(name))}
    big = max(known, key=lambda name: known[name].parameters or 0, default=None)
    if big is None:
        return []
    return [big, *[name for name in names if name != big and _answers(known, name) == _answers(known, big)][:2]]


def _answers(known: dict[str, choices.Model], name: str) -> tuple[str | None, list[str]] | None:
    """The kind of task and the labels of a model."""
    entry = known[name].entry if name in known else None
    return (entry.task, sorted(entry.labels)) if entry else None


def entries(models: list[str] | None, least: int = 1) -> list[Any]:
    """The registry entries of the chosen models.

    Raises:
        InputError: too few, too many, or one that is not here.
    """
    chosen = list(dict.fromkeys(models or []))
    if len(chosen) < least:
        raise InputError(f"Choose at least {'one model' if least == 1 else f'{least} models'}.")
    if len(chosen) > MOST:
        raise InputError(f"{len(chosen)} models are chosen; {MOST} are the most at a time.")
    return [guard.local_model(name) for name in chosen]


def begin(models: list[str], data: str, most: str) -> str:
    """Start measuring."""
    found, source = entries(models), guard.hub_or_file(data)
    arguments = [*[entry.full_name for entry in found], "--data", source]
    if count := (most or "").strip():
        if not count.isdecimal() or not 0 < int(count) < 10**9:
            raise InputError(f"{count[:20]!r} is no number of examples.", "Leave it empty for all.")
        arguments += ["--max-examples", count]
    return tasks.start("evaluate", arguments, label=", ".join(entry.name for entry in found), button="compare")


def result_html(task_id: str, t: Texts) -> str:
    """The table and the chart of a finished measurement."""
    result = tasks.read(task_id).result or {}
    models = result.get("models") or []
    if not models:
        return ""
    notes = "".join(page.note(t.said(words), "warn") for words in result.get("warnings") or [])
    facts = measured_on(result.get("data") or {}, t)
    links = page.links(
        [
            (f"/download/task/{task_id}/comparison.{ending}?lang={t.language}", t(f"runs.report_{ending}"))
            for ending in ("html", "json", "csv")
        ]
    )
    return (
        f'<div class="qt-stack"><p class="qt-small qt-muted" style="margin:0">{esc(facts)}</p>'
        f"{models_table(models, t)}{parts_table(models, t)}{notes}{models_chart(models, t)}{links}</div>"
    )


def said_html(models: list[str], text: str, pair: str, t: Texts) -> str:
    """What each model says of a sentence."""
    found = entries(models)
    words = guard.text(text)
    second = guard.text(pair) if (pair or "").strip() else None
    got = answers.predict([(entry.name, entry.path) for entry in found], words, second)
    names: list[str] = []
    for answer in got:
        for label in sorted(answer.get("probabilities") or {}, key=lambda key: -answer["probabilities"][key])[:4]:
            if label not in names:
                names.append(label)
    names = names[:6]
    columns = [
        (t("compare.model"), False),
        (t("compare.answer"), False),
        *[(name, True) for name in names],
        ("ms", True),
    ]
    rows = []
    for answer in got:
        shares = answer.get("probabilities") or {}
        cells = [f"<b>{esc(answer['name'])}</b>", page.pill(answer_words(answer), "good")]
        cells += [_bar(shares.get(name)) for name in names]
        rows.append([*cells, f"{answer['ms']:.1f}"])
    return page.table(columns, rows, label=t("compare.sentence"))


def _bar(share: float | None) -> str:
    if share is None:
        return ""
    return (f'{percent(share)}<div class="qt-progress" style="height:5px;min-width:60px" aria-hidden="true">'
            f'<i style="--w:{100 * share:.1f}%"></i></div>')  # fmt: skip


def differ_html(models: list[str], data: str, t: Texts) -> str:
    """Examples on which the first two chosen models answer differently."""
    found = entries(models, least=2)[:2]
    got = answers.disagreements([(entry.name, entry.path) for entry in found], guard.data_source(data))
    first, second = found[0].name, found[1].name
    head = t("compare.differ_found", n=number(got["different"]), of=number(got["examples"]), first=first, second=second)
    columns = [(t("data.text"), False), (t("data.label"), False), (first, False), (second, False)]
    rows = []
    for row in got["rows"]:
        texts = f'<span class="clip">{esc(row["text"])}</span>'
        if row.get("pair"):
            texts += f'<span class="clip qt-muted">{esc(row["pair"])}</span>'
        cells = [texts, page.pill(str(row["true"])) if row["true"] is not None else ""]
        for side in ("first", "second"):
            right = row[f"{side}_right"]
            score = row[f"{side}_score"]
            words = row[side] if score is None else f"{row[side]} · {percent(score, 0)}"
            cells.append(page.pill(words, "" if right is None else "good" if right else "warn"))
        rows.append(cells)
    table = page.table(columns, rows, label=t("compare.differ")) if rows else ""
    return f'<div class="qt-stack">{page.note(head)}<div class="qt-tall-table">{table}</div></div>'
