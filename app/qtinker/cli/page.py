"""The verb that opens the page in a browser: ui."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from ..errors import InputError
from .border import Outcome

PASSWORD = "QTINKER_UI_PASSWORD"  # noqa: S105


def register(app: typer.Typer) -> None:
    """Add the verb to the program."""
    app.command("ui")(ui)


def ui(
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on; others than 127.0.0.1 need a user and password.")
    ] = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option("--port", min=0, max=65535, help="Left out: the first free one from 7860.")
    ] = None,
    open_browser: Annotated[bool, typer.Option("--open/--no-open", help="Open it in the browser.")] = True,
    user: Annotated[
        str | None, typer.Option("--user", help="Ask for this user; the password is in QTINKER_UI_PASSWORD.")
    ] = None,
    password_file: Annotated[
        Path | None, typer.Option("--password-file", help="Read the password from this file.")
    ] = None,
    mcp: Annotated[
        bool, typer.Option("--mcp", help="Also serve the endpoints as MCP tools (needs gradio[mcp]).")
    ] = False,
) -> Outcome | None:
    """Open the page: everything in a browser.

    Ctrl-C ends it; a run that goes on saves its state and can be resumed.
    """
    from ..ui import server

    login = credentials(user, password_file)
    server.serve(host=host, port=port, open_browser=open_browser and can_show(), login=login, mcp=mcp)
    return None


def can_show() -> bool:
    """Is there a screen that a browser could open on?"""
    import sys

    return sys.stdout.isatty() and (os.name == "nt" or sys.platform == "darwin" or bool(os.environ.get("DISPLAY")))


def credentials(user: str | None, password_file: Path | None) -> tuple[str, str] | None:
    """User and password, or None where none are asked for.

    Raises:
        InputError: a user without a password, or a password without a user.
    """
    password = os.environ.pop(PASSWORD, "")
    if password_file is not None:
        try:
            password = password_file.read_text(encoding="utf-8-sig").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"Can't read {password_file}: {error}.") from None
    if not user and not password:
        return None
    if not user or ":" in user:
        raise InputError("A password is given without a user.", "Add --user NAME (without a colon).")
    if not password:
        raise InputError(f"The user {user} has no password.", f"Set {PASSWORD} or give --password-file.")
    return user, password
