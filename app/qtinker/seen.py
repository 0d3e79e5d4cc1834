"""Whether a model is measured on what it was trained on: a sample of its training texts' hashes stays with it.

The sample is the least hashes (bottom-k, Cohen & Kaplan 2007): of other texts those with hashes up to the greatest of
them can be looked up, a fair sample of any data; of small data sets it holds all.
"""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

from .data import Examples
from .data.split import text_hashes

KEPT = 1024
"""Hashes that are kept, of eight bytes each."""
SHARE = 0.01
"""Share of the examples from which on it is told."""
Meta = dict[str, Any]


def sketch(examples: Examples) -> Meta | None:
    """What a model keeps of the texts that it is trained on: how many there are, and the least of their hashes.

    None for running text, which is cut into blocks anew for each model.
    """
    if examples.form == "blocks":
        return None
    hashes = np.unique(_hashes(examples))
    least = hashes[:KEPT].astype("<u8").tobytes()
    return {"texts": len(hashes), "least": base64.b64encode(least).decode("ascii")}


def overlap(meta: Meta, examples: Examples) -> tuple[int, int]:
    """How many of the examples that can be looked up a model was trained on, and how many those are.

    Args:
        meta: its `qtinker.json`; with no sample in it nothing can be looked up.
    """
    kept = meta.get("trained_on")
    if not isinstance(kept, dict) or examples.form == "blocks" or not len(examples):
        return 0, 0
    try:
        least = np.frombuffer(base64.b64decode(str(kept.get("least")), validate=True), "<u8")
    except ValueError:  # a file that somebody edited
        return 0, 0
    own = _hashes(examples)
    if len(least) == KEPT:
        own = own[own <= least[-1]]
    return int(np.isin(own, least).sum()), len(own)


def warning(name: str, meta: Meta, examples: Examples) -> str | None:
    """What to say of a model that has seen the examples that it is measured on; None: it has not."""
    found, of = overlap(meta, examples)
    if found <= SHARE * of:
        return None
    looked = "" if of == len(examples) else " of those looked up"
    return (
        f"{name} was trained on {found / of:.0%} of these examples ({found:,} of {of:,}{looked}): its score flatters. "
        "Measure on examples that it has not seen."
    )


def _hashes(examples: Examples) -> np.ndarray:
    return text_hashes(examples.texts, examples.pairs).view(np.uint64)
