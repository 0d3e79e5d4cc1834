"""The device that a name means."""

from __future__ import annotations

import re

import torch

from .errors import InputError
from .spec import DEVICES


def pick_device(name: str = "auto") -> torch.device:
    """The device of a name; `auto` takes a GPU where there is one.

    Raises:
        InputError: there is no such device here, or no such name.
    """
    if not re.match(DEVICES, str(name)):
        raise InputError(f"There is no device {name!r}.", "Use auto, cpu, cuda, cuda:1 (the second GPU) or mps.")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InputError(
            f"There is no device {name}: PyTorch finds {torch.cuda.device_count()} NVIDIA GPUs.", "Use --device auto."
        )
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise InputError("There is no device mps: it needs a Mac with Apple silicon.", "Use --device auto.")
    return device
