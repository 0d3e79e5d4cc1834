"""The verbs about QTinker itself: demo, test, doctor."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import InputError
from .border import Json, Outcome

# A file at a time to each of two processes or more; each computes with one thread, so that they don't get in the way.
SIDE_BY_SIDE = ["-n", "auto", "--maxprocesses", "4", "--dist", "loadfile"]
FOLDERS = ["tests/unit", "tests/train", "tests/docs"]
QUICK = [*SIDE_BY_SIDE, *FOLDERS, "-m", "not real_data and not browser and not pinokio"]


def register(app: typer.Typer) -> None:
    """Add the verbs to the program."""
    app.command("demo")(demo)
    app.command("test", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(test)
    app.command("doctor")(doctor)


def demo(
    seed: Annotated[int, typer.Option("--seed", min=0, help="Same seed, same table (timings aside).")] = 42,
    json: Annotated[bool, Json] = False,
) -> Outcome:
    """Show the whole job on bundled data.

    Offline, in two to three minutes: a teacher is trained, distilled by each method beside a control, the best student
    quantized, and everything measured.
    """
    from .. import console, demo
    from . import show

    with console.Drawing() as drawing:
        result = demo.demo(seed=seed, on_event=drawing)
    return Outcome(result, lambda: show.demo(result))


def test(context: typer.Context, json: Annotated[bool, Json] = False) -> Outcome:
    """Run the quick tests.

    Those that need neither a browser nor real data. More arguments go to pytest.
    """
    root = Path(__file__).resolve().parents[3]
    if not (root / "tests").is_dir():
        raise InputError("The tests are in the source, not in an installed package.", "Run this in a checkout.")
    with tempfile.TemporaryDirectory() as folder:
        record = Path(folder) / "junit.xml"
        command = [sys.executable, "-m", "pytest", *(context.args or QUICK), f"--junitxml={record}"]
        environment = {"OMP_NUM_THREADS": "1", **os.environ}
        status = subprocess.run(command, cwd=root, stdout=sys.stderr if json else None, env=environment).returncode
        counts = read_counts(record)
    return Outcome({"passed": status == 0, **counts}, status=0 if status == 0 else 1)


def read_counts(record: Path) -> dict[str, Any]:
    """How many tests ran, failed and were skipped, from pytest's own record."""
    from xml.etree import ElementTree

    if not record.is_file():
        return {}
    suites = ElementTree.parse(record).getroot().iter("testsuite")  # noqa: S314
    names = ("tests", "failures", "errors", "skipped")
    found = [{name: int(suite.get(name, 0)) for name in names} for suite in suites]
    return {name: sum(each[name] for each in found) for name in names}


def doctor(json: Annotated[bool, Json] = False) -> Outcome:
    """Check this installation and machine."""
    from .. import doctor
    from . import show

    result = doctor.examine()
    for problem in result["problems"]:
        print(f"error: {problem}", file=sys.stderr)
    return Outcome(result, lambda: show.doctor(result), status=0 if result["ok"] else 1)


def version_text() -> str:
    """QTinker's version; in a checkout from pyproject.toml."""
    from ..doctor import version

    return version()
