"""What the page may read and hands over: guards of paths and names, uploads, zips, tables."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path

import pytest
import tiny
from qtinker import checkpoint, registry, runs
from qtinker.errors import InputError
from qtinker.home import home
from qtinker.keeping import data_name
from qtinker.spec import RunSpec
from qtinker.ui import guard
from qtinker.ui.downloads import models_csv, stream_zip, zip_length


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "../../etc/passwd",
        "data/../../x.csv",
        "~/.bashrc",
        "~nobody-here/x.csv",
        "\0",
        "C:\\Windows\\win.ini",
        "",
        7,
        None,
    ],
)
def test_no_data_outside_the_home(path, qtinker_home):
    (qtinker_home.parent / "x.csv").write_text("text,label\na,b\n")
    with pytest.raises(InputError):
        guard.data_source(path)


def test_links_are_followed_before_they_are_judged(qtinker_home, tmp_path):
    secret = tmp_path / "secret.csv"
    secret.write_text("text,label\na,b\n")
    guard.data_dir().mkdir(parents=True)
    link = guard.data_dir() / "innocent.csv"
    try:
        link.symlink_to(secret)
    except OSError:
        pytest.skip("no links on this system")
    with pytest.raises(InputError):
        guard.data_source("innocent.csv")


def test_data_in_the_data_folder_is_found_and_hidden_files_are_not(qtinker_home):
    guard.data_dir().mkdir(parents=True)
    (guard.data_dir() / "mine.csv").write_text("text,label\na,b\n")
    assert guard.data_source("mine.csv") == str((guard.data_dir() / "mine.csv").resolve())
    (home() / ".git").mkdir()
    (home() / ".git" / "x.csv").write_text("text,label\na,b\n")
    for hidden in (".git/x.csv", str(home() / ".git" / "x.csv")):
        with pytest.raises(InputError):
            guard.data_source(hidden)


@pytest.mark.parametrize("name", ["/etc", "../runs", "a/../../b", "distilled/../../x", "", "x" * 300, None, 3, "a\nb"])
def test_models_are_named_never_pathed(name):
    with pytest.raises(InputError):
        guard.model_name(name)


def test_an_upload_is_kept_once_under_its_own_name(qtinker_home):
    for _ in range(2):
        box = guard.uploads_dir() / "hash"
        box.mkdir(parents=True, exist_ok=True)
        (box / "my reviews.CSV").write_text("text,label\na,b\n")
        kept = Path(guard.keep_upload(str(box / "my reviews.CSV")))
    assert kept.parent == guard.data_dir() and re.fullmatch(r"my-reviews-[0-9a-f]{8}\.csv", kept.name)
    with pytest.raises(InputError):
        guard.keep_upload("/etc/passwd")

    def name(data):
        return data_name(RunSpec.parse({"student": {"model": "x"}, "data": {"train": str(data)}}))

    assert name(kept) == "my-reviews", "models are named without the hash"
    assert name("other/my-reviews-0123abcd.csv") == "my-reviews-0123abcd", "what the user named keeps its name"


def test_a_dropped_spreadsheet_is_told_how_it_becomes_data(qtinker_home):
    box = guard.uploads_dir() / "hash"
    box.mkdir(parents=True)
    (box / "reviews.xlsx").write_bytes(b"PK")
    with pytest.raises(InputError, match=r"'reviews.xlsx' is a spreadsheet. Save its sheet as CSV"):
        guard.keep_upload(str(box / "reviews.xlsx"))


def test_streamed_zip_is_whole_and_as_long_as_promised(tmp_path):
    names = {
        "m/config.json": b"{}",
        "m/ünï.txt": "ü".encode(),
        "m/model.safetensors": bytes(range(256)) * 9000,
        "m/empty": b"",
    }
    plan = []
    for number, (name, content) in enumerate(names.items()):
        path = tmp_path / str(number)
        path.write_bytes(content)
        plan.append((name, path, len(content)))
    data = b"".join(stream_zip(plan))
    assert len(data) == zip_length([(name, length) for name, _, length in plan])
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == names


def test_csv_defuses_formulas():
    text = models_csv([{"name": "=cmd|'/c calc'!A0", "metrics": {"accuracy": 0.5}, "labels": ["a"]}])
    assert text.splitlines()[0] == "name,metrics.accuracy" and text.splitlines()[1].startswith("'=cmd")


def test_a_models_own_data_is_offered_where_the_page_may_read_it(qtinker_home, tmp_path):
    inside = qtinker_home / "data" / "mine.csv"
    inside.parent.mkdir(parents=True, exist_ok=True)
    for path in (inside, tmp_path / "away.csv"):
        path.write_text("text,label\na,b\n")
    for name, data in (("mine", str(inside)), ("away", str(tmp_path / "away.csv")), ("bundled", "sample")):
        run = runs.create(RunSpec.parse({"student": {"model": "s"}, "data": {"train": data}}))
        loaded = tiny.bert(1, 32)
        with registry.staged("distilled", name) as folder:
            checkpoint.save(loaded.model, loaded.tokenizer, folder, meta={"name": name, "run": run.id})
    offered = {name: guard.data_of(name) for name in ("mine", "away", "bundled", "absent", None)}
    assert offered == {"mine": str(inside), "away": "", "bundled": "sample", "absent": "sample", None: "sample"}
