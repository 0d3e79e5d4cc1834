"""Scheme mixed: 4 bits where that costs nothing, half precision where it does, found by measuring each layer.

1. Each layer alone is rounded to 4 bits, and the error of the model's logits is measured.
2. All layers in 4 bits; then those that cost most for the bytes they save go back to 16 bits, until what the model
   loses on the evaluation data is within the user's limit. Bisection finds how many.

The rounding tried is exactly what is written (packed_engine), so the limit holds for the file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import SchemeUnfit
from .layers import Layers, group_size
from .packed_engine import Packing, in_half, pack, round_weight, write
from .schemes import GROUP

LOW, HIGH = 4, 16


@dataclass
class Plan:
    """What was chosen.

    Attributes:
        bits: of each layer, 4 or 16.
        cost: error of the logits with that layer alone in 4 bits.
        lost: points of the metric that the whole plan loses.
        tried: plans measured, as (layers in 16 bits, points lost).
    """

    bits: dict[str, int]
    cost: dict[str, float]
    lost: float
    tried: list[tuple[int, float]]


def quantize_model(
    model: Any, layers: Layers, folder: Path, *, error: Callable[[], float], lost: Callable[[], float],
    max_loss: float, progress: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:  # fmt: skip
    """Find the bits of each layer, write the model, and leave `model` with what it unpacks to; returns what to note.

    Args:
        error: how far the model's logits now are from the float model's.
        lost: points of the metric that the model as it is now loses against the float model.
        max_loss: most points that may be lost.

    Raises:
        InputError: the layers' widths can't be cut into groups.
        SchemeUnfit: no layer can be in 4 bits within the limit.
        MissingExtra: compressed-tensors is not installed.
    """
    original = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
    size = group_size([original[f"{name}.weight"].shape[1] for name in layers.all], GROUP)
    plan = find_plan(model, layers, size=size, error=error, lost=lost, max_loss=max_loss, progress=progress)
    low = [name for name in layers.all if plan.bits[name] == LOW]
    if not low:
        raise SchemeUnfit(
            f"No layer can be in 4 bits within {max_loss:g} points: even one alone costs more.",
            "Raise --max-loss, or use int8-weight-only.",
        )
    packing = Packing(low, LOW, size, symmetric=False, exact=True)
    tensors, unpacked = pack(original, packing, halve=True)
    model.load_state_dict(unpacked)
    write(model, tensors, packing, folder)
    weights = {name: original[f"{name}.weight"].numel() for name in layers.all}
    return {
        "group_size": size, "symmetric": False, "runs_as": "float32", "max_loss": max_loss, "lost": plan.lost,
        "bits_by_layer": plan.bits, "cost_by_layer": plan.cost, "tried": plan.tried,
        "average_bits": sum(plan.bits[name] * count for name, count in weights.items()) / sum(weights.values()),
    }  # fmt: skip


def find_plan(
    model: Any, layers: Layers, *, size: int, error: Callable[[], float], lost: Callable[[], float], max_loss: float,
    progress: Callable[[str], None] = lambda line: None,
) -> Plan:  # fmt: skip
    """The bits of each layer; `model` is left with them."""
    packing = Packing([], LOW, size, symmetric=False)
    weights = {name: model.get_parameter(f"{name}.weight") for name in layers.all}
    rounded = {
        name: {LOW: round_weight(weight.detach(), packing), HIGH: in_half(weight).to(weight.dtype)}
        for name, weight in weights.items()
    }
    count = {name: weight.numel() for name, weight in weights.items()}

    def put(bits: dict[str, int]) -> None:
        for name, number in bits.items():
            weights[name].data.copy_(rounded[name][number])

    progress(f"Measuring what each of {len(weights)} layers costs in {LOW} bits")
    put(dict.fromkeys(layers.all, HIGH))
    cost = {}
    for name in layers.all:
        put({name: LOW})
        cost[name] = error()
        put({name: HIGH})
    # The bytes that a layer takes back are the price of making its error go away.
    order = sorted(layers.all, key=lambda name: -cost[name] / count[name])
    tried: list[tuple[int, float]] = []

    def bits_of(raised: int) -> dict[str, int]:
        return {name: HIGH if at < raised else LOW for at, name in enumerate(order)}

    def attempt(raised: int) -> float:
        put(bits_of(raised))
        tried.append((raised, lost()))
        progress(f"{raised} of {len(order)} layers in {HIGH} bits: {tried[-1][1]:.2f} points lost")
        return tried[-1][1]

    low, high = 0, len(order)  # with `low` raised too much is lost, with `high` not
    found = attempt(0)
    if found <= max_loss:
        high = 0
    while high - low > 1:
        middle = (low + high) // 2
        if (points := attempt(middle)) <= max_loss:
            high, found = middle, points
        else:
            low = middle
    if high == len(order):
        found = attempt(high)
    put(bits_of(high))
    chosen = bits_of(high)
    return Plan({name: chosen[name] for name in layers.all}, cost, found, tried)
