"""Which encoding a text file is in, found by looking at its bytes."""

from __future__ import annotations

import codecs
import string
from pathlib import Path
from typing import IO

import numpy as np

from ..errors import InputError

_BLOCK = 1 << 20
_SAMPLE = 1 << 16
_LATIN = {
    "utf-8": "UTF-8", "utf-8-sig": "UTF-8 with BOM", "utf-16": "UTF-16", "utf-16-le": "UTF-16 (little-endian, no BOM)",
    "utf-16-be": "UTF-16 (big-endian, no BOM)", "utf-32": "UTF-32", "cp1252": "Windows-1252 (Latin-1)",
    "latin-1": "Latin-1",
}  # fmt: skip
_FOREIGN_SCRIPTS = {
    "gb18030": "GB18030 (Chinese)", "big5": "Big5 (Chinese)", "cp932": "Shift-JIS (Japanese)",
    "euc_jp": "EUC-JP (Japanese)", "cp949": "CP949 (Korean)", "cp1251": "Windows-1251 (Cyrillic)",
    "koi8_r": "KOI8-R (Cyrillic)", "cp1253": "Windows-1253 (Greek)", "cp1255": "Windows-1255 (Hebrew)",
    "cp1256": "Windows-1256 (Arabic)", "cp874": "Windows-874 (Thai)",
}  # fmt: skip
NAMES = _LATIN | _FOREIGN_SCRIPTS
"""What the encodings are called, by the names that Python has for them."""


def find_encoding(path: Path, file: IO[bytes]) -> tuple[str, list[str]]:
    """The encoding of a text file, by BOM or by what decodes, and warnings; it is read once, in blocks.

    Raises:
        InputError: it is a binary file.
    """
    start = file.read(4096)
    for mark, name in (
        (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"), (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):  # fmt: skip
        if start.startswith(mark):
            return name, []
    if len(start) >= 4 and b"\0" in start:
        zeros = start[0::2].count(0), start[1::2].count(0)
        if zeros[1] > len(start) * 0.3 and zeros[0] < len(start) * 0.05:
            return "utf-16-le", []
        if zeros[0] > len(start) * 0.3 and zeros[1] < len(start) * 0.05:
            return "utf-16-be", []
    marked = start.startswith(codecs.BOM_UTF8)
    own = "utf-8-sig" if marked else "utf-8"
    file.seek(0)
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    good = bad = control = size = line = undefined = 0
    odd = b""  # the first block with bytes beyond ASCII
    while block := file.read(_BLOCK):
        if b"\0" in block:
            where = line + block[: block.index(0)].count(b"\n") + 1
            raise InputError(
                f"{path} has a NUL byte in line {where}: it is a binary file, or damaged.",
                "Give CSV, TSV, JSONL, Parquet or plain text; save text as UTF-8.",
            )
        text = decoder.decode(block)
        replaced = text.count("\ufffd")
        bad += replaced
        good += 0 if text.isascii() else sum(letter > "\x7f" for letter in text) - replaced
        control += sum(block.count(bytes([code])) for code in (*range(1, 9), 11, *range(14, 27), *range(28, 32)))
        undefined += sum(block.count(bytes([code])) for code in (0x81, 0x8D, 0x8F, 0x90, 0x9D))
        size, line = size + len(block), line + block.count(b"\n")
        odd = odd or (b"" if block.isascii() else block)
    bad += len(decoder.decode(b"", final=True))
    if control > size * 0.02 or (bad and control > size * 0.005):
        raise InputError(f"{path} is a binary file.", "Give CSV, TSV, JSONL, Parquet or plain text.")
    if not bad:
        return own, []
    if marked or good > 20 * bad:
        return own, [f"{bad} bytes are no valid UTF-8 and were replaced by U+FFFD."]
    if script := _script(odd):
        return script, [
            f"{path.name} is no UTF-8; by its bytes it is read as {NAMES[script]}. Where texts look wrong, save it as "
            "UTF-8."
        ]
    return ("latin-1" if undefined else "cp1252"), []


def _script(block: bytes) -> str | None:
    """The likeliest encoding of a text in another script than the Latin one; None for Western European ones.

    In those letters beyond ASCII stand mostly alone, or two of them (größe), between others; in other scripts hardly
    ever.
    """
    beyond = np.frombuffer(block, np.uint8) >= 0x80
    lengths, between = _stretches(block, beyond)
    if beyond.sum() < 8 or lengths[(lengths == 1) | ((lengths == 2) & between)].sum() > 0.4 * beyond.sum():
        return None
    from charset_normalizer import from_bytes

    start = block.rfind(b"\n", 0, int(beyond.argmax())) + 1  # the line of the first letter beyond ASCII
    sample = block[start : start + _SAMPLE]
    best = from_bytes(sample[: sample.rfind(b"\n") + 1] or sample, cp_isolation=list(_FOREIGN_SCRIPTS)).best()
    return best.encoding if best is not None and best.encoding in _FOREIGN_SCRIPTS else None


def _stretches(block: bytes, beyond: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lengths of the stretches of bytes beyond ASCII, and whether each has an ASCII letter beside it."""
    letter = np.isin(np.frombuffer(block, np.uint8), np.frombuffer(string.ascii_letters.encode(), np.uint8))
    letter = np.concatenate([[False], letter, [False]])
    edges = np.flatnonzero(np.diff(np.concatenate([[False], beyond, [False]]).astype(np.int8)))
    starts, ends = edges[0::2], edges[1::2]
    return ends - starts, letter[starts] | letter[ends + 1]
