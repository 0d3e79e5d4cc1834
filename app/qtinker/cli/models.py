"""The verbs about models at hand: models, download, import."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ..errors import InputError, RunStopped
from .border import Json, Outcome

IMPORT_STEPS = {
    "unpack": "Unpacking",
    "convert": "Converting",
    "copy": "Copying the weights",
    "load": "Loading it once",
}


def register(app: typer.Typer) -> None:
    """Add the verbs to the program."""
    models = typer.Typer(invoke_without_command=True)
    models.callback()(models_root)
    models.command("list")(list_models)
    models.command("verify")(verify)
    models.command("remove")(remove)
    app.add_typer(models, name="models")
    app.command("download")(download)
    app.command("import")(import_model)


def models_root(context: typer.Context, json: Annotated[bool, Json] = False) -> Outcome | None:
    """List, verify and remove models."""
    return list_models(json=json) if context.invoked_subcommand is None else None


def list_models(json: Annotated[bool, Json] = False) -> Outcome:
    """List the registry (what is here) and the catalog (what can be fetched)."""
    from .. import api
    from . import show

    result = api.models()
    return Outcome(result, lambda: show.models(result))


def verify(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Registry names; all if none.")] = None,
    json: Annotated[bool, Json] = False,
) -> Outcome:
    """Read every file again and compare its SHA-256 with the recorded one."""
    from .. import api
    from . import show

    result = api.verify(names or None)
    return Outcome(result, lambda: show.verified(result), status=0 if result["ok"] else 1)


def remove(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Registry names.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
    json: Annotated[bool, Json] = False,
) -> Outcome:
    """Delete models from the registry, after asking."""
    from .. import api

    if not yes:
        ask(f"Delete {', '.join(names)}?")
    result = api.remove(names)
    return Outcome(result, lambda: print(f"Removed {', '.join(result['removed'])}."))


def download(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Names from the catalog.")] = None,
    which: Annotated[
        str | None,
        typer.Option("--set", help="recommended, students, teachers, multilingual, large or all.", metavar="SET"),
    ] = None,
    mirror: Annotated[
        str | None, typer.Option("--from", metavar="URL", help="A mirror of Google's storage (also: QTINKER_GCS).")
    ] = None,
    json: Annotated[bool, Json] = False,
) -> Outcome:
    """Fetch models from the catalog.

    They are verified and converted; a broken download goes on where it stopped.
    """
    from .. import api, console
    from . import show

    if not names and not which:
        raise InputError("Name what to fetch.", "For example: python3 app download --set recommended")
    try:
        with console.Downloads(as_json=json) as drawing:
            result = api.download(names or [], set=which, mirror=mirror, progress=drawing)
    except KeyboardInterrupt:
        raise RunStopped("The download was stopped.", "The same command goes on where it ended.") from None
    return Outcome(result, lambda: show.downloaded(result))


def import_model(
    path: Annotated[Path, typer.Argument(help="A Hugging Face folder, a Google checkpoint folder, or its zip.")],
    name: Annotated[
        str | None, typer.Option("--name", help="Its name in the registry; left out: the folder's.")
    ] = None,
    json: Annotated[bool, Json] = False,
) -> Outcome:
    """Bring a model of your own into the registry."""
    from .. import api, console

    steps = console.Steps([0.0], as_json=json)

    def tell(stage: str, done: int, total: int) -> None:
        start, end = {"unpack": (0.0, 0.3), "load": (0.8, 1.0)}.get(stage, (0.3, 0.8))
        steps.within(IMPORT_STEPS.get(stage, stage), start, end, done, total)

    result = api.import_model(path, name=name, progress=tell)
    return Outcome(result, lambda: print(f"Imported as {result['name']}: {result['path']}"))


def ask(question: str) -> None:
    """Go on only after a yes.

    Raises:
        InputError: nobody is there to answer, or the answer was no.
    """
    if not sys.stdin.isatty():
        raise InputError(f"{question} There is no terminal to answer on.", "Add --yes.")
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise InputError("Nothing was deleted.")
