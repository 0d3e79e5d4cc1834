"""The choice of arithmetic: by measurement, once, and the same afterwards."""

from __future__ import annotations

import json

import pytest
import tiny
import torch
from qtinker.distill import precision
from qtinker.distill.processes import pick_device
from qtinker.errors import InputError
from qtinker.home import cache_dir

CPU = torch.device("cpu")


@pytest.mark.parametrize(("fp32", "bf16", "chosen"), [(1.0, 0.5, "bf16"), (1.0, 0.9, "fp32"), (0.5, 1.0, "fp32")])
def test_auto_takes_what_was_clearly_faster(monkeypatch, fp32, bf16, chosen):
    monkeypatch.setattr(precision, "_step_seconds", lambda m, d, name, **_: {"fp32": fp32, "bf16": bf16}[name])
    assert precision.choose("auto", tiny.bert().model, CPU) == chosen


def test_the_measurement_is_made_once_and_leaves_no_trace(monkeypatch):
    model = tiny.bert().model
    before, state = tiny.weights(model), torch.get_rng_state()
    first = precision.choose("auto", model, CPU)
    assert first in ("fp32", "bf16")
    assert torch.equal(torch.get_rng_state(), state) and all(p.grad is None for p in model.parameters())
    assert all(torch.equal(weight, before[name]) for name, weight in tiny.weights(model).items())
    monkeypatch.setattr(precision, "_step_seconds", lambda *_, **__: pytest.fail("measured again"))
    assert precision.choose("auto", model, CPU) == first
    file = cache_dir() / "measured.json"
    ((key, seconds),) = json.loads(file.read_text(encoding="utf-8")).items()
    assert "L2-H32" in key and set(seconds) == {"fp32", "bf16"} and all(value > 0 for value in seconds.values())
    share = f"{seconds['bf16'] / seconds['fp32']:.2f}"
    assert precision.reason("auto", model, CPU) == (
        f"{first}, as a step in bf16 takes {share} of the time of one in fp32 (measured)"
    )
    assert precision.reason("fp32", model, CPU) == "fp32, as asked for"


def test_a_damaged_note_is_made_anew(monkeypatch):
    cache_dir().mkdir(parents=True)
    (cache_dir() / "measured.json").write_text("[", encoding="utf-8")
    monkeypatch.setattr(precision, "_step_seconds", lambda *_, **__: 1.0)
    assert precision.choose("auto", tiny.bert().model, CPU) == "fp32"


def test_what_is_asked_for_is_taken():
    assert precision.choose("fp16", tiny.bert().model, CPU) == "fp16"


def test_devices():
    assert pick_device("cpu") == CPU
    with pytest.raises(InputError, match="There is no device cuda:99") as caught:
        pick_device("cuda:99")
    assert "--device auto" in caught.value.fix


@pytest.mark.parametrize(("sdpa", "eager", "chosen"), [(1.0, 0.9, "eager"), (1.0, 0.99, "sdpa"), (0.5, 1.0, "sdpa")])
def test_the_faster_kernel_of_attention_is_taken(monkeypatch, sdpa, eager, chosen):
    model, asked = tiny.bert().model, []

    def measured(model, _device, _precision, *, length, training):
        asked.append((model.config._attn_implementation, length, training))
        return {"sdpa": sdpa, "eager": eager}[model.config._attn_implementation]

    monkeypatch.setattr(precision, "_step_seconds", measured)
    assert precision.attention_kernel(model, CPU, "fp32", length=13) == chosen
    assert asked == [("sdpa", 16, True), ("eager", 16, True)]
    assert model.config._attn_implementation == "sdpa"
    assert precision.attention_kernel(model, CPU, "fp32", length=15) == chosen and len(asked) == 2
    assert precision.attention_kernel(model, CPU, "fp32", length=300) is None


def test_a_measured_kernel_leaves_no_trace():
    model = tiny.bert(dropout=0.1).model
    before, state = tiny.weights(model), torch.get_rng_state()
    assert precision.attention_kernel(model, CPU, "fp32", length=13) in ("sdpa", "eager")
    assert torch.equal(torch.get_rng_state(), state) and all(p.grad is None for p in model.parameters())
    assert not model.training
    assert all(torch.equal(weight, before[name]) for name, weight in tiny.weights(model).items())


def test_kernels_of_attention_differ_by_rounding_alone():
    model = tiny.bert().model
    batch = {"input_ids": torch.randint(5, 25, (6, 13)), "attention_mask": torch.ones(6, 13, dtype=torch.long)}
    batch["attention_mask"][:3, 9:] = 0
    answers = {}
    for kernel in precision.KERNELS:
        model.set_attn_implementation(kernel)
        answers[kernel] = model(**batch).logits
    assert torch.allclose(answers["sdpa"], answers["eager"], atol=1e-6)
