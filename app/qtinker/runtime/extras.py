"""Imports the optional engines, or says which extra installs them. Nothing here reports to anybody."""

from __future__ import annotations

import importlib
import importlib.util
import os
import shlex
import subprocess
import sys
from typing import Any

from ..errors import MissingExtra

EXTRAS: dict[str, tuple[str, ...]] = {
    "onnx": ("onnx", "onnxruntime", "onnxscript"),
    "openvino": ("openvino", "nncf"),
    "gguf": ("gguf",),
    "llama": ("llama_cpp",),
    "executorch": ("executorch",),
    "coreml": ("coremltools",),
}
"""Extra -> the modules it brings."""
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
            f"Install it: {sys.executable} -m pip install {' '.join(packages(extra))}",
        ) from error
