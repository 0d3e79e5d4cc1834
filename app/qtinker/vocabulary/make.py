"""The steps of trimming one model: find what is needed, rewrite, and prove that covered text is answered as before."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import checkpoint, home, model_folder, registry
from ..data import Examples, join_words, tokenizer_key
from ..errors import InputError, QTinkerError
from ..kinds import KINDS
from ..measure import Job, measure_in_child
from ..model_card import model_card
from ..predict import logits_of
from ..quantize.layers import bytes_by_part
from ..quantize.make import PROVENANCE, refuse_quantized
from ..runtime import engine_of, weights_bytes
from ..runtime.base import load_tokenizer, refuse_without_tokenizer
from . import rewrite, tokens

ROWS = 128
"""Rows whose answers are compared bit for bit; the token ids of all texts are."""
HELD_BACK = 10
"""One text in so many is held back once, to tell how well the others cover text that was not seen."""


@dataclass
class Needs:
    """What was found: ids to keep (ascending), how many texts were read, and the share of the running tokens of
    held-back texts that the others would not have covered (None where there are too few texts to tell)."""

    kept: list[int]
    texts: int
    unseen: float | None


def make(
    source: str | Path, *, data: str | Path | Examples | None, text: str | Path | None, keep: Sequence[str],
    scripts: Sequence[str], name: str | None, fresh: bool, progress: Callable[[str], None],
) -> Path:  # fmt: skip
    """See `vocabulary.trim`."""
    if data is None and text is None and not keep and not scripts:
        raise InputError(
            "Nothing says which tokens to keep.", "Give --data FILE, --text FILE, --keep WORD or --script NAME."
        )
    path = registry.resolve(source)
    meta = model_folder.read_meta(path)
    source_name = str(meta.get("name") or path.name)
    if (engine := engine_of(path)) != "torch":
        raise InputError(f"{source_name} runs on {engine}.", "Trim the PyTorch model that it was made from.")
    refuse_quantized(path)
    refuse_without_tokenizer(path)
    tokenizer = load_tokenizer(path)
    backend = tokens.wordpiece(tokenizer, source_name)

    def texts() -> Iterator[str]:
        return _texts(data, text, keep)

    progress("Reading the texts")
    exact = {number for token in keep if (number := backend.token_to_id(token)) is not None}
    needs = find_needs(backend, texts, scripts, exact=exact)
    before = backend.get_vocab_size()
    if len(needs.kept) == before:
        raise InputError(f"All {before:,} tokens of {source_name} are needed: there is nothing to trim.")
    entry = next((each for each in registry.list_models() if each.path == path), None)
    group = entry.group if entry is not None and entry.group in registry.GROUPS else "hub"
    name = name or registry.unique_name(group, f"{source_name}-trimmed")
    with registry.staged(group, name) as folder:
        progress(f"Keeping {len(needs.kept):,} of {before:,} tokens")
        rewrite.write_tokenizer(tokenizer, folder, needs.kept)
        rewrite.write_config(path, folder, needs.kept)
        rewrite.write_weights(path, folder, needs.kept)
        record: dict[str, Any] = {
            "source": source_name, "tokens_before": before, "tokens": len(needs.kept),
            "rows": sum(1 for _ in _rows(data, text, keep)),
            "unseen_tokens_not_covered": needs.unseen,
            "bytes_before": bytes_by_part(path) | {"total": weights_bytes(path)},
            "bytes_after": bytes_by_part(folder) | {"total": weights_bytes(folder)},
        }  # fmt: skip
        new_meta = {
            key: meta[key] for key in ("kind", "task", *PROVENANCE) if meta.get(key) is not None
        }  # fmt: skip
        new_meta = {
            "kind": "imported", **new_meta, "name": name, "trimmed": record,
            "source": {"model": str(path) if entry is None else entry.full_name},
        }  # fmt: skip
        model_folder.write_meta(folder, new_meta)
        progress("Comparing tokens and answers with those of its source")
        same_tokens(backend, tokens.wordpiece(load_tokenizer(folder), name), texts(), needs.kept)
        record["check"] = same_answers(path, folder, _spread(_rows(data, text, keep), ROWS), fresh=fresh)
        record["findings"] = findings(record)
        card = model_card(new_meta, config=model_folder.read_json(folder / model_folder.CONFIG))
        (folder / "README.md").write_text(card + _card(record), encoding="utf-8")
        model_folder.write_meta(folder, new_meta)
    progress(f"Kept as {name}")
    return home.models_dir() / group / name


def trim_alike(source: Path, like: Path, folder: Path) -> None:
    """Write a copy of a model with the vocabulary of another one, which was trimmed from the same.

    Raises:
        InputError: the other's tokens are not some of its own, in its order.
        CheckpointError: the model can't be rewritten.
    """
    meta, tokenizer = model_folder.read_meta(source), load_tokenizer(source)
    name = str(meta.get("name") or source.name)
    backend = tokens.wordpiece(tokenizer, name)
    wanted = load_tokenizer(like)
    own, ordered = backend.get_vocab(), sorted(wanted.get_vocab().items(), key=lambda item: item[1])
    kept = [own.get(token, -1) for token, _ in ordered]
    if -1 in kept or kept != sorted(set(kept)):
        raise InputError(f"{name} has not the tokens of {like.name}.")
    folder.mkdir(parents=True, exist_ok=True)
    rewrite.write_tokenizer(tokenizer, folder, kept)
    rewrite.write_config(source, folder, kept)
    rewrite.write_weights(source, folder, kept)
    if tokenizer_key(load_tokenizer(folder)) != tokenizer_key(wanted):
        raise InputError(f"{name} cuts texts otherwise than {like.name}.")
    carried = {key: meta[key] for key in ("kind", "task", *PROVENANCE) if meta.get(key) is not None}
    model_folder.write_meta(folder, {**carried, "name": name})


def find_needs(
    backend: Any, texts: Callable[[], Iterable[str]], scripts: Sequence[str], *, exact: Iterable[int] = ()
) -> Needs:
    """Which tokens to keep; `texts` gives the texts anew at each call, `exact` are ids to keep besides."""
    count = sum(1 for _ in texts())
    always = set(exact) | tokens.always_kept(backend) | (tokens.in_scripts(backend, scripts) if scripts else set())
    if count < 10 * HELD_BACK:
        return Needs(sorted(always | tokens.needed(backend, texts())), count, None)
    seen = always | tokens.needed(backend, (text for at, text in enumerate(texts()) if at % HELD_BACK))
    running = missed = 0
    for part in tokens.chunks(text for at, text in enumerate(texts()) if at % HELD_BACK == 0):
        for encoding in backend.encode_batch(part, add_special_tokens=False):
            running += len(encoding.ids)
            missed += sum(number not in seen for number in encoding.ids)
    held = tokens.needed(backend, (text for at, text in enumerate(texts()) if at % HELD_BACK == 0))
    return Needs(sorted(seen | held), count, missed / running if running else None)


def same_tokens(old: Any, new: Any, texts: Iterable[str], kept: list[int]) -> None:
    """Every text is cut into the same tokens as before, by their new numbers.

    Raises:
        QTinkerError: one is not.
    """
    numbers = np.full(kept[-1] + 1, -1)
    numbers[kept] = np.arange(len(kept))
    for part in tokens.chunks(texts):
        for text, before, after in zip(part, old.encode_batch(part), new.encode_batch(part), strict=True):
            if numbers[before.ids].tolist() != after.ids:
                raise QTinkerError(
                    f"The trimmed tokenizer cuts {text[:60]!r} into {after.tokens[:12]}, its source into "
                    f"{before.tokens[:12]}.",
                    "Please report this as a bug, with the model's name.",
                )


def same_answers(source: Path, folder: Path, texts: list[str], *, fresh: bool) -> dict[str, Any]:
    """The trimmed model's answers equal its source's bit for bit; where it has no head, or one for hidden words, whose
    logits are as many as tokens, its last hidden states do.

    Raises:
        QTinkerError: they don't, or a fresh process gives others.
    """
    texts = texts or ["a"]
    kind = (checkpoint.task_in(source) or {}).get("type")
    if kind == "masked-lm" or not checkpoint.has_trained_head(source):
        states = [_states(each, texts) for each in (source, folder)]
        _refuse_unequal(*states)
        return {"rows": len(texts), "compared": "last hidden states", "equal": True}
    from ..runtime.pytorch import TorchRuntime

    def answers(each: Path) -> tuple[np.ndarray, Examples]:
        runtime = TorchRuntime(each)
        runtime.model.float()  # 16 bits may be computed in either precision, whichever a trial found faster
        form = KINDS[runtime.problem_type].form
        firsts = [join_words(text.split()) for text in texts] if form == "words" else texts
        pairs = texts[1:] + texts[:1] if runtime.task.get("pair") or form == "spans" else None
        rows = Examples(firsts, pairs, form=form)
        return logits_of(runtime, rows), rows

    before, rows = answers(source)
    after, _ = answers(folder)
    _refuse_unequal(before, after)
    if fresh:
        import torch

        job = Job(path=str(folder), calls=0, throughput_examples=0, threads=torch.get_num_threads())
        again = measure_in_child(job, rows).logits
        apart = float(np.nanmax(np.abs(again - before)))
        if apart > 5e-2 * (1 + float(np.nanmax(np.abs(before)))):
            raise QTinkerError(f"A fresh process answers differently: by {apart:.4f}.")
    return {"rows": len(texts), "compared": "logits", "equal": True, "fresh_process": fresh}


def _states(path: Path, texts: list[str]) -> np.ndarray:
    """Last hidden states of texts at their real tokens, [T, H]."""
    import torch

    loaded = checkpoint.load(path)
    found = []
    with torch.no_grad():
        for start in range(0, len(texts), 32):
            batch = loaded.tokenizer(
                texts[start : start + 32], padding=True, truncation=True, max_length=128, return_tensors="pt"
            )
            given = {key: batch[key] for key in checkpoint.model_inputs(loaded.model) if key in batch}
            states = loaded.model(**given, output_hidden_states=True).hidden_states[-1]
            found.append(states[batch["attention_mask"].bool()].float().numpy())
    return np.concatenate(found)


def _refuse_unequal(before: np.ndarray, after: np.ndarray) -> None:
    if before.shape != after.shape or not np.array_equal(before, after, equal_nan=True):
        apart = float(np.nanmax(np.abs(before - after))) if before.shape == after.shape else float("nan")
        raise QTinkerError(
            f"The trimmed model does not answer as its source does: a number differs by {apart:.6f}.",
            "Please report this as a bug, with the model's name.",
        )


def findings(record: dict[str, Any]) -> list[str]:
    """What came of it, in words."""
    before, after = record["bytes_before"], record["bytes_after"]
    lines = [
        f"Kept {record['tokens']:,} of {record['tokens_before']:,} tokens: the embeddings are "
        f"{after['embeddings'] / before['embeddings']:.0%} of what they were, the file {after['total']:,} of "
        f"{before['total']:,} bytes.",
    ]
    if record["rows"]:
        lines.append(
            f"All texts of {record['rows']:,} {'row' if record['rows'] == 1 else 'rows'} are cut into the same tokens "
            f"as before; {record['check']['compared']} of {record['check']['rows']} of them are equal bit for bit."
        )
    unseen = record["unseen_tokens_not_covered"]
    if unseen is not None:
        lines.append(
            f"Of the tokens in texts held back, {unseen:.1%} were not among those of the others: expect as much of new "
            "text to be spelled in smaller pieces."
        )
    return lines


def _texts(data: str | Path | Examples | None, text: str | Path | None, keep: Sequence[str]) -> Iterator[str]:
    if isinstance(data, Examples):
        yield from data.texts
        yield from data.pairs or ()
    elif data is not None:
        yield from tokens.texts_of_data(str(data))
    if text is not None:
        yield from tokens.texts_of_file(Path(text))
    yield from keep


def _rows(data: str | Path | Examples | None, text: str | Path | None, keep: Sequence[str]) -> Iterator[str]:
    """A text for each row of the data, line of the text file, and word to keep."""
    if isinstance(data, Examples):
        yield from data.texts
    elif data is not None:
        yield from tokens.rows_of_data(str(data))
    yield from _texts(None, text, keep)


def _spread(texts: Iterable[str], count: int) -> list[str]:
    """Up to `count` texts, drawn evenly and always the same."""
    random = np.random.Generator(np.random.PCG64(0))
    chosen: list[str] = []
    for number, text in enumerate(text for text in texts if text.strip()):
        if number < count:
            chosen.append(text)
        elif (place := int(random.integers(number + 1))) < count:
            chosen[place] = text
    return chosen


def _card(record: dict[str, Any]) -> str:
    """The part of a trimmed model's card that says what was done to it."""
    before, after = record["bytes_before"], record["bytes_after"]
    rows = "\n".join(f"| {part} | {before[part]:,} | {after[part]:,} |" for part in before)
    words = "\n".join(f"- {line}" for line in record["findings"])
    return (
        f"\n## Vocabulary\n\nTrimmed from {record['source']}.\n\n| part | bytes before | bytes after |\n|---|---|---|\n"
        f"{rows}\n\n{words}\n"
    )
