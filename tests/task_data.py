"""Tiny data of every task, made of the tiny tokenizer's words, that a tiny model can learn."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path
from typing import Any

import tiny
import torch
import transformers
from qtinker import checkpoint, tasks

GOOD, BAD, REST = tiny.WORDS[:3], tiny.WORDS[3:6], tiny.WORDS[6:]
TOPICS = ("movie", "plot", "actor", "scene")
KINDS = ("regression", "multi-label", "token-classification", "masked-lm", "question-answering")


def sentence(generator: random.Random, *more: str, least: int = 3, most: int = 8) -> str:
    words = [generator.choice(REST) for _ in range(generator.randrange(least, most))]
    for word in more:
        words.insert(generator.randrange(len(words) + 1), word)
    return " ".join(words)


def rows(path: Path, header: list[str], content: list[list[str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *content])


def pairs(folder: Path, count: int, *, seed: int = 0) -> Path:
    """Pairs of sentences, and whether both praise or both blame."""
    generator, content = random.Random(seed), []
    for _ in range(count):
        first, second = generator.random() < 0.5, generator.random() < 0.5
        texts = [sentence(generator, generator.choice(GOOD if good else BAD)) for good in (first, second)]
        content.append([*texts, "same" if first == second else "other"])
    rows(folder / f"pairs-{seed}.csv", ["sentence1", "sentence2", "label"], content)
    return folder / f"pairs-{seed}.csv"


def write(folder: Path, kind: str, count: int = 120, *, seed: int = 0, labels: bool = True) -> Path:
    """A file for a task; without `labels` what is to be learned is left out."""
    generator = random.Random(seed)
    name = f"{kind}-{seed}{'' if labels else '-bare'}"
    if kind == "regression":  # how good: from 0 to 3, by the words, with decimals
        content = []
        for _ in range(count):
            good = generator.randrange(4)
            words = [generator.choice(GOOD) for _ in range(good)] + [generator.choice(BAD) for _ in range(3 - good)]
            content.append([sentence(generator, *words), f"{good + generator.randrange(20) / 100}" if labels else ""])
        rows(folder / f"{name}.csv", ["text", "score"], content)
    elif kind == "multi-label":  # what it is about
        content = []
        for _ in range(count):
            topics = sorted(generator.sample(TOPICS, generator.randrange(4)))
            rest = [word for word in REST if word not in TOPICS]
            words = [generator.choice(rest) for _ in range(4)]
            for topic in topics:
                words.insert(generator.randrange(len(words)), topic)
            content.append([" ".join(words), json.dumps(topics) if labels else ""])
        rows(folder / f"{name}.csv", ["text", "labels"], content)
    elif kind == "token-classification":  # the words that praise and those that blame
        lines = []
        for _ in range(count):
            words = sentence(generator, *generator.choices([*GOOD, *BAD], k=2)).split()
            for word in words:
                lines.append(f"{word}\t{'B-praise' if word in GOOD else 'B-blame' if word in BAD else 'O'}")
            lines.append("")
        if labels:
            (folder / f"{name}.conll").write_text("\n".join(lines) + "\n", encoding="utf-8")
            return folder / f"{name}.conll"
        parts = "\n".join(lines).split("\n\n")
        sentences = [[line.split("\t")[0] for line in part.split("\n") if line] for part in parts]
        with (folder / f"{name}.jsonl").open("w", encoding="utf-8") as file:
            file.writelines(json.dumps({"tokens": words}) + "\n" for words in sentences if words)
        return folder / f"{name}.jsonl"
    elif kind == "masked-lm":  # every word follows from its neighbours
        circle = ["the", "movie", "was", "very", "good", "but", "a", "film", "is", "not"]
        paragraphs = []
        for _ in range(count):
            start = generator.randrange(len(circle))
            paragraphs.append(" ".join((circle * 4)[start : start + 29]))
        text = "\n\n".join(paragraphs)
        (folder / f"{name}.txt").write_text(text, encoding="utf-8")
        return folder / f"{name}.txt"
    else:  # which word judges
        paragraphs = []
        for number in range(count):
            word = generator.choice([*GOOD, *BAD])
            context = sentence(generator, word)
            answers = [{"text": word, "answer_start": context.index(word)}]
            question = {"question": "is the movie", "id": str(number)}
            paragraphs.append({"context": context, "qas": [{**question, **({"answers": answers} if labels else {})}]})
        (folder / f"{name}.json").write_text(json.dumps({"data": [{"paragraphs": paragraphs}]}), encoding="utf-8")
        return folder / f"{name}.json"
    return folder / f"{name}.csv"


def encoder(folder: Path, name: str, *, layers: int, seed: int, words: bool = True) -> Path:
    """A pretrained-looking model folder: an encoder with the head that guesses hidden words (or none)."""
    config = tiny.bert(layers, 32, 4, dropout=0.0).model.config
    config.initializer_range = 0.2  # so narrow a model learns fast from greater weights
    torch.manual_seed(seed)
    model = (transformers.BertForMaskedLM if words else transformers.BertModel)(config)
    checkpoint.save(model, tiny.tokenizer(), folder / name, meta={"name": name, "kind": "pretrained"})
    return folder / name


def model_for(kind: str, *, seed: int = 0, layers: int = 1) -> checkpoint.Loaded:
    """A random model with the head of a task."""
    labels = {"multi-label": TOPICS, "token-classification": ("O", "B-blame", "B-praise")}.get(kind, ())
    task = tasks.TASKS[kind](labels)
    base = tiny.bert(layers, 32, 4, dropout=0.0).model.config.to_dict()
    for key in ("id2label", "label2id", "problem_type", "architectures", "num_labels"):
        base.pop(key, None)
    torch.manual_seed(seed)
    config = transformers.BertConfig(**base, **task.head_config())
    model = getattr(transformers, task.head_class).from_config(config).eval()
    return checkpoint.Loaded(model, tiny.tokenizer(), {"name": f"tiny-{kind}"}, None)


def kept(folder: Path, kind: str, **task: Any) -> Path:
    """A model folder for a task, with weights great enough for clear answers."""
    made = model_for(kind)
    with torch.no_grad():
        for weight in made.model.parameters():
            weight.mul_(8 if weight.ndim == 2 else 1)
    labels = [made.model.config.id2label[number] for number in range(made.model.config.num_labels)]
    task |= {"type": kind, "labels": labels if kind in ("multi-label", "token-classification") else []}
    meta = {"name": folder.name, "kind": "finetuned", "task": task, "max_length": 32}
    checkpoint.save(made.model, made.tokenizer, folder, meta=meta)
    return folder
