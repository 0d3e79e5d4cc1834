"""Engines other than PyTorch, and export: what they write loads back with their own library to the same answers."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
import safetensors.torch
import task_data
import tiny
import torch
import transformers
from qtinker import checkpoint, home, model_folder, registry
from qtinker.errors import InputError, MissingExtra
from qtinker.evaluate import evaluate
from qtinker.export import export
from qtinker.predict import Predictor
from qtinker.quantize import quantize
from qtinker.runtime import engine_of, extras

needs_onnx = pytest.mark.skipif(not all(map(extras.has, extras.EXTRAS["onnx"])), reason="the extra onnx is not here")
needs_openvino = pytest.mark.skipif(
    not all(map(extras.has, extras.EXTRAS["openvino"])), reason="the extra openvino is not here"
)


@pytest.fixture
def source():
    return make_source(tiny.bert(2, 64), "teacher")


def make_source(loaded, name):
    with torch.no_grad():
        for weight in loaded.model.parameters():
            weight.mul_(5 if weight.ndim == 2 else 1)
    meta = {"name": name, "kind": "finetuned", "task": tiny.task().to_meta(), "max_length": 32, "licence": "MIT"}
    with registry.staged("distilled", name) as folder:
        checkpoint.save(loaded.model, loaded.tokenizer, folder, meta=meta)
    return home.models_dir() / "distilled" / name


def close(path, source, limit):
    rows = tiny.examples(30)
    ours, theirs = Predictor(path).logits(rows), Predictor(source).logits(rows)
    return np.abs(ours - theirs).max() <= limit * (1 + np.abs(theirs).max())


def example_says(folder, text):
    found = subprocess.run(
        [sys.executable, str(folder / "example.py"), text], capture_output=True, text=True, check=True
    )
    label, score, echoed = found.stdout.rstrip("\n").split("\t")
    assert echoed == text
    return label, float(score)


@needs_onnx
def test_onnx_is_the_same_function_and_its_example_runs(source, tmp_path):
    path = export(source, "onnx", tmp_path / "out", fresh=False)
    assert engine_of(path) == "onnxruntime" and close(path, source, 1e-5)
    import onnx

    graph = onnx.load(path / "model.onnx").graph
    assert [entry.name for entry in graph.input] == ["input_ids", "attention_mask", "token_type_ids"]
    assert all(side.dim_param for entry in graph.input for side in entry.type.tensor_type.shape.dim)
    [answer] = Predictor(source).predict(["the movie was very good"])
    label, score = example_says(path, "the movie was very good")
    assert label == answer["label"] and score == pytest.approx(answer["score"], abs=1e-3)
    meta = model_folder.read_meta(path)
    assert meta["kind"] == "exported" and meta["export"]["opset"] == 18 and meta["export"]["check"]["rows"] == 64
    assert "max_logit_difference" in meta["export"]["check"] and "Checked" in (path / "README.md").read_text("utf-8")


@needs_openvino
def test_openvino_is_the_same_function_and_its_example_runs(source):
    path = export(source, "openvino", fresh=False)
    assert path == home.models_dir() / "exported" / "teacher-openvino"
    assert engine_of(path) == "openvino" and close(path, source, 0.05)
    [answer] = Predictor(source).predict(["a very bad film"])
    label, score = example_says(path, "a very bad film")
    assert label == answer["label"] and score == pytest.approx(answer["score"], abs=0.05)


@needs_onnx
@needs_openvino
@pytest.mark.parametrize("kind", ["DistilBert", "Albert"])
def test_other_families_are_exported_too(kind):
    source = make_source(tiny.bert(1, 32, kind=kind), kind.lower())
    for form in ("onnx", "openvino", "torch-export"):
        assert close(export(source, form, fresh=False), source, 0.05)


@needs_onnx
def test_int8_in_onnx_touches_the_embeddings_and_not_the_head(source):
    import onnx

    path = quantize(source, "int8-dynamic", engine="onnxruntime", fresh=False)
    graph = onnx.load(path / "model.onnx").graph
    kinds = {entry.name: entry.data_type for entry in graph.initializer}
    shapes = {entry.name: tuple(entry.dims) for entry in graph.initializer}
    tables = [name for name in kinds if name.endswith("embeddings.weight_int8")]
    assert {kinds[name] for name in tables} == {onnx.TensorProto.INT8}
    assert sorted(shapes[name] for name in tables) == [(25, 64), (64, 64)]
    assert sorted(shapes[name.replace("_int8", "_scale")] for name in tables) == [(25, 1), (64, 1)]
    heads = {name: kind for name, kind in kinds.items() if ("classifier" in name or "pooler" in name)}
    assert heads and set(heads.values()) == {onnx.TensorProto.FLOAT}
    assert sum(node.op_type == "MatMulInteger" for node in graph.node) == 12
    record = model_folder.read_meta(path)["quantization"]
    assert record["engine"] == "onnxruntime" and record["reason"] == "as asked"
    assert Predictor(path).predict(["good"])[0]["label"] in tiny.LABELS


@needs_onnx
def test_int8_in_onnx_touches_matrices_that_layers_share():
    source = make_source(tiny.bert(3, 128, kind="Albert"), "shared")  # smaller ones the exporter turns itself
    path = quantize(source, "int8-dynamic", engine="onnxruntime", fresh=False)
    record = model_folder.read_meta(path)["quantization"]
    assert record["bytes_after"]["encoder"] < 0.4 * record["bytes_before"]["encoder"]
    assert record["bytes_after"]["head"] == pytest.approx(record["bytes_before"]["head"], rel=0.02)


@needs_onnx
def test_int8_in_onnx_leaves_heads_of_words_and_places_float():
    """Their weights are turned round by the exporter, and have numbers for names."""
    import onnx

    for kind, outputs in (("token-classification", 3), ("question-answering", 2)):
        source = task_data.kept(home.models_dir() / "finetuned" / kind, kind)
        graph = onnx.load(quantize(source, "int8-dynamic", engine="onnxruntime", fresh=False) / "model.onnx").graph
        kinds = {tuple(entry.dims): entry.data_type for entry in graph.initializer if entry.dims[-1:] == [outputs]}
        assert kinds[(32, outputs)] == onnx.TensorProto.FLOAT
        assert sum(node.op_type == "MatMulInteger" for node in graph.node) == 6


@pytest.fixture
def gpt():
    config = transformers.GPT2Config(
        vocab_size=25, n_embd=32, n_layer=1, n_head=2, n_positions=64, num_labels=2, pad_token_id=0,
        bos_token_id=1, eos_token_id=1,
    )  # fmt: skip
    loaded = dataclasses.replace(tiny.bert(1, 32), model=transformers.GPT2ForSequenceClassification(config).eval())
    return make_source(loaded, "gpt")


@pytest.mark.parametrize("scheme", ["bf16", "fp16"])
def test_gpt2_is_held_in_16_bits_and_in_no_fewer(gpt, scheme):
    half = quantize(gpt, scheme, fresh=False)
    state = safetensors.torch.load_file(half / "model.safetensors")
    assert {tensor.dtype for tensor in state.values()} == {torch.bfloat16 if scheme == "bf16" else torch.float16}
    with pytest.raises(InputError, match="halve it with --scheme bf16 or fp16"):
        quantize(gpt, "int8-weight-only", fresh=False)


@needs_openvino
def test_gpt2_is_exported_to_openvino(gpt):
    assert close(export(gpt, "openvino", fresh=False), gpt, 0.05)


@needs_openvino
@pytest.mark.parametrize(("scheme", "bits"), [("int8-weight-only", 8), ("int4-weight-only", 4), ("nf4", 4)])
def test_openvino_holds_as_many_bits_as_it_says(source, scheme, bits):
    path = quantize(source, scheme, engine="openvino", fresh=False, force=True)
    openvino = extras.load("openvino", "openvino")
    weights = [
        node for node in openvino.Core().read_model(path / "openvino_model.xml").get_ops()
        if node.get_type_name() == "Constant" and "_embeddings" in node.get_friendly_name()
        and len(node.get_output_shape(0)) >= 2 and node.get_output_element_type(0).get_bitwidth() <= 8
    ]  # fmt: skip
    assert weights and {node.get_output_element_type(0).get_bitwidth() for node in weights} == {bits}
    assert Predictor(path).runtime.engine == "openvino"


@needs_openvino
def test_dynamic_int8_in_openvino_says_in_the_file_how_activations_are_rounded(source):
    path = quantize(source, "int8-dynamic", engine="openvino", fresh=False)
    openvino = extras.load("openvino", "openvino")
    model = openvino.Core().read_model(path / "openvino_model.xml")
    assert model.get_rt_info(["runtime_options", "DYNAMIC_QUANTIZATION_GROUP_SIZE"]).astype(str) == "128"
    assert Predictor(path).runtime.compiled.get_property("DYNAMIC_QUANTIZATION_GROUP_SIZE") == 128
    assert model_folder.read_meta(path)["quantization"]["activations"].endswith("128 values of a token")
    # a scale belongs to a token: the answer to a text does not depend on its neighbours
    rows = tiny.examples(12)
    alone = np.concatenate([Predictor(path).logits(rows.select(np.array([at]))) for at in range(12)])
    assert np.abs(Predictor(path).logits(rows) - alone).max() < 1e-2 * (1 + np.abs(alone).max())


@needs_openvino
def test_four_bits_are_chosen_by_gptq_where_there_are_examples(source):
    records = {}
    for rows in (31, 32):
        path = quantize(source, "int4-weight-only", engine="openvino", fresh=False, force=True, name=f"rows-{rows}",
                        calibration=tiny.examples(rows), check_rows=tiny.examples(40, seed=3))  # fmt: skip
        records[rows] = model_folder.read_meta(path)["quantization"]
    assert "gptq" not in records[31] and records[32]["gptq"] is True and records[32]["calibration_rows"] == 32
    assert records[31]["bytes_after"]["encoder"] == pytest.approx(records[32]["bytes_after"]["encoder"], rel=0.02)
    assert records[31]["check"]["logit_error"] != records[32]["check"]["logit_error"]
    meta = model_folder.read_meta(source) | {"quantization_aware": "int4"}  # its weights lie on the grid already
    model_folder.write_meta(source, meta)
    path = quantize(source, "int4-weight-only", engine="openvino", fresh=False, force=True,
                    calibration=tiny.examples(40))  # fmt: skip
    assert "gptq" not in model_folder.read_meta(path)["quantization"]


@needs_openvino
@pytest.mark.parametrize("kind", ["Albert", "MobileBert"])
def test_families_that_gptq_can_t_take_apart_go_without(kind):
    source = make_source(tiny.bert(2, 32, 4, dropout=0.0, kind=kind), kind)
    path = quantize(source, "int4-weight-only", engine="openvino", fresh=False, force=True,
                    check_rows=tiny.examples(40))  # fmt: skip
    assert "gptq" not in model_folder.read_meta(path)["quantization"]


@needs_openvino
def test_static_int8_is_calibrated_on_the_given_rows(source):
    with pytest.raises(InputError, match=r"int8-static needs examples.*--data FILE"):
        quantize(source, "int8-static")
    path = quantize(source, "int8-static", calibration=tiny.examples(20), fresh=False, force=True)
    record = model_folder.read_meta(path)["quantization"]
    assert record["calibration_rows"] == 20
    # Tables of 25 and 64 rows in int8 with a float scale, token types, LayerNorm; what NNCF names by numbers is found.
    assert (25 + 64) * (64 + 4) <= record["bytes_after"]["embeddings"] < (25 + 64) * (64 + 4) + 2500
    assert record["bytes_after"]["head"] >= 64 * 64 * 4 > record["bytes_after"]["embeddings"]
    assert not list((home.models_dir() / "quantized").glob("*static-2"))


@needs_onnx
@needs_openvino
def test_a_mixture_of_engines_is_measured_side_by_side(source):
    int8 = quantize(source, "int8-dynamic", engine="torchao", fresh=False)
    paths = [source, int8, export(source, "onnx", fresh=False),
             export(source, "openvino", fresh=False)]  # fmt: skip
    engines = ["torch", "torch", "onnxruntime", "openvino"]
    if all(map(extras.has, ("gguf", "llama_cpp"))):
        paths.append(export(source, "gguf", fresh=False))
        engines.append("llama.cpp")
    report = evaluate(paths, tiny.examples(20), calls=2, throughput_examples=4, isolate=False)
    assert [model.engine for model in report.models] == engines
    assert all(model.agreement > 0.9 and model.speedup for model in report.models[1:])
    assert [model.format for model in report.models] == [None, None, "onnx", "openvino", "gguf"][: len(paths)]
    assert len({model.parameters for model in report.models}) == 1
    assert report.models[2].agreement == 1.0 and report.models[2].metrics == report.models[0].metrics
    assert all(model.bytes > 0 and model.latency_ms and model.batch_latency_ms for model in report.models)
    parts = [model.bytes_by_part for model in report.models[:4]]
    # The exporters leave out biases that are all zero, and add numbers of a few bytes for shapes.
    assert all(abs(part["embeddings"] - parts[0]["embeddings"]) < 1024 for part in parts[2:])
    assert all(abs(part["head"] - parts[0]["head"]) < 600 and part["encoder"] > 2e5 for part in parts[2:])


def test_what_can_t_be_exported_is_refused(source, tmp_path):
    with pytest.raises(InputError, match=r"no format 'floppy'.*onnx, openvino"):
        export(source, "floppy")
    path = quantize(source, "int8-dynamic", engine="torchao", fresh=False)
    with pytest.raises(InputError, match=r"quantized by torchao.*--scheme int8-dynamic --engine onnxruntime"):
        export(path, "onnx")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("mine", encoding="utf-8")
    with pytest.raises(InputError, match="not an empty folder"):
        export(source, "torch-export", tmp_path / "full")
    assert (tmp_path / "full" / "file").read_text(encoding="utf-8") == "mine"


def test_a_missing_library_names_what_to_install(source, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingExtra, match=r"made with onnx.*pip install onnx onnxruntime onnxscript"):
        export(source, "onnx")
    assert not (home.models_dir() / "exported" / "teacher-onnx").exists()


@needs_openvino
def test_openvino_is_kept_from_reporting_its_use():
    code = (
        "from qtinker.runtime import extras; extras.load('openvino', 'openvino'); extras.load('nncf', 'openvino');"
        "import sys; sys.exit(sys.modules['openvino_telemetry'] is not None)"
    )
    app = str(model_folder.Path(__file__).resolve().parents[2] / "app")
    import os

    assert (
        subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": app}, check=False).returncode == 0
    )


def test_half_precision_is_half_the_bytes_and_unpacks_exactly(source):
    path = quantize(source, "bf16", fresh=False)
    before = checkpoint.load(source).model.state_dict()
    after = checkpoint.load(path).model.state_dict()
    assert all(torch.equal(after[name], value.bfloat16().float()) for name, value in before.items())
    config = json.loads((path / "config.json").read_text(encoding="utf-8"))
    assert config["dtype"] == "bfloat16"
    size = (path / "model.safetensors").stat().st_size / (source / "model.safetensors").stat().st_size
    assert 0.48 < size < 0.56


def test_a_weight_too_large_for_half_precision_is_refused():
    loaded = tiny.bert(1, 32)
    with torch.no_grad():
        loaded.model.bert.encoder.layer[0].output.dense.weight[0, 0] = 1e5
    with pytest.raises(InputError, match=r"too large for half precision.*bf16"):
        quantize(make_source(loaded, "large"), "fp16", fresh=False)


@pytest.mark.parametrize("extra", list(extras.EXTRAS))
def test_each_extra_has_its_requirements(extra):
    root = tiny.ROOT
    listed = (root / f"requirements-{extra}.txt").read_text(encoding="utf-8")
    assert all(f"\n{package}>=" in listed for package in extras.packages(extra))
    assert f'optional-dependencies.{extra} = {{file = ["requirements-{extra}.txt"]}}' in (
        root / "pyproject.toml"
    ).read_text(encoding="utf-8")
