"""Reads the sorted string table (LevelDB's format) and the protocol buffers of a TensorFlow checkpoint's index.

A table is a run of blocks of prefix-compressed keys, each block plain or snappy-compressed and followed by a masked
CRC-32C; a footer says where the block of blocks lies. Formats: tensorflow/core/lib/io/format.h and the wire format of
protocol buffers.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import cramjam
import google_crc32c

from .errors import CheckpointError

TABLE_MAGIC = 0xDB4775248B80FB57
_FOOTER, _BLOCK_TRAILER = 48, 5
_LFS = b"version https://git-lfs.github.com/"
_CRC_CHUNK = 1 << 20
_LARGEST_BLOCK = 1 << 28  # TensorFlow writes 4 KiB blocks; what claims to be far larger is damage


class Malformed(ValueError):
    """Bytes that are no valid varint, message or key; the caller knows the file and says so."""


# --- protocol buffers, the part of the wire format that the bundle uses -------------------------------------------


def varint(data: bytes | memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            break
    raise Malformed("a number runs past its end")


def fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """(field number, value) of each field; nested messages and strings come as bytes."""
    at = 0
    while at < len(data):
        tag, at = varint(data, at)
        wire, length = tag & 7, 0
        if wire == 0:
            value, at = varint(data, at)
            yield tag >> 3, value
            continue
        if wire == 2:
            length, at = varint(data, at)
        elif wire in (1, 5):
            length = 8 if wire == 1 else 4
        else:
            raise Malformed(f"wire type {wire}")
        chunk = data[at : at + length]
        if len(chunk) != length:
            raise Malformed("a field runs past its end")
        at += length
        yield tag >> 3, chunk if wire == 2 else int.from_bytes(chunk, "little")


def signed_int(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


def integer(value: int | bytes) -> int:
    if isinstance(value, bytes):
        raise Malformed("bytes where a number belongs")
    return value


def submessage(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise Malformed("a number where a message belongs")
    return value


# --- the table of the index ----------------------------------------------------------------------------------------


def masked_crc32c(data: bytes | memoryview) -> int:
    """LevelDB's masked CRC-32C: rotated and shifted, so that a checksum of checksums stays a good one."""
    crc = 0
    for start in range(0, len(data), _CRC_CHUNK):
        crc = google_crc32c.extend(crc, bytes(data[start : start + _CRC_CHUNK]))
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def read_table(path: Path) -> dict[bytes, bytes]:
    """All keys and values of an index file, each block's checksum verified."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"Can't read {path}: {error.strerror or error}.") from None
    refuse_lfs_pointer(path, data[:64])
    if len(data) < _FOOTER:
        raise CheckpointError(
            f"{path} is not a TensorFlow checkpoint index: it has {len(data)} bytes, fewer than its footer.",
            "The file is empty or cut off; fetch it again.",
        )
    if int.from_bytes(data[-8:], "little") != TABLE_MAGIC:
        raise CheckpointError(
            f"{path} is not a TensorFlow checkpoint index, or its end is missing (no closing mark).",
            "Fetch the file again, or give the folder that holds bert_model.ckpt.index.",
        )
    try:
        at = len(data) - _FOOTER
        for _ in range(2):  # the metaindex' handle comes first and points to nothing of use
            _, at = varint(data, at)
        offset, at = varint(data, at)
        size, at = varint(data, at)
        table: dict[bytes, bytes] = {}
        for _, handle in _entries(_block(data, offset, size)):
            start, used = varint(handle, 0)
            length, _ = varint(handle, used)
            table.update(_entries(_block(data, start, length)))
        return table
    except (Malformed, struct.error, IndexError) as error:
        raise CheckpointError(f"{path} is damaged: {error}.", "Fetch the checkpoint again.") from None


def _block(data: bytes, offset: int, size: int) -> bytes:
    """The content of one block: checksum verified, decompressed."""
    end = offset + size
    if end + _BLOCK_TRAILER > len(data):
        raise Malformed(f"the block at byte {offset} runs past the file's end")
    kind, crc = data[end], int.from_bytes(data[end + 1 : end + _BLOCK_TRAILER], "little")
    if masked_crc32c(data[offset : end + 1]) != crc:
        raise Malformed(f"the block at byte {offset} does not match its checksum")
    if kind == 0:
        return data[offset:end]
    if kind != 1:
        raise Malformed(f"the block at byte {offset} is compressed in an unknown way ({kind})")
    if varint(data, offset)[0] > _LARGEST_BLOCK:
        raise Malformed(f"the block at byte {offset} claims an absurd size")
    try:
        return bytes(cramjam.snappy.decompress_raw(data[offset:end]))
    except cramjam.DecompressionError as error:
        raise Malformed(f"the block at byte {offset} can't be decompressed ({error})") from None


def _entries(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a block; each key repeats the first bytes of the one before."""
    if len(block) < 4:
        raise Malformed("a block is too short")
    end = len(block) - 4 * (int.from_bytes(block[-4:], "little") + 1)  # restart points, and their count
    if end < 0:
        raise Malformed("a block has more restart points than bytes")
    at, key = 0, b""
    while at < end:
        shared, at = varint(block, at)
        fresh, at = varint(block, at)
        length, at = varint(block, at)
        if shared > len(key) or at + fresh + length > end:
            raise Malformed("a key or value runs past its block")
        key = key[:shared] + block[at : at + fresh]
        at += fresh
        yield key, block[at : at + length]
        at += length


def refuse_lfs_pointer(path: Path, start: bytes) -> None:
    """Raise CheckpointError if a file that begins with `start` is a Git LFS pointer instead of what it stands for."""
    if start.startswith(_LFS):
        raise CheckpointError(
            f"{path} is a Git LFS pointer ({path.stat().st_size} bytes of text), not the file itself.",
            "Run `git lfs pull` in the repository it came from, or download the file from its page.",
        )
