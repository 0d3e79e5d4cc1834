"""The page's tasks: what is read of them, what is said of one that takes long, what outlives a page and a cleaning."""

from __future__ import annotations

import json
import os
import time

import psutil
import pytest
import uvicorn
from qtinker import api, home, jobs, runs
from qtinker.errors import InputError
from qtinker.ui import api_endpoints, server, tasks
from qtinker.ui.tasks_view import Starter


def task(name="data", *, going_on=False, **ended):
    """A task's folder, as the page makes it; the process that goes on is this one."""
    folder = tasks.tasks_dir() / f"{name}-20250101-000000-abcdef"
    folder.mkdir(parents=True)
    request = {"verb": name, "label": name, "started": time.time() - 60}
    (folder / "request.json").write_text(json.dumps(request), encoding="utf-8")
    if going_on:
        me = psutil.Process()
        (folder / "process.json").write_text(json.dumps({"pid": me.pid, "created": me.create_time()}))
    else:
        (folder / "exit.json").write_text(json.dumps({"status": 0}))
    for stream, text in ended.items():
        (folder / stream).write_text(text, encoding="utf-8")
    return folder


def test_no_character_of_a_result_ends_its_line():
    text = "one\u2028two\u2029three\x85four"
    folder = task(stdout=json.dumps({"text": text}, ensure_ascii=False) + "\r\n",
                  stderr="\r 50 %\r" + json.dumps({"name": text}, ensure_ascii=False) + "\n")  # fmt: skip
    found = tasks.read(folder.name)
    assert found.result == {"text": text} and found.progress == {"name": text}
    assert api_endpoints._finished(folder.name) == {"text": text}


def test_a_task_that_failed_while_no_page_was_open_is_shown_once():
    folder = task("download", stderr="error: no network\n")
    request = {"verb": "download", "label": "bert-tiny", "button": "fetch", "started": time.time() - 60}
    (folder / "request.json").write_text(json.dumps(request))
    (folder / "exit.json").write_text(json.dumps({"status": 1}))
    found = tasks.to_show("download", "fetch")
    assert found is not None and found.error == "no network"
    assert tasks.to_show("download", "another") is None
    tasks.seen(found)
    assert tasks.to_show("download", "fetch") is None


def test_a_failed_download_is_shown_until_another_model_is_chosen():
    folder = task("download")
    (folder / "exit.json").write_text(json.dumps({"status": 1}))
    starter = Starter.__new__(Starter)
    cleared = ["", ""]
    assert [starter.let_go(folder.name, model) == cleared for model in ("", "download", "other")] == [
        False,
        False,
        True,
    ]


def test_a_task_that_ended_well_is_shown_again_only_where_it_is_kept():
    folder = task("evaluate")
    request = {"verb": "evaluate", "label": "", "button": "measure", "started": time.time() - 60}
    (folder / "request.json").write_text(json.dumps(request))
    assert tasks.to_show("evaluate", "measure") is None
    assert tasks.to_show("evaluate", "measure", keep=True).id == folder.name


def test_a_button_pressed_again_joins_what_goes_on_with_the_same_fields():
    folder = task("quantize", going_on=True)
    request = {"verb": "quantize", "module": "qtinker", "arguments": ["quantize", "a", "--scheme", "bf16", "--json"],
               "label": "a", "button": "quantize", "started": time.time()}  # fmt: skip
    (folder / "request.json").write_text(json.dumps(request))
    assert tasks.start("quantize", ["a", "--scheme", "bf16"], label="a", button="quantize") == folder.name
    other = tasks.start("quantize", ["a", "--scheme", "fp16"], label="a", button="quantize")
    assert other != folder.name and tasks.wait(other, 60).status == "failed"


def test_a_task_that_takes_too_long_for_a_program_is_not_called_stopped(monkeypatch):
    monkeypatch.setattr(tasks, "wait", lambda task_id, timeout: tasks.read(task_id))
    folder = task("evaluate", going_on=True)
    with pytest.raises(InputError, match="evaluate still goes on after 1 h") as caught:
        api_endpoints._finished(folder.name)
    assert "left going on" in caught.value.fix and tasks.read(folder.name).going_on


@pytest.mark.parametrize(
    ("verb", "values", "words"),
    [
        ("quantize", ("a", ["int8-dynamic"]), "scheme: expected text, found list."),
        ("quantize", ("a", "int8-dynamic", 5), "name: expected text, found int."),
        ("export", ("a", {"onnx": 1}), "format: expected text, found dict."),
        ("evaluate", (["a"], "sample", "ten"), "max_examples: expected a whole number, found str."),
        ("evaluate", (["a"], "sample", 2.5), "max_examples: expected a whole number, found float."),
        ("evaluate", (["a"], "sample", -3), "max_examples is -3. Give a whole number from 1 on"),
        ("predict", (None, "a text"), "No model is chosen."),
    ],
)
def test_a_program_that_gives_another_type_is_told_which_is_wanted(verb, values, words):
    with pytest.raises(api_endpoints.gr.Error) as caught:
        api_endpoints.spoken(getattr(api_endpoints, verb))(*values)
    assert caught.value.message.startswith(words)


def put(path, *, days=0.0):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(1000))
    for each in (path, path.parent):
        os.utime(each, (time.time() - 86_400 * days,) * 2)
    return path


def test_cleaning_spares_what_others_still_want():
    cache = home.cache_dir()
    cached = [put(cache / "tokens" / "a" / "ids.npy"), put(cache / "measured.json")]
    left = [put(cache / place, days=2) for place in ("downloads/old/x.part", "uploads/old/x.zip", "tasks/old/stdout")]
    wanted = [put(cache / place) for place in
              ("downloads/new/x.part", "uploads/new/x.zip", "tasks/new/stdout", "downloads/old.lock")]  # fmt: skip
    busy = task("import", going_on=True)
    assert api.clean()["bytes"] == 0 and all(file.exists() for file in cached + left + wanted)
    (busy / "process.json").write_text(json.dumps({"pid": 2**22 + 1, "created": 1.0}))
    assert api.clean()["bytes"] == 1000 * len(cached + left)
    assert not any(file.exists() for file in cached + left) and all(file.exists() for file in wanted)


def test_a_page_that_ends_stops_the_work_only_if_no_other_is_open(monkeypatch):
    stopped = []
    monkeypatch.setattr(server, "application", lambda **how: None)
    monkeypatch.setattr(server, "keep_queue", lambda ended: None)
    monkeypatch.setattr(uvicorn.Server, "run", lambda self, sockets: sockets[0].close())
    monkeypatch.setattr(tasks, "stop_all", lambda: stopped.append("tasks"))
    monkeypatch.setattr(jobs, "stop_all", lambda: stopped.append("runs") or [])
    other = psutil.Process(os.getppid())
    note = server.servers_dir() / f"{other.pid}.json"
    note.parent.mkdir(parents=True)
    runs.write_json(note, {"pid": other.pid, "created": other.create_time()})
    server.serve(port=0)
    assert not stopped and list(server.servers_dir().iterdir()) == [note]
    runs.write_json(
        note, {"pid": other.pid, "created": other.create_time() - 60}
    )  # another had this number: it crashed
    server.serve(port=0)
    assert stopped == ["tasks", "runs"] and not any(server.servers_dir().iterdir())
