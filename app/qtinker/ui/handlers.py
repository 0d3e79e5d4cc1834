"""Turns what goes wrong in a handler into words: no exception of ours or of others reaches the browser."""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable
from logging.handlers import RotatingFileHandler
from typing import Any

import gradio as gr

from ..errors import QTinkerError
from ..home import home
from .format import escaped_words
from .texts import Texts

log = logging.getLogger("qtinker.ui")


def log_to_file() -> None:
    """Full traces go to ui.log in the home folder, a few megabytes at most."""
    if any(isinstance(handler, RotatingFileHandler) for handler in log.handlers):
        return
    try:
        home().mkdir(parents=True, exist_ok=True)
        handler = RotatingFileHandler(home() / "ui.log", maxBytes=2_000_000, backupCount=1, encoding="utf-8")
    except OSError:
        return
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False


def words_of(error: BaseException, t: Texts) -> str:
    """What the user is told of an error; the trace of an unexpected one goes to the log."""
    if isinstance(error, QTinkerError):
        return " ".join(t.said(part) for part in (error.message, error.fix) if part)
    log.error("unexpected: %r", error, exc_info=error)
    return t("error.unexpected", log=str(home() / "ui.log"))


def safe(t: Texts, *, quiet: bool = False) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Wrap a handler: an error becomes a notice (unless `quiet`), and nothing on the page changes."""

    def wrap(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def handler(*args: Any, **kwargs: Any) -> Any:
            try:
                return function(*args, **kwargs)
            except gr.Error:
                raise
            except Exception as error:
                words = words_of(error, t)
                if not quiet:
                    gr.Warning(escaped_words(words, 600), duration=12, title=t("error.title"))
                return gr.skip()

        # Gradio decides by the signature whether to pass the request or the event.
        handler.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
        return handler

    return wrap
