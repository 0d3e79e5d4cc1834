"""Serves the page: `serve` blocks until Ctrl-C or SIGTERM, then stops the runs that go on (they can be resumed).

One line on standard output says where it is, once it answers: `QTinker is running at http://127.0.0.1:7860`.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import importlib.util
import json
import logging
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import webbrowser
from pathlib import Path
from typing import Any

import psutil

from .. import runs
from ..errors import InputError, MissingExtra, QTinkerError
from ..home import home, runs_dir
from . import answers, guard

FIRST_PORT, PORTS = 7860, 100
# What other programs set for themselves and would turn against us: everything served, pickles executed, sharing.
UNWANTED = (
    "GRADIO_ALLOWED_PATHS", "GRADIO_BLOCKED_PATHS", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "GRADIO_SHARE",
    "GRADIO_SSR_MODE", "GRADIO_ROOT_PATH", "GRADIO_SERVER_NAME", "GRADIO_MCP_SERVER", "GRADIO_VIBE_MODE",
    "GRADIO_WATCH_DIRS", "GRADIO_LOCAL_DEV_MODE",
)  # fmt: skip
POLL_SECONDS = 2.0
LOOK_S, PROGRESS_S = 0.02, 0.1
"""How often Gradio looks for calls that wait, and for their progress: its own pace keeps a processor awake."""
KEEP_UPLOADS_SECONDS = 7 * 86_400


# Words of Gradio's own that a page shows where the browser asks for English: those that Gradio lacks, and in the page's
# language those that it shows all the same.
GRADIO_WORDS = {
    "en": {"common.complete": "Done"},
    "zh": {
        "common.complete": "完成", "upload_text.drop_file": "将文件拖放到此处", "common.or": "或",
        "upload_text.click_to_upload": "点击上传",
    },
}  # fmt: skip


def prepare() -> None:
    """Set the environment before Gradio is imported: no analytics, uploads in the cache, nothing else served."""
    for name in UNWANTED:
        os.environ.pop(name, None)
    uploads = guard.uploads_dir()
    uploads.mkdir(parents=True, exist_ok=True)
    os.environ.update(
        GRADIO_TEMP_DIR=str(uploads), GRADIO_ANALYTICS_ENABLED="False", HF_HUB_DISABLE_TELEMETRY="1",
        GRADIO_RUN_HISTORY="False", DO_NOT_TRACK="1", QTINKER_HOME=str(home()),
    )  # fmt: skip


def application(*, login: tuple[str, str] | None = None, mcp: bool = False) -> Any:
    """The ASGI application: gate, downloads, the page in each language."""
    prepare()
    import gradio as gr
    from fastapi import FastAPI

    from . import downloads, theme
    from .app import build
    from .handlers import log_to_file
    from .security import Gate
    from .texts import LANGUAGES

    log_to_file()
    application = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    application.include_router(downloads.router)
    uploads, limit = guard.uploads_dir(), guard.max_upload()
    for language in sorted(LANGUAGES, key=lambda name: name == "en"):  # "/" matches everything, so it comes last
        blocks = build(language)
        # Gradio checks that a file it is told of was uploaded only in what was launched, not in what is mounted:
        # without this a request could have any file of this computer copied among the uploads.
        blocks.has_launched = True
        gr.mount_gradio_app(
            application, blocks, path="/" if language == "en" else f"/{language}", allowed_paths=[],
            blocked_paths=[str(path) for path in (home() / "bert_models", home() / "runs", home() / "data")],
            favicon_path=str(theme.icon()) if language == "en" else None, show_error=False, footer_links=[],
            run_history=False, max_file_size=limit, ssr_mode=False, enable_monitoring=False, pwa=False,
            mcp_server=mcp and language == "en", theme=theme.theme(), css=theme.css(), head=theme.head(),
            i18n=gr.I18n(en=GRADIO_WORDS[language]),
        )  # fmt: skip
        if (queue := getattr(blocks, "_queue", None)) is not None:  # private: the page must open without it too
            queue.sleep_when_free, queue.progress_update_sleep_when_free = LOOK_S, PROGRESS_S
        if (tools := getattr(blocks, "mcp_server_obj", None)) is not None:  # private, too
            answer_in_json(tools)
            if login is not None:
                log_in(tools, login)
    application.add_middleware(Gate, uploads=uploads, login=login)
    return application


def answer_in_json(tools: Any) -> None:
    """Let Gradio's MCP tools answer in JSON: it writes a dictionary as Python does, with None and single quotes."""
    answer = tools.postprocess_output_data

    def in_json(data: list[Any], root_url: str) -> Any:
        return answer([json.dumps(each, ensure_ascii=False) for each in data], root_url)

    tools.postprocess_output_data = in_json


def log_in(tools: Any, login: tuple[str, str]) -> None:
    """Let Gradio's MCP tools, which ask this server over HTTP, give the user and password that it wants."""
    module = sys.modules[type(tools).__module__]
    module.Client = functools.partial(module.Client, httpx_kwargs={"auth": login})  # type: ignore[attr-defined]


def serve(
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
    open_browser: bool = False,
    login: tuple[str, str] | None = None,
    mcp: bool = False,
) -> None:
    """Run until a signal ends it.

    Raises:
        InputError: another host than this computer without a user and password; a port that is taken.
        MissingExtra: the MCP tools are asked for, and their library is not installed.
    """
    from .security import is_loopback

    if mcp and importlib.util.find_spec("mcp") is None:
        words = [sys.executable, "-m", "pip", "install", "gradio[mcp]"]
        command = subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)
        raise MissingExtra("The MCP tools need the library mcp, which is not installed.", f"Install it: {command}")

    if not is_loopback(host) and login is None:
        raise InputError(
            f"Listening on {host} would show this page to others without a password.",
            "Give --user and set QTINKER_UI_PASSWORD (or --password-file), or leave --host out.",
        )
    sock = bind(host, port)
    import uvicorn

    gc.disable()  # what is made now stays: looking for garbage in it takes a sixth of the start
    application_ = application(login=login, mcp=mcp)
    gc.freeze()
    gc.enable()
    address = f"http://{_shown(host)}:{sock.getsockname()[1]}"

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if not self.should_exit:
                print(f"QTinker is running at {address}", flush=True)
                if open_browser:
                    threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()

    config = uvicorn.Config(
        application_, log_level="warning", access_log=False, timeout_graceful_shutdown=1, ws="none", lifespan="on",
    )  # fmt: skip
    ended = threading.Event()
    keeper = threading.Thread(target=keep_queue, args=(ended,), name="queue", daemon=True)
    keeper.start()
    own = sign_on()
    # Uvicorn raises the signal that ended it once more, for whoever was there before: that must not end us yet.
    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        Server(config).run(sockets=[sock])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        ended.set()
        own.unlink(missing_ok=True)
        if others_serve():
            answers.stop()
            print("Another page is open for the same folder: what goes on there is left going on.",
                  file=sys.stderr, flush=True)  # fmt: skip
        else:
            stop_everything()


def sign_on() -> Path:
    """Note that this process serves the home: the last that does so ends what goes on."""
    me = psutil.Process()
    note = servers_dir() / f"{me.pid}.json"
    servers_dir().mkdir(parents=True, exist_ok=True)
    runs.write_json(note, {"pid": me.pid, "created": me.create_time()})
    return note


def others_serve() -> bool:
    """Whether another process serves the home; the notes of those that crashed are dropped."""
    for note in servers_dir().glob("*.json"):
        with contextlib.suppress(OSError, ValueError):
            process = runs.read_json(note)
            if process.get("pid") != os.getpid() and runs.is_alive(process.get("pid"), process.get("created")):
                return True
            note.unlink()
    return False


def servers_dir() -> Path:
    """A note for each process that serves the home; not in the cache, which may be deleted at any time."""
    return runs_dir() / ".servers"


def keep_queue(ended: threading.Event) -> None:
    """Start what waits in the queue whenever nothing is going on; drop uploads that nobody needs any more."""
    from .. import jobs

    log = logging.getLogger("qtinker.ui")
    for step in (jobs.unpause, drop_old_uploads):
        try:
            step()
        except (QTinkerError, OSError) as error:
            log.error("%s", error)
    while not ended.wait(POLL_SECONDS):
        try:
            jobs.advance()
        except (QTinkerError, OSError) as error:
            log.error("%s", error)


def drop_old_uploads() -> None:
    """Uploads are moved on or read once; what is a week old was left behind."""
    for path in guard.uploads_dir().iterdir():
        if time.time() - path.stat().st_mtime > KEEP_UPLOADS_SECONDS:
            shutil.rmtree(path, ignore_errors=True)


def stop_everything() -> None:
    """End what the page's home works on: runs save and can be resumed, tasks can be started again."""
    from .. import jobs
    from . import tasks

    answers.stop()
    with contextlib.suppress(QTinkerError, OSError):
        tasks.stop_all()
    try:
        if jobs.active():
            print("Stopping: the run saves its state ...", file=sys.stderr, flush=True)
        for run_id in jobs.stop_all():
            print(f"Stopped {run_id}; resume it on the Runs page or with: python3 app runs resume {run_id}",
                  file=sys.stderr, flush=True)  # fmt: skip
    except (QTinkerError, OSError) as error:
        print(error, file=sys.stderr, flush=True)


def bind(host: str, port: int | None) -> socket.socket:
    """A listening socket: on `port`, or on the first free one from 7860 on (0: any).

    Raises:
        InputError: the port is taken, or the host is none of this computer's.
    """
    choices = [port] if port is not None else list(range(FIRST_PORT, FIRST_PORT + PORTS))
    try:
        family, kind, _, _, _ = socket.getaddrinfo(host.strip("[]"), None, type=socket.SOCK_STREAM)[0]
    except OSError:
        raise InputError(f"{host!r} is no address of this computer.", "Leave --host out.") from None
    problem: OSError | None = None
    for choice in choices:
        sock = socket.socket(family, kind)
        if os.name == "posix":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((host.strip("[]"), choice))
            sock.listen(128)
            return sock
        except OSError as error:
            sock.close()
            problem = error
    where = f"port {port}" if port is not None else f"a port from {FIRST_PORT} to {FIRST_PORT + PORTS - 1}"
    raise InputError(f"Can't listen on {where} of {host}: {problem}.", "Give another: --port 8000")


def _shown(host: str) -> str:
    if host in ("0.0.0.0", "::"):  # noqa: S104
        return "127.0.0.1"
    return f"[{host}]" if ":" in host and not host.startswith("[") else host
