"""Teacher outputs computed once for each distinct example and kept in memory-mapped files.

One folder for each teacher, tokenization and arithmetic, under `cache/teacher/`; one array for each kind of output:
`logits` (C numbers an example, in the teacher's own order of labels) or `token-logits` (C numbers a token), `cls-L`,
the [CLS] state of layer L, and, where the user gives room for them, `hidden-L` and `q-L`, `k-L`, `v-L`, states and
projections of every token. A second run, another method or another student finds them there. The folder may be
deleted at any time.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import shutil
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock, Timeout

from .. import checkpoint, model_folder
from ..data import Encoded
from ..errors import RunStopped
from ..home import cache_dir
from . import troubles
from .device import memory_kept
from .layers import Needs, attention_width

if TYPE_CHECKING:
    from .teacher import Teacher

_FORMAT = 1
BATCH = 256
"""Texts asked at once, at most."""
TOKENS = {"cpu": 2048, "cuda": 65_536}
"""Positions asked at once, padding included, at most: more of short texts, fewer of long ones."""
PARTS = "qkv"
LOGITS = {False: "logits", True: "token-logits"}
"""The array of answers: one an example, or (True) one a token."""
SAVE_SECONDS = 20.0


@dataclass
class TeacherCache:
    """Arrays of teacher outputs over the training examples, mapped into memory."""

    rows: np.ndarray
    """int64 [N]: where each example's outputs are; examples of the same tokens share a place."""
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    offsets: np.ndarray | None = None
    """int64 [G + 1]: where the tokens of each place begin, in arrays of every token."""

    def take_tokens(self, name: str, indices: np.ndarray) -> np.ndarray:
        """Outputs of every token of the examples `indices`: (B, L, D), padded with zeros, answers as a model's are."""
        assert self.offsets is not None
        places = self.rows[indices]
        lengths = self.offsets[places + 1] - self.offsets[places]
        array = self.arrays[name]
        padding = checkpoint.PADDED if name in LOGITS.values() else 0
        out = np.full((len(indices), int(lengths.max(initial=0)), array.shape[1]), padding, array.dtype)
        for number, (place, length) in enumerate(zip(places, lengths, strict=True)):
            start = int(self.offsets[place])
            out[number, :length] = array[start : start + length]
        return out

    def take(self, name: str, indices: np.ndarray) -> np.ndarray:
        """Outputs of the examples `indices`, a copy in memory."""
        return np.ascontiguousarray(self.arrays[name][self.rows[indices]])


def names_for(needs: Needs, *, per_token: bool = False, states: bool = False) -> tuple[str, ...] | None:
    """The arrays that hold what `needs` asks for; None where it asks for more than is kept.

    Args:
        per_token: the task's answers are one a token.
        states: keep states and projections of every token, too.
    """
    every_token = needs.hidden_states or needs.attention_layers
    if every_token and (not states or (needs.hidden_states and not needs.hidden_layers)):
        return None
    return (
        LOGITS[per_token],
        *(f"cls-{layer}" for layer in needs.cls_layers),
        *(f"hidden-{layer}" for layer in needs.hidden_layers if needs.hidden_states),
        *(f"{part}-{layer}" for layer in needs.attention_layers for part in needs.attention_parts),
    )


def needs_of(names: Sequence[str]) -> Needs:
    """What a teacher must be asked to fill these arrays."""

    def layers_of(kind: str) -> tuple[int, ...]:
        return tuple(sorted(int(name.partition("-")[2]) for name in names if name.partition("-")[0] == kind))

    parts = "".join(part for part in PARTS if layers_of(part))
    attention = tuple(sorted({layer for part in parts for layer in layers_of(part)}))
    hidden = layers_of("hidden")
    return Needs(
        hidden_states=bool(hidden), hidden_layers=hidden, cls_layers=layers_of("cls"), attention_layers=attention,
        attention_parts=parts or "qk",
    )  # fmt: skip


def of_tokens(name: str) -> bool:
    """Whether an array has a row for every token."""
    return name.partition("-")[0] in ("token", "hidden", *PARTS)


def size(teacher: Teacher, encoded: Encoded, names: Sequence[str]) -> int:
    """Bytes that the arrays take on disk, duplicates among the examples not yet counted out."""
    counts = {False: len(encoded), True: int(encoded.offsets[-1])}
    return sum(_dtype(teacher, name).itemsize * counts[of_tokens(name)] * _width(teacher, name) for name in names)


def lacking(teacher: Teacher, encoded: Encoded, names: Sequence[str], *, weights: Sequence[str]) -> int:
    """Bytes of the arrays that are not on the disk yet; what a stopped attempt reserved is there."""
    folder = _folder(teacher, encoded, weights)
    missing = [name for name in names if not (folder / f"{name}.npy").is_file()]
    part = _part(folder, missing)
    return size(teacher, encoded, [name for name in missing if not (part / f"{name}.npy").is_file()])


def fill(
    teacher: Teacher,
    encoded: Encoded,
    names: Sequence[str],
    *,
    weights: Sequence[str],
    should_stop: Callable[[], bool] = lambda: False,
    phase: str = "teacher-outputs",
) -> Generator[dict[str, Any], None, TeacherCache | None]:
    """Find the arrays in the cache, or ask the teacher; yields events and returns what is kept.

    What was asked before a stop or a kill is not asked again. Where the cache can't be written (a full disk), says so
    and returns None: the training then asks the teacher as it goes.

    Args:
        teacher: prepared (`Teacher.prepare`) for the device and arithmetic.
        encoded: the training examples in the teacher's tokens.
        names: such as `names_for` gives.
        weights: hashes of the teacher's weight files, which name its part of the cache.

    Raises:
        RunStopped: `should_stop` said so.
    """
    folder = _folder(teacher, encoded, weights)
    rows, first = distinct(encoded)
    starts = np.concatenate([[0], np.cumsum(encoded.lengths[first])]).astype(np.int64)

    def shape(name: str) -> tuple[int, int]:
        return int(starts[-1]) if of_tokens(name) else len(first), _width(teacher, name)

    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock")
        while True:
            try:
                lock.acquire(timeout=1)
                break
            except Timeout:  # another run asks the same teacher the same
                if should_stop():
                    raise RunStopped("Stopped while another run was asking the teacher.") from None
        try:
            missing = [name for name in names if _open(folder, name, shape(name)) is None]
            if missing:
                room = sum(_dtype(teacher, name).itemsize * math.prod(shape(name)) for name in missing)
                text = f"Asking the teacher about {len(first):,} different examples; its answers take {in_words(room)}."
                yield _message(phase, "info", text)
                shapes = {name: shape(name) for name in missing}
                with memory_kept():
                    yield from _ask(
                        teacher, encoded, shapes, first, starts, folder, should_stop=should_stop, phase=phase
                    )
            else:
                yield _message(phase, "info", "The teacher's answers are in the cache.")
            arrays = {name: _open(folder, name, shape(name)) for name in names}
        finally:
            lock.release()
    except OSError as error:
        yield _message(
            phase, "warning", f"The teacher's answers can't be kept in {folder} ({error.strerror or error}): it is "
            "asked anew in each epoch.",
        )  # fmt: skip
        return None
    return TeacherCache(rows, {name: array for name, array in arrays.items() if array is not None}, starts)


def _folder(teacher: Teacher, encoded: Encoded, weights: Sequence[str]) -> Path:
    content = [_FORMAT, list(weights), encoded.key, teacher.precision, teacher.device.type]
    return cache_dir() / "teacher" / hashlib.sha256(json.dumps(content).encode()).hexdigest()[:32]


def _part(folder: Path, names: Sequence[str]) -> Path:
    """Where arrays are until they are whole."""
    return folder / f"part-{hashlib.sha256('/'.join(names).encode()).hexdigest()[:12]}"


def distinct(encoded: Encoded) -> tuple[np.ndarray, np.ndarray]:
    """Which examples have the same tokens: for each its group's number [N], and each group's first example [G]."""
    digests = np.zeros(len(encoded), "V16")  # in one array: objects would cost ten times as much
    for number in range(len(encoded)):
        cut = slice(int(encoded.offsets[number]), int(encoded.offsets[number + 1]))
        digest = hashlib.blake2b(encoded.input_ids[cut].tobytes(), digest_size=16)
        if encoded.token_type_ids is not None:
            digest.update(encoded.token_type_ids[cut].tobytes())
        digests[number] = np.void(digest.digest())
    halves = digests.view("<u8").reshape(-1, 2)
    order = np.lexsort((halves[:, 1], halves[:, 0]))  # stable: of equal ones the first example stays first
    new = np.ones(len(order), bool)
    new[1:] = (halves[order[1:]] != halves[order[:-1]]).any(axis=1)
    firsts = order[new]
    place = np.empty(len(firsts), np.int64)
    place[np.argsort(firsts, kind="stable")] = np.arange(len(firsts))  # numbered by their first examples
    rows = np.empty(len(order), np.int64)
    rows[order] = place[np.cumsum(new) - 1]
    return rows, np.sort(firsts)


def _ask(
    teacher: Teacher, encoded: Encoded, shapes: dict[str, tuple[int, int]], first: np.ndarray, starts: np.ndarray,
    folder: Path, *, should_stop: Callable[[], bool], phase: str,
) -> Generator[dict[str, Any], None, None]:  # fmt: skip
    """Compute arrays batch by batch, longest texts first; what a killed attempt finished is taken over."""
    lengths, names = encoded.lengths[first], list(shapes)
    order = np.argsort(-lengths, kind="stable")
    part = _part(folder, names)
    part.mkdir(exist_ok=True)
    files = {name: part / f"{name}.npy" for name in names}
    done = _progress(part, files, shapes)
    mode: Any = "r+" if done else "w+"
    arrays = {
        name: np.lib.format.open_memmap(file, mode=mode, dtype=_dtype(teacher, name), shape=shapes[name])
        for name, file in files.items()
    }
    try:
        for file in files.values():
            _reserve(file)
    except OSError:
        shutil.rmtree(part, ignore_errors=True)
        raise
    needs, room = needs_of(names), TOKENS.get(teacher.device.type, TOKENS["cpu"])
    batch_size, said, saved, start, begun = BATCH, 0.0, time.monotonic(), time.monotonic(), done
    while done < len(first):
        places = order[done : done + min(batch_size, max(1, room // int(lengths[order[done]])))]
        try:
            answers = teacher.ask(encoded, first[places], needs)
        except (RuntimeError, MemoryError) as error:
            if not troubles.is_out_of_memory(error) or len(places) == 1:
                raise
            batch_size = -(-len(places) // 2)
            yield _message(phase, "warning", f"Out of memory: asking the teacher {batch_size} examples at a time.")
            continue
        for name, array in arrays.items():
            if of_tokens(name):
                array[ranges(starts, places)] = answers[name]
            else:
                array[places] = answers[name]
        done += len(places)
        if done == len(first) or time.monotonic() - said >= 0.5:
            said = time.monotonic()
            speed = (done - begun) / max(said - start, 1e-9)
            yield {
                "time": time.time(), "kind": "step", "phase": phase, "step": done, "total_steps": len(first),
                "epoch": None, "loss": None, "parts": {}, "learning_rate": None, "examples_per_second": speed,
                "eta_s": (len(first) - done) / max(speed, 1e-9),
            }  # fmt: skip
        stopping = should_stop()
        if stopping or time.monotonic() - saved >= SAVE_SECONDS:
            for array in arrays.values():
                array.flush()
            model_folder.write_text(part / "done.json", json.dumps({"done": done}))
            saved = time.monotonic()
        if stopping and done < len(first):
            raise RunStopped(f"Stopped after asking the teacher {done} of {len(first)} examples.")
    for array in arrays.values():
        array.flush()
    del array
    arrays.clear()  # Windows renames no file that is mapped
    for name, file in files.items():
        meta = {"format": _FORMAT, "sha256": model_folder.sha256(file)}
        file.replace(folder / f"{name}.npy")
        model_folder.write_text(folder / f"{name}.json", json.dumps(meta))
    (part / "done.json").unlink(missing_ok=True)
    part.rmdir()


def _reserve(file: Path) -> None:
    """Take an array's bytes from the disk at once: a mapped file whose disk is found full later kills the process.

    Raises:
        OSError: there is no room.
    """
    if os.name != "posix":  # Windows has taken them already
        return
    with file.open("rb+", buffering=0) as opened:
        if hasattr(os, "posix_fallocate"):
            try:
                os.posix_fallocate(opened.fileno(), 0, file.stat().st_size)
                return
            except OSError as error:
                if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):  # file systems that can't
                    raise
        at = 0  # macOS has no such call: what is written has its place
        while block := os.pread(opened.fileno(), 1 << 20, at):
            at += os.pwrite(opened.fileno(), block, at)


def ranges(starts: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The rows of every token of these places, in their order."""
    return np.concatenate([np.arange(starts[place], starts[place + 1]) for place in places])


def _progress(part: Path, files: dict[str, Path], shapes: dict[str, tuple[int, int]]) -> int:
    """How many examples an earlier attempt finished, where its files are whole."""
    try:
        done = int(json.loads((part / "done.json").read_text(encoding="utf-8"))["done"])
        whole = all(np.load(file, mmap_mode="r").shape == shapes[name] for name, file in files.items())
    except (OSError, ValueError, KeyError, TypeError):
        return 0
    return done if whole else 0


def _open(folder: Path, name: str, shape: tuple[int, int]) -> np.ndarray | None:
    """A kept array, if it is whole: its SHA-256 must be the one written beside it."""
    file = folder / f"{name}.npy"
    try:
        meta = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        if meta["format"] != _FORMAT or meta["sha256"] != model_folder.sha256(file):
            return None
        array = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    os.utime(folder)  # so that who clears the cache sees what is used
    return array if array.shape == shape else None


def _width(teacher: Teacher, name: str) -> int:
    model = teacher.loaded.model
    if name.partition("-")[0] in PARTS:
        return attention_width(model)
    return int(model.config.num_labels if name in LOGITS.values() else model.config.hidden_size)


def _dtype(teacher: Teacher, name: str) -> np.dtype[Any]:
    """States of every token are many: in 16-bit arithmetic they are kept in 16 bits."""
    states = of_tokens(name) and name not in LOGITS.values()
    return np.dtype("<f2" if states and teacher.precision != "fp32" else "<f4")


def in_words(size: int) -> str:
    """Bytes for people."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{max(size, 1e5) / 1e6:.1f} MB"


def _message(phase: str, level: str, text: str) -> dict[str, Any]:
    return {"time": time.time(), "kind": "message", "phase": phase, "level": level, "text": text}
