"""What the server does while nobody asks it anything."""

from __future__ import annotations

import os

import pytest
from qtinker.ui import server


@pytest.fixture
def environment(qtinker_home, monkeypatch):
    """The environment as it was before the page set it, and no log of its own."""
    monkeypatch.setattr("qtinker.ui.handlers.log_to_file", lambda: None)
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


def test_gradio_does_not_look_for_calls_a_thousand_times_a_second(environment):
    mounted = [route.app for route in server.application().routes if hasattr(route, "app")]
    queues = [app.get_blocks()._queue for app in mounted if hasattr(app, "get_blocks")]
    assert len(queues) == 2, "one a language"
    for queue in queues:
        assert (queue.sleep_when_free, queue.progress_update_sleep_when_free) == (server.LOOK_S, server.PROGRESS_S)
        assert server.LOOK_S >= 0.01, "more often keeps a processor awake"
