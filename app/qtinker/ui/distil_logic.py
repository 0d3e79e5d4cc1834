"""What the Distil page does: fills its lists, previews data, checks the settings all the time, starts the run."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from typing import Any

import gradio as gr

from .. import jobs, runs
from ..data.sample_phrases import TOPICS
from ..errors import Problem, QTinkerError, RunFailed, SpecError
from ..spec import METHODS, QuantizeSpec, RunSpec
from . import answers, choices, distil_views, form, guard, page, tasks
from .format import duration, esc, number, percent, short_number, size
from .handlers import words_of
from .preset_fields import PRESET_PATHS, offered_presets, preset_values
from .texts import Texts

PREVIEWED = ("look.data", "data.train", "data.text_column", "data.text_pair_column", "data.label_column",
             "data.max_length", "teacher.model", "task.type")  # fmt: skip
# Random weights need larger steps than pretrained ones: what the demo uses.
PRACTICE: dict[str, Any] = {
    "teacher.finetune": True, "teacher.epochs": 8, "teacher.learning_rate": 1e-3, "look.student": "shape",
    "student.shape": "L-2_H-64_A-2", "look.preset": "fast", "method.name": "logit",
    "training.epochs": 6, "training.learning_rate": 2e-3, "data.max_length": 64, "control": True,
}  # fmt: skip
SECTIONS = ("data", "teacher", "student", "method")


class Logic:
    """The handlers; `paths` are the page's fields in the order of its inputs.

    `asked` are those that a run is made of. The others only fill these in, and are never sent: the server would refuse
    a card that is no longer offered since the teacher changed.
    """

    def __init__(self, paths: list[str], t: Texts) -> None:
        self.paths, self.t = paths, t
        self.asked = [path for path in paths if path not in ("look.layers", "look.preset")]

    # --- data ----------------------------------------------------------------------------------------------------

    def further_data(self, paths: str | list[str]) -> str:
        """Uploads of evaluation data or of texts without labels, as their field names them."""
        return ",".join(guard.keep_upload(path) for path in ([paths] if isinstance(paths, str) else paths))

    def preview(
        self, kind: str, train: str, text: str, pair: str, label: str, max_length: str, teacher: str, task: str
    ) -> list[Any]:
        """What training would see of the data: read in a child process."""
        t = self.t
        keep = [gr.skip()] * 3
        if kind != "sample" and not (train or "").strip():
            return ["", *keep]
        try:
            source = "sample" if kind == "sample" else data_source(train)
            settings: dict[str, Any] = {}
            for name, value in (("text_column", text), ("text_pair_column", pair), ("label_column", label)):
                if value and kind != "sample":
                    settings[name] = str(value)
            if task and task != "auto":
                settings["task"] = task
            tokenizer = None
            model = choices.find(teacher)
            if model and model.here and model.entry and not model.entry.broken:
                tokenizer = model.entry.full_name
                if (max_length or "").strip().isdecimal():
                    settings["max_length"] = int(max_length)
            found = answers.preview(source, settings, tokenizer=tokenizer)
        except SpecError:  # the check tells it, by the name of the field
            return ["", *keep]
        except RunFailed:
            return [page.note(t("distil.preview_late"), "warn"), *keep]
        except QTinkerError as error:
            return [page.note(words_of(error, t), "bad"), *keep]
        known = found.get("available_columns") or [name for name in found["columns"].values() if name]
        boxes = [gr.Dropdown(choices=known) for _ in range(3)]
        return [distil_views.preview_html(found, t), *boxes]

    # --- models --------------------------------------------------------------------------------------------------

    def refresh(self, teacher: str | None, student: str | None, kind: str) -> list[Any]:
        """The lists of models as they are now, the chosen ones kept; what follows from a choice, where there is one.

        A page that opens asks before it is filled in: its late answer must not take back what the choices brought.
        """
        t, names = self.t, choices.teacher_choices(self.t)
        model = choices.find(teacher)
        about = [gr.skip()] * 3 if model is None else [
            gr.Radio(choices=choices.student_choices(model, t)), distil_views.teacher_html(model, t),
            gr.Button(visible=not model.here),
        ]  # fmt: skip
        return [gr.Dropdown(choices=names), *about, self.student_chosen(student, kind) if student else gr.skip()]

    def teacher_picked(self, name: str | None) -> Any:
        """Whether a teacher's head must be trained first: where a person chose it, not where a run's settings came."""
        model = choices.find(name)
        return not model.trained if model else gr.skip()

    def teacher_chosen(self, name: str | None, student: str | None, layers: str | None, before: list[str]) -> list[Any]:
        """A teacher: what it is, and the students that suit it.

        No student may mean that the one that the address names is still on its way to its field, which is left alone.
        A cut of the teacher `before`, and layers that this one does not have, give way to the first of its own cuts.
        """
        t, model = self.t, choices.find(name)
        students = choices.student_choices(model, t)
        offered = student is None or any(student == value for _, value in students)
        cards = choices.layer_choices(model, t)
        cuts = [value for _, value in cards]
        if layers and cuts and layers not in cuts and (layers in before or not choices.has_layers(model, layers)):
            layers = cuts[0]
        return [
            distil_views.teacher_html(model, t), gr.Button(visible=bool(model and not model.here)),
            gr.Radio(choices=students) if offered else gr.Radio(choices=students, value=None),
            gr.Radio(choices=cards, value=layers if layers in cuts else None), layers, cuts,
        ]  # fmt: skip

    def student_chosen(self, name: str | None, kind: str) -> Any:
        """The Download button, where the student is a model that is not here."""
        model = choices.find(name) if kind == "model" else None
        return gr.Button(visible=bool(model and not model.here))

    def preset(self, name: str) -> list[Any]:
        """What a preset sets; what only other presets set goes back to its default, but the control stays."""
        values = preset_values(name)
        return [
            values[path] if path in values else gr.skip() if path == "control" else form.default(path)
            for path in PRESET_PATHS
        ]

    # --- loading -------------------------------------------------------------------------------------------------

    def load(self, kept: str, request: gr.Request) -> list[Any]:
        """The first state of the page: defaults, then what the address asks for (a run to repeat, or advice).

        Args:
            kept: what was filled in before a reload, as JSON by path; it stands instead.
        """
        filled: Any = None
        with contextlib.suppress(ValueError):
            filled = json.loads(kept or "null")
        return self.fill(dict(request.query_params), filled if isinstance(filled, dict) else None)

    def practice_values(self) -> list[Any]:
        """The practice model is here: the page is filled in for it; what data was chosen meanwhile stays."""
        return self.fill({"practice": "1"})

    def fill(self, query: dict[str, str], kept: dict[str, Any] | None = None) -> list[Any]:
        """Values of all fields for an address's query, or those that were `kept`; what follows from them, and a note of
        what of a run could not be taken over."""
        values: dict[str, Any] = {}
        spec: RunSpec | None = None
        lost: dict[str, str] = {}
        if kept:
            query, values = {}, {path: kept[path] for path in self.paths if path in kept}
        elif wanted := query.get("from"):
            try:
                spec = runs.open(wanted).spec()
                values = self.values_of(spec)
            except QTinkerError as error:  # it was deleted: the page opens as it does without it
                lost["from"] = words_of(error, self.t)
        elif query.get("practice"):
            values = PRACTICE | {"teacher.model": "practice-bert"}
        names = choices.teacher_choices(self.t)
        known = {value for _, value in names}
        teacher = values.get("teacher.model") or query.get("teacher")
        if teacher not in known and spec:
            teacher = None
        elif teacher not in known:
            here = [value for _, value in names if (found := choices.find(value)) and found.here]
            usual = "bert-base-uncased" if "bert-base-uncased" in known else None
            teacher = min(here, key=_strangeness) if here else usual
        values["teacher.model"] = teacher
        model = choices.find(teacher)
        if "teacher.finetune" not in values and model:
            values["teacher.finetune"] = not model.trained
        if (chosen := query.get("preset", "")) in offered_presets():
            values |= {"look.preset": chosen, **preset_values(chosen)}
        if query.get("method") in METHODS:
            values["method.name"] = query["method"]
        students = choices.student_choices(model, self.t)
        student = values.get("student.model") or query.get("student")
        values.setdefault("control", True)
        offered = [value for _, value in students]
        if query.get("student") == "layers" and "layers" not in offered:  # the Guide's word for a cut of the teacher
            values.setdefault("look.student", "layers")
        here = [
            value for value in offered if (found := choices.find(value)) and found.here and found.kind == "pretrained"
        ]
        usual = "bert-mini" if "bert-mini" in offered else None
        if spec:
            lost = self._lost(spec, values, offered)
        other = None if "student.model" in lost else here[0] if here else usual
        values["student.model"] = student if student in offered else other
        values.setdefault("look.student", "model" if values["student.model"] else "layers")
        if "student.layers" in lost:
            values["student.layers"] = ""
        elif not values.get("student.layers"):
            cuts = choices.layer_choices(model, self.t)
            values["student.layers"] = values["look.layers"] = cuts[0][1] if cuts else ""
        return [*[self._update(path, values, names, students, model) for path in self.paths],
                distil_views.teacher_html(model, self.t), gr.Button(visible=bool(model and not model.here)),
                self.student_chosen(values["student.model"], values["look.student"]),
                gr.HTML(page.note(" ".join(lost.values()), "warn", head=self.t("distil.lost")), visible=bool(lost)),
                ]  # fmt: skip

    def _lost(self, spec: RunSpec, values: dict[str, Any], offered: list[str]) -> dict[str, str]:
        """What of a run the page has no place for, in words by field: otherwise a copy would be another run unnoticed.

        Args:
            values: the form's values for its spec, the teacher None where it can't be chosen.
        """
        t, student, found = self.t, spec.student.model, {}
        if spec.teacher is None:
            found["teacher.model"] = t("distil.lost_no_teacher")
        elif values["teacher.model"] is None:
            found["teacher.model"] = t("distil.lost_teacher", name=spec.teacher.model)
        if values["look.student"] == "model" and student and values["student.model"] not in offered:
            found["student.model"] = t("distil.lost_student", name=student)
        elif values["look.student"] == "layers" and student:  # also of the teacher's own name, which is finetuned first
            found["student.layers"] = t("distil.lost_layers", name=student)
        if spec.data.train == "sample" and (more := [*filter(None, [spec.data.eval]), *(spec.data.unlabelled or [])]):
            found["data.train"] = t("distil.lost_data", names=", ".join(more))
        if losses := [each.max_loss for each in spec.quantize if each != QuantizeSpec(scheme=each.scheme)]:
            found["quantize"] = t("distil.lost_max_loss", n=f"{losses[0]:g}")
        return found

    def _update(self, path: str, values: dict[str, Any], names: Any, students: Any, model: Any) -> Any:
        value = values.get(path)
        if path == "teacher.model":
            return gr.Dropdown(choices=names, value=value)
        if path == "student.model":
            return gr.Radio(choices=students, value=value)
        if path == "look.layers":
            return gr.Radio(choices=choices.layer_choices(model, self.t), value=value)
        return value if path in values else gr.skip()

    def values_of(self, spec: RunSpec) -> dict[str, Any]:
        """The form's values for a run's spec."""
        values = form.from_spec(spec, self.paths)
        values["look.data"] = "sample" if spec.data.train == "sample" else "path"
        values["look.student"] = "shape" if spec.student.shape else "layers" if spec.student.layers else "model"
        for path in ("teacher.model", "student.model"):
            if found := choices.find(values.get(path)):
                values[path] = found.name
        return values

    # --- check and start -----------------------------------------------------------------------------------------

    def check(self, *values: Any) -> list[Any]:
        """Everything wrong at once, beside the part it belongs to; what it will cost; the same as command and YAML."""
        t = self.t
        spec, problems = self._spec(values)
        estimate = None
        if spec is not None:
            problems, estimate = self._preflight(spec)
        notes = [self._notes(problems, section) for section in SECTIONS]
        errors = [each for each in problems if each.level == "error"]
        verdict = self._verdict(spec, problems, errors, estimate)
        command = form.command_line(spec) if spec else ""
        yaml = spec.to_yaml() if spec else ""
        return [*notes, verdict, gr.Button(interactive=not errors), gr.Code(value=command, label=t("distil.command")),
                gr.Code(value=yaml, label=t("distil.yaml"))]  # fmt: skip

    def start(self, *values: Any) -> list[Any]:
        """Start the run, or say why not."""
        spec, _ = self._spec(values)
        if spec is None:
            gr.Warning(self.t("distil.not_yet"), title=self.t("error.title"))
            return [gr.skip(), gr.skip(), *self.check(*values)]
        try:
            run_id = answers.create_run(spec)
        except SpecError as error:
            gr.Warning(esc(" ".join(self.t.said(each) for each in error.problems[:2])), title=self.t("error.title"))
            return [gr.skip(), gr.skip(), *self.check(*values)]
        jobs.start(run_id)
        return [run_id, gr.Tabs(selected="runs"), *[gr.skip()] * 8]

    def _spec(self, values: tuple[Any, ...]) -> tuple[RunSpec | None, list[Problem]]:
        """The spec that the form amounts to, or its problems; names and paths are held to what a page may ask."""
        given = dict(zip(self.asked, values, strict=True))
        problems: list[Problem] = []
        kind, source = given.pop("look.student"), given.pop("look.data")
        keep = {"model": "student.model", "layers": "student.layers", "shape": "student.shape"}
        for name, path in keep.items():
            if name != kind:
                given[path] = None
        if kind != "layers":
            given["student.architecture"] = None
        if source == "sample":
            given |= {"data.train": "sample", "data.text_column": None, "data.text_pair_column": None,
                      "data.label_column": None, "data.eval": None, "data.unlabelled": None}  # fmt: skip
        checks: dict[str, Callable[[Any], Any]] = {
            "data.train": data_source, "data.eval": data_source, "data.unlabelled": data_sources,
            "data.augment_model": guard.model_name, "teacher.model": guard.model_name, "teacher.also": model_names,
            "student.model": guard.model_name,
        }  # fmt: skip
        needed = {"data.train", "teacher.model", *(["student.model"] if kind == "model" else [])}
        for path, check in checks.items():
            if given.get(path) or path in needed:
                try:
                    given[path] = check(given.get(path))
                except QTinkerError as error:
                    problems.append(Problem(path, error.message, error.fix))
        method = f"method.{given.get('method.name')}."
        for path, value in given.items():
            counts = not path.startswith("method.") or path.startswith(method)
            if counts and form.is_whole(path) and "." in str(value):  # 10.000 would be taken for 10
                words = f"must be a whole number (given: {value!r})."
                problems.append(Problem(path, words, "Write it as 0.5 or 1000."))
        if problems:
            return None, problems
        if kind == "layers" and not given.get("student.layers"):
            return None, [Problem("student.layers", self.t("distil.no_layers"))]
        data = form.to_spec(given)
        data["quantize"] = [{"scheme": scheme} for scheme in data.get("quantize") or []]
        if not data["teacher"].get("finetune"):
            for name in ("finetune", "epochs", "learning_rate"):
                data["teacher"].pop(name, None)
        try:
            return RunSpec.parse(data), []
        except SpecError as error:
            return None, error.problems

    def _preflight(self, spec: RunSpec) -> tuple[list[Problem], dict[str, Any] | None]:
        """Checked in a child: the data may be too big for the memory."""
        try:
            found = answers.check(spec)
        except RunFailed as error:
            return [
                Problem("data.train", self.t("distil.not_checked", why=self.t.said(error.message)), level="warning")
            ], None
        return [Problem(**each) for each in found["problems"]], found["estimate"]

    def _notes(self, problems: list[Problem], section: str) -> str:
        own = {"data": ("data",), "teacher": ("teacher",), "student": ("student",)}.get(section)
        rest = ("data", "teacher", "student")
        mine = [
            each for each in problems
            if (each.field.split(".")[0] in own if own else each.field.split(".")[0] not in rest)
        ]  # fmt: skip
        return "".join(self._note(each) for each in mine)

    def _note(self, problem: Problem) -> str:
        kind = "warn" if problem.level != "error" else "info" if _is_to_do(problem) else "bad"
        return page.note(self.t.said(problem.message), kind, head=self._title(problem.field), fix=self._fix(problem))

    def _title(self, field: str) -> str:
        path = field = field.rstrip(".0123456789")  # of a list the field that holds it
        if field.startswith("method.") and field.count(".") == 1:
            found = next((each for each in self.paths if each.startswith("method.") and each.endswith(field[6:])), "")
            path = found if found.count(".") == 2 else field
        try:
            return form.words(path, self.t)[0]
        except (KeyError, IndexError):
            return field

    def _fix(self, problem: Problem) -> str:
        """On this page a fix is a button or a box, not a command."""
        if _is_to_fetch(problem):
            return self.t("distil.fix_download")
        if problem.field == "teacher.model" and "finetune" in problem.fix:
            return self.t("distil.fix_finetune")
        return self.t.said(problem.fix)

    def _verdict(self, spec: RunSpec | None, problems: list[Problem], errors: list[Problem],
                 estimate: dict[str, Any] | None) -> str:  # fmt: skip
        t, parts = self.t, []
        if errors:
            items = "".join(f"<li>{esc(self._title(each.field))}: {esc(t.said(each.message))}</li>" for each in errors)
            head = t("distil.problems", n=len(errors)) if len(errors) > 1 else t("distil.problem")
            kind = 'info" role="status' if all(map(_is_to_do, errors)) else 'bad" role="alert'
            parts.append(f'<div class="qt-note {kind}"><b>{esc(head)}</b><ul style="margin:4px 0 0;'
                         f'padding-left:18px">{items}</ul></div>')  # fmt: skip
        elif spec is not None:
            busy = jobs.active()
            words = t("distil.ready_queue") if busy else t("distil.ready")
            parts.append(page.note(words, "good"))
        if estimate is not None:
            facts = [
                (t("distil.time"), t("distil.about", value=duration(estimate["seconds"]))),
                (t("distil.memory"), size(estimate["memory_bytes"])), (t("distil.disk"), size(estimate["disk_bytes"])),
                (t("distil.steps"), number(estimate["steps"])),
                (t("distil.student_size"), short_number(estimate["student_parameters"])),
            ]  # fmt: skip
            if estimate["teacher_parameters"]:
                ratio = estimate["student_parameters"] / estimate["teacher_parameters"]
                facts.append((t("distil.of_teacher"), percent(ratio)))
            if estimate["speed_up"]:
                facts.append((t("distil.speed_up"), f"≈ {estimate['speed_up']:.1f}×"))
            parts.append(page.facts(facts))
            parts.append(f'<p class="qt-small qt-muted">{esc(t("distil.estimate_note"))}</p>')
        return '<div class="qt-stack">' + "".join(parts) + "</div>"


def _is_to_fetch(problem: Problem) -> bool:
    """Is it a model that can be downloaded beside its field?"""
    return problem.field in ("teacher.model", "student.model") and "app download" in problem.fix


def _is_to_do(problem: Problem) -> bool:
    """Is nothing wrong, only something left to do: a model to download, or to choose while the lists are drawn?"""
    return _is_to_fetch(problem) or (problem.field.endswith(".model") and problem.message == guard.NO_MODEL)


def _strangeness(teacher: str) -> int:
    """How far a teacher that is here is from fitting the bundled sample, with which the page opens."""
    model = choices.find(teacher)
    if model is None or model.entry is None or model.entry.broken:
        return 3
    if not model.trained:
        return 1  # it is finetuned first, on whatever data
    return 0 if set(model.entry.labels) == set(TOPICS) else 2


def practice() -> str:
    """Begin to make the practice model."""
    return tasks.start("practice", label="practice-bert", module="qtinker.ui.practice", button="practice")


def data_source(value: Any) -> str:
    """A data file that the page may read, `sample`, or a Hub data set's id."""
    return guard.hub_or_file(value)


def model_names(names: str) -> list[str]:
    """Several models, comma separated, each held to what a page may name."""
    return [guard.model_name(name.strip()) for name in names.split(",") if name.strip()]


def data_sources(value: Any) -> list[str]:
    """Several data files that the page may read, separated by commas."""
    return [data_source(part) for part in str(value).split(",") if part.strip()]
