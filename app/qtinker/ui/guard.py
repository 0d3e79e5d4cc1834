"""What a request may name: run ids, registry and catalog names, and data files in QTinker's own folders.

The command line takes any folder or file of its user; the page may be asked by anybody who reaches it, so it does not.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from pathlib import Path
from typing import Any

from .. import catalog, registry, runs
from ..errors import InputError, QTinkerError
from ..home import cache_dir, data_dir, expanded, home

DATA_ENDINGS = (".csv", ".tsv", ".jsonl", ".json", ".parquet", ".txt", ".conll")
SHEET_ENDINGS = (".xlsx", ".xls", ".ods")
MAX_UPLOAD = "4gb"  # QTINKER_MAX_UPLOAD gives another
MAX_TEXT = 20_000
NO_MODEL = "No model is chosen."
_MODEL_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?$")


def uploads_dir() -> Path:
    """Where the browser's uploads arrive; they are moved on or deleted."""
    return cache_dir() / "uploads"


def max_upload() -> str:
    """The largest file that may be uploaded, as a number with kb, mb or gb.

    Raises:
        InputError: QTINKER_MAX_UPLOAD is no such size.
    """
    given = os.environ.get("QTINKER_MAX_UPLOAD", "").strip().lower() or MAX_UPLOAD
    if not re.fullmatch(r"\d{1,6}(kb|mb|gb)", given):
        raise InputError(f"QTINKER_MAX_UPLOAD is {given[:20]!r}, which is no size.", "Write it as 500mb or 4gb.")
    return given


def model_name(value: Any) -> str:
    """The name of a model that is here or in the catalog; never a path.

    Raises:
        InputError: it is neither.
    """
    name = value.strip() if isinstance(value, str) else ""
    if not name:
        raise InputError(NO_MODEL, "Choose one from the list.")
    if len(name) > 200 or not _MODEL_NAME.match(name) or ".." in name:
        raise InputError(f"{name[:80]!r} is no model name.", "Choose one from the list on the Models page.")
    if registry.find(name) is None and catalog.find(name) is None:
        raise InputError(f"There is no model {name!r}.", "Choose one from the list on the Models page.")
    return name


def is_plain_name(value: str) -> bool:
    """Could it name a new model?"""
    return len(value) <= 100 and _MODEL_NAME.match(value) is not None and "/" not in value and ".." not in value


def local_model(value: Any) -> registry.RegistryEntry:
    """The registry entry of a whole model that is here.

    Raises:
        InputError: there is none of that name, or it is broken.
    """
    name = model_name(value)
    entry = registry.find(name)
    if entry is None:
        raise InputError(f"The model {name} is not here yet.", "Download it on the Models page.")
    if entry.path.is_symlink() or not entry.path.resolve().is_relative_to(registry.models_dir().resolve()):
        raise InputError(f"The model {name} is a link to another folder; the page does not follow it.")
    if entry.broken:
        raise InputError(f"The model {name} can't be used: {entry.broken}", "Verify or remove it on the Models page.")
    return entry


def data_source(value: Any) -> str:
    """`sample`, or a data file in QTINKER_HOME or among the uploads.

    Raises:
        InputError: anything else: another folder, a link that leaves, an ending that is no data.
    """
    text = value.strip() if isinstance(value, str) else ""
    if not text:
        raise InputError("No data is chosen.", "Upload a file, or take the bundled sample.")
    if text == "sample":
        return text
    fix = f"Upload the file, or put it into {data_dir()}."
    if len(text) > 1000 or "\0" in text:
        raise InputError("That is no path to a data file.", fix)
    path = expanded(text)
    try:
        choices = [path] if path.is_absolute() else [data_dir() / path, home() / path]
        real = next((choice.resolve() for choice in choices if choice.is_file()), None)
    except OSError:
        real = None
    allowed = any(real.is_relative_to(root.resolve()) for root in (home(), uploads_dir())) if real else False
    if real is None or not allowed or any(part.startswith(".") for part in real.relative_to(_root(real)).parts):
        raise InputError(f"There is no data file {text[:200]!r} in QTinker's folders.", fix)
    _check_ending(real)
    return str(real)


def data_of(name: str | None) -> str:
    """What a model was measured or trained on; empty where the page may not read that, `sample` where nobody knows."""
    try:
        run = local_model(name).run
        spec = runs.open(run).spec() if run else None
    except QTinkerError:
        spec = None
    try:
        return data_source(spec.data.eval or spec.data.train) if spec else "sample"
    except QTinkerError:
        return ""


def _check_ending(file: Path) -> None:
    ending = file.suffix.lower()
    if ending in SHEET_ENDINGS:
        raise InputError(f"{file.name!r} is a spreadsheet.", "Save its sheet as CSV, and give that file.")
    if ending not in DATA_ENDINGS:
        raise InputError(f"{file.name!r} is no data file.", f"Endings that are: {', '.join(DATA_ENDINGS)}.")


def hub_or_file(value: Any) -> str:
    """As `data_source`, and the id of a data set on the Hub (`owner/name`), which training would fetch.

    Raises:
        InputError: none of these.
    """
    words = value.strip() if isinstance(value, str) else ""
    if _MODEL_NAME.match(words) and "/" in words and ".." not in words and not words.lower().endswith(DATA_ENDINGS):
        return words
    return data_source(words)


def _root(real: Path) -> Path:
    return uploads_dir().resolve() if real.is_relative_to(uploads_dir().resolve()) else home().resolve()


def is_upload(source: str) -> bool:
    """Is it a file among the uploads?"""
    return Path(source).is_absolute() and Path(source).resolve().is_relative_to(uploads_dir().resolve())


def keep_upload(path: str) -> str:
    """Move an uploaded data file into the data folder, under its own name unless another file has it.

    Raises:
        InputError: it is no upload, or no data file by its ending.
    """
    source = Path(path).resolve()
    if not source.is_relative_to(uploads_dir().resolve()) or not source.is_file():
        raise InputError("That file was not uploaded here.", "Upload it again.")
    _check_ending(source)
    if source.stat().st_size == 0:
        raise InputError(f"{source.name!r} is empty.", "Upload a file with at least two rows.")
    with source.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()[:8]
    stem = re.sub(r"[^\w.-]+", "-", source.stem).strip(".-")[:60] or "data"
    target = data_dir() / f"{stem}-{digest}{source.suffix.lower()}"
    data_dir().mkdir(parents=True, exist_ok=True)
    if not target.is_file():
        shutil.move(source, target)
    return str(target)


def uploaded_file(path: Any) -> Path:
    """An upload that is to be imported, still in the upload folder.

    Raises:
        InputError: it is not there.
    """
    real = Path(str(path)).resolve()
    if not real.is_relative_to(uploads_dir().resolve()) or not real.exists():
        raise InputError("That file was not uploaded here.", "Upload it again.")
    return real


def text(value: Any, limit: int = MAX_TEXT) -> str:
    """A text to run through a model.

    Raises:
        InputError: it is empty or too long.
    """
    words = value.strip() if isinstance(value, str) else ""
    if not words:
        raise InputError("There is no text.", "Type a sentence.")
    if len(words) > limit:
        raise InputError(f"The text has {len(words):,} characters; {limit:,} are the most here.", "Shorten it.")
    return words
