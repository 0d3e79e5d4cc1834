"""Saves a training so that it can be resumed exactly, at any moment, whatever kills the process.

A state is a folder written beside the old one; one small file, replaced in one step, says which counts. Tensors are
safetensors, everything else JSON: nothing in it can execute.
"""

from __future__ import annotations

import json
import os
import shutil
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from .. import model_folder
from ..errors import RunFailed
from .troubles import is_out_of_memory

POINTER = "current.json"


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and saved buffers by name, each tensor once (tied weights share one)."""
    parameters = dict(model.named_parameters())
    tied = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    return parameters | {name: tensor for name, tensor in model.state_dict().items() if name not in tied}


def copy_weights(model: nn.Module, weights: dict[str, Tensor]) -> None:
    """Overwrite the model's weights in place, so that an optimizer goes on with the same parameters.

    Raises:
        RunFailed: names or shapes are not the model's.
    """
    own = weights_of(model)
    if {name: tuple(t.shape) for name, t in own.items()} != {name: tuple(t.shape) for name, t in weights.items()}:
        raise RunFailed("The saved state is of another model.", "Start a new run.")
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(weights[name])


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's moments and step counts by parameter number."""
    state = optimizer.state_dict()["state"]
    return {f"{number}.{key}": tensor for number, slots in state.items() for key, tensor in slots.items()}


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Give an optimizer over the same parameters the moments that `optimizer_tensors` took."""
    slots: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        number, key = name.split(".", 1)
        slots.setdefault(int(number), {})[key] = tensor
    optimizer.load_state_dict({"state": slots, "param_groups": optimizer.state_dict()["param_groups"]})


class StateFolder:
    """The saved states and best weights of one training."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="save")
        self._writing: Future[None] | None = None

    def save_aside(self, groups: dict[str, dict[str, Tensor]], counters: dict[str, Any]) -> None:
        """`save` of the tensors as they are now, written by a thread; `wait` says whether that went well.

        Waits for the state before this one. Where the memory has no room for a copy, saves at once.
        """
        self.wait()
        try:
            copies = {
                group: {name: tensor.detach().to("cpu", copy=True) for name, tensor in tensors.items()}
                for group, tensors in groups.items()
            }
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            return self.save(groups, counters)
        self._writing = self._pool.submit(self.save, copies, json.loads(json.dumps(counters)))
        return None

    def wait(self) -> None:
        """Return when what `save_aside` began is on the disk; raises what went wrong with it."""
        if self._writing is not None:
            writing, self._writing = self._writing, None
            writing.result()

    def close(self) -> None:
        """`wait`, and let the thread go."""
        try:
            self.wait()
        finally:
            self._pool.shutdown()

    def save(self, groups: dict[str, dict[str, Tensor]], counters: dict[str, Any]) -> None:
        """Save the state of after a step; the previous one is deleted only when this one is whole and on disk."""
        self.folder.mkdir(parents=True, exist_ok=True)
        previous = self._current()
        slot = "b" if previous and previous["slot"] == "a" else "a"
        place = self.folder / slot
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(exist_ok=True)
        flat = {f"{group}/{name}": t.detach() for group, ts in groups.items() for name, t in ts.items()}
        _write_tensors(place / "state.safetensors", flat)
        model_folder.write_text(place / "state.json", json.dumps(counters))
        _flush(place)
        model_folder.write_text(self.folder / POINTER, json.dumps({"slot": slot, "step": counters.get("step")}))
        _flush(self.folder)
        if previous:
            shutil.rmtree(self.folder / previous["slot"], ignore_errors=True)
        self._forget_best(counters.get("best_file"))

    def load(self) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]] | None:
        """The last whole state: tensors by group, and counters; None where nothing was saved.

        Raises:
            RunFailed: the state is damaged (the disk lost what it had confirmed).
        """
        current = self._current()
        if current is None:
            return None
        place = self.folder / current["slot"]
        try:
            flat = load_file(place / "state.safetensors")
            counters = json.loads((place / "state.json").read_text(encoding="utf-8"))
        except (OSError, ValueError, SafetensorError) as error:
            raise RunFailed(f"The saved state in {place} is damaged: {error}.", "Start a new run.") from None
        groups: dict[str, dict[str, Tensor]] = {}
        for key, tensor in flat.items():
            group, name = key.split("/", 1)
            groups.setdefault(group, {})[name] = tensor.clone()  # Windows deletes no file that is mapped
        return groups, counters

    def save_best(self, model: nn.Module, step: int) -> str:
        """Put the student's weights aside; returns the file's name, which the next state names as the best."""
        self.folder.mkdir(parents=True, exist_ok=True)
        name = f"best-{step}.safetensors"
        _write_tensors(self.folder / name, {key: tensor.detach() for key, tensor in weights_of(model).items()})
        return name

    def load_best(self, model: nn.Module, name: str) -> None:
        """Give the student the best weights back.

        Raises:
            RunFailed: the file is missing or damaged.
        """
        try:
            weights = load_file(self.folder / name)
        except (OSError, SafetensorError) as error:
            raise RunFailed(
                f"The best weights in {self.folder / name} are damaged: {error}.", "Start a new run."
            ) from None
        copy_weights(model, weights)

    def _forget_best(self, kept: str | None) -> None:
        for file in self.folder.glob("best-*.safetensors"):
            if file.name != kept:
                file.unlink(missing_ok=True)

    def _current(self) -> dict[str, Any] | None:
        try:
            current = json.loads((self.folder / POINTER).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise RunFailed(f"{self.folder / POINTER} is damaged: {error}.", "Start a new run.") from None
        return current


def _write_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    """Write beside the place, flush to the disk, rename."""
    temporary = path.with_name(f".{path.name}.part")
    save_file({name: tensor.cpu().contiguous() for name, tensor in tensors.items()}, temporary)
    with temporary.open("rb+") as file:
        os.fsync(file.fileno())
    temporary.replace(path)


def _flush(folder: Path) -> None:
    """Make renames in a folder durable, where the system can."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
