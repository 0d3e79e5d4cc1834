"""What is here: the models in `bert_models/`, found by name, added whole or not at all.

A model enters only through `staged`: written aside, flushed, then renamed into place, so that a killed process
never leaves half a model. Folders that someone puts there by hand are found too. Listing reads headers and
recorded counts and hashes nothing. Torch-free.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock

from . import model_folder, staging
from .errors import CheckpointError, DiskFull, InputError, QTinkerError, is_full
from .home import expanded, models_dir
from .kinds import task_of
from .model_folder import META, read_meta, write_meta
from .registry_page import PAGE, render

__all__ = [
    "GROUPS", "RegistryEntry", "find", "list_models", "plain_name", "read_meta", "refresh", "remove", "resolve",
    "staged", "unique_name", "verify", "write_meta",
]  # fmt: skip

GROUPS = (
    "bert_large", "bert_base", "bert_small", "multilingual", "hub", "finetuned", "distilled", "quantized", "exported",
)  # fmt: skip
_NAME = re.compile(r"^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,118}[A-Za-z0-9_-])?$")
_WINDOWS_DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))}
_DEPTH = 4
_LONGEST, _END = 100, 40
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RegistryEntry:
    """One model that is here. `broken` says why it can't be used (None: it can); `hashes` maps each weight file to
    its recorded SHA-256, of which `sha256` is the only or first; `bytes` is the size of the weight files, as wherever
    a size is told, `folder_bytes` that of all files."""

    name: str
    group: str
    path: Path
    kind: str
    model_type: str | None
    task: str | None
    labels: list[str]
    parameters: int | None
    bytes: int
    folder_bytes: int
    source: str | None
    licence: str | None
    sha256: str | None
    created: str | None
    run: str | None
    teacher: str | None
    quantization: dict[str, Any] | None
    meta: dict[str, Any] = field(repr=False)
    broken: str | None = None
    hashes: dict[str, str] = field(default_factory=dict, repr=False)

    @property
    def full_name(self) -> str:
        """`group/name`, which is never ambiguous."""
        return f"{self.group}/{self.name}" if self.group else self.name


# --- finding -----------------------------------------------------------------------------------------------------


def list_models() -> list[RegistryEntry]:
    """Every model folder below `bert_models/`, broken ones included, in the order of GROUPS and then by name."""
    order = {group: index for index, group in enumerate(GROUPS)}
    entries = [_entry(folder) for folder in _model_folders(models_dir())]
    return sorted(entries, key=lambda entry: (order.get(entry.group, len(GROUPS)), entry.name.lower(), entry.name))


def find(name: str) -> RegistryEntry | None:
    """The model of that registry name (`foo` or `distilled/foo`; a catalog alias of a model that is here), or None.
    Never looks outside `bert_models/`.

    Raises:
        InputError: several models have the name.
    """
    return _find(name, list_models())


def resolve(name_or_path: str | Path) -> Path:
    """The folder of a model that is here: a registry name, a catalog name that was downloaded, or a folder.

    Raises:
        InputError: nothing has that name (the fix is the download command or the closest names), or several have.
        CheckpointError: the folder is there but broken.
    """
    entries: list[RegistryEntry] = []
    if not isinstance(name_or_path, Path):
        entries = list_models()
        if entry := _find(name_or_path, entries):
            if entry.broken:
                raise CheckpointError(
                    f"The model {entry.full_name} can't be used: {entry.broken}",
                    f"Fetch or make it again, or remove it with: python3 app models remove {entry.full_name}",
                )
            return entry.path
    path = expanded(name_or_path)
    if path.is_dir():
        if not model_folder.is_model_folder(path):
            raise CheckpointError(f"{path} is not a model folder: {model_folder.CONFIG} is missing.")
        if reason := model_folder.damage(path):
            raise CheckpointError(f"The model in {path} can't be used: {reason}")
        return path.resolve()
    if path.is_file():
        raise InputError(f"{path} is a file, not a model folder.", f"Bring it in first: python3 app import {path}")
    raise _unknown(str(name_or_path), entries)


def _find(name: str, entries: list[RegistryEntry]) -> RegistryEntry | None:
    from . import catalog

    wanted = str(name).strip().replace("\\", "/").rstrip("/")
    if not wanted:
        return None
    for same in (str, str.casefold):
        hits = [entry for entry in entries if same(wanted) in (same(entry.full_name), same(entry.name))]
        exact = [entry for entry in hits if same(entry.full_name) == same(wanted)]
        hits = exact if len(exact) == 1 else hits
        if len(hits) > 1:
            raise InputError(
                f"The name {name!r} stands for several models.",
                f"Say which: {', '.join(entry.full_name for entry in hits)}.",
            )
        if hits:
            return hits[0]
    if known := catalog.find(wanted):
        return next((entry for entry in entries if (entry.group, entry.name) == (known.group, known.name)), None)
    return None


def _unknown(name: str, entries: list[RegistryEntry]) -> InputError:
    from . import catalog

    if known := catalog.find(name):
        return InputError(
            f"The model {known.name} is not here yet.", f"Fetch it: python3 app download {known.name}"
        )  # fmt: skip
    group, _, rest = name.partition("/")
    return InputError(
        f"There is no model {name!r}: no name in {models_dir()} or the catalog, no folder.",
        catalog.nearest(rest if group in GROUPS else name, [*(entry.name for entry in entries), *catalog.catalog()]),
    )


def _model_folders(root: Path, depth: int = 0, seen: set[str] | None = None) -> Iterator[Path]:
    """Model folders at any depth; a model's own subfolders are part of it, and link loops end."""
    seen = set() if seen is None else seen
    try:
        children = sorted((child for child in os.scandir(root) if child.is_dir()), key=lambda child: child.name)
    except OSError:
        return
    for child in children:
        folder = Path(child.path)
        if child.name.startswith("."):
            continue
        is_group = depth == 0 and child.name in GROUPS
        if not is_group and model_folder.is_model_folder(folder):
            yield folder
        elif depth < _DEPTH:
            real = os.path.realpath(folder)
            if real not in seen:
                seen.add(real)
                yield from _model_folders(folder, depth + 1, seen)


def _entry(folder: Path) -> RegistryEntry:
    parts = folder.relative_to(models_dir()).parts
    group, name = (parts[0], "/".join(parts[1:])) if parts[0] in GROUPS else ("", "/".join(parts))
    meta, broken = read_meta(folder), model_folder.damage(folder)
    config: dict[str, Any] = {}
    total, weights, parameters = 0, 0, _typed(meta.get("parameters"), int)
    with contextlib.suppress(QTinkerError, OSError):
        config = model_folder.read_json(folder / model_folder.CONFIG)
    with contextlib.suppress(OSError):
        total = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        weights = model_folder.weights_bytes(folder)
    if parameters is None and not broken:
        with contextlib.suppress(QTinkerError):
            parameters = model_folder.count_parameters(folder)
    task = meta.get("task") if isinstance(meta.get("task"), dict) else {}
    hashes = {
        file: str(record["sha256"])
        for file, record in model_folder.recorded_files(meta).items()
        if record.get("sha256") and file.endswith((".safetensors", ".bin", ".onnx", ".gguf", ".xml", ".pt2", ".pte"))
    }
    return RegistryEntry(
        name=name, group=group, path=folder, kind=_typed(meta.get("kind"), str) or "manual",
        model_type=_typed(config.get("model_type"), str), task=_task(task or {}, config), labels=_labels(task, config),
        parameters=parameters, bytes=weights, folder_bytes=total, source=_source(meta.get("source")),
        licence=_typed(meta.get("licence"), str), sha256=next(iter(hashes.values()), None),
        created=_typed(meta.get("created"), str), run=_typed(meta.get("run"), str),
        teacher=_typed(meta.get("teacher"), str), quantization=_typed(meta.get("quantization"), dict), meta=meta,
        broken=broken, hashes=hashes,
    )  # fmt: skip


def _typed(value: Any, kind: type) -> Any:
    """The value if it has the type, else None: provenance may have been written by anybody."""
    return value if isinstance(value, kind) and not isinstance(value, bool) else None


def _task(task: dict[str, Any], config: dict[str, Any]) -> str | None:
    if isinstance(task.get("type"), str):
        return task["type"]
    with contextlib.suppress(CheckpointError, ValueError, TypeError):
        told = (task_of(config, {}) or {}).get("type")
        return None if told == "masked-lm" else told  # every pretrained encoder would be one
    return None


def _labels(task: dict[str, Any] | None, config: dict[str, Any]) -> list[str]:
    labels = (task or {}).get("labels")
    if isinstance(labels, list):
        return [str(label) for label in labels]
    with contextlib.suppress(CheckpointError, ValueError, TypeError):
        return [str(label) for label in (task_of(config, {}) or {}).get("labels", ())]
    return []


def _source(source: Any) -> str | None:
    if isinstance(source, dict):
        return next((str(source[key]) for key in ("url", "repo", "path", "model", "name") if source.get(key)), None)
    return source if isinstance(source, str) and source else None


# --- changing ----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def staged(group: str, name: str, *, replace: bool = False) -> Iterator[Path]:
    """An empty folder to write a model into; after the block it is `bert_models/<group>/<name>`, whole.

    An exception (Ctrl-C included) removes the folder and leaves the registry as it was. `replace` swaps out a model
    of the same name, at the end and in one step.

    Raises:
        InputError: the group or name can't be used, or the name is taken.
        DiskFull: the disk is full.
        QTinkerError: the folder can't be written.
    """
    _check_name(group, name)
    root, final = models_dir(), models_dir() / group / name
    if not replace:
        _refuse_taken(final)
    with contextlib.ExitStack() as stack:
        try:
            box = stack.enter_context(staging.box(root))
            (box / name).mkdir()
        except OSError as error:
            raise QTinkerError(
                f"Can't write in {root}: {error.strerror or error}.", "Give yourself the right, or set QTINKER_HOME."
            ) from None
        try:
            yield box / name
            staging.flush(box / name)
            with _lock():
                if not replace:
                    _refuse_taken(final)
                staging.place(box, final)
        except Exception as error:
            if not is_full(error):
                raise
            raise DiskFull(f"The disk that holds {root} is full: {name} was not kept.", "Free some space.") from error
    _refresh_quietly()


def plain_name(base: str) -> str:
    """`base` made into a valid name. A long one is shortened in its middle: its end tells versions of a model apart."""
    cleaned = re.sub(r"[^A-Za-z0-9._-]+", "-", base).strip("._-") or "model"
    if len(cleaned) > _LONGEST:
        begin, end = cleaned[: _LONGEST - _END - 1], cleaned[-_END:]
        cleaned = f"{begin.rstrip('._-')}-{end.lstrip('._-')}"
    return f"model-{cleaned}" if cleaned.split(".")[0].lower() in _WINDOWS_DEVICES else cleaned


def unique_name(group: str, base: str) -> str:
    """`base` made into a valid name that no model of the group has: itself, or with -2, -3, ... behind."""
    cleaned = plain_name(base)
    folder = models_dir() / group
    taken = {child.name.lower() for child in folder.iterdir()} if folder.is_dir() else set()
    names = (cleaned, *(f"{cleaned}-{number}" for number in range(2, len(taken) + 3)))
    return next(name for name in names if name.lower() not in taken)


def verify(name: str) -> list[str]:
    """What is wrong with a model that is here, after hashing every file again; empty when nothing is.

    Raises:
        InputError: there is no such model.
    """
    entry = _must_find(name)
    problems = [entry.broken] if entry.broken else []
    recorded = model_folder.recorded_files(entry.meta)
    if not (entry.path / META).is_file():
        return problems
    if not recorded:
        problems.append(f"{META} records no files, so they can't be compared.")
    for file, record in recorded.items():
        path = entry.path / file
        try:
            if not path.is_file():
                problems.append(f"{file} is missing.")
            elif model_folder.sha256(path) != record.get("sha256"):
                problems.append(f"{file} has changed: its SHA-256 is not the recorded one.")
        except OSError as error:
            problems.append(f"{file} can't be read: {error.strerror or error}.")
    for path in model_folder.model_files(entry.path):
        file = path.relative_to(entry.path).as_posix()
        if file not in recorded and file.endswith((".safetensors", ".bin")):
            problems.append(f"{file} was added after the model was made.")
    return list(dict.fromkeys(problems))


def remove(name: str) -> RegistryEntry:
    """Delete a model; a link put here by hand is unlinked, not followed. Returns what was removed.

    Raises:
        InputError: there is no such model.
    """
    entry = _must_find(name)
    if entry.path.is_symlink():
        entry.path.unlink()
    else:
        # Renamed first, so that a listing never shows a model that is half gone.
        with staging.box(models_dir()) as box, _lock():
            entry.path.rename(box / "removed")
    _refresh_quietly()
    return entry


def refresh() -> Path:
    """Write MODEL_REGISTRY.md from what is here; returns its path."""
    root = models_dir()
    root.mkdir(parents=True, exist_ok=True)
    with _lock():
        model_folder.write_text(root / PAGE, render(list_models(), root))
    return root / PAGE


def _must_find(name: str) -> RegistryEntry:
    entries = list_models()
    entry = _find(name, entries)
    if entry is None:
        raise _unknown(name, entries)
    return entry


def _refresh_quietly() -> None:
    """The page is a convenience: failing to write it must not turn a finished model into a failure."""
    try:
        refresh()
    except OSError as error:
        _log.warning("Could not write %s: %s", PAGE, error)


def _lock() -> FileLock:
    return FileLock(models_dir() / ".lock")


def _check_name(group: str, name: str) -> None:
    if group not in GROUPS:
        raise InputError(f"There is no group {group!r} in the registry.", f"Use one of: {', '.join(GROUPS)}.")
    if name.split(".")[0].lower() in _WINDOWS_DEVICES:
        raise InputError(f"{name!r} can't be a model's name: Windows keeps it for a device.", "Choose another name.")
    if not _NAME.match(name):
        raise InputError(
            f"{name!r} can't be a model's name.",
            "Use letters, digits, dot, dash and underscore, beginning with a letter or digit, 120 of them at most.",
        )


def _refuse_taken(final: Path) -> None:
    if final.exists() or final.is_symlink():
        full_name = f"{final.parent.name}/{final.name}"
        raise InputError(
            f"There is already a model {full_name}.",
            f"Choose another name, or remove it first: python3 app models remove {full_name}",
        )
