"""Examples: texts, second texts and labels, column by column."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa

NO_LABEL = -100
"""The class index of an example without a label; torch's cross-entropy ignores the same number."""

_CHUNK = 16_384


class TextColumn(Sequence[str]):
    """Texts in Arrow memory (or a mapped file): a million of them cost their bytes, not a million Python objects.

    A selection is a list of places in the same memory, so that splitting data copies no text.
    """

    def __init__(
        self, texts: Iterable[str] | pa.Array | pa.ChunkedArray, places: np.ndarray | None = None
    ) -> None:  # fmt: skip
        import pyarrow as pa

        self.chunks: list[pa.Array]
        self.places: np.ndarray | None = places
        if isinstance(texts, TextColumn):
            self.chunks, self.places = texts.chunks, texts.places if places is None else texts._at(places)
        elif isinstance(texts, pa.Array | pa.ChunkedArray):
            whole = texts if texts.type == pa.large_string() else texts.cast(pa.large_string())
            self.chunks = list(whole.chunks) if isinstance(whole, pa.ChunkedArray) else [whole]
        else:
            self.chunks = [pa.array(list(texts), pa.large_string())]
        self.starts = np.concatenate([[0], np.cumsum([len(chunk) for chunk in self.chunks])]).astype(np.int64)

    def __len__(self) -> int:
        return int(self.starts[-1]) if self.places is None else len(self.places)

    def __getitem__(self, index: Any) -> Any:
        """One text for a number; a list of texts for a slice."""
        if isinstance(index, slice):
            return self._texts(np.arange(*index.indices(len(self))))
        index = int(index)
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        return self._texts(np.array([index % len(self)]))[0]

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), _CHUNK):
            yield from self[start : start + _CHUNK]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(mine == theirs for mine, theirs in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"TextColumn({len(self)} texts)"

    def take(self, indices: Sequence[int] | np.ndarray) -> TextColumn:
        """The texts at `indices`, in that order."""
        return TextColumn(self, np.asarray(indices, np.int64))

    @staticmethod
    def joined(columns: Sequence[Sequence[str]]) -> TextColumn:
        """Several columns one after the other, in the same memory."""
        import pyarrow as pa

        each = [column if isinstance(column, TextColumn) else TextColumn(column) for column in columns]
        starts = np.concatenate([[0], np.cumsum([column.starts[-1] for column in each])])
        chunks = pa.chunked_array([chunk for column in each for chunk in column.chunks], pa.large_string())
        if all(column.places is None for column in each):
            return TextColumn(chunks)
        places = [
            (np.arange(len(column)) if column.places is None else column.places) + start
            for column, start in zip(each, starts, strict=False)
        ]
        return TextColumn(chunks, np.concatenate(places).astype(np.int64))

    def _at(self, numbers: np.ndarray) -> np.ndarray:
        return numbers if self.places is None else self.places[numbers]

    def _texts(self, numbers: np.ndarray) -> list[str]:
        import pyarrow as pa

        places = self._at(numbers)
        which = np.searchsorted(self.starts, places, side="right") - 1
        order = np.argsort(which, kind="stable")
        cuts = np.flatnonzero(np.diff(which[order])) + 1
        found: list[str] = []
        for group in np.split(order, cuts) if len(order) else []:
            chunk = int(which[group[0]])
            found += self.chunks[chunk].take(pa.array(places[group] - self.starts[chunk])).to_pylist()
        if len(cuts) == 0:
            return found
        back = np.empty(len(order), np.int64)
        back[order] = np.arange(len(order))
        return [found[place] for place in back]


@dataclass(eq=False)
class Ragged:
    """Rows of unequal length in one flat array; row i is `values[offsets[i]:offsets[i + 1]]`."""

    values: np.ndarray
    offsets: np.ndarray

    @staticmethod
    def of(rows: Iterable[Sequence[int] | np.ndarray]) -> Ragged:
        """From rows of numbers."""
        parts = [np.asarray(row, np.int64) for row in rows]
        offsets = np.concatenate([[0], np.cumsum([len(part) for part in parts])]).astype(np.int64)
        return Ragged(np.concatenate(parts) if parts else np.zeros(0, np.int64), offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> np.ndarray:
        return self.values[self.offsets[index] : self.offsets[index + 1]]

    @property
    def lengths(self) -> np.ndarray:
        """int64 [N]."""
        return np.diff(self.offsets)

    def take(self, indices: np.ndarray) -> Ragged:
        """The rows at `indices`, in that order."""
        lengths = self.lengths[indices]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        shift = np.repeat(self.offsets[indices] - offsets[:-1], lengths)
        return Ragged(self.values[shift + np.arange(len(shift))], offsets)


@dataclass(eq=False)
class Examples:
    """A column store of N examples.

    Attributes:
        texts: N texts; a list given here becomes a `TextColumn`. In the form words: the words, with one space between
            two. In the form spans: the questions.
        pairs: N second texts, or None. In the form spans: the contexts.
        labels: int64 [N], class indices with -100 where the label is missing; for regression float32 [N] with NaN,
            for several labels an example float32 [N, C] with rows of NaN; for words `Ragged`, a class index a word;
            for spans int64 [N, 2], where the first answer begins and ends in the context, in characters (0, 0 where
            there is none). Left out: all missing.
        form: texts, words, spans or blocks; see `kinds.Kind`.
        answers: for spans, all answers that count as right; [""] where the context holds none.
        stride: for spans, the tokens that two windows of a long context share; 0: a third of the longest length.
    """

    texts: Sequence[str]
    pairs: Sequence[str] | None = None
    labels: Any = None
    form: str = "texts"
    answers: list[list[str]] | None = None
    stride: int = 0

    def __post_init__(self) -> None:
        self.texts = self.texts if isinstance(self.texts, TextColumn) else TextColumn(self.texts)
        if self.pairs is not None and not isinstance(self.pairs, TextColumn):
            self.pairs = TextColumn(self.pairs)
        if self.labels is None:
            self.labels = self._no_labels()
        if not isinstance(self.labels, Ragged):
            self.labels = np.asarray(self.labels)
        if len(self.labels) != len(self.texts) or (self.pairs is not None and len(self.pairs) != len(self.texts)):
            raise ValueError("texts, pairs and labels must be equally many")

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def labelled(self) -> np.ndarray:
        """bool [N]: which examples have a label. Running text is its own label."""
        if self.form == "blocks":
            return np.ones(len(self), bool)
        if isinstance(self.labels, Ragged):
            known = np.concatenate([[0], np.cumsum(self.labels.values != NO_LABEL)])
            return known[self.labels.offsets[1:]] > known[self.labels.offsets[:-1]]
        if self.labels.dtype.kind == "f":
            known = ~np.isnan(self.labels)
            return known.all(axis=1) & bool(known.shape[1]) if known.ndim == 2 else known
        known = self.labels != NO_LABEL
        return known.all(axis=1) if known.ndim == 2 else known

    def select(self, indices: Sequence[int] | np.ndarray) -> Examples:
        """The examples at `indices`, in that order."""
        indices = np.asarray(indices, np.int64)
        pairs = None if self.pairs is None else TextColumn(self.pairs).take(indices)
        labels = self.labels.take(indices) if isinstance(self.labels, Ragged) else self.labels[indices]
        answers = None if self.answers is None else [self.answers[index] for index in indices]
        return Examples(TextColumn(self.texts).take(indices), pairs, labels, self.form, answers, self.stride)

    def _no_labels(self) -> Any:
        if self.form == "words":
            offsets = np.concatenate([[0], np.cumsum([words_in(text) for text in self.texts])]).astype(np.int64)
            return Ragged(np.full(int(offsets[-1]), NO_LABEL, np.int64), offsets)
        return np.full((len(self.texts), 2) if self.form == "spans" else len(self.texts), NO_LABEL, np.int64)


def joined(parts: Sequence[Examples]) -> Examples:
    """Examples one part after the other; all of one form, with labels of one kind. No text is copied.

    Raises:
        ValueError: there is none, or some have second texts and others not.
    """
    first = parts[0]
    if any((part.pairs is None) != (first.pairs is None) or part.form != first.form for part in parts):
        raise ValueError("examples of different forms can't be joined")
    labels: Any
    if isinstance(first.labels, Ragged):
        values, starts = [part.labels.values for part in parts], [0]
        for value in values:
            starts.append(starts[-1] + len(value))
        offsets = [part.labels.offsets[:-1] + start for part, start in zip(parts, starts, strict=False)]
        labels = Ragged(np.concatenate(values), np.concatenate([*offsets, [starts[-1]]]).astype(np.int64))
    else:
        labels = np.concatenate([part.labels for part in parts])
    pairs = None if first.pairs is None else TextColumn.joined([part.pairs for part in parts if part.pairs is not None])
    answers = None
    if first.answers is not None:
        answers = [answer for part in parts for answer in part.answers or ()]
    return Examples(
        TextColumn.joined([part.texts for part in parts]), pairs, labels, first.form, answers, first.stride
    )  # fmt: skip


def words_in(text: str) -> int:
    """How many words a text of the form words has."""
    return text.count(" ") + 1 if text else 0


def join_words(words: Sequence[str]) -> str:
    """Words as one text that `split(" ")` takes apart again; spaces inside a word become no-break spaces."""
    return " ".join("\u00a0".join(word.split()) or "\u00a0" for word in words)


def word_count(text: str) -> int:
    """Words of a text; each character of Chinese or Japanese, which part them by nothing, counts as one."""
    return len(text.split()) if text.isascii() else len(_WORD.findall(text))


_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|[^\s\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+")
