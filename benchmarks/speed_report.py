"""The tables of benchmarks/speed.py, from the rows that it measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

GOALS = {"logit": (25, 4), "patient": (8, None), "feature": (8, None)}
"""Times as fast as TextBrewer; as Trainer in bf16."""


def report(done: dict[str, Any], methods: Sequence[str], epochs: int, machine: str) -> str:
    """Everything, as Markdown."""
    lines = [
        "# Speed of distillation", "",
        f"Made by `python benchmarks/speed.py --home DIR` on {machine}, one thread: a BERT-base-shaped teacher and a "
        "BERT-small-shaped student (4 layers, 512 hidden units) with random weights, SST-2's texts, batches of 32, "
        f"{epochs} epochs.", "",
        "Rates are examples a second and epoch, of a sample of steps after a warm-up. TextBrewer and Trainer ask the "
        "teacher in each step. QTinker asks it once: its rate counts one pass of the teacher over the data for "
        f"{epochs} epochs of training. Tokenizing is not counted for anybody (the whole run further down counts it).",
        "", *rate_table(done, methods, epochs), "", *parts_table(done, methods), "", *run_tables(done), "",
        *profiles(done),
    ]  # fmt: skip
    return "\n".join(lines).rstrip() + "\n"


def rate(done: dict[str, Any], method: str, precision: str, epochs: int) -> float | None:
    """Examples a second and epoch of QTinker: the teacher's pass, spread over the epochs, and the steps."""
    steps, teacher = (done.get(f"qtinker {method} {precision} {what}") for what in ("steps", "teacher"))
    if not steps or not teacher:
        return None
    return epochs / (1 / teacher["examples_per_second"] + epochs / steps["examples_per_second"])


def rate_table(done: dict[str, Any], methods: Sequence[str], epochs: int) -> list[str]:
    """Who does how many examples a second, and how many times that is of each rival."""
    lines = [
        "| method | TextBrewer 0.2.1 | Trainer fp32 | Trainer bf16 | QTinker | QTinker, fp32 forced | over TextBrewer "
        "| over Trainer bf16 | fp32 over TextBrewer | goals |",
        "|---" * 10 + "|",
    ]
    for method in methods:
        rivals = [
            (done.get(name) or {}).get("examples_per_second")
            for name in (f"textbrewer {method} fp32", f"trainer {method} fp32", f"trainer {method} bf16")
        ]
        own, plain = rate(done, method, "auto", epochs), rate(done, method, "fp32", epochs)
        times = [over(own, rivals[0]), over(own, rivals[2]), over(plain, rivals[0])]
        first, second = GOALS[method]
        goals = f"{first}x, {second}x, 8x" if second else f"{first}x"
        cells = [method, *map(shown, [*rivals, own, plain]), *times, goals]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def parts_table(done: dict[str, Any], methods: Sequence[str]) -> list[str]:
    """The teacher's pass and the student's step apart, and how near each is to the machine."""
    lines = [
        "Useful operations (padding does not count) a second, over those of a plain square matrix product measured in "
        "turn with the work, in the same arithmetic. A row of a rival is its whole step.", "",
        "| what | arithmetic | examples/s | teacher's share of the time | GFLOP/s | peak | share of the peak "
        "| most memory |",
        "|---" * 8 + "|",
    ]  # fmt: skip
    for name, row in done.items():
        if "operations_per_second" not in row or name.startswith("profile"):
            continue
        share = f"{row['teacher_seconds'] / row['seconds']:.0%}" if "teacher_seconds" in row else ""
        arithmetic = row.get("precision") or name.rsplit(" ", 1)[-1]
        cells = [
            name, arithmetic, shown(row["examples_per_second"]), share, f"{row['operations_per_second'] / 1e9:.0f}",
            f"{row['peak'] / 1e9:.0f} ({row['peaks'][0] / 1e9:.0f} to {row['peaks'][1] / 1e9:.0f})",
            f"{row['operations_per_second'] / row['peak']:.0%}", f"{row['memory'] / 2**20:,.0f} MiB",
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def run_tables(done: dict[str, Any]) -> list[str]:
    """Whole runs: the same pair on a sample of the data, and small models on more and more texts."""
    runs = {name: row for name, row in done.items() if "phases" in row}
    if not runs:
        return []
    names = ["prepare", "teacher-outputs", "distill", "evaluate"]
    lines = [
        "Whole runs, as the command line starts them, seconds of each phase. `growth` has a BERT-mini-shaped teacher, "
        "a BERT-tiny-shaped student and one epoch, so that what is not arithmetic would show; `evaluate` measures the "
        "finished models and is not in the rate.", "",
        f"| run | examples | {' | '.join(names)} | examples/s and epoch | most memory |",
        "|---" * (len(names) + 4) + "|",
    ]  # fmt: skip
    for name, row in runs.items():
        cells = [name.removeprefix("qtinker "), f"{row['examples']:,}"]
        cells += [f"{row['phases'].get(phase, 0):.1f}" for phase in names]
        lines.append(
            f"| {' | '.join(cells)} | {shown(row['examples_per_second'])} | {row['memory'] / 2**20:,.0f} MiB |"
        )
    return lines


def profiles(done: dict[str, Any]) -> list[str]:
    """What the time goes to, as torch.profiler says."""
    lines: list[str] = []
    for name, row in done.items():
        if row.get("profile"):
            lines += [f"## {name.removeprefix('profile ').capitalize()}", "", "```", row["profile"].rstrip(), "```", ""]
    return (
        ["Where the time goes (torch.profiler, CPU, sorted by the operator's own time):", "", *lines] if lines else []
    )


def over(own: float | None, other: float | None) -> str:
    """How many times as fast."""
    return f"{own / other:.1f}x" if own and other else ""


def shown(value: float | None) -> str:
    """A rate."""
    return f"{value:.1f}" if value else ""
