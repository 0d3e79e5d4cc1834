"""import PATH: every kind of source, and everything that is refused, with the registry left as it was."""

from __future__ import annotations

import collections
import json
import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from qtinker import registry, shapes
from qtinker.errors import CheckpointError, InputError, QTinkerError
from qtinker.importer import import_model
from qtinker.predict import predict
from qtinker.tokenizer_files import SPECIAL, write_tokenizer
from qtinker.ui.texts import Texts

FIXTURES = Path(__file__).parents[1] / "fixtures" / "tf"
WORDS = [*SPECIAL, *"abcdefghijklmnopqrstuvwxyz", "Hello", "hello", "world", "##s"]


class Payload:
    """What a hostile pickle does: it calls a function when it is read."""

    def __reduce__(self):
        return (os.mkdir, ("pwned",))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    """A BERT folder as transformers writes it, with a cased tokenizer."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    folder = tmp_path_factory.mktemp("tiny") / "my-bert"
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(WORDS), hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=200, id2label={0: "no", 1: "yes"}, label2id={"no": 0, "yes": 1},
    )  # fmt: skip
    BertForSequenceClassification(config).save_pretrained(folder)
    write_tokenizer(folder, WORDS, do_lower_case=False, max_length=200)
    return folder


@pytest.fixture
def model(tiny, tmp_path) -> Path:
    """A copy to be changed."""
    return Path(shutil.copytree(tiny, tmp_path / "my-bert"))


def change(path: Path, **changes) -> None:
    content = json.loads(path.read_text(encoding="utf-8")) | changes
    path.write_text(json.dumps({k: v for k, v in content.items() if v is not None}), encoding="utf-8")


def refusal(path: Path, kind: type[QTinkerError] = CheckpointError, **options) -> QTinkerError:
    """The error; and the registry must hold nothing, no staging folder either."""
    with pytest.raises(kind) as caught:
        import_model(path, **options)
    left = [p for p in registry.models_dir().rglob("*") if p.is_file() and p.suffix not in (".lock", ".md")]
    assert left == [] and registry.list_models() == []
    return caught.value


def state(folder: Path) -> dict[str, np.ndarray]:
    from safetensors.numpy import load_file

    return {k: v for file in sorted(folder.glob("*.safetensors")) for k, v in load_file(file).items()}


def same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    return one.keys() == other.keys() and all((one[name] == other[name]).all() for name in one)


# --- Google's ------------------------------------------------------------------------------------------------------


def test_a_google_folder(tmp_path):
    source = Path(shutil.copytree(FIXTURES / "pretraining", tmp_path / "cased_L-2_H-16_A-2"))
    told: list[str] = []
    folder = import_model(source, progress=lambda stage, done, total: told.append(stage))
    assert folder == registry.models_dir() / "bert_small" / "cased_L-2_H-16_A-2"
    assert {"README.md", "config.json", "model.safetensors", "qtinker.json", "tokenizer.json"} < {
        path.name for path in folder.iterdir()
    }
    meta = registry.read_meta(folder)
    assert meta["kind"] == "imported" and meta["parameters"] == 5594 and meta["max_length"] == 20
    assert meta["source"] == {"type": "import", "path": "cased_L-2_H-16_A-2", "format": "tensorflow"}
    assert meta["do_lower_case"] is False and meta["files"]["model.safetensors"]["bytes"] > 4 * 5594
    assert list(dict.fromkeys(told)) == ["convert", "load"]
    assert registry.find("cased_L-2_H-16_A-2").broken is None


@pytest.mark.parametrize("inside", ["", "uncased_L-2_H-16_A-2/"])
def test_a_google_zip(tmp_path, inside):
    archive = tmp_path / "uncased_L-2_H-16_A-2.zip"
    with zipfile.ZipFile(archive, "w") as zipped:
        for path in (FIXTURES / "pretraining").iterdir():
            zipped.write(path, inside + path.name)
    folder = import_model(archive, name="mine")
    assert folder.name == "mine" and registry.read_meta(folder)["source"]["path"] == archive.name
    assert registry.read_meta(folder)["do_lower_case"] is True
    assert [p.name for p in registry.models_dir().iterdir() if p.is_dir() and any(p.rglob("*"))] == ["bert_small"]


def test_a_folder_around_a_checkpoint_and_a_prefix(tmp_path):
    shutil.copytree(FIXTURES / "classifier", tmp_path / "around" / "cls")
    assert import_model(tmp_path / "around").name == "around"
    folder = import_model(tmp_path / "around" / "cls" / "bert_model.ckpt")
    assert folder.name == "cls-bert_model.ckpt"
    assert registry.read_meta(folder)["task"]["labels"] == ["LABEL_0", "LABEL_1", "LABEL_2"]


def test_a_damaged_google_folder_leaves_nothing(tmp_path):
    source = Path(shutil.copytree(FIXTURES / "pretraining", tmp_path / "g"))
    data = source / "bert_model.ckpt.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:-100])
    assert "is cut off" in refusal(source).message


def test_a_google_folder_whose_config_is_named_otherwise(tmp_path):
    source = Path(shutil.copytree(FIXTURES / "pretraining", tmp_path / "g"))
    (source / "bert_config.json").rename(source / "config.json")
    error = refusal(source)
    assert "rename config.json to bert_config.json" in error.fix and "改名" in Texts("zh").said(error.fix)
    assert "TensorFlow 检查点" in Texts("zh").said(error.message)


# --- Hugging Face folders ------------------------------------------------------------------------------------------


def test_a_hugging_face_folder(model):
    (model / "README.md").write_text("---\nlicense: mit\n---\n# Mine\n", encoding="utf-8")
    (model / "optimizer.pt").write_bytes(b"x")
    (model / "custom.py").write_text("print('run')", encoding="utf-8")
    folder = import_model(model)
    assert folder == registry.models_dir() / "hub" / "my-bert"
    assert same(state(folder), state(model))
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md", "config.json", "model.safetensors", "qtinker.json", "tokenizer.json", "tokenizer_config.json",
        "vocab.txt",
    ]  # fmt: skip
    entry = registry.find("my-bert")
    assert entry.licence == "mit" and entry.kind == "imported" and entry.labels == ["no", "yes"]
    assert import_model(model).name == "my-bert-2"


def test_a_name_that_is_taken(model):
    import_model(model, name="one")
    with pytest.raises(InputError) as caught:
        import_model(model, name="one")
    assert "one" in caught.value.message


def test_pickled_weights_become_safetensors(model):
    import torch
    from safetensors.torch import load_file

    weights = load_file(model / "model.safetensors")
    before = state(model)
    (model / "model.safetensors").unlink()
    old = {name.replace("LayerNorm.weight", "LayerNorm.gamma"): value for name, value in weights.items()}
    torch.save(old, model / "pytorch_model.bin")
    folder = import_model(model)
    assert same(state(folder), before) and not list(folder.glob("*.bin"))


def test_a_training_checkpoint_in_a_pt_file(model):
    import torch
    from safetensors.torch import load_file

    before = state(model)
    weights = {f"module.{k}": v for k, v in load_file(model / "model.safetensors").items()}
    (model / "model.safetensors").unlink()
    torch.save({"model_state_dict": weights, "epoch": 3}, model / "last.pt", _use_new_zipfile_serialization=False)
    torch.save({"lr": 1}, model / "optimizer.pt")
    assert same(state(import_model(model)), before)


def test_sharded_weights_of_both_kinds(model, tmp_path):
    import torch
    from safetensors.torch import load_file
    from transformers import AutoModelForSequenceClassification

    before = state(model)
    loaded = AutoModelForSequenceClassification.from_pretrained(model)
    (model / "model.safetensors").unlink()
    loaded.save_pretrained(model, max_shard_size="2KB")
    shards = sorted(model.glob("model-*.safetensors"))
    assert len(shards) > 1
    folder = import_model(model, name="shards")
    assert same(state(folder), before) and registry.find("shards").broken is None
    index = json.loads((model / "model.safetensors.index.json").read_text(encoding="utf-8"))
    for number, shard in enumerate(shards):
        torch.save(load_file(shard), model / f"pytorch_model-{number}.bin")
        index["weight_map"] = {
            k: f"pytorch_model-{number}.bin" if v == shard.name else v for k, v in index["weight_map"].items()
        }
        shard.unlink()
    (model / "model.safetensors.index.json").unlink()
    (model / "pytorch_model.bin.index.json").write_text(json.dumps(index), encoding="utf-8")
    assert same(state(import_model(model, name="pickles")), before)


def test_a_config_without_model_type_is_known_by_its_tensors(model):
    change(model / "config.json", model_type=None)
    folder = import_model(model)
    assert json.loads((folder / "config.json").read_text(encoding="utf-8"))["model_type"] == "bert"


def tokens(folder: Path, text: str) -> list[str]:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder).tokenize(text)


def test_a_vocabulary_alone_gets_its_case_right(model):
    """transformers would lowercase it: its default for BERT."""
    (model / "tokenizer.json").unlink()
    (model / "tokenizer_config.json").unlink()
    (model / "vocab.txt").write_bytes("\r\n".join(WORDS).encode())
    assert tokens(import_model(model), "Hello worlds") == ["Hello", "world", "##s"]
    assert tokens(import_model(model, name="lower", do_lower_case=True), "Hello worlds") == ["hello", "world", "##s"]
    (model / "tokenizer_config.json").write_text('{"do_lower_case": true}', encoding="utf-8")
    assert tokens(import_model(model, name="said"), "Hello worlds") == ["hello", "world", "##s"]


def only_vocabulary(model: Path, words: list[str], **settings) -> None:
    """What a slow tokenizer leaves: vocab.txt and its settings."""
    (model / "tokenizer.json").unlink(missing_ok=True)
    (model / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    (model / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")


@pytest.mark.parametrize(
    ("settings", "text", "cut"),
    [
        ({"strip_accents": False}, "Né 漢字", ["né", "漢", "字"]),
        ({"strip_accents": True, "do_lower_case": False}, "né 漢字", ["n", "##e", "漢", "字"]),
        ({"tokenize_chinese_chars": False}, "Né 漢字", ["n", "##e", "漢字"]),
        ({}, "Né 漢字", ["n", "##e", "漢", "字"]),
    ],
)
def test_a_vocabulary_alone_keeps_the_settings_of_its_tokenizer(model, settings, text, cut):
    words = [*SPECIAL, "n", "né", "##e", "漢", "字", "漢字"]
    only_vocabulary(model, words, **{"do_lower_case": True, **settings})
    assert tokens(import_model(model), text) == tokens(model, text) == cut


def test_a_vocabulary_alone_keeps_its_added_tokens(model):
    from transformers import AutoTokenizer

    words = WORDS[:-2]
    added = {
        str(words.index("z")): {"content": "z", "special": True, "normalized": False},
        str(len(words)): {"content": "[E1]", "special": True, "normalized": False},
        str(len(words) + 1): {"content": "covid-19", "special": False, "normalized": True},
    }
    only_vocabulary(model, words, do_lower_case=False, added_tokens_decoder=added)
    text = "[E1] abc covid-19 hello"
    own, made = (AutoTokenizer.from_pretrained(folder) for folder in (model, import_model(model)))
    assert made(text)["input_ids"] == own(text)["input_ids"] and made.added_tokens_decoder == own.added_tokens_decoder
    assert {len(words), len(words) + 1} < set(made(text)["input_ids"])
    assert "[E1]" not in made.decode(made(text)["input_ids"], skip_special_tokens=True)


@pytest.mark.parametrize(
    ("added", "told", "chinese"),
    [
        ({"300": {"content": "x y"}}, "gives 'x y' the id 300, and vocab.txt leaves it 31.", "只能给它 31"),
        ({"no": {"content": "x y"}}, "tokenizer.json or tokenizer_config.json can't be read: invalid", "无法读取"),
        ([1], "tokenizer.json or tokenizer_config.json can't be read: ", "无法读取"),
    ],
)
def test_added_tokens_that_can_not_be(model, added, told, chinese):
    only_vocabulary(model, WORDS[:31], added_tokens_decoder=added)
    error = refusal(model)
    assert told in error.message and chinese in Texts("zh").said(error.message)
    assert not error.fix or "vocab.txt" in Texts("zh").said(error.fix)


def test_a_cased_tokenizer_beside_a_bare_config_stays_cased(model):
    (model / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer"}', encoding="utf-8")
    assert tokens(model, "Hello") == ["hello"]  # the trap
    assert tokens(import_model(model), "Hello") == ["Hello"]


@pytest.mark.parametrize("kind", ["distilbert", "albert", "mobilebert", "gpt2"])
def test_the_other_supported_kinds(kind, tmp_path):
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import AutoConfig, AutoModel, PreTrainedTokenizerFast

    layers = {"num_hidden_layers": 1, "num_attention_heads": 2, "hidden_size": 8, "embedding_size": 4}
    sizes = {
        "distilbert": {"dim": 8, "n_layers": 1, "n_heads": 2, "hidden_dim": 16},
        "albert": layers | {"intermediate_size": 16},
        "mobilebert": layers | {"intermediate_size": 8, "intra_bottleneck_size": 8, "true_hidden_size": 8},
        "gpt2": {"n_embd": 8, "n_layer": 1, "n_head": 2, "n_positions": 64},
    }  # fmt: skip
    folder = tmp_path / kind
    torch.manual_seed(0)
    AutoModel.from_config(AutoConfig.for_model(kind, vocab_size=len(WORDS), **sizes[kind])).save_pretrained(folder)
    if kind in ("distilbert", "mobilebert"):
        (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n", encoding="utf-8")
    else:
        ids = {word: number for number, word in enumerate(WORDS)}
        backend = Tokenizer(models.WordLevel(ids, unk_token="[UNK]"))
        backend.pre_tokenizer = pre_tokenizers.Whitespace()
        PreTrainedTokenizerFast(
            tokenizer_object=backend, unk_token="[UNK]", pad_token="[PAD]", eos_token="[SEP]"
        ).save_pretrained(folder)
    made = import_model(folder)
    assert registry.find(kind).model_type == kind and same(state(made), state(folder))


# --- refused -------------------------------------------------------------------------------------------------------


@pytest.mark.real_data
def test_the_really_truncated_file_is_refused_with_its_bytes(real_data):
    error = refusal(real_data / "truncated" / "victorniga-truncated-safetensors")
    assert "model.safetensors is truncated: 851,968 of 90,868,376 bytes are there" in error.message


def test_pickles_that_want_to_run_code(model, tmp_path, monkeypatch):
    import torch

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")  # as Pinokio sets it
    (model / "model.safetensors").unlink()
    for new in (True, False):
        torch.save({"w": Payload()}, model / "pytorch_model.bin", _use_new_zipfile_serialization=new)
        error = refusal(model)
        assert "pytorch_model.bin needs code to be executed (" in error.message and "mkdir" in error.message
        assert "safetensors" in error.fix
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is damaged or no PyTorch file"),
        (b"PK\x03\x04rest", "is damaged or no PyTorch file"),
        (b"hello" * 9, "is damaged"),
    ],
)
def test_damaged_pickles(model, content, message):
    (model / "model.safetensors").unlink()
    (model / "pytorch_model.bin").write_bytes(content)
    assert "pytorch_model.bin" in (found := refusal(model).message) and message in found


def test_pickles_of_something_else(model):
    import torch

    (model / "model.safetensors").unlink()
    torch.save(collections.OrderedDict(a=3), model / "pytorch_model.bin")
    assert "pytorch_model.bin holds a OrderedDict where a table of named tensors" in refusal(model).message
    torch.save(torch.ones(3), model / "pytorch_model.bin")
    assert "holds a Tensor where" in refusal(model).message


def test_code_of_the_models_own(model):
    change(model / "config.json", auto_map={"AutoModel": "modeling_evil.Evil"})
    error = refusal(model)
    assert "config.json asks for code of the model's own (auto_map: modeling_evil.Evil)" in error.message
    change(model / "config.json", auto_map=None)
    change(model / "tokenizer_config.json", auto_map={"AutoTokenizer": ["tok.Evil", None]})
    assert "tokenizer_config.json asks for code of the model's own (auto_map: tok.Evil)" in refusal(model).message


def test_kinds_that_are_not_supported(model):
    change(model / "config.json", model_type="llama")
    error = refusal(model)
    assert "'llama' are not supported" in error.message
    assert error.fix == "Supported are bert, distilbert, albert, mobilebert, gpt2."
    change(model / "config.json", model_type="bert", quantization_config={"quant_method": "gptq"})
    assert "the weights are quantized (gptq)" in refusal(model).message


def test_configs_that_are_no_configs(model):
    for content, message in [("{", "can't be read"), ("[]", "holds a JSON list"), ("", "can't be read")]:
        (model / "config.json").write_text(content, encoding="utf-8")
        assert f"{model}: config.json {message}" in refusal(model).message


def test_missing_and_foreign_weights(model):
    (model / "model.safetensors").unlink()
    assert "has no weights (model.safetensors is missing)" in refusal(model).message
    (model / "tf_model.h5").write_bytes(b"1")
    assert "has its weights only as tf_model.h5" in refusal(model).message
    for name in ("a.pt", "b.pt"):
        (model / name).write_bytes(b"1")
    assert "holds 2 files of weights: a.pt, b.pt" in refusal(model).message
    (model / "model.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1\nsize 9\n")
    assert "model.safetensors is a Git LFS pointer" in refusal(model).message


def test_a_missing_shard(model):
    (model / "model.safetensors").rename(model / "model-00001-of-00002.safetensors")
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (model / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    assert "model-00002-of-00002.safetensors is missing" in refusal(model).message
    index["weight_map"]["b"] = "../../secret.safetensors"
    (model / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    assert "'../../secret.safetensors', which is not in the folder" in refusal(model).message


def test_incomplete_and_mismatched_weights(model):
    from safetensors.torch import load_file, save_file

    weights = load_file(model / "model.safetensors")
    name = "bert.encoder.layer.0.output.dense.weight"
    save_file({k: v for k, v in weights.items() if k != name}, model / "model.safetensors", metadata={"format": "pt"})
    message = refusal(model).message
    assert str(model) in message and "encoder.layer.0.output.dense.weight" in message and ".staging" not in message
    weights[name] = weights[name] * float("nan")
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})
    assert "NaN or infinity" in refusal(model).message


def test_weights_of_a_class_around_the_model(model):
    from safetensors.torch import load_file, save_file

    weights = load_file(model / "model.safetensors")
    wrapped = {f"net.{name}": weight for name, weight in weights.items()}
    save_file(wrapped, model / "model.safetensors", metadata={"format": "pt"})
    error = refusal(model)
    name = "bert.embeddings.LayerNorm.bias"
    assert error.message == f"{model}: the weights have net.{name} where {name} is expected."
    assert "save_pretrained" in error.fix
    assert "而应为" in Texts("zh").said(error.message) and "save_pretrained" in Texts("zh").said(error.fix)


def test_layers_beyond_those_of_the_config(model):
    """transformers would leave them out without a word, and the model answer by its lower half."""
    from safetensors.torch import load_file, save_file

    weights = load_file(model / "model.safetensors")
    layer = {name.replace("layer.0.", "layer.1."): weight + 1 for name, weight in weights.items() if "layer.0." in name}
    save_file({**weights, **layer}, model / "model.safetensors", metadata={"format": "pt"})
    error = refusal(model)
    assert "encoder.layer.1." in error.message and "a layer beyond those that config.json" in error.message
    assert "number of layers" in error.fix
    assert "配置之外" in Texts("zh").said(error.message) and "层数" in Texts("zh").said(error.fix)


@pytest.mark.parametrize(
    ("id2label", "told", "chinese"),
    [
        ({"no": 0, "yes": 1}, "does not number the outputs from 0: it has no, yes.", "没有从 0 开始给输出编号"),
        ({"1": "no", "2": "yes"}, "does not number the outputs from 0: it has 1, 2.", "没有从 0 开始给输出编号"),
        (["no", "yes"], "is no object with a name for each number.", "不是按编号给出名称的对象"),
        ({"0": "yes", "1": "yes"}, "gives more than one output the name 'yes'.", "多个输出同名"),
    ],
)
def test_outputs_without_names_of_their_own(model, id2label, told, chinese):
    change(model / "config.json", id2label=id2label, label2id=None)
    error = refusal(model)
    assert error.message == f"{model}: id2label in config.json {told}" and '{"0": "no", "1": "yes"}' in error.fix
    with pytest.raises(CheckpointError, match="id2label in config"):
        predict(model, ["hello"])
    with pytest.raises(CheckpointError, match="id2label in config"):
        shapes.read(model)  # as the check before a training does
    assert chinese in Texts("zh").said(error.message) and "请写成" in Texts("zh").said(error.fix)
    shutil.copytree(model, registry.models_dir() / "hub" / "by-hand")
    assert registry.find("by-hand").labels == []  # the list of models stays whole


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"vocab_size": 48}, "bert.embeddings.word_embeddings.weight is {words} x 8 in the weights, and 48 x 8 by"),
        ({"intermediate_size": 32}, "bert.encoder.layer.0.intermediate.dense.bias is 16 in the weights, and 32 by"),
        ({"max_position_embeddings": 512}, "position_embeddings.weight is 200 x 8 in the weights, and 512 x 8 by"),
        ({"id2label": {"0": "a", "1": "b", "2": "c"}}, "classifier.bias is 2 in the weights, and 3 by config.json"),
    ],
)
def test_weights_of_other_sizes_than_the_config_says(model, changes, told):
    """transformers would draw them at random."""
    change(model / "config.json", label2id=None, **changes)
    error = refusal(model)
    assert error.message.startswith(f"{model}: ") and told.format(words=len(WORDS)) in error.message
    assert "config.json that belongs to the weights" in error.fix
    with pytest.raises(CheckpointError, match="in the weights, and"):
        predict(model, ["hello"])
    chinese = Texts("zh").said(f"{error.message} {error.fix}")
    assert "在权重中为" in chinese and "请使用与权重匹配的 config.json" in chinese


def test_tokenizers_that_are_missing_or_too_large(model):
    change(model / "config.json", vocab_size=len(WORDS))
    write_tokenizer(model, [*WORDS, "more"], do_lower_case=False, max_length=20)
    words = f"the tokenizer has {len(WORDS) + 1} tokens, the model {len(WORDS)}"
    assert words in refusal(model).message
    with pytest.raises(CheckpointError, match=words):  # a folder used as it lies there
        predict(model, ["more"])
    gap = json.loads((model / "tokenizer.json").read_text(encoding="utf-8"))
    del gap["model"]["vocab"][WORDS[-1]]
    (model / "tokenizer.json").write_text(json.dumps(gap), encoding="utf-8")
    assert f"the tokenizer has {len(WORDS) + 1} tokens, the model {len(WORDS)}" in refusal(model).message
    (model / "tokenizer.json").write_text("{}", encoding="utf-8")
    assert "tokenizer.json" in refusal(model).message
    for name in ("tokenizer.json", "vocab.txt"):
        (model / name).unlink()
    assert "has no tokenizer (tokenizer.json or vocab.txt)" in refusal(model).message


def test_paths_that_hold_no_model(tmp_path, model):
    assert "There is no file or folder" in refusal(tmp_path / "nothing", InputError).message
    (tmp_path / "empty").mkdir()
    assert "only nothing." in refusal(tmp_path / "empty", InputError).message
    (tmp_path / "empty" / "cat.jpg").write_bytes(b"1")
    assert "is no model: it has neither" in (m := refusal(tmp_path / "empty", InputError).message) and "cat.jpg" in m
    error = refusal(model / "model.safetensors", InputError)
    assert "is one file of a model" in error.message and str(model) in error.fix
    shutil.copytree(model, tmp_path / "two" / "a")
    shutil.copytree(model, tmp_path / "two" / "b")
    assert "holds 2 models: a, b." in refusal(tmp_path / "two", InputError).message
    (tmp_path / "empty" / "model.zip").write_bytes(b"1")
    assert refusal(tmp_path / "empty", InputError).fix == f"Give the zip: {tmp_path / 'empty' / 'model.zip'}"


def test_a_folder_of_a_trainer_names_the_checkpoints_in_it(model, tmp_path):
    for name in ("checkpoint-10", "checkpoint-20"):
        shutil.copytree(model, tmp_path / "out" / name)
    shutil.copy(model / "config.json", tmp_path / "out")
    (tmp_path / "out" / "1_Pooling").mkdir()
    shutil.copy(model / "config.json", tmp_path / "out" / "1_Pooling")
    error = refusal(tmp_path / "out")
    assert "has no weights" in error.message
    assert error.fix == "Give one of the folders in it: checkpoint-10, checkpoint-20."


def zipped_folder(folder: Path, archive: Path, inside: str = "") -> Path:
    with zipfile.ZipFile(archive, "w") as zipped:
        for file in sorted(folder.rglob("*")):
            zipped.write(file, inside + file.relative_to(folder).as_posix())
    return archive


@pytest.mark.parametrize("inside", ["", "all-mine/"])
def test_a_sentence_model_is_one_model_and_not_its_parts(tiny, tmp_path, inside):
    import torch

    folder = tmp_path / "sentences"
    shutil.copytree(tiny, folder / "0_Transformer")
    for part, config in {"1_Pooling": "word_embedding_dimension", "2_Dense": "in_features"}.items():
        (folder / part).mkdir()
        (folder / part / "config.json").write_text(json.dumps({config: 8}), encoding="utf-8")
    torch.save({"linear.weight": torch.ones(8, 8)}, folder / "2_Dense" / "pytorch_model.bin")
    assert same(state(import_model(folder)), state(tiny))
    assert same(state(import_model(zipped_folder(folder, tmp_path / "s.zip", inside), name="zip")), state(tiny))


def test_an_adapter_is_told_to_be_merged(model, tmp_path):
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text('{"peft_type": "LORA"}', encoding="utf-8")
    shutil.copy(model / "model.safetensors", adapter / "adapter_model.safetensors")
    beside = Path(shutil.copytree(adapter, tmp_path / "beside" / "adapter")).parent
    (model / "model.safetensors").unlink()
    shutil.copytree(adapter, model, dirs_exist_ok=True)
    for path in (adapter, zipped_folder(adapter, tmp_path / "a.zip"), beside, model):
        error = refusal(path)
        assert "is an adapter (such as LoRA)" in error.message and "merge_and_unload" in error.fix
        assert "是适配器" in Texts("zh").said(error.message) and "peft" in Texts("zh").said(error.fix)


def test_a_saved_model_of_tensorflow_is_told_as_one(tmp_path):
    folder = tmp_path / "export"
    (folder / "variables").mkdir(parents=True)
    for name in ("saved_model.pb", "variables/variables.index", "variables/variables.data-00000-of-00001"):
        (folder / name).write_bytes(b"x")
    for path in (folder, folder / "saved_model.pb", zipped_folder(folder, tmp_path / "export.zip")):
        error = refusal(path)
        assert f"{path} is a SavedModel of TensorFlow" in error.message and "Hugging Face folder" in error.fix
        assert "SavedModel，无法导入" in Texts("zh").said(error.message)


def test_a_lightning_checkpoint_is_told_how_it_becomes_a_model(model):
    import torch

    (model / "model.safetensors").unlink()
    torch.save({"state_dict": {"model.w": torch.ones(3)}}, model / "epoch=3.ckpt")
    assert "epoch=3.ckpt is neither" in (error := refusal(model / "epoch=3.ckpt")).message
    assert "PyTorch Lightning" in error.fix and "Lightning" in Texts("zh").said(error.fix)
    assert "only as epoch=3.ckpt" in (error := refusal(model)).message and "PyTorch Lightning" in error.fix
    (model / "config.json").unlink()
    assert "PyTorch Lightning" in refusal(model).fix


def test_archives_that_are_to_be_unpacked_first(model, tmp_path):
    for name in ("a.tar.gz", "a.TGZ", "a.7z", "a.rar"):
        (tmp_path / name).write_bytes(b"x" * 99)
        error = refusal(tmp_path / name, InputError)
        assert "only a zip is read" in error.message and error.fix == "Unpack it and give its folder."
    with zipfile.ZipFile(tmp_path / "outer.zip", "w") as outer:
        outer.write(zipped_folder(model, tmp_path / "inner.zip"), "inner.zip")
    assert refusal(tmp_path / "outer.zip").fix == "Unpack it and import inner.zip in it."


def test_an_error_in_a_zip_names_the_zip(tmp_path):
    source = Path(shutil.copytree(FIXTURES / "pretraining", tmp_path / "g"))
    (source / "vocab.txt").unlink()
    archive = zipped_folder(source, tmp_path / "g.zip")
    assert refusal(archive).message == f"{archive / 'vocab.txt'} is missing."


@pytest.mark.parametrize("inside", ["", "my-model/"])
def test_a_hugging_face_zip_as_the_page_hands_it_out(model, tmp_path, inside):
    archive = tmp_path / "packed.zip"
    with zipfile.ZipFile(archive, "w") as zipped:
        for file in sorted(model.iterdir()):
            zipped.write(file, inside + file.name)
        zipped.writestr(inside + "evil.py", "print('never taken')")
    stages: list[str] = []
    path = import_model(archive, progress=lambda stage, done, total: stages.append(stage))
    assert (path.parent.name, path.name) == ("hub", "packed") and not (path / "evil.py").exists()
    assert same(state(path), state(model))
    assert list(dict.fromkeys(stages)) == ["unpack", "copy", "load"]
