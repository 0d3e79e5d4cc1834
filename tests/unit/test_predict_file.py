"""Answers for a file, read as trainings read it: each example in its place, in every form, written as JSONL and CSV."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import qtinker
import task_data
import tiny
from qtinker import checkpoint, cli
from qtinker.data import load_eval
from qtinker.errors import InputError


def kept(home, kind):
    """A model of a task in the registry."""
    task_data.kept(home / "bert_models" / "finetuned" / "answers", kind)


@pytest.mark.parametrize("kind", ["regression", "multi-label", "question-answering"])
def test_a_file_is_answered_as_its_texts_are(qtinker_home, tmp_path, kind):
    kept(qtinker_home, kind)
    file = task_data.write(tmp_path, kind, 9)
    examples = load_eval(str(file), task=kind)
    texts = examples.texts if examples.pairs is None else list(zip(examples.texts, examples.pairs, strict=True))
    answers = qtinker.predict("answers", data=file)["predictions"]
    assert [answer["text"] for answer in answers] == list(examples.texts)
    assert answers == qtinker.predict("answers", texts)["predictions"]
    if examples.pairs is None:  # an array has no truth of its own
        assert answers == qtinker.predict("answers", np.array(texts, dtype=object))["predictions"]


def test_words_stay_as_the_file_parts_them(qtinker_home, tmp_path):
    kept(qtinker_home, "token-classification")
    (tmp_path / "a.conll").write_text("Sly-\tO\nand\tO\nD-\tO\n...\tO\n\nNew York\tO\n.\tO\n", encoding="utf-8")
    answers = qtinker.predict("answers", data=tmp_path / "a.conll")["predictions"]
    words = [[each["word"] for each in answer["words"]] for answer in answers]
    assert words == [["Sly-", "and", "D-", "..."], ["New\u00a0York", "."]]
    [split] = qtinker.predict("answers", ["Sly- and"])["predictions"]
    assert [each["word"] for each in split["words"]] == ["Sly", "-", "and"]


@pytest.mark.parametrize(("kind", "rows"), [
    ("regression", [{"text": "good film"}, {"text": ""}, {"text": None}, {"text": "no"}]),
    ("token-classification", [{"tokens": ["good", "film"]}, {"tokens": []}, {"tokens": ["no"]}]),
    ("question-answering", [{"question": "what?", "context": "a film"}, {"question": "", "context": "a"},
                            {"question": "b", "context": None}]),
])  # fmt: skip
def test_rows_without_a_text_keep_their_place(qtinker_home, tmp_path, kind, rows):
    kept(qtinker_home, kind)
    file = tmp_path / "a.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    answers = qtinker.predict("answers", data=file)["predictions"]
    texts = [row.get("text", row.get("question", " ".join(row.get("tokens", [])))) or "" for row in rows]
    assert [answer["text"] for answer in answers] == texts


def test_pairs_of_a_table_from_columns_that_are_named(qtinker_home, tmp_path):
    kept(qtinker_home, "regression")
    (tmp_path / "a.csv").write_text("id,one,two\n1,the movie was good,a bad film\n2,awful plot,a great scene\n")
    answers = qtinker.predict("answers", data=tmp_path / "a.csv", text_column="one", text_pair_column="two")
    pairs = [("the movie was good", "a bad film"), ("awful plot", "a great scene")]
    assert answers == qtinker.predict("answers", pairs)


def test_answers_are_written_a_line_each(qtinker_home, tmp_path, capsys):
    kept(qtinker_home, "multi-label")
    file = task_data.write(tmp_path, "multi-label", 5)
    answers = qtinker.predict("answers", data=file)["predictions"]
    for ending in ("jsonl", "csv"):
        out = tmp_path / f"out.{ending}"
        assert cli.main(["predict", "answers", "--data", str(file), "--output", str(out)]) == 0
        assert capsys.readouterr().out == f"5 answers are in {out}.\n"
    lines = (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == answers
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as table:
        rows = list(csv.DictReader(table))
    assert [(row["text"], float(row["score"])) for row in rows] == [(each["text"], each["score"]) for each in answers]
    assert [json.loads(row["probabilities"]) for row in rows] == [each["probabilities"] for each in answers]


def test_what_can_not_be_meant_is_refused(qtinker_home, tmp_path, capsys):
    kept(qtinker_home, "regression")
    for given in ({}, {"texts": ["a"], "data": "sample"}):
        with pytest.raises(InputError, match="Give either texts or a file of them"):
            qtinker.predict("answers", **given)
    assert cli.main(["predict", "answers", "a text", "--data", "sample"]) == 2
    assert "Both --data and other texts were given" in capsys.readouterr().err
    assert cli.main(["predict", "answers", "a text", "--output", "answers.xlsx"]) == 2
    assert "End it in .jsonl or .csv" in capsys.readouterr().err
    assert cli.main(["predict", "answers", "a text", "--output", str(tmp_path / "none" / "a.csv")]) == 2
    assert f"There is no folder {tmp_path / 'none'}" in capsys.readouterr().err


def test_labels_of_a_file_are_not_looked_at(qtinker_home, tmp_path):
    """Comments, one value alone, other lists, tags that do not fit: whatever stands beside the texts."""
    texts = [f"the movie was good {number}" for number in range(40)]
    for kind, rows in {
        "multi-label": [{"text": text, "label": ["PER"], "country": "DE"} for text in texts],
        "regression": [{"sentence1": text, "sentence2": text, "score": "n/a"} for text in texts],
        "question-answering": [{"question": text, "context": text, "answers": ["no such words"]} for text in texts],
        "token-classification": [{"tokens": text.split(), "ner_tags": ["O"]} for text in texts],
    }.items():
        task_data.kept(qtinker_home / "bert_models" / "finetuned" / kind, kind)
        file = tmp_path / f"{kind}.jsonl"
        file.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
        answers = qtinker.predict(kind, data=file)["predictions"]
        assert [answer["text"] for answer in answers] == texts
    classes = qtinker_home / "bert_models" / "finetuned" / "classes"
    made = tiny.bert(1, 32, 4)
    meta = {"name": "classes", "kind": "finetuned",
            "task": {"type": "classification", "labels": list(tiny.LABELS), "pair": False}}  # fmt: skip
    checkpoint.save(made.model, made.tokenizer, classes, meta=meta)
    for name, cells in {
        "country": ["DE"] * 40,
        "label": [f"what I think of it, number {n}" for n in range(40)],
    }.items():
        file = tmp_path / f"{name}.csv"
        lines = [f'{text},"{cell}"' for text, cell in zip(texts, cells, strict=True)]
        file.write_text("\n".join([f"text,{name}", *lines]), encoding="utf-8")
        assert qtinker.predict("classes", data=file) == qtinker.predict("classes", texts)


def test_words_and_questions_of_a_table_of_texts(qtinker_home, tmp_path):
    """A model of words answers plain texts, one of questions the columns that are named."""
    for kind in ("token-classification", "question-answering"):
        task_data.kept(qtinker_home / "bert_models" / "finetuned" / kind, kind)
    (tmp_path / "a.csv").write_text("ask,about\nis the movie,the movie was good\nis the plot,an awful plot\n")
    texts = ["the movie was good", "an awful plot"]
    tagged = qtinker.predict("token-classification", data=tmp_path / "a.csv", text_column="about")
    assert tagged == qtinker.predict("token-classification", texts)
    answers = qtinker.predict(
        "question-answering", data=tmp_path / "a.csv", text_column="ask", text_pair_column="about"
    )
    assert answers == qtinker.predict("question-answering", [("is the movie", texts[0]), ("is the plot", texts[1])])
