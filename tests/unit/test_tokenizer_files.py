"""The tokenizers we write against Google's rules, on Google's vocabularies and tricky texts."""

from __future__ import annotations

import json
import random
import unicodedata
from pathlib import Path

import pytest
from google_tokenizer import tokens
from qtinker.errors import CheckpointError
from qtinker.tokenizer_files import SPECIAL, build_tokenizer, lower_cases, read_vocabulary, token_rules, write_tokenizer

VOCABULARIES = {
    "bert-base-uncased": True,
    "bert-base-cased": False,
    "bert-base-multilingual-cased": False,
    "bert-base-chinese": True,
    "bert-base-multilingual-cased, used as multilingual uncased": True,
}
TEXTS = [
    "Hello, WORLD! It's naïve: don't Ünterschätze the CAFÉ's façade -- 3.14 & 50% of #1 @ $2^10 ~ `x` <y> {z} |w| a_b",
    "ΟΔΟΣ ΟΔΟΣ. ΣΑΣ, Σ 'ΣΑΣ' ΜΆΪΟΣ-ΣΙΓΜΑ ΑΣ.ΑΣ Άσ᾽ ΌΣΟΣ’ς",
    "İSTANBUL ıI ẞß ŒUVRE ǅ ŉ ﬁn Ǆ Å Å K Ω é e\u0301 ő̈ Ꮳ ა Ა",
    "北京は東京より大きい、한국어 서울 カタカナ ひらがな ｶﾀｶﾅ 𠀀𫝀𫠠𫤟𬺯 ㄅ 々〇 豈 ﹏",
    "ภาษาไทย สวัสดี ไม่มีช่องว่าง हिन्दी भाषा क्षि தமிழ் العربيّة עִבְרִית ქართული Việt Nam ệ",
    "a\u2028b\u2029c\u0085d\x0be\x0cf\x1cg \u2028 \u3000\u00a0\u2003x\ttab\nline\r\nend",
    "zero\u200bwidth\u200djoiner\u00adsoft\ufeffbom\x00nul\ufffdrepl\x7fdel\u0600arab\u2060wj",
    "private \ue000 a\ue000b \U000f0000 \U0010fffd end",
    "😀 🥰 👨‍👩‍👧 🏳️‍🌈 ❤️ 1️⃣ 🇩🇪 🫠 a😀b",
    "“quotes” ‘single’ «guillemets» … — – ‐ • † ‰ ″ ¿ ¡ § ¶ · ؟ 、。 ⸘ ⹁ 𐄀 ՛ ׀",
    "€ £ ¥ © ® ™ ° ± × ÷ ½ ² № ∑ ∞ → ■ ♥ + = < > ^ $",
    "x" * 99 + " " + "x" * 100 + " " + "x" * 101 + " " + "ab" * 100 + " " + "x" * 201 + " é" * 3 + "é" * 200,
    "unaffable unbelievabilities antidisestablishmentarianism internationalization deutschsprachige",
    "https://example.org/a?b=c&d=%20 user.name+tag@mail.co.uk C:\\Temp\\x __init__ don''t ''",
    "", " ", "\u2028", "\u0301", "\u0301a", ".", "##", "##ing", "[unused1] [ MASK ]",
]  # fmt: skip


@pytest.fixture(scope="module")
def vocabularies(real_data) -> dict[str, list[str]]:
    found = {name: real_data / "vocab" / f"{name.split(',')[0]}.vocab.txt" for name in VOCABULARIES}
    return {name: read_vocabulary(path) for name, path in found.items()}


@pytest.mark.real_data
@pytest.mark.parametrize("name", VOCABULARIES)
def test_written_tokenizers_are_googles(vocabularies, name, tmp_path):
    from transformers import AutoTokenizer

    vocabulary, lower = vocabularies[name], VOCABULARIES[name]
    write_tokenizer(tmp_path, vocabulary, do_lower_case=lower, max_length=512)
    (tmp_path / "config.json").write_text('{"model_type": "bert"}', encoding="utf-8")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    ids = {token: number for number, token in enumerate(vocabulary)}
    for text in TEXTS:
        expected = tokens(text, ids, lower=lower)
        assert tokenizer.tokenize(text) == expected, text
        assert tokenizer(text)["input_ids"] == [ids["[CLS]"], *(ids[token] for token in expected), ids["[SEP]"]]
    assert tokenizer.model_max_length == 512 and len(tokenizer) == len(vocabulary)
    assert [tokenizer.convert_tokens_to_ids(token) for token in SPECIAL] == [ids[token] for token in SPECIAL]
    assert (tokenizer.mask_token, tokenizer.pad_token_id) == ("[MASK]", ids["[PAD]"])
    pair = tokenizer("a b", "c")
    assert pair["token_type_ids"] == [0, 0, 0, 0, 1, 1] and pair["attention_mask"] == [1] * 6
    assert tokenizer("a [MASK] b")["input_ids"][2] == ids["[MASK]"]


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["bert-base-uncased", "bert-base-cased"])
def test_written_tokenizers_survive_saving_by_transformers(vocabularies, name, tmp_path):
    from transformers import AutoTokenizer

    write_tokenizer(tmp_path, vocabularies[name], do_lower_case=VOCABULARIES[name], max_length=512)
    (tmp_path / "config.json").write_text('{"model_type": "bert"}', encoding="utf-8")
    first = AutoTokenizer.from_pretrained(tmp_path)
    first.save_pretrained(tmp_path / "again")
    (tmp_path / "again" / "config.json").write_text('{"model_type": "bert"}', encoding="utf-8")
    again = AutoTokenizer.from_pretrained(tmp_path / "again")
    for text in TEXTS:
        assert again.tokenize(text) == first.tokenize(text)


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["bert-base-uncased", "bert-base-multilingual-cased"])
def test_random_mixes_of_characters_are_googles(vocabularies, name):
    """Any character of Unicode 14 or older between letters, blanks and marks; those that Unicode later moved aside."""
    lower, vocabulary = VOCABULARIES[name], vocabularies[name]
    ids = {token: number for number, token in enumerate(vocabulary)}
    tokenizer = build_tokenizer(vocabulary, do_lower_case=lower)
    moved = {0x166D, 0x1734, 0x11938, 0x111C9, 0x180F}
    old = unicodedata.ucd_3_2_0
    points = [
        point for point in range(0x110000)
        if old.category(chr(point)) not in ("Cs", "Cn")
        and (old.category(chr(point)) == unicodedata.category(chr(point))) and point not in moved
    ]  # fmt: skip
    rng = random.Random(11)
    for _ in range(3000):
        text = "".join(chr(rng.choice(points)) if rng.random() < 0.4 else rng.choice("aZé .'Σ") for _ in range(12))
        assert tokenizer.encode(text, add_special_tokens=False).tokens == tokens(text, ids, lower=lower), text


@pytest.mark.real_data
def test_the_chinese_vocabulary_keeps_its_line_separator(vocabularies):
    vocabulary = vocabularies["bert-base-chinese"]
    assert len(vocabulary) == 21128 and "\u2028" in vocabulary
    assert len("\n".join(vocabulary).splitlines()) == 21130


@pytest.mark.real_data
@pytest.mark.parametrize("name", list(VOCABULARIES)[:4])
def test_case_is_told_by_the_name_or_else_by_the_vocabulary(vocabularies, name):
    assert lower_cases(vocabularies[name]) is VOCABULARIES[name]


@pytest.mark.parametrize(
    ("name", "lower"),
    [
        ("uncased_L-12_H-768_A-12", True), ("cased_L-12_H-768_A-12", False), ("wwm_cased_L-24_H-1024_A-16", False),
        ("wwm_uncased_L-24_H-1024_A-16.zip", True), ("multi_cased_L-12_H-768_A-12", False),
        ("multilingual_L-12_H-768_A-12", True), ("chinese_L-12_H-768_A-12", True), ("my-Chinese_L-12_H-768", True),
        ("bert-multilingual-uncased", True), ("bert-multilingual-cased", False),
    ],
)  # fmt: skip
def test_googles_names_tell_the_case_whatever_the_vocabulary(name, lower):
    assert lower_cases([*SPECIAL, "Upper"], name) is lower
    assert lower_cases([*SPECIAL, "lower"], name) is lower


def test_special_tokens_are_no_capitals():
    assert lower_cases([*SPECIAL, "<S>", "[unused1]", "a"], "folder") is True
    assert lower_cases([*SPECIAL, "a", "##B"], "folder") is False


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("last", [True, False])
def test_vocabulary_files_with_any_line_ends(tmp_path, end, last):
    wanted = [*SPECIAL, "a", "\u2028", "b\u0085", "##c"]
    path = tmp_path / "vocab.txt"
    path.write_bytes(("\ufeff" + end.join(wanted) + end * last).encode())
    assert read_vocabulary(path) == wanted


@pytest.mark.real_data
def test_a_real_crlf_vocabulary(real_data):
    path = real_data / "truncated" / "victorniga-truncated-safetensors" / "vocab.txt"
    assert b"\r\n" in path.read_bytes()
    vocabulary = read_vocabulary(path)
    assert len(vocabulary) == 30522 and not any(token.endswith("\r") for token in vocabulary)


def test_files_that_are_no_vocabulary(tmp_path):
    path = tmp_path / "vocab.txt"
    for content, message in [
        (None, "vocab.txt is missing"),
        (b"\xff\xfe\x00", "byte 0 is not UTF-8"),
        (b"[PAD]\n[UNK]\n[CLS]\nx\n", "it lacks [SEP], [MASK]"),
    ]:
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(CheckpointError) as caught:
            read_vocabulary(path)
        assert message in caught.value.message


def test_a_token_that_is_there_twice_has_its_last_id(tmp_path):
    tokenizer = build_tokenizer([*SPECIAL, "a", "b", "a"], do_lower_case=True)
    assert tokenizer.encode("a b", add_special_tokens=False).ids == [7, 6]


def test_what_is_written_says_the_case(tmp_path):
    for lower in (True, False):
        write_tokenizer(tmp_path, [*SPECIAL, "a", "A", "á"], do_lower_case=lower, max_length=20)
        config = json.loads((tmp_path / "tokenizer_config.json").read_text(encoding="utf-8"))
        assert config["do_lower_case"] is lower and config["model_max_length"] == 20
    assert Path(tmp_path / "vocab.txt").read_bytes() == "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nA\ná\n".encode()


@pytest.mark.parametrize("lower", [True, False])
def test_the_exact_rules_count_as_the_plain_ones(tmp_path, lower):
    """So that a converted checkpoint and a Hub model with the same vocabulary can teach each other."""
    from transformers import BertTokenizer

    vocabulary = [*SPECIAL, "a", "A"]
    plain = BertTokenizer(vocab={token: number for number, token in enumerate(vocabulary)}, do_lower_case=lower)
    plain_rules = token_rules(json.loads(plain.backend_tokenizer.to_str()))
    assert token_rules(json.loads(build_tokenizer(vocabulary, do_lower_case=lower).to_str())) == plain_rules
    assert token_rules(json.loads(build_tokenizer(vocabulary, do_lower_case=not lower).to_str())) != plain_rules
    more = {"strip_accents": not lower, "tokenize_chinese_chars": False}
    odd = BertTokenizer(vocab=plain.get_vocab(), do_lower_case=lower, **more)
    odd_rules = token_rules(json.loads(odd.backend_tokenizer.to_str()))
    assert token_rules(json.loads(build_tokenizer(vocabulary, do_lower_case=lower, **more).to_str())) == odd_rules
    assert odd_rules != plain_rules
    other = json.loads(plain.backend_tokenizer.to_str())
    other["normalizer"] = {"type": "Sequence", "normalizers": [other["normalizer"], {"type": "NFKC"}]}
    assert token_rules(other) != plain_rules
