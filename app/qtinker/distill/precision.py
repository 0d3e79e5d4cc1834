"""Chooses the arithmetic of training and the kernel of attention, each by a short measurement on this machine.

What was measured is kept in the cache by model shape and machine, so that the same machine gives the same answer.
"""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn

from .. import model_folder
from ..checkpoint import head_logits
from ..home import cache_dir
from .layers import hidden_size, layer_count

GAIN = 1.25
"""How much faster bf16 must be to be taken."""
KERNEL_GAIN = 1.03
"""How much faster eager attention must be than PyTorch's fused function, which needs less memory."""
KERNELS = ("sdpa", "eager")
LONGEST = 256
"""Tokens above which eager attention would need too much memory to be tried."""
_BATCH, _LENGTH = 16, 32
"""Examples and tokens of a measured step on a processor, where a few are enough to fill it."""
ASKING = (16, 128)
"""Examples and tokens that stand on a GPU for the large batches in which a teacher is asked."""
_ENOUGH_S = 2.0
_AGREED: ContextVar[dict[str, str] | None] = ContextVar("agreed", default=None)


@contextlib.contextmanager
def agreed(known: dict[str, str]) -> Iterator[None]:
    """In the block `auto` says of all models what it says of the first: trainings that are compared compute alike.

    Args:
        known: what was chosen, by the kind of device; filled in here.
    """
    token = _AGREED.set(known)
    try:
        yield
    finally:
        _AGREED.reset(token)


def choose(name: str, model: nn.Module, device: torch.device, *, size: tuple[int, int]) -> str:
    """`fp32`, `bf16` or `fp16` for a spec's precision.

    `auto`: what was faster in a short measurement of training steps of this model; fp32 where the device is neither a
    processor nor a GPU that computes in bf16.

    Args:
        size: examples and tokens of a step. A GPU is measured with them: it waits for small steps to be launched,
            and whether bf16 helps depends on how many numbers there are.
    """
    if name != "auto":
        return name
    known = _AGREED.get()
    if known is not None and device.type in known:
        return known[device.type]
    seconds = _arithmetic(model, device, size)
    chosen = "bf16" if seconds and seconds["fp32"] > GAIN * seconds["bf16"] else "fp32"
    if known is not None:
        known[device.type] = chosen
    return chosen


def reason(name: str, model: nn.Module, device: torch.device, *, size: tuple[int, int]) -> str:
    """Why `choose` says what it says, for the user."""
    if name != "auto":
        return f"{name}, as asked for"
    known = _AGREED.get()
    if known is not None and device.type in known:
        return f"{known[device.type]}, as all that are compared (measured with the first)"
    seconds, chosen = _arithmetic(model, device, size), choose(name, model, device, size=size)
    if not seconds:
        return "fp32, as this device computes in nothing else"
    if max(seconds.values()) == math.inf:
        return f"{chosen}, as there was too little memory to measure which is faster"
    share = seconds["bf16"] / max(seconds["fp32"], 1e-12)
    return f"{chosen}, as a step in bf16 takes {share:.2f} of the time of one in fp32 (measured)"


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """The context in which models compute; losses are computed outside it, in fp32."""
    dtype = torch.float16 if precision == "fp16" else torch.bfloat16
    return torch.autocast(device.type, dtype=dtype, enabled=precision != "fp32")


def attention_kernel(model: Any, device: torch.device, precision: str, *, size: tuple[int, int]) -> str | None:
    """`sdpa` or `eager`, whichever made a training step (dropout and all) faster at this size; None: the model's own.

    With dropout PyTorch has no fused kernel on processors, and what it does instead is sometimes the slower way.

    Args:
        size: examples and tokens of a step; as with `choose` the examples matter on a GPU alone.
    """
    length = -(-size[1] // 8) * 8
    if attention_of(model) not in KERNELS or not hasattr(model, "set_attn_implementation") or size[1] > LONGEST:
        return None
    own, measured = attention_of(model), (size[0] if device.type == "cuda" else _BATCH, length)

    def seconds(kernel: str) -> float:
        model.set_attn_implementation(kernel)
        try:
            return _step_seconds(model, device, precision, size=measured, training=True)
        finally:
            model.set_attn_implementation(own)

    what = f"{precision} {_named(measured)}" if device.type == "cuda" else f"{precision} length={length}"
    found = _known(what, KERNELS, seconds, model, device)
    return "eager" if found["sdpa"] > KERNEL_GAIN * found["eager"] else "sdpa"


def attention_of(model: Any) -> str | None:
    """The name of the model's attention kernel, where it says."""
    return getattr(model.config, "_attn_implementation", None)


def _arithmetic(model: nn.Module, device: torch.device, size: tuple[int, int]) -> dict[str, float]:
    """Seconds of a step by arithmetic; empty where there is no choice."""
    measured, what = (_BATCH, _LENGTH), "step"
    if device.type == "cuda":
        if not torch.cuda.is_bf16_supported(including_emulation=False):
            return {}
        measured = (size[0], -(-size[1] // 8) * 8)
        what = f"step {_named(measured)}"
    elif device.type != "cpu":
        return {}

    def seconds(name: str) -> float:
        return _step_seconds(model, device, name, size=measured)

    return _known(what, ("fp32", "bf16"), seconds, model, device)


def _named(size: tuple[int, int]) -> str:
    return f"batch={size[0]} length={size[1]}"


def _known(
    what: str, names: tuple[str, ...], measure: Callable[[str], float], model: nn.Module, device: torch.device
) -> dict[str, float]:
    """Seconds for each name, measured now unless that was done before for this shape on this machine."""
    shape = f"{model.config.model_type}-L{layer_count(model)}-H{hidden_size(model)}"  # type: ignore[union-attr]
    chip = torch.cuda.get_device_name(device) if device.type == "cuda" else torch.backends.cpu.get_cpu_capability()
    key = f"{what} {shape} threads={torch.get_num_threads()} torch={torch.__version__} {device.type}={chip}"
    file = cache_dir() / "measured.json"
    known: dict[str, Any] = {}
    with contextlib.suppress(OSError, ValueError):
        known = json.loads(file.read_text(encoding="utf-8"))
    found = known.get(key)
    if not isinstance(found, dict) or set(found) != set(names) or not all(type(s) is float for s in found.values()):
        found = known[key] = {name: measure(name) for name in names}
        if max(found.values()) == math.inf:
            return found  # there may be more room the next time
        with contextlib.suppress(OSError):
            file.parent.mkdir(parents=True, exist_ok=True)
            model_folder.write_text(file, json.dumps(known, indent=1))
    return found


def _step_seconds(
    model: nn.Module, device: torch.device, precision: str, *, size: tuple[int, int], training: bool = False
) -> float:
    """Fastest of a few forward and backward passes over texts of one length; leaves nothing behind but the time.

    Args:
        size: examples and tokens of each.
        training: with dropout.

    Returns:
        Seconds; infinite where the GPU's memory is too small.
    """
    batch, length = size
    length = min(length, int(getattr(model.config, "max_position_embeddings", length)))
    used = getattr(model.get_input_embeddings(), "used", None)  # type: ignore[operator]
    word = 1 if used is None else int(used[-1])  # where only the words in use are trained, it must be one of them
    ids = torch.full((batch, length), word, device=device)
    inputs: dict[str, Tensor] = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    mode, best, begun = model.training, float("inf"), time.perf_counter()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        model.train(training)
        try:
            for count in range(3):
                start = time.perf_counter()
                with autocast(device, precision):
                    out = model(**inputs)
                    loss = head_logits(out, inputs["attention_mask"]).float().square().mean()
                loss.backward()
                if device.type == "cuda":
                    torch.cuda.synchronize(device)
                best = min(best, time.perf_counter() - start)
                if count and time.perf_counter() - begun > _ENOUGH_S:
                    break
        except torch.OutOfMemoryError:
            return math.inf
        finally:
            model.train(mode)
            model.zero_grad(set_to_none=True)
    return best
