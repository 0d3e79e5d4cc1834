"""Tags of words: CoNLL columns, lists of tokens and tags, and what is refused."""

from __future__ import annotations

import json

import pytest
import tiny
from data_files import CONLL, csv_of, kind_of, written
from qtinker import data
from qtinker.data import Examples, Ragged
from qtinker.errors import InputError
from qtinker.spec import DataSpec


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


def test_numbers_of_words_are_no_words(tmp_path):
    """GermEval's columns; a first column that happens to begin with 1 is one of words."""
    text = "# http://a.example [2009-10-17]\n1\tEU\tO\tB-ORG\n2\tis\tO\tO\n\n1\tRome\tO\tB-LOC\n\n"
    found = data.load(DataSpec(train=(path := written(tmp_path / "n.tsv", text * 5)), eval=path), seed=0)
    assert {*found.train.texts} == {"EU is", "Rome"}
    assert "format: CoNLL columns, the word after its number, the tag last" in found.findings
    text = "1 CD B-N\n3 CD I-N\n\n1 CD B-N\n2 CD O\n\n"
    plain = data.load(DataSpec(train=(path := written(tmp_path / "p.conll", text)), eval=path), seed=0)
    assert {*plain.train.texts} == {"1 3", "1 2"}


@pytest.mark.parametrize("name", ["a.txt", "a.tsv", "a"])
def test_tags_are_found_by_their_few_names(tmp_path, name):
    """Tags without B- and I-, and parts of speech; pairs of words that never come again are a table or a text."""
    text = "Rome\tcity\nis\tO\nold\tO\n\nOslo\tcity\ntoo\tO\n\n"
    assert kind_of(written(tmp_path / name, text * 8)).labels == ("O", "city")
    named = kind_of(written(tmp_path / name, text.replace("city", "big-city") * 8))
    assert "2 tags of 1 types: big-city" in named.findings
    verse = "".join(f"line {number}\n" * 2 + "\n" for number in range(40))
    assert kind_of(written(tmp_path / "verse.txt", verse)).task_type == "masked-lm"
    doubled = "".join(f"这个产品很好我非常喜欢{number}\t{number % 2}\n\n" for number in range(40))
    assert kind_of(written(tmp_path / "doubled.tsv", doubled)).task_type == "classification"


@pytest.mark.parametrize("name", ["a.conllu", "a.txt", "a"])
def test_conll_u_has_its_tags_in_the_fourth_column(tmp_path, name):
    rest, joined = "\t_\t_\t0\troot\t_\tSpaceAfter=No\n", "1-2\tau" + "\t_" * 8
    one = f"# text = au feu\n{joined}\n1\tà\tà\tADP{rest}2\tle\tle\tDET{rest}3\tfeu\tfeu\tNOUN{rest}\n"
    found = kind_of(path := written(tmp_path / name, one * 3), eval=path)
    assert found.train.texts[0] == "à le feu" and found.labels == ("ADP", "DET", "NOUN")
    assert found.train.labels[0].tolist() == [0, 1, 2]
    assert "format: CoNLL-U, the tag is the part of speech (UPOS)" in found.findings


def test_tags_with_an_underscore_are_told(tmp_path):
    text = "EU\tB_ORG\nParliament\tI_ORG\nis\tO\n\n" * 9
    assert any("underscore after B and I" in line for line in kind_of(written(tmp_path / "t.txt", text)).warnings)
    other = text.replace("I_ORG", "mail_address")
    assert not any("underscore after" in line for line in kind_of(written(tmp_path / "o.txt", other)).warnings)


def test_the_other_part_of_a_tag_is_not_misspelt(tmp_path):
    text = "EU\tB-ORG\nis\tO\n\n" * 9 + "EU\tI-ORG\nwas\tB-OGR\n\n"
    warnings = kind_of(path := written(tmp_path / "t.txt", text), eval=path).warnings
    assert [line for line in warnings if "misspelt" in line] == ["'B-OGR' looks like 'B-ORG' misspelt."]


def test_the_line_above_a_sentence_may_have_columns(tmp_path):
    text = "# id 6fe1-4b\tdomain=en\nEU _ _ B-ORG\nis _ _ O\n\n# id 7a\tdomain=en\nRome _ _ B-LOC\nis _ _ O\n\n"
    path = written(tmp_path / "m.txt", text)
    assert {*kind_of(path, eval=path).train.texts} == {"EU is", "Rome is"}


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


def test_tokens_that_hold_spaces_are_those_of_the_plain_text():
    """GPT-2 has learned ` film`, and reads `film` at the beginning of a text only."""
    tok, text = tiny.byte_level(), "the film was quite fine , not awful"
    examples = Examples([text, "a\u00a0b c"], None, Ragged.of([[0, 1, 2, 0, 1, 2, 0, 1], [1, 2]]), "words")
    encoded = data.encode(examples, tok, 32, cache=False)
    first, second = (encoded.input_ids[a:b] for a, b in zip(encoded.offsets[:-1], encoded.offsets[1:], strict=True))
    assert first.tolist() == tok(text)["input_ids"]
    tokens = ["the", "Ġfilm", "Ġwas", "Ġquite", "Ġfine", "Ġ", ",", "Ġnot", "Ġawful"]
    assert tok.convert_ids_to_tokens(first) == tokens
    assert encoded.extras["word_ids"].tolist()[:9] == [0, 1, 2, 3, 4, -1, 5, 6, 7], "a lone space is no word's token"
    assert encoded.labels.tolist()[:9] == [0, 1, 2, 0, 1, -100, 2, 0, 1]
    assert second.tolist() == tok("a\u00a0b c")["input_ids"] and encoded.labels.tolist()[9] == 1
    assert data.encode(examples, tiny.tokenizer(), 32, cache=False).extras["word_ids"].max() == 7
