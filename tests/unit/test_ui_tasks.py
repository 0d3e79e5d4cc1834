"""The page's tasks: what is read of them and said of one that takes long."""

from __future__ import annotations

import json
import time

import psutil
import pytest
from qtinker.errors import InputError
from qtinker.ui import api_endpoints, tasks


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


def test_a_task_that_takes_too_long_for_a_program_is_not_called_stopped(monkeypatch):
    monkeypatch.setattr(tasks, "wait", lambda task_id, timeout: tasks.read(task_id))
    folder = task("evaluate", going_on=True)
    with pytest.raises(InputError, match="evaluate still goes on after 1 h") as caught:
        api_endpoints._finished(folder.name)
    assert "left going on" in caught.value.fix and tasks.read(folder.name).going_on
