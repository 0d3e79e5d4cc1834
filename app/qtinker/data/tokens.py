"""Examples to token batches: tokenized once, kept as flat arrays on disk, batched by length.

Arrays are keyed by content (texts, tokenizer, longest length), so a second run, another student or another method
reads what the first one wrote. Batches come from shuffled pools sorted by length: little padding, and still a
different mixture each epoch, the same on every machine.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from ..home import cache_dir
from ..tokenizer_files import token_rules
from .examples import NO_LABEL, Examples

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

_FORMAT = 1
_CHUNK = 8192
_DTYPES: dict[str, np.dtype[Any]] = {
    "input_ids": np.dtype("<i4"),
    "token_type_ids": np.dtype("u1"),
    "offsets": np.dtype("<i8"),
}


@dataclass(eq=False)
class Encoded:
    """N tokenized examples as flat arrays; example i is `input_ids[offsets[i]:offsets[i + 1]]`.

    Attributes:
        input_ids: int32 [total tokens], special tokens included, no padding; a read-only memory map where cached.
        offsets: int64 [N + 1].
        token_type_ids: uint8 [total tokens], or None where all are 0.
        labels: as in `Examples.labels`; for token tasks int64 [total tokens], aligned with `input_ids`.
        truncated: how many examples were cut to the longest length.
        key: hash of texts, tokenizer and longest length (not of the labels): the name of these inputs.
    """

    input_ids: np.ndarray
    offsets: np.ndarray
    token_type_ids: np.ndarray | None
    labels: np.ndarray
    truncated: int
    key: str

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> np.ndarray:
        """int64 [N]: tokens of each example."""
        return np.diff(self.offsets)


def tokenizer_key(tokenizer: PreTrainedTokenizerBase) -> str:
    """Hash of what makes two tokenizers give the same token ids: vocabulary, normaliser, splitting.

    Equal keys mean that a teacher and a student read the same ids, whatever the families are called.
    """
    content: dict[str, Any] = {"vocab": sorted(tokenizer.get_vocab().items())}
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        content["class"] = type(tokenizer).__name__
        content["lower"] = getattr(tokenizer, "do_lower_case", None)
        return _digest(content)
    # The vocabulary is counted above, with the added tokens.
    return _digest({**content, **token_rules(json.loads(backend.to_str()))})


def encode(examples: Examples, tokenizer: PreTrainedTokenizerBase, max_length: int, *, cache: bool = True) -> Encoded:
    """Tokenize texts (and second texts) with special tokens, cut to `max_length` tokens, unpadded.

    With `cache` the arrays lie under `cache/tokens/<key>/` and are mapped into memory; a damaged folder there is made
    anew. Texts are tokenized in parts, so memory stays bounded.
    """
    key = _encoding_key(examples, tokenizer, max_length)
    if not cache:
        ids, types, lengths, truncated = [], [], [], 0
        for part_ids, part_types, part_lengths, part_truncated in _tokenize(examples, tokenizer, max_length):
            ids.append(part_ids)
            types.append(part_types)
            lengths.append(part_lengths)
            truncated += part_truncated
        offsets = np.concatenate([[0], np.cumsum(_joined(lengths, np.int64))]).astype(np.int64)
        all_types = _joined(types, np.uint8)
        return Encoded(
            _joined(ids, np.int32), offsets, all_types if all_types.any() else None, examples.labels, truncated, key
        )
    folder = cache_dir() / "tokens" / key
    found = _open(folder, key, len(examples))
    if found is None:
        _write(folder, key, examples, tokenizer, max_length)
        found = _open(folder, key, len(examples))
        if found is None:
            raise OSError(f"The token arrays just written to {folder} can't be read back.")
    found.labels = examples.labels
    return found


def epoch_batches(lengths: np.ndarray, batch_size: int, *, seed: int, epoch: int, pool: int = 64) -> list[np.ndarray]:
    """Batches of example numbers for one epoch: every example exactly once, neighbours of like length.

    Examples are shuffled, cut into pools of `pool` batches, sorted by length within each pool and cut into batches,
    whose order is shuffled. Decided by `lengths`, `seed` and `epoch` alone, on every platform.

    Returns:
        int64 arrays of `batch_size` numbers; only one batch may be smaller.
    """
    lengths = np.asarray(lengths)
    random = np.random.Generator(np.random.PCG64([seed, epoch]))
    order = random.permutation(len(lengths)).astype(np.int64)
    batches: list[np.ndarray] = []
    for start in range(0, len(order), batch_size * pool):
        members = order[start : start + batch_size * pool]
        members = members[np.argsort(lengths[members], kind="stable")]
        batches += [members[at : at + batch_size] for at in range(0, len(members), batch_size)]
    return [batches[number] for number in random.permutation(len(batches))]


def padding_waste(lengths: np.ndarray, batches: Sequence[np.ndarray]) -> float:
    """Share of positions that are padding when each batch is padded to its longest example."""
    lengths = np.asarray(lengths)
    positions = sum(int(lengths[batch].max()) * len(batch) for batch in batches)
    real = sum(int(lengths[batch].sum()) for batch in batches)
    return 1 - real / positions if positions else 0.0


def collate(
    encoded: Encoded,
    indices: np.ndarray | Sequence[int],
    *,
    model_inputs: set[str] | None = None,
    pad_token_id: int,
    pad_to_multiple_of: int | None = None,
) -> dict[str, torch.Tensor]:
    """One padded batch as tensors.

    Args:
        model_inputs: names of the inputs that the model takes; None: all. `token_type_ids` come only where taken
            (zeros where the tokenizer gave none).
        pad_to_multiple_of: round the padded length up.

    Returns:
        `input_ids`, `attention_mask` and, where taken, `token_type_ids`, int64 [B, L]; `labels` int64 [B] (float32
        [B] or [B, C] for regression and multi-label, int64 [B, L] padded with -100 for token labels); `example_ids`
        int64 [B].
    """
    import torch

    indices = np.asarray(indices, np.int64)
    starts = encoded.offsets[indices]
    lengths = encoded.offsets[indices + 1] - starts
    longest = int(lengths.max(initial=0))
    if pad_to_multiple_of:
        longest = -(-longest // pad_to_multiple_of) * pad_to_multiple_of
    columns = np.arange(longest)
    mask = columns < lengths[:, None]
    positions = (starts[:, None] + columns)[mask]

    def padded(flat: np.ndarray, fill: int) -> torch.Tensor:
        out = np.full(mask.shape, fill, np.int64)
        out[mask] = flat[positions]
        return torch.from_numpy(out)

    batch = {
        "input_ids": padded(encoded.input_ids, pad_token_id),
        "attention_mask": torch.from_numpy(mask.astype(np.int64)),
    }
    if model_inputs is None or "token_type_ids" in model_inputs:
        batch["token_type_ids"] = (
            padded(encoded.token_type_ids, 0)
            if encoded.token_type_ids is not None
            else torch.zeros(mask.shape, dtype=torch.int64)
        )
    if model_inputs is not None:
        batch = {name: tensor for name, tensor in batch.items() if name in model_inputs}
    labels = encoded.labels
    if labels.ndim == 1 and len(labels) == len(encoded.input_ids) != len(encoded):
        batch["labels"] = padded(labels, NO_LABEL)
    else:
        chosen = labels[indices]
        batch["labels"] = torch.from_numpy(chosen.astype(np.float32 if chosen.dtype.kind == "f" else np.int64))
    batch["example_ids"] = torch.from_numpy(indices)
    return batch


def _tokenize(
    examples: Examples, tokenizer: PreTrainedTokenizerBase, max_length: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, int]]:
    """Part by part: flat ids, flat type ids, lengths, how many were cut."""
    for start in range(0, len(examples), _CHUNK):
        texts = examples.texts[start : start + _CHUNK]
        pairs = None if examples.pairs is None else examples.pairs[start : start + _CHUNK]
        encodings = tokenizer(
            texts, pairs, truncation=True, max_length=max_length, padding=False, return_attention_mask=False,
            return_token_type_ids=True, verbose=False,
        )  # fmt: skip
        ids: list[list[int]] = encodings["input_ids"]
        types = encodings.get("token_type_ids") or [[0] * len(row) for row in ids]
        lengths = np.fromiter(map(len, ids), np.int64, len(ids))
        total = int(lengths.sum())
        yield (
            np.fromiter((token for row in ids for token in row), _DTYPES["input_ids"], total),
            np.fromiter((kind for row in types for kind in row), _DTYPES["token_type_ids"], total),
            lengths,
            _cut(encodings, ids, texts, pairs, tokenizer, max_length),
        )


def _cut(
    encodings: Any,
    ids: list[list[int]],
    texts: Sequence[str],
    pairs: Sequence[str] | None,
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
) -> int:
    """How many examples lost tokens to `max_length`."""
    if encodings.is_fast:
        return sum(bool(one.overflowing) for one in encodings.encodings)
    full = [number for number, row in enumerate(ids) if len(row) >= max_length]
    whole = (tokenizer(texts[i], pairs[i] if pairs else None, verbose=False)["input_ids"] for i in full)
    return sum(len(row) > max_length for row in whole)


def _write(folder: Path, key: str, examples: Examples, tokenizer: PreTrainedTokenizerBase, max_length: int) -> None:
    """Write the arrays beside their place and rename the folder: readers see all of it or nothing."""
    staging = folder.with_name(f".{key}-{uuid.uuid4().hex[:8]}")
    staging.mkdir(parents=True)
    try:
        typed, total, truncated = False, 0, 0
        with ExitStack() as stack:
            files = {name: stack.enter_context(open(staging / f"{name}.npy", "w+b")) for name in _DTYPES}
            for name, file in files.items():
                _header(file, _DTYPES[name], 0)
            files["offsets"].write(np.zeros(1, _DTYPES["offsets"]).tobytes())
            for ids, types, lengths, cut in _tokenize(examples, tokenizer, max_length):
                files["input_ids"].write(ids.tobytes())
                files["token_type_ids"].write(types.tobytes())
                files["offsets"].write((total + np.cumsum(lengths)).astype(_DTYPES["offsets"]).tobytes())
                typed, total, truncated = typed or bool(types.any()), total + len(ids), truncated + cut
            for name, file in files.items():
                _header(file, _DTYPES[name], len(examples) + 1 if name == "offsets" else total)
        if not typed:
            (staging / "token_type_ids.npy").unlink()
        meta = {"format": _FORMAT, "key": key, "examples": len(examples), "tokens": total, "truncated": truncated,
                "token_type_ids": typed}  # fmt: skip
        (staging / "meta.json").write_text(json.dumps(meta), encoding="utf-8")
        if folder.exists() and _open(folder, key, len(examples)) is None:
            shutil.rmtree(folder, ignore_errors=True)
        try:
            staging.replace(folder)
        except OSError:
            if not (folder / "meta.json").is_file():  # else another process was first: the same content
                raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _header(file: IO[bytes], dtype: np.dtype, count: int) -> None:
    """Write an .npy header at the start; numpy leaves room for longer counts, so it may be rewritten in place."""
    file.seek(0)
    np.lib.format.write_array_header_1_0(
        file, {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": (count,)}
    )


def _open(folder: Path, key: str, count: int) -> Encoded | None:
    """The arrays of `folder`, mapped into memory; None where they are absent or damaged."""
    try:
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        if (meta["format"], meta["key"], meta["examples"]) != (_FORMAT, key, count):
            return None
        names = [name for name in _DTYPES if name != "token_type_ids" or meta["token_type_ids"]]
        arrays = {name: _mapped(folder / f"{name}.npy") for name in names}
        offsets, ids, types = np.asarray(arrays["offsets"]), arrays["input_ids"], arrays.get("token_type_ids")
        sizes = {len(ids), int(offsets[-1]), meta["tokens"], len(ids) if types is None else len(types)}
        if len(sizes) != 1 or len(offsets) != count + 1:
            return None
        return Encoded(ids, offsets, types, np.full(count, NO_LABEL, np.int64), meta["truncated"], key)
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return None


def _mapped(path: Path) -> np.ndarray:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError:  # an empty array can't be mapped
        return np.load(path, allow_pickle=False)


def _encoding_key(examples: Examples, tokenizer: PreTrainedTokenizerBase, max_length: int) -> str:
    """Hash of everything that decides the arrays."""
    digest = hashlib.blake2b(digest_size=16)
    backend = getattr(tokenizer, "backend_tokenizer", None)
    rules: dict[str, Any] = {} if backend is None else json.loads(backend.to_str())
    settings = {
        "format": _FORMAT, "max_length": max_length, "examples": len(examples), "tokenizer": tokenizer_key(tokenizer),
        **{key: rules.get(key) for key in ("normalizer", "pre_tokenizer", "post_processor", "added_tokens")},
        "longest_word": rules.get("model", {}).get("max_input_chars_per_word"),
        "truncation_side": tokenizer.truncation_side, "pair": examples.pairs is not None,
    }  # fmt: skip
    digest.update(_digest(settings).encode())
    for column in (examples.texts, examples.pairs):
        for text in column or ():
            raw = text.encode("utf-8", "surrogatepass")
            digest.update(len(raw).to_bytes(8, "little") + raw)
    return digest.hexdigest()


def _joined(parts: list[np.ndarray], dtype: Any) -> np.ndarray:
    return np.concatenate(parts).astype(dtype, copy=False) if parts else np.zeros(0, dtype)


def _digest(content: Any) -> str:
    text = json.dumps(content, sort_keys=True, ensure_ascii=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
