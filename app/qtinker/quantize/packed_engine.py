"""Engine compressed-tensors: weights really packed, in safetensors that plain `from_pretrained` loads.

torchao keeps 4-bit weights in a byte each on a CPU, and its packed layouts need CUDA. The formats of
compressed-tensors hold eight 4-bit weights in an int32, and transformers unpacks them to float while loading
(`"dequantize": true` in config.json): the file is small on every device, and the model runs as fast as the float one.
Unpacking on loading rather than in the first forward also is what lets embeddings take part.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import MissingExtra
from .layers import Layers, group_size, patterns
from .schemes import Scheme

FLOAT8_MAX = 448.0
"""The largest number of e4m3."""
_SHRINK = [1.0 - 0.04 * step for step in range(8)]
"""Ranges tried for each group: cutting off its largest weight a little often rounds the others better."""


def quantize_model(
    model: Any, layers: Layers, scheme: Scheme, folder: Path, *, loss: Callable[[], float]
) -> dict[str, Any]:
    """Pack the layers' weights, write them, and leave `model` with the weights that they unpack to. Returns what to
    note about it. Groups are tried with and without zero points, and the better is kept.

    Args:
        loss: how far the model's answers now are from the float model's.

    Raises:
        InputError: the layers' widths can't be cut into groups.
        MissingExtra: compressed-tensors is not installed.
    """
    import torch
    from safetensors.torch import save_file

    original = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
    tries = []
    for symmetric in (False, True) if scheme.group else (True,):
        tensors, unpacked, group = _pack(original, layers, scheme, symmetric=symmetric)
        model.load_state_dict(unpacked)
        tries.append((loss(), tensors, unpacked, group, symmetric))
    _, tensors, unpacked, group, symmetric = min(tries, key=lambda one: one[0])
    model.load_state_dict(unpacked)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    _write_config(model, group, folder)
    assert next(model.parameters()).dtype == torch.float32
    return {"group_size": group.weights.group_size, "symmetric": symmetric, "runs_as": "float32"}


def _pack(
    original: dict[str, Any], layers: Layers, scheme: Scheme, *, symmetric: bool
) -> tuple[dict[str, Any], dict[str, Any], Any]:
    """What to save, what a model loads from it, and the format's own description."""
    try:
        from compressed_tensors.compressors import BaseCompressor
        from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
    except ImportError as error:
        raise MissingExtra(
            "4-bit weights need compressed-tensors, which is not installed.", "pip install compressed-tensors"
        ) from error
    touched = {f"{name}.weight" for name in layers.all}
    columns = [original[name].shape[1] for name in touched]
    number = "float" if scheme.name == "fp8" else "int"
    if scheme.group:
        size = group_size(columns, scheme.group)
        arguments = QuantizationArgs(
            num_bits=scheme.bits, type=number, symmetric=symmetric, strategy="group", group_size=size
        )  # fmt: skip
    else:
        arguments = QuantizationArgs(num_bits=scheme.bits, type=number, symmetric=True, strategy="channel")
    form = "float-quantized" if number == "float" else "pack-quantized"
    targets = [f"re:^{pattern}$" for pattern in patterns(layers.all)]
    group = QuantizationScheme(targets=targets, weights=arguments, format=form)
    compressor = BaseCompressor.get_value_from_registry(form)
    tensors, unpacked = {}, {}
    for name, tensor in original.items():
        if name not in touched:
            tensors[name] = _half_of_head(tensor) if scheme.group else tensor.contiguous().cpu()
            unpacked[name] = tensors[name].to(tensor.dtype)
            continue
        given = {"weight": tensor}
        if scheme.group:
            given["weight_scale"], given["weight_zero_point"] = group_parameters(
                tensor, size, bits=scheme.bits, symmetric=symmetric
            )
        else:
            given["weight_scale"] = row_scale(tensor, FLOAT8_MAX if number == "float" else 2 ** (scheme.bits - 1) - 1)
        packed = compressor.compress(given, group)
        tensors |= {name.removesuffix("weight") + key: value.contiguous() for key, value in packed.items()}
        unpacked[name] = compressor.decompress(packed, group)["weight"].to(tensor.dtype)
    return tensors, unpacked, group


def _write_config(model: Any, group: Any, folder: Path) -> None:
    from compressed_tensors.quantization import QuantizationConfig

    config = QuantizationConfig(config_groups={"weights": group}, format=group.format, quantization_status="compressed")
    content = json.loads(model.config.to_json_string(use_diff=False))
    content |= {"architectures": [type(model).__name__], "dtype": "float32"}
    content["quantization_config"] = {**json.loads(config.model_dump_json()), "dequantize": True}
    (folder / "config.json").write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def row_scale(weight: Any, largest: float) -> Any:
    """float32 [rows, 1]: what makes the largest weight of a row `largest`."""
    import torch

    return (weight.float().abs().amax(1, keepdim=True) / largest).clamp(min=torch.finfo(torch.float32).tiny)


def group_parameters(weight: Any, size: int, *, bits: int, symmetric: bool) -> tuple[Any, Any]:
    """Scale (float16) and zero point (int8) of each group of `size` neighbours in a row: [rows, columns / size] each.

    Of a few ranges the one with the smallest squared error is taken. Asymmetric: `w = (q - zero_point) * scale` with
    q and zero_point in -8..7 for 4 bits; symmetric: zero_point is 0.
    """
    import torch

    # A few rows at a time stay in the processor's cache: several times faster for large embeddings.
    parts = [
        _part_parameters(rows, size, bits=bits, symmetric=symmetric)
        for rows in weight.split(max(1, 2**17 // len(weight[0])))
    ]
    return torch.cat([scale for scale, _ in parts]), torch.cat([zero for _, zero in parts])


def _part_parameters(weight: Any, size: int, *, bits: int, symmetric: bool) -> tuple[Any, Any]:
    """`group_parameters` of a few rows."""
    import torch

    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    groups = weight.reshape(weight.shape[0], -1, size)
    smallest = groups.amin(-1).clamp(max=0)
    largest = groups.amax(-1).clamp(min=0)
    tries = []
    for shrink in _SHRINK:
        if symmetric:
            scale = torch.maximum(largest, -smallest) * shrink / ((high - low) / 2)
        else:
            scale = (largest - smallest) * shrink / (high - low)
        # The smallest normal number of half precision: below it a scale would lose its digits.
        scale = scale.clamp(min=2.0**-14).half().float()
        zero = torch.zeros_like(scale) if symmetric else (low - smallest * shrink / scale).round().clamp(low, high)
        rounded = (groups / scale[..., None] + zero[..., None]).round().clamp(low, high) - zero[..., None]
        error = (rounded * scale[..., None] - groups).square().sum(-1)
        tries.append((error, scale, zero))
    best = torch.stack([error for error, _, _ in tries]).argmin(0, keepdim=True)
    scale, zero = (torch.stack([one[part] for one in tries]).gather(0, best)[0] for part in (1, 2))
    return scale.half(), zero.to(torch.int8)


def _half_of_head(tensor: Any) -> Any:
    """Matrices that stay float (pooler, classifier) are written in half precision; vectors as they are."""
    import torch

    tensor = tensor.detach().contiguous().cpu()
    fits = tensor.dtype == torch.float32 and tensor.ndim == 2 and tensor.abs().max() < torch.finfo(torch.float16).max
    return tensor.half() if fits else tensor.clone()
