"""Which tokens of a WordPiece vocabulary some texts need. Torch-free.

WordPiece takes the longest token first, so a subset that holds the tokens of a text cuts that text as the whole
vocabulary does. A word that becomes [UNK] needs the tokens on its way to the failure too: without them a shorter token
might be found, and the word would no longer fail.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_CHUNK = 4096
SUPPORTED = "BERT, DistilBERT, MobileBERT and ELECTRA cut texts by WordPiece"


def wordpiece(tokenizer: Any, name: str) -> Tokenizer:
    """A copy of the tokenizer behind transformers', which neither cuts nor pads.

    Raises:
        InputError: it is none that cuts words by WordPiece.
    """
    from tokenizers import Tokenizer

    backend = getattr(tokenizer, "backend_tokenizer", None)
    kind = "no `tokenizers` model" if backend is None else json.loads(backend.to_str())["model"].get("type")
    if backend is None or kind != "WordPiece":
        words = {
            "BPE": "byte-pair merges (as GPT-2 and RoBERTa), which build on one another",
            "Unigram": "a SentencePiece model (as ALBERT and XLM-R), which weighs all its pieces against each other",
        }
        raise InputError(
            f"The vocabulary of {name} can't be trimmed: it cuts texts by {words.get(str(kind), kind)}.",
            f"{SUPPORTED}: trim one of those.",
        )
    copy = Tokenizer.from_str(backend.to_str())
    copy.no_truncation()
    copy.no_padding()
    return copy


def needed(backend: Tokenizer, texts: Iterable[str]) -> set[int]:
    """The ids that the texts need, special tokens around them not counted."""
    model = json.loads(backend.to_str())["model"]
    vocabulary, prefix = model["vocab"], model["continuing_subword_prefix"]
    unknown = backend.token_to_id(model["unk_token"])
    longest = max(map(len, vocabulary), default=0)
    ids: set[int] = set()
    for part in chunks(texts):
        for text, encoding in zip(part, backend.encode_batch(part, add_special_tokens=False), strict=True):
            found = set(encoding.ids)
            ids |= found
            if unknown in found:
                for word in words_of(backend, text):
                    if len(word) <= model["max_input_chars_per_word"]:
                        ids.update(vocabulary[piece] for piece in _until_failure(word, vocabulary, prefix, longest))
    return ids


def words_of(backend: Tokenizer, text: str) -> list[str]:
    """The words of a text, before they are cut into pieces."""
    if backend.normalizer is not None:
        text = backend.normalizer.normalize_str(text)
    return [text] if backend.pre_tokenizer is None else [w for w, _ in backend.pre_tokenizer.pre_tokenize_str(text)]


def _until_failure(word: str, vocabulary: dict[str, int], prefix: str, longest: int) -> list[str]:
    """The pieces that WordPiece takes of a word before it ends or finds none."""
    pieces, start = [], 0
    while start < len(word):
        for end in range(min(len(word), start + longest), start, -1):
            piece = (prefix if start else "") + word[start:end]
            if piece in vocabulary:
                pieces.append(piece)
                start = end
                break
        else:
            break
    return pieces


def always_kept(backend: Tokenizer) -> set[int]:
    """Tokens of a single character, the unknown token, and what was added to the vocabulary (special tokens are)."""
    state = json.loads(backend.to_str())
    model = state["model"]
    ids = {number for token, number in model["vocab"].items() if len(bare(token, model)) == 1}
    ids.add(model["vocab"][model["unk_token"]])
    return ids | {int(token["id"]) for token in state["added_tokens"]}


def bare(token: str, model: dict[str, Any]) -> str:
    """A token without the mark of a word's continuation."""
    prefix = model["continuing_subword_prefix"]
    return token[len(prefix) :] if len(token) > len(prefix) and token.startswith(prefix) else token


def in_scripts(backend: Tokenizer, scripts: Sequence[str]) -> set[int]:
    """Tokens whose letters are all of these scripts, and those without letters.

    Raises:
        InputError: no token is written in one of them.
    """
    wanted = {script.strip().upper() for script in scripts if script.strip()}
    model = json.loads(backend.to_str())["model"]
    ids, seen, known = set(), set(), set()
    for token, number in model["vocab"].items():
        if token.startswith("[unused"):
            continue
        found = {script_of(letter) for letter in bare(token, model) if letter.isalpha()}
        known |= found
        if found <= wanted:
            ids.add(number)
            seen |= found
    if missing := sorted(wanted - seen):
        raise InputError(
            f"No token of this vocabulary is written in the script {missing[0].lower()!r}.",
            f"It has: {', '.join(sorted(script.lower() for script in known))}.",
        )
    return ids


def script_of(letter: str) -> str:
    """The script of a letter, by its name in Unicode: LATIN, CYRILLIC, CJK, HIRAGANA, ..."""
    return unicodedata.name(letter, "UNKNOWN").split()[0]


def chunks(texts: Iterable[str]) -> Iterator[list[str]]:
    """Lists of a few thousand texts, so that memory stays bounded."""
    rest = iter(texts)
    while part := list(islice(rest, _CHUNK)):
        yield part


def texts_of_data(source: str) -> Iterator[str]:
    """Every cell of a file of examples, of both parts of the bundled sample or of a data set of the Hub.

    Names of columns and labels are among them: a few tokens more do no harm.

    Raises:
        InputError: it can't be read.
    """
    for table in _tables(source):
        yield from table.columns
        for row in _cells(table):
            yield from filter(None, row)


def rows_of_data(source: str) -> Iterator[str]:
    """The longest cell of every row: its text, wherever that stands.

    Raises:
        InputError: it can't be read.
    """
    for table in _tables(source):
        for row in _cells(table):
            yield max((cell or "" for cell in row), key=len, default="")


def _cells(table: Any) -> Iterator[tuple[str | None, ...]]:
    """The rows of a table, a few thousand in memory at a time."""
    for at in range(0, table.rows, _CHUNK):
        yield from zip(*(column[at : at + _CHUNK].to_pylist() for column in table.columns.values()), strict=True)


def _tables(source: str) -> list[Any]:
    from ..data.hub import looks_like_id, read_hub
    from ..data.read import read_file

    if source == "sample":
        from ..data.sample import sample_files

        files = sample_files()
        return [read_file(files.train), read_file(files.eval)]
    if looks_like_id(source):
        first, second, _ = read_hub(source)
        return [first] if second is None else [first, second]
    return [read_file(source)]


def texts_of_file(path: Path) -> Iterator[str]:
    """The lines of a text file.

    Raises:
        InputError: it can't be read as UTF-8 text.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:
            for line in file:
                yield line.rstrip("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"Can't read {path}: {error}.", "Give a file of UTF-8 text.") from None
