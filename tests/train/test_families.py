"""Every architecture of the lists as teacher, and all but GPT-2 as student, in small and with random weights."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import tiny
import transformers
from qtinker import api, checkpoint, registry
from qtinker.compare import bounds, pairs
from qtinker.distill.students import cut_layers
from qtinker.errors import QTinkerError
from qtinker.quantize.schemes import SCHEMES

pytestmark = pytest.mark.train
STUDENTS = ("Bert", "DistilBert", "MobileBert", "Albert")
SHAPES = {"MiniLM": (6, 24, 12), "TinyBERT": (4, 36, 12)}
"""BERTs of other shapes: deep and narrow, with as many heads as a wide one. Layers, hidden units, heads."""


def tokenizer(kind: str):
    """ALBERT and GPT-2 have vocabularies of their own: here other words and another order, GPT-2 without a pad token
    and without [CLS]."""
    if kind == "GPT2":
        from tokenizers import Tokenizer, models, pre_tokenizers

        vocab = {word: number for number, word in enumerate(["<|endoftext|>", *reversed(tiny.WORDS)])}
        own = Tokenizer(models.WordLevel(vocab, unk_token="<|endoftext|>"))
        own.pre_tokenizer = pre_tokenizers.Whitespace()
        return transformers.PreTrainedTokenizerFast(
            tokenizer_object=own, unk_token="<|endoftext|>", eos_token="<|endoftext|>", bos_token="<|endoftext|>"
        )
    return tiny.tokenizer(tiny.WORDS[::-1] if kind == "Albert" else tiny.WORDS)


def put(kind: str, name: str, layers: int) -> None:
    made = tiny.bert(layers, 32, 4, kind=kind, seed=len(name)) if kind not in SHAPES else tiny.bert(*SHAPES[kind])
    cutter = tokenizer(kind)
    if kind == "GPT2":
        made.model.config.pad_token_id = None
        made.model.resize_token_embeddings(len(cutter))
        made.model.config.bos_token_id = made.model.config.eos_token_id = cutter.eos_token_id
    with registry.staged("hub", name) as folder:
        checkpoint.save(made.model.base_model, cutter, folder, meta={"name": name, "kind": "pretrained"})


@pytest.fixture
def home(qtinker_home, tmp_path):
    for kind in (*STUDENTS, "GPT2"):
        put(kind, f"{kind.lower()}-teacher", 3)
        if kind != "GPT2":
            put(kind, f"{kind.lower()}-student", 2)
    for kind in SHAPES:
        put(kind, kind.lower(), 0)
    examples = tiny.examples(96, seed=5)
    with open(tmp_path / "train.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        writer.writerows((t, tiny.LABELS[i]) for t, i in zip(examples.texts, examples.labels, strict=True))
    return tmp_path


SETTINGS = {"epochs": 1, "batch_size": 16, "lr": 1e-3, "teacher_epochs": 1, "teacher_learning_rate": 1e-3,
            "max_length": 32, "threads": 1, "precision": "fp32", "device": "cpu", "schemes": "none"}  # fmt: skip


def test_every_pair_by_logits_whatever_the_vocabularies(home):
    """Seven teachers, six students, vocabularies alike and apart; each teacher is finetuned once."""
    wanted = [f"{t.lower()}-teacher,{s.lower()}-student" for t in (*STUDENTS, "GPT2") for s in STUDENTS]
    for kind in map(str.lower, SHAPES):
        wanted += [f"{teacher}-teacher,{kind}" for teacher in ("bert", "albert", "gpt2")]
        wanted += [f"{kind},bert-student", f"{kind},albert-student"]
    wanted.append("minilm,tinybert")
    report = api.compare(data=home / "train.csv", custom_pairs=wanted, halving=False, **SETTINGS)
    assert [(each["candidate"], each["reason"]) for each in report["others"]] == []
    assert len(report["points"]) == len(wanted) == 31
    made = [entry.name for entry in registry.list_models() if entry.kind == "finetuned"]
    teachers = [*(f"{kind.lower()}-teacher" for kind in (*STUDENTS, "GPT2")), *map(str.lower, SHAPES)]
    assert sorted(made) == sorted(f"{name}-train" for name in teachers)
    for row in report["points"]:
        assert row["parameters"] > 0 and row["bytes"] > 0 and 0 <= row["score"] <= 1 and 0 <= row["agreement"] <= 1
    # The teacher's answers are kept once for a teacher and shared by its students.
    arrays = list((home / "home" / "cache" / "teacher").glob("*/logits.npy"))
    assert len(arrays) == 7
    page = Path(report["reports"]["html"]).read_text(encoding="utf-8")
    assert all(row["student"] in page for row in report["points"])


def test_what_other_methods_can_not_do_is_refused_with_the_reason(home):
    wanted = ["gpt2-teacher,bert-student", "albert-teacher,bert-student", "distilbert-teacher,bert-student"]
    report = api.compare(data=home / "train.csv", custom_pairs=wanted, halving=False,
                         methods="patient,feature,relations", **SETTINGS)  # fmt: skip
    said = {each["candidate"]: (each["status"], each["reason"]) for each in report["others"]}
    assert set(said) == {f"bert-student-from-{name}" for name in (
        "gpt2-teacher-patient", "gpt2-teacher-feature", "gpt2-teacher-relations", "albert-teacher-feature",
        "albert-teacher-relations")}  # fmt: skip
    assert "no [CLS] token" in said["bert-student-from-gpt2-teacher-patient"][1]
    for name in ("gpt2-teacher-feature", "albert-teacher-relations"):
        assert said[f"bert-student-from-{name}"][0] == "refused"
        assert "different vocabularies" in said[f"bert-student-from-{name}"][1]
    assert {row["method"] for row in report["points"] if row["teacher"] == "distilbert-teacher"} == {
        "patient", "feature", "relations"
    }  # fmt: skip


@pytest.mark.parametrize("kind", [*STUDENTS, "GPT2"])
def test_layers_can_be_cut_unless_they_are_shared(home, kind):
    loaded = checkpoint.load(registry.resolve(f"{kind.lower()}-teacher"), task=tiny.task())
    if kind == "Albert":
        with pytest.raises(QTinkerError, match="all its layers are one"):
            cut_layers(loaded, [0, 2], task=tiny.task())
        return
    short = cut_layers(loaded, [0, 2], task=tiny.task())
    batch = loaded.tokenizer(["good movie", "a bad film"], padding=True, return_tensors="pt")
    inputs = {name: batch[name] for name in checkpoint.model_inputs(short.model)}
    assert short.model(**inputs).logits.shape == (2, 2)


@pytest.mark.parametrize("kind", STUDENTS)
def test_the_size_is_known_before_training(home, kind):
    """The formula's bytes against those of the file, for each scheme that PyTorch alone makes."""
    student = tiny.bert(2, 128, 4, kind=kind)
    with registry.staged("finetuned", "trained") as folder:
        checkpoint.save(student.model, student.tokenizer, folder, meta={"kind": "finetuned"})
    bare = bounds.skeleton(pairs.student_spec("trained"), registry.resolve("bert-teacher"), task=tiny.task())
    real = (registry.resolve("trained") / "model.safetensors").stat().st_size
    assert bounds.weight_bytes(bare) == pytest.approx(real, rel=0.02)
    for scheme in ("int8-dynamic", "int4-weight-only"):
        engine = SCHEMES[scheme].engines[0]
        made = api.quantize("trained", scheme=scheme, engine=engine, name=scheme, force=True, fresh=False)
        assert bounds.weight_bytes(bare, scheme) == pytest.approx(made["bytes"], rel=0.06), scheme
        registry.remove(f"quantized/{scheme}")
    config = json.loads((registry.resolve("trained") / "config.json").read_text(encoding="utf-8"))
    assert config["model_type"] == kind.lower()
