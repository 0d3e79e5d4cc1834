"""Several processes that execute one run, as `torchrun` or `accelerate launch` start them.

The first (the main one) decides, writes and speaks; the others train with it. In a process of its own, which is the
usual case, everything here does nothing and imports no torch.
"""

from __future__ import annotations

import atexit
import contextlib
import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from .errors import InputError, QTinkerError, RunFailed

if TYPE_CHECKING:
    from accelerate import PartialState

T = TypeVar("T")
PATIENCE = timedelta(days=7)
"""How long processes wait for one another: the main one may ask a teacher about a million texts. One that has died is
noticed at once, by its connection or by the launcher."""
_LOST = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "Timed out waiting", "NCCL", "gloo")


def count() -> int:
    """How many processes there are; a lone WORLD_SIZE, left by something else, does not count."""
    started = all(name in os.environ for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_ADDR"))
    return int(os.environ["WORLD_SIZE"]) if started else 1


def rank() -> int:
    """Which of the processes this is; 0 is the main one."""
    return int(os.environ["RANK"]) if count() > 1 else 0


def is_main() -> bool:
    """Whether this is the one that decides, writes and speaks."""
    return rank() == 0


def join(device: str = "auto") -> None:
    """Find the other processes, before the first `from_main`; `device` is where the run is to train.

    Raises:
        InputError: there are GPUs on this machine, and fewer than processes.
    """
    if count() > 1:
        atexit.unregister(_part)
        state(device)


def part_at_exit() -> None:
    """After a run that all have ended well: close their connections before Python ends.

    A thread of gloo that still held a tensor would abort the process then, and the launcher would call a finished run
    failed. Not after a failure: NCCL would wait for processes that are gone.
    """
    if count() > 1:
        atexit.unregister(_part)
        atexit.register(_part)


def _part() -> None:
    import torch

    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def state(device: str) -> PartialState:
    """accelerate's view of the processes. Several that find no GPU train on the processor, whatever the launcher said.

    Raises:
        InputError: there are GPUs on this machine, and fewer than processes.
    """
    import torch
    from accelerate import PartialState

    if device == "cpu":
        return PartialState(cpu=True, timeout=PATIENCE)
    if count() > 1:
        kind = torch.accelerator.current_accelerator(check_available=True)
        gpus = 0 if kind is None or kind.type in ("cpu", "mps") else torch.accelerator.device_count()
        if not gpus:
            return PartialState(cpu=True, timeout=PATIENCE)
        if (here := int(os.environ.get("LOCAL_WORLD_SIZE", "1"))) > gpus:
            raise InputError(
                f"{here} processes were started on this machine, which has {gpus} GPU{'s' if gpus > 1 else ''}.",
                f"Start {gpus}, or train on the processor: --device cpu.",
            )
    return PartialState(timeout=PATIENCE)


@contextlib.contextmanager
def main_first() -> Iterator[None]:
    """The main process does the block before the others, who then find what it left.

    Raises:
        QTinkerError: the main process failed; the others say so too and end.
    """
    if count() > 1 and not is_main():
        from_main(dict)
    try:
        yield
    except BaseException as error:
        if count() > 1 and is_main():
            _broadcast({"error": _words(error)})
        raise
    if count() > 1 and is_main():
        _broadcast({"value": None})


def is_lost(error: BaseException) -> bool:
    """Whether an error is that of a process whose partner has gone."""
    return count() > 1 and isinstance(error, RuntimeError) and any(words in str(error) for words in _LOST)


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
