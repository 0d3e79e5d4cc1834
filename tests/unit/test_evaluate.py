"""Measuring: hand-checked metrics, labels matched by name, each model with its own tokenizer, nothing slower unsaid."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
import tiny
import torch
from qtinker import checkpoint, home, measure, registry
from qtinker.data import Examples
from qtinker.errors import CheckpointError, InputError, QTinkerError
from qtinker.evaluate import _compare_speed, evaluate, label_order
from qtinker.measure import Job, measure_in_child
from qtinker.predict import Predictor
from qtinker.report import ModelReport
from qtinker.spec import DataSpec

QUICK = {"calls": 0, "isolate": False}


def keep(name, loaded, labels=tiny.LABELS):
    with torch.no_grad():
        for weight in loaded.model.parameters():
            weight.mul_(5 if weight.ndim == 2 else 1)
    meta = {"name": name, "kind": "finetuned", "task": tiny.task(labels).to_meta(), "max_length": 32}
    with registry.staged("distilled", name) as folder:
        checkpoint.save(loaded.model, loaded.tokenizer, folder, meta=meta)
    return home.models_dir() / "distilled" / name


def swapped(loaded):
    """The same model with its two outputs, and their names, in the other order."""
    with torch.no_grad():
        for parameter in loaded.model.classifier.parameters():
            parameter.copy_(parameter.flip(0))
    loaded.model.config.id2label = {0: "good", 1: "bad"}
    loaded.model.config.label2id = {"good": 0, "bad": 1}
    return loaded


def test_metrics_are_those_of_the_answers():
    keep("one", tiny.bert())
    examples = tiny.examples(40, unlabelled=4)
    report = evaluate(["one"], examples, **QUICK)
    answers = Predictor("one").logits(examples).argmax(-1)[4:]
    truth = examples.labels[4:]
    [model] = report.to_dict()["models"]
    assert model["metrics"]["accuracy"] == pytest.approx((answers == truth).mean())
    scores = []
    for label in (0, 1):
        hit = ((answers == label) & (truth == label)).sum()
        scores.append(2 * hit / ((answers == label).sum() + (truth == label).sum()))
    assert model["metrics"]["macro_f1"] == pytest.approx(np.mean(scores))
    assert (model["agreement"], model["max_logit_difference"], model["latency_ms"]) == (1.0, 0.0, None)
    weights = home.models_dir() / "distilled" / "one" / "model.safetensors"
    assert model["bytes"] == weights.stat().st_size and model["weight_files"] == ["model.safetensors"]
    assert model["parameters"] == sum(weight.numel() for weight in tiny.bert().model.parameters())
    assert report.data["examples"] == 40 and report.data["labelled"] == 36


def test_labels_in_another_order_are_matched_by_name():
    keep("one", tiny.bert())
    keep("other", swapped(tiny.bert()), ("good", "bad"))
    report = evaluate(["one", "other"], tiny.examples(40), **QUICK)
    first, second = report.models
    assert second.agreement == 1.0 and second.max_logit_difference == pytest.approx(0, abs=1e-5)
    assert first.metrics == second.metrics
    turned = evaluate(["other", "one"], tiny.examples(40), labels=tiny.LABELS, **QUICK)
    assert turned.models[0].metrics == first.metrics


def test_models_with_different_tokenizers_are_measured_each_with_its_own():
    keep("one", tiny.bert())
    backwards = tiny.bert(words=tiny.WORDS[::-1])
    with torch.no_grad():  # the same words have the same vectors under other numbers
        table = backwards.model.bert.embeddings.word_embeddings.weight
        table[5:] = table[5:].flip(0)
    keep("other", backwards)
    report = evaluate(["one", "other"], tiny.examples(30), **QUICK)
    assert report.models[1].agreement == 1.0
    assert report.models[1].max_logit_difference == pytest.approx(0, abs=1e-4)


def test_other_labels_are_refused_by_name():
    keep("one", tiny.bert())
    keep("three", tiny.bert(labels=("a", "b", "c")), ("a", "b", "c"))
    with pytest.raises(InputError, match="three answers a, b, c, but what it is compared with has bad, good"):
        evaluate(["one", "three"], tiny.examples(4), **QUICK)


def test_label_order_by_hand():
    warnings: list[str] = []
    assert label_order(["c", "a", "b"], ["a", "b", "c"], "m", warnings) == [1, 2, 0]
    assert label_order(["Good", "BAD"], ["bad", "good"], "m", warnings) == [1, 0]
    assert label_order(["LABEL_0", "LABEL_1"], ["0", "1"], "m", warnings) == [0, 1]
    assert warnings == []
    assert label_order(["LABEL_0", "LABEL_1"], ["bad", "good"], "m", warnings) == [0, 1]
    assert "numbers instead of names" in warnings[0]
    with pytest.raises(InputError):
        label_order(["a", "A"], ["a", "b"], "m", warnings)


def test_data_is_read_with_the_models_labels(tmp_path):
    keep("one", tiny.bert())
    file = tmp_path / "eval.csv"
    file.write_text("text,label\nthe movie was good,good\nawful film,bad\na plot,bad\n", encoding="utf-8")
    report = evaluate(["one"], DataSpec(train=str(file)), **QUICK)
    answers = Predictor("one").predict(["the movie was good", "awful film", "a plot"])
    right = np.mean([answer["label"] == truth for answer, truth in zip(answers, ("good", "bad", "bad"), strict=True)])
    assert report.models[0].metrics["accuracy"] == pytest.approx(right)
    assert report.data["labels"] == ["bad", "good"]


def test_what_of_a_file_is_measured_on_is_told(tmp_path):
    keep("one", tiny.bert())
    file = tmp_path / "eval.csv"
    rows = ["the movie was good,what a film it is,good", "awful film it was,no film at all,", "and none of it,,bad"]
    file.write_text("\n".join(["title,content,label", *rows]) + "\n", encoding="utf-8")
    report = evaluate(["one"], DataSpec(train=str(file)), **QUICK)
    assert report.warnings == [
        "text: column 'content' (by name)", "not used: 'title'", f"{file}: 1 rows without text were left out.",
        "1 of 2 evaluation examples have no label and don't count.",
    ]  # fmt: skip


def test_without_labels_there_is_agreement_but_no_accuracy():
    keep("one", tiny.bert())
    keep("two", tiny.bert(seed=1))
    rows = tiny.examples(30)
    report = evaluate(["one", "two"], Examples(rows.texts), **QUICK)
    same = Predictor("one").logits(rows).argmax(-1) == Predictor("two").logits(rows).argmax(-1)
    assert any(text.startswith("The data has no labels: answers are compared with") for text in report.warnings)
    assert report.models[1].metrics == {} and report.models[1].agreement == pytest.approx(same.mean())


def test_speed_and_memory_are_measured_in_a_process_of_its_own():
    keep("one", tiny.bert())
    report = evaluate(["one"], tiny.examples(12), calls=3, throughput_examples=8, threads=1)
    [model] = report.models
    assert model.latency_ms is not None and 0 < model.latency_ms["p50"] <= model.latency_ms["p95"]
    assert model.examples_per_second is not None and model.examples_per_second > 0
    assert model.peak_memory_bytes is not None and model.peak_memory_bytes > 50e6
    assert model.model_memory_bytes is not None and model.model_memory_bytes < model.peak_memory_bytes
    assert model.threads == 1 and report.environment["threads"] == 1 and report.environment["cpu"]
    here = evaluate(["one"], tiny.examples(12), **QUICK).models[0]
    assert here.metrics == model.metrics and here.peak_memory_bytes is None


def test_a_file_of_the_users_is_not_taken_for_a_library(tmp_path, monkeypatch):
    """A child looked for modules in the current folder first."""
    (tmp_path / "random.py").write_text("raise SystemExit('a file of the user')")
    monkeypatch.chdir(tmp_path)
    path = keep("one", tiny.bert(1, 16))
    assert measure_in_child(Job(str(path), calls=0), tiny.examples(2)).logits.shape == (2, 2)


def test_a_slow_model_is_timed_on_long_texts_too(monkeypatch):
    """Time may be over before the last batch; from short to long, the long ones were left out."""
    given = []
    monkeypatch.setattr(measure, "_timed", lambda runtime, batches: given.append(batches) or [1.0] * len(batches))
    keep("one", tiny.bert(1, 16))
    texts = [" ".join(["good"] * (1 + number % 25)) for number in range(64)]
    evaluate(["one"], Examples(texts), calls=1, throughput_examples=64, batch_size=8, isolate=False)
    lengths = [batch["input_ids"].shape[1] for batch in given[-1]]
    assert len(lengths) == 8 and lengths != sorted(lengths) and max(lengths) > 2 * min(lengths)


def test_a_child_hands_back_what_went_wrong(tmp_path):
    loaded = tiny.bert()
    loaded.model.bert.save_pretrained(tmp_path / "encoder")
    loaded.tokenizer.save_pretrained(tmp_path / "encoder")
    with pytest.raises(CheckpointError, match="encoder has no trained head"):
        measure_in_child(Job(path=str(tmp_path / "encoder")), tiny.examples(2))
    keep("trained", tiny.bert())
    told: list[str] = []
    with pytest.raises(CheckpointError, match="encoder has no trained head"):
        evaluate(["trained", tmp_path / "encoder"], tiny.examples(4), progress=told.append, **QUICK)
    assert told == [], "before anything is measured"


def test_a_child_that_dies_is_told_with_its_last_words():
    wrong = Job(path=str(keep("one", tiny.bert())), batch_size="many")  # type: ignore[arg-type]
    with pytest.raises(QTinkerError, match=r"that ran one ended with status 1: .*TypeError"):
        measure_in_child(wrong, tiny.examples(2))


def model_report(name, p50, per_second, **more):
    fields = dict.fromkeys(ModelReport.__dataclass_fields__) | {"name": name, "path": name, "parameters": 5, **more}
    return ModelReport(**{**fields, "latency_ms": {"p50": p50, "p95": p50}, "examples_per_second": per_second})


def test_a_quantized_model_that_is_slower_is_never_silent():
    warnings: list[str] = []
    source = model_report("big", 10.0, 100.0)
    slow = model_report("slow", 25.0, 50.0, quantization={"scheme": "x"}, source="big")
    half = model_report("half", 5.0, 50.0, quantization={"scheme": "x"}, source="big")
    alone = model_report("alone", 40.0, 25.0, quantization={"scheme": "x"}, source="not measured here")
    fast = model_report("fast", 5.0, 200.0, quantization={"scheme": "x"}, source="big")
    four = model_report("four", 40.0, 25.0, format="gguf-q4_0", source="big")
    _compare_speed([source, slow, half, alone, fast, four], warnings)
    assert warnings == [
        "slow is 2.5 times slower for one example and 2.0 times slower in batches than its source big on this "
        "processor.",
        "half is 2.0 times slower in batches than its source big on this processor.",
        "four is 4.0 times slower for one example and 4.0 times slower in batches than its source big on this "
        "processor.",
    ]
    assert (slow.speedup, fast.speedup, source.speedup, alone.speedup) == (0.4, 2.0, None, None)


def test_report_as_json_and_csv():
    keep("one", tiny.bert())
    report = evaluate(["one"], tiny.examples(8), **QUICK)
    assert json.loads(report.to_json())["models"][0]["name"] == "one"
    [row] = csv.DictReader(io.StringIO(report.to_csv()))
    assert row["name"] == "one" and float(row["metrics.accuracy"]) == report.models[0].metrics["accuracy"]


def test_nothing_to_measure_is_refused():
    with pytest.raises(InputError, match="no model"):
        evaluate([], None)
    keep("one", tiny.bert())
    with pytest.raises(InputError, match="no examples"):
        evaluate(["one"], Examples([]), **QUICK)


def test_at_most_so_many_examples_by_seed():
    keep("one", tiny.bert())
    report = evaluate(["one"], tiny.examples(30), max_examples=7, **QUICK)
    assert report.data["examples"] == 7
    assert report.models[0].metrics == evaluate(["one"], tiny.examples(30), max_examples=7, **QUICK).models[0].metrics
