"""Models as they are found: labels without names, padded vocabularies, few positions; and what runs make of them."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import qtinker
import task_data
import tiny
import torch
import transformers
from qtinker import checkpoint
from qtinker.data import Examples, encode
from qtinker.distill import methods
from qtinker.distill.augment import Variation, _Maker
from qtinker.distill.students import build_student
from qtinker.distill.teacher import Teacher
from qtinker.spec import StudentSpec
from qtinker.spec_methods import METHODS
from qtinker.tasks import MaskedLM, MultiLabel, TokenClassification
from training_job import go

pytestmark = pytest.mark.train
TRAINING = {"epochs": 1, "device": "cpu", "precision": "fp32", "threads": 1, "batch_size": 8}


def masked(extra: int = 0, *, seed: int = 1, layers: int = 2, words: list[str] = tiny.WORDS) -> checkpoint.Loaded:
    """A masked language model whose output layer has `extra` rows beyond the vocabulary."""
    tok = tiny.tokenizer(words)
    torch.manual_seed(seed)
    config = transformers.BertConfig(
        vocab_size=len(tok) + extra, hidden_size=16, num_hidden_layers=layers, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=64,
    )  # fmt: skip
    return checkpoint.Loaded(transformers.BertForMaskedLM(config).eval(), tok, {"name": f"masked-{seed}"}, None)


def saved(loaded: checkpoint.Loaded, folder: Path, name: str) -> str:
    checkpoint.save(loaded.model, loaded.tokenizer, folder / name, meta={"name": name, "kind": "finetuned"})
    return str(folder / name)


def examples(folder: Path) -> dict[str, object]:
    for name, count in (("train", 40), ("dev", 20)):
        texts = [" ".join(np.random.default_rng(i).choice(tiny.WORDS[6:], 20)) for i in range(count)]
        rows = [f"{text} {tiny.LABELS[i % 2]},{tiny.LABELS[i % 2]}" for i, text in enumerate(texts)]
        (folder / f"{name}.csv").write_text("\n".join(["text,label", *rows]) + "\n")
    return {"train": str(folder / "train.csv"), "eval": str(folder / "dev.csv"), "max_length": 48}


@pytest.mark.parametrize("labels", [("LABEL_0", "LABEL_1"), tiny.LABELS])
def test_a_head_whose_labels_have_no_names_comes_along(labels):
    teacher = tiny.bert(4, 32, labels=labels)
    student = build_student(StudentSpec(layers=[1, 3]), teacher, task=tiny.task(), seed=1)
    assert torch.equal(student.model.classifier.weight, teacher.model.classifier.weight) and not student.new_head
    assert student.labels == list(tiny.LABELS) and teacher.labels == list(labels)


def test_a_head_for_the_labels_in_another_order_is_put_into_theirs():
    teacher = tiny.bert(4, 32, labels=("good", "bad"))
    before = teacher.model.classifier.weight.clone()
    student = build_student(StudentSpec(layers=[1, 3]), teacher, task=tiny.task(), seed=1)
    assert torch.equal(student.model.classifier.weight, before[[1, 0]]) and not student.new_head
    assert student.labels == ["bad", "good"]
    assert torch.equal(teacher.model.classifier.weight, before) and teacher.labels == ["good", "bad"]


@pytest.mark.parametrize("own", [("B-x", "O"), ("O", "B-y")])
def test_a_distilbert_takes_a_head_for_words_by_its_labels(own):
    encoder, task = tiny.bert(2, 16), TokenClassification(("O", "B-x"))
    config = encoder.model.config
    config.id2label, config.label2id = dict(enumerate(own)), {name: number for number, name in enumerate(own)}
    tagger = transformers.BertForTokenClassification(config).eval()
    teacher = checkpoint.Loaded(tagger, encoder.tokenizer, {"name": "tagger", "kind": "finetuned"})
    student = build_student(StudentSpec(layers=[1], architecture="distilbert"), teacher, task=task, seed=1)
    given, got = tagger.classifier.weight, student.model.classifier.weight
    assert student.labels == ["O", "B-x"] and student.new_head == (own == ("O", "B-y"))
    assert torch.equal(got, given[[1, 0]]) != student.new_head and not torch.equal(got, given)


@pytest.mark.parametrize("kind", ["classification", "multi-label", "token-classification"])
def test_a_teacher_without_names_teaches_data_without_labels(qtinker_home, tmp_path, kind):
    """As most of the Hub's classifiers are; the student's labels are called as the teacher's."""
    if kind == "classification":
        teacher = tiny.bert(2, 32, labels=("LABEL_0", "LABEL_1", "LABEL_2"))
    else:
        teacher = task_data.model_for(kind, layers=2)
        config, count = teacher.model.config, teacher.model.config.num_labels
        config.id2label = {number: f"LABEL_{number}" for number in range(count)}
        config.label2id = {name: number for number, name in config.id2label.items()}
    names = [teacher.model.config.id2label[number] for number in range(teacher.model.config.num_labels)]
    meta = {"name": "nameless", "kind": "finetuned", "task": {"type": kind, "labels": names, "pair": False}}
    folder = tmp_path / "nameless"
    checkpoint.save(teacher.model, teacher.tokenizer, folder, meta=meta)
    texts = tmp_path / "texts.csv"
    if kind == "token-classification":
        texts = task_data.write(tmp_path, kind, 30, labels=False)
    else:
        texts.write_text("\n".join(["text", *(f"the movie was good {number}" for number in range(30))]))
    report = qtinker.distill(
        teacher=str(folder),
        data=str(texts),
        student_layers="1",
        kd_weight=1.0,
        ce_weight=0.0,
        max_steps=2,
        name="taught",
    )
    assert report["judge"] == "nameless" and report["metrics"]["teacher"][report["metric"]] == pytest.approx(1.0)
    assert checkpoint.task_in(Path(report["checkpoint"]))["labels"] == names


def test_a_head_for_other_labels_does_not():
    teacher = tiny.bert(4, 32, labels=("x", "y"))
    student = build_student(StudentSpec(layers=[1, 3]), teacher, task=tiny.task(), seed=1)
    assert student.new_head and not torch.equal(student.model.classifier.weight, teacher.model.classifier.weight)


def test_the_control_of_a_distilbert_is_one(tmp_path):
    encoder = tiny.bert(2, 16)
    checkpoint.save(
        encoder.model.bert, encoder.tokenizer, tmp_path / "base", meta={"name": "base", "kind": "pretrained"}
    )
    data = examples(tmp_path)
    teacher = qtinker.run({"student": {"model": str(tmp_path / "base")}, "data": data, "training": TRAINING})
    report = qtinker.distill({
        "teacher": {"model": teacher["checkpoint"]}, "student": {"layers": [0], "architecture": "distilbert"},
        "control": True, "data": data, "training": TRAINING,
    })  # fmt: skip
    kinds = {name: json.loads((Path(report[name]) / "config.json").read_text())["model_type"]
             for name in ("checkpoint", "control_checkpoint")}  # fmt: skip
    assert kinds == {"checkpoint": "distilbert", "control_checkpoint": "distilbert"}


def test_texts_are_cut_to_what_every_teacher_has_positions_for(tmp_path):
    short = tiny.bert(2, 16, seed=2)
    short.model.config.max_position_embeddings = 16
    embeddings = short.model.bert.embeddings
    embeddings.position_embeddings = torch.nn.Embedding.from_pretrained(embeddings.position_embeddings.weight[:16])
    also = saved(short, tmp_path, "short")
    report = qtinker.distill({
        "teacher": {"model": saved(tiny.bert(2, 16, seed=1), tmp_path, "long"), "also": [also]},
        "student": {"layers": [0]}, "data": examples(tmp_path), "training": TRAINING, "control": False,
    })  # fmt: skip
    assert report["metrics"]["student"]["examples"] == 20


@pytest.mark.parametrize("how", [{"soft_loss": "dist"}, {"standardize_logits": True}])
def test_a_vocabulary_is_classes_enough(how):
    assert methods.build(METHODS["logit"](**how), task=MaskedLM(), student=masked(), teacher=masked(seed=2), seed=1)


def test_rows_beyond_the_vocabulary_are_no_words(tmp_path):
    """The padded teacher gives the losses of the one that it is, its padding cut off."""
    data = encode(Examples([" ".join(tiny.WORDS * 3)] * 8, form="blocks"), tiny.tokenizer(), 16, cache=False)
    ends = []
    for extra in (0, 6):
        teacher = masked(6, seed=2)
        if not extra:
            size = len(teacher.tokenizer)
            teacher.model.resize_token_embeddings(size, mean_resizing=False)
        student = masked(layers=1)
        _, events = go(student, tmp_path / str(extra), method=METHODS["logit"](), data=data, task=MaskedLM(),
                       teacher=Teacher(teacher, student=student, task=MaskedLM()))  # fmt: skip
        ends.append([event["loss"] for event in events if event["kind"] == "step"])
    assert ends[0] == pytest.approx(ends[1], rel=1e-6) and len(ends[0]) > 0


def test_sure_teachers_of_several_labels_stay_sure():
    answers, shares = torch.tensor([[[20.0, -18.0, 1.0]]] * 2), torch.tensor([0.25, 0.75]).view(2, 1, 1)
    assert torch.allclose(MultiLabel(("a", "b", "c")).average(answers, shares), answers[0], atol=1e-5)
    mixed = torch.tensor([[[2.0]], [[-1.0]]])
    share = 0.25 / (1 + math.exp(-2)) + 0.75 / (1 + math.exp(1))
    found = MultiLabel(("a",)).average(mixed, shares)
    assert found.item() == pytest.approx(math.log(share / (1 - share)), rel=1e-6)
    assert MultiLabel(("a",)).average(mixed, torch.tensor([1.0, 0.0]).view(2, 1, 1)).item() == pytest.approx(2.0)


def test_the_temperature_goes_its_line_once(tmp_path, monkeypatch):
    """With answers throughout the line is that of the training, not of each stage anew."""
    seen, soft = [], methods.Logit._soft
    monkeypatch.setattr(methods.Logit, "_soft", lambda self, *a: (seen.append(self.temperature), soft(self, *a))[1])
    method = METHODS["feature"](temperature=8.0, temperature_end=2.0, intermediate_share=0.5, answers_throughout=True)
    go(tiny.bert(2, 32, seed=2), tmp_path, method=method, teacher=tiny.bert(4, 64, seed=1), data=tiny.encoded(56))
    assert seen == pytest.approx([8 - 6 * step / 6 for step in range(7)])


@pytest.mark.parametrize("odd", [[], ["\u0120"], ["\u2581"]])
def test_variants_leave_a_word_of_several_pieces_as_it_is_where_it_is_cut_too(odd):
    """And one odd entry makes no WordPiece vocabulary one of another kind."""
    model = masked(words=["mov", "##ies", "the", "good", "bad", "plot", *odd])
    how = Variation(variants=6, share=1.0, candidates=4)
    maker = _Maker(model, how, max_length=5, device=torch.device("cpu"))  # [CLS] the good mov [SEP]
    texts, _ = maker.make(["the good movies"], None, second=True)
    assert texts and all(text.split()[-1] == "movies" for text in texts), texts
    whole, _ = maker.make(["the good plot"], None, second=True)
    assert any(text.split()[-1] != "plot" for text in whole), whole


def test_a_masked_language_model_that_knows_no_more_than_the_commonest_word_is_told(qtinker_home, tmp_path):
    random = np.random.Generator(np.random.PCG64(0))
    lines = (" ".join([*random.choice(tiny.WORDS, 12), *["movie"] * 4]) for _ in range(160))
    (tmp_path / "text.txt").write_text("\n\n".join(lines))
    teacher = saved(masked(), tmp_path, "teacher")
    report = qtinker.distill(teacher=teacher, student_layers="0", data=str(tmp_path / "text.txt"), **TRAINING)
    assert report["metric"] == "masked_accuracy"
    told = [text for text in report["warnings"] if "than giving the same answer always" in text]
    assert [text.split(" (")[0] for text in told] == ["The teacher", "The student"]
    assert "Retention over it says nothing" in told[0]
