"""The verb extras: which optional libraries are here, and installing those that are not."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ..console import table
from .border import Json, Outcome


def register(app: typer.Typer) -> None:
    """Add the verb to the program."""
    app.command("extras")(extras)


def extras(
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME...", help="Install these; left out: list.")] = None,
    json: Annotated[bool, Json] = False,
) -> Outcome:
    """List the optional libraries, or install some.

    They go into QTinker's own environment, by pip. What each is for: docs/quantization.md and docs/export.md.
    """
    from ..runtime import extras as known

    installed = {name: known.install(name) for name in names or []}
    found = {
        name: {
            "packages": known.packages(name),
            "installed": known.is_here(name),
            "command": known.install_command(name),
        }
        for name in known.EXTRAS
    }
    return Outcome({"extras": found, "newly_installed": installed}, lambda: show(found, installed))


def show(found: dict[str, dict[str, Any]], installed: dict[str, list[str]]) -> None:
    """What was installed, or a line an extra."""
    for name, packages in installed.items():
        print(f"{name}: installed {', '.join(packages)}" if packages else f"{name}: was here already")
    if not installed:
        rows = [
            [name, "yes" if each["installed"] else "no", ", ".join(each["packages"])] for name, each in found.items()
        ]
        print(table(["extra", "installed", "packages"], rows, left=3))
        print("Install one: python3 app extras NAME")
