"""Which trainings of a sweep are begun: where a rung says something, and where the budget still holds the best one."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from qtinker.compare import training
from qtinker.compare.sweep import SweepWork
from qtinker.spec_methods import METHODS


def entry(*, share=0.0, score=None, seconds=0.0, operations=100.0, method="logit", status="pending"):
    return {"share": share, "score": score, "seconds": seconds, "operations": operations, "method": method,
            "student": "small", "status": status}  # fmt: skip


def work(*, budget=None, spent=0.0, **entries):
    return SimpleNamespace(
        entries=entries, spec=SimpleNamespace(budget=budget), spent=spent, still_open=lambda: list(entries),
        run_spec=lambda name: SimpleNamespace(method=METHODS[entries[name]["method"]]()),
    )  # fmt: skip


@pytest.mark.parametrize(("method", "rungs"), [
    ("logit", [0.25, 0.5, 1.0]), ("patient", [0.25, 0.5, 1.0]), ("relations", [1.0]), ("feature", [1.0]),
])  # fmt: skip
def test_a_rung_says_something_when_answers_were_trained_for_a_quarter(method, rungs):
    sweep = work(one=entry(method=method))
    assert [share for share in (0.25, 0.5, 1.0) if training.tells(sweep, "one", share)] == rungs


def test_answers_trained_throughout_are_judged_at_every_rung():
    sweep = work(one=entry())
    sweep.run_spec = lambda name: SimpleNamespace(method=METHODS["relations"](answers_throughout=True))
    assert [share for share in (0.25, 0.5, 1.0) if training.tells(sweep, "one", share)] == [0.25, 0.5, 1.0]


def test_time_is_kept_for_finishing_the_best():
    # 60 s for a quarter of 100 operations: 180 s more for the rest, and 10 s beside; as long for the other's quarter
    best = entry(share=0.25, score=0.8, seconds=60.0, status="paused")
    sweep = work(budget=400.0, spent=100.0, best=best, other=entry())
    assert training.pace(sweep) == 2.4
    assert training.seconds_left(sweep, "best") == 190.0
    assert training.seconds_left(sweep, "other") == 250.0
    assert training.crowded_out(sweep, "other", 0.25) is None  # 100 + 60 + 190 of 360
    sweep.spent = 111.0
    assert training.crowded_out(sweep, "other", 0.25) == "best"
    sweep.entries["other"]["operations"] = 50.0  # half the work: 111 + 30 + 190
    assert training.crowded_out(sweep, "other", 0.25) is None
    assert training.crowded_out(sweep, "best", 0.5) is None  # nobody crowds out itself
    sweep.spec.budget = None
    assert training.crowded_out(sweep, "other", 0.25) is None


def test_a_budget_that_ended_before_a_candidate_says_so_though_others_were_skipped():
    def told(*states):
        entries = {str(number): {"status": state, "reason": state} for number, state in enumerate(states)}
        sweep = SimpleNamespace(
            entries=entries, sweep=SimpleNamespace(id="a-sweep"), state={"unfetched": [], "models": {}}
        )
        return SweepWork.nothing(sweep)

    for states in (("out of time",), ("out of time", "refused")):
        found = told(*states)
        assert "budget was over" in found.message and "sweeps resume a-sweep --budget" in found.fix
    assert "None of the 2 pairs could be trained" in told("out of time", "failed").message
