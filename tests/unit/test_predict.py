"""Answers: right label and probability for each text in its own place, whatever the batch; bad input is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tiny
import torch
import transformers
from qtinker import checkpoint, home, registry
from qtinker.answers import length_batches
from qtinker.errors import CheckpointError, InputError
from qtinker.predict import Predictor, as_examples, predict
from qtinker.ui.texts import Texts


@pytest.fixture
def model(request):
    loaded, pair = tiny.bert(2, 32), getattr(request, "param", False)
    with torch.no_grad():
        for weight in loaded.model.parameters():
            weight.mul_(5 if weight.ndim == 2 else 1)
    with registry.staged("distilled", "answers") as folder:
        checkpoint.save(
            loaded.model, loaded.tokenizer, folder,
            meta={"name": "answers", "task": tiny.task().to_meta() | {"pair": pair}},
        )  # fmt: skip
    return loaded.model, loaded.tokenizer


def test_answers_are_those_of_the_plain_model(model):
    network, tokenizer = model
    texts = ["the movie was very good", "awful", "a plot and a scene but not the film", "good"]
    answers = predict("answers", texts, batch_size=2)
    assert [answer["text"] for answer in answers] == texts
    for text, answer in zip(texts, answers, strict=True):
        with torch.no_grad():
            shares = network(**tokenizer(text, return_tensors="pt")).logits[0].double().softmax(-1)
        assert answer["probabilities"] == pytest.approx({"bad": shares[0].item(), "good": shares[1].item()}, abs=1e-5)
        assert answer["label"] == max(answer["probabilities"], key=answer["probabilities"].get)
        assert answer["score"] == answer["probabilities"][answer["label"]]


def test_an_empty_text_of_which_no_token_comes_is_answered_whatever_its_batch(tmp_path):
    """GPT-2's tokenizer puts nothing around a text."""
    tok, made = tiny.byte_level(), tiny.bert(1, 32, kind="GPT2")
    config = transformers.GPT2Config(**{**made.model.config.to_dict(), "vocab_size": len(tok), "pad_token_id": 0})
    network = transformers.GPT2ForSequenceClassification(config).eval()
    checkpoint.save(network, tok, tmp_path / "gpt", meta={"name": "gpt", "task": tiny.task().to_meta()})
    [alone] = predict(tmp_path / "gpt", [""])
    beside, _ = predict(tmp_path / "gpt", ["", "the movie was very good"])
    assert beside["probabilities"] == pytest.approx(alone["probabilities"], abs=1e-6)
    network = transformers.GPT2ForQuestionAnswering(config).eval()
    meta = {"name": "asked", "task": {"kind": "question-answering", "labels": []}}
    checkpoint.save(network, tok, tmp_path / "asked", meta=meta)
    nothing, some = predict(tmp_path / "asked", [("", ""), ("who", "the cat")])
    assert (nothing["answer"], nothing["start"], nothing["end"]) == ("", 0, 0)
    assert some["answer"] == "the cat"[some["start"] : some["end"]]


def test_empty_long_and_odd_texts_are_answered(model):
    texts = ["", " ", "good " * 5000, "\u2028\x00\ud800 good", "ありがとう", "🎬" * 300]
    answers = predict("answers", texts)
    assert len(answers) == len(texts)
    assert all(sum(answer["probabilities"].values()) == pytest.approx(1) for answer in answers)
    longest = Predictor("answers").predict(["good " * 62])[0]
    assert answers[2]["probabilities"] == pytest.approx(longest["probabilities"], abs=1e-5)


@pytest.mark.parametrize("model", [True, None], indirect=True, ids=["trained on pairs", "not known"])
def test_pairs_are_answered_as_pairs(model):
    network, tokenizer = model
    [answer] = predict("answers", [("the movie was good", "a very bad film")])
    assert (answer["text"], answer["pair"]) == ("the movie was good", "a very bad film")
    with torch.no_grad():
        inputs = tokenizer("the movie was good", "a very bad film", return_tensors="pt")
        shares = network(**inputs).logits[0].softmax(-1)
    assert answer["probabilities"]["good"] == pytest.approx(shares[1].item(), abs=1e-5)


def test_single_texts_and_pairs_are_not_mistaken_for_each_other(model):
    with pytest.raises(InputError, match="answers takes one text, not pairs"):
        predict("answers", [("the movie was good", "a very bad film")])


@pytest.mark.parametrize("model", [True], indirect=True)
def test_a_model_of_pairs_asks_for_the_second_text(model):
    with pytest.raises(InputError, match=r"takes pairs of texts\. Give a second text for each \(--pair\)"):
        predict("answers", ["the movie was good"])


def test_no_text_no_answer(model):
    assert predict("answers", []) == []


def test_what_is_no_text_is_refused():
    with pytest.raises(InputError, match="some are pairs"):
        as_examples(["one", ("two", "three")])
    for wrong in (5, ("one", "two", "three"), None, ["one", 2]):
        with pytest.raises(InputError, match="text or a pair of texts"):
            as_examples([wrong])
    assert list(as_examples("one text").texts) == ["one text"]


def test_an_untrained_head_is_refused_with_the_command_that_trains_it(tmp_path):
    loaded = tiny.bert()
    loaded.model.bert.save_pretrained(tmp_path / "encoder")
    loaded.tokenizer.save_pretrained(tmp_path / "encoder")
    with pytest.raises(CheckpointError, match="no trained head") as caught:
        predict(tmp_path / "encoder", ["good"])
    assert caught.value.fix == "Train it first: python3 app finetune encoder --data FILE"


@pytest.mark.parametrize("kind", ["Roberta", "Electra"])
def test_a_trained_model_of_another_kind_is_not_called_untrained(tmp_path, kind):
    config = getattr(transformers, f"{kind}Config")(
        vocab_size=40, hidden_size=8, embedding_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8
    )
    getattr(transformers, f"{kind}ForSequenceClassification")(config).save_pretrained(tmp_path / "m")
    tiny.tokenizer().save_pretrained(tmp_path / "m")
    with pytest.raises(CheckpointError, match=f"models of type '{kind.lower()}' are not supported") as caught:
        predict(tmp_path / "m", ["good"])
    assert caught.value.fix == "Supported are bert, distilbert, albert, mobilebert, gpt2."


def test_a_head_that_the_config_does_not_name_is_not_called_untrained(tmp_path):
    loaded = tiny.bert()
    loaded.model.save_pretrained(tmp_path / "m")
    loaded.tokenizer.save_pretrained(tmp_path / "m")
    config = json.loads((tmp_path / "m" / "config.json").read_text(encoding="utf-8"))
    del config["architectures"]
    (tmp_path / "m" / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(CheckpointError, match="does not say what the model's head is for: it names no arch") as caught:
        predict(tmp_path / "m", ["good"])
    assert '"architectures": ["BertForSequenceClassification"]' in caught.value.fix
    for said in (caught.value.message, caught.value.fix):
        assert "architectures" in Texts("zh").said(said) and "import" not in Texts("zh").said(said)


def test_devices_that_are_not_there_are_refused(model):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(InputError, match=r"finds 0 NVIDIA GPUs.*--device auto"):
        predict("answers", ["good"], device="cuda")


def test_a_folder_without_weights_is_refused(model):
    folder = home.models_dir() / "distilled" / "answers"
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"model\.safetensors is missing"):
        predict("answers", ["good"])


def test_batches_hold_each_example_once_longest_first():
    batches = length_batches([3, 9, 1, 9, 5], 2)
    assert [batch.tolist() for batch in batches] == [[1, 3], [4, 0], [2]]
    assert sorted(np.concatenate(length_batches(range(1000), 32))) == list(range(1000))
