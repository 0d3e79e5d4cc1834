"""A step waits for nobody, and still nothing bad gets into the weights; what saves time changes no result."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
import tiny
import torch
from qtinker.data import Examples, collate, encode
from qtinker.distill import device, how, methods, precision, step, troubles
from qtinker.distill.processes import Processes
from qtinker.distill.state import StateFolder
from qtinker.distill.step import Step
from qtinker.errors import RunStopped
from qtinker.spec import TrainingSpec
from training_job import first, go

pytestmark = pytest.mark.train
ALL = np.arange(8)


def a_step(student, data, **training):
    method = methods.build(None, task=tiny.task(), student=student, seed=0)
    made = Step(
        student, method=method, teacher=None, training=TrainingSpec(device="cpu", learning_rate=1e-2, **training),
        processes=Processes("cpu"), cut=lambda numbers: collate(data, numbers, pad_token_id=0), lengths=data.lengths,
        arithmetic="fp32",
    )  # fmt: skip
    made.new_optimizer([])
    return made


def test_after_a_bad_step_weights_and_moments_stay_until_somebody_looks():
    student, data = tiny.bert(1, 32, seed=2, dropout=0.0), tiny.encoded(8)
    made = a_step(student, data)
    finite = torch.tensor(1.0)
    made.gradients(ALL, stage="train", seed=1, micro_batch=8)
    made.update(finite, 1e-2, number=1)
    made.check()
    kept = {name: weight.clone() for name, weight in tiny.weights(student.model).items()}
    moments = {n: {k: v.clone() for k, v in s.items()} for n, s in made.optimizer.state_dict()["state"].items()}
    losses = {2: torch.tensor(float("nan")), 3: finite}
    for number, loss in losses.items():
        made.gradients(ALL, stage="train", seed=number, micro_batch=8)
        made.update(loss, 1e-2, number=number)
    for name, weight in tiny.weights(student.model).items():
        assert torch.equal(weight, kept[name]), name
    for number, slots in made.optimizer.state_dict()["state"].items():
        assert all(torch.equal(value, moments[number][key]) for key, value in slots.items())
    with pytest.raises(troubles.NotFinite, match="loss became nan") as caught:
        made.check()
    assert caught.value.step == 2, "the first bad step, though the one after it was fine"


def test_a_gradient_that_is_not_finite_is_told_from_a_loss():
    student, data = tiny.bert(1, 32, seed=2), tiny.encoded(8)
    made = a_step(student, data)
    made.gradients(ALL, stage="train", seed=1, micro_batch=8)
    next(p for p in student.model.parameters() if p.grad is not None).grad[0] = float("inf")
    made.update(torch.tensor(0.5), 1e-2, number=7)
    with pytest.raises(troubles.NotFinite, match="gradient is not finite") as caught:
        made.check()
    assert caught.value.step == 7


@pytest.mark.parametrize("most", [0.05, 1000.0])
def test_clipping_within_the_optimizer_is_clipping_before_it(most):
    ends = []
    for before in (False, True):
        student, data = tiny.bert(1, 32, seed=2, dropout=0.0), tiny.encoded(8)
        made = a_step(student, data, max_grad_norm=0 if before else most)
        for number in (1, 2, 3):
            totals = made.gradients(ALL, stage="train", seed=1, micro_batch=8)
            if before:
                torch.nn.utils.clip_grad_norm_(made.trainable, most)
            made.update(totals["loss"], 1e-3, number=number)
        ends.append(tiny.weights(student.model))
    for name, weight in ends[0].items():
        assert torch.allclose(weight, ends[1][name], atol=2e-6, rtol=0), name


def test_long_texts_go_in_smaller_micro_batches_and_the_gradient_is_the_same(monkeypatch):
    found = []
    for room in (32_768, 20):
        monkeypatch.setattr(step, "MICRO_TOKENS", room)
        student, data = tiny.bert(1, 32, seed=2, dropout=0.0), tiny.encoded(8)
        sizes = []
        student.model.register_forward_pre_hook(
            lambda m, a, k, into=sizes: into.append(tuple(k["input_ids"].shape)), with_kwargs=True
        )
        made = a_step(student, data)
        totals = made.gradients(ALL, stage="train", seed=1, micro_batch=8)
        found.append(([p.grad.clone() for p in made.trainable if p.grad is not None], float(totals["loss"]), sizes))
    (whole, loss, one), (parts, other, several) = found
    assert len(one) == 1 and len(several) > 2 and all(rows * length <= 20 for rows, length in several)
    assert loss == pytest.approx(other, abs=1e-6)
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(whole, parts, strict=True))


def test_a_state_saved_aside_is_that_of_the_moment(tmp_path):
    states, weight, counters = StateFolder(tmp_path), torch.zeros(1000), {"step": 1, "progress": {"step": 1}}
    states.save_aside({"student": {"w": weight}}, counters)
    weight += 1
    counters["progress"]["step"] = 2
    states.wait()
    tensors, kept = states.load()
    assert tensors["student"]["w"].eq(0).all() and kept["progress"]["step"] == 1


def test_what_went_wrong_aside_is_told(tmp_path):
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    states = StateFolder(tmp_path / "file")
    states.save_aside({"student": {"w": torch.zeros(1)}}, {"step": 1})
    with pytest.raises(OSError, match=r"."):
        states.wait()
    states.wait()  # told once


def test_the_run_says_how_it_computes(tmp_path):
    _, events = go(tiny.bert(1, 32), tmp_path)
    assert events[0]["kind"] == "message" and events[0]["level"] == "info"
    assert events[0]["text"].startswith("Computing in fp32, as asked for. Padding is ")
    assert first(events)["step"] == 1


def test_the_kernel_of_attention_is_measured_kept_and_given_back(tmp_path, monkeypatch):
    monkeypatch.setattr(how, "WORTH_MEASURING", 1)
    monkeypatch.setattr(precision, "KERNEL_GAIN", 0.0)  # eager is always fast enough
    data = encode(Examples(["good movie", "bad movie"] * 8, None, np.array([1, 0] * 8)), tiny.tokenizer(), 32)
    kernels, ends = set(), []
    for folder, stops in (("whole", ()), ("cut", (1, 0))):
        student = tiny.bert(2, 32, seed=2)
        student.model.register_forward_pre_hook(
            lambda m, a: kernels.add(m.config._attn_implementation) if m.training else None
        )
        with contextlib.suppress(RunStopped):
            _, events = go(student, tmp_path / folder, data=data, epochs=2, should_stop=lambda: bool(stops))  # noqa: B023
            assert "Attention by eager, the faster one at 4 tokens." in events[0]["text"]
        if stops:
            student = tiny.bert(2, 32, seed=2)
            _, events = go(student, tmp_path / folder, data=data, epochs=2)
            assert "Going on after step 1" in events[0]["text"]
        assert student.model.config._attn_implementation == "sdpa"
        ends.append(tiny.weights(student.model))
    assert all(torch.equal(weight, ends[1][name]) for name, weight in ends[0].items())
    assert "eager" in kernels


def test_a_kernel_that_is_named_is_taken_without_measuring(tmp_path, monkeypatch):
    monkeypatch.setattr(precision, "attention_kernel", lambda *_, **__: pytest.fail("measured all the same"))
    monkeypatch.setattr(how, "WORTH_MEASURING", 1)
    student, taken = tiny.bert(1, 32), []
    student.model.register_forward_hook(lambda model, *_: taken.append(precision.attention_of(model)))
    go(student, tmp_path, data=tiny.encoded(8), attention="eager")
    assert set(taken) == {"eager"} and precision.attention_of(student.model) == "sdpa"


def test_kept_memory_is_given_back_afterwards():
    with device.memory_kept():
        assert torch.ones(10).sum() == 10
    assert device.busy_share(torch.device("cpu")) is None
    assert device.moved(torch.ones(2), torch.device("cpu")).tolist() == [1, 1]
