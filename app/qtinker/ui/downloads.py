"""What the browser can fetch: models as zips made while they are sent, run reports. Names only, never paths."""

from __future__ import annotations

import csv
import io
import struct
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from fastapi import APIRouter
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse

from .. import model_folder, runs
from ..compare import store
from ..errors import QTinkerError
from . import guard, tasks
from .texts import LANGUAGES, Texts

CHUNK = 1 << 20
router = APIRouter(prefix="/download")


@router.get("/model/{name:path}")
def model_zip(name: str) -> Response:
    """A model folder as an uncompressed zip (weights hardly compress), streamed, its length known."""
    try:
        entry = guard.local_model(name.removesuffix(".zip"))
        folder = entry.path.resolve()
        paths = [*model_folder.model_files(folder), folder / model_folder.META]
        files = [path for path in paths if path.is_file() and path.resolve().is_relative_to(folder)]
    except QTinkerError as error:
        return _refuse(error)
    top = folder.name
    plan = [(f"{top}/{path.relative_to(folder).as_posix()}", path, path.stat().st_size) for path in files]
    headers = {
        "content-disposition": f"attachment; filename*=UTF-8''{quote(top)}.zip",
        "content-length": str(zip_length([(entry_name, size) for entry_name, _, size in plan])),
    }
    return StreamingResponse(stream_zip(plan), media_type="application/zip", headers=headers)


@router.get("/run/{run_id}/report.{ending}")
def run_report(run_id: str, ending: str, lang: str = "en") -> Response:
    """A run's report as JSON, CSV (one row a model) or a self-contained HTML page."""
    try:
        run = runs.open(run_id)
        report = run.report()
    except QTinkerError as error:
        return _refuse(error)
    if report is None:
        return PlainTextResponse("This run has no report.", 404)
    name = f"qtinker-{run.id}.{ending}"
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    if ending == "json":
        return JSONResponse(report, headers=headers)
    if ending == "csv":
        return Response(models_csv(report.get("models") or []), media_type="text/csv; charset=utf-8", headers=headers)
    if ending == "html":
        from .report_views import report_page

        return Response(
            report_page(run, report, Texts(lang if lang in LANGUAGES else "en")), media_type="text/html",
            headers=headers,
        )  # fmt: skip
    return PlainTextResponse("There is no such form.", 404)


@router.get("/task/{task_id}/comparison.{ending}")
def comparison(task_id: str, ending: str, lang: str = "en") -> Response:
    """A measurement made on the page, as JSON, CSV or a self-contained HTML page."""
    try:
        result = tasks.read(task_id).result or {}
    except QTinkerError as error:
        return _refuse(error)
    headers = {"content-disposition": f'attachment; filename="qtinker-comparison.{ending}"'}
    if ending == "json":
        return JSONResponse(result, headers=headers)
    if ending == "csv":
        return Response(models_csv(result.get("models") or []), media_type="text/csv; charset=utf-8", headers=headers)
    if ending == "html":
        from .report_views import comparison_page

        text = comparison_page(result, Texts(lang if lang in LANGUAGES else "en"))
        return Response(text, media_type="text/html", headers=headers)
    return PlainTextResponse("There is no such form.", 404)


@router.get("/sweep/{sweep_id}/report.{ending}")
def sweep_report(sweep_id: str, ending: str) -> Response:
    """A sweep's report in one of the forms that it was written in."""
    try:
        sweep = store.open(sweep_id)
    except QTinkerError as error:
        return _refuse(error)
    file = sweep.report_file(ending)
    if ending not in store.REPORTS or not file.is_file():
        return PlainTextResponse("There is no such report.", 404)
    headers = {"content-disposition": f'attachment; filename="qtinker-{sweep.id}.{ending}"'}
    kinds = {"json": "application/json", "csv": "text/csv", "md": "text/markdown", "html": "text/html"}
    return Response(file.read_bytes(), media_type=f"{kinds[ending]}; charset=utf-8", headers=headers)


def _refuse(error: QTinkerError) -> Response:
    return PlainTextResponse(error.message, 404)


def models_csv(models: list[dict[str, object]]) -> str:
    """The table of `evaluate` as CSV; nested values become columns such as latency_ms.p50."""
    rows = []
    for model in models:
        row: dict[str, object] = {}
        for key, value in model.items():
            if isinstance(value, dict):
                row |= {f"{key}.{inner}": each for inner, each in value.items() if not isinstance(each, dict | list)}
            elif not isinstance(value, list):
                row[key] = value
        # A cell that begins like a formula would be run by a spreadsheet.
        rows.append({key: f"'{value}" if str(value)[:1] in "=+@" else value for key, value in row.items()})
    columns = list(dict.fromkeys(key for row in rows for key in row))
    out = io.StringIO()
    writer = csv.DictWriter(out, columns)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


# A stored zip with data descriptors and zip64 sizes throughout (PKWARE APPNOTE 4.3): every length is known before
# the first byte is read, so the browser shows real progress, and nothing is ever written to disk.
_LOCAL, _CENTRAL, _END64, _LOCATOR, _END = 30, 46, 56, 20, 22
_EXTRA, _CENTRAL_EXTRA, _DESCRIPTOR = 20, 28, 24


def zip_length(files: list[tuple[str, int]]) -> int:
    """Bytes of the zip that `stream_zip` makes of files with these names and sizes."""
    total = _END64 + _LOCATOR + _END
    for name, size in files:
        total += _LOCAL + _EXTRA + _DESCRIPTOR + size + _CENTRAL + _CENTRAL_EXTRA + 2 * len(name.encode())
    return total


def stream_zip(files: list[tuple[str, Path, int]]) -> Iterator[bytes]:
    """The zip's bytes, a file at a time, each read once."""
    offset, central = 0, b""
    now = time.localtime()
    day = max(now.tm_year - 1980, 0) << 9 | now.tm_mon << 5 | now.tm_mday
    clock = now.tm_hour << 11 | now.tm_min << 5 | now.tm_sec // 2
    flags = 0x0808  # data descriptor, names in UTF-8
    for name, path, promised in files:
        raw = name.encode()
        start, crc, size = offset, 0, 0
        head = struct.pack(
            "<IHHHHHIIIHH", 0x04034B50, 45, flags, 0, clock, day, 0, 0xFFFFFFFF, 0xFFFFFFFF, len(raw), _EXTRA
        )
        head += raw + struct.pack("<HHQQ", 1, 16, 0, 0)
        yield head
        with path.open("rb") as file:
            while size < promised and (chunk := file.read(min(CHUNK, promised - size))):
                crc, size = zlib.crc32(chunk, crc), size + len(chunk)
                yield chunk
        if size != promised:
            raise OSError(f"{path.name} changed while it was sent")
        yield struct.pack("<IIQQ", 0x08074B50, crc, size, size)
        offset += len(head) + size + _DESCRIPTOR
        central += struct.pack(
            "<IHHHHHHIIIHHHHHII", 0x02014B50, 45, 45, flags, 0, clock, day, crc, 0xFFFFFFFF, 0xFFFFFFFF, len(raw),
            _CENTRAL_EXTRA, 0, 0, 0, 0, 0xFFFFFFFF,
        )  # fmt: skip
        central += raw + struct.pack("<HHQQQ", 1, 24, size, size, start)
    count = len(files)
    end64 = struct.pack("<IQHHIIQQQQ", 0x06064B50, _END64 - 12, 45, 45, 0, 0, count, count, len(central), offset)
    locator = struct.pack("<IIQI", 0x07064B50, 0, offset + len(central), 1)
    end = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    yield central + end64 + locator + end
