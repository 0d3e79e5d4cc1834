"""What each way of rounding costs in answers: SmoothQuant, GPTQ, AWQ and others beside QTinker's, on real data.

    python benchmarks/quantizers.py --home DIR --model MODEL --data FILE --calibration FILE [--rows NAME,...] [--small]

MODEL is a trained classifier (a registry name below DIR, or a folder), FILE its labelled evaluation data and the data
that it was trained on, of which 300 rows are taken to calibrate. Each row quantizes the model anew and answers all of
the evaluation data; accuracy is coarse there (one answer of 872 is 0.11 points), so the error of the logits and the
share of equal answers stand beside it. A row that is done is not repeated. Vocabulary trimming and mixed precision are
rows too: mixed chooses on every second example and is told on the others.

Needs the extras onnx and openvino; rows whose library is not here say so. Writes benchmarks/results/quantizers.md and
.json; `--small` makes the first rows of each kind, and writes nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "app"))

from rounding_ways import DATA, ROWS, Work, plain_logits  # noqa: E402


def main() -> None:
    """Measure what is missing, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", required=True, type=Path, help="where rows are kept")
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True, help="labelled data to measure on")
    parser.add_argument("--calibration", required=True, help="data to calibrate on and to trim by")
    parser.add_argument("--rows", help="only these, by their first words")
    parser.add_argument("--small", action="store_true", help="a few rows and examples, nothing written")
    args = parser.parse_args()
    os.environ["QTINKER_HOME"] = str(args.home.resolve())
    from qtinker import registry
    from qtinker.data import load_eval
    from qtinker.quantize.verify import compare_logits
    from qtinker.runtime.base import labels_of

    source = registry.resolve(args.model)
    rows, trained = (load_eval(file, labels=labels_of(source)) for file in (args.data, args.calibration))
    calibration = trained.select(np.linspace(0, len(trained) - 1, 300).astype(int))
    args.home.mkdir(parents=True, exist_ok=True)
    store = args.home / ("quantizers-small.json" if args.small else "quantizers.json")
    done: dict[str, Any] = json.loads(store.read_text(encoding="utf-8")) if store.is_file() else {}
    DATA["calibration"] = args.calibration
    chosen = list(ROWS) if not args.rows else [name for name in ROWS if name.startswith(tuple(args.rows.split(",")))]
    if args.small:
        rows, calibration = rows.select(range(32)), calibration.select(range(8))
        chosen = ["fp32", "int8-dynamic, torchao", "int4-weight-only, compressed-tensors"]
    before = None
    for name in chosen:
        if name in done and "error" not in done[name]:
            continue
        if before is None:
            before = plain_logits(Work(source, rows, calibration, args.home))[0]
        started = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="qtinker-quantizers-") as folder:
            work = Work(source, rows, calibration, Path(folder))
            try:
                logits, size = ROWS[name](work)
                seen = np.arange(len(rows)) if work.rest is None else work.rest
                verdict = compare_logits(before[seen], logits[seen])
                done[name] = {
                    "bytes": size, "accuracy": float((logits.argmax(-1) == rows.labels)[seen].mean()),
                    "accuracy_fp32": float((before.argmax(-1) == rows.labels)[seen].mean()),
                    "agreement": verdict.agreement, "logit_error": verdict.logit_error, "rows": len(seen),
                    "seconds": round(time.monotonic() - started, 1),
                }  # fmt: skip
            except Exception as error:  # whatever a library raises where it can't do this is what the table tells
                done[name] = {"error": f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"}
        print(name, json.dumps(done[name]), file=sys.stderr, flush=True)
        store.write_text(json.dumps(done, indent=1), encoding="utf-8")
    text = report(done, trained=len(trained))
    print(text)
    if not args.small:
        out = ROOT / "benchmarks" / "results"
        (out / "quantizers.md").write_text(text, encoding="utf-8")
        ordered = {name: done[name] for name in ROWS if name in done}
        (out / "quantizers.json").write_text(json.dumps(ordered, indent=1) + "\n", encoding="utf-8")


def report(done: dict[str, Any], *, trained: int) -> str:
    """The table."""
    words = list(sys.argv[1:])
    if "--rows" in words:  # the table holds all that are done
        del words[(at := words.index("--rows")) : at + 2]
    for option, shown in (("--home", "DIR"), ("--data", "FILE"), ("--calibration", "FILE"), ("--model", "MODEL")):
        words[words.index(option) + 1] = shown
    base = done.get("fp32", {}).get("bytes", 0)
    lines = [
        "# Ways of rounding, on real data", "",
        f"Made by `python benchmarks/quantizers.py {' '.join(words)}` ({platform.machine()}). Rows in lower case are "
        "schemes of QTinker's. Bytes of the weight files (of the tensors, where only the library was tried) over the "
        "float model's; agreement and the relative error of the logits are against fp32. 300 of the "
        f"{trained:,} training rows calibrate. `mixed` chose its layers on every second row and is told on the others.",
        "", "| way | bytes | accuracy | fp32 there | agreement | logit error | seconds |", "|---" * 7 + "|",
    ]  # fmt: skip
    for name in ROWS:
        row = done.get(name)
        if row is None:
            continue
        if "error" in row:
            lines.append(f"| {name} | | | | | | {row['error'].replace('|', ' ')} |")
            continue
        share = f"{row['bytes'] / base:.1%}" if base else f"{row['bytes']:,}"
        lines.append(
            f"| {name} | {share} | {row['accuracy']:.4f} | {row['accuracy_fp32']:.4f} | {row['agreement']:.2%} | "
            f"{row['logit_error']:.3f} | {row['seconds']:.0f} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
