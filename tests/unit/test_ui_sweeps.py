"""The Find page's parts that need neither a server nor a browser: the grid, the fields, tables from hostile reports."""

from __future__ import annotations

import pytest
from qtinker import runs
from qtinker.compare import pairs, store
from qtinker.compare.spec import SweepSpec
from qtinker.errors import InputError
from qtinker.ui import guide, sweep_page, sweep_views, tasks
from qtinker.ui.texts import LANGUAGES, Texts

EVIL = "<img src=x onerror=alert(1)>&\"'"
ROW = {
    "id": EVIL, "candidate": EVIL, "teacher": EVIL, "student": EVIL, "method": EVIL, "scheme": EVIL, "score": 0.8,
    "retention": 0.9, "agreement": 0.95, "parameters": 1000, "bytes": 4000, "latency_ms": 1.5, "front": True,
    "examples_per_second": 100.0, "training_seconds": 3.0, "checkpoint": f"/x/{EVIL}", "run": EVIL,
}  # fmt: skip
REPORT = {
    "sweep": "s", "kind": "compress", "metric": "accuracy", "points": [ROW], "met": True, "best": EVIL, "nearest": EVIL,
    "teachers": [{**{k: v for k, v in ROW.items() if k not in ("student", "retention", "run")}, "name": EVIL}],
    "advice": [{"for": "fastest", "point": EVIL, "reason": EVIL}], "findings": [EVIL], "misses": EVIL,
    "others": [{"candidate": EVIL, "status": "failed", "reason": EVIL}], "data": {"source": f"/a/{EVIL}"},
    "schemes_left_out": [{"candidate": EVIL, "scheme": EVIL, "reason": EVIL}],
}  # fmt: skip


def made(status: str = "done", report: dict | None = None) -> store.Sweep:
    sweep = store.create(SweepSpec.parse({"data": {"train": "sample"}}))
    entry = {"teacher": EVIL, "student": EVIL, "method": "logit", "status": "out of time", "reason": EVIL, "score": 0.7,
             "share": 0.25, "parameters": 5_000_000}  # fmt: skip
    sweep.write(sweep.state() | {"status": status, "candidates": {EVIL: entry}, "message": EVIL, "progress": 0.4})
    if report:
        runs.write_json(sweep.report_file("json"), report)
    return sweep


def test_the_grid_has_the_published_lists():
    assert sum(map(len, sweep_page.ticked("quick"))) == 3
    assert sum(map(len, sweep_page.ticked("balanced"))) == 8
    assert sweep_page.ticked("all") == [list(pairs.STUDENTS)[:0] or row for row in sweep_page.ticked("all")]
    assert all(sorted(row) == sorted(pairs.STUDENTS) for row in sweep_page.ticked("all"))
    assert sweep_page.ticked(None) == [[], [], [], []]


@pytest.fixture
def started(monkeypatch):
    seen = []
    monkeypatch.setattr(tasks, "start", lambda verb, arguments, **more: seen.append((verb, arguments)) or "id")
    return seen


def test_ticked_pairs_become_a_command(started):
    sweep_page.begin_pairs("sample", "500", "2", "1h30m", ["logit"], ["int8-dynamic", "rm -rf"], None, [],
                           ["bert-tiny", EVIL], [], [], ["minilm-l6"])  # fmt: skip
    assert started == [("compare", [
        "--data", "sample", "--max-examples", "500", "--epochs", "2.0", "--budget", "5400.0", "--methods", "logit",
        "--schemes", "int8-dynamic",
        "--custom-pairs", "bert-base-uncased,bert-tiny", "gpt2,minilm-l6"])]  # fmt: skip


def test_every_way_to_cut_an_own_teacher_is_offered_and_taken(started):
    offered = {value: label for label, value in sweep_page.student_options("bert-base-uncased", Texts())}
    assert offered["@any-6"] == "any 6 of its 12 layers: up to 20 ways are tried" and "@any-4" in offered
    sweep_page.begin_pairs("sample", "", "", "", ["logit"], [], "bert-tiny", ["@any-1", "bert-mini@any-2"],
                           [], [], [], [])  # fmt: skip
    assert started[0][1][-2:] == ["bert-tiny,@any-1", "bert-tiny,bert-mini@any-2"]


def test_a_target_becomes_a_command(started):
    sweep_page.begin_target("sample", "", "", "", [], [], "bert-tiny", "20MB", "5 ms", "97%")
    assert started == [("compress", [
        "--data", "sample", "--schemes", "none", "--teacher", "bert-tiny", "--max-size", "20000000", "--max-latency",
        "5.0", "--min-retention", "0.97"])]  # fmt: skip


@pytest.mark.parametrize(
    ("begin", "values", "words"),
    [
        (sweep_page.begin_pairs, ["sample", "", "", "", [], [], None, [], [], [], [], []], "No pair is chosen"),
        (
            sweep_page.begin_pairs,
            ["/etc/passwd", "", "", "", [], [], None, [], ["bert-tiny"], [], [], []],
            "no data file",
        ),
        (
            sweep_page.begin_pairs,
            ["sample", "", "x", "", [], [], None, [], ["bert-tiny"], [], [], []],
            "no number of epochs",
        ),
        (sweep_page.begin_pairs, ["sample", "", "", "soon", [], [], None, [], ["bert-tiny"], [], [], []], "no time"),
        (
            sweep_page.begin_pairs,
            ["sample", "", "", "", [], [], "../x", ["bert-tiny"], [], [], [], []],
            "no model name",
        ),
        (
            sweep_page.begin_pairs,
            ["sample", "", "", "", [], [], "bert-tiny", ["/etc@0"], [], [], [], []],
            "no model name",
        ),
        (sweep_page.begin_target, ["sample", "", "", "", [], [], "bert-tiny", "", "", ""], "No target is given"),
        (sweep_page.begin_target, ["sample", "", "", "", [], [], "bert-tiny", "huge", "", ""], "not understood"),
        (sweep_page.begin_target, ["sample", "", "", "", [], [], "bert-tiny", "", "", "nan"], "not more than 0"),
        (sweep_page.begin_target, ["sample", "", "", "0", [], [], "bert-tiny", "20MB", "", ""], "'0' is not more than"),
        *(
            (sweep_page.begin_target, ["sample", "", epochs, "", [], [], "bert-tiny", "20MB", "", ""], words)
            for epochs, words in (("nan", "no number of epochs"), ("1e9", "no number of epochs"), ("-1", "than 0"))
        ),
        (sweep_page.begin_resume, ["../../etc"], "no sweep's id"),
    ],
)
def test_what_can_not_be_started_is_said(started, begin, values, words):
    with pytest.raises(InputError, match=words):
        begin(*values)
    assert not started


@pytest.mark.parametrize("language", list(LANGUAGES))
def test_nothing_from_outside_becomes_markup(language):
    t = Texts(language)
    shown = [
        sweep_views.html(made("running").id, t), sweep_views.html(made("failed").id, t),
        sweep_views.html(made("done", REPORT).id, t), sweep_views.own_advice(t),
        sweep_views.report_html({**REPORT, "met": False}, t),
        sweep_views.report_html({**REPORT, "met": False, "points": [], "nearest": None, "advice": []}, t),
    ]  # fmt: skip
    for html in shown:
        assert "<img" not in html and "onerror=alert(1)>" not in html
    assert "80.0 %" in shown[2] and "/download/sweep/s/report.html" in shown[2]
    assert "1.50 ms" in shown[3]
    assert t("sweep.is_out_of_time") in shown[0]


def test_the_guide_answers_each_goal_from_the_users_own_figures():
    rows = [ROW | {"id": name, "student": f"student-{name}", "score": score} for name, score in
            (("large", 0.9), ("middle", 0.85), ("little", 0.8))]  # fmt: skip
    advice = [{"for": purpose, "point": name, "reason": ""} for purpose, name in
              (("best retention", "large"), ("best balance", "middle"), ("smallest", "little"))]  # fmt: skip
    made(report=REPORT | {"points": rows, "advice": advice})
    for goal, name, share in (("quality", "large", "90.0 %"), ("balanced", "middle", "85.0 %"),
                              ("micro", "little", "80.0 %")):  # fmt: skip
        chosen = sweep_views.own_advice(Texts(), goal).partition('id="qt-own-choice"')[2].partition("qt-links")[0]
        first = chosen.partition("qt-card-title")[0].partition("large:")[0]
        assert f"student-{name}" in first and share in first, goal
    assert 'id="qt-own-choice"' not in sweep_views.own_advice(Texts(), "phone")
    assert set(sweep_views.GOALS) == set(guide.GOALS)


def test_without_measurements_the_guide_says_nothing_of_them():
    assert sweep_views.own_advice(Texts()) == ""
    assert Texts()("sweep.none") in sweep_views.html("", Texts())
    assert sweep_views.options(Texts()) == []


def test_a_search_that_ran_out_of_time_names_the_nearest_and_the_time():
    near = {"id": "small", "score": 0.8, "bytes": 8_000_000, "retention": 0.9, "latency_ms": None}
    report = {"kind": "compress", "met": False, "points": [near], "nearest": "small", "misses": "too big",
              "budget": 10.0, "others": [{"status": "out of time"}] * 2}  # fmt: skip
    words = sweep_views.verdict(report, Texts("en"))
    assert "Nearest is small" in words and "too big" in words
    assert "The budget of 10 s was over before 2 more could be trained" in words
    assert "budget" not in sweep_views.verdict(report | {"others": []}, Texts("en"))
