"""Variants of training texts by a masked language model, for a student to learn from the teacher's answers to them.

TinyBERT's data augmentation (Jiao et al. 2020, arXiv:1909.10351, section 3.2 and algorithm 1): a word is hidden, and
takes one of the words that the model finds likeliest in its place. Words of several pieces stay as they are; the paper
takes their neighbours among GloVe's vectors instead. Variants are made once and kept under `cache/variants/` by the
content that decides them, part by part, so that a stopped run goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock, Timeout

from ..checkpoint import Loaded, model_inputs
from ..data import Examples, tokenizer_key
from ..data.examples import TextColumn
from ..data.split import text_hashes
from ..data.unlabelled import without_labels
from ..errors import InputError, RunStopped
from ..home import cache_dir

_FORMAT = 2
PART = 256
"""Examples whose variants are one file of the cache."""
BATCH = 64
HEADS = ("cls", "lm_head", "predictions")
"""What the head for hidden words is called; found by none of these, the model answers for all words of a text."""
_SPACES = ("\u0120", "\u2581")
"""What stands for the space before a word in the vocabularies of GPT-2 and SentencePiece."""


@dataclass(frozen=True)
class Variation:
    """How variants are made.

    Attributes:
        variants: how many an example at most; equal ones count once (the paper's N_a).
        share: probability that a word is replaced (p_t).
        candidates: from how many of the likeliest words one is drawn (K).
    """

    variants: int = 10
    share: float = 0.4
    candidates: int = 15
    seed: int = 42


def variants(
    examples: Examples,
    model: Loaded,
    how: Variation,
    *,
    weights: Sequence[str],
    max_length: int,
    device: torch.device | str = "cpu",
    should_stop: Callable[[], bool] = lambda: False,
    phase: str = "prepare",
) -> Generator[dict[str, Any], None, list[Path]]:
    """Make the variants that are not made yet; yields events and returns the files, for `read`.

    In pairs, words of both texts are replaced; of questions about a context, those of the question.

    Args:
        model: a masked language model; its tokenizer tells words and places apart.
        weights: hashes of the model's weight files.
        max_length: tokens that are read of an example; words beyond stay as they are.

    Raises:
        InputError: the tokenizer is none that tells places, or has no mask; or the task is about running text.
        RunStopped: `should_stop` said so; calling again goes on.
    """
    if examples.form == "blocks":
        raise InputError("Running text has no variants: its words are its labels.", "Leave augment_model out.")
    if not model.tokenizer.is_fast or model.tokenizer.mask_token_id is None:
        raise InputError(
            f"The tokenizer of {model.name} can't hide single words.", "Use a masked language model such as a BERT."
        )
    positions = getattr(model.model.config, "max_position_embeddings", None) or max_length
    maker = _Maker(model, how, max_length=min(max_length, positions), device=torch.device(device))
    folder = cache_dir() / "variants" / _key(examples, model, how, weights, maker.max_length)
    folder.mkdir(parents=True, exist_ok=True)
    files, said, begun = [], 0.0, time.monotonic()
    lock, waiting = FileLock(folder / ".lock"), False
    while True:
        try:
            held = lock.acquire(timeout=1)
            break
        except Timeout:  # another run makes the same
            if should_stop():
                raise RunStopped("Stopped while another run was making the same variants.") from None
            if not waiting:
                waiting = True
                text = "Another run is making the same variants: waiting for it."
                yield {"time": time.time(), "kind": "message", "phase": phase, "level": "info", "text": text}
    with held:
        for start in range(0, len(examples), PART):
            file = folder / f"part-{start // PART:06d}.arrow"
            files.append(file)
            if _whole(file):
                continue
            if should_stop():
                raise RunStopped(f"Stopped after making variants of {start:,} of {len(examples):,} examples.")
            texts = examples.texts[start : start + PART]
            pairs = None if examples.pairs is None else examples.pairs[start : start + PART]
            _write(file, *maker.make(texts, pairs, second=examples.form == "texts"))
            if time.monotonic() - said >= 0.5 or start + PART >= len(examples):
                said = time.monotonic()
                done = min(start + PART, len(examples))
                speed = done / max(said - begun, 1e-9)
                yield {
                    "time": time.time(), "kind": "step", "phase": phase, "step": done, "total_steps": len(examples),
                    "epoch": None, "loss": None, "parts": {}, "learning_rate": None, "examples_per_second": speed,
                    "eta_s": (len(examples) - done) / max(speed, 1e-9),
                }  # fmt: skip
    return files


def read(files: Sequence[Path], like: Examples, *, but: Sequence[Examples]) -> Examples:
    """The variants as examples without labels, mapped from their files; none twice, and none that `but` holds."""
    import pyarrow as pa

    columns: list[list[Any]] = [[], []]
    for file in files:
        reader = pa.ipc.open_file(pa.memory_map(str(file)))
        for number in range(reader.num_record_batches):
            batch = reader.get_batch(number)
            for place in range(batch.num_columns):
                columns[place].append(batch.column(place))
    texts = TextColumn(pa.chunked_array(columns[0], pa.large_string()))
    pairs = None if like.pairs is None else TextColumn(pa.chunked_array(columns[1], pa.large_string()))
    found = without_labels(texts, pairs, like)
    hashes = text_hashes(found.texts, found.pairs)
    _, first = np.unique(hashes, return_index=True)
    fresh = np.zeros(len(found), bool)
    fresh[first] = True
    for examples in but:
        fresh &= ~np.isin(hashes, text_hashes(examples.texts, examples.pairs))
    return found if fresh.all() else found.select(np.flatnonzero(fresh))


class _Maker:
    """A masked language model that replaces words."""

    def __init__(self, model: Loaded, how: Variation, *, max_length: int, device: torch.device) -> None:
        self.how, self.max_length, self.device = how, max_length, device
        self.tokenizer, self.model = model.tokenizer, model.model.to(device).eval()
        self.inputs = set(model_inputs(self.model))
        self.head = next((getattr(self.model, name) for name in HEADS if hasattr(self.model, name)), None)
        size = int(self.model.config.vocab_size)
        self.words = self._words(size)
        self.usable = torch.zeros(size, dtype=torch.bool, device=device)
        self.usable[list(self.words)] = True

    def _words(self, size: int) -> dict[int, str]:
        """The tokens that are whole words of letters, by number."""
        vocabulary = {token: number for token, number in self.tokenizer.get_vocab().items() if number < size}
        marked = sum(token.startswith(_SPACES) for token in vocabulary) > sum(
            token.startswith("##") for token in vocabulary
        )
        special = set(self.tokenizer.all_special_tokens)
        found = {}
        for token, number in vocabulary.items():
            word = token.lstrip("".join(_SPACES))
            if token not in special and word.isalpha() and token.startswith(_SPACES) == marked:
                found[number] = word
        return found

    def make(
        self, texts: Sequence[str], pairs: Sequence[str] | None, *, second: bool
    ) -> tuple[list[str], list[str] | None]:
        """Variants of some examples, one example's after the other's."""
        encodings = self.tokenizer(
            list(texts), None if pairs is None else list(pairs), truncation=True, max_length=self.max_length,
            verbose=False, return_token_type_ids=True,
        )  # fmt: skip
        plans = [self._plan(encodings, number, texts[number], None if pairs is None else pairs[number],
                            second=second)
                 for number in range(len(texts))]  # fmt: skip
        hidden = [(number, place) for number, plan in enumerate(plans) for place in plan.needed]
        candidates = self._candidates(encodings, [(number, plans[number].tokens[place]) for number, place in hidden])
        likely = dict(zip(hidden, candidates, strict=True))
        out: list[str] = []
        other: list[str] = []
        for number, plan in enumerate(plans):
            both = [texts[number], "" if pairs is None else pairs[number]]
            seen = {tuple(both)}
            for chosen, drawn in zip(plan.chosen, plan.drawn, strict=True):
                made = list(both)
                for place in np.flatnonzero(chosen)[::-1]:  # from the end, so that places in front stay right
                    side, start, end = plan.places[place]
                    known = likely[number, int(place)]
                    if known:
                        word = _as(made[side][start:end], known[int(drawn[place] * len(known))])
                        made[side] = made[side][:start] + word + made[side][end:]
                if tuple(made) not in seen:
                    seen.add(tuple(made))
                    out.append(made[0])
                    other.append(made[1])
        return out, None if pairs is None else other

    def _plan(self, encodings: Any, number: int, text: str, pair: str | None, *, second: bool) -> _Plan:
        """Which words of an example are replaced in which variant, from the seed and the example's own text."""
        encoding = encodings.encodings[number]
        counts: dict[tuple[int | None, int | None], int] = {}
        for key in zip(encoding.sequence_ids, encoding.word_ids, strict=True):
            counts[key] = counts.get(key, 0) + 1
        tokens: list[int] = []
        places: list[tuple[int, int, int]] = []
        rows = zip(encoding.sequence_ids, encoding.word_ids, encoding.ids, encoding.offsets, strict=True)
        ends = dict(zip(encoding.sequence_ids, range(len(encoding.ids)), strict=True)) if encoding.overflowing else {}
        for token, (side, word, identity, (start, end)) in enumerate(rows):
            whole = side is not None and counts[side, word] == 1 and identity in self.words
            if whole and ends.get(side) == token:  # its other pieces may have been cut off
                whole = not (pair or "" if side else text)[end : end + 1].isalnum()
            if whole and (side == 0 or second):
                own = pair or "" if side else text
                while start < end and own[start].isspace():  # some tokenizers count the space before a word to it
                    start += 1
                tokens.append(token)
                places.append((side, start, end))
        content = f"{self.how.seed}\0{text}\0{pair}".encode("utf-8", "surrogatepass")
        random = np.random.Generator(np.random.PCG64(int.from_bytes(hashlib.sha256(content).digest()[:16], "little")))
        shape = (self.how.variants, len(tokens))
        return _Plan(tokens, places, random.random(shape) <= self.how.share, random.random(shape))

    @torch.no_grad()
    def _candidates(self, encodings: Any, hidden: list[tuple[int, int]]) -> list[list[str]]:
        """The likeliest words in place of each hidden token, given as (example, token); the token itself aside."""
        ids = encodings["input_ids"]
        order = sorted(range(len(hidden)), key=lambda place: -len(ids[hidden[place][0]]))
        found: list[list[str]] = [[] for _ in hidden]
        most = min(self.how.candidates, len(self.words))
        for at in range(0, len(order), BATCH):
            chosen = order[at : at + BATCH]
            rows = [hidden[place] for place in chosen]
            batch = self.tokenizer.pad(
                {name: [encodings[name][number] for number, _ in rows] for name in encodings}, return_tensors="pt"
            )
            row, token = torch.arange(len(rows)), torch.tensor([token for _, token in rows])
            truth = batch["input_ids"][row, token].clone()
            batch["input_ids"][row, token] = self.tokenizer.mask_token_id
            inputs = {name: tensor.to(self.device) for name, tensor in batch.items() if name in self.inputs}
            if self.head is not None:  # the vocabulary's scores for the hidden words alone
                logits = self.head(self.model.base_model(**inputs)[0][row, token])
            else:
                logits = self.model(**inputs).logits[row, token]
            logits = logits.float().masked_fill(~self.usable, -torch.inf)
            logits[row, truth] = -torch.inf
            best = logits.topk(most, dim=-1)
            for place, values, numbers in zip(chosen, best.values.tolist(), best.indices.tolist(), strict=True):
                found[place] = [self.words[n] for v, n in zip(values, numbers, strict=True) if v > -float("inf")]
        return found


@dataclass(frozen=True)
class _Plan:
    """`tokens` and `places` (text, first character, end) of the words of an example that may be replaced; bool
    [variants, words] which are, and in [0, 1) which candidate each draws."""

    tokens: list[int]
    places: list[tuple[int, int, int]]
    chosen: np.ndarray
    drawn: np.ndarray

    @property
    def needed(self) -> list[int]:
        """The words that at least one variant replaces."""
        return [int(place) for place in np.flatnonzero(self.chosen.any(axis=0))]


def _as(old: str, new: str) -> str:
    """A word in the other's case."""
    if len(old) > 1 and old.isupper():
        return new.upper()
    return new[:1].upper() + new[1:] if old[:1].isupper() else new


def _key(examples: Examples, model: Loaded, how: Variation, weights: Sequence[str], max_length: int) -> str:
    settings = [_FORMAT, list(weights), tokenizer_key(model.tokenizer), vars(how), max_length, examples.form]
    digest = hashlib.blake2b(json.dumps(settings, sort_keys=True).encode(), digest_size=16)
    for column in (examples.texts, examples.pairs):
        for text in column or ():
            raw = text.encode("utf-8", "surrogatepass")
            digest.update(len(raw).to_bytes(8, "little") + raw)
    return digest.hexdigest()


def _write(file: Path, texts: list[str], pairs: list[str] | None) -> None:
    """One part, beside its place and renamed: it is there whole or not at all."""
    import pyarrow as pa

    names = ["text"] if pairs is None else ["text", "pair"]
    columns = [pa.array(each, pa.large_string()) for each in (texts, pairs) if each is not None]
    staging = file.with_name(f".{file.name}-{uuid.uuid4().hex[:8]}")
    try:
        with (
            pa.OSFile(str(staging), "wb") as sink,
            pa.ipc.new_file(sink, pa.schema([(name, pa.large_string()) for name in names])) as writer,
        ):
            writer.write_batch(pa.record_batch(columns, names=names))
        staging.replace(file)
    finally:
        staging.unlink(missing_ok=True)


def _whole(file: Path) -> bool:
    import pyarrow as pa

    try:
        with pa.memory_map(str(file)) as mapped:
            return pa.ipc.open_file(mapped).num_record_batches >= 0
    except (OSError, pa.ArrowInvalid):
        return False
