"""A button that starts a task, and what is drawn of it while it goes on: progress, stop, the words at its end."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import gradio as gr

from ..errors import QTinkerError
from . import guard, page, tasks
from .format import duration, percent, size
from .handlers import safe
from .texts import Texts

POLL_SECONDS = 0.7


def task_html(task: tasks.Task, t: Texts, *, done: str = "") -> str:
    """A task as a bar, or as the words of its end."""
    if task.going_on:
        return progress_html(task, t)
    if task.status == "failed":
        head = t("task.failed", name=task.label or task.verb)
        return page.note(t.said(task.error), "bad", head=head, fix=t.said(task.fix))
    if task.status == "stopped":
        return page.note(t("task.stopped", name=task.label or task.verb), "warn")
    return page.note(done or t("task.done", name=task.label or task.verb), "good")


def progress_html(task: tasks.Task, t: Texts) -> str:
    """The bar of a task that goes on; downloads say bytes, speed and time left, other verbs their step."""
    now = task.progress
    name = str(now.get("name") or task.label or task.verb)
    if isinstance(now.get("step"), str):
        share = now.get("progress")
        words = f"{name}: {t.said(now['step'])}"
        if not isinstance(share, int | float):
            return page.progress(None, words, "", label=words)
        return page.progress(share, f"{words} · {percent(share, 0)}", "", label=words)
    phase = str(now.get("phase") or "")
    words = f"{name}: {t.get(f'task.phase_{phase}', phase) or t('task.starting')}"
    total, done = now.get("total"), now.get("done")
    if not isinstance(total, int | float) or not isinstance(done, int | float) or total <= 0:
        return page.progress(None, words, "", label=words)
    share, details = done / total, []
    if phase == "download":
        details = [t("task.of", done=size(done), total=size(total))]
        if now.get("speed"):
            details.append(f"{size(now['speed'])}/s")
        if now.get("eta") is not None:
            details.append(t("runs.eta", time=duration(now["eta"])))
    return page.progress(share, f"{words} · {percent(share, 0)}", " · ".join(details), label=words)


class Starter:
    """A button that starts a task, with its bar and a Stop button below.

    The task's id is kept by the browser and found again on disk, so a reload or a restarted server goes on showing it;
    with `keep` also what it came to. What is wrong with the fields is said where the bar would be.
    """

    def __init__(
        self, shell: Any, key: str, *, verb: str, label: str, begin: Callable[..., str], visible: bool = True,
        variant: Any = "secondary", done: Callable[[tasks.Task], str] | None = None, keep: bool = False,
    ) -> None:  # fmt: skip
        self.t: Texts = shell.t
        self.quiet: dict[str, Any] = shell.quiet
        self.key, self.verb, self.begin, self.done, self.keep = key, verb, begin, done, keep
        with gr.Row(elem_classes="qt-actions"):
            self.button = gr.Button(
                label,
                visible=visible,
                size="sm" if variant == "secondary" else "md",
                variant=variant,
                elem_id=f"qt-do-{key}",
            )
            self.stop = gr.Button(self.t("task.stop"), visible=False, size="sm", variant="stop")
        self.view = gr.HTML(elem_id=f"qt-doing-{key}")
        self.task = gr.Textbox(visible=False)
        self.timer = gr.Timer(POLL_SECONDS, active=False)
        shell.loaded(safe(self.t, quiet=True)(self.find), [], [self.task, self.timer])

    def bind(
        self,
        source: list[Any],
        done: Callable[..., Any] | None,
        inputs: list[Any],
        outputs: list[Any],
        *,
        js: str | None = None,
        **how: Any,
    ) -> None:
        """Start on a click with the values of `source`; when the task has ended, call `done`.

        Args:
            how: further settings of that call.
        """
        mine = [self.task, self.view, self.timer, self.stop]
        self.button.click(safe(self.t)(self.start), source, mine, **self.quiet)
        ticked = self.timer.tick(safe(self.t, quiet=True)(self.tick), [self.task], mine, queue=False, **self.quiet)
        ended = gr.Textbox(visible=False)  # the id of the task that ended last
        ticked.then(self.has_ended, [self.task], [ended], queue=False, **self.quiet)
        ended.change(done, inputs or ([ended] if js else []), outputs, js=js, **self.quiet | how)
        self.stop.click(safe(self.t)(self.end), [self.task], mine, **self.quiet)
        if self.verb == "download" and source:  # what came of another model's download is no longer of interest
            source[0].change(self.let_go, [self.task, source[0]], [self.task, self.view], queue=False, **self.quiet)

    def start(self, *values: Any) -> list[Any]:
        """Begin the task, or say what is wrong with the fields."""
        try:
            return self.show(self.begin(*values))
        except QTinkerError as error:
            words = page.note(self.t.said(error.message), "bad", fix=self.t.said(error.fix))
            return [gr.skip(), words, gr.skip(), gr.skip()]

    def tick(self, task_id: str) -> list[Any]:
        return self.show(task_id) if task_id else ["", "", gr.Timer(active=False), gr.Button(visible=False)]

    def has_ended(self, task_id: str) -> Any:
        """The id, once the task has ended well."""
        try:
            return task_id if task_id and tasks.read(task_id).status == "done" else gr.skip()
        except QTinkerError:
            return gr.skip()

    def let_go(self, task_id: str, model: str | None) -> list[Any]:
        """Show a task no longer, unless it goes on or is of this model (which is in a group once it is here), or none
        is chosen."""
        if not model:
            return [gr.skip(), gr.skip()]
        with contextlib.suppress(QTinkerError):
            if task_id and ((task := tasks.read(task_id)).going_on or task.label == model.split("/")[-1]):
                return [gr.skip(), gr.skip()]
        return ["", ""]

    def end(self, task_id: str) -> list[Any]:
        tasks.stop(task_id)
        return self.show(task_id)

    def show(self, task_id: str) -> list[Any]:
        try:
            task = tasks.read(task_id)
        except QTinkerError:
            return ["", "", gr.Timer(active=False), gr.Button(visible=False)]
        if not task.going_on:
            tasks.seen(task)
        return [
            task_id,
            task_html(task, self.t, done=self._words(task)),
            gr.Timer(active=task.going_on),
            gr.Button(visible=task.going_on),
        ]

    def _words(self, task: tasks.Task) -> str:
        return self.done(task) if self.done and task.status == "done" else ""

    def find(self) -> list[Any]:
        """On loading the page: the task that this button began last is shown again, where it is still of interest."""
        last = tasks.to_show(self.verb, self.key, keep=self.keep)
        return [gr.skip(), gr.skip()] if last is None else [last.id, gr.Timer(active=True)]


def download(name: str, *, button: str = "") -> str:
    """Begin a download, or join the one of this model that goes on already."""
    name = guard.model_name(name)
    running = next((task for task in tasks.going_on("download") if task.label == name), None)
    return running.id if running else tasks.start("download", [name], label=name, button=button)


def downloader(shell: Any, key: str) -> Starter:
    """A Download button: fetches the model that a field names, in place."""

    def begin(name: str) -> str:
        return download(name, button=key)

    return Starter(shell, key, verb="download", label=shell.t("task.download"), begin=begin, visible=False)
