"""What is drawn: plain lines where the stream is no terminal, tables that line up, figures in words."""

from __future__ import annotations

import io
import json

import pytest
from qtinker import console
from qtinker.cli import show


def drawn(*events: dict) -> str:
    stream = io.StringIO()
    with console.Drawing(stream) as drawing:
        for event in events:
            drawing(event)
    return stream.getvalue()


def test_events_as_plain_lines(monkeypatch):
    monkeypatch.setattr(console, "SECONDS_BETWEEN_LINES", 0.0)
    text = drawn(
        {"kind": "phase", "phase": "distill", "index": 3, "count": 5, "title": "Distilling [logit]", "total_steps": 10},
        {"kind": "step", "step": 4, "total_steps": 10, "loss": 0.51239, "examples_per_second": 99.6, "eta_s": 62},
        {"kind": "step", "step": 5, "total_steps": None, "loss": None, "examples_per_second": None, "eta_s": None},
        {"kind": "eval", "step": 5, "metrics": {"accuracy": 0.75}, "best": True},
        {"kind": "message", "level": "warning", "text": "Two [odd] rows."},
        {"kind": "something new"},
    )
    assert text == (
        "[3/5] Distilling [logit]\n  step 4/10, loss 0.5124, 100 examples/s, 1:02 left\n  step 5\n"
        "  step 5: accuracy 0.7500 (best so far)\n  warning: Two [odd] rows.\n"
    )


def test_lines_come_now_and_then():
    step = {"kind": "step", "step": 1, "total_steps": 9, "loss": 1.0}
    text = drawn({"kind": "phase", "phase": "x", "title": "Training", "total_steps": 9}, *[step] * 50)
    assert text == "Training\n"


def download(phase: str, done: int, **more) -> dict:
    return {
        "name": "bert-tiny",
        "file": "a",
        "phase": phase,
        "done": done,
        "total": 2_000_000,
        "speed": 1e6,
        "eta": 1.0,
    } | more


def test_downloads_as_lines_and_as_json():
    stream = io.StringIO()
    with console.Downloads(stream=stream) as drawing:
        for event in (download("download", 0), download("download", 10), download("verify", 0), download("done", 0)):
            drawing(event)
    assert stream.getvalue().splitlines() == [
        "bert-tiny: download 0 B of 2.0 MB, 1.0 MB/s, 0:01 left", "bert-tiny: verify", "bert-tiny: done",
    ]  # fmt: skip
    stream = io.StringIO()
    with console.Downloads(as_json=True, stream=stream) as drawing:
        drawing(download("done", 5, already=True))
    assert json.loads(stream.getvalue()) == download("done", 5, already=True)


def test_a_download_that_is_done_leaves_no_bar_behind():
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    with console.Downloads(stream=Terminal()) as drawing:
        drawing(download("convert", 5))
        drawing(download("done", 0, total=None))
        drawing(download("done", 0, total=None, name="bert-mini", already=True))
        assert drawing.progress is not None and not drawing.progress.tasks
    text = drawing.stream.getvalue()
    assert "bert-tiny: done" in text and "bert-mini: done (was here already)" in text


def test_a_table_lines_up():
    text = console.table(["model", "accuracy"], [["a", "0.5"], ["long-name", "-"]])
    assert text.splitlines() == [
        "model      accuracy", "---------  --------", "a               0.5", "long-name         -",
    ]  # fmt: skip


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (61.6, "1:02"), (3600, "1:00:00"), (86399, "23:59:59")])
def test_durations(seconds, text):
    assert console.duration(seconds) == text


def test_columns_that_nobody_filled_are_left_out():
    rows = [{"name": "a", "metrics": {"accuracy": 0.5}, "bytes": 1000, "latency_ms": {"p50": 1.234, "p95": 2.0}}]
    assert show.models_table(rows).splitlines()[0].split() == ["model", "accuracy", "size", "p50", "ms", "p95", "ms"]


def test_long_texts_are_cut_to_a_line():
    assert show.shorten("a\nb" * 100, 20) == "a ba ba ba ba ba ..."


def test_steps_are_lines_for_people_and_json_for_programs():
    out = io.StringIO()
    steps = console.Steps((0.0, 0.5), as_json=True, stream=out)
    steps("Loading")
    steps("Comparing")
    steps("Kept")
    for done in range(1001):
        steps.within("Copying", 0.2, 0.4, done, 1000)
    told = [json.loads(line) for line in out.getvalue().splitlines()]
    assert told[:3] == [
        {"progress": 0.0, "step": "Loading"},
        {"progress": 0.5, "step": "Comparing"},
        {"progress": 0.5, "step": "Kept"},
    ]
    shares = [each["progress"] for each in told[3:]]
    assert shares[0] == 0.2 and len(shares) <= 21 and shares == sorted(shares) and 0.39 <= shares[-1] <= 0.4
    out = io.StringIO()
    steps = console.Steps((0.0,), stream=out)
    for done in range(1001):
        steps.within("Copying", 0.2, 0.4, done, 1000)
    assert out.getvalue() == "Copying\n"
