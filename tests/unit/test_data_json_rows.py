"""Forms of JSON in which lists of examples stand."""

from __future__ import annotations

import json

import pytest
from qtinker import data
from qtinker.spec import DataSpec

ROWS = [{"text": f"this is text {i}", "label": "ab"[i % 2]} for i in range(40)]


def loaded(tmp_path, content, indent=None):
    (tmp_path / "o.json").write_text(json.dumps(content, indent=indent))
    return data.load(DataSpec(train=str(tmp_path / "o.json")), seed=0)


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("content", [
    {str(number): row for number, row in enumerate(ROWS)},
    {"columns": ["text", "label"], "index": [*range(40)], "data": [[*row.values()] for row in ROWS]},
    {"intents": [{"tag": tag, "patterns": [row["text"] for row in ROWS if row["label"] == tag], "responses": ["ok"]}
                 for tag in "ab"]},
])  # fmt: skip
def test_a_row_an_example(tmp_path, content, indent):
    found = loaded(tmp_path, content, indent)
    assert {*found.train.texts, *found.eval.texts} == {row["text"] for row in ROWS}
    assert found.task.labels == ("a", "b")
    assert found.train.labels.tolist() == [int(text.split()[-1]) % 2 for text in found.train.texts]


def test_parts_by_name(tmp_path):
    found = loaded(tmp_path, {"train": ROWS[:30], "test": ROWS[30:]})
    assert [*found.train.texts] == [row["text"] for row in ROWS[:30]] and len(found.eval) == 10
