"""Where QTinker keeps what it makes: one home folder with bert_models/, runs/ and cache/.

The home is $QTINKER_HOME; else the checkout that this file lies in, or whose environment (.venv) it is installed in;
else ~/qtinker.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from .errors import InputError
from .given import in_a_file, kind_of

LONGEST_NAME = 255
"""Bytes of the name of a file or folder that every common file system takes."""
_PLACES = Path(__file__).resolve().parents[2], Path(sys.prefix).resolve().parent


def home() -> Path:
    """The folder that holds everything; read anew on each call, so tests and subprocesses can move it."""
    if moved := os.environ.get("QTINKER_HOME"):
        return Path(moved).expanduser().resolve()
    for place in _PLACES:
        if all((place / name).is_file() for name in ("requirements.txt", "app/__main__.py", "app/qtinker/home.py")):
            return place
    return Path.home() / "qtinker"


def expanded(path: str | Path) -> Path:
    """A path with the home of `~` or `~user` in it; as it is where that user has none here.

    Raises:
        InputError: it is no path, or too long a name for a file.
    """
    if not isinstance(path, str | os.PathLike):
        raise InputError(f"Expected a name or a path, found {kind_of(path)}.", in_a_file(path))
    if any(len(os.fsencode(part)) > LONGEST_NAME for part in Path(path).parts):
        raise InputError(f"{str(path)[:40]!r}... is too long for a name or a path.", "Give the name of a file.")
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def models_dir() -> Path:
    """The registry folder, `bert_models/`."""
    return home() / "bert_models"


def runs_dir() -> Path:
    """One folder a run, `runs/`."""
    return home() / "runs"


def data_dir() -> Path:
    """Data that was uploaded on the page or given in memory, kept so that a run that uses it can be resumed."""
    return home() / "data"


def cache_dir() -> Path:
    """Token arrays and teacher outputs: may be deleted at any time, is made again."""
    return home() / "cache"
