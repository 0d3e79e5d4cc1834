"""What the pages say of a model: how its folder is used without QTinker, and which versions of it are here."""

from __future__ import annotations

from pathlib import Path

import pytest
import task_data
from qtinker import checkpoint, registry
from qtinker.errors import InputError
from qtinker.ui import guard, models_page, quantize_page
from qtinker.ui.texts import Texts


def put(name: str, kind: str = "regression", group: str = "distilled", **meta: object) -> None:
    made = task_data.model_for(kind)
    with registry.staged(group, name) as folder:
        checkpoint.save(made.model, made.tokenizer, folder,
                        meta={"name": name, "kind": group, "task": {"type": kind, "labels": []}, **meta})  # fmt: skip


@pytest.mark.parametrize(("kind", "head"), [("regression", "SequenceClassification"), ("masked-lm", "MaskedLM")])
def test_a_pytorch_folder_is_loaded_by_the_lines_that_are_shown(kind, head):
    put("mine", kind)
    title, lines = models_page._use(registry.find("mine"))
    assert title == "models.load" and f"AutoModelFor{head}" in lines
    names: dict = {}
    exec(lines, names)  # as a user would paste them
    assert names["model"].config.model_type == "bert" and names["tokenizer"].mask_token == "[MASK]"


def test_an_export_is_run_by_its_own_example():
    put("mine")
    folder = registry.resolve("mine")
    (folder / "model.safetensors").rename(folder / "model.onnx")
    (folder / "example.py").write_text('"""Answers texts:  python example.py "a text" "another"\n"""')
    title, lines = models_page._use(registry.find("mine"))
    assert title == "models.run_example" and lines == f'cd "{folder.as_posix()}"\npython example.py "a text" "another"'
    assert Texts("en")(title).startswith("Answer texts")


def test_a_model_has_only_its_own_versions_beside_it(qtinker_home):
    """Two groups may have models of one name; the home may have moved since the versions were made."""
    for group in ("distilled", "finetuned"):
        put("same", group=group)
    name = {"source": {"model": "same"}}
    path = {"source_path": str(registry.resolve("distilled/same"))}
    put("a", group="quantized", quantization={"scheme": "int8-dynamic", **path}, **name)
    put("b", group="exported", export={"format": "onnx", **path}, **name)
    put("c", group="quantized", quantization={"source_path": "D:\\old\\bert_models\\finetuned\\same"}, **name)
    put("d", group="exported", export={"format": "onnx"}, **name)  # made before paths were recorded
    found = {
        group: {each.name for each in quantize_page.variants(f"{group}/same")} for group in ("distilled", "finetuned")
    }
    assert found == {"distilled": {"a", "b", "d"}, "finetuned": {"c", "d"}}


def test_the_automatic_engine_is_left_to_the_verb_which_measures_it(qtinker_home, monkeypatch):
    monkeypatch.setattr(quantize_page.tasks, "start", lambda verb, arguments, **how: arguments)
    put("mine")
    for given in ("auto", "", None):
        asked = quantize_page.begin("mine", "int8-dynamic", "", given)
        assert asked[asked.index("--engine") + 1] == "auto"
    with pytest.raises(InputError, match="'nope' can't make int8-dynamic"):
        quantize_page.begin("mine", "int8-dynamic", "", "nope")


def test_loose_files_are_found_again_when_the_name_is_corrected(qtinker_home, monkeypatch):
    monkeypatch.setattr(models_page.tasks, "start", lambda verb, arguments, **how: arguments[0])
    uploads = []
    for name in ("config.json", "model.safetensors"):
        uploads.append(guard.uploads_dir() / "a1b2" / name)
        uploads[-1].parent.mkdir(parents=True, exist_ok=True)
        uploads[-1].write_text(name)
    for wrong in ("", "my model"):
        with pytest.raises(InputError, match="name"):
            models_page.begin_import(uploads, wrong)
    for _ in range(2):
        folder = Path(models_page.begin_import(uploads, "my-model"))
        assert {each.name: each.read_text() for each in folder.iterdir()} == {each.name: each.name for each in uploads}


def test_a_damaged_model_is_not_offered_as_a_zip_that_would_be_refused(qtinker_home):
    put("mine")
    (registry.resolve("mine") / "model.safetensors").write_bytes(b"cut")
    _, detail, *_ = models_page.show("distilled/mine", Texts())
    assert "qt-note bad" in detail and "/download/model/" not in detail


def test_models_are_found_by_their_descriptions_in_every_language():
    for words in ("simplified", "简体"):
        assert [model.name for model in models_page.matching(words, "", "", "", "")] == ["bert-chinese"]
