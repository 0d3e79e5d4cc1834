"""The endpoints for programs: the real verbs, by gradio_client, JavaScript or curl; everything else is private.

What a browser may ask, a program may ask: names of models and runs, data in QTinker's folders, never other paths.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import gradio as gr

from .. import api, jobs, runs
from ..errors import InputError
from ..given import kind_of
from ..spec import RunSpec
from . import answers, guard, tasks
from .handlers import words_of
from .quantize_page import begin as begin_quantize
from .quantize_page import begin_export
from .tasks_view import download as begin_download
from .texts import Texts

WAIT_SECONDS = 3600.0
_TYPES: dict[str, tuple[type, str]] = {"str": (str, "text"), "int": (int, "a whole number")}


def build() -> None:
    """Declare the endpoints inside the page's Blocks."""
    verbs = (
        models, download, data_preview, start_distill, run_status, stop, resume, quantize, export, evaluate, predict
    )  # fmt: skip
    for verb in verbs:
        gr.api(spoken(verb), api_name=verb.__name__, api_description=verb.__doc__, concurrency_limit=8)


def spoken(verb: Callable[..., Any]) -> Callable[..., Any]:
    """The verb with its errors as words: no traceback crosses the line."""

    @functools.wraps(verb)
    def called(*args: Any, **kwargs: Any) -> Any:
        try:
            refuse_other_types(verb, inspect.signature(verb).bind(*args, **kwargs).arguments)
            return plain(verb(*args, **kwargs))
        except Exception as error:
            raise gr.Error(words_of(error, Texts()), print_exception=False) from None

    return called


def refuse_other_types(verb: Callable[..., Any], given: dict[str, Any]) -> None:
    """
    Raises:
        InputError: a value is neither of the type that the verb takes there nor left out (None).
    """
    for name, value in given.items():
        wanted, words = _TYPES.get(verb.__annotations__[name], (object, ""))
        if value is not None and not isinstance(value, wanted):
            raise InputError(f"{name}: expected {words}, found {kind_of(value)}.")


def plain(value: Any) -> Any:
    """The answer with `path` called `folder`: Gradio's clients take any {path: ...} for a file and fetch it."""
    if isinstance(value, dict):
        return {"folder" if key == "path" else key: plain(each) for key, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, list) else value


def models() -> dict:
    """What is here and what can be fetched: {models: [{full_name, kind, parameters, bytes, ...}], catalog: [...]}."""
    listed = api.models()
    for each in listed["models"]:
        for key in ("path", "meta", "hashes"):
            each.pop(key, None)
    return listed


def download(name: str) -> dict:
    """Fetch a catalog model and wait until it is here: {models: [{name, folder}]}."""
    return _finished(begin_download(name))


def data_preview(data: str, tokenizer: str = "") -> dict:
    """What training would see of a data file (`sample`, or a file in QTinker's folders): columns, balance, lengths."""
    arguments = [guard.hub_or_file(data)]
    if tokenizer:
        arguments += ["--tokenizer", guard.local_model(tokenizer).full_name]
    return _finished(tasks.start("data", arguments, label="data"))


def start_distill(spec: dict) -> dict:
    """Start a run from a spec as in the YAML files: {teacher: {model: ...}, student: {...}, data: {train: ...}, ...}.

    Answers at once with the run's state; `id` is what run_status, stop and resume take.
    """
    checked = held(RunSpec.parse(spec))
    return jobs.start(answers.create_run(checked))


def held(spec: RunSpec) -> RunSpec:
    """The spec, its models and files held to what a page may name.

    Raises:
        InputError: it names a folder or file elsewhere.
    """
    spec = spec.model_copy(deep=True)
    for part in (spec.teacher, spec.student):
        if part is not None and part.model:
            part.model = guard.model_name(part.model)
    if spec.teacher is not None and spec.teacher.also:
        spec.teacher.also = [guard.model_name(name) for name in spec.teacher.also]
    spec.data.train = kept(guard.hub_or_file(spec.data.train))
    if spec.data.eval:
        spec.data.eval = kept(guard.hub_or_file(spec.data.eval))
    if spec.data.augment_model:
        spec.data.augment_model = guard.model_name(spec.data.augment_model)
    if spec.data.unlabelled:
        spec.data.unlabelled = [kept(guard.hub_or_file(source)) for source in spec.data.unlabelled]
    return spec


def kept(source: str) -> str:
    """An upload is moved to where a run that is resumed weeks later still finds it."""
    return guard.keep_upload(source) if guard.is_upload(source) else source


def run_status(run: str) -> dict:
    """A run: its state (status, phase, progress, eta_s, ...), its report once it is done, and the end of its log."""
    found = runs.open(run)
    return {**found.state(), "report": found.report(), "log": found.log_tail(20)}


def stop(run: str) -> dict:
    """Let a run finish its step, save and end; answers at once with its state. It can be resumed."""
    return jobs.stop(run)


def resume(run: str) -> dict:
    """Go on with a run that was stopped, interrupted or failed; answers at once with its state."""
    return jobs.resume(run)


def quantize(model: str, scheme: str, name: str = "", engine: str = "auto", data: str = "") -> dict:
    """Make a quantized version of a trained model and wait for it: {name, folder, bytes, findings, ...}.

    `data` (a file, or `sample`) is what it is calibrated on and compared with its source on.
    """
    return _finished(begin_quantize(model, scheme, name, engine, data))


def export(model: str, format: str, name: str = "", data: str = "") -> dict:
    """Write a trained model as `onnx`, `openvino`, ... and wait for it: {name, folder, bytes, findings, ...}."""
    return _finished(begin_export(model, format, name, data))


def evaluate(models: list[str], data: str, max_examples: int = 0) -> dict:
    """Measure models side by side: {models: [{name, metrics, bytes, parameters, latency_ms, examples_per_second}]}."""
    if not isinstance(models, list) or not models:
        raise InputError("models is a list of names.", 'For example ["my-teacher", "my-student"].')
    if max_examples and max_examples < 0:
        raise InputError(f"max_examples is {max_examples}.", "Give a whole number from 1 on, or 0 to measure on all.")
    arguments = [*[guard.local_model(name).full_name for name in models], "--data", guard.hub_or_file(data)]
    if max_examples:
        arguments += ["--max-examples", str(max_examples)]
    return _finished(tasks.start("evaluate", arguments, label=", ".join(map(str, models))[:80]))


def predict(model: str, text: str, pair: str = "") -> dict:
    """A trained model's answer to a text, or to two: {label, score, probabilities, ms}, for other tasks other keys."""
    entry = guard.local_model(model)
    second = guard.text(pair) if pair else None
    return answers.predict([(entry.name, entry.path)], guard.text(text), second)[0]


def _finished(task_id: str) -> dict[str, Any]:
    task = tasks.wait(task_id, WAIT_SECONDS)
    if task.going_on:
        raise InputError(
            f"{task.label or task.verb} still goes on after {WAIT_SECONDS / 3600:g} h.",
            "It is left going on; the page shows what it makes.",
        )
    if task.status != "done" or task.result is None:
        raise InputError(task.error or f"{task.label or task.verb} was stopped.", task.fix)
    return task.result
