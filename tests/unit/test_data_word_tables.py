"""Words with tags as Kaggle has them, and as pandas writes lists."""

from __future__ import annotations

import csv
import re

import pytest
from qtinker import data
from qtinker.errors import InputError
from qtinker.spec import DataSpec

TAGS = ["O", "B-geo", "O", "O"]


def words(number):
    return ["In", "O'Hare", "it", f"rained {number}".replace(" ", "-")]


def table(tmp_path, header, rows):
    with (tmp_path / "ner.csv").open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return str(tmp_path / "ner.csv")


def check(path, **named):
    found = data.load(DataSpec(train=path, **named), seed=0)
    assert found.task.type == "token-classification" and found.task.labels == ("O", "B-geo")
    assert {*found.train.texts, *found.eval.texts} == {" ".join(words(i)) for i in range(20)}
    assert found.train.labels[0].tolist() == [0, 1, 0, 0]
    assert any(line.startswith("words: a ") for line in found.findings)


@pytest.mark.parametrize("each", [True, False])
def test_a_word_a_row_with_the_number_of_its_sentence(tmp_path, each):
    rows = [
        (f"Sentence: {number}" if each or not place else "", word, "NN", tag)
        for number in range(20)
        for place, (word, tag) in enumerate(zip(words(number), TAGS, strict=True))
    ]
    path = table(tmp_path, ("Sentence #", "Word", "POS", "Tag"), rows)
    check(path)
    check(path, text_column="word", label_column="Tag")


def spaced(found):
    return " ".join(found)


def numpys(found):
    return re.sub("', *", "' ", str(found)).replace('", ', '" ')


@pytest.mark.parametrize(("write", "header"), [
    ((str, str), ("tokens", "ner_tags")), ((numpys, numpys), ("tokens", "ner_tags")),
    ((spaced, spaced), ("text", "labels")), ((spaced, str), ("Sentence", "Tag")),
])  # fmt: skip
def test_a_sentence_a_row_in_cells(tmp_path, write, header):
    assert numpys(words(1)) == """['In' "O'Hare" 'it' 'rained-1']"""
    check(table(tmp_path, header, [(write[0](words(i)), write[1](TAGS)) for i in range(20)]))


def test_lists_of_labels_are_no_tags(tmp_path):
    path = table(
        tmp_path, ("text", "labels"), [(f"some text {i}", "['a', 'b']" if i % 2 else "['b']") for i in range(20)]
    )
    assert data.load(DataSpec(train=path), seed=0, task="multi-label").task.type == "multi-label"


def test_a_word_beside_its_sentence_is_no_word_of_a_row(tmp_path):
    rows = [(f"how hard are the words of text {i // 2}", f"word{i}", "ab"[i % 2]) for i in range(40)]
    found = data.load(DataSpec(train=table(tmp_path, ("sentence", "word", "label"), rows)), seed=0)
    assert found.task.type == "classification"


def test_words_without_numbers_of_sentences_are_refused(tmp_path):
    rows = [pair for number in range(20) for pair in zip(words(number), TAGS, strict=True)]
    with pytest.raises(InputError, match=r"nothing says where sentences begin.*sentence_id"):
        data.load(DataSpec(train=table(tmp_path, ("word", "tag"), rows)), seed=0)
