"""Exports beyond ONNX and OpenVINO: each is run by its own library where that is here, and its example too."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch
import transformers
from qtinker import checkpoint, home, model_folder, registry
from qtinker.errors import CheckpointError, InputError, MissingExtra, QTinkerError
from qtinker.evaluate import evaluate
from qtinker.export import FORMATS, export
from qtinker.export.gguf_format import normalization, tensor_name
from qtinker.export.graph import Logits, example_inputs
from qtinker.predict import Predictor
from qtinker.quantize import quantize
from qtinker.quantize.layers import part_of
from qtinker.runtime import engine_of, extras, pytorch, weights_bytes


def needs(*modules):
    return pytest.mark.skipif(not all(map(extras.has, modules)), reason=f"{' and '.join(modules)} is not here")


def make_source(loaded=None, name="teacher", *, max_length=16, **task):
    loaded = loaded or tiny.bert(2, 64)
    with torch.no_grad():
        for weight in loaded.model.parameters():
            weight.mul_(5 if weight.ndim == 2 else 1)
    meta = {"name": name, "kind": "finetuned", "task": tiny.task().to_meta() | task, "max_length": max_length}
    with registry.staged("distilled", name) as folder:
        checkpoint.save(loaded.model, loaded.tokenizer, folder, meta=meta)
    return home.models_dir() / "distilled" / name


def apart(path, source):
    rows = tiny.examples(20)
    ours, theirs = Predictor(path).logits(rows), Predictor(source).logits(rows)
    return np.abs(ours - theirs).max() / (1 + np.abs(theirs).max())


def example_agrees(folder, source, tolerance=0.02):
    text = "the movie was very good"
    found = subprocess.run([sys.executable, str(folder / "example.py"), text], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    label, score, echoed = found.stdout.strip().splitlines()[-1].split("\t")
    [answer] = Predictor(source).predict([text])
    assert (label, echoed) == (answer["label"], text) and float(score) == pytest.approx(answer["score"], abs=tolerance)


def test_torch_export_is_the_same_function_and_its_example_runs():
    source = make_source()
    path = export(source, "torch-export", fresh=False)
    assert model_folder.read_meta(path)["export"]["source_path"] == str(source)
    assert engine_of(path) == "torch.export" and apart(path, source) < 1e-5
    assert str(source.parent) not in (path / "config.json").read_text(encoding="utf-8")
    example_agrees(path, source)
    report = evaluate([source, path], tiny.examples(8), calls=2, throughput_examples=4, isolate=False)
    assert [model.engine for model in report.models] == ["torch", "torch.export"]
    assert report.models[1].bytes == (path / "model.pt2").stat().st_size and report.models[1].agreement == 1.0


@pytest.mark.parametrize(
    "form", ["torch-export", pytest.param("onnx", marks=needs("onnx", "onnxruntime")),
             pytest.param("openvino", marks=needs("openvino")), pytest.param("gguf", marks=needs("gguf"))],
)  # fmt: skip
def test_the_registry_page_loads_an_export_with_its_own_library(form, monkeypatch):
    path = export(make_source(tiny.bert(1)), form, fresh=False)
    page = (home.models_dir() / "MODEL_REGISTRY.md").read_text(encoding="utf-8")
    code = page.split(f"### exported/{path.name}\n")[1].split("```python\n")[1].split("\n```")[0]
    assert len(code.splitlines()) == 2 and FORMATS[form].file in code
    if form != "gguf" or extras.has("llama_cpp"):
        monkeypatch.chdir(home.models_dir().parent)
        exec(code, {})


def test_what_is_stored_in_16_bits_is_exported_in_32_where_16_are_faster(monkeypatch):
    """The file of a bfloat16 model held operators that no engine has, or answers that were rounded twice."""
    monkeypatch.setattr(pytorch, "computes_faster", lambda dtype, device: True)
    loaded = tiny.bert(1, 32)
    loaded.model.to(torch.bfloat16)
    source = make_source(loaded)
    assert Predictor(source).runtime.model.dtype == torch.bfloat16
    path = export(source, "torch-export", fresh=False)
    assert model_folder.read_meta(path)["export"]["check"]["logit_error"] < 1e-5
    assert {tensor.dtype for tensor in torch.export.load(path / "model.pt2").state_dict.values()} == {torch.float32}
    packed = quantize(source, "int8-weight-only", engine="compressed-tensors", fresh=False)
    assert model_folder.read_meta(packed)["quantization"]["check"]["agreement"] > 0.9


def test_a_model_of_few_positions_is_traced_with_no_more_tokens():
    """Letters that a byte-level vocabulary knows no words of are a token each."""
    config = transformers.GPT2Config(vocab_size=600, n_embd=8, n_layer=1, n_head=1, n_positions=16, pad_token_id=0)
    graph = Logits(transformers.GPT2ForSequenceClassification(config))
    assert {given.shape for given in example_inputs(graph, tiny.byte_level())} == {(2, 16)}


def test_mobilebert_is_refused_by_torch_export():
    config = transformers.MobileBertConfig(
        vocab_size=25, hidden_size=32, embedding_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=32, intra_bottleneck_size=16, max_position_embeddings=64,
    )  # fmt: skip
    loaded = replace(tiny.bert(1, 32), model=transformers.MobileBertForSequenceClassification(config).eval())
    with pytest.raises(InputError, match=r"MobileBERT, which reads each token with its neighbours.*onnx or openvino"):
        export(make_source(loaded), "torch-export")


def test_modules_of_heads_are_told_from_those_of_encoders():
    """ALBERT's, DistilBERT's and RoBERTa's heads for hidden words, and the usual ones."""
    for name in ("model.predictions.dense.weight", "vocab_transform.weight", "lm_head.dense.weight", "qa_outputs.bias"):
        assert part_of(name) == "head"
    assert part_of("albert.encoder.dense.weight") == "encoder" and part_of("wte.weight") == "embeddings"


def test_a_quantized_model_that_grows_is_told_with_what_keeps_it_small():
    source, said = make_source(), []
    packed = quantize(source, "int4-weight-only", engine="compressed-tensors", name="packed",
                      check_rows=tiny.examples(8), fresh=False)  # fmt: skip
    path = export(packed, "torch-export", fresh=False, progress=said.append)
    assert weights_bytes(path) > 2 * weights_bytes(packed)
    assert "Mind the size" in said[-1] and "packed has" in said[-1]
    export(source, "torch-export", fresh=False, progress=said.append)
    assert "Mind the size" not in said[-1]


@pytest.mark.parametrize(
    "form, command",
    [("onnx", "quantize teacher --scheme int8-dynamic --engine onnxruntime"),
     ("openvino", "quantize teacher --scheme int8-dynamic --engine openvino"),
     ("gguf", "export teacher --format gguf")],
)  # fmt: skip
def test_a_model_that_torchao_quantized_is_refused_with_the_command_for_its_source(form, command):
    packed = quantize(make_source(), "int8-dynamic", engine="torchao", check_rows=tiny.examples(8), fresh=False)
    with pytest.raises(InputError, match=f"python3 app {command}$"):
        export(packed, form)


def test_an_export_is_refused_by_quantize_with_its_source():
    exported = export(make_source(), "torch-export", fresh=False)
    with pytest.raises(InputError, match=r"teacher-torch-export is an export.*Quantize its source instead: teacher\."):
        quantize(exported, "int8-dynamic")


def test_an_archive_with_a_pickle_is_not_opened(tmp_path):
    path = export(make_source(), "torch-export", tmp_path / "out", fresh=False)
    with zipfile.ZipFile(path / "model.pt2") as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    [name] = [each for each in parts if each.endswith("weights_config.json")]
    weights = json.loads(parts[name])
    next(iter(weights["config"].values()))["use_pickle"] = True
    with zipfile.ZipFile(path / "model.pt2", "w") as archive:
        for each, content in (parts | {name: json.dumps(weights).encode()}).items():
            archive.writestr(each, content)
    (path / "qtinker.json").unlink()
    with pytest.raises(CheckpointError, match="pickled tensors, which are not executed"):
        Predictor(path)


@needs("gguf")
def test_gguf_holds_what_llama_cpp_asks_for(tmp_path):
    gguf = extras.load("gguf", "gguf")
    source = make_source()
    path = export(source, "gguf-q4_0", tmp_path / "out", fresh=False)
    reader = gguf.GGUFReader(path / "model.gguf")
    fields = {name: field.contents() for name, field in reader.fields.items() if not name.startswith("GGUF.")}
    assert fields["general.architecture"] == "bert" and fields["bert.block_count"] == 2
    assert fields["general.name"] == "teacher"
    assert fields["bert.pooling_type"] == 4 and fields["bert.attention.causal"] is False
    words = fields["tokenizer.ggml.tokens"]
    assert words[:5] == tiny.SPECIAL and words[5] == "\u2581good" and fields["tokenizer.ggml.token_type"][:6] == [
        3, 2, 3, 3, 3, 1
    ]  # fmt: skip
    kinds = {tensor.name: tensor.tensor_type.name for tensor in reader.tensors}
    assert kinds["token_embd.weight"] == kinds["blk.1.ffn_down.weight"] == "Q4_0"
    assert kinds["position_embd.weight"] == kinds["cls.output.weight"] == kinds["blk.0.attn_q.bias"] == "F32"
    [table] = [tensor for tensor in reader.tensors if tensor.name == "token_embd.weight"]
    assert table.n_bytes == 25 * 64 * 4.5 / 8  # four bits and a half-precision scale for 32 weights
    assert "model.gguf" in {file.name for file in path.iterdir()} and weights_bytes(path) < weights_bytes(source) / 2


def test_names_of_tensors_in_gguf():
    assert tensor_name("bert.encoder.layer.11.attention.output.LayerNorm.bias") == "blk.11.attn_output_norm.bias"
    assert tensor_name("bert.encoder.layer.0.output.dense.weight") == "blk.0.ffn_down.weight"
    assert (
        tensor_name("bert.pooler.dense.weight") == "cls.weight" and tensor_name("classifier.bias") == "cls.output.bias"
    )
    assert tensor_name("bert.embeddings.position_ids") is None and tensor_name("cls.predictions.bias") is None


def test_llama_cpp_is_told_how_words_are_normalised():
    """It lower-cases and strips accents unless it is told: a cased model would read other words."""
    cased, uncased = ({"type": "BertNormalizer", "lowercase": lower, "strip_accents": None} for lower in (False, True))
    assert normalization(cased) == {"lowercase": False, "strip_accents": False} == normalization(None)
    assert normalization(uncased) == {"lowercase": True, "strip_accents": True}
    assert normalization({**uncased, "strip_accents": False}) == {"lowercase": True, "strip_accents": False}
    parts = [{"type": "NFD"}, {"type": "Lowercase"}, {"type": "StripAccents"}]
    assert normalization({"type": "Sequence", "normalizers": parts}) == {"lowercase": True, "strip_accents": True}
    assert normalization({"type": "Lowercase"}) == {"lowercase": True, "strip_accents": False}


@needs("gguf", "llama_cpp")
@pytest.mark.parametrize(("form", "limit"), [("gguf", 1e-2), ("gguf-q8_0", 5e-2), ("gguf-q4_0", 0.3)])
def test_llama_cpp_gives_the_logits(form, limit):
    source = make_source()
    path = export(source, form, fresh=False)
    assert engine_of(path) == "llama.cpp" and apart(path, source) < limit
    assert model_folder.read_meta(path)["export"]["check"]["rows"] == 64
    if form == "gguf":
        example_agrees(path, source)


@needs("gguf")
def test_gguf_without_llama_cpp_says_that_it_was_not_compared(monkeypatch, tmp_path):
    real = extras.has
    monkeypatch.setattr(extras, "has", lambda module: module != "llama_cpp" and real(module))
    path = export(make_source(), "gguf", tmp_path / "out", fresh=False)
    check = model_folder.read_meta(path)["export"]["check"]
    assert check["rows"] == 0 and "llama-cpp-python is not installed" in check["why"]
    assert "not compared" in (path / "README.md").read_text(encoding="utf-8")


@needs("gguf")
def test_what_llama_cpp_has_no_way_for_is_refused():
    with pytest.raises(InputError, match=r"pairs of texts.*Export it to onnx"):
        export(make_source(name="pairs", pair=True), "gguf")
    with pytest.raises(InputError, match=r"knows BERT classifiers, not DistilBert"):
        export(make_source(tiny.bert(1, 32, kind="DistilBert"), "distil"), "gguf")
    with pytest.raises(InputError, match=r"groups of 32, and this model's layers are 60 and 120 wide"):
        export(make_source(tiny.bert(1, 60, 3), "narrow"), "gguf-q4_0")
    assert not list((home.models_dir() / "exported").glob("*"))


@needs("executorch")
@pytest.mark.parametrize(("form", "limit"), [("executorch", 1e-4), ("executorch-int8", 0.2)])
def test_executorch_gives_the_logits(form, limit):
    source = make_source(tiny.bert(1, 64))
    path = export(source, form, fresh=False)
    assert engine_of(path) == "executorch" and apart(path, source) < limit
    assert Predictor(path).runtime.max_length == 16
    if form == "executorch":
        example_agrees(path, source)
    else:
        assert weights_bytes(path) < 0.8 * weights_bytes(source)


@needs("coremltools")
def test_core_ml_is_written_for_a_few_lengths_and_says_that_it_was_not_run():
    import coremltools

    source = make_source(tiny.bert(1, 32), max_length=32)
    path = export(source, "coreml", fresh=False)
    spec = coremltools.utils.load_spec(str(path / "model.mlpackage"))
    assert [entry.name for entry in spec.description.input] == ["input_ids", "attention_mask", "token_type_ids"]
    assert [entry.name for entry in spec.description.output] == ["logits"]
    record = model_folder.read_meta(path)["export"]
    assert (
        record["lengths"] == [16, 32] and "Apple's systems only" in record["check"]["why"] and record["bytes"] > 10_000
    )
    assert "were not compared" in (path / "README.md").read_text(encoding="utf-8")


@needs("onnx", "onnxruntime", "onnxscript")
def test_tensorrt_comes_with_its_builder_and_says_that_it_is_not_verified():
    source = make_source(tiny.bert(1, 32))
    path = export(source, "tensorrt", fresh=False)
    assert engine_of(path) == "onnxruntime" and apart(path, source) < 1e-5
    script = (path / "build_engine.py").read_text(encoding="utf-8")
    compile(script, "build_engine.py", "exec")
    assert "trtexec --onnx=model.onnx" in script and "--maxShapes=input_ids:64x16,attention_mask:64x16" in script
    assert "Not verified" in (path / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("form", [name for name, form in FORMATS.items() if not form.unchecked and name != "tensorrt"])
def test_every_format_is_refused_where_it_answers_differently(form, monkeypatch):
    if why := [extra for extra in (FORMATS[form].extra, FORMATS[form].runner) if not extras.is_here(extra)]:
        pytest.skip(f"{' and '.join(why)} is not here")
    source = make_source(tiny.bert(1, 32), max_length=8)
    monkeypatch.setitem(FORMATS, form, replace(FORMATS[form], tolerance=-1.0))
    with pytest.raises(QTinkerError, match=rf"The {form} file answers differently.*of 8 answers agree.*--force"):
        export(source, form, fresh=False, check_rows=tiny.examples(8))
    assert not list((home.models_dir() / "exported").glob("*"))


def test_missing_libraries_are_named_before_anything_is_loaded(monkeypatch):
    said = []
    for module, form, words in (
        ("gguf", "gguf", "pip install gguf"),
        ("executorch", "executorch", "pip install executorch"),
        ("coremltools", "coreml", "pip install coremltools"),
    ):
        for name in [each for each in sys.modules if each.split(".")[0] == module]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(MissingExtra, match=words):
            export(make_source(tiny.bert(1, 32), f"for-{form}"), form, progress=said.append)
    assert not said and not list((home.models_dir() / "exported").glob("*"))


def test_each_format_says_what_it_is():
    for form in FORMATS.values():
        assert form.title and form.runs_on and form.file and form.extra in {"", *extras.EXTRAS}
