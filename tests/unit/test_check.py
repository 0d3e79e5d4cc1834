"""Everything that would go wrong, found before anything starts: each problem with its field and its fix."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from qtinker import anchor, api, check, home, shapes
from qtinker.errors import InputError, SpecError
from qtinker.spec import RunSpec
from safetensors.numpy import save_file

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", "film"]


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    """Processes that a test starts find the package too."""
    monkeypatch.setenv("PYTHONPATH", str(Path(check.__file__).parents[1]))


def make(name: str, *, layers=4, hidden=32, heads=4, labels=None, words=WORDS, **config) -> Path:
    """A model folder as far as `check` reads it: config, headers, tokenizer."""
    folder = home.models_dir() / "hub" / name
    folder.mkdir(parents=True)
    content = {
        "model_type": "bert", "num_hidden_layers": layers, "hidden_size": hidden, "num_attention_heads": heads,
        "intermediate_size": 4 * hidden, "max_position_embeddings": 512, "vocab_size": len(words),
        "architectures": ["BertModel" if labels is None else "BertForSequenceClassification"],
    }  # fmt: skip
    if labels is not None:
        content["id2label"] = {str(number): label for number, label in enumerate(labels)}
    (folder / "config.json").write_text(json.dumps(content | config))
    prefix = "" if labels is None else "bert."
    tensors = {f"{prefix}encoder.weight": np.zeros(layers * 12 * hidden * hidden, np.float32)}
    if labels is not None:
        tensors["classifier.weight"] = np.zeros((len(labels), hidden), np.float32)
    save_file(tensors, folder / "model.safetensors")
    tokenizer = {
        "normalizer": {"type": "BertNormalizer", "lowercase": True, "strip_accents": None},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "model": {"type": "WordPiece", "vocab": {word: number for number, word in enumerate(words)}},
    }
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    return folder


@pytest.fixture
def data(tmp_path) -> Path:
    rows = [f"a {'good' if number % 2 else 'bad'} film number {number},{'yes' if number % 2 else 'no'}"
            for number in range(60)]  # fmt: skip
    path = tmp_path / "reviews.csv"
    path.write_text("text,label\n" + "\n".join(rows) + "\n")
    return path


def spec(file, **changes) -> RunSpec:
    content = {"teacher": {"model": "teacher"}, "student": {"model": "small"}, "data": {"train": str(file)}}
    for key, value in changes.items():
        content[key] = {**content[key], **value} if isinstance(value, dict) and key in content else value
    return RunSpec.parse(content)


def found(run_spec, level="error") -> dict[str, str]:
    return {p.field: f"{p.message} {p.fix}".strip() for p in check.check(run_spec) if p.level == level}


@pytest.fixture
def pair():
    make("teacher", labels=["no", "yes"])
    make("small", layers=2)


def test_texts_without_labels_are_counted_and_need_a_teacher(data, pair, tmp_path):
    more = tmp_path / "more.txt"
    more.write_text("\n".join(f"an unlabelled film of number {number}" for number in range(40)))
    plain, larger = check.preflight(spec(data)), check.preflight(spec(data, data={"unlabelled": str(more)}))
    assert larger.problems == []
    assert larger.estimate.examples == plain.estimate.examples + 40
    assert larger.estimate.steps > plain.estimate.steps
    wrong = spec(data, data={"unlabelled": [str(more), "absent.txt"]})
    assert "absent.txt" in found(wrong)["data.unlabelled"]
    weightless = spec(data, data={"unlabelled": str(more)}, method={"name": "logit", "kd_weight": 0})
    assert "teach nothing" in found(weightless, level="warning")["method.kd_weight"]
    alone = RunSpec.parse({"student": {"model": "small"}, "data": {"train": str(data), "unlabelled": str(more)}})
    assert "from a teacher, and there is none" in found(alone)["data.unlabelled"]


def test_variants_need_a_masked_language_model_and_a_teacher(data, pair):
    assert (
        "no head that guesses hidden words" in found(spec(data, data={"augment_model": "small"}))["data.augment_model"]
    )
    assert "nowhere" in found(spec(data, data={"augment_model": "nowhere"}))["data.augment_model"]
    alone = RunSpec.parse({"student": {"model": "small"}, "data": {"train": str(data), "augment_model": "small"}})
    assert "there is none" in found(alone)["data.augment_model"]


def test_pretrained_teachers_guess_hidden_words_with_one_vocabulary(tmp_path):
    texts = tmp_path / "texts.txt"
    texts.write_text("\n".join(f"a good film of number {number}" for number in range(60)))
    for name, words in (("one", WORDS), ("two", WORDS), ("other", [*WORDS, "plot"])):
        folder = make(name, words=words, architectures=["BertForMaskedLM"])
        save_file({"cls.predictions.bias": np.zeros(len(words), np.float32)}, folder / "model.safetensors")
    make("bare")

    def asked(*also):
        wanted = spec(texts, teacher={"model": "one", "also": list(also)}, student={"model": None, "layers": [0, 1]},
                      task={"type": "masked-lm"})  # fmt: skip
        return found(wanted)

    assert asked("two") == {}
    assert asked("other")["teacher.also"].startswith("masked language modelling is answered with tokens")
    assert "one and other have different ones" in asked("two", "other")["teacher.also"]
    assert asked("bare")["teacher.also"].startswith("bare has no trained head")


def test_new_pairs_need_a_teacher_and_take_time_where_there_are_pairs(data, pair, tmp_path):
    alone = RunSpec.parse({"student": {"model": "small"}, "data": {"train": str(data), "new_pairs": 2}})
    assert "there is none" in found(alone)["data.new_pairs"]
    single = [check.preflight(spec(data, data={"new_pairs": count})).estimate.steps for count in (0, 2)]
    assert single[0] == single[1], "single texts get no new pairs"
    both = tmp_path / "both.csv"
    both.write_text(
        "sentence1,sentence2,label\n"
        + "".join(f"a text of number {n},and another {n},{'yes' if n % 2 else 'no'}\n" for n in range(200))
    )
    steps = [check.preflight(spec(both, data={"new_pairs": count})).estimate.steps for count in (0, 2)]
    assert steps[1] > 2.5 * steps[0]


def test_a_good_spec_has_no_problem_and_an_estimate(data, pair):
    findings = check.preflight(spec(data))
    assert findings.problems == []
    made = findings.estimate
    assert made is not None
    assert (made.steps, made.examples) == (6, 54)  # 60 rows, a tenth split off, batches of 32, 3 epochs
    assert made.student_parameters == 2 * 12 * 32 * 32
    assert made.teacher_parameters == 4 * 12 * 32 * 32 + 2 * 32
    assert made.speed_up == 2.0
    assert made.seconds > 0
    assert made.memory_bytes > 16 * made.student_parameters
    assert json.loads(json.dumps(findings.to_dict()))["ok"] is True


def test_problems_come_all_at_once(data):
    problems = found(spec("missing.csv", training={"device": "mps"}))
    assert set(problems) >= {"teacher.model", "student.model", "data.train"}
    assert "missing.csv" in problems["data.train"]
    assert "There is no model 'teacher'" in problems["teacher.model"]


def test_a_catalog_model_that_is_not_here_names_the_download(data, pair):
    problems = found(spec(data, student={"model": "bert-tiny"}))
    assert problems == {
        "student.model": "The model bert-tiny is not here yet. Fetch it: python3 app download bert-tiny"
    }


def test_an_untrained_teacher(data):
    make("teacher")
    make("small", layers=2)
    problems = found(spec(data))
    assert list(problems) == ["teacher.model"]
    assert f"python3 app finetune teacher --data {data}" in problems["teacher.model"]
    assert found(spec(data, teacher={"finetune": True})) == {}


def test_a_teacher_whose_config_does_not_name_its_head(data):
    make("teacher", labels=["no", "yes"], architectures=None)
    make("small", layers=2)
    problems = found(spec(data))
    assert list(problems) == ["teacher.model"]
    assert "does not say what the model's head is for: it names no architectures." in problems["teacher.model"]
    assert found(spec(data, teacher={"finetune": True})) == {}
    make("first", labels=["no", "yes"])
    problems = found(spec(data, teacher={"model": "first", "also": ["teacher"]}))
    assert "does not say what the model's head is for" in problems["teacher.also"]


def test_other_labels(data):
    make("teacher", labels=["cat", "dog"])
    make("small", layers=2)
    problem = found(spec(data))["teacher.model"]
    for label in ("cat", "dog", "yes", "no"):
        assert repr(label) in problem
    assert found(spec(data, teacher={"finetune": True})) == {}


def test_nameless_labels_are_counted(data):
    make("teacher", labels=["LABEL_0", "LABEL_1", "LABEL_2"])
    make("small", layers=2)
    assert "3 labels, and the data has 2: no, yes" in found(spec(data))["teacher.model"]


def test_a_column_that_is_not_there(data, pair):
    problems = found(spec(data, data={"label_column": "stars"}))
    assert list(problems) == ["data.label_column"]
    assert "'text', 'label'" in problems["data.label_column"]


def test_a_missing_evaluation_file(data, pair):
    assert "no file gone.csv" in found(spec(data, data={"eval": "gone.csv"}))["data.eval"]


@pytest.mark.parametrize(
    ("layers", "problem"), [([0, 4], "has no layer 4: its 4 layers are numbered 0 to 3"), ([0, 3], None)]
)
def test_layers_to_keep(data, pair, layers, problem):
    problems = found(spec(data, student={"model": None, "layers": layers}))
    assert problems == {} if problem is None else problem in problems["student.layers"]


def test_an_albert_is_not_cut(data, pair):
    make("albert", model_type="albert")
    assert "ALBERT" in found(spec(data, student={"model": "albert", "layers": [0]}))["student.layers"]


def test_a_shape_without_a_teacher(data, pair):
    problems = found(RunSpec.parse({"student": {"shape": "L-2_H-32_A-4"}, "data": {"train": str(data)}}))
    assert list(problems) == ["student.shape"]


@pytest.mark.parametrize(
    ("training", "told"),
    [({}, True), ({"learning_rate": 1e-3}, False), ({"batch_size": 1, "epochs": 9999}, False)],
)
def test_random_weights_want_a_larger_learning_rate(data, pair, training, told):
    shaped = {"student": {"model": None, "shape": "L-2_H-32_A-4"}, "training": training}
    warnings = found(spec(data, **shaped), "warning")
    assert ("training.learning_rate" in warnings) is told
    if told:
        assert "5e-05 teaches little" in warnings["training.learning_rate"]
    cut = {"student": {"model": None, "layers": [0, 3]}, "training": training}
    assert "training.learning_rate" not in found(spec(data, **cut), "warning")


@pytest.mark.parametrize(
    ("method", "field", "words"),
    [
        ({"name": "patient", "layer_mapping": "1:9"}, "method.layer_mapping", "teacher has layers 1 to 4"),
        ({"name": "patient", "layer_mapping": "3:1"}, "method.layer_mapping", "student has layers 1 to 2"),
        ({"name": "relations", "teacher_layer": 5}, "method.teacher_layer", "numbered 1 to 4"),
        ({"name": "relations", "relation_heads": 5}, "method.relation_heads", "a divisor of 32"),
        ({"name": "feature", "layer_mapping": "1:5"}, "method.layer_mapping", "teacher has layers 1 to 4"),
    ],
)
def test_layers_and_heads_that_these_models_do_not_have(data, pair, method, field, words):
    problems = found(spec(data, method=method))
    assert list(problems) == [field]
    assert words in problems[field]


@pytest.mark.parametrize(
    ("form", "field"),
    [({"soft_loss": "dist"}, "soft_loss"), ({"standardize_logits": True}, "standardize_logits"),
     ({"soft_loss": "mse"}, None)],
)  # fmt: skip
def test_a_form_of_the_loss_that_does_not_suit_the_classes_before_a_teacher_is_finetuned(data, pair, form, field):
    problems = found(spec(data, teacher={"finetune": True}, method={"name": "logit", **form}))
    assert list(problems) == ([] if field is None else [f"method.{field}"])
    assert field is None or "with 2 it would erase how sure the teacher is" in problems[f"method.{field}"]


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"teacher": {"epochs": 9, "cache_gb": 1}}, ["teacher.epochs", "teacher.cache_gb"]),
        ({"teacher": {"epochs": 9, "finetune": True, "cache_gb": 1}, "method": {"name": "triple"}}, []),
        ({"data": {"augment_variants": 20, "stride": 16}}, ["data.augment_variants", "data.stride"]),
        ({"task": {"class_weights": "balanced"}, "method": {"name": "feature"}}, ["task.class_weights"]),
        ({"task": {"class_weights": "balanced"}, "method": {"name": "logit", "temperature": 8}}, []),
        ({"method": {"name": "logit", "soft_loss": "mse", "temperature": 8}}, ["method.temperature"]),
        ({"method": {"name": "logit", "kd_weight": 0, "temperature_end": 1}}, ["method.temperature_end"]),
        ({"method": {"name": "relations", "intermediate_share": 0, "relation_heads": 4}}, ["method.relation_heads"]),
    ],
)
def test_settings_without_effect_beside_the_others_are_told(data, pair, changes, fields):
    assert [field for field in found(spec(data, **changes), "warning") if field != "student.layers"] == fields


@pytest.mark.parametrize("number", [".inf", ".nan"])
def test_numbers_that_are_none_are_refused(tmp_path, number):
    file = tmp_path / "run.yaml"
    file.write_text(f"student: {{model: small}}\ndata: {{train: sample}}\nmethod: {{name: logit, ce_weight: {number}}}")
    with pytest.raises(SpecError, match=r"method\.ce_weight: must be a finite number"):
        RunSpec.load(file)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("training: {epochs: 9}\ntraining: {batch_size: 8}", "'training' stands there twice"),
        ("training: {seed: 1, epochs: 2, seed: 3}", "'seed' stands there twice"),
        ("method: patient", "method: it needs a name, one of: logit, patient"),
        ("method: {temperature: 4}", "method: it needs a name, one of: logit, patient"),
        ("method: {name: Logit}", "Write it as method: {name: logit}."),
        ("method: {name: patient, layer_mapping: 1:2}", 'in YAML a single pair wants quotes, "1:2"'),
        ("method: {name: patient, layer_mapping: [1, 2]}", "[1, 2] is no layer mapping"),
        ("training:", "training: expected settings with their values, found nothing"),
    ],
)
def test_slips_of_a_spec_in_yaml_are_told_in_words(tmp_path, lines, words):
    file = tmp_path / "run.yaml"
    file.write_text(f"student: {{model: small}}\ndata: {{train: sample}}\n{lines}\n")
    with pytest.raises(InputError, match=re.escape(words)):
        RunSpec.load(file)


def test_a_student_deeper_than_the_teacher(data, pair):
    make("deep", layers=6)
    assert "6 layers and the teacher 4" in found(spec(data, student={"model": "deep"}, method={"name": "patient"}))[
        "method.layer_mapping"
    ]  # fmt: skip


def test_different_vocabularies_under_feature(data, pair):
    make("foreign", layers=2, words=[*WORDS[:-1], "movie"])
    for name in ("feature", "relations"):
        wanted = spec(data, student={"model": "foreign"}, method={"name": name})
        assert "different vocabularies" in found(wanted)["method.name"]
    assert found(spec(data, student={"model": "foreign"}, method={"name": "logit"})) == {}


def test_different_vocabularies_where_answers_are_places_in_a_context(pair, tmp_path):
    make("foreign", layers=2, words=[*WORDS[:-1], "movie"])
    answer = {"id": "1", "question": "how", "answers": [{"text": "good", "answer_start": 2}]}
    paragraphs = [{"context": f"a good film number {number}", "qas": [answer]} for number in range(60)]
    path = tmp_path / "squad.json"
    path.write_text(json.dumps({"data": [{"title": "x", "paragraphs": paragraphs}]}))

    def told(method):
        teacher = {"model": "teacher", "finetune": True}
        return found(spec(path, teacher=teacher, student={"model": "foreign"}, method={"name": method}))

    assert "different windows. Use the method 'logit', or" in told("patient")["method.name"]
    assert "different vocabularies. Use the method 'logit', or" in told("relations")["method.name"]
    assert told("logit") == {}


def test_a_student_cut_from_other_layers_than_it_imitates_is_told(data, pair):
    # two of four layers: the paper's uniform mapping is to layers 2 and 4, which are 1 and 3 counted from 0
    def told(layers, **method):
        return found(spec(data, student={"model": None, "layers": layers}, method=method), level="warning")

    warning = told("0,2", name="feature")["student.layers"]
    assert "begins as layers 0,2 of the teacher and imitates layers 1,3" in warning and "Set it to 1,3" in warning
    assert not found(spec(data, student={"model": None, "layers": "0,2"}, method={"name": "feature"}))
    assert "student.layers" not in told("1,3", name="feature") | told("0,2", name="relations")
    assert "student.layers" not in told("0,2", name="feature", layer_mapping="1:1,2:3")
    assert "student.layers" not in told("0,2", name="feature", intermediate_share=0)
    assert "student.layers" not in told("0,2", name="feature", layer_mapping="cut")


def test_imitating_the_layers_that_one_was_cut_from(data):
    def pairs(method, **student):
        return spec(data, student={"model": None, **student}, method={"name": method, "layer_mapping": "cut"})

    assert pairs("feature", layers="0,2,3").method.layer_mapping == [(1, 1), (2, 3), (3, 4)]
    assert pairs("patient", layers="0,2,3").method.layer_mapping == [(1, 1), (2, 3)], "Patient KD leaves out the last"
    for student in ({"model": "small"}, {"model": "small", "layers": "0,1"}, {"shape": "L-2_H-32_A-2"}):
        with pytest.raises(SpecError, match=r"give student\.layers \(--student-layers\) without a student model"):
            pairs("feature", **student)
    with pytest.raises(SpecError, match="'cut' leaves the last layer out, and the student has no other"):
        pairs("patient", layers="1")


def test_different_head_counts_under_feature(data, pair):
    make("heads", layers=2, heads=2)
    wanted = {"student": {"model": "heads"}, "method": {"name": "feature"}}
    assert "2 attention heads and the teacher 4" in found(spec(data, **wanted))["method.attention_weight"]
    wanted["method"] = {"name": "feature", "attention_weight": 0.0}
    assert found(spec(data, **wanted)) == {}


def test_exports_are_no_teachers(data, pair):
    folder = make("packed-file", labels=["no", "yes"])
    (folder / "model.safetensors").rename(folder / "model.onnx")
    (folder / "qtinker.json").write_text(json.dumps({"name": "packed-file", "export": {"source": "teacher"}}))
    told = found(spec(data, teacher={"model": "packed-file"}))["teacher.model"]
    assert "is an export" in told and "made from, teacher." in told


def test_other_kinds_of_models_are_refused_before_they_are_trained(data, pair):
    make("electra", model_type="electra")
    told = found(spec(data, teacher={"model": "electra", "finetune": True}))["teacher.model"]
    assert "type 'electra', which is not supported. Supported are bert, " in told


def test_a_gpt2_guesses_no_hidden_words(data, pair):
    make("gpt", layers=2, model_type="gpt2")
    wanted = spec(data, teacher=None, student={"model": "gpt"}, task={"type": "masked-lm"})
    assert "no head for hidden ones" in found(wanted)["task.type"]


def test_a_scheme_that_nothing_here_makes_is_told_before_the_training(data, pair, monkeypatch):
    wanted = spec(data, quantize=[{"scheme": "int8-dynamic"}, {"scheme": "int8-static"}])
    monkeypatch.setattr("qtinker.runtime.extras.has", lambda module: module == "onnxruntime")
    told = [each for each in check.check(wanted) if each.field == "quantize"]
    assert [each.level for each in told] == ["error"], "the other is made by what comes with the program"
    assert told[0].message == "openvino makes int8-static with openvino and nncf, which are not installed."
    assert "extras openvino" in told[0].fix
    monkeypatch.setattr("qtinker.runtime.extras.has", lambda module: module in ("openvino", "nncf"))
    assert not [each for each in check.check(wanted) if each.field == "quantize"]


def test_an_engine_that_does_not_make_a_scheme_is_told_before_training(data):
    wanted = spec(data, quantize=[{"scheme": "nf4", "engine": "onnxruntime"}])
    told = [each for each in check.check(wanted) if each.field == "quantize"]
    assert [each.message for each in told] == ["The engine 'onnxruntime' can't make nf4."]


def test_quantized_models_are_no_students(data, pair):
    folder = make("packed", layers=2, quantization_config={"quant_method": "torchao"})
    assert "is quantized" in found(spec(data, student={"model": "packed"}))["student.model"]
    meta = {"name": "packed", "quantization": {"source": "small"}}
    (folder / "qtinker.json").write_text(json.dumps(meta))
    assert found(spec(data, student={"model": "packed"}))["student.model"].endswith("that it was made from, small.")


def test_a_damaged_model_is_named(data, pair):
    folder = make("cut", layers=2)
    (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:-8])
    assert "truncated" in found(spec(data, student={"model": "cut"}))["student.model"]


def test_warnings_do_not_stop(data, pair):
    make("wide", layers=4, hidden=64)
    make("short", layers=2, max_position_embeddings=64)
    assert "is bigger than the teacher" in found(spec(data, student={"model": "wide"}), "warning")["student.model"]
    warnings = found(spec(data, student={"model": "short"}, training={"batch_size": 100}), "warning")
    assert "64 positions" in warnings["data.max_length"]
    assert "more than the 54 training examples" in warnings["training.batch_size"]
    both = spec(data, teacher={"model": "short"}, student={"layers": [0]})
    told = [each.message for each in check.check(both) if "positions" in each.message]
    assert told == ["short has 64 positions: texts are cut to that."], "once, not of teacher and student"
    assert found(spec(data, student={"model": "short"}, training={"batch_size": 100})) == {}


def test_more_micro_batches_than_examples(data, pair):
    problems = found(spec(data, training={"batch_size": 4, "gradient_accumulation": 8}))
    assert list(problems) == ["training.gradient_accumulation"]


def test_a_device_that_is_not_here(data, pair, monkeypatch):
    monkeypatch.setattr(check, "_nvidia", lambda: False)
    monkeypatch.setattr(sys, "platform", "linux")
    assert "no NVIDIA driver" in found(spec(data, training={"device": "cuda:1"}))["training.device"]
    assert "no device mps" in found(spec(data, training={"device": "mps"}))["training.device"]


def test_a_full_disk(data, pair, monkeypatch):
    usage = check.shutil.disk_usage(home.home().parent)
    monkeypatch.setattr(check.shutil, "disk_usage", lambda path: usage._replace(free=1000))
    assert re.search(r"needs about \d+\.\d kB on the disk, and 1\.0 kB are free", found(spec(data))["spec"])


def test_unlabelled_texts(tmp_path, pair):
    path = tmp_path / "texts.txt"
    path.write_text("\n".join(f"a film number {number}" for number in range(40)))
    classes = {"type": "classification"}
    assert "no column" in found(spec(path, teacher=None, task=classes))["data.train"].lower()


def test_the_api_raises_all_errors_and_makes_no_folder(pair):
    with pytest.raises(SpecError) as caught:
        api.create_run(spec("missing.csv", training={"batch_size": 2, "gradient_accumulation": 4}))
    assert {problem.field for problem in caught.value.problems} == {"data.train"}
    assert not home.runs_dir().exists()


def test_files_become_absolute_names_stay(data, pair, monkeypatch):
    monkeypatch.chdir(data.parent)
    folder = make("elsewhere", layers=2)
    moved = folder.rename(data.parent / "elsewhere")
    anchored = anchor.run_spec(spec("reviews.csv", student={"model": "elsewhere"}, data={"eval": "reviews.csv"}))
    assert anchored.data.train == anchored.data.eval == str(data)
    assert anchored.student.model == str(moved)
    assert anchored.teacher is not None
    assert anchored.teacher.model == "teacher"
    assert anchor.run_spec(spec("sample")).data.train == "sample"


def test_shapes_of_cut_and_named_students(pair):
    teacher = shapes.read(home.models_dir() / "hub" / "teacher")
    assert (teacher.layers, teacher.trained, teacher.labels) == (4, True, ("no", "yes"))
    half = shapes.cut(teacher, 2)
    assert (half.layers, half.encoder, half.trained) == (2, teacher.encoder // 2, False)
    named = shapes.named("L-2_H-16_A-2", teacher)
    assert (named.layers, named.hidden, named.heads, named.encoder) == (2, 16, 2, 2 * 12 * 16 * 16)


def test_checking_needs_no_torch(data, pair):
    code = (
        "import sys; from qtinker import check; from qtinker.spec import RunSpec; "
        f"found = check.check(RunSpec.parse({spec(data, method={'name': 'feature'}).model_dump()!r})); "
        "print([str(p) for p in found], sorted({'torch', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] []"
