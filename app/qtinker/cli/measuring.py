"""The verbs on finished models: quantize, export, evaluate, predict."""

from __future__ import annotations

import csv
import io
import sys
from json import dumps
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from ..errors import EXIT_FAILED, InputError
from ..export.formats import FORMATS
from ..spec import Scheme
from .border import Json, Outcome

Device = typer.Option("--device", help="auto, cpu, cuda, cuda:1 or mps.")
Threads = typer.Option("--threads", min=1, max=4096, help="Processor threads; left out: all cores.")
BatchSize = typer.Option("--batch-size", min=1, help="Texts at a time.")
# Where the steps of these verbs begin, as shares of their time: load, make, compare, kept.
QUANTIZE_STEPS = (0.05, 0.4, 0.6, 1.0)
EXPORT_STEPS = (0.05, 0.3, 0.65, 1.0)
MODEL = "Registry name, catalog name or folder."


def register(app: typer.Typer) -> None:
    """Add the verbs to the program."""
    app.command("quantize")(quantize)
    app.command("export")(export)
    app.command("evaluate")(evaluate)
    app.command("predict")(predict)


def quantize(
    model: Annotated[str, typer.Argument(help=MODEL)],
    scheme: Annotated[Scheme, typer.Option("--scheme", help=f"One of: {', '.join(get_args(Scheme))}.")],
    name: Annotated[str | None, typer.Option("--name", help="Its name in the registry; left out: made.")] = None,
    engine: Annotated[
        str, typer.Option("--engine", help="auto, torchao, compressed-tensors, onnxruntime or openvino.")
    ] = "auto",
    data: Annotated[
        str | None, typer.Option("--data", help="Examples to calibrate on and to compare with the source.")
    ] = None,
    max_loss: Annotated[
        float, typer.Option("--max-loss", min=0, max=100, help="For mixed: most points of the metric to lose.")
    ] = 0.5,
    device: Annotated[str, Device] = "cpu",
    force: Annotated[bool, typer.Option("--force", help="Keep it even if it answers differently.")] = False,
    json: Annotated[bool, Json] = False,
) -> Outcome:
    """Make a version of a model in fewer bits."""
    from .. import api, console
    from . import show

    steps = console.Steps(QUANTIZE_STEPS, as_json=json)
    result = api.quantize(model, scheme=scheme, name=name, engine=engine, data=data, device=device, force=force,
                          max_loss=max_loss, progress=steps)  # fmt: skip
    return Outcome(result, lambda: show.quantized(result))


def export(
    model: Annotated[str, typer.Argument(help=MODEL)],
    format: Annotated[str, typer.Option("--format", help=f"One of: {', '.join(FORMATS)}.")],
    out: Annotated[Path | None, typer.Option("--out", help="A new folder; left out: in the registry.")] = None,
    name: Annotated[str | None, typer.Option("--name", help="Its name in the registry; left out: made.")] = None,
    data: Annotated[str | None, typer.Option("--data", help="Examples to compare with the source.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Keep it even if it answers differently.")] = False,
    json: Annotated[bool, Json] = False,
) -> Outcome:
    """Write a model in a form that runs elsewhere."""
    from .. import api, console
    from . import show

    steps = console.Steps(EXPORT_STEPS, as_json=json)
    result = api.export(model, format=format, out=out, name=name, data=data, force=force, progress=steps)
    return Outcome(result, lambda: show.quantized(result))


def evaluate(
    models: Annotated[list[str], typer.Argument(metavar="MODEL...", help=MODEL)],
    data: Annotated[str, typer.Option("--data", help="Labelled data: a file, a Hub data set id, or 'sample'.")],
    text_column: Annotated[str | None, typer.Option("--text-column", help="The column with the text.")] = None,
    text_pair_column: Annotated[str | None, typer.Option("--text-pair-column", help="The second text.")] = None,
    label_column: Annotated[str | None, typer.Option("--label-column", help="The column with the label.")] = None,
    max_examples: Annotated[int | None, typer.Option("--max-examples", min=1, help="Use only so many.")] = None,
    batch_size: Annotated[int, BatchSize] = 32,
    device: Annotated[str, Device] = "cpu",
    threads: Annotated[int | None, Threads] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write tables and plot into this file too.")] = None,
    json: Annotated[bool, Json] = False,
) -> Outcome:
    """Measure models side by side.

    Quality, agreement with the first, size, latency, throughput, memory.
    """
    from .. import api, console
    from . import show

    if html is not None:
        check_writable(html)
    steps = console.Steps([number / len(models) for number in range(len(models))], as_json=json)
    result = api.evaluate(
        models, data=data, text_column=text_column, text_pair_column=text_pair_column, label_column=label_column,
        max_examples=max_examples, batch_size=batch_size, device=device, threads=threads, progress=steps,
    )  # fmt: skip
    outcome = Outcome(result, lambda: show.evaluation(result))
    try:
        if html is not None:
            write_page(result, html)
    except InputError as error:
        return unwritten(outcome, error)
    return outcome


def predict(
    model: Annotated[str, typer.Argument(help=MODEL)],
    texts: Annotated[
        list[str] | None, typer.Argument(metavar="TEXT...", help="Texts; - reads lines from input.")
    ] = None,
    file: Annotated[Path | None, typer.Option("--file", help="A file with a text a line.")] = None,
    pair: Annotated[
        str | None, typer.Option("--pair", help="A second text for each: the context of questions, for example.")
    ] = None,
    data: Annotated[
        str | None, typer.Option("--data", help="A file as trainings read it: CSV, JSONL, SQuAD, CoNLL, ...")
    ] = None,
    text_column: Annotated[str | None, typer.Option("--text-column", help="Of --data: the column of texts.")] = None,
    text_pair_column: Annotated[
        str | None, typer.Option("--text-pair-column", help="Of --data: that of the second texts.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", help="Write the answers into this file: .jsonl or .csv.")
    ] = None,
    batch_size: Annotated[int, BatchSize] = 32,
    device: Annotated[str, Device] = "cpu",
    threads: Annotated[int | None, Threads] = None,
    json: Annotated[bool, Json] = False,
) -> Outcome:
    """Answer texts, or those of a file, with a model."""
    from .. import api, console
    from . import show

    if output is not None and output.suffix not in (".jsonl", ".csv"):
        raise InputError(f"--output {output}: the answers are written as JSONL or CSV.", "End it in .jsonl or .csv.")
    if output is not None:
        check_writable(output)
    asked: list[Any] | None = None
    if data is None:
        asked = read_texts(texts or [], file)
        asked = asked if pair is None else [(text, pair) for text in asked]
    elif texts or file or pair is not None:
        raise InputError("Both --data and other texts were given.", "Leave one out.")
    with console.waiting(f"Loading {model} and answering"):
        result = api.predict(
            model, asked, data=data, text_column=text_column, text_pair_column=text_pair_column,
            batch_size=batch_size, device=device, threads=threads,
        )  # fmt: skip
    outcome = Outcome(result, lambda: show.predictions(result["predictions"]))
    if output is None:
        return outcome
    try:
        write_answers(result["predictions"], output)
    except InputError as error:
        return unwritten(outcome, error)
    return Outcome(result, lambda: print(f"{len(result['predictions']):,} answers are in {output}."))


def check_writable(file: Path) -> None:
    """Find out before the work whether its result can be written; what the file holds stays, and no new one is left.

    Raises:
        InputError: it can't, or there is no folder for it.
    """
    if file.exists() and not file.is_file() and not file.is_dir():
        return  # a pipe, whose reader would take this for the end, or a device
    place = file.resolve()
    if not place.parent.is_dir():
        raise InputError(f"There is no folder {place.parent}.", "Make it, or name another file.")
    new = not place.exists()
    try:
        place.open("a").close()
        if new:
            place.unlink()
    except OSError as error:
        raise InputError(f"Can't write {file}: {error}.", "Close it, or name another file.") from None


def unwritten(outcome: Outcome, error: InputError) -> Outcome:
    """What was found out, shown although its file could not be written in the end: a warning, a failure's status."""
    print(f"warning: {error}", file=sys.stderr, flush=True)
    outcome.status = EXIT_FAILED
    return outcome


def write_answers(rows: list[dict[str, Any]], file: Path) -> None:
    """An answer a line, as JSON objects or as a table, whose lists and probabilities are JSON in their cells.

    Raises:
        InputError: the file can't be written.
    """
    try:
        with file.open("w", encoding="utf-8", newline="") as out:
            if file.suffix == ".jsonl":
                out.writelines(dumps(row, ensure_ascii=False) + "\n" for row in rows)
                return
            table = csv.DictWriter(out, list(rows[0]) if rows else ["text"])
            table.writeheader()
            for row in rows:
                table.writerow({
                    name: dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value
                    for name, value in row.items()
                })  # fmt: skip
    except OSError as error:
        raise InputError(f"Can't write {file}: {error}.") from None


def write_page(result: dict[str, Any], file: Path) -> None:
    """The comparison as one HTML file, as the page offers it: tables, plot, what was measured on what.

    Raises:
        InputError: the file can't be written.
    """
    from ..ui.report_views import comparison_page
    from ..ui.texts import Texts

    try:
        file.write_text(comparison_page(result, Texts("en")), encoding="utf-8")
    except OSError as error:
        raise InputError(f"Can't write {file}: {error}.") from None


def read_texts(texts: list[str], file: Path | None) -> list[str]:
    """The texts given, `-` replaced by the lines of standard input, then those of the file.

    Raises:
        InputError: there are none, one is empty, or the file can't be read.
    """
    found: list[str] = []
    for text in texts:
        if not text.strip():
            raise InputError(
                "A text is empty.", "Give words to answer; an empty line of a --file is answered as it is."
            )
        if text == "-" and isinstance(sys.stdin, io.TextIOWrapper):
            sys.stdin.reconfigure(errors="strict")  # the C locale lets any byte through, which no tokenizer takes
        try:
            found += [line.rstrip("\r\n").removeprefix("\ufeff") for line in sys.stdin] if text == "-" else [text]
        except UnicodeDecodeError as error:
            raise InputError(f"Can't read the standard input: {error}.", "It must be UTF-8.") from None
    if file is not None:
        try:
            with file.open(encoding="utf-8-sig") as lines:
                found += [line.rstrip("\n") for line in lines]
        except FileNotFoundError:
            raise InputError(f"There is no file {file}.") from None
        except UnicodeDecodeError as error:
            raise InputError(f"Can't read {file}: {error}.", "Save it as UTF-8.") from None
        except OSError as error:
            raise InputError(f"Can't read {file}: {error}.") from None
    if not found:
        raise InputError("Give at least one text.", 'For example: python3 app predict MODEL "A fine film."')
    return found
