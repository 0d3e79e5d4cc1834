"""Reads PyTorch's pickled weights (.bin, .pt) as plain tensors, executes nothing, and rewrites them as safetensors."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import CheckpointError
from .tf_table import refuse_lfs_pointer

if TYPE_CHECKING:
    import torch

# Under these names training scripts keep the model's weights beside optimizer, epoch and the like.
_NESTS = ("state_dict", "model_state_dict", "model", "module")


def to_safetensors(pickles: Sequence[Path], out: Path) -> None:
    """Write the tensors of the files together into one safetensors file.

    Tensors that share memory (tied weights), which the format refuses, are written once for each name; the config ties
    them again on loading. LayerNorm's `gamma` and `beta`, which the first conversions kept, become weight and bias.

    Raises:
        CheckpointError: a file is damaged, needs code to be executed, or holds something else than tensors; `out` is
            then not there.
    """
    from safetensors.torch import save_file

    tensors: dict[str, torch.Tensor] = {}
    for path in pickles:
        for name, tensor in _state(path).items():
            name = re.sub(r"LayerNorm\.gamma$", "LayerNorm.weight", name.removeprefix("module."))
            tensors[re.sub(r"LayerNorm\.beta$", "LayerNorm.bias", name)] = tensor
    seen: set[tuple[int, tuple[int, ...]]] = set()
    for name, tensor in tensors.items():
        storage = (tensor.untyped_storage().data_ptr(), ())
        tensors[name] = tensor.clone().contiguous() if storage in seen else tensor.contiguous()
        seen.add(storage)
    try:
        save_file(tensors, out, metadata={"format": "pt"})
    except BaseException:
        out.unlink(missing_ok=True)
        raise


def _state(path: Path) -> dict[str, torch.Tensor]:
    import torch

    try:
        with path.open("rb") as file:
            start = file.read(64)
    except OSError as error:
        raise CheckpointError(f"Can't read {path}: {error.strerror or error}.") from None
    refuse_lfs_pointer(path, start)
    try:
        # Given explicitly, so that no environment variable can turn it off. Zip-format files are mapped, not read.
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=start.startswith(b"PK") or None)
    except Exception as error:
        raise _refusal(path, error) from None
    return _tensors(path, content)


def _refusal(path: Path, error: Exception) -> CheckpointError:
    """What torch said, in a sentence: code in the pickle, or damage."""
    text = str(error)
    if named := re.search(r"GLOBAL ([\w.]+)", text):
        return CheckpointError(
            f"{path} needs code to be executed ({named.group(1)}), which QTinker never does.",
            "Ask its author for safetensors, or save the bare weights (state_dict) from the program that made it.",
        )
    if "Weights only load failed" in text and "Unsupported operand" in text:
        return CheckpointError(
            f"{path} is a pickle with more than plain weights, which QTinker never executes.",
            "Ask its author for safetensors.",
        )
    reason = " ".join(text.split())[:160] or type(error).__name__
    return CheckpointError(f"{path} is damaged or no PyTorch file: {reason}", "Fetch it again.")


def _tensors(path: Path, content: Any) -> dict[str, torch.Tensor]:
    import torch

    if isinstance(content, dict):
        for nest in _NESTS:
            if isinstance(content.get(nest), dict):
                content = content[nest]
                break
        if content and all(isinstance(k, str) and isinstance(v, torch.Tensor) for k, v in content.items()):
            return content
    kind = "an empty table" if isinstance(content, dict) and not content else f"a {type(content).__name__}"
    raise CheckpointError(
        f"{path} holds {kind} where a table of named tensors is expected.", "Save the model's state_dict."
    )
