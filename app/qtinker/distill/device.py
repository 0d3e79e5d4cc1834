"""What a training asks of device and allocator: transfers that nobody waits for, memory that is not given back."""

from __future__ import annotations

import ctypes
import gc
import platform
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress

import torch
from torch import Tensor

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_USUAL = 32 * 2**20
"""The largest threshold to which glibc's allocator goes by itself."""


def moved(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor on the device; to a GPU from pinned memory, so that the copy runs beside what it computes."""
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


@contextmanager
def memory_kept() -> Generator[None, None, None]:
    """Keep freed memory for the next step while this lasts, where the C library would give it back (glibc).

    A step frees and asks for hundreds of megabytes. Given back, they come as pages that the system must fill with
    zeros anew: an eighth of a BERT-base's step on one thread, as measured. Elsewhere nothing happens.
    """
    libc = _glibc()
    if libc is None:
        yield
        return
    libc.mallopt(_MMAP_THRESHOLD, 2**30)
    libc.mallopt(_TRIM_THRESHOLD, 2**31 - 1)
    try:
        yield
    finally:
        libc.mallopt(_MMAP_THRESHOLD, _USUAL)
        libc.mallopt(_TRIM_THRESHOLD, 2 * _USUAL)
        gc.collect()
        libc.malloc_trim(0)


def busy_share(device: torch.device) -> float | None:
    """How busy a GPU was of late, 0 to 1, as its driver says; None where nobody says."""
    if device.type != "cuda":
        return None
    with suppress(Exception):  # no NVML, no permission, a driver of another maker
        return torch.cuda.utilization(device) / 100
    return None


def _glibc() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux") or platform.libc_ver()[0] != "glibc":
        return None
    with suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt, libc.malloc_trim  # noqa: B018  (raises where they aren't)
        return libc
    return None
