"""What can be fetched: Google's checkpoints and the Hub models, by name, from catalog.toml. Torch-free.

An entry says where a model is, how big it is, what it should hash to, its shape, licence and role.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from .errors import InputError

_HUB = "https://huggingface.co/"
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
SETS: dict[str, str] = {
    "recommended": "What a first user needs: BERT tiny, mini, small, medium and base-uncased.",
    "students": "Every model meant to be a student.",
    "teachers": "Every model meant to be a teacher.",
    "multilingual": "Models of more languages than English.",
    "large": "BERT-Large in its four versions.",
    "all": "Everything.",
}
_RECOMMENDED = ("bert-tiny", "bert-mini", "bert-small", "bert-medium", "bert-base-uncased")


@dataclass(frozen=True)
class CatalogEntry:
    """One model that can be fetched. Sizes are in bytes; hashes are SHA-256 in hexadecimal, None where not known.

    `url` is the zip of a Google checkpoint, `repo` and `revision` the place of a Hub model. `lower_case` is what the
    tokenizer does. `parameters` follow from the shape, pretraining heads included.
    """

    name: str
    source: Literal["google", "hub"]
    group: str
    role: Literal["teacher", "student", "both"]
    licence: str
    language: str
    model_type: str
    layers: int
    hidden: int
    heads: int
    intermediate: int
    vocabulary: str
    vocab_size: int
    lower_case: bool
    parameters: int
    about: str = ""
    aliases: tuple[str, ...] = ()
    url: str | None = None
    repo: str | None = None
    revision: str | None = None
    data_file_bytes: int | None = None
    zip_bytes: int | None = None
    zip_sha256: str | None = None
    data_sha256: str | None = None
    index_sha256: str | None = None

    @property
    def shape(self) -> str:
        """`L-2_H-128_A-2`: layers, hidden units, attention heads."""
        return f"L-{self.layers}_H-{self.hidden}_A-{self.heads}"

    @property
    def download_bytes(self) -> int:
        """Bytes that cross the line: known, or estimated from the data file (fp32 weights hardly compress)."""
        return self.zip_bytes or round((self.data_file_bytes or 4 * self.parameters) * 0.94)

    @property
    def disk_bytes(self) -> int:
        """Bytes that fetching needs on disk at once: what is downloaded, its unpacked form, the converted model."""
        unpacked = self.data_file_bytes or 0
        return self.download_bytes + unpacked + 4 * self.parameters + 8_000_000

    @property
    def sets(self) -> tuple[str, ...]:
        """The sets that the model is in."""
        return tuple(name for name in SETS if self in in_set(name))


def bert_parameters(*, layers: int, hidden: int, intermediate: int, vocab_size: int) -> int:
    """Parameters of BERT with pooler, masked-language-model head (tied decoder) and next-sentence head
    (Devlin et al. 2019): 512 positions, 2 token types."""
    embeddings = (vocab_size + 512 + 2) * hidden + 2 * hidden
    attention = 4 * (hidden * hidden + hidden) + 2 * hidden
    feed_forward = 2 * hidden * intermediate + intermediate + hidden + 2 * hidden
    pooler = hidden * hidden + hidden
    heads = hidden * hidden + hidden + 2 * hidden + vocab_size + 2 * hidden + 2
    return embeddings + layers * (attention + feed_forward) + pooler + heads


@lru_cache(maxsize=1)
def catalog() -> dict[str, CatalogEntry]:
    """Every entry by name, in the order of the file."""
    with Path(__file__).with_name("catalog.toml").open("rb") as file:
        content = tomllib.load(file)
    entries = {}
    for name, table in content.items():
        table = {"aliases": [], "intermediate": 4 * table["hidden"], "model_type": "bert"} | table
        table["aliases"] = tuple(table["aliases"])
        if "parameters" not in table:
            table["parameters"] = bert_parameters(
                **{key: table[key] for key in ("layers", "hidden", "intermediate", "vocab_size")}
            )
        entries[name] = CatalogEntry(name=name, **table)
    return entries


@lru_cache(maxsize=1)
def _by_any_name() -> dict[str, CatalogEntry]:
    names: dict[str, CatalogEntry] = {}
    for entry in catalog().values():
        for name in (entry.name, *entry.aliases, *filter(None, [entry.repo])):
            names.setdefault(name.casefold(), entry)
    return names


def find(name: str) -> CatalogEntry | None:
    """The entry of that name or alias (Hub id or page, stem of Google's zip), in any case; None if there is none."""
    return _by_any_name().get(_plain(name).casefold())


def nearest(name: str, names: Iterable[str]) -> str:
    """What to do about a name that nothing has: the nearest of `names`; for an id of the Hub how its model comes in."""
    plain = _plain(name)
    if _HUB_ID.fullmatch(plain):
        return f"If it is a model of the Hub, fetch its files from {_HUB}{plain}, then: python3 app import FOLDER"
    lowered = {each.lower(): each for each in names}
    close = [lowered[hit] for hit in difflib.get_close_matches(plain.lower(), list(lowered), n=3, cutoff=0.5)]
    return (f"Did you mean {' or '.join(close)}? " if close else "") + "See what there is: python3 app models"


def _plain(name: str) -> str:
    return str(name).strip().removeprefix(_HUB).rstrip("/")


def in_set(name: str) -> list[CatalogEntry]:
    """The entries of a set, in the catalog's order.

    Raises:
        InputError: there is no such set.
    """
    entries = list(catalog().values())
    match name:
        case "recommended":
            return [catalog()[member] for member in _RECOMMENDED]
        case "students":
            return [entry for entry in entries if entry.role in ("student", "both")]
        case "teachers":
            return [entry for entry in entries if entry.role in ("teacher", "both")]
        case "multilingual":
            return [entry for entry in entries if entry.language != "en"]
        case "large":
            return [entry for entry in entries if entry.group == "bert_large"]
        case "all":
            return entries
    raise InputError(f"There is no set {name!r} in the catalog.", f"Use one of: {', '.join(SETS)}.")
