"""The page's parts that need neither a server nor a browser: numbers, charts, forms, guards, zips, texts."""

from __future__ import annotations

import ast
import io
import json
import re
import shlex
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import tiny
from qtinker import catalog, checkpoint, registry, runs
from qtinker.errors import InputError
from qtinker.export.formats import FORMATS
from qtinker.home import home
from qtinker.quantize.schemes import SCHEMES
from qtinker.runtime import extras
from qtinker.spec import RunSpec
from qtinker.ui import charts, choices, curves, form, format, guard, quantize_page, run_views
from qtinker.ui.distil_logic import Logic
from qtinker.ui.downloads import models_csv, stream_zip, zip_length
from qtinker.ui.guide import AMOUNTS, GOALS, LABELS, LANGUAGES, advise
from qtinker.ui.texts import LANGUAGES as TONGUES
from qtinker.ui.texts import Texts, messages

EVIL = "<img src=x onerror=alert(1)>&\"'"
SPEC = {"teacher": {"model": "bert-base-uncased"}, "student": {"model": "bert-mini"}, "data": {"train": "sample"}}


@pytest.mark.parametrize(
    ("value", "shown"), [(12345, "12,345"), (0.0312, "0.0312"), (None, "–"), (float("nan"), "–"), (1.5, "1.5")]
)
def test_numbers_for_people(value, shown):
    assert format.number(value) == shown


def test_sizes_and_times_for_people():
    assert [format.size(n) for n in (12, 4_400_000, 438_000_000, 1_250_000_000)] == [
        "12 B",
        "4.4 MB",
        "438 MB",
        "1.2 GB",
    ]
    assert [format.duration(s) for s in (4, 75, 3700, 200_000)] == ["4 s", "1 min 15 s", "1 h 1 min", "2 d 7 h"]
    assert format.short_number(109_482_240) == "109 M" and format.percent(0.8934) == "89.3 %"


def test_downsampling_keeps_ends_and_spikes():
    points = [(float(x), 1.0) for x in range(10_000)]
    points[4321] = (4321.0, 99.0)
    kept = charts.downsample(points, 200)
    assert len(kept) <= 200 and kept[0] == points[0] and kept[-1] == points[-1] and (4321.0, 99.0) in kept
    assert kept == sorted(kept)


def test_axis_has_round_ticks_around_the_values():
    axis = charts.axis([0.13, 0.97])
    assert axis.low <= 0.13 and axis.high >= 0.97 and axis.ticks == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert charts.axis([5.0, 5.0]).low < 5 < charts.axis([5.0, 5.0]).high


@pytest.mark.parametrize(("layers", "cuts"), [(1, []), (2, ["0", "1"]), (4, ["0,2", "1,3", "0", "3"])])
def test_a_shallow_teacher_has_the_cuts_that_it_allows(layers, cuts):
    offer = replace(choices.from_offer(catalog.catalog()["bert-tiny"]), layers=layers)
    assert [value for _, value in choices.layer_choices(offer, Texts("en"))] == cuts


def test_the_axis_of_a_share_ends_at_all_of_it():
    assert charts.axis([100.0, 100.0]).ticks == [90, 95, 100, 105, 110]  # what `most` is for
    assert charts.axis([100.0, 100.0], most=100).ticks == [90, 95, 100]
    assert charts.axis([0.9, 1.7], most=1).high >= 1.7  # no share
    drawn = charts.scatter([("a", 1.0, 100.0, 1.0)], title="t", summary="s", x_title="x", y_title="%")
    assert ">100<" in drawn and ">110<" not in drawn


def test_points_whose_names_would_collide_are_numbered_and_listed():
    names = [f"teacher-L0-1-3-4-from-teacher-logit-{scheme}" for scheme in ("int4", "int8", "float")]
    apart = charts.scatter([("a", 10.0, 90.0, 1.0), ("b", 90.0, 80.0, 1.0)], title="t", summary="s", x_title="x",
                           y_title="%")  # fmt: skip
    assert "qt-has-names" in apart and apart.count('class="qt-named"') == 2
    close = charts.scatter([(name, 10.0 + index, 97.9, 1.0) for index, name in enumerate(names)], title="t",
                           summary="s", x_title="x", y_title="%")  # fmt: skip
    assert "qt-has-names" not in close and "qt-named" not in close
    for number, name in enumerate(names, start=1):
        assert f"<b>{number}</b><span>{name}</span>" in close and f'title="{name}"' in close


def test_words_beside_dots_lie_on_no_other_words_and_no_dot():
    places, area = [(0.05, 0.9), (0.09, 0.9), (0.16, 0.9), (0.95, 0.9)], charts.NARROW
    found = charts._beside(places, [11] * 4, [8] * 4, area)
    spots = [(x * area[0] + dx, (1 - y) * area[1] + dy) for (x, y), (dx, dy) in zip(places, found, strict=True)]
    for index, (left, line) in enumerate(spots):
        assert left >= 0 and left + 8 <= area[0]
        assert not any(abs(left - x) < 8 and abs(line - y) < charts.LINE for x, y in spots[:index])
        for x, y in places:
            across = max(left - x * area[0], x * area[0] - left - 8)
            assert across >= 11 or abs(line - (1 - y) * area[1]) >= 11


def test_one_evaluation_stands_in_the_middle_over_its_own_step():
    drawn = charts.line_chart([charts.Series("accuracy", [(24, 0.75)], dots=True)], title="t", summary="s")
    assert drawn.count('class="qt-x"') == 1 and 'class="qt-x" style="left:50.00%">24<' in drawn


def test_charts_escape_names_and_say_what_they_show():
    drawn = charts.line_chart([charts.Series(EVIL, [(1, 2.0), (2, 1.0)])], title=EVIL, summary="From 2 to 1.")
    assert "<img" not in drawn and "From 2 to 1." in drawn and 'role="img"' in drawn


def test_smoothing_is_a_running_mean():
    assert charts.smoothed([(0, 0.0), (1, 2.0), (2, 4.0), (3, 6.0)], share=0.5) == [
        (0, 0.0),
        (1, 1.0),
        (2, 3.0),
        (3, 5.0),
    ]


# --- form ---------------------------------------------------------------------------------------------------------


def test_form_values_become_a_spec_and_come_back():
    values = {
        "teacher.model": "bert-base-uncased",
        "teacher.finetune": True,
        "student.layers": "0,2,4",
        "data.train": "sample",
        "method.name": "patient",
        "method.patient.beta": 10.0,
        "method.logit.temperature": 7.0,
        "training.epochs": 2,
        "training.max_steps": "50",
        "training.eval_every": "",
        "quantize": [{"scheme": "int8-dynamic"}],
    }
    spec = RunSpec.parse(form.to_spec(values))
    assert spec.student.layers == [0, 2, 4] and spec.method.name == "patient" and spec.method.beta == 10
    assert spec.method.temperature == 2.0, "a setting of another method has no say"
    assert spec.training.max_steps == 50 and spec.training.eval_every is None
    back = form.from_spec(spec, [*values, "method.patient.layer_mapping"])
    assert back["student.layers"] == "0,2,4" and back["quantize"] == ["int8-dynamic"]
    assert back["method.patient.beta"] == 10 and "method.logit.temperature" not in back
    assert back["training.max_steps"] == "50"


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"method": {"name": "patient", "layer_mapping": "1:2,2:4"}, "control": True},
        {"student": {"layers": "0,2,4"}, "quantize": [{"scheme": "int8-dynamic"}, {"scheme": "int4-weight-only"}]},
        {"student": {"shape": "L-2_H-128_A-2"}, "training": {"epochs": 1.5, "device": "cpu"}, "name": "a-name"},
    ],
)
def test_the_command_shown_amounts_to_the_same_spec(more):
    spec = RunSpec.parse(SPEC | more)
    words = shlex.split(form.command_line(spec))
    assert words[:3] == ["python3", "app", "distill"]
    done = subprocess.run(
        [sys.executable, "-m", "qtinker", *words[2:], "--print-spec", "--json"], capture_output=True, text=True,
        cwd=Path(__file__).parents[2] / "app",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert RunSpec.parse(json.loads(done.stdout.splitlines()[-1])["spec"]) == spec


def test_every_field_of_the_form_has_words():
    from qtinker.options import distill_options

    for option in distill_options():
        if option.path[0] not in ("method", "preset") and len(option.path) <= 2:
            label, _ = form.words(option.field, Texts())
            assert label, option.field


def test_every_setting_has_a_field_on_the_page():
    from qtinker.options import distill_options
    from qtinker.ui import app

    def ids(block):
        yield getattr(block, "elem_id", None)
        for child in getattr(block, "children", []):
            yield from ids(child)

    drawn = set(ids(app.build()))
    settings = {
        f"f-method-{name}-{option.path[1]}" if option.methods else "f-" + "-".join(option.path)
        for option in distill_options() for name in option.methods or [""] if option.path[0] != "preset"
    }  # fmt: skip
    assert settings - drawn == set()


def test_cuts_offered_hold_the_layers_that_feature_imitates():
    from qtinker.distill.mapping import feature_pairs
    from qtinker.ui import choices

    values = [value for _, value in choices.layer_choices(None, Texts())]  # a teacher of 12 layers
    assert len(set(values)) == len(values) and {"0,2,4,6,8,10", "0,2,4,7,9,11"} <= set(values)
    for keep in (6, 4, 3, 2):
        imitated = [layer - 1 for _, layer in feature_pairs("uniform", student=keep, teacher=12)]
        assert ",".join(map(str, imitated)) in values


def test_a_new_teacher_keeps_the_layers_that_it_has_and_replaces_others(qtinker_home):
    def chosen(teacher, layers, before=()):
        *_, cards, text, _ = Logic([], Texts()).teacher_chosen(teacher, None, True, layers, list(before))
        return cards.value, text

    assert chosen("bert-base-uncased", "0,2,4") == (None, "0,2,4"), "own layers, which are no card"
    first, text = chosen("bert-base-uncased", "0,2", before=["0,2", "1,3"])
    assert first == text != "0,2", "a card of the teacher before"
    assert chosen("bert-tiny", "0,2") == ("0", "0"), "it has two layers"
    assert chosen("bert-tiny", "1") == ("1", "1")
    assert chosen("bert-base-uncased", "none of it")[0] is not None
    assert chosen("bert-base-uncased", "") == (None, "")


def test_a_page_that_is_not_filled_in_yet_takes_nothing_back(qtinker_home):
    """The tab opens while the page loads, and its answer may come after what loading chose."""
    import gradio as gr
    from qtinker.ui import app

    names, *rest = Logic([], Texts()).refresh(None, None, "model")
    assert [value for _, value in names.choices] and rest == [gr.skip()] * 4
    students, _, fetch, fetch_student = Logic([], Texts()).refresh("bert-base-uncased", "bert-mini", "model")[1:]
    assert "bert-mini" in [value for _, value in students.choices] and fetch.visible and fetch_student.visible

    in_turn = [each.name for each in app.build().fns.values() if each.concurrency_id == "distil-models"]
    assert sorted(in_turn) == ["refresh", "teacher_chosen"], "an answer for the teacher before comes first"


def test_a_form_with_several_teachers_becomes_their_spec(qtinker_home):
    values = {
        "look.data": "sample", "look.student": "layers",
        "teacher.model": "bert-base-uncased", "teacher.finetune": False, "teacher.epochs": 3,
        "teacher.also": "bert-small, bert-mini", "teacher.weights": "2,1,1", "teacher.cache_gb": "4",
        "student.layers": "0,2", "student.architecture": "distilbert", "method.name": "feature",
        "training.quantization_aware": "int4",
    }  # fmt: skip
    spec, problems = Logic(list(values), Texts())._spec(tuple(values.values()))
    assert not problems
    assert spec.teacher.also == ["bert-small", "bert-mini"] and spec.teacher.weights == [2, 1, 1]
    assert spec.teacher.cache_gb == 4 and spec.training.quantization_aware == "int4"
    assert spec.student.architecture == "distilbert"
    away = values | {"teacher.also": "../elsewhere", "teacher.weights": ""}
    assert [each.field for each in Logic(list(away), Texts())._spec(tuple(away.values()))[1]] == ["teacher.also"]


# --- guards -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "../../etc/passwd", "data/../../x.csv", "~/.bashrc", "\0", "C:\\Windows\\win.ini", "", 7, None],
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


# --- zips and tables ----------------------------------------------------------------------------------------------


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


# --- runs ---------------------------------------------------------------------------------------------------------


def _step(step, loss, phase="distill"):
    return {"kind": "step", "phase": phase, "step": step, "total_steps": 9, "loss": loss, "parts": {"soft": loss}}


def test_curves_read_on_and_go_back_where_a_resumed_run_does(qtinker_home):
    run = runs.create(RunSpec.parse(SPEC))
    with run.files.events.open("a") as file:
        for event in (_step(1, 3.0), _step(2, 2.0), _step(3, 1.0)):
            file.write(json.dumps(event) + "\n")
        file.write('{"kind": "step", "phase": "dis')  # half a line, still being written
    assert curves.curves(run).phases["distill"].losses["loss"] == [(1, 3.0), (2, 2.0), (3, 1.0)]
    with run.files.events.open("a") as file:
        file.write('till", "step": 4, "loss": 0.9}\n' + json.dumps(_step(3, 1.1)) + "\n")
    known = curves.curves(run)
    assert known.phases["distill"].losses["loss"] == [(1, 3.0), (2, 2.0), (3, 1.1)]


def test_long_curves_stay_small(qtinker_home):
    run = runs.create(RunSpec.parse(SPEC))
    with run.files.events.open("a") as file:
        file.writelines(json.dumps(_step(step, 1.0)) + "\n" for step in range(1, 20_001))
    points = curves.curves(run).phases["distill"].losses["loss"]
    assert len(points) <= curves.POINTS_KEPT and points[0][0] == 1 and points[-1][0] == 20_000
    drawn = run_views.charts_html("x", curves.curves(run), [], Texts())
    assert len(drawn) < 60_000


def test_what_runs_say_is_never_markup(qtinker_home):
    run = runs.create(RunSpec.parse(SPEC))
    state = run.state() | {"name": EVIL, "error": {"message": EVIL, "fix": EVIL}, "status": "failed", "kind": EVIL}
    with run.files.events.open("a") as file:
        file.write(json.dumps({"kind": "message", "phase": EVIL, "level": "warning", "text": EVIL}) + "\n")
        file.write(json.dumps({"kind": "phase", "phase": EVIL, "title": EVIL}) + "\n")
        file.write(json.dumps(_step(1, 1.0, phase=EVIL)) + "\n")
    known = curves.curves(run)
    for drawn in (run_views.list_html([state], "", Texts()), run_views.head_html(state, known, Texts()),
                  run_views.charts_html(EVIL, known, [(EVIL, known)], Texts())):  # fmt: skip
        assert "<img" not in drawn


# --- words --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", [name for name in TONGUES if name != "en"])
def test_a_translation_has_every_text_with_the_same_blanks(language):
    english, other = Texts("en"), Texts(language)
    assert Texts.keys(language) >= Texts.keys("en"), sorted(Texts.keys("en") - Texts.keys(language))
    for key in Texts.keys("en"):
        blanks = [set(re.findall(r"\{(\w+)\}", words.get(key))) for words in (english, other)]
        assert blanks[0] == blanks[1], key


def test_every_text_that_the_page_asks_for_is_there():
    folder = Path(guard.__file__).parent
    asked = {
        key for path in folder.glob("*.py") for key in re.findall(r'\bt\("([a-z0-9_.]+)"', path.read_text("utf-8"))
    }
    assert asked and not asked - Texts.keys("en")


def said_in_source() -> list[re.Pattern[str]]:
    """Every text of the program's source as a pattern, anything where a value stands."""

    def text(node: ast.AST) -> str:
        if isinstance(node, ast.Constant):
            return node.value if isinstance(node.value, str) else "\0"
        if isinstance(node, ast.JoinedStr):
            return "".join(map(text, node.values))
        return text(node.left) + text(node.right) if isinstance(node, ast.BinOp) else "\0"

    found = set()
    for path in Path(guard.__file__).parents[1].rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Constant | ast.JoinedStr | ast.BinOp):
                words = re.sub("\0+", "\0", text(node))
                if sum(map(str.isalpha, words)) >= 6 and "\n" not in words:
                    found.add(words)
    return [re.compile(".+?".join(map(re.escape, words.split("\0"))) + r"\.?", re.DOTALL) for words in sorted(found)]


def test_what_the_core_says_is_known_to_the_page():
    source = said_in_source()
    for language in ("en", "zh"):
        known = json.loads((Path(messages.__file__).parent / f"messages.{language}.json").read_text("utf-8"))
        for english, other in known.items():
            blanks = [sorted(re.findall(r"\{\d\}", words)) for words in (english, other)]
            assert set(blanks[1]) <= set(blanks[0]), english
        ours = [words for words in known if not words.startswith(("Input should", "String should"))]  # pydantic's
        stale = [words for words in ours if not any(pattern.fullmatch(words) for pattern in source)]
        assert len(stale) < 0.1 * len(ours), stale


@pytest.mark.parametrize(
    ("said", "english", "chinese"),
    [
        ("There is no column 'x' in a.csv. Its columns are: 'a', 'b'.", None, "a.csv 中没有列 'x'。现有列：'a', 'b'。"),
        (
            "The disk is full (no room). Free some space, then go on with: python3 app runs resume r1",
            "The disk is full (no room). Free some space, then press Resume.",
            "磁盘已满（no room）。请腾出空间，然后点“继续”。",
        ),
        ("Nobody wrote this. Try again.", None, "Nobody wrote this. 请再试一次。"),
        ("Input should be greater than 0 (given: -1).", None, "必须大于 0（当前：-1）。"),
        ("", None, ""),
    ],
)
def test_sentences_of_the_core_in_the_words_of_the_page(said, english, chinese):
    assert Texts("en").said(said) == (said if english is None else english)
    assert Texts("zh").said(said) == chinese


def test_the_guide_only_names_what_the_catalog_has():
    for goal in GOALS:
        for amount in AMOUNTS:
            for labels in LABELS:
                for language in LANGUAGES:
                    advice = advise(goal, amount, labels, language)
                    assert advice.teacher in catalog.catalog()
                    assert advice.student == "layers" or advice.student in catalog.catalog()
                    for reason in advice.reasons:
                        assert Texts()(f"guide.why_{reason}")


# --- reports ------------------------------------------------------------------------------------------------------


def test_a_comparison_has_every_figure_as_table_and_plot(tmp_path):
    from qtinker.cli.measuring import write_page

    models = [
        {"name": name, "path": name, "engine": engine, "metrics": {"accuracy": score}, "agreement": 0.97, "bytes": size,
         "bytes_by_part": {"embeddings": size // 2, "encoder": size // 4, "head": size // 4}, "parameters": 4_000_000,
         "latency_ms": {"p50": 1.5, "p95": 2.5}, "batch_latency_ms": {"p50": 31.5, "p95": 47.5},
         "examples_per_second": 777.0, "peak_memory_bytes": 5e8, "model_memory_bytes": 66_000_000, "speedup": None}
        for name, engine, score, size in (("big", "torch", 0.91, 16_000_000), ("small", "openvino", 0.9, 4_000_000))
    ]  # fmt: skip
    result = {"models": models, "data": {"examples": 10}, "environment": {"threads": 3, "cpu_features": ["avx2"]},
              "warnings": ["small is 2.0 times slower in batches than its source big on this processor."]}  # fmt: skip
    write_page(result, tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    for figure in ("1.5 ms", "2.5 ms", "31.5 ms", "47.5 ms", "777", "66.0 MB", "8.0 MB", "2.0 MB", "97.0 %", "avx2",
                   "2.0 times slower", "openvino", "<svg"):  # fmt: skip
        assert figure in text, figure
    assert "<script" not in text


# --- quantize & export --------------------------------------------------------------------------------------------


def test_only_what_is_installed_is_offered_and_the_rest_names_its_button(monkeypatch):
    t = Texts("en")
    monkeypatch.setattr(extras, "has", lambda module: module in extras.EXTRAS["onnx"])
    assert [value for _, value in quantize_page.engine_choices("int8-dynamic", t)] == ["auto", "torchao", "onnxruntime"]
    monkeypatch.setattr(extras, "has", lambda module: False)
    assert quantize_page.engine_choices("int8-weight-only", t) == [
        ("Automatic: compressed-tensors", "auto"), ("compressed-tensors", "compressed-tensors"),
    ]  # fmt: skip
    assert set(SCHEMES) - set(quantize_page.schemes_here()) == {"int8-static", "nf4"}
    said = quantize_page.lacking_html(quantize_page.lacking_formats(t), t)
    assert said.count("qt-note") == 5 and "The button “Install onnx” on this page" in said
    assert "The button “Install openvino”" in quantize_page.lacking_html(quantize_page.lacking_schemes(t), t)


def test_every_scheme_and_format_has_chinese_words():
    keys = [f"scheme.{name}.{part}" for name in SCHEMES for part in ("title", "suits", "touches")]
    keys += [f"format.{name}.{part}" for name in FORMATS for part in ("title", "runs_on")]
    assert not set(keys) - Texts.keys("zh")


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
