"""Check an installation: does everything import, is there room, what can this machine do? Nothing is changed."""

from __future__ import annotations

import importlib
import importlib.metadata
import logging
import os
import platform
import re
import shutil
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

from .home import home, models_dir, runs_dir

LIBRARIES = (
    "torch", "transformers", "accelerate", "torchao", "datasets", "tokenizers", "safetensors", "huggingface_hub",
    "gradio", "pydantic", "typer", "rich", "requests", "numpy", "pyarrow", "yaml", "psutil", "filelock", "sklearn",
    "google_crc32c", "cramjam",
)  # fmt: skip
ROOM = 2e9  # bytes: one teacher, a few students and their runs


def version() -> str:
    """QTinker's own version: of the checkout if this is one, else of the installed package."""
    project = Path(__file__).resolve().parents[2] / "pyproject.toml"
    if project.is_file():
        return str(tomllib.loads(project.read_text(encoding="utf-8"))["project"]["version"])
    return importlib.metadata.version("qtinker")


def examine() -> dict[str, Any]:
    """What is here and what is wrong: versions, folders, device, and `problems`, each a sentence with its remedy."""
    problems: list[str] = []
    logging.disable(logging.WARNING)  # torchao complains of kernels that other machines would use
    try:
        libraries = {name: import_version(name, problems) for name in LIBRARIES}
    finally:
        logging.disable(logging.NOTSET)
    compare_with_requirements(problems)
    folders = {"home": str(home()), "models": str(models_dir()), "runs": str(runs_dir())}
    free = check_folder(home(), problems)
    return {
        "ok": not problems,
        "problems": problems,
        "qtinker": version(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "environment": sys.prefix,
        "folders": folders,
        "free_bytes": free,
        "libraries": libraries,
        "device": device(problems) if libraries["torch"] else {},
    }


def import_version(name: str, problems: list[str]) -> str | None:
    """Import a library for real; its version, or None with a problem noted."""
    try:
        module = importlib.import_module(name)
    except Exception as error:
        problems.append(f"The library {name} does not import ({type(error).__name__}: {error}). {remedy()}")
        return None
    return str(getattr(module, "__version__", "")) or "imported"


def compare_with_requirements(problems: list[str]) -> None:
    """Note libraries whose version is not what requirements.txt asks for (in a checkout)."""
    file = Path(__file__).resolve().parents[2] / "requirements.txt"
    if not file.is_file():
        return
    for line in file.read_text(encoding="utf-8").splitlines():
        match = re.match(r"([\w.-]+)\s*(.*)", line.split("#")[0].strip())
        if not match:
            continue
        try:
            found = importlib.metadata.version(match[1])
        except importlib.metadata.PackageNotFoundError:
            problems.append(f"{match[1]} is not installed. {remedy()}")
            continue
        if not satisfies(found, match[2]):
            problems.append(f"{match[1]} is {found}, where {match[2]} is wanted. {remedy()}")


def satisfies(found: str, wanted: str) -> bool:
    """Whether a version meets a comma-separated list of ==, >= and < (all that requirements.txt uses)."""
    have = numbers(found)
    for condition in filter(None, wanted.split(",")):
        sign, limit = re.match(r"(==|>=|<)(.*)", condition.strip()).groups()  # type: ignore[union-attr]
        want = numbers(limit)
        if (sign == "==" and have != want) or (sign == ">=" and have < want) or (sign == "<" and have >= want):
            return False
    return True


def numbers(text: str) -> tuple[int, ...]:
    """The release numbers of a version, without trailing zeros: 2.13.0+cpu is (2, 13)."""
    match = re.match(r"\d+(?:\.\d+)*", text.strip())
    parts = [int(part) for part in match[0].split(".")] if match else []
    while parts and parts[-1] == 0:
        parts.pop()
    return tuple(parts)


def remedy() -> str:
    """What repairs the environment that this runs in."""
    if Path(sys.prefix).parts[-2:] == ("app", "env"):
        return "Choose Reinstall in Pinokio's menu."
    return "Remove the folder .venv and start again with: python3 app doctor"


def check_folder(folder: Path, problems: list[str]) -> int:
    """Bytes free where things are kept; notes a folder that can't be written or is short of room."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"x")
        free = shutil.disk_usage(folder).free
    except OSError as error:
        problems.append(f"{folder} can't be written ({error}). Set QTINKER_HOME to a folder that can.")
        return 0
    if free < ROOM:
        problems.append(
            f"Only {free / 1e9:.1f} GB are free in {folder}. Free {ROOM / 1e9:.0f} GB, or set QTINKER_HOME."
        )
    return free


def device(problems: list[str]) -> dict[str, Any]:
    """What training will run on, after a small computation on it that proves that it works."""
    import torch

    names = ["cpu"]
    if torch.cuda.is_available():
        names.insert(0, "cuda")
    elif torch.backends.mps.is_available():
        names.insert(0, "mps")
    found: dict[str, Any] = {"type": names[0], "cores": os.cpu_count(), "threads": torch.get_num_threads()}
    for name in names:
        try:
            square = torch.eye(4, device=name) * 2
            if float((square @ square).sum()) != 16.0:
                raise ArithmeticError("a product came out wrong")
        except Exception as error:
            problems.append(f"The device {name} does not compute ({error}). Update its driver, or use --device cpu.")
    if names[0] == "cuda":
        found |= {
            "name": torch.cuda.get_device_name(0),
            "memory_bytes": torch.cuda.get_device_properties(0).total_memory,
            "bf16": torch.cuda.is_bf16_supported(),
        }
    return found
