"""Makes models smaller: `quantize` writes a quantized copy into the registry, verified against its source.

One module an engine; `schemes` (free of torch) says what each scheme touches, needs and promises.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .schemes import SCHEMES, Scheme, choose_engine, find

if TYPE_CHECKING:
    from ..data import Examples

__all__ = ["SCHEMES", "Scheme", "choose_engine", "find", "quantize"]


def quantize(
    source: str | Path,
    scheme: str,
    *,
    name: str | None = None,
    engine: str = "auto",
    device: str = "cpu",
    force: bool = False,
    check_rows: Examples | Sequence[Any] | None = None,
    calibration: Examples | Sequence[Any] | None = None,
    max_loss: float = 0.5,
    fresh: bool = True,
    progress: Callable[[str], None] | None = None,
) -> Path:
    """Write a quantized copy of a model into the registry's group `quantized`.

    The copy is loaded again in a fresh process and compared with its source on `check_rows` before it enters.

    Args:
        source: registry name, catalog name or folder of a float model with a trained head.
        scheme: a name in `SCHEMES`.
        name: the copy's name; left out: the source's with the scheme behind it.
        engine: auto, or one of the scheme's engines.
        device: where it will run: cpu, cuda, ...; the comparison runs there.
        force: keep the copy even if it answers too differently from its source.
        check_rows: examples, texts or pairs of texts to compare on; left out: texts of random words.
        calibration: examples to find ranges on, for int8-static; left out: `check_rows`.
        max_loss: for mixed, most points of the metric that may be lost on `check_rows`.
        fresh: False compares in this process, which saves starting one.
        progress: called with a line for each step.

    Returns:
        The new model's folder.

    Raises:
        InputError: no such model or scheme, the model is quantized already, or the scheme can't be applied to it.
        CheckpointError: the model is damaged, or has no trained head.
        MissingExtra: the engine is not installed.
        QTinkerError: the copy answers too differently from its source (the numbers are in the message).
    """
    from .make import make

    return make(
        source, find(scheme), name=name, engine=engine, device=device, force=force, check_rows=check_rows,
        calibration=calibration, max_loss=max_loss, fresh=fresh,
        progress=progress or (lambda line: None),
    )  # fmt: skip


def iter_schemes() -> Iterable[Scheme]:
    """All schemes, in the order to show them."""
    return SCHEMES.values()
