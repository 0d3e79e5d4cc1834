"""Runs any model folder, whatever made it: one class an engine, chosen by what lies in the folder.

The rest of QTinker (predict, evaluate, verification) sees a `Runtime`: token ids in, logits out as float32 numpy.
"""

from __future__ import annotations

from pathlib import Path

from ..errors import CheckpointError
from ..model_folder import weight_files, weights_bytes
from .base import Runtime

__all__ = ["Runtime", "engine_of", "open_runtime", "weight_files", "weights_bytes"]

_ENGINES = {
    "model.onnx": "onnxruntime", "model.pt2": "torch.export", "model.pte": "executorch", "model.gguf": "llama.cpp"
}  # fmt: skip


def engine_of(folder: Path) -> str:
    """Which engine runs the folder: torch, onnxruntime, openvino, torch.export, executorch or llama.cpp.

    Raises:
        CheckpointError: the folder holds no weights of a form that QTinker runs.
    """
    if (folder / "model.safetensors").is_file() or any(folder.glob("*.safetensors")):
        return "torch"
    if (folder / "openvino_model.xml").is_file():
        return "openvino"
    for file, engine in _ENGINES.items():
        if (folder / file).is_file():
            return engine
    raise CheckpointError(
        f"{folder.name} holds no weights that QTinker can run.",
        f"It runs model.safetensors, openvino_model.xml, {', '.join(_ENGINES)}; bring other forms in with: "
        "python3 app import",
    )


def open_runtime(folder: str | Path, *, device: str = "cpu", threads: int | None = None) -> Runtime:
    """Open a model folder for inference with the engine it was made for.

    Args:
        device: auto, cpu, cuda, cuda:1 or mps; engines other than PyTorch run on the CPU.
        threads: processor threads; None leaves the engine's own choice.

    Raises:
        CheckpointError: the folder is damaged, foreign or has no trained head.
        MissingExtra: the engine is not installed.
    """
    folder = Path(folder)
    engine = engine_of(folder)
    if engine == "openvino":
        from .openvino import OpenVinoRuntime

        return OpenVinoRuntime(folder, threads=threads)
    if engine == "onnxruntime":
        from .onnx import OnnxRuntime

        return OnnxRuntime(folder, threads=threads)
    if engine == "torch.export":
        from .exported import ExportedRuntime

        return ExportedRuntime(folder, threads=threads)
    if engine == "executorch":
        from .executorch import ExecutorchRuntime

        return ExecutorchRuntime(folder, threads=threads)
    if engine == "llama.cpp":
        from .gguf import LlamaRuntime

        return LlamaRuntime(folder, threads=threads)
    from .pytorch import TorchRuntime

    return TorchRuntime(folder, device=device, threads=threads)
