"""Data sets of the Hub, as `datasets` hands them over; no network."""

from __future__ import annotations

import datasets
import pytest
from huggingface_hub import constants
from qtinker import data
from qtinker.data import hub
from qtinker.errors import InputError
from qtinker.spec import DataSpec

FEATURES = datasets.Features(
    {
        "text": datasets.Value("string"),
        "label": datasets.ClassLabel(names=["neg", "pos"]),
        "idx": datasets.Value("int32"),
    }
)


def part(texts, labels):
    rows = {"text": texts, "label": labels, "idx": list(range(len(texts)))}
    return datasets.Dataset.from_dict(rows, features=FEATURES)


@pytest.fixture
def loaded(monkeypatch):
    """Puts the given splits where the Hub's would come from, and records what was asked for."""
    asked = []

    def serve(**splits):
        monkeypatch.setattr(
            datasets, "load_dataset", lambda *a, **k: asked.append((a, k)) or datasets.DatasetDict(splits)
        )
        return asked

    return serve


def test_classes_have_their_names_and_minus_one_is_no_label(loaded):
    asked = loaded(
        train=part(["one good text", "a bad text", "one more text"], [1, 0, -1]),
        validation=part(["a fine text", "a poor text"], [1, 0]),
        test=part(["nobody knows"], [-1]),
    )
    found = data.load(DataSpec(train="some-one/films:plain"), seed=0)
    assert asked == [(("some-one/films", "plain"), {})]  # no code of theirs is trusted
    assert found.task.labels == ("neg", "pos")
    assert found.train.labels.tolist() == [1, 0, -100] and found.eval.labels.tolist() == [1, 0]
    assert "evaluation data: the data set's own part 'validation'" in found.findings


def test_a_data_set_with_one_part_is_split(loaded):
    loaded(train=part([f"this is text {i}" for i in range(20)], [0, 1] * 10))
    found = data.load(DataSpec(train="films"), seed=0)
    assert (len(found.train), len(found.eval)) == (18, 2)
    loaded(test=part([f"this is text {i}" for i in range(20)], [0, 1] * 10))
    assert len(data.load_eval("films")) == 20


@pytest.mark.parametrize(
    ("name", "expected"),
    [("owner/name", True), ("name", True), ("owner/name:config", True), ("train.csv", False),
     ("data/train.tsv.gz", False), ("./name", False), ("/tmp/name", False),
     ("a/b/c", False), ("C:\\data", False), ("name with spaces", False)],
)  # fmt: skip
def test_what_looks_like_an_id(name, expected):
    assert hub.looks_like_id(name) is expected


def test_a_file_wins_over_an_id(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "films").write_text("text,label\none thing,a\ntwo things,b\n")
    assert not hub.looks_like_id("films")
    assert len(data.load_eval("films")) == 2


def test_what_the_library_says_is_passed_on(monkeypatch):
    def fail(*args):
        raise ValueError("Config name is missing.\nPlease pick one among the available configs: ['cola', 'sst2']")

    monkeypatch.setattr(datasets, "load_dataset", fail)
    with pytest.raises(InputError, match=r"'cola', 'sst2'.*Name one of its configurations, as in glue:CONFIG"):
        data.load(DataSpec(train="glue"), seed=0)


def test_without_a_network_the_hub_is_not_waited_for(monkeypatch, tmp_path):
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    monkeypatch.chdir(tmp_path)
    asked, ask = [], datasets.load_dataset
    monkeypatch.setattr(datasets, "load_dataset", lambda *a: asked.append(constants.is_offline_mode()) or ask(*a))
    with pytest.raises(InputError, match=r"no file films, and .* it can't be reached\. Check the id and the conn"):
        data.load(DataSpec(train="films"), seed=0)
    assert asked == [True] and not constants.HF_HUB_OFFLINE and not datasets.config.HF_HUB_OFFLINE
    (tmp_path / "films.csv").write_text("text,label\none thing,a\ntwo things,b\n")
    with pytest.raises(InputError, match=r"If you mean the file films\.csv, give its whole name"):
        data.load(DataSpec(train="films"), seed=0)


def test_a_data_set_that_was_fetched_before_is_read_without_a_network(monkeypatch, loaded):
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    loaded(train=part(["this is one", "this is two"], [0, 1]))
    assert len(data.load_eval("films")) == 2
