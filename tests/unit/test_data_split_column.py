"""Rows that a column parts into training and evaluation."""

from __future__ import annotations

import csv

import pytest
from qtinker import data
from qtinker.spec import DataSpec


def parted(tmp_path, parts, *, name="split", label="ab", other="ab"):
    rows = [
        (f"text of {part} number {i}", (label if part == "train" else other)[i // len(parts) % 2], part)
        for i, part in enumerate(parts * 20)
    ]
    with (tmp_path / "all.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("text", "label", name), *rows])
    return str(tmp_path / "all.csv")


@pytest.mark.parametrize(("parts", "name", "held", "out"), [
    (["train", "train", "Test"], "split", "test", 0),
    (["train", "dev", "test"], "type", "dev", 20),
    (["train", "val", ""], "set", "val", 20),
])  # fmt: skip
def test_rows_for_evaluation_are_not_trained_on(tmp_path, parts, name, held, out):
    path = parted(tmp_path, parts, name=name)
    found = data.load(DataSpec(train=path), seed=0)
    assert all(text.startswith("text of train") for text in found.train.texts)
    assert {text.split()[2].lower() for text in found.eval.texts} == {held} and len(found.eval) == 20
    told = [line for line in found.findings if line.startswith(f"rows are parted by column {name!r}")]
    assert told and (f"{out} " in told[0]) == bool(out)
    words: list[str] = []
    assert len(data.load_eval(path, labels=["a", "b"], told=words)) == 20 and any(held in line for line in words)
    assert len(data.load_eval(path, texts_only=True)) == 60, "every row is answered"


def test_a_part_without_labels_is_not_evaluated_on(tmp_path):
    found = data.load(DataSpec(train=parted(tmp_path, ["train", "test"], other="  ")), seed=0)
    assert all(text.startswith("text of train") for part in (found.train, found.eval) for text in part.texts)
    assert any("evaluation rows are split off the others" in line for line in found.warnings)


def test_classes_called_train_and_test_are_classes(tmp_path):
    found = data.load(DataSpec(train=parted(tmp_path, ["train", "test"]), label_column="split"), seed=0)
    assert found.task.labels == ("test", "train")


def test_a_flag_that_is_the_only_label_is_one(tmp_path):
    rows = "".join(f"a question {n},1\nno question {n},0\n" for n in range(20))
    (tmp_path / "flag.csv").write_text("text,is_valid\n" + rows, encoding="utf-8")
    for columns in ({}, {"text_column": "text"}):
        found = data.load(DataSpec(train=str(tmp_path / "flag.csv"), **columns), seed=0)
        assert found.task.labels == ("0", "1") and not any("parted" in line for line in found.findings)


@pytest.mark.parametrize(("name", "flag"), [("is_valid", "TrueFalse"), ("is_train", "01")])
def test_a_flag_parts_rows(tmp_path, name, flag):
    path = parted(tmp_path, ["train", "test"], name=name)
    yes, no = ("True", "False") if flag == "TrueFalse" else ("0", "1")
    text = (tmp_path / "all.csv").read_text().replace(",test", f",{yes}").replace(",train", f",{no}")
    (tmp_path / "all.csv").write_text(text)
    assert len(data.load(DataSpec(train=path, label_column=name), seed=0).task.labels) == 2
    found = data.load(DataSpec(train=path), seed=0)
    assert len(found.train) == len(found.eval) == 20
    assert all(text.startswith("text of train") for text in found.train.texts)
