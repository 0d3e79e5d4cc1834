"""One file over HTTP, against a real server that misbehaves: resumed, retried, verified, stopped."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from email.utils import formatdate
from pathlib import Path

import pytest
import servers
from qtinker.download.checksums import Promise, google_hashes
from qtinker.download.http import Cancel, Patience, parse_retry_after, public, session
from qtinker.download.progress import Progress
from qtinker.download.transfer import fetch
from qtinker.errors import DownloadError, InputError, RunStopped
from servers import Storage, cut, google_hash, stall, status

BODY = bytes(range(256)) * 1200
PATH = "/bert_models/x.zip"


@pytest.fixture
def server():
    with Storage() as storage:
        yield storage


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def get(server, tmp_path, waits):
    """Fetch PATH into tmp_path; waits are noted, not waited."""

    def run(*, promise: Promise | None = None, cancel: Cancel | None = None, url: str | None = None, **more):
        more.setdefault("advance", lambda phase, done, total: None)
        patience = Patience(base=1, read=more.pop("read", 20), wait=waits.append)
        return fetch(session(), url or server.url + PATH, tmp_path / "x.zip", promise=promise or Promise(),
                     cancel=cancel or Cancel(), patience=patience, **more)  # fmt: skip

    return run


def until_it_has_bytes(part: Path) -> None:
    deadline = time.monotonic() + 60
    while not (part.exists() and part.stat().st_size) and time.monotonic() < deadline:
        threading.Event().wait(0.02)


def test_a_whole_file_with_google_hashes(server, get, tmp_path):
    server.put(PATH, BODY, google=True)
    seen = []
    received = get(advance=lambda *event: seen.append(event))
    assert (tmp_path / "x.zip").read_bytes() == BODY
    assert not (tmp_path / "x.zip.part").exists()
    assert received.promise.md5 == hashlib.md5(BODY).hexdigest()
    assert received.promise.crc32c is not None
    assert seen[0] == ("download", 0, len(BODY))
    assert ("download", len(BODY), len(BODY)) in seen
    assert seen[-1] == ("verify", len(BODY), len(BODY))
    [request] = server.requests
    assert "Range" not in request.headers
    assert request.headers["Accept-Encoding"] == "identity"


def test_a_broken_line_is_gone_on_with_by_range(server, get, tmp_path, waits):
    resource = server.put(PATH, BODY, google=True)
    resource.mishaps = [cut(100_000), cut(50_000)]
    get()
    assert (tmp_path / "x.zip").read_bytes() == BODY
    first, second, third = server.requests
    assert "Range" not in first.headers
    assert (second.headers["Range"], second.headers["If-Range"]) == ("bytes=100000-", resource.etag)
    assert third.headers["Range"] == "bytes=150000-"
    assert third.sent == len(BODY) - 150_000
    # Each attempt brought something, so each wait is the first of a row: one second, give or take a quarter.
    assert [0.75 <= wait <= 1.25 for wait in waits] == [True, True]


def test_a_part_left_by_a_killed_process_is_gone_on_with(server, tmp_path):
    resource = server.put(PATH, BODY, google=True)
    resource.mishaps = [stall(120_000)]
    code = (
        "import sys\nfrom pathlib import Path\nfrom qtinker.download.http import *\n"
        "from qtinker.download.transfer import fetch\nfrom qtinker.download.checksums import Promise\n"
        "fetch(session(), sys.argv[1], Path(sys.argv[2]), promise=Promise(), cancel=Cancel(), patience=Patience())"
    )
    app = str(Path(__file__).resolve().parents[2] / "app")
    child = subprocess.Popen(
        [sys.executable, "-c", code, server.url + PATH, str(tmp_path / "x.zip")],
        env={**os.environ, "PYTHONPATH": app},
    )
    part = tmp_path / "x.zip.part"
    until_it_has_bytes(part)
    child.kill()
    child.wait()
    have = part.stat().st_size
    assert 0 < have <= 120_000
    fetch(session(), server.url + PATH, tmp_path / "x.zip", promise=Promise(), cancel=Cancel(), patience=Patience())
    assert (tmp_path / "x.zip").read_bytes() == BODY
    assert server.requests[1].headers["Range"] == f"bytes={have}-"
    assert server.requests[1].sent == len(BODY) - have


def test_a_file_that_changed_meanwhile_is_fetched_anew(server, get, tmp_path):
    server.put(PATH, BODY, google=True).mishaps = [cut(100_000), *[status(404)]]
    with pytest.raises(DownloadError, match="404"):
        get()
    assert (tmp_path / "x.zip.part").stat().st_size == 100_000
    other = BODY[::-1]
    server.put(PATH, other, google=True)
    get()
    assert (tmp_path / "x.zip").read_bytes() == other
    assert server.requests[-1].sent == len(other)


def test_a_cache_that_ignores_if_range_does_not_mix_two_files(server, get, tmp_path):
    server.put(PATH, BODY, google=True).mishaps = [cut(100_000), status(404)]
    with pytest.raises(DownloadError):
        get()
    other = BODY[::-1]
    server.put(PATH, other, google=True, careless_ranges=True)
    get()
    assert (tmp_path / "x.zip").read_bytes() == other


def test_a_server_that_ignores_range(server, get, tmp_path):
    server.put(PATH, BODY, google=True, ranges=False).mishaps = [cut(100_000)]
    get()
    assert (tmp_path / "x.zip").read_bytes() == BODY
    assert server.requests[1].headers["Range"] == "bytes=100000-"
    assert server.requests[1].sent == len(BODY)


def test_a_server_that_ignores_range_and_always_cuts_is_given_up(server, get, waits):
    server.put(PATH, BODY, ranges=False).mishaps = [cut(100_000)] * 20
    with pytest.raises(DownloadError, match=r"127.0.0.1 failed again and again: the line broke after 100,000"):
        get()
    assert len(server.requests) == 5
    # No attempt came further than the first, so the waits double.
    assert [round(wait) for wait in waits] == pytest.approx([1, 2, 4, 8], abs=2)
    assert waits == sorted(waits)


def test_without_an_etag_nothing_is_gone_on_with(server, get, tmp_path):
    server.put(PATH, BODY, etag="").mishaps = [cut(100_000)]
    get()
    assert "Range" not in server.requests[1].headers
    assert (tmp_path / "x.zip").read_bytes() == BODY


def test_a_weak_etag_is_not_used_for_ranges(server, get):
    server.put(PATH, BODY, etag='W/"abc"').mishaps = [cut(100_000)]
    get()
    assert "Range" not in server.requests[1].headers


def test_last_modified_serves_where_there_is_no_etag(server, get, tmp_path):
    when = "Tue, 25 Feb 2020 01:02:03 GMT"
    server.put(PATH, BODY, etag="", headers={"Last-Modified": when}).mishaps = [cut(100_000)]
    get()
    assert server.requests[1].headers["If-Range"] == when
    assert (tmp_path / "x.zip").read_bytes() == BODY


def test_a_server_without_lengths(server, get, tmp_path):
    server.put(PATH, BODY, google=True, lengths=False)
    get()
    assert (tmp_path / "x.zip").read_bytes() == BODY


def test_a_file_that_was_whole_but_not_used_is_only_verified_again(server, get, tmp_path):
    server.put(PATH, BODY, google=True)
    get()
    get()
    assert len(server.requests) == 1
    (tmp_path / "x.zip").write_bytes(BODY[:-1] + b"!")
    get()
    assert len(server.requests) == 2
    assert (tmp_path / "x.zip").read_bytes() == BODY


def test_a_lie_about_the_hash_is_tried_once_more_and_then_said(server, get, tmp_path):
    server.put(PATH, BODY, headers={"x-goog-hash": google_hash(b"something else")})
    with pytest.raises(DownloadError) as caught:
        get()
    assert "is not what was promised, twice" in caught.value.message
    assert hashlib.md5(BODY).hexdigest() in caught.value.message
    assert hashlib.md5(b"something else").hexdigest() in caught.value.message
    assert "crc32c" in caught.value.message
    assert len(server.requests) == 2
    assert list(tmp_path.glob("x.zip*")) == []


def test_the_catalog_sha256_counts_even_if_the_server_agrees_with_itself(server, get, tmp_path):
    server.put(PATH, BODY, google=True)
    with pytest.raises(DownloadError, match="sha256"):
        get(promise=Promise(sha256="0" * 64))
    get(promise=Promise(sha256=hashlib.sha256(BODY).hexdigest()))
    assert (tmp_path / "x.zip").read_bytes() == BODY


def test_damage_on_the_way_is_repaired_by_a_fresh_start(server, get, tmp_path):
    good = server.put(PATH, BODY, google=True)
    server.put(PATH, BODY[:-1] + b"!", headers=good.headers, etag=good.etag)

    def repair(phase, done, total):
        if phase == "verify":
            server.resources[PATH] = good

    get(advance=repair)
    assert (tmp_path / "x.zip").read_bytes() == BODY
    assert len(server.requests) == 2


def test_a_wrong_length_is_refused_before_the_body(server, get):
    server.put(PATH, BODY)
    with pytest.raises(DownloadError, match=r"307,200 bytes where 99 were promised"):
        get(promise=Promise(bytes=99))


@pytest.mark.parametrize("code", [408, 429, 500, 502, 503, 504])
def test_passing_trouble_is_waited_out(server, get, waits, code, tmp_path):
    server.put(PATH, BODY).mishaps = [status(code), status(code)]
    get()
    assert (tmp_path / "x.zip").read_bytes() == BODY
    assert 0.75 <= waits[0] <= 1.25
    assert 1.5 <= waits[1] <= 2.5


def test_trouble_that_stays_is_said(server, get):
    server.put(PATH, BODY).mishaps = [status(503)] * 9
    with pytest.raises(DownloadError, match=r"127.0.0.1 failed again and again: it answers 503"):
        get()
    assert len(server.requests) == 5


def test_retry_after_in_seconds_is_honoured(server, get, waits):
    server.put(PATH, BODY).mishaps = [status(429, Retry_After="7")]
    get()
    assert waits == [7.0]


def test_retry_after_as_a_date_is_honoured(server, get, waits):
    server.put(PATH, BODY).mishaps = [status(503, Retry_After=formatdate(time.time() + 100, usegmt=True))]
    get()
    assert 0 < waits[0] <= 100


def test_retry_after_of_hours_is_not_waited(server, get, waits):
    server.put(PATH, BODY).mishaps = [status(429, Retry_After="7200")]
    with pytest.raises(DownloadError, match="asks to wait 120 minutes"):
        get()
    assert waits == []


def test_a_long_wait_is_told(server, get):
    server.put(PATH, BODY).mishaps = [status(429, Retry_After="17")]
    phases = []
    get(advance=lambda phase, done, total: phases.append(phase))
    assert list(dict.fromkeys(phases)) == ["wait", "download"]


def test_both_forms_of_retry_after():
    assert parse_retry_after("120") == 120
    assert parse_retry_after("Wed, 21 Oct 2015 07:28:30 GMT", now=1445412480.0) == 30
    assert parse_retry_after("Wed, 21 Oct 2015 07:28:30 GMT", now=1545412480.0) == 0
    assert parse_retry_after("soon") is None
    assert parse_retry_after(None) is None


@pytest.mark.parametrize(
    ("code", "words"), [(404, "does not have"), (403, "refuses"), (401, "refuses"), (400, "answers 400")]
)
def test_what_will_not_pass_is_said_at_once(server, get, waits, code, words):
    server.put(PATH, BODY).mishaps = [status(code)]
    with pytest.raises(DownloadError, match=words):
        get()
    assert (len(server.requests), waits) == (1, [])


def test_a_stall_is_cut_by_the_read_timeout_and_gone_on_with(server, get, tmp_path):
    server.put(PATH, BODY, google=True).mishaps = [stall(100_000)]
    get(read=0.3)
    assert (tmp_path / "x.zip").read_bytes() == BODY
    assert server.requests[1].headers["Range"] == "bytes=100000-"


def test_a_stall_ends_at_once_when_stopped(server, get, tmp_path):
    server.put(PATH, BODY, google=True).mishaps = [stall(100_000)]
    cancel = Cancel()
    threading.Thread(target=lambda: (until_it_has_bytes(tmp_path / "x.zip.part"), cancel.set())).start()
    with pytest.raises(RunStopped, match="goes on where it ended"):
        get(cancel=cancel, read=600)
    assert (tmp_path / "x.zip.part").exists()
    get()
    assert (tmp_path / "x.zip").read_bytes() == BODY


def test_a_wait_ends_at_once_when_stopped(server, tmp_path):
    server.put(PATH, BODY).mishaps = [status(503, Retry_After="500")]
    cancel = Cancel(lambda: bool(server.requests))
    with pytest.raises(RunStopped):
        fetch(session(), server.url + PATH, tmp_path / "x", promise=Promise(), cancel=cancel, patience=Patience())


def test_redirects_are_followed_relative_ones_too(server, get, tmp_path):
    server.put("/elsewhere/y.zip", BODY, google=True).mishaps = [cut(100_000)]
    server.put(PATH, b"", redirect="/elsewhere/y.zip")
    get()
    assert (tmp_path / "x.zip").read_bytes() == BODY
    assert [request.headers["Range"] for request in server.asked("/elsewhere/y.zip")[1:]] == ["bytes=100000-"]


def test_the_host_that_failed_is_the_one_redirected_to(server, get):
    server.put(PATH, b"", redirect="http://127.0.0.2:9/x.zip")
    with pytest.raises(DownloadError, match=r"^Can't reach 127\.0\.0\.2: it refuses connections\."):
        get()


def test_a_circle_of_redirects_is_said(server, get):
    server.put(PATH, b"", redirect=PATH)
    with pytest.raises(DownloadError, match="redirects in circles"):
        get()


def test_a_linked_etag_in_the_redirect_is_verified(server, get):
    server.put("/cdn", BODY)
    server.put(PATH, b"", redirect="/cdn", headers={"X-Linked-ETag": f'"{"0" * 64}"'})
    with pytest.raises(DownloadError, match="sha256"):
        get()


def test_nobody_there_is_one_line_with_the_host_and_the_way_out(get, waits):
    with pytest.raises(DownloadError) as caught:
        get(url="http://127.0.0.1:9" + PATH)
    assert caught.value.message == "Can't reach 127.0.0.1: it refuses connections."
    assert "HTTPS_PROXY" in caught.value.fix
    assert "QTINKER_GCS" in caught.value.fix and "python3 app import" in caught.value.fix
    assert len(waits) == 2
    assert "\n" not in str(caught.value)


def test_an_unknown_host_is_one_line(get):
    with pytest.raises(DownloadError, match=r"^Can't reach qtinker.invalid: [^\n]+$"):
        get(url="http://qtinker.invalid" + PATH)


@pytest.mark.parametrize("url", ["ftp://example.com/x", "nonsense", "http://"])
def test_what_is_no_address_is_the_users_error(get, url):
    with pytest.raises(InputError, match="no address"):
        get(url=url)


def test_no_login_is_sent_not_even_netrc(server, get, monkeypatch, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    server.put("/elsewhere", BODY)
    server.put(PATH, b"", redirect="/elsewhere")
    get()
    assert len(server.requests) == 2
    assert all("Authorization" not in request.headers for request in server.requests)


def test_proxies_of_the_environment_are_used(server, get, monkeypatch, tmp_path):
    monkeypatch.setenv("http_proxy", server.url)
    server.put("/bert_models/x.zip", BODY)
    get(url="http://storage.invalid" + PATH)
    assert (tmp_path / "x.zip").read_bytes() == BODY


@pytest.mark.parametrize("url", ["http://storage.invalid", "https://storage.invalid"])
def test_a_proxy_that_wants_a_login_is_named(server, get, monkeypatch, waits, url):
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, server.url)
    server.put(PATH, BODY).mishaps = [status(407)]
    monkeypatch.setattr(servers._Handler, "do_CONNECT", lambda self: self._plain(407, {}), raising=False)
    with pytest.raises(DownloadError, match=r"does not let requests to storage\.invalid through \(407\)") as caught:
        get(url=url + PATH)
    assert "NAME:PASSWORD" in caught.value.fix
    assert not waits


def test_a_hash_that_can_not_be_read_is_asked_for_again(server, get, tmp_path):
    resource = server.put(PATH, BODY, google=True)
    right, resource.headers["x-goog-hash"] = resource.headers["x-goog-hash"], "crc32c=?"
    with pytest.raises(DownloadError, match="can't be read"):
        get()
    resource.headers["x-goog-hash"] = right
    get()
    assert (tmp_path / "x.zip").read_bytes() == BODY


def test_a_full_disk_is_said_and_the_part_kept(server, get, tmp_path):
    resource = pytest.importorskip("resource")
    server.put(PATH, BODY)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # The nearest thing to a full disk that a test may do: files of this process can't grow beyond a limit.
    resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, hard))
    try:
        with pytest.raises(DownloadError, match=r"Can't write .*x.zip.part: File too large") as caught:
            get()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "Free some space" in caught.value.fix
    get()
    assert (tmp_path / "x.zip").read_bytes() == BODY
    assert server.requests[-1].headers["Range"] == "bytes=150000-"


def test_states_that_can_not_be_true_start_anew(server, get, tmp_path):
    server.put(PATH, BODY, google=True)
    for state in ("", "[]", "{}", '{"validator": 5}', '{"validator": "x", "total": 3, "headers": {}}'):
        (tmp_path / "x.zip.part").write_bytes(b"rubbish")
        (tmp_path / "x.zip.part.json").write_text(state)
        get()
        assert (tmp_path / "x.zip").read_bytes() == BODY
        (tmp_path / "x.zip").unlink()


def test_a_part_from_another_mirror_is_used_only_where_a_hash_will_tell(server, get, tmp_path):
    for google, range_sent in ((True, True), (False, False)):
        server.requests.clear()
        server.put(PATH, BODY, google=google).mishaps = [cut(100_000), status(404)]
        with pytest.raises(DownloadError):
            get()
        server.put("/mirror" + PATH, BODY, google=google)
        get(url=server.url + "/mirror" + PATH)
        assert ("Range" in server.requests[-1].headers) is range_sent
        assert (tmp_path / "x.zip").read_bytes() == BODY
        (tmp_path / "x.zip").unlink()
        (tmp_path / "x.zip.part.json").unlink()


def test_known_values_of_the_hashes(tmp_path):
    # The header's example in Google's documentation: the md5 of "hello world" needs no server.
    header = "crc32c=" + base64.b64encode(bytes.fromhex("c99465aa")).decode() + ",md5=XrY7u+Ae7tCTyyK7j1rNww=="
    assert google_hashes(header) == {"crc32c": "c99465aa", "md5": "5eb63bbbe01eeed093cb22bb8f5acdc3"}
    assert google_hashes(header.replace(",", ", ")) == google_hashes(header)
    assert google_hashes("") == {}
    with pytest.raises(DownloadError, match="x-goog-hash"):
        google_hashes("md5=!!")
    (tmp_path / "x").write_bytes(b"hello world")
    assert Promise(**google_hashes(header), bytes=11).broken_by(tmp_path / "x") == []
    # `echo -n "hello world" | git hash-object --stdin`
    assert Promise(git_blob="95d09f2b10159347eece71399a7e2e907ea3df4f").broken_by(tmp_path / "x") == []
    assert Promise(bytes=12).broken_by(tmp_path / "x") == ["11 bytes instead of 12"]


def test_logins_in_an_address_are_not_shown():
    assert public("https://me:secret@mirror.example:8080/a?token=x#y") == "https://mirror.example:8080/a"


def test_progress_is_throttled_and_knows_speed_and_eta():
    now, events = [0.0], []
    progress = Progress(events.append, clock=lambda: now[0])
    for second in range(11):
        now[0] = float(second)
        progress("m", "f", "download", 100 * second, 1000)
        now[0] += 0.01
        progress("m", "f", "download", 100 * second + 1, 1000)
    assert len(events) == 11
    assert events[0] == {
        "name": "m", "file": "f", "phase": "download", "done": 0, "total": 1000, "speed": None, "eta": None,
    }  # fmt: skip
    assert events[5]["speed"] == pytest.approx(100)
    assert events[5]["eta"] == pytest.approx(5)
    progress("m", "f", "verify", 0, 1000)
    assert events[-1]["phase"] == "verify"
    json.dumps(events)
    Progress(None)("m", "f", "download", 0, None)


@pytest.mark.skipif(os.name != "posix", reason="Ctrl-C is sent as a signal")
def test_ctrl_c_ends_a_stalled_download_and_keeps_the_part(server, qtinker_home):
    server.put("/bert_models/2020_02_20/uncased_L-2_H-128_A-2.zip", BODY, google=True).mishaps = [stall(100_000)]
    code = "from qtinker.download import download\ndownload(['bert-tiny'])"
    app = str(Path(__file__).resolve().parents[2] / "app")
    env = {**os.environ, "PYTHONPATH": app, "QTINKER_GCS": server.url}
    child = subprocess.Popen([sys.executable, "-c", code], env=env, stderr=subprocess.PIPE)
    part = qtinker_home / "cache" / "downloads" / "bert-tiny" / "checkpoint.zip.part"
    until_it_has_bytes(part)
    child.send_signal(signal.SIGINT)
    _, errors = child.communicate(timeout=60)
    assert child.returncode == -signal.SIGINT
    assert b"KeyboardInterrupt" in errors
    assert part.is_file()
    assert [path for path in (qtinker_home / "bert_models").rglob("*") if path.is_file()] == []


def test_a_web_page_in_place_of_a_file_takes_nothing_away(server, get, tmp_path):
    """A login page, which the network or a proxy answers with."""
    server.put(PATH, BODY, ranges=True).mishaps = [cut(1000)]
    page = server.put("/page", b"<html>log in</html>", headers={"Content-Type": "text/html; charset=utf-8"})
    page.etag = None

    def to_page(phase, done, total):
        if done >= 1000:
            server.resources[PATH] = page

    with pytest.raises(DownloadError, match=r"sends a web page instead of .*x\.zip: perhaps a login page") as error:
        get(advance=to_page)
    assert "another network or mirror" in error.value.fix
    assert (tmp_path / "x.zip.part").read_bytes() == BODY[:1000]


def test_a_body_without_a_length_is_gone_on_with_where_it_is_promised(server, get, tmp_path):
    server.put(PATH, BODY, lengths=False).mishaps = [cut(1000)]
    get(promise=Promise(bytes=len(BODY)))
    assert (tmp_path / "x.zip").read_bytes() == BODY
    assert [request.headers.get("Range") for request in server.requests] == [None, "bytes=1000-"]


def test_a_compressed_body_is_started_anew(server, get, tmp_path):
    """A range would be one of the compressed bytes, and what is kept are others."""
    server.put(PATH, gzip.compress(BODY), headers={"Content-Encoding": "gzip"}).mishaps = [cut(600)]
    get()
    assert (tmp_path / "x.zip").read_bytes() == BODY
    assert not any("Range" in request.headers for request in server.requests)


def test_a_part_that_nobody_asked_for_is_survived(server, get, tmp_path):
    server.put(PATH, BODY).mishaps = [status(206, Content_Range="bytes 0-9/10")]
    server.resources[PATH].etag = None
    get()
    assert (tmp_path / "x.zip").read_bytes() == BODY


def test_failures_of_encryption_are_not_all_about_certificates(server, get, waits):
    with pytest.raises(DownloadError, match=r"does not speak https there"):
        get(url=server.url.replace("http:", "https:") + PATH)
    assert not waits
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=lambda: [listener.accept()[0].close() for _ in range(3)], daemon=True)
        thread.start()
        with pytest.raises(DownloadError, match=r"Can't reach 127\.0\.0\.1: "):
            get(url=f"https://127.0.0.1:{listener.getsockname()[1]}/x.zip")
    assert len(waits) == 2, "a line that is cut once may hold the next time"


@pytest.mark.parametrize(("name", "value", "words"), [
    ("ALL_PROXY", "socks5h://127.0.0.1:1", "The proxy that the environment names can't be used"),
    ("REQUESTS_CA_BUNDLE", "/no/such.pem", "no/such.pem"),
])  # fmt: skip
def test_settings_of_the_environment_that_can_not_work_are_named(server, get, monkeypatch, name, value, words):
    server.put(PATH, BODY)
    for proxy in ("HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy", "all_proxy"):
        monkeypatch.delenv(proxy, raising=False)
    monkeypatch.setenv(name, value)
    url = server.url + PATH if name == "ALL_PROXY" else "https://127.0.0.1:9/x.zip"
    with pytest.raises(DownloadError, match=words) as error:
        get(url=url)
    assert name in error.value.fix
