"""The forms of the soft-target loss in the loop."""

from __future__ import annotations

import pytest
import tiny
import torch
from qtinker.distill import layers, methods
from qtinker.distill.teacher import Teacher
from qtinker.errors import InputError
from qtinker.spec_methods import LogitMethod
from training_job import go, same

pytestmark = pytest.mark.train
THREE = ("a", "b", "c")
FORMS = [{"soft_loss": "mse"}, {"standardize_logits": True}]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: next(iter(form)))
def test_forms_of_the_soft_loss_do_not_depend_on_how_a_batch_is_cut(form, tmp_path):
    task, ends = tiny.task(THREE), []
    for pieces in (1, 3):
        student, teacher = tiny.bert(2, 32, dropout=0.0, seed=2, labels=THREE), tiny.bert(4, 64, seed=1, labels=THREE)
        data = tiny.encoded(24, unlabelled=7)
        go(student, tmp_path / str(pieces), method=LogitMethod(**form), task=task,
           teacher=Teacher(teacher, student=student, task=task), data=data, gradient_accumulation=pieces,
           learning_rate=1e-4)  # fmt: skip
        ends.append(tiny.weights(student.model))
    same(*ends, tolerance=2e-6)
    plain = tiny.bert(2, 32, dropout=0.0, seed=2, labels=THREE)
    teacher = Teacher(tiny.bert(4, 64, seed=1, labels=THREE), student=plain, task=task)
    go(plain, tmp_path / "plain", method=LogitMethod(), task=task, teacher=teacher,
       data=tiny.encoded(24, unlabelled=7), learning_rate=1e-4)  # fmt: skip
    other = tiny.weights(plain.model)
    assert max((ends[0][key] - other[key]).abs().max() for key in other) > 1e-5  # the setting does something


def test_the_temperature_goes_in_a_straight_line(tmp_path):
    seen = []

    class Watched(methods.Logit):
        def parts(self, *arguments):
            seen.append(self.temperature)
            return super().parts(*arguments)

    student, teacher = tiny.bert(2, 32, seed=2), tiny.bert(4, 64, seed=1)
    method = Watched(
        LogitMethod(temperature=2.0, temperature_end=8.0), task=tiny.task(), student=student, teacher=teacher,
        same_tokens=True,
    )  # fmt: skip
    batch = {"labels": torch.tensor([0, 1])}
    out = layers.Outputs(torch.zeros(2, 2), torch.ones(2, 4))
    for method.progress in (0.0, 0.5, 1.0):
        method.parts("train", out, out, batch)
    assert seen == [2.0, 5.0, 8.0]
    _, events = go(student, tmp_path, method=LogitMethod(temperature_end=8.0), teacher=teacher)
    assert [event for event in events if event["kind"] == "step"]


@pytest.mark.parametrize(("form", "says"), [
    ({"soft_loss": "dist"}, "soft_loss dist needs three classes or more"),
    ({"standardize_logits": True}, "standardize_logits needs three classes or more"),
])  # fmt: skip
def test_two_classes_are_refused_where_sureness_would_be_lost(form, says, tmp_path):
    with pytest.raises(InputError, match=says):
        go(tiny.bert(2, 32), tmp_path, method=LogitMethod(**form), teacher=tiny.bert(4, 64))
