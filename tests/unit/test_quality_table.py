"""The table that benchmarks/quality.py writes, from rows that are made up."""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import json
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def quality():
    spec = importlib.util.spec_from_file_location(
        "quality_benchmark", Path(__file__).resolve().parents[2] / "benchmarks" / "quality.py"
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def row(**metrics):
    return {"settings": "", "metrics": metrics}


def test_a_cell_is_the_median_its_retention_and_the_spread(quality):
    done = {
        "rte teacher": row(accuracy=0.8),
        "rte half logit 42": row(accuracy=0.7),
        "rte half logit 43": row(accuracy=0.78),
        "rte half logit 44": row(accuracy=0.76),
        "rte half from below logit 42": row(accuracy=0.6),
        "sst2 teacher": row(accuracy=0.9),
        "sst2 half control 42": row(accuracy=0.81),
    }
    text = quality.written(done, small=False)
    assert "| logit |  | 0.7600, 95.0% (0.7000 to 0.7800, 3 seeds) |" in text
    assert "| control | 0.8100, 90.0% |" in text
    assert "| **teacher, 6 layers** | 0.9000 | 0.8000 |" in text
    assert "| **half: layers** | 1, 2, 4 | 0, 1, 4 | 0, 1, 4 | 1, 2, 4 | 0, 1, 4 |" in text
    assert "| **half from below: layers** | 0, 1, 2 |" in text and "third" not in text.partition("evaluation data")[2]


def test_every_task_has_a_row_before_any_has_a_second_seed(quality):
    args = argparse.Namespace(
        small=False, only=["sst2", "stsb"], rows=["control", "logit"], depths=["half", "third"], seeds=[42, 43],
        initialisation=False,
    )  # fmt: skip
    keys = [each.key for each in quality.wanted(args)]
    assert keys[:4] == ["sst2 half control 42", "stsb half control 42", "sst2 half logit 42", "stsb half logit 42"]
    assert keys[4:8] == [key.replace("half", "third") for key in keys[:4]]
    assert keys[8:] == [f"stsb {depth} {name} 43" for depth in ("half", "third") for name in ("control", "logit")], (
        "the small sets alone have several seeds"
    )


def test_a_row_made_with_other_settings_or_another_teacher_is_not_shown(quality, tmp_path, monkeypatch):
    bench = object.__new__(quality.Bench)
    bench.small, bench.data, bench.home, bench.folder = False, tmp_path, tmp_path, tmp_path
    row = quality.Row("rte", "half", "logit", 43)
    made = {"key": row.key, "settings": bench._digest(bench._how(row)[1], "rte")}
    teacher = {"key": "rte teacher", "settings": bench._digest(bench._teaching("rte"), "stsb")}
    assert bench._is_current(made) and bench._is_current(teacher)
    assert not bench._is_current(made | {"key": row.key.replace("43", "44")})
    stsb = quality.DATA["stsb"]
    monkeypatch.setitem(quality.DATA, "stsb", dataclasses.replace(stsb, student=(1, 1e-4)))
    assert bench._is_current(made), "how STS-B's students are trained is no matter of RTE's"
    monkeypatch.setitem(quality.DATA, "stsb", dataclasses.replace(stsb, teacher=(1, 1e-4)))
    assert not bench._is_current(made) and not bench._is_current(teacher), "RTE's teacher begins as STS-B's"


def test_longer_trains_every_student_so_many_times_as_long_and_no_teacher(quality, tmp_path):
    bench = object.__new__(quality.Bench)
    bench.small, bench.data, bench.home, usual = False, tmp_path, tmp_path, {}
    for longer in (1.0, 2.5):
        bench.longer = longer
        for method in ("control", "logit", "best"):
            usual[longer, method] = bench._how(quality.Row("rte", "half", method, 42))[1]
        usual[longer, "teacher"] = bench._teaching("rte")
    assert [usual[2.5, method]["epochs"] for method in ("control", "logit", "best")] == [15, 15, 7.5]
    assert [usual[each, "logit"]["max_steps"] for each in (1.0, 2.5)] == [936, 2340]
    assert usual[1.0, "teacher"] == usual[2.5, "teacher"]
    text = quality.written({"rte teacher": row(accuracy=0.5) | {"machine": "a machine"}}, small=False, longer=2.5)
    assert "--home DIR --longer 2.5` on a machine." in text and "| 3, 15, 15 | 4, 15, 7.5 |" in text


def test_rows_of_another_machine_count_where_the_teacher_came_out_the_same(quality, tmp_path, monkeypatch):
    def looked_for(teacher):
        bench = object.__new__(quality.Bench)
        bench.small, bench.data, bench.home = False, tmp_path, tmp_path
        bench.folder = tmp_path / str(teacher)
        bench.folder.mkdir()
        bench.known = {"stsb teacher": row(pearson=0.8), "stsb half control 42": row(pearson=0.7)}
        monkeypatch.setattr(
            bench, "_teacher", lambda task: {"checkpoint": "somewhere", "metrics": {"pearson": teacher}}
        )
        monkeypatch.setattr(bench, "_made", lambda *_, **__: {})
        assert bench.do(quality.Row("stsb", "half", "control", 42)) and bench.do(
            quality.Row("stsb", "half", "logit", 42)
        )
        return [file.name for file in bench.folder.iterdir()]

    assert looked_for(0.8) == ["stsb half control 42.json"]
    assert looked_for(0.81) == []


def test_a_data_set_of_another_machine_stands_in_the_table_until_its_teacher_is_made_here(quality, tmp_path):
    bench = object.__new__(quality.Bench)
    bench.small, bench.data, bench.home, bench.folder = True, tmp_path, tmp_path, tmp_path / "rows"
    bench.folder.mkdir()
    digest = bench._digest(bench._teaching("rte"), "stsb")
    bench.known = {"rte teacher": row(accuracy=0.8125) | {"settings": digest}, "stsb teacher": row(pearson=0.7)}
    assert "| **teacher, 6 layers** |  | 0.8125 |  |" in bench.write(), "STS-B's was made with other settings"
    (bench.folder / "rte teacher.json").write_text(
        json.dumps({"key": "rte teacher", "checkpoint": "here", **row(accuracy=0.75), "settings": digest})
    )
    assert "0.7500" in (text := bench.write()) and "0.8125" not in text


def test_the_rows_that_are_kept_were_made_with_todays_settings(quality, tmp_path):
    bench = object.__new__(quality.Bench)
    bench.small, bench.data, bench.home = False, tmp_path, tmp_path
    rows = json.loads((quality.ROOT / "benchmarks" / "results" / "quality.json").read_text())
    read = {task for task, chosen in quality.DATA.items() if chosen.text}  # their settings ask for the data, as Best's
    looked_at = {key: row for key, row in rows.items() if " best " not in key and key.split()[0] not in read}
    assert len(looked_at) > 50
    assert [key for key, row in looked_at.items() if not bench._is_current({"key": key, **row})] == []
