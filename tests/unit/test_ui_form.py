"""The form of the Distil page and its spec, both ways: fields, commands, layers, several teachers."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from dataclasses import replace
from html import unescape
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl

import pytest
from qtinker import catalog, runs
from qtinker.quantize.schemes import SCHEMES
from qtinker.runtime import extras
from qtinker.spec import RunSpec
from qtinker.ui import choices, form, guide, quantize_page, runs_page
from qtinker.ui.distil_logic import Logic
from qtinker.ui.texts import Texts

SPEC = {"teacher": {"model": "bert-base-uncased"}, "student": {"model": "bert-mini"}, "data": {"train": "sample"}}


@pytest.mark.parametrize(("layers", "cuts"), [(1, []), (2, ["0", "1"]), (4, ["0,2", "1,3", "0", "3"])])
def test_a_shallow_teacher_has_the_cuts_that_it_allows(layers, cuts):
    offer = replace(choices.from_offer(catalog.catalog()["bert-tiny"]), layers=layers)
    assert [value for _, value in choices.layer_choices(offer, Texts("en"))] == cuts


def test_form_values_become_a_spec_and_come_back():
    values = {
        "teacher.model": "bert-base-uncased",
        "teacher.finetune": True,
        "student.layers": "0,2,4",
        "data.train": "sample",
        "method.name": "patient",
        "method.patient.beta": 10.0,
        "method.logit.temperature": 7.0,
        "training.epochs": 2,
        "training.max_steps": "50",
        "training.eval_every": "",
        "quantize": [{"scheme": "int8-dynamic"}],
    }
    spec = RunSpec.parse(form.to_spec(values))
    assert spec.student.layers == [0, 2, 4] and spec.method.name == "patient" and spec.method.beta == 10
    assert spec.method.temperature == 2.0, "a setting of another method has no say"
    assert spec.training.max_steps == 50 and spec.training.eval_every is None
    back = form.from_spec(spec, [*values, "method.patient.layer_mapping"])
    assert back["student.layers"] == "0,2,4" and back["quantize"] == ["int8-dynamic"]
    assert back["method.patient.beta"] == "10" and "method.logit.temperature" not in back
    assert back["training.max_steps"] == "50"


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"method": {"name": "patient", "layer_mapping": "1:2,2:4"}, "control": True},
        {"student": {"layers": "0,2,4"}, "quantize": [{"scheme": "int8-dynamic"}, {"scheme": "int4-weight-only"}]},
        {"student": {"shape": "L-2_H-128_A-2"}, "training": {"epochs": 1.5, "device": "cpu"}, "name": "a-name"},
    ],
)
def test_the_command_shown_amounts_to_the_same_spec(more):
    spec = RunSpec.parse(SPEC | more)
    words = shlex.split(form.command_line(spec))
    assert words[:3] == ["python3", "app", "distill"]
    done = subprocess.run(
        [sys.executable, "-m", "qtinker", *words[2:], "--print-spec", "--json"], capture_output=True, text=True,
        cwd=Path(__file__).parents[2] / "app",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert RunSpec.parse(json.loads(done.stdout.splitlines()[-1])["spec"]) == spec


def test_the_command_shown_on_windows_has_its_quotes(monkeypatch):
    monkeypatch.setattr(form, "os", SimpleNamespace(name="nt"))
    spec = RunSpec.parse(SPEC | {"data": {"train": "C:\\my data\\a.csv"}})
    assert '--data "C:\\my data\\a.csv" ' in form.command_line(spec) + " "


def test_every_field_of_the_form_has_words():
    from qtinker.options import distill_options

    for option in distill_options():
        if option.path[0] not in ("method", "preset") and len(option.path) <= 2:
            label, _ = form.words(option.field, Texts())
            assert label, option.field


def test_every_setting_has_a_field_on_the_page():
    from qtinker.options import distill_options
    from qtinker.ui import app

    def ids(block):
        yield getattr(block, "elem_id", None)
        for child in getattr(block, "children", []):
            yield from ids(child)

    drawn = set(ids(app.build()))
    settings = {
        f"f-method-{name}-{option.path[1]}" if option.methods else "f-" + "-".join(option.path)
        for option in distill_options() for name in option.methods or [""] if option.path[0] != "preset"
    }  # fmt: skip
    assert settings - drawn == set()


def test_cuts_offered_hold_the_layers_that_feature_imitates():
    from qtinker.distill.mapping import feature_pairs
    from qtinker.ui import choices

    values = [value for _, value in choices.layer_choices(None, Texts())]  # a teacher of 12 layers
    assert len(set(values)) == len(values) and {"0,2,4,6,8,10", "0,2,4,7,9,11"} <= set(values)
    for keep in (6, 4, 3, 2):
        imitated = [layer - 1 for _, layer in feature_pairs("uniform", student=keep, teacher=12)]
        assert ",".join(map(str, imitated)) in values


def test_a_new_teacher_keeps_the_layers_that_it_has_and_replaces_others(qtinker_home):
    def chosen(teacher, layers, before=()):
        *_, cards, text, _ = Logic([], Texts()).teacher_chosen(teacher, None, layers, list(before))
        return cards.value, text

    assert chosen("bert-base-uncased", "0,2,4") == (None, "0,2,4"), "own layers, which are no card"
    first, text = chosen("bert-base-uncased", "0,2", before=["0,2", "1,3"])
    assert first == text != "0,2", "a card of the teacher before"
    assert chosen("bert-tiny", "0,2") == ("0", "0"), "it has two layers"
    assert chosen("bert-tiny", "1") == ("1", "1")
    assert chosen("bert-base-uncased", "none of it")[0] is not None
    assert chosen("bert-base-uncased", "") == (None, "")


def test_a_teacher_takes_back_only_a_student_that_it_does_not_suit(qtinker_home):
    def students(student):
        import gradio as gr

        update = Logic([], Texts()).teacher_chosen("bert-base-uncased", student, "", [])[2]
        return update, isinstance(update, gr.Radio) and "value" in update._constructor_args[0]

    update, sets = students("bert-mini")
    assert not sets and "bert-mini" in [value for _, value in update.choices]
    assert not students(None)[1], "the address's may be on its way"
    assert students("bert-large-uncased")[1], "too large for a student of it"


def test_a_page_that_is_not_filled_in_yet_takes_nothing_back(qtinker_home):
    """The tab opens while the page loads, and its answer may come after what loading chose."""
    import gradio as gr
    from qtinker.ui import app

    names, *rest = Logic([], Texts()).refresh(None, None, "model")
    assert [value for _, value in names.choices] and rest == [gr.skip()] * 4
    students, _, fetch, fetch_student = Logic([], Texts()).refresh("bert-base-uncased", "bert-mini", "model")[1:]
    assert "bert-mini" in [value for _, value in students.choices] and fetch.visible and fetch_student.visible

    in_turn = [each.name for each in app.build().fns.values() if each.concurrency_id == "distil-models"]
    assert sorted(in_turn) == ["refresh"] * 3 + ["teacher_chosen"], "an answer for the teacher before comes first"


def test_loading_does_not_keep_the_browser_busy(qtinker_home):
    """Gradio's page goes through all that a call may change at each state of each call: few calls, and hardly anything
    whose progress is told, or a page takes half a minute on a small machine."""
    from qtinker.ui import app

    page = app.build()
    calls = list(page.fns.values())
    on_load = [each for each in calls if any(event == "load" for _, event in each.targets) and each.fn]
    assert 3 <= len(on_load) <= 6 and sum(len(each.outputs) for each in on_load) > 100
    for each in calls:
        if each.show_progress == "hidden" and each.outputs and each.targets and each.fn:
            assert [target.visible for target in each.show_progress_on] == [False], each.name


def test_calls_in_one_get_their_own_values_and_answer_for_their_own_fields():
    import gradio as gr
    from qtinker.ui.app import _in_one

    def both(left: str, right: str) -> list[str]:
        return [right, left]

    def asking(value: str, request: gr.Request) -> str:
        return f"{value} of {request}"

    def skipping() -> Any:
        return gr.skip()

    def table() -> list[list[str]]:
        return [["a cell"]]

    calls = [(both, [1, 2], [1, 2]), (asking, [3], [3]), (skipping, [], [4, 5]), (table, [], [6])]
    assert _in_one(calls)("me", "x", "y", "z") == ["y", "x", "z of me", gr.skip(), gr.skip(), [["a cell"]]]


def test_a_form_with_several_teachers_becomes_their_spec(qtinker_home):
    values = {
        "look.data": "sample", "look.student": "layers",
        "teacher.model": "bert-base-uncased", "teacher.finetune": False, "teacher.epochs": 3,
        "teacher.also": "bert-small, bert-mini", "teacher.weights": "2,1,1", "teacher.cache_gb": "4",
        "student.layers": "0,2", "student.architecture": "distilbert", "method.name": "feature",
        "training.quantization_aware": "int4",
    }  # fmt: skip
    spec, problems = Logic(list(values), Texts())._spec(tuple(values.values()))
    assert not problems
    assert spec.teacher.also == ["bert-small", "bert-mini"] and spec.teacher.weights == [2, 1, 1]
    assert spec.teacher.cache_gb == 4 and spec.training.quantization_aware == "int4"
    assert spec.student.architecture == "distilbert"
    away = values | {"teacher.also": "../elsewhere", "teacher.weights": ""}
    assert [each.field for each in Logic(list(away), Texts())._spec(tuple(away.values()))[1]] == ["teacher.also"]


@pytest.mark.parametrize(
    ("path", "typed", "head", "words"),
    [
        ("training.epochs", "0,5", "Epochs", "must be a number (given: '0,5'). Write it as 0.5 or 1000."),
        ("training.batch_size", "1.5", "Batch size", "must be a whole number (given: '1.5')."),
        ("data.max_examples", "10.000", "At most", "must be a whole number (given: '10.000'). Write it as"),
        ("training.learning_rate", "1e400", "Learning rate", "must be a finite number (given: '1e400')."),
        ("method.logit.temperature", "nan", "Temperature", "must be a finite number (given: 'nan')."),
        ("data.max_length", "64,5", "Longest text", "must be a whole number (given: '64,5'). Write it as 0.5 or 1000."),
        ("training.device", "gpu", "Device", "'gpu' is none of its values. docs/settings.md lists them."),
        ("teacher.weights", "2;1", "Teachers' weights", "must be a number (given: '2;1')."),
    ],
)
def test_a_value_that_cannot_be_used_is_told_by_its_label_as_it_was_typed(qtinker_home, path, typed, head, words):
    import gradio as gr

    values = {"look.data": "sample", "look.student": "shape", "teacher.model": "bert-base-uncased",
              "teacher.finetune": True, "student.shape": "L-2_H-64_A-2", "method.name": "logit"}  # fmt: skip
    assert type(form.field(path, Texts())) is gr.Textbox, "a number box drops what it can't read"
    logic = Logic([*values, path], Texts())
    [problem] = logic._spec((*values.values(), typed))[1]
    assert logic._title(problem.field) == head
    assert f"{problem.message} {problem.fix}".startswith(words)


@pytest.mark.parametrize("length", ["2", "100000", "64,5"])
def test_a_length_that_cannot_be_used_is_told_by_the_check_and_not_by_the_preview_too(qtinker_home, length):
    from qtinker.ui import answers, practice

    practice.make()
    shown, *_ = Logic([], Texts()).preview("sample", "", "", "", "", length, "practice-bert", "auto")
    answers.stop()
    assert "max_length" not in shown


def test_numbers_are_shown_as_they_are_written_by_hand():
    assert [form.shown("training.epochs", value) for value in (5e-5, 3.0, 100, 0.0)] == ["0.00005", "3", "100", "0"]


def test_only_what_is_installed_is_offered_and_the_rest_names_its_button(monkeypatch):
    t = Texts("en")
    monkeypatch.setattr(extras, "has", lambda module: module in extras.EXTRAS["onnx"])
    assert [value for _, value in quantize_page.engine_choices("int8-dynamic", t)] == ["auto", "torchao", "onnxruntime"]
    monkeypatch.setattr(extras, "has", lambda module: False)
    assert quantize_page.engine_choices("int8-weight-only", t) == [
        ("Automatic: compressed-tensors", "auto"), ("compressed-tensors", "compressed-tensors"),
    ]  # fmt: skip
    assert set(SCHEMES) - set(quantize_page.schemes_here()) == {"int8-static", "nf4"}
    said = quantize_page.lacking_html(quantize_page.lacking_formats(t), t)
    assert said.count("qt-note") == 5 and "The button “Install onnx” on this page" in said
    assert "The button “Install openvino”" in quantize_page.lacking_html(quantize_page.lacking_schemes(t), t)


def test_the_practice_model_fills_in_the_page_but_not_the_data_chosen_meanwhile(qtinker_home):
    paths = ["look.data", "data.train", "teacher.epochs", "student.shape"]
    data, train, epochs, shape, *_ = Logic(paths, Texts()).practice_values()
    assert (epochs, shape) == (8, "L-2_H-64_A-2")
    assert data == train == {"__type__": "update"}  # left as they are


PATHS = [
    "look.data", "data.train", "data.eval", "teacher.model", "teacher.finetune", "look.student", "student.model",
    "look.layers", "student.layers", "student.architecture", "method.name", "control", "quantize",
]  # fmt: skip


def filled(query: dict[str, str], language: str = "en") -> tuple[dict[str, Any], str]:
    """The page's values for an address, and the note of what was not taken over."""

    def value(update: Any) -> Any:
        return update._constructor_args[0].get("value") if hasattr(update, "_constructor_args") else update

    *values, _, _, _, lost = Logic(PATHS, Texts(language)).fill(query)
    return dict(zip(PATHS, map(value, values), strict=False)), lost.value if lost.visible else ""


def copied(**parts: Any) -> tuple[dict[str, Any], str, list[str]]:
    """The page for a run to duplicate, its note, and the fields with which it could not start."""
    spec = RunSpec.parse({"data": {"train": "sample"}, **parts})
    values, lost = filled({"from": runs.create(spec).id})
    logic = Logic(PATHS, Texts())
    again, problems = logic._spec(tuple(values[path] for path in logic.asked))
    if not lost:
        assert again == spec
    return values, lost, [each.field for each in problems]


def test_the_guides_advice_to_cut_the_teacher_fills_in_the_page(qtinker_home):
    html = guide.advice_html("balanced", "some", "labels", "zh", Texts())
    address = unescape(re.search(r'id="qt-use-advice" href="\?([^"]+)"', html)[1])
    values, lost = filled(dict(parse_qsl(address)))
    assert (values["teacher.model"], values["look.student"]) == ("bert-chinese", "layers")
    assert values["student.layers"] == values["look.layers"] == "0,2,4,6,8,10" and not lost
    assert filled({"teacher": "bert-base-uncased", "student": "bert-small"})[0]["look.student"] == "model"


def test_a_run_that_the_page_has_place_for_is_copied_whole(qtinker_home):
    for student in ({"model": "bert-small"}, {"layers": [0, 2, 4]}):
        _, lost, problems = copied(
            teacher={"model": "bert-base-uncased"}, student=student, quantize=[{"scheme": "mixed"}]
        )  # fmt: skip
        assert not lost and not problems


@pytest.mark.parametrize(
    ("parts", "fields", "said"),
    [
        ({"teacher": {"model": "/models/mine"}, "student": {"model": "bert-mini"}}, ["teacher.model"],
         "Its teacher /models/mine can&#x27;t be chosen here"),
        ({"student": {"model": "bert-mini"}}, ["teacher.model"], "It has no teacher"),
        ({"teacher": {"model": "bert-base-uncased"}, "student": {"model": "bert-large-uncased"}}, ["student.model"],
         "Its student bert-large-uncased is not offered"),
        ({"teacher": {"model": "bert-base-uncased"}, "student": {"model": "bert-large-uncased", "layers": [1, 2]}},
         ["student.layers"], "Its student is cut from bert-large-uncased"),
        ({"teacher": {"model": "bert-base-uncased", "finetune": True},
          "student": {"model": "bert-base-uncased", "layers": [1, 2]}},
         ["student.layers"], "Its student is cut from bert-base-uncased"),
        ({"teacher": {"model": "bert-base-uncased"}, "student": {"model": "bert-mini"},
          "quantize": [{"scheme": "mixed", "max_loss": 2}]}, [], "may lose 2 points"),
        ({"teacher": {"model": "bert-base-uncased"}, "student": {"model": "bert-mini"},
          "data": {"train": "sample", "eval": "held.csv"}}, [], "left out, which stands alone here: held.csv"),
    ],
)  # fmt: skip
def test_what_a_copy_of_a_run_lacks_is_left_empty_and_told(qtinker_home, parts, fields, said):
    values, lost, problems = copied(**parts)
    assert said in lost and lost.count("qt-note") == 1 and problems == fields
    assert not any(values[field] for field in fields)


def test_the_page_of_a_run_that_was_deleted_opens_as_without_it_and_says_so(qtinker_home):
    values, lost = filled({"from": "20250101-000000-distill-abcd"})
    assert "There is no run" in lost and values == filled({})[0] and values["teacher.model"] == "bert-base-uncased"


@pytest.mark.parametrize(("kind", "offered"), [("finetune", False), ("distill", True)])
def test_a_run_without_a_teacher_is_not_offered_to_be_copied(qtinker_home, kind, offered):
    run = runs.create(RunSpec.parse(SPEC), kind=kind)
    _, *_, again, _ = runs_page._draw(run.id, [], {}, Texts())
    assert again.visible is offered


def test_only_a_person_who_picks_a_teacher_changes_whether_it_is_finetuned(qtinker_home):
    """Filling in the page changes the teacher too: what a run to copy says of finetuning must stand."""
    from qtinker.ui import app

    page = app.build()
    ids = {number: getattr(block, "elem_id", None) for number, block in page.blocks.items()}
    events = [
        event for call in page.fns.values() for number, event in call.targets
        if ids.get(number) == "f-teacher-model" and any(each.elem_id == "f-teacher-finetune" for each in call.outputs)
    ]  # fmt: skip
    assert events == ["input"]
    assert Logic([], Texts()).teacher_picked("bert-base-uncased") is True
