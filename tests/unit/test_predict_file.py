"""Answers for a file, read as trainings read it: each example in its place, in every form, written as JSONL and CSV."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import qtinker
import task_data
from qtinker import cli
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
