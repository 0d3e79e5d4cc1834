"""Engine torchao: int8 weights as tensor subclasses, in safetensors that plain `from_pretrained` loads.

The configuration is one `FqnToConfig`: a pattern for the embeddings, patterns for the encoder's linear layers. It goes
into config.json, and the model gets the quantizer object that transformers would have made, without which
`save_pretrained` can't flatten the tensors.
"""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from ..errors import InputError, MissingExtra
from .layers import Layers, patterns
from .schemes import Scheme

_NOTES = {
    "int8-dynamic": {"activations": "int8, one scale a token"},
    "fp8": {
        "activations": "float8 (e4m3), one scale a tensor",
        "touches": "Linear layers of the encoder (8-bit floats, e4m3, with a scale a tensor, weights and activations) "
        "and all embeddings (int8 weights)",
    },
}


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """No progress bars of transformers on the terminal."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def quantize_model(model: Any, layers: Layers, scheme: Scheme, folder: Path) -> dict[str, Any]:
    """Quantize `model` in place and save it into `folder`; returns what to note about it.

    Raises:
        MissingExtra: torchao is not installed.
        InputError: torchao leaves a layer as it is, for its width.
    """
    import torch

    try:
        from torchao.quantization import quantize_
        from transformers import TorchAoConfig
        from transformers.quantizers.quantizer_torchao import TorchAoHfQuantizer
    except ImportError as error:
        raise MissingExtra("This scheme needs torchao, which is not installed.", "pip install torchao") from error
    config = _config(layers, scheme)
    quantize_(model, config, filter_fn=None)
    if left := [name for name in layers.all if type(model.get_parameter(f"{name}.weight").data) is torch.Tensor]:
        shape = tuple(model.get_parameter(f"{left[0]}.weight").shape)
        raise InputError(
            f"torchao has no {scheme.name} for a layer of {shape[0]} x {shape[1]} weights ({left[0]}).",
            "Choose another engine or scheme.",
        )
    model.config.quantization_config = TorchAoConfig(config)
    model.hf_quantizer = TorchAoHfQuantizer(model.config.quantization_config)
    with quiet():
        model.save_pretrained(folder)
    return dict(_NOTES[scheme.name])


def _config(layers: Layers, scheme: Scheme) -> Any:
    from torchao.quantization import (
        Float8DynamicActivationFloat8WeightConfig,
        FqnToConfig,
        Int8DynamicActivationInt8WeightConfig,
        Int8WeightOnlyConfig,
        PerTensor,
    )

    linear = {
        "int8-dynamic": Int8DynamicActivationInt8WeightConfig,
        "fp8": partial(Float8DynamicActivationFloat8WeightConfig, granularity=PerTensor()),  # by row it needs bf16
    }[scheme.name]
    chosen: OrderedDict[str, Any] = OrderedDict()
    for pattern in patterns(layers.embeddings):
        chosen[f"re:{pattern}"] = Int8WeightOnlyConfig()
    for pattern in patterns(layers.linears):
        chosen[f"re:{pattern}"] = linear()
    return FqnToConfig(fqn_to_config=chosen)
