"""Options are the spec's fields, no more and no less, and come back as the data of a RunSpec."""

from __future__ import annotations

import pytest
import qtinker
from qtinker.errors import InputError, SpecError
from qtinker.options import distill_options, finetune_options, in_options, method_options, to_data
from qtinker.presets import presets
from qtinker.spec import METHODS, DataSpec, RunSpec, StudentSpec, TaskSpec, TeacherSpec, TrainingSpec


def by_flag(flag: str):
    return next(each for each in distill_options() if flag in each.flags)


def test_every_setting_is_an_option():
    parts = {
        "teacher": TeacherSpec,
        "student": StudentSpec,
        "data": DataSpec,
        "task": TaskSpec,
        "training": TrainingSpec,
    }
    wanted = {f"{part}.{name}" for part, spec in parts.items() for name in spec.model_fields}
    wanted |= {f"method.{name}" for method in METHODS.values() for name in method.model_fields}
    wanted |= set(RunSpec.model_fields) - {*parts, "method", "version"} | {"preset"}
    assert {each.field for each in distill_options()} == wanted


def test_flags_are_unique():
    for options in (distill_options(), finetune_options()):
        flags = [flag for each in options for flag in each.flags]
        assert len(flags) == len(set(flags))


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("--lr", ["more than 0", "at most 1", "[default: 5e-5]"]),
        ("--seed", ["less than 4294967296", "[default: 42]"]),
        ("--beta", ["Methods: patient.", "at least 0", "[default: 1]"]),
        ("--temperature", ["[default: logit 2, patient 2, feature 1, relations 2, triple 2]"]),
        ("--layer-mapping", ["Methods: patient, feature.", "patient skip, feature uniform"]),
        ("--student-layers", ["0,2,4"]),
    ],
)
def test_help_says_range_default_and_methods(flag, words):
    text = by_flag(flag).help
    assert [word for word in words if word not in text] == []


def test_what_is_left_out_stays_out():
    options = distill_options()
    values = {"teacher__model": "t", "student__model": "s", "data__train": "x.csv", "training__learning_rate": 1e-4}
    data = to_data(options, values)
    assert data == {
        "teacher": {"model": "t"}, "student": {"model": "s"}, "data": {"train": "x.csv"},
        "training": {"learning_rate": 1e-4}, "method": {"name": "logit"},
    }  # fmt: skip
    assert RunSpec.parse(data).method.temperature == 2.0
    assert RunSpec.parse(to_data(options, {**values, "method__name": "feature"})).method.temperature == 1.0


def test_lists_and_mappings_are_written_as_text():
    values = {
        "teacher__model": "t", "student__layers": "0,2", "data__train": "x", "method__name": "patient",
        "method__layer_mapping": "1:2,2:4", "quantize": ["int8-dynamic", "int4-weight-only"],
    }  # fmt: skip
    spec = RunSpec.parse(to_data(distill_options(), values))
    assert spec.student.layers == [0, 2]
    assert spec.method.layer_mapping == [(1, 2), (2, 4)]
    assert [each.scheme for each in spec.quantize] == ["int8-dynamic", "int4-weight-only"]


def test_an_option_of_another_method_is_refused():
    with pytest.raises(InputError, match="--beta is no setting of the method logit; it belongs to patient"):
        to_data(distill_options(), {"method__beta": 3.0})
    with pytest.raises(InputError, match="no setting of the method logit; it belongs to patient and feature"):
        to_data(distill_options(), {"method__layer_mapping": "skip"})


@pytest.mark.parametrize(
    ("verb", "name", "fix"),
    [
        (qtinker.distill, "no_control", "Write control=False."),
        (qtinker.finetune, "no_max_steps", "Did you mean max_steps?"),
        (qtinker.compare, "no_download", "Write download=False."),
        (qtinker.compress, "custom_pair", "Did you mean custom_pairs?"),
    ],
)
def test_a_switch_is_one_setting_which_is_not_turned_around(verb, name, fix):
    with pytest.raises(InputError, match=f"^There is no setting '{name}'.") as told:
        verb(data="x.csv", **{name: True})
    assert told.value.fix == fix


def test_problems_are_named_by_option():
    data = to_data(distill_options(), {"teacher__model": "t", "student__model": "s", "data__train": "x"})
    data["training"] = {"learning_rate": 7.0, "batch_size": 0}
    with pytest.raises(SpecError) as caught:
        RunSpec.parse(data)
    fields = [problem.field for problem in in_options(caught.value, distill_options()).problems]
    assert fields == ["--learning-rate", "--batch-size"]


def test_a_problem_in_a_list_is_named_by_its_option():
    with pytest.raises(SpecError) as caught:
        RunSpec.parse({"student": {"model": "s"}, "data": {"train": "x"}, "quantize": ["onnx"]})
    [problem] = in_options(caught.value, distill_options()).problems
    assert problem.field == "--quantize"


def test_a_file_that_is_no_spec_is_refused_with_what_makes_one(tmp_path):
    (tmp_path / "reviews.csv").write_text("text,label\nfine,good\n")
    with pytest.raises(SpecError, match=r"expected a mapping of settings, found str\. Give what --print-spec prints\."):
        RunSpec.load(tmp_path / "reviews.csv")


def test_a_name_that_cannot_be_one_is_refused_in_words():
    with pytest.raises(SpecError, match="'web one' is no name for a model"):
        RunSpec.parse({"student": {"model": "s"}, "data": {"train": "x"}, "name": "web one"})


def test_finetune_knows_no_teacher_and_no_method():
    fields = {each.path[0] for each in finetune_options()}
    assert fields == {"student", "data", "task", "training", "name", "quantize"}
    assert "method" not in to_data(finetune_options(), {"data__train": "x"})


def test_each_method_is_described():
    choice = next(each for each in method_options() if each.field == "method.name")
    assert all(f"{name}: " in choice.description for name in METHODS)


BASE = {"teacher__model": "t", "student__model": "s", "data__train": "x.csv"}


@pytest.mark.parametrize("name", presets())
def test_each_preset_is_a_whole_spec_with_settings_of_its_own(name):
    spec = RunSpec.parse(to_data(distill_options(), {**BASE, "preset": name}))
    assert spec.method.name == presets()[name].settings["method"]["name"]
    assert presets()[name].title and len(presets()[name].about) < 140
    others = [RunSpec.parse(to_data(distill_options(), {**BASE, "preset": other})) for other in presets()]
    assert others.count(spec) == 1


def test_what_is_given_counts_more_than_the_preset():
    given = {**BASE, "preset": "tinybert", "training__epochs": 2.0, "method__hidden_weight": 0.5}
    spec = RunSpec.parse(to_data(distill_options(), given))
    assert (spec.training.epochs, spec.method.name, spec.method.intermediate_share) == (2.0, "feature", 0.7)
    assert spec.method.hidden_weight == 0.5 and spec.control
    other = RunSpec.parse(to_data(distill_options(), {**BASE, "preset": "tinybert", "method__name": "logit"}))
    assert other.method.name == "logit" and other.training.epochs == 10
    with pytest.raises(InputError, match="--beta is no setting of the method feature"):
        to_data(distill_options(), {**BASE, "preset": "tinybert", "method__beta": 1.0})
    with pytest.raises(InputError, match="no preset 'blanced'") as error:
        to_data(distill_options(), {**BASE, "preset": "blanced"})
    assert error.value.fix == "Did you mean balanced?"
