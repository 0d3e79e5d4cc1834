"""What the parts of benchmarks/speed.py share: a clock that measures the machine's peak in turn with the work.

Imports torch and the standard library only, so that it runs in the environment of the toolkit compared with, too.
"""

from __future__ import annotations

import csv
import json
import random
import sys
import time
from pathlib import Path
from typing import Any

import torch

PEAK_EVERY_S = 4.0
"""Seconds of work between two measurements of the peak."""
PEAK_FOR_S = 0.25
SIDE = 1024
MAX_LENGTH, BATCH = 128, 32


class Clock:
    """Seconds of work, without what measuring the peak took; and the peak, measured in turn with the work."""

    def __init__(self, precision: str, *, profile: bool = False) -> None:
        from torch.profiler import ProfilerActivity
        from torch.profiler import profile as profiler

        self._profile = profiler(activities=[ProfilerActivity.CPU]) if profile else None
        self.table: str | None = None
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        self._left, self._right = torch.randn(2, SIDE, SIDE).to(dtype).unbind()
        self._started = self._aside = 0.0
        self._last_peak = self.end = 0.0
        self.peaks: list[float] = []

    def start(self) -> None:
        """From here on everything counts."""
        self.measure_peak()
        if self._profile:
            with type(self._profile)():  # the first one takes its time to begin
                torch.mm(self._left, self._right)
            self._profile.__enter__()
        self._started, self._aside = time.perf_counter(), 0.0

    def stop(self) -> None:
        """The work is done."""
        self.end = self.seconds
        if self._profile:
            self._profile.__exit__(None, None, None)
            averages = self._profile.key_averages()
            self.table = averages.table(sort_by="self_cpu_time_total", row_limit=25, max_name_column_width=50)

    @property
    def seconds(self) -> float:
        """Of work since the start."""
        return time.perf_counter() - self._started - self._aside

    def tick(self) -> None:
        """To be called between two pieces of work: now and then measures the peak, which doesn't count as work."""
        if self._profile is None and time.perf_counter() - self._last_peak >= PEAK_EVERY_S:
            before = time.perf_counter()
            self.measure_peak()
            self._aside += time.perf_counter() - before

    def measure_peak(self) -> None:
        """Operations a second of a plain square matrix product."""
        torch.mm(self._left, self._right)
        count, start = 0, time.perf_counter()
        while time.perf_counter() - start < PEAK_FOR_S:
            torch.mm(self._left, self._right)
            count += 1
        self.peaks.append(2.0 * SIDE**3 * count / (time.perf_counter() - start))
        self._last_peak = time.perf_counter()

    @property
    def peak(self) -> float:
        """Mean of the peaks measured."""
        return sum(self.peaks) / len(self.peaks)


class Timed:
    """A model whose forward passes are timed."""

    def __init__(self, model: torch.nn.Module) -> None:
        self.seconds = 0.0
        self._forward = model.forward
        model.forward = self._call  # type: ignore[method-assign]

    def _call(self, *args: Any, **kwargs: Any) -> Any:
        start = time.perf_counter()
        try:
            return self._forward(*args, **kwargs)
        finally:
            self.seconds += time.perf_counter() - start


def read_rows(path: str | Path, count: int | None = None, *, seed: int = 0) -> list[tuple[str, int]]:
    """Text and label of rows of a table, chosen by seed."""
    with open(path, encoding="utf-8", newline="") as file:
        rows = [(row["sentence"], int(row["label"])) for row in csv.DictReader(file, delimiter="\t", quoting=3)]
    return rows if count is None else random.Random(seed).sample(rows, min(count, len(rows)))


def operations(config: Any, lengths: list[int]) -> float:
    """Operations (a multiply-add is two) of a forward pass of a BERT over texts of so many tokens, padding aside."""
    hidden, inner = config.hidden_size, config.intermediate_size
    dense = config.num_hidden_layers * (4 * hidden * hidden + 2 * hidden * inner)
    attention = 2 * config.num_hidden_layers * hidden
    return 2.0 * sum(length * dense + length * length * attention + hidden * hidden for length in lengths)


def matches(method: str, *, student: int, teacher: int) -> list[tuple[int, int]]:
    """(student layer, teacher layer) that are compared; layer 0 is the embeddings' output."""
    ratio = teacher // student
    if method == "patient":
        return [(layer, layer * ratio) for layer in range(1, student)]
    return [(layer, layer * ratio) for layer in range(student + 1)] if method == "feature" else []


def peak_memory() -> int:
    """Most bytes this process had in memory, 0 where the system does not say."""
    if sys.platform == "win32":
        return 0
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def answer(row: dict[str, Any]) -> None:
    """Hand a row back to benchmarks/speed.py: the last line that is written."""
    sys.stdout.flush()
    print("\n" + json.dumps(row), flush=True)
