"""Losses and metrics of tasks against numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from qtinker.errors import InputError
from qtinker.tasks import TASKS, SequenceClassification, Task
from sklearn.metrics import f1_score

TASK = SequenceClassification(labels=("a", "b", "c"))


def test_hard_loss_is_the_mean_over_labelled_examples():
    # softmax([0, ln 3, 0]) = (1/5, 3/5, 1/5); softmax([0, 0, 0]) = 1/3 each.
    logits = torch.tensor([[0.0, math.log(3), 0.0], [0.0, 0.0, 0.0], [9.0, -9.0, 0.0]])
    labels = torch.tensor([1, 2, -100])
    expected = (-math.log(3 / 5) - math.log(1 / 3)) / 2
    assert TASK.hard_loss(logits, labels).item() == pytest.approx(expected, rel=1e-6)


def test_hard_loss_without_any_label_is_zero_and_has_a_gradient():
    logits = torch.randn(2, 3, requires_grad=True)
    loss = TASK.hard_loss(logits, torch.tensor([-100, -100]))
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(logits.grad, torch.zeros(2, 3))


def test_soft_loss_is_t_squared_kl_summed_over_classes_averaged_over_examples():
    temperature = 2.0
    # Divided by T, the first teacher row becomes (0, ln 2, 0): p = (1/4, 1/2, 1/4); the student is uniform.
    teacher = torch.tensor([[0.0, 2 * math.log(2), 0.0], [1.0, 2.0, 3.0]])
    student = torch.tensor([[5.0, 5.0, 5.0], [1.0, 2.0, 3.0]])
    kl = 0.25 * math.log(0.75) + 0.5 * math.log(1.5) + 0.25 * math.log(0.75)
    assert TASK.soft_loss(student, teacher, temperature).item() == pytest.approx(4 * kl / 2, rel=1e-5)


def test_soft_loss_puts_the_teacher_first():
    teacher, student = torch.tensor([[0.0, math.log(9)]]), torch.tensor([[0.0, 0.0]])
    forward = 0.1 * math.log(0.2) + 0.9 * math.log(1.8)  # KL((.1, .9) || (.5, .5)), not the other way round
    assert TASK.soft_loss(student, teacher, 1.0).item() == pytest.approx(forward, rel=1e-5)


def test_the_gradient_of_the_soft_loss_is_t_times_the_difference_of_probabilities():
    student = torch.randn(4, 3, requires_grad=True)
    teacher = torch.randn(4, 3)
    TASK.soft_loss(student, teacher, 3.0).backward()
    expected = 3.0 * ((student / 3).softmax(-1) - (teacher / 3).softmax(-1)) / 4
    torch.testing.assert_close(student.grad, expected.detach())


def test_losses_are_computed_in_fp32():
    logits = torch.randn(8, 3, dtype=torch.bfloat16)
    labels = torch.arange(8) % 3
    assert TASK.hard_loss(logits, labels).dtype == torch.float32
    assert TASK.hard_loss(logits, labels).item() == TASK.hard_loss(logits.float(), labels).item()
    assert TASK.soft_loss(logits, logits, 2.0).item() == 0


def test_metrics_by_hand():
    truth = np.array([0, 0, 1, 1, 2, -100])
    predicted = np.array([0, 1, 1, 1, 0, 2])
    metrics = TASK.metrics(predicted, truth)
    # F1: a 2*1/(2+2) = 1/2, b 2*2/(2+3) = 4/5, c 0 (the row without a label does not count).
    assert metrics == {"accuracy": 3 / 5, "macro_f1": pytest.approx((0.5 + 0.8 + 0) / 3), "examples": 5}


def test_metrics_take_logits_and_agree_with_scikit_learn():
    random = np.random.default_rng(0)
    logits, labels = random.normal(size=(200, 7)).astype(np.float32), random.integers(0, 5, 200)
    metrics = TASK.metrics(torch.from_numpy(logits), torch.from_numpy(labels))
    assert metrics["accuracy"] == pytest.approx((logits.argmax(1) == labels).mean())
    assert metrics["macro_f1"] == pytest.approx(f1_score(labels, logits.argmax(1), average="macro", zero_division=0))


def test_metrics_need_a_labelled_example():
    with pytest.raises(InputError, match="no labelled example"):
        TASK.metrics(np.zeros((2, 3)), np.array([-100, -100]))


def test_predictions():
    assert TASK.predictions(torch.tensor([[0.0, 2.0, 1.0], [3.0, 3.0, 0.0]])).tolist() == [1, 0]


def test_meta_round_trip_and_config():
    task = SequenceClassification(labels=["no", "yes"], pair=True, metric="macro_f1")
    assert Task.from_meta(task.to_meta()) == task
    assert task.to_meta() == {
        "type": "classification", "labels": ["no", "yes"], "pair": True, "metric": "macro_f1",
    }  # fmt: skip
    assert task.head_config() == {
        "num_labels": 2, "id2label": {0: "no", 1: "yes"}, "label2id": {"no": 0, "yes": 1},
        "problem_type": "single_label_classification",
    }  # fmt: skip
    assert SequenceClassification(("a", "b"), metric="auto").metric == "accuracy"


def test_an_unsuitable_metric_and_an_unknown_task_are_refused_with_the_choices():
    with pytest.raises(InputError, match=r"pearson.*accuracy, macro_f1"):
        SequenceClassification(("a", "b"), metric="pearson")
    with pytest.raises(InputError, match=r"'juggling' is unknown.*classification"):
        Task.from_meta({"type": "juggling", "labels": []})


@pytest.mark.parametrize("kind", TASKS.values())
def test_every_task_names_its_head_and_metrics(kind):
    import transformers

    assert kind.metrics_known and TASKS[kind.type] is kind
    assert hasattr(transformers, kind().head_class)
