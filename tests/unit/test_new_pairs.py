"""New pairs of the texts of pairs: which they are, and which they never are."""

from __future__ import annotations

import numpy as np
import pytest
from qtinker.data.examples import Examples
from qtinker.data.new_pairs import new_pairs

THINGS = ("apple", "bridge", "candle", "donkey", "engine", "forest", "garden", "hammer")


def pairs(count: int = 200) -> Examples:
    firsts = [f"first {THINGS[n % 8]} of number{n}" for n in range(count)]
    return Examples(firsts, [f"second {THINGS[n % 8]} of number{n}" for n in range(count)], np.zeros(count, np.int64))


def test_first_texts_stay_first_and_nothing_known_or_twice_is_made():
    known, held = pairs(), Examples(["first apple of number0"], ["SECOND  apple of number8"])
    made = new_pairs(known, 40, seed=1, but=(known, held))
    both = list(zip(made.texts, made.pairs, strict=True))
    assert 5000 < len(both) == len(set(both)) <= 8000 and not made.labelled.any()
    assert set(made.texts) <= set(known.texts) and set(made.pairs) <= set(known.pairs)
    assert not set(both) & set(zip(known.texts, known.pairs, strict=True))
    assert ("first apple of number0", "second apple of number8") not in both, "case and spacing aside, it is held out"


def test_rare_words_are_shared_far_more_often_than_by_chance():
    known = pairs()
    made = new_pairs(known, 8, seed=1, but=(known,))
    shared = np.mean([a.split()[1] == b.split()[1] for a, b in zip(made.texts, made.pairs, strict=True)])
    # `of` stands in 199 other second texts, the thing in 24, the number in none: 0.75 * 0.9 and a quarter by chance
    assert 0.6 < shared < 0.8


def test_the_seed_alone_decides():
    known = pairs()
    one, same, other = (new_pairs(known, 2, seed=seed, but=(known,)) for seed in (1, 1, 2))
    assert list(one.pairs) == list(same.pairs) and list(one.texts) == list(same.texts)
    assert list(one.pairs) != list(other.pairs)


def test_how_far_it_is_is_told(monkeypatch):
    monkeypatch.setattr("qtinker.data.new_pairs.PART", 80)
    heard: list[int] = []
    new_pairs(pairs(), 2, seed=1, but=(), told=heard.append)
    assert heard == [80, 160]


def test_texts_without_spaces_meet_by_their_characters():
    known = Examples(["猫在睡觉"] + ["天气很好"] * 39, ["一只猫", *(f"股票{n}" for n in range(38)), "我的猫"])
    made = new_pairs(known, 8, seed=3, but=(known,))
    assert ("猫在睡觉", "我的猫") in list(zip(made.texts, made.pairs, strict=True))


def test_texts_that_share_nothing_still_meet_and_a_lone_pair_makes_none():
    known = Examples(["a b", "c d", ""], ["e f", "g h", "!"])
    assert len(new_pairs(known, 20, seed=1, but=(known,))) == 6, "all that three first and second texts allow"
    lone = Examples(["a"], ["b"])
    assert len(new_pairs(lone, 5, seed=1, but=(lone,))) == 0
    with pytest.raises(ValueError, match="single texts"):
        new_pairs(Examples(["a"]), 1, seed=1, but=())
