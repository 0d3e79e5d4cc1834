"""Engine torchao: int8 weights as tensor subclasses, in safetensors that plain `from_pretrained` loads.

The configuration is one `FqnToConfig`: a pattern for the embeddings, patterns for the encoder's linear layers. It goes
into config.json, and the model gets the quantizer object that transformers would have made, without which
`save_pretrained` can't flatten the tensors.
"""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import MissingExtra
from .layers import Layers, patterns
from .schemes import Scheme


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
    """
    try:
        from torchao.quantization import quantize_
        from transformers import TorchAoConfig
        from transformers.quantizers.quantizer_torchao import TorchAoHfQuantizer
    except ImportError as error:
        raise MissingExtra("This scheme needs torchao, which is not installed.", "pip install torchao") from error
    config = _config(layers, scheme)
    quantize_(model, config, filter_fn=None)
    model.config.quantization_config = TorchAoConfig(config)
    model.hf_quantizer = TorchAoHfQuantizer(model.config.quantization_config)
    with quiet():
        model.save_pretrained(folder)
    return {"activations": "int8, one scale a token"}


def _config(layers: Layers, scheme: Scheme) -> Any:
    from torchao.quantization import FqnToConfig, Int8DynamicActivationInt8WeightConfig, Int8WeightOnlyConfig

    linear = {"int8-dynamic": Int8DynamicActivationInt8WeightConfig}[scheme.name]
    chosen: OrderedDict[str, Any] = OrderedDict()
    for pattern in patterns(layers.embeddings):
        chosen[f"re:{pattern}"] = Int8WeightOnlyConfig()
    for pattern in patterns(layers.linears):
        chosen[f"re:{pattern}"] = linear()
    return FqnToConfig(fqn_to_config=chosen)
