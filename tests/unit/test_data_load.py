"""Loading, splitting and the words about what is odd in the data."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from qtinker import api, data
from qtinker.data.split import stratified_sample, stratified_split, text_keys
from qtinker.errors import InputError
from qtinker.spec import DataSpec

APP = Path(__file__).resolve().parents[2] / "app"


def written(path, rows, header=("text", "label")):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return str(path)


def rows(count=40, labels="ab"):
    return [(f"this is text number {i}", labels[i % len(labels)]) for i in range(count)]


def test_a_class_that_may_mean_no_label_is_told(tmp_path):
    path = written(tmp_path / "a.csv", rows(40, ["good", "NA", "null"]))
    loaded = data.load(DataSpec(train=path), seed=1)
    assert loaded.task.labels == ("NA", "good")
    assert "'NA' is read as a class: where it means that there is no label, leave the cell empty" in loaded.findings
    known = data.load(DataSpec(train=path), seed=1, labels=["good", "NA"])
    assert not any("leave the cell empty" in line for line in known.findings)


def test_texts_without_labels_are_the_teachers_to_teach(tmp_path):
    path = written(tmp_path / "a.csv", rows(40, ["a", "b", ""]))
    told = data.load(DataSpec(train=path), seed=1, labels=["a", "b"], unlabelled=True).warnings
    assert any(
        text.endswith("training examples have no label: the teacher's answers alone teach them.") for text in told
    )


def test_columns_of_evaluation_data_may_differ_in_case(tmp_path):
    train = written(tmp_path / "train.csv", rows())
    held = written(tmp_path / "eval.csv", rows(4), header=("Text", "Label"))
    found = data.load(DataSpec(train=train, eval=held), seed=1)
    assert found.eval.labels.tolist() == [0, 1, 0, 1]


def test_load_two_files(tmp_path):
    train = written(tmp_path / "train.csv", rows(40, ["10", "9", ""]))
    held = written(tmp_path / "eval.csv", [("one more text here", "9.0"), ("and another text here", "10")])
    loaded = data.load(DataSpec(train=train, eval=held), seed=1)
    assert loaded.task.labels == ("9", "10") and loaded.task.type == "classification" and not loaded.task.pair
    assert loaded.train.labels[:4].tolist() == [1, 0, -100, 1]
    assert loaded.eval.labels.tolist() == [0, 1] and list(loaded.eval.texts) == [
        "one more text here", "and another text here",
    ]  # fmt: skip
    assert (
        "13 of 40 training examples have no label: without a teacher's answers they teach nothing." in loaded.warnings
    )
    assert "40 training and 2 evaluation examples" in loaded.findings


def test_split_off_by_class_and_seed(tmp_path):
    spec = DataSpec(train=written(tmp_path / "a.csv", rows(100, "aaab")), eval_fraction=0.2)
    one, same, other = (data.load(spec, seed=seed) for seed in (1, 1, 2))
    assert np.bincount(one.eval.labels).tolist() == [15, 5] and len(one.train) == 80
    assert list(one.eval.texts) == list(same.eval.texts) != list(other.eval.texts)
    assert not set(one.eval.texts) & set(one.train.texts)


def test_split_by_hand():
    labels = np.array([0, 0, 0, 1, 1, 2, -100, 0, -100])
    keys = np.array([0, 1, 2, 3, 4, 5, 6, 0, 3])  # 0 and 7 are one text; 8 is the unlabelled twin of 3
    for seed in range(20):
        first, second = stratified_split(labels, keys, 0.1, seed=seed)
        assert sorted([*first, *second]) == list(range(9))
        assert np.bincount(labels[second][labels[second] >= 0], minlength=3)[1:].tolist() == [1, 0]
        assert (0 in second) == (7 in second) and (3 in second) == (8 in second)
        assert 5 in first and 6 in first
        assert {0, 1} <= set(labels[first]) and {0, 1} <= set(labels[second])


def test_sample_keeps_shares_and_every_class():
    labels = np.array([0] * 80 + [1] * 19 + [2])
    chosen = stratified_sample(labels, 20, seed=0)
    assert len(set(chosen)) == 20 and np.all(np.diff(chosen) > 0)
    counts = np.bincount(labels[chosen])
    assert counts[2] == 1 and 14 <= counts[0] <= 16
    assert stratified_sample(labels, 500, seed=0).tolist() == list(range(100))


def test_text_keys_disregard_case_and_spacing():
    assert text_keys(["A b", "a  B", "c"], None).tolist() == [0, 0, 1]
    assert text_keys(["a", "a", "a b"], ["b", "c", ""]).tolist() == [0, 1, 2]


def test_max_examples(tmp_path):
    loaded = data.load(DataSpec(train=written(tmp_path / "a.csv", rows(100)), max_examples=10), seed=0)
    assert len(loaded.train) == 10 and len(loaded.eval) == 10
    assert "10 of 90 training examples used (max_examples)" in loaded.findings


def test_labels_to_measure_on_that_are_others_altogether_are_refused(tmp_path):
    train = written(tmp_path / "train.csv", rows(40))
    held = written(tmp_path / "eval.csv", [("new", "0"), ("newer", "1")])
    with pytest.raises(InputError, match=r"No label of .*eval.csv occurs in the training data: '0', '1'"):
        data.load(DataSpec(train=train, eval=held), seed=0)
    assert any("No label of" in line for line in data.inspect(DataSpec(train=train, eval=held)).warnings)


def test_a_misspelt_label_is_told(tmp_path):
    labels = ["positive"] * 9 + ["negative"] * 9 + ["postive", "else"]
    train = written(tmp_path / "train.csv", [(f"text {number}", label) for number, label in enumerate(labels)])
    held = written(tmp_path / "eval.csv", [("new", "positive"), ("newer", "negative")])
    warnings = data.load(DataSpec(train=train, eval=held), seed=0).warnings
    assert "'postive' looks like 'positive' misspelt." in warnings
    assert not any("'else' looks like" in line for line in warnings)


@pytest.mark.parametrize("end", ["", '{"text": "b', '{"text": "b", "label": 1},'])
def test_a_json_file_that_was_cut_is_told(tmp_path, end):
    path = tmp_path / "cut.json"
    path.write_text('[{"text": "a", "label": 0},' + end)
    with pytest.raises(InputError) as error:
        data.load(DataSpec(train=str(path)), seed=0)
    assert (
        "is not valid JSON" in error.value.message
        and error.value.fix == "It ends in the middle: fetch or save it again, whole."
    )


def test_odd_data_is_reported(tmp_path):
    train = written(
        tmp_path / "train.csv",
        [*rows(20), ("", "a"), ("  ", "b"), ("a rare thing", "c"), ("This is text number 0", "b"), ("two sides", "a"),
         ("two sides", "b")],
    )  # fmt: skip
    held = written(tmp_path / "eval.csv", [("this is text number 3", "b"), ("never met", "d"), ("new one", "")])
    warnings = data.load(DataSpec(train=train, eval=held), seed=0).warnings
    assert warnings == [
        "1 of 3 evaluation examples are in the training data too, such as 'this is text number 3': the score flatters.",
        f"{train}: 2 rows without text were left out.",
        "1 of 3 evaluation examples have no label and don't count.",
        "Only one training example of: 'c'.",
        "In the evaluation data but never in training: 'd'.",
        "Not in the evaluation data, so not measured: 'a', 'c'.",
        "2 training examples repeat another's text.",
        "2 texts occur with different labels, such as 'this is text number 0'.",
    ]


def test_words_where_numbers_are_to_be_learned(tmp_path):
    spec = DataSpec(train=written(tmp_path / "a.csv", rows(40, ["good", "bad"])))
    said = r"--task regression learns numbers, and 'label' of .* holds words, such as 'good'"
    with pytest.raises(InputError, match=said):
        data.load(spec, seed=0, task="regression")
    seen = data.load(spec, seed=0, task="regression", unlabelled=True)
    assert not any("holds words" in line for line in seen.warnings), "a trained teacher needs no numbers"


def test_equal_texts_stay_on_one_side(tmp_path):
    spec = DataSpec(train=written(tmp_path / "a.csv", rows(40) * 3), eval_fraction=0.3)
    loaded = data.load(spec, seed=5)
    assert not set(loaded.eval.texts) & set(loaded.train.texts)
    assert len(loaded.eval) == 36


def test_a_teachers_labels_give_the_order(tmp_path):
    path = written(tmp_path / "a.csv", rows(40, ["neg", "pos"]))
    loaded = data.load(DataSpec(train=path), seed=0, labels=["pos", "neutral", "neg"])
    assert loaded.task.labels == ("pos", "neutral", "neg") and set(loaded.train.labels) == {0, 2}
    with pytest.raises(InputError, match="'neg'"):
        data.load(DataSpec(train=path), seed=0, labels=["pos", "neutral"])


def test_unlabelled_text_needs_a_teachers_labels_and_labelled_evaluation(tmp_path):
    text = tmp_path / "a.txt"
    text.write_text("One text here.\nAnd one more there.\n")
    with pytest.raises(InputError, match=r"No column of .*a.txt looks like a label"):
        data.load(DataSpec(train=str(text)), seed=0, task="classification")
    with pytest.raises(InputError, match="too few labelled examples"):
        data.load(DataSpec(train=str(text)), seed=0, labels=["a", "b"])
    held = written(tmp_path / "eval.csv", rows(4))
    loaded = data.load(DataSpec(train=str(text), eval=held), seed=0, labels=["a", "b"])
    assert loaded.train.labels.tolist() == [-100, -100] and loaded.eval.labels.tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize(
    ("train", "held", "message"),
    [
        ([("one text", "a"), ("two texts", "a")], None, "All labels of .* are 'a'"),
        ([("one text", "a"), ("two texts", "b")], None, "too few labelled examples"),
        (rows(), [("some text", "")], "none of its examples has a label"),
        ([("", "a"), ("", "b")], None, "Every cell of 'text'"),
    ],
)
def test_data_that_cannot_be_used_is_refused(tmp_path, train, held, message):
    paths = [part and written(tmp_path / f"{i}.csv", part) for i, part in enumerate((train, held))]
    with pytest.raises(InputError, match=message):
        data.load(DataSpec(train=paths[0], eval=paths[1]), seed=0)


def test_a_preview_warns_of_what_a_training_would_refuse(tmp_path):
    path = written(tmp_path / "a.csv", [("one text", "a"), ("two texts", "b")])
    told = api.data(path)["warnings"]
    assert (
        f"There is nothing to evaluate on in {path}: too few labelled examples to split some off. Give labelled "
        "--eval-data."
    ) in told


def test_evaluation_data_in_another_format(tmp_path):
    train = written(tmp_path / "a.csv", rows())
    nameless = tmp_path / "b.tsv"
    nameless.write_text("some text of mine\ta\nno such text was there\tb\n")
    assert data.load(DataSpec(train=train, eval=str(nameless)), seed=0).eval.labels.tolist() == [0, 1]
    other = tmp_path / "c.jsonl"
    other.write_text(json.dumps({"words": "some text", "label": "a"}))
    with pytest.raises(InputError, match=r"no column 'text', which the training.*'label'; call them as the tr"):
        data.load(DataSpec(train=train, eval=str(other)), seed=0)


def test_load_eval(tmp_path):
    path = written(tmp_path / "a.csv", rows(6, ["neg", "pos"]))
    assert data.load_eval(path, labels=["pos", "neg"]).labels.tolist() == [1, 0] * 3
    assert data.load_eval(path).labels.tolist() == [0, 1] * 3
    with pytest.raises(InputError, match="takes pairs of texts"):
        data.load_eval(path, labels=["pos", "neg"], pair=True)
    with pytest.raises(InputError, match="task 'juggling' is unknown"):
        data.load_eval(path, task="juggling")


def test_a_hub_data_set_that_cannot_be_reached_is_named():
    with pytest.raises(InputError, match="There is no file no-one/nothing, and it can't be read as a data set of the"):
        data.load(DataSpec(train="no-one/nothing"), seed=0)


def test_inspect(tmp_path):
    path = written(tmp_path / "a.csv", rows(40, "aab"))
    report = data.inspect(DataSpec(train=path)).to_dict()
    assert report["columns"] == {"text": "text", "text_pair": None, "label": "label"}
    assert (report["rows"], report["train"], report["eval"], report["unlabelled"]) == (40, 36, 4, 0)
    assert report["classes"] == [{"label": "a", "train": 24, "eval": 3}, {"label": "b", "train": 12, "eval": 1}]
    assert report["lengths"]["unit"] == "words" and report["lengths"]["percentiles"]["p50"] == 5
    assert [example["label"] for example in report["examples"]] == ["a", "b", "a", "b", "a"]
    json.dumps(report)


def test_the_package_is_free_of_torch():
    code = (
        "import sys, qtinker.data, qtinker.data.sample, qtinker.data.report;"
        "print([m for m in ('torch', 'transformers', 'datasets', 'pyarrow', 'sklearn') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=APP, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.real_data
def test_real_data(real_data):
    rte = data.load(DataSpec(train=str(real_data / "rte/train.tsv"), eval=str(real_data / "rte/dev.tsv")), seed=0)
    assert rte.task.pair and rte.task.labels == ("entailment", "not_entailment")
    assert (len(rte.train), len(rte.eval)) == (2490, 277)
    assert rte.eval.pairs[0] == "Christopher Reeve had an accident." and rte.eval.labels[0] == 1
    banking = data.load_eval(str(real_data / "banking77/test.csv"))
    assert len(banking) == 3080 and banking.labels.max() == 76
    with pytest.raises(InputError, match=r"look like scores \(0 to 5.*--task regression"):
        data.load(DataSpec(train=str(real_data / "stsb/train.tsv")), seed=0, task="classification")
