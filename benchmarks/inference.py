"""Size and speed of every scheme, engine and export, over fp32 in eager PyTorch, in one run; quality where it is real.

    python benchmarks/inference.py --home DIR [--sizes tiny,mini,small,medium,base] [--model MODEL --data FILE]
                                   [--calibration FILE] [--threads 1] [--make] [--only-done] [--small]

The sizes are BERTs of Google's shapes with random weights: bytes and time don't depend on what was learned. `--model`
is a trained classifier (a registry name below DIR, or a folder), measured with `--data` for its accuracy, agreement
with fp32 and error of the logits too; `--calibration` are rows to find ranges on. Every row is quantized or exported by
QTinker, loaded in a process of its own and timed on texts of 128 tokens. A row that is done is not repeated, so the
benchmark may be stopped and started again; with `--make` the models are made and their answers compared, and nothing is
timed, so that the timing can be done when the machine is quiet. Writes benchmarks/results/inference.md and .json;
`--small` measures the tiny size with few calls, to see that everything runs, and writes nothing.
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
SHAPES = {"tiny": (2, 128), "mini": (4, 256), "small": (4, 512), "medium": (8, 512), "base": (12, 768)}
LENGTH, VOCABULARY = 128, 30_522
LARGE = ("bert-medium", "bert-base")
SMALL_ONLY = ("torch-export", "gguf", "gguf-q8_0", "gguf-q4_0")
"""Formats that are no faster than fp32 in the smaller sizes, and are not made of the largest ones."""
INT8 = ("int8-dynamic", "int8-weight-only", "int8-static")
INT4 = ("int4-weight-only", "nf4", "mixed")
GOALS = {"bert-tiny": 2.5, "bert-small": 4.0, "bert-base": 5.0}
"""Times as fast as fp32 eager that the best INT8 should be, on processors with AMX."""


def main() -> None:
    """Measure what is missing, then write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", required=True, type=Path, help="where models and rows of the benchmark are kept")
    parser.add_argument("--sizes", default=",".join(SHAPES), help="which shapes, by name; empty for none")
    parser.add_argument("--model", help="a trained classifier")
    parser.add_argument("--data", help="labelled data to measure it on")
    parser.add_argument("--calibration", help="data to find the ranges of its activations on; left out: --data")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--calls", type=int, default=30, help="timed calls at batch 1; a fifth of it at batch 32")
    parser.add_argument("--make", action="store_true", help="make the models and compare answers, time nothing")
    parser.add_argument("--only-done", action="store_true", help="make and time nothing: write what is done")
    parser.add_argument("--small", action="store_true", help="the tiny size and few calls, nothing written")
    args = parser.parse_args()
    if args.small:
        args.sizes, args.calls = "tiny", 3
    os.environ["QTINKER_HOME"] = str(args.home.resolve())
    os.environ["OMP_NUM_THREADS"] = str(args.threads)
    args.home.mkdir(parents=True, exist_ok=True)
    from qtinker import registry
    from qtinker.errors import QTinkerError

    sources = {f"bert-{name}": random_bert(name) for name in args.sizes.split(",") if name}
    if args.model:
        path = registry.resolve(args.model)
        sources[path.name] = path
    store = args.home / ("rows-small.json" if args.small else "rows.json")
    done: dict[str, Any] = json.loads(store.read_text(encoding="utf-8")) if store.is_file() else {}
    for source, path in sources.items():
        data = args.data if args.model and not source.startswith("bert-") else None
        for kind, name, engine in variants(source, with_data=data is not None):
            key = f"{source} {kind} {name} {engine}"
            if args.only_done:
                continue
            row = done.setdefault(key, {})
            try:
                if "bytes" not in row:
                    made = path if kind == "float" else make(path, kind, name, engine, args if data else None)
                    row |= {"path": str(made), **held(path, made, data, args.threads)}
                    row.pop("error", None)
                if "batch_1_ms" not in row and not args.make and is_timed(source, engine):
                    row |= timed(Path(row["path"]), args)
            except QTinkerError as error:
                row["error"] = str(error)[:200]
            store.write_text(json.dumps(done, indent=1), encoding="utf-8")
            print(key, json.dumps(row), file=sys.stderr, flush=True)
    if args.make:
        return
    if "peaks" not in done and not args.only_done:
        done["peaks"] = peaks(args.threads)
        store.write_text(json.dumps(done, indent=1), encoding="utf-8")
    text = report(done, list(sources), args, done.get("peaks"))
    print(text)
    if not args.small:
        out = ROOT / "benchmarks" / "results"
        out.mkdir(exist_ok=True)
        kept = {key: {name: value for name, value in row.items() if name != "path"} for key, row in done.items()}
        (out / "inference.md").write_text(text, encoding="utf-8")
        (out / "inference.json").write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


def variants(source: str, *, with_data: bool) -> list[tuple[str, str, str]]:
    """(float, scheme or format; name; engine) of everything that can be made and run here."""
    from qtinker.export.formats import FORMATS
    from qtinker.quantize.schemes import SCHEMES, offered
    from qtinker.runtime import extras

    found = [("float", "fp32", "torch")]
    for scheme in SCHEMES.values():
        if scheme.name != "mixed" or with_data:
            found += [("scheme", scheme.name, engine) for engine in offered(scheme) if extras.runs(engine)]
    for form in FORMATS.values():
        # TensorRT's ONNX graph is the onnx row again, and fixed formats are for devices.
        here = extras.is_here(form.extra) and not form.fixed and (not form.runner or extras.is_here(form.runner))
        if here and not (source in LARGE and form.name in SMALL_ONLY):
            found.append(("format", form.name, form.runner or form.extra or "torch"))
    return found


def is_timed(source: str, engine: str) -> bool:
    """Whether a row is worth its minutes: weights that unpack to float on loading run as fp32 does, as the smaller
    sizes show, and are not timed again in the largest ones."""
    return not (source in LARGE and engine == "compressed-tensors")


def random_bert(size: str) -> Path:
    """A classifier of one of Google's shapes with random weights, in the registry."""
    import torch
    import transformers
    from qtinker import checkpoint, home, registry

    layers, hidden = SHAPES[size]
    place = home.models_dir() / "finetuned" / f"bert-{size}"
    if place.is_dir():
        return place
    torch.manual_seed(0)
    labels = ["negative", "positive"]
    config = transformers.BertConfig(
        vocab_size=VOCABULARY, hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=max(2, hidden // 64),
        intermediate_size=4 * hidden, id2label=dict(enumerate(labels)), label2id={"negative": 0, "positive": 1},
    )  # fmt: skip
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = [f"w{number}" for number in range(VOCABULARY - len(special))]
    tokenizer = transformers.BertTokenizer(vocab={word: number for number, word in enumerate([*special, *words])})
    task = {"type": "classification", "labels": labels, "pair": False, "metric": "accuracy"}
    meta = {"name": f"bert-{size}", "kind": "finetuned", "task": task, "max_length": LENGTH}
    with registry.staged("finetuned", f"bert-{size}") as folder:
        checkpoint.save(transformers.BertForSequenceClassification(config), tokenizer, folder, meta=meta)
    return place


def make(path: Path, kind: str, name: str, engine: str, args: argparse.Namespace | None) -> Path:
    """The quantized or exported model, made if it is not there; `args` say which data there is, if there is any."""
    from qtinker import home
    from qtinker.data import load_eval
    from qtinker.export import export
    from qtinker.quantize import quantize
    from qtinker.runtime.base import labels_of

    target = f"{path.name}-{name}-{engine}"
    group = "quantized" if kind == "scheme" else "exported"
    place = home.models_dir() / group / target
    if place.is_dir():
        return place
    rows = load_eval(args.data, labels=labels_of(path)) if args else texts(path)
    if name != "mixed":  # all rows are compared afterwards
        rows = rows.select(range(min(len(rows), 64)))
    if kind == "format":
        return export(path, name, name=target, force=True, check_rows=rows, fresh=False)
    ranges = load_eval(args.calibration, labels=labels_of(path)) if args and args.calibration else rows
    return quantize(
        path, name, engine=engine, name=target, force=True, check_rows=rows, calibration=ranges, fresh=False
    )


def texts(path: Path) -> Any:
    """Texts of 128 tokens, of the model's own whole words."""
    import numpy as np
    from qtinker.data import Examples
    from qtinker.runtime.base import load_tokenizer

    tokenizer = load_tokenizer(path)
    random = np.random.Generator(np.random.PCG64(0))
    words = [word for word in sorted(tokenizer.get_vocab()) if word.isalnum()]
    return Examples([" ".join(words[at] for at in random.integers(len(words), size=LENGTH)) for _ in range(64)])


_LOGITS: dict[Path, Any] = {}
"""What a trained model says to all rows, worked out once."""


def held(source: Path, path: Path, data: str | None, threads: int) -> dict[str, Any]:
    """Bytes, and where there is data the accuracy and how near the answers are to the source's."""
    from qtinker.data import load_eval
    from qtinker.predict import Predictor
    from qtinker.quantize.layers import bytes_by_part
    from qtinker.quantize.verify import compare_logits
    from qtinker.runtime import weights_bytes
    from qtinker.runtime.base import labels_of

    row: dict[str, Any] = {"bytes": weights_bytes(path), "parts": bytes_by_part(path)}
    if data:
        rows = load_eval(data, labels=labels_of(source))
        if source not in _LOGITS:
            _LOGITS[source] = Predictor(source, threads=threads).logits(rows)
        logits = Predictor(path, threads=threads).logits(rows)
        verdict = compare_logits(_LOGITS[source], logits)
        row |= {"accuracy": float((logits.argmax(-1) == rows.labels).mean()), "agreement": verdict.agreement,
                "logit_error": verdict.logit_error, "rows": len(rows)}  # fmt: skip
    return row


def timed(path: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Milliseconds at batch 1 and 32, and memory."""
    from qtinker.measure import Job, measure_in_child

    job = Job(
        path=str(path), threads=args.threads, calls=args.calls, throughput_examples=32 * max(2, args.calls // 5),
        max_length=LENGTH,
    )  # fmt: skip
    one = measure_in_child(job, texts(path))
    assert one.latency_ms and one.batch_latency_ms
    return {
        "engine": one.engine, "batch_1_ms": one.latency_ms["p50"], "batch_32_ms": one.batch_latency_ms["p50"],
        "model_memory_bytes": one.model_memory_bytes,
    }  # fmt: skip


def peaks(threads: int) -> dict[str, float]:
    """Thousand million operations a second of the matrix products of BERT-base, by PyTorch (oneDNN)."""
    import time

    import torch

    torch.set_num_threads(threads)
    rows, inner = 2 * LENGTH, 768  # short calls, so that the best of many is one that nothing else cut
    a, w = torch.randn(rows, inner), torch.randn(inner, inner)
    a8, w8 = a.mul(20).to(torch.int8), w.mul(20).to(torch.int8)
    calls = {
        "fp32": lambda: torch.nn.functional.linear(a, w),
        "bf16": lambda: torch.nn.functional.linear(a.bfloat16(), w.bfloat16()),
        "int8": lambda: torch._int_mm(a8, w8.t()),
    }
    found = {}
    for name, call in calls.items():
        times = []
        for _ in range(200):
            started = time.perf_counter()
            call()
            times.append(time.perf_counter() - started)
        found[name] = 2 * rows * inner * inner / min(times) / 1e9
    return found


def report(done: dict[str, Any], sources: list[str], args: argparse.Namespace, peak: dict[str, float] | None) -> str:
    """The tables."""
    from qtinker.evaluate import cpu_features, cpu_name

    words = [word for word in sys.argv[1:] if word and word != "--only-done"]
    for option, shown in (("--home", "DIR"), ("--data", "FILE"), ("--calibration", "FILE"), ("--model", "MODEL")):
        if option in words:
            words[words.index(option) + 1] = shown
    lines = [
        "# Size and speed of every scheme, engine and export", "",
        f"Made by `python benchmarks/inference.py {' '.join(words)}` on {cpu_name()} ({platform.machine()}; "
        f"{', '.join(cpu_features())}), {args.threads} thread(s), texts of {LENGTH} tokens, medians. Times are over "
        "fp32 in eager PyTorch of the same model (below 1 is faster), bytes are of the weight files over its. A row "
        "slower than float says so.", "",
    ]  # fmt: skip
    lines += [] if peak is None else [
        f"Matrix products of BERT-base's size reach {peak['fp32']:.0f} Gop/s in fp32 on this processor, "
        f"{peak['bf16']:.0f} in bf16 and {peak['int8']:.0f} in int8 (PyTorch): no INT8 model can be much more than "
        f"{peak['int8'] / peak['fp32']:.1f} times as fast as fp32 here.", "",
    ]  # fmt: skip
    done = {key: row for key, row in done.items() if row and key != "peaks"}
    lines += summary(done, sources)
    for source in sources:
        base = done.get(f"{source} float fp32 torch")
        if base and "batch_1_ms" in base:
            lines += table(source, base, done)
    return "\n".join(lines)


def summary(done: dict[str, Any], sources: list[str]) -> list[str]:
    """The fastest INT8 of each model, and the smallest file in 4 bits."""
    head = ["model", "fastest INT8", "times as fast as fp32, batch 1", "batch 32", "bytes", "goal with AMX",
            "smallest in 4 bits", "bytes"]  # fmt: skip
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for source in sources:
        base = done.get(f"{source} float fp32 torch") or {}
        rows = {key.split(" ")[2:4][0] + " by " + key.split(" ")[3]: row for key, row in done.items()
                if key.startswith(f"{source} scheme") and "bytes" in row}  # fmt: skip
        eight = {name: row for name, row in rows.items() if name.split(" ")[0] in INT8 and "batch_1_ms" in row}
        four = {name: row for name, row in rows.items() if name.split(" ")[0] in INT4}
        if "batch_1_ms" not in base or not eight or not four:
            continue
        best = min(eight, key=lambda name: sum(eight[name][f"batch_{n}_ms"] / base[f"batch_{n}_ms"] for n in (1, 32)))
        least = min(four, key=lambda name: four[name]["bytes"])
        speeds = [base[f"batch_{n}_ms"] / eight[best][f"batch_{n}_ms"] for n in (1, 32)]
        goal = f"{GOALS[source]:g}" if source in GOALS else ""
        cells = [source, best, *(f"{speed:.1f}" for speed in speeds), f"{eight[best]['bytes'] / base['bytes']:.1%}",
                 goal, least, f"{four[least]['bytes'] / base['bytes']:.1%}"]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return [*lines, ""]


def table(source: str, base: dict[str, Any], done: dict[str, Any]) -> list[str]:
    """Every row of one model."""
    real = "accuracy" in base
    times = f"{base['batch_1_ms']:.1f} ms at batch 1, {base['batch_32_ms']:.1f} ms at batch 32"
    score = f", accuracy {base['accuracy']:.4f} on {base['rows']} rows" if real else ""
    lines = [f"## {source}", "", f"fp32 eager: {base['bytes'] / 1e6:.1f} MB, {times}{score}.", ""]
    head = ["scheme or format", "engine", "batch 1", "batch 32", "MB", "bytes"]
    head += ["accuracy", "agreement", "logit error"] if real else []
    lines += [f"| {' | '.join(head)} | |", "|---" * (len(head) + 1) + "|"]
    for key, row in done.items():
        if not key.startswith(f"{source} ") or row is base:
            continue
        name, engine = key.split(" ")[2:]
        cells, note = [name, engine, "", "", "", ""] + ([""] * 3 if real else []), ""
        if "bytes" in row:
            cells[4:6] = [f"{row['bytes'] / 1e6:.1f}", f"{row['bytes'] / base['bytes']:.1%}"]
            if real:
                cells[6:9] = [f"{row['accuracy']:.4f}", f"{row['agreement']:.2%}", f"{row['logit_error']:.3f}"]
        if "batch_1_ms" in row:
            ratios = [row[f"batch_{size}_ms"] / base[f"batch_{size}_ms"] for size in (1, 32)]
            cells[2:4] = [f"{ratio:.2f}" for ratio in ratios]
            note = "slower than float" if max(ratios) > 1.05 else ""
            note = "unpacks to float: runs as fp32" if engine == "compressed-tensors" else note
        elif "error" in row:
            note = row["error"].replace("|", " ")
        else:
            note = "unpacks to float: runs as fp32, not timed again"
        lines.append(f"| {' | '.join(cells)} | {note} |")
    return [*lines, ""]


if __name__ == "__main__":
    main()
