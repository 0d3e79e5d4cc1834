"""The Find page in a browser: a comparison of two shapes is started, fills its table, and its points can be opened."""

from __future__ import annotations

import pytest
from conftest import SHOTS, SLOW_MS
from qtinker.compare import store

pytestmark = pytest.mark.browser


DATA = "#qt-sweep-data input, #qt-sweep-data textarea"


def test_pairs_are_compared_and_can_be_opened(fresh_home, start_server, visit, monkeypatch, tmp_path):
    page = visit(f"{start_server(fresh_home).url}/?tab=sweep")
    page.wait_for_selector("#qt-sweep-view .qt-empty")
    mine = tmp_path / "mine.csv"
    mine.write_text("text,label\ngood,yes\nbad,no\n")
    page.set_input_files("#qt-sweep-upload input[type=file]", mine)
    page.wait_for_function(f"/data.mine-[0-9a-f]{{8}}.csv$/.test(document.querySelector('{DATA}').value)")
    page.fill(DATA, "sample")
    page.wait_for_selector("#qt-do-sweep-resume[disabled]")
    page.fill("#qt-sweep-most input, #qt-sweep-most textarea", "64")
    page.fill("#qt-sweep-epochs input, #qt-sweep-epochs textarea", "1")
    page.click("#qt-sweep-schemes label:has-text('int8-dynamic')")  # none
    page.click("#qt-do-sweep-pairs")
    page.wait_for_selector("#qt-doing-sweep-pairs .qt-note.bad:has-text('No pair is chosen')")
    page.click("#qt-sweep-teacher input")
    page.click("[role=option]:has-text('practice-bert')")
    for shape in ("L-2_H-128_A-2", "L-4_H-256_A-4"):
        page.click("#qt-sweep-students input")
        page.click(f"[role=option]:has-text('{shape}')")
    page.keyboard.press("Escape")
    page.click("#qt-do-sweep-pairs")
    page.wait_for_selector("#qt-sweep-view a[href$='report.html']", timeout=6 * SLOW_MS)
    assert page.locator("#qt-sweep-view .qt-table tbody tr").count() == 3
    assert page.locator("#qt-sweep-view a[href^='/download/model/']").count() == 3
    page.wait_for_selector("#qt-do-sweep-resume[disabled]")  # it is done
    assert (
        page.evaluate("(box => box.scrollWidth - box.clientWidth)(document.querySelector('#qt-sweep-view .qt-scroll'))")
        < 2
    )
    if SHOTS:
        page.wait_for_timeout(800)  # transitions end
        page.screenshot(path=SHOTS / "sweep-done-1280.png", full_page=True)
    with page.expect_download() as got:
        page.click("#qt-sweep-view a[href$='report.html']")
    assert "<svg" in got.value.path().read_text(encoding="utf-8")
    monkeypatch.setenv("QTINKER_HOME", str(fresh_home))
    assert store.open("last").state()["status"] == "done"
