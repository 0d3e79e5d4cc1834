"""Data of every task: found out by looking, read by hand-checked rules, refused in words that name the fix."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tiny
from qtinker import data
from qtinker.data import Examples, Ragged
from qtinker.data.loading import load_examples
from qtinker.errors import InputError
from qtinker.spec import DataSpec


def written(path, text):
    path.write_text(text, encoding="utf-8")
    return str(path)


def csv_of(path, header, rows):
    return written(path, "\n".join([header, *rows]) + "\n")


def kind_of(path, **more):
    return load_examples(DataSpec(train=path, **more), seed=0, preview=True)


# --- regression --------------------------------------------------------------------------------------------------


def scored(tmp_path, name="score", values=None):
    values = values or [f"{i / 10}" for i in range(40)]
    return csv_of(tmp_path / "s.csv", f"first,second,{name}".replace("first,second", "sentence1,sentence2"),
                  [f"this is text {i},and that is text {i},{value}" for i, value in enumerate(values)])  # fmt: skip


def test_scores_are_found_out(tmp_path):
    loaded = data.load(DataSpec(train=scored(tmp_path)), seed=0)
    assert loaded.task.type == "regression" and loaded.task.pair and loaded.task.labels == ()
    assert any(line.startswith("task: regression") for line in loaded.findings)
    assert "numbers from 0 to 3.9, mean 1.95" in loaded.findings
    assert loaded.train.labels.dtype == np.float32 and len(loaded.eval) == 10  # one of each tenth of the numbers
    assert sorted(np.round(loaded.eval.labels * 10) // 4) == list(range(10))


def test_scores_without_a_known_name_commas_and_gaps(tmp_path):
    values = [f'"{i},5"' if i else "" for i in range(40)]
    path = scored(tmp_path, name="wert", values=values)
    loaded = data.load(DataSpec(train=path), seed=0, task="regression")
    known = np.sort(np.concatenate([loaded.train.labels, loaded.eval.labels]))
    assert known[:3].tolist() == [1.5, 2.5, 3.5] and np.isnan(known[-1])
    assert "training examples have no label: only a teacher's answers teach them" in "".join(loaded.warnings)


@pytest.mark.parametrize("digits", [1, 3])
def test_decimal_commas_are_numbers_and_no_lists(tmp_path, digits):
    values = [f'"{i % 50 / 10:.{digits}f}"'.replace(".", ",") for i in range(120)]
    assert kind_of(scored(tmp_path, values=values)).task_type == "regression"
    stars = [f'"{i % 5 + 1},0"' for i in range(60)]
    assert kind_of(scored(tmp_path, name="label", values=stars)).task_type == "classification"
    several = [f'"{",".join(str(n) for n in range(i % 3, 3))}"' for i in range(60)]  # 0,1,2 and 1,2 and 2
    assert kind_of(scored(tmp_path, name="labels", values=several)).task_type == "multi-label"


def test_numbers_with_gaps_in_words_are_numbers(tmp_path):
    values = [f"{i / 10}" if i % 5 else "nan" for i in range(60)]
    for more in ({}, {"task": "regression"}):
        loaded = data.load(DataSpec(train=scored(tmp_path, values=values)), seed=0, **more)
        assert loaded.task.type == "regression" and loaded.train.labelled.mean() == pytest.approx(0.8, abs=0.1)


def test_one_and_the_same_number_to_measure_on_is_said(tmp_path):
    held = tmp_path / "held"
    held.mkdir()
    loaded = data.load(DataSpec(train=scored(tmp_path), eval=scored(held, values=["2.5"] * 20)), seed=0,
                       task="regression")  # fmt: skip
    assert any("the same: how well answers follow them" in warning for warning in loaded.warnings)


def test_words_are_no_scores(tmp_path):
    path = scored(tmp_path, name="label", values=["good", "bad"] * 20)
    with pytest.raises(InputError, match=r"no numbers, such as 'good'.*--task classification"):
        data.load(DataSpec(train=path, label_column="label"), seed=0, task="regression")
    with pytest.raises(InputError, match=r"All labels of .* are 2: there is nothing to learn"):
        data.load(DataSpec(train=scored(tmp_path, values=["2.0"] * 40)), seed=0, task="regression")


# --- several labels ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("delimiter", ["|", ";", ","])
def test_labels_in_a_cell(tmp_path, delimiter):
    sets = [["red"], ["red", "blue"], ["green", "blue"], ["green"], ["red", "green", "blue"]]
    rows = [f'this is text {i},"{delimiter.join(sets[i % 5])}"' for i in range(60)]
    loaded = data.load(DataSpec(train=csv_of(tmp_path / "m.csv", "text,labels", rows)), seed=0)
    assert loaded.task.type == "multi-label" and loaded.task.labels == ("blue", "green", "red")
    assert any("several labels, separated by" in line for line in loaded.findings)
    by_text = dict(zip(loaded.train.texts, loaded.train.labels.tolist(), strict=True))
    by_text |= dict(zip(loaded.eval.texts, loaded.eval.labels.tolist(), strict=True))
    assert by_text["this is text 1"] == [1, 0, 1] and by_text["this is text 3"] == [0, 1, 0]


def test_a_class_with_a_comma_in_its_name_is_one_class(tmp_path):
    names = ['"Home, Garden"', '"Toys, Games"', "Food"]
    rows = [f"this is text {i},{names[i % 3]}" for i in range(60)]
    loaded = data.load(DataSpec(train=csv_of(tmp_path / "m.csv", "text,label", rows)), seed=0)
    assert loaded.task.type == "classification" and loaded.task.labels == ("Food", "Home, Garden", "Toys, Games")


def test_lists_empty_lists_and_missing_lists(tmp_path):
    rows = [{"text": f"this is text {i}", "labels": [["a"], ["b", "a"], [], None][i % 4]} for i in range(40)]
    loaded = data.load(DataSpec(train=written(tmp_path / "m.jsonl", "\n".join(map(json.dumps, rows)))), seed=0)
    assert loaded.task.type == "multi-label" and loaded.task.labels == ("a", "b")
    by_text = dict(zip(loaded.train.texts, loaded.train.labels.tolist(), strict=True))
    assert by_text["this is text 2"] == [0, 0] and np.isnan(by_text["this is text 3"]).all()
    with pytest.raises(InputError, match=r"lists.*--task multi-label"):
        data.load(DataSpec(train=str(tmp_path / "m.jsonl")), seed=0, task="classification")


def test_columns_of_0_and_1(tmp_path):
    rows = [f"this is text {i},{i % 2},{i % 3 // 2},{-1 if i == 7 else i % 5 // 4},{i}" for i in range(60)]
    path = csv_of(tmp_path / "m.csv", "comment_text,toxic,insult,threat,id", rows)
    loaded = data.load(DataSpec(train=path), seed=0)
    assert loaded.task.type == "multi-label" and loaded.task.labels == ("toxic", "insult", "threat")
    by_text = dict(zip(loaded.train.texts, loaded.train.labels.tolist(), strict=True))
    assert by_text.get("this is text 4", [0, 0, 1]) == [0, 0, 1] and np.isnan(by_text["this is text 7"]).all()
    named = data.load(DataSpec(train=path, label_column="toxic, threat"), seed=0)
    assert named.task.labels == ("toxic", "threat")
    with pytest.raises(InputError, match=r"labels that the model does not know.*'insult'"):
        data.load(DataSpec(train=path), seed=0, task="multi-label", labels=["toxic", "threat"])


def test_a_label_that_never_or_always_applies_is_a_label(tmp_path):
    """Rare labels: none of the first 2,000 rows holds a 1; and a column that is 1 throughout is no column of noes."""
    rows = [f"this is text {i},{i % 2},{i % 3 // 2},{i % 5 // 4},{int(i == 2500)},9" for i in range(3000)]
    path = csv_of(tmp_path / "r.csv", "comment_text,toxic,insult,obscene,threat,length", rows)
    assert data.load(DataSpec(train=path), seed=0).task.labels == ("toxic", "insult", "obscene", "threat")
    few = csv_of(tmp_path / "e.csv", "comment_text,toxic,insult,obscene,threat", [
        "you are bad at it,1,0,1,0", "awful thing to say,1,1,0,0", "no way is that so,1,0,1,0",
    ])  # fmt: skip
    names = ["threat", "toxic", "insult", "obscene"]
    read = data.load_eval(few, task="multi-label", labels=names, unlabelled=True)
    assert read.labels.tolist() == [[0, 1, 0, 1], [0, 1, 1, 0], [0, 1, 0, 1]]


def test_lists_of_0_and_1_are_a_place_a_label(tmp_path):
    hot = [[1, 0, 0], [0, 1, 1], [1, 1, 0], [0, 0, 0]]
    for number, lists in enumerate((hot, [[float(cell) for cell in row] for row in hot])):
        lines = [json.dumps({"text": f"this is text {i}", "labels": lists[i % 4]}) for i in range(40)]
        path = written(tmp_path / f"{number}.jsonl", "\n".join(lines))
        loaded = data.load(DataSpec(train=path), seed=0)
        assert loaded.task.labels == ("0", "1", "2")
        by_text = dict(zip(loaded.train.texts, loaded.train.labels.tolist(), strict=True))
        assert all(row == hot[int(text.split()[-1]) % 4] for text, row in by_text.items())
        named = data.load_eval(path, task="multi-label", labels=["a", "b", "c"])
        assert named.labels[:4].tolist() == hot
    names = [json.dumps({"text": f"this is text {i}", "labels": [1.0, 3] if i % 2 else [3]}) for i in range(40)]
    path = written(tmp_path / "names.jsonl", "\n".join(names))
    assert data.load(DataSpec(train=path), seed=0).task.labels == ("1", "3"), "names that are numbers stay names"


def test_vectors_of_labels_in_parquet(tmp_path):
    hot = [[True, False], [True, True], [False, False], [False, True]] * 10
    texts = [f"this is text {i}" for i in range(40)]
    for kind, cells in ((pa.bool_(), hot), (pa.float64(), [[float(cell) for cell in row] for row in hot])):
        table = pa.table({"text": texts, "labels": pa.array(cells, pa.list_(kind)),
                          "vector": pa.array([[0.5, 0.25]] * 40, pa.list_(pa.float64()))})  # fmt: skip
        pq.write_table(table, tmp_path / "a.parquet")
        loaded = data.load(DataSpec(train=str(tmp_path / "a.parquet")), seed=0)
        assert loaded.task.labels == ("0", "1")
        by_text = dict(zip(loaded.train.texts, loaded.train.labels.tolist(), strict=True))
        assert all(row == hot[int(text.split()[-1])] for text, row in by_text.items())


def test_few_cells_fall_into_the_labels_of_a_model(tmp_path):
    path = csv_of(tmp_path / "s.csv", "text,labels", ["hello there you,a;B", "good day to you,c"])
    read = data.load_eval(path, task="multi-label", labels=["a", "b", "c"], unlabelled=True)
    assert read.labels.tolist() == [[1, 1, 0], [0, 0, 1]]


def test_names_in_brackets_are_one_label_each(tmp_path):
    path = csv_of(tmp_path / "b.csv", "text,label", [f"this is text {i},[{'AB'[i % 2]}]" for i in range(20)])
    assert data.load(DataSpec(train=path), seed=0).task.labels == ("[A]", "[B]")


# --- tags of words -----------------------------------------------------------------------------------------------

CONLL = (
    "-DOCSTART- -X- O O\n\nEU NNP B-NP B-ORG\nrejects VBZ B-VP O\n\nPeter NNP B-NP B-PER\nBlackburn NNP I-NP I-PER\n"
)


def test_conll_columns(tmp_path):
    path = written(tmp_path / "a.txt", CONLL * 10)
    loaded = data.load(DataSpec(train=path, eval=path), seed=0)
    assert loaded.task.type == "token-classification" and loaded.task.labels == ("O", "B-ORG", "B-PER", "I-PER")
    assert list(loaded.train.texts[:2]) == ["EU rejects", "Peter Blackburn"]
    assert loaded.train.labels[0].tolist() == [1, 0] and loaded.train.labels[1].tolist() == [2, 3]
    with pytest.raises(InputError, match=r"--task token-classification"):
        data.load(DataSpec(train=path), seed=0, task="classification")
    with pytest.raises(InputError, match=r"line 2: 'alone' has no tag"):
        data.load(DataSpec(train=written(tmp_path / "b.conll", "word O\nalone\n")), seed=0)
    with pytest.raises(InputError, match=r"line 2: 'Acme' has 3 columns where the first line has 4"):
        data.load(DataSpec(train=written(tmp_path / "b.conll", "EU NNP B-NP B-ORG\nAcme NN B-NP\n")), seed=0)


def test_what_is_said_about_the_text_is_no_word_of_it(tmp_path):
    text = "# doc0\nEU B-ORG\n# O\n\n#\tO\nRome\tB-LOC\n\n# sent_id = 3\na\tO\n\nb\t\tO\n\n"
    loaded = data.load(DataSpec(train=written(tmp_path / "c.conll", text * 10)), seed=0)
    texts = {*loaded.train.texts, *loaded.eval.texts}
    assert texts == {"EU #", "# Rome", "a", "b"} and loaded.task.labels == ("O", "B-LOC", "B-ORG")


def test_a_number_sign_among_words_is_a_word(tmp_path):
    path = written(tmp_path / "h.conll", "the DT B-NP O\n# # I-NP O\n1.5 CD I-NP B-M\n\n# # B-NP O\n2 CD I-NP O\n")
    found = kind_of(path, eval=path)
    assert list(found.train.texts) == ["the # 1.5", "# 2"]


@pytest.mark.parametrize(("text", "said"), [
    ("EU\tNNP\tB-ORG\nrejects\tVBZ\t\nall\tDT\tO\n", "line 2: 'rejects' has no tag"),
    ("is O\nNew York B-LOC\n", "line 2: 'New' has 3 columns where the first line has 2"),
])  # fmt: skip
def test_a_line_of_other_columns_is_refused(tmp_path, text, said):
    with pytest.raises(InputError, match=said):
        data.load(DataSpec(train=written(tmp_path / "g.conll", text)), seed=0)


def test_a_tab_at_the_end_of_every_line_is_no_column(tmp_path):
    path = written(tmp_path / "t.conll", "EU\tB-ORG\t\nis\tO\t\n\nit\tO\t\nRome\tB-ORG\t\n\n")
    assert data.load(DataSpec(train=path, eval=path), seed=0).task.labels == ("O", "B-ORG")


@pytest.mark.parametrize(("row", "said"), [
    ({"tokens": ["a", "b"], "tags": ["B-x", ""]}, "sentence 1 has an empty tag.*O where there is none"),
    ({"tokens": ["a", None], "tags": ["B-x", "O"]}, "sentence 1 holds a word that is none"),
    ({"tokens": ["a", "b"], "tags": ["O", "O"]}, "All tags of .* are 'O'"),
])  # fmt: skip
def test_odd_tags_are_refused(tmp_path, row, said):
    path = written(tmp_path / "o.jsonl", "\n".join([json.dumps(row)] * 4))
    with pytest.raises(InputError, match=said):
        data.load(DataSpec(train=path), seed=0)


def test_tags_are_read_as_one_would_write_them(tmp_path):
    def read(tags):
        path = written(tmp_path / "t.jsonl", json.dumps({"tokens": ["a", "b", "c"], "tags": tags}))
        return data.load(DataSpec(train=path, eval=path), seed=0)

    found = read([" O", "B-x ", float("nan")])
    assert found.task.labels == ("O", "B-x") and found.train.labels[0].tolist() == [0, 1, -100]
    found = read([0, 1.0, 1])
    assert found.task.labels == ("0", "1") and found.train.labels[0].tolist() == [0, 1, 1]
    assert any("nothing says which of them means none" in warning for warning in found.warnings)


@pytest.mark.parametrize("more", [{}, {"poz": "x"}])
def test_a_column_of_tags_that_is_not_there_is_named(tmp_path, more):
    rows = [{"tokens": ["a", "b"], "ner_tags": ["O", "B-x"], **more}] * 4
    path = written(tmp_path / "t.jsonl", "\n".join(map(json.dumps, rows)))
    with pytest.raises(InputError, match="'poz' of .* holds no lists" if more else r"no column 'poz'.*'ner_tags'"):
        data.load(DataSpec(train=path, label_column="poz"), seed=0)


def test_tokens_and_tags_in_lists(tmp_path):
    rows = [{"tokens": ["New York", "is", "big"], "ner_tags": ["B-loc", "O", None]}, {"tokens": [], "ner_tags": []},
            {"tokens": ["Rome"], "ner_tags": ["B-loc"]}]  # fmt: skip
    path = written(tmp_path / "t.jsonl", "\n".join(map(json.dumps, rows)))
    found = kind_of(path)
    assert found.task_type == "token-classification" and found.dropped == 1
    both = {text: labels.tolist() for part in (found.train, found.eval) for text, labels in
            zip(part.texts, [part.labels[i] for i in range(len(part))], strict=True)}  # fmt: skip
    assert both == {"New\u00a0York is big": [1, 0, -100], "Rome": [1]}
    rows[0]["ner_tags"] = ["O"]
    path = written(tmp_path / "t.jsonl", "\n".join(map(json.dumps, rows)))
    with pytest.raises(InputError, match="sentence 1 has 3 words and 1 tags"):
        kind_of(path)
    table = csv_of(tmp_path / "c.csv", "text,label", [f"this is text {i},{'ab'[i % 2]}" for i in range(20)])
    with pytest.raises(InputError, match=r"no sentences with a tag for each word.*--task classification"):
        data.load(DataSpec(train=table), seed=0, task="token-classification")


def test_labels_are_at_the_first_token_of_a_word():
    tok = tiny.tokenizer(["un", "##believ", "##able", "good", "film", "new", "york"])
    examples = Examples(["good unbelievable film", "new\u00a0york"], None, Ragged.of([[0, 1, 2], [3]]), "words")
    encoded = data.encode(examples, tok, 16, cache=False)
    assert encoded.extras["word_ids"].tolist() == [-1, 0, 1, -1, -1, 2, -1, -1, 0, -1, -1]
    assert encoded.labels.tolist() == [-100, 0, 1, -100, -100, 2, -100, -100, 3, -100, -100]
    cut = data.encode(examples, tok, 4, cache=False)
    assert cut.labels.tolist() == [-100, 0, 1, -100, -100, 3, -100, -100] and cut.truncated == 1


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
