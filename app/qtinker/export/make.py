"""The steps of exporting one model: load, convert, write beside it what it needs, load again, compare, keep."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .. import home, model_folder, registry
from ..data import Examples
from ..errors import InputError, QTinkerError
from ..kinds import KINDS
from ..predict import logits_of
from ..quantize.make import PROVENANCE
from ..quantize.rows import rows_to_check
from ..quantize.verify import Verdict, verify_folder
from ..registry_page import size
from ..runtime import engine_of, extras, weights_bytes
from ..runtime.pytorch import TorchRuntime
from . import (
    coreml_format,
    executorch_format,
    gguf_format,
    onnx_format,
    openvino_format,
    tensorrt_format,
    torch_format,
)
from .companions import how_to_run, write_companions
from .formats import Format

_WRITERS: dict[str, tuple[Callable[..., dict[str, Any]], str]] = {
    "onnx": (onnx_format.write, onnx_format.EXAMPLE),
    "openvino": (openvino_format.write, openvino_format.EXAMPLE),
    "torch-export": (torch_format.write, torch_format.EXAMPLE),
    "gguf": (gguf_format.write, gguf_format.EXAMPLE),
    "gguf-q8_0": (gguf_format.write_q8, gguf_format.EXAMPLE),
    "gguf-q4_0": (gguf_format.write_q4, gguf_format.EXAMPLE),
    "executorch": (executorch_format.write, executorch_format.EXAMPLE),
    "executorch-int8": (executorch_format.write_int8, executorch_format.EXAMPLE),
    "coreml": (coreml_format.write, coreml_format.EXAMPLE),
    "tensorrt": (tensorrt_format.write, tensorrt_format.EXAMPLE),
}
"""Format -> what writes it, and the example that runs it."""
GROWN = 1.2
"""Times its source's bytes from which an export is told to have grown."""
_ENGINES = {"onnx": "onnxruntime", "openvino": "openvino"}
"""Format -> the engine of quantized models that runs it."""
_RUNNERS = {
    "model.onnx": "ONNX Runtime", "openvino_model.xml": "OpenVINO", "model.pt2": "PyTorch", "model.gguf": "llama.cpp",
    "model.pte": "ExecuTorch",
}  # fmt: skip


def make(
    model: str | Path, form: Format, out: Path | None, *, name: str | None, force: bool,
    check_rows: Examples | Sequence[Any] | None, fresh: bool, progress: Callable[[str], None],
) -> Path:  # fmt: skip
    """See `export.export`."""
    path = registry.resolve(model)
    refuse_foreign(path, form)
    extras.require(form.extra, f"{form.name} is made")
    meta = model_folder.read_meta(path)
    source_name = str(meta.get("name") or path.name)
    progress(f"Loading {source_name}")
    runtime = TorchRuntime(path, as_float=True)
    rows = rows_to_check(check_rows, runtime)
    max_length = runtime.max_length
    source_logits = logits_of(runtime, rows, max_length=max_length)
    name = name or registry.unique_name("exported", f"{source_name}-{form.name}")
    refuse_task(runtime, form)
    with _place(out, name) as folder:
        progress(f"Converting to {form.title}")
        write, example = _WRITERS[form.name]
        more = {"length": max_length} if form.fixed else {}
        notes = write(runtime.model, runtime.tokenizer, folder, **more)
        write_companions(runtime, folder, example=example)
        new_meta = {key: meta[key] for key in PROVENANCE if meta.get(key) is not None}
        record = {"format": form.name, "source": source_name, "source_path": str(path), "bytes": weights_bytes(folder),
                  **notes}  # fmt: skip
        new_meta |= {"name": name, "kind": "exported", "task": runtime.task, "source": {"model": source_name},
                     "parameters": runtime.parameters, "export": record}  # fmt: skip
        model_folder.write_meta(folder, new_meta)
        verdict = None
        if unchecked := why_unchecked(form):
            progress(unchecked)
            record["check"] = {"rows": 0, "why": unchecked}
        else:
            progress("Loading it again and comparing it with its source")
            verdict, _ = verify_folder(folder, source_logits, rows, max_length=max_length, fresh=fresh)
            refuse_different(verdict, source_logits, form, force=force)
            record["check"] = verdict.to_dict()
        (folder / "README.md").write_text(_card(new_meta, form, verdict, how_to_run(folder)), encoding="utf-8")
        model_folder.write_meta(folder, new_meta)
    progress(f"Kept as {name}: {verdict or 'not compared with its source'}")
    if grown := told_if_grown(path, record["bytes"], form):
        progress(grown)
    return out.resolve() if out is not None else home.models_dir() / "exported" / name


def told_if_grown(path: Path, exported: int, form: Format) -> str:
    """That a format which can't hold packed weights made a quantized model big again, and what keeps it small."""
    before, meta = weights_bytes(path), model_folder.read_meta(path)
    if not meta.get("quantization") or exported < GROWN * before:
        return ""
    text = (
        f"Mind the size: {size(exported)}, and {meta.get('name') or path.name} has {size(before)}. {form.title} holds "
        "its weights as floats."
    )
    return text + (f" For a small one: {quantize_source(meta, form)}" if form.name in _ENGINES else "")


def quantize_source(meta: dict[str, Any], form: Format) -> str:
    """The command that quantizes what a quantized model was made from, for the engine of the format."""
    return f"python3 app quantize {source_of(meta)} --scheme int8-dynamic --engine {_ENGINES[form.name]}"


def source_of(meta: dict[str, Any]) -> str:
    """Of which model a quantized one was made."""
    return (meta.get("quantization") or {}).get("source") or "SOURCE"


def refuse_foreign(path: Path, form: Format) -> None:
    """
    Raises:
        InputError: the model is not one of PyTorch's, or is quantized in a way that the format can't take.
    """
    meta = model_folder.read_meta(path)
    name, engine = meta.get("name") or path.name, engine_of(path)
    if engine != "torch":
        raise InputError(f"{name} runs on {engine} already.", _instead(meta, path, engine, form))
    config = model_folder.read_json(path / model_folder.CONFIG)
    if (config.get("quantization_config") or {}).get("quant_method") == "torchao":
        hint = (
            f"Quantize its source for that engine: {quantize_source(meta, form)}" if form.name in _ENGINES
            else f"Export its source instead: python3 app export {source_of(meta)} --format {form.name}"
        )  # fmt: skip
        raise InputError(f"{name} is quantized by torchao, whose tensors {form.name} can't hold.", hint)
    if form.name == "torch-export" and config.get("model_type") == "mobilebert":
        raise InputError(
            "torch.export can't take MobileBERT, which reads each token with its neighbours, for texts of any length.",
            "Export it to onnx or openvino instead.",
        )


def _instead(meta: dict[str, Any], path: Path, engine: str, form: Format) -> str:
    """What to do about a model that is no longer PyTorch's."""
    if _ENGINES.get(form.name) == engine:
        return f"Its files are {form.title.split(',')[0]}: use them as they are ({path.parent.name}/{path.name})."
    source = source_of(meta) if meta.get("quantization") else (meta.get("export") or {}).get("source") or "SOURCE"
    if form.name in _ENGINES and meta.get("quantization"):
        return f"Quantize its source for that engine: {quantize_source(meta, form)}"
    return f"Export its source instead: python3 app export {source} --format {form.name}"


def refuse_task(runtime: TorchRuntime, form: Format) -> None:
    """
    Raises:
        InputError: the format has no way to answer this task.
    """
    whole_texts = form.extra in ("gguf", "executorch", "coreml")
    if whole_texts and KINDS[runtime.problem_type].per_token:
        raise InputError(
            f"{form.title} answers whole texts, and {runtime.name} answers word by word.", "Export it to onnx instead."
        )
    if form.extra == "gguf" and runtime.task.get("pair"):
        raise InputError(
            f"{runtime.name} takes pairs of texts, whose second llama.cpp does not tell from the first.",
            "Export it to onnx instead.",
        )


def why_unchecked(form: Format) -> str:
    """Why the file can't be run here to compare it with its source; empty: it can."""
    if form.unchecked:
        return f"{form.unchecked}."
    if form.runner and not extras.is_here(form.runner):
        missing = " and ".join(extras.packages(form.runner))
        return f"{missing} is not installed, so its answers were not compared with its source's."
    return ""


def refuse_different(verdict: Verdict, source_logits: np.ndarray, form: Format, *, force: bool) -> None:
    """
    Raises:
        QTinkerError: the exported model is not the same function, unless forced.
    """
    limit = form.tolerance * (1 + float(np.nanmax(np.abs(source_logits), initial=0.0)))
    if force or verdict.max_logit_difference <= limit:
        return
    raise QTinkerError(
        f"The {form.name} file answers differently from its source: {verdict} (a logit may differ by {limit:.3f}).",
        "Please report this as a bug, with the model's architecture; --force keeps it anyway.",
    )


@contextlib.contextmanager
def _place(out: Path | None, name: str) -> Iterator[Path]:
    """The registry's staging folder, or the user's own folder, which must be new or empty and stays so on failure."""
    if out is None:
        with registry.staged("exported", name) as folder:
            yield folder
        return
    import shutil

    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} exists and is not an empty folder.", "Name a new folder.")
    there = out.is_dir()
    out.mkdir(parents=True, exist_ok=True)
    try:
        yield out
    except BaseException:
        for child in out.iterdir():
            child.unlink() if child.is_file() else shutil.rmtree(child, ignore_errors=True)
        if not there:
            out.rmdir()
        raise


def _card(meta: dict[str, Any], form: Format, verdict: Verdict | None, command: str) -> str:
    record, task = meta["export"], meta["task"]
    shape = {"masked-lm": "batch x length x vocabulary", "question-answering": "batch x length x start and end",
             "regression": "batch x 1"}.get(task["type"], f"batch x {len(task['labels'])}")  # fmt: skip
    shape = shape.replace("batch x", "batch x length x") if task["type"] == "token-classification" else shape
    labels = f" Labels: {', '.join(task['labels'])}." if task["labels"] else ""
    checked = record["check"].get("why") or (
        f"Loaded again in a fresh process by {_RUNNERS.get(form.file, form.extra)} and compared with its source on "
        f"{record['check']['rows']} rows of uneven length: {verdict}."
    )
    sides = "batch x length" if len(record["dynamic"]) == 2 else "one text at a time"
    return (
        f"# {meta['name']}\n\n{record['source']} as {form.title}. Made with QTinker.\n\n"
        f"Runs on: {form.runs_on}.\n\nInputs: {', '.join(record['inputs'])} (integers, {sides}); output: logits "
        f"(float32, {shape}).{labels}\n\n"
        f"Run it: `{command}`\n\n## Checked\n\n{checked}\n"
    )
