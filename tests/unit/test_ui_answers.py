"""What the page's Compare shows of single answers: every task's models asked, and where two of them differ."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import task_data
import tiny
import torch
from qtinker import checkpoint, data
from qtinker.data import Examples
from qtinker.errors import InputError, QTinkerError
from qtinker.predict import Predictor
from qtinker.ui import answerer, differences

ASKED = {
    "question-answering": {"text": "is the movie", "pair": "the scene was great and a plot"},
    "masked-lm": {"text": "a [MASK] film"},
}


def kept(folder, kind, *, name="one", seed=0):
    """A model folder of a task, as training leaves it."""
    model = task_data.model_for(kind, seed=seed)
    named = kind in ("multi-label", "token-classification")
    labels = [model.model.config.id2label[i] for i in range(model.model.config.num_labels)] if named else []
    task = {"type": kind, "labels": labels, "pair": kind == "question-answering"}
    checkpoint.save(model.model, model.tokenizer, folder / name,
                    meta={"name": name, "kind": "finetuned", "task": task, "max_length": 32})  # fmt: skip
    return str(folder / name)


@pytest.mark.parametrize("kind", task_data.KINDS)
def test_a_sentence_is_answered_by_a_model_of_any_task(tmp_path, kind):
    asked = ASKED.get(kind, {"text": "the movie was very good"})
    [answer] = answerer.predict({"models": [["one", kept(tmp_path, kind)]], **asked})["answers"]
    assert answer["text"] == asked["text"] and answer["ms"] > 0
    wanted = {"regression": "value", "multi-label": "labels", "token-classification": "entities",
              "masked-lm": "filled", "question-answering": "answer"}  # fmt: skip
    assert wanted[kind] in answer


def test_a_model_that_took_anothers_place_answers(tmp_path):
    def asked():
        return answerer.predict({"models": [["one", folder]], "text": "the movie was very good"})["answers"][0]["value"]

    folder = kept(tmp_path, "regression")
    first, opened = asked(), answerer.predictor(folder)
    assert answerer.predictor(folder) is opened
    shutil.rmtree(folder)
    with pytest.raises(QTinkerError):
        asked()
    kept(tmp_path, "regression", seed=1)
    second = asked()
    assert second != first and second == Predictor(folder).predict(["the movie was very good"])[0]["value"]


@pytest.mark.parametrize("kind", [kind for kind in task_data.KINDS if kind != "masked-lm"])
def test_two_models_of_any_task_are_held_against_the_labels(tmp_path, kind):
    path = task_data.write(tmp_path, kind)
    models = [[name, kept(tmp_path, kind, name=name, seed=seed)] for name, seed in (("one", 0), ("two", 1))]
    found = answerer.disagree({"models": models, "data": str(path), "limit": 1000})
    everything = data.load_eval(str(path), task=kind)
    assert found["examples"] == len(everything) > 0, "what is measured: all of a file"
    for row in found["rows"]:
        assert row["true"] is not None and row["first"] != row["second"]
        assert (row["first_right"] is None) == (kind == "regression")


def test_models_of_different_tasks_are_not_held_against_each_other(tmp_path):
    models = [[kind, kept(tmp_path, kind, name=kind)] for kind in ("regression", "multi-label")]
    with pytest.raises(InputError, match="multi-label was trained for multi-label, and regression for regression"):
        answerer.disagree({"models": models, "data": str(task_data.write(tmp_path, "regression")), "limit": 9})


def test_labels_that_are_numbers_are_right_too(tmp_path):
    """A model whose labels have no names, LABEL_0 and LABEL_1, and data that write 0 and 1."""
    rows = tiny.examples(40, seed=3)
    lines = [f"{text}\t{label}" for text, label in zip(rows.texts, rows.labels, strict=True)]
    (tmp_path / "a.tsv").write_text("\n".join(["text\tlabel", *lines]))
    models = []
    for seed in (0, 1):
        model = tiny.bert()
        with torch.no_grad():  # the second answers the other way round
            model.model.classifier.weight.mul_(1 - 2 * seed)
            model.model.classifier.bias.mul_(1 - 2 * seed)
        model.model.config.id2label = {0: "LABEL_0", 1: "LABEL_1"}
        model.model.config.label2id = {"LABEL_0": 0, "LABEL_1": 1}
        checkpoint.save(model.model, model.tokenizer, tmp_path / f"m{seed}", meta={"name": f"m{seed}"})
        models.append([f"m{seed}", str(tmp_path / f"m{seed}")])
    found = answerer.disagree({"models": models, "data": str(tmp_path / "a.tsv"), "limit": 1000})
    assert found["different"] == found["examples"] == 40
    for row in found["rows"]:
        assert row["first_right"] == (row["first"] == row["true"]) and row["first_right"] != row["second_right"]


def test_hidden_words_are_no_answers_to_hold_against_each_other(tmp_path):
    models = [["one", kept(tmp_path, "masked-lm")]] * 2
    with pytest.raises(InputError, match="guess hidden words"):
        answerer.disagree({"models": models, "data": str(task_data.write(tmp_path, "masked-lm")), "limit": 9})


def test_the_right_one_is_told_in_every_form():
    """By hand: what is right, in the words that a model answers with."""
    names = ("O", "B-per", "I-per")
    tags = data.Ragged(np.array([1, 2, 0, 0]), np.array([0, 3, 4]))
    words = Examples(["Ada Lovelace wrote", "nothing"], labels=tags, form="words")
    whole, part = ([{"text": text, "label": "per"}] for text in ("Ada Lovelace", "Ada"))
    one = [{"text": "Ada Lovelace wrote", "entities": whole}, {"text": "nothing", "entities": []}]
    two = [{"text": "Ada Lovelace wrote", "entities": part}, {"text": "nothing", "entities": []}]
    [row] = differences.between(one, two, words, names)
    assert (row["true"], row["first_right"], row["second_right"]) == ("Ada Lovelace=per", True, False)

    several = Examples(["a", "b"], labels=np.array([[1, 0, 1], [0, 0, 0]]))
    one = [{"text": "a", "labels": ["z", "x"], "score": 0.9}, {"text": "b", "labels": ["y"], "score": 0.8}]
    two = [{"text": "a", "labels": ["x"], "score": 0.9}, {"text": "b", "labels": [], "score": 0.3}]
    rows = differences.between(one, two, several, ("x", "y", "z"))
    assert [(row["text"], row["first_right"], row["second_right"]) for row in rows] == [
        ("a", True, False), ("b", False, True),
    ]  # fmt: skip

    spans = Examples(["who", "when"], ["Ada wrote", "Ada wrote"], labels=np.array([[0, 3], [0, 0]]), form="spans",
                     answers=[["Ada", "Ada wrote"], []])  # fmt: skip
    one = [{"text": "who", "pair": "Ada wrote", "answer": "Ada wrote"}, {"text": "when", "pair": "", "answer": ""}]
    two = [{"text": "who", "pair": "Ada wrote", "answer": "wrote"}, {"text": "when", "pair": "", "answer": "Ada"}]
    rows = differences.between(one, two, spans, ())
    assert [(row["first_right"], row["second_right"]) for row in rows] == [(True, False)] * 2

    scores = Examples(["a", "b", "c"], labels=np.array([0.0, 5.0, 2.0], np.float32))
    one = [{"text": text, "value": value} for text, value in (("a", 0.1), ("b", 4.0), ("c", 2.0))]
    two = [{"text": text, "value": value} for text, value in (("a", 0.2), ("b", 3.0), ("c", 4.0))]
    rows = differences.between(one, two, scores, ())
    assert [row["text"] for row in rows] == ["c", "b"]  # 0.1 of 5 apart is the same answer
    assert rows[0]["first_right"] is None


def test_answers_without_labels_are_still_set_side_by_side():
    one, two = [{"text": "a", "label": "x", "score": 0.9}], [{"text": "a", "label": "y", "score": 0.8}]
    [row] = differences.between(one, two, Examples(["a"]), ("x", "y"))
    assert row["true"] is None and row["first_right"] is None
