"""`python3 app`: the environment is made once, repaired, shared, and handed over to. Real venvs and pip, no network."""

from __future__ import annotations

import ast
import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

APP = Path(__file__).resolve().parents[2] / "app"
sys.path.append(str(APP))
import bootstrap  # noqa: E402

PROGRAM = """
import json, os, sys
from needed import VALUE
print(json.dumps({"arguments": sys.argv[1:], "value": VALUE, "prefix": sys.prefix, "cwd": os.getcwd()}))
sys.exit(int(os.environ.get("EXIT", "0")))
"""


def wheel(folder: Path, name: str, version: str, source: str) -> Path:
    """A real, minimal wheel."""
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": source,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = []
    for path, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        record.append(f"{path},sha256={digest},{len(text.encode())}")
    files[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,"]) + "\n"
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for inner, text in files.items():
            archive.writestr(inner, text)
    return path


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout whose requirements are two tiny local wheels and whose program prints what it was given."""
    return make_checkout(tmp_path)


@pytest.fixture(scope="module")
def started_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Such a checkout after its first start."""
    root = make_checkout(tmp_path_factory.mktemp("started"))
    assert start(root).returncode == 0
    return root


@pytest.fixture
def started(started_once: Path, tmp_path: Path) -> Path:
    """A copy of it: an environment may be moved, since it is always run as `python -m`."""
    shutil.copytree(started_once.parent, tmp_path / "copy", symlinks=True)
    return tmp_path / "copy" / started_once.name


def make_checkout(folder: Path) -> Path:
    root = folder / "a checkout with spaces"
    (root / "app" / "qtinker").mkdir(parents=True)
    for name in ("__main__.py", "bootstrap.py", "pip_runner.py"):
        (root / "app" / name).write_bytes((APP / name).read_bytes())
    (root / "app" / "qtinker" / "__init__.py").touch()
    (root / "app" / "qtinker" / "__main__.py").write_text(PROGRAM)
    wheels = folder / "wheels"
    wheels.mkdir()
    wheel(wheels, "needed", "1.0", "VALUE = 1")
    wheel(wheels, "needed", "2.0", "VALUE = 2")
    wheel(wheels, "needed_by_tests", "1.0", "")
    (root / "requirements.txt").write_text("needed==1.0\n")
    (root / "requirements-test.txt").write_text("needed_by_tests\n")
    return root


def start(root: Path, *arguments: str, python: str | Path = sys._base_executable, **more: str):
    """Run `python app ARGUMENTS` as a user would, without a network."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PIP_", "PYTHON", "CONDA"))}
    environment |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(root.parent / "wheels"), "PIP_CONFIG_FILE": os.devnull}
    return subprocess.run(
        [python, root / "app", *arguments], env=environment | more, capture_output=True, text=True, cwd=root.parent
    )


def test_first_start_installs_second_is_immediate_and_status_is_handed_on(checkout: Path):
    first = start(checkout, "predict", "two words", "--json")
    assert first.returncode == 0, first.stderr
    told = json.loads(first.stdout)
    assert told["arguments"] == ["predict", "two words", "--json"]
    assert Path(told["prefix"]) == checkout / ".venv"
    assert Path(told["cwd"]) == checkout.parent
    assert "Installing" in first.stderr
    assert "Looking in links" not in first.stderr  # pip's own text stays in the log
    assert "needed" in (checkout / ".venv" / bootstrap.LOG).read_text()

    second = start(checkout, EXIT="3")
    assert (second.returncode, second.stderr) == (3, "")


def test_changed_requirements_are_installed(started: Path):
    (started / "requirements.txt").write_text("needed==2.0\n")
    assert json.loads(start(started).stdout)["value"] == 2


def test_line_ends_do_not_count_as_a_change(tmp_path: Path):
    (tmp_path / "unix").write_bytes(b"a\nb\n")
    (tmp_path / "windows").write_bytes(b"a\r\nb\r\n")
    assert bootstrap.fingerprint(tmp_path / "unix") == bootstrap.fingerprint(tmp_path / "windows")


def test_the_verb_test_installs_its_own_requirements_once(started: Path):
    python = started / ".venv" / "bin" / "python" if os.name != "nt" else started / ".venv/Scripts/python.exe"
    has = [python, "-c", "import needed_by_tests"]
    assert subprocess.run(has, capture_output=True).returncode == 1
    assert "Installing" in start(started, "test").stderr
    assert subprocess.run(has).returncode == 0
    assert start(started, "test").stderr == ""
    assert start(started).stderr == ""


def test_failing_pip_is_shown_and_the_next_start_goes_on(checkout: Path):
    (checkout / "requirements.txt").write_text("needed==1.0\nabsent-package==9\n")
    failed = start(checkout)
    assert failed.returncode == 1
    last = failed.stderr.strip().splitlines()[-1]
    assert last.startswith("error: Installing failed: No matching distribution found for absent-package==9.")
    assert "Traceback" not in failed.stderr
    (checkout / "requirements.txt").write_text("needed==1.0\n")
    assert start(checkout).returncode == 0


def test_an_install_that_was_killed_is_repaired(started: Path):
    site = next((started / ".venv").glob("lib/python*/site-packages"), started / ".venv/Lib/site-packages")
    (started / ".venv" / bootstrap.STAMP).unlink()
    (started / ".venv" / bootstrap.MARK).touch()
    info = site / "needed-1.0.dist-info"
    (info / "INSTALLER").unlink()  # pip was cut in the middle of this package
    (site / "needed.py").write_text("VALUE =")
    repaired = start(started)
    assert repaired.returncode == 0, repaired.stderr
    assert json.loads(repaired.stdout)["value"] == 1


def test_a_damaged_environment_is_made_anew(started: Path):
    for python in (started / ".venv").glob("bin/python*"):
        python.unlink()
        python.symlink_to(started / "gone")
    again = start(started)
    assert again.returncode == 0, again.stderr


def test_without_ensurepip_another_pip_is_found(checkout: Path, tmp_path: Path):
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "ensurepip.py").write_text("raise ImportError('no ensurepip here')")
    wheel(checkout.parent / "wheels", "pip", "99.0", "")
    done = start(checkout, PYTHONPATH=str(hidden))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["value"] == 1
    python = bootstrap.python_of(checkout / ".venv")  # what is installed later needs one in the environment
    own = subprocess.run(
        [python, "-c", "import pip; print(pip.__file__)"], capture_output=True, text=True, cwd=checkout
    )
    assert str(checkout / ".venv") in own.stdout, own.stderr


def test_an_active_environment_is_used(checkout: Path, tmp_path: Path):
    import venv

    venv.EnvBuilder(with_pip=False, symlinks=os.name != "nt").create(tmp_path / "active")
    python = bootstrap.python_of(tmp_path / "active")
    done = start(checkout, python=python)
    assert done.returncode == 0, done.stderr
    assert Path(json.loads(done.stdout)["prefix"]) == tmp_path / "active"
    assert not (checkout / ".venv").exists()
    assert start(checkout, python=python).stderr == ""


def test_two_first_starts_do_not_collide(checkout: Path):
    command = [sys._base_executable, checkout / "app"]
    environment = os.environ | {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(checkout.parent / "wheels")}
    both = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    told = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    assert sum("Installing" in error for _, error in told) == 1


def test_cpu_torch_is_asked_for_first_and_its_absence_is_survived(checkout: Path, tmp_path: Path, monkeypatch):
    wheels = checkout.parent / "wheels"
    wheel(wheels, "torch", "2.0", "BUILD = 'cuda'")
    wheel(wheels, "torch", "2.0+cpu", "BUILD = 'cpu'")
    (checkout / "requirements.txt").write_text("# pinned\ntorch==2.0\nneeded==1.0\n")
    (checkout / "app" / "qtinker" / "__main__.py").write_text("import torch\nprint(torch.BUILD)")
    if bootstrap.wants_cpu_torch():
        assert start(checkout).stdout.strip() == "cpu"
    else:
        assert start(checkout).returncode == 0
    # no CPU build anywhere: what there is will do
    (wheels / "torch-2.0+cpu-py3-none-any.whl").unlink()
    shutil.rmtree(checkout / ".venv")
    assert start(checkout).stdout.strip() == "cuda"


def test_hopeless_machines_are_told_at_once(monkeypatch):
    monkeypatch.setattr(bootstrap.platform, "system", lambda: "Darwin")
    monkeypatch.setattr(bootstrap.platform, "machine", lambda: "x86_64")
    with pytest.raises(bootstrap.SetupError, match="Intel"):
        bootstrap.refuse_hopeless()


def test_pip_is_fetched_only_with_the_announced_hash(tmp_path: Path, monkeypatch):
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
    from threading import Thread

    content = b"a wheel"
    listing = {"digest": hashlib.sha256(content).hexdigest()}

    class Index(BaseHTTPRequestHandler):
        def do_GET(self):
            names = ["pip-9.0-py3-none-any.whl", "pip-99.1-py3-none-any.whl", "pip-100.0b1-py3-none-any.whl"]
            links = [f'<a href="../../files/{name}#sha256={listing["digest"]}">{name}</a>' for name in names]
            links.append(links[1].replace("99.1", "99.9").replace("<a ", '<a data-yanked="broken" '))
            body = "<br>".join(links).encode()
            body = content if "/files/pip-99.1" in self.path else body
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Index)
    Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{server.server_port}/simple")
    assert bootstrap.fetch_pip(tmp_path).name == "pip-99.1-py3-none-any.whl"
    listing["digest"] = "0" * 64
    with pytest.raises(ValueError, match="not the one that was announced"):
        bootstrap.fetch_pip(tmp_path)
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("version", [(3, 4), (3, 6), (3, 8)])
def test_an_old_python_can_read_the_entry_and_is_told_in_one_sentence(version):
    ast.parse((APP / "__main__.py").read_text(), feature_version=version)
    source = (APP / "__main__.py").read_text()
    assert "f'" not in source and 'f"' not in source  # Python 2 and 3.5 know none
    code = f"import sys; sys.version_info = {(*version, 1)}; exec(open({str(APP / '__main__.py')!r}).read())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("error: QTinker needs Python 3.11 or newer, and this is Python 3.")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.skipif(os.name == "nt", reason="flock is POSIX")
def test_a_file_system_without_locks_is_told_and_survived(tmp_path: Path, monkeypatch, capsys):
    """It was waited for for ever, as if another start held the lock."""
    import errno
    import fcntl

    def none(*_given):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", none)
    with bootstrap.lock(tmp_path / "lock"):
        pass
    assert "can't be locked (Function not implemented): start QTinker once at a time" in capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="no folder may be called so")
def test_a_folder_that_no_environment_can_lie_in_is_told(tmp_path: Path):
    (tmp_path / "a:b").mkdir()
    with pytest.raises(bootstrap.SetupError, match="no environment in a folder with ':' in its name"):
        bootstrap.make_venv(tmp_path / "a:b")
