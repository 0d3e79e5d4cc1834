"""Imports the optional engines, says which extra brings them, and installs it. Nothing here reports to anybody."""

from __future__ import annotations

import importlib
import importlib.util
import os
import shlex
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any

from ..errors import InputError, MissingExtra, QTinkerError

EXTRAS: dict[str, tuple[str, ...]] = {
    "onnx": ("onnx", "onnxruntime", "onnxscript"),
    "openvino": ("openvino", "nncf"),
    "gguf": ("gguf",),
    "llama": ("llama_cpp",),
    "executorch": ("executorch",),
    "coreml": ("coremltools",),
}
"""Extra -> the modules it brings."""
KEPT = ("torch", "transformers")
"""What installing an extra must leave at its version: everything else here rests on them."""
PACKAGES = {"llama_cpp": "llama-cpp-python"}
"""Modules whose package has another name."""
ENGINES: dict[str, str] = {
    "onnxruntime": "onnx", "openvino": "openvino", "llama.cpp": "llama", "executorch": "executorch"
}  # fmt: skip
"""Engine -> the extra that brings it; engines that are not here come with the program."""


def has(module: str) -> bool:
    """Whether a module is installed, without importing it."""
    return importlib.util.find_spec(module) is not None


def is_here(extra: str) -> bool:
    """Whether everything that an extra brings is installed."""
    return all(has(module) for module in EXTRAS.get(extra, ()))


def packages(extra: str) -> list[str]:
    """What pip installs for an extra."""
    return [PACKAGES.get(module, module) for module in EXTRAS.get(extra, ())]


def runs(engine: str) -> bool:
    """Whether an engine can be used here, as far as its modules are installed."""
    return engine not in ENGINES or is_here(ENGINES[engine])


def install_command(extra: str) -> str:
    """The command that installs an extra into the environment that this program runs in, for the user's shell."""
    words = [sys.executable, "-m", "pip", "install", *packages(extra)]
    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)


def how_to_install(extra: str) -> str:
    """Both ways, for the fix of an error."""
    return f"Install it: python3 app extras {extra} (or: {install_command(extra)})"


def install(extra: str, *, most_words: int = 400) -> list[str]:
    """Install what an extra brings into the environment that this program runs in; returns what was not there before.

    pip's own words go to standard error. It may bring no other version of what is `KEPT`.

    Raises:
        InputError: there is no such extra.
        QTinkerError: pip could not, with its last words; or there is no pip.
    """
    if extra not in EXTRAS:
        raise InputError(f"There is no extra {extra!r}.", f"Choose of: {', '.join(EXTRAS)}.")
    missing = [PACKAGES.get(module, module) for module in EXTRAS[extra] if not has(module)]
    if not missing:
        return []
    if not has("pip"):  # as in the environments that uv makes
        subprocess.run([sys.executable, "-m", "ensurepip"], stdin=subprocess.DEVNULL, capture_output=True, check=False)
        importlib.invalidate_caches()
        if not has("pip"):
            raise QTinkerError(f"There is no pip in {sys.prefix}.", "Install pip into it, and try again.")
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder) / "constraints.txt"
        constraints.write_text("".join(f"{name}=={metadata.version(name)}\n" for name in KEPT), encoding="utf-8")
        command = [sys.executable, "-m", "pip", "install", "--progress-bar", "off", "-c", str(constraints), *missing]
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False
        )
    print(done.stdout, file=sys.stderr, end="", flush=True)
    importlib.invalidate_caches()
    if done.returncode or not is_here(extra):
        raise QTinkerError(
            f"pip could not install {' and '.join(missing)}: {_told(done)[:most_words] or 'it said nothing'}",
            f"Try it by hand: {install_command(extra)}",
        )
    return missing


def _told(failed: subprocess.CompletedProcess[str]) -> str:
    """The lines in which pip names its error and what conflicts, or else its last four."""
    lines = [line.strip() for line in (failed.stdout + failed.stderr).strip().splitlines()]
    told = [line for line in lines if line.startswith("ERROR:") or " depends on " in line]
    return " ".join(told or lines[-4:])


def require(extra: str, what: str) -> None:
    """Say that an extra is missing before anything long has begun.

    Args:
        what: what it is for, as the beginning of the sentence: "onnxruntime makes int8-static".

    Raises:
        MissingExtra: something that it brings is not installed; the message names it.
    """
    if missing := [module for module in EXTRAS.get(extra, ()) if not has(module)]:
        are = "is" if len(missing) == 1 else "are"
        raise MissingExtra(f"{what} with {' and '.join(missing)}, which {are} not installed.", how_to_install(extra))


def load(module: str, extra: str) -> Any:
    """Import an optional module.

    Raises:
        MissingExtra: it is not installed, or does not load.
    """
    if extra == "openvino":
        # Its telemetry reports each import to Google Analytics; absent, openvino and nncf go on without.
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    try:
        return importlib.import_module(module)
    except ImportError as error:
        why = " ".join(str(error).split())[:200].rstrip(".")
        raise MissingExtra(
            f"This needs {module.split('.')[0]}, which can't be loaded: {why}.",
            how_to_install(extra),
        ) from error
