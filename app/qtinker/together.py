"""Several processes that execute one run, as `torchrun` or `accelerate launch` start them.

The first (the main one) decides, writes and speaks; the others train with it. In a process of its own, which is the
usual case, everything here does nothing and imports no torch.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

from .errors import QTinkerError, RunFailed

T = TypeVar("T")


def count() -> int:
    """How many processes there are; a lone WORLD_SIZE, left by something else, does not count."""
    started = all(name in os.environ for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_ADDR"))
    return int(os.environ["WORLD_SIZE"]) if started else 1


def is_main() -> bool:
    """Whether this is the one that decides, writes and speaks."""
    return count() == 1 or int(os.environ["RANK"]) == 0


def join(*, cpu: bool = False) -> None:
    """Find the other processes, before the first `from_main`; `cpu` where the run is to use no GPU."""
    if count() > 1:
        from accelerate import PartialState

        PartialState(cpu=True) if cpu else PartialState()


def from_main(work: Callable[[], T]) -> T:
    """What the main process's `work` returns, as every process's answer; it must be plain data.

    Raises:
        QTinkerError: the main process failed; the others say so too and end.
    """
    if count() == 1:
        return work()
    if is_main():
        try:
            value = work()
        except BaseException as error:
            _broadcast({"error": _words(error)})
            raise
        _broadcast({"value": value})
        return value
    told = _broadcast(None)
    if "error" in told:
        raise RunFailed(f"The main process ended: {told['error']}")
    return told["value"]


def _words(error: BaseException) -> str:
    return error.message if isinstance(error, QTinkerError) else f"{type(error).__name__}: {error}"


def _broadcast(value: Any) -> Any:
    from accelerate.utils import broadcast_object_list

    return broadcast_object_list([value])[0]
