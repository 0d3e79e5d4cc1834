"""Answers of a trained model, whatever made it: PyTorch, quantized, ONNX or OpenVINO folders.

from qtinker.predict import Predictor
Predictor("my-student").predict(["What a film!"])
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from . import data, registry
from .errors import InputError
from .runtime import open_runtime

Text = str | tuple[str, str] | list[str]


class Predictor:
    """A model held open, for many calls.

    Args:
        model: registry name, catalog name or folder.
        device: auto, cpu, cuda, cuda:1 or mps.
        threads: processor threads.

    Raises:
        InputError: there is no such model, or no such device.
        CheckpointError: the model is damaged or its head is untrained (the fix is the command that trains it).
        MissingExtra: the model needs an engine that is not installed.
    """

    def __init__(self, model: str | Path, *, device: str = "cpu", threads: int | None = None) -> None:
        self.runtime = open_runtime(registry.resolve(model), device=device, threads=threads)

    @property
    def labels(self) -> list[str]:
        """Names of the classes, in the order of the logits."""
        return self.runtime.labels

    def logits(self, examples: data.Examples, *, batch_size: int = 32, max_length: int | None = None) -> np.ndarray:
        """float32 [N, C] in the order of the examples; batches hold texts of like length, so padding is small."""
        return logits_of(self.runtime, examples, batch_size=batch_size, max_length=max_length)

    def predict(self, texts: Iterable[Text], *, batch_size: int = 32) -> list[dict[str, Any]]:
        """One answer a text: {text, label, score, probabilities: {label: p}}; `pair` where texts are pairs.

        Texts longer than the model takes are cut; an empty text is answered like any other. For several labels an
        example, `labels` lists those above 0.5; for regression there is a `value` instead.

        Args:
            texts: texts, or pairs of texts; not both.

        Raises:
            InputError: something is neither a text nor a pair of texts, or both are mixed.
        """
        examples = as_examples(texts)
        if not len(examples):
            return []
        logits = self.logits(examples, batch_size=batch_size)
        return [self._answer(examples, number, row) for number, row in enumerate(logits)]

    def _answer(self, examples: data.Examples, number: int, row: np.ndarray) -> dict[str, Any]:
        answer: dict[str, Any] = {"text": examples.texts[number]}
        if examples.pairs is not None:
            answer["pair"] = examples.pairs[number]
        kind = self.runtime.problem_type
        if kind == "regression":
            return answer | {"value": float(row[0])}
        shares = _sigmoid(row) if kind == "multi-label" else _softmax(row)
        best = int(row.argmax())
        answer |= {"label": self.labels[best], "score": float(shares[best])}
        if kind == "multi-label":
            answer["labels"] = [name for name, share in zip(self.labels, shares, strict=True) if share > 0.5]
        return answer | {"probabilities": {name: float(p) for name, p in zip(self.labels, shares, strict=True)}}


def predict(
    model: str | Path, texts: Iterable[Text], *, batch_size: int = 32, device: str = "cpu", threads: int | None = None
) -> list[dict[str, Any]]:
    """Answers of a model for texts or pairs of texts; see `Predictor.predict`."""
    return Predictor(model, device=device, threads=threads).predict(texts, batch_size=batch_size)


def as_examples(texts: Iterable[Text]) -> data.Examples:
    """Texts, or pairs of texts, as examples without labels.

    Raises:
        InputError: something is neither, or both are mixed.
    """
    if isinstance(texts, str):
        texts = [texts]
    firsts: list[str] = []
    seconds: list[str] = []
    for item in texts:
        if isinstance(item, str):
            firsts.append(_clean(item))
        elif isinstance(item, Sequence) and len(item) == 2 and all(isinstance(part, str) for part in item):
            firsts.append(_clean(item[0]))
            seconds.append(_clean(item[1]))
        else:
            raise InputError(f"Expected a text or a pair of texts, not {str(item)[:80]!r}.")
    if seconds and len(seconds) != len(firsts):
        raise InputError("Some of these are texts and some are pairs of texts.", "Give all as texts or all as pairs.")
    return data.Examples(firsts, seconds or None)


def _clean(text: str) -> str:
    """Half surrogates, which no file can hold, become question marks."""
    return text.encode("utf-8", "replace").decode("utf-8")


def logits_of(
    runtime: Any, examples: data.Examples, *, batch_size: int = 32, max_length: int | None = None
) -> np.ndarray:
    """float32 logits of N examples in their order, [N, C]."""
    encoded = data.encode(examples, runtime.tokenizer, max_length or runtime.max_length, cache=False)
    results: np.ndarray | None = None
    for indices in length_batches(encoded.lengths, batch_size):
        batch = data.collate(
            encoded, indices, model_inputs=runtime.input_names, pad_token_id=runtime.pad_token_id
        )  # fmt: skip
        logits = runtime.logits(batch)
        if results is None:
            results = np.zeros((len(encoded), *logits.shape[1:]), np.float32)
        results[indices] = logits
    return np.zeros((0, len(runtime.labels)), np.float32) if results is None else results


def length_batches(lengths: Sequence[int] | np.ndarray, batch_size: int) -> list[np.ndarray]:
    """Batches of example numbers, longest first: the most memory is asked for at once, and padding is small."""
    order = np.argsort(-np.asarray(lengths), kind="stable")
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]


def _softmax(row: np.ndarray) -> np.ndarray:
    shifted = np.exp(row.astype(np.float64) - row.max())
    return shifted / shifted.sum()


def _sigmoid(row: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-row.astype(np.float64)))
