"""A run on more than its labelled rows: unlabelled files, variants by a masked language model, new pairs."""

from __future__ import annotations

import shutil

import pytest
import task_data
import transformers
from qtinker import api, runs
from qtinker.errors import RunStopped, SpecError
from qtinker.spec import RunSpec

pytestmark = pytest.mark.train


@pytest.fixture
def files(qtinker_home, tmp_path):
    """A teacher, a student, a masked language model; labelled and unlabelled rows."""
    hub = qtinker_home / "bert_models" / "hub"
    task_data.encoder(tmp_path, "big", layers=2, seed=1)
    shutil.copytree(tmp_path / "big", hub / "small")
    train, held = (task_data.write(tmp_path, "regression", count, seed=seed) for count, seed in ((48, 1), (40, 2)))
    more = task_data.write(tmp_path, "regression", 30, seed=3)
    report = api.run(RunSpec.parse({**spec(train, held), "teacher": None, "name": "big"}))
    shutil.copytree(report["checkpoint"], hub / "teacher")
    model = transformers.BertForMaskedLM(transformers.BertConfig.from_pretrained(tmp_path / "big"))
    model.save_pretrained(hub / "guesser")
    for file in (tmp_path / "big").glob("tokenizer*"):
        shutil.copy(file, hub / "guesser")
    return train, held, more


def spec(train, held, **data):
    return {
        "teacher": {"model": "teacher"}, "student": {"model": "small"}, "control": False, "method": {"name": "logit"},
        "data": {"train": str(train), "eval": str(held), "max_length": 32, **data},
        "training": {"epochs": 1, "batch_size": 8, "learning_rate": 1e-3, "precision": "fp32", "threads": 1,
                     "device": "cpu"},
    }  # fmt: skip


def test_unlabelled_rows_and_variants_are_learned_and_counted(files):
    train, held, more = files
    content = spec(train, held, unlabelled=str(more), augment_model="guesser", augment_variants=2, augment_share=0.6)
    report = api.run({**content, "control": True})
    counts = report["examples"]
    assert counts["eval"] == 40 and 20 < counts["unlabelled"] <= 30 and 40 < counts["variants"] <= 96
    assert counts["train"] == 48 + counts["unlabelled"] + counts["variants"]
    steps = -(-counts["train"] // 8)
    assert report["training"]["distill"]["steps"] == steps
    assert report["training"]["control"]["steps"] == steps, "the control trains as long, on labelled rows alone"
    events, _ = runs.open(report["run"]).events()
    said = [event["text"] for event in events if event["kind"] == "message"]
    assert any(words.endswith("variants of 48 training examples by guesser") for words in said)
    asked = [event for event in events if event["kind"] == "step" and event["phase"] == "teacher-outputs"]
    assert asked[-1]["total_steps"] == counts["train"], "the teacher answered for each of them once, and it is kept"


def test_new_pairs_are_learned_and_counted(files, tmp_path):
    train, held, _ = files
    report = api.run(spec(train, held, new_pairs=2))
    assert report["examples"]["new_pairs"] == 0, "the examples are single texts"
    task_data.encoder(tmp_path, "judge", layers=1, seed=1)
    pairs, held = (task_data.pairs(tmp_path, count, seed=seed) for count, seed in ((48, 1), (24, 2)))
    teacher = api.finetune(str(tmp_path / "judge"), data=str(pairs), eval_data=str(held), epochs=1, name="judge")
    content = spec(pairs, held, new_pairs=2) | {"teacher": {"model": teacher["checkpoint"]}, "control": True}
    report = api.run(content)
    counts = report["examples"]
    assert 48 < counts["new_pairs"] <= 96 and counts["train"] == 48 + counts["new_pairs"]
    steps = -(-counts["train"] // 8)
    assert report["training"]["distill"]["steps"] == report["training"]["control"]["steps"] == steps
    events, _ = runs.open(report["run"]).events()
    said = [event["text"] for event in events if event["kind"] == "message"]
    assert f"{counts['new_pairs']} new pairs of the texts of 48 pairs" in said
    asked = [event for event in events if event["kind"] == "step" and event["phase"] == "teacher-outputs"]
    assert asked[-1]["total_steps"] == counts["train"], "the teacher answered for each of them"


def test_a_stopped_run_takes_up_the_variants_that_are_made(files):
    train, held, _ = files
    run = api.create_run(spec(train, held, augment_model="guesser", augment_variants=1))

    def stop(event):
        if event["kind"] == "step" and event["phase"] == "prepare":
            run.request_stop()

    with pytest.raises(RunStopped):
        api.resume_run(run.id, on_event=stop)
    begun = len(run.events()[0])
    report = api.resume_run(run.id)
    later = run.events()[0][begun:]
    assert not [event for event in later if event["kind"] == "step" and event["phase"] == "prepare"]
    whole = api.run(spec(train, held, augment_model="guesser", augment_variants=1))
    assert whole["metrics"]["student"] == report["metrics"]["student"]


def test_a_model_without_a_head_for_hidden_words_is_refused(files):
    train, held, _ = files
    with pytest.raises(SpecError, match="no head that guesses hidden words"):
        api.run(spec(train, held, augment_model="teacher"))
