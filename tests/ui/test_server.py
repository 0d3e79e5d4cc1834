"""The server without a browser: what it answers to raw requests, to programs, and what it imports."""

from __future__ import annotations

import io
import zipfile
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
import requests
from conftest import TINY, Server, until
from gradio_client import Client, handle_file
from qtinker.runtime import extras


@pytest.fixture(scope="module")
def open_server(trained_home):
    """A server in the environment that Pinokio makes."""
    secret = trained_home.parent / "secret.csv"
    secret.write_text("text,label\nsecret,yes\nsecret too,no\n")
    server = Server(trained_home, env={"GRADIO_ALLOWED_PATHS": "/", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"}).start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def program(open_server):
    return Client(open_server.url, verbose=False)


def test_one_line_says_where_it_is(open_server):
    said = [line for line in open_server.lines if line.strip()]
    assert said == [f"QTinker is running at {open_server.url}\n"]
    assert requests.get(open_server.url, timeout=30).status_code == 200


def test_the_page_imports_no_torch(open_server):
    try:
        maps = [each.path for each in psutil.Process(open_server.process.pid).memory_maps()]
    except (psutil.AccessDenied, AttributeError, NotImplementedError):
        pytest.skip("this system does not show a process's libraries")
    assert not [path for path in maps if "libtorch" in path or "transformers" in path]


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=/etc/passwd",
        "/gradio_api/file=../../etc/passwd",
        "/file=/etc/passwd",
        "/gradio_api/file=%2Fetc%2Fpasswd",
        "/gradio_api/file=/proc/self/environ",
        "/download/model/../../etc/passwd",
        "/download/model/%2e%2e%2f%2e%2e%2fetc/passwd",
        "/download/model//etc",
        "/download/model/distilled/..",
        "/download/run/../../etc/report.json",
        "/download/run/..%2f..%2fx/report.json",
        "/download/task/../x/comparison.json",
        "/download/task/../../etc/passwd/comparison.html",
        "/download/run/last/report.html/../../../etc/passwd",
        "/download/model/distilled%2ftiny%00.zip",
        "/static/../../../etc/passwd",
        "/assets/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "/svelte/..%2f..%2fetc/passwd",
        "/zh/gradio_api/file=/etc/passwd",
        "/gradio_api/proxy=file:///etc/passwd",
        "/theme.css/../../etc/passwd",
    ],
)
def test_raw_requests_get_no_file_of_this_computer(open_server, path):
    import http.client

    there = http.client.HTTPConnection("127.0.0.1", open_server.port, timeout=30)
    there.request("GET", path)  # sent as it is: no client tidies the path
    answer = there.getresponse()
    body = answer.read()
    assert answer.status in (307, 400, 403, 404, 405, 422) and b"root:" not in body and b"HOME=" not in body


@pytest.mark.parametrize(
    "value", ["/etc/passwd", "../secret.csv", "../../etc/passwd", "SECRET", "~/.ssh/id_rsa", "runs/../../secret.csv"]
)
def test_no_endpoint_reads_outside(open_server, program, trained_home, value):
    value = str(trained_home.parent / "secret.csv") if value == "SECRET" else value
    spec = {**TINY, "data": {"train": value}}
    calls = [
        ("/data_preview", [value, ""]),
        ("/data_preview", ["sample", value]),
        ("/download", [value]),
        ("/predict", [value, "x"]),
        ("/evaluate", [[value], "sample", 5]),
        ("/evaluate", [["distilled/tiny"], value, 5]),
        ("/run_status", [value]),
        ("/quantize", [value, "int8-dynamic", ""]),
        ("/quantize", ["distilled/tiny", "int8-dynamic", value]),
        ("/quantize", ["distilled/tiny", value, ""]),
        ("/quantize", ["distilled/tiny", "int8-dynamic", "", value]),
        ("/quantize", ["distilled/tiny", "int8-dynamic", "", "auto", value]),
        ("/export", [value, "onnx"]),
        ("/export", ["distilled/tiny", value]),
        ("/export", ["distilled/tiny", "onnx", value]),
        ("/export", ["distilled/tiny", "onnx", "", value]),
        ("/stop", [value]),
        ("/resume", [value]),
        ("/start_distill", [spec]),
        ("/start_distill", [{**TINY, "teacher": {"model": value}}]),
        ("/start_distill", [{**TINY, "student": {"model": value}}]),
        ("/start_distill", [{**TINY, "data": {"train": "sample", "eval": value}}]),
        ("/start_distill", [{**TINY, "data": {"train": "sample", "unlabelled": [value]}}]),
        ("/start_distill", [{**TINY, "data": {"train": "sample", "augment_model": value}}]),
    ]
    for endpoint, arguments in calls:
        with pytest.raises(Exception) as caught:
            program.predict(*arguments, api_name=endpoint)
        words = str(caught.value)
        assert "secret too" not in words and "root:" not in words and "Traceback" not in words, endpoint


def test_file_components_take_only_uploads(open_server):
    """The page's own handlers, asked directly: a path that was not uploaded is refused."""
    config = requests.get(f"{open_server.url}/config", timeout=30).json()
    files = {part["id"] for part in config["components"] if part["type"] == "file"}
    taking = [each for each in config["dependencies"] if files & set(each["inputs"]) and each["backend_fn"]]
    assert taking
    for each in taking:
        data = [
            {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}} if part in files else ""
            for part in each["inputs"]
        ]
        data = [[value] if isinstance(value, dict) and len(data) == 2 else value for value in data]
        asked = {"data": data, "fn_index": each["id"], "session_hash": f"s{each['id']}", "trigger_id": None}
        joined = requests.post(f"{open_server.url}/gradio_api/queue/join", json=asked, timeout=30)
        if joined.status_code != 200:
            continue
        with requests.get(
            f"{open_server.url}/gradio_api/queue/data",
            params={"session_hash": f"s{each['id']}"},
            stream=True,
            timeout=60,
        ) as stream:
            for line in stream.iter_lines():
                assert b"root:" not in line
                if b"process_completed" in line:
                    break
    assert not list(open_server.home.rglob("*passwd*"))
    assert not [path for path in open_server.home.rglob("*") if path.is_file() and b"root:x:0" in path.read_bytes()]


def test_uploads_arrive_and_can_be_used(open_server, program, tmp_path):
    mine = tmp_path / "mine.csv"
    mine.write_text("text,label\n" + "".join(f"good thing {n},yes\nbad thing {n},no\n" for n in range(20)))
    with mine.open("rb") as file:
        answer = requests.post(f"{open_server.url}/gradio_api/upload", files={"files": file}, timeout=30)
    path = answer.json()[0]
    assert path.startswith(str(open_server.home / "cache" / "uploads"))
    assert requests.get(f"{open_server.url}/gradio_api/file={path}", timeout=30).content == mine.read_bytes()
    assert program.predict(path, "", api_name="/data_preview")["rows"] == 40
    assert handle_file  # the documented way to upload


def test_a_model_is_downloaded_whole(open_server):
    answer = requests.get(f"{open_server.url}/download/model/distilled/tiny.zip", timeout=60)
    assert answer.headers["content-disposition"].endswith("tiny.zip")
    assert int(answer.headers["content-length"]) == len(answer.content)
    with zipfile.ZipFile(io.BytesIO(answer.content)) as packed:
        assert packed.testzip() is None and "tiny/config.json" in packed.namelist()


def test_links_in_a_model_are_not_followed(open_server, trained_home):
    inside, outside = (
        trained_home / "bert_models" / "distilled" / "tiny" / "more.txt",
        trained_home.parent / "linked.txt",
    )
    outside.write_text("not yours")
    folder = trained_home / "bert_models" / "distilled" / "elsewhere"
    try:
        inside.symlink_to(outside)
        folder.symlink_to(trained_home.parent)
    except OSError:
        pytest.skip("no links here")
    try:
        got = requests.get(f"{open_server.url}/download/model/distilled/tiny.zip", timeout=60)
        assert got.status_code == 200 and b"not yours" not in got.content and b"more.txt" not in got.content
        assert requests.get(f"{open_server.url}/download/model/distilled/elsewhere.zip", timeout=60).status_code == 404
    finally:
        inside.unlink()
        folder.unlink()


def test_reports_in_three_forms(open_server, trained_home):
    run_id = min(path.name for path in (trained_home / "runs").glob("2*"))
    where = f"{open_server.url}/download/run/{run_id}/report"
    report = requests.get(f"{where}.json", timeout=30).json()
    assert report["run"] == run_id and report["models"]
    rows = requests.get(f"{where}.csv", timeout=30).text.splitlines()
    assert len(rows) == 1 + len(report["models"]) and "metrics.accuracy" in rows[0]
    html = requests.get(f"{where}.html", timeout=30).text
    assert html.startswith("<!doctype html>") and "<script" not in html and "https://" not in html.split("<pre")[0]
    assert requests.get(f"{where}.pdf", timeout=30).status_code == 404


def test_programs_read_models_data_and_answers(program):
    listed = program.predict(api_name="/models")
    assert "distilled/tiny" in {each["full_name"] for each in listed["models"]} and len(listed["catalog"]) > 30
    assert program.predict("sample", "", api_name="/data_preview")["classes"]
    answer = program.predict("distilled/tiny", "where is my parcel?", api_name="/predict")
    assert answer["label"] in answer["probabilities"] and abs(sum(answer["probabilities"].values()) - 1) < 1e-4
    measured = program.predict(["distilled/tiny"], "sample", 40, api_name="/evaluate")["models"][0]
    assert measured["name"] == "tiny" and 0 <= measured["metrics"]["accuracy"] <= 1


def test_programs_quantize_and_a_wrong_name_is_told_in_words(program):
    with pytest.raises(Exception, match="no scheme"):
        program.predict("distilled/tiny", "int3", "", api_name="/quantize")
    with pytest.raises(Exception, match=r"no model|not here"):
        program.predict("bert-gigantic", api_name="/download")
    with pytest.raises(Exception, match="can't make"):
        program.predict("distilled/tiny", "int4-weight-only", "", "torchao", api_name="/quantize")
    with pytest.raises(Exception, match="no format"):
        program.predict("distilled/tiny", "tflite", api_name="/export")
    made = program.predict(
        "distilled/tiny", "int4-weight-only", "tiny-by-program", "compressed-tensors", api_name="/quantize"
    )
    assert made["name"] == "tiny-by-program"
    if extras.is_here("onnx"):
        made = program.predict("distilled/tiny", "onnx", "tiny-onnx-by-program", api_name="/export")
        assert made["name"] == "tiny-onnx-by-program" and made["check"]["agreement"] == 1.0
    else:
        with pytest.raises(Exception, match="pip install onnx"):
            program.predict("distilled/tiny", "onnx", api_name="/export")


def test_a_bad_spec_names_every_problem(program):
    with pytest.raises(Exception) as caught:
        program.predict({**TINY, "training": {"epochs": -1, "batch_size": 0}}, api_name="/start_distill")
    assert "training.epochs" in str(caught.value) and "training.batch_size" in str(caught.value)


def test_others_are_asked_for_a_password(start_server, fresh_home):
    server = start_server(fresh_home, arguments=["--user", "ann"], env={"QTINKER_UI_PASSWORD": "secret"})
    for path in ("/", "/config", "/gradio_api/info", "/download/model/bert_small/practice-bert.zip"):
        assert requests.get(server.url + path, timeout=30).status_code == 401
        assert requests.get(server.url + path, timeout=30, auth=("ann", "secret")).status_code == 200
        assert requests.get(server.url + path, timeout=30, auth=("ann", "wrong")).status_code == 401


def test_the_page_answers_while_a_run_trains(start_server, fresh_home):
    server = start_server(fresh_home)
    there = Client(server.url, verbose=False)
    run_id = there.predict({**TINY, "training": TINY["training"] | {"epochs": 50}}, api_name="/start_distill")["id"]
    until(lambda: there.predict(run_id, api_name="/run_status")["step"], seconds=240)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: requests.get(server.url, timeout=30).status_code, range(16)))
    assert answers == [200] * 16
    there.predict(run_id, api_name="/stop")
