"""Which column is what, and what labels mean."""

from __future__ import annotations

import json

import numpy as np
import pytest
from qtinker.data.columns import find_columns
from qtinker.data.labels import aligned, canonical, label_set, order
from qtinker.data.loading import load, load_eval
from qtinker.data.table import RawTable, TableBuilder
from qtinker.errors import InputError
from qtinker.spec import DataSpec

TEXTS = ["the film was good fun", "nothing of it made sense", "I have seen worse things", "you may well like it"] * 3
SECONDS = ["it was a good film", "it made no sense at all", "it was the worst thing", "everybody likes this film"] * 3


def table(header=True, **columns):
    builder = TableBuilder(columns)
    for row in zip(*columns.values(), strict=True):
        builder.add(row)
    return RawTable("data.csv", builder.finish(), header)


def numbered(prefix="", count=12):
    return [f"{prefix}{i}" for i in range(count)]


def chosen(data, **how):
    found = find_columns(data, **how)
    return found.text, found.pair, found.label


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"text": TEXTS, "category": list("ab") * 6}, ("text", None, "category")),
        ({"sentence": TEXTS, "label": list("01") * 6}, ("sentence", None, "label")),
        ({"index": numbered(), "sentence1": TEXTS, "sentence2": SECONDS, "label": list("ab") * 6},
         ("sentence1", "sentence2", "label")),
        ({"pairID": numbered("n"), "Premise": TEXTS, "Hypothesis": SECONDS, "gold_label": list("abc") * 4},
         ("Premise", "Hypothesis", "gold_label")),
        ({"question": TEXTS, "sentence": SECONDS, "label": list("ab") * 6}, ("question", "sentence", "label")),
        ({"s1": TEXTS, "s2": SECONDS, "score": numbered("0.")}, ("s1", "s2", "score")),
        ({"meta.lang": list("xy") * 6, "data.text": TEXTS, "annotation.label": list("ab") * 6},
         ("data.text", None, "annotation.label")),
        ({"old.label": list("xy") * 6, "text": TEXTS, "label": list("ab") * 6}, ("text", None, "label")),
        ({"id": numbered("tweet number "), "tweet": TEXTS, "class": list("01") * 6}, ("tweet", None, "class")),
        ({"filename": numbered("a long file name "), "bemerkung": TEXTS, "art": list("ab") * 6},
         ("bemerkung", None, "art")),
        ({"title": SECONDS, "content": TEXTS, "label": list("01") * 6}, ("content", None, "label")),
        ({"question": TEXTS, "answer": list("ab") * 6}, ("question", None, "answer")),
        ({"Title": SECONDS, "Review Text": TEXTS, "Rating": list("12") * 6}, ("Review Text", None, "Rating")),
        ({"Sentence 1": TEXTS, "Sentence 2": SECONDS, "Gold-Label": list("ab") * 6},
         ("Sentence 1", "Sentence 2", "Gold-Label")),
        ({"label": list("01") * 6, "text": TEXTS, "label_text": ["neg", "pos"] * 6}, ("text", None, "label")),
    ],
)  # fmt: skip
def test_columns_are_found(columns, expected):
    assert chosen(table(**columns)) == expected


def test_without_a_header_content_decides():
    assert chosen(table(False, **{"column 1": list("01") * 6, "column 2": TEXTS})) == ("column 2", None, "column 1")
    found = find_columns(table(False, **{"column 1": TEXTS, "column 2": SECONDS, "column 3": list("ab") * 6}))
    assert (found.text, found.pair, found.label) == ("column 1", "column 2", "column 3")
    assert "pairs of texts" in found.warnings[0]


def test_dates_are_no_texts_beside_others():
    """As in Sentiment140: its rows are sorted by label, and dates have more words than short texts."""
    count = 2500
    dates = [f"Mon Apr 06 22:{minute // 60 % 60:02}:{minute % 60:02} PDT 2009" for minute in range(2 * count)]
    words = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "mu"]
    texts = [
        f"{words[i % 11]} {words[i // 11 % 11]} {words[i // 121 % 11]} {words[i // 1331]}" for i in range(2 * count)
    ]
    users = [f"user{number % 700}" for number in range(2 * count)]
    found = table(False, a=["0"] * count + ["4"] * count, b=dates, c=users, d=texts)
    assert chosen(found) == ("d", None, "a")
    lines = [f"connection from host {number} was closed at last" for number in range(100)]
    assert chosen(table(template=["host closed now", "host opened now"] * 50, line=lines))[0] == "line"


def test_what_the_user_names_wins():
    data = table(title=SECONDS, content=TEXTS, label=list("01") * 6, topic=list("ab") * 6)
    assert chosen(data, text="title", pair="content", label="topic") == ("title", "content", "topic")
    assert chosen(data, text="TITLE")[0] == "title"
    cola = table(False, **{"column 1": ["gj04", "bc01"] * 6, "column 2": list("01") * 6, "column 4": TEXTS})
    assert chosen(cola) == ("column 4", None, "column 2"), "of columns without names that of 0 and 1"
    nameless = table(False, **{"column 1": TEXTS, "column 2": list("ab") * 6})
    assert chosen(nameless, text="1", label="2") == ("column 1", None, "column 2")


def test_a_column_that_is_not_there_is_refused_with_those_that_are():
    with pytest.raises(InputError, match=r"no column 'txt'.*'text', 'label'"):
        find_columns(table(text=TEXTS, label=list("01") * 6), text="txt")


def test_a_row_of_names_that_did_not_look_like_one_is_taken_for_it_when_they_are_given(tmp_path):
    lines = [
        "what was said here today,how,more",
        *(f"some words number {n} are said,{'abcde'[n % 5]},x{n}" for n in range(20)),
    ]
    (tmp_path / "a.csv").write_text("\n".join(lines))
    with pytest.raises(InputError, match=r"no column 'how often'.*'column 1'"):
        load(DataSpec(train=str(tmp_path / "a.csv"), label_column="how often"), seed=1, task="classification")
    given = {"label_column": "How", "text_column": "what was said here today"}
    found = load(DataSpec(train=str(tmp_path / "a.csv"), **given), seed=1)
    assert {"header: yes (its names are given)", "label: column 'how' (as given)"} <= set(found.findings)
    assert len(found.train) + len(found.eval) == 20 and found.task.labels == tuple("abcde")
    assert len(load_eval(str(tmp_path / "a.csv"), **given)) == 20


@pytest.mark.parametrize("name", ["topics", "what_it_is_about"])
def test_lists_of_few_names_are_the_labels_whatever_their_column_is_called(tmp_path, name):
    rows = [{"said": f"sentence {n} of some words", name: ["food", "staff"][: n % 3]} for n in range(60)]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found = load(DataSpec(train=str(tmp_path / "a.jsonl")), seed=1)
    assert found.task.type == "multi-label" and sorted(found.task.labels) == ["food", "staff"]


def test_the_commas_of_lists_separate_no_labels_of_a_cell(tmp_path):
    names = ("food", "staff", "price", "room")
    rows = [{"text": f"sentence {n} of words", "labels": [names[n % 4], names[(n + 1 + n % 3) % 4]]} for n in range(60)]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "a.csv").write_text("text,labels\n" + "".join(f'{row["text"]},"{row["labels"]!s}"\n' for row in rows))
    for file in ("a.jsonl", "a.csv"):
        found = load(DataSpec(train=str(tmp_path / file)), seed=1)
        assert found.task.type == "multi-label" and sorted(found.task.labels) == sorted(names)
        assert not any("separated" in line and "label" in line for line in found.findings)


def test_other_lists_are_no_labels(tmp_path):
    rows = [{"said": f"sentence {n} of some words", "numbers": [n, 1, 2], "kind": "ab"[n % 2]} for n in range(60)]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert load(DataSpec(train=str(tmp_path / "a.jsonl")), seed=1).task.type == "classification"
    rows = [{"said": f"sentence {n} of some words", "links": [f"page-{n}", f"page-{n + 1}"]} for n in range(60)]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(InputError, match="--label-column"):
        load(DataSpec(train=str(tmp_path / "a.jsonl")), seed=1)


def test_words_beside_whole_texts_are_an_extra(tmp_path):
    rows = [{"text": f"this is text {i}", "tokens": ["this", "is", f"{i}"], "label": "ab"[i % 2]} for i in range(20)]
    path = tmp_path / "t.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    for how in ({}, {"text_column": "text", "label_column": "label"}):
        for task in ("auto", "classification"):
            found = load(DataSpec(train=str(path), **how), seed=0, task=task)
            assert found.task.labels == ("a", "b") and found.train.texts[0].startswith("this is text")
    tagged = [row | {"tags": ["O", "O", "B-number"]} for row in rows]
    path.write_text("\n".join(map(json.dumps, tagged)), encoding="utf-8")
    assert load(DataSpec(train=str(path)), seed=0).task.type == "token-classification"
    assert load(DataSpec(train=str(path), text_column="text", label_column="label"), seed=0).task.labels == ("a", "b")
    bare = tmp_path / "more.jsonl"  # without tags words are what sentences to learn from need
    bare.write_text('{"text": "whole", "tokens": ["two", "words"]}\n', encoding="utf-8")
    assert load(DataSpec(train=str(path), unlabelled=[str(bare)]), seed=0).train.texts[-1] == "two words"


@pytest.mark.parametrize("named", [False, True])
def test_questions_and_contexts_with_a_label_are_pairs(tmp_path, named):
    header = f"question,context,{'verdict' if named else 'label'}"
    rows = [f"what is number {i} about,it is about the number {i},{'yes' if i % 2 else 'no'}" for i in range(20)]
    path = tmp_path / "p.csv"
    path.write_text("\n".join([header, *rows]), encoding="utf-8")
    found = load(DataSpec(train=str(path), label_column="verdict" if named else None), seed=0)
    assert found.task.type == "classification" and found.task.pair and found.task.labels == ("no", "yes")
    assert found.train.pairs is not None and found.train.pairs[0].startswith("it is about")
    bare = tmp_path / "b.csv"
    bare.write_text("\n".join(row.rpartition(",")[0] for row in [header, *rows]), encoding="utf-8")
    asked = load(DataSpec(train=str(bare)), seed=0, labels=(), unlabelled=True)
    assert asked.task.type == "question-answering"


def test_two_possible_labels_are_said():
    found = find_columns(table(text=TEXTS, farbe=list("ab") * 6, form=list("cd") * 6))
    assert found.label == "farbe" and "'form' could be it too" in found.warnings[0]


def test_a_name_with_a_labels_name_in_it_comes_first():
    columns = table(country=list("xyz") * 4, comment=TEXTS, toxicity_label=list("ab") * 6)
    assert chosen(columns) == ("comment", None, "toxicity_label")


def test_identifiers_are_labels_last():
    assert chosen(table(query_id=list("abcdef") * 2, query=TEXTS, relevance=list("0123") * 3))[2] == "relevance"
    assert chosen(table(class_id=list("0123") * 3, text=TEXTS, art=list("ab") * 6))[2] == "class_id"


def test_a_column_plays_one_part():
    rows = table(text=TEXTS, label=["pos", "neg"] * 6)
    with pytest.raises(InputError, match=r"'text' of data.csv is given as the text and as the label"):
        find_columns(rows, text="text", label="Text")
    with pytest.raises(InputError, match=r"No other column .* looks like text: 'text' is given as the label"):
        find_columns(rows, label="text")


def test_identifiers_given_for_texts_are_told():
    codes = [f"user-{n:04}" for n in range(40)]
    found = find_columns(table(id=codes, said=(TEXTS * 4)[:40], label=list("01") * 20), text="id")
    assert found.warnings == ["'id' holds identifiers rather than texts, such as 'user-0000'."]
    words = [f"w{'abcdefghij'[n % 10]}{'abcdefghij'[n // 10]}" for n in range(40)]
    assert not find_columns(table(word=words, label=list("01") * 20), text="word").warnings


def test_no_text_column():
    with pytest.raises(InputError, match=r"No column of data.csv looks like text.*'a', 'b'"):
        find_columns(table(a=list("01") * 6, b=list("23") * 6))


def test_findings_say_which_and_why():
    found = find_columns(table(sentence=TEXTS, label=list("01") * 6, subject=SECONDS))
    assert found.findings == [
        "text: column 'sentence' (by name)", "label: column 'label' (by name)", "not used: 'subject'",
    ]  # fmt: skip


def test_labels_as_numbers_are_ordered_by_size_and_written_one_way():
    values = canonical(["10", "1.0", " 0 ", "1", "", None, "nan", "-100", "2"])
    assert values == ["10", "1", "0", "1", None, None, None, None, "2"]
    assert label_set(values, "data.csv").names == ("0", "1", "2", "10")


CODES = ["1.1", "1.2", "1.9", "1.10", "1.11", "2", "2.1", "2.10"]


def test_codes_that_are_equal_as_numbers_stay_different_classes():
    assert canonical(CODES) == CODES and canonical([*CODES, "2.0", "-100.0"])[-2:] == ["2", None]
    (warning,) = label_set(CODES, "x").warnings
    assert warning.startswith("The labels '1.1', '1.10' are equal as numbers, and count as different ones.")
    assert canonical(["1.9", "1.10"]) == ["1.9", "1.10"]  # without a 1.1 as well
    assert canonical(CODES, ["1.10", "2.10"])[-2:] == ["1.10", "2.10"]  # a few of them, to measure on
    assert canonical(["1.10", "2.10"], known=CODES) == ["1.10", "2.10"]
    assert aligned(["1.10", "1.1", "2.0"], CODES, "x")[0].tolist() == [3, 0, 5]
    with pytest.raises(InputError, match=r"does not know: '1.10'"):  # it never learned to tell it from 1.1
        aligned(["1.1", "1.10"], ["1.1", "1.2"], "x")


def test_a_number_is_one_class_however_files_write_it():
    assert canonical(["0.5", "1.0"], ["0.50", "1.00"], [".50"]) == ["0.5", "1", "0.5", "1", "0.5"]
    assert canonical(["01", "1", "1.0", "1e0", "2"]) == ["1", "1", "1", "1", "2"]
    assert aligned(["0.5", "1"], ["0.50", "1.00"], "x")[0].tolist() == [0, 1]
    assert label_set(canonical(["0.5", "1.0", "1"]), "x").warnings == []


def test_labels_as_words():
    assert canonical(["b", "None", "null", "NaN", " a "]) == ["b", "None", None, None, "a"]
    assert order({"b", "B", "10", "a"}) == ("10", "B", "a", "b")
    assert canonical(["True", "false", "TRUE"]) == ["true", "false", "true"]
    assert label_set(["true", "false"], "x").names == ("false", "true")
    assert canonical(["0.5", "1.50", "yes"]) == ["0.5", "1.50", "yes"]
    assert label_set(["-1", "0.5", "1"], "x").names == ("-1", "0.5", "1")


def test_words_that_stand_for_no_label_are_told(tmp_path):
    rows = [f"film number {number},{('yes', 'no', 'null')[number % 3]}" for number in range(18)]
    (tmp_path / "a.csv").write_text("\n".join(["text,label", *rows, "an odd one,NULL", "none at all,", ""]))
    loaded = load(DataSpec(train=str(tmp_path / "a.csv"), eval_fraction=0.2), seed=1)
    assert any("'null' is read as no label (6 rows)" in text for text in loaded.findings)
    assert any("'NULL' is read as no label (1 row)" in text for text in loaded.findings)


def test_labels_that_differ_in_case_are_pointed_out():
    assert "'Spam', 'spam'" in label_set(["Spam", "spam", "ham"], "x").warnings[0]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([None, None], "has no labels"),
        (["a", "a"], "All labels of data.csv are 'a'"),
        ([str(i / 7) for i in range(50)], "look like scores"),
        ([f"text number {i}" for i in range(100)], "100 different values in 100 rows"),
    ],
)
def test_labels_that_are_none_are_refused(values, message):
    with pytest.raises(InputError, match=message):
        label_set(values, "data.csv")


def test_a_single_class_is_told_where_a_teacher_may_know_others():
    found = label_set(["a", None, "a"], "data.csv", lone=True)
    assert found.names == ("a",) and found.warnings == [
        "All labels of data.csv are 'a': only a trained teacher can tell it from others."
    ]


def test_alignment_is_by_name():
    indices, notes = aligned(["pos", None, "neg"], ["neg", "neutral", "pos"], "data.csv")
    assert indices.tolist() == [2, -100, 0] and indices.dtype == np.int64
    assert notes == ["1 of 3 labels occur nowhere in data.csv"]
    assert aligned(["POS", "Neg"], ["neg", "pos"], "x")[0].tolist() == [1, 0]
    assert aligned(["1", "0"], ["0.0", "1.0"], "x")[0].tolist() == [1, 0]
    assert aligned(["1", "0"], ["LABEL_0", "LABEL_1"], "x")[0].tolist() == [1, 0]


def test_labels_the_model_does_not_know_are_named():
    with pytest.raises(InputError, match=r"does not know: 'meh', 'ok'.*'neg', 'pos'"):
        aligned(["ok", "meh", "pos"], ["neg", "pos"], "data.csv")
    with pytest.raises(InputError, match="'0', '1'"):  # which of two words 0 means is not guessed
        aligned(["0", "1"], ["neg", "pos"], "data.csv")
    with pytest.raises(InputError, match="Where '-' means that there is no label, leave the cell empty"):
        aligned(["-", "pos"], ["neg", "pos"], "data.csv")
    with pytest.raises(InputError, match="Where '-1' means"):  # as test data of GLUE has
        aligned(["-1", "-1"], ["0", "1"], "data.csv")


def test_stars_of_amazons_reviews_are_the_label():
    columns = {"asin": ["B1", "B2"] * 6, "reviewText": TEXTS, "overall": list("12345" * 2 + "12")}
    assert chosen(table(**columns)) == ("reviewText", None, "overall")
