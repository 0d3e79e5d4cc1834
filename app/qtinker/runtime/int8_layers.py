"""Runs torchao's INT8 layers fast on a CPU, with the same arithmetic.

On a CPU torchao 0.18 sums up a whole weight matrix at each call, unpacks a whole embedding table to look up a few
rows, and its tensor subclass costs time at each operation, so that INT8 ends up slower than float. These layers do what
torchao does without that: a linear layer is one int8 product (`torch._int_mm`, by oneDNN with VNNI or AMX), an
embedding unpacks the rows it looks up. The saved folder stays torchao's.
"""

from __future__ import annotations

import time
from typing import Any

import torch

_CACHE_BYTES = 1 << 19


class Int8Linear(torch.nn.Module):
    """`y = x W^T + b` with int8 weights (a scale a row) and activations rounded to int8 with a scale a token.

    Buffers: weight int8 [N, K], scale float32 [N], bias float32 [N] or None.
    """

    weight: torch.Tensor
    scale: torch.Tensor
    bias: torch.Tensor | None

    def __init__(self, weight: torch.Tensor, scale: torch.Tensor, bias: torch.Tensor | None) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.register_buffer("scale", scale)
        self.register_buffer("bias", bias)
        # Parts that stay in the processor's cache between the product and the scaling of its result.
        self.rows = max(32, _CACHE_BYTES // (4 * max(weight.shape)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """float32 [..., K] to float32 [..., N]."""
        flat = x.reshape(-1, x.shape[-1])
        if len(flat) <= self.rows:
            out = self._part(flat)
        else:
            out = torch.empty(len(flat), self.weight.shape[0], dtype=x.dtype, device=x.device)
            for start in range(0, len(flat), self.rows):
                out[start : start + self.rows] = self._part(flat[start : start + self.rows])
        return out.view(*x.shape[:-1], -1)

    def _part(self, x: torch.Tensor) -> torch.Tensor:
        # As torchao.quantization.choose_qparams_affine: symmetric, -128..127, so the scale is the maximum over 127.5.
        scale = x.abs().amax(-1, keepdim=True).div_(127.5).clamp_(min=torch.finfo(torch.float32).eps)
        rounded = (x * scale.reciprocal()).round_().clamp_(-128, 127).to(torch.int8)
        y = torch._int_mm(rounded, self.weight.t()).to(x.dtype).mul_(scale).mul_(self.scale)
        return y if self.bias is None else y.add_(self.bias)


class Int8Embedding(torch.nn.Module):
    """Looks up rows of an int8 table [N, K] with a scale a row [N, 1], and unpacks only those."""

    weight: torch.Tensor
    scale: torch.Tensor

    def __init__(self, weight: torch.Tensor, scale: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.register_buffer("scale", scale)

    def forward(self, numbers: torch.Tensor) -> torch.Tensor:
        """int64 [...] to float32 [..., K]."""
        flat = numbers.reshape(-1)
        rows = self.weight.index_select(0, flat).float().mul_(self.scale.index_select(0, flat))
        return rows.view(*numbers.shape, -1)


def speed_up(model: torch.nn.Module) -> int:
    """Put the layers above in place of torchao's on the CPU; linear ones only where this processor is faster with
    them than with float. Returns how many were put in."""
    linears: dict[str, Any] = {name: module for name, module in model.named_modules() if _is_dynamic(module)}
    if linears and not _worth_it(max(linears.values(), key=lambda module: module.weight.numel())):
        linears = {}
    tables: dict[str, Any] = {name: module for name, module in model.named_modules() if _is_table(module)}
    found: dict[str, Any] = {**linears, **tables}
    for name in found:
        layer: Any = model.get_submodule(name)
        parent, _, child = name.rpartition(".")
        new: torch.nn.Module
        if name in tables:
            new = Int8Embedding(layer.weight.qdata, layer.weight.scale.detach().float().view(-1, 1))
        else:
            new = _converted(layer)
        setattr(model.get_submodule(parent), child, new.eval())
    return len(found)


def _is_int8(module: Any, kind: Any) -> bool:
    """Whether the layer's weight is torchao's, on the CPU, with a scale a row and no zero points."""
    if not isinstance(module, kind) or type(module.weight).__name__ != "Int8Tensor":
        return False
    weight: Any = module.weight
    return (
        weight.scale.numel() == weight.qdata.shape[0]
        and weight.qdata.device.type == "cpu"
        and weight.dtype == torch.float32
        and (weight.zero_point is None or not weight.zero_point.any())
    )


def _is_table(module: Any) -> bool:
    return _is_int8(module, torch.nn.Embedding) and module.max_norm is None


def _is_dynamic(module: Any) -> bool:
    if not _is_int8(module, torch.nn.Linear):
        return False
    activations = module.weight.act_quant_kwargs
    return (
        activations is not None
        and type(activations.granularity).__name__ == "PerRow"
        and activations.mapping_type.name == "SYMMETRIC"
        and not activations.reduce_range
        and module.weight.act_pre_scale is None
        and module.weight.act_quant_scale is None
    )


def _converted(module: Any) -> Int8Linear:
    bias = None if module.bias is None else module.bias.detach()
    return Int8Linear(module.weight.qdata, module.weight.scale.detach().flatten().float(), bias)


def _worth_it(module: Any) -> bool:
    """Whether int8 beats float here, tried on one layer: without VNNI or AMX it may not."""
    fast = _converted(module)
    x = torch.randn(128, fast.weight.shape[1])
    plain = torch.randn(fast.weight.shape[0], fast.weight.shape[1])

    def best(call: Any) -> float:
        times = []
        for _ in range(4):
            started = time.perf_counter()
            call()
            times.append(time.perf_counter() - started)
        return min(times)

    try:
        with torch.inference_mode():
            return best(lambda: fast(x)) < best(lambda: torch.nn.functional.linear(x, plain))
    except RuntimeError:  # a build without the product
        return False
