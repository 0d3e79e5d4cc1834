"""Data sets of the Hugging Face Hub, by id; only what is plain data is read, no script of theirs is run."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..home import LONGEST_NAME
from .read import DATA_SUFFIXES, arrow_table
from .table import RawTable

_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?(:[\w.-]+)?")
REACH_S = 10
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
        with _asked_once() as reached:
            return datasets.load_dataset(name, config)
    except Exception as error:  # its errors have no common root, and any of them means: not readable
        detail = " ".join(str(error).split())[:200]
        if "config" in detail.lower() and "pick" in detail.lower():
            fix = f"Name one of its configurations, as in {name}:CONFIG."
        elif beside := _named_alike(source):
            fix = f"If you mean the file {beside}, give its whole name; else check the id and the connection."
        else:
            fix = "Check the id and the connection, or give a file."
        unasked = not reached and isinstance(error, ConnectionError)
        why = "it can't be reached." if unasked else f"{type(error).__name__}: {detail}"
        raise InputError(
            f"There is no file {source}, and it can't be read as a data set of the Hugging Face Hub: {why}", fix
        ) from None


@contextmanager
def _asked_once() -> Iterator[bool]:
    """Whether the Hub answers; where not, the library looks for what it fetched before, and doesn't ask for half a
    minute."""
    import datasets
    import requests
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE
    try:
        if not any(before):
            requests.head(constants.ENDPOINT, timeout=REACH_S)
    except requests.RequestException:
        constants.HF_HUB_OFFLINE = datasets.config.HF_HUB_OFFLINE = True
    try:
        yield not constants.HF_HUB_OFFLINE
    finally:
        constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE = before


def _named_alike(source: str) -> str | None:
    """A data file of that name with an ending."""
    path = Path(source)
    names = sorted(each.name for each in path.parent.glob(f"{glob.escape(path.name)}.*"))
    found = [name for name in names if name.lower().removesuffix(".gz").endswith(DATA_SUFFIXES)]
    return str(path.with_name(found[0])) if found else None


def _table(split: Any, source: str) -> RawTable:
    inner = {name: getattr(feature, "feature", feature) for name, feature in split.features.items()}
    classes = {name: list(feature.names) for name, feature in inner.items() if hasattr(feature, "names")}
    return arrow_table(split.with_format("arrow")[:], source, "format: data set of the Hub", classes)
