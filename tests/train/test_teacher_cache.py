"""The teacher's answers are asked once, kept whole or not used, and change nothing."""

from __future__ import annotations

import errno
import os
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import task_data
import tiny
import torch
from qtinker import asking, checkpoint, data
from qtinker.data import Examples, collate, encode
from qtinker.distill import methods, teacher_cache
from qtinker.distill.layers import Needs
from qtinker.distill.teacher import Teacher
from qtinker.distill.train import train
from qtinker.errors import RunStopped
from qtinker.home import cache_dir
from qtinker.spec import DataSpec, RunSpec, TrainingSpec
from qtinker.spec_methods import FeatureMethod, LogitMethod, PatientMethod, RelationsMethod, TripleMethod

pytestmark = pytest.mark.train
TASK = tiny.task()
NAMES = ("logits", "cls-2", "cls-3")


@pytest.fixture
def teacher():
    loaded = tiny.bert(4, 64, seed=1)
    calls = []
    loaded.model.register_forward_pre_hook(lambda m, a, k: calls.append(len(k["input_ids"])), with_kwargs=True)
    made = Teacher(loaded, student=tiny.bert(2), task=TASK)
    made.prepare(torch.device("cpu"), "fp32")
    made.calls = calls
    return made


def filled(teacher, data, names=NAMES, **more):
    events, steps = [], teacher_cache.fill(teacher, data, names, weights=["abc"], **more)
    while True:
        try:
            events.append(next(steps))
        except StopIteration as end:
            return end.value, events


def test_each_distinct_example_is_asked_once(teacher):
    texts = ["good movie", "bad movie", "good movie", "the plot was poor", "bad movie"]
    data = encode(Examples(texts), teacher.loaded.tokenizer, 32, cache=False)
    cache, events = filled(teacher, data)
    assert sum(teacher.calls) == 3 and events[-1]["step"] == events[-1]["total_steps"] == 3
    for number, text in enumerate(texts):
        inputs = teacher.loaded.tokenizer(text, return_tensors="pt")
        with torch.no_grad():
            out = teacher.loaded.model(**inputs, output_hidden_states=True)
        index = np.array([number])
        assert np.allclose(cache.take("logits", index), out.logits.numpy(), atol=1e-5)
        assert np.allclose(cache.take("cls-3", index), out.hidden_states[3][:, 0].numpy(), atol=1e-5)


def test_a_second_run_asks_nothing_and_a_new_kind_asks_for_that_alone(teacher):
    data = tiny.encoded(24)
    first, _ = filled(teacher, data, ("logits",))
    teacher.calls.clear()
    second, events = filled(teacher, data, ("logits",))
    assert not teacher.calls and "in the cache" in events[0]["text"]
    assert np.array_equal(first.arrays["logits"], second.arrays["logits"])
    filled(teacher, data, ("logits", "cls-1"))
    assert sum(teacher.calls) == len(second.arrays["logits"])


def test_other_weights_texts_or_arithmetic_have_their_own(teacher):
    filled(teacher, tiny.encoded(8), ("logits",))
    filled(teacher, tiny.encoded(9), ("logits",))
    teacher.prepare(torch.device("cpu"), "bf16")
    filled(teacher, tiny.encoded(8), ("logits",))
    list(teacher_cache.fill(teacher, tiny.encoded(8), ("logits",), weights=["other"]))
    assert len(list((cache_dir() / "teacher").iterdir())) == 4


def test_a_damaged_array_is_asked_anew(teacher):
    data = tiny.encoded(8)
    first, _ = filled(teacher, data, ("logits",))
    expected = np.array(first.arrays["logits"])
    file = next((cache_dir() / "teacher").glob("*/logits.npy"))
    raw = bytearray(file.read_bytes())
    raw[-1] ^= 64
    del first
    file.write_bytes(bytes(raw))
    teacher.calls.clear()
    again, _ = filled(teacher, data, ("logits",))
    assert teacher.calls and np.array_equal(again.arrays["logits"], expected)


def test_a_stopped_asking_goes_on_where_it_was(teacher, monkeypatch):
    monkeypatch.setattr(teacher_cache, "BATCH", 4)
    data = tiny.encoded(24)
    total = len(teacher_cache.distinct(data)[1])
    asked = iter([False, False, True])
    with pytest.raises(RunStopped, match=f"12 of {total} examples"):
        filled(teacher, data, should_stop=lambda: next(asked))
    teacher.calls.clear()
    cache, _ = filled(teacher, data)
    assert sum(teacher.calls) == total - 12
    batch = collate(data, np.arange(24), pad_token_id=0)
    expected = teacher.outputs(np.arange(24), batch, Needs(cls_layers=(2,)))
    assert np.allclose(cache.take("cls-2", np.arange(24)), expected.cls_states[2].numpy(), atol=1e-5)


def test_a_cache_that_cant_be_written_is_done_without(teacher):
    cache_dir().parent.mkdir(parents=True, exist_ok=True)
    cache_dir().write_text("a file in the way", encoding="utf-8")
    cache, events = filled(teacher, tiny.encoded(8))
    assert cache is None and events[-1]["level"] == "warning" and "asked anew" in events[-1]["text"]


@pytest.mark.skipif(os.name != "posix", reason="Windows takes the bytes of a file when it is made longer")
@pytest.mark.parametrize("able", [True, False])
def test_the_disk_gives_the_room_before_the_teacher_is_asked(teacher, able, monkeypatch):
    """Else a disk that fills up later would kill the process where it writes into a mapped file."""
    if not able:  # macOS
        monkeypatch.delattr(os, "posix_fallocate", raising=False)
    taken = []

    def ask(*arguments):
        taken.extend(file.stat() for file in (cache_dir() / "teacher").glob("*/part-*/*.npy"))
        return type(teacher).ask(teacher, *arguments)

    monkeypatch.setattr(teacher, "ask", ask)
    data = tiny.encoded(200)
    cache, _ = filled(teacher, data)
    assert len(taken) >= len(NAMES) and all(512 * each.st_blocks >= each.st_size for each in taken[: len(NAMES)])
    batch = collate(data, np.arange(8), pad_token_id=0)
    expected = Teacher.outputs(teacher, np.arange(8), batch, Needs(cls_layers=(2,))).cls_states[2].numpy()
    assert np.allclose(cache.take("cls-2", np.arange(8)), expected, atol=1e-5)


@pytest.mark.skipif(os.name != "posix", reason="Windows takes the bytes of a file when it is made longer")
def test_a_full_disk_is_done_without(teacher, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    cache, events = filled(teacher, tiny.encoded(8))
    assert cache is None and not teacher.calls and "(No space left on device)" in events[-1]["text"]
    assert not list((cache_dir() / "teacher").rglob("*.npy")), "what was reserved is given back"


def test_room_is_asked_for_once_and_what_is_kept_needs_none(qtinker_home, tmp_path, monkeypatch):
    loaded, student = tiny.bert(2, seed=1), tiny.bert(1)
    checkpoint.save(loaded.model, loaded.tokenizer, tmp_path / "big", meta={"name": "big", "kind": "finetuned"})
    loaded.path, said, data = tmp_path / "big", [], tiny.encoded(24)
    spec = RunSpec.parse({"teacher": {"model": "big"}, "student": {"model": "small"}, "data": {"train": "x.csv"},
                          "training": {"device": "cpu", "precision": "fp32"}})  # fmt: skip
    work = SimpleNamespace(
        spec=spec, task=TASK, encode=lambda loaded: data, should_stop=lambda: False,
        say=lambda text, level: said.append((level, text)),
    )  # fmt: skip
    free = [0]
    monkeypatch.setattr("shutil.disk_usage", lambda place: SimpleNamespace(free=free[0]))

    def kept():
        steps = asking.ask(work, Teacher(loaded, student=student, task=TASK), student)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                return end.value

    size = 24 * 2 * 4  # two logits of 4 bytes an example
    free[0] = 5 * size - 1
    assert kept() == [] and said == [(
        "warning", f"The teacher's answers would take 0.1 MB, more than 20% of the 0.1 MB free in {qtinker_home}: it "
        "is asked anew in each epoch.",
    )]  # fmt: skip
    free[0] = 5 * size
    assert kept() == ["logits"]
    free[0] -= size  # the cache has taken it
    assert kept() == ["logits"] and len(said) == 1
    # another process does as the main one found, whatever it sees itself
    shutil.rmtree(cache_dir() / "teacher")
    monkeypatch.setattr(asking.together, "from_main", lambda found: (size, 5 * size))
    free[0] = 0
    assert kept() == ["logits"]


def test_what_a_stopped_attempt_reserved_needs_no_room_again(teacher, monkeypatch):
    monkeypatch.setattr(teacher_cache, "BATCH", 4)
    data, asked = tiny.encoded(24), iter([False, True])
    with pytest.raises(RunStopped):
        filled(teacher, data, should_stop=lambda: next(asked))
    assert teacher_cache.lacking(teacher, data, NAMES, weights=["abc"]) == 0
    more = teacher_cache.lacking(teacher, data, [*NAMES, "cls-1"], weights=["abc"])
    assert more == teacher_cache.size(teacher, data, [*NAMES, "cls-1"]), "other arrays are asked for anew"


METHODS = [
    LogitMethod(), PatientMethod(layer_mapping=[(1, 2), (2, 3)]), FeatureMethod(), RelationsMethod(), TripleMethod()
]  # fmt: skip


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
@pytest.mark.parametrize("labels", [tiny.LABELS, tiny.LABELS[::-1]])
def test_training_is_the_same_with_and_without(method, labels, tmp_path):
    """Label order included: the cache holds the teacher's own order, the task has its."""
    ends, data = [], tiny.encoded(24)
    for cached in (False, True):
        student = tiny.bert(2, 32, seed=2, dropout=0.1)
        teacher = Teacher(tiny.bert(4, 64, seed=1, labels=labels), student=student, task=TASK)
        if cached:
            teacher.prepare(torch.device("cpu"), "fp32")
            built = methods.build(method, task=TASK, student=student, teacher=teacher.loaded, seed=42)
            needs = [each for each in built.teacher_needs.values() if each is not None]
            names = [name for each in needs for name in teacher_cache.names_for(each, states=True)]
            teacher.cache, _ = filled(teacher, data, list(dict.fromkeys(names)))
            teacher.loaded.model.forward = None  # must not be asked again
        training = TrainingSpec(epochs=3, batch_size=8, learning_rate=1e-4, precision="fp32", device="cpu", threads=1)
        steps = train(student, data, task=TASK, training=training, folder=tmp_path / str(cached), method=method,
                      teacher=teacher)  # fmt: skip
        list(steps)
        ends.append(tiny.weights(student.model))
    for key, weight in ends[0].items():
        assert torch.allclose(weight, ends[1][key], atol=2e-5, rtol=0), key


@pytest.mark.parametrize("vocabulary", ["one", "two"])
@pytest.mark.parametrize("kind", ["token-classification", "question-answering"])
def test_answers_of_every_token_are_those_that_the_teacher_gives(kind, vocabulary, tmp_path):
    file = task_data.write(tmp_path, kind, 24)
    dataset = data.load(DataSpec(train=str(file), max_length=12), seed=42)
    loaded = task_data.model_for(kind, seed=1, layers=3)
    student = task_data.model_for(kind, seed=2)
    if kind == "token-classification":
        loaded = checkpoint.load(saved(loaded, tmp_path), task=dataset.task, seed=1)
    if vocabulary == "two":
        student.tokenizer = tiny.tokenizer(tiny.WORDS[::-1])
    mine, its = (encode(dataset.train, each.tokenizer, 12, cache=False) for each in (student, loaded))
    other = {"encoded": its, "read_by_student": mine} if vocabulary == "two" else {}
    teacher = Teacher(loaded, student=student, task=dataset.task, **other)
    teacher.prepare(torch.device("cpu"), "fp32")
    assert teacher.same_tokens == (vocabulary == "one")

    indices = np.array([5, 0, 17, 3])
    batch = collate(mine, indices, pad_token_id=student.tokenizer.pad_token_id)
    asked = teacher.outputs(indices, batch, Needs())
    teacher.cache, _ = filled(teacher, its, teacher_cache.names_for(Needs(), per_token=True))
    loaded.model.forward = None  # must not be asked again
    kept = teacher.outputs(indices, batch, Needs())
    counts = batch["answer_mask"].bool()
    assert kept.logits.shape == asked.logits.shape and counts.sum() > len(indices)
    assert torch.allclose(kept.logits[counts], asked.logits[counts], atol=1e-5)
    if kind == "question-answering":  # a softmax over all places: padding must be as unlikely as the teacher says
        assert torch.allclose(kept.logits.softmax(1), asked.logits.softmax(1), atol=1e-6)
        assert len(set(mine.lengths[indices].tolist())) > 1
    if asked.answer_mask is not None:
        assert torch.equal(kept.answer_mask, asked.answer_mask)
    classes = asked.logits.shape[-1]
    assert teacher.cache.arrays["token-logits"].shape == (
        int(its.lengths[teacher_cache.distinct(its)[1]].sum()),
        classes,
    )


def saved(loaded, folder):
    checkpoint.save(loaded.model, loaded.tokenizer, folder / "saved", meta={"name": "saved", "kind": "pretrained"})
    return folder / "saved"


def test_states_of_every_token_are_those_of_the_model(teacher):
    texts = ["good movie", "the plot was not very good", "good movie"]
    data = encode(Examples(texts), teacher.loaded.tokenizer, 32, cache=False)
    cache, events = filled(teacher, data, ("logits", "hidden-0", "hidden-3", "q-2"))
    assert "different examples; its answers take" in events[0]["text"]
    kept = cache.take_tokens("hidden-3", np.array([2, 1]))
    assert kept.shape == (2, 8, 64) and cache.arrays["hidden-3"].shape == (4 + 8, 64)
    assert not kept[0, 4:].any(), "padding is zeros"
    for place, text in enumerate((texts[2], texts[1])):
        inputs = teacher.loaded.tokenizer(text, return_tensors="pt")
        with torch.no_grad():
            states = teacher.loaded.model(**inputs, output_hidden_states=True).hidden_states[3][0]
        assert np.allclose(kept[place, : len(states)], states.numpy(), atol=1e-5)


def test_bf16_keeps_states_in_16_bits(teacher):
    teacher.prepare(torch.device("cpu"), "bf16")
    cache, _ = filled(teacher, tiny.encoded(8), ("logits", "hidden-1"))
    assert cache.arrays["hidden-1"].dtype == np.float16 and cache.arrays["logits"].dtype == np.float32


def test_texts_are_asked_together_up_to_a_number_of_tokens(teacher, monkeypatch):
    monkeypatch.setattr(teacher_cache, "TOKENS", {"cpu": 30})
    data = tiny.encoded(24)
    filled(teacher, data)
    lengths = -np.sort(-data.lengths[teacher_cache.distinct(data)[1]])
    expected, at = [], 0
    while at < len(lengths):
        expected.append(len(lengths[at : at + 30 // lengths[at]]))
        at += expected[-1]
    assert teacher.calls == expected and len(set(expected)) > 1


def test_size_is_known_beforehand(teacher):
    data = tiny.encoded(10)
    tokens = int(data.lengths.sum())
    assert teacher_cache.size(teacher, data, ("logits", "cls-1")) == 4 * 10 * (2 + 64)
    assert teacher_cache.size(teacher, data, ("logits", "hidden-1", "q-2")) == 4 * (10 * 2 + tokens * (64 + 64))
    assert teacher_cache.names_for(Needs(cls_layers=(2, 4))) == ("logits", "cls-2", "cls-4")
    every = Needs(hidden_states=True, hidden_layers=(0, 2), attention_layers=(2,))
    assert teacher_cache.names_for(every) is None
    assert teacher_cache.names_for(every, states=True) == ("logits", "hidden-0", "hidden-2", "q-2", "k-2")
    assert teacher_cache.needs_of(teacher_cache.names_for(every, states=True)) == every
    assert teacher_cache.names_for(Needs(hidden_states=True), states=True) is None
