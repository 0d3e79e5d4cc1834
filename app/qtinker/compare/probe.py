"""Measures how fast students would be, before any training: `python -m qtinker.compare.probe JOB_FOLDER`.

Latency does not depend on what the weights are, so random ones do: each student is built, quantized by each scheme and
timed on rows of the data. It is a process with a home of its own, so that nothing of it is ever seen in the registry.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..data import Examples
from ..errors import QTinkerError
from ..home import models_dir
from ..spec import StudentSpec
from .bounds import FLOAT

CALLS, ROWS = 20, 64


def latencies(
    students: dict[str, tuple[StudentSpec, Sequence[str]]], *, teacher: Path, examples: Examples, labels: int,
    max_length: int, threads: int | None,
) -> dict[str, dict[str, dict[str, float]]]:  # fmt: skip
    """For each student and scheme (`float` too) `latency_ms` and `bytes`; a scheme that can't be applied is left out.

    Args:
        students: by any name: how it is built, and the schemes to try.

    Raises:
        QTinkerError: the process that measures died.
    """
    from .. import registry

    job = {
        "teacher": str(teacher), "labels": labels, "max_length": max_length, "threads": threads,
        "students": {
            name: {"schemes": list(schemes), "student": {
                **student.model_dump(exclude_none=True),
                **({"model": str(registry.resolve(student.model))} if student.model else {})}}
            for name, (student, schemes) in students.items()
        },
        "rows": [[examples.texts[n], None if examples.pairs is None else examples.pairs[n]]
                 for n in range(min(ROWS, len(examples)))],
    }  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="qtinker-probe-") as name:
        folder = Path(name)
        (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
        roots = [str(Path(__file__).resolve().parents[2]), os.environ.get("PYTHONPATH", "")]
        environment = os.environ | {
            "QTINKER_HOME": str(folder / "home"),
            "PYTHONPATH": os.pathsep.join(filter(None, roots)),
        }
        if threads:
            environment["OMP_NUM_THREADS"] = str(threads)
        child = subprocess.run(
            [sys.executable, "-m", "qtinker.compare.probe", str(folder)], env=environment, capture_output=True,
            text=True, encoding="utf-8", errors="replace", check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        if child.returncode or not (folder / "result.json").is_file():
            last = " ".join(child.stderr.strip().splitlines()[-3:])[-400:]
            raise QTinkerError(f"Measuring the students' speed failed: {last}", "Leave out --max-latency.")
        found: dict[str, dict[str, dict[str, float]]] = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        return found


def _measure(job: dict[str, Any]) -> dict[str, dict[str, dict[str, float]]]:
    import torch

    from .. import checkpoint, quantize
    from ..measure import quick_latency
    from ..runtime import open_runtime, weights_bytes
    from ..runtime.base import load_tokenizer
    from . import bounds

    if job["threads"]:
        torch.set_num_threads(job["threads"])
    pairs = [pair for _, pair in job["rows"]]
    rows = Examples([text for text, _ in job["rows"]], None if pairs[0] is None else pairs)
    task = {"type": "classification", "labels": [f"LABEL_{n}" for n in range(job["labels"])],
            "pair": rows.pairs is not None}  # fmt: skip
    found: dict[str, dict[str, dict[str, float]]] = {}
    for number, (name, each) in enumerate(job["students"].items()):
        student = StudentSpec(**each["student"])
        torch.manual_seed(0)
        model = bounds.build(student, Path(job["teacher"]), labels=job["labels"])
        tokenizer = load_tokenizer(Path(student.model or job["teacher"]))
        if model.config.pad_token_id is None:
            model.config.pad_token_id = tokenizer.pad_token_id
        folder = models_dir() / "finetuned" / f"probe-{number}"
        meta = {"name": folder.name, "kind": "finetuned", "task": task, "max_length": job["max_length"]}
        checkpoint.save(model.eval(), tokenizer, folder, meta=meta)
        found[name] = {}
        for scheme in [FLOAT, *each["schemes"]]:
            try:
                path = folder if scheme == FLOAT else quantize.quantize(
                    folder, scheme, force=True, fresh=False, check_rows=rows
                )  # fmt: skip
                runtime = open_runtime(path, threads=job["threads"])
                found[name][scheme] = {
                    "latency_ms": quick_latency(runtime, rows, calls=CALLS, max_length=job["max_length"]),
                    "bytes": weights_bytes(Path(path)),
                }
            except QTinkerError:
                continue
    return found


def _main(folder: Path) -> int:
    found = _measure(json.loads((folder / "job.json").read_text(encoding="utf-8")))
    (folder / "result.json").write_text(json.dumps(found), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(_main(Path(sys.argv[1])))
