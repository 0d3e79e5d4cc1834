"""What must be quick to start never imports what is slow to import."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = (
    "torch",
    "transformers",
    "datasets",
    "pyarrow",
    "sklearn",
    "gradio",
    "accelerate",
    "torchao",
    "scipy",
    "pandas",
)
REPORT = f"import sys; print(sorted(name for name in {HEAVY} if name in sys.modules), file=sys.stderr)"


def torch_free() -> list[str]:
    """The modules that docs/architecture.md promises to keep free of torch, that exist as files or packages."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    modules = []
    for names, answer in re.findall(r"^\| (`[^|]+) \|[^|]*\| (no|inside functions|yes) \|", text, re.MULTILINE):
        for name in re.findall(r"`([\w/.]+)`", names) if answer != "yes" else []:
            if name.endswith((".py", "/")):
                modules.append("qtinker." + name.removesuffix(".py").removesuffix("/").replace("/", "."))
    return modules


def heavy_after(code: str) -> str:
    """Which heavy libraries are loaded after some code ran in a fresh process."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{REPORT}"], capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT / "app")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stderr.strip().splitlines()[-1]


def test_the_table_is_understood():
    assert {"qtinker.spec", "qtinker.registry", "qtinker.jobs", "qtinker.api"} <= set(torch_free())


@pytest.mark.parametrize("module", torch_free())
def test_importing_it_loads_nothing_heavy(module):
    path = ROOT / "app" / Path(*module.split("."))
    if not path.with_suffix(".py").exists() and not (path / "__init__.py").exists():
        pytest.skip(f"{module} is not there yet")
    assert heavy_after(f"import {module}") == "[]"


@pytest.mark.parametrize("arguments", [["--help"], ["distill", "--help"], ["models", "--json"], ["runs"]])
def test_these_commands_load_nothing_heavy(arguments, qtinker_home):
    assert heavy_after(f"import qtinker.cli; assert qtinker.cli.main({arguments!r}) == 0") == "[]"


def test_distill_print_spec_loads_nothing_heavy(qtinker_home):
    command = ["distill", "--teacher", "a", "--student", "b", "--data", "c.csv", "--print-spec"]
    assert heavy_after(f"import qtinker.cli; assert qtinker.cli.main({command!r}) == 0") == "[]"
