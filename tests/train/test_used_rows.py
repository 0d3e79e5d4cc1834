"""Only the rows of the embeddings that the data uses are trained, and that changes nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import tiny
import torch
from qtinker.data import Examples, encode
from qtinker.distill import used_rows
from qtinker.distill.train import train
from qtinker.spec import TrainingSpec

pytestmark = pytest.mark.train
EMBEDDINGS = "bert.embeddings.word_embeddings.weight"


def data(tokenizer):
    texts = ["good movie", "bad movie", "very good film", "awful film"] * 4
    return encode(Examples(texts, labels=np.array([1, 0, 1, 0] * 4)), tokenizer, 16, cache=False)


def trained(folder, **settings):
    """Weights after two epochs, and what an evaluation in between answered to words that were never trained."""
    student, seen = tiny.bert(2, 32, seed=3), []
    unseen = student.tokenizer(["awful plot", "poor actor scene"], return_tensors="pt", padding=True)

    def evaluate(model):
        seen.append(model(**unseen).logits.clone())
        return {"accuracy": 0.5}

    steps = train(
        student, data(student.tokenizer), task=tiny.task(), folder=folder, evaluate=evaluate,
        training=TrainingSpec(**{"epochs": 2, "batch_size": 4, "learning_rate": 1e-3, "device": "cpu",
                                 "precision": "fp32", "threads": 1, **settings}),
    )  # fmt: skip
    for _ in steps:
        pass
    return tiny.weights(student.model), seen, student


def test_the_same_as_training_every_row(tmp_path, monkeypatch):
    rows, seen, student = trained(tmp_path / "rows", weight_decay=0)
    monkeypatch.setattr(used_rows, "WORTH", 0.0)
    full, expected, _ = trained(tmp_path / "full", weight_decay=0)
    assert set(rows) == set(full)
    for name, weight in full.items():
        assert torch.allclose(rows[name], weight, atol=1e-6), name
    for mine, its in zip(seen, expected, strict=True):
        assert torch.allclose(mine, its, atol=1e-5)
    assert type(student.model.get_input_embeddings()) is torch.nn.Embedding
    assert all(parameter.requires_grad for parameter in student.model.parameters())


def test_rows_that_no_text_uses_stay_as_they_are(tmp_path):
    before = tiny.weights(tiny.bert(2, 32, seed=3).model)[EMBEDDINGS]
    after, _, student = trained(tmp_path)
    used = np.unique(data(student.tokenizer).input_ids)
    same = (before == after[EMBEDDINGS]).all(1)
    for row in range(len(before)):
        assert same[row] == (row not in used), student.tokenizer.convert_ids_to_tokens(row)


def test_not_where_the_output_layer_shares_the_matrix():
    import transformers

    config = transformers.BertConfig(vocab_size=100, hidden_size=16, num_hidden_layers=1, num_attention_heads=2)
    model = transformers.BertForMaskedLM(config)
    assert model.get_input_embeddings().weight is model.get_output_embeddings().weight
    assert used_rows.put_in(model, np.arange(10)) is None


def test_an_id_that_is_not_in_use_fails_loudly():
    model = tiny.bert(1, 32).model.train()
    stand_in = used_rows.put_in(model, np.arange(8))
    with pytest.raises(IndexError):
        model(input_ids=torch.tensor([[2, 12, 3]]))
    used_rows.take_out(model, stand_in)
    model(input_ids=torch.tensor([[2, 12, 3]]))
