"""Data sets of the Hugging Face Hub, by id; only what is plain data is read, no script of theirs is run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..home import LONGEST_NAME
from .read import DATA_SUFFIXES, arrow_table
from .table import RawTable

_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?(:[\w.-]+)?")
_EVAL_SPLITS = ("validation", "dev", "valid", "validation_matched", "test")


def looks_like_id(source: str) -> bool:
    """Whether a name that is no file may be a data set of the Hub: owner/name, name, or either with :config."""
    plain = source.lower().removesuffix(".gz")
    return (
        len(source) < LONGEST_NAME
        and bool(_ID.fullmatch(source))
        and not plain.endswith(DATA_SUFFIXES)
        and not Path(source).exists()
    )


def read_hub(source: str) -> tuple[RawTable, RawTable | None, str | None]:
    """Training rows, evaluation rows (None if the data set has one split only) and the latter's split name.

    Raises:
        InputError: there is no such data set, it can't be reached, or it needs code of its own.
    """
    name, _, config = source.partition(":")
    sets = _load(source, name, config or None)
    train = "train" if "train" in sets else next(iter(sets))
    held = next((split for split in _EVAL_SPLITS if split in sets and split != train), None)
    evaluation = _table(sets[held], f"{source} ({held})") if held else None
    return _table(sets[train], f"{source} ({train})"), evaluation, held


def _load(source: str, name: str, config: str | None) -> Any:
    import datasets

    try:
        return datasets.load_dataset(name, config)
    except Exception as error:  # its errors have no common root, and any of them means: not readable
        detail = " ".join(str(error).split())[:200]
        if "config" in detail.lower() and "pick" in detail.lower():
            fix = f"Name one of its configurations, as in {name}:CONFIG."
        else:
            fix = "Check the id and the connection, or give a file."
        raise InputError(
            f"There is no file {source}, and it can't be read as a data set of the Hugging Face Hub: "
            f"{type(error).__name__}: {detail}",
            fix,
        ) from None


def _table(split: Any, source: str) -> RawTable:
    inner = {name: getattr(feature, "feature", feature) for name, feature in split.features.items()}
    classes = {name: list(feature.names) for name, feature in inner.items() if hasattr(feature, "names")}
    return arrow_table(split.with_format("arrow")[:], source, "format: data set of the Hub", classes)
