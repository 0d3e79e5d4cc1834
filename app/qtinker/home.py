"""Where QTinker keeps what it makes: one home folder with bert_models/, runs/ and cache/.

The home is $QTINKER_HOME; else the checkout this file lies in; else ~/qtinker (pip installs).
"""

from __future__ import annotations

import os
from pathlib import Path

_CHECKOUT = Path(__file__).resolve().parents[2]


def home() -> Path:
    """The folder that holds everything; read anew on each call, so tests and subprocesses can move it."""
    if moved := os.environ.get("QTINKER_HOME"):
        return Path(moved).expanduser().resolve()
    if (_CHECKOUT / "requirements.txt").is_file() and (_CHECKOUT / "app" / "__main__.py").is_file():
        return _CHECKOUT
    return Path.home() / "qtinker"


def models_dir() -> Path:
    """The registry folder, `bert_models/`."""
    return home() / "bert_models"


def runs_dir() -> Path:
    """One folder a run, `runs/`."""
    return home() / "runs"


def cache_dir() -> Path:
    """Token arrays and teacher outputs: may be deleted at any time, is made again."""
    return home() / "cache"
