"""New pairs of the texts that a data set of pairs holds, for a student to learn from the teacher's answers to them.

Augmented SBERT (Thakur, Reimers, Daxenberger, Gurevych 2021, arXiv:2010.08240, section 3.1): a first text meets second
texts of other examples. Drawn at random nearly all of them have nothing in common, so most are drawn among those that
share a word, the rarer the likelier: the paper's BM25 sampling as a draw.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Sequence

import numpy as np

from .examples import Examples, TextColumn
from .split import text_hashes
from .unlabelled import without_labels

ANY = 0.25
"""Share of the draws that take any second text at all."""
PART = 10_000
"""Examples between two words about how far it is: a second's work or two."""
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W\u3040-\u30ff\u3400-\u9fff]+")
"""A word, or one character of a script that puts no spaces between words."""


def new_pairs(
    examples: Examples, count: int, *, seed: int, but: Sequence[Examples], told: Callable[[int], None] | None = None
) -> Examples:
    """Up to `count` new pairs for each example's first text, none twice and none that `but` holds; without labels.

    The same examples and seed give the same pairs. First texts stay first and second texts second.

    Args:
        examples: pairs of texts.
        told: is told after every 10,000 how many of them have met others.

    Raises:
        ValueError: they are single texts.
    """
    if examples.pairs is None:
        raise ValueError("single texts make no pairs")
    random = np.random.Generator(np.random.PCG64(seed))
    firsts, seconds = TextColumn(examples.texts), TextColumn(examples.pairs)
    own = [_words(text) for text in seconds]
    words, places = _index(own)
    drawn = np.empty((len(examples), count), np.int64)
    for number, text in enumerate(firsts):
        if told is not None and number and number % PART == 0:
            told(number)
        drawn[number] = random.integers(len(examples), size=count)
        mine = _words(text)
        start, end = np.searchsorted(words, mine, "left"), np.searchsorted(words, mine, "right")
        others = end - start - np.isin(mine, own[number])  # the example's own second text is no new one
        start, end, others = start[others > 0], end[others > 0], others[others > 0]
        if not len(start):
            continue
        for place, chosen in enumerate(random.choice(len(start), size=count, p=(1 / others) / (1 / others).sum())):
            offset = random.integers(others[chosen])
            block = places[start[chosen] : end[chosen]]
            if random.random() >= ANY:
                drawn[number, place] = block[offset + (len(block) > others[chosen] and block[offset] >= number)]
    which = np.repeat(np.arange(len(examples)), count)
    found = without_labels(firsts.take(which), seconds.take(drawn.reshape(-1)), examples)
    hashes = text_hashes(found.texts, found.pairs)
    fresh = np.zeros(len(found), bool)
    fresh[np.unique(hashes, return_index=True)[1]] = True
    for each in but:
        fresh &= ~np.isin(hashes, text_hashes(each.texts, each.pairs))
    return found.select(np.flatnonzero(fresh))


def _words(text: str) -> np.ndarray:
    """The different words of a text as numbers, uint32, sorted; case aside."""
    numbers = {zlib.crc32(word.encode("utf-8", "surrogatepass")) for word in _WORD.findall(text.casefold())}
    return np.sort(np.fromiter(numbers, np.uint32, len(numbers)))


def _index(each: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Every word of every text, sorted, and beside each the number of the text that it stands in, rising."""
    places = np.repeat(np.arange(len(each), dtype=np.int64), [len(words) for words in each])
    words = np.concatenate(each) if each else np.zeros(0, np.uint32)
    order = np.argsort(words, kind="stable")
    return words[order], places[order]
