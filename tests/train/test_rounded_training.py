"""Training with rounded weights: what is kept lies on the 4-bit grid, and packing it changes no answer."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import tiny
import torch
from qtinker import api, checkpoint, registry
from qtinker.distill.train import train
from qtinker.quantize.layers import select_layers
from qtinker.quantize.packed_engine import Packing, round_weight
from qtinker.quantize.qat import on_grid, rounding
from qtinker.quantize.schemes import GROUP
from qtinker.spec import TrainingSpec

pytestmark = pytest.mark.train


def trained(folder, bits):
    """A student after three epochs on the same data from the same weights."""
    student = tiny.bert(1, 64, dropout=0.0)
    with torch.no_grad():  # coarse weights, which 4 bits round badly
        for weight in student.model.parameters():
            weight.mul_(8 if weight.ndim == 2 else 1)
    settings = TrainingSpec(
        epochs=3, batch_size=8, learning_rate=1e-3, quantization_aware=bits, threads=1, device="cpu", precision="fp32"
    )
    with rounding(student.model, bits):
        steps = train(
            student, tiny.encoded(64, loaded=student), task=tiny.task(), training=settings, folder=folder / bits
        )
        losses = [event["loss"] for event in steps if event["kind"] == "step"]
    return student, losses


def in_four_bits(student):
    """The relative change of the logits by packing into 4 bits."""
    batch = student.tokenizer(list(tiny.examples(40, seed=1).texts), padding=True, return_tensors="pt")
    packed = copy.deepcopy(student.model)
    with torch.no_grad():
        before = student.model(**batch).logits
        for name in select_layers(packed).all:
            weight = packed.get_parameter(f"{name}.weight")
            weight.copy_(round_weight(weight, Packing([], 4, GROUP, symmetric=False)))
        return float((packed(**batch).logits - before).norm() / before.norm())


def test_packing_costs_a_student_nothing_that_trained_with_rounded_weights(tmp_path):
    plain, losses = trained(tmp_path, "none")
    aware, rounded_losses = trained(tmp_path, "int4")
    assert losses[-1] < losses[0] and rounded_losses[-1] < rounded_losses[0]
    for name in select_layers(aware.model).all:
        weight = aware.model.get_parameter(f"{name}.weight").detach()
        assert torch.allclose(on_grid(weight, GROUP), weight, atol=1e-5), name
    assert in_four_bits(aware) < 2e-3 < 0.02 < in_four_bits(plain)


def test_a_run_trains_rounded_and_its_four_bits_answer_as_the_student(tmp_path, qtinker_home):
    """From the spec to the report: a teacher trained as ever, a rounded student, its INT4 file beside it."""
    for name, layers in (("teacher", 2), ("small", 1)):
        made = tiny.bert(layers, 64, seed=layers)
        meta = {"name": name, "kind": "finetuned" if layers == 2 else "pretrained"}
        meta |= {"task": tiny.task().to_meta()} if layers == 2 else {}
        model = made.model if layers == 2 else made.model.bert
        checkpoint.save(model, made.tokenizer, qtinker_home / "bert_models" / "hub" / name, meta=meta)
    examples = tiny.examples(96, seed=5)
    rows = [f"{text},{tiny.LABELS[label]}" for text, label in zip(examples.texts, examples.labels, strict=True)]
    (tmp_path / "rows.csv").write_text("\n".join(["text,label", *rows]) + "\n", encoding="utf-8")
    report = api.distill(
        teacher="teacher", student="small", data=str(tmp_path / "rows.csv"), name="rounded", control=True, epochs=2,
        batch_size=8, learning_rate=1e-3, precision="fp32", threads=1, device="cpu", quantization_aware="int4",
        quantize=["int4-weight-only"],
    )  # fmt: skip
    assert registry.read_meta(report["checkpoint"])["quantization_aware"] == "int4"
    assert "Trained with its weights rounded to | INT4" in (Path(report["checkpoint"]) / "README.md").read_text("utf-8")
    assert registry.read_meta(report["control_checkpoint"])["quantization_aware"] == "int4"
    (packed,) = report["quantized"]
    meta = registry.read_meta(packed["path"])
    assert meta["quantization_aware"] == "int4" and meta["quantization"]["bits"] == 4
    # the student lies on the grid already: packing it moves nothing but the last digits
    assert meta["quantization"]["check"]["agreement"] == 1.0 and meta["quantization"]["check"]["logit_error"] < 0.05
    by_name = {row["name"]: row for row in report["models"]}
    assert by_name["rounded-int4-weight-only"]["metrics"] == by_name["rounded"]["metrics"]
    assert "quantization_aware" not in registry.read_meta(qtinker_home / "bert_models" / "hub" / "teacher")
