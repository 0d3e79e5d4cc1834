"""A real server in a process of its own, and a real browser that fails on any error or request that leaves."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHOTS = Path(os.environ["QTINKER_SCREENSHOTS"]) if os.environ.get("QTINKER_SCREENSHOTS") else None
SLOW_MS = 60_000
# What a page logs whose streams were cut because it is left, and which asks once more before it is gone.
LEFT_BEHIND = (
    "signal is aborted without reason", "BodyStreamBuffer was aborted", "Connection errored out",
    "Unexpected error 404: Not Found", "ERR_INCOMPLETE_CHUNKED_ENCODING", "network error", "Failed to fetch",
)  # fmt: skip
# The smallest run that goes through every phase.
TINY = {
    "teacher": {"model": "practice-bert", "finetune": True, "epochs": 1, "learning_rate": 1e-3},
    "student": {"shape": "L-2_H-64_A-2"}, "data": {"train": "sample", "max_length": 48, "max_examples": 320},
    "training": {"epochs": 1, "learning_rate": 2e-3, "threads": 1}, "name": "tiny", "control": True,
}  # fmt: skip


@dataclass
class Server:
    """`python -m qtinker ui` with its address."""

    home: Path
    port: int = 0
    env: dict[str, str] = field(default_factory=dict)
    arguments: list[str] = field(default_factory=list)
    process: subprocess.Popen[str] | None = None
    lines: list[str] = field(default_factory=list)

    def start(self) -> Server:
        env = os.environ | {"QTINKER_HOME": str(self.home), "OMP_NUM_THREADS": "1"} | self.env
        self.lines = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "qtinker", "ui", "--no-open", "--port", str(self.port), *self.arguments],
            cwd=ROOT / "app", env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        found = threading.Event()

        def read() -> None:
            assert self.process and self.process.stdout
            for line in self.process.stdout:
                self.lines.append(line)
                if re.match(r"QTinker is running at http://", line):
                    found.set()
            found.set()

        threading.Thread(target=read, daemon=True).start()
        assert found.wait(90), "the server did not start"
        match = next(
            (m for line in self.lines if (m := re.search(r"running at http://127\.0\.0\.1:(\d+)$", line.strip()))), None
        )
        assert match, "".join(self.lines)
        self.port = int(match[1])
        return self

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def stop(self, *, kill: bool = False) -> int:
        assert self.process
        self.process.kill() if kill else self.process.terminate()
        return self.process.wait(60)


@pytest.fixture
def start_server() -> Iterator[Callable[..., Server]]:
    """Start servers that end with the test."""
    started: list[Server] = []

    def start(home: Path, **more: Any) -> Server:
        server = Server(home, **more)
        started.append(server)
        return server.start()

    yield start
    for server in started:
        if server.process and server.process.poll() is None:
            server.stop()


def tool(home: Path, *arguments: str) -> dict[str, Any]:
    """A verb on the command line, its JSON."""
    env = os.environ | {"QTINKER_HOME": str(home), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "app")}
    done = subprocess.run([sys.executable, "-m", *arguments], capture_output=True, text=True, env=env, cwd=ROOT / "app")
    assert done.returncode == 0, done.stderr.strip().splitlines()[-1]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="session")
def practice_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the practice model alone."""
    home = tmp_path_factory.mktemp("practice")
    tool(home, "qtinker.ui.practice")
    return home


@pytest.fixture(scope="session")
def trained_home(practice_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a finished run: teacher, student, control, INT4; and the run's record once more, as another run."""
    home = tmp_path_factory.mktemp("trained")
    shutil.copytree(practice_home, home, dirs_exist_ok=True)
    spec = home / "spec.yaml"
    spec.write_text(json.dumps(TINY | {"quantize": [{"scheme": "int4-weight-only"}]}))
    made = tool(home, "qtinker", "run", str(spec), "--json")["run"]
    twin = "20250101-000000-twin"
    shutil.copytree(home / "runs" / made, home / "runs" / twin)
    for name in ("state.json", "report.json"):
        path = home / "runs" / twin / name
        path.write_text(path.read_text().replace(made, twin))
    return home


@pytest.fixture
def fresh_home(practice_home: Path, tmp_path: Path) -> Path:
    """A home of this test's own with the practice model."""
    home = tmp_path / "fresh"
    shutil.copytree(practice_home, home)
    return home


@pytest.fixture(scope="session")
def trained_server(trained_home: Path) -> Iterator[Server]:
    """A server on the finished run, for looking."""
    server = Server(trained_home).start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium: the system's, else Playwright's own."""
    playwright = pytest.importorskip("playwright.sync_api")
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next((found for name in names if (found := shutil.which(name))), None)
    with playwright.sync_playwright() as api:
        options = {"executable_path": path} if path else {}
        try:
            started = api.chromium.launch(args=["--no-sandbox", "--disable-background-networking"], **options)
        except playwright.Error as error:
            if os.environ.get("CI"):
                raise
            pytest.skip(f"no Chromium: {str(error).splitlines()[0]}")
        yield started
        started.close()


class Watched:
    """A browser page; `close` fails the test if it logged an error or asked anything of another host."""

    def __init__(self, browser: Any, url: str, *, width: int = 1280, dark: bool = False, quiet: bool = True) -> None:
        self.context = browser.new_context(
            viewport={"width": width, "height": 900 if width > 500 else 844}, color_scheme="dark" if dark else "light",
            accept_downloads=True,
        )  # fmt: skip
        self.page = self.context.new_page()
        self.page.set_default_timeout(SLOW_MS)
        self.quiet, self.wrong, self.loads = quiet, [], 0
        self.page.on("domcontentloaded", lambda page: self._loaded())
        self.page.on("console", lambda entry: entry.type == "error" and self.wrong.append(entry.text))
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("request", lambda request: self._asked(request.url))
        self.page.goto(url)
        self.page.wait_for_selector("#qt-tabs")

    def _asked(self, url: str) -> None:
        if not url.startswith(("http://127.0.0.1:", "data:", "blob:")):
            self.wrong.append(f"left this computer: {url}")

    def _loaded(self) -> None:
        self.loads += 1

    def close(self) -> None:
        self.context.close()
        wrong = self.wrong
        if self.loads > 1:  # a page that is left drops the answers it still waits for
            wrong = [text for text in wrong if not any(sign in text for sign in LEFT_BEHIND)]
        if self.quiet:
            assert not wrong, wrong


@pytest.fixture
def visit(browser: Any) -> Iterator[Callable[..., Any]]:
    """Open an address; what goes wrong on the page fails the test at its end."""
    opened: list[Watched] = []

    def go(url: str, **more: Any) -> Any:
        watched = Watched(browser, url, **more)
        opened.append(watched)
        return watched.page

    yield go
    for watched in opened:
        watched.close()


def until(check: Callable[[], Any], *, seconds: float = 120.0, what: str = "it") -> Any:
    """Poll until `check` gives something true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := check():
            return found
        time.sleep(0.1)
    raise AssertionError(f"{what} did not happen in {seconds:.0f} seconds")
