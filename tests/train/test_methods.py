"""The methods in the loop: gradients of the whole batch however it is cut, projections, refusals, what goes wrong."""

from __future__ import annotations

import numpy as np
import pytest
import tiny
import torch
from qtinker import checkpoint
from qtinker.data import Examples, collate, encode
from qtinker.distill import methods, schedule
from qtinker.distill.layers import Needs
from qtinker.distill.step import Step
from qtinker.distill.teacher import Teacher
from qtinker.errors import InputError, RunFailed, RunStopped
from qtinker.spec_methods import METHODS, FeatureMethod, LogitMethod, PatientMethod
from training_job import accuracy, first, go, same

pytestmark = pytest.mark.train
TASK = tiny.task()
ALL = ["finetune", *METHODS]
OPTIONS = {"patient": {"layer_mapping": [(1, 3)]}}


def spec(name: str, **more):
    return None if name == "finetune" else METHODS[name](**OPTIONS.get(name, {}), **more)


@pytest.mark.parametrize("name", ALL)
def test_micro_batches_give_the_gradient_of_the_whole_batch(name, tmp_path):
    """Uneven lengths and missing labels: means over tokens, pairs and labelled examples must not be means of means."""
    ends = []
    for pieces in (1, 3):
        student = tiny.bert(2, 32, dropout=0.0, seed=2)
        teacher = None if name == "finetune" else tiny.bert(4, 64, seed=1)
        go(student, tmp_path / str(pieces), method=spec(name), teacher=teacher, data=tiny.encoded(24, unlabelled=7),
           gradient_accumulation=pieces, learning_rate=1e-4)  # fmt: skip
        ends.append(tiny.weights(student.model))
    same(*ends, tolerance=2e-6)


@pytest.mark.parametrize("name", ALL)
def test_every_method_trains_and_improves_its_loss(name, tmp_path):
    student = tiny.bert(2, 32, seed=2)
    teacher = None if name == "finetune" else tiny.bert(4, 64, seed=1)
    data = tiny.encoded(48)
    method = spec(name, **({"intermediate_share": 0.9} if name in ("feature", "relations") else {}))
    result, events = go(
        student, tmp_path, method=method, teacher=teacher, data=data, epochs=12, evaluate=accuracy(student, data)
    )
    steps = [event for event in events if event["kind"] == "step"]
    first = steps[0]["parts"]
    assert result.steps == result.total_steps == 72 == steps[-1]["step"]
    if name == "feature":
        assert set(first) == {"embedding", "hidden", "attention"} and set(steps[-1]["parts"]) == {"soft"}
    elif name == "relations":
        assert set(first) == {"q-q", "k-k", "v-v"} and set(steps[-1]["parts"]) == {"soft", "hard"}
    elif name == "patient":
        assert set(first) == {"soft", "hard", "patient"}
        assert steps[-1]["parts"]["patient"] < 0.5 * first["patient"]
    elif name == "triple":
        assert set(first) == {"soft", "hard", "cosine"}
        assert steps[-1]["parts"]["cosine"] < 0.5 * first["cosine"]
    elif name == "finetune":
        assert steps[-1]["loss"] < steps[0]["loss"]
    assert {"time", "phase", "epoch", "learning_rate", "examples_per_second", "eta_s", "total_steps"} <= set(steps[0])


def test_a_method_with_a_perfect_student_has_no_loss(tmp_path):
    """A copy of the teacher, without dropout, differs from it in nothing that any method compares."""
    teacher = tiny.bert(2, 32, seed=1)
    for name, expected in [("logit", {"soft"}), ("patient", {"soft", "patient"}),
                           ("feature", {"embedding", "hidden", "attention"}),
                           ("relations", {"q-q", "k-k", "v-v"}), ("triple", {"soft", "cosine"})]:  # fmt: skip
        student = tiny.bert(2, 32, seed=1, dropout=0.0)
        options = {"ce_weight": 0.0, "layer_mapping": [(1, 1), (2, 2)]}
        if name in ("logit", "relations", "triple"):
            del options["layer_mapping"]
        _, events = go(student, tmp_path / name, method=METHODS[name](**options), teacher=teacher, max_steps=2)
        assert set(first(events)["parts"]) == expected
        values = first(events)["parts"].values()
        assert all(value == pytest.approx(0, abs=1e-6 if name == "triple" else 1e-9) for value in values)


def test_projections_are_trained_clipped_and_left_out_of_the_student(tmp_path, monkeypatch):
    built = []
    build = methods.build
    monkeypatch.setattr(methods, "build", lambda *a, **k: built.append(build(*a, **k)) or built[-1])
    for name, projections in [("patient", {"1"}), ("feature", {"embedding", "hidden"})]:
        student = tiny.bert(2, 32, seed=2)
        names = set(student.model.state_dict())
        method = spec(name)
        before = build(method, task=TASK, student=student, teacher=tiny.bert(4, 64), seed=42).projections
        go(student, tmp_path / name, method=method, teacher=tiny.bert(4, 64, seed=1))
        after = built[-1].projections
        assert set(after) == projections and set(student.model.state_dict()) == names
        for key in projections:
            assert after[key].weight.shape == (64, 32)
            assert not torch.equal(after[key].weight, before[key].weight)
    assert (
        len(build(spec("feature"), task=TASK, student=tiny.bert(2, 32), teacher=tiny.bert(4, 32), seed=1).projections)
        == 0
    )


def test_clipping_counts_the_projections(tmp_path, monkeypatch):
    """The norm that is clipped must be that of all gradients; here recomputed by hand at the first step."""
    seen = []
    update = Step.update

    def spy(step, *args, **kwargs):
        before = [p.grad.clone() for p in step.trainable if p.grad is not None]
        update(step, *args, **kwargs)  # the optimizer's kernel leaves the gradients as it took them
        seen.append((len(step.trainable), before, [p.grad.clone() for p in step.trainable if p.grad is not None]))

    monkeypatch.setattr(Step, "update", spy)
    student = tiny.bert(2, 32, seed=2)
    go(student, tmp_path, method=spec("patient"), teacher=tiny.bert(4, 64, seed=1), max_steps=1, max_grad_norm=0.5)
    count, before, after = seen[0]
    assert count == len(list(student.model.parameters())) + 1
    norm = torch.sqrt(sum(grad.square().sum() for grad in before))
    assert norm > 0.5
    assert torch.sqrt(sum(grad.square().sum() for grad in after)).item() == pytest.approx(0.5, rel=1e-4)


def test_unlabelled_examples_take_part_in_the_soft_term_only(tmp_path):
    student, teacher = tiny.bert(1, 32, seed=2, dropout=0.0), tiny.bert(2, 32, seed=1)
    with torch.no_grad():
        teacher.model.classifier.weight.mul_(50)
    data = tiny.encoded(8, unlabelled=5)
    batch = collate(data, np.arange(8), pad_token_id=0)
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask", "token_type_ids")}
    with torch.no_grad():
        z_s, z_t = student.model(**inputs).logits, teacher.model(**inputs).logits
    p, q = (z_t / 2).softmax(-1), (z_s / 2).softmax(-1)
    soft = 4 * (p * (p / q).log()).sum(-1).mean()
    hard = -z_s.log_softmax(-1)[range(5, 8), batch["labels"][5:]].mean()
    _, events = go(student, tmp_path, method=LogitMethod(), teacher=teacher, data=data)
    assert first(events)["parts"]["soft"] == pytest.approx(soft.item(), rel=1e-5)
    assert first(events)["parts"]["hard"] == pytest.approx(hard.item(), rel=1e-5)
    assert first(events)["loss"] == pytest.approx(0.5 * soft.item() + 0.5 * hard.item(), rel=1e-5)


def test_the_teacher_is_never_trained_nor_in_training_mode(tmp_path):
    teacher = tiny.bert(4, 64, seed=1, dropout=0.5)
    before = tiny.weights(teacher.model)
    modes = []
    teacher.model.register_forward_pre_hook(lambda module, _: modes.append((module.training, torch.is_grad_enabled())))
    teacher.model.train()
    go(tiny.bert(2, 32, seed=2), tmp_path, method=spec("feature"), teacher=teacher)
    assert modes and set(modes) == {(False, False)}
    assert all(torch.equal(weight, before[key]) for key, weight in tiny.weights(teacher.model).items())
    assert all(parameter.grad is None for parameter in teacher.model.parameters())


def test_out_of_memory_halves_the_micro_batch_and_changes_nothing(tmp_path):
    ends = []
    for limit in (8, 3):
        student = tiny.bert(2, 32, seed=2, dropout=0.0)

        def refuse(_module, _args, kwargs, limit=limit):
            if len(kwargs["input_ids"]) > limit:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

        student.model.register_forward_pre_hook(refuse, with_kwargs=True)
        result, events = go(student, tmp_path / str(limit), method=LogitMethod(), teacher=tiny.bert(2, 32, seed=1),
                            learning_rate=1e-4)  # fmt: skip
        said = [event["text"] for event in events if event.get("level") == "warning"]
        ends.append(tiny.weights(student.model))
        assert result.steps == 3
    assert [text.split("micro-batches of ")[1].split(" ")[0] for text in said] == ["4", "2"]
    assert "Out of memory at step 1" in said[0] and said[0].endswith("the result is the same.")
    same(*ends, tolerance=2e-6)


def test_out_of_memory_changes_what_dist_compares(tmp_path):
    three = ("a", "b", "c")
    student, task = tiny.bert(1, 32, seed=2, labels=three), tiny.task(three)

    def refuse(_module, _args, kwargs):
        if len(kwargs["input_ids"]) > 4:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    student.model.register_forward_pre_hook(refuse, with_kwargs=True)
    teacher = Teacher(tiny.bert(1, 32, seed=1, labels=three), student=student, task=task)
    _, events = go(student, tmp_path, method=LogitMethod(soft_loss="dist"), teacher=teacher, task=task)
    (said,) = [event["text"] for event in events if event.get("level") == "warning"]
    assert said.endswith("micro-batches of 4 examples; dist compares no more at a time, so the result changes.")


def test_out_of_memory_with_one_example_fails_with_words(tmp_path):
    student = tiny.bert(1, 32)

    def refuse(*_):
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")

    student.model.register_forward_pre_hook(refuse)
    with pytest.raises(RunFailed, match="Out of memory at step 1 with one example at a time") as caught:
        go(student, tmp_path)
    assert "max_length" in caught.value.fix


def test_a_loss_that_is_not_finite_ends_the_run_and_keeps_the_weights(tmp_path):
    student = tiny.bert(1, 32, seed=2)
    data = tiny.encoded(24)
    calls, before = [], {}

    def poison(_module, _args, output):
        calls.append(1)
        if student.model.training and len(calls) > 4:
            before.update(tiny.weights(student.model))
            output.logits = output.logits * float("nan")
        return output

    student.model.register_forward_hook(poison)
    with pytest.raises(
        RunFailed, match=r"loss became nan at step 5\. The best weights, of step 3, are in .*best-3"
    ) as e:
        go(student, tmp_path, data=data, epochs=3, evaluate=lambda model: {"accuracy": 0.5}, max_grad_norm=0)
    assert "learning rate (3e-04)" in e.value.fix and "clipping" in e.value.fix
    assert all(torch.equal(weight, before[key]) for key, weight in tiny.weights(student.model).items())


def test_early_stopping_and_the_best_weights(tmp_path):
    scores, kept = iter([0.5, 0.8, 0.7, 0.8, 0.6, 0.9]), []
    student = tiny.bert(1, 32, seed=2)

    def evaluate(model):
        kept.append(tiny.weights(model))
        return {"accuracy": next(scores), "macro_f1": 0.0}

    result, events = go(student, tmp_path, epochs=9, evaluate=evaluate, early_stopping=3)
    assert [event["best"] for event in events if event["kind"] == "eval"] == [True, True, False, False, False]
    assert result.stopped_early and result.best_step == 6 and result.steps == 15 and result.metrics["accuracy"] == 0.8
    assert all(torch.equal(weight, kept[1][key]) for key, weight in tiny.weights(student.model).items())


def test_a_first_stage_is_not_stopped_early(tmp_path):
    """Its evaluations may stand still: they prepare what follows. Six epochs of three steps, half of them in it."""
    scores = iter([0.9, *[0.5] * 5])
    method = METHODS["relations"](intermediate_share=0.5, answers_throughout=True)
    result, _ = go(
        tiny.bert(1, 32, seed=2), tmp_path, method=method, teacher=tiny.bert(2, 32, seed=1), epochs=6,
        evaluate=lambda model: {"accuracy": next(scores)}, early_stopping=2,
    )  # fmt: skip
    assert result.stopped_early and result.steps == 15


def test_steps_epochs_and_evaluations_are_as_many_as_asked_for(tmp_path):
    asked = []
    result, _ = go(tiny.bert(1, 32), tmp_path, epochs=2.5, evaluate=lambda m: asked.append(1) or {"accuracy": 0.5})
    assert result.steps == 8 and [entry["step"] for entry in result.history] == [3, 6, 8]  # 3 steps an epoch; 7.5
    result, _ = go(tiny.bert(1, 32), tmp_path / "b", epochs=9, max_steps=7, eval_every=3,
                   evaluate=lambda m: {"accuracy": 0.5})  # fmt: skip
    assert result.steps == 7 and [entry["step"] for entry in result.history] == [3, 6, 7]


def test_same_seed_same_weights_other_seed_other_weights(tmp_path):
    ends = []
    for number, seed in enumerate((1, 1, 2)):
        student = tiny.bert(1, 32, seed=2)
        go(student, tmp_path / str(number), seed=seed)
        ends.append(tiny.weights(student.model)["classifier.weight"])
    assert torch.equal(ends[0], ends[1]) and not torch.equal(ends[0], ends[2])


def test_bf16_computes_in_bf16_and_compares_in_fp32(tmp_path):
    student, dtypes = tiny.bert(2, 32, seed=2), set()
    student.model.classifier.register_forward_hook(lambda m, a, out: dtypes.add(out.dtype))
    result, events = go(student, tmp_path, method=spec("feature"), teacher=tiny.bert(4, 64, seed=1), precision="bf16")
    assert dtypes == {torch.bfloat16} and result.precision == "bf16"
    assert {parameter.dtype for parameter in student.model.parameters()} == {torch.float32}
    _, fp32 = go(tiny.bert(2, 32, seed=2), tmp_path / "f", method=spec("feature"), teacher=tiny.bert(4, 64, seed=1))
    losses = first(events)["loss"], first(fp32)["loss"]
    assert losses[0] == pytest.approx(losses[1], rel=0.03) and losses[0] != losses[1]


# --- vocabularies, labels and refusals ----------------------------------------------------------------------------

OTHER_WORDS = [*reversed(tiny.WORDS), "##s", "unseen"]


def other_vocabulary(data_seed: int = 0):
    teacher = tiny.bert(3, 64, seed=1, words=OTHER_WORDS)
    return teacher, encode(tiny.examples(24, seed=data_seed), teacher.tokenizer, 32, cache=False)


def test_other_vocabulary_the_teacher_reads_its_own_tokens(tmp_path):
    student = tiny.bert(2, 32, seed=2)
    loaded, encoded = other_vocabulary()
    teacher = Teacher(loaded, student=student, task=TASK, encoded=encoded)
    assert not teacher.same_tokens
    data, indices = tiny.encoded(24), np.array([5, 0, 17])
    out = teacher.outputs(indices, collate(data, indices, pad_token_id=0), Needs())
    texts = [tiny.examples(24).texts[int(i)] for i in indices]
    inputs = loaded.tokenizer(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        assert torch.allclose(out.logits, loaded.model(**inputs).logits, atol=1e-6)
    for method in (LogitMethod(), PatientMethod(layer_mapping=[(1, 2)])):
        result, _ = go(student, tmp_path / method.name, method=method, teacher=teacher)
        assert result.steps == 3


def test_other_vocabulary_is_refused_where_tokens_are_compared_and_where_texts_are_missing(tmp_path):
    student = tiny.bert(2, 32, seed=2)
    loaded, encoded = other_vocabulary()
    with pytest.raises(InputError, match="token by token, and their vocabularies differ"):
        go(
            student,
            tmp_path,
            method=FeatureMethod(),
            teacher=Teacher(loaded, student=student, task=TASK, encoded=encoded),
        )
    with pytest.raises(InputError, match="different vocabularies"):
        Teacher(loaded, student=student, task=TASK)


def test_labels_in_another_order_are_put_in_the_tasks(tmp_path):
    student, swapped = tiny.bert(2, 32, seed=2), tiny.bert(2, 32, seed=1, labels=("good", "bad"))
    data, indices = tiny.encoded(8), np.arange(8)
    batch = collate(data, indices, pad_token_id=0)
    out = Teacher(swapped, student=student, task=TASK).outputs(indices, batch, Needs())
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask", "token_type_ids")}
    with torch.no_grad():
        assert torch.equal(out.logits, swapped.model(**inputs).logits.flip(-1))
    with pytest.raises(InputError, match=r"other labels \(up, down\) than the data has \(bad, good\)"):
        Teacher(tiny.bert(labels=("up", "down")), student=student, task=TASK)


def test_other_head_counts_are_refused_unless_attention_weighs_nothing(tmp_path):
    student, teacher = tiny.bert(2, 32, 2, seed=2), tiny.bert(4, 64, 4, seed=1)
    with pytest.raises(InputError, match="student has 2 attention heads and the teacher 4") as caught:
        go(student, tmp_path, method=FeatureMethod(), teacher=teacher)
    assert "attention_weight to 0" in caught.value.fix
    result, _ = go(student, tmp_path, method=FeatureMethod(attention_weight=0), teacher=teacher)
    assert result.steps == 3


def test_patient_needs_a_cls_token(tmp_path):
    teacher = tiny.bert(3, kind="GPT2")
    teacher.tokenizer.cls_token = None
    with pytest.raises(InputError, match=r"has no \[CLS\] token"):
        go(tiny.bert(2), tmp_path, method=PatientMethod(), teacher=teacher)


@pytest.mark.parametrize("kind", ["DistilBert", "MobileBert", "Albert", "GPT2"])
def test_other_families_teach_and_learn(kind, tmp_path):
    result, _ = go(tiny.bert(2, 32, seed=2), tmp_path / "t", method=LogitMethod(), teacher=tiny.bert(3, kind=kind))
    assert result.steps == 3
    if kind != "GPT2":
        method = FeatureMethod(layer_mapping=[(1, 2), (2, 3)])
        go(tiny.bert(2, kind=kind), tmp_path / "s", method=method, teacher=tiny.bert(3, 64, seed=1))


# --- relations ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("student", "teacher", "heads"),
    [(768, 768, 48), (384, 768, 48), (128, 768, 32), (512, 768, 32), (768, 1024, 64), (256, 1024, 64), (312, 768, 24)],
)
def test_relation_heads_divide_both_widths(student, teacher, heads):
    assert methods.relation_heads(student, teacher) == heads


def test_relations_are_those_of_the_models_own_projections(tmp_path):
    """Against queries, keys and values worked out by hand from the hidden states and weights."""
    student, teacher = tiny.bert(2, 32, 2, seed=2, dropout=0.0), tiny.bert(4, 48, 4, seed=1)
    data = tiny.encoded(8)
    batch = collate(data, np.arange(8), pad_token_id=0)
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask", "token_type_ids")}

    def relations(loaded, layer, part):
        with torch.no_grad():
            states = loaded.model(**inputs, output_hidden_states=True).hidden_states[layer - 1]
            vectors = getattr(loaded.model.bert.encoder.layer[layer - 1].attention.self, part)(states)
        split = vectors.view(8, -1, 16, vectors.shape[-1] // 16).transpose(1, 2)
        scores = split @ split.transpose(-1, -2) / split.shape[-1] ** 0.5
        return scores.masked_fill(batch["attention_mask"][:, None, None] == 0, -1e30).softmax(-1)

    method = METHODS["relations"](relation_weight=0.25)
    _, events = go(student, tmp_path, method=method, teacher=teacher, data=data, epochs=2)
    told = first(events)
    assert told["loss"] == pytest.approx(0.25 * sum(told["parts"][name] for name in ("q-q", "k-k", "v-v")))
    fresh = tiny.bert(2, 32, 2, seed=2, dropout=0.0)
    for part, name in (("query", "q-q"), ("key", "k-k"), ("value", "v-v")):
        p, q = relations(teacher, 4, part), relations(fresh, 2, part)
        rows = (p * ((p + 1e-30) / (q + 1e-30)).log()).sum(-1).mean(1)
        expected = (rows * batch["attention_mask"]).sum() / batch["attention_mask"].sum()
        assert first(events)["parts"][name] == pytest.approx(expected.item(), rel=1e-3)


@pytest.mark.parametrize("name", ["feature", "relations"])
def test_answers_throughout_are_the_logit_methods_beside_the_first_stages_own(name, tmp_path):
    teacher = tiny.bert(2, 32, seed=1)
    ways = {
        "answers": METHODS["logit"](temperature=1.0, kd_weight=1.0, ce_weight=0.0),
        "inside": METHODS[name](temperature=1.0, kd_weight=1.0, ce_weight=0.0),
        "both": METHODS[name](temperature=1.0, kd_weight=1.0, ce_weight=0.0, answers_throughout=True),
    }
    parts = {}
    for way, method in ways.items():
        student = tiny.bert(2, 32, seed=2, dropout=0.0)
        _, events = go(student, tmp_path / way, method=method, teacher=teacher, epochs=2)
        parts[way] = first(events)["parts"]
    assert parts["both"] == pytest.approx(parts["answers"] | parts["inside"])
    assert not set(parts["answers"]) & set(parts["inside"])


def test_relations_refuse_what_cant_be(tmp_path):
    student, teacher = tiny.bert(2, 32, 2, seed=2), tiny.bert(4, 48, 4, seed=1)
    with pytest.raises(
        InputError, match=r"5 relation heads don't divide the widths of student \(32\) and teacher \(48\)"
    ):
        go(student, tmp_path, method=METHODS["relations"](relation_heads=5), teacher=teacher)
    with pytest.raises(InputError, match="no layer 5: its layers are numbered 1 to 4"):
        go(student, tmp_path, method=METHODS["relations"](teacher_layer=5), teacher=teacher)
    loaded, encoded = other_vocabulary()
    with pytest.raises(InputError, match="'relations' compares teacher and student token by token"):
        go(student, tmp_path, method=METHODS["relations"](),
           teacher=Teacher(loaded, student=student, task=TASK, encoded=encoded))  # fmt: skip


# --- schedule -----------------------------------------------------------------------------------------------------


def test_learning_rate_rises_and_falls_in_each_stage():
    rates = [schedule.learning_rate(step, 10, peak=1.0, warmup_ratio=0.2) for step in range(10)]
    assert rates == pytest.approx([0.5, 1.0, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125])
    assert schedule.learning_rate(0, 1, peak=2.0, warmup_ratio=0.9) == 2.0


def test_stage_ends():
    two = (methods.Stage("a", 0.5), methods.Stage("b", 0.5))
    assert schedule.stage_ends(two, 10) == [5, 10] and schedule.stage_ends(two, 2) == [1, 2]
    assert schedule.stage_ends((methods.Stage("a", 0.01), methods.Stage("b", 0.99)), 10) == [1, 10]
    assert schedule.stage_ends((methods.Stage("a", 0.99), methods.Stage("b", 0.01)), 10) == [9, 10]
    assert schedule.stage_ends(two, 1) == [0, 1]


# --- sentence pairs and half precision ----------------------------------------------------------------------------


def test_a_bert_teacher_gets_segments_though_the_student_takes_none(tmp_path):
    """DistilBERT's tokenizer cuts the pairs for both: what the teacher hears must be what its own tokenizer gives."""
    student, teacher = tiny.bert(2, kind="DistilBert", seed=2), tiny.bert(3, seed=1)
    student.tokenizer = tiny.tokenizer(kind="DistilBertTokenizer")
    checkpoint.save(student.model, student.tokenizer, tmp_path / "s", meta={"name": "s", "kind": "finetuned"})
    student = checkpoint.load(tmp_path / "s", task=TASK)
    texts, pairs = ["the movie was good", "bad plot"], ["very fine actor", "the scene is poor and awful"]
    data = encode(Examples(texts, pairs), student.tokenizer, 32, cache=False)
    asked = Teacher(teacher, student=student, task=TASK)
    assert asked.same_tokens
    out = asked.outputs(np.arange(2), collate(data, np.arange(2), pad_token_id=0), Needs())
    own = teacher.tokenizer(texts, pairs, padding=True, return_tensors="pt")
    assert own["token_type_ids"].any()
    with torch.no_grad():
        assert torch.allclose(out.logits, teacher.model(**own).logits, atol=1e-6)


def test_fp16_scales_the_loss_and_resumes(tmp_path):
    ends = []
    for cut in (False, True):
        student, folder = tiny.bert(2, 32, seed=2), tmp_path / str(cut)
        if cut:
            stops = iter([False, True])
            with pytest.raises(RunStopped):
                go(student, folder, precision="fp16", epochs=2, should_stop=lambda stops=stops: next(stops))
            student = tiny.bert(2, 32, seed=2)
        result, _ = go(student, folder, precision="fp16", epochs=2)
        assert result.precision == "fp16" and result.steps == 6
        ends.append(tiny.weights(student.model))
    assert all(torch.equal(weight, ends[1][key]) for key, weight in ends[0].items())
