"""The rows on which a model is compared with its source."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..data import Examples
from ..kinds import KINDS
from ..predict import as_examples

CHECK_ROWS = 64


def rows_to_check(given: Examples | Sequence[Any] | None, runtime: Any, *, most: int = 8 * CHECK_ROWS) -> Examples:
    """The rows to compare on: the first `most` of the given ones, else texts of random words of the vocabulary.

    Random words are no language, but every model has them, and logits answer to them as to any text.
    """
    form = KINDS[runtime.problem_type].form
    if given is not None and len(given):
        rows = given if isinstance(given, Examples) else as_examples(given)
        if rows.form != form:
            rows = Examples(rows.texts, rows.pairs if form == "spans" else None, form=form)
        return rows.select(np.arange(min(len(rows), most)))
    random = np.random.Generator(np.random.PCG64(0))
    special = set(runtime.tokenizer.all_special_ids)
    words = [token for token, number in sorted(runtime.tokenizer.get_vocab().items(), key=lambda item: item[1])
             if number not in special and token.isalpha()] or ["a"]  # fmt: skip

    def text() -> str:
        return " ".join(words[number] for number in random.integers(len(words), size=int(random.integers(3, 40))))

    pairs = [text() for _ in range(CHECK_ROWS)] if runtime.task.get("pair") or form == "spans" else None
    return Examples([text() for _ in range(CHECK_ROWS)], pairs, form=form)


def as_rows(given: Examples | Sequence[Any] | None) -> Examples | None:
    return given if given is None or isinstance(given, Examples) else as_examples(given)
