"""The catalog: complete, consistent with Google's published sizes, and found under the names that people use."""

from __future__ import annotations

import csv
import re

import pytest
from qtinker import catalog
from qtinker.errors import InputError
from qtinker.registry import GROUPS


def test_has_google_33_and_the_hub_models():
    entries = list(catalog.catalog().values())
    assert sum(entry.source == "google" for entry in entries) == 33
    assert {entry.repo for entry in entries if entry.source == "hub"} == {
        "distilbert/distilbert-base-uncased", "distilbert/distilbert-base-cased",
        "distilbert/distilbert-base-multilingual-cased", "huawei-noah/TinyBERT_General_4L_312D",
        "huawei-noah/TinyBERT_General_6L_768D", "microsoft/MiniLM-L12-H384-uncased",
        "nreimers/MiniLM-L6-H384-uncased", "google/mobilebert-uncased", "albert/albert-base-v2",
        "openai-community/gpt2",
    }  # fmt: skip


@pytest.mark.real_data
def test_agrees_with_the_published_table(real_data):
    with (real_data / "google-checkpoints.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert len(rows) == 33
    for row in rows:
        entry = catalog.catalog()[row["name"]]
        assert entry.url == row["url"]
        assert (entry.layers, entry.hidden, entry.heads) == tuple(
            int(row[key]) for key in ("layers", "hidden", "heads")
        )
        assert (entry.vocabulary, entry.vocab_size) == (row["vocabulary"], int(row["vocab_size"]))
        for key in ("data_file_bytes", "zip_bytes"):
            assert getattr(entry, key) == (int(row[key]) if row[key] else None)
        for key in ("zip_sha256", "data_sha256", "index_sha256"):
            assert getattr(entry, key) == (row[key] or None)


def test_parameters_from_the_shape_fill_google_data_files_exactly():
    # Every variable is fp32, so 4 bytes a parameter is what the published data file has, to the byte.
    google = [entry for entry in catalog.catalog().values() if entry.source == "google"]
    assert [entry.name for entry in google if 4 * entry.parameters != entry.data_file_bytes] == []
    assert catalog.catalog()["bert-tiny"].parameters == 4_433_468


def test_every_entry_is_complete():
    for entry in catalog.catalog().values():
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.-]*", entry.name)
        assert entry.group in GROUPS
        assert entry.role in ("teacher", "student", "both")
        assert entry.language in ("en", "zh", "multilingual")
        assert entry.hidden % entry.heads == 0
        assert entry.about.endswith(".")
        assert entry.licence == ("Apache-2.0" if entry.source == "google" else entry.licence) != ""
        assert (entry.url is not None) == (entry.source == "google")
        assert (entry.repo is not None and entry.revision is not None) == (entry.source == "hub")
        assert entry.disk_bytes > entry.download_bytes > 10_000_000
        for digest in (entry.zip_sha256, entry.data_sha256, entry.index_sha256):
            assert digest is None or re.fullmatch(r"[0-9a-f]{64}", digest)


def test_no_two_entries_share_a_name():
    names = [
        name.casefold()
        for entry in catalog.catalog().values()
        for name in {entry.name, *entry.aliases, *filter(None, [entry.repo])}
    ]
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("bert-tiny", "bert-tiny"),
        ("BERT-Tiny", "bert-tiny"),
        ("google/bert_uncased_L-2_H-128_A-2", "bert-tiny"),
        ("uncased_L-12_H-768_A-12", "bert-base-uncased"),
        ("google/bert_uncased_L-12_H-768_A-12", "bert-uncased-L12-H768"),
        ("bert-base-chinese", "bert-chinese"),
        ("huawei-noah/TinyBERT_General_4L_312D", "tinybert-4l"),
        ("huawei-noah/tinybert_general_6l_768d", "tinybert-6l"),
        ("MiniLM-L12-H384-uncased", "minilm-l12"),
        ("nreimers/MiniLM-L6-H384-uncased", "minilm-l6"),
        ("google/mobilebert-uncased", "mobilebert"),
        ("albert-base-v2", "albert-base-v2"),
        ("openai-community/gpt2", "gpt2"),
        ("https://huggingface.co/distilbert/distilbert-base-uncased/", "distilbert-base-uncased"),
        ("distilbert-base-multilingual-cased", "distilbert-base-multilingual-cased"),
    ],
)
def test_is_found_under_the_names_people_use(alias, name):
    entry = catalog.find(alias)
    assert entry is not None
    assert entry.name == name


def test_an_unknown_name_is_none():
    assert catalog.find("bert-gigantic") is None


@pytest.mark.parametrize(
    ("name", "lower"),
    [("bert-base-uncased", True), ("bert-base-cased", False), ("bert-multilingual-cased", False),
     ("bert-multilingual-uncased", True), ("bert-chinese", True)],
)  # fmt: skip
def test_case_is_what_google_code_says(name, lower):
    # google-research/bert, tokenization.validate_case_matches_checkpoint.
    assert catalog.catalog()[name].lower_case is lower


def test_sets():
    assert [entry.name for entry in catalog.in_set("recommended")] == [
        "bert-tiny", "bert-mini", "bert-small", "bert-medium", "bert-base-uncased",
    ]  # fmt: skip
    assert sum(entry.download_bytes for entry in catalog.in_set("recommended")) < 1_000_000_000
    assert len(catalog.in_set("large")) == 4
    assert {entry.language for entry in catalog.in_set("multilingual")} == {"multilingual", "zh"}
    assert len(catalog.in_set("all")) == 43
    assert "tinybert-4l" in [entry.name for entry in catalog.in_set("students")]
    assert "bert-large-uncased" not in [entry.name for entry in catalog.in_set("students")]
    assert "bert-tiny" not in [entry.name for entry in catalog.in_set("teachers")]
    assert catalog.catalog()["bert-tiny"].sets == ("recommended", "students", "all")
    with pytest.raises(InputError, match=r"no set 'tiny'.*recommended, students"):
        catalog.in_set("tiny")
