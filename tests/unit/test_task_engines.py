"""Models of every task quantized, exported and run elsewhere: the same answers, in the same words."""

from __future__ import annotations

import random
import runpy
import subprocess
import sys

import pytest
import task_data
import tiny
import tokenizers
import torch
import transformers
from qtinker import checkpoint, model_folder
from qtinker.data import Examples
from qtinker.errors import CheckpointError
from qtinker.evaluate import evaluate
from qtinker.export import export
from qtinker.predict import Predictor
from qtinker.quantize import quantize
from qtinker.quantize.layers import bytes_by_part
from qtinker.runtime import engine_of, extras

needs_onnx = pytest.mark.skipif(not all(map(extras.has, extras.EXTRAS["onnx"])), reason="the extra onnx is not here")
needs_openvino = pytest.mark.skipif(
    not all(map(extras.has, extras.EXTRAS["openvino"])), reason="the extra openvino is not here"
)
needs_llama = pytest.mark.skipif(not all(map(extras.has, ("gguf", "llama_cpp"))), reason="the extra llama is not here")
needs_executorch = pytest.mark.skipif(not extras.has("executorch"), reason="the extra executorch is not here")
ASKED = {
    "question-answering": [("is the movie", "the scene was great and a plot"), ("was it", "the film is very bad")],
    "masked-lm": ["a [MASK] and a [MASK] film"],
}


def kept(folder, kind):
    """A model folder for a task of single texts, unless the task is one of pairs."""
    return task_data.kept(folder / kind, kind, pair=False)


def asked(kind):
    return ASKED.get(kind, ["the movie was very good", "a poor plot", "the actor is not quite fine and the scene"])


def close(given, expected):
    """The same answers, numbers apart by rounding: OpenVINO computes in 16 bits where that is native."""
    if isinstance(expected, dict):
        keys = expected.keys() - {"masks"}  # the best word is in `filled`; the others may change places
        return given.keys() == expected.keys() and all(close(given[key], expected[key]) for key in keys)
    if isinstance(expected, list):
        return len(given) == len(expected) and all(map(close, given, expected))
    return given == pytest.approx(expected, abs=0.03) if isinstance(expected, float) else given == expected


@pytest.mark.parametrize("kind", task_data.KINDS)
def test_int8_answers_as_its_source(tmp_path, kind):
    source = kept(tmp_path, kind)
    engine = "torchao" if kind in ("token-classification", "masked-lm") else "compressed-tensors"
    scheme = {"torchao": "int8-dynamic", "compressed-tensors": "int8-weight-only"}[engine]
    path = quantize(source, scheme, engine=engine, fresh=False)
    record = model_folder.read_meta(path)["quantization"]
    assert record["check"]["rows"] > 0 and record["check"]["agreement"] > 0.9
    assert 0 < record["check"]["logit_error"] < 0.1
    if kind == "masked-lm":  # its head reads the word embeddings as floats
        header = model_folder.safetensors_header(path / "model.safetensors")
        assert header["bert.embeddings.word_embeddings.weight"]["dtype"] == "F32"
    assert len(Predictor(path).predict(asked(kind))) == len(asked(kind))
    report = evaluate([source, path], None, calls=2, throughput_examples=4, isolate=False, max_examples=8)
    assert report.models[1].agreement > 0.8 and report.models[0].latency_ms["p50"] > 0


@pytest.mark.parametrize(("scheme", "most"), [("int8-weight-only", 0.9), ("int4-weight-only", 0.6), ("mixed", 0.6)])
def test_packing_writes_tied_weights_once(tmp_path, scheme, most):
    source = kept(tmp_path, "masked-lm")
    examples = ["the movie was very good"] * 40
    path = quantize(source, scheme, engine="compressed-tensors", check_rows=examples, fresh=False, force=True)
    headers = [model_folder.safetensors_header(folder / "model.safetensors") for folder in (source, path)]
    assert not any("decoder" in name for header in headers for name in header)
    before, after = (bytes_by_part(folder) for folder in (source, path))
    assert after["head"] <= before["head"] and sum(after.values()) < most * sum(before.values())


@pytest.mark.parametrize(
    ("kind", "form"),
    [
        ("question-answering", "torch-export"),
        pytest.param("question-answering", "onnx", marks=needs_onnx),
        pytest.param("token-classification", "openvino", marks=needs_openvino),
        pytest.param("question-answering", "openvino", marks=needs_openvino),
        pytest.param("masked-lm", "openvino", marks=needs_openvino),
        pytest.param("regression", "openvino", marks=needs_openvino),
        ("multi-label", "torch-export"),
        pytest.param("regression", "gguf", marks=needs_llama),
        pytest.param("multi-label", "executorch", marks=needs_executorch),
    ],
)
def test_exported_models_answer_as_their_source(tmp_path, kind, form):
    source = kept(tmp_path, kind)
    path = export(source, form, tmp_path / "out", fresh=False)
    engines = {"onnx": "onnxruntime", "torch-export": "torch.export", "gguf": "llama.cpp"}
    assert engine_of(path) == engines.get(form, form)
    assert close(Predictor(path).predict(asked(kind)), Predictor(source).predict(asked(kind)))
    given = list(asked(kind)[0]) if kind == "question-answering" else [asked(kind)[0]]
    ran = subprocess.run([sys.executable, path / "example.py", *given], capture_output=True, text=True, check=True)
    [answer] = Predictor(source).predict(asked(kind)[:1])
    lines = [line.split("\t") for line in ran.stdout.strip().splitlines()]
    expected = {
        "question-answering": lambda: lines[0][0] == answer["answer"],
        "token-classification": lambda: lines == [[each["word"], each["label"]] for each in answer["words"]],
        "masked-lm": lambda: lines[0][0].split(", ")[0] == answer["masks"][0][0]["word"],
        "multi-label": lambda: lines[0][0] == (", ".join(answer["labels"]) or "(none)"),
        "regression": lambda: float(lines[0][0]) == pytest.approx(answer["value"], abs=0.03),
    }[kind]
    assert expected()


def test_an_exports_example_reads_a_word_at_its_mark_where_that_is_a_token(tmp_path, monkeypatch, capsys):
    """ALBERT's tokens mark where a word begins; where the word is not one of them, the mark alone is its first."""
    made = task_data.model_for("token-classification")
    text = "bad, and don't 3.5 می\u200cخوا fine."  # a joiner parts no word
    tok = marked(["bad", "and"], letters=sorted(set(text)))
    config = transformers.AlbertConfig(
        vocab_size=len(tok), embedding_size=16, hidden_size=32, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=32, initializer_range=0.5, id2label=made.model.config.id2label,
        label2id=made.model.config.label2id,
    )  # fmt: skip
    torch.manual_seed(0)
    model = transformers.AlbertForTokenClassification(config).eval()
    task = {"type": "token-classification", "labels": list(config.id2label.values())}
    checkpoint.save(model, tok, tmp_path / "a", meta={"name": "a", "task": task, "max_length": 32})
    path = export(tmp_path / "a", "torch-export", tmp_path / "out", fresh=False)
    [answer] = Predictor(tmp_path / "a").predict([text])
    monkeypatch.setattr(sys, "argv", ["example.py", text])
    capsys.readouterr()
    runpy.run_path(str(path / "example.py"))
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert lines == [[each["word"], each["label"]] for each in answer["words"]]


def marked(words: list[str], letters: list[str]) -> transformers.PreTrainedTokenizerFast:
    """A tokenizer as ALBERT's."""
    pieces = [(token, 0.0) for token in ("<pad>", "<unk>", "[CLS]", "[SEP]")]
    pieces += [("\u2581", -3.0), *((f"\u2581{word}", -2.0) for word in words), *((letter, -3.0) for letter in letters)]
    backend = tokenizers.Tokenizer(tokenizers.models.Unigram(pieces, unk_id=1))
    backend.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    backend.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return transformers.PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="<pad>", unk_token="<unk>")


def test_an_exports_example_looks_for_the_answer_in_the_whole_context(tmp_path):
    source, words = kept(tmp_path, "question-answering"), (*task_data.REST, *task_data.BAD)
    path = export(source, "torch-export", tmp_path / "out", fresh=False)
    assert 'python example.py "a question" "its context"' in (path / "README.md").read_text(encoding="utf-8")
    generator, predictor = random.Random(0), Predictor(source)
    contexts = (" ".join(generator.choices(words, k=150)) for _ in range(50))
    context, answer = next(  # an answer that lies beyond the first window of 32 tokens
        (text, found["answer"]) for text in contexts
        if (found := predictor.predict([("is the movie", text)])[0])["start"] > len(" ".join(text.split()[:60]))
    )  # fmt: skip
    endless = "is the movie " * 20  # more than a window holds
    [cut] = predictor.predict([(endless, context)])
    for question, expected in (("is the movie", answer), (endless, cut["answer"])):
        ran = subprocess.run(
            [sys.executable, path / "example.py", question, context], capture_output=True, text=True, check=True
        )
        assert ran.stdout.split("\t")[0] == expected != ""


@pytest.mark.parametrize("kind", ["token-classification", "question-answering"])
def test_an_exports_example_cuts_words_as_predict_does_where_tokens_hold_spaces(tmp_path, monkeypatch, capsys, kind):
    made, tok = task_data.model_for(kind), tiny.byte_level()
    config = transformers.GPT2Config(
        vocab_size=len(tok), n_embd=32, n_layer=1, n_head=2, n_positions=64, initializer_range=0.5, bos_token_id=0,
        eos_token_id=0, id2label=made.model.config.id2label, label2id=made.model.config.label2id,
    )  # fmt: skip
    torch.manual_seed(1)
    model = getattr(transformers, f"GPT2{type(made.model).__name__.removeprefix('Bert')}")(config).eval()
    labels = list(config.id2label.values()) if kind == "token-classification" else []
    meta = {"name": "gpt", "kind": "finetuned", "task": {"type": kind, "labels": labels}, "max_length": 64}
    checkpoint.save(model, tok, tmp_path / "gpt", meta=meta)
    path = export(tmp_path / "gpt", "torch-export", tmp_path / "out", fresh=False)
    given = ("is it", "the film was quite good , not awful") if kind == "question-answering" else "a film, isn't bad"
    [answer] = Predictor(tmp_path / "gpt").predict([given])
    monkeypatch.setattr(sys, "argv", ["example.py", *([given] if isinstance(given, str) else given)])
    capsys.readouterr()
    runpy.run_path(str(path / "example.py"))
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    if kind == "question-answering":
        assert answer["start"] > 0 and lines[0][0] == answer["answer"] == answer["answer"].strip() != ""
    else:
        assert lines == [[each["word"], each["label"]] for each in answer["words"]]
        assert len({label for _, label in lines}) > 1


def test_a_folder_without_a_tokenizer_is_refused(tmp_path):
    folder = kept(tmp_path, "regression")
    for file in folder.glob("*token*"):
        file.unlink()
    with pytest.raises(CheckpointError, match=r"regression has no tokenizer.*Copy the tokenizer files"):
        checkpoint.load(folder)


def test_heads_are_kept_for_their_task_and_made_anew_for_another(tmp_path):
    from qtinker.tasks import MaskedLM, MultiLabel, QuestionAnswering, Regression, TokenClassification

    for kind, task, other in (
        ("regression", Regression(), QuestionAnswering()), ("question-answering", QuestionAnswering(), Regression()),
        ("token-classification", TokenClassification(("O", "B-blame", "B-praise")),
         TokenClassification(("O", "B-b", "I-b"))),
        ("multi-label", MultiLabel(task_data.TOPICS), TokenClassification(task_data.TOPICS)),
    ):  # fmt: skip
        folder = kept(tmp_path, kind)
        assert checkpoint.task_in(folder)["type"] == kind and not checkpoint.load(folder, task=task).new_head
        assert checkpoint.load(folder, task=other).new_head and not checkpoint.load(folder).new_head
    words = task_data.encoder(tmp_path, "encoder", layers=1, seed=0)
    assert checkpoint.task_in(words)["type"] == "masked-lm" and not checkpoint.has_trained_head(words)
    loaded = checkpoint.load(words, task=MaskedLM())
    tied = loaded.model.get_output_embeddings().weight is loaded.model.bert.embeddings.word_embeddings.weight
    assert tied and not loaded.new_head
    bare = checkpoint.load(task_data.encoder(tmp_path, "bare", layers=1, seed=0, words=False), task=MaskedLM(), seed=1)
    assert bare.new_head and type(bare.model).__name__ == "BertForMaskedLM"


def test_an_empty_text_and_a_long_one_are_answered(tmp_path):
    [empty, long] = Predictor(kept(tmp_path, "token-classification")).predict(["", "good " * 100])
    assert empty["words"] == [] and len(long["words"]) == 100 and long["words"][99]["label"] == "O"
    long_context = ("is the movie", "the plot was fine and " * 40)
    [answer] = Predictor(kept(tmp_path, "question-answering")).predict([long_context])
    assert answer["answer"] in long_context[1] and answer["answer"]


def test_wrong_kinds_of_texts_are_refused(tmp_path):
    from qtinker.errors import InputError

    with pytest.raises(InputError, match="takes pairs: a question and a context"):
        Predictor(kept(tmp_path, "question-answering")).predict(["only one"])
    with pytest.raises(InputError, match=r"has no \[MASK\].*finetune masked-lm --data FILE"):
        Predictor(kept(tmp_path, "masked-lm")).predict(["nothing is hidden"])
    with pytest.raises(InputError, match="takes one text, not pairs"):
        Predictor(kept(tmp_path, "token-classification")).predict([("a", "b")])
    with pytest.raises(InputError, match=r"was trained for masked-lm, and .* for question-answering"):
        evaluate([tmp_path / "question-answering", tmp_path / "masked-lm"], Examples(["a"], ["b"], form="spans"))
