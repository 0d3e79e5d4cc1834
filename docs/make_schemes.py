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

`--engine auto` takes the one that suits the device and says why. `predict` and `evaluate` take all of them alike.
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
    parts += [TRIM, ENGINES]
    parts.append("## Formats to export to\n\nWhat each can and can't do, and what was checked: [export.md](export.md).\n")
    parts += [
        f"- `{form.name}`: {form.title}. Runs on {form.runs_on}."
        + (f" Needs `pip install qtinker[{form.extra}]`.\n" if form.extra else "\n")
        for form in FORMATS.values()
    ]
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(text(), encoding="utf-8", newline="\n")
