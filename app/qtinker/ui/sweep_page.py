"""The Find page: pairs chosen in a grid, or a target; the sweep fills its table and chart; any point can be opened."""

from __future__ import annotations

import contextlib
import functools
from typing import Any

import gradio as gr

from ..compare import pairs, quantities, store
from ..errors import InputError, QTinkerError
from ..spec import SHAPE
from . import choices, guard, page, sweep_views, tasks, uploads
from .app import Shell
from .handlers import safe
from .tasks_view import Starter
from .texts import Texts

POLL_SECONDS = 2.0
SCHEMES = ("int8-dynamic", "int8-weight-only", "int4-weight-only", "bf16")
METHODS = ("logit", "patient", "relations")
MODES = ("quick", "balanced", "all")
RESUMABLE = ("stopped", "interrupted", "failed", "new")


def build(shell: Shell) -> None:
    """Draw the page and bind it."""
    t = shell.t
    with gr.Column(elem_classes="qt-card"):
        gr.HTML(page.title(t("sweep.title"), t("sweep.lead")))
        with gr.Row():
            data = gr.Textbox("sample", label=t("compare.data"), info=t("compare.data_help"), max_lines=1, scale=3,
                              min_width=220, elem_id="qt-sweep-data")  # fmt: skip
            most = gr.Textbox("", label=t("compare.most"), placeholder=t("compare.all"), max_lines=1, min_width=90,
                              scale=1, elem_id="qt-sweep-most")  # fmt: skip
            epochs = gr.Textbox("3", label=t("sweep.epochs"), max_lines=1, min_width=90, scale=1,
                                elem_id="qt-sweep-epochs")  # fmt: skip
            budget = gr.Textbox("", label=t("sweep.budget"), placeholder="2h", max_lines=1, min_width=110, scale=1,
                                elem_id="qt-sweep-budget")  # fmt: skip
        uploads.fills(uploads.drop(t("distil.upload"), "qt-sweep-upload"), data, shell)
        with gr.Row():
            methods = gr.CheckboxGroup(list(METHODS), value=["logit"], label=t("distil.method"), min_width=240)
            schemes = gr.CheckboxGroup(list(SCHEMES), value=["int8-dynamic"], label=t("sweep.scheme"), min_width=280,
                                       elem_id="qt-sweep-schemes")  # fmt: skip
    with gr.Row(equal_height=False):
        with gr.Column(elem_classes="qt-card", min_width=320, scale=3):
            gr.HTML(page.title(t("sweep.pairs"), t("sweep.pairs_lead")))
            mode = gr.Radio([(t(f"sweep.mode_{name}"), name) for name in MODES], value=None, label=t("sweep.mode"),
                            elem_id="qt-sweep-mode")  # fmt: skip
            grid = [
                gr.CheckboxGroup(list(pairs.STUDENTS), value=[], label=t("sweep.grid_row", teacher=name),
                                 elem_id=f"qt-grid-{number}")
                for number, name in enumerate(pairs.TEACHERS)
            ]  # fmt: skip
            own = gr.Dropdown([], value=None, label=t("sweep.own_teacher"), elem_id="qt-sweep-teacher")
            students = gr.Dropdown([], value=[], multiselect=True, label=t("sweep.own_students"),
                                   elem_id="qt-sweep-students")  # fmt: skip
            compare = Starter(shell, "sweep-pairs", verb="compare", label=t("sweep.compare"), begin=begin_pairs,
                              variant="primary")  # fmt: skip
        with gr.Column(elem_classes="qt-card", min_width=280, scale=2):
            gr.HTML(page.title(t("sweep.target"), t("sweep.target_lead")))
            teacher = gr.Dropdown([], value=None, label=t("distil.teacher"), elem_id="qt-target-teacher")
            biggest = gr.Textbox("", label=t("sweep.max_size"), placeholder="20MB", max_lines=1, elem_id="qt-max-size")
            slowest = gr.Textbox("", label=t("sweep.max_latency"), placeholder="5ms", max_lines=1)
            least = gr.Textbox("", label=t("sweep.min_retention"), placeholder="97%", max_lines=1)
            compress = Starter(shell, "sweep-target", verb="compress", label=t("sweep.compress"), begin=begin_target,
                               variant="primary")  # fmt: skip
    with gr.Column(elem_classes="qt-card"):
        gr.HTML(page.title(t("sweep.results")))
        with gr.Row():
            chosen = gr.Dropdown([], value=None, label=t("sweep.which"), elem_id="qt-sweep-which", scale=4)
        resume = Starter(shell, "sweep-resume", verb="sweeps", label=t("sweep.resume"), begin=begin_resume)
        view = gr.HTML(elem_id="qt-sweep-view")
    shell.timers["sweep"] = timer = gr.Timer(POLL_SECONDS, active=False)

    def lists(current: str | None, one: str | None, other: str | None) -> list[Any]:
        teachers = choices.teacher_choices(t)
        names = [name for _, name in teachers]
        first = names[0] if names else None
        found = sweep_views.options(t)
        known = [value for _, value in found]
        kept = current if current in known else (known[0] if known else None)
        return [
            gr.Dropdown(choices=teachers, value=one if one in names else None),
            gr.Dropdown(choices=teachers, value=other if other in names else first),
            gr.Dropdown(choices=found, value=kept), *outcome(kept, t),
        ]  # fmt: skip

    @safe(t, quiet=True)
    def opened(current: str | None, one: str | None, other: str | None, request: gr.Request) -> list[Any]:
        return lists(current or request.query_params.get("sweep"), one, other)

    def newest(shown: str | None, before: str | None) -> list[Any]:
        """The list and the chosen sweep as they are now; a sweep that began since is shown."""
        found = sweep_views.options(t)
        known = [value for _, value in found]
        first = known[0] if known else ""
        kept = first if shown not in known or (before is not None and first != before) else shown
        return [gr.Dropdown(choices=found, value=kept or None), *outcome(kept, t), first]

    last = gr.Textbox(visible=False)
    result = [view, resume.button]
    outputs = [own, teacher, chosen, *result]
    for when in (shell.loaded, functools.partial(shell.opened, "sweep")):
        when(opened, [chosen, own, teacher], outputs)
    timer.tick(safe(t, quiet=True)(newest), [chosen, last], [chosen, *result, last], queue=False, **shell.quiet)
    chosen.input(safe(t)(lambda name: outcome(name, t)), [chosen], result, **shell.quiet)
    mode.input(ticked, [mode], grid, queue=False, **shell.quiet)
    own.change(safe(t, quiet=True)(lambda name: gr.Dropdown(choices=student_options(name, t), value=[])), [own],
               [students], queue=False, **shell.quiet)  # fmt: skip
    common = [data, most, epochs, budget, methods, schemes]
    after: list[Any] = [chosen, *result, last]
    for starter, source in (
        (compare, [*common, own, students, *grid]), (compress, [*common, teacher, biggest, slowest, least]),
        (resume, [chosen]),
    ):  # fmt: skip
        starter.bind(source, safe(t, quiet=True)(newest), [chosen, last], after)


def outcome(sweep_id: str | None, t: Texts) -> list[Any]:
    """What came of a sweep, and the button Resume, which is for those that were cut."""
    return [sweep_views.html(sweep_id or "", t), gr.Button(interactive=resumable(sweep_id))]


def resumable(sweep_id: str | None) -> bool:
    """Whether there is something to go on with."""
    with contextlib.suppress(QTinkerError):  # none is chosen, or it was removed
        return store.open(sweep_id or "").state()["status"] in RESUMABLE
    return False


def ticked(mode: str | None) -> list[list[str]]:
    """The grid as a published list has it."""
    listed = pairs.MODES.get(mode or "", ())
    return [[student for teacher, student in listed if teacher == name] for name in pairs.TEACHERS]


def student_options(teacher: str | None, t: Texts) -> list[tuple[str, str]]:
    """Students for an own teacher: some of its layers, smaller models, shapes."""
    model = choices.find(teacher)
    if model is None:
        return []
    found = [(label.split("\n")[0], "@" + value.replace(",", "-")) for label, value in choices.layer_choices(model, t)]
    keeps = sorted({model.layers // 2, model.layers // 3} - {0, model.layers}, reverse=True) if model.layers else []
    found += [(t("sweep.any_layers", n=keep, of=model.layers, most=pairs.WAYS), f"@any-{keep}") for keep in keeps]
    found += [(label.split("\n")[0], name) for label, name in choices.student_choices(model, t)]
    return found + [(shape, shape) for shape in choices.SHAPES[:2]]


def begin_pairs(data: str, most: str, epochs: str, budget: str, methods: list[str], schemes: list[str],
                teacher: str | None, students: list[str] | None, *grid: list[str] | None) -> str:  # fmt: skip
    """Start a comparison of the pairs that are ticked.

    Raises:
        InputError: no pair is ticked, or a field holds something else than it should.
    """
    found = [f"{name},{student}" for name, row in zip(pairs.TEACHERS, grid, strict=True) for student in row or []
             if student in pairs.STUDENTS]  # fmt: skip
    if teacher and students:
        guard.model_name(teacher)
        found += [f"{teacher},{checked_student(student)}" for student in students]
    if not found:
        raise InputError("No pair is chosen.", "Tick students beside a teacher, or choose your own.")
    arguments = common_arguments(data, most, epochs, budget, methods, schemes)
    return tasks.start("compare", [*arguments, "--custom-pairs", *found], label="compare", button="sweep-pairs")


def begin_target(data: str, most: str, epochs: str, budget: str, methods: list[str], schemes: list[str],
                 teacher: str | None, biggest: str, slowest: str, least: str) -> str:  # fmt: skip
    """Start a search for a target.

    Raises:
        InputError: no target is given, or a field holds something else than it should.
    """
    arguments = [
        *common_arguments(data, most, epochs, budget, methods, schemes),
        "--teacher",
        guard.model_name(teacher),
    ]
    limits = (("--max-size", biggest, quantities.byte_count), ("--max-latency", slowest, quantities.milliseconds),
              ("--min-retention", least, quantities.share))  # fmt: skip
    given = [(flag, words(value, read)) for flag, value, read in limits if (value or "").strip()]
    if not given:
        raise InputError("No target is given.", "Fill in at least one: size, time or retention.")
    for flag, value in given:
        arguments += [flag, value]
    return tasks.start("compress", arguments, label="compress", button="sweep-target")


def begin_resume(sweep_id: str | None) -> str:
    """Go on with the chosen sweep.

    Raises:
        InputError: there is none, or it is not to be resumed.
    """
    sweep = store.open(sweep_id or "")
    if sweep.state()["status"] not in RESUMABLE:
        raise InputError(f"Sweep {sweep.id} is {sweep.state()['status']}: there is nothing to resume.")
    return tasks.start("sweeps", ["resume", sweep.id], label=sweep.id, button="sweep-resume")


def common_arguments(
    data: str, most: str, epochs: str, budget: str, methods: list[str], schemes: list[str]
) -> list[str]:
    """What both verbs take.

    Raises:
        InputError: a field holds something else than it should.
    """
    arguments = ["--data", guard.hub_or_file(data)]
    if count := (most or "").strip():
        if not count.isdecimal() or not 2 <= int(count) < 10**9:
            raise InputError(f"{count[:20]!r} is no number of examples.", "Leave it empty for all.")
        arguments += ["--max-examples", count]
    if (epochs or "").strip():
        arguments += ["--epochs", words(epochs, passes)]
    if (budget or "").strip():
        arguments += ["--budget", words(budget, quantities.seconds)]
    if chosen := [name for name in methods or [] if name in METHODS]:
        arguments += ["--methods", ",".join(chosen)]
    return [*arguments, "--schemes", ",".join(name for name in schemes or [] if name in SCHEMES) or "none"]


def words(value: str, read: Any) -> str:
    """What a quantity amounts to, as a plain number.

    Raises:
        InputError: it is none.
    """
    try:
        number = read(value.strip()[:40])
    except ValueError as error:
        raise InputError(f"{str(error)[:1].upper()}{str(error)[1:]}.") from None
    if not number > 0:
        raise InputError(f"{value.strip()[:40]!r} is not more than 0.")
    return str(number)


def passes(text: str) -> float:
    """How often the data is gone through.

    Raises:
        ValueError: it is no such number.
    """
    with contextlib.suppress(ValueError):
        if (number := float(text)) <= 10_000:
            return number
    raise ValueError(f"{text[:20]!r} is no number of epochs: write it as 3 or 0.5")


def checked_student(text: Any) -> str:
    """A student as the list offers it: layers, a shape, or a model.

    Raises:
        InputError: it is none of them.
    """
    student = str(text)
    try:
        from ..compare.spec import check_student

        check_student(student)
    except ValueError as error:
        raise InputError(str(error)) from None
    model = student.partition("@")[0]
    if model and not SHAPE.match(model):
        guard.model_name(model)
    return student
