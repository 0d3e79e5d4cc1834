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
    monkeypatch.setattr(precision, "_step_seconds", lambda m, d, name: {"fp32": fp32, "bf16": bf16}[name])
    assert precision.choose("auto", tiny.bert().model, CPU) == chosen


def test_the_measurement_is_made_once_and_leaves_no_trace(monkeypatch):
    model = tiny.bert().model
    before, state = tiny.weights(model), torch.get_rng_state()
    first = precision.choose("auto", model, CPU)
    assert first in ("fp32", "bf16")
    assert torch.equal(torch.get_rng_state(), state) and all(p.grad is None for p in model.parameters())
    assert all(torch.equal(weight, before[name]) for name, weight in tiny.weights(model).items())
    monkeypatch.setattr(precision, "_step_seconds", lambda *_: pytest.fail("measured again"))
    assert precision.choose("auto", model, CPU) == first
    file = cache_dir() / "precision.json"
    assert list(json.loads(file.read_text(encoding="utf-8")).values()) == [first]


def test_a_damaged_note_is_made_anew(monkeypatch):
    cache_dir().mkdir(parents=True)
    (cache_dir() / "precision.json").write_text("[", encoding="utf-8")
    monkeypatch.setattr(precision, "_step_seconds", lambda *_: 1.0)
    assert precision.choose("auto", tiny.bert().model, CPU) == "fp32"


def test_what_is_asked_for_is_taken():
    assert precision.choose("fp16", tiny.bert().model, CPU) == "fp16"


def test_devices():
    assert pick_device("cpu") == CPU
    with pytest.raises(InputError, match="There is no device cuda:99") as caught:
        pick_device("cuda:99")
    assert "--device auto" in caught.value.fix
