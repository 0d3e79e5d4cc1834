"""Whole sweeps on tiny models: the same table after any interruption, nothing done twice, early stops, targets."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import tiny
from qtinker import api, check, checkpoint, cli, jobs, registry, runs
from qtinker.compare import store, target
from qtinker.compare.spec import TargetSpec
from qtinker.errors import DiskFull, InputError, RunFailed, RunStopped

pytestmark = pytest.mark.train
ROOT = Path(__file__).resolve().parents[2]
PAIRS = ["big,mid", "big,@0-2", "big,L-1_H-16_A-2", "other,small"]
SETTINGS = {"epochs": 3, "batch_size": 16, "lr": 2e-3, "teacher_epochs": 4, "teacher_learning_rate": 3e-3,
            "max_length": 32, "threads": 1, "precision": "fp32", "device": "cpu", "schemes": "bf16",
            "download": False}  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Models and data, made once and copied into each test's home."""
    folder = tmp_path_factory.mktemp("made")
    for name, layers, hidden, seed in (("big", 4, 32, 1), ("other", 3, 32, 2), ("mid", 2, 32, 3), ("small", 1, 16, 4)):
        one = tiny.bert(layers, hidden, 2, seed=seed)
        checkpoint.save(one.model.bert, one.tokenizer, folder / name, meta={"name": name, "kind": "pretrained"})
    examples = tiny.examples(240, seed=5)
    with open(folder / "train.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        writer.writerows((t, tiny.LABELS[i]) for t, i in zip(examples.texts, examples.labels, strict=True))
    return folder


@pytest.fixture
def home(made, qtinker_home):
    for name in ("big", "other", "mid", "small"):
        shutil.copytree(made / name, qtinker_home / "bert_models" / "hub" / name)
    return qtinker_home


@pytest.fixture(scope="module")
def whole(made, tmp_path_factory):
    """The report of an uninterrupted sweep, in a home of its own."""
    folder = tmp_path_factory.mktemp("whole")
    for name in ("big", "other", "mid", "small"):
        shutil.copytree(made / name, folder / "bert_models" / "hub" / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QTINKER_HOME", str(folder))
        report = api.compare(data=made / "train.csv", custom_pairs=PAIRS, name="same", **SETTINGS)
        report["runs"] = len(runs.list_runs())
        report["finetuned"] = sorted(each.name for each in registry.list_models() if each.kind == "finetuned")
    return report


def table(report: dict) -> dict:
    """A report without what a clock, a name of a run or a place decides."""
    rows = [
        {k: v for k, v in row.items() if k not in (
            "latency_ms", "latency_p95_ms", "examples_per_second", "training_seconds", "run", "checkpoint", "front",
            "teacher_figures", "busy_elsewhere")}
        for row in [*report["teachers"], *report["points"]]
    ]  # fmt: skip
    others = [{k: v for k, v in each.items() if k != "run"} for each in report["others"]]
    return {"rows": rows, "others": others, "decisions": report["decisions"], "notes": report["notes"]}


def test_a_sweep_reports_every_pair(whole):
    done, others = {row["candidate"] for row in whole["points"]}, {each["candidate"] for each in whole["others"]}
    assert len(done | others) == 4 and done and not done & others
    assert whole["runs"] == 4
    assert whole["finetuned"] == ["big-train", "other-train"]
    assert {each["name"] for each in whole["teachers"]} == {"big", "other"}
    for row in whole["points"]:
        teacher = next(each for each in whole["teachers"] if each["name"] == row["teacher"])
        assert not teacher["chance"] and row["retention"] == row["score"] / teacher["score"]
        assert Path(row["checkpoint"]).is_dir()
    float_, half = (
        next(row for row in whole["points"] if row["scheme"] == scheme and row["student"] == "small")
        for scheme in ("float", "bf16")
    )
    assert half["bytes"] < 0.6 * float_["bytes"] and half["parameters"] == float_["parameters"]
    assert set(whole["front"]) == {row["id"] for row in whole["points"] if row["front"]}
    assert {each["point"] for each in whole["advice"]} <= {row["id"] for row in whole["points"]}
    for ending in ("json", "csv", "md", "html"):
        assert Path(whole["reports"][ending]).stat().st_size > 500
    saved = json.loads(Path(whole["reports"]["json"]).read_text(encoding="utf-8"))
    assert table(saved) == table(whole)


def test_it_decided_at_a_quarter_and_at_half(whole):
    assert [each["share"] for each in whole["decisions"]] == [0.25, 0.5]
    for each in whole["others"]:
        assert each["status"] == "stopped" and "behind" in each["reason"] and each["share"] in (0.25, 0.5)
    stopped = [name for each in whole["decisions"] for name in each["stopped"]]
    assert sorted(stopped) == sorted(each["candidate"] for each in whole["others"])


@pytest.mark.parametrize("after", [25, 10_000])
def test_stopped_again_and_again_it_ends_with_the_same_table(home, made, whole, after):
    """A stop is asked for at every so many-th event (the last: only while measuring), until the sweep is done."""
    seen = {"events": 0, "stops": 0}

    def listen(event):
        seen["events"] += 1
        measuring = "Measuring big-train" in str(event.get("text")) and seen["stops"] == 0
        if (seen["events"] % after == 0 and seen["stops"] < 4) or (after == 10_000 and measuring):
            seen["stops"] += 1
            store.open("last").request_stop()

    report = None
    try:
        report = api.compare(data=made / "train.csv", custom_pairs=PAIRS, name="same", **SETTINGS, on_event=listen)
    except RunStopped as stopped:
        assert f"sweeps resume {store.open('last').id}" in stopped.fix
    while report is None:
        try:
            report = api.resume_sweep("last", on_event=listen)
        except RunStopped:
            continue
    assert seen["stops"] >= 1
    assert table(report) == table(whole)
    assert len(runs.list_runs()) == 4
    with pytest.raises(InputError, match="is done"):
        api.resume_sweep("last")


DYING = """
import os, signal, sys
from qtinker import api
from qtinker.compare import store
from qtinker.distill import train

place, write = sys.argv[1], store.Sweep.write
train.EVENT_SECONDS = 0  # tell of each step

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def listen(event):
    text = str(event.get("text"))
    trained = event["step"] if event["kind"] == "step" and event["phase"] == "distill" else 0
    if (place == "within a training" and trained == 17) or (
        place == "quantizing" and text.startswith("Quantizing mid")
    ):
        die()

def dying(self, state):
    if sum(each["run"] is not None for each in state["candidates"].values()) == 2:
        die()
    write(self, state)

if place == "before a run is written down":
    store.Sweep.write = dying
    api.compare(data={data!r}, custom_pairs={pairs!r}, name="same", on_event=listen, **{settings!r})
api.resume_sweep("last", on_event=listen)
"""
PLACES = ("before a run is written down", "within a training", "quantizing")


@pytest.mark.skipif(os.name != "posix", reason="kills itself by a signal")
def test_killed_at_three_places_it_ends_with_the_same_table(home, made, whole):
    """SIGKILL between two pairs, in the middle of a training, in the last part; nothing is trained twice."""
    values = {"data": str(made / "train.csv"), "pairs": PAIRS, "settings": SETTINGS}
    code = DYING
    for name, value in values.items():
        code = code.replace(f"{{{name}!r}}", repr(value))
    for place in PLACES:
        done = subprocess.run(
            [sys.executable, "-c", code, place], env=os.environ | {"PYTHONPATH": str(ROOT / "app")}, check=False,
            capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == -signal.SIGKILL, (place, done.stderr[-500:])
        assert store.open("last").state()["status"] == "interrupted"
    report = api.resume_sweep("last")
    assert table(report) == table(whole)
    assert len(runs.list_runs()) == 4


def test_a_sweep_goes_on_with_the_data_that_it_began_with_only(home, made, tmp_path):
    data = tmp_path / "train.csv"
    shutil.copyfile(made / "train.csv", data)

    def stop(event):
        if event["kind"] == "step" and event["phase"] == "distill":
            store.open("last").request_stop()

    with pytest.raises(RunStopped):
        api.compare(data=data, custom_pairs=PAIRS[:2], on_event=stop, **SETTINGS)
    with data.open("a") as file:
        file.write("a very good plot,good\n")
    with pytest.raises(InputError, match="no longer those"):
        api.resume_sweep("last")
    shutil.copyfile(made / "train.csv", data)
    assert len(api.resume_sweep("last")["points"]) == 4


def test_a_pair_that_fails_is_reported_and_the_sweep_goes_on(home, made, capsys):
    broken = home / "bert_models" / "hub" / "mid" / "model.safetensors"
    broken.write_bytes(broken.read_bytes()[:-100])
    command = ["compare", "--data", str(made / "train.csv"), "--custom-pairs", "big,mid", "big,small", "gone,small",
               "big,bert-tiny", "--schemes", "none", "--epochs", "1", "--max-length", "32", "--threads", "1",
               "--batch-size", "16", "--teacher-epochs", "1", "--no-download", "--json"]  # fmt: skip
    assert cli.main(command) == 0
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    why = {each["candidate"]: (each["status"], each["reason"]) for each in report["others"]}
    assert {name: status for name, (status, _) in why.items()} == {
        "mid-from-big-logit": "skipped", "small-from-gone-logit": "skipped", "bert-tiny-from-big-logit": "skipped"
    }  # fmt: skip
    assert why["mid-from-big-logit"][1].startswith("mid:") and "bytes where" in why["mid-from-big-logit"][1]
    assert "turned off" in why["bert-tiny-from-big-logit"][1]
    assert [row["candidate"] for row in report["points"]] == ["small-from-big-logit"]


def test_without_a_network_it_is_said_once_and_tried_again(home, made, capsys, monkeypatch):
    """Nothing listens there: the same cause for all models, and the exit status of a failed download."""
    monkeypatch.setenv("QTINKER_GCS", "http://127.0.0.1:9")
    command = ["compare", "--data", str(made / "train.csv"), "--custom-pairs", "bert-base-uncased,bert-tiny",
               "bert-base-uncased,bert-mini", "--schemes", "none"]  # fmt: skip
    assert cli.main(command) == 1
    said = capsys.readouterr().err
    assert said.count("Can't reach") == 2  # while it goes on, and as the reason why it ended
    assert "bert-base-uncased, bert-tiny, bert-mini: Can't reach" in said
    assert "error: None of the 2 pairs could be trained." in said and "QTINKER_GCS" in said
    assert cli.main(["download", "bert-tiny"]) == 1
    capsys.readouterr()
    for name in ("bert-base-uncased", "bert-tiny", "bert-mini"):
        source = {"bert-base-uncased": "big", "bert-tiny": "small", "bert-mini": "mid"}[name]
        shutil.copytree(made / source, home / "bert_models" / "hub" / name)
    sweep = store.open("last")
    sweep_spec = sweep.spec()
    sweep_spec.training.epochs = sweep_spec.teacher_epochs = 1
    (sweep.folder / "sweep.yaml").write_text(sweep_spec.to_yaml(full=True), encoding="utf-8")
    report = api.resume_sweep("last")
    assert len(report["points"]) == 2 and report["notes"] == []
    assert cli.main(["compare", "--data", str(made / "train.csv"), "--custom-pairs", "gone,small"]) == 2
    assert (
        cli.main(["compare", "--data", str(made / "train.csv"), "--custom-pairs", "gpt2,small", "--no-download"]) == 2
    )


def test_a_teacher_that_can_not_be_trained_takes_its_pairs_along(home, made, monkeypatch):
    from qtinker import phases

    left = []
    monkeypatch.setattr(jobs, "advance", lambda: left.append(store.going_on()))  # who waited has its turn then
    monkeypatch.setitem(phases.PHASES, "finetune-teacher", lambda work: 1 / 0)
    with pytest.raises(RunFailed, match="None of the 2 pairs could be trained") as caught:
        api.compare(data=made / "train.csv", custom_pairs=["big,mid", "big,small"], **SETTINGS)
    assert caught.value.exit_status == 1 and "sweeps show" in caught.value.fix
    assert left == [False]
    entries = store.open("last").state()["candidates"]
    assert "ZeroDivisionError" in entries["mid-from-big-logit"]["reason"]
    assert entries["small-from-big-logit"]["reason"].startswith("Its teacher could not be trained")
    assert len(runs.list_runs()) == 1


def test_without_room_on_the_disk_it_waits_for_some(home, made, monkeypatch):
    free = iter([0, 10**12, 0])  # as the pairs are planned, again, and as the first run is made
    usage = shutil.disk_usage(home)
    monkeypatch.setattr(check.shutil, "disk_usage", lambda place: usage._replace(free=next(free, 10**12)))
    with pytest.raises(DiskFull, match=r"on the disk, and 0.* are free") as caught:
        api.compare(data=made / "train.csv", custom_pairs=["big,small"], **SETTINGS)
    assert "sweeps resume" in caught.value.fix
    with pytest.raises(DiskFull):
        api.resume_sweep("last")
    assert len(api.resume_sweep("last")["points"]) == 2


def test_no_time_no_training_and_more_time_goes_on(home, made):
    with pytest.raises(RunFailed, match="budget was over before a first candidate") as caught:
        api.compare(data=made / "train.csv", custom_pairs=["big,small"], budget=0.001, **SETTINGS)
    assert "--budget" in caught.value.fix
    report = api.resume_sweep("last", budget="1h")
    assert [row["id"] for row in report["points"]] == ["small-from-big-logit", "small-from-big-logit-bf16"]


# --- targets ---------------------------------------------------------------------------------------------------------


def test_a_target_is_met_and_what_can_not_fit_is_not_trained(home, made):
    settings = SETTINGS | {"schemes": "bf16", "methods": "logit", "epochs": 2}
    students = ["@0-1-2", "mid", "small", "L-1_H-16_A-2"]
    report = api.compress(teacher="big", data=made / "train.csv", students=students, max_size="40kB", **settings)
    assert report["met"]
    best = next(row for row in report["points"] if row["id"] == report["best"])
    fitting = [row for row in report["points"] if not target.excess(row, TargetSpec(max_size="40kB"))]
    assert best in fitting and best["score"] == max(row["score"] for row in fitting)
    assert {each["student"] for each in report["ruled_out"]} == {"@0-1-2", "mid"}
    assert {row["student"] for row in report["points"]} == {"small", "L-1_H-16_A-2"}
    assert len(runs.list_runs()) == 2


def test_a_target_that_nothing_can_meet_trains_nothing(home, made):
    report = api.compress(teacher="big", data=made / "train.csv", max_size="1kB", **SETTINGS)
    assert (report["met"], report["best"], report["points"]) == (False, None, [])
    assert "Nearest is" in report["misses"] and "at least" in report["misses"]
    assert runs.list_runs() == []


def test_a_retention_out_of_reach_names_the_nearest(home, made):
    settings = SETTINGS | {"schemes": "none", "methods": "logit", "max_steps": 1, "lr": 1e-9}
    report = api.compress(teacher="big", data=made / "train.csv", students="small", min_retention="100%", **settings)
    assert not report["met"]
    assert report["nearest"] == "small-from-big-logit"
    assert "retention where at least 100.0% is wanted" in report["misses"]
