"""Runs that survive: reload, second tab, server killed and started again, stop and resume, a worker killed with -9."""

from __future__ import annotations

import contextlib
import copy
import json
import shutil
import subprocess

import psutil
import pytest
from conftest import SLOW_MS, TINY, until

pytestmark = pytest.mark.browser


def long_run() -> dict:
    """A run that would take minutes."""
    spec = copy.deepcopy(TINY)
    spec["training"] |= {"epochs": 400, "save_every": 5}
    spec |= {"control": False, "name": "long"}
    return spec


def begin(server, spec) -> str:
    from gradio_client import Client

    return Client(server.url, verbose=False).predict(spec, api_name="/start_distill")["id"]


def state(home, run_id):
    path = home / "runs" / run_id / "state.json"
    return json.loads(path.read_text())


def steps(home, run_id, *, whole=True):
    """Steps of the student so far; unless every line should be `whole`, a last line without its end is left out."""
    text = (home / "runs" / run_id / "events.jsonl").read_text()
    lines = (text if whole else text[: text.rfind("\n") + 1]).splitlines()
    return [
        event["step"] for line in lines if (event := json.loads(line))["kind"] == "step" and event["phase"] == "distill"
    ]


def gone(process):
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_reload_restart_stop_and_resume(start_server, visit, fresh_home):
    server = start_server(fresh_home)
    run_id = begin(server, long_run())
    until(lambda: len(steps(fresh_home, run_id)) > 10, what="training", seconds=240)
    page = visit(f"{server.url}/?tab=runs&run={run_id}", quiet=False)  # a dead server is an error to the browser
    page.wait_for_selector("#qt-run-charts .qt-line")

    def shown() -> int:
        return int(page.inner_text("#qt-run-head dd >> nth=0").split("/")[0].replace(",", ""))

    before = until(shown)
    page.reload()
    page.wait_for_selector("#qt-run-charts .qt-line")
    assert until(shown) >= before and run_id in page.url
    second = visit(f"{server.url}/?tab=runs")
    second.wait_for_selector(f"#qt-run-head >> text={run_id}")

    worker = psutil.Process(state(fresh_home, run_id)["pid"])
    second.context.close()
    server.stop(kill=True)
    assert worker.is_running(), "a server that dies leaves its worker training"
    count = len(steps(fresh_home, run_id))
    until(lambda: len(steps(fresh_home, run_id)) > count, what="training without a server")
    server.start()
    page.goto(f"{server.url}/?tab=runs&run={run_id}")
    page.wait_for_selector("#qt-run-head .qt-pill.running")
    page.wait_for_selector("#qt-run-charts .qt-line")
    assert until(shown) >= before

    page.click("#qt-stop")
    page.wait_for_selector("#qt-run-head .qt-pill.stopped")
    until(lambda: gone(worker), what="the worker's end")
    at = max(steps(fresh_home, run_id))
    page.click("#qt-resume")
    page.wait_for_selector("#qt-run-head .qt-pill.running")
    until(lambda: max(steps(fresh_home, run_id)) > at, what="going on")

    psutil.Process(state(fresh_home, run_id)["pid"]).kill()
    page.wait_for_selector("#qt-run-head .qt-pill.interrupted")
    page.wait_for_selector("#qt-resume")
    with (fresh_home / "runs" / run_id / "events.jsonl").open("a") as file:
        file.write('{"kind": "step", "pha')  # what a killed worker may leave
    page.reload()
    page.wait_for_selector("#qt-run-head .qt-pill.interrupted")
    page.wait_for_selector("#qt-run-charts .qt-line")
    at = max(steps(fresh_home, run_id, whole=False))
    page.click("#qt-resume")
    page.wait_for_selector("#qt-run-head .qt-pill.running")
    until(lambda: max(steps(fresh_home, run_id, whole=False)) > at, what="going on after a half-written line")
    assert steps(fresh_home, run_id)  # every line is whole again
    page.click("#qt-stop")
    page.wait_for_selector("#qt-run-head .qt-pill.stopped")
    page.click("#qt-delete")
    page.click("#qt-delete-yes")
    until(lambda: not (fresh_home / "runs" / run_id).exists())
    page.wait_for_function(f"!location.search.includes('{run_id}')")


def test_ending_the_app_stops_its_run_which_can_be_resumed(start_server, fresh_home):
    server = start_server(fresh_home)
    run_id = begin(server, long_run())
    until(lambda: steps(fresh_home, run_id), what="training", seconds=240)
    worker = psutil.Process(state(fresh_home, run_id)["pid"])
    assert server.stop() == 0
    assert state(fresh_home, run_id)["status"] == "stopped"
    until(lambda: gone(worker), what="the worker's end")
    server.start()
    from gradio_client import Client

    there = Client(server.url, verbose=False)
    assert there.predict(run_id, api_name="/run_status")["status"] == "stopped"
    there.predict(run_id, api_name="/resume")
    until(lambda: there.predict(run_id, api_name="/run_status")["status"] == "running")
    there.predict(run_id, api_name="/stop")
    until(lambda: there.predict(run_id, api_name="/run_status")["status"] == "stopped")


def test_runs_wait_in_an_order_that_can_be_changed_and_can_be_withdrawn(start_server, visit, fresh_home):
    server = start_server(fresh_home)
    first, *waiting = [begin(server, long_run() | {"name": name}) for name in ("goes", "waits", "waits-too")]
    second, third = waiting
    page = visit(f"{server.url}/?tab=runs&run={third}")
    page.wait_for_selector("#qt-run-head .qt-pill.queued")
    page.click("#qt-earlier")
    until(lambda: json.loads((fresh_home / "runs" / "queue.json").read_text())["order"] == [third, second])
    page.wait_for_selector(f"[data-pick='{third}'] >> text=1.")
    page.click("#qt-stop")
    page.wait_for_selector("#qt-run-head .qt-pill.stopped")
    page.click(f"[data-pick='{second}']")
    page.wait_for_selector("#qt-run-head .qt-pill.queued")
    page.click("#qt-stop")
    page.wait_for_selector("#qt-run-head .qt-pill.stopped")
    page.click(f"[data-pick='{first}']")
    page.wait_for_selector("#qt-run-head .qt-pill.running")
    page.click("#qt-stop")
    page.wait_for_selector("#qt-run-head .qt-pill.stopped")


@pytest.fixture
def small_disk(fresh_home):
    """The runs of the home on a disk of their own that is soon full."""
    runs = fresh_home / "runs"
    runs.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(runs)]
    if not shutil.which("mount") or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("no disk can be mounted here")
    yield runs
    subprocess.run(["umount", "-l", str(runs)], check=True)


def test_a_full_disk_is_told_and_the_run_goes_on_when_there_is_room(small_disk, start_server, visit, fresh_home):
    server = start_server(fresh_home)
    run_id = begin(server, long_run())
    until(lambda: steps(fresh_home, run_id, whole=False), what="training", seconds=240)
    page = visit(f"{server.url}/?tab=runs&run={run_id}")
    page.wait_for_selector("#qt-run-head .qt-pill.running")
    filler = small_disk / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(1 << 16)):
            pass
    page.wait_for_selector("#qt-run-head .qt-pill.failed", timeout=3 * SLOW_MS)
    page.wait_for_selector("#qt-run-head >> text=disk is full")
    page.wait_for_selector("#qt-run-head >> text=Free some space")
    assert "Traceback" not in page.inner_text("#qt-run-head")
    filler.unlink()
    at = max(steps(fresh_home, run_id, whole=False))
    page.click("#qt-resume")
    page.wait_for_selector("#qt-run-head .qt-pill.running")
    until(lambda: max(steps(fresh_home, run_id, whole=False)) > at, what="going on")
    page.click("#qt-stop")
    page.wait_for_selector("#qt-run-head .qt-pill.stopped")
