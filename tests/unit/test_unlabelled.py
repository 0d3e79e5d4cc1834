"""Files of texts without labels beside the labelled ones: what is read of them, and what is left out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from qtinker.data.examples import Examples, Ragged, TextColumn, joined
from qtinker.data.loading import load_examples
from qtinker.errors import InputError
from qtinker.spec import DataSpec

SENTENCES = [f"a plain sentence about subject number {number}" for number in range(20)]


def written(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


@pytest.fixture
def labelled(tmp_path: Path) -> str:
    rows = [f"{text},{'good' if number % 2 else 'bad'}" for number, text in enumerate(SENTENCES)]
    return written(tmp_path, "train.csv", "\n".join(["text,label", *rows]) + "\n")


def test_unlabelled_rows_stand_last_and_have_no_label(tmp_path: Path, labelled: str) -> None:
    more = written(tmp_path, "more.csv", "text,label\nsomething quite new here,good\nand another new one,bad\n")
    plain = written(tmp_path, "more.txt", "a line of its own\n\na second line of text\n")
    spec = DataSpec(train=labelled, unlabelled=f"{more}, {plain}")
    found = load_examples(spec, seed=1)
    assert found.unlabelled == 4
    assert list(found.train.texts[-4:]) == [
        "something quite new here", "and another new one", "a line of its own", "a second line of text",
    ]  # fmt: skip
    assert not found.train.labelled[-4:].any()
    assert found.train.labelled[:-4].all()
    assert len(found.eval) == 2 and found.eval.labelled.all()
    assert any("2 texts of" in words and "more.csv" in words for words in found.findings)


def test_evaluation_texts_may_lack_the_label_column_where_a_teacher_answers(tmp_path: Path, labelled: str) -> None:
    plain = written(tmp_path, "held.csv", "text\nsomething quite new here\nand another new one\n")
    spec = DataSpec(train=labelled, eval=plain)
    found = load_examples(spec, seed=1, unlabelled=True)
    assert list(found.eval.texts) == ["something quite new here", "and another new one"]
    assert not found.eval.labelled.any()
    with pytest.raises(InputError, match=r"held\.csv has no column 'label'"):
        load_examples(spec, seed=1)
    other = written(tmp_path, "other.csv", "text,mood\nsomething quite new here,good\nand another new one,bad\n")
    with pytest.raises(InputError, match="call them as the training data does"):  # its labels would not count
        load_examples(DataSpec(train=labelled, eval=other), seed=1, unlabelled=True)


def test_texts_that_stand_elsewhere_are_left_out(tmp_path: Path, labelled: str) -> None:
    """Above all those of the evaluation data: a student may not learn what it is measured on."""
    own = "\n".join([*SENTENCES, SENTENCES[0].upper(), "new words here", "New  words here"])
    found = load_examples(DataSpec(train=labelled, unlabelled=[written(tmp_path, "more.txt", own)]), seed=1)
    assert found.unlabelled == 1
    assert found.train.texts[-1] == "new words here"
    assert any("22 stand elsewhere" in words for words in found.findings)


def test_max_examples_counts_labelled_rows_only(tmp_path: Path, labelled: str) -> None:
    more = written(tmp_path, "more.txt", "first new line here\nsecond new line here\n")
    found = load_examples(DataSpec(train=labelled, unlabelled=[more], max_examples=6), seed=1)
    assert (len(found.train), found.unlabelled) == (8, 2)


def test_pairs_need_pairs(tmp_path: Path, labelled: str) -> None:
    pairs = written(
        tmp_path, "pairs.tsv", "sentence1\tsentence2\tlabel\n"
        + "".join(f"one text of {n}\tother text of {n}\t{'yes' if n % 2 else 'no'}\n" for n in range(20)),
    )  # fmt: skip
    more = written(tmp_path, "more.tsv", "sentence1\tsentence2\nfresh first text\tfresh second text\n")
    found = load_examples(DataSpec(train=pairs, unlabelled=[more]), seed=1)
    assert found.train.pairs is not None and found.train.pairs[-1] == "fresh second text"
    single = written(tmp_path, "single.txt", "a text alone\nanother text alone\n")
    with pytest.raises(InputError, match="has one text a row, and the training data has pairs") as error:
        load_examples(DataSpec(train=pairs, unlabelled=[single]), seed=1)
    assert "'sentence1' and 'sentence2'" in error.value.fix
    with pytest.raises(InputError, match="has pairs of texts, and the training data has one text"):
        load_examples(DataSpec(train=labelled, unlabelled=[more]), seed=1)


def test_numbers_and_several_labels_are_missing_too(tmp_path: Path) -> None:
    more = written(tmp_path, "more.txt", "a new text to learn\nand one more of them\n")
    scores = "".join(f"text number {n} with words,{n / 7:.3f}\n" for n in range(40))
    found = load_examples(
        DataSpec(train=written(tmp_path, "s.csv", "text,score\n" + scores), unlabelled=[more]), seed=1
    )
    assert found.task_type == "regression" and np.isnan(found.train.labels[-2:]).all()
    flags = "".join(f"text number {n} with words,{n % 2},{n % 3 // 2},{n % 5 // 4}\n" for n in range(40))
    found = load_examples(DataSpec(train=written(tmp_path, "m.csv", "text,a,b,c\n" + flags), unlabelled=[more]), seed=1)
    assert found.task_type == "multi-label"
    assert found.train.labels.shape == (len(found.train), 3) and np.isnan(found.train.labels[-2:]).all()


def test_words_and_questions(tmp_path: Path) -> None:
    sentence = "Ann\tB-PER\nsaw\tO\nRome{}\tB-LOC\n\n"
    conll = written(tmp_path, "train.conll", "".join(sentence.format(n) for n in range(12)))
    lists = written(tmp_path, "more.jsonl", json.dumps({"tokens": ["Bob", "ran"], "tags": ["B-PER", "O"]}) + "\n")
    plain = written(tmp_path, "more.txt", "Eve met  Tom\n")
    found = load_examples(DataSpec(train=conll, unlabelled=[lists, plain]), seed=1)
    assert found.unlabelled == 2
    assert list(found.train.texts[-2:]) == ["Bob ran", "Eve met Tom"]
    assert found.train.labels[len(found.train) - 1].tolist() == [-100, -100, -100]

    rows = [{"question": f"who is {n}", "context": f"it is Ann {n} here", "answers":
             {"text": [f"Ann {n}"], "answer_start": [6]}} for n in range(12)]  # fmt: skip
    squad = written(tmp_path, "q.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    asked = written(tmp_path, "more-q.jsonl", json.dumps({"question": "who ran", "context": "Bob ran"}) + "\n")
    found = load_examples(DataSpec(train=squad, unlabelled=[asked]), seed=1)
    assert found.unlabelled == 1 and found.train.labels[-1].tolist() == [-100, -100]
    assert found.train.answers is not None and len(found.train.answers) == len(found.train)


def test_joined_copies_no_text_and_keeps_selections() -> None:
    first = Examples(["a b", "c"], None, Ragged.of([[1, 2], [3]]), "words").select([1, 0])
    second = Examples(["d e f"], None, None, "words")
    both = joined([first, second])
    assert list(both.texts) == ["c", "a b", "d e f"]
    assert [row.tolist() for row in (both.labels[n] for n in range(3))] == [[3], [1, 2], [-100, -100, -100]]
    assert isinstance(both.texts, TextColumn)
    assert both.texts.chunks[0].buffers()[2].address == first.texts.chunks[0].buffers()[2].address  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="different forms"):
        joined([first, Examples(["x"])])
