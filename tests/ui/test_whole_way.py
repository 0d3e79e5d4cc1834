"""From an empty home to a downloaded, quantized model, all in the browser, with the bundled data and no network."""

from __future__ import annotations

import zipfile

import pytest
from conftest import SLOW_MS, until

pytestmark = pytest.mark.browser


def test_from_nothing_to_a_downloaded_small_model(start_server, visit, tmp_path):
    home = tmp_path / "new"
    server = start_server(home)
    page = visit(server.url)
    page.wait_for_selector("#qt-verdict .info:has-text('is not here yet')")  # nothing is wrong yet: no red words
    assert not page.query_selector_all(".qt-note.bad")
    page.click("#qt-do-practice")
    page.wait_for_function(
        "document.querySelector('#f-teacher-model input')?.value.startsWith('practice-bert')", timeout=180_000
    )
    page.fill("#f-teacher-epochs input", "1")
    page.fill("#f-training-epochs input", "1")
    page.fill("#f-name input, #f-name textarea", "first-try")
    page.wait_for_selector("#qt-verdict .good")
    page.click("#qt-start")
    page.wait_for_selector("#qt-run-head >> text=first-try")
    page.wait_for_selector("#qt-run-head .qt-pill.running, #qt-run-head .qt-pill.done")
    page.wait_for_selector("#qt-run-head .qt-pill.done", timeout=5 * SLOW_MS)
    page.wait_for_selector("#qt-run-result table")
    with page.expect_download() as report:
        page.click("#qt-run-result a:has-text('HTML')")
    text = (tmp_path / "report.html").resolve()
    report.value.save_as(text)
    assert "first-try" in text.read_text(encoding="utf-8") and "<script" not in text.read_text(encoding="utf-8")

    page.click("button[role=tab]:has-text('Quantize')")
    page.wait_for_function("document.querySelector('#qt-quantize-model input')?.value")
    page.click("#qt-quantize-model input")
    page.click("[role=option]:has-text('first-try'):not(:has-text('control'))")
    page.click("#qt-scheme label:has-text('INT4')")
    page.click("#qt-do-quantize")
    page.wait_for_selector("#qt-doing-quantize .qt-note.good", timeout=3 * SLOW_MS)
    page.wait_for_selector("#qt-quantized >> text=int4-weight-only")
    with page.expect_download() as got:
        page.click("#qt-quantized tr:has-text('int4-weight-only') a")
    archive = tmp_path / "model.zip"
    got.value.save_as(archive)
    with zipfile.ZipFile(archive) as packed:
        assert packed.testzip() is None
        names = {name.split("/", 1)[1] for name in packed.namelist()}
    assert {"config.json", "qtinker.json", "README.md"} <= names and any(
        name.endswith((".safetensors", ".bin"))
        for name in names  # as the engine chosen has it
    )
    whole = next((home / "bert_models" / "quantized").iterdir())
    assert sum(info.file_size for info in zipfile.ZipFile(archive).infolist()) == sum(
        path.stat().st_size for path in whole.rglob("*") if path.is_file() and not path.name.startswith(".")
    )
    assert until(
        lambda: (
            not (home / "bert_models" / ".staging").exists() or not any((home / "bert_models" / ".staging").iterdir())
        )
    )
