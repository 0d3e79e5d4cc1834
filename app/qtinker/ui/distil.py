"""The Distil page: data, teacher, student, method, check, start, with the check beside it all the time."""

from __future__ import annotations

import json
from typing import Any

import gradio as gr

from ..options import first_sentence
from ..quantize.schemes import SCHEMES
from ..spec import METHODS
from . import choices, distil_logic, form, page, preset_fields, uploads
from .app import Shell
from .handlers import safe
from .tasks_view import Starter, downloader
from .texts import Texts

IN_TURN: dict[str, Any] = {"concurrency_id": "distil-models"}
"""Handlers that draw the lists of models answer in the order in which they were asked."""
REVEAL = "() => qt.reveal('#f-student-model')"
DATA_MORE = (
    "data.eval", "data.unlabelled", "data.augment_model", "data.augment_variants", "data.augment_share",
    "data.augment_candidates", "data.new_pairs", "data.eval_fraction", "data.max_length", "data.stride",
    "data.max_examples",
)  # fmt: skip
TEACHER_MORE = ("teacher.also", "teacher.weights", "teacher.cache_gb")
TRAINING = ("training.epochs", "training.learning_rate", "training.batch_size", "training.seed")
TRAINING_MORE = (
    "training.gradient_accumulation", "training.weight_decay", "training.warmup_ratio", "training.max_grad_norm",
    "training.precision", "training.attention", "training.device", "training.eval_every", "training.save_every",
    "training.early_stopping", "training.max_steps", "training.threads", "training.quantization_aware",
    "task.type", "task.metric", "task.class_weights", "task.mask_share",
)  # fmt: skip


class Fields:
    """The page's inputs by their path in the spec; `look.*` are those that only steer the page."""

    def __init__(self) -> None:
        self.by_path: dict[str, Any] = {}

    def add(self, path: str, component: Any) -> Any:
        self.by_path[path] = component
        return component

    @property
    def paths(self) -> list[str]:
        return list(self.by_path)

    @property
    def components(self) -> list[Any]:
        return list(self.by_path.values())


def build(shell: Shell) -> None:
    """Draw the page and bind it."""
    t, fields = shell.t, Fields()
    notes: dict[str, gr.HTML] = {}
    with gr.Row(equal_height=False):
        with gr.Column(scale=8, min_width=320):
            lost = gr.HTML(visible=False, elem_id="qt-lost")
            with gr.Column(elem_classes="qt-card"):
                upload, preview, further = _data(fields, t)
                notes["data"] = gr.HTML(elem_id="qt-note-data")
            with gr.Column(elem_classes="qt-card"):
                about_teacher, fetch_teacher, practice = _teacher(shell, fields, t)
                notes["teacher"] = gr.HTML(elem_id="qt-note-teacher")
            with gr.Column(elem_classes="qt-card"):
                fetch_student = _student(shell, fields, t)
                notes["student"] = gr.HTML(elem_id="qt-note-student")
            with gr.Column(elem_classes="qt-card"):
                groups = _method(fields, t)
                notes["method"] = gr.HTML(elem_id="qt-note-method")
        with gr.Column(scale=4, min_width=300, elem_classes="qt-sticky"), gr.Column(elem_classes="qt-card"):
            gr.HTML(page.step(5, t("distil.check"), t("distil.check_lead")))
            verdict = gr.HTML(elem_id="qt-verdict")
            start = gr.Button(t("distil.start"), variant="primary", size="lg", elem_id="qt-start")
            with gr.Accordion(t("distil.same"), open=False):
                plain: dict[str, Any] = {
                    "interactive": False, "wrap_lines": True, "show_line_numbers": False, "lines": 1,
                }  # fmt: skip
                command = gr.Code(label=t("distil.command"), language="shell", elem_classes="qt-code", **plain)
                yaml = gr.Code(label=t("distil.yaml"), language="yaml", elem_classes="qt-code", **plain)
    _bind(
        shell,
        fields,
        t,
        upload=upload,
        further=further,
        preview=preview,
        about_teacher=about_teacher,
        lost=lost,
        notes=notes,
        groups=groups,
        verdict=verdict,
        start=start,
        command=command,
        yaml=yaml,
        fetchers=(fetch_teacher, fetch_student),
        practice=practice,
    )


def _data(fields: Fields, t: Texts) -> tuple[Any, Any, dict[str, Any]]:
    gr.HTML(page.step(1, t("distil.data"), t("distil.data_lead")))
    fields.add("look.data", gr.Radio(
        [(t("distil.sample"), "sample"), (t("distil.upload"), "upload"), (t("distil.path"), "path")], value="sample",
        label=t("distil.data_from"), show_label=False, elem_id="f-look-data"))  # fmt: skip
    upload = uploads.drop(t("distil.file"), "qt-upload", visible=False)
    label, info = form.words("data.train", t)
    fields.add(
        "data.train",
        gr.Textbox(
            label=label, info=t("distil.path_help", folder="data/"), visible=False, max_lines=1, elem_id="f-data-train"
        ),
    )
    preview = gr.HTML(page.progress(None, t("distil.reading")), elem_id="qt-preview")
    with gr.Accordion(t("distil.columns"), open=False):
        with gr.Row():
            for path in ("data.text_column", "data.text_pair_column", "data.label_column"):
                label, info = form.words(path, t)
                fields.add(path, gr.Dropdown(choices=[], value=None, label=label, info=info, allow_custom_value=True,
                                             min_width=180, elem_id="f-" + path.replace(".", "-")))  # fmt: skip
        with gr.Row():
            for path in DATA_MORE:
                fields.add(path, form.field(path, t, min_width=180))
        with gr.Row():
            further = {
                path: gr.UploadButton(
                    t(f"distil.upload_{path.split('.')[1]}"), size="sm",
                    file_count="multiple" if path == "data.unlabelled" else "single",
                    elem_id="qt-upload-" + path.split(".")[1], interactive=False,  # the sample stands alone
                )
                for path in ("data.eval", "data.unlabelled")
            }  # fmt: skip
    return upload, preview, further


def _teacher(shell: Shell, fields: Fields, t: Texts) -> tuple[Any, Starter, Starter]:
    gr.HTML(page.step(2, t("distil.teacher"), t("distil.teacher_lead")))
    label, _ = form.words("teacher.model", t)
    # Not filled in here: the list is read when the page is opened.
    fields.add("teacher.model", gr.Dropdown(choices=[], value=None, label=label, info=t("distil.teacher_help"),
                                            filterable=True, elem_id="f-teacher-model"))  # fmt: skip
    about = gr.HTML(elem_id="qt-about-teacher")
    fetch = downloader(shell, "teacher")
    practice = Starter(shell, "practice", verb="practice", label=t("distil.practice"), begin=distil_logic.practice)
    fields.add("teacher.finetune", form.field("teacher.finetune", t))
    with gr.Row():
        fields.add("teacher.epochs", form.field("teacher.epochs", t))
        fields.add("teacher.learning_rate", form.field("teacher.learning_rate", t))
    with gr.Accordion(t("distil.teacher_more"), open=False), gr.Row():
        for path in TEACHER_MORE:
            fields.add(path, form.field(path, t, min_width=180))
    return about, fetch, practice


def _student(shell: Shell, fields: Fields, t: Texts) -> Starter:
    gr.HTML(page.step(3, t("distil.student"), t("distil.student_lead")))
    kinds = [(t(f"distil.student_{kind}"), kind) for kind in ("model", "layers", "shape")]
    fields.add("look.student", gr.Radio(kinds, value="model", label=t("distil.student_kind"), show_label=False,
                                        elem_classes="qt-choices qt-wide", elem_id="f-look-student"))  # fmt: skip
    label, _ = form.words("student.model", t)
    fields.add(
        "student.model", form.Cards([], label=label, elem_classes="qt-choices qt-list", elem_id="f-student-model")
    )
    label, info = form.words("student.layers", t)
    fields.add("look.layers", form.Cards([], label=t("distil.layers"), visible=False, elem_classes="qt-choices",
                                       elem_id="f-look-layers"))  # fmt: skip
    fields.add(
        "student.layers", gr.Textbox(label=label, info=info, visible=False, max_lines=1, elem_id="f-student-layers")
    )
    fields.add("student.architecture", form.field("student.architecture", t, visible=False))
    label, info = form.words("student.shape", t)
    fields.add(
        "student.shape",
        gr.Dropdown(
            list(choices.SHAPES),
            value=choices.SHAPES[1],
            label=label,
            info=info,
            allow_custom_value=True,
            visible=False,
            elem_id="f-student-shape",
        ),
    )
    return downloader(shell, "student")


def _method(fields: Fields, t: Texts) -> dict[str, Any]:
    gr.HTML(page.step(4, t("distil.method"), t("distil.method_lead")))
    fields.add("look.preset", gr.Radio(
        [(preset_fields.preset_words(name, t), name) for name in preset_fields.offered_presets()], value="fast",
        label=t("distil.preset"),
        elem_classes="qt-choices qt-wide", elem_id="f-look-preset"))  # fmt: skip
    fields.add("method.name", gr.Radio(
        [(method_words(name, t), name) for name in METHODS], value="logit", label=t("distil.method_name"),
        elem_classes="qt-choices qt-wide", elem_id="f-method-name"))  # fmt: skip
    groups = {}
    for name, method in METHODS.items():
        with gr.Column(visible=name == "logit") as groups[name], gr.Accordion(t("distil.method_settings"), open=False):
            inner = [each for each in method.model_fields if each != "name"]
            for first in range(0, len(inner), 3):
                with gr.Row():
                    for each in inner[first : first + 3]:
                        path = f"method.{name}.{each}"
                        component = form.field(path, t, min_width=180)
                        if each == "layer_mapping":
                            component.value = str(method.model_fields[each].default)
                        fields.add(path, component)
    with gr.Row():
        for path in TRAINING:
            fields.add(path, form.field(path, t, min_width=130))
    fields.add("control", form.field("control", t))
    fields.add(
        "quantize",
        gr.CheckboxGroup(
            [(t.get(f"scheme.{scheme.name}.title", scheme.title), scheme.name) for scheme in SCHEMES.values()],
            label=t("distil.quantize"),
            info=t("distil.quantize_help"),
            elem_id="f-quantize",
        ),
    )
    fields.add("name", form.field("name", t))
    with gr.Accordion(t("distil.advanced"), open=False):
        for first in range(0, len(TRAINING_MORE), 3):
            with gr.Row():
                for path in TRAINING_MORE[first : first + 3]:
                    fields.add(path, form.field(path, t, min_width=180))
    return groups


def method_words(name: str, t: Texts) -> str:
    """A method as a card; one that no text is written for yet is described by its own first sentence."""
    return t.get(f"method.{name}", f"{name.capitalize()}\n{first_sentence(METHODS[name].__doc__ or '')}.")


def _bind(
    shell: Shell,
    fields: Fields,
    t: Texts,
    *,
    upload: Any,
    further: dict[str, Any],
    preview: Any,
    about_teacher: Any,
    lost: Any,
    notes: dict[str, Any],
    groups: dict[str, Any],
    verdict: Any,
    start: Any,
    command: Any,
    yaml: Any,
    fetchers: tuple[Starter, Starter],
    practice: Starter,
) -> None:
    at, logic = fields.by_path, distil_logic.Logic(fields.paths, t)
    everything = fields.components
    checked = [*notes.values(), verdict, start, command, yaml]

    # What is visible follows the kinds chosen.
    at["look.data"].change(
        lambda kind: [gr.File(visible=kind == "upload"), gr.Textbox(visible=kind != "sample"),
                      *[gr.UploadButton(interactive=kind != "sample") for _ in further]],
        [at["look.data"]], [upload, at["data.train"], *further.values()], queue=False, **shell.quiet,
    )  # fmt: skip
    at["look.student"].change(
        lambda kind: [
            gr.Radio(visible=kind == "model"), gr.Radio(visible=kind == "layers"), gr.Textbox(visible=kind == "layers"),
            gr.Dropdown(visible=kind == "layers"), gr.Dropdown(visible=kind == "shape"),
        ],
        [at["look.student"]],
        [at[path] for path in
         ("student.model", "look.layers", "student.layers", "student.architecture", "student.shape")],
        queue=False, **shell.quiet,
    )  # fmt: skip
    at["look.layers"].input(
        lambda value: value or "", [at["look.layers"]], [at["student.layers"]], queue=False, **shell.quiet
    )
    at["method.name"].change(
        lambda name: [gr.Column(visible=name == each) for each in groups], [at["method.name"]], list(groups.values()),
        queue=False, **shell.quiet,
    )  # fmt: skip

    uploads.fills(upload, at["data.train"], shell)
    for path, button in further.items():
        button.upload(safe(t)(logic.further_data), [button], [at[path]], **shell.quiet)
    data_inputs = [at[path] for path in distil_logic.PREVIEWED]
    looks = safe(t)(logic.preview)
    looked = [preview, at["data.text_column"], at["data.text_pair_column"], at["data.label_column"]]
    gr.on(
        [at[path].change for path in distil_logic.PREVIEWED if path != "teacher.model"] + [at["teacher.model"].input],
        looks, data_inputs, looked, trigger_mode="always_last", show_progress="minimal",
        show_progress_on=preview, concurrency_limit=4, api_visibility="private",
    )  # fmt: skip

    asked, check = [at[path] for path in logic.asked], safe(t, quiet=True)(logic.check)
    cuts = gr.State([])
    follow = ("student.model", "look.layers", "student.layers")
    shown = [about_teacher, fetchers[0].button, *[at[path] for path in follow], cuts]
    filled = [*shown[:2], fetchers[1].button]
    at["teacher.model"].change(
        safe(t)(logic.teacher_chosen),
        [*[at[path] for path in ("teacher.model", "student.model", "student.layers")], cuts],
        shown,
        **shell.quiet | IN_TURN,
    ).then(None, js=REVEAL, api_visibility="private").then(check, asked, checked, **shell.quiet)
    at["teacher.model"].input(
        safe(t)(logic.teacher_picked), [at["teacher.model"]], [at["teacher.finetune"]], queue=False, **shell.quiet
    )
    gr.on(
        [at["student.model"].change, at["look.student"].change], safe(t)(logic.student_chosen),
        [at["student.model"], at["look.student"]], [fetchers[1].button], queue=False, **shell.quiet,
    )  # fmt: skip
    at["look.preset"].input(
        safe(t)(logic.preset), [at["look.preset"]],
        [at[path] for path in preset_fields.PRESET_PATHS], queue=False, **shell.quiet,
    )  # fmt: skip
    gr.on(  # a new teacher is checked above, when the students are its own
        [each.change for path, each in at.items() if path != "teacher.model"], check, asked, checked,
        trigger_mode="always_last",
        concurrency_limit=4, **shell.quiet,
    )  # fmt: skip

    # Loading fills in the lists, then what the address asks for: a run to repeat, or a guide's advice.
    kept = gr.Textbox(visible=False)
    shell.loaded(safe(t)(logic.load), [kept], [*everything, *filled, lost], (None, [], [], REVEAL),
                 (check, asked, checked), (looks, data_inputs, looked), js="() => qt.kept()")  # fmt: skip
    gr.on([each.change for each in everything], None, everything, None,
          js=f"(...values) => qt.keep({json.dumps(fields.paths)}, values)", api_visibility="private")  # fmt: skip
    practice.bind([], safe(t)(logic.practice_values), [], [*everything, *filled, lost])
    models = [at["teacher.model"], at["student.model"], at["look.student"]]
    shell.opened("distil", safe(t, quiet=True)(logic.refresh), models,
                 [at["teacher.model"], at["student.model"], *filled], **IN_TURN)  # fmt: skip
    for fetcher, path in zip(fetchers, ("teacher.model", "student.model"), strict=True):
        fetcher.bind([at[path]], safe(t, quiet=True)(logic.refresh), models,
                     [at["teacher.model"], at["student.model"], *filled], **IN_TURN)  # fmt: skip
    begun = start.click(safe(t)(logic.start), asked, [shell.run, shell.tabs, *checked], **shell.quiet)
    begun.success(None, [shell.run], js="(run) => { if (run) qt.set({tab: 'runs', run}); }", api_visibility="private")
