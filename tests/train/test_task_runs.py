"""Every task from a file to an answer: learned by labels, by soft targets alone, by each method."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import task_data
import tiny
import torch
import transformers
from qtinker import api, checkpoint, data, registry
from qtinker.distill import train as training
from qtinker.distill.teacher import Teacher
from qtinker.errors import SpecError
from qtinker.kinds import KINDS
from qtinker.predict import Predictor
from qtinker.spec import METHODS, RunSpec

pytestmark = pytest.mark.train
ENOUGH = {
    "regression": 0.9, "multi-label": 0.9, "token-classification": 0.9, "masked-lm": 0.6, "question-answering": 0.9,
}  # fmt: skip
"""Far above what a model without the right loss reaches."""


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    task_data.encoder(folder, "big", layers=2, seed=1)
    task_data.encoder(folder, "small", layers=2, seed=2)
    return folder


@pytest.fixture
def home(models, qtinker_home):
    for name in ("big", "small"):
        shutil.copytree(models / name, qtinker_home / "bert_models" / "hub" / name)
    return qtinker_home


@pytest.fixture(scope="module")
def teachers():
    """Teachers by task, kept from the first test that made one."""
    return {}


def spec(train, held, **changes) -> RunSpec:
    epochs = 24 if train.suffix == ".txt" else 8  # a text says less: a few words of it are asked for
    content = {
        "student": {"model": "small"}, "data": {"train": str(train), "eval": str(held), "max_length": 32},
        "training": {"epochs": epochs, "batch_size": 8, "learning_rate": 4e-3, "precision": "fp32", "threads": 1,
                     "device": "cpu"},
    }  # fmt: skip
    for key, value in changes.items():
        content[key] = {**content.get(key, {}), **value} if isinstance(value, dict) else value
    return RunSpec.parse(content)


@pytest.fixture(params=task_data.KINDS)
def kind(request):
    return request.param


@pytest.fixture
def teacher(kind, home, teachers, tmp_path_factory):
    """A teacher finetuned for the task, and its files."""
    if kind not in teachers:
        folder = tmp_path_factory.mktemp(kind)
        train, held = (task_data.write(folder, kind, count, seed=seed) for count, seed in ((160, 1), (40, 2)))
        report = api.run(spec(train, held, student={"model": "big"}, name="teacher"))
        shutil.copytree(report["checkpoint"], folder / "teacher")
        teachers[kind] = folder, train, held, report
    folder, train, held, report = teachers[kind]
    if registry.find("teacher") is None:
        shutil.copytree(folder / "teacher", home / "bert_models" / "hub" / "teacher")
    return train, held, report


def test_a_model_learns_from_the_file_alone(kind, teacher):
    _, _, report = teacher
    metric = report["metric"]
    assert report["metrics"]["student"][metric] > ENOUGH[kind]
    meta = registry.read_meta(registry.resolve("teacher"))
    assert meta["task"]["type"] == kind and meta["task"]["metric"] == metric
    heads = {"token-classification": "TokenClassification", "masked-lm": "MaskedLM",
             "question-answering": "QuestionAnswering"}  # fmt: skip
    auto = f"AutoModelFor{heads.get(kind, 'SequenceClassification')}"
    loaded, info = getattr(transformers, auto).from_pretrained(registry.resolve("teacher"), output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"] and not info["mismatched_keys"]
    if meta["task"]["labels"]:
        assert [loaded.config.id2label[i] for i in range(loaded.config.num_labels)] == meta["task"]["labels"]


def test_soft_targets_alone_teach_unlabelled_rows(kind, teacher, tmp_path):
    _, held, report = teacher
    bare = task_data.write(tmp_path, kind, 160, seed=3, labels=False)
    distilled = api.run(
        spec(bare, held, teacher={"model": "teacher"}, method={"name": "logit", "kd_weight": 1.0, "ce_weight": 0.0})
    )
    metric = report["metric"]
    assert distilled["metrics"]["student"][metric] > ENOUGH[kind] - 0.05
    assert registry.read_meta(distilled["checkpoint"])["task"]["type"] == kind
    assert distilled["retention"] > 0.9


def test_without_any_label_the_student_is_measured_against_the_teachers_answers(kind, teacher, tmp_path):
    _, held, report = teacher
    bare = task_data.write(tmp_path, kind, 160, seed=3, labels=False)
    method = {"name": "logit", "kd_weight": 1.0, "ce_weight": 0.0}
    split = api.run(spec(bare, held, teacher={"model": "teacher"}, method=method, data={"eval": None}))
    assert 0 < split["examples"]["eval"] <= 0.2 * split["examples"]["train"]
    if kind == "masked-lm":  # running text is its own label
        assert split["judge"] is None
        return
    metric, warning = report["metric"], "No evaluation example has a label"
    assert split["judge"] == "teacher" and any(warning in each for each in split["warnings"])
    assert split["metrics"]["teacher"][metric] == pytest.approx(1.0)
    assert ENOUGH[kind] - 0.1 < split["metrics"]["student"][metric] == pytest.approx(split["retention"])
    assert "agree with those of teacher" in (Path(split["checkpoint"]) / "README.md").read_text()
    given = task_data.write(tmp_path, kind, 40, seed=2, labels=False)
    asked = api.run(spec(bare, given, teacher={"model": "teacher"}, method=method, training={"max_steps": 2}))
    assert asked["examples"]["eval"] == 40 and asked["metrics"]["teacher"][metric] == pytest.approx(1.0)


def test_a_student_with_other_tokens_learns_from_the_teachers_answers_alone(kind, teacher, home, tmp_path):
    """By word, by character; its tokenizer cuts every other word in two, and knows others whole."""
    if not KINDS[kind].per_token:
        pytest.skip("joined by example: see test_methods.py")
    _, held, report = teacher
    cut = [piece for word in tiny.WORDS[::2] for piece in (word[:2], f"##{word[2:]}")]
    vocabulary = list(dict.fromkeys([*reversed(tiny.WORDS[1::2]), *cut, "##ie", "##a", "a", "is"]))
    torch.manual_seed(5)
    config = transformers.BertConfig.from_pretrained(registry.resolve("big"))
    config.vocab_size = len(tiny.tokenizer(vocabulary))
    checkpoint.save(
        transformers.BertForMaskedLM(config), tiny.tokenizer(vocabulary), home / "bert_models" / "hub" / "other",
        meta={"name": "other", "kind": "pretrained"},
    )  # fmt: skip
    bare = task_data.write(tmp_path, kind, 160, seed=3, labels=False)
    wanted = spec(
        bare, held, teacher={"model": "teacher"}, student={"model": "other"},
        method={"name": "logit", "kd_weight": 1.0, "ce_weight": 0.0},
    )  # fmt: skip
    if kind == "masked-lm":
        with pytest.raises(SpecError, match="tokens of the vocabulary"):
            api.run(wanted)
        return
    distilled = api.run(wanted)
    assert distilled["metrics"]["student"][report["metric"]] > ENOUGH[kind] - 0.05


def test_a_control_stands_beside_the_student(kind, teacher):
    train, held, _ = teacher
    balanced = {"class_weights": "balanced"} if KINDS[kind].named else {}
    report = api.run(
        spec(train, held, teacher={"model": "teacher"}, control=True, task=balanced, training={"max_steps": 4})
    )
    assert set(report["metrics"]) == {"teacher", "student", "control"}
    assert all(report["metric"] in each for each in report["metrics"].values())


@pytest.mark.parametrize("method", METHODS)
def test_each_method_takes_each_task(kind, teacher, method, tmp_path):
    train, held, _ = teacher
    settings = spec(train, held, teacher={"model": "teacher"}, method={"name": method}, training={"max_steps": 4})
    task = data.load(settings.data, seed=1, task=kind).task
    student = checkpoint.load(registry.resolve("small"), task=task)
    asked = Teacher(checkpoint.load(registry.resolve("teacher"), kind=kind), student=student, task=task)
    encoded = data.encode(data.load(settings.data, seed=1, task=kind).train, student.tokenizer, 32)
    steps = training.train(
        student, encoded, task=task, training=settings.training, folder=tmp_path / "state", method=settings.method,
        teacher=asked,
    )  # fmt: skip
    parts = {name for event in steps if event["kind"] == "step" for name, value in event["parts"].items() if value > 0}
    assert "soft" in parts and len(parts) >= (2 if settings.method.ce_weight or method != "logit" else 1)


def test_answers(kind, teacher):
    predictor = Predictor("teacher")
    if kind == "regression":
        low, high = (predictor.predict([text])[0]["value"] for text in ("bad awful poor", "good great fine"))
        assert low < 1 and high > 2
    elif kind == "multi-label":
        [answer] = predictor.predict(["the plot and a scene very"])
        assert answer["labels"] == ["plot", "scene"]
    elif kind == "token-classification":
        [answer] = predictor.predict(["the movie was good but awful poor plot"])
        assert [(each["text"], each["label"]) for each in answer["entities"]] == [
            ("good", "praise"), ("awful", "blame"), ("poor", "blame")
        ]  # fmt: skip
        assert [answer["text"][each["start"] : each["end"]] for each in answer["entities"]] == ["good", "awful", "poor"]
    elif kind == "masked-lm":
        [answer] = predictor.predict(["movie was very good but a film is [MASK] the movie was very good but a film"])
        assert answer["filled"] == "movie was very good but a film is not the movie was very good but a film"
        assert answer["masks"][0][0]["word"] == "not" and len(answer["masks"][0]) == 5
    else:
        [answer] = predictor.predict([("is the movie", "the scene was great and a plot")])
        assert answer["answer"] == "great"
        assert "the scene was great and a plot"[answer["start"] : answer["end"]] == "great"
