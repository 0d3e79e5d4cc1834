"""What a search knows before any training, for every task: bytes by formula, time by random weights."""

from __future__ import annotations

import pytest
import task_data
import tiny
from qtinker import api, checkpoint, cli, registry, runs
from qtinker.compare import bounds, probe, search, store
from qtinker.compare.pairs import Candidate
from qtinker.compare.search import tried_of
from qtinker.compare.spec import SweepSpec
from qtinker.compare.sweep import SweepWork
from qtinker.data import load
from qtinker.errors import InputError
from qtinker.runtime import extras
from qtinker.spec import DataSpec, StudentSpec
from qtinker.tasks import TASKS

pytestmark = pytest.mark.train
LABELS = {"multi-label": task_data.TOPICS, "token-classification": ("O", "B-praise", "B-blame"),
          "classification": tiny.LABELS}  # fmt: skip


@pytest.fixture
def teacher(qtinker_home):
    task_data.encoder(qtinker_home / "bert_models" / "hub", "big", layers=3, seed=1)
    return registry.resolve("big")


def rows(folder, kind):
    if kind == "classification":
        return tiny.examples(12)
    return load(DataSpec(train=str(task_data.write(folder, kind, 24)), max_length=32), seed=1, task=kind).eval


STUDENTS = {"layers": (StudentSpec(layers=[0, 2]), ["bf16"]), "shape": (StudentSpec(shape="L-1_H-16_A-2"), [])}


@pytest.mark.parametrize("kind", list(TASKS))
def test_students_of_every_task_are_timed_before_training(teacher, tmp_path, kind):
    task = TASKS[kind](LABELS.get(kind, ()))
    job = probe.prepared(STUDENTS, teacher=teacher, examples=rows(tmp_path, kind), task=task, max_length=32, threads=1)
    found = probe.measure(job)
    assert {name: set(figures) for name, figures in found.items()} == {"layers": {"float", "bf16"}, "shape": {"float"}}
    for name, (student, _) in STUDENTS.items():
        assert all(figures["latency_ms"] > 0 for figures in found[name].values())
        bare = bounds.skeleton(student, teacher, task=task)
        assert type(bare).__name__.endswith(task.head_class.removeprefix("AutoModel"))
        assert found[name]["float"]["bytes"] == pytest.approx(bounds.weight_bytes(bare), rel=0.05)
    assert found["layers"]["bf16"]["bytes"] < 0.6 * found["layers"]["float"]["bytes"]


def test_the_timing_process_leaves_no_model_behind(teacher, tmp_path):
    task = TASKS["question-answering"]()
    found = probe.latencies(STUDENTS, teacher=teacher, examples=rows(tmp_path, "question-answering"), task=task,
                            max_length=32, threads=1)  # fmt: skip
    assert set(found) == {"layers", "shape"} and found["shape"]["float"]["latency_ms"] > 0
    assert [entry.name for entry in registry.list_models()] == ["big"]


def test_a_head_that_an_architecture_lacks_is_said_in_words(qtinker_home):
    made = tiny.bert(1, 32, 4, kind="GPT2")
    with registry.staged("hub", "gpt") as folder:
        checkpoint.save(made.model.base_model, made.tokenizer, folder, meta={"name": "gpt", "kind": "pretrained"})
    with pytest.raises(InputError, match="gpt2 has no head for masked language modelling"):
        bounds.skeleton(StudentSpec(layers=[0]), registry.resolve("gpt"), task=TASKS["masked-lm"]())


def test_what_is_wrong_with_the_data_is_said_once_before_anything_is_fetched(teacher, tmp_path, capsys):
    (tmp_path / "odd.csv").write_text("text,label\ngood movie,1\nbad, awful movie,0\n" * 9, encoding="utf-8")
    assert cli.main(["compress", "--data", str(tmp_path / "odd.csv"), "--teacher", "big", "--max-size", "1MB"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and said.count("3 fields where the first row has 2") == 1
    assert "Fetching" not in said


def test_where_time_rules_out_the_teachers_layers_small_shapes_are_tried(teacher, tmp_path, monkeypatch):
    """And nobody is ruled out whom there was no time to time. The clock is replaced: a test has no say over speed."""
    asked = []

    def latencies(students, **more):
        asked.append(sorted(students))
        shaped = {name: 1.0 if student.shape else 50.0 for name, (student, _) in students.items()}
        return {name: {"float": {"latency_ms": ms, "bytes": 1000}} for name, ms in shaped.items()}

    monkeypatch.setattr(probe, "latencies", latencies)
    path = task_data.write(tmp_path, "multi-label", 40)
    spec = SweepSpec.parse({"kind": "compress", "teacher": "big", "data": {"train": str(path)}, "schemes": "none",
                            "target": {"max_latency": 5}, "methods": "logit", "download": False})  # fmt: skip
    work = SweepWork(store.create(spec), lambda event: None, None)
    work.stopping = lambda: False
    found = search.candidates(work)
    assert asked[0] == ["@0", "@0-1", "@all"] and all(name.startswith("L-") for name in asked[1])
    assert found and all(each.student.startswith("L-") for each in found)
    assert {each["student"] for each in work.state["ruled_out"]} == {"@0", "@0-1", "@all"}
    assert work.state["notes"] == [f"{len(asked[1])} of {len(asked[1]) + 3} students can keep to time, as far as "
                                   "shapes and random weights tell; the others were not trained."]  # fmt: skip
    monkeypatch.setattr(probe, "latencies", lambda students, **more: {})
    again = SweepWork(store.create(spec), lambda event: None, None)
    again.stopping = lambda: False
    assert {"@0", "@0-1", "@all"} < {each.student for each in search.candidates(again)}
    assert again.state["ruled_out"] == []


def test_a_model_of_the_teachers_own_size_is_no_student_unless_it_is_asked_for(teacher, qtinker_home, tmp_path):
    """In its files it is smaller than the teacher, which has a head; as a student it has one too."""
    for name, layers in (("same", 3), ("small", 2)):
        task_data.encoder(qtinker_home / "bert_models" / "hub", name, layers=layers, seed=2, words=False)
    parameters = {entry.name: entry.parameters for entry in registry.list_models()}
    assert parameters["same"] < parameters["big"]
    settings = {"kind": "compress", "teacher": "big", "schemes": "none", "methods": "logit", "download": False,
                "data": {"train": str(task_data.write(tmp_path, "multi-label", 40))},
                "target": {"max_size": 10**6}}  # fmt: skip
    for students, expected in (("", False), ("hub/same", True)):
        work = SweepWork(store.create(SweepSpec.parse(settings | ({"students": students} if students else {}))),
                         lambda event: None, None)  # fmt: skip
        work.stopping = lambda: False
        found = {each.student for each in search.candidates(work)}
        assert ("hub/same" in found) is expected and (students or {"@0", "@0-1", "hub/small"} < found)


@pytest.mark.parametrize("kind", ["regression", "question-answering"])
def test_a_teacher_that_is_trained_for_the_task_is_not_trained_again(qtinker_home, tmp_path, kind):
    task_data.encoder(qtinker_home / "bert_models" / "hub", "big", layers=2, seed=1)
    data = task_data.write(tmp_path, kind, 60)
    settings = {"data": str(data), "max_length": 32, "threads": 1, "precision": "fp32", "device": "cpu"}
    api.finetune(model="big", name="teacher", epochs=1, **settings)
    report = api.compare(custom_pairs=["teacher,@any-1", "big,@0"], schemes="none", epochs=1, teacher_epochs=1,
                         download=False, **settings)  # fmt: skip
    assert [row["student"] for row in report["points"]] == ["teacher-L0", "teacher-L1", "teacher-L0"]
    assert any("teacher is trained for" in note and "as it is" in note for note in report["notes"])
    trained = [run.spec().teacher for run in runs.list_runs() if run.spec().teacher]
    assert [(each.model, each.finetune) for each in trained if each.model == "teacher"] == [("teacher", False)] * 2
    assert [each.finetune for each in trained if each.model == "big"] == [True]
    named = {row["name"]: row["checkpoint"] for row in report["teachers"]}
    assert len(named) == 2, "each pair was measured beside its own teacher"


@pytest.mark.skipif(not all(map(extras.has, extras.EXTRAS["onnx"])), reason="the extra onnx is not here")
def test_a_search_keeps_to_the_engine_that_is_asked_for(qtinker_home, tmp_path):
    task_data.encoder(qtinker_home / "bert_models" / "hub", "big", layers=2, seed=1)
    data = str(task_data.write(tmp_path, "multi-label", 60))
    settings = {"data": data, "max_length": 32, "threads": 1, "precision": "fp32", "device": "cpu"}
    api.finetune(model="big", name="teacher", epochs=1, **settings)
    asked = {"teacher": "teacher", "students": "@0", "methods": "logit", "epochs": 1, "download": False}
    report = api.compress(max_latency=1000, engine="onnxruntime", **asked, **settings)
    made = [row for row in report["points"] if row["scheme"] != "float"]
    assert [(row["scheme"], row["engine"]) for row in made] == [("int8-dynamic", "onnxruntime")]
    with pytest.raises(InputError, match=r"runs on onnxruntime already\. Its files are ONNX: use them as they are"):
        api.export(made[0]["checkpoint"], format="onnx")
    with pytest.raises(InputError, match=r"python3 app quantize .* --scheme int8-dynamic --engine openvino"):
        api.export(made[0]["checkpoint"], format="openvino")
    with pytest.raises(InputError, match=r"Export its source instead: python3 app export .* --format torch-export"):
        api.export(made[0]["checkpoint"], format="torch-export")


@pytest.mark.parametrize("kind", ["multi-label", "token-classification"])
def test_without_labels_candidates_are_measured_against_their_teachers_answers(qtinker_home, tmp_path, kind):
    task_data.encoder(qtinker_home / "bert_models" / "hub", "big", layers=2, seed=1)
    settings = {"max_length": 32, "threads": 1, "precision": "fp32", "device": "cpu", "batch_size": 8}
    api.finetune(model="big", name="teacher", data=str(task_data.write(tmp_path, kind, 120)), epochs=6,
                 learning_rate=4e-3, **settings)  # fmt: skip
    bare = str(task_data.write(tmp_path, kind, 400, seed=3, labels=False))
    pairs = {"schemes": "none", "epochs": 1, "download": False, **settings}
    report = api.compare(custom_pairs=["teacher,@0"], data=bare, **pairs)
    assert any("how well answers agree with those of teacher" in note for note in report["notes"])
    assert [row["score"] for row in report["teachers"]] == [pytest.approx(1.0)]
    [row] = report["points"]
    assert 0 < row["score"] <= 1 and row["retention"] == pytest.approx(row["score"])
    with pytest.raises(InputError, match=r"looks like a label|column|tags|no label"):
        api.compare(custom_pairs=["big,@0"], data=bare, **pairs)


def test_where_the_smallest_good_student_is_sought_not_the_largest_alone_are_tried():
    sizes = [Candidate("teacher", str(size), "logit") for size in (9, 8, 7, 6, 5, 4, 3, 2, 1)]
    assert [each.student for each in tried_of(sizes, 3, spread=True)] == ["9", "5", "1"]
    assert [each.student for each in tried_of(sizes, 8, spread=True)] == ["9", "8", "7", "6", "4", "3", "2", "1"]
    assert [each.student for each in tried_of(sizes, 3, spread=False)] == ["9", "8", "7"]
    assert tried_of(sizes, 9, spread=True) == sizes and tried_of(sizes, 1, spread=True) == sizes[:1]
