"""unpack: Google's zips in both layouts, and every zip that must be refused without a byte written outside."""

from __future__ import annotations

import shutil
import stat
import struct
import zipfile
from pathlib import Path

import pytest
from qtinker.errors import CheckpointError
from qtinker.unpack import unpack

FIXTURES = Path(__file__).parents[1] / "fixtures" / "tf"
NAMES = ["bert_config.json", "bert_model.ckpt.data-00000-of-00001", "bert_model.ckpt.index", "vocab.txt"]


def pack(path: Path, *, inside: str = "", extra: dict[str, bytes] | None = None, leave_out: str = "nothing") -> Path:
    """Google's fixture as a zip, below the folder `inside` of the zip."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as zipped:
        if inside:
            zipped.mkdir(inside.rstrip("/"))
        for name in NAMES:
            if leave_out not in name:
                zipped.write(FIXTURES / "pretraining" / name, inside + name)
        for name, content in (extra or {}).items():
            zipped.writestr(name, content)
    return path


def refusal(archive: Path, folder: Path, **options) -> str:
    """The message; and nothing may be there that was not there before."""
    before = sorted(folder.parent.rglob("*"))
    with pytest.raises(CheckpointError) as caught:
        unpack(archive, folder, **options)
    assert sorted(folder.parent.rglob("*")) == before
    return caught.value.message


@pytest.mark.parametrize("inside", ["", "uncased_L-2_H-16_A-2/", "a/b/"])
def test_flat_and_nested_zips_give_the_same_files(tmp_path, inside):
    archive = pack(tmp_path / "m.zip", inside=inside, extra={inside + "bert_model.ckpt.meta": b"graph"})
    told: list[tuple[int, int]] = []
    folder = unpack(archive, tmp_path / "out", progress=lambda done, total: told.append((done, total)))
    assert sorted(path.name for path in folder.iterdir()) == NAMES
    for name in NAMES:
        assert (folder / name).read_bytes() == (FIXTURES / "pretraining" / name).read_bytes()
    assert told[-1][0] == told[-1][1] == sum((folder / name).stat().st_size for name in NAMES)


def test_what_macos_adds_is_ignored(tmp_path):
    archive = pack(
        tmp_path / "m.zip", inside="x/", extra={"__MACOSX/x/._bert_model.ckpt.index": b"1", "x/._vocab.txt": b"1"}
    )
    assert sorted(path.name for path in unpack(archive, tmp_path / "out").iterdir()) == NAMES


@pytest.mark.parametrize(
    "name", ["../evil", "a/../../evil", "/evil", "C:/evil", "..\\evil", "\\evil", "C:evil", "x/..", "bert\x00.index"]
)
def test_entries_that_leave_the_folder(tmp_path, name):
    archive, raw = tmp_path / "m.zip", name.encode()
    # zipfile cleans names when writing: put the raw one in place, same length, in both directories of the zip
    pack(archive, extra={"p" * len(raw): b"1"})
    data = archive.read_bytes()
    assert data.count(b"p" * len(raw)) == 2
    archive.write_bytes(data.replace(b"p" * len(raw), raw))
    (tmp_path / "in").mkdir()
    message = refusal(archive, tmp_path / "in" / "out")
    assert "leads out of the folder" in message and repr(name) in message
    assert not list(tmp_path.rglob("evil*"))


@pytest.mark.parametrize(
    ("mode", "message"),
    [(stat.S_IFLNK, "is a link"), (stat.S_IFCHR, "is no ordinary file"), (stat.S_IFIFO, "is no ordinary")],
)
def test_links_and_devices(tmp_path, mode, message):
    archive = pack(tmp_path / "m.zip", leave_out="vocab")
    with zipfile.ZipFile(archive, "a") as zipped:
        entry = zipfile.ZipInfo("vocab.txt")
        entry.external_attr = (mode | 0o777) << 16
        zipped.writestr(entry, "/etc/passwd")
    assert message in (found := refusal(archive, tmp_path / "out")) and "'vocab.txt'" in found


def test_more_than_the_expected_size(tmp_path):
    size = (FIXTURES / "pretraining" / NAMES[1]).stat().st_size
    archive = pack(tmp_path / "m.zip")
    shutil.rmtree(unpack(archive, tmp_path / "out", data_bytes=size))
    pack(archive, extra={"padding": bytes(65 << 20)})
    assert f"but the checkpoint has {size:,}" in refusal(archive, tmp_path / "out", data_bytes=size)


def test_a_bomb_without_known_size(tmp_path):
    """Sizes as the zip's directory states them; nothing of it is unpacked to find out."""
    archive = pack(tmp_path / "m.zip", extra={"bomb": b"x"})
    set_size(archive, b"bomb", 1 << 31)
    assert "would unpack to 2,1" in (message := refusal(archive, tmp_path / "out")) and "times its size" in message


def set_size(archive: Path, name: bytes, size: int) -> None:
    """Change the unpacked size of an entry in the zip's directory."""
    data = bytearray(archive.read_bytes())
    at = data.rindex(name) - 46
    assert data[at : at + 4] == b"PK\x01\x02"
    struct.pack_into("<I", data, at + 24, size)
    archive.write_bytes(data)


def test_an_entry_larger_than_the_zip_says(tmp_path):
    archive = pack(tmp_path / "m.zip")
    set_size(archive, b"vocab.txt", 10)
    message = refusal(archive, tmp_path / "out")
    assert "'vocab.txt'" in message and ("larger than the zip says" in message or "is damaged" in message)


def test_an_entry_smaller_than_the_zip_says(tmp_path):
    archive = pack(tmp_path / "m.zip")
    set_size(archive, b"vocab.txt", 1000)
    assert "'vocab.txt'" in (message := refusal(archive, tmp_path / "out")) and "damaged" in message


def test_damaged_content(tmp_path):
    archive = pack(tmp_path / "m.zip")
    data = bytearray(archive.read_bytes())
    data[2000] ^= 0xFF
    archive.write_bytes(data)
    assert "is damaged" in refusal(archive, tmp_path / "out")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a zip, or is cut off"),
        (b"<html>404</html>", "is not a zip, or is cut off"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "is a Git LFS pointer"),
    ],
)
def test_files_that_are_no_zip(tmp_path, content, message):
    (tmp_path / "m.zip").write_bytes(content)
    assert message in refusal(tmp_path / "m.zip", tmp_path / "out")


def test_a_zip_that_was_cut_off(tmp_path):
    archive = pack(tmp_path / "m.zip")
    archive.write_bytes(archive.read_bytes()[:-3000])
    assert "is not a zip, or is cut off" in refusal(archive, tmp_path / "out")
    assert "There is no file" in refusal(tmp_path / "none.zip", tmp_path / "out")


def test_encrypted_zips(tmp_path):
    archive = pack(tmp_path / "m.zip")
    data = bytearray(archive.read_bytes())
    at = data.rindex(b"vocab.txt") - 46
    data[at + 8] |= 1
    archive.write_bytes(data)
    assert "is encrypted ('vocab.txt')" in refusal(archive, tmp_path / "out")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_zips_without_a_checkpoint(tmp_path):
    def message(names: list[str]) -> str:
        with zipfile.ZipFile(tmp_path / "m.zip", "w") as zipped:
            for name in names:
                zipped.writestr(name, "x")
        return refusal(tmp_path / "m.zip", tmp_path / "out")

    assert "is empty" in message([])
    assert "holds no checkpoint (no bert_model.ckpt.index), only cat.jpg, dog.jpg." in message(["cat.jpg", "x/dog.jpg"])
    assert "holds a Hugging Face model" in message(["config.json", "model.safetensors"])
    assert "holds 2 checkpoints, in a, b." in message(["a/m.index", "b/m.index"])
    assert "an index but no data file" in message(["a/m.index"])
    assert "holds bert_config.json more than once" in message(
        ["m.index", "m.data-00000-of-00001", "bert_config.json", "bert_config.json"]
    )


def test_a_full_folder_is_left_as_it_is(tmp_path):
    archive = pack(tmp_path / "m.zip")
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "vocab.txt").write_text("mine", encoding="utf-8")
    assert "vocab.txt is there already" in refusal(archive, folder)
    assert (folder / "vocab.txt").read_text(encoding="utf-8") == "mine"
