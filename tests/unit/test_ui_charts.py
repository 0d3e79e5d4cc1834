"""What the page draws: numbers for people, charts, curves of runs, the figures of a comparison."""

from __future__ import annotations

import json

import pytest
from qtinker import runs
from qtinker.spec import RunSpec
from qtinker.ui import charts, curves, format, report_views, run_views
from qtinker.ui.texts import Texts

EVIL = "<img src=x onerror=alert(1)>&\"'"
SPEC = {"teacher": {"model": "bert-base-uncased"}, "student": {"model": "bert-mini"}, "data": {"train": "sample"}}


@pytest.mark.parametrize(
    ("value", "shown"), [(12345, "12,345"), (0.0312, "0.0312"), (None, "–"), (float("nan"), "–"), (1.5, "1.5")]
)
def test_numbers_for_people(value, shown):
    assert format.number(value) == shown


def test_sizes_and_times_for_people():
    assert [format.size(n) for n in (12, 4_400_000, 438_000_000, 1_250_000_000)] == [
        "12 B",
        "4.4 MB",
        "438 MB",
        "1.2 GB",
    ]
    assert [format.duration(s) for s in (4, 75, 3700, 200_000)] == ["4 s", "1 min 15 s", "1 h 1 min", "2 d 7 h"]
    assert format.short_number(109_482_240) == "109 M" and format.percent(0.8934) == "89.3 %"


def test_downsampling_keeps_ends_and_spikes():
    points = [(float(x), 1.0) for x in range(10_000)]
    points[4321] = (4321.0, 99.0)
    kept = charts.downsample(points, 200)
    assert len(kept) <= 200 and kept[0] == points[0] and kept[-1] == points[-1] and (4321.0, 99.0) in kept
    assert kept == sorted(kept)


def test_axis_has_round_ticks_around_the_values():
    axis = charts.axis([0.13, 0.97])
    assert axis.low <= 0.13 and axis.high >= 0.97 and axis.ticks == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert charts.axis([5.0, 5.0]).low < 5 < charts.axis([5.0, 5.0]).high


def test_the_axis_of_a_share_ends_at_all_of_it():
    assert charts.axis([100.0, 100.0]).ticks == [90, 95, 100, 105, 110]  # what `most` is for
    assert charts.axis([100.0, 100.0], most=100).ticks == [90, 95, 100]
    assert charts.axis([0.9, 1.7], most=1).high >= 1.7  # no share
    drawn = charts.scatter([("a", 1.0, 100.0, 1.0)], title="t", summary="s", x_title="x", y_title="%")
    assert ">100<" in drawn and ">110<" not in drawn


def test_points_whose_names_would_collide_are_numbered_and_listed():
    names = [f"teacher-L0-1-3-4-from-teacher-logit-{scheme}" for scheme in ("int4", "int8", "float")]
    apart = charts.scatter([("a", 10.0, 90.0, 1.0), ("b", 90.0, 80.0, 1.0)], title="t", summary="s", x_title="x",
                           y_title="%")  # fmt: skip
    assert "qt-has-names" in apart and apart.count('class="qt-named"') == 2
    close = charts.scatter([(name, 10.0 + index, 97.9, 1.0) for index, name in enumerate(names)], title="t",
                           summary="s", x_title="x", y_title="%")  # fmt: skip
    assert "qt-has-names" not in close and "qt-named" not in close
    for number, name in enumerate(names, start=1):
        assert f"<b>{number}</b><span>{name}</span>" in close and f'title="{name}"' in close


def test_words_beside_dots_lie_on_no_other_words_and_no_dot():
    places, area = [(0.05, 0.9), (0.09, 0.9), (0.16, 0.9), (0.95, 0.9)], charts.NARROW
    found = charts._beside(places, [11] * 4, [8] * 4, area)
    spots = [(x * area[0] + dx, (1 - y) * area[1] + dy) for (x, y), (dx, dy) in zip(places, found, strict=True)]
    for index, (left, line) in enumerate(spots):
        assert left >= 0 and left + 8 <= area[0]
        assert not any(abs(left - x) < 8 and abs(line - y) < charts.LINE for x, y in spots[:index])
        for x, y in places:
            across = max(left - x * area[0], x * area[0] - left - 8)
            assert across >= 11 or abs(line - (1 - y) * area[1]) >= 11


def test_one_evaluation_stands_in_the_middle_over_its_own_step():
    drawn = charts.line_chart([charts.Series("accuracy", [(24, 0.75)], dots=True)], title="t", summary="s")
    assert drawn.count('class="qt-x"') == 1 and 'class="qt-x" style="left:50.00%">24<' in drawn


def test_the_curve_named_first_lies_on_top():
    flat = [charts.Series(name, [(0, 1.0), (1, 1.0)], dots=True) for name in ("student", "control")]
    drawn = charts.line_chart(flat, title="t", summary="")
    assert drawn.index("qt-line qt-c1") < drawn.index("qt-line qt-c0")
    assert drawn.index('qt-dot qt-c1"') < drawn.index('qt-dot qt-c0"')


def test_charts_escape_names_and_say_what_they_show():
    drawn = charts.line_chart([charts.Series(EVIL, [(1, 2.0), (2, 1.0)])], title=EVIL, summary="From 2 to 1.")
    assert "<img" not in drawn and "From 2 to 1." in drawn and 'role="img"' in drawn


def test_smoothing_is_a_running_mean():
    assert charts.smoothed([(0, 0.0), (1, 2.0), (2, 4.0), (3, 6.0)], share=0.5) == [
        (0, 0.0),
        (1, 1.0),
        (2, 3.0),
        (3, 5.0),
    ]


def _step(step, loss, phase="distill"):
    return {"kind": "step", "phase": phase, "step": step, "total_steps": 9, "loss": loss, "parts": {"soft": loss}}


def test_curves_read_on_and_go_back_where_a_resumed_run_does(qtinker_home):
    run = runs.create(RunSpec.parse(SPEC))
    with run.files.events.open("a") as file:
        for event in (_step(1, 3.0), _step(2, 2.0), _step(3, 1.0)):
            file.write(json.dumps(event) + "\n")
        file.write('{"kind": "step", "phase": "dis')  # half a line, still being written
    assert curves.curves(run).phases["distill"].losses["loss"] == [(1, 3.0), (2, 2.0), (3, 1.0)]
    with run.files.events.open("a") as file:
        file.write('till", "step": 4, "loss": 0.9}\n' + json.dumps(_step(3, 1.1)) + "\n")
    known = curves.curves(run)
    assert known.phases["distill"].losses["loss"] == [(1, 3.0), (2, 2.0), (3, 1.1)]


TAGS = {"f1": 0.56, "precision": 0.66, "recall": 0.49, "macro_f1": 0.38, "accuracy": 0.95, "examples": 9}
SCORES = {"pearson": 0.87, "spearman": 0.86, "rmse": 0.42, "examples": 9}


@pytest.mark.parametrize(
    ("metrics", "judged", "title", "facts"),
    [
        (TAGS, "f1", "Evaluation: F1", ["F1", "56.0 %"]),
        (TAGS, "macro_f1", "Evaluation: macro-F1", ["macro-F1", "38.0 %"]),
        (TAGS, None, "Evaluation: F1", ["F1", "56.0 %"]),  # a run of before: it did not say what it is judged by
        (SCORES, "pearson", "Evaluation: Pearson", ["Pearson", "87.0 %"]),
        ({"accuracy": 0.5, "macro_f1": 0.25}, "macro_f1", "Evaluation: macro-F1", ["macro-F1", "25.0 %"]),
    ],
)
def test_the_metric_that_a_run_is_judged_by_is_drawn(metrics, judged, title, facts):
    known = curves.Curves()
    for step in (1, 2):
        known.add({"kind": "step", "phase": "distill", "step": step, "loss": 1.0})
        known.add({"kind": "eval", "phase": "distill", "step": step, "metrics": metrics, "metric": judged})
    assert title in run_views.charts_html("x", known, [], Texts())
    assert "Evaluation" not in "".join(run_views.compared([("x", known)], Texts()))
    drawn = run_views._facts({"status": "done"}, known, Texts())
    assert list(drawn[2]) == facts


def test_the_metrics_that_are_told_are_of_the_weights_that_are_kept():
    known = curves.Curves()
    for step, accuracy, macro in ((1, 0.6, 0.58), (2, 0.7, 0.5), (3, 0.65, 0.6)):
        known.add({"kind": "eval", "phase": "distill", "step": step, "metric": "accuracy",
                   "metrics": {"accuracy": accuracy, "macro_f1": macro}})  # fmt: skip
    assert run_views._at_best(known.phases["distill"])[:2] == [("accuracy", 0.7), ("macro_f1", 0.5)]


def test_models_are_compared_by_what_their_run_is_judged_by():
    models = [
        {"name": "one", "bytes": 2e6, "metrics": {**SCORES, "rmse": 0.5}},
        {"name": "two", "bytes": 1e6, "metrics": {**SCORES, "pearson": 0.7}},
    ]
    table = report_views.models_table(models, Texts())
    assert table.index("Pearson") < table.index("Spearman") < table.index("RMSE")
    assert '<span class="best">87.0 %</span>' in table and '<span class="best">0.42</span>' in table
    assert "Pearson (%)" in report_views.models_chart(models, Texts())
    assert "Spearman (%)" in report_views.models_chart(models, Texts(), metric="spearman")


def test_long_curves_stay_small(qtinker_home):
    run = runs.create(RunSpec.parse(SPEC))
    with run.files.events.open("a") as file:
        file.writelines(json.dumps(_step(step, 1.0)) + "\n" for step in range(1, 20_001))
    points = curves.curves(run).phases["distill"].losses["loss"]
    assert len(points) <= curves.POINTS_KEPT and points[0][0] == 1 and points[-1][0] == 20_000
    drawn = run_views.charts_html("x", curves.curves(run), [], Texts())
    assert len(drawn) < 60_000


def test_runs_of_one_name_are_told_apart(qtinker_home):
    states = [runs.create(RunSpec.parse(SPEC)).state() | {"name": name} for name in ("twin", "twin", "other")]
    drawn = run_views.list_html(states, "", Texts())
    ends = [state["id"].rpartition("-")[2] for state in states]
    assert [f">{end}<" in drawn for end in ends] == [True, True, False]


def test_what_runs_say_is_never_markup(qtinker_home):
    run = runs.create(RunSpec.parse(SPEC))
    state = run.state() | {"name": EVIL, "error": {"message": EVIL, "fix": EVIL}, "status": "failed", "kind": EVIL}
    with run.files.events.open("a") as file:
        file.write(json.dumps({"kind": "message", "phase": EVIL, "level": "warning", "text": EVIL}) + "\n")
        file.write(json.dumps({"kind": "phase", "phase": EVIL, "title": EVIL}) + "\n")
        file.write(json.dumps(_step(1, 1.0, phase=EVIL)) + "\n")
    known = curves.curves(run)
    for drawn in (run_views.list_html([state], "", Texts()), run_views.head_html(state, known, Texts()),
                  run_views.charts_html(EVIL, known, [(EVIL, known)], Texts())):  # fmt: skip
        assert "<img" not in drawn


def test_a_comparison_has_every_figure_as_table_and_plot(tmp_path):
    from qtinker.cli.measuring import write_page

    models = [
        {"name": name, "path": name, "engine": engine, "metrics": {"accuracy": score}, "agreement": 0.97, "bytes": size,
         "bytes_by_part": {"embeddings": size // 2, "encoder": size // 4, "head": size // 4}, "parameters": 4_000_000,
         "latency_ms": {"p50": 1.5, "p95": 2.5}, "batch_latency_ms": {"p50": 31.5, "p95": 47.5},
         "examples_per_second": 777.0, "peak_memory_bytes": 5e8, "model_memory_bytes": 66_000_000, "speedup": None}
        for name, engine, score, size in (("big", "torch", 0.91, 16_000_000), ("small", "openvino", 0.9, 4_000_000))
    ]  # fmt: skip
    result = {"models": models, "data": {"examples": 10}, "environment": {"threads": 3, "cpu_features": ["avx2"]},
              "warnings": ["small is 2.0 times slower in batches than its source big on this processor."]}  # fmt: skip
    write_page(result, tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    for figure in ("1.5 ms", "2.5 ms", "31.5 ms", "47.5 ms", "777", "66.0 MB", "8.0 MB", "2.0 MB", "97.0 %", "avx2",
                   "2.0 times slower", "openvino", "<svg"):  # fmt: skip
        assert figure in text, figure
    assert "<script" not in text
