"""A teacher's answers at its own tokens, told at a student's: every number worked out by hand."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from qtinker.data import Encoded
from qtinker.distill import methods
from qtinker.distill.aligned import NEVER, Aligned
from qtinker.distill.layers import Outputs
from qtinker.errors import InputError
from qtinker.spec_methods import LogitMethod, PatientMethod
from qtinker.tasks import TASKS, TokenClassification


def encoded(form: str, rows: list[list], **extras: list[list[int]] | list[int]) -> Encoded:
    """Token arrays of which only places matter."""
    lengths = [len(row) for row in rows]
    flat = {
        name: np.asarray(values if name == "example" else [each for row in values for each in row], np.int64)
        for name, values in extras.items()
    }
    return Encoded(
        np.zeros(sum(lengths), np.int32), np.cumsum([0, *lengths]), None, np.zeros(0, np.int64), 0, "key", form, flat
    )


def words(*rows: list[int]) -> Encoded:
    return encoded("words", list(rows), word_ids=list(rows))


def windows(rows: list[list[tuple[int, int]]], example: list[int]) -> Encoded:
    starts, ends = ([[pair[side] for pair in row] for row in rows] for side in (0, 1))
    return encoded("spans", rows, char_starts=starts, char_ends=ends, example=example)


def test_words_are_joined_at_their_first_tokens() -> None:
    """Two sentences; the second is cut after its first word in the teacher's tokens."""
    teacher = words([-1, 0, -1, 1, -1], [-1, 0, -1])
    student = words([-1, 0, 1, -1, -1], [-1, 0, -1, 1, -1])
    logits = torch.arange(2 * 5 * 2.0).view(2, 5, 2)
    aligned = Aligned(teacher, student)
    indices = np.array([0, 1])
    assert aligned.own(indices).tolist() == [0, 1]
    found, mask = aligned.answers(logits, indices, indices, length=5)
    assert mask is not None and mask.tolist() == [[0, 1, 1, 0, 0], [0, 1, 0, 0, 0]]
    assert found[0, 1].tolist() == logits[0, 1].tolist()
    assert found[0, 2].tolist() == logits[0, 3].tolist(), "word 1 begins at the teacher's token 3"
    assert found[1, 1].tolist() == logits[1, 1].tolist()


def test_words_without_an_answer_weigh_nothing_and_count_all_the_same() -> None:
    """Two words; the teacher has read the first. Its divergence is 1 * log 2 at T = 1; over two words: log 2 / 2."""
    method = LogitMethod(temperature=1.0, kd_weight=1.0, ce_weight=0.0)
    task = TokenClassification(("O", "X"))
    built = methods.build(method, task=task, student=None, teacher=None, same_tokens=False, seed=1)
    mask = torch.ones(1, 2, dtype=torch.long)
    teacher = torch.tensor([[[50.0, -50.0], [9.0, -9.0]]])
    known = Outputs(teacher, mask, answer_mask=torch.tensor([[1, 0]]))
    student = Outputs(torch.zeros(1, 2, 2, requires_grad=True), mask)
    parts = built.parts("train", student, known, {"answer_mask": mask, "labels": torch.full((1, 2), -100)})
    assert parts["soft"].value.item() == pytest.approx(math.log(2) / 2)


# The context is "abcd ef". The teacher reads [CLS] q abcd ef [SEP], the student [CLS] q ab cd ef [SEP].
OUT = (-1, -1)
TEACHER = [OUT, OUT, (0, 4), (5, 7), OUT]
STUDENT = [OUT, OUT, (0, 2), (2, 4), (5, 7), OUT]


def probabilities(found: torch.Tensor, side: int) -> list[float]:
    return [round(value, 4) for value in found[0, :, side].softmax(-1).tolist()]


def test_places_go_by_first_and_last_character() -> None:
    aligned = Aligned(windows([TEACHER], [0]), windows([STUDENT], [0]))
    start, end = [0.1, 0.1, 0.4, 0.3, 0.1], [0.1, 0.0, 0.2, 0.6, 0.1]
    logits = torch.tensor([start, end]).clamp(min=1e-9).log().T[None]
    found, mask = aligned.answers(logits, np.array([0]), np.array([0]), length=7)
    assert mask is None
    assert probabilities(found, 0) == [0.3, 0, 0.4, 0, 0.3, 0, 0], "abcd begins in ab; [CLS], q and [SEP] are [CLS]"
    assert probabilities(found, 1) == [0.2, 0, 0, 0.2, 0.6, 0, 0], "abcd ends in cd"
    assert found[0, 5, 0].item() == NEVER


def test_the_other_way_round_pieces_add_up() -> None:
    aligned = Aligned(windows([STUDENT], [0]), windows([TEACHER], [0]))
    logits = torch.tensor([[0.1, 0.1, 0.2, 0.3, 0.2, 0.1]] * 2).log().T[None]
    found, _ = aligned.answers(logits, np.array([0]), np.array([0]), length=5)
    assert probabilities(found, 0) == [0.3, 0, 0.5, 0.2, 0] == probabilities(found, 1)


def test_windows_are_joined_by_what_they_share() -> None:
    """The student's third holds characters 8 to 12: so does most of the teacher's third; what lies outside is [CLS]."""
    teacher = windows(
        [[OUT, (0, 4)], [OUT, (0, 4), (4, 9)], [OUT, (4, 9), (9, 12)], [OUT, (0, 3)]], example=[0, 1, 1, 2]
    )
    student = windows([[OUT, (0, 4)], [OUT, (0, 4), (4, 8)], [OUT, (8, 10), (10, 12)], [OUT, (0, 3)]], [0, 1, 1, 2])
    aligned, indices = Aligned(teacher, student), np.array([3, 2, 1])
    own = aligned.own(indices)
    assert own.tolist() == [3, 2, 1]
    logits = torch.tensor([0.2, 0.5, 0.3]).log()[None, :, None].expand(3, 3, 2).clone()
    found, _ = aligned.answers(logits, own, indices, length=3)
    # starts: 4 is before the window, 9 in (8, 10); ends: 8 in (8, 10), 11 in (10, 12)
    assert [round(value, 4) for value in found[1, :, 0].softmax(-1).tolist()] == [0.7, 0.3, 0]
    assert [round(value, 4) for value in found[1, :, 1].softmax(-1).tolist()] == [0.2, 0.5, 0.3]


def test_hidden_words_and_window_states_are_refused_with_the_reason() -> None:
    one, two = (SimpleNamespace(name=name) for name in ("one", "two"))
    with pytest.raises(InputError, match="answered with tokens of the vocabulary, and two and one have different ones"):
        methods.build(LogitMethod(), task=TASKS["masked-lm"](), student=one, teacher=two, same_tokens=False, seed=1)
    with pytest.raises(InputError, match="cut contexts into different windows"):
        methods.build(
            PatientMethod(), task=TASKS["question-answering"](), student=one, teacher=two, same_tokens=False, seed=1
        )
