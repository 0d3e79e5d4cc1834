"""The Models page: registry and catalog in one table, and one model with its card, provenance, files and buttons."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gradio as gr

from .. import api, model_folder, registry
from ..errors import InputError
from ..export.companions import how_to_run
from ..kinds import KINDS
from . import choices, guard, metrics, page, tasks
from .app import Shell
from .format import DASH, esc, moment, number, short_number, size
from .handlers import safe
from .tasks_view import Starter, downloader
from .texts import LANGUAGES, Texts

CARD_LIMIT = 60_000


def build(shell: Shell) -> None:
    """Draw the page and bind it."""
    t = shell.t
    with gr.Row(equal_height=False):
        with gr.Column(scale=7, min_width=320):
            with gr.Column(elem_classes="qt-card"):
                gr.HTML(page.title(t("models.title"), t("models.lead")))
                with gr.Row():
                    search = gr.Textbox(label=t("models.search"), placeholder=t("models.search_hint"), max_lines=1,
                                        min_width=150, elem_id="qt-model-search")  # fmt: skip
                    where = gr.Dropdown(
                        [(t(f"models.where_{key}"), key) for key in ("all", "here", "catalog")],
                        value="all",
                        label=t("models.where"),
                        min_width=96,
                        elem_id="qt-model-where",
                    )
                    role = gr.Dropdown(
                        [(t(f"models.role_{key}"), key) for key in ("all", "teacher", "student", "made")],
                        value="all",
                        label=t("models.role"),
                        min_width=96,
                    )
                    span = gr.Dropdown([(t(f"models.size_{key}"), key) for key in ("all", "s", "m", "l")], value="all",
                                       label=t("models.size"), min_width=96)  # fmt: skip
                    language = gr.Dropdown([(t(f"models.language_{key}"), key) for key in ("all", "en", "zh", "multi")],
                                           value="all", label=t("models.language"), min_width=96)  # fmt: skip
                table = gr.HTML(js_on_load=page.PICK, elem_id="qt-model-table")
                disk = gr.HTML(elem_id="qt-disk")
            with gr.Column(elem_classes="qt-card"):
                gr.HTML(page.title(t("models.import"), t("models.import_lead")))
                files = gr.File(
                    label=t("models.import_files"),
                    file_count="multiple",
                    height=124,
                    elem_classes="qt-drop",
                    elem_id="qt-import-files",
                )
                name = gr.Textbox(label=t("models.import_name"), max_lines=1, elem_id="qt-import-name")
                bring = Starter(
                    shell, "import", verb="import", label=t("models.import_button"), begin=begin_import,
                    done=lambda task: t("task.done", name=(task.result or {}).get("name", task.label)),
                )  # fmt: skip
        with gr.Column(scale=5, min_width=320):
            chosen = gr.Textbox(visible=False)
            with gr.Column(elem_classes="qt-card"):
                detail = gr.HTML(f'<p class="qt-muted">{esc(t("models.choose"))}</p>', elem_id="qt-model")
                fetch = downloader(shell, "model")
                with gr.Row(elem_classes="qt-actions"):
                    verify = gr.Button(t("models.verify"), visible=False, size="sm", elem_id="qt-verify")
                    remove = gr.Button(t("models.remove"), visible=False, size="sm", elem_id="qt-remove")
                verified = gr.HTML(elem_id="qt-verified")
                with gr.Row(visible=False) as sure:
                    gr.HTML(page.note(t("models.remove_sure"), "warn"))
                    really = gr.Button(t("models.remove_yes"), variant="stop", size="sm", elem_id="qt-remove-yes")
                    keep = gr.Button(t("models.remove_no"), size="sm")
                with gr.Accordion(t("models.card"), open=False, visible=False) as card_box:
                    card = gr.HTML(elem_id="qt-card-text")
    filters = [search, where, role, span, language]
    shown = [table, disk]
    one = [chosen, detail, fetch.button, verify, remove, card_box, card, verified]

    @safe(t, quiet=True)
    def draw(words: str, place: str, part: str, big: str, tongue: str, current: str) -> Any:
        return [table_html(matching(words, place, part, big, tongue), current, t), disk_html(t)]

    @safe(t)
    def pick(event: gr.EventData) -> Any:
        return show(str(getattr(event, "key", "") or ""), t)

    def from_address(request: gr.Request) -> Any:
        return show(request.query_params.get("model", ""), t)

    shell.loaded(draw, [*filters, chosen], shown)
    shell.loaded(safe(t, quiet=True)(from_address), [], one)
    shell.opened("models", draw, [*filters, chosen], shown)
    gr.on(
        [each.change for each in filters],
        draw,
        [*filters, chosen],
        shown,
        queue=False,
        trigger_mode="always_last",
        **shell.quiet,
    )
    picked = table.select(pick, None, one, **shell.quiet)
    picked.then(draw, [*filters, chosen], shown, **shell.quiet)
    picked.then(None, [chosen], js="(model) => { qt.set({model}); qt.show('#qt-model'); }", api_visibility="private")
    fetch.bind([chosen], safe(t, quiet=True)(lambda now, *rest: [*show(now, t), *draw(*rest)]),
               [chosen, *filters, chosen], [*one, *shown])  # fmt: skip
    bring.bind([files, name], safe(t, quiet=True)(draw), [*filters, chosen], shown)

    @safe(t)
    def check(now: str) -> str:
        entry = guard.local_model(now) if not _broken(now) else registry.find(guard.model_name(now))
        assert entry is not None
        problems = registry.verify(entry.full_name)
        if not problems:
            return page.note(t("models.verified"), "good")
        *others, last = problems
        notes = [page.note(t.said(words), "bad") for words in others]
        return "".join([*notes, page.note(t.said(last), "bad", fix=t("models.verify_fix"))])

    verify.click(check, [chosen], [verified], show_progress="minimal", api_visibility="private")
    remove.click(lambda: gr.Row(visible=True), outputs=sure, **shell.quiet)
    keep.click(lambda: gr.Row(visible=False), outputs=sure, **shell.quiet)

    @safe(t)
    def gone(now: str, *rest: Any) -> Any:
        entry = registry.find(guard.model_name(now))
        if entry is None:
            raise InputError(f"The model {now} is not here.")
        api.remove([entry.full_name])
        offered = choices.find(entry.name)  # what the catalog has can be fetched again
        return [gr.Row(visible=False), *show(offered.name if offered else "", t), *draw(*rest, "")]

    really.click(gone, [chosen, *filters], [sure, *one, *shown], **shell.quiet)


def matching(words: str, place: str, part: str, big: str, tongue: str) -> list[choices.Model]:
    """The models that the filters let through, those here first."""
    asked = (words or "").lower().split()
    limits = {"s": (0, 30e6), "m": (30e6, 150e6), "l": (150e6, 1e12)}.get(big)
    found = []
    for model in choices.models():
        said = " ".join(choices.about(model, Texts(language)) for language in LANGUAGES)
        text = f"{model.name} {model.kind} {said} {model.licence} {model.language}".lower()
        if not all(word in text for word in asked):
            continue
        if (place == "here" and not model.here) or (place == "catalog" and model.offer is None):
            continue
        made = model.kind in ("finetuned", "distilled", "control", "quantized", "exported")
        if (part == "made" and not made) or (
            part in ("teacher", "student") and (made or model.role not in (part, "both"))
        ):
            continue
        if limits and not limits[0] <= (model.parameters or 0) < limits[1]:
            continue
        if tongue == "multi" and model.language in ("en", "zh", ""):
            continue
        if tongue in ("en", "zh") and model.language != tongue:
            continue
        found.append(model)
    return found


def table_html(models: list[choices.Model], current: str, t: Texts) -> str:
    """The table; a row is chosen by its button or a click anywhere on it."""
    if not models:
        return page.empty(t("models.none"), t("models.none_help"))
    columns = [
        (t("compare.model"), False),
        (t("models.parameters"), True),
        (t("models.size"), True),
        (t("models.state"), False),
    ]
    rows, attributes = [], []
    for model in models:
        key = model.entry.full_name if model.entry else model.name
        about = choices.about(model, t) or kind_words(model, t)
        broken = model.entry.broken if model.entry else None
        state = page.pill(t("models.broken"), "failed") if broken else (
            page.pill(t("models.here"), "good") if model.here else page.pill(size(model.download) + " ↓"))  # fmt: skip
        rows.append([
            f'<button data-pick="{esc(key)}" data-key="model-{esc(key)}">{esc(model.name)}</button>'
            f'<span class="about">{esc(about)}</span>',
            short_number(model.parameters), size(model.bytes), state,
        ])  # fmt: skip
        attributes.append(
            f'class="qt-pick" data-pick="{esc(key)}" aria-current="{"true" if key == current else "false"}"'
        )
    return page.table(columns, rows, label=t("models.title"), attributes=attributes)


def kind_words(model: choices.Model, t: Texts) -> str:
    """What sort of model it is, and from what it was made."""
    words = str(t.get(f"models.kind_{model.kind}", model.kind))
    entry = model.entry
    if entry and entry.teacher:
        words += " · " + t("models.taught_by", name=Path(entry.teacher).name)
    if entry and entry.quantization and entry.quantization.get("scheme"):
        words += f" · {entry.quantization['scheme']}"
    return words


def disk_html(t: Texts) -> str:
    """How much the models take and how much is free."""
    used = sum(entry.folder_bytes for entry in choices.entries())
    root = registry.models_dir()
    while not root.exists():
        root = root.parent
    free = shutil.disk_usage(root).free
    count = len(choices.entries())
    return f'<p class="qt-small qt-muted">{esc(t("models.disk", n=count, used=size(used), free=size(free)))}</p>'


def _broken(name: str) -> bool:
    entry = registry.find(guard.model_name(name))
    return bool(entry and entry.broken)


def show(name: str, t: Texts) -> list[Any]:
    """Everything of the right side for one model."""
    hidden = [gr.Button(visible=False)] * 3
    model = choices.find(guard.model_name(name)) if name else None
    if model is None:
        return ["", f'<p class="qt-muted">{esc(t("models.choose"))}</p>', *hidden, gr.Accordion(visible=False), "", ""]
    entry = model.entry
    text = card_text(entry) if entry else ""
    return [
        entry.full_name if entry else model.name, detail_html(model, t), gr.Button(visible=not model.here),
        gr.Button(visible=model.here), gr.Button(visible=model.here), gr.Accordion(visible=bool(text)),
        f'<pre class="qt-log" style="max-height:520px">{esc(text)}</pre>' if text else "", "",
    ]  # fmt: skip


def card_text(entry: registry.RegistryEntry) -> str:
    """The model card without its YAML head."""
    path = entry.path / "README.md"
    try:
        text = path.read_text(encoding="utf-8")[:CARD_LIMIT] if path.is_file() and not path.is_symlink() else ""
    except (OSError, UnicodeDecodeError):
        return ""
    if text.startswith("---"):
        text = text.split("\n---", 1)[-1].split("\n", 1)[-1]
    return text


def detail_html(model: choices.Model, t: Texts) -> str:
    """A model's page: facts, where it comes from, files, download, and how to load it."""
    entry, parts = model.entry, [page.title(model.name, choices.about(model, t) or kind_words(model, t))]
    if entry and entry.broken:
        parts.append(page.note(t.said(entry.broken), "bad"))
    facts = [
        (t("models.parameters"), short_number(model.parameters)), (t("models.size"), size(model.bytes)),
        (t("models.layers"), number(model.layers)), (t("models.hidden"), number(model.hidden)),
        (t("models.heads"), number(model.heads)), (t("models.licence"), model.licence or DASH),
    ]  # fmt: skip
    parts.append(page.facts(facts))
    if entry is None:
        parts.append(page.note(t("models.not_here", size=size(model.download))))
    else:
        parts.append(_provenance(entry, t))
        if not entry.broken:  # which is not handed out
            parts.append(page.links([(f"/download/model/{quote(entry.full_name)}.zip", t("models.zip"))], primary=0))
        parts.append(_files(entry, t))
        title, lines = _use(entry)
        parts.append(f'<p class="qt-small qt-muted">{esc(t(title))}</p><pre class="qt-log">{esc(lines)}</pre>')
    return '<div class="qt-stack">' + "".join(f"<div>{part}</div>" for part in parts) + "</div>"


def _use(entry: registry.RegistryEntry) -> tuple[str, str]:
    """How to use a model's folder without QTinker: the title's key, and the lines."""
    if (entry.path / "example.py").is_file() and not any(entry.path.glob("*.safetensors")):
        return "models.run_example", f'cd "{entry.path.as_posix()}"\n{how_to_run(entry.path)}'
    kind = KINDS[entry.task].auto_class if entry.task in KINDS else "AutoModel"
    folder = entry.path.as_posix()
    lines = f'model = {kind}.from_pretrained("{folder}")\ntokenizer = AutoTokenizer.from_pretrained("{folder}")'
    return "models.load", f"from transformers import {kind}, AutoTokenizer\n{lines}"


def _provenance(entry: registry.RegistryEntry, t: Texts) -> str:
    rows = [
        (t("models.kind"), esc(t.get(f"models.kind_{entry.kind}", entry.kind))),
        (t("models.source"), esc(entry.source) if entry.source else ""),
        (t("models.teacher"), esc(Path(entry.teacher).name) if entry.teacher else ""),
        (t("models.run"), f'<a href="?tab=runs&amp;run={quote(entry.run)}">{esc(entry.run)}</a>' if entry.run else ""),
        (t("models.scheme"), esc((entry.quantization or {}).get("scheme", ""))),
        (t("models.task"), esc(entry.task or "")),
        (t("models.labels"), esc(", ".join(entry.labels[:12]) + (" …" if len(entry.labels) > 12 else ""))),
        (t("models.created"), moment(entry.created) if entry.created else ""),
    ]  # fmt: skip
    scores = entry.meta.get("metrics")
    if isinstance(scores, dict):
        task = entry.meta.get("task")
        judged = task.get("metric") if isinstance(task, dict) else None
        rows += [(metrics.label(key, t), metrics.words(key, scores[key])) for key in metrics.in_order(scores, judged)
                 if isinstance(scores[key], float)]  # fmt: skip
    body = "".join(f'<tr><th scope="row">{esc(name)}</th><td>{value}</td></tr>' for name, value in rows if value)
    return f'<div class="qt-scroll"><table class="qt-table">{body}</table></div>'


def _files(entry: registry.RegistryEntry, t: Texts) -> str:
    rows = ""
    for path in model_folder.model_files(entry.path)[:60]:
        name = path.relative_to(entry.path).as_posix()
        digest = entry.hashes.get(name, "")
        rows += (f'<tr><td>{esc(name)}</td><td class="num">{size(path.stat().st_size)}</td>'
                 f'<td class="qt-mono" title="{esc(digest)}">{esc(digest[:12])}</td></tr>')  # fmt: skip
    return (
        f'<details><summary class="qt-small">{esc(t("models.files"))}</summary>'
        f'<div class="qt-scroll"><table class="qt-table">{rows}</table></div></details>'
    )


def begin_import(files: list[str] | None, name: str) -> str:
    """Import a zip, or the loose files of a model folder put together again."""
    paths = [guard.uploaded_file(path) for path in files or []]
    if not paths:
        raise InputError("Nothing is chosen.", "Choose a zip, or all files of a model folder.")
    wanted = (name or "").strip()
    if wanted and not guard.is_plain_name(wanted):
        raise InputError(f"{wanted[:60]!r} can't be a model's name.", "Use letters, digits, dot, dash and underscore.")
    if len(paths) == 1 and paths[0].suffix.lower() == ".zip":
        source = paths[0]
    elif not wanted:
        raise InputError("Loose files have no name together.", "Give the model a name.")
    else:
        source = Path(tasks.scratch(guard.uploads_dir()))
        for path in paths:
            if (source / path.name).exists():
                raise InputError(f"Two of the files are called {path.name}.", "Import one model at a time.")
            _put(path, source / path.name)
    arguments = [str(source), *(["--name", wanted] if wanted else [])]
    return tasks.start("import", arguments, label=wanted or source.name, button="import")


def _put(upload: Path, place: Path) -> None:
    """An upload in another place too: where it is, the page finds it again for the next try."""
    try:
        os.link(upload, place)
    except OSError:  # no links on this disk
        shutil.copy2(upload, place)
