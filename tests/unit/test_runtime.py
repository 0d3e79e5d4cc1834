"""Opening folders for inference: the right engine, and INT8 layers that compute what torchao's do."""

from __future__ import annotations

import psutil
import pytest
import tiny
import torch
from qtinker import checkpoint
from qtinker.errors import CheckpointError
from qtinker.measure import peak_memory
from qtinker.predict import Predictor
from qtinker.runtime import engine_of, int8_layers, weight_files, weights_bytes
from qtinker.runtime.int8_layers import Int8Embedding, Int8Linear, speed_up
from torchao.quantization import Int8DynamicActivationInt8WeightConfig, Int8WeightOnlyConfig, quantize_


def quantized(model):
    """torchao's INT8 in the encoder and the embeddings, as `quantize` does it."""
    quantize_(model, Int8DynamicActivationInt8WeightConfig(), filter_fn=lambda module, name: "layer." in name
              and isinstance(module, torch.nn.Linear))  # fmt: skip
    quantize_(model, Int8WeightOnlyConfig(), filter_fn=lambda module, name: isinstance(module, torch.nn.Embedding))
    return model.eval()


def test_fast_int8_gives_torchaos_answers(monkeypatch):
    loaded = tiny.bert(2, 64)
    model = quantized(loaded.model)
    batch = loaded.tokenizer(["the movie was very good", "awful"], padding=True, return_tensors="pt")
    with torch.no_grad():
        expected = model(**batch).logits
        monkeypatch.setattr(int8_layers, "_worth_it", lambda module: True)
        assert speed_up(model) == 12 + 3
        found = model(**batch).logits
    assert isinstance(model.bert.encoder.layer[0].output.dense, Int8Linear)
    assert isinstance(model.bert.embeddings.word_embeddings, Int8Embedding)
    assert torch.allclose(found, expected, atol=1e-6)
    assert isinstance(model.classifier, torch.nn.Linear)


def test_a_long_batch_in_parts_is_the_whole():
    weight = torch.randint(-128, 128, (48, 64), dtype=torch.int8)
    layer = Int8Linear(weight, torch.rand(48), torch.rand(48))
    x = torch.randn(7, 5, 64)
    whole = layer(x)
    layer.rows = 4
    assert whole.shape == (7, 5, 48) and torch.equal(layer(x), whole)


def test_int8_linear_by_hand():
    # The largest of a row, 2.55, becomes 127.5 steps of 0.02: 1.0 is step 50, -0.5 is -25, 2.55 is 128, cut to 127.
    layer = Int8Linear(torch.tensor([[1, 2, 3, 0]], dtype=torch.int8).repeat(8, 1), torch.full((8,), 0.5), None)
    found = layer(torch.tensor([[1.0, -0.5, 2.55, 0.0]]))
    assert found[0].tolist() == pytest.approx([(50 * 1 - 25 * 2 + 127 * 3) * 0.02 * 0.5] * 8)


def test_layers_are_left_alone_where_float_is_faster(monkeypatch):
    monkeypatch.setattr(int8_layers, "_worth_it", lambda module: False)
    model = quantized(tiny.bert(1, 32).model)
    assert speed_up(model) == 3  # the embeddings
    assert not any(isinstance(module, Int8Linear) for module in model.modules())
    assert speed_up(tiny.bert(1, 32).model) == 0


def test_the_engine_is_told_by_the_weights(tmp_path):
    with pytest.raises(CheckpointError, match="no weights that QTinker can run"):
        engine_of(tmp_path)
    (tmp_path / "model.onnx").write_bytes(b"12345")
    assert engine_of(tmp_path) == "onnxruntime" and weights_bytes(tmp_path) == 5
    (tmp_path / "openvino_model.xml").write_bytes(b"123")
    (tmp_path / "openvino_model.bin").write_bytes(b"1234")
    assert engine_of(tmp_path) == "openvino"
    assert [file.name for file in weight_files(tmp_path)] == [
        "model.onnx", "openvino_model.xml", "openvino_model.bin"
    ]  # fmt: skip
    (tmp_path / "model.safetensors").write_bytes(b"")
    assert engine_of(tmp_path) == "torch"


def test_texts_are_cut_to_the_positions_that_a_gpt2_has(tmp_path):
    loaded = tiny.bert(kind="GPT2")  # 64 positions, which its config calls n_positions
    checkpoint.save(
        loaded.model, loaded.tokenizer, tmp_path / "gpt", meta={"name": "gpt", "task": tiny.task().to_meta()}
    )
    predictor = Predictor(tmp_path / "gpt")
    assert predictor.runtime.max_length == 64
    assert predictor.predict(["the movie was good " * 40])[0]["label"] in tiny.LABELS


def test_peak_memory_is_at_least_what_is_held_now():
    held = psutil.Process().memory_info().rss
    peak = peak_memory()
    assert peak is None or peak >= held * 0.95
