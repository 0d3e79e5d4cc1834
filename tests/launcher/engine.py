"""Pinokio's real engine in a temporary home: installed once outside the checkout, driven over drive.js.

What stands in for something: `conda` (its hook and activate do nothing; `base` is this Python), and the choice of
Python for uv, which under Pinokio fetches one that it manages. uv itself, git, bash and everything else are real.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import threading
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
VERSION = "5.3.28"
RECOMMENDED = ("bert-tiny", "bert-mini", "bert-small", "bert-medium", "bert-base-uncased")
# What must not leak from the tests' environment into the engine: Pinokio starts from a desktop.
HIDDEN = ("VIRTUAL_ENV", "QTINKER_HOME", "PYTHONPATH", "HF_HUB_OFFLINE", "CONDA_PREFIX", "UV_PYTHON")


def package() -> Path:
    """The folder with node_modules/pinokiod, from PINOKIOD or installed by npm into the temporary folder."""
    folder = Path(os.environ.get("PINOKIOD") or Path(tempfile.gettempdir()) / f"pinokiod-{VERSION}")
    manifest = folder / "node_modules" / "pinokiod" / "package.json"
    if not manifest.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        npm = shutil.which("npm")
        assert npm, "npm is missing"
        command = [npm, "install", "--no-audit", "--no-fund", "--no-save", "--prefix", folder, f"pinokiod@{VERSION}"]
        subprocess.run(command, check=True, cwd=folder, stdout=sys.stderr)
    assert json.loads(manifest.read_text())["version"] == VERSION
    return folder


def script(path: Path, text: str) -> None:
    """Write an executable shell script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)


def uv_program() -> str:
    """The real uv: of the PATH or of this environment."""
    found = shutil.which("uv") or shutil.which("uv", path=sysconfig.get_path("scripts"))
    assert found, "uv is missing: pip install uv"
    return found


def make_home(folder: Path) -> dict[str, str]:
    """A home with a Pinokio that was set up before; returns the environment for the engine."""
    home, pinokio = folder / "home", folder / "pinokio"
    (home / ".pinokio").mkdir(parents=True)
    (home / ".pinokio" / "config.json").write_text(json.dumps({"home": str(pinokio)}))
    (home / ".gitconfig").write_text("[user]\n\tname = Test\n\temail = test@example.invalid\n")
    base = pinokio / "bin" / "miniconda" / "bin"
    script(base / "conda", '[ "$1" = shell.bash ] && echo "conda() { :; }"\nexit 0\n')
    python = Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}"
    for name in ("python", "python3"):
        (base / name).symlink_to(python if python.exists() else sys.executable)
    script(base / "uv", f'UV_PYTHON_PREFERENCE=only-system exec "{uv_program()}" "$@"\n')
    (pinokio / "api").mkdir()
    kept = {name: value for name, value in os.environ.items() if name not in HIDDEN}
    extra = {"HOME": str(home), "PINOKIO_HOME": str(pinokio), "PATH": f"{base}:{os.environ['PATH']}",
             "UV_SYSTEM_CERTS": "true"}  # fmt: skip
    return kept | extra


class Engine:
    """A running engine; a context manager."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.pinokio = folder / "pinokio"
        self.log = (folder / "engine.log").open("wb")
        self.process = subprocess.Popen(
            ["node", str(ROOT / "tests" / "launcher" / "drive.js"), str(package())],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True,
            env=make_home(folder) | environment, cwd=folder,
        )  # fmt: skip
        self.count = 0
        self.waiting: dict[int, Any] = {}
        self.answers: dict[int, dict[str, Any]] = {}
        self.arrived = threading.Condition()
        ready = json.loads(self.process.stdout.readline() or '{"error": "the engine did not start"}')
        assert "ready" in ready, (ready, (folder / "engine.log").read_text()[-3000:])
        self.about = ready
        threading.Thread(target=self._listen, daemon=True).start()

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError, AssertionError):
            self.ask("quit", timeout=20)
        self.process.stdin.close()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.log.close()

    def _listen(self) -> None:
        for line in self.process.stdout:
            message = json.loads(line)
            with self.arrived:
                self.answers[message.get("id", -1)] = message
                self.arrived.notify_all()

    def begin(self, command: str, **rest: Any) -> int:
        """Send a command; its number is what `result` takes."""
        self.count += 1
        self.process.stdin.write(json.dumps({"id": self.count, "command": command, **rest}) + "\n")
        self.process.stdin.flush()
        return self.count

    def result(self, number: int, *, timeout: float = 420) -> Any:
        """Wait for a command's answer."""
        with self.arrived:
            assert self.arrived.wait_for(lambda: number in self.answers, timeout), "the engine does not answer"
            message = self.answers.pop(number)
        assert "error" not in message, message["error"]
        return message["value"]

    def ask(self, command: str, *, timeout: float = 420, **rest: Any) -> Any:
        return self.result(self.begin(command, **rest), timeout=timeout)


class App:
    """One app in the engine, by its folder under api/."""

    def __init__(self, engine: Engine, name: str) -> None:
        self.engine, self.name = engine, name
        self.folder = engine.pinokio / "api" / name

    def uri(self, script: str) -> str:
        return f"~/api/{self.name}/{script}"

    def environment(self, **values: str) -> None:
        """Set the app's environment as a user does, in its file ENVIRONMENT (replacing what was set before)."""
        if wheels := os.environ.get("PIP_FIND_LINKS"):  # PyTorch's index is out of reach: its wheel lies in a folder
            values = {"UV_FIND_LINKS": wheels, "QTINKER_TORCH_INDEX": "https://pypi.org/simple"} | values
        lines = [f"{name}={value}\n" for name, value in values.items()]
        (self.folder / "ENVIRONMENT").write_text("".join(lines), encoding="utf-8")

    def begin(self, script: str, *, watch: bool = True, **given: str) -> int:
        return self.engine.begin("run", uri=self.uri(script), input=given, watch=watch)

    def run(self, script: str, *, watch: bool = True, **given: str) -> dict[str, Any]:
        """Run a script to its end; `how` is done, daemon or error."""
        return self.engine.result(self.begin(script, watch=watch, **given))

    def stop(self, script: str) -> None:
        self.engine.ask("stop", uri=self.uri(script))

    def menu(self) -> list[dict[str, Any]]:
        return self.engine.ask("menu", app=self.name)

    def texts(self) -> list[str]:
        """The menu's entries; the default has a star."""
        return [("*" if item.get("default") else "") + item["text"] for item in self.menu()]

    def local(self, script: str) -> dict[str, Any]:
        return self.engine.ask("local", uri=self.uri(script))

    def running(self) -> list[str]:
        return sorted(Path(each).name for each in self.engine.ask("running") if str(self.folder) in each)


def git(*words: str | Path, cwd: Path) -> str:
    return subprocess.run(["git", *words], cwd=cwd, check=True, capture_output=True, text=True).stdout


def publish(folder: Path) -> Path:
    """A git repository with what the checkout holds now (ignored files left out), to clone from."""
    folder.mkdir(parents=True)
    names = git("ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT).split("\0")
    for name in filter(None, names):
        if (ROOT / name).is_file() and not name.startswith(("tests/", "benchmarks/", "docs/screenshots")):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    git("init", "-q", "-b", "main", cwd=folder)
    commit(folder, "as it is")
    return folder


def commit(folder: Path, message: str) -> None:
    git("add", "-A", cwd=folder)
    git("-c", "user.name=Test", "-c", "user.email=test@example.invalid", "commit", "-qm", message, cwd=folder)


def small_catalog(folder: Path, checkpoint: Path) -> None:
    """Let the recommended models in a repository's catalog be a tiny checkpoint, at their addresses."""
    shape = json.loads((checkpoint / "bert_config.json").read_text())
    known = {
        "layers": shape["num_hidden_layers"], "hidden": shape["hidden_size"], "heads": shape["num_attention_heads"],
        "vocab_size": shape["vocab_size"],
        "data_file_bytes": (checkpoint / "bert_model.ckpt.data-00000-of-00001").stat().st_size,
    }  # fmt: skip
    file = folder / "app" / "qtinker" / "catalog.toml"
    tables = re.split(r"(?m)^(?=\[)", file.read_text(encoding="utf-8"))
    for number, table in enumerate(tables):
        if table.startswith(tuple(f"[{name}]" for name in RECOMMENDED)):
            table = re.sub(r"(?m)^(zip_bytes|zip_sha256|data_sha256|index_sha256) = .*\n", "", table)
            for key, value in known.items():
                table = re.sub(rf"(?m)^{key} = .*$", f"{key} = {value}", table)
            tables[number] = table
    file.write_text("".join(tables), encoding="utf-8")
