"""What Python callers give in place of names, paths and texts: taken where it means one, else refused in words."""

from __future__ import annotations

from pathlib import Path

import pytest
from qtinker import api
from qtinker.compare.spec import SweepSpec
from qtinker.devices import pick_device
from qtinker.errors import InputError, SpecError
from qtinker.predict import as_examples
from qtinker.spec import RunSpec

pd = pytest.importorskip("pandas")
TABLE = pd.DataFrame({"text": ["Good.", "Bad."], "label": [1, 0]})
TOO_LONG = "x" * 300


def test_a_table_is_no_path_of_text_or_of_a_model():
    for verb in (lambda: api.trim("a", text=TABLE), lambda: api.import_model(TABLE), lambda: api.run(TABLE)):
        with pytest.raises(InputError, match="found DataFrame") as caught:
            verb()
        assert 'to_csv("data.csv", index=False)' in str(caught.value)


def test_what_is_neither_file_nor_table_is_told_what_is():
    for value in ([], {"text": ["Good."]}, [1, 2]):
        with pytest.raises(SpecError, match=r"data.train: expected text, found (list|dict).*or give rows"):
            api.data(value)


def test_what_is_no_name_is_refused():
    for value, words in ((None, r"nothing \(None\)"), (5, "int")):
        with pytest.raises(InputError, match=f"Expected a name or a path, found {words}"):
            api.predict(value, ["a"])
        with pytest.raises(InputError, match=f"Expected a name or several, found {words}"):
            api.evaluate(value, data="sample")


@pytest.mark.parametrize("name", [TOO_LONG, f"folder/{TOO_LONG}/file", f"{TOO_LONG}.csv", "é" * 130])
def test_a_name_that_no_file_system_takes_is_refused(name):
    for verb in (lambda: api.data(name), lambda: api.predict(name, ["a"]), lambda: api.import_model(name)):
        with pytest.raises(InputError, match="is too long for a name or a path"):
            verb()


def test_texts_are_not_the_names_of_a_tables_columns():
    for texts in (TABLE, {"text": ["Good."]}, 5):
        with pytest.raises(InputError, match="Expected texts, found"):
            as_examples(texts)
    assert list(as_examples(TABLE["text"]).texts) == ["Good.", "Bad."]


def test_paths_count_as_text_anywhere_in_a_spec():
    spec = RunSpec.parse({
        "teacher": {"model": Path("a"), "also": [Path("b")]}, "student": {"model": Path("c")},
        "data": {"train": Path("d.csv"), "unlabelled": [Path("e.txt"), "f.txt"]},
    })  # fmt: skip
    assert (spec.teacher.model, spec.teacher.also, spec.student.model) == ("a", ["b"], "c")
    assert (spec.data.train, spec.data.unlabelled) == ("d.csv", ["e.txt", "f.txt"])


def test_a_pair_to_compare_may_come_as_two_names():
    spec = SweepSpec.parse({"data": {"train": "sample"}, "custom_pairs": [("a", "b"), ["c", Path("d")], "e,f"]})
    assert spec.custom_pairs == ["a,b", "c,d", "e,f"]


@pytest.mark.parametrize("device", ["gpu", "tpu", "cuda0", "CPU", ""])
def test_a_device_of_another_name_is_refused_with_the_right_ones(device):
    with pytest.raises(InputError, match=r"There is no device .* Use auto, cpu, cuda, cuda:1 .* or mps"):
        pick_device(device)


def test_counts_below_one_are_refused():
    for wrong in ({"batch_size": 0}, {"batch_size": -1}, {"max_examples": -5}, {"max_examples": 0}, {"threads": -1}):
        with pytest.raises(InputError, match="whole numbers from 1 on"):
            api.evaluate("a", data="sample", **wrong)
