"""Tables in memory: read as the file would be that holds the same, kept so that a run can be resumed."""

from __future__ import annotations

from pathlib import Path

import datasets
import pandas as pd
import pyarrow as pa
import pytest
import qtinker
import task_data
from qtinker import api, tables
from qtinker.compare.verbs import given
from qtinker.errors import InputError
from qtinker.options import distill_options

ROWS = [
    {"text": f"The film number {i} was {word}.", "label": label}
    for i in range(20) for word, label in (("good", "positive"), ("bad", "negative"))
]  # fmt: skip
TABLE = pd.DataFrame(ROWS)


def as_dataset(rows):
    numbers = [int(row["label"] == "positive") for row in rows]
    kinds = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["negative", "positive"])}
    )
    return datasets.Dataset.from_dict({"text": [row["text"] for row in rows], "label": numbers}, features=kinds)


@pytest.mark.parametrize(
    "table",
    [
        ROWS,
        TABLE,
        TABLE.set_index(pd.Index(range(100, 140))),  # as after a choice of rows
        TABLE.assign(label=TABLE["label"].astype("category")),
        pa.table(TABLE),
        as_dataset(ROWS),
        as_dataset(ROWS[::-1]).select(range(39, -1, -1)),
    ],
    ids=["rows", "pandas", "pandas-index", "pandas-category", "arrow", "dataset", "dataset-chosen"],
)
def test_a_table_is_read_as_its_file_is(table, tmp_path):
    TABLE.to_csv(tmp_path / "rows.csv", index=False)
    expected, found = api.data(tmp_path / "rows.csv"), api.data(table)
    for part in ("task", "columns", "rows", "train", "eval", "classes", "examples", "warnings"):
        assert found[part] == expected[part], part


def test_missing_labels_and_mixed_ones_are_as_in_a_file():
    halved = TABLE.assign(label=[1 if i % 4 == 0 else 0 if i % 4 == 1 else None for i in range(40)])
    found = api.data(halved)
    assert [each["label"] for each in found["classes"]] == ["0", "1"]
    assert found["unlabelled"] == 20
    mixed = api.data(TABLE.assign(label=[1, "x"] * 20))
    assert [each["label"] for each in mixed["classes"]] == ["1", "x"]
    uneven = [{"text": "Good.", "label": 1}, {"text": "Unknown."}, {"label": 0, "text": "Bad."}] * 5
    assert api.data(uneven)["unlabelled"] == 5


def test_a_table_is_kept_once(qtinker_home):
    paths = {tables.as_file(table) for table in (TABLE, TABLE.copy(), TABLE.rename(index=str))}
    [path] = paths
    assert Path(path).parent == qtinker_home / "data"
    assert [file.name for file in (qtinker_home / "data").iterdir()] == [Path(path).name]


def test_every_place_of_a_spec_takes_a_table(qtinker_home):
    texts = TABLE["text"]
    spec = api._given(
        None,
        {"teacher": "a", "student": "b", "data": TABLE, "eval_data": ROWS, "unlabelled": [texts, "more.txt"]},
        distill_options(), {},
    )  # fmt: skip
    named = [spec.data.train, spec.data.eval, spec.data.unlabelled[0]]
    assert all(Path(name).is_file() and Path(name).parent == qtinker_home / "data" for name in named)
    assert spec.data.unlabelled[1] == "more.txt"
    assert spec.data.train == api.as_spec({"student": {"model": "b"}, "data": {"train": TABLE}}).data.train
    assert spec.data.train == given("compare", {"data": TABLE}).data.train
    [text] = api.as_spec({"student": {"model": "b"}, "data": {"train": "a.csv", "unlabelled": texts}}).data.unlabelled
    assert text == spec.data.unlabelled[0]


def test_a_model_answers_and_is_measured_on_a_table(qtinker_home, tmp_path):
    task_data.kept(qtinker_home / "bert_models" / "finetuned" / "answers", "regression")
    file = task_data.write(tmp_path, "regression", 9)
    table = pd.read_csv(file)
    assert qtinker.predict("answers", data=table) == qtinker.predict("answers", data=file)
    quality = [qtinker.evaluate("answers", data=each, isolate=False)["models"][0]["metrics"] for each in (file, table)]
    assert quality[0] == quality[1]


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (TABLE.assign(picture=[object()] * 40), "The column 'picture' of the table holds object"),
        (pd.concat([TABLE, TABLE], axis=1), "Two columns of the table are called 'label'"),
        (datasets.DatasetDict(train=as_dataset(ROWS), test=as_dataset(ROWS)), r"2 data sets: train, test.*\['train'\]"),
        (TABLE[:0], "holds no rows"),
    ],
    ids=["objects", "twice", "several", "empty"],
)  # fmt: skip
def test_what_no_file_can_hold_is_refused(table, words, qtinker_home):
    with pytest.raises(InputError, match=words):
        api.data(table)
    assert not list(qtinker_home.glob("data/.*"))
