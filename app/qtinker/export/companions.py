"""What a folder for another library needs beside its graph: config, tokenizer, and a runnable example."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_TEXTS = """texts = sys.argv[1:] or ["an example"]"""
_ANSWERS = {
    "classification": """for text, row in zip(texts, logits):
    shares = np.exp(row - row.max()) / np.exp(row - row.max()).sum()
    print(labels[str(row.argmax())], f"{shares.max():.4f}", text, sep="\\t")
""",
    "multi-label": """for text, row in zip(texts, logits):
    found = [labels[str(number)] for number in np.flatnonzero(row > 0)]  # a probability above one half
    print(", ".join(found) or "(none)", text, sep="\\t")
""",
    "regression": """for text, row in zip(texts, logits):
    print(f"{row[0]:.4f}", text, sep="\\t")
""",
    "token-classification": """for words, encoded, row in zip(parted, rows, logits):
    places = {}
    for place, word in enumerate(encoded.word_ids):
        if {own}:
            places.setdefault(word, place)  # a word is answered at its first token
    for word, place in places.items():
        print(words[word], labels[str(row[place].argmax())], sep="\\t")
""",
    "question-answering": """best, none, answer = -np.inf, np.inf, ""
for encoded, row in zip(rows, logits):  # the windows of the context
    inside = np.array([part == 1 for part in encoded.sequence_ids])
    none = min(none, row[0].sum())
    first, last = np.where(inside[:, None], row[: len(inside)], -np.inf).T
    for start in np.flatnonzero(inside):
        end = start + last[start : start + {longest}].argmax()
        if first[start] + last[end] > best:
            best = first[start] + last[end]
            answer = context[encoded.offsets[start][0] : encoded.offsets[end][1]].strip()
print({answer}, question, sep="\\t")
""",
    "masked-lm": """for text, encoded, row in zip(texts, rows, logits):
    for place in np.flatnonzero(np.array(encoded.ids) == tokenizer.token_to_id({mask!r})):
        best = row[place].argsort()[::-1][:5]
        print(", ".join(tokenizer.id_to_token(int(number)) for number in best), text, sep="\\t")
""",
}
_OTHER_TEXTS = {
    "question-answering": """texts = [tuple(sys.argv[1:3] if len(sys.argv) > 2 else ("Who wrote it?", "Ann did."))]""",
    "masked-lm": """texts = sys.argv[1:] or ["one {mask} two"]""",
    "pair": """texts = [tuple(sys.argv[1:3] if len(sys.argv) > 2 else ("a text", "another"))]""",
}
_ROWS = """tokenizer.enable_truncation({max_length})
rows = tokenizer.encode_batch(texts)"""
_IMPORTS = "import json\nimport sys\n"
_WORD_IMPORTS = "import json\nimport re\nimport sys\nimport unicodedata\n"
_WORDS = """parted = []
for text in texts:
    marked = ""
    for letter in text:  # marks on letters, and joiners between them, count as letters
        joins = unicodedata.category(letter)[0] == "M" or letter in "\\u200c\\u200d"
        marked += "a" if joins and marked[-1:].isalnum() else letter
    places = [place.span() for place in re.finditer({pattern!r}, marked)]  # punctuation apart, as predict parts it
    parted.append([text[start:end] for start, end in places] or [""])
tokenizer.enable_truncation({max_length})
rows = tokenizer.encode_batch({parted}, is_pretokenized=True)"""
_SPACED = """[[words[0], *(" " + word for word in words[1:])] for words in parted]"""
_OWN = "word is not None"
_SPACED_OWN = f"{_OWN} and (word == 0 or encoded.offsets[place][1] > 1)"  # not the space before a word
_WINDOWS = """[(question, context)] = texts
places = tokenizer.encode(question, add_special_tokens=False).offsets[: {half}]  # the rest is for the context
question = question[: places[-1][1] if places else 0]
tokenizer.enable_truncation({max_length}, stride={stride}, strategy="only_second")
[row] = tokenizer.encode_batch([(question, context)])
rows = [row, *row.overflowing]"""
_PLAIN = 'python example.py "a text"'
_USAGE = {"question-answering": '"a question" "its context"', "masked-lm": '"a text with {mask}"',
          "pair": '"a text" "the text beside it"'}  # fmt: skip


def write_companions(runtime: Any, folder: Path, *, example: str) -> None:
    """What a folder needs beside its graph: config, tokenizer, and an example in the target's own library."""
    from ..data.cutting import keeps_spaces
    from ..predicted import INNER
    from ..tasks.spans import LONGEST

    runtime.tokenizer.save_pretrained(folder)
    config = json.loads(runtime.model.config.to_json_string(use_diff=False))
    for key in ("quantization_config", "_name_or_path"):  # the second is a path on this computer
        config.pop(key, None)
    config["architectures"] = [type(runtime.model).__name__]
    (folder / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    if not (folder / "tokenizer.json").is_file():
        return
    tokenizer, kind = runtime.tokenizer, runtime.problem_type
    asked = "pair" if runtime.task.get("pair") and kind not in _OTHER_TEXTS else kind
    text, half, spaced = example, runtime.max_length // 2, keeps_spaces(tokenizer)
    room = runtime.max_length - half - tokenizer.num_special_tokens_to_add(pair=True)
    for key, value in (
        ("{usage}", _USAGE.get(asked, '"a text" "another"')),
        (_IMPORTS, _WORD_IMPORTS if kind == "token-classification" else _IMPORTS),
        ("{rows}", {"question-answering": _WINDOWS, "token-classification": _WORDS}.get(kind, _ROWS)),
        ("{texts}", _OTHER_TEXTS.get(asked, _TEXTS)),
        ("{answers}", _ANSWERS[kind]),
        ("{answer}", 'answer if best >= none else ""' if runtime.task.get("unanswerable") else "answer"),
        ("{parted}", _SPACED if spaced else "parted"),
        ("{own}", _SPACED_OWN if spaced else _OWN),
        ("{pattern!r}", ascii(INNER.pattern)),
        ("{longest}", str(LONGEST)),
        ("{max_length}", str(runtime.max_length)),
        ("{half}", str(half)),
        ("{stride}", str(min(runtime.max_length // 3, max(room - 1, 0)))),
        ("{pad_id}", str(runtime.pad_token_id)),
        ("{pad_token!r}", repr(tokenizer.pad_token)),
        ("{mask!r}", repr(tokenizer.mask_token)),
        ("{mask}", str(tokenizer.mask_token)),
    ):
        text = text.replace(key, value)
    (folder / "example.py").write_text(text, encoding="utf-8")


def how_to_run(folder: Path) -> str:
    """The command that runs a folder's example, as the example itself tells it."""
    try:
        with (folder / "example.py").open(encoding="utf-8") as file:
            return file.readline().partition(":  ")[2].strip() or _PLAIN
    except OSError:
        return _PLAIN
