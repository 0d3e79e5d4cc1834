"""Whole models from a real local server into the registry: Google's zips and the Hub's repositories."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import io
import json
import os
import pickle
import subprocess
import sys
import threading
import zipfile
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
import transformers
from qtinker import catalog, registry, unpack
from qtinker import download as package
from qtinker.download import Patience, download, folder, hub
from qtinker.errors import DiskFull, DownloadError, InputError, RunStopped
from qtinker.home import models_dir
from servers import Resource, Storage, cut, stall, status

ROOT = Path(__file__).resolve().parents[2]
FIXTURE = ROOT / "tests" / "fixtures" / "tf" / "pretraining"
DATA = (FIXTURE / "bert_model.ckpt.data-00000-of-00001").read_bytes()
SHAPE = json.loads((FIXTURE / "bert_config.json").read_text())
COMMIT = "0123456789abcdef0123456789abcdef01234567"
REAL = dict(catalog.catalog())
NOW = Patience(base=0, wait=lambda seconds: None)


def google_entry(name: str = "tf-tiny", **changes) -> catalog.CatalogEntry:
    """A catalog entry for the checkpoint that TensorFlow wrote for the tests."""
    known = {
        "name": name, "url": f"https://storage.googleapis.com/bert_models/test/{name}.zip", "aliases": (),
        "zip_bytes": None, "layers": SHAPE["num_hidden_layers"], "hidden": SHAPE["hidden_size"],
        "heads": SHAPE["num_attention_heads"], "vocab_size": SHAPE["vocab_size"], "data_file_bytes": len(DATA),
        "data_sha256": hashlib.sha256(DATA).hexdigest(), "parameters": 5000,
    }  # fmt: skip
    return dataclasses.replace(REAL["bert-tiny"], **(known | changes))


def hub_entry(name: str = "hub-tiny", **changes) -> catalog.CatalogEntry:
    known = {"name": name, "repo": f"someone/{name}", "aliases": (), "parameters": 5000}
    return dataclasses.replace(REAL["minilm-l6"], **(known | changes))


def google_zip(nested: str = "", **replaced: bytes) -> bytes:
    """The fixture as a zip; keyword arguments replace files (dots written as __)."""
    files = {path.name: path.read_bytes() for path in sorted(FIXTURE.iterdir())}
    files |= {name.replace("__", "."): content for name, content in replaced.items()}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, content in files.items():
            zipped.writestr(nested + name, content)
    return buffer.getvalue()


def path_of(entry: catalog.CatalogEntry) -> str:
    return f"/bert_models/test/{entry.name}.zip"


@pytest.fixture
def entries(monkeypatch) -> dict[str, catalog.CatalogEntry]:
    """A small catalog: three of Google's, one of the Hub's."""
    known = [*(google_entry(f"tf-{kind}") for kind in ("tiny", "mini", "nano")), hub_entry()]
    table = {entry.name: entry for entry in known}
    monkeypatch.setattr(catalog, "catalog", lambda: table)
    monkeypatch.setattr(catalog, "_by_any_name", lambda: {name.casefold(): entry for name, entry in table.items()})
    return table


@pytest.fixture
def server(monkeypatch, entries):
    with Storage() as storage:
        monkeypatch.setenv("QTINKER_GCS", storage.url)
        monkeypatch.setenv("HF_ENDPOINT", storage.url + "/")
        for entry in entries.values():
            if entry.source == "google":
                storage.put(path_of(entry), google_zip(), google=True)
        yield storage


@pytest.fixture(scope="module")
def hub_files(tmp_path_factory) -> dict[str, bytes]:
    """A repository as it is on the Hub: weights as safetensors and as a pickle, a tokenizer, and much that is not
    wanted."""
    loaded = tiny.bert(layers=1)
    path = tmp_path_factory.mktemp("hub")
    loaded.model.save_pretrained(path)
    loaded.tokenizer.save_pretrained(path)
    files = {file.name: file.read_bytes() for file in path.iterdir()}
    weights = io.BytesIO()
    torch.save(loaded.model.state_dict(), weights)
    vocab = "".join(f"{token}\n" for token in loaded.tokenizer.convert_ids_to_tokens(range(len(loaded.tokenizer))))
    return files | {
        "pytorch_model.bin": weights.getvalue(), "vocab.txt": vocab.encode(), "README.md": b"# card\n",
        "modeling_evil.py": b"raise SystemExit", "tf_model.h5": b"x" * 100, "rust_model.ot": b"x",
    }  # fmt: skip


def raiser(error: BaseException):
    def fail(*_, **__):
        raise error

    return fail


def leftovers() -> list[str]:
    return sorted(path.name for path in folder().iterdir() if not path.name.endswith(".lock"))


def test_a_google_checkpoint_from_zip_to_model(server, entries):
    events = []
    [path] = download("tf-tiny", progress=events.append)
    assert path == models_dir() / "bert_small" / "tf-tiny" == registry.resolve("tf-tiny")
    model = transformers.AutoModelForPreTraining.from_pretrained(path).eval()
    kept = {key: torch.from_numpy(value) for key, value in np.load(FIXTURE.with_suffix(".npz")).items()}
    inputs = {"input_ids": kept["ids"].long(), "attention_mask": kept["mask"].long()}
    with torch.no_grad():
        sequence = model.bert(**inputs, token_type_ids=kept["types"].long()).last_hidden_state
    assert (sequence - kept["out/sequence"]).abs().max() < 1e-5
    entry = registry.find("tf-tiny")
    assert (entry.kind, entry.licence, entry.broken) == ("pretrained", "Apache-2.0", None)
    assert entry.parameters == sum(weight.numel() for weight in model.parameters())
    source = entry.meta["source"]
    assert source["url"] == "https://storage.googleapis.com/bert_models/test/tf-tiny.zip"
    assert source["mirror"] == f"{server.url}/bert_models/test/tf-tiny.zip"
    assert source["zip_sha256"] == hashlib.sha256(server.resources[path_of(entries["tf-tiny"])].content).hexdigest()
    assert source["data_sha256"] == hashlib.sha256(DATA).hexdigest()
    assert registry.verify("tf-tiny") == []
    phases = list(dict.fromkeys(event["phase"] for event in events))
    assert phases == ["download", "verify", "unpack", "convert", "done"]
    assert {event["name"] for event in events} == {"tf-tiny"}
    assert leftovers() == []
    assert "tf-tiny" in (models_dir() / "MODEL_REGISTRY.md").read_text(encoding="utf-8")


def test_a_nested_zip_of_2018(server, entries):
    server.put(path_of(entries["tf-tiny"]), google_zip("uncased_L-2_H-16_A-2/"), google=True)
    download(["tf-tiny"])
    assert registry.find("tf-tiny").broken is None


def test_what_is_there_is_said_and_not_fetched_again(server):
    first = download(["tf-tiny"])
    events = []
    assert download(["tf-tiny", "TF-TINY"], progress=events.append) == first
    assert len(server.requests) == 1
    assert events == [
        {"name": "tf-tiny", "file": "", "phase": "done", "done": 0, "total": None, "speed": None, "eta": None,
         "already": True},
    ]  # fmt: skip
    download(["tf-tiny"], force=True)
    assert len(server.requests) == 2
    assert registry.find("tf-tiny").broken is None


def test_a_damaged_model_is_fetched_again(server):
    [path] = download(["tf-tiny"])
    (path / "model.safetensors").write_bytes(b"short")
    download(["tf-tiny"])
    assert registry.verify("tf-tiny") == []


def test_several_side_by_side(server, entries):
    names = ["tf-tiny", "tf-mini", "tf-nano"]
    paths = download(names, mirror=server.url)
    assert [path.name for path in paths] == names
    assert len(server.requests) == 3
    assert len(registry.list_models()) == 3


def test_one_that_fails_does_not_take_the_others_along(server, entries):
    del server.resources[path_of(entries["tf-mini"])]
    with pytest.raises(DownloadError, match=r"127.0.0.1 does not have .*tf-mini.zip \(404\)"):
        download(["tf-tiny", "tf-mini", "tf-nano"], patience=NOW)
    assert {entry.name for entry in registry.list_models()} == {"tf-tiny", "tf-nano"}
    del server.resources[path_of(entries["tf-nano"])]
    registry.remove("tf-nano")
    with pytest.raises(DownloadError, match=r"^2 of 2 models failed\. tf-mini: .* tf-nano: ") as caught:
        download(["tf-tiny", "tf-mini", "tf-nano"], patience=NOW)
    assert "\n" not in str(caught.value)


def test_a_broken_line_is_gone_on_with(server, entries):
    server.resources[path_of(entries["tf-tiny"])].mishaps = [cut(5000), status(503), cut(3000)]
    download(["tf-tiny"], patience=NOW)
    assert [request.headers.get("Range") for request in server.requests] == [
        None, "bytes=5000-", "bytes=5000-", "bytes=8000-",
    ]  # fmt: skip
    assert registry.verify("tf-tiny") == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data_file_bytes": len(DATA) + 4}, "its data file has"),
        ({"data_sha256": "0" * 64}, "SHA-256 of its data file is"),
        ({"index_sha256": "0" * 64}, "SHA-256 of its index file is"),
        ({"hidden": 32}, "its hidden_size is 16 instead of 32"),
        ({"zip_sha256": "0" * 64}, "is not what was promised, twice: sha256"),
    ],
)
def test_what_is_not_the_catalogs_model_is_refused_and_deleted(server, entries, changes, words):
    entries["tf-tiny"] = google_entry("tf-tiny", **changes)
    with pytest.raises(DownloadError, match=words):
        download(["tf-tiny"], patience=NOW)
    assert registry.list_models() == []
    assert list((models_dir() / ".staging").glob("*")) == []
    assert [path for path in folder().rglob("*") if path.is_file() and path.suffix != ".lock"] == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"no zip", "not a zip"),
        (google_zip()[:-200], "not a zip|damaged"),
        (google_zip(**{"bert_model__ckpt__data-00000-of-00001": DATA[:-4] + b"abcd"}), "SHA-256 of its data file"),
        (google_zip("../"), "leads out of the folder"),
    ],
)
def test_bad_zips_are_refused_by_name(server, entries, content, words):
    server.put(path_of(entries["tf-tiny"]), content, google=True)
    with pytest.raises(DownloadError, match=f"^tf-tiny: .*({words})"):
        download(["tf-tiny"], patience=NOW)
    assert registry.list_models() == []
    assert leftovers() == []


def test_a_name_that_is_not_in_the_catalog_fetches_nothing(server):
    with pytest.raises(InputError, match=r"no model 'tf-tinny'.*Did you mean tf-tiny"):
        download(["tf-mini", "tf-tinny"])
    assert server.requests == []


@pytest.mark.parametrize("mirror", ["ftp://x", "mirror.example", "/srv/mirror"])
def test_a_mirror_that_is_no_address_is_the_users_error(server, mirror):
    with pytest.raises(InputError, match="is no mirror"):
        download(["tf-tiny"], mirror=mirror)


def test_a_mirror_with_a_path_keeps_the_rest(server, entries):
    resource = server.resources.pop(path_of(entries["tf-tiny"]))
    server.resources["/deep/down" + path_of(entries["tf-tiny"])] = resource
    download(["tf-tiny"], mirror=server.url + "/deep/down/")
    assert registry.find("tf-tiny").broken is None


def test_too_small_a_disk_is_said_before_anything_is_asked(server, entries):
    entries["tf-tiny"] = google_entry("tf-tiny", parameters=10**15)
    with pytest.raises(DownloadError, match=r"GB free; this needs 4\d{6}\.\d\d GB"):
        download(["tf-tiny"])
    assert server.requests == []


def test_cancel_keeps_the_part_and_the_registry_clean(server, entries):
    server.resources[path_of(entries["tf-tiny"])].mishaps = [stall(5000)]
    part = folder() / "tf-tiny" / "checkpoint.zip.part"
    with pytest.raises(RunStopped, match="same command"):
        download(["tf-tiny"], cancel=lambda: part.exists() and part.stat().st_size == 5000)
    assert registry.list_models() == []
    download(["tf-tiny"], cancel=lambda: False)
    assert server.requests[-1].headers["Range"] == "bytes=5000-"
    assert registry.verify("tf-tiny") == []


@pytest.mark.parametrize("phase", ["unpack", "convert"])
def test_an_end_while_converting_leaves_nothing_half_made(server, phase):
    def interrupt(event):
        if event["phase"] == phase:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download(["tf-tiny"], progress=interrupt)
    assert registry.list_models() == []
    assert list((models_dir() / ".staging").glob("*")) == []
    download(["tf-tiny"])
    # The zip was whole: it is verified again, not fetched again.
    assert len(server.requests) == 1
    assert leftovers() == []


def test_two_processes_fetch_a_model_once(server, entries):
    """The second process finds the first at work, waits for it, and finds the model there."""
    server.resources[path_of(entries["tf-tiny"])].mishaps = [stall(5000)]
    code = (
        "import json, sys\nfrom qtinker import catalog, download\n"
        "entry = catalog.CatalogEntry(**(json.loads(sys.argv[1]) | {'aliases': ()}))\n"
        "catalog.catalog = lambda: {'tf-tiny': entry}\ncatalog._by_any_name = lambda: {'tf-tiny': entry}\n"
        "download.download(['tf-tiny'], progress=lambda event: print(json.dumps(event), flush=True))"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT / "app"), "QTINKER_RETRY_BASE": "0"}
    command = [sys.executable, "-c", code, json.dumps(dataclasses.asdict(entries["tf-tiny"]))]
    first = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)
    assert server.stalled.wait(60)
    second = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)
    assert json.loads(second.stdout.readline())["phase"] == "wait"
    first.kill()
    first.wait()
    out, _ = second.communicate(timeout=60)
    assert second.returncode == 0
    # The lock of a killed process is free, and its part is gone on with.
    assert [request.headers.get("Range") for request in server.requests][1].startswith("bytes=")
    assert json.loads(out.splitlines()[-1])["phase"] == "done"
    third = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=True)
    assert json.loads(third.stdout)["already"] is True
    assert len(server.requests) == 2


def test_threads_of_one_process_fetch_a_model_once(server):
    results = []
    threads = [threading.Thread(target=lambda: results.append(download(["tf-tiny"]))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 3
    assert len(server.requests) == 1


# --- the Hub -----------------------------------------------------------------------------------------------------


def test_a_hub_model_by_listing_and_redirects(server, hub_files):
    server.put_repo("someone/hub-tiny", hub_files, commit=COMMIT, lfs=("model.safetensors", "pytorch_model.bin"))
    [path] = download(["hub-tiny"])
    asked = {request.path.rsplit("/", 1)[1] for request in server.requests if "/resolve/" in request.path}
    assert asked == {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "vocab.txt",
                     "README.md"}  # fmt: skip
    assert {request.path.split("/resolve/")[1].split("/")[0] for request in server.requests
            if "/resolve/" in request.path} == {COMMIT}  # fmt: skip
    assert (path / "model.safetensors").read_bytes() == hub_files["model.safetensors"]
    entry = registry.find("hub-tiny")
    assert (entry.kind, entry.licence, entry.group) == ("pretrained", "MIT", "hub")
    assert entry.meta["source"] == {
        "kind": "hub", "repo": "someone/hub-tiny", "url": "https://huggingface.co/someone/hub-tiny",
        "revision": "main", "commit": COMMIT, "mirror": server.url,
    }  # fmt: skip
    transformers.AutoModelForSequenceClassification.from_pretrained(path)
    assert registry.verify("hub-tiny") == []
    assert not any("Authorization" in request.headers for request in server.requests)


def test_the_cache_may_be_on_another_disk_than_the_models(server, hub_files, monkeypatch):
    def rename(source, target, known=None):
        if "cache" in Path(source).parts and "bert_models" in Path(target).parts:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        return known(source, target)

    for name in ("rename", "replace", "link"):
        monkeypatch.setattr(os, name, partial(rename, known=getattr(os, name)))
    server.put_repo("someone/hub-tiny", hub_files, commit=COMMIT, lfs=("model.safetensors", "pytorch_model.bin"))
    [path] = download(["hub-tiny"])
    assert (path / "model.safetensors").read_bytes() == hub_files["model.safetensors"]
    assert registry.verify("hub-tiny") == [] and leftovers() == []


def test_what_was_fetched_is_kept_when_installing_is_stopped(server, hub_files, monkeypatch):
    server.put_repo("someone/hub-tiny", hub_files, commit=COMMIT, lfs=("model.safetensors", "pytorch_model.bin"))
    with monkeypatch.context() as broken, pytest.raises(KeyboardInterrupt):
        broken.setattr(hub, "_complete", raiser(KeyboardInterrupt()))
        download(["hub-tiny"])
    before = len(server.requests)
    [path] = download(["hub-tiny"])
    assert [request.path for request in server.requests[before:] if not request.path.startswith("/api/")] == []
    assert (path / "model.safetensors").read_bytes() == hub_files["model.safetensors"] and leftovers() == []


def test_a_verified_zip_is_kept_where_there_is_no_room_to_unpack_it(server, entries, monkeypatch):
    with monkeypatch.context() as broken, pytest.raises(DiskFull):
        broken.setattr(unpack, "_check_space", raiser(DiskFull("No room.", "Free some space.")))
        download(["tf-tiny"])
    before = len(server.requests)
    [path] = download(["tf-tiny"])
    assert len(server.requests) == before and path.is_dir() and leftovers() == []


def test_a_model_that_came_meanwhile_is_not_fetched_again(server, entries, monkeypatch):
    """By another process, while this one fetched those before it."""
    monkeypatch.setattr(package, "_SIDE_BY_SIDE", 1)
    names, once = list(entries)[:2], []

    def progress(event):
        if event["phase"] == "download" and not once:
            once.append(download([names[1]]))

    assert len(download(names, progress=progress)) == 2 and once and leftovers() == []


def test_a_bucket_that_refuses_what_it_does_not_have(server, hub_files):
    server.put_repo("someone/hub-tiny", hub_files, commit=COMMIT, lfs=("model.safetensors",), listing=False)
    server.put("/api/models/someone/hub-tiny/revision/main", b"").mishaps = [status(403)] * 9
    [path] = download(["hub-tiny"])
    assert registry.verify("hub-tiny") == [] and path.is_dir()


def test_a_hub_mirror_without_listing(server, hub_files):
    server.put_repo("someone/hub-tiny", hub_files, commit=COMMIT, lfs=("model.safetensors",), listing=False)
    [path] = download(["hub-tiny"])
    assert registry.find("hub-tiny").meta["source"]["commit"] == COMMIT
    # The first answer names the commit; all that follows is asked of it.
    refs = [
        request.path.split("/resolve/")[1].split("/")[0] for request in server.requests if "/resolve/" in request.path
    ]
    assert refs == ["main", *[COMMIT] * (len(refs) - 1)]
    assert not (path / "pytorch_model.bin").exists()


@pytest.mark.parametrize("listing", [True, False])
def test_a_repository_with_only_a_pickle_and_a_vocabulary(server, hub_files, listing):
    """As TinyBERT's: no safetensors, no tokenizer files, LayerNorm under TensorFlow's names."""
    state = torch.load(io.BytesIO(hub_files["pytorch_model.bin"]), weights_only=True)
    named = {key.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): value
             for key, value in state.items()}  # fmt: skip
    named["cls.decoder"] = named["bert.embeddings.word_embeddings.weight"]
    weights = io.BytesIO()
    torch.save(named, weights)
    config = json.loads(hub_files["config.json"])
    config.pop("model_type")
    files = {"config.json": json.dumps(config).encode(), "pytorch_model.bin": weights.getvalue(),
             "vocab.txt": hub_files["vocab.txt"]}  # fmt: skip
    server.put_repo("someone/hub-tiny", files, commit=COMMIT, lfs=("pytorch_model.bin",), listing=listing)
    [path] = download(["hub-tiny"])
    assert not (path / "pytorch_model.bin").exists()
    model = transformers.AutoModelForSequenceClassification.from_pretrained(path)
    assert {key: value.tolist() for key, value in model.state_dict().items()} == {
        key: value.tolist() for key, value in state.items()
    }
    tokenizer = transformers.AutoTokenizer.from_pretrained(path)
    assert tokenizer.tokenize("A GOOD film") == ["a", "good", "film"]


def test_a_hub_file_that_is_not_what_the_listing_says(server, hub_files):
    server.put_repo("someone/hub-tiny", hub_files, commit=COMMIT, lfs=("model.safetensors",))
    server.put(f"/someone/hub-tiny/resolve/{COMMIT}/vocab.txt", hub_files["vocab.txt"][::-1])
    with pytest.raises(DownloadError, match=r"vocab.txt is not what was promised, twice: git blob"):
        download(["hub-tiny"], patience=NOW)
    assert registry.list_models() == []


def test_weights_that_are_cut_but_consistent_are_refused(server, hub_files):
    files = hub_files | {"model.safetensors": hub_files["model.safetensors"][:-100]}
    server.put_repo("someone/hub-tiny", files, commit=COMMIT, lfs=("model.safetensors",))
    with pytest.raises(DownloadError, match=r"not hub-tiny: model.safetensors is truncated"):
        download(["hub-tiny"], patience=NOW)
    assert registry.list_models() == []


def test_another_architecture_is_refused(server, hub_files, entries):
    entries["hub-tiny"] = hub_entry(model_type="albert")
    server.put_repo("someone/hub-tiny", hub_files, commit=COMMIT)
    with pytest.raises(DownloadError, match="it is a bert model, not albert"):
        download(["hub-tiny"], patience=NOW)


class Evil:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return (exec, ("raise SystemExit('executed')",))


def test_a_pickle_is_never_executed(server, hub_files):
    evil = io.BytesIO()
    torch.save({"w": Evil()}, evil, pickle_module=pickle)
    for content in (evil.getvalue(), pickle.dumps(Evil()), b"rubbish"):
        files = {"config.json": hub_files["config.json"], "pytorch_model.bin": content}
        server.put_repo("someone/hub-tiny", files, commit=COMMIT, lfs=("pytorch_model.bin",))
        with pytest.raises(DownloadError, match=r"never does|never executes|no PyTorch file"):
            download(["hub-tiny"], patience=NOW)
    assert registry.list_models() == []


def test_a_hub_model_without_weights(server, hub_files):
    server.put_repo("someone/hub-tiny", {"config.json": hub_files["config.json"]}, commit=COMMIT)
    with pytest.raises(DownloadError, match=r"does not have|no weights"):
        download(["hub-tiny"], patience=NOW)


def test_a_hub_file_is_gone_on_with(server, hub_files):
    server.put_repo("someone/hub-tiny", hub_files, commit=COMMIT, lfs=("model.safetensors",))
    cdn = next(path for path in server.resources if path.startswith("/cdn/"))
    server.resources[cdn].mishaps = [cut(4000)]
    download(["hub-tiny"], patience=NOW)
    assert [request.headers.get("Range") for request in server.asked(cdn)] == [None, "bytes=4000-"]


def test_a_listing_that_is_no_listing_is_done_without(server, hub_files):
    server.put_repo("someone/hub-tiny", hub_files, commit=COMMIT, listing=False)
    server.resources["/api/models/someone/hub-tiny/revision/main"] = Resource(b"<html>")
    download(["hub-tiny"])
    assert registry.find("hub-tiny").broken is None


def test_the_module_is_found_beside_the_verb():
    assert package.download is download
