"""Each page, wide and narrow, light and dark: drawn, without an error, a request that leaves, or overflow."""

from __future__ import annotations

import pytest
from conftest import SHOTS, SLOW_MS

pytestmark = pytest.mark.browser
READY = {
    "distil": "#qt-verdict .qt-note",
    "runs": "#qt-run-charts .qt-chart",
    "models": "#qt-model-table tbody tr",
    "quantize": "#qt-quantized table",
    "compare": "#qt-compare-models .token, #qt-compare-models [role=option], #qt-compare-models input",
    "sweep": "#qt-target-teacher input",
    "guide": "#qt-advice .primary",
}


@pytest.mark.parametrize("name", list(READY))
def test_page_is_drawn(trained_server, visit, name):
    page = visit(f"{trained_server.url}/?tab={name}")
    page.wait_for_selector(READY[name])
    if name == "distil":
        page.wait_for_selector("#qt-preview .qt-chart")
    for width, dark in ((1280, False), (1280, True), (390, True), (390, False)):
        page.set_viewport_size({"width": width, "height": 900 if width > 500 else 844})
        if page.evaluate("document.body.classList.contains('dark')") is not dark:
            page.evaluate("qt.theme()")
        page.wait_for_function("(width) => document.documentElement.scrollWidth <= width", arg=width)
        page.wait_for_function("(dark) => document.body.classList.contains('dark') === dark", arg=dark)
        if SHOTS:
            page.wait_for_timeout(800)  # transitions end
            shot = SHOTS / f"{name}-{width}-{'dark' if dark else 'light'}.png"
            page.screenshot(path=shot, full_page=name != "models")
    assert "Traceback" not in page.inner_text("body")


def test_a_dark_system_gets_a_dark_page(trained_server, visit):
    page = visit(f"{trained_server.url}/zh/?tab=guide", width=390, dark=True)
    page.wait_for_selector("#qt-advice .primary")
    page.wait_for_function("document.body.classList.contains('dark')")
    page.wait_for_selector("#qt-advice >> text=建议")
    assert page.evaluate("document.documentElement.lang") == "zh"


def test_the_area_for_files_speaks_the_language_of_the_page(trained_server, visit):
    """Its words are Gradio's, which follow the browser's language: this browser asks for English."""
    page = visit(f"{trained_server.url}/zh/")
    page.click("#f-look-data label:has-text('上传')")
    page.wait_for_selector("#qt-upload >> text=点击上传")
    words = page.inner_text("#qt-upload")
    assert "将文件拖放到此处" in words and "- 或 -" in words and "Drop" not in words


def test_the_switch_between_light_and_dark_is_kept(trained_server, visit):
    page = visit(f"{trained_server.url}/?tab=guide", quiet=False)  # a reload aborts what was being asked
    page.click(".qt-header nav button")
    page.wait_for_function("document.body.classList.contains('dark')")
    page.reload()
    page.wait_for_function("document.body.classList.contains('dark')")


def test_every_input_has_a_name_and_every_chart_a_summary(trained_server, visit):
    page = visit(f"{trained_server.url}/?tab=runs")
    page.wait_for_selector("#qt-run-charts .qt-chart")
    nameless = page.evaluate(
        """() => [...document.querySelectorAll('input:not([type=hidden]):not([type=file]), textarea, select')]
        .filter((box) => box.offsetParent && !(box.labels?.length || box.ariaLabel
          || box.getAttribute('aria-labelledby') || box.closest('label')))
        .map((box) => box.outerHTML.slice(0, 120))"""
    )
    assert not nameless
    plots = page.query_selector_all(".qt-plot[role=img]")
    assert plots and all(plot.get_attribute("aria-label") for plot in plots)
    assert all(figure.inner_text() for figure in page.query_selector_all(".qt-chart .qt-summary"))


def test_runs_are_chosen_by_keyboard(trained_server, visit):
    page = visit(f"{trained_server.url}/?tab=runs")
    page.wait_for_selector(".qt-run")
    page.focus(".qt-run")
    page.keyboard.press("Enter")
    page.wait_for_function("new URLSearchParams(location.search).get('run')")


def test_models_are_searched_and_shown(trained_server, visit):
    page = visit(f"{trained_server.url}/?tab=models")
    page.wait_for_selector("#qt-model-table tbody tr")
    page.fill("#qt-model-search input, #qt-model-search textarea", "tiny distilled")
    page.wait_for_function("document.querySelectorAll('#qt-model-table tbody tr').length == 1")
    page.click("#qt-model-table tbody tr button")
    page.wait_for_selector("#qt-model >> text=taught by")
    page.click("#qt-verify")
    page.wait_for_selector("#qt-verified >> text=as it was recorded")


def test_another_language_and_the_way_back_keep_what_is_shown_and_filled_in(trained_server, visit):
    page = visit(f"{trained_server.url}/?tab=distil")
    name = "#f-name input, #f-name textarea"
    page.wait_for_selector("#qt-verdict .qt-note")
    page.click(name)
    page.keyboard.type("mine")
    page.wait_for_function("sessionStorage.getItem('qtinker-distil')?.includes('mine')")
    page.click("header a[hreflang=zh]")
    page.wait_for_function("document.querySelector('#f-name input, #f-name textarea')?.value === 'mine'")
    assert page.url == f"{trained_server.url}/zh/?tab=distil"
    page.goto(f"{trained_server.url}/zh/?tab=guide")
    page.go_back()
    page.wait_for_function("document.querySelector('#f-name input, #f-name textarea')?.value === 'mine'")
    page.goto(f"{trained_server.url}/zh/?tab=distil")
    page.wait_for_selector("#qt-verdict .qt-note")
    assert page.input_value(name) == ""


def test_on_a_narrow_page_the_chosen_model_is_brought_into_view(trained_server, visit):
    page = visit(f"{trained_server.url}/?tab=models", width=390)
    page.click("#qt-model-table tbody tr button")
    page.wait_for_function("document.querySelector('#qt-model').getBoundingClientRect().top < window.innerHeight / 2")


def test_what_is_wrong_stands_beside_the_field_before_start(trained_server, visit):
    page = visit(f"{trained_server.url}/?tab=distil")
    page.wait_for_selector("#qt-verdict .good")
    page.fill("#f-training-batch_size input", "0")
    page.wait_for_selector("#qt-note-method >> text=Batch size")
    page.wait_for_selector("#qt-start[disabled]")
    page.fill("#f-training-batch_size input", "16")
    page.wait_for_selector("#qt-verdict .good")


def test_another_teacher_has_cards_of_its_own(trained_server, visit):
    page = visit(f"{trained_server.url}/?tab=distil")
    page.wait_for_selector("#qt-verdict .good")
    page.click("#f-look-student label:has-text('layers')")
    page.wait_for_selector("#f-look-layers label.selected")
    layers = page.input_value("#f-student-layers textarea, #f-student-layers input")
    page.fill("#f-teacher-model input", "bert-base-uncased")
    page.keyboard.press("Enter")
    page.wait_for_selector("#f-look-layers label:has-text('0,2,4,6,8,10')")
    page.wait_for_selector("#f-look-layers label.selected")
    kept = page.input_value("#f-student-layers textarea, #f-student-layers input")
    assert kept != layers and kept.count(",") >= 3
    page.wait_for_selector("#qt-note-teacher >> text=bert-base-uncased")  # checked anew: it is not here
    assert not page.locator(".toast-body").count()


def test_models_answer_a_sentence_side_by_side(trained_server, visit):
    page = visit(f"{trained_server.url}/?tab=compare")
    page.wait_for_selector("#qt-compare-models .token")
    page.fill("#qt-sentence textarea", "<b>where</b> is my parcel?")
    page.click("#qt-ask")
    page.wait_for_selector("#qt-said table")
    page.wait_for_selector("#qt-said tbody tr >> nth=1")
    page.click("#qt-differ")
    page.wait_for_selector("#qt-differences .qt-note")


def test_the_guide_fills_in_the_distil_page(trained_server, visit):
    page = visit(f"{trained_server.url}/?tab=guide")
    page.click("#qt-guide-goal label:has-text('Phone')")
    page.wait_for_selector("#qt-advice >> text=bert-mini")
    page.click("#qt-use-advice")
    page.wait_for_selector("#qt-verdict .qt-note")
    page.wait_for_function("document.querySelector('#f-teacher-model input')?.value.startsWith('bert-base-uncased')")
    page.wait_for_selector("#f-student-model label.selected:has-text('bert-mini')")
    page.wait_for_selector("#f-look-preset label.selected:has-text('Balanced')")
    page.wait_for_selector("#f-method-name label.selected:has-text('Relations')")
    page.wait_for_selector("#qt-do-teacher")  # a teacher that is not here can be downloaded in place


def test_another_teacher_and_a_reload_take_no_more_than_they_must(trained_server, visit):
    """A card that the new teacher doesn't offer is still on its way to the server when the choices change: it counts as
    none, without a crash. What was filled in outlives a reload, and nothing else."""
    before = len(trained_server.lines)
    page = visit(f"{trained_server.url}/?tab=distil&teacher=bert-base-uncased&preset=balanced&student=bert-small")
    page.wait_for_selector("#f-student-model label.selected:has-text('bert-small')")
    for teacher in ("bert-large-uncased", "bert-base-uncased", "practice-bert"):
        page.fill("#f-teacher-model input", teacher)
        page.keyboard.press("Enter")
        page.wait_for_timeout(700)
    page.wait_for_selector("#f-student-model label.selected:has-text('bert-small')", state="detached")
    page.wait_for_selector("#qt-note-student .info")

    page.click("#f-look-preset label:has-text('Patient')")
    page.wait_for_selector("#f-method-name label.selected:has-text('Patient')")
    page.fill("#f-training-epochs input", "7")
    page.fill("#f-name input, #f-name textarea", "kept")
    page.keyboard.press("Tab")
    page.wait_for_timeout(500)
    page.reload()
    page.wait_for_function("document.querySelector('#f-name input, #f-name textarea')?.value === 'kept'")
    page.wait_for_function("document.querySelector('#f-teacher-model input')?.value.startsWith('practice-bert')")
    page.wait_for_selector("#f-method-name label.selected:has-text('Patient')")
    page.wait_for_selector("#f-look-preset label.selected:has-text('Patient')")
    assert page.input_value("#f-training-epochs input") == "7"
    page.evaluate("history.replaceState(null, '', '?tab=distil&teacher=bert-base-uncased&preset=fast')")
    assert page.evaluate("qt.kept()") == ""  # another address says itself what to show
    assert not page.locator(".toast-body").count()
    assert not any(line.startswith("Traceback") for line in trained_server.lines[before:])


def test_models_are_measured_side_by_side_and_the_table_stays(trained_server, visit, tmp_path):
    page = visit(f"{trained_server.url}/?tab=compare&models=tiny,tiny-control")
    page.wait_for_selector("#qt-compare-models .token")
    page.fill("#qt-compare-most input, #qt-compare-most textarea", "many")
    page.click("#qt-do-compare")
    page.wait_for_selector("#qt-doing-compare >> text=no number of examples")
    page.fill("#qt-compare-most input, #qt-compare-most textarea", "40")
    page.click("#qt-do-compare")
    page.wait_for_selector("#qt-doing-compare [role=progressbar][aria-valuenow]")
    page.wait_for_selector("#qt-compare-table table", timeout=5 * SLOW_MS)
    assert page.locator("#qt-compare-table table").first.locator("tbody tr").count() == 2
    page.wait_for_selector("#qt-compare-table >> text=40 examples")
    page.wait_for_selector("#qt-compare-table .qt-plot[aria-label]")
    page.reload()
    page.wait_for_selector("#qt-compare-table table")
    with page.expect_download() as got:
        page.click("#qt-compare-table a:has-text('HTML')")
    kept = tmp_path / "comparison.html"
    got.value.save_as(kept)
    text = kept.read_text(encoding="utf-8")
    assert "tiny-control" in text and "qt-plot" in text and "<script" not in text and "https://" not in text


def test_a_quantized_model_is_measured_beside_its_source(trained_server, visit):
    page = visit(f"{trained_server.url}/?tab=quantize&model=tiny")
    page.wait_for_selector("#qt-quantized tbody tr >> nth=1")
    page.click("#qt-do-measure")
    page.wait_for_selector("#qt-quantize-measured tbody tr >> nth=1", timeout=5 * SLOW_MS)
    page.wait_for_selector("#qt-quantize-measured >> text=int4-weight-only")


def test_runs_are_drawn_over_one_another_and_duplicated(trained_server, visit):
    page = visit(f"{trained_server.url}/?tab=runs&run=20250101-000000-twin", quiet=False)  # Duplicate leaves the page
    page.wait_for_selector("#qt-run-charts .qt-chart")
    page.click("#qt-run-over input")
    page.click("[role=option] >> nth=0")
    page.wait_for_selector("#qt-run-charts >> text=Total loss of the runs")
    page.keyboard.press("Escape")
    page.click("#qt-again")
    page.wait_for_function("document.querySelector('#f-name input, #f-name textarea')?.value === 'tiny'")
    page.wait_for_function("document.querySelector('#f-student-shape input')?.value === 'L-2_H-64_A-2'")
    page.wait_for_function("document.querySelector('#f-training-epochs input')?.value === '1'")
    page.wait_for_selector("#qt-verdict .good")
    page.fill("#f-training-epochs input", "2")
    page.click("button:has-text('The same without the page')")
    page.wait_for_selector("text=--epochs 2")


def test_a_file_is_uploaded_looked_at_and_its_columns_chosen(trained_server, visit, tmp_path):
    mine = tmp_path / "mine.csv"
    rows = "".join(f"good thing {n},<b>yes</b>,{n % 3}\nbad thing {n},no,{n % 3}\n" for n in range(30))
    mine.write_text("text,verdict,part\n" + rows)
    page = visit(f"{trained_server.url}/?tab=distil")
    page.wait_for_selector("#qt-preview .qt-chart")
    page.click("button:has-text('Columns, evaluation data')")
    page.wait_for_selector("#qt-upload-eval[disabled]")  # the sample is measured on its own part
    page.click("button:has-text('Columns, evaluation data')")
    page.click("#f-look-data label:has-text('Upload')")
    page.set_input_files("#qt-upload input[type=file]", mine)
    page.wait_for_selector("#qt-preview >> text=<b>yes</b>")  # shown as it is, never as markup
    page.wait_for_selector("#qt-note-data .warn >> text='part' could be it too")
    assert page.locator(".qt-note:has-text(\"'part' could be it too\")").count() == 1, "once is enough"
    page.click("button:has-text('Columns, evaluation data')")
    page.click("#f-data-label_column input")
    page.click("[role=option]:has-text('part')")
    page.wait_for_selector("#qt-preview .qt-bars li:nth-child(3)")
    held, more = tmp_path / "held.csv", tmp_path / "more.txt"
    held.write_text("text,verdict,part\n" + rows.replace("thing", "matter"))
    more.write_text("\n".join(f"some other thing {n}" for n in range(30)))
    for which, file in (("eval", held), ("unlabelled", more)):
        with page.expect_file_chooser() as chooser:
            page.click(f"#qt-upload-{which}")
        chooser.value.set_files(file)
        page.wait_for_function(
            f"document.querySelector('#f-data-{which} input, #f-data-{which} textarea')?.value.includes('{file.stem}')"
        )
    if SHOTS:
        page.screenshot(path=SHOTS / "distil-uploads-1280.png", full_page=True)
    page.fill("#f-data-train input, #f-data-train textarea", "data/nothing.csv")
    page.wait_for_selector("#qt-preview .bad >> text=no data file")
    page.wait_for_selector("#qt-note-data .bad")
    page.wait_for_selector("#qt-start[disabled]")
    broken = tmp_path / "broken.csv"
    broken.write_bytes(b"\x00\x01\x02" * 500)
    page.set_input_files("#qt-upload input[type=file]", broken)
    page.wait_for_selector("#qt-preview .bad")
    page.set_input_files("#qt-upload input[type=file]", mine)
    page.wait_for_selector("#qt-preview .qt-bars li:nth-child(3)")
    (tmp_path / "empty.csv").write_bytes(b"")
    page.set_input_files("#qt-upload input[type=file]", tmp_path / "empty.csv")
    page.wait_for_selector("text='empty.csv' is empty")
    page.wait_for_function("document.querySelector('#f-data-train input, #f-data-train textarea')?.value === ''")
    page.wait_for_selector("#qt-note-data .bad")
    page.wait_for_selector("#qt-start[disabled]")  # the file before it is not what was just given
    page.set_input_files("#qt-upload input[type=file]", mine)
    page.wait_for_selector("#qt-preview .qt-bars li:nth-child(3)")
    (tmp_path / "letter.docx").write_bytes(b"PK" * 500)
    page.set_input_files("#qt-upload input[type=file]", tmp_path / "letter.docx")
    page.wait_for_selector("text='letter.docx' is no data file")
    page.wait_for_function("document.querySelector('#f-data-train input, #f-data-train textarea')?.value === ''")
    assert "Traceback" not in page.inner_text("body")
