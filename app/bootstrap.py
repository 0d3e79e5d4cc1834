"""Make the environment that QTinker runs in, then hand over to it. Standard library only.

The environment is `.venv` beside this folder, or the virtual environment that is active. requirements.txt is installed
into it once; a stamp with the file's hash makes the next start immediate. The verb test adds requirements-test.txt.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import html
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from pip_runner import Pip

ROOT = Path(__file__).resolve().parents[1]
STAMP, MARK, LOG, LOCK = ".qtinker-installed", ".qtinker-installing", "qtinker-install.log", ".qtinker.lock"
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
PROBE = """
import importlib.metadata, sys
try:
    torch = importlib.metadata.version("torch")
except importlib.metadata.PackageNotFoundError:
    torch = ""
print("%d.%d" % sys.version_info[:2], torch)
"""


class SetupError(Exception):
    """The environment can't be made; the message says why and what to do."""


def main(arguments: list[str], *, root: Path = ROOT) -> int:
    """Prepare the environment where needed and run `qtinker ARGUMENTS` in it; the exit status is its own."""
    try:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that pip is stopped with us
        python = prepare(root, tests=arguments[:1] == ["test"])
    except SetupError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"error: The environment can't be made: {error}.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped while installing; start again to go on.", file=sys.stderr)
        return 130
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    return hand_over(python, arguments, root)


def hand_over(python: Path, arguments: list[str], root: Path) -> int:
    """Become `python -m qtinker`; on Windows, which can't, run it as a child and wait."""
    command = [str(python), "-P", "-m", "qtinker", *arguments]  # -P: no module of the current folder is imported
    path = os.pathsep.join(filter(None, [str(root / "app"), os.environ.get("PYTHONPATH")]))
    environment = os.environ | {"PYTHONPATH": path}
    if os.name != "nt":
        sys.stdout.flush()
        sys.stderr.flush()
        os.execve(python, command, environment)  # noqa: S606
    child = subprocess.Popen(command, env=environment)
    while True:
        try:
            return child.wait()
        except KeyboardInterrupt:
            continue  # the console sent it to the child too, which ends in its own way


# --- the environment -------------------------------------------------------------------------------------------------


def prepare(root: Path, *, tests: bool = False) -> Path:
    """The Python of an environment in which everything required is installed; it is made where needed.

    Raises:
        SetupError: it can't be made on this machine; the message names the remedy.
    """
    wanted = [root / "requirements.txt", *([root / "requirements-test.txt"] if tests else [])]
    active = active_environment()
    folder = active or root / ".venv"
    if is_current(folder, wanted):
        return python_of(folder)
    refuse_hopeless()
    if not active:
        folder.mkdir(exist_ok=True)
    with lock(folder / LOCK) as held:
        if is_current(folder, wanted):  # another start finished it while we waited
            return python_of(folder)
        python = python_of(folder)
        if not active and probe(python) is None:
            make_venv(folder)
        found = probe(python)
        if found is None:
            raise SetupError(f"{python} does not run. Remove the folder {folder} and start again.")
        install(folder, found, wanted, held)
    return python


def active_environment() -> Path | None:
    """The virtual (or named conda) environment whose Python runs this, if any."""
    if sys.prefix != sys.base_prefix:
        return Path(sys.prefix)
    conda = os.environ.get("CONDA_PREFIX")
    if conda and os.environ.get("CONDA_DEFAULT_ENV") != "base" and Path(conda).resolve() == Path(sys.prefix).resolve():
        return Path(conda)
    return None


def python_of(folder: Path) -> Path:
    """The interpreter in an environment's folder."""
    if folder == Path(sys.prefix):
        return Path(sys.executable)
    return folder / "Scripts" / "python.exe" if os.name == "nt" else folder / "bin" / "python"


def fingerprint(file: Path) -> str:
    """What the stamp keeps of a requirements file; line ends don't count (git may change them)."""
    return hashlib.sha256(file.read_bytes().replace(b"\r\n", b"\n")).hexdigest()


def read_stamp(folder: Path) -> dict[str, str]:
    """What was installed into an environment, by requirements file; empty where there is no readable stamp."""
    try:
        stamp = json.loads((folder / STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def is_current(folder: Path, wanted: list[Path]) -> bool:
    """Whether everything wanted was installed, for the Python that is there now."""
    stamp = read_stamp(folder)
    if not stamp or any(stamp.get(file.name) != fingerprint(file) for file in wanted):
        return False
    found = probe(python_of(folder))
    return found is not None and found[0] == stamp.get("python")


def probe(python: Path) -> tuple[str, str] | None:
    """The version of an environment's Python, as "3.12", and of its torch ("" if none); None if it doesn't run."""
    try:
        done = subprocess.run([python, "-I", "-c", PROBE], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return None
    version, _, torch = done.stdout.strip().partition(" ")
    return (version, torch) if done.returncode == 0 and version else None


def refuse_hopeless() -> None:
    """Say at once where PyTorch does not exist, rather than after a long search for it."""
    if platform.system() == "Darwin" and platform.machine() == "x86_64":
        raise SetupError("PyTorch is no longer made for Macs with an Intel processor, so QTinker can't run here.")
    if sys.maxsize < 2**32:
        raise SetupError("This is a 32-bit Python, for which PyTorch does not exist. Install a 64-bit Python.")


def make_venv(folder: Path) -> None:
    """An empty virtual environment, anew where a damaged one was. pip comes later: ensurepip may be missing."""
    for child in folder.iterdir():
        if child.name != LOCK:
            shutil.rmtree(child) if child.is_dir() and not child.is_symlink() else child.unlink()
    try:
        import venv
    except ImportError:
        raise SetupError(f"This Python has no module venv. {apt_sentence('python3-venv')}") from None
    try:
        venv.EnvBuilder(with_pip=False, symlinks=os.name != "nt").create(folder)
    except ValueError:
        raise SetupError(
            f"Python makes no environment in a folder with {os.pathsep!r} in its name: {folder}. Move QTinker."
        ) from None


def apt_sentence(package: str) -> str:
    """What to type where a part of Python is missing, on the systems that split it up."""
    if shutil.which("apt-get"):
        return f"Install it with: sudo apt install {package}"
    return "Install a complete Python, for example from python.org."


@contextlib.contextmanager
def lock(path: Path) -> Iterator[IO[str]]:
    """Hold a file's lock, waiting for another start that holds it; it falls with the process (and its pip).

    Where the file system has no locks, it says so and goes on without.
    """
    with path.open("a+") as file:
        if os.name == "nt":
            import msvcrt

            wait_for(lambda: msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1))  # type: ignore[attr-defined]
        else:
            import fcntl

            try:
                wait_for(lambda: fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB))
            except OSError as error:
                print(f"{path} can't be locked ({error.strerror}): start QTinker once at a time.", file=sys.stderr)
        try:
            yield file
        finally:
            if os.name == "nt":
                file.seek(0)
                msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)  # type: ignore[attr-defined]


def wait_for(acquire) -> None:
    """Call until nobody else holds it, telling the user once why nothing happens.

    Raises:
        OSError: it can't be held at all, as on a file system without locks.
    """
    told = False
    while True:
        try:
            return acquire()
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES, errno.EDEADLK):  # the last is Windows'
                raise
            if not told:
                print("Another start is installing; waiting for it.", file=sys.stderr, flush=True)
                told = True
            time.sleep(0.3)


# --- installing ------------------------------------------------------------------------------------------------------


def install(folder: Path, found: tuple[str, str], wanted: list[Path], held: IO[str]) -> None:
    """Install what the requirements ask for and is not there yet, then stamp the environment.

    Raises:
        SetupError: pip is nowhere to be had, or failed; its last lines are shown.
    """
    python, mark = python_of(folder), folder / MARK
    if mark.exists():
        remove_half_installed(python, since=mark.stat().st_mtime)
    mark.touch()
    (folder / STAMP).unlink(missing_ok=True)
    pip = Pip(pip_command(python, folder), folder / LOG, held)
    torch = next((m[0] for m in re.finditer(r"(?m)^torch==[\w.]+", wanted[0].read_text(encoding="utf-8"))), "")
    if torch and wants_cpu_torch() and found[1].split("+")[0] != torch.removeprefix("torch=="):
        # The CPU build has a version of its own (+cpu), so that CUDA can't slip in. No network, no such build: go on.
        index = os.environ.get("QTINKER_TORCH_INDEX", TORCH_CPU_INDEX)
        pip.install(f"{torch}+cpu", "--no-deps", "--index-url", index, "--timeout", "10", "--retries", "1")
    if not pip.install(*(part for file in wanted for part in ("-r", str(file)))):
        mark.unlink()  # pip took back what it had begun
        raise SetupError(
            f"Installing failed: {pip.reason()} The whole log is in {folder / LOG}. "
            "If the network was away, start again when it is back; what was fetched is kept."
        )
    if pip.command != [str(python), "-m", "pip"]:  # for what is installed later: extras, the package; they can wait
        pip.install("pip")
    stamp = {"python": found[0], **{file.name: fingerprint(file) for file in wanted}}
    partial = folder / (STAMP + ".part")
    partial.write_text(json.dumps(stamp), encoding="utf-8")
    partial.replace(folder / STAMP)
    mark.unlink()
    pip.line.end(f"Installed into {folder}.")


def wants_cpu_torch() -> bool:
    """Linux without an NVIDIA driver: PyPI's torch would bring gigabytes of CUDA for nothing."""
    if platform.system() != "Linux":
        return False
    wsl = Path("/usr/lib/wsl/lib/nvidia-smi")
    return not (Path("/proc/driver/nvidia/version").exists() or wsl.exists() or shutil.which("nvidia-smi"))


def remove_half_installed(python: Path, *, since: float) -> None:
    """After a start that was killed: make pip forget packages that it had not finished.

    pip writes a package's INSTALLER last but for RECORD; a newer *.dist-info without it is a package cut in the middle,
    which pip would take for complete.
    """
    code = "import sysconfig; print(sysconfig.get_path('purelib')); print(sysconfig.get_path('platlib'))"
    done = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True)
    for place in set(done.stdout.split("\n")) - {""}:
        for info in Path(place).glob("*.dist-info"):
            if info.stat().st_mtime >= since - 1 and not (info / "INSTALLER").exists():
                shutil.rmtree(info)


def runs(command: list[str]) -> bool:
    """Whether a command exits with 0."""
    try:
        return subprocess.run(command, capture_output=True, timeout=300).returncode == 0
    except (OSError, subprocess.SubprocessError):
        return False


def pip_command(python: Path, folder: Path) -> list[str]:
    """A pip that installs into the environment: its own, ensurepip's, this Python's, the system's wheel, or PyPI's.

    Raises:
        SetupError: there is none and none can be fetched.
    """
    own = [str(python), "-m", "pip"]
    if runs([*own, "--version"]) or (
        runs([str(python), "-m", "ensurepip", "--default-pip"]) and runs([*own, "--version"])
    ):
        return own
    outer = [sys.executable, "-m", "pip", "--python", str(python)]
    if runs([*outer, "--version"]):
        return outer
    for place in ("/usr/share/python-wheels", sysconfig.get_config_var("WHEEL_PKG_DIR") or ""):
        for wheel in sorted(Path(place).glob("pip-*.whl")) if place else []:
            if runs([str(python), f"{wheel}/pip", "--version"]):
                return [str(python), f"{wheel}/pip"]
    try:
        wheel = fetch_pip(folder)
    except (OSError, ValueError) as error:
        raise SetupError(
            f"This Python has no pip, and it could not be fetched ({error}). {apt_sentence('python3-venv')}"
        ) from None
    return [str(python), f"{wheel}/pip"]


def fetch_pip(folder: Path) -> Path:
    """pip's newest wheel from the package index, its SHA-256 checked; it runs without being installed."""
    index = os.environ.get("PIP_INDEX_URL", "https://pypi.org/simple").rstrip("/")
    with urllib.request.urlopen(f"{index}/pip/", timeout=30) as answer:  # noqa: S310
        page, address = answer.read().decode(), answer.url
    found = re.findall(
        r'<a\b([^>]*?)href="([^"#]*(pip-([\d.]+)-py3-none-any\.whl))#sha256=([0-9a-f]{64})"([^>]*)>', page
    )
    usable = [each for each in found if "data-yanked" not in each[0] + each[5]]
    if not usable:
        raise ValueError(f"{index} lists no pip")
    _, link, name, _, sha256, _ = max(usable, key=lambda each: [int(part) for part in each[3].split(".")])
    with urllib.request.urlopen(urllib.parse.urljoin(address, html.unescape(link)), timeout=60) as answer:  # noqa: S310
        content = answer.read()
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ValueError("the file that came is not the one that was announced")
    (folder / name).write_bytes(content)
    return folder / name
