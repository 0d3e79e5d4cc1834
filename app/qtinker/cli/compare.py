"""The verbs that answer by measurement: compare (many pairs), compress (a target), sweeps (what they left behind)."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from ..compare.spec import SweepSpec
from ..compare.verbs import sweep_options
from ..errors import InputError, SpecError
from ..options import in_options, to_data
from .border import Json, Outcome, to_json
from .models import ask
from .training import print_spec, with_options

PrintSpec = typer.Option("--print-spec", help="Print the sweep as YAML (for: --spec FILE) and start nothing.")
SpecFile = typer.Option("--spec", help="Take everything from this YAML file, as --print-spec makes it.")
SweepId = typer.Argument(metavar="ID", help="A sweep's id, as `sweeps` shows it; last: the newest.")


def register(app: typer.Typer) -> None:
    """Add the verbs to the program."""
    for verb, command in (("compare", compare), ("compress", compress)):
        app.command(verb)(with_options(command, _relaxed(verb)))
    sweeps = typer.Typer(invoke_without_command=True)
    sweeps.callback()(sweeps_root)
    sweeps.command("list")(list_sweeps)
    sweeps.command("show")(show)
    sweeps.command("resume")(resume)
    sweeps.command("stop")(stop)
    sweeps.command("remove")(remove)
    app.add_typer(sweeps, name="sweeps")


def _relaxed(verb: str) -> list[Any]:
    """The options, none of them required: a file may give them."""
    import dataclasses

    return [dataclasses.replace(each, required=False) for each in sweep_options(verb)]


def compare(
    more_pairs: Annotated[list[str] | None, typer.Argument(metavar="[TEACHER,STUDENT]...", help="More pairs.")] = None,
    *,
    settings: dict[str, Any],
    custom_pairs: Annotated[
        list[str] | None,
        typer.Option(
            "--custom-pairs", metavar="TEACHER,STUDENT", help=SweepSpec.model_fields["custom_pairs"].description
        ),
    ] = None,
    spec_file: Annotated[Path | None, SpecFile] = None,
    print_spec_only: Annotated[bool, PrintSpec] = False,
    json: Annotated[bool, Json] = False,
) -> Outcome:
    """Compare teacher-student pairs on your data: quality, size, speed.

    Trains, quantizes and measures each pair, stops early what is far behind, and recommends from the figures. With
    neither --mode nor --custom-pairs: --mode quick.
    """
    pairs = [*(custom_pairs or []), *(more_pairs or [])]
    return _run(_spec("compare", settings, spec_file, {"custom_pairs": pairs} if pairs else {}), print_spec_only, json)


def compress(
    *,
    settings: dict[str, Any],
    spec_file: Annotated[Path | None, SpecFile] = None,
    print_spec_only: Annotated[bool, PrintSpec] = False,
    json: Annotated[bool, Json] = False,
) -> Outcome:
    """Search the smallest or best model that keeps to a target.

    The target is any of --max-size, --max-latency and --min-retention; student, layers, method and quantization are
    searched together.
    """
    return _run(_spec("compress", settings, spec_file, {}), print_spec_only, json)


def _spec(verb: str, settings: dict[str, Any], file: Path | None, more: dict[str, Any]) -> SweepSpec:
    options = sweep_options(verb)
    data = to_data(options, settings) | more
    if file is not None:
        if data:
            raise InputError("Both --spec and settings were given.", "Put the settings into the file.")
        spec = SweepSpec.load(file)
        if spec.kind != verb:
            raise InputError(f"{file} is a spec for {spec.kind}.", f"Run: python3 app {spec.kind} --spec {file}")
        return spec
    if "data" not in data or "train" not in data["data"]:
        raise InputError("Name the data.", f"For example: python3 app {verb} --data FILE")
    try:
        return SweepSpec.parse(data | {"kind": verb})
    except SpecError as error:
        raise in_options(error, options) from None


def _run(spec: SweepSpec, print_spec_only: bool, as_json: bool) -> Outcome:
    if print_spec_only:
        return print_spec(spec)
    from .. import api, console

    verb = api.compare if spec.kind == "compare" else api.compress
    with console.Drawing() as drawing:
        result = verb(spec, on_event=_tell if as_json else drawing)
    return Outcome(result, lambda: _show(result))


def _tell(event: dict[str, Any]) -> None:
    """How far the sweep is, for other programs: a JSON object a line."""
    if event["kind"] == "sweep":
        line = {"progress": event["progress"], "step": event["message"], "sweep": event["sweep"]}
        print(to_json(line, sys.stderr), file=sys.stderr, flush=True)


def _show(result: dict[str, Any]) -> None:
    from ..compare.report import to_text

    print(to_text(result))


def sweeps_root(context: typer.Context, json: Annotated[bool, Json] = False) -> Outcome | None:
    """List, resume and remove comparisons and searches."""
    return list_sweeps(json=json) if context.invoked_subcommand is None else None


def list_sweeps(json: Annotated[bool, Json] = False) -> Outcome:
    """List the sweeps, newest first."""
    from .. import api
    from ..console import table
    from .show import when

    result = api.sweeps()

    def shown() -> None:
        rows = [[each["id"], each["kind"], each["status"], f"{each['progress']:.0%}", when(each["created"]),
                 each["message"]] for each in result["sweeps"]]  # fmt: skip
        print(table(["id", "kind", "status", "done", "created", "at"], rows, left=3) if rows
              else "No sweeps yet. Begin with: python3 app compare --data FILE")  # fmt: skip

    return Outcome(result, shown)


def show(sweep_id: Annotated[str, SweepId], json: Annotated[bool, Json] = False) -> Outcome:
    """Show one sweep: how far it is, or its report."""
    from .. import api

    result = api.show_sweep(sweep_id)

    def shown() -> None:
        if result["report"] and result["status"] == "done":
            _show(result["report"])
            return
        print(f"{result['id']}: {result['status']}, {result['message']}")
        for name, entry in result["candidates"].items():
            reason = f": {entry['reason']}" if entry["reason"] else ""
            print(f"  {name}: {entry['status']}, {entry['share']:.0%} trained{reason}")
        if result["status"] in ("stopped", "interrupted", "failed"):
            print(f"Go on with: python3 app sweeps resume {result['id']}")

    return Outcome(result, shown)


def resume(
    sweep_id: Annotated[str, SweepId],
    budget: Annotated[str | None, typer.Option("--budget", help="A new budget for all attempts together.")] = None,
    json: Annotated[bool, Json] = False,
) -> Outcome:
    """Go on with a sweep; what is finished is not repeated."""
    from .. import api, console

    with console.Drawing() as drawing:
        result = api.resume_sweep(sweep_id, budget=budget, on_event=_tell if json else drawing)
    return Outcome(result, lambda: _show(result))


def stop(sweep_id: Annotated[str, SweepId], json: Annotated[bool, Json] = False) -> Outcome:
    """Ask a sweep to finish its step, save and end; it can be resumed."""
    from .. import api

    result = api.stop_sweep(sweep_id)
    return Outcome(
        result, lambda: print(f"{result['id']}: stopping. Go on later: python3 app sweeps resume {result['id']}")
    )


def remove(
    sweep_ids: Annotated[list[str], typer.Argument(metavar="ID...", help="Sweeps' ids.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
    json: Annotated[bool, Json] = False,
) -> Outcome:
    """Delete sweeps' folders, after asking; their runs and models stay."""
    from .. import api

    if not yes:
        ask(f"Delete the sweeps {', '.join(sweep_ids)}?")
    result = api.remove_sweeps(sweep_ids)
    return Outcome(result, lambda: print(f"Removed {', '.join(result['removed'])}."))
