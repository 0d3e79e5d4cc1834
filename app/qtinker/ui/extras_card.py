"""The card of the Quantize page that installs extras: what is not here, a button each, and what is here now."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import gradio as gr

from ..errors import InputError
from ..runtime import extras
from . import page, tasks
from .app import Shell
from .format import esc
from .handlers import safe
from .tasks_view import Starter


def build(shell: Shell, offer: Callable[..., list[Any]], chosen: list[Any], drawn: list[Any]) -> list[Any]:
    """A button for each extra; when one is done, `offer` tells from `chosen` what `drawn` offers now.

    Returns what `installable` shows.
    """
    t = shell.t

    def ended(*values: str) -> list[Any]:
        return [*offer(*values), *[gr.Button(visible=each) for each in lacking_extras()]]

    with gr.Column(elem_classes="qt-card", elem_id="qt-extras") as card:
        gr.HTML(page.title(t("quantize.extras"), t("quantize.extras_lead")))
        shown: list[Any] = [card]
        starters = []
        for extra in extras.EXTRAS:
            brings = t("quantize.extra_brings", name=extra, names=", ".join(extras.packages(extra)))
            with gr.Column() as part:
                gr.HTML(f'<p class="qt-small">{esc(brings)}</p>')
                starter = Starter(
                    shell, f"extra-{extra}", verb="extras", label=t("quantize.extra_install", name=extra),
                    begin=lambda extra=extra: begin_install(extra), done=lambda task: t("quantize.extra_done"),
                )  # fmt: skip
            starters.append(starter)
            shown.append(part)
    for starter in starters:
        starter.bind([], safe(t)(ended), chosen, [*drawn, *[each.button for each in starters]])
    return shown


def installable() -> list[Any]:
    """The card of what can be installed, and in it each extra that is not here, as it is now."""
    importlib.invalidate_caches()
    missing = lacking_extras()
    return [gr.Column(visible=any(missing)), *[gr.Column(visible=each) for each in missing]]


def lacking_extras() -> list[bool]:
    """Of each extra, whether it is not here."""
    return [not extras.is_here(extra) for extra in extras.EXTRAS]


def begin_install(extra: str) -> str:
    """Start installing an extra into this environment."""
    if extra not in extras.EXTRAS:
        raise InputError(f"There is no extra {str(extra)[:40]!r}.", f"Choose of: {', '.join(extras.EXTRAS)}.")
    return tasks.start("extras", [extra], label=extra, button=f"extra-{extra}")


def installed() -> str:
    """The extras that are here, looked up anew."""
    importlib.invalidate_caches()
    return ",".join(extra for extra in extras.EXTRAS if extras.is_here(extra))
