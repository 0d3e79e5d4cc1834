"""Training with rounded weights: what the model computes with, what is trained, and what is left behind."""

from __future__ import annotations

import pytest
import tiny
import torch
from qtinker.quantize.layers import select_layers
from qtinker.quantize.packed_engine import Packing, round_weight
from qtinker.quantize.qat import on_grid, rounding


def logits(loaded):
    with torch.no_grad():
        return loaded.model(**loaded.tokenizer(["the movie was very good"], return_tensors="pt")).logits


def test_grid_by_hand():
    # -8..7 in steps of 0.5: each weight goes to the nearest step, the ends stay
    row = torch.tensor([[-4.0, 3.5, 0.2, 0.3, -0.3, 1.74, 1.76, 0.0]])
    assert on_grid(row, 8).tolist() == [[-4.0, 3.5, 0.0, 0.5, -0.5, 1.5, 2.0, 0.0]]
    assert on_grid(torch.tensor([[127.0, 1.4, -0.6]]), None).tolist() == [[127.0, 1.0, -1.0]]
    assert on_grid(torch.zeros(2, 8), 8).tolist() == [[0.0] * 8] * 2


def test_what_is_on_the_grid_stays_there_and_packs_to_itself():
    torch.manual_seed(0)
    weight = torch.randn(64, 64) * 0.02
    weight[0] = weight[0].abs()  # no negative weight: the grid begins at 0
    rounded = on_grid(weight, 32)
    assert 0 < (rounded - weight).abs().max() < 0.02
    assert torch.equal(on_grid(rounded, 32), rounded)
    packed = round_weight(rounded, Packing([], 4, 32, symmetric=False))
    assert (packed - rounded).abs().max() < 1e-4  # it unpacks in half precision


@pytest.mark.parametrize(("bits", "steps"), [("int4", 16), ("int8", 255)])
def test_the_model_computes_with_rounded_weights_and_trains_its_own(bits, steps):
    loaded = tiny.bert(1, 64)
    model = loaded.model
    kinds = [type(module) for module in model.modules()]
    own = dict(model.named_parameters())
    head = model.classifier.weight.clone()
    before = logits(loaded)
    with rounding(model, bits):
        assert all(weight is own[name] for name, weight in model.named_parameters())
        within = logits(loaded)
        model.train()
        model(**loaded.tokenizer(["a film"], return_tensors="pt")).logits.sum().backward()
        used = model.bert.embeddings.word_embeddings.weight.grad.abs().sum(1).nonzero().flatten().tolist()
        assert used == sorted(loaded.tokenizer("a film")["input_ids"])
        assert model.bert.encoder.layer[0].output.dense.weight.grad.abs().sum() > 0
        model.eval()
    assert [type(module) for module in model.modules()] == kinds
    assert not torch.equal(before, within) and torch.allclose(logits(loaded), within, atol=1e-6)
    assert torch.equal(model.classifier.weight, head)
    for name in select_layers(model).all:
        row = model.get_parameter(f"{name}.weight")[0, :32]
        assert len(row.unique()) <= steps and (bits == "int8" or len(row.unique()) <= 16)


def test_none_changes_nothing():
    loaded = tiny.bert(1, 32)
    before = logits(loaded)
    with rounding(loaded.model, "none"):
        assert torch.equal(logits(loaded), before)
    assert torch.equal(logits(loaded), before)


def test_the_modules_are_back_after_a_failure():
    loaded = tiny.bert(1, 32)
    with pytest.raises(KeyError), rounding(loaded.model, "int4"):
        raise KeyError
    assert not any("Fake" in type(module).__name__ for module in loaded.model.modules())
