"""Layer mappings as the papers give them, and what is read of models against what they compute themselves."""

from __future__ import annotations

import pytest
import tiny
import torch
import transformers
from qtinker.distill import layers
from qtinker.errors import InputError


@pytest.mark.parametrize(
    ("mapping", "teacher", "student", "expected"),
    [
        ("skip", 12, 6, [2, 4, 6, 8, 10]),
        ("skip", 24, 6, [4, 8, 12, 16, 20]),
        ("skip", 12, 4, [3, 6, 9]),
        ("skip", 12, 3, [4, 8]),
        ("last", 12, 6, [7, 8, 9, 10, 11]),
        ("last", 12, 3, [10, 11]),
        ("uniform", 12, 6, [2, 4, 6, 8, 10]),
        ("skip", 12, 5, [2, 5, 7, 10]),
        ("skip", 6, 4, [2, 3, 5]),
        ("skip", 4, 4, [1, 2, 3]),
    ],
)
def test_patient_mapping(mapping, teacher, student, expected):
    pairs = layers.patient_pairs(mapping, student=student, teacher=teacher)
    assert pairs == tuple(zip(range(1, student), expected, strict=True))


@pytest.mark.parametrize(
    ("mapping", "teacher", "student", "expected"),
    [
        ("uniform", 12, 6, [2, 4, 6, 8, 10, 12]),
        ("uniform", 12, 4, [3, 6, 9, 12]),
        ("uniform", 24, 3, [8, 16, 24]),
        ("uniform", 12, 5, [2, 5, 7, 10, 12]),
        ("uniform", 12, 1, [12]),
        ("last", 12, 3, [10, 11, 12]),
        ("skip", 12, 4, [3, 6, 9]),
    ],
)
def test_feature_mapping(mapping, teacher, student, expected):
    pairs = layers.feature_pairs(mapping, student=student, teacher=teacher)
    assert pairs == tuple(zip(range(1, len(expected) + 1), expected, strict=True))


@pytest.mark.parametrize("teacher", range(1, 25))
def test_named_mappings_are_ascending_and_within_the_teacher(teacher):
    for student in range(1, teacher + 1):
        for mapping in ("uniform", "last"):
            targets = [t for _, t in layers.feature_pairs(mapping, student=student, teacher=teacher)]
            assert targets == sorted(set(targets)) and targets[0] >= 1 and targets[-1] == teacher


def test_explicit_pairs():
    assert layers.patient_pairs([(2, 12), (1, 3)], student=2, teacher=12) == ((1, 3), (2, 12))
    for pairs, words in [
        ([(0, 1)], "student layer 0; the student has layers 1 to 2"),
        ([(3, 1)], "student layer 3; the student has layers 1 to 2"),
        ([(1, 13)], "teacher layer 13; the teacher has layers 1 to 12"),
        ([(1, 2), (1, 3)], "a student layer twice"),
        ([], "no pair"),
    ]:
        with pytest.raises(InputError, match=words):
            layers.feature_pairs(pairs, student=2, teacher=12)


def test_impossible_mappings_are_refused_with_the_reason():
    with pytest.raises(InputError, match="student has 6 layers and the teacher 3"):
        layers.patient_pairs("skip", student=6, teacher=3)
    with pytest.raises(InputError, match="a student of 1 layer has no other") as caught:
        layers.patient_pairs("last", student=1, teacher=12)
    assert "1:12" in caught.value.fix


def batch(length: int = 7) -> dict[str, torch.Tensor]:
    ids = torch.randint(5, 20, (3, length), generator=torch.Generator().manual_seed(3))
    mask = torch.ones_like(ids)
    mask[1, 4:] = 0
    return {"input_ids": ids, "attention_mask": mask}


@pytest.mark.parametrize("kind", ["Bert", "DistilBert", "MobileBert", "Albert"])
def test_scores_are_those_before_softmax(kind):
    """Softmax of the scores, masked, must be the attention that the model itself computes."""
    model = tiny.bert(3, 32, 4, kind=kind).model
    inputs = batch()
    model.set_attn_implementation("eager")
    with torch.no_grad():
        expected = model(**inputs, output_attentions=True).attentions
        model.set_attn_implementation("sdpa")
        out = layers.run(model, inputs, layers.Needs(attention_layers=(1, 3)))
    assert set(out.attention.taken["q"]) == {1, 3}
    for layer in (1, 3):
        scores = out.attention.scores(layer)
        assert scores.shape == (3, 4, 7, 7)
        masked = scores.masked_fill(inputs["attention_mask"][:, None, None] == 0, -torch.inf)
        assert torch.allclose(masked.softmax(-1), expected[layer - 1], atol=1e-5)


def test_scores_of_gpt2_are_causal_once_masked():
    model = tiny.bert(2, 32, 4, kind="GPT2").model
    inputs = {name: tensor[:1] for name, tensor in batch().items()}
    model.set_attn_implementation("eager")
    with torch.no_grad():
        expected = model(**inputs, output_attentions=True).attentions
        out = layers.run(model, inputs, layers.Needs(attention_layers=(2,)))
    future = torch.ones(7, 7, dtype=torch.bool).triu(1)
    assert torch.allclose(out.attention.scores(2).masked_fill(future, -torch.inf).softmax(-1), expected[1], atol=1e-5)


def test_hooks_are_gone_after_reading():
    model = tiny.bert().model
    layers.run(model, batch(), layers.Needs(attention_layers=(1,)))
    assert not any(module._forward_hooks for module in model.modules() if isinstance(module, torch.nn.Linear))


@pytest.mark.parametrize("kind", ["Bert", "DistilBert", "MobileBert", "Albert", "GPT2"])
def test_hidden_state_zero_is_the_embeddings_and_l_is_layer_l(kind):
    """Cutting the model after layer l must give hidden state l (GPT-2's last has its final LayerNorm)."""
    loaded = tiny.bert(3, 32, 4, kind=kind)
    model, inputs = loaded.model, batch()
    with torch.no_grad():
        out = layers.run(model, inputs, layers.Needs(hidden_states=True))
    assert len(out.hidden_states) == 4
    if kind in ("Bert", "DistilBert", "MobileBert"):
        with torch.no_grad():
            embedded = model.base_model.embeddings(inputs["input_ids"])
        assert torch.equal(out.hidden_states[0], embedded)
    if kind == "Bert":
        shallow = transformers.BertForSequenceClassification(model.config)
        shallow.load_state_dict(model.state_dict())
        shallow.bert.encoder.layer = shallow.bert.encoder.layer[:2]
        shallow.eval()
        with torch.no_grad():
            last = shallow.bert(**inputs).last_hidden_state
        assert torch.allclose(out.hidden_states[2], last, atol=1e-6)
    assert out.logits.shape == (3, 2)


def test_unknown_attention_is_refused():
    config = transformers.FNetConfig(
        vocab_size=30, hidden_size=32, num_hidden_layers=1, intermediate_size=32, num_labels=2
    )
    config.num_attention_heads = 4
    with pytest.raises(InputError, match="Queries and keys of FNetForSequenceClassification can't be read"):
        layers.AttentionReader(transformers.FNetForSequenceClassification(config), (1,))
