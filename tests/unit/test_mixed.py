"""Mixed precision: the layers that cost most are found and stay in 16 bits, until the limit on what is lost holds."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tiny
import torch
from qtinker import checkpoint, home, model_folder, registry
from qtinker.cli import main
from qtinker.errors import InputError, QTinkerError
from qtinker.predict import Predictor, logits_of
from qtinker.quantize import quantize
from qtinker.quantize.engines import points_lost
from qtinker.quantize.layers import Layers
from qtinker.quantize.mixed import find_plan
from qtinker.runtime.pytorch import TorchRuntime


def make_source(seed=3):
    loaded = tiny.bert(2, 64, seed=seed)
    with torch.no_grad():
        for weight in loaded.model.parameters():
            weight.mul_(10 if weight.ndim == 2 else 1)
    meta = {"name": "teacher", "kind": "finetuned", "task": tiny.task().to_meta(), "max_length": 32}
    with registry.staged("distilled", "teacher") as folder:
        checkpoint.save(loaded.model, loaded.tokenizer, folder, meta=meta)
    return home.models_dir() / "distilled" / "teacher"


def labelled(source, count=60):
    """Examples whose labels are what the model answers, so that each changed answer costs."""
    rows = tiny.examples(count)
    rows.labels = Predictor(source).logits(rows).argmax(-1)
    return rows


class Sum(torch.nn.Module):
    """Three layers of which one is lost by rounding: its weights are not on any 4-bit grid."""

    def __init__(self):
        super().__init__()
        self.easy, self.hard, self.large = torch.nn.Linear(32, 8), torch.nn.Linear(32, 8), torch.nn.Linear(32, 64)
        with torch.no_grad():
            for layer in (self.easy, self.large):
                layer.weight.copy_(torch.arange(32).remainder(16).sub(8).div(8).expand_as(layer.weight))
            self.hard.weight.copy_(torch.linspace(-1, 1, 32).pow(3).expand_as(self.hard.weight))


def test_the_layer_that_costs_most_is_the_one_that_stays():
    model = Sum()
    before = {name: value.clone() for name, value in model.state_dict().items()}

    def error():
        return sum(float((value - before[name]).norm()) for name, value in model.state_dict().items())

    layers = Layers([], ["easy", "hard", "large"])
    plan = find_plan(model, layers, size=32, error=error, lost=error, max_loss=0.05)
    assert plan.bits == {"easy": 4, "hard": 16, "large": 4}
    assert plan.cost["hard"] > 10 * plan.cost["easy"] and plan.lost <= 0.05 and plan.tried[0] == (0, plan.tried[0][1])
    assert find_plan(Sum(), layers, size=32, error=lambda: 0.0, lost=lambda: 0.0, max_loss=0).bits["hard"] == 4
    none = find_plan(Sum(), layers, size=32, error=lambda: 1.0, lost=lambda: 1.0, max_loss=0)
    assert set(none.bits.values()) == {16}


def test_the_limit_holds_for_the_file_and_bytes_lie_between():
    source = make_source()
    rows = labelled(source, 200)
    path = quantize(source, "mixed", check_rows=rows, max_loss=5.0, fresh=False, force=True)
    record = model_folder.read_meta(path)["quantization"]
    assert record["measured_by"] == "accuracy" and record["measured_rows"] == 200 and record["lost"] <= 5.0
    right = (Predictor(path).logits(rows).argmax(-1) == rows.labels).mean()
    assert 100 * (1 - right) == pytest.approx(record["lost"])
    assert set(record["bits_by_layer"].values()) <= {4, 16} and len(record["cost_by_layer"]) == 14
    four = quantize(source, "int4-weight-only", engine="compressed-tensors", fresh=False, force=True)
    sizes = [(each / "model.safetensors").stat().st_size for each in (four, path, source)]
    assert sizes[0] <= sizes[1] < sizes[2]
    stay = [name for name, bits in record["bits_by_layer"].items() if bits == 16]
    assert stay, "this model must lose by 4 bits, or the test shows nothing"
    card = (path / "README.md").read_text(encoding="utf-8")
    assert f"{14 - len(stay)} of 14 layers are in 4 bits" in card and "points of accuracy are lost on 200 rows" in card
    assert all(f"| {name} | {bits} |" in card for name, bits in record["bits_by_layer"].items())
    state = checkpoint.load(path).model.state_dict()
    original = checkpoint.load(source).model.state_dict()
    for name in stay:
        assert torch.equal(state[f"{name}.weight"], original[f"{name}.weight"].half().float())
    assert 4 < record["average_bits"] < 16


def test_without_labels_changed_answers_count():
    runtime = TorchRuntime(make_source())
    lost, by = points_lost(runtime, tiny.examples(10, unlabelled=10))
    assert by == "agreement" and lost() == 0
    before = logits_of(runtime, tiny.examples(10))
    with torch.no_grad():
        runtime.model.classifier.weight.mul_(-1)
        runtime.model.classifier.bias.mul_(-1)
    changed = (logits_of(runtime, tiny.examples(10)).argmax(-1) != before.argmax(-1)).mean()
    assert lost() == pytest.approx(100 * changed) and changed == 1


def test_data_is_asked_for():
    said: list[str] = []
    source = make_source()
    for given in ({}, {"calibration": tiny.examples(4)}, {"check_rows": []}):
        with pytest.raises(InputError, match=r"mixed needs examples to measure on what each layer costs.*--data FILE"):
            quantize(source, "mixed", fresh=False, progress=said.append, **given)
    assert not said  # before anything is loaded


def test_a_limit_that_no_layer_keeps_is_refused_in_words(monkeypatch):
    source = make_source()
    monkeypatch.setattr("qtinker.quantize.engines.points_lost", lambda runtime, rows: (lambda: 1.0, "accuracy"))
    with pytest.raises(QTinkerError, match=r"No layer can be in 4 bits within 0\.25 points.*--max-loss"):
        quantize(source, "mixed", check_rows=labelled(source), max_loss=0.25, fresh=False)
    assert not list((home.models_dir() / "quantized").glob("*"))


def test_the_verb_reads_labels(tmp_path, capsys):
    source = make_source()
    rows = labelled(source, 30)
    lines = [f"{text},{tiny.LABELS[label]}" for text, label in zip(rows.texts, rows.labels, strict=True)]
    (tmp_path / "rows.csv").write_text("\n".join(["text,label", *lines]) + "\n", encoding="utf-8")
    asked = ["quantize", "teacher", "--scheme", "mixed", "--data", str(tmp_path / "rows.csv"), "--max-loss", "5"]
    assert main([*asked, "--force", "--json"]) == 0
    made = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    record = model_folder.read_meta(made["path"])["quantization"]
    assert record["measured_by"] == "accuracy" and record["max_loss"] == 5 and record["lost"] <= 5
    assert np.isfinite(record["average_bits"])
