"""The program: every verb, in the order in which a newcomer meets them."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from . import extras, measuring, models, page, project, training, trimming
from .border import Json, Outcome
from .compare import register as register_compare
from .runs import app as runs_app


def build() -> typer.Typer:
    """The Typer application. Help is plain text, so that it comes at once and looks the same everywhere."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.callback(invoke_without_command=True)(root)
    project.register(app)
    models.register(app)
    training.register(app)
    trimming.register(app)
    register_compare(app)
    measuring.register(app)
    extras.register(app)
    page.register(app)
    app.add_typer(runs_app, name="runs")
    return app


def root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and end.")] = False,
    json: Annotated[bool, Json] = False,
) -> Any:
    """Distil, quantize and measure BERT models: smaller, faster, and shown to be.

    Begin with: demo. It trains, distils and quantizes small models on bundled data in a few minutes.
    """
    if version:
        text = project.version_text()
        return Outcome({"version": text}, lambda: print(text))
    if context.invoked_subcommand is None:
        print(context.get_help())
    return None
