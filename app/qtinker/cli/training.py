"""The verbs that make models by training: data, finetune, distill, run."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from ..compare.spec import SweepSpec
from ..errors import InputError, SpecError
from ..kinds import KINDS
from ..options import SettingOption, distill_options, finetune_options, in_options, part_options, to_data
from ..spec import DataSpec, RunSpec
from .border import Json, Outcome, takes_unicode

PrintSpec = typer.Option("--print-spec", help="Print the run as YAML (for: run SPEC.yaml) and start nothing.")


def register(app: typer.Typer) -> None:
    """Add the verbs to the program."""
    app.command("data")(with_options(show_data, data_options()))
    app.command("finetune")(with_options(finetune, finetune_options()))
    app.command("distill")(with_options(distill, distill_options()))
    app.command("run")(run)


def with_options(command: Callable[..., Any], options: list[SettingOption]) -> Callable[..., Any]:
    """The command with the settings as options; it gets those that were given as one dictionary, `settings`."""
    own = inspect.signature(command, eval_str=True)
    kept = [each for each in own.parameters.values() if each.name != "settings"]
    added = []
    for each in options:
        kind = list[str] if each.repeatable else each.type
        values = f"[{'|'.join(get_args(each.type))}]" if each.repeatable else None
        info = typer.Option(*each.flags, help=each.help, show_default=False, rich_help_panel=each.panel, metavar=values)
        required = each.required and each.path != ("student", "model")
        added.append(
            inspect.Parameter(
                each.parameter,
                inspect.Parameter.KEYWORD_ONLY,
                annotation=Annotated[kind if required else kind | None, info],
                default=inspect.Parameter.empty if required else None,
            )
        )
    kept = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in kept]

    def called(**values: Any) -> Any:
        settings = {each.parameter: values.pop(each.parameter) for each in options}
        return command(settings=settings, **values)

    called.__name__, called.__doc__ = command.__name__, command.__doc__
    called.__signature__ = inspect.Signature([*kept, *added])  # type: ignore[attr-defined]
    called.__annotations__ = {each.name: each.annotation for each in [*kept, *added]}
    return called


def data_options() -> list[SettingOption]:
    """The settings of the data but for the file itself, which `data` takes as its argument."""
    return [each for each in part_options("data") if each.path[-1] != "train"]


def spec_of(options: list[SettingOption], settings: dict[str, Any], **fixed: Any) -> RunSpec:
    """The RunSpec that the options amount to; its problems are named by option."""
    data = to_data(options, settings)
    for key, value in fixed.items():
        data.setdefault(key, {}).update(value)
    try:
        return RunSpec.parse(data)
    except SpecError as error:
        raise in_options(error, options) from None


def print_spec(spec: RunSpec | SweepSpec) -> Outcome:
    """The spec as YAML for people (escaped where the output is not UTF-8, which `load` reads), as data for programs."""
    data = {"spec": spec.model_dump(mode="json"), "yaml": spec.to_yaml()}
    return Outcome(data, lambda: print(spec.to_yaml(in_ascii=not takes_unicode(sys.stdout)), end=""))


def execute(spec: RunSpec, options: Sequence[SettingOption] = ()) -> Outcome:
    """Run a spec here, drawing its events; Ctrl-C finishes the step, saves and says how to go on.

    Problems are named by those options that the user has, and the model of `finetune` by MODEL.
    """
    from .. import api, console
    from . import show

    try:
        with console.Drawing() as drawing:
            result = api.run(spec, on_event=drawing)
    except SpecError as error:
        if not options:
            raise
        named = in_options(error, list(options)).problems
        raise SpecError([
            replace(problem, field="MODEL") if problem.field == "student.model" else problem for problem in named
        ]) from None  # fmt: skip
    return Outcome(result, lambda: show.run(result))


def distill(
    *,
    settings: dict[str, Any],
    print_spec_only: Annotated[bool, PrintSpec] = False,
    json: Annotated[bool, Json] = False,
) -> Outcome:
    """Train a small student to imitate a teacher.

    The student is a model (--student), some of the teacher's own layers (--student-layers) or a shape with random
    weights (--student-shape).
    """
    spec = spec_of(distill_options(), settings)
    return print_spec(spec) if print_spec_only else execute(spec, distill_options())


def finetune(
    model: Annotated[str | None, typer.Argument(help="Catalog name, registry name or folder.")] = None,
    *,
    named: Annotated[str | None, typer.Option("--model", help="The same, as an option.")] = None,
    settings: dict[str, Any],
    print_spec_only: Annotated[bool, PrintSpec] = False,
    json: Annotated[bool, Json] = False,
) -> Outcome:
    """Train a model on labelled data: a teacher."""
    options = finetune_options()
    if model and named:
        raise InputError(f"Two models are named: {model} and {named}.", "Name one.")
    model = model or named
    if model is None:
        raise InputError("Name the model to train.", "For example: python3 app finetune bert-small --data FILE")
    spec = spec_of(options, settings, student={"model": model})
    return print_spec(spec) if print_spec_only else execute(spec, options)


def run(
    spec_file: Annotated[
        Path, typer.Argument(metavar="SPEC.yaml", help="A run as YAML; distill --print-spec makes one.")
    ],
    print_spec_only: Annotated[bool, PrintSpec] = False,
    json: Annotated[bool, Json] = False,
) -> Outcome:
    """Do everything that a YAML file says.

    Finetune, distil, compare with a control, quantize, measure.
    """
    spec = RunSpec.load(spec_file)
    return print_spec(spec) if print_spec_only else execute(spec)


def show_data(
    file: Annotated[str, typer.Argument(metavar="DATA", help=DataSpec.model_fields["train"].description)],
    *,
    settings: dict[str, Any],
    tokenizer: Annotated[
        str | None,
        typer.Option("--tokenizer", help="Count tokens as this model does: catalog name, registry name or folder."),
    ] = None,
    task: Annotated[str, typer.Option("--task", help=f"auto, or one of: {', '.join(KINDS)}.")] = "auto",
    json: Annotated[bool, Json] = False,
) -> Outcome:
    """Show what training would see of your data.

    Columns, rows, balance of the classes, lengths in tokens, examples, and what is odd.
    """
    from .. import api
    from . import show

    spec = spec_of(data_options(), settings, student={"model": "any"}, data={"train": file})
    result = api.data(spec.data, tokenizer=tokenizer, task=task)
    return Outcome(result, lambda: show.data(result))
