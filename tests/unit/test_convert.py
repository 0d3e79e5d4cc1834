"""convert: every tensor bit for bit, outputs as TensorFlow's, what is refused, and how much memory it takes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from qtinker.convert import convert
from qtinker.errors import CheckpointError
from qtinker.tf_checkpoint import Checkpoint
from safetensors import safe_open
from tf_bundle import write_bundle

FIXTURES = Path(__file__).parents[1] / "fixtures" / "tf"


@pytest.fixture
def out(tmp_path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


@pytest.fixture
def source(tmp_path) -> Path:
    """A copy of the pretraining checkpoint, to be changed."""
    return Path(shutil.copytree(FIXTURES / "pretraining", tmp_path / "uncased_L-2_H-16_A-2"))


def variables(folder: Path) -> dict[str, np.ndarray]:
    with Checkpoint.open(folder) as checkpoint:
        return {name: checkpoint.read(name).copy() for name in checkpoint.variables()}


def rewrite(folder: Path, values: dict[str, np.ndarray]) -> None:
    write_bundle(folder / "bert_model.ckpt", values)


def set_config(folder: Path, **changes) -> None:
    path = folder / "bert_config.json"
    config = json.loads(path.read_text(encoding="utf-8")) | changes
    path.write_text(json.dumps({k: v for k, v in config.items() if v is not None}), encoding="utf-8")


def refusal(source: Path, out: Path, **options) -> CheckpointError:
    with pytest.raises(CheckpointError) as caught:
        convert(source, out, **options)
    assert list(out.iterdir()) == [], "half-made files were left"
    return caught.value


def outputs(out: Path, name: str, architecture: str):
    import torch
    import transformers

    data = np.load(FIXTURES / f"{name}.npz")
    model, info = getattr(transformers, architecture).from_pretrained(out, output_loading_info=True)
    assert not any(info.values()), info
    inputs = {"input_ids": data["ids"], "attention_mask": data["mask"], "token_type_ids": data["types"]}
    with torch.no_grad():
        found = model.eval()(**{k: torch.tensor(v) for k, v in inputs.items()}, output_hidden_states=True)
    return found, data


def close(ours, theirs) -> bool:
    return float(np.abs(ours.numpy() - theirs).max()) < 1e-5


def test_pretraining_outputs_are_tensorflows(out):
    convert(FIXTURES / "pretraining", out)
    found, data = outputs(out, "pretraining", "BertForPreTraining")
    assert close(found.hidden_states[-1], data["out/sequence"])
    assert close(found.prediction_logits, data["out/mlm"])
    assert close(found.seq_relationship_logits, data["out/nsp"])


def test_classifier_outputs_are_tensorflows(out):
    made = convert(FIXTURES / "classifier", out, labels=["bad", "so-so", "good"])
    found, data = outputs(out, "classifier", "BertForSequenceClassification")
    assert close(found.logits, data["out/logits"])
    config = json.loads((out / "config.json").read_text(encoding="utf-8"))
    assert config["id2label"] == {"0": "bad", "1": "so-so", "2": "good"} and config["label2id"]["good"] == 2
    assert made["task"] == {"type": "classification", "labels": ["bad", "so-so", "good"], "pair": False}
    assert made["kind"] == "finetuned" and made["max_length"] == 20


def test_tensors_are_tensorflows_bit_for_bit(out):
    made = convert(FIXTURES / "pretraining", out)
    data = np.load(FIXTURES / "pretraining.npz")
    pairs = {
        "bert.embeddings.word_embeddings.weight": data["var/bert/embeddings/word_embeddings"],
        "bert.embeddings.LayerNorm.weight": data["var/bert/embeddings/LayerNorm/gamma"],
        "bert.embeddings.LayerNorm.bias": data["var/bert/embeddings/LayerNorm/beta"],
        "bert.encoder.layer.1.attention.self.key.weight": data["var/bert/encoder/layer_1/attention/self/key/kernel"].T,
        "bert.encoder.layer.0.intermediate.dense.weight": data["var/bert/encoder/layer_0/intermediate/dense/kernel"].T,
        "bert.encoder.layer.1.output.dense.bias": data["var/bert/encoder/layer_1/output/dense/bias"],
        "bert.pooler.dense.weight": data["var/bert/pooler/dense/kernel"].T,
        "cls.predictions.bias": data["var/cls/predictions/output_bias"],
        "cls.predictions.transform.dense.weight": data["var/cls/predictions/transform/dense/kernel"].T,
        "cls.seq_relationship.weight": data["var/cls/seq_relationship/output_weights"],
    }
    with safe_open(out / "model.safetensors", "numpy") as file:
        assert len(list(file.keys())) == 46 and file.metadata() == {"format": "pt"}
        for name, expected in pairs.items():
            assert file.get_tensor(name).tobytes() == np.ascontiguousarray(expected).tobytes(), name
        assert made["parameters"] == sum(file.get_tensor(name).size for name in file.keys())  # noqa: SIM118


def test_the_names_are_those_that_transformers_writes(out, tmp_path):
    from transformers import BertForPreTraining

    convert(FIXTURES / "pretraining", out)
    BertForPreTraining.from_pretrained(out).save_pretrained(tmp_path / "again")
    with (
        safe_open(out / "model.safetensors", "numpy") as a,
        safe_open(tmp_path / "again/model.safetensors", "numpy") as b,
    ):
        assert set(a.keys()) == set(b.keys())


@pytest.mark.parametrize(
    ("dropped", "architecture"),
    [
        ((), "BertForPreTraining"),
        (("cls/seq_relationship/", "bert/pooler/"), "BertForMaskedLM"),
        (("cls/",), "BertModel"),
        (("cls/predictions/",), "BertForNextSentencePrediction"),
    ],
)
def test_heads_that_are_not_there_are_not_made_up(source, out, dropped, architecture):
    import transformers

    values = {name: v for name, v in variables(source).items() if not name.startswith(tuple(dropped) or ("-",))}
    rewrite(source, values)
    assert convert(source, out)["architecture"] == architecture
    _, info = getattr(transformers, architecture).from_pretrained(out, output_loading_info=True)
    assert not any(info.values()), info
    config = json.loads((out / "config.json").read_text(encoding="utf-8"))
    assert config["architectures"] == [architecture] and config["model_type"] == "bert"
    assert config["layer_norm_eps"] == 1e-12 and config["type_vocab_size"] == 2 and config["pad_token_id"] == 0


def test_question_answering_heads(source, out):
    from transformers import BertForQuestionAnswering

    values = {name: v for name, v in variables(source).items() if not name.startswith(("cls/", "bert/pooler/"))}
    rewrite(
        source,
        values | {"cls/squad/output_weights": np.ones((2, 16), "f4"), "cls/squad/output_bias": np.zeros(2, "f4")},
    )
    assert convert(source, out)["architecture"] == "BertForQuestionAnswering"
    model, info = BertForQuestionAnswering.from_pretrained(out, output_loading_info=True)
    assert not any(info.values()) and model.qa_outputs.weight.sum() == 32


def test_loading_another_class_misses_nothing(out):
    from transformers import AutoModel, BertForMaskedLM

    convert(FIXTURES / "pretraining", out)
    for kind in (AutoModel, BertForMaskedLM):
        _, info = kind.from_pretrained(out, output_loading_info=True)
        assert not info["missing_keys"] and not info["mismatched_keys"]


def test_half_precision_is_widened(source, out):
    values = variables(source)
    rewrite(source, {name: v.astype(np.float16) for name, v in values.items()})
    convert(source, out)
    with safe_open(out / "model.safetensors", "numpy") as file:
        found = file.get_tensor("cls.predictions.bias")
    assert found.dtype == np.float32
    assert (found == values["cls/predictions/output_bias"].astype(np.float16).astype(np.float32)).all()


def test_progress_counts_the_bytes(out):
    told: list[tuple[int, int]] = []
    convert(FIXTURES / "pretraining", out, progress=lambda done, total: told.append((done, total)))
    assert len(told) == 46 and told[-1][0] == told[-1][1] == 4 * 5594
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_the_case_comes_from_the_folders_name_or_the_caller(source, out, tmp_path):
    def written(**options) -> bool:
        folder = Path(shutil.copytree(source, tmp_path / options.pop("name"), dirs_exist_ok=True))
        made = convert(folder, out, **options)
        config = json.loads((out / "tokenizer_config.json").read_text(encoding="utf-8"))
        assert made["do_lower_case"] == config["do_lower_case"]
        return config["do_lower_case"]

    assert written(name="uncased_L-2") is True
    assert written(name="cased_L-2") is False
    assert written(name="cased_L-2", do_lower_case=True) is True
    assert written(name="folder") is True  # its vocabulary has no capitals


# --- refused -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "bert/encoder/layer_1/attention/output/LayerNorm/gamma", "bert/pooler/dense/bias",
        "cls/predictions/output_bias", "bert/embeddings/token_type_embeddings",
    ],
)  # fmt: skip
def test_a_missing_variable_is_named(source, out, name):
    values = variables(source)
    del values[name]
    rewrite(source, values)
    assert f"lacks the variable {name}." in refusal(source, out).message


def test_a_classifier_without_its_bias_is_refused(tmp_path, out):
    source = Path(shutil.copytree(FIXTURES / "classifier", tmp_path / "c"))
    values = variables(source)
    del values["output_bias"]
    rewrite(source, values)
    assert "lacks the variable output_bias." in refusal(source, out).message


def test_a_mis_shaped_variable_is_named_with_both_shapes(source, out):
    values = variables(source)
    values["bert/encoder/layer_0/intermediate/dense/kernel"] = np.zeros((16, 25), "f4")
    rewrite(source, values)
    message = refusal(source, out).message
    assert "bert/encoder/layer_0/intermediate/dense/kernel" in message
    assert (
        "has the shape [16, 25]" in message and "should be [16, 24] (hidden_size 16, intermediate_size 24)" in message
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_size": 18}, "has the shape [40, 16]; by bert_config.json it should be [40, 18]"),
        ({"vocab_size": 41}, "should be [41, 16] (vocab_size 41, hidden_size 16)"),
        ({"num_hidden_layers": 3}, "lacks the variable bert/encoder/layer_2/"),
        ({"num_hidden_layers": 1}, "bert/encoder/layer_1/attention/output/LayerNorm/beta"),
        ({"num_attention_heads": 3}, "hidden_size 16 can't be split among 3 attention heads"),
        ({"num_attention_heads": None}, "does not say num_attention_heads"),
        ({"hidden_size": "16"}, "hidden_size is '16', not a positive whole number"),
        ({"intermediate_size": -1}, "intermediate_size is -1"),
        ({"hidden_act": "swish"}, "hidden_act 'swish' is none of"),
    ],
)
def test_a_config_that_does_not_fit(source, out, changes, message):
    set_config(source, **changes)
    assert message in refusal(source, out).message


@pytest.mark.parametrize("name", ["bert_config.json", "vocab.txt", "bert_model.ckpt.data-00000-of-00001"])
def test_a_missing_file_is_named(source, out, name):
    (source / name).unlink()
    assert f"{name} is missing" in refusal(source, out).message


def test_damage_found_half_way_leaves_nothing(source, out):
    path = source / "bert_model.ckpt.data-00000-of-00001"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert "does not match its checksum" in refusal(source, out).message


def test_files_that_were_there_stay(source, out):
    (out / "README.md").write_text("mine", encoding="utf-8")
    (source / "bert_model.ckpt.data-00000-of-00001").unlink()
    with pytest.raises(CheckpointError):
        convert(source, out)
    assert [path.name for path in out.iterdir()] == ["README.md"]


def test_a_vocabulary_larger_than_the_model(source, out):
    with (source / "vocab.txt").open("a", encoding="utf-8") as file:
        file.write("one\nmore\n")
    assert "has 42 tokens, but the model knows 40" in refusal(source, out).message


def test_other_peoples_checkpoints_are_said_to_be_none_of_googles(source, out):
    rewrite(source, {"conv/kernel": np.zeros(3, "f4"), "conv/bias": np.zeros(3, "f4")})
    error = refusal(source, out)
    assert "Hugging Face folder" in error.fix
    assert "bert/embeddings/word_embeddings is missing (it holds conv/bias, conv/kernel)" in error.message
    shutil.copytree(FIXTURES / "object", source, dirs_exist_ok=True)
    assert "object-based checkpoint of TensorFlow 2" in refusal(source / "ckpt", out).message


def test_variables_without_a_place_are_not_dropped_in_silence(source, out):
    rewrite(source, variables(source) | {"adapter/kernel": np.zeros(3, "f4"), "global_step": np.array(3, "i8")})
    assert "have no place in the model: adapter/kernel." in refusal(source, out).message


@pytest.mark.parametrize("slot", ["adam_m", "Adam_1", "LAMB", "AdamWeightDecay_1"])
def test_slots_of_every_optimizer_and_counters_are_left_out(source, out, slot):
    found = variables(source)
    slots = {f"{name}/{slot}": np.zeros(value.shape, "f4") for name, value in found.items()}
    convert(source, out)
    before = (out / "model.safetensors").read_bytes()
    rewrite(source, found | slots | {"accum_step": np.array(3, "i8")})
    convert(source, out)
    assert (out / "model.safetensors").read_bytes() == before


def test_labels_must_be_as_many_as_classes(out):
    error = refusal(FIXTURES / "classifier", out, labels=["a"])
    assert "has 3 classes, but 1 labels were given" in error.message


# --- memory --------------------------------------------------------------------------------------------------------

_MEASURE = """
import resource, sys, threading, time
from pathlib import Path
from qtinker.convert import convert
import google_crc32c, numpy, tokenizers
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
convert(Path(sys.argv[1]), Path(sys.argv[2]))
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * (1 if sys.platform == "darwin" else 1024))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="the peak is told by getrusage")
def test_memory_stays_below_one_and_a_half_models(tmp_path, out):
    """A model of 130 MB in the proportions of BERT-Large; the peak counts mapped pages as well."""
    source = tmp_path / "large"
    source.mkdir()
    hidden, layers, words = 512, 8, 15_000
    shapes = {
        "bert/embeddings/word_embeddings": (words, hidden),
        "bert/embeddings/position_embeddings": (512, hidden),
        "bert/embeddings/token_type_embeddings": (2, hidden),
        "bert/embeddings/LayerNorm/gamma": (hidden,),
        "bert/embeddings/LayerNorm/beta": (hidden,),
    }
    for layer in range(layers):
        root = f"bert/encoder/layer_{layer}"
        dense = {f"attention/self/{part}": (hidden, hidden) for part in ("query", "key", "value")}
        dense |= {
            "attention/output/dense": (hidden, hidden),
            "intermediate/dense": (hidden, 4 * hidden),
            "output/dense": (4 * hidden, hidden),
        }
        for name, shape in dense.items():
            shapes |= {f"{root}/{name}/kernel": shape, f"{root}/{name}/bias": shape[1:]}
        for name in ("attention/output", "output"):
            shapes |= {f"{root}/{name}/LayerNorm/{part}": (hidden,) for part in ("gamma", "beta")}
    write_bundle(source / "bert_model.ckpt", {name: np.full(shape, 0.5, "f4") for name, shape in shapes.items()})
    shutil.copy(FIXTURES / "pretraining" / "vocab.txt", source)
    shutil.copy(FIXTURES / "pretraining" / "bert_config.json", source)
    set_config(
        source, hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=8, intermediate_size=4 * hidden,
        vocab_size=words, max_position_embeddings=512,
    )  # fmt: skip
    app = Path(__file__).parents[2] / "app"
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE, str(source), str(out)],
        capture_output=True, text=True, check=True, cwd=app,
    )  # fmt: skip
    size = (out / "model.safetensors").stat().st_size
    assert size > 120e6
    assert int(done.stdout) < 1.5 * size, f"peak {int(done.stdout) / size:.2f} times the model"
