"""Answers of a trained model, whatever made it: PyTorch, quantized, ONNX or OpenVINO folders.

from qtinker.predict import Predictor
Predictor("my-student").predict(["What a film!"])
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from . import data, predicted, registry
from .answers import logits_of
from .errors import InputError
from .given import kind_of
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

    def predict(self, texts: Iterable[Text] | data.Examples, *, batch_size: int = 32) -> list[dict[str, Any]]:
        """One answer a text; `text`, and `pair` where texts are pairs, are in each.

        classification: label, score, probabilities. multi-label: these, and labels, those above 0.5. regression:
        value. token-classification: words (word, label, score) and entities (label, text, start, end, score).
        question-answering, of pairs (question, context): answer, start, end, score. masked-lm, of texts with [MASK]:
        masks, the best words for each with their scores, and filled, the text with the best. Texts longer than the
        model takes are cut; an empty text is answered like any other.

        Args:
            texts: texts, or pairs of texts; not both. Or examples, as a file gives them; labels are not looked at.

        Raises:
            InputError: something is neither a text nor a pair of texts, both are mixed, or the model needs the other.
        """
        examples = texts if isinstance(texts, data.Examples) else as_examples(texts)
        return predicted.answers(self.runtime, examples, batch_size=batch_size) if len(examples) else []


def predict(
    model: str | Path,
    texts: Iterable[Text] | data.Examples,
    *,
    batch_size: int = 32,
    device: str = "cpu",
    threads: int | None = None,
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
    if isinstance(texts, Mapping) or hasattr(texts, "columns") or not isinstance(texts, Iterable):
        fix = "Give a list of them, list(table['text']), or the table as data."
        raise InputError(f"Expected texts, found {kind_of(texts)}.", fix)
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
