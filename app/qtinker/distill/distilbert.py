"""Makes a DistilBERT of chosen layers of a BERT, as DistilBERT's students are made (Sanh et al. 2019, section 3).

DistilBERT has no embeddings for first and second text. Those of the first are added to the position embeddings here,
so that the student with all layers says of a single text exactly what its source says.
"""

from __future__ import annotations

import copy
from typing import Any

import torch

from .. import heads
from ..checkpoint import Loaded
from ..errors import InputError
from ..label_order import order_of

LAYER_PARTS = {
    "attention.self.query": "attention.q_lin",
    "attention.self.key": "attention.k_lin",
    "attention.self.value": "attention.v_lin",
    "attention.output.dense": "attention.out_lin",
    "attention.output.LayerNorm": "sa_layer_norm",
    "intermediate.dense": "ffn.lin1",
    "output.dense": "ffn.lin2",
    "output.LayerNorm": "output_layer_norm",
}
HEAD_PARTS = {
    "cls.predictions.transform.dense": "vocab_transform",
    "cls.predictions.transform.LayerNorm": "vocab_layer_norm",
    "qa_outputs": "qa_outputs",
}
"""Heads that the two architectures share; the classification head of a whole text is another and starts anew."""


def cut_distilbert(source: Loaded, layers: list[int], *, task: Any, seed: int) -> Loaded:
    """A DistilBERT with a BERT's embeddings and its layers of these numbers (from 0), and a head for the task.

    The heads for hidden words and for answers in a text are copied, as is the one for words where it is for the same
    labels; the head for whole texts is new, from `seed`.

    Raises:
        InputError: the source is no BERT, or has no such layer.
    """
    import transformers

    given = source.model.config
    if given.model_type != "bert":
        raise InputError(
            f"{source.name} is no BERT but a {given.model_type}: a DistilBERT can't be made of its layers.",
            "Leave architecture at same, or take a BERT.",
        )
    if wrong := [layer for layer in layers if not 0 <= layer < given.num_hidden_layers]:
        raise InputError(
            f"{source.name} has no layer {wrong[0]}: its {given.num_hidden_layers} layers are numbered 0 to "
            f"{given.num_hidden_layers - 1}.",
            "Correct the layers to keep.",
        )
    config = transformers.DistilBertConfig(
        vocab_size=given.vocab_size, dim=given.hidden_size, n_layers=len(layers), n_heads=given.num_attention_heads,
        hidden_dim=given.intermediate_size, max_position_embeddings=given.max_position_embeddings,
        activation=given.hidden_act, dropout=given.hidden_dropout_prob,
        attention_dropout=given.attention_probs_dropout_prob, pad_token_id=given.pad_token_id, **task.head_config(),
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = getattr(transformers, task.head_class).from_config(config, dtype=torch.float32)
    weights = _weights(source.model, layers)
    if order_of(source.labels, task.labels) is None:
        weights = {name: tensor for name, tensor in weights.items() if not name.startswith("classifier.")}
    own = model.state_dict()
    fitting = {name: tensor for name, tensor in weights.items() if name in own and own[name].shape == tensor.shape}
    model.load_state_dict(fitting, strict=False)
    model.tie_weights()
    if "classifier.weight" in fitting:  # of the words, in the source's order of labels
        heads.rename(model, source.labels)
        heads.bring_into_order(model, task.labels)
    meta = {**source.meta, "name": f"{source.name}-distilbert-L{'-'.join(map(str, layers))}"}
    trained = not source.new_head and any(name.startswith(("classifier.", "qa_outputs.")) for name in fitting)
    new = task.type != "masked-lm" and not trained
    return Loaded(model.eval(), copy.deepcopy(source.tokenizer), meta, None, new_head=new)


def _weights(model: Any, layers: list[int]) -> dict[str, torch.Tensor]:
    """A BERT's weights by the names that DistilBERT has for them."""
    prefix = f"{model.base_model_prefix}." if hasattr(model, model.base_model_prefix) else ""
    given = model.state_dict()
    found: dict[str, torch.Tensor] = {}

    def take(name: str, new: str) -> None:
        for part in ("weight", "bias"):
            if f"{name}.{part}" in given:
                found[f"{new}.{part}"] = given[f"{name}.{part}"]

    embeddings = f"{prefix}embeddings"
    take(f"{embeddings}.word_embeddings", "distilbert.embeddings.word_embeddings")
    take(f"{embeddings}.LayerNorm", "distilbert.embeddings.LayerNorm")
    first_text = given[f"{embeddings}.token_type_embeddings.weight"][0]
    positions = given[f"{embeddings}.position_embeddings.weight"]
    found["distilbert.embeddings.position_embeddings.weight"] = positions + first_text
    for place, layer in enumerate(layers):
        for name, new in LAYER_PARTS.items():
            take(f"{prefix}encoder.layer.{layer}.{name}", f"distilbert.transformer.layer.{place}.{new}")
    for name, new in HEAD_PARTS.items():
        take(name, new)
    if "cls.predictions.bias" in given:
        found["vocab_projector.bias"] = given["cls.predictions.bias"]
    if (
        model.config.num_labels
        and "classifier.weight" in given
        and type(model).__name__ == "BertForTokenClassification"
    ):
        take("classifier", "classifier")
    return found
