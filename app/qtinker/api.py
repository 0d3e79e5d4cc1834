"""The verbs as Python functions, the same that the command line and the page call.

    import qtinker
    report = qtinker.distill(teacher="my-teacher", student="bert-tiny", data="reviews.csv", method="patient", lr=1e-4)

Settings are named as the command line's options are; --no-control is control=False. Data is the path of a file, or a
table in memory: a DataFrame (pandas, polars), a Dataset, an Arrow table, rows as dicts; it is kept in the data folder.
Each function returns plain data, ready for JSON, and raises `qtinker.errors.QTinkerError` with words for the user. Free
of torch until a verb needs it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

from . import jobs as _jobs
from . import registry as _registry
from . import runs as _runs
from . import tables as _tables
from . import together
from .compare.verbs import compare, compress, remove_sweeps, resume_sweep, show_sweep, stop_sweep, sweeps  # noqa: F401
from .errors import InputError, RunFailed, SpecError
from .given import several as _several
from .home import expanded as _expanded
from .options import SettingOption, distill_options, finetune_options, option_of, to_data
from .spec import DataSpec, RunSpec

OnEvent = Callable[[dict[str, Any]], None] | None
SpecLike = RunSpec | dict[str, Any] | str | Path


# --- making models -----------------------------------------------------------------------------------------------


def distill(spec: SpecLike | None = None, *, on_event: OnEvent = None, **settings: Any) -> dict[str, Any]:
    """Distil a teacher into a student, here and now; the settings are the options of `distill`.

    Returns the report: `run`, `checkpoint` (path), `metrics` (teacher, student, and control where asked for; each
    with accuracy and macro_f1), `retention` (student's metric over teacher's), `examples_per_second`, and more.

    Raises:
        SpecError: with every problem of the settings at once.
        RunStopped: Ctrl-C, a signal or `stop_run`; it can be resumed.
        RunFailed: the training ended without a result.
    """
    return run(_given(spec, settings, distill_options(), {}), on_event=on_event)


def finetune(
    model: str | None = None, *, spec: SpecLike | None = None, on_event: OnEvent = None, **settings: Any
) -> dict[str, Any]:
    """Train a model on labelled data, without a teacher; the settings are the options of `finetune`. See `distill`."""
    fixed = {"student": {"model": str(model)}} if model is not None else {}
    return run(_given(spec, settings, finetune_options(), fixed), on_event=on_event)


def run(spec: SpecLike, *, on_event: OnEvent = None, own_process: bool = False) -> dict[str, Any]:
    """Do everything that a spec (or its YAML file) says, here and now. See `distill`.

    Args:
        own_process: this process is there for the run alone and may be killed if it does not stop.
    """
    from . import worker

    together.join(as_spec(spec).training.device)
    run = _runs.open(together.from_main(lambda: create_run(spec).id))
    return worker.execute(run, emit=on_event, own_process=own_process)


def create_run(spec: SpecLike) -> _runs.Run:
    """Check a spec and make its run folder; nothing is started.

    Raises:
        SpecError: with every problem at once.
    """
    from . import anchor, check

    checked = anchor.run_spec(as_spec(spec))
    found = check.check(checked)
    if problems := [problem for problem in found if problem.level == "error"]:
        raise SpecError(problems)
    return _runs.create(checked, warnings=check.beforehand(found))


def start(spec: SpecLike) -> dict[str, Any]:
    """Check a spec and start its run in a process of its own, or queue it. Returns the run's state."""
    return _jobs.start(create_run(spec).id)


def as_spec(spec: SpecLike) -> RunSpec:
    """A RunSpec from one, from plain data, or from the path of a YAML file."""
    if isinstance(spec, RunSpec):
        return spec
    return RunSpec.parse(_tables.in_spec(spec)) if isinstance(spec, dict) else RunSpec.load(spec)


def _given(
    spec: SpecLike | None, settings: dict[str, Any], options: list[SettingOption], fixed: dict[str, Any]
) -> RunSpec:
    if spec is not None:
        if settings or fixed:
            raise InputError("Both a spec and settings were given.", "Put the settings into the spec.")
        return as_spec(spec)
    values: dict[str, Any] = {}
    for name, value in settings.items():
        each = option_of(name, options)
        path = isinstance(value, Path)
        values[each.parameter] = (
            [value] if each.repeatable and isinstance(value, str) else str(value) if path else value
        )
    data = to_data(options, values)
    for part, more in fixed.items():
        data.setdefault(part, {}).update(more)
    return RunSpec.parse(_tables.in_spec(data))


# --- runs --------------------------------------------------------------------------------------------------------


def runs() -> dict[str, Any]:
    """All runs, newest first, each with its state; starts the next of the queue if none is going on."""
    with suppress(RunFailed):  # who may not write there may still look
        _jobs.advance()
    return {"runs": [each.state() for each in _runs.list_runs()], "queue": _jobs.queued()}


def show_run(run_id: str) -> dict[str, Any]:
    """One run: its state, spec, report (or None) and the end of its log."""
    found = _runs.open(run_id)
    spec: dict[str, Any] | None = None
    try:
        spec = found.spec().model_dump(mode="json", exclude_none=True)
    except InputError:
        if found.state()["status"] != "broken":
            raise
    return {
        **found.state(), "folder": str(found.folder), "spec": spec, "report": found.report(), "log": found.log_tail(20)
    }  # fmt: skip


def stop_run(run_id: str, *, grace_s: float = _jobs.GRACE_S, wait: bool = True) -> dict[str, Any]:
    """Withdraw a queued run, or let a running one finish its step, save and end (after `grace_s` seconds: kill it)."""
    return _jobs.stop(run_id, grace_s=grace_s, wait=wait)


def resume_run(run_id: str, *, on_event: OnEvent = None, own_process: bool = False) -> dict[str, Any]:
    """Go on with a run that was stopped, interrupted or failed, here and now. Returns the report, as `distill`."""
    from . import worker

    found = _runs.open(run_id)
    together.join(found.spec().training.device)

    def free() -> None:
        _jobs.withdraw(found.id)
        _jobs.check_resumable(found)
        found.clear_stop()

    together.from_main(free)
    return worker.execute(found, emit=on_event, own_process=own_process)


def remove_runs(run_ids: str | Sequence[str]) -> dict[str, Any]:
    """Delete runs' folders; all are looked up before any is deleted. Models that they made stay."""
    found = {each.id: each for each in map(_runs.open, _several(run_ids))}  # several names may be one run's
    for each in found.values():
        _jobs.withdraw(each.id)
        each.delete()
    return {"removed": list(found)}


def clean() -> dict[str, Any]:
    """Free space: the saved states of runs that are done and of those that a finished sweep stopped early, and the
    cache (unless a run, a sweep or a task of the page is going on) but for what may still be wanted of it."""
    from .cleaning import clean as free

    return free()


# --- models ------------------------------------------------------------------------------------------------------


def models() -> dict[str, Any]:
    """What is here and what can be fetched."""
    from . import catalog

    entries = _registry.list_models()
    here = {(entry.group, entry.name) for entry in entries}
    return {
        "models": [{**_plain(entry), "full_name": entry.full_name} for entry in entries],
        "catalog": [
            {**_plain(entry), "here": (entry.group, entry.name) in here, "shape": entry.shape,
             "download_bytes": entry.download_bytes, "sets": list(entry.sets)}
            for entry in catalog.catalog().values()
        ],
    }  # fmt: skip


def verify(names: str | Sequence[str] | None = None) -> dict[str, Any]:
    """Hash models' files again and compare with what was recorded; all models if none is named."""
    wanted = _several(names or ()) or [entry.full_name for entry in _registry.list_models()]
    checked = [{"name": name, "problems": _registry.verify(name)} for name in wanted]
    return {"ok": not any(each["problems"] for each in checked), "models": checked}


def remove(names: str | Sequence[str]) -> dict[str, Any]:
    """Delete models from the registry; all are looked up before any is deleted."""
    found: dict[str, None] = {}  # several names may be one model's
    for name in _several(names):
        entry = _registry.find(name)
        if entry is None:
            _registry.resolve(name)
            raise InputError(f"{name} is not in the registry.", "See what is here: python3 app models")
        if run := _needed_by(entry):
            what = "waits in the queue" if run.state()["status"] == "queued" else "is going on"
            raise InputError(
                f"Run {run.id} needs {entry.full_name} and {what}.",
                f"Wait for its end, or stop it first: python3 app runs stop {run.id}",
            )
        found[entry.full_name] = None
    return {"removed": [_registry.remove(name).full_name for name in found]}


def _needed_by(entry: _registry.RegistryEntry) -> _runs.Run | None:
    """A run going on or waiting that made a model, or has it in its settings."""
    known = (entry.name, entry.full_name, str(entry.path))
    for each in (*_jobs.active(), *map(_runs.open, _jobs.queued())):
        with suppress(InputError):  # damaged settings
            spec = each.spec()
            teachers = [spec.teacher.model, *(spec.teacher.also or [])] if spec.teacher else []
            if entry.run == each.id or {spec.student.model, spec.data.augment_model, *teachers} & {*known}:
                return each
    return None


def download(
    names: str | Sequence[str] = (), *, set: str | None = None, mirror: str | None = None, progress: Any = None
) -> dict[str, Any]:
    """Fetch models of the catalog, by name or by set; verified and converted."""
    from . import catalog
    from .download import download as fetch

    wanted = [str(name) for name in _several(names)]
    wanted += [entry.name for entry in catalog.in_set(set)] if set else []
    if not wanted:
        raise InputError("Name what to fetch, or a set.", "For example: recommended.")
    more = {"progress": progress} if progress is not None else {}
    paths = fetch(list(dict.fromkeys(wanted)), mirror=mirror, **more)
    return {"models": [{"name": path.name, "path": str(path)} for path in map(Path, paths)]}


def import_model(
    path: str | Path, *, name: str | None = None, progress: Callable[[str, int, int], None] | None = None
) -> dict[str, Any]:
    """Bring a Hugging Face model or a Google checkpoint (a folder, or its zip) into the registry."""
    from .importer import import_model as bring

    made = Path(bring(path, name=name, progress=progress))
    return {"name": made.name, "path": str(made)}


# --- data, quantizing, measuring ---------------------------------------------------------------------------------


def data(
    source: _tables.Source | DataSpec, *, tokenizer: str | None = None, task: str = "auto", **settings: Any
) -> dict[str, Any]:
    """What training would see: columns, rows, balance of the classes, lengths, examples, findings, warnings."""
    from .data import inspect

    spec = source if isinstance(source, DataSpec) else _data_spec(source, settings)
    cutter = None
    if tokenizer is not None:
        from .runtime.base import load_tokenizer

        cutter = load_tokenizer(_registry.resolve(tokenizer))
    return inspect(spec, cutter, task=task).to_dict()


def quantize(
    model: str | Path, *, scheme: str, name: str | None = None, data: _tables.Source | None = None, **options: Any
) -> dict[str, Any]:
    """Make a quantized version of a model in the registry. Returns its name, path, bytes and what was checked.

    Args:
        data: examples to calibrate on and to compare with the source; left out: texts of random words.
            For the scheme mixed they need labels, on which it measures what is lost.
        options: as `qtinker.quantize.quantize` takes: engine, device, force, check_rows, max_loss, progress.
    """
    from . import pipeline

    if data is not None:
        options["check_rows"] = _texts(model, data, labelled=scheme == "mixed")
    return pipeline.quantize_model(model, scheme=scheme, name=name, **options)


def trim(
    model: str | Path, *, data: _tables.Source | None = None, text: str | Path | None = None,
    keep: str | Iterable[str] = (), script: str | Iterable[str] = (), name: str | None = None,
    progress: Callable[[str], None] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Make a version of a model whose vocabulary holds only what some texts need; they are answered as before.

    Args:
        data: examples whose every text counts.
        text: a file of plain text.
        keep: words or texts to cover too.
        script: scripts all of whose tokens are kept: latin, cyrillic, cjk, ...
    """
    from . import model_folder
    from .vocabulary import trim as cut

    examples = None if data is None else _data_spec(data, {}).train
    path = cut(
        model, data=examples, text=None if text is None else _expanded(text),
        keep=_several(keep),
        scripts=_several(script), name=name, progress=progress,
    )  # fmt: skip
    record = model_folder.read_meta(path)["trimmed"]
    return {
        "name": path.name, "path": str(path), "tokens": record["tokens"], "tokens_before": record["tokens_before"],
        "bytes": record["bytes_after"]["total"], "source_bytes": record["bytes_before"]["total"],
        "source": record["source"], "findings": record["findings"],
    }  # fmt: skip


def export(
    model: str | Path, *, format: str, out: str | Path | None = None, data: _tables.Source | None = None, **options: Any
) -> dict[str, Any]:
    """Write a model in a form that runs elsewhere. Returns its name, path, bytes and what was checked.

    Args:
        format: a name in `qtinker.export.FORMATS`.
        out: a new or empty folder; left out: the registry's group `exported`.
        data: examples to compare with the source; left out: texts of random words.
        options: as `qtinker.export.export` takes: name, force, check_rows, progress.
    """
    from . import model_folder
    from .export import export as write

    if data is not None:
        options["check_rows"] = _texts(model, data)
    path = write(model, format, out, **options)
    record = model_folder.read_meta(path).get("export") or {}
    check = record.get("check") or {}
    words = check.get("why") or (
        f"Compared with its source on {check.get('rows')} rows: the largest logit difference is "
        f"{check.get('max_logit_difference', 0):.4f}."
    )
    return {"name": path.name, "path": str(path), "format": format, "bytes": record.get("bytes"), "check": check,
            "source": record.get("source"), "findings": [words]}  # fmt: skip


def _texts(model: str | Path, data: _tables.Source, *, labelled: bool = False, **columns: str | None) -> Any:
    """The examples of a file as the model takes them (pairs or single texts); with their labels only if asked for."""
    from . import checkpoint, registry
    from .data import Examples, load_eval
    from .runtime.base import labels_of

    path, source = registry.resolve(model), _data_spec(data, {}).train
    task = checkpoint.task_in(path) or {}
    kind: dict[str, Any] = {"pair": task.get("pair"), "task": task.get("type", "auto")} | columns
    if labelled:
        return load_eval(source, labels=labels_of(path), unlabelled=True, **kind)
    found = load_eval(source, texts_only=True, **kind)
    return Examples(found.texts, found.pairs, form=found.form, stride=found.stride)


def evaluate(
    models: str | Path | Iterable[str | Path],
    *,
    data: _tables.Source | DataSpec,
    batch_size: int = 32,
    device: str = "cpu",
    threads: int | None = None,
    max_examples: int | None = None,
    isolate: bool = True,
    progress: Callable[[str], None] | None = None,
    **settings: Any,
) -> dict[str, Any]:
    """Measure models side by side on labelled data: quality, agreement with the first, size, latency, throughput.

    Args:
        isolate: measure each model in a fresh process, which tells its memory too; False saves starting one.
        settings: of the data: text_column, text_pair_column, label_column.
    """
    from .evaluate import evaluate as measure

    named = _several(models)
    spec = data if isinstance(data, DataSpec) else _data_spec(data, settings)
    return measure(
        named, spec, batch_size=batch_size, device=device, threads=threads, max_examples=max_examples,
        isolate=isolate, progress=progress,
    ).to_dict()  # fmt: skip


def predict(
    model: str | Path, texts: Iterable[Any] | None = None, *, data: _tables.Source | None = None,
    text_column: str | None = None, text_pair_column: str | None = None, batch_size: int = 32, device: str = "cpu",
    threads: int | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Answers of a model: label, score and probabilities for each text.

    Args:
        texts: texts, or pairs of texts as tuples: (premise, hypothesis), (question, context).
        data: a file or a table instead, in any form that trainings read; its labels are not looked at. Tagged words
            stay apart as they are there; each row of a table has its answer, one without a text too.
        text_column: the file's column, where it is not found by itself.
        text_pair_column: that of the second text.
    """
    from .predict import predict as answer

    if (texts is None) == (data is None):
        raise InputError("Give either texts or a file of them.", "predict(model, texts) or predict(model, data=FILE).")
    asked: Any = texts
    if data is not None:
        asked = _texts(model, data, text_column=text_column, text_pair_column=text_pair_column)
    return {"predictions": answer(model, asked, batch_size=batch_size, device=device, threads=threads)}


def _data_spec(source: _tables.Source, settings: dict[str, Any]) -> DataSpec:
    given = {name: value for name, value in settings.items() if value is not None}
    parsed = RunSpec.parse({"student": {"model": "any"}, "data": {"train": _tables.as_file(source), **given}})
    return parsed.data


def _plain(value: Any) -> dict[str, Any]:
    """A dataclass as JSON knows it."""
    assert is_dataclass(value) and not isinstance(value, type)
    return {key: str(item) if isinstance(item, Path) else item for key, item in asdict(value).items()}
