"""What benchmarks/quality.py measures: the data sets, how long each is trained on, and the settings of each row."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

DEPTHS = {"half": "1,2,4", "third": "1,4"}
"""Layers of the teacher that make the student, counted from 0, where a data set names no others."""
INITIALISATIONS = {
    "half from below": "0,1,2", "half, every second": "0,2,4", "half with the last": "1,3,5",
    "half from above": "3,4,5", "third from below": "0,1", "third, every third": "0,3", "third with the last": "2,5",
}  # fmt: skip
"""Other layers that a student of that depth may be cut from."""
METHODS: dict[str, dict[str, Any]] = {
    "control": {},
    "logit": {"method": "logit"},
    "patient": {"method": "patient"},
    "feature": {
        "method": "feature", "answers_throughout": True, "intermediate_share": 0.3, "attention_weight": 0.002,
        "hidden_weight": 0.1, "embedding_weight": 0.1,
    },
    "relations": {"method": "relations", "answers_throughout": True, "intermediate_share": 0.3},
    "best": {"preset": "best", "control": False},
}  # fmt: skip
"""The settings of each row. In so few steps answers are trained from the first on, and states weigh little beside."""
WITH_LABELS = {"temperature": 4.0, "kd_weight": 0.5, "ce_weight": 0.5}
"""The teacher's answers and the true labels, half each. TinyBERT's, which are `feature`'s own, are the former alone."""
SOFT_ALONE = {"temperature": 1.0, "kd_weight": 1.0, "ce_weight": 0.0}
"""The teacher's answers as they are, no labels: `feature`'s own."""
LIGHT = {"relation_weight": 0.05}
"""Relations that weigh about as much as the answers beside them."""
SEED = 42
"""Of the teachers, and of the first students."""


@dataclass(frozen=True)
class Data:
    """One data set and how long to train on it; epochs and learning rates of teacher and students."""

    title: str
    train: str
    eval: str
    metric: str
    teacher: tuple[float, float]
    student: tuple[float, float]
    best: float
    """Epochs of the preset Best, on the texts without labels too."""
    max_length: int
    batch_size: int | None = None
    """None: QTinker's own."""
    examples: int | None = None
    seeds: int = 3
    unlabelled: str | None = None
    """A file whose other texts the preset Best learns from without their labels."""
    most_unlabelled: int | None = None
    sentences: tuple[str, ...] = ()
    """Files of other data sets whose sentences the preset Best learns from too, word by word."""
    half: str | None = None
    """Other layers for students of half the depth."""
    third: str | None = None
    """Other layers for students of a third of the depth."""
    start: str | None = None
    """The data set whose finetuned teacher this one's begins as; None: the pretrained encoder."""
    own: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Other settings of single methods."""
    answers: dict[str, Any] = field(default_factory=dict)
    """How every method learns from the teacher's answers, where not in QTinker's own way."""
    new_pairs: int = 0
    """So many new pairs of its texts for each that every method learns, from the teacher's answers alone."""
    text: bool = False
    """Whether every method learns the unlabelled texts, not the preset Best alone."""
    steps: int | None = None
    """Optimizer steps of the control, and of every method where new pairs or texts make an epoch longer."""


DATA = {
    "sst2": Data(
        "SST-2", "sst2/train.tsv", "sst2/dev.tsv", "accuracy", (3, 1e-4), (6, 2e-4), 6, 64,
        examples=6000, seeds=1, unlabelled="sst2/train.tsv", most_unlabelled=12_000, own={"feature": WITH_LABELS},
    ),
    "rte": Data(
        "RTE", "rte/train.tsv", "rte/dev.tsv", "accuracy", (4, 1e-4), (6, 1e-4), 3, 96,
        batch_size=16, start="stsb", new_pairs=3, steps=936, half="0,1,4", own={"feature": WITH_LABELS},
    ),
    "stsb": Data(
        "STS-B", "stsb/train.tsv", "stsb/dev.tsv", "pearson", (4, 1e-4), (6, 2e-4), 3, 64,
        batch_size=16, new_pairs=3, steps=2160, half="0,1,4",
    ),
    "banking77": Data(
        "Banking77", "banking77/train.csv", "banking77/test.csv", "accuracy", (5, 3e-4), (6, 3e-4), 8, 48,
        examples=5000, seeds=1, unlabelled="banking77/train.csv", most_unlabelled=5000,
    ),
    "wnut17": Data(
        "WNUT17", "wnut17/wnut17train.conll", "wnut17/emerging.dev.conll", "f1", (4, 2e-4), (6, 2e-4), 6, 64,
        unlabelled="wnut17/emerging.test.annotated", half="0,1,4", third="0,4", answers=SOFT_ALONE,
        own={"relations": LIGHT, "best": LIGHT},
        sentences=("rte/train.tsv", "stsb/train.tsv", "xquad/xquad.en.json"),
    ),
}  # fmt: skip
DATA["wnut17-text"] = replace(DATA["wnut17"], title="WNUT17 and text", student=(12, 2e-4), text=True, steps=1284)
DATA["sst2-text"] = replace(DATA["sst2"], title="SST-2 and text", student=(12, 2e-4), text=True, steps=2256, seeds=3)


def sentences(words: Path, others: Sequence[Path]) -> list[str]:
    """The sentences of a file of words in columns, then those of other data sets, each once; spaces part the words."""
    blocks = re.split(r"\n\s*\n", words.read_text(encoding="utf-8"))
    found = [" ".join(line.split("\t")[0].strip() for line in block.splitlines() if line.strip()) for block in blocks]
    for file in others:
        found += [" ".join(re.findall(r"\w+(?:['’-]\w+)*|[^\w\s]", text)) for text in _texts(file)]
    return list(dict.fromkeys(text for text in found if text))


def _texts(file: Path) -> Iterator[str]:
    """The pairs' texts of a table, one by one; the sentences of the contexts of a file in SQuAD's form."""
    if file.suffix == ".json":
        for article in json.loads(file.read_text(encoding="utf-8"))["data"]:
            for paragraph in article["paragraphs"]:
                yield from re.split(r"(?<=[.!?])\s+(?=[A-Z])", paragraph["context"])
        return
    with file.open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE):
            yield from (row["sentence1"], row["sentence2"])
