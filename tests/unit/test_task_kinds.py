"""Losses and metrics of every task beside single labels, against numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from qtinker.data import Examples, Ragged
from qtinker.errors import InputError
from qtinker.kinds import KINDS, task_of
from qtinker.tasks import (
    TASKS,
    MaskedLM,
    MultiLabel,
    QuestionAnswering,
    Regression,
    SequenceClassification,
    Task,
    TokenClassification,
)
from qtinker.tasks.spans import normalized, word_f1
from qtinker.tasks.tokens import entities
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import f1_score

NAN = float("nan")


def test_every_kind_has_a_task_and_the_other_way_round():
    assert set(TASKS) == set(KINDS)
    for name, kind in TASKS.items():
        task = kind(labels=("O", "B-x"))
        assert task.type == name and task.metric == KINDS[name].metrics[0]
        assert Task.from_meta(task.to_meta()) == task


# --- regression --------------------------------------------------------------------------------------------------


def test_regression_is_squared_error():
    task = Regression()
    logits = torch.tensor([[1.0], [2.0], [9.0]], requires_grad=True)
    loss = task.hard_loss(logits, torch.tensor([0.0, 4.0, NAN]))
    assert loss.item() == pytest.approx((1 + 4) / 2)
    loss.backward()
    assert logits.grad.flatten().tolist() == pytest.approx([1.0, -2.0, 0.0])
    soft = task.soft_loss(torch.tensor([[1.0], [2.0]]), torch.tensor([[3.0], [2.5]]), 7.0)
    assert soft.item() == pytest.approx((4 + 0.25) / 2)  # a number has no temperature
    assert task.hard_loss(torch.zeros(2, 1), torch.tensor([NAN, NAN])).item() == 0


def test_correlations_agree_with_scipy_and_leave_the_unlabelled_out():
    random = np.random.default_rng(0)
    given, truth = random.normal(size=60), np.round(random.normal(size=60), 1)
    truth[:5] = np.nan
    found = Regression().metrics(given[:, None], truth)
    assert found["pearson"] == pytest.approx(pearsonr(given[5:], truth[5:]).statistic)
    assert found["spearman"] == pytest.approx(spearmanr(given[5:], truth[5:]).statistic)
    assert found["rmse"] == pytest.approx(math.sqrt(np.mean((given[5:] - truth[5:]) ** 2)))
    assert Regression().metrics([1.0, 1.0], [0.0, 3.0])["pearson"] == 0
    with pytest.raises(InputError, match="no labelled example"):
        Regression().metrics([1.0], [NAN])


# --- several labels ----------------------------------------------------------------------------------------------


def test_multi_label_is_binary_cross_entropy():
    task = MultiLabel(("a", "b"))
    # sigmoid(ln 3) = 3/4, sigmoid(0) = 1/2
    logits = torch.tensor([[math.log(3), 0.0], [0.0, 0.0], [5.0, 5.0]])
    labels = torch.tensor([[1.0, 0.0], [0.0, 1.0], [NAN, NAN]])
    expected = (-math.log(3 / 4) - 3 * math.log(1 / 2)) / 4
    assert task.hard_loss(logits, labels).item() == pytest.approx(expected, rel=1e-5)
    weighted = MultiLabel(("a", "b"), weights=(2.0, 1.0))  # of the positive side of a
    expected = (-2 * math.log(3 / 4) - 3 * math.log(1 / 2)) / 4
    assert weighted.hard_loss(logits, labels).item() == pytest.approx(expected, rel=1e-5)
    assert task.hard_loss(logits, torch.full((3, 2), NAN)).item() == 0


def test_multi_label_soft_targets_are_softened_on_both_sides():
    task = MultiLabel(("a",))
    teacher, student = torch.tensor([[2 * math.log(3)]]), torch.tensor([[0.0]], requires_grad=True)
    loss = task.soft_loss(student, teacher, 2.0)  # target sigmoid(ln 3) = 3/4, answer 1/2
    assert loss.item() == pytest.approx(4 * math.log(2), rel=1e-5)
    loss.backward()
    assert student.grad.item() == pytest.approx(4 * (0.5 - 0.75) / 2)


def test_multi_label_metrics_agree_with_scikit_learn():
    random = np.random.default_rng(1)
    logits, labels = random.normal(size=(50, 4)), (random.random((50, 4)) > 0.6).astype(np.float32)
    labels[:3] = np.nan
    found = MultiLabel(tuple("abcd")).metrics(logits, labels)
    truth, given = labels[3:] > 0.5, logits[3:] > 0
    assert found["micro_f1"] == pytest.approx(f1_score(truth, given, average="micro"))
    assert found["macro_f1"] == pytest.approx(f1_score(truth, given, average="macro", zero_division=0))
    assert found["subset_accuracy"] == pytest.approx((truth == given).all(1).mean()) and found["examples"] == 47


# --- class weights -----------------------------------------------------------------------------------------------


def test_balanced_weights_by_hand():
    task = SequenceClassification(("a", "b", "never"))
    weights = task.balanced(Examples(["x"] * 5, None, np.array([0, 0, 0, 1, -100])))
    assert weights == pytest.approx((4 / (2 * 3), 4 / 2, 1.0))  # their mean over the labels is 1
    weighted = SequenceClassification(("a", "b", "never"), weights=weights)
    logits, labels = torch.zeros(2, 3), torch.tensor([0, 1])
    expected = math.log(3) * (weights[0] + weights[1]) / 2
    assert weighted.hard_loss(logits, labels).item() == pytest.approx(expected)
    several = MultiLabel(("a", "b")).balanced(
        Examples(["x"] * 4, None, np.array([[1, 0], [0, 0], [0, 0], [1, 1]], np.float32))
    )
    assert several == pytest.approx((1.0, 3.0))
    words = Examples(["x y", "z"], None, Ragged.of([[0, 1], [0]]), "words")
    assert TokenClassification(("O", "B-x")).balanced(words) == pytest.approx((3 / (2 * 2), 3 / 2))
    with pytest.raises(InputError, match="no classes"):
        Regression().balanced(words)


# --- tags of words -----------------------------------------------------------------------------------------------

TAGS = ("O", "B-per", "I-per", "B-loc")


def test_tags_are_learned_where_they_stand():
    task = TokenClassification(TAGS)
    logits = torch.zeros(1, 3, 4)
    logits[0, 1, 1] = math.log(3)
    labels = torch.tensor([[-100, 1, -100]])
    assert task.hard_loss(logits, labels).item() == pytest.approx(-math.log(3 / 6))
    assert task.hard_loss(logits, torch.full((1, 3), -100)).item() == 0


def test_soft_targets_count_at_the_words_alone():
    task = TokenClassification(("O", "B-x"))
    teacher, student = torch.full((2, 3, 2), 7.0), torch.randn(2, 3, 2)
    mask = torch.tensor([[0, 1, 0], [0, 1, 1]])
    teacher[0, 1] = torch.tensor([0.0, math.log(9)])
    student[0, 1] = 0
    student[1, 1] = student[1, 2] = 3.0
    kl = 0.1 * math.log(0.2) + 0.9 * math.log(1.8)
    assert task.soft_loss(student, teacher, 1.0, attention_mask=mask).item() == pytest.approx(kl / 3, rel=1e-5)
    nothing = student.clone().requires_grad_()
    loss = task.soft_loss(nothing, teacher, 1.0, attention_mask=torch.zeros(2, 3))
    loss.backward()
    assert loss.item() == 0 and not nothing.grad.any()


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("O B-per I-per O", [("per", 1, 2)]),
        ("B-per B-per I-per", [("per", 0, 0), ("per", 1, 2)]),
        ("I-per I-loc I-loc", [("per", 0, 0), ("loc", 1, 2)]),  # IOB1: B- only between neighbours of a type
        ("S-per B-loc I-loc E-loc S-loc", [("per", 0, 0), ("loc", 1, 3), ("loc", 4, 4)]),
        ("U-per B-loc L-loc", [("per", 0, 0), ("loc", 1, 2)]),
        ("B-per M-per M-per E-per S-loc", [("per", 0, 3), ("loc", 4, 4)]),  # BMES
        ("I-per E-per I-per", [("per", 0, 1), ("per", 2, 2)]),
        ("name name O place", [("name", 0, 1), ("place", 3, 3)]),
        ("O O", []),
    ],
)
def test_entities(tags, expected):
    assert entities(tags.split()) == expected


def test_entity_scores_by_hand():
    # Right: per 0-1 and loc 4 of the first sentence. Truth 4, found 4.
    truth = Ragged.of([[1, 2, 0, 0, 3], [1, 2, 0], [3], [-100, -100]])
    answer = np.array([1, 2, 0, 1, 3, 1, 0, 0, 0, 0, 0])
    found = TokenClassification(TAGS).metrics(answer, truth)
    # per: truth 2, found 3, right 1; loc: truth 2, found 1, right 1.
    assert found["precision"] == pytest.approx(2 / 4) and found["recall"] == pytest.approx(2 / 4)
    assert found["f1"] == pytest.approx(2 * 2 / (4 + 4))
    assert found["macro_f1"] == pytest.approx((2 / 5 + 2 / 3) / 2)
    assert found["accuracy"] == pytest.approx(6 / 9) and found["examples"] == 3


def test_a_word_that_was_cut_off_counts_as_no_entity():
    logits = np.array([[0, 1, 0, 0], [np.nan] * 4, [0, 0, 0, 1]], np.float32)
    assert TokenClassification(TAGS).predictions(logits).tolist() == [1, 0, 3]


# --- hidden words ------------------------------------------------------------------------------------------------


def batch_of(rows: int = 6, length: int = 40) -> dict[str, torch.Tensor]:
    ids = torch.arange(rows * length).reshape(rows, length) % 50 + 10
    maskable = torch.ones(rows, length, dtype=torch.int64)
    maskable[:, 0] = maskable[:, -1] = 0
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "answer_mask": maskable,
            "example_ids": torch.arange(rows), "mask": torch.tensor([4, 100])}  # fmt: skip


def test_masking_hides_a_share_of_what_may_be_hidden():
    task, batch = MaskedLM(mask_share=0.25), batch_of(60)
    masked = task.prepare(batch, seed=1, epoch=0)
    hidden = masked["labels"] != -100
    assert hidden.sum(1).tolist() == [round(38 * 0.25)] * 60
    assert not hidden[:, 0].any() and not hidden[:, -1].any()
    assert torch.equal(masked["labels"][hidden], batch["input_ids"][hidden])
    assert torch.equal(masked["input_ids"][~hidden], batch["input_ids"][~hidden])
    assert torch.equal(masked["answer_mask"].bool(), hidden)
    shown, truth = masked["input_ids"][hidden], batch["input_ids"][hidden]
    assert (shown == 4).float().mean().item() == pytest.approx(0.8, abs=0.06)
    assert (shown == truth).float().mean().item() == pytest.approx(0.1, abs=0.05)
    assert batch["input_ids"].min() >= 10  # the batch given is left as it was


def test_masking_depends_on_seed_epoch_and_block_alone():
    task, batch = MaskedLM(), batch_of()
    first = task.prepare(batch, seed=1, epoch=0)["input_ids"]
    assert torch.equal(first, task.prepare(batch, seed=1, epoch=0)["input_ids"])
    assert not torch.equal(first, task.prepare(batch, seed=1, epoch=1)["input_ids"])
    assert not torch.equal(first, task.prepare(batch, seed=2, epoch=0)["input_ids"])
    part = {name: tensor if name == "mask" else tensor[2:4] for name, tensor in batch.items()}
    assert torch.equal(first[2:4], task.prepare(part, seed=1, epoch=0)["input_ids"])  # as a micro-batch


def test_hidden_words_by_hand():
    task = MaskedLM()
    logits = torch.zeros(1, 3, 4)
    logits[0, 1, 2], logits[0, 2, 0] = math.log(5), math.log(3)
    labels = torch.tensor([[-100, 2, 3]])
    assert task.hard_loss(logits, labels).item() == pytest.approx((-math.log(5 / 8) - math.log(1 / 6)) / 2)
    assert task.hard_loss(logits, torch.full((1, 3), -100)).item() == 0
    rows, counts = task.rows(logits, {"labels": labels, "answer_mask": torch.tensor([[0, 1, 1]])})
    assert counts.tolist() == [2] and rows[:, 1].tolist() == [2, 0] and rows[:, 2].tolist() == [1, 0]
    found = task.metrics(rows)
    assert found["masked_accuracy"] == 0.5 and found["examples"] == 2
    assert found["perplexity"] == pytest.approx(math.sqrt(8 / 5 * 6))
    assert found["log_likelihood"] == pytest.approx(-math.log(8 / 5 * 6) / 2)


def test_soft_targets_of_hidden_words():
    task = MaskedLM()
    teacher, student = torch.randn(1, 3, 4), torch.randn(1, 3, 4)
    teacher[0, 1], student[0, 1] = torch.tensor([0.0, 0, 0, math.log(3)]), 0.0
    kl = 3 / 6 * math.log(4 / 6) + 3 / 6 * math.log(12 / 6)
    found = task.soft_loss(student, teacher, 1.0, attention_mask=torch.tensor([[0, 1, 0]]))
    assert found.item() == pytest.approx(kl, rel=1e-5)


# --- answers -----------------------------------------------------------------------------------------------------


def test_starts_and_ends_by_hand():
    task = QuestionAnswering()
    logits = torch.zeros(2, 3, 2)
    logits[0, 1, 0], logits[0, 2, 1] = math.log(2), math.log(6)
    labels = torch.tensor([[1, 2], [-100, -100]])
    assert task.hard_loss(logits, labels).item() == pytest.approx((-math.log(2 / 4) - math.log(6 / 8)) / 2)
    teacher = logits[:1]
    kl = [sum(p * math.log(p * 3) for p in each) for each in ((1 / 4, 2 / 4, 1 / 4), (1 / 8, 1 / 8, 6 / 8))]
    found = task.soft_loss(torch.zeros(1, 3, 2), teacher, 1.0)
    assert found.item() == pytest.approx(sum(kl) / 2, rel=1e-5)


def test_squads_normalisation_and_scores():
    assert normalized("The  Cat, or a Dog!") == "cat or dog"
    assert word_f1("the red cat", "a red dog") == pytest.approx(0.5)
    assert word_f1("", "") == 1 and word_f1("cat", "") == 0 and word_f1("red red", "red") == pytest.approx(2 / 3)
    found = QuestionAnswering().metrics(["The cat", "blue", ""], [["cat", "a big cat"], ["red sky"], [""]])
    assert found["exact_match"] == pytest.approx(2 / 3) and found["f1"] == pytest.approx(2 / 3)


def test_tasks_of_foreign_configs():
    def kind(architecture, **config):
        found = task_of({"architectures": [architecture], **config}, {})
        return found and found["type"]

    assert kind("BertForTokenClassification", id2label={"0": "O"}) == "token-classification"
    assert kind("RobertaForSequenceClassification", id2label={"0": "LABEL_0"}) == "regression"
    assert kind("BertForSequenceClassification", problem_type="multi_label_classification") == "multi-label"
    assert kind("BertForSequenceClassification", id2label={"0": "a", "1": "b"}) == "classification"
    assert kind("DistilBertForQuestionAnswering") == "question-answering"
    assert kind("BertForPreTraining") == kind("BertForMaskedLM") == "masked-lm"
    assert kind("BertModel") is None and task_of({}, {}) is None
    assert task_of({}, {"task": {"type": "regression"}})["type"] == "regression"
