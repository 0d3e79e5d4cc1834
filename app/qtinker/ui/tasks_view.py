"""A button that starts a task, and what is drawn of it while it goes on: progress, stop, the words at its end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from ..errors import QTinkerError
from . import guard, page, tasks
from .format import duration, percent, size
from .handlers import safe
from .texts import Texts

POLL_SECONDS = 0.7
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}


def task_html(task: tasks.Task, t: Texts, *, done: str = "") -> str:
    """A task as a bar, or as the words of its end."""
    if task.going_on:
        return progress_html(task, t)
    if task.status == "failed":
        return page.note(task.error, "bad", head=t("task.failed", name=task.label or task.verb))
    if task.status == "stopped":
        return page.note(t("task.stopped", name=task.label or task.verb), "warn")
    return page.note(done or t("task.done", name=task.label or task.verb), "good")


def progress_html(task: tasks.Task, t: Texts) -> str:
    """The bar of a task that goes on; downloads say bytes, speed and time left."""
    now = task.progress
    name = str(now.get("name") or task.label or task.verb)
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


class Downloader:
    """A Download button with its bar: fetches the model that a field names, in place.

    The task's id is kept by the browser, so a reload or a restarted server goes on showing it.
    """

    def __init__(self, shell: Any, key: str) -> None:
        self.t: Texts = shell.t
        with gr.Row(elem_classes="qt-actions"):
            self.button = gr.Button(self.t("task.download"), visible=False, size="sm", elem_id=f"qt-download-{key}")
            self.stop = gr.Button(self.t("task.stop"), visible=False, size="sm", variant="stop")
        self.view = gr.HTML(elem_id=f"qt-downloading-{key}")
        self.task = gr.Textbox(visible=False)
        self.timer = gr.Timer(POLL_SECONDS, active=False)
        shell.loaded(safe(self.t, quiet=True)(self.find), [], [self.task, self.timer])

    def bind(self, source: list[Any], done: Callable[..., Any], inputs: list[Any], outputs: list[Any]) -> None:
        """Start on a click with the field's model; when it is here, call `done`."""
        mine = [self.task, self.view, self.timer, self.stop]
        self.button.click(safe(self.t)(self.start), source, mine, **QUIET)
        ticked = self.timer.tick(safe(self.t, quiet=True)(self.tick), [self.task], mine, queue=False, **QUIET)
        ended = gr.State(False)
        ticked.then(lambda task: not _going_on(task), [self.task], [ended], queue=False, **QUIET)
        ended.change(done, inputs, outputs, **QUIET)
        self.stop.click(safe(self.t)(self.end), [self.task], mine, **QUIET)

    def start(self, name: str) -> list[Any]:
        """Begin, or join the download of this model that goes on already."""
        name = guard.model_name(name)
        running = next((task for task in tasks.going_on("download") if task.label == name), None)
        task_id = running.id if running else tasks.start("download", [name], label=name)
        return self.show(task_id)

    def tick(self, task_id: str) -> list[Any]:
        return self.show(task_id) if task_id else [gr.skip(), "", gr.Timer(active=False), gr.Button(visible=False)]

    def end(self, task_id: str) -> list[Any]:
        tasks.stop(task_id)
        return self.show(task_id)

    def show(self, task_id: str) -> list[Any]:
        try:
            task = tasks.read(task_id)
        except QTinkerError:
            return ["", "", gr.Timer(active=False), gr.Button(visible=False)]
        return [
            task_id, task_html(task, self.t), gr.Timer(active=task.going_on), gr.Button(visible=task.going_on)
        ]  # fmt: skip

    def find(self) -> list[Any]:
        """On loading the page: a download that goes on is shown again."""
        running = tasks.going_on("download")
        return [running[0].id, gr.Timer(active=True)] if running else [gr.skip(), gr.skip()]


def _going_on(task_id: str) -> bool:
    try:
        return bool(task_id) and tasks.read(task_id).going_on
    except QTinkerError:
        return False
