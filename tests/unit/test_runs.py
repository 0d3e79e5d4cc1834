"""The run store: whole folders, derived status, half-written lines, damaged runs, a full disk."""

from __future__ import annotations

import errno
import json
import os

import psutil
import pytest
from qtinker import api, run_writer, runs
from qtinker.errors import InputError, is_full
from qtinker.run_writer import EventWriter, StateWriter
from qtinker.spec import RunSpec

SPEC = RunSpec.parse(
    {"teacher": {"model": "big"}, "student": {"model": "small"}, "data": {"train": "sample"}, "name": "mine"}
)


def me() -> dict[str, object]:
    return {"pid": os.getpid(), "process_created": psutil.Process().create_time()}


def gone() -> dict[str, object]:
    """A pid that is in use, by a process created at another time: a reused pid."""
    return {"pid": os.getpid(), "process_created": psutil.Process().create_time() - 3600}


def test_a_created_run_is_whole_and_reads_back():
    run = runs.create(SPEC)
    assert runs.PLAIN_NAME.match(run.id)
    assert run.id.split("-")[2] == "distill"
    assert run.spec() == SPEC
    state = run.state()
    assert (state["id"], state["status"], state["kind"], state["name"]) == (run.id, "queued", "distill", "mine")
    assert run.events() == ([], 0)
    assert run.report() is None
    assert not [name for name in os.listdir(run.folder.parent) if name.startswith(".new")]


def test_kind_follows_the_spec():
    spec = RunSpec.parse({"student": {"model": "small"}, "data": {"train": "sample"}})
    assert runs.create(spec).state()["kind"] == "finetune"
    assert runs.create(spec, kind="run").state()["kind"] == "run"


def test_listing_is_newest_first_and_ids_differ():
    made = [runs.create(SPEC) for _ in range(5)]
    (runs.runs_dir() / ".new-half").mkdir()
    (runs.runs_dir() / "queue.json").write_text("{}")
    listed = [run.id for run in runs.list_runs()]
    assert sorted(listed, reverse=True) == listed
    assert set(listed) == {run.id for run in made}


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../runs", "a/b", "a\\b", "/etc", "a..b", ".hidden", "x" * 101, None, 7]
)
def test_open_takes_plain_names_only(name):
    (runs.runs_dir() / "a" / "b").mkdir(parents=True)
    with pytest.raises(InputError, match="no run id"):
        runs.open(name)


def test_open_refuses_unknown_and_links(tmp_path):
    run = runs.create(SPEC)
    with pytest.raises(InputError, match="There is no run 'zzz'"):
        runs.open("zzz")
    (runs.runs_dir() / "link").symlink_to(tmp_path, target_is_directory=True)
    with pytest.raises(InputError, match="is a link"):
        runs.open("link")
    assert [found.id for found in runs.list_runs()] == [run.id]


def test_open_by_ending_and_last():
    run = runs.create(SPEC)
    assert runs.open(run.id[-4:]).id == run.id
    assert runs.open("last").id == run.id


def test_status_is_derived_from_the_process():
    run = runs.create(SPEC)
    writer = StateWriter(run)
    writer.update(status="running", attempt=1, **me())
    assert run.state()["status"] == "running"
    run.request_stop()
    assert run.state()["status"] == "stopping"
    run.clear_stop()
    writer.update(**gone())
    assert run.state()["status"] == "interrupted"
    writer.update(status="done")
    assert run.state()["status"] == "done"


def test_a_queued_run_with_a_stop_flag_is_withdrawn():
    run = runs.create(SPEC)
    run.request_stop()
    assert run.state()["status"] == "stopped"


def test_a_launch_counts_until_the_worker_writes():
    run = runs.create(SPEC)
    runs.write_json(run.files.launch, me() | {"attempt": 1})
    assert run.state()["status"] == "running"
    runs.write_json(run.files.launch, gone() | {"attempt": 1})
    assert run.state()["status"] == "interrupted"
    StateWriter(run).update(status="failed", attempt=1)
    assert run.state()["status"] == "failed"


@pytest.mark.parametrize("content", ["", "{", "[1]", "null", '{"status": 3}', "\0\0\0"])
def test_a_damaged_run_is_listed_as_broken(content):
    run = runs.create(SPEC)
    run.files.state.write_text(content)
    state = run.state()
    assert state["status"] == "broken"
    assert run.id in state["error"]["message"]
    assert runs.list_runs()[0].id == run.id


def test_an_empty_folder_is_broken_and_can_be_deleted():
    (runs.runs_dir() / "just-a-folder").mkdir(parents=True)
    run = runs.open("just-a-folder")
    assert "missing" in run.state()["error"]["message"]
    with pytest.raises(InputError):
        run.spec()
    assert (run.events(), run.log_tail(), run.report()) == (([], 0), "", None)
    run.delete()
    assert runs.list_runs() == []


def test_a_run_named_twice_is_removed_once():
    both = {runs.create(SPEC).id, runs.create(SPEC).id}  # in one second, so either may be the last
    last = runs.open("last").id
    removed = api.remove_runs([last, last.rsplit("-", 1)[1], "last"])
    assert removed == {"removed": [last]} and {run.id for run in runs.list_runs()} == both - {last}


def test_delete_is_refused_while_running():
    run = runs.create(SPEC)
    writer = StateWriter(run)
    writer.update(status="running", **me())
    with pytest.raises(InputError, match="is going on"):
        run.delete()
    writer.update(status="stopped")
    run.delete()
    assert not run.folder.exists()
    assert runs.list_runs() == []


def test_events_leave_a_half_written_line_and_skip_garbage():
    run = runs.create(SPEC)
    whole = b'{"kind": "a"}\n\xff\xfe garbage\n[1]\n{"kind": "b"}\n'
    run.files.events.write_bytes(whole + b'{"kind": "c", "te')
    events, offset = run.events()
    assert [event["kind"] for event in events] == ["a", "b"]
    assert offset == len(whole)
    assert run.events(offset) == ([], offset)
    with run.files.events.open("ab") as file:
        file.write(b'xt": 1}\n')
    assert [event["kind"] for event in run.events(offset)[0]] == ["c"]


def test_the_event_writer_cuts_a_half_written_line_and_goes_on():
    run = runs.create(SPEC)
    run.files.events.write_bytes(b'{"kind": "a"}\n{"kind": "b", "lo')
    writer = EventWriter(run)
    writer.emit({"kind": "message", "text": "wéiter\n"})
    writer.close()
    events, offset = run.events()
    assert [event["kind"] for event in events] == ["a", "message"]
    assert events[1]["text"] == "wéiter\n"
    assert isinstance(events[1]["time"], float)
    assert offset == run.files.events.stat().st_size


class FullFile:
    """A file on a disk that takes `room` more bytes, then none, until `room` is raised."""

    def __init__(self, file, room):
        self.file, self.room = file, room

    def write(self, data):
        fits = data[: self.room]
        self.room -= len(fits)
        if data and not fits:
            raise OSError(errno.ENOSPC, "No space left on device")
        return self.file.write(fits)

    def __getattr__(self, name):
        return getattr(self.file, name)


def test_events_that_a_full_disk_refuses_are_written_later():
    run = runs.create(SPEC)
    writer = EventWriter(run)
    disk = writer._file = FullFile(writer._file, 60)
    for number in range(4):
        writer.emit({"kind": "step", "step": number})
    assert [event["step"] for event in run.events()[0]] == [0]
    assert run.files.events.read_bytes().endswith(b"\n")
    disk.room = 10_000
    writer.emit({"kind": "step", "step": 4})
    assert [event["step"] for event in run.events()[0]] == [0, 1, 2, 3, 4]


def test_a_full_disk_is_known_by_number_and_by_words():
    assert is_full(OSError(errno.ENOSPC, "no room")) and not is_full(OSError(errno.EPERM, "no"))
    rust = "Error while serializing: I/O error: No space left on device (os error 28)"
    assert is_full(ValueError(rust)) and not is_full(ValueError(rust.replace("28", "13")))


def test_a_full_disk_keeps_the_old_state_and_frees_the_reserve(monkeypatch):
    run = runs.create(SPEC)
    writer = StateWriter(run)
    assert run.files.reserve.stat().st_size == run_writer.RESERVE_BYTES
    writer.update(status="running", step=1, **me())

    def full(path, data):
        if run.files.reserve.exists() or always:
            raise OSError(errno.ENOSPC, "No space left on device")
        runs.write_json(path, data)

    monkeypatch.setattr(run_writer, "write_json", full)
    always = True
    assert writer.update(step=2) is False
    assert run.state()["step"] == 1
    always = False
    run.files.reserve.write_bytes(b"\0" * 10)
    assert writer.update(status="failed", error={"message": "full"}) is True
    assert (run.state()["status"], run.state()["step"]) == ("failed", 2)


def test_write_json_leaves_nothing_behind_when_it_fails(tmp_path, monkeypatch):
    path = tmp_path / "a" / "state.json"
    path.parent.mkdir()
    runs.write_json(path, {"a": 1})

    def refuse(self, target):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(type(path), "replace", refuse)
    with pytest.raises(OSError, match="No space"):
        runs.write_json(path, {"a": 2})
    assert json.loads(path.read_text()) == {"a": 1}
    assert os.listdir(path.parent) == ["state.json"]


def test_log_tail():
    run = runs.create(SPEC)
    run.files.log.write_text("\n".join(f"line {number}" for number in range(1000)) + "\n")
    assert run.log_tail(3) == "line 997\nline 998\nline 999\n"
    assert run.log_tail(1) == "line 999\n"


@pytest.mark.parametrize("verb", ["verify", "remove", "remove_runs", "remove_sweeps"])
def test_a_single_name_is_not_taken_letter_by_letter(verb):
    """Models that are called by one letter each would have been deleted."""
    import qtinker

    with pytest.raises(InputError, match="'xyz'"):
        getattr(qtinker, verb)("xyz")
