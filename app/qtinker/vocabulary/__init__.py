"""Trims vocabularies: `trim` writes a copy of a model that knows only the tokens that its texts need.

In small and in multilingual BERTs the embeddings are most of the bytes, and a user's texts need a fraction of the
tokens. Tokenizer and embeddings are rewritten together; texts that the kept tokens cover are answered bit for bit as
before (checked before the copy enters the registry). A trimmed model is an ordinary model: it can be distilled into,
quantized and exported like any other.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..data import Examples

__all__ = ["trim"]


def trim(
    source: str | Path,
    *,
    data: str | Path | Examples | None = None,
    text: str | Path | None = None,
    keep: Iterable[str] = (),
    scripts: Sequence[str] = (),
    name: str | None = None,
    fresh: bool = True,
    progress: Callable[[str], None] | None = None,
) -> Path:
    """Write a copy of a model whose vocabulary holds only what some texts need, into the registry, beside its source.

    Kept are the tokens of all cells of `data`, of every line of `text` and of `keep`; every token of a single
    character, so that any word can still be spelled; and the special and added tokens.

    Args:
        source: registry name, catalog name or folder of a float model that cuts texts by WordPiece.
        data: a file of examples (every format that training reads), a data set of the Hub, `sample`, or examples.
        text: a file of plain text; every line counts.
        keep: words or texts that must be covered too.
        scripts: keep all tokens written in these scripts, named as Unicode does: latin, cyrillic, greek, cjk, ...
        name: the copy's name; left out: the source's with `-trimmed` behind it.
        fresh: False checks the answers in this process alone, which saves starting one.
        progress: called with a line for each step.

    Returns:
        The new model's folder.

    Raises:
        InputError: nothing says what to keep, the vocabulary can't be trimmed (no WordPiece), or the model is
            quantized already.
        CheckpointError: the model is damaged.
        QTinkerError: the trimmed model does not answer as its source does (nothing is kept).
    """
    from .make import make

    with tempfile.TemporaryDirectory(prefix="qtinker-trim-") as folder:
        return make(
            source, data=data, text=None if text is None else _again(Path(text), Path(folder)), keep=list(keep),
            scripts=scripts, name=name, fresh=fresh, progress=progress or (lambda line: None),
        )  # fmt: skip


def _again(text: Path, folder: Path) -> Path:
    """A file that can be read several times: a pipe's content is copied."""
    if not text.exists() or text.is_file() or text.is_dir():
        return text
    with text.open("rb") as pipe, (folder / "text.txt").open("wb") as copy:
        shutil.copyfileobj(pipe, copy)
    return folder / "text.txt"
