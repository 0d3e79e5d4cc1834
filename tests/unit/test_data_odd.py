"""Data as it is found: half characters, JSON in one line, answers in other shapes, scripts other than Latin."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tiny
import transformers
from qtinker import data
from qtinker.data import Examples
from qtinker.data.examples import word_count
from qtinker.data.loading import load_examples
from qtinker.errors import InputError
from qtinker.predicted import words_of
from qtinker.spec import DataSpec

TEXTS = [f"this is text {i}" for i in range(40)]


def written(path, text):
    path.write_text(text, encoding="utf-8")
    return str(path)


def loaded(path, **more):
    return data.load(DataSpec(train=path, **more), seed=0)


def every(found):
    return {*found.train.texts, *found.eval.texts}


def test_half_a_character_is_replaced_and_told(tmp_path):
    rows = [
        json.dumps({"text": f"this HALF is {i}", "label": "ab"[i % 2]}).replace("HALF", r"\ud83d") for i in range(20)
    ]
    found = loaded(written(tmp_path / "a.jsonl", "\n".join(rows)))
    assert "this \ufffd is 3" in every(found)
    assert "20 cells hold half a character" in "".join(found.warnings)
    whole = loaded(written(tmp_path / "b.jsonl", "\n".join(row.replace(r"\ud83d", r"\ud83d\ude00") for row in rows)))
    assert "this \U0001f600 is 3" in every(whole) and "half a character" not in "".join(whole.warnings)


@pytest.mark.parametrize("indent", [None, 1])
def test_json_is_read_whatever_its_line_breaks(tmp_path, indent):
    rows = [{"text": text, "label": "ab"[i % 2]} for i, text in enumerate(TEXTS)]
    columns = {name: [row[name] for row in rows] for name in ("text", "label")}
    for content in ({"data": rows}, columns, rows):
        assert every(loaded(written(tmp_path / "o.json", json.dumps(content, indent=indent)))) == set(TEXTS)


def test_lines_of_json_under_another_name_may_hold_any_character(tmp_path):
    rows = [json.dumps({"text": f"{text}\u2028and", "label": "ab"[i % 2]}, ensure_ascii=False)
            for i, text in enumerate(TEXTS)]  # fmt: skip
    assert len(every(loaded(written(tmp_path / "o.json", "\n".join(rows))))) == len(TEXTS)


def test_a_header_with_a_name_twice_is_a_header(tmp_path):
    rows = [f"{text},{'ab'[i % 2]},{'xy'[i % 2]}" for i, text in enumerate(TEXTS)]
    found = loaded(written(tmp_path / "d.csv", "\n".join(["text,label,label", *rows])))
    assert found.task.labels == ("a", "b") and every(found) == set(TEXTS)


# --- numbers -----------------------------------------------------------------------------------------------------


def test_points_and_commas_in_one_column_are_refused(tmp_path):
    rows = [f'{text},"1,0{i + 10}"' if i % 2 else f"{text},{i}.5" for i, text in enumerate(TEXTS)]
    path = written(tmp_path / "s.csv", "\n".join(["text,score", *rows]))
    with pytest.raises(InputError, match=r"numbers with a comma and with a point, such as '1,011' and '0.5'"):
        data.load(DataSpec(train=path, label_column="score"), seed=0, task="regression")


def test_a_number_too_great_to_compute_with_is_refused(tmp_path):
    rows = [f"{text},{'1e39' if i == 7 else i / 8}" for i, text in enumerate(TEXTS)]
    with pytest.raises(InputError, match="labels that are no numbers, such as '1e39'"):
        data.load(DataSpec(train=written(tmp_path / "s.csv", "\n".join(["text,score", *rows]))), seed=0,
                  task="regression")  # fmt: skip


def test_long_numbers_stay_different_classes(tmp_path):
    rows = [f"{text},{9007199254740992 + i % 2}" for i, text in enumerate(TEXTS)]
    found = loaded(written(tmp_path / "n.csv", "\n".join(["text,label", *rows])))
    assert found.task.labels == ("9007199254740992", "9007199254740993")


# --- texts without labels ----------------------------------------------------------------------------------------


def test_made_up_names_of_columns_do_not_meet(tmp_path):
    train = written(tmp_path / "a.tsv", "\n".join(f"{text}\t{'ab'[i % 2]}" for i, text in enumerate(TEXTS)))
    more = written(tmp_path / "u.tsv", "\n".join(f"x{i}\tgood day to number {i}" for i in range(12)))
    found = load_examples(DataSpec(train=train, unlabelled=[more]), seed=0)
    assert [text for text in found.train.texts if text.startswith("x")] == []
    assert "good day to number 3" in found.train.texts


def test_lists_of_words_that_are_none_are_named(tmp_path):
    rows = [{"tokens": ["a", f"b{i}"], "tags": ["O", "B-x"]} for i in range(20)]
    train = written(tmp_path / "t.jsonl", "\n".join(map(json.dumps, rows)))
    odd = written(tmp_path / "u.jsonl", '{"tokens": ["a", "c"]}\n{"tokens": "c d"}\n')
    with pytest.raises(InputError, match=r"u.jsonl, sentence 2: expected a list, found 'c d'"):
        load_examples(DataSpec(train=train, unlabelled=[odd]), seed=0)


# --- questions ---------------------------------------------------------------------------------------------------


def asked(tmp_path, answers, context="Paris is big"):
    rows = [{"question": f"What {i}?", "context": f"{context} {i}", "answers": answers} for i in range(10)]
    return load_examples(DataSpec(train=written(tmp_path / "q.jsonl", "\n".join(map(json.dumps, rows)))), seed=0)


@pytest.mark.parametrize(("answers", "label", "right"), [
    ({"text": "Paris", "answer_start": [0]}, [0, 5], ["Paris"]),
    ({"text": "Paris", "answer_start": 0}, [0, 5], ["Paris"]),
    ({"text": ["big"], "answer_start": [-5]}, [9, 12], ["big"]),
    ({"text": [""], "answer_start": [-1]}, [0, 0], [""]),
    ({"text": ["", "big"], "answer_start": [0, 9]}, [9, 12], ["big"]),
    ([{"text": "big", "answer_start": 9}], [9, 12], ["big"]),
    ([], [0, 0], [""]),
])  # fmt: skip
def test_answers_in_other_shapes(tmp_path, answers, label, right):
    found = asked(tmp_path, answers)
    assert found.train.labels[0].tolist() == label and found.train.answers[0] == right


@pytest.mark.parametrize("answers", [
    {"text": ["Paris"], "answer_start": []}, {"text": ["Paris"], "answer_start": [float("inf")]},
    {"text": ["Paris"]}, ["Paris"],
])  # fmt: skip
def test_answers_that_are_none_are_refused(tmp_path, answers):
    with pytest.raises(InputError, match=r"question 1: .* is no list of answers"):
        asked(tmp_path, answers)


@pytest.mark.parametrize(("columns", "label"), [
    ({"answers.text": ["big"], "answers.answer_start": [9]}, [9, 12]),
    ({"answers.text": [], "answers.answer_start": []}, [0, 0]),
    ({"answer_text": "big", "answer_start": 9.0}, [9, 12]),
    ({"answer": "big", "answer_start": 9}, [9, 12]),
    ({"text": "big", "answer_start": 9}, [9, 12]),
    ({"answer_text": "", "answer_start": -1}, [0, 0]),
    ({"answer_text": None, "answer_start": None}, [-100, -100]),
])  # fmt: skip
def test_answers_whose_texts_and_places_are_columns(tmp_path, columns, label):
    known = {"answer_text": "big", "answer_start": 9} if "answer_text" in columns else columns
    rows = [{"question": f"what {i}", "context": f"Paris is big {i}", **(columns if i else known)} for i in range(9)]
    path = written(tmp_path / "q.jsonl", "\n".join(map(json.dumps, rows)))
    found = load_examples(DataSpec(train=path, eval=path), seed=0)
    assert found.task_type == "question-answering" and found.train.labels[1].tolist() == label


def test_answers_without_places_are_found_in_their_contexts(tmp_path):
    rows = [{"context": f"Paris{i} is big {i}", "question": f"what {i}", "answer": f"big {i}"} for i in range(40)]
    rows[7]["answer"], rows[8]["answer"] = "", "small"
    path = written(tmp_path / "q.jsonl", "\n".join(map(json.dumps, rows)))
    found = load_examples(DataSpec(train=path, eval=path), seed=0)
    assert found.task_type == "question-answering" and found.train.labels[[0, 7, 8]].tolist() == [
        [10, 15], [-100, -100], [-100, -100],
    ]  # fmt: skip
    few = [{**row, "answer": ["is", "big"][i % 2]} for i, row in enumerate(rows)]
    path = written(tmp_path / "few.jsonl", "\n".join(map(json.dumps, few)))
    assert load_examples(DataSpec(train=path), seed=0).task_type == "classification"


def test_answers_as_pandas_prints_them_are_refused(tmp_path):
    rows = "".join(f"a{i},t,Paris is big {i},what {i},\"{{'text': ['big'], 'answer_start': [9]}}\"\n" for i in range(9))
    path = written(tmp_path / "q.csv", "id,title,context,question,answers\n" + rows)
    with pytest.raises(InputError, match=r"question 1: .* is no list of answers"):
        load_examples(DataSpec(train=path), seed=0)


@pytest.mark.parametrize("given", [{}, {"answers": []}, {"answers": [{"text": "big", "answer_start": 9}]}])
def test_a_question_that_is_impossible_has_no_answer(tmp_path, given):
    qas = [{"question": f"what {i}", "is_impossible": True, **given} for i in range(4)]
    content = {"data": [{"paragraphs": [{"context": "Paris is big", "qas": qas}]}]}
    path = written(tmp_path / "q.json", json.dumps(content))
    found = load_examples(DataSpec(train=path, eval=path), seed=0)
    assert found.train.labels.tolist() == [[0, 0]] * 4 and found.facts == {"unanswerable": True}


def test_answers_as_a_list_of_structs_in_parquet(tmp_path):
    answer = pa.list_(pa.struct([("text", pa.string()), ("answer_start", pa.int32())]))
    table = pa.table({
        "question": [f"what {i}" for i in range(10)], "context": [f"Paris is big {i}" for i in range(10)],
        "answers": pa.array([[{"text": "big", "answer_start": 9}]] * 10, answer),
    })  # fmt: skip
    pq.write_table(table, tmp_path / "q.parquet")
    found = load_examples(DataSpec(train=str(tmp_path / "q.parquet")), seed=0)
    assert found.train.labels[0].tolist() == [9, 12]


@pytest.mark.parametrize("edges", [(" ", " "), ("\u200b", "\u200b"), ("\n ", "\ufeff"), ("", "")])
def test_an_answer_that_touches_the_end_of_its_context_is_found(edges):
    """What is in no token - spaces, invisible signs - makes no answer a missing one."""
    context = f"{edges[0]}the plot was fine{edges[1]}"
    spans = np.array([[0, len(edges[0]) + 8], [len(context) - 4 - len(edges[1]), len(context)]])
    examples = Examples(["is it", "is it"], [context, context], spans, "spans", [["x"], ["x"]])
    encoded = data.encode(examples, tiny.tokenizer(), 24, cache=False)
    assert encoded.labels.tolist() == [[4, 5], [7, 7]]  # [CLS] is it [SEP] the plot was fine


def test_a_question_whose_letters_are_cut_into_several_tokens_is_shortened():
    """Uncased BERT breaks a Hangul syllable into its letters: fewer characters than tokens."""
    jamo = [chr(code) for code in range(0x1100, 0x11FF)]
    words = [*jamo, *(f"##{letter}" for letter in jamo), *tiny.WORDS]
    vocab = {word: number for number, word in enumerate([*tiny.SPECIAL, *words])}
    tok = transformers.BertTokenizer(vocab=vocab, model_max_length=20)
    question = "각각각각각 각각각각각"  # 11 letters, 30 tokens
    examples = Examples([question], ["the plot was fine"], np.array([[4, 8]]), "spans", [["plot"]])
    encoded = data.encode(examples, tok, 32, cache=False)
    assert encoded.lengths.max() <= 32 and (encoded.labels[:, 0] > 16).any()
    assert not tok.deprecation_warnings, "transformers warned of a length that is cut"


# --- words -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "words"), [
    ("दिल्ली में राम", ["दिल्ली", "में", "राम"]),
    ("Pari\u0301s, s\u00ed", ["Pari\u0301s", ",", "s\u00ed"]),
    ("ประเทศไทยที่", ["ประเทศไทยที่"]),
    ("می\u200cخواهم رفت", ["می\u200cخواهم", "رفت"]),
    ("@anna's #tag!", ["@anna's", "#tag", "!"]),
    ("去北京2008年AT&T。", ["去", "北", "京", "2008", "年", "AT&T", "。"]),
])  # fmt: skip
def test_marks_on_letters_part_no_words(text, words):
    assert [text[a:b] for a, b in words_of(text)] == words


@pytest.mark.parametrize(("text", "count"), [
    ("two words", 2), ("  ", 0), ("电池很好", 4), ("用BERT模型, ok", 6), ("日本語テキスト", 7), ("été à Nîmes", 3),
])  # fmt: skip
def test_lengths_count_each_character_of_a_script_without_spaces(text, count):
    assert word_count(text) == count
