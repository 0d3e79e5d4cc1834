"""Size and speed of every scheme, engine and export, over fp32 in eager PyTorch, in one run; quality where it is real.

    python benchmarks/inference.py --home DIR [--sizes tiny,mini,small,medium,base] [--model MODEL --data FILE]
                                   [--threads 1] [--small]

The sizes are BERTs of Google's shapes with random weights: bytes and time don't depend on what was learned. `--model`
is a trained classifier (a registry name below DIR, or a folder), measured with `--data` for its accuracy too. Every row
is quantized or exported by QTinker, loaded in a process of its own and timed on texts of 128 tokens. A row that is done
is not repeated, so the benchmark may be stopped and started again. Writes benchmarks/results/inference.md and .json;
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


def main() -> None:
    """Measure what is missing, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", required=True, type=Path, help="where models and rows of the benchmark are kept")
    parser.add_argument("--sizes", default=",".join(SHAPES), help="which shapes, by name; empty for none")
    parser.add_argument("--model", help="a trained classifier")
    parser.add_argument("--data", help="labelled data to measure it on")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--calls", type=int, default=30)
    parser.add_argument("--small", action="store_true", help="the tiny size and few calls, nothing written")
    args = parser.parse_args()
    if args.small:
        args.sizes, args.calls = "tiny", 3
    os.environ["QTINKER_HOME"] = str(args.home.resolve())
    os.environ["OMP_NUM_THREADS"] = str(args.threads)
    args.home.mkdir(parents=True, exist_ok=True)
    import qtinker
    from qtinker import registry

    names = [name for name in args.sizes.split(",") if name]
    sources = {f"bert-{name}": random_bert(name) for name in names}
    if args.model:
        sources[Path(args.model).name] = registry.resolve(args.model)
    done: dict[str, Any] = {}
    store = args.home / ("rows-small.json" if args.small else "rows.json")
    if store.is_file():
        done = json.loads(store.read_text(encoding="utf-8"))
    for source, path in sources.items():
        data = args.data if args.model and path.name == Path(args.model).name else None
        for kind, name, engine in variants(with_data=data is not None):
            key = f"{source} {kind} {name} {engine}"
            if key in done and "error" not in done[key]:
                continue
            try:
                made = path if kind == "float" else make(path, kind, name, engine, f"{source}-{name}-{engine}", data)
                done[key] = measured(made, args, data)
            except qtinker.errors.QTinkerError as error:
                done[key] = {"error": str(error)[:200]}
            store.write_text(json.dumps(done, indent=1), encoding="utf-8")
            print(key, json.dumps(done[key]), file=sys.stderr, flush=True)
    text = report(done, list(sources), args)
    print(text)
    if not args.small:
        out = ROOT / "benchmarks" / "results"
        out.mkdir(exist_ok=True)
        (out / "inference.md").write_text(text, encoding="utf-8")
        (out / "inference.json").write_text(json.dumps(done, indent=1) + "\n", encoding="utf-8")


def variants(*, with_data: bool) -> list[tuple[str, str, str]]:
    """(float, scheme or format; name; engine) of everything that can be made and run here."""
    from qtinker.export.formats import FORMATS
    from qtinker.quantize.schemes import SCHEMES
    from qtinker.runtime import extras

    found = [("float", "fp32", "torch")]
    for scheme in SCHEMES.values():
        if scheme.name != "mixed" or with_data:
            found += [("scheme", scheme.name, engine) for engine in scheme.engines if extras.runs(engine)]
    for form in FORMATS.values():
        # TensorRT's ONNX graph is the onnx row again, and fixed formats are for devices.
        if extras.is_here(form.extra) and not form.fixed and (not form.runner or extras.is_here(form.runner)):
            found.append(("format", form.name, form.runner or form.extra or "torch"))
    return found


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


def make(path: Path, kind: str, name: str, engine: str, target: str, data: str | None) -> Path:
    """The quantized or exported model, made if it is not there."""
    from qtinker import home, registry
    from qtinker.data import load_eval
    from qtinker.export import export
    from qtinker.quantize import quantize
    from qtinker.runtime.base import labels_of

    group = "quantized" if kind == "scheme" else "exported"
    place = home.models_dir() / group / target
    if place.is_dir():
        return place
    rows = load_eval(data, labels=labels_of(path)) if data else texts(path)
    if kind == "format":
        return export(path, name, name=target, force=True, check_rows=rows, fresh=False)
    registry.unique_name(group, target)
    return quantize(path, name, engine=engine, name=target, force=True, check_rows=rows, fresh=False)


def texts(path: Path) -> Any:
    """Texts of 128 tokens, of the model's own whole words."""
    import numpy as np
    from qtinker.data import Examples
    from qtinker.runtime.base import load_tokenizer

    tokenizer = load_tokenizer(path)
    random = np.random.Generator(np.random.PCG64(0))
    words = [word for word in sorted(tokenizer.get_vocab()) if word.isalnum()]
    return Examples([" ".join(words[at] for at in random.integers(len(words), size=LENGTH)) for _ in range(64)])


def measured(path: Path, args: argparse.Namespace, data: str | None) -> dict[str, Any]:
    """Bytes, milliseconds at batch 1 and 32, memory, and the accuracy where there is data."""
    from qtinker.evaluate import evaluate
    from qtinker.measure import Job, measure_in_child
    from qtinker.quantize.layers import bytes_by_part
    from qtinker.runtime import weights_bytes
    from qtinker.spec import DataSpec

    job = Job(
        path=str(path), threads=args.threads, calls=args.calls, throughput_examples=32 * max(2, args.calls // 5),
        max_length=LENGTH,
    )  # fmt: skip
    one = measure_in_child(job, texts(path))
    assert one.latency_ms and one.batch_latency_ms
    row = {
        "engine": one.engine, "bytes": weights_bytes(path), "parts": bytes_by_part(path),
        "batch_1_ms": one.latency_ms["p50"], "batch_32_ms": one.batch_latency_ms["p50"],
        "model_memory_bytes": one.model_memory_bytes,
    }  # fmt: skip
    if data:
        found = evaluate([path], DataSpec(train=data), calls=0, isolate=False, threads=args.threads)
        row["accuracy"] = found.models[0].metrics["accuracy"]
    return row


def report(done: dict[str, Any], sources: list[str], args: argparse.Namespace) -> str:
    """The tables."""
    from qtinker.evaluate import cpu_features, cpu_name

    words = [word for word in sys.argv[1:] if word]
    at = words.index("--home") if "--home" in words else -1
    shown = words if at < 0 else ["--home", "DIR", *words[:at], *words[at + 2 :]]
    lines = [
        "# Size and speed of every scheme, engine and export", "",
        f"Made by `python benchmarks/inference.py {' '.join(shown)}` on {cpu_name()} ({platform.machine()}; "
        f"{', '.join(cpu_features())}), {args.threads} thread(s), texts of {LENGTH} tokens, median of {args.calls} "
        "calls. Times are over fp32 in eager PyTorch of the same model (below 1 is faster), bytes are of the weight "
        "files over its. A row slower than float says so.", "",
    ]  # fmt: skip
    for source in sources:
        base = done.get(f"{source} float fp32 torch")
        if not base or "error" in base:
            continue
        real = "accuracy" in base
        times = f"{base['batch_1_ms']:.1f} ms at batch 1, {base['batch_32_ms']:.1f} ms at batch 32"
        score = f", accuracy {base['accuracy']:.4f}" if real else ""
        lines += [f"## {source}", "", f"fp32 eager: {base['bytes'] / 1e6:.1f} MB, {times}{score}.", ""]
        head = ["scheme or format", "engine", "batch 1", "batch 32", "MB", "bytes"] + (["accuracy"] if real else [])
        lines += [f"| {' | '.join(head)} | |", "|---" * (len(head) + 1) + "|"]
        for key, row in done.items():
            if not key.startswith(f"{source} ") or row is base:
                continue
            _, _, name, engine = key.split(" ")
            if "error" in row:
                lines.append(f"| {name} | {engine} | | | | |{' |' if real else ''} {row['error'].replace('|', ' ')} |")
                continue
            ratios = [row[f"batch_{size}_ms"] / base[f"batch_{size}_ms"] for size in (1, 32)]
            cells = [name, engine, *(f"{ratio:.2f}" for ratio in ratios), f"{row['bytes'] / 1e6:.1f}",
                     f"{row['bytes'] / base['bytes']:.0%}"]  # fmt: skip
            cells += [f"{row['accuracy']:.4f}"] if real else []
            lines.append(f"| {' | '.join(cells)} | {'slower than float' if max(ratios) > 1.05 else ''} |")
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
