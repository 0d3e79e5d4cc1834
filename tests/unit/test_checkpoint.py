"""Model folders: what is saved loads back the same, heads are told apart, damaged folders are named."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import tiny
import torch
import transformers
from qtinker import checkpoint, model_folder
from qtinker.errors import CheckpointError

META = {"name": "tiny", "kind": "finetuned", "task": tiny.task().to_meta(), "metrics": {"accuracy": 0.5}}


def answer(loaded, text: str = "the movie was very good") -> torch.Tensor:
    inputs = loaded.tokenizer(text, return_tensors="pt")
    with torch.no_grad():
        return loaded.model(**{name: inputs[name] for name in checkpoint.model_inputs(loaded.model)}).logits


@pytest.mark.parametrize("kind", ["Bert", "DistilBert", "MobileBert", "Albert", "GPT2"])
def test_saved_and_loaded_is_the_same(tmp_path, kind):
    source = tiny.bert(kind=kind)
    checkpoint.save(source.model, source.tokenizer, tmp_path / "m", meta=META)
    loaded = checkpoint.load(tmp_path / "m", task=tiny.task())
    assert not loaded.new_head and loaded.labels == list(tiny.LABELS) and loaded.name == "tiny"
    assert torch.equal(answer(loaded), answer(source))
    assert checkpoint.has_trained_head(tmp_path / "m")
    bare = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "m")
    tokens = transformers.AutoTokenizer.from_pretrained(tmp_path / "m")("the movie was very good")["input_ids"]
    assert tokens == source.tokenizer("the movie was very good")["input_ids"]
    assert tokens.count(source.tokenizer.unk_token_id) == 0
    assert all(torch.equal(a, b) for a, b in zip(bare.parameters(), source.model.parameters(), strict=True))
    meta = json.loads((tmp_path / "m" / "qtinker.json").read_text(encoding="utf-8"))
    assert meta["parameters"] == source.model.num_parameters()
    assert "| accuracy | 0.5000 |" in (tmp_path / "m" / "README.md").read_text(encoding="utf-8")


def pretrained(folder) -> None:
    config = tiny.bert().model.config
    torch.manual_seed(1)
    checkpoint.save(
        transformers.BertForPreTraining(config), tiny.tokenizer(), folder, meta={"name": "p", "kind": "pretrained"}
    )


def test_an_encoder_gets_a_seeded_head(tmp_path):
    pretrained(tmp_path / "p")
    assert not checkpoint.has_trained_head(tmp_path / "p")
    first, again, other = (checkpoint.load(tmp_path / "p", task=tiny.task(), seed=seed) for seed in (1, 1, 2))
    assert first.new_head and first.labels == list(tiny.LABELS)
    assert torch.equal(first.model.classifier.weight, again.model.classifier.weight)
    assert not torch.equal(first.model.classifier.weight, other.model.classifier.weight)
    encoder, source = first.model.bert, transformers.BertForPreTraining.from_pretrained(tmp_path / "p").bert
    assert all(torch.equal(a, b) for a, b in zip(encoder.parameters(), source.parameters(), strict=True))
    assert type(checkpoint.load(tmp_path / "p").model).__name__ == "BertModel"


def test_other_labels_get_a_new_head(tmp_path):
    source = tiny.bert()
    checkpoint.save(source.model, source.tokenizer, tmp_path / "m", meta=META)
    assert checkpoint.load(tmp_path / "m", labels=["good", "worse"]).new_head
    three = checkpoint.load(tmp_path / "m", num_labels=3)
    assert three.new_head and three.model.classifier.out_features == 3
    assert not checkpoint.load(tmp_path / "m", num_labels=2).new_head


@pytest.mark.parametrize("own", [("bad", "good", "so-so"), ("BAD", "Good", "So-so")])
def test_a_head_follows_the_order_of_the_labels(tmp_path, own):
    source = tiny.bert(labels=own)
    checkpoint.save(source.model, source.tokenizer, tmp_path / "m", meta={"name": "m", "kind": "finetuned"})
    text = source.tokenizer("good movie", return_tensors="pt")
    said = source.model(**text).logits[0].detach()
    loaded = checkpoint.load(tmp_path / "m", task=tiny.task(labels=("so-so", "bad", "good")))
    assert not loaded.new_head and loaded.labels == ["so-so", "bad", "good"]
    assert torch.equal(loaded.model(**text).logits[0], said[[2, 0, 1]])
    checkpoint.save(loaded.model, loaded.tokenizer, tmp_path / "again", meta={"name": "again", "kind": "finetuned"})
    assert checkpoint.load(tmp_path / "again").labels == ["so-so", "bad", "good"]


def test_loading_leaves_the_random_numbers_alone(tmp_path):
    pretrained(tmp_path / "p")
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    checkpoint.load(tmp_path / "p", task=tiny.task())
    assert torch.equal(torch.rand(2), expected)


def test_damaged_and_foreign_folders_are_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"no model folder: it has no config\.json"):
        checkpoint.load(tmp_path)
    source = tiny.bert()
    checkpoint.save(source.model, source.tokenizer, tmp_path / "m", meta=META)
    weights = tmp_path / "m" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match=r"model\.safetensors is truncated"):
        checkpoint.load(tmp_path / "m")


def test_a_model_card_may_be_written_into_and_another_file_changed_by_hand_says_how_to_go_on(tmp_path):
    source, folder = tiny.bert(), tmp_path / "m"
    checkpoint.save(source.model, source.tokenizer, folder, meta=META)
    with (folder / "README.md").open("a") as card:
        card.write("Trained for the shop's front page.\n")
    assert model_folder.damage(folder) is None
    with (folder / "config.json").open("a") as config:
        config.write("\n")
    assert "If you changed it on purpose: python3 app import" in (model_folder.damage(folder) or "")


def test_a_folder_without_all_weights_is_refused(tmp_path):
    from safetensors.torch import load_file, save_file

    source = tiny.bert()
    checkpoint.save(source.model, source.tokenizer, tmp_path / "m", meta=META)
    tensors = load_file(tmp_path / "m" / "model.safetensors")
    del tensors["bert.encoder.layer.1.output.dense.weight"]
    save_file(tensors, tmp_path / "m" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"has no bert\.encoder\.layer\.1\.output\.dense\.weight"):
        checkpoint.load(tmp_path / "m")


def test_a_head_of_another_size_than_the_config_says_can_only_be_replaced(tmp_path):
    source = tiny.bert(labels=("a", "b", "c"))
    checkpoint.save(source.model, source.tokenizer, tmp_path / "m", meta={"name": "m", "kind": "finetuned"})
    config = json.loads((tmp_path / "m" / "config.json").read_text(encoding="utf-8"))
    del config["id2label"], config["label2id"]
    (tmp_path / "m" / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"classifier\.bias is 3 in the weights, and 2 by config\.json"):
        checkpoint.load(tmp_path / "m")
    four = checkpoint.load(tmp_path / "m", num_labels=4)
    assert four.new_head and four.model.classifier.out_features == 4


def test_gpt2_classifies_at_the_last_real_token(tmp_path):
    """The same text must get the same answer alone and padded in a batch."""
    source = tiny.bert(kind="GPT2")
    source.model.config.pad_token_id = None
    checkpoint.save(source.model, source.tokenizer, tmp_path / "g", meta=META)
    loaded = checkpoint.load(tmp_path / "g")
    assert loaded.model.config.pad_token_id == loaded.tokenizer.pad_token_id
    inputs = loaded.tokenizer(["good", "the movie was very good"], padding=True, return_tensors="pt")
    with torch.no_grad():
        both = loaded.model(**{name: inputs[name] for name in checkpoint.model_inputs(loaded.model)}).logits
    assert torch.allclose(both[0], answer(loaded, "good")[0], atol=1e-5)


def test_model_inputs():
    taken = {kind: checkpoint.model_inputs(tiny.bert(kind=kind).model) for kind in ("Bert", "DistilBert", "GPT2")}
    assert "token_type_ids" in taken["Bert"]
    assert taken["DistilBert"] == taken["GPT2"] == ("input_ids", "attention_mask")


def test_importing_it_costs_no_torch():
    code = "import sys, qtinker.checkpoint; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": "app"}, cwd=tiny.ROOT).returncode == 0
