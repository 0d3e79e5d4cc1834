"""Engine compressed-tensors: weights really packed, in safetensors that plain `from_pretrained` loads.

torchao keeps 4-bit weights in a byte each on a CPU, and its packed layouts need CUDA. The formats of
compressed-tensors hold eight 4-bit weights in an int32, and transformers unpacks them to float while loading
(`"dequantize": true` in config.json): the file is small on every device, and the model runs as fast as the float one.
Unpacking on loading rather than in the first forward also is what lets embeddings take part.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import MissingExtra
from .layers import Layers, group_size, patterns
from .schemes import Scheme

FLOAT8_MAX = 448.0
"""The largest number of e4m3."""
_SHRINK = [1.0 - 0.04 * step for step in range(8)]
"""Ranges tried for each group: cutting off its largest weight a little often rounds the others better."""


@dataclass(frozen=True)
class Packing:
    """How some layers' weights are packed: `bits` each, in groups of `size` (None: a row) that share a scale.

    `exact` names each layer in the file; else one pattern stands for a layer's copies in all blocks.
    """

    layers: list[str]
    bits: int
    size: int | None
    symmetric: bool = True
    number: str = "int"
    exact: bool = False

    @property
    def format(self) -> str:
        """The format's name in compressed-tensors."""
        return "float-quantized" if self.number == "float" else "pack-quantized"


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
    original = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
    size = None
    if scheme.group:
        size = group_size([original[f"{name}.weight"].shape[1] for name in layers.all], scheme.group)
    number = "float" if scheme.name == "fp8" else "int"
    tries = []
    for symmetric in (False, True) if size else (True,):
        packing = Packing(layers.all, scheme.bits, size, symmetric, number)
        tensors, unpacked = pack(original, packing, halve=bool(size))
        model.load_state_dict(unpacked)
        tries.append((loss(), tensors, unpacked, packing))
    _, tensors, unpacked, packing = min(tries, key=lambda one: one[0])
    model.load_state_dict(unpacked)
    write(model, tensors, packing, folder)
    return {"group_size": packing.size, "symmetric": packing.symmetric, "runs_as": "float32"}


def pack(original: dict[str, Any], packing: Packing, *, halve: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """What to save, and what a model loads from it; other tensors stay as they are.

    Args:
        halve: write the matrices that stay float in half precision.
    """
    chosen = {f"{name}.weight" for name in packing.layers}
    compressor, description = _compressor(packing), _description(packing)
    tensors, unpacked = {}, {}
    for name, tensor in original.items():
        if name not in chosen:
            tensors[name] = in_half(tensor) if halve else tensor.contiguous().cpu()
            unpacked[name] = tensors[name].to(tensor.dtype)
            continue
        packed = compressor.compress(_parameters(tensor, packing), description)
        tensors |= {name.removesuffix("weight") + key: value.contiguous() for key, value in packed.items()}
        unpacked[name] = compressor.decompress(packed, description)["weight"].to(tensor.dtype)
    return tensors, unpacked


def round_weight(tensor: Any, packing: Packing) -> Any:
    """The weights that a matrix would unpack to."""
    compressor, description = _compressor(packing), _description(packing)
    packed = compressor.compress(_parameters(tensor, packing), description)
    return compressor.decompress(packed, description)["weight"].to(tensor.dtype)


def write(model: Any, tensors: dict[str, Any], packing: Packing, folder: Path) -> None:
    """Write the packed tensors, and a config.json that tells transformers how to unpack them.

    transformers 5.23 unpacks all layers of a file by one description, so a file has one packing. Tied weights are
    written once, and tied again on loading.
    """
    from compressed_tensors.quantization import QuantizationConfig
    from safetensors.torch import save_file

    names = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    tied = names - {name for name, _ in model.named_parameters()}
    once = {name: tensor for name, tensor in tensors.items() if name not in tied}
    save_file(once, folder / "model.safetensors", metadata={"format": "pt"})
    config = QuantizationConfig(
        config_groups={"weights": _description(packing)}, format=packing.format, quantization_status="compressed"
    )
    content = json.loads(model.config.to_json_string(use_diff=False))
    content.pop("_name_or_path", None)  # a path on this computer
    content |= {"architectures": [type(model).__name__], "dtype": "float32"}
    content["quantization_config"] = {**json.loads(config.model_dump_json()), "dequantize": True}
    (folder / "config.json").write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _compressor(packing: Packing) -> Any:
    try:
        from compressed_tensors.compressors import BaseCompressor
    except ImportError as error:
        raise MissingExtra(
            "4-bit weights need compressed-tensors, which is not installed.", "pip install compressed-tensors"
        ) from error
    return BaseCompressor.get_value_from_registry(packing.format)


def _description(packing: Packing) -> Any:
    """compressed-tensors' own description of a packing."""
    from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme

    share = {"strategy": "group", "group_size": packing.size} if packing.size else {"strategy": "channel"}
    arguments = QuantizationArgs(num_bits=packing.bits, type=packing.number, symmetric=packing.symmetric, **share)
    names = [re.escape(name) for name in packing.layers] if packing.exact else patterns(packing.layers)
    return QuantizationScheme(targets=[f"re:^{name}$" for name in names], weights=arguments, format=packing.format)


def _parameters(tensor: Any, packing: Packing) -> dict[str, Any]:
    """Weight, scales and zero points as a compressor takes them."""
    if packing.size:
        scale, zero = group_parameters(tensor, packing.size, bits=packing.bits, symmetric=packing.symmetric)
        return {"weight": tensor, "weight_scale": scale, "weight_zero_point": zero}
    largest = FLOAT8_MAX if packing.number == "float" else 2 ** (packing.bits - 1) - 1
    return {"weight": tensor, "weight_scale": row_scale(tensor, largest)}


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


def in_half(tensor: Any) -> Any:
    """Matrices that stay float (pooler, classifier) are written in half precision; vectors as they are."""
    import torch

    tensor = tensor.detach().contiguous().cpu()
    fits = tensor.dtype == torch.float32 and tensor.ndim == 2 and tensor.abs().max() < torch.finfo(torch.float16).max
    return tensor.half() if fits else tensor.clone()
