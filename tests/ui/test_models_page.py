"""The Models page: a download with its bar, stop and resume; import by upload; damage found; removal; the limit."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import pytest
from checkpoints import PATH, bert_tiny_zip
from conftest import SLOW_MS, until
from servers import Storage, stall

pytestmark = pytest.mark.browser
HALF = 8_000_000


@pytest.fixture
def storage(tmp_path):
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    with Storage() as storage:
        storage.put(PATH, bert_tiny_zip(folder), google=True).mishaps = [stall(HALF), *[stall(HALF // 8)] * 4]
        yield storage


@pytest.fixture
def page(start_server, visit, fresh_home, storage):
    """The page on a home with one model, beside a storage that stalls once; uploads of 6 MB are the most."""
    env = {"QTINKER_GCS": storage.url, "QTINKER_READ_TIMEOUT": "600", "QTINKER_MAX_UPLOAD": "6mb"}
    server = start_server(fresh_home, env=env)
    page = visit(f"{server.url}/?tab=models", quiet=False)  # a refused upload is an error to the browser's console
    page.wait_for_selector("#qt-model-table tbody tr")
    return page


def upload(page, files: list[Path], name: str = "") -> None:
    page.set_input_files("#qt-import-files input[type=file]", files)
    page.wait_for_selector("#qt-import-files .file-preview")
    page.fill("#qt-import-name input, #qt-import-name textarea", name)
    page.click("#qt-do-import")


def clear(page) -> None:
    page.click("#qt-import-files button[aria-label='Clear']")
    page.wait_for_selector("#qt-import-files .file-preview", state="detached")


def words(page, where: str) -> str:
    """What is said there at the end, as soon as it is."""
    page.wait_for_selector(f"{where} .qt-note", timeout=3 * SLOW_MS)
    return page.inner_text(where)


def test_download_import_verify_and_remove(page, storage, fresh_home, tmp_path):
    models = fresh_home / "bert_models"
    practice = models / "bert_small" / "practice-bert"

    # A real download: bytes and share while it stalls, stopped, then resumed with what is there.
    page.fill("#qt-model-search input, #qt-model-search textarea", "bert-tiny")
    page.click("#qt-model-table [data-key='model-bert-tiny']")
    page.wait_for_selector("#qt-model >> text=16.5 MB to download")
    page.click("#qt-do-model")
    bar = page.wait_for_selector("#qt-doing-model [role=progressbar][aria-valuenow]")
    assert bar and 0 <= int(bar.get_attribute("aria-valuenow") or -1) < 60
    assert re.search(r"downloading · \d+ %\s+\S+ [kM]?B of 18\.0 MB", page.inner_text("#qt-doing-model"))
    page.reload()
    page.wait_for_selector("#qt-doing-model [role=progressbar]", timeout=3 * SLOW_MS)
    page.locator("button:has-text('Stop'):visible").click()
    # an answer that was on its way when Stop was pressed may still be drawn over the note, for a moment
    page.wait_for_selector("#qt-doing-model >> text=was stopped", timeout=3 * SLOW_MS)
    storage.resources[PATH].mishaps.clear()
    page.click("#qt-model-table [data-key='model-bert-tiny']")
    page.click("#qt-do-model")
    page.wait_for_selector("#qt-doing-model .qt-note.good", timeout=3 * SLOW_MS)
    assert (models / "bert_small" / "bert-tiny" / "model.safetensors").is_file()
    resumed = [request.headers.get("Range") for request in storage.asked(PATH)]
    assert resumed[0] is None and int(re.match(r"bytes=(\d+)-", resumed[-1])[1]) > 1_000_000
    page.wait_for_selector("#qt-model >> text=Download as zip")

    # A download that can't be had is told in words.
    page.fill("#qt-model-search input, #qt-model-search textarea", "bert-mini")
    page.click("#qt-model-table [data-key='model-bert-mini']")
    page.click("#qt-do-model")
    page.wait_for_selector("#qt-doing-model .qt-note.bad", timeout=3 * SLOW_MS)
    assert "404" in page.inner_text("#qt-doing-model") and "Traceback" not in page.inner_text("body")
    page.fill("#qt-model-search input, #qt-model-search textarea", "")

    # Import: a zip as the page hands it out, then loose files, which need a name.
    archive = tmp_path / "mine.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as zipped:
        for path in sorted(practice.iterdir()):
            zipped.write(path, f"practice/{path.name}")
    upload(page, [archive])
    page.wait_for_selector("#qt-doing-import .qt-note.good", timeout=3 * SLOW_MS)
    assert (models / "hub" / "mine" / "model.safetensors").is_file()
    clear(page)
    loose = [path for path in sorted(practice.iterdir()) if path.is_file() and path.stat().st_size]
    upload(page, loose)
    page.wait_for_selector("#qt-doing-import >> text=Give the model a name")
    page.fill("#qt-import-name input, #qt-import-name textarea", "from-files")
    page.click("#qt-do-import")
    until(lambda: (models / "hub" / "from-files" / "config.json").is_file())
    page.wait_for_selector("#qt-doing-import .qt-note.good", timeout=3 * SLOW_MS)
    clear(page)

    # What is damaged, unsafe or too big is refused in words, and nothing of it stays.
    before = {path.name for path in (models / "hub").iterdir()}
    cut = tmp_path / "cut.zip"
    cut.write_bytes(archive.read_bytes()[:-5000])
    upload(page, [cut])
    page.wait_for_selector("#qt-doing-import .qt-note.bad >> text=damaged", timeout=3 * SLOW_MS)
    clear(page)
    evil = tmp_path / "evil.zip"
    with zipfile.ZipFile(evil, "w") as zipped:
        zipped.writestr("../../../evil/config.json", "{}")
    upload(page, [evil])
    page.wait_for_selector("#qt-doing-import .qt-note.bad >> text=leads out", timeout=3 * SLOW_MS)
    clear(page)
    big = tmp_path / "big.zip"
    big.write_bytes(bytes(7_000_000))
    page.set_input_files("#qt-import-files input[type=file]", [big])
    page.wait_for_selector("text=/maximum allowed size|too (big|large)/i")
    assert {path.name for path in (models / "hub").iterdir()} == before
    assert not list(fresh_home.rglob("evil")) and "Traceback" not in page.inner_text("body")

    # Damage is found, and the model removed after asking.
    weights = models / "hub" / "mine" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    page.click("#qt-model-table [data-key='model-hub/mine']")
    page.wait_for_selector("#qt-model >> text=Download as zip")
    page.click("#qt-verify")
    assert "model.safetensors" in words(page, "#qt-verified") and page.locator("#qt-verified .bad").count()
    page.click("#qt-remove")
    page.click("#qt-remove-yes")
    until(lambda: not (models / "hub" / "mine").exists(), what="removal")
    page.wait_for_selector("#qt-model-table [data-key='model-hub/mine']", state="detached")
    page.wait_for_selector("#qt-model >> text=Choose a model")
    page.wait_for_selector("#qt-disk >> text=3 models here")
