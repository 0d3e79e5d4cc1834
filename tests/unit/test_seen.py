"""Whether a model is measured on what it was trained on."""

from __future__ import annotations

import pytest
from qtinker import seen
from qtinker.data import Examples


def texts(start, end):
    return Examples([f"example number {number}" for number in range(start, end)])


def meta(examples):
    return {"trained_on": seen.sketch(examples)}


def test_of_a_small_data_set_every_text_is_looked_up():
    known = meta(texts(0, 100))
    assert seen.overlap(known, texts(90, 140)) == (10, 50)
    assert seen.overlap(known, texts(100, 200)) == (0, 100)
    assert seen.warning("one", known, texts(90, 140)) == (
        "one was trained on 20% of these examples (10 of 50): its score flatters. Measure on examples that it has not "
        "seen."
    )
    assert seen.warning("one", known, texts(100, 200)) is None


def test_of_a_large_one_a_fair_sample_is():
    """30,000 texts leave 1,024 hashes: about one in 29 of other texts can be looked up, and of those half are known."""
    known = meta(texts(0, 30_000))
    found, of = seen.overlap(known, texts(20_000, 40_000))
    assert 550 < of < 830  # 683 expected
    assert found / of == pytest.approx(0.5, abs=0.08)
    assert seen.overlap(known, texts(30_000, 60_000))[0] == 0
    assert "of those looked up" in str(seen.warning("one", known, texts(20_000, 40_000)))
    assert len(known["trained_on"]["least"]) < 11_000


def test_case_spaces_and_the_second_text_count_as_they_do_when_data_is_split():
    known = meta(Examples(["A  film", "b"], ["good", "bad"]))
    assert seen.overlap(known, Examples(["a film", "b"], ["Good", "good"])) == (1, 2)
    assert seen.overlap(known, Examples(["a film"])) == (0, 1)


def test_without_a_sample_nothing_is_said():
    assert seen.overlap({}, texts(0, 5)) == seen.overlap({"trained_on": None}, texts(0, 5)) == (0, 0)
    assert seen.overlap(meta(texts(0, 5)), texts(0, 0)) == (0, 0)
    assert seen.sketch(Examples(["running text"], form="blocks")) is None
    assert seen.warning("one", {}, texts(0, 5)) is None
    for damaged in ("no base64", "AAAA", None):
        assert seen.overlap({"trained_on": {"texts": 5, "least": damaged}}, texts(0, 5)) == (0, 0)


def test_one_known_example_among_many_is_no_news():
    assert seen.warning("one", meta(texts(0, 100)), texts(99, 299)) is None
