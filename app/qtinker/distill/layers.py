"""How a model's states and attention scores are read, and which layers are matched (mapping.py).

Layers are numbered from 1, as in the papers: layer l is `hidden_states[l]`, and `hidden_states[0]` is the output of
the embeddings. Attention scores are taken before softmax, by hooks on the query and key projections: fused attention
kernels never hold them, and what transformers returns as `attentions` is after softmax (and after dropout).
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn

from .. import checkpoint
from ..errors import InputError
from .mapping import Pairs as Pairs
from .mapping import feature_pairs as feature_pairs
from .mapping import patient_pairs as patient_pairs


def layer_count(model: nn.Module) -> int:
    """Number of transformer layers of a transformers model."""
    return int(model.config.num_hidden_layers)  # type: ignore[union-attr, arg-type]


def head_count(model: nn.Module) -> int:
    """Attention heads of each layer."""
    return int(model.config.num_attention_heads)  # type: ignore[union-attr, arg-type]


def hidden_size(model: nn.Module) -> int:
    """Width of the hidden states."""
    return int(model.config.hidden_size)  # type: ignore[union-attr, arg-type]


def attention_width(model: nn.Module) -> int:
    """Width of queries, keys and values, all heads side by side; it is the hidden size but for MobileBERT.

    Raises:
        InputError: the architecture keeps them in a form that is not known here.
    """
    module, third = _projection_modules(model, "q")[0]
    weight: Tensor = module.weight  # type: ignore[assignment]
    return int(weight.shape[0] if third is None else weight.shape[1] // 3)


@dataclass(frozen=True)
class Needs:
    """What a loss reads of a model, beside its answer."""

    hidden_states: bool = False
    hidden_layers: tuple[int, ...] = ()
    """Of the hidden states those that are compared, 0 being the embeddings' output; empty: all."""
    cls_layers: tuple[int, ...] = ()
    """Layers, from 1, of which only the first token's state is read."""
    attention_layers: tuple[int, ...] = ()
    """Layers, from 1, whose queries, keys (and values) are read."""
    attention_parts: str = "qk"
    answers: bool = True
    """Whether the answer is read: of several teachers, that of each is."""


@dataclass
class Outputs:
    """What a model said: the answer and, where asked for, what it went through."""

    logits: Tensor | None
    attention_mask: Tensor
    hidden_states: tuple[Tensor, ...] | dict[int, Tensor] = ()
    """(B, L, D) each; [0] is the embeddings' output, [l] layer l's. Kept ones are a dict of those that are compared."""
    cls_states: dict[int, Tensor] = field(default_factory=dict)
    """(B, D) by layer."""
    attention: Attention | None = None
    answer_mask: Tensor | None = None
    """(B, L), 1 where a teacher with other tokens has an answer for the student's; None: everywhere."""


def run(model: nn.Module, inputs: dict[str, Tensor], needs: Needs = Needs()) -> Outputs:
    """One forward pass, reading what `needs` asks for."""
    reader = AttentionReader(model, needs.attention_layers, needs.attention_parts) if needs.attention_layers else None
    with reader or nullcontext():
        out = model(**inputs, output_hidden_states=needs.hidden_states or bool(needs.cls_layers))
    return Outputs(
        logits=checkpoint.head_logits(out, inputs["attention_mask"]),
        attention_mask=inputs["attention_mask"],
        hidden_states=tuple(out.hidden_states) if needs.hidden_states else (),
        cls_states={layer: out.hidden_states[layer][:, 0] for layer in needs.cls_layers},
        attention=reader,
    )


class Attention:
    """Queries, keys and values of some layers, each (B, L, width), heads side by side.

    Args:
        taken: by part (q, k, v) and layer.
    """

    def __init__(self, heads: int, taken: dict[str, dict[int, Tensor]]) -> None:
        self.heads, self.taken = heads, taken

    def scores(self, layer: int) -> Tensor:
        """Attention scores before softmax and without a mask, `Q K^T / sqrt(d)`: (B, heads, L, L), fp32."""
        query, key = (self._split(self.taken[part][layer].float()) for part in "qk")
        with torch.autocast(query.device.type, enabled=False):
            return query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5

    def _split(self, vectors: Tensor) -> Tensor:
        batch, length, width = vectors.shape
        return vectors.view(batch, length, self.heads, width // self.heads).transpose(1, 2)


class AttentionReader(Attention):
    """Queries, keys and values of the wanted layers in one forward pass, each (B, L, width), heads side by side.

    A context: the hooks are there inside it only. A layer whose weights are shared (ALBERT) is called once for each
    layer, so layers are numbered by the order of the calls.

    Raises:
        InputError: on construction, where the architecture keeps queries and keys in a form that is not known here.
    """

    def __init__(self, model: nn.Module, layers: Collection[int], parts: str = "qk") -> None:
        super().__init__(head_count(model), {part: {} for part in parts})
        self.layers, self.parts = frozenset(layers), parts
        self._modules = {part: _projection_modules(model, part) for part in parts}

    def __enter__(self) -> AttentionReader:
        self._calls = dict.fromkeys(self.parts, 0)
        self._handles = [
            module.register_forward_hook(partial(self._take, part, third))
            for part, modules in self._modules.items()
            for module, third in modules
        ]
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()

    def _take(self, part: str, third: int | None, _module: nn.Module, _inputs: object, output: Tensor) -> None:
        self._calls[part] += 1
        if (layer := self._calls[part]) in self.layers:
            self.taken[part][layer] = output if third is None else output.chunk(3, dim=-1)[third]


_NAMES = ({"q": "query", "k": "key", "v": "value"}, {"q": "q_lin", "k": "k_lin", "v": "v_lin"})


def _projection_modules(model: nn.Module, part: str) -> list[tuple[nn.Module, int | None]]:
    """The modules that project to queries, keys or values, in the order of the layers; with the third of the output
    to take where one module makes all three (GPT-2).

    Raises:
        InputError: this architecture keeps them in a form that is not known here.
    """
    found: list[tuple[nn.Module, int | None]] = []
    for module in model.modules():
        for names in _NAMES:
            if all(isinstance(getattr(module, name, None), nn.Linear) for name in names.values()):
                found.append((getattr(module, names[part]), None))
        if hasattr(module, "c_attn") and not hasattr(module, "q_attn"):
            found.append((module.get_submodule("c_attn"), "qkv".index(part)))
    if not found:
        raise InputError(
            f"Queries and keys of {type(model).__name__} can't be read: its attention has an unknown layout.",
            "Use the method 'logit' or 'patient', or attention_weight 0.",
        )
    return found
