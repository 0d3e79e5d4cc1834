"""The ways of rounding that benchmarks/quantizers.py compares: QTinker's own, and other libraries' beside them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

Answer = tuple[np.ndarray, int]
"""Logits on all rows, and bytes of the file (of the tensors, where the library writes none here)."""


@dataclass
class Work:
    """What a row gets to work with."""

    source: Path
    rows: Any
    calibration: Any
    folder: Path
    rest: np.ndarray | None = None  # the rows that tell, where others chose


# --- what QTinker ships ------------------------------------------------------------------------------------------


def plain_logits(work: Work) -> Answer:
    """The float model's."""
    from qtinker.predict import Predictor
    from qtinker.runtime import weights_bytes

    return Predictor(work.source, threads=1).logits(work.rows), weights_bytes(work.source)


def shipped(
    scheme: str, engine: str, *, calibrated: bool = False, random_words: bool = False
) -> Callable[[Work], Answer]:
    """A scheme of QTinker's, without (or with) examples."""

    def run(work: Work) -> Answer:
        from qtinker.quantize.rows import rows_to_check
        from qtinker.runtime.pytorch import TorchRuntime

        rows = work.rows.select(range(min(16, len(work.rows))))  # all are compared afterwards
        calibration = work.calibration if calibrated else None
        if random_words:
            calibration = rows_to_check(None, TorchRuntime(work.source))
        return kept(work, scheme, engine, check_rows=rows, calibration=calibration)

    return run


def kept(work: Work, scheme: str, engine: str = "auto", source: Path | None = None, **settings: Any) -> Answer:
    """Quantize by QTinker, answer all rows, and let the registry forget it."""
    import shutil

    from qtinker.predict import Predictor
    from qtinker.quantize import quantize
    from qtinker.runtime import weights_bytes

    path = quantize(source or work.source, scheme, engine=engine, force=True, fresh=False, **settings)
    try:
        return Predictor(path, threads=1).logits(work.rows), weights_bytes(path)
    finally:
        shutil.rmtree(path)


def narrow_groups(work: Work) -> Answer:
    """INT4 in groups of 32 rather than 64: a third of a bit more a weight."""
    from dataclasses import replace

    from qtinker.quantize import SCHEMES

    known = SCHEMES["int4-weight-only"]
    SCHEMES[known.name] = replace(known, group=32)
    try:
        return shipped(known.name, "compressed-tensors")(work)
    finally:
        SCHEMES[known.name] = known


def mixed(most: float) -> Callable[[Work], Answer]:
    """Mixed precision that may lose so many points on every second row; told on the others."""

    def run(work: Work) -> Answer:
        work.rest = np.arange(1, len(work.rows), 2)
        chosen = work.rows.select(np.arange(0, len(work.rows), 2))
        return kept(work, "mixed", check_rows=chosen, max_loss=most)

    return run


def trimmed(*then: str, covered: bool = False) -> Callable[[Work], Answer]:
    """The vocabulary that the calibration file's texts need (`covered`: and the evaluation's), and perhaps a scheme and
    engine."""

    def run(work: Work) -> Answer:
        import shutil

        from qtinker.predict import Predictor
        from qtinker.runtime import weights_bytes
        from qtinker.vocabulary import trim

        path = trim(work.source, data=DATA["calibration"], keep=list(work.rows.texts) if covered else (), fresh=False)
        try:
            if then:
                few = work.rows.select(range(min(16, len(work.rows))))
                return kept(work, *then, source=path, check_rows=few)
            return Predictor(path, threads=1).logits(work.rows), weights_bytes(path)
        finally:
            shutil.rmtree(path)

    return run


# --- other libraries' ways ---------------------------------------------------------------------------------------


def in_openvino(change: Callable[[Any, Any, Any, Any], Any]) -> Callable[[Work], Answer]:
    """`change(nncf, model, ignored, dataset)` on the converted model, run by OpenVINO."""

    def run(work: Work) -> Answer:
        from qtinker import model_folder
        from qtinker.export import openvino_format
        from qtinker.export.companions import write_companions
        from qtinker.export.graph import quiet
        from qtinker.predict import Predictor
        from qtinker.quantize.openvino_engine import _HEAD, calibration_batches
        from qtinker.runtime import extras, weights_bytes
        from qtinker.runtime.pytorch import TorchRuntime

        extras.load("openvino", "openvino")
        nncf = extras.load("nncf", "openvino")
        runtime = TorchRuntime(work.source, threads=1)
        batches = calibration_batches(runtime, work.calibration)
        model = openvino_format.convert(runtime.model, runtime.tokenizer)
        with quiet():
            model = change(nncf, model, nncf.IgnoredScope(patterns=_HEAD, validate=False), nncf.Dataset(batches))
        openvino_format.save(model, work.folder)
        write_companions(runtime, work.folder, example=openvino_format.EXAMPLE)
        model_folder.write_meta(work.folder, {"name": "tried", "task": runtime.task, "max_length": runtime.max_length})
        return Predictor(work.folder, threads=1).logits(work.rows), weights_bytes(work.folder)

    return run


def four_bits(mode: str = "INT4_ASYM", **settings: Any) -> Callable[[Work], Answer]:
    """NNCF's 4-bit weights in groups of 64, embeddings included; `settings` choose the algorithm."""

    def change(nncf: Any, model: Any, ignored: Any, dataset: Any) -> Any:
        data = {"dataset": dataset, **settings} if settings else {}
        return nncf.compress_weights(
            model, mode=nncf.CompressWeightsMode[mode], group_size=64, ratio=1.0, all_layers=True,
            ignored_scope=ignored, **data,
        )  # fmt: skip

    return in_openvino(change)


def static(alpha: float) -> Callable[[Work], Answer]:
    """NNCF's calibrated INT8 with SmoothQuant of that strength; below 0: without."""

    def change(nncf: Any, model: Any, ignored: Any, dataset: Any) -> Any:
        from nncf.quantization.advanced_parameters import AdvancedQuantizationParameters, AdvancedSmoothQuantParameters

        smooth = AdvancedQuantizationParameters(smooth_quant_alphas=AdvancedSmoothQuantParameters(matmul=alpha))
        return nncf.quantize(
            model, dataset, model_type=nncf.ModelType.TRANSFORMER, subset_size=300, ignored_scope=ignored,
            advanced_parameters=smooth,
        )  # fmt: skip

    return in_openvino(change)


def in_torch(change: Callable[[Any, Any, Any], None]) -> Callable[[Work], Answer]:
    """`change(model, layers, feed)` in place; `feed()` passes the calibration rows through it."""

    def run(work: Work) -> Answer:
        from qtinker.predict import logits_of
        from qtinker.quantize.layers import select_layers
        from qtinker.runtime.pytorch import TorchRuntime

        runtime = TorchRuntime(work.source, threads=1)

        def feed() -> None:  # torchao's observers want batches of one shape
            import torch

            for at in range(0, 300, 30):
                texts = list(work.calibration.texts[at : at + 30])
                batch = runtime.tokenizer(
                    texts, padding="max_length", truncation=True, max_length=64, return_tensors="pt"
                )
                with torch.no_grad():
                    runtime.model(**{name: batch[name] for name in runtime.input_names})

        change(runtime.model, select_layers(runtime.model), feed)
        return logits_of(runtime, work.rows), tensor_bytes(runtime.model)

    return run


def smooth_quant(model: Any, layers: Any, feed: Callable[[], None]) -> None:
    """torchao's prototype around INT8 with dynamic activations, strength 0.5; embeddings as QTinker has them."""
    from torchao.prototype.smoothquant import SmoothQuantConfig
    from torchao.quantization import Int8DynamicActivationInt8WeightConfig, quantize_

    _embeddings_int8(model, layers)
    wanted = set(layers.linears)
    base = Int8DynamicActivationInt8WeightConfig()
    quantize_(model, SmoothQuantConfig(base, step="prepare", alpha=0.5), lambda _, name: name in wanted)
    feed()
    quantize_(model, SmoothQuantConfig(base, step="convert", alpha=0.5), lambda _, name: name in wanted)


def asymmetric(model: Any, layers: Any, feed: Callable[[], None]) -> None:
    """torchao's INT8 with zero points for activations."""
    from torchao.quantization import Int8DynamicActivationInt8WeightConfig, quantize_
    from torchao.quantization.quant_primitives import MappingType

    _embeddings_int8(model, layers)
    wanted = set(layers.linears)
    config = Int8DynamicActivationInt8WeightConfig(act_mapping_type=MappingType.ASYMMETRIC)
    quantize_(model, config, lambda _, name: name in wanted)


def awq(model: Any, layers: Any, feed: Callable[[], None]) -> None:
    """torchao's prototype of AWQ around INT8 weights, the only base that it takes on a CPU."""
    from torchao.prototype.awq import AWQConfig
    from torchao.quantization import Int8WeightOnlyConfig, quantize_

    _embeddings_int8(model, layers)
    wanted = set(layers.linears)
    quantize_(model, AWQConfig(Int8WeightOnlyConfig(), step="prepare"), lambda _, name: name in wanted)
    feed()
    quantize_(model, AWQConfig(Int8WeightOnlyConfig(), step="convert"), lambda _, name: name in wanted)


def gptq(model: Any, layers: Any, feed: Callable[[], None]) -> None:
    """torchao's prototype of GPTQ around its 4-bit weights."""
    from torchao.prototype.gptq import GPTQConfig
    from torchao.quantization import Int4WeightOnlyConfig, quantize_

    wanted = set(layers.linears)
    base = Int4WeightOnlyConfig(group_size=32)
    quantize_(model, GPTQConfig(step="observe", base_config=base), lambda _, name: name in wanted)
    feed()
    quantize_(model, GPTQConfig(step="convert", base_config=base), lambda _, name: name in wanted)


def _embeddings_int8(model: Any, layers: Any) -> None:
    from torchao.quantization import Int8WeightOnlyConfig, quantize_

    wanted = set(layers.embeddings)
    quantize_(model, Int8WeightOnlyConfig(), lambda _, name: name in wanted)


def bitsandbytes(**settings: Any) -> Callable[[Work], Answer]:
    """transformers' loading by bitsandbytes; embeddings and head stay float there."""

    def run(work: Work) -> Answer:
        import bitsandbytes as _  # noqa: F401
        import torch
        from qtinker.predict import logits_of
        from qtinker.runtime.pytorch import TorchRuntime
        from transformers import AutoModelForSequenceClassification, BitsAndBytesConfig

        config = BitsAndBytesConfig(
            llm_int8_skip_modules=["classifier", "pooler"], bnb_4bit_compute_dtype=torch.float32, **settings
        )
        runtime = TorchRuntime(work.source, threads=1)
        runtime.model = AutoModelForSequenceClassification.from_pretrained(
            work.source, quantization_config=config, dtype=torch.float32, device_map="cpu"
        ).eval()
        return logits_of(runtime, work.rows), tensor_bytes(runtime.model)

    return run


def tensor_bytes(model: Any) -> int:
    """Bytes of all tensors of a model, those inside tensor subclasses as they are held."""
    total = 0
    for tensor in model.state_dict().values():
        if hasattr(tensor, "__tensor_flatten__"):
            names, _ = tensor.__tensor_flatten__()
            total += sum(getattr(tensor, name).nbytes for name in names)
        elif hasattr(tensor, "nbytes"):
            total += tensor.nbytes
    return total


ROWS: dict[str, Callable[[Work], Answer]] = {
    "fp32": plain_logits,
    "int8-weight-only, compressed-tensors": shipped("int8-weight-only", "compressed-tensors"),
    "int8-weight-only, openvino": shipped("int8-weight-only", "openvino"),
    "int8-dynamic, torchao": shipped("int8-dynamic", "torchao"),
    "int8-dynamic, openvino": shipped("int8-dynamic", "openvino"),
    "int8-dynamic, onnxruntime": shipped("int8-dynamic", "onnxruntime"),
    "int8-static, calibrated on its own data": shipped("int8-static", "openvino", calibrated=True),
    "int8-static, calibrated on random words": shipped("int8-static", "openvino", random_words=True),
    "INT8 static, NNCF, without SmoothQuant": static(-1.0),
    "INT8 static, NNCF, SmoothQuant 0.5": static(0.5),
    "INT8 dynamic, torchao, SmoothQuant 0.5 (prototype)": in_torch(smooth_quant),
    "INT8 dynamic, torchao, zero points for activations": in_torch(asymmetric),
    "INT8 weights, torchao, AWQ (prototype)": in_torch(awq),
    "INT8, bitsandbytes": bitsandbytes(load_in_8bit=True),
    "int4-weight-only, compressed-tensors": shipped("int4-weight-only", "compressed-tensors"),
    "INT4 in groups of 32, compressed-tensors": narrow_groups,
    "int4-weight-only, openvino": shipped("int4-weight-only", "openvino"),
    "nf4, openvino": shipped("nf4", "openvino"),
    "INT4, NNCF, AWQ": four_bits(awq=True),
    "INT4, NNCF, scale estimation": four_bits(scale_estimation=True),
    "INT4, NNCF, GPTQ": four_bits(gptq=True),
    "INT4, NNCF, GPTQ and scale estimation": four_bits(gptq=True, scale_estimation=True),
    "INT4, torchao, GPTQ (prototype)": in_torch(gptq),
    "NF4, bitsandbytes": bitsandbytes(load_in_4bit=True, bnb_4bit_quant_type="nf4"),
    "mixed, at most 0.5 points": mixed(0.5),
    "trimmed to all texts": trimmed(covered=True),
    "trimmed to all texts, int8-dynamic by openvino": trimmed("int8-dynamic", "openvino", covered=True),
    "trimmed": trimmed(),
    "trimmed, int8-dynamic by openvino": trimmed("int8-dynamic", "openvino"),
    "trimmed, int4-weight-only": trimmed("int4-weight-only", "compressed-tensors"),
}
DATA: dict[str, str] = {}
"""Names of files as they were given, for rows that read them whole."""
