"""The choice of arithmetic: by measurement, once, and the same afterwards."""

from __future__ import annotations

import json

import pytest
import task_data
import tiny
import torch
from qtinker.devices import pick_device
from qtinker.distill import precision
from qtinker.errors import InputError
from qtinker.home import cache_dir

CPU = torch.device("cpu")
SIZE = (8, 13)
"""Examples and tokens of a step."""


@pytest.mark.parametrize(("fp32", "bf16", "chosen"), [(1.0, 0.5, "bf16"), (1.0, 0.9, "fp32"), (0.5, 1.0, "fp32")])
def test_auto_takes_what_was_clearly_faster(monkeypatch, fp32, bf16, chosen):
    monkeypatch.setattr(precision, "_step_seconds", lambda m, d, name, **_: {"fp32": fp32, "bf16": bf16}[name])
    assert precision.choose("auto", tiny.bert().model, CPU, size=SIZE) == chosen


@pytest.mark.parametrize("kind", task_data.KINDS)
def test_a_model_of_any_task_is_measured(kind):
    """Heads differ in what they return: starts and ends are no `logits`."""
    model = task_data.model_for(kind).model
    assert precision.choose("auto", model, CPU, size=SIZE) in ("fp32", "bf16")
    assert precision.attention_kernel(model, CPU, "fp32", size=SIZE) in precision.KERNELS


def test_the_measurement_is_made_once_and_leaves_no_trace(monkeypatch):
    model = tiny.bert().model
    before, state = tiny.weights(model), torch.get_rng_state()
    first = precision.choose("auto", model, CPU, size=SIZE)
    assert first in ("fp32", "bf16")
    assert torch.equal(torch.get_rng_state(), state) and all(p.grad is None for p in model.parameters())
    assert all(torch.equal(weight, before[name]) for name, weight in tiny.weights(model).items())
    monkeypatch.setattr(precision, "_step_seconds", lambda *_, **__: pytest.fail("measured again"))
    assert precision.choose("auto", model, CPU, size=SIZE) == first
    file = cache_dir() / "measured.json"
    ((key, seconds),) = json.loads(file.read_text(encoding="utf-8")).items()
    assert "L2-H32" in key and set(seconds) == {"fp32", "bf16"} and all(value > 0 for value in seconds.values())
    share = f"{seconds['bf16'] / seconds['fp32']:.2f}"
    assert precision.reason("auto", model, CPU, size=SIZE) == (
        f"{first}, as a step in bf16 takes {share} of the time of one in fp32 (measured)"
    )
    assert precision.reason("fp32", model, CPU, size=SIZE) == "fp32, as asked for"


def test_what_is_compared_computes_alike(monkeypatch):
    """Of two models one is faster in bf16 and one in fp32: side by side both take what the first one takes."""
    measured = {"wide": {"fp32": 2.0, "bf16": 1.0}, "narrow": {"fp32": 1.0, "bf16": 2.0}}
    monkeypatch.setattr(precision, "_arithmetic", lambda model, device, size: measured[model])
    cpu, known = torch.device("cpu"), {}

    def chosen(*models):
        return [precision.choose("auto", model, cpu, size=(8, 16)) for model in models]

    assert chosen("wide", "narrow") == ["bf16", "fp32"]
    with precision.agreed(known):
        assert chosen("wide", "narrow") == ["bf16", "bf16"] and known == {"cpu": "bf16"}
        assert "as all that are compared" in precision.reason("auto", "narrow", cpu, size=(8, 16))
        assert precision.choose("fp32", "narrow", cpu, size=(8, 16)) == "fp32"
    with precision.agreed({"cpu": "fp32"}):  # as a resumed comparison was told before
        assert chosen("wide", "narrow") == ["fp32", "fp32"]
    assert chosen("wide", "narrow") == ["bf16", "fp32"]


def test_a_gpu_is_measured_at_the_size_of_its_steps(monkeypatch):
    """A few short texts keep no GPU busy: whether bf16 is faster shows at the size that is trained."""
    asked, model, gpu = [], tiny.bert().model, torch.device("cuda")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "some GPU")

    def measured(_model, _device, name, *, size, training=False):
        asked.append((name, size, training))
        return 1.0 if name == "fp32" else 1.2 if size[0] < 64 else 0.3

    monkeypatch.setattr(precision, "_step_seconds", measured)
    assert precision.choose("auto", model, gpu, size=(16, 30)) == "fp32"
    assert precision.choose("auto", model, gpu, size=(64, 125)) == "bf16"
    assert asked == [(name, size, False) for size in ((16, 32), (64, 128)) for name in ("fp32", "bf16")]
    assert "bf16, as a step in bf16 takes 0.30" in precision.reason("auto", model, gpu, size=(64, 125))
    assert len(asked) == 4, "each size is measured once"
    precision.attention_kernel(model, gpu, "bf16", size=(64, 125))
    assert asked[4:] == [("bf16", (64, 128), True)] * 2


def test_too_little_memory_to_measure_ends_no_run(monkeypatch):
    model = tiny.bert().model

    def full(**_):
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr(model, "forward", full)
    assert precision.choose("auto", model, CPU, size=SIZE) == "fp32"
    assert "too little memory to measure" in precision.reason("auto", model, CPU, size=SIZE)
    assert not (cache_dir() / "measured.json").exists(), "there may be more room the next time"


def test_a_damaged_note_is_made_anew(monkeypatch):
    cache_dir().mkdir(parents=True)
    (cache_dir() / "measured.json").write_text("[", encoding="utf-8")
    monkeypatch.setattr(precision, "_step_seconds", lambda *_, **__: 1.0)
    assert precision.choose("auto", tiny.bert().model, CPU, size=SIZE) == "fp32"


def test_what_is_asked_for_is_taken():
    assert precision.choose("fp16", tiny.bert().model, CPU, size=SIZE) == "fp16"


def test_devices():
    assert pick_device("cpu") == CPU
    with pytest.raises(InputError, match="There is no device cuda:99") as caught:
        pick_device("cuda:99")
    assert "--device auto" in caught.value.fix


@pytest.mark.parametrize(("sdpa", "eager", "chosen"), [(1.0, 0.9, "eager"), (1.0, 0.99, "sdpa"), (0.5, 1.0, "sdpa")])
def test_the_faster_kernel_of_attention_is_taken(monkeypatch, sdpa, eager, chosen):
    model, asked = tiny.bert().model, []

    def measured(model, _device, _precision, *, size, training):
        asked.append((model.config._attn_implementation, size, training))
        return {"sdpa": sdpa, "eager": eager}[model.config._attn_implementation]

    monkeypatch.setattr(precision, "_step_seconds", measured)
    assert precision.attention_kernel(model, CPU, "fp32", size=SIZE) == chosen
    assert asked == [("sdpa", (16, 16), True), ("eager", (16, 16), True)]
    assert model.config._attn_implementation == "sdpa"
    assert precision.attention_kernel(model, CPU, "fp32", size=(32, 15)) == chosen and len(asked) == 2
    assert precision.attention_kernel(model, CPU, "fp32", size=(8, 300)) is None


def test_a_measured_kernel_leaves_no_trace():
    model = tiny.bert(dropout=0.1).model
    before, state = tiny.weights(model), torch.get_rng_state()
    assert precision.attention_kernel(model, CPU, "fp32", size=SIZE) in ("sdpa", "eager")
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
