"""Sweeps without a training: lists of pairs, quantities, early stopping, the front, advice, targets, reports."""

from __future__ import annotations

import csv
import io
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest
from qtinker import api, chance, cli, run_writer, runs, tasks
from qtinker.compare import advice, findings, halving, html, quantities, report, results, store, target
from qtinker.compare.front import front
from qtinker.compare.spec import SweepSpec, TargetSpec
from qtinker.compare.telling import Once
from qtinker.data import NO_LABEL, Examples
from qtinker.errors import InputError, SpecError
from qtinker.spec import RunSpec

DATA = {"data": {"train": "sample"}}


# --- what is asked ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"custom_pairs": ["only"]}, "no pair"),
        ({"custom_pairs": ["a,L-2_H-x"]}, "no shape"),
        ({"custom_pairs": ["a,b@0-x"]}, "no student"),
        ({"methods": ["magic"]}, "no method 'magic'"),
        ({"schemes": ["int3"]}, "int8-dynamic"),
        ({"schemes": ["int8-dynamic", "nf4"], "engine": "onnxruntime"}, "the engine onnxruntime makes no nf4"),
        ({"budget": "soon"}, "no time"),
        ({"kind": "compress", "target": {"max_size": "20MB"}}, "name the teacher"),
        ({"kind": "compress", "teacher": "t"}, "give a target"),
        ({"target": {"max_size": "20 apples"}}, "20MB"),
    ],
)
def test_what_can_not_be_is_refused_in_words(changes, words):
    with pytest.raises(SpecError, match=re.escape(words)):
        SweepSpec.parse({**DATA, **changes})


def test_quantities_as_people_write_them():
    assert [quantities.seconds(text) for text in ("2h", "90m", "1h30m", "45s", "45", 7)] == [
        7200,
        5400,
        5400,
        45,
        45,
        7,
    ]
    assert [quantities.seconds(text) for text in ("1h30", "1h 30", "2H5", "1d2h30", "1h5s")] == [
        5400,
        5400,
        7500,
        95_400,
        3605,
    ]
    for text in ("90m30", "1 30", "30 1h", "1h30.5", "h30"):
        with pytest.raises(ValueError, match="is no time: write it as 2h, 90m or 1h30m"):
            quantities.seconds(text)
    assert [quantities.byte_count(text) for text in ("20MB", "1.5 kB", "1KiB", "7000")] == [
        20_000_000,
        1500,
        1024,
        7000,
    ]
    for forgotten in ("20", 20, "500b"):
        with pytest.raises(ValueError, match="write the unit too, as 20MB"):
            quantities.byte_count(forgotten)
    assert [quantities.milliseconds(text) for text in ("5ms", "0.01s", "3")] == [5, 10, 3]
    assert [quantities.share(text) for text in ("97%", "0.97")] == [0.97, 0.97]
    for text in ("150%", "97", 97):
        with pytest.raises(ValueError, match=f"{text} is more than the whole: write it as 0.97 or 97%"):
            quantities.share(text)
    assert [quantities.in_words(value) for value in (5, 45, 600, 7500)] == ["5.0 s", "45 s", "10 min", "2 h 5 min"]


def test_a_spec_is_the_same_read_back(tmp_path):
    spec = SweepSpec.parse(
        {**DATA, "kind": "compress", "teacher": "t", "target": {"max_size": "20MB"}, "schemes": "none"}
    )
    (tmp_path / "sweep.yaml").write_text(spec.to_yaml(), encoding="utf-8")
    assert SweepSpec.load(tmp_path / "sweep.yaml") == spec
    assert (spec.wanted_schemes, spec.wanted_methods) == ([], ["logit", "relations"])


def test_an_engine_keeps_to_the_schemes_that_it_makes():
    asked = {**DATA, "kind": "compress", "teacher": "t", "target": {"max_size": "20MB"}}
    wanted = {name: SweepSpec.parse({**asked, "engine": name}).wanted_schemes for name in ("auto", "onnxruntime")}
    assert wanted == {"auto": ["int8-dynamic", "int8-weight-only", "int4-weight-only"], "onnxruntime": ["int8-dynamic"]}


def test_the_command_line_builds_the_same_spec(capsys, tmp_path):
    command = ["compress", "--data", "sample", "--teacher", "t", "--max-size", "20MB", "--max-latency", "5ms",
               "--min-retention", "97%", "--budget", "2h", "--methods", "logit", "--print-spec"]  # fmt: skip
    assert cli.main(command) == 0
    (tmp_path / "s.yaml").write_text(capsys.readouterr().out, encoding="utf-8")
    spec = SweepSpec.load(tmp_path / "s.yaml")
    assert spec.target == TargetSpec(max_size=20_000_000, max_latency=5, min_retention=0.97)
    assert (spec.budget, spec.methods, spec.kind) == (7200, ["logit"], "compress")
    assert cli.main(["compare", "--data", "sample", "--custom-pairs", "a,b", "c,d", "--print-spec"]) == 0
    assert "- a,b\n- c,d\n" in capsys.readouterr().out
    assert cli.main(["compare", "--data", "sample", "--methods", "magic"]) == 2
    assert capsys.readouterr().err.startswith("error: --methods: there is no method 'magic'")
    assert cli.main(["compare", "--json"]) == 2


@pytest.mark.parametrize("verb", ["compare", "compress", "sweeps"])
def test_the_verbs_take_json(verb, capsys):
    assert cli.main([verb, "--help"]) == 0
    assert "--json" in capsys.readouterr().out
    import qtinker

    assert callable(getattr(qtinker, verb))


# --- who stops early -------------------------------------------------------------------------------------------------


def test_a_sweep_named_twice_is_removed_once():
    made = store.create(SweepSpec.parse({"kind": "compare", "data": {"train": "sample"}}))
    assert api.remove_sweeps([made.id, "last"]) == {"removed": [made.id]} and not made.folder.exists()


def stand(name: str, score: float | None, parameters: int = 10, operations: float = 10.0) -> halving.Standing:
    return halving.Standing(name, score, parameters, operations)


def test_a_small_model_is_not_stopped_for_being_small():
    field = [stand("big", 0.9, 100, 100), stand("small", 0.6, 10, 10), stand("slim", 0.6, 10, 200)]
    assert halving.decide(field, examples=1000) == []
    assert [stop.id for stop in halving.decide(field, examples=1000, by_score_alone=True)] == ["slim"]


def test_far_behind_is_two_standard_errors_and_at_least_a_point():
    assert halving.margin(0.9, 100) == pytest.approx(2 * (0.09 / 100) ** 0.5)
    assert halving.margin(0.9, 1_000_000) == 0.01
    field = [stand("a", 0.90), stand("b", 0.85), stand("c", 0.80), stand("d", None)]
    assert halving.decide(field, examples=100) == [halving.Stop("c", "a", pytest.approx(0.10))]
    assert [stop.id for stop in halving.decide(field, examples=100_000)] == ["c", "b"]


def test_at_most_half_stop_and_whoever_has_no_score_stays():
    field = [stand("a", 0.9), *[stand(f"b{n}", 0.5 + n / 100) for n in range(5)], stand("f", None)]
    assert [stop.id for stop in halving.decide(field, examples=10_000)] == ["b0", "b1", "b2"]


def test_a_budget_keeps_the_promising_and_always_one():
    left = [("a", 50.0), ("b", 60.0), ("c", 30.0)]
    assert halving.affordable(left, 90) == ["a", "c"]
    assert halving.affordable(left, 0) == ["a"]


# --- front, advice, target -------------------------------------------------------------------------------------------


def point(name: str, score: float, size: int, ms: float | None = 1.0, **more) -> dict:
    whole = {"bytes": 400_000_000, "latency_ms": 40.0}
    return {
        "id": name, "candidate": name.removesuffix("-q"), "teacher": "T", "student": name.removesuffix("-q"),
        "method": "logit", "scheme": "int8-dynamic" if name.endswith("-q") else "float", "score": score,
        "retention": score / 0.9, "agreement": 0.9, "control": None, "bytes": size, "parameters": size // 4,
        "latency_ms": ms, "latency_p95_ms": ms, "examples_per_second": 100.0, "training_seconds": 60.0, "run": "r",
        "engine": "torch", "checkpoint": f"/models/{name}", "teacher_figures": whole, "metrics": {}, **more,
    }  # fmt: skip


POINTS = [
    point("large", 0.89, 100_000_000, 20.0), point("large-q", 0.88, 26_000_000, 12.0),
    point("middle", 0.87, 40_000_000, 5.0), point("beaten", 0.86, 45_000_000, 6.0),
    point("small", 0.82, 8_000_000, 1.0), point("useless", 0.5, 1_000_000, 0.2),
]  # fmt: skip


def test_the_front_is_what_nothing_beats():
    assert [p["id"] for p in front(POINTS)] == ["useless", "small", "large-q", "middle", "large"]
    assert [p["id"] for p in front([point("a", 0.8, 5), point("b", 0.8, 5)])] == ["a", "b"]
    assert [p["id"] for p in front(POINTS, ["bytes"])] == ["useless", "small", "large-q", "large"]


def test_each_recommendation_follows_from_the_figures():
    found = {each["for"]: each for each in advice.advise(POINTS, "accuracy")}
    assert {purpose: each["point"] for purpose, each in found.items()} == {
        "best balance": "middle", "fastest": "small", "best retention": "large", "smallest": "small",
        "for phones": "large-q",
    }  # fmt: skip
    assert "1.00 ms for one example, 40.0 times faster" in found["fastest"]["reason"]
    assert "8.0 MB, 50.0 times smaller" in found["smallest"]["reason"]
    assert "5 of 6 that keep at least 90%" in found["smallest"]["reason"]
    assert "26.0 MB" in found["for phones"]["reason"]
    assert advice.advise([], "accuracy") == []
    (weak,) = {each["point"] for each in advice.advise([point("a", 0.5, 1), point("b", 0.4, 1)], "accuracy")}
    assert weak == "a"


def test_none_is_faster_only_where_that_holds_for_all():
    slow = point("a", 0.86, 50, 2.2, teacher_figures={"bytes": 400, "latency_ms": 2.0})
    assert "none is faster" in advice.slower([slow]) and not advice.slower([slow, point("b", 0.86, 50, 20.0)])


def test_no_advice_for_what_is_no_better_than_the_commonest_answer():
    found = advice.advise([point("a", 0.86, 50), point("b", 0.85, 5)], "accuracy", baseline=0.855)
    assert {each["point"] for each in found} == {"a"}


def test_the_best_that_fits_and_the_nearest_that_does_not():
    assert target.best(POINTS, TargetSpec(max_size="30MB"))["id"] == "large-q"
    assert target.best(POINTS, TargetSpec(max_latency=5, min_retention=0.9))["id"] == "middle"
    assert target.best(POINTS, TargetSpec(min_retention=0.95))["id"] == "large-q"
    wanted = TargetSpec(max_size="20MB", min_retention=0.96)
    assert target.best(POINTS, wanted) is None
    near = target.nearest(POINTS, wanted)
    assert near["id"] == "small"
    assert target.excess(near, wanted) == {"min_retention": pytest.approx((0.96 - 0.82 / 0.9) / 0.96)}
    assert target.misses(near, wanted) == "91.1% retention where at least 96.0% is wanted"
    assert target.misses(POINTS[0], TargetSpec(max_size="20MB", max_latency=5)) == (
        "100.0 MB where at most 20.0 MB are allowed; 20.00 ms where at most 5 ms are allowed"
    )
    assert target.excess(point("x", 0.8, 5, None), TargetSpec(max_latency=5)) == {"max_latency": float("inf")}


# --- reports ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def result() -> dict:
    rows = [{**each, "front": each["id"] in ("small", "large")} for each in POINTS]
    rows[0]["student"] = "<b>evil|name"
    teacher = {**point("teacher-T", 0.9, 400_000_000, 40.0), "name": "T", "front": False}
    for key in ("student", "teacher", "retention", "candidate"):
        teacher.pop(key)
    return {
        "sweep": "s-1", "kind": "compress", "name": None, "metric": "accuracy", "seconds": 100.0, "notes": [],
        "data": {"source": "x.csv", "train": 100, "eval": 50, "labels": 2}, "teachers": [teacher], "points": rows,
        "advice": advice.advise(rows, "accuracy"), "findings": ["After 25% two were stopped."], "decisions": [],
        "others": [{"candidate": "c", "status": "failed", "reason": "It broke.", "teacher": "T", "student": "c",
                    "method": "logit", "share": 0.5, "score": 0.4, "run": "r9"}],
        "schemes_left_out": [{"candidate": "small", "scheme": "nf4", "reason": "no openvino"}], "met": True,
        "best": "small", "nearest": "small", "misses": "", "target": {"max_size": 20_000_000}, "ruled_out": [],
        "environment": {"cpu": "C", "threads": 1, "cores": 2, "system": "S", "python": "3", "versions": {"torch": "2"}},
        "reports": {"html": "report.html"},
    }  # fmt: skip


def test_csv_has_every_point_and_every_failure(result):
    rows = list(csv.DictReader(io.StringIO(report.to_csv(result))))
    assert [row["status"] for row in rows] == ["teacher", *["done"] * 6, "failed"]
    assert rows[1]["student"] == "<b>evil|name"
    assert (rows[5]["id"], rows[5]["score"], rows[5]["bytes"], rows[5]["front"]) == ("small", "0.82", "8000000", "True")
    assert rows[-1]["reason"] == "It broke."


def test_text_and_markdown_say_the_same(result):
    text, page = report.to_text(result), report.to_markdown(result)
    for words in ("The best that fits is small", "8.0 MB", "91.1%", "It broke.", "no openvino", "two were stopped"):
        assert words in text and words in page, words
    assert "<b>" not in page
    tables = [line for line in page.splitlines() if line.startswith("|")]
    assert len(tables) == 2 + 7
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in tables} == {15}
    missed = result | {"met": False, "best": None, "misses": "8.0 MB where at most 1.0 MB are allowed"}
    assert "Nearest is small" in report.to_text(missed) and "at most 1.0 MB" in report.to_markdown(missed)
    late = {"candidate": "c", "status": "out of time", "reason": "The budget was over before it was its turn."}
    missed |= {"others": [*result["others"], late, late], "budget": 10.0, "sweep": "s-1"}
    (told,) = [line for line in report.to_text(missed).splitlines() if "Nothing" in line]
    assert told.startswith("Nothing that was tried fits the target (at most 20.0 MB), and the budget of 10 s was over ")
    assert "before 2 more could be trained. Give more: python3 app sweeps resume s-1 --budget TIME" in told


def test_that_nothing_could_fit_is_said_only_where_nothing_that_could_was_left_untried():
    ruled_out = [{"student": "@0-2", "scheme": "float", "excess": 0.5, "reason": "9 MB at least"}]
    assert results.nothing_left([], ruled_out).startswith("No student that was considered can keep to the target")
    assert results.nothing_left([{"candidate": "c", "status": "out of time"}], ruled_out) == ""


def test_html_stands_alone(result):
    page = html.page(result)
    for sign in ("<script", "http:", "https:", "src=", "href=", "url(", "@import", "<b>evil"):
        assert sign not in page.lower(), sign
    assert page.count("<svg") == page.count("</svg>") == 2
    assert page.count("<circle") == 2 * 5 and page.count('stroke-width="2"><title>teacher-T') == 2
    opened: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag, attrs):
            if tag not in ("meta", "br", "path", "rect", "circle"):
                opened.append(tag)

        def handle_endtag(self, tag):
            if tag not in ("path", "rect", "circle"):
                assert opened.pop() == tag

    Reader().feed(page.partition("\n")[2])
    assert opened == []


def test_a_plot_stands_alone_as_a_picture(result):
    root = ElementTree.fromstring(html.picture(result))
    assert root.tag == "{http://www.w3.org/2000/svg}svg" and root.get("viewBox").startswith(f"0 0 {html.WIDTH} ")
    words = [each.text for each in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"<b>evil|name", "large", "small"} <= set(words)
    assert len(list(root.iter("{http://www.w3.org/2000/svg}circle"))) == 5 + 6  # floats, and the legend


def test_ticks_are_round():
    assert html.linear_ticks(0.812, 0.893) == [0.82, 0.84, 0.86, 0.88]
    assert html.log_ticks(0.3, 2.1) == [2.0, 5.0, 10.0, 20.0, 50.0, 100.0]


# --- the store -------------------------------------------------------------------------------------------------------


def test_a_sweep_in_several_processes_is_refused_before_it_is_made(qtinker_home, monkeypatch):
    for name, value in {"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match="by one process"):
        api.compare(data="sample", custom_pairs=["a,b"])
    assert api.sweeps() == {"sweeps": []}


def test_sweeps_are_found_and_removed(qtinker_home, capsys):
    assert api.sweeps() == {"sweeps": []}
    made = store.create(SweepSpec.parse(DATA))
    assert store.open("last").id == made.id == store.open(made.id.rpartition("-")[2]).id
    assert made.spec() == SweepSpec.parse(DATA)
    assert api.show_sweep(made.id)["status"] == "new"
    (made.folder / "state.json").write_text("{", encoding="utf-8")
    assert made.state()["status"] == "broken"
    for name in ("../x", "nothing", ""):
        with pytest.raises(InputError):
            store.open(name)
    assert cli.main(["sweeps", "remove", made.id]) == 2
    assert cli.main(["sweeps", "remove", made.id, "--yes"]) == 0
    assert api.sweeps() == {"sweeps": []}


# --- what is said ----------------------------------------------------------------------------------------------------


def test_more_time_for_a_sweep_that_goes_on_is_refused_and_changes_nothing(qtinker_home):
    made = store.create(SweepSpec.parse(DATA | {"budget": 60}))
    made.write(made.state() | {"phase": "done", "candidates": {"one": {"status": "out of time", "reason": "no time"}}})
    files = [made.folder / name for name in ("sweep.yaml", "state.json")]
    before = [file.read_bytes() for file in files]
    with made.held(), pytest.raises(InputError, match=f"Sweep {made.id} is going on already"):
        api.resume_sweep(made.id, budget="4h")
    assert [file.read_bytes() for file in files] == before


def test_each_message_is_told_once_and_phases_only_where_they_take_steps():
    told: list[dict] = []
    once = Once(told.append)
    for _ in range(3):
        once({"kind": "phase", "phase": "prepare", "title": "Preparing", "index": 1, "count": 5})
        once({"kind": "message", "level": "info", "text": "encoding: UTF-8"})
        once({"kind": "message", "level": "warning", "text": "Few rows."})
        once({"kind": "phase", "phase": "distill", "title": "Distilling", "index": 4, "count": 5})
        once({"kind": "step", "step": 1})
        once({"kind": "message", "level": "info", "text": "Stopping after this step."})
    assert [each.get("text") or each.get("title") or each["kind"] for each in told] == [
        "encoding: UTF-8", "Few rows.", "Distilling", "step", "Distilling", "step", "Distilling", "step",
    ]  # fmt: skip
    assert all("count" not in each for each in told)
    assert once.repeated() == ["(3 times) Few rows."]


def test_a_reason_that_several_share_is_given_once(result):
    why = "base: Can't reach the server."
    result["others"] = [
        {"candidate": name, "status": "skipped", "reason": why, "teacher": "T", "student": name, "method": "logit"}
        for name in ("a", "b", "c")
    ]
    assert report.left_out(result)[0] == (["a", "b", "c"], "skipped", why)
    for page in (report.to_text(result), report.to_markdown(result), html.page(result).replace("&#x27;", "'")):
        assert page.count(why) == 1 and "a, b, c" in page


def test_slower_points_are_one_finding_a_scheme(result):
    rows = [point("a", 0.8, 9, 1.0), point("a-q", 0.8, 3, 2.0), point("b", 0.8, 9, 1.0), point("b-q", 0.8, 3, 1.5),
            point("c", 0.8, 9, 1.0), point("c-q", 0.8, 3, 0.5)]  # fmt: skip
    assert findings.slower(result | {"points": rows}) == [
        "int8-dynamic makes 2 of 3 slower than float for one example on this processor: a (2.0 times), b (1.5 times)."
    ]


def test_what_giving_the_same_answer_always_scores():
    labels = np.array([0, 0, 0, 1, NO_LABEL])
    texts = [f"text {n}" for n in range(5)]
    two = tasks.SequenceClassification(("a", "b"))
    assert chance.baseline(two, Examples(texts, None, labels), "accuracy") == 0.75
    assert chance.baseline(two, Examples(texts, None, labels), "macro_f1") == pytest.approx(3 / 7)
    several = np.array([[1, 1, 0], [1, 0, 0], [1, 0, 0], [0, 1, 0], [np.nan] * 3], np.float32)
    held = Examples(texts, None, several)
    # The first label always: 3 right of 4 said and 5 true; the first two: 5 right of 8 said.
    assert chance.baseline(tasks.MultiLabel(("a", "b", "c")), held, "micro_f1") == pytest.approx(10 / 13)
    number = Examples(texts, None, np.arange(5, dtype=np.float32))
    assert chance.baseline(tasks.Regression(), number, "pearson") == 0.0
    contexts = ["It rains in Rome. Nobody knows why.", "A dog barks. It is 3 years old.", "Unlabelled. Text."]
    spans = np.array([[3, 16], [19, 20], [NO_LABEL, NO_LABEL]])
    asked = Examples(["what?", "how old?", "who?"], contexts, spans, "spans", [["rains in Rome"], ["3"], []])
    # First sentences: "it rains in rome" for "rains in rome", 2 * 3 / (4 + 3), and nothing of the other.
    # The whole contexts: 2 * 3 / (7 + 3), and "dog barks it is 3 years old" for "3", 2 * 1 / (7 + 1).
    assert chance.baseline(tasks.QuestionAnswering(), asked, "f1") == pytest.approx(max(6 / 7 / 2, (0.6 + 0.25) / 2))
    assert chance.baseline(tasks.QuestionAnswering(), asked, "exact_match") == 0.0


@pytest.mark.parametrize("metric", ["micro_f1", "macro_f1", "subset_accuracy"])
def test_the_best_of_the_commonest_labels_is_that_of_all_tried_one_by_one(metric):
    random = np.random.default_rng(0)
    for share in (0.05, 0.4, 0.9):
        labels = (random.random((60, 7)) < share * random.random(7)).astype(np.float32)
        labels[:, 3] = labels[:, 2]  # equally common
        labels[::9] = np.nan
        task = tasks.MultiLabel(tuple("abcdefg"))
        order = np.argsort(-np.nansum(labels, axis=0), kind="stable")
        each = [np.tile(np.isin(np.arange(7), order[:kept]), (60, 1)) for kept in range(8)]
        best = max(task.metrics(answers, labels)[metric] for answers in each)
        assert chance.baseline(task, Examples(["x"] * 60, None, labels), metric) == pytest.approx(best, abs=1e-12)


def test_many_labels_are_not_tried_one_by_one(monkeypatch):
    monkeypatch.setattr(tasks.MultiLabel, "metrics", None)  # a thousand times, of 2,000 texts: half a minute
    labels = np.zeros((2000, 1000), np.float32)
    labels[:, :3], labels[:500, 3:] = 1, 1
    task = tasks.MultiLabel(tuple(map(str, range(1000))))
    best = max(2 * 6000 / (6000 + labels.sum()), 2 * labels.sum() / (2_000_000 + labels.sum()))
    assert chance.baseline(task, Examples(["x"] * 2000, None, labels), "micro_f1") == pytest.approx(best)


def test_what_guessing_the_commonest_token_always_finds():
    tokens = np.array([1, 5, 5, 6, 2, 1, 5, 7, 7, 2, 0])  # 1 and 2 begin and end, 0 pads; 5 is three of six
    assert chance.commonest_token(tokens, [0, 1, 2, 99]) == 0.5
    assert chance.commonest_token(np.array([1, 2]), [1, 2]) is None


def test_a_teacher_at_chance_is_told_from_one_that_has_learned():
    assert chance.at_chance(0.53, 0.51, 872) and not chance.at_chance(0.55, 0.51, 872)
    numbers = {"kind": "regression"}  # a correlation that is none
    assert chance.at_chance(0.15, 0.0, 100, **numbers) and not chance.at_chance(0.25, 0.0, 100, **numbers)
    exact = {"kind": "question-answering"}  # no context is an answer: one that is right was learned
    assert chance.at_chance(0.0, 0.0, 100, **exact) and not chance.at_chance(0.05, 0.0, 100, **exact)
    assert chance.at_chance(1.0, 1.0, 50) and not chance.at_chance(0.5, None, 50)
    tags = {"kind": "token-classification"}
    assert chance.at_chance(0.0, 0.0, 100, **tags) and not chance.at_chance(0.02, 0.0, 100, **tags)


def test_retention_over_a_teacher_at_chance_is_not_given(result):
    result |= {"baseline": 0.5, "teachers": [result["teachers"][0] | {"score": 0.51, "chance": True}]}
    result["points"] = [row | {"retention": None} for row in result["points"]]
    (said,) = findings.about_teachers(result)
    assert said.startswith("The teacher T (accuracy 0.5100) is not clearly better than giving the same answer always")
    assert "retention over it means nothing" in said
    (reason,) = {each["reason"] for each in advice.advise(result["points"], "accuracy") if each["for"] == "smallest"}
    assert "no retention can be told" in reason
    assert target.best(result["points"], TargetSpec(min_retention=0.5)) is None
    weak = result | {"teachers": [result["teachers"][0] | {"score": 0.6, "chance": False}]}
    assert "answers much better than its teacher T (0.6000)" in findings.about_teachers(weak)[0]


def test_cleaning_frees_what_a_finished_sweep_stopped(qtinker_home):
    """Not what it left out for lack of time (it may be taken up again), and no run of anybody else's."""
    spec = RunSpec.parse({"student": {"model": "small"}, "data": {"train": "sample"}})
    names = ("done", "stopped", "failed", "out of time", "another sweep's", "nobody's")
    made = {name: runs.create(spec) for name in names}
    for run in made.values():
        run.files.checkpoint.mkdir()
        (run.files.checkpoint / "weights").write_bytes(bytes(1000))
        run_writer.StateWriter(run).update(status="stopped")
    run_writer.StateWriter(made["done"]).update(status="done")

    def sweep(status, wanted):
        one = store.create(SweepSpec.parse(DATA))
        entries = {name: {"run": made[name].id, "status": name if name in names[:4] else "stopped"} for name in wanted}
        one.write(one.state() | {"status": status, "candidates": entries})

    sweep("done", names[:4])
    sweep("interrupted", ["another sweep's"])
    assert api.clean()["bytes"] == 3000
    assert {name for name in names if made[name].files.checkpoint.exists()} == set(names[3:])
