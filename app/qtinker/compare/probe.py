"""Measures how fast students would be, before any training: `python -m qtinker.compare.probe JOB_FOLDER`.

Latency does not depend on what the weights are, so random ones do: each student is built, quantized by each scheme and
timed on rows of the data. A row's time is that of the fastest of several calls: whatever else the machine does can only
add to it, and nobody is to be ruled out for that. It is a process with a home of its own, so that nothing of it is ever
seen in the registry.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..data import Examples, collate, encode
from ..errors import QTinkerError, RunStopped
from ..home import models_dir
from ..spec import StudentSpec
from .bounds import FLOAT

ROWS, TIMED_ROWS, CALLS = 64, 15, 4
POLL_SECONDS = 0.5


def latencies(
    students: dict[str, tuple[StudentSpec, Sequence[str]]], *, teacher: Path, examples: Examples, task: Any,
    max_length: int, threads: int | None, engine: str = "auto", seconds: float | None = None,
    stopping: Callable[[], bool] | None = None,
) -> dict[str, dict[str, dict[str, float]]]:  # fmt: skip
    """For each student and scheme (`float` too) `latency_ms` and `bytes`; a scheme that can't be applied is left out.

    Args:
        students: by any name: how it is built, and the schemes to try.
        task: a `tasks.Task`: whose head the students get.
        engine: what makes the quantized ones.
        seconds: no further student is begun after so many; its times stay unknown.
        stopping: asked often: whether the user wants it to end.

    Raises:
        RunStopped: `stopping` said so.
        QTinkerError: the process that measures died.
    """
    job = prepared(students, teacher=teacher, examples=examples, task=task, max_length=max_length, threads=threads)
    job |= {"seconds": seconds, "engine": engine}
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
        status, said = _ended(
            [sys.executable, "-P", "-m", "qtinker.compare.probe", str(folder)], environment,
            stopping or (lambda: False),
        )  # fmt: skip
        if status or not (folder / "result.json").is_file():
            last = " ".join(said.strip().splitlines()[-3:])[-400:]
            raise QTinkerError(f"Measuring the students' speed failed: {last}", "Leave out --max-latency.")
        found: dict[str, dict[str, dict[str, float]]] = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        return found


def _ended(command: list[str], environment: dict[str, str], stopping: Callable[[], bool]) -> tuple[int, str]:
    """Run the process that measures; its exit status and what it said on standard error.

    Raises:
        RunStopped: the user asked to stop; Ctrl-C in a terminal reaches the process too, and ends it.
    """
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        text=True, encoding="utf-8", errors="replace",
    ) as child:  # fmt: skip
        try:
            while True:
                try:
                    said = child.communicate(timeout=POLL_SECONDS)[1]
                except subprocess.TimeoutExpired:
                    said = None
                if stopping() and (said is None or child.returncode):
                    raise RunStopped("Stopped while timing students.")
                if said is not None:
                    return child.returncode, said
        except BaseException:
            child.kill()
            raise


def prepared(
    students: dict[str, tuple[StudentSpec, Sequence[str]]], *, teacher: Path, examples: Examples, task: Any,
    max_length: int, threads: int | None,
) -> dict[str, Any]:  # fmt: skip
    """The job as plain data, models as folders: the process that does it has a home of its own."""
    from .. import registry

    return {
        "teacher": str(teacher), "task": task.to_meta(), "max_length": max_length, "threads": threads,
        "form": examples.form, "stride": examples.stride,
        "students": {
            name: {"schemes": list(schemes), "student": {
                **student.model_dump(exclude_none=True),
                **({"model": str(registry.resolve(student.model))} if student.model else {})}}
            for name, (student, schemes) in students.items()
        },
        "rows": [[examples.texts[n], None if examples.pairs is None else examples.pairs[n]]
                 for n in range(min(ROWS, len(examples)))],
    }  # fmt: skip


def measure(job: dict[str, Any]) -> dict[str, dict[str, dict[str, float]]]:
    """Build, quantize and time each student of a job, in this process and this home."""
    import torch

    from .. import checkpoint, quantize
    from ..runtime import open_runtime, weights_bytes
    from ..runtime.base import load_tokenizer
    from ..tasks import Task
    from . import bounds

    if job["threads"]:
        torch.set_num_threads(job["threads"])
    pairs = [pair for _, pair in job["rows"]]
    texts = [text for text, _ in job["rows"]]
    rows = Examples(texts, None if pairs[0] is None else pairs, None, job["form"], None, job["stride"])
    task = Task.from_meta(job["task"])
    found: dict[str, dict[str, dict[str, float]]] = {}
    began = time.monotonic()
    for number, (name, each) in enumerate(job["students"].items()):
        if job.get("seconds") is not None and time.monotonic() - began > job["seconds"]:
            break
        student = StudentSpec(**each["student"])
        torch.manual_seed(0)
        model = bounds.build(student, Path(job["teacher"]), task=task)
        tokenizer = load_tokenizer(Path(student.model or job["teacher"]))
        if model.config.pad_token_id is None:
            model.config.pad_token_id = tokenizer.pad_token_id
        folder = models_dir() / "finetuned" / f"probe-{number}"
        meta = {"name": folder.name, "kind": "finetuned", "task": job["task"], "max_length": job["max_length"]}
        checkpoint.save(model.eval(), tokenizer, folder, meta=meta)
        found[name] = {}
        for scheme in [FLOAT, *each["schemes"]]:
            try:
                path = folder if scheme == FLOAT else quantize.quantize(
                    folder, scheme, engine=job.get("engine", "auto"), force=True, fresh=False, check_rows=rows
                )  # fmt: skip
                runtime = open_runtime(path, threads=job["threads"])
                found[name][scheme] = {
                    "latency_ms": undisturbed(runtime, rows, max_length=job["max_length"]),
                    "bytes": weights_bytes(Path(path)),
                }
            except QTinkerError:
                continue
    return found


def undisturbed(runtime: Any, examples: Examples, *, max_length: int) -> float:
    """Median over some rows of the milliseconds that the fastest of several calls takes."""
    encoded = encode(examples, runtime.tokenizer, max_length, cache=False)
    times = []
    for number in range(TIMED_ROWS):
        inputs = collate(encoded, np.array([number % len(encoded)]), model_inputs=runtime.input_names,
                         pad_token_id=runtime.pad_token_id)  # fmt: skip
        calls = []
        for _ in range(CALLS):
            began = time.perf_counter()
            runtime.logits(inputs)
            calls.append(time.perf_counter() - began)
        times.append(1000 * min(calls))
    return float(np.median(times))


def _main(folder: Path) -> int:
    found = measure(json.loads((folder / "job.json").read_text(encoding="utf-8")))
    (folder / "result.json").write_text(json.dumps(found), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(_main(Path(sys.argv[1])))
