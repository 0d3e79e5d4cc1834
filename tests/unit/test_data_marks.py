"""Labels in the objects that tools for marking texts write."""

from __future__ import annotations

import csv
import json

import pytest
from qtinker import data
from qtinker.errors import InputError
from qtinker.spec import DataSpec


def loaded(tmp_path, rows):
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    return data.load(DataSpec(train=str(tmp_path / "rows.json")), seed=0)


def studio(number, value, *, skipped=False):
    mark = {"value": value, "from_name": "mood", "to_name": "text"}
    annotations = [{"result": [], "was_cancelled": True}] * skipped + [{"result": [mark], "was_cancelled": False}]
    return {
        "id": number,
        "annotations": annotations,
        "data": {"text": f"this is text {number}"},
        "meta": {},
        "project": 1,
    }


def test_label_studios_choices_are_labels(tmp_path):
    rows = [studio(i, {"choices": [["Good", "Bad"][i % 2]]}, skipped=i == 3) for i in range(40)]
    rows[5]["annotations"] = []
    found = loaded(tmp_path, rows)
    assert found.task.type == "classification" and found.task.labels == ("Bad", "Good")
    assert int(found.train.labelled.sum() + found.eval.labelled.sum()) == 39
    several = [studio(i, {"choices": ["Good", "Bad"][: 1 + i % 2]}) for i in range(40)]
    assert loaded(tmp_path, several).task.type == "multi-label"


def test_label_studios_spans_are_refused_with_what_to_write(tmp_path):
    with pytest.raises(InputError, match=r"spans of characters for labels.*CoNLL columns"):
        loaded(tmp_path, [studio(i, {"start": 0, "end": 4, "labels": ["X"]}) for i in range(40)])


def test_flags_by_name_are_labels(tmp_path):
    texts = [f"this is text {i}" for i in range(40)]
    rows = [{"text": text, "cats": {"POS": float(i % 2), "NEG": 1.0 - i % 2}} for i, text in enumerate(texts)]
    found = loaded(tmp_path, rows)
    assert found.task.type == "classification" and found.task.labels == ("NEG", "POS")
    rows = [{"text": text, "cats": {"rude": i % 2 == 0, "toxic": i % 3 == 0}} for i, text in enumerate(texts)]
    found = loaded(tmp_path, rows)
    assert found.task.type == "multi-label" and found.task.labels == ("rude", "toxic")
    assert not all(found.train.labels.any(axis=1)), "none of them is an answer too"


@pytest.mark.parametrize(("both", "one", "none"), [
    ("<c#><java>", "<c#>", ""), ("{'java', 'c#'}", "{'c#'}", "set()"), ("('c#', 'java')", "('c#',)", "()"),
    ("{'c#': 1, 'java': True}", "{'c#': 1, 'java': 0}", "{'c#': 0, 'java': 0}"),
])  # fmt: skip
def test_tags_and_sets_in_cells_are_several_labels(tmp_path, both, one, none):
    with (tmp_path / "a.csv").open("w", newline="") as file:
        rows = [(f"this is text {i}", (both, one, none)[i % 3]) for i in range(60)]
        csv.writer(file).writerows([("text", "tags"), *rows])
    found = data.load(DataSpec(train=str(tmp_path / "a.csv")), seed=0)
    assert found.task.type == "multi-label" and found.task.labels == ("c#", "java")
    assert found.train.labels[:2].tolist() == [[1, 1], [1, 0]]
    (tmp_path / "few.csv").write_text(f'text,tags\nthis is one,"{one}"\nthis is another,"{one}"\n')
    assert data.load_eval(str(tmp_path / "few.csv"), labels=["c#", "java"], task="multi-label").labels[0].tolist() == [
        1,
        0,
    ]
    (tmp_path / "odd.csv").write_text("text,tags\n" + f'this is one,"{one}"\n' * 50 + "this is another,c#\n")
    found = data.load_eval(str(tmp_path / "odd.csv"), labels=[one, "c#"], task="classification")
    assert found.labelled.all(), "a class that is written so"


def test_choices_of_prodigy_are_labels(tmp_path):
    rows = [
        {"text": f"this is text {i}", "options": [{"id": "A"}, {"id": "B"}], "_input_hash": 1, "accept": ["AB"[i % 2]],
         "answer": "accept"} for i in range(40)
    ]  # fmt: skip
    assert loaded(tmp_path, rows).task.labels == ("A", "B")
