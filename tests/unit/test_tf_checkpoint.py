"""tf_checkpoint against files that TensorFlow wrote, bit for bit, and against every kind of damage."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import cramjam
import numpy as np
import pytest
from qtinker.errors import CheckpointError
from qtinker.tf_checkpoint import Checkpoint, slice_key
from qtinker.tf_table import masked_crc32c, read_table

FIXTURES = Path(__file__).parents[1] / "fixtures" / "tf"


@pytest.fixture
def kinds(tmp_path) -> Path:
    """A copy of the fixture with every type, slices and three data files, to be damaged."""
    return Path(shutil.copytree(FIXTURES / "kinds", tmp_path / "kinds"))


def same(ours: np.ndarray, theirs: np.ndarray) -> bool:
    return ours.shape == theirs.shape and ours.dtype == theirs.dtype and ours.tobytes() == theirs.tobytes()


def refusal(action) -> CheckpointError:
    with pytest.raises(CheckpointError) as caught:
        action()
    return caught.value


def test_every_type_shape_and_slice_is_what_tensorflow_reads():
    expected = np.load(FIXTURES / "kinds.npz")
    names = [str(name) for name in expected["__names__"]]
    with Checkpoint.open(FIXTURES / "kinds") as checkpoint:
        assert sorted(checkpoint.variables()) == sorted([*names, "text"])
        for number, name in enumerate(names):
            assert same(checkpoint.read(name), expected[f"v{number}"]), name
    assert len(names) == 219 and {"bfloat16", "rows", "grid", "odd/é\x01ÿ", "empty", "scalar"} < set(names)


@pytest.mark.parametrize("name", ["partitioned", "pretraining", "classifier"])
def test_training_codes_checkpoints_are_what_tensorflow_reads(name):
    expected = np.load(FIXTURES / f"{name}.npz")
    keys = [key for key in expected if name == "partitioned" or key.startswith("var/")]
    with Checkpoint.open(FIXTURES / name) as checkpoint:
        for key in keys:
            assert same(checkpoint.read(key.removeprefix("var/")), expected[key]), key
    assert len(keys) == {"partitioned": 2, "pretraining": 46, "classifier": 41}[name]


def test_variables_tell_shape_and_type():
    with Checkpoint.open(FIXTURES / "kinds") as checkpoint:
        found = checkpoint.variables()
    assert found["rows"] == ((9000, 1), "float32") and found["bfloat16"] == ((5, 3), "bfloat16")
    assert found["scalar"] == ((), "float32") and found["text"] == ((2,), "string")


def test_a_variable_in_one_piece_is_a_view_of_the_file():
    with Checkpoint.open(FIXTURES / "pretraining") as checkpoint:
        values = checkpoint.read("bert/embeddings/word_embeddings")
        assert not values.flags.owndata and not values.flags.writeable
        checkpoint.release()
        assert same(values, np.load(FIXTURES / "pretraining.npz")["var/bert/embeddings/word_embeddings"])
        del values


@pytest.mark.parametrize("end", ["", ".index", ".data-00000-of-00001"], ids=["prefix", "index file", "data file"])
def test_a_checkpoint_is_found_by_prefix_or_any_of_its_files(end):
    with Checkpoint.open(FIXTURES / "pretraining" / f"bert_model.ckpt{end}") as checkpoint:
        assert len(checkpoint.variables()) == 46


def test_of_several_checkpoints_the_state_file_names_the_last(tmp_path):
    folder = Path(shutil.copytree(FIXTURES / "partitioned", tmp_path / "several"))
    for file in list(folder.glob("model.ckpt-7.*")):
        shutil.copy(file, folder / file.name.replace("ckpt-7", "ckpt-3"))
    with Checkpoint.open(folder) as checkpoint:
        assert checkpoint.prefix.name == "model.ckpt-7"
    (folder / "checkpoint").unlink()
    assert "holds 2 checkpoints: model.ckpt-3.index, model.ckpt-7.index" in str(
        refusal(lambda: Checkpoint.open(folder))
    )


@pytest.mark.parametrize(
    ("piece", "tail"),
    [
        (((0, 3), (0, -1)), "0102 80 83 80 7f"),
        (((63, 64), (0, -1)), "0102 bf c040 80 7f"),
        (((8191, 8192), (0, -1)), "0102 dfff e02000 80 7f"),
    ],
)
def test_keys_of_slices_are_ordered_code(piece, tail):
    """By the rules of ordered_code.h, worked out by hand: one byte up to 63, two to 8191, three from there."""
    assert slice_key("v", piece) == bytes.fromhex("00 76 0001" + tail)


def test_names_with_escaped_bytes_in_slice_keys():
    assert slice_key("a\x00b", ((0, 1),)) == bytes.fromhex("00 61 00ff 62 0001 0101 80 81")


def test_the_masked_checksum_is_leveldbs():
    """crc32c("123456789") is 0xe3069283; masked it is rotated right by 15 and 0xa282ead8 is added."""
    crc = 0xE3069283
    assert masked_crc32c(b"123456789") == ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


# --- snappy --------------------------------------------------------------------------------------------------------


def with_snappy(source: Path, target: Path) -> None:
    """Write the table anew with all its blocks snappy-compressed, as TensorFlow 1 did."""
    blocks, out, index = [], bytearray(), []
    table = sorted(read_table(source).items())
    for start in range(0, len(table), 50):
        blocks.append(table[start : start + 50])

    def varint(value: int) -> bytes:
        found = bytearray()
        while value > 127:
            found.append(value & 127 | 128)
            value >>= 7
        return bytes([*found, value])

    def add(entries) -> bytes:
        content, before = bytearray(), b""
        for key, value in entries:
            shared = 0
            while shared < min(len(key), len(before)) and key[shared] == before[shared]:
                shared += 1
            content += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
            before = key
        content += bytes(4) + (1).to_bytes(4, "little")
        packed = bytes(cramjam.snappy.compress_raw(bytes(content))) + b"\x01"
        handle = varint(len(out)) + varint(len(packed) - 1)
        out.extend(packed + masked_crc32c(packed).to_bytes(4, "little"))
        return handle

    for block in blocks:
        index.append((block[-1][0], add(block)))
    footer = add([]) + add(index)
    target.write_bytes(bytes(out) + footer.ljust(40, b"\0") + 0xDB4775248B80FB57.to_bytes(8, "little"))


def test_snappy_blocks_are_read(kinds):
    before = read_table(kinds / "model.ckpt.index")
    with_snappy(FIXTURES / "kinds" / "model.ckpt.index", kinds / "model.ckpt.index")
    assert (kinds / "model.ckpt.index").stat().st_size < (FIXTURES / "kinds" / "model.ckpt.index").stat().st_size
    assert read_table(kinds / "model.ckpt.index") == before


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "count", "hidden"),
    [
        ("google-chinese_L-12_H-768_A-12", 206, 768),  # snappy-compressed
        ("llSiddharthll-Bert-lfs", 142, 512),
        ("Johnny-News_Text_class", 202, 768),
        ("lxy417-huawei", 604, 768),  # with Adam's slots: 3 times 201 weights, and global_step
    ],
)
def test_real_index_files(real_data, name, count, hidden):
    with Checkpoint.open(real_data / "tf-index" / name) as checkpoint:
        found = checkpoint.variables()
    assert len(found) == count and found["bert/embeddings/LayerNorm/beta"] == ((hidden,), "float32")
    assert found.get("output_weights", ((8, 768), ""))[0] == (8, 768)


@pytest.mark.real_data
def test_a_git_lfs_pointer_is_named_as_such(real_data):
    with Checkpoint.open(real_data / "tf-index" / "llSiddharthll-Bert-lfs") as checkpoint:
        error = refusal(lambda: checkpoint.read("bert/pooler/dense/bias"))
    assert (
        "data-00000-of-00001 is a Git LFS pointer (134 bytes of text)" in error.message and "git lfs pull" in error.fix
    )


# --- damage --------------------------------------------------------------------------------------------------------


def test_a_missing_data_file_is_named_with_the_variable(kinds):
    (kinds / "model.ckpt.data-00002-of-00003").unlink()
    with Checkpoint.open(kinds) as checkpoint:
        checkpoint.read("float32")
        error = refusal(lambda: checkpoint.read("grid"))
    assert "model.ckpt.data-00002-of-00003 is missing; grid lies in it." in error.message
    assert "all 3 data files" in error.fix


def test_a_cut_data_file_is_named_with_the_variable(kinds):
    path = kinds / "model.ckpt.data-00000-of-00003"
    path.write_bytes(path.read_bytes()[:100])
    with Checkpoint.open(kinds) as checkpoint:
        error = refusal(lambda: checkpoint.read("uint8"))
    assert "data-00000-of-00003 is cut off: it has 100 bytes, and uint8 ends at byte" in error.message


def test_an_empty_data_file_is_cut_off_too(kinds):
    (kinds / "model.ckpt.data-00000-of-00003").write_bytes(b"")
    with Checkpoint.open(kinds) as checkpoint:
        assert "it has 0 bytes" in refusal(lambda: checkpoint.read("float32")).message


def test_one_changed_bit_of_data_is_found(kinds):
    path = kinds / "model.ckpt.data-00001-of-00003"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with Checkpoint.open(kinds) as checkpoint:
        names = [name for name, (_, dtype) in checkpoint.variables().items() if dtype != "string"]
        bad = []
        for name in names:
            try:
                checkpoint.read(name)
            except CheckpointError as error:
                assert f"data-00001-of-00003 is damaged: {name} does not match its checksum" in error.message
                bad.append(name)
    assert bad == ["grid"]  # its last slice ends the file


def test_no_damage_of_the_index_passes_unseen_or_as_another_error(kinds):
    """Flip, cut, lengthen: always CheckpointError naming the file, or the same table."""
    path = kinds / "model.ckpt.index"
    good, before = path.read_bytes(), read_table(path)
    rng = random.Random(3)
    for _ in range(400):
        data = bytearray(good)
        if rng.random() < 0.2:
            data = data[: rng.randrange(len(data))]
        else:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        path.write_bytes(data)
        try:
            assert read_table(path) == before
        except CheckpointError as error:
            assert str(path) in error.message


def test_a_valid_table_with_nonsense_in_it_is_refused(kinds):
    """Right checksums prove nothing about the content: protocol buffers of random bytes."""
    rng = random.Random(5)
    table = read_table(kinds / "model.ckpt.index")
    for name, value in list(table.items()):
        for _ in range(4):
            broken = bytearray(value)
            for _ in range(rng.randrange(1, 4)):
                if broken:
                    broken[rng.randrange(len(broken))] = rng.randrange(256)
            try:
                with Checkpoint(kinds / "model.ckpt", {**table, name: bytes(broken)}) as checkpoint:
                    variable = name.decode(errors="ignore")
                    if not name.startswith(b"\0") and variable:
                        checkpoint.read(variable)
                    else:
                        checkpoint.read("rows")
            except CheckpointError:
                pass


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it has 0 bytes, fewer than its footer"),
        (b"x" * 500, "its end is missing (no closing mark)"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "is a Git LFS pointer (63 bytes"),
    ],
)
def test_files_that_are_no_index(kinds, content, message):
    (kinds / "model.ckpt.index").write_bytes(content)
    error = refusal(lambda: Checkpoint.open(kinds))
    assert "model.ckpt.index" in error.message and message in error.message


def test_big_endian_and_newer_formats_are_refused(kinds):
    table = read_table(kinds / "model.ckpt.index")
    message = str(refusal(lambda: Checkpoint(kinds / "model.ckpt", {**table, b"": b"\x08\x03\x10\x01"})))
    assert "big-endian" in message
    message = str(refusal(lambda: Checkpoint(kinds / "model.ckpt", {**table, b"": b"\x08\x03\x1a\x02\x10\x02"})))
    assert "needs a newer reader: bundle format 2" in message


def test_tensorflows_v1_format_is_named():
    assert "in TensorFlow's old V1 format" in refusal(lambda: Checkpoint.open(FIXTURES / "v1")).message
    assert "in TensorFlow's old V1 format" in refusal(lambda: Checkpoint.open(FIXTURES / "v1" / "model.ckpt")).message


def test_text_has_no_numbers():
    with Checkpoint.open(FIXTURES / "kinds") as checkpoint:
        assert "text in" in (message := refusal(lambda: checkpoint.read("text")).message) and "type string" in message
        assert "has no variable nonsense" in refusal(lambda: checkpoint.read("nonsense")).message


def test_places_without_a_checkpoint(tmp_path):
    assert "There is no checkpoint at" in refusal(lambda: Checkpoint.open(tmp_path / "nothing")).message
    assert "holds no TensorFlow checkpoint" in refusal(lambda: Checkpoint.open(tmp_path)).message
    (tmp_path / "m.ckpt.data-00000-of-00001").write_bytes(b"1")
    assert "has no index file beside it" in refusal(lambda: Checkpoint.open(tmp_path)).message
    (tmp_path / "other.bin").write_bytes(b"1")
    assert "nor a TensorFlow checkpoint" in refusal(lambda: Checkpoint.open(tmp_path / "other.bin")).message
