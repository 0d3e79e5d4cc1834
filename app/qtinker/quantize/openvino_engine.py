"""Engine openvino: INT8 or 4-bit weights, dynamic or calibrated INT8, in OpenVINO's own files, by NNCF, on the CPU.

The head is left alone. OpenVINO computes with packed weights as they are, so small files are fast too. Where weights
alone are packed it rounds activations to int8 on the fly, with a scale for so many neighbours in a token: 32 unless the
file says otherwise, which costs half the speed. For int8-dynamic the file says 128.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..data import Examples, collate, encode
from ..export import openvino_format
from ..export.graph import quiet
from ..heads import HEAD_NAMES
from ..runtime import extras
from .layers import group_size, select_layers
from .schemes import Scheme

CALIBRATION_ROWS = 300
FEWEST_FOR_GPTQ = 32
TAKEN_BY_GPTQ = ("bert", "distilbert")
"""NNCF 3.4 can't take apart, layer by layer, models that put a projection between embeddings and encoder."""
DYNAMIC_GROUP = 128
"""Activations that share a scale in int8-dynamic: more gained no speed in measurements, fewer lost it."""
_HEAD = [rf".*\.({'|'.join(HEAD_NAMES)})[./].*"]


def quantize_model(runtime: Any, scheme: Scheme, folder: Path, *, calibration: Examples | None) -> dict[str, Any]:
    """Write the quantized model; returns what to note about it.

    Args:
        calibration: examples for int8-static, and for GPTQ in int4-weight-only, which goes without where there are few.

    Raises:
        InputError: the layers' widths can't be cut into groups of 4 bits.
        MissingExtra: openvino or nncf is not installed.
    """
    extras.load("openvino", "openvino")
    nncf = extras.load("nncf", "openvino")
    converted = openvino_format.convert(runtime.model, runtime.tokenizer)
    ignored = nncf.IgnoredScope(patterns=_HEAD, validate=False)
    notes: dict[str, Any] = {}
    with quiet():
        if scheme.name == "int8-static":
            assert calibration is not None
            rows = calibration_batches(runtime, calibration)
            converted = nncf.quantize(
                converted, nncf.Dataset(rows), model_type=nncf.ModelType.TRANSFORMER, subset_size=len(rows),
                ignored_scope=ignored,
            )  # fmt: skip
            notes["calibration_rows"] = len(rows)
        else:
            mode, settings = _mode(nncf, scheme, runtime.model)
            data = {}
            if takes_gptq(runtime, scheme, calibration):
                assert calibration is not None
                rows = calibration_batches(runtime, calibration)
                settings["gptq"] = True
                data = {"dataset": nncf.Dataset(rows), "subset_size": len(rows)}
                notes["calibration_rows"] = len(rows)
            converted = nncf.compress_weights(converted, mode=mode, ignored_scope=ignored, **settings, **data)
            notes |= {"mode": mode.value, **settings}
    if scheme.name == "int8-dynamic":
        converted.set_rt_info(str(DYNAMIC_GROUP), ["runtime_options", "DYNAMIC_QUANTIZATION_GROUP_SIZE"])
        notes["activations"] = f"int8, one scale for {DYNAMIC_GROUP} values of a token"
    openvino_format.save(converted, folder)
    return notes


def takes_gptq(runtime: Any, scheme: Scheme, calibration: Examples | None) -> bool:
    """Whether 4-bit weights are chosen by GPTQ (Frantar et al. 2023), each making up on real activations for the
    rounding of those before it: where there are examples, and the weights don't lie on the 4-bit grid already."""
    enough = calibration is not None and len(calibration) >= FEWEST_FOR_GPTQ
    taken = enough and runtime.config.get("model_type") in TAKEN_BY_GPTQ
    return scheme.name == "int4-weight-only" and taken and runtime.meta.get("quantization_aware") != "int4"


def calibration_batches(runtime: Any, examples: Examples) -> list[dict[str, np.ndarray]]:
    """Up to CALIBRATION_ROWS examples, spread over all of them, one a batch, as the model takes them."""
    chosen = np.unique(np.linspace(0, len(examples) - 1, min(CALIBRATION_ROWS, len(examples))).astype(int))
    encoded = encode(examples.select(chosen), runtime.tokenizer, runtime.max_length, cache=False)
    batches = []
    for number in range(len(encoded)):
        batch = collate(
            encoded, [number], model_inputs=runtime.input_names, pad_token_id=runtime.pad_token_id
        )  # fmt: skip
        batches.append({name: batch[name].numpy() for name in runtime.input_names})
    return batches


def _mode(nncf: Any, scheme: Scheme, model: Any) -> tuple[Any, dict[str, Any]]:
    modes = nncf.CompressWeightsMode
    if scheme.bits == 8:
        return modes.INT8_SYM, {}
    layers = select_layers(model)
    widths = [model.get_parameter(f"{name}.weight").shape[1] for name in layers.all]
    assert scheme.group
    size = group_size(widths, scheme.group)
    mode = modes.NF4 if scheme.name == "nf4" else modes.INT4_ASYM
    return mode, {"group_size": size, "ratio": 1.0, "all_layers": True}
