"""Quantized models: they load back elsewhere to the same numbers, weigh what is promised, and bad ones are refused."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import tiny
import torch
from qtinker import checkpoint, home, model_folder, registry
from qtinker.errors import CheckpointError, InputError, QTinkerError
from qtinker.predict import Predictor
from qtinker.quantize import SCHEMES, quantize
from qtinker.quantize.layers import Layers, bytes_by_part, group_size, part_of, patterns, select_layers
from qtinker.quantize.make import refuse_too_different
from qtinker.quantize.packed_engine import group_parameters
from qtinker.quantize.schemes import CPU_ENGINES, GPU_ONLY, candidates, choose_engine, offered
from qtinker.quantize.verify import Verdict, compare_logits

# Loads folders as anybody would, without QTinker, and prints the bits of their logits.
PLAIN = """
import json, sys, torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer
assert not any("qtinker" in name for name in sys.modules)
torch.set_num_threads(1)
folders, texts = json.loads(sys.argv[1])
for folder in folders:
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    batch = AutoTokenizer.from_pretrained(folder)(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        print(model(**batch).logits.numpy().tobytes().hex())
"""
PACKED = {
    name: scheme.engines[0]
    for name, scheme in SCHEMES.items()
    if scheme.bits < 16 and scheme.engines[0] not in CPU_ENGINES and name != "mixed"
}
"""Schemes below 16 bits that give PyTorch folders, each with the engine for that; mixed has tests of its own."""
TEXTS = ["the movie was very good", "awful", "a plot but not a scene"]


@pytest.fixture
def source():
    """A model of the registry, with weights of a trained one's size, so that its answers differ."""
    return make_source(tiny.bert(2, 64))


def make_source(loaded, name="teacher"):
    with torch.no_grad():
        for weight in loaded.model.parameters():
            weight.mul_(6 if weight.ndim == 2 else 1)
    meta = {"name": name, "kind": "finetuned", "task": tiny.task().to_meta(), "max_length": 32, "licence": "MIT"}
    with registry.staged("distilled", name) as folder:
        checkpoint.save(loaded.model, loaded.tokenizer, folder, meta=meta)
    return home.models_dir() / "distilled" / name


def logits(path):
    return Predictor(path).logits(tiny.examples(16))


def test_a_fresh_process_without_qtinker_gives_the_same_bits(source):
    paths = [quantize(source, scheme, engine=engine, fresh=False) for scheme, engine in PACKED.items()]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    here = []
    for path in paths:
        loaded = checkpoint.load(path)
        with torch.no_grad():
            output = loaded.model(**loaded.tokenizer(TEXTS, padding=True, return_tensors="pt")).logits
        here.append(output.numpy().tobytes().hex())
    torch.set_num_threads(threads)
    arguments = json.dumps([[str(path) for path in paths], TEXTS])
    there = subprocess.run([sys.executable, "-c", PLAIN, arguments], capture_output=True, text=True, check=True)
    assert there.stdout.split() == here
    assert len({*here, logits(source).tobytes().hex()}) == len(here) + 1


@pytest.mark.parametrize(("scheme", "per_weight"), [("int8-dynamic", 1.0), ("int4-weight-only", 0.5)])
def test_bytes_are_what_the_scheme_promises(source, scheme, per_weight):
    path = quantize(source, scheme, engine=SCHEMES[scheme].engines[0], fresh=False)
    record = model_folder.read_meta(path)["quantization"]
    shapes = {name: tuple(value.shape) for name, value in checkpoint.load(source).model.state_dict().items()}
    touched = {
        name: shape
        for name, shape in shapes.items()
        if len(shape) == 2 and part_of(name) != "head" and "token_type" not in name
    }
    promised = {"embeddings": 0, "encoder": 0, "head": 0}
    for name, (rows, columns) in touched.items():
        promised[part_of(name)] += SCHEMES[scheme].weight_bytes(rows, columns)
    floats = {name: shape for name, shape in shapes.items() if name not in touched}
    for name, shape in floats.items():
        halved = scheme == "int4-weight-only" and len(shape) == 2
        small = scheme == "int8-dynamic" and "token_type" in name
        promised[part_of(name)] += int(np.prod(shape)) * (2 if halved else 4) if not small else 2 * 64 * 4
    assert str(source.parent) not in (path / "config.json").read_text(encoding="utf-8")
    after = bytes_by_part(path)
    assert record["bytes_after"]["encoder"] == after["encoder"]
    for part, expected in promised.items():
        # the packed format also notes the shape of each matrix: 16 bytes
        assert expected <= after[part] <= expected + 16 * len(touched), part
    assert record["embeddings"] is True and record["layers"] == len(touched)
    weights = sum(rows * columns for rows, columns in touched.values())
    assert per_weight <= (after["embeddings"] + after["encoder"]) / weights <= per_weight * 1.25 + 0.15


def test_heads_norms_and_biases_stay_float(source):
    for scheme, engine in PACKED.items():
        before = checkpoint.load(source).model.state_dict()
        after = checkpoint.load(quantize(source, scheme, engine=engine, fresh=False)).model.state_dict()
        for name, value in before.items():
            if "LayerNorm" in name or name.endswith("bias"):
                assert torch.equal(after[name], value), name
            if name.startswith("classifier") or "pooler" in name:
                assert torch.equal(after[name], value.half().float() if "int4" in scheme else value), name


def test_what_enters_the_registry_says_what_it_is(source):
    lines: list[str] = []
    path = quantize(
        "teacher", "int4-weight-only", engine="compressed-tensors", progress=lines.append
    )  # a fresh process
    assert path == home.models_dir() / "quantized" / "teacher-int4-weight-only"
    meta = model_folder.read_meta(path)
    assert meta["kind"] == "quantized" and meta["licence"] == "MIT" and meta["task"]["labels"] == ["bad", "good"]
    assert meta["parameters"] == sum(weight.numel() for weight in checkpoint.load(source).model.parameters())
    record = meta["quantization"]
    assert record["scheme"] == "int4-weight-only" and record["source"] == "teacher" and record["group_size"] == 64
    assert 0.5 <= record["check"]["agreement"] <= 1 and record["check"]["rows"] == 64
    assert record["bytes_after"]["total"] == (path / "model.safetensors").stat().st_size
    card = (path / "README.md").read_text(encoding="utf-8")
    assert "int4-weight-only" in card and f"{record['bytes_after']['embeddings']:,}" in card
    assert registry.verify("teacher-int4-weight-only") == []
    assert lines[0] == "Loading teacher" and "Kept as teacher-int4-weight-only" in lines[-1]
    again = quantize("teacher", "int4-weight-only", fresh=False)
    assert again.name == "teacher-int4-weight-only-2"


def test_auto_passes_over_what_is_measured_slower_than_float(source, monkeypatch):
    from qtinker.quantize import make
    from qtinker.runtime import extras

    monkeypatch.setattr(make, "NOT_SLOWER", 0.0)
    monkeypatch.setattr(extras, "runs", lambda engine, real=extras.runs: engine != "openvino" and real(engine))
    record = model_folder.read_meta(quantize(source, "int8-dynamic", fresh=False))["quantization"]
    assert record["engine"] == "torchao" and record["speedup"] > 0
    if not extras.runs("onnxruntime"):
        pytest.skip("no second engine is installed")
    assert "; measured " in record["reason"]
    monkeypatch.setattr(make, "NOT_SLOWER", float("inf"))  # none is fast enough: the fastest, with all the figures
    lines: list[str] = []
    made = quantize(source, "int8-dynamic", fresh=False, progress=lines.append)
    record = model_folder.read_meta(made)["quantization"]
    assert sum("is slower than float on this processor" in line for line in lines) == 2
    other = {"torchao": "onnxruntime", "onnxruntime": "torchao"}[record["engine"]]
    assert f"({other} " in record["reason"] and record["reason"].count("times as fast as float") == 2
    assert sorted(entry.name for entry in registry.list_models() if entry.group == "quantized") == [
        "teacher-int8-dynamic", "teacher-int8-dynamic-2"
    ]  # fmt: skip


def test_files_are_as_readable_as_the_user_asks(source):
    import os

    if os.name != "posix":
        pytest.skip("no modes here")
    before = os.umask(0o027)
    try:
        path = quantize(source, "bf16", fresh=False)
    finally:
        os.umask(before)
    assert {oct(file.stat().st_mode & 0o777) for file in path.iterdir() if file.suffix == ".safetensors"} == {"0o640"}


def test_fp8_activations_ask_for_a_gpu_that_has_them(source, monkeypatch):
    fp8 = SCHEMES["fp8"]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match=r"compute capability 8\.9 or more, and this machine has none"):
        quantize(source, "fp8", engine="torchao")
    assert [choice.engine for choice in candidates(fp8)] == offered(fp8) == ["compressed-tensors"]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for capability, engine in (((8, 6), "compressed-tensors"), ((8, 9), "torchao"), ((9, 0), "torchao")):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda capability=capability: capability)
        assert choose_engine(fp8, device="cuda").engine == engine
        assert choose_engine(SCHEMES["int8-dynamic"], device="cuda").engine == "torchao"


def test_fp8_activations_load_back_exactly(source, monkeypatch):
    monkeypatch.delitem(GPU_ONLY, ("fp8", "torchao"))  # a processor computes with them too
    monkeypatch.setattr("torchao.quantization.quant_api._check_hardware_support", lambda _: None)
    made = quantize(source, "fp8", engine="torchao", check_rows=tiny.examples(40))  # a processor is slow at it
    record = model_folder.read_meta(made)["quantization"]
    assert record["activations"] == "float8 (e4m3), one scale a tensor" and record["check"]["agreement"] > 0.9
    assert record["bytes_after"]["encoder"] < 0.5 * record["bytes_before"]["encoder"]
    kinds = {entry["dtype"] for entry in model_folder.safetensors_header(made / "model.safetensors").values()}
    assert "F8_E4M3" in kinds
    assert 0 < np.abs(logits(made) - logits(source)).max() < 0.5 * np.abs(logits(source)).max()


def test_what_is_quantized_already_is_refused(source):
    path = quantize(source, "int8-dynamic", engine="torchao", fresh=False)
    with pytest.raises(InputError, match=r"teacher-int8-dynamic is quantized already \(int8-dynamic\).*teacher"):
        quantize(path, "int4-weight-only")
    (path / "qtinker.json").unlink()
    with pytest.raises(InputError, match=r"quantized already \(torchao\)"):
        quantize(path, "int4-weight-only")


def test_other_models_that_can_t_be_quantized_are_refused_in_words(tmp_path):
    with pytest.raises(InputError, match="Conv1D"):
        quantize(make_source(tiny.bert(kind="GPT2"), "gpt"), "int8-dynamic")
    narrow = make_source(tiny.bert(1, 6, 2), "narrow")
    with pytest.raises(InputError, match=r"6, 12 wide: no group of 8 to 64 weights"):
        quantize(narrow, "int4-weight-only")
    encoder = tmp_path / "encoder"
    loaded = tiny.bert()
    loaded.model.bert.save_pretrained(encoder)
    loaded.tokenizer.save_pretrained(encoder)
    with pytest.raises(CheckpointError, match=r"encoder has no trained head.*python3 app finetune encoder"):
        quantize(encoder, "int8-dynamic")
    with pytest.raises(InputError, match="no model 'nothing-of-this-name'"):
        quantize("nothing-of-this-name", "int8-dynamic")
    assert not list((home.models_dir() / "quantized").glob("*"))


def test_a_truncated_model_is_refused_by_name(source):
    weights = source / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        quantize(source, "int8-dynamic")


def test_one_that_answers_differently_is_refused_with_numbers_unless_forced(source, monkeypatch):
    from dataclasses import replace

    strict = replace(SCHEMES["int4-weight-only"], logit_error=1e-6)
    monkeypatch.setitem(SCHEMES, "int4-weight-only", strict)
    with pytest.raises(QTinkerError, match=r"changes this model too much: \d+\.\d% of 64 answers.*--force"):
        quantize(source, "int4-weight-only", fresh=False)
    assert not list((home.models_dir() / "quantized").glob("*"))
    assert quantize(source, "int4-weight-only", fresh=False, force=True).is_dir()


def test_one_row_of_a_few_does_not_decide():
    scheme = SCHEMES["int8-dynamic"]  # at least 90 %
    refuse_too_different(Verdict(4, 0.75, 0.1, 0.02), scheme, force=False)
    for rows, agreement, error in ((4, 0.5, 0.02), (40, 0.85, 0.02), (4, 0.75, 9.0)):
        with pytest.raises(QTinkerError, match="changes this model too much"):
            refuse_too_different(Verdict(rows, agreement, 0.1, error), scheme, force=False)


@pytest.mark.parametrize(
    ("scheme", "engine"),
    [("int8-dynamic", "torchao"), ("bf16", "transformers"), ("int8-dynamic", "onnxruntime"),
     ("int8-dynamic", "openvino")],
)  # fmt: skip
def test_every_engine_is_refused_alike(scheme, engine, monkeypatch):
    from dataclasses import replace

    from qtinker.runtime import extras

    if not extras.runs(engine):
        pytest.skip(f"{engine} is not here")
    source = make_source(tiny.bert(1, 32))
    monkeypatch.setitem(SCHEMES, scheme, replace(SCHEMES[scheme], logit_error=1e-9))
    with pytest.raises(QTinkerError, match=rf"{scheme} changes this model too much: \d+\.\d% of 64 answers.*--force"):
        quantize(source, scheme, engine=engine, fresh=False)
    assert not list((home.models_dir() / "quantized").glob("*"))
    forced = model_folder.read_meta(quantize(source, scheme, engine=engine, fresh=False, force=True))
    assert forced["quantization"]["check"]["logit_error"] > 1e-9


def test_rows_to_compare_on_can_be_given(source):
    path = quantize(source, "int8-dynamic", engine="torchao", check_rows=TEXTS, fresh=False)
    assert model_folder.read_meta(path)["quantization"]["check"]["rows"] == 3


@pytest.mark.parametrize("kind", ["DistilBert", "Albert", "MobileBert"])
def test_other_families_load_back_too(kind):
    source = make_source(tiny.bert(2, 32, kind=kind), kind.lower())
    for scheme, engine in PACKED.items():
        path = quantize(source, scheme, engine=engine, fresh=False, force=True)
        assert (path / "model.safetensors").stat().st_size < (source / "model.safetensors").stat().st_size


def test_layers_are_found_and_named_by_patterns():
    model = tiny.bert(2).model
    layers = select_layers(model)
    assert layers.embeddings == ["bert.embeddings.word_embeddings", "bert.embeddings.position_embeddings"]
    assert len(layers.linears) == 12 and not any("pooler" in name or "classifier" in name for name in layers.all)
    import re

    found = patterns(layers.linears)
    assert len(found) == 6 and r"bert\.encoder\.layer\.\d+\.attention\.self\.query" in found
    matched = [name for name, _ in model.named_modules() if any(re.fullmatch(one, name) for one in found)]
    assert matched == layers.linears
    assert Layers(["a"], ["b"]).all == ["a", "b"]


def test_group_size_is_the_largest_that_divides_all():
    assert group_size([768, 3072], 32) == 32
    assert group_size([312, 1200], 32) == 24  # TinyBERT's widths
    with pytest.raises(InputError, match="int8-dynamic"):
        group_size([20, 40, 9], 32)


def test_group_parameters_by_hand():
    # 0..15 has exactly sixteen values: one step each, and the zero point is where -8 stands for 0
    row = torch.arange(16.0).reshape(1, 16)
    scale, zero = group_parameters(row, 16, bits=4, symmetric=False)
    assert scale.item() == 1.0 and zero.item() == -8
    scale, zero = group_parameters(torch.zeros(1, 8), 8, bits=4, symmetric=True)
    assert torch.isfinite(scale).all() and zero.item() == 0
    # one outlier among small weights: cutting it off rounds the others better than keeping it
    spread = torch.tensor([[1.0] + [0.11, -0.11, 0.1, -0.1] * 7 + [0.1, 0.1, 0.1]])
    whole = (spread.amax() - spread.amin()) / 15
    assert group_parameters(spread, 32, bits=4, symmetric=False)[0].item() < whole.item()


def test_comparison_by_hand():
    source = np.array([[2.0, 0.0], [0.0, 2.0], [1.0, -1.0], [0.0, 0.5]], np.float32)
    result = np.array([[2.0, 0.0], [0.0, 2.0], [1.0, -1.0], [1.0, 0.5]], np.float32)
    verdict = compare_logits(source, result)
    assert (verdict.rows, verdict.agreement, verdict.max_logit_difference) == (4, 0.75, 1.0)
    # rms difference sqrt(1/8); rms of the centred source sqrt((3 * 2 * 1 + 2 / 16) / 8)
    assert verdict.logit_error == pytest.approx((1 / 6.125) ** 0.5)
    assert "75.0% of 4 answers agree" in str(verdict)
    assert json.dumps(verdict.to_dict())
