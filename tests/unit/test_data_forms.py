"""Questions, running text, previews of every form, and tables too big for memory."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import tiny
import torch
from data_files import CONLL, csv_of, kind_of, scored, written
from qtinker import data
from qtinker.data import Examples
from qtinker.data.loading import load_examples
from qtinker.data.windows import lost_answers
from qtinker.distill.aligned import Aligned
from qtinker.errors import InputError
from qtinker.spec import DataSpec

# --- questions ---------------------------------------------------------------------------------------------------


def squad(tmp_path, questions, context="the plot was fine and the actor is good"):
    content = {"version": "1.1", "data": [{"title": "x", "paragraphs": [{"context": context, "qas": questions}]}]}
    return written(tmp_path / "q.json", json.dumps(content))


def question(text, start, answer="fine"):
    return {"id": "1", "question": text, "answers": [{"text": answer, "answer_start": start}]}


def test_squads_json(tmp_path):
    path = squad(
        tmp_path, [question("what was it", 13), {"question": "which", "answers": []}, {"question": "no label"}]
    )
    found = kind_of(path, eval=path)
    assert found.task_type == "question-answering" and found.facts == {"unanswerable": True}
    every = found.train
    assert every.labels.tolist() == [[13, 17], [0, 0], [-100, -100]]
    assert every.answers == [["fine"], [""], []] and every.labelled.tolist() == [True, True, False]
    assert every.pairs[0][13:17] == "fine"
    with pytest.raises(InputError, match=r"question 1: the answer 'great' is not in its context at character 3"):
        kind_of(squad(tmp_path, [question("what", 3, "great")]))
    one = {"context": "1812 came and in 1812 it went", "qas": [question("when", 16, "1812")]}
    path = written(tmp_path / "near.json", json.dumps({"data": [{"paragraphs": [one]}]}))
    found = kind_of(path, eval=path)
    assert found.train.labels.tolist() == [[17, 21]], "the nearest place, not the first"
    assert any("1 answers of" in warning and "the nearest place" in warning for warning in found.warnings)
    table = csv_of(tmp_path / "c.csv", "text,label", ["some text here,a", "other text here,b"])
    with pytest.raises(InputError, match=r"no questions with contexts.*--task classification"):
        data.load(DataSpec(train=table), seed=0, task="question-answering")


def test_scores_of_pairs_without_a_header(tmp_path):
    """As in STS-B's file: genre, file, year, number, score, texts."""
    rows = [f"main-{'ab'[i % 2]}\tf{i % 3}\t2012\t{i:04}\t{i / 8:.3f}\tthis is text {i}\tthat is a text {i}"
            for i in range(40)]  # fmt: skip
    found = load_examples(DataSpec(train=written(tmp_path / "sts.csv", "\n".join(rows))), seed=0)
    assert found.task_type == "regression" and found.columns.label == "column 5"
    assert (found.columns.text, found.columns.pair) == ("column 6", "column 7")


def test_how_sure_somebody_was_is_no_score_beside_a_class(tmp_path):
    rows = [f"{['yes', 'no'][i % 2]}\t{0.5 + i / 100:.3f}\tthis is text {i}\tthat is a text {i}" for i in range(40)]
    found = load_examples(DataSpec(train=written(tmp_path / "pairs.tsv", "\n".join(rows))), seed=0)
    assert found.task_type == "classification" and found.columns.label == "column 1"


def test_contexts_with_lists_of_questions(tmp_path):
    """As SimpleTransformers and MRQA write them."""
    context = "the plot was fine and the actor is good"
    asked = [question("what was it", 13), {"question": "which", "is_impossible": True, "answers": []}]
    path = written(tmp_path / "simple.json", json.dumps([{"context": context, "qas": asked}] * 2))
    found = kind_of(path, eval=path)
    assert found.task_type == "question-answering" and found.train.labels.tolist() == [[13, 17], [0, 0]] * 2
    detected = [{"text": "FINE", "char_spans": [[13, 16]], "token_spans": [[3, 3]]}]
    rows = [
        {"header": {"dataset": "x", "split": "train"}},
        {"context": context, "qas": [{"question": "what", "answers": ["fine"], "detected_answers": detected}]},
    ]
    path = written(tmp_path / "mrqa.jsonl", "\n".join(map(json.dumps, rows)))
    found = kind_of(path, eval=path)
    assert found.train.labels.tolist() == [[13, 17]] and found.train.answers == [["fine"]]
    wrong = {"question": "what", "detected_answers": [{"text": "fine"}]}
    for qas in ([wrong], "what"):
        odd = "\n".join(json.dumps(row) for row in (*rows, {"context": context, "qas": qas}))
        with pytest.raises(InputError, match=r"article 2: not as in SQuAD's files"):
            kind_of(written(tmp_path / "odd.jsonl", odd))


def test_the_questions_about_a_single_context_are_split_by_the_share_asked_for(tmp_path):
    for start, more in ((13, {}), (None, {"labels": (), "unlabelled": True})):
        asked = [question(f"what was it {i}", start or 0) for i in range(40)]
        if start is None:
            asked = [{"id": "1", "question": each["question"]} for each in asked]
        spec = DataSpec(train=squad(tmp_path, asked), eval_fraction=0.25)
        loaded = load_examples(spec, seed=0, task="question-answering", **more)
        assert (len(loaded.train), len(loaded.eval)) == (30, 10)
        assert "evaluation data: 10 of 40 examples split off by seed 0" in loaded.findings
        again = load_examples(spec, seed=1, task="question-answering", **more)
        assert list(again.eval.texts) != list(loaded.eval.texts)


def test_a_long_context_gives_windows_that_share_tokens():
    tok = tiny.tokenizer()
    words = ["the", "plot", "was", "fine", "and", "the", "actor", "is", "good", "but", "a", "scene", "was", "bad"]
    context = " ".join(words)
    start = context.index("good")
    examples = Examples(["is it", "is it"], [context, context], np.array([[start, start + 4], [-100, -100]]), "spans",
                        [["good"], []], stride=2)  # fmt: skip
    encoded = data.encode(examples, tok, 12, cache=False)  # [CLS] is it [SEP] + 7 tokens of context + [SEP]
    assert encoded.extras["example"].tolist() == [0, 0, 0, 1, 1, 1] and encoded.truncated == 2
    firsts = [int(encoded.extras["char_starts"][a:b].max()) for a, b in
              zip(encoded.offsets[:-1], encoded.offsets[1:], strict=True)]  # fmt: skip
    assert firsts[:3] == [context.index("actor"), context.index("scene"), context.rindex("bad")]
    # "good" is the 9th word: not in the first window, the 4th token of the second's context, cut out of the third
    assert encoded.labels.tolist()[:3] == [[0, 0], [7, 7], [0, 0]]
    assert encoded.labels[3:].tolist() == [[-100, -100]] * 3
    batch = data.collate(encoded, [1], pad_token_id=0)
    assert batch["answer_mask"].tolist() == [[1, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 0]] and batch["labels"].tolist() == [
        [7, 7]
    ]


def test_a_token_with_the_space_before_its_word_begins_at_the_word():
    """A teacher's start at ` plot` stands at the student's `plot`, and answers begin with no space."""
    gpt, bert, context = tiny.byte_level(), tiny.tokenizer(), "the plot  was\nfine"
    examples = Examples(["is it"], [context], np.array([[4, 8]]), "spans", [["plot"]])
    theirs, mine = (data.encode(examples, tok, 32, cache=False) for tok in (gpt, bert))
    assert gpt.convert_ids_to_tokens(theirs.input_ids)[-7:] == ["the", "Ġplot", "Ġ", "Ġwas", "Ċ", "fi", "ne"]
    assert theirs.extras["char_starts"].tolist()[-7:] == [0, 4, 8, 10, 13, 14, 16]
    assert theirs.extras["char_ends"].tolist()[-7:] == [3, 8, 9, 13, 14, 16, 18]
    at = len(theirs.input_ids) - 6
    assert theirs.labels.tolist() == [[at, at]]
    logits = torch.full((1, len(theirs.input_ids), 2), -20.0)
    logits[0, at] = 5
    found, _ = Aligned(theirs, mine).answers(logits, np.array([0]), np.array([0]), len(mine.input_ids))
    assert found[0].argmax(0).tolist() == mine.labels[0].tolist() == [5, 5]


def test_an_answer_that_no_window_holds_whole_is_no_answer_that_is_missing():
    """It is longer than a window, or lies across the end of one; that there is none would be learned of it."""
    tok = tiny.tokenizer()
    context = "the plot was fine and the actor is good but a scene was bad"
    places = [(0, 4), (4, 40), (0, 0), (context.index("the actor"), context.index(" good"))]
    labels = np.array([*places, (-100, -100)])
    examples = Examples(["is it"] * 5, [context] * 5, labels, "spans", [["x"]] * 5, stride=1)
    encoded = data.encode(examples, tok, 12, cache=False)  # windows of 7 tokens: the second one begins at "actor"
    assert encoded.labels.tolist() == [
        [4, 4], [0, 0], [0, 0], *[[-100, -100]] * 3, *[[0, 0]] * 3, *[[-100, -100]] * 6,
    ]  # fmt: skip
    assert lost_answers(examples, encoded) == 2


def test_the_best_answer_over_all_windows():
    from qtinker.tasks import QuestionAnswering

    tok, context = tiny.tokenizer(), "the plot was fine and the actor is good"
    examples = Examples(["is it"], [context], None, "spans", [["actor is"]], stride=2)
    encoded = data.encode(examples, tok, 10, cache=False)
    rows = np.full((len(encoded), 2, 10), np.nan, np.float32)
    for number in range(len(encoded)):
        where = slice(int(encoded.offsets[number]), int(encoded.offsets[number + 1]))
        inside = encoded.extras["char_starts"][where] >= 0
        rows[number, :, : len(inside)][:, inside] = 0
        rows[number, :, 0] = 4
        rows[number, 0, : len(inside)][encoded.extras["char_starts"][where] == context.index("actor")] = 3
        rows[number, 1, : len(inside)][encoded.extras["char_ends"][where] == context.index("is") + 2] = 2
    answers = QuestionAnswering().settle(rows, np.ones(len(rows)), encoded, examples)
    assert answers.tolist() == [[context.index("actor"), context.index("is") + 2, 5]]
    none = QuestionAnswering(unanswerable=True).settle(rows, np.ones(len(rows)), encoded, examples)
    assert none[0, :2].tolist() == [0, 0]  # 4 + 4 at [CLS] is more than 5


def test_a_context_without_a_token_has_no_answer_and_a_finite_score():
    from qtinker.tasks import QuestionAnswering

    examples = Examples(["is it"], [" "], None, "spans", [[]], stride=2)
    encoded = data.encode(examples, tiny.tokenizer(), 10, cache=False)
    rows = np.full((len(encoded), 2, 10), np.nan, np.float32)
    rows[:, :, 0] = 1.5  # at [CLS]
    answers = QuestionAnswering().settle(rows, np.ones(len(rows)), encoded, examples)
    assert answers.tolist() == [[0, 0, 3]]


# --- running text ------------------------------------------------------------------------------------------------


def test_questions_to_measure_on_that_were_learned_are_told(tmp_path):
    rows = [{"question": f"what {i}", "context": f"Paris is big {i}", "answers": []} for i in range(20)]
    path = tmp_path / "q.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    loaded = data.load(DataSpec(train=str(path), eval=str(path)), seed=0)
    assert any("20 of 20 evaluation examples are in the training data too" in line for line in loaded.warnings)


def test_one_paragraph_cant_be_split(tmp_path):
    path = written(tmp_path / "one.txt", "the movie was good but the plot " * 40)
    with pytest.raises(InputError, match=r"too few paragraphs to split some off.*Part the text"):
        data.load(DataSpec(train=path), seed=0, task="masked-lm")


def test_paragraphs_of_plain_text(tmp_path):
    text = "The first line\r\nand the second.\r\n\r\n\r\nAnother paragraph.\r\n\r\nThe last one here.\r\n"
    (tmp_path / "book.txt").write_bytes(b"\xef\xbb\xbf" + text.encode())
    loaded = data.load(DataSpec(train=str(tmp_path / "book.txt")), seed=0)
    assert loaded.task.type == "masked-lm" and any("plain text without labels" in line for line in loaded.findings)
    assert sorted([*loaded.train.texts, *loaded.eval.texts]) == [
        "Another paragraph.", "The first line and the second.", "The last one here.",
    ]  # fmt: skip
    lines = written(tmp_path / "lines.txt", "one line here\nand one more\nthird of them\n")
    assert len(kind_of(lines).train) + len(kind_of(lines).eval) == 3
    table = csv_of(tmp_path / "t.csv", "text,label", ["some text here,a", "other text here,b"])
    loaded = data.load(DataSpec(train=table), seed=0, task="masked-lm")
    assert sorted([*loaded.train.texts, *loaded.eval.texts]) == ["other text here", "some text here"]


def test_text_is_cut_into_whole_blocks():
    tok = tiny.tokenizer()
    cls, sep = tok.cls_token_id, tok.sep_token_id
    texts = ["the movie was good", "a film is bad and fine", "plot"]
    encoded = data.encode(Examples(texts, form="blocks"), tok, 8, cache=False)
    stream = [token for text in texts for token in (*tok.convert_tokens_to_ids(text.split()), sep)]
    assert encoded.lengths.tolist() == [8, 8]  # 14 tokens: two blocks of six between [CLS] and [SEP], the rest dropped
    assert encoded.input_ids.tolist() == [cls, *stream[:6], sep, cls, *stream[6:12], sep]
    assert encoded.extras["maskable"].tolist() == [int(i not in (cls, sep)) for i in encoded.input_ids]
    short = data.encode(Examples(["the movie"], form="blocks"), tok, 64, cache=False)
    assert short.input_ids.tolist() == [cls, *tok.convert_tokens_to_ids(["the", "movie"]), sep]
    again = data.encode(Examples(texts, form="blocks"), tok, 8)
    assert np.array_equal(again.input_ids, encoded.input_ids) and again.key == encoded.key
    assert np.array_equal(again.extras["maskable"], encoded.extras["maskable"])


# --- looking at data ---------------------------------------------------------------------------------------------


def test_previews_of_every_form(tmp_path):
    plain = data.inspect(DataSpec(train=written(tmp_path / "a.txt", "One text here.\nAnd one more there.\n")))
    assert (plain.task, plain.classes, plain.train + plain.eval) == ("masked-lm", [], 2)
    bare = csv_of(tmp_path / "b.csv", "text,author", [f"this is text {i},somebody {i}" for i in range(20)])
    unlabelled = data.inspect(DataSpec(train=bare))
    assert unlabelled.unlabelled == unlabelled.train == 20 and "--task masked-lm" in "".join(unlabelled.findings)
    scores = data.inspect(DataSpec(train=scored(tmp_path)))
    assert scores.task == "regression" and scores.scores["greatest"] == pytest.approx(3.9)
    assert float(scores.examples[0]["label"]) >= 0
    words = data.inspect(DataSpec(train=written(tmp_path / "c.conll", CONLL * 4)))
    assert {each.label: each.train + each.eval for each in words.classes} == {
        "O": 4, "B-ORG": 4, "B-PER": 4, "I-PER": 4
    }  # fmt: skip
    assert words.examples[0]["label"] in ("EU=B-ORG", "Peter=B-PER, Blackburn=I-PER")
    asked = data.inspect(DataSpec(train=squad(tmp_path, [question("what was it", 13)])))
    assert asked.examples[0]["label"] == "fine" and asked.to_dict()["task"] == "question-answering"


@pytest.mark.real_data
def test_real_data_of_every_form(real_data):
    stsb = data.load(DataSpec(train=str(real_data / "stsb/train.tsv"), eval=str(real_data / "stsb/dev.tsv")), seed=0)
    assert (stsb.task.type, stsb.task.pair, len(stsb.train), len(stsb.eval)) == ("regression", True, 5749, 1500)
    assert stsb.train.labels[:2].tolist() == [5.0, pytest.approx(3.8)]
    wnut = real_data / "wnut17"
    tags = data.load(DataSpec(train=str(wnut / "wnut17train.conll"), eval=str(wnut / "emerging.dev.conll")), seed=0)
    assert (tags.task.type, len(tags.train), len(tags.eval)) == ("token-classification", 3394, 1009)
    assert len(tags.task.labels) == 13 and len(data.load_eval(str(wnut / "emerging.test.annotated"))) == 1287
    assert (tags.train.labels.values == 0).mean() == pytest.approx(0.95, abs=0.01)
    for language in ("en", "zh"):
        asked = data.load_eval(str(real_data / f"xquad/xquad.{language}.json"))
        assert len(asked) == 1190 and asked.labelled.all()
        assert all(asked.pairs[i][a:b] == asked.answers[i][0] for i, (a, b) in enumerate(asked.labels.tolist()))
    book = data.load(DataSpec(train=str(real_data / "gutenberg/sherlock-holmes-1661.txt")), seed=0)
    assert book.task.type == "masked-lm" and 2000 < len(book.train) < 4000
    assert not any("\r" in text or "\ufeff" in text for text in book.train.texts)


# --- much data ---------------------------------------------------------------------------------------------------


def test_big_tables_are_kept_in_files_and_read_the_same(tmp_path, monkeypatch):
    from qtinker.data import spill
    from qtinker.data.table import TableBuilder

    monkeypatch.setattr("qtinker.data.table._FLUSH_ROWS", 7)
    plain = TableBuilder(["text", "label"])
    monkeypatch.setattr(spill, "MOST_BYTES", 50)
    spilled = TableBuilder(["text", "label"])
    for builder in (plain, spilled):
        for number in range(40):
            builder.add_named({"text": f" text {number}" if number % 3 else None, "label": "ab"[number % 2]})
            if number == 30:
                builder.add_named({"text": "new", "late": "x"})
        builder_columns = builder.finish()
        assert builder_columns["text"].to_pylist()[:3] == [None, " text 1", " text 2"]
        assert builder_columns["late"].to_pylist()[30:33] == [None, "x", None] and len(builder_columns["label"]) == 41
    folder = spill.cache_dir() / "tables"
    assert folder.is_dir() and not list(folder.iterdir())  # deleted, and still readable
    texts = spill.trimmed(builder_columns["text"])
    assert texts.to_pylist()[:3] == ["", "text 1", "text 2"]
    column = data.TextColumn(texts)
    assert column.take([39, 0, 20]).take([2, 0])[:] == ["text 20", "text 38"] and column[-2] == "text 38"
    assert list(column.take(np.arange(40, -1, -1))) == texts.to_pylist()[::-1]


def test_answers_in_a_table_without_lists(tmp_path):
    rows = [
        (f"what is {n}?", f"the {n} plot", json.dumps({"text": ["plot"], "answer_start": [6]})) for n in range(1, 9)
    ]
    for name, separator in (("a.csv", ","), ("a.tsv", "\t")):
        with (tmp_path / name).open("w", newline="") as file:
            csv.writer(file, delimiter=separator).writerows([("question", "context", "answers"), *rows])
        found = data.load(DataSpec(train=str(tmp_path / name)), seed=0)
        assert found.task.type == "question-answering" and found.train.labels[0].tolist() == [6, 10]
