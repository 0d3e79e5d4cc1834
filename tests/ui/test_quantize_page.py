"""The Quantize & export page in a browser: engines follow the scheme; an exported model stands beside its source."""

from __future__ import annotations

import zipfile

import pytest
from conftest import SHOTS, SLOW_MS, tool, until
from qtinker.runtime import extras

pytestmark = pytest.mark.browser


@pytest.fixture
def page(fresh_home, start_server, visit):
    """The page on a home with one model that has a head."""
    spec = fresh_home / "spec.yaml"
    spec.write_text(
        '{"student": {"model": "practice-bert"}, "data": {"train": "sample", "max_length": 32, "max_examples": 64}, '
        '"training": {"epochs": 1, "threads": 1}, "name": "small"}'
    )
    tool(fresh_home, "qtinker", "run", str(spec), "--json")
    page = visit(f"{start_server(fresh_home).url}/?tab=quantize")
    page.wait_for_function("document.querySelector('#qt-quantize-model input')?.value")
    return page


def test_engines_follow_the_scheme_and_an_export_stands_beside_its_source(page, tmp_path):
    page.click("#qt-scheme label:has-text('bfloat16')")
    page.wait_for_selector("#qt-engine label:has-text('Automatic: transformers')")
    page.wait_for_function("document.querySelectorAll('#qt-engine label').length === 2")
    if not extras.is_here("onnx"):
        page.wait_for_selector("#qt-export-lacking >> text=The button “Install onnx” on this page")
        assert not page.locator("#qt-format label:has-text('ONNX')").count()
        return
    page.click("#qt-format label:has-text('ONNX')")
    page.click("#qt-do-export")
    page.wait_for_selector("#qt-doing-export .qt-note", timeout=3 * SLOW_MS)
    assert page.locator("#qt-doing-export .qt-note.good").count(), page.inner_text("#qt-doing-export")
    row = "#qt-quantized tr:has(td:text-is('onnx'))"
    page.wait_for_selector(row)
    if SHOTS:
        page.wait_for_timeout(800)  # transitions end
        page.screenshot(path=SHOTS / "quantize-exported-1280.png", full_page=True)
    with page.expect_download() as got:
        page.click(f"{row} a")
    archive = tmp_path / "model.zip"
    got.value.save_as(archive)
    with zipfile.ZipFile(archive) as packed:
        assert packed.testzip() is None
        assert {"model.onnx", "tokenizer.json", "example.py"} <= {name.split("/", 1)[1] for name in packed.namelist()}


def watch(page):
    """A function that tells whether all that the page asked its server since now was answered, and is drawn."""
    asked, answered = set(), set()
    page.on("request", lambda request: "/queue/" in request.url and asked.add(request))
    for end in ("requestfinished", "requestfailed"):
        page.on(end, lambda request: answered.add(request))

    def settled():
        before = len(asked)
        page.wait_for_timeout(1000)
        return before == len(asked) and asked <= answered

    return settled


@pytest.mark.parametrize("how", ["beside the page", "by its button"])
def test_what_is_installed_while_the_page_runs_is_offered(how, practice_home, start_server, visit, tmp_path):
    lacking = next((extra for extra in ("coreml", "gguf", "executorch") if not extras.is_here(extra)), None)
    if lacking is None:
        pytest.skip("every extra is here")
    beside = tmp_path / "beside"
    beside.mkdir()
    page = visit(f"{start_server(practice_home, env={'PYTHONPATH': str(beside)}).url}/?tab=guide")
    settled = watch(page)
    page.goto(page.url.replace("guide", "quantize"))
    page.wait_for_selector(f"#qt-export-lacking >> text=The button “Install {lacking}” on this page")
    page.wait_for_selector("#qt-quantize-about .qt-note")  # which loading fills in
    until(settled, what="an answer to all that loading asks")  # what is found from now on is found by the click
    page.wait_for_selector(f"#qt-do-extra-{lacking}")
    for module in extras.EXTRAS[lacking]:
        (beside / f"{module}.py").write_text("")
    if how == "by its button":  # which finds that nothing more is to be fetched
        page.click(f"#qt-do-extra-{lacking}")
        page.wait_for_selector(f"#qt-doing-extra-{lacking} .qt-note.good:has-text('is offered now')")
    else:
        page.reload()
    title = {"coreml": "Core ML", "gguf": "GGUF, F16", "executorch": "ExecuTorch, single"}[lacking]
    page.wait_for_selector(f"#qt-format label:has-text('{title}')")
    assert f"Install {lacking}" not in page.inner_text("#qt-export-lacking")
    page.wait_for_selector(f"#qt-do-extra-{lacking}", state="hidden")
