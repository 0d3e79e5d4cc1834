"""Reads TensorFlow's tensor-bundle checkpoints (`*.ckpt.index` + `*.ckpt.data-*`) without TensorFlow.

The index is a sorted string table (see tf_table.py) whose values are small protocol buffers: they say in which data
file, where and with which checksum a variable lies. The data files are mapped into memory, so that reading a
variable copies nothing. Formats: tensorflow/core/util/tensor_bundle, tensorflow/core/lib/io/format.h,
tensorflow/core/protobuf/tensor_bundle.proto, tensorflow/core/lib/strings/ordered_code.h.
"""

from __future__ import annotations

import contextlib
import math
import mmap
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from . import foreign
from .errors import CheckpointError
from .tf_table import (
    TABLE_MAGIC,
    Malformed,
    fields,
    integer,
    masked_crc32c,
    read_table,
    refuse_lfs_pointer,
    signed_int,
    submessage,
)

# tensorflow/core/framework/types.proto; bfloat16 is stored as the upper half of a float32
_DTYPES: dict[int, str] = {
    1: "float32", 2: "float64", 3: "int32", 4: "uint8", 5: "int16", 6: "int8", 9: "int64", 10: "bool",
    14: "bfloat16", 17: "uint16", 19: "float16", 22: "uint32", 23: "uint64",
}  # fmt: skip
_OTHER_DTYPES = {7: "string", 8: "complex64", 18: "complex128", 20: "resource", 21: "variant"}


Slice = tuple[tuple[int, int], ...]  # (start, length) a dimension; length -1 is the whole dimension


@dataclass(frozen=True)
class _Entry:
    """BundleEntryProto."""

    dtype: int = 0
    shape: tuple[int, ...] = ()
    shard: int = 0
    offset: int = 0
    size: int = 0
    crc: int = 0
    slices: tuple[Slice, ...] = ()

    @classmethod
    def parse(cls, data: bytes) -> _Entry:
        values = {"dtype": 0, "shard": 0, "offset": 0, "size": 0, "crc": 0}
        names = {1: "dtype", 3: "shard", 4: "offset", 5: "size", 6: "crc"}
        shape: tuple[int, ...] = ()
        slices: list[Slice] = []
        for number, value in fields(data):
            if number == 2:
                shape = tuple(_dimension(submessage(dim)) for n, dim in fields(submessage(value)) if n == 2)
            elif number == 7:
                slices.append(tuple(_extent(submessage(e)) for n, e in fields(submessage(value)) if n == 1))
            elif number in names:
                values[names[number]] = signed_int(integer(value))
        if min(shape, default=0) < 0 or min(values["shard"], values["offset"], values["size"]) < 0:
            raise Malformed("a negative size")
        return cls(shape=shape, slices=tuple(slices), **values)


def _dimension(data: bytes) -> int:
    return next((signed_int(integer(value)) for number, value in fields(data) if number == 1), 0)


def _extent(data: bytes) -> tuple[int, int]:
    found = {number: signed_int(integer(value)) for number, value in fields(data)}
    return found.get(1, 0), found.get(2, -1)


# --- keys of slices: OrderedCode -----------------------------------------------------------------------------------


def slice_key(name: str, piece: Slice) -> bytes:
    """The key under which TensorFlow files one slice of a partitioned variable (EncodeTensorNameSlice)."""
    escapes = {0x00: b"\x00\xff", 0xFF: b"\xff\x00"}
    escaped = b"".join(escapes.get(byte, bytes([byte])) for byte in name.encode())
    key = _ordered(0) + escaped + b"\x00\x01" + _ordered(len(piece))
    return key + b"".join(_ordered_signed(start) + _ordered_signed(length) for start, length in piece)


def _ordered(value: int) -> bytes:
    """WriteNumIncreasing: a length byte, then the number, big-endian without leading zeros."""
    body = value.to_bytes((value.bit_length() + 7) // 8, "big")
    return bytes([len(body)]) + body


def _ordered_signed(value: int) -> bytes:
    """WriteSignedNumIncreasing: n bytes hold 7n-1 bits and the sign; the n leading bits are flipped."""
    length = (~value if value < 0 else value).bit_length() // 7 + 1
    flipped = (value & ((1 << 8 * length) - 1)) ^ (((1 << length) - 1) << 7 * length)
    return flipped.to_bytes(length, "big")


# --- the checkpoint ------------------------------------------------------------------------------------------------


class Checkpoint:
    """A checkpoint that lies open: its variables are known, their values are mapped when read.

    Use it as a context manager; arrays that `read` returned must be let go before the files can be deleted on Windows.
    """

    def __init__(self, prefix: Path, table: dict[bytes, bytes]) -> None:
        self.prefix = prefix
        self._maps: dict[int, mmap.mmap] = {}
        self.index = prefix.with_name(prefix.name + ".index")
        header = table.pop(b"", None)
        if header is None:
            raise CheckpointError(f"{self.index} is not a TensorFlow checkpoint index: it has no header.")
        try:
            self._shards = self._parse_header(header)
            self._table = table
            self._entries = {
                key.decode(): _Entry.parse(value) for key, value in table.items() if not key.startswith(b"\x00")
            }
        except (Malformed, UnicodeDecodeError) as error:
            raise CheckpointError(f"{self.index} is damaged: {error}.", "Fetch the checkpoint again.") from None

    def _parse_header(self, data: bytes) -> int:
        """Number of data files; refuses big-endian and newer formats."""
        found = dict(fields(data))
        version = {n: integer(v) for n, v in fields(submessage(found.get(3, b""))) if n in (1, 2)}
        if integer(found.get(2, 0)) != 0:
            raise CheckpointError(
                f"{self.index} was written on a big-endian machine, which can't be read here.",
                "Load and save it with TensorFlow on an ordinary machine.",
            )
        if version.get(2, 0) > 1:
            raise CheckpointError(f"{self.index} needs a newer reader: bundle format {version[2]}, known up to 1.")
        shards = integer(found.get(1, 0))
        if shards < 1:
            raise Malformed(f"it names {shards} data files")
        return shards

    @classmethod
    def open(cls, path: str | Path) -> Checkpoint:
        """Open a checkpoint by its prefix (`.../bert_model.ckpt`), one of its files, or a folder that holds one.

        Raises:
            CheckpointError: there is none, there are several, or the index is damaged or foreign.
        """
        prefix = find_prefix(Path(path))
        return cls(prefix, read_table(prefix.with_name(prefix.name + ".index")))

    def __enter__(self) -> Checkpoint:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Unmap the data files; those of which an array is still in use stay until it is gone."""
        while self._maps:
            with contextlib.suppress(BufferError):
                self._maps.popitem()[1].close()

    def release(self) -> None:
        """Let the system take back the memory of what was read so far; arrays stay valid and are read anew if used."""
        if hasattr(mmap, "MADV_DONTNEED"):  # not on Windows, which trims by itself
            for mapped in self._maps.values():
                mapped.madvise(mmap.MADV_DONTNEED)

    def variables(self) -> dict[str, tuple[tuple[int, ...], str]]:
        """Shape and type (`float32`, `bfloat16`, `string`, ...) of each variable, by name."""
        return {name: (entry.shape, _dtype_name(entry.dtype)) for name, entry in self._entries.items()}

    def data_file(self, shard: int) -> Path:
        """The data file of that number, counted from 0."""
        return self.prefix.with_name(f"{self.prefix.name}.data-{shard:05d}-of-{self._shards:05d}")

    def read(self, name: str) -> np.ndarray:
        """One variable's values, checksum verified; bfloat16 is widened to float32.

        What lies in one piece comes as a read-only view of the mapped file; a partitioned variable is put together.

        Raises:
            CheckpointError: no such variable; its data is missing, cut off, damaged, or of a type without numbers.
        """
        entry = self._entries.get(name)
        if entry is None:
            raise CheckpointError(f"{self.prefix} has no variable {name}.")
        if not entry.slices:
            return self._piece(name, entry, entry.shape)
        return self._assemble(name, entry)

    def _assemble(self, name: str, entry: _Entry) -> np.ndarray:
        regions: list[tuple[tuple[slice, ...], _Entry]] = []
        for piece in entry.slices:
            data = self._table.get(slice_key(name, piece))
            bounds = [(0, size) if length < 0 else (start, start + length)
                      for (start, length), size in zip(piece, entry.shape, strict=False)]  # fmt: skip
            inside = all(0 <= start < end <= size for (start, end), size in zip(bounds, entry.shape, strict=False))
            if data is None or not inside or len(piece) != len(entry.shape):
                raise CheckpointError(f"{self.index} is damaged: a part of {name} is missing or out of place.")
            try:
                part = _Entry.parse(data)
            except Malformed as error:
                raise CheckpointError(f"{self.index} is damaged: a part of {name}: {error}.") from None
            regions.append((tuple(slice(*bound) for bound in bounds), part))
        covered = sum(math.prod(axis.stop - axis.start for axis in region) for region, _ in regions)
        disjoint = all(
            any(a.stop <= b.start or b.stop <= a.start for a, b in zip(one, other, strict=True))
            for i, (one, _) in enumerate(regions) for other, _ in regions[:i]
        )  # fmt: skip
        if covered != math.prod(entry.shape) or not disjoint:
            raise CheckpointError(f"{self.index} is damaged: the parts of {name} do not add up to its shape.")
        pieces = [
            (region, self._piece(name, part, tuple(axis.stop - axis.start for axis in region)))
            for region, part in regions
        ]
        whole = np.empty(entry.shape, dtype=pieces[0][1].dtype)
        for region, values in pieces:
            whole[region] = values
        return whole

    def _piece(self, name: str, entry: _Entry, shape: tuple[int, ...]) -> np.ndarray:
        """Values that lie in one run of bytes: checked, then viewed."""
        stored = _dtype_name(entry.dtype)
        if entry.dtype not in _DTYPES:
            raise CheckpointError(f"{name} in {self.index} is of type {stored}, which holds no plain numbers.")
        dtype = np.dtype("uint16" if stored == "bfloat16" else stored).newbyteorder("<")
        count, path = math.prod(shape), self.data_file(entry.shard)
        if count * dtype.itemsize != entry.size or entry.shape != shape:
            raise CheckpointError(
                f"{self.index} is damaged: {name} should take {count * dtype.itemsize} bytes for its shape "
                f"{list(shape)}, but has {entry.size}."
            )
        data = self._data(entry.shard, name)
        if entry.offset + entry.size > len(data):
            raise CheckpointError(
                f"{path} is cut off: it has {len(data)} bytes, and {name} ends at byte {entry.offset + entry.size}.",
                "Fetch the checkpoint again.",
            )
        if masked_crc32c(memoryview(data)[entry.offset : entry.offset + entry.size]) != entry.crc:
            raise CheckpointError(
                f"{path} is damaged: {name} does not match its checksum.", "Fetch the checkpoint again."
            )
        values = np.frombuffer(data, dtype=dtype, count=count, offset=entry.offset).reshape(shape)
        if stored == "bfloat16":
            return (values.astype(np.uint32) << 16).view(np.float32)
        return values

    def _data(self, shard: int, name: str) -> mmap.mmap | bytes:
        """The mapped data file (an empty one can't be mapped and comes as bytes)."""
        path = self.data_file(shard)
        if shard not in self._maps:
            try:
                with path.open("rb") as file:
                    refuse_lfs_pointer(path, file.read(64))
                    if path.stat().st_size == 0:
                        return b""
                    self._maps[shard] = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            except FileNotFoundError:
                raise CheckpointError(
                    f"{path} is missing; {name} lies in it.",
                    f"Put all {self._shards} data files beside {self.index.name}.",
                ) from None
            except OSError as error:
                raise CheckpointError(f"Can't read {path}: {error.strerror or error}.") from None
        return self._maps[shard]


def _dtype_name(number: int) -> str:
    return _DTYPES.get(number) or _OTHER_DTYPES.get(number) or f"number {number}"


def find_prefix(path: Path) -> Path:
    """The checkpoint's prefix for a prefix, one of its files, or a folder with one checkpoint.

    Raises:
        CheckpointError: nothing there, several checkpoints there, or one of TensorFlow's formats before bundles.
    """
    if path.is_dir():
        found = sorted(path.glob("*.index"))
        if len(found) == 1:
            return found[0].with_suffix("")
        state = path / "checkpoint"
        latest = _latest(state) if found and state.is_file() else None
        if latest is not None:
            return latest
        if found:
            raise CheckpointError(
                f"{path} holds {len(found)} checkpoints: {', '.join(f.name for f in found[:5])}.",
                "Give the one to read, without its ending, for example bert_model.ckpt.",
            )
        data = next(iter(sorted(path.glob("*.data-?????-of-?????"))), None)
        if data is not None:
            raise CheckpointError(
                f"{data} has no index file beside it.", "Put the .index file of the checkpoint there."
            )
        old = next((file for file in sorted(path.glob("*.ckpt*")) if file.is_file()), None)
        if old is not None:
            return find_prefix(old)
        raise CheckpointError(f"{path} holds no TensorFlow checkpoint (no .index file).")
    prefix = path.with_name(re.sub(r"\.(index|meta|data-\d{5}-of-\d{5})$", "", path.name))
    if prefix.with_name(prefix.name + ".index").exists():
        return prefix
    if prefix != path and path.exists():
        raise CheckpointError(f"{path} has no index file beside it.", f"Put {prefix.name}.index there.")
    if path.is_file():
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 8))
            if int.from_bytes(file.read(8), "little") == TABLE_MAGIC:
                raise CheckpointError(
                    f"{path} is a checkpoint in TensorFlow's old V1 format, which is not read here.",
                    "Load and save it with tf.compat.v1.train.Saver(write_version=2).",
                )
        raise CheckpointError(
            f"{path} is neither a model's folder nor a TensorFlow checkpoint.",
            foreign.LIGHTNING if path.suffix == ".ckpt" else "",
        )
    raise CheckpointError(f"There is no checkpoint at {path}.")


def _latest(state: Path) -> Path | None:
    """The checkpoint that TensorFlow's `checkpoint` file names as the last one, if it is there."""
    found = re.search(r'^model_checkpoint_path: "([^"]+)"', state.read_text("utf-8", errors="replace"), re.MULTILINE)
    prefix = state.with_name(Path(found.group(1)).name) if found else None
    return prefix if prefix is not None and prefix.with_name(prefix.name + ".index").is_file() else None
