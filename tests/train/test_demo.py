"""The demo, shortened: its table is whole, its models replace those of the last demo, the same seed gives the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from qtinker import cli, demo, registry
from qtinker.data import sample

pytestmark = pytest.mark.train


def table(result: dict) -> list[tuple]:
    """What must not change with the clock."""
    return [(row["name"], row["role"], row["metrics"], row["bytes"], row["parameters"]) for row in result["models"]]


@pytest.fixture
def shortened(monkeypatch, tmp_path):
    """Few examples, one epoch."""
    rows = [f'"{text}",{label}' for text, label in sample.examples()[0][:240] if '"' not in text]
    (tmp_path / "few.csv").write_text("\n".join(["text,label", *rows]) + "\n", encoding="utf-8")
    monkeypatch.setattr(demo, "DATA", str(tmp_path / "few.csv"))
    monkeypatch.setattr(demo, "TEACHER", {"epochs": 1, "learning_rate": 1e-3})
    monkeypatch.setattr(demo, "STUDENT", {"epochs": 1, "learning_rate": 2e-3})


def test_twice(shortened, capsys, qtinker_home):
    events: list[dict] = []
    first = demo.demo(seed=7, on_event=events.append)
    roles = [row["role"] for row in first["models"]]
    assert roles[:2] == ["teacher", "control, no teacher"]
    assert sorted(roles[2:5]) == ["student, feature", "student, logit", "student, patient"]
    assert roles[5:] == ["quantized, int8-dynamic", "quantized, int4-weight-only"]
    assert first["models"][0]["retention"] == 1.0
    for row in first["models"]:
        assert set(row["metrics"]) >= {"accuracy", "macro_f1"}
        assert row["latency_ms"]["p50"] > 0
        assert row["examples_per_second"] > 0
    sizes = {row["role"]: row["bytes"] for row in first["models"]}
    student = sizes["student, logit"]
    assert sizes["quantized, int4-weight-only"] < sizes["quantized, int8-dynamic"] < student < sizes["teacher"]
    assert len(first["runs"]) == 4
    assert all((qtinker_home / "runs" / run / "report.json").is_file() for run in first["runs"])
    assert {event["kind"] for event in events} >= {"heading", "phase", "eval", "result"}

    status = cli.main(["demo", "--seed", "7", "--json"])
    second = json.loads(capsys.readouterr().out)
    assert status == 0
    assert table(second) == table(first)
    assert sorted(entry.name for entry in registry.list_models()) == sorted(row["name"] for row in first["models"])
    assert all(Path(row["path"]).is_dir() for row in second["models"])


def test_only_its_own_models_are_replaced():
    with registry.staged("hub", "demo-mine") as folder:
        (folder / "config.json").write_text('{"model_type": "bert"}')
        registry.write_meta(folder, {"name": "demo-mine", "kind": "imported"})
    for name, kind in (("demo-for-client", "distilled"), ("demo-logit-phone", "quantized"), ("demo-logit", "distilled"),
                       ("demo-logit-int8-dynamic", "quantized"), ("demo-logit-control", "control")):  # fmt: skip
        with registry.staged("distilled", name) as folder:
            (folder / "config.json").write_text('{"model_type": "bert"}')
            registry.write_meta(folder, {"name": name, "kind": kind})
    ours = {entry.name for entry in registry.list_models() if demo.is_ours(entry)}
    assert ours == {"demo-logit", "demo-logit-int8-dynamic", "demo-logit-control"}
