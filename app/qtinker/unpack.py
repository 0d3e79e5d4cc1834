"""Takes a Google checkpoint, or a Hugging Face model, out of its zip without trusting the zip.

Only the files of the model are written, flat, under their own names, into one folder. Refused, each in its own
words: entries that lead out of the folder, links and devices, encryption, bombs, damage, and zips without a checkpoint.
"""

from __future__ import annotations

import re
import shutil
import stat
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from . import foreign
from .errors import CheckpointError, DiskFull
from .tf_table import refuse_lfs_pointer

Progress = Callable[[int, int], None]
_WANTED = re.compile(r"[\w.-]+\.index|[\w.-]+\.data-\d{5}-of-\d{5}|bert_config\.json|vocab\.txt|checkpoint", re.ASCII)
# What a Hugging Face folder is made of; scripts are never among it.
_MODEL_FILE = re.compile(r"[\w.-]+\.(json|safetensors|bin|pt|pth|model|txt|md|onnx|h5|xml)|LICENSE", re.ASCII)
# What sentence-transformers keeps beside the model in folders of their own, each with a config.json.
_MODULE = re.compile(r"\d+_(Pooling|Dense|Dropout|LayerNorm|Normalize|WeightedLayerPooling)")
_CHUNK = 1 << 20
_MOST_ENTRIES = 10_000
# Weights hardly compress. Where no size is known beforehand, this much is let through before the ratio counts.
_HARMLESS, _RATIO = 1 << 30, 100
# The 2018 zips hold a graph (.meta) beside the data; with a known data size, this is what all else may take.
_BESIDE_DATA = 64 << 20


def unpack(
    archive: str | Path, folder: str | Path, *, data_bytes: int | None = None, progress: Progress | None = None,
    hugging_face: bool = False,
) -> Path:  # fmt: skip
    """Write the checkpoint in `archive` into `folder` (made if absent), flat, whether the zip nests a folder or not.

    Args:
        data_bytes: the known size of the checkpoint's data file; a zip with much more is refused before unpacking.
        progress: is told the bytes that are written, and all that there will be.
        hugging_face: take a Hugging Face model too, where the zip holds one and no checkpoint of Google's.

    Returns:
        `folder`, which then holds `*.index`, `*.data-*`, bert_config.json and vocab.txt as far as they are in the zip
        (of a Hugging Face model its config, weights, tokenizer files and card).

    Raises:
        CheckpointError: the zip is unsafe, damaged or holds no checkpoint; nothing of it is left in `folder`.
    """
    archive, folder = Path(archive), Path(folder)
    written: list[Path] = []
    made = not folder.exists()
    try:
        with _open(archive) as zipped:
            chosen = _choose(archive, zipped, data_bytes, hugging_face=hugging_face)
            total = sum(entry.file_size for entry in chosen)
            _check_space(archive, folder, total)
            folder.mkdir(parents=True, exist_ok=True)
            done = 0
            for entry in chosen:
                path = folder / PurePosixPath(entry.filename).name
                if path.exists() or path.is_symlink():
                    raise CheckpointError(f"{path} is there already.", "Unpack into an empty folder.")
                written.append(path)
                done = _extract(archive, zipped, entry, path, done, total, progress)
    except BaseException:
        for path in written:
            path.unlink(missing_ok=True)
        if made and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
        raise
    return folder


def _open(archive: Path) -> zipfile.ZipFile:
    try:
        with archive.open("rb") as file:
            refuse_lfs_pointer(archive, file.read(64))
        return zipfile.ZipFile(archive)
    except FileNotFoundError:
        raise CheckpointError(f"There is no file {archive}.") from None
    except OSError as error:
        raise CheckpointError(f"Can't read {archive}: {error.strerror or error}.") from None
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise CheckpointError(
            f"{archive} is not a zip, or is cut off or damaged ({error}).", "Fetch it again."
        ) from None


def _choose(
    archive: Path, zipped: zipfile.ZipFile, data_bytes: int | None, *, hugging_face: bool
) -> list[zipfile.ZipInfo]:
    """The entries to write, after every entry of the zip was looked at."""
    entries = zipped.infolist()
    if len(entries) > _MOST_ENTRIES:
        raise CheckpointError(f"{archive} has {len(entries)} entries: no checkpoint has so many.")
    for entry in entries:
        _refuse_unsafe(archive, entry)
    _refuse_bomb(archive, entries, data_bytes)
    files = [entry for entry in entries if not entry.is_dir() and not _is_litter(PurePosixPath(entry.filename))]
    folders = {str(PurePosixPath(entry.filename).parent) for entry in files if entry.filename.endswith(".index")}
    names = {PurePosixPath(entry.filename).name for entry in files}
    if not names & {"config.json", "bert_config.json"}:
        foreign.refuse(archive, names)
    wanted = _WANTED
    if not folders and hugging_face:
        configs = [PurePosixPath(entry.filename) for entry in files]
        folders = {str(each.parent) for each in configs
                   if each.name == "config.json" and not is_module(each.parent.name)}  # fmt: skip
        top = min(map(_depth, folders), default=0)
        folders, wanted = {each for each in folders if _depth(each) == top}, _MODEL_FILE
    if not folders:
        raise _no_checkpoint(archive, files)
    if len(folders) > 1:
        raise CheckpointError(
            f"{archive} holds {len(folders)} checkpoints, in {', '.join(sorted(folders)[:5])}.",
            "Unpack it and import the folder of the one that you want.",
        )
    here = folders.pop()
    chosen = [
        entry for entry in files
        if str(PurePosixPath(entry.filename).parent) == here and wanted.fullmatch(PurePosixPath(entry.filename).name)
    ]  # fmt: skip
    taken = [PurePosixPath(entry.filename).name.casefold() for entry in chosen]
    if twice := sorted({name for name in taken if taken.count(name) > 1}):
        raise CheckpointError(f"{archive} holds {twice[0]} more than once.", "Fetch it from where it was published.")
    if wanted is _WANTED and not any(".data-" in name for name in taken):
        raise CheckpointError(f"{archive} holds an index but no data file (*.data-00000-of-00001).", "Fetch it again.")
    return chosen


def is_module(folder: str) -> bool:
    """Whether a folder of that name is a part of a sentence-transformers model which is no model itself."""
    return _MODULE.fullmatch(folder) is not None


def _depth(folder: str) -> int:
    return len(PurePosixPath(folder).parts)


def _refuse_unsafe(archive: Path, entry: zipfile.ZipInfo) -> None:
    raw = entry.orig_filename  # before zipfile cuts at NUL and turns the system's separator
    parts = re.split(r"[/\\]", raw)
    if "\x00" in raw or ".." in parts or raw.startswith(("/", "\\")) or re.match(r"[A-Za-z]:", raw):
        raise CheckpointError(
            f"{archive} is unsafe: its entry {raw!r} leads out of the folder.",
            "Don't use this zip; fetch it elsewhere.",
        )
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind == stat.S_IFLNK:
        raise CheckpointError(f"{archive} is unsafe: its entry {raw!r} is a link.", "Don't use this zip.")
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise CheckpointError(f"{archive} is unsafe: its entry {raw!r} is no ordinary file.", "Don't use this zip.")
    if entry.flag_bits & 0x1:
        raise CheckpointError(f"{archive} is encrypted ({raw!r}).", "Unpack it yourself and import the folder.")


def _refuse_bomb(archive: Path, entries: list[zipfile.ZipInfo], data_bytes: int | None) -> None:
    total = sum(entry.file_size for entry in entries)
    if data_bytes is not None:
        if total > data_bytes + _BESIDE_DATA:
            raise CheckpointError(
                f"{archive} would unpack to {total:,} bytes, but the checkpoint has {data_bytes:,}: it is not what its "
                "name says.",
                "Fetch it from where it was published.",
            )
    elif total > _HARMLESS and total > _RATIO * archive.stat().st_size:
        raise CheckpointError(
            f"{archive} would unpack to {total:,} bytes, {total // archive.stat().st_size} times its size: no "
            "checkpoint compresses so well.",
            "Don't use this zip.",
        )


def _is_litter(name: PurePosixPath) -> bool:
    """What macOS adds to zips."""
    return "__MACOSX" in name.parts or name.name.startswith("._")


def _no_checkpoint(archive: Path, files: list[zipfile.ZipInfo]) -> CheckpointError:
    names = [PurePosixPath(entry.filename).name for entry in files]
    if "config.json" in names:
        return CheckpointError(
            f"{archive} holds a Hugging Face model, not a checkpoint of Google's.", "Unpack it and import the folder."
        )
    if not names:
        return CheckpointError(f"{archive} is empty.")
    shown = ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
    inner = next((name for name in names if name.lower().endswith(".zip")), None)
    return CheckpointError(
        f"{archive} holds no checkpoint (no bert_model.ckpt.index), only {shown}.",
        f"Unpack it and import {inner} in it." if inner else "",
    )


def _check_space(archive: Path, folder: Path, total: int) -> None:
    at = folder
    while not at.exists():
        at = at.parent
    free = shutil.disk_usage(at).free
    if total > free:
        raise DiskFull(f"{archive} needs {total:,} bytes unpacked, but {at} has {free:,} free.", "Free some space.")


def _extract(
    archive: Path, zipped: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path,
    done: int, total: int, progress: Progress | None,
) -> int:  # fmt: skip
    """Write one entry and return the bytes written so far; never more bytes than the zip's directory promised."""
    left = entry.file_size
    try:
        with zipped.open(entry) as packed, path.open("xb") as file:
            while chunk := packed.read(_CHUNK):
                left -= len(chunk)
                if left < 0:
                    raise CheckpointError(f"{archive} is unsafe: {entry.filename!r} is larger than the zip says.")
                file.write(chunk)
                done += len(chunk)
                if progress is not None:
                    progress(done, total)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise CheckpointError(f"{archive} is damaged: {entry.filename!r}: {error}.", "Fetch it again.") from None
    if left:
        raise CheckpointError(f"{archive} is damaged: {entry.filename!r} ends {left:,} bytes early.", "Fetch it again.")
    return done
