"""The bundled sample: always the same, and hard in the ways it says."""

from __future__ import annotations

import hashlib
from collections import Counter

from qtinker import data
from qtinker.data import sample
from qtinker.home import cache_dir
from qtinker.spec import DataSpec


def test_it_is_the_same_everywhere():
    # The demo promises the same table for the same seed. Whoever changes the generator changes this on purpose.
    files = sample.sample_files()
    content = files.train.read_bytes() + files.eval.read_bytes()
    assert hashlib.sha256(content).hexdigest() == CONTENT
    vocabulary = "\n".join(sample.vocabulary())
    assert hashlib.sha256(vocabulary.encode()).hexdigest() == VOCABULARY


CONTENT = "2610734c8eed64f8be23e1486965f329712ee4cdd1ca90cb694469583a92acff"
VOCABULARY = "2052398f3480edb7aff805848c1732ee028213dc871ff16ff83b2cda8b52578d"


def test_sizes_classes_and_lengths():
    train, held = sample.examples()
    assert (len(train), len(held)) == (3000, 600)
    counts = Counter(label for _, label in train)
    assert len(counts) == 6 and min(counts.values()) > 0.5 * max(counts.values())
    lengths = sorted(len(text.split()) for text, _ in train)
    assert lengths[0] <= 3 and lengths[-1] >= 40 and lengths[300] * 2 < lengths[2700]
    assert not {text.casefold() for text, _ in train} & {text.casefold() for text, _ in held}


def test_words_alone_do_not_decide():
    # The same words in another order ask for something else.
    train, held = sample.examples()
    texts = {text.lower() for text, _ in (*train, *held)}
    assert any("not a refund" in text for text in texts) and any("i want a refund" in text for text in texts)
    assert any("can wait" in text for text in texts) and any(text.startswith("although") for text in texts)


def test_it_loads_as_any_other_file():
    loaded = data.load(DataSpec(train="sample"), seed=1)
    assert loaded.task.labels == ("account", "delivery", "exchange", "payment", "refund", "repair")
    assert (len(loaded.train), len(loaded.eval)) == (3000, 600)
    assert [*zip(loaded.eval.texts, (loaded.task.labels[i] for i in loaded.eval.labels), strict=True)] == [
        (text.strip(), label) for text, label in sample.examples()[1]
    ]
    assert loaded.warnings == []
    assert len(data.load_eval("sample", labels=loaded.task.labels)) == 600


def test_the_files_are_written_once_and_mended():
    files = sample.sample_files()
    files.eval.write_text("cut")
    assert sample.sample_files() == files and len(files.eval.read_text(encoding="utf-8").splitlines()) == 601
    assert sorted(path.name for path in (cache_dir() / "sample" / files.train.parent.name).iterdir()) == [
        "eval.csv", "train.csv",
    ]  # fmt: skip
