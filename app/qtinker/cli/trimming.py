"""The verb trim: a smaller vocabulary for a model."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from .border import Json, Outcome


def register(app: typer.Typer) -> None:
    """Add the verb to the program."""
    app.command("trim")(trim)


def trim(
    model: Annotated[str, typer.Argument(help="Registry name, catalog name or folder.")],
    data: Annotated[
        str | None,
        typer.Option("--data", help="Keep what these examples need: a file, a Hub data set id, or 'sample'."),
    ] = None,
    text: Annotated[Path | None, typer.Option("--text", help="Keep what this plain text (UTF-8) needs.")] = None,
    keep: Annotated[
        list[str] | None, typer.Option("--keep", metavar="WORD", help="Keep what this needs too; may be repeated.")
    ] = None,
    script: Annotated[
        list[str] | None,
        typer.Option(
            "--script",
            metavar="NAME",
            help="Keep all tokens in this script: latin, cyrillic, cjk, ...; may be repeated.",
        ),
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="Its name in the registry; left out: made.")] = None,
    json: Annotated[bool, Json] = False,
) -> Outcome:
    """Cut a model's vocabulary to the tokens that your texts need.

    Single characters and special tokens stay. Covered text is answered bit for bit as before.
    """
    from .. import api
    from . import show

    result = api.trim(
        model, data=data, text=text, keep=keep or (), script=script or (), name=name,
        progress=lambda line: print(line, file=sys.stderr, flush=True),
    )  # fmt: skip
    return Outcome(result, lambda: show.quantized(result))
