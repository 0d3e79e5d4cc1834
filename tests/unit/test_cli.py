"""The command line's contract: exit statuses, one-line errors, JSON as the last line, no traceback."""

from __future__ import annotations

import errno
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from qtinker import cli, registry
from qtinker.cli import border
from qtinker.errors import InputError
from qtinker.spec import RunSpec

ROOT = Path(__file__).resolve().parents[2]
DISTILL = ["distill", "--teacher", "t", "--student", "s", "--data", "x.csv"]


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    status = cli.main(list(arguments))
    out, err = capsys.readouterr()
    return status, out, err


def start(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The program in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "qtinker", *arguments], capture_output=True, text=True, encoding="utf-8",
        env=os.environ | {"PYTHONPATH": str(ROOT / "app"), "PYTHONIOENCODING": "utf-8"} | environment,
    )  # fmt: skip


def test_every_verb_is_there_and_takes_json(capsys):
    verbs = "demo test doctor models download import data finetune distill quantize evaluate predict run runs"
    for verb in verbs.split():
        status, out, _ = run(capsys, verb, "--help")
        assert status == 0, verb
        assert "--json" in out, verb


def test_print_spec_is_what_run_reads(capsys, tmp_path):
    options = [
        "--method",
        "patient",
        "--layer-mapping",
        "1:2",
        "--lr",
        "1e-4",
        "--control",
        "--quantize",
        "int8-dynamic",
    ]
    status, out, _ = run(capsys, *DISTILL, *options, "--print-spec")
    assert status == 0
    (tmp_path / "spec.yaml").write_text(out, encoding="utf-8")
    spec = RunSpec.load(tmp_path / "spec.yaml")
    assert (spec.method.name, spec.method.layer_mapping) == ("patient", [(1, 2)])
    assert (spec.training.learning_rate, spec.control, spec.quantize[0].scheme) == (1e-4, True, "int8-dynamic")
    status, again, _ = run(capsys, "run", str(tmp_path / "spec.yaml"), "--print-spec", "--json")
    assert RunSpec.parse(json.loads(again)["spec"]) == spec


@pytest.mark.parametrize("encoding", ["cp1252", "utf-8", "utf-16"])  # utf-16: `> FILE` in Windows' PowerShell
@pytest.mark.parametrize(
    ("verb", "again"), [(DISTILL, ["run"]), (["compare", "--data", "x.csv"], ["compare", "--spec"])]
)
def test_a_spec_survives_a_file_that_is_not_utf_8(capsys, monkeypatch, tmp_path, encoding, verb, again):
    file = tmp_path / "spec.yaml"
    with file.open("w", encoding=encoding) as out, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", out)
        assert cli.main([*verb, "--label-column", "größe 好", "--print-spec"]) == 0
    status, told, err = run(capsys, *again, str(file), "--print-spec", "--json")
    assert status == 0, err
    assert json.loads(told)["spec"]["data"]["label_column"] == "größe 好"


@pytest.mark.parametrize(
    ("verb", "other", "fix"),
    [(["compare", "--data", "x.csv"], ["run"], "compare --spec"), (DISTILL, ["compress", "--spec"], "run")],
)
def test_a_spec_of_another_verb_is_refused_with_the_right_one(capsys, tmp_path, verb, other, fix):
    file = tmp_path / "spec.yaml"
    file.write_text(run(capsys, *verb, "--print-spec")[1])
    status, _, err = run(capsys, *other, str(file))
    assert status == 2 and f"Run: python3 app {fix} {file}" in err


@pytest.mark.parametrize(
    ("encoding", "kept"), [("cp1252", b"gr\\u00f6\\u00dfer \\u597d"), ("utf-8", "größer 好".encode())]
)
def test_json_is_utf_8_in_every_pipe(monkeypatch, encoding, kept):
    from qtinker import api

    monkeypatch.setattr(api, "models", lambda: {"models": ["größer 好"], "catalog": []})
    pipe = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(pipe, encoding=encoding))
    assert cli.main(["models", "--json"]) == 0
    assert kept in pipe.getvalue() and json.loads(pipe.getvalue().decode("utf-8"))["models"] == ["größer 好"]


def test_a_password_file_may_begin_with_a_byte_order_mark(tmp_path):
    from qtinker.cli.page import credentials

    (tmp_path / "password").write_bytes("\ufeffgeheim ö\r\n".encode())
    assert credentials("me", tmp_path / "password") == ("me", "geheim ö")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["distill", "--frobnicate"], "error: No such option: --frobnicate"),
        (["distil"], "error: No such command 'distil'"),
        (["distill", "--data", "x"], "error: Missing option '--teacher'"),
        ([*DISTILL, "--beta", "2"], "error: --beta is no setting of the method logit; it belongs to patient."),
        ([*DISTILL, "--method", "best"], "error: Invalid value for '--method': 'best' is not one of 'logit'"),
        ([*DISTILL, "--temperature", "0"], "error: --temperature: must be greater than 0 (given: 0.0)."),
        (["distill", "--teacher", "t", "--data", "x"], "error: spec: name a student"),
        ([*DISTILL, "--student-shape", "L-2_H-3_A-2"], "error: --student-shape: hidden units must be a multiple"),
        (["finetune", "--data", "x.csv"], "error: Name the model to train."),
        (["run", "absent.yaml"], "error: Can't read absent.yaml"),
        (["download"], "error: Name what to fetch"),
        (["download", "bert-tinny"], "error: "),
        (["models", "verify", "nobody"], "error: There is no model 'nobody'"),
        (["models", "remove", "nobody", "--yes"], "error: There is no model 'nobody'"),
        (["runs", "show", "nothing"], "error: There is no run 'nothing'"),
        (["runs", "resume", "nothing"], "error: There is no run 'nothing'"),
        (["data", "absent.csv"], "error: "),
        (["data", "x.csv", "--max-length", "2"], "error: --max-length: must be greater than or equal to 8"),
        (["import", "~nobody-here/model"], "error: There is no file or folder ~nobody-here/model."),
        (["finetune", "~nobody-here/model", "--data", "x.csv"], "error: MODEL: There is no model '~nobody-here/model'"),
        (["predict", "nobody"], "error: Give at least one text."),
        (["predict", "nobody", " "], "error: A text is empty."),
        (["quantize", "nobody", "--scheme", "int2"], "error: Invalid value for '--scheme'"),
    ],
)
def test_wrong_input_is_a_line_for_each_problem_and_status_2(capsys, arguments, line):
    status, out, err = run(capsys, *arguments)
    assert (status, out) == (2, "")
    assert err.startswith(line), err
    assert all(each.startswith("error: ") for each in err.splitlines()), err
    assert "Traceback" not in err
    status, out, err = run(capsys, *arguments, "--json")
    error = json.loads(out.splitlines()[-1])["error"]
    assert error["exit_status"] == status == 2
    assert error["message"] in " ".join(err.split()).replace("error: ", "")


def test_all_problems_come_at_once(capsys):
    _, out, err = run(capsys, *DISTILL, "--epochs", "0", "--batch-size", "0", "--json")
    problems = json.loads(out)["error"]["problems"]
    assert [problem["field"] for problem in problems] == ["--epochs", "--batch-size"]
    assert [line.split(": ")[:2] for line in err.splitlines()] == [["error", "--epochs"], ["error", "--batch-size"]]


def test_several_versions_are_asked_for_by_commas_or_by_repeating(capsys):
    for words in (["--quantize", "int8-dynamic,nf4"], ["--quantize", "int8-dynamic", "--quantize", "nf4"]):
        _, out, _ = run(capsys, *DISTILL, *words, "--print-spec", "--json")
        assert [each["scheme"] for each in json.loads(out)["spec"]["quantize"]] == ["int8-dynamic", "nf4"]
    status, _, err = run(capsys, *DISTILL, "--quantize", "int8-dynamic,int8")
    assert status == 2 and err.startswith("error: --quantize: must be 'int8-dynamic'") and "given: 'int8'" in err


def test_an_option_without_its_value_names_the_help_of_its_verb(capsys):
    for verb in ("distill", "quantize"):
        assert run(capsys, verb, "--data")[2].rstrip().endswith(f"{verb} --help")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_what_cannot_be_written_is_said_in_words(capsys, monkeypatch, qtinker_home, number):
    from qtinker import api

    def full():
        raise OSError(number, os.strerror(number), "some/file")

    monkeypatch.setattr(api, "models", full)
    status, _, err = run(capsys, "models")
    assert status == 1 and err.startswith(f"error: Can't write some/file: {os.strerror(number)}. Make room, give")
    assert not (qtinker_home / "logs").exists()


def test_who_may_not_write_sees_the_runs(capsys, monkeypatch):
    from qtinker import jobs, runs

    made = runs.create(RunSpec.parse({"student": {"model": "m"}, "data": {"train": "sample"}}))

    def refused(*_, **__):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(jobs.filelock, "FileLock", refused)
    status, out, _ = run(capsys, "runs", "--json")
    assert status == 0 and [each["id"] for each in json.loads(out)["runs"]] == [made.id]


def test_the_unforeseen_is_one_line_and_a_traceback_in_a_file(capsys, monkeypatch, qtinker_home):
    from qtinker import api

    def broken():
        raise ZeroDivisionError("nobody expected\nthis")

    monkeypatch.setattr(api, "models", broken)
    status, out, err = run(capsys, "models", "--json")
    assert status == 1
    assert len(err.splitlines()) == 1
    assert err.startswith("error: ZeroDivisionError: nobody expected this. The traceback is in ")
    log = Path(err.strip().removesuffix(".").split(" is in ")[1])
    assert log.parent == qtinker_home / "logs"
    assert "Traceback" in log.read_text()
    assert json.loads(out)["error"]["type"] == "ZeroDivisionError"


def test_what_prints_does_not_disturb_the_json(capsys, monkeypatch):
    from qtinker import api

    def chatty():
        print("a library talks")
        return {"models": [], "catalog": [], "figure": float("nan"), "path": Path("x")}

    monkeypatch.setattr(api, "models", chatty)
    status, out, err = run(capsys, "models", "--json")
    assert status == 0
    assert json.loads(out) == {"models": [], "catalog": [], "figure": None, "path": "x"}
    assert "a library talks" in err


@pytest.mark.parametrize("error", [KeyboardInterrupt, "RunStopped"])
def test_stopped_is_130(capsys, monkeypatch, error):
    from qtinker import api, errors

    def stopped():
        raise errors.RunStopped("Stopped at step 3.", "Go on with: x") if error == "RunStopped" else error

    monkeypatch.setattr(api, "runs", stopped)
    status, out, err = run(capsys, "runs", "--json")
    assert status == 130
    assert json.loads(out)["error"]["exit_status"] == 130
    assert not err.startswith("error:")


def test_the_contract_in_a_real_process():
    done = start("models", "--json")
    assert done.returncode == 0, done.stderr
    assert {"models", "catalog"} <= set(json.loads(done.stdout.splitlines()[-1]))
    assert "\x1b" not in start("models").stdout  # no colour in a pipe
    wrong = start("evaluate", "nobody", "--data", "sample", "--json")
    assert wrong.returncode == 2, wrong.stderr
    assert json.loads(wrong.stdout)["error"]["type"] == "InputError"


def test_a_terminal_that_knows_only_ascii(qtinker_home):
    folder = qtinker_home / "bert_models" / "hub" / "größer"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"model_type": "bert"}')
    done = start("models", PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert "gr??er" in done.stdout


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signal")
def test_a_closed_pipe_is_no_traceback():
    command = f'"{sys.executable}" -m qtinker models --json | true'
    environment = os.environ | {"PYTHONPATH": str(ROOT / "app")}
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, env=environment)
    assert done.stderr == ""


def test_predict_reads_arguments_file_and_input(monkeypatch, tmp_path):
    from qtinker.cli.measuring import read_texts

    (tmp_path / "texts").write_bytes("\ufeffein Satz\r\nnoch größer\r\n".encode())
    monkeypatch.setattr(sys, "stdin", io.StringIO("from\ninput\n"))
    assert read_texts(["one", "-"], tmp_path / "texts") == ["one", "from", "input", "ein Satz", "noch größer"]


def test_predict_answers_every_line_and_no_other(monkeypatch, tmp_path):
    from qtinker.cli.measuring import read_texts

    monkeypatch.setattr(sys, "stdin", io.StringIO("\ufefffirst\n\n"))
    (tmp_path / "texts").write_text("one\n\n\n")
    assert read_texts(["-"], tmp_path / "texts") == ["first", "", "one", "", ""]
    (tmp_path / "texts").write_text("")
    with pytest.raises(InputError, match="at least one text"):
        read_texts([], tmp_path / "texts")
    (tmp_path / "texts").write_bytes("größer".encode("latin-1"))
    with pytest.raises(InputError, match=r"Save it as UTF-8\."):
        read_texts([], tmp_path / "texts")


@pytest.mark.parametrize("errors", ["strict", "surrogateescape"])  # as the C locale has it
def test_input_that_is_not_text_is_refused_in_words(capsys, monkeypatch, errors):
    given = io.BytesIO("größer".encode("latin-1"))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(given, encoding="utf-8", errors=errors))
    status, _, err = run(capsys, "predict", "nobody", "-")
    assert status == 2 and err.startswith("error: Can't read the standard input: 'utf-8' codec can't decode byte")


@pytest.mark.parametrize(
    ("verb", "option", "found"),
    [("predict", "--output", {"predictions": [{"text": "fine", "label": "good", "score": 0.9}]}),
     ("evaluate", "--html", {"models": [], "data": {}, "environment": {}, "warnings": []})],
)  # fmt: skip
def test_a_result_is_not_lost_with_its_file(capsys, monkeypatch, tmp_path, verb, option, found):
    from qtinker import api
    from qtinker.cli import measuring, show

    file = tmp_path / "found.csv"

    def work(*_, **__):
        assert not file.exists()  # trying it left nothing behind
        tries.append(verb)
        file.mkdir()
        return found

    tries: list[str] = []
    monkeypatch.setattr(api, verb, work)
    monkeypatch.setattr(show, "evaluation", lambda result: print("the table"))
    page = SimpleNamespace(comparison_page=lambda *_: "")  # the real one is slow to import
    monkeypatch.setitem(sys.modules, "qtinker.ui.report_views", page)
    command = [verb, "mine", *(["fine"] if verb == "predict" else ["--data", "sample"]), option, str(file)]
    for more, shown in (
        (["--json"], json.dumps(found)),
        ([], "good\t0.900\tfine" if verb == "predict" else "the table"),
    ):
        status, out, err = run(capsys, *command, *more)
        assert (status, out.strip()) == (1, shown) and f"warning: Can't write {file}" in err
        assert run(capsys, *command, *more)[0] == 2 and len(tries) == 1, "a folder is no file, which is seen beforehand"
        file.rmdir()
        tries.clear()
    file.write_text("kept")
    measuring.check_writable(file)
    assert file.read_text() == "kept"
    assert run(capsys, *command[:-1], str(tmp_path / "none" / "a.csv"))[0] == 2


def test_a_model_that_changed_is_told_with_the_way_out(capsys, qtinker_home):
    for group, name in (("bert_small", "bert-tiny"), ("distilled", "mine")):
        with registry.staged(group, name) as folder:
            (folder / "config.json").write_text("{}")
            registry.write_meta(folder, {"name": name})
        (qtinker_home / "bert_models" / group / name / "config.json").write_text("{ }")
    assert cli.main(["models", "verify"]) == 1
    told = capsys.readouterr().out
    assert "models remove bert_small/bert-tiny), then fetch it again: python3 app download bert-tiny\n" in told
    assert "models remove distilled/mine), then make or import it again.\n" in told


def test_a_download_that_is_stopped_says_that_it_goes_on(capsys, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("qtinker.api.download", stop)
    assert cli.main(["download", "bert-tiny"]) == 130
    assert "The same command goes on where it ended." in capsys.readouterr().err


def test_removing_asks_first(capsys, monkeypatch, qtinker_home):
    folder = qtinker_home / "bert_models" / "hub" / "mine"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"model_type": "bert"}')
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False, raising=False)
    status, _, err = run(capsys, "models", "remove", "hub/mine")
    assert status == 2
    assert "Add --yes" in err
    assert folder.exists()
    assert run(capsys, "models", "remove", "hub/mine", "--yes")[0] == 0
    assert not folder.exists()


def test_settings_that_others_make_for_themselves_are_undone(capsys, monkeypatch):
    for name in border.UNWANTED:
        monkeypatch.setenv(name, "1")
    run(capsys, "--version")
    assert not set(border.UNWANTED) & set(os.environ)


def test_version(capsys):
    assert json.loads(run(capsys, "--version", "--json")[1])["version"] == run(capsys, "--version")[1].strip()


def test_no_arguments_show_the_help(capsys):
    status, out, _ = run(capsys)
    assert status == 0
    assert "distill" in out


def test_what_the_teacher_gave_is_said_against_the_control():
    from qtinker.cli import show

    metrics = {"teacher": {"macro_f1": 0.9}, "student": {"macro_f1": 0.88}, "control": {"macro_f1": 0.85}}
    told = show.over_control({"metric": "macro_f1", "metrics": metrics})
    assert told == "Against the control, the same student without the teacher: +0.0300 macro-f1."
    del metrics["control"]
    assert show.over_control({"metric": "macro_f1", "metrics": metrics}) == ""


def test_an_answer_in_a_context_is_told_with_its_place(capsys):
    from qtinker.cli import show

    rows = [{"text": "when?", "answer": "in 1970", "start": 12, "end": 19, "score": 5.1}, {"text": "who?", "answer": "",
            "start": 0, "end": 0, "score": -1.0}, {"text": "fine", "label": "good", "score": 0.9}]  # fmt: skip
    show.predictions(rows)
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["in 1970\t12-19\t5.100\twhen?", "(no answer)\t-1.000\twho?", "good\t0.900\tfine"]
