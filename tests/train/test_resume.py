"""A training that is killed and resumed ends with the weights of one that was not, bit for bit."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import tiny
import torch
from qtinker.distill.progress import fingerprint
from qtinker.distill.state import StateFolder
from qtinker.errors import InputError, RunFailed, RunStopped
from qtinker.spec import TrainingSpec
from qtinker.spec_methods import LogitMethod, PatientMethod
from training_job import job

pytestmark = pytest.mark.train
JOB = Path(__file__).with_name("training_job.py")


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """The weights and result of a training that nobody cuts, once a method."""
    known = {}

    def get(name: str):
        if name not in known:
            model, result, events = job(name, tmp_path_factory.mktemp(name))
            known[name] = tiny.weights(model), result, events
        return known[name]

    return get


def killed(name: str, folder: Path, when: str) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(JOB), name, str(folder), when], env=environment, capture_output=True, text=True
    )
    assert done.returncode not in (0, 1), done.stderr[-2000:]


@pytest.mark.parametrize(
    ("name", "deaths"),
    [
        ("finetune", ["step:1", "step:8"]),  # before anything is saved, and later
        ("patient", ["step:6"]),
        ("feature", ["step:3", "step:6"]),  # in the intermediate stage, and in the prediction stage
        ("logit", ["write:6"]),  # within the third state: its tensors and counters are written, its pointer is not
    ],
)
def test_killed_and_resumed_ends_with_the_same_weights(name, deaths, tmp_path, uninterrupted):
    expected, expected_result, _ = uninterrupted(name)
    for when in deaths:
        killed(name, tmp_path, when)
    model, result, events = job(name, tmp_path)
    assert events[0]["kind"] == "message" and "Going on after step" in events[0]["text"]
    for key, weight in tiny.weights(model).items():
        assert torch.equal(weight, expected[key]), key
    assert result.history == expected_result.history and result.best_step == expected_result.best_step


def test_the_uninterrupted_training_learned_something(uninterrupted):
    """So that equality above is not that of two models that never moved."""
    start = tiny.weights(tiny.bert(2, 32, 4, seed=2).model)
    for name in ("finetune", "feature"):
        end, result, _ = uninterrupted(name)
        assert result.steps == 13 and len(result.history) > 0
        assert not torch.equal(start["bert.encoder.layer.1.output.dense.weight"],
                               end["bert.encoder.layer.1.output.dense.weight"])  # fmt: skip


def test_stopped_at_every_step_and_resumed(tmp_path, uninterrupted):
    expected, _, _ = uninterrupted("feature")
    stops = 0
    while True:
        try:
            model, _, _ = job("feature", tmp_path, should_stop=lambda: True)
            break
        except RunStopped as stopped:
            stops += 1
            assert f"Stopped after step {stops} of 13" in stopped.message
    assert stops == 12
    assert all(torch.equal(weight, expected[key]) for key, weight in tiny.weights(model).items())


def test_a_finished_training_is_not_done_again(tmp_path, uninterrupted):
    expected, _, _ = uninterrupted("logit")
    job("logit", tmp_path)
    model, result, events = job("logit", tmp_path)
    assert events == [] and result.steps == 13
    assert all(torch.equal(weight, expected[key]) for key, weight in tiny.weights(model).items())


def test_a_state_from_before_a_setting_was_added_is_taken_up():
    class Later(TrainingSpec):
        added: int = 3

    class LaterMethod(LogitMethod):
        added: bool = False

    class OtherDefault(TrainingSpec):
        weight_decay: float = 0.5

    def print_of(training, method):
        return fingerprint(training, method, tiny.encoded(8), task=tiny.task(), model=tiny.bert(1, 32).model)

    before = print_of(TrainingSpec(), LogitMethod())
    assert print_of(Later(), LaterMethod()) == before
    assert print_of(Later(added=4), LaterMethod()) != before != print_of(Later(), LaterMethod(added=True))
    # a run's file names every value: a default that was changed is told
    assert print_of(OtherDefault(**TrainingSpec().model_dump()), LogitMethod()) != before
    assert print_of(TrainingSpec(), PatientMethod()) != before


def test_a_state_of_other_settings_is_refused(tmp_path):
    with pytest.raises(RunStopped):
        job("logit", tmp_path, should_stop=lambda: True)
    with pytest.raises(InputError, match="other settings or data"):
        job("logit", tmp_path, learning_rate=1e-4)
    with pytest.raises(InputError, match="other settings or data"):
        job("patient", tmp_path)


def test_a_damaged_state_is_named(tmp_path):
    with pytest.raises(RunStopped):
        job("logit", tmp_path, should_stop=lambda: True)
    state = next(tmp_path.glob("*/state.safetensors"))
    state.write_bytes(state.read_bytes()[:-10])
    with pytest.raises(RunFailed, match=r"saved state in .* is damaged"):
        job("logit", tmp_path)


def test_old_states_and_best_weights_are_cleared(tmp_path):
    job("finetune", tmp_path)
    assert len(list(tmp_path.glob("*/state.safetensors"))) == 1
    assert len(list(tmp_path.glob("best-*"))) == 1
    assert not list(tmp_path.rglob(".*.part"))


def test_state_folder_keeps_the_last_whole_state(tmp_path):
    states = StateFolder(tmp_path)
    assert states.load() is None
    for step in (1, 2, 3):
        states.save({"student": {"w": torch.full((2,), float(step))}}, {"step": step})
        tensors, counters = states.load()
        assert counters["step"] == step and tensors["student"]["w"].tolist() == [step, step]


def test_a_loaded_state_lets_go_of_its_file(tmp_path):
    """Windows deletes no file that is mapped."""
    StateFolder(tmp_path).save({"student": {"w": torch.full((50_000,), 7.0)}}, {"step": 1})
    tensors, _ = StateFolder(tmp_path).load()
    file = next(tmp_path.glob("*/state.safetensors"))
    with file.open("rb+") as opened:
        opened.seek(file.stat().st_size // 2)
        opened.write(bytes(1000))
    assert (tensors["student"]["w"] == 7).all()


def test_a_folder_that_could_not_be_deleted_is_written_over(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.rmtree", lambda *_, **__: None)
    states = StateFolder(tmp_path)
    for step in (1, 2, 3, 4):
        states.save({"student": {"w": torch.full((2,), float(step))}}, {"step": step})
        assert states.load()[1]["step"] == step and states.load()[0]["student"]["w"].tolist() == [step, step]
