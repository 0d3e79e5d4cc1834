"""Labels of whole texts: scores, and several labels an example."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from data_files import csv_of, kind_of, scored, written
from qtinker import data
from qtinker.data import scores, several
from qtinker.data.labels import perhaps_missing
from qtinker.errors import InputError
from qtinker.spec import DataSpec

# --- regression --------------------------------------------------------------------------------------------------


def test_scores_are_found_out(tmp_path):
    loaded = data.load(DataSpec(train=scored(tmp_path)), seed=0)
    assert loaded.task.type == "regression" and loaded.task.pair and loaded.task.labels == ()
    assert any(line.startswith("task: regression") for line in loaded.findings)
    assert "numbers from 0 to 3.9, mean 1.95" in loaded.findings
    assert loaded.train.labels.dtype == np.float32 and len(loaded.eval) == 10  # one of each tenth of the numbers
    assert sorted(np.round(loaded.eval.labels * 10) // 4) == list(range(10))


def test_scores_without_a_known_name_commas_and_gaps(tmp_path):
    values = [f'"{i},5"' if i else "" for i in range(40)]
    path = scored(tmp_path, name="wert", values=values)
    loaded = data.load(DataSpec(train=path), seed=0, task="regression")
    known = np.sort(np.concatenate([loaded.train.labels, loaded.eval.labels]))
    assert known[:3].tolist() == [1.5, 2.5, 3.5] and np.isnan(known[-1])
    assert "training examples have no label: without a teacher's answers they teach nothing" in "".join(loaded.warnings)


@pytest.mark.parametrize("digits", [1, 3])
def test_decimal_commas_are_numbers_and_no_lists(tmp_path, digits):
    values = [f'"{i % 50 / 10:.{digits}f}"'.replace(".", ",") for i in range(120)]
    assert kind_of(scored(tmp_path, values=values)).task_type == "regression"
    stars = [f'"{i % 5 + 1},0"' for i in range(60)]
    assert kind_of(scored(tmp_path, name="label", values=stars)).task_type == "classification"
    several = [f'"{",".join(str(n) for n in range(i % 3, 3))}"' for i in range(60)]  # 0,1,2 and 1,2 and 2
    assert kind_of(scored(tmp_path, name="labels", values=several)).task_type == "multi-label"


def test_numbers_of_labels_and_numbers_with_a_decimal_comma_are_told_apart(tmp_path):
    labels = [f'"{i % 28},{i % 28 + i % 5 + 1}"' if i % 4 == 0 and i % 28 < 22 else i % 28 for i in range(200)]
    found = kind_of(scored(tmp_path, name="labels", values=labels))
    assert found.task_type == "multi-label" and len(found.labels) == 28
    halves = [f'"{i % 10},5"' if i % 2 else i % 10 for i in range(200)]  # in order as labels are, but for 7,5 and 9,5
    tenths = [f'"{i % 40 // 10},{i % 10}"' if i % 10 else i % 40 // 10 for i in range(200)]
    quarters = [f'"0,{i}"' if i % 10 else i // 100 for i in range(1, 101)]
    assert kind_of(scored(tmp_path, values=tenths)).task_type == "regression"
    assert kind_of(scored(tmp_path, values=quarters)).task_type == "regression"
    assert not several.are_numbered([str(cell).strip('"') for cell in halves])
    assert any("if these are several labels each: --task multi-label" in line
               for line in kind_of(scored(tmp_path, values=tenths)).findings)  # fmt: skip


def test_many_whole_numbers_are_classes_and_the_other_task_is_named(tmp_path):
    path = written(tmp_path / "n.csv", "text,score\n" + "".join(f"this is text {i},{i % 40}\n" for i in range(120)))
    loaded = data.load(DataSpec(train=path), seed=0)
    assert (
        "task: classification (by the labels in 'score'; for numbers on a scale: --task regression)" in loaded.findings
    )
    assert not any("misspelt" in line for line in loaded.warnings)


def test_a_decimal_comma_is_found_under_any_name(tmp_path):
    values = [f'"{i},5"' for i in range(40)]
    found = kind_of(scored(tmp_path, name="price", values=values))
    assert found.task_type == "regression" and found.columns.label == "price"


def test_commas_between_thousands_are_no_decimal_ones(tmp_path):
    prices = [f'"{900 + 37 * i:,}"' for i in range(60)]
    for task in ("auto", "regression"):
        with pytest.raises(InputError, match=r"such as '1,011', and none in others, such as '900': .* thousands"):
            data.load(DataSpec(train=scored(tmp_path, name="price", values=prices)), seed=0, task=task)
    for fine in (["1,125", "0,5", "2"], ["0,125", "1"], ["1,096", "7,261"], ["1096", "959"]):
        assert scores.scores(fine, "x")[0] == pytest.approx(float(fine[0].replace(",", ".")))


def test_numbers_with_gaps_in_words_are_numbers(tmp_path):
    values = [f"{i / 10}" if i % 5 else "nan" for i in range(60)]
    for more in ({}, {"task": "regression"}):
        loaded = data.load(DataSpec(train=scored(tmp_path, values=values)), seed=0, **more)
        assert loaded.task.type == "regression" and loaded.train.labelled.mean() == pytest.approx(0.8, abs=0.1)


def test_one_and_the_same_number_to_measure_on_is_said(tmp_path):
    held = tmp_path / "held"
    held.mkdir()
    loaded = data.load(DataSpec(train=scored(tmp_path), eval=scored(held, values=["2.5"] * 20)), seed=0,
                       task="regression")  # fmt: skip
    assert any("the same: how well answers follow them" in warning for warning in loaded.warnings)


def test_words_are_no_scores(tmp_path):
    path = scored(tmp_path, name="label", values=["good", "bad"] * 20)
    with pytest.raises(InputError, match=r"no numbers, such as 'good'.*--task classification"):
        data.load(DataSpec(train=path, label_column="label"), seed=0, task="regression")
    with pytest.raises(InputError, match=r"All labels of .* are 2: there is nothing to learn"):
        data.load(DataSpec(train=scored(tmp_path, values=["2.0"] * 40)), seed=0, task="regression")


# --- several labels ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("delimiter", ["|", ";", ","])
def test_labels_in_a_cell(tmp_path, delimiter):
    sets = [["red"], ["red", "blue"], ["green", "blue"], ["green"], ["red", "green", "blue"]]
    rows = [f'this is text {i},"{delimiter.join(sets[i % 5])}"' for i in range(60)]
    loaded = data.load(DataSpec(train=csv_of(tmp_path / "m.csv", "text,labels", rows)), seed=0)
    assert loaded.task.type == "multi-label" and loaded.task.labels == ("blue", "green", "red")
    assert any("several labels, separated by" in line for line in loaded.findings)
    by_text = dict(zip(loaded.train.texts, loaded.train.labels.tolist(), strict=True))
    by_text |= dict(zip(loaded.eval.texts, loaded.eval.labels.tolist(), strict=True))
    assert by_text["this is text 1"] == [1, 0, 1] and by_text["this is text 3"] == [0, 1, 0]


def test_a_class_with_a_comma_in_its_name_is_one_class(tmp_path):
    names = ['"Home, Garden"', '"Toys, Games"', "Food"]
    rows = [f"this is text {i},{names[i % 3]}" for i in range(60)]
    loaded = data.load(DataSpec(train=csv_of(tmp_path / "m.csv", "text,label", rows)), seed=0)
    assert loaded.task.type == "classification" and loaded.task.labels == ("Food", "Home, Garden", "Toys, Games")


def test_lists_empty_lists_and_missing_lists(tmp_path):
    rows = [{"text": f"this is text {i}", "labels": [["a"], ["b", "a"], [], None][i % 4]} for i in range(40)]
    loaded = data.load(DataSpec(train=written(tmp_path / "m.jsonl", "\n".join(map(json.dumps, rows)))), seed=0)
    assert loaded.task.type == "multi-label" and loaded.task.labels == ("a", "b")
    by_text = dict(zip(loaded.train.texts, loaded.train.labels.tolist(), strict=True))
    assert by_text["this is text 2"] == [0, 0] and np.isnan(by_text["this is text 3"]).all()
    with pytest.raises(InputError, match=r"lists.*--task multi-label"):
        data.load(DataSpec(train=str(tmp_path / "m.jsonl")), seed=0, task="classification")


def test_columns_of_0_and_1(tmp_path):
    rows = [f"this is text {i},{i % 2},{i % 3 // 2},{-1 if i == 7 else i % 5 // 4},{i}" for i in range(60)]
    path = csv_of(tmp_path / "m.csv", "comment_text,toxic,insult,threat,id", rows)
    loaded = data.load(DataSpec(train=path), seed=0)
    assert loaded.task.type == "multi-label" and loaded.task.labels == ("toxic", "insult", "threat")
    by_text = dict(zip(loaded.train.texts, loaded.train.labels.tolist(), strict=True))
    assert by_text.get("this is text 4", [0, 0, 1]) == [0, 0, 1] and np.isnan(by_text["this is text 7"]).all()
    named = data.load(DataSpec(train=path, label_column="toxic, threat"), seed=0)
    assert named.task.labels == ("toxic", "threat")
    with pytest.raises(InputError, match=r"labels that the model does not know.*'insult'"):
        data.load(DataSpec(train=path), seed=0, task="multi-label", labels=["toxic", "threat"])


def test_a_label_beside_columns_of_0_and_1_is_told(tmp_path):
    rows = [f"this is text {i},{i % 2},{i % 3 // 2},{i % 5 // 4},{i % 5}" for i in range(60)]
    loaded = data.load(DataSpec(train=csv_of(tmp_path / "m.csv", "text,useful,funny,cool,stars", rows)), seed=0)
    assert loaded.task.labels == ("useful", "funny", "cool")
    assert any("'useful', 'funny', 'cool' are taken for the labels; 'stars' could be it" in line
               for line in loaded.warnings)  # fmt: skip


def test_lists_of_one_label_are_several_or_one_class(tmp_path):
    """As doccano writes the classes of texts; what it tells to do is possible."""
    rows = [{"text": f"this is text {i}", "label": [["a"], ["b"]][i % 2] if i else []} for i in range(40)]
    path = written(tmp_path / "d.jsonl", "\n".join(map(json.dumps, rows)))
    assert data.load(DataSpec(train=path), seed=0).task.type == "multi-label"
    loaded = data.load(DataSpec(train=path), seed=0, task="classification")
    assert loaded.task.labels == ("a", "b") and int((~loaded.train.labelled).sum()) == 1
    given = written(tmp_path / "g.jsonl", "\n".join(map(json.dumps, rows[1:])))
    warned = data.load(DataSpec(train=given), seed=0).warnings
    assert any("exactly one label: for one of several classes use --task classification" in line for line in warned)
    written(tmp_path / "d.jsonl", "\n".join(map(json.dumps, [*rows, {"text": "more", "label": ["a", "b"]}])))
    with pytest.raises(InputError, match="--task multi-label"):
        data.load(DataSpec(train=path), seed=0, task="classification")


def test_a_label_that_never_or_always_applies_is_a_label(tmp_path):
    """Rare labels: none of the first 2,000 rows holds a 1; and a column that is 1 throughout is no column of noes."""
    rows = [f"this is text {i},{i % 2},{i % 3 // 2},{i % 5 // 4},{int(i == 2500)},9" for i in range(3000)]
    path = csv_of(tmp_path / "r.csv", "comment_text,toxic,insult,obscene,threat,length", rows)
    assert data.load(DataSpec(train=path), seed=0).task.labels == ("toxic", "insult", "obscene", "threat")
    few = csv_of(tmp_path / "e.csv", "comment_text,toxic,insult,obscene,threat", [
        "you are bad at it,1,0,1,0", "awful thing to say,1,1,0,0", "no way is that so,1,0,1,0",
    ])  # fmt: skip
    names = ["threat", "toxic", "insult", "obscene"]
    read = data.load_eval(few, task="multi-label", labels=names, unlabelled=True)
    assert read.labels.tolist() == [[0, 1, 0, 1], [0, 1, 1, 0], [0, 1, 0, 1]]


def test_lists_of_0_and_1_are_a_place_a_label(tmp_path):
    hot = [[1, 0, 0], [0, 1, 1], [1, 1, 0], [0, 0, 0]]
    for number, lists in enumerate((hot, [[float(cell) for cell in row] for row in hot])):
        lines = [json.dumps({"text": f"this is text {i}", "labels": lists[i % 4]}) for i in range(40)]
        path = written(tmp_path / f"{number}.jsonl", "\n".join(lines))
        loaded = data.load(DataSpec(train=path), seed=0)
        assert loaded.task.labels == ("0", "1", "2")
        by_text = dict(zip(loaded.train.texts, loaded.train.labels.tolist(), strict=True))
        assert all(row == hot[int(text.split()[-1]) % 4] for text, row in by_text.items())
        named = data.load_eval(path, task="multi-label", labels=["a", "b", "c"])
        assert named.labels[:4].tolist() == hot
    names = [json.dumps({"text": f"this is text {i}", "labels": [1.0, 3] if i % 2 else [3]}) for i in range(40)]
    path = written(tmp_path / "names.jsonl", "\n".join(names))
    assert data.load(DataSpec(train=path), seed=0).task.labels == ("1", "3"), "names that are numbers stay names"


def test_places_of_two_labels_are_told_by_their_order(tmp_path):
    """[0, 1] and [1, 0] would be the same as sets of names; what the training part shows holds for the other too."""
    for name, hot in (("one", [[1, 0], [0, 1]]), ("many", [[1, 0], [0, 1], [1, 1], [0, 0]])):
        lines = [json.dumps({"text": f"this is text {i}", "labels": hot[i % len(hot)]}) for i in range(40)]
        train = written(tmp_path / f"{name}.jsonl", "\n".join(lines))
        held = [json.dumps({"text": f"a held text {i}", "labels": [0, 1]}) for i in range(10)]
        loaded = data.load(DataSpec(train=train, eval=written(tmp_path / "held.jsonl", "\n".join(held))), seed=0)
        assert loaded.task.labels == ("0", "1") and loaded.eval.labels.tolist() == [[0, 1]] * 10
        assert all(row == hot[int(text.split()[-1]) % len(hot)]
                   for text, row in zip(loaded.train.texts, loaded.train.labels.tolist(), strict=True))  # fmt: skip
    sets = [json.dumps({"text": f"this is text {i}", "labels": [[0, 1], [0], [1]][i % 3]}) for i in range(30)]
    path = written(tmp_path / "sets.jsonl", "\n".join(sets))
    assert data.load(DataSpec(train=path), seed=0).train.labels.sum() == pytest.approx(36, abs=1)


def test_vectors_of_labels_in_parquet(tmp_path):
    hot = [[True, False], [True, True], [False, False], [False, True]] * 10
    texts = [f"this is text {i}" for i in range(40)]
    for kind, cells in ((pa.bool_(), hot), (pa.float64(), [[float(cell) for cell in row] for row in hot])):
        table = pa.table({"text": texts, "labels": pa.array(cells, pa.list_(kind)),
                          "vector": pa.array([[0.5, 0.25]] * 40, pa.list_(pa.float64()))})  # fmt: skip
        pq.write_table(table, tmp_path / "a.parquet")
        loaded = data.load(DataSpec(train=str(tmp_path / "a.parquet")), seed=0)
        assert loaded.task.labels == ("0", "1")
        by_text = dict(zip(loaded.train.texts, loaded.train.labels.tolist(), strict=True))
        assert all(row == hot[int(text.split()[-1])] for text, row in by_text.items())


def test_few_cells_fall_into_the_labels_of_a_model(tmp_path):
    path = csv_of(tmp_path / "s.csv", "text,labels", ["hello there you,a;B", "good day to you,c"])
    read = data.load_eval(path, task="multi-label", labels=["a", "b", "c"], unlabelled=True)
    assert read.labels.tolist() == [[1, 1, 0], [0, 0, 1]]


def test_names_in_brackets_are_one_label_each(tmp_path):
    path = csv_of(tmp_path / "b.csv", "text,label", [f"this is text {i},[{'AB'[i % 2]}]" for i in range(20)])
    assert data.load(DataSpec(train=path), seed=0).task.labels == ("[A]", "[B]")


@pytest.mark.parametrize(
    "label", [[[0, 5, "PER"]], [{"start": 0, "end": 5, "labels": ["PER"]}], {"name": {"Anna": [0]}}]
)
def test_spans_of_characters_are_no_labels(tmp_path, label):
    """As doccano, Label Studio and CLUENER write them: every span became a class."""
    lines = [json.dumps({"text": f"Anna has {number}", "label": label}) for number in range(30)]
    with pytest.raises(InputError, match=r"has spans of characters for labels.*a list of words and a list of tags"):
        data.load(DataSpec(train=written(tmp_path / "s.jsonl", "\n".join(lines))), seed=0)


@pytest.mark.parametrize("more", [
    {"spans": [{"start": 0, "end": 4, "label": "ORG"}], "tokens": [{"text": "this", "start": 0, "end": 4, "id": 0}]},
    {"entities": [{"id": 1, "label": "ORG", "start_offset": 0, "end_offset": 4}], "relations": []},
])  # fmt: skip
def test_what_tools_for_marking_texts_write_beside_spans_is_no_label(tmp_path, more):
    rows = [{"text": f"this is text {i}", **more, "answer": ["accept", "reject"][i % 2]} for i in range(40)]
    path = written(tmp_path / "p.jsonl", "\n".join(map(json.dumps, rows)))
    with pytest.raises(InputError, match="has spans of characters for labels"):
        data.load(DataSpec(train=path), seed=0)
    assert any("spans of characters" in line for line in data.inspect(DataSpec(train=path)).warnings)


def test_minus_one_beside_numbered_classes_is_told():
    assert len(perhaps_missing(("-1", "0", "1", "2"))) == 1
    assert not perhaps_missing(("-1", "0", "1")) and not perhaps_missing(("-1", "0", "1", "3"))
