"""Where a data file is dropped on the page: it is moved to where runs find it again, and a field then names it."""

from __future__ import annotations

from typing import Any

import gradio as gr

from ..errors import InputError
from . import guard
from .format import esc
from .handlers import safe, words_of
from .texts import Texts


def drop(label: str, elem_id: str, *, visible: bool = True) -> Any:
    """The area that takes a data file, or any other, which is answered in the page's words."""
    return gr.File(label=label, visible=visible, height=124, elem_classes="qt-drop", elem_id=elem_id)


def fills(area: Any, source: Any, shell: Any) -> None:
    """Let what is dropped fill the field `source`."""
    area.upload(safe(shell.t)(lambda path: kept(path, shell.t)), [area], [source, area], **shell.quiet)


def kept(path: str, t: Texts) -> list[Any]:
    """The field's new value, and the area empty again; a file that is refused takes the one before it away too."""
    try:
        return [guard.keep_upload(path), gr.File(value=None)]
    except InputError as error:
        gr.Warning(esc(words_of(error, t)), duration=12, title=t("error.title"))
        return ["", gr.File(value=None)]
