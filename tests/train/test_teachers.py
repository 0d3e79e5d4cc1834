"""Several teachers: their answers against averages worked out by hand, in the loop and with tokenizers of their own."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tiny
import torch
from qtinker.checkpoint import PADDED
from qtinker.data import collate, encode
from qtinker.distill.layers import Needs
from qtinker.distill.teacher import Teacher
from qtinker.distill.teachers import Teachers, average
from qtinker.distill.train import train
from qtinker.errors import InputError
from qtinker.spec import TrainingSpec
from qtinker.spec_methods import LogitMethod
from qtinker.tasks import TASKS

pytestmark = pytest.mark.train


def task(kind: str):
    return TASKS[kind](labels=("a", "b"))


def test_probabilities_are_averaged():
    # (3/4, 1/4) and (1/2, 1/2): the mean is (5/8, 3/8); weighted 3 to 1 it is (11/16, 5/16)
    answers = [torch.tensor([[math.log(3), 0.0]]), torch.tensor([[7.0, 7.0]])]
    mean = average(answers, [0.5, 0.5], task=task("classification")).softmax(-1)
    assert mean[0].tolist() == pytest.approx([5 / 8, 3 / 8])
    mean = average(answers, [0.75, 0.25], task=task("classification")).softmax(-1)
    assert mean[0].tolist() == pytest.approx([11 / 16, 5 / 16])
    # a weight of 0 leaves the other's answer
    assert average(answers, [1.0, 0.0], task=task("classification")).softmax(-1)[0, 0].item() == pytest.approx(3 / 4)


def test_twice_the_same_teacher_is_that_teacher_in_its_logits_too():
    logits = torch.tensor([[4.0, -1.0, 7.0], [-3.0, -9.0, -2.0]])
    assert torch.allclose(average([logits, logits], [0.5, 0.5], task=task("classification")), logits)


def test_places_in_a_context_are_averaged_as_probabilities():
    # starts (3/4, 1/4, 0) and (1/2, 0, 1/2) of three tokens: the mean is (5/8, 1/8, 1/4); ends alike
    answers = [torch.tensor([3 / 4, 1 / 4, 0.0]), torch.tensor([1 / 2, 0.0, 1 / 2])]
    logits = [each.log().clamp(min=PADDED)[None, :, None].expand(1, 3, 2) for each in answers]
    mean = average(logits, [0.5, 0.5], task=task("question-answering")).softmax(1)
    assert mean[0, :, 0].tolist() == pytest.approx([5 / 8, 1 / 8, 1 / 4]) and torch.equal(mean[..., 0], mean[..., 1])


def test_labels_that_do_not_exclude_each_other_and_values():
    answers = [torch.tensor([[math.log(3)]]), torch.tensor([[0.0]])]
    assert average(answers, [0.5, 0.5], task=task("multi-label")).sigmoid().item() == pytest.approx(5 / 8)
    assert average(answers, [0.5, 0.5], task=task("regression")).item() == pytest.approx(math.log(3) / 2)


def test_each_is_asked_in_its_own_tokens_and_labels():
    student = tiny.bert(2, 32, seed=5)
    first = tiny.bert(2, 32, seed=1)
    other = tiny.bert(2, 32, seed=2, words=list(reversed(tiny.WORDS)), labels=tuple(reversed(tiny.LABELS)))
    examples = tiny.examples(6)
    encoded = encode(examples, student.tokenizer, 32, cache=False)
    its = encode(examples, other.tokenizer, 32, cache=False)
    members = [
        Teacher(first, student=student, task=tiny.task()),
        Teacher(other, student=student, task=tiny.task(), encoded=its),
    ]
    teachers = Teachers(members, [1, 3])
    teachers.prepare(torch.device("cpu"), "fp32")
    indices = np.arange(6)
    batch = collate(encoded, indices, pad_token_id=0)
    got = teachers.outputs(indices, batch, Needs()).logits.softmax(-1)
    answers = []
    for loaded, texts in ((first, encoded), (other, its)):
        inputs = collate(texts, indices, pad_token_id=0)
        with torch.no_grad():
            answers.append(loaded.model(inputs["input_ids"], inputs["attention_mask"]).logits.softmax(-1))
    assert torch.allclose(got, 0.25 * answers[0] + 0.75 * answers[1].flip(-1), atol=1e-6)
    # the answers beside states are the average too; a stage that reads none asks the first alone
    beside = teachers.outputs(indices, batch, Needs(hidden_states=True)).logits.softmax(-1)
    assert torch.allclose(beside, got, atol=1e-6)
    alone = teachers.outputs(indices, batch, Needs(hidden_states=True, answers=False)).logits.softmax(-1)
    assert torch.allclose(alone, answers[0], atol=1e-6)


def test_a_student_learns_from_both(tmp_path):
    student, encoded = tiny.bert(2, 32, seed=5), tiny.encoded(24)
    members = [Teacher(tiny.bert(2, 32, seed=seed), student=student, task=tiny.task()) for seed in (1, 2)]
    ends = []
    for teacher in (members[0], Teachers(members)):
        student = tiny.bert(2, 32, seed=5, dropout=0.0)
        steps = train(
            student, encoded, task=tiny.task(), teacher=teacher, method=LogitMethod(ce_weight=0),
            folder=tmp_path / str(len(ends)),
            training=TrainingSpec(epochs=1, batch_size=8, precision="fp32", device="cpu", threads=1),
        )  # fmt: skip
        ends.append(next(event for event in steps if event["kind"] == "step")["loss"])
    assert ends[0] != ends[1]


def test_teachers_that_guess_words_share_the_vocabulary_not_its_padding():
    words = TASKS["masked-lm"]()
    other = tiny.bert(1, 32, words=tiny.WORDS[::-1])
    with pytest.raises(InputError, match="answered with tokens of the vocabulary, and tiny-bert-1 and tiny-bert-1"):
        Teacher(other, student=tiny.bert(1, 32), task=words, encoded=tiny.encoded(4, loaded=other))
    # the second one's output layer has a place more than the vocabulary: it is left out
    answers = [torch.tensor([[[math.log(3), 0.0]]]), torch.tensor([[[7.0, 7.0, 9.0]]])]
    mean = average(answers, [0.5, 0.5], task=words).softmax(-1)
    assert mean[0, 0].tolist() == pytest.approx([5 / 8, 3 / 8])


def test_weights_must_fit():
    student = tiny.bert(1, 32)
    member = Teacher(tiny.bert(1, 32, seed=1), student=student, task=tiny.task())
    with pytest.raises(InputError, match="3 weights were given for 2 teachers"):
        Teachers([member, member], [1, 1, 1])
    with pytest.raises(InputError, match="2 weights were given for 2 teachers: 0, 0"):
        Teachers([member, member], [0, 0])
