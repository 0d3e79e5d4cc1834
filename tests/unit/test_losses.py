"""The losses against numbers worked out by hand and against an independent numpy implementation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from qtinker.distill import losses

RANDOM = np.random.default_rng(7)


def softmax(values: np.ndarray) -> np.ndarray:
    raised = np.exp(values - values.max(-1, keepdims=True))
    return raised / raised.sum(-1, keepdims=True)


def tensor(values) -> torch.Tensor:
    return torch.tensor(np.asarray(values), dtype=torch.float32)


def test_soft_targets_by_hand():
    # Teacher ln 3 apart at T=1: (3/4, 1/4); student even: (1/2, 1/2). KL = 3/4 ln(3/2) + 1/4 ln(1/2).
    teacher, student = tensor([[math.log(3), 0.0]]), tensor([[0.0, 0.0]])
    expected = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    assert losses.soft_target_kl(student, teacher).item() == pytest.approx(expected, abs=1e-7)
    # Twice the logits at T=2 give the same distributions; the square of the temperature is 4.
    assert losses.soft_target_kl(2 * student, 2 * teacher, temperature=2.0).item() == pytest.approx(
        4 * expected, abs=1e-6
    )
    # The mean over examples: a second example without a difference halves it.
    two = losses.soft_target_kl(tensor([[0, 0], [1, 2]]), tensor([[math.log(3), 0], [1, 2]]))
    assert two.item() == pytest.approx(expected / 2, abs=1e-7)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_soft_targets_by_numpy(temperature):
    student, teacher = RANDOM.normal(size=(5, 7)) * 3, RANDOM.normal(size=(5, 7)) * 3
    p, q = softmax(teacher / temperature), softmax(student / temperature)
    expected = temperature**2 * (p * np.log(p / q)).sum(-1).mean()
    got = losses.soft_target_kl(tensor(student), tensor(teacher), temperature=temperature)
    assert got.item() == pytest.approx(expected, rel=1e-5)


def test_soft_targets_gradient_keeps_its_size_with_temperature():
    """Hinton 2015, equation 4: for high temperatures T^2 * dC/dz = (z_S - z_T) / N for zero-mean logits."""
    student = tensor([[0.3, -0.1, -0.2]]).requires_grad_()
    teacher = tensor([[-0.5, 0.1, 0.4]])
    losses.soft_target_kl(student, teacher, temperature=1000.0).backward()
    assert student.grad.numpy() == pytest.approx((student - teacher).detach().numpy() / 3, abs=1e-3)


def test_logit_mse_by_hand():
    # Differences (1, -2, 0) and (0, 0, 3): squares 5 and 9, over 3 classes, halved: 5/6 and 9/6; mean 7/6.
    student, teacher = tensor([[1, 0, 2], [0, 0, 3]]), tensor([[0, 2, 2], [0, 0, 0]])
    assert losses.logit_mse(student, teacher).item() == pytest.approx(7 / 6)


def test_logit_mse_pulls_as_soft_targets_do_at_a_high_temperature():
    teacher = tensor([[-0.5, 0.1, 0.4]])
    pulls = []
    for loss in (losses.logit_mse, lambda s, t: losses.soft_target_kl(s, t, temperature=1000.0)):
        student = tensor([[0.3, -0.1, -0.2]]).requires_grad_()
        loss(student, teacher).backward()
        pulls.append(student.grad.numpy())
    assert pulls[0] == pytest.approx(pulls[1], abs=1e-3)


def test_standardized_logits_by_hand():
    # (1, 2, 6): mean 3, squared deviations 4 + 1 + 9 = 14, deviation sqrt(14/3).
    expected = np.array([-2, -1, 3]) / math.sqrt(14 / 3)
    assert losses.standardized(tensor([[1, 2, 6]]))[0].numpy() == pytest.approx(expected, rel=1e-5)
    # scale and shift go, and equal logits do not divide by 0
    assert losses.standardized(tensor([[12, 22, 62]]))[0].numpy() == pytest.approx(expected, rel=1e-5)
    assert losses.standardized(tensor([[4, 4, 4]])).tolist() == [[0, 0, 0]]


def test_equal_logits_have_a_gradient_that_is_a_number():
    teacher = losses.standardized(tensor([[1, 2, 6], [1, 2, 6]]))
    student = tensor([[4.1, 4.1, 4.1], [1, 2, 5]]).requires_grad_()
    losses.soft_target_kl(losses.standardized(student), teacher).backward()
    # zeros are (1/3, 1/3, 1/3): the mean over two rows of these less the teacher's, as at a deviation of 1
    expected = (1 / 3 - softmax(teacher[0].numpy())) / 2
    assert student.grad[0].numpy() == pytest.approx(expected, abs=1e-6)
    alone = tensor([[1, 2, 5]]).requires_grad_()  # the row beside it changes nothing
    losses.soft_target_kl(losses.standardized(alone), teacher[:1]).backward()
    assert (2 * student.grad[1]).numpy() == pytest.approx(alone.grad[0].numpy(), abs=1e-7)


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_dist_by_numpy(temperature):
    student, teacher = RANDOM.normal(size=(6, 4)) * 2, RANDOM.normal(size=(6, 4)) * 2
    p, q = softmax(teacher / temperature), softmax(student / temperature)
    rows = np.mean([1 - np.corrcoef(p[i], q[i])[0, 1] for i in range(6)])
    columns = np.mean([1 - np.corrcoef(p[:, c], q[:, c])[0, 1] for c in range(4)])
    got = losses.dist_relations(tensor(student), tensor(teacher), temperature=temperature)
    assert got.item() == pytest.approx((rows + columns) * temperature**2, rel=1e-5)


def test_dist_sees_order_and_not_size():
    teacher = tensor([[2, 0, -1], [0, 1, 4]])
    assert losses.dist_relations(teacher + 5, teacher).item() == pytest.approx(0, abs=1e-6)
    assert losses.dist_relations(-teacher, teacher).item() > 2
    alone = tensor([[1, 2, 3]]).requires_grad_()  # one example: its columns do not vary, and give no gradient
    losses.dist_relations(alone, tensor([[3, 2, 1]])).backward()
    assert torch.isfinite(alone.grad).all()


def test_hidden_cosine_by_hand():
    # (3,4) against (1,0): cos 0.6, 1 - 0.6 = 0.4; (0,2) against (0,-5): 2; the third token is padding: mean 1.2.
    student, teacher = tensor([[[3, 4], [0, 2], [9, 9]]]), tensor([[[1, 0], [0, -5], [1, 0]]])
    assert losses.hidden_cosine(student, teacher, tensor([[1, 1, 0]])).item() == pytest.approx(1.2)


def test_patient_by_hand():
    # (3,4)/5 = (0.6, 0.8) against (1, 0): 0.16 + 0.64 = 0.8; opposite vectors: 4; mean 2.4.
    student, teacher = tensor([[[3, 4]], [[0, 2]]]), tensor([[[1, 0]], [[0, -5]]])
    assert losses.patient_mse(student, teacher).item() == pytest.approx(2.4)
    assert losses.patient_mse(student, teacher, form="reference-code").item() == pytest.approx(1.2)


def test_patient_by_numpy_is_mean_over_layers_and_examples():
    student, teacher = RANDOM.normal(size=(4, 3, 8)), RANDOM.normal(size=(4, 3, 8))
    total = 0.0
    for example in range(4):
        for layer in range(3):
            s, t = student[example, layer], teacher[example, layer]
            total += ((s / np.linalg.norm(s) - t / np.linalg.norm(t)) ** 2).sum()
    assert losses.patient_mse(tensor(student), tensor(teacher)).item() == pytest.approx(total / 12, rel=1e-5)
    mean = losses.patient_mse(tensor(student), tensor(teacher), form="reference-code")
    assert mean.item() == pytest.approx(total / 12 / 8, rel=1e-5)


def test_hidden_by_hand_ignores_padding():
    # Real tokens: squares (1+9)/2 = 5 and (4+0)/2 = 2; the padded token is wildly off. Mean 3.5.
    student = tensor([[[1, 3], [2, 0], [1e4, -1e4]]])
    mask = torch.tensor([[1, 1, 0]])
    assert losses.hidden_mse(student, torch.zeros(1, 3, 2), mask).item() == pytest.approx(3.5)


def test_hidden_weighs_tokens_not_examples():
    # One example of one token off by 2, one of three tokens that agree: 4 / 4 tokens, not (4 + 0) / 2.
    student = torch.zeros(2, 3, 1)
    student[0] = 2.0
    mask = torch.tensor([[1, 0, 0], [1, 1, 1]])
    assert losses.hidden_mse(student, torch.zeros(2, 3, 1), mask).item() == pytest.approx(1.0)


def test_attention_by_hand_counts_only_pairs_of_real_tokens():
    # Two heads, two real tokens of three: pairs (0,0) (0,1) (1,0) (1,1); squares 1, 4, 0, 9 in head 0, none in head 1.
    student = torch.full((1, 2, 3, 3), 50.0)
    student[0, :, :2, :2] = 0
    student[0, 0, :2, :2] = torch.tensor([[1.0, 2.0], [0.0, 3.0]])
    got = losses.attention_score_mse(student, torch.zeros(1, 2, 3, 3), torch.tensor([[1, 1, 0]]))
    assert got.item() == pytest.approx(14 / (4 * 2))


def test_attention_by_numpy():
    student, teacher = RANDOM.normal(size=(3, 2, 5, 5)), RANDOM.normal(size=(3, 2, 5, 5))
    lengths = [5, 2, 4]
    total = pairs = 0.0
    for example, length in enumerate(lengths):
        for head in range(2):
            difference = student[example, head] - teacher[example, head]
            total += (difference[:length, :length] ** 2).sum() / 2
        pairs += length**2
    mask = torch.tensor([[int(position < length) for position in range(5)] for length in lengths])
    got = losses.attention_score_mse(tensor(student), tensor(teacher), mask)
    assert got.item() == pytest.approx(total / pairs, rel=1e-5)


def test_relations_by_numpy_need_neither_width_nor_heads():
    student, teacher = RANDOM.normal(size=(2, 4, 6)), RANDOM.normal(size=(2, 4, 12))
    lengths, heads = [4, 2], 3
    total, rows = 0.0, 0
    for example, length in enumerate(lengths):
        for head in range(heads):
            s = student[example, :length, head * 2 : head * 2 + 2]
            t = teacher[example, :length, head * 4 : head * 4 + 4]
            p, q = softmax(t @ t.T / math.sqrt(4)), softmax(s @ s.T / math.sqrt(2))
            total += (p * np.log(p / q)).sum() / heads
        rows += length
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
    vectors = tensor(student).requires_grad_()
    got = losses.relation_kl(vectors, tensor(teacher), mask, relation_heads=heads)
    assert got.item() == pytest.approx(total / rows, rel=1e-5)
    got.backward()
    assert torch.isfinite(vectors.grad).all() and not vectors.grad[1, 2:].any()


def test_relations_are_zero_between_equals():
    vectors = tensor(RANDOM.normal(size=(2, 3, 8)))
    mask = torch.ones(2, 3, dtype=torch.long)
    assert losses.relation_kl(vectors, vectors, mask, relation_heads=2).item() == pytest.approx(0, abs=1e-7)


def test_half_precision_inputs_are_computed_in_fp32():
    student, teacher = tensor(RANDOM.normal(size=(4, 6))).bfloat16(), tensor(RANDOM.normal(size=(4, 6))).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for got in (
            losses.soft_target_kl(student, teacher, temperature=2.0),
            losses.patient_mse(student[:, None], teacher[:, None]),
            losses.hidden_mse(student[None], teacher[None], torch.ones(1, 4)),
        ):
            assert got.dtype == torch.float32
    exact = losses.soft_target_kl(student.float(), teacher.float(), temperature=2.0)
    assert losses.soft_target_kl(student, teacher, temperature=2.0).item() == exact.item()
