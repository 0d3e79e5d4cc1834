"""Which pairs a sweep trains: the published lists, own pairs, every way to cut a student."""

from __future__ import annotations

import re

import pytest
from qtinker.catalog import catalog
from qtinker.compare import pairs
from qtinker.compare.pairs import Candidate
from qtinker.compare.spec import SweepSpec
from qtinker.errors import InputError, SpecError

DATA = {"data": {"train": "sample"}}


def test_the_lists_are_the_published_ones():
    short = {"bert-base-uncased": "base", "distilbert-base-uncased": "distil", "albert-base-v2": "albert",
             "bert-tiny": "tiny", "tinybert-4l": "4l", "minilm-l6": "minilm", "gpt2": "gpt2"}  # fmt: skip
    listed = {mode: [tuple(short.get(n, n) for n in pair) for pair in found] for mode, found in pairs.MODES.items()}
    assert listed["quick"] == [("base", "tiny"), ("base", "4l"), ("distil", "minilm")]
    assert listed["balanced"] == [
        *listed["quick"], ("albert", "tiny"), ("base", "minilm"), ("distil", "tiny"), ("distil", "mobilebert"),
        ("albert", "mobilebert"),
    ]  # fmt: skip
    assert listed["all"][:9] == [*listed["balanced"], ("gpt2", "4l")]
    assert len(listed["all"]) == len(set(listed["all"])) == 16
    known = catalog()
    for teacher, student in pairs.ALL:
        assert known[teacher].role in ("teacher", "both") or teacher == "distilbert-base-uncased"
        assert known[student].role in ("student", "both")


def no_model(name):
    raise AssertionError(f"asked for the depth of {name}")


def test_custom_pairs_alone_or_beside_a_list():
    own = SweepSpec.parse({**DATA, "custom_pairs": ["a,b", "a, c@0-2"], "methods": "logit,patient"})
    assert pairs.candidates(own, depth=no_model) == [
        Candidate("a", "b", "logit"), Candidate("a", "b", "patient"), Candidate("a", "c@0-2", "logit"),
        Candidate("a", "c@0-2", "patient"),
    ]  # fmt: skip
    both = SweepSpec.parse({**DATA, "custom_pairs": ["a,b"], "mode": "quick"})
    assert len(pairs.candidates(both, depth=no_model)) == 4
    assert len(pairs.candidates(SweepSpec.parse(DATA), depth=no_model)) == 3


def test_any_layers_stand_for_every_way_to_cut():
    asked = SweepSpec.parse({**DATA, "custom_pairs": ["a,@any-2", "a,c@any-1"]})
    depths = {"a": 4, "c": 3}
    found = sorted(each.student for each in pairs.candidates(asked, depth=depths.__getitem__))
    assert found == ["@0-1", "@0-2", "@0-3", "@1-2", "@1-3", "@2-3", "c@0", "c@1", "c@2"]
    with pytest.raises(InputError, match=r"@any-2: a has 2 layers\. Keep between 1 and 1"):
        pairs.candidates(asked, depth={"a": 2}.__getitem__)
    with pytest.raises(InputError, match=r"a has 1 layer\. Take it whole"):
        pairs.candidates(asked, depth={"a": 1}.__getitem__)
    unknown = pairs.candidates(asked, depth=lambda name: None)
    assert [(each.student, each.models) for each in unknown] == [("@any-2", ["a"]), ("c@any-1", ["a", "c"])]
    for text in ("@any-", "@any-0", "@any-2-3", "@any", "@1-any"):
        with pytest.raises(SpecError, match="layers are written as"):
            SweepSpec.parse({**DATA, "custom_pairs": [f"a,{text}"]})


def test_too_many_ways_are_a_choice_that_is_the_same_each_time():
    ways = pairs.ways(12, 6)
    assert ways == pairs.ways(12, 6) and len(set(ways)) == len(ways) == pairs.WAYS
    assert ways[:2] == [(0, 2, 4, 6, 8, 10), (1, 3, 5, 7, 9, 11)]
    assert {tuple(range(6)), tuple(range(6, 12))} < set(ways)
    assert all(sorted(set(way)) == list(way) and len(way) == 6 for way in ways)
    assert len(set(pairs.ways(6, 3))) == 20 and pairs.ways(6, 3)[:3] == [(0, 2, 4), (1, 3, 5), (0, 1, 2)]


def test_a_student_is_a_model_layers_or_a_shape():
    assert pairs.student_spec("bert-tiny").model == "bert-tiny"
    cut = pairs.student_spec("minilm@0-2-4")
    assert (cut.model, cut.layers) == ("minilm", [0, 2, 4])
    own = pairs.student_spec("@1-3")
    assert (own.model, own.layers) == (None, [1, 3])
    assert pairs.student_spec("L-2_H-128_A-2").shape == "L-2_H-128_A-2"


def test_candidates_have_names_of_their_own():
    one = Candidate("/a/model", "b", "logit")
    assert one.id != Candidate("/c/model", "b", "logit").id
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,64}", one.id)
    assert Candidate("t", "x" * 200, "logit").id != Candidate("t", "x" * 201, "logit").id
    spec = pairs.run_spec(Candidate("t", "@0-2", "patient"), SweepSpec.parse(DATA), prefix="s1", eval_every=7)
    assert (spec.name, spec.method.name, spec.training.eval_every) == ("s1-teacher-L0-2-from-t-patient", "patient", 7)
    assert spec.teacher.finetune


def test_students_cut_from_their_teacher_imitate_the_layers_that_they_begin_as():
    def mapping(student, method):
        spec = pairs.run_spec(Candidate("t", student, method), SweepSpec.parse(DATA), prefix="s1", eval_every=None)
        return spec.method.layer_mapping

    assert mapping("@0-2-5", "feature") == [(1, 1), (2, 3), (3, 6)]
    assert mapping("@0-2-5", "patient") == [(1, 1), (2, 3)]
    assert mapping("@3", "feature") == "uniform", "one layer imitates what the method says"
    assert mapping("other@0-2-5", "feature") == "uniform", "another model's layers are numbered otherwise"
    assert mapping("other", "patient") == "skip"
