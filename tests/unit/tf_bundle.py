"""Writes tensor bundles for tests that need checkpoints TensorFlow did not write for us: other shapes, other names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from qtinker.tf_table import masked_crc32c

_NUMBERS = {"float32": 1, "int32": 3, "int64": 9, "float16": 19, "bfloat16": 14}


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes([*found, value])


def _field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, bytes):
        return _varint(number << 3 | 2) + _varint(len(value)) + value
    return _varint(number << 3) + _varint(value) if value else b""


def write_bundle(prefix: Path, variables: dict[str, np.ndarray]) -> None:
    """One data file and a plain index with one block, at `prefix`; values may be made on the fly (any Mapping)."""
    entries = [(b"", _field(1, 1) + _field(3, _field(1, 1)))]
    offset = 0
    with prefix.with_name(prefix.name + ".data-00000-of-00001").open("wb") as file:
        for name in sorted(variables):
            values = np.ascontiguousarray(variables[name])
            data = values.data.cast("B") if values.size else b""
            file.write(data)
            shape = b"".join(_field(2, _field(1, size) or b"\x08\x00") for size in variables[name].shape)
            entry = _field(1, _NUMBERS[values.dtype.name]) + _field(2, shape) + _field(4, offset)
            entry += _field(5, len(data)) + _varint(6 << 3 | 5) + masked_crc32c(data).to_bytes(4, "little")
            entries.append((name.encode(), entry))
            offset += len(data)
    out = bytearray()

    def add(block: list[tuple[bytes, bytes]]) -> bytes:
        content = b"".join(_varint(0) + _varint(len(k)) + _varint(len(v)) + k + v for k, v in block)
        content += bytes(4) + (1).to_bytes(4, "little") + b"\x00"
        handle = _varint(len(out)) + _varint(len(content) - 1)
        out.extend(content + masked_crc32c(content).to_bytes(4, "little"))
        return handle

    handle = add(entries)
    footer = add([]) + add([(entries[-1][0] + b"\xff", handle)])
    index = bytes(out) + footer.ljust(40, b"\0") + 0xDB4775248B80FB57.to_bytes(8, "little")
    prefix.with_name(prefix.name + ".index").write_bytes(index)
