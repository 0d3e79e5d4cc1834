"""Google's tokenization, written anew from its description as the reference that tests hold our tokenizers against.

Rules of BasicTokenizer: drop NUL, U+FFFD and control characters (Cc, Cf, but not tab and line ends); spaces (Zs, tab,
line ends) become blanks; CJK ideographs become words; split at white space; lowercase and strip accents (NFD, without
Mn) word by word if the model ignores case; punctuation (ASCII symbols and P*) become words. WordpieceTokenizer takes
the longest piece first; words beyond 200 characters, or with a part that is no piece, are [UNK].
"""

from __future__ import annotations

import unicodedata

_IDEOGRAPHS = (
    (0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F), (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F),
)  # fmt: skip


def words(text: str, *, lower: bool) -> list[str]:
    """BasicTokenizer.tokenize."""
    kept = []
    for char in text:
        category = unicodedata.category(char)
        if char in " \t\n\r" or category == "Zs":
            kept.append(" ")
        elif char not in "\x00\ufffd" and category not in ("Cc", "Cf"):
            ideograph = any(first <= ord(char) <= last for first, last in _IDEOGRAPHS)
            kept.append(f" {char} " if ideograph else char)
    found = []
    for word in "".join(kept).split():
        if lower:
            word = "".join(c for c in unicodedata.normalize("NFD", word.lower()) if unicodedata.category(c) != "Mn")
        spaced = "".join(f" {char} " if _is_punctuation(char) else char for char in word)
        found += spaced.split()
    return found


def _is_punctuation(char: str) -> bool:
    ascii_symbol = "!" <= char <= "/" or ":" <= char <= "@" or "[" <= char <= "`" or "{" <= char <= "~"
    return ascii_symbol or unicodedata.category(char).startswith("P")


def tokens(text: str, vocabulary: dict[str, int], *, lower: bool) -> list[str]:
    """FullTokenizer.tokenize."""
    return [piece for word in words(text, lower=lower) for piece in _pieces(word, vocabulary)]


def _pieces(word: str, vocabulary: dict[str, int]) -> list[str]:
    pieces: list[str] = []
    start = 0
    while start < len(word) <= 200:
        for end in range(len(word), start, -1):
            piece = ("##" if start else "") + word[start:end]
            if piece in vocabulary:
                pieces.append(piece)
                start = end
                break
        else:
            return ["[UNK]"]
    return pieces if len(word) <= 200 else ["[UNK]"]
