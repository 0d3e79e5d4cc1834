"""The verbs about runs: runs list, show, stop, resume, remove, clean."""

from __future__ import annotations

from typing import Annotated

import typer

from .border import Json, Outcome
from .models import ask

app = typer.Typer(invoke_without_command=True)
RunId = typer.Argument(metavar="ID", help="A run's id, as `runs` shows it.")


@app.callback()
def root(context: typer.Context, json: Annotated[bool, Json] = False) -> Outcome | None:
    """List, stop, resume and remove runs."""
    return list_runs(json=json) if context.invoked_subcommand is None else None


@app.command("list")
def list_runs(json: Annotated[bool, Json] = False) -> Outcome:
    """List the runs, newest first."""
    from .. import api
    from . import show

    result = api.runs()
    return Outcome(result, lambda: show.runs(result["runs"]))


@app.command("show")
def show(run_id: Annotated[str, RunId], json: Annotated[bool, Json] = False) -> Outcome:
    """Show one run: what it does, how far it is, what came of it."""
    from .. import api
    from . import show

    result = api.show_run(run_id)
    return Outcome(result, lambda: show.run_state(result))


@app.command("stop")
def stop(run_id: Annotated[str, RunId], json: Annotated[bool, Json] = False) -> Outcome:
    """Ask a run to finish its step, save and end; it can be resumed."""
    from .. import api

    result = api.stop_run(run_id)
    return Outcome(
        result, lambda: print(f"{run_id}: {result['status']}. Go on later: python3 app runs resume {run_id}")
    )


@app.command("resume")
def resume(run_id: Annotated[str, RunId], json: Annotated[bool, Json] = False) -> Outcome:
    """Go on with a run that was stopped, interrupted or failed, here and now."""
    from .. import api, console
    from . import show

    with console.Drawing() as drawing:
        result = api.resume_run(run_id, on_event=drawing)
    return Outcome(result, lambda: show.run(result))


@app.command("remove")
def remove(
    run_ids: Annotated[list[str], typer.Argument(metavar="ID...", help="Runs' ids.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
    json: Annotated[bool, Json] = False,
) -> Outcome:
    """Delete runs' folders, after asking; the models that they made stay."""
    from .. import api

    if not yes:
        ask(f"Delete the runs {', '.join(run_ids)}?")
    result = api.remove_runs(run_ids)
    return Outcome(result, lambda: print(f"Removed {', '.join(result['removed'])}."))


@app.command("clean")
def clean(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False, json: Annotated[bool, Json] = False
) -> Outcome:
    """Free space: saved states of runs that are done, and what nothing needs of cache/ (it is made again)."""
    from .. import api

    if not yes:
        ask("Delete the caches and the saved states of runs that are done?")
    result = api.clean()
    return Outcome(result, lambda: print(f"Freed {result['bytes'] / 1e6:.1f} MB."))
