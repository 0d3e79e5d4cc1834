"""Writes the tokenizer files of a converted Google checkpoint, so that they give exactly the ids of Google's code.

Google's FullTokenizer (google-research/bert, tokenization.py) cleans, spaces CJK, lowercases and strips accents word by
word, splits at punctuation, then takes the longest pieces first. `tokenizers` has that as BertNormalizer,
BertPreTokenizer and WordPiece, with differences that are closed here: words of 101 to 200 characters are not [UNK];
private-use characters stay; a capital sigma that ends a word becomes the final one; punctuation and marks newer than
Unicode 8, and the CJK extension E from its first character on.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import CheckpointError

if TYPE_CHECKING:
    from tokenizers import AddedToken, Tokenizer

PAD, UNK, CLS, SEP, MASK = SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_MAX_CHARS_PER_WORD = 200  # WordpieceTokenizer's max_input_chars_per_word; `tokenizers` has 100
# Removed by BasicTokenizer._clean_text: NUL, U+FFFD, control and format characters (tab and line ends are spaces).
_REMOVED = "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffd\\p{Cf}]"
# Where str.lower() makes a final sigma: Unicode's condition Final_Sigma (SpecialCasing.txt).
_FINAL_SIGMA = "(?<=\\p{Cased}\\p{Case_Ignorable}*)\u03a3(?!\\p{Case_Ignorable}*\\p{Cased})"
_SPLIT = "[\\p{P}\U0002b820-\U0002b91f]"
_SPLIT_PUNCTUATION = "\\p{P}"  # where Chinese is not split
# Google's own names; the checkpoints' case is what its validate_case_matches_checkpoint knows.
_LOWER = re.compile(r"(?<![a-z])(uncased|chinese_l-|chinese$|bert-base-chinese|multilingual_l-|multilingual-uncased)")
_CASED = re.compile(r"(?<![a-z])cased")


def read_vocabulary(path: Path) -> list[str]:
    """The tokens of a vocab.txt in the order of their ids. Lines end at LF or CRLF only: tokens may hold U+2028.

    Raises:
        CheckpointError: unreadable, not UTF-8, or without BERT's special tokens.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise CheckpointError(
            f"{path} is missing.", "Put the vocabulary that the model was trained with there."
        ) from None
    except OSError as error:
        raise CheckpointError(f"Can't read {path}: {error.strerror or error}.") from None
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{path} is not a vocabulary: byte {error.start} is not UTF-8.") from None
    tokens = [line.removesuffix("\r") for line in text.split("\n")]
    while tokens and not tokens[-1]:
        tokens.pop()
    known = set(tokens)
    if missing := [token for token in SPECIAL if token not in known]:
        raise CheckpointError(
            f"{path} is not a BERT vocabulary: it lacks {', '.join(missing)}.",
            "Give the vocab.txt that came with the checkpoint.",
        )
    return tokens


def lower_cases(vocabulary: list[str], *names: str) -> bool:
    """Whether the model ignores case: by Google's naming of the checkpoint (a folder's or zip's name), else by the
    vocabulary, of which a cased one holds tokens with capitals."""
    for name in names:
        name = name.lower()
        if _LOWER.search(name):
            return True
        if _CASED.search(name):
            return False
    special = re.compile(r"[\[<].*[\]>]$")
    return not any(token != token.lower() for token in vocabulary if not special.match(token))


def build_tokenizer(
    vocabulary: list[str], *, do_lower_case: bool, strip_accents: bool | None = None,
    tokenize_chinese_chars: bool = True,
) -> Tokenizer:  # fmt: skip
    """A `tokenizers` tokenizer with the ids of Google's FullTokenizer. A token that is there twice has its last id.

    Args:
        strip_accents: None: where it lowercases, as Google's does.
    """
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    strips = do_lower_case if strip_accents is None else strip_accents
    ids = {token: index for index, token in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.WordPiece(ids, unk_token=UNK, max_input_chars_per_word=_MAX_CHARS_PER_WORD))
    steps: list[Any] = [normalizers.Replace(Regex(_REMOVED), "")]
    if do_lower_case:
        steps.append(normalizers.Replace(Regex(_FINAL_SIGMA), "\u03c2"))
    steps.append(
        normalizers.BertNormalizer(
            clean_text=False, handle_chinese_chars=tokenize_chinese_chars, strip_accents=strips, lowercase=do_lower_case
        )
    )
    if strips:
        steps.append(normalizers.Replace(Regex("\\p{Mn}"), ""))
    tokenizer.normalizer = normalizers.Sequence(steps)
    split = _SPLIT if tokenize_chinese_chars else _SPLIT_PUNCTUATION
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(split), "isolated"), pre_tokenizers.BertPreTokenizer()]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{CLS}:0 $A:0 {SEP}:0",
        pair=f"{CLS}:0 $A:0 {SEP}:0 $B:1 {SEP}:1",
        special_tokens=[(CLS, ids[CLS]), (SEP, ids[SEP])],
    )
    tokenizer.decoder = decoders.WordPiece(prefix="##")
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL])
    return tokenizer


def write_tokenizer(
    folder: Path, vocabulary: list[str], *, do_lower_case: bool, max_length: int, strip_accents: bool | None = None,
    tokenize_chinese_chars: bool = True, added: dict[int, AddedToken] | None = None,
) -> None:  # fmt: skip
    """Write tokenizer.json, tokenizer_config.json and vocab.txt into a model folder.

    The class named is the general one: BertTokenizer of transformers 5 builds its own normaliser and lets go of what
    tokenizer.json says.

    Args:
        added: by id, the tokens that are looked for before a text is cut, besides BERT's own special ones.

    Raises:
        CheckpointError: an added token can't have its id.
    """
    tokenizer = build_tokenizer(
        vocabulary, do_lower_case=do_lower_case, strip_accents=strip_accents,
        tokenize_chinese_chars=tokenize_chinese_chars,
    )  # fmt: skip
    for number, token in sorted((added or {}).items()):
        if token.content not in SPECIAL:
            tokenizer.add_tokens([token])
        if tokenizer.token_to_id(token.content) != number:
            raise CheckpointError(
                f"tokenizer_config.json gives {token.content!r} the id {number}, and vocab.txt leaves it "
                f"{tokenizer.token_to_id(token.content)}.",
                "Give the vocab.txt and the tokenizer_config.json that belong together, or a tokenizer.json.",
            )
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "do_lower_case": do_lower_case,
        "strip_accents": strip_accents,
        "tokenize_chinese_chars": tokenize_chinese_chars,
        "model_max_length": max_length,
        "model_input_names": ["input_ids", "token_type_ids", "attention_mask"],
        "clean_up_tokenization_spaces": False,
        "pad_token": PAD,
        "unk_token": UNK,
        "cls_token": CLS,
        "sep_token": SEP,
        "mask_token": MASK,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    (folder / "vocab.txt").write_bytes("".join(f"{token}\n" for token in vocabulary).encode())


def token_rules(state: dict[str, Any]) -> dict[str, Any]:
    """What of a tokenizer.json, its vocabulary aside, decides how ordinary text is cut: to compare two tokenizers.

    The exact rules written here count as the plain ones of BertTokenizer, so that a Google checkpoint and a model of
    the Hub with its vocabulary count as alike: they differ in words past 100 characters and a few rare characters.
    """
    normalizer, splitter = state.get("normalizer") or {}, state.get("pre_tokenizer") or {}
    model = {
        key: value for key, value in (state.get("model") or {}).items() if key != "vocab" or isinstance(value, list)
    }
    steps = normalizer.get("normalizers") or []
    plain = [step for step in steps if step.get("type") == "BertNormalizer"]
    ours = {_REMOVED, _FINAL_SIGMA, "\\p{Mn}"}
    if len(plain) == 1 and all(_pattern(step) in ours for step in steps if step not in plain):
        normalizer = {**plain[0], "clean_text": True}
    parts, exact = splitter.get("pretokenizers") or [], (_SPLIT, _SPLIT_PUNCTUATION)
    if [part.get("type") for part in parts] == ["Split", "BertPreTokenizer"] and _pattern(parts[0]) in exact:
        splitter = parts[1]
    if normalizer.get("type") == "BertNormalizer" and normalizer.get("strip_accents") is None:
        normalizer = {**normalizer, "strip_accents": normalizer.get("lowercase")}  # what None means there
    if model.get("type") == "WordPiece":
        model.pop("max_input_chars_per_word", None)
    return {"normalizer": normalizer, "pre_tokenizer": splitter, "model": model}


def _pattern(step: dict[str, Any]) -> str | None:
    pattern = step.get("pattern")
    return pattern.get("Regex") if isinstance(pattern, dict) else None
