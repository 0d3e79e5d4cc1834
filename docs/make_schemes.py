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
    parts.append(ENGINES)
    parts.append("## Formats to export to\n")
    parts += [
        f"- `{form.name}`: {form.title}. Runs on {form.runs_on}. Needs `pip install qtinker[{form.extra}]`.\n"
        for form in FORMATS.values()
    ]
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(text(), encoding="utf-8", newline="\n")
