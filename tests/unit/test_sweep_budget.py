"""The steps of a sweep on their own: which trainings are begun, paused and stopped, what is measured with what, and how
a full disk and a stop end it."""

from __future__ import annotations

import errno
import sys
from types import SimpleNamespace

import pytest
import tiny
from qtinker import registry, runs
from qtinker.compare import measuring, pairs, planning, points, probe, results, store, sweep, training
from qtinker.compare.spec import SweepSpec
from qtinker.compare.sweep import SweepWork
from qtinker.errors import DiskFull, RunStopped
from qtinker.spec import RunSpec
from qtinker.spec_methods import METHODS


def entry(*, share=0.0, score=None, seconds=0.0, operations=100.0, method="logit", status="pending"):
    return {"share": share, "score": score, "seconds": seconds, "operations": operations, "method": method,
            "student": "small", "status": status}  # fmt: skip


def work(*, budget=None, spent=0.0, **entries):
    return SimpleNamespace(
        entries=entries, spec=SimpleNamespace(budget=budget), spent=spent, still_open=lambda: list(entries),
        run_spec=lambda name: SimpleNamespace(method=METHODS[entries[name]["method"]]()),
    )  # fmt: skip


@pytest.mark.parametrize(("method", "rungs"), [
    ("logit", [0.25, 0.5, 1.0]), ("patient", [0.25, 0.5, 1.0]), ("relations", [1.0]), ("feature", [1.0]),
])  # fmt: skip
def test_a_rung_says_something_when_answers_were_trained_for_a_quarter(method, rungs):
    sweep = work(one=entry(method=method))
    assert [share for share in (0.25, 0.5, 1.0) if training.tells(sweep, "one", share)] == rungs


def test_answers_trained_throughout_are_judged_at_every_rung():
    sweep = work(one=entry())
    sweep.run_spec = lambda name: SimpleNamespace(method=METHODS["relations"](answers_throughout=True))
    assert [share for share in (0.25, 0.5, 1.0) if training.tells(sweep, "one", share)] == [0.25, 0.5, 1.0]


def test_time_is_kept_for_finishing_the_best():
    # 60 s for a quarter of 100 operations: 180 s more for the rest, and 10 s beside; as long for the other's quarter
    best = entry(share=0.25, score=0.8, seconds=60.0, status="paused")
    sweep = work(budget=400.0, spent=100.0, best=best, other=entry())
    assert training.pace(sweep) == 2.4
    assert training.seconds_left(sweep, "best") == 190.0
    assert training.seconds_left(sweep, "other") == 250.0
    assert training.crowded_out(sweep, "other", 0.25) is None  # 100 + 60 + 190 of 360
    sweep.spent = 111.0
    assert training.crowded_out(sweep, "other", 0.25) == "best"
    sweep.entries["other"]["operations"] = 50.0  # half the work: 111 + 30 + 190
    assert training.crowded_out(sweep, "other", 0.25) is None
    assert training.crowded_out(sweep, "best", 0.5) is None  # nobody crowds out itself
    sweep.spec.budget = None
    assert training.crowded_out(sweep, "other", 0.25) is None


def test_a_budget_that_ended_before_a_candidate_says_so_though_others_were_skipped():
    def told(*states):
        entries = {str(number): {"status": state, "reason": state} for number, state in enumerate(states)}
        sweep = SimpleNamespace(
            entries=entries, sweep=SimpleNamespace(id="a-sweep"), state={"unfetched": [], "models": {}}
        )
        return SweepWork.nothing(sweep)

    for states in (("out of time",), ("out of time", "refused")):
        found = told(*states)
        assert "budget was over" in found.message and "sweeps resume a-sweep --budget" in found.fix
    assert "None of the 2 pairs could be trained" in told("out of time", "failed").message


# --- how far a training is -------------------------------------------------------------------------------------------


class FakeRun:
    """A run that says what it is told to."""

    def __init__(self, events=(), status="stopped", report=None):
        self.told, self.status, self.made, self.stops = list(events), status, report, 0

    def events(self):
        return self.told, 0

    def state(self):
        return {"status": self.status, "phase": "distill"}

    def report(self):
        return self.made

    def clear_stop(self):
        pass

    def request_stop(self):
        self.stops += 1


def evaluated(step, score):
    return {"kind": "eval", "phase": "distill", "step": step, "metrics": {"accuracy": score}}


def stepped(step, total, phase="distill"):
    return {"kind": "step", "phase": phase, "step": step, "total_steps": total}


REPORT = {"training": {"distill": {"steps": 5, "examples_per_second": 9.0, "best_step": 5}}, "checkpoint": "c",
          "teacher": "t", "metrics": {}, "metric": "accuracy"}  # fmt: skip


def running(monkeypatch, run, *, rows=1000, **entries):
    """A sweep whose candidates' run is this one."""
    known = work(**entries)
    state, stop = {"decisions": []}, SimpleNamespace(exists=lambda: False)
    known.__dict__.update(
        total_steps=rows // 10, metric="accuracy", state=state, emit=lambda event: None, save=lambda **more: None,
        save_now_and_then=lambda: None, check_stop=lambda: None, out_of_time=lambda share=1.0: False,
        sweep=SimpleNamespace(stop_file=stop), closed=[], stopping=lambda: False,
    )  # fmt: skip
    known.spec.training, known.spec.target = SimpleNamespace(batch_size=10), SweepSpec.parse(DATA).target
    known.dataset = SimpleNamespace(eval=SimpleNamespace(labelled=SimpleNamespace(sum=lambda: 1000)))
    known.close = lambda name, status, reason, **more: known.closed.append((name, status))
    monkeypatch.setattr(training, "run_of", lambda work, name: run)
    return known


DATA = {"data": {"train": "sample"}}


def test_a_rung_is_a_share_of_the_steps_that_the_run_tells(monkeypatch):
    """Of running text fewer blocks are read than there are rows; of long contexts more windows."""
    for total, last in ((40, 10), (400, 100)):
        run = FakeRun()
        watch = training.Watch(running(monkeypatch, run), run, share=0.25)
        for event in (stepped(5, 999, "finetune-teacher"), stepped(1, total), evaluated(last - 1, 0.5)):
            watch(event)
        assert watch.asked is None and run.stops == 0
        watch(evaluated(last, 0.6))
        assert watch.asked == "boundary" and run.stops == 1
        again = training.Watch(watch.work, FakeRun([stepped(1, total), evaluated(last, 0.6)]), share=0.25)
        assert (
            again.reached() and again.score() == 0.6 and not training.Watch(watch.work, again.run, share=0.5).reached()
        )


def test_who_is_trained_to_the_end_before_a_rung_is_done_and_never_stopped(monkeypatch):
    run = FakeRun()
    better = {name: entry(share=0.25, score=0.9, status="paused") | {"parameters": 1} for name in ("b", "c", "d")}
    known = running(monkeypatch, run, one=entry(status="waiting") | {"parameters": 1}, **better)

    def to_the_end(run, watch):
        run.told = [stepped(1, 5), evaluated(5, 0.2)]
        for event in run.told:
            watch(event)
        return REPORT

    monkeypatch.setattr(training, "_execute", to_the_end)
    training.train_to(known, "one", 0.25)
    one = known.entries["one"]
    assert (one["share"], one["status"], one["score"], one["total_steps"], run.stops) == (1.0, "trained", 0.2, 5, 0)
    known.spec.budget = 0.0
    training.halve(known, 0.25)
    assert not [name for name, _ in known.closed if name == "one"]
    assert known.state["decisions"] == [{"share": 0.25, "stopped": [], "of": 3}]
    # a sweep of before counted it as paused at the rung
    one |= {"share": 0.25, "status": "trained"}
    run.status, run.made = "done", REPORT
    training.train_to(known, "one", 0.5)
    assert (one["share"], one["status"]) == (1.0, "trained")


def test_steps_are_those_that_were_told_else_by_what_is_read():
    rows = tiny.examples(200)
    rows.form = "blocks"
    spec = SweepSpec.parse({**DATA, "training": {"epochs": 2, "batch_size": 8}})
    sweep = SimpleNamespace(spec=spec, dataset=SimpleNamespace(train=rows), entries={"one": {}})
    blocks = SweepWork.total_steps.fget(sweep)
    assert 2 <= blocks < 25  # of 128 tokens; 200 rows would be 50 steps
    sweep.entries["one"]["total_steps"] = 12
    assert SweepWork.total_steps.fget(sweep) == 12
    rows.form, sweep.entries = "texts", {}
    assert SweepWork.total_steps.fget(sweep) == 50


# --- what is measured with what --------------------------------------------------------------------------------------


def test_two_teachers_of_one_name_are_two(tmp_path):
    def trained(teacher, folder):
        return {"teacher": teacher, "teacher_path": str(tmp_path / folder)}

    entries = {"a": trained("bert_base/support", "x"), "b": trained("finetuned/support", "y"),
               "c": trained("finetuned/support", "y"), "d": trained("other", "z")}  # fmt: skip
    keys = measuring.teacher_keys(entries)
    assert keys["a"] != keys["b"] == keys["c"] and keys["d"] == "teacher-other"
    assert all(keys[name].startswith("teacher-support-") for name in "abc")
    assert measuring.teacher_keys({"c": entries["c"]}) == {"c": "teacher-support"}
    assert results._called([each["teacher"] for each in entries.values()]) == {
        "bert_base/support": "bert_base/support", "finetuned/support": "finetuned/support", "other": "other"
    }  # fmt: skip
    assert results._called(["hub/big"]) == {"hub/big": "big"}


def test_the_teacher_itself_comes_last(monkeypatch):
    """It is then the model that its students learned from, not another finetuning."""
    known = running(monkeypatch, FakeRun(), itself=entry(status="waiting") | {"student": pairs.ITSELF},
                    one=entry(status="waiting"))  # fmt: skip
    known.state["phase"], known.spec.halving, known.say = "train", False, lambda text: None
    known.candidate = lambda name: SimpleNamespace(pair=name)
    begun = []
    monkeypatch.setattr(training, "train_to", lambda work, name, share: begun.append(name))
    training.train(known)
    assert begun == ["one", "itself"]


def test_a_quantized_model_of_earlier_weights_is_made_again():
    def add(group, name, content, **meta):
        with registry.staged(group, name) as folder:
            (folder / "config.json").write_text("{}", encoding="utf-8")
            (folder / "model.safetensors").write_bytes(content)
            registry.write_meta(folder, {"name": name, "parameters": 1, **meta})
        return registry.models_dir() / group / name

    def one(text):
        header = b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}'
        return len(header).to_bytes(8, "little") + header + text

    source = add("finetuned", "t", one(b"1"), created="2026-01-02T00:00:00+00:00")
    record = {"scheme": "bf16", "source_path": str(source), "source_key": points.weights_key(source)}
    add("quantized", "t-bf16", one(b"q"), kind="quantized", quantization=record)
    old = {"scheme": "bf16", "source_path": str(source)}
    add("quantized", "older", one(b"q"), quantization=old, created="2026-01-01T00:00:00+00:00")
    add("quantized", "newer", one(b"q"), quantization=old, created="2026-01-02T00:00:00+00:00")

    def fits(name, scheme="bf16"):
        return points.made_of(registry.find(name), source, scheme)

    assert [fits(name) for name in ("t-bf16", "older", "newer")] == [True, False, True]
    assert not fits("t-bf16", "int8-dynamic")
    assert not points.made_of(registry.find("t-bf16"), source, "bf16", "openvino"), "no engine is on record"
    assert points.quantized(source, "bf16", engine="auto", examples=None, progress=print).name == "t-bf16"
    registry.remove("finetuned/t")
    add("finetuned", "t", one(b"2"), created="2026-01-03T00:00:00+00:00")
    assert [fits(name) for name in ("t-bf16", "older", "newer")] == [False, False, False]


def test_what_was_written_of_the_surroundings_by_half_is_written_again(tmp_path):
    (tmp_path / "environment.json").write_text("", encoding="utf-8")
    found = points.surroundings(tmp_path, 2)
    assert found["threads"] == 2 and points.surroundings(tmp_path, 3) == found


# --- how it ends -----------------------------------------------------------------------------------------------------


def test_a_full_disk_fails_the_sweep_and_no_candidate(monkeypatch, tmp_path):
    known = running(monkeypatch, FakeRun(), one=entry(status="waiting"))

    def full(*args, **more):
        raise DiskFull("The disk is full (no room).", "Free some space, then go on with: python3 app runs resume r")

    monkeypatch.setattr(training, "_execute", full)
    with pytest.raises(DiskFull):
        training.train_to(known, "one", 1.0)
    assert known.entries["one"]["status"] in sweep.OPEN and known.closed == []
    known.entries["one"]["checkpoint"] = str(tmp_path)
    known.say, known.spec = lambda text, kind="": None, SweepSpec.parse(DATA)
    monkeypatch.setattr(points, "quantized", full)
    with pytest.raises(DiskFull):
        measuring.quantized(known, "one", "bf16")
    assert known.entries["one"]["schemes"] == {}


def test_a_run_that_no_disk_has_room_for_is_no_candidates_failure(qtinker_home, monkeypatch):
    def full(*args, **more):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(runs.Path, "write_text", full)
    with pytest.raises(DiskFull, match="Can't make a run folder"):
        runs.create(RunSpec.parse({"student": {"model": "small"}, **DATA}))


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), DiskFull("The disk is full.", "x")]
)
def test_a_full_disk_is_said_with_how_to_go_on(qtinker_home, monkeypatch, error):
    made = store.create(SweepSpec.parse(DATA))

    def full(work):
        raise error

    monkeypatch.setattr(planning, "plan", full)
    with pytest.raises(DiskFull, match="The disk is full") as caught:
        sweep.execute(made)
    assert caught.value.fix == f"Free some space, then go on with: python3 app sweeps resume {made.id}"
    assert (made.state()["status"], made.state()["error"]["fix"]) == ("failed", caught.value.fix)


def test_a_stop_while_students_are_timed_is_a_stop():
    stops = iter([False, True])
    with pytest.raises(RunStopped):
        probe._ended([sys.executable, "-c", "import time; time.sleep(600)"], {}, lambda: next(stops))
    failing = [sys.executable, "-c", "import sys; sys.exit('no')"]
    with pytest.raises(RunStopped):  # Ctrl-C reached the process first
        probe._ended(failing, {}, lambda: True)
    assert probe._ended(failing, {}, lambda: False) == (1, "no\n")
