"""Tokens, their cache, batches by length, and padding."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from qtinker import data
from qtinker.data import budget_batches, sample
from qtinker.data.tokens import Encoded
from qtinker.home import cache_dir
from transformers import AutoTokenizer, BertTokenizerFast

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "c", "##c", "d"]


@pytest.fixture
def tokenizer():
    return BertTokenizerFast(vocab={word: number for number, word in enumerate(WORDS)}, do_lower_case=True)


def rows(encoded):
    return [encoded.input_ids[a:b].tolist() for a, b in zip(encoded.offsets, encoded.offsets[1:], strict=False)]


@pytest.mark.parametrize("cache", [False, True])
def test_flat_arrays_by_hand(tokenizer, cache):
    examples = data.Examples(["a bc", "A", "a b c d a b"], labels=np.array([1, -100, 0]))
    encoded = data.encode(examples, tokenizer, 6, cache=cache)
    assert rows(encoded) == [[2, 5, 6, 8, 3], [2, 5, 3], [2, 5, 6, 7, 9, 3]]
    assert encoded.lengths.tolist() == [5, 3, 6] and len(encoded) == 3
    assert encoded.truncated == 1 and encoded.token_type_ids is None
    assert encoded.labels.tolist() == [1, -100, 0]
    assert encoded.input_ids.dtype == np.int32 and encoded.offsets.dtype == np.int64


@pytest.mark.parametrize("cache", [False, True])
def test_pairs_have_token_types(tokenizer, cache):
    encoded = data.encode(data.Examples(["a", "b c"], ["d d", "a"]), tokenizer, 16, cache=cache)
    assert rows(encoded) == [[2, 5, 3, 9, 9, 3], [2, 6, 7, 3, 5, 3]]
    assert encoded.token_type_ids.tolist() == [0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 1, 1]


def test_the_cache_is_read_not_written_again(tokenizer):
    examples = data.Examples(["a b", "c"], labels=np.array([0, 1]))
    first = data.encode(examples, tokenizer, 8)
    folder = cache_dir() / "tokens" / first.key
    assert sorted(path.name for path in folder.parent.iterdir()) == [first.key]  # nothing half-made beside it
    changed = np.load(folder / "input_ids.npy")
    changed[1] = 9
    np.save(folder / "input_ids.npy", changed)
    relabelled = data.Examples(["a b", "c"], labels=np.array([1, 1]))
    again = data.encode(relabelled, tokenizer, 8)
    assert again.key == first.key and again.input_ids[1] == 9 and isinstance(again.input_ids, np.memmap)
    assert again.labels.tolist() == [1, 1]
    with pytest.raises(ValueError, match="read-only"):
        again.input_ids[0] = 0


@pytest.mark.parametrize("name", ["meta.json", "input_ids.npy", "offsets.npy"])
def test_a_damaged_cache_is_made_anew(tokenizer, name):
    examples = data.Examples(["a b", "c"])
    key = data.encode(examples, tokenizer, 8).key
    path = cache_dir() / "tokens" / key / name
    path.write_bytes(path.read_bytes()[:-6])
    assert rows(data.encode(examples, tokenizer, 8)) == [[2, 5, 6, 3], [2, 7, 3]]


def test_the_key_follows_the_content(tokenizer):
    base = data.encode(data.Examples(["ab", "c"]), tokenizer, 8, cache=False).key
    assert data.encode(data.Examples(["a", "bc"]), tokenizer, 8, cache=False).key != base
    assert data.encode(data.Examples(["ab", "c"]), tokenizer, 9, cache=False).key != base
    assert data.encode(data.Examples(["ab", "c"], ["", ""]), tokenizer, 8, cache=False).key != base
    other = BertTokenizerFast(vocab={word: number for number, word in enumerate(WORDS)}, do_lower_case=False)
    assert data.encode(data.Examples(["ab", "c"]), other, 8, cache=False).key != base


def test_using_a_tokenizer_does_not_change_its_keys(tokenizer):
    before = data.tokenizer_key(tokenizer)
    key = data.encode(data.Examples(["a"]), tokenizer, 8, cache=False).key
    tokenizer(["a", "b c"], padding=True, truncation=True, max_length=3)
    assert data.tokenizer_key(tokenizer) == before
    assert data.encode(data.Examples(["a"]), tokenizer, 8, cache=False).key == key


def test_tokenizer_key_is_about_content(tokenizer, tmp_path):
    key = data.tokenizer_key(tokenizer)
    tokenizer.save_pretrained(tmp_path)
    assert data.tokenizer_key(AutoTokenizer.from_pretrained(tmp_path)) == key
    vocab = {word: number for number, word in enumerate(WORDS)}
    assert data.tokenizer_key(BertTokenizerFast(vocab=vocab, do_lower_case=False)) != key
    swapped = vocab | {"a": vocab["b"], "b": vocab["a"]}
    assert data.tokenizer_key(BertTokenizerFast(vocab=swapped, do_lower_case=True)) != key


def test_many_examples_cross_the_parts(tokenizer):
    texts = ["a b", "c", "d d d"] * 6000
    cached = data.encode(data.Examples(texts), tokenizer, 8)
    plain = data.encode(data.Examples(texts), tokenizer, 8, cache=False)
    assert np.array_equal(cached.input_ids, plain.input_ids) and np.array_equal(cached.offsets, plain.offsets)
    assert rows(cached)[-3:] == [[2, 5, 6, 3], [2, 7, 3], [2, 9, 9, 9, 3]]


def test_no_examples(tokenizer):
    encoded = data.encode(data.Examples([]), tokenizer, 8)
    assert len(encoded) == 0 and data.epoch_batches(encoded.lengths, 4, seed=0, epoch=0) == []


def test_batches_hold_every_example_once_and_depend_on_seed_and_epoch():
    lengths = np.random.default_rng(0).integers(3, 60, 1003)
    batches = data.epoch_batches(lengths, 8, seed=1, epoch=0, pool=10)
    assert sorted(np.concatenate(batches)) == list(range(1003))
    assert sorted(map(len, batches)) == [3] + [8] * 125
    same = data.epoch_batches(lengths, 8, seed=1, epoch=0, pool=10)
    assert all(np.array_equal(a, b) for a, b in zip(batches, same, strict=True))
    for other in (data.epoch_batches(lengths, 8, seed=1, epoch=1), data.epoch_batches(lengths, 8, seed=2, epoch=0)):
        assert {tuple(sorted(batch)) for batch in other} != {tuple(sorted(batch)) for batch in batches}


def test_batches_are_the_same_everywhere():
    # Written down once; another platform or version must come to the same.
    batches = data.epoch_batches(np.array([5, 3, 9, 4, 7, 6, 8, 2]), 2, seed=7, epoch=3, pool=2)
    assert [batch.tolist() for batch in batches] == BATCHES


BATCHES = [[6, 2], [3, 0], [5, 4], [7, 1]]


def test_batches_are_not_ordered_by_length():
    lengths = np.random.default_rng(0).integers(3, 60, 3200)
    longest = [int(lengths[batch].max()) for batch in data.epoch_batches(lengths, 32, seed=0, epoch=0)]
    assert abs(np.corrcoef(np.arange(len(longest)), longest)[0, 1]) < 0.3


def test_batches_by_tokens_are_longest_first_and_within_the_budget():
    lengths = np.array([3, 9, 4, 20, 5, 4, 1])
    batches = [batch.tolist() for batch in budget_batches(lengths, tokens=18, most=3)]
    assert batches == [[3], [1, 4], [2, 5, 0], [6]], "one that is longer than the budget goes alone"
    assert budget_batches(np.zeros(0, np.int64), tokens=18, most=3) == []


def test_padding_waste_by_hand():
    assert data.padding_waste(np.array([2, 4, 3, 3]), [np.array([0, 1]), np.array([2, 3])]) == pytest.approx(2 / 14)


def encoded_by_hand(labels, types=True):
    return Encoded(
        input_ids=np.array([2, 5, 3, 2, 6, 7, 9, 3], np.int32),
        offsets=np.array([0, 3, 8]),
        token_type_ids=np.array([0, 0, 0, 0, 0, 1, 1, 1], np.uint8) if types else None,
        labels=np.asarray(labels),
        truncated=0,
        key="k",
    )


def test_collate_by_hand():
    batch = data.collate(encoded_by_hand([4, -100]), [1, 0], model_inputs=None, pad_token_id=1, pad_to_multiple_of=4)
    assert batch["input_ids"].tolist() == [[2, 6, 7, 9, 3, 1, 1, 1], [2, 5, 3, 1, 1, 1, 1, 1]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 1, 1, 0, 0, 0], [1, 1, 1, 0, 0, 0, 0, 0]]
    assert batch["token_type_ids"].tolist() == [[0, 0, 1, 1, 1, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0]]
    assert batch["labels"].tolist() == [-100, 4] and batch["example_ids"].tolist() == [1, 0]
    assert {tensor.dtype for tensor in batch.values()} == {torch.int64}


def test_collate_gives_a_model_only_what_it_takes():
    names = {"input_ids", "attention_mask"}
    batch = data.collate(encoded_by_hand([0, 1]), np.array([0]), model_inputs=names, pad_token_id=0)
    assert set(batch) == names | {"labels", "example_ids"} and batch["input_ids"].shape == (1, 3)
    bert = data.collate(
        encoded_by_hand([0, 1], types=False), [0, 1], model_inputs=names | {"token_type_ids"}, pad_token_id=0
    )
    assert bert["token_type_ids"].tolist() == [[0] * 5, [0] * 5]


def test_collate_takes_the_labels_of_other_tasks():
    scores = data.collate(encoded_by_hand(np.array([0.5, np.nan])), [1, 0], pad_token_id=0)["labels"]
    assert scores.dtype == torch.float32 and scores[0].isnan() and scores[1] == 0.5
    several = data.collate(encoded_by_hand(np.array([[1.0, 0.0], [0.0, 1.0]])), [1], pad_token_id=0)["labels"]
    assert several.tolist() == [[0.0, 1.0]]
    words = encoded_by_hand(np.array([-100, 1, -100, -100, 0, 2, 2, -100]))
    words.form, words.extras = "words", {"word_ids": np.array([-1, 0, -1, -1, 0, 1, -1, -1])}
    tokens = data.collate(words, [0, 1], pad_token_id=0)
    assert tokens["answer_mask"].tolist() == [[0, 1, 0, 0, 0], [0, 1, 1, 0, 0]]
    assert tokens["labels"].tolist() == [[-100, 1, -100, -100, -100], [-100, 0, 2, 2, -100]]


@pytest.mark.real_data
def test_padding_waste_on_sst2_is_below_five_percent(real_data):
    vocab = (real_data / "vocab/bert-base-uncased.vocab.txt").read_text(encoding="utf-8").split("\n")[:-1]
    tokenizer = BertTokenizerFast(vocab={word: number for number, word in enumerate(vocab)}, do_lower_case=True)
    examples = data.load_eval(str(real_data / "sst2/train.tsv"))
    lengths = data.encode(examples, tokenizer, 128).lengths
    assert len(lengths) == 67_349 and lengths[:3].tolist() == [10, 11, 15]
    for batch_size in (16, 32, 64):
        waste = data.padding_waste(lengths, data.epoch_batches(lengths, batch_size, seed=1, epoch=0))
        assert waste < 0.05, batch_size


def test_the_samples_tokenizer_reloads_to_the_same(tmp_path):
    tokenizer = sample.tokenizer()
    tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    texts = [text for text, _ in sample.examples()[1][:200]] + ["Qwerty, ÄRGER! don't 12,5 €", "日本", ""]
    assert again(texts)["input_ids"] == tokenizer(texts)["input_ids"]
    assert data.tokenizer_key(again) == data.tokenizer_key(tokenizer)
    assert again.model_max_length == 128 and again.pad_token_id == 0


def test_the_samples_tokenizer_knows_its_words():
    tokenizer = sample.tokenizer()
    ids = data.encode(data.Examples([text for text, _ in sample.examples()[1]]), tokenizer, 128).input_ids
    assert (ids == tokenizer.unk_token_id).mean() == 0
    assert tokenizer.tokenize("Where is my REFUND?") == ["where", "is", "my", "refund", "?"]
