"""The launcher from Install to Reset, in the order of a user's first day, by Pinokio's real engine.

Real: engine, bash, uv, pip, git, PyPI, the app, its server, a training run. Stands in: see engine.py.
Each test goes on from the one before it.
"""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import time
import urllib.request
from pathlib import Path

import psutil
import pytest
from engine import RECOMMENDED, ROOT, App, commit, git

pytestmark = pytest.mark.pinokio
STOPPED = ["*Start", "Update", "Download more models", "Save disk space", "Reinstall", "Reset"]
READY = "app/env/.qtinker-ready"


def until(condition, seconds: float = 90):
    """Wait for a condition and return what it gave; the limit is only there so that a failure ends."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)
    return value


def plain(text: str) -> str:
    """Terminal output without its colours."""
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text).replace("\r", "\n")


def post(url: str, name: str, *data: object) -> object:
    """Call one of the page's endpoints as the README's curl lines do."""
    body = json.dumps({"data": data}).encode()
    request = urllib.request.Request(f"{url}/gradio_api/call/{name}", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        event = json.load(answer)["event_id"]
    with urllib.request.urlopen(f"{url}/gradio_api/call/{name}/{event}", timeout=60) as answer:
        kind, _, told = answer.read().decode().strip().partition("\n")
    assert kind == "event: complete", (kind, told)
    return json.loads(told.removeprefix("data: "))[0]


def servers(app: App) -> list[psutil.Process]:
    """The page's servers that were started from this app's folder."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.cwd() == str(app.folder) and "qtinker" in process.cmdline() and "ui" in process.cmdline():
                found.append(process)
    return found


def models(app: App) -> set[str]:
    return {path.parent.name for path in (app.folder / "bert_models").glob("*/*/qtinker.json")}


def clean(app: App) -> str:
    return git("status", "--porcelain", cwd=app.folder)


def start(app: App) -> str:
    """Start and give the URL."""
    told = app.run("start.js")
    assert (told["how"], told["errors"]) == ("daemon", []), plain(told["raw"])[-2000:]
    return app.local("start.js")["url"]


def test_not_installed(app):
    assert app.texts() == ["*Install"]
    assert app.menu()[0]["href"] == "install.js"


def test_install_without_a_network_for_the_checkpoints(app):
    app.environment(QTINKER_GCS="http://127.0.0.1:9")
    number = app.begin("install.js")
    until(lambda: "install.js" in app.running())
    assert app.texts() == ["*Installing"]
    assert app.menu()[0]["href"] == "install.js"
    told = app.engine.result(number)
    text = plain(told["raw"])
    assert (told["how"], told["errors"]) == ("done", []), text[-3000:]
    assert told["notified"] == ["QTinker is installed. Click <b>Start</b>."]
    assert "models failed" in text
    assert "The recommended models are not all here" in text
    assert len(re.findall(r"(?m)^ \+ torch==", text)) == 1
    assert (app.folder / READY).read_text().startswith("torch 2.13.0")
    assert models(app) == set()
    assert clean(app) == ""  # no file from a version that was not quoted
    assert app.running() == []


def test_installed_and_stopped(app):
    assert app.texts() == STOPPED
    menu = {item["text"]: item for item in app.menu()}
    for item in menu.values():
        for each in item.get("menu", [item]):
            assert (app.folder / each["href"]).is_file()
    sets = [each["params"]["set"] for each in menu["Download more models"]["menu"]]
    assert sets == ["recommended", "students", "teachers", "large", "multilingual", "all"]
    keep, everything = menu["Reset"]["menu"]
    assert "Models and runs are kept" in keep["confirm"]
    assert "params" not in keep
    assert "all models and runs" in everything["confirm"]
    assert everything["params"] == {"everything": "yes"}


def test_installing_again_changes_nothing_and_fetches_the_models(app, storage):
    app.environment(QTINKER_GCS=storage.url)
    told = app.run("install.js")
    text = plain(told["raw"])
    assert (told["how"], told["errors"]) == ("done", []), text[-3000:]
    assert not re.search(r"(?m)^ [+-] ", text)  # nothing was installed or taken away
    assert models(app) == set(RECOMMENDED)
    assert "not all here" not in text


def test_start_open_train_stop(app):
    number = app.begin("start.js")
    until(lambda: "start.js" in app.running())
    assert app.texts() == ["*Starting"]
    told = app.engine.result(number)
    assert (told["how"], told["errors"]) == ("daemon", []), plain(told["raw"])[-3000:]
    url = app.local("start.js")["url"]
    assert re.fullmatch(r"http://127\.0\.0\.1:\d{5}", url)
    menu = app.menu()
    assert app.texts() == ["*Open", "Terminal", "Runs folder", "Models folder"]
    assert menu[0]["href"] == url
    assert [Path(item["href"]) for item in menu[2:]] == [app.folder / "runs", app.folder / "bert_models"]
    assert all(item["fs"] and Path(item["href"]).is_dir() for item in menu[2:])
    with urllib.request.urlopen(url, timeout=60) as page:
        assert "QTinker" in page.read().decode()
        # Pinokio shows the page in a frame of its own
        assert page.headers["x-frame-options"] is None
        assert "frame-ancestors" not in (page.headers["content-security-policy"] or "")

    (server,) = servers(app)
    assert {each.laddr.ip for each in server.net_connections(kind="inet") if each.status == "LISTEN"} == {"127.0.0.1"}
    environment = server.environ()
    for unwanted in ("GRADIO_ALLOWED_PATHS", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"):
        assert not environment.get(unwanted)

    assert {each["name"] for each in post(url, "models")["models"]} == set(RECOMMENDED)
    spec = {
        "student": {"model": "bert-tiny"}, "data": {"train": "sample", "max_length": 16},
        "training": {"epochs": 5000, "batch_size": 8, "device": "cpu"},
    }  # fmt: skip
    run = post(url, "start_distill", spec)["id"]
    state = until(lambda: (now := post(url, "run_status", run))["step"] and now)
    assert state["status"] == "running"
    worker = psutil.Process(state["pid"])
    assert worker.is_running()

    app.stop("start.js")
    until(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE)
    until(lambda: not servers(app))
    assert app.texts() == STOPPED
    assert app.local("start.js") == {}
    with pytest.raises(OSError):
        urllib.request.urlopen(url, timeout=5)
    assert (app.folder / "runs" / run / "state.json").is_file()


def test_the_readmes_programs_run(app):
    url = start(app)
    readme = (ROOT / "README.md").read_text(encoding="utf-8").split("\n## API\n")[1]
    readme = readme.replace("http://127.0.0.1:7860", url).replace('"max_length": 64', '"max_length": 16')
    blocks = dict(re.findall(r"(?ms)^```(\w+)\n(.*?)^```", readme))
    python = app.folder / "app" / "env" / "bin" / "python"
    for command in (["bash", "-c", blocks["sh"]], ["node", "-e", blocks["js"]]):
        told = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert told.returncode == 0, told.stderr
        assert "bert_small/bert-tiny" in told.stdout
    told = subprocess.run([python, "-c", blocks["python"]], capture_output=True, text=True, timeout=300)
    assert told.stdout.strip().splitlines()[-1].startswith("done "), told.stdout + told.stderr
    app.stop("start.js")


def test_a_second_start_changes_nothing(app):
    url = start(app)
    before = servers(app)
    told = app.run("start.js")
    assert (told["how"], told["errors"]) == ("done", []) or told["how"] == "daemon"
    assert f"QTinker is running already: {url}" in told["raw"]
    assert app.local("start.js")["url"] == url
    assert servers(app) == before
    assert app.texts()[0] == "*Open"

    # and a server that dies later takes its Open button with it
    before[0].kill()
    until(lambda: app.texts()[0] != "*Open")
    assert app.texts() == ["*QTinker has ended: see why", "Close it"]
    assert app.menu()[1]["action"] == {"method": "stop", "uri": "start.js"}
    app.stop("start.js")
    assert app.texts() == STOPPED


@pytest.mark.parametrize(
    ("code", "told_why"),
    [
        ('raise RuntimeError("the disk is on fire")\n', "the disk is on fire"),  # words that the engine knows
        ('import os\nprint("gone without a word", flush=True)\nos._exit(3)\n', "gone without a word"),  # and none
        ("import os\nos.kill(os.getpid(), 9)\n", "QTinker ended before it was ready"),  # as out of memory does
    ],
)
def test_a_server_that_dies_at_start_shows_why(app, code, told_why):
    file = app.folder / "app" / "qtinker" / "ui" / "server.py"
    good = file.read_text(encoding="utf-8")
    file.write_text(code, encoding="utf-8")
    try:
        told = app.run("start.js")
    finally:
        file.write_text(good, encoding="utf-8")
    assert told["how"] == "error"
    assert told_why in plain(told["raw"])
    assert told["errors"]
    assert app.local("start.js") == {}
    assert app.texts() == STOPPED


def test_save_disk_space(app):
    (app.folder / "cache" / "tokens").mkdir(parents=True, exist_ok=True)
    (app.folder / "cache" / "tokens" / "x").write_bytes(b"x" * 1000)
    kept = models(app)
    runs = sorted(path.name for path in (app.folder / "runs").iterdir())
    told = app.run("link.js")
    assert (told["how"], told["errors"]) == ("done", []), plain(told["raw"])[-2000:]
    assert "Freed" in plain(told["raw"])
    assert not (app.folder / "cache" / "tokens").exists()
    assert models(app) == kept
    assert sorted(path.name for path in (app.folder / "runs").iterdir()) == runs


def test_download_more(app, storage):
    before = len(storage.requests)
    told = app.run("download.js", set="recommended")
    assert (told["how"], told["errors"], told["notified"]) == ("done", [], ["The models are here."])
    assert len(storage.requests) == before  # they were here
    app.environment(QTINKER_GCS="http://127.0.0.1:9")
    told = app.run("download.js", set="large")
    app.environment(QTINKER_GCS=storage.url)
    assert told["how"] == "error"
    assert "bert-large-uncased" in told["errors"][0]
    assert app.texts() == STOPPED


def test_update(app, remote):
    (remote / "NEWS.md").write_text("new\n")
    commit(remote, "news")
    number = app.begin("update.js")
    until(lambda: "update.js" in app.running())
    assert app.texts() == ["*Updating"]
    told = app.engine.result(number)
    assert (told["how"], told["errors"]) == ("done", []), plain(told["raw"])[-2000:]
    assert told["notified"] == ["QTinker is up to date. Click <b>Start</b>."]
    assert (app.folder / "NEWS.md").read_text() == "new\n"
    assert clean(app) == ""
    assert app.texts() == STOPPED


def test_update_that_can_not_pull_says_so(app, remote):
    git("remote", "set-url", "origin", str(remote) + "-moved-away", cwd=app.folder)
    told = app.run("update.js")
    git("remote", "set-url", "origin", str(remote), cwd=app.folder)
    assert told["how"] == "error"
    assert "does not appear to be a git repository" in told["errors"][0]
    assert "fatal:" in told["events"]
    assert app.texts() == STOPPED  # what is installed still works


def test_reset_keeps_what_the_user_made(app):
    kept = models(app), sorted(path.name for path in (app.folder / "runs").iterdir())
    told = app.run("reset.js")
    assert (told["how"], told["errors"]) == ("done", [])
    assert not (app.folder / "app" / "env").exists()
    assert (models(app), sorted(path.name for path in (app.folder / "runs").iterdir())) == kept
    assert kept[0] == {*RECOMMENDED, "bert-tiny-sample"}  # the last is what the README's program trained
    assert app.texts() == ["*Install"]
    assert clean(app) == ""


def test_a_broken_requirement_fails_loudly(app):
    file = app.folder / "requirements.txt"
    good = file.read_text(encoding="utf-8")
    file.write_text(good + "psutil<7\n", encoding="utf-8")
    told = app.run("install.js", watch=False)
    file.write_text(good, encoding="utf-8")
    assert told["how"] == "error"
    assert "psutil" in told["errors"][0]
    assert "No solution found" in told["events"]
    assert told["notified"] == []
    assert not (app.folder / READY).exists()
    app.stop("install.js")  # what Pinokio's window does
    assert app.texts() == ["*Install"]


def test_install_repairs_a_half_made_environment(app):
    (app.folder / "app" / "env" / "bin" / "activate").unlink()
    told = app.run("install.js")
    assert (told["how"], told["errors"]) == ("done", []), plain(told["raw"])[-3000:]
    assert app.texts() == STOPPED
    url = start(app)
    with urllib.request.urlopen(url, timeout=60) as page:
        assert page.status == 200
    app.stop("start.js")


def test_reset_of_everything_is_what_it_says(app):
    told = app.run("reset.js", everything="yes")
    assert (told["how"], told["errors"]) == ("done", [])
    assert not (app.folder / "app" / "env").exists()
    assert not (app.folder / "runs").exists()
    assert models(app) == set()
    assert clean(app) == ""
    assert app.texts() == ["*Install"]
