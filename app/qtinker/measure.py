"""Measures one model: its logits on given examples, latency, throughput and peak memory.

    python -m qtinker.measure JOB_FOLDER

runs the same in a process of its own, which is how a model's memory is told from everybody else's and how a saved
model is shown to load back with nothing left over from making it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from . import errors
from .data import Examples, collate, encode
from .elsewhere import Elsewhere
from .errors import QTinkerError

WARM_UP_CALLS = 5
_TIME_LIMIT_S = 20.0


@dataclass
class Job:
    """What to measure.

    Attributes:
        path: the model folder.
        batch_size: batch of the throughput measurement and of computing the logits.
        calls: timed calls at batch 1; 0: no speed is measured.
        throughput_examples: examples timed at `batch_size`, repeated from the start where there are fewer; 0: none.
        max_length: tokens texts are cut to; None: the model's own.
        seed: chooses the rows that are timed.
    """

    path: str
    device: str = "cpu"
    threads: int | None = None
    batch_size: int = 32
    calls: int = 50
    throughput_examples: int = 256
    max_length: int | None = None
    seed: int = 0


@dataclass
class Measurement:
    """What was measured. Times are of the model alone: tokens in, logits out, tokenizing not counted.

    Attributes:
        logits: the rows of numbers that the task takes of the head (`Task.rows`), as the model's own tokens gave them.
        answers: they settled to the examples (`Task.settle`), to be compared across tokenizers.
        busy_elsewhere: processors that other programs kept busy meanwhile; None: no speed measured, or too quickly.
    """

    engine: str
    name: str
    labels: list[str]
    task: dict[str, Any]
    problem_type: str
    parameters: int | None
    logits: np.ndarray = field(repr=False)
    answers: np.ndarray = field(repr=False)
    latency_ms: dict[str, float] | None = None
    batch_latency_ms: dict[str, float] | None = None
    examples_per_second: float | None = None
    load_seconds: float | None = None
    peak_memory_bytes: int | None = None
    model_memory_bytes: int | None = None
    threads: int | None = None
    busy_elsewhere: float | None = None


def measure(job: Job, examples: Examples) -> Measurement:
    """Measure in this process; memory stays unknown, since it can't be told from the process's own.

    Raises:
        CheckpointError: the model can't be loaded or has no trained head.
    """
    from .answers import answers_of, task_of
    from .runtime import open_runtime

    started, others = time.perf_counter(), Elsewhere()
    runtime = open_runtime(job.path, device=job.device, threads=job.threads)
    load_seconds = time.perf_counter() - started
    asked = answers_of(runtime, examples, batch_size=job.batch_size, max_length=job.max_length)
    result = Measurement(
        engine=runtime.engine, name=runtime.name, labels=runtime.labels, task=runtime.task,
        problem_type=runtime.problem_type, parameters=runtime.parameters, logits=asked.rows,
        answers=asked.settled(task_of(runtime), examples), load_seconds=load_seconds, threads=_threads(job),
    )  # fmt: skip
    if job.calls and len(examples):
        time_model(runtime, job, examples, result)
        result.busy_elsewhere = others.processors() if job.device == "cpu" else None
    return result


def quick_latency(runtime: Any, examples: Examples, *, calls: int = 10, max_length: int | None = None) -> float:
    """Median milliseconds for one example, of a model that is open; on the same rows at each call."""
    result = Measurement("", "", [], {}, "", None, np.zeros(0), np.zeros(0))
    job = Job(path="", calls=calls, throughput_examples=0, max_length=max_length)
    time_model(runtime, job, examples, result)
    assert result.latency_ms is not None
    return result.latency_ms["p50"]


def measure_in_child(job: Job, examples: Examples) -> Measurement:
    """Measure in a fresh process, memory included.

    Raises:
        QTinkerError: what the child raised, or that it died, with its last words.
    """
    with tempfile.TemporaryDirectory(prefix="qtinker-measure-") as name:
        folder = Path(name)
        shape = {"form": examples.form, "stride": examples.stride}
        (folder / "job.json").write_text(json.dumps({"job": asdict(job), **shape}), encoding="utf-8")
        with open(folder / "examples.jsonl", "w", encoding="utf-8") as file:
            for number in range(len(examples)):
                pair = None if examples.pairs is None else examples.pairs[number]
                # ASCII escapes keep half surrogates, which a text file could not hold.
                file.write(json.dumps([examples.texts[number], pair]) + "\n")
        environment = dict(os.environ)
        roots = [str(Path(__file__).resolve().parents[1]), environment.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, roots))
        if job.threads:
            environment["OMP_NUM_THREADS"] = str(job.threads)
        child = subprocess.run(
            [sys.executable, "-P", "-m", "qtinker.measure", str(folder)], env=environment, capture_output=True,
            text=True, encoding="utf-8", errors="replace", check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        if (folder / "error.json").is_file():
            problem = json.loads((folder / "error.json").read_text(encoding="utf-8"))
            raise getattr(errors, problem["type"], QTinkerError)(problem["message"], problem["fix"])
        if child.returncode or not (folder / "result.json").is_file():
            last = " ".join(child.stderr.strip().splitlines()[-3:])[-400:]
            raise QTinkerError(
                f"The process that ran {Path(job.path).name} ended with status {child.returncode}: {last}",
                "A negative status, or 137, usually means too little memory.",
            )
        result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        arrays = {name: np.load(folder / f"{name}.npy", allow_pickle=False) for name in ("logits", "answers")}
        return Measurement(**result, **arrays)


def peak_memory() -> int | None:
    """Most bytes of memory this process has held at once; None where the system does not tell."""
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    status = Path("/proc/self/status")
    if status.is_file():
        # Not getrusage: there Linux carries the parent's size over into a child.
        for line in status.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def time_model(runtime: Any, job: Job, examples: Examples, result: Measurement) -> None:
    """Fill in latency at batch 1 and at `batch_size`, and throughput, on rows chosen by seed."""
    random = np.random.Generator(np.random.PCG64(job.seed))
    count = max(job.calls, job.throughput_examples)
    rows = np.resize(random.permutation(len(examples)), count)
    encoded = encode(examples.select(rows), runtime.tokenizer, job.max_length or runtime.max_length, cache=False)

    def batch(indices: np.ndarray) -> dict[str, Any]:
        indices = indices % len(encoded)  # a text may give several windows, and many texts one block
        return collate(encoded, indices, model_inputs=runtime.input_names, pad_token_id=runtime.pad_token_id)

    singles = [batch(np.array([number])) for number in range(job.calls)]
    times = _timed(runtime, singles)
    result.latency_ms = _percentiles(times)
    if not job.throughput_examples:
        return
    order = np.argsort(np.resize(encoded.lengths, job.throughput_examples), kind="stable")
    groups = [order[start : start + job.batch_size] for start in range(0, len(order), job.batch_size)]
    random.shuffle(groups)  # a slow model, whose time is over before the last, gets long ones too
    times = _timed(runtime, [batch(group) for group in groups])
    result.batch_latency_ms = _percentiles(times)
    result.examples_per_second = sum(len(group) for group in groups[: len(times)]) / sum(times)


def _timed(runtime: Any, batches: list[dict[str, Any]]) -> list[float]:
    """Seconds of each call after warming up; stops early when it takes too long altogether."""
    for inputs in batches[:WARM_UP_CALLS]:
        runtime.logits(inputs)
    times: list[float] = []
    for inputs in batches:
        started = time.perf_counter()
        runtime.logits(inputs)
        times.append(time.perf_counter() - started)
        if sum(times) > _TIME_LIMIT_S:
            break
    return times


def _percentiles(times: list[float]) -> dict[str, float]:
    milliseconds = np.asarray(times) * 1000
    return {f"p{rank}": float(np.percentile(milliseconds, rank)) for rank in (50, 95)}


def _threads(job: Job) -> int:
    if job.threads:
        return job.threads
    import torch

    return torch.get_num_threads()


def _main(folder: Path) -> int:
    import psutil

    asked = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    job = Job(**asked["job"])
    rows = [json.loads(line) for line in (folder / "examples.jsonl").read_text(encoding="utf-8").splitlines()]
    pairs = [pair for _, pair in rows] if rows and rows[0][1] is not None else None
    try:
        from . import predict  # noqa: F401  (what is imported is not the model's memory)
        from .runtime import pytorch  # noqa: F401

        before = psutil.Process().memory_info().rss
        result = measure(job, Examples([text for text, _ in rows], pairs, None, asked["form"], None, asked["stride"]))
    except QTinkerError as error:
        problem = {"type": type(error).__name__, "message": error.message, "fix": error.fix}
        (folder / "error.json").write_text(json.dumps(problem), encoding="utf-8")
        return error.exit_status
    result.peak_memory_bytes = peak_memory()
    if result.peak_memory_bytes:
        result.model_memory_bytes = max(result.peak_memory_bytes - before, 0)
    arrays = ("logits", "answers")
    for name in arrays:
        np.save(folder / f"{name}.npy", getattr(result, name), allow_pickle=False)
    content = {key: value for key, value in vars(result).items() if key not in arrays}
    (folder / "result.json").write_text(json.dumps(content), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(_main(Path(sys.argv[1])))
