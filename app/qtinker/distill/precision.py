"""Chooses the arithmetic of training: fp32, bf16 or fp16, by what the processor does well."""

from __future__ import annotations

import contextlib
import json
import time

import torch
from torch import Tensor, nn

from .. import model_folder
from ..home import cache_dir
from .layers import hidden_size, layer_count

GAIN = 1.25
"""How much faster bf16 must be on a CPU to be taken."""


def choose(name: str, model: nn.Module, device: torch.device) -> str:
    """`fp32`, `bf16` or `fp16` for a spec's precision.

    `auto`: bf16 on a GPU that computes in it; on a CPU what was faster in a short measurement of training steps of a
    model of this shape (its result is kept in the cache, so that the same machine gives the same answer); else fp32.
    """
    if name != "auto":
        return name
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    return _measured(model, device) if device.type == "cpu" else "fp32"


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """The context in which models compute; losses are computed outside it, in fp32."""
    dtype = torch.float16 if precision == "fp16" else torch.bfloat16
    return torch.autocast(device.type, dtype=dtype, enabled=precision != "fp32")


def _measured(model: nn.Module, device: torch.device) -> str:
    shape = f"{model.config.model_type}-L{layer_count(model)}-H{hidden_size(model)}"  # type: ignore[union-attr]
    capability = torch.backends.cpu.get_cpu_capability()
    key = f"{shape} threads={torch.get_num_threads()} torch={torch.__version__} cpu={capability}"
    file = cache_dir() / "precision.json"
    known: dict[str, str] = {}
    with contextlib.suppress(OSError, ValueError):
        known = json.loads(file.read_text(encoding="utf-8"))
    if known.get(key) not in ("fp32", "bf16"):
        seconds = {precision: _step_seconds(model, device, precision) for precision in ("fp32", "bf16")}
        known[key] = "bf16" if seconds["fp32"] > GAIN * seconds["bf16"] else "fp32"
        with contextlib.suppress(OSError):
            file.parent.mkdir(parents=True, exist_ok=True)
            model_folder.write_text(file, json.dumps(known, indent=1))
    return known[key]


def _step_seconds(model: nn.Module, device: torch.device, precision: str) -> float:
    """Fastest of a few forward and backward passes over 16 texts of 32 tokens; leaves no gradient behind."""
    length = min(32, int(getattr(model.config, "max_position_embeddings", 32)))
    ids = torch.full((16, length), 1, device=device)
    inputs: dict[str, Tensor] = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    best = float("inf")
    for _ in range(3):
        start = time.perf_counter()
        with autocast(device, precision):
            loss = model(**inputs).logits.float().square().mean()
        loss.backward()
        best = min(best, time.perf_counter() - start)
    model.zero_grad(set_to_none=True)
    return best
