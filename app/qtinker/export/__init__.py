"""Writes models in forms that run elsewhere: `export` makes a folder with tokenizer, example and card, checked.

One module a format; `FORMATS` (free of torch) says what each is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .formats import FORMATS, Format, find_format

if TYPE_CHECKING:
    from ..data import Examples

__all__ = ["FORMATS", "Format", "export", "find_format"]


def export(
    model: str | Path,
    format: str,
    out: str | Path | None = None,
    *,
    name: str | None = None,
    force: bool = False,
    check_rows: Examples | Sequence[Any] | None = None,
    fresh: bool = True,
    progress: Callable[[str], None] | None = None,
) -> Path:
    """Write a model in another format, with tokenizer, a runnable example and a card that says what was checked.

    The result is loaded again in a fresh process by the format's own library and compared with its source.

    Args:
        model: registry name, catalog name or folder of a PyTorch model with a trained head (float or packed 4-bit;
            the latter is exported as the float model it unpacks to).
        format: a name in `FORMATS`.
        out: a new or empty folder to write to; left out: the registry's group `exported`.
        name: its name in the registry.
        force: keep it even if it answers differently from its source.
        check_rows: examples, texts or pairs of texts to compare on.
        fresh: False compares in this process.
        progress: called with a line for each step.

    Returns:
        The folder.

    Raises:
        InputError: no such model or format, the model can't be exported, or `out` is not empty.
        CheckpointError: the model is damaged, or has no trained head.
        MissingExtra: the format's library is not installed (the fix is the command that installs it).
        QTinkerError: the result answers differently from its source (the numbers are in the message).
    """
    from .make import make

    return make(
        model, find_format(format), None if out is None else Path(out), name=name, force=force,
        check_rows=check_rows, fresh=fresh, progress=progress or (lambda line: None),
    )  # fmt: skip
