"""Examples: texts, second texts and labels, column by column."""

from __future__ import annotations

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
    """Texts in one Arrow array: a million of them cost their bytes, not a million Python objects."""

    def __init__(self, texts: Iterable[str] | pa.Array | pa.ChunkedArray) -> None:
        import pyarrow as pa

        self.array: pa.Array
        if isinstance(texts, TextColumn):
            self.array = texts.array
        elif isinstance(texts, pa.Array | pa.ChunkedArray):
            combined = texts.cast(pa.large_string())
            self.array = combined.combine_chunks() if isinstance(combined, pa.ChunkedArray) else combined
            if isinstance(self.array, pa.ChunkedArray):  # combining no chunks at all
                self.array = pa.array([], pa.large_string())
        else:
            self.array = pa.array(list(texts), pa.large_string())

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, index: Any) -> Any:
        """One text for a number; a list of texts for a slice."""
        if isinstance(index, slice):
            return self.array[index].to_pylist()
        return self.array[int(index)].as_py()

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), _CHUNK):
            yield from self.array[start : start + _CHUNK].to_pylist()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(mine == theirs for mine, theirs in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"TextColumn({len(self)} texts)"

    def take(self, indices: Sequence[int] | np.ndarray) -> TextColumn:
        """The texts at `indices`, in that order."""
        import pyarrow as pa

        return TextColumn(self.array.take(pa.array(np.asarray(indices, np.int64))))


@dataclass(eq=False)
class Examples:
    """A column store of N examples.

    Attributes:
        texts: N texts; a list given here becomes a `TextColumn`.
        pairs: N second texts, or None.
        labels: int64 [N], class indices with -100 where the label is missing; for regression float32 [N] with NaN,
            for several labels an example float32 [N, C] with rows of NaN. Left out: all missing.
    """

    texts: Sequence[str]
    pairs: Sequence[str] | None = None
    labels: np.ndarray = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        self.texts = TextColumn(self.texts)
        self.pairs = None if self.pairs is None else TextColumn(self.pairs)
        if self.labels is None:
            self.labels = np.full(len(self.texts), NO_LABEL, np.int64)
        self.labels = np.asarray(self.labels)
        if len(self.labels) != len(self.texts) or (self.pairs is not None and len(self.pairs) != len(self.texts)):
            raise ValueError("texts, pairs and labels must be equally many")

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def labelled(self) -> np.ndarray:
        """bool [N]: which examples have a label."""
        if self.labels.dtype.kind == "f":
            missing = np.isnan(self.labels)
            return ~(missing.any(axis=1) if missing.ndim == 2 else missing)
        return self.labels != NO_LABEL

    def select(self, indices: Sequence[int] | np.ndarray) -> Examples:
        """The examples at `indices`, in that order."""
        indices = np.asarray(indices, np.int64)
        pairs = None if self.pairs is None else TextColumn(self.pairs).take(indices)
        return Examples(TextColumn(self.texts).take(indices), pairs, self.labels[indices])
