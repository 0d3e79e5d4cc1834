"""Imports the optional engines, or says which extra installs them. Nothing here reports to anybody."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from typing import Any

from ..errors import MissingExtra

EXTRAS: dict[str, tuple[str, ...]] = {
    "onnx": ("onnx", "onnxruntime", "onnxscript"),
    "openvino": ("openvino", "nncf"),
}
"""Extra -> the modules it brings."""


def has(module: str) -> bool:
    """Whether a module is installed, without importing it."""
    return importlib.util.find_spec(module) is not None


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
        raise MissingExtra(
            f"This needs {module.split('.')[0]}, which can't be loaded: {' '.join(str(error).split())[:200]}",
            f"Install it: pip install {' '.join(EXTRAS[extra])}  (or qtinker[{extra}])",
        ) from error
