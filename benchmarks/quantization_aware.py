"""Quantization-aware distillation against rounding after training, in 4 bits, on SST-2.

    python benchmarks/quantization_aware.py --home DIR --teacher MODEL --data TRAIN --eval DEV [--examples 8000]
                                            [--epochs 1] [--seeds 1,2] [--only-done]

The student has three of the finetuned teacher's layers and learns its answers (method logit) from the same examples in
the same order, once as ever and once with its weights rounded to 4 bits in each step; then both are packed into INT4 by
each engine. What counts is the accuracy of the packed file, and how far it is from the student that was trained. A row
that is done is not repeated. Writes benchmarks/results/quantization_aware.md and .json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "app"))
ENGINES = ("compressed-tensors", "openvino")
COLUMNS = ["trained", "seed", "examples", "student", "engine", "packed in INT4", "points lost", "agreement",
           "logit error", "bytes"]  # fmt: skip


def main() -> None:
    """Run what is missing, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", required=True, type=Path, help="where models, runs and rows are kept")
    parser.add_argument(
        "--teacher", required=True, help="a finetuned classifier: a registry name below DIR, or a folder"
    )
    parser.add_argument("--layers", default="0,2,4", help="the teacher's layers that the student begins with")
    parser.add_argument("--data", required=True)
    parser.add_argument("--eval", required=True)
    parser.add_argument("--examples", type=int, default=8000)
    parser.add_argument("--epochs", type=float, default=1.0)
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument("--seeds", default="1,2")
    parser.add_argument("--only-done", action="store_true", help="run nothing: write the table of what is done")
    args = parser.parse_args()
    os.environ["QTINKER_HOME"] = str(args.home.resolve())
    args.home.mkdir(parents=True, exist_ok=True)
    store = args.home / "quantization_aware.json"
    done: dict[str, Any] = json.loads(store.read_text(encoding="utf-8")) if store.is_file() else {}
    for seed in args.seeds.split(","):
        for bits in ("none", "int4"):
            key = f"{bits} {seed} {args.examples} {args.epochs} {args.learning_rate} {args.layers}"
            if key not in done and not args.only_done:
                done[key] = row(args, bits, int(seed))
                store.write_text(json.dumps(done, indent=1), encoding="utf-8")
                print(key, json.dumps(done[key]), file=sys.stderr, flush=True)
    text = report(done, args)
    print(text)
    out = ROOT / "benchmarks" / "results"
    (out / "quantization_aware.md").write_text(text, encoding="utf-8")
    (out / "quantization_aware.json").write_text(json.dumps(done, indent=1) + "\n", encoding="utf-8")


def row(args: argparse.Namespace, bits: str, seed: int) -> dict[str, Any]:
    """One student, and what its packed files answer."""
    import qtinker
    from qtinker.data import load_eval
    from qtinker.predict import Predictor
    from qtinker.quantize import quantize
    from qtinker.quantize.verify import compare_logits
    from qtinker.runtime import extras, weights_bytes
    from qtinker.runtime.base import labels_of

    made = qtinker.distill(
        teacher=args.teacher, student_layers=args.layers, data=args.data, eval_data=args.eval, method="logit",
        max_examples=args.examples, epochs=args.epochs, learning_rate=args.learning_rate, seed=seed,
        quantization_aware=bits, name=f"rounded-{bits}-{seed}",
    )  # fmt: skip
    student = Path(made["checkpoint"])
    rows = load_eval(args.eval, labels=labels_of(student))
    before = Predictor(student).logits(rows)

    def accuracy(logits: Any) -> float:
        return float((logits.argmax(-1) == rows.labels).mean())

    found: dict[str, Any] = {
        "student": accuracy(before), "bytes": weights_bytes(student), "seconds": made["seconds"], "packed": {},
        "examples_per_second": made["examples_per_second"],
    }  # fmt: skip
    for engine in filter(extras.runs, ENGINES):
        path = quantize(student, "int4-weight-only", engine=engine, check_rows=rows.select(range(16)), force=True,
                        fresh=False)  # fmt: skip
        after = Predictor(path).logits(rows)
        verdict = compare_logits(before, after)
        found["packed"][engine] = {
            "accuracy": accuracy(after), "bytes": weights_bytes(path), "agreement": verdict.agreement,
            "logit_error": verdict.logit_error,
        }  # fmt: skip
    return found


def report(done: dict[str, Any], args: argparse.Namespace) -> str:
    """The table: a line a student and engine."""
    words = list(sys.argv[1:])
    for option, shown in (("--home", "DIR"), ("--data", "TRAIN"), ("--eval", "DEV"), ("--teacher", "MODEL")):
        words[words.index(option) + 1] = shown
    lines = [
        "# Quantization-aware distillation in 4 bits, on SST-2", "",
        f"Made by `python benchmarks/quantization_aware.py {' '.join(words)}` on {platform.machine()}. Students of "
        "three of the teacher's layers; agreement and the relative error of the logits are the packed file's against "
        "the student that was trained. One answer of 872 is 0.11 points, the standard error about 1.1.", "",
        f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|",
    ]  # fmt: skip
    for key, row in done.items():
        bits, seed, examples = key.split(" ")[:3]
        for engine, packed in row["packed"].items():
            trained = "rounded to INT4" if bits == "int4" else "as ever"
            cells = [
                trained, seed, f"{int(examples):,}", f"{row['student']:.4f}", engine, f"{packed['accuracy']:.4f}",
                f"{100 * (row['student'] - packed['accuracy']):.2f}", f"{packed['agreement']:.2%}",
                f"{packed['logit_error']:.4f}", f"{packed['bytes'] / row['bytes']:.1%}",
            ]  # fmt: skip
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
