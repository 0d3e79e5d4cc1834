"""The bundled data set: synthetic messages of customers to an invented shop, to be sorted by what they want now.

Nobody wrote these messages: they are put together from phrases (`sample_phrases.py`) by a fixed random seed, so that
the demo runs offline and gives the same table everywhere. They have what makes text hard: three to sixty words, topics
that are mentioned but settled, refused or put off ("the refund came, but..."; "an exchange, not a refund"), words
shared between classes, messages with two requests, typing errors, and labels that are wrong now and then. So nobody
scores 100 %, and models differ. Scores on it say nothing about real text.
"""

from __future__ import annotations

import csv
import io
import random
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from ..home import cache_dir
from . import sample_phrases as phrases

if TYPE_CHECKING:
    from transformers import BertTokenizerFast

TRAIN_EXAMPLES, EVAL_EXAMPLES = 3000, 600
_SEED = 20_240
_WRONG_LABEL = 0.03
_TYPO = 0.08
_JOINT = 0.32
_VERSION = 1


@dataclass(frozen=True)
class SampleFiles:
    """CSV files with the columns text and label."""

    train: Path
    eval: Path


class _Writer:
    """Puts messages together; draws by `random()` alone, whose values Python keeps between versions."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def chance(self, share: float) -> bool:
        return self._random.random() < share

    def pick(self, choices: tuple[str, ...] | list[str]) -> str:
        return choices[int(self._random.random() * len(choices))]

    def fill(self, phrase: str) -> str:
        """Replace the slots; one phrase names one item, and two colours that differ."""
        slots = {"item": phrases.ITEMS, "day": phrases.DAYS, "number": phrases.NUMBERS, "person": phrases.PEOPLE,
                 "place": phrases.PLACES}  # fmt: skip
        for slot, choices in slots.items():
            if f"{{{slot}}}" in phrase:
                phrase = phrase.replace(f"{{{slot}}}", self.pick(choices))
        colors = list(phrases.COLORS)
        while "{color}" in phrase:
            color = self.pick(colors)
            colors.remove(color)
            phrase = phrase.replace("{color}", color, 1)
        return phrase

    def part(self, topic: str, kind: str) -> str:
        return self.fill(self.pick(phrases.TOPICS[topic][kind]))

    def message(self) -> tuple[str, str]:
        """One message and its label."""
        label = self.pick(list(phrases.TOPICS))
        other = self.pick([topic for topic in phrases.TOPICS if topic != label])
        if self.chance(0.1):
            text = self.part(label, "short")
            if self.chance(0.5):
                text = f"{self.pick(phrases.ITEMS)} {text}"
        else:
            text, label = self._composed(label, other)
        if self.chance(_WRONG_LABEL):
            label = phrases.CONFUSED[label]
        return self._spoil(text), label

    def _composed(self, label: str, other: str) -> tuple[str, str]:
        core, label = self._core(label, other)
        before = [self.fill(self.pick(phrases.FILLERS))] if self.chance(0.2) else []
        after = [self.fill(self.pick(phrases.FILLERS)) for _ in range(self._count((0.45, 0.75, 0.92)))]
        sentences = [*before, core, *after]
        if self.chance(0.35):
            sentences.insert(0, self.pick(phrases.GREETINGS))
        if self.chance(0.35):
            sentences.append(self.pick(phrases.CLOSINGS))
        return " ".join(f"{sentence}{self.pick(['.', '.', ',', '!', ''])}" for sentence in sentences), label

    def _count(self, steps: tuple[float, ...]) -> int:
        value = self._random.random()
        return sum(value >= step for step in steps)

    def _core(self, label: str, other: str) -> tuple[str, str]:
        """The sentence that decides: the label's topic is asked for; another may be settled, refused or put off."""
        ask, done = self.part(label, "ask"), self.part(other, "done")
        want, unwanted = self.part(label, "thing"), self.part(other, "thing")
        kind = self._random.random()
        if kind < _JOINT:
            thing, trouble = self.pick(list(phrases.OBJECTS)), self.pick(list(phrases.PROBLEMS))
            desk = phrases.DESKS[thing][list(phrases.PROBLEMS).index(trouble)]
            return f"{self.fill(self.pick(phrases.OBJECTS[thing]))} {self.pick(phrases.PROBLEMS[trouble])}", desk
        kind = (kind - _JOINT) / (1 - _JOINT)
        if kind < 0.56:
            return self.pick([f"{ask}", f"{ask}", f"I want {want}", f"could I have {want}"]), label
        if kind < 0.83:
            return self.pick([
                f"{done}, but {ask}", f"{done}, now {ask}", f"although {done}, {ask}", f"{ask}, but {done}",
            ]), label  # fmt: skip
        if kind < 0.92:
            return self.pick([
                f"I want {want}, not {unwanted}", f"not {unwanted}, I want {want}",
                f"please, not {unwanted} but {want}", f"{want} please, not {unwanted}",
            ]), label  # fmt: skip
        if kind < 0.98:
            return self.pick([
                f"{self.part(other, 'ask')}, but first {ask}", f"{unwanted} can wait, {ask}",
                f"{ask}, {unwanted} can wait",
            ]), label  # fmt: skip
        # Two requests and no word about which comes first: the clerk mostly takes the first.
        return f"{ask} and {self.part(other, 'ask')}", label if self.chance(0.7) else other

    def _spoil(self, text: str) -> str:
        """Sometimes swap two letters or drop one."""
        words = text.split(" ")
        if self.chance(_TYPO):
            at = int(self._random.random() * len(words))
            word = words[at]
            if len(word) > 3:
                cut = 1 + int(self._random.random() * (len(word) - 2))
                swapped = word[:cut] + word[cut + 1] + word[cut] + word[cut + 2 :] if cut + 1 < len(word) else word
                words[at] = swapped if self.chance(0.5) else word[:cut] + word[cut + 1 :]
        text = " ".join(words)
        return text[0].upper() + text[1:] if self.chance(0.6) else text


@lru_cache(maxsize=1)
def examples() -> tuple[tuple[tuple[str, str], ...], tuple[tuple[str, str], ...]]:
    """(text, label) for training and for evaluation; always the same, no text twice."""
    writer = _Writer(_SEED)
    seen: set[str] = set()
    rows: list[tuple[str, str]] = []
    while len(rows) < TRAIN_EXAMPLES + EVAL_EXAMPLES:
        text, label = writer.message()
        if text.casefold() not in seen:
            seen.add(text.casefold())
            rows.append((text, label))
    return tuple(rows[:TRAIN_EXAMPLES]), tuple(rows[TRAIN_EXAMPLES:])


def sample_files() -> SampleFiles:
    """Write the sample as CSV into the cache, where it is not there yet, and say where it is."""
    folder = cache_dir() / "sample" / f"v{_VERSION}"
    files = SampleFiles(folder / "train.csv", folder / "eval.csv")
    for path, rows in zip((files.train, files.eval), examples(), strict=True):
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([("text", "label"), *rows])
        content = text.getvalue().encode()
        if path.is_file() and path.read_bytes() == content:
            continue
        folder.mkdir(parents=True, exist_ok=True)
        staging = path.with_suffix(f".{random.SystemRandom().getrandbits(32):08x}.tmp")
        staging.write_bytes(content)
        staging.replace(path)
    return files


def vocabulary() -> list[str]:
    """Word pieces for the sample: special tokens, single characters, then the words of the training texts.

    Words not among them (typing errors, others' texts) come out letter by letter.
    """
    from tokenizers.normalizers import BertNormalizer
    from tokenizers.pre_tokenizers import BertPreTokenizer

    normalize, split = BertNormalizer(lowercase=True).normalize_str, BertPreTokenizer().pre_tokenize_str
    counts: dict[str, int] = {}
    for text, _ in examples()[0]:
        for word, _ in split(normalize(text)):
            counts[word] = counts.get(word, 0) + 1
    letters = [chr(code) for code in range(33, 127) if not chr(code).isupper()]
    pieces = [f"##{letter}" for letter in letters if letter.isalnum()]
    words = sorted(word for word, count in counts.items() if count >= 3 and len(word) > 1)
    return ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *pieces, *words]


def tokenizer(max_length: int = 128) -> BertTokenizerFast:
    """An uncased BERT tokenizer with the sample's vocabulary; saves and loads like any other."""
    from transformers import BertTokenizerFast

    vocab = {piece: number for number, piece in enumerate(vocabulary())}
    return BertTokenizerFast(vocab=vocab, do_lower_case=True, model_max_length=max_length)
