"""Write docs/quantization.md from the table of schemes: `python docs/make_schemes.py`. A test holds the file to it."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "app"))

from qtinker.export.formats import FORMATS  # noqa: E402
from qtinker.quantize.schemes import SCHEMES  # noqa: E402

PAGE = ROOT / "docs" / "quantization.md"
HEAD = """# Quantization and export

    python3 app quantize MODEL --scheme int8-dynamic
    python3 app export MODEL --format onnx
    python3 app evaluate MODEL MODEL-int8-dynamic --data FILE

Made from `app/qtinker/quantize/schemes.py` and `app/qtinker/export/formats.py` by `docs/make_schemes.py`; don't edit
it here.

Each quantized or exported model is loaded again in a fresh process and compared with its source, on `--data FILE` or
on texts of random words, before it enters the registry; one that answers too differently is refused with the numbers,
unless `--force` keeps it.

## Schemes
"""
TRIM = """## A smaller vocabulary

    python3 app trim MODEL --data FILE

In small and in multilingual BERTs the embeddings are most of the bytes (89% of BERT-tiny, half of multilingual BERT
base), and your texts need a fraction of the tokens. `trim` keeps the tokens of all texts in `--data` and `--text`, of
`--keep WORD`, and all those of a `--script`; every token of a single character, so that any word can still be spelled;
and the special tokens. Tokenizer and embeddings (and the decoder of a masked language model) are rewritten together.

All texts are cut into the same tokens as before, and the answers to a sample of them are equal bit for bit; otherwise
nothing is kept. A tenth of the texts is held back once, to tell how many of its tokens the others would not have
covered: new text meets as many, and they are spelled in smaller pieces. The result is an ordinary model, to be
distilled into, quantized by every scheme, exported. It works where texts are cut by WordPiece (BERT, DistilBERT,
MobileBERT, ELECTRA); byte-pair and SentencePiece vocabularies (GPT-2, RoBERTa, ALBERT, XLM-R) are refused: their
tokens build on one another.
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

`--engine auto` takes the one that suits the device, measures it and says why: on a CPU one that is slower than float is
passed over for the next that is installed; where all are slower the fastest is taken, with a warning. An engine that is
not installed is refused with what is missing. `predict` and `evaluate` take all of them alike.

`int8-static` has SmoothQuant in it: NNCF applies it to Transformers before it looks for ranges.
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
method, and for `finetune`.
"""


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
    parts += [LOSING_LESS, TRIM, ENGINES]
    parts.append("## Formats to export to\n\nWhat each can't do, and what was checked: [export.md](export.md).\n")
    parts += [
        f"- `{form.name}`: {form.title}. Runs on {form.runs_on}."
        + (f" Needs `pip install qtinker[{form.extra}]`.\n" if form.extra else "\n")
        for form in FORMATS.values()
    ]
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(text(), encoding="utf-8", newline="\n")
