"""Trimmed vocabularies: what is kept, that covered text is answered bit for bit as before, and what is refused."""

from __future__ import annotations

import json
import os
import threading
from types import SimpleNamespace

import numpy as np
import pytest
import task_data
import tiny
import torch
import transformers
from qtinker import api, checkpoint, home, model_folder, phases, registry
from qtinker.cli import main
from qtinker.data import Examples
from qtinker.distill.students import build_student
from qtinker.errors import InputError, QTinkerError
from qtinker.predict import Predictor
from qtinker.quantize import SCHEMES, quantize
from qtinker.quantize.schemes import CPU_ENGINES
from qtinker.spec import RunSpec
from qtinker.tokenizer_files import write_tokenizer
from qtinker.vocabulary import tokens, trim
from qtinker.vocabulary.make import _refuse_unequal, find_needs
from qtinker.vocabulary.rewrite import trim_state

PIECES = ["un", "##believ", "##able", "##a", "##b", "b", "ab", "##bc", "##x", "кино", "фильм", "1998", "[unused1]"]
WORDS = [*tiny.WORDS, *PIECES]


def make_source(words=WORDS, *, name="teacher", kind="Bert"):
    loaded = tiny.bert(1, 32, words=words, kind=kind)
    with torch.no_grad():
        for weight in loaded.model.parameters():
            weight.mul_(5 if weight.ndim == 2 else 1)
    meta = {"name": name, "kind": "finetuned", "task": tiny.task().to_meta(), "max_length": 32, "licence": "MIT"}
    with registry.staged("finetuned", name) as folder:
        checkpoint.save(loaded.model, loaded.tokenizer, folder, meta=meta)
    return home.models_dir() / "finetuned" / name


def backend(words=WORDS):
    return tokens.wordpiece(tiny.tokenizer(words), "tiny")


def kept(texts, words=WORDS, scripts=()):
    tok = backend(words)
    return {tok.id_to_token(number) for number in find_needs(tok, lambda: texts, scripts).kept}


def test_what_a_text_needs_is_kept_with_single_characters_and_special_tokens():
    singles = {"a", "b", "##a", "##b", "##x"}
    assert kept(["the movie was UNBELIEVABLE"]) == {
        *tiny.SPECIAL, *singles, "the", "movie", "was", "un", "##believ", "##able"
    }  # fmt: skip


def test_a_word_that_fails_still_fails():
    # `abx` starts with the longest token, `ab`; then `##x` follows. `abcb` fails after `ab` since there is no `##c`;
    # without `ab` it would be read as `a ##bc ##b`.
    assert {"ab", "##bc"} <= kept(["abcb", "a ubc"]) | {"##bc"}
    tok = backend()
    assert tok.encode("abcb", add_special_tokens=False).tokens == ["[UNK]"]
    state = trim_state(json.loads(tok.to_str()), find_needs(tok, lambda: ["abcb"], ()).kept)
    from tokenizers import Tokenizer

    assert Tokenizer.from_str(json.dumps(state)).encode("abcb", add_special_tokens=False).tokens == ["[UNK]"]


def test_scripts_keep_their_tokens_and_those_without_letters():
    found = kept([], scripts=["cyrillic"])
    assert {"кино", "фильм", "1998"} <= found and not found & {"movie", "[unused1]"}
    with pytest.raises(InputError, match=r"script 'klingon'.*It has: cyrillic, latin"):
        kept([], scripts=["klingon"])


def test_held_back_texts_tell_how_much_new_text_is_not_covered():
    # Of 100 texts every tenth is held back; three tokens each, of which `plot` is in the held-back ones alone.
    texts = ["plot the a" if at % 10 == 0 else "the a movie" for at in range(100)]
    needs = find_needs(backend(), lambda: texts, ())
    assert needs.unseen == pytest.approx(1 / 3) and needs.texts == 100
    assert find_needs(backend(), lambda: texts[:50], ()).unseen is None


def test_covered_texts_give_the_same_bits():
    source = make_source()
    path = trim(source, data=tiny.examples(20), keep=["unbelievable"], fresh=False)
    assert path == home.models_dir() / "finetuned" / "teacher-trimmed"
    rows = Examples([*tiny.examples(20).texts, "an unbelievable movie"])
    assert np.array_equal(Predictor(source).logits(rows), Predictor(path).logits(rows))
    meta = model_folder.read_meta(path)
    assert meta["kind"] == "finetuned" and meta["licence"] == "MIT"
    assert meta["source"] == {"model": "finetuned/teacher"}, "a bare name may be another group's, too"
    record = meta["trimmed"]
    assert record["check"]["equal"] and record["check"]["rows"] == 21
    size = record["tokens"]
    vocab = (path / "vocab.txt").read_text(encoding="utf-8").split("\n")[:-1]
    config = json.loads((path / "config.json").read_text(encoding="utf-8"))
    assert len(vocab) == size == config["vocab_size"] and vocab[:5] == tiny.SPECIAL
    assert "фильм" not in vocab and "unused1" not in str(vocab)
    assert meta["parameters"] == model_folder.read_meta(source)["parameters"] - (len(WORDS) + 5 - size) * 32
    loaded = transformers.AutoTokenizer.from_pretrained(path)
    assert loaded.tokenize("the unbelievable movie") == ["the", "un", "##believ", "##able", "movie"]
    assert "bit for bit" in (path / "README.md").read_text(encoding="utf-8")


def kept_as(group, name, *, seed, words=WORDS, **meta):
    loaded = tiny.bert(2, 16, seed=seed, words=words)
    with registry.staged(group, name) as folder:
        checkpoint.save(loaded.model, loaded.tokenizer, folder, meta={"name": name, "kind": "pretrained", **meta})
    return home.models_dir() / group / name


def test_the_control_of_a_trimmed_teacher_starts_from_what_was_finetuned(tmp_path):
    """Its layers, and its embeddings of the tokens that the teacher has kept."""
    base = kept_as("hub", "base", seed=1)
    teacher = kept_as("finetuned", "teacher", seed=2, task=tiny.task().to_meta(), source={"model": "hub/base"})
    trimmed = trim(trim(teacher, data=tiny.examples(20), fresh=False), text=None, keep=["good movie"], fresh=False)
    said = []
    spec = RunSpec.parse({"teacher": {"model": "teacher"}, "student": {"layers": [1]}, "data": {"train": "x.csv"}})
    work = SimpleNamespace(
        spec=spec, teacher_path=trimmed, states=lambda phase: tmp_path / phase,
        say=lambda text, level="info": said.append(text),
    )  # fmt: skip
    student = build_student(phases.control_start(work), None, task=tiny.task(), seed=1)
    assert said == ["The control begins as the same layers of hub/base, which the teacher was finetuned from."]
    new, old = (tiny.weights(each.model) for each in (student, checkpoint.load(base)))
    name = "encoder.layer.{}.output.dense.weight"
    assert torch.equal(new["bert." + name.format(0)], old[next(key for key in old if key.endswith(name.format(1)))])
    tokens_kept = transformers.AutoTokenizer.from_pretrained(trimmed).get_vocab()
    assert student.tokenizer.get_vocab() == tokens_kept and len(tokens_kept) < len(WORDS)
    rows, whole = (next(w for key, w in each.items() if key.endswith("word_embeddings.weight")) for each in (new, old))
    number = tiny.tokenizer(WORDS).get_vocab()
    assert all(torch.equal(rows[at], whole[number[token]]) for token, at in tokens_kept.items())

    registry.remove("hub/base")
    kept_as("hub", "base", seed=1, words=tiny.WORDS[:4])
    assert phases.control_start(work) == spec.student
    assert said[-1].endswith("hub/base, which the teacher was finetuned from, can't be trimmed to its vocabulary.")
    registry.remove("hub/base")
    assert phases.control_start(work) == spec.student and said[-1].endswith("was finetuned from is not here.")


def test_a_source_of_a_bare_name_in_two_groups_counts_as_not_here():
    for group in ("hub", "finetuned"):
        kept_as(group, "base", seed=1)
    assert phases.finetuned_from(kept_as("finetuned", "old", seed=2, source={"model": "base"})) == (None, False)
    itself = kept_as("distilled", "cut", seed=2, source={"model": "cut"}, trimmed={"tokens": 9})
    assert phases.finetuned_from(itself) == (None, True), "what it was trimmed from is gone"


@pytest.mark.parametrize("kind", ["DistilBert", "MobileBert"])
def test_other_families_are_trimmed_too(kind):
    source = make_source(kind=kind, name=kind.lower())
    path = trim(source, data=tiny.examples(20), fresh=False)
    assert model_folder.read_meta(path)["trimmed"]["tokens"] < len(WORDS)
    assert np.array_equal(Predictor(source).logits(tiny.examples(9)), Predictor(path).logits(tiny.examples(9)))


@pytest.mark.parametrize("kind", ["Bert", "DistilBert", "MobileBert"])
def test_the_decoder_of_a_masked_language_model_goes_with_its_embeddings(tmp_path, kind):
    torch.manual_seed(0)
    tok = tiny.tokenizer(WORDS)
    plain = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    shape = {
        "DistilBert": {"dim": 32, "n_layers": 1, "n_heads": 2, "hidden_dim": 64},
        "MobileBert": {"hidden_size": 32, "embedding_size": 16, "num_hidden_layers": 1, "intra_bottleneck_size": 16,
                       "num_attention_heads": 2, "intermediate_size": 32},
    }.get(kind, plain)  # fmt: skip
    config = getattr(transformers, f"{kind}Config")(vocab_size=len(tok), pad_token_id=0, **shape)
    model = getattr(transformers, f"{kind}ForMaskedLM")(config).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.2)
    checkpoint.save(model, tok, tmp_path / "mlm", meta={"name": "mlm", "kind": "pretrained"})
    path = trim(tmp_path / "mlm", data=tiny.examples(20), name="small")
    assert model_folder.read_meta(path)["trimmed"]["check"]["compared"] == "last hidden states"
    cut = getattr(transformers, f"{kind}ForMaskedLM").from_pretrained(path).eval()
    new = transformers.AutoTokenizer.from_pretrained(path)
    ids = [tok.get_vocab()[token] for token, _ in sorted(new.get_vocab().items(), key=lambda item: item[1])]
    names = checkpoint.model_inputs(model)
    with torch.no_grad():
        before = model(**{k: v for k, v in tok(["the film [MASK]"], return_tensors="pt").items() if k in names}).logits
        after = cut(**{k: v for k, v in new(["the film [MASK]"], return_tensors="pt").items() if k in names}).logits
    assert after.shape[-1] == len(ids)
    # A decoder of fewer columns may add up in another order.
    assert torch.allclose(before[..., ids], after, atol=1e-5)


@pytest.mark.parametrize("kind", ["token-classification", "question-answering", "masked-lm"])
def test_heads_that_answer_token_by_token_are_trimmed_too(tmp_path, kind):
    source = task_data.kept(tmp_path / kind, kind)
    texts = ["the movie was  good but a plot is fine", "a film"]
    path = trim(source, data=Examples(texts), name="small", fresh=False)
    check = model_folder.read_meta(path)["trimmed"]["check"]
    assert check["equal"] and check["rows"] == 2
    assert check["compared"] == ("last hidden states" if kind == "masked-lm" else "logits")
    if kind != "masked-lm":
        asked = [tuple(texts)] if kind == "question-answering" else texts
        assert Predictor(path).predict(asked) == Predictor(source).predict(asked)


def test_places_without_an_answer_are_equal_and_others_are_not():
    """Logits of a window have no number outside its context."""
    before = np.array([[0.5, np.nan, 1.0]])
    _refuse_unequal(before, before.copy())
    with pytest.raises(QTinkerError, match=r"a number differs by 0\.250000"):
        _refuse_unequal(before, np.array([[0.5, np.nan, 1.25]]))


def test_googles_tokenizer_keeps_its_rules(tmp_path):
    words = [*tiny.SPECIAL, *WORDS, "e", "##e", "cafe", "é", "！", "中", "文"]
    loaded = tiny.bert(1, 32, words=words[5:])
    checkpoint.save(loaded.model, loaded.tokenizer, tmp_path / "google", meta={"name": "google", "kind": "pretrained"})
    write_tokenizer(tmp_path / "google", words, do_lower_case=True, max_length=64)
    model_folder.write_meta(tmp_path / "google", {"name": "google", "kind": "pretrained"})
    path = trim(tmp_path / "google", keep=["Café!", "中文"], name="cut", fresh=False)
    new = transformers.AutoTokenizer.from_pretrained(path)
    assert new.tokenize("CAFÉ 中文 movie！") == ["cafe", "中", "文", "[UNK]", "！"]
    assert new("中")["input_ids"] == [new.cls_token_id, new.get_vocab()["中"], new.sep_token_id]


def test_a_trimmed_model_takes_every_scheme():
    path = trim(make_source(), data=tiny.examples(20), fresh=False)
    smaller = {
        scheme.name: quantize(path, scheme.name, engine=scheme.engines[0], fresh=False, force=True,
                              check_rows=tiny.examples(8), max_loss=100)
        for scheme in SCHEMES.values() if scheme.engines[0] not in CPU_ENGINES
    }  # fmt: skip
    assert "int8-dynamic" in smaller and "int4-weight-only" in smaller
    for made in smaller.values():
        assert Predictor(made).predict(["good movie"])[0]["label"] in tiny.LABELS
    with pytest.raises(InputError, match=r"is quantized already.*teacher-trimmed"):
        trim(smaller["int8-dynamic"], data=tiny.examples(20))


def test_what_can_t_be_trimmed_is_refused(tmp_path):
    source = make_source()
    with pytest.raises(InputError, match=r"Nothing says which tokens to keep.*--data FILE, --text FILE"):
        trim(source)
    with pytest.raises(InputError, match=r"All 38 tokens of teacher are needed"):
        trim(source, keep=WORDS)
    from tokenizers import Tokenizer, models

    for model, words in ((models.BPE({"a": 0, "<s>": 1}, []), "byte-pair"), (models.Unigram([("a", 0.0)]), "Sentence")):
        tok = transformers.PreTrainedTokenizerFast(tokenizer_object=Tokenizer(model))
        with pytest.raises(
            InputError, match=rf"(?s)gpt can't be trimmed: it cuts texts by .*{words}.*BERT, DistilBERT"
        ):
            tokens.wordpiece(tok, "gpt")
    assert [entry.name for entry in registry.list_models()] == ["teacher"]


def test_the_verb_reads_files_and_says_what_it_did(tmp_path, capsys):
    make_source()
    (tmp_path / "rows.csv").write_text("text,label\nthe movie was good,good\nawful plot,bad\n", encoding="utf-8")
    (tmp_path / "more.txt").write_text("unbelievable\r\nфильм\n", encoding="utf-8")
    asked = ["trim", "teacher", "--data", str(tmp_path / "rows.csv"), "--text", str(tmp_path / "more.txt"),
             "--keep", "scene", "--name", "tiny-vocabulary", "--json"]  # fmt: skip
    assert main(asked) == 0
    result = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    vocab = (home.models_dir() / "finetuned" / "tiny-vocabulary" / "vocab.txt").read_text(encoding="utf-8").split("\n")
    assert {"movie", "awful", "##believ", "фильм", "scene"} <= set(vocab) and "кино" not in vocab
    assert result["tokens"] == len(vocab) - 1 and result["bytes"] < result["source_bytes"]
    # 2 rows of the table, 2 lines, 1 word: cells and names of columns are not counted
    assert any("All texts of 5 rows" in line and "5 of them are equal bit for bit" in line.replace("logits of ", "")
               for line in result["findings"])  # fmt: skip
    assert model_folder.read_meta(result["path"])["trimmed"]["check"]["fresh_process"]
    with pytest.raises(InputError, match="no model"):
        api.trim("nobody", keep="word")


def test_the_sample_can_be_named():
    path = trim(make_source([*WORDS, "order"]), data="sample", fresh=False)
    assert {"order", "the"} <= set((path / "vocab.txt").read_text(encoding="utf-8").split("\n"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_counts_like_a_file(tmp_path):
    """It can be read once, and the texts are gone through several times."""
    make_source()
    lines = "".join(f"the movie was unbelievable {word}\n" for word in tiny.WORDS)
    (tmp_path / "a.txt").write_text(lines)
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=lambda: (tmp_path / "pipe").write_text(lines))
    writer.start()
    piped = trim("teacher", text=tmp_path / "pipe", name="piped", fresh=False)
    writer.join()
    plain = trim("teacher", text=tmp_path / "a.txt", name="plain", fresh=False)
    assert (piped / "tokenizer.json").read_bytes() == (plain / "tokenizer.json").read_bytes()
    bare = model_folder.read_meta(trim("teacher", scripts=["latin"], name="bare", fresh=False))["trimmed"]
    assert not any("rows" in line for line in bare["findings"]), "nothing was compared on rows"
