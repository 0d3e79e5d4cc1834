"""Whether other programs kept the processors busy while a model was measured."""

from __future__ import annotations

import subprocess
import sys
import time
from types import SimpleNamespace

import psutil
import pytest
from qtinker import elsewhere
from qtinker.elsewhere import Elsewhere, crowded, warning


def test_only_what_others_took_is_counted(monkeypatch):
    """Over 4 s all processors worked 7 s, of which this process 5: half a processor was busy elsewhere."""
    clock = iter([10.0, 14.0])
    system = iter([
        SimpleNamespace(user=100.0, nice=5.0, system=20.0, idle=50.0, iowait=9.0, guest=3.0),
        SimpleNamespace(user=104.0, nice=6.0, system=22.0, idle=51.0, iowait=99.0, guest=77.0),
    ])  # fmt: skip
    own = iter([SimpleNamespace(user=1.0, system=1.0), SimpleNamespace(user=5.0, system=2.0)])
    monkeypatch.setattr(elsewhere.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(elsewhere.psutil, "cpu_times", lambda: next(system))
    monkeypatch.setattr(elsewhere.psutil, "Process", lambda: SimpleNamespace(cpu_times=lambda: next(own)))
    assert Elsewhere().processors() == pytest.approx(0.5)


def test_another_process_is_seen():
    watched = Elsewhere()
    assert watched.processors() is None  # too short a time to tell
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2)]
    try:
        time.sleep(2)
        assert (watched.processors() or 0) > 0.3
    finally:
        for other in others:
            other.kill()
            other.wait()


def test_a_system_that_does_not_tell_is_no_failure(monkeypatch):
    def refused() -> None:
        raise psutil.AccessDenied

    monkeypatch.setattr(elsewhere.psutil, "cpu_times", refused)
    assert Elsewhere().processors() is None


@pytest.mark.parametrize(
    ("busy", "threads", "expected"),
    [
        (None, 4, False),
        (0.4, 4, False),  # a desktop at rest
        (1.0, 4, True),  # three processors for four threads
        (2.0, 2, False),  # two of four are free, and two are wanted
        (2.6, 2, True),
        (1.0, 64, True),  # more threads than processors: all are wanted
        (0.3, 64, False),
        (1.0, None, True),
    ],
)
def test_a_crowd_is_fewer_processors_than_threads(busy, threads, expected):
    assert crowded(busy, threads, cores=4) is expected


def test_the_models_are_named(monkeypatch):
    monkeypatch.setattr(elsewhere.os, "cpu_count", lambda: 4)
    assert warning({"a": 0.2, "b": None}, 4) is None
    text = warning({"a": 0.2, "b": 1.24, "c": 2.96}, 4)
    assert text is not None
    assert text.startswith("Other programs kept up to 3.0 of 4 processors busy during the measurement of b, c: the")
    text = warning({str(number): 2.0 for number in range(6)}, 4)
    assert text is not None and "of 0, 1, 2, 3 and 2 more: the" in text
