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
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from ..home import cache_dir
from ..tokenizer_files import token_rules
from .cutting import EXTRAS, Cut, cut
from .examples import NO_LABEL, Examples, Ragged
from .windows import window_labels

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

_FORMAT = 2
_CHUNK = 65_536
_DTYPES: dict[str, np.dtype[Any]] = {
    "input_ids": np.dtype("<i4"),
    "token_type_ids": np.dtype("u1"),
    "offsets": np.dtype("<i8"),
    **EXTRAS,
}


@dataclass(eq=False)
class Encoded:
    """N tokenized examples as flat arrays; example i is `input_ids[offsets[i]:offsets[i + 1]]`.

    A long context gives several (windows), and running text is cut into blocks: N then counts those.

    Attributes:
        input_ids: int32 [total tokens], special tokens included, no padding; a read-only memory map where cached.
        offsets: int64 [N + 1].
        token_type_ids: uint8 [total tokens], or None where all are 0.
        labels: as in `Examples.labels`; for words int32 [total tokens], aligned with `input_ids`; for spans int64
            [N, 2], the tokens of the window where the answer begins and ends (see `windows`); for blocks empty.
        truncated: how many examples were cut to the longest length.
        key: hash of texts, tokenizer and longest length (not of the labels): the name of these inputs.
        form: as in `Examples`.
        extras: what the form needs beside; see `cutting.EXTRAS`.
        mask: for blocks: the mask token's number, and how many tokens there are.
    """

    input_ids: np.ndarray
    offsets: np.ndarray
    token_type_ids: np.ndarray | None
    labels: np.ndarray
    truncated: int
    key: str
    form: str = "texts"
    extras: dict[str, np.ndarray] = field(default_factory=dict)
    mask: tuple[int, int] = (0, 0)

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
    """Tokenize examples with special tokens, cut to `max_length` tokens, unpadded, in the way of their form.

    With `cache` the arrays lie under `cache/tokens/<key>/` and are mapped into memory; a damaged folder there is made
    anew. Texts are tokenized in parts, so memory stays bounded.

    Raises:
        InputError: the tokenizer can't do what the form needs.
    """
    key = _encoding_key(examples, tokenizer, max_length)
    found: Encoded | None
    if not cache:
        parts = list(cut(examples, tokenizer, max_length))
        lengths = _joined([part.lengths for part in parts], np.int64)
        types = _joined([part.types for part in parts], np.uint8)
        found = Encoded(
            _joined([part.ids for part in parts], np.int32),
            np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
            types if types.any() else None, np.zeros(0, np.int64), sum(part.truncated for part in parts), key,
            extras={name: _joined([part.extras[name] for part in parts], kind) for name, kind in EXTRAS.items()
                    if all(name in part.extras for part in parts)},
        )  # fmt: skip
    else:
        folder = cache_dir() / "tokens" / key
        found = _open(folder, key)
        if found is None:
            _write(folder, key, cut(examples, tokenizer, max_length))
            found = _open(folder, key)
            if found is None:
                raise OSError(f"The token arrays just written to {folder} can't be read back.")
    found.form = examples.form
    found.labels = _labels(examples, found)
    if examples.form == "blocks":
        found.mask = (int(tokenizer.mask_token_id), len(tokenizer))
    return found


def _labels(examples: Examples, encoded: Encoded) -> np.ndarray:
    """The labels of examples as those of their tokens or windows."""
    if examples.form == "blocks":
        return np.zeros(0, np.int64)
    if examples.form == "words":
        assert isinstance(examples.labels, Ragged)
        labels = np.full(int(encoded.offsets[-1]), NO_LABEL, np.int32)
        for start in range(0, len(encoded), _CHUNK):
            offsets = encoded.offsets[start : start + _CHUNK + 1]
            words = np.asarray(encoded.extras["word_ids"][offsets[0] : offsets[-1]])
            begins = np.repeat(examples.labels.offsets[start : start + len(offsets) - 1], np.diff(offsets))
            first = words >= 0
            labels[offsets[0] : offsets[-1]][first] = examples.labels.values[begins[first] + words[first]]
        return labels
    if examples.form == "spans":
        return window_labels(examples, encoded)
    return examples.labels


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


def budget_batches(lengths: np.ndarray, *, tokens: int, most: int) -> list[np.ndarray]:
    """Batches of example numbers for passes without gradient: longest first, so that the most memory is asked for at
    once, of up to `tokens` positions (padding included) and up to `most` examples; each example exactly once.
    """
    lengths = np.asarray(lengths)
    order = np.argsort(-lengths, kind="stable")
    batches, at = [], 0
    while at < len(order):
        size = min(most, max(1, tokens // max(int(lengths[order[at]]), 1)))
        batches.append(order[at : at + size])
        at += size
    return batches


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
        int64 [B]. Where the head answers token by token, `answer_mask` [B, L] has 1 where its answers count (the first
        tokens of words; the context and [CLS]; for blocks the tokens that may be masked), and for blocks `mask` [2].
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
    if encoded.form == "words":
        batch["labels"] = padded(labels, NO_LABEL)
        batch["answer_mask"] = (padded(encoded.extras["word_ids"], -1) >= 0).long()
    elif encoded.form == "blocks":
        batch["answer_mask"] = padded(encoded.extras["maskable"], 0)
        batch["mask"] = torch.tensor(encoded.mask)
    else:
        if encoded.form == "spans":
            batch["answer_mask"] = (padded(encoded.extras["char_starts"], -1) >= 0).long()
            batch["answer_mask"][:, 0] = 1
        chosen = labels[indices]
        batch["labels"] = torch.from_numpy(chosen.astype(np.float32 if chosen.dtype.kind == "f" else np.int64))
    batch["example_ids"] = torch.from_numpy(indices)
    return batch


def _write(folder: Path, key: str, parts: Iterator[Cut]) -> None:
    """Write the arrays beside their place and rename the folder: readers see all of it or nothing."""
    staging = folder.with_name(f".{key}-{uuid.uuid4().hex[:8]}")
    staging.mkdir(parents=True)
    try:
        typed, total, rows, truncated, counts = False, 0, 0, 0, dict[str, int]()
        with ExitStack() as stack:
            files = {name: stack.enter_context(open(staging / f"{name}.npy", "w+b")) for name in _DTYPES}
            for name, file in files.items():
                _header(file, _DTYPES[name], 0)
            files["offsets"].write(np.zeros(1, _DTYPES["offsets"]).tobytes())
            for part in parts:
                files["input_ids"].write(part.ids.astype(_DTYPES["input_ids"]).tobytes())
                files["token_type_ids"].write(part.types.astype(_DTYPES["token_type_ids"]).tobytes())
                files["offsets"].write((total + np.cumsum(part.lengths)).astype(_DTYPES["offsets"]).tobytes())
                for name, values in part.extras.items():
                    files[name].write(values.astype(_DTYPES[name]).tobytes())
                    counts[name] = counts.get(name, 0) + len(values)
                typed, total = typed or bool(part.types.any()), total + len(part.ids)
                rows, truncated = rows + len(part.lengths), truncated + part.truncated
            counts |= {"input_ids": total, "token_type_ids": total, "offsets": rows + 1}
            for name, file in files.items():
                _header(file, _DTYPES[name], counts.get(name, 0))
        kept = [name for name in _DTYPES if name in counts and (typed or name != "token_type_ids")]
        for name in set(_DTYPES) - set(kept):
            (staging / f"{name}.npy").unlink()
        meta = {"format": _FORMAT, "key": key, "rows": rows, "tokens": total, "truncated": truncated, "arrays": kept}
        (staging / "meta.json").write_text(json.dumps(meta), encoding="utf-8")
        if folder.exists() and _open(folder, key) is None:
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


def _open(folder: Path, key: str) -> Encoded | None:
    """The arrays of `folder`, mapped into memory; None where they are absent or damaged."""
    try:
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        if (meta["format"], meta["key"]) != (_FORMAT, key):
            return None
        arrays = {name: _mapped(folder / f"{name}.npy") for name in meta["arrays"]}
        offsets, ids, types = (
            np.asarray(arrays.pop("offsets")),
            arrays.pop("input_ids"),
            arrays.pop("token_type_ids", None),
        )
        sizes = {len(ids), int(offsets[-1]), meta["tokens"], len(ids) if types is None else len(types)}
        wrong = [name for name, values in arrays.items() if len(values) not in (meta["tokens"], meta["rows"])]
        if len(sizes) != 1 or len(offsets) != meta["rows"] + 1 or wrong:
            return None
        return Encoded(ids, offsets, types, np.zeros(0, np.int64), meta["truncated"], key, extras=arrays)
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
        **({} if examples.form == "texts" else {"form": examples.form, "stride": examples.stride}),
        **({"spaces": "before words"} if examples.form in ("words", "spans") else {}),  # were cut otherwise once
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
