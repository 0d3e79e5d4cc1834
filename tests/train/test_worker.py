"""Whole runs: every phase by every method, stopped, killed and resumed through real processes."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import tiny
from qtinker import api, checkpoint, jobs, keeping, phases, pipeline, registry, runs, worker
from qtinker.errors import InputError, QTinkerError, RunFailed, RunStopped, SpecError
from qtinker.quantize.schemes import SCHEMES
from qtinker.spec import METHODS, RunSpec
from qtinker.work import Work
from safetensors.torch import load_file

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A trained teacher, encoders without head, and data; made once, copied into each test's home."""
    folder = tmp_path_factory.mktemp("made")
    teacher = tiny.bert(4, 32, 4, seed=1)
    checkpoint.save(teacher.model, teacher.tokenizer, folder / "teacher",
                    meta={"name": "teacher", "kind": "finetuned", "licence": "apache-2.0",
                          "task": tiny.task().to_meta(), "source": {"model": "hub/big"}})  # fmt: skip
    for name, layers, seed in (("big", 4, 2), ("small", 2, 3)):
        bare = tiny.bert(layers, 32, 4, seed=seed)
        checkpoint.save(bare.model.bert, bare.tokenizer, folder / name, meta={"name": name, "kind": "pretrained"})
    examples = tiny.examples(160, seed=5)
    with open(folder / "train.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        writer.writerows((t, tiny.LABELS[i]) for t, i in zip(examples.texts, examples.labels, strict=True))
    return folder


@pytest.fixture
def home(models, qtinker_home):
    """A home with these models in its registry."""
    for name in ("teacher", "big", "small"):
        shutil.copytree(models / name, qtinker_home / "bert_models" / "hub" / name)
    return qtinker_home


def spec(models: Path, **changes) -> RunSpec:
    content = {
        "teacher": {"model": "teacher"}, "student": {"model": "small"},
        "data": {"train": str(models / "train.csv"), "max_length": 32},
        "training": {"epochs": 2, "batch_size": 8, "learning_rate": 1e-3, "precision": "fp32", "threads": 1,
                     "device": "cpu"},
    }  # fmt: skip
    for key, value in changes.items():
        content[key] = {**content[key], **value} if isinstance(value, dict) and key in content else value
    return RunSpec.parse(content)


def weights(path) -> dict:
    return load_file(Path(path) / "model.safetensors")


def same(a, b) -> bool:
    return a.keys() == b.keys() and all(bool((a[name] == b[name]).all()) for name in a)


def until(condition, seconds=120):
    """Wait for a condition; the limit is only there so that a failure ends."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def kinds(run):
    return [event["kind"] for event in run.events()[0]]


# --- whole runs --------------------------------------------------------------------------------------------------


def test_several_teachers_teach_and_are_measured(home, models):
    other = tiny.bert(2, 32, 4, seed=9)
    checkpoint.save(other.model, other.tokenizer, home / "bert_models" / "hub" / "other",
                    meta={"name": "other", "kind": "finetuned", "task": tiny.task().to_meta()})  # fmt: skip
    alone = api.distill(spec(models, teacher={"model": "teacher"}, name="alone"))
    both = api.distill(spec(models, teacher={"model": "teacher", "also": ["other"], "weights": [1, 3]}, name="both"))
    assert [row["name"] for row in both["models"]] == ["teacher", "other", "both"]
    assert not same(weights(alone["checkpoint"]), weights(both["checkpoint"]))
    kept = [path.parent.name for path in (home / "cache" / "teacher").glob("*/logits.npy")]
    assert len(kept) == 2  # the first teacher's answers of the first run serve in the second
    with pytest.raises(SpecError, match="big has no trained head"):
        api.distill(spec(models, teacher={"model": "teacher", "also": ["big"]}))
    with pytest.raises(SpecError, match="give 2 weights"):
        spec(models, teacher={"model": "teacher", "also": ["other"], "weights": [1]})


@pytest.mark.parametrize("method", METHODS)
def test_a_whole_run_by_each_method(home, models, method):
    seen = []
    report = api.distill(spec(models, method={"name": method}, control=True), on_event=seen.append)
    run = runs.open(report["run"])
    assert (run.state()["status"], run.state()["progress"]) == ("done", 1.0)
    assert run.state()["name"] == report["name"], "without a name of its own it is called as its model"
    assert run.report() == json.loads(json.dumps(report))
    for role in ("teacher", "student", "control"):
        assert set(report["metrics"][role]) >= {"accuracy", "macro_f1"}
    assert report["retention"] == report["metrics"]["student"]["accuracy"] / report["metrics"]["teacher"]["accuracy"]
    assert report["examples_per_second"] > 0
    assert [row["path"] for row in report["models"]] == [
        str(registry.resolve("teacher")), report["checkpoint"], report["control_checkpoint"]
    ]  # fmt: skip
    meta = registry.read_meta(report["checkpoint"])
    assert (meta["kind"], meta["teacher"], meta["run"]) == ("distilled", "hub/teacher", run.id)
    assert meta["source"] == {"model": "hub/small"}
    assert registry.read_meta(report["control_checkpoint"])["kind"] == "control"
    assert not registry.verify(Path(report["checkpoint"]).name)
    events, _ = run.events()
    assert events == json.loads(json.dumps(seen))
    titles = [event["phase"] for event in events if event["kind"] == "phase"]
    assert titles == [phase.name for phase in pipeline.plan(run.spec())]
    assert events[-1]["kind"] == "result"
    assert not run.files.checkpoint.exists()
    assert not run.files.reserve.exists()
    assert set(report["training"]) == {"distill", "control"}
    assert [row["steps"] for row in report["training"].values()] == [36, 36]


def test_the_same_spec_gives_the_same_weights(home, models):
    first, second = (api.run(spec(models)) for _ in range(2))
    assert first["checkpoint"] != second["checkpoint"]
    assert same(weights(first["checkpoint"]), weights(second["checkpoint"]))


def test_finetune_and_quantize(home, models):
    wanted = [{"scheme": "int8-dynamic", "engine": "torchao"}]
    report = api.run(spec(models, teacher=None, name="mine", quantize=wanted))
    assert Path(report["checkpoint"]) == home / "bert_models" / "finetuned" / "mine"
    assert set(report["metrics"]) == {"student"}
    assert report["retention"] is None
    (quantized,) = report["quantized"]
    assert quantized["name"] == "mine-int8-dynamic"
    assert [row["name"] for row in report["models"]] == ["mine", "mine-int8-dynamic"]
    record = registry.read_meta(quantized["path"])["quantization"]
    assert (record["scheme"], record["engine"]) == ("int8-dynamic", "torchao")
    before, after = record["bytes_before"], record["bytes_after"]
    assert after["encoder"] < 0.5 * before["encoder"] and after["embeddings"] < 0.5 * before["embeddings"]


def test_a_scheme_made_before_a_stop_is_told_as_one_made_after_it(home, models):
    run = api.create_run(spec(models, quantize=[{"scheme": "bf16"}, {"scheme": "int4-weight-only"}]))
    with pytest.raises(RunStopped, match="quantizing"):
        worker.execute(run, emit=stop_at("quantize", run))
    before, after = api.resume_run(run.id)["quantized"]
    assert before.keys() == after.keys() and before["bytes"] < before["source_bytes"]


def test_a_long_name_with_spaces_is_no_other_models_and_keeps_each_scheme(home, models, tmp_path):
    data = tmp_path / f"{'my reviews ' * 7}of the 2024.csv"
    shutil.copy(models / "train.csv", data)
    schemes = ["int8-dynamic", "int8-weight-only", "bf16"]
    settings = {"data": {"train": str(data)}, "training": {"max_steps": 1}}
    report = api.run(spec(models, teacher=None, quantize=[{"scheme": each} for each in schemes], **settings))
    assert report["name"] == f"small-{'my-reviews-' * 7}of-the-2024"
    assert [Path(each["path"]).name.split("of-the-2024-")[1] for each in report["quantized"]] == schemes
    assert [registry.read_meta(each["path"])["quantization"]["scheme"] for each in report["quantized"]] == schemes
    assert not [text for text in report["warnings"] if "There was a model" in text]
    assert "There was a model" in str(api.run(spec(models, teacher=None, **settings))["warnings"])


@pytest.mark.skipif(os.name == "nt", reason="links need a right there")
def test_models_behind_links_are_measured_and_warned_of(home, models, tmp_path):
    """`bert_models/` on another disk, and a teacher that is a link itself: both roles are found, and told of."""
    (home / "bert_models").rename(tmp_path / "elsewhere")
    (home / "bert_models").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (tmp_path / "elsewhere" / "hub" / "teacher").rename(tmp_path / "teacher")
    (tmp_path / "elsewhere" / "hub" / "teacher").symlink_to(tmp_path / "teacher", target_is_directory=True)
    report = api.distill(spec(models, training={"max_steps": 1, "learning_rate": 1e-9}))
    assert report["metrics"].keys() == {"teacher", "student"} and report["retention"] is not None
    assert any(text.startswith("The student (accuracy") for text in report["warnings"]), report["warnings"]


def test_a_quantization_that_breaks_down_is_no_success(home, models, monkeypatch):
    def died(*_, **__):
        raise QTinkerError("The process ended with status -9.")

    monkeypatch.setattr(pipeline, "quantize_model", died)
    with pytest.raises(QTinkerError, match="status -9"):
        api.run(spec(models, teacher=None, name="mine", quantize=[{"scheme": "int8-dynamic"}]))
    assert runs.list_runs()[0].state()["status"] == "failed"


def test_a_scheme_that_changes_the_student_too_much_is_left_out_and_the_run_goes_on(home, models, monkeypatch):
    strict = dataclasses.replace(SCHEMES["int4-weight-only"], logit_error=0.0)
    monkeypatch.setitem(SCHEMES, "int4-weight-only", strict)
    wanted = [{"scheme": "int4-weight-only"}, {"scheme": "int8-dynamic"}]
    report = api.run(spec(models, teacher=None, name="mine", quantize=wanted))
    assert [each["name"] for each in report["quantized"]] == ["mine-int8-dynamic"]
    assert [row["name"] for row in report["models"]] == ["mine", "mine-int8-dynamic"]
    (told,) = [text for text in report["warnings"] if "int4" in text]
    assert told.startswith("There is no int4-weight-only version. int4-weight-only changes this model too much: ")
    assert told.endswith("Try it with other settings: python3 app quantize mine --scheme int4-weight-only")
    assert not (home / "bert_models" / "quantized" / "mine-int4-weight-only").exists()


def test_an_untrained_teacher_is_refused_with_the_command(home, models):
    with pytest.raises(SpecError) as caught:
        api.distill(spec(models, teacher={"model": "big"}))
    (problem,) = caught.value.problems
    assert problem.field == "teacher.model"
    assert f"python3 app finetune big --data {models / 'train.csv'}" in problem.fix
    assert not runs.list_runs()


def test_a_teacher_is_finetuned_once_for_equal_settings(home, models):
    first = api.run(spec(models, teacher={"model": "big", "finetune": True, "epochs": 1}))
    made = first["training"]["finetune-teacher"]
    assert (made["reused"], made["steps"]) == (False, 18)
    assert Path(first["teacher"]) == home / "bert_models" / "finetuned" / "big-train"
    second = api.run(spec(models, teacher={"model": "big", "finetune": True, "epochs": 1}, method={"name": "patient"}))
    assert second["training"]["finetune-teacher"] == {"path": first["teacher"], "reused": True}
    third = api.run(spec(models, teacher={"model": "big", "finetune": True, "epochs": 1, "learning_rate": 1e-4}))
    assert third["teacher"] != first["teacher"]


def test_a_teacher_whose_best_epoch_other_data_chose_is_another(home, models, monkeypatch):
    """Other labels of the same texts, too."""

    class Known(Exception):
        pass

    def noted(*parts):
        raise Known(keeping.content_key(*parts))

    monkeypatch.setattr(phases, "content_key", noted)
    first, other, again = (tiny.examples(8, seed=seed) for seed in (1, 2, 1))
    swapped = dataclasses.replace(first, labels=1 - first.labels)
    keys = []
    for held in (first, other, swapped, again):
        wanted = spec(models, teacher={"model": "big", "finetune": True})
        work = Work(run=None, spec=wanted, record=None, emit=lambda event: None, should_stop=lambda: False)
        work.dataset, work.task = SimpleNamespace(train=tiny.examples(16), eval=held), tiny.task()
        with pytest.raises(Known) as key:
            phases.finetune_teacher(work)
        keys.append(str(key.value))
    assert len(set(keys[:3])) == 3 and keys[0] == keys[3]


def test_a_control_cut_from_the_teacher_starts_without_its_training(home, models):
    """The student begins as layers of the finetuned teacher, the control as the same layers of its source."""
    report = api.run(
        spec(models, teacher={"model": "big", "finetune": True, "epochs": 1}, student={"model": None, "layers": [0, 2]},
             control=True, training={"learning_rate": 1e-30, "weight_decay": 0.0})
    )  # fmt: skip
    control, source = weights(report["control_checkpoint"]), weights(registry.resolve("big"))
    student, teacher = weights(report["checkpoint"]), weights(report["teacher"])
    name = "encoder.layer.{}.output.dense.weight"
    assert (control["bert." + name.format(1)] == source[name.format(2)]).all()
    assert (student["bert." + name.format(1)] == teacher["bert." + name.format(2)]).all()
    assert not (student["bert." + name.format(1)] == control["bert." + name.format(1)]).all()


def test_labels_are_the_teachers_in_its_order(home, models):
    """A teacher whose outputs stand in another order than the data's labels would be found."""
    other = tiny.bert(4, 32, 4, seed=1, labels=("good", "bad"))
    with registry.staged("hub", "swapped") as folder:
        checkpoint.save(other.model, other.tokenizer, folder, meta={"kind": "finetuned"})
    report = api.run(spec(models, teacher={"model": "swapped"}))
    assert registry.read_meta(report["checkpoint"])["task"]["labels"] == ["good", "bad"]
    direct = api.run(spec(models))
    right = report["metrics"]["teacher"]["accuracy"] + direct["metrics"]["teacher"]["accuracy"]
    assert right == pytest.approx(1.0)  # same weights, labels swapped


def test_other_labels_are_refused_by_name(home, models):
    other = tiny.bert(4, 32, 4, seed=1, labels=("cat", "dog"))
    with registry.staged("hub", "zoo") as folder:
        checkpoint.save(other.model, other.tokenizer, folder, meta={"kind": "finetuned"})
    with pytest.raises(SpecError, match=r"'bad', 'good'.*'cat', 'dog'"):
        api.run(spec(models, teacher={"model": "zoo"}))


# --- stopping and failing ----------------------------------------------------------------------------------------


def stop_at(phase: str, run: runs.Run):
    """Ask for a stop at the first step of a phase."""

    def listen(event):
        if event["kind"] == "step" and event["phase"] == phase:
            run.request_stop()

    return listen


@pytest.mark.parametrize("phase", ["finetune-teacher", "distill", "control"])
def test_stopped_and_resumed_is_bit_for_bit_the_same(home, models, phase):
    wanted = spec(models, teacher={"model": "big", "finetune": True, "epochs": 1}, method={"name": "feature"},
                  control=True)  # fmt: skip
    made = ("teacher", "checkpoint", "control_checkpoint")
    whole = api.run(wanted)
    expected = {path: weights(whole[path]) for path in made}
    for entry in registry.list_models():
        if entry.run:
            registry.remove(entry.full_name)
    shutil.rmtree(home / "cache")
    run = api.create_run(wanted)
    with pytest.raises(RunStopped, match="step 1 of") as caught:
        worker.execute(run, emit=stop_at(phase, run))
    assert run.id in caught.value.fix
    assert (run.state()["status"], run.stop_requested()) == ("stopped", False)
    resumed = api.resume_run(run.id)
    assert run.state()["attempt"] == 2
    for path in made:
        assert resumed[path] == whole[path]
        assert same(weights(resumed[path]), expected[path])
    assert resumed["metrics"] == whole["metrics"]


def test_finished_phases_are_not_done_again(home, models):
    run = api.create_run(spec(models, control=True))
    with pytest.raises(RunStopped):
        worker.execute(run, emit=stop_at("control", run))
    made = json.loads(run.files.phases.read_text())["done"]["distill"]["path"]
    before = os.stat(Path(made) / "model.safetensors").st_mtime_ns
    _, offset = run.events()
    report = api.resume_run(run.id)
    later = [event["phase"] for event in run.events(offset)[0] if event["kind"] == "phase"]
    assert later == ["prepare", "control", "evaluate"]
    assert os.stat(Path(report["checkpoint"]) / "model.safetensors").st_mtime_ns == before


def test_a_run_goes_on_with_the_data_that_it_began_with_only(home, models, tmp_path):
    data = tmp_path / "train.csv"
    shutil.copyfile(models / "train.csv", data)
    run = api.create_run(spec(models, data={"train": str(data)}, control=True))
    with pytest.raises(RunStopped):
        worker.execute(run, emit=stop_at("control", run))
    shutil.rmtree(run.files.checkpoint / "control")  # as if killed before a first state
    whole = data.read_text()
    data.write_text(whole + "a very good plot,good\n")
    with pytest.raises(InputError, match="no longer those") as caught:
        api.resume_run(run.id)
    assert str(run.files.spec) in caught.value.fix
    data.write_text(whole)
    assert api.resume_run(run.id)["examples"]["train"] == 144


def test_a_model_removed_while_its_run_is_stopped_is_there_again_after_it(home, models):
    run = api.create_run(spec(models, control=True))
    with pytest.raises(RunStopped):
        worker.execute(run, emit=stop_at("control", run))
    made = Path(json.loads(run.files.phases.read_text())["done"]["distill"]["path"])
    before = weights(made)
    registry.remove(made.name)
    _, offset = run.events()
    report = api.resume_run(run.id)
    assert report["checkpoint"] == str(made) and same(weights(made), before)
    assert not [e for e in run.events(offset)[0] if e["kind"] == "step" and e["phase"] == "distill"]


def test_a_model_kept_just_before_a_kill_is_found_again(home, models, monkeypatch):
    """The process dies between the registry's rename and writing down that the phase is done."""
    run = api.create_run(spec(models))
    finish = pipeline.Record.finish

    def die(self, phase, result):
        if phase == "distill":
            raise KeyboardInterrupt
        finish(self, phase, result)

    with monkeypatch.context() as patch, pytest.raises(RunStopped):
        patch.setattr(pipeline.Record, "finish", die)
        worker.execute(run)
    report = api.resume_run(run.id)
    assert [entry.name for entry in registry.list_models() if entry.run == run.id] == [Path(report["checkpoint"]).name]


def test_what_fails_is_said_in_words_and_traced_in_the_log(home, models, monkeypatch):
    run = api.create_run(spec(models))
    (models / "train.csv").rename(models / "away.csv")
    try:
        with pytest.raises(InputError, match="no file"):
            worker.execute(run)
    finally:
        (models / "away.csv").rename(models / "train.csv")
    state = run.state()
    assert state["status"] == "failed"
    assert "train.csv" in state["error"]["message"]
    assert "Traceback" in run.log_tail(100)
    assert api.resume_run(run.id)["status"] == "done"
    assert run.state()["error"] is None


def test_a_full_disk_is_said_and_the_run_goes_on_later(home, models, monkeypatch):
    from qtinker.distill import state as states

    run = api.create_run(spec(models))

    def full(*args):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(RunFailed, match="disk is full"):
        patch.setattr(states, "save_file", full)
        worker.execute(run)
    assert "Free some space" in run.state()["error"]["fix"]
    assert api.resume_run(run.id)["status"] == "done"


def test_an_unforeseen_error_names_the_log(home, models, monkeypatch):
    run = api.create_run(spec(models))
    monkeypatch.setitem(phases.PHASES, "distill", lambda work: 1 / 0)
    with pytest.raises(RunFailed, match="ZeroDivisionError: division by zero") as caught:
        worker.execute(run)
    assert "log.txt" in caught.value.fix
    assert (run.state()["status"], run.state()["phase"]) == ("failed", "distill")


# --- processes ---------------------------------------------------------------------------------------------------


@pytest.fixture
def long(models):
    """A run of some seconds that saves often; each checks that it is not over before it is cut."""
    return spec(models, training={"epochs": 15, "save_every": 7}, method={"name": "patient"})


def trains(run):
    return any(event["kind"] == "step" and event["phase"] == "distill" for event in run.events()[0])


def test_a_killed_worker_resumes_bit_for_bit(home, models, long):
    run = api.create_run(long)
    assert jobs.start(run.id)["status"] == "running"
    until((run.files.checkpoint / "distill" / "current.json").exists)  # the first saved state
    psutil.Process(run.state()["pid"]).kill()
    until(lambda: run.state()["status"] == "interrupted")
    with run.files.events.open("ab") as file:
        file.write(b'{"kind": "step", "ph')  # what a kill in the middle of a write leaves
    jobs.resume(run.id)
    until(lambda: run.state()["status"] == "done")
    assert run.state()["attempt"] == 2
    assert any("Going on after step" in event.get("text", "") for event in run.events()[0])
    whole = api.run(long)
    assert same(weights(run.report()["checkpoint"]), weights(whole["checkpoint"]))
    assert run.report()["metrics"] == whole["metrics"]


def test_stop_saves_and_the_next_in_the_queue_starts(home, models, long):
    first, second = api.create_run(long), api.create_run(spec(models, data={"train": str(models / "train.csv")}))
    jobs.start(first.id)
    assert jobs.start(second.id)["status"] == "queued"
    until(lambda: trains(first))
    assert jobs.stop(first.id)["status"] == "stopping"
    until(lambda: first.state()["status"] == "stopped")
    until(lambda: second.state()["status"] == "done")
    assert jobs.start(first.id)["status"] == "running"
    until(lambda: first.state()["status"] == "done")


@pytest.mark.skipif(os.name != "posix", reason="sends signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_finishes_the_step_and_exits_130(home, models, long, number):
    run = api.create_run(long)
    process = subprocess.Popen(
        [sys.executable, "-m", "qtinker.worker", run.id],
        env={**os.environ, "PYTHONPATH": str(Path(api.__file__).parents[1])}, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    until(lambda: trains(run))
    process.send_signal(number)
    _, said = process.communicate()
    assert process.returncode == 130
    assert run.state()["status"] == "stopped"
    assert f"runs resume {run.id}" in said
    assert "Traceback" not in said


def test_two_workers_never_execute_one_run(home, models, long):
    run = api.create_run(long)
    jobs.start(run.id)
    until(lambda: trains(run))
    with pytest.raises(InputError, match="in another process"):
        worker.execute(run)
    assert run.state()["status"] == "running"
    jobs.stop(run.id, wait=True)
    assert run.state()["status"] == "stopped"


def test_bad_input_exits_2(home):
    done = subprocess.run(
        [sys.executable, "-m", "qtinker.worker", "../etc"], capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(Path(api.__file__).parents[1])},
    )  # fmt: skip
    assert (done.returncode, "no run id" in done.stderr) == (2, True)


# --- what a model has seen ---------------------------------------------------------------------------------------


def test_a_model_that_is_measured_on_its_training_data_is_told(home, models):
    """On the same split nothing is said; with another seed the teacher has seen most of what it is measured on."""

    def told(report):
        return [text for text in report["warnings"] if "was trained on" in text]

    kept = api.run(spec(models, teacher=None, student={"model": "big"}, name="mine"))
    assert not told(kept) and not told(api.run(spec(models, teacher={"model": "mine"})))
    other = told(api.run(spec(models, teacher={"model": "mine"}, training={"seed": 7, "max_steps": 2})))
    assert len(other) == 1 and other[0].startswith("mine was trained on "), "once, though it is measured twice"
    report = api.evaluate(["mine", "teacher"], data=models / "train.csv", isolate=False)
    assert len(told(report)) == 1 and "90%" in told(report)[0]
