"""A model's numbers in words, one way for each kind of task."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

import numpy as np

from .answers import answers_of, logits_of, task_of
from .data import Examples, join_words
from .errors import InputError
from .tasks import TokenClassification
from .tasks.tokens import entities

BEST = 5
"""Words shown for each mask."""
_PIECES = re.compile(r"\S+")
_HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
"""Chinese characters: each a word, as BERT's tokenizers cut them and as data for words of Chinese are tagged."""
INNER = re.compile(rf"[{_HAN}]|[@#]?[^\W{_HAN}](?:[^\W{_HAN}]|['’.&@-])*[^\W{_HAN}]|[@#]?[^\W{_HAN}]|[^\w\s]")
Answer = dict[str, Any]


def answers(runtime: Any, examples: Examples, *, batch_size: int) -> list[Answer]:
    """An answer an example; see `Predictor.predict`.

    Raises:
        InputError: the model needs pairs of texts, single texts, or a [MASK].
    """
    kind = runtime.problem_type
    if kind == "question-answering":
        return _spans(runtime, examples, batch_size=batch_size)
    if kind == "token-classification":
        return _words(runtime, examples, batch_size=batch_size)
    if kind == "masked-lm":
        return _masks(runtime, examples)
    _suits(runtime, examples)
    logits = logits_of(runtime, examples, batch_size=batch_size)
    return [_texts(runtime, examples, number, row) for number, row in enumerate(logits)]


def _suits(runtime: Any, examples: Examples) -> None:
    """A model that is known to be trained on pairs, or on single texts, answers at random about the other."""
    pair = runtime.task.get("pair")
    if pair and examples.pairs is None:
        raise InputError(f"{runtime.name} takes pairs of texts.", "Give a second text for each (--pair).")
    if pair is False and examples.pairs is not None:
        raise InputError(f"{runtime.name} takes one text, not pairs.", "Give single texts.")


def _texts(runtime: Any, examples: Examples, number: int, row: np.ndarray) -> Answer:
    found: Answer = {"text": examples.texts[number]}
    if examples.pairs is not None:
        found["pair"] = examples.pairs[number]
    kind, labels = runtime.problem_type, runtime.labels
    if kind == "regression":
        return found | {"value": float(row[0])}
    shares = sigmoid(row) if kind == "multi-label" else softmax(row)
    best = int(row.argmax())
    found |= {"label": labels[best], "score": float(shares[best])}
    if kind == "multi-label":
        found["labels"] = [name for name, share in zip(labels, shares, strict=True) if share > 0.5]
    return found | {"probabilities": {name: float(p) for name, p in zip(labels, shares, strict=True)}}


def _words(runtime: Any, examples: Examples, *, batch_size: int) -> list[Answer]:
    """A label for each word, and the entities that neighbouring ones make."""
    if examples.pairs is not None:
        raise InputError(f"{runtime.name} takes one text, not pairs.", "Give single texts.")
    parted = spaces_of if examples.form == "words" else words_of
    places = [parted(text) for text in examples.texts]
    filled = [place or [(0, 0)] for place in places]
    sentences = Examples(
        [join_words([text[a:b] for a, b in place]) for text, place in zip(examples.texts, filled, strict=True)],
        form="words",
    )  # fmt: skip
    task = task_of(runtime)
    assert isinstance(task, TokenClassification)
    asked = answers_of(runtime, sentences, batch_size=batch_size)
    logits, offsets = asked.settled(task, sentences), sentences.labels.offsets
    out = []
    for number, (text, place) in enumerate(zip(examples.texts, places, strict=True)):
        rows = logits[offsets[number] : offsets[number + 1]][: len(place)]
        picked = task.predictions(rows)
        sure = [
            0.0 if np.isnan(row).any() else float(softmax(row)[label]) for row, label in zip(rows, picked, strict=True)
        ]
        labels = [task.labels[label] for label in picked]
        found = [
            {"label": kind, "text": text[place[first][0] : place[last][1]], "start": place[first][0],
             "end": place[last][1], "score": float(np.mean(sure[first : last + 1]))}
            for kind, first, last in entities(labels)
        ]  # fmt: skip
        words = [
            {"word": text[a:b], "label": label, "score": score}
            for (a, b), label, score in zip(place, labels, sure, strict=True)
        ]
        out.append({"text": text, "entities": found, "words": words})
    return out


def words_of(text: str) -> list[tuple[int, int]]:
    """Where the words of a text are: punctuation apart, as in CoNLL data; @names and #tags whole; Chinese characters
    each by itself."""
    found = []
    for piece in _PIECES.finditer(text):
        for word in INNER.finditer(_joined(piece.group())):
            found.append((piece.start() + word.start(), piece.start() + word.end()))
    return found


def spaces_of(text: str) -> list[tuple[int, int]]:
    """Where the words of a text are that `join_words` joined."""
    return [match.span() for match in re.finditer("[^ ]+", text)]


def _joined(piece: str) -> str:
    """A piece of text in which marks on letters, and joiners between them, count as letters: same length."""
    if piece.isascii():
        return piece
    out = ""
    for letter in piece:
        joins = unicodedata.category(letter)[0] == "M" or letter in "\u200c\u200d"
        out += "a" if joins and out[-1:].isalnum() else letter
    return out


def _spans(runtime: Any, examples: Examples, *, batch_size: int) -> list[Answer]:
    """The answer to each question, from its context."""
    if examples.pairs is None:
        raise InputError(f"{runtime.name} takes pairs: a question and a context.", "Give both for each answer.")
    asked = Examples(examples.texts, examples.pairs, form="spans")
    found = answers_of(runtime, asked, batch_size=batch_size)
    out = []
    for number, (start, end, score) in enumerate(found.settled(task_of(runtime), asked)):
        context = examples.pairs[number]
        out.append({
            "text": examples.texts[number], "pair": context, "answer": context[int(start) : int(end)],
            "start": int(start), "end": int(end), "score": float(score),
        })  # fmt: skip
    return out


def _masks(runtime: Any, examples: Examples) -> list[Answer]:
    """The best words for each [MASK]."""
    import torch

    tokenizer = runtime.tokenizer
    mask = str(tokenizer.mask_token)
    if examples.pairs is not None or not all(mask in text for text in examples.texts):
        raise InputError(
            f"{runtime.name} guesses hidden words, and nothing is hidden: a text has no {mask}.",
            f"Write {mask} in it, or train the model for a task: python3 app finetune {runtime.name} --data FILE",
        )
    out = []
    for text in examples.texts:
        row = tokenizer(text, truncation=True, max_length=runtime.max_length, return_tensors="pt")
        batch = {name: row[name] for name in runtime.input_names if name in row}
        for name in runtime.input_names - set(batch):
            batch[name] = torch.zeros_like(row["input_ids"])
        logits = runtime.logits(batch)[0]
        guesses = []
        filled = text
        for place in np.flatnonzero(row["input_ids"][0].numpy() == tokenizer.mask_token_id):
            shares = softmax(logits[place])
            best = np.argsort(-shares, kind="stable")[:BEST]
            guesses.append([{"word": tokenizer.decode([int(token)]), "score": float(shares[token])} for token in best])
            filled = filled.replace(mask, guesses[-1][0]["word"], 1)
        out.append({"text": text, "masks": guesses, "filled": filled})
    return out


def softmax(row: np.ndarray) -> np.ndarray:
    """Probabilities of classes that exclude each other."""
    shifted = np.exp(row.astype(np.float64) - row.max())
    return shifted / shifted.sum()


def sigmoid(row: np.ndarray) -> np.ndarray:
    """Probabilities of labels each for itself."""
    return 1 / (1 + np.exp(-row.astype(np.float64)))
