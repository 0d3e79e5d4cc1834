"""The gate before the page: hosts, origins, routes, login. A bare application stands behind it."""

from __future__ import annotations

import base64
import importlib.util
import json
import sys
from types import ModuleType, SimpleNamespace

import pytest
from qtinker.errors import InputError, MissingExtra
from qtinker.ui import guard, server
from qtinker.ui.security import Gate
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient


@pytest.fixture
def uploads(tmp_path):
    folder = tmp_path / "uploads"
    folder.mkdir()
    (folder / "mine.txt").write_text("mine")
    return folder


def client(uploads, login=None) -> TestClient:
    inner = Starlette(routes=[Route("/{rest:path}", lambda request: PlainTextResponse("in"), methods=["GET", "POST"])])
    return TestClient(Gate(inner, uploads=uploads, login=login), base_url="http://127.0.0.1:7860")


def test_the_page_and_its_parts_pass(uploads):
    there = client(uploads)
    for path in (
        "/",
        "/zh/",
        "/config",
        "/assets/index.js",
        "/gradio_api/queue/join",
        "/download/model/distilled/x.zip",
        f"/gradio_api/file={uploads / 'mine.txt'}",
    ):
        answer = there.get(path)
        assert (answer.status_code, answer.text) == (200, "in"), path
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "connect-src 'self'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/proxy=http://example.org/",
        "/gradio_api/vibe-edit",
        "/gradio_api/run-history/records",
        "/monitoring",
        "/gradio_api/deep_link",
        "/gradio_api/dev/reload",
        "/gradio_api/process_recording",
        "/custom_component/x",
        "/docs",
        "/?page=other",
        "/gradio_api/stream/a/b/1/x.mp4",
    ],
)
def test_what_the_page_does_not_need_is_not_there(uploads, path):
    assert client(uploads).get(path).status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "http://example.org/x",
        "../mine.txt",
        "%2e%2e/%2e%2e/etc/passwd",
        "C:/Windows/win.ini",
        "//etc/passwd",
    ],
)
def test_only_uploads_are_served(uploads, path):
    assert client(uploads).get(f"/gradio_api/file={path}").status_code in (403, 404)


def test_a_link_among_the_uploads_leads_nowhere(uploads, tmp_path):
    (tmp_path / "secret").write_text("secret")
    try:
        (uploads / "link").symlink_to(tmp_path / "secret")
    except OSError:
        pytest.skip("no links on this system")
    assert client(uploads).get(f"/gradio_api/file={uploads / 'link'}").status_code == 403


def test_foreign_hosts_and_pages_are_refused(uploads):
    there = client(uploads)
    assert there.get("/", headers={"host": "evil.example:7860"}).status_code == 421
    assert there.get("/", headers={"host": "192.168.1.7:7860"}).status_code == 200
    for origin in ("http://evil.example", "null", "http://10.0.0.9"):
        assert there.post("/gradio_api/queue/join", headers={"origin": origin}).status_code == 403
    for origin in ("http://127.0.0.1:7860", "http://localhost:42000", "http://7860.localhost:42000"):
        assert there.post("/gradio_api/queue/join", headers={"origin": origin}).status_code == 200


def test_login_guards_everything(uploads):
    there = client(uploads, login=("ann", "sécret"))
    for path in ("/", "/download/model/x.zip", "/gradio_api/info", "/config"):
        assert there.get(path).status_code == 401
    good = base64.b64encode("ann:sécret".encode()).decode()
    assert there.get("/", headers={"authorization": f"Basic {good}"}).status_code == 200
    for bad in ("Basic !!", "Bearer x", "Basic " + base64.b64encode(b"ann:other").decode(), ""):
        assert there.get("/", headers={"authorization": bad}).status_code == 401


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.0.4", "::"])
def test_no_listening_to_others_without_a_password(host):
    with pytest.raises(InputError, match="without a password"):
        server.serve(host=host, port=0)


def test_a_taken_port_is_named():
    sock = server.bind("127.0.0.1", 0)
    try:
        with pytest.raises(InputError, match=str(sock.getsockname()[1])):
            server.bind("127.0.0.1", sock.getsockname()[1])
    finally:
        sock.close()


def test_the_environment_is_put_right(monkeypatch, qtinker_home):
    import os

    monkeypatch.setenv("GRADIO_ALLOWED_PATHS", "/")
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    monkeypatch.setenv("GRADIO_TEMP_DIR", "/elsewhere")
    for name in ("GRADIO_ANALYTICS_ENABLED", "HF_HUB_DISABLE_TELEMETRY", "GRADIO_RUN_HISTORY", "DO_NOT_TRACK"):
        monkeypatch.setenv(name, "")
    server.prepare()
    assert "GRADIO_ALLOWED_PATHS" not in os.environ and "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD" not in os.environ
    assert os.environ["GRADIO_TEMP_DIR"] == str(qtinker_home / "cache" / "uploads")
    assert os.environ["GRADIO_ANALYTICS_ENABLED"] == "False"


def test_mcp_names_what_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "mcp", None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra) as caught:
        server.serve(mcp=True)
    assert "pip install" in caught.value.fix and "gradio[mcp]" in caught.value.fix


def test_mcp_tools_answer_in_json():
    tools = SimpleNamespace(postprocess_output_data=lambda data, root_url: [str(each) for each in data])
    server.answer_in_json(tools)
    answer = {"label": "gut, schön", "score": None, "pair": True}
    assert [json.loads(text) for text in tools.postprocess_output_data([answer], "")] == [answer]


def test_mcp_tools_ask_with_the_login_that_the_page_wants(monkeypatch):
    gradio_mcp = ModuleType("gradio_mcp")
    gradio_mcp.Client = dict
    monkeypatch.setitem(sys.modules, "gradio_mcp", gradio_mcp)
    server.log_in(type("Tools", (), {"__module__": "gradio_mcp"})(), ("ann", "secret"))
    assert gradio_mcp.Client(verbose=False) == {"verbose": False, "httpx_kwargs": {"auth": ("ann", "secret")}}


@pytest.mark.parametrize("given", ["much", "10", "-1mb", "1e9gb"])
def test_the_limit_of_uploads_is_a_size(given, monkeypatch):
    monkeypatch.setenv("QTINKER_MAX_UPLOAD", given)
    with pytest.raises(InputError, match="QTINKER_MAX_UPLOAD"):
        guard.max_upload()
    monkeypatch.setenv("QTINKER_MAX_UPLOAD", "500MB")
    assert guard.max_upload() == "500mb"
