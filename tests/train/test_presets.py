"""Each preset trains, and its student comes nearer to its teacher."""

from __future__ import annotations

import numpy as np
import pytest
import task_data
import tiny
import torch
from qtinker import api
from qtinker.data import collate
from qtinker.presets import apply, presets
from qtinker.spec import RunSpec
from training_job import go

pytestmark = pytest.mark.train
OPTIONS = {"patient": {"layer_mapping": [(1, 3)]}}


@pytest.fixture(scope="module")
def trained_teacher(tmp_path_factory):
    """A teacher whose answers say something, as weights: a run moves and freezes the model."""
    teacher = tiny.bert(4, 64, seed=1)
    go(teacher, tmp_path_factory.mktemp("teacher"), data=tiny.encoded(48), epochs=15, batch_size=4)
    return tiny.weights(teacher.model)


@pytest.mark.parametrize("name", [name for name in presets() if name != "general"])
def test_each_preset_brings_the_student_nearer_to_the_teacher(name, trained_teacher, tmp_path):
    given = {"teacher": {"model": "t"}, "student": {"model": "s"}, "data": {"train": "d"}}
    whole = RunSpec.parse(apply(name, given))
    student, teacher, data = tiny.bert(2, 64, seed=2), tiny.bert(4, 64, seed=1), tiny.encoded(48)
    teacher.model.load_state_dict(trained_teacher)
    batch = collate(data, np.arange(48), pad_token_id=0)
    inputs = {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"]}

    @torch.no_grad()
    def distance():
        answers = [loaded.model.eval()(**inputs).logits.softmax(-1) for loaded in (student, teacher)]
        return (answers[0] - answers[1]).abs().mean().item()

    before = distance()
    assert before > 0.2
    method = whole.method.model_copy(update={"ce_weight": 0.0, **OPTIONS.get(name, {})})
    # more passes over less data than a preset means for pretrained students
    go(student, tmp_path, method=method, teacher=teacher, data=data, epochs=12, batch_size=4, learning_rate=2e-3)
    assert distance() < 0.5 * before


def test_general_makes_a_language_model_from_text_alone(qtinker_home, tmp_path):
    task_data.encoder(qtinker_home / "bert_models" / "hub", "big", layers=2, seed=1)
    text, held = (task_data.write(tmp_path, "masked-lm", count, seed=seed) for count, seed in ((160, 1), (40, 2)))
    data = {"train": str(text), "eval": str(held), "max_length": 32}
    plain = {"batch_size": 8, "learning_rate": 4e-3, "precision": "fp32", "threads": 1, "device": "cpu"}
    api.run(RunSpec.parse({"student": {"model": "big"}, "data": data, "name": "teacher",
                           "task": {"type": "masked-lm"}, "training": {"epochs": 24, **plain}}))  # fmt: skip

    def run(**training):
        given = {
            "teacher": {"model": "teacher"},
            "student": {"layers": [0]},
            "data": data,
            "training": training | plain,
        }
        return api.run(RunSpec.parse(apply("general", given | {"training": training | plain})))

    begun, report = run(max_steps=1), run(epochs=12)
    assert report["spec"]["method"]["name"] == "triple" and report["spec"]["task"]["type"] == "masked-lm"
    before, after = (each["metrics"]["student"]["masked_accuracy"] for each in (begun, report))
    assert report["metrics"]["teacher"]["masked_accuracy"] > 0.6
    assert after > before + 0.1 and after > 0.85 * report["metrics"]["teacher"]["masked_accuracy"]
