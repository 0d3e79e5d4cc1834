"""Start, stop, resume and queue, with real processes: a stand-in worker that writes state as the real one does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from qtinker import api, jobs, registry, runs
from qtinker.compare import store
from qtinker.compare.spec import SweepSpec
from qtinker.errors import InputError
from qtinker.run_writer import StateWriter
from qtinker.spec import RunSpec, StudentSpec
from qtinker.ui.run_views import waits_for
from qtinker.ui.texts import Texts

SPEC = RunSpec.parse({"student": {"model": "small"}, "data": {"train": "sample"}})

WORKER = """
import os, sys, time, psutil
from qtinker import jobs, runs
from qtinker.run_writer import StateWriter
run, mode = runs.open(sys.argv[2]), sys.argv[1]
jobs.COMMAND = (sys.executable, sys.argv[0], mode)
state = StateWriter(run)
state.update(status="running", pid=os.getpid(), process_created=psutil.Process().create_time(), own_process=True,
             attempt=state.fields["attempt"] + 1)
with (runs.runs_dir() / "order.txt").open("a") as file:
    file.write(run.id + "\\n")
print("begun", flush=True)
if mode == "crash":
    raise SystemExit("crashed")
while mode != "quick" and not (mode == "polite" and run.stop_requested()):
    time.sleep(0.01)
state.update(status="done" if mode == "quick" else "stopped")
run.clear_stop()
jobs.advance()
"""


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    """Processes that a test starts find the package too."""
    monkeypatch.setenv("PYTHONPATH", str(Path(runs.__file__).parents[1]))


@pytest.fixture
def worker(tmp_path, monkeypatch):
    """Choose how the stand-in behaves: polite (obeys), stubborn (never ends), quick (ends at once), crash."""
    script = tmp_path / "worker.py"
    script.write_text(WORKER)

    def choose(mode):
        monkeypatch.setattr(jobs, "COMMAND", (sys.executable, str(script), mode))

    choose("polite")
    yield choose
    for run in runs.list_runs():
        run.request_stop(deadline=0)
        jobs._kill(run)


def until(condition, seconds=60):
    """Wait for a condition; the limit is only there so that a failure ends."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def status(run):
    return run.state()["status"]


def begun(run):
    return run.state()["attempt"] >= 1 and run.state()["pid"]


def test_one_runs_and_the_rest_wait_in_order(worker):
    first, second, third = (runs.create(SPEC) for _ in range(3))
    assert jobs.start(first.id)["status"] == "running"
    assert [jobs.start(run.id)["status"] for run in (second, third)] == ["queued", "queued"]
    assert jobs.start(first.id)["status"] == "running"
    assert jobs.queued() == [second.id, third.id]
    assert f"Training now: {first.id}." in waits_for(Texts("en")), "it may have been begun elsewhere"
    assert jobs.reorder([third.id, "unknown"]) == [third.id, second.id]
    assert jobs.advance() is None
    until(lambda: begun(first))
    jobs.stop(first.id, wait=True)
    assert status(first) == "stopped"
    until(lambda: begun(third))  # the worker itself started the next one
    assert status(second) == "queued"
    jobs.stop(third.id, wait=True)
    until(lambda: begun(second))
    jobs.stop(second.id, wait=True)
    order = (runs.runs_dir() / "order.txt").read_text().split()
    assert order == [first.id, third.id, second.id]


def test_a_sweep_keeps_its_turn_between_its_runs(worker):
    """None of its runs is going on, and yet nobody else begins: it may be measuring times."""
    sweep, run = store.create(SweepSpec.parse({"data": {"train": "sample"}})), runs.create(SPEC)
    process = psutil.Process()
    sweep.write(sweep.state() | {"status": "running", "pid": process.pid, "process_created": process.create_time()})
    assert jobs.start(run.id)["status"] == "queued"
    assert jobs.advance() is None and status(run) == "queued"
    sweep.write(sweep.state() | {"process_created": 1.0})  # it was killed
    assert jobs.advance() == run.id
    until(lambda: begun(run))
    jobs.stop(run.id, wait=True)


def test_withdrawing_a_queued_run(worker):
    first, second = runs.create(SPEC), runs.create(SPEC)
    jobs.start(first.id)
    jobs.start(second.id)
    assert jobs.stop(second.id)["status"] == "stopped"
    assert jobs.queued() == []
    until(lambda: begun(first))
    jobs.stop(first.id, wait=True)
    assert jobs.advance() is None
    assert not begun(second)


def test_a_worker_has_a_session_of_its_own_and_writes_the_log(worker):
    run = runs.create(SPEC)
    jobs.start(run.id)
    until(lambda: begun(run))
    if os.name == "posix":
        assert os.getsid(run.state()["pid"]) != os.getsid(0)
    until(lambda: run.log_tail() == "begun\n")


def test_a_model_that_a_run_needs_is_not_removed(worker):
    worker("polite")
    with registry.staged("hub", "small") as folder:
        (folder / "config.json").write_text("{}")
    run = runs.create(SPEC)
    jobs.start(run.id)
    with pytest.raises(InputError, match=f"Run {run.id} needs hub/small") as caught:
        api.remove("small")
    assert f"runs stop {run.id}" in caught.value.fix
    waiting = runs.create(SPEC.model_copy(update={"student": StudentSpec(model="large")}))
    with registry.staged("hub", "large") as folder:
        (folder / "config.json").write_text("{}")
    jobs.start(waiting.id)
    with pytest.raises(InputError, match=f"Run {waiting.id} needs hub/large and waits in the queue"):
        api.remove("large")
    jobs.stop(waiting.id)
    jobs.stop(run.id, wait=True)
    assert api.remove(["small", "large"]) == {"removed": ["hub/small", "hub/large"]}


def test_a_run_that_is_done_names_the_command_for_another_like_it():
    run = runs.create(SPEC)
    StateWriter(run).update(status="done")
    with pytest.raises(InputError) as caught:
        jobs.check_resumable(run)
    assert caught.value.fix.endswith(f"python3 app run {run.folder / 'spec.yaml'}")


def test_a_killed_worker_is_interrupted_and_resumes(worker):
    run = runs.create(SPEC)
    jobs.start(run.id)
    until(lambda: begun(run))
    pid = run.state()["pid"]
    psutil.Process(pid).kill()
    until(lambda: status(run) == "interrupted")
    jobs.resume(run.id)
    until(lambda: run.state()["pid"] != pid)
    assert (status(run), run.state()["attempt"]) == ("running", 2)
    with pytest.raises(InputError, match="going on already"):
        jobs.resume(run.id)


def test_a_worker_that_dies_before_it_begins_is_interrupted(worker, tmp_path, monkeypatch):
    monkeypatch.setattr(jobs, "COMMAND", (sys.executable, "-c", "raise SystemExit('no such thing')"))
    run = runs.create(SPEC)
    jobs.start(run.id)
    until(lambda: status(run) == "interrupted")
    assert "no such thing" in run.log_tail()


def test_a_crash_does_not_stall_the_queue(worker):
    worker("crash")
    first, second = runs.create(SPEC), runs.create(SPEC)
    jobs.start(first.id)
    jobs.start(second.id)
    until(lambda: status(first) == "interrupted")
    worker("polite")
    until(lambda: jobs.advance() == second.id or begun(second))


def test_a_stubborn_worker_and_its_children_are_killed(worker, tmp_path):
    worker("stubborn")
    run = runs.create(SPEC)
    jobs.start(run.id)
    until(lambda: begun(run))
    pid = run.state()["pid"]
    assert jobs.stop(run.id, grace_s=0.1, wait=True)["status"] == "interrupted"
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_a_stop_answers_at_once_and_the_kill_follows(worker):
    worker("stubborn")
    run = runs.create(SPEC)
    jobs.start(run.id)
    until(lambda: begun(run))
    assert jobs.stop(run.id, grace_s=0.2)["status"] == "stopping"
    until(lambda: status(run) == "interrupted")


def test_an_overdue_stop_is_enforced_by_whoever_polls(worker):
    """The server that was asked to stop the run died before it could kill."""
    worker("stubborn")
    run = runs.create(SPEC)
    jobs.start(run.id)
    until(lambda: begun(run))
    run.request_stop(deadline=time.time() - 5)
    jobs.advance()
    until(lambda: status(run) == "interrupted")


def test_stopping_what_does_not_run_is_refused(worker):
    worker("quick")
    run = runs.create(SPEC)
    jobs.start(run.id)
    until(lambda: status(run) == "done")
    for call in (jobs.stop, jobs.start, jobs.resume):
        with pytest.raises(InputError, match="done"):
            call(run.id)


def test_stop_all_holds_the_queue_until_the_app_is_back(worker):
    first, second = runs.create(SPEC), runs.create(SPEC)
    jobs.start(first.id)
    jobs.start(second.id)
    until(lambda: begun(first))
    assert jobs.stop_all() == [first.id]
    assert (status(first), status(second)) == ("stopped", "queued")
    assert jobs.advance() is None
    assert jobs.unpause() == second.id
    jobs.resume(first.id)
    assert status(first) == "queued"
    assert jobs.queued() == [first.id]


def test_many_starters_start_one(worker, tmp_path):
    """Several processes at once: a lock, so never two runs."""
    made = [runs.create(SPEC) for _ in range(3)]
    code = f"import sys; from qtinker import jobs; jobs.COMMAND = {jobs.COMMAND!r}; jobs.start(sys.argv[1])"
    starters = [subprocess.Popen([sys.executable, "-c", code, run.id]) for run in made]
    assert [starter.wait() for starter in starters] == [0, 0, 0]
    assert len(jobs.active()) == 1
    assert len(jobs.queued()) == 2


def test_a_process_that_does_more_than_the_run_is_never_killed(worker):
    """A run inside a notebook: its process is asked to stop, not killed."""
    run = runs.create(SPEC)
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    StateWriter(run).update(
        status="running", pid=other.pid, process_created=psutil.Process(other.pid).create_time(), attempt=1
    )
    assert jobs.stop_all() == []
    assert status(run) == "running"
    jobs.stop(run.id, grace_s=0.05, wait=True)
    assert other.poll() is None
    assert status(run) == "stopping"
    other.communicate(b"\n")


def test_a_damaged_queue_file_loses_no_run(worker):
    first, second = runs.create(SPEC), runs.create(SPEC)
    jobs.start(first.id)
    (runs.runs_dir() / "queue.json").write_text('{"order": [1')
    assert jobs.start(second.id)["status"] == "queued"
    assert jobs.queued() == [second.id]


@pytest.mark.skipif(os.name != "posix", reason="signals of a terminal")
def test_ctrl_c_in_the_terminal_does_not_reach_the_worker(worker, tmp_path):
    code = (
        f"import sys, os, signal; from qtinker import jobs; jobs.COMMAND = {jobs.COMMAND!r}; "
        "jobs.start(sys.argv[1]); os.killpg(0, signal.SIGKILL)"
    )
    run = runs.create(SPEC)
    starter = subprocess.Popen([sys.executable, "-c", code, run.id], start_new_session=True)
    assert starter.wait() == -signal.SIGKILL
    until(lambda: begun(run))
    assert status(run) == "running"
