"""Fixtures for all tests: an isolated home, no network beyond loopback, and the folder of real data if there is one."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# A shell starts background jobs with Ctrl-C ignored, and children inherit that; the tests send it to their children.
signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false", HF_HUB_DISABLE_TELEMETRY="1")


@pytest.fixture(autouse=True)
def qtinker_home(tmp_path, monkeypatch) -> Path:
    """Every test has a home of its own; nothing is written into the checkout."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("QTINKER_HOME", str(home))
    return home


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets; tests that need it are skipped where it is absent."""
    folder = Path(os.environ.get("QTINKER_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder} (set QTINKER_TEST_DATA)")
    return folder
