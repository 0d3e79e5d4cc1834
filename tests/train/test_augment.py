"""Variants of training texts by a masked language model whose answers are known beforehand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers
import torch
import transformers
from filelock import FileLock
from qtinker.checkpoint import Loaded
from qtinker.data import Examples
from qtinker.distill import augment
from qtinker.distill.augment import Variation
from qtinker.errors import InputError, RunStopped

WORDS = ["the", "cat", "sat", "on", "mat", "dog", "ran", "##s", "un", "##seen", "a1", "."]


@pytest.fixture
def guesser() -> Loaded:
    """Guesses `dog`, then `ran`, then `mat` for every hidden word, whatever stands around it."""
    vocabulary = {word: number for number, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS])}
    tokenizer = transformers.BertTokenizerFast(vocab=vocabulary, do_lower_case=True, model_max_length=64)
    config = transformers.BertConfig(
        vocab_size=len(vocabulary), hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8
    )
    model = transformers.BertForMaskedLM(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        for place, word in enumerate(["##s", "a1", "[UNK]", "dog", "ran", "mat"]):
            model.cls.predictions.bias[vocabulary[word]] = 20 - place
    return Loaded(model, tokenizer, {"name": "guesser"}, None)


def made(examples: Examples, model: Loaded, how: Variation, **more: Any) -> tuple[list[Path], Examples]:
    files = augment.variants(examples, model, how, weights=["w"], max_length=32, **more)
    while True:
        try:
            next(files)
        except StopIteration as end:
            return end.value, augment.read(end.value, examples, but=())


def test_every_whole_word_becomes_the_likeliest_other(guesser: Loaded) -> None:
    """Pieces, numbers and marks are no candidates; cats and unseen are words of several pieces and stay."""
    examples = Examples(["The cats sat, unseen.", "DOG on a1"], labels=np.array([0, 1]))
    _, found = made(examples, guesser, Variation(variants=4, share=1.0, candidates=1))
    assert list(found.texts) == ["Dog cats dog, unseen.", "RAN dog a1"]
    assert not found.labelled.any() and found.labels.dtype == np.int64


def test_spaces_that_a_tokenizer_counts_to_words_stay(guesser: Loaded) -> None:
    """As DeBERTa's and ModernBERT's do, where " sat" is the word's place in the text."""
    pieces = [("[PAD]", 0.0), ("[UNK]", 0.0), ("[MASK]", 0.0), *((f"\u2581{word}", -1.0) for word in WORDS)]
    own = tokenizers.Tokenizer(tokenizers.models.Unigram(pieces, unk_id=1))
    own.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=own, pad_token="[PAD]", unk_token="[UNK]", mask_token="[MASK]"
    )
    assert tokenizer("the cat", return_offsets_mapping=True)["offset_mapping"][1] == (3, 7)
    config = guesser.model.config
    config.vocab_size = len(pieces)
    model = transformers.BertForMaskedLM(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.cls.predictions.bias[tokenizer.convert_tokens_to_ids("\u2581dog")] = 9.0
    _, found = made(Examples(["the cat sat"]), Loaded(model, tokenizer, {}, None), Variation(1, 1.0, 1))
    assert list(found.texts) == ["dog dog dog"]


def test_candidates_are_drawn_from_the_likeliest(guesser: Loaded) -> None:
    _, found = made(Examples(["cat"]), guesser, Variation(variants=60, share=1.0, candidates=3))
    assert sorted(found.texts) == ["dog", "mat", "ran"]
    _, found = made(Examples(["dog"]), guesser, Variation(variants=60, share=1.0, candidates=2))
    assert sorted(found.texts) == ["mat", "ran"], "the word itself is no candidate"


def test_the_share_is_that_of_replaced_words(guesser: Loaded) -> None:
    texts = [f"{'the ' * number}cat" for number in range(40)]
    _, found = made(Examples(texts), guesser, Variation(variants=20, share=0.25, candidates=1, seed=3))
    words = [word for text in found.texts for word in text.split()]
    assert words.count("dog") / len(words) == pytest.approx(0.25, abs=0.03)


def test_the_same_seed_and_text_give_the_same_variants_in_any_company(guesser: Loaded) -> None:
    how = Variation(variants=3, share=0.5, candidates=3, seed=7)
    texts = ["the cat sat on the mat .", "a dog ran on", "the dog"]
    _, together = made(Examples(texts), guesser, how)
    _, alone = made(Examples(texts[1:2]), guesser, how)
    assert [text for text in together.texts if text in set(alone.texts)] == list(alone.texts)
    assert len(alone) > 0
    _, other = made(Examples(texts), guesser, Variation(variants=3, share=0.5, candidates=3, seed=8))
    assert list(other.texts) != list(together.texts)


def test_pairs_vary_in_both_texts_and_questions_alone(guesser: Loaded) -> None:
    how = Variation(variants=1, share=1.0, candidates=1)
    _, found = made(Examples(["the cat"], ["on mat"], np.array([0.5], np.float32)), guesser, how)
    assert (list(found.texts), list(found.pairs or ())) == (["dog dog"], ["dog dog"])
    assert np.isnan(found.labels).all()
    asked = Examples(["the cat"], ["cat sat"], np.array([[0, 3]]), "spans", [["cat"]])
    _, found = made(asked, guesser, how)
    assert (list(found.texts), list(found.pairs or ())) == (["dog dog"], ["cat sat"])
    assert found.labels.tolist() == [[-100, -100]]


def test_texts_to_measure_on_are_left_out(guesser: Loaded) -> None:
    examples, how = Examples(["cat", "cat sat"]), Variation(variants=1, share=1.0, candidates=1)
    files, _ = made(examples, guesser, how)
    found = augment.read(files, examples, but=(examples, Examples(["Dog  DOG"])))
    assert list(found.texts) == ["dog"]


def test_parts_that_are_made_are_not_made_again(guesser: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(augment, "PART", 2)
    examples, how = Examples(["cat", "sat", "on", "mat", "the"]), Variation(variants=2, share=1.0, candidates=1)
    answers = iter([False, True])
    with pytest.raises(RunStopped, match="2 of 5"):
        made(examples, guesser, how, should_stop=lambda: next(answers))
    files, whole = made(examples, guesser, how)
    times = [file.stat().st_mtime_ns for file in files]
    assert len(files) == 3 and list(whole.texts) == ["dog"]
    files[1].write_bytes(b"cut")  # damaged: made anew
    again, _ = made(examples, guesser, how)
    assert [file.stat().st_mtime_ns == before for file, before in zip(again, times, strict=True)] == [True, False, True]
    assert sorted(file.name for file in files[0].parent.iterdir()) == [".lock", *(file.name for file in files)]


def test_who_waits_for_another_run_says_so_and_can_be_stopped(guesser: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    class Quick(FileLock):
        def acquire(self, timeout: float | None = None, **more: Any) -> Any:
            assert timeout == 1
            return super().acquire(timeout=0, **more)

    examples, how = Examples(["cat"]), Variation(variants=2, share=1.0, candidates=1)
    files, _ = made(examples, guesser, how)
    monkeypatch.setattr(augment, "FileLock", Quick)
    answers = iter([False, False, True])
    with FileLock(files[0].parent / ".lock"):
        steps = augment.variants(
            examples, guesser, how, weights=["w"], max_length=32, should_stop=lambda: next(answers)
        )  # fmt: skip
        event = next(steps)
        assert (event["kind"], event["text"]) == (
            "message", "Another run is making the same variants: waiting for it."
        )  # fmt: skip
        with pytest.raises(RunStopped, match="while another run was making"):
            next(steps)
    assert list(made(examples, guesser, how)[1].texts) == ["dog"], "the lock is free again"
    FileLock(files[0].parent / ".lock").acquire(timeout=0).lock.release()


def test_running_text_and_models_without_mask_are_refused(guesser: Loaded) -> None:
    with pytest.raises(InputError, match="Running text has no variants"):
        made(Examples(["text"], form="blocks"), guesser, Variation())
    guesser.tokenizer.mask_token = None
    with pytest.raises(InputError, match="can't hide single words"):
        made(Examples(["text"]), guesser, Variation())
