"""The registry: models enter whole or not at all, are found by any of their names, and damage is said in words."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest
from qtinker import api, registry, staging
from qtinker.errors import CheckpointError, DiskFull, InputError
from qtinker.home import models_dir
from safetensors.numpy import save_file

APP = Path(registry.__file__).resolve().parents[1]


def make(folder: Path, *, meta: dict | None = None, config: dict | None = None) -> Path:
    """A small but whole model folder: 3 * 4 + 5 parameters, and an index buffer that is none."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {"w": np.ones((3, 4), "f4"), "b": np.ones(5, "f2"), "position_ids": np.arange(9)}
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"model_type": "bert", **(config or {})}))
    if meta is not None:
        registry.write_meta(folder, meta)
    return folder


def add(group: str, name: str, **more) -> Path:
    with registry.staged(group, name) as folder:
        make(folder, meta={"kind": "pretrained", "licence": "MIT", **more})
    return models_dir() / group / name


def leftovers() -> list[str]:
    folder = models_dir() / staging.FOLDER
    return [path.name for path in folder.iterdir()] if folder.is_dir() else []


def test_a_staged_model_is_there_with_its_facts():
    path = add("distilled", "foo", run="r1", teacher="bert-base-uncased", source={"path": "x"},
               task={"type": "classification", "labels": ["no", "yes"], "pair": False})  # fmt: skip
    [entry] = registry.list_models()
    assert entry == registry.find("foo") == registry.find("distilled/foo")
    assert (entry.name, entry.group, entry.full_name, entry.path) == ("foo", "distilled", "distilled/foo", path)
    assert (entry.kind, entry.model_type, entry.task, entry.labels) == (
        "pretrained", "bert", "classification", ["no", "yes"],
    )  # fmt: skip
    assert (entry.parameters, entry.licence, entry.run, entry.teacher) == (17, "MIT", "r1", "bert-base-uncased")
    assert entry.bytes == (path / "model.safetensors").stat().st_size  # as evaluate and quantize tell it
    assert entry.folder_bytes == sum(file.stat().st_size for file in path.iterdir())
    assert entry.broken is None
    meta = registry.read_meta(path)
    assert meta["format"] == 1
    assert meta["files"]["model.safetensors"]["sha256"] == entry.sha256
    assert entry.sha256 == subprocess.check_output([sys.executable, "-c", (
        "import hashlib, sys; print(hashlib.sha256(open(sys.argv[1], 'rb').read()).hexdigest())"
    ), path / "model.safetensors"], text=True).strip()  # fmt: skip
    assert set(meta["files"]) == {"config.json", "model.safetensors"}
    assert leftovers() == []


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_what_fails_leaves_nothing(error):
    with pytest.raises(error), registry.staged("distilled", "foo") as folder:
        make(folder)
        raise error
    assert registry.list_models() == []
    assert not (models_dir() / "distilled" / "foo").exists()
    assert leftovers() == []


def test_a_taken_name_is_refused_before_the_work_and_replaced_when_asked():
    path = add("distilled", "foo")
    with pytest.raises(InputError, match="already a model distilled/foo"), registry.staged("distilled", "foo"):
        raise AssertionError("the block must not run")
    with registry.staged("distilled", "foo", replace=True) as folder:
        make(folder, meta={"kind": "finetuned"})
        assert registry.read_meta(path)["kind"] == "pretrained"
    assert [entry.kind for entry in registry.list_models()] == ["finetuned"]
    with pytest.raises(ValueError), registry.staged("distilled", "foo", replace=True) as folder:
        raise ValueError
    assert registry.find("foo").kind == "finetuned"
    assert leftovers() == []


def test_a_name_taken_meanwhile_is_refused():
    with pytest.raises(InputError, match="already a model"), registry.staged("distilled", "foo") as folder:
        make(folder)
        make(models_dir() / "distilled" / "foo", meta={"kind": "finetuned"})
    assert registry.find("foo").kind == "finetuned"


@pytest.mark.parametrize("name", ["", ".x", "../x", "a/b", "a\\b", "con", "NUL.txt", "a b", "x" * 121, "x.", "-x", "é"])
def test_names_that_no_system_or_markup_would_take_are_refused(name):
    with pytest.raises(InputError, match="can't be a model's name"), registry.staged("hub", name):
        pass


def test_names_of_devices_are_refused_with_the_reason():
    for name in ("con", "NUL.bert"):
        with pytest.raises(InputError, match="Windows keeps it for a device"), registry.staged("hub", name):
            pass


def test_an_unknown_group_is_refused():
    with pytest.raises(InputError, match=r"no group 'bert'.*bert_large"), registry.staged("bert", "x"):
        pass


@pytest.mark.parametrize(
    "error",
    [OSError(28, "No space left on device"), RuntimeError("I/O error: No space left on device (os error 28)")],
)  # the second as safetensors says it
def test_a_full_disk_is_said_in_words(error):
    with pytest.raises(DiskFull, match="is full: x was not kept"), registry.staged("hub", "x"):
        raise error
    assert leftovers() == []


def test_staging_of_dead_processes_is_swept_and_of_living_ones_kept():
    alive, dead = models_dir() / staging.FOLDER / "x", models_dir() / staging.FOLDER / "y"
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        host, started = staging._host(), int(psutil.Process(child.pid).create_time())
        alive = alive.with_name(f"{host}.{child.pid}.{started}.aaaa")
        dead = dead.with_name(f"{host}.{child.pid}.{started - 1000}.bbbb")
        foreign = dead.with_name(f"00000000.{child.pid}.{started}.cccc")
        for folder in (alive, dead, foreign):
            (folder / "m").mkdir(parents=True)
        os.utime(foreign, (1, 1))
        add("hub", "x")
        assert leftovers() == [alive.name]
    finally:
        child.communicate(b"\n")


def test_a_killed_process_leaves_no_model_and_its_rest_is_swept():
    code = (
        "import os, signal\nfrom qtinker import registry\n"
        "with registry.staged('hub', 'x') as f:\n (f / 'config.json').write_text('{}')\n os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(APP)}, check=False)
    assert registry.list_models() == []
    assert len(leftovers()) == 1
    add("hub", "y")
    assert leftovers() == []


def test_resolve_takes_names_aliases_and_folders(tmp_path):
    path = add("bert_small", "bert-tiny")
    other = make(tmp_path / "mine")
    for name in ("bert-tiny", "bert_small/bert-tiny", "BERT-TINY", "google/bert_uncased_L-2_H-128_A-2"):
        assert registry.resolve(name) == path
    assert registry.resolve(str(other)) == registry.resolve(other) == other.resolve()


def test_a_catalog_name_that_is_not_here_says_the_command():
    with pytest.raises(InputError) as caught:
        registry.resolve("bert-mini")
    assert caught.value.fix == "Fetch it: python3 app download bert-mini"
    with pytest.raises(InputError, match="python3 app download tinybert-4l"):
        registry.resolve("huawei-noah/TinyBERT_General_4L_312D")


def test_an_unknown_name_says_the_closest():
    add("distilled", "my-student")
    with pytest.raises(InputError, match=r"no model 'my-studnt'.*Did you mean my-student"):
        registry.resolve("my-studnt")
    with pytest.raises(InputError, match="Did you mean bert-base-uncased"):
        registry.resolve("bert-base-uncase")
    with pytest.raises(InputError, match="Did you mean my-student"):
        registry.resolve("distilled/my-studnt")


@pytest.mark.parametrize("name", ["owner/some-bert", "https://huggingface.co/owner/some-bert"])
def test_a_model_of_the_hub_that_is_not_in_the_catalog_says_how_it_comes_in(name):
    fix = "fetch its files from https://huggingface.co/owner/some-bert, then: python3 app import FOLDER"
    for verb in (registry.resolve, api.download):
        with pytest.raises(InputError) as caught:
            verb(name)
        assert caught.value.fix.endswith(fix)


def test_an_ambiguous_name_lists_the_choices():
    add("distilled", "foo")
    add("quantized", "foo")
    with pytest.raises(InputError, match=r"several models.*distilled/foo, quantized/foo"):
        registry.resolve("foo")
    assert registry.resolve("quantized/foo").parent.name == "quantized"


def test_find_never_leaves_the_registry(tmp_path, monkeypatch):
    make(tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    add("hub", "foo")
    for name in (str(tmp_path / "mine"), "mine", "../mine", "hub/../hub/foo", "", ".", "hub"):
        assert registry.find(name) is None


def test_what_is_no_model_says_why(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match=r"not a model folder: config.json is missing"):
        registry.resolve(tmp_path / "empty")
    (tmp_path / "x.zip").write_bytes(b"")
    with pytest.raises(InputError, match="python3 app import"):
        registry.resolve(tmp_path / "x.zip")


def test_folders_dropped_in_by_hand_are_recognised():
    names = {"1": "b", "10": "k", **{str(number): "abcdefghij"[number] for number in range(10)}}
    config = {"architectures": ["BertForSequenceClassification"], "id2label": names}
    make(models_dir() / "bert_base" / "My Model", config=config)
    make(models_dir() / "direct")
    make(models_dir() / "somewhere" / "deep" / "down")
    make(models_dir() / "direct" / "onnx")
    entries = {entry.full_name: entry for entry in registry.list_models()}
    assert list(entries) == ["bert_base/My Model", "direct", "somewhere/deep/down"]
    entry = entries["bert_base/My Model"]
    assert (entry.kind, entry.task, entry.labels) == ("manual", "classification", [*"abcdefghijk"])
    assert (entry.parameters, entry.sha256, entry.broken) == (17, None, None)
    assert registry.resolve("somewhere/deep/down") == models_dir() / "somewhere" / "deep" / "down"
    assert "put here by hand" in registry.refresh().read_text(encoding="utf-8")


def test_links_in_a_circle_end_the_listing():
    make(models_dir() / "hub" / "x")
    try:
        (models_dir() / "hub" / "loop").symlink_to(models_dir(), target_is_directory=True)
    except OSError:
        pytest.skip("no right to make links")
    assert "hub/x" in [entry.full_name for entry in registry.list_models()]


def damage_truncate(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-10])


def damage_header(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"\x00" * 100)


def damage_short_header(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:40])


def damage_foreign_json(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes((5).to_bytes(8, "little") + b"[1,2]")


def damage_grown(folder: Path) -> None:
    with (folder / "model.safetensors").open("ab") as file:
        file.write(b"xx")


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (damage_truncate, "model.safetensors is truncated: "),
        (damage_short_header, "truncated: its header alone needs"),
        (damage_header, "is not a safetensors file"),
        (damage_foreign_json, "header is damaged"),
        (damage_grown, "2 bytes more than its header accounts for"),
        (lambda folder: (folder / "config.json").unlink(), "config.json is missing"),
        (lambda folder: (folder / "config.json").write_text("{"), "config.json can't be read"),
        (lambda folder: (folder / "config.json").write_text("[]"), "JSON list where an object is expected"),
        (lambda folder: (folder / "model.safetensors").unlink(), "no weights"),
        (lambda folder: (folder / "model.safetensors").rename(folder / "pytorch_model.bin"), "never loaded as it is"),
        (lambda folder: (folder / "config.json").rename(folder / "bert_config.json"), "TensorFlow checkpoint"),
    ],
)
def test_a_broken_folder_is_listed_with_its_reason(harm, reason):
    folder = make(models_dir() / "hub" / "x")
    harm(folder)
    [entry] = registry.list_models()
    assert reason in entry.broken
    with pytest.raises(CheckpointError, match="can't be used"):
        registry.resolve("x")
    assert "## Broken" in registry.refresh().read_text(encoding="utf-8")
    with pytest.raises(CheckpointError):
        registry.resolve(folder)


@pytest.mark.real_data
def test_a_really_truncated_model_is_broken(real_data):
    shutil.copytree(next((real_data / "truncated").iterdir()), models_dir() / "hub" / "x")
    assert "truncated" in registry.find("x").broken


@pytest.mark.parametrize("meta", [b"{", b"[]", b'{"kind": 5, "files": [], "task": 3, "parameters": "x"}',
                                  b'{"files": {"../../x": {"bytes": 1}}, "source": {"url": 5}}'])  # fmt: skip
def test_hostile_provenance_does_not_crash_the_listing(meta):
    folder = make(models_dir() / "hub" / "x")
    (folder / "qtinker.json").write_bytes(meta)
    [entry] = registry.list_models()
    assert (entry.kind, entry.parameters, entry.broken) == ("manual", 17, None)
    registry.refresh()
    registry.verify("x")


def test_verify_finds_what_changed():
    folder = add("hub", "x")
    (folder / "README.md").write_text("later")
    assert registry.verify("x") == []
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (folder / "model.safetensors").write_bytes(content)
    assert registry.verify("x") == ["model.safetensors has changed: its SHA-256 is not the recorded one."]
    assert registry.find("x").broken is None
    (folder / "config.json").unlink()
    assert "config.json is missing." in registry.verify("x")
    (folder / "adapter.safetensors").write_bytes(b"")
    assert "adapter.safetensors was added after the model was made." in registry.verify("x")
    with pytest.raises(InputError, match=r"no model 'y'"):
        registry.verify("y")


def test_remove():
    folder = add("hub", "x")
    add("hub", "y")
    assert registry.remove("x").full_name == "hub/x"
    assert not folder.exists()
    assert leftovers() == []
    page = (models_dir() / "MODEL_REGISTRY.md").read_text(encoding="utf-8")
    assert "hub/y" in page
    assert "hub/x" not in page
    with pytest.raises(InputError, match=r"not here|no model"):
        registry.remove("x")


def test_a_model_named_twice_is_removed_once():
    add("distilled", "mine")
    assert api.remove(["mine", "distilled/mine"]) == {"removed": ["distilled/mine"]}


def test_removing_a_link_leaves_what_it_points_to(tmp_path):
    target = make(tmp_path / "elsewhere")
    (models_dir() / "hub").mkdir(parents=True)
    try:
        (models_dir() / "hub" / "x").symlink_to(target, target_is_directory=True)
    except OSError:
        pytest.skip("no right to make links")
    registry.remove("x")
    assert registry.list_models() == []
    assert (target / "model.safetensors").is_file()


def test_unique_name():
    assert registry.unique_name("hub", "My model: ünïcode/../x") == "My-model-n-code-..-x"
    add("hub", "foo")
    add("hub", "foo-2")
    assert registry.unique_name("hub", "FOO") == "FOO-3"
    assert registry.unique_name("distilled", "foo") == "foo"
    assert registry.unique_name("hub", "///") == "model"
    assert registry.unique_name("hub", "con") == "model-con"
    assert registry.plain_name("foo") == "foo" and registry.plain_name("x" * 100) == "x" * 100


def test_a_long_name_keeps_its_end():
    schemes = ("int8-dynamic", "int8-weight-only", "int4-weight-only", "control")
    names = [registry.unique_name("quantized", f"{'student-' * 12}x-{scheme}") for scheme in schemes]
    assert all(len(name) <= 100 and name.startswith("student-student-") for name in names)
    assert [name.split("-x-")[1] for name in names] == list(schemes)


def test_the_page_shows_names_as_they_are_and_never_as_markup():
    evil = "a|b [x](javascript:1) <img src=x> `c` **d** https://evil.example ```\n# e"
    add("hub", "x", licence=evil, source={"url": evil}, kind=evil, run=evil, teacher=evil,
        task={"type": evil, "labels": [evil]})  # fmt: skip
    make(models_dir() / "hub" / "we`i'rd ```` ] <b> name")
    page = registry.refresh().read_text(encoding="utf-8")
    outside = "\n".join(part for i, part in enumerate(page.split("\n````")) if i % 2 == 0)
    for markup in ("<img", "<b>", "[x](", "**d**", "\n# e", "https://evil"):
        assert markup not in outside
    row = next(line for line in page.splitlines() if line.startswith("| x |"))
    assert row.replace("\\|", "").count("|") == 9


def test_the_two_lines_of_python_load_the_model(tmp_path):
    from tiny import bert

    with registry.staged("distilled", "tiny") as folder:
        loaded = bert(layers=1)
        loaded.model.save_pretrained(folder)
        loaded.tokenizer.save_pretrained(folder)
        registry.write_meta(folder, {"kind": "distilled"})
    page = (models_dir() / "MODEL_REGISTRY.md").read_text(encoding="utf-8")
    code = page.split("```python\n")[1].split("\n```")[0]
    assert len(code.splitlines()) == 2
    assert "AutoModelForSequenceClassification" in code
    here = Path.cwd()
    names: dict = {}
    try:
        os.chdir(models_dir().parent)
        exec(code, names)
    finally:
        os.chdir(here)
    assert names["model"].config.num_hidden_layers == 1
    assert registry.find("tiny").parameters == sum(weight.numel() for weight in names["model"].parameters())


def test_two_processes_writing_at_once():
    code = "import sys\nfrom test_registry import add\nfor n in range(5): add('hub', f'm{sys.argv[1]}-{n}')"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(APP), str(Path(__file__).parent)])}
    running = [subprocess.Popen([sys.executable, "-c", code, str(n)], env=env) for n in range(2)]
    assert [process.wait() for process in running] == [0, 0]
    assert len(registry.list_models()) == 10
    page = (models_dir() / "MODEL_REGISTRY.md").read_text(encoding="utf-8")
    assert page.count("### hub/m") == 10
    assert leftovers() == []


def test_shards_are_counted_together():
    folder = models_dir() / "hub" / "x"
    folder.mkdir(parents=True)
    save_file({"a": np.ones(3, "f4")}, folder / "model-00001-of-00002.safetensors")
    save_file({"b": np.ones(4, "f4")}, folder / "model-00002-of-00002.safetensors")
    (folder / "config.json").write_text("{}")
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert registry.find("x").parameters == 7
    index["weight_map"]["b"] = "../other.safetensors"
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "not in the folder" in registry.find("x").broken


def test_is_free_of_torch():
    code = (
        "import sys, qtinker.registry, qtinker.catalog, qtinker.download; qtinker.registry.list_models(); "
        "print([m for m in ('torch', 'transformers', 'datasets', 'pyarrow', 'sklearn', 'gradio') if m in sys.modules])"
    )
    out = subprocess.check_output([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(APP)}, text=True)
    assert out.strip() == "[]"
