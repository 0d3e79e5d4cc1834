"""Students cut from layers, made from a shape, or loaded: exactly the weights that were asked for."""

from __future__ import annotations

import pytest
import tiny
import torch
import transformers
from qtinker import checkpoint
from qtinker.distill.students import build_student, cut_layers
from qtinker.errors import InputError
from qtinker.spec import StudentSpec
from qtinker.tasks import TASKS

TASK = tiny.task()
LAYER_LISTS = {
    "Bert": "bert.encoder.layer",
    "DistilBert": "distilbert.transformer.layer",
    "MobileBert": "mobilebert.encoder.layer",
}


@pytest.mark.parametrize("kind", list(LAYER_LISTS))
def test_cut_copies_embeddings_chosen_layers_pooler_and_head(kind):
    teacher = tiny.bert(4, kind=kind)
    before = tiny.weights(teacher.model)
    student = build_student(StudentSpec(layers=[0, 3]), teacher, task=TASK, seed=1)
    assert student.model.config.num_hidden_layers == 2 and not student.new_head
    stem, seen = LAYER_LISTS[kind], set()
    for name, weight in tiny.weights(student.model).items():
        source = name
        if name.startswith(stem + "."):
            place, rest = name.removeprefix(stem + ".").split(".", 1)
            source = f"{stem}.{[0, 3][int(place)]}.{rest}"
        assert torch.equal(weight, before[source]), name
        seen.add(source)
    left_out = {name for name in before if name.startswith((f"{stem}.1.", f"{stem}.2."))}
    assert seen == set(before) - left_out
    with torch.no_grad():  # a student of its own: training it does not touch the teacher
        for parameter in student.model.parameters():
            parameter.add_(1)
    assert all(torch.equal(weight, before[name]) for name, weight in tiny.weights(teacher.model).items())


def test_all_layers_give_the_same_model():
    teacher = tiny.bert(3)
    student = cut_layers(teacher, [0, 1, 2], task=TASK)
    ids = torch.randint(5, 20, (2, 6))
    with torch.no_grad():
        assert torch.equal(student.model(input_ids=ids).logits, teacher.model(input_ids=ids).logits)


def test_a_layer_that_is_not_there_is_refused_with_the_count():
    with pytest.raises(InputError, match=r"no layer 4: its 4 layers are numbered 0 to 3"):
        build_student(StudentSpec(layers=[0, 4]), tiny.bert(4), task=TASK, seed=1)


def test_albert_has_no_layers_to_cut():
    with pytest.raises(InputError, match="one and the same set of weights"):
        cut_layers(tiny.bert(4, kind="Albert"), [0, 1], task=TASK)


def test_other_labels_get_a_new_head_from_the_seed():
    teacher = tiny.bert(2)
    three = tiny.task(("a", "b", "c"))
    first, again, other = (
        build_student(StudentSpec(layers=[0]), teacher, task=three, seed=seed).model.classifier for seed in (1, 1, 2)
    )
    assert first.out_features == 3
    assert torch.equal(first.weight, again.weight) and not torch.equal(first.weight, other.weight)


def test_shape_takes_the_teachers_vocabulary():
    teacher = tiny.bert(4, 64)
    spec = StudentSpec(shape="L-2_H-16_A-2")
    student, again = (build_student(spec, teacher, task=TASK, seed=5) for _ in range(2))
    config = student.model.config
    assert (config.num_hidden_layers, config.hidden_size, config.num_attention_heads) == (2, 16, 2)
    assert config.intermediate_size == 64 and config.vocab_size == teacher.model.config.vocab_size
    assert student.tokenizer("good movie")["input_ids"] == teacher.tokenizer("good movie")["input_ids"]
    assert student.labels == list(tiny.LABELS) and student.new_head
    assert torch.equal(student.model.classifier.weight, again.model.classifier.weight)


def test_shape_without_a_teacher_is_refused():
    with pytest.raises(InputError, match="needs a teacher"):
        build_student(StudentSpec(shape="L-2_H-16_A-2"), None, task=TASK, seed=1)


def test_student_from_a_folder_with_and_without_layers(tmp_path):
    source = tiny.bert(3)
    checkpoint.save(source.model, source.tokenizer, tmp_path / "m", meta={"name": "m", "kind": "finetuned"})
    whole = build_student(StudentSpec(model=str(tmp_path / "m")), None, task=TASK, seed=1)
    assert torch.equal(whole.model.classifier.weight, source.model.classifier.weight)
    cut = build_student(StudentSpec(model=str(tmp_path / "m"), layers=[2]), tiny.bert(2, seed=9), task=TASK, seed=1)
    assert torch.equal(
        cut.model.bert.encoder.layer[0].output.dense.weight, source.model.bert.encoder.layer[2].output.dense.weight
    )


@pytest.mark.parametrize("head", ["SequenceClassification", "TokenClassification", "MaskedLM"])
def test_a_distilbert_of_all_layers_says_of_one_text_what_its_bert_says(head):
    """No token-type embeddings: those of the first text are in the position embeddings."""
    source = tiny.bert(3, seed=4)
    if head != "SequenceClassification":
        torch.manual_seed(0)
        source.model = getattr(transformers, f"BertFor{head}")(source.model.config).eval()
    kinds = {"TokenClassification": "token-classification", "MaskedLM": "masked-lm"}
    task = TASKS[kinds[head]](tiny.LABELS if head == "TokenClassification" else ()) if head in kinds else TASK
    with torch.no_grad():
        source.model.bert.embeddings.token_type_embeddings.weight.normal_()
    student = build_student(StudentSpec(layers=[0, 1, 2], architecture="distilbert"), source, task=task, seed=1)
    assert type(student.model).__name__ == f"DistilBertFor{head}"
    assert student.new_head == (head == "SequenceClassification")
    ids = torch.randint(5, 20, (2, 6))
    with torch.no_grad():
        mine = student.model(input_ids=ids, output_hidden_states=True)
        its = source.model(input_ids=ids, output_hidden_states=True)
    assert len(mine.hidden_states) == 4
    for left, right in zip(mine.hidden_states, its.hidden_states, strict=True):
        assert torch.allclose(left, right, atol=1e-5)
    if head != "SequenceClassification":  # the head for whole texts is another one in DistilBERT
        assert torch.allclose(mine.logits, its.logits, atol=1e-5)


def test_a_distilbert_keeps_the_layers_that_were_chosen():
    source = tiny.bert(4, seed=4)
    student = build_student(StudentSpec(layers=[0, 3], architecture="distilbert"), source, task=TASK, seed=1)
    layers = student.model.distilbert.transformer.layer
    assert len(layers) == 2
    last = source.model.bert.encoder.layer[3]
    assert torch.equal(layers[1].attention.q_lin.weight, last.attention.self.query.weight)
    assert torch.equal(layers[1].ffn.lin2.bias, last.output.dense.bias)
    assert student.model.config.id2label == dict(enumerate(tiny.LABELS))


def test_a_distilbert_of_something_else_is_refused():
    with pytest.raises(InputError, match="is no BERT but a mobilebert"):
        spec = StudentSpec(layers=[0], architecture="distilbert")
        build_student(spec, tiny.bert(2, kind="MobileBert"), task=TASK, seed=1)
    with pytest.raises(ValueError, match="made of layers"):
        StudentSpec(model="bert-tiny", architecture="distilbert")
