"""One model folder on disk: what it holds, whether it is whole, and its provenance in qtinker.json.

Reads headers only, never tensors, so that it is cheap and needs no torch. Nothing here knows of the registry.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import secrets
import struct
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from .errors import CheckpointError

META = "qtinker.json"
CARD = "README.md"
CONFIG = "config.json"
WEIGHTS = "model.safetensors"
WEIGHTS_INDEX = "model.safetensors.index.json"
# Largest header that safetensors itself accepts.
_HEADER_LIMIT = 100_000_000
_JSON_LIMIT = 16_000_000
_FLOATS = ("F64", "F32", "F16", "BF16", "F8", "F4")
_WEIGHT_FILES = (".safetensors", ".onnx", ".onnx.data", ".xml", ".gguf", ".pt2", ".pte")
_OTHER_WEIGHTS = (".onnx", ".gguf", ".tflite", ".mlpackage", ".pt2", ".pte", ".xml")


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a small file.

    Raises:
        CheckpointError: the file is missing, unreadable, not JSON, or no object.
    """
    try:
        if path.stat().st_size > _JSON_LIMIT:
            raise CheckpointError(f"{path.name} is {path.stat().st_size:,} bytes: too big to be what its name says.")
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise CheckpointError(f"{path.name} is missing.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path.name} can't be read: {' '.join(str(error).split())}.") from None
    if not isinstance(content, dict):
        raise CheckpointError(f"{path.name} holds a JSON {type(content).__name__} where an object is expected.")
    return content


def safetensors_header(path: Path) -> dict[str, dict[str, Any]]:
    """Name -> {dtype, shape, data_offsets} of each tensor, after checking the header against the file's length.

    Raises:
        CheckpointError: the file is truncated, foreign or inconsistent.
    """
    try:
        status = path.stat()
        return dict(_header(str(path), status.st_size, status.st_mtime_ns))
    except OSError as error:
        raise CheckpointError(f"{path.name} can't be read: {error.strerror or error}.") from None


@lru_cache(maxsize=512)
def _header(path: str, size: int, _mtime: int) -> dict[str, dict[str, Any]]:
    name = Path(path).name
    with Path(path).open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 2 <= length <= _HEADER_LIMIT:
            raise CheckpointError(f"{name} is not a safetensors file.")
        if 8 + length > size:
            raise CheckpointError(f"{name} is truncated: its header alone needs {8 + length:,} of {size:,} bytes.")
        raw = file.read(length)
    try:
        header = json.loads(raw)
        tensors = {key: value for key, value in header.items() if key != "__metadata__"}
        end = max((int(value["data_offsets"][1]) for value in tensors.values()), default=0)
        for value in tensors.values():
            math.prod(int(side) for side in value["shape"])
            str(value["dtype"])
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError):
        raise CheckpointError(f"{name} is not a safetensors file: its header is damaged.") from None
    expected = 8 + length + end
    if size < expected:
        raise CheckpointError(f"{name} is truncated: {size:,} of {expected:,} bytes are there.")
    if size > expected:
        raise CheckpointError(f"{name} has {size - expected:,} bytes more than its header accounts for.")
    return tensors


def safetensors_files(folder: Path) -> list[Path]:
    """The weight files in safetensors form that make up the model: one file, or the shards its index names.

    Raises:
        CheckpointError: the index is damaged or names a file that is not in the folder.
    """
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    if not (folder / WEIGHTS_INDEX).is_file():
        return sorted(path for path in folder.glob("*.safetensors") if path.is_file())
    weight_map = read_json(folder / WEIGHTS_INDEX).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise CheckpointError(f"{WEIGHTS_INDEX} names no files.")
    names = sorted({str(value) for value in weight_map.values()})
    for name in names:
        if Path(name).name != name or "\\" in name:
            raise CheckpointError(f"{WEIGHTS_INDEX} names {name!r}, which is not in the folder.")
        if not (folder / name).is_file():
            raise CheckpointError(f"{name} is missing, though {WEIGHTS_INDEX} names it.")
    return [folder / name for name in names]


def count_parameters(folder: Path) -> int | None:
    """Parameters by the safetensors headers (floating-point tensors; index buffers are none), None without such files.

    Raises:
        CheckpointError: a weight file is truncated or damaged.
    """
    files = safetensors_files(folder)
    if not files:
        return None
    total = 0
    for file in files:
        for tensor in safetensors_header(file).values():
            if str(tensor["dtype"]).startswith(_FLOATS):
                total += math.prod(int(side) for side in tensor["shape"])
    return total


def model_files(folder: Path) -> list[Path]:
    """Every file of the model, below the folder too, in a fixed order; hidden files and qtinker.json are left out."""
    found = []
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".") and name != "__pycache__"]
        found += [Path(parent, name) for name in files if not name.startswith(".") and name != META]
    return sorted(found)


def weight_files(folder: Path) -> list[Path]:
    """The files that hold the weights (and, for ONNX and OpenVINO, the graph); no tokenizer, card or config."""
    found = [path for path in sorted(folder.iterdir()) if path.is_file() and path.name.endswith(_WEIGHT_FILES)]
    found += [path.with_suffix(".bin") for path in found if path.suffix == ".xml"]
    return found + [path for path in sorted(folder.glob("*.mlpackage/**/*")) if path.is_file()]


def weights_bytes(folder: Path) -> int:
    """Size on disk of the weight files: what is meant by a model's size wherever one is told."""
    return sum(path.stat().st_size for path in weight_files(folder))


def is_model_folder(folder: Path) -> bool:
    """Whether a folder looks like a model, whole or not: a config, provenance, or weights of any known form."""
    try:
        names = [entry.name for entry in os.scandir(folder) if not entry.name.startswith(".")]
    except OSError:
        return False
    return any(
        name in (META, CONFIG, "bert_config.json") or name.endswith((".safetensors", ".bin", ".ckpt.index"))
        or name.endswith(_OTHER_WEIGHTS)
        for name in names
    )  # fmt: skip


def damage(folder: Path) -> str | None:
    """Why the folder can't be used as a model, in words, or None. Reads headers and sizes, hashes nothing.

    The model card is left out: people write into it.
    """
    try:
        names = {entry.name for entry in os.scandir(folder)}
        meta = read_meta(folder)
        for name, record in recorded_files(meta).items():
            file = folder / name
            if name == CARD:
                continue
            if not file.is_file():
                return f"{name} is missing."
            if isinstance(record.get("bytes"), int) and file.stat().st_size != record["bytes"]:
                words = f"{name} has {file.stat().st_size:,} bytes where {record['bytes']:,} were written."
                by_hand = f" (If you changed it on purpose: python3 app import {str(folder)!r})"
                return words + (by_hand if name.endswith((".json", ".txt")) else "")
        foreign_form = any(name.endswith(_OTHER_WEIGHTS) for name in names) or bool(meta)
        if CONFIG not in names:
            if "bert_config.json" in names or any(name.endswith(".ckpt.index") for name in names):
                return f"it is a TensorFlow checkpoint, not converted yet: python3 app import {str(folder)!r}"
            return None if foreign_form else f"{CONFIG} is missing."
        read_json(folder / CONFIG)
        weights = safetensors_files(folder)
        for file in weights:
            safetensors_header(file)
    except CheckpointError as error:
        return error.message
    except OSError as error:
        return f"it can't be read: {error.strerror or error}."
    if not weights and not foreign_form:
        if any(name.endswith(".bin") for name in names):
            return f"its weights are a pickle, which is never loaded as it is: python3 app import {str(folder)!r}"
        return f"it has no weights ({WEIGHTS} is missing)."
    return None


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def recorded_files(meta: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What provenance says of each file; names that would leave the folder are dropped."""
    files = meta.get("files")
    if not isinstance(files, dict):
        return {}
    return {
        name: record
        for name, record in files.items()
        if isinstance(record, dict) and name and "\\" not in name and not name.startswith("/")
        and ":" not in name and ".." not in name.split("/")
    }  # fmt: skip


def read_meta(folder: str | Path) -> dict[str, Any]:
    """The content of qtinker.json; empty where the file is absent or unreadable (the model may still be fine)."""
    try:
        return read_json(Path(folder) / META)
    except CheckpointError:
        return {}


def write_meta(folder: str | Path, meta: dict[str, Any]) -> dict[str, Any]:
    """Write qtinker.json beside the weights: `meta` plus each file's bytes and SHA-256, the parameters counted from
    the safetensors headers (unless given), the time and the format's number. Returns what was written.

    Raises:
        CheckpointError: a weight file is truncated or damaged.
    """
    folder = Path(folder)
    files = {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": sha256(path)}
        for path in model_files(folder)
    }
    full: dict[str, Any] = {"format": 1, "name": folder.name, "kind": "imported"}
    full |= {"created": datetime.now(UTC).isoformat(timespec="seconds"), **meta, "format": 1}
    if full.get("parameters") is None:
        full["parameters"] = count_parameters(folder)
    full["files"] = files
    write_text(folder / META, json.dumps(full, indent=2, ensure_ascii=False) + "\n")
    return full


def write_text(path: Path, text: str) -> None:
    """Replace a file in one step: a reader sees the old text or the new one, never a part."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        # Not tempfile: its files can be read by their owner alone, and these are as public as their neighbours.
        with temporary.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
