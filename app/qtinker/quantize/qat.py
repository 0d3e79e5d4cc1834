"""Quantization-aware training: the student computes with the weights that it will have in 4 (or 8) bits.

During the training torchao's fake-quantized modules round the weights of the encoder's linear layers and of the
embeddings in each forward pass; the gradient goes through as if they did not (straight-through estimator, Bengio et al.
2013). At the end the weights are rounded for good, and the modules are ordinary ones again: the saved float student
lies on the 4-bit grid, and packing it changes next to nothing.

The grid is that of the packed file (from the smallest to the largest weight of a group, with a whole zero point, scales
in half precision): torchao's own for groups has zero points between the steps, which the file can't hold.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from .layers import Layers, group_size, select_layers
from .schemes import GROUP


@contextlib.contextmanager
def rounding(model: Any, bits: str) -> Iterator[None]:
    """Train with rounded weights within the block; after it the model's own modules are back, their weights rounded.

    Args:
        bits: int4, int8, or none, which changes nothing.

    Raises:
        InputError: the layers' widths can't be cut into groups of 4 bits.
    """
    if bits == "none":
        yield
        return
    layers = select_layers(model)
    prepare(model, layers, bits)
    try:
        yield
    finally:
        finish(model, layers)


def prepare(model: Any, layers: Layers, bits: str) -> None:
    """Put torchao's fake-quantized modules in place of the layers; parameters stay the same objects."""
    import torch
    from torchao.quantization.qat import FakeQuantizedEmbedding, FakeQuantizedLinear
    from torchao.quantization.qat.fake_quantizer import FakeQuantizerBase

    size = None
    if bits == "int4":
        size = group_size([model.get_parameter(f"{name}.weight").shape[1] for name in layers.all], GROUP)

    class Grid(FakeQuantizerBase):
        """Rounds matrices [rows, columns] in the forward pass and passes gradients on."""

        enabled = True

        def forward(self, weight: torch.Tensor) -> torch.Tensor:
            with torch.no_grad():
                change = on_grid(weight, size) - weight
            return weight + change

    class Rows(FakeQuantizedEmbedding):
        """Rounds the rows that are looked up rather than the whole table: groups never cross rows."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            rows = torch.nn.functional.embedding(x, self.weight, self.padding_idx)
            return self.weight_fake_quantizer(rows.reshape(-1, rows.shape[-1])).view_as(rows)

    for name in layers.all:
        old = model.get_submodule(name)
        if name in layers.embeddings:
            new = FakeQuantizedEmbedding.from_embedding(old)
            new.__class__ = Rows
        else:
            new = FakeQuantizedLinear.from_linear(old)
        new.weight_fake_quantizer = Grid()
        _put(model, name, new.train(old.training))


def on_grid(weight: Any, size: int | None) -> Any:
    """The nearest weights [rows, columns] that 4 bits in groups of `size` can hold; 8 bits with a scale a row without
    `size`. What is on the grid stays where it is, but for the last bits of half-precision scales."""
    import torch

    if size is None:
        scale = (weight.abs().amax(1, keepdim=True) / 127).clamp(min=torch.finfo(torch.float32).tiny)
        return (weight / scale).round().clamp(-127, 127) * scale
    groups = weight.reshape(weight.shape[0], -1, size)
    smallest, largest = groups.amin(-1, keepdim=True).clamp(max=0), groups.amax(-1, keepdim=True).clamp(min=0)
    scale = ((largest - smallest) / 15).clamp(min=2.0**-14).half().float()
    zero = (-8 - smallest / scale).round().clamp(-8, 7)
    steps = (groups / scale + zero).round().clamp(-8, 7)
    # The ends of the range stay its ends, or the grid would be another one the next time.
    whole = scale > 2.0**-14
    steps = torch.where((groups == smallest) & (smallest < 0) & whole, -8.0, steps)
    steps = torch.where((groups == largest) & (largest > 0) & whole, 7.0, steps)
    return ((steps - zero) * scale).reshape(weight.shape)


def finish(model: Any, layers: Layers) -> None:
    """Round the weights for good and put plain modules back."""
    import torch

    for name in layers.all:
        module = model.get_submodule(name)
        with torch.no_grad():
            module.weight.copy_(module.weight_fake_quantizer(module.weight))
        plain = module.to_embedding() if name in layers.embeddings else module.to_linear()
        _put(model, name, plain.train(module.training))


def _put(model: Any, name: str, module: Any) -> None:
    parent, _, child = name.rpartition(".")
    setattr(model.get_submodule(parent), child, module)
