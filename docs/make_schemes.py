"""Write docs/quantization.md from the table of schemes: `python docs/make_schemes.py`. A test holds the file to it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "app"))

from qtinker.export.formats import FORMATS  # noqa: E402
from qtinker.quantize.schemes import SCHEMES  # noqa: E402

PAGE = ROOT / "docs" / "quantization.md"
RESULTS = ROOT / "benchmarks" / "results"
SHOWN = (
    ("int8-dynamic", "openvino"), ("int8-static", "openvino"), ("int8-dynamic", "onnxruntime"),
    ("int8-dynamic", "torchao"), ("int4-weight-only", "openvino"),
)  # fmt: skip
"""The schemes and engines whose speed the page tells; the others are in the benchmark's own tables."""
HEAD = """# Quantization and export

    python3 app quantize MODEL --scheme int8-dynamic
    python3 app export MODEL --format onnx
    python3 app evaluate MODEL MODEL-int8-dynamic --data FILE

Made from `app/qtinker/quantize/schemes.py` and `app/qtinker/export/formats.py` by `docs/make_schemes.py`; don't edit
it here.

Each quantized or exported model is loaded again in a fresh process and compared with its source, on `--data FILE` or
on texts of random words, before it enters the registry; one that answers too differently is refused with the numbers,
unless `--force` keeps it. A run whose student is quantized (`--quantize`) goes on without that version and says so.

## Schemes
"""
TRIM = """## A smaller vocabulary

    python3 app trim MODEL --data FILE

In small and in multilingual BERTs the embeddings are most of the bytes (89% of BERT-tiny, half of multilingual BERT
base), and your texts need a fraction of the tokens. `trim` keeps the tokens of all texts in `--data` and `--text`, of
`--keep WORD`, and all those of a `--script`; every token of a single character, so that any word can still be spelled;
and the special tokens. Tokenizer and embeddings (and the decoder of a masked language model) are rewritten together.

All texts are cut into the same tokens as before, and the answers to a sample of them are equal bit for bit (the last
hidden states where a model has no head, or guesses hidden words); otherwise nothing is kept. A tenth of the texts is
held back once, to tell how many of its tokens the others would not have covered: new text meets as many, and they are
spelled in smaller pieces. The result is an ordinary model, to be distilled into, quantized by every scheme, exported.
It works where texts are cut by WordPiece (BERT, DistilBERT, MobileBERT, ELECTRA); byte-pair and SentencePiece
vocabularies (GPT-2, RoBERTa, ALBERT, XLM-R) are refused: their tokens build on one another.
"""
ENGINES = """## Engines

| engine | what it writes | loads with |
|---|---|---|
| torchao | `model.safetensors` | `from_pretrained` with torchao installed; much faster through QTinker, which does \
the same arithmetic without its detours on a CPU |
| compressed-tensors | `model.safetensors`, packed | `from_pretrained` with compressed-tensors installed; weights \
unpack to float |
| transformers | `model.safetensors` in 16 bits | `from_pretrained` |
| onnxruntime | `model.onnx` | ONNX Runtime; `pip install qtinker[onnx]` |
| openvino | `openvino_model.xml`, `.bin` | OpenVINO; `pip install qtinker[openvino]` |

`--engine auto` takes the one that suits the device, measures it and says why. On a CPU that is openvino, where it is
installed, since it computes with the packed weights; one that is measured slower than float is passed over for the next
that is installed; where all are slower the fastest is taken, with a warning. Whoever wants a folder for
`from_pretrained` says `--engine torchao` or `--engine compressed-tensors`. `predict` and `evaluate` take all of them
alike.

An engine that is not installed is refused with what is missing; `python3 app extras openvino` installs it into
QTinker's own environment, as a button on the page does, and `python3 app extras` lists what is here. The page
looks anew whenever it is loaded.
"""
STUDY = """## Ways of rounding compared

all-MiniLM-L6-v2 finetuned on SST-2, all 872 development sentences, 300 training sentences to calibrate on, by
`benchmarks/quantizers.py`. One answer is 0.11 points and the standard error about one point, so the error of the logits
tells more than the accuracy. Rows in lower case are QTinker's schemes; `mixed` chose on every second sentence and is
told on the others.

{study}

What follows from it: static INT8 has SmoothQuant in it (NNCF's, at its own strength), which more than halves the error,
and wants examples of one's own, which do so again and more. GPTQ takes a tenth off the error of OpenVINO's 4-bit
weights at the same bytes, so it is taken where there are examples; scale estimation adds little to it and takes as long
again. `mixed` kept all layers in 4 bits, which gained half a point on the sentences that are told. torchao's
SmoothQuant, a prototype, takes a quarter off the error of its dynamic INT8; OpenVINO's has about that error without
calibration, so it is not here. NNCF's AWQ changes nothing here. torchao's GPTQ makes formats that need a kernel package
and CUDA; its AWQ around INT8 weights was not done after five minutes of processor time, where others take seconds.
bitsandbytes leaves embeddings float, so a file is more than half of the float one. Groups of 32 would take a quarter
off the error for 6% more bytes. A vocabulary trimmed to the training texts spells a few words of the others anew: hence
the changed answers; texts that were given to `trim` are answered bit for bit as before, as the rows "to all texts"
show.
"""
FAST = """## How fast and how small

Times as fast as fp32 in eager PyTorch for one text and for a batch of 32, texts of 128 tokens, one thread of an AMD
EPYC with AVX512-VNNI and AVX512-BF16 and without AMX; and the file's share of the float one. All schemes, engines and
exports are in [benchmarks/results/inference.md](../benchmarks/results/inference.md), by `benchmarks/inference.py`.

{speeds}

A processor's own limit: there INT8 matrix products are 4.6 times as fast as fp32 ones (PyTorch, BERT-base's width),
so no INT8 model can be much faster than that, and the largest come near it. Processors with AMX have a higher limit.
What computes as float (compressed-tensors, fp16 on a CPU) is as fast as float; llama.cpp's files are slower than
PyTorch on a CPU, and say so in the report.

ONNX Runtime's own graph optimizer (fused attention, GELU and skip layer norm) was tried before quantizing and made no
difference, so it is not run. OpenVINO rounds activations in groups of 32 unless told otherwise, as in
`int8-weight-only`; groups of 128, which `int8-dynamic` writes into the file, are what makes that one faster.
"""
LOSING_LESS = """## Losing less in 4 bits

    python3 app quantize MODEL --scheme mixed --data FILE --max-loss 0.5
    python3 app distill --teacher T --student S --data FILE --quantization-aware int4 --quantize int4-weight-only

`mixed` rounds each layer alone to 4 bits and measures the error of the logits, then finds by bisection how few layers
must stay in 16 bits, those first that cost most for their bytes, so that no more than `--max-loss` points of the metric
are lost on the examples. The model's card names each layer's bits. The limit holds for these examples: give other ones
than it was trained on. It is not for a few rows, where one answer is more than the limit.

`--quantization-aware int4` (or `int8`) trains with the weights that the packed file will hold: torchao's fake-quantized
modules round them in each forward pass, and gradients pass as if they did not. At the end the weights are rounded for
good, so that `int4-weight-only` of such a student gives the answers that were measured in training. It works with every
method, and for `finetune`. On SST-2, students of three of MiniLM's six layers after one short epoch, by
`benchmarks/quantization_aware.py`:

{aware}
"""


def measured(name: str) -> dict[str, dict[str, Any]]:
    """The rows of a benchmark that is done; {} where it is not."""
    file = RESULTS / f"{name}.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def speeds() -> str:
    """A table of benchmarks/results/inference.json: a line a model."""
    rows = measured("inference")
    lines = ["| model | " + " | ".join(f"{scheme}, {engine}" for scheme, engine in SHOWN) + " |"]
    lines.append("|---" * (len(SHOWN) + 1) + "|")
    for key, base in rows.items():
        model, _, rest = key.partition(" ")
        if rest != "float fp32 torch" or "batch_1_ms" not in base:
            continue
        cells = []
        for scheme, engine in SHOWN:
            row = rows.get(f"{model} scheme {scheme} {engine}") or {}
            if "batch_1_ms" not in row:
                cells.append("")
                continue
            times = " / ".join(f"{base[name] / row[name]:.1f}" for name in ("batch_1_ms", "batch_32_ms"))
            cells.append(f"{times}, {row['bytes'] / base['bytes']:.0%}")
        name = f"MiniLM, {model}" if "accuracy" in base else model
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def study() -> str:
    """A table of benchmarks/results/quantizers.json: a line a way of rounding."""
    rows = measured("quantizers")
    base = (rows.get("fp32") or {}).get("bytes")
    lines = ["| way | bytes | accuracy | same answers | error of the logits |", "|---" * 5 + "|"]
    for name, row in rows.items():
        if "error" in row:
            lines.append(f"| {name} | | does not run: {row['error'].replace('|', ' ')[:90]} | | |")
        elif base:
            lines.append(
                f"| {name} | {row['bytes'] / base:.1%} | {row['accuracy']:.4f} | {row['agreement']:.1%} | "
                f"{row['logit_error']:.3f} |"
            )
    return "\n".join(lines)


def aware() -> str:
    """A table of benchmarks/results/quantization_aware.json: a line a student and engine."""
    head = ["trained", "seed", "examples", "student", "engine", "packed in INT4", "same answers", "error of the logits"]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for key, row in measured("quantization_aware").items():
        bits, seed, examples = key.split(" ")[:3]
        trained = "rounded to INT4" if bits == "int4" else "as ever"
        for engine, packed in row["packed"].items():
            lines.append(
                f"| {trained} | {seed} | {int(examples):,} | {row['student']:.4f} | {engine} | "
                f"{packed['accuracy']:.4f} | {packed['agreement']:.1%} | {packed['logit_error']:.4f} |"
            )
    return "\n".join(lines)


def text() -> str:
    """The page."""
    parts = [HEAD]
    for scheme in SCHEMES.values():
        parts.append(
            f"### {scheme.name}: {scheme.title}\n\n"
            f"- Touches: {scheme.touches}.\n- Leaves alone: {scheme.keeps}.\n- Size: {scheme.size}.\n"
            f"- Needs: {scheme.needs}.\n- Good for: {scheme.suits}.\n- Engines: {', '.join(scheme.engines)}.\n"
            f"- Refused below {scheme.agreement:.0%} of equal answers, or above a relative error of the logits of "
            f"{scheme.logit_error}.\n"
        )
    parts += [
        LOSING_LESS.format(aware=aware()),
        STUDY.format(study=study()),
        TRIM,
        ENGINES,
        FAST.format(speeds=speeds()),
    ]
    parts.append("## Formats to export to\n\nWhat each can't do, and what was checked: [export.md](export.md).\n")
    parts += [
        f"- `{form.name}`: {form.title}. Runs on {form.runs_on}."
        + (f" Needs `pip install qtinker[{form.extra}]`.\n" if form.extra else "\n")
        for form in FORMATS.values()
    ]
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(text(), encoding="utf-8", newline="\n")
