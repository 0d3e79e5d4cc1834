"""What a program may do in the function that it gives as `on_event`."""

from __future__ import annotations

import inspect

import pytest
import qtinker
import task_data
from qtinker import api, jobs
from qtinker.errors import RunFailed, RunStopped

pytestmark = pytest.mark.train


@pytest.fixture
def settings(qtinker_home, tmp_path):
    hub = qtinker_home / "bert_models" / "hub"
    hub.mkdir(parents=True)
    task_data.encoder(hub, "encoder", layers=1, seed=1)
    return {"model": "encoder", "data": str(task_data.write(tmp_path, "multi-label", 60)), "epochs": 2}


def test_it_stops_the_run_which_then_goes_on(settings, monkeypatch):
    def waited(*_):
        raise AssertionError("it waits for the process that it runs in")

    monkeypatch.setattr(jobs, "_gone_within", waited)

    def stop(event):
        if event["kind"] == "step" and event["phase"] == "finetune":
            qtinker.stop_run(qtinker.runs()["runs"][0]["id"])

    with pytest.raises(RunStopped, match="step 1 of"):
        qtinker.finetune(**settings, on_event=stop)
    [run] = qtinker.runs()["runs"]
    assert run["status"] == "stopped"
    kinds = []
    report = qtinker.resume_run(run["id"], on_event=lambda event: kinds.append(event["kind"]))
    assert report["run"] == run["id"] and {"phase", "step", "eval", "message", "result"} <= {*kinds}


def test_its_own_errors_are_told_as_its_own(settings):
    def broken(event):
        if event["kind"] == "eval":
            raise KeyError("accuracy")

    with pytest.raises(RunFailed, match=r"The function given as on_event raised KeyError: 'accuracy'. Mend it, then"):
        qtinker.finetune(**settings, on_event=broken)
    assert qtinker.runs()["runs"][0]["status"] == "failed"


def test_warnings_of_the_check_come_first_and_stay_with_the_run(settings):
    events = []
    report = qtinker.finetune(**settings, batch_size=100, max_length=100, on_event=events.append)
    length, batch = (event["text"] for event in events[:2])
    assert length == "data.max_length: encoder has 64 positions: texts are cut to that. Set it to 64."
    assert batch == "training.batch_size: 100 is more than the 53 training examples: each epoch is one step. Lower it."
    assert events[2]["kind"] == "phase", "what the run says of its data itself isn't said twice"
    assert {length, batch} <= {*report["warnings"]}


@pytest.mark.parametrize(
    "verb", ["distill", "evaluate", "predict", "quantize", "export", "compare", "data", "download"]
)
def test_verbs_show_what_they_take(verb):
    assert inspect.signature(getattr(qtinker, verb)) == inspect.signature(getattr(api, verb))
