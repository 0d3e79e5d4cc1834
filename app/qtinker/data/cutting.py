"""Cuts examples into tokens, each form in its way: texts, words, windows of a long context, blocks of running text.

Works part by part, so that memory stays bounded whatever the size of the data.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from .examples import Examples

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_CHUNK = 8192
_CONTEXTS = 512
EXTRAS: dict[str, np.dtype[Any]] = {
    "word_ids": np.dtype("<i4"),
    "char_starts": np.dtype("<i4"),
    "char_ends": np.dtype("<i4"),
    "example": np.dtype("<i8"),
    "maskable": np.dtype("u1"),
}
"""What a form needs beside the tokens. Words: `word_ids`, the number of the word that a token begins, else -1. Spans:
`char_starts` and `char_ends` of each token in the context (-1 outside it), and the number of the `example` that a
window is of. Blocks: whether a token is `maskable`."""


@dataclass
class Cut:
    """A part of the examples as flat arrays."""

    ids: np.ndarray
    types: np.ndarray
    lengths: np.ndarray
    truncated: int
    extras: dict[str, np.ndarray] = field(default_factory=dict)


def cut(examples: Examples, tokenizer: PreTrainedTokenizerBase, max_length: int) -> Iterator[Cut]:
    """The examples' tokens, part by part.

    Raises:
        InputError: the tokenizer can't do what the form needs.
    """
    cutters = {"texts": _texts, "words": _words, "spans": _windows, "blocks": _blocks}
    return cutters[examples.form](examples, tokenizer, max_length)


def _texts(examples: Examples, tokenizer: Any, max_length: int) -> Iterator[Cut]:
    """Texts and pairs. One of which no token comes, as of an empty text with GPT-2's tokenizer, is the text's end."""
    end = _end(tokenizer)
    for start in range(0, len(examples), _CHUNK):
        texts = examples.texts[start : start + _CHUNK]
        pairs = None if examples.pairs is None else examples.pairs[start : start + _CHUNK]
        encodings = tokenizer(
            texts, pairs, truncation=True, max_length=max_length, padding=False, return_attention_mask=False,
            return_token_type_ids=True, verbose=False,
        )  # fmt: skip
        ids: list[list[int]] = [row or [end] for row in encodings["input_ids"]]
        types = [row or [0] for row in encodings.get("token_type_ids") or [[0] * len(row) for row in ids]]
        yield Cut(*_flat(ids, types), _truncated(encodings, ids, texts, pairs, tokenizer, max_length))


def _words(examples: Examples, tokenizer: Any, max_length: int) -> Iterator[Cut]:
    """Sentences word by word: the first token of a word is where its label and its answer are.

    Where tokens hold the space before their word, as those of GPT-2 do, every word but the first is given one; a token
    that is this space alone says nothing of the word and counts as no token of it.
    """
    _needs_fast(tokenizer, "tokens of words")
    spaced = keeps_spaces(tokenizer)
    for start in range(0, len(examples), _CHUNK):
        texts = [text.split(" ") for text in examples.texts[start : start + _CHUNK]]
        if spaced:
            texts = [[words[0], *(f" {word}" for word in words[1:])] for words in texts]
        encodings = tokenizer(
            texts, is_split_into_words=True, truncation=True, max_length=max_length, padding=False,
            return_attention_mask=False, return_token_type_ids=True, verbose=False,
        )  # fmt: skip
        first: list[int] = []
        for encoding in encodings.encodings:
            last = -1
            for word, (_, end) in zip(encoding.word_ids, encoding.offsets, strict=True):
                if spaced and word and end <= 1:
                    word = None
                first.append(-1 if word is None or word == last else word)
                last = last if word is None else word
        ids = encodings["input_ids"]
        types = encodings.get("token_type_ids") or [[0] * len(row) for row in ids]
        yield Cut(
            *_flat(ids, types), sum(bool(each.overflowing) for each in encodings.encodings),
            {"word_ids": np.asarray(first, np.int32)},
        )  # fmt: skip


def _windows(examples: Examples, tokenizer: Any, max_length: int) -> Iterator[Cut]:
    """Questions with as many windows of their context as it takes; neighbours share `stride` tokens.

    A token that holds the space before its word, as those of GPT-2 do, begins at the word.
    """
    _needs_fast(tokenizer, "windows of a context")
    assert examples.pairs is not None
    most = max_length // 2  # of a question: the rest is for the context
    for start in range(0, len(examples), _CONTEXTS):
        questions = [_shortened(text, tokenizer, most) for text in examples.texts[start : start + _CONTEXTS]]
        contexts = examples.pairs[start : start + _CONTEXTS]
        room = max_length - most - tokenizer.num_special_tokens_to_add(pair=True)
        if room < 2:
            raise InputError(f"Windows of {max_length} tokens are too short for a question.", "Raise max_length.")
        stride = min(examples.stride or max_length // 3, room - 1)
        encodings = tokenizer(
            questions, contexts, truncation="only_second", max_length=max_length, stride=stride, padding=False,
            return_overflowing_tokens=True, return_offsets_mapping=True, return_token_type_ids=True,
            return_attention_mask=False, verbose=False,
        )  # fmt: skip
        ids, owners = encodings["input_ids"], np.asarray(encodings["overflow_to_sample_mapping"], np.int64)
        starts: list[int] = []
        ends: list[int] = []
        for number, offsets in enumerate(encodings["offset_mapping"]):
            context = contexts[owners[number]]
            if not offsets:  # an empty question on an empty context, with GPT-2's tokenizer
                ids[number] = [_end(tokenizer)]
                starts.append(-1)
                ends.append(-1)
                continue
            for part, (begin, end) in zip(encodings.sequence_ids(number), offsets, strict=True):
                if part == 1 and context[begin:end][:1].isspace():
                    begin = end - len(context[begin:end].lstrip() or context[begin:end])
                starts.append(begin if part == 1 else -1)
                ends.append(end if part == 1 else -1)
        types = [row or [0] for row in encodings.get("token_type_ids") or [[0] * len(row) for row in ids]]
        extras: dict[str, np.ndarray] = {
            "char_starts": np.asarray(starts, np.int32), "char_ends": np.asarray(ends, np.int32),
            "example": start + owners,
        }  # fmt: skip
        yield Cut(*_flat(ids, types), int((np.bincount(owners) > 1).sum()), extras)


def _shortened(question: str, tokenizer: Any, most: int) -> str:
    """A question of at most so many tokens; SQuAD's questions with stray spaces in front lose them."""
    question = question.strip()
    if question.isascii() and len(question) <= most:  # other letters can be cut into several tokens
        return question
    tokens = tokenizer(question, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    offsets = tokens["offset_mapping"]
    return question if len(offsets) <= most else question[: offsets[most - 1][1]]


def _blocks(examples: Examples, tokenizer: Any, max_length: int) -> Iterator[Cut]:
    """Running text: texts one after the other, a separator between, cut into whole blocks.

    What is left at the end is dropped, unless there is no whole block at all.
    """
    ends = tokenizer.cls_token_id, tokenizer.sep_token_id
    if tokenizer.mask_token_id is None or None in ends:
        raise InputError(
            "This model's tokenizer has no [MASK], [CLS] or [SEP] token, which masked language modelling needs.",
            "Use a model of the BERT family.",
        )
    inner, special = max_length - 2, np.asarray(sorted(set(tokenizer.all_special_ids)), np.int64)
    rest, made = np.zeros(0, np.int64), False

    def finished(rows: np.ndarray) -> Cut:
        rows = np.pad(rows, ((0, 0), (1, 1)))
        rows[:, 0], rows[:, -1] = ends
        flat = rows.reshape(-1)
        return Cut(
            flat, np.zeros(len(flat), np.uint8), np.full(len(rows), rows.shape[1], np.int64), 0,
            {"maskable": (~np.isin(flat, special)).astype(np.uint8)},
        )  # fmt: skip

    for start in range(0, len(examples), _CHUNK):
        rows = tokenizer(
            examples.texts[start : start + _CHUNK], add_special_tokens=False, return_attention_mask=False, verbose=False
        )["input_ids"]
        fresh = np.fromiter((token for row in rows if row for token in (*row, ends[1])), np.int64)
        rest = np.concatenate([rest, fresh])
        whole = len(rest) // inner
        if whole:
            made = True
            yield finished(rest[: whole * inner].reshape(whole, inner))
            rest = rest[whole * inner :]
    if not made:
        yield finished(rest[None, : max(len(rest) - 1, 0)])  # its own end is the last separator


def keeps_spaces(tokenizer: Any) -> bool:
    """Whether tokens hold the space before their word, and none is put before a word that has none."""
    splitter = tokenizer.backend_tokenizer.pre_tokenizer
    if splitter is None:
        return False
    [(plain, _), *_], [(spaced, _), *_] = splitter.pre_tokenize_str("a"), splitter.pre_tokenize_str(" a")
    return plain == "a" and spaced == "\u0120a"  # how bytes of a space are written


def _end(tokenizer: Any) -> int:
    """The token that stands for a text of which none comes."""
    return int(tokenizer.pad_token_id if tokenizer.eos_token_id is None else tokenizer.eos_token_id)


def _needs_fast(tokenizer: Any, what: str) -> None:
    if not tokenizer.is_fast:
        raise InputError(
            f"{type(tokenizer).__name__} can't tell the {what} apart.", "Use a model whose folder has a tokenizer.json."
        )


def _flat(ids: list[list[int]], types: list[list[int]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Flat ids, flat type ids, lengths."""
    lengths = np.fromiter(map(len, ids), np.int64, len(ids))
    total = int(lengths.sum())
    return (
        np.fromiter((token for row in ids for token in row), np.int32, total),
        np.fromiter((kind for row in types for kind in row), np.uint8, total),
        lengths,
    )


def _truncated(
    encodings: Any,
    ids: list[list[int]],
    texts: Sequence[str],
    pairs: Sequence[str] | None,
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
) -> int:
    """How many examples lost tokens to `max_length`."""
    if encodings.is_fast:
        return sum(bool(one.overflowing) for one in encodings.encodings)
    full = [number for number, row in enumerate(ids) if len(row) >= max_length]
    whole = (tokenizer(texts[i], pairs[i] if pairs else None, verbose=False)["input_ids"] for i in full)
    return sum(len(row) > max_length for row in whole)
